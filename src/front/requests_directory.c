/* Listing directories. The handle of fs/ remembers where the last reply ended; the kernel caches whole listings, which
 * stay valid because nobody else writes. */
#include "internal.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

/* One open directory. All are in a list, since those that are open when the mount ends are never released. */
struct front_directory {
    struct fs_directory *directory;
    struct front_directory *previous, *next;
};

static struct front_directory *handle_of(const struct fuse_file_info *info)
{
    return (struct front_directory *)(uintptr_t)info->fh;
}

static int open_handle(struct front *front, uint64_t inode, struct front_directory **ret_handle)
{
    struct front_directory *handle = calloc(1, sizeof *handle);
    int result = handle ? fs_directory_open(front->fs, inode, &handle->directory) : -ENOMEM;

    if (result < 0) {
        free(handle);
        return result;
    }
    base_mutex_lock(&front->directories_mutex);
    handle->next = front->directories;
    if (handle->next) {
        handle->next->previous = handle;
    }
    front->directories = handle;
    base_mutex_unlock(&front->directories_mutex);
    *ret_handle = handle;
    return 0;
}

static void close_handle(struct front *front, struct front_directory *handle)
{
    base_mutex_lock(&front->directories_mutex);
    if (handle->previous) {
        handle->previous->next = handle->next;
    } else {
        front->directories = handle->next;
    }
    if (handle->next) {
        handle->next->previous = handle->previous;
    }
    base_mutex_unlock(&front->directories_mutex);
    fs_directory_close(handle->directory);
    free(handle);
}

void front_directories_close(struct front *front)
{
    while (front->directories) {
        close_handle(front, front->directories);
    }
}

void front_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    struct front *front = front_of(request);
    struct front_directory *handle = NULL;
    int result = open_handle(front, inode, &handle);

    if (result < 0) {
        front_reply_result(request, result);
        return;
    }
    info->fh = (uintptr_t)handle;
    info->keep_cache = 1;
    info->cache_readdir = 1;
    if (fuse_reply_open(request, info) < 0) {
        close_handle(front, handle);
    }
}

void front_releasedir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    close_handle(front_of(request), handle_of(info));
    (void)fuse_reply_err(request, 0);
}

struct listing {
    fuse_req_t request;
    char *buffer;
    size_t size, used; /* bytes */
};

static bool add_entry(void *context, const struct fs_directory_entry *entry)
{
    struct listing *listing = context;
    struct stat status = {.st_ino = entry->inode, .st_mode = entry->type};
    size_t left = listing->size - listing->used;
    size_t needed = fuse_add_direntry(listing->request, listing->buffer + listing->used, left, entry->name, &status,
                                      (off_t)entry->cookie);

    if (needed > left) {
        return false;
    }
    listing->used += needed;
    return true;
}

static bool add_entry_plus(void *context, const struct fs_directory_entry *entry)
{
    struct listing *listing = context;
    struct fuse_entry_param param = {.ino = 0}; /* "." and "..": no lookup */
    size_t left = listing->size - listing->used;

    if (entry->attributes) {
        front_fill_entry(entry->attributes, &param);
    } else {
        param.attr.st_ino = entry->inode;
        param.attr.st_mode = entry->type;
    }
    size_t needed = fuse_add_direntry_plus(listing->request, listing->buffer + listing->used, left, entry->name, &param,
                                           (off_t)entry->cookie);
    if (needed > left) {
        return false;
    }
    listing->used += needed;
    return true;
}

/* The kernel did not take the reply: gives back the lookup counts in it. */
static void forget_listing(struct fs *fs, const char *buffer, size_t used)
{
    for (size_t at = 0; at + FUSE_NAME_OFFSET_DIRENTPLUS <= used;) {
        struct fuse_direntplus entry;

        memcpy(&entry, buffer + at, FUSE_NAME_OFFSET_DIRENTPLUS);
        if (entry.entry_out.nodeid != 0) {
            fs_forget(fs, entry.entry_out.nodeid, 1);
        }
        at += FUSE_DIRENTPLUS_SIZE(&entry);
    }
}

static void list(fuse_req_t request, size_t size, off_t offset, struct fuse_file_info *info, bool with_attributes)
{
    struct fs *fs = front_of(request)->fs;
    struct listing listing = {
        .request = request,
        .buffer = front_thread_buffer(),
        .size = size < FRONT_BUFFER_SIZE ? size : FRONT_BUFFER_SIZE,
    };
    int result = -ENOMEM;

    if (listing.buffer) {
        result = fs_directory_read(handle_of(info)->directory, (uint64_t)offset, with_attributes,
                                   with_attributes ? add_entry_plus : add_entry, &listing);
    }
    if (result < 0 && listing.used == 0) {
        front_reply_result(request, result);
        return;
    }
    /* What was taken before an error is handed over: the error comes again with the next request. */
    if (fuse_reply_buf(request, listing.buffer, listing.used) < 0 && with_attributes) {
        forget_listing(fs, listing.buffer, listing.used);
    }
}

void front_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)inode;
    list(request, size, offset, info, false);
}

void front_readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)inode;
    list(request, size, offset, info, true);
}
