/* Listing directories. The handle of fs/ remembers where the last reply ended; the kernel caches whole listings, which
 * stay valid because nobody else writes. */
#include "internal.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

static struct fs_directory *directory_of(const struct fuse_file_info *info)
{
    return (struct fs_directory *)(uintptr_t)info->fh;
}

void front_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    struct fs_directory *directory = NULL;
    int result = fs_directory_open(front_of(request)->fs, inode, &directory);

    if (result < 0) {
        front_reply_result(request, result);
        return;
    }
    info->fh = (uintptr_t)directory;
    info->keep_cache = 1;
    info->cache_readdir = 1;
    if (fuse_reply_open(request, info) < 0) {
        fs_directory_close(directory);
    }
}

void front_releasedir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    fs_directory_close(directory_of(info));
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
        result = fs_directory_read(directory_of(info), (uint64_t)offset, with_attributes,
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
