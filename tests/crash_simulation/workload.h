/* Short workloads: up to 3 operations out of a fixed list, over the small tree of place.h. */
#ifndef BEEFTREE_TESTS_CRASH_WORKLOAD_H
#define BEEFTREE_TESTS_CRASH_WORKLOAD_H

#include "session.h"

enum { WORKLOAD_OPERATION_COUNT = 56, WORKLOAD_LENGTH_MAX = 3 };

struct workload {
    uint64_t number; /* what a replay names: base OPERATION_COUNT + 1, no digit is 0, first operation highest */
    unsigned length;
    unsigned chosen[WORKLOAD_LENGTH_MAX];
};

struct workload workload_of(uint64_t number);

/* Opens, does it, syncs and unmounts; *ret_first is the first event of its last operation. False when something was
 * answered wrongly, or when the tree then is not the model's. Faults end with the sync. */
bool workload_perform(struct session *session, const struct workload *workload, size_t *ret_first,
                      struct base_reason *ret_reason);

#endif
