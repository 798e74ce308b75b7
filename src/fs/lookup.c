/* Finding an inode by its name or number, and reading a symlink.
 *
 * The parent's lock, held shared, keeps the entry and so the child in being until the lookup count is up. The child's
 * row is read without the child's lock: one row read is atomic, a lookup needs nothing else of the child, and so a
 * path walk never waits for a large write into a file that it only names. */
#include "names.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int lookup_locked(struct fs *fs, uint64_t parent, const char *name, size_t name_size,
                         struct fs_inode_row *ret_row)
{
    struct fs_entry_row entry;
    struct fs_inode_row directory;
    int error = fs_entry_read(fs, NULL, parent, name, name_size, &entry);
    if (error == -ENOENT) {
        /* What has entries is a directory; without one it is worth asking. */
        error = fs_directory_row_read(fs, NULL, parent, &directory);
        return error ? error : -ENOENT;
    }
    if (!error) {
        error = fs_child_row_read(fs, NULL, entry.inode, entry.type, ret_row);
    }
    if (!error) {
        error = fs_inode_add_lookup(fs, entry.inode);
    }
    return error;
}

int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct fs_entry *ret_entry)
{
    struct fs_inode *inode;
    struct fs_inode_row row;
    size_t name_size;
    int error = fs_name_check(name, &name_size);
    if (!error) {
        error = fs_inode_acquire(fs, parent, &inode);
    }
    if (error) {
        return error;
    }
    base_latch_lock_shared(&inode->latch);
    error = lookup_locked(fs, parent, name, name_size, &row);
    base_latch_unlock_shared(&inode->latch);
    fs_inode_release(fs, inode);
    if (!error) {
        ret_entry->attributes = row.attributes;
    }
    return error;
}

/* Inode locked, so that it keeps its name until the lookup count is up. */
static int lookup_number_locked(struct fs *fs, uint64_t number, struct fs_inode_row *ret_row)
{
    struct fs_inode_row row;
    int error = fs_inode_row_read(fs, NULL, number, &row);
    if (!error && row.attributes.link_count == 0) {
        error = -ENOENT;
    }
    if (!error) {
        error = fs_inode_add_lookup(fs, number);
    }
    if (!error) {
        *ret_row = row;
    }
    return error;
}

static int parent_of(struct fs *fs, uint64_t number, uint64_t *ret_parent)
{
    struct fs_inode_row row;
    int error = fs_directory_row_read(fs, NULL, number, &row);
    if (!error) {
        *ret_parent = row.parent;
    }
    return error;
}

int fs_lookup_number(struct fs *fs, uint64_t number, bool parent, struct fs_entry *ret_entry)
{
    struct fs_inode *inode;
    struct fs_inode_row row;
    int error = parent ? parent_of(fs, number, &number) : 0;
    if (!error) {
        error = fs_inode_acquire(fs, number, &inode);
    }
    if (error) {
        return error;
    }
    base_latch_lock_shared(&inode->latch);
    error = lookup_number_locked(fs, number, &row);
    base_latch_unlock_shared(&inode->latch);
    fs_inode_release(fs, inode);
    if (!error) {
        ret_entry->attributes = row.attributes;
    }
    return error;
}

static int read_link_locked(struct fs *fs, uint64_t number, char *buffer, size_t buffer_size, bool *ret_is_due)
{
    char target[FS_SYMLINK_SIZE_MAX + 1];
    struct fs_inode_row row;
    int error = fs_inode_row_read(fs, NULL, number, &row);
    if (error) {
        return error;
    }
    if (!S_ISLNK(row.attributes.mode)) {
        return -EINVAL;
    }
    size_t size = row.attributes.size;
    if (size >= buffer_size) {
        return -ERANGE;
    }
    if (size <= FS_SYMLINK_INLINE_MAX) {
        error = fs_inode_row_read_target(fs, number, target);
    } else {
        int64_t count = fs_content_read(fs, number, size, 0, target, size);
        error = count < 0 ? (int)count : 0;
        target[size] = '\0';
    }
    if (error) {
        return error;
    }
    if (strlen(target) != size) {
        base_message(BASE_MESSAGE_ERROR, "inode %llu: its symlink target contains a NUL byte",
                     (unsigned long long)number);
        return -EUCLEAN;
    }
    memcpy(buffer, target, size + 1);
    *ret_is_due = fs_access_time_is_due(fs, &row.attributes);
    return 0;
}

int fs_read_link(struct fs *fs, uint64_t number, char *buffer, size_t buffer_size)
{
    struct fs_inode *inode;
    bool is_due = false;
    int error = fs_inode_acquire(fs, number, &inode);
    if (error) {
        return error;
    }
    base_latch_lock_shared(&inode->latch);
    error = read_link_locked(fs, number, buffer, buffer_size, &is_due);
    base_latch_unlock_shared(&inode->latch);
    if (is_due) {
        fs_access_time_update(fs, inode);
    }
    fs_inode_release(fs, inode);
    return error;
}
