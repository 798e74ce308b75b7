/* Bytes that are no UTF-8 become '?', everything else stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static void test_repair(void **state)
{
    static const struct {
        const char *text, *repaired;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F"},
        {"\xE2\x82\xAC \xF0\x9F\x90\x9D", "\xE2\x82\xAC \xF0\x9F\x90\x9D"},
        {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"}, /* U+10FFFF */
        {"a\x80z", "a?z"},
        {"a\xFFz", "a?z"},
        {"\xC0\xAF", "??"},            /* overlong */
        {"\xE0\x9F\xBF", "???"},       /* overlong */
        {"\xED\xA0\x80", "???"},       /* a surrogate */
        {"\xF4\x90\x80\x80", "????"},  /* beyond U+10FFFF */
        {"\xF5\x80\x80\x80", "????"},  /* likewise */
        {"\xE2\x82", "??"},            /* cut short */
        {"\xE2\x82z", "??z"},          /* interrupted */
        {"\xF0\x9F\x90", "???"},       /* cut short */
        {"\xC3\xC3\xBC", "?\xC3\xBC"}, /* a lead byte before a good one */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[16];

        snprintf(text, sizeof text, "%s", cases[i].text);
        base_utf8_repair(text);
        assert_string_equal(text, cases[i].repaired);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_repair)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
