/* The clocks. Both exist on every Linux, so a failing call is a broken invariant. */
#include "base/clock.h"

#include "base/assert.h"

uint64_t base_clock_monotonic_ms(void)
{
    return base_clock_monotonic_ns() / 1000000;
}

uint64_t base_clock_monotonic_ns(void)
{
    struct timespec now;
    BASE_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct timespec base_clock_now(void)
{
    struct timespec now;
    BASE_ASSERT(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return now;
}
