/* Answers: the one place where errors of fs/ become errors of the kernel, and its attributes become struct stat. */
#include "internal.h"

#include "base/message.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

struct front *front_of(fuse_req_t request)
{
    return fuse_req_userdata(request);
}

struct fs_caller front_caller(fuse_req_t request)
{
    const struct fuse_ctx *context = fuse_req_ctx(request);

    return (struct fs_caller){.uid = context->uid, .gid = context->gid};
}

int front_settle(fuse_req_t request, enum front_change change, int result)
{
    const struct front *front = front_of(request);
    bool is_wanted = front->options->sync || (front->options->dirsync && change == FRONT_CHANGE_NAMES);

    if (result < 0 || !is_wanted) {
        return result;
    }
    int synced = fs_sync(front->fs);
    return synced < 0 ? synced : result;
}

/* What a program may see. The layers below use some numbers in a sense of their own. */
int front_visible_error(int result)
{
    switch (-result) {
    case EUCLEAN:         /* damage in what was touched */
    case ENODATA:         /* the database file ends where it should not */
    case EMEDIUMTYPE:     /* only opening says these */
    case EPROTONOSUPPORT: /* likewise */
    case ENOSYS:          /* the kernel would take it as "never ask again" */
        return EIO;
    case E2BIG: /* an operation that this pool can never hold */
        return ENOSPC;
    default:
        return -result;
    }
}

void front_reply_result(fuse_req_t request, int result)
{
    (void)fuse_reply_err(request, front_visible_error(result));
}

void front_fill_stat(const struct fs_attributes *attributes, struct stat *ret_stat)
{
    memset(ret_stat, 0, sizeof *ret_stat);
    ret_stat->st_ino = attributes->inode;
    ret_stat->st_mode = attributes->mode;
    ret_stat->st_nlink = attributes->link_count;
    ret_stat->st_uid = attributes->uid;
    ret_stat->st_gid = attributes->gid;
    ret_stat->st_rdev = makedev((unsigned)(attributes->device >> 32), (unsigned)attributes->device);
    ret_stat->st_size = (off_t)attributes->size;
    ret_stat->st_blksize = S_ISDIR(attributes->mode) ? STORE_BLOCK_SIZE : FRONT_IO_SIZE;
    ret_stat->st_blocks = (blkcnt_t)attributes->blocks;
    ret_stat->st_atim = attributes->access_time;
    ret_stat->st_mtim = attributes->modification_time;
    ret_stat->st_ctim = attributes->change_time;
}

void front_fill_entry(const struct fs_attributes *attributes, struct fuse_entry_param *ret_entry)
{
    memset(ret_entry, 0, sizeof *ret_entry);
    ret_entry->ino = attributes->inode;
    ret_entry->attr_timeout = FRONT_TIMEOUT_S;
    ret_entry->entry_timeout = FRONT_TIMEOUT_S;
    front_fill_stat(attributes, &ret_entry->attr);
}

void front_reply_attributes(fuse_req_t request, int result, const struct fs_attributes *attributes)
{
    struct stat status;

    if (result < 0) {
        front_reply_result(request, result);
        return;
    }
    front_fill_stat(attributes, &status);
    (void)fuse_reply_attr(request, &status, FRONT_TIMEOUT_S);
}

void front_reply_attributes_once(fuse_req_t request, const struct fs_attributes *attributes)
{
    struct stat status;

    front_fill_stat(attributes, &status);
    (void)fuse_reply_attr(request, &status, 0);
}

void front_reply_entry(fuse_req_t request, int result, const struct fs_entry *entry)
{
    struct fs *fs = front_of(request)->fs;
    struct fuse_entry_param param;

    if (result < 0) {
        front_reply_result(request, result);
        return;
    }
    front_fill_entry(&entry->attributes, &param);
    if (fuse_reply_entry(request, &param) < 0) {
        fs_forget(fs, entry->attributes.inode, 1);
    }
}

/* --- Buffers of threads */

static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;
static int buffer_key_result;

static void make_buffer_key(void)
{
    buffer_key_result = pthread_key_create(&buffer_key, free);
}

char *front_thread_buffer(void)
{
    (void)pthread_once(&buffer_once, make_buffer_key);
    if (buffer_key_result != 0) {
        return NULL;
    }
    char *buffer = pthread_getspecific(buffer_key);
    if (!buffer) {
        buffer = malloc(FRONT_BUFFER_SIZE);
        if (buffer && pthread_setspecific(buffer_key, buffer) != 0) {
            free(buffer);
            buffer = NULL;
        }
    }
    return buffer;
}
