/* Page numbers in ascending chunks of a fixed span, found by bisection. Used by one thread. */
#include "page_set.h"

#include <errno.h>
#include <stdlib.h>

#define CHUNK_SPAN  4096U
#define CHUNK_WORDS (CHUNK_SPAN / 64)

struct chunk {
    uint64_t first; /* multiple of CHUNK_SPAN */
    uint64_t present[CHUNK_WORDS], marked[CHUNK_WORDS];
};

struct page_set {
    struct chunk *chunks;
    size_t count, capacity;
};

static int add(struct page_set *set, uint64_t page)
{
    uint64_t first = page - page % CHUNK_SPAN;
    if (set->count == 0 || set->chunks[set->count - 1].first != first) {
        if (set->count == set->capacity) {
            size_t capacity = set->capacity ? set->capacity * 2 : 4;
            struct chunk *chunks = realloc(set->chunks, capacity * sizeof *chunks);
            if (!chunks) {
                return -ENOMEM;
            }
            set->chunks = chunks;
            set->capacity = capacity;
        }
        set->chunks[set->count++] = (struct chunk){.first = first};
    }
    set->chunks[set->count - 1].present[page % CHUNK_SPAN / 64] |= 1ULL << page % 64;
    return 0;
}

int page_set_create(struct store *store, struct page_set **ret_set)
{
    struct page_set *set = calloc(1, sizeof *set);
    if (!set) {
        return -ENOMEM;
    }
    uint64_t page = 0;
    int error;
    while ((error = store_page_next(store, &page)) == 0) {
        error = add(set, page);
        if (error) {
            break;
        }
    }
    if (error != -ENOENT) {
        page_set_destroy(set);
        return error;
    }
    *ret_set = set;
    return 0;
}

void page_set_destroy(struct page_set *set)
{
    if (set) {
        free(set->chunks);
        free(set);
    }
}

static struct chunk *find(struct page_set *set, uint64_t page)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->chunks[middle].first + (CHUNK_SPAN - 1) < page) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < set->count && set->chunks[low].first <= page ? &set->chunks[low] : NULL;
}

enum page_set_answer page_set_mark(struct page_set *set, uint64_t page)
{
    struct chunk *chunk = find(set, page);
    uint64_t word = page % CHUNK_SPAN / 64, bit = 1ULL << page % 64;
    if (!chunk || !(chunk->present[word] & bit)) {
        return PAGE_SET_ABSENT;
    }
    if (chunk->marked[word] & bit) {
        return PAGE_SET_AGAIN;
    }
    chunk->marked[word] |= bit;
    return PAGE_SET_FIRST_TIME;
}

bool page_set_next_unmarked(const struct page_set *set, uint64_t *page)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct chunk *chunk = &set->chunks[i];
        for (uint32_t k = 0; k < CHUNK_SPAN; k++) {
            uint64_t bit = 1ULL << k % 64;
            if (chunk->first + k > *page && (chunk->present[k / 64] & ~chunk->marked[k / 64] & bit)) {
                *page = chunk->first + k;
                return true;
            }
        }
    }
    return false;
}
