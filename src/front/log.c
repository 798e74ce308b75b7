/* Messages of libfuse. They go where ours go; while a mount is made they are caught, together with what fusermount3
 * writes to its stderr, so that a failure is one line with its reason. */
#include "internal.h"

#include "base/message.h"

#include <fcntl.h>
#include <fuse_log.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool log_debug;
static int log_capture = -1; /* descriptor of the file that catches; only while one thread runs */
static int log_saved_stderr = -1;

static void to_message(enum fuse_log_level level, const char *format, va_list arguments)
{
    char text[800];

    if (log_capture >= 0) {
        (void)vdprintf(log_capture, format, arguments);
        return;
    }
    (void)vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    if (level >= FUSE_LOG_DEBUG) {
        if (log_debug) {
            (void)fprintf(stderr, "%s\n", text);
        }
        return;
    }
    base_message(level <= FUSE_LOG_ERR ? BASE_MESSAGE_ERROR : BASE_MESSAGE_WARNING, "%s", text);
}

void front_log_configure(bool debug)
{
    log_debug = debug;
    fuse_set_log_func(to_message);
}

void front_log_capture_begin(void)
{
    log_capture = memfd_create("beeftreefs-messages", MFD_CLOEXEC);
    if (log_capture < 0) {
        return;
    }
    log_saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (log_saved_stderr >= 0) {
        (void)dup2(log_capture, STDERR_FILENO);
    }
}

/* The last line that says something, without the name of the program that said it. */
static void last_line(char *messages, char *text, size_t text_size)
{
    static const char *const prefixes[] = {"fusermount3: ", "fusermount: ", "fuse: "};
    char *state = NULL;
    const char *last = "";

    for (char *line = strtok_r(messages, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        last = line;
    }
    for (size_t index = 0; index < sizeof prefixes / sizeof prefixes[0]; index++) {
        size_t length = strlen(prefixes[index]);
        if (strncmp(last, prefixes[index], length) == 0) {
            last += length;
        }
    }
    (void)snprintf(text, text_size, "%s", last);
}

void front_log_capture_end(char *text, size_t text_size)
{
    char messages[2048];

    text[0] = '\0';
    if (log_saved_stderr >= 0) {
        (void)dup2(log_saved_stderr, STDERR_FILENO);
        (void)close(log_saved_stderr);
        log_saved_stderr = -1;
    }
    if (log_capture < 0) {
        return;
    }
    ssize_t received = pread(log_capture, messages, sizeof messages - 1, 0);
    messages[received < 0 ? 0 : received] = '\0';
    last_line(messages, text, text_size);
    (void)close(log_capture);
    log_capture = -1;
}
