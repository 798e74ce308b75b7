/* Changing a file's size. Longer: only the number changes, what is new is a hole, or reserved already (fallocate beyond
 * the end). Shorter, or the same: rows behind the new end go,
 * and the bytes behind it in its last block or piece are made zeros or cut off, so that they never come back. Where
 * more rows go than one transaction takes, the rest is left to content_free.c. */
#include "base/bytes.h"
#include "base/tooth.h"
#include "content.h"
#include "names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int begin_locked(struct fs *fs, const struct txn_need *need, struct txn **ret_txn)
{
    int ret = fs_txn_begin(fs, need, ret_txn);

    if (ret == 0) {
        txn_lock(*ret_txn);
    }
    return ret;
}

static int end(struct txn *txn, int ret)
{
    if (ret < 0) {
        txn_abort(txn);
    } else {
        txn_commit(txn);
    }
    return ret;
}

/* --- Longer, or the same ------------------------------------------------------------------------------------------ */

static int resize_up(struct fs *fs, uint64_t inode, const struct fs_inode_row *old, struct fs_inode_row *new)
{
    struct txn_need need = fs_content_need(fs, 0, 0, false);
    struct fs_inode_row current = *old;
    struct txn *txn;
    int ret = fs_freeing_finish(fs, inode, &current, new->attributes.size);

    if (ret < 0) {
        return ret;
    }
    new->content_blocks = current.content_blocks;
    ret = begin_locked(fs, &need, &txn);
    if (ret < 0) {
        return ret;
    }
    return end(txn, fs_inode_row_write(fs, txn, inode, new, false, NULL));
}

/* --- Shorter: pieces ---------------------------------------------------------------------------------------------- */

static int cut_pieces(struct fs *fs, uint64_t inode, struct fs_inode_row *new)
{
    struct txn_need need = fs_content_need(fs, fs_inline_pieces_max(fs), 0, true);
    uint8_t bytes[FS_INLINE_MAX];
    uint32_t old_end, new_end;
    struct txn *txn;
    int ret = fs_inline_load(fs, inode, bytes, &old_end);

    if (ret < 0) {
        return ret;
    }
    new_end = new->attributes.size < old_end ? (uint32_t) new->attributes.size : old_end;
    new->content_blocks = 0;
    new->pieces = 1 + new_end;
    ret = begin_locked(fs, &need, &txn);
    if (ret < 0) {
        return ret;
    }
    if (new_end < old_end) {
        ret = fs_inline_store(fs, txn, inode, bytes, new_end, old_end, new_end);
    }
    if (ret == 0) {
        ret = fs_inode_row_write(fs, txn, inode, new, false, NULL);
    }
    return end(txn, ret);
}

/* --- Shorter: chunks ---------------------------------------------------------------------------------------------- */

struct cut {
    struct fs *fs;
    uint64_t inode;
    uint64_t from;         /* the first chunk that goes as a whole */
    bool has_freeing_row;  /* from an earlier cut that has not been finished */
    uint64_t freeing_from; /* where that one begins */
    struct fs_change *change;
    struct fs_free_batch batch;
};

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* In the chunk that the new end cuts: blocks behind it go, the block that holds it gets zeros behind it. */
static int cut_last_chunk(struct cut *cut, uint64_t size, bool is_shorter)
{
    uint64_t start = fs_round_down(size, FS_CHUNK_SIZE);
    uint32_t in_chunk = (uint32_t)(size - start), in_block = in_chunk % STORE_BLOCK_SIZE;
    uint32_t slot = in_chunk / STORE_BLOCK_SIZE;
    struct fs_chunk_change *chunk;
    uint8_t *block;
    int ret = fs_change_load(cut->change, start, start + 1);

    if (ret < 0) {
        return ret;
    }
    chunk = fs_change_find(cut->change, start);
    if (in_block > 0 && is_shorter) {
        block = fs_change_edge(cut->change);
        ret = fs_content_load_block(cut->fs, cut->inode, size - in_block, &chunk->chunk, slot, block);
        if (ret < 0) {
            return ret;
        }
        if (!BASE_TOOTH(TRUNCATED_BYTES_RETURN) && !is_zero(block + in_block, STORE_BLOCK_SIZE - in_block)) {
            memset(block + in_block, 0, STORE_BLOCK_SIZE - in_block);
            fs_change_set(cut->change, chunk, slot, block);
        }
    }
    slot += in_block > 0;
    for (; slot < FS_CHUNK_BLOCKS; slot++) {
        if (chunk->chunk.blocks[slot] != 0) {
            chunk->dropped |= 1U << slot;
        }
    }
    return 0;
}

static int prepare_cut(struct cut *cut, uint64_t size, bool is_shorter)
{
    uint32_t rows_max = fs_content_rows_max(cut->fs, FS_FREE_ROWS_MAX);
    int ret = fs_freeing_find(cut->fs, NULL, cut->inode, &cut->freeing_from);

    if (ret < 0 && ret != -ENOENT) {
        return ret;
    }
    cut->has_freeing_row = ret == 0;
    cut->from = fs_round_up(size, FS_CHUNK_SIZE);
    ret = fs_free_batch_collect(cut->fs, NULL, cut->inode, cut->from, rows_max, &cut->batch);
    if (ret < 0) {
        return ret;
    }
    return size < cut->from ? cut_last_chunk(cut, size, is_shorter) : 0;
}

/* The O row must say what is left: nothing, or everything from cut->from on. */
static int mark_rest(struct cut *cut, struct txn *txn)
{
    uint8_t key[FS_CONTENT_KEY_SIZE], to[8];
    bool keep = cut->batch.more && cut->has_freeing_row && cut->freeing_from == cut->from;
    int ret;

    if (cut->has_freeing_row && !keep) {
        ret = btree_delete(cut->fs->tree, txn,
                           (struct btree_slice){key, fs_key_freeing(key, cut->inode, cut->freeing_from)});
        if (ret < 0) {
            return ret;
        }
    }
    if (!cut->batch.more || keep) {
        return 0;
    }
    base_put_le64(to, FS_FREEING_TO_END);
    return btree_insert(cut->fs->tree, txn, (struct btree_slice){key, fs_key_freeing(key, cut->inode, cut->from)},
                        (struct btree_slice){to, sizeof to});
}

static int cut_rows(struct cut *cut, struct txn *txn, struct fs_inode_row *new)
{
    int ret = fs_free_batch_apply(cut->fs, txn, cut->inode, &cut->batch);

    if (ret < 0) {
        return ret;
    }
    ret = fs_content_count(cut->inode, &new->content_blocks, 0, cut->batch.blocks);
    if (ret < 0) {
        return ret;
    }
    ret = fs_change_apply(cut->change, txn, &new->content_blocks);
    if (ret < 0) {
        return ret;
    }
    ret = mark_rest(cut, txn);
    if (ret < 0) {
        return ret;
    }
    return fs_inode_row_write(cut->fs, txn, cut->inode, new, false, NULL);
}

static int cut_chunks(struct cut *cut, const struct fs_inode_row *old, struct fs_inode_row *new)
{
    struct txn_need need;
    struct txn *txn;
    uint32_t rows_beside;
    int ret = prepare_cut(cut, new->attributes.size, new->attributes.size < old->attributes.size);

    if (ret < 0) {
        return ret;
    }
    rows_beside = 2 + fs_change_count_share_rows(cut->change);
    ret = fs_free_batch_begin(cut->fs, cut->inode, cut->from, rows_beside, cut->change->written, &cut->batch, &txn);
    if (ret == -ENOSPC) {
        need =
            fs_content_need(cut->fs, cut->batch.rows + cut->batch.share_rows + rows_beside, cut->change->written, true);
        ret = fs_txn_begin(cut->fs, &need, &txn);
    }
    if (ret < 0) {
        return ret;
    }
    ret = fs_change_write_blocks(cut->change, txn);
    if (ret < 0) {
        return end(txn, ret);
    }
    txn_lock(txn);
    return end(txn, cut_rows(cut, txn, new));
}

static int resize_down(struct fs *fs, uint64_t inode, const struct fs_inode_row *old, struct fs_inode_row *new)
{
    struct cut *cut = malloc(sizeof *cut);
    struct fs_inode_row freed;
    int ret;

    if (cut == NULL) {
        return -ENOMEM;
    }
    cut->fs = fs;
    cut->inode = inode;
    new->content_blocks = old->content_blocks;
    ret = fs_change_create(fs, inode, true, 1, &cut->change);
    if (ret < 0) {
        free(cut);
        return ret;
    }
    ret = cut_chunks(cut, old, new);
    /* The operation is done; the rest of the freeing is ours, now or later. */
    if (ret == 0 && cut->batch.more && fs_content_free_steps(fs, inode, cut->from) == 0 &&
        fs_inode_row_read(fs, NULL, inode, &freed) == 0) {
        new->content_blocks = freed.content_blocks;
    }
    fs_change_destroy(cut->change);
    free(cut);
    return ret;
}

int fs_content_resize(struct fs *fs, struct fs_inode *inode, const struct fs_inode_row *old, struct fs_inode_row *new)
{
    int ret;

    if (new->attributes.size > old->attributes.size ||
        (new->attributes.size == old->attributes.size && old->content_blocks == 0)) {
        ret = resize_up(fs, inode->number, old, new);
    } else if (old->content_blocks == 0) {
        ret = cut_pieces(fs, inode->number, new);
    } else {
        ret = resize_down(fs, inode->number, old, new);
    }
    if (ret < 0) {
        return ret;
    }
    new->attributes.blocks = fs_inode_row_blocks(new);
    return 0;
}
