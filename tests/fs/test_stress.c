/* Many threads in the same few directories: everything that makes, moves, removes, lists and writes, at random. No
 * result but the errors that a race can cause; lookup counts balance; what is left is a sound filesystem. Meant to be
 * run under TSan too. */
#include "support/fs_fixture.h"

#include "base/random.h"
#include "support/test_seed.h"

#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { THREADS = 4, DEPTH_MAX = 4, NAMES = 6, HELD_MAX = 64, WRITE_MAX = 20000, FILE_MAX = 400000, LISTED_MAX = 64 };

struct worker {
    struct fs *fs;
    struct base_random random;
    unsigned operations;
    uint64_t held[HELD_MAX]; /* inodes with one lookup count each */
    unsigned held_count;
    uint8_t *buffer;
    uint64_t listed[LISTED_MAX]; /* taken from one reply */
    unsigned listed_count;
    uint64_t cookie; /* where the listing is */
    int surprise;    /* an error that no race explains */
    unsigned successes;
};

static uint64_t below(struct worker *worker, uint64_t bound)
{
    return base_random_below(&worker->random, bound);
}

static void note(struct worker *worker, int64_t result)
{
    switch (result) {
    case -ENOENT:
    case -EEXIST:
    case -ENOTDIR:
    case -EISDIR:
    case -ENOTEMPTY:
    case -EINVAL:
    case -EPERM:
        break;
    default:
        if (result < 0)
            worker->surprise = (int)result;
        else
            worker->successes++;
    }
}

static void hold(struct worker *worker, uint64_t inode)
{
    if (worker->held_count == HELD_MAX) {
        unsigned victim = (unsigned)below(worker, HELD_MAX);
        fs_forget(worker->fs, worker->held[victim], 1);
        worker->held[victim] = worker->held[--worker->held_count];
    }
    worker->held[worker->held_count++] = inode;
}

static uint64_t any_held(struct worker *worker)
{
    return worker->held_count ? worker->held[below(worker, worker->held_count)] : FS_ROOT_INODE;
}

static void any_name(struct worker *worker, char *name)
{
    snprintf(name, 8, "%c%u", below(worker, 2) ? 'f' : 'd', (unsigned)below(worker, NAMES));
}

/* A directory some way down, or at times something else; its lookup count is held. */
static uint64_t any_directory(struct worker *worker)
{
    uint64_t inode = FS_ROOT_INODE;
    for (uint64_t depth = below(worker, DEPTH_MAX); depth > 0; depth--) {
        struct fs_entry entry;
        char name[8];
        snprintf(name, sizeof name, "d%u", (unsigned)below(worker, NAMES));
        if (fs_lookup(worker->fs, inode, name, &entry))
            break;
        inode = entry.attributes.inode;
        hold(worker, inode);
    }
    return below(worker, 50) == 0 ? any_held(worker) : inode;
}

static bool take_some(void *context, const struct fs_directory_entry *entry)
{
    struct worker *worker = context;
    if (below(worker, 40) == 0 || worker->listed_count == LISTED_MAX)
        return false;
    if (entry->attributes)
        worker->listed[worker->listed_count++] = entry->inode;
    worker->cookie = entry->cookie;
    return true;
}

static void list(struct worker *worker)
{
    struct fs_directory *directory;
    int error = fs_directory_open(worker->fs, any_directory(worker), &directory);
    note(worker, error);
    if (error)
        return;
    worker->cookie = 0;
    for (int i = 0; i < 10; i++) {
        note(worker, fs_directory_read(directory, worker->cookie, below(worker, 2), take_some, worker));
        while (worker->listed_count > 0)
            fs_forget(worker->fs, worker->listed[--worker->listed_count], 1);
    }
    fs_directory_close(directory);
}

static void make(struct worker *worker)
{
    struct fs_entry entry;
    struct fs_make what = {.mode = S_IFREG | 0644, .target = "target"};
    char name[8];
    any_name(worker, name);
    if (name[0] == 'd')
        what.mode = S_IFDIR | 0755;
    else if (below(worker, 10) == 0)
        what.mode = S_IFLNK | 0777;
    int error = fs_make(worker->fs, &fs_fixture_user, any_directory(worker), name, &what, &entry);
    note(worker, error);
    if (!error)
        hold(worker, entry.attributes.inode);
}

static void rename_something(struct worker *worker)
{
    static const unsigned flags[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    char name[8], new_name[8];
    any_name(worker, name);
    any_name(worker, new_name);
    if (below(worker, 4))
        new_name[0] = name[0];
    uint64_t parent = any_directory(worker);
    uint64_t new_parent = below(worker, 3) ? any_directory(worker) : parent;
    note(worker, fs_rename(worker->fs, parent, name, new_parent, new_name, flags[below(worker, 5)]));
}

static void remove_something(struct worker *worker)
{
    char name[8];
    any_name(worker, name);
    uint64_t parent = any_directory(worker);
    note(worker, name[0] == 'd' ? fs_rmdir(worker->fs, parent, name) : fs_unlink(worker->fs, parent, name));
}

static void link_something(struct worker *worker)
{
    struct fs_entry entry;
    char name[8];
    any_name(worker, name);
    name[0] = 'f';
    int error = fs_link(worker->fs, any_held(worker), any_directory(worker), name, &entry);
    note(worker, error);
    if (!error)
        hold(worker, entry.attributes.inode);
}

static void change_contents(struct worker *worker)
{
    uint64_t inode = any_held(worker), offset = below(worker, FILE_MAX);
    size_t size = below(worker, WRITE_MAX);
    struct fs_changes changes = {.set = FS_SET_SIZE, .size = offset};
    struct fs_attributes attributes;
    switch (below(worker, 5)) {
    case 0:
        note(worker, fs_set_attributes(worker->fs, &fs_fixture_user, inode, &changes, &attributes));
        break;
    case 1:
    case 2:
        note(worker, fs_read(worker->fs, inode, offset, worker->buffer, size));
        break;
    default:
        note(worker, fs_write(worker->fs, &fs_fixture_user, inode, offset, worker->buffer, size));
    }
}

static void look(struct worker *worker)
{
    struct fs_entry entry;
    char name[8], target[16];
    any_name(worker, name);
    int error = fs_lookup(worker->fs, any_directory(worker), name, &entry);
    note(worker, error);
    if (!error)
        hold(worker, entry.attributes.inode);
    note(worker, fs_get_attributes(worker->fs, any_held(worker), &entry.attributes));
    note(worker, fs_read_link(worker->fs, any_held(worker), target, sizeof target));
}

static void *work(void *context)
{
    struct worker *worker = context;
    for (unsigned i = 0; i < worker->operations && !worker->surprise; i++) {
        switch (below(worker, 12)) {
        case 0:
        case 1:
        case 2:
            make(worker);
            break;
        case 3:
        case 4:
            rename_something(worker);
            break;
        case 5:
        case 6:
            remove_something(worker);
            break;
        case 7:
            link_something(worker);
            break;
        case 8:
            list(worker);
            break;
        case 9:
        case 10:
            look(worker);
            break;
        default:
            change_contents(worker);
        }
        if (below(worker, 3000) == 0)
            note(worker, fs_sync(worker->fs));
    }
    while (worker->held_count > 0)
        fs_forget(worker->fs, worker->held[--worker->held_count], 1);
    return NULL;
}

static void run_workers(struct fs_fixture *fixture, uint64_t seed, unsigned operations)
{
    struct worker *workers = calloc(THREADS, sizeof *workers);
    pthread_t threads[THREADS];
    assert_non_null(workers);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.fs = fixture->fs, .operations = operations, .buffer = calloc(1, WRITE_MAX)};
        assert_non_null(workers[i].buffer);
        base_random_seed(&workers[i].random, seed + i);
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        if (workers[i].surprise)
            fail_msg("thread %u: %s", i, strerror(-workers[i].surprise));
        assert_true(workers[i].successes > operations / 10);
        free(workers[i].buffer);
    }
    free(workers);
}

static void run(uint32_t page_size, uint64_t commit_interval_ms, unsigned operations)
{
    struct fs_fixture fixture;
    struct fs_options options = {
        .cache_size = 4U << 20, .commit_interval_ms = commit_interval_ms, .access_times = FS_ACCESS_TIMES_EXACT};
    uint64_t inodes, lookups;
    fs_fixture_init_with(&fixture, NULL, page_size, &options);
    run_workers(&fixture, test_seed("test_stress", 77), operations);
    fs_get_use(fixture.fs, &inodes, &lookups);
    assert_int_equal(lookups, 0);
    assert_int_equal(inodes, 0);
    fs_fixture_deinit(&fixture);
}

static unsigned operation_count(void)
{
    return test_is_long() ? 300000 : 25000;
}

static void with_background_threads(void **state)
{
    (void)state;
    run(4096, 20, operation_count());
}

static void without_background_threads(void **state)
{
    (void)state;
    run(0, 0, operation_count());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_background_threads),
        cmocka_unit_test(without_background_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
