/* What the files of front/ share: options, the running mount, and the parts that main.c puts together.
 *
 *      main.c: options -> mount_point.c: checks -> startup.c: fork --+-> parent: waits for the report, asks the mount
 *                                                                    |
 *                                                                    +-> daemon.c: lock, create, open, mount, serve,
 *                                                                        unmount, close
 *
 * Requests: session.c receives and dispatches (libfuse), wire.c sees every message, requests_*.c answer. */
#ifndef BEEFTREE_FRONT_INTERNAL_H
#define BEEFTREE_FRONT_INTERNAL_H

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 12)

#include "base/latch.h"
#include "fs/fs.h"
#include "os/file.h"

#include <fuse_lowlevel.h>
#include <linux/ioctl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit statuses; the table in docs/man/beeftreefs.1 says the same. */
enum front_exit {
    FRONT_EXIT_OK = 0,
    FRONT_EXIT_USAGE = 1,
    FRONT_EXIT_DATABASE = 2, /* cannot be opened or created: the host's error */
    FRONT_EXIT_NOT_DATABASE = 3,
    FRONT_EXIT_DAMAGED = 4,
    FRONT_EXIT_NEWER = 5,
    FRONT_EXIT_IN_USE = 6,
    FRONT_EXIT_MOUNT_POINT = 7,
    FRONT_EXIT_NO_FUSE = 8,
    FRONT_EXIT_PERMISSION = 9,
    FRONT_EXIT_MOUNT = 10,
    FRONT_EXIT_INTERNAL = 11,
    FRONT_EXIT_SYNC = 12, /* of the daemon: not everything could be made durable at the end */
};

/* Why something did not work: one line for the terminal and the exit status. */
struct front_failure {
    enum front_exit status;
    char text[1000]; /* "PATH: reason" */
};

void front_failure_set(struct front_failure *failure, enum front_exit status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- Options (options.c) */

#define FRONT_THREADS_DEFAULT  10U /* bounds the memory of request buffers: about 2 MiB a thread */
#define FRONT_THREADS_MAX      64U
#define FRONT_COMMIT_S_DEFAULT 2U
#define FRONT_COMMIT_S_MAX     3600U

struct front_options {
    char *database;    /* absolute path */
    char *mount_point; /* absolute path */
    bool show_help, show_version;
    bool foreground, debug, single_threaded;
    bool read_only, nonempty;
    bool is_helper;              /* mount(8) started us (mount_helper.c) */
    bool takes_any_word;         /* unknown words of -o lists mean nothing */
    bool is_rehearsal;           /* do everything but mount: -f of mount(8) */
    bool remount;                /* change a mount that is there (remount.c) */
    unsigned long remount_flags; /* MS_*: what it is to be */
    bool has_access_times;       /* one of the words of access_times was given */
    enum fs_access_times access_times;
    bool directory_access_times_kept;
    bool asks_opens;    /* the kernel asks about every open: costs requests */
    bool has_acls;      /* POSIX ACLs: costs requests (docs/posix.md) */
    bool no_xattrs;     /* no extended attributes: saves requests */
    bool sync;          /* every change is durable before its reply */
    bool dirsync;       /* changes of names are */
    uint32_t commit_s;  /* unasked, what was changed is durable after so many seconds */
    uint32_t page_size; /* 0: not given */
    bool has_label;
    char label[STORE_LABEL_SIZE];
    uint64_t cache_size; /* bytes */
    unsigned threads_max;
    uid_t root_uid; /* of the root directory at creation */
    gid_t root_gid;
    mode_t root_mode;
    char *words;         /* of all -o as they were given; NULL: none */
    char *mount_options; /* comma-separated, escaped for libfuse: what it and the kernel understand */
};

/* Takes the command line apart; paths are made absolute by front_mount_point_check. Failure: FRONT_EXIT_USAGE. */
int front_options_parse(int argument_count, char **arguments, struct front_options *ret_options,
                        struct front_failure *failure);
void front_options_free(struct front_options *options);

/* A list of words with commas between, as -o takes. */
int front_options_take_words(struct front_options *options, const char *list, struct front_failure *failure);
/* Database and mount point, and nothing else. */
int front_options_take_paths(struct front_options *options, int count, char **paths, struct front_failure *failure);
/* Accounts for one word of an -o list (option_words.c). */
int front_option_word(struct front_options *options, const char *word, struct front_failure *failure);

/* --- Started by mount(8) (mount_helper.c) */

/* Whether the program was called by a name that mount(8) looks for: mount.beeftreefs, mount.fuse.beeftreefs. */
bool front_mount_helper_is(const char *program);
/* The command line that mount(8) makes; instead of front_options_parse's. */
int front_mount_helper_parse(struct front_options *options, int argument_count, char **arguments,
                             struct front_failure *failure);
/* What mount(8) is to exit with. */
int front_mount_helper_status(int status);

/* Mounts, in the background unless the options say otherwise; prints what failed; the exit status (main.c). */
int front_mount(struct front_options *options);

/* --- mount -o remount (remount.c). Prints what failed; the exit status. */
int front_remount(const struct front_options *options);
/* Whether the database was mounted already and is so now in a second place. */
bool front_mount_again(const struct front_options *options);
/* What the mount table says of access times; best effort, for the kernel does nothing with it. */
void front_mount_flags_show(const struct front_options *options);

/* --- Checks before anything is touched (mount_point.c) */

/* Mount point, /dev/fuse; makes both paths absolute. */
int front_mount_point_check(struct front_options *options, struct front_failure *failure);

/* --- The database (database.c) */

struct front_database {
    struct os_file *file;
    struct fs *fs;
    bool is_new; /* this program made it and nothing was kept in it yet: goes when starting fails */
};

/* Locks, creates if missing, opens. On failure nothing is left open or behind. */
int front_database_open(const struct front_options *options, struct front_database *ret_database,
                        struct front_failure *failure);
/* Closes; the last sync's result. discard: starting failed, a database that we made goes. */
int front_database_close(const struct front_options *options, struct front_database *database, bool discard);

/* --- The running mount (daemon.c, session.c, wire.c) */

#define FRONT_OPCODE_MAX 64U

struct front {
    const struct front_options *options;
    struct fs *fs;
    struct fuse_session *session;
    uint64_t start_ms;        /* base_clock_monotonic_ms */
    uint32_t offered;         /* INIT flags that the kernel offered; before any other thread runs */
    uint32_t kernel_minor;    /* its protocol is 7.minor; likewise */
    atomic_bool is_answering; /* INIT was answered */
    atomic_bool is_shut_down; /* shutdown.c */
    struct base_mutex directories_mutex;
    struct front_directory *directories;         /* open ones */
    _Atomic uint64_t requests[FRONT_OPCODE_MAX]; /* received */
    /* WRITEs of what was stored through mappings: received, answered. */
    _Atomic uint64_t mapped_writes_received, mapped_writes_finished;
    _Atomic uint64_t capability_removal;                                /* the last one (set_id.c) */
    void (*report)(void *context, const struct front_failure *failure); /* NULL failure: the mount answers */
    void *report_context;
};

/* The whole life of a mount. Reports once, ready or failed; returns the exit status. */
int front_daemon_run(const struct front_options *options,
                     void (*report)(void *context, const struct front_failure *failure), void *context);

int front_session_create(struct front *front, struct front_failure *failure);
int front_session_mount(struct front *front, struct front_failure *failure);
/* Until unmounted or ended by a signal. 0, or negative errno when the device failed. */
int front_session_serve(struct front *front);
void front_session_destroy(struct front *front);

/* Signals that end the daemon: block them before any thread starts. */
struct front_signals {
    pthread_t thread, main_thread;
    struct front *front;
    atomic_bool is_over;
};
void front_signals_block(void);
int front_signals_start(struct front_signals *signals, struct front *front);
void front_signals_stop(struct front_signals *signals);

/* Until every WRITE of mapped stores that was received before the call is finished; says how many were received. Not
 * for the only thread that serves, unless it is serving: then there is nothing to wait for. */
uint64_t front_wait_for_mapped_writes(struct front *front);

/* Answers the message if it is a STATX (statx.c); false: it is something else. */
bool front_statx_answer(struct front *front, int descriptor, const void *message);

/* The ioctl that ends a filesystem as if the machine stopped, and what is answered from then on (shutdown.c). */
#define FRONT_SHUTDOWN_IOCTL _IOR('X', 125, uint32_t) /* ext4, XFS and others have it */
void front_shut_down(fuse_req_t request, const void *argument);
/* Answers the message -EIO if no more is to be done; false: it may pass. */
bool front_shutdown_answer(struct front *front, int descriptor, const void *message);

extern const struct fuse_custom_io front_wire_io;
/* Whether the SETXATTR that this thread received last, of an access ACL, comes from one who may not keep S_ISGID. */
bool front_wire_clears_set_gid(void);
/* Whether the WRITE or SETATTR that this thread received last is to clear set-id bits; and whether the kernel says so
 * at all (HANDLE_KILLPRIV_V2). */
bool front_wire_clears_set_id(void);
bool front_wire_tells_set_id(const struct front *front);
/* Whether the CREATE that this thread received last is of a file without a name. */
bool front_wire_is_temporary(void);
extern const struct fuse_lowlevel_ops front_operations;
const char *front_opcode_name(unsigned opcode); /* NULL: unknown */

/* Messages of libfuse: to our sink, or (capture) kept as the reason of a failure. */
void front_log_configure(bool debug);
void front_log_capture_begin(void);
void front_log_capture_end(char *text, size_t text_size);

/* --- Starting in the background (startup.c): returns the exit status of the command */
int front_startup_background(const struct front_options *options);
int front_startup_foreground(const struct front_options *options);

/* --- Answers (reply.c) */

#define FRONT_TIMEOUT_S   1.0e9    /* we are the only writer: what the kernel knows stays true */
#define FRONT_IO_SIZE     65536U   /* st_blksize of files: stdio takes it as the size of its buffers */
#define FRONT_BUFFER_SIZE 1048576U /* the largest READ and READDIRPLUS */

/* Unless a change failed, it has to be durable before its reply when the mount was made so (-o sync, -o dirsync). The
 * result, or why it could not be made durable (the change is there all the same, until the mount ends). */
enum front_change { FRONT_CHANGE_NAMES, FRONT_CHANGE_CONTENTS };
int front_settle(fuse_req_t request, enum front_change change, int result);

struct front *front_of(fuse_req_t request);
struct fs_caller front_caller(fuse_req_t request);
/* The number of errno that a program may see for a negative result. */
int front_visible_error(int result);
void front_reply_result(fuse_req_t request, int result); /* 0 or negative errno */
void front_reply_attributes(fuse_req_t request, int result, const struct fs_attributes *attributes);
/* The kernel asks again before it relies on them. */
void front_reply_attributes_once(fuse_req_t request, const struct fs_attributes *attributes);
/* Gives the lookup count back when the kernel did not take the answer. */
void front_reply_entry(fuse_req_t request, int result, const struct fs_entry *entry);
void front_fill_stat(const struct fs_attributes *attributes, struct stat *ret_stat);
void front_fill_entry(const struct fs_attributes *attributes, struct fuse_entry_param *ret_entry);
/* This thread's buffer of FRONT_BUFFER_SIZE bytes, freed when the thread ends; NULL: out of memory. */
char *front_thread_buffer(void);

/* The JSON of all counters (status.c); -ERANGE when it does not fit. */
int front_status_print(struct front *front, char *text, size_t text_size);

/* --- Requests (requests_*.c) */

void front_init(void *context, struct fuse_conn_info *connection);

void front_lookup(fuse_req_t request, fuse_ino_t parent, const char *name);
void front_forget(fuse_req_t request, fuse_ino_t inode, uint64_t count);
void front_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets);
void front_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *info);
void front_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void front_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode);
void front_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name);
void front_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t parent, const char *name);
void front_unlink(fuse_req_t request, fuse_ino_t parent, const char *name);
void front_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name);
void front_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
                  unsigned flags);
void front_readlink(fuse_req_t request, fuse_ino_t inode);

void front_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void front_setattr(fuse_req_t request, fuse_ino_t inode, struct stat *attributes, int to_set,
                   struct fuse_file_info *info);
void front_statfs(fuse_req_t request, fuse_ino_t inode);

void front_getxattr(fuse_req_t request, fuse_ino_t inode, const char *name, size_t size);
void front_listxattr(fuse_req_t request, fuse_ino_t inode, size_t size);
void front_setxattr(fuse_req_t request, fuse_ino_t inode, const char *name, const char *value, size_t size, int flags);
void front_removexattr(fuse_req_t request, fuse_ino_t inode, const char *name);
/* Before contents or owner change: file capabilities go. With extended attributes the kernel sees to it; with -o
 * noxattr it does not know of them, so we do. */
int front_drop_capability(fuse_req_t request, fuse_ino_t inode);

/* The caller, with what becomes of set-id bits (set_id.c): of a WRITE; of a FALLOCATE or COPY_FILE_RANGE; of a SETATTR
 * of size or owner. */
struct fs_caller front_writer(fuse_req_t request, fuse_ino_t inode);
struct fs_caller front_range_changer(fuse_req_t request, fuse_ino_t inode);
struct fs_caller front_attribute_changer(fuse_req_t request, fuse_ino_t inode, bool changes_owner);
/* A SETATTR that sets nothing. */
void front_clear_set_id(fuse_req_t request, fuse_ino_t inode);
/* After a REMOVEXATTR of security.capability. */
void front_note_capability_removal(fuse_req_t request, fuse_ino_t inode);

void front_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void front_flush(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void front_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info);
void front_write(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size, off_t offset,
                 struct fuse_file_info *info);
void front_fsync(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *info);

void front_fallocate(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t size,
                     struct fuse_file_info *info);
void front_lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence, struct fuse_file_info *info);
void front_copy_file_range(fuse_req_t request, fuse_ino_t from, off_t from_offset, struct fuse_file_info *from_info,
                           fuse_ino_t to, off_t to_offset, struct fuse_file_info *to_info, size_t size, int flags);

void front_opendir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
void front_readdir(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info);
void front_readdirplus(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *info);
void front_releasedir(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info);
/* Those that are open still, after the session has ended. */
void front_directories_close(struct front *front);

void front_ioctl(fuse_req_t request, fuse_ino_t inode, unsigned command, void *argument, struct fuse_file_info *info,
                 unsigned flags, const void *in, size_t in_size, size_t out_size);

#endif
