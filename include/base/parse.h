/* Numbers and sizes as people write them on a command line. Whole words only: no sign, no blanks, nothing behind. */
#ifndef BEEFTREE_BASE_PARSE_H
#define BEEFTREE_BASE_PARSE_H

#include <stdint.h>

/* Decimal digits; -EINVAL for anything else, -ERANGE past UINT64_MAX. */
int base_parse_number(const char *text, uint64_t *ret_number);

/* A number in base 8, as modes and umasks are written. */
int base_parse_octal(const char *text, uint64_t *ret_number);

/* Bytes: decimal digits and perhaps one of K, M, G, T (or k, m, g, t), powers of 1024. */
int base_parse_size(const char *text, uint64_t *ret_size);

#endif
