/* Messages and asserts, seen from the terminal. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/message.h"
#include "support/test_child.h"

static void say_one_of_each(void *argument)
{
    const int *verbose = argument;

    base_message_configure("tester", BASE_MESSAGE_TO_STDERR, *verbose);
    errno = ENOTTY;
    base_message(BASE_MESSAGE_ERROR, "page %d is broken", 7);
    base_message(BASE_MESSAGE_WARNING, "two");
    base_message(BASE_MESSAGE_INFO, "three");
    base_message(BASE_MESSAGE_DEBUG, "four");
    if (errno != ENOTTY) {
        base_message(BASE_MESSAGE_ERROR, "errno was lost");
    }
}

static void say_what_matters(void *argument)
{
    base_message_set_least(BASE_MESSAGE_ERROR);
    say_one_of_each(argument);
}

static void test_least(void **state)
{
    char text[1024];
    int verbose = 1;
    (void)state;

    assert_int_equal(test_child_run(say_what_matters, &verbose, text, sizeof text), 0);
    assert_string_equal(text, "tester: page 7 is broken\n");
}

static void test_levels(void **state)
{
    char text[1024];
    int verbose = 0;
    (void)state;

    assert_int_equal(test_child_run(say_one_of_each, &verbose, text, sizeof text), 0);
    assert_string_equal(text, "tester: page 7 is broken\ntester: two\ntester: three\n");
    verbose = 1;
    assert_int_equal(test_child_run(say_one_of_each, &verbose, text, sizeof text), 0);
    assert_string_equal(text, "tester: page 7 is broken\ntester: two\ntester: three\ntester: four\n");
}

static void say_ugly_things(void *argument)
{
    char long_text[3000];
    (void)argument;

    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    base_message_configure("tester", BASE_MESSAGE_TO_STDERR, 0);
    base_message(BASE_MESSAGE_ERROR, "name \"%s\"", "a\nb\033[2J\x7f \xc3\xa4");
    base_message(BASE_MESSAGE_ERROR, "%s", long_text);
}

static void test_lines_stay_lines(void **state)
{
    char text[4096];
    (void)state;

    assert_int_equal(test_child_run(say_ugly_things, NULL, text, sizeof text), 0);
    char *second = strchr(text, '\n') + 1;
    assert_memory_equal(text, "tester: name \"a?b?[2J? \xc3\xa4\"\n", (size_t)(second - text));
    assert_int_equal(strlen(second), strlen("tester: ") + 1000 + 1);
}

static void say_nothing(void *argument)
{
    (void)argument;
    base_message_configure("tester", BASE_MESSAGE_TO_NOWHERE, 1);
    base_message(BASE_MESSAGE_ERROR, "unheard");
}

static void test_nowhere(void **state)
{
    char text[256];
    (void)state;

    assert_int_equal(test_child_run(say_nothing, NULL, text, sizeof text), 0);
    assert_string_equal(text, "");
}

static void break_an_invariant(void *argument)
{
    int one = 1;
    (void)argument;

    base_message_configure("tester", BASE_MESSAGE_TO_NOWHERE, 0);
    BASE_ASSERT(one == 1);
    BASE_ASSERT(one == 2);
}

static void test_assert_names_the_place_and_aborts(void **state)
{
    char text[1024];
    (void)state;

    int status = test_child_run(break_an_invariant, NULL, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "tester: internal error: "));
    assert_non_null(strstr(text, "test_message.c:"));
    assert_non_null(strstr(text, "one == 2\n"));
}

static void test_reason_is_cut(void **state)
{
    struct base_reason reason;
    char long_text[1000];
    (void)state;

    base_reason_set(&reason, "locked by process %d", 12);
    assert_string_equal(reason.text, "locked by process 12");
    memset(long_text, 'y', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    base_reason_set(&reason, "%s", long_text);
    assert_int_equal(strlen(reason.text), sizeof reason.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_lines_stay_lines),
        cmocka_unit_test(test_nowhere),
        cmocka_unit_test(test_assert_names_the_place_and_aborts),
        cmocka_unit_test(test_reason_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
