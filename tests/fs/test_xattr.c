/* Extended attributes against a model: setting, replacing, removing, reading, listing, over remounts and power cuts;
 * and what each call answers at its limits. */
#include "base/checksum.h"
#include "base/random.h"
#include "names.h"
#include "support/fs_fixture.h"
#include "support/test_seed.h"
#include "xattr.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define INODES      5U
#define NAMES       9U
#define STEPS       700U
#define STEPS_LONG  20000U
#define HISTORY_MAX 64U

static const struct fs_caller root_caller = {.uid = 0};
/* The smallest pool: values of every size fit it. */
static const struct fs_options options = {.cache_size = 1, .has_acls = true};
static const uint32_t page_sizes[] = {4096, 16384, 65536};

static struct fs_fixture fixture;

/* In bytewise order, so as a list has them. */
static char names[NAMES][FS_XATTR_NAME_SIZE_MAX + 1] = {"security.label", "trusted.t", "user.",   "user.a", "user.a\1",
                                                        "user.a\1\1",     "user.a\2",  "user.ab", "user.b"};

struct value {
    bool is_there;
    uint32_t size;
    uint64_t seed;
};

struct model {
    uint64_t inodes[INODES];
    struct value values[INODES][NAMES];
};

static void fill(uint8_t *bytes, uint32_t size, uint64_t seed)
{
    struct base_random random;
    base_random_seed(&random, seed);
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)base_random_next(&random);
}

static uint64_t combine(uint64_t digest, const char *name, const void *value, size_t size)
{
    digest = base_checksum(name, strlen(name) + 1, digest);
    return base_checksum(value, size, digest + size);
}

static uint64_t digest_model(const struct model *model)
{
    static uint8_t bytes[FS_XATTR_VALUE_SIZE_MAX];
    uint64_t digest = 0;
    for (unsigned i = 0; i < INODES; i++) {
        for (unsigned k = 0; k < NAMES; k++) {
            const struct value *value = &model->values[i][k];
            if (value->is_there) {
                fill(bytes, value->size, value->seed);
                digest = combine(digest + i, names[k], bytes, value->size);
            }
        }
    }
    return digest;
}

/* What is there, in the same form. */
static uint64_t digest_filesystem(const struct model *model)
{
    static uint8_t bytes[FS_XATTR_VALUE_SIZE_MAX];
    static char list[FS_XATTR_LIST_SIZE_MAX];
    uint64_t digest = 0;
    for (unsigned i = 0; i < INODES; i++) {
        uint64_t inode = model->inodes[i];
        int64_t list_size = fs_list_xattrs(fixture.fs, &root_caller, inode, NULL, 0);
        assert_true(list_size >= 0);
        assert_int_equal(fs_list_xattrs(fixture.fs, &root_caller, inode, list, sizeof list), list_size);
        for (const char *name = list; name < list + list_size; name += strlen(name) + 1) {
            int64_t size = fs_get_xattr(fixture.fs, inode, name, NULL, 0);
            assert_true(size >= 0);
            assert_int_equal(fs_get_xattr(fixture.fs, inode, name, bytes, sizeof bytes), size);
            digest = combine(digest + i, name, bytes, (size_t)size);
        }
    }
    return digest;
}

static uint32_t pick_size(struct base_random *random)
{
    uint32_t piece = fs_xattr_piece_size(fixture.fs);
    switch (base_random_below(random, 6)) {
    case 0:
        return (uint32_t)base_random_below(random, 3);
    case 1:
    case 2:
        return (uint32_t)base_random_below(random, 100);
    case 3: {
        uint64_t size = piece * (1 + base_random_below(random, 3)) + base_random_below(random, 3) - 1;
        return size < FS_XATTR_VALUE_SIZE_MAX ? (uint32_t)size : FS_XATTR_VALUE_SIZE_MAX;
    }
    case 4:
        return (uint32_t)base_random_below(random, 5000);
    default:
        return FS_XATTR_VALUE_SIZE_MAX - (uint32_t)(base_random_below(random, 2) * base_random_below(random, 60000));
    }
}

static void step_set(struct model *model, unsigned i, unsigned k, struct base_random *random)
{
    static uint8_t bytes[FS_XATTR_VALUE_SIZE_MAX];
    struct value *value = &model->values[i][k];
    struct value wanted = {true, pick_size(random), base_random_next(random)};
    unsigned flags = (unsigned)base_random_below(random, 4);
    int expected = (flags & FS_XATTR_CREATE) && value->is_there     ? -EEXIST
                   : (flags & FS_XATTR_REPLACE) && !value->is_there ? -ENODATA
                                                                    : 0;
    fill(bytes, wanted.size, wanted.seed);
    assert_int_equal(fs_set_xattr(fixture.fs, model->inodes[i], names[k], bytes, wanted.size, flags), expected);
    if (expected == 0)
        *value = wanted;
}

static void step_get(const struct model *model, unsigned i, unsigned k)
{
    static uint8_t bytes[FS_XATTR_VALUE_SIZE_MAX], expected[FS_XATTR_VALUE_SIZE_MAX];
    const struct value *value = &model->values[i][k];
    int64_t size = fs_get_xattr(fixture.fs, model->inodes[i], names[k], bytes, sizeof bytes);
    if (!value->is_there) {
        assert_int_equal(size, -ENODATA);
        return;
    }
    assert_int_equal(size, value->size);
    fill(expected, value->size, value->seed);
    assert_memory_equal(bytes, expected, value->size);
    if (value->size > 1)
        assert_int_equal(fs_get_xattr(fixture.fs, model->inodes[i], names[k], bytes, value->size - 1), -ERANGE);
}

static void step(struct model *model, struct base_random *random)
{
    unsigned i = (unsigned)base_random_below(random, INODES), k = (unsigned)base_random_below(random, NAMES);
    switch (base_random_below(random, 4)) {
    case 0:
        assert_int_equal(fs_remove_xattr(fixture.fs, model->inodes[i], names[k]),
                         model->values[i][k].is_there ? 0 : -ENODATA);
        model->values[i][k].is_there = false;
        break;
    case 1:
        step_get(model, i, k);
        break;
    default:
        step_set(model, i, k, random);
        break;
    }
}

/* The kernel knows some of them, so they stay in use from one step to the next. */
static void hold(void)
{
    assert_true(fs_fixture_lookup(&fixture, FS_ROOT_INODE, "n0") != 0);
    assert_true(fs_fixture_lookup(&fixture, FS_ROOT_INODE, "n2") != 0);
}

static void begin(struct model *model, uint32_t page_size)
{
    static const uint32_t modes[INODES] = {S_IFREG | 0644, S_IFREG | 0600, S_IFDIR | 0755, S_IFIFO | 0644,
                                           S_IFSOCK | 0644};
    *model = (struct model){.inodes = {0}};
    memset(names[2] + 5, '\1', FS_XATTR_NAME_SIZE_MAX - 5);
    fs_fixture_init_with(&fixture, NULL, page_size, &options);
    for (unsigned i = 0; i < INODES; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%u", i);
        model->inodes[i] = fs_fixture_make(&fixture, FS_ROOT_INODE, name, modes[i]);
    }
    hold();
    assert_int_equal(fs_sync(fixture.fs), 0);
}

static void test_model(void **state)
{
    struct base_random random;
    struct model model;
    (void)state;
    base_random_seed(&random, test_seed("test_xattr model", 31));
    for (unsigned p = 0; p < sizeof page_sizes / sizeof page_sizes[0]; p++) {
        begin(&model, page_sizes[p]);
        for (unsigned n = 0; n < (test_is_long() ? STEPS_LONG : STEPS); n++) {
            step(&model, &random);
            if (n % 100 == 99) {
                assert_int_equal(digest_filesystem(&model), digest_model(&model));
                fs_fixture_check(&fixture);
            }
            if (n % 250 == 249) {
                fs_fixture_reopen(&fixture);
                hold();
            }
        }
        fs_fixture_deinit(&fixture);
    }
}

/* After a power cut the filesystem is in one of the states since the last sync. */
static void test_power_cuts(void **state)
{
    struct base_random random;
    struct model models[HISTORY_MAX];
    (void)state;
    base_random_seed(&random, test_seed("test_xattr power", 32));
    begin(&models[0], 4096);
    for (unsigned round = 0; round < (test_is_long() ? 400U : 25U); round++) {
        unsigned count = 1, found = HISTORY_MAX;
        for (unsigned steps = (unsigned)base_random_below(&random, HISTORY_MAX); steps > 1; steps--) {
            models[count] = models[count - 1];
            step(&models[count++], &random);
            if (base_random_below(&random, 15) == 0) {
                assert_int_equal(fs_sync(fixture.fs), 0);
                models[0] = models[count - 1];
                count = 1;
            }
        }
        fs_fixture_crash(&fixture, &random);
        hold();
        uint64_t digest = digest_filesystem(&models[0]);
        for (unsigned i = 0; i < count && found == HISTORY_MAX; i++)
            found = digest_model(&models[i]) == digest ? i : HISTORY_MAX;
        if (found == HISTORY_MAX)
            fail_msg("round %u: none of the %u states since the last sync", round, count);
        models[0] = models[found];
        fs_fixture_check(&fixture);
    }
    fs_fixture_deinit(&fixture);
}

/* --- Answers ------------------------------------------------------------------------------------------------------ */

static int set(uint64_t inode, const char *name, const void *value, size_t size, unsigned flags)
{
    return fs_set_xattr(fixture.fs, inode, name, value, size, flags);
}

static void test_answers(void **state)
{
    static uint8_t large[FS_XATTR_VALUE_SIZE_MAX + 1];
    uint8_t buffer[16];
    char longer[FS_XATTR_NAME_SIZE_MAX + 2];
    (void)state;
    fs_fixture_init_with(&fixture, NULL, 0, &options);
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    assert_int_equal(set(file, "none.a", "x", 1, 0), -EOPNOTSUPP);
    assert_int_equal(set(file, "system.a", "x", 1, 0), -EOPNOTSUPP);
    assert_int_equal(set(file, "user", "x", 1, 0), -EOPNOTSUPP);
    assert_int_equal(set(file, "", "x", 1, 0), -EOPNOTSUPP);
    assert_int_equal(set(file, "user.", "x", 1, 0), -EINVAL);
    assert_int_equal(set(4711, "user.a", "x", 1, 0), -ENOENT);
    assert_int_equal(set(file, "user.a", large, sizeof large, 0), -E2BIG);
    memset(longer, 'u', sizeof longer);
    longer[FS_XATTR_NAME_SIZE_MAX + 1] = '\0';
    memcpy(longer, "user.", 5);
    assert_int_equal(set(file, longer, "x", 1, 0), -ERANGE);
    longer[FS_XATTR_NAME_SIZE_MAX] = '\0';
    assert_int_equal(set(file, longer, "x", 1, 0), 0);
    assert_int_equal(set(file, "user.empty", NULL, 0, 0), 0);
    assert_int_equal(fs_get_xattr(fixture.fs, file, "user.empty", buffer, sizeof buffer), 0);
    assert_int_equal(fs_get_xattr(fixture.fs, file, "user.none", buffer, sizeof buffer), -ENODATA);
    assert_int_equal(fs_get_xattr(fixture.fs, FS_ROOT_INODE, "user.none", buffer, sizeof buffer), -ENODATA);
    assert_int_equal(fs_get_xattr(fixture.fs, 4711, "user.none", buffer, sizeof buffer), -ENOENT);
    assert_int_equal(fs_get_xattr(fixture.fs, file, "other.none", buffer, sizeof buffer), -EOPNOTSUPP);
    assert_int_equal(fs_remove_xattr(fixture.fs, file, "user.none"), -ENODATA);
    assert_int_equal(fs_list_xattrs(fixture.fs, &root_caller, 4711, NULL, 0), -ENOENT);
    assert_int_equal(fs_list_xattrs(fixture.fs, &root_caller, file, (char *)buffer, sizeof buffer), -ERANGE);
    assert_int_equal(fs_list_xattrs(fixture.fs, &root_caller, FS_ROOT_INODE, (char *)buffer, sizeof buffer), 0);
    fs_fixture_deinit(&fixture);
}

/* trusted. is for root; the change time changes, and nothing else. */
static void test_listing_and_times(void **state)
{
    char list[64];
    (void)state;
    fs_fixture_init_with(&fixture, NULL, 0, &options);
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    struct fs_attributes before = fs_fixture_attributes(&fixture, file);
    assert_int_equal(set(file, "trusted.t", "x", 1, 0), 0);
    struct fs_attributes after = fs_fixture_attributes(&fixture, file);
    assert_false(fs_fixture_time_is_equal(before.change_time, after.change_time));
    after.change_time = before.change_time;
    fs_fixture_assert_equal(&before, &after);
    assert_int_equal(set(file, "user.u", "x", 1, 0), 0);
    assert_int_equal(fs_list_xattrs(fixture.fs, &root_caller, file, list, sizeof list), 17);
    assert_memory_equal(list, "trusted.t\0user.u", 17);
    assert_int_equal(fs_list_xattrs(fixture.fs, &fs_fixture_user, file, list, sizeof list), 7);
    assert_memory_equal(list, "user.u", 7);
    before = fs_fixture_attributes(&fixture, file);
    assert_int_equal(fs_remove_xattr(fixture.fs, file, "user.u"), 0);
    after = fs_fixture_attributes(&fixture, file);
    assert_false(fs_fixture_time_is_equal(before.change_time, after.change_time));
    assert_int_equal(fs_set_flags(fixture.fs, file, FS_FLAG_APPEND), 0);
    assert_int_equal(set(file, "user.u", "x", 1, 0), -EPERM);
    assert_int_equal(fs_remove_xattr(fixture.fs, file, "trusted.t"), -EPERM);
    fs_fixture_deinit(&fixture);
}

/* As many names as a list can hold, in two ways; then they go with their inode, in many steps. */
static void fill_list(uint64_t file, size_t name_size)
{
    char name[FS_XATTR_NAME_SIZE_MAX + 1];
    unsigned count = FS_XATTR_LIST_SIZE_MAX / (unsigned)(name_size + 1);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "user.%0*u", (int)name_size - 5, i);
        assert_int_equal(set(file, name, "value", 5, 0), 0);
    }
    assert_int_equal(set(file, "user.one-more-name", "", 0, 0), -ENOSPC);
    assert_int_equal(set(file, name, "other", 5, 0), 0);
    assert_int_equal(fs_list_xattrs(fixture.fs, &root_caller, file, NULL, 0), count * (name_size + 1));
}

static void test_many_names(void **state)
{
    (void)state;
    fs_fixture_init_with(&fixture, NULL, 4096, &options);
    uint64_t few = fs_fixture_make(&fixture, FS_ROOT_INODE, "few", S_IFREG | 0644);
    uint64_t many = fs_fixture_make(&fixture, FS_ROOT_INODE, "many", S_IFDIR | 0755);
    fill_list(few, FS_XATTR_NAME_SIZE_MAX);
    fill_list(many, 15);
    fs_fixture_check(&fixture);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "few"), 0);
    assert_int_equal(fs_rmdir(fixture.fs, FS_ROOT_INODE, "many"), 0);
    fs_fixture_check(&fixture);
    struct fs_check_report report = {.data = true};
    assert_int_equal(fs_check(fixture.fs, &report), 0);
    assert_int_equal(report.orphans, 0);
    assert_int_equal(report.inodes, 1);
    fs_fixture_deinit(&fixture);
}

/* Power cuts while an inode with many rows goes: what is left is still an orphan, and goes at the next mount. */
static void test_removal_cut(void **state)
{
    static uint8_t value[FS_XATTR_VALUE_SIZE_MAX];
    struct base_random random;
    (void)state;
    base_random_seed(&random, test_seed("test_xattr removal", 33));
    for (unsigned round = 0; round < 6; round++) {
        fs_fixture_init_with(&fixture, NULL, 4096, &options);
        uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
        for (unsigned k = 0; k < 4; k++) {
            char name[16];
            snprintf(name, sizeof name, "user.%u", k);
            assert_int_equal(set(file, name, value, sizeof value, 0), 0);
        }
        assert_int_equal(fs_sync(fixture.fs), 0);
        assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
        if (round % 2 == 1)
            fault_file_cut_power(fixture.fault, 1 + base_random_below(&random, 6));
        (void)fs_sync(fixture.fs);
        fs_fixture_crash(&fixture, &random);
        fs_fixture_check(&fixture);
        fs_fixture_deinit(&fixture);
    }
}

/* A transaction that may take less than the worst case gives up in time, with nothing changed. */
static void test_too_few_pages(void **state)
{
    static uint8_t value[FS_XATTR_VALUE_SIZE_MAX], found[FS_XATTR_VALUE_SIZE_MAX];
    (void)state;
    fs_fixture_init_with(&fixture, NULL, 4096, &options);
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    uint32_t rows = fs_xattr_rows(fixture.fs, sizeof value);
    fill(value, sizeof value, 7);
    assert_int_equal(set(file, "user.a", value, sizeof value, 0), 0);
    for (uint32_t pages = btree_pages_per_change(fixture.fs->tree); pages < pool_reserve_max(fixture.fs->pool);
         pages += 3) {
        struct txn *txn;
        assert_int_equal(fs_row_changes_begin(fixture.fs, 0, pages, false, &txn), 0);
        int error = pages % 2 == 0 ? fs_xattr_write(fixture.fs, txn, file, "user.a", found, sizeof found, rows)
                                   : fs_xattr_delete(fixture.fs, txn, file, "user.a", rows);
        assert_true(error == 0 || error == -EAGAIN);
        assert_true(error == -EAGAIN || pages > 20);
        assert_true(error == 0 || pages < 4 * btree_pages_per_change(fixture.fs->tree) + rows);
        txn_abort(txn);
        assert_int_equal(fs_get_xattr(fixture.fs, file, "user.a", found, sizeof found), sizeof found);
        assert_memory_equal(found, value, sizeof value);
        memset(found, 'x', sizeof found);
    }
    fs_fixture_check(&fixture);
    fs_fixture_deinit(&fixture);
}

/* Reading and changing the attributes of what is unlinked, but in use. */
static void test_unlinked(void **state)
{
    uint8_t buffer[16];
    (void)state;
    fs_fixture_init_with(&fixture, NULL, 0, &options);
    fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    uint64_t file = fs_fixture_lookup(&fixture, FS_ROOT_INODE, "file");
    assert_int_equal(set(file, "user.a", "before", 6, 0), 0);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
    assert_int_equal(fs_get_xattr(fixture.fs, file, "user.a", buffer, sizeof buffer), 6);
    assert_int_equal(set(file, "user.b", "after", 5, 0), 0);
    assert_int_equal(fs_get_xattr(fixture.fs, file, "user.b", buffer, sizeof buffer), 5);
    fs_fixture_check(&fixture);
    fs_forget(fixture.fs, file, 1);
    assert_int_equal(fs_get_xattr(fixture.fs, file, "user.b", buffer, sizeof buffer), -ENOENT);
    fs_fixture_deinit(&fixture);
}

/* Where the host has no more room nothing changes but what frees. */
static void test_full(void **state)
{
    static uint8_t value[FS_XATTR_VALUE_SIZE_MAX], found[FS_XATTR_VALUE_SIZE_MAX];
    char name[16];
    unsigned count = 0;
    int error = 0;
    (void)state;
    fs_fixture_init_with(&fixture, NULL, 4096, &options);
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    fill(value, sizeof value, 5);
    fs_fixture_set_host_size(&fixture, 24U << 20);
    for (; count < 1000 && error == 0; count += error == 0) {
        snprintf(name, sizeof name, "user.%u", count);
        error = set(file, name, value, sizeof value, 0);
    }
    assert_int_equal(error, -ENOSPC);
    assert_true(count > 10);
    assert_int_equal(fs_get_xattr(fixture.fs, file, name, found, sizeof found), -ENODATA);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "user.%u", i);
        assert_int_equal(fs_get_xattr(fixture.fs, file, name, found, sizeof found), sizeof value);
        assert_memory_equal(found, value, sizeof value);
    }
    fs_fixture_check(&fixture);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "user.%u", i);
        assert_int_equal(fs_remove_xattr(fixture.fs, file, name), 0);
    }
    assert_int_equal(set(file, "user.a", value, sizeof value, 0), 0);
    fs_fixture_deinit(&fixture);
}

/* --- Threads ------------------------------------------------------------------------------------------------------ */

enum { THREADS = 4, SHARED = 3, THREAD_STEPS = 400 };

struct worker {
    pthread_t thread;
    struct base_random random;
    const uint64_t *inodes;
    uint64_t faults;
};

/* A value is its size's low byte over and over: one that two changes have part in would show. */
static bool is_whole(const uint8_t *bytes, int64_t size)
{
    for (int64_t i = 0; i < size; i++) {
        if (bytes[i] != (uint8_t)size)
            return false;
    }
    return true;
}

static void *work(void *context)
{
    struct worker *worker = context;
    uint8_t *bytes = malloc(FS_XATTR_VALUE_SIZE_MAX);
    if (!bytes)
        return NULL;
    for (unsigned n = 0; n < THREAD_STEPS; n++) {
        uint64_t inode = worker->inodes[base_random_below(&worker->random, SHARED)];
        const char *name = base_random_below(&worker->random, 2) == 0 ? "user.a" : "user.b";
        size_t size = base_random_below(&worker->random, 20000);
        int64_t got = 0;
        switch (base_random_below(&worker->random, 5)) {
        case 0:
            got = fs_remove_xattr(fixture.fs, inode, name);
            break;
        case 1:
            memset(bytes, (int)(size & 0xFF), size);
            got = fs_set_xattr(fixture.fs, inode, name, bytes, size, 0);
            break;
        case 2:
            got = fs_list_xattrs(fixture.fs, &root_caller, inode, (char *)bytes, FS_XATTR_LIST_SIZE_MAX);
            worker->faults += got % 7 != 0 || got > 14;
            break;
        default:
            got = fs_get_xattr(fixture.fs, inode, name, bytes, FS_XATTR_VALUE_SIZE_MAX);
            worker->faults += !is_whole(bytes, got);
            break;
        }
        worker->faults += got < 0 && got != -ENODATA;
    }
    free(bytes);
    return NULL;
}

static void test_threads(void **state)
{
    uint64_t inodes[SHARED], seed = test_seed("test_xattr threads", 34);
    struct worker workers[THREADS];
    (void)state;
    fs_fixture_init_with(&fixture, NULL, 4096, &options);
    for (unsigned i = 0; i < SHARED; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%u", i);
        inodes[i] = fs_fixture_make(&fixture, FS_ROOT_INODE, name, S_IFREG | 0644);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.inodes = inodes};
        base_random_seed(&workers[i].random, seed + i);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].faults, 0);
    }
    fs_fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),      cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_answers),    cmocka_unit_test(test_listing_and_times),
        cmocka_unit_test(test_many_names), cmocka_unit_test(test_removal_cut),
        cmocka_unit_test(test_unlinked),   cmocka_unit_test(test_full),
        cmocka_unit_test(test_threads),    cmocka_unit_test(test_too_few_pages),
    };
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
