/* A failing disk beneath a real daemon: loaded with LD_PRELOAD, it makes calls on one file fail, as the test says
 * through a small file that both map.
 *
 *      DISK_ERRORS_FILE      absolute path of the database
 *      DISK_ERRORS_CONTROL   the control file: struct control, at least CONTROL_SIZE bytes
 *
 * Counted is every call of the kind that is armed, from the arming on, whatever thread makes it; the n-th fails, or
 * all from the n-th on. A transfer may be told to move half of its bytes first, as a disk does that fills up in the
 * middle of a write. Calls on other files pass, and everything passes while nothing is armed.
 *
 * _FILE_OFFSET_BITS is 64 here as in the programs, so the names below are pread64 and so on for the linker. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CONTROL_SIZE 4096

enum call { CALL_NONE, CALL_READ, CALL_WRITE, CALL_SYNC, CALL_ALLOCATE, CALL_TRUNCATE, CALL_WRITEBACK, CALL_COUNT };

/* Laid out as disk_errors.py writes it. The test arms by writing `armed` last. */
struct control {
    _Atomic uint64_t armed; /* enum call; CALL_NONE: nothing fails */
    uint64_t error;         /* errno */
    uint64_t nth;           /* from 1 */
    uint64_t is_lasting;    /* 1: from the n-th on */
    uint64_t is_short;      /* 1: half of the bytes first */
    uint64_t from, to;      /* bytes of the file: only transfers that touch them count; to 0: all */
    _Atomic uint64_t seen;  /* calls counted since the arming */
    _Atomic uint64_t failed;
    _Atomic uint64_t counts[CALL_COUNT]; /* of all calls on the file */
    _Atomic uint64_t failed_zeros;       /* writes among the failed ones that held only zeros */
};

_Static_assert(sizeof(struct control) <= CONTROL_SIZE, "the control file is one page");

static struct control *control;
static const char *database;

__attribute__((constructor)) static void find_control(void)
{
    const char *path = getenv("DISK_ERRORS_CONTROL");

    database = getenv("DISK_ERRORS_FILE");
    if (!path || !database) {
        return;
    }
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    void *map =
        descriptor < 0 ? MAP_FAILED : mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (map == MAP_FAILED) {
        (void)fprintf(stderr, "disk_errors: %s: %s\n", path, strerror(errno));
        _exit(99);
    }
    (void)close(descriptor);
    control = map;
}

static bool is_database(int descriptor)
{
    char link[64];
    char path[PATH_MAX];

    if (!control) {
        return false;
    }
    int saved_errno = errno;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved_errno;
    if (length < 0) {
        return false;
    }
    path[length] = '\0';
    return strcmp(path, database) == 0;
}

/* Whether this call fails; errno is set then. */
static bool fails(int descriptor, enum call call, uint64_t offset, uint64_t size)
{
    if (!is_database(descriptor)) {
        return false;
    }
    atomic_fetch_add(&control->counts[call], 1);
    if (atomic_load(&control->armed) != (uint64_t)call) {
        return false;
    }
    if (control->to != 0 && (offset >= control->to || offset + size <= control->from)) {
        return false;
    }
    uint64_t seen = atomic_fetch_add(&control->seen, 1) + 1;
    if (seen != control->nth && !(control->is_lasting && seen > control->nth)) {
        return false;
    }
    atomic_fetch_add(&control->failed, 1);
    errno = (int)control->error;
    return true;
}

/* The next definition of a name: the C library's. */
static void *next_of(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function) {
        (void)fprintf(stderr, "disk_errors: no %s to call\n", name);
        abort();
    }
    return function;
}

#define NEXT(name, type)                                                                                               \
    static _Atomic(type) next;                                                                                         \
    type call_next = atomic_load(&next);                                                                               \
    if (!call_next) {                                                                                                  \
        void *found = next_of(name);                                                                                   \
        memcpy(&call_next, &found, sizeof call_next);                                                                  \
        atomic_store(&next, call_next);                                                                                \
    }

typedef ssize_t (*read_function)(int, void *, size_t, off_t);
typedef ssize_t (*write_function)(int, const void *, size_t, off_t);
typedef int (*sync_function)(int);
typedef int (*allocate_function)(int, int, off_t, off_t);
typedef int (*truncate_function)(int, off_t);
typedef int (*writeback_function)(int, off_t, off_t, unsigned);

ssize_t pread(int descriptor, void *buffer, size_t size, off_t offset)
{
    NEXT("pread64", read_function)
    if (fails(descriptor, CALL_READ, (uint64_t)offset, size)) {
        return -1;
    }
    return call_next(descriptor, buffer, size, offset);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

ssize_t pwrite(int descriptor, const void *buffer, size_t size, off_t offset)
{
    NEXT("pwrite64", write_function)
    if (fails(descriptor, CALL_WRITE, (uint64_t)offset, size)) {
        int error = errno;
        atomic_fetch_add(&control->failed_zeros, is_zero(buffer, size));
        if (control->is_short && size > 1) {
            (void)!call_next(descriptor, buffer, size / 2, offset);
        }
        errno = error;
        return -1;
    }
    return call_next(descriptor, buffer, size, offset);
}

int fdatasync(int descriptor)
{
    NEXT("fdatasync", sync_function)
    return fails(descriptor, CALL_SYNC, 0, UINT64_MAX) ? -1 : call_next(descriptor);
}

int fsync(int descriptor)
{
    NEXT("fsync", sync_function)
    return fails(descriptor, CALL_SYNC, 0, UINT64_MAX) ? -1 : call_next(descriptor);
}

int fallocate(int descriptor, int mode, off_t offset, off_t size)
{
    NEXT("fallocate64", allocate_function)
    if (fails(descriptor, CALL_ALLOCATE, (uint64_t)offset, (uint64_t)size)) {
        return -1;
    }
    return call_next(descriptor, mode, offset, size);
}

int ftruncate(int descriptor, off_t size)
{
    NEXT("ftruncate64", truncate_function)
    return fails(descriptor, CALL_TRUNCATE, (uint64_t)size, 1) ? -1 : call_next(descriptor, size);
}

int sync_file_range(int descriptor, off_t offset, off_t size, unsigned flags)
{
    NEXT("sync_file_range", writeback_function)
    if (fails(descriptor, CALL_WRITEBACK, (uint64_t)offset, (uint64_t)size)) {
        return -1;
    }
    return call_next(descriptor, offset, size, flags);
}
