/* See fuzz_file.h. */
#include "fuzz_file.h"

#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define UNIT_SIZE  FUZZ_FILE_UNIT_SIZE
#define UNIT_COUNT (FUZZ_FILE_SIZE_MAX / UNIT_SIZE)

static uint8_t *bytes;
static bool is_touched[UNIT_COUNT]; /* what is not is zeros */
static uint64_t file_size;
static bool is_read_only;

void fuzz_file_touch(uint64_t offset, uint64_t size)
{
    for (uint64_t unit = offset / UNIT_SIZE; size > 0 && unit <= (offset + size - 1) / UNIT_SIZE; unit++) {
        is_touched[unit] = true;
    }
}

static int file_read(struct os_file *file, void *buffer, size_t size, uint64_t offset)
{
    (void)file;
    if (offset > file_size || size > file_size - offset) {
        return -ENODATA;
    }
    memcpy(buffer, bytes + offset, size);
    return 0;
}

static int grow(uint64_t size)
{
    FUZZ_EXPECT(!is_read_only);
    if (size > FUZZ_FILE_SIZE_MAX) {
        return -ENOSPC;
    }
    if (size > file_size) {
        file_size = size;
    }
    return 0;
}

static int file_write(struct os_file *file, const void *buffer, size_t size, uint64_t offset)
{
    (void)file;
    if (offset > UINT64_MAX - size) {
        return -EFBIG;
    }
    int result = grow(offset + size);
    if (result == 0) {
        memcpy(bytes + offset, buffer, size);
        fuzz_file_touch(offset, size);
    }
    return result;
}

static int file_sync(struct os_file *file)
{
    (void)file;
    return 0;
}

static int file_start_writeback(struct os_file *file, uint64_t offset, uint64_t size)
{
    (void)file, (void)offset, (void)size;
    return 0;
}

static int file_allocate(struct os_file *file, uint64_t offset, uint64_t size)
{
    (void)file;
    return offset > UINT64_MAX - size ? -EFBIG : grow(offset + size);
}

static int file_truncate(struct os_file *file, uint64_t size)
{
    (void)file;
    FUZZ_EXPECT(!is_read_only);
    for (uint64_t unit = size / UNIT_SIZE; unit < UNIT_COUNT; unit++) {
        uint64_t begin = unit * UNIT_SIZE > size ? unit * UNIT_SIZE : size;
        if (is_touched[unit]) {
            memset(bytes + begin, 0, (unit + 1) * UNIT_SIZE - begin);
        }
    }
    if (size > FUZZ_FILE_SIZE_MAX) {
        return -ENOSPC;
    }
    file_size = size;
    return 0;
}

static int file_get_size(struct os_file *file, uint64_t *ret_size)
{
    (void)file;
    *ret_size = file_size;
    return 0;
}

static int file_get_host_free(struct os_file *file, uint64_t *ret_size)
{
    (void)file;
    *ret_size = FUZZ_FILE_SIZE_MAX - file_size;
    return 0;
}

static int file_drop_cache(struct os_file *file)
{
    (void)file;
    return 0;
}

static int file_lock(struct os_file *file, enum os_file_lock which, bool shared, uint64_t timeout_ms, pid_t *ret_holder)
{
    (void)file, (void)which, (void)shared, (void)timeout_ms, (void)ret_holder;
    return 0;
}

static void file_unlock(struct os_file *file, enum os_file_lock which)
{
    (void)file, (void)which;
}

static void file_close(struct os_file *file)
{
    (void)file;
}

static const struct os_file_operations operations = {
    .read = file_read,
    .write = file_write,
    .sync = file_sync,
    .start_writeback = file_start_writeback,
    .allocate = file_allocate,
    .truncate = file_truncate,
    .get_size = file_get_size,
    .get_host_free = file_get_host_free,
    .drop_cache = file_drop_cache,
    .lock = file_lock,
    .unlock = file_unlock,
    .close = file_close,
};

struct os_file *fuzz_file_open(void)
{
    static struct os_file file = {&operations};

    return &file;
}

struct os_file *fuzz_file_reset(void)
{
    if (!bytes) {
        bytes =
            mmap(NULL, FUZZ_FILE_SIZE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        FUZZ_EXPECT(bytes != MAP_FAILED);
    }
    for (uint32_t unit = 0; unit < UNIT_COUNT; unit++) {
        if (is_touched[unit]) {
            memset(bytes + (size_t)unit * UNIT_SIZE, 0, UNIT_SIZE);
            is_touched[unit] = false;
        }
    }
    file_size = 0;
    is_read_only = false;
    return fuzz_file_open();
}

struct fuzz_file_copy {
    uint64_t size;
    uint8_t *units[UNIT_COUNT]; /* NULL: zeros */
};

struct fuzz_file_copy *fuzz_file_keep(void)
{
    struct fuzz_file_copy *copy = calloc(1, sizeof *copy);

    FUZZ_EXPECT(copy);
    copy->size = file_size;
    for (uint32_t unit = 0; unit < UNIT_COUNT; unit++) {
        if (is_touched[unit]) {
            copy->units[unit] = malloc(UNIT_SIZE);
            FUZZ_EXPECT(copy->units[unit]);
            memcpy(copy->units[unit], bytes + (size_t)unit * UNIT_SIZE, UNIT_SIZE);
        }
    }
    return copy;
}

struct os_file *fuzz_file_restore(const struct fuzz_file_copy *copy)
{
    struct os_file *file = fuzz_file_reset();

    for (uint32_t unit = 0; unit < UNIT_COUNT; unit++) {
        if (copy->units[unit]) {
            memcpy(bytes + (size_t)unit * UNIT_SIZE, copy->units[unit], UNIT_SIZE);
            is_touched[unit] = true;
        }
    }
    file_size = copy->size;
    return file;
}

void fuzz_file_set_read_only(bool read_only)
{
    is_read_only = read_only;
}

uint8_t *fuzz_file_bytes(void)
{
    return bytes;
}

bool fuzz_file_is_touched(uint64_t offset)
{
    return is_touched[offset / UNIT_SIZE];
}

void fuzz_file_set_size(uint64_t size)
{
    FUZZ_EXPECT(size <= FUZZ_FILE_SIZE_MAX);
    file_size = size;
}

uint64_t fuzz_file_get_size(void)
{
    return file_size;
}
