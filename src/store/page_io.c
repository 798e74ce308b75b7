/* Pages: numbers, reading, writing, freeing, and reservations. The map is asked in the order live overlay, frozen
 * overlay, tree; only overlays change between checkpoints. A read-only store that replayed a log has no overlays: the
 * pages that the log changes are rebuilt at each reading (recover.h). */
#include "internal.h"

#include "base/assert.h"
#include "base/checksum.h"
#include "base/tooth.h"

#include <errno.h>
#include <string.h>

/* --- Numbers and reservations ------------------------------------------------------------------------------------- */

uint64_t store_page_number_allocate(struct store *store)
{
    uint64_t page;

    base_mutex_lock(&store->space.mutex);
    int result = page_numbers_take_lowest(&store->space.numbers, &page);
    base_mutex_unlock(&store->space.mutex);
    /* store_reserve made the memory ready, so this can't fail for pages reserved before. */
    BASE_ASSERT(result == 0);
    return page;
}

void store_page_number_release(struct store *store, uint64_t page)
{
    base_mutex_lock(&store->space.mutex);
    bool was_used = page_numbers_remove(&store->space.numbers, page);
    base_mutex_unlock(&store->space.mutex);
    BASE_ASSERT(was_used);
}

int store_reserve(struct store *store, const struct store_need *need)
{
    int result = store_may_write(store);

    return result < 0 ? result : space_reserve(&store->space, store->file, need);
}

void store_unreserve(struct store *store, uint64_t pages, uint64_t content_blocks)
{
    space_unreserve(&store->space, pages, content_blocks);
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

int store_map_find(struct store *store, uint64_t page, struct node_ref *ret_ref, struct base_reason *ret_reason)
{
    int result = 0;

    base_latch_lock_shared(&store->map_latch);
    const struct overlay_entry *entry = overlay_find(&store->live, page);
    if (!entry) {
        entry = overlay_find(&store->frozen, page);
    }
    if (entry) {
        *ret_ref = entry->ref;
    } else {
        result = radix_find_page(&store->nodes, &store->map, page, ret_ref, ret_reason);
    }
    base_latch_unlock_shared(&store->map_latch);
    return result;
}

int store_page_read_at(struct store *store, uint64_t page, struct node_ref ref, void *buffer,
                       struct base_reason *ret_reason)
{
    unsigned long long number = page;
    unsigned long long block = ref.block;

    if (ref.block % store->page_blocks != 0 || !store_range_is_valid(store, ref.block, store->page_blocks)) {
        base_reason_set(ret_reason, "page %llu: impossible place, block %llu", number, block);
        return -EUCLEAN;
    }
    int result = os_file_read(store->file, buffer, store->page_size, ref.block * STORE_BLOCK_SIZE);
    if (result < 0) {
        base_reason_set(ret_reason, "page %llu at block %llu can't be read: %s", number, block,
                        result == -ENODATA ? "beyond the end of the file" : strerror(-result));
        return result == -ENODATA ? -EUCLEAN : result;
    }
    store_count(&store->counters.page_reads, 1);
    if (base_checksum(buffer, store->page_size, page) != ref.checksum) {
        base_reason_set(ret_reason, "page %llu at block %llu has a wrong checksum", number, block);
        return -EUCLEAN;
    }
    return 0;
}

/* A page that the log does not change. */
static int page_read_mapped(struct store *store, uint64_t page, void *buffer, struct base_reason *ret_reason)
{
    struct node_ref ref;
    int result = store_map_find(store, page, &ref, ret_reason);

    if (result == 0 && ref.block == 0) {
        base_reason_set(ret_reason, "page %llu is not in the page map", (unsigned long long)page);
        result = -EUCLEAN;
    }
    return result < 0 ? result : store_page_read_at(store, page, ref, buffer, ret_reason);
}

/* A page that the log changes, of a read-only store. */
static int page_read_replayed(struct store *store, const struct redo_page *replayed, void *buffer,
                              struct base_reason *ret_reason)
{
    if (replayed->is_freed) {
        base_reason_set(ret_reason, "page %llu is not in use", (unsigned long long)replayed->page);
        return -EUCLEAN;
    }
    return redo_rebuild(store, store->redo, replayed, buffer, ret_reason);
}

int store_page_read(struct store *store, uint64_t page, void *buffer)
{
    const struct redo_page *replayed = store->redo ? redo_find(store->redo, page) : NULL;
    struct base_reason reason;
    int result = replayed ? page_read_replayed(store, replayed, buffer, &reason)
                          : page_read_mapped(store, page, buffer, &reason);

    if (result == -EUCLEAN) {
        store_report_damage(store, &reason);
    } else if (result < 0) {
        base_message(BASE_MESSAGE_ERROR, "%s", reason.text);
    }
    return result;
}

/* --- Writing ------------------------------------------------------------------------------------------------------ */

/* Enters a page's new place into the overlay of the epoch that it was written in. */
static int map_enter(struct store *store, uint64_t page, struct node_ref ref, bool frozen, uint64_t epoch)
{
    struct node_ref old;

    base_latch_lock_exclusive(&store->map_latch);
    /* A freeze that came while the bytes were on their way: they belong to the epoch that it ended. */
    bool belongs_to_frozen = frozen || epoch != store->epoch;
    BASE_ASSERT(!belongs_to_frozen || (atomic_load(&store->is_frozen) && store->epoch - epoch <= 1));
    int result = overlay_set(belongs_to_frozen ? &store->frozen : &store->live, page, ref, &old);
    if (result == 0) {
        atomic_store(belongs_to_frozen ? &store->frozen_dirty : &store->live_dirty, true);
    }
    base_latch_unlock_exclusive(&store->map_latch);
    if (result == 0 && old.block != 0) {
        space_free_page(&store->space, old.block);
    }
    return result;
}

/* BASE_TOOTH_REUSES_FROZEN: the place of a page's durable version becomes free as soon as there is a newer one. */
static void page_free_durable(struct store *store, uint64_t page)
{
    struct node_ref ref = {0, 0};
    struct base_reason reason;

    if (radix_find_page(&store->nodes, &store->map, page, &ref, &reason) == 0 && ref.block != 0) {
        space_free_page(&store->space, ref.block);
    }
}

int store_page_write(struct store *store, uint64_t page, const void *bytes, bool frozen)
{
    struct node_ref ref;
    int result = store_may_write(store);

    if (result < 0) {
        return result;
    }
    base_latch_lock_shared(&store->map_latch);
    uint64_t epoch = store->epoch;
    base_latch_unlock_shared(&store->map_latch);
    result = space_allocate_page(&store->space, &ref.block);
    if (result < 0) {
        goto out;
    }
    ref.checksum = base_checksum(bytes, store->page_size, page);
    result = os_file_write(store->file, bytes, store->page_size, ref.block * STORE_BLOCK_SIZE);
    if (result == 0) {
        store_count(&store->counters.page_writes, 1);
        store_count(&store->counters.bytes_written, store->page_size);
        result = map_enter(store, page, ref, frozen, epoch);
    }
    if (BASE_TOOTH(REUSES_FROZEN) && frozen) {
        page_free_durable(store, page);
    }
out:
    if (result < 0) {
        struct base_reason reason;
        base_reason_set(&reason, "page %llu can't be written: %s", (unsigned long long)page, strerror(-result));
        store_fail(store, reason.text);
    }
    return result;
}

void store_page_free(struct store *store, uint64_t page)
{
    struct node_ref old = {0, 0};

    base_mutex_lock(&store->space.mutex);
    bool was_used = page_numbers_remove(&store->space.numbers, page);
    base_mutex_unlock(&store->space.mutex);
    if (!was_used) {
        base_message(BASE_MESSAGE_ERROR, "page %llu is freed twice: the tree names it more than once",
                     (unsigned long long)page);
        return;
    }
    base_latch_lock_exclusive(&store->map_latch);
    int result = overlay_set(&store->live, page, (struct node_ref){0, 0}, &old);
    atomic_store(&store->live_dirty, true);
    base_latch_unlock_exclusive(&store->map_latch);
    if (result < 0) {
        store_fail_errno(store, "a freed page can't be noted", result);
        return;
    }
    if (old.block != 0) {
        space_free_page(&store->space, old.block);
    }
}
