/* Runs of content blocks that a transaction takes and frees; the store learns of them at commit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/message.h"
#include "internal.h"

void txn_runs_init(struct txn_runs *runs)
{
    runs->items = runs->few;
    runs->count = 0;
    runs->capacity = TXN_RUNS_FEW;
}

void txn_runs_deinit(struct txn_runs *runs)
{
    if (runs->items != runs->few) {
        free(runs->items);
    }
}

static int runs_make_room(struct txn_runs *runs)
{
    if (runs->count < runs->capacity) {
        return 0;
    }
    BASE_ASSERT(runs->capacity >= TXN_RUNS_FEW);
    struct store_run *items = malloc(2 * runs->capacity * sizeof *items);
    if (!items) {
        return -ENOMEM;
    }
    memcpy(items, runs->items, runs->count * sizeof *items);
    txn_runs_deinit(runs);
    runs->items = items;
    runs->capacity *= 2;
    return 0;
}

static void runs_insert(struct txn_runs *runs, size_t index, struct store_run run)
{
    memmove(runs->items + index + 1, runs->items + index, (runs->count - index) * sizeof *runs->items);
    runs->items[index] = run;
    runs->count++;
}

/* The first of ascending disjoint runs that ends behind `block`. */
static size_t runs_find(const struct txn_runs *runs, uint64_t block)
{
    size_t low = 0;
    size_t high = runs->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (runs->items[middle].block + runs->items[middle].count <= block) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int txn_content_allocate(struct txn *txn, uint32_t block_count, uint64_t goal, struct store_run *ret_run)
{
    uint64_t left = txn->need.content_blocks - txn->content_blocks_allocated;
    struct store_run run;

    /* The caller stated its worst case in txn_need, and was wrong. */
    BASE_ASSERT(block_count > 0 && block_count <= left);
    int error = runs_make_room(&txn->allocated);
    if (error == 0) {
        error = store_content_allocate(txn->engine->store, block_count, goal, &run);
    }
    if (error) {
        return error;
    }
    runs_insert(&txn->allocated, txn->allocated.count, run);
    txn->content_blocks_allocated += run.count;
    *ret_run = run;
    return 0;
}

void txn_content_note_checksum(struct txn *txn, uint64_t checksum)
{
    BASE_ASSERT(txn->checksum_count < txn->content_blocks_allocated);
    txn->checksums[txn->checksum_count++] = checksum;
}

int txn_content_free(struct txn *txn, struct store_run run)
{
    struct txn_runs *freed = &txn->freed;

    BASE_ASSERT(txn->is_locked);
    if (run.count == 0 || !store_content_is_valid(txn->engine->store, run)) {
        base_message(BASE_MESSAGE_ERROR, "damaged: blocks %llu + %u are to be freed and are not contents",
                     (unsigned long long)run.block, run.count);
        return -EUCLEAN;
    }
    size_t index = runs_find(freed, run.block);
    if (index < freed->count && freed->items[index].block < run.block + run.count) {
        base_message(BASE_MESSAGE_ERROR, "damaged: blocks %llu + %u are to be freed twice",
                     (unsigned long long)run.block, run.count);
        return -EUCLEAN;
    }
    int error = runs_make_room(freed);
    if (error == 0) {
        error = store_content_prepare_free(txn->engine->store, run);
    }
    if (error) {
        return error;
    }
    runs_insert(freed, index, run);
    return 0;
}
