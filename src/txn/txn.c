/* Beginning, locking and ending a transaction. */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "internal.h"

int txn_begin(struct txn_engine *engine, const struct txn_need *need, struct txn **ret_txn)
{
    struct txn *txn = malloc(sizeof *txn);
    uint64_t *checksums = need->content_blocks > 0 ? calloc(need->content_blocks, sizeof *checksums) : NULL;

    if (!txn || (need->content_blocks > 0 && !checksums)) {
        free(txn);
        free(checksums);
        return -ENOMEM;
    }
    int error = txn_admit(engine, need);
    if (error) {
        free(txn);
        free(checksums);
        return error;
    }
    error = txn_undo_prepare(engine, need->pages);
    if (error) {
        txn_dismiss(engine, need, 0, 0);
        free(txn);
        free(checksums);
        return error;
    }
    txn->engine = engine;
    txn->need = *need;
    txn->is_locked = false;
    txn->pages_changed = 0;
    txn->pages_dirtied = 0;
    txn->pages_open = 0;
    txn->edit_bytes = 0;
    txn->touched = NULL;
    txn->content_blocks_allocated = 0;
    txn->checksums = checksums;
    txn->checksum_count = 0;
    txn_runs_init(&txn->allocated);
    txn_runs_init(&txn->freed);
    *ret_txn = txn;
    return 0;
}

struct txn_engine *txn_get_engine(const struct txn *txn)
{
    return txn->engine;
}

void txn_lock(struct txn *txn)
{
    BASE_ASSERT(!txn->is_locked);
    base_mutex_lock(&txn->engine->writer);
    txn->is_locked = true;
    store_log_begin(txn->engine->store);
}

/* Counters that only the holder of the writer mutex changes. */
static void count_edits(struct txn *txn)
{
    struct txn_engine *engine = txn->engine;
    uint64_t pages = atomic_load_explicit(&engine->pages_changed, memory_order_relaxed) + txn->pages_changed;
    uint64_t bytes = atomic_load_explicit(&engine->edit_bytes, memory_order_relaxed) + txn->edit_bytes;

    atomic_store_explicit(&engine->pages_changed, pages, memory_order_relaxed);
    atomic_store_explicit(&engine->edit_bytes, bytes, memory_order_relaxed);
}

static void txn_end(struct txn *txn)
{
    if (txn->is_locked) {
        BASE_ASSERT(txn->pages_open == 0);
        count_edits(txn);
        txn_undo_clear(txn->engine);
        base_mutex_unlock(&txn->engine->writer);
    }
    txn_dismiss(txn->engine, &txn->need, txn->pages_dirtied, txn->content_blocks_allocated);
    txn_runs_deinit(&txn->allocated);
    txn_runs_deinit(&txn->freed);
    free(txn->checksums);
    free(txn);
}

static uint32_t count_unwritten(const uint64_t *checksums, uint32_t count)
{
    uint32_t unwritten = 0;

    for (uint32_t i = 0; i < count; i++) {
        unwritten += checksums[i] == 0;
    }
    return unwritten;
}

/* First what is published: a run made and freed in one transaction is not contents yet, so it can't be among both. */
static void commit_contents(struct txn *txn)
{
    struct store *store = txn->engine->store;
    const uint64_t *checksums = txn->checksums;
    uint64_t reserved = 0;

    for (size_t index = 0; index < txn->allocated.count; index++) {
        struct store_run run = txn->allocated.items[index];
        uint32_t unwritten = txn->need.content_reserved > 0 ? count_unwritten(checksums, run.count) : 0;

        /* What is only reserved is nothing for the log's list of bytes. */
        store_content_publish(store, run, unwritten < run.count ? checksums : NULL);
        checksums += run.count;
        reserved += unwritten;
    }
    for (size_t index = 0; index < txn->freed.count; index++) {
        store_content_free(store, txn->freed.items[index]);
    }
    atomic_fetch_add(&txn->engine->content_committed, (txn->content_blocks_allocated - reserved) * STORE_BLOCK_SIZE);
}

void txn_commit(struct txn *txn)
{
    struct txn_engine *engine = txn->engine;
    bool has_contents = txn->allocated.count > 0 || txn->freed.count > 0;

    BASE_ASSERT(txn->is_locked || !has_contents);
    if (has_contents) {
        commit_contents(txn);
    }
    if (txn->touched || has_contents) {
        txn_pages_finish(txn, true);
        atomic_fetch_add(&engine->commit_sequence, 1);
    }
    if (txn->is_locked) {
        store_log_end(engine->store);
    }
    txn_end(txn);
    txn_count(&engine->commits, 1);
    if (txn_is_pressed(engine)) {
        txn_background_request(engine, &engine->checkpoint_wanted);
    }
    if (txn_wants_sync(engine)) {
        txn_background_request(engine, &engine->sync_wanted);
    }
}

void txn_abort(struct txn *txn)
{
    struct txn_engine *engine = txn->engine;

    BASE_ASSERT(txn->pages_open == 0);
    for (size_t index = 0; index < txn->allocated.count; index++) {
        store_content_cancel(engine->store, txn->allocated.items[index]);
    }
    if (txn->touched) {
        base_latch_lock_exclusive(&engine->gate);
        txn_undo_roll_back(engine);
        txn_pages_finish(txn, false);
        base_latch_unlock_exclusive(&engine->gate);
    }
    for (size_t index = 0; index < txn->freed.count; index++) {
        store_content_unprepare_free(engine->store, txn->freed.items[index]);
    }
    if (txn->is_locked) {
        store_log_cancel(engine->store);
    }
    txn_end(txn);
    txn_count(&engine->aborts, 1);
}
