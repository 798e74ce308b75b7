/* Rows of names and inodes that no filesystem of ours would write, as a hostile file may hold them with every checksum
 * right: an error on what they touch, nothing else. */
#include "support/fs_fixture.h"

#include "base/bytes.h"
#include "names.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    ROW_MODE = 0,
    ROW_LINK_COUNT = 4,
    ROW_SIZE = 24,
    ROW_NANOSECONDS = 80,
    ROW_PARENT = 96,
    ROW_PIECES = 104,
    ROW_ZERO = 108
};

static struct fs_fixture fixture;
static uint64_t directory, file;

static int setup(void **state)
{
    (void)state;
    fs_fixture_init(&fixture, 4096);
    directory = fs_fixture_make(&fixture, FS_ROOT_INODE, "dir", S_IFDIR | 0755);
    file = fs_fixture_make(&fixture, directory, "file", S_IFREG | 0644);
    fs_fixture_make(&fixture, directory, "other", S_IFREG | 0644);
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return 0;
}

/* What the tests leave is damaged: no check. */
static int teardown(void **state)
{
    (void)state;
    fs_close(fixture.fs);
    os_file_close(fixture.file);
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
    return 0;
}

static void put(const uint8_t *key, size_t key_size, const void *value, size_t value_size)
{
    struct txn *txn;
    assert_int_equal(fs_row_changes_begin(fixture.fs, 1, 0, false, &txn), 0);
    int error =
        btree_put(fixture.fs->tree, txn, (struct btree_slice){key, key_size}, (struct btree_slice){value, value_size});
    assert_int_equal(fs_row_changes_end(txn, error), 0);
}

static void put_entry(uint64_t parent, const char *name, size_t name_size, const void *value, size_t value_size)
{
    uint8_t key[FS_KEY_SIZE_MAX];
    put(key, fs_key_entry(key, parent, name, name_size), value, value_size);
}

static void lead_entry_to(uint64_t parent, const char *name, uint64_t inode, uint8_t type)
{
    uint8_t value[9];
    base_put_le64(value, inode);
    value[8] = type;
    put_entry(parent, name, strlen(name), value, sizeof value);
}

/* Reads an inode's row as bytes. */
static size_t get_row(uint64_t inode, uint8_t *row, size_t size)
{
    uint8_t key[FS_KEY_SIZE_MAX];
    struct btree_slice slice = {key, fs_key_inode(key, inode)};
    assert_int_equal(btree_get(fixture.fs->tree, NULL, slice, row, size, &size), 0);
    return size;
}

static void put_row(uint64_t inode, const void *row, size_t size)
{
    uint8_t key[FS_KEY_SIZE_MAX];
    put(key, fs_key_inode(key, inode), row, size);
}

static int get_attributes(uint64_t inode)
{
    struct fs_attributes attributes;
    return fs_get_attributes(fixture.fs, inode, &attributes);
}

struct count {
    int entries, with_attributes;
    uint64_t inodes[16];
};

static bool count_entry(void *context, const struct fs_directory_entry *entry)
{
    struct count *count = context;
    count->entries++;
    if (entry->attributes)
        count->inodes[count->with_attributes++] = entry->inode;
    return true;
}

static int list(uint64_t inode, struct count *ret_count)
{
    struct fs_directory *handle;
    *ret_count = (struct count){0};
    assert_int_equal(fs_directory_open(fixture.fs, inode, &handle), 0);
    int error = fs_directory_read(handle, 0, true, count_entry, ret_count);
    for (int i = 0; i < ret_count->with_attributes; i++)
        fs_forget(fixture.fs, ret_count->inodes[i], 1);
    fs_directory_close(handle);
    return error;
}

/* Every operation on dir/NAME is refused, and the rest of the directory is as before. */
static void check_name_is_refused(const char *name)
{
    struct fs_entry entry;
    struct count count;
    assert_int_equal(fs_lookup(fixture.fs, directory, name, &entry), -EUCLEAN);
    assert_int_equal(fs_unlink(fixture.fs, directory, name), -EUCLEAN);
    assert_int_equal(fs_rmdir(fixture.fs, directory, name), -EUCLEAN);
    assert_int_equal(fs_rename(fixture.fs, directory, name, FS_ROOT_INODE, "x", 0), -EUCLEAN);
    assert_int_equal(fs_rename(fixture.fs, directory, "other", directory, name, 0), -EUCLEAN);
    assert_int_not_equal(fs_fixture_find(&fixture, directory, "other"), 0);
    assert_int_equal(list(directory, &count), 0);
    assert_int_equal(count.entries, 4);
    assert_int_equal(count.with_attributes, 1);
    fs_fixture_make(&fixture, directory, "new", S_IFREG | 0644);
    assert_int_equal(fs_unlink(fixture.fs, directory, "new"), 0);
}

static void an_entry_without_inode(void **state)
{
    (void)state;
    lead_entry_to(directory, "file", 4711, S_IFREG >> 12);
    check_name_is_refused("file");
}

static void an_entry_of_another_type(void **state)
{
    (void)state;
    lead_entry_to(directory, "file", file, S_IFDIR >> 12);
    check_name_is_refused("file");
}

static void an_entry_to_the_superinode(void **state)
{
    (void)state;
    struct fs_entry entry;
    struct count count;
    lead_entry_to(directory, "file", 0, S_IFREG >> 12);
    assert_int_equal(fs_lookup(fixture.fs, directory, "file", &entry), -EUCLEAN);
    assert_int_equal(list(directory, &count), 0); /* what came before it */
    assert_int_equal(count.entries, 2);
}

static void an_entry_of_another_length(void **state)
{
    (void)state;
    struct fs_entry entry;
    char value[200] = {1};
    static const size_t sizes[] = {0, 1, 8, 10, 200};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        put_entry(directory, "file", 4, value, sizes[i]);
        assert_int_equal(fs_lookup(fixture.fs, directory, "file", &entry), -EUCLEAN);
        assert_int_equal(fs_unlink(fixture.fs, directory, "file"), -EUCLEAN);
    }
}

static void an_entry_with_an_impossible_name(void **state)
{
    (void)state;
    struct count count;
    uint8_t value[9] = {1};
    static const struct {
        const char *name;
        size_t size;
    } names[] = {{"", 0}, {"a/b", 3}, {"a\0b", 3}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint64_t sub;
        char sub_name[8];
        snprintf(sub_name, sizeof sub_name, "sub%zu", i);
        sub = fs_fixture_make(&fixture, FS_ROOT_INODE, sub_name, S_IFDIR | 0755);
        put_entry(sub, names[i].name, names[i].size, value, sizeof value);
        assert_int_equal(list(sub, &count), 0);
        assert_int_equal(count.entries, 2);
    }
}

static void rows_of_inodes(void **state)
{
    (void)state;
    uint8_t good[1024], row[1024];
    size_t size = get_row(file, good, sizeof good);
    static const struct {
        size_t offset;
        uint64_t value;
        size_t value_size;
    } faults[] = {
        {ROW_MODE, 0644, 4},
        {ROW_MODE, S_IFREG | 0644 | 1 << 20, 4},
        {ROW_LINK_COUNT, UINT32_MAX, 4},
        {ROW_SIZE, UINT64_MAX, 8},
        {ROW_NANOSECONDS, 1000000000, 4},
        {ROW_PARENT, 1, 8},
        {ROW_ZERO, 1, 4},
        {ROW_PIECES, 3842, 4},
        {ROW_PIECES, 1 << 16, 4},
        {ROW_MODE, S_IFDIR | 0755, 4},
        {ROW_MODE, S_IFLNK | 0777, 4},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        memcpy(row, good, size);
        if (faults[i].value_size == 4)
            base_put_le32(row + faults[i].offset, (uint32_t)faults[i].value);
        else
            base_put_le64(row + faults[i].offset, faults[i].value);
        put_row(file, row, size);
        assert_int_equal(get_attributes(file), -EUCLEAN);
        check_name_is_refused("file");
    }
    static const size_t sizes[] = {0, 111, 113, 640};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        put_row(file, good, sizes[i]);
        assert_int_equal(get_attributes(file), -EUCLEAN);
    }
    put_row(file, good, size);
    assert_int_equal(get_attributes(file), 0);
}

static void counts_that_are_too_small(void **state)
{
    (void)state;
    uint8_t row[1024];
    size_t size = get_row(directory, row, sizeof row);
    base_put_le64(row + ROW_SIZE, 0);
    put_row(directory, row, size);
    assert_int_equal(fs_unlink(fixture.fs, directory, "file"), -EUCLEAN);
    assert_int_equal(fs_rename(fixture.fs, directory, "file", FS_ROOT_INODE, "x", 0), -EUCLEAN);
    assert_int_equal(fs_fixture_find(&fixture, directory, "file"), file);
    size = get_row(FS_ROOT_INODE, row, sizeof row);
    base_put_le32(row + ROW_LINK_COUNT, 2);
    put_row(FS_ROOT_INODE, row, size);
    assert_int_equal(fs_rmdir(fixture.fs, FS_ROOT_INODE, "dir"), -EUCLEAN);
    size = get_row(file, row, sizeof row);
    base_put_le32(row + ROW_LINK_COUNT, 0);
    put_row(file, row, size);
    assert_int_equal(fs_unlink(fixture.fs, directory, "file"), -EUCLEAN);
}

static void counts_at_their_limit(void **state)
{
    (void)state;
    uint8_t row[1024];
    struct fs_entry entry;
    struct fs_make make = {.mode = S_IFDIR | 0755};
    size_t size = get_row(file, row, sizeof row);
    base_put_le32(row + ROW_LINK_COUNT, FS_LINK_COUNT_MAX);
    put_row(file, row, size);
    assert_int_equal(fs_link(fixture.fs, file, directory, "x", &entry), -EMLINK);
    uint64_t sub = fs_fixture_make(&fixture, FS_ROOT_INODE, "sub", S_IFDIR | 0755);
    size = get_row(directory, row, sizeof row);
    base_put_le32(row + ROW_LINK_COUNT, FS_LINK_COUNT_MAX);
    put_row(directory, row, size);
    assert_int_equal(fs_make(fixture.fs, &fs_fixture_user, directory, "x", &make, &entry), -EMLINK);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "sub", directory, "x", 0), -EMLINK);
    assert_int_equal(fs_fixture_find(&fixture, FS_ROOT_INODE, "sub"), sub);
}

static void more_entries_than_there_can_be(void **state)
{
    (void)state;
    uint8_t row[1024];
    struct fs_entry entry;
    struct fs_make make = {.mode = S_IFREG | 0644};
    size_t size = get_row(directory, row, sizeof row);
    base_put_le64(row + ROW_SIZE, INT64_MAX);
    put_row(directory, row, size);
    assert_int_equal(fs_make(fixture.fs, &fs_fixture_user, directory, "x", &make, &entry), -EUCLEAN);
    assert_int_equal(fs_unlink(fixture.fs, directory, "file"), 0); /* the row is as good as before */
}

static void a_next_number_that_is_taken(void **state)
{
    (void)state;
    uint8_t row[1024];
    struct fs_entry entry;
    struct fs_make make = {.mode = S_IFREG | 0644};
    fs_fixture_reopen(&fixture);
    size_t size = get_row(0, row, sizeof row);
    base_put_le64(row, file);
    put_row(0, row, size);
    assert_int_equal(fs_sync(fixture.fs), 0);
    fs_fixture_crash(&fixture, NULL);
    assert_int_equal(fs_make(fixture.fs, &fs_fixture_user, directory, "x", &make, &entry), -EUCLEAN);
    assert_int_equal(fs_lookup(fixture.fs, directory, "x", &entry), -ENOENT);
    assert_int_equal(fs_fixture_find(&fixture, directory, "file"), file);
}

static void set_parent(uint64_t inode, uint64_t parent)
{
    uint8_t row[1024];
    size_t size = get_row(inode, row, sizeof row);
    base_put_le64(row + ROW_PARENT, parent);
    put_row(inode, row, size);
}

static void parents_that_run_in_a_circle(void **state)
{
    (void)state;
    uint64_t chain[5], parent = FS_ROOT_INODE;
    for (int i = 0; i < 5; i++)
        parent = chain[i] = fs_fixture_make(&fixture, parent, "c", S_IFDIR | 0755);
    for (int first = 0; first < 5; first++) {
        set_parent(chain[first], chain[4]);
        assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "dir", chain[4], "x", 0), -EUCLEAN);
        set_parent(chain[first], first ? chain[first - 1] : FS_ROOT_INODE);
    }
    set_parent(chain[2], 4711);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "dir", chain[4], "x", 0), -EUCLEAN);
    set_parent(chain[2], file);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "dir", chain[4], "x", 0), -EUCLEAN);
    set_parent(chain[2], chain[1]);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "dir", chain[4], "x", 0), 0);
}

static void rows_of_orphans(void **state)
{
    (void)state;
    uint8_t key[FS_KEY_SIZE_MAX + 8] = {0}, to[8];
    char name[8];
    /* With links, without inode, of impossible lengths, for contents of nobody and of a directory. */
    put(key, fs_key_orphan(key, file), "", 0);
    put(key, fs_key_orphan(key, 4711), "", 0);
    put(key, fs_key_orphan(key, 4712) + 1, "", 0);
    put(key, fs_key_orphan(key, 4713) - 3, "x", 1);
    base_put_le64(to, 1ULL << 63);
    put(key, fs_key_freeing(key, 4714, 0), to, 8);
    put(key, fs_key_freeing(key, directory, 131072), to, 8);
    put(key, fs_key_freeing(key, directory, 5), to, 8);
    put(key, fs_key_freeing(key, FS_ROOT_INODE, 131072), to, 3);
    /* And true ones between them, which must go. */
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "f%d", i);
        uint64_t inode = fs_fixture_make(&fixture, FS_ROOT_INODE, name, S_IFREG | 0644);
        fs_fixture_write(&fixture, inode, 0, "some", 4);
        fs_fixture_lookup(&fixture, FS_ROOT_INODE, name);
        assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, name), 0);
    }
    assert_int_equal(fs_sync(fixture.fs), 0);
    fs_fixture_crash(&fixture, NULL);
    for (uint64_t inode = file + 2; inode < file + 52; inode++)
        assert_int_equal(get_attributes(inode), -ENOENT);
    assert_int_equal(fs_fixture_find(&fixture, directory, "file"), file);
    assert_int_equal(fs_fixture_attributes(&fixture, file).link_count, 1);
    fs_fixture_reopen(&fixture);
    assert_int_equal(fs_fixture_find(&fixture, directory, "file"), file);
}

static void opening_needs_superinode_and_root(void **state)
{
    (void)state;
    uint8_t super[1024], root[1024], row[1024];
    struct base_reason reason = {""};
    struct fs_options options = {.read_only = true};
    struct fs *fs;
    size_t super_size = get_row(0, super, sizeof super), root_size = get_row(FS_ROOT_INODE, root, sizeof root);
    for (int fault = 0; fault < 7; fault++) {
        memcpy(row, root, sizeof row);
        if (fault == 0)
            put_row(0, super, super_size - 1);
        else if (fault == 1)
            put_row(0, root, super_size - 32);
        else if (fault == 2)
            put_row(FS_ROOT_INODE, root, root_size - 1);
        else if (fault == 3)
            base_put_le32(row + ROW_MODE, S_IFREG | 0644);
        else if (fault == 4)
            base_put_le32(row + ROW_LINK_COUNT, 0);
        if (fault > 2)
            put_row(FS_ROOT_INODE, row, root_size);
        if (fault > 4) {
            memcpy(row, super, sizeof row);
            base_put_le64(row, fault == 5 ? UINT64_MAX : FS_NEXT_NUMBER_MAX + 1);
            put_row(0, row, super_size);
            put_row(FS_ROOT_INODE, root, root_size);
        }
        assert_int_equal(fs_sync(fixture.fs), 0);
        reason.text[0] = '\0';
        assert_int_equal(fs_open(fixture.file, &options, &fs, &reason), -EUCLEAN);
        assert_int_not_equal(reason.text[0], 0);
        put_row(0, super, super_size);
        put_row(FS_ROOT_INODE, root, root_size);
    }
    assert_int_equal(fs_sync(fixture.fs), 0);
    assert_int_equal(fs_open(fixture.file, &options, &fs, &reason), 0);
    assert_int_equal(fs_close(fs), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_without_inode, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_of_another_type, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_to_the_superinode, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_of_another_length, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_with_an_impossible_name, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_of_inodes, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_that_are_too_small, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_at_their_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(more_entries_than_there_can_be, setup, teardown),
        cmocka_unit_test_setup_teardown(a_next_number_that_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(parents_that_run_in_a_circle, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_of_orphans, setup, teardown),
        cmocka_unit_test_setup_teardown(opening_needs_superinode_and_root, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
