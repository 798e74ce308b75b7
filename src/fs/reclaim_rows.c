/* Ending orphans: extended attributes, contents, inode row and orphan row go.
 *
 * Small ones go many in a transaction. Large ones are freed in steps, then their rows go. Both can be interrupted
 * anywhere: the O row goes last. Nobody can reach an orphan, so no inode lock is taken. */
#include "base/bytes.h"
#include "names.h"
#include "xattr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 16, ORPHAN_KEY_SIZE = 9, FREEING_KEY_SIZE = 17, XATTR_ROWS_SMALL = 2 };

int fs_orphan_row_insert(struct fs *fs, struct txn *txn, uint64_t inode)
{
    uint8_t key[FS_KEY_SIZE_MAX];
    return btree_insert(fs->tree, txn, (struct btree_slice){key, fs_key_orphan(key, inode)},
                        (struct btree_slice){"", 0});
}

static int orphan_row_find(struct fs *fs, struct txn *txn, uint64_t inode)
{
    uint8_t key[FS_KEY_SIZE_MAX], value[1];
    size_t size;
    int error =
        btree_get(fs->tree, txn, (struct btree_slice){key, fs_key_orphan(key, inode)}, value, sizeof value, &size);
    return error == -ERANGE ? -EUCLEAN : error;
}

int fs_orphan_row_delete(struct fs *fs, struct txn *txn, uint64_t inode)
{
    uint8_t key[FS_KEY_SIZE_MAX];
    return btree_delete(fs->tree, txn, (struct btree_slice){key, fs_key_orphan(key, inode)});
}

static uint32_t pages_per_orphan(struct fs *fs)
{
    return (2 + XATTR_ROWS_SMALL) * btree_pages_per_change(fs->tree) + fs_content_small_pages(fs);
}

/* How many orphans one transaction ends: a small part of what the pool can hold, so that others get their turn. */
static unsigned batch_size(struct fs *fs)
{
    uint64_t fitting = pool_reserve_max(fs->pool) / 4 / pages_per_orphan(fs);
    return fitting < 1 ? 1 : fitting > BATCH_MAX ? BATCH_MAX : (unsigned)fitting;
}

/* Writer. Fewer than the most went: none are left. */
static int end_xattrs(struct fs *fs, struct txn *txn, const struct fs_inode_row *row, bool *ret_done)
{
    uint32_t done = 0;
    int error = 0;
    if (row->xattrs != 0) {
        error = fs_xattr_free(fs, txn, row->attributes.inode, XATTR_ROWS_SMALL, &done);
    }
    *ret_done = done < XATTR_ROWS_SMALL;
    return error;
}

/* Writer. *ret_large: it has too much for this transaction; the inode is still there. */
static int end_orphan(struct fs *fs, struct txn *txn, uint64_t inode, bool *ret_large)
{
    struct fs_inode_row row;
    bool done;
    *ret_large = false;
    int error = orphan_row_find(fs, txn, inode);
    if (error == -ENOENT) {
        return 0; /* a scan and the queue both had it */
    }
    if (!error) {
        error = fs_inode_row_read(fs, txn, inode, &row);
    }
    if (error == -ENOENT) {
        return fs_orphan_row_delete(fs, txn, inode);
    }
    if (error) {
        return error;
    }
    if (row.attributes.link_count > 0) {
        base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 " has links and an orphan's row", inode);
        return -EUCLEAN;
    }
    error = end_xattrs(fs, txn, &row, &done);
    if (!error && done) {
        error = fs_content_free_small(fs, txn, inode, &row, &done);
    }
    if (!error && !done) {
        *ret_large = true;
    }
    if (error || !done) {
        return error;
    }
    error = fs_inode_row_delete(fs, txn, inode);
    return error ? error : fs_orphan_row_delete(fs, txn, inode);
}

/* One transaction. large[i] says which are still there. */
static int end_small(struct fs *fs, const uint64_t *inodes, unsigned count, bool *large)
{
    struct txn *txn;
    int error = fs_row_changes_begin(fs, 0, count * pages_per_orphan(fs), true, &txn);
    if (error) {
        return error;
    }
    for (unsigned i = 0; i < count && !error; i++) {
        error = end_orphan(fs, txn, inodes[i], &large[i]);
    }
    return fs_row_changes_end(txn, error);
}

static bool is_damage(int error)
{
    return error != 0 && error != -ENOSPC && error != -ENOMEM && error != -EROFS;
}

/* One inode, however large. */
static int end_one(struct fs *fs, uint64_t inode)
{
    bool large = false;
    int error = end_small(fs, &inode, 1, &large);
    if (!error && large) {
        error = fs_xattr_free_steps(fs, inode);
        if (!error) {
            error = fs_content_free_steps(fs, inode, 0);
        }
        if (!error) {
            error = end_small(fs, &inode, 1, &large);
        }
        if (!error && large) {
            error = -EUCLEAN;
        }
    }
    if (is_damage(error)) {
        base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 ": unlinked, but can't be removed: %s", inode,
                     strerror(-error));
    }
    return is_damage(error) ? 0 : error;
}

int fs_reclaim_orphans(struct fs *fs, const uint64_t *inodes, unsigned count, unsigned *ret_done)
{
    bool large[BATCH_MAX] = {false};
    unsigned most = batch_size(fs);
    if (count > most) {
        count = most;
    }
    int error = end_small(fs, inodes, count, large);
    if (error && error != -ENOSPC && !is_damage(error)) {
        return error;
    }
    /* The damaged one must not keep the others, and on a full disk there may be room for one, but not for many. */
    bool one_by_one = error != 0;
    error = 0;
    for (unsigned i = 0; i < count && !error; i++) {
        if (one_by_one || large[i]) {
            error = end_one(fs, inodes[i]);
        }
    }
    if (!error) {
        *ret_done = count;
    }
    return error;
}

int fs_orphan_row_next(struct btree_cursor *cursor, const struct fs_orphan_row *after, struct fs_orphan_row *ret_row)
{
    uint8_t key[FREEING_KEY_SIZE + 1];
    size_t key_size =
        after->is_freeing ? fs_key_freeing(key, after->inode, after->from) : fs_key_orphan(key, after->inode);
    key[key_size++] = 0; /* the least key above */
    for (int error = btree_cursor_seek(cursor, NULL, (struct btree_slice){key, key_size});;
         error = btree_cursor_next(cursor, NULL)) {
        if (error) {
            return error;
        }
        struct btree_slice found = btree_cursor_key(cursor);
        const uint8_t *bytes = found.bytes;
        if (bytes[0] != 'O') {
            return -ENOENT;
        }
        if (found.size == ORPHAN_KEY_SIZE || found.size == FREEING_KEY_SIZE) {
            bool is_freeing = found.size == FREEING_KEY_SIZE;
            *ret_row = (struct fs_orphan_row){.inode = base_get_be64(bytes + 1),
                                              .from = is_freeing ? base_get_be64(bytes + ORPHAN_KEY_SIZE) : 0,
                                              .is_freeing = is_freeing};
            return 0;
        }
        base_message(BASE_MESSAGE_ERROR, "a row of the table of orphans is damaged");
    }
}
