/* Names: make, lookup, link, unlink, rmdir, symlinks: results, errors, counts, times. */
#include "support/fs_fixture.h"

#include "base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fs_fixture fixture;

static int setup(void **state)
{
    (void)state;
    fs_fixture_init(&fixture, 4096);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    uint64_t inodes, lookups;
    fs_get_use(fixture.fs, &inodes, &lookups);
    assert_int_equal(lookups, 0); /* every test gives back what it got */
    assert_int_equal(inodes, 0);
    fs_fixture_deinit(&fixture);
    return 0;
}

static int make_error(uint64_t parent, const char *name, uint32_t mode, const char *target)
{
    struct fs_entry entry;
    struct fs_make make = {.mode = mode, .target = target};
    int error = fs_make(fixture.fs, &fs_fixture_user, parent, name, &make, &entry);
    assert_true(error < 0);
    return error;
}

static int lookup_error(uint64_t parent, const char *name)
{
    struct fs_entry entry;
    return fs_lookup(fixture.fs, parent, name, &entry);
}

static void every_type_is_made_and_found(void **state)
{
    (void)state;
    static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char name[8];
        struct fs_entry made, found;
        struct fs_make make = {.mode = types[i] | 0640, .device = 8ULL << 32 | 1, .target = "there"};
        bool is_device = types[i] == S_IFCHR || types[i] == S_IFBLK;
        snprintf(name, sizeof name, "n%zu", i);
        struct timespec before = base_clock_now();
        assert_int_equal(fs_make(fixture.fs, &fs_fixture_user, FS_ROOT_INODE, name, &make, &made), 0);
        struct timespec after = base_clock_now();
        assert_int_equal(fs_lookup(fixture.fs, FS_ROOT_INODE, name, &found), 0);
        fs_fixture_assert_equal(&made.attributes, &found.attributes);
        assert_int_equal(made.attributes.mode, make.mode);
        assert_int_equal(made.attributes.link_count, types[i] == S_IFDIR ? 2 : 1);
        assert_int_equal(made.attributes.uid, fs_fixture_user.uid);
        assert_int_equal(made.attributes.gid, fs_fixture_user.gid);
        assert_int_equal(made.attributes.device, is_device ? make.device : 0);
        assert_int_equal(made.attributes.size, types[i] == S_IFLNK ? 5 : 0);
        assert_true(fs_fixture_time_is_between(before, made.attributes.birth_time, after));
        assert_true(fs_fixture_time_is_equal(made.attributes.birth_time, made.attributes.access_time));
        assert_true(fs_fixture_time_is_equal(made.attributes.birth_time, made.attributes.modification_time));
        assert_true(fs_fixture_time_is_equal(made.attributes.birth_time, made.attributes.change_time));
        struct fs_attributes root = fs_fixture_attributes(&fixture, FS_ROOT_INODE);
        assert_int_equal(root.size, i + 1);
        assert_true(fs_fixture_time_is_equal(root.modification_time, made.attributes.birth_time));
        assert_true(fs_fixture_time_is_equal(root.change_time, made.attributes.birth_time));
        fs_forget(fixture.fs, made.attributes.inode, 2);
    }
    assert_int_equal(fs_fixture_attributes(&fixture, FS_ROOT_INODE).link_count, 3);
}

static void errors_of_make(void **state)
{
    (void)state;
    char long_name[FS_NAME_SIZE_MAX + 2], target[FS_SYMLINK_SIZE_MAX + 2];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    memset(target, 't', sizeof target - 1);
    target[sizeof target - 1] = '\0';
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);

    assert_int_equal(make_error(FS_ROOT_INODE, "file", S_IFREG, NULL), -EEXIST);
    assert_int_equal(make_error(FS_ROOT_INODE, "file", S_IFDIR, NULL), -EEXIST);
    assert_int_equal(make_error(file, "x", S_IFREG, NULL), -ENOTDIR);
    assert_int_equal(make_error(4711, "x", S_IFREG, NULL), -ENOENT);
    assert_int_equal(make_error(0, "x", S_IFREG, NULL), -ENOENT);
    assert_int_equal(make_error(FS_ROOT_INODE, "", S_IFREG, NULL), -EINVAL);
    assert_int_equal(make_error(FS_ROOT_INODE, ".", S_IFREG, NULL), -EINVAL);
    assert_int_equal(make_error(FS_ROOT_INODE, "..", S_IFREG, NULL), -EINVAL);
    assert_int_equal(make_error(FS_ROOT_INODE, "a/b", S_IFREG, NULL), -EINVAL);
    assert_int_equal(make_error(FS_ROOT_INODE, "x", 0, NULL), -EINVAL);
    assert_int_equal(make_error(FS_ROOT_INODE, "x", S_IFLNK, ""), -ENOENT);
    assert_int_equal(make_error(FS_ROOT_INODE, "x", S_IFLNK, target), -ENAMETOOLONG);
    assert_int_equal(make_error(FS_ROOT_INODE, long_name, S_IFREG, NULL), -ENAMETOOLONG);
    assert_int_equal(lookup_error(FS_ROOT_INODE, long_name), -ENAMETOOLONG);
    long_name[FS_NAME_SIZE_MAX] = '\0';
    uint64_t longest = fs_fixture_make(&fixture, FS_ROOT_INODE, long_name, S_IFREG | 0644);
    assert_int_equal(fs_fixture_find(&fixture, FS_ROOT_INODE, long_name), longest);

    assert_int_equal(lookup_error(FS_ROOT_INODE, "nothing"), -ENOENT);
    assert_int_equal(lookup_error(file, "nothing"), -ENOTDIR);
    assert_int_equal(lookup_error(4711, "nothing"), -ENOENT);
    assert_int_equal(fs_fixture_attributes(&fixture, FS_ROOT_INODE).size, 2);
}

static void set_gid_directories(void **state)
{
    (void)state;
    struct fs_caller owner = {.uid = 1, .gid = 77};
    struct fs_entry directory, entry;
    assert_int_equal(fs_make(fixture.fs, &owner, FS_ROOT_INODE, "d",
                             &(struct fs_make){.mode = S_IFDIR | S_ISGID | 0775}, &directory),
                     0);
    uint64_t inode = directory.attributes.inode;
    fs_forget(fixture.fs, inode, 1);
    assert_int_equal(
        fs_make(fixture.fs, &fs_fixture_user, inode, "sub", &(struct fs_make){.mode = S_IFDIR | 0755}, &entry), 0);
    assert_int_equal(entry.attributes.mode, S_IFDIR | S_ISGID | 0755);
    assert_int_equal(entry.attributes.gid, 77);
    assert_int_equal(entry.attributes.uid, fs_fixture_user.uid);
    fs_forget(fixture.fs, entry.attributes.inode, 1);
    assert_int_equal(
        fs_make(fixture.fs, &fs_fixture_user, inode, "file", &(struct fs_make){.mode = S_IFREG | 0644}, &entry), 0);
    assert_int_equal(entry.attributes.mode, S_IFREG | 0644);
    assert_int_equal(entry.attributes.gid, 77);
    fs_forget(fixture.fs, entry.attributes.inode, 1);
}

static void symlinks_of_all_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 511, 512, 513, 1000, 4094, 4095};
    char target[FS_SYMLINK_SIZE_MAX + 1], buffer[FS_SYMLINK_SIZE_MAX + 1], name[8];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            for (size_t at = 0; at < sizes[i]; at++)
                target[at] = (char)('a' + (at * 7 + i) % 26);
            target[sizes[i]] = '\0';
            snprintf(name, sizeof name, "s%zu", sizes[i]);
            if (round == 0)
                fs_fixture_make_symlink(&fixture, FS_ROOT_INODE, name, target);
            uint64_t inode = fs_fixture_find(&fixture, FS_ROOT_INODE, name);
            assert_int_equal(fs_fixture_attributes(&fixture, inode).size, sizes[i]);
            assert_int_equal(fs_read_link(fixture.fs, inode, buffer, sizeof buffer), 0);
            assert_string_equal(buffer, target);
            assert_int_equal(fs_read_link(fixture.fs, inode, buffer, sizes[i]), -ERANGE);
            /* A change of attributes leaves the target where it is. */
            struct fs_attributes attributes;
            struct fs_changes changes = {.set = FS_SET_UID, .uid = 5};
            assert_int_equal(fs_set_attributes(fixture.fs, &fs_fixture_user, inode, &changes, &attributes), 0);
            assert_int_equal(fs_read_link(fixture.fs, inode, buffer, sizeof buffer), 0);
            assert_string_equal(buffer, target);
        }
        fs_fixture_reopen(&fixture);
    }
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    assert_int_equal(fs_read_link(fixture.fs, file, buffer, sizeof buffer), -EINVAL);
    assert_int_equal(fs_read_link(fixture.fs, 4711, buffer, sizeof buffer), -ENOENT);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        snprintf(name, sizeof name, "s%zu", sizes[i]);
        assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, name), 0);
    }
}

static void links(void **state)
{
    (void)state;
    struct fs_entry entry;
    uint64_t directory = fs_fixture_make(&fixture, FS_ROOT_INODE, "dir", S_IFDIR | 0755);
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    uint64_t link = fs_fixture_make_symlink(&fixture, FS_ROOT_INODE, "symlink", "x");
    struct fs_attributes before = fs_fixture_attributes(&fixture, file);

    assert_int_equal(fs_link(fixture.fs, file, directory, "second", &entry), 0);
    assert_int_equal(entry.attributes.link_count, 2);
    assert_true(fs_fixture_time_is_equal(entry.attributes.modification_time, before.modification_time));
    struct fs_attributes parent = fs_fixture_attributes(&fixture, directory);
    assert_true(fs_fixture_time_is_equal(entry.attributes.change_time, parent.change_time));
    assert_true(fs_fixture_time_is_equal(entry.attributes.change_time, parent.modification_time));
    assert_int_equal(parent.size, 1);
    fs_forget(fixture.fs, file, 1);
    fs_fixture_link(&fixture, link, directory, "symlink too");

    assert_int_equal(fs_link(fixture.fs, file, directory, "second", &entry), -EEXIST);
    assert_int_equal(fs_link(fixture.fs, directory, directory, "x", &entry), -EPERM);
    assert_int_equal(fs_link(fixture.fs, file, file, "x", &entry), -ENOTDIR);
    assert_int_equal(fs_link(fixture.fs, 4711, directory, "x", &entry), -ENOENT);
    assert_int_equal(fs_link(fixture.fs, file, 4711, "x", &entry), -ENOENT);
    assert_int_equal(fs_link(fixture.fs, file, directory, "..", &entry), -EINVAL);

    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
    assert_int_equal(fs_fixture_attributes(&fixture, file).link_count, 1);
    assert_int_equal(fs_fixture_find(&fixture, directory, "second"), file);
    assert_int_equal(fs_fixture_find(&fixture, FS_ROOT_INODE, "file"), 0);
}

static void unlink_and_rmdir(void **state)
{
    (void)state;
    uint64_t directory = fs_fixture_make(&fixture, FS_ROOT_INODE, "dir", S_IFDIR | 0755);
    uint64_t file = fs_fixture_make(&fixture, directory, "file", S_IFREG | 0644);
    struct fs_attributes attributes;

    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "dir"), -EISDIR);
    assert_int_equal(fs_rmdir(fixture.fs, directory, "file"), -ENOTDIR);
    assert_int_equal(fs_rmdir(fixture.fs, FS_ROOT_INODE, "dir"), -ENOTEMPTY);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "nothing"), -ENOENT);
    assert_int_equal(fs_rmdir(fixture.fs, FS_ROOT_INODE, "nothing"), -ENOENT);
    assert_int_equal(fs_unlink(fixture.fs, file, "x"), -ENOTDIR);
    assert_int_equal(fs_unlink(fixture.fs, 4711, "x"), -ENOENT);
    assert_int_equal(fs_rmdir(fixture.fs, FS_ROOT_INODE, "."), -EINVAL);

    assert_int_equal(fs_unlink(fixture.fs, directory, "file"), 0);
    assert_int_equal(fs_get_attributes(fixture.fs, file, &attributes), -ENOENT);
    assert_int_equal(fs_fixture_attributes(&fixture, FS_ROOT_INODE).link_count, 3);
    assert_int_equal(fs_rmdir(fixture.fs, FS_ROOT_INODE, "dir"), 0);
    assert_int_equal(fs_get_attributes(fixture.fs, directory, &attributes), -ENOENT);
    attributes = fs_fixture_attributes(&fixture, FS_ROOT_INODE);
    assert_int_equal(attributes.link_count, 2);
    assert_int_equal(attributes.size, 0);
}

static void times_of_unlink(void **state)
{
    (void)state;
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    fs_fixture_link(&fixture, file, FS_ROOT_INODE, "other");
    struct fs_attributes old = fs_fixture_attributes(&fixture, file);
    struct timespec before = base_clock_now();
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
    struct timespec after = base_clock_now();
    struct fs_attributes new = fs_fixture_attributes(&fixture, file);
    struct fs_attributes root = fs_fixture_attributes(&fixture, FS_ROOT_INODE);
    assert_true(fs_fixture_time_is_between(before, new.change_time, after));
    assert_true(fs_fixture_time_is_equal(new.modification_time, old.modification_time));
    assert_true(fs_fixture_time_is_equal(new.access_time, old.access_time));
    assert_true(fs_fixture_time_is_equal(root.modification_time, new.change_time));
    assert_true(fs_fixture_time_is_equal(root.change_time, new.change_time));
}

static void nothing_is_made_in_a_removed_directory(void **state)
{
    (void)state;
    struct fs_entry entry;
    fs_fixture_make(&fixture, FS_ROOT_INODE, "dir", S_IFDIR | 0755);
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    uint64_t directory = fs_fixture_lookup(&fixture, FS_ROOT_INODE, "dir");
    assert_int_equal(fs_rmdir(fixture.fs, FS_ROOT_INODE, "dir"), 0);
    assert_int_equal(fs_fixture_attributes(&fixture, directory).link_count, 0);

    assert_int_equal(make_error(directory, "x", S_IFREG, NULL), -ENOENT);
    assert_int_equal(make_error(directory, "x", S_IFDIR, NULL), -ENOENT);
    assert_int_equal(lookup_error(directory, "x"), -ENOENT);
    assert_int_equal(fs_link(fixture.fs, file, directory, "x", &entry), -ENOENT);
    assert_int_equal(fs_unlink(fixture.fs, directory, "x"), -ENOENT);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "file", directory, "x", 0), -ENOENT);
    assert_int_equal(fs_rename(fixture.fs, directory, "x", FS_ROOT_INODE, "y", 0), -ENOENT);
    fs_forget(fixture.fs, directory, 1);
    assert_int_equal(make_error(directory, "x", S_IFREG, NULL), -ENOENT);
}

static void lookup_counts_balance(void **state)
{
    (void)state;
    uint64_t inodes, lookups;
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    for (int i = 0; i < 10; i++)
        assert_int_equal(fs_fixture_lookup(&fixture, FS_ROOT_INODE, "file"), file);
    fs_get_use(fixture.fs, &inodes, &lookups);
    assert_int_equal(inodes, 1);
    assert_int_equal(lookups, 10);
    assert_int_equal(lookup_error(FS_ROOT_INODE, "nothing"), -ENOENT);
    assert_int_equal(make_error(FS_ROOT_INODE, "file", S_IFREG, NULL), -EEXIST);
    fs_forget(fixture.fs, file, 9);
    fs_forget(fixture.fs, 4711, 3); /* never heard of */
    fs_get_use(fixture.fs, &inodes, &lookups);
    assert_int_equal(inodes, 1);
    assert_int_equal(lookups, 1);
    fs_forget(fixture.fs, file, 100); /* more than was handed out */
    fs_get_use(fixture.fs, &inodes, &lookups);
    assert_int_equal(inodes, 0);
    assert_int_equal(lookups, 0);
}

static void memory_of_inodes_in_use_is_bounded(void **state)
{
    (void)state;
    struct fs_statistics statistics;
    fs_get_statistics(fixture.fs, &statistics);
    assert_in_range(statistics.inode_bytes, 1, 256);
}

static int number_error(uint64_t number, bool parent)
{
    struct fs_entry entry;
    return fs_lookup_number(fixture.fs, number, parent, &entry);
}

static void lookup_by_number(void **state)
{
    (void)state;
    struct fs_entry entry;
    uint64_t directory = fs_fixture_make(&fixture, FS_ROOT_INODE, "directory", S_IFDIR | 0755);
    uint64_t file = fs_fixture_make(&fixture, directory, "file", S_IFREG | 0644);
    uint64_t pairs[][3] = {{file, false, file},
                           {directory, false, directory},
                           {directory, true, FS_ROOT_INODE},
                           {FS_ROOT_INODE, true, FS_ROOT_INODE}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(fs_lookup_number(fixture.fs, pairs[i][0], pairs[i][1], &entry), 0);
        assert_int_equal(entry.attributes.inode, pairs[i][2]);
        fs_forget(fixture.fs, entry.attributes.inode, 1);
    }
    assert_int_equal(number_error(file, true), -ENOTDIR);
    assert_int_equal(number_error(4711, false), -ENOENT);
    assert_int_equal(number_error(4711, true), -ENOENT);
    assert_int_equal(number_error(0, false), -ENOENT);
    /* Unlinked, in use and then gone. */
    assert_int_equal(fs_fixture_lookup(&fixture, directory, "file"), file);
    assert_int_equal(fs_unlink(fixture.fs, directory, "file"), 0);
    assert_int_equal(number_error(file, false), -ENOENT);
    fs_forget(fixture.fs, file, 1);
    assert_int_equal(number_error(file, false), -ENOENT);
}

static uint64_t make_temporary(uint64_t parent)
{
    struct fs_make make = {.mode = S_IFREG | 0600, .temporary = true};
    struct fs_entry entry;
    assert_int_equal(fs_make(fixture.fs, &fs_fixture_user, parent, "/", &make, &entry), 0);
    assert_int_equal(entry.attributes.link_count, 0);
    return entry.attributes.inode;
}

static uint64_t orphans(void)
{
    struct fs_statistics statistics;
    fs_get_statistics(fixture.fs, &statistics);
    return statistics.orphans;
}

static void temporary_files(void **state)
{
    (void)state;
    struct fs_entry entry;
    struct fs_attributes attributes;
    uint64_t directory = fs_fixture_make(&fixture, FS_ROOT_INODE, "directory", S_IFDIR | 0755);
    struct fs_attributes before = fs_fixture_attributes(&fixture, directory);

    /* Never named: gone at the last forget. */
    uint64_t file = make_temporary(directory);
    fs_fixture_write(&fixture, file, 0, "text", 4);
    assert_int_equal(orphans(), 1);
    fs_forget(fixture.fs, file, 1);
    assert_int_equal(fs_get_attributes(fixture.fs, file, &attributes), -ENOENT);
    assert_int_equal(orphans(), 0);
    struct fs_attributes after = fs_fixture_attributes(&fixture, directory);
    fs_fixture_assert_equal(&before, &after); /* the directory knows nothing of it */

    /* Named, named again, unlinked while open: then no name comes back. */
    file = make_temporary(directory);
    fs_fixture_write(&fixture, file, 0, "text", 4);
    assert_int_equal(fs_link(fixture.fs, file, directory, "a", &entry), 0);
    assert_int_equal(entry.attributes.link_count, 1);
    assert_int_equal(orphans(), 0);
    fs_fixture_check(&fixture);
    assert_int_equal(fs_link(fixture.fs, file, directory, "b", &entry), 0);
    assert_int_equal(entry.attributes.link_count, 2);
    fs_forget(fixture.fs, file, 3);
    assert_int_equal(fs_fixture_lookup(&fixture, directory, "a"), file);
    assert_int_equal(fs_unlink(fixture.fs, directory, "a"), 0);
    assert_int_equal(fs_unlink(fixture.fs, directory, "b"), 0);
    assert_int_equal(orphans(), 1);
    assert_int_equal(fs_link(fixture.fs, file, directory, "c", &entry), -ENOENT);
    fs_forget(fixture.fs, file, 1);
    assert_int_equal(fs_get_attributes(fixture.fs, file, &attributes), -ENOENT);

    /* A failed link leaves it as it was. */
    file = make_temporary(directory);
    fs_fixture_make(&fixture, directory, "there", S_IFREG | 0644);
    assert_int_equal(fs_link(fixture.fs, file, directory, "there", &entry), -EEXIST);
    assert_int_equal(orphans(), 1);
    assert_int_equal(fs_link(fixture.fs, file, directory, "d", &entry), 0);
    fs_forget(fixture.fs, file, 2);

    struct fs_make bad = {.mode = S_IFDIR | 0700, .temporary = true};
    assert_int_equal(fs_make(fixture.fs, &fs_fixture_user, directory, "/", &bad, &entry), -EINVAL);
    file = make_temporary(directory);
    fs_forget(fixture.fs, file, 1);
    fs_fixture_reopen(&fixture);
    assert_int_equal(fs_fixture_attributes(&fixture, fs_fixture_find(&fixture, directory, "d")).link_count, 1);
}

/* The power goes while one is open, and after it was named. */
static void temporary_files_and_power_cuts(void **state)
{
    (void)state;
    struct fs_entry entry;
    struct fs_attributes attributes;
    uint64_t unnamed = make_temporary(FS_ROOT_INODE), named = make_temporary(FS_ROOT_INODE);
    fs_fixture_write(&fixture, named, 0, "text", 4);
    assert_int_equal(fs_link(fixture.fs, named, FS_ROOT_INODE, "named", &entry), 0);
    assert_int_equal(fs_sync(fixture.fs), 0);
    fs_fixture_crash(&fixture, NULL);
    assert_int_equal(fs_get_attributes(fixture.fs, unnamed, &attributes), -ENOENT);
    assert_int_equal(fs_fixture_find(&fixture, FS_ROOT_INODE, "named"), named);
    assert_int_equal(fs_fixture_attributes(&fixture, named).size, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_type_is_made_and_found, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_of_make, setup, teardown),
        cmocka_unit_test_setup_teardown(set_gid_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(symlinks_of_all_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(links, setup, teardown),
        cmocka_unit_test_setup_teardown(unlink_and_rmdir, setup, teardown),
        cmocka_unit_test_setup_teardown(times_of_unlink, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_made_in_a_removed_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(lookup_counts_balance, setup, teardown),
        cmocka_unit_test_setup_teardown(lookup_by_number, setup, teardown),
        cmocka_unit_test_setup_teardown(temporary_files, setup, teardown),
        cmocka_unit_test_setup_teardown(temporary_files_and_power_cuts, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_of_inodes_in_use_is_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
