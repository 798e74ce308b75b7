/* What bench/engine asks of an engine: one ordered map of byte strings, in one file, one thread. Every function ends
 * the process with a message when it fails. */
#ifndef BEEFTREE_BENCH_ENGINE_H
#define BEEFTREE_BENCH_ENGINE_H

#include <stddef.h>
#include <stdint.h>

struct engine;

struct engine_options {
    const char *path; /* of a file that does not exist */
    size_t cache_size;
    uint32_t page_size;       /* 0: the engine's own */
    uint32_t batch_row_count; /* rows in one transaction; 0: all of a step */
};

struct engine_operations {
    struct engine *(*open)(const struct engine_options *options);
    /* Around the changes of one step. */
    void (*begin)(struct engine *engine);
    void (*end)(struct engine *engine);
    void (*insert)(struct engine *engine, const void *key, size_t key_size, const void *value, size_t value_size);
    void (*remove)(struct engine *engine, const void *key, size_t key_size);
    /* Around the reads of one step. */
    void (*read_begin)(struct engine *engine);
    void (*read_end)(struct engine *engine);
    /* Returns the sum of the value's bytes: it has been looked at. */
    uint64_t (*read)(struct engine *engine, const void *key, size_t key_size);
    /* All rows in key order; returns their number. */
    uint64_t (*scan)(struct engine *engine, uint64_t *ret_sum);
    void (*sync)(struct engine *engine);
    void (*close)(struct engine *engine);
};

extern const struct engine_operations engine_beeftree, engine_lmdb, engine_sqlite;

_Noreturn void engine_fail(const char *what, const char *why);
uint64_t engine_sum(const void *bytes, size_t size);

#endif
