/* splitmix64: small, fast and the same on every machine, so that a printed seed replays a test. Not for secrets; salts
 * and identifiers come from the kernel. */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

#include "base/assert.h"

void base_random_seed(struct base_random *random, uint64_t seed)
{
    random->state = seed;
}

uint64_t base_random_next(struct base_random *random)
{
    uint64_t value = random->state += UINT64_C(0x9e3779b97f4a7c15);

    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

uint64_t base_random_below(struct base_random *random, uint64_t bound)
{
    BASE_ASSERT(bound > 0);
    /* The lowest 2^64 mod bound values are thrown away: what is left is a whole multiple of bound. */
    uint64_t rejected_count = (0 - bound) % bound;
    uint64_t value;

    do {
        value = base_random_next(random);
    } while (value < rejected_count);
    return value % bound;
}

int base_random_system(void *bytes, size_t size)
{
    uint8_t *to = bytes;

    while (size > 0) {
        ssize_t received = getrandom(to, size, 0);
        if (received < 0 && errno == EINTR) {
            continue;
        }
        if (received < 0) {
            return -errno;
        }
        to += received;
        size -= (size_t)received;
    }
    return 0;
}
