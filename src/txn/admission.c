/* Admission: a transaction begins when frames, blocks and the room for unsynced contents that it may need are promised.
 *
 * The way without waiting is a few atomics. Who can't have everything gives everything back, draws a ticket and waits
 * for its turn; the one whose turn it is (the head) tries again after each checkpoint and each end of a transaction.
 * While anybody waits, newcomers draw tickets too: so the head competes only with transactions already admitted, which
 * end without waiting for admission, and it can't starve.
 *
 * What the head does about a shortage: a sync, if anything is not durable and it could help (contents and the log are
 * short until a sync, space may be); a checkpoint, if anything is dirty (frames, space); else it waits for a
 * transaction to end. If nothing is dirty and none is under way, only space can be short: -ENOSPC. */
#include <errno.h>
#include <stddef.h>

#include "internal.h"

enum shortage { SHORT_OF_NOTHING, SHORT_OF_FRAMES, SHORT_OF_CONTENTS, SHORT_OF_LOG, SHORT_OF_SPACE };

enum { LOG_PENDING_MAX = 24 << 20 }; /* bytes in memory; what is admitted then still finds room */

static uint64_t content_bytes(const struct txn_need *need)
{
    return (need->content_blocks - need->content_reserved) * STORE_BLOCK_SIZE;
}

/* An operation larger than the maximum goes alone. */
static bool contents_promise(struct txn_engine *engine, uint64_t bytes)
{
    if (bytes == 0) {
        return true;
    }
    atomic_fetch_add(&engine->content_promised, bytes);
    uint64_t unsynced = txn_content_unsynced(engine);
    if (unsynced == bytes || unsynced <= atomic_load(&engine->content_unsynced_max)) {
        return true;
    }
    atomic_fetch_sub(&engine->content_promised, bytes);
    return false;
}

static void contents_release(struct txn_engine *engine, uint64_t bytes)
{
    if (bytes > 0) {
        atomic_fetch_sub(&engine->content_promised, bytes);
    }
}

/* All or nothing. 0 with the shortage in *ret_shortage, or an error that waiting does not help. */
static int admit_try(struct txn_engine *engine, const struct txn_need *need, enum shortage *ret_shortage)
{
    const struct store_need store_need = {
        .pages = need->pages, .content_blocks = need->content_blocks, .may_use_emergency = need->frees_space};

    *ret_shortage = SHORT_OF_NOTHING;
    if (!contents_promise(engine, content_bytes(need))) {
        *ret_shortage = SHORT_OF_CONTENTS;
        return 0;
    }
    if (store_log_pending_size(engine->store) > LOG_PENDING_MAX) {
        contents_release(engine, content_bytes(need));
        *ret_shortage = SHORT_OF_LOG;
        return 0;
    }
    if (!pool_reserve(engine->pool, need->pages)) {
        contents_release(engine, content_bytes(need));
        *ret_shortage = SHORT_OF_FRAMES;
        return 0;
    }
    int error = store_reserve(engine->store, &store_need);
    if (error == 0) {
        return 0;
    }
    pool_unreserve(engine->pool, need->pages);
    contents_release(engine, content_bytes(need));
    if (error == -ENOSPC) {
        *ret_shortage = SHORT_OF_SPACE;
        return 0;
    }
    return error;
}

/* A transaction ended, or gave up trying without a ticket. */
static void admission_note_end(struct txn_engine *engine)
{
    atomic_fetch_add(&engine->ends, 1);
    if (atomic_load(&engine->waiters) > 0) {
        base_mutex_lock(&engine->admission_mutex);
        base_condition_broadcast(&engine->admission_changed);
        base_mutex_unlock(&engine->admission_mutex);
    }
}

static void count_wait(struct txn_engine *engine, enum shortage shortage)
{
    if (shortage == SHORT_OF_FRAMES) {
        txn_count(&engine->waits_for_frames, 1);
    } else if (shortage == SHORT_OF_CONTENTS) {
        txn_count(&engine->waits_for_contents, 1);
    } else if (shortage == SHORT_OF_LOG) {
        txn_count(&engine->waits_for_log, 1);
    } else {
        txn_count(&engine->waits_for_space, 1);
    }
}

/* Awaits a checkpoint that ended after checkpoint_count was `seen`, taking it if need be. Results as txn_checkpoint. */
static int checkpoint_await(struct txn_engine *engine, uint64_t seen)
{
    int result = 1;

    base_mutex_lock(&engine->checkpoint_mutex);
    if (atomic_load(&engine->checkpoint_count) == seen) {
        result = txn_checkpoint(engine, CHECKPOINT_PRESSURE);
    }
    base_mutex_unlock(&engine->checkpoint_mutex);
    return result;
}

/* 1: something was done that may have helped; 0: nothing is left to do; else the store has failed. */
static int relieve(struct txn_engine *engine, enum shortage shortage, uint64_t checkpoints_seen)
{
    bool is_durable = atomic_load(&engine->durable_sequence) >= atomic_load(&engine->commit_sequence);

    if (shortage != SHORT_OF_FRAMES && !is_durable) {
        return txn_sync(engine) < 0 ? -EROFS : 1;
    }
    if (shortage == SHORT_OF_CONTENTS || shortage == SHORT_OF_LOG) {
        return 0;
    }
    return checkpoint_await(engine, checkpoints_seen);
}

static void end_await(struct txn_engine *engine, uint64_t seen)
{
    base_mutex_lock(&engine->admission_mutex);
    while (atomic_load(&engine->ends) == seen) {
        base_condition_wait(&engine->admission_changed, &engine->admission_mutex);
    }
    base_mutex_unlock(&engine->admission_mutex);
}

/* The head's loop. */
static int admit_as_head(struct txn_engine *engine, const struct txn_need *need)
{
    enum shortage counted = SHORT_OF_NOTHING;

    for (;;) {
        uint64_t ends = atomic_load(&engine->ends);
        bool others = atomic_load(&engine->begins) != ends;
        uint64_t checkpoints = atomic_load(&engine->checkpoint_count);
        enum shortage shortage;
        int error = admit_try(engine, need, &shortage);
        if (error || shortage == SHORT_OF_NOTHING) {
            return error;
        }
        if (shortage != counted) {
            count_wait(engine, shortage);
            counted = shortage;
        }
        int made = relieve(engine, shortage, checkpoints);
        if (made < 0) {
            return -EROFS;
        }
        if (made == 0 && others) {
            end_await(engine, ends);
        } else if (made == 0 && shortage == SHORT_OF_SPACE) {
            return -ENOSPC;
        }
    }
}

static int admit_in_turn(struct txn_engine *engine, const struct txn_need *need)
{
    atomic_fetch_add(&engine->waiters, 1);
    base_mutex_lock(&engine->admission_mutex);
    uint64_t ticket = engine->ticket_next++;
    while (engine->ticket_served != ticket) {
        base_condition_wait(&engine->admission_changed, &engine->admission_mutex);
    }
    base_mutex_unlock(&engine->admission_mutex);

    int error = admit_as_head(engine, need);
    if (error == 0) {
        atomic_fetch_add(&engine->begins, 1);
    }
    base_mutex_lock(&engine->admission_mutex);
    engine->ticket_served++;
    atomic_fetch_sub(&engine->waiters, 1);
    base_condition_broadcast(&engine->admission_changed);
    base_mutex_unlock(&engine->admission_mutex);
    return error;
}

int txn_admit(struct txn_engine *engine, const struct txn_need *need)
{
    if (need->pages > pool_reserve_max(engine->pool)) {
        return -E2BIG;
    }
    /* Counted before the look at the waiters: a head that overlooks this thread is seen by it. */
    atomic_fetch_add(&engine->begins, 1);
    if (atomic_load(&engine->waiters) == 0) {
        enum shortage shortage;
        int error = admit_try(engine, need, &shortage);
        if (error == 0 && shortage == SHORT_OF_NOTHING) {
            return 0;
        }
        if (error) {
            admission_note_end(engine);
            return error;
        }
    }
    admission_note_end(engine);
    return admit_in_turn(engine, need);
}

void txn_dismiss(struct txn_engine *engine, const struct txn_need *need, uint64_t pages_used,
                 uint64_t content_blocks_used)
{
    pool_unreserve(engine->pool, need->pages - pages_used);
    store_unreserve(engine->store, need->pages - pages_used, need->content_blocks - content_blocks_used);
    contents_release(engine, content_bytes(need));
    admission_note_end(engine);
}
