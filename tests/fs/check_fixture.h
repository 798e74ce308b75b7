/* What the tests of the check share: a filesystem with one of each, and rows planted in it through the tree, behind the
 * filesystem's back. Included once by each test program. */
#ifndef BEEFTREE_TESTS_FS_CHECK_FIXTURE_H
#define BEEFTREE_TESTS_FS_CHECK_FIXTURE_H

#include "base/bytes.h"
#include "content_fixture.h"

#define CHUNKED_SIZE (300000U)

/* The filesystem that damage is planted in. */
struct world {
    struct fixture fixture;
    struct fs *fs;
    uint64_t directory, subdirectory, small, chunked, other, symlink, short_symlink, orphan;
    uint64_t shared, clone; /* the same blocks */
};

static inline uint64_t make_directory(struct fs *fs, uint64_t parent, const char *name)
{
    struct fs_make make = {.mode = S_IFDIR | 0755};
    struct fs_entry entry;

    assert_int_equal(fs_make(fs, &root_caller, parent, name, &make, &entry), 0);
    return entry.attributes.inode;
}

static inline void world_init(struct world *world, uint32_t page_size)
{
    static uint8_t bytes[CHUNKED_SIZE];
    char target[2001];
    struct fs_make make = {.mode = S_IFLNK | 0777, .target = target};
    struct fs_entry entry;
    struct fs *fs;

    fixture_init(&world->fixture, page_size, 1U << 20);
    world->fs = fs = world->fixture.fs;
    fill_pattern(bytes, sizeof bytes, 1);
    memset(target, 't', 2000);
    target[2000] = '\0';
    world->directory = make_directory(fs, FS_ROOT_INODE, "directory");
    world->subdirectory = make_directory(fs, world->directory, "subdirectory");
    world->small = make_file(fs, "small");
    world->chunked = make_file(fs, "chunked");
    world->other = make_file(fs, "other");
    world->orphan = make_file(fs, "orphan");
    world->shared = make_file(fs, "shared");
    world->clone = make_file(fs, "clone");
    write_all(fs, world->small, 0, bytes, 1234);
    write_all(fs, world->chunked, 0, bytes, CHUNKED_SIZE);
    write_all(fs, world->other, 0, bytes, 50000);
    write_all(fs, world->orphan, 0, bytes, 50000);
    write_all(fs, world->shared, 0, bytes, 50000);
    assert_int_equal(fs_copy_range(fs, &root_caller, world->shared, 0, world->clone, 0, 50000), 50000);
    assert_int_equal(fs_set_xattr(fs, world->small, "user.large", bytes, page_size / 2, 0), 0);
    assert_int_equal(fs_set_xattr(fs, world->small, "user.short", bytes, 5, 0), 0);
    assert_int_equal(fs_set_xattr(fs, world->orphan, "user.short", bytes, 5, 0), 0);
    assert_int_equal(fs_make(fs, &root_caller, FS_ROOT_INODE, "symlink", &make, &entry), 0);
    world->symlink = entry.attributes.inode;
    make.target = "short target";
    assert_int_equal(fs_make(fs, &root_caller, FS_ROOT_INODE, "short", &make, &entry), 0);
    world->short_symlink = entry.attributes.inode;
    assert_int_equal(fs_unlink(fs, FS_ROOT_INODE, "orphan"), 0);
    assert_clean(fs);
}

/* Without the check that a fixture ends with, and without what closing would still change. */
static inline void world_drop(struct world *world)
{
    fault_file_cut_power(world->fixture.fault, 1);
    (void)fs_close(world->fs);
    os_file_close(world->fixture.file);
}

/* --- Planting ----------------------------------------------------------------------------------------------------- */

static inline struct txn *begin(struct fs *fs)
{
    struct txn_need need = fs_content_need(fs, 2, 0, false);
    struct txn *txn;

    assert_int_equal(txn_begin(fs->engine, &need, &txn), 0);
    txn_lock(txn);
    return txn;
}

static inline void put_row(struct fs *fs, const void *key, size_t key_size, const void *value, size_t value_size)
{
    struct txn *txn = begin(fs);

    assert_int_equal(
        btree_put(fs->tree, txn, (struct btree_slice){key, key_size}, (struct btree_slice){value, value_size}), 0);
    txn_commit(txn);
}

static inline void delete_row(struct fs *fs, const void *key, size_t key_size)
{
    struct txn *txn = begin(fs);

    assert_int_equal(btree_delete(fs->tree, txn, (struct btree_slice){key, key_size}), 0);
    txn_commit(txn);
}

static inline size_t get_row(struct fs *fs, const void *key, size_t key_size, uint8_t *buffer, size_t buffer_size)
{
    size_t size;

    assert_int_equal(btree_get(fs->tree, NULL, (struct btree_slice){key, key_size}, buffer, buffer_size, &size), 0);
    return size;
}

/* Changes an integer in an inode's row. */
static inline void set_field(struct fs *fs, uint64_t inode, size_t offset, size_t size, uint64_t value)
{
    uint8_t key[FS_KEY_SIZE_MAX], row[FS_INODE_ROW_SIZE + FS_SYMLINK_INLINE_MAX];
    size_t key_size = fs_key_inode(key, inode), row_size = get_row(fs, key, key_size, row, sizeof row);

    if (size == 4)
        base_put_le32(row + offset, (uint32_t)value);
    else
        base_put_le64(row + offset, value);
    put_row(fs, key, key_size, row, row_size);
}

enum { MODE = 0, LINK_COUNT = 4, SIZE = 24, BLOCKS = 32, DEVICE = 40, PARENT = 96, PIECES = 104, TARGET = 112 };

static inline void set_link_count(struct fs *fs, uint64_t inode, uint32_t count)
{
    set_field(fs, inode, LINK_COUNT, 4, count);
}

static inline void put_entry(struct fs *fs, uint64_t parent, const char *name, size_t name_size, uint64_t child,
                             uint8_t type)
{
    uint8_t key[FS_KEY_SIZE_MAX], value[9];

    base_put_le64(value, child);
    value[8] = type;
    put_row(fs, key, fs_key_entry(key, parent, name, name_size), value, sizeof value);
}

static inline void delete_entry(struct fs *fs, uint64_t parent, const char *name)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    delete_row(fs, key, fs_key_entry(key, parent, name, strlen(name)));
}

static inline size_t get_content(struct fs *fs, uint64_t inode, uint64_t offset, uint8_t *buffer)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    return get_row(fs, key, fs_key_content(key, inode, offset), buffer, 8192);
}

static inline void put_content(struct fs *fs, uint64_t inode, uint64_t offset, const uint8_t *value, size_t size)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    put_row(fs, key, fs_key_content(key, inode, offset), value, size);
}

static inline void put_freeing(struct fs *fs, uint64_t inode, uint64_t from, uint64_t to)
{
    uint8_t key[FS_KEY_SIZE_MAX], value[8];

    base_put_le64(value, to);
    put_row(fs, key, fs_key_freeing(key, inode, from), value, sizeof value);
}

#endif
