/* See fuzz.h. */
#include "fuzz.h"

#include "base/bytes.h"
#include "base/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: expected: %s\n", file, line, expression);
    abort();
}

void fuzz_set_messages(void)
{
    base_message_configure("fuzz", getenv("FUZZ_VERBOSE") ? BASE_MESSAGE_TO_STDERR : BASE_MESSAGE_TO_NOWHERE, 0);
}

static uint64_t take(struct fuzz_reader *reader, size_t size)
{
    uint8_t bytes[8] = {0};
    const uint8_t *from;
    size_t taken = fuzz_take_bytes(reader, size, &from);

    if (taken > 0) {
        memcpy(bytes, from, taken);
    }
    return base_get_le64(bytes);
}

uint8_t fuzz_take_8(struct fuzz_reader *reader)
{
    return (uint8_t)take(reader, 1);
}

uint16_t fuzz_take_16(struct fuzz_reader *reader)
{
    return (uint16_t)take(reader, 2);
}

uint64_t fuzz_take_64(struct fuzz_reader *reader)
{
    return take(reader, 8);
}

size_t fuzz_take_bytes(struct fuzz_reader *reader, size_t size, const uint8_t **ret_bytes)
{
    size_t taken = size < reader->size ? size : reader->size;

    *ret_bytes = reader->data;
    if (taken > 0) {
        reader->data += taken;
        reader->size -= taken;
    }
    return taken;
}

uint64_t fuzz_take_number(struct fuzz_reader *reader)
{
    uint8_t first = fuzz_take_8(reader);

    if (first < 0xE0) {
        return first;
    }
    if (first < 0xF0) { /* near a power of two */
        uint8_t second = fuzz_take_8(reader);
        return (UINT64_C(1) << (second % 64)) + (first & 0x0F) - 8;
    }
    return take(reader, 1 + (first & 0x07));
}
