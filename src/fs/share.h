/* Table S: how many slots of chunks name a block of contents, where that is more than one (copy_file_range makes it
 * so).
 *
 *      key    S, be64 first block of a group of 64
 *      value  runs of 8 bytes: [first block in the group: 1][count of blocks: 1][zero: 2][owners: 4], ascending
 *
 * A slot whose block may have other owners is marked so in its row (struct fs_chunk, shared). Table S has the last
 * word: a marked slot whose block it does not name is the only one left. A block that it names is named by that many
 * slots, and all of them are marked.
 *
 *      one owner --acquire--> 2 owners --acquire--> 3 ...        both slots marked
 *      free <--release-- one owner <--release-- 2 owners
 *
 * A chunk's shared blocks lie in FS_SHARE_GROUPS_MAX groups at most, so that what changes with a chunk is bounded:
 * whoever would share more copies bytes instead.
 *
 * Locks: rows of table S are read to be changed, and changed, by the writer only (txn_lock). */
#ifndef BEEFTREE_FS_SHARE_H
#define BEEFTREE_FS_SHARE_H

#include "internal.h"

#define FS_SHARE_GROUP_BLOCKS    64U
#define FS_SHARE_GROUPS_MAX      8U
#define FS_SHARE_ROW_SIZE_MAX    (FS_SHARE_GROUP_BLOCKS * 8U)
#define FS_SHARE_KEY_SIZE        9U
#define FS_SHARE_OWNERS_AT_LEAST 2U

struct fs_share_group {
    uint64_t first;                         /* block, a multiple of FS_SHARE_GROUP_BLOCKS */
    uint32_t owners[FS_SHARE_GROUP_BLOCKS]; /* 0: the row does not name the block */
};

/* Checks the key's size, the block and every run. -EUCLEAN with the reason (no message is sent). */
int fs_share_decode(struct btree_slice key, struct btree_slice value, struct fs_share_group *ret_group,
                    struct base_reason *ret_reason);

/* How many groups (at most FS_SHARE_GROUPS_MAX + 1 are told apart) the blocks of the slots in mask lie in. */
uint32_t fs_share_count_groups(const uint64_t *blocks, uint32_t mask);

/* Before the first transaction that shares: the superblocks say that this database has shared blocks. May take a
 * checkpoint. No txn open. -EROFS. */
int fs_share_begin(struct fs *fs);

/* Writer: every block of the run gets one owner more. -EMLINK when there would be too many of one. */
int fs_share_acquire(struct fs *fs, struct txn *txn, struct store_run run);
/* Writer: one owner less; who had one only is freed. */
int fs_share_release(struct fs *fs, struct txn *txn, struct store_run run);

#endif
