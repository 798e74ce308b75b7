/* Ranges of bits in arrays of 64-bit words. Positions and counts are in bits. */
#ifndef BEEFTREE_STORE_BITS_H
#define BEEFTREE_STORE_BITS_H

#include <stdbool.h>
#include <stdint.h>

static inline bool bits_get(const uint64_t *words, uint64_t position)
{
    return (words[position / 64] >> (position % 64)) & 1;
}

/* The bits of word `position / 64` from `position` up, at most count of them, as a mask; *ret_taken is how many. */
static inline uint64_t bits_mask(uint64_t position, uint64_t count, uint64_t *ret_taken)
{
    uint64_t begin = position % 64;
    uint64_t taken = count < 64 - begin ? count : 64 - begin;

    *ret_taken = taken;
    return (taken == 64 ? UINT64_MAX : (UINT64_C(1) << taken) - 1) << begin;
}

static inline void bits_set(uint64_t *words, uint64_t position, uint64_t count)
{
    while (count > 0) {
        uint64_t taken;
        uint64_t mask = bits_mask(position, count, &taken);
        words[position / 64] |= mask;
        position += taken;
        count -= taken;
    }
}

static inline void bits_clear(uint64_t *words, uint64_t position, uint64_t count)
{
    while (count > 0) {
        uint64_t taken;
        uint64_t mask = bits_mask(position, count, &taken);
        words[position / 64] &= ~mask;
        position += taken;
        count -= taken;
    }
}

/* Whether all (none) of a range are set. */
static inline bool bits_all(const uint64_t *words, uint64_t position, uint64_t count)
{
    while (count > 0) {
        uint64_t taken;
        uint64_t mask = bits_mask(position, count, &taken);
        if ((words[position / 64] & mask) != mask) {
            return false;
        }
        position += taken;
        count -= taken;
    }
    return true;
}

static inline bool bits_none(const uint64_t *words, uint64_t position, uint64_t count)
{
    while (count > 0) {
        uint64_t taken;
        uint64_t mask = bits_mask(position, count, &taken);
        if ((words[position / 64] & mask) != 0) {
            return false;
        }
        position += taken;
        count -= taken;
    }
    return true;
}

/* The first set (clear) bit in [position, end), or end. */
static inline uint64_t bits_next_set(const uint64_t *words, uint64_t position, uint64_t end)
{
    while (position < end) {
        uint64_t word = words[position / 64] >> (position % 64);
        if (word != 0) {
            position += (unsigned)__builtin_ctzll(word);
            return position < end ? position : end;
        }
        position = (position / 64 + 1) * 64;
    }
    return end;
}

static inline uint64_t bits_next_clear(const uint64_t *words, uint64_t position, uint64_t end)
{
    while (position < end) {
        uint64_t word = ~words[position / 64] >> (position % 64);
        if (word != 0) {
            position += (unsigned)__builtin_ctzll(word);
            return position < end ? position : end;
        }
        position = (position / 64 + 1) * 64;
    }
    return end;
}

#endif
