/* chattr flags: setting them, and what immutable and append-only inodes refuse. The rules are Linux's, down to root:
 *
 *                     immutable                        append-only
 *      file           no write                         writes only at its end, no truncate
 *      directory      no name comes, goes or changes   names come, none goes or changes
 *      both           none of their names comes, goes or changes (no link, unlink, rename); no chmod, chown, utimes
 *                     nor extended attributes; "touch" only if append-only
 *
 * Who may set them is the kernel's to say (the owner; immutable and append-only: CAP_LINUX_IMMUTABLE). It looks at them
 * nowhere else: unless the mount asks about every open, open(2) for writing succeeds, the write does not. */
#include "base/clock.h"
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>

_Static_assert(FS_FLAG_IMMUTABLE == FS_IMMUTABLE_FL && FS_FLAG_APPEND == FS_APPEND_FL &&
                   FS_FLAG_NO_DUMP == FS_NODUMP_FL && FS_FLAG_NO_ACCESS_TIME == FS_NOATIME_FL,
               "as the ioctls have them");

int fs_flags_check_change(const struct fs_attributes *attributes)
{
    return attributes->flags & (FS_FLAG_IMMUTABLE | FS_FLAG_APPEND) ? -EPERM : 0;
}

int fs_flags_check_write(const struct fs_attributes *attributes, uint64_t offset)
{
    bool is_refused =
        (attributes->flags & FS_FLAG_IMMUTABLE) || ((attributes->flags & FS_FLAG_APPEND) && offset != attributes->size);
    return is_refused ? -EPERM : 0;
}

int fs_flags_check_add(const struct fs_attributes *directory)
{
    return directory->flags & FS_FLAG_IMMUTABLE ? -EPERM : 0;
}

int fs_flags_check_remove(const struct fs_attributes *directory, const struct fs_attributes *child)
{
    int error = fs_flags_check_change(directory);
    return error ? error : fs_flags_check_change(child);
}

int fs_flags_check_attributes(const struct fs_attributes *attributes, uint32_t set)
{
    uint32_t always =
        FS_SET_MODE | FS_SET_UID | FS_SET_GID | FS_SET_SIZE | FS_SET_ACCESS_TIME | FS_SET_MODIFICATION_TIME;
    bool is_refused = ((attributes->flags & FS_FLAG_IMMUTABLE) && set != 0) ||
                      ((attributes->flags & FS_FLAG_APPEND) && (set & always) != 0);
    return is_refused ? -EPERM : 0;
}

int fs_check_open(struct fs *fs, uint64_t inode, int open_flags)
{
    struct fs_attributes attributes;
    bool is_writing = (open_flags & O_ACCMODE) != O_RDONLY || (open_flags & O_TRUNC);

    if (!is_writing) {
        return 0;
    }
    int error = fs_get_attributes(fs, inode, &attributes);
    if (error) {
        return error;
    }
    bool is_refused = (attributes.flags & FS_FLAG_IMMUTABLE) ||
                      ((attributes.flags & FS_FLAG_APPEND) && (!(open_flags & O_APPEND) || (open_flags & O_TRUNC)));
    return is_refused ? -EPERM : 0;
}

/* Exclusive inode lock held. */
static int set_locked(struct fs *fs, uint64_t number, uint32_t flags)
{
    struct fs_inode_row row;
    struct txn *txn;
    int error = fs_inode_row_read(fs, NULL, number, &row);
    if (error || row.attributes.flags == flags) {
        return error;
    }
    row.attributes.flags = flags;
    row.attributes.change_time = base_clock_now();
    error = fs_row_changes_begin(fs, 1, 0, true, &txn);
    return error ? error : fs_row_changes_end(txn, fs_inode_row_write(fs, txn, number, &row, false, NULL));
}

int fs_set_flags(struct fs *fs, uint64_t number, uint32_t flags)
{
    struct fs_inode *inode;
    if (flags & ~(uint32_t)FS_FLAGS_ALL) {
        return -EOPNOTSUPP;
    }
    int error = fs_inode_acquire(fs, number, &inode);
    if (error) {
        return error;
    }
    base_latch_lock_exclusive(&inode->latch);
    error = set_locked(fs, number, flags);
    base_latch_unlock_exclusive(&inode->latch);
    fs_inode_release(fs, inode);
    return error;
}
