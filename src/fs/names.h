/* What the files about inodes and names share beyond internal.h: the inode table's insides as reclaim.c and open.c need
 * them, entry rows (D), orphan rows (O), inode numbers, and the reclaimer. */
#ifndef BEEFTREE_FS_NAMES_H
#define BEEFTREE_FS_NAMES_H

#include "internal.h"

/* --- Inodes in use (inode_table.c) -------------------------------------------------------------------------------- */

int fs_inode_table_create(struct fs_inode_table **ret_table);
/* Releases every object, whatever its counts: no operation may be running. */
void fs_inode_table_destroy(struct fs_inode_table *table);

/* One more lookup that the kernel holds. -ENOMEM. Caller holds what keeps the inode from being unlinked meanwhile. */
int fs_inode_add_lookup(struct fs *fs, uint64_t number);
/* Turns the caller's reference into a lookup that the kernel holds. Can't fail. */
void fs_inode_reference_to_lookup(struct fs *fs, struct fs_inode *inode);
/* The inode has lost its last name (its O row is committed): the last release or forget hands it to the reclaimer. */
void fs_inode_mark_orphan(struct fs *fs, struct fs_inode *inode);
/* The same for an inode whose O row a scan has met. Returns false when nobody uses it: then it is the caller's to end.
 */
bool fs_inode_mark_orphan_in_use(struct fs *fs, uint64_t number);
/* A temporary inode has got a name (that its O row is gone is committed). Caller holds a reference. */
void fs_inode_unmark_orphan(struct fs *fs, struct fs_inode *inode);
void fs_inode_table_count(struct fs *fs, uint64_t *ret_inodes, uint64_t *ret_lookups);
/* Memory of one inode in use, its share of the table included. */
uint64_t fs_inode_bytes(void);

/* The object of a number in a locked set. */
struct fs_inode *fs_lock_set_find(const struct fs_lock_set *set, uint64_t number);

/* --- Rows of inodes (inode_row.c) --------------------------------------------------------------------------------- */

/* Why the bytes are no row, or NULL. */
const char *fs_inode_row_find_fault(const uint8_t *bytes, size_t size);
/* -EUCLEAN (message sent). */
int fs_inode_row_decode(uint64_t inode, const uint8_t *bytes, size_t size, struct fs_inode_row *ret_row);
/* What attributes.blocks is, in units of 512 bytes: content blocks, else what is inline. */
uint64_t fs_inode_row_blocks(const struct fs_inode_row *row);
/* A directory that has not been removed: -ENOTDIR, -ENOENT. */
int fs_directory_row_read(struct fs *fs, struct txn *txn, uint64_t inode, struct fs_inode_row *ret_row);
/* The inode that an entry names: that it is missing, nameless or of another type is damage (-EUCLEAN). */
int fs_child_row_read(struct fs *fs, struct txn *txn, uint64_t inode, uint32_t type, struct fs_inode_row *ret_row);
/* Outside a transaction, but -EAGAIN when that needs the disk. */
int fs_child_row_read_resident(struct fs *fs, uint64_t inode, uint32_t type, struct fs_inode_row *ret_row);
int fs_inode_row_delete(struct fs *fs, struct txn *txn, uint64_t inode);
/* A symlink's target that stands in its row, NUL-terminated; buffer has FS_SYMLINK_INLINE_MAX + 1 bytes. */
int fs_inode_row_read_target(struct fs *fs, uint64_t inode, char *buffer);
/* The superinode row (I 0). What it says is no more than this, and a writable mount refuses more than half of it: so
 * numbers never wrap. */
#define FS_NEXT_NUMBER_MAX (UINT64_C(1) << 63)
int fs_super_row_read(struct fs *fs, uint64_t *ret_next_number);
int fs_super_row_write(struct fs *fs, struct txn *txn, uint64_t next_number);

/* --- Entries (entry_row.c) ---------------------------------------------------------------------------------------- */

struct fs_entry_row {
    uint64_t inode; /* 0: there is no such entry, where that is a possible answer */
    uint32_t type;  /* mode's type bits */
};

/* The entry row's key begins with the table and the parent. */
#define FS_ENTRY_PREFIX_SIZE 9U

/* -EINVAL (empty, ".", "..", with '/'), -ENAMETOOLONG. */
int fs_name_check(const char *name, size_t *ret_size);
/* -EUCLEAN when the value is malformed (message sent). */
int fs_entry_decode(uint64_t parent, struct btree_slice value, struct fs_entry_row *ret_entry);
/* -ENOENT. */
int fs_entry_read(struct fs *fs, struct txn *txn, uint64_t parent, const char *name, size_t name_size,
                  struct fs_entry_row *ret_entry);
/* -EEXIST. */
int fs_entry_insert(struct fs *fs, struct txn *txn, uint64_t parent, const char *name, size_t name_size,
                    const struct fs_entry_row *entry);
/* Inserts or replaces. */
int fs_entry_put(struct fs *fs, struct txn *txn, uint64_t parent, const char *name, size_t name_size,
                 const struct fs_entry_row *entry);
int fs_entry_delete(struct fs *fs, struct txn *txn, uint64_t parent, const char *name, size_t name_size);

/* Changes the number of a directory's entries in its row, with the times that go with it. -EUCLEAN on underflow. */
int fs_directory_row_add(struct fs_inode_row *directory, int entries, int subdirectories, struct timespec now);

/* --- Flags (flags.c): 0 or -EPERM --------------------------------------------------------------------------------- */

/* A new directory entry. */
int fs_flags_check_add(const struct fs_attributes *directory);
/* An entry and the name that it gives to child go, or lead elsewhere. */
int fs_flags_check_remove(const struct fs_attributes *directory, const struct fs_attributes *child);
/* set: enum fs_set. */
int fs_flags_check_attributes(const struct fs_attributes *attributes, uint32_t set);

/* --- Orphans (reclaim.c) ------------------------------------------------------------------------------------------ */

/* The `O inode` row: in the transaction that takes the last name away. */
int fs_orphan_row_insert(struct fs *fs, struct txn *txn, uint64_t inode);
int fs_orphan_row_delete(struct fs *fs, struct txn *txn, uint64_t inode);

int fs_reclaimer_create(struct fs *fs, struct fs_reclaimer **ret_reclaimer);
/* Goes over the O table: what an earlier run left. With a thread: starts it, and it begins with that. */
int fs_reclaimer_start(struct fs_reclaimer *reclaimer, bool with_thread);
/* Nothing is in use any more: ends the thread and every orphan, whatever its counts. */
void fs_reclaimer_finish(struct fs_reclaimer *reclaimer);
/* After a start, only after finish or when nothing was started. */
void fs_reclaimer_destroy(struct fs_reclaimer *reclaimer);
/* Takes over an orphan's object that has just left the table. Caller holds no lock. */
void fs_reclaimer_add(struct fs_reclaimer *reclaimer, struct fs_inode *inode);
/* Counts an inode that has become an orphan in use. */
void fs_reclaimer_expect(struct fs_reclaimer *reclaimer);
/* It is none any more. */
void fs_reclaimer_expect_no_more(struct fs_reclaimer *reclaimer);
/* Waits until the orphans that wait now have been dealt with; false when there were none. Caller may hold inode locks.
 */
bool fs_reclaimer_flush(struct fs_reclaimer *reclaimer);
/* Orphans in use and waiting. */
uint64_t fs_reclaimer_get_orphans(struct fs_reclaimer *reclaimer);

/* Ends orphans (reclaim_rows.c), none of which anybody can reach: as many as one transaction takes of the first count,
 * at least one; *ret_done says how many were dealt with. Damage is reported and passed over, the row stays; an error is
 * one that may pass (-ENOSPC, -ENOMEM) or that ends all writing (-EROFS). */
int fs_reclaim_orphans(struct fs *fs, const uint64_t *inodes, unsigned count, unsigned *ret_done);
/* A row of the O table after (inode, from). -ENOENT at the end. */
struct fs_orphan_row {
    uint64_t inode, from;
    bool is_freeing; /* `O inode from`; else `O inode` */
};
int fs_orphan_row_next(struct btree_cursor *cursor, const struct fs_orphan_row *after, struct fs_orphan_row *ret_row);

/* --- Inode numbers (inode_number.c) ------------------------------------------------------------------------------- */

/* The next number; *ret_raise: the operation must call fs_number_raise in its transaction (one row change more). */
uint64_t fs_number_take(struct fs *fs, bool *ret_raise);
/* Writer: makes the superinode row cover number. */
int fs_number_raise(struct fs *fs, struct txn *txn, uint64_t number);
/* Right before the commit that makes the raise real. */
void fs_number_raised(struct fs *fs, uint64_t number);

/* --- Transactions ------------------------------------------------------------------------------------------------- */

/* txn_begin, but before it says -ENOSPC it waits for the orphans that are about to give their space back. */
int fs_txn_begin(struct fs *fs, const struct txn_need *need, struct txn **ret_txn);
/* Admission for so many row changes and extra pages, then the writer lock. */
int fs_row_changes_begin(struct fs *fs, uint32_t row_changes, uint32_t extra_pages, bool frees_space,
                         struct txn **ret_txn);
/* Commits, or aborts when error is not 0; returns error. */
int fs_row_changes_end(struct txn *txn, int error);

#endif
