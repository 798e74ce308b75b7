/* Contents: allocation, transfer, and the changes of the content bitmap since the last freeze. */
#include "internal.h"

#include "base/assert.h"
#include "base/checksum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    WRITEBACK_SIZE = 4 << 20,          /* bytes written in one stretch before the host is asked to begin */
    WRITEBACK_SIZE_SINGLE = 256 << 10, /* a stretch that ended earlier is worth asking for from here */
};

static int content_changes_make_room(struct content_changes *changes, size_t more)
{
    if (changes->items && changes->capacity - changes->count >= more) {
        return 0;
    }
    size_t capacity = (changes->capacity + more) * 2 + 64;
    struct content_change *items = realloc(changes->items, capacity * sizeof *items);
    if (!items) {
        return -ENOMEM;
    }
    changes->items = items;
    changes->capacity = capacity;
    return 0;
}

int content_changes_add(struct content_changes *changes, struct store_run run, bool set)
{
    struct content_change *last = changes->count > 0 ? &changes->items[changes->count - 1] : NULL;

    if (last && last->set == set && last->block + last->count == run.block && last->count + run.count > run.count) {
        last->count += run.count;
        return 0;
    }
    int result = content_changes_make_room(changes, 1);
    if (result == 0) {
        changes->items[changes->count++] = (struct content_change){run.block, run.count, set};
    }
    return result;
}

void content_changes_retire(struct store *store)
{
    struct content_changes *spare = &store->changes_spare;

    store->changes_frozen.count = 0;
    if (spare->capacity < store->changes_frozen.capacity) {
        struct content_changes smaller = *spare;
        *spare = store->changes_frozen;
        store->changes_frozen = smaller;
    }
    free(store->changes_frozen.items);
    store->changes_frozen = (struct content_changes){.items = NULL};
}

/* Noting so many more changes, in this epoch or the next, needs no memory. */
static int content_promise(struct store *store, size_t count)
{
    base_mutex_lock(&store->space.mutex);
    size_t promised = store->changes_promised + count;
    int result = content_changes_make_room(&store->changes_live, promised);
    if (result == 0) {
        result = content_changes_make_room(&store->changes_spare, promised);
    }
    if (result == 0) {
        store->changes_promised = promised;
    }
    base_mutex_unlock(&store->space.mutex);
    return result;
}

static void content_unpromise(struct store *store, size_t count)
{
    base_mutex_lock(&store->space.mutex);
    BASE_ASSERT(store->changes_promised >= count);
    store->changes_promised -= count;
    base_mutex_unlock(&store->space.mutex);
}

int store_content_allocate(struct store *store, uint32_t block_count, uint64_t goal, struct store_run *ret_run)
{
    int result = store_may_write(store);

    if (result < 0) {
        return result;
    }
    result = content_promise(store, 1);
    if (result < 0) {
        return result;
    }
    result = space_allocate_content(&store->space, block_count, goal, ret_run);
    if (result < 0) {
        content_unpromise(store, 1);
    }
    return result;
}

void store_content_cancel(struct store *store, struct store_run run)
{
    space_cancel_content(&store->space, run);
    content_unpromise(store, 1);
}

void store_content_publish(struct store *store, struct store_run run, const uint64_t *checksums)
{
    base_mutex_lock(&store->space.mutex);
    space_publish_content(&store->space, run);
    BASE_ASSERT(content_changes_add(&store->changes_live, run, true) == 0); /* promised */
    store->changes_promised--;
    atomic_store(&store->live_dirty, true);
    base_mutex_unlock(&store->space.mutex);
    log_note_added(store, run, checksums);
}

int store_content_prepare_free(struct store *store, struct store_run run)
{
    int result = content_promise(store, run.count);

    if (result == 0) {
        result = space_prepare_free(&store->space, run);
        if (result < 0) {
            content_unpromise(store, run.count);
        }
    }
    return result;
}

void store_content_unprepare_free(struct store *store, struct store_run run)
{
    space_unprepare_free(&store->space, run.count);
    content_unpromise(store, run.count);
}

static void content_note_freed(void *context, struct store_run part, bool fresh)
{
    struct store *store = context;

    BASE_ASSERT(content_changes_add(&store->changes_live, part, false) == 0); /* promised */
    log_note_dropped(store, part, fresh);
}

void store_content_free(struct store *store, struct store_run run)
{
    base_mutex_lock(&store->space.mutex);
    int not_live = space_free_content(&store->space, run, content_note_freed, store);
    atomic_store(&store->live_dirty, true);
    base_mutex_unlock(&store->space.mutex);
    store_content_unprepare_free(store, run);
    if (not_live > 0) {
        base_message(BASE_MESSAGE_ERROR, "contents at block %llu are freed twice: more than one row names them",
                     (unsigned long long)run.block);
    }
}

bool store_content_is_valid(struct store *store, struct store_run run)
{
    base_mutex_lock(&store->space.mutex);
    bool is_valid = space_is_content(&store->space, run);
    base_mutex_unlock(&store->space.mutex);
    return is_valid;
}

/* --- Transfer ----------------------------------------------------------------------------------------------------- */

/* Lets the host begin writing what was written in one stretch, a few MiB at a time, so that a sync finds little left.
 */
static void content_start_writeback(struct store *store, uint64_t begin, uint64_t end)
{
    uint64_t start_begin = 0;
    uint64_t start_end = 0;

    base_mutex_lock(&store->writeback_mutex);
    if (begin == store->writeback_end) {
        store->writeback_end = end;
        if (end - store->writeback_begin >= WRITEBACK_SIZE) {
            start_begin = store->writeback_begin;
            start_end = end;
            store->writeback_begin = end;
        }
    } else {
        if (store->writeback_end - store->writeback_begin >= WRITEBACK_SIZE_SINGLE) {
            start_begin = store->writeback_begin;
            start_end = store->writeback_end;
        }
        store->writeback_begin = begin;
        store->writeback_end = end;
    }
    base_mutex_unlock(&store->writeback_mutex);
    if (start_end > start_begin) {
        /* A wish only: what it could report, the next sync reports as well. */
        (void)os_file_start_writeback(store->file, start_begin, start_end - start_begin);
    }
}

int store_content_write(struct store *store, struct store_run run, const void *bytes)
{
    const uint64_t begin = run.block * STORE_BLOCK_SIZE;
    const size_t size = (size_t)run.count * STORE_BLOCK_SIZE;
    int result = store_may_write(store);

    if (result < 0) {
        return result;
    }
    BASE_ASSERT(store_range_is_valid(store, run.block, run.count));
    result = os_file_write(store->file, bytes, size, begin);
    if (result < 0) {
        struct base_reason reason;
        base_reason_set(&reason, "contents can't be written to block %llu: %s", (unsigned long long)run.block,
                        strerror(-result));
        store_fail(store, reason.text);
        return result;
    }
    store_count(&store->counters.content_blocks_written, run.count);
    store_count(&store->counters.bytes_written, size);
    store_count(&store->counters.content_bytes_unsynced, size);
    content_start_writeback(store, begin, begin + size);
    return 0;
}

int store_content_read(struct store *store, struct store_run run, void *buffer)
{
    unsigned long long block = run.block;

    if (!store_range_is_valid(store, run.block, run.count)) {
        struct base_reason reason;
        base_reason_set(&reason, "contents at an impossible place: %u blocks at block %llu", run.count, block);
        store_report_damage(store, &reason);
        return -EUCLEAN;
    }
    int result = os_file_read(store->file, buffer, (size_t)run.count * STORE_BLOCK_SIZE, run.block * STORE_BLOCK_SIZE);
    if (result < 0) {
        base_message(BASE_MESSAGE_ERROR, "contents at block %llu can't be read: %s", block,
                     result == -ENODATA ? "beyond the end of the file" : strerror(-result));
        return result == -ENODATA ? -EUCLEAN : result;
    }
    store_count(&store->counters.content_blocks_read, run.count);
    return 0;
}

uint64_t store_content_checksum(const void *block_bytes)
{
    return base_checksum(block_bytes, STORE_BLOCK_SIZE, 0);
}
