/* The floor server: a FUSE server that stores nothing durable, with the same libfuse and kernel settings as beeftreefs.
 * Its rate on a workload is what the kernel and libfuse cost by themselves: no filesystem behind FUSE is faster.
 *
 *      floor_server MOUNTPOINT
 *
 * mounts and prints "mounted". After an unmount it prints "unmounted" and keeps its files: a line "mount" on stdin
 * mounts them again (so that the kernel's caches are cold), "stats" prints the requests so far as one line of JSON, the
 * end of stdin ends the server (unmounting first).
 *
 * The settings (floor_init, floor_patch_init, floor_serve) are those of src/front and have to follow it: endless
 * timeouts, ENOSYS to open and flush, readdirplus without AUTO, cached listings, no write-back, PARALLEL_DIROPS and
 * HANDLE_KILLPRIV_V2 set by patching the first INIT reply, since libfuse 3.14 does not forward them.
 *
 * Threads: libfuse's workers answer requests; one thread reads stdin. Locks: floor_tree's. */
#define FUSE_USE_VERSION 314

#include "floor_tree.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <inttypes.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define FLOOR_TIMEOUT_S    1e9
#define FLOOR_THREADS_MAX  10U
#define FLOOR_WRITE_MAX    1048576U
#define FLOOR_OPCODE_COUNT 64U

struct floor_server {
    struct floor_tree *tree;
    const char *mountpoint;
    uint32_t init_offered;                 /* flags of the kernel's INIT request */
    bool init_answered;                    /* before the workers start: no lock */
    uint64_t requests[FLOOR_OPCODE_COUNT]; /* atomic; by opcode, other opcodes in [0] */
    bool mounted;                          /* under latch */
    bool finished;                         /* under latch: stdin has ended */
    pthread_mutex_t latch;
    pthread_cond_t changed;
};

static struct floor_tree *floor_tree_of(fuse_req_t request)
{
    return ((struct floor_server *)fuse_req_userdata(request))->tree;
}

/* --- Replies ------------------------------------------------------------------------------------------------------ */

static void floor_reply_result(fuse_req_t request, int result)
{
    fuse_reply_err(request, -result);
}

static void floor_fill_entry(struct fuse_entry_param *entry, const struct stat *attributes)
{
    *entry = (struct fuse_entry_param){.ino = attributes->st_ino,
                                       .generation = 1,
                                       .attr = *attributes,
                                       .attr_timeout = FLOOR_TIMEOUT_S,
                                       .entry_timeout = FLOOR_TIMEOUT_S};
}

/* attributes: valid when result is 0. */
static void floor_reply_entry(fuse_req_t request, int result, const struct stat *attributes)
{
    struct fuse_entry_param entry;
    if (result != 0) {
        floor_reply_result(request, result);
        return;
    }
    floor_fill_entry(&entry, attributes);
    fuse_reply_entry(request, &entry);
}

static void floor_reply_attributes(fuse_req_t request, int result, const struct stat *attributes)
{
    if (result != 0)
        floor_reply_result(request, result);
    else
        fuse_reply_attr(request, attributes, FLOOR_TIMEOUT_S);
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

static void floor_on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct stat attributes;
    int result = floor_lookup(floor_tree_of(request), parent, name, &attributes);
    if (result == -ENOENT) {
        /* Inode 0: the kernel keeps the name as a negative one. */
        struct fuse_entry_param entry = {.entry_timeout = FLOOR_TIMEOUT_S};
        fuse_reply_entry(request, &entry);
        return;
    }
    floor_reply_entry(request, result, &attributes);
}

static void floor_on_forget(fuse_req_t request, fuse_ino_t inode, uint64_t count)
{
    floor_forget(floor_tree_of(request), inode, count);
    fuse_reply_none(request);
}

static void floor_on_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t index = 0; index < count; index++)
        floor_forget(floor_tree_of(request), forgets[index].ino, forgets[index].nlookup);
    fuse_reply_none(request);
}

static int floor_make_for(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device,
                          const char *target, struct stat *ret_attributes)
{
    const struct fuse_ctx *caller = fuse_req_ctx(request);
    struct floor_make make = {.mode = mode, .device = device, .uid = caller->uid, .gid = caller->gid, .target = target};
    return floor_make(floor_tree_of(request), parent, name, &make, ret_attributes);
}

static void floor_on_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    struct stat attributes;
    int result = floor_make_for(request, parent, name, mode, device, NULL, &attributes);
    floor_reply_entry(request, result, &attributes);
}

static void floor_on_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct stat attributes;
    int result = floor_make_for(request, parent, name, S_IFDIR | mode, 0, NULL, &attributes);
    floor_reply_entry(request, result, &attributes);
}

static void floor_on_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name)
{
    struct stat attributes;
    int result = floor_make_for(request, parent, name, S_IFLNK | 0777, 0, target, &attributes);
    floor_reply_entry(request, result, &attributes);
}

static void floor_on_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                            struct fuse_file_info *info)
{
    struct stat attributes;
    int result = floor_make_for(request, parent, name, S_IFREG | (mode & 07777), 0, NULL, &attributes);
    if (result != 0) {
        floor_reply_result(request, result);
        return;
    }
    struct fuse_entry_param entry;
    floor_fill_entry(&entry, &attributes);
    info->keep_cache = 1;
    info->noflush = 1;
    fuse_reply_create(request, &entry, info);
}

static void floor_on_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t parent, const char *name)
{
    struct stat attributes;
    int result = floor_link(floor_tree_of(request), inode, parent, name, &attributes);
    floor_reply_entry(request, result, &attributes);
}

static void floor_on_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    floor_reply_result(request, floor_unlink(floor_tree_of(request), parent, name));
}

static void floor_on_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    floor_reply_result(request, floor_rmdir(floor_tree_of(request), parent, name));
}

static void floor_on_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                            const char *new_name, unsigned flags)
{
    floor_reply_result(request, floor_rename(floor_tree_of(request), parent, name, new_parent, new_name, flags));
}

static void floor_on_readlink(fuse_req_t request, fuse_ino_t inode)
{
    const char *target;
    int result = floor_read_link(floor_tree_of(request), inode, &target);
    if (result != 0)
        floor_reply_result(request, result);
    else
        fuse_reply_readlink(request, target);
}

/* --- Attributes and contents -------------------------------------------------------------------------------------- */

static void floor_on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    struct stat attributes;
    (void)info;
    int result = floor_get_attributes(floor_tree_of(request), inode, &attributes);
    floor_reply_attributes(request, result, &attributes);
}

static void floor_on_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *wanted, int set,
                             struct fuse_file_info *info)
{
    struct stat attributes;
    (void)info;
    int result = floor_set_attributes(floor_tree_of(request), inode, set, wanted, &attributes);
    floor_reply_attributes(request, result, &attributes);
}

static void floor_on_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    (void)info;
    fuse_reply_err(request, ENOSYS);
}

static void floor_on_flush(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    (void)info;
    fuse_reply_err(request, ENOSYS);
}

static void floor_on_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    (void)info;
    fuse_reply_err(request, 0);
}

static void floor_emit_read(void *context, const struct iovec *iovecs, int count)
{
    fuse_reply_iov(context, iovecs, count);
}

static void floor_on_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)info;
    int result = floor_read(floor_tree_of(request), inode, (uint64_t)offset, size, floor_emit_read, request);
    if (result != 0)
        floor_reply_result(request, result);
}

static void floor_on_write(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size, off_t offset,
                           struct fuse_file_info *info)
{
    (void)info;
    int result = floor_write(floor_tree_of(request), inode, (uint64_t)offset, bytes, size);
    if (result != 0)
        floor_reply_result(request, result);
    else
        fuse_reply_write(request, size);
}

static void floor_on_fsync(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *info)
{
    (void)inode;
    (void)data_only;
    (void)info;
    fuse_reply_err(request, 0);
}

static void floor_on_statfs(fuse_req_t request, fuse_ino_t inode)
{
    (void)inode;
    struct statvfs space = {.f_bsize = 4096,
                            .f_frsize = 4096,
                            .f_blocks = 1U << 24,
                            .f_bfree = 1U << 23,
                            .f_bavail = 1U << 23,
                            .f_files = 1U << 24,
                            .f_ffree = 1U << 23,
                            .f_favail = 1U << 23,
                            .f_namemax = 255};
    fuse_reply_statfs(request, &space);
}

/* --- Directories -------------------------------------------------------------------------------------------------- */

static void floor_on_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    (void)inode;
    info->cache_readdir = 1;
    info->keep_cache = 1;
    fuse_reply_open(request, info);
}

struct floor_listing {
    fuse_req_t request;
    char *buffer;
    size_t size, used;
    bool plus;
};

static bool floor_emit_entry(void *context, const char *name, const struct stat *attributes, uint64_t next)
{
    struct floor_listing *listing = context;
    char *place = listing->buffer + listing->used;
    size_t room = listing->size - listing->used, needed;
    if (listing->plus) {
        struct fuse_entry_param entry;
        floor_fill_entry(&entry, attributes);
        needed = fuse_add_direntry_plus(listing->request, place, room, name, &entry, (off_t)next);
    } else {
        needed = fuse_add_direntry(listing->request, place, room, name, attributes, (off_t)next);
    }
    if (needed > room)
        return false;
    listing->used += needed;
    return true;
}

static void floor_reply_list(fuse_req_t request, fuse_ino_t inode, size_t size, off_t position, bool plus)
{
    struct floor_listing listing = {.request = request, .buffer = malloc(size), .size = size, .plus = plus};
    int result = -ENOMEM;
    if (listing.buffer != NULL)
        result = floor_list(floor_tree_of(request), inode, (uint64_t)position, plus, floor_emit_entry, &listing);
    if (result != 0)
        floor_reply_result(request, result);
    else
        fuse_reply_buf(request, listing.buffer, listing.used);
    free(listing.buffer);
}

static void floor_on_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t position,
                             struct fuse_file_info *info)
{
    (void)info;
    floor_reply_list(request, inode, size, position, false);
}

static void floor_on_readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t position,
                                 struct fuse_file_info *info)
{
    (void)info;
    floor_reply_list(request, inode, size, position, true);
}

/* --- Settings ----------------------------------------------------------------------------------------------------- */

static void floor_init(void *context, struct fuse_conn_info *connection)
{
    (void)context;
    connection->want &= ~(unsigned)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS_AUTO |
                                    FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
                                    FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK);
    connection->want |=
        connection->capable & (unsigned)(FUSE_CAP_READDIRPLUS | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA |
                                         FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO);
    connection->max_write = FLOOR_WRITE_MAX;
    connection->max_background = 64;
    connection->congestion_threshold = 48;
    connection->time_gran = 1;
}

static void floor_count_request(struct floor_server *server, const struct fuse_in_header *header)
{
    uint32_t index = header->opcode < FLOOR_OPCODE_COUNT ? header->opcode : 0;
    __atomic_fetch_add(&server->requests[index], 1, __ATOMIC_RELAXED);
}

static ssize_t floor_read_request(int fd, void *buffer, size_t size, void *context)
{
    struct floor_server *server = context;
    ssize_t count = read(fd, buffer, size);
    struct fuse_in_header header;
    if (count < (ssize_t)sizeof(header))
        return count;
    memcpy(&header, buffer, sizeof(header));
    floor_count_request(server, &header);
    if (header.opcode == FUSE_INIT && (size_t)count >= sizeof(header) + offsetof(struct fuse_init_in, flags2)) {
        struct fuse_init_in init;
        memcpy(&init, (char *)buffer + sizeof(header), offsetof(struct fuse_init_in, flags2));
        server->init_offered = init.flags;
    }
    return count;
}

/* The first reply of a session answers INIT. */
static ssize_t floor_write_reply(int fd, struct iovec *iovecs, int count, void *context)
{
    struct floor_server *server = context;
    if (!server->init_answered && count == 2 &&
        iovecs[1].iov_len >= offsetof(struct fuse_init_out, flags) + sizeof(uint32_t)) {
        uint32_t wanted = (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2) & server->init_offered, flags;
        char *place = (char *)iovecs[1].iov_base + offsetof(struct fuse_init_out, flags);
        memcpy(&flags, place, sizeof(flags));
        flags |= wanted;
        memcpy(place, &flags, sizeof(flags));
        server->init_answered = true;
    }
    return writev(fd, iovecs, count);
}

static const struct fuse_lowlevel_ops floor_operations = {
    .init = floor_init,
    .lookup = floor_on_lookup,
    .forget = floor_on_forget,
    .forget_multi = floor_on_forget_multi,
    .getattr = floor_on_getattr,
    .setattr = floor_on_setattr,
    .readlink = floor_on_readlink,
    .mknod = floor_on_mknod,
    .mkdir = floor_on_mkdir,
    .unlink = floor_on_unlink,
    .rmdir = floor_on_rmdir,
    .symlink = floor_on_symlink,
    .rename = floor_on_rename,
    .link = floor_on_link,
    .create = floor_on_create,
    .open = floor_on_open,
    .read = floor_on_read,
    .write = floor_on_write,
    .flush = floor_on_flush,
    .release = floor_on_release,
    .fsync = floor_on_fsync,
    .opendir = floor_on_opendir,
    .readdir = floor_on_readdir,
    .readdirplus = floor_on_readdirplus,
    .releasedir = floor_on_release,
    .fsyncdir = floor_on_fsync,
    .statfs = floor_on_statfs,
};

/* --- Life --------------------------------------------------------------------------------------------------------- */

static void floor_say(struct floor_server *server, bool mounted, const char *word)
{
    pthread_mutex_lock(&server->latch);
    server->mounted = mounted;
    printf("%s\n", word);
    fflush(stdout);
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->latch);
}

/* One mount, from mounting to the unmount. */
static int floor_serve(struct floor_server *server)
{
    char options[] = "fsname=floor,subtype=beeftree-floor,default_permissions,allow_other";
    char *arguments[] = {(char[]){"floor_server"}, (char[]){"-o"}, options, NULL};
    struct fuse_args fuse_arguments = FUSE_ARGS_INIT(3, arguments);
    const struct fuse_custom_io io = {.read = floor_read_request, .writev = floor_write_reply};
    server->init_answered = false;
    struct fuse_session *session =
        fuse_session_new(&fuse_arguments, &floor_operations, sizeof(floor_operations), server);
    if (session == NULL)
        return 1;
    int result = fuse_session_mount(session, server->mountpoint);
    if (result == 0)
        result = fuse_session_custom_io(session, &io, fuse_session_fd(session));
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (result == 0 && config != NULL) {
        fuse_loop_cfg_set_max_threads(config, FLOOR_THREADS_MAX);
        floor_say(server, true, "mounted");
        result = fuse_session_loop_mt(session, config);
        fuse_session_unmount(session);
        floor_forget_all(server->tree);
    }
    fuse_loop_cfg_destroy(config);
    fuse_session_destroy(session);
    fuse_opt_free_args(&fuse_arguments);
    if (result == 0)
        floor_say(server, false, "unmounted");
    return result == 0 ? 0 : 1;
}

static void floor_print_statistics(struct floor_server *server)
{
    static const char *const names[FLOOR_OPCODE_COUNT] = {
        [0] = "other",
        [FUSE_LOOKUP] = "lookup",
        [FUSE_FORGET] = "forget",
        [FUSE_GETATTR] = "getattr",
        [FUSE_SETATTR] = "setattr",
        [FUSE_READLINK] = "readlink",
        [FUSE_SYMLINK] = "symlink",
        [FUSE_MKNOD] = "mknod",
        [FUSE_MKDIR] = "mkdir",
        [FUSE_UNLINK] = "unlink",
        [FUSE_RMDIR] = "rmdir",
        [FUSE_RENAME] = "rename",
        [FUSE_LINK] = "link",
        [FUSE_OPEN] = "open",
        [FUSE_READ] = "read",
        [FUSE_WRITE] = "write",
        [FUSE_STATFS] = "statfs",
        [FUSE_RELEASE] = "release",
        [FUSE_FSYNC] = "fsync",
        [FUSE_GETXATTR] = "getxattr",
        [FUSE_FLUSH] = "flush",
        [FUSE_INIT] = "init",
        [FUSE_OPENDIR] = "opendir",
        [FUSE_READDIR] = "readdir",
        [FUSE_RELEASEDIR] = "releasedir",
        [FUSE_FSYNCDIR] = "fsyncdir",
        [FUSE_CREATE] = "create",
        [FUSE_BATCH_FORGET] = "forget_multi",
        [FUSE_READDIRPLUS] = "readdirplus",
        [FUSE_RENAME2] = "rename2",
        [FUSE_INTERRUPT] = "interrupt",
        [FUSE_LSEEK] = "lseek",
    };
    uint64_t inodes, bytes;
    floor_count(server->tree, &inodes, &bytes);
    printf("{\"inodes\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"requests\": {", inodes, bytes);
    const char *separator = "";
    for (uint32_t opcode = 0; opcode < FLOOR_OPCODE_COUNT; opcode++) {
        uint64_t count = __atomic_load_n(&server->requests[opcode], __ATOMIC_RELAXED);
        if (count == 0)
            continue;
        if (names[opcode] != NULL)
            printf("%s\"%s\": %" PRIu64, separator, names[opcode], count);
        else
            printf("%s\"opcode_%" PRIu32 "\": %" PRIu64, separator, opcode, count);
        separator = ", ";
    }
    printf("}}\n");
    fflush(stdout);
}

/* Lines of stdin until it ends. */
static void *floor_listen(void *context)
{
    struct floor_server *server = context;
    char line[64];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        pthread_mutex_lock(&server->latch);
        if (strcmp(line, "mount\n") == 0 && !server->mounted) {
            server->mounted = true;
            pthread_cond_broadcast(&server->changed);
        } else if (strcmp(line, "stats\n") == 0) {
            floor_print_statistics(server);
        }
        pthread_mutex_unlock(&server->latch);
    }
    pthread_mutex_lock(&server->latch);
    server->finished = true;
    bool mounted = server->mounted;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->latch);
    if (mounted)
        umount2(server->mountpoint, MNT_DETACH);
    return NULL;
}

/* Waits for the word to mount again; false at the end. */
static bool floor_wait(struct floor_server *server)
{
    pthread_mutex_lock(&server->latch);
    while (!server->mounted && !server->finished)
        pthread_cond_wait(&server->changed, &server->latch);
    bool again = server->mounted && !server->finished;
    pthread_mutex_unlock(&server->latch);
    return again;
}

int main(int argument_count, char **arguments)
{
    static struct floor_server server = {.latch = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    if (argument_count != 2 || arguments[1][0] != '/') {
        fprintf(stderr, "usage: floor_server MOUNTPOINT (an absolute path)\n");
        return 2;
    }
    server.mountpoint = arguments[1];
    server.tree = floor_create();
    if (server.tree == NULL) {
        fprintf(stderr, "floor_server: out of memory\n");
        return 1;
    }
    pthread_t listener;
    int result = pthread_create(&listener, NULL, floor_listen, &server) == 0 ? 0 : 1;
    do {
        if (result == 0)
            result = floor_serve(&server);
    } while (result == 0 && floor_wait(&server));
    return result;
}
