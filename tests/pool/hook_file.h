/* A file that calls the test before each read and write: for what happens while a page is on its way. */
#ifndef BEEFTREE_TESTS_POOL_HOOK_FILE_H
#define BEEFTREE_TESTS_POOL_HOOK_FILE_H

#include <stdatomic.h>

#include "os/file.h"

struct hook_file {
    struct os_file file; /* first member */
    struct os_file_operations operations;
    struct os_file *below;
    /* Called once, then cleared; NULL: nothing to call. */
    void (*_Atomic before_read)(void *context);
    void (*_Atomic before_write)(void *context);
    void *context;
};

static inline int hook_file_read(struct os_file *file, void *buffer, size_t size, uint64_t offset)
{
    struct hook_file *hook = (struct hook_file *)file;
    void (*call)(void *context) = atomic_exchange(&hook->before_read, NULL);

    if (call) {
        call(hook->context);
    }
    return os_file_read(hook->below, buffer, size, offset);
}

static inline int hook_file_write(struct os_file *file, const void *buffer, size_t size, uint64_t offset)
{
    struct hook_file *hook = (struct hook_file *)file;
    void (*call)(void *context) = atomic_exchange(&hook->before_write, NULL);

    if (call) {
        call(hook->context);
    }
    return os_file_write(hook->below, buffer, size, offset);
}

static inline int hook_file_sync(struct os_file *file)
{
    return os_file_sync(((struct hook_file *)file)->below);
}

static inline int hook_file_start_writeback(struct os_file *file, uint64_t offset, uint64_t size)
{
    return os_file_start_writeback(((struct hook_file *)file)->below, offset, size);
}

static inline int hook_file_allocate(struct os_file *file, uint64_t offset, uint64_t size)
{
    return os_file_allocate(((struct hook_file *)file)->below, offset, size);
}

static inline int hook_file_get_size(struct os_file *file, uint64_t *ret_size)
{
    return os_file_get_size(((struct hook_file *)file)->below, ret_size);
}

static inline int hook_file_get_host_free(struct os_file *file, uint64_t *ret_size)
{
    return os_file_get_host_free(((struct hook_file *)file)->below, ret_size);
}

static inline int hook_file_drop_cache(struct os_file *file)
{
    return os_file_drop_cache(((struct hook_file *)file)->below);
}

static inline void hook_file_init(struct hook_file *hook, struct os_file *below, void *context)
{
    *hook = (struct hook_file){.below = below, .context = context};
    hook->operations = (struct os_file_operations){
        .read = hook_file_read,
        .write = hook_file_write,
        .sync = hook_file_sync,
        .start_writeback = hook_file_start_writeback,
        .allocate = hook_file_allocate,
        .get_size = hook_file_get_size,
        .get_host_free = hook_file_get_host_free,
        .drop_cache = hook_file_drop_cache,
    };
    hook->file.operations = &hook->operations;
}

#endif
