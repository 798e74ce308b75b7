/* Records and batches in memory, and the way of a sealed batch to the disk. See log.h. */
#include "internal.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/tooth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- Beginning and end -------------------------------------------------------------------------------------------- */

static void buffer_clear(struct log_buffer *buffer)
{
    if (buffer->size > LOG_BUFFER_KEEP) {
        /* Only gives memory back: failure changes nothing. */
        (void)madvise(buffer->bytes, LOG_BUFFER_SIZE, MADV_DONTNEED);
    }
    buffer->size = LOG_HEADER_SIZE;
    buffer->record_count = 0;
    buffer->is_incomplete = false;
    buffer->listed_count = 0;
    buffer->entries_max = 0;
}

static uint64_t ring_size(const struct superblock_log_run *runs, uint32_t count)
{
    uint64_t blocks = 0;

    for (uint32_t i = 0; i < count; i++) {
        blocks += runs[i].block_count;
    }
    return blocks * STORE_BLOCK_SIZE;
}

int log_init(struct store *store)
{
    struct log *log = &store->log;
    const struct superblock_log *from = &store->superblock.log;

    memcpy(log->runs, from->runs, sizeof log->runs);
    log->run_count = from->run_count;
    atomic_init(&log->size, ring_size(from->runs, from->run_count));
    log->salt = from->salt;
    log->position = from->next_position;
    log->sequence = from->next_sequence;
    log->next_lsn = from->next_lsn;
    for (int i = 0; i < 2; i++) {
        void *bytes =
            mmap(NULL, LOG_BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bytes == MAP_FAILED) {
            log_deinit(store);
            return -ENOMEM;
        }
        log->buffers[i].bytes = bytes;
        buffer_clear(&log->buffers[i]);
    }
    log->buffers[0].first_lsn = log->next_lsn;
    return 0;
}

void log_deinit(struct store *store)
{
    for (int i = 0; i < 2; i++) {
        struct log_buffer *buffer = &store->log.buffers[i];
        if (buffer->bytes) {
            BASE_ASSERT(munmap(buffer->bytes, LOG_BUFFER_SIZE) == 0);
        }
        free(buffer->listed);
        *buffer = (struct log_buffer){.bytes = NULL};
    }
}

/* --- One record --------------------------------------------------------------------------------------------------- */

static struct log_buffer *log_open_buffer(struct log *log)
{
    return &log->buffers[log->open];
}

/* Room for size bytes of the record, a change of page included; NULL when the batch is incomplete, or becomes so. */
static uint8_t *record_room(struct log *log, size_t size)
{
    struct log_buffer *buffer = log_open_buffer(log);

    BASE_ASSERT(log->is_recording);
    if (buffer->is_incomplete || size > LOG_BUFFER_SIZE - buffer->size) {
        buffer->is_incomplete = true;
        return NULL;
    }
    return buffer->bytes + buffer->size;
}

static void record_advance(struct log *log, const uint8_t *end)
{
    struct log_buffer *buffer = log_open_buffer(log);

    buffer->size = (size_t)(end - buffer->bytes);
}

/* The place for an edit of a page, behind what names the page. */
static uint8_t *record_page_room(struct log *log, uint64_t page, size_t size)
{
    uint8_t *at = record_room(log, LOG_EDIT_PAGE_SIZE + size);

    if (at && log->record_page != page) {
        at = log_put_page(at, page);
        log->record_page = page;
    }
    return at;
}

void store_log_begin(struct store *store)
{
    struct log *log = &store->log;
    struct log_buffer *buffer = log_open_buffer(log);

    BASE_ASSERT(!log->is_recording);
    log->is_recording = true;
    log->record_begin = buffer->size;
    log->record_listed = buffer->listed_count;
    log->record_page = 0;
    uint8_t *at = record_room(log, LOG_RECORD_HEADER_SIZE);
    if (at) {
        record_advance(log, at + LOG_RECORD_HEADER_SIZE);
    }
}

static void log_note_pending(struct log *log)
{
    const struct log_buffer *buffer = log_open_buffer(log);
    uint64_t size = buffer->size - LOG_HEADER_SIZE + buffer->entries_max * LOG_CONTENT_ENTRY_SIZE;

    atomic_store_explicit(&log->pending_size, size, memory_order_relaxed);
}

/* Much has been written since the last sync: what comes next is not synced in small parts, whatever came before. */
static void log_end_zeroing(struct store *store)
{
    enum { PENDING_MUCH = 256 << 10, CONTENTS_MUCH = 1 << 20 };

    if (atomic_load_explicit(&store->space.zeroes_growth, memory_order_relaxed) &&
        (store_log_pending_size(store) > PENDING_MUCH ||
         atomic_load_explicit(&store->counters.content_bytes_unsynced, memory_order_relaxed) > CONTENTS_MUCH)) {
        atomic_store_explicit(&store->space.zeroes_growth, false, memory_order_relaxed);
    }
}

void store_log_end(struct store *store)
{
    struct log *log = &store->log;
    struct log_buffer *buffer = log_open_buffer(log);
    size_t size = buffer->size - log->record_begin;

    BASE_ASSERT(log->is_recording);
    log->is_recording = false;
    if (buffer->is_incomplete) {
        log->next_lsn++;
        buffer->record_count++;
        return;
    }
    if (size == LOG_RECORD_HEADER_SIZE) {
        buffer->size = log->record_begin;
        return;
    }
    base_put_le32(buffer->bytes + log->record_begin, (uint32_t)(size - LOG_RECORD_HEADER_SIZE));
    log->next_lsn++;
    buffer->record_count++;
    store_count(&log->records, 1);
    log_note_pending(log);
    log_end_zeroing(store);
}

void store_log_cancel(struct store *store)
{
    struct log *log = &store->log;
    struct log_buffer *buffer = log_open_buffer(log);

    BASE_ASSERT(log->is_recording && buffer->listed_count == log->record_listed);
    log->is_recording = false;
    buffer->size = log->record_begin;
}

void store_log_new(struct store *store, uint64_t page)
{
    uint8_t *at = record_page_room(&store->log, page, LOG_EDIT_MARK_SIZE);

    if (at) {
        record_advance(&store->log, log_put_mark(at, LOG_EDIT_NEW));
    }
}

void store_log_free(struct store *store, uint64_t page)
{
    uint8_t *at = record_page_room(&store->log, page, LOG_EDIT_MARK_SIZE);

    if (at) {
        record_advance(&store->log, log_put_mark(at, LOG_EDIT_FREE));
    }
}

void store_log_put(struct store *store, uint64_t page, uint32_t offset, const void *bytes, uint32_t size)
{
    uint8_t *at = record_page_room(&store->log, page, LOG_EDIT_PUT_SIZE + size);

    if (at) {
        record_advance(&store->log, log_put_put(at, offset, bytes, size));
    }
}

void store_log_move(struct store *store, uint64_t page, uint32_t to, uint32_t from, uint32_t size)
{
    uint8_t *at = record_page_room(&store->log, page, LOG_EDIT_MOVE_SIZE);

    if (at) {
        record_advance(&store->log, log_put_move(at, to, from, size));
    }
}

/* --- Contents of a record ----------------------------------------------------------------------------------------- */

static bool listed_make_room(struct log_buffer *buffer, uint32_t count)
{
    if (buffer->listed_capacity - buffer->listed_count >= count) {
        return true;
    }
    size_t capacity = (buffer->listed_capacity + count) * 2;
    struct log_listed *listed = realloc(buffer->listed, capacity * sizeof *listed);
    if (!listed) {
        return false;
    }
    buffer->listed = listed;
    buffer->listed_capacity = capacity;
    return true;
}

static void log_list(struct log_buffer *buffer, struct store_run run, const uint64_t *checksums)
{
    if (!listed_make_room(buffer, run.count)) {
        buffer->is_incomplete = true;
        return;
    }
    /* Whatever runs come and go, what is left has no more stretches than there were runs. */
    buffer->entries_max += 2 + run.count / LOG_ENTRY_BLOCKS_MAX;
    for (uint32_t i = 0; i < run.count; i++) {
        buffer->listed[buffer->listed_count] = (struct log_listed){
            .block = run.block + i,
            .checksum = checksums ? checksums[i] : 0,
            .order = (uint32_t)buffer->listed_count,
            .is_added = checksums && checksums[i] != 0,
        };
        buffer->listed_count++;
    }
}

static void log_note_run(struct store *store, enum log_edit_kind kind, struct store_run run)
{
    struct log *log = &store->log;

    if (!log->is_recording) {
        log_open_buffer(log)->is_incomplete = true;
        return;
    }
    uint8_t *at = record_room(log, LOG_EDIT_RUN_SIZE);
    if (at) {
        record_advance(log, log_put_run(at, kind, run));
    }
}

void log_note_added(struct store *store, struct store_run run, const uint64_t *checksums)
{
    log_note_run(store, LOG_EDIT_ADD, run);
    if (checksums) {
        log_list(log_open_buffer(&store->log), run, checksums);
    }
}

void log_note_dropped(struct store *store, struct store_run run, bool was_fresh)
{
    log_note_run(store, LOG_EDIT_DROP, run);
    if (was_fresh && !BASE_TOOTH(LISTS_OVERWRITTEN)) {
        log_list(log_open_buffer(&store->log), run, NULL);
    }
}

/* --- Sealing and writing ------------------------------------------------------------------------------------------ */

static uint64_t log_used(const struct log *log)
{
    return atomic_load(&log->written) - atomic_load(&log->released);
}

bool store_log_can_write(struct store *store)
{
    struct log *log = &store->log;
    const struct log_buffer *buffer = log_open_buffer(log);

    if (atomic_load(&log->ring_state) == LOG_RING_NAMED) {
        log_ring_adopt(store);
    }
    uint64_t space = log_batch_space(buffer->size + buffer->entries_max * LOG_CONTENT_ENTRY_SIZE);
    uint64_t size = atomic_load(&log->size);
    bool fits = space <= LOG_BUFFER_SIZE && space <= size - log_used(log);
    if (atomic_load(&log->ring_state) == LOG_RING_PREPARED) {
        fits = fits && space <= size - log->position;
    }
    return fits && !buffer->is_incomplete && !atomic_load(&log->has_gap) && !log->is_sealed;
}

/* Small syncs, many of them: then new space had better be written before its first use. What nobody syncs is not small,
 * however little each operation writes. */
static void log_note_sync_size(struct store *store, uint64_t content_bytes, bool is_lazy)
{
    enum { WEIGHT = 8, SMALL = 64 << 10 };
    uint64_t *average = &store->log.sync_bytes_average;

    *average = is_lazy ? (uint64_t)SMALL * WEIGHT : (*average * (WEIGHT - 1) + content_bytes) / WEIGHT;
    atomic_store(&store->space.zeroes_growth, *average < SMALL);
}

/* The open buffer becomes the other one, which is empty. */
static void log_swap(struct store *store, bool is_lazy)
{
    struct log *log = &store->log;
    struct log_buffer *sealed = log_open_buffer(log);

    BASE_ASSERT(!log->is_recording && !log->is_sealed);
    sealed->batch = space_seal(&store->space);
    log_note_sync_size(store, atomic_exchange(&store->counters.content_bytes_unsynced, 0), is_lazy);
    log->open = 1 - log->open;
    buffer_clear(log_open_buffer(log));
    log_open_buffer(log)->first_lsn = log->next_lsn;
    log_note_pending(log);
    log->is_sealed = true;
}

void store_log_seal(struct store *store)
{
    BASE_ASSERT(store_log_can_write(store));
    log_swap(store, false);
}

static void log_fix_for_checkpoint(struct log *log)
{
    log->frozen.next_position = log->position;
    log->frozen.next_sequence = log->sequence;
    log->frozen_written = atomic_load(&log->written);
}

void log_freeze(struct store *store)
{
    struct log *log = &store->log;

    log->frozen.next_lsn = log->next_lsn;
    if (BASE_TOOTH(FREEZE_IN_BATCH) && store_log_can_write(store)) {
        log->frozen_batch = store->space.batch - 1;
        log_fix_for_checkpoint(log);
        return;
    }
    bool can_write = store_log_can_write(store) && !log->is_lazy;
    bool is_empty = log_open_buffer(log)->record_count == 0 && !log_open_buffer(log)->is_incomplete;
    log_swap(store, log->is_lazy);
    log->frozen_batch = log->buffers[1 - log->open].batch;
    atomic_store(&log->is_frozen_sealed, can_write);
    if (!can_write) {
        log->is_sealed = false;
        atomic_store(&log->has_gap, atomic_load(&log->has_gap) || !is_empty);
    }
    log_fix_for_checkpoint(log); /* a sealed batch moves it again when it has its place */
}

void log_checkpoint_done(struct store *store)
{
    struct log *log = &store->log;

    atomic_store(&log->released, log->frozen_written);
    atomic_store(&log->has_gap, false);
    if (atomic_load(&log->ring_state) == LOG_RING_PREPARED) {
        atomic_store(&log->ring_state, LOG_RING_NAMED);
    }
    space_release(&store->space, log->frozen_batch);
}

void log_release_frees(struct store *store)
{
    uint64_t batch = atomic_load(&store->log.durable_batch);

    if (atomic_load(&store->is_frozen) && batch > store->log.frozen_batch) {
        batch = store->log.frozen_batch;
    }
    space_release(&store->space, batch);
}

/* Gives the sealed batch its header and writes it. */
static int log_write_batch(struct store *store, struct log_buffer *buffer)
{
    struct log *log = &store->log;
    uint32_t content_count = 0;
    uint32_t records_size = (uint32_t)(buffer->size - LOG_HEADER_SIZE);

    /* There is room: store_log_can_write saw to it. */
    BASE_ASSERT(log_list_contents(buffer, &content_count));
    const struct log_batch batch = {
        .salt = log->salt,
        .sequence = log->sequence,
        .first_lsn = buffer->first_lsn,
        .record_count = buffer->record_count,
        .records_size = records_size,
        .content_count = content_count,
        .size = (uint32_t)buffer->size,
    };
    uint64_t space = log_batch_space(buffer->size);
    memset(buffer->bytes + buffer->size, 0, space - buffer->size);
    log_batch_encode(&batch, buffer->bytes);
    int result = log_ring_write(store, log->position, buffer->bytes, space);
    if (result < 0) {
        store_fail_errno(store, "the log can't be written", result);
        return result;
    }
    log->position += space;
    if (log->position > atomic_load(&log->size)) {
        log->position -= atomic_load(&log->size);
    }
    log->sequence++;
    atomic_fetch_add(&log->written, space);
    store_count(&log->batches, 1);
    store_count(&log->bytes, space);
    store_count(&store->counters.bytes_written, space);
    return BASE_TOOTH(NO_SYNC) ? 0 : store_sync(store, "the log can't be synced");
}

int store_log_write(struct store *store)
{
    struct log *log = &store->log;
    struct log_buffer *buffer = &log->buffers[1 - log->open];
    int result = store_may_write(store);

    if (!log->is_sealed || result < 0) {
        return result;
    }
    if (buffer->record_count > 0) {
        result = log_write_batch(store, buffer);
    }
    if (result == 0) {
        log->is_sealed = false;
        if (atomic_load(&log->is_frozen_sealed)) { /* no other is sealed before this one is written */
            log_fix_for_checkpoint(log);
            atomic_store(&log->is_frozen_sealed, false);
        }
        atomic_store(&log->durable_batch, buffer->batch);
        log_release_frees(store);
    }
    return result;
}

void store_log_set_lazy(struct store *store, bool is_lazy)
{
    store->log.is_lazy = is_lazy;
}

uint64_t store_log_pending_size(struct store *store)
{
    return atomic_load_explicit(&store->log.pending_size, memory_order_relaxed);
}

uint64_t store_log_used_size(struct store *store)
{
    return log_used(&store->log);
}

uint64_t store_log_ring_size(struct store *store)
{
    return atomic_load(&store->log.size);
}
