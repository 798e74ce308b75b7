/* What reads do to access times: by each rule, of each kind of inode, and that most reads write nothing. */
#include "base/clock.h"
#include "support/fs_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct fs_fixture fixture;

static void begin(enum fs_access_times access_times)
{
    fs_fixture_init(&fixture, 0);
    fixture.options.access_times = access_times;
    fs_fixture_reopen(&fixture);
}

static struct timespec access_time(uint64_t inode)
{
    return fs_fixture_attributes(&fixture, inode).access_time;
}

static void set_access_time(uint64_t inode, struct timespec time)
{
    struct fs_changes changes = {.set = FS_SET_ACCESS_TIME | FS_SET_CHANGE_TIME, .access_time = time};
    struct fs_attributes answer;
    assert_int_equal(fs_set_attributes(fixture.fs, &fs_fixture_user, inode, &changes, &answer), 0);
}

static bool take(void *context, const struct fs_directory_entry *entry)
{
    (void)context;
    (void)entry;
    return true;
}

static void read_inode(uint64_t inode)
{
    char bytes[64];
    switch (fs_fixture_attributes(&fixture, inode).mode & S_IFMT) {
    case S_IFREG:
        assert_int_equal(fs_read(fixture.fs, inode, 0, bytes, sizeof bytes), 4);
        break;
    case S_IFLNK:
        assert_int_equal(fs_read_link(fixture.fs, inode, bytes, sizeof bytes), 0);
        break;
    default: {
        struct fs_directory *directory;
        assert_int_equal(fs_directory_open(fixture.fs, inode, &directory), 0);
        assert_int_equal(fs_directory_read(directory, 0, false, take, NULL), 0);
        fs_directory_close(directory);
    }
    }
}

/* Whether a read moved the access time. */
static bool moves(uint64_t inode)
{
    struct timespec before = access_time(inode), begun = base_clock_now();
    read_inode(inode);
    struct timespec after = access_time(inode);
    if (fs_fixture_time_is_equal(before, after)) {
        return false;
    }
    assert_true(fs_fixture_time_is_between(begun, after, base_clock_now()));
    return true;
}

static uint64_t commits(void)
{
    struct fs_statistics statistics;
    fs_get_statistics(fixture.fs, &statistics);
    return statistics.txn.commits;
}

static void make_three(uint64_t inodes[3])
{
    inodes[0] = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    inodes[1] = fs_fixture_make_symlink(&fixture, FS_ROOT_INODE, "symlink", "target");
    inodes[2] = fs_fixture_make(&fixture, FS_ROOT_INODE, "directory", S_IFDIR | 0755);
    fs_fixture_write(&fixture, inodes[0], 0, "text", 4);
}

static void test_relative(void **state)
{
    (void)state;
    uint64_t inodes[3];
    struct timespec old = base_clock_now();
    begin(FS_ACCESS_TIMES_RELATIVE);
    make_three(inodes);
    for (int i = 0; i < 3; i++) {
        assert_true(moves(inodes[i])); /* read for the first time since it was made */
        uint64_t before = commits();
        assert_false(moves(inodes[i]));
        assert_false(moves(inodes[i]));
        assert_int_equal(commits(), before);
    }
    fs_fixture_write(&fixture, inodes[0], 0, "new ", 4);
    assert_true(moves(inodes[0]));
    assert_false(moves(inodes[0]));
    fs_fixture_make(&fixture, inodes[2], "in", S_IFREG | 0644);
    assert_true(moves(inodes[2]));
    assert_false(moves(inodes[2]));
    /* A day old, though nothing was changed (the change time is set back too). */
    struct fs_changes changes = {.set = FS_SET_ACCESS_TIME | FS_SET_MODIFICATION_TIME | FS_SET_CHANGE_TIME};
    struct fs_attributes answer;
    changes.access_time = changes.modification_time = changes.change_time = old;
    changes.access_time.tv_sec -= 86401;
    changes.modification_time.tv_sec -= 100000;
    changes.change_time.tv_sec -= 100000;
    assert_int_equal(fs_set_attributes(fixture.fs, &fs_fixture_user, inodes[0], &changes, &answer), 0);
    assert_true(moves(inodes[0]));
    changes.access_time.tv_sec += 1000;
    assert_int_equal(fs_set_attributes(fixture.fs, &fs_fixture_user, inodes[0], &changes, &answer), 0);
    assert_false(moves(inodes[0]));
    fs_fixture_deinit(&fixture);
}

static void test_exact(void **state)
{
    (void)state;
    uint64_t inodes[3];
    begin(FS_ACCESS_TIMES_EXACT);
    make_three(inodes);
    for (int i = 0; i < 3; i++) {
        set_access_time(inodes[i], (struct timespec){.tv_sec = 1LL << 33});
        assert_true(moves(inodes[i]));
        set_access_time(inodes[i], (struct timespec){.tv_sec = -1});
        assert_true(moves(inodes[i]));
    }
    fs_fixture_reopen(&fixture);
    assert_true(access_time(inodes[0]).tv_sec > 0); /* it was stored */
    fs_fixture_deinit(&fixture);
}

static void test_kept(void **state)
{
    (void)state;
    uint64_t inodes[3];
    char bytes[4];
    begin(FS_ACCESS_TIMES_KEPT);
    make_three(inodes);
    for (int i = 0; i < 3; i++) {
        assert_false(moves(inodes[i]));
    }
    fs_fixture_deinit(&fixture);

    begin(FS_ACCESS_TIMES_EXACT);
    make_three(inodes);
    assert_int_equal(fs_set_flags(fixture.fs, inodes[0], FS_FLAG_NO_ACCESS_TIME), 0);
    assert_false(moves(inodes[0]));
    assert_int_equal(fs_set_flags(fixture.fs, inodes[0], 0), 0);
    struct timespec before = access_time(inodes[0]);
    assert_int_equal(fs_read_unnoticed(fixture.fs, inodes[0], 0, bytes, 4), 4);
    assert_true(fs_fixture_time_is_equal(before, access_time(inodes[0])));
    fixture.options.directory_access_times_kept = true;
    fs_fixture_reopen(&fixture);
    assert_false(moves(inodes[2]));
    assert_true(moves(inodes[0]));
    fixture.options.read_only = true;
    fs_fixture_reopen(&fixture);
    assert_false(moves(inodes[0]));
    fs_fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relative),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
