/* Checkpoints: freeze under the writer mutex, write without it.
 *
 * Everything that a commit did before the freeze becomes durable with the checkpoint. txn_engine_sync needs one whose
 * freeze came after the call: callers queue at checkpoint_mutex, and when the first of them has taken a checkpoint, the
 * rest find that it covers them too. Each knows what it needs by the commit sequence at its call.
 *
 * The bound for unsynced contents follows the disk: what it wrote in about one second, by a moving average over the
 * checkpoints that wrote enough to tell. */
#include <errno.h>
#include <stddef.h>

#include "base/clock.h"
#include "internal.h"

enum {
    MIB = 1024 * 1024,
    CONTENT_UNSYNCED_MIN = 8 * MIB,
    CONTENT_UNSYNCED_MAX = 256 * MIB,
    RATE_BYTES_MIN = 4 * MIB, /* less says more about the time of a sync than about the disk's rate */
    RATE_WEIGHT = 4,          /* of the past, in quarters: new = (3 * old + measured) / 4 */
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
    return pool_dirty_count(engine->pool) > pool_reserve_max(engine->pool) / 2 ||
           atomic_load_explicit(&engine->content_committed, memory_order_relaxed) -
                   atomic_load_explicit(&engine->content_durable, memory_order_relaxed) >
               atomic_load_explicit(&engine->content_unsynced_max, memory_order_relaxed) / 2;
}

void txn_checkpoint_request(struct txn_engine *engine)
{
    if (!engine->has_background || atomic_exchange(&engine->checkpoint_wanted, true)) {
        return;
    }
    base_mutex_lock(&engine->admission_mutex);
    base_condition_signal(&engine->background_wake);
    base_mutex_unlock(&engine->admission_mutex);
}

/* What a checkpoint makes durable. */
struct frozen_state {
    uint64_t commit_sequence, content_committed, pages;
};

/* False when nothing is dirty: then everything committed is durable already. */
static bool freeze(struct txn_engine *engine, struct frozen_state *ret_frozen)
{
    base_mutex_lock(&engine->writer);
    ret_frozen->commit_sequence = atomic_load_explicit(&engine->commit_sequence, memory_order_relaxed);
    ret_frozen->content_committed = atomic_load_explicit(&engine->content_committed, memory_order_relaxed);
    ret_frozen->pages = pool_dirty_count(engine->pool);
    bool dirty = ret_frozen->pages > 0 || store_is_dirty(engine->store);
    if (dirty) {
        pool_freeze(engine->pool);
        store_freeze(engine->store);
    }
    base_mutex_unlock(&engine->writer);
    return dirty;
}

static void rate_measure(struct txn_engine *engine, uint64_t bytes, uint64_t time_ns)
{
    if (bytes < RATE_BYTES_MIN || time_ns == 0 || engine->options.content_unsynced_max != 0) {
        return;
    }
    uint64_t rate = (uint64_t)((double)bytes * 1e9 / (double)time_ns);
    if (engine->disk_rate != 0) {
        rate = ((RATE_WEIGHT - 1) * engine->disk_rate + rate) / RATE_WEIGHT;
    }
    engine->disk_rate = rate;
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

static void note_durable(struct txn_engine *engine, const struct frozen_state *frozen)
{
    atomic_store(&engine->content_durable, frozen->content_committed);
    atomic_store(&engine->durable_sequence, frozen->commit_sequence);
}

int txn_checkpoint(struct txn_engine *engine, enum checkpoint_cause cause)
{
    struct frozen_state frozen;
    struct base_reason reason;

    atomic_store(&engine->checkpoint_wanted, false);
    atomic_store(&engine->checkpoint_last_ms, base_clock_monotonic_ms());
    if (store_get_failure(engine->store, &reason)) {
        return -EROFS;
    }
    if (!freeze(engine, &frozen)) {
        note_durable(engine, &frozen);
        return 0;
    }
    uint64_t start_ns = base_clock_monotonic_ns();
    uint64_t bytes =
        frozen.content_committed - atomic_load(&engine->content_durable) + frozen.pages * engine->page_size;
    int error = write_frozen(engine);
    if (error == 0) {
        rate_measure(engine, bytes, base_clock_monotonic_ns() - start_ns);
        note_durable(engine, &frozen);
        txn_count(&engine->checkpoints[cause], 1);
    }
    atomic_fetch_add(&engine->checkpoint_count, 1);
    return error ? -EIO : 1;
}

int txn_engine_sync(struct txn_engine *engine)
{
    uint64_t target = atomic_load(&engine->commit_sequence);
    struct base_reason reason;
    int result = 0;

    if (atomic_load(&engine->durable_sequence) >= target) {
        return 0;
    }
    if (store_get_failure(engine->store, &reason)) {
        return -EROFS;
    }
    base_mutex_lock(&engine->checkpoint_mutex);
    if (atomic_load(&engine->durable_sequence) < target) {
        result = txn_checkpoint(engine, CHECKPOINT_SYNC);
    }
    base_mutex_unlock(&engine->checkpoint_mutex);
    /* The store was well when this call came: who waited while another's checkpoint failed lost the same changes. */
    return result < 0 ? -EIO : 0;
}
