/* Attributes: reading them, changing them, and what a change does to set-id bits and times.
 *
 * Times, by the POSIX rules: every change sets the change time (unless the caller gives one); a change of size also the
 * modification time.
 *
 * Set-id bits, as Linux does it: a change of contents without CAP_FSETID, and chown of anything but a directory by
 * anyone, take S_ISUID away, and S_ISGID where the group may execute or the caller is not in it. Capabilities and
 * groups are not ours to know: struct fs_caller says what follows from them. Clearing S_ISGID on a chmod by someone
 * outside the group is the kernel's. */
#include "base/clock.h"
#include "names.h"
#include "xattr.h"

#include <errno.h>
#include <sys/stat.h>

enum { PERMISSION_BITS = 07777, NANOSECONDS_PER_SECOND = 1000000000 };

static uint32_t without_set_id(uint32_t mode, bool both)
{
    mode &= ~(uint32_t)S_ISUID;
    if (both || (mode & S_IXGRP)) {
        mode &= ~(uint32_t)S_ISGID;
    }
    return mode;
}

/* A late mmap write (caller NULL) clears nothing: the kernel checks who may map a file for writing, and Linux does not
 * count a store as a write for this. */
uint32_t fs_mode_without_set_id(const struct fs_caller *caller, uint32_t mode)
{
    bool is_kept = !caller || !S_ISREG(mode) || caller->set_id == FS_SET_ID_KEPT ||
                   (caller->set_id == FS_SET_ID_BY_UID && caller->uid == 0);
    return is_kept ? mode : without_set_id(mode, caller->set_id == FS_SET_ID_CLEARED_BOTH);
}

int fs_get_attributes(struct fs *fs, uint64_t number, struct fs_attributes *ret_attributes)
{
    struct fs_inode *inode;
    struct fs_inode_row row;
    int error = fs_inode_acquire(fs, number, &inode);
    if (error) {
        return error;
    }
    base_latch_lock_shared(&inode->latch);
    error = fs_inode_row_read(fs, NULL, number, &row);
    base_latch_unlock_shared(&inode->latch);
    fs_inode_release(fs, inode);
    if (!error) {
        *ret_attributes = row.attributes;
    }
    return error;
}

static bool time_is_valid(struct timespec time)
{
    return time.tv_nsec >= 0 && time.tv_nsec < NANOSECONDS_PER_SECOND;
}

static int check_changes(const struct fs_changes *changes, const struct fs_attributes *attributes)
{
    uint32_t mode = attributes->mode;
    if (changes->set & FS_SET_SIZE) {
        if (S_ISDIR(mode)) {
            return -EISDIR;
        }
        if (!S_ISREG(mode)) {
            return -EINVAL;
        }
        if (changes->size > (uint64_t)FS_FILE_SIZE_MAX) {
            return -EFBIG;
        }
    }
    if (((changes->set & FS_SET_ACCESS_TIME) && !time_is_valid(changes->access_time)) ||
        ((changes->set & FS_SET_MODIFICATION_TIME) && !time_is_valid(changes->modification_time)) ||
        ((changes->set & FS_SET_CHANGE_TIME) && !time_is_valid(changes->change_time))) {
        return -EINVAL;
    }
    return fs_flags_check_attributes(attributes, changes->set);
}

static uint32_t new_mode(const struct fs_caller *caller, const struct fs_changes *changes, uint32_t old_mode)
{
    if (changes->set & FS_SET_MODE) {
        return (old_mode & S_IFMT) | (changes->mode & PERMISSION_BITS);
    }
    if ((changes->set & (FS_SET_UID | FS_SET_GID)) && !S_ISDIR(old_mode)) {
        return without_set_id(old_mode, caller->set_id == FS_SET_ID_CLEARED_BOTH);
    }
    if (changes->set & (FS_SET_SIZE | FS_SET_NO_SET_ID)) {
        return fs_mode_without_set_id(caller, old_mode);
    }
    return old_mode;
}

static void apply_changes(const struct fs_caller *caller, const struct fs_changes *changes,
                          struct fs_attributes *attributes)
{
    struct timespec now = base_clock_now();
    uint32_t set = changes->set;
    attributes->mode = new_mode(caller, changes, attributes->mode);
    if (set & FS_SET_UID) {
        attributes->uid = changes->uid;
    }
    if (set & FS_SET_GID) {
        attributes->gid = changes->gid;
    }
    if (set & FS_SET_SIZE) {
        attributes->size = changes->size;
    }
    if (set & FS_SET_ACCESS_TIME) {
        attributes->access_time = changes->access_time;
    } else if (set & FS_SET_ACCESS_TIME_NOW) {
        attributes->access_time = now;
    }
    if (set & FS_SET_MODIFICATION_TIME) {
        attributes->modification_time = changes->modification_time;
    } else if (set & (FS_SET_MODIFICATION_TIME_NOW | FS_SET_SIZE)) {
        attributes->modification_time = now;
    }
    attributes->change_time = set & FS_SET_CHANGE_TIME ? changes->change_time : now;
}

/* All but a change of size, in one transaction: chmod also changes the access ACL. */
static int write_changes(struct fs *fs, const struct fs_changes *changes, const struct fs_inode_row *row)
{
    uint64_t inode = row->attributes.inode;
    bool has_acl = (changes->set & FS_SET_MODE) && fs_acl_follows_mode(fs, row);
    struct txn *txn;
    /* Takes no space for long: chmod works on a full disk. */
    int error = fs_row_changes_begin(fs, 1 + (has_acl ? fs_acl_rows_max(fs) : 0), 0, true, &txn);
    if (error) {
        return error;
    }
    error = fs_inode_row_write(fs, txn, inode, row, false, NULL);
    if (!error && has_acl) {
        error = fs_acl_set_mode(fs, txn, inode, row->attributes.mode);
    }
    return fs_row_changes_end(txn, error);
}

/* Exclusive inode lock held. */
static int set_locked(struct fs *fs, const struct fs_caller *caller, struct fs_inode *inode,
                      const struct fs_changes *changes, struct fs_attributes *ret_attributes)
{
    struct fs_inode_row old, new;
    int error = fs_inode_row_read(fs, NULL, inode->number, &old);
    if (!error) {
        error = check_changes(changes, &old.attributes);
    }
    if (error) {
        return error;
    }
    new = old;
    if (changes->set != 0) {
        apply_changes(caller, changes, &new.attributes);
    }

    if (changes->set & FS_SET_SIZE) {
        error = fs_content_resize(fs, inode, &old, &new);
    }
    /* With a size the kernel sends no mode; of both, the ACL follows in a transaction of its own. */
    bool has_acl = (changes->set & FS_SET_MODE) && fs_acl_follows_mode(fs, &new);
    if (!error && changes->set != 0 && (!(changes->set & FS_SET_SIZE) || has_acl)) {
        error = write_changes(fs, changes, &new);
    }
    if (!error) {
        *ret_attributes = new.attributes;
    }
    return error;
}

int fs_set_attributes(struct fs *fs, const struct fs_caller *caller, uint64_t number, const struct fs_changes *changes,
                      struct fs_attributes *ret_attributes)
{
    struct fs_inode *inode;
    int error = fs_inode_acquire(fs, number, &inode);
    if (error) {
        return error;
    }
    base_latch_lock_exclusive(&inode->latch);
    error = set_locked(fs, caller, inode, changes, ret_attributes);
    base_latch_unlock_exclusive(&inode->latch);
    fs_inode_release(fs, inode);
    return error;
}
