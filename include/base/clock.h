/* Time, as the layers need it. */
#ifndef BEEFTREE_BASE_CLOCK_H
#define BEEFTREE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t base_clock_monotonic_ms(void);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t base_clock_monotonic_ns(void);

/* The wall clock, for file times. */
struct timespec base_clock_now(void);

#endif
