/* See memory.h. */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static uint64_t countdown;
static uint64_t *hits;
static bool is_armed;

void memory_fail(uint64_t n, uint64_t *ret_hits)
{
    countdown = n;
    hits = ret_hits;
}

void memory_arm(void)
{
    is_armed = true;
}

void memory_disarm(void)
{
    is_armed = false;
}

static bool fails(void)
{
    if (!is_armed || countdown == 0 || --countdown > 0) {
        return false;
    }
    ++*hits;
    errno = ENOMEM;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap64(void *address, size_t size, int protection, int flags, int descriptor, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int descriptor, off_t offset);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int descriptor, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap64(address, size, protection, flags, descriptor, offset);
}
