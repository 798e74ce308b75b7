/* Requests that deal in attributes, and statfs. */
#include "internal.h"

#include <errno.h>
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

void front_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *wanted, int to_set, struct fuse_file_info *info)
{
    struct fs *fs = front_of(request)->fs;
    struct fs_attributes attributes;
    struct fs_changes changes;
    int result;

    (void)info;
    changes_from_request(wanted, to_set, &changes);
    if (changes.set == 0) {
        front_clear_set_id(request, inode);
        return;
    }
    if ((changes.set & FS_SET_SIZE) && wanted->st_size < 0) {
        result = -EINVAL;
    } else {
        bool changes_owner = changes.set & (FS_SET_UID | FS_SET_GID);
        bool drops = changes_owner || (changes.set & FS_SET_SIZE);
        struct fs_caller caller =
            drops ? front_attribute_changer(request, inode, changes_owner) : front_caller(request);
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
