/* An overlay over the map tree: page number -> where it stands now, or "absent". A hash table with open addressing;
 * entries are replaced, never removed one by one. The caller serializes. */
#ifndef BEEFTREE_STORE_OVERLAY_H
#define BEEFTREE_STORE_OVERLAY_H

#include "node_cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct overlay_entry {
    uint64_t page;       /* 0: an empty slot */
    struct node_ref ref; /* block 0: the page is absent */
};

struct overlay {
    struct overlay_entry *entries;
    size_t capacity; /* zero or a power of two */
    size_t count;
};

void overlay_deinit(struct overlay *overlay);

/* NULL when the overlay says nothing about the page. */
const struct overlay_entry *overlay_find(const struct overlay *overlay, uint64_t page);

/* Enters or replaces; *ret_old is what it replaced (block 0 if nothing or an absent page). -ENOMEM. */
int overlay_set(struct overlay *overlay, uint64_t page, struct node_ref ref, struct node_ref *ret_old);

#endif
