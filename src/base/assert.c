/* The end of the program after a broken invariant: one line that names it, then abort (which leaves a core). */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

_Noreturn void base_assert_failed(const char *expression, const char *file, int line)
{
    char text[512];
    (void)snprintf(text, sizeof text, "internal error: %s:%d: not true: %s", file, line, expression);
    base_message_to_stderr(text);
    if (base_message_current_sink() == BASE_MESSAGE_TO_SYSLOG) {
        base_message(BASE_MESSAGE_ERROR, "%s", text);
    }
    abort();
}
