/* The one checksum of the format: XXH3, 64 bits, seeded. The seed says what the bytes are and where they belong, so
 * that bytes that are whole but in the wrong place fail too. */
#ifndef BEEFTREE_BASE_CHECKSUM_H
#define BEEFTREE_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t base_checksum(const void *bytes, size_t size, uint64_t seed);

#endif
