/* Making commits durable: by the log, or by a checkpoint where the log can't.
 *
 * Whoever needs a commit durable either finds it so, or waits for the leader of the moment, or becomes the leader:
 * seals what is open, writes it, and syncs once for all who came before the seal. Who came later needs the next batch,
 * and one of them leads that. There is no timer: while one sync is under way the next batch fills.
 *
 *      follower --nobody leads--> leader --seal, write, sync--> all below the seal are let go, nobody leads
 *
 * The thread that takes a checkpoint leads too while it freezes and writes what the freeze sealed: so a batch is never
 * written before the one before it is durable. A leader waits for nothing but the disk and, for moments, the writer
 * mutex: never for a checkpoint, whose thread may wait to lead.
 *
 * Locks: leader_mutex guards is_led and the waiting; it is held with nothing below it. */
#include <errno.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/tooth.h"
#include "internal.h"

enum { PENDING_SMALL = 128 << 10 }; /* bytes of the log that are written sooner than pages */

static bool is_durable(struct txn_engine *engine, uint64_t target)
{
    return atomic_load(&engine->durable_sequence) >= target;
}

void txn_lead_begin(struct txn_engine *engine)
{
    base_mutex_lock(&engine->leader_mutex);
    while (engine->is_led) {
        base_condition_wait(&engine->leader_changed, &engine->leader_mutex);
    }
    engine->is_led = true;
    base_mutex_unlock(&engine->leader_mutex);
}

void txn_lead_end(struct txn_engine *engine)
{
    base_mutex_lock(&engine->leader_mutex);
    engine->is_led = false;
    base_condition_broadcast(&engine->leader_changed);
    base_mutex_unlock(&engine->leader_mutex);
}

/* True: this thread leads now. False: the target is durable. */
static bool lead_or_follow(struct txn_engine *engine, uint64_t target)
{
    base_mutex_lock(&engine->leader_mutex);
    while (engine->is_led && !is_durable(engine, target)) {
        base_condition_wait(&engine->leader_changed, &engine->leader_mutex);
        if (BASE_TOOTH(FOLLOWER_LET_GO)) {
            base_mutex_unlock(&engine->leader_mutex);
            return false;
        }
    }
    bool leads = !is_durable(engine, target);
    engine->is_led = engine->is_led || leads;
    base_mutex_unlock(&engine->leader_mutex);
    return leads;
}

void txn_note_durable(struct txn_engine *engine, const struct txn_position *position)
{
    uint64_t contents = atomic_load(&engine->content_durable);
    uint64_t sequence = atomic_load(&engine->durable_sequence);

    /* A checkpoint may end after batches that came behind its freeze. */
    while (contents < position->content_committed &&
           !atomic_compare_exchange_weak(&engine->content_durable, &contents, position->content_committed)) {
    }
    while (sequence < position->commit_sequence &&
           !atomic_compare_exchange_weak(&engine->durable_sequence, &sequence, position->commit_sequence)) {
    }
}

struct txn_position txn_get_position(struct txn_engine *engine)
{
    return (struct txn_position){
        .commit_sequence = atomic_load_explicit(&engine->commit_sequence, memory_order_relaxed),
        .content_committed = atomic_load_explicit(&engine->content_committed, memory_order_relaxed),
    };
}

/* The leader's work. 1: everything committed before is durable; 0: it takes a checkpoint; else the store has failed. */
static int write_log(struct txn_engine *engine)
{
    base_mutex_lock(&engine->writer);
    bool can_write = store_log_can_write(engine->store);
    struct txn_position position = txn_get_position(engine);
    if (can_write) {
        store_log_seal(engine->store);
    }
    base_mutex_unlock(&engine->writer);
    if (!can_write) {
        return 0;
    }
    uint64_t begin_ns = base_clock_monotonic_ns();
    uint64_t bytes = position.content_committed - atomic_load(&engine->content_durable);
    int error = store_log_write(engine->store);
    if (error) {
        return error;
    }
    txn_note_durable(engine, &position);
    txn_rate_measure(engine, bytes, base_clock_monotonic_ns() - begin_ns);
    txn_count(&engine->log_syncs, 1);
    return 1;
}

/* What the log can't take is durable when a checkpoint is whose freeze comes now; one under way may be the reason that
 * the log can't, so after that it is tried again. */
static int checkpoint_instead(struct txn_engine *engine, uint64_t target)
{
    int result = 1;

    base_mutex_lock(&engine->checkpoint_mutex);
    if (!is_durable(engine, target)) {
        txn_lead_begin(engine);
        base_mutex_lock(&engine->writer);
        bool can_write = store_log_can_write(engine->store);
        base_mutex_unlock(&engine->writer);
        txn_lead_end(engine);
        if (!can_write) {
            result = txn_checkpoint(engine, CHECKPOINT_SYNC);
        }
    }
    base_mutex_unlock(&engine->checkpoint_mutex);
    return result;
}

bool txn_prefers_checkpoint(struct txn_engine *engine)
{
    return atomic_load(&engine->syncs_asked) == engine->syncs_at_freeze &&
           store_log_pending_size(engine->store) > PENDING_SMALL;
}

int txn_engine_sync(struct txn_engine *engine)
{
    if (!is_durable(engine, atomic_load(&engine->commit_sequence))) {
        txn_count(&engine->syncs_asked, 1);
    }
    return txn_sync(engine);
}

int txn_sync(struct txn_engine *engine)
{
    uint64_t target = atomic_load(&engine->commit_sequence);
    struct base_reason reason;
    bool first = true;

    while (!is_durable(engine, target)) {
        if (store_get_failure(engine->store, &reason)) {
            /* Well when this call came: the failure lost its changes. */
            return first ? -EROFS : -EIO;
        }
        first = false;
        if (!lead_or_follow(engine, target)) {
            return 0;
        }
        int made = write_log(engine);
        txn_lead_end(engine);
        if (made == 0) {
            made = checkpoint_instead(engine, target);
        }
        if (made < 0) {
            return made == -EROFS ? -EIO : made; /* the host's own error to who met it */
        }
    }
    return 0;
}
