/* What the tool beeftree asks of a mount: ioctls on any file or directory of it.
 *
 * `beeftree status`: the answer is a JSON text (docs/man: beeftree(1)), so that counters can be added without a new
 * ioctl; the number changes only with the shape of the struct.
 *
 * `beeftree sync`: the kernel tells a FUSE daemon nothing of sync(2) and syncfs(2). The latter makes it send what
 * programs have stored through mappings, but does not wait for that. So the tool calls syncfs, then asks how many such
 * writes the daemon has received until the number stays (the answer comes only when they are finished), and then has
 * everything made durable. */
#ifndef BEEFTREE_OS_STATUS_H
#define BEEFTREE_OS_STATUS_H

#include <linux/ioctl.h>
#include <stdint.h>

#define OS_STATUS_TEXT_SIZE 16000 /* bytes; an ioctl carries less than 16 KiB */
#define OS_STATUS_VERSION   1     /* of the JSON: the member "version" */

struct os_status {
    char text[OS_STATUS_TEXT_SIZE]; /* NUL-terminated */
};

#define OS_STATUS_IOCTL _IOR('b', 0xF5, struct os_status)

struct os_sync {
    uint64_t is_durable;    /* in: 0: only wait and count; 1: make everything durable as well */
    uint64_t mapped_writes; /* out: since the mount */
};

/* For root and the user whose mount it is, others: EPERM. EIO, EROFS: not everything is durable. */
#define OS_SYNC_IOCTL _IOWR('b', 0xF6, struct os_sync)

/* `mount -o remount`: what of it the daemon has to know. For the same callers. EROFS: it has the database open for
 * reading only, and this mount cannot become writable. */
struct os_remount {
    uint32_t is_writable;                 /* 1: the mount is to be writable */
    uint32_t has_access_times;            /* 1: the following two count */
    uint32_t access_times;                /* 0: never change; 1: relative; 2: exact (enum fs_access_times) */
    uint32_t directory_access_times_kept; /* 1: those of directories never change */
};

#define OS_REMOUNT_IOCTL _IOW('b', 0xF7, struct os_remount)

/* The words of all -o of the mount, with commas between, NUL-terminated: for a mount like it. For the same callers;
 * -ERANGE where they are longer. */
struct os_words {
    char text[4096];
};

#define OS_WORDS_IOCTL _IOR('b', 0xF8, struct os_words)

#endif
