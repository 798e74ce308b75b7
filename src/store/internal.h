/* The store as its parts see it. Locks, outermost first:
 *
 *   map_latch (BASE_RANK_STORE_MAP)   guards map, live, frozen, epoch. Shared for a whole lookup, node reads included;
 *                                     exclusive only for moments: an entry made, the freeze, the swap of roots.
 *   nodes.mutex                       see node_cache.h
 *   space.mutex                       see space.h; guards the lists of content changes too
 *   sync_mutex                        around every sync: a host reports a failed write to one sync only, so no other
 *                                     may answer between that sync and the mark that the store has failed
 *   failure_mutex, writeback_mutex    leaves
 *
 * superblock and bitmap belong to the thread that takes a checkpoint; what others need of them (page size, label,
 * identifier) never changes, and the generation is an atomic of its own. The frozen overlay has no writer during
 * store_checkpoint, so that reads it without the latch. */
#ifndef BEEFTREE_STORE_INTERNAL_H
#define BEEFTREE_STORE_INTERNAL_H

#include "base/latch.h"
#include "log.h"
#include "node_cache.h"
#include "overlay.h"
#include "radix.h"
#include "recover.h"
#include "space.h"
#include "store/store.h"
#include "superblock.h"

#include <stdatomic.h>

/* A change of the content bitmap, in the order of commits. */
struct content_change {
    uint64_t block;
    uint32_t count;
    bool set;
};

struct content_changes {
    struct content_change *items;
    size_t count;
    size_t capacity;
};

struct store_counters {
    _Atomic uint64_t page_reads, page_writes, content_blocks_read, content_blocks_written, node_writes;
    _Atomic uint64_t syncs, bytes_written, checkpoints, checkpoint_ms_last, checkpoint_ms_max;
    _Atomic uint64_t content_bytes_unsynced, checksum_failures;
};

struct store {
    struct os_file *file; /* borrowed */
    bool read_only;
    uint32_t page_size;   /* bytes */
    uint32_t page_blocks; /* the same, in blocks */
    char label[STORE_LABEL_SIZE];
    uint8_t identifier[STORE_IDENTIFIER_SIZE];

    struct superblock superblock; /* as both slots have it */
    _Atomic uint64_t generation;
    _Atomic uint64_t features;        /* incompatible ones that both slots name */
    _Atomic uint64_t features_wanted; /* that the next checkpoint names besides */

    struct base_latch map_latch;
    struct radix_tree map; /* the last checkpoint's */
    struct overlay live;
    struct overlay frozen;
    uint64_t epoch; /* counts freezes; lets a write that a freeze overtakes find its overlay */

    struct radix_tree bitmap; /* the last checkpoint's */
    struct content_changes changes_live;
    struct content_changes changes_frozen;
    struct content_changes changes_spare; /* becomes the live list at a freeze: empty, with room for what is promised */
    size_t changes_promised;              /* changes that may still be noted and need no memory */

    struct redo *redo;                      /* read-only: what the log adds to the checkpoint, or NULL */
    struct recover_contents *redo_contents; /* while opening */
    uint64_t recovered_lsn;                 /* of the next record after the log's end */
    uint64_t recovered_sequence;            /* of the next batch */
    struct store_recovery recovery;

    struct node_cache nodes;
    struct space space;
    struct log log;

    _Atomic bool is_frozen; /* between store_freeze and the end of store_checkpoint */
    _Atomic bool live_dirty;
    _Atomic bool frozen_dirty;

    _Atomic bool is_failed;
    struct base_mutex failure_mutex;
    struct base_reason failure;

    struct base_mutex sync_mutex;

    struct base_mutex writeback_mutex; /* the range of contents written and not yet handed to the host's writeback */
    uint64_t writeback_begin;
    uint64_t writeback_end;

    struct store_counters counters;
};

static inline void store_count(_Atomic uint64_t *counter, uint64_t count)
{
    atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

/* -EROFS when nothing may be changed. */
int store_may_write(struct store *store);

/* Marks the store failed: "what: error text". */
void store_fail_errno(struct store *store, const char *what, int error);

/* Sends a message about damage. */
void store_report_damage(struct store *store, const struct base_reason *reason);

/* Whether count blocks from there lie in the file, behind the header. */
bool store_range_is_valid(struct store *store, uint64_t block, uint64_t count);

/* Looks a page up: live overlay, frozen overlay, tree. */
int store_map_find(struct store *store, uint64_t page, struct node_ref *ret_ref, struct base_reason *ret_reason);

/* Where a page's bytes are read and verified, for readers and checks. */
int store_page_read_at(struct store *store, uint64_t page, struct node_ref ref, void *buffer,
                       struct base_reason *ret_reason);

/* Space mutex held. Notes a change of the bitmap; promised ones never fail. -ENOMEM. */
int content_changes_add(struct content_changes *changes, struct store_run run, bool set);
/* Space mutex held. The frozen list has been written: its memory serves the next epoch. */
void content_changes_retire(struct store *store);

/* Writes the superblock to both slots, with a sync after each. */
int store_write_superblocks(struct store *store, const struct superblock *superblock);
int store_sync(struct store *store, const char *what);

#endif
