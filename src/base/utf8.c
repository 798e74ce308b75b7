/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include "base/utf8.h"

#include <stddef.h>
#include <stdint.h>

/* Lead bytes from first to last begin a sequence whose second byte lies in a range of its own. */
struct form {
    uint8_t first, last, size, second_min, second_max;
};

static const struct form forms[] = {
    {0x01, 0x7F, 1, 0, 0},       {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF},
    {0xE1, 0xEC, 3, 0x80, 0xBF}, {0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF},
    {0xF0, 0xF0, 4, 0x90, 0xBF}, {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

/* Bytes of the well-formed sequence at text, or 0. Stops at the NUL, which continues nothing. */
static size_t sequence_size(const uint8_t *text)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const struct form *form = &forms[i];
        if (text[0] < form->first || text[0] > form->last) {
            continue;
        }
        if (form->size > 1 && (text[1] < form->second_min || text[1] > form->second_max)) {
            return 0;
        }
        for (size_t at = 2; at < form->size; at++) {
            if ((text[at] & 0xC0) != 0x80) {
                return 0;
            }
        }
        return form->size;
    }
    return 0;
}

void base_utf8_repair(char *text)
{
    while (*text != '\0') {
        size_t size = sequence_size((const uint8_t *)text);
        if (size == 0) {
            *text = '?';
            size = 1;
        }
        text += size;
    }
}
