/* Requests that deal in names. Every reply is made exactly once; lookup counts that the kernel did not take are given
 * back. */
#include "internal.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* "." and "..": what a file handle names and the kernel has forgotten. */
static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

void front_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fs *fs = front_of(request)->fs;
    struct fs_entry entry;

    if (is_dots(name)) {
        front_reply_entry(request, fs_lookup_number(fs, parent, name[1] == '.', &entry), &entry);
        return;
    }
    int result = fs_lookup(fs, parent, name, &entry);

    if (result == -ENOENT) {
        /* The kernel remembers that there is no such name. */
        struct fuse_entry_param nothing = {.ino = 0, .entry_timeout = FRONT_TIMEOUT_S};
        (void)fuse_reply_entry(request, &nothing);
        return;
    }
    front_reply_entry(request, result, &entry);
}

void front_forget(fuse_req_t request, fuse_ino_t inode, uint64_t count)
{
    fs_forget(front_of(request)->fs, inode, count);
    fuse_reply_none(request);
}

void front_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
    struct fs *fs = front_of(request)->fs;

    for (size_t index = 0; index < count; index++) {
        fs_forget(fs, forgets[index].ino, forgets[index].nlookup);
    }
    fuse_reply_none(request);
}

static int make(fuse_req_t request, fuse_ino_t parent, const char *name, const struct fs_make *what,
                struct fs_entry *ret_entry)
{
    struct fs_caller caller = front_caller(request);
    struct fs *fs = front_of(request)->fs;
    int made = fs_make(fs, &caller, parent, name, what, ret_entry);
    int result = front_settle(request, FRONT_CHANGE_NAMES, made);

    if (made == 0 && result < 0) {
        fs_forget(fs, ret_entry->attributes.inode, 1);
    }
    return result;
}

void front_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *info)
{
    struct fs *fs = front_of(request)->fs;
    struct fs_make what = {.temporary = front_wire_is_temporary(),
                           .mode = S_IFREG | (mode & 07777),
                           .umask = fuse_req_ctx(request)->umask};
    struct fuse_entry_param param;
    struct fs_entry entry;
    int result = make(request, parent, name, &what, &entry);

    if (result < 0) {
        front_reply_result(request, result);
        return;
    }
    front_fill_entry(&entry.attributes, &param);
    info->keep_cache = 1;
    info->noflush = 1;
    if (fuse_reply_create(request, &param, info) < 0) {
        fs_forget(fs, entry.attributes.inode, 1);
    }
}

void front_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    struct fs_make what = {.mode = mode, .umask = fuse_req_ctx(request)->umask};
    struct fs_entry entry;

    if (S_ISCHR(mode) || S_ISBLK(mode)) {
        what.device = (uint64_t)major(device) << 32 | minor(device);
    }
    front_reply_entry(request, make(request, parent, name, &what, &entry), &entry);
}

void front_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fs_make what = {.mode = S_IFDIR | (mode & 07777), .umask = fuse_req_ctx(request)->umask};
    struct fs_entry entry;

    front_reply_entry(request, make(request, parent, name, &what, &entry), &entry);
}

void front_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name)
{
    struct fs_make what = {.mode = S_IFLNK | 0777, .target = target};
    struct fs_entry entry;

    front_reply_entry(request, make(request, parent, name, &what, &entry), &entry);
}

void front_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t parent, const char *name)
{
    struct fs *fs = front_of(request)->fs;
    struct fs_entry entry;
    int linked = fs_link(fs, inode, parent, name, &entry);
    int result = front_settle(request, FRONT_CHANGE_NAMES, linked);

    if (linked == 0 && result < 0) {
        fs_forget(fs, entry.attributes.inode, 1);
    }
    front_reply_entry(request, result, &entry);
}

void front_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    int result = fs_unlink(front_of(request)->fs, parent, name);

    front_reply_result(request, front_settle(request, FRONT_CHANGE_NAMES, result));
}

void front_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    int result = fs_rmdir(front_of(request)->fs, parent, name);

    front_reply_result(request, front_settle(request, FRONT_CHANGE_NAMES, result));
}

void front_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
                  unsigned flags)
{
    struct fs_caller caller = front_caller(request);
    struct fs *fs = front_of(request)->fs;
    int result = flags & RENAME_WHITEOUT ? fs_rename_leaving_whiteout(fs, &caller, parent, name, new_parent, new_name,
                                                                      flags & ~(unsigned)RENAME_WHITEOUT)
                                         : fs_rename(fs, parent, name, new_parent, new_name, flags);

    front_reply_result(request, front_settle(request, FRONT_CHANGE_NAMES, result));
}

void front_readlink(fuse_req_t request, fuse_ino_t inode)
{
    char target[FS_SYMLINK_SIZE_MAX + 1];
    int result = fs_read_link(front_of(request)->fs, inode, target, sizeof target);

    if (result < 0) {
        front_reply_result(request, result);
    } else {
        (void)fuse_reply_readlink(request, target);
    }
}
