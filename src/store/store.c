/* The small parts of the store: what it is, failure, statistics, enumeration. See internal.h. */
#include "internal.h"

#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

uint32_t store_get_page_size(const struct store *store)
{
    return store->page_size;
}

bool store_is_read_only(const struct store *store)
{
    return store->read_only;
}

bool store_has_feature(const struct store *store, uint64_t feature)
{
    return (atomic_load(&store->features) & feature) == feature;
}

void store_want_feature(struct store *store, uint64_t feature)
{
    /* In this order: the checkpoint that finds the store dirty knows why. */
    atomic_fetch_or(&store->features_wanted, feature);
    atomic_store(&store->live_dirty, true);
}

void store_get_label(const struct store *store, char ret_label[STORE_LABEL_SIZE])
{
    memcpy(ret_label, store->label, STORE_LABEL_SIZE);
}

void store_get_identifier(const struct store *store, uint8_t ret_identifier[STORE_IDENTIFIER_SIZE])
{
    memcpy(ret_identifier, store->identifier, STORE_IDENTIFIER_SIZE);
}

/* --- Failure ------------------------------------------------------------------------------------------------------ */

int store_get_failure(struct store *store, struct base_reason *ret_reason)
{
    if (!atomic_load(&store->is_failed)) {
        return 0;
    }
    base_mutex_lock(&store->failure_mutex);
    *ret_reason = store->failure;
    base_mutex_unlock(&store->failure_mutex);
    return -EROFS;
}

void store_fail(struct store *store, const char *why)
{
    base_mutex_lock(&store->failure_mutex);
    bool is_first = !atomic_load(&store->is_failed);
    if (is_first) {
        base_reason_set(&store->failure, "%s", why);
        atomic_store(&store->is_failed, true);
    }
    base_mutex_unlock(&store->failure_mutex);
    if (is_first) {
        base_message(BASE_MESSAGE_ERROR, "the database takes no more changes: %s", why);
    }
}

void store_fail_errno(struct store *store, const char *what, int error)
{
    struct base_reason reason;

    base_reason_set(&reason, "%s: %s", what, strerror(error < 0 ? -error : error));
    store_fail(store, reason.text);
}

int store_may_write(struct store *store)
{
    return store->read_only || atomic_load(&store->is_failed) ? -EROFS : 0;
}

void store_report_damage(struct store *store, const struct base_reason *reason)
{
    store_count(&store->counters.checksum_failures, 1);
    base_message(BASE_MESSAGE_ERROR, "damaged: %s", reason->text);
}

bool store_range_is_valid(struct store *store, uint64_t block, uint64_t count)
{
    uint64_t block_count = atomic_load_explicit(&store->space.block_count_seen, memory_order_relaxed);

    return block >= STORE_HEADER_BLOCKS && block < block_count && count <= block_count - block;
}

/* --- Statistics --------------------------------------------------------------------------------------------------- */

static uint64_t subtract(uint64_t from, uint64_t what)
{
    return from > what ? from - what : 0;
}

static uint64_t read_counter(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Mutex held. What contents can still take, the host's free space included: not what page zones have free, which serves
 * what is kept back for pages; deferred frees count, since a sync makes them free. */
static uint64_t space_count_available(const struct space *space, uint64_t host_free_blocks)
{
    const struct space_capacity capacity = space_get_capacity(space, space->block_count);
    const uint64_t size = space->block_count + host_free_blocks;
    uint64_t blocks = capacity.content_blocks + capacity.empty_zones * STORE_ZONE_BLOCKS + host_free_blocks +
                      space->deferred.block_count;
    uint64_t kept_pages = space->reserved_pages + space_emergency_pages(space, size);
    uint64_t kept_blocks =
        space->reserved_content + space_emergency_content() + space_node_reserve(space, space->block_count, 0);

    for (unsigned i = 0; i < capacity.special_count; i++) {
        blocks += capacity.special[i];
    }
    /* Pages that page zones have no room for take whole zones. */
    uint64_t pages_short = subtract(kept_pages, capacity.page_slots);
    uint64_t zones = (pages_short * space->page_blocks + STORE_ZONE_BLOCKS - 1) / STORE_ZONE_BLOCKS;
    return subtract(blocks, zones * STORE_ZONE_BLOCKS + kept_blocks);
}

/* Of what lies behind the database's end on a device: pages and nodes for what fills it take about a thousandth, and
 * the zone that they begin. (Files have a host that keeps something back.) */
static uint64_t count_device_free(uint64_t blocks)
{
    return subtract(blocks - blocks / 1024, 2 * STORE_ZONE_BLOCKS);
}

/* file_size: of a device, what lies behind the database's own end is free as well; of a file there is nothing, or what
 * it has just grown by. */
static void space_fill_statistics(struct space *space, uint64_t host_free_blocks, uint64_t file_size,
                                  struct store_statistics *ret_statistics)
{
    base_mutex_lock(&space->mutex);
    host_free_blocks += count_device_free(subtract(file_size / STORE_BLOCK_SIZE, space->block_count));
    ret_statistics->file_blocks = space->block_count;
    ret_statistics->used_blocks = space->used_blocks;
    ret_statistics->available_blocks = space_count_available(space, host_free_blocks);
    ret_statistics->reserved_pages = space->reserved_pages;
    ret_statistics->reserved_content_blocks = space->reserved_content;
    ret_statistics->pages = space->numbers.count;
    ret_statistics->content_blocks = space->content_blocks;
    base_mutex_unlock(&space->mutex);
}

void store_get_statistics(struct store *store, struct store_statistics *ret_statistics)
{
    struct store_counters *counters = &store->counters;
    struct store_statistics statistics = {
        .generation = read_counter(&store->generation),
        .page_reads = read_counter(&counters->page_reads),
        .page_writes = read_counter(&counters->page_writes),
        .content_blocks_read = read_counter(&counters->content_blocks_read),
        .content_blocks_written = read_counter(&counters->content_blocks_written),
        .node_reads = read_counter(&store->nodes.reads),
        .node_writes = read_counter(&counters->node_writes),
        .node_hits = read_counter(&store->nodes.hits),
        .node_misses = read_counter(&store->nodes.misses),
        .syncs = read_counter(&counters->syncs),
        .bytes_written = read_counter(&counters->bytes_written) + read_counter(&store->space.zeroed_bytes),
        .checkpoints = read_counter(&counters->checkpoints),
        .checkpoint_ms_last = read_counter(&counters->checkpoint_ms_last),
        .checkpoint_ms_max = read_counter(&counters->checkpoint_ms_max),
        .log_size = store_log_ring_size(store),
        .log_used = store_log_used_size(store),
        .log_batches = read_counter(&store->log.batches),
        .log_records = read_counter(&store->log.records),
        .log_bytes = read_counter(&store->log.bytes),
        .content_bytes_unsynced = read_counter(&counters->content_bytes_unsynced),
        .checksum_failures = read_counter(&counters->checksum_failures),
    };
    uint64_t host_free = 0, file_size = 0;

    if (store->read_only || os_file_get_host_free(store->file, &host_free) < 0 ||
        os_file_get_size(store->file, &file_size) < 0) {
        host_free = file_size = 0;
    }
    space_fill_statistics(&store->space, host_free / STORE_BLOCK_SIZE, file_size, &statistics);
    *ret_statistics = statistics;
}

/* --- Enumeration -------------------------------------------------------------------------------------------------- */

int store_page_next(struct store *store, uint64_t *page)
{
    base_mutex_lock(&store->space.mutex);
    uint64_t next = page_numbers_next(&store->space.numbers, *page);
    base_mutex_unlock(&store->space.mutex);
    if (next == 0) {
        return -ENOENT;
    }
    *page = next;
    return 0;
}

int store_content_next(struct store *store, uint64_t from_block, struct store_run *ret_run)
{
    return space_next_content(&store->space, from_block, ret_run);
}
