/* Pins: a page that is in a frame, one that must be read, and a new one.
 *
 * A page to be read is entered in the hash first, with its latch held exclusively, so whoever else wants it waits at
 * the latch and reads nothing. When the read fails the frame leaves the hash before the latch is let go, marked as
 * failed with the error, which all who waited answer too. */
#include <string.h>

#include "base/assert.h"
#include "internal.h"

static enum pool_frame_state frame_state(const struct pool_frame *frame)
{
    return (enum pool_frame_state)atomic_load_explicit(&frame->state, memory_order_acquire);
}

static void frame_pin(struct pool_frame *frame)
{
    atomic_fetch_add_explicit(&frame->pins, 1, memory_order_relaxed);
    if (atomic_load_explicit(&frame->referenced, memory_order_relaxed) == 0) {
        atomic_store_explicit(&frame->referenced, 1, memory_order_relaxed);
    }
}

/* Enters a taken frame in the hash with the caller's pin; unset: until now nobody could see it. Under the partition's
 * mutex. */
static void frame_enter(struct pool *pool, struct pool_frame *frame, uint64_t page, enum pool_frame_state state)
{
    atomic_store_explicit(&frame->page, page, memory_order_relaxed);
    atomic_store_explicit(&frame->state, state, memory_order_relaxed);
    atomic_store_explicit(&frame->referenced, 0, memory_order_relaxed);
    pool_hash_insert(pool, page, frame);
    atomic_store_explicit(&frame->pins, 1, memory_order_release);
}

static int page_read(struct pool *pool, struct pool_frame *frame, uint64_t page)
{
    int error = store_page_read(pool->store, page, frame->bytes);

    pool_count(&pool->reads);
    if (error == 0 && pool->options.check_page) {
        error = pool->options.check_page(pool->options.check_context, page, frame->bytes, pool->page_size);
    }
    return error;
}

/* Reads the page of a frame just entered, whose latch is held exclusively. */
static void frame_load(struct pool *pool, struct pool_frame *frame, uint64_t page)
{
    int error = page_read(pool, frame, page);

    if (error == 0) {
        frame->change = pool_change_next(pool);
        atomic_store_explicit(&frame->state, POOL_FRAME_LOADED, memory_order_release);
        return;
    }
    struct pool_partition *partition = pool_partition_of(pool, page);
    base_mutex_lock(&partition->mutex);
    pool_hash_remove(pool, page, frame); /* pool_pin_new may have done it already */
    atomic_fetch_or_explicit(&frame->pins, POOL_DETACHED, memory_order_relaxed);
    base_mutex_unlock(&partition->mutex);
    frame->error = error;
    atomic_store_explicit(&frame->state, POOL_FRAME_FAILED, memory_order_release);
}

/* Pins a page that was not in the hash a moment ago. Sets *ret_latched when this call read it: then its latch is held
 * exclusively. */
static struct pool_frame *pin_absent(struct pool *pool, struct pool_partition *partition, uint64_t page,
                                     bool *ret_latched)
{
    struct pool_frame *taken = pool_frame_take(pool);

    base_mutex_lock(&partition->mutex);
    struct pool_frame *frame = pool_hash_find(pool, page);
    if (frame) {
        frame_pin(frame);
        partition->hits++;
        base_mutex_unlock(&partition->mutex);
        pool_frame_release(pool, taken, 1);
        *ret_latched = false;
        return frame;
    }
    BASE_ASSERT(base_latch_try_exclusive(&taken->latch));
    frame_enter(pool, taken, page, POOL_FRAME_LOADING);
    partition->misses++;
    base_mutex_unlock(&partition->mutex);
    frame_load(pool, taken, page);
    *ret_latched = true;
    return taken;
}

/* Latches a pinned frame; the state that it has then is final. */
static void frame_settle(struct pool_frame *frame, enum pool_mode mode)
{
    if (mode != POOL_PIN_ONLY) {
        pool_latch(frame, mode);
    } else if (frame_state(frame) == POOL_FRAME_LOADING) {
        base_latch_lock_shared(&frame->latch);
        base_latch_unlock_shared(&frame->latch);
    }
}

int pool_pin(struct pool *pool, uint64_t page, enum pool_mode mode, struct pool_frame **ret_frame)
{
    struct pool_partition *partition = pool_partition_of(pool, page);
    bool latched = false;

    base_mutex_lock(&partition->mutex);
    struct pool_frame *frame = pool_hash_find(pool, page);
    if (frame) {
        frame_pin(frame);
        partition->hits++;
    }
    base_mutex_unlock(&partition->mutex);

    if (!frame) {
        frame = pin_absent(pool, partition, page, &latched);
    }
    if (latched && mode != POOL_EXCLUSIVE) {
        base_latch_unlock_exclusive(&frame->latch);
        latched = false;
    }
    if (!latched) {
        frame_settle(frame, mode);
    }
    if (frame_state(frame) == POOL_FRAME_FAILED) {
        int error = frame->error;
        pool_unpin(pool, frame, mode);
        return error;
    }
    *ret_frame = frame;
    return 0;
}

bool pool_pin_resident(struct pool *pool, uint64_t page, enum pool_mode mode, struct pool_frame **ret_frame)
{
    struct pool_partition *partition = pool_partition_of(pool, page);

    base_mutex_lock(&partition->mutex);
    struct pool_frame *frame = pool_hash_find(pool, page);
    if (frame && frame_state(frame) == POOL_FRAME_LOADED) {
        frame_pin(frame);
        partition->hits++;
    } else {
        frame = NULL;
    }
    base_mutex_unlock(&partition->mutex);
    if (!frame) {
        return false;
    }
    frame_settle(frame, mode);
    *ret_frame = frame;
    return true;
}

int pool_pin_new(struct pool *pool, uint64_t page, struct pool_frame **ret_frame)
{
    struct pool_partition *partition = pool_partition_of(pool, page);
    struct pool_frame *frame = pool_frame_take(pool);

    memset(frame->bytes, 0, pool->page_size);
    frame->change = pool_change_next(pool);

    base_mutex_lock(&partition->mutex);
    /* A reader with an old page number may have read the page before this number was its former owner's to free. */
    struct pool_frame *stale = pool_hash_find(pool, page);
    if (stale) {
        BASE_ASSERT(atomic_load_explicit(&stale->dirty_epoch, memory_order_relaxed) == 0);
        pool_hash_remove(pool, page, stale);
        atomic_fetch_add_explicit(&stale->pins, POOL_DETACHED | 1, memory_order_acquire);
    }
    frame_enter(pool, frame, page, POOL_FRAME_LOADED);
    base_mutex_unlock(&partition->mutex);

    if (stale) {
        pool_frame_release(pool, stale, 1);
    }
    *ret_frame = frame;
    return 0;
}

void pool_pin_again(struct pool *pool, struct pool_frame *frame)
{
    (void)pool;
    atomic_fetch_add_explicit(&frame->pins, 1, memory_order_relaxed);
}

void pool_unpin(struct pool *pool, struct pool_frame *frame, enum pool_mode mode)
{
    pool_unlatch(frame, mode);
    pool_frame_release(pool, frame, 1);
}

void pool_latch(struct pool_frame *frame, enum pool_mode mode)
{
    if (mode == POOL_SHARED) {
        base_latch_lock_shared(&frame->latch);
    } else if (mode == POOL_EXCLUSIVE) {
        base_latch_lock_exclusive(&frame->latch);
    }
}

void pool_unlatch(struct pool_frame *frame, enum pool_mode mode)
{
    if (mode == POOL_SHARED) {
        base_latch_unlock_shared(&frame->latch);
    } else if (mode == POOL_EXCLUSIVE) {
        base_latch_unlock_exclusive(&frame->latch);
    }
}

uint64_t pool_frame_page(const struct pool_frame *frame)
{
    return atomic_load_explicit(&frame->page, memory_order_relaxed);
}

uint8_t *pool_frame_bytes(struct pool_frame *frame)
{
    return frame->bytes;
}

uint64_t pool_frame_change(const struct pool_frame *frame)
{
    return frame->change;
}

struct pool_frame_notes *pool_frame_notes(struct pool_frame *frame)
{
    return &frame->notes;
}
