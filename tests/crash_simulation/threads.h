/* Threads of the simulation, one at a time: what runs next is drawn from a seed, so every interleaving replays.
 *
 * This file's source also is base/latch.h and base/clock.h for the program: a thread that would wait for a lock or a
 * condition lets another one run, and time is a counter (a timeout passes when nobody signals for some turns). When all
 * wait, that is a deadlock: the program says so and ends. Outside simulation_run nothing ever waits. */
#ifndef BEEFTREE_TESTS_CRASH_THREADS_H
#define BEEFTREE_TESTS_CRASH_THREADS_H

#include <stdbool.h>
#include <stdint.h>

typedef void (*simulation_thread)(void *context);

/* Runs it, and all threads that it starts, until all have ended. */
void simulation_run(uint64_t seed, simulation_thread run, void *context);
/* From within simulation_run: one more thread, and waiting for its end. pthread_create and pthread_join of the code
 * under test are these two. */
unsigned simulation_spawn(simulation_thread run, void *context);
void simulation_join(unsigned thread);
/* Perhaps lets another one run. */
void simulation_yield(void);

/* Sets clock and the system's randomness to a known start. */
void simulation_reset_environment(uint64_t seed);
void simulation_advance_clock(uint64_t time_ms);

#endif
