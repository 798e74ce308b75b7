/* What the files of base/ share among themselves. */
#ifndef BEEFTREE_BASE_INTERNAL_H
#define BEEFTREE_BASE_INTERNAL_H

#include "base/message.h"

/* Writes "program: text\n" to stderr in one call, whatever the configured sink. Async-signal-safe. */
void base_message_to_stderr(const char *text);

enum base_message_sink base_message_current_sink(void);

#endif
