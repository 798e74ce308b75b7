/* See threads.h. Threads are contexts of one thread (ucontext): switching is a call.
 *
 * A wait is a loop: while the lock is taken (or the condition's count has not moved) run something else. That is
 * wasteful and can't be wrong; the simulation has a handful of threads. */
#include "threads.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/latch.h"
#include "base/random.h"
#include "support/sim_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#endif
#ifdef HAS_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

enum { THREADS_MAX = 8, STACK_SIZE = 512 * 1024, SPINS_MAX = 100000 };

struct thread {
    ucontext_t context;
    void *stack;
    simulation_thread run;
    void *argument;
    bool is_used; /* until it is joined */
    bool has_ended;
    void *fake_stack; /* AddressSanitizer's */
};

static struct thread threads[THREADS_MAX];
static unsigned current; /* while is_running */
static bool is_running;
static bool is_first; /* the first thread has not begun */
static ucontext_t main_context;
static void *main_fake_stack;
static const void *main_stack;
static size_t main_stack_size;
static struct base_random schedule;
static uint64_t idle_switches; /* since anything got on */

/* --- Switching ---------------------------------------------------------------------------------------------------- */

static void switch_begin(void **fake_stack, const void *stack, size_t size)
{
#ifdef HAS_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(fake_stack, stack, size);
#else
    (void)fake_stack, (void)stack, (void)size;
#endif
}

static void switch_end(void *fake_stack, const void **ret_stack, size_t *ret_size)
{
#ifdef HAS_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(fake_stack, ret_stack, ret_size);
#else
    (void)fake_stack, (void)ret_stack, (void)ret_size;
#endif
}

static void switch_to(unsigned next)
{
    unsigned self = current;

    if (next == self) {
        return;
    }
    current = next;
    switch_begin(threads[self].has_ended ? NULL : &threads[self].fake_stack, threads[next].stack, STACK_SIZE);
    swapcontext(&threads[self].context, &threads[next].context);
    switch_end(threads[self].fake_stack, NULL, NULL);
}

static unsigned draw(void)
{
    unsigned alive = 0;

    for (unsigned i = 0; i < THREADS_MAX; i++) {
        alive += threads[i].is_used && !threads[i].has_ended;
    }
    if (alive == 0) {
        return THREADS_MAX;
    }
    unsigned place = (unsigned)base_random_below(&schedule, alive);
    for (unsigned i = 0;; i++) {
        if (threads[i].is_used && !threads[i].has_ended && place-- == 0) {
            return i;
        }
    }
}

static void thread_main(void)
{
    switch_end(NULL, is_first ? &main_stack : NULL, is_first ? &main_stack_size : NULL);
    is_first = false;
    threads[current].run(threads[current].argument);
    threads[current].has_ended = true;
    idle_switches = 0;
    unsigned next = draw();
    if (next < THREADS_MAX) {
        switch_to(next);
    }
    switch_begin(NULL, main_stack, main_stack_size);
    swapcontext(&threads[current].context, &main_context); /* never comes back */
}

unsigned simulation_spawn(simulation_thread run, void *argument)
{
    unsigned id = 0;

    while (id < THREADS_MAX && threads[id].is_used) {
        id++;
    }
    BASE_ASSERT(id < THREADS_MAX && is_running);
    struct thread *thread = &threads[id];
    thread->run = run;
    thread->argument = argument;
    thread->is_used = true;
    thread->has_ended = false;
    if (!thread->stack) {
        thread->stack = sim_allocate(NULL, 1, STACK_SIZE);
    }
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = thread->stack;
    thread->context.uc_stack.ss_size = STACK_SIZE;
    thread->context.uc_link = NULL;
    makecontext(&thread->context, thread_main, 0);
    return id;
}

void simulation_run(uint64_t seed, simulation_thread run, void *context)
{
    base_random_seed(&schedule, seed);
    idle_switches = 0;
    is_running = true;
    is_first = true;
    current = simulation_spawn(run, context);
    unsigned first = current;
    switch_begin(&main_fake_stack, threads[first].stack, STACK_SIZE);
    swapcontext(&main_context, &threads[first].context);
    switch_end(main_fake_stack, NULL, NULL);
    is_running = false;
    threads[first].is_used = false;
    for (unsigned i = 0; i < THREADS_MAX; i++) {
        BASE_ASSERT(!threads[i].is_used);
    }
}

void simulation_yield(void)
{
    if (is_running) {
        idle_switches = 0;
        switch_to(draw());
    }
}

/* The calling thread can't go on. */
static void wait_a_turn(const char *what)
{
    if (!is_running || idle_switches++ > SPINS_MAX) {
        fprintf(stderr, "crash: deadlock: everybody waits, one of them for %s\n", what);
        abort();
    }
    switch_to(draw());
}

static void got_on(void)
{
    idle_switches = 0;
}

void simulation_join(unsigned thread)
{
    while (!threads[thread].has_ended) {
        wait_a_turn("a thread's end");
    }
    threads[thread].is_used = false;
    got_on();
}

/* --- pthread ------------------------------------------------------------------------------------------------------ */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __wrap_pthread_join(pthread_t thread, void **result);
pthread_t __wrap_pthread_self(void);

struct start {
    void *(*run)(void *);
    void *argument;
};

static struct start starts[THREADS_MAX];

static void run_pthread(void *context)
{
    const struct start *start = context;
    start->run(start->argument);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    (void)attributes;
    unsigned id = simulation_spawn(run_pthread, NULL);
    starts[id] = (struct start){.run = run, .argument = argument};
    threads[id].argument = &starts[id];
    *thread = (pthread_t)id + 1;
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    BASE_ASSERT(!result);
    simulation_join((unsigned)thread - 1);
    return 0;
}

pthread_t __wrap_pthread_self(void)
{
    return is_running ? (pthread_t)current + 1 : 0;
}

/* --- base/latch.h ------------------------------------------------------------------------------------------------- */

struct lock {
    uint32_t shared;
    bool exclusive;
};

struct signals {
    uint64_t waiters, count;
};

_Static_assert(sizeof(struct lock) <= sizeof(pthread_mutex_t), "a lock stands in a mutex");
_Static_assert(sizeof(struct lock) <= sizeof(pthread_rwlock_t), "a lock stands in a latch");
_Static_assert(sizeof(struct signals) <= sizeof(pthread_cond_t), "signals stand in a condition");

static struct lock *lock_of(struct base_mutex *mutex)
{
    return (struct lock *)(void *)&mutex->mutex;
}

static struct lock *lock_of_latch(struct base_latch *latch)
{
    return (struct lock *)(void *)&latch->lock;
}

static struct signals *signals_of(struct base_condition *condition)
{
    return (struct signals *)(void *)&condition->condition;
}

void base_mutex_init(struct base_mutex *mutex, enum base_lock_rank rank)
{
    *lock_of(mutex) = (struct lock){0};
    mutex->rank = rank;
}

void base_mutex_deinit(struct base_mutex *mutex)
{
    BASE_ASSERT(!lock_of(mutex)->exclusive);
}

void base_mutex_lock(struct base_mutex *mutex)
{
    while (lock_of(mutex)->exclusive) {
        wait_a_turn("a mutex");
    }
    lock_of(mutex)->exclusive = true;
    got_on();
}

void base_mutex_unlock(struct base_mutex *mutex)
{
    BASE_ASSERT(lock_of(mutex)->exclusive);
    lock_of(mutex)->exclusive = false;
    if (is_running && base_random_below(&schedule, 16) == 0) {
        simulation_yield();
    }
}

void base_latch_init(struct base_latch *latch, enum base_lock_rank rank)
{
    *lock_of_latch(latch) = (struct lock){0};
    latch->rank = rank;
}

void base_latch_deinit(struct base_latch *latch)
{
    BASE_ASSERT(!lock_of_latch(latch)->exclusive && lock_of_latch(latch)->shared == 0);
}

bool base_latch_try_shared(struct base_latch *latch)
{
    struct lock *lock = lock_of_latch(latch);
    lock->shared += !lock->exclusive;
    return !lock->exclusive;
}

bool base_latch_try_exclusive(struct base_latch *latch)
{
    struct lock *lock = lock_of_latch(latch);
    if (lock->exclusive || lock->shared > 0) {
        return false;
    }
    lock->exclusive = true;
    return true;
}

void base_latch_lock_shared(struct base_latch *latch)
{
    while (!base_latch_try_shared(latch)) {
        wait_a_turn("a latch, shared");
    }
    got_on();
}

void base_latch_lock_exclusive(struct base_latch *latch)
{
    while (!base_latch_try_exclusive(latch)) {
        wait_a_turn("a latch, exclusive");
    }
    got_on();
}

void base_latch_unlock_shared(struct base_latch *latch)
{
    BASE_ASSERT(lock_of_latch(latch)->shared > 0);
    lock_of_latch(latch)->shared--;
}

void base_latch_unlock_exclusive(struct base_latch *latch)
{
    BASE_ASSERT(lock_of_latch(latch)->exclusive);
    lock_of_latch(latch)->exclusive = false;
}

void base_condition_init(struct base_condition *condition)
{
    *signals_of(condition) = (struct signals){0};
}

void base_condition_deinit(struct base_condition *condition)
{
    BASE_ASSERT(signals_of(condition)->waiters == 0);
}

/* A signal wakes all who wait: they look again, as they must anyway. */
void base_condition_wait(struct base_condition *condition, struct base_mutex *mutex)
{
    struct signals *signals = signals_of(condition);
    uint64_t count = signals->count;

    signals->waiters++;
    base_mutex_unlock(mutex);
    while (signals->count == count) {
        wait_a_turn("a condition");
    }
    signals->waiters--;
    base_mutex_lock(mutex);
}

/* Time passes when nobody has signalled for a while. */
bool base_condition_wait_for(struct base_condition *condition, struct base_mutex *mutex, uint64_t timeout_ms)
{
    struct signals *signals = signals_of(condition);
    uint64_t count = signals->count;

    signals->waiters++;
    base_mutex_unlock(mutex);
    for (unsigned turn = 0; signals->count == count && turn < 4 * THREADS_MAX && is_running; turn++) {
        wait_a_turn("a condition or a while");
    }
    signals->waiters--;
    bool woken = signals->count != count;
    if (!woken) {
        simulation_advance_clock(timeout_ms);
        got_on();
    }
    base_mutex_lock(mutex);
    return woken;
}

void base_condition_signal(struct base_condition *condition)
{
    signals_of(condition)->count++;
    got_on();
}

void base_condition_broadcast(struct base_condition *condition)
{
    base_condition_signal(condition);
}

/* --- base/clock.h and the system's randomness --------------------------------------------------------------------- */

static uint64_t clock_ns;
static struct base_random system_random;

int __wrap_base_random_system(void *bytes, size_t size);

void simulation_reset_environment(uint64_t seed)
{
    clock_ns = UINT64_C(1700000000) * 1000000000;
    base_random_seed(&system_random, seed);
}

void simulation_advance_clock(uint64_t time_ms)
{
    clock_ns += time_ms * 1000000;
}

uint64_t base_clock_monotonic_ns(void)
{
    return clock_ns += 1000;
}

uint64_t base_clock_monotonic_ms(void)
{
    return base_clock_monotonic_ns() / 1000000;
}

struct timespec base_clock_now(void)
{
    uint64_t now_ns = base_clock_monotonic_ns();
    return (struct timespec){.tv_sec = (time_t)(now_ns / 1000000000), .tv_nsec = (long)(now_ns % 1000000000)};
}

int __wrap_base_random_system(void *bytes, size_t size)
{
    uint8_t *to = bytes;
    while (size > 0) {
        uint64_t value = base_random_next(&system_random);
        size_t part = size < sizeof value ? size : sizeof value;
        memcpy(to, &value, part);
        to += part;
        size -= part;
    }
    return 0;
}
