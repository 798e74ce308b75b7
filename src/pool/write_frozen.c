/* The checkpoint's side of the pool: writes what pool_freeze froze, in ascending page order, so that neighbours in the
 * tree become neighbours on the disk.
 *
 * The frozen list is moved, a piece at a time, to a list of the same kind and into an array, which is sorted. Until a
 * frame's turn comes the writer may have replaced it by a copy (then it is no longer frozen, and the copy is on the
 * frozen list, for the next round) or freed its page (then it is detached, and still frozen). Descriptors are never
 * freed, so looking at a frame that has changed hands does no harm. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "internal.h"

enum { COLLECT_AT_ONCE = 256 }; /* frames moved under one hold of dirty_mutex, which the writer needs too */

/* Under dirty_mutex. */
static bool frame_is_frozen(const struct pool *pool, const struct pool_frame *frame)
{
    return atomic_load_explicit(&frame->dirty_epoch, memory_order_relaxed) != 0 && !pool_frame_is_live(pool, frame);
}

static int compare_pages(const void *left, const void *right)
{
    const struct pool_write_entry *a = left, *b = right;

    return (a->page > b->page) - (a->page < b->page);
}

/* Moves the frozen list to `collected` and fills write_entries; returns how many. */
static size_t frozen_collect(struct pool *pool, struct pool_link *collected)
{
    size_t count = 0;
    bool more = true;

    while (more) {
        base_mutex_lock(&pool->dirty_mutex);
        for (unsigned moved = 0; moved < COLLECT_AT_ONCE && more; moved++) {
            more = pool->frozen_list.next != &pool->frozen_list && count < pool->dirty_max;
            if (more) {
                struct pool_frame *frame = pool_list_frame(pool->frozen_list.next);
                pool_list_remove(frame);
                pool_list_append(collected, frame);
                pool->write_entries[count++] = (struct pool_write_entry){
                    .page = atomic_load_explicit(&frame->page, memory_order_relaxed), .frame = frame};
            }
        }
        base_mutex_unlock(&pool->dirty_mutex);
    }
    qsort(pool->write_entries, count, sizeof pool->write_entries[0], compare_pages);
    return count;
}

/* Pins a frame if it is still frozen. */
static bool frozen_pin(struct pool *pool, struct pool_frame *frame)
{
    base_mutex_lock(&pool->dirty_mutex);
    bool frozen = frame_is_frozen(pool, frame);
    if (frozen) {
        atomic_fetch_add_explicit(&frame->pins, 1, memory_order_relaxed);
    }
    base_mutex_unlock(&pool->dirty_mutex);
    return frozen;
}

/* Takes the bytes of a pinned frame for writing, if it is still frozen. */
static bool frozen_take(struct pool *pool, struct pool_frame *frame)
{
    base_latch_lock_shared(&frame->latch);
    base_mutex_lock(&pool->dirty_mutex);
    bool frozen = frame_is_frozen(pool, frame);
    if (frozen) {
        pool_list_remove(frame);
        frame->writing = true;
    }
    base_mutex_unlock(&pool->dirty_mutex);
    if (frozen) {
        memcpy(pool->write_buffer, frame->bytes, pool->page_size);
    }
    base_latch_unlock_shared(&frame->latch);
    return frozen;
}

/* The frame is clean, unless the writer changed it meanwhile or the write failed. Returns how many pins of the frozen
 * list are to be let go. */
static uint32_t frozen_done(struct pool *pool, struct pool_frame *frame, int error)
{
    base_mutex_lock(&pool->dirty_mutex);
    bool same = frame->writing;
    frame->writing = false;
    if (same && error == 0) {
        atomic_store_explicit(&frame->dirty_epoch, 0, memory_order_release);
        atomic_store_explicit(&pool->frozen_count, pool->frozen_count - 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&pool->charged, 1, memory_order_relaxed);
    } else if (same) {
        pool_note_failed_write(frame, error);
        pool_list_append(&pool->frozen_list, frame);
    }
    base_mutex_unlock(&pool->dirty_mutex);
    return same && error == 0 ? 1 : 0;
}

static int frozen_write(struct pool *pool, struct pool_frame *frame)
{
    int result = 0;
    uint32_t pins = 1;

    if (!frozen_pin(pool, frame)) {
        return 0;
    }
    if (frozen_take(pool, frame)) {
        uint64_t page = atomic_load_explicit(&frame->page, memory_order_relaxed);
        result = store_page_write(pool->store, page, pool->write_buffer, true);
        if (result == 0) {
            pool_count(&pool->writes);
        }
        pins += frozen_done(pool, frame, result);
    }
    pool_frame_release(pool, frame, pins);
    return result;
}

int pool_write_frozen(struct pool *pool)
{
    struct pool_link collected;
    size_t count;
    int result = 0;

    pool_list_init(&collected);
    while (result == 0 && (count = frozen_collect(pool, &collected)) > 0) {
        for (size_t index = 0; index < count && result == 0; index++) {
            result = frozen_write(pool, pool->write_entries[index].frame);
        }
    }
    /* After a failure: what was not written goes back. */
    base_mutex_lock(&pool->dirty_mutex);
    while (collected.next != &collected) {
        struct pool_frame *frame = pool_list_frame(collected.next);
        pool_list_remove(frame);
        pool_list_append(&pool->frozen_list, frame);
    }
    base_mutex_unlock(&pool->dirty_mutex);
    return result;
}
