/* Attributes: every field set alone, times, set-id bits, errors. */
#include "support/fs_fixture.h"

#include "base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct fs_fixture fixture;
static const struct fs_caller root_caller = {.uid = 0, .gid = 0};

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

static struct fs_attributes set(const struct fs_caller *caller, uint64_t inode, const struct fs_changes *changes)
{
    struct fs_attributes answer;
    assert_int_equal(fs_set_attributes(fixture.fs, caller, inode, changes, &answer), 0);
    struct fs_attributes stored = fs_fixture_attributes(&fixture, inode);
    fs_fixture_assert_equal(&answer, &stored);
    return answer;
}

static int set_error(uint64_t inode, const struct fs_changes *changes)
{
    struct fs_attributes answer;
    return fs_set_attributes(fixture.fs, &fs_fixture_user, inode, changes, &answer);
}

/* Applies one change and says that nothing else but the change time moved. */
static void check_alone(uint64_t inode, const struct fs_changes *changes, void (*apply)(struct fs_attributes *expected))
{
    struct fs_attributes expected = fs_fixture_attributes(&fixture, inode);
    struct timespec before = base_clock_now();
    struct fs_attributes got = set(&fs_fixture_user, inode, changes);
    assert_true(fs_fixture_time_is_between(before, got.change_time, base_clock_now()));
    expected.change_time = got.change_time;
    apply(&expected);
    fs_fixture_assert_equal(&expected, &got);
}

static void apply_mode(struct fs_attributes *expected)
{
    expected->mode = S_IFREG | 01751;
}

static void apply_uid(struct fs_attributes *expected)
{
    expected->uid = 4000000000U;
}

static void apply_gid(struct fs_attributes *expected)
{
    expected->gid = 6;
}

static void apply_access_time(struct fs_attributes *expected)
{
    expected->access_time = (struct timespec){.tv_sec = -5, .tv_nsec = 999999999};
}

static void apply_modification_time(struct fs_attributes *expected)
{
    expected->modification_time = (struct timespec){.tv_sec = 1LL << 40, .tv_nsec = 1};
}

static void each_field_alone(void **state)
{
    (void)state;
    uint64_t inode = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    check_alone(inode, &(struct fs_changes){.set = FS_SET_MODE, .mode = S_IFDIR | 01751}, apply_mode);
    check_alone(inode, &(struct fs_changes){.set = FS_SET_UID, .uid = 4000000000U}, apply_uid);
    check_alone(inode, &(struct fs_changes){.set = FS_SET_GID, .gid = 6}, apply_gid);
    check_alone(inode,
                &(struct fs_changes){.set = FS_SET_ACCESS_TIME, .access_time = {.tv_sec = -5, .tv_nsec = 999999999}},
                apply_access_time);
    check_alone(
        inode,
        &(struct fs_changes){.set = FS_SET_MODIFICATION_TIME, .modification_time = {.tv_sec = 1LL << 40, .tv_nsec = 1}},
        apply_modification_time);
    fs_fixture_reopen(&fixture);
    assert_int_equal(fs_fixture_attributes(&fixture, inode).access_time.tv_sec, -5);
    assert_int_equal(fs_fixture_attributes(&fixture, inode).uid, 4000000000U);

    /* Nothing asked, nothing changed. */
    struct fs_attributes old = fs_fixture_attributes(&fixture, inode);
    struct fs_attributes same = set(&fs_fixture_user, inode, &(struct fs_changes){.set = 0, .mode = 7});
    fs_fixture_assert_equal(&old, &same);
}

static void times_of_now_and_given(void **state)
{
    (void)state;
    uint64_t inode = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    struct timespec before = base_clock_now();
    struct fs_changes now = {.set = FS_SET_ACCESS_TIME_NOW | FS_SET_MODIFICATION_TIME_NOW};
    struct fs_attributes got = set(&fs_fixture_user, inode, &now);
    struct timespec after = base_clock_now();
    assert_true(fs_fixture_time_is_between(before, got.access_time, after));
    assert_true(fs_fixture_time_is_equal(got.access_time, got.modification_time));
    assert_true(fs_fixture_time_is_equal(got.access_time, got.change_time));
    struct fs_changes given = {.set = FS_SET_CHANGE_TIME, .change_time = {.tv_sec = 7}};
    assert_int_equal(set(&fs_fixture_user, inode, &given).change_time.tv_sec, 7);
}

static void size_sets_times(void **state)
{
    (void)state;
    uint64_t inode = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    struct timespec before = base_clock_now();
    struct fs_attributes got = set(&fs_fixture_user, inode, &(struct fs_changes){.set = FS_SET_SIZE, .size = 100000});
    assert_int_equal(got.size, 100000);
    assert_true(fs_fixture_time_is_between(before, got.modification_time, base_clock_now()));
    assert_true(fs_fixture_time_is_equal(got.modification_time, got.change_time));
    /* Size and everything else in one. */
    struct fs_changes all = {.set = FS_SET_SIZE | FS_SET_MODE | FS_SET_UID | FS_SET_MODIFICATION_TIME,
                             .size = 5,
                             .mode = 0600,
                             .uid = 3,
                             .modification_time = {.tv_sec = 9}};
    got = set(&root_caller, inode, &all);
    assert_int_equal(got.size, 5);
    assert_int_equal(got.mode, S_IFREG | 0600);
    assert_int_equal(got.uid, 3);
    assert_int_equal(got.modification_time.tv_sec, 9);
}

static void set_id_bits(void **state)
{
    (void)state;
    const struct fs_changes chown = {.set = FS_SET_UID, .uid = 1}, truncate = {.set = FS_SET_SIZE, .size = 10};
    static const struct {
        uint32_t mode, after_chown, after_truncate_by_user, after_truncate_by_root;
    } cases[] = {
        {S_IFREG | 06755, 0755, 0755, 06755},   {S_IFREG | 06744, 02744, 02744, 06744},
        {S_IFREG | 04755, 0755, 0755, 04755},   {S_IFREG | 02755, 0755, 0755, 02755},
        {S_IFREG | 01777, 01777, 01777, 01777},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t inode = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", cases[i].mode);
        struct fs_changes mode = {.set = FS_SET_MODE, .mode = cases[i].mode};
        assert_int_equal(set(&root_caller, inode, &chown).mode & 07777, cases[i].after_chown);
        set(&fs_fixture_user, inode, &mode);
        assert_int_equal(set(&fs_fixture_user, inode, &truncate).mode & 07777, cases[i].after_truncate_by_user);
        set(&fs_fixture_user, inode, &mode);
        assert_int_equal(set(&root_caller, inode, &truncate).mode & 07777, cases[i].after_truncate_by_root);
        fs_fixture_write(&fixture, inode, 0, "x", 1);
        assert_int_equal(fs_fixture_attributes(&fixture, inode).mode & 07777, cases[i].after_truncate_by_user);
        set(&fs_fixture_user, inode, &mode);
        assert_int_equal(fs_write(fixture.fs, NULL, inode, 0, "x", 1), 1);
        assert_int_equal(fs_fixture_attributes(&fixture, inode).mode, cases[i].mode);
        assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
    }
    uint64_t directory = fs_fixture_make(&fixture, FS_ROOT_INODE, "dir", S_IFDIR | 02755);
    assert_int_equal(set(&root_caller, directory, &chown).mode, S_IFDIR | 02755);
}

/* As the caller says, whoever it is. */
static void set_id_by_rule(void **state)
{
    (void)state;
    static const struct {
        enum fs_set_id rule;
        uint32_t after_6755, after_6745;
    } cases[] = {
        {FS_SET_ID_KEPT, 06755, 06745},
        {FS_SET_ID_CLEARED, 0755, 02745},
        {FS_SET_ID_CLEARED_BOTH, 0755, 0745},
    };
    uint64_t inode = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        uint32_t before = i % 2 ? 06755 : 06745;
        uint32_t after = i % 2 ? cases[i / 2].after_6755 : cases[i / 2].after_6745;
        uint32_t after_chown = i % 2 || cases[i / 2].rule == FS_SET_ID_CLEARED_BOTH ? before & 0777 : 02745;
        struct fs_caller callers[] = {{.uid = 0, .set_id = cases[i / 2].rule},
                                      {.uid = 1000, .gid = 1000, .set_id = cases[i / 2].rule}};
        struct fs_changes mode = {.set = FS_SET_MODE, .mode = before};
        struct fs_changes truncate = {.set = FS_SET_SIZE, .size = 7}, clear = {.set = FS_SET_NO_SET_ID};
        struct fs_changes chown = {.set = FS_SET_GID, .gid = 5};
        for (size_t k = 0; k < 2; k++) {
            set(&root_caller, inode, &mode);
            assert_int_equal(set(&callers[k], inode, &truncate).mode & 07777, after);
            set(&root_caller, inode, &mode);
            assert_int_equal(set(&callers[k], inode, &clear).mode & 07777, after);
            set(&root_caller, inode, &mode);
            assert_int_equal(set(&callers[k], inode, &chown).mode & 07777, after_chown);
            set(&root_caller, inode, &mode);
            assert_int_equal(fs_write(fixture.fs, &callers[k], inode, 0, "x", 1), 1);
            assert_int_equal(fs_fixture_attributes(&fixture, inode).mode & 07777, after);
            set(&root_caller, inode, &mode);
            assert_int_equal(fs_allocate(fixture.fs, &callers[k], inode, 0, 0, 4096), 0);
            assert_int_equal(fs_fixture_attributes(&fixture, inode).mode & 07777, after);
        }
    }
}

static void errors(void **state)
{
    (void)state;
    struct fs_attributes attributes;
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    uint64_t fifo = fs_fixture_make(&fixture, FS_ROOT_INODE, "fifo", S_IFIFO | 0644);
    struct fs_changes size = {.set = FS_SET_SIZE | FS_SET_MODE, .size = 1, .mode = 0};
    assert_int_equal(set_error(FS_ROOT_INODE, &size), -EISDIR);
    assert_int_equal(set_error(fifo, &size), -EINVAL);
    assert_int_equal(set_error(4711, &size), -ENOENT);
    assert_int_equal(set_error(0, &size), -ENOENT);
    size.size = (uint64_t)FS_FILE_SIZE_MAX + 1;
    assert_int_equal(set_error(file, &size), -EFBIG);
    struct fs_changes time = {.set = FS_SET_ACCESS_TIME | FS_SET_MODE, .access_time = {.tv_nsec = 1000000000}};
    assert_int_equal(set_error(file, &time), -EINVAL);
    assert_int_equal(fs_fixture_attributes(&fixture, file).mode, S_IFREG | 0644); /* all or nothing */
    assert_int_equal(fs_get_attributes(fixture.fs, 4711, &attributes), -ENOENT);
    assert_int_equal(fs_get_attributes(fixture.fs, 0, &attributes), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_field_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(times_of_now_and_given, setup, teardown),
        cmocka_unit_test_setup_teardown(size_sets_times, setup, teardown),
        cmocka_unit_test_setup_teardown(set_id_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(set_id_by_rule, setup, teardown),
        cmocka_unit_test_setup_teardown(errors, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
