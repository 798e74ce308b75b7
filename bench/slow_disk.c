/* A disk whose flush takes its time, for bench/sync --flush-us: a FUSE mount with one file, "image", on which a loop
 * device is made.
 *
 *      slow_disk FILE MOUNTPOINT FLUSH_US
 *
 * Reads and writes go to FILE as they come; an fsync of the image, which is what a flush of the loop device becomes,
 * is answered FLUSH_US microseconds later, one at a time, and not passed on: nothing here is durable. So what a
 * filesystem does with a disk is left alone and what it waits for is a known number. Runs in the foreground until it
 * is unmounted. */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DISK_INODE     2U
#define DISK_NAME      "image"
#define DISK_WRITE_MAX (1U << 20)
#define DISK_TIMEOUT_S 3600.0

static struct {
    int file;
    uint64_t flush_us;
    pthread_mutex_t flush_mutex;
} disk = {.flush_mutex = PTHREAD_MUTEX_INITIALIZER};

static int disk_fill_attributes(fuse_ino_t inode, struct stat *ret_attributes)
{
    memset(ret_attributes, 0, sizeof(*ret_attributes));
    ret_attributes->st_ino = inode;
    ret_attributes->st_nlink = 1;
    if (inode == FUSE_ROOT_ID) {
        ret_attributes->st_mode = S_IFDIR | 0755;
        return 0;
    }
    struct stat backing;
    if (inode != DISK_INODE || fstat(disk.file, &backing) != 0)
        return ENOENT;
    ret_attributes->st_mode = S_IFREG | 0600;
    ret_attributes->st_size = backing.st_size;
    ret_attributes->st_blocks = backing.st_blocks;
    ret_attributes->st_blksize = 4096;
    return 0;
}

static void disk_on_init(void *context, struct fuse_conn_info *connection)
{
    (void)context;
    connection->max_write = DISK_WRITE_MAX;
    connection->max_background = 64;
    connection->congestion_threshold = 64;
}

static void disk_on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {
        .ino = DISK_INODE, .attr_timeout = DISK_TIMEOUT_S, .entry_timeout = DISK_TIMEOUT_S};
    if (parent != FUSE_ROOT_ID || strcmp(name, DISK_NAME) != 0 || disk_fill_attributes(DISK_INODE, &entry.attr) != 0)
        fuse_reply_err(request, ENOENT);
    else
        fuse_reply_entry(request, &entry);
}

static void disk_on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)info;
    struct stat attributes;
    int error = disk_fill_attributes(inode, &attributes);
    if (error != 0)
        fuse_reply_err(request, error);
    else
        fuse_reply_attr(request, &attributes, DISK_TIMEOUT_S);
}

static void disk_on_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    if (inode != DISK_INODE) {
        fuse_reply_err(request, EISDIR);
        return;
    }
    fuse_reply_open(request, info);
}

static void disk_on_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)inode;
    (void)info;
    char *buffer = malloc(size);
    ssize_t count = buffer == NULL ? -1 : pread(disk.file, buffer, size, offset);
    if (count < 0)
        fuse_reply_err(request, EIO);
    else
        fuse_reply_buf(request, buffer, (size_t)count);
    free(buffer);
}

static void disk_on_write(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size, off_t offset,
                          struct fuse_file_info *info)
{
    (void)inode;
    (void)info;
    if (pwrite(disk.file, bytes, size, offset) != (ssize_t)size)
        fuse_reply_err(request, EIO);
    else
        fuse_reply_write(request, size);
}

static void disk_on_fsync(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *info)
{
    (void)inode;
    (void)data_only;
    (void)info;
    struct timespec wait = {.tv_sec = (time_t)(disk.flush_us / 1000000),
                            .tv_nsec = (long)(disk.flush_us % 1000000 * 1000)};
    prctl(PR_SET_TIMERSLACK, 1000UL); /* of this thread; else 50 us late */
    pthread_mutex_lock(&disk.flush_mutex);
    while (nanosleep(&wait, &wait) != 0 && errno == EINTR)
        ;
    pthread_mutex_unlock(&disk.flush_mutex);
    fuse_reply_err(request, 0);
}

static const struct fuse_lowlevel_ops disk_operations = {
    .init = disk_on_init,
    .lookup = disk_on_lookup,
    .getattr = disk_on_getattr,
    .open = disk_on_open,
    .read = disk_on_read,
    .write = disk_on_write,
    .fsync = disk_on_fsync,
};

int main(int argument_count, char **arguments)
{
    if (argument_count != 4) {
        fprintf(stderr, "usage: slow_disk FILE MOUNTPOINT FLUSH_US\n");
        return 2;
    }
    disk.file = open(arguments[1], O_RDWR | O_CLOEXEC);
    if (disk.file < 0) {
        fprintf(stderr, "slow_disk: %s: %s\n", arguments[1], strerror(errno));
        return 1;
    }
    disk.flush_us = strtoull(arguments[3], NULL, 10);
    char *fuse_words[] = {(char[]){"slow_disk"}, (char[]){"-o"}, (char[]){"fsname=slow_disk,subtype=slow-disk"}, NULL};
    struct fuse_args fuse_arguments = FUSE_ARGS_INIT(3, fuse_words);
    struct fuse_session *session = fuse_session_new(&fuse_arguments, &disk_operations, sizeof(disk_operations), NULL);
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int result = 1;
    if (session != NULL && config != NULL && fuse_session_mount(session, arguments[2]) == 0) {
        fuse_loop_cfg_set_max_threads(config, 16);
        result = fuse_session_loop_mt(session, config) == 0 ? 0 : 1;
        fuse_session_unmount(session);
    }
    fuse_loop_cfg_destroy(config);
    if (session != NULL)
        fuse_session_destroy(session);
    close(disk.file);
    return result;
}
