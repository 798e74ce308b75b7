/* The page store: stable page numbers over blocks that are never overwritten (docs/design.md, "Page store";
 * docs/format.md).
 *
 * It knows nothing of trees or frames. State of one page number:
 *
 *      absent --store_page_write--> in the live overlay --store_freeze--> in the frozen overlay --store_checkpoint-->
 * in the map on disk
 *
 * A lookup asks live overlay, frozen overlay, map tree, in that order. The map tree on disk is immutable: a checkpoint
 * writes changed nodes to free blocks and then a superblock that names the new roots.
 *
 * Blocks: 4 KiB. A page is 1, 2, 4, 8 or 16 of them, contiguous and aligned to its size. Block 0 never names a page: it
 * means "absent".
 *
 * Epochs: the time between two freezes. A page block freed in epoch e is reused once the checkpoint whose freeze ended
 * e is durable in both superblocks; at once if it was also written in e. A content block is reused once the log's batch
 * that freed it is durable, or a checkpoint that holds it; at once if that batch also published it.
 * What a checkpoint on its way still calls contents waits for that checkpoint, too.
 *
 * Reservation: space for what is to be written is promised before (store_reserve), so that neither a commit nor a
 * checkpoint can run out of space. Blocks for map and bitmap nodes are kept in reserve by the store itself.
 *
 * Failure: a failed write or sync is final. From then on every function that changes something answers -EROFS; the
 * reason is in store_get_failure and was sent to base_message once. Damage (a wrong checksum or impossible content) is
 * -EUCLEAN with a message that names page or block and reason, and is not final. */
#ifndef BEEFTREE_STORE_STORE_H
#define BEEFTREE_STORE_STORE_H

#include "base/message.h"
#include "os/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_BLOCK_SIZE      4096U
#define STORE_PAGE_SIZE_MIN   4096U
#define STORE_PAGE_SIZE_MAX   65536U
#define STORE_LABEL_SIZE      64U   /* bytes, NUL-padded; a label has at most 63 */
#define STORE_IDENTIFIER_SIZE 16U   /* a random UUID, made at format */
#define STORE_ZONE_BLOCKS     1024U /* 4 MiB: pages and contents get blocks from zones of their own */
#define STORE_ROOT_PAGE       1U    /* the first page number; 0 is none */

struct store;

struct store_format_options {
    uint32_t page_size; /* bytes: a power of two from 4096 to 65536 */
    uint64_t log_size;  /* bytes: of the log's ring, a multiple of 4096 from 16 KiB to 64 MiB; 0: 1 MiB */
    char label[STORE_LABEL_SIZE];
};

/* Makes an empty store in an empty file and syncs it: two superblocks, the log's ring in zeros, no pages. -EINVAL for a
 * bad size or a label without end, -EEXIST when the file's first 128 KiB hold anything but zeros. */
int store_format(struct os_file *file, const struct store_format_options *options);

struct store_open_options {
    bool read_only;         /* nothing is written, ever */
    size_t node_cache_size; /* bytes for cached map and bitmap nodes; at least 64 KiB is used */
};

/* Reads and checks superblocks, the whole map and the whole bitmap. The store borrows the file until store_close. A
 * writable open first syncs the file (what a process that died had written becomes durable), makes both superblocks
 * alike where a crash left them different, replays the log into a new checkpoint and gives the log a new salt; a
 * read-only one writes nothing and keeps what the log changes in memory (as much as the log has).
 *   -EMEDIUMTYPE      not a beeftree database        -EPROTONOSUPPORT  of a newer format (or with unknown features)
 *   -EUCLEAN          damaged or cut short           other             the host's error
 * each with a one-line reason (without the file's name). */
int store_open(struct os_file *file, const struct store_open_options *options, struct store **ret_store,
               struct base_reason *ret_reason);

/* What store_open found in the log. All zero after a clean end. */
struct store_recovery {
    uint64_t batches;         /* replayed */
    uint64_t records;         /* in them */
    uint64_t dropped_batches; /* the last one, if the disk had not got all of its contents: 0 or 1 */
    uint64_t pages;           /* that the records changed */
    uint64_t duration_ms;
};

void store_get_recovery(struct store *store, struct store_recovery *ret_recovery);

/* Releases memory; writes nothing. For a clean end: store_freeze, store_checkpoint, store_shrink, then this. */
void store_close(struct store *store);

uint32_t store_get_page_size(const struct store *store);
bool store_is_read_only(const struct store *store);
void store_get_label(const struct store *store, char ret_label[STORE_LABEL_SIZE]);
void store_get_identifier(const struct store *store, uint8_t ret_identifier[STORE_IDENTIFIER_SIZE]);

/* 0, or -EROFS with the reason once a write or sync has failed. */
int store_get_failure(struct store *store, struct base_reason *ret_reason);

/* Incompatible features (docs/format.md section 2): a program that does not know one refuses the file. What uses one
 * may be committed only when store_has_feature says that both superblocks name it; store_want_feature has the next
 * checkpoint do that (and makes the store dirty, so that there is one). Any thread. */
#define STORE_FEATURE_SHARED_CONTENTS (1ULL << 0) /* blocks of contents that several rows name */
#define STORE_FEATURES_KNOWN          STORE_FEATURE_SHARED_CONTENTS
bool store_has_feature(const struct store *store, uint64_t feature);
void store_want_feature(struct store *store, uint64_t feature);

/* Marks the store failed for a reason found above it (a rollback that could not be done). */
void store_fail(struct store *store, const char *why);

/* --- Pages -------------------------------------------------------------------------------------------------------- */

/* The next free page number, lowest first; it stays taken until released. Caller: the writer, within pages that it has
 * reserved (store_reserve gets the memory ready, so this can't fail). */
uint64_t store_page_number_allocate(struct store *store);

/* Undoes store_page_number_allocate for a page that was never written. Caller: the writer. */
void store_page_number_release(struct store *store, uint64_t page);

/* Reads and verifies. -EUCLEAN when damaged or absent, -EIO from the disk. Any thread; never two for the same page. */
int store_page_read(struct store *store, uint64_t page, void *buffer);

/* Writes a page's bytes to free blocks (reserved before with store_reserve: this uses up one reserved page) and enters
 * them in the overlay of its epoch: frozen says which. Into the live overlay as well only if there is no later version:
 * a frozen write never hides a live one (lookups ask the live overlay first). A write that is not frozen belongs to the
 * epoch that is live when the call begins, also when a freeze comes before it ends; the caller waits for it before
 * store_checkpoint. Any thread; the caller sees to it that versions of one page are written in order. Any failure is
 * final. */
int store_page_write(struct store *store, uint64_t page, const void *bytes, bool frozen);

/* The page goes: its number becomes free, its blocks follow the epoch rule. Called at commit, by the writer, after the
 * pool has let go of it. Can't fail; a page that is not in use (a damaged tree may name one twice) is left alone, with
 * a message. */
void store_page_free(struct store *store, uint64_t page);

/* --- Reservation -------------------------------------------------------------------------------------------------- */

struct store_need {
    uint64_t pages;
    uint64_t content_blocks;
    bool may_use_emergency; /* for operations that free space: a further 1 % of the blocks, at least 256 pages */
};

/* Promises that many blocks beyond all earlier promises, growing the file in steps if need be (host space is allocated,
 * never assumed). -ENOSPC when it can't (a checkpoint may help: deferred frees don't count); -EROFS after a failure or
 * when read-only; the host's error when growing fails for another reason (not final). Takes no lock that a checkpoint
 * needs while it waits for the host. */
int store_reserve(struct store *store, const struct store_need *need);
void store_unreserve(struct store *store, uint64_t pages, uint64_t content_blocks);

/* --- Contents ----------------------------------------------------------------------------------------------------- */

struct store_run {
    uint64_t block;
    uint32_t count; /* of blocks */
};

/* Takes up to block_count contiguous blocks out of the reservation (at least one), close behind goal if that is free
 * (0: no wish). The blocks are nobody's yet: publish at commit or cancel. -EUCLEAN never, -ENOSPC only if not reserved.
 */
int store_content_allocate(struct store *store, uint32_t block_count, uint64_t goal, struct store_run *ret_run);

/* Gives unpublished blocks back (they are free again at once; the reservation they used stays used up). */
void store_content_cancel(struct store *store, struct store_run run);

/* At commit, by the writer: the run is part of the live state, and of the log's record if one is under construction.
 * checksums: of its blocks, for the log's batch to be believed after a crash only if they are there (0: a block without
 * bytes of its own); NULL: none has. Can't fail. */
void store_content_publish(struct store *store, struct store_run run, const uint64_t *checksums);

/* Before store_content_free of a run: makes ready what that needs, so that it can't fail. Ended by store_content_free
 * of the same run, or by store_content_unprepare_free. -ENOMEM. */
int store_content_prepare_free(struct store *store, struct store_run run);
void store_content_unprepare_free(struct store *store, struct store_run run);

/* At commit, by the writer: the run belongs to nothing any more. Can't fail: it was prepared. The caller has checked it
 * with store_content_is_valid; blocks that are not contents all the same (two damaged rows freed in one operation) are
 * left alone, with a message. */
void store_content_free(struct store *store, struct store_run run);

/* Whether a run read from a row lies inside the file and is marked as contents: what is freed or read must be. */
bool store_content_is_valid(struct store *store, struct store_run run);

/* Plain block transfer; checksums of contents are the rows' business (seed: see store_content_checksum). */
int store_content_write(struct store *store, struct store_run run, const void *bytes);
int store_content_read(struct store *store, struct store_run run, void *buffer);

/* The checksum of one content block of 4 KiB. Not seeded with its place, so that a run can be shared or moved. */
uint64_t store_content_checksum(const void *block_bytes);

/* --- Checkpoint --------------------------------------------------------------------------------------------------- */

/* Ends the epoch: live overlay, bitmap changes and deferred frees become frozen. Caller holds the writer lock, no other
 * checkpoint is in flight, and no page of the ending epoch is written as a live one from here on (pool_freeze comes
 * first). Takes moments. Does nothing on a store that has failed or is read-only. */
void store_freeze(struct store *store);

/* After every frozen page has been written: updates map and bitmap, syncs, writes one superblock, syncs, writes the
 * other, syncs, and makes what the epoch freed reusable. Readers and writers go on throughout. Costs nothing when the
 * epoch changed nothing. A failure is final: the state on the disk is then the last checkpoint's or this one's. */
int store_checkpoint(struct store *store);

/* Whether anything changed since the last freeze. */
bool store_is_dirty(struct store *store);

/* Whether the file would stay much longer than what it holds, for want of a last checkpoint that writes anew what
 * stands at its end. */
bool store_is_loose(struct store *store);

/* After the last checkpoint of a clean unmount: records the end of the last used block and cuts the file there, but for
 * what an operation that frees space needs (so that a full disk can be emptied after the next mount, too). Does nothing
 * when nothing is gained. -EBUSY between store_freeze and store_checkpoint. Nobody else uses the store meanwhile. */
int store_shrink(struct store *store);

/* --- Looking inside ----------------------------------------------------------------------------------------------- */

struct store_statistics {
    uint64_t file_blocks;      /* the file's size */
    uint64_t used_blocks;      /* by anything, deferred frees included */
    uint64_t available_blocks; /* what contents could still take, host growth and deferred frees included, reserves
                                  subtracted (for statfs) */
    uint64_t reserved_pages, reserved_content_blocks;
    uint64_t pages;          /* live page numbers */
    uint64_t content_blocks; /* live content blocks */
    uint64_t generation;     /* of the newest superblock */
    uint64_t page_reads, page_writes, content_blocks_read, content_blocks_written, node_reads, node_writes;
    uint64_t node_hits, node_misses;
    uint64_t syncs, bytes_written, checkpoints, checkpoint_ms_last, checkpoint_ms_max;
    uint64_t log_size, log_used;                  /* bytes of the ring, and of it what recovery would read now */
    uint64_t log_batches, log_records, log_bytes; /* written so far */
    uint64_t content_bytes_unsynced;              /* content written since the last batch was sealed */
    uint64_t checksum_failures;
};

void store_get_statistics(struct store *store, struct store_statistics *ret_statistics);

/* Every page number in use, ascending, for checks: *page is the last one seen (0 to start) and becomes the next; one
 * allocated and not yet written counts. -ENOENT at the end. */
int store_page_next(struct store *store, uint64_t *page);

/* For checks: the next run of live content blocks at or after a block; -ENOENT at the end. */
int store_content_next(struct store *store, uint64_t from_block, struct store_run *ret_run);

/* Checking the last checkpoint: superblocks, header, map, bitmap, overlaps, counts, page checksums. */
struct store_check_report {
    void (*problem)(void *context, const char *text); /* one line each; may be NULL */
    /* What a power cut may leave, and the next writable opening puts right: no problem. One line each; may be NULL. */
    void (*note)(void *context, const char *text);
    /* Called now and then; false ends the check with -ECANCELED. May be NULL. */
    bool (*progress)(void *context, uint64_t pages_done, uint64_t pages_total);
    void *context;
    uint64_t problems, notes;
    uint64_t pages_checked, nodes_checked;
};

/* Reads every node and page of an open store anew and checks checksums, that no block is used twice, and that the
 * allocator in memory agrees. Nobody changes the store meanwhile; what is in no checkpoint yet is not looked at. 0 also
 * when problems were reported. One slot that is torn or older is a note, since a crash leaves that. */
int store_check(struct store *store, struct store_check_report *report);

#endif
