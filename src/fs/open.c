/* Whole filesystems: making, opening, closing.
 *
 * Opening builds the layers from below: store, pool, engine, tree, then the superinode's row, the root directory and
 * the table of inodes in use. The memory budget is split: a sixteenth for nodes of map and bitmap, the rest for pages.
 *
 * Closing a writable filesystem: the reclaimer ends every orphan (nothing is in use any more), the superinode's row
 * gets the exact next number, then sync, cutting the file's free tail, and the layers from above. A read-only one
 * writes nothing. */
#include "names.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    NODE_CACHE_SHARE = 16,
    NODE_CACHE_SIZE_MIN = 64 << 10,
    CACHE_SIZE_DEFAULT = 64 << 20,
    PERMISSION_BITS = 07777,
    ROWS_OF_FORMAT = 2,
};

/* --- Layers ------------------------------------------------------------------------------------------------------- */

static void close_layers(struct fs *fs)
{
    if (fs->tree) {
        btree_close(fs->tree);
    }
    if (fs->engine) {
        txn_engine_close(fs->engine);
    }
    if (fs->pool) {
        pool_destroy(fs->pool);
    }
    if (fs->store) {
        store_close(fs->store);
    }
}

static int open_pool_and_engine(struct fs *fs, const struct fs_options *options, size_t pool_size)
{
    struct pool_options pool_options = {.size = pool_size, .check_page = btree_check_page};
    struct txn_engine_options engine_options = {.commit_interval_ms = options->commit_interval_ms,
                                                .content_unsynced_max = options->content_unsynced_max};
    int error = pool_create(fs->store, &pool_options, &fs->pool);
    if (error) {
        return error;
    }
    return txn_engine_open(fs->store, fs->pool, &engine_options, &fs->engine);
}

/* Everything but the tree. On failure close_layers undoes what was done. */
static int open_layers(struct fs *fs, const struct fs_options *options, struct base_reason *ret_reason)
{
    size_t cache_size = options->cache_size ? options->cache_size : CACHE_SIZE_DEFAULT;
    size_t node_cache_size = cache_size / NODE_CACHE_SHARE;
    if (node_cache_size < NODE_CACHE_SIZE_MIN) {
        node_cache_size = NODE_CACHE_SIZE_MIN;
    }
    struct store_open_options store_options = {.read_only = options->read_only, .node_cache_size = node_cache_size};
    int error = store_open(fs->file, &store_options, &fs->store, ret_reason);
    if (error) {
        return error;
    }
    size_t pool_size = cache_size > node_cache_size ? cache_size - node_cache_size : 0;
    error = open_pool_and_engine(fs, options, pool_size); /* the pool raises a size below its minimum */
    if (error) {
        base_reason_set(ret_reason, "the cache could not be set up: %s", strerror(-error));
    }
    return error;
}

/* --- Making ------------------------------------------------------------------------------------------------------- */

static int format_tree(struct fs *fs)
{
    struct txn_need need = {.pages = 1};
    struct txn *txn;
    int error = txn_begin(fs->engine, &need, &txn);
    if (error) {
        return error;
    }
    txn_lock(txn);
    return fs_row_changes_end(txn, btree_format(txn));
}

static int format_rows(struct fs *fs, const struct fs_format_options *options)
{
    struct timespec now = base_clock_now();
    struct txn *txn;
    struct fs_inode_row root = {
        .attributes =
            {
                .inode = FS_ROOT_INODE,
                .access_time = now,
                .modification_time = now,
                .change_time = now,
                .birth_time = now,
                .mode = S_IFDIR | (options->root_mode & PERMISSION_BITS),
                .link_count = 2,
                .uid = options->root_uid,
                .gid = options->root_gid,
            },
        .parent = FS_ROOT_INODE,
    };
    int error = fs_row_changes_begin(fs, ROWS_OF_FORMAT, 0, false, &txn);
    if (error) {
        return error;
    }
    error = fs_super_row_write(fs, txn, FS_ROOT_INODE + 1);
    if (!error) {
        error = fs_inode_row_write(fs, txn, FS_ROOT_INODE, &root, true, NULL);
    }
    return fs_row_changes_end(txn, error);
}

static int format_contents(struct fs *fs, const struct fs_format_options *options)
{
    int error = format_tree(fs);
    if (!error) {
        error = btree_open(fs->engine, &fs->tree);
    }
    if (!error) {
        error = format_rows(fs, options);
    }
    if (!error) {
        error = txn_engine_checkpoint(fs->engine);
    }
    return error ? error : store_shrink(fs->store);
}

int fs_format(struct os_file *file, const struct fs_format_options *options, struct base_reason *ret_reason)
{
    struct fs fs = {.file = file};
    struct fs_options open_options = {.cache_size = 0};
    struct store_format_options store_options = {
        .page_size = options->page_size ? options->page_size : FS_PAGE_SIZE_DEFAULT,
        .log_size = options->log_size,
    };
    memcpy(store_options.label, options->label, sizeof store_options.label);
    int error = store_format(file, &store_options);
    if (error) {
        base_reason_set(ret_reason, "the empty filesystem could not be written: %s", strerror(-error));
        return error;
    }
    error = open_layers(&fs, &open_options, ret_reason);
    if (!error) {
        error = format_contents(&fs, options);
        if (error) {
            base_reason_set(ret_reason, "the root directory could not be written: %s", strerror(-error));
        }
    }
    close_layers(&fs);
    return error;
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

/* What every operation relies on: superinode and root directory. */
static int read_root(struct fs *fs, struct base_reason *ret_reason)
{
    struct fs_inode_row root;
    int error = fs_super_row_read(fs, &fs->next_number);
    if (error) {
        base_reason_set(ret_reason, "the superinode can't be read: %s", strerror(-error));
        return error;
    }
    if (!fs->read_only && fs->next_number > FS_NEXT_NUMBER_MAX / 2) {
        base_reason_set(ret_reason, "the superinode's next inode number is too large to be true (it can be mounted "
                                    "read-only)");
        return -EUCLEAN;
    }
    fs->number_limit = fs->next_number;
    error = fs_inode_row_read(fs, NULL, FS_ROOT_INODE, &root);
    if (error == -ENOENT || (!error && (!S_ISDIR(root.attributes.mode) || root.attributes.link_count < 2))) {
        error = -EUCLEAN;
    }
    if (error) {
        base_reason_set(ret_reason, "the root directory can't be read: %s", strerror(-error));
    }
    return error;
}

static int open_inodes(struct fs *fs, const struct fs_options *options)
{
    uint8_t identifier[STORE_IDENTIFIER_SIZE];
    store_get_identifier(fs->store, identifier);
    fs->cookie_seed = base_get_le64(identifier);
    int error = fs_inode_table_create(&fs->inodes);
    if (!error) {
        error = fs_reclaimer_create(fs, &fs->reclaimer);
    }
    if (!error && !fs->read_only) {
        error = fs_reclaimer_start(fs->reclaimer, options->commit_interval_ms > 0);
    }
    return error;
}

static void close_inodes_and_layers(struct fs *fs)
{
    if (fs->reclaimer) {
        fs_reclaimer_destroy(fs->reclaimer);
    }
    if (fs->inodes) {
        fs_inode_table_destroy(fs->inodes);
    }
    close_layers(fs);
    base_mutex_deinit(&fs->number_mutex);
    base_mutex_deinit(&fs->rename_mutex);
    free(fs);
}

int fs_open(struct os_file *file, const struct fs_options *options, struct fs **ret_fs, struct base_reason *ret_reason)
{
    struct fs *fs = calloc(1, sizeof *fs);
    if (!fs) {
        base_reason_set(ret_reason, "out of memory");
        return -ENOMEM;
    }
    fs->file = file;
    fs->read_only = options->read_only;
    fs->has_acls = options->has_acls;
    fs_set_access_times(fs, options->access_times, options->directory_access_times_kept);
    base_mutex_init(&fs->number_mutex, BASE_RANK_FS_TABLE);
    base_mutex_init(&fs->rename_mutex, BASE_RANK_FS_RENAME);
    int error = open_layers(fs, options, ret_reason);
    if (error) {
        goto out;
    }
    error = btree_open(fs->engine, &fs->tree);
    if (error) {
        base_reason_set(ret_reason, "the tree can't be read: %s", strerror(-error));
        goto out;
    }
    error = read_root(fs, ret_reason);
    if (error) {
        goto out;
    }
    error = open_inodes(fs, options);
    if (error) {
        base_reason_set(ret_reason, "the table of inodes could not be set up: %s", strerror(-error));
    }
out:
    if (error) {
        close_inodes_and_layers(fs);
    } else {
        *ret_fs = fs;
    }
    return error;
}

/* --- Closing ------------------------------------------------------------------------------------------------------ */

/* What was handed out of the last batch is exact from here on. Without it numbers are skipped, nothing worse. */
static void write_next_number(struct fs *fs, bool always)
{
    struct txn *txn;
    if ((fs->next_number == fs->number_limit && !always) || fs_row_changes_begin(fs, 1, 0, true, &txn)) {
        return;
    }
    fs_row_changes_end(txn, fs_super_row_write(fs, txn, fs->next_number));
}

int fs_close(struct fs *fs)
{
    int error = 0;
    if (!fs->read_only) {
        fs_reclaimer_finish(fs->reclaimer);
        /* What was freed can be used by the last checkpoint, so that nothing of it keeps the file long. */
        error = txn_engine_sync(fs->engine);
        write_next_number(fs, false);
        if (!error) {
            error = txn_engine_checkpoint(fs->engine);
        }
        /* A page and nodes of the map, written while the file was full, would keep it long: written once more. */
        if (!error && store_is_loose(fs->store)) {
            write_next_number(fs, true);
            error = txn_engine_checkpoint(fs->engine);
        }
        if (!error) {
            error = store_shrink(fs->store);
        }
    }
    close_inodes_and_layers(fs);
    return error;
}

int fs_sync(struct fs *fs)
{
    return fs->read_only ? 0 : txn_engine_sync(fs->engine);
}
