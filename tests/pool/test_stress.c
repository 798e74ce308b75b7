/* The pool under threads: one that changes, makes and frees pages (the writer), readers, and one that takes
 * checkpoints. Every page says its number and version in every word, so a torn or foreign page shows; a reader never
 * sees a version older than one that was there before it looked; and after a checkpoint the durable file holds exactly
 * the versions of its freeze. */
#include "pool_fixture.h"

#include "base/random.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PAGE_SIZE = 4096,
    PAGE_COUNT = 1200,
    STABLE_COUNT = 800, /* pages up to this number are never freed: readers may pin them at any time */
    READER_COUNT = 3,
};

struct stress {
    struct pool_fixture fixture;
    pthread_mutex_t writer;
    uint32_t versions[PAGE_COUNT + 1]; /* 0: not there. Under the writer mutex */
    _Atomic uint32_t seen_versions[PAGE_COUNT + 1];
    _Atomic bool stop;
    _Atomic unsigned checkpoints;
    uint64_t seed;
    uint32_t last_version;
};

static void write_page(struct stress *stress, uint64_t page)
{
    struct pool_fixture *fixture = &stress->fixture;
    uint32_t version = ++stress->last_version;

    if (stress->versions[page] != 0) {
        pool_fixture_change(fixture, page, version);
    } else {
        page = pool_fixture_make(fixture, version); /* the lowest number that is free */
        assert_true(page <= PAGE_COUNT && stress->versions[page] == 0);
    }
    stress->versions[page] = version;
    atomic_store(&stress->seen_versions[page], version);
}

static void *writer_run(void *argument)
{
    struct stress *stress = argument;
    struct base_random random;

    base_random_seed(&random, stress->seed);
    while (!atomic_load(&stress->stop)) {
        uint64_t page = 1 + base_random_below(&random, PAGE_COUNT);
        if (!pool_fixture_reserve(&stress->fixture, 1)) {
            sched_yield(); /* the checkpoints go on */
            continue;
        }
        pool_fixture_unreserve(&stress->fixture, 1);
        pthread_mutex_lock(&stress->writer);
        if (page > STABLE_COUNT && stress->versions[page] != 0 && base_random_below(&random, 2) == 0) {
            pool_fixture_free(&stress->fixture, page);
            stress->versions[page] = 0;
        } else {
            write_page(stress, page);
        }
        pthread_mutex_unlock(&stress->writer);
    }
    return NULL;
}

/* A page that may have been freed: only what is in a frame. It may be a new page that is not filled yet. */
static void read_unstable(struct stress *stress, uint64_t page)
{
    struct pool_frame *frame = NULL;

    if (pool_pin_resident(stress->fixture.pool, page, POOL_SHARED, &frame)) {
        const uint8_t *bytes = pool_frame_bytes(frame);
        assert_true(pool_frame_page(frame) == page);
        if (base_get_le64(bytes) != 0) {
            pool_fixture_version(&stress->fixture, bytes, page);
        }
        pool_unpin(stress->fixture.pool, frame, POOL_SHARED);
    }
}

static void *reader_run(void *argument)
{
    struct stress *stress = argument;
    struct base_random random;

    base_random_seed(&random, stress->seed + (uint64_t)(uintptr_t)&random);
    while (!atomic_load(&stress->stop)) {
        uint64_t page = 1 + base_random_below(&random, PAGE_COUNT);
        if (page > STABLE_COUNT) {
            read_unstable(stress, page);
            continue;
        }
        uint32_t before = atomic_load(&stress->seen_versions[page]);
        assert_true(pool_fixture_read(&stress->fixture, page) >= before);
    }
    return NULL;
}

static void check_durable(struct stress *stress, const uint32_t *versions)
{
    struct os_file *file = fault_file_crash(stress->fixture.fault, NULL);
    struct store *store = pool_fixture_open_store(file);
    uint8_t bytes[PAGE_SIZE];
    uint64_t next = 0, end = 0;

    for (uint64_t page = 1; page <= PAGE_COUNT; page++) {
        if (versions[page] == 0) {
            continue;
        }
        assert_int_equal(store_page_next(store, &next), 0);
        assert_true(next == page);
        assert_int_equal(store_page_read(store, page, bytes), 0);
        assert_int_equal(pool_fixture_version(&stress->fixture, bytes, page), versions[page]);
        end = page;
    }
    assert_true(store_page_next(store, &end) != 0);
    store_close(store);
    os_file_close(file);
}

static void take_checkpoints(struct stress *stress, unsigned count)
{
    static uint32_t versions[PAGE_COUNT + 1];

    for (unsigned round = 0; round < count; round++) {
        pthread_mutex_lock(&stress->writer);
        memcpy(versions, stress->versions, sizeof versions);
        pool_fixture_freeze(&stress->fixture);
        pthread_mutex_unlock(&stress->writer);
        assert_int_equal(pool_write_frozen(stress->fixture.pool), 0);
        assert_int_equal(store_checkpoint(stress->fixture.store), 0);
        if (round % 8 == 0) {
            check_durable(stress, versions);
        }
    }
}

static void threads_share_the_pool(void **state)
{
    static struct stress stress;
    pthread_t writer, readers[READER_COUNT];

    (void)state;
    stress = (struct stress){.fixture = {.page_size = PAGE_SIZE, .options = {.steal_after = 1}}};
    stress.seed = test_seed("pool stress", 3);
    pthread_mutex_init(&stress.writer, NULL);
    pool_fixture_init(&stress.fixture);
    for (uint64_t page = 1; page <= STABLE_COUNT; page++) {
        write_page(&stress, page);
        if (page % 100 == 0) {
            pool_fixture_checkpoint(&stress.fixture);
        }
    }
    assert_int_equal(pthread_create(&writer, NULL, writer_run, &stress), 0);
    for (unsigned index = 0; index < READER_COUNT; index++) {
        assert_int_equal(pthread_create(&readers[index], NULL, reader_run, &stress), 0);
    }
    take_checkpoints(&stress, test_is_long() ? 2000 : 150);
    atomic_store(&stress.stop, true);
    pthread_join(writer, NULL);
    for (unsigned index = 0; index < READER_COUNT; index++) {
        pthread_join(readers[index], NULL);
    }
    pool_fixture_checkpoint(&stress.fixture);
    check_durable(&stress, stress.versions);

    struct pool_statistics statistics = pool_fixture_statistics(&stress.fixture);
    struct store_statistics store;
    store_get_statistics(stress.fixture.store, &store);
    printf("versions %u, hits %llu, misses %llu, evictions %llu, steals %llu, copies %llu\n", stress.last_version,
           (unsigned long long)statistics.hits, (unsigned long long)statistics.misses,
           (unsigned long long)statistics.evictions, (unsigned long long)statistics.evictions_dirty,
           (unsigned long long)statistics.copies);
    assert_int_equal(statistics.frames_dirty + statistics.frames_frozen + statistics.frames_reserved, 0);
    assert_int_equal(store.reserved_pages, 0);
    assert_true(statistics.copies > 0 && statistics.evictions_dirty > 0);
    pool_fixture_deinit(&stress.fixture);
    pthread_mutex_destroy(&stress.writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_share_the_pool)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
