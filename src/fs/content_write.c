/* Writing. Each request is one transaction: whole blocks go straight from the caller's buffer to fresh blocks of the
 * database; a first or last block that the request cuts is put together with its old bytes (verified) first. Small
 * files are kept as pieces in the tree; the write that makes one larger than FS_INLINE_MAX turns it into chunks in the
 * same transaction.
 *
 * A request that needs more rows than one transaction may change (WRITE_CHUNKS_MAX, or a very small pool) is done in
 * several, in ascending order; one that fails in the middle then answers how far it came. So is one into blocks that
 * fallocate reserved, when the disk is full: each replaced block is free again only after the next sync, so a chunk at
 * a time goes through the blocks kept back for that (admission syncs in between). */
#include "content.h"
#include "names.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Chunks of one transaction: 4 MiB at any offset. */
#define WRITE_CHUNKS_MAX 33U

struct request {
    struct fs *fs;
    const struct fs_caller *caller;
    uint64_t inode;
    struct fs_inode_row row; /* as committed last */
    bool may_split; /* the part that failed goes where space was reserved, or changes too much: smaller ones may fit */
};

/* A part of a request: what one transaction writes. */
struct part {
    uint64_t offset, end;
    const uint8_t *bytes;
};

/* The row as it will be when the part is written. */
static struct fs_inode_row row_after(const struct request *request, const struct part *part)
{
    struct fs_inode_row row = request->row;

    if (part->end > row.attributes.size) {
        row.attributes.size = part->end;
    }
    row.attributes.modification_time = row.attributes.change_time = base_clock_now();
    row.attributes.mode = fs_mode_without_set_id(request->caller, row.attributes.mode);
    return row;
}

/* --- Pieces ------------------------------------------------------------------------------------------------------- */

static int write_pieces(struct request *request, const struct part *part)
{
    struct fs *fs = request->fs;
    struct fs_inode_row row = row_after(request, part);
    struct txn_need need = fs_content_need(fs, fs_inline_pieces_max(fs), 0, false);
    uint8_t bytes[FS_INLINE_MAX];
    uint32_t old_end, end;
    struct txn *txn;
    int ret = fs_inline_load(fs, request->inode, bytes, &old_end);

    if (ret < 0) {
        return ret;
    }
    memcpy(bytes + part->offset, part->bytes, part->end - part->offset);
    end = part->end > old_end ? (uint32_t)part->end : old_end;
    row.pieces = 1 + end;
    ret = fs_txn_begin(fs, &need, &txn);
    if (ret < 0) {
        return ret;
    }
    txn_lock(txn);
    ret = fs_inline_store(fs, txn, request->inode, bytes, part->offset < old_end ? (uint32_t)part->offset : old_end,
                          old_end, end);
    if (ret == 0) {
        ret = fs_inode_row_write(fs, txn, request->inode, &row, false, NULL);
    }
    if (ret < 0) {
        txn_abort(txn);
        return ret;
    }
    txn_commit(txn);
    request->row = row;
    return 0;
}

/* --- Chunks ------------------------------------------------------------------------------------------------------- */

/* Bytes of a small file on their way to be block 0. */
struct conversion {
    uint8_t *bytes; /* a block; NULL: the file has chunks already */
    uint32_t end;   /* that the pieces hold */
};

/* A block that the part covers only partly: its other bytes are the old ones. */
static int set_cut_block(struct request *request, const struct part *part, struct fs_change *change,
                         const struct conversion *conversion, uint64_t start)
{
    struct fs_chunk_change *chunk = fs_change_find(change, fs_round_down(start, FS_CHUNK_SIZE));
    uint32_t slot = (uint32_t)((start - chunk->offset) / STORE_BLOCK_SIZE);
    uint64_t from = part->offset > start ? part->offset : start;
    uint64_t to = part->end < start + STORE_BLOCK_SIZE ? part->end : start + STORE_BLOCK_SIZE;
    uint8_t *block;
    int ret;

    if (start == 0 && conversion->bytes != NULL) {
        block = conversion->bytes;
    } else {
        block = fs_change_edge(change);
        if (from == start && to >= request->row.attributes.size) {
            memset(block, 0, STORE_BLOCK_SIZE); /* nothing of the old block is left */
        } else {
            ret = fs_content_load_block(request->fs, request->inode, start, &chunk->chunk, slot, block);
            if (ret < 0) {
                return ret;
            }
        }
    }
    memcpy(block + (from - start), part->bytes + (from - part->offset), to - from);
    fs_change_set(change, chunk, slot, block);
    return 0;
}

static int set_blocks(struct request *request, const struct part *part, struct fs_change *change,
                      const struct conversion *conversion)
{
    uint64_t first = fs_round_down(part->offset, STORE_BLOCK_SIZE);

    /* The part leaves block 0 as it is, or cuts it (then its bytes are merged below). */
    if (conversion->end > 0 && first > 0) {
        fs_change_set(change, fs_change_find(change, 0), 0, conversion->bytes);
    }
    for (uint64_t start = first; start < part->end; start += STORE_BLOCK_SIZE) {
        if (start < part->offset || start + STORE_BLOCK_SIZE > part->end) {
            int ret = set_cut_block(request, part, change, conversion, start);

            if (ret < 0) {
                return ret;
            }
        } else {
            struct fs_chunk_change *chunk = fs_change_find(change, fs_round_down(start, FS_CHUNK_SIZE));

            fs_change_set(change, chunk, (uint32_t)((start - chunk->offset) / STORE_BLOCK_SIZE),
                          part->bytes + (start - part->offset));
        }
    }
    return 0;
}

static int prepare(struct request *request, const struct part *part, struct fs_change *change,
                   struct conversion *conversion)
{
    int ret;

    if (!change->has_chunks) {
        conversion->bytes = fs_change_edge(change);
        memset(conversion->bytes + FS_INLINE_MAX, 0, STORE_BLOCK_SIZE - FS_INLINE_MAX);
        ret = fs_inline_load(request->fs, request->inode, conversion->bytes, &conversion->end);
        if (ret < 0) {
            return ret;
        }
        if (conversion->end > 0 && part->offset >= FS_CHUNK_SIZE) {
            ret = fs_change_load(change, 0, 1);
            if (ret < 0) {
                return ret;
            }
        }
    }
    ret = fs_change_load(change, part->offset, part->end);
    if (ret < 0) {
        return ret;
    }
    return set_blocks(request, part, change, conversion);
}

/* Blocks are written, rows are not: the part that holds the writer lock. */
static int change_rows(struct request *request, struct fs_change *change, const struct conversion *conversion,
                       struct txn *txn, struct fs_inode_row *row)
{
    int ret = fs_inline_store(request->fs, txn, request->inode, NULL, 0, conversion->end, 0);

    if (ret < 0) {
        return ret;
    }
    row->pieces = 1;
    ret = fs_change_apply(change, txn, &row->content_blocks);
    if (ret < 0) {
        return ret;
    }
    return fs_inode_row_write(request->fs, txn, request->inode, row, false, NULL);
}

static int write_change(struct request *request, const struct part *part, struct fs_change *change)
{
    struct fs_inode_row row = row_after(request, part);
    struct conversion conversion = {.bytes = NULL};
    struct txn_need need;
    struct txn *txn;
    int ret = prepare(request, part, change, &conversion);

    if (ret < 0) {
        return ret;
    }
    need = fs_change_need(change, conversion.end > 0 ? fs_inline_pieces_max(request->fs) : 0);
    ret = fs_txn_begin(request->fs, &need, &txn);
    if (ret < 0) {
        request->may_split = ret == -E2BIG || (ret == -ENOSPC && change->was_reserved && !change->takes_space);
        return ret;
    }
    ret = fs_change_write_blocks(change, txn);
    if (ret == 0) {
        txn_lock(txn);
        ret = change_rows(request, change, &conversion, txn, &row);
    }
    if (ret < 0) {
        txn_abort(txn);
        return ret;
    }
    txn_commit(txn);
    request->row = row;
    return 0;
}

static int write_chunks(struct request *request, const struct part *part)
{
    uint64_t chunks =
        (fs_round_up(part->end, FS_CHUNK_SIZE) - fs_round_down(part->offset, FS_CHUNK_SIZE)) / FS_CHUNK_SIZE;
    struct fs_change *change;
    int ret =
        fs_change_create(request->fs, request->inode, request->row.content_blocks > 0, (uint32_t)chunks + 1, &change);

    if (ret < 0) {
        return ret;
    }
    ret = write_change(request, part, change);
    fs_change_destroy(change);
    return ret;
}

/* --- Requests ----------------------------------------------------------------------------------------------------- */

static int write_part(struct request *request, const struct part *part)
{
    uint64_t size = request->row.attributes.size;

    if (request->row.content_blocks == 0 && (part->end > size ? part->end : size) <= FS_INLINE_MAX) {
        return write_pieces(request, part);
    }
    return write_chunks(request, part);
}

static int64_t write_locked(struct request *request, uint64_t offset, const uint8_t *bytes, size_t size)
{
    uint64_t part_max = (uint64_t)fs_content_rows_max(request->fs, WRITE_CHUNKS_MAX) * FS_CHUNK_SIZE;
    uint64_t end = offset + size;
    struct part part = {.end = offset};
    int ret = fs_inode_row_read(request->fs, NULL, request->inode, &request->row);

    if (ret < 0) {
        return ret;
    }
    if (!S_ISREG(request->row.attributes.mode)) {
        return S_ISDIR(request->row.attributes.mode) ? -EISDIR : -EINVAL;
    }
    ret = fs_flags_check_write(&request->row.attributes, offset);
    if (ret == 0) {
        ret = fs_freeing_finish(request->fs, request->inode, &request->row, end);
    }
    while (ret == 0 && part.end < end) {
        part.offset = part.end;
        part.bytes = bytes + (part.offset - offset);
        part.end = fs_round_down(part.offset, FS_CHUNK_SIZE) + part_max;
        if (part.end > end) {
            part.end = end;
        }
        ret = write_part(request, &part);
        if (ret < 0 && request->may_split && part_max > FS_CHUNK_SIZE) {
            request->may_split = false;
            part_max = FS_CHUNK_SIZE;
            part.end = part.offset;
            ret = 0;
            continue;
        }
        if (ret < 0 && part.offset > offset) {
            return (int64_t)(part.offset - offset);
        }
    }
    return ret < 0 ? ret : (int64_t)size;
}

int64_t fs_content_write(struct fs *fs, const struct fs_caller *caller, uint64_t inode, uint64_t offset,
                         const void *bytes, size_t size)
{
    struct request request = {.fs = fs, .caller = caller, .inode = inode};

    return write_locked(&request, offset, bytes, size);
}

int64_t fs_write(struct fs *fs, const struct fs_caller *caller, uint64_t number, uint64_t offset, const void *bytes,
                 size_t size)
{
    struct fs_inode *inode;
    int64_t result;

    if (size == 0) {
        return 0;
    }
    if (offset > (uint64_t)FS_FILE_SIZE_MAX || size > (uint64_t)FS_FILE_SIZE_MAX - offset) {
        return -EFBIG;
    }
    result = fs_inode_acquire(fs, number, &inode);
    if (result < 0) {
        return result;
    }
    base_latch_lock_exclusive(&inode->latch);
    result = fs_content_write(fs, caller, number, offset, bytes, size);
    base_latch_unlock_exclusive(&inode->latch);
    fs_inode_release(fs, inode);
    return result;
}
