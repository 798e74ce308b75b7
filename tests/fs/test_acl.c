/* POSIX ACLs: what is accepted, how mode and access ACL keep step, what new inodes inherit. */
#include "base/bytes.h"
#include "base/random.h"
#include "support/fs_fixture.h"
#include "support/test_seed.h"
#include "xattr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { OWNER = 1, USER = 2, OWNING_GROUP = 4, GROUP = 8, MASK = 16, OTHERS = 32 };

#define NO_ID        UINT32_MAX
#define ACCESS_NAME  FS_XATTR_ACCESS_ACL_NAME
#define DEFAULT_NAME FS_XATTR_DEFAULT_ACL_NAME

struct acl {
    uint8_t bytes[FS_ACL_SIZE_MAX + 64];
    size_t size;
};

static const struct fs_options options = {.cache_size = 16U << 20, .has_acls = true};
static struct fs_fixture fixture;

static void acl_begin(struct acl *acl)
{
    base_put_le32(acl->bytes, 2);
    acl->size = 4;
}

static void acl_add(struct acl *acl, unsigned tag, unsigned permissions, uint32_t id)
{
    base_put_le16(acl->bytes + acl->size, (uint16_t)tag);
    base_put_le16(acl->bytes + acl->size + 2, (uint16_t)permissions);
    base_put_le32(acl->bytes + acl->size + 4, id);
    acl->size += 8;
}

/* Owner, perhaps a user, group, perhaps a mask, others. user, mask: -1 for none. */
static struct acl make_acl(int owner, int user, int group, int mask, int others)
{
    struct acl acl;
    acl_begin(&acl);
    acl_add(&acl, OWNER, (unsigned)owner, NO_ID);
    if (user >= 0)
        acl_add(&acl, USER, (unsigned)user, 1000);
    acl_add(&acl, OWNING_GROUP, (unsigned)group, NO_ID);
    if (mask >= 0)
        acl_add(&acl, MASK, (unsigned)mask, NO_ID);
    acl_add(&acl, OTHERS, (unsigned)others, NO_ID);
    return acl;
}

static int set(uint64_t inode, const char *name, const struct acl *acl, unsigned flags)
{
    return fs_set_xattr(fixture.fs, inode, name, acl->bytes, acl->size, flags);
}

/* acl NULL: there is none. */
static void expect_acl(uint64_t inode, const char *name, const struct acl *acl)
{
    uint8_t bytes[FS_ACL_SIZE_MAX];
    int64_t size = fs_get_xattr(fixture.fs, inode, name, bytes, sizeof bytes);
    if (!acl) {
        assert_int_equal(size, -ENODATA);
        return;
    }
    assert_int_equal(size, acl->size);
    assert_memory_equal(bytes, acl->bytes, acl->size);
}

static uint32_t permissions_of(uint64_t inode)
{
    return fs_fixture_attributes(&fixture, inode).mode & 07777;
}

static void change_mode(uint64_t inode, uint32_t mode)
{
    struct fs_changes changes = {.set = FS_SET_MODE, .mode = mode};
    struct fs_attributes attributes;
    assert_int_equal(fs_set_attributes(fixture.fs, &fs_fixture_user, inode, &changes, &attributes), 0);
    assert_int_equal(attributes.mode & 07777, mode);
}

static int setup(void **state)
{
    (void)state;
    fs_fixture_init_with(&fixture, NULL, 4096, &options);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fs_fixture_deinit(&fixture);
    return 0;
}

/* --- What is accepted --------------------------------------------------------------------------------------------- */

static void refuse(uint64_t file, const struct acl *acl)
{
    assert_int_equal(set(file, ACCESS_NAME, acl, 0), -EINVAL);
    expect_acl(file, ACCESS_NAME, NULL);
    assert_int_equal(permissions_of(file), 0640);
}

static void malformed(void **state)
{
    (void)state;
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0640);
    static const unsigned orders[][6] = {
        {OWNER, OWNING_GROUP},
        {OWNER, OTHERS},
        {OWNING_GROUP, OTHERS},
        {OWNING_GROUP, OWNER, OTHERS},
        {OWNER, OWNER, OWNING_GROUP, OTHERS},
        {OWNER, OWNING_GROUP, OTHERS, OTHERS},
        {OWNER, USER, OWNING_GROUP, OTHERS},        /* no mask */
        {OWNER, OWNING_GROUP, GROUP, OTHERS},       /* no mask */
        {OWNER, OWNING_GROUP, USER, MASK, OTHERS},  /* order */
        {OWNER, GROUP, OWNING_GROUP, MASK, OTHERS}, /* order */
        {OWNER, OWNING_GROUP, MASK, MASK, OTHERS},
        {OWNER, OWNING_GROUP, OTHERS, MASK},
        {OWNER, OWNING_GROUP, 64, OTHERS},
        {OWNER, OWNING_GROUP, 3, OTHERS},
    };
    struct acl acl, good = make_acl(6, 4, 4, 4, 0);
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        acl_begin(&acl);
        for (unsigned k = 0; k < 6 && orders[i][k] != 0; k++)
            acl_add(&acl, orders[i][k], 4, 7);
        refuse(file, &acl);
    }
    acl = good;
    acl.bytes[0] = 1; /* version */
    refuse(file, &acl);
    acl = good;
    acl.bytes[6] = 8; /* permissions */
    refuse(file, &acl);
    acl = good;
    base_put_le32(acl.bytes + 16, NO_ID); /* of the user */
    refuse(file, &acl);
    for (size_t size = 1; size < good.size; size++) {
        acl = good;
        acl.size = size;
        if (size != 4) /* no entries: none is meant */
            refuse(file, &acl);
    }
    assert_int_equal(set(file, DEFAULT_NAME, &good, 0), -EACCES);
    uint64_t link = fs_fixture_make_symlink(&fixture, FS_ROOT_INODE, "link", "file");
    assert_int_equal(set(link, ACCESS_NAME, &good, 0), -EOPNOTSUPP);
}

/* As large as the kernel takes, in several rows. */
static void large(void **state)
{
    (void)state;
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0640);
    struct acl acl;
    acl_begin(&acl);
    acl_add(&acl, OWNER, 6, NO_ID);
    while (acl.size + 4 * 8 <= FS_ACL_SIZE_MAX)
        acl_add(&acl, USER, 4, (uint32_t)acl.size);
    acl_add(&acl, OWNING_GROUP, 4, NO_ID);
    acl_add(&acl, MASK, 6, NO_ID);
    acl_add(&acl, OTHERS, 0, NO_ID);
    assert_int_equal(set(file, ACCESS_NAME, &acl, 0), 0);
    expect_acl(file, ACCESS_NAME, &acl);
    change_mode(file, 0755);
    acl.bytes[6] = 7;
    acl.bytes[acl.size - 14] = 5;
    acl.bytes[acl.size - 6] = 5;
    expect_acl(file, ACCESS_NAME, &acl);
    fs_fixture_check(&fixture);
    acl_add(&acl, OTHERS, 0, NO_ID);
    acl_add(&acl, OTHERS, 0, NO_ID);
    assert_int_equal(set(file, ACCESS_NAME, &acl, 0), -E2BIG);
}

static void off(void **state)
{
    (void)state;
    struct fs_fixture *here = &fixture;
    uint64_t directory = fs_fixture_make(here, FS_ROOT_INODE, "d", S_IFDIR | 0755);
    struct acl acl = make_acl(7, 7, 5, 7, 0);
    char list[64];
    assert_int_equal(set(directory, ACCESS_NAME, &acl, 0), 0);
    assert_int_equal(set(directory, DEFAULT_NAME, &acl, 0), 0);
    here->options.has_acls = false;
    fs_fixture_reopen(here);
    assert_int_equal(set(directory, ACCESS_NAME, &acl, 0), -EOPNOTSUPP);
    assert_int_equal(fs_get_xattr(here->fs, directory, ACCESS_NAME, list, sizeof list), -EOPNOTSUPP);
    assert_int_equal(fs_remove_xattr(here->fs, directory, DEFAULT_NAME), -EOPNOTSUPP);
    assert_int_equal(fs_list_xattrs(here->fs, &fs_fixture_user, directory, list, sizeof list), 0);
    uint64_t file = fs_fixture_make(here, directory, "file", S_IFREG | 0644);
    here->options.has_acls = true;
    fs_fixture_reopen(here);
    expect_acl(directory, ACCESS_NAME, &acl);
    expect_acl(file, ACCESS_NAME, NULL);
    assert_int_equal(fs_list_xattrs(here->fs, &fs_fixture_user, directory, list, sizeof list),
                     sizeof ACCESS_NAME + sizeof DEFAULT_NAME);
}

/* --- Mode and access ACL ------------------------------------------------------------------------------------------ */

static void mode_follows(void **state)
{
    (void)state;
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 06755);
    struct acl acl = make_acl(6, 7, 5, 4, 1), minimal = make_acl(7, -1, 5, -1, 4), masked = make_acl(7, -1, 5, 1, 4);
    assert_int_equal(set(file, ACCESS_NAME, &acl, 0), 0);
    expect_acl(file, ACCESS_NAME, &acl);
    assert_int_equal(permissions_of(file), 06641); /* the group's are the mask */
    assert_int_equal(set(file, ACCESS_NAME, &acl, FS_XATTR_CLEAR_SET_GID), 0);
    assert_int_equal(permissions_of(file), 04641);
    /* No more than the mode: not kept. */
    assert_int_equal(set(file, ACCESS_NAME, &minimal, 0), 0);
    expect_acl(file, ACCESS_NAME, NULL);
    assert_int_equal(permissions_of(file), 04754);
    assert_int_equal(set(file, ACCESS_NAME, &masked, 0), 0);
    expect_acl(file, ACCESS_NAME, &masked);
    assert_int_equal(permissions_of(file), 04714);
    /* Removing keeps the mode. */
    assert_int_equal(fs_remove_xattr(fixture.fs, file, ACCESS_NAME), 0);
    expect_acl(file, ACCESS_NAME, NULL);
    assert_int_equal(permissions_of(file), 04714);
    assert_int_equal(fs_remove_xattr(fixture.fs, file, ACCESS_NAME), 0); /* there is none: as good */
    assert_int_equal(set(file, ACCESS_NAME, &acl, 0), 0);
    assert_int_equal(fs_set_xattr(fixture.fs, file, ACCESS_NAME, NULL, 0, 0), 0);
    expect_acl(file, ACCESS_NAME, NULL);
    assert_int_equal(set(file, ACCESS_NAME, &acl, 0), 0);
    acl_begin(&acl); /* no entries */
    assert_int_equal(set(file, ACCESS_NAME, &acl, 0), 0);
    expect_acl(file, ACCESS_NAME, NULL);
}

static void acl_follows(void **state)
{
    (void)state;
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    struct acl acl = make_acl(6, 7, 5, 4, 1), changed = make_acl(7, 7, 5, 2, 3);
    assert_int_equal(set(file, ACCESS_NAME, &acl, 0), 0);
    change_mode(file, 01723);
    expect_acl(file, ACCESS_NAME, &changed);
    /* With a size in one call too. */
    struct fs_changes both = {.set = FS_SET_MODE | FS_SET_SIZE, .mode = 0641, .size = 70000};
    struct fs_attributes attributes;
    assert_int_equal(fs_set_attributes(fixture.fs, &fs_fixture_user, file, &both, &attributes), 0);
    expect_acl(file, ACCESS_NAME, &acl);
    /* Power lost: both halves of a chmod are there, or neither. */
    struct base_random random;
    base_random_seed(&random, test_seed("test_acl", 41));
    for (unsigned round = 0; round < 10; round++) {
        change_mode(file, 0641);
        assert_int_equal(fs_sync(fixture.fs), 0);
        change_mode(file, 0723);
        fs_fixture_crash(&fixture, &random);
        expect_acl(file, ACCESS_NAME, permissions_of(file) == 0641 ? &acl : &changed);
    }
}

/* --- Inheritance -------------------------------------------------------------------------------------------------- */

static uint64_t make(uint64_t parent, const char *name, uint32_t mode, uint32_t umask)
{
    struct fs_make what = {.mode = mode, .umask = umask, .target = S_ISLNK(mode) ? "target" : NULL};
    struct fs_entry entry;
    assert_int_equal(fs_make(fixture.fs, &fs_fixture_user, parent, name, &what, &entry), 0);
    fs_forget(fixture.fs, entry.attributes.inode, 1);
    assert_int_equal(entry.attributes.mode, fs_fixture_attributes(&fixture, entry.attributes.inode).mode);
    return entry.attributes.inode;
}

static void umask_or_default(void **state)
{
    (void)state;
    uint64_t directory = make(FS_ROOT_INODE, "d", S_IFDIR | 0777, 0022);
    struct acl acl = make_acl(7, 6, 5, 7, 1), of_file = make_acl(6, 6, 5, 4, 0), of_directory = make_acl(7, 6, 5, 7, 1);
    assert_int_equal(permissions_of(directory), 0755);
    assert_int_equal(permissions_of(make(directory, "plain", S_IFREG | 06777, 0137)), 06640);
    assert_int_equal(set(directory, DEFAULT_NAME, &acl, 0), 0);
    assert_int_equal(permissions_of(directory), 0755);
    uint64_t file = make(directory, "file", S_IFREG | 0646, 0777);
    assert_int_equal(permissions_of(file), 0640);
    expect_acl(file, ACCESS_NAME, &of_file);
    expect_acl(file, DEFAULT_NAME, NULL);
    uint64_t fifo = make(directory, "fifo", S_IFIFO | 0646, 0777);
    expect_acl(fifo, ACCESS_NAME, &of_file);
    uint64_t below = make(directory, "below", S_IFDIR | 01777, 0777);
    assert_int_equal(permissions_of(below), 01771);
    expect_acl(below, ACCESS_NAME, &of_directory);
    expect_acl(below, DEFAULT_NAME, &acl);
    uint64_t link = make(directory, "link", S_IFLNK | 0777, 0777);
    assert_int_equal(permissions_of(link), 0777);
    assert_int_equal(fs_list_xattrs(fixture.fs, &fs_fixture_user, link, NULL, 0), 0);
    fs_fixture_reopen(&fixture);
    expect_acl(file, ACCESS_NAME, &of_file);
    expect_acl(below, DEFAULT_NAME, &acl);
    assert_int_equal(fs_remove_xattr(fixture.fs, directory, DEFAULT_NAME), 0);
    assert_int_equal(permissions_of(make(directory, "again", S_IFREG | 0666, 0027)), 0640);
}

/* A default ACL without users, groups and mask leaves no access ACL. */
static void minimal_default(void **state)
{
    (void)state;
    uint64_t directory = make(FS_ROOT_INODE, "d", S_IFDIR | 0777, 0);
    struct acl acl = make_acl(6, -1, 3, -1, 5);
    assert_int_equal(set(directory, DEFAULT_NAME, &acl, 0), 0);
    uint64_t file = make(directory, "file", S_IFREG | 0754, 0777);
    assert_int_equal(permissions_of(file), 0614);
    expect_acl(file, ACCESS_NAME, NULL);
    uint64_t below = make(directory, "below", S_IFDIR | 02777, 0);
    assert_int_equal(permissions_of(below), 02635);
    expect_acl(below, ACCESS_NAME, NULL);
    expect_acl(below, DEFAULT_NAME, &acl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(large, setup, teardown),
        cmocka_unit_test_setup_teardown(off, setup, teardown),
        cmocka_unit_test_setup_teardown(mode_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(acl_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(umask_or_default, setup, teardown),
        cmocka_unit_test_setup_teardown(minimal_default, setup, teardown),
    };
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
