/* A file in memory for the tests of the layers above: no locks against others, no faults, no loss. One mutex guards
 * bytes, size and capacity; bytes from size up to capacity are always zeros, so growing needs no clearing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/latch.h"
#include "os/file.h"

enum { CAPACITY_MIN = 64 * 1024 };

struct memory_file {
    struct os_file file; /* first member */
    struct base_mutex mutex;
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

static struct memory_file *memory_file_of(struct os_file *file)
{
    return (struct memory_file *)file;
}

/* Makes the file at least `size` bytes long. The mutex is held. */
static int memory_grow(struct memory_file *memory, uint64_t size)
{
    if (size > SIZE_MAX / 2) {
        return -EFBIG;
    }
    if (size > memory->capacity) {
        size_t capacity = memory->capacity < CAPACITY_MIN ? CAPACITY_MIN : memory->capacity;
        while (capacity < size) {
            capacity *= 2;
        }
        uint8_t *bytes = realloc(memory->bytes, capacity);
        if (!bytes) {
            return -ENOMEM;
        }
        memset(bytes + memory->capacity, 0, capacity - memory->capacity);
        memory->bytes = bytes;
        memory->capacity = capacity;
    }
    if (size > memory->size) {
        memory->size = size;
    }
    return 0;
}

static int memory_read(struct os_file *file, void *buffer, size_t size, uint64_t offset)
{
    struct memory_file *memory = memory_file_of(file);
    int result = 0;

    base_mutex_lock(&memory->mutex);
    if (offset > memory->size || size > memory->size - offset) {
        result = -ENODATA;
    } else if (size > 0) {
        memcpy(buffer, memory->bytes + offset, size);
    }
    base_mutex_unlock(&memory->mutex);
    return result;
}

static int memory_write(struct os_file *file, const void *buffer, size_t size, uint64_t offset)
{
    struct memory_file *memory = memory_file_of(file);
    int result = 0;

    if (size == 0) {
        return 0;
    }
    if (offset > UINT64_MAX - size) {
        return -EFBIG;
    }
    base_mutex_lock(&memory->mutex);
    result = memory_grow(memory, offset + size);
    if (result == 0) {
        memcpy(memory->bytes + offset, buffer, size);
    }
    base_mutex_unlock(&memory->mutex);
    return result;
}

static int memory_sync(struct os_file *file)
{
    (void)file;
    return 0;
}

static int memory_start_writeback(struct os_file *file, uint64_t offset, uint64_t size)
{
    (void)file, (void)offset, (void)size;
    return 0;
}

static int memory_allocate(struct os_file *file, uint64_t offset, uint64_t size)
{
    struct memory_file *memory = memory_file_of(file);
    int result;

    if (offset > UINT64_MAX - size) {
        return -EFBIG;
    }
    base_mutex_lock(&memory->mutex);
    result = memory_grow(memory, offset + size);
    base_mutex_unlock(&memory->mutex);
    return result;
}

static int memory_truncate(struct os_file *file, uint64_t size)
{
    struct memory_file *memory = memory_file_of(file);
    int result = 0;

    base_mutex_lock(&memory->mutex);
    if (size > memory->size) {
        result = memory_grow(memory, size);
    } else if (size < memory->size) {
        memset(memory->bytes + size, 0, memory->size - size);
        memory->size = size;
    }
    base_mutex_unlock(&memory->mutex);
    return result;
}

static int memory_get_size(struct os_file *file, uint64_t *ret_size)
{
    struct memory_file *memory = memory_file_of(file);

    base_mutex_lock(&memory->mutex);
    *ret_size = memory->size;
    base_mutex_unlock(&memory->mutex);
    return 0;
}

static int memory_get_host_free(struct os_file *file, uint64_t *ret_size)
{
    (void)file;
    *ret_size = (uint64_t)1 << 40;
    return 0;
}

static int memory_drop_cache(struct os_file *file)
{
    (void)file;
    return 0;
}

static int memory_lock(struct os_file *file, enum os_file_lock which, bool shared, uint64_t timeout_ms,
                       pid_t *ret_holder)
{
    (void)file, (void)which, (void)shared, (void)timeout_ms, (void)ret_holder;
    return 0;
}

static void memory_unlock(struct os_file *file, enum os_file_lock which)
{
    (void)file, (void)which;
}

static void memory_close(struct os_file *file)
{
    struct memory_file *memory = memory_file_of(file);

    base_mutex_deinit(&memory->mutex);
    free(memory->bytes);
    free(memory);
}

static const struct os_file_operations memory_operations = {
    .read = memory_read,
    .write = memory_write,
    .sync = memory_sync,
    .start_writeback = memory_start_writeback,
    .allocate = memory_allocate,
    .truncate = memory_truncate,
    .get_size = memory_get_size,
    .get_host_free = memory_get_host_free,
    .drop_cache = memory_drop_cache,
    .lock = memory_lock,
    .unlock = memory_unlock,
    .close = memory_close,
};

int os_memory_file_create(struct os_file **ret_file)
{
    struct memory_file *memory = calloc(1, sizeof *memory);

    if (!memory) {
        return -ENOMEM;
    }
    memory->file.operations = &memory_operations;
    base_mutex_init(&memory->mutex, BASE_RANK_LEAF);
    *ret_file = &memory->file;
    return 0;
}
