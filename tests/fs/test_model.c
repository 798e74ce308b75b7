/* The whole filesystem without FUSE against the model: random operations on names, attributes and contents, everything
 * compared now and then, with unmounts, power cuts between operations and power cuts in the middle of them.
 *
 * After a power cut the filesystem must show one of the states that its checkpoints could have caught: the state at the
 * last checkpoint, or, when one was in flight or came of itself during an operation, the state before or after that
 * operation. So these are kept as clones of the model. */
#include "support/fs_fixture.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/random.h"
#include "support/model_fs.h"
#include "support/test_seed.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    NAMES = 26,
    HELD_MAX = 24,
    DURABLE_MAX = 5,
    NODES_MAX = 400,
    WRITE_MAX = 300000,
    ALLOCATE_MAX = 300000, /* one step, even in the smallest pool: a power cut leaves it whole or absent */
    SIZE_SMALL = 5000,
    SIZE_LARGE = 1 << 20,
    SIZE_SPARSE = 32 << 20,
    CUT_MAX = 60, /* calls until the power goes */
    FILL_MAX = 100,
};

struct run {
    struct fs_fixture fixture;
    struct base_random random;
    struct model_fs *model;
    struct model_fs *durable[DURABLE_MAX]; /* what a power cut may leave */
    unsigned durable_count;
    struct model_fs *before; /* the operation at work; made only where it is needed */
    uint64_t held[HELD_MAX]; /* one lookup count each */
    unsigned held_count;
    uint64_t checkpoints;
    uint8_t *buffer, *expected;
    uint64_t operation; /* number, for messages */
    uint64_t successes;
    uint64_t full; /* answers of -ENOSPC */
    bool cutting;  /* the power goes soon, or the disk fails: a failure is no result to compare */
    bool small;    /* the host is small: -ENOSPC is a good answer to what takes space */
};

static uint64_t below(struct run *run, uint64_t bound)
{
    return base_random_below(&run->random, bound);
}

static bool one_in(struct run *run, uint64_t bound)
{
    return below(run, bound) == 0;
}

/* --- Choosing ----------------------------------------------------------------------------------------------------- */

static uint64_t any_inode(struct run *run)
{
    if (one_in(run, 200))
        return 1000000 + below(run, 10);
    return run->model->nodes[below(run, run->model->node_count)]->attributes.inode;
}

static uint64_t any_of_type(struct run *run, uint32_t type)
{
    for (int attempt = 0; attempt < 20 && !one_in(run, 40); attempt++) {
        struct model_node *node = run->model->nodes[below(run, run->model->node_count)];
        if ((node->attributes.mode & S_IFMT) == type)
            return node->attributes.inode;
    }
    return any_inode(run);
}

/* A name, in so many of 6 cases of an entry that is there; long ones among them. */
static void any_name(struct run *run, uint64_t parent, unsigned there, char *name)
{
    struct model_node *node = model_fs_find(run->model, parent);
    if (node && S_ISDIR(node->attributes.mode) && node->attributes.size > 0 && below(run, 6) < there) {
        strcpy(name, node->entries[below(run, node->attributes.size)].name);
        return;
    }
    size_t size = one_in(run, 8) ? 1 + below(run, FS_NAME_SIZE_MAX) : 1;
    memset(name, 'a' + (int)below(run, NAMES), size);
    name[size] = '\0';
}

/* --- Comparing results -------------------------------------------------------------------------------------------- */

static void check_result(struct run *run, const char *operation, int64_t real, int64_t expected)
{
    if (real != expected)
        fail_msg("operation %" PRIu64 ", %s: %" PRId64 ", expected %" PRId64, run->operation, operation, real,
                 expected);
    run->successes += real >= 0;
}

static void check_tree(struct run *run, const char *when)
{
    struct base_reason reason = {""};
    if (!model_fs_compare(run->model, run->fixture.fs, &reason))
        fail_msg("operation %" PRIu64 ", %s: %s", run->operation, when, reason.text);
}

static void hold(struct run *run, uint64_t inode)
{
    if (run->held_count == HELD_MAX) {
        uint64_t place = below(run, HELD_MAX), victim = run->held[place];
        run->held[place] = run->held[--run->held_count];
        fs_forget(run->fixture.fs, victim, 1);
        model_fs_forget(run->model, victim, 1);
    }
    run->held[run->held_count++] = inode;
}

/* --- Operations: each does the real one, then the model's if the real one may have happened ----------------------- */

/* While power or disk are about to fail a failure is nothing to compare: the operation then did not happen. Nor did
 * what found no space. */
static bool happened(struct run *run, int64_t result)
{
    bool is_full = run->small && result == -ENOSPC;
    run->full += is_full;
    return !is_full && (!run->cutting || result >= 0);
}

static void do_make(struct run *run)
{
    static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR};
    char name[FS_NAME_SIZE_MAX + 1], target[FS_SYMLINK_SIZE_MAX + 1];
    size_t target_size = one_in(run, 3) ? 1 + below(run, FS_SYMLINK_SIZE_MAX) : 1 + below(run, 30);
    struct fs_caller caller = {.uid = (uid_t)below(run, 3), .gid = (gid_t)below(run, 3)};
    struct fs_make make = {
        .mode = types[below(run, 8)] | (uint32_t)below(run, 010000), .device = below(run, 1000), .target = target};
    struct fs_entry entry;
    uint64_t parent = any_of_type(run, S_IFDIR);
    memset(target, 't', target_size);
    target[target_size] = '\0';
    any_name(run, parent, 1, name);
    if (run->model->node_count >= NODES_MAX)
        return;
    int result = fs_make(run->fixture.fs, &caller, parent, name, &make, &entry);
    if (!happened(run, result))
        return;
    check_result(run, "make", result, model_fs_check_make(run->model, parent, name));
    if (result == 0) {
        if (model_fs_find(run->model, entry.attributes.inode))
            fail_msg("operation %" PRIu64 ": inode number %" PRIu64 " was given again", run->operation,
                     entry.attributes.inode);
        model_fs_make(run->model, &caller, parent, name, &make, entry.attributes.inode);
        hold(run, entry.attributes.inode);
    }
}

static void do_link(struct run *run)
{
    char name[FS_NAME_SIZE_MAX + 1];
    struct fs_entry entry;
    uint64_t inode = any_of_type(run, one_in(run, 4) ? S_IFLNK : S_IFREG), parent = any_of_type(run, S_IFDIR);
    any_name(run, parent, 1, name);
    int result = fs_link(run->fixture.fs, inode, parent, name, &entry);
    if (!happened(run, result))
        return;
    check_result(run, "link", result, model_fs_link(run->model, inode, parent, name));
    if (result == 0)
        hold(run, inode);
}

static void do_remove(struct run *run)
{
    char name[FS_NAME_SIZE_MAX + 1];
    uint64_t parent = any_of_type(run, S_IFDIR);
    any_name(run, parent, 5, name);
    struct model_node *node = model_fs_find(run->model, model_fs_find_entry(run->model, parent, name));
    bool directory = one_in(run, 20) ? one_in(run, 2) : node && S_ISDIR(node->attributes.mode);
    int result = directory ? fs_rmdir(run->fixture.fs, parent, name) : fs_unlink(run->fixture.fs, parent, name);
    if (!run->cutting || result >= 0) /* a full disk is no excuse */
        check_result(run, directory ? "rmdir" : "unlink", result, model_fs_remove(run->model, parent, name, directory));
}

static void do_rename(struct run *run)
{
    static const unsigned flags[] = {0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    char name[FS_NAME_SIZE_MAX + 1], new_name[FS_NAME_SIZE_MAX + 1];
    uint64_t parent = any_of_type(run, S_IFDIR);
    uint64_t new_parent = one_in(run, 3) ? parent : any_of_type(run, S_IFDIR);
    unsigned flag = flags[below(run, 6)];
    any_name(run, parent, 5, name);
    any_name(run, new_parent, 3, new_name);
    int result = fs_rename(run->fixture.fs, parent, name, new_parent, new_name, flag);
    if (happened(run, result))
        check_result(run, "rename", result, model_fs_rename(run->model, parent, name, new_parent, new_name, flag));
}

static uint64_t any_size(struct run *run)
{
    switch (below(run, 6)) {
    case 0:
    case 1:
    case 2:
        return below(run, SIZE_SMALL);
    case 3:
    case 4:
        return below(run, SIZE_LARGE);
    default:
        return below(run, 4) ? below(run, SIZE_LARGE) : below(run, SIZE_SPARSE);
    }
}

static void do_set_attributes(struct run *run)
{
    struct fs_caller caller = {.uid = (uid_t)below(run, 2)};
    struct fs_changes changes = {.mode = (uint32_t)below(run, 010000),
                                 .uid = (uid_t)below(run, 5),
                                 .gid = (gid_t)below(run, 5),
                                 .access_time = {.tv_sec = (time_t)below(run, 1000), .tv_nsec = 5},
                                 .modification_time = {.tv_sec = -(time_t)below(run, 1000), .tv_nsec = 999999999},
                                 .change_time = {.tv_sec = 77}};
    struct fs_attributes attributes;
    uint64_t inode = any_inode(run);
    if (one_in(run, 2)) {
        changes.set = FS_SET_SIZE | (one_in(run, 4) ? (uint32_t)below(run, 512) : 0);
        inode = any_of_type(run, S_IFREG);
        changes.size = any_size(run);
    } else {
        changes.set = (uint32_t)below(run, 512) & ~(uint32_t)FS_SET_SIZE;
    }
    int result = fs_set_attributes(run->fixture.fs, &caller, inode, &changes, &attributes);
    if (happened(run, result))
        check_result(run, "setattr", result, model_fs_set_attributes(run->model, &caller, inode, &changes));
}

static void write_at(struct run *run, uint64_t inode, uint64_t offset, size_t size)
{
    struct fs_caller caller = {.uid = (uid_t)below(run, 2)};
    uint8_t byte = (uint8_t)base_random_next(&run->random);
    for (size_t i = 0; i < size; i++)
        run->buffer[i] = (uint8_t)(byte + i * 7 + (i >> 8));
    int64_t result = fs_write(run->fixture.fs, &caller, inode, offset, run->buffer, size);
    if (happened(run, result))
        check_result(run, "write", result, model_fs_write(run->model, &caller, inode, offset, run->buffer, size));
}

static void do_write(struct run *run)
{
    uint64_t inode = any_of_type(run, S_IFREG), offset = any_size(run);
    size_t size = 1 + below(run, one_in(run, 6) ? WRITE_MAX : SIZE_SMALL);
    struct model_node *node = model_fs_find(run->model, inode);
    if (node && one_in(run, 3))
        offset = node->attributes.size; /* an append */
    write_at(run, inode, offset, size);
}

static void do_allocate(struct run *run)
{
    static const unsigned modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    struct fs_caller caller = {.uid = (uid_t)below(run, 2)};
    uint64_t inode = any_of_type(run, S_IFREG), offset = any_size(run), size = 1 + below(run, ALLOCATE_MAX);
    unsigned mode = modes[below(run, 5)];
    int result = fs_allocate(run->fixture.fs, &caller, inode, mode, offset, size);
    if (happened(run, result))
        check_result(run, "fallocate", result, model_fs_allocate(run->model, &caller, inode, mode, offset, size));
}

static void do_append(struct run *run)
{
    uint64_t inode = any_of_type(run, S_IFREG);
    struct model_node *node = model_fs_find(run->model, inode);
    if (node)
        write_at(run, inode, node->attributes.size, WRITE_MAX);
}

static void do_read(struct run *run)
{
    uint64_t inode = any_of_type(run, S_IFREG), offset = any_size(run);
    size_t size = below(run, WRITE_MAX);
    int64_t result = fs_read(run->fixture.fs, inode, offset, run->buffer, size);
    if (!happened(run, result))
        return;
    check_result(run, "read", result, model_fs_read(run->model, inode, offset, run->expected, size));
    if (result > 0 && memcmp(run->buffer, run->expected, (size_t)result) != 0)
        fail_msg("operation %" PRIu64 ": read other bytes of inode %" PRIu64, run->operation, inode);
}

static void do_lookup(struct run *run)
{
    char name[FS_NAME_SIZE_MAX + 1];
    struct fs_entry entry;
    uint64_t parent = any_of_type(run, S_IFDIR);
    any_name(run, parent, 5, name);
    int result = fs_lookup(run->fixture.fs, parent, name, &entry);
    if (!happened(run, result))
        return;
    check_result(run, "lookup", result, model_fs_lookup(run->model, parent, name));
    if (result == 0)
        hold(run, entry.attributes.inode);
}

static void do_forget(struct run *run)
{
    if (run->held_count == 0)
        return;
    uint64_t place = below(run, run->held_count), inode = run->held[place];
    run->held[place] = run->held[--run->held_count];
    fs_forget(run->fixture.fs, inode, 1);
    model_fs_forget(run->model, inode, 1);
}

/* --- Checkpoints, unmounts and power cuts ------------------------------------------------------------------------- */

static void forget_durable(struct run *run)
{
    while (run->durable_count > 0)
        model_fs_destroy(run->durable[--run->durable_count]);
}

static void add_durable(struct run *run, const struct model_fs *model)
{
    BASE_ASSERT(run->durable_count < DURABLE_MAX);
    struct model_fs *clone = model_fs_clone(model);
    model_fs_restart(clone);
    run->durable[run->durable_count++] = clone;
}

static uint64_t count_checkpoints(struct run *run)
{
    struct fs_statistics statistics;
    fs_get_statistics(run->fixture.fs, &statistics);
    return statistics.store.checkpoints + statistics.store.log_batches;
}

static void do_sync(struct run *run)
{
    check_result(run, "sync", fs_sync(run->fixture.fs), 0);
    forget_durable(run);
    add_durable(run, run->model);
    run->checkpoints = count_checkpoints(run);
}

/* A checkpoint that came of itself, for want of space or frames, caught the state before or after the operation; when
 * the power went, perhaps. */
static void note_checkpoints(struct run *run)
{
    uint64_t checkpoints = count_checkpoints(run);
    bool is_cut = fault_file_is_cut(run->fixture.fault);
    if (checkpoints == run->checkpoints && !is_cut)
        return;
    run->checkpoints = checkpoints;
    if (!is_cut)
        forget_durable(run);
    add_durable(run, run->before);
    add_durable(run, run->model);
}

static void restart(struct run *run)
{
    run->held_count = 0;
    run->checkpoints = count_checkpoints(run);
    model_fs_restart(run->model);
}

static void do_reopen(struct run *run)
{
    fs_fixture_reopen(&run->fixture);
    restart(run);
    check_tree(run, "after an unmount");
    do_sync(run);
    fs_fixture_check(&run->fixture);
}

/* Which of the states is there; it becomes the model. */
static void adopt_durable(struct run *run)
{
    struct base_reason reasons[DURABLE_MAX + 1] = {{""}};
    unsigned found = 0;
    while (found < run->durable_count && !model_fs_compare(run->durable[found], run->fixture.fs, &reasons[found]))
        found++;
    if (found == run->durable_count)
        fail_msg("operation %" PRIu64 ": after a power cut no possible state: %s; %s", run->operation, reasons[0].text,
                 reasons[1].text);
    model_fs_destroy(run->model);
    run->model = model_fs_clone(run->durable[found]);
    restart(run);
    do_sync(run);
    fs_fixture_check(&run->fixture);
}

static void do_crash(struct run *run)
{
    fs_fixture_crash(&run->fixture, one_in(run, 3) ? NULL : &run->random);
    adopt_durable(run);
}

static void do_something(struct run *run);

/* An operation during which the disk can't be read: it fails and has done nothing, or it did not need the disk. */
static void do_unreadable(struct run *run)
{
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    fault_file_reset_counts(run->fixture.fault);
    fault_file_fail(run->fixture.fault, FAULT_READ, 1 + below(run, 4), EIO, one_in(run, 2));
    run->cutting = true;
    do_something(run);
    run->cutting = false;
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
}

/* Operations and a sync in which the power goes; what was durable before may be what is left, or what the sync was
 * about to make so. */
static void do_cut(struct run *run)
{
    struct fs_fixture *fixture = &run->fixture;
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    run->cutting = true;
    fault_file_cut_power(fixture->fault, 1 + below(run, CUT_MAX));
    while (!fault_file_is_cut(fixture->fault)) {
        do_something(run);
        if (fault_file_is_cut(fixture->fault))
            break;
        add_durable(run, run->model);
        if (fs_sync(fixture->fs) == 0) {
            forget_durable(run);
            add_durable(run, run->model);
            run->checkpoints = count_checkpoints(run);
        }
    }
    run->cutting = false;
    fs_fixture_crash(fixture, &run->random);
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
    adopt_durable(run);
}

/* --- The run ------------------------------------------------------------------------------------------------------ */

/* One operation with all that is noted around it. */
static void perform(struct run *run, void (*operation)(struct run *))
{
    struct base_reason reason = {""};
    run->operation++;
    run->before = model_fs_clone(run->model);
    struct timespec before = base_clock_now();
    operation(run);
    struct timespec after = base_clock_now();
    fault_file_fail(run->fixture.fault, FAULT_READ, 0, 0, false);
    bool settled = model_fs_settle(run->model, run->fixture.fs, before, after, &reason);
    if (!settled && !fault_file_is_cut(run->fixture.fault))
        fail_msg("operation %" PRIu64 ": %s", run->operation, reason.text);
    note_checkpoints(run);
    model_fs_destroy(run->before);
}

static void do_something(struct run *run)
{
    static void (*const operations[])(struct run *) = {
        do_make,     do_make,     do_make,   do_make,           do_link,           do_remove, do_remove, do_remove,
        do_rename,   do_rename,   do_rename, do_set_attributes, do_set_attributes, do_write,  do_write,  do_write,
        do_allocate, do_allocate, do_read,   do_lookup,         do_lookup,         do_forget, do_forget,
    };
    perform(run, operations[below(run, sizeof operations / sizeof operations[0])]);
}

/* Until the disk is full, if it is a small one. */
static void do_fill(struct run *run)
{
    uint64_t full = run->full;
    for (int i = 0; run->small && run->full == full && i < FILL_MAX; i++)
        perform(run, do_append);
}

static void check_use(struct run *run)
{
    uint64_t inodes, lookups;
    fs_get_use(run->fixture.fs, &inodes, &lookups);
    check_result(run, "lookup counts", (int64_t)lookups, run->held_count);
}

static void run_operations(struct run *run, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t choice = below(run, 400);
        if (choice == 0)
            do_reopen(run);
        else if (choice == 1)
            do_crash(run);
        else if (choice == 2)
            do_cut(run);
        else if (choice < 8)
            do_sync(run);
        else if (choice < 20)
            do_unreadable(run);
        else if (choice < 22)
            do_fill(run);
        else
            do_something(run);
        if (i % 100 == 99) {
            check_tree(run, "as it goes");
            check_use(run);
        }
    }
}

static void run_model(uint32_t page_size, size_t cache_size, uint64_t host_size, uint64_t seed, uint64_t count)
{
    struct run run = {.small = host_size < UINT64_MAX, .buffer = malloc(WRITE_MAX), .expected = malloc(WRITE_MAX)};
    struct fs_options options = {.cache_size = cache_size};
    assert_non_null(run.buffer);
    assert_non_null(run.expected);
    base_random_seed(&run.random, seed);
    fs_fixture_init_with(&run.fixture, NULL, page_size, &options);
    fs_fixture_set_host_size(&run.fixture, host_size);
    struct fs_attributes root = fs_fixture_attributes(&run.fixture, FS_ROOT_INODE);
    run.model = model_fs_create(&root);
    do_sync(&run);
    run_operations(&run, count);
    do_reopen(&run);
    assert_true(run.successes > count / 3);
    assert_true(!run.small || run.full > 0);
    forget_durable(&run);
    model_fs_destroy(run.model);
    fs_fixture_deinit(&run.fixture);
    free(run.buffer);
    free(run.expected);
}

static void all_page_sizes(void **state)
{
    (void)state;
    uint64_t seed = test_seed("test_model", 4242), count = test_is_long() ? 40000 : 2500;
    for (uint32_t page_size = STORE_PAGE_SIZE_MIN; page_size <= STORE_PAGE_SIZE_MAX; page_size *= 2) {
        run_model(page_size, 16U << 20, UINT64_MAX, seed + page_size, count);
        run_model(page_size, 1, UINT64_MAX, seed + page_size + 1, count); /* the smallest pool there is */
    }
}

static void on_a_small_host(void **state)
{
    (void)state;
    uint64_t seed = test_seed("test_model", 99), count = test_is_long() ? 40000 : 2500;
    run_model(4096, 16U << 20, 9U << 20, seed, count);
    run_model(FS_PAGE_SIZE_DEFAULT, 1, 13U << 20, seed + 1, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_page_sizes),
        cmocka_unit_test(on_a_small_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
