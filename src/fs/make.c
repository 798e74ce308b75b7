/* Making an inode with its first name: create, mknod, mkdir, symlink; and without one: an orphan from the start, which
 * link may give a name (temporary).
 *
 * Only the parent is locked: nobody knows the new inode before the commit, and whoever finds its entry then holds the
 * parent's lock, so the lookup count is up before anyone can unlink it.
 *
 * Rows: the entry, the child's row, the parent's row, now and then the superinode's; a long symlink target besides, or
 * ACLs that the directory hands down.
 *
 * In a set-gid directory the group is the directory's, and a new directory inherits the bit. Taking S_ISGID from a new
 * file of a caller outside the group is the kernel's (since 6.0, before it asks us): the caller's groups are not known
 * here. */
#include "base/clock.h"
#include "names.h"
#include "xattr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PERMISSION_BITS = 07777, ROW_CHANGES = 3 };

struct making {
    struct fs *fs;
    uint64_t parent;
    const char *name; /* NULL: temporary */
    size_t name_size;
    const char *target; /* NULL: no symlink */
    size_t target_size;
    struct fs_inode_row parent_row, child_row; /* as they will be */
    bool raise;                                /* the superinode row must be raised */
    struct fs_acl_inherited *acls;             /* NULL: none */
};

static int check_make(const struct fs_make *make, size_t *ret_target_size)
{
    *ret_target_size = 0;
    switch (make->mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFLNK:
        if (!make->target || make->target[0] == '\0') {
            return -ENOENT;
        }
        *ret_target_size = strnlen(make->target, FS_SYMLINK_SIZE_MAX + 1);
        return *ret_target_size > FS_SYMLINK_SIZE_MAX ? -ENAMETOOLONG : 0;
    default:
        return -EINVAL;
    }
}

static void fill_child(struct making *making, const struct fs_caller *caller, const struct fs_make *make, uint32_t mode,
                       struct timespec now)
{
    const struct fs_attributes *parent = &making->parent_row.attributes;
    bool is_directory = S_ISDIR(mode), is_device = S_ISCHR(mode) || S_ISBLK(mode);
    bool inherits = parent->mode & S_ISGID;
    making->child_row = (struct fs_inode_row){
        .attributes =
            {
                .size = making->target_size,
                .device = is_device ? make->device : 0,
                .access_time = now,
                .modification_time = now,
                .change_time = now,
                .birth_time = now,
                .mode = (mode & (S_IFMT | PERMISSION_BITS)) | (inherits && is_directory ? (uint32_t)S_ISGID : 0),
                .link_count = is_directory ? 2 : 1,
                .uid = caller->uid,
                .gid = inherits ? parent->gid : caller->gid,
                .flags = parent->flags & (FS_FLAG_NO_DUMP | FS_FLAG_NO_ACCESS_TIME),
            },
        .parent = is_directory ? making->parent : 0,
        .xattrs = making->acls ? fs_acl_inherited_xattrs(making->acls) : 0,
        .pieces = S_ISREG(mode) ? 1 : 0,
    };
}

/* Everything that can be refused before the first change. Parent locked exclusively. */
static int prepare(struct making *making, const struct fs_caller *caller, const struct fs_make *make)
{
    struct fs_entry_row existing;
    struct timespec now = base_clock_now();
    int error = fs_directory_row_read(making->fs, NULL, making->parent, &making->parent_row);
    if (error) {
        return error;
    }
    if (making->name) {
        error = fs_entry_read(making->fs, NULL, making->parent, making->name, making->name_size, &existing);
        if (error != -ENOENT) {
            return error ? error : -EEXIST;
        }
    }
    error = fs_flags_check_add(&making->parent_row.attributes);
    if (error) {
        return error;
    }
    uint32_t mode = make->mode;
    error = fs_acl_inherit(making->fs, &making->parent_row, &mode, &making->acls);
    if (error) {
        return error;
    }
    if (!making->acls && !S_ISLNK(mode)) {
        mode &= ~(make->umask & 0777U);
    }
    fill_child(making, caller, make, mode, now);
    if (!making->name) {
        making->child_row.attributes.link_count = 0;
        return 0;
    }
    return fs_directory_row_add(&making->parent_row, 1, S_ISDIR(make->mode) ? 1 : 0, now);
}

static int write_rows(struct making *making, struct txn *txn)
{
    struct fs *fs = making->fs;
    uint64_t child = making->child_row.attributes.inode;
    bool long_target = making->target_size > FS_SYMLINK_INLINE_MAX;
    struct fs_entry_row entry = {.inode = child, .type = making->child_row.attributes.mode & S_IFMT};
    int error = 0;
    if (making->raise) {
        error = fs_number_raise(fs, txn, child);
    }
    if (!error) {
        error = making->name ? fs_entry_insert(fs, txn, making->parent, making->name, making->name_size, &entry)
                             : fs_orphan_row_insert(fs, txn, child);
    }
    if (!error) {
        error = fs_inode_row_write(fs, txn, child, &making->child_row, true, making->target);
    }
    if (!error && long_target) {
        error = fs_content_write_target(fs, txn, child, making->target, making->target_size);
    }
    if (!error && making->acls) {
        error = fs_acl_inherited_write(fs, txn, child, making->acls);
    }
    if (!error && making->name) {
        error = fs_inode_row_write(fs, txn, making->parent, &making->parent_row, false, NULL);
    }
    return error;
}

/* Parent locked exclusively. */
static int commit_rows(struct making *making)
{
    struct fs *fs = making->fs;
    struct txn *txn;
    bool long_target = making->target_size > FS_SYMLINK_INLINE_MAX;
    uint32_t acl_rows = making->acls ? fs_acl_inherited_rows(fs, making->acls) : 0;
    uint32_t row_changes = ROW_CHANGES + (making->raise ? 1U : 0U) + acl_rows;
    uint32_t extra_pages = long_target ? fs_content_target_pages(fs, making->target_size) : 0;
    int error = fs_row_changes_begin(fs, row_changes, extra_pages, false, &txn);
    if (error) {
        return error;
    }
    error = write_rows(making, txn);
    if (!error && making->raise) {
        fs_number_raised(fs, making->child_row.attributes.inode);
    }
    return fs_row_changes_end(txn, error);
}

static int make_locked(struct making *making, const struct fs_caller *caller, const struct fs_make *make)
{
    struct fs *fs = making->fs;
    struct fs_inode *child;
    int error = prepare(making, caller, make);
    if (error) {
        return error;
    }
    making->child_row.attributes.inode = fs_number_take(fs, &making->raise);
    /* The object first: after the commit nothing may fail. */
    error = fs_inode_acquire(fs, making->child_row.attributes.inode, &child);
    if (error) {
        return error;
    }
    child->temporary = !making->name;
    error = commit_rows(making);
    if (error) {
        fs_inode_release(fs, child); /* never an orphan: nothing is reclaimed under the parent's lock */
    } else {
        atomic_store_explicit(&child->xattrs, making->child_row.xattrs | FS_INODE_XATTRS_KNOWN, memory_order_relaxed);
        if (!making->name) {
            fs_inode_mark_orphan(fs, child);
        }
        fs_inode_reference_to_lookup(fs, child);
    }
    return error;
}

int fs_make(struct fs *fs, const struct fs_caller *caller, uint64_t parent, const char *name,
            const struct fs_make *make, struct fs_entry *ret_entry)
{
    struct making making = {.fs = fs, .parent = parent, .name = make->temporary ? NULL : name};
    struct fs_inode *inode;
    int error = making.name ? fs_name_check(name, &making.name_size) : S_ISREG(make->mode) ? 0 : -EINVAL;
    if (!error) {
        error = check_make(make, &making.target_size);
    }
    if (!error) {
        error = fs_inode_acquire(fs, parent, &inode);
    }
    if (error) {
        return error;
    }
    making.target = making.target_size > 0 ? make->target : NULL;
    base_latch_lock_exclusive(&inode->latch);
    error = make_locked(&making, caller, make);
    base_latch_unlock_exclusive(&inode->latch);
    fs_inode_release(fs, inode);
    free(making.acls);
    if (!error) {
        ret_entry->attributes = making.child_row.attributes;
    }
    return error;
}
