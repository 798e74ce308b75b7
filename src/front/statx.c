/* STATX: birth times. libfuse has a callback for it only since 3.18, so wire.c asks here before it hands a message to
 * libfuse. The kernel sends it instead of GETATTR when a program wants to know when an inode was born; the answer is
 * kept like other attributes. Structures as in linux/fuse.h since 6.6. */
#include "internal.h"

#include <errno.h>
#include <linux/fuse.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/uio.h>

enum { OPCODE_STATX = 52 };

struct answer_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};

struct answer {
    uint64_t valid_s;
    uint32_t valid_ns;
    uint32_t flags;
    uint64_t spare[2];
    uint32_t mask;
    uint32_t block_size;
    uint64_t attributes;
    uint32_t link_count;
    uint32_t uid;
    uint32_t gid;
    uint16_t mode;
    uint16_t spare_mode;
    uint64_t inode;
    uint64_t size;
    uint64_t blocks;
    uint64_t attributes_mask;
    struct answer_time access_time, birth_time, change_time, modification_time;
    uint32_t device_major, device_minor;
    uint32_t filesystem_major, filesystem_minor;
    uint64_t spare_end[14];
};

_Static_assert(sizeof(struct answer) == 288, "struct fuse_statx_out");

static struct answer_time time_of(struct timespec time)
{
    return (struct answer_time){.seconds = time.tv_sec, .nanoseconds = (uint32_t)time.tv_nsec};
}

static void fill(const struct fs_attributes *attributes, struct answer *answer)
{
    struct stat status;

    front_fill_stat(attributes, &status);
    *answer = (struct answer){
        .valid_s = (uint64_t)FRONT_TIMEOUT_S,
        .mask = STATX_BASIC_STATS | STATX_BTIME,
        .block_size = (uint32_t)status.st_blksize,
        .link_count = attributes->link_count,
        .uid = attributes->uid,
        .gid = attributes->gid,
        .mode = (uint16_t)attributes->mode,
        .inode = attributes->inode,
        .size = attributes->size,
        .blocks = attributes->blocks,
        .access_time = time_of(attributes->access_time),
        .birth_time = time_of(attributes->birth_time),
        .change_time = time_of(attributes->change_time),
        .modification_time = time_of(attributes->modification_time),
        .device_major = (uint32_t)(attributes->device >> 32),
        .device_minor = (uint32_t)attributes->device,
    };
}

bool front_statx_answer(struct front *front, int descriptor, const void *message)
{
    struct fuse_in_header request;
    struct fs_attributes attributes;
    struct answer answer;

    memcpy(&request, message, sizeof request);
    if (request.opcode != OPCODE_STATX) {
        return false;
    }
    int result = fs_get_attributes(front->fs, request.nodeid, &attributes);
    struct fuse_out_header header = {.unique = request.unique, .len = sizeof header};
    struct iovec parts[] = {{.iov_base = &header, .iov_len = sizeof header}, {.iov_base = &answer}};

    if (result < 0) {
        header.error = -front_visible_error(result);
    } else {
        fill(&attributes, &answer);
        parts[1].iov_len = sizeof answer;
        header.len += (uint32_t)sizeof answer;
    }
    /* It fails when whoever asked is gone. */
    (void)!writev(descriptor, parts, result < 0 ? 1 : 2);
    return true;
}
