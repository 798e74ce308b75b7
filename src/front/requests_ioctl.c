/* The ioctls of the tool: `beeftree status`, `beeftree sync` (os/status.h). */
#include "internal.h"

#include "os/status.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void answer_status(fuse_req_t request)
{
    struct os_status answer;

    memset(&answer, 0, sizeof answer);
    int result = front_status_print(front_of(request), answer.text, sizeof answer.text);
    if (result < 0) {
        front_reply_result(request, result);
    } else {
        (void)fuse_reply_ioctl(request, 0, &answer, sizeof answer);
    }
}

static void answer_sync(fuse_req_t request, const struct os_sync *wanted)
{
    struct front *front = front_of(request);
    struct fs_caller caller = front_caller(request);
    struct os_sync answer = {.is_durable = wanted->is_durable};
    int result = caller.uid == 0 || caller.uid == geteuid() ? 0 : -EPERM;

    if (result == 0) {
        answer.mapped_writes = front_wait_for_mapped_writes(front);
        result = wanted->is_durable ? fs_sync(front->fs) : 0;
    }
    if (result < 0) {
        front_reply_result(request, result);
    } else {
        (void)fuse_reply_ioctl(request, 0, &answer, sizeof answer);
    }
}

void front_ioctl(fuse_req_t request, fuse_ino_t inode, unsigned command, void *argument, struct fuse_file_info *info,
                 unsigned flags, const void *in, size_t in_size, size_t out_size)
{
    struct os_sync wanted;

    (void)inode;
    (void)argument;
    (void)info;
    (void)flags;
    if (command == OS_STATUS_IOCTL && out_size >= sizeof(struct os_status)) {
        answer_status(request);
    } else if (command == OS_SYNC_IOCTL && in_size >= sizeof wanted && out_size >= sizeof wanted) {
        memcpy(&wanted, in, sizeof wanted);
        answer_sync(request, &wanted);
    } else {
        (void)fuse_reply_err(request, ENOTTY);
    }
}
