/* Text that must be UTF-8 (JSON) made of bytes that need not be (names, paths, labels). */
#ifndef BEEFTREE_BASE_UTF8_H
#define BEEFTREE_BASE_UTF8_H

/* Replaces each byte that belongs to no well-formed sequence by '?'. text is NUL-terminated. */
void base_utf8_repair(char *text);

#endif
