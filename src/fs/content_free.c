/* Giving contents back. Few rows go with the change that drops them; many are named by an `O inode from` row in that
 * change and go in steps, each a transaction of its own:
 *
 *      O row made with the new size --> step: FS_FREE_ROWS_MAX rows go --> ... --> last step: the O row goes too
 *
 * A stop in between leaves the O row; the next mount, or the next change that makes the file longer, goes on. The
 * last rows and the O row go together, so an inode that counts no blocks has no such row. */
#include "content.h"
#include "share.h"

#include "base/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FREEING_KEY_SIZE 17U
#define SMALLER_BATCH    8U /* how many times smaller the next attempt is when there is no space */

int fs_freeing_decode(struct btree_slice key, struct btree_slice value, uint64_t *ret_inode, uint64_t *ret_from)
{
    const uint8_t *bytes = key.bytes;
    uint64_t inode, from;

    if (key.size != FREEING_KEY_SIZE || value.size != 8) {
        return -EUCLEAN;
    }
    inode = base_get_be64(bytes + 1);
    from = base_get_be64(bytes + 9);
    if (from % FS_CHUNK_SIZE != 0 || from >= FS_FREEING_TO_END || base_get_le64(value.bytes) != FS_FREEING_TO_END) {
        return -EUCLEAN;
    }
    *ret_inode = inode;
    *ret_from = from;
    return 0;
}

int fs_freeing_find(struct fs *fs, struct txn *txn, uint64_t inode, uint64_t *ret_from)
{
    uint8_t key[FREEING_KEY_SIZE];
    size_t key_size = fs_key_freeing(key, inode, 0);
    struct btree_cursor *cursor;
    uint64_t found_inode;
    struct btree_slice found;
    int ret = btree_cursor_open(fs->tree, &cursor);

    if (ret < 0) {
        return ret;
    }
    ret = btree_cursor_seek(cursor, txn, (struct btree_slice){key, key_size});
    if (ret == 0) {
        found = btree_cursor_key(cursor);
        if (found.size < 9 || memcmp(found.bytes, key, 9) != 0) {
            ret = -ENOENT;
        } else if (fs_freeing_decode(found, btree_cursor_value(cursor), &found_inode, ret_from) < 0) {
            ret = fs_content_damaged(inode, 0, "the row of contents being freed is malformed");
        }
    }
    btree_cursor_close(cursor);
    return ret;
}

/* --- Batches ------------------------------------------------------------------------------------------------------ */

static int batch_add(struct fs *fs, uint64_t inode, const struct fs_content_row *row, struct fs_free_batch *batch)
{
    struct fs_chunk chunk;
    int ret;

    if (row->kind == FS_CONTENT_CHUNK) {
        ret = fs_content_row_to_chunk(fs, inode, row, &chunk);
        if (ret < 0) {
            return ret;
        }
        for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS;) {
            struct store_run run = fs_chunk_run(&chunk, slot);

            if (run.count > 0) {
                batch->runs[batch->run_count++] =
                    (struct fs_free_run){run.block, run.count, (chunk.shared >> slot & 1U) != 0};
                batch->blocks += run.count;
            }
            slot += run.count > 0 ? run.count : 1;
        }
        batch->share_rows += fs_share_count_groups(chunk.blocks, chunk.shared);
    }
    if (batch->rows++ == 0) {
        batch->first = row->offset;
    }
    batch->last = row->offset;
    return 0;
}

int fs_free_batch_collect(struct fs *fs, struct txn *txn, uint64_t inode, uint64_t from, uint32_t rows_max,
                          struct fs_free_batch *ret_batch)
{
    struct fs_free_batch *batch = ret_batch;
    struct fs_content_walk walk;
    struct fs_content_row row;
    int ret = fs_content_walk_open(fs, txn, inode, &walk);

    BASE_ASSERT(rows_max > 0 && rows_max <= FS_FREE_ROWS_MAX);
    if (ret < 0) {
        return ret;
    }
    batch->rows = batch->run_count = batch->share_rows = 0;
    batch->blocks = 0;
    batch->more = false;
    for (ret = fs_content_walk_seek(&walk, from, &row); ret == 0; ret = fs_content_walk_next(&walk, &row)) {
        if (batch->rows == rows_max) {
            batch->more = true;
            break;
        }
        ret = batch_add(fs, inode, &row, batch);
        if (ret < 0) {
            break;
        }
    }
    fs_content_walk_close(&walk);
    return ret == -ENOENT ? 0 : ret;
}

int fs_free_batch_begin(struct fs *fs, uint64_t inode, uint64_t from, uint32_t rows_beside, uint64_t content_blocks,
                        struct fs_free_batch *batch, struct txn **ret_txn)
{
    uint32_t rows_max = batch->rows;

    for (;;) {
        struct txn_need need = fs_content_need(fs, batch->rows + batch->share_rows + rows_beside, content_blocks, true);
        int ret = txn_begin(fs->engine, &need, ret_txn);
        if ((ret != -ENOSPC && ret != -E2BIG) || rows_max <= 1) {
            return ret;
        }
        rows_max = rows_max > SMALLER_BATCH ? rows_max / SMALLER_BATCH : 1;
        ret = fs_free_batch_collect(fs, NULL, inode, from, rows_max, batch);
        if (ret < 0) {
            return ret;
        }
    }
}

int fs_free_batch_apply(struct fs *fs, struct txn *txn, uint64_t inode, const struct fs_free_batch *batch)
{
    uint8_t from[FS_CONTENT_KEY_SIZE], to[FS_CONTENT_KEY_SIZE];
    uint32_t done;
    int ret;

    if (batch->rows == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < batch->run_count; i++) {
        struct store_run run = {batch->runs[i].block, batch->runs[i].count};

        ret = batch->runs[i].shared ? fs_share_release(fs, txn, run) : txn_content_free(txn, run);
        if (ret < 0) {
            return ret;
        }
    }
    ret = btree_delete_range(fs->tree, txn, (struct btree_slice){from, fs_key_content(from, inode, batch->first)},
                             (struct btree_slice){to, fs_key_content(to, inode, batch->last + 1)}, batch->rows, &done);
    if (ret < 0) {
        return ret;
    }
    /* Nobody changed them since: a damaged tree shows other rows along its leaves than from its root. */
    return done == batch->rows ? 0 : fs_content_damaged(inode, batch->first, "the way from the root leads elsewhere");
}

/* --- Steps -------------------------------------------------------------------------------------------------------- */

struct freeing {
    struct fs *fs;
    uint64_t inode;
    uint64_t from; /* contents go from here on */
    bool has_inode_row;
    bool has_freeing_row;
    uint64_t freeing_from; /* as the O row says */
    struct fs_inode_row row;
    struct fs_free_batch batch;
};

static int step_rows(struct freeing *freeing, struct txn *txn)
{
    uint8_t key[FREEING_KEY_SIZE];
    int ret = fs_free_batch_apply(freeing->fs, txn, freeing->inode, &freeing->batch);

    if (ret < 0) {
        return ret;
    }
    if (freeing->has_inode_row && freeing->batch.blocks > 0) {
        ret = fs_content_count(freeing->inode, &freeing->row.content_blocks, 0, freeing->batch.blocks);
        if (ret < 0) {
            return ret;
        }
        ret = fs_inode_row_write(freeing->fs, txn, freeing->inode, &freeing->row, false, NULL);
        if (ret < 0) {
            return ret;
        }
    }
    if (freeing->batch.more || !freeing->has_freeing_row) {
        return 0;
    }
    return btree_delete(freeing->fs->tree, txn,
                        (struct btree_slice){key, fs_key_freeing(key, freeing->inode, freeing->freeing_from)});
}

static int step(struct freeing *freeing)
{
    struct fs *fs = freeing->fs;
    uint32_t rows_max = fs_content_rows_max(fs, FS_FREE_ROWS_MAX);
    struct txn *txn;
    int ret = fs_free_batch_collect(fs, NULL, freeing->inode, freeing->from, rows_max, &freeing->batch);

    if (ret < 0) {
        return ret;
    }
    if (freeing->batch.rows == 0 && !freeing->has_freeing_row) {
        return 0;
    }
    ret = fs_free_batch_begin(fs, freeing->inode, freeing->from, 0, 0, &freeing->batch, &txn);
    if (ret < 0) {
        return ret;
    }
    txn_lock(txn);
    ret = step_rows(freeing, txn);
    if (ret < 0) {
        txn_abort(txn);
        return ret;
    }
    txn_commit(txn);
    return 0;
}

/* What is there to free: an inode with a name loses what its O row says, an unlinked one also what the caller says.
 * *ret_nothing: somebody else did it before. */
static int prepare(struct freeing *freeing, bool *ret_nothing)
{
    bool unlinked;
    int ret = fs_inode_row_read(freeing->fs, NULL, freeing->inode, &freeing->row);

    if (ret < 0 && ret != -ENOENT) {
        return ret;
    }
    freeing->has_inode_row = ret == 0;
    unlinked = ret == -ENOENT || freeing->row.attributes.link_count == 0;
    ret = fs_freeing_find(freeing->fs, NULL, freeing->inode, &freeing->freeing_from);
    if (ret < 0 && ret != -ENOENT) {
        return ret;
    }
    freeing->has_freeing_row = ret == 0;
    if (freeing->has_freeing_row && (!unlinked || freeing->freeing_from < freeing->from)) {
        freeing->from = freeing->freeing_from;
    }
    *ret_nothing = !freeing->has_freeing_row && !unlinked;
    if (freeing->has_freeing_row && !unlinked && freeing->from < freeing->row.attributes.size) {
        return fs_content_damaged(freeing->inode, freeing->from, "said to be freed, but part of the file");
    }
    return 0;
}

int fs_content_free_steps(struct fs *fs, uint64_t inode, uint64_t from)
{
    struct freeing *freeing = malloc(sizeof *freeing);
    bool nothing;
    int ret;

    if (freeing == NULL) {
        return -ENOMEM;
    }
    freeing->fs = fs;
    freeing->inode = inode;
    freeing->from = from;
    ret = prepare(freeing, &nothing);
    if (ret == 0 && !nothing) {
        do {
            ret = step(freeing);
        } while (ret == 0 && freeing->batch.more);
    }
    free(freeing);
    return ret;
}

int fs_freeing_finish(struct fs *fs, uint64_t inode, struct fs_inode_row *row, uint64_t new_size)
{
    uint64_t from = 0;
    int ret;

    /* What waits begins at or behind the end of the last chunk in use. */
    if (row->content_blocks == 0 || new_size <= fs_round_up(row->attributes.size, FS_CHUNK_SIZE)) {
        return 0;
    }
    ret = fs_freeing_find(fs, NULL, inode, &from);
    if (ret < 0) {
        return ret == -ENOENT ? 0 : ret;
    }
    ret = fs_content_free_steps(fs, inode, from);
    return ret < 0 ? ret : fs_inode_row_read(fs, NULL, inode, row);
}

/* --- Small contents, many inodes in one transaction --------------------------------------------------------------- */

uint32_t fs_content_small_pages(struct fs *fs)
{
    return fs_inline_pieces_max(fs) * btree_pages_per_change(fs->tree);
}

/* Whether an inode can have rows of contents at all. */
static bool has_contents(const struct fs_inode_row *row)
{
    uint32_t mode = row->attributes.mode;

    return row->content_blocks > 0 || (S_ISREG(mode) && row->attributes.size > 0) ||
           (S_ISLNK(mode) && row->attributes.size > FS_SYMLINK_INLINE_MAX);
}

int fs_content_free_small(struct fs *fs, struct txn *txn, uint64_t inode, const struct fs_inode_row *row,
                          bool *ret_done)
{
    struct fs_free_batch *batch;
    uint32_t rows_max = row->content_blocks > 0 ? 1 : fs_inline_pieces_max(fs);
    uint64_t from;
    int ret;

    if (row->content_blocks > FS_CHUNK_BLOCKS || !has_contents(row)) {
        *ret_done = row->content_blocks == 0;
        return 0;
    }
    if (row->content_blocks > 0) {
        ret = fs_freeing_find(fs, txn, inode, &from);
        if (ret != -ENOENT) {
            *ret_done = false;
            return ret;
        }
    }
    batch = malloc(sizeof *batch);
    if (batch == NULL) {
        return -ENOMEM;
    }
    ret = fs_free_batch_collect(fs, txn, inode, 0, rows_max, batch);
    if (ret == 0) {
        *ret_done = !batch->more && batch->share_rows == 0;
        ret = *ret_done ? fs_free_batch_apply(fs, txn, inode, batch) : 0;
    }
    free(batch);
    return ret;
}
