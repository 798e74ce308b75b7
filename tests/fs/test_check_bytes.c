/* The check finds a changed bit in any row, and survives rows of any bytes; so do the operations. */
#include "check_fixture.h"

/* --- Every byte --------------------------------------------------------------------------------------------------- */

static bool inode_is_orphan(const uint8_t *row)
{
    return base_get_le32(row + LINK_COUNT) == 0;
}

/* Whether a bit of a row's value means nothing to any other row, and any value of it is possible. */
static bool is_free_bit(const uint8_t *key, size_t key_size, const uint8_t *value, size_t at, unsigned bit)
{
    uint64_t inode = base_get_be64(key + 1);

    switch (key[0]) {
    case 'I':
        if (inode == 0)
            return at < 8; /* the next inode number, when it becomes larger */
        if (at < 4)
            return at * 8 + bit < 12;    /* permissions */
        if (at >= SIZE && at < SIZE + 8) /* a file may be larger than what it holds, an orphan has lost what it likes */
            return S_ISREG(base_get_le32(value)) && (inode_is_orphan(value) || (value[at] & 1U << bit) == 0);
        if (at >= 48 && at < 96)
            return true; /* times */
        if (at >= 20 && at < 24)
            return inode_is_orphan(value);    /* extended attributes, which an orphan may have lost */
        if (at == PIECES || at == PIECES + 1) /* not known is allowed, too */
            return inode_is_orphan(value) || base_get_le16(value + PIECES) == 1U << bit << (at - PIECES) * 8;
        if (at >= TARGET)
            return value[at] != 1U << bit;
        return at >= 8 && at < 20; /* owner, flags */
    case 'C':
        return value[0] == FS_CONTENT_PIECE && at > 0;
    case 'X':
        return at >= 4 || memchr(key + 9, '\0', key_size - 9) != NULL; /* the value, or a piece of it */
    default:
        return false;
    }
}

/* The next row at or after a key; false when there is none. */
static bool take_row(struct fs *fs, uint8_t *key, size_t *key_size, uint8_t *value, size_t *ret_size)
{
    struct btree_cursor *cursor;
    int ret;

    assert_int_equal(btree_cursor_open(fs->tree, &cursor), 0);
    ret = btree_cursor_seek(cursor, NULL, (struct btree_slice){key, *key_size});
    if (ret == 0) {
        *key_size = btree_cursor_key(cursor).size;
        memcpy(key, btree_cursor_key(cursor).bytes, *key_size);
        *ret_size = btree_cursor_value(cursor).size;
        memcpy(value, btree_cursor_value(cursor).bytes, *ret_size);
    }
    btree_cursor_close(cursor);
    return ret == 0;
}

/* How many of the changed bits that matter the check misses. */
static unsigned change_each_byte(struct fs *fs, const uint8_t *key, size_t key_size, uint8_t *value, size_t size,
                                 unsigned row)
{
    static struct problems problems;
    unsigned missed = 0;

    for (size_t at = 0; at < size; at += key[0] == 'C' && at > 300 ? 61 : 1) {
        unsigned bit = (unsigned)(at + row) % 8;

        value[at] ^= (uint8_t)(1U << bit);
        put_row(fs, key, key_size, value, size);
        run_check(fs, &problems, NULL);
        value[at] ^= (uint8_t)(1U << bit);
        if (problems.count == 0 && !is_free_bit(key, key_size, value, at, bit)) {
            print_error("table %c, inode %u: bit %u of byte %zu is not checked\n", key[0], key[8], bit, at);
            missed++;
        }
    }
    put_row(fs, key, key_size, value, size);
    return missed;
}

/* The row stands elsewhere: a bit of its key is changed. Only an entry or an extended attribute may have another name.
 */
static unsigned change_each_key_byte(struct fs *fs, const uint8_t *key, size_t key_size, const uint8_t *value,
                                     size_t size, unsigned row)
{
    static struct problems problems;
    static uint8_t other[16384];
    uint8_t moved[BTREE_KEY_SIZE_MAX];
    size_t other_size;
    unsigned missed = 0;

    for (size_t at = 0; at < key_size; at++) {
        memcpy(moved, key, key_size);
        moved[at] ^= (uint8_t)(1U << ((at + row) % 8));
        if (((key[0] == 'D' || key[0] == 'X') && at >= 9) ||
            btree_get(fs->tree, NULL, (struct btree_slice){moved, key_size}, other, sizeof other, &other_size) == 0)
            continue;
        delete_row(fs, key, key_size);
        put_row(fs, moved, key_size, value, size);
        run_check(fs, &problems, NULL);
        delete_row(fs, moved, key_size);
        put_row(fs, key, key_size, value, size);
        if (problems.count == 0) {
            print_error("table %c, inode %u: byte %zu of the key is not checked\n", key[0], key[8], at);
            missed++;
        }
    }
    return missed;
}

/* A changed bit of any row is found, unless any value would do. */
static void test_every_byte(void **state)
{
    static uint8_t value[16384];
    uint8_t key[BTREE_KEY_SIZE_MAX] = {0};
    size_t key_size = 1, size = 0;
    unsigned rows = 0, missed = 0;
    struct world world;

    (void)state;
    world_init(&world, 4096);
    for (; take_row(world.fs, key, &key_size, value, &size); rows++) {
        missed += change_each_byte(world.fs, key, key_size, value, size, rows);
        missed += change_each_key_byte(world.fs, key, key_size, value, size, rows);
        key[key_size++] = 0; /* the smallest key behind it */
    }
    assert_clean(world.fs);
    assert_int_equal(missed, 0);
    assert_true(rows > 20);
    fixture_deinit(&world.fixture);
}

/* --- Rows of any bytes -------------------------------------------------------------------------------------------- */

#define ROUNDS      60
#define ROUNDS_LONG 3000

/* Some row, changed in some way. */
static void plant_random(struct world *world, struct base_random *random)
{
    static const char tables[] = "CDIOX";
    uint8_t key[BTREE_KEY_SIZE_MAX], value[16384], seek[9];
    struct btree_cursor *cursor;
    size_t key_size, value_size;

    seek[0] = (uint8_t)tables[base_random_below(random, 5)];
    base_put_be64(seek + 1, base_random_below(random, 12));
    assert_int_equal(btree_cursor_open(world->fs->tree, &cursor), 0);
    if (btree_cursor_seek(cursor, NULL, (struct btree_slice){seek, sizeof seek}) < 0)
        assert_int_equal(btree_cursor_first(cursor, NULL), 0);
    key_size = btree_cursor_key(cursor).size;
    memcpy(key, btree_cursor_key(cursor).bytes, key_size);
    value_size = btree_cursor_value(cursor).size;
    memcpy(value, btree_cursor_value(cursor).bytes, value_size);
    btree_cursor_close(cursor);
    switch (base_random_below(random, 6)) {
    case 0:
        delete_row(world->fs, key, key_size);
        return;
    case 1: /* the row stands elsewhere too */
        key[key_size - 1 - base_random_below(random, key_size < 9 ? key_size : 9)] ^=
            (uint8_t)(1U << base_random_below(random, 8));
        break;
    case 2:
        value_size = base_random_below(random, value_size + 1);
        break;
    default:
        if (value_size > 0)
            value[base_random_below(random, value_size < 50 ? value_size : 50)] ^=
                (uint8_t)(1U << base_random_below(random, 8));
        break;
    }
    put_row(world->fs, key, key_size, value, value_size);
}

/* Whatever the answers are: no crash, no hang. */
static void use_everything(struct world *world, struct base_random *random)
{
    static uint8_t buffer[CHUNKED_SIZE];
    const uint64_t inodes[] = {world->small, world->chunked, world->other, world->symlink, world->orphan};
    static const char *const names[] = {"small", "chunked", "other", "symlink", "directory"};
    struct fs *fs = world->fs;

    for (size_t i = 0; i < sizeof inodes / sizeof inodes[0]; i++) {
        struct fs_changes changes = {.set = FS_SET_SIZE, .size = base_random_below(random, 1U << 20)};
        struct fs_attributes attributes;
        char target[FS_SYMLINK_SIZE_MAX + 1];

        (void)fs_read(fs, inodes[i], base_random_below(random, 200000), buffer, sizeof buffer);
        (void)fs_write(fs, &root_caller, inodes[i], base_random_below(random, 200000), buffer,
                       (size_t)base_random_below(random, 100000));
        (void)fs_set_attributes(fs, &root_caller, inodes[i], &changes, &attributes);
        (void)fs_read(fs, inodes[i], 0, buffer, sizeof buffer);
        (void)fs_read_link(fs, inodes[i], target, sizeof target);
        (void)fs_get_xattr(fs, inodes[i], "user.large", buffer, FS_XATTR_VALUE_SIZE_MAX);
        (void)fs_list_xattrs(fs, &root_caller, inodes[i], (char *)buffer, sizeof buffer);
        (void)fs_set_xattr(fs, inodes[i], "user.large", buffer, base_random_below(random, 20000), 0);
        (void)fs_remove_xattr(fs, inodes[i], "user.short");
        (void)fs_content_free_steps(fs, inodes[i], 1U << 20);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)fs_unlink(fs, FS_ROOT_INODE, names[i]);
    for (size_t i = 0; i < sizeof inodes / sizeof inodes[0]; i++)
        fs_forget(fs, inodes[i], 1);
}

static void test_any_bytes(void **state)
{
    static struct problems problems;
    struct base_random random;
    unsigned rounds = test_is_long() ? ROUNDS_LONG : ROUNDS, found = 0;

    (void)state;
    base_random_seed(&random, test_seed("test_check_bytes", 11));
    for (unsigned round = 0; round < rounds; round++) {
        struct world world;

        world_init(&world, page_sizes[round % PAGE_SIZE_COUNT]);
        for (uint64_t plants = 1 + base_random_below(&random, 4); plants > 0; plants--)
            plant_random(&world, &random);
        run_check(world.fs, &problems, NULL);
        found += problems.count > 0;
        use_everything(&world, &random);
        run_check(world.fs, &problems, NULL);
        world_drop(&world);
    }
    assert_true(found > rounds / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_any_bytes),
    };

    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
