/* Recovery: from the last checkpoint and the log (log_format.h) to the state after the last record.
 *
 *      recover_scan.c      the ring into memory, batch by batch; where it ends, and whether that is its end
 *      recover_index.c     the edits of every page, in order; page numbers in use; pages rebuilt
 *      recover_contents.c  blocks that are contents after the last record
 *      recover.c           all of it for one opening: in memory when read-only, else to a checkpoint
 *
 * Nothing is written before everything was read and believed. What recovery writes goes to blocks that neither the
 * checkpoint nor the log names, up to the superblocks that end it: killed anywhere, it starts again from the same. A
 * batch that was left out is made void before anything else is written: what is written next could happen to be the
 * bytes that it lacks (zeros, mostly), and it would count after all.
 *
 * Everything here runs in store_open, before other threads exist; a redo is then only read. */
#ifndef BEEFTREE_STORE_RECOVER_H
#define BEEFTREE_STORE_RECOVER_H

#include "log_format.h"

struct store;

/* --- Scan --------------------------------------------------------------------------------------------------------- */

/* What the ring holds. */
struct recover_log {
    uint8_t *bytes; /* the ring from the superblock's position on, round its end; after the scan only what is used */
    uint64_t size;  /* bytes of the ring */
    uint64_t used;  /* bytes that the batches take */
    struct log_batch *batches;
    size_t count;
    size_t capacity;
    uint64_t records;
    uint64_t dropped_batches;
    bool can_void;     /* without the dropped batch, the one before would count as the last */
    uint64_t next_lsn; /* behind the last batch */
    uint64_t next_sequence;
    uint64_t file_blocks; /* of the file as it is, perhaps grown since the checkpoint: whole units */
    bool is_damaged;      /* there is more behind a batch that is not whole */
    struct base_reason damage;
};

/* Reads and judges the whole ring. Damage in the middle is no failure here: see is_damaged. */
int recover_scan(struct store *store, struct recover_log *ret_log, struct base_reason *ret_reason);
void recover_log_deinit(struct recover_log *log);

/* -EUCLEAN with the reason "log: record N: ...". */
int recover_damaged(struct base_reason *ret_reason, uint64_t lsn, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- Pages -------------------------------------------------------------------------------------------------------- */

/* Consecutive edits of one page in one record. */
struct redo_segment {
    uint64_t page;
    const uint8_t *begin;
    uint32_t size; /* bytes */
    uint32_t order;
    uint32_t last_mark; /* LOG_EDIT_NEW, LOG_EDIT_FREE or 0 */
};

struct redo_page {
    uint64_t page;
    uint32_t first; /* segment from which it is rebuilt */
    uint32_t count;
    bool is_new;   /* from zeros; else from its bytes in the checkpoint */
    bool is_freed; /* not in use after the last record */
};

struct redo {
    uint8_t *bytes; /* owned: what the segments point into */
    struct redo_segment *segments;
    size_t segment_count;
    size_t segment_capacity;
    struct redo_page *pages; /* ascending */
    size_t page_count;
    uint64_t content_end;  /* block behind the last one that the log names */
    uint64_t added_blocks; /* contents that the checkpoint's bitmap lacks */
};

/* Checks every edit, brings the page numbers in use up to date and makes the index. Takes log->bytes over. */
int redo_create(struct store *store, struct recover_log *log, struct redo **ret_redo, struct base_reason *ret_reason);
void redo_destroy(struct redo *redo);

/* NULL when the log says nothing about the page. Any thread. */
const struct redo_page *redo_find(const struct redo *redo, uint64_t page);

/* The bytes of a page (not a freed one) after the last record. Any thread. */
int redo_rebuild(struct store *store, const struct redo *redo, const struct redo_page *page, void *buffer,
                 struct base_reason *ret_reason);

/* --- Contents ----------------------------------------------------------------------------------------------------- */

struct recover_contents;

/* Follows the runs of all records. space must have the size of everything the log names. */
int recover_contents_create(struct store *store, const struct recover_log *log, struct recover_contents **ret_contents,
                            struct base_reason *ret_reason);
void recover_contents_destroy(struct recover_contents *contents);

/* Brings space up to date, and notes the changes for the bitmap of the next checkpoint. What is contents no more stays
 * unusable until then. */
int recover_contents_apply(struct store *store, struct recover_contents *contents, uint64_t *ret_added_blocks,
                           struct base_reason *ret_reason);

/* --- All of it ---------------------------------------------------------------------------------------------------- */

/* Reads the log and brings the store in memory up to date. Writes nothing. */
int recover_replay(struct store *store, struct base_reason *ret_reason);

/* Writable, both superblocks alike: makes what recover_replay found the new checkpoint, with a new salt. */
int recover_finish(struct store *store, struct base_reason *ret_reason);

#endif
