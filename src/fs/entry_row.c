/* Directory entries (D rows): parent and name lead to an inode and its type. */
#include "base/bytes.h"
#include "names.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

enum { ENTRY_INODE = 0, ENTRY_TYPE = 8, ENTRY_SIZE = 9, TYPE_SHIFT = 12, TYPE_MAX = S_IFMT >> TYPE_SHIFT };

int fs_name_check(const char *name, size_t *ret_size)
{
    size_t size = strnlen(name, FS_NAME_SIZE_MAX + 1);
    if (size > FS_NAME_SIZE_MAX) {
        return -ENAMETOOLONG;
    }
    bool is_dots = (size == 1 && name[0] == '.') || (size == 2 && name[0] == '.' && name[1] == '.');
    if (size == 0 || is_dots || memchr(name, '/', size)) {
        return -EINVAL;
    }
    *ret_size = size;
    return 0;
}

int fs_entry_decode(uint64_t parent, struct btree_slice value, struct fs_entry_row *ret_entry)
{
    const uint8_t *bytes = value.bytes;
    if (value.size != ENTRY_SIZE || base_get_le64(bytes + ENTRY_INODE) == 0 || bytes[ENTRY_TYPE] > TYPE_MAX) {
        base_message(BASE_MESSAGE_ERROR, "directory %" PRIu64 ": an entry's row is damaged", parent);
        return -EUCLEAN;
    }
    *ret_entry = (struct fs_entry_row){.inode = base_get_le64(bytes + ENTRY_INODE),
                                       .type = (uint32_t)bytes[ENTRY_TYPE] << TYPE_SHIFT};
    return 0;
}

int fs_entry_read(struct fs *fs, struct txn *txn, uint64_t parent, const char *name, size_t name_size,
                  struct fs_entry_row *ret_entry)
{
    uint8_t key[FS_KEY_SIZE_MAX], value[ENTRY_SIZE];
    size_t size;
    struct btree_slice slice = {key, fs_key_entry(key, parent, name, name_size)};
    int error = btree_get(fs->tree, txn, slice, value, sizeof value, &size);
    if (error == -ERANGE) {
        size = SIZE_MAX; /* the decoder refuses it */
    } else if (error) {
        return error;
    }
    return fs_entry_decode(parent, (struct btree_slice){value, size}, ret_entry);
}

static struct btree_slice encode(uint8_t *value, const struct fs_entry_row *entry)
{
    base_put_le64(value + ENTRY_INODE, entry->inode);
    value[ENTRY_TYPE] = (uint8_t)(entry->type >> TYPE_SHIFT);
    return (struct btree_slice){value, ENTRY_SIZE};
}

int fs_entry_insert(struct fs *fs, struct txn *txn, uint64_t parent, const char *name, size_t name_size,
                    const struct fs_entry_row *entry)
{
    uint8_t key[FS_KEY_SIZE_MAX], value[ENTRY_SIZE];
    struct btree_slice slice = {key, fs_key_entry(key, parent, name, name_size)};
    return btree_insert(fs->tree, txn, slice, encode(value, entry));
}

int fs_entry_put(struct fs *fs, struct txn *txn, uint64_t parent, const char *name, size_t name_size,
                 const struct fs_entry_row *entry)
{
    uint8_t key[FS_KEY_SIZE_MAX], value[ENTRY_SIZE];
    struct btree_slice slice = {key, fs_key_entry(key, parent, name, name_size)};
    return btree_put(fs->tree, txn, slice, encode(value, entry));
}

int fs_entry_delete(struct fs *fs, struct txn *txn, uint64_t parent, const char *name, size_t name_size)
{
    uint8_t key[FS_KEY_SIZE_MAX];
    struct btree_slice slice = {key, fs_key_entry(key, parent, name, name_size)};
    return btree_delete(fs->tree, txn, slice);
}

int fs_directory_row_add(struct fs_inode_row *directory, int entries, int subdirectories, struct timespec now)
{
    struct fs_attributes *attributes = &directory->attributes;
    /* An existing directory has 2 links: its name and its own "." */
    bool underflow = (entries < 0 && attributes->size < (uint64_t)-entries) ||
                     (subdirectories < 0 && attributes->link_count < 2 + (uint32_t)-subdirectories);
    if (underflow) {
        base_message(BASE_MESSAGE_ERROR, "directory %" PRIu64 ": its row counts fewer entries than it has",
                     attributes->inode);
        return -EUCLEAN;
    }
    if (entries > 0 && attributes->size >= (uint64_t)FS_FILE_SIZE_MAX) {
        base_message(BASE_MESSAGE_ERROR, "directory %" PRIu64 ": its row counts more entries than there can be",
                     attributes->inode);
        return -EUCLEAN;
    }
    if (subdirectories > 0 && attributes->link_count >= FS_LINK_COUNT_MAX) {
        return -EMLINK;
    }
    attributes->size += (uint64_t)(int64_t)entries;
    attributes->link_count += (uint32_t)subdirectories;
    attributes->modification_time = now;
    attributes->change_time = now;
    return 0;
}
