/* The ring: where its bytes stand in the file, and how it grows.
 *
 * It grows only by a checkpoint, at its end:
 *
 *      SAME --store_log_prepare_ring, before the freeze: runs taken and zeroed--> PREPARED
 *           --the superblocks that name them are durable--> NAMED --the next batch--> SAME, larger
 *
 * What recovery reads must not depend on which of the two superblocks it finds, so until the new runs are in use no
 * batch goes round the end (store_log_can_write). The ring never shrinks while mounted; a clean end goes back to the
 * first run. */
#include "internal.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    GROWTH_FACTOR = 4,
    GROWTH_ROUNDS = 8,   /* round the ring, before it grows: its zeros are then few beside what was logged */
    RUN_BLOCKS_MIN = 64, /* a run shorter than this is not worth its entry in the superblock */
    FILE_PART = 4,       /* the ring takes at most this part of the file */
    SMALL_FILE_RING_SIZE = 4U << 20, /* but may always be so large */
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

int log_ring_write(struct store *store, uint64_t position, const uint8_t *bytes, uint64_t size)
{
    const struct log *log = &store->log;
    uint64_t begin = 0; /* of run i, in the ring */

    for (uint32_t i = 0; size > 0; i++) {
        if (i == log->run_count) { /* round the end */
            i = 0;
            begin = 0;
            position = 0;
        }
        uint64_t end = begin + log->runs[i].block_count * STORE_BLOCK_SIZE;
        if (position < end) {
            uint64_t part = least(end - position, size);
            uint64_t offset = log->runs[i].block * STORE_BLOCK_SIZE + (position - begin);
            int result = os_file_write(store->file, bytes, part, offset);
            if (result < 0) {
                return result;
            }
            bytes += part;
            size -= part;
            position += part;
        }
        begin = end;
    }
    return 0;
}

/* --- Growing ------------------------------------------------------------------------------------------------------ */

/* Blocks to add; 0: the ring is large enough, or as large as it may be. */
static uint64_t ring_wants(struct store *store)
{
    const struct log *log = &store->log;
    uint64_t size = atomic_load(&log->size);
    uint64_t file_size = atomic_load(&store->space.block_count_seen) * STORE_BLOCK_SIZE;
    uint64_t size_max = file_size / FILE_PART > SMALL_FILE_RING_SIZE ? file_size / FILE_PART : SMALL_FILE_RING_SIZE;

    if (size == 0) {
        return LOG_RING_SIZE_MIN / STORE_BLOCK_SIZE;
    }
    size_max = least(size_max, LOG_RING_SIZE_MAX);
    uint64_t logged = atomic_load_explicit(&log->bytes, memory_order_relaxed) - log->bytes_at_growth;
    if (store_log_used_size(store) + store_log_pending_size(store) < size / 2 || logged < GROWTH_ROUNDS * size ||
        size >= size_max) {
        return 0;
    }
    return (least(size * GROWTH_FACTOR, size_max) - size) / STORE_BLOCK_SIZE;
}

static int run_write_zeros(struct store *store, struct store_run run)
{
    enum { PIECE_BLOCKS = 64 };
    uint8_t *zeros = calloc(PIECE_BLOCKS, STORE_BLOCK_SIZE);
    int result = zeros ? 0 : -ENOMEM;

    for (uint32_t done = 0; done < run.count && result == 0; done += PIECE_BLOCKS) {
        uint64_t count = least(run.count - done, PIECE_BLOCKS);
        result = os_file_write(store->file, zeros, count * STORE_BLOCK_SIZE, (run.block + done) * STORE_BLOCK_SIZE);
        if (result < 0) {
            store_fail_errno(store, "the log's new part can't be written", result);
        }
        store_count(&store->counters.bytes_written, count * STORE_BLOCK_SIZE);
    }
    free(zeros);
    return result;
}

/* Takes runs out of a reservation, the longest first; what is short or has no entry left goes back. */
static uint64_t ring_take_runs(struct store *store, uint64_t wanted)
{
    struct log *log = &store->log;
    uint64_t taken = 0;

    while (taken < wanted && log->run_count + log->more_count < SUPERBLOCK_LOG_RUNS) {
        struct store_run run;
        uint64_t ask = least(wanted - taken, STORE_ZONE_BLOCKS);
        if (space_allocate_log(&store->space, (uint32_t)ask, &run) < 0) {
            break;
        }
        taken += run.count;
        if (run.count < least(RUN_BLOCKS_MIN, ask) || run_write_zeros(store, run) < 0) {
            space_free_log(&store->space, run.block, run.count);
            break;
        }
        log->more[log->more_count++] = (struct superblock_log_run){run.block, run.count};
    }
    return taken;
}

void store_log_prepare_ring(struct store *store)
{
    uint64_t wanted = ring_wants(store);
    const struct store_need need = {.content_blocks = wanted};

    if (atomic_load(&store->log.ring_state) != LOG_RING_SAME || wanted == 0 || store_reserve(store, &need) < 0) {
        return;
    }
    uint64_t taken = ring_take_runs(store, wanted);
    store_unreserve(store, 0, wanted - taken);
    if (store->log.more_count > 0) {
        store->log.bytes_at_growth = atomic_load_explicit(&store->log.bytes, memory_order_relaxed);
        atomic_store(&store->log.ring_state, LOG_RING_PREPARED);
    }
}

void log_ring_name(struct store *store, struct superblock *superblock)
{
    const struct log *log = &store->log;
    struct superblock_log *named = &superblock->log;

    memcpy(named->runs, log->runs, sizeof named->runs);
    named->run_count = log->run_count;
    if (atomic_load(&log->ring_state) == LOG_RING_PREPARED) {
        memcpy(named->runs + named->run_count, log->more, log->more_count * sizeof log->more[0]);
        named->run_count += log->more_count;
    }
    uint64_t size = 0;
    for (uint32_t i = 0; i < named->run_count; i++) {
        size += named->runs[i].block_count * STORE_BLOCK_SIZE;
    }
    if (named->next_position == size) { /* the end of a ring that stays as it is: its beginning */
        named->next_position = 0;
    }
}

void log_ring_adopt(struct store *store)
{
    struct log *log = &store->log;
    uint64_t size = atomic_load(&log->size);

    for (uint32_t i = 0; i < log->more_count; i++) {
        size += log->more[i].block_count * STORE_BLOCK_SIZE;
        log->runs[log->run_count++] = log->more[i];
    }
    log->more_count = 0;
    atomic_store(&log->size, size);
    atomic_store(&log->ring_state, LOG_RING_SAME);
}

/* --- A clean end -------------------------------------------------------------------------------------------------- */

int log_ring_reset(struct store *store)
{
    struct log *log = &store->log;
    struct superblock superblock = store->superblock;

    if (log->run_count < 2 || store_log_used_size(store) > 0) {
        return 0;
    }
    memset(superblock.log.runs + 1, 0, (SUPERBLOCK_LOG_RUNS - 1) * sizeof superblock.log.runs[0]);
    superblock.log.run_count = 1;
    superblock.log.next_position = 0;
    superblock.generation++;
    int result = store_write_superblocks(store, &superblock);
    if (result < 0) {
        return result;
    }
    for (uint32_t i = 1; i < log->run_count; i++) {
        space_free_log(&store->space, log->runs[i].block, log->runs[i].block_count);
    }
    log->run_count = 1;
    log->position = 0;
    atomic_store(&log->size, log->runs[0].block_count * STORE_BLOCK_SIZE);
    return 0;
}
