/* The ioctls of the tool: `beeftree status`, `beeftree sync`, of `mount -o remount` (all: os/status.h); and chattr
 * flags, in both dialects. Of the latter the kernel has checked that the caller may, and that SETFLAGS and FSSETXATTR
 * are what they seem: it makes these requests itself. */
#include "internal.h"

#include "os/status.h"

#include <errno.h>
#include <linux/fs.h>
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

static void answer_words(fuse_req_t request)
{
    const char *words = front_of(request)->options->words;
    struct fs_caller caller = front_caller(request);
    struct os_words answer;

    memset(&answer, 0, sizeof answer);
    if (caller.uid != 0 && caller.uid != geteuid()) {
        front_reply_result(request, -EPERM);
    } else if (words && strlen(words) >= sizeof answer.text) {
        front_reply_result(request, -ERANGE);
    } else {
        memcpy(answer.text, words ? words : "", words ? strlen(words) : 0);
        (void)fuse_reply_ioctl(request, 0, &answer, sizeof answer);
    }
}

static void answer_remount(fuse_req_t request, const struct os_remount *wanted)
{
    struct front *front = front_of(request);
    struct fs_caller caller = front_caller(request);

    if (caller.uid != 0 && caller.uid != geteuid()) {
        front_reply_result(request, -EPERM);
    } else if (wanted->is_writable && front->options->read_only) {
        front_reply_result(request, -EROFS);
    } else if (wanted->has_access_times && wanted->access_times > FS_ACCESS_TIMES_EXACT) {
        front_reply_result(request, -EINVAL);
    } else {
        if (wanted->has_access_times) {
            fs_set_access_times(front->fs, (enum fs_access_times)wanted->access_times,
                                wanted->directory_access_times_kept != 0);
        }
        (void)fuse_reply_ioctl(request, 0, NULL, 0);
    }
}

/* The kernel's copy of the change time is out of date now. It takes no lock for this: nothing of the contents is asked
 * to go. */
static void answer_set_flags(fuse_req_t request, fuse_ino_t inode, uint32_t flags)
{
    struct front *front = front_of(request);
    int result = front_settle(request, FRONT_CHANGE_CONTENTS, fs_set_flags(front->fs, inode, flags));

    if (result < 0) {
        front_reply_result(request, result);
        return;
    }
    (void)fuse_lowlevel_notify_inval_inode(front->session, inode, -1, 0);
    (void)fuse_reply_ioctl(request, 0, NULL, 0);
}

static const struct {
    uint32_t flag, extended;
} dialects[] = {
    {FS_FLAG_IMMUTABLE, FS_XFLAG_IMMUTABLE},
    {FS_FLAG_APPEND, FS_XFLAG_APPEND},
    {FS_FLAG_NO_DUMP, FS_XFLAG_NODUMP},
    {FS_FLAG_NO_ACCESS_TIME, FS_XFLAG_NOATIME},
};

static void answer_set_extended(fuse_req_t request, fuse_ino_t inode, const struct fsxattr *wanted)
{
    uint32_t left = wanted->fsx_xflags, flags = 0;

    for (size_t index = 0; index < sizeof dialects / sizeof dialects[0]; index++) {
        if (left & dialects[index].extended) {
            flags |= dialects[index].flag;
            left &= ~dialects[index].extended;
        }
    }
    if (left != 0 || wanted->fsx_projid != 0 || wanted->fsx_extsize != 0 || wanted->fsx_cowextsize != 0) {
        front_reply_result(request, -EOPNOTSUPP);
    } else {
        answer_set_flags(request, inode, flags);
    }
}

static void answer_get_flags(fuse_req_t request, fuse_ino_t inode, bool is_extended)
{
    struct fs_attributes attributes;
    struct fsxattr extended = {0};
    int result = fs_get_attributes(front_of(request)->fs, inode, &attributes);

    if (result < 0) {
        front_reply_result(request, result);
        return;
    }
    for (size_t index = 0; index < sizeof dialects / sizeof dialects[0]; index++) {
        extended.fsx_xflags |= attributes.flags & dialects[index].flag ? dialects[index].extended : 0;
    }
    if (is_extended) {
        (void)fuse_reply_ioctl(request, 0, &extended, sizeof extended);
    } else {
        (void)fuse_reply_ioctl(request, 0, &attributes.flags, sizeof attributes.flags);
    }
}

/* false: it is none of these. */
static bool answer_flags(fuse_req_t request, fuse_ino_t inode, unsigned command, const void *in, size_t in_size,
                         size_t out_size)
{
    struct fsxattr extended;
    uint32_t flags;

    if (command == FS_IOC_GETFLAGS && out_size >= sizeof flags) {
        answer_get_flags(request, inode, false);
    } else if (command == FS_IOC_FSGETXATTR && out_size >= sizeof extended) {
        answer_get_flags(request, inode, true);
    } else if (command == FS_IOC_SETFLAGS && in_size >= sizeof flags) {
        memcpy(&flags, in, sizeof flags);
        answer_set_flags(request, inode, flags);
    } else if (command == FS_IOC_FSSETXATTR && in_size >= sizeof extended) {
        memcpy(&extended, in, sizeof extended);
        answer_set_extended(request, inode, &extended);
    } else {
        return false;
    }
    return true;
}

void front_ioctl(fuse_req_t request, fuse_ino_t inode, unsigned command, void *argument, struct fuse_file_info *info,
                 unsigned flags, const void *in, size_t in_size, size_t out_size)
{
    struct os_sync wanted;
    struct os_remount remount;

    (void)info;
    (void)flags;
    if (command == FRONT_SHUTDOWN_IOCTL) {
        front_shut_down(request, argument);
    } else if (command == OS_STATUS_IOCTL && out_size >= sizeof(struct os_status)) {
        answer_status(request);
    } else if (command == OS_SYNC_IOCTL && in_size >= sizeof wanted && out_size >= sizeof wanted) {
        memcpy(&wanted, in, sizeof wanted);
        answer_sync(request, &wanted);
    } else if (command == OS_WORDS_IOCTL && out_size >= sizeof(struct os_words)) {
        answer_words(request);
    } else if (command == OS_REMOUNT_IOCTL && in_size >= sizeof remount) {
        memcpy(&remount, in, sizeof remount);
        answer_remount(request, &remount);
    } else if (!answer_flags(request, inode, command, in, in_size, out_size)) {
        (void)fuse_reply_err(request, ENOTTY);
    }
}
