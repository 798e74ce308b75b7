/* Runs a piece of a test in a child process: for what ends the process, or needs a second one. */
#ifndef BEEFTREE_TESTS_SUPPORT_TEST_CHILD_H
#define BEEFTREE_TESTS_SUPPORT_TEST_CHILD_H

#include <stddef.h>

/* Forks, runs run(argument) with stderr going to the caller, exits 0. Returns the wait status; up to ret_size - 1 bytes
 * of what it wrote to stderr come back in ret_text, ended by a zero byte (NULL: stderr is left alone). */
int test_child_run(void (*run)(void *argument), void *argument, char *ret_text, size_t ret_size);

/* Whether the child aborts, as a broken invariant makes it. */
int test_child_aborts(void (*run)(void *argument), void *argument);

#endif
