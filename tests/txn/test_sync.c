/* What is durable when: sync with and without the background thread, concurrent committers, shared checkpoints,
 * failures. Groups of three pages always change together, so a state that is no prefix shows. */
#include "txn_fixture.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/random.h"
#include "store/log.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

enum { PAGE_SIZE = 4096, GROUP_COUNT = 200, GROUP_PAGES = 3, THREAD_COUNT = 4, VERSION_MAX = 1 << 20 };

struct sync_test {
    struct txn_fixture fixture;
    uint64_t pages[GROUP_COUNT][GROUP_PAGES];
    /* Committed versions: written under the writer lock, so in the order of commits. */
    _Atomic uint64_t versions[GROUP_COUNT];
    _Atomic uint64_t last_version;
    _Atomic uint16_t groups[VERSION_MAX]; /* of the commit that made each version */
    _Atomic bool stop;
    uint64_t seed;
};

static struct sync_test test;

static void set_up(uint64_t interval_ms)
{
    test.fixture = (struct txn_fixture){.page_size = PAGE_SIZE, .options = {.commit_interval_ms = interval_ms}};
    atomic_store(&test.stop, false);
    atomic_store(&test.last_version, 0);
    txn_fixture_init(&test.fixture);
    for (unsigned group = 0; group < GROUP_COUNT; group++) {
        for (unsigned index = 0; index < GROUP_PAGES; index++) {
            test.pages[group][index] = txn_fixture_make_page(&test.fixture, 0);
        }
        atomic_store(&test.versions[group], 0);
    }
    assert_int_equal(txn_engine_sync(test.fixture.engine), 0);
}

static void version_put(struct txn *txn, uint64_t page, uint64_t version)
{
    struct pool_frame *frame = NULL;
    uint8_t bytes[8];

    BASE_ASSERT(txn_page_pin(txn, page, &frame) == 0);
    base_put_le64(bytes, version);
    txn_edit_begin(txn, frame);
    txn_edit_put(txn, frame, 0, bytes, sizeof bytes);
    txn_edit_put(txn, frame, PAGE_SIZE - 8, bytes, sizeof bytes);
    txn_edit_end(txn, frame);
    txn_page_unpin(txn, frame);
}

/* Gives a group a new version, or takes it back. */
static int group_change(unsigned group, bool aborts)
{
    const struct txn_need need = {.pages = GROUP_PAGES};
    struct txn *txn = NULL;

    int error = txn_begin(test.fixture.engine, &need, &txn);
    if (error) {
        return error;
    }
    txn_lock(txn);
    uint64_t version = atomic_load(&test.last_version) + 1;
    for (unsigned index = 0; index < GROUP_PAGES; index++) {
        version_put(txn, test.pages[group][index], aborts ? UINT64_MAX : version);
    }
    if (aborts) {
        txn_abort(txn);
    } else {
        BASE_ASSERT(version < VERSION_MAX);
        atomic_store(&test.groups[version], (uint16_t)group);
        atomic_store(&test.last_version, version);
        atomic_store(&test.versions[group], version);
        txn_commit(txn);
    }
    return 0;
}

/* --- The durable state -------------------------------------------------------------------------------------------- */

struct durable {
    uint64_t versions[GROUP_COUNT];
    uint64_t last;
};

static uint64_t version_read(struct store *store, uint64_t page)
{
    uint8_t bytes[PAGE_SIZE];

    BASE_ASSERT(store_page_read(store, page, bytes) == 0);
    BASE_ASSERT(base_get_le64(bytes) == base_get_le64(bytes + PAGE_SIZE - 8));
    return base_get_le64(bytes);
}

/* Exactly the commits up to the last one that is there. */
static void durable_check_prefix(const struct durable *durable)
{
    uint64_t expected[GROUP_COUNT] = {0};

    for (uint64_t version = 1; version <= durable->last; version++) {
        expected[atomic_load(&test.groups[version])] = version;
    }
    BASE_ASSERT(memcmp(expected, durable->versions, sizeof expected) == 0);
}

/* What a power cut now leaves. */
static void durable_read(struct durable *ret_durable)
{
    const struct store_open_options options = {.node_cache_size = 1 << 20};
    struct os_file *file = fault_file_crash(test.fixture.fault, NULL);
    struct base_reason reason;
    struct store *store = NULL;

    BASE_ASSERT(store_open(file, &options, &store, &reason) == 0);
    ret_durable->last = 0;
    for (unsigned group = 0; group < GROUP_COUNT; group++) {
        uint64_t version = version_read(store, test.pages[group][0]);
        for (unsigned index = 1; index < GROUP_PAGES; index++) {
            BASE_ASSERT(version_read(store, test.pages[group][index]) == version);
        }
        ret_durable->versions[group] = version;
        if (version > ret_durable->last) {
            ret_durable->last = version;
        }
    }
    store_close(store);
    os_file_close(file);
    durable_check_prefix(ret_durable);
}

static void tear_down(void)
{
    struct store_statistics store;
    struct pool_statistics pool;
    struct durable durable;

    assert_int_equal(txn_engine_sync(test.fixture.engine), 0);
    durable_read(&durable);
    for (unsigned group = 0; group < GROUP_COUNT; group++) {
        assert_true(durable.versions[group] == atomic_load(&test.versions[group]));
    }
    store_get_statistics(test.fixture.store, &store);
    pool_get_statistics(test.fixture.pool, &pool);
    assert_int_equal(pool.frames_reserved, 0);
    assert_int_equal(store.reserved_pages, pool.frames_dirty);
    txn_fixture_deinit(&test.fixture);
}

/* --- One thread --------------------------------------------------------------------------------------------------- */

static struct txn_statistics statistics_get(void)
{
    struct txn_statistics statistics;

    txn_get_statistics(test.fixture.engine, &statistics);
    return statistics;
}

static void sync_makes_durable_and_costs_nothing_when_clean(void **state)
{
    struct durable durable;

    (void)state;
    set_up(0);
    assert_int_equal(group_change(5, false), 0);
    durable_read(&durable);
    assert_int_equal(durable.last, 0);
    assert_int_equal(txn_engine_sync(test.fixture.engine), 0);
    durable_read(&durable);
    assert_int_equal(durable.versions[5], 1);

    fault_file_reset_counts(test.fixture.fault);
    assert_int_equal(txn_engine_sync(test.fixture.engine), 0);
    assert_int_equal(group_change(6, true), 0); /* an abort leaves nothing to sync */
    assert_int_equal(txn_engine_sync(test.fixture.engine), 0);
    assert_int_equal(fault_file_count(test.fixture.fault, FAULT_WRITE), 0);
    assert_int_equal(fault_file_count(test.fixture.fault, FAULT_SYNC), 0);
    tear_down();
}

static void a_failed_sync_is_final(void **state)
{
    struct durable durable;

    (void)state;
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    set_up(0);
    assert_int_equal(group_change(1, false), 0);
    fault_file_fail(test.fixture.fault, FAULT_SYNC, 1, EIO, false);
    assert_int_equal(txn_engine_sync(test.fixture.engine), -EIO);
    assert_int_equal(txn_engine_sync(test.fixture.engine), -EROFS);
    assert_int_equal(group_change(2, false), -EROFS);
    assert_int_equal(txn_fixture_byte(&test.fixture, test.pages[1][0], 0), 1); /* reading goes on */
    durable_read(&durable);
    assert_int_equal(durable.last, 0);
    txn_fixture_deinit(&test.fixture);
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
}

static void wait_for(uint64_t (*count)(void), uint64_t wanted)
{
    uint64_t deadline = base_clock_monotonic_ms() + 20000;

    while (count() < wanted) {
        assert_true(base_clock_monotonic_ms() < deadline);
        sched_yield();
    }
}

static uint64_t count_batches(void)
{
    struct store_statistics statistics;

    store_get_statistics(test.fixture.store, &statistics);
    return statistics.log_batches;
}

static uint64_t is_clean(void)
{
    return pool_dirty_count(test.fixture.pool) == 0;
}

static void the_background_makes_durable_unasked(void **state)
{
    struct durable durable;

    (void)state;
    set_up(20);
    uint64_t before = count_batches();
    assert_int_equal(group_change(3, false), 0);
    wait_for(count_batches, before + 1);
    durable_read(&durable);
    assert_int_equal(durable.versions[3], 1);
    wait_for(is_clean, 1); /* nothing new: time for a checkpoint */
    tear_down();
}

static uint64_t log_bytes(void)
{
    struct store_statistics statistics;

    store_get_statistics(test.fixture.store, &statistics);
    return statistics.log_bytes;
}

static void change_much(void)
{
    while (store_log_pending_size(test.fixture.store) < 256 << 10) {
        assert_int_equal(group_change(7, false), 0);
    }
}

/* Much that nobody syncs goes to its pages only; as soon as anybody does, everything is logged again. */
static void what_nobody_asks_for_is_not_logged(void **state)
{
    struct durable durable;

    (void)state;
    set_up(0);
    assert_int_equal(txn_engine_checkpoint(test.fixture.engine), 0);
    uint64_t before = log_bytes();
    change_much();
    assert_int_equal(txn_engine_checkpoint(test.fixture.engine), 0);
    assert_int_equal(log_bytes(), before);
    durable_read(&durable);
    assert_true(durable.versions[7] == atomic_load(&test.versions[7]));

    assert_int_equal(group_change(8, false), 0);
    assert_int_equal(txn_engine_sync(test.fixture.engine), 0);
    before = log_bytes();
    change_much();
    assert_int_equal(txn_engine_checkpoint(test.fixture.engine), 0);
    assert_true(log_bytes() > before);
    tear_down();
}

/* --- Many threads ------------------------------------------------------------------------------------------------- */

/* Commits, aborts, syncs: after a sync everything this thread has seen committed before is durable. */
static void *committer_run(void *argument)
{
    struct base_random random;
    struct durable durable;

    base_random_seed(&random, test.seed + (uint64_t)(uintptr_t)argument);
    while (!atomic_load(&test.stop)) {
        unsigned group = (unsigned)base_random_below(&random, GROUP_COUNT);
        uint64_t what = base_random_below(&random, 100);
        if (what > 3) {
            BASE_ASSERT(group_change(group, what < 20) == 0);
            continue;
        }
        uint64_t seen = atomic_load(&test.versions[group]);
        BASE_ASSERT(txn_engine_sync(test.fixture.engine) == 0);
        durable_read(&durable);
        BASE_ASSERT(durable.versions[group] >= seen);
    }
    return NULL;
}

/* Reads pages of groups in read scopes: no version that was rolled back is ever seen whole in a scope of its own. */
static void *reader_run(void *argument)
{
    struct base_random random;

    (void)argument;
    base_random_seed(&random, test.seed + 99);
    while (!atomic_load(&test.stop)) {
        unsigned group = (unsigned)base_random_below(&random, GROUP_COUNT);
        uint64_t page = test.pages[group][base_random_below(&random, GROUP_PAGES)];
        struct pool_frame *frame = NULL;
        txn_read_begin(test.fixture.engine);
        BASE_ASSERT(pool_pin(test.fixture.pool, page, POOL_SHARED, &frame) == 0);
        const uint8_t *bytes = pool_frame_bytes(frame);
        BASE_ASSERT(base_get_le64(bytes) == base_get_le64(bytes + PAGE_SIZE - 8));
        pool_unpin(test.fixture.pool, frame, POOL_SHARED);
        txn_read_end(test.fixture.engine);
    }
    return NULL;
}

/* Checkpoints one after the other: batches are written while one is under way, by others. */
static void *checkpointer_run(void *argument)
{
    (void)argument;
    while (!atomic_load(&test.stop)) {
        BASE_ASSERT(txn_engine_checkpoint(test.fixture.engine) == 0);
    }
    return NULL;
}

static void run_threads(uint64_t interval_ms, uint64_t syncs_wanted)
{
    pthread_t committers[THREAD_COUNT], reader, checkpointer;

    set_up(interval_ms);
    for (unsigned index = 0; index < THREAD_COUNT; index++) {
        void *argument = (void *)(uintptr_t)index;
        assert_int_equal(pthread_create(&committers[index], NULL, committer_run, argument), 0);
    }
    assert_int_equal(pthread_create(&reader, NULL, reader_run, NULL), 0);
    assert_int_equal(pthread_create(&checkpointer, NULL, checkpointer_run, NULL), 0);
    while (statistics_get().log_syncs < syncs_wanted) {
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
    atomic_store(&test.stop, true);
    for (unsigned index = 0; index < THREAD_COUNT; index++) {
        assert_int_equal(pthread_join(committers[index], NULL), 0);
    }
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_int_equal(pthread_join(checkpointer, NULL), 0);
    struct txn_statistics statistics = statistics_get();
    printf("commits %llu, aborts %llu, log syncs %llu, checkpoints: %llu sync, %llu pressure, %llu periodic; waits for "
           "frames %llu\n",
           (unsigned long long)statistics.commits, (unsigned long long)statistics.aborts,
           (unsigned long long)statistics.log_syncs, (unsigned long long)statistics.checkpoints_sync,
           (unsigned long long)statistics.checkpoints_pressure, (unsigned long long)statistics.checkpoints_periodic,
           (unsigned long long)statistics.waits_for_frames);
    tear_down();
}

static void committers_with_the_background_thread(void **state)
{
    (void)state;
    test.seed = test_seed("txn sync", 4);
    run_threads(5, test_is_long() ? 1000 : 25);
}

static void committers_without_it(void **state)
{
    (void)state;
    test.seed = test_seed("txn sync", 4);
    run_threads(0, test_is_long() ? 1000 : 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sync_makes_durable_and_costs_nothing_when_clean),
        cmocka_unit_test(a_failed_sync_is_final),
        cmocka_unit_test(the_background_makes_durable_unasked),
        cmocka_unit_test(what_nobody_asks_for_is_not_logged),
        cmocka_unit_test(committers_with_the_background_thread),
        cmocka_unit_test(committers_without_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
