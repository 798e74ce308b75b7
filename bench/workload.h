/* What the workloads share: timing, reporting, failing. */
#ifndef BEEFTREE_BENCH_WORKLOAD_H
#define BEEFTREE_BENCH_WORKLOAD_H

#include <stdint.h>

struct workload_options {
    const char *directory; /* where to work: it exists */
    uint64_t count;        /* of files, calls or steps, as the workload says */
    uint64_t size;         /* of the file, in bytes */
    uint64_t seed;
};

/* Prints a line with the system call, the path and errno, and ends the process with status 1. */
_Noreturn void workload_fail(const char *what, const char *path);

/* Monotonic, in seconds. */
double workload_now(void);

/* Prints one JSON line: what was done how often in the seconds since start. bytes may be 0. */
void workload_report(const char *name, uint64_t operations, uint64_t bytes, double start);

/* A whole tree, as tar makes and rm removes it. */
void workload_unpack(const struct workload_options *options);
void workload_find(const struct workload_options *options);
void workload_remove(const struct workload_options *options);

#endif
