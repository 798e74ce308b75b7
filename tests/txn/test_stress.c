/* Threads whose transactions need more than there is: few frames, a low bound for unsynced contents, a small disk.
 * Nobody may wait for ever, and at the end everything promised has come back. */
#include "txn_fixture.h"

#include "base/assert.h"
#include "base/random.h"
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

enum {
    PAGE_SIZE = 4096,
    THREAD_COUNT = 6,
    PAGE_COUNT = 600, /* more than frames */
    RUN_MAX = 400,    /* a thread's contents */
    DISK_BLOCKS = 6 * 1024,
};

struct worker {
    pthread_t thread;
    struct base_random random;
    unsigned transactions_left;
    struct store_run runs[RUN_MAX];
    unsigned run_count;
    unsigned no_space_count;
};

static struct txn_fixture fixture;
static uint64_t pages[PAGE_COUNT];
static struct worker workers[THREAD_COUNT];

static uint64_t below(struct worker *worker, uint64_t bound)
{
    return base_random_below(&worker->random, bound);
}

static void edit_pages(struct worker *worker, struct txn *txn, uint32_t count)
{
    uint8_t bytes[100];

    memset(bytes, (int)below(worker, 256), sizeof bytes);
    for (uint32_t index = 0; index < count; index++) {
        struct pool_frame *frame = NULL;
        BASE_ASSERT(txn_page_pin(txn, pages[below(worker, PAGE_COUNT)], &frame) == 0);
        txn_edit_begin(txn, frame);
        txn_edit_put(txn, frame, (uint32_t)below(worker, PAGE_SIZE - 100), bytes, sizeof bytes);
        txn_edit_end(txn, frame);
        txn_page_unpin(txn, frame);
    }
}

/* The root stays; others go and come back under the number that is free then. */
static void replace_page(struct worker *worker, struct txn *txn)
{
    struct pool_frame *frame = NULL;
    uint64_t *page = &pages[1 + below(worker, PAGE_COUNT - 1)];

    BASE_ASSERT(txn_page_pin(txn, *page, &frame) == 0);
    txn_page_free(txn, frame);
    txn_page_unpin(txn, frame);
    BASE_ASSERT(txn_page_new(txn, &frame) == 0);
    *page = pool_frame_page(frame);
    txn_page_unpin(txn, frame);
}

/* A transaction that frees contents. */
static void shrink(struct worker *worker)
{
    const struct txn_need need = {.pages = 4, .frees_space = true};
    struct txn *txn = NULL;

    int error = txn_begin(fixture.engine, &need, &txn);
    BASE_ASSERT(error == 0); /* what frees space always gets through */
    txn_lock(txn);
    edit_pages(worker, txn, 2);
    unsigned left = worker->run_count / 2;
    for (unsigned index = left; index < worker->run_count; index++) {
        BASE_ASSERT(txn_content_free(txn, worker->runs[index]) == 0);
    }
    worker->run_count = left;
    txn_commit(txn);
}

/* A transaction that makes contents and changes pages; half of them are taken back. */
static void grow(struct worker *worker)
{
    const struct txn_need need = {.pages = 2 + (uint32_t)below(worker, below(worker, 10) == 0 ? 250 : 30),
                                  .content_blocks = below(worker, 60)};
    struct txn *txn = NULL;
    uint64_t allocated = 0;
    unsigned run_count = worker->run_count;

    int error = txn_begin(fixture.engine, &need, &txn);
    if (error) {
        BASE_ASSERT(error == -ENOSPC);
        worker->no_space_count++;
        shrink(worker);
        return;
    }
    while (allocated < need.content_blocks && run_count < RUN_MAX) {
        struct store_run *run = &worker->runs[run_count++];
        BASE_ASSERT(txn_content_allocate(txn, (uint32_t)(need.content_blocks - allocated), 0, run) == 0);
        allocated += run->count;
    }
    bool commits = below(worker, 3) > 0;
    txn_lock(txn);
    edit_pages(worker, txn, 1 + (uint32_t)below(worker, need.pages - 1));
    if (commits) {
        replace_page(worker, txn);
        worker->run_count = run_count;
        txn_commit(txn);
    } else {
        txn_abort(txn);
    }
    if (run_count == RUN_MAX) {
        shrink(worker);
    }
}

static void *worker_run(void *argument)
{
    struct worker *worker = argument;

    for (; worker->transactions_left > 0; worker->transactions_left--) {
        if (below(worker, 50) == 0) {
            BASE_ASSERT(txn_engine_sync(fixture.engine) == 0);
        }
        grow(worker);
    }
    return NULL;
}

static void check_contents(void)
{
    struct store_statistics store;
    struct pool_statistics pool;
    uint64_t blocks = 0;

    for (unsigned index = 0; index < THREAD_COUNT; index++) {
        for (unsigned run = 0; run < workers[index].run_count; run++) {
            assert_true(store_content_is_valid(fixture.store, workers[index].runs[run]));
            blocks += workers[index].runs[run].count;
        }
    }
    store_get_statistics(fixture.store, &store);
    pool_get_statistics(fixture.pool, &pool);
    assert_int_equal(store.content_blocks, blocks);
    assert_int_equal(store.pages, PAGE_COUNT);
    assert_int_equal(store.reserved_pages + store.reserved_content_blocks, 0);
    assert_int_equal(pool.frames_dirty + pool.frames_frozen + pool.frames_reserved, 0);
    assert_int_equal(txn_content_unsynced(fixture.engine), 0);
    assert_true(fixture.engine->begins == fixture.engine->ends);
}

static void run(uint64_t interval_ms)
{
    struct txn_statistics statistics;
    uint64_t seed = test_seed("txn stress", 11);
    unsigned no_space_count = 0;

    fixture = (struct txn_fixture){
        .page_size = PAGE_SIZE,
        .steal_after = 4,
        .options = {.commit_interval_ms = interval_ms, .content_unsynced_max = 100 * STORE_BLOCK_SIZE}};
    txn_fixture_init(&fixture);
    fault_file_set_host_size(fixture.fault, (uint64_t)DISK_BLOCKS * STORE_BLOCK_SIZE);
    for (unsigned index = 0; index < PAGE_COUNT; index++) {
        pages[index] = txn_fixture_make_page(&fixture, (uint8_t)index);
    }
    for (unsigned index = 0; index < THREAD_COUNT; index++) {
        struct worker *worker = &workers[index];
        *worker = (struct worker){.transactions_left = test_is_long() ? 10000 : 400};
        base_random_seed(&worker->random, seed + index);
        assert_int_equal(pthread_create(&worker->thread, NULL, worker_run, worker), 0);
    }
    for (unsigned index = 0; index < THREAD_COUNT; index++) {
        assert_int_equal(pthread_join(workers[index].thread, NULL), 0);
        no_space_count += workers[index].no_space_count;
    }
    shrink(&workers[0]); /* pages that aborts left dirty are not a sync's business, but go with its checkpoint */
    assert_int_equal(txn_engine_checkpoint(fixture.engine), 0);
    check_contents();
    txn_get_statistics(fixture.engine, &statistics);
    printf("commits %llu, aborts %llu, refused %u; waited for frames %llu, contents %llu, space %llu\n",
           (unsigned long long)statistics.commits, (unsigned long long)statistics.aborts, no_space_count,
           (unsigned long long)statistics.waits_for_frames, (unsigned long long)statistics.waits_for_contents,
           (unsigned long long)statistics.waits_for_space);
    assert_true(statistics.waits_for_frames > 0 && statistics.waits_for_contents > 0);
    assert_true(no_space_count > 0 && statistics.waits_for_space > 0);
    txn_fixture_deinit(&fixture);
}

static void everything_is_short(void **state)
{
    (void)state;
    run(0);
}

static void everything_is_short_with_the_background_thread(void **state)
{
    (void)state;
    run(10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_short),
        cmocka_unit_test(everything_is_short_with_the_background_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
