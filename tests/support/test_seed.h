/* The seed of a randomized test: from the environment variable BEEFTREE_SEED, else the given default; printed, so that
 * a failure can be replayed. */
#ifndef BEEFTREE_TESTS_SUPPORT_TEST_SEED_H
#define BEEFTREE_TESTS_SUPPORT_TEST_SEED_H

#include <stdbool.h>
#include <stdint.h>

uint64_t test_seed(const char *test_name, uint64_t fallback);

/* Whether the long form of tests was asked for (BEEFTREE_TEST_LONG=1). */
bool test_is_long(void);

#endif
