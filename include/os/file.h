/* The database file as the layers above see it: a seam with a real form (one descriptor) and forms in memory for tests.
 *
 * Every function is thread-safe. Errors are negative errno. Offsets and sizes are in bytes. Reads and writes are whole
 * or fail: a read that meets the end of the file answers -ENODATA. The implementations are structs whose first member
 * is struct os_file. */
#ifndef BEEFTREE_OS_FILE_H
#define BEEFTREE_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* MOUNTED is let go when the mount goes; OPEN when the file is closed and clean. */
enum os_file_lock { OS_FILE_LOCK_MOUNTED, OS_FILE_LOCK_OPEN };

struct os_file;

struct os_file_operations {
    int (*read)(struct os_file *file, void *buffer, size_t size, uint64_t offset);
    int (*write)(struct os_file *file, const void *buffer, size_t size, uint64_t offset);
    int (*sync)(struct os_file *file);
    int (*start_writeback)(struct os_file *file, uint64_t offset, uint64_t size);
    int (*allocate)(struct os_file *file, uint64_t offset, uint64_t size);
    int (*truncate)(struct os_file *file, uint64_t size);
    int (*get_size)(struct os_file *file, uint64_t *ret_size);
    int (*get_host_free)(struct os_file *file, uint64_t *ret_size);
    int (*drop_cache)(struct os_file *file);
    int (*lock)(struct os_file *file, enum os_file_lock which, bool shared, uint64_t timeout_ms, pid_t *ret_holder);
    void (*unlock)(struct os_file *file, enum os_file_lock which);
    void (*close)(struct os_file *file);
};

struct os_file {
    const struct os_file_operations *operations;
};

enum os_file_open_flags {
    OS_FILE_READ_ONLY = 1 << 0,
    OS_FILE_CREATE = 1 << 1, /* must not exist yet; made with mode 0600 */
};

/* A regular file or a block device (whose size stays: allocate answers -ENOSPC beyond it, truncate does nothing).
 * -EISDIR for a directory, -ENOTBLK for what is neither. Symbolic links are followed. A file that OS_FILE_CREATE makes
 * has a durable name when this returns. The caller closes *ret_file. A process opens a database once (see the locks)
 * and ignores SIGXFSZ, so that a size limit is -EFBIG and not its end. */
int os_file_open(const char *path, int flags, struct os_file **ret_file);

/* Empty, in memory, fixed contents semantics: what is written is at once there. For tests of the layers above. */
int os_memory_file_create(struct os_file **ret_file);

static inline int os_file_read(struct os_file *file, void *buffer, size_t size, uint64_t offset)
{
    return file->operations->read(file, buffer, size, offset);
}

/* Into the host's cache; durable only after os_file_sync. */
static inline int os_file_write(struct os_file *file, const void *buffer, size_t size, uint64_t offset)
{
    return file->operations->write(file, buffer, size, offset);
}

/* fdatasync: everything whose write returned before the call is durable when it returns 0. */
static inline int os_file_sync(struct os_file *file)
{
    return file->operations->sync(file);
}

/* Asks the host to begin writing a range; promises nothing (sync_file_range with WRITE only). */
static inline int os_file_start_writeback(struct os_file *file, uint64_t offset, uint64_t size)
{
    return file->operations->start_writeback(file, offset, size);
}

/* Host space for a range, growing the file if need be; what is new reads as zeros. Falls back to writing zeros
 * where the host can't (only beyond the old end). -ENOSPC or -EFBIG when there is none. */
static inline int os_file_allocate(struct os_file *file, uint64_t offset, uint64_t size)
{
    return file->operations->allocate(file, offset, size);
}

static inline int os_file_truncate(struct os_file *file, uint64_t size)
{
    return file->operations->truncate(file, size);
}

static inline int os_file_get_size(struct os_file *file, uint64_t *ret_size)
{
    return file->operations->get_size(file, ret_size);
}

/* Bytes that the host would still give this file (for an ordinary user), or 0 for a device. */
static inline int os_file_get_host_free(struct os_file *file, uint64_t *ret_size)
{
    return file->operations->get_host_free(file, ret_size);
}

/* Forgets the host's cached pages of the file (after a sync), so that what is read next comes from the disk. */
static inline int os_file_drop_cache(struct os_file *file)
{
    return file->operations->drop_cache(file);
}

/* Byte-range locks far beyond the data (fcntl: they belong to the process, are not inherited by fork, and go when it
 * closes any descriptor of the file). A read-only file can only take them shared, else -EBADF. Waits up to timeout_ms;
 * -EBUSY then, with the holder's pid (0 if unknown) in *ret_holder, which may be NULL. */
static inline int os_file_lock(struct os_file *file, enum os_file_lock which, bool shared, uint64_t timeout_ms,
                               pid_t *ret_holder)
{
    return file->operations->lock(file, which, shared, timeout_ms, ret_holder);
}

static inline void os_file_unlock(struct os_file *file, enum os_file_lock which)
{
    file->operations->unlock(file, which);
}

/* Lets both locks go. */
static inline void os_file_close(struct os_file *file)
{
    file->operations->close(file);
}

#endif
