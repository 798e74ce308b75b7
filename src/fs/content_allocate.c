/* fallocate: blocks reserved, holes punched, ranges made zeros, without writing what is known to be zeros.
 *
 *      allocate   holes of the range get blocks marked unwritten: counted, reading as zeros, without bytes. A write to
 *                 one goes to a fresh block as every write does, and gives the reserved one back; content_write.c sees
 *                 to it that there is room for that.
 *      zero       the same, and blocks that hold data become unwritten; a block that the range cuts is written anew
 *                 with zeros in it.
 *      punch      blocks wholly in the range go; a block that the range cuts is written anew with zeros in it.
 *
 * Bytes behind the end of the file count as covered by a range that reaches that end: they are zeros anyway. Blocks
 * behind the end are reserved ones only (content_resize.c frees them with the next truncate, to any size).
 *
 * A small file keeps its pieces where the range lies within them; else they become chunks.
 *
 * A large range is done in steps in ascending order, each a transaction of its own with size and times that go with it:
 * a power cut or an error leaves a prefix of the range done. */
#include "content.h"
#include "names.h"

#include "base/clock.h"

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>

#define STEP_CHUNKS_MAX 64U
#define SMALLER_STEP    8U /* how many times smaller the next attempt is when there is no space */

struct allocation {
    struct fs *fs;
    const struct fs_caller *caller;
    uint64_t inode;
    unsigned mode;
    uint64_t offset, end;
    struct fs_inode_row row; /* as committed last */
    bool takes_space;        /* the step begun last did: a smaller one would only leave a part done on a full disk */
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_punch(const struct allocation *allocation)
{
    return (allocation->mode & FALLOC_FL_PUNCH_HOLE) != 0;
}

static bool is_zero(const struct allocation *allocation)
{
    return (allocation->mode & FALLOC_FL_ZERO_RANGE) != 0;
}

/* The row when the range is done up to `done`. */
static struct fs_inode_row row_after(const struct allocation *allocation, uint64_t done)
{
    struct fs_inode_row row = allocation->row;

    if ((allocation->mode & FALLOC_FL_KEEP_SIZE) == 0 && done > row.attributes.size) {
        row.attributes.size = done;
    }
    row.attributes.modification_time = row.attributes.change_time = base_clock_now();
    row.attributes.mode = fs_mode_without_set_id(allocation->caller, row.attributes.mode);
    return row;
}

static int end_txn(struct txn *txn, int ret)
{
    if (ret < 0) {
        txn_abort(txn);
    } else {
        txn_commit(txn);
    }
    return ret;
}

/* --- Pieces ------------------------------------------------------------------------------------------------------- */

/* The pieces with zeros in the range: what is left of them when the range is to be zero. */
static int load_pieces(const struct allocation *allocation, uint8_t *bytes, uint32_t *ret_end)
{
    int ret = fs_inline_load(allocation->fs, allocation->inode, bytes, ret_end);

    if (ret < 0) {
        return ret;
    }
    if ((is_punch(allocation) || is_zero(allocation)) && allocation->offset < *ret_end) {
        memset(bytes + allocation->offset, 0, min_u64(allocation->end, *ret_end) - allocation->offset);
    }
    return 0;
}

/* The range asks for nothing that pieces can't give. */
static int change_pieces(struct allocation *allocation, const uint8_t *bytes, uint32_t end)
{
    struct fs *fs = allocation->fs;
    struct fs_inode_row row = row_after(allocation, min_u64(allocation->end, end));
    struct txn_need need = fs_content_need(fs, fs_inline_pieces_max(fs), 0, true);
    struct txn *txn;
    int ret = fs_txn_begin(fs, &need, &txn);

    if (ret < 0) {
        return ret;
    }
    txn_lock(txn);
    if ((is_punch(allocation) || is_zero(allocation)) && allocation->offset < end) {
        ret = fs_inline_store(fs, txn, allocation->inode, bytes, (uint32_t)allocation->offset, end, end);
    }
    if (ret == 0) {
        ret = fs_inode_row_write(fs, txn, allocation->inode, &row, false, NULL);
    }
    ret = end_txn(txn, ret);
    if (ret == 0) {
        allocation->row = row;
    }
    return ret;
}

/* --- What becomes of each block ----------------------------------------------------------------------------------- */

/* A block of data that the range cuts: its bytes with zeros in the range. */
static int set_cut_block(const struct allocation *allocation, struct fs_change *change, struct fs_chunk_change *chunk,
                         uint32_t slot)
{
    uint64_t start = chunk->offset + (uint64_t)slot * STORE_BLOCK_SIZE;
    uint64_t from = allocation->offset > start ? allocation->offset : start;
    uint64_t to = min_u64(allocation->end, start + STORE_BLOCK_SIZE);
    uint8_t *block = fs_change_edge(change);
    int ret = fs_content_load_block(allocation->fs, allocation->inode, start, &chunk->chunk, slot, block);

    if (ret < 0) {
        return ret;
    }
    memset(block + (from - start), 0, to - from);
    fs_change_set(change, chunk, slot, block);
    return 0;
}

static int plan_slot(const struct allocation *allocation, struct fs_change *change, struct fs_chunk_change *chunk,
                     uint32_t slot)
{
    uint64_t start = chunk->offset + (uint64_t)slot * STORE_BLOCK_SIZE;
    bool has_block = chunk->chunk.blocks[slot] != 0;
    bool has_data = has_block && (chunk->chunk.unwritten >> slot & 1U) == 0;
    bool is_covered = allocation->offset <= start && (allocation->end >= start + STORE_BLOCK_SIZE ||
                                                      (has_data && allocation->end >= allocation->row.attributes.size));

    if (chunk->sources[slot] != NULL) {
        return 0; /* the bytes of pieces, zeros in them already */
    }
    if (has_data && !is_covered && (is_punch(allocation) || is_zero(allocation))) {
        return set_cut_block(allocation, change, chunk, slot);
    }
    if (is_punch(allocation)) {
        /* Reserved blocks behind the end are nobody's but this file's: the block that holds the range's end stays. */
        chunk->dropped |= (uint32_t)(has_block && is_covered) << slot;
    } else if (!has_block || (has_data && is_zero(allocation) && (chunk->chunk.shared >> slot & 1U) != 0)) {
        fs_change_reserve(change, chunk, slot);
    } else if (has_data && is_zero(allocation)) {
        chunk->unwritten |= 1U << slot;
    }
    return 0;
}

static int plan_chunks(const struct allocation *allocation, struct fs_change *change, uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < change->count; i++) {
        struct fs_chunk_change *chunk = &change->chunks[i];

        for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
            uint64_t start = chunk->offset + (uint64_t)slot * STORE_BLOCK_SIZE;
            int ret = 0;

            if (start < to && start + STORE_BLOCK_SIZE > from) {
                ret = plan_slot(allocation, change, chunk, slot);
            }
            if (ret < 0) {
                return ret;
            }
        }
    }
    return 0;
}

/* --- Steps -------------------------------------------------------------------------------------------------------- */

/* One transaction. pieces_end: of a small file that becomes chunks in it. */
static int commit_step(struct allocation *allocation, struct fs_change *change, uint32_t pieces_end, uint64_t done)
{
    struct fs *fs = allocation->fs;
    struct fs_inode_row row = row_after(allocation, done);
    struct txn_need need = fs_change_need(change, pieces_end > 0 ? fs_inline_pieces_max(fs) : 0);
    struct txn *txn;
    int ret = fs_txn_begin(fs, &need, &txn);

    allocation->takes_space = change->takes_space;
    if (ret < 0) {
        return ret;
    }
    ret = fs_change_write_blocks(change, txn);
    if (ret < 0) {
        return end_txn(txn, ret);
    }
    txn_lock(txn);
    ret = fs_inline_store(fs, txn, allocation->inode, NULL, 0, pieces_end, 0);
    row.pieces = 1;
    if (ret == 0) {
        ret = fs_change_apply(change, txn, &row.content_blocks);
    }
    if (ret == 0) {
        ret = fs_inode_row_write(fs, txn, allocation->inode, &row, false, NULL);
    }
    ret = end_txn(txn, ret);
    if (ret == 0) {
        allocation->row = row;
    }
    return ret;
}

/* Blocks for from <= byte < to; in a file of pieces, of which the first step makes chunks. */
static int fill_step(struct allocation *allocation, struct fs_change *change, uint64_t from, uint64_t to)
{
    uint32_t pieces_end = 0;
    int ret;

    if (!change->has_chunks) {
        uint8_t *bytes = fs_change_edge(change);

        memset(bytes + FS_INLINE_MAX, 0, STORE_BLOCK_SIZE - FS_INLINE_MAX);
        ret = load_pieces(allocation, bytes, &pieces_end);
        if (ret == 0 && pieces_end > 0 && from >= FS_CHUNK_SIZE) {
            ret = fs_change_load(change, 0, 1);
        }
        if (ret == 0) {
            ret = fs_change_load(change, from, to);
        }
        if (ret == 0 && pieces_end > 0) {
            fs_change_set(change, fs_change_find(change, 0), 0, bytes);
        }
    } else {
        ret = fs_change_load(change, from, to);
    }
    if (ret == 0) {
        ret = plan_chunks(allocation, change, from, to);
    }
    return ret < 0 ? ret : commit_step(allocation, change, pieces_end, to);
}

static int fill_from(struct allocation *allocation, uint32_t chunks, uint64_t from, uint64_t *ret_next)
{
    uint64_t to = min_u64(fs_round_down(from, FS_CHUNK_SIZE) + (uint64_t)chunks * FS_CHUNK_SIZE, allocation->end);
    struct fs_change *change;
    int ret =
        fs_change_create(allocation->fs, allocation->inode, allocation->row.content_blocks > 0, chunks + 1, &change);

    if (ret < 0) {
        return ret;
    }
    ret = fill_step(allocation, change, from, to);
    fs_change_destroy(change);
    if (ret == 0) {
        *ret_next = to;
    }
    return ret;
}

/* Only chunks that are there count. */
static int punch_from(struct allocation *allocation, uint32_t chunks, uint64_t from, uint64_t *ret_next)
{
    struct fs_change *change;
    uint64_t next;
    int ret = fs_change_create(allocation->fs, allocation->inode, true, chunks, &change);

    if (ret < 0) {
        return ret;
    }
    ret = fs_change_load_rows(change, from, allocation->end, &next);
    if (ret == 0) {
        ret = plan_chunks(allocation, change, allocation->offset, allocation->end);
    }
    if (ret == 0) {
        ret = commit_step(allocation, change, 0, min_u64(next, allocation->end));
    }
    fs_change_destroy(change);
    if (ret == 0) {
        *ret_next = min_u64(next, allocation->end);
    }
    return ret;
}

static int do_steps(struct allocation *allocation)
{
    uint32_t chunks = fs_content_rows_max(allocation->fs, STEP_CHUNKS_MAX);
    uint64_t at = allocation->offset;
    int ret = 0;

    while (ret == 0 && at < allocation->end) {
        ret = is_punch(allocation) ? punch_from(allocation, chunks, at, &at) : fill_from(allocation, chunks, at, &at);
        if (chunks > 1 && (ret == -E2BIG || (ret == -ENOSPC && !allocation->takes_space))) {
            chunks = chunks > SMALLER_STEP ? chunks / SMALLER_STEP : 1;
            ret = 0;
        }
    }
    return ret;
}

/* --- Room --------------------------------------------------------------------------------------------------------- */

/* How many blocks of the range have none yet. */
static int count_holes(const struct allocation *allocation, uint64_t *ret_holes)
{
    uint64_t first = allocation->offset / STORE_BLOCK_SIZE;
    uint64_t last = (allocation->end - 1) / STORE_BLOCK_SIZE, holes = last - first + 1;
    struct fs_content_walk walk;
    struct fs_content_row row;
    struct fs_chunk chunk;
    int ret;

    if (allocation->row.content_blocks > 0) {
        ret = fs_content_walk_open(allocation->fs, NULL, allocation->inode, &walk);
        if (ret < 0) {
            return ret;
        }
        for (ret = fs_content_walk_seek(&walk, fs_round_down(allocation->offset, FS_CHUNK_SIZE), &row);
             ret == 0 && row.offset < allocation->end; ret = fs_content_walk_next(&walk, &row)) {
            ret = fs_content_row_to_chunk(allocation->fs, allocation->inode, &row, &chunk);
            if (ret < 0) {
                break;
            }
            for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
                uint64_t index = row.offset / STORE_BLOCK_SIZE + slot;

                holes -= chunk.blocks[slot] != 0 && index >= first && index <= last;
            }
        }
        fs_content_walk_close(&walk);
        if (ret < 0 && ret != -ENOENT) {
            return ret;
        }
    }
    *ret_holes = holes;
    return 0;
}

/* A range that can't fit is refused at once, instead of filling the disk with the part that does. */
static int check_room(const struct allocation *allocation)
{
    uint64_t holes = (allocation->end - allocation->offset) / STORE_BLOCK_SIZE;
    struct fs_space space;
    int ret = fs_get_space(allocation->fs, &space);

    if (ret < 0 || holes <= space.blocks_available) {
        return ret;
    }
    ret = count_holes(allocation, &holes);
    if (ret < 0 || holes <= space.blocks_available) {
        return ret;
    }
    /* What was freed lately counts only after a sync. */
    if (allocation->fs->reclaimer != NULL) {
        (void)fs_reclaimer_flush(allocation->fs->reclaimer);
    }
    ret = txn_engine_sync(allocation->fs->engine);
    if (ret == 0) {
        ret = fs_get_space(allocation->fs, &space);
    }
    return ret < 0 ? ret : holes <= space.blocks_available ? 0 : -ENOSPC;
}

/* --- Requests ----------------------------------------------------------------------------------------------------- */

/* An append-only file may have room reserved; nothing else of it changes but at its end. */
static int check_flags(const struct allocation *allocation)
{
    const struct fs_attributes *attributes = &allocation->row.attributes;
    bool only_reserves = (allocation->mode & ~(unsigned)FALLOC_FL_KEEP_SIZE) == 0;

    return fs_flags_check_write(attributes, only_reserves ? attributes->size : UINT64_MAX);
}

static int allocate_locked(struct allocation *allocation)
{
    uint8_t bytes[FS_INLINE_MAX];
    uint32_t pieces_end;
    int ret = fs_inode_row_read(allocation->fs, NULL, allocation->inode, &allocation->row);

    if (ret < 0) {
        return ret;
    }
    if (!S_ISREG(allocation->row.attributes.mode)) {
        return S_ISDIR(allocation->row.attributes.mode) ? -EISDIR : -ENODEV;
    }
    ret = check_flags(allocation);
    if (ret == 0) {
        ret = fs_freeing_finish(allocation->fs, allocation->inode, &allocation->row, allocation->end);
    }
    if (ret < 0) {
        return ret;
    }
    if (allocation->row.content_blocks == 0) {
        ret = load_pieces(allocation, bytes, &pieces_end);
        if (ret < 0) {
            return ret;
        }
        if (is_punch(allocation) || allocation->end <= pieces_end) {
            return change_pieces(allocation, bytes, pieces_end);
        }
    }
    ret = is_punch(allocation) ? 0 : check_room(allocation);
    return ret < 0 ? ret : do_steps(allocation);
}

static int check_mode(unsigned mode)
{
    switch (mode) {
    case 0:
    case FALLOC_FL_KEEP_SIZE:
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
    case FALLOC_FL_ZERO_RANGE:
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

int fs_content_allocate(struct fs *fs, const struct fs_caller *caller, uint64_t inode, unsigned mode, uint64_t offset,
                        uint64_t size)
{
    struct allocation allocation = {
        .fs = fs, .caller = caller, .inode = inode, .mode = mode, .offset = offset, .end = offset + size};

    return allocate_locked(&allocation);
}

int fs_allocate(struct fs *fs, const struct fs_caller *caller, uint64_t number, unsigned mode, uint64_t offset,
                uint64_t size)
{
    struct fs_inode *inode;
    int ret = check_mode(mode);

    if (ret < 0) {
        return ret;
    }
    if (size == 0) {
        return -EINVAL;
    }
    if (offset > (uint64_t)FS_FILE_SIZE_MAX || size > (uint64_t)FS_FILE_SIZE_MAX - offset) {
        return -EFBIG;
    }
    ret = fs_inode_acquire(fs, number, &inode);
    if (ret < 0) {
        return ret;
    }
    base_latch_lock_exclusive(&inode->latch);
    ret = fs_content_allocate(fs, caller, number, mode, offset, size);
    base_latch_unlock_exclusive(&inode->latch);
    fs_inode_release(fs, inode);
    return ret;
}
