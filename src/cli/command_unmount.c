/* beeftree unmount: unmounts and waits until the daemon has written everything. umount(8) does not: for the kernel a
 * FUSE filesystem is gone at once, while its daemon is still at work.
 *
 * Everything is asked to be durable before the unmount, since that answer can still be heard: afterwards the daemon is
 * on its own, and only its lock on the database, its life and (since Linux 6.15) its exit status can be watched. */
#include "internal.h"

#include "base/clock.h"
#include "base/message.h"
#include "base/parse.h"
#include "os/claim.h"
#include "os/mounts.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_S_DEFAULT 120U
#define TIMEOUT_S_MAX     86400U
#define REAPED_TIMEOUT_MS 100
/* Whoever looks at all mounts (df, findmnt, a monitor) makes each of them busy for a moment. */
#define BUSY_TRIES       10
#define BUSY_INTERVAL_MS 30

struct unmount {
    const char *path;  /* as given */
    char *mount_point; /* as the kernel has it */
    char *database;    /* NULL until the mount was found */
    struct os_file *file;
    int daemon;      /* pidfd, or -1 */
    bool has_failed; /* the filesystem says that it has turned read-only */
    uint64_t timeout_ms;
};

/* A dead mount can't be resolved itself, but the directory that it stands in can. */
static char *resolve_mount_point(const char *path)
{
    char *absolute = realpath(path, NULL);

    if (absolute || errno != ENOTCONN) {
        return absolute;
    }
    char *copy = strdup(path);
    char *copy_for_name = strdup(path);
    char *parent = copy && copy_for_name ? realpath(dirname(copy), NULL) : NULL;
    if (parent && asprintf(&absolute, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, basename(copy_for_name)) < 0) {
        absolute = NULL;
    }
    free(parent);
    free(copy_for_name);
    free(copy);
    return absolute;
}

/* The last mount on a point is the one that an unmount takes away. */
static bool see_mount(void *context, const struct os_mount *mount)
{
    struct unmount *unmount = context;

    if (strcmp(mount->mount_point, unmount->mount_point) == 0) {
        free(unmount->database);
        unmount->database = strcmp(mount->type, OS_MOUNT_TYPE) == 0 ? strdup(mount->source) : NULL;
    }
    return false;
}

static int find_mount(struct unmount *unmount)
{
    unmount->mount_point = resolve_mount_point(unmount->path);
    if (!unmount->mount_point) {
        int result = -errno;
        cli_explain(unmount->path, result, NULL);
        return result;
    }
    int result = os_mounts_visit(0, see_mount, unmount);
    if (result < 0) {
        cli_explain(unmount->path, result, NULL);
    } else if (!unmount->database) {
        result = -EINVAL;
        cli_explain(unmount->path, result, "is not the mount point of a beeftreefs");
    }
    return result < 0 ? result : 0;
}

/* What the daemon says of itself; 0 if it does not answer, or its number means another process to us (a container). */
static pid_t ask_daemon(struct unmount *unmount)
{
    char *text = NULL;
    char path[64];
    char name[32] = "";
    cJSON *root = cli_ask_status(unmount->mount_point, &text) == 0 ? cJSON_Parse(text) : NULL;
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(root, "state");
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(state, "pid");
    const cJSON *failure = cJSON_GetObjectItemCaseSensitive(state, "failure");
    pid_t pid = cJSON_IsNumber(number) ? (pid_t)number->valueint : 0;

    if (cJSON_IsString(failure)) {
        base_message(BASE_MESSAGE_ERROR, "%s: not everything could be saved: %s", unmount->path, failure->valuestring);
        unmount->has_failed = true;
    }
    cJSON_Delete(root);
    free(text);
    (void)snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
    FILE *file = pid > 0 ? fopen(path, "re") : NULL;
    if (file) {
        (void)!fgets(name, sizeof name, file);
        (void)fclose(file);
    }
    return strcmp(name, "beeftreefs\n") == 0 ? pid : 0;
}

/* Opens the database, to watch its lock, and its daemon. Neither is needed for the unmount itself. */
static void find_daemon(struct unmount *unmount)
{
    pid_t daemon = ask_daemon(unmount);

    unmount->daemon = daemon > 0 ? (int)syscall(SYS_pidfd_open, daemon, 0U) : -1;
    if (os_file_open(unmount->database, OS_FILE_READ_ONLY, &unmount->file) < 0) {
        unmount->file = NULL;
    }
}

static int sync_mount(const struct unmount *unmount)
{
    int descriptor = open(unmount->mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = 0;

    if (descriptor < 0) {
        return errno == ENOTCONN || errno == EACCES ? 0 : -errno;
    }
    if (fsync(descriptor) < 0 && errno != EROFS && errno != ENOTCONN) {
        result = -errno;
    }
    (void)close(descriptor);
    return result;
}

/* As an ordinary user: fusermount3 may do what we may not. Its messages go to our stderr, unless it is to be quiet. */
static int run_fusermount(const struct unmount *unmount, bool is_quiet)
{
    int status = 0;
    pid_t child = fork();

    if (child < 0) {
        return -errno;
    }
    if (child == 0) {
        int nowhere = is_quiet ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
        if (nowhere >= 0) {
            (void)dup2(nowhere, STDERR_FILENO);
        }
        (void)execlp("fusermount3", "fusermount3", "-u", "--", unmount->mount_point, (char *)NULL);
        cli_explain("fusermount3", -errno, NULL);
        _exit(127);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int try_take_away(const struct unmount *unmount, bool is_last)
{
    if (geteuid() != 0) {
        return run_fusermount(unmount, !is_last);
    }
    return umount2(unmount->mount_point, UMOUNT_NOFOLLOW) == 0 ? 0 : -errno;
}

static int take_away(const struct unmount *unmount)
{
    int result = 0;

    for (int count = 1; count <= BUSY_TRIES; count++) {
        result = try_take_away(unmount, count == BUSY_TRIES);
        /* fusermount3 does not say why it failed. */
        if (result != -EBUSY && result != -EIO) {
            break;
        }
        if (count < BUSY_TRIES) {
            (void)poll(NULL, 0, BUSY_INTERVAL_MS);
        }
    }
    if (result < 0 && geteuid() == 0) {
        cli_explain(unmount->path, result,
                    result == -EBUSY ? "is busy: a program has a file open in it, or works there" : NULL);
    }
    return result;
}

/* The exit status of a process that somebody else waits for: Linux 6.15 and later tell, through the pidfd. */
struct pidfd_exit_info {
    uint64_t mask, cgroup_identifier;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_EXIT_INFO_MASK ((uint64_t)1 << 3)
#define PIDFD_EXIT_INFO      _IOWR(0xFF, 11, struct pidfd_exit_info)

static int report_exit_status(const struct unmount *unmount)
{
    struct pidfd_exit_info info = {.mask = PIDFD_EXIT_INFO_MASK};
    struct pollfd reaped = {.fd = unmount->daemon}; /* POLLHUP: its parent, init, has seen the status; so may we */
    bool is_known = ioctl(unmount->daemon, PIDFD_EXIT_INFO, &info) == 0;

    if (is_known) {
        (void)poll(&reaped, 1, REAPED_TIMEOUT_MS);
        info = (struct pidfd_exit_info){.mask = PIDFD_EXIT_INFO_MASK};
        is_known = ioctl(unmount->daemon, PIDFD_EXIT_INFO, &info) == 0 && (info.mask & PIDFD_EXIT_INFO_MASK) != 0;
    }
    if (!is_known || info.exit_code == 0) {
        return 0;
    }
    if (WIFSIGNALED(info.exit_code)) {
        base_message(BASE_MESSAGE_ERROR, "%s: the daemon died of signal %d: what was not yet synced may be lost",
                     unmount->database, WTERMSIG(info.exit_code));
    } else {
        base_message(BASE_MESSAGE_ERROR, "%s: the daemon ended with status %d: not everything was saved (see syslog)",
                     unmount->database, WEXITSTATUS(info.exit_code));
    }
    return -EIO;
}

/* Until the daemon has let go of the database. The lock says it also of a daemon that could not be asked. */
static int wait_for_lock(const struct unmount *unmount)
{
    pid_t holder = 0;
    int result = os_file_lock(unmount->file, OS_FILE_LOCK_OPEN, true, unmount->timeout_ms, &holder);

    if (result == -EBUSY) {
        base_message(BASE_MESSAGE_ERROR, "%s: process %ld is still writing after %llu s", unmount->database,
                     (long)holder, (unsigned long long)(unmount->timeout_ms / 1000));
    } else if (result < 0) {
        cli_explain(unmount->database, result, NULL);
    }
    return result;
}

/* Until the daemon has ended. */
static int wait_for_daemon(const struct unmount *unmount)
{
    uint64_t end_ms = base_clock_monotonic_ms() + unmount->timeout_ms;
    struct pollfd end = {.fd = unmount->daemon, .events = POLLIN};

    if (!unmount->file && unmount->daemon < 0) {
        base_message(BASE_MESSAGE_WARNING, "%s: cannot be opened, so nothing can be waited for", unmount->database);
        return 0;
    }
    int result = unmount->file ? wait_for_lock(unmount) : 0;
    if (result < 0 || unmount->daemon < 0) {
        return result;
    }
    uint64_t now_ms = base_clock_monotonic_ms();
    if (poll(&end, 1, now_ms < end_ms ? (int)(end_ms - now_ms) : 0) == 0) {
        base_message(BASE_MESSAGE_ERROR, "%s: the daemon has not ended after %llu s", unmount->database,
                     (unsigned long long)(unmount->timeout_ms / 1000));
        return -EBUSY;
    }
    return report_exit_status(unmount);
}

static int unmount_and_wait(struct unmount *unmount)
{
    int result = find_mount(unmount);

    if (result < 0) {
        return result;
    }
    find_daemon(unmount);
    int synced = sync_mount(unmount);
    if (synced < 0) {
        base_message(BASE_MESSAGE_ERROR, "%s: not everything could be saved: %s", unmount->path, strerror(-synced));
    }
    result = take_away(unmount);
    if (result == 0) {
        result = wait_for_daemon(unmount);
    }
    if (result == 0 && unmount->has_failed) {
        result = -EIO;
    }
    return result < 0 ? result : synced;
}

static int run_unmount(const struct cli_command *command, int argument_count, char **arguments)
{
    static const struct option options[] = {
        {"timeout", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct unmount unmount = {.daemon = -1, .timeout_ms = TIMEOUT_S_DEFAULT * 1000U};
    uint64_t timeout_s = 0;
    int option;

    while ((option = cli_next_option(command, argument_count, arguments, ":t:h", options)) >= 0) {
        if (option == 'h') {
            return CLI_EXIT_OK;
        }
        if (option == '?') {
            return CLI_EXIT_USAGE;
        }
        if (base_parse_number(optarg, &timeout_s) < 0 || timeout_s > TIMEOUT_S_MAX) {
            base_message(BASE_MESSAGE_ERROR, "unmount: %s: a number of seconds from 0 to 86400 is wanted", optarg);
            return CLI_EXIT_USAGE;
        }
        unmount.timeout_ms = timeout_s * 1000;
    }
    if (!cli_has_one_argument(command, argument_count, arguments)) {
        return CLI_EXIT_USAGE;
    }
    unmount.path = arguments[optind];
    int result = unmount_and_wait(&unmount);
    if (unmount.file) {
        os_file_close(unmount.file);
    }
    if (unmount.daemon >= 0) {
        (void)close(unmount.daemon);
    }
    free(unmount.mount_point);
    free(unmount.database);
    return result < 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

const struct cli_command cli_command_unmount = {
    .name = "unmount",
    .usage = "[--timeout S] MOUNTPOINT",
    .summary = "unmount, and wait until everything is saved",
    .help = "  -t, --timeout=S  wait at most S seconds for the daemon (default 120)\n",
    .run = run_unmount,
};
