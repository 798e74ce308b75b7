/* Undo: the bytes that the one running transaction has overwritten (struct txn_undo in internal.h).
 *
 * A move is noted by its inverse and the bytes that it destroys, which are few when a range is shifted a little. When
 * the records of a page would pass its size, the page is noted whole, as it is at that moment; going back to that is
 * enough from then on, since the earlier records lead from there to the start. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "internal.h"

enum {
    UNDO_PUT = UINT32_MAX,               /* in `from`: no move */
    UNDO_PAGES_MIN = 256,                /* so that usual transactions never grow it */
    UNDO_KEEP_SIZE_MAX = 4 * 1024 * 1024 /* bytes that stay in memory between transactions */
};

struct undo_record {
    struct pool_frame *frame;
    uint32_t offset; /* where `size` bytes were put or moved to */
    uint32_t size;
    uint32_t from;       /* where they were moved from */
    uint32_t saved_size; /* bytes before this record, without padding */
};

static size_t padded(uint32_t size)
{
    return ((size_t)size + 7) / 8 * 8;
}

static size_t record_cost(uint32_t saved_size)
{
    return padded(saved_size) + sizeof(struct undo_record);
}

int txn_undo_prepare(struct txn_engine *engine, uint32_t page_count)
{
    struct txn_undo *undo = &engine->undo;
    uint32_t count = UNDO_PAGES_MIN;
    int error = 0;

    if (atomic_load_explicit(&undo->page_count, memory_order_relaxed) >= page_count) {
        return 0;
    }
    while (count < page_count) {
        count *= 2;
    }
    size_t capacity = count * ((size_t)engine->page_size + record_cost(engine->page_size));
    base_mutex_lock(&engine->writer);
    if (undo->capacity < capacity) {
        void *bytes = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bytes == MAP_FAILED) {
            error = -ENOMEM;
        } else {
            txn_undo_deinit(undo);
            undo->bytes = bytes;
            undo->capacity = capacity;
            atomic_store_explicit(&undo->page_count, count, memory_order_relaxed);
        }
    }
    base_mutex_unlock(&engine->writer);
    return error;
}

void txn_undo_deinit(struct txn_undo *undo)
{
    if (undo->bytes) {
        BASE_ASSERT(munmap(undo->bytes, undo->capacity) == 0);
    }
}

/* Pushes a record and the bytes of the page that it saves. */
static void undo_push(struct txn_undo *undo, const struct undo_record *record, uint32_t saved_offset)
{
    BASE_ASSERT(record_cost(record->saved_size) <= undo->capacity - undo->size);
    memcpy(undo->bytes + undo->size, pool_frame_bytes(record->frame) + saved_offset, record->saved_size);
    undo->size += padded(record->saved_size);
    memcpy(undo->bytes + undo->size, record, sizeof *record);
    undo->size += sizeof *record;
}

/* Notes an edit, or the whole page in its stead if the page has enough records. */
static void undo_note(struct txn_engine *engine, const struct undo_record *record, uint32_t saved_offset)
{
    struct pool_frame_notes *notes = pool_frame_notes(record->frame);
    size_t cost = record_cost(record->saved_size);

    if ((notes->flags & (TXN_PAGE_NEW | TXN_PAGE_IMAGED)) != 0) {
        return;
    }
    if (cost <= engine->page_size - notes->size) {
        notes->size += (uint32_t)cost;
        undo_push(&engine->undo, record, saved_offset);
        return;
    }
    const struct undo_record image = {
        .frame = record->frame, .size = engine->page_size, .from = UNDO_PUT, .saved_size = engine->page_size};
    undo_push(&engine->undo, &image, 0);
    notes->flags |= TXN_PAGE_IMAGED;
}

void txn_undo_note_put(struct txn_engine *engine, struct pool_frame *frame, uint32_t offset, uint32_t size)
{
    const struct undo_record record = {
        .frame = frame, .offset = offset, .size = size, .from = UNDO_PUT, .saved_size = size};

    undo_note(engine, &record, offset);
}

void txn_undo_note_move(struct txn_engine *engine, struct pool_frame *frame, uint32_t to, uint32_t from, uint32_t size)
{
    uint32_t distance = to < from ? from - to : to - from;

    if (distance >= size) {
        txn_undo_note_put(engine, frame, to, size);
        return;
    }
    const struct undo_record record = {
        .frame = frame, .offset = to, .size = size, .from = from, .saved_size = distance};
    undo_note(engine, &record, to < from ? to : from + size);
}

static void undo_apply(struct pool *pool, const struct undo_record *record, const uint8_t *saved)
{
    uint8_t *page = pool_frame_bytes(record->frame);

    pool_latch(record->frame, POOL_EXCLUSIVE);
    BASE_ASSERT(pool_change_begin(pool, record->frame) == 0); /* pinned since it was made dirty, so it still is */
    if (record->from == UNDO_PUT) {
        memcpy(page + record->offset, saved, record->saved_size);
    } else {
        uint32_t lost = record->offset < record->from ? record->offset : record->from + record->size;
        memmove(page + record->from, page + record->offset, record->size);
        memcpy(page + lost, saved, record->saved_size);
    }
    pool_unlatch(record->frame, POOL_EXCLUSIVE);
}

void txn_undo_roll_back(struct txn_engine *engine)
{
    struct txn_undo *undo = &engine->undo;
    size_t at = undo->size;

    while (at > 0) {
        struct undo_record record;
        at -= sizeof record;
        memcpy(&record, undo->bytes + at, sizeof record);
        at -= padded(record.saved_size);
        undo_apply(engine->pool, &record, undo->bytes + at);
    }
}

void txn_undo_clear(struct txn_engine *engine)
{
    struct txn_undo *undo = &engine->undo;

    if (undo->size > UNDO_KEEP_SIZE_MAX) {
        /* Only gives memory back: failure changes nothing. */
        (void)madvise(undo->bytes, undo->capacity, MADV_DONTNEED);
    }
    undo->size = 0;
}
