/* Keys of the rows (docs/format.md, section 5): the first byte names the table, integers are big-endian so that byte
 * order is numeric order. */
#include "base/assert.h"
#include "base/bytes.h"
#include "internal.h"

enum { KEY_INODE_OFFSET = 1, KEY_SECOND_OFFSET = 9, KEY_TWO_NUMBERS_SIZE = 17 };

_Static_assert(FS_KEY_SIZE_MAX <= BTREE_KEY_SIZE_MAX, "every key must fit the tree");

static size_t put_one(uint8_t *key, char table, uint64_t inode)
{
    key[0] = (uint8_t)table;
    base_put_be64(key + KEY_INODE_OFFSET, inode);
    return KEY_SECOND_OFFSET;
}

static size_t put_two(uint8_t *key, char table, uint64_t inode, uint64_t second)
{
    put_one(key, table, inode);
    base_put_be64(key + KEY_SECOND_OFFSET, second);
    return KEY_TWO_NUMBERS_SIZE;
}

size_t fs_key_inode(uint8_t *key, uint64_t inode)
{
    return put_one(key, 'I', inode);
}

size_t fs_key_entry(uint8_t *key, uint64_t parent, const char *name, size_t name_size)
{
    BASE_ASSERT(name_size <= FS_NAME_SIZE_MAX);
    put_one(key, 'D', parent);
    memcpy(key + KEY_SECOND_OFFSET, name, name_size);
    return KEY_SECOND_OFFSET + name_size;
}

size_t fs_key_content(uint8_t *key, uint64_t inode, uint64_t offset)
{
    return put_two(key, 'C', inode, offset);
}

size_t fs_key_share(uint8_t *key, uint64_t block)
{
    return put_one(key, 'S', block);
}

size_t fs_key_orphan(uint8_t *key, uint64_t inode)
{
    return put_one(key, 'O', inode);
}

size_t fs_key_freeing(uint8_t *key, uint64_t inode, uint64_t from)
{
    return put_two(key, 'O', inode, from);
}
