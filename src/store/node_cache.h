/* Cache of clean, verified radix nodes. A node in it is keyed by its block and known by checksum and seed, so that a
 * node can't be taken for another. Thread-safe: one mutex (BASE_RANK_STORE_NODES), never held during I/O. */
#ifndef BEEFTREE_STORE_NODE_CACHE_H
#define BEEFTREE_STORE_NODE_CACHE_H

#include "base/latch.h"
#include "base/message.h"
#include "os/file.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define NODE_SIZE 4096U

enum node_kind { NODE_MAP = 0x4D, NODE_BITMAP = 0x42 };

/* Where a node (or page) stands, and the checksum of its bytes. */
struct node_ref {
    uint64_t block; /* 0: absent */
    uint64_t checksum;
};

/* What a node is: seeds its checksum. */
struct node_id {
    enum node_kind kind;
    uint32_t level;
    uint64_t index;
};

struct node_slot;

struct node_cache {
    struct os_file *file;
    struct base_mutex mutex;
    struct node_slot *slots;
    uint32_t *buckets; /* slot index + 1; 0: none */
    uint32_t slot_count;
    uint32_t slot_used; /* slots ever used: the first so many */
    uint32_t bucket_count;
    uint32_t hand;
    _Atomic uint64_t hits, misses, reads, failures;
};

/* size in bytes; at least 64 KiB is used. -ENOMEM. */
int node_cache_init(struct node_cache *cache, struct os_file *file, size_t size);
void node_cache_deinit(struct node_cache *cache);

uint64_t node_checksum(struct node_id id, const uint8_t *node);

/* The node's bytes, verified. -EUCLEAN with the reason. */
int node_cache_read(struct node_cache *cache, struct node_id id, struct node_ref ref, uint8_t *ret_node,
                    struct base_reason *ret_reason);

/* The 16 bytes of one entry of the node. */
int node_cache_read_entry(struct node_cache *cache, struct node_id id, struct node_ref ref, uint32_t index,
                          struct node_ref *ret_entry, struct base_reason *ret_reason);

/* A node just written. */
void node_cache_put(struct node_cache *cache, struct node_id id, struct node_ref ref, const uint8_t *node);

/* The block is no node any more. */
void node_cache_drop(struct node_cache *cache, uint64_t block);

#endif
