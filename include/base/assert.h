/* Asserts that state our own invariants. They stay on in release builds. What comes from disk, user or kernel
 * is never asserted: it is checked and answered with an error. */
#ifndef BEEFTREE_BASE_ASSERT_H
#define BEEFTREE_BASE_ASSERT_H

/* Prints one line naming the place and the broken invariant (to stderr and, in the daemon, to syslog), then aborts. */
_Noreturn void base_assert_failed(const char *expression, const char *file, int line);

#define BASE_ASSERT(expression) ((expression) ? (void)0 : base_assert_failed(#expression, __FILE__, __LINE__))

#endif
