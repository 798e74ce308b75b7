/* One writer and several readers of one file: a reader sees each request of the writer whole or not at all. Meanwhile
 * another thread changes the size of a second file, so that rows around the first one move, and one makes and removes
 * files whose contents are freed in steps, and one makes copies of the first, which share its blocks and are as whole.
 * With and without the background threads. */
#include "base/clock.h"
#include "content_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define READERS     3
#define THREADS     (READERS + 4)
#define RECORD      (200U << 10) /* across a chunk border */
#define RUN_MS      600
#define RUN_MS_LONG 20000

struct shared {
    struct fs *fs;
    uint64_t inode, other;
    atomic_bool stop;
    atomic_uint failures, reads, writes;
};

static void *run_writer(void *context)
{
    struct shared *shared = context;
    uint8_t *bytes = malloc(RECORD);

    for (unsigned generation = 1; !atomic_load(&shared->stop); generation++) {
        memset(bytes, (int)(generation % 255 + 1), RECORD);
        if (fs_write(shared->fs, &root_caller, shared->inode, 3000, bytes, RECORD) != RECORD)
            atomic_fetch_add(&shared->failures, 1);
        atomic_fetch_add(&shared->writes, 1);
    }
    free(bytes);
    return NULL;
}

static void *run_reader(void *context)
{
    struct shared *shared = context;
    uint8_t *bytes = malloc(RECORD);

    while (!atomic_load(&shared->stop)) {
        if (fs_read(shared->fs, shared->inode, 3000, bytes, RECORD) != RECORD ||
            memcmp(bytes, bytes + 1, RECORD - 1) != 0)
            atomic_fetch_add(&shared->failures, 1);
        atomic_fetch_add(&shared->reads, 1);
    }
    free(bytes);
    return NULL;
}

static void *run_neighbour(void *context)
{
    struct shared *shared = context;
    struct fs_attributes attributes;
    struct base_random random;
    uint8_t bytes[9000];

    base_random_seed(&random, 1);
    memset(bytes, 1, sizeof bytes);
    while (!atomic_load(&shared->stop)) {
        struct fs_changes changes = {.set = FS_SET_SIZE, .size = base_random_below(&random, 1U << 20)};

        if (fs_write(shared->fs, &root_caller, shared->other, base_random_below(&random, 1U << 20), bytes,
                     sizeof bytes) != sizeof bytes ||
            fs_set_attributes(shared->fs, &root_caller, shared->other, &changes, &attributes) != 0)
            atomic_fetch_add(&shared->failures, 1);
    }
    return NULL;
}

static void *run_remover(void *context)
{
    struct shared *shared = context;
    struct fs_make make = {.mode = S_IFREG | 0644};
    struct fs_entry entry;

    while (!atomic_load(&shared->stop)) {
        if (fs_make(shared->fs, &root_caller, FS_ROOT_INODE, "removed", &make, &entry) != 0) {
            atomic_fetch_add(&shared->failures, 1);
            continue;
        }
        for (uint64_t i = 0; i < 100; i++)
            if (fs_write(shared->fs, &root_caller, entry.attributes.inode, i * FS_CHUNK_SIZE, "x", 1) != 1)
                atomic_fetch_add(&shared->failures, 1);
        if (fs_unlink(shared->fs, FS_ROOT_INODE, "removed") != 0)
            atomic_fetch_add(&shared->failures, 1);
        fs_forget(shared->fs, entry.attributes.inode, 1);
    }
    return NULL;
}

static void *run_copier(void *context)
{
    static const char *const names[] = {"copy", "second copy"};
    struct shared *shared = context;
    struct fs_make make = {.mode = S_IFREG | 0644};
    uint64_t inodes[] = {0, 0};
    uint8_t *bytes = malloc(RECORD);
    struct fs_entry entry;

    for (unsigned i = 0; !atomic_load(&shared->stop); i = 1 - i) {
        if (inodes[i] != 0) {
            if (fs_unlink(shared->fs, FS_ROOT_INODE, names[i]) != 0)
                atomic_fetch_add(&shared->failures, 1);
            fs_forget(shared->fs, inodes[i], 1);
        }
        if (fs_make(shared->fs, &root_caller, FS_ROOT_INODE, names[i], &make, &entry) != 0)
            atomic_fetch_add(&shared->failures, 1);
        inodes[i] = entry.attributes.inode;
        if (fs_copy_range(shared->fs, &root_caller, shared->inode, 0, inodes[i], 0, 3000 + RECORD) != 3000 + RECORD ||
            fs_read(shared->fs, inodes[i], 3000, bytes, RECORD) != RECORD || memcmp(bytes, bytes + 1, RECORD - 1) != 0)
            atomic_fetch_add(&shared->failures, 1);
    }
    free(bytes);
    return NULL;
}

static void run_threads(uint64_t commit_interval_ms)
{
    static void *(*const functions[THREADS])(void *) = {run_writer, run_neighbour, run_remover, run_copier,
                                                        run_reader, run_reader,    run_reader};
    struct fs_options options = {
        .cache_size = 2U << 20, .commit_interval_ms = commit_interval_ms, .access_times = FS_ACCESS_TIMES_EXACT};
    struct base_reason reason;
    struct fixture fixture;
    struct shared shared;
    pthread_t threads[THREADS];
    uint8_t *zeros = calloc(RECORD, 1);
    uint64_t end;

    fixture_init(&fixture, 4096, 2U << 20);
    assert_int_equal(fs_close(fixture.fs), 0);
    assert_int_equal(fs_open(fixture.file, &options, &fixture.fs, &reason), 0);
    shared.fs = fixture.fs;
    shared.other = make_file(fixture.fs, "other");
    shared.inode = make_file(fixture.fs, "file");
    atomic_init(&shared.stop, false);
    atomic_init(&shared.failures, 0);
    atomic_init(&shared.reads, 0);
    atomic_init(&shared.writes, 0);
    assert_non_null(zeros);
    write_all(fixture.fs, shared.inode, 3000, zeros, RECORD);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, functions[i], &shared), 0);
    end = base_clock_monotonic_ms() + (test_is_long() ? RUN_MS_LONG : RUN_MS);
    /* Until enough has happened: readers and writer must both have got their turn. */
    while (base_clock_monotonic_ms() < end || atomic_load(&shared.writes) < 20 || atomic_load(&shared.reads) < 20)
        assert_int_equal(fs_sync(fixture.fs), 0);
    atomic_store(&shared.stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&shared.failures), 0);
    free(zeros);
    fixture_deinit(&fixture);
}

static void test_whole_or_absent(void **state)
{
    (void)state;
    run_threads(0);
}

static void test_with_background(void **state)
{
    (void)state;
    run_threads(20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole_or_absent), cmocka_unit_test(test_with_background)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
