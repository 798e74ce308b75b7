/* Requests that deal in the space of contents: blocks reserved and holes punched, and where data and holes are. */
#include "internal.h"

#include <errno.h>

void front_fallocate(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t size,
                     struct fuse_file_info *info)
{
    struct fs_caller caller = front_caller(request);
    int result = -EINVAL;

    (void)info;
    if (offset >= 0 && size > 0) {
        result = fs_allocate(front_of(request)->fs, &caller, inode, (unsigned)mode, (uint64_t)offset, (uint64_t)size);
    }
    front_reply_result(request, front_settle(request, FRONT_CHANGE_CONTENTS, result));
}

void front_lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence, struct fuse_file_info *info)
{
    int64_t result = -ENXIO;

    (void)info;
    if (offset >= 0) {
        result = fs_seek(front_of(request)->fs, inode, (uint64_t)offset, whence);
    }
    if (result < 0) {
        front_reply_result(request, (int)result);
    } else {
        (void)fuse_reply_lseek(request, result);
    }
}
