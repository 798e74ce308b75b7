/* XXH3 with 64 bits, from libxxhash. The value is part of the format: the algorithm never changes within a version.
 *
 * On x86 the library also has a form that picks the widest vector instructions of the processor it runs on: 2.5 times
 * the rate of the plain one (20 against 8 GiB/s, 4 KiB at a time). */
#include "base/checksum.h"

#include <xxhash.h>

#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> /* redirects the calls below */

/* It picks at the first call; that is made here, before there are threads. */
__attribute__((constructor)) static void choose_instructions(void)
{
    static const unsigned char long_input[1024];

    (void)base_checksum(long_input, sizeof long_input, 0);
    (void)base_checksum(long_input, sizeof long_input, 1);
}
#endif

uint64_t base_checksum(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}
