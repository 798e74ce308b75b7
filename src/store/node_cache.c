/* See node_cache.h. Slots are found through a chained hash of the block number and evicted by a clock hand with a
 * reference bit. A slot's bytes are allocated at its first use; when memory is short a node is just not kept. */
#include "node_cache.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "store/store.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct node_slot {
    uint64_t block; /* 0: empty */
    uint64_t checksum;
    uint64_t seed;
    uint8_t *bytes;
    uint32_t next; /* slot index + 1 of the next in the bucket; 0: none */
    bool referenced;
};

static uint64_t node_seed(struct node_id id)
{
    return (uint64_t)id.kind << 56 | (uint64_t)id.level << 48 | id.index;
}

uint64_t node_checksum(struct node_id id, const uint8_t *node)
{
    return base_checksum(node, NODE_SIZE, node_seed(id));
}

int node_cache_init(struct node_cache *cache, struct os_file *file, size_t size)
{
    const size_t slot_size = NODE_SIZE + sizeof(struct node_slot) + 2 * sizeof(uint32_t);
    size_t slot_count = (size < 65536 ? 65536 : size) / slot_size;

    if (slot_count > UINT32_MAX / 4) {
        slot_count = UINT32_MAX / 4;
    }
    *cache = (struct node_cache){.file = file, .slot_count = (uint32_t)slot_count, .bucket_count = 16};
    while (cache->bucket_count < cache->slot_count) {
        cache->bucket_count *= 2;
    }
    cache->slots = calloc(cache->slot_count, sizeof *cache->slots);
    cache->buckets = calloc(cache->bucket_count, sizeof *cache->buckets);
    if (!cache->slots || !cache->buckets) {
        free(cache->slots);
        free(cache->buckets);
        return -ENOMEM;
    }
    base_mutex_init(&cache->mutex, BASE_RANK_STORE_NODES);
    return 0;
}

void node_cache_deinit(struct node_cache *cache)
{
    for (uint32_t i = 0; i < cache->slot_used; i++) {
        free(cache->slots[i].bytes);
    }
    free(cache->slots);
    free(cache->buckets);
    base_mutex_deinit(&cache->mutex);
}

static uint32_t *node_bucket(struct node_cache *cache, uint64_t block)
{
    uint64_t hash = block * UINT64_C(0x9E3779B97F4A7C15);

    return &cache->buckets[(hash >> 32) & (cache->bucket_count - 1)];
}

static struct node_slot *node_find(struct node_cache *cache, uint64_t block)
{
    uint32_t link = *node_bucket(cache, block);

    while (link != 0) {
        struct node_slot *slot = &cache->slots[link - 1];
        if (slot->block == block) {
            return slot;
        }
        link = slot->next;
    }
    return NULL;
}

static void node_unlink(struct node_cache *cache, struct node_slot *slot)
{
    uint32_t *link = node_bucket(cache, slot->block);

    while (&cache->slots[*link - 1] != slot) {
        link = &cache->slots[*link - 1].next;
    }
    *link = slot->next;
    slot->block = 0;
}

/* An empty slot with room for bytes, or NULL when memory is short. */
static struct node_slot *node_take_slot(struct node_cache *cache)
{
    if (cache->slot_used < cache->slot_count) {
        struct node_slot *slot = &cache->slots[cache->slot_used];
        slot->bytes = malloc(NODE_SIZE);
        if (slot->bytes) {
            cache->slot_used++;
            return slot;
        }
    }
    if (cache->slot_used == 0) {
        return NULL;
    }
    for (;;) {
        struct node_slot *slot = &cache->slots[cache->hand];
        cache->hand = (cache->hand + 1) % cache->slot_used;
        if (slot->block == 0) {
            return slot;
        }
        if (!slot->referenced) {
            node_unlink(cache, slot);
            return slot;
        }
        slot->referenced = false;
    }
}

void node_cache_put(struct node_cache *cache, struct node_id id, struct node_ref ref, const uint8_t *node)
{
    base_mutex_lock(&cache->mutex);
    struct node_slot *slot = node_find(cache, ref.block);
    if (!slot) {
        slot = node_take_slot(cache);
        if (slot) {
            uint32_t *bucket = node_bucket(cache, ref.block);
            slot->block = ref.block;
            slot->next = *bucket;
            *bucket = (uint32_t)(slot - cache->slots) + 1;
        }
    }
    if (slot) {
        slot->checksum = ref.checksum;
        slot->seed = node_seed(id);
        slot->referenced = true;
        memcpy(slot->bytes, node, NODE_SIZE);
    }
    base_mutex_unlock(&cache->mutex);
}

void node_cache_drop(struct node_cache *cache, uint64_t block)
{
    base_mutex_lock(&cache->mutex);
    struct node_slot *slot = node_find(cache, block);
    if (slot) {
        node_unlink(cache, slot);
    }
    base_mutex_unlock(&cache->mutex);
}

/* Copies a part of a cached node; false when it is not there. */
static bool node_copy(struct node_cache *cache, struct node_id id, struct node_ref ref, uint32_t offset, uint32_t size,
                      void *ret_bytes)
{
    base_mutex_lock(&cache->mutex);
    struct node_slot *slot = node_find(cache, ref.block);
    bool found = slot && slot->checksum == ref.checksum && slot->seed == node_seed(id);
    if (found) {
        slot->referenced = true;
        memcpy(ret_bytes, slot->bytes + offset, size);
    }
    base_mutex_unlock(&cache->mutex);
    atomic_fetch_add_explicit(found ? &cache->hits : &cache->misses, 1, memory_order_relaxed);
    return found;
}

static int node_load(struct node_cache *cache, struct node_id id, struct node_ref ref, uint8_t *ret_node,
                     struct base_reason *ret_reason)
{
    const char *what = id.kind == NODE_MAP ? "page map" : "content bitmap";
    int result = os_file_read(cache->file, ret_node, NODE_SIZE, ref.block * STORE_BLOCK_SIZE);

    atomic_fetch_add_explicit(&cache->reads, 1, memory_order_relaxed);
    if (result < 0) {
        base_reason_set(ret_reason, "%s: node of level %u at block %llu can't be read: %s", what, id.level,
                        (unsigned long long)ref.block, result == -ENODATA ? "beyond the end" : strerror(-result));
        return result == -ENODATA ? -EUCLEAN : result;
    }
    if (node_checksum(id, ret_node) != ref.checksum) {
        atomic_fetch_add_explicit(&cache->failures, 1, memory_order_relaxed);
        base_reason_set(ret_reason, "%s: node of level %u at block %llu has a wrong checksum", what, id.level,
                        (unsigned long long)ref.block);
        return -EUCLEAN;
    }
    node_cache_put(cache, id, ref, ret_node);
    return 0;
}

int node_cache_read(struct node_cache *cache, struct node_id id, struct node_ref ref, uint8_t *ret_node,
                    struct base_reason *ret_reason)
{
    if (node_copy(cache, id, ref, 0, NODE_SIZE, ret_node)) {
        return 0;
    }
    return node_load(cache, id, ref, ret_node, ret_reason);
}

int node_cache_read_entry(struct node_cache *cache, struct node_id id, struct node_ref ref, uint32_t index,
                          struct node_ref *ret_entry, struct base_reason *ret_reason)
{
    uint8_t node[NODE_SIZE];
    uint8_t *entry = node + (size_t)index * 16;

    BASE_ASSERT(index < NODE_SIZE / 16);
    if (!node_copy(cache, id, ref, index * 16, 16, entry)) {
        int result = node_load(cache, id, ref, node, ret_reason);
        if (result < 0) {
            return result;
        }
    }
    *ret_entry = (struct node_ref){base_get_le64(entry), base_get_le64(entry + 8)};
    return 0;
}
