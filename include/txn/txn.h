/* Transactions: one operation's page changes, whole or absent; admission; freeze and checkpoint.
 *
 * One operation is one transaction:
 *
 *      txn_begin (admission: reserves, may wait for the disk, holds nothing that a freeze needs)
 *        contents allocated and written (txn_content_allocate, store_content_write)
 *      txn_lock (the writer lock)
 *        edits of pages, runs freed
 *      txn_commit or txn_abort (both let the writer lock go and end the transaction)
 *
 * All page changes go through txn_page_* / txn_edit_*, which keep what they overwrite until commit (undo) and make the
 * log's record (redo; docs/design.md "Log"): tree code knows nothing of either.
 *
 * Rollback: an abort takes the tree gate exclusively (readers are out), puts the old bytes back in reverse order, and
 * can't fail: every frame that a transaction has changed stays pinned until its end.
 *
 * A thread has at most one transaction at a time, and waits for nothing that another transaction holds between
 * txn_begin and its end (locks of inodes come before txn_begin): admission may wait for transactions to end. */
#ifndef BEEFTREE_TXN_TXN_H
#define BEEFTREE_TXN_TXN_H

#include "pool/pool.h"
#include "store/store.h"

struct txn_engine;
struct txn;

struct txn_engine_options {
    uint64_t commit_interval_ms;   /* periodic sync; an idle one leads to a checkpoint. 0: none, no background thread
                                      (tests, tools) */
    uint64_t content_unsynced_max; /* bytes of contents not yet synced before admission waits; 0: automatic (at least 8
                                      MiB) */
};

/* Borrows store and pool. */
int txn_engine_open(struct store *store, struct pool *pool, const struct txn_engine_options *options,
                    struct txn_engine **ret_engine);
/* Stops the background thread. Writes nothing: call txn_engine_sync before for a clean end. */
void txn_engine_close(struct txn_engine *engine);

struct store *txn_engine_store(struct txn_engine *engine);
struct pool *txn_engine_pool(struct txn_engine *engine);

/* Durable: everything committed before the call is on the disk when it returns 0; at once, without I/O, when it was
 * already. One write and one sync of the file, shared by all who wait; a checkpoint where the log has no room. A
 * failure is the host's error to who met it, -EIO to others whose changes it lost, -EROFS to who comes later. */
int txn_engine_sync(struct txn_engine *engine);

/* Durable in a checkpoint: what is on the disk then needs no recovery. Results as above. */
int txn_engine_checkpoint(struct txn_engine *engine);

/* --- One operation ------------------------------------------------------------------------------------------------ */

struct txn_need {
    uint32_t
        pages; /* worst case of pages changed or made (btree_pages_per_change says how many a row change can take) */
    uint64_t content_blocks;   /* worst case of content blocks allocated */
    uint64_t content_reserved; /* how many of them are not written (txn_content_note_checksum 0): nothing that a sync
                                  would have to wait for */
    bool frees_space;          /* may use the emergency reserve */
};

/* Admission, first come first served once anybody has to wait. -ENOSPC only after a forced checkpoint and the end of
 * all transactions under way did not help; -EROFS after a failure or on a read-only store; -E2BIG when the need can
 * never be met by this pool (more pages than pool_reserve_max); -ENOMEM. */
int txn_begin(struct txn_engine *engine, const struct txn_need *need, struct txn **ret_txn);

/* The engine that the transaction was begun on. */
struct txn_engine *txn_get_engine(const struct txn *txn);

/* Takes the writer lock. A transaction that changes more pages than it said ends the program (BASE_ASSERT): its worst
 * case is wrong. From here to the end: no disk waits except page reads. */
void txn_lock(struct txn *txn);

/* Ends the transaction: publishes and frees runs, frees pages, gives back what was reserved and not used, unlocks.
 * Can't fail. A transaction never locked and without content runs may be committed too (it did nothing). */
void txn_commit(struct txn *txn);
/* Ends it as if it had never been: also before txn_lock. Can't fail. */
void txn_abort(struct txn *txn);

/* How many more pages it may change or make: for one whose worst case is unlikely, which began with less and gives up
 * in time (txn_abort). */
uint32_t txn_pages_left(const struct txn *txn);

/* --- Pages: caller holds the writer lock -------------------------------------------------------------------------- */

/* A page to read (and perhaps change later) in this transaction; pinned without latch. Unpin with txn_page_unpin. */
int txn_page_pin(struct txn *txn, uint64_t page, struct pool_frame **ret_frame);
void txn_page_unpin(struct txn *txn, struct pool_frame *frame);

/* A new page of zeros with a fresh number, pinned; it is the caller's to unpin. */
int txn_page_new(struct txn *txn, struct pool_frame **ret_frame);

/* The page is no longer part of the tree: freed at commit. No edits of it afterwards, and none is open now. It gets a
 * new change number. Its pin stays the caller's. A page freed without an edit does not count in txn_need. */
void txn_page_free(struct txn *txn, struct pool_frame *frame);

/* Brackets edits of one page: takes the exclusive latch, marks the frame dirty. Several pages may be open at once,
 * opened top down and left to right. Every edit below needs its page open. */
void txn_edit_begin(struct txn *txn, struct pool_frame *frame);
void txn_edit_end(struct txn *txn, struct pool_frame *frame);

/* Overwrites size bytes at offset. Only what differs is noted, in undo and in the log. */
void txn_edit_put(struct txn *txn, struct pool_frame *frame, uint32_t offset, const void *bytes, uint32_t size);
/* memmove within the page. Undo costs the distance, not the size, where the ranges overlap. */
void txn_edit_move(struct txn *txn, struct pool_frame *frame, uint32_t to, uint32_t from, uint32_t size);
/* Replaces the whole page by an image of page size (rebuilding a node). Stored as the parts that differ where that is
 * shorter. */
void txn_edit_image(struct txn *txn, struct pool_frame *frame, const void *image);

/* --- Contents ----------------------------------------------------------------------------------------------------- */

/* Before txn_lock. Allocates up to block_count contiguous blocks (at least one); remembered: published at commit,
 * cancelled at abort. */
int txn_content_allocate(struct txn *txn, uint32_t block_count, uint64_t goal, struct store_run *ret_run);
/* The checksum (store_content_checksum) of the next block in the order of allocation; 0 for one that is not written.
 * Recovery believes the log's last batch only if the blocks of such checksums are there. */
void txn_content_note_checksum(struct txn *txn, uint64_t checksum);
/* Freed at commit. -EUCLEAN when the run is not valid contents (a damaged row): nothing is freed. */
int txn_content_free(struct txn *txn, struct store_run run);

/* --- Readers ------------------------------------------------------------------------------------------------------ */

/* Around every read of the tree outside a transaction (the tree's functions do it themselves when they are given no
 * txn): keeps rollbacks out. Don't nest; take no other lock of txn or fs inside. */
void txn_read_begin(struct txn_engine *engine);
void txn_read_end(struct txn_engine *engine);

struct txn_statistics {
    uint64_t commits, aborts, waits_for_frames, waits_for_space, waits_for_contents, waits_for_log;
    uint64_t log_syncs; /* syncs that a batch of the log was enough for */
    uint64_t checkpoints_periodic, checkpoints_pressure, checkpoints_sync;
    uint64_t pages_changed, edit_bytes;
};

void txn_get_statistics(struct txn_engine *engine, struct txn_statistics *ret_statistics);

#endif
