/* Where frames come from: the free list, frames never used, and the clock that evicts.
 *
 * The clock's hand passes over all frames. A frame without pins that was pinned since the last pass gets a second
 * chance; otherwise it is evicted. A page just loaded starts without that bit, so a scan, which pins its pages once,
 * does not push out what is used again and again. A live dirty frame is stolen (written, then evicted) only when a
 * search has met many of them before a clean one: at most half of the frames are dirty, so a clean one is always near
 * unless readers hold them. Frozen frames are left to the checkpoint.
 *
 * The hand is a counter that every searcher advances; nothing is locked until a frame looks right. What was read
 * without a lock is looked at again under the mutex of the frame's partition. */
#include "base/assert.h"
#include "internal.h"

#include <errno.h>

enum {
    FRAME_WAIT_MS_MAX = 10, /* a steal refused for a moment makes no wake-up, so look again */
};

static struct pool_frame *free_take(struct pool *pool)
{
    struct pool_frame *frame = NULL;

    base_mutex_lock(&pool->free_mutex);
    if (pool->free_list) {
        frame = pool->free_list;
        pool->free_list = frame->next;
        pool->free_count--;
    } else if (pool->fresh_count < pool->frame_count) {
        frame = &pool->frames[pool->fresh_count];
        frame->bytes = pool->arena + pool->fresh_count * pool->page_size;
        base_latch_init(&frame->latch, BASE_RANK_PAGE_LATCH);
        pool->fresh_count++;
    }
    base_mutex_unlock(&pool->free_mutex);
    if (frame) {
        atomic_store_explicit(&frame->pins, POOL_DETACHED | 1, memory_order_relaxed);
    }
    return frame;
}

static void free_give(struct pool *pool, struct pool_frame *frame)
{
    base_mutex_lock(&pool->free_mutex);
    frame->next = pool->free_list;
    pool->free_list = frame;
    pool->free_count++;
    pool->release_count++;
    base_condition_broadcast(&pool->frame_released);
    base_mutex_unlock(&pool->free_mutex);
}

void pool_frame_release(struct pool *pool, struct pool_frame *frame, uint32_t count)
{
    /* Sequentially consistent against frame_waiters: either this thread sees the waiter or its search sees the pins. */
    uint32_t before = atomic_fetch_sub(&frame->pins, count);

    BASE_ASSERT((before & ~POOL_DETACHED) >= count);
    uint32_t left = (before & ~POOL_DETACHED) - count;
    if (left == 0 && (before & POOL_DETACHED) != 0) {
        free_give(pool, frame);
    } else if (left <= 1 && atomic_load(&pool->frame_waiters) > 0) {
        base_mutex_lock(&pool->free_mutex);
        pool->release_count++;
        base_condition_broadcast(&pool->frame_released);
        base_mutex_unlock(&pool->free_mutex);
    }
}

/* Takes a frame without pins out of the hash. */
static bool frame_evict(struct pool *pool, struct pool_frame *frame)
{
    uint64_t page = atomic_load_explicit(&frame->page, memory_order_relaxed);
    struct pool_partition *partition = pool_partition_of(pool, page);
    bool evicted = false;

    base_mutex_lock(&partition->mutex);
    if (atomic_load_explicit(&frame->pins, memory_order_acquire) == 0 && pool_hash_remove(pool, page, frame)) {
        atomic_store_explicit(&frame->pins, POOL_DETACHED | 1, memory_order_relaxed);
        evicted = true;
    }
    base_mutex_unlock(&partition->mutex);
    if (evicted) {
        pool_count(&pool->evictions);
    }
    return evicted;
}

/* Pins a frame that only the dirty list holds. */
static bool victim_pin(struct pool *pool, struct pool_frame *frame, uint64_t page)
{
    struct pool_partition *partition = pool_partition_of(pool, page);
    bool pinned = false;

    base_mutex_lock(&partition->mutex);
    if (pool_hash_find(pool, page) == frame && atomic_load_explicit(&frame->pins, memory_order_relaxed) == 1) {
        atomic_fetch_add_explicit(&frame->pins, 1, memory_order_relaxed);
        pinned = true;
    }
    base_mutex_unlock(&partition->mutex);
    return pinned;
}

/* Lets the pin of victim_pin go, and takes the frame out of the hash if that was the last. */
static bool victim_unpin(struct pool *pool, struct pool_frame *frame, uint64_t page)
{
    struct pool_partition *partition = pool_partition_of(pool, page);
    uint32_t sole = 1;
    bool evicted = false;

    base_mutex_lock(&partition->mutex);
    /* Not detached and down to this pin: in the hash, clean, and nobody else's. */
    if (atomic_compare_exchange_strong_explicit(&frame->pins, &sole, POOL_DETACHED | 1, memory_order_acquire,
                                                memory_order_relaxed)) {
        BASE_ASSERT(pool_hash_remove(pool, page, frame));
        evicted = true;
    }
    base_mutex_unlock(&partition->mutex);
    if (!evicted) {
        pool_frame_release(pool, frame, 1);
    }
    return evicted;
}

/* Writes a live dirty frame to free blocks and evicts it. */
static bool frame_steal(struct pool *pool, struct pool_frame *frame)
{
    uint64_t page = atomic_load_explicit(&frame->page, memory_order_relaxed);

    if (!victim_pin(pool, frame, page)) {
        return false;
    }
    if (base_latch_try_shared(&frame->latch)) {
        /* The dirty list and this thread: a transaction that has changed the frame would hold a third pin, and counts
         * on it to stay dirty. One that comes later waits for the latch. */
        bool unused = atomic_load_explicit(&frame->pins, memory_order_acquire) == 2;
        if (unused && pool_steal_begin(pool, frame)) {
            int error = store_page_write(pool->store, page, frame->bytes, false);
            if (error == 0) {
                pool_count(&pool->writes);
            }
            pool_steal_end(pool, frame, error);
        }
        base_latch_unlock_shared(&frame->latch);
    }
    if (!victim_unpin(pool, frame, page)) {
        return false;
    }
    pool_count(&pool->evictions);
    pool_count(&pool->evictions_dirty);
    return true;
}

/* Whether the frame was pinned since the last pass; it will not have been at the next. */
static bool second_chance(struct pool_frame *frame)
{
    if (atomic_load_explicit(&frame->referenced, memory_order_relaxed) == 0) {
        return false;
    }
    atomic_store_explicit(&frame->referenced, 0, memory_order_relaxed);
    return true;
}

/* Two rounds: the first may do no more than take second chances away. */
static struct pool_frame *clock_search(struct pool *pool)
{
    unsigned dirty_met = 0;

    for (size_t step = 0; step < 2 * pool->frame_count; step++) {
        uint64_t hand = atomic_fetch_add_explicit(&pool->hand, 1, memory_order_relaxed);
        struct pool_frame *frame = &pool->frames[hand % pool->frame_count];
        uint32_t pins = atomic_load_explicit(&frame->pins, memory_order_seq_cst);

        if (pins == 0) {
            if (!second_chance(frame) && frame_evict(pool, frame)) {
                return frame;
            }
        } else if (pins == 1 && pool_frame_is_live(pool, frame) && !second_chance(frame)) {
            dirty_met++;
            if (dirty_met > pool->options.steal_after && frame_steal(pool, frame)) {
                return frame;
            }
        }
    }
    return NULL;
}

static struct pool_frame *frame_find(struct pool *pool)
{
    struct pool_frame *frame = free_take(pool);

    if (!frame) {
        frame = clock_search(pool);
    }
    if (frame) {
        return frame;
    }
    atomic_fetch_add(&pool->frame_waiters, 1);
    do {
        base_mutex_lock(&pool->free_mutex);
        uint64_t seen = pool->release_count;
        base_mutex_unlock(&pool->free_mutex);
        frame = free_take(pool);
        if (!frame) {
            frame = clock_search(pool);
        }
        if (!frame) {
            base_mutex_lock(&pool->free_mutex);
            if (pool->release_count == seen) {
                base_condition_wait_for(&pool->frame_released, &pool->free_mutex, FRAME_WAIT_MS_MAX);
            }
            base_mutex_unlock(&pool->free_mutex);
        }
    } while (!frame);
    atomic_fetch_sub(&pool->frame_waiters, 1);
    return frame;
}

struct pool_frame *pool_frame_take(struct pool *pool)
{
    struct pool_frame *frame = frame_find(pool);

    /* From now on the latch is another page's, with another place in the order of latches. Who derives orders from what
     * is locked together (ThreadSanitizer) has to see a new one. */
    base_latch_deinit(&frame->latch);
    base_latch_init(&frame->latch, BASE_RANK_PAGE_LATCH);
    return frame;
}
