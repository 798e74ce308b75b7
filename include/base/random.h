/* A seeded generator (splitmix64) for tests and simulation, and the system's randomness for salts and identifiers. */
#ifndef BEEFTREE_BASE_RANDOM_H
#define BEEFTREE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct base_random {
    uint64_t state;
};

void base_random_seed(struct base_random *random, uint64_t seed);
uint64_t base_random_next(struct base_random *random);
/* Uniform in [0, bound); bound > 0. */
uint64_t base_random_below(struct base_random *random, uint64_t bound);

/* 0, or negative errno. */
int base_random_system(void *bytes, size_t size);

#endif
