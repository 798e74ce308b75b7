/* Extended attributes: what programs ask of them. Names, limits and errors are those of ext4, but for its limits of
 * size (all of an inode's in one block); ours are those of the kernel.
 *
 * A change is one transaction: the rows of the value and the inode's row (change time, summary; for an access ACL also
 * the mode). */
#include "xattr.h"

#include "base/clock.h"
#include "names.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* --- Names -------------------------------------------------------------------------------------------------------- */

static bool is_acl(const char *name)
{
    return strcmp(name, FS_XATTR_ACCESS_ACL_NAME) == 0 || strcmp(name, FS_XATTR_DEFAULT_ACL_NAME) == 0;
}

/* But for ACLs, which are a matter of the mount. */
static int check_namespace(const char *name)
{
    static const char *const prefixes[] = {"user.", "trusted.", "security."};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t size = strlen(prefixes[i]);
        if (strncmp(name, prefixes[i], size) == 0) {
            return name[size] == '\0' ? -EINVAL : 0;
        }
    }
    return -EOPNOTSUPP;
}

bool fs_xattr_name_is_kept(const char *name)
{
    return is_acl(name) || check_namespace(name) == 0;
}

static int check_name(const struct fs *fs, const char *name)
{
    if (strlen(name) > FS_XATTR_NAME_SIZE_MAX) {
        return -ERANGE;
    }
    if (is_acl(name)) {
        return fs->has_acls ? 0 : -EOPNOTSUPP;
    }
    return check_namespace(name);
}

/* --- The summary of an inode in use ------------------------------------------------------------------------------- */

/* Inode lock held, shared at least: so what is stored is what the row says. */
static int get_xattrs(struct fs *fs, struct fs_inode *inode, uint32_t *ret_xattrs)
{
    uint32_t known = atomic_load_explicit(&inode->xattrs, memory_order_relaxed);
    struct fs_inode_row row;
    if (known & FS_INODE_XATTRS_KNOWN) {
        *ret_xattrs = known & FS_XATTRS_MASK;
        return 0;
    }
    int error = fs_inode_row_read(fs, NULL, inode->number, &row);
    if (!error) {
        *ret_xattrs = row.xattrs;
        atomic_store_explicit(&inode->xattrs, row.xattrs | FS_INODE_XATTRS_KNOWN, memory_order_relaxed);
    }
    return error;
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

static int get_locked(struct fs *fs, struct fs_inode *inode, const char *name, void *buffer, size_t buffer_size,
                      uint32_t *ret_size)
{
    uint32_t xattrs;
    int error = get_xattrs(fs, inode, &xattrs);
    if (error) {
        return error;
    }
    if (xattrs == 0 || (is_acl(name) && !fs_xattrs_have_acl(xattrs, name))) {
        return -ENODATA;
    }
    return fs_xattr_read(fs, NULL, inode->number, name, buffer, buffer_size, ret_size);
}

int64_t fs_get_xattr(struct fs *fs, uint64_t number, const char *name, void *buffer, size_t buffer_size)
{
    struct fs_inode *inode;
    uint32_t size = 0;
    int error = check_name(fs, name);
    if (!error) {
        error = fs_inode_acquire(fs, number, &inode);
    }
    if (error) {
        return error;
    }
    base_latch_lock_shared(&inode->latch);
    error = get_locked(fs, inode, name, buffer, buffer_size, &size);
    base_latch_unlock_shared(&inode->latch);
    fs_inode_release(fs, inode);
    return error ? error : (int64_t)size;
}

/* Whom the list is for: trusted names are root's; ACLs are there only where they are in force. */
static bool is_listed(const struct fs *fs, const char *name, void *context)
{
    const struct fs_caller *caller = context;
    if (is_acl(name)) {
        return fs->has_acls;
    }
    return caller->uid == 0 || strncmp(name, "trusted.", strlen("trusted.")) != 0;
}

int64_t fs_list_xattrs(struct fs *fs, const struct fs_caller *caller, uint64_t number, char *buffer, size_t buffer_size)
{
    struct fs_caller reader = *caller;
    struct fs_inode *inode;
    size_t size = 0;
    uint32_t xattrs;
    int error = fs_inode_acquire(fs, number, &inode);
    if (error) {
        return error;
    }
    base_latch_lock_shared(&inode->latch);
    error = get_xattrs(fs, inode, &xattrs);
    if (!error && xattrs != 0) {
        error = fs_xattr_list(fs, number, is_listed, &reader, buffer, buffer_size, &size);
    }
    base_latch_unlock_shared(&inode->latch);
    fs_inode_release(fs, inode);
    return error ? error : (int64_t)size;
}

/* --- Changing ----------------------------------------------------------------------------------------------------- */

struct change {
    struct fs *fs;
    struct fs_inode *inode;
    const char *name;
    const void *value; /* NULL: the name goes */
    uint32_t size;
    unsigned flags;
    uint32_t old_rows; /* 0: the name is not there */
    struct fs_inode_row row;
};

/* Appending to an append-only file takes its capabilities away; the kernel has that done by a request like any other.
 */
static bool is_lost_by_append(const struct change *change)
{
    return !change->value && !(change->row.attributes.flags & FS_FLAG_IMMUTABLE) &&
           strcmp(change->name, "security.capability") == 0;
}

/* The inode's row, and whether the name is there. */
static int prepare(struct change *change)
{
    uint32_t old_size;
    int error = fs_inode_row_read(change->fs, NULL, change->inode->number, &change->row);
    if (error) {
        return error;
    }
    error = is_lost_by_append(change) ? 0 : fs_flags_check_change(&change->row.attributes);
    if (error || change->row.xattrs == 0) {
        return error;
    }
    error = fs_xattr_find(change->fs, NULL, change->inode->number, change->name, &old_size);
    if (!error) {
        change->old_rows = fs_xattr_rows(change->fs, old_size);
    }
    return error == -ENODATA ? 0 : error;
}

/* Setting an access ACL sets the mode; one that says no more than the mode goes. */
static int prepare_acl(struct change *change)
{
    uint32_t *mode = &change->row.attributes.mode;
    bool is_access = strcmp(change->name, FS_XATTR_ACCESS_ACL_NAME) == 0, is_empty = true;
    if (S_ISLNK(*mode)) {
        return -EOPNOTSUPP;
    }
    if (change->value && change->size > 0) {
        int error = fs_acl_check(change->value, change->size, &is_empty);
        if (error) {
            return error;
        }
    }
    if (is_empty) {
        change->value = NULL;
        return 0;
    }
    if (!is_access) {
        return S_ISDIR(*mode) ? 0 : -EACCES;
    }
    if (fs_acl_to_mode(change->value, change->size, mode)) {
        change->value = NULL;
    }
    if (change->flags & FS_XATTR_CLEAR_SET_GID) {
        *mode &= ~(uint32_t)S_ISGID;
    }
    return 0;
}

/* Everything that can be refused before the first change. */
static int check_change(struct change *change)
{
    if (change->value) {
        if ((change->flags & FS_XATTR_CREATE) && change->old_rows > 0) {
            return -EEXIST;
        }
        if ((change->flags & FS_XATTR_REPLACE) && change->old_rows == 0) {
            return -ENODATA;
        }
        if (change->old_rows == 0 &&
            (change->row.xattrs & FS_XATTRS_LIST_SIZE_MASK) + strlen(change->name) + 1 > FS_XATTR_LIST_SIZE_MAX) {
            return -ENOSPC;
        }
    } else if (change->old_rows == 0 && !is_acl(change->name)) {
        return -ENODATA;
    }
    return 0;
}

static int write_change(struct change *change, struct txn *txn)
{
    struct fs *fs = change->fs;
    uint64_t number = change->inode->number;
    int error = 0;
    if (change->value) {
        error = fs_xattr_write(fs, txn, number, change->name, change->value, change->size, change->old_rows);
    } else if (change->old_rows > 0) {
        error = fs_xattr_delete(fs, txn, number, change->name, change->old_rows);
    }
    return error ? error : fs_inode_row_write(fs, txn, number, &change->row, false, NULL);
}

/* Rows of one value are neighbours, and several fit a page: a page each, and a few more, are nearly always enough, and
 * at most a quarter of the worst case. With that a value of 64 KiB fits the smallest pool; where it was not enough, the
 * whole is done again with more. */
static int write_in_transaction(struct change *change, uint32_t rows)
{
    struct fs *fs = change->fs;
    uint32_t one = btree_pages_per_change(fs->tree), worst = (rows + 1) * one, pages = 4 * one + rows, most;
    uint64_t fitting = pool_reserve_max(fs->pool);
    int error;
    most = worst < fitting ? worst : (uint32_t)fitting;
    pages = pages < most ? pages : most;
    for (;;) {
        struct txn *txn;
        error = fs_row_changes_begin(fs, 0, pages, !change->value, &txn);
        error = error ? error : fs_row_changes_end(txn, write_change(change, txn));
        if (error != -EAGAIN || pages == most) {
            break;
        }
        pages = pages < most / 2 ? 2 * pages : most;
    }
    return error == -EAGAIN ? -E2BIG : error;
}

static int commit_change(struct change *change)
{
    uint32_t new_rows = change->value ? fs_xattr_rows(change->fs, change->size) : 0;
    uint32_t rows = new_rows > change->old_rows ? new_rows : change->old_rows, xattrs = change->row.xattrs;
    if (change->value && change->old_rows == 0) {
        xattrs = fs_xattrs_with(xattrs, change->name);
    } else if (!change->value && change->old_rows > 0) {
        xattrs = fs_xattrs_without(xattrs, change->name);
    }
    if (!fs_xattrs_are_possible(xattrs)) {
        base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 ": its summary of extended attributes is wrong",
                     change->inode->number);
        return -EUCLEAN;
    }
    change->row.xattrs = xattrs;
    change->row.attributes.change_time = base_clock_now();
    int error = write_in_transaction(change, rows);
    if (!error) {
        atomic_store_explicit(&change->inode->xattrs, xattrs | FS_INODE_XATTRS_KNOWN, memory_order_relaxed);
    }
    return error;
}

/* Exclusive inode lock held. */
static int change_locked(struct change *change)
{
    int error = prepare(change);
    if (!error && is_acl(change->name)) {
        error = prepare_acl(change);
    }
    if (!error) {
        error = check_change(change);
    }
    return error ? error : commit_change(change);
}

static int apply_change(struct change *change, uint64_t number)
{
    struct fs *fs = change->fs;
    int error = check_name(fs, change->name);
    if (!error) {
        error = fs_inode_acquire(fs, number, &change->inode);
    }
    if (error) {
        return error;
    }
    base_latch_lock_exclusive(&change->inode->latch);
    error = change_locked(change);
    base_latch_unlock_exclusive(&change->inode->latch);
    fs_inode_release(fs, change->inode);
    return error;
}

int fs_set_xattr(struct fs *fs, uint64_t inode, const char *name, const void *value, size_t size, unsigned flags)
{
    if (size > FS_XATTR_VALUE_SIZE_MAX) {
        return -E2BIG;
    }
    struct change change = {
        .fs = fs, .name = name, .value = size > 0 ? value : "", .size = (uint32_t)size, .flags = flags};
    return apply_change(&change, inode);
}

int fs_remove_xattr(struct fs *fs, uint64_t inode, const char *name)
{
    struct change change = {.fs = fs, .name = name};
    return apply_change(&change, inode);
}
