/* Numbers and sizes as people write them. strtoull is not used: it takes signs, blanks and prefixes. */
#include "base/parse.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Digits of the base; *ret_end is where they end, at least one digit is needed. */
static int parse_digits(const char *text, unsigned base, uint64_t *ret_number, const char **ret_end)
{
    uint64_t number = 0;
    const char *at = text;

    for (; *at >= '0' && *at < (char)('0' + (int)base); at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / base) {
            return -ERANGE;
        }
        number = number * base + digit;
    }
    if (at == text) {
        return -EINVAL;
    }
    *ret_number = number;
    *ret_end = at;
    return 0;
}

static int parse_whole(const char *text, unsigned base, uint64_t *ret_number)
{
    const char *end = NULL;
    uint64_t number = 0;
    int result = parse_digits(text, base, &number, &end);

    if (result < 0) {
        return result;
    }
    if (*end) {
        return -EINVAL;
    }
    *ret_number = number;
    return 0;
}

int base_parse_number(const char *text, uint64_t *ret_number)
{
    return parse_whole(text, 10, ret_number);
}

int base_parse_octal(const char *text, uint64_t *ret_number)
{
    return parse_whole(text, 8, ret_number);
}

int base_parse_size(const char *text, uint64_t *ret_size)
{
    static const char suffixes[] = "KkMmGgTt";
    const char *end = NULL;
    uint64_t number = 0;
    int result = parse_digits(text, 10, &number, &end);

    if (result < 0) {
        return result;
    }
    if (*end) {
        const char *suffix = strchr(suffixes, *end);
        if (!suffix || end[1]) {
            return -EINVAL;
        }
        unsigned shift = 10U * (1U + (unsigned)(suffix - suffixes) / 2U);
        if (number > UINT64_MAX >> shift) {
            return -ERANGE;
        }
        number <<= shift;
    }
    *ret_size = number;
    return 0;
}
