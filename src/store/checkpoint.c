/* Freeze, checkpoint and shrinking.
 *
 *   store_freeze: live overlay, bitmap changes -> frozen; the log's open batch is sealed (moments, no I/O)
 *   (the pool writes frozen pages)
 *   store_checkpoint: frozen overlay -> new map tree, bitmap changes -> new bitmap tree (new blocks only)
 *                     sync                     pages, nodes and contents are durable
 *                     slot A, sync             the new state is the one that opening finds
 *                     slot B, sync             nothing names the old state any more
 *                     swap roots, drop the frozen overlay; blocks of the old state are free
 *
 * A failure anywhere is final; the old state stays what is on the disk, and nothing of it is reused. */
#include "internal.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/tooth.h"
#include "bits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Freeze ------------------------------------------------------------------------------------------------------- */

bool store_is_dirty(struct store *store)
{
    return atomic_load(&store->live_dirty);
}

void store_freeze(struct store *store)
{
    if (store_may_write(store) < 0) {
        return;
    }
    base_latch_lock_exclusive(&store->map_latch);
    BASE_ASSERT(!atomic_load(&store->is_frozen));
    BASE_ASSERT(store->frozen.count == 0);
    overlay_deinit(&store->frozen);
    store->frozen = store->live;
    store->live = (struct overlay){0};
    store->epoch++;
    base_mutex_lock(&store->space.mutex);
    store->changes_frozen = store->changes_live;
    store->changes_live = store->changes_spare;
    store->changes_spare = (struct content_changes){.items = NULL};
    space_freeze(&store->space);
    atomic_store(&store->frozen_dirty, atomic_exchange(&store->live_dirty, false));
    base_mutex_unlock(&store->space.mutex);
    atomic_store(&store->is_frozen, true);
    base_latch_unlock_exclusive(&store->map_latch);
    log_freeze(store);
}

/* --- Trees -------------------------------------------------------------------------------------------------------- */

struct block_list {
    uint64_t *blocks;
    size_t count;
    size_t capacity;
};

static int block_list_add(struct block_list *list, uint64_t block)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 256;
        uint64_t *blocks = realloc(list->blocks, capacity * sizeof *blocks);
        if (!blocks) {
            return -ENOMEM;
        }
        list->blocks = blocks;
        list->capacity = capacity;
    }
    list->blocks[list->count++] = block;
    return 0;
}

/* What a checkpoint has made so far. */
struct checkpoint {
    struct store *store;
    struct superblock superblock; /* the next one */
    struct block_list old_pages;  /* blocks of the state on disk that the new one lacks */
    struct block_list old_nodes;
    struct base_reason reason;
};

static int checkpoint_allocate(void *context, uint64_t *ret_block)
{
    struct checkpoint *checkpoint = context;

    return space_allocate_node(&checkpoint->store->space, ret_block);
}

static int checkpoint_release(void *context, uint64_t block)
{
    struct checkpoint *checkpoint = context;

    return block_list_add(&checkpoint->old_nodes, block);
}

static int checkpoint_change_map_leaf(void *context, uint8_t *node, const struct radix_change *changes, size_t count,
                                      bool *ret_changed)
{
    struct checkpoint *checkpoint = context;

    for (size_t i = 0; i < count; i++) {
        struct node_ref old = radix_get_entry(node, changes[i].first);
        struct node_ref new = changes[i].entry;
        if (old.block == new.block) {
            continue; /* absent before and after: a page has new blocks each time it is written */
        }
        radix_put_entry(node, changes[i].first, new);
        checkpoint->superblock.page_count += (new.block != 0) - (uint64_t)(old.block != 0);
        *ret_changed = true;
        if (old.block != 0 && !BASE_TOOTH(REUSES_FROZEN)) {
            int result = block_list_add(&checkpoint->old_pages, old.block);
            if (result < 0) {
                return result;
            }
        }
    }
    return 0;
}

static int checkpoint_change_bitmap_leaf(void *context, uint8_t *node, const struct radix_change *changes, size_t count,
                                         bool *ret_changed)
{
    struct checkpoint *checkpoint = context;

    for (size_t i = 0; i < count; i++) {
        for (uint32_t bit = changes[i].first; bit < changes[i].first + changes[i].count; bit++) {
            uint8_t mask = (uint8_t)(1U << (bit % 8));
            bool was_set = (node[bit / 8] & mask) != 0;
            if (was_set != changes[i].set) {
                node[bit / 8] ^= mask;
                checkpoint->superblock.content_block_count += changes[i].set ? 1 : UINT64_MAX;
                *ret_changed = true;
            }
        }
    }
    return 0;
}

static int checkpoint_apply(struct checkpoint *checkpoint, struct radix_tree *tree, struct radix_change *changes,
                            size_t count,
                            int (*change_leaf)(void *context, uint8_t *node, const struct radix_change *changes,
                                               size_t count, bool *ret_changed))
{
    struct store *store = checkpoint->store;
    struct radix_update update = {
        .cache = &store->nodes,
        .file = store->file,
        .context = checkpoint,
        .change_leaf = change_leaf,
        .allocate = checkpoint_allocate,
        .release = checkpoint_release,
    };
    int result = radix_apply(&update, tree, changes, count, tree, &checkpoint->reason);

    if (result == -ENOMEM) {
        base_reason_set(&checkpoint->reason, "out of memory");
    }
    store_count(&store->counters.node_writes, update.nodes_written);
    store_count(&store->counters.bytes_written, update.nodes_written * STORE_BLOCK_SIZE);
    return result;
}

/* The frozen overlay becomes part of the map tree. It has no writer now. */
static int checkpoint_apply_map(struct checkpoint *checkpoint)
{
    const struct overlay *frozen = &checkpoint->store->frozen;
    size_t count = 0;

    if (frozen->count == 0) {
        return 0;
    }
    struct radix_change *changes = malloc(frozen->count * sizeof *changes);
    if (!changes) {
        base_reason_set(&checkpoint->reason, "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < frozen->capacity; i++) {
        const struct overlay_entry *entry = &frozen->entries[i];
        if (entry->page != 0) {
            changes[count++] = (struct radix_change){.leaf = entry->page / RADIX_PAGES_PER_LEAF,
                                                     .order = entry->page,
                                                     .first = (uint32_t)(entry->page % RADIX_PAGES_PER_LEAF),
                                                     .entry = entry->ref};
        }
    }
    int result = checkpoint_apply(checkpoint, &checkpoint->superblock.map, changes, count, checkpoint_change_map_leaf);
    free(changes);
    return result;
}

/* Cuts the changes of the bitmap where leaf nodes meet. Nobody adds to them any more. */
static int checkpoint_apply_bitmap(struct checkpoint *checkpoint)
{
    const struct content_changes *frozen = &checkpoint->store->changes_frozen;
    size_t capacity = 0;
    size_t count = 0;

    for (size_t i = 0; i < frozen->count; i++) {
        capacity += frozen->items[i].count / RADIX_BLOCKS_PER_LEAF + 2;
    }
    if (capacity == 0) {
        return 0;
    }
    struct radix_change *changes = malloc(capacity * sizeof *changes);
    if (!changes) {
        base_reason_set(&checkpoint->reason, "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < frozen->count; i++) {
        struct content_change item = frozen->items[i];
        while (item.count > 0) {
            uint32_t first = (uint32_t)(item.block % RADIX_BLOCKS_PER_LEAF);
            uint32_t part = RADIX_BLOCKS_PER_LEAF - first < item.count ? RADIX_BLOCKS_PER_LEAF - first : item.count;
            changes[count] = (struct radix_change){.leaf = item.block / RADIX_BLOCKS_PER_LEAF,
                                                   .order = count,
                                                   .first = first,
                                                   .count = part,
                                                   .set = item.set};
            count++;
            item.block += part;
            item.count -= part;
        }
    }
    int result =
        checkpoint_apply(checkpoint, &checkpoint->superblock.bitmap, changes, count, checkpoint_change_bitmap_leaf);
    free(changes);
    return result;
}

/* --- Superblocks -------------------------------------------------------------------------------------------------- */

int store_sync(struct store *store, const char *what)
{
    base_mutex_lock(&store->sync_mutex);
    int result = atomic_load(&store->is_failed) ? -EIO : os_file_sync(store->file);
    store_count(&store->counters.syncs, 1);
    if (result < 0) {
        store_fail_errno(store, what, result);
    }
    base_mutex_unlock(&store->sync_mutex);
    return result;
}

int store_write_superblocks(struct store *store, const struct superblock *superblock)
{
    for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
        int result = superblock_write_slot(store->file, slot, superblock);
        if (result < 0) {
            store_fail_errno(store, "the superblock can't be written", result);
            return result;
        }
        store_count(&store->counters.bytes_written, STORE_BLOCK_SIZE);
        result = store_sync(store, "the superblock can't be synced");
        if (result < 0) {
            return result;
        }
    }
    store->superblock = *superblock;
    atomic_store(&store->generation, superblock->generation);
    atomic_store(&store->features, superblock->incompatible_features);
    return 0;
}

/* --- Checkpoint --------------------------------------------------------------------------------------------------- */

/* The new state is durable: readers use its trees, and what only the old state used is free. */
static void checkpoint_finish(struct checkpoint *checkpoint)
{
    struct store *store = checkpoint->store;
    struct overlay done;

    base_latch_lock_exclusive(&store->map_latch);
    store->map = checkpoint->superblock.map;
    done = store->frozen;
    store->frozen = (struct overlay){0};
    base_latch_unlock_exclusive(&store->map_latch);
    overlay_deinit(&done);
    store->bitmap = checkpoint->superblock.bitmap;
    base_mutex_lock(&store->space.mutex);
    content_changes_retire(store);
    base_mutex_unlock(&store->space.mutex);
    for (size_t i = 0; i < checkpoint->old_nodes.count; i++) {
        node_cache_drop(&store->nodes, checkpoint->old_nodes.blocks[i]);
        space_free_node(&store->space, checkpoint->old_nodes.blocks[i]);
    }
    for (size_t i = 0; i < checkpoint->old_pages.count; i++) {
        space_free_page(&store->space, checkpoint->old_pages.blocks[i]);
    }
    log_checkpoint_done(store);
    space_tidy(&store->space);
}

static int checkpoint_write(struct checkpoint *checkpoint)
{
    struct store *store = checkpoint->store;
    int result = checkpoint_apply_map(checkpoint);

    if (result == 0) {
        result = checkpoint_apply_bitmap(checkpoint);
    }
    if (result < 0) {
        store_fail(store, checkpoint->reason.text);
        return result;
    }
    /* Read before the sync, so that the superblock never promises a length that is not durable. */
    checkpoint->superblock.block_count = atomic_load(&store->space.block_count_seen);
    checkpoint->superblock.generation++;
    checkpoint->superblock.incompatible_features |= atomic_load(&store->features_wanted);
    checkpoint->superblock.log.next_lsn = store->log.frozen.next_lsn;
    checkpoint->superblock.log.next_position = store->log.frozen.next_position;
    checkpoint->superblock.log.next_sequence = store->log.frozen.next_sequence;
    log_ring_name(store, &checkpoint->superblock);
    result = BASE_TOOTH(EARLY_SUPERBLOCK) ? 0 : store_sync(store, "pages and contents can't be synced");
    if (result < 0) {
        return result;
    }
    return store_write_superblocks(store, &checkpoint->superblock);
}

static void checkpoint_count_time(struct store *store, uint64_t begin_ms)
{
    uint64_t took_ms = base_clock_monotonic_ms() - begin_ms;

    store_count(&store->counters.checkpoints, 1);
    atomic_store(&store->counters.checkpoint_ms_last, took_ms);
    if (took_ms > atomic_load(&store->counters.checkpoint_ms_max)) {
        atomic_store(&store->counters.checkpoint_ms_max, took_ms);
    }
}

int store_checkpoint(struct store *store)
{
    struct checkpoint checkpoint = {.store = store, .superblock = store->superblock};
    uint64_t begin_ms = base_clock_monotonic_ms();
    int result = 0;

    if (atomic_load(&store->is_failed)) {
        return -EROFS;
    }
    if (!atomic_load(&store->is_frozen)) {
        return 0;
    }
    /* A caller without a leader leaves the batch that its freeze sealed to this; a leader's is none of ours. */
    if (atomic_load(&store->log.is_frozen_sealed)) {
        result = store_log_write(store);
        if (result < 0) {
            return result;
        }
    }
    if (atomic_load(&store->frozen_dirty)) {
        result = checkpoint_write(&checkpoint);
        if (result == 0) {
            checkpoint_finish(&checkpoint);
            checkpoint_count_time(store, begin_ms);
        }
    } else {
        base_mutex_lock(&store->space.mutex);
        content_changes_retire(store); /* empty, but with room for what was promised */
        base_mutex_unlock(&store->space.mutex);
    }
    free(checkpoint.old_nodes.blocks);
    free(checkpoint.old_pages.blocks);
    if (result == 0) {
        atomic_store(&store->frozen_dirty, false);
        atomic_store(&store->is_frozen, false);
        log_release_frees(store); /* of batches that became durable meanwhile */
    }
    return result;
}

/* --- Shrinking ---------------------------------------------------------------------------------------------------- */

bool store_is_loose(struct store *store)
{
    struct space *space = &store->space;

    base_mutex_lock(&space->mutex);
    bool is_loose = space_shrunk_size(space) > 2 * (space->used_blocks + STORE_ZONE_BLOCKS);
    base_mutex_unlock(&space->mutex);
    return is_loose;
}

int store_shrink(struct store *store)
{
    struct space *space = &store->space;
    struct superblock superblock = store->superblock;
    uint64_t file_size = 0;
    int result = store_may_write(store);

    if (result == 0) {
        result = os_file_get_size(store->file, &file_size);
    }
    if (result < 0) {
        return result;
    }
    if (atomic_load(&store->is_frozen)) {
        return -EBUSY;
    }
    result = log_ring_reset(store);
    if (result < 0) {
        return result;
    }
    superblock = store->superblock;
    base_mutex_lock(&space->mutex);
    while (space->is_growing) {
        base_condition_wait(&space->grown, &space->mutex);
    }
    uint64_t size = space_shrunk_size(space);
    if (size < space->block_count) {
        result = space_resize(space, size);
    }
    base_mutex_unlock(&space->mutex);
    if (result == 0 && superblock.block_count != size && size * STORE_BLOCK_SIZE < file_size) {
        superblock.block_count = size;
        superblock.generation++;
        result = store_write_superblocks(store, &superblock);
    }
    if (result < 0 || file_size <= size * STORE_BLOCK_SIZE) {
        return result;
    }
    result = os_file_truncate(store->file, size * STORE_BLOCK_SIZE);
    if (result < 0) {
        store_fail_errno(store, "the file can't be shortened", result);
    }
    return result;
}
