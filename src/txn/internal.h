/* What the files of txn/ share: engine, transaction, and who may touch what.
 *
 * Life of a transaction:
 *
 *      txn_begin -> admitted -> txn_lock -> locked -> txn_commit / txn_abort (either also from admitted)
 *
 * Locks (ranks in base/latch.h): checkpoint_mutex, then admission_mutex, then leader_mutex, then writer, then gate,
 * then page latches. A thread that waits for admission holds no reservation and none of these. The checkpoint holds
 * checkpoint_mutex from freeze to durable, the writer mutex only for the freeze. To lead (sync.c) ranks behind
 * checkpoint_mutex: who takes a checkpoint waits to lead, who leads never waits for a checkpoint.
 *
 * Who owns what: undo and the notes of frames belong to the holder of the writer mutex. Sequences and counters are
 * atomics; those written only under the writer mutex say so. */
#ifndef BEEFTREE_TXN_INTERNAL_H
#define BEEFTREE_TXN_INTERNAL_H

#include "base/latch.h"
#include "store/log.h"
#include "txn/txn.h"

#include <stdatomic.h>

enum txn_page_flags {
    TXN_PAGE_TOUCHED = 1 << 0, /* on the transaction's list, which holds a pin */
    TXN_PAGE_CHANGED = 1 << 1, /* counted in pages_changed */
    TXN_PAGE_NEW = 1 << 2,     /* its number is this transaction's: needs no undo */
    TXN_PAGE_FREED = 1 << 3,
    TXN_PAGE_OPEN = 1 << 4,   /* between txn_edit_begin and txn_edit_end */
    TXN_PAGE_IMAGED = 1 << 5, /* undo holds an image of the page: needs no more */
};

/* Old bytes, as a stack: each record is its bytes, padded to 8, with a struct undo_record behind them. A page takes at
 * most twice its size: records of edits up to its size, then one image of it as it was at that moment. So the bound for
 * a transaction is known when it begins, and the memory (address space, until it is used) is there before it is needed:
 * noting an edit can't fail. */
struct txn_undo {
    uint8_t *bytes;
    size_t size;
    size_t capacity;             /* bytes */
    _Atomic uint32_t page_count; /* pages that the capacity is good for */
};

enum checkpoint_cause { CHECKPOINT_PERIODIC, CHECKPOINT_PRESSURE, CHECKPOINT_SYNC, CHECKPOINT_CAUSE_COUNT };

struct txn_engine {
    struct store *store;
    struct pool *pool;
    struct txn_engine_options options;
    uint32_t page_size;

    struct base_mutex writer;
    struct base_latch gate;
    struct txn_undo undo;

    /* Commits so far, and how many of them are durable. The first is written under the writer mutex. */
    _Atomic uint64_t commit_sequence, durable_sequence;

    /* Bytes of contents: of commits so far, of those that are durable, and promised to transactions not yet ended. */
    _Atomic uint64_t content_committed, content_durable, content_promised;
    _Atomic uint64_t content_unsynced_max;

    struct base_mutex checkpoint_mutex;
    _Atomic uint64_t checkpoint_count; /* attempts that are over, good or bad; written under checkpoint_mutex */
    _Atomic uint64_t checkpoint_last_ms;
    _Atomic uint64_t disk_rate; /* bytes a second, moving average; 0: not known yet */

    struct base_mutex leader_mutex;
    struct base_condition leader_changed;
    bool is_led;                  /* leader_mutex */
    _Atomic uint64_t syncs_asked; /* calls of txn_engine_sync that found something to do */
    uint64_t syncs_at_freeze;     /* the same when the last checkpoint froze. checkpoint_mutex */

    struct base_mutex admission_mutex;
    struct base_condition admission_changed; /* a transaction ended, or it is the next waiter's turn */
    uint64_t ticket_next, ticket_served;     /* admission_mutex */
    _Atomic uint32_t waiters;                /* threads between drawing a ticket and being served */
    _Atomic uint64_t begins, ends;           /* transactions admitted or trying without a ticket; ended or given up */

    bool has_background;
    pthread_t background;
    struct base_condition background_wake; /* with admission_mutex */
    bool background_stops;                 /* admission_mutex */
    _Atomic bool checkpoint_wanted, sync_wanted;
    uint64_t sync_last_ms;  /* begin of the present interval. The background thread's */
    uint64_t idle_sequence; /* commit_sequence at the last periodic sync. The background thread's */

    _Atomic uint64_t commits, aborts, waits_for_frames, waits_for_space, waits_for_contents, waits_for_log;
    _Atomic uint64_t log_syncs;
    _Atomic uint64_t checkpoints[CHECKPOINT_CAUSE_COUNT];
    _Atomic uint64_t pages_changed, edit_bytes; /* written under the writer mutex */
};

enum { TXN_RUNS_FEW = 16 };

/* Runs of content blocks; items points to `few` while they fit. */
struct txn_runs {
    struct store_run *items;
    size_t count;
    size_t capacity;
    struct store_run few[TXN_RUNS_FEW];
};

struct txn {
    struct txn_engine *engine;
    struct txn_need need;
    bool is_locked;
    uint32_t pages_changed; /* at most need.pages */
    uint32_t pages_dirtied; /* of them, what used up a reserved frame and page */
    uint32_t pages_open;
    uint64_t edit_bytes;
    struct pool_frame *touched; /* linked by their notes */
    uint64_t content_blocks_allocated;
    struct txn_runs allocated; /* in the order of allocation */
    struct txn_runs freed;     /* ascending, disjoint; prepared (store_content_prepare_free) */
    uint64_t *checksums;       /* of allocated blocks, in the order of allocation; as many as need says */
    uint64_t checksum_count;   /* noted so far */
};

/* --- admission.c -------------------------------------------------------------------------------------------------- */

int txn_admit(struct txn_engine *engine, const struct txn_need *need);
/* The end of an admitted transaction: what it did not use goes back, waiters look again. */
void txn_dismiss(struct txn_engine *engine, const struct txn_need *need, uint64_t pages_used,
                 uint64_t content_blocks_used);

/* --- checkpoint.c ------------------------------------------------------------------------------------------------- */

/* Under checkpoint_mutex. 1: everything committed before is durable now; 0: nothing was dirty; else the store has
 * failed: -EROFS if it had before, the host's error if it did in this call. */
int txn_checkpoint(struct txn_engine *engine, enum checkpoint_cause cause);
/* Whether dirty frames have passed half of what admission allows, the log half of its ring, or what waits for it as
 * much memory as it should. */
bool txn_is_pressed(struct txn_engine *engine);
/* Whether unsynced contents have passed half of what admission allows. */
bool txn_wants_sync(struct txn_engine *engine);
/* Has the background thread, if there is one, do what txn_is_pressed or txn_wants_sync asks for. */
void txn_background_request(struct txn_engine *engine, _Atomic bool *wanted);
uint64_t txn_content_unsynced(struct txn_engine *engine);
/* Takes a measurement of how fast the disk is into account. */
void txn_rate_measure(struct txn_engine *engine, uint64_t bytes, uint64_t time_ns);

/* --- sync.c ------------------------------------------------------------------------------------------------------- */

/* txn_engine_sync for the filesystem's own sake: nobody waits for it. */
int txn_sync(struct txn_engine *engine);
/* Whether a checkpoint is the cheaper way to make durable what nobody asked for. */
bool txn_prefers_checkpoint(struct txn_engine *engine);

/* How far commits have come. */
struct txn_position {
    uint64_t commit_sequence, content_committed;
};

/* Writer mutex held. */
struct txn_position txn_get_position(struct txn_engine *engine);
/* What was committed before is durable. */
void txn_note_durable(struct txn_engine *engine, const struct txn_position *position);
/* To write the log and to freeze: one thread at a time. */
void txn_lead_begin(struct txn_engine *engine);
void txn_lead_end(struct txn_engine *engine);

/* --- background.c ------------------------------------------------------------------------------------------------- */

int txn_background_start(struct txn_engine *engine);
void txn_background_stop(struct txn_engine *engine);

/* --- undo.c ------------------------------------------------------------------------------------------------------- */

/* Makes the undo good for that many pages. Takes the writer mutex if it is not. -ENOMEM. */
int txn_undo_prepare(struct txn_engine *engine, uint32_t page_count);
void txn_undo_deinit(struct txn_undo *undo);
/* Before bytes of an open page are overwritten. */
void txn_undo_note_put(struct txn_engine *engine, struct pool_frame *frame, uint32_t offset, uint32_t size);
void txn_undo_note_move(struct txn_engine *engine, struct pool_frame *frame, uint32_t to, uint32_t from, uint32_t size);
/* Puts everything back, latest first. The caller holds the gate exclusively. */
void txn_undo_roll_back(struct txn_engine *engine);
/* Forgets everything. */
void txn_undo_clear(struct txn_engine *engine);

/* --- page.c ------------------------------------------------------------------------------------------------------- */

/* Puts a page on the transaction's list, with a pin of its own. */
void txn_page_touch(struct txn *txn, struct pool_frame *frame, uint32_t flags);
/* The page is about to change: its latch is held exclusively. */
void txn_page_dirty(struct txn *txn, struct pool_frame *frame);
/* The list is worked off and empty: freed pages (committed) or new ones (else) are gone, notes zeros, pins let go. */
void txn_pages_finish(struct txn *txn, bool committed);

/* --- content.c ---------------------------------------------------------------------------------------------------- */

void txn_runs_init(struct txn_runs *runs);
void txn_runs_deinit(struct txn_runs *runs);

static inline void txn_count(_Atomic uint64_t *counter, uint64_t difference)
{
    atomic_fetch_add_explicit(counter, difference, memory_order_relaxed);
}

#endif
