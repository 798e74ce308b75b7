/* Requests that deal in contents. There is no open file here: OPEN (unless strict_open) and FLUSH are answered ENOSYS
 * once, after which the kernel neither sends them nor RELEASE; an unlinked file ends at its last FORGET. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>

/* ENOSYS, once: no further OPEN and no RELEASE, all files are open. */
void front_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    struct front *front = front_of(request);

    if (!front->options->asks_opens) {
        (void)fuse_reply_err(request, ENOSYS);
        return;
    }
    int result = fs_check_open(front->fs, inode, info->flags);
    if (result < 0) {
        front_reply_result(request, result);
        return;
    }
    /* A read that the kernel answers by itself changes no access time. */
    info->keep_cache = front->options->access_times != FS_ACCESS_TIMES_EXACT;
    info->noflush = 1;
    (void)fuse_reply_open(request, info);
}

void front_flush(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    (void)info;
    (void)fuse_reply_err(request, ENOSYS);
}

void front_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info)
{
    char *buffer = front_thread_buffer();
    int64_t result = -ENOMEM;

    if (size > FRONT_BUFFER_SIZE) {
        size = FRONT_BUFFER_SIZE;
    }
    if (offset < 0) {
        result = -EINVAL;
    } else if (buffer && (info->flags & O_NOATIME)) {
        result = fs_read_unnoticed(front_of(request)->fs, inode, (uint64_t)offset, buffer, size);
    } else if (buffer) {
        result = fs_read(front_of(request)->fs, inode, (uint64_t)offset, buffer, size);
    }
    if (result < 0) {
        front_reply_result(request, (int)result);
    } else {
        (void)fuse_reply_buf(request, buffer, (size_t)result);
    }
}

void front_write(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size, off_t offset,
                 struct fuse_file_info *info)
{
    struct front *front = front_of(request);
    struct fs_caller caller = front_writer(request, inode);
    int64_t result = -EINVAL;

    if (offset >= 0) {
        result = info->writepage ? 0 : front_drop_capability(request, inode);
    }
    if (result == 0) {
        /* A late write of a mapped page is no one's in particular: its request carries no caller. */
        result = fs_write(front->fs, info->writepage ? NULL : &caller, inode, (uint64_t)offset, bytes, size);
    }
    int settled = front_settle(request, FRONT_CHANGE_CONTENTS, result < 0 ? (int)result : 0);
    if (settled < 0) {
        front_reply_result(request, settled);
    } else {
        (void)fuse_reply_write(request, (size_t)result);
    }
    if (info->writepage) {
        atomic_fetch_add(&front->mapped_writes_finished, 1);
    }
}

/* Files and directories alike: everything accepted so far becomes durable. */
void front_fsync(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *info)
{
    (void)inode;
    (void)data_only;
    (void)info;
    front_reply_result(request, fs_sync(front_of(request)->fs));
}
