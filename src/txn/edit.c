/* Edits of pages, one function for each kind. Every change of a page's bytes passes through here: overwritten bytes go
 * to undo, what was done to the log's record. */
#include <string.h>

#include "base/assert.h"
#include "internal.h"

enum { IMAGE_STEP = 64 }; /* bytes compared at once; smaller than any page and divides it */

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

void txn_edit_put(struct txn *txn, struct pool_frame *frame, uint32_t offset, const void *bytes, uint32_t size)
{
    edit_check(txn, frame, offset, size);
    if (size == 0) {
        return;
    }
    txn_undo_note_put(txn->engine, frame, offset, size);
    store_log_put(txn->engine->store, pool_frame_page(frame), offset, bytes, size);
    memmove(pool_frame_bytes(frame) + offset, bytes, size); /* the bytes may come from the page itself */
    txn->edit_bytes += size;
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
