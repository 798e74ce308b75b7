/* Requests that deal in attributes, and statfs. */
#include "internal.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

void front_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    struct fs_attributes attributes;
    int result = fs_get_attributes(front_of(request)->fs, inode, &attributes);

    (void)info;
    front_reply_attributes(request, result, &attributes);
}

static void changes_from_request(const struct stat *wanted, int to_set, struct fs_changes *ret_changes)
{
    struct fs_changes changes = {0};

    if (to_set & FUSE_SET_ATTR_MODE) {
        changes.set |= FS_SET_MODE;
        changes.mode = wanted->st_mode & 07777;
    }
    if (to_set & FUSE_SET_ATTR_UID) {
        changes.set |= FS_SET_UID;
        changes.uid = wanted->st_uid;
    }
    if (to_set & FUSE_SET_ATTR_GID) {
        changes.set |= FS_SET_GID;
        changes.gid = wanted->st_gid;
    }
    if (to_set & FUSE_SET_ATTR_SIZE) {
        changes.set |= FS_SET_SIZE;
        changes.size = (uint64_t)wanted->st_size;
    }
    if (to_set & FUSE_SET_ATTR_ATIME_NOW) {
        changes.set |= FS_SET_ACCESS_TIME_NOW;
    } else if (to_set & FUSE_SET_ATTR_ATIME) {
        changes.set |= FS_SET_ACCESS_TIME;
        changes.access_time = wanted->st_atim;
    }
    if (to_set & FUSE_SET_ATTR_MTIME_NOW) {
        changes.set |= FS_SET_MODIFICATION_TIME_NOW;
    } else if (to_set & FUSE_SET_ATTR_MTIME) {
        changes.set |= FS_SET_MODIFICATION_TIME;
        changes.modification_time = wanted->st_mtim;
    }
    if (to_set & FUSE_SET_ATTR_CTIME) {
        changes.set |= FS_SET_CHANGE_TIME;
        changes.change_time = wanted->st_ctim;
    }
    *ret_changes = changes;
}

/* A SETATTR that sets nothing is the kernel's "set-id bits are about to go because of a write". The write itself
 * clears them, but its reply carries no mode: answering with the cleared mode keeps the kernel's copy true. */
static int clear_set_id(struct fs *fs, const struct fs_caller *caller, uint64_t inode,
                        struct fs_attributes *ret_attributes)
{
    int result = fs_get_attributes(fs, inode, ret_attributes);

    if (result < 0 || caller->uid == 0 || !S_ISREG(ret_attributes->mode)) {
        return result;
    }
    uint32_t cleared = ret_attributes->mode & ~(uint32_t)S_ISUID;
    if (cleared & S_IXGRP) {
        cleared &= ~(uint32_t)S_ISGID;
    }
    if (cleared == ret_attributes->mode) {
        return 0;
    }
    struct fs_changes changes = {.set = FS_SET_MODE, .mode = cleared & 07777};
    return fs_set_attributes(fs, caller, inode, &changes, ret_attributes);
}

void front_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *wanted, int to_set, struct fuse_file_info *info)
{
    struct fs *fs = front_of(request)->fs;
    struct fs_caller caller = front_caller(request);
    struct fs_attributes attributes;
    struct fs_changes changes;
    int result;

    (void)info;
    changes_from_request(wanted, to_set, &changes);
    if ((changes.set & FS_SET_SIZE) && wanted->st_size < 0) {
        result = -EINVAL;
    } else if (changes.set == 0) {
        result = clear_set_id(fs, &caller, inode, &attributes);
    } else {
        bool drops = changes.set & (FS_SET_SIZE | FS_SET_UID | FS_SET_GID);
        result = drops ? front_drop_capability(request, inode) : 0;
        if (result == 0) {
            result = fs_set_attributes(fs, &caller, inode, &changes, &attributes);
        }
    }
    result = front_settle(request, FRONT_CHANGE_CONTENTS, result);
    front_reply_attributes(request, result, &attributes);
}

void front_statfs(fuse_req_t request, fuse_ino_t inode)
{
    struct fs_space space;
    int result = fs_get_space(front_of(request)->fs, &space);

    (void)inode;
    if (result < 0) {
        front_reply_result(request, result);
        return;
    }
    struct statvfs answer = {
        .f_bsize = space.block_size,
        .f_frsize = space.block_size,
        .f_blocks = space.blocks,
        .f_bfree = space.blocks_free,
        .f_bavail = space.blocks_available,
        .f_files = space.inodes,
        .f_ffree = space.inodes_free,
        .f_favail = space.inodes_free,
        .f_namemax = FS_NAME_SIZE_MAX,
    };
    (void)fuse_reply_statfs(request, &answer);
}
