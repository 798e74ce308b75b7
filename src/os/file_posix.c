/* The real form of the database file: one descriptor on a regular file or a block device.
 *
 * The two locks are POSIX record locks on one byte each near 2^62, far beyond any data, so they never meet the bytes of
 * the database. They belong to the process: closing *any* descriptor of the same file lets them go, so a process opens
 * a database once. They are not inherited by fork. A failed write or sync is reported as it is, never retried: only
 * EINTR, which says that nothing happened, leads to another call. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/latch.h"
#include "os/file.h"

#define LOCK_OFFSET ((off_t)1 << 62)

enum {
    LOCK_POLL_MS = 10, /* fcntl has no wait with a timeout */
    ZEROS_SIZE = 128 * 1024,
};

struct posix_file {
    struct os_file file; /* first member */
    int descriptor;
    bool is_device;
    struct base_mutex grow_mutex; /* one zero-writing growth at a time */
};

static struct posix_file *posix_file_of(struct os_file *file)
{
    return (struct posix_file *)file;
}

/* Whether [offset, offset + size) can be said in an off_t. */
static bool range_is_valid(uint64_t offset, uint64_t size)
{
    return offset <= INT64_MAX && size <= INT64_MAX - offset;
}

static int posix_read(struct os_file *file, void *buffer, size_t size, uint64_t offset)
{
    int descriptor = posix_file_of(file)->descriptor;
    uint8_t *to = buffer;

    if (!range_is_valid(offset, size)) {
        return -EINVAL;
    }
    while (size > 0) {
        ssize_t received = pread(descriptor, to, size, (off_t)offset);
        if (received < 0 && errno == EINTR) {
            continue;
        }
        if (received < 0) {
            return -errno;
        }
        if (received == 0) {
            return -ENODATA;
        }
        to += received;
        size -= (size_t)received;
        offset += (uint64_t)received;
    }
    return 0;
}

static int posix_write(struct os_file *file, const void *buffer, size_t size, uint64_t offset)
{
    int descriptor = posix_file_of(file)->descriptor;
    const uint8_t *from = buffer;

    if (!range_is_valid(offset, size)) {
        return -EFBIG;
    }
    while (size > 0) {
        ssize_t written = pwrite(descriptor, from, size, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return -errno;
        }
        if (written == 0) {
            return -EIO;
        }
        from += written;
        size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

static int posix_sync(struct os_file *file)
{
    int result;

    do {
        result = fdatasync(posix_file_of(file)->descriptor);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static int posix_start_writeback(struct os_file *file, uint64_t offset, uint64_t size)
{
    if (!range_is_valid(offset, size)) {
        return -EINVAL;
    }
    if (size == 0) {
        return 0; /* which the call would take for "up to the end" */
    }
    if (sync_file_range(posix_file_of(file)->descriptor, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE) == 0) {
        return 0;
    }
    /* Only a hint: a host that does not know it writes at the next sync. */
    return errno == EINTR || errno == ENOSYS || errno == ESPIPE || errno == EOPNOTSUPP ? 0 : -errno;
}

static int posix_get_size(struct os_file *file, uint64_t *ret_size)
{
    struct posix_file *posix = posix_file_of(file);
    struct stat status;

    if (posix->is_device) {
        uint64_t device_size;
        if (ioctl(posix->descriptor, BLKGETSIZE64, &device_size) < 0) {
            return -errno;
        }
        *ret_size = device_size;
        return 0;
    }
    if (fstat(posix->descriptor, &status) < 0) {
        return -errno;
    }
    *ret_size = (uint64_t)status.st_size;
    return 0;
}

/* Writes zeros from the end of the file up to `end`, for hosts without fallocate. A growth that fails is undone, so
 * that a full host gets back what it could not use. */
static int posix_grow_with_zeros(struct posix_file *posix, uint64_t end)
{
    uint8_t *zeros = calloc(1, ZEROS_SIZE);
    uint64_t old_size = 0;
    int result;

    if (!zeros) {
        return -ENOMEM;
    }
    base_mutex_lock(&posix->grow_mutex);
    result = posix_get_size(&posix->file, &old_size);
    for (uint64_t offset = old_size; result == 0 && offset < end; offset += ZEROS_SIZE) {
        size_t size = end - offset < ZEROS_SIZE ? (size_t)(end - offset) : ZEROS_SIZE;
        result = posix_write(&posix->file, zeros, size, offset);
    }
    if (result < 0 && old_size < end) {
        /* The failure to report is the first one; a tail that stays is only space. */
        int undone = ftruncate(posix->descriptor, (off_t)old_size);
        (void)undone;
    }
    base_mutex_unlock(&posix->grow_mutex);
    free(zeros);
    return result;
}

static int posix_allocate(struct os_file *file, uint64_t offset, uint64_t size)
{
    struct posix_file *posix = posix_file_of(file);
    int result;

    if (!range_is_valid(offset, size)) {
        return -EFBIG;
    }
    if (size == 0) {
        return 0;
    }
    if (posix->is_device) {
        uint64_t device_size = 0;
        result = posix_get_size(file, &device_size);
        return result < 0 ? result : offset + size <= device_size ? 0 : -ENOSPC;
    }
    do {
        result = fallocate(posix->descriptor, 0, (off_t)offset, (off_t)size);
    } while (result < 0 && errno == EINTR);
    if (result == 0) {
        return 0;
    }
    if (errno == EOPNOTSUPP || errno == ENOSYS) {
        return posix_grow_with_zeros(posix, offset + size);
    }
    return -errno;
}

static int posix_truncate(struct os_file *file, uint64_t size)
{
    struct posix_file *posix = posix_file_of(file);
    int result;

    if (!range_is_valid(size, 0)) {
        return -EFBIG;
    }
    if (posix->is_device) {
        return 0; /* a device keeps its size */
    }
    do {
        result = ftruncate(posix->descriptor, (off_t)size);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static int posix_get_host_free(struct os_file *file, uint64_t *ret_size)
{
    struct posix_file *posix = posix_file_of(file);
    struct statvfs host;

    if (posix->is_device) {
        *ret_size = 0;
        return 0;
    }
    while (fstatvfs(posix->descriptor, &host) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    *ret_size = (uint64_t)host.f_bavail * (uint64_t)host.f_frsize;
    return 0;
}

static int posix_drop_cache(struct os_file *file)
{
    return -posix_fadvise(posix_file_of(file)->descriptor, 0, 0, POSIX_FADV_DONTNEED);
}

static struct flock lock_range(enum os_file_lock which, short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = LOCK_OFFSET + (off_t)which, .l_len = 1};
}

/* The process that keeps us from the lock, or 0 when it is gone again or can't be seen from here. */
static pid_t posix_lock_holder(const struct posix_file *posix, enum os_file_lock which, short type)
{
    struct flock range = lock_range(which, type);

    if (fcntl(posix->descriptor, F_GETLK, &range) < 0 || range.l_type == F_UNLCK || range.l_pid < 0) {
        return 0;
    }
    return range.l_pid;
}

static int posix_lock(struct os_file *file, enum os_file_lock which, bool shared, uint64_t timeout_ms,
                      pid_t *ret_holder)
{
    struct posix_file *posix = posix_file_of(file);
    short type = shared ? F_RDLCK : F_WRLCK;
    uint64_t start_ms = base_clock_monotonic_ms();

    for (;;) {
        struct flock range = lock_range(which, type);
        const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};

        if (fcntl(posix->descriptor, F_SETLK, &range) == 0) {
            return 0;
        }
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
            return -errno;
        }
        if (base_clock_monotonic_ms() - start_ms >= timeout_ms) {
            if (ret_holder) {
                *ret_holder = posix_lock_holder(posix, which, type);
            }
            return -EBUSY;
        }
        (void)nanosleep(&pause, NULL);
    }
}

static void posix_unlock(struct os_file *file, enum os_file_lock which)
{
    struct flock range = lock_range(which, F_UNLCK);

    /* Close lets it go too, so a host that fails here costs only time. */
    (void)fcntl(posix_file_of(file)->descriptor, F_SETLK, &range);
}

static void posix_close(struct os_file *file)
{
    struct posix_file *posix = posix_file_of(file);

    /* What counts was reported by sync; after close the descriptor is gone whatever it answers. */
    (void)close(posix->descriptor);
    base_mutex_deinit(&posix->grow_mutex);
    free(posix);
}

static const struct os_file_operations posix_operations = {
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .start_writeback = posix_start_writeback,
    .allocate = posix_allocate,
    .truncate = posix_truncate,
    .get_size = posix_get_size,
    .get_host_free = posix_get_host_free,
    .drop_cache = posix_drop_cache,
    .lock = posix_lock,
    .unlock = posix_unlock,
    .close = posix_close,
};

static int check_kind(mode_t mode)
{
    if (S_ISDIR(mode)) {
        return -EISDIR;
    }
    return S_ISREG(mode) || S_ISBLK(mode) ? 0 : -ENOTBLK;
}

/* Makes a new file's name durable. A directory that can't be opened or synced is left to the host: the file is there.
 */
static int sync_parent(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    int descriptor;
    int result = 0;

    if (length >= sizeof directory) {
        return -ENAMETOOLONG;
    }
    if (!slash) {
        strcpy(directory, ".");
    } else if (length == 0) {
        strcpy(directory, "/");
    } else {
        memcpy(directory, path, length);
        directory[length] = '\0';
    }
    descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        return 0;
    }
    if (fsync(descriptor) < 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT)) {
        result = -errno;
    }
    (void)close(descriptor);
    return result;
}

/* Opens without side effects: what is neither file nor device is told apart before it is opened (a tape would rewind, a
 * FIFO would wait) and again after, since the name may have changed hands in between. */
static int open_descriptor(const char *path, int flags, struct stat *ret_status)
{
    bool create = (flags & OS_FILE_CREATE) != 0;
    int open_flags = (flags & OS_FILE_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int descriptor;
    int result;

    if (!create) {
        if (stat(path, ret_status) < 0) {
            return -errno;
        }
        result = check_kind(ret_status->st_mode);
        if (result < 0) {
            return result;
        }
    }
    do {
        descriptor = open(path, open_flags | (create ? O_CREAT | O_EXCL : 0), 0600);
    } while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) {
        return -errno;
    }
    result = fstat(descriptor, ret_status) < 0 ? -errno : check_kind(ret_status->st_mode);
    if (result == 0 && create) {
        result = sync_parent(path);
        if (result < 0) {
            (void)unlink(path);
        }
    }
    if (result < 0) {
        (void)close(descriptor);
        return result;
    }
    return descriptor;
}

int os_file_open(const char *path, int flags, struct os_file **ret_file)
{
    struct stat status = {0};
    struct posix_file *posix;
    int descriptor;

    BASE_ASSERT((flags & ~(OS_FILE_READ_ONLY | OS_FILE_CREATE)) == 0);
    BASE_ASSERT(flags != (OS_FILE_READ_ONLY | OS_FILE_CREATE));
    posix = calloc(1, sizeof *posix);
    if (!posix) {
        return -ENOMEM;
    }
    descriptor = open_descriptor(path, flags, &status);
    if (descriptor < 0) {
        free(posix);
        return descriptor;
    }
    posix->file.operations = &posix_operations;
    posix->descriptor = descriptor;
    posix->is_device = S_ISBLK(status.st_mode);
    base_mutex_init(&posix->grow_mutex, BASE_RANK_LEAF);
    *ret_file = &posix->file;
    return 0;
}
