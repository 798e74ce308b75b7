/* beeftree sync: makes everything in a mount durable. sync(1), sync(2) and syncfs(2) do not: the kernel tells a FUSE
 * daemon nothing of them (os/status.h has how it is done instead). */
#include "internal.h"

#include "base/clock.h"
#include "base/message.h"
#include "os/status.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define QUIET_ROUNDS       4U     /* pauses of 1, 2, 4, 8 ms: a request may have been received and not yet counted */
#define STORING_TIMEOUT_MS 10000U /* others may have the kernel write mapped pages all the time */

static int ask(int descriptor, bool is_durable, uint64_t *ret_mapped_writes)
{
    struct os_sync sync = {.is_durable = is_durable};

    if (ioctl(descriptor, OS_SYNC_IOCTL, &sync) < 0) {
        return errno == ENOSYS || errno == EINVAL || errno == EOPNOTSUPP ? -ENOTTY : -errno;
    }
    *ret_mapped_writes = sync.mapped_writes;
    return 0;
}

/* What was stored through mappings is with the daemon then. Such stores are sent in the background and in portions:
 * when the number of those received no longer changes, the kernel has no more. -EBUSY when it never stays: then there
 * is no telling which of them are old. */
static int collect_mapped_stores(int descriptor)
{
    uint64_t end_ms = base_clock_monotonic_ms() + STORING_TIMEOUT_MS;
    uint64_t before = UINT64_MAX;
    unsigned quiet_rounds = 0;

    if (syncfs(descriptor) < 0) {
        return -errno;
    }
    while (quiet_rounds < QUIET_ROUNDS) {
        if (base_clock_monotonic_ms() >= end_ms) {
            return -EBUSY;
        }
        const struct timespec pause = {.tv_nsec = (1000L * 1000L) << quiet_rounds};
        uint64_t now = 0;
        int result = ask(descriptor, false, &now);
        if (result < 0) {
            return result;
        }
        quiet_rounds = now == before ? quiet_rounds + 1 : 0;
        before = now;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

int cli_sync_mount(int descriptor)
{
    struct statfs status;
    uint64_t mapped_writes = 0;

    if (fstatfs(descriptor, &status) < 0) {
        return -errno;
    }
    if (status.f_type != FUSE_SUPER_MAGIC) {
        return -ENOTTY;
    }
    int collected = collect_mapped_stores(descriptor);
    if (collected < 0 && collected != -EBUSY) {
        return collected;
    }
    int synced = ask(descriptor, true, &mapped_writes);
    return synced < 0 ? synced : collected;
}

static const char *find_reason(int result)
{
    switch (-result) {
    case ENOTTY:
        return "is not in a mounted beeftreefs";
    case EPERM:
        return "only root and the user whose mount it is may do that";
    case EBUSY:
        return "everything written is saved, but programs go on storing through mappings: of that not all may be";
    case EROFS:
        return "not everything is saved: the filesystem has turned read-only (\"beeftree status\" says why)";
    default:
        return NULL;
    }
}

static int run_sync(const struct cli_command *command, int argument_count, char **arguments)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option = cli_next_option(command, argument_count, arguments, ":h", options);

    if (option >= 0) {
        return option == 'h' ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    }
    if (!cli_has_one_argument(command, argument_count, arguments)) {
        return CLI_EXIT_USAGE;
    }
    const char *path = arguments[optind];
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int result = descriptor < 0 ? -errno : cli_sync_mount(descriptor);
    if (descriptor >= 0) {
        (void)close(descriptor);
    }
    if (result < 0) {
        cli_explain(path, result, find_reason(result));
    }
    return result < 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

const struct cli_command cli_command_sync = {
    .name = "sync",
    .usage = "PATH",
    .summary = "make everything durable in the mount that PATH is in",
    .help = "Also what programs have stored through mappings. sync(1) and syncfs(2) do not do that for a FUSE mount.\n",
    .run = run_sync,
};
