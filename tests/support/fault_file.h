/* A file for tests that counts calls, fails the n-th of them, and keeps what a power cut would leave.
 *
 * It stands in front of another os_file (usually one in memory). Beside it, it keeps an image of what was durable at
 * the last successful sync, and the list of writes, allocations and truncations since then. fault_file_crash makes a
 * new file in memory from that image, with nothing else or with a random subset of the list applied, writes torn at
 * 512 bytes, later ones possibly without earlier ones. */
#ifndef BEEFTREE_TESTS_SUPPORT_FAULT_FILE_H
#define BEEFTREE_TESTS_SUPPORT_FAULT_FILE_H

#include <stdint.h>

#include "base/random.h"
#include "os/file.h"

enum fault_call {
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_ALLOCATE,
    FAULT_TRUNCATE,
    FAULT_CALL_COUNT,
};

struct fault_file;

/* Takes `below` over (closed with this file), or makes an empty file in memory when it is NULL. What `below` holds
 * counts as durable. Aborts the test when memory is short. */
struct fault_file *fault_file_create(struct os_file *below);

/* The seam to hand to the code under test. os_file_close on it ends the fault file too. */
struct os_file *fault_file_seam(struct fault_file *fault);

/* Calls of a kind since creation or the last fault_file_reset_counts; failed ones count. */
uint64_t fault_file_count(struct fault_file *fault, enum fault_call call);
void fault_file_reset_counts(struct fault_file *fault);

/* From now, the n-th call of that kind (1 = the next) answers -error (a positive errno); with `forever`, so do all
 * later ones. n = 0 ends it. A failed write may have written a part (the first half of its sectors). After a failed
 * sync, what was unsynced may or may not be in a random crash image; the next sync that succeeds does not make it
 * durable but loses it for good, as hosts do (while reads still show it). */
void fault_file_fail(struct fault_file *fault, enum fault_call call, uint64_t n, int error, bool forever);

/* Makes the host full at that size: writes and allocations beyond it answer -ENOSPC. UINT64_MAX (the start) = never. */
void fault_file_set_host_size(struct fault_file *fault, uint64_t size);

/* The n-th write, sync, allocation or truncation from now (any of them) finds the power gone: it and every call after
 * it answer -EIO and change nothing, but that n-th call, if a write, may be in a random crash image in part. n = 0 ends
 * it. */
void fault_file_cut_power(struct fault_file *fault, uint64_t n);
bool fault_file_is_cut(struct fault_file *fault);

/* What a power cut now leaves, as a new file in memory that the caller closes. With random == NULL exactly the last
 * synced image; else with a random subset of the unsynced calls. */
struct os_file *fault_file_crash(struct fault_file *fault, struct base_random *random);

#endif
