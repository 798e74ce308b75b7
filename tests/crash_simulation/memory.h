/* Memory that runs out: malloc, calloc, realloc, aligned_alloc and mmap of the program go through this file's source
 * (linker option --wrap), which makes the n-th call fail while it is armed. */
#ifndef BEEFTREE_TESTS_CRASH_MEMORY_H
#define BEEFTREE_TESTS_CRASH_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* The countdown-th allocation while armed fails (1: the next); 0: none. hits is raised then. */
void memory_fail(uint64_t countdown, uint64_t *hits);
void memory_arm(void);
void memory_disarm(void);

#endif
