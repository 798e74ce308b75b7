/* See workload.h. */
#include "workload.h"
#include "threads.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>

static const struct operation operations[] = {
    {OPERATION_MAKE, "n", NULL, 0, 0, S_IFREG | 0644},
    {OPERATION_MAKE, "d/n", NULL, 0, 0, S_IFREG | 0600},
    {OPERATION_MAKE, "m", NULL, 0, 0, S_IFDIR | 0755},
    {OPERATION_MAKE, "d/m", NULL, 0, 0, S_IFDIR | 0700},
    {OPERATION_MAKE, "y", "a target", 0, 0, S_IFLNK | 0777},
    {OPERATION_MAKE, "p", NULL, 0, 0, S_IFIFO | 0600},
    {OPERATION_WRITE, "n", NULL, 0, 200, 0},
    {OPERATION_WRITE, "n", NULL, 0, 4096, 0},
    {OPERATION_WRITE, "d/f", NULL, 20, 50, 0},   /* overwrites inline bytes */
    {OPERATION_APPEND, "d/f", NULL, 0, 60, 0},   /* stays inline */
    {OPERATION_APPEND, "s", NULL, 0, 100, 0},    /* across the inline limit */
    {OPERATION_WRITE, "g", NULL, 4096, 4096, 0}, /* a whole block */
    {OPERATION_WRITE, "g", NULL, 5000, 100, 0},  /* within a block */
    {OPERATION_APPEND, "g", NULL, 0, 5000, 0},
    {OPERATION_WRITE, "g", NULL, 40000, 10, 0},   /* beyond the end */
    {OPERATION_WRITE, "h", NULL, 130972, 200, 0}, /* across two chunks */
    {OPERATION_TRUNCATE, "g", NULL, 0, 5000, 0},
    {OPERATION_TRUNCATE, "g", NULL, 0, 0, 0},
    {OPERATION_TRUNCATE, "g", NULL, 0, 20000, 0},
    {OPERATION_TRUNCATE, "d/f", NULL, 0, 30, 0},
    {OPERATION_TRUNCATE, "d/f", NULL, 0, 200, 0},
    {OPERATION_TRUNCATE, "s", NULL, 0, 4000, 0},
    {OPERATION_TRUNCATE, "h", NULL, 0, 4097, 0},
    {OPERATION_RENAME, "g", "g2", 0, 0, 0},
    {OPERATION_RENAME, "g", "d/f", 0, 0, 0},
    {OPERATION_RENAME, "d/f", "n", 0, 0, 0},
    {OPERATION_RENAME, "e", "d/m", 0, 0, 0},
    {OPERATION_RENAME, "d", "e", 0, 0, 0},
    {OPERATION_RENAME, "g", "d/f", 0, 0, RENAME_EXCHANGE},
    {OPERATION_RENAME, "d", "e", 0, 0, RENAME_EXCHANGE},
    {OPERATION_LINK, "g", "d/g3", 0, 0, 0},
    {OPERATION_LINK, "d/f", "f2", 0, 0, 0},
    {OPERATION_UNLINK, "n", NULL, 0, 0, 0},
    {OPERATION_UNLINK, "d/f", NULL, 0, 0, 0},
    {OPERATION_UNLINK, "g", NULL, 0, 0, 0},
    {OPERATION_UNLINK, "h", NULL, 0, 0, 0},
    {OPERATION_UNLINK, "l", NULL, 0, 0, 0},
    {OPERATION_RMDIR, "e", NULL, 0, 0, 0},
    {OPERATION_RMDIR, "m", NULL, 0, 0, 0},
    {OPERATION_SET_MODE, "g", NULL, 0, 0, 0751},
    {OPERATION_SET_OWNER, "h", NULL, 0, 0, 77},
    {OPERATION_SET_TIMES, "d/f", NULL, 0, 0, 1234},
    {OPERATION_ALLOCATE, "g", NULL, 4096, 20000, 0},
    {OPERATION_ALLOCATE, "g", NULL, 8192, 30000, FALLOC_FL_KEEP_SIZE},
    {OPERATION_ALLOCATE, "g", NULL, 100, 8100, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
    {OPERATION_ALLOCATE, "g", NULL, 4000, 9000, FALLOC_FL_ZERO_RANGE},
    {OPERATION_ALLOCATE, "d/f", NULL, 10, 50, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
    {OPERATION_COPY, "h", "g", 0, 131072, 0}, /* shares blocks */
    {OPERATION_COPY, "h", "g", 65536, 70000, 0},
    {OPERATION_COPY, "g", "s", 0, 20000, 0},
    {OPERATION_SET_XATTR, "g", "user.a", 0, 30, 0},
    {OPERATION_SET_XATTR, "g", "user.a", 0, 2000, 0}, /* several pieces */
    {OPERATION_SET_XATTR, "g", "trusted.b", 0, 0, FS_XATTR_CREATE},
    {OPERATION_SET_XATTR, "d", "security.c", 0, 700, 0},
    {OPERATION_REMOVE_XATTR, "g", "user.a", 0, 0, 0},
    {OPERATION_SYNC, NULL, NULL, 0, 0, 0},
};

_Static_assert(sizeof operations / sizeof operations[0] == WORKLOAD_OPERATION_COUNT, "the list and its count");

struct workload workload_of(uint64_t number)
{
    struct workload workload = {.number = number};
    unsigned digits[WORKLOAD_LENGTH_MAX];

    for (; number > 0 && workload.length < WORKLOAD_LENGTH_MAX; number /= WORKLOAD_OPERATION_COUNT + 1) {
        digits[workload.length++] = (unsigned)(number % (WORKLOAD_OPERATION_COUNT + 1));
    }
    for (unsigned i = 0; i < workload.length; i++) {
        workload.chosen[i] = digits[workload.length - 1 - i] - 1;
    }
    return workload;
}

bool workload_perform(struct session *session, const struct workload *workload, size_t *ret_first,
                      struct base_reason *ret_reason)
{
    static const struct operation sync = {.kind = OPERATION_SYNC};
    struct base_reason ignored;

    simulation_reset_environment(2);
    *ret_first = 0;
    if (session_open(session, ret_reason)) {
        return session->disk.faults_hit > 0;
    }
    for (unsigned i = 0; i < workload->length; i++) {
        if (i > 0) {
            *ret_first = session->disk.record.event_count;
        }
        if (session_perform(session, 0, &operations[workload->chosen[i]], ret_reason) == OUTCOME_WRONG) {
            (void)session_close(session, &ignored);
            return false;
        }
    }
    if (session_perform(session, 0, &sync, ret_reason) == OUTCOME_WRONG) {
        (void)session_close(session, &ignored);
        return false;
    }
    session_heal(session);
    if (!session_looks_right(session, ret_reason)) {
        (void)session_close(session, &ignored);
        return false;
    }
    return session_close(session, ret_reason);
}
