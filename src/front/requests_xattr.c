/* Requests that deal in extended attributes.
 *
 * Errors are the filesystem's own here: -ENODATA means that there is no such name, where elsewhere it is damage.
 *
 * -o noxattr: ENOSYS once, after which the kernel answers for us. It also ends the GETXATTR of security.capability that
 * comes before the first write to a file (docs/posix.md). */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

static void reply_error(fuse_req_t request, int error)
{
    if (error == -ENODATA) {
        (void)fuse_reply_err(request, ENODATA);
    } else {
        front_reply_result(request, error);
    }
}

static bool is_refused(fuse_req_t request)
{
    if (!front_of(request)->options->no_xattrs) {
        return false;
    }
    (void)fuse_reply_err(request, ENOSYS);
    return true;
}

/* result: a size, or negative errno. size 0: only that was asked for. */
static void reply_bytes(fuse_req_t request, int64_t result, const char *buffer, size_t size)
{
    if (result < 0) {
        reply_error(request, (int)result);
    } else if (size == 0) {
        (void)fuse_reply_xattr(request, (size_t)result);
    } else {
        (void)fuse_reply_buf(request, buffer, (size_t)result);
    }
}

void front_getxattr(fuse_req_t request, fuse_ino_t inode, const char *name, size_t size)
{
    size_t room = size < FS_XATTR_VALUE_SIZE_MAX ? size : FS_XATTR_VALUE_SIZE_MAX;
    char *buffer = size > 0 ? front_thread_buffer() : NULL;
    int64_t result = -ENOMEM;

    if (is_refused(request)) {
        return;
    }
    if (buffer || size == 0) {
        result = fs_get_xattr(front_of(request)->fs, inode, name, buffer, room);
    }
    if (result == -ENODATA && strcmp(name, "security.selinux") == 0) {
        result = -EOPNOTSUPP; /* ls -l asks for every file, unless it is told this once */
    }
    reply_bytes(request, result, buffer, size);
}

void front_listxattr(fuse_req_t request, fuse_ino_t inode, size_t size)
{
    size_t room = size < FS_XATTR_LIST_SIZE_MAX ? size : FS_XATTR_LIST_SIZE_MAX;
    char *buffer = size > 0 ? front_thread_buffer() : NULL;
    struct fs_caller caller = front_caller(request);
    int64_t result = -ENOMEM;

    if (is_refused(request)) {
        return;
    }
    if (buffer || size == 0) {
        result = fs_list_xattrs(front_of(request)->fs, &caller, inode, buffer, room);
    }
    reply_bytes(request, result, buffer, size);
}

void front_setxattr(fuse_req_t request, fuse_ino_t inode, const char *name, const char *value, size_t size, int flags)
{
    unsigned wanted = (flags & XATTR_CREATE ? (unsigned)FS_XATTR_CREATE : 0) |
                      (flags & XATTR_REPLACE ? (unsigned)FS_XATTR_REPLACE : 0) |
                      (front_wire_clears_set_gid() ? (unsigned)FS_XATTR_CLEAR_SET_GID : 0);

    if (is_refused(request)) {
        return;
    }
    int result = fs_set_xattr(front_of(request)->fs, inode, name, value, size, wanted);
    reply_error(request, front_settle(request, FRONT_CHANGE_CONTENTS, result));
}

int front_drop_capability(fuse_req_t request, fuse_ino_t inode)
{
    static const char name[] = "security.capability";
    struct front *front = front_of(request);

    if (!front->options->no_xattrs) {
        return 0;
    }
    int64_t size = fs_get_xattr(front->fs, inode, name, NULL, 0);
    int result = size < 0 ? (int)size : fs_remove_xattr(front->fs, inode, name);
    return result == -ENODATA ? 0 : result;
}

void front_removexattr(fuse_req_t request, fuse_ino_t inode, const char *name)
{
    if (is_refused(request)) {
        return;
    }
    int result = fs_remove_xattr(front_of(request)->fs, inode, name);
    if (result == 0 && strcmp(name, "security.capability") == 0) {
        front_note_capability_removal(request, inode);
    }
    reply_error(request, front_settle(request, FRONT_CHANGE_CONTENTS, result));
}
