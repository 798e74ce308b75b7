/* Starting: in the foreground, or in the background with a parent that returns only when the mount answers.
 *
 *      parent                              child
 *      fork ------------------------------ setsid, / , no terminal, messages to syslog
 *      reads the pipe                      opens, mounts, answers INIT
 *        <-- report: ready, or a failure ---
 *      ready: asks the mount, exits 0      serves
 *      failure: prints it, exits with it   has ended
 *
 * The pipe closed without a report: the child died, and how is said. */
#include "internal.h"

#include "base/message.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

static void print_failure(const struct front_failure *failure)
{
    base_message(BASE_MESSAGE_ERROR, "%s", failure->text);
}

/* --- Foreground */

static void report_in_foreground(void *context, const struct front_failure *failure)
{
    (void)context;
    if (failure) {
        print_failure(failure);
    }
}

int front_startup_foreground(const struct front_options *options)
{
    base_message_configure("beeftreefs", BASE_MESSAGE_TO_STDERR, options->debug);
    front_log_configure(options->debug);
    if (chdir("/") < 0) {
        base_message(BASE_MESSAGE_ERROR, "/: %s", strerror(errno));
        return FRONT_EXIT_INTERNAL;
    }
    return front_daemon_run(options, report_in_foreground, NULL);
}

/* --- Background */

static void report_to_parent(void *context, const struct front_failure *failure)
{
    const struct front_failure ready = {.status = FRONT_EXIT_OK};
    int *pipe_end = context;
    const struct front_failure *report = failure ? failure : &ready;
    ssize_t written = write(*pipe_end, report, sizeof *report);

    (void)close(*pipe_end);
    if (written != (ssize_t)sizeof *report && !failure) {
        /* Nobody waits any more for the mount that was asked for: it goes again. */
        (void)kill(getpid(), SIGTERM);
    }
}

static int leave_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (setsid() < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0 || chdir("/") < 0) {
        return -errno;
    }
    if (null > STDERR_FILENO) {
        (void)close(null);
    }
    return 0;
}

_Noreturn static void run_child(const struct front_options *options, int pipe_end)
{
    struct front_failure failure;

    base_message_configure("beeftreefs", BASE_MESSAGE_TO_SYSLOG, 0);
    front_log_configure(false);
    int result = leave_terminal();
    if (result < 0) {
        front_failure_set(&failure, FRONT_EXIT_INTERNAL, "%s: cannot go to the background: %s", options->mount_point,
                          strerror(-result));
        report_to_parent(&pipe_end, &failure);
        _exit(FRONT_EXIT_INTERNAL);
    }
    exit(front_daemon_run(options, report_to_parent, &pipe_end));
}

/* How a child ended that said nothing. */
static void explain_death(const struct front_options *options, pid_t child, struct front_failure *failure)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) {
        front_failure_set(failure, FRONT_EXIT_INTERNAL, "%s: the daemon died of signal %d (%s)", options->mount_point,
                          WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        front_failure_set(failure, FRONT_EXIT_INTERNAL, "%s: the daemon ended with status %d without a word",
                          options->mount_point, WEXITSTATUS(status));
    }
}

/* Whether what the mount point answers is FUSE: the request goes through the new mount. */
static int ask_mount(const struct front_options *options, struct front_failure *failure)
{
    struct statfs answer;
    int result = 0;

    if (statfs(options->mount_point, &answer) < 0) {
        result = -errno;
        front_failure_set(failure, FRONT_EXIT_MOUNT, "%s: the mount does not answer: %s", options->mount_point,
                          strerror(-result));
    } else if (answer.f_type != FUSE_SUPER_MAGIC) {
        result = -EIO;
        front_failure_set(failure, FRONT_EXIT_MOUNT, "%s: was unmounted again at once", options->mount_point);
    }
    return result;
}

static void read_report(const struct front_options *options, int pipe_end, pid_t child,
                        struct front_failure *ret_report)
{
    ssize_t received;

    do {
        received = read(pipe_end, ret_report, sizeof *ret_report);
    } while (received < 0 && errno == EINTR);
    if (received != (ssize_t)sizeof *ret_report) {
        explain_death(options, child, ret_report);
    }
}

int front_startup_background(const struct front_options *options)
{
    struct front_failure report;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) {
        base_message(BASE_MESSAGE_ERROR, "cannot make a pipe: %s", strerror(errno));
        return FRONT_EXIT_INTERNAL;
    }
    pid_t child = fork();
    if (child < 0) {
        base_message(BASE_MESSAGE_ERROR, "cannot start a process: %s", strerror(errno));
        return FRONT_EXIT_INTERNAL;
    }
    if (child == 0) {
        (void)close(ends[0]);
        run_child(options, ends[1]);
    }
    (void)close(ends[1]);
    read_report(options, ends[0], child, &report);
    (void)close(ends[0]);
    if (report.status == FRONT_EXIT_OK && ask_mount(options, &report) < 0) {
        (void)kill(child, SIGTERM);
    }
    if (report.status != FRONT_EXIT_OK) {
        print_failure(&report);
    }
    return (int)report.status;
}
