/* Messages to the person who runs the program. A line goes out in one write(2), so that lines of several threads don't
 * mix, and no lock is needed: the configuration is fixed before threads start. errno survives a message. */
#include "base/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "internal.h"

enum { TEXT_MAX = 1000 };

static const char *message_program = "beeftree";
static enum base_message_sink message_sink = BASE_MESSAGE_TO_STDERR;
static int message_verbose;
static enum base_message_level message_least = BASE_MESSAGE_DEBUG;

void base_message_configure(const char *program, enum base_message_sink sink, int verbose)
{
    if (message_sink == BASE_MESSAGE_TO_SYSLOG) {
        closelog();
    }
    message_program = program;
    message_sink = sink;
    message_verbose = verbose;
    if (sink == BASE_MESSAGE_TO_SYSLOG) {
        openlog(program, LOG_PID, LOG_DAEMON);
    }
}

void base_message_set_least(enum base_message_level level)
{
    message_least = level;
}

enum base_message_sink base_message_current_sink(void)
{
    return message_sink;
}

void base_message_to_stderr(const char *text)
{
    struct iovec parts[] = {
        {.iov_base = (void *)message_program, .iov_len = strlen(message_program)},
        {.iov_base = (void *)": ", .iov_len = 2},
        {.iov_base = (void *)text, .iov_len = strlen(text)},
        {.iov_base = (void *)"\n", .iov_len = 1},
    };
    /* There is nobody left to tell when this fails. */
    ssize_t written = writev(STDERR_FILENO, parts, sizeof parts / sizeof parts[0]);
    (void)written;
}

static int level_priority(enum base_message_level level)
{
    switch (level) {
    case BASE_MESSAGE_ERROR:
        return LOG_ERR;
    case BASE_MESSAGE_WARNING:
        return LOG_WARNING;
    case BASE_MESSAGE_INFO:
        return LOG_INFO;
    case BASE_MESSAGE_DEBUG:
        break;
    }
    return LOG_DEBUG;
}

/* Names that come from a disk or a user can't then forge lines or steer a terminal. */
static void hide_control_characters(char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == 0x7f) {
            *text = '?';
        }
    }
}

void base_message(enum base_message_level level, const char *format, ...)
{
    char text[TEXT_MAX + 1];
    int saved_errno = errno;
    va_list arguments;

    if (message_sink == BASE_MESSAGE_TO_NOWHERE || level > message_least ||
        (level == BASE_MESSAGE_DEBUG && !message_verbose)) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    hide_control_characters(text);
    if (message_sink == BASE_MESSAGE_TO_SYSLOG) {
        syslog(level_priority(level), "%s", text);
    } else {
        base_message_to_stderr(text);
    }
    errno = saved_errno;
}

void base_reason_set(struct base_reason *reason, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reason->text, sizeof reason->text, format, arguments);
    va_end(arguments);
}
