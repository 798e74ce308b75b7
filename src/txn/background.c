/* The background thread: a sync every interval while something is not durable, a checkpoint when there was nothing new
 * for an interval or the last one is long ago, and either whenever it is asked for. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/clock.h"
#include "internal.h"

enum { CHECKPOINT_AGE_MAX_MS = 60000 };

/* Until the next periodic sync. */
static uint64_t background_idle_ms(struct txn_engine *engine)
{
    uint64_t due = engine->sync_last_ms + engine->options.commit_interval_ms;
    uint64_t now = base_clock_monotonic_ms();

    return due > now ? due - now : 0;
}

static void background_checkpoint(struct txn_engine *engine, enum checkpoint_cause cause)
{
    base_mutex_lock(&engine->checkpoint_mutex);
    /* Who waited for admission may have taken one before. */
    if (cause == CHECKPOINT_PERIODIC || txn_is_pressed(engine)) {
        txn_checkpoint(engine, cause);
    }
    base_mutex_unlock(&engine->checkpoint_mutex);
}

static bool background_prefers_checkpoint(struct txn_engine *engine)
{
    base_mutex_lock(&engine->checkpoint_mutex);
    bool prefers = txn_prefers_checkpoint(engine);
    base_mutex_unlock(&engine->checkpoint_mutex);
    return prefers;
}

/* The work of one interval. A failure has its message, and is in store_get_failure. */
static void background_tick(struct txn_engine *engine)
{
    uint64_t sequence = atomic_load(&engine->commit_sequence);
    bool is_idle = sequence == engine->idle_sequence;
    bool is_old = base_clock_monotonic_ms() - atomic_load(&engine->checkpoint_last_ms) > CHECKPOINT_AGE_MAX_MS;

    engine->sync_last_ms = base_clock_monotonic_ms();
    engine->idle_sequence = sequence;
    if (is_idle || is_old || background_prefers_checkpoint(engine)) {
        background_checkpoint(engine, CHECKPOINT_PERIODIC);
    }
    (void)txn_sync(engine);
}

static void background_work(struct txn_engine *engine)
{
    if (atomic_exchange(&engine->sync_wanted, false)) {
        (void)txn_sync(engine);
    }
    if (atomic_exchange(&engine->checkpoint_wanted, false)) {
        background_checkpoint(engine, CHECKPOINT_PRESSURE);
    }
    if (background_idle_ms(engine) == 0) {
        background_tick(engine);
    }
}

static void *background_run(void *argument)
{
    struct txn_engine *engine = argument;

    base_mutex_lock(&engine->admission_mutex);
    while (!engine->background_stops) {
        uint64_t idle_ms = background_idle_ms(engine);
        if (!atomic_load(&engine->checkpoint_wanted) && !atomic_load(&engine->sync_wanted) && idle_ms > 0) {
            base_condition_wait_for(&engine->background_wake, &engine->admission_mutex, idle_ms);
            continue;
        }
        base_mutex_unlock(&engine->admission_mutex);
        background_work(engine);
        base_mutex_lock(&engine->admission_mutex);
    }
    base_mutex_unlock(&engine->admission_mutex);
    return NULL;
}

int txn_background_start(struct txn_engine *engine)
{
    sigset_t all, before;

    /* Signals are for the threads of the program. */
    BASE_ASSERT(sigfillset(&all) == 0);
    BASE_ASSERT(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    int error = pthread_create(&engine->background, NULL, background_run, engine);
    BASE_ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    engine->has_background = error == 0;
    return -error;
}

void txn_background_stop(struct txn_engine *engine)
{
    if (!engine->has_background) {
        return;
    }
    base_mutex_lock(&engine->admission_mutex);
    engine->background_stops = true;
    base_condition_signal(&engine->background_wake);
    base_mutex_unlock(&engine->admission_mutex);
    BASE_ASSERT(pthread_join(engine->background, NULL) == 0);
}
