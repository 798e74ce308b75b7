/* The background thread: a checkpoint every interval while something is dirty, and whenever one is asked for. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/clock.h"
#include "internal.h"

/* Until the next periodic checkpoint. */
static uint64_t background_idle_ms(struct txn_engine *engine)
{
    uint64_t due = atomic_load(&engine->checkpoint_last_ms) + engine->options.checkpoint_interval_ms;
    uint64_t now = base_clock_monotonic_ms();

    return due > now ? due - now : 0;
}

static void background_checkpoint(struct txn_engine *engine, bool asked)
{
    base_mutex_lock(&engine->checkpoint_mutex);
    /* Somebody's sync may have come before. */
    if (asked ? txn_is_pressed(engine) : background_idle_ms(engine) == 0) {
        txn_checkpoint(engine, asked ? CHECKPOINT_PRESSURE : CHECKPOINT_PERIODIC);
    }
    base_mutex_unlock(&engine->checkpoint_mutex);
}

static void *background_run(void *argument)
{
    struct txn_engine *engine = argument;

    base_mutex_lock(&engine->admission_mutex);
    while (!engine->background_stops) {
        uint64_t idle_ms = background_idle_ms(engine);
        bool asked = atomic_exchange(&engine->checkpoint_wanted, false);
        if (!asked && idle_ms > 0) {
            base_condition_wait_for(&engine->background_wake, &engine->admission_mutex, idle_ms);
            continue;
        }
        base_mutex_unlock(&engine->admission_mutex);
        background_checkpoint(engine, asked);
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
