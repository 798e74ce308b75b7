/* Mutexes, latches, conditions, and in builds with ranks the check of the lock order. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/latch.h"
#include "support/test_child.h"

enum { THREAD_COUNT = 4, ROUND_COUNT = 20000 };

struct shared {
    struct base_mutex mutex;
    struct base_condition condition;
    struct base_latch latch;
    uint64_t by_mutex;
    uint64_t by_latch[2]; /* always equal when the latch is held */
    unsigned ready_count;
    bool go;
};

static void shared_init(struct shared *shared)
{
    *shared = (struct shared){0};
    base_mutex_init(&shared->mutex, BASE_RANK_ADMISSION);
    base_condition_init(&shared->condition);
    base_latch_init(&shared->latch, BASE_RANK_TREE_GATE);
}

static void shared_deinit(struct shared *shared)
{
    base_latch_deinit(&shared->latch);
    base_condition_deinit(&shared->condition);
    base_mutex_deinit(&shared->mutex);
}

static void *count_up(void *argument)
{
    struct shared *shared = argument;

    for (int round = 0; round < ROUND_COUNT; round++) {
        base_mutex_lock(&shared->mutex);
        shared->by_mutex++;
        base_mutex_unlock(&shared->mutex);
        if (round % 4 == 0) {
            base_latch_lock_exclusive(&shared->latch);
            shared->by_latch[0]++;
            shared->by_latch[1]++;
            base_latch_unlock_exclusive(&shared->latch);
        } else {
            base_latch_lock_shared(&shared->latch);
            BASE_ASSERT(shared->by_latch[0] == shared->by_latch[1]);
            base_latch_unlock_shared(&shared->latch);
        }
    }
    return NULL;
}

static void test_locks_exclude(void **state)
{
    struct shared shared;
    pthread_t threads[THREAD_COUNT];
    (void)state;

    shared_init(&shared);
    for (int index = 0; index < THREAD_COUNT; index++) {
        assert_int_equal(pthread_create(&threads[index], NULL, count_up, &shared), 0);
    }
    for (int index = 0; index < THREAD_COUNT; index++) {
        assert_int_equal(pthread_join(threads[index], NULL), 0);
    }
    assert_int_equal(shared.by_mutex, THREAD_COUNT * ROUND_COUNT);
    assert_int_equal(shared.by_latch[0], THREAD_COUNT * ROUND_COUNT / 4);
    shared_deinit(&shared);
}

static void test_try_says_no(void **state)
{
    struct shared shared;
    (void)state;

    shared_init(&shared);
    assert_true(base_latch_try_shared(&shared.latch));
    assert_true(base_latch_try_shared(&shared.latch));
    assert_false(base_latch_try_exclusive(&shared.latch));
    base_latch_unlock_shared(&shared.latch);
    base_latch_unlock_shared(&shared.latch);
    assert_true(base_latch_try_exclusive(&shared.latch));
    assert_false(base_latch_try_shared(&shared.latch));
    assert_false(base_latch_try_exclusive(&shared.latch));
    base_latch_unlock_exclusive(&shared.latch);
    shared_deinit(&shared);
}

static void *wait_for_go(void *argument)
{
    struct shared *shared = argument;

    base_mutex_lock(&shared->mutex);
    shared->ready_count++;
    base_condition_broadcast(&shared->condition);
    while (!shared->go) {
        base_condition_wait(&shared->condition, &shared->mutex);
    }
    shared->by_mutex++;
    base_mutex_unlock(&shared->mutex);
    return NULL;
}

static void test_condition_wakes_all(void **state)
{
    struct shared shared;
    pthread_t threads[THREAD_COUNT];
    (void)state;

    shared_init(&shared);
    for (int index = 0; index < THREAD_COUNT; index++) {
        assert_int_equal(pthread_create(&threads[index], NULL, wait_for_go, &shared), 0);
    }
    base_mutex_lock(&shared.mutex);
    while (shared.ready_count < THREAD_COUNT) {
        assert_true(base_condition_wait_for(&shared.condition, &shared.mutex, 60000));
    }
    shared.go = true;
    base_condition_broadcast(&shared.condition);
    base_mutex_unlock(&shared.mutex);
    for (int index = 0; index < THREAD_COUNT; index++) {
        assert_int_equal(pthread_join(threads[index], NULL), 0);
    }
    assert_int_equal(shared.by_mutex, THREAD_COUNT);
    shared_deinit(&shared);
}

static void test_condition_times_out(void **state)
{
    struct shared shared;
    (void)state;

    shared_init(&shared);
    base_mutex_lock(&shared.mutex);
    uint64_t start_ns = base_clock_monotonic_ns();
    while (base_condition_wait_for(&shared.condition, &shared.mutex, 20)) {
        start_ns = base_clock_monotonic_ns(); /* a spurious wake-up */
    }
    assert_true(base_clock_monotonic_ns() - start_ns >= 20 * 1000000);
    while (base_condition_wait_for(&shared.condition, &shared.mutex, 0)) {
    }
    base_mutex_unlock(&shared.mutex);
    shared_deinit(&shared);
}

#ifdef BASE_LOCK_RANKS

/* Takes the mutexes of two ranks, in the order given. */
static void take_two(void *argument)
{
    const enum base_lock_rank *ranks = argument;
    struct base_mutex first, second;

    base_mutex_init(&first, ranks[0]);
    base_mutex_init(&second, ranks[1]);
    base_mutex_lock(&first);
    base_mutex_lock(&second);
    base_mutex_unlock(&first);
    base_mutex_unlock(&second);
}

static int two_abort(enum base_lock_rank first, enum base_lock_rank second)
{
    enum base_lock_rank ranks[] = {first, second};
    return test_child_aborts(take_two, ranks);
}

static void test_ranks_rise(void **state)
{
    (void)state;

    assert_false(two_abort(BASE_RANK_FS_INODE, BASE_RANK_WRITER));
    assert_true(two_abort(BASE_RANK_WRITER, BASE_RANK_FS_INODE));
    assert_true(two_abort(BASE_RANK_POOL, BASE_RANK_POOL));
    assert_true(two_abort(BASE_RANK_LEAF, BASE_RANK_LEAF));
    assert_false(two_abort(BASE_RANK_FS_INODE, BASE_RANK_FS_INODE));
    assert_false(two_abort(BASE_RANK_PAGE_LATCH, BASE_RANK_PAGE_LATCH));
}

/* Equal inode ranks are fine, but not with a page latch held. */
static void take_inode_under_page(void *argument)
{
    struct base_latch inode, page;
    (void)argument;

    base_latch_init(&inode, BASE_RANK_FS_INODE);
    base_latch_init(&page, BASE_RANK_PAGE_LATCH);
    base_latch_lock_shared(&inode);
    base_latch_lock_exclusive(&page);
    base_latch_unlock_shared(&inode);
    base_latch_lock_shared(&inode);
}

static void try_against_the_order(void *argument)
{
    struct base_latch low, high;
    (void)argument;

    base_latch_init(&low, BASE_RANK_WRITER);
    base_latch_init(&high, BASE_RANK_POOL);
    base_latch_lock_exclusive(&high);
    BASE_ASSERT(base_latch_try_exclusive(&low));
    base_latch_unlock_exclusive(&low);
    BASE_ASSERT(base_latch_try_shared(&low));
    base_latch_unlock_exclusive(&high);
    base_latch_lock_shared(&high);
    base_latch_unlock_shared(&high);
    base_latch_unlock_shared(&low);
}

static void release_what_is_not_held(void *argument)
{
    struct base_mutex mutex;
    (void)argument;

    base_mutex_init(&mutex, BASE_RANK_POOL);
    base_mutex_unlock(&mutex);
}

/* The wait takes its mutex again, which the higher lock forbids. */
static void wait_under_a_higher_lock(void *argument)
{
    struct base_mutex low, high;
    struct base_condition condition;
    (void)argument;

    base_mutex_init(&low, BASE_RANK_ADMISSION);
    base_mutex_init(&high, BASE_RANK_POOL);
    base_condition_init(&condition);
    base_mutex_lock(&low);
    base_mutex_lock(&high);
    (void)base_condition_wait_for(&condition, &low, 1);
}

static void test_record_follows_every_call(void **state)
{
    (void)state;

    assert_true(test_child_aborts(take_inode_under_page, NULL));
    assert_false(test_child_aborts(try_against_the_order, NULL));
    assert_true(test_child_aborts(release_what_is_not_held, NULL));
    assert_true(test_child_aborts(wait_under_a_higher_lock, NULL));
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locks_exclude),       cmocka_unit_test(test_try_says_no),
        cmocka_unit_test(test_condition_wakes_all), cmocka_unit_test(test_condition_times_out),
#ifdef BASE_LOCK_RANKS
        cmocka_unit_test(test_ranks_rise),          cmocka_unit_test(test_record_follows_every_call),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
