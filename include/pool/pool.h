/* The buffer pool: a fixed number of frames that hold pages, pinned and latched by who uses them, evicted by second
 * chance.
 *
 *   absent -> loading (exclusive latch) -> clean <-> dirty in the live epoch -> (pool_freeze) frozen -> written ->
 * clean
 *
 * One frame per page. A frame that is dirty from a frozen epoch is copied before it changes (pool_change_begin): the
 * copy waits, in a frame of its own, for the checkpoint. Nobody waits for the disk to change a page. Clean unpinned
 * frames are evicted by the clock; a dirty one of the live epoch may be written to free blocks and then evicted (no
 * write-ahead rule: the blocks are new). Dirty frames, copies and reserved frames are at most half of the pool
 * (pool_reserve).
 *
 * The writer: at most one thread changes pages at a time (the txn layer's writer lock). It may read pages that it has
 * pinned without a latch, since nobody else changes them; it takes the exclusive latch around changes because of
 * readers.
 *
 * A miss waits while no frame can be evicted. So that this always ends: all threads together never pin half of the
 * frames at once, what they have reserved and dirtied aside. */
#ifndef BEEFTREE_POOL_POOL_H
#define BEEFTREE_POOL_POOL_H

#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;
struct pool_frame;

enum pool_mode {
    POOL_PIN_ONLY, /* the writer; waits until the page is loaded */
    POOL_SHARED,
    POOL_EXCLUSIVE,
};

struct pool_options {
    size_t size; /* bytes for frames and their descriptors; raised to pool_size_min */
    /* Structural check of a page that has just been read, before anybody sees it: 0 or -EUCLEAN (having sent the
     * message). May be NULL. */
    int (*check_page)(void *context, uint64_t page, const void *bytes, uint32_t page_size);
    void *check_context;
    /* Dirty frames that a search for a frame meets before it writes and evicts one; 0: 32. Small: much stealing, for
     * tests. */
    unsigned steal_after;
};

/* The least memory a pool with this page size works in. */
size_t pool_size_min(uint32_t page_size);

int pool_create(struct store *store, const struct pool_options *options, struct pool **ret_pool);
/* No pins may be left. Writes nothing. */
void pool_destroy(struct pool *pool);

uint32_t pool_get_page_size(const struct pool *pool);

/* Pins a page, reading it if need be, and latches it. -EUCLEAN, -EIO: nothing is pinned. */
int pool_pin(struct pool *pool, uint64_t page, enum pool_mode mode, struct pool_frame **ret_frame);

/* Pins a frame of zeros for a page number just allocated; pinned only (POOL_PIN_ONLY). Caller: the writer, which then
 * calls pool_change_begin under the exclusive latch before it fills it. -ENOMEM never: frames are reserved. */
int pool_pin_new(struct pool *pool, uint64_t page, struct pool_frame **ret_frame);

/* Pins and latches a page only if it is in a frame, else false; never reads. For a page number that may have been freed
 * since the caller learned it: what it finds is whatever has that number now, so look at what it is, or compare the
 * change number (a page that was evicted or freed meanwhile has a new one). */
bool pool_pin_resident(struct pool *pool, uint64_t page, enum pool_mode mode, struct pool_frame **ret_frame);

/* One more pin on a frame that the caller has pinned. */
void pool_pin_again(struct pool *pool, struct pool_frame *frame);

/* Lets go of latch (as mode says) and pin. */
void pool_unpin(struct pool *pool, struct pool_frame *frame, enum pool_mode mode);

void pool_latch(struct pool_frame *frame, enum pool_mode mode);
void pool_unlatch(struct pool_frame *frame, enum pool_mode mode);

uint64_t pool_frame_page(const struct pool_frame *frame);
/* The page's bytes. Const for readers; the writer writes through it between pool_change_begin and the unlatch. */
uint8_t *pool_frame_bytes(struct pool_frame *frame);
/* A number that no other state of any page had or will have while the pool exists: taken anew at load and at each
 * pool_change_begin. Read it under a latch. */
uint64_t pool_frame_change(const struct pool_frame *frame);

/* The frame is about to change: exclusive latch held, caller the writer. Marks it dirty in the live epoch, using up one
 * reserved frame and one reserved page of the store when it was not dirty in this epoch; returns how many it used up (0
 * or 1). Copies a frozen frame first. */
unsigned pool_change_begin(struct pool *pool, struct pool_frame *frame);

/* Gives the frame a new change number without making it dirty: what somebody remembers of the page is no longer true
 * (it is about to be freed). Exclusive latch held, caller the writer. */
void pool_change_note(struct pool *pool, struct pool_frame *frame);

/* A few words of a frame for the writer's own use while it has the frame pinned. Zeros when it pins it first, and it
 * leaves zeros behind. No lock: there is one writer. */
struct pool_frame_notes {
    struct pool_frame *next;
    uint32_t size;
    uint32_t flags;
};

struct pool_frame_notes *pool_frame_notes(struct pool_frame *frame);

/* The page was freed and its change committed: forgets it without writing, giving back the store's reserved page if it
 * was dirty in the live epoch (a frozen version still goes to the checkpoint). The caller's own pin is dropped with it;
 * readers that still pin it keep the bytes until they unpin. Takes the exclusive latch for a moment. */
void pool_discard(struct pool *pool, struct pool_frame *frame);

/* Reserves frames for pages that an operation may dirty; false when dirty + copies + reserved would pass half of the
 * pool: start or await a checkpoint. */
bool pool_reserve(struct pool *pool, uint64_t frames);
void pool_unreserve(struct pool *pool, uint64_t frames);
/* The most that one operation can ever reserve (half the pool). */
uint64_t pool_reserve_max(const struct pool *pool);

/* Frames dirty in the live epoch; and frames that are dirty, frozen, copies or reserved: what pool_reserve bounds.
 * Cheap, without locks. */
uint64_t pool_dirty_count(const struct pool *pool);
uint64_t pool_charged_count(const struct pool *pool);

/* Under the writer lock: what is dirty now belongs to the frozen epoch. Constant time, not a walk over frames; it waits
 * for evictions that are writing a dirty page at this moment (one page each). The epoch before was written. */
void pool_freeze(struct pool *pool);

/* Writes every frozen frame and copy (store_page_write with frozen = true), in ascending page order where that is
 * cheap. Holds no latch during I/O. One caller at a time. After a failure what was not written stays frozen. */
int pool_write_frozen(struct pool *pool);

struct pool_statistics {
    uint64_t frames, frames_used, frames_dirty, frames_frozen, frames_reserved;
    uint64_t hits, misses, evictions, evictions_dirty, reads, writes, copies;
};

void pool_get_statistics(struct pool *pool, struct pool_statistics *ret_statistics);
/* Pages read from the store so far, by all threads. */
uint64_t pool_read_count(const struct pool *pool);

#endif
