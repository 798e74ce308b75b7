/* A further name for an inode, or the first for one that was made without. Rows: the entry, the inode's row, the
 * parent's row, and the orphan's row of an inode without a name. */
#include "base/clock.h"
#include "names.h"

#include <errno.h>
#include <sys/stat.h>

enum { ROW_CHANGES = 3 };

/* The inode is locked, so its link count can't fall to 0 meanwhile. */
static int check_inode(struct fs *fs, uint64_t inode, bool may_be_first, struct fs_inode_row *ret_row)
{
    struct fs_inode_row row;
    int error = fs_inode_row_read(fs, NULL, inode, &row);
    if (error) {
        return error;
    }
    if (S_ISDIR(row.attributes.mode)) {
        return -EPERM;
    }
    if (row.attributes.link_count == 0 && !may_be_first) {
        return -ENOENT;
    }
    if (row.attributes.link_count >= FS_LINK_COUNT_MAX) {
        return -EMLINK;
    }
    error = fs_flags_check_change(&row.attributes);
    if (error) {
        return error;
    }
    *ret_row = row;
    return 0;
}

static int commit_rows(struct fs *fs, bool is_temporary, const struct fs_inode_row *row,
                       const struct fs_inode_row *parent_row, const char *name, size_t name_size)
{
    uint64_t inode = row->attributes.inode, parent = parent_row->attributes.inode;
    struct fs_entry_row entry = {.inode = inode, .type = row->attributes.mode & S_IFMT};
    struct txn *txn;
    bool is_first = row->attributes.link_count == 1 && is_temporary;
    int error = fs_row_changes_begin(fs, ROW_CHANGES + is_first, 0, false, &txn);
    if (error) {
        return error;
    }
    error = fs_entry_insert(fs, txn, parent, name, name_size, &entry);
    if (!error) {
        error = fs_inode_row_write(fs, txn, inode, row, false, NULL);
    }
    if (!error) {
        error = fs_inode_row_write(fs, txn, parent, parent_row, false, NULL);
    }
    if (!error && is_first) {
        error = fs_orphan_row_delete(fs, txn, inode);
    }
    return fs_row_changes_end(txn, error);
}

/* Inode and parent locked exclusively. */
static int link_locked(struct fs *fs, struct fs_inode *inode, uint64_t parent, const char *name, size_t name_size,
                       struct fs_inode_row *ret_row)
{
    struct fs_inode_row parent_row;
    struct fs_entry_row existing;
    struct timespec now = base_clock_now();
    int error = check_inode(fs, inode->number, inode->temporary, ret_row);
    if (!error) {
        error = fs_directory_row_read(fs, NULL, parent, &parent_row);
    }
    if (error) {
        return error;
    }
    error = fs_entry_read(fs, NULL, parent, name, name_size, &existing);
    if (error != -ENOENT) {
        return error ? error : -EEXIST;
    }
    error = fs_flags_check_add(&parent_row.attributes);
    if (error) {
        return error;
    }
    ret_row->attributes.link_count++;
    ret_row->attributes.change_time = now;
    error = fs_directory_row_add(&parent_row, 1, 0, now);
    if (!error) {
        error = commit_rows(fs, inode->temporary, ret_row, &parent_row, name, name_size);
    }
    if (!error && inode->temporary) {
        inode->temporary = false;
        fs_inode_unmark_orphan(fs, inode);
    }
    return error;
}

int fs_link(struct fs *fs, uint64_t inode, uint64_t parent, const char *name, struct fs_entry *ret_entry)
{
    struct fs_lock_set set;
    struct fs_inode_row row;
    struct fs_inode *reference;
    size_t name_size;
    int error = fs_name_check(name, &name_size);
    if (!error) {
        error = fs_inode_acquire(fs, inode, &reference);
    }
    if (error) {
        return error;
    }
    error = fs_lock_set_lock(fs, (uint64_t[]){inode, parent}, 2, &set);
    if (!error) {
        error = link_locked(fs, reference, parent, name, name_size, &row);
        fs_lock_set_unlock(fs, &set);
    }
    if (error) {
        fs_inode_release(fs, reference);
        return error;
    }
    fs_inode_reference_to_lookup(fs, reference);
    ret_entry->attributes = row.attributes;
    return 0;
}
