/* Admission: who waits for what and how it ends; space, contents, failures. */
#include "txn_fixture.h"

#include "internal.h"
#include "support/test_child.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

enum { PAGE_SIZE = 4096 };

static void set_up(struct txn_fixture *fixture, const struct txn_engine_options *options)
{
    *fixture = (struct txn_fixture){.page_size = PAGE_SIZE, .options = *options};
    txn_fixture_init(fixture);
}

static const struct txn_engine_options no_options = {0};

static uint32_t pages_max(struct txn_fixture *fixture)
{
    return (uint32_t)pool_reserve_max(fixture->pool);
}

static struct txn_statistics statistics_get(struct txn_fixture *fixture)
{
    struct txn_statistics statistics;

    txn_get_statistics(fixture->engine, &statistics);
    return statistics;
}

static void check_all_given_back(struct txn_fixture *fixture)
{
    struct store_statistics store;

    assert_int_equal(pool_charged_count(fixture->pool), pool_dirty_count(fixture->pool));
    store_get_statistics(fixture->store, &store);
    assert_int_equal(store.reserved_pages, pool_dirty_count(fixture->pool));
    assert_int_equal(store.reserved_content_blocks, 0);
}

/* --- Another thread that begins a transaction and says when it is admitted ---------------------------------------- */

struct beginner {
    struct txn_fixture *fixture;
    struct txn_need need;
    pthread_t thread;
    int result;
    struct txn *txn;
    _Atomic bool is_back;
};

static void *beginner_run(void *argument)
{
    struct beginner *beginner = argument;

    beginner->result = txn_begin(beginner->fixture->engine, &beginner->need, &beginner->txn);
    atomic_store(&beginner->is_back, true);
    return NULL;
}

/* Returns when it waits, as one of `waiters`. */
static void beginner_start_waiting(struct beginner *beginner, struct txn_fixture *fixture, struct txn_need need,
                                   unsigned waiters)
{
    *beginner = (struct beginner){.fixture = fixture, .need = need};
    assert_int_equal(pthread_create(&beginner->thread, NULL, beginner_run, beginner), 0);
    while (atomic_load(&fixture->engine->waiters) < waiters) {
        assert_false(atomic_load(&beginner->is_back));
        sched_yield();
    }
}

static int beginner_join(struct beginner *beginner)
{
    assert_int_equal(pthread_join(beginner->thread, NULL), 0);
    return beginner->result;
}

/* --- Frames ------------------------------------------------------------------------------------------------------- */

static void a_need_beyond_the_pool_is_refused(void **state)
{
    struct txn_fixture fixture;
    struct txn *txn = NULL;

    (void)state;
    set_up(&fixture, &no_options);
    const struct txn_need need = {.pages = pages_max(&fixture) + 1};
    assert_int_equal(txn_begin(fixture.engine, &need, &txn), -E2BIG);
    txn = txn_fixture_begin(&fixture, pages_max(&fixture), 0);
    txn_commit(txn);
    check_all_given_back(&fixture);
    txn_fixture_deinit(&fixture);
}

static void dirty_frames_are_written_for_who_needs_them(void **state)
{
    struct txn_fixture fixture;

    (void)state;
    set_up(&fixture, &no_options);
    txn_fixture_make_page(&fixture, 'a');
    struct txn *txn = txn_fixture_begin(&fixture, pages_max(&fixture), 0);
    txn_commit(txn);
    assert_int_equal(statistics_get(&fixture).waits_for_frames, 1);
    assert_int_equal(statistics_get(&fixture).checkpoints_pressure, 1);
    assert_int_equal(pool_dirty_count(fixture.pool), 0);
    txn_fixture_deinit(&fixture);
}

static void reserved_frames_are_waited_for(void **state)
{
    struct txn_fixture fixture;
    struct beginner beginner;

    (void)state;
    set_up(&fixture, &no_options);
    struct txn *txn = txn_fixture_begin(&fixture, pages_max(&fixture), 0);
    beginner_start_waiting(&beginner, &fixture, (struct txn_need){.pages = 1}, 1);
    txn_commit(txn);
    assert_int_equal(beginner_join(&beginner), 0);
    txn_abort(beginner.txn);
    check_all_given_back(&fixture);
    txn_fixture_deinit(&fixture);
}

/* Who comes later and needs less does not pass. */
static void a_large_need_does_not_starve(void **state)
{
    struct txn_fixture fixture;
    struct beginner large, small;

    (void)state;
    set_up(&fixture, &no_options);
    struct txn *first = txn_fixture_begin(&fixture, 10, 0);
    beginner_start_waiting(&large, &fixture, (struct txn_need){.pages = pages_max(&fixture)}, 1);
    beginner_start_waiting(&small, &fixture, (struct txn_need){.pages = 1}, 2);
    txn_commit(first);
    assert_int_equal(beginner_join(&large), 0);
    assert_false(atomic_load(&small.is_back));
    txn_commit(large.txn);
    assert_int_equal(beginner_join(&small), 0);
    txn_commit(small.txn);
    check_all_given_back(&fixture);
    txn_fixture_deinit(&fixture);
}

/* --- Contents ----------------------------------------------------------------------------------------------------- */

static struct store_run contents_make(struct txn_fixture *fixture, uint32_t block_count)
{
    const struct txn_need need = {.content_blocks = block_count};
    struct store_run run = {0};
    struct txn *txn = NULL;

    assert_int_equal(txn_begin(fixture->engine, &need, &txn), 0);
    assert_int_equal(txn_content_allocate(txn, block_count, 0, &run), 0);
    txn_lock(txn);
    txn_commit(txn);
    return run;
}

static void unsynced_contents_are_bounded(void **state)
{
    struct txn_fixture fixture;

    (void)state;
    set_up(&fixture, &(struct txn_engine_options){.content_unsynced_max = 8 * STORE_BLOCK_SIZE});
    contents_make(&fixture, 4);
    contents_make(&fixture, 4);
    assert_int_equal(statistics_get(&fixture).waits_for_contents, 0);
    contents_make(&fixture, 1);
    assert_int_equal(statistics_get(&fixture).waits_for_contents, 1);
    assert_int_equal(statistics_get(&fixture).log_syncs, 1);
    contents_make(&fixture, 7);
    contents_make(&fixture, 100); /* more than the bound: alone */
    assert_int_equal(statistics_get(&fixture).log_syncs, 2);
    assert_int_equal(txn_engine_sync(fixture.engine), 0);
    contents_make(&fixture, 100);
    assert_int_equal(statistics_get(&fixture).log_syncs, 3);
    check_all_given_back(&fixture);
    txn_fixture_deinit(&fixture);
}

static void contents_under_way_are_waited_for(void **state)
{
    struct txn_fixture fixture;
    struct beginner beginner;
    struct txn *txn = NULL;
    const struct txn_need need = {.content_blocks = 8};

    (void)state;
    set_up(&fixture, &(struct txn_engine_options){.content_unsynced_max = 8 * STORE_BLOCK_SIZE});
    assert_int_equal(txn_begin(fixture.engine, &need, &txn), 0);
    beginner_start_waiting(&beginner, &fixture, (struct txn_need){.content_blocks = 1}, 1);
    txn_abort(txn);
    assert_int_equal(beginner_join(&beginner), 0);
    txn_abort(beginner.txn);
    check_all_given_back(&fixture);
    txn_fixture_deinit(&fixture);
}

static void half_of_the_bound_starts_a_sync(void **state)
{
    struct txn_fixture fixture;

    (void)state;
    set_up(&fixture,
           &(struct txn_engine_options){.content_unsynced_max = 8 * STORE_BLOCK_SIZE, .commit_interval_ms = 3600000});
    contents_make(&fixture, 5);
    while (statistics_get(&fixture).log_syncs == 0) {
        sched_yield();
    }
    assert_int_equal(statistics_get(&fixture).waits_for_contents, 0);
    txn_fixture_deinit(&fixture);
}

static int contents_free(struct txn_fixture *fixture, struct store_run run)
{
    const struct txn_need need = {.frees_space = true};
    struct txn *txn = NULL;

    assert_int_equal(txn_begin(fixture->engine, &need, &txn), 0);
    txn_lock(txn);
    int error = txn_content_free(txn, run);
    txn_commit(txn);
    return error;
}

static void only_contents_are_freed_and_only_once(void **state)
{
    struct txn_fixture fixture;
    struct store_run next;

    (void)state;
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    set_up(&fixture, &no_options);
    struct store_run run = contents_make(&fixture, 12);
    assert_int_equal(run.count, 12);
    assert_int_equal(contents_free(&fixture, (struct store_run){run.block, 13}), -EUCLEAN);
    assert_int_equal(contents_free(&fixture, (struct store_run){run.block, 0}), -EUCLEAN);
    assert_int_equal(contents_free(&fixture, (struct store_run){0, 1}), -EUCLEAN);
    assert_int_equal(contents_free(&fixture, (struct store_run){UINT64_MAX, 1}), -EUCLEAN);
    assert_int_equal(contents_free(&fixture, (struct store_run){run.block, UINT32_MAX}), -EUCLEAN);

    /* Within one transaction: overlaps from every side. */
    struct txn *txn = txn_fixture_begin(&fixture, 0, 0);
    assert_int_equal(txn_content_free(txn, (struct store_run){run.block + 4, 2}), 0);
    assert_int_equal(txn_content_free(txn, (struct store_run){run.block + 8, 2}), 0);
    assert_int_equal(txn_content_free(txn, (struct store_run){run.block + 4, 2}), -EUCLEAN);
    assert_int_equal(txn_content_free(txn, (struct store_run){run.block + 5, 1}), -EUCLEAN);
    assert_int_equal(txn_content_free(txn, (struct store_run){run.block + 3, 2}), -EUCLEAN);
    assert_int_equal(txn_content_free(txn, (struct store_run){run.block + 5, 2}), -EUCLEAN);
    assert_int_equal(txn_content_free(txn, (struct store_run){run.block, 12}), -EUCLEAN);
    assert_int_equal(txn_content_free(txn, (struct store_run){run.block + 6, 2}), 0);
    txn_abort(txn);
    assert_int_equal(store_content_next(fixture.store, 0, &next), 0);
    assert_int_equal(next.count, 12);

    assert_int_equal(contents_free(&fixture, run), 0);
    assert_int_equal(contents_free(&fixture, run), -EUCLEAN);
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
    txn_fixture_deinit(&fixture);
}

/* More runs than a transaction has room for without asking for memory. */
static void many_runs_in_one_transaction(void **state)
{
    enum { COUNT = 500 };
    struct txn_fixture fixture;
    struct store_run runs[COUNT];
    const struct txn_need need = {.content_blocks = COUNT};
    struct txn *txn = NULL;

    (void)state;
    set_up(&fixture, &no_options);
    assert_int_equal(txn_begin(fixture.engine, &need, &txn), 0);
    for (unsigned index = 0; index < COUNT; index++) {
        assert_int_equal(txn_content_allocate(txn, 1, 0, &runs[index]), 0);
    }
    txn_lock(txn);
    txn_commit(txn);
    txn = txn_fixture_begin(&fixture, 0, 0);
    for (unsigned index = 0; index < COUNT; index++) {
        assert_int_equal(txn_content_free(txn, runs[index * 7 % COUNT]), 0);
    }
    txn_commit(txn);
    struct store_run next;
    assert_int_equal(store_content_next(fixture.store, 0, &next), -ENOENT);
    txn_fixture_deinit(&fixture);
}

static void an_abort_before_the_lock_gives_contents_back(void **state)
{
    struct txn_fixture fixture;
    const struct txn_need need = {.pages = 3, .content_blocks = 20};
    struct store_run run;
    struct txn *txn = NULL;

    (void)state;
    set_up(&fixture, &no_options);
    assert_int_equal(txn_begin(fixture.engine, &need, &txn), 0);
    assert_int_equal(txn_content_allocate(txn, 5, 0, &run), 0);
    txn_abort(txn);
    assert_int_equal(store_content_next(fixture.store, 0, &run), -ENOENT);
    check_all_given_back(&fixture);
    txn_fixture_deinit(&fixture);
}

/* --- Space -------------------------------------------------------------------------------------------------------- */

enum { FULL_BLOCKS = 8 * 1024, PIECE = 64 };

/* Contents until no more fit. Returns the runs made. */
static unsigned fill(struct txn_fixture *fixture, struct store_run *runs, unsigned run_max)
{
    const struct txn_need need = {.content_blocks = PIECE};
    unsigned count = 0;

    for (;;) {
        struct txn *txn = NULL;
        int error = txn_begin(fixture->engine, &need, &txn);
        if (error) {
            assert_int_equal(error, -ENOSPC);
            return count;
        }
        assert_true(count < run_max);
        assert_int_equal(txn_content_allocate(txn, PIECE, 0, &runs[count]), 0);
        count++;
        txn_lock(txn);
        txn_commit(txn);
    }
}

static void a_full_disk_can_be_emptied_and_filled_again(void **state)
{
    struct txn_fixture fixture;
    struct store_run runs[FULL_BLOCKS];

    (void)state;
    set_up(&fixture, &no_options);
    fault_file_set_host_size(fixture.fault, (uint64_t)FULL_BLOCKS * STORE_BLOCK_SIZE);
    unsigned count = fill(&fixture, runs, FULL_BLOCKS);
    assert_true(count > 10);
    check_all_given_back(&fixture);

    uint64_t waits = statistics_get(&fixture).waits_for_space;
    for (unsigned index = 0; index < count; index++) {
        assert_int_equal(contents_free(&fixture, runs[index]), 0);
    }
    /* What was freed is free after a checkpoint, which admission takes by itself. */
    unsigned again = fill(&fixture, runs, FULL_BLOCKS);
    assert_true(again + 1 >= count);
    assert_true(statistics_get(&fixture).waits_for_space > waits);
    assert_int_equal(txn_engine_sync(fixture.engine), 0);
    check_all_given_back(&fixture);
    txn_fixture_deinit(&fixture);
}

static void space_promised_to_others_is_waited_for(void **state)
{
    struct txn_fixture fixture;
    struct store_run runs[FULL_BLOCKS];
    struct beginner beginner;

    (void)state;
    set_up(&fixture, &no_options);
    fault_file_set_host_size(fixture.fault, (uint64_t)FULL_BLOCKS * STORE_BLOCK_SIZE);
    struct txn *txn = txn_fixture_begin(&fixture, 0, 10 * PIECE);
    beginner_start_waiting(&beginner, &fixture, (struct txn_need){.content_blocks = FULL_BLOCKS - 20 * PIECE}, 1);
    txn_abort(txn);
    int result = beginner_join(&beginner);
    if (result == 0) {
        txn_abort(beginner.txn);
    } else {
        assert_int_equal(result, -ENOSPC);
    }
    /* It is admitted or refused as if it were alone. */
    struct txn *alone = NULL;
    assert_int_equal(txn_begin(fixture.engine, &beginner.need, &alone), result);
    if (alone) {
        txn_abort(alone);
    }
    fill(&fixture, runs, FULL_BLOCKS);
    txn_fixture_deinit(&fixture);
}

/* --- Failure ------------------------------------------------------------------------------------------------------ */

static void who_waits_when_the_disk_fails_is_told(void **state)
{
    struct txn_fixture fixture;
    struct beginner beginner;
    uint64_t page;

    (void)state;
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    set_up(&fixture, &no_options);
    page = txn_fixture_make_page(&fixture, 'a');
    assert_int_equal(txn_engine_sync(fixture.engine), 0);
    struct txn *txn = txn_fixture_begin(&fixture, pages_max(&fixture), 0);
    beginner_start_waiting(&beginner, &fixture, (struct txn_need){.pages = 1}, 1);
    txn_fixture_put(txn, page, 0, "b", 1);
    fault_file_fail(fixture.fault, FAULT_WRITE, 1, EIO, true);
    txn_commit(txn);
    /* There is room for it now, or there is a checkpoint to take first: both may be. */
    int result = beginner_join(&beginner);
    assert_true(result == 0 || result == -EROFS);
    if (result == 0) {
        txn_abort(beginner.txn);
    }
    assert_int_equal(txn_engine_sync(fixture.engine), result == 0 ? -EIO : -EROFS);
    const struct txn_need need = {.pages = 1};
    assert_int_equal(txn_begin(fixture.engine, &need, &txn), -EROFS);
    txn_fixture_deinit(&fixture);
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
}

/* A write may fail at any call of a checkpoint: always the old state or the new one is there, and nothing hangs. */
static void every_write_and_sync_of_a_checkpoint_may_fail(void **state)
{
    const enum fault_call calls[] = {FAULT_WRITE, FAULT_SYNC};

    (void)state;
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    for (size_t kind = 0; kind < sizeof calls / sizeof calls[0]; kind++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            struct txn_fixture fixture;
            set_up(&fixture, &no_options);
            uint64_t page = txn_fixture_make_page(&fixture, 'a');
            assert_int_equal(txn_engine_sync(fixture.engine), 0);
            struct txn *txn = txn_fixture_begin(&fixture, 1, 0);
            txn_fixture_put(txn, page, 0, "b", 1);
            txn_commit(txn);
            fault_file_fail(fixture.fault, calls[kind], n, EIO, false);
            int error = txn_engine_sync(fixture.engine);
            failed = error != 0;
            assert_true(error == 0 || error == -EIO);
            assert_int_equal(txn_engine_sync(fixture.engine), failed ? -EROFS : 0);

            struct os_file *image = fault_file_crash(fixture.fault, NULL);
            txn_fixture_deinit(&fixture);
            txn_fixture_start(&fixture, fault_file_create(image));
            uint8_t byte = txn_fixture_byte(&fixture, page, 0);
            assert_true(byte == 'b' || (failed && byte == 'a'));
            txn_fixture_deinit(&fixture);
        }
    }
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
}

static void a_read_only_store_admits_nothing(void **state)
{
    struct txn_fixture fixture;
    struct base_reason reason;
    const struct store_open_options options = {.read_only = true};
    const struct pool_options pool_options = {0};
    const struct txn_need need = {.pages = 1};
    struct txn *txn = NULL;

    (void)state;
    set_up(&fixture, &no_options);
    txn_fixture_stop(&fixture);
    assert_int_equal(store_open(fault_file_seam(fixture.fault), &options, &fixture.store, &reason), 0);
    assert_int_equal(pool_create(fixture.store, &pool_options, &fixture.pool), 0);
    assert_int_equal(txn_engine_open(fixture.store, fixture.pool, &no_options, &fixture.engine), 0);
    assert_int_equal(txn_begin(fixture.engine, &need, &txn), -EROFS);
    assert_int_equal(txn_engine_sync(fixture.engine), 0);
    txn_fixture_deinit(&fixture);
}

static void change_two_pages_with_need_of_one(void *argument)
{
    struct txn_fixture *fixture = argument;
    struct txn *txn = txn_fixture_begin(fixture, 1, 0);

    txn_fixture_put(txn, 1, 0, "x", 1);
    txn_fixture_put(txn, 2, 0, "x", 1);
}

static void exceeding_the_need_is_a_broken_invariant(void **state)
{
    struct txn_fixture fixture;

    (void)state;
    set_up(&fixture, &no_options);
    txn_fixture_make_page(&fixture, 'a');
    txn_fixture_make_page(&fixture, 'b');
    assert_true(test_child_aborts(change_two_pages_with_need_of_one, &fixture));
    txn_fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_need_beyond_the_pool_is_refused),
        cmocka_unit_test(dirty_frames_are_written_for_who_needs_them),
        cmocka_unit_test(reserved_frames_are_waited_for),
        cmocka_unit_test(a_large_need_does_not_starve),
        cmocka_unit_test(unsynced_contents_are_bounded),
        cmocka_unit_test(contents_under_way_are_waited_for),
        cmocka_unit_test(half_of_the_bound_starts_a_sync),
        cmocka_unit_test(only_contents_are_freed_and_only_once),
        cmocka_unit_test(many_runs_in_one_transaction),
        cmocka_unit_test(an_abort_before_the_lock_gives_contents_back),
        cmocka_unit_test(a_full_disk_can_be_emptied_and_filled_again),
        cmocka_unit_test(space_promised_to_others_is_waited_for),
        cmocka_unit_test(who_waits_when_the_disk_fails_is_told),
        cmocka_unit_test(every_write_and_sync_of_a_checkpoint_may_fail),
        cmocka_unit_test(a_read_only_store_admits_nothing),
        cmocka_unit_test(exceeding_the_need_is_a_broken_invariant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
