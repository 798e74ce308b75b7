/* Which frames are dirty, and in which epoch (state diagram: internal.h).
 *
 * A dirty frame is on one of two lists, and its membership is one of its pins. A freeze hands the whole live list over
 * by splicing. A change of a frozen frame puts a copy, a detached frame, in its place. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "internal.h"

void pool_list_init(struct pool_link *list)
{
    list->previous = list;
    list->next = list;
}

struct pool_frame *pool_list_frame(struct pool_link *link)
{
    return (struct pool_frame *)((char *)link - offsetof(struct pool_frame, dirty_link));
}

void pool_list_append(struct pool_link *list, struct pool_frame *frame)
{
    struct pool_link *link = &frame->dirty_link;

    link->previous = list->previous;
    link->next = list;
    list->previous->next = link;
    list->previous = link;
}

void pool_list_remove(struct pool_frame *frame)
{
    struct pool_link *link = &frame->dirty_link;

    link->previous->next = link->next;
    link->next->previous = link->previous;
    pool_list_init(link);
}

/* Appends all of `from` to `list`. */
static void list_splice(struct pool_link *list, struct pool_link *from)
{
    if (from->next == from) {
        return;
    }
    from->next->previous = list->previous;
    list->previous->next = from->next;
    from->previous->next = list;
    list->previous = from->previous;
    pool_list_init(from);
}

/* The counters have one writer at a time (dirty_mutex is held) and readers without it. */
static void count_add(_Atomic uint64_t *counter, uint64_t difference)
{
    uint64_t count = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, count + difference, memory_order_relaxed);
}

static void dirty_epoch_set(struct pool_frame *frame, uint64_t epoch)
{
    atomic_store_explicit(&frame->dirty_epoch, epoch, memory_order_release);
}

bool pool_frame_is_live(const struct pool *pool, const struct pool_frame *frame)
{
    return atomic_load_explicit(&frame->dirty_epoch, memory_order_acquire) ==
           atomic_load_explicit(&pool->epoch, memory_order_relaxed);
}

bool pool_steal_begin(struct pool *pool, struct pool_frame *frame)
{
    base_mutex_lock(&pool->dirty_mutex);
    bool allowed = !pool->freeze_waiting && pool_frame_is_live(pool, frame);
    if (allowed) {
        pool->steals_running++;
    }
    base_mutex_unlock(&pool->dirty_mutex);
    return allowed;
}

/* -EROFS: the store had failed before and did nothing. */
void pool_note_failed_write(struct pool_frame *frame, int error)
{
    if (error != -EROFS) {
        frame->reserve_spent = true;
    }
}

void pool_steal_end(struct pool *pool, struct pool_frame *frame, int error)
{
    base_mutex_lock(&pool->dirty_mutex);
    if (error == 0) {
        pool_list_remove(frame);
        dirty_epoch_set(frame, 0);
        count_add(&pool->live_count, (uint64_t)-1);
        atomic_fetch_sub_explicit(&pool->charged, 1, memory_order_relaxed);
    } else {
        pool_note_failed_write(frame, error);
    }
    pool->steals_running--;
    if (pool->steals_running == 0 && pool->freeze_waiting) {
        base_condition_broadcast(&pool->steals_done);
    }
    base_mutex_unlock(&pool->dirty_mutex);
    if (error == 0) {
        pool_frame_release(pool, frame, 1);
    }
}

/* The frame joins the live epoch; the dirty list's pin on it exists already unless it was clean. Under dirty_mutex. */
static void live_join(struct pool *pool, struct pool_frame *frame)
{
    dirty_epoch_set(frame, atomic_load_explicit(&pool->epoch, memory_order_relaxed));
    frame->reserve_spent = false;
    pool_list_append(&pool->live_list, frame);
    count_add(&pool->live_count, 1);
}

/* A clean frame, or one that a checkpoint has in its buffer, becomes live. False: it is frozen and must be copied. */
static bool live_join_simply(struct pool *pool, struct pool_frame *frame)
{
    bool joined = true;

    base_mutex_lock(&pool->dirty_mutex);
    if (atomic_load_explicit(&frame->dirty_epoch, memory_order_relaxed) == 0) {
        atomic_fetch_add_explicit(&frame->pins, 1, memory_order_relaxed);
        live_join(pool, frame);
    } else if (frame->writing) {
        /* The frozen version lives on in the buffer only: the frame stands for one version, not two. */
        frame->writing = false;
        count_add(&pool->frozen_count, (uint64_t)-1);
        atomic_fetch_sub_explicit(&pool->charged, 1, memory_order_relaxed);
        live_join(pool, frame);
    } else {
        joined = false;
    }
    base_mutex_unlock(&pool->dirty_mutex);
    return joined;
}

/* Puts a copy of a frozen frame in its place on the frozen list, and the frame on the live list. The exclusive latch,
 * which the caller holds, keeps the checkpoint from taking the bytes meanwhile. */
static void live_join_copied(struct pool *pool, struct pool_frame *frame)
{
    struct pool_frame *copy = pool_frame_take(pool);

    memcpy(copy->bytes, frame->bytes, pool->page_size);
    atomic_store_explicit(&copy->page, atomic_load_explicit(&frame->page, memory_order_relaxed), memory_order_relaxed);
    base_mutex_lock(&pool->dirty_mutex);
    dirty_epoch_set(copy, atomic_load_explicit(&frame->dirty_epoch, memory_order_relaxed));
    copy->reserve_spent = frame->reserve_spent;
    pool_list_remove(frame);
    pool_list_append(&pool->frozen_list, copy); /* its one pin is the list's from now on */
    live_join(pool, frame);
    base_mutex_unlock(&pool->dirty_mutex);
    pool_count(&pool->copies);
}

unsigned pool_change_begin(struct pool *pool, struct pool_frame *frame)
{
    frame->change = pool_change_next(pool);
    if (pool_frame_is_live(pool, frame)) {
        return 0;
    }
    if (!live_join_simply(pool, frame)) {
        live_join_copied(pool, frame);
    }
    return 1;
}

void pool_change_note(struct pool *pool, struct pool_frame *frame)
{
    frame->change = pool_change_next(pool);
}

void pool_discard(struct pool *pool, struct pool_frame *frame)
{
    uint64_t page = atomic_load_explicit(&frame->page, memory_order_relaxed);
    struct pool_partition *partition = pool_partition_of(pool, page);

    base_mutex_lock(&partition->mutex);
    BASE_ASSERT(pool_hash_remove(pool, page, frame));
    atomic_fetch_or_explicit(&frame->pins, POOL_DETACHED, memory_order_relaxed);
    base_mutex_unlock(&partition->mutex);

    base_latch_lock_exclusive(&frame->latch); /* a steal that has begun ends first */
    frame->change = pool_change_next(pool);
    base_mutex_lock(&pool->dirty_mutex);
    bool live = pool_frame_is_live(pool, frame);
    bool reserved = live && !frame->reserve_spent;
    if (live) {
        pool_list_remove(frame);
        dirty_epoch_set(frame, 0);
        count_add(&pool->live_count, (uint64_t)-1);
        atomic_fetch_sub_explicit(&pool->charged, 1, memory_order_relaxed);
    }
    base_mutex_unlock(&pool->dirty_mutex);
    base_latch_unlock_exclusive(&frame->latch);
    if (reserved) {
        store_unreserve(pool->store, 1, 0);
    }
    pool_frame_release(pool, frame, live ? 2 : 1);
}

bool pool_reserve(struct pool *pool, uint64_t frames)
{
    uint64_t charged = atomic_load_explicit(&pool->charged, memory_order_relaxed);

    do {
        if (frames > pool->dirty_max || charged > pool->dirty_max - frames) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&pool->charged, &charged, charged + frames, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void pool_unreserve(struct pool *pool, uint64_t frames)
{
    atomic_fetch_sub_explicit(&pool->charged, frames, memory_order_relaxed);
}

uint64_t pool_reserve_max(const struct pool *pool)
{
    return pool->dirty_max;
}

uint64_t pool_dirty_count(const struct pool *pool)
{
    return atomic_load_explicit(&pool->live_count, memory_order_relaxed);
}

uint64_t pool_charged_count(const struct pool *pool)
{
    return atomic_load_explicit(&pool->charged, memory_order_relaxed);
}

void pool_freeze(struct pool *pool)
{
    base_mutex_lock(&pool->dirty_mutex);
    BASE_ASSERT(pool->frozen_count == 0);
    pool->freeze_waiting = true;
    while (pool->steals_running > 0) {
        base_condition_wait(&pool->steals_done, &pool->dirty_mutex);
    }
    pool->freeze_waiting = false;
    list_splice(&pool->frozen_list, &pool->live_list);
    atomic_store_explicit(&pool->frozen_count, pool->live_count, memory_order_relaxed);
    atomic_store_explicit(&pool->live_count, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->epoch, 1, memory_order_relaxed);
    base_mutex_unlock(&pool->dirty_mutex);
}
