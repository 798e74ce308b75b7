/* Edits of pages, one function for each kind. Every change of a page's bytes passes through here: overwritten bytes go
 * to undo, what was done to the log's record. */
#include <string.h>

#include "base/assert.h"
#include "internal.h"

enum {
    IMAGE_STEP = 64,   /* bytes compared at once; smaller than any page and divides it */
    GAP_SIZE_MIN = 24, /* equal bytes that are worth ending a part for: what its record and undo cost besides */
};

void txn_edit_begin(struct txn *txn, struct pool_frame *frame)
{
    struct pool_frame_notes *notes = pool_frame_notes(frame);

    BASE_ASSERT(txn->is_locked && (notes->flags & (TXN_PAGE_OPEN | TXN_PAGE_FREED)) == 0);
    pool_latch(frame, POOL_EXCLUSIVE);
    txn_page_dirty(txn, frame);
    notes->flags |= TXN_PAGE_OPEN;
    txn->pages_open++;
}

void txn_edit_end(struct txn *txn, struct pool_frame *frame)
{
    struct pool_frame_notes *notes = pool_frame_notes(frame);

    BASE_ASSERT((notes->flags & TXN_PAGE_OPEN) != 0);
    notes->flags &= ~(uint32_t)TXN_PAGE_OPEN;
    txn->pages_open--;
    pool_unlatch(frame, POOL_EXCLUSIVE);
}

static void edit_check(const struct txn *txn, struct pool_frame *frame, uint32_t offset, uint32_t size)
{
    BASE_ASSERT((pool_frame_notes(frame)->flags & TXN_PAGE_OPEN) != 0);
    BASE_ASSERT(offset <= txn->engine->page_size && size <= txn->engine->page_size - offset);
}

/* How many bytes are equal from the beginning. */
static uint32_t equal_size(const uint8_t *old, const uint8_t *new, uint32_t size)
{
    uint32_t equal = 0;

    while (equal < size && old[equal] == new[equal]) {
        equal++;
    }
    return equal;
}

/* How far a part goes that begins with a difference: up to a gap of equal bytes, or the end without what is equal
 * before it. */
static uint32_t part_size(const uint8_t *old, const uint8_t *new, uint32_t size)
{
    uint32_t end = 1;

    while (end < size) {
        uint32_t equal = equal_size(old + end, new + end, size - end);
        if (equal >= GAP_SIZE_MIN || equal == size - end) {
            return end;
        }
        end += equal + 1;
    }
    return end;
}

static void edit_put_part(struct txn *txn, struct pool_frame *frame, uint32_t offset, const void *bytes, uint32_t size)
{
    txn_undo_note_put(txn->engine, frame, offset, size);
    store_log_put(txn->engine->store, pool_frame_page(frame), offset, bytes, size);
    memmove(pool_frame_bytes(frame) + offset, bytes, size);
    txn->edit_bytes += size;
}

/* Only what differs is an edit. */
void txn_edit_put(struct txn *txn, struct pool_frame *frame, uint32_t offset, const void *bytes, uint32_t size)
{
    const uint8_t *page = pool_frame_bytes(frame);
    const uint8_t *new = bytes;
    bool is_from_page = (uintptr_t) new - (uintptr_t)page < txn->engine->page_size;

    edit_check(txn, frame, offset, size);
    while (size > 0) {
        uint32_t equal = equal_size(page + offset, new, size);
        uint32_t part = equal < size ? part_size(page + offset + equal, new + equal, size - equal) : 0;
        if (part > 0 && is_from_page) { /* an earlier part would change what a later one is taken from */
            part = size - equal;
        }
        if (part > 0) {
            edit_put_part(txn, frame, offset + equal, new + equal, part);
        }
        offset += equal + part;
        new += equal + part;
        size -= equal + part;
    }
}

void txn_edit_move(struct txn *txn, struct pool_frame *frame, uint32_t to, uint32_t from, uint32_t size)
{
    edit_check(txn, frame, to, size);
    edit_check(txn, frame, from, size);
    if (size == 0 || to == from) {
        return;
    }
    txn_undo_note_move(txn->engine, frame, to, from, size);
    store_log_move(txn->engine->store, pool_frame_page(frame), to, from, size);
    memmove(pool_frame_bytes(frame) + to, pool_frame_bytes(frame) + from, size);
    txn->edit_bytes += size;
}

/* The end of the equal, or different, steps that begin at `offset`. */
static uint32_t image_run_end(const uint8_t *page, const uint8_t *image, uint32_t offset, uint32_t page_size,
                              bool equal)
{
    while (offset < page_size && (memcmp(page + offset, image + offset, IMAGE_STEP) == 0) == equal) {
        offset += IMAGE_STEP;
    }
    return offset;
}

void txn_edit_image(struct txn *txn, struct pool_frame *frame, const void *image)
{
    const uint8_t *to = image;
    const uint8_t *page = pool_frame_bytes(frame);
    uint32_t page_size = txn->engine->page_size;
    uint32_t end = 0;

    edit_check(txn, frame, 0, page_size);
    while (end < page_size) {
        uint32_t begin = image_run_end(page, to, end, page_size, true);
        end = image_run_end(page, to, begin, page_size, false);
        txn_edit_put(txn, frame, begin, to + begin, end - begin);
    }
}
