/* What the files of contents (content_*.c) and the check share: rows of contents in memory, the walk over an inode's
 * rows, and a change of several chunks in one transaction. docs/format.md section 5 has the bytes.
 *
 *      kind 1, a piece:  [1][bytes ...]                                 piece k of a small file, at offset k * P
 *      kind 2, a chunk:  [2][runs][run: 8 bytes ...][checksum: 8 bytes ...]   32 blocks of a file, at a multiple of
 *                                                                             131072
 *
 * An inode has pieces or chunks, never both: it has chunks exactly when its row counts content blocks. Data beyond the
 * size exists only while an `O inode from` row names its chunks (from >= size): nobody sees them, and whoever makes the
 * file longer frees them first. Beside them only unwritten blocks may lie beyond the size: fallocate reserved them.
 *
 * Locks: everything here runs under the inode's lock (shared to read, exclusive to change), or where nobody can reach
 * the inode. So its rows stay as they are between looking at them and changing them. */
#ifndef BEEFTREE_FS_CONTENT_H
#define BEEFTREE_FS_CONTENT_H

#include "base/assert.h"
#include "internal.h"

#include <stddef.h>

#define FS_CHUNK_BLOCKS       (FS_CHUNK_SIZE / STORE_BLOCK_SIZE)
#define FS_CONTENT_PIECE      1U
#define FS_CONTENT_CHUNK      2U
#define FS_CONTENT_KEY_SIZE   17U
#define FS_CHUNK_ROW_SIZE_MAX (2U + FS_CHUNK_BLOCKS * 16U)
#define FS_FREEING_TO_END     (1ULL << 63)

_Static_assert(FS_CHUNK_BLOCKS == 32, "a chunk's masks have 32 bits");
_Static_assert(FS_INLINE_MAX <= STORE_BLOCK_SIZE, "converting a small file takes one block");

static inline uint64_t fs_round_down(uint64_t value, uint64_t unit)
{
    return value / unit * unit;
}

/* value must be at most 2^63, so that it can't overflow. */
static inline uint64_t fs_round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* --- Rows (content_row.c) ----------------------------------------------------------------------------------------- */

/* A chunk unpacked: one slot for each block of the file. */
struct fs_chunk {
    uint64_t blocks[FS_CHUNK_BLOCKS]; /* 0: hole */
    uint64_t checksums[FS_CHUNK_BLOCKS];
    uint32_t unwritten; /* bit per slot: has a block, reads as zeros, has no checksum */
    uint32_t shared;    /* bit per slot: other slots may name its block too, table S knows (share.h) */
};

/* Checks everything: kind, counts, bounds, that no block comes twice (but shared ones), that the store knows the runs
 * as contents.
 * -EUCLEAN with the reason (no message is sent). */
int fs_chunk_decode(struct store *store, struct btree_slice value, struct fs_chunk *ret_chunk,
                    struct base_reason *ret_reason);
/* The row's bytes, in as few runs as possible; returns their size, 0 for a chunk of holes only. */
size_t fs_chunk_encode(const struct fs_chunk *chunk, uint8_t *row);
uint32_t fs_chunk_count_blocks(const struct fs_chunk *chunk);
/* The longest run of contiguous blocks from slot on, all shared or none; count 0 when the slot is a hole. */
struct store_run fs_chunk_run(const struct fs_chunk *chunk, uint32_t slot);

/* How many bytes a piece holds. */
uint32_t fs_piece_size(const struct fs *fs);

/* Sends the (rate-limited) message that an inode's contents are damaged and returns -EUCLEAN. */
int fs_content_damaged(uint64_t inode, uint64_t offset, const char *why);

/* --- Walking an inode's rows (content_row.c) ---------------------------------------------------------------------- */

struct fs_content_walk {
    struct fs *fs;
    struct txn *txn; /* or NULL */
    struct btree_cursor *cursor;
    uint64_t inode;
};

/* A row as it stands; value is valid until the walk moves. */
struct fs_content_row {
    uint64_t offset;
    uint8_t kind;
    struct btree_slice value; /* the whole value, kind included */
};

int fs_content_walk_open(struct fs *fs, struct txn *txn, uint64_t inode, struct fs_content_walk *ret_walk);
void fs_content_walk_close(struct fs_content_walk *walk);
/* The first row at or after offset, and the one after it; -ENOENT when the inode has no more. Key and kind are
 * checked. */
int fs_content_walk_seek(struct fs_content_walk *walk, uint64_t offset, struct fs_content_row *ret_row);
int fs_content_walk_next(struct fs_content_walk *walk, struct fs_content_row *ret_row);

/* The row as a chunk; -EUCLEAN with a message. */
int fs_content_row_to_chunk(struct fs *fs, uint64_t inode, const struct fs_content_row *row,
                            struct fs_chunk *ret_chunk);

/* --- Blocks (content_block.c) ------------------------------------------------------------------------------------- */

/* Whether a line about damage may be sent now: a few a second. */
bool fs_content_may_report(void);

/* The bytes of blocks of an inode, unchecked; a failure is also a line that names the inode. */
int fs_content_read_run(struct fs *fs, uint64_t inode, uint64_t offset, struct store_run run, void *buffer);

/* Compares count blocks of one run with their checksums; -EIO with a (rate-limited) message. */
int fs_content_verify(uint64_t inode, uint64_t offset, uint64_t first_block, const uint8_t *bytes,
                      const uint64_t *checksums, uint32_t count);

/* One slot of a chunk into a block-sized buffer, verified: zeros for a hole. offset: of the block in the file. */
int fs_content_load_block(struct fs *fs, uint64_t inode, uint64_t offset, const struct fs_chunk *chunk, uint32_t slot,
                          uint8_t *buffer);

/* --- Small files (content_inline.c) ------------------------------------------------------------------------------- */

/* All pieces of a small file into a buffer of FS_INLINE_MAX bytes, zeros behind them; *ret_end: how many bytes the
 * pieces hold. -EUCLEAN also when there are chunks. */
int fs_inline_load(struct fs *fs, uint64_t inode, uint8_t *buffer, uint32_t *ret_end);
/* Most pieces that a small file has. */
uint32_t fs_inline_pieces_max(const struct fs *fs);
/* Writer: makes the pieces hold bytes[0, end); those that lie wholly below keep stay as they are; old_end is what they
 * held before. */
int fs_inline_store(struct fs *fs, struct txn *txn, uint64_t inode, const uint8_t *bytes, uint32_t keep,
                    uint32_t old_end, uint32_t end);

/* --- A change of chunks (content_change.c) ------------------------------------------------------------------------ */

struct fs_chunk_change {
    uint64_t offset; /* of the chunk in the file */
    struct fs_chunk chunk;
    const uint8_t *sources[FS_CHUNK_BLOCKS]; /* a block's new bytes; NULL: it stays */
    uint64_t fresh[FS_CHUNK_BLOCKS];         /* its new place and checksum */
    uint64_t fresh_checksums[FS_CHUNK_BLOCKS];
    uint32_t dropped;   /* bit per slot: becomes a hole */
    uint32_t reserved;  /* gets a block, unwritten */
    uint32_t unwritten; /* keeps its block, but reads as zeros from now on */
    uint32_t adopted;   /* gets the block `fresh` that another slot has: both share it from now on */
    uint32_t marked;    /* keeps its block, which another slot adopts */
};

/* Lives from reading the old rows to commit:
 *
 *      init, load..., load_edge..., set.../drop...      txn_begin      write_blocks      txn_lock      apply
 */
struct fs_change {
    struct fs *fs;
    uint64_t inode;
    bool has_chunks;
    uint64_t goal;     /* where the first new block would best be; 0: no wish */
    uint32_t written;  /* slots with a source */
    uint32_t reserved; /* slots that get an unwritten block */
    bool takes_space;  /* some slot had no block before: more blocks are in use afterwards */
    bool was_reserved; /* some slot with a source had an unwritten block: room was promised */
    uint32_t capacity; /* chunks */
    uint32_t count;
    uint32_t edges_used;
    uint8_t edges[3][STORE_BLOCK_SIZE]; /* blocks put together here: first, last, converted */
    struct fs_chunk_change chunks[];
};

/* has_chunks: whether there are rows to read (false: the inode is empty or has pieces). */
int fs_change_create(struct fs *fs, uint64_t inode, bool has_chunks, uint32_t capacity, struct fs_change **ret_change);
void fs_change_destroy(struct fs_change *change);
/* Adds the chunks that cover from <= byte < to with what their rows say. Ascending calls only. */
int fs_change_load(struct fs_change *change, uint64_t from, uint64_t to);
/* A block-sized buffer that lives as long as the change. */
uint8_t *fs_change_edge(struct fs_change *change);
/* The loaded chunk at this offset. */
struct fs_chunk_change *fs_change_find(struct fs_change *change, uint64_t offset);
void fs_change_set(struct fs_change *change, struct fs_chunk_change *chunk, uint32_t slot, const uint8_t *source);
/* The slot is a hole, or its block is shared: it gets an unwritten block of its own. */
void fs_change_reserve(struct fs_change *change, struct fs_chunk_change *chunk, uint32_t slot);
/* Adds the chunks that have rows, in order, from the one that covers `from` up to `to`, as many as there is room for;
 * *ret_next: where to go on, UINT64_MAX when there are no more. */
int fs_change_load_rows(struct fs_change *change, uint64_t from, uint64_t to, uint64_t *ret_next);
/* Rows of table S that change with the chunks, at most. */
uint32_t fs_change_count_share_rows(const struct fs_change *change);
/* The need of a transaction that makes the change and alters so many rows beside it. A change after which no more
 * blocks are in use than before may use what is kept for operations that free space: what it takes comes back with the
 * next sync. */
struct txn_need fs_change_need(const struct fs_change *change, uint32_t rows_beside);
/* The slot gets a block that another slot has with this checksum, and keeps. Sharing is possible (fs_share_begin). */
void fs_change_adopt(struct fs_chunk_change *chunk, uint32_t slot, uint64_t block, uint64_t checksum);
/* Allocates every block that is needed and writes those that have a source. Between txn_begin and txn_lock. */
int fs_change_write_blocks(struct fs_change *change, struct txn *txn);
/* Writer: rows become what was asked, replaced blocks are freed; *content_blocks is kept true. */
int fs_change_apply(struct fs_change *change, struct txn *txn, uint64_t *content_blocks);

/* Adds to an inode's count of blocks; -EUCLEAN with a message when less than nothing would be left. */
int fs_content_count(uint64_t inode, uint64_t *content_blocks, uint64_t added, uint64_t removed);

/* How many rows one transaction may change, at most wanted: what the pool can hold, the inode's own row and a row of
 * contents being freed not counted. */
uint32_t fs_content_rows_max(struct fs *fs, uint32_t wanted);
/* The need of a transaction that changes so many rows. */
struct txn_need fs_content_need(struct fs *fs, uint32_t rows, uint64_t content_blocks, bool frees_space);

/* --- Copying (content_copy.c, content_clone.c) -------------------------------------------------------------------- */

/* A copy within the filesystem, or a part of one. */
struct fs_copy_part {
    struct fs *fs;
    const struct fs_caller *caller;
    uint64_t from, to; /* inodes of regular files */
    uint64_t from_offset, to_offset;
    uint64_t size;
};

/* fs_copy_range in at most so many steps. Each is one transaction as far as can be seen, so that a power cut leaves a
 * prefix of them. */
int64_t fs_content_copy(const struct fs_copy_part *part, unsigned steps_max);

/* One step: lets the target have the source's blocks. Both inodes are locked exclusively. The part lies within the
 * source; offsets are multiples of the block size; so is size, or the part reaches
 * the end of the source. Returns how many bytes are done: 0 when the bytes have to be copied, up to the next chunk of
 * the target at most, before it is worth another call. */
int64_t fs_content_clone(const struct fs_copy_part *part);

/* --- Freeing (content_free.c) ------------------------------------------------------------------------------------- */

/* The `O inode from` row: -ENOENT when there is none, -EUCLEAN when malformed. */
int fs_freeing_find(struct fs *fs, struct txn *txn, uint64_t inode, uint64_t *ret_from);
/* Checks such a row's key and value. */
int fs_freeing_decode(struct btree_slice key, struct btree_slice value, uint64_t *ret_inode, uint64_t *ret_from);
/* Before a file grows to new_size: no contents that wait to be freed may come to light. Rereads *row's count of blocks
 * when it had to free some. */
int fs_freeing_finish(struct fs *fs, uint64_t inode, struct fs_inode_row *row, uint64_t new_size);

/* Rows of contents from an offset on, collected so that one transaction can take them away. */
#define FS_FREE_ROWS_MAX 64U
struct fs_free_run {
    uint64_t block;
    uint32_t count;
    bool shared; /* table S says what becomes of the blocks */
};

struct fs_free_batch {
    uint64_t first, last; /* offsets of the rows */
    uint32_t rows;
    uint32_t share_rows; /* at most, that change with them */
    bool more;           /* rows are left behind the batch */
    uint32_t run_count;
    uint64_t blocks;
    struct fs_free_run runs[FS_FREE_ROWS_MAX * FS_CHUNK_BLOCKS];
};

int fs_free_batch_collect(struct fs *fs, struct txn *txn, uint64_t inode, uint64_t from, uint32_t rows_max,
                          struct fs_free_batch *ret_batch);
/* Begins the transaction for a batch and so many rows beside it; on a full disk for a smaller batch, collected anew:
 * what is kept for operations that free space is not enough for a large one. So too where the pool can't hold all. */
int fs_free_batch_begin(struct fs *fs, uint64_t inode, uint64_t from, uint32_t rows_beside, uint64_t content_blocks,
                        struct fs_free_batch *batch, struct txn **ret_txn);
/* Writer: deletes the rows and frees the runs. */
int fs_free_batch_apply(struct fs *fs, struct txn *txn, uint64_t inode, const struct fs_free_batch *batch);

#endif
