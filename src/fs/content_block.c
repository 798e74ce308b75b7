/* Blocks of contents against their checksums. A block that fails gives -EIO to who reads it and a line that names it;
 * nothing else is touched. */
#include "content.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

/* A damaged disk can fail thousands of blocks a second: more than this many lines a second are left out. */
#define LINES_PER_SECOND_MAX 10U

bool fs_content_may_report(void)
{
    static _Atomic uint64_t window; /* second << 8 | lines sent in it */
    uint64_t second = base_clock_monotonic_ms() / 1000;
    uint64_t old = atomic_load_explicit(&window, memory_order_relaxed), fresh;

    do {
        if (old >> 8 != second) {
            fresh = second << 8 | 1;
        } else if ((old & 0xFF) < LINES_PER_SECOND_MAX) {
            fresh = old + 1;
        } else {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&window, &old, fresh, memory_order_relaxed, memory_order_relaxed));
    return true;
}

int fs_content_read_run(struct fs *fs, uint64_t inode, uint64_t offset, struct store_run run, void *buffer)
{
    int ret = store_content_read(fs->store, run, buffer);

    if (ret < 0 && fs_content_may_report()) {
        base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 ": contents at offset %" PRIu64 " can't be read: %s", inode,
                     offset, strerror(-ret));
    }
    return ret;
}

int fs_content_verify(uint64_t inode, uint64_t offset, uint64_t first_block, const uint8_t *bytes,
                      const uint64_t *checksums, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (store_content_checksum(bytes + (size_t)i * STORE_BLOCK_SIZE) == checksums[i]) {
            continue;
        }
        if (fs_content_may_report()) {
            base_message(BASE_MESSAGE_ERROR,
                         "inode %" PRIu64 ": contents at offset %" PRIu64 " (block %" PRIu64 "): wrong checksum", inode,
                         offset + (uint64_t)i * STORE_BLOCK_SIZE, first_block + i);
        }
        return -EIO;
    }
    return 0;
}

int fs_content_load_block(struct fs *fs, uint64_t inode, uint64_t offset, const struct fs_chunk *chunk, uint32_t slot,
                          uint8_t *buffer)
{
    uint64_t block = chunk->blocks[slot];
    int ret;

    if (block == 0 || (chunk->unwritten >> slot & 1U) != 0) {
        memset(buffer, 0, STORE_BLOCK_SIZE);
        return 0;
    }
    ret = fs_content_read_run(fs, inode, offset, (struct store_run){block, 1}, buffer);
    if (ret < 0) {
        return ret;
    }
    return fs_content_verify(inode, offset, block, buffer, &chunk->checksums[slot], 1);
}
