/* See test_child.h. */
#include "support/test_child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"

static size_t read_all(int descriptor, char *to, size_t size)
{
    char rest[256];
    size_t used = 0;

    for (;;) {
        ssize_t received = used < size ? read(descriptor, to + used, size - used) : read(descriptor, rest, sizeof rest);
        if (received <= 0) {
            return used;
        }
        if (used < size) {
            used += (size_t)received;
        }
    }
}

int test_child_run(void (*run)(void *argument), void *argument, char *ret_text, size_t ret_size)
{
    int ends[2];
    int status;

    BASE_ASSERT(pipe(ends) == 0);
    (void)fflush(NULL);
    pid_t child = fork();
    BASE_ASSERT(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        /* cmocka's handlers would turn an abort into a failed test of the child's copy of the group. */
        (void)signal(SIGABRT, SIG_DFL);
        if (ret_text) {
            (void)dup2(ends[1], STDERR_FILENO);
        }
        (void)close(ends[0]);
        (void)close(ends[1]);
        run(argument);
        _exit(0);
    }
    (void)close(ends[1]);
    if (ret_text) {
        ret_text[read_all(ends[0], ret_text, ret_size - 1)] = '\0';
    }
    (void)close(ends[0]);
    BASE_ASSERT(waitpid(child, &status, 0) == child);
    return status;
}

int test_child_aborts(void (*run)(void *argument), void *argument)
{
    char text[1024];
    int status = test_child_run(run, argument, text, sizeof text);

    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
