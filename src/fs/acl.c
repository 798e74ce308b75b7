/* POSIX ACLs, kept as the kernel hands them over in extended attributes (little-endian):
 *
 *      [version 2: 4] then entries [tag: 2][permissions: 2][id: 4]
 *      in the order  owner, users, owning group, groups, mask, others
 *
 * What is not the kernel's (it checks permissions by them): that they are well-formed, that mode and access ACL say the
 * same, and what a new inode gets from its directory's default ACL. An access ACL that says no more than the mode is
 * not kept. */
#include "base/bytes.h"
#include "xattr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    VERSION = 2,
    HEADER_SIZE = 4,
    ENTRY_SIZE = 8,
    ENTRY_TAG = 0,
    ENTRY_PERMISSIONS = 2,
    ENTRY_ID = 4,
    TAG_OWNER = 0x01,
    TAG_USER = 0x02,
    TAG_OWNING_GROUP = 0x04,
    TAG_GROUP = 0x08,
    TAG_MASK = 0x10,
    TAG_OTHERS = 0x20,
    ALL = 07,
};

#define ID_NONE UINT32_MAX

static size_t entry_count(size_t size)
{
    return (size - HEADER_SIZE) / ENTRY_SIZE;
}

static uint32_t get_tag(const uint8_t *entry)
{
    return base_get_le16(entry + ENTRY_TAG);
}

static uint32_t get_permissions(const uint8_t *entry)
{
    return base_get_le16(entry + ENTRY_PERMISSIONS);
}

/* The entry with this tag, of those that come once; NULL: there is none. */
static uint8_t *find_entry(uint8_t *acl, size_t size, uint32_t tag)
{
    for (size_t i = 0; i < entry_count(size); i++) {
        uint8_t *entry = acl + HEADER_SIZE + i * ENTRY_SIZE;
        if (get_tag(entry) == tag) {
            return entry;
        }
    }
    return NULL;
}

/* Which tags may follow a tag (0: the start). */
static uint32_t tags_after(uint32_t tag, bool needs_mask)
{
    switch (tag) {
    case 0:
        return TAG_OWNER;
    case TAG_OWNER:
    case TAG_USER:
        return TAG_USER | TAG_OWNING_GROUP;
    case TAG_OWNING_GROUP:
    case TAG_GROUP:
        return TAG_GROUP | TAG_MASK | (needs_mask ? 0 : TAG_OTHERS);
    case TAG_MASK:
        return TAG_OTHERS;
    default:
        return 0;
    }
}

int fs_acl_check(const void *acl, size_t size, bool *ret_empty)
{
    const uint8_t *bytes = acl;
    uint32_t before = 0;
    bool needs_mask = false;
    if (size < HEADER_SIZE || (size - HEADER_SIZE) % ENTRY_SIZE != 0 || base_get_le32(bytes) != VERSION) {
        return -EINVAL;
    }
    if (size > FS_ACL_SIZE_MAX) {
        return -E2BIG;
    }
    for (size_t i = 0; i < entry_count(size); i++) {
        const uint8_t *entry = bytes + HEADER_SIZE + i * ENTRY_SIZE;
        uint32_t tag = get_tag(entry);
        bool is_named = tag == TAG_USER || tag == TAG_GROUP;
        needs_mask |= is_named;
        if (tag == 0 || (tag & (tag - 1)) != 0 || !(tags_after(before, needs_mask) & tag) ||
            (get_permissions(entry) & ~(uint32_t)ALL) != 0 ||
            (is_named && base_get_le32(entry + ENTRY_ID) == ID_NONE)) {
            return -EINVAL;
        }
        before = tag;
    }
    *ret_empty = before == 0;
    return before == 0 || before == TAG_OTHERS ? 0 : -EINVAL;
}

bool fs_acl_to_mode(const uint8_t *acl, size_t size, uint32_t *mode)
{
    uint32_t owner = 0, group = 0, others = 0, mask = 0;
    bool is_extended = false, has_mask = false;
    for (size_t i = 0; i < entry_count(size); i++) {
        const uint8_t *entry = acl + HEADER_SIZE + i * ENTRY_SIZE;
        uint32_t permissions = get_permissions(entry) & ALL;
        switch (get_tag(entry)) {
        case TAG_OWNER:
            owner = permissions;
            break;
        case TAG_OWNING_GROUP:
            group = permissions;
            break;
        case TAG_OTHERS:
            others = permissions;
            break;
        case TAG_MASK:
            mask = permissions;
            has_mask = true;
            break;
        default:
            is_extended = true;
            break;
        }
    }
    *mode = (*mode & ~(uint32_t)0777) | owner << 6 | (has_mask ? mask : group) << 3 | others;
    return !is_extended && !has_mask;
}

uint32_t fs_acl_rows_max(const struct fs *fs)
{
    return fs_xattr_rows(fs, FS_ACL_SIZE_MAX);
}

/* --- chmod -------------------------------------------------------------------------------------------------------- */

bool fs_acl_follows_mode(const struct fs *fs, const struct fs_inode_row *row)
{
    return fs->has_acls && (row->xattrs & FS_XATTRS_ACCESS_ACL) != 0;
}

static void set_permissions(uint8_t *entry, uint32_t permissions)
{
    if (entry) {
        base_put_le16(entry + ENTRY_PERMISSIONS, (uint16_t)(permissions & ALL));
    }
}

/* The entry that the mode's group bits stand for. */
static uint8_t *find_group_class(uint8_t *acl, size_t size)
{
    uint8_t *mask = find_entry(acl, size, TAG_MASK);
    return mask ? mask : find_entry(acl, size, TAG_OWNING_GROUP);
}

/* An ACL of ours that is malformed is damage. */
static int read_acl(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, uint8_t *acl, uint32_t *ret_size)
{
    uint32_t size;
    bool is_empty;
    int error = fs_xattr_read(fs, txn, inode, name, acl, FS_ACL_SIZE_MAX, &size);
    if (error && error != -ENODATA && error != -ERANGE) {
        return error;
    }
    if (error || fs_acl_check(acl, size, &is_empty) < 0 || is_empty) {
        base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 ": its row has an ACL, but %s is none", inode, name);
        return -EUCLEAN;
    }
    *ret_size = size;
    return 0;
}

int fs_acl_set_mode(struct fs *fs, struct txn *txn, uint64_t inode, uint32_t mode)
{
    uint8_t acl[FS_ACL_SIZE_MAX];
    uint32_t size;
    int error = read_acl(fs, txn, inode, FS_XATTR_ACCESS_ACL_NAME, acl, &size);
    if (error) {
        return error;
    }
    set_permissions(find_entry(acl, size, TAG_OWNER), mode >> 6);
    set_permissions(find_group_class(acl, size), mode >> 3);
    set_permissions(find_entry(acl, size, TAG_OTHERS), mode);
    return fs_xattr_write(fs, txn, inode, FS_XATTR_ACCESS_ACL_NAME, acl, size, fs_xattr_rows(fs, size));
}

/* --- Inheritance -------------------------------------------------------------------------------------------------- */

/* An entry and the bits of the mode that it stands for: each keeps what both allow. */
static void meet(uint8_t *entry, uint32_t *mode, unsigned shift)
{
    uint32_t both = get_permissions(entry) & *mode >> shift & ALL;
    set_permissions(entry, both);
    *mode = (*mode & ~((uint32_t)ALL << shift)) | both << shift;
}

int fs_acl_inherit(struct fs *fs, const struct fs_inode_row *directory, uint32_t *mode,
                   struct fs_acl_inherited **ret_inherited)
{
    *ret_inherited = NULL;
    if (!fs->has_acls || !(directory->xattrs & FS_XATTRS_DEFAULT_ACL) || S_ISLNK(*mode)) {
        return 0;
    }
    struct fs_acl_inherited *inherited = malloc(sizeof *inherited);
    if (!inherited) {
        return -ENOMEM;
    }
    uint8_t *acl = inherited->access_acl;
    uint32_t size, bits = *mode, same = 0;
    int error = read_acl(fs, NULL, directory->attributes.inode, FS_XATTR_DEFAULT_ACL_NAME, acl, &size);
    if (error) {
        free(inherited);
        return error;
    }
    memcpy(inherited->default_acl, acl, size);
    inherited->default_size = S_ISDIR(*mode) ? size : 0;
    meet(find_entry(acl, size, TAG_OWNER), &bits, 6);
    meet(find_group_class(acl, size), &bits, 3);
    meet(find_entry(acl, size, TAG_OTHERS), &bits, 0);
    inherited->access_size = fs_acl_to_mode(acl, size, &same) ? 0 : size;
    *mode = bits;
    *ret_inherited = inherited;
    return 0;
}

uint32_t fs_acl_inherited_rows(const struct fs *fs, const struct fs_acl_inherited *inherited)
{
    return (inherited->access_size > 0 ? fs_xattr_rows(fs, inherited->access_size) : 0) +
           (inherited->default_size > 0 ? fs_xattr_rows(fs, inherited->default_size) : 0);
}

uint32_t fs_acl_inherited_xattrs(const struct fs_acl_inherited *inherited)
{
    uint32_t xattrs = 0;
    if (inherited->access_size > 0) {
        xattrs = fs_xattrs_with(xattrs, FS_XATTR_ACCESS_ACL_NAME);
    }
    return inherited->default_size > 0 ? fs_xattrs_with(xattrs, FS_XATTR_DEFAULT_ACL_NAME) : xattrs;
}

int fs_acl_inherited_write(struct fs *fs, struct txn *txn, uint64_t inode, const struct fs_acl_inherited *inherited)
{
    int error = 0;
    if (inherited->access_size > 0) {
        error =
            fs_xattr_write(fs, txn, inode, FS_XATTR_ACCESS_ACL_NAME, inherited->access_acl, inherited->access_size, 0);
    }
    if (!error && inherited->default_size > 0) {
        error = fs_xattr_write(fs, txn, inode, FS_XATTR_DEFAULT_ACL_NAME, inherited->default_acl,
                               inherited->default_size, 0);
    }
    return error;
}
