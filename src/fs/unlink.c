/* Taking a name away: unlink and rmdir.
 *
 * What the name leads to is read without a lock first, to know what to lock, and again under the locks; if it changed
 * meanwhile, once more from the start. The last name's transaction makes the inode an orphan (`O inode`); it goes when
 * nobody uses it any more (reclaim.c).
 *
 * Rows: the entry, the child's row, the parent's row, the orphan's row. */
#include "base/clock.h"
#include "names.h"

#include <errno.h>
#include <sys/stat.h>

enum { ROW_CHANGES = 4 };

struct removal {
    struct fs *fs;
    uint64_t parent;
    const char *name;
    size_t name_size;
    bool directory;            /* rmdir */
    struct fs_entry_row entry; /* as read without a lock */
    struct fs_inode_row parent_row, child_row;
};

static int check_child(const struct removal *removal)
{
    const struct fs_attributes *child = &removal->child_row.attributes;
    if (!removal->directory) {
        return S_ISDIR(child->mode) ? -EISDIR : 0;
    }
    if (!S_ISDIR(child->mode)) {
        return -ENOTDIR;
    }
    return child->size > 0 ? -ENOTEMPTY : 0;
}

static int commit_rows(struct removal *removal, bool is_last)
{
    struct fs *fs = removal->fs;
    struct txn *txn;
    int error = fs_row_changes_begin(fs, ROW_CHANGES, 0, true, &txn);
    if (error) {
        return error;
    }
    error = fs_entry_delete(fs, txn, removal->parent, removal->name, removal->name_size);
    if (!error) {
        error = fs_inode_row_write(fs, txn, removal->entry.inode, &removal->child_row, false, NULL);
    }
    if (!error) {
        error = fs_inode_row_write(fs, txn, removal->parent, &removal->parent_row, false, NULL);
    }
    if (!error && is_last) {
        error = fs_orphan_row_insert(fs, txn, removal->entry.inode);
    }
    return fs_row_changes_end(txn, error);
}

/* Parent and child locked exclusively; the entry still leads to the child. */
static int remove_locked(struct removal *removal, const struct fs_lock_set *set)
{
    struct fs *fs = removal->fs;
    struct timespec now = base_clock_now();
    struct fs_attributes *child = &removal->child_row.attributes;
    int error = fs_directory_row_read(fs, NULL, removal->parent, &removal->parent_row);
    if (!error) {
        error = fs_child_row_read(fs, NULL, removal->entry.inode, removal->entry.type, &removal->child_row);
    }
    if (!error) {
        error = fs_flags_check_remove(&removal->parent_row.attributes, child);
    }
    if (!error) {
        error = check_child(removal);
    }
    if (!error) {
        error = fs_directory_row_add(&removal->parent_row, -1, removal->directory ? -1 : 0, now);
    }
    if (error) {
        return error;
    }
    child->link_count = removal->directory ? 0 : child->link_count - 1;
    child->change_time = now;
    bool is_last = child->link_count == 0;
    error = commit_rows(removal, is_last);
    if (!error && is_last) {
        fs_inode_mark_orphan(fs, fs_lock_set_find(set, removal->entry.inode));
    }
    return error;
}

/* -EAGAIN: the name leads elsewhere by now. */
static int try_remove(struct removal *removal)
{
    struct fs *fs = removal->fs;
    struct fs_lock_set set;
    struct fs_entry_row again = {0};
    int error = fs_entry_read(fs, NULL, removal->parent, removal->name, removal->name_size, &removal->entry);
    if (error == -ENOENT) {
        removal->entry = (struct fs_entry_row){0};
    } else if (error) {
        return error;
    }
    error = fs_lock_set_lock(fs, (uint64_t[]){removal->parent, removal->entry.inode}, 2, &set);
    if (error) {
        return error;
    }
    error = fs_entry_read(fs, NULL, removal->parent, removal->name, removal->name_size, &again);
    if (error == -ENOENT && removal->entry.inode == 0) {
        int parent_error = fs_directory_row_read(fs, NULL, removal->parent, &removal->parent_row);
        error = parent_error ? parent_error : -ENOENT;
    } else if (error == -ENOENT || (!error && again.inode != removal->entry.inode)) {
        error = -EAGAIN;
    } else if (!error) {
        error = remove_locked(removal, &set);
    }
    fs_lock_set_unlock(fs, &set);
    return error;
}

static int remove_name(struct fs *fs, uint64_t parent, const char *name, bool directory)
{
    struct removal removal = {.fs = fs, .parent = parent, .name = name, .directory = directory};
    int error = fs_name_check(name, &removal.name_size);
    if (error) {
        return error;
    }
    do {
        error = try_remove(&removal);
    } while (error == -EAGAIN);
    return error;
}

int fs_unlink(struct fs *fs, uint64_t parent, const char *name)
{
    return remove_name(fs, parent, name, false);
}

int fs_rmdir(struct fs *fs, uint64_t parent, const char *name)
{
    return remove_name(fs, parent, name, true);
}
