/* Every message between kernel and libfuse passes here: requests are counted by opcode, those that libfuse 3.14 does
 * not know are answered, and the reply to INIT gets the flags that it does not pass on. INIT is the first request and
 * is answered before a second thread exists; its reply is also the moment from which the mount answers.
 *
 * Both hooks keep to the contract of read(2) and writev(2), errno included: libfuse looks at it. */
#include "internal.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* Lookups and listings of one directory at once; set-id bits cleared by us, which saves a GETXATTR per write. */
#define EXTRA_FLAGS ((uint32_t)(FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2))
/* With ACLs also FUSE_SETXATTR_EXT: the kernel says whether the caller may keep S_ISGID. */

enum { OPCODE_TMPFILE = 51 };

/* A WRITE that no program waits for: what was stored through a mapping. */
static bool is_mapped_write(const struct fuse_in_header *header, const void *buffer, size_t size)
{
    struct fuse_write_in arguments;

    if (header->opcode != FUSE_WRITE || size < sizeof *header + sizeof arguments) {
        return false;
    }
    memcpy(&arguments, (const char *)buffer + sizeof *header, sizeof arguments);
    return (arguments.write_flags & FUSE_WRITE_CACHE) != 0;
}

static uint32_t extra_flags(const struct front *front)
{
    uint32_t wanted = EXTRA_FLAGS | (front->options->has_acls ? (uint32_t)FUSE_SETXATTR_EXT : 0);

    return front->offered & wanted;
}

static void see_request(struct front *front, const void *buffer, size_t size)
{
    struct fuse_in_header header;

    memcpy(&header, buffer, sizeof header);
    unsigned index = header.opcode < FRONT_OPCODE_MAX ? header.opcode : 0;
    atomic_fetch_add_explicit(&front->requests[index], 1, memory_order_relaxed);
    if (is_mapped_write(&header, buffer, size)) {
        atomic_fetch_add(&front->mapped_writes_received, 1);
    }
    if (header.opcode == FUSE_INIT && size >= sizeof header + offsetof(struct fuse_init_in, flags) + 4) {
        struct fuse_init_in arguments = {.minor = 0};
        memcpy(&arguments, (const char *)buffer + sizeof header, offsetof(struct fuse_init_in, flags) + 4);
        front->offered = arguments.flags;
        front->kernel_minor = arguments.minor;
    }
}

/* The flags of the SETXATTR that the thread received last. */
static _Thread_local uint32_t setxattr_flags;

bool front_wire_clears_set_gid(void)
{
    return (setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
}

/* Keeps what libfuse does not hand on of a SETXATTR in the long form, and makes the short form of it. Returns the
 * size of the message. */
static size_t shorten_setxattr(char *buffer, size_t size)
{
    struct fuse_in_header header;
    struct fuse_setxattr_in arguments;
    size_t surplus = sizeof arguments - FUSE_COMPAT_SETXATTR_IN_SIZE;

    memcpy(&header, buffer, sizeof header);
    if (header.opcode != FUSE_SETXATTR || size < sizeof header + sizeof arguments) {
        return size;
    }
    memcpy(&arguments, buffer + sizeof header, sizeof arguments);
    setxattr_flags = arguments.setxattr_flags;
    header.len -= (uint32_t)surplus;
    memcpy(buffer, &header, sizeof header);
    char *rest = buffer + sizeof header + sizeof arguments;
    memmove(rest - surplus, rest, size - sizeof header - sizeof arguments);
    return size - surplus;
}

/* Whether the WRITE or SETATTR that the thread received last comes with "no set-id bits afterwards". */
static _Thread_local bool clears_set_id;

bool front_wire_clears_set_id(void)
{
    return clears_set_id;
}

static void see_set_id(const char *buffer, size_t size)
{
    struct fuse_in_header header;
    struct fuse_write_in write_arguments;
    struct fuse_setattr_in setattr_arguments;

    memcpy(&header, buffer, sizeof header);
    clears_set_id = false;
    if (header.opcode == FUSE_WRITE && size >= sizeof header + sizeof write_arguments) {
        memcpy(&write_arguments, buffer + sizeof header, sizeof write_arguments);
        clears_set_id = (write_arguments.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
    } else if (header.opcode == FUSE_SETATTR && size >= sizeof header + sizeof setattr_arguments) {
        memcpy(&setattr_arguments, buffer + sizeof header, sizeof setattr_arguments);
        clears_set_id = (setattr_arguments.valid & FATTR_KILL_SUIDGID) != 0;
    }
}

bool front_wire_tells_set_id(const struct front *front)
{
    return (extra_flags(front) & FUSE_HANDLE_KILLPRIV_V2) != 0;
}

/* TMPFILE has the form of CREATE, which libfuse 3.14 knows. */
static _Thread_local bool create_is_temporary;

bool front_wire_is_temporary(void)
{
    return create_is_temporary;
}

static void turn_into_create(char *buffer)
{
    struct fuse_in_header header;

    memcpy(&header, buffer, sizeof header);
    create_is_temporary = header.opcode == OPCODE_TMPFILE;
    if (create_is_temporary) {
        header.opcode = FUSE_CREATE;
        memcpy(buffer, &header, sizeof header);
    }
}

/* libfuse lets its threads be cancelled while they wait here: not while one holds locks of fs/. */
static bool answer_here(struct front *front, int descriptor, const void *message)
{
    int state;

    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    bool is_answered =
        front_shutdown_answer(front, descriptor, message) || front_statx_answer(front, descriptor, message);
    (void)pthread_setcancelstate(state, NULL);
    return is_answered;
}

static ssize_t wire_read(int descriptor, void *buffer, size_t size, void *context)
{
    struct front *front = context;
    ssize_t received;
    bool is_whole;

    do {
        received = read(descriptor, buffer, size);
        is_whole = received >= (ssize_t)sizeof(struct fuse_in_header);
        if (is_whole) {
            see_request(front, buffer, (size_t)received);
        }
    } while (is_whole && answer_here(front, descriptor, buffer));
    if (is_whole) {
        see_set_id(buffer, (size_t)received);
        turn_into_create(buffer);
    }
    if (is_whole && (extra_flags(front) & FUSE_SETXATTR_EXT)) {
        received = (ssize_t)shorten_setxattr(buffer, (size_t)received);
    }
    return received;
}

/* libfuse hands over a header and, unless it refuses the kernel, a struct fuse_init_out of its own. */
static bool patch_init(const struct front *front, struct iovec *parts, int part_count)
{
    struct fuse_out_header header;
    uint32_t flags;
    bool is_init = part_count == 2 && parts[0].iov_len == sizeof header &&
                   parts[1].iov_len >= offsetof(struct fuse_init_out, flags) + sizeof flags;

    if (!is_init) {
        return false;
    }
    memcpy(&header, parts[0].iov_base, sizeof header);
    if (header.error != 0) {
        return false;
    }
    char *place = (char *)parts[1].iov_base + offsetof(struct fuse_init_out, flags);
    memcpy(&flags, place, sizeof flags);
    flags |= extra_flags(front);
    memcpy(place, &flags, sizeof flags);
    return true;
}

static ssize_t wire_write(int descriptor, struct iovec *parts, int part_count, void *context)
{
    struct front *front = context;

    if (atomic_load_explicit(&front->is_answering, memory_order_relaxed)) {
        return writev(descriptor, parts, part_count);
    }
    bool is_init = patch_init(front, parts, part_count);
    ssize_t written = writev(descriptor, parts, part_count);
    if (is_init && written >= 0) {
        atomic_store(&front->is_answering, true);
        front->report(front->report_context, NULL);
    }
    return written;
}

const struct fuse_custom_io front_wire_io = {.read = wire_read, .writev = wire_write};

const char *front_opcode_name(unsigned opcode)
{
    static const char *const names[FRONT_OPCODE_MAX] = {
        [0] = "OTHER",
        [FUSE_LOOKUP] = "LOOKUP",
        [FUSE_FORGET] = "FORGET",
        [FUSE_GETATTR] = "GETATTR",
        [FUSE_SETATTR] = "SETATTR",
        [FUSE_READLINK] = "READLINK",
        [FUSE_SYMLINK] = "SYMLINK",
        [FUSE_MKNOD] = "MKNOD",
        [FUSE_MKDIR] = "MKDIR",
        [FUSE_UNLINK] = "UNLINK",
        [FUSE_RMDIR] = "RMDIR",
        [FUSE_RENAME] = "RENAME",
        [FUSE_LINK] = "LINK",
        [FUSE_OPEN] = "OPEN",
        [FUSE_READ] = "READ",
        [FUSE_WRITE] = "WRITE",
        [FUSE_STATFS] = "STATFS",
        [FUSE_RELEASE] = "RELEASE",
        [FUSE_FSYNC] = "FSYNC",
        [FUSE_SETXATTR] = "SETXATTR",
        [FUSE_GETXATTR] = "GETXATTR",
        [FUSE_LISTXATTR] = "LISTXATTR",
        [FUSE_REMOVEXATTR] = "REMOVEXATTR",
        [FUSE_FLUSH] = "FLUSH",
        [FUSE_INIT] = "INIT",
        [FUSE_OPENDIR] = "OPENDIR",
        [FUSE_READDIR] = "READDIR",
        [FUSE_RELEASEDIR] = "RELEASEDIR",
        [FUSE_FSYNCDIR] = "FSYNCDIR",
        [FUSE_GETLK] = "GETLK",
        [FUSE_SETLK] = "SETLK",
        [FUSE_SETLKW] = "SETLKW",
        [FUSE_ACCESS] = "ACCESS",
        [FUSE_CREATE] = "CREATE",
        [FUSE_INTERRUPT] = "INTERRUPT",
        [FUSE_BMAP] = "BMAP",
        [FUSE_DESTROY] = "DESTROY",
        [FUSE_IOCTL] = "IOCTL",
        [FUSE_POLL] = "POLL",
        [FUSE_BATCH_FORGET] = "BATCH_FORGET",
        [FUSE_FALLOCATE] = "FALLOCATE",
        [FUSE_READDIRPLUS] = "READDIRPLUS",
        [FUSE_RENAME2] = "RENAME2",
        [FUSE_LSEEK] = "LSEEK",
        [FUSE_COPY_FILE_RANGE] = "COPY_FILE_RANGE",
        [FUSE_SYNCFS] = "SYNCFS",
        [51] = "TMPFILE",
        [52] = "STATX",
        [53] = "COPY_FILE_RANGE_64",
    };

    return opcode < FRONT_OPCODE_MAX ? names[opcode] : NULL;
}
