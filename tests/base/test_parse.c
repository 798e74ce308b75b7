/* Numbers and sizes from the command line: what is taken, and that nothing else is. */
#include "base/parse.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void takes_numbers(void **state)
{
    uint64_t number = 7;

    (void)state;
    assert_int_equal(base_parse_number("0", &number), 0);
    assert_int_equal(number, 0);
    assert_int_equal(base_parse_number("18446744073709551615", &number), 0);
    assert_true(number == UINT64_MAX);
    assert_int_equal(base_parse_octal("0755", &number), 0);
    assert_int_equal(number, 0755);
}

static void refuses_what_is_no_number(void **state)
{
    static const char *const texts[] = {"", " 1", "1 ", "-1", "+1", "0x10", "1a", "K", "1.5"};
    uint64_t number = 7;

    (void)state;
    for (size_t index = 0; index < sizeof texts / sizeof texts[0]; index++) {
        assert_int_equal(base_parse_number(texts[index], &number), -EINVAL);
    }
    assert_int_equal(base_parse_number("18446744073709551616", &number), -ERANGE);
    assert_int_equal(base_parse_octal("8", &number), -EINVAL);
    assert_int_equal(number, 7);
}

static void takes_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
    } cases[] = {
        {"4096", 4096},
        {"4K", 4096},
        {"4k", 4096},
        {"64M", 64ULL << 20},
        {"3g", 3ULL << 30},
        {"2T", 2ULL << 40},
        {"16777215T", 16777215ULL << 40},
    };
    uint64_t size = 0;

    (void)state;
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        assert_int_equal(base_parse_size(cases[index].text, &size), 0);
        assert_true(size == cases[index].size);
    }
}

static void refuses_what_is_no_size(void **state)
{
    static const char *const texts[] = {"", "K", "4KB", "4 K", "4KK", "4P", "-4K"};
    uint64_t size = 7;

    (void)state;
    for (size_t index = 0; index < sizeof texts / sizeof texts[0]; index++) {
        assert_int_equal(base_parse_size(texts[index], &size), -EINVAL);
    }
    assert_int_equal(base_parse_size("16777216T", &size), -ERANGE);
    assert_int_equal(size, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_numbers),
        cmocka_unit_test(refuses_what_is_no_number),
        cmocka_unit_test(takes_sizes),
        cmocka_unit_test(refuses_what_is_no_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
