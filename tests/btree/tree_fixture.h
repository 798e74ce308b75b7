/* A tree over everything below it, in memory; for the tests of this layer. */
#ifndef BEEFTREE_TESTS_BTREE_TREE_FIXTURE_H
#define BEEFTREE_TESTS_BTREE_TREE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/random.h"
#include "internal.h"
#include "support/row_model.h"
#include "support/test_seed.h"

#define PAGE_SIZE_COUNT 5

static const uint32_t page_sizes[PAGE_SIZE_COUNT] = {4096, 8192, 16384, 32768, 65536};

struct tree_fixture {
    uint32_t page_size;
    size_t pool_size;
    struct os_file *file;
    struct store *store;
    struct pool *pool;
    struct txn_engine *engine;
    struct btree *tree;
};

static inline struct btree_slice slice(const void *bytes, size_t size)
{
    return (struct btree_slice){bytes, size};
}

/* need: how many row changes. */
static inline struct txn *fixture_begin(struct tree_fixture *fixture, uint32_t change_count)
{
    uint32_t pages = fixture->tree ? change_count * btree_pages_per_change(fixture->tree) : 1;
    struct txn_need need = {.pages = pages};
    struct txn *txn = NULL;
    assert_int_equal(txn_begin(fixture->engine, &need, &txn), 0);
    txn_lock(txn);
    return txn;
}

/* Store, pool and engine; the tree not yet. */
static inline void fixture_open_below(struct tree_fixture *fixture)
{
    struct store_open_options store_options = {.node_cache_size = 1 << 18};
    struct base_reason reason;
    assert_int_equal(store_open(fixture->file, &store_options, &fixture->store, &reason), 0);
    struct pool_options pool_options = {.size = fixture->pool_size, .check_page = btree_check_page};
    assert_int_equal(pool_create(fixture->store, &pool_options, &fixture->pool), 0);
    struct txn_engine_options engine_options = {0};
    assert_int_equal(txn_engine_open(fixture->store, fixture->pool, &engine_options, &fixture->engine), 0);
}

static inline void fixture_close(struct tree_fixture *fixture)
{
    btree_close(fixture->tree);
    fixture->tree = NULL;
    txn_engine_close(fixture->engine);
    pool_destroy(fixture->pool);
    store_close(fixture->store);
}

/* Takes the empty file over. pool_size 0: the least. */
static inline void fixture_create_on(struct tree_fixture *fixture, struct os_file *file, uint32_t page_size,
                                     size_t pool_size)
{
    *fixture = (struct tree_fixture){.page_size = page_size, .pool_size = pool_size, .file = file};
    struct store_format_options options = {.page_size = page_size};
    assert_int_equal(store_format(fixture->file, &options), 0);
    fixture_open_below(fixture);
    struct txn *txn = fixture_begin(fixture, 1);
    assert_int_equal(btree_format(txn), 0);
    txn_commit(txn);
    assert_int_equal(btree_open(fixture->engine, &fixture->tree), 0);
}

static inline void fixture_create(struct tree_fixture *fixture, uint32_t page_size, size_t pool_size)
{
    struct os_file *file;
    assert_int_equal(os_memory_file_create(&file), 0);
    fixture_create_on(fixture, file, page_size, pool_size);
}

static inline void fixture_destroy(struct tree_fixture *fixture)
{
    fixture_close(fixture);
    os_file_close(fixture->file);
}

static inline void fixture_reopen(struct tree_fixture *fixture)
{
    assert_int_equal(txn_engine_sync(fixture->engine), 0);
    fixture_close(fixture);
    fixture_open_below(fixture);
    assert_int_equal(btree_open(fixture->engine, &fixture->tree), 0);
}

static inline void fixture_print_problem(void *context, const char *text)
{
    (void)context;
    print_error("verify: %s\n", text);
}

/* No problems, and so many rows. */
static inline struct btree_verify_report fixture_verify(struct tree_fixture *fixture, uint64_t row_count)
{
    struct btree_verify_report report = {.problem = fixture_print_problem};
    assert_int_equal(btree_verify(fixture->tree, &report), 0);
    assert_int_equal(report.problems, 0);
    assert_int_equal(report.rows, row_count);
    return report;
}

static inline void assert_slice_equal(struct btree_slice given, const void *bytes, size_t size)
{
    assert_int_equal(given.size, size);
    if (size > 0) {
        assert_memory_equal(given.bytes, bytes, size);
    }
}

/* The whole tree against the model, forwards and backwards. */
static inline void fixture_compare(struct tree_fixture *fixture, struct txn *txn, const struct row_model *model)
{
    struct btree_cursor *cursor;
    assert_int_equal(btree_cursor_open(fixture->tree, &cursor), 0);
    size_t index = 0;
    int error = btree_cursor_first(cursor, txn);
    for (; error == 0; error = btree_cursor_next(cursor, txn)) {
        assert_in_range(index, 0, model->count - 1);
        const struct model_row *row = model->rows[index++];
        assert_slice_equal(btree_cursor_key(cursor), row->key, row->key_size);
        assert_slice_equal(btree_cursor_value(cursor), row->value, row->value_size);
    }
    assert_int_equal(error, -ENOENT);
    assert_int_equal(index, model->count);
    error = btree_cursor_last(cursor, txn);
    for (; error == 0; error = btree_cursor_previous(cursor, txn)) {
        assert_in_range(index, 1, model->count);
        const struct model_row *row = model->rows[--index];
        assert_slice_equal(btree_cursor_key(cursor), row->key, row->key_size);
        assert_slice_equal(btree_cursor_value(cursor), row->value, row->value_size);
    }
    assert_int_equal(error, -ENOENT);
    assert_int_equal(index, 0);
    btree_cursor_close(cursor);
}

/* --- Keys of several kinds ---------------------------------------------------------------------------------------- */

enum key_kind {
    KEYS_RANDOM,    /* 1 to 320 random bytes */
    KEYS_DENSE,     /* few letters, short: many are prefixes of others */
    KEYS_LONG,      /* long common beginnings, of several lengths */
    KEYS_UP,        /* one counter, rising */
    KEYS_DOWN,      /* one counter, falling */
    KEYS_CLUSTERED, /* several rising counters behind long prefixes */
    KEYS_NESTED,    /* differing early or late within 320 equal bytes: prefixes come and go with splits and merges */
    KEYS_GROUPED,   /* few very long beginnings, many short ends: where groups meet, nodes have no prefix at all */
    KEY_KIND_COUNT,
    KEYS_TALL = KEY_KIND_COUNT, /* differing early and very late: long separators without a common prefix */
};

static inline size_t key_make(struct base_random *random, enum key_kind kind, uint8_t *key)
{
    static uint64_t counters[18];
    size_t size;
    switch (kind) {
    case KEYS_RANDOM:
        size = 1 + base_random_below(random, BTREE_KEY_SIZE_MAX);
        for (size_t i = 0; i < size; i++) {
            key[i] = (uint8_t)base_random_next(random);
        }
        return size;
    case KEYS_DENSE:
        size = 1 + base_random_below(random, 12);
        for (size_t i = 0; i < size; i++) {
            key[i] = (uint8_t)("\0az"[base_random_below(random, 3)]);
        }
        return size;
    case KEYS_LONG:
        size = 100 + base_random_below(random, BTREE_KEY_SIZE_MAX - 99);
        memset(key, 'p', size);
        key[base_random_below(random, size)] = (uint8_t)base_random_below(random, 4);
        key[size - 1] = (uint8_t)base_random_next(random);
        return size;
    case KEYS_UP:
    case KEYS_DOWN:
        key[0] = kind == KEYS_UP ? 'I' : 'J';
        base_put_be64(key + 1, kind == KEYS_UP ? counters[0]++ : ~counters[1]++);
        return 9;
    case KEYS_CLUSTERED: {
        uint64_t cluster = base_random_below(random, 16);
        memset(key, 'c', 40 * (cluster % 5));
        size = 40 * (cluster % 5);
        key[size++] = (uint8_t)cluster;
        base_put_be64(key + size, counters[2 + cluster]++);
        return size + 8;
    }
    case KEYS_GROUPED:
        memset(key, (int)('a' + base_random_below(random, 5)), 300);
        base_put_be64(key + 300, base_random_below(random, 300) << 48);
        return 302;
    case KEYS_TALL:
        memset(key, 't', BTREE_KEY_SIZE_MAX);
        base_put_be64(key, base_random_below(random, 600) << 40);
        base_put_be64(key + BTREE_KEY_SIZE_MAX - 8, base_random_below(random, 24));
        return BTREE_KEY_SIZE_MAX;
    default:
        size = BTREE_KEY_SIZE_MAX - base_random_below(random, 3) * base_random_below(random, 20);
        memset(key, 'n', size);
        for (size_t i = 1 + base_random_below(random, 3); i > 0; i--) {
            key[base_random_below(random, 4) * (size / 4) + base_random_below(random, 2)] =
                (uint8_t)base_random_below(random, 5);
        }
        return size;
    }
}

#endif
