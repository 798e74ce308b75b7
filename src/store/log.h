/* The running log: batches in memory and their way into the ring. include/store/log.h has the states and who calls
 * what; log_format.h the bytes; recover.h how they are read again.
 *
 * The ring is the concatenation of its runs of blocks. Positions are bytes in it; `written` and `released` count bytes
 * ever put in and given up again, so their difference is what is in use. A checkpoint gives up what lies before its
 * freeze, once both its superblocks are durable.
 *
 * Gap: records that a freeze could not seal into a batch that fits are in its checkpoint only. From then on until the
 * checkpoint is durable nothing is written (has_gap).
 *
 * Locks: the open buffer belongs to the writer, the sealed one and the place in the ring to the leader. What others
 * look at is atomic. */
#ifndef BEEFTREE_STORE_LOG_INTERNAL_H
#define BEEFTREE_STORE_LOG_INTERNAL_H

#include "log_format.h"
#include "store/log.h"
#include "superblock.h"

#include <stdatomic.h>

#define LOG_BUFFER_SIZE   (32U << 20) /* address space; memory as far as it is used */
#define LOG_BUFFER_KEEP   (4U << 20)  /* memory that stays between batches */
#define LOG_RING_SIZE_MIN (1U << 20)
#define LOG_RING_SIZE_MAX (64U << 20)

/* A content block that a record added or dropped, in order. */
struct log_listed {
    uint64_t block;
    uint64_t checksum;
    uint32_t order;
    bool is_added;
};

/* Blocks of one content entry. */
#define LOG_ENTRY_BLOCKS_MAX 256U

/* Records behind room for a header. */
struct log_buffer {
    uint8_t *bytes;
    size_t size; /* header's room included */
    uint64_t first_lsn;
    uint32_t record_count;
    uint64_t batch;     /* its number in space, when sealed */
    bool is_incomplete; /* something is missing: only a checkpoint makes it durable */
    struct log_listed *listed;
    size_t listed_count;
    size_t listed_capacity;
    size_t entries_max; /* the most content entries that they can come to */
};

enum log_ring_state { LOG_RING_SAME, LOG_RING_PREPARED, LOG_RING_NAMED };

struct log {
    struct superblock_log_run runs[SUPERBLOCK_LOG_RUNS];
    uint32_t run_count;
    _Atomic uint64_t size; /* bytes of all runs */
    uint64_t salt;
    uint64_t position; /* of the next batch; size (the end) is the begin. Leader */
    uint64_t sequence; /* of the next batch. Leader */
    _Atomic uint64_t written, released;
    _Atomic bool has_gap;

    struct log_buffer buffers[2];
    unsigned open;        /* index of the open one */
    bool is_lazy;         /* see store_log_set_lazy. Leader */
    bool is_sealed;       /* the other one waits to be written */
    uint64_t next_lsn;    /* of the next record. Writer */
    bool is_recording;    /* between begin and end. Writer */
    size_t record_begin;  /* in the open buffer */
    size_t record_listed; /* listed_count when it began */
    uint64_t record_page; /* that the last edit was for */
    _Atomic uint64_t pending_size;

    /* What a freeze fixed for its checkpoint. */
    struct superblock_log frozen;
    uint64_t frozen_written;
    uint64_t frozen_batch;
    _Atomic uint64_t durable_batch; /* the last one in the ring */
    _Atomic bool is_frozen_sealed;  /* its batch waits to be written */

    /* Runs on their way to be the ring's end: see log_ring.c. */
    _Atomic uint32_t ring_state; /* enum log_ring_state */
    struct superblock_log_run more[SUPERBLOCK_LOG_RUNS];
    uint32_t more_count;
    uint64_t bytes_at_growth; /* `bytes` when it began */

    uint64_t sync_bytes_average; /* of contents, moving. Leader */

    _Atomic uint64_t batches, records, bytes;
};

struct store;

/* Takes over what the superblock says; memory for the buffers. -ENOMEM. */
int log_init(struct store *store);
void log_deinit(struct store *store);

/* A content run of the record under construction, or (outside of one) a change that only a checkpoint keeps. Writer.
 * checksums: of the blocks, 0 for one that needs no check; NULL: none does. */
void log_note_added(struct store *store, struct store_run run, const uint64_t *checksums);
void log_note_dropped(struct store *store, struct store_run run, bool was_fresh);

/* Writer and leader, within store_freeze: seals (is_frozen_sealed), or leaves a gap. */
void log_freeze(struct store *store);
/* The superblocks that the last freeze led to are durable. Leader or not: by the thread that takes the checkpoint. */
void log_checkpoint_done(struct store *store);
/* What durable batches freed can be reused; but until the checkpoint on its way is durable only what its bitmap lacks:
 * else it would write nodes and pages over blocks that it calls contents. Leader, or when is_frozen has ended. */
void log_release_frees(struct store *store);

/* Makes the list of content blocks that are live at a sealed batch's end, behind its records. False when there is no
 * room (log_list.c). */
bool log_list_contents(struct log_buffer *buffer, uint32_t *ret_count);

/* --- Ring (log_ring.c) */

/* Writes bytes (whole blocks) at a position, round the end if need be. */
int log_ring_write(struct store *store, uint64_t position, const uint8_t *bytes, uint64_t size);
/* Names the ring in a superblock to be written, with the runs that were prepared. By the thread that takes the
 * checkpoint. */
void log_ring_name(struct store *store, struct superblock *superblock);
/* Takes runs that are named into use. Writer and leader. */
void log_ring_adopt(struct store *store);
/* After the last checkpoint of a clean end: back to the first run. Nobody else uses the store. */
int log_ring_reset(struct store *store);

#endif
