/* Making and ending a pool, and its counters. All memory is one anonymous mapping without swap reservation: pages of
 * it that no frame has used yet cost nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "internal.h"

/* What a frame costs beside its page: descriptor, up to two bucket heads, half a write entry. */
enum {
    FRAME_OVERHEAD = sizeof(struct pool_frame) + 2 * sizeof(struct pool_frame *) + sizeof(struct pool_write_entry) / 2
};

enum { STEAL_AFTER = 32 };

size_t pool_size_min(uint32_t page_size)
{
    return POOL_FRAME_COUNT_MIN * ((size_t)page_size + FRAME_OVERHEAD);
}

/* A power of two, at least the number of partitions, so that a bucket lies in one partition. */
static size_t bucket_count_for(size_t frame_count)
{
    size_t count = POOL_PARTITION_COUNT;

    while (count < frame_count) {
        count *= 2;
    }
    return count;
}

static int memory_map(struct pool *pool)
{
    size_t arena_size = (pool->frame_count + 1) * pool->page_size; /* and the write buffer */
    size_t frames_size = pool->frame_count * sizeof(struct pool_frame);
    size_t entries_size = pool->dirty_max * sizeof(struct pool_write_entry);
    size_t buckets_size = pool->bucket_count * sizeof(struct pool_frame *);

    pool->memory_size = arena_size + frames_size + entries_size + buckets_size;
    void *memory =
        mmap(NULL, pool->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    uint8_t *at = memory;
    pool->memory = memory;
    pool->arena = at;
    pool->write_buffer = at + pool->frame_count * pool->page_size;
    at += arena_size;
    pool->frames = (struct pool_frame *)(void *)at;
    at += frames_size;
    pool->write_entries = (struct pool_write_entry *)(void *)at;
    at += entries_size;
    pool->buckets = (struct pool_frame **)(void *)at;
    return 0;
}

int pool_create(struct store *store, const struct pool_options *options, struct pool **ret_pool)
{
    uint32_t page_size = store_get_page_size(store);
    size_t size = options->size > pool_size_min(page_size) ? options->size : pool_size_min(page_size);
    struct pool *pool = aligned_alloc(alignof(struct pool), sizeof *pool);

    if (!pool) {
        return -ENOMEM;
    }
    memset(pool, 0, sizeof *pool);
    pool->store = store;
    pool->options = *options;
    if (pool->options.steal_after == 0) {
        pool->options.steal_after = STEAL_AFTER;
    }
    pool->page_size = page_size;
    pool->frame_count = size / ((size_t)page_size + FRAME_OVERHEAD);
    pool->dirty_max = pool->frame_count / 2;
    pool->bucket_count = bucket_count_for(pool->frame_count);
    int error = memory_map(pool);
    if (error) {
        free(pool);
        return error;
    }
    pool->epoch = 1;
    pool_list_init(&pool->live_list);
    pool_list_init(&pool->frozen_list);
    base_mutex_init(&pool->dirty_mutex, BASE_RANK_POOL);
    base_mutex_init(&pool->free_mutex, BASE_RANK_POOL);
    base_condition_init(&pool->steals_done);
    base_condition_init(&pool->frame_released);
    for (unsigned index = 0; index < POOL_PARTITION_COUNT; index++) {
        base_mutex_init(&pool->partitions[index].mutex, BASE_RANK_POOL);
    }
    *ret_pool = pool;
    return 0;
}

void pool_destroy(struct pool *pool)
{
    uint64_t dirty = 0;

    for (size_t index = 0; index < pool->fresh_count; index++) {
        struct pool_frame *frame = &pool->frames[index];
        uint32_t dirty_pins = frame->dirty_epoch != 0 ? 1 : 0;
        BASE_ASSERT((frame->pins & ~POOL_DETACHED) == dirty_pins);
        dirty += dirty_pins != 0 && !frame->reserve_spent;
        base_latch_deinit(&frame->latch);
    }
    store_unreserve(pool->store, dirty, 0);
    for (unsigned index = 0; index < POOL_PARTITION_COUNT; index++) {
        base_mutex_deinit(&pool->partitions[index].mutex);
    }
    base_condition_deinit(&pool->frame_released);
    base_condition_deinit(&pool->steals_done);
    base_mutex_deinit(&pool->free_mutex);
    base_mutex_deinit(&pool->dirty_mutex);
    BASE_ASSERT(munmap(pool->memory, pool->memory_size) == 0);
    free(pool);
}

uint32_t pool_get_page_size(const struct pool *pool)
{
    return pool->page_size;
}

void pool_get_statistics(struct pool *pool, struct pool_statistics *ret_statistics)
{
    struct pool_statistics statistics = {
        .frames = pool->frame_count,
        .evictions = pool->evictions,
        .evictions_dirty = pool->evictions_dirty,
        .reads = pool->reads,
        .writes = pool->writes,
        .copies = pool->copies,
    };

    for (unsigned index = 0; index < POOL_PARTITION_COUNT; index++) {
        struct pool_partition *partition = &pool->partitions[index];
        base_mutex_lock(&partition->mutex);
        statistics.hits += partition->hits;
        statistics.misses += partition->misses;
        base_mutex_unlock(&partition->mutex);
    }
    base_mutex_lock(&pool->free_mutex);
    statistics.frames_used = pool->fresh_count - pool->free_count;
    base_mutex_unlock(&pool->free_mutex);

    base_mutex_lock(&pool->dirty_mutex);
    uint64_t charged = atomic_load(&pool->charged);
    statistics.frames_dirty = pool->live_count;
    statistics.frames_frozen = pool->frozen_count;
    base_mutex_unlock(&pool->dirty_mutex);
    /* A page being written and changed again is let go before it is counted anew, so the sum may run ahead. */
    uint64_t dirty = statistics.frames_dirty + statistics.frames_frozen;
    statistics.frames_reserved = charged > dirty ? charged - dirty : 0;
    *ret_statistics = statistics;
}

uint64_t pool_read_count(const struct pool *pool)
{
    return atomic_load_explicit(&pool->reads, memory_order_relaxed);
}
