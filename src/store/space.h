/* Block allocation in memory: which blocks are free, by zones; reservations; frees deferred to the end of their epoch.
 *
 * State of a zone: EMPTY --first allocation--> PAGES or CONTENTS --last free--> EMPTY. Nodes of map and bitmap stand in
 * CONTENTS zones. MIXED is a zone of a file that another allocator wrote: nothing is allocated in it until it is empty.
 *
 * State of a content block: free --allocate--> unpublished --publish--> live, fresh in the open batch --seal--> live
 * --free--> deferred --that batch durable--> free. A fresh block that is freed, or an unpublished one that is
 * cancelled, is free at once: no batch that is sealed, and so no state that a crash can leave, names it. A *batch* here
 * is what one batch of the log holds, or would: a seal ends it (log.h), its being durable may also be a checkpoint's;
 * while one is on its way the caller of space_release waits with what that calls contents (log_release_frees).
 *
 * Invariants: a block marked used is used by live state, last durable checkpoint, checkpoint in flight, an unpublished
 * allocation or a deferred free. What is reserved fits: see reserve.c.
 *
 * Locks: `mutex` (BASE_RANK_STORE_SPACE) guards everything here; never held during I/O. Growing releases it around the
 * host's work; `is_growing` keeps other growers waiting. */
#ifndef BEEFTREE_STORE_SPACE_H
#define BEEFTREE_STORE_SPACE_H

#include "base/latch.h"
#include "os/file.h"
#include "page_numbers.h"
#include "radix.h"
#include "store/store.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZONE_WORDS (STORE_ZONE_BLOCKS / 64)

enum zone_kind { ZONE_EMPTY, ZONE_PAGES, ZONE_CONTENTS, ZONE_MIXED };
enum { ZONE_KINDS_ALLOCATABLE = 3 };

/* Marks on blocks of a CONTENTS zone; a zone without any needs none. */
struct zone_marks {
    uint64_t other[ZONE_WORDS]; /* used, but not live contents: node, unpublished, deferred, log */
    uint64_t fresh[ZONE_WORDS]; /* live, published in fresh_batch */
    uint64_t fresh_batch;
    uint32_t other_count;
};

struct zone {
    uint64_t *used; /* NULL while the zone is empty: nothing but the header and what lies beyond the end */
    struct zone_marks *marks;
    uint16_t used_count; /* header blocks and blocks beyond the end not counted */
    uint8_t kind;
};

/* Runs freed, in the order of the batches that freed them: a queue. */
struct deferred_run {
    struct store_run run;
    uint64_t batch;
};

struct deferred_queue {
    struct deferred_run *items;
    size_t begin; /* of what is left */
    size_t end;
    size_t capacity;
    uint64_t block_count;
};

/* What can still be allocated. `special`: empty zones smaller than others (the first, a partial last one). */
struct space_capacity {
    uint64_t page_slots;
    uint64_t content_blocks;
    uint64_t empty_zones;
    uint32_t special[2]; /* blocks */
    unsigned special_count;
};

struct space {
    struct base_mutex mutex;
    struct base_condition grown;
    bool is_growing;
    _Atomic bool zeroes_growth; /* new space is written with zeros: see reserve.c */
    _Atomic uint64_t zeroed_bytes;
    uint32_t page_blocks;
    uint64_t block_count;
    _Atomic uint64_t block_count_seen; /* the same, for bounds checks without the mutex */

    struct zone *zones;
    uint64_t zone_count;
    uint64_t zone_capacity;
    uint64_t *available[ZONE_KINDS_ALLOCATABLE]; /* a bit per zone: of that kind and not full */
    uint64_t lowest[ZONE_KINDS_ALLOCATABLE];     /* no zone below it is available */
    uint64_t content_cursor;                     /* block behind the last content run allocated */

    struct space_capacity capacity; /* zone 0 and the last one left out: see space_get_capacity */
    uint64_t used_blocks;           /* header included */
    uint64_t node_blocks;
    uint64_t content_blocks; /* live */
    uint64_t unpublished_blocks;

    uint64_t reserved_pages;
    uint64_t reserved_content;
    struct page_numbers numbers;
    uint64_t numbers_at_freeze; /* pages in use when the last epoch ended */

    uint64_t batch; /* number of the open one; from 1 */
    struct deferred_queue deferred;
    size_t frees_promised;  /* parts of runs that space_free_content may still free: they need no memory */
    uint64_t *marked_zones; /* zones with marks */
    size_t marked_count;
    size_t marked_capacity;
};

/* An all-free space of that many blocks. */
int space_init(struct space *space, uint32_t page_blocks, uint64_t block_count);
void space_deinit(struct space *space);

/* --- Opening (no other thread yet): marks what the trees name. -EUCLEAN when a block is used already or out of range,
 * -ENOMEM. */
enum space_use { SPACE_PAGE, SPACE_NODE, SPACE_CONTENT, SPACE_LOG };
int space_mark(struct space *space, enum space_use use, uint64_t block, uint64_t count);

/* --- Allocation. -ENOSPC when there is nothing left (which reservations prevent), -ENOMEM. */

/* Uses up one reserved page. */
int space_allocate_page(struct space *space, uint64_t *ret_block);
void space_free_page(struct space *space, uint64_t block);
int space_allocate_node(struct space *space, uint64_t *ret_block);
void space_free_node(struct space *space, uint64_t block);

int space_allocate_content(struct space *space, uint32_t block_count, uint64_t goal, struct store_run *ret_run);
void space_cancel_content(struct space *space, struct store_run run);

/* A run for the log's ring, out of the reservation for contents; and back. */
int space_allocate_log(struct space *space, uint32_t block_count, struct store_run *ret_run);
void space_free_log(struct space *space, uint64_t block, uint64_t block_count);

/* The next three need `mutex` held by the caller. */
void space_publish_content(struct space *space, struct store_run run);
/* Promises that space_free_content of so many blocks in that run won't need memory; ended by space_unprepare_free with
 * the same count. -ENOMEM. */
int space_prepare_free(struct space *space, struct store_run run);
void space_unprepare_free(struct space *space, uint32_t block_count);
/* Frees the live content blocks of a run that was prepared and calls `freed` for each part; what is not live is left
 * alone. Returns the number of blocks that were not live. */
int space_free_content(struct space *space, struct store_run run,
                       void (*freed)(void *context, struct store_run part, bool fresh), void *context);
bool space_is_content(const struct space *space, struct store_run run);

/* The next run of live contents at or after a block. -ENOENT. Takes the mutex. */
int space_next_content(struct space *space, uint64_t from_block, struct store_run *ret_run);

/* Whether a block is marked used. Takes the mutex. */
bool space_is_used(struct space *space, uint64_t block);

/* --- Epochs and batches */

/* Mutex held: a new epoch begins. */
void space_freeze(struct space *space);
/* Ends the open batch; returns its number. Takes the mutex. */
uint64_t space_seal(struct space *space);
/* That batch and all before it are durable: what they freed is free. Takes the mutex in short turns. */
void space_release(struct space *space, uint64_t batch);
/* After a checkpoint: contents fill from the front again, marks that say nothing are dropped. Takes the mutex. */
void space_tidy(struct space *space);

/* --- Reservation (reserve.c) */

int space_reserve(struct space *space, struct os_file *file, const struct store_need *need);
void space_unreserve(struct space *space, uint64_t pages, uint64_t content_blocks);

/* Mutex held. Whether that much can be allocated in a file of block_count blocks. */
bool space_fits(const struct space *space, uint64_t block_count, uint64_t pages, uint64_t content_blocks);
/* Mutex held. Capacity if the file had block_count blocks (not less than up to the last used one). */
struct space_capacity space_get_capacity(const struct space *space, uint64_t block_count);
/* Mutex held. Blocks kept back for nodes, and for operations that free space (pages, content blocks). */
uint64_t space_node_reserve(const struct space *space, uint64_t block_count, uint64_t more_pages);
uint64_t space_emergency_pages(const struct space *space, uint64_t block_count);
uint64_t space_emergency_content(void);

/* Mutex held. Sets a new size; what lies beyond it must be free. -ENOMEM (never when it shrinks). */
int space_resize(struct space *space, uint64_t block_count);
/* Mutex held. The least size that holds all used blocks and what an operation that frees space needs. */
uint64_t space_shrunk_size(const struct space *space);

/* Shared between space.c and space_content.c; the mutex is held. */
uint32_t zone_usable(uint64_t zone, uint64_t block_count);
void zone_uncount(struct space *space, uint64_t zone);
void zone_count(struct space *space, uint64_t zone);
int zone_take(struct space *space, uint64_t zone, enum zone_kind kind);
void zone_give_back(struct space *space, uint64_t zone);
int zone_choose_empty(struct space *space, enum zone_kind kind, uint64_t *ret_zone);
bool zone_may_take(struct space *space, uint64_t zone, enum zone_kind kind);
bool zone_is_kept_for_pages(struct space *space, uint64_t zone);
int zone_make_marks(struct space *space, uint64_t zone);
uint64_t zone_next_available(const struct space *space, enum zone_kind kind, uint64_t from);
void zone_free_blocks(struct space *space, uint64_t zone, uint32_t first, uint32_t count);
void zone_use_blocks(struct space *space, uint64_t zone, uint32_t first, uint32_t count);
void zone_set_other(struct space *space, uint64_t zone, uint32_t first, uint32_t count, bool other);

#endif
