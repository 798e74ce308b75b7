/* Checks of the surroundings before anything is touched: the mount point, /dev/fuse, the paths. */
#include "internal.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DYING_MOUNT_TIMEOUT_MS 1000U

/* 1 when it has entries besides "." and "..". */
static int has_entries(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    int result = 0;

    if (!directory) {
        return -errno;
    }
    while (result == 0 && (entry = readdir(directory))) {
        result = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    (void)closedir(directory);
    return result;
}

static int explain(const char *path, int result, struct front_failure *failure)
{
    enum front_exit status = result == -EACCES || result == -EPERM ? FRONT_EXIT_PERMISSION : FRONT_EXIT_MOUNT_POINT;

    if (result == -ENOTCONN || result == -ECONNABORTED) {
        front_failure_set(failure, status, "%s: a dead mount is in the way (\"fusermount3 -u\" removes it)", path);
    } else if (result == -ENOENT) {
        front_failure_set(failure, status, "%s: the mount point does not exist", path);
    } else if (result == -ENOTDIR) {
        front_failure_set(failure, status, "%s: the mount point is not a directory", path);
    } else {
        front_failure_set(failure, status, "%s: %s", path, strerror(-result));
    }
    return result;
}

static int check_directory_once(struct front_options *options, struct front_failure *failure)
{
    struct stat status;
    char *absolute = NULL;
    const char *path = options->mount_point;

    if (stat(path, &status) < 0) {
        return explain(path, -errno, failure);
    }
    if (!S_ISDIR(status.st_mode)) {
        return explain(path, -ENOTDIR, failure);
    }
    if (!options->nonempty) {
        int result = has_entries(path);
        if (result > 0) {
            front_failure_set(failure, FRONT_EXIT_MOUNT_POINT,
                              "%s: the mount point is not empty (-o nonempty mounts over it)", path);
            return -ENOTEMPTY;
        }
        if (result < 0) {
            return explain(path, result, failure);
        }
    }
    if (geteuid() != 0 && access(path, W_OK) < 0) {
        front_failure_set(failure, FRONT_EXIT_PERMISSION, "%s: mounting takes write permission to the mount point: %s",
                          path, strerror(errno));
        return -EACCES;
    }
    absolute = realpath(path, NULL);
    if (!absolute) {
        return explain(path, -errno, failure);
    }
    free(options->mount_point);
    options->mount_point = absolute;
    return 0;
}

/* A daemon that ends lets go of its device a moment before its mount: that moment is waited for. */
static int check_directory(struct front_options *options, struct front_failure *failure)
{
    uint64_t end_ms = base_clock_monotonic_ms() + DYING_MOUNT_TIMEOUT_MS;
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    int result;

    for (;;) {
        result = check_directory_once(options, failure);
        bool is_dying = result == -ENOTCONN || result == -ECONNABORTED;
        if (!is_dying || base_clock_monotonic_ms() >= end_ms) {
            return result;
        }
        (void)nanosleep(&pause, NULL);
    }
}

static int check_device(struct front_failure *failure)
{
    const char *path = "/dev/fuse";
    int descriptor = open(path, O_RDWR | O_CLOEXEC);

    if (descriptor >= 0) {
        (void)close(descriptor);
        return 0;
    }
    int result = -errno;
    if (result == -EACCES || result == -EPERM) {
        front_failure_set(failure, FRONT_EXIT_PERMISSION, "%s: %s", path, strerror(-result));
    } else {
        front_failure_set(failure, FRONT_EXIT_NO_FUSE, "%s: %s (\"modprobe fuse\" as root loads the driver)", path,
                          strerror(-result));
    }
    return result;
}

/* The path by which the database is known to the kernel, links resolved: also for a file that does not exist yet. */
static int make_database_absolute(struct front_options *options, struct front_failure *failure)
{
    char *absolute = realpath(options->database, NULL);

    if (!absolute && errno == ENOENT) {
        const char *slash = strrchr(options->database, '/');
        const char *name = slash ? slash + 1 : options->database;
        char *directory = slash ? strndup(options->database, (size_t)(slash - options->database) + 1) : strdup(".");
        char *resolved = directory ? realpath(directory, NULL) : NULL;
        if (resolved && name[0] && asprintf(&absolute, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, name) < 0) {
            absolute = NULL;
        }
        free(resolved);
        free(directory);
    }
    if (!absolute) {
        int result = -errno;
        front_failure_set(failure, result == -EACCES ? FRONT_EXIT_PERMISSION : FRONT_EXIT_DATABASE, "%s: %s",
                          options->database, strerror(-result));
        return result;
    }
    free(options->database);
    options->database = absolute;
    return 0;
}

int front_mount_point_check(struct front_options *options, struct front_failure *failure)
{
    int result = check_directory(options, failure);

    if (result < 0) {
        return result;
    }
    result = make_database_absolute(options, failure);
    if (result < 0) {
        return result;
    }
    return check_device(failure);
}
