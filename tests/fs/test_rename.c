/* Rename: every kind of source over every kind of target, in one directory and between two, with each flag; and what
 * the tree looks like afterwards. */
#include "support/fs_fixture.h"

#include "base/clock.h"

#include <errno.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
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
    assert_int_equal(inodes, 0);
    fs_fixture_deinit(&fixture);
    return 0;
}

enum kind { MISSING, REGULAR, LINKED, SYMLINK, EMPTY_DIRECTORY, FULL_DIRECTORY, KIND_COUNT };

static const char *const kind_names[] = {"missing",         "file",          "linked file", "symlink",
                                         "empty directory", "full directory"};

static uint64_t make_kind(enum kind kind, uint64_t parent, const char *name, const char *other_name)
{
    uint64_t inode = 0;
    switch (kind) {
    case REGULAR:
    case LINKED:
        inode = fs_fixture_make(&fixture, parent, name, S_IFREG | 0644);
        if (kind == LINKED)
            fs_fixture_link(&fixture, inode, parent, other_name);
        break;
    case SYMLINK:
        inode = fs_fixture_make_symlink(&fixture, parent, name, "somewhere");
        break;
    case EMPTY_DIRECTORY:
    case FULL_DIRECTORY:
        inode = fs_fixture_make(&fixture, parent, name, S_IFDIR | 0755);
        if (kind == FULL_DIRECTORY)
            fs_fixture_make(&fixture, inode, "content", S_IFREG | 0644);
        break;
    default:
        break;
    }
    return inode;
}

static bool is_directory(enum kind kind)
{
    return kind == EMPTY_DIRECTORY || kind == FULL_DIRECTORY;
}

static int expected_result(enum kind source, enum kind target, unsigned flags)
{
    if (source == MISSING)
        return -ENOENT;
    if (flags == RENAME_NOREPLACE && target != MISSING)
        return -EEXIST;
    if (flags == RENAME_EXCHANGE)
        return target == MISSING ? -ENOENT : 0;
    if (target == MISSING)
        return 0;
    if (is_directory(source) && !is_directory(target))
        return -ENOTDIR;
    if (!is_directory(source) && is_directory(target))
        return -EISDIR;
    return target == FULL_DIRECTORY ? -ENOTEMPTY : 0;
}

struct place {
    uint64_t parent;
    const char *name;
    uint64_t inode; /* what stands there, 0: nothing */
    enum kind kind;
};

static void check_place(const struct place *place)
{
    assert_int_equal(fs_fixture_find(&fixture, place->parent, place->name), place->inode);
    if (is_directory(place->kind)) {
        assert_int_equal(fs_fixture_parent(&fixture, place->inode), place->parent);
        assert_int_equal(fs_fixture_find(&fixture, place->inode, "content") != 0, place->kind == FULL_DIRECTORY);
    }
    if (place->inode)
        assert_int_equal(fs_fixture_attributes(&fixture, place->inode).link_count,
                         is_directory(place->kind) || place->kind == LINKED ? 2 : 1);
}

/* size and link count of a directory that holds these two places (or one of them) and "linked" names beside. */
static void check_parent(uint64_t parent, const struct place *places, uint64_t extra_entries)
{
    uint64_t entries = extra_entries, directories = 0;
    for (int i = 0; i < 2; i++) {
        if (places[i].parent == parent && places[i].inode) {
            entries++;
            directories += is_directory(places[i].kind);
        }
    }
    struct fs_attributes attributes = fs_fixture_attributes(&fixture, parent);
    assert_int_equal(attributes.size, entries);
    assert_int_equal(attributes.link_count, 2 + directories);
}

static void check_times(const struct place *places, struct timespec before)
{
    for (int i = 0; i < 2; i++) {
        struct fs_attributes parent = fs_fixture_attributes(&fixture, places[i].parent);
        assert_true(fs_fixture_time_is_between(before, parent.modification_time, base_clock_now()));
        assert_true(fs_fixture_time_is_equal(parent.modification_time, parent.change_time));
        if (places[i].inode)
            assert_true(fs_fixture_time_is_equal(fs_fixture_attributes(&fixture, places[i].inode).change_time,
                                                 parent.change_time));
    }
}

static void run_case(enum kind source, enum kind target, bool cross, unsigned flags)
{
    uint64_t left = fs_fixture_make(&fixture, FS_ROOT_INODE, "left", S_IFDIR | 0755);
    uint64_t right = cross ? fs_fixture_make(&fixture, FS_ROOT_INODE, "right", S_IFDIR | 0755) : left;
    struct place places[2] = {{left, "source", make_kind(source, left, "source", "other source"), source},
                              {right, "target", make_kind(target, right, "target", "other target"), target}};
    uint64_t replaced = places[1].inode;
    int expected = expected_result(source, target, flags);
    struct timespec before = base_clock_now();
    int result = fs_rename(fixture.fs, left, "source", right, "target", flags);
    if (result != expected)
        fail_msg("%s over %s, cross %d, flags %u: %d, expected %d", kind_names[source], kind_names[target], cross,
                 flags, result, expected);
    if (result == 0) {
        struct place moved = places[0], back = places[1];
        bool exchange = flags == RENAME_EXCHANGE;
        places[1] = (struct place){right, "target", moved.inode, moved.kind};
        places[0] = (struct place){left, "source", exchange ? back.inode : 0, exchange ? back.kind : MISSING};
        check_times(places, before);
        if (!exchange && target == LINKED)
            assert_int_equal(fs_fixture_attributes(&fixture, replaced).link_count, 1);
        else if (!exchange && target != MISSING) {
            struct fs_attributes attributes;
            assert_int_equal(fs_get_attributes(fixture.fs, replaced, &attributes), -ENOENT);
        }
    }
    check_place(&places[0]);
    check_place(&places[1]);
    uint64_t left_extra = source == LINKED, right_extra = target == LINKED;
    check_parent(left, places, cross ? left_extra : left_extra + right_extra);
    if (cross)
        check_parent(right, places, right_extra);
}

static void every_kind_over_every_kind(void **state)
{
    (void)state;
    static const unsigned flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    for (int source = MISSING; source < KIND_COUNT; source++) {
        for (int target = MISSING; target < KIND_COUNT; target++) {
            for (int variant = 0; variant < 6; variant++) {
                run_case((enum kind)source, (enum kind)target, variant & 1, flags[variant / 2]);
                fs_fixture_check(&fixture);
                fs_fixture_deinit(&fixture);
                fs_fixture_init(&fixture, 4096);
            }
        }
    }
}

static void two_names_of_one_inode(void **state)
{
    (void)state;
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "a", S_IFREG | 0644);
    fs_fixture_link(&fixture, file, FS_ROOT_INODE, "b");
    struct fs_attributes before = fs_fixture_attributes(&fixture, file);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", FS_ROOT_INODE, "b", 0), 0);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", FS_ROOT_INODE, "b", RENAME_EXCHANGE), 0);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", FS_ROOT_INODE, "b", RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", FS_ROOT_INODE, "a", 0), 0);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", FS_ROOT_INODE, "a", RENAME_NOREPLACE), -EEXIST);
    struct fs_attributes after = fs_fixture_attributes(&fixture, file);
    fs_fixture_assert_equal(&before, &after);
    assert_int_equal(fs_fixture_find(&fixture, FS_ROOT_INODE, "a"), file);
    assert_int_equal(fs_fixture_find(&fixture, FS_ROOT_INODE, "b"), file);
}

static void not_below_itself(void **state)
{
    (void)state;
    uint64_t a = fs_fixture_make(&fixture, FS_ROOT_INODE, "a", S_IFDIR | 0755);
    uint64_t b = fs_fixture_make(&fixture, a, "b", S_IFDIR | 0755);
    uint64_t c = fs_fixture_make(&fixture, b, "c", S_IFDIR | 0755);
    uint64_t other = fs_fixture_make(&fixture, FS_ROOT_INODE, "other", S_IFDIR | 0755);
    fs_fixture_make(&fixture, c, "file", S_IFREG | 0644);

    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", a, "x", 0), -EINVAL);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", b, "x", 0), -EINVAL);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", c, "x", 0), -EINVAL);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", b, "c", 0), -EINVAL);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", b, "c", RENAME_EXCHANGE), -EINVAL);
    assert_int_equal(fs_rename(fixture.fs, b, "c", FS_ROOT_INODE, "a", RENAME_EXCHANGE), -EINVAL);
    assert_int_equal(fs_rename(fixture.fs, c, "file", FS_ROOT_INODE, "a", RENAME_EXCHANGE), -EINVAL);
    assert_int_equal(fs_rename(fixture.fs, b, "c", FS_ROOT_INODE, "a", 0), -ENOTEMPTY);
    assert_int_equal(fs_rename(fixture.fs, c, "file", FS_ROOT_INODE, "a", 0), -EISDIR);

    /* Sideways and upwards is fine, and what was below may then go above. */
    assert_int_equal(fs_rename(fixture.fs, a, "b", other, "b", 0), 0);
    assert_int_equal(fs_fixture_parent(&fixture, b), other);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "a", c, "a", 0), 0);
    assert_int_equal(fs_fixture_parent(&fixture, a), c);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "other", a, "x", 0), -EINVAL);
    assert_int_equal(fs_fixture_attributes(&fixture, FS_ROOT_INODE).link_count, 3);
}

static void other_errors(void **state)
{
    (void)state;
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    char long_name[FS_NAME_SIZE_MAX + 2];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "file", FS_ROOT_INODE, "x", RENAME_WHITEOUT), -EINVAL);
    assert_int_equal(
        fs_rename(fixture.fs, FS_ROOT_INODE, "file", FS_ROOT_INODE, "x", RENAME_NOREPLACE | RENAME_EXCHANGE), -EINVAL);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "file", FS_ROOT_INODE, long_name, 0), -ENAMETOOLONG);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, long_name, FS_ROOT_INODE, "x", 0), -ENAMETOOLONG);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "file", FS_ROOT_INODE, "..", 0), -EINVAL);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "file", file, "x", 0), -ENOTDIR);
    assert_int_equal(fs_rename(fixture.fs, file, "x", FS_ROOT_INODE, "y", 0), -ENOTDIR);
    assert_int_equal(fs_rename(fixture.fs, FS_ROOT_INODE, "file", 4711, "x", 0), -ENOENT);
    assert_int_equal(fs_rename(fixture.fs, 4711, "file", FS_ROOT_INODE, "x", 0), -ENOENT);
}

/* Between two directories and within one, over nothing and over a file, over numbers that need a raise. */
static void whiteouts(void **state)
{
    (void)state;
    uint64_t left = fs_fixture_make(&fixture, FS_ROOT_INODE, "left", S_IFDIR | 0755);
    uint64_t right = fs_fixture_make(&fixture, FS_ROOT_INODE, "right", S_IFDIR | 0755);
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof name, "name%d", i);
        uint64_t target = i % 2 ? left : right;
        bool over = i % 3 == 0;
        uint64_t file = fs_fixture_make(&fixture, left, name, i % 5 ? S_IFREG | 0644 : S_IFDIR | 0755);
        uint64_t victim =
            over ? fs_fixture_make(&fixture, target, "target", i % 5 ? S_IFREG | 0644 : S_IFDIR | 0755) : 0;
        if (over) {
            assert_int_equal(fs_rename_leaving_whiteout(fixture.fs, &fs_fixture_user, left, name, target, "target",
                                                        RENAME_NOREPLACE),
                             -EEXIST);
        }
        assert_int_equal(fs_rename_leaving_whiteout(fixture.fs, &fs_fixture_user, left, name, target, "target", 0), 0);
        struct fs_attributes whiteout = fs_fixture_attributes(&fixture, fs_fixture_find(&fixture, left, name));
        assert_int_equal(whiteout.mode, S_IFCHR);
        assert_int_equal(whiteout.device, 0);
        assert_int_equal(whiteout.link_count, 1);
        assert_int_equal(whiteout.uid, fs_fixture_user.uid);
        assert_int_equal(fs_fixture_find(&fixture, target, "target"), file);
        assert_int_not_equal(file, victim);
        assert_int_equal(i % 5 ? fs_unlink(fixture.fs, target, "target") : fs_rmdir(fixture.fs, target, "target"), 0);
        if (i % 100 == 0) {
            fs_fixture_reopen(&fixture);
        }
    }
    assert_int_equal(fs_fixture_attributes(&fixture, left).size, 300);
    assert_int_equal(fs_fixture_attributes(&fixture, left).link_count, 2);
    assert_int_equal(fs_fixture_attributes(&fixture, right).size, 0);
    assert_int_equal(
        fs_rename_leaving_whiteout(fixture.fs, &fs_fixture_user, left, "name0", right, "x", RENAME_EXCHANGE), -EINVAL);
    assert_int_equal(fs_rename_leaving_whiteout(fixture.fs, &fs_fixture_user, left, "none", right, "x", 0), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_over_every_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(two_names_of_one_inode, setup, teardown),
        cmocka_unit_test_setup_teardown(not_below_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(other_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(whiteouts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
