/* Requests that deal in the space of contents: blocks reserved and holes punched, where data and holes are, ranges
 * copied. */
#include "internal.h"

#include <errno.h>

/* Of one request, holes included: the answer has 32 bits. */
#define COPY_MAX (1U << 30)

void front_fallocate(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t size,
                     struct fuse_file_info *info)
{
    struct fs_caller caller = front_range_changer(request, inode);
    int result = -EINVAL;

    (void)info;
    if (offset >= 0 && size > 0) {
        result = front_drop_capability(request, inode);
    }
    if (result == 0) {
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

void front_copy_file_range(fuse_req_t request, fuse_ino_t from, off_t from_offset, struct fuse_file_info *from_info,
                           fuse_ino_t to, off_t to_offset, struct fuse_file_info *to_info, size_t size, int flags)
{
    struct fs_caller caller = front_range_changer(request, to);
    size_t part = size < COPY_MAX ? size : COPY_MAX;
    int64_t result = -EINVAL;

    (void)from_info;
    (void)to_info;
    if (from_offset >= 0 && to_offset >= 0 && flags == 0) {
        result = front_drop_capability(request, to);
    }
    if (result == 0) {
        result =
            fs_copy_range(front_of(request)->fs, &caller, from, (uint64_t)from_offset, to, (uint64_t)to_offset, part);
    }
    int settled = front_settle(request, FRONT_CHANGE_CONTENTS, result < 0 ? (int)result : 0);
    if (settled < 0) {
        front_reply_result(request, settled);
    } else {
        (void)fuse_reply_write(request, (size_t)result);
    }
}
