/* chattr flags: each refusal of immutable and append-only inodes, what stays allowed, inheritance, and that they last.
 */
#include "support/fs_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct fs_fixture fixture;
static const struct fs_caller root = {.uid = 0, .gid = 0};

static int setup(void **state)
{
    (void)state;
    fs_fixture_init(&fixture, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fs_fixture_deinit(&fixture);
    return 0;
}

static void set_flags(uint64_t inode, uint32_t flags)
{
    assert_int_equal(fs_set_flags(fixture.fs, inode, flags), 0);
    assert_int_equal(fs_fixture_attributes(&fixture, inode).flags, flags);
}

static int change(uint64_t inode, uint32_t set)
{
    struct fs_changes changes = {.set = set, .mode = 0600, .size = 3};
    struct fs_attributes answer;
    return fs_set_attributes(fixture.fs, &root, inode, &changes, &answer);
}

static int make(uint64_t parent, const char *name, uint32_t mode)
{
    struct fs_make what = {.mode = mode};
    struct fs_entry entry;
    int error = fs_make(fixture.fs, &root, parent, name, &what, &entry);
    if (!error) {
        fs_forget(fixture.fs, entry.attributes.inode, 1);
    }
    return error;
}

static int make_link(uint64_t inode, uint64_t parent, const char *name)
{
    struct fs_entry entry;
    int error = fs_link(fixture.fs, inode, parent, name, &entry);
    if (!error) {
        fs_forget(fixture.fs, inode, 1);
    }
    return error;
}

static int64_t write_at(uint64_t inode, uint64_t offset, const char *text)
{
    return fs_write(fixture.fs, &root, inode, offset, text, strlen(text));
}

/* What both kinds refuse of a file that is called "file". */
static void check_refusals(uint64_t file)
{
    static const uint32_t sets[] = {FS_SET_MODE, FS_SET_UID,         FS_SET_GID,
                                    FS_SET_SIZE, FS_SET_ACCESS_TIME, FS_SET_MODIFICATION_TIME};
    struct fs_attributes before = fs_fixture_attributes(&fixture, file);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        assert_int_equal(change(file, sets[i]), -EPERM);
    }
    assert_int_equal(write_at(file, 0, "x"), -EPERM);
    assert_int_equal(write_at(file, before.size + 1, "x"), -EPERM);
    assert_int_equal(make_link(file, FS_ROOT_INODE, "link"), -EPERM);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), -EPERM);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "file", FS_ROOT_INODE, "moved", 0), -EPERM);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "other", FS_ROOT_INODE, "file", 0), -EPERM);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "other", FS_ROOT_INODE, "file", RENAME_EXCHANGE), -EPERM);
    struct fs_attributes after = fs_fixture_attributes(&fixture, file);
    fs_fixture_assert_equal(&before, &after);
}

static void test_immutable_file(void **state)
{
    (void)state;
    char text[8];
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    fs_fixture_make(&fixture, FS_ROOT_INODE, "other", S_IFREG | 0644);
    fs_fixture_write(&fixture, file, 0, "text", 4);
    set_flags(file, FS_FLAG_IMMUTABLE);
    check_refusals(file);
    assert_int_equal(write_at(file, 4, "x"), -EPERM);
    assert_int_equal(fs_allocate(fixture.fs, &root, file, FALLOC_FL_KEEP_SIZE, 0, 4096), -EPERM);
    assert_int_equal(change(file, FS_SET_ACCESS_TIME_NOW | FS_SET_MODIFICATION_TIME_NOW), -EPERM);
    assert_int_equal(fs_read(fixture.fs, file, 0, text, sizeof text), 4);

    fs_fixture_reopen(&fixture);
    assert_int_equal(write_at(file, 0, "x"), -EPERM);
    set_flags(file, 0);
    assert_int_equal(write_at(file, 0, "x"), 1);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
}

static void test_append_only_file(void **state)
{
    (void)state;
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    fs_fixture_make(&fixture, FS_ROOT_INODE, "other", S_IFREG | 0644);
    fs_fixture_write(&fixture, file, 0, "text", 4);
    set_flags(file, FS_FLAG_APPEND);
    check_refusals(file);
    assert_int_equal(fs_allocate(fixture.fs, &root, file, FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
    assert_int_equal(fs_allocate(fixture.fs, &root, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -EPERM);
    assert_int_equal(fs_allocate(fixture.fs, &root, file, FALLOC_FL_ZERO_RANGE, 0, 4096), -EPERM);
    assert_int_equal(write_at(file, 4, "more"), 4);
    assert_int_equal(write_at(file, 4, "more"), -EPERM);
    assert_int_equal(change(file, FS_SET_ACCESS_TIME_NOW | FS_SET_MODIFICATION_TIME_NOW), 0);
    assert_int_equal(fs_fixture_attributes(&fixture, file).size, 8);
}

/* What Linux takes from a file that is appended to goes from an append-only one too, and nothing else. */
static void test_append_takes_privileges(void **state)
{
    (void)state;
    static const char capability[] = "security.capability";
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 06755);
    struct fs_attributes attributes;
    struct fs_changes clear = {.set = FS_SET_NO_SET_ID};
    assert_int_equal(fs_set_xattr(fixture.fs, file, capability, "x", 1, 0), 0);
    assert_int_equal(fs_set_xattr(fixture.fs, file, "user.a", "x", 1, 0), 0);
    set_flags(file, FS_FLAG_IMMUTABLE);
    assert_int_equal(fs_remove_xattr(fixture.fs, file, capability), -EPERM);
    assert_int_equal(fs_set_attributes(fixture.fs, &fs_fixture_user, file, &clear, &attributes), -EPERM);
    set_flags(file, FS_FLAG_APPEND);
    assert_int_equal(fs_set_xattr(fixture.fs, file, capability, "y", 1, 0), -EPERM);
    assert_int_equal(fs_remove_xattr(fixture.fs, file, "user.a"), -EPERM);
    assert_int_equal(fs_remove_xattr(fixture.fs, file, capability), 0);
    assert_int_equal(fs_set_attributes(fixture.fs, &fs_fixture_user, file, &clear, &attributes), 0);
    assert_int_equal(attributes.mode, S_IFREG | 0755);
    assert_int_equal(fs_write(fixture.fs, &fs_fixture_user, file, 0, "x", 1), 1);
}

static void test_directories(void **state)
{
    (void)state;
    uint64_t other = fs_fixture_make(&fixture, FS_ROOT_INODE, "other", S_IFREG | 0644);
    uint64_t directory = fs_fixture_make(&fixture, FS_ROOT_INODE, "directory", S_IFDIR | 0755);
    fs_fixture_make(&fixture, directory, "in", S_IFREG | 0644);
    static const uint32_t flags[] = {FS_FLAG_APPEND, FS_FLAG_IMMUTABLE};
    for (int i = 0; i < 2; i++) {
        set_flags(directory, flags[i]);
        int adding = flags[i] == FS_FLAG_IMMUTABLE ? -EPERM : 0;
        char name[] = "new0", link[] = "link0", moved[] = "moved0", subdirectory[] = "subdirectory0";
        name[3] = link[4] = moved[5] = subdirectory[12] = (char)('0' + i);
        assert_int_equal(make(directory, name, S_IFREG | 0644), adding);
        assert_int_equal(make(directory, subdirectory, S_IFDIR | 0755), adding);
        assert_int_equal(make_link(other, directory, link), adding);
        assert_int_equal(fs_unlink(fixture.fs, directory, "in"), -EPERM);
        assert_int_equal(fs_rename(fixture.fs, directory, "in", directory, "moved", 0), -EPERM);
        assert_int_equal(fs_rename(fixture.fs, directory, "in", FS_ROOT_INODE, "moved", 0), -EPERM);
        assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "other", directory, "in", 0), -EPERM);
        make(FS_ROOT_INODE, moved, S_IFREG | 0644);
        assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, moved, directory, moved, 0), adding);
        assert_int_equal(fs_rmdir(fixture.fs, FS_ROOT_INODE, "directory"), -EPERM);
        assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "directory", FS_ROOT_INODE, "moved", 0), -EPERM);
        assert_int_equal(fs_rmdir(fixture.fs, directory, "subdirectory0"), -EPERM);
        /* What already exists is told first, as by any directory. */
        assert_int_equal(make(directory, "in", S_IFREG | 0644), -EEXIST);
    }
    set_flags(directory, 0);
    assert_int_equal(fs_rmdir(fixture.fs, directory, "subdirectory0"), 0);
}

static void test_inheritance_and_unknown(void **state)
{
    (void)state;
    uint64_t directory = fs_fixture_make(&fixture, FS_ROOT_INODE, "directory", S_IFDIR | 0755);
    set_flags(directory, FS_FLAG_NO_DUMP | FS_FLAG_NO_ACCESS_TIME | FS_FLAG_APPEND);
    uint64_t file = fs_fixture_make(&fixture, directory, "file", S_IFREG | 0644);
    assert_int_equal(fs_fixture_attributes(&fixture, file).flags, FS_FLAG_NO_DUMP | FS_FLAG_NO_ACCESS_TIME);
    struct fs_attributes before = fs_fixture_attributes(&fixture, file);
    assert_int_equal(fs_set_flags(fixture.fs, file, FS_COMPR_FL), -EOPNOTSUPP);
    assert_int_equal(fs_set_flags(fixture.fs, file, before.flags), 0); /* no change: nothing is written */
    struct fs_attributes after = fs_fixture_attributes(&fixture, file);
    fs_fixture_assert_equal(&before, &after);
    set_flags(file, 0);
    assert_false(fs_fixture_time_is_equal(before.change_time, fs_fixture_attributes(&fixture, file).change_time));
    assert_int_equal(fs_set_flags(fixture.fs, 12345, 0), -ENOENT);
    set_flags(directory, 0);
}

static void test_open(void **state)
{
    (void)state;
    static const struct {
        int flags;
        int plain, immutable, append_only;
    } cases[] = {
        {O_RDONLY, 0, 0, 0},
        {O_WRONLY, 0, -EPERM, -EPERM},
        {O_RDWR, 0, -EPERM, -EPERM},
        {O_WRONLY | O_APPEND, 0, -EPERM, 0},
        {O_RDWR | O_APPEND, 0, -EPERM, 0},
        {O_RDONLY | O_TRUNC, 0, -EPERM, -EPERM},
        {O_WRONLY | O_APPEND | O_TRUNC, 0, -EPERM, -EPERM},
    };
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        assert_int_equal(fs_check_open(fixture.fs, file, cases[index].flags), cases[index].plain);
        set_flags(file, FS_FLAG_IMMUTABLE);
        assert_int_equal(fs_check_open(fixture.fs, file, cases[index].flags), cases[index].immutable);
        set_flags(file, FS_FLAG_APPEND);
        assert_int_equal(fs_check_open(fixture.fs, file, cases[index].flags), cases[index].append_only);
        set_flags(file, 0);
    }
    assert_int_equal(fs_check_open(fixture.fs, 12345, O_WRONLY), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_immutable_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append_only_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append_takes_privileges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inheritance_and_unknown, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
