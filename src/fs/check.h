/* What the files of the check share. The check goes over the file once from below (store_check, btree_verify) and once
 * over all rows, table by table, in the order that lets each look at what came before:
 *
 *      others -> I (one record an inode) -> O -> D (names and subdirectories are counted) -> X -> verdicts on links
 *      -> S -> C -> leaks, owners of shared blocks
 *
 * It keeps 32 bytes an inode, 16 a shared block, and one bit a block of the file. It believes nothing: every row is
 * decoded with bounds, and what can't be decoded is a problem, not an error. When some rows can't be read at all, what
 * would need all of them (missing inodes, link counts, leaks) is left out rather than reported wrongly. */
#ifndef BEEFTREE_FS_CHECK_H
#define BEEFTREE_FS_CHECK_H

#include "content.h"

enum check_flags {
    CHECK_ORPHAN = 1 << 0,   /* has an O row */
    CHECK_FREEING = 1 << 1,  /* has an O row with from */
    CHECK_ENTRIES = 1 << 2,  /* a directory that counts entries; taken away when they were seen */
    CHECK_CONTENTS = 1 << 3, /* must have rows of contents; taken away when they were seen */
    CHECK_BLOCKS = 1 << 4,   /* counts content blocks */
    CHECK_VISITING = 1 << 5, /* on the way up that is being walked */
    CHECK_VISITED = 1 << 6,  /* its way up leads to the root, or has been reported */
    CHECK_XATTRS = 1 << 7,   /* counts extended attributes; taken away when they were seen */
};

struct check_record {
    uint64_t inode;
    uint64_t parent; /* of a directory */
    uint32_t link_count;
    uint32_t names;          /* D rows that lead here */
    uint32_t subdirectories; /* D rows of this directory that lead to directories */
    uint16_t type;           /* mode's type bits */
    uint16_t flags;
};

_Static_assert(sizeof(struct check_record) == 32, "memory per inode");

/* A block of contents that several chunks name. */
struct check_share {
    uint64_t block;
    uint32_t owners; /* as table S says */
    uint32_t seen;   /* slots of chunks */
};

struct checker {
    struct fs *fs;
    struct fs_check_report *report;
    struct btree_cursor *cursor;
    bool incomplete;              /* some rows could not be read */
    struct check_record *records; /* ascending inode numbers */
    size_t record_count, record_capacity;
    uint64_t next_number; /* as the superinode says; 0: there is none */
    uint8_t *named;       /* bit per block of the file: some row names it */
    uint64_t block_count;
    struct check_share *shares; /* ascending blocks */
    size_t share_count, share_capacity;
    bool shares_incomplete;                        /* a row of table S can't be understood */
    uint8_t *buffer;                               /* of a chunk, when contents are read */
    uint64_t row_total, page_total, content_total; /* for progress */
};

/* Reports one line. */
void check_problem(struct checker *checker, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says how far the check is; -ECANCELED when the caller wants no more. */
int check_progress(struct checker *checker, enum fs_check_phase phase, uint64_t done, uint64_t total);

/* Calls row for every row of a table until it returns an error; damage that stops the scan is a problem and makes the
 * check incomplete. */
typedef int (*check_row)(struct checker *checker, struct btree_slice key, struct btree_slice value, void *context);
int check_table(struct checker *checker, uint8_t table, check_row row, void *context);

/* NULL when there is no such inode. */
struct check_record *check_find(struct checker *checker, uint64_t inode);

/* check_inodes.c: tables I and O, and the verdicts on links and reachability. */
int check_inodes(struct checker *checker);
int check_orphans(struct checker *checker);
void check_links(struct checker *checker);

/* check_entries.c: table D. */
int check_entries(struct checker *checker);

/* check_xattrs.c: table X. */
int check_xattrs(struct checker *checker);

/* check_shares.c: table S. note: a slot names the block; false when table S does not. */
int check_shares(struct checker *checker);
bool check_shares_note(struct checker *checker, uint64_t inode, uint64_t block, bool is_marked);
void check_shares_end(struct checker *checker);

/* check_contents.c: table C, the bitmap. */
int check_contents(struct checker *checker);

#endif
