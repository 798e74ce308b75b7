/* Checkpoints: freeze under the writer mutex, write without it.
 *
 * The freeze ends the log's open batch too. What a batch can hold is durable when that is written, which is done first;
 * what it can't (see store/log.h) is durable with the checkpoint; so is what nobody asked for, when it is much.
 *
 * The bound for unsynced contents follows the disk: what it wrote in about one second, by a moving average over the
 * syncs and checkpoints that wrote enough to tell. */
#include <errno.h>
#include <stddef.h>

#include "base/clock.h"
#include "internal.h"

enum {
    MIB = 1024 * 1024,
    CONTENT_UNSYNCED_MIN = 8 * MIB,
    CONTENT_UNSYNCED_MAX = 256 * MIB,
    RATE_BYTES_MIN = 4 * MIB,      /* less says more about the time of a sync than about the disk's rate */
    RATE_WEIGHT = 4,               /* of the past, in quarters: new = (3 * old + measured) / 4 */
    LOG_PENDING_WANTED = 16 * MIB, /* of the log's buffer in memory */
};

uint64_t txn_content_unsynced(struct txn_engine *engine)
{
    /* In this order: a commit adds to the first before it takes from the second, so none is missed. */
    uint64_t durable = atomic_load(&engine->content_durable);
    uint64_t promised = atomic_load(&engine->content_promised);

    return promised + atomic_load(&engine->content_committed) - durable;
}

bool txn_is_pressed(struct txn_engine *engine)
{
    uint64_t ring = store_log_ring_size(engine->store);

    return pool_dirty_count(engine->pool) > pool_reserve_max(engine->pool) / 2 ||
           store_log_used_size(engine->store) > ring / 2 || store_log_pending_size(engine->store) > LOG_PENDING_WANTED;
}

bool txn_wants_sync(struct txn_engine *engine)
{
    return atomic_load_explicit(&engine->content_committed, memory_order_relaxed) -
               atomic_load_explicit(&engine->content_durable, memory_order_relaxed) >
           atomic_load_explicit(&engine->content_unsynced_max, memory_order_relaxed) / 2;
}

void txn_background_request(struct txn_engine *engine, _Atomic bool *wanted)
{
    if (!engine->has_background || atomic_load_explicit(wanted, memory_order_relaxed) ||
        atomic_exchange(wanted, true)) {
        return;
    }
    base_mutex_lock(&engine->admission_mutex);
    base_condition_signal(&engine->background_wake);
    base_mutex_unlock(&engine->admission_mutex);
}

/* What a checkpoint makes durable. */
struct frozen_state {
    struct txn_position position;
    uint64_t pages;
    bool is_logged; /* the batch that the freeze sealed holds all that was open */
};

/* False when nothing is dirty: then everything committed is durable already. The caller leads. */
static bool freeze(struct txn_engine *engine, struct frozen_state *ret_frozen)
{
    uint64_t asked = atomic_load(&engine->syncs_asked);
    bool is_lazy = txn_prefers_checkpoint(engine);

    engine->syncs_at_freeze = asked;
    base_mutex_lock(&engine->writer);
    ret_frozen->position = txn_get_position(engine);
    ret_frozen->pages = pool_dirty_count(engine->pool);
    ret_frozen->is_logged = store_log_can_write(engine->store) && !is_lazy;
    store_log_set_lazy(engine->store, is_lazy);
    bool dirty = ret_frozen->pages > 0 || store_is_dirty(engine->store);
    if (dirty) {
        pool_freeze(engine->pool);
        store_freeze(engine->store);
    }
    base_mutex_unlock(&engine->writer);
    return dirty;
}

void txn_rate_measure(struct txn_engine *engine, uint64_t bytes, uint64_t time_ns)
{
    uint64_t before = atomic_load(&engine->disk_rate);

    if (bytes < RATE_BYTES_MIN || time_ns == 0 || engine->options.content_unsynced_max != 0) {
        return;
    }
    uint64_t rate = (uint64_t)((double)bytes * 1e9 / (double)time_ns);
    if (before != 0) {
        rate = ((RATE_WEIGHT - 1) * before + rate) / RATE_WEIGHT;
    }
    atomic_store(&engine->disk_rate, rate);
    if (rate < CONTENT_UNSYNCED_MIN) {
        rate = CONTENT_UNSYNCED_MIN;
    } else if (rate > CONTENT_UNSYNCED_MAX) {
        rate = CONTENT_UNSYNCED_MAX;
    }
    atomic_store(&engine->content_unsynced_max, rate);
}

static int write_frozen(struct txn_engine *engine)
{
    struct base_reason reason;
    int error = pool_write_frozen(engine->pool);

    if (error == 0) {
        error = store_checkpoint(engine->store);
    }
    /* Whatever it was, the frozen epoch is lost: nothing may be built on it. */
    if (error && store_get_failure(engine->store, &reason) == 0) {
        store_fail(engine->store, "a checkpoint could not be written");
    }
    return error;
}

/* 1: frozen, and what the freeze sealed is written; 0: nothing is dirty; else the store has failed. */
static int freeze_and_log(struct txn_engine *engine, struct frozen_state *ret_frozen)
{
    int result = 0;

    txn_lead_begin(engine);
    if (freeze(engine, ret_frozen)) {
        int error = store_log_write(engine->store);
        if (error == 0 && ret_frozen->is_logged) {
            txn_note_durable(engine, &ret_frozen->position);
        }
        result = error ? error : 1;
    } else {
        txn_note_durable(engine, &ret_frozen->position);
    }
    txn_lead_end(engine);
    return result;
}

int txn_checkpoint(struct txn_engine *engine, enum checkpoint_cause cause)
{
    struct frozen_state frozen;
    struct base_reason reason;

    atomic_store(&engine->checkpoint_wanted, false);
    if (store_get_failure(engine->store, &reason)) {
        return -EROFS;
    }
    if (!txn_prefers_checkpoint(engine)) {
        store_log_prepare_ring(engine->store);
    }
    uint64_t start_ns = base_clock_monotonic_ns();
    uint64_t unsynced = atomic_load(&engine->content_committed) - atomic_load(&engine->content_durable);
    int result = freeze_and_log(engine, &frozen);
    if (result == 0) {
        return 0;
    }
    if (result > 0) {
        result = write_frozen(engine);
    }
    if (result == 0) {
        txn_rate_measure(engine, unsynced + frozen.pages * engine->page_size, base_clock_monotonic_ns() - start_ns);
        txn_note_durable(engine, &frozen.position);
        txn_count(&engine->checkpoints[cause], 1);
        atomic_store(&engine->checkpoint_last_ms, base_clock_monotonic_ms());
    }
    atomic_fetch_add(&engine->checkpoint_count, 1);
    return result ? result : 1;
}

int txn_engine_checkpoint(struct txn_engine *engine)
{
    struct base_reason reason;

    if (store_get_failure(engine->store, &reason)) {
        return -EROFS;
    }
    base_mutex_lock(&engine->checkpoint_mutex);
    int result = txn_checkpoint(engine, CHECKPOINT_SYNC);
    base_mutex_unlock(&engine->checkpoint_mutex);
    return result < 0 ? result : 0;
}
