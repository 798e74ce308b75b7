/* One-line messages to the person who runs the program: to stderr, or to syslog once the daemon is in the background.
 */
#ifndef BEEFTREE_BASE_MESSAGE_H
#define BEEFTREE_BASE_MESSAGE_H

enum base_message_level { BASE_MESSAGE_ERROR, BASE_MESSAGE_WARNING, BASE_MESSAGE_INFO, BASE_MESSAGE_DEBUG };

enum base_message_sink { BASE_MESSAGE_TO_STDERR, BASE_MESSAGE_TO_SYSLOG, BASE_MESSAGE_TO_NOWHERE };

/* Where messages go from now on; program is the prefix ("beeftreefs"), kept by pointer. Debug messages appear only when
 * verbose. Not thread-safe against base_message: call it before threads start. */
void base_message_configure(const char *program, enum base_message_sink sink, int verbose);

/* Messages less important than that don't appear from now on; DEBUG (the start): all do. Not thread-safe either. */
void base_message_set_least(enum base_message_level level);

/* Thread-safe. A line is cut at 1,000 bytes; control characters in it are shown as '?'. */
void base_message(enum base_message_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A reason that a caller can show: filled by functions that refuse something for a cause that errno can't carry. */
struct base_reason {
    char text[256];
};

void base_reason_set(struct base_reason *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
