/* See overlay.h. Linear probing; at most three quarters full. */
#include "overlay.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>

enum { OVERLAY_CAPACITY_MIN = 64 };

void overlay_deinit(struct overlay *overlay)
{
    free(overlay->entries);
    *overlay = (struct overlay){0};
}

/* The page's slot, or the empty one where it would go. */
static struct overlay_entry *overlay_probe(const struct overlay *overlay, uint64_t page)
{
    size_t i = (size_t)((page * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (overlay->capacity - 1);

    while (overlay->entries[i].page != 0 && overlay->entries[i].page != page) {
        i = (i + 1) & (overlay->capacity - 1);
    }
    return &overlay->entries[i];
}

const struct overlay_entry *overlay_find(const struct overlay *overlay, uint64_t page)
{
    if (overlay->count == 0) {
        return NULL;
    }
    const struct overlay_entry *entry = overlay_probe(overlay, page);
    return entry->page == page ? entry : NULL;
}

static int overlay_grow(struct overlay *overlay)
{
    struct overlay bigger = {.capacity = overlay->capacity ? overlay->capacity * 2 : OVERLAY_CAPACITY_MIN,
                             .count = overlay->count};

    bigger.entries = calloc(bigger.capacity, sizeof *bigger.entries);
    if (!bigger.entries) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < overlay->capacity; i++) {
        if (overlay->entries[i].page != 0) {
            *overlay_probe(&bigger, overlay->entries[i].page) = overlay->entries[i];
        }
    }
    free(overlay->entries);
    *overlay = bigger;
    return 0;
}

int overlay_set(struct overlay *overlay, uint64_t page, struct node_ref ref, struct node_ref *ret_old)
{
    BASE_ASSERT(page != 0);
    if (overlay->count >= overlay->capacity / 4 * 3) {
        int result = overlay_grow(overlay);
        if (result < 0) {
            return result;
        }
    }
    struct overlay_entry *entry = overlay_probe(overlay, page);
    if (entry->page == 0) {
        overlay->count++;
        *ret_old = (struct node_ref){0, 0};
    } else {
        *ret_old = entry->ref;
    }
    *entry = (struct overlay_entry){page, ref};
    return 0;
}
