/* Shutting down: an ioctl, known from ext4 and XFS, after which the filesystem is as if the machine had stopped.
 * Nothing more is written to the database; what was not durable is gone at the next mount. Tests of recovery use it.
 *
 * Until the unmount names and attributes can still be read; everything else is answered EIO. */
#include "internal.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* What the caller's number says. */
enum {
    SHUT_DOWN_SAVED = 0,     /* everything is made durable first */
    SHUT_DOWN_LOG_SAVED = 1, /* the log is: here the same */
    SHUT_DOWN_AT_ONCE = 2,
};

/* The request has the address of the number only, since the kernel takes the ioctl for one that returns it. -EFAULT:
 * its process cannot be read. */
static int read_number(fuse_req_t request, const void *argument, uint32_t *ret_number)
{
    uint32_t number;
    struct iovec here = {.iov_base = &number, .iov_len = sizeof number};
    struct iovec there = {.iov_base = (void *)(uintptr_t)argument, .iov_len = sizeof number};
    ssize_t size = process_vm_readv(fuse_req_ctx(request)->pid, &here, 1, &there, 1, 0);

    if (size != (ssize_t)sizeof number) {
        return -EFAULT;
    }
    *ret_number = number;
    return 0;
}

void front_shut_down(fuse_req_t request, const void *argument)
{
    struct front *front = front_of(request);
    uint32_t number = 0;
    uint32_t answer = 0;
    int result = front_caller(request).uid == 0 ? read_number(request, argument, &number) : -EPERM;

    if (result == 0 && number > SHUT_DOWN_AT_ONCE) {
        result = -EINVAL;
    }
    if (result == 0 && number != SHUT_DOWN_AT_ONCE && !front->options->read_only) {
        result = fs_sync(front->fs);
    }
    if (result < 0) {
        front_reply_result(request, result);
        return;
    }
    fs_shut_down(front->fs);
    atomic_store(&front->is_shut_down, true);
    (void)fuse_reply_ioctl(request, 0, &answer, sizeof answer);
}

static bool may_pass(uint32_t opcode)
{
    switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_GETATTR:
    case 52: /* STATX, newer than some headers */
    case FUSE_STATFS:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_OPENDIR:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_INTERRUPT:
    case FUSE_DESTROY:
        return true;
    default:
        return false;
    }
}

bool front_shutdown_answer(struct front *front, int descriptor, const void *message)
{
    struct fuse_in_header request;

    if (!atomic_load_explicit(&front->is_shut_down, memory_order_relaxed)) {
        return false;
    }
    memcpy(&request, message, sizeof request);
    if (may_pass(request.opcode)) {
        return false;
    }
    struct fuse_out_header header = {.unique = request.unique, .len = sizeof header, .error = -EIO};
    /* It fails when whoever asked is gone. */
    (void)!write(descriptor, &header, sizeof header);
    return true;
}
