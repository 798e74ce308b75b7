/* The engine: what all transactions over one store and pool share. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "internal.h"

enum { CONTENT_UNSYNCED_START = 64 * 1024 * 1024 }; /* bytes, until the disk's rate is known */

static void engine_init_locks(struct txn_engine *engine)
{
    base_mutex_init(&engine->writer, BASE_RANK_WRITER);
    base_latch_init(&engine->gate, BASE_RANK_TREE_GATE);
    base_mutex_init(&engine->checkpoint_mutex, BASE_RANK_CHECKPOINT);
    base_mutex_init(&engine->admission_mutex, BASE_RANK_ADMISSION);
    base_mutex_init(&engine->leader_mutex, BASE_RANK_LOG_LEADER);
    base_condition_init(&engine->leader_changed);
    base_condition_init(&engine->admission_changed);
    base_condition_init(&engine->background_wake);
}

static void engine_destroy(struct txn_engine *engine)
{
    base_condition_deinit(&engine->background_wake);
    base_condition_deinit(&engine->admission_changed);
    base_condition_deinit(&engine->leader_changed);
    base_mutex_deinit(&engine->leader_mutex);
    base_mutex_deinit(&engine->admission_mutex);
    base_mutex_deinit(&engine->checkpoint_mutex);
    base_latch_deinit(&engine->gate);
    base_mutex_deinit(&engine->writer);
    txn_undo_deinit(&engine->undo);
    free(engine);
}

int txn_engine_open(struct store *store, struct pool *pool, const struct txn_engine_options *options,
                    struct txn_engine **ret_engine)
{
    struct txn_engine *engine = calloc(1, sizeof *engine);
    int error = 0;

    if (!engine) {
        return -ENOMEM;
    }
    engine->store = store;
    engine->pool = pool;
    engine->options = *options;
    engine->page_size = pool_get_page_size(pool);
    engine->content_unsynced_max =
        options->content_unsynced_max != 0 ? options->content_unsynced_max : CONTENT_UNSYNCED_START;
    engine->checkpoint_last_ms = base_clock_monotonic_ms();
    engine->sync_last_ms = base_clock_monotonic_ms();
    /* What somebody changed before is not durable either. */
    engine->commit_sequence = pool_dirty_count(pool) > 0 || store_is_dirty(store) ? 1 : 0;
    engine_init_locks(engine);
    if (options->commit_interval_ms > 0) {
        error = txn_background_start(engine);
    }
    if (error) {
        engine_destroy(engine);
        return error;
    }
    *ret_engine = engine;
    return 0;
}

void txn_engine_close(struct txn_engine *engine)
{
    txn_background_stop(engine);
    engine_destroy(engine);
}

struct store *txn_engine_store(struct txn_engine *engine)
{
    return engine->store;
}

struct pool *txn_engine_pool(struct txn_engine *engine)
{
    return engine->pool;
}

void txn_read_begin(struct txn_engine *engine)
{
    base_latch_lock_shared(&engine->gate);
}

void txn_read_end(struct txn_engine *engine)
{
    base_latch_unlock_shared(&engine->gate);
}

void txn_get_statistics(struct txn_engine *engine, struct txn_statistics *ret_statistics)
{
    *ret_statistics = (struct txn_statistics){
        .commits = engine->commits,
        .aborts = engine->aborts,
        .waits_for_frames = engine->waits_for_frames,
        .waits_for_space = engine->waits_for_space,
        .waits_for_contents = engine->waits_for_contents,
        .waits_for_log = engine->waits_for_log,
        .log_syncs = engine->log_syncs,
        .checkpoints_periodic = engine->checkpoints[CHECKPOINT_PERIODIC],
        .checkpoints_pressure = engine->checkpoints[CHECKPOINT_PRESSURE],
        .checkpoints_sync = engine->checkpoints[CHECKPOINT_SYNC],
        .pages_changed = engine->pages_changed,
        .edit_bytes = engine->edit_bytes,
    };
}
