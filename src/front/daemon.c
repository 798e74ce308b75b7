/* The life of a mount: database, session, mount, service, and the end in the opposite order. The mount goes first, then
 * the lock MOUNTED, then everything is made durable and the lock OPEN goes: who mounts again right away waits for that.
 */
#include "internal.h"

#include "base/clock.h"
#include "base/message.h"
#include "os/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_AHEAD_KB "1024\n" /* one READ of the largest size; the default is 128 */

struct daemon {
    struct front front;
    struct front_database database;
    void (*report)(void *context, const struct front_failure *failure);
    void *report_context;
    bool is_reported;
};

struct device_search {
    const char *mount_point;
    unsigned major, minor;
    bool is_found;
};

/* Of several mounts on one point the last is the one on top. */
static bool find_device(void *context, const struct os_mount *mount)
{
    struct device_search *search = context;

    if (strcmp(mount->mount_point, search->mount_point) == 0) {
        search->major = mount->major;
        search->minor = mount->minor;
        search->is_found = true;
    }
    return false;
}

/* Best effort: only root may, and INIT can only lower what the kernel starts with. Touches no file of the mount, which
 * would be a request to ourselves. */
static void raise_read_ahead(const char *mount_point)
{
    struct device_search search = {.mount_point = mount_point};
    char path[64];

    if (geteuid() != 0 || os_mounts_visit(0, find_device, &search) < 0 || !search.is_found) {
        return;
    }
    (void)snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", search.major, search.minor);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        ssize_t written = write(descriptor, READ_AHEAD_KB, strlen(READ_AHEAD_KB));
        (void)written;
        (void)close(descriptor);
    }
}

static void report_ready(void *context, const struct front_failure *failure)
{
    struct daemon *daemon = context;

    raise_read_ahead(daemon->front.options->mount_point);
    front_mount_flags_show(daemon->front.options);
    base_message(BASE_MESSAGE_INFO, "%s: mounted on %s", daemon->front.options->database,
                 daemon->front.options->mount_point);
    daemon->is_reported = true;
    daemon->report(daemon->report_context, failure);
}

/* Mounts and serves until the end. 0, or negative errno with a failure for whoever started us. */
static int mount_and_serve(struct daemon *daemon, struct front_failure *failure)
{
    struct front *front = &daemon->front;
    struct front_signals signals;
    int result = front_session_create(front, failure);

    if (result < 0) {
        return result;
    }
    result = front_session_mount(front, failure);
    if (result < 0) {
        fuse_session_destroy(front->session);
        return result;
    }
    result = front_signals_start(&signals, front);
    if (result == 0) {
        result = front_session_serve(front);
        front_signals_stop(&signals);
    }
    if (result < 0) {
        front_failure_set(failure, FRONT_EXIT_INTERNAL, "%s: %s", front->options->mount_point, strerror(-result));
    } else if (!atomic_load(&front->is_answering)) {
        result = -EINTR;
        front_failure_set(failure, FRONT_EXIT_MOUNT, "%s: was ended before it answered", front->options->mount_point);
    }
    front_session_destroy(front);
    front_directories_close(front);
    return result;
}

/* The end of the database; a failure here is the daemon's last word. */
static int finish(struct daemon *daemon)
{
    const struct front_options *options = daemon->front.options;
    struct base_reason reason = {""};
    bool was_mounted = daemon->is_reported;

    os_file_unlock(daemon->database.file, OS_FILE_LOCK_MOUNTED);
    int failed_before = options->read_only ? 0 : fs_get_failure(daemon->front.fs, &reason);
    int result = front_database_close(options, &daemon->database, !was_mounted);
    if (result == 0) {
        result = failed_before;
    }
    if (!was_mounted) {
        return result;
    }
    if (result < 0) {
        base_message(BASE_MESSAGE_ERROR, "%s: unmounted, but not everything could be saved: %s", options->database,
                     reason.text[0] ? reason.text : strerror(-result));
    } else {
        base_message(BASE_MESSAGE_INFO, "%s: unmounted", options->database);
    }
    return result;
}

int front_daemon_run(const struct front_options *options,
                     void (*report)(void *context, const struct front_failure *failure), void *context)
{
    struct daemon daemon = {
        .front = {.options = options, .start_ms = base_clock_monotonic_ms(), .report = report_ready},
        .report = report,
        .report_context = context,
    };
    struct front_failure failure = {.status = FRONT_EXIT_INTERNAL};

    daemon.front.report_context = &daemon;
    base_mutex_init(&daemon.front.directories_mutex, BASE_RANK_LEAF);
    if (front_database_open(options, &daemon.database, &failure) < 0) {
        report(context, &failure);
        return (int)failure.status;
    }
    daemon.front.fs = daemon.database.fs;
    int served = mount_and_serve(&daemon, &failure);
    int finished = finish(&daemon);
    if (!daemon.is_reported) {
        report(context, &failure);
        return (int)failure.status;
    }
    if (served < 0) {
        base_message(BASE_MESSAGE_ERROR, "%s", failure.text);
    }
    return finished < 0 ? FRONT_EXIT_SYNC : served < 0 ? (int)failure.status : FRONT_EXIT_OK;
}
