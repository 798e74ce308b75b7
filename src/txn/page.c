/* The pages of a transaction: pinned, made, freed, and what becomes of them at its end.
 *
 * A page that is changed, made or freed is touched: on a list that is linked through the notes of the frames and holds
 * one pin on each. So it stays where it is until the end, and no table of pages has to grow in the middle. */
#include <stddef.h>

#include "base/assert.h"
#include "internal.h"

uint32_t txn_pages_left(const struct txn *txn)
{
    return txn->need.pages - txn->pages_changed;
}

int txn_page_pin(struct txn *txn, uint64_t page, struct pool_frame **ret_frame)
{
    BASE_ASSERT(txn->is_locked);
    return pool_pin(txn->engine->pool, page, POOL_PIN_ONLY, ret_frame);
}

void txn_page_unpin(struct txn *txn, struct pool_frame *frame)
{
    pool_unpin(txn->engine->pool, frame, POOL_PIN_ONLY);
}

void txn_page_touch(struct txn *txn, struct pool_frame *frame, uint32_t flags)
{
    struct pool_frame_notes *notes = pool_frame_notes(frame);

    if ((notes->flags & TXN_PAGE_TOUCHED) == 0) {
        pool_pin_again(txn->engine->pool, frame);
        notes->next = txn->touched;
        txn->touched = frame;
    }
    notes->flags |= TXN_PAGE_TOUCHED | flags;
}

void txn_page_dirty(struct txn *txn, struct pool_frame *frame)
{
    struct pool_frame_notes *notes = pool_frame_notes(frame);

    if ((notes->flags & TXN_PAGE_CHANGED) == 0) {
        /* The caller stated its worst case in txn_need, and was wrong. */
        BASE_ASSERT(txn->pages_changed < txn->need.pages);
        txn->pages_changed++;
        txn_page_touch(txn, frame, TXN_PAGE_CHANGED);
    }
    txn->pages_dirtied += pool_change_begin(txn->engine->pool, frame);
}

int txn_page_new(struct txn *txn, struct pool_frame **ret_frame)
{
    struct txn_engine *engine = txn->engine;
    struct pool_frame *frame;

    BASE_ASSERT(txn->is_locked);
    uint64_t page = store_page_number_allocate(engine->store);
    int error = pool_pin_new(engine->pool, page, &frame);
    if (error) {
        store_page_number_release(engine->store, page);
        return error;
    }
    store_log_new(engine->store, page);
    pool_latch(frame, POOL_EXCLUSIVE);
    txn_page_touch(txn, frame, TXN_PAGE_NEW);
    txn_page_dirty(txn, frame);
    pool_unlatch(frame, POOL_EXCLUSIVE);
    *ret_frame = frame;
    return 0;
}

void txn_page_free(struct txn *txn, struct pool_frame *frame)
{
    struct pool_frame_notes *notes = pool_frame_notes(frame);

    BASE_ASSERT(txn->is_locked && (notes->flags & (TXN_PAGE_OPEN | TXN_PAGE_FREED)) == 0);
    txn_page_touch(txn, frame, TXN_PAGE_FREED);
    store_log_free(txn->engine->store, pool_frame_page(frame));
    pool_latch(frame, POOL_EXCLUSIVE);
    pool_change_note(txn->engine->pool, frame);
    pool_unlatch(frame, POOL_EXCLUSIVE);
}

/* Takes the list's pin. */
static void page_finish(struct txn_engine *engine, struct pool_frame *frame, uint32_t flags, bool committed)
{
    uint64_t page = pool_frame_page(frame);
    bool is_new = (flags & TXN_PAGE_NEW) != 0;
    bool is_freed = (flags & TXN_PAGE_FREED) != 0;

    if (committed ? !is_freed : !is_new) {
        pool_unpin(engine->pool, frame, POOL_PIN_ONLY);
        return;
    }
    pool_discard(engine->pool, frame);
    if (is_new) {
        store_page_number_release(engine->store, page);
    } else {
        store_page_free(engine->store, page);
    }
}

void txn_pages_finish(struct txn *txn, bool committed)
{
    struct pool_frame *frame = txn->touched;

    while (frame) {
        struct pool_frame_notes *notes = pool_frame_notes(frame);
        struct pool_frame *next = notes->next;
        uint32_t flags = notes->flags;
        *notes = (struct pool_frame_notes){0};
        page_finish(txn->engine, frame, flags, committed);
        frame = next;
    }
    txn->touched = NULL;
}
