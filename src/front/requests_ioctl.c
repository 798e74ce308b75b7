/* The one ioctl: `beeftree status`. */
#include "internal.h"

#include "os/status.h"

#include <errno.h>
#include <string.h>

void front_ioctl(fuse_req_t request, fuse_ino_t inode, unsigned command, void *argument, struct fuse_file_info *info,
                 unsigned flags, const void *in, size_t in_size, size_t out_size)
{
    struct os_status answer;

    (void)inode;
    (void)argument;
    (void)info;
    (void)flags;
    (void)in;
    (void)in_size;
    if (command != OS_STATUS_IOCTL || out_size < sizeof answer) {
        (void)fuse_reply_err(request, ENOTTY);
        return;
    }
    memset(&answer, 0, sizeof answer);
    int result = front_status_print(front_of(request), answer.text, sizeof answer.text);
    if (result < 0) {
        front_reply_result(request, result);
    } else {
        (void)fuse_reply_ioctl(request, 0, &answer, sizeof answer);
    }
}
