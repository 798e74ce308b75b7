/* XXH3 with 64 bits, from libxxhash. The value is part of the format: the algorithm never changes within a version. */
#include "base/checksum.h"

#include <xxhash.h>

uint64_t base_checksum(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}
