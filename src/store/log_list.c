/* The list of content blocks that a batch carries: written since the batch before, and still live at its end. Blocks
 * that were freed again within the batch must not be in it: they may have other bytes by the time the batch is read. */
#include "log.h"

#include <stdlib.h>
#include <string.h>

static int compare_listed(const void *left, const void *right)
{
    const struct log_listed *a = left, *b = right;

    if (a->block != b->block) {
        return a->block < b->block ? -1 : 1;
    }
    return (a->order > b->order) - (a->order < b->order);
}

/* Of each block the last word counts; what was added stays. Returns how many. */
static size_t listed_reduce(struct log_listed *listed, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if ((i + 1 == count || listed[i + 1].block != listed[i].block) && listed[i].is_added) {
            listed[kept++] = listed[i];
        }
    }
    return kept;
}

bool log_list_contents(struct log_buffer *buffer, uint32_t *ret_count)
{
    struct log_listed *listed = buffer->listed;
    uint64_t checksums[LOG_ENTRY_BLOCKS_MAX];
    uint32_t entries = 0;

    if (buffer->listed_count > 0) {
        qsort(listed, buffer->listed_count, sizeof *listed, compare_listed);
    }
    size_t count = listed_reduce(listed, buffer->listed_count);
    for (size_t i = 0; i < count;) {
        uint32_t length = 0;
        while (i + length < count && length < LOG_ENTRY_BLOCKS_MAX &&
               listed[i + length].block == listed[i].block + length) {
            checksums[length] = listed[i + length].checksum;
            length++;
        }
        if (LOG_BUFFER_SIZE - buffer->size < LOG_CONTENT_ENTRY_SIZE) {
            return false;
        }
        const struct log_content content = {{listed[i].block, length}, log_content_combine(checksums, length)};
        log_content_encode(&content, buffer->bytes + buffer->size);
        buffer->size += LOG_CONTENT_ENTRY_SIZE;
        entries++;
        i += length;
    }
    *ret_count = entries;
    return true;
}
