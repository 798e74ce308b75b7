/* See fault_file.h. One mutex of leaf rank guards everything here; calls to the file below are made outside it. The
 * durable image is kept in plain memory; the pending list keeps a copy of every unsynced write, oldest first. */
#include "support/fault_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/latch.h"

enum { SECTOR_SIZE = 512 };

enum pending_kind { PENDING_WRITE, PENDING_ALLOCATE, PENDING_TRUNCATE };

struct pending {
    struct pending *next;
    enum pending_kind kind;
    bool in_doubt; /* a sync that covered it failed */
    uint64_t offset;
    uint64_t size;
    uint8_t bytes[];
};

struct image {
    uint8_t *bytes;
    uint64_t size;
    uint64_t capacity;
};

struct fault_plan {
    uint64_t countdown; /* 0: none */
    int error;
    bool forever;
};

struct fault_file {
    struct os_file file; /* first member */
    struct os_file *below;
    struct base_mutex mutex;
    uint64_t counts[FAULT_CALL_COUNT];
    struct fault_plan plans[FAULT_CALL_COUNT];
    uint64_t host_size;
    uint64_t cut_countdown; /* 0: none */
    bool is_cut;
    struct image durable;
    struct pending *pending_first;
    struct pending **pending_end;
};

static struct fault_file *fault_file_of(struct os_file *file)
{
    return (struct fault_file *)file;
}

static void image_set_size(struct image *image, uint64_t size)
{
    if (size > image->capacity) {
        uint64_t capacity = image->capacity ? image->capacity : 65536;
        while (capacity < size) {
            capacity *= 2;
        }
        image->bytes = realloc(image->bytes, capacity);
        BASE_ASSERT(image->bytes);
        image->capacity = capacity;
    }
    if (size > image->size) {
        memset(image->bytes + image->size, 0, size - image->size);
    }
    image->size = size;
}

static void image_grow(struct image *image, uint64_t size)
{
    if (size > image->size) {
        image_set_size(image, size);
    }
}

static void image_write(struct image *image, const uint8_t *bytes, uint64_t size, uint64_t offset)
{
    if (size > 0) {
        image_grow(image, offset + size);
        BASE_ASSERT(image->bytes);
        memcpy(image->bytes + offset, bytes, size);
    }
}

static void image_apply(struct image *image, const struct pending *pending)
{
    switch (pending->kind) {
    case PENDING_WRITE:
        image_write(image, pending->bytes, pending->size, pending->offset);
        break;
    case PENDING_ALLOCATE:
        image_grow(image, pending->offset + pending->size);
        break;
    case PENDING_TRUNCATE:
        image_set_size(image, pending->size);
        break;
    }
}

/* Applies some of a pending call: none, all or, for one write in eight, any subset of its sectors. Of the others,
 * keep_eighths in eight are applied. */
static void image_apply_randomly(struct image *image, const struct pending *pending, uint64_t keep_eighths,
                                 struct base_random *random)
{
    bool is_torn = base_random_below(random, 8) == 0;

    if (!is_torn || pending->kind != PENDING_WRITE) {
        if (base_random_below(random, 8) < keep_eighths) {
            image_apply(image, pending);
        }
        return;
    }
    uint64_t offset = pending->offset;
    uint64_t end = pending->offset + pending->size;
    while (offset < end) {
        uint64_t sector_end = (offset / SECTOR_SIZE + 1) * SECTOR_SIZE;
        uint64_t size = (sector_end < end ? sector_end : end) - offset;
        if (base_random_below(random, 2) == 0) {
            image_write(image, pending->bytes + (offset - pending->offset), size, offset);
        }
        offset += size;
    }
}

static void pending_add(struct fault_file *fault, enum pending_kind kind, const void *bytes, uint64_t offset,
                        uint64_t size)
{
    size_t copied_size = kind == PENDING_WRITE ? size : 0;
    struct pending *pending = malloc(sizeof *pending + copied_size);

    BASE_ASSERT(pending);
    *pending = (struct pending){.kind = kind, .offset = offset, .size = size};
    if (copied_size > 0) {
        memcpy(pending->bytes, bytes, copied_size);
    }
    *fault->pending_end = pending;
    fault->pending_end = &pending->next;
}

static void pending_free(struct fault_file *fault)
{
    while (fault->pending_first) {
        struct pending *pending = fault->pending_first;
        fault->pending_first = pending->next;
        free(pending);
    }
    fault->pending_end = &fault->pending_first;
}

/* Counts a call and says what it shall answer: 0 to go on, else a negative errno. The mutex is held. */
static int fault_decide(struct fault_file *fault, enum fault_call call)
{
    struct fault_plan *plan = &fault->plans[call];

    fault->counts[call]++;
    if (fault->is_cut) {
        return -EIO;
    }
    if (call != FAULT_READ && fault->cut_countdown > 0 && --fault->cut_countdown == 0) {
        fault->is_cut = true;
        return -EIO;
    }
    if (plan->countdown == 0) {
        return 0;
    }
    if (plan->countdown > 1) {
        plan->countdown--;
        return 0;
    }
    if (!plan->forever) {
        plan->countdown = 0;
    }
    return -plan->error;
}

static int fault_begin(struct fault_file *fault, enum fault_call call)
{
    base_mutex_lock(&fault->mutex);
    int result = fault_decide(fault, call);
    base_mutex_unlock(&fault->mutex);
    return result;
}

static int fault_read(struct os_file *file, void *buffer, size_t size, uint64_t offset)
{
    struct fault_file *fault = fault_file_of(file);
    int result = fault_begin(fault, FAULT_READ);

    return result < 0 ? result : os_file_read(fault->below, buffer, size, offset);
}

static int fault_write(struct os_file *file, const void *buffer, size_t size, uint64_t offset)
{
    struct fault_file *fault = fault_file_of(file);
    size_t written_size = size;
    int result;

    base_mutex_lock(&fault->mutex);
    bool was_cut = fault->is_cut;
    result = fault_decide(fault, FAULT_WRITE);
    if (result == 0 && offset + size > fault->host_size) {
        result = -ENOSPC;
    }
    if (was_cut || result == -ENOSPC) {
        written_size = 0;
    } else if (fault->is_cut) {
        /* On its way to the disk when the power went: a crash image may hold any part of it. */
        pending_add(fault, PENDING_WRITE, buffer, offset, size);
        written_size = 0;
    } else {
        if (result < 0) {
            written_size = size / SECTOR_SIZE / 2 * SECTOR_SIZE;
        }
        if (written_size > 0) {
            pending_add(fault, PENDING_WRITE, buffer, offset, written_size);
        }
    }
    base_mutex_unlock(&fault->mutex);
    if (written_size > 0) {
        int written = os_file_write(fault->below, buffer, written_size, offset);
        return result < 0 ? result : written;
    }
    return result;
}

static int fault_sync(struct os_file *file)
{
    struct fault_file *fault = fault_file_of(file);

    base_mutex_lock(&fault->mutex);
    int result = fault_decide(fault, FAULT_SYNC);
    if (result < 0) {
        for (struct pending *pending = fault->pending_first; pending; pending = pending->next) {
            pending->in_doubt = true;
        }
    } else {
        for (const struct pending *pending = fault->pending_first; pending; pending = pending->next) {
            if (!pending->in_doubt) {
                image_apply(&fault->durable, pending);
            }
        }
        pending_free(fault);
    }
    base_mutex_unlock(&fault->mutex);
    return result < 0 ? result : os_file_sync(fault->below);
}

static int fault_start_writeback(struct os_file *file, uint64_t offset, uint64_t size)
{
    return os_file_start_writeback(fault_file_of(file)->below, offset, size);
}

static int fault_allocate(struct os_file *file, uint64_t offset, uint64_t size)
{
    struct fault_file *fault = fault_file_of(file);

    base_mutex_lock(&fault->mutex);
    int result = fault_decide(fault, FAULT_ALLOCATE);
    if (result == 0 && offset + size > fault->host_size) {
        result = -ENOSPC;
    }
    if (result == 0) {
        pending_add(fault, PENDING_ALLOCATE, NULL, offset, size);
    }
    base_mutex_unlock(&fault->mutex);
    return result < 0 ? result : os_file_allocate(fault->below, offset, size);
}

static int fault_truncate(struct os_file *file, uint64_t size)
{
    struct fault_file *fault = fault_file_of(file);

    base_mutex_lock(&fault->mutex);
    int result = fault_decide(fault, FAULT_TRUNCATE);
    if (result == 0) {
        pending_add(fault, PENDING_TRUNCATE, NULL, 0, size);
    }
    base_mutex_unlock(&fault->mutex);
    return result < 0 ? result : os_file_truncate(fault->below, size);
}

static int fault_get_size(struct os_file *file, uint64_t *ret_size)
{
    return os_file_get_size(fault_file_of(file)->below, ret_size);
}

static int fault_get_host_free(struct os_file *file, uint64_t *ret_size)
{
    struct fault_file *fault = fault_file_of(file);
    uint64_t size;
    int result;

    base_mutex_lock(&fault->mutex);
    uint64_t host_size = fault->host_size;
    base_mutex_unlock(&fault->mutex);
    if (host_size == UINT64_MAX) {
        return os_file_get_host_free(fault->below, ret_size);
    }
    result = os_file_get_size(fault->below, &size);
    if (result == 0) {
        *ret_size = size < host_size ? host_size - size : 0;
    }
    return result;
}

static int fault_drop_cache(struct os_file *file)
{
    return os_file_drop_cache(fault_file_of(file)->below);
}

static int fault_lock(struct os_file *file, enum os_file_lock which, bool shared, uint64_t timeout_ms,
                      pid_t *ret_holder)
{
    return os_file_lock(fault_file_of(file)->below, which, shared, timeout_ms, ret_holder);
}

static void fault_unlock(struct os_file *file, enum os_file_lock which)
{
    os_file_unlock(fault_file_of(file)->below, which);
}

static void fault_close(struct os_file *file)
{
    struct fault_file *fault = fault_file_of(file);

    os_file_close(fault->below);
    pending_free(fault);
    base_mutex_deinit(&fault->mutex);
    free(fault->durable.bytes);
    free(fault);
}

static const struct os_file_operations fault_operations = {
    .read = fault_read,
    .write = fault_write,
    .sync = fault_sync,
    .start_writeback = fault_start_writeback,
    .allocate = fault_allocate,
    .truncate = fault_truncate,
    .get_size = fault_get_size,
    .get_host_free = fault_get_host_free,
    .drop_cache = fault_drop_cache,
    .lock = fault_lock,
    .unlock = fault_unlock,
    .close = fault_close,
};

struct fault_file *fault_file_create(struct os_file *below)
{
    struct fault_file *fault = calloc(1, sizeof *fault);
    uint64_t size;

    BASE_ASSERT(fault);
    if (!below) {
        BASE_ASSERT(os_memory_file_create(&below) == 0);
    }
    fault->file.operations = &fault_operations;
    fault->below = below;
    fault->host_size = UINT64_MAX;
    fault->pending_end = &fault->pending_first;
    base_mutex_init(&fault->mutex, BASE_RANK_LEAF);
    BASE_ASSERT(os_file_get_size(below, &size) == 0);
    if (size > 0) {
        image_set_size(&fault->durable, size);
        BASE_ASSERT(os_file_read(below, fault->durable.bytes, size, 0) == 0);
    }
    return fault;
}

struct os_file *fault_file_seam(struct fault_file *fault)
{
    return &fault->file;
}

uint64_t fault_file_count(struct fault_file *fault, enum fault_call call)
{
    base_mutex_lock(&fault->mutex);
    uint64_t count = fault->counts[call];
    base_mutex_unlock(&fault->mutex);
    return count;
}

void fault_file_reset_counts(struct fault_file *fault)
{
    base_mutex_lock(&fault->mutex);
    memset(fault->counts, 0, sizeof fault->counts);
    base_mutex_unlock(&fault->mutex);
}

void fault_file_fail(struct fault_file *fault, enum fault_call call, uint64_t n, int error, bool forever)
{
    base_mutex_lock(&fault->mutex);
    fault->plans[call] = (struct fault_plan){.countdown = n, .error = error, .forever = forever};
    base_mutex_unlock(&fault->mutex);
}

void fault_file_set_host_size(struct fault_file *fault, uint64_t size)
{
    base_mutex_lock(&fault->mutex);
    fault->host_size = size;
    base_mutex_unlock(&fault->mutex);
}

void fault_file_cut_power(struct fault_file *fault, uint64_t n)
{
    base_mutex_lock(&fault->mutex);
    fault->cut_countdown = n;
    if (n == 0) {
        fault->is_cut = false;
    }
    base_mutex_unlock(&fault->mutex);
}

bool fault_file_is_cut(struct fault_file *fault)
{
    base_mutex_lock(&fault->mutex);
    bool is_cut = fault->is_cut;
    base_mutex_unlock(&fault->mutex);
    return is_cut;
}

struct os_file *fault_file_crash(struct fault_file *fault, struct base_random *random)
{
    struct os_file *left;
    struct image image = {0};

    uint64_t keep_eighths = random ? 1 + base_random_below(random, 7) : 0;
    base_mutex_lock(&fault->mutex);
    image_write(&image, fault->durable.bytes, fault->durable.size, 0);
    for (const struct pending *pending = fault->pending_first; random && pending; pending = pending->next) {
        image_apply_randomly(&image, pending, keep_eighths, random);
    }
    base_mutex_unlock(&fault->mutex);
    BASE_ASSERT(os_memory_file_create(&left) == 0);
    BASE_ASSERT(os_file_write(left, image.bytes, image.size, 0) == 0);
    free(image.bytes);
    return left;
}
