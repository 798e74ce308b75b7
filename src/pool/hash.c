/* The hash from page numbers to frames: chained buckets, guarded by 64 mutexes. A bucket's partition is its low bits,
 * so a page's partition is known from its number alone. */
#include "internal.h"

static size_t bucket_index(const struct pool *pool, uint64_t page)
{
    /* Fibonacci hashing; the high bits are the good ones. */
    return (size_t)((page * 0x9E3779B97F4A7C15ULL) >> 32) & (pool->bucket_count - 1);
}

struct pool_partition *pool_partition_of(struct pool *pool, uint64_t page)
{
    return &pool->partitions[bucket_index(pool, page) % POOL_PARTITION_COUNT];
}

struct pool_frame *pool_hash_find(struct pool *pool, uint64_t page)
{
    struct pool_frame *frame = pool->buckets[bucket_index(pool, page)];

    while (frame && atomic_load_explicit(&frame->page, memory_order_relaxed) != page) {
        frame = frame->next;
    }
    return frame;
}

void pool_hash_insert(struct pool *pool, uint64_t page, struct pool_frame *frame)
{
    struct pool_frame **bucket = &pool->buckets[bucket_index(pool, page)];

    frame->next = *bucket;
    *bucket = frame;
}

bool pool_hash_remove(struct pool *pool, uint64_t page, const struct pool_frame *frame)
{
    struct pool_frame **link = &pool->buckets[bucket_index(pool, page)];

    while (*link && *link != frame) {
        link = &(*link)->next;
    }
    if (!*link) {
        return false;
    }
    *link = frame->next;
    return true;
}
