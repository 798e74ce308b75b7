/* The memory that one open directory keeps of the places it has handed out. */
#ifndef BEEFTREE_FS_DIRECTORY_H
#define BEEFTREE_FS_DIRECTORY_H

#include "internal.h"

/* Cookies of the places after "." and "..". */
#define FS_COOKIE_DOT     1U
#define FS_COOKIE_DOT_DOT 2U

/* A cookie is a hash of the name after which the listing goes on: 63 bits, never a small value. */
uint64_t fs_cookie_hash(uint64_t seed, const char *name, size_t name_size);

/* How many of the last places are remembered: between this and twice as many. */
#define FS_COOKIE_GENERATION_SIZE 2048U

struct fs_cookie_slot {
    uint64_t cookie;
    uint32_t name_offset; /* in names */
    uint16_t name_size;
    uint16_t next; /* slot number + 1 in the chain of its head; 0 ends it */
};

/* Places in the order in which they were handed out. */
struct fs_cookie_generation {
    struct fs_cookie_slot *slots;
    uint16_t *heads; /* as many as slot_capacity, a power of two */
    char *names;
    uint32_t slot_capacity, slot_count;
    uint32_t name_capacity, name_used; /* bytes */
};

/* The last places: when the current generation is full, the previous one is forgotten. At most about 1.1 MiB, for
 * ordinary names a tenth of that. */
struct fs_cookie_table {
    struct fs_cookie_generation current, previous;
};

/* The name that a cookie stands for, or NULL. Valid until the next fs_cookie_keep. */
const char *fs_cookie_find(const struct fs_cookie_table *table, uint64_t cookie, size_t *ret_name_size);
/* The cookie to hand out for a name: its hash, or the next number that no other remembered name has. */
uint64_t fs_cookie_choose(const struct fs_cookie_table *table, uint64_t hash, const char *name, size_t name_size);
/* Remembers it. Without memory it is not remembered: a scan will have to find it. */
void fs_cookie_keep(struct fs_cookie_table *table, uint64_t cookie, const char *name, size_t name_size);
void fs_cookie_table_deinit(struct fs_cookie_table *table);

#endif
