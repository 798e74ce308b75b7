/* The log as the layer above drives it (docs/design.md, "Log"; docs/format.md, "Log").
 *
 * One operation is one record, made by the writer between store_log_begin and store_log_end; its page edits are noted
 * by the functions below, its contents by store_content_publish and store_content_free. Records pile up in memory, in
 * the open batch. Sealing ends it and opens the next; the sealed one is written to the ring and synced. A batch is
 * written only after the one before it was synced, so there is never more than one sealed and not durable.
 *
 *      record --end--> open batch --seal--> sealed --store_log_write--> durable
 *
 * Noting can't fail. What does not fit (a batch longer than the buffer or the free part of the ring, a store without a
 * ring) is not lost: store_log_can_write says no, and the next checkpoint, which holds all of it, makes it durable
 * instead. Until that checkpoint is durable no batch may be written, since the chain has a gap; store_log_can_write
 * sees to that too.
 *
 * Who calls what: `writer` functions under the writer lock; `leader` functions by one thread at a time, which the
 * caller chooses, and which is also the one that freezes. */
#ifndef BEEFTREE_STORE_LOG_H
#define BEEFTREE_STORE_LOG_H

#include "store/store.h"

/* --- One record: writer ------------------------------------------------------------------------------------------- */

void store_log_begin(struct store *store);
/* Closes the record and gives it the next LSN; one without edits is none. */
void store_log_end(struct store *store);
/* Forgets what was noted since store_log_begin. */
void store_log_cancel(struct store *store);

void store_log_new(struct store *store, uint64_t page);
void store_log_free(struct store *store, uint64_t page);
void store_log_put(struct store *store, uint64_t page, uint32_t offset, const void *bytes, uint32_t size);
void store_log_move(struct store *store, uint64_t page, uint32_t to, uint32_t from, uint32_t size);

/* --- Batches ------------------------------------------------------------------------------------------------------ */

/* Writer and leader: whether the open batch could be written now. */
bool store_log_can_write(struct store *store);
/* Writer and leader: ends the open batch, which can be written, and opens the next. */
void store_log_seal(struct store *store);
/* Leader: writes the sealed batch and syncs the file; contents that its records freed can be reused. Does nothing
 * when nothing is sealed or it holds no records. A failure is final. */
int store_log_write(struct store *store);

/* Leader: whether the next freeze may leave what is open to its checkpoint although a batch could hold it. For loads
 * that nobody syncs: all that they write is then written once. */
void store_log_set_lazy(struct store *store, bool is_lazy);

/* Before a freeze, by the thread that takes the checkpoint: makes the ring larger with it when it has become too small.
 * Waits for the disk. Finding no room changes nothing. */
void store_log_prepare_ring(struct store *store);

/* Any thread, without locks, perhaps a moment old. */
uint64_t store_log_pending_size(struct store *store); /* bytes of the open batch */
uint64_t store_log_used_size(struct store *store);    /* bytes of the ring that recovery would read */
uint64_t store_log_ring_size(struct store *store);    /* bytes; 0: there is no ring */

#endif
