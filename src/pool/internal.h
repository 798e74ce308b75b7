/* What the files of pool/ share: frame, pool, and the rules that hold them together.
 *
 * A frame's pins. The low bits of `pins` count its holders: callers, the dirty list it is on (one), and a checkpoint
 * that is writing it (one). So a frame with no pin is clean, unused and in the hash: it may be evicted. POOL_DETACHED
 * in the same word says that it is not in the hash; whoever takes the last pin of a detached frame puts it on the free
 * list. From no pin to one: only under the mutex of its page's partition (or by who has just taken it from the free
 * list), so that mutex and a count of zero together mean that nobody can come in between.
 *
 * Dirty state of a frame (dirty_mutex, and the latch as said):
 *
 *      clean          dirty_epoch == 0
 *      live           dirty_epoch == pool epoch, on live_list      live -> clean needs the shared latch (a steal)
 *      frozen         dirty_epoch <  pool epoch, on frozen_list
 *      being written  frozen, `writing`, on no list: its bytes are in the checkpoint's buffer (or it is detached)
 *
 * clean or frozen -> live: the writer, holding the exclusive latch. frozen -> being written: the checkpoint, holding
 * the shared latch while it copies the bytes; so the writer, under the exclusive latch, sees either a frame whose bytes
 * it must save in a copy or one whose bytes are safe. live -> frozen: pool_freeze, for all at once by raising the
 * epoch. A steal in flight would end in an overlay of either side of a freeze, so pool_freeze waits for steals (single
 * page writes).
 *
 * Locks: any number of latches (BASE_RANK_PAGE_LATCH), then at most one of: a partition's mutex, dirty_mutex,
 * free_mutex (BASE_RANK_POOL). No mutex is held during I/O or while waiting for a latch.
 *
 * `charged` is the number of frames that are dirty, frozen, copies or reserved; pool_reserve keeps it at or below
 * dirty_max, half of the frames. */
#ifndef BEEFTREE_POOL_INTERNAL_H
#define BEEFTREE_POOL_INTERNAL_H

#include "base/latch.h"
#include "pool/pool.h"

#include <stdalign.h>
#include <stdatomic.h>

#define POOL_DETACHED        0x80000000U
#define POOL_PARTITION_COUNT 64U
/* Half of them, less what is dirty, is what one operation can reserve: several row changes at any height must fit. */
#define POOL_FRAME_COUNT_MIN 512U

enum pool_frame_state { POOL_FRAME_LOADING, POOL_FRAME_LOADED, POOL_FRAME_FAILED };

struct pool_link {
    struct pool_link *previous, *next;
};

struct pool_frame {
    struct base_latch latch;
    uint8_t *bytes;
    struct pool_frame *next; /* in its bucket (partition's mutex) or on the free list (free_mutex) */
    _Atomic uint64_t page;
    _Atomic uint64_t dirty_epoch;
    uint64_t change;               /* under the latch */
    struct pool_link dirty_link;   /* dirty_mutex */
    struct pool_frame_notes notes; /* the writer's */
    _Atomic uint32_t pins;         /* and POOL_DETACHED */
    int error;                     /* why it is POOL_FRAME_FAILED */
    _Atomic uint8_t state;         /* enum pool_frame_state; leaves LOADING under the exclusive latch */
    _Atomic uint8_t referenced;    /* pinned since the clock's hand last came by */
    bool reserve_spent; /* dirty_mutex: dirty, but a write that failed used up its reserved page of the store */
    bool writing;       /* dirty_mutex */
};

struct pool_partition {
    alignas(64) struct base_mutex mutex;
    uint64_t hits, misses;
};

/* One frame to be written by a checkpoint; its page is a sort key only, since the frame may change hands. */
struct pool_write_entry {
    uint64_t page;
    struct pool_frame *frame;
};

struct pool {
    struct store *store;
    struct pool_options options;
    uint32_t page_size;
    size_t frame_count;
    uint64_t dirty_max;

    void *memory; /* one mapping: frames' bytes, then descriptors, buckets, write entries, write buffer */
    size_t memory_size;
    uint8_t *arena;
    struct pool_frame *frames;
    struct pool_frame **buckets; /* bucket_count, a power of two; each under the mutex of its partition */
    size_t bucket_count;

    _Atomic uint64_t epoch;       /* raised by pool_freeze only */
    _Atomic uint64_t last_change; /* the last change number handed out */
    _Atomic uint64_t charged;
    _Atomic uint64_t hand; /* of the clock: counts up, taken modulo frame_count */

    struct base_mutex dirty_mutex;
    struct pool_link live_list, frozen_list;
    _Atomic uint64_t live_count, frozen_count; /* written under dirty_mutex */
    unsigned steals_running;
    bool freeze_waiting;
    struct base_condition steals_done;

    struct base_mutex free_mutex;
    struct pool_frame *free_list;
    size_t free_count, fresh_count; /* fresh: frames from this index on were never used, nor their memory touched */
    struct base_condition frame_released;
    uint64_t release_count; /* rises with each wake-up */
    _Atomic uint32_t frame_waiters;

    struct pool_write_entry *write_entries; /* dirty_max; the checkpoint's */
    uint8_t *write_buffer;                  /* one page; the checkpoint's */

    _Atomic uint64_t evictions, evictions_dirty, reads, writes, copies;
    struct pool_partition partitions[POOL_PARTITION_COUNT];
};

static inline uint64_t pool_change_next(struct pool *pool)
{
    return atomic_fetch_add_explicit(&pool->last_change, 1, memory_order_relaxed) + 1;
}

static inline void pool_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- hash.c: pages to frames ------------------------------------------------------------------------------------- */

struct pool_partition *pool_partition_of(struct pool *pool, uint64_t page);
/* All three under the mutex of the page's partition. */
struct pool_frame *pool_hash_find(struct pool *pool, uint64_t page);
void pool_hash_insert(struct pool *pool, uint64_t page, struct pool_frame *frame);
/* False when the frame is not there. */
bool pool_hash_remove(struct pool *pool, uint64_t page, const struct pool_frame *frame);

/* --- clock.c: frames to fill -------------------------------------------------------------------------------------- */

/* A frame that is in nobody's hands: detached, one pin (the caller's), clean. Evicts; waits when all are in use. */
struct pool_frame *pool_frame_take(struct pool *pool);
/* Lets `count` pins go. */
void pool_frame_release(struct pool *pool, struct pool_frame *frame, uint32_t count);

/* --- dirty.c: epochs ---------------------------------------------------------------------------------------------- */

/* Begins to write a live frame that the caller has pinned and latched shared; false when it must be left alone. */
bool pool_steal_begin(struct pool *pool, struct pool_frame *frame);
/* Ends it: clean when error is 0. The caller still holds latch and pin; the dirty list's pin is gone when clean. */
void pool_steal_end(struct pool *pool, struct pool_frame *frame, int error);

bool pool_frame_is_live(const struct pool *pool, const struct pool_frame *frame);

/* Under dirty_mutex: a write of the frame failed. */
void pool_note_failed_write(struct pool_frame *frame, int error);

void pool_list_init(struct pool_link *list);
struct pool_frame *pool_list_frame(struct pool_link *link);
void pool_list_append(struct pool_link *list, struct pool_frame *frame);
void pool_list_remove(struct pool_frame *frame);

#endif
