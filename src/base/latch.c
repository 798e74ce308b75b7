/* Locks over pthread, and in debug builds the check of the lock order.
 *
 * The record of a thread is the multiset of the ranks that it holds, in no order (releases come in any order). Taking a
 * lock asserts that its rank is above all of them; FS_INODE and PAGE_LATCH may also be equal to the highest. A pthread
 * call that fails is a broken invariant (a lock not initialised, not held, or taken twice). */
#include "base/latch.h"

#include <errno.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"

#ifdef BASE_LOCK_RANKS

enum { HELD_MAX = 256 };

static _Thread_local enum base_lock_rank held_ranks[HELD_MAX];
static _Thread_local unsigned held_count;

static void rank_check(enum base_lock_rank rank)
{
    bool may_equal = rank == BASE_RANK_FS_INODE || rank == BASE_RANK_PAGE_LATCH;

    for (unsigned index = 0; index < held_count; index++) {
        BASE_ASSERT(held_ranks[index] < rank || (may_equal && held_ranks[index] == rank));
    }
}

static void rank_take(enum base_lock_rank rank)
{
    BASE_ASSERT(held_count < HELD_MAX);
    held_ranks[held_count++] = rank;
}

static void rank_release(enum base_lock_rank rank)
{
    unsigned index = held_count;

    do {
        BASE_ASSERT(index > 0); /* else this thread does not hold such a lock */
        index--;
    } while (held_ranks[index] != rank);
    held_ranks[index] = held_ranks[--held_count];
}

#else

static inline void rank_check(enum base_lock_rank rank)
{
    (void)rank;
}

static inline void rank_take(enum base_lock_rank rank)
{
    (void)rank;
}

static inline void rank_release(enum base_lock_rank rank)
{
    (void)rank;
}

#endif

void base_mutex_init(struct base_mutex *mutex, enum base_lock_rank rank)
{
    BASE_ASSERT(pthread_mutex_init(&mutex->mutex, NULL) == 0);
    mutex->rank = rank;
}

void base_mutex_deinit(struct base_mutex *mutex)
{
    BASE_ASSERT(pthread_mutex_destroy(&mutex->mutex) == 0);
}

void base_mutex_lock(struct base_mutex *mutex)
{
    rank_check(mutex->rank);
    BASE_ASSERT(pthread_mutex_lock(&mutex->mutex) == 0);
    rank_take(mutex->rank);
}

void base_mutex_unlock(struct base_mutex *mutex)
{
    rank_release(mutex->rank);
    BASE_ASSERT(pthread_mutex_unlock(&mutex->mutex) == 0);
}

void base_latch_init(struct base_latch *latch, enum base_lock_rank rank)
{
    pthread_rwlockattr_t attributes;

    BASE_ASSERT(pthread_rwlockattr_init(&attributes) == 0);
    BASE_ASSERT(pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0);
    BASE_ASSERT(pthread_rwlock_init(&latch->lock, &attributes) == 0);
    BASE_ASSERT(pthread_rwlockattr_destroy(&attributes) == 0);
    latch->rank = rank;
}

void base_latch_deinit(struct base_latch *latch)
{
    BASE_ASSERT(pthread_rwlock_destroy(&latch->lock) == 0);
}

void base_latch_lock_shared(struct base_latch *latch)
{
    rank_check(latch->rank);
    BASE_ASSERT(pthread_rwlock_rdlock(&latch->lock) == 0);
    rank_take(latch->rank);
}

void base_latch_lock_exclusive(struct base_latch *latch)
{
    rank_check(latch->rank);
    BASE_ASSERT(pthread_rwlock_wrlock(&latch->lock) == 0);
    rank_take(latch->rank);
}

bool base_latch_try_shared(struct base_latch *latch)
{
    int result = pthread_rwlock_tryrdlock(&latch->lock);

    BASE_ASSERT(result == 0 || result == EBUSY || result == EAGAIN);
    if (result == 0) {
        rank_take(latch->rank);
    }
    return result == 0;
}

bool base_latch_try_exclusive(struct base_latch *latch)
{
    int result = pthread_rwlock_trywrlock(&latch->lock);

    BASE_ASSERT(result == 0 || result == EBUSY);
    if (result == 0) {
        rank_take(latch->rank);
    }
    return result == 0;
}

void base_latch_unlock_shared(struct base_latch *latch)
{
    rank_release(latch->rank);
    BASE_ASSERT(pthread_rwlock_unlock(&latch->lock) == 0);
}

void base_latch_unlock_exclusive(struct base_latch *latch)
{
    rank_release(latch->rank);
    BASE_ASSERT(pthread_rwlock_unlock(&latch->lock) == 0);
}

void base_condition_init(struct base_condition *condition)
{
    pthread_condattr_t attributes;

    BASE_ASSERT(pthread_condattr_init(&attributes) == 0);
    BASE_ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    BASE_ASSERT(pthread_cond_init(&condition->condition, &attributes) == 0);
    BASE_ASSERT(pthread_condattr_destroy(&attributes) == 0);
}

void base_condition_deinit(struct base_condition *condition)
{
    BASE_ASSERT(pthread_cond_destroy(&condition->condition) == 0);
}

/* The wait lets the mutex go and takes it again, so the order is checked as for a fresh lock, before it can block. */
void base_condition_wait(struct base_condition *condition, struct base_mutex *mutex)
{
    rank_release(mutex->rank);
    rank_check(mutex->rank);
    BASE_ASSERT(pthread_cond_wait(&condition->condition, &mutex->mutex) == 0);
    rank_take(mutex->rank);
}

bool base_condition_wait_for(struct base_condition *condition, struct base_mutex *mutex, uint64_t timeout_ms)
{
    /* A wait of more than a year is a wait of a year: the sum below can't overflow. */
    const uint64_t longest_ms = (uint64_t)366 * 24 * 3600 * 1000;
    uint64_t wait_ms = timeout_ms < longest_ms ? timeout_ms : longest_ms;
    uint64_t deadline_ns = base_clock_monotonic_ns() + wait_ms * 1000000;
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                                .tv_nsec = (long)(deadline_ns % 1000000000)};

    rank_release(mutex->rank);
    rank_check(mutex->rank);
    int result = pthread_cond_timedwait(&condition->condition, &mutex->mutex, &deadline);
    BASE_ASSERT(result == 0 || result == ETIMEDOUT);
    rank_take(mutex->rank);
    return result == 0;
}

void base_condition_signal(struct base_condition *condition)
{
    BASE_ASSERT(pthread_cond_signal(&condition->condition) == 0);
}

void base_condition_broadcast(struct base_condition *condition)
{
    BASE_ASSERT(pthread_cond_broadcast(&condition->condition) == 0);
}
