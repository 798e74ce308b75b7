/* See recover.h: one opening's recovery.
 *
 *      recover_replay: scan, index, contents     in memory only; a read-only store stays so
 *      recover_finish: pages to free blocks, then a checkpoint whose superblock has a new salt: the batches that were
 *                      replayed count no more, and the ring is free. With nothing to replay: only the new salt. */
#include "recover.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/tooth.h"
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int recover_no_memory(struct base_reason *ret_reason)
{
    base_reason_set(ret_reason, "out of memory");
    return -ENOMEM;
}

static void recover_tell(const struct store *store, const char *what)
{
    const struct store_recovery *recovery = &store->recovery;

    base_message(BASE_MESSAGE_INFO, "%s: %llu batches, %llu operations in %llu ms%s", what,
                 (unsigned long long)recovery->batches, (unsigned long long)recovery->records,
                 (unsigned long long)recovery->duration_ms,
                 recovery->dropped_batches > 0 ? "; one batch without its contents was dropped" : "");
}

/* --- In memory ---------------------------------------------------------------------------------------------------- */

/* The file as large as what the log names. */
static int replay_grow_space(struct store *store, uint64_t content_end, struct base_reason *ret_reason)
{
    struct space *space = &store->space;
    uint64_t units = (content_end + STORE_SIZE_UNIT_BLOCKS - 1) / STORE_SIZE_UNIT_BLOCKS;
    int result = 0;

    if (units * STORE_SIZE_UNIT_BLOCKS > space->block_count) {
        base_mutex_lock(&space->mutex);
        result = space_resize(space, units * STORE_SIZE_UNIT_BLOCKS);
        base_mutex_unlock(&space->mutex);
    }
    return result < 0 ? recover_no_memory(ret_reason) : 0;
}

static int replay_contents(struct store *store, const struct recover_log *log, struct base_reason *ret_reason)
{
    int result = replay_grow_space(store, store->redo->content_end, ret_reason);

    if (result == 0) {
        result = recover_contents_create(store, log, &store->redo_contents, ret_reason);
    }
    if (result == 0 && (store->read_only || !BASE_TOOTH(STEAL_OVER_CONTENTS))) {
        result = recover_contents_apply(store, store->redo_contents, &store->redo->added_blocks, ret_reason);
    }
    return result;
}

static int replay_log(struct store *store, struct recover_log *log, struct base_reason *ret_reason)
{
    store->space.numbers_at_freeze = store->space.numbers.count;
    int result = redo_create(store, log, &store->redo, ret_reason);

    if (result == 0) {
        result = replay_contents(store, log, ret_reason);
    }
    if (result == 0) {
        store->recovery.batches = log->count;
        store->recovery.records = log->records;
        store->recovery.pages = store->redo->page_count;
    }
    return result;
}

int recover_replay(struct store *store, struct base_reason *ret_reason)
{
    uint64_t begin_ms = base_clock_monotonic_ms();
    struct recover_log log;
    int result = recover_scan(store, &log, ret_reason);

    if (result < 0) {
        return result;
    }
    if (log.is_damaged && !store->read_only) {
        base_reason_set(ret_reason, "%s (it can be mounted read-only)", log.damage.text);
        result = -EUCLEAN;
    } else if (log.is_damaged) {
        base_message(BASE_MESSAGE_WARNING, "%s", log.damage.text);
    }
    if (result == 0 && log.count > 0) {
        result = replay_log(store, &log, ret_reason);
    }
    if (result == 0) {
        store->recovery.dropped_batches = log.dropped_batches;
        store->recovery.duration_ms = base_clock_monotonic_ms() - begin_ms;
        store->recovered_lsn = log.next_lsn;
        store->recovered_sequence = log.next_sequence;
        store->void_position = log.dropped_batches > 0 && log.can_void
                                   ? (store->superblock.log.next_position + log.used) % log.size
                                   : UINT64_MAX;
    }
    if (result == 0 && store->read_only && log.count > 0) {
        recover_contents_destroy(store->redo_contents);
        store->redo_contents = NULL;
        recover_tell(store, "replayed in memory");
    }
    recover_log_deinit(&log);
    return result;
}

/* --- The batch that was left out ---------------------------------------------------------------------------------- */

/* Where a position of the ring stands in the file. */
static uint64_t void_offset(const struct store *store)
{
    const struct superblock_log *place = &store->superblock.log;
    uint64_t left = store->void_position;
    uint32_t i = 0;

    while (left >= place->runs[i].block_count * STORE_BLOCK_SIZE) {
        left -= place->runs[i].block_count * STORE_BLOCK_SIZE;
        i++;
        BASE_ASSERT(i < place->run_count);
    }
    return place->runs[i].block * STORE_BLOCK_SIZE + left;
}

/* Durable before the next write. (Where the batch before it would not count either, contents were damaged after they
 * had been durable: then nothing is made worse.) */
static int finish_void(struct store *store, struct base_reason *ret_reason)
{
    static const uint8_t zeros[STORE_BLOCK_SIZE];

    if (store->void_position == UINT64_MAX || BASE_TOOTH(NO_SALT)) {
        return 0;
    }
    int result = os_file_write(store->file, zeros, sizeof zeros, void_offset(store));
    if (result == 0) {
        result = store_sync(store, "the log can't be synced");
    }
    if (result < 0) {
        base_reason_set(ret_reason, "recovery: the log can't be written: %s", strerror(-result));
    }
    return result;
}

/* --- To a checkpoint ---------------------------------------------------------------------------------------------- */

static int finish_reserve(struct store *store, uint64_t pages, struct base_reason *ret_reason)
{
    const struct store_need need = {.pages = pages, .may_use_emergency = true};
    int result = store_reserve(store, &need);

    if (result < 0) {
        unsigned long long size = (pages * store->page_size + (1U << 20) - 1) >> 20;
        base_reason_set(ret_reason, "recovery needs up to %llu MiB of free space for %llu pages: %s", size,
                        (unsigned long long)pages, strerror(-result));
    }
    return result;
}

static int finish_write_page(struct store *store, const struct redo_page *page, void *buffer,
                             struct base_reason *ret_reason)
{
    struct base_reason reason;
    int result = redo_rebuild(store, store->redo, page, buffer, &reason);

    if (result < 0) {
        base_reason_set(ret_reason, "%s, and the log changes it: mount read-only to save what can be read",
                        reason.text);
        return result;
    }
    result = store_page_write(store, page->page, buffer, false);
    if (result < 0) {
        base_reason_set(ret_reason, "recovery: page %llu can't be written: %s", (unsigned long long)page->page,
                        strerror(-result));
    }
    return result;
}

/* A page of the checkpoint that is not in use any more. Its number is free already. */
static int finish_free_page(struct store *store, uint64_t page, struct base_reason *ret_reason)
{
    struct node_ref old;
    int result = store_map_find(store, page, &old, ret_reason);

    if (result < 0 || old.block == 0) {
        return result;
    }
    base_latch_lock_exclusive(&store->map_latch);
    result = overlay_set(&store->live, page, (struct node_ref){0, 0}, &old);
    atomic_store(&store->live_dirty, true);
    base_latch_unlock_exclusive(&store->map_latch);
    return result < 0 ? recover_no_memory(ret_reason) : 0;
}

static int finish_pages(struct store *store, struct base_reason *ret_reason)
{
    const struct redo *redo = store->redo;
    void *buffer = malloc(store->page_size);
    uint64_t rebuilt = 0;
    int result = 0;

    if (!buffer) {
        return recover_no_memory(ret_reason);
    }
    for (size_t i = 0; i < redo->page_count; i++) {
        rebuilt += !redo->pages[i].is_freed;
    }
    result = finish_reserve(store, rebuilt, ret_reason);
    for (size_t i = 0; i < redo->page_count && result == 0; i++) {
        const struct redo_page *page = &redo->pages[i];
        result = page->is_freed ? finish_free_page(store, page->page, ret_reason)
                                : finish_write_page(store, page, buffer, ret_reason);
    }
    free(buffer);
    return result;
}

/* A salt that no batch in the ring has. */
static int finish_choose_salt(struct store *store, uint64_t *ret_salt, struct base_reason *ret_reason)
{
    uint64_t salt;
    int result;

    do {
        result = base_random_system(&salt, sizeof salt);
        if (result < 0) {
            base_reason_set(ret_reason, "no random numbers: %s", strerror(-result));
            return result;
        }
    } while (salt == 0 || salt == store->superblock.log.salt);
    *ret_salt = salt;
    return 0;
}

/* The log begins anew, at the front of the ring. */
static int finish_log(struct store *store, struct base_reason *ret_reason)
{
    struct superblock_log *place = &store->superblock.log;
    uint64_t salt;
    int result = finish_choose_salt(store, &salt, ret_reason);

    if (result == 0) {
        place->salt = salt;
        place->next_lsn = store->recovered_lsn > 0 ? store->recovered_lsn : 1;
        place->next_sequence = store->recovered_sequence > 0 ? store->recovered_sequence : 1;
        place->next_position = 0;
        result = log_init(store);
        if (result < 0) {
            return recover_no_memory(ret_reason);
        }
    }
    return result;
}

static int finish_checkpoint(struct store *store, struct base_reason *ret_reason)
{
    struct superblock superblock = store->superblock;
    int result;

    if (store_is_dirty(store)) {
        store_freeze(store);
        result = store_checkpoint(store);
    } else {
        superblock.generation++;
        result = store_write_superblocks(store, &superblock);
    }
    if (result < 0 && store_get_failure(store, ret_reason) == 0) {
        base_reason_set(ret_reason, "the superblock can't be written: %s", strerror(-result));
    }
    return result;
}

int recover_finish(struct store *store, struct base_reason *ret_reason)
{
    uint64_t begin_ms = base_clock_monotonic_ms();
    int result = finish_void(store, ret_reason);

    if (result == 0 && store->redo) {
        result = finish_pages(store, ret_reason);
    }

    if (result == 0 && store->redo && BASE_TOOTH(STEAL_OVER_CONTENTS)) {
        result = recover_contents_apply(store, store->redo_contents, &store->redo->added_blocks, ret_reason);
    }
    if (result == 0) {
        result = finish_log(store, ret_reason);
    }
    if (result == 0) {
        result = finish_checkpoint(store, ret_reason);
    }
    store->recovery.duration_ms += base_clock_monotonic_ms() - begin_ms;
    if (result == 0 && store->redo) {
        recover_tell(store, "recovered");
    }
    recover_contents_destroy(store->redo_contents);
    redo_destroy(store->redo);
    store->redo_contents = NULL;
    store->redo = NULL;
    return result;
}

void store_get_recovery(struct store *store, struct store_recovery *ret_recovery)
{
    *ret_recovery = store->recovery;
}
