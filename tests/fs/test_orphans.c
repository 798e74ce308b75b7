/* Unlinked inodes: they live while they are in use, go at the last forget, after a crash, at an unmount; contents whose
 * freeing was interrupted are freed. */
#include "support/fs_fixture.h"

#include <errno.h>
#include <sched.h>
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
    fs_fixture_deinit(&fixture);
    return 0;
}

static uint64_t orphans(void)
{
    struct fs_statistics statistics;
    fs_get_statistics(fixture.fs, &statistics);
    return statistics.orphans;
}

static uint64_t content_blocks(void)
{
    struct fs_statistics statistics;
    assert_int_equal(fs_sync(fixture.fs), 0);
    fs_get_statistics(fixture.fs, &statistics);
    return statistics.store.content_blocks;
}

static bool is_gone(uint64_t inode)
{
    struct fs_attributes attributes;
    int error = fs_get_attributes(fixture.fs, inode, &attributes);
    assert_true(error == 0 || error == -ENOENT);
    return error == -ENOENT;
}

/* A file with so many bytes that the kernel knows. */
static uint64_t make_known(const char *name, size_t size)
{
    char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    memset(bytes, 'x', size + 1);
    uint64_t inode = fs_fixture_make(&fixture, FS_ROOT_INODE, name, S_IFREG | 0644);
    for (size_t at = 0; at < size; at += 1U << 20)
        fs_fixture_write(&fixture, inode, at, bytes, size - at < 1U << 20 ? size - at : 1U << 20);
    free(bytes);
    assert_int_equal(fs_fixture_lookup(&fixture, FS_ROOT_INODE, name), inode);
    return inode;
}

static const size_t sizes[] = {0, 1, 3840, 5000, 100000, 131073, 3U << 20, 20U << 20};
enum { SIZE_COUNT = sizeof sizes / sizeof sizes[0] };

static void an_unlinked_file_lives_until_the_last_forget(void **state)
{
    (void)state;
    for (int i = 0; i < SIZE_COUNT; i++) {
        char buffer[4];
        struct fs_attributes attributes;
        uint64_t inode = make_known("file", sizes[i]);
        assert_int_equal(fs_fixture_lookup(&fixture, FS_ROOT_INODE, "file"), inode);
        assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
        assert_int_equal(orphans(), 1);
        assert_int_equal(fs_fixture_attributes(&fixture, inode).link_count, 0);
        assert_int_equal(fs_fixture_attributes(&fixture, inode).size, sizes[i]);
        assert_int_equal(fs_read(fixture.fs, inode, 0, buffer, 1), sizes[i] > 0);
        fs_fixture_write(&fixture, inode, sizes[i], "tail", 4);
        assert_int_equal(fs_read(fixture.fs, inode, sizes[i], buffer, 4), 4);
        assert_memory_equal(buffer, "tail", 4);
        struct fs_changes changes = {.set = FS_SET_SIZE | FS_SET_MODE, .size = sizes[i] / 2, .mode = 0600};
        assert_int_equal(fs_set_attributes(fixture.fs, &fs_fixture_user, inode, &changes, &attributes), 0);
        struct fs_entry entry;
        assert_int_equal(fs_link(fixture.fs, inode, FS_ROOT_INODE, "back", &entry), -ENOENT);
        fs_fixture_check(&fixture);
        fs_forget(fixture.fs, inode, 1);
        assert_false(is_gone(inode));
        fs_forget(fixture.fs, inode, 1);
        assert_true(is_gone(inode));
        assert_int_equal(orphans(), 0);
        assert_int_equal(content_blocks(), 0);
        fs_fixture_check(&fixture);
    }
}

static void what_nobody_knows_goes_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < SIZE_COUNT; i++) {
        uint64_t inode = make_known("file", sizes[i]);
        fs_forget(fixture.fs, inode, 1);
        assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
        assert_true(is_gone(inode));
        assert_int_equal(content_blocks(), 0);
    }
}

static void replaced_files_and_removed_directories_are_orphans_too(void **state)
{
    (void)state;
    uint64_t file = make_known("file", 100000);
    fs_fixture_make(&fixture, FS_ROOT_INODE, "new", S_IFREG | 0644);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "new", FS_ROOT_INODE, "file", 0), 0);
    assert_int_equal(fs_fixture_attributes(&fixture, file).link_count, 0);
    fs_fixture_make(&fixture, FS_ROOT_INODE, "dir", S_IFDIR | 0755);
    uint64_t directory = fs_fixture_lookup(&fixture, FS_ROOT_INODE, "dir");
    assert_int_equal(fs_rmdir(fixture.fs, FS_ROOT_INODE, "dir"), 0);
    assert_int_equal(orphans(), 2);
    fs_forget(fixture.fs, file, 1);
    fs_forget(fixture.fs, directory, 1);
    assert_true(is_gone(file));
    assert_true(is_gone(directory));
    assert_int_equal(content_blocks(), 0);
}

static void a_crash_ends_orphans(void **state)
{
    (void)state;
    uint64_t inodes[SIZE_COUNT];
    char name[16];
    for (int i = 0; i < SIZE_COUNT; i++) {
        snprintf(name, sizeof name, "file%d", i);
        inodes[i] = make_known(name, sizes[i]);
    }
    uint64_t kept = fs_fixture_make(&fixture, FS_ROOT_INODE, "kept", S_IFREG | 0644);
    fs_fixture_write(&fixture, kept, 0, "kept", 4);
    for (int i = 0; i < SIZE_COUNT; i++) {
        snprintf(name, sizeof name, "file%d", i);
        assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, name), 0);
    }
    assert_int_equal(orphans(), SIZE_COUNT);
    assert_int_equal(fs_sync(fixture.fs), 0);
    fs_fixture_crash(&fixture, NULL);
    assert_int_equal(orphans(), 0);
    for (int i = 0; i < SIZE_COUNT; i++)
        assert_true(is_gone(inodes[i]));
    assert_int_equal(content_blocks(), 0); /* "kept" is inline */
    assert_int_equal(fs_fixture_find(&fixture, FS_ROOT_INODE, "kept"), kept);
    fs_fixture_check(&fixture);
}

static void an_unmount_ends_orphans(void **state)
{
    (void)state;
    uint64_t inode = make_known("file", 3U << 20);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
    struct fs_options read_only = {.read_only = true, .cache_size = 8U << 20};
    struct base_reason reason;
    assert_int_equal(fs_close(fixture.fs), 0);
    assert_int_equal(fs_open(fixture.file, &read_only, &fixture.fs, &reason), 0);
    assert_true(is_gone(inode)); /* by the unmount: a read-only mount changes nothing */
    fs_fixture_reopen(&fixture);
}

static void a_read_only_mount_leaves_orphans(void **state)
{
    (void)state;
    uint64_t inode = make_known("file", 3U << 20);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
    assert_int_equal(fs_sync(fixture.fs), 0);
    fixture.options.read_only = true;
    fs_fixture_crash(&fixture, NULL);
    assert_false(is_gone(inode));
    assert_int_equal(fs_close(fixture.fs), 0);
    assert_int_equal(fault_file_count(fixture.fault, FAULT_WRITE), 0);
    fixture.options.read_only = false;
    struct base_reason reason;
    assert_int_equal(fs_open(fixture.file, &fixture.options, &fixture.fs, &reason), 0);
    assert_true(is_gone(inode));
}

/* With the background thread: everything is gone at some time, thousands of them. */
static void the_thread_ends_orphans(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct fs_options options = {.cache_size = 8U << 20, .commit_interval_ms = 2000};
    uint64_t *inodes = calloc(COUNT, sizeof *inodes);
    assert_non_null(inodes);
    fs_fixture_deinit(&fixture);
    fs_fixture_init_with(&fixture, NULL, 0, &options);
    for (unsigned i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "file%u", i);
        inodes[i] = make_known(name, i % 100 == 0 ? 300000 : i % 7 * 1000);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "file%u", i);
        assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, name), 0);
        fs_forget(fixture.fs, inodes[i], 1);
    }
    while (orphans() > 0)
        sched_yield();
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(is_gone(inodes[i]));
    assert_int_equal(content_blocks(), 0);
    /* And those found at a mount, also while somebody asks for them: the asking keeps the inode in use for a moment. */
    for (int round = 0; round < 30; round++) {
        uint64_t last = make_known("last", 3U << 20);
        assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "last"), 0);
        assert_int_equal(fs_sync(fixture.fs), 0);
        fs_fixture_crash(&fixture, NULL);
        while (!is_gone(last))
            sched_yield();
    }
    free(inodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unlinked_file_lives_until_the_last_forget, setup, teardown),
        cmocka_unit_test_setup_teardown(what_nobody_knows_goes_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(replaced_files_and_removed_directories_are_orphans_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crash_ends_orphans, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unmount_ends_orphans, setup, teardown),
        cmocka_unit_test_setup_teardown(a_read_only_mount_leaves_orphans, setup, teardown),
        cmocka_unit_test_setup_teardown(the_thread_ends_orphans, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
