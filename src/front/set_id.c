/* Set-id bits and who keeps them. The kernel knows the callers' capabilities and groups, and tells (HANDLE_KILLPRIV_V2)
 * what follows from CAP_FSETID:
 *
 *      WRITE                    a flag
 *      SETATTR of a size        a flag
 *      SETATTR of an owner      nothing: the bits go whoever asks
 *      SETATTR of nothing       comes before a WRITE, FALLOCATE or COPY_FILE_RANGE (kernels since 6.2, protocol 7.38)
 *                               if they are to take bits away; and for a chown that changes nothing
 *
 * A SETATTR of nothing also follows when the kernel has removed file capabilities before one of these, whoever asks.
 * Then the bits are left to the WRITE's flag, and the kernel is told not to believe in the mode for long; FALLOCATE and
 * COPY_FILE_RANGE, which have none, go by the user.
 *
 * S_ISGID of a file that its group may not execute goes only when the caller is not in the group: no request says so,
 * but the groups can be asked for. Bits of that kind are rare, so is asking. Of a chown no request says whether the
 * caller has CAP_FSETID: such a bit is kept for root. */
#include "internal.h"

#include <sys/stat.h>

enum { GROUPS_MAX = 1024, FIRST_MINOR_WITH_NOTICE = 38 };

static uint64_t removal_of(fuse_req_t request, fuse_ino_t inode)
{
    return (uint64_t)fuse_req_ctx(request)->pid << 40 ^ inode;
}

void front_note_capability_removal(fuse_req_t request, fuse_ino_t inode)
{
    atomic_store(&front_of(request)->capability_removal, removal_of(request, inode));
}

static bool has_removed_capability(fuse_req_t request, fuse_ino_t inode)
{
    return atomic_load(&front_of(request)->capability_removal) == removal_of(request, inode);
}

static bool is_in_group(fuse_req_t request, gid_t gid)
{
    gid_t groups[GROUPS_MAX];
    bool is_found = fuse_req_ctx(request)->gid == gid;
    int count = is_found ? 0 : fuse_req_getgroups(request, GROUPS_MAX, groups);

    for (int i = 0; i < count && i < GROUPS_MAX && !is_found; i++) {
        is_found = groups[i] == gid;
    }
    return is_found || count < 0;
}

/* Of a caller without CAP_FSETID. */
static enum fs_set_id clearing(fuse_req_t request, const struct fs_attributes *attributes)
{
    bool depends = (attributes->mode & S_ISGID) && !(attributes->mode & S_IXGRP) && !S_ISDIR(attributes->mode);

    return depends && !is_in_group(request, attributes->gid) ? FS_SET_ID_CLEARED_BOTH : FS_SET_ID_CLEARED;
}

/* The same, of a file that is yet to be looked at. */
static enum fs_set_id clearing_of(fuse_req_t request, fuse_ino_t inode)
{
    struct fs_attributes attributes;
    int error = fs_get_attributes(front_of(request)->fs, inode, &attributes);

    return error ? FS_SET_ID_CLEARED : clearing(request, &attributes);
}

struct fs_caller front_writer(fuse_req_t request, fuse_ino_t inode)
{
    struct fs_caller caller = front_caller(request);

    if (!front_wire_tells_set_id(front_of(request))) {
        return caller;
    }
    if (!front_wire_clears_set_id()) {
        caller.set_id = FS_SET_ID_KEPT;
    } else if (has_removed_capability(request, inode)) {
        caller.set_id = clearing_of(request, inode);
    } else {
        caller.set_id = FS_SET_ID_CLEARED; /* S_ISGID alone, if it was to go, is gone */
    }
    return caller;
}

struct fs_caller front_range_changer(fuse_req_t request, fuse_ino_t inode)
{
    struct fs_caller caller = front_caller(request);
    const struct front *front = front_of(request);

    if (!front_wire_tells_set_id(front) || front->kernel_minor < FIRST_MINOR_WITH_NOTICE) {
        return caller;
    }
    if (has_removed_capability(request, inode) && caller.uid != 0) {
        caller.set_id = clearing_of(request, inode);
    } else {
        caller.set_id = FS_SET_ID_KEPT; /* what was to go is gone */
    }
    return caller;
}

struct fs_caller front_attribute_changer(fuse_req_t request, fuse_ino_t inode, bool changes_owner)
{
    struct fs_caller caller = front_caller(request);
    bool is_cleared = changes_owner ? caller.uid != 0 : front_wire_clears_set_id();

    if (front_wire_tells_set_id(front_of(request))) {
        caller.set_id = is_cleared ? clearing_of(request, inode) : FS_SET_ID_KEPT;
    }
    return caller;
}

void front_clear_set_id(fuse_req_t request, fuse_ino_t inode)
{
    struct front *front = front_of(request);
    struct fs_caller caller = front_caller(request);
    struct fs_changes changes = {.set = FS_SET_NO_SET_ID};
    struct fs_attributes attributes;
    int result = fs_get_attributes(front->fs, inode, &attributes);

    if (result < 0 || !S_ISREG(attributes.mode) || !(attributes.mode & (S_ISUID | S_ISGID))) {
        front_reply_attributes(request, result, &attributes);
        return;
    }
    if (front_wire_tells_set_id(front) && has_removed_capability(request, inode)) {
        front_reply_attributes_once(request, &attributes);
        return;
    }
    caller.set_id = clearing(request, &attributes);
    result = fs_set_attributes(front->fs, &caller, inode, &changes, &attributes);
    front_reply_attributes(request, front_settle(request, FRONT_CHANGE_CONTENTS, result), &attributes);
}
