/* See test_seed.h. */
#include "support/test_seed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t test_seed(const char *test_name, uint64_t fallback)
{
    const char *text = getenv("BEEFTREE_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : fallback;
    printf("%s: replay with BEEFTREE_SEED=%" PRIu64 "\n", test_name, seed);
    fflush(stdout);
    return seed;
}

bool test_is_long(void)
{
    const char *text = getenv("BEEFTREE_TEST_LONG");
    return text && text[0] == '1';
}
