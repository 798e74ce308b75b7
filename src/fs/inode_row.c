/* Rows of inodes (I): attributes, encoded and decoded field by field, and the superinode (docs/format.md, section 5).
 *
 * A row is read whole under one page latch, so a reader sees it before or after a change, never in between; whoever
 * needs more than one row to agree holds the inode's lock. */
#include "base/bytes.h"
#include "names.h"
#include "xattr.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

enum {
    ROW_MODE = 0,
    ROW_LINK_COUNT = 4,
    ROW_UID = 8,
    ROW_GID = 12,
    ROW_FLAGS = 16,
    ROW_XATTRS = 20,
    ROW_SIZE = 24,
    ROW_CONTENT_BLOCKS = 32,
    ROW_DEVICE = 40,
    ROW_ACCESS_SECONDS = 48,
    ROW_MODIFICATION_SECONDS = 56,
    ROW_CHANGE_SECONDS = 64,
    ROW_BIRTH_SECONDS = 72,
    ROW_ACCESS_NANOSECONDS = 80,
    ROW_MODIFICATION_NANOSECONDS = 84,
    ROW_CHANGE_NANOSECONDS = 88,
    ROW_BIRTH_NANOSECONDS = 92,
    ROW_PARENT = 96,
    ROW_PIECES = 104,
    ROW_ZERO_2 = 106,
    ROW_ZERO_3 = 108,
    ROW_END = 112,
    ROW_SIZE_MAX = ROW_END + FS_SYMLINK_INLINE_MAX,
    SUPER_ROW_NEXT_NUMBER = 0,
    SUPER_ROW_SIZE = 32,
    NANOSECONDS_PER_SECOND = 1000000000,
    ATTRIBUTE_BLOCK_SIZE = 512,
    ATTRIBUTE_BLOCKS_PER_CONTENT_BLOCK = STORE_BLOCK_SIZE / ATTRIBUTE_BLOCK_SIZE,
};

_Static_assert(ROW_END == FS_INODE_ROW_SIZE, "the row as docs/format.md has it");

static void put_time(uint8_t *row, int seconds_offset, int nanoseconds_offset, struct timespec time)
{
    base_put_le64(row + seconds_offset, (uint64_t)time.tv_sec);
    base_put_le32(row + nanoseconds_offset, (uint32_t)time.tv_nsec);
}

static struct timespec get_time(const uint8_t *row, int seconds_offset, int nanoseconds_offset)
{
    return (struct timespec){.tv_sec = (time_t)base_get_le64(row + seconds_offset),
                             .tv_nsec = (long)base_get_le32(row + nanoseconds_offset)};
}

static void encode(uint8_t *bytes, const struct fs_inode_row *row)
{
    const struct fs_attributes *attributes = &row->attributes;
    memset(bytes, 0, FS_INODE_ROW_SIZE);
    base_put_le32(bytes + ROW_MODE, attributes->mode);
    base_put_le32(bytes + ROW_LINK_COUNT, attributes->link_count);
    base_put_le32(bytes + ROW_UID, attributes->uid);
    base_put_le32(bytes + ROW_GID, attributes->gid);
    base_put_le32(bytes + ROW_FLAGS, attributes->flags);
    base_put_le64(bytes + ROW_SIZE, attributes->size);
    base_put_le64(bytes + ROW_CONTENT_BLOCKS, row->content_blocks);
    base_put_le64(bytes + ROW_DEVICE, attributes->device);
    put_time(bytes, ROW_ACCESS_SECONDS, ROW_ACCESS_NANOSECONDS, attributes->access_time);
    put_time(bytes, ROW_MODIFICATION_SECONDS, ROW_MODIFICATION_NANOSECONDS, attributes->modification_time);
    put_time(bytes, ROW_CHANGE_SECONDS, ROW_CHANGE_NANOSECONDS, attributes->change_time);
    put_time(bytes, ROW_BIRTH_SECONDS, ROW_BIRTH_NANOSECONDS, attributes->birth_time);
    base_put_le64(bytes + ROW_PARENT, row->parent);
    base_put_le32(bytes + ROW_XATTRS, row->xattrs);
    base_put_le16(bytes + ROW_PIECES, (uint16_t)row->pieces);
}

static bool is_type(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return true;
    default:
        return false;
    }
}

const char *fs_inode_row_find_fault(const uint8_t *bytes, size_t size)
{
    if (size < FS_INODE_ROW_SIZE) {
        return "it is too short";
    }
    uint32_t mode = base_get_le32(bytes + ROW_MODE);
    uint64_t file_size = base_get_le64(bytes + ROW_SIZE);
    if (!is_type(mode) || (mode & ~(uint32_t)(S_IFMT | 07777))) {
        return "its mode is none";
    }
    bool has_target = S_ISLNK(mode) && file_size <= FS_SYMLINK_INLINE_MAX;
    if (size != FS_INODE_ROW_SIZE + (has_target ? file_size : 0)) {
        return "its length does not fit its type and size";
    }
    if (S_ISLNK(mode) && (file_size == 0 || file_size > FS_SYMLINK_SIZE_MAX)) {
        return "its symlink target has an impossible size";
    }
    if (file_size > (uint64_t)FS_FILE_SIZE_MAX) {
        return "its size is too large";
    }
    if (base_get_le64(bytes + ROW_CONTENT_BLOCKS) > UINT64_MAX / ATTRIBUTE_BLOCKS_PER_CONTENT_BLOCK) {
        return "its block count is too large";
    }
    if (base_get_le32(bytes + ROW_LINK_COUNT) > FS_LINK_COUNT_MAX) {
        return "its link count is too large";
    }
    for (int offset = ROW_ACCESS_NANOSECONDS; offset <= ROW_BIRTH_NANOSECONDS; offset += 4) {
        if (base_get_le32(bytes + offset) >= NANOSECONDS_PER_SECOND) {
            return "a time has too many nanoseconds";
        }
    }
    if (S_ISDIR(mode) != (base_get_le64(bytes + ROW_PARENT) != 0)) {
        return "its parent does not fit its type";
    }
    if (base_get_le32(bytes + ROW_FLAGS) & ~(uint32_t)FS_FLAGS_ALL) {
        return "its flags are unknown";
    }
    if (!fs_xattrs_are_possible(base_get_le32(bytes + ROW_XATTRS))) {
        return "its summary of extended attributes is none";
    }
    uint32_t pieces = base_get_le16(bytes + ROW_PIECES);
    if (pieces > FS_INLINE_MAX + 1 || (pieces > 0 && !S_ISREG(mode))) {
        return "its count of bytes in pieces is impossible";
    }
    if (base_get_le16(bytes + ROW_ZERO_2) || base_get_le32(bytes + ROW_ZERO_3)) {
        return "reserved bytes are not zero";
    }
    return NULL;
}

uint64_t fs_inode_row_blocks(const struct fs_inode_row *row)
{
    uint64_t size = row->attributes.size;
    uint32_t mode = row->attributes.mode;
    if (row->content_blocks > 0) {
        return row->content_blocks * ATTRIBUTE_BLOCKS_PER_CONTENT_BLOCK;
    }
    if (row->pieces > 0) {
        size = row->pieces - 1;
    }
    bool is_inline = S_ISREG(mode) ? size <= FS_INLINE_MAX : S_ISLNK(mode) && size > FS_SYMLINK_INLINE_MAX;
    return is_inline ? (size + ATTRIBUTE_BLOCK_SIZE - 1) / ATTRIBUTE_BLOCK_SIZE : 0;
}

int fs_inode_row_decode(uint64_t inode, const uint8_t *bytes, size_t size, struct fs_inode_row *ret_row)
{
    const char *fault = fs_inode_row_find_fault(bytes, size);
    if (fault) {
        base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 ": its row is damaged: %s", inode, fault);
        return -EUCLEAN;
    }
    struct fs_inode_row row = {
        .attributes =
            {
                .inode = inode,
                .size = base_get_le64(bytes + ROW_SIZE),
                .device = base_get_le64(bytes + ROW_DEVICE),
                .access_time = get_time(bytes, ROW_ACCESS_SECONDS, ROW_ACCESS_NANOSECONDS),
                .modification_time = get_time(bytes, ROW_MODIFICATION_SECONDS, ROW_MODIFICATION_NANOSECONDS),
                .change_time = get_time(bytes, ROW_CHANGE_SECONDS, ROW_CHANGE_NANOSECONDS),
                .birth_time = get_time(bytes, ROW_BIRTH_SECONDS, ROW_BIRTH_NANOSECONDS),
                .mode = base_get_le32(bytes + ROW_MODE),
                .link_count = base_get_le32(bytes + ROW_LINK_COUNT),
                .uid = base_get_le32(bytes + ROW_UID),
                .gid = base_get_le32(bytes + ROW_GID),
                .flags = base_get_le32(bytes + ROW_FLAGS),
            },
        .content_blocks = base_get_le64(bytes + ROW_CONTENT_BLOCKS),
        .parent = base_get_le64(bytes + ROW_PARENT),
        .xattrs = base_get_le32(bytes + ROW_XATTRS),
        .pieces = base_get_le16(bytes + ROW_PIECES),
    };
    row.attributes.blocks = fs_inode_row_blocks(&row);
    *ret_row = row;
    return 0;
}

enum reach { FROM_DISK_TOO, RESIDENT_ONLY };

/* The row's bytes into a buffer of ROW_SIZE_MAX. */
static int read_bytes_within(struct fs *fs, struct txn *txn, uint64_t inode, enum reach reach, uint8_t *buffer,
                             size_t *ret_size)
{
    uint8_t key[FS_KEY_SIZE_MAX];
    if (inode == 0) {
        return -ENOENT; /* the superinode is nobody's file */
    }
    struct btree_slice slice = {key, fs_key_inode(key, inode)};
    int error = reach == RESIDENT_ONLY ? btree_get_resident(fs->tree, slice, buffer, ROW_SIZE_MAX, ret_size)
                                       : btree_get(fs->tree, txn, slice, buffer, ROW_SIZE_MAX, ret_size);
    if (error == -ERANGE) {
        base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 ": its row is damaged: it is too long", inode);
        return -EUCLEAN;
    }
    return error;
}

static int read_bytes(struct fs *fs, struct txn *txn, uint64_t inode, uint8_t *buffer, size_t *ret_size)
{
    return read_bytes_within(fs, txn, inode, FROM_DISK_TOO, buffer, ret_size);
}

int fs_inode_row_read(struct fs *fs, struct txn *txn, uint64_t inode, struct fs_inode_row *ret_row)
{
    uint8_t bytes[ROW_SIZE_MAX];
    size_t size;
    int error = read_bytes(fs, txn, inode, bytes, &size);
    return error ? error : fs_inode_row_decode(inode, bytes, size, ret_row);
}

int fs_inode_row_read_target(struct fs *fs, uint64_t inode, char *buffer)
{
    uint8_t bytes[ROW_SIZE_MAX];
    struct fs_inode_row row;
    size_t size;
    int error = read_bytes(fs, NULL, inode, bytes, &size);
    if (!error) {
        error = fs_inode_row_decode(inode, bytes, size, &row);
    }
    if (error) {
        return error;
    }
    if (size == FS_INODE_ROW_SIZE) {
        return -EINVAL;
    }
    memcpy(buffer, bytes + FS_INODE_ROW_SIZE, size - FS_INODE_ROW_SIZE);
    buffer[size - FS_INODE_ROW_SIZE] = '\0';
    return 0;
}

int fs_inode_row_write(struct fs *fs, struct txn *txn, uint64_t inode, const struct fs_inode_row *row, bool is_new,
                       const char *target)
{
    uint8_t key[FS_KEY_SIZE_MAX], bytes[ROW_SIZE_MAX];
    size_t size = FS_INODE_ROW_SIZE;
    uint64_t target_size = row->attributes.size;
    if (S_ISLNK(row->attributes.mode) && target_size <= FS_SYMLINK_INLINE_MAX) {
        if (target) {
            memcpy(bytes + FS_INODE_ROW_SIZE, target, target_size);
            size += target_size;
        } else {
            int error = read_bytes(fs, txn, inode, bytes, &size);
            if (error) {
                return error;
            }
        }
    }
    encode(bytes, row);
    struct btree_slice key_slice = {key, fs_key_inode(key, inode)}, value = {bytes, size};
    if (!is_new) {
        return btree_put(fs->tree, txn, key_slice, value);
    }
    int error = btree_insert(fs->tree, txn, key_slice, value);
    if (error == -EEXIST) {
        base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 " exists, but the superinode says that it never did", inode);
        error = -EUCLEAN;
    }
    return error;
}

int fs_inode_row_delete(struct fs *fs, struct txn *txn, uint64_t inode)
{
    uint8_t key[FS_KEY_SIZE_MAX];
    return btree_delete(fs->tree, txn, (struct btree_slice){key, fs_key_inode(key, inode)});
}

int fs_directory_row_read(struct fs *fs, struct txn *txn, uint64_t inode, struct fs_inode_row *ret_row)
{
    struct fs_inode_row row;
    int error = fs_inode_row_read(fs, txn, inode, &row);
    if (error) {
        return error;
    }
    if (!S_ISDIR(row.attributes.mode)) {
        return -ENOTDIR;
    }
    if (row.attributes.link_count == 0) {
        return -ENOENT;
    }
    *ret_row = row;
    return 0;
}

static int read_child_row(struct fs *fs, struct txn *txn, uint64_t inode, uint32_t type, enum reach reach,
                          struct fs_inode_row *ret_row)
{
    uint8_t bytes[ROW_SIZE_MAX];
    struct fs_inode_row row;
    const char *fault = NULL;
    size_t size;
    int error = read_bytes_within(fs, txn, inode, reach, bytes, &size);
    if (!error) {
        error = fs_inode_row_decode(inode, bytes, size, &row);
    }
    if (error == -ENOENT) {
        fault = "does not exist";
    } else if (error) {
        return error;
    } else if ((row.attributes.mode & S_IFMT) != type) {
        fault = "is of another type than its entry says";
    } else if (row.attributes.link_count == 0) {
        fault = "has an entry but no links";
    }
    if (fault) {
        base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 " %s", inode, fault);
        return -EUCLEAN;
    }
    *ret_row = row;
    return 0;
}

int fs_child_row_read(struct fs *fs, struct txn *txn, uint64_t inode, uint32_t type, struct fs_inode_row *ret_row)
{
    return read_child_row(fs, txn, inode, type, FROM_DISK_TOO, ret_row);
}

int fs_child_row_read_resident(struct fs *fs, uint64_t inode, uint32_t type, struct fs_inode_row *ret_row)
{
    return read_child_row(fs, NULL, inode, type, RESIDENT_ONLY, ret_row);
}

/* --- The superinode ----------------------------------------------------------------------------------------------- */

int fs_super_row_read(struct fs *fs, uint64_t *ret_next_number)
{
    uint8_t key[FS_KEY_SIZE_MAX], value[SUPER_ROW_SIZE];
    size_t size;
    int error = btree_get(fs->tree, NULL, (struct btree_slice){key, fs_key_inode(key, 0)}, value, sizeof value, &size);
    uint64_t next_number = !error && size == SUPER_ROW_SIZE ? base_get_le64(value + SUPER_ROW_NEXT_NUMBER) : 0;
    if (error == -ENOENT || error == -ERANGE ||
        (!error && (next_number <= FS_ROOT_INODE || next_number > FS_NEXT_NUMBER_MAX))) {
        base_message(BASE_MESSAGE_ERROR, "the superinode's row is missing or damaged");
        return -EUCLEAN;
    }
    if (!error) {
        *ret_next_number = next_number;
    }
    return error;
}

int fs_super_row_write(struct fs *fs, struct txn *txn, uint64_t next_number)
{
    uint8_t key[FS_KEY_SIZE_MAX], value[SUPER_ROW_SIZE] = {0};
    base_put_le64(value + SUPER_ROW_NEXT_NUMBER, next_number);
    return btree_put(fs->tree, txn, (struct btree_slice){key, fs_key_inode(key, 0)},
                     (struct btree_slice){value, sizeof value});
}
