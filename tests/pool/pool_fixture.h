/* A fault file with a store and a pool on it, for the tests of pool/. */
#ifndef BEEFTREE_TESTS_POOL_FIXTURE_H
#define BEEFTREE_TESTS_POOL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "hook_file.h"
#include "pool/pool.h"
#include "support/fault_file.h"
#include "support/test_seed.h"

struct pool_fixture {
    uint32_t page_size;
    struct pool_options options;
    struct fault_file *fault;
    struct hook_file hook; /* before the fault file; the store's */
    struct store *store;
    struct pool *pool;
};

static inline struct store *pool_fixture_open_store(struct os_file *file)
{
    const struct store_open_options options = {.node_cache_size = 1 << 20};
    struct base_reason reason;
    struct store *store = NULL;

    assert_int_equal(store_open(file, &options, &store, &reason), 0);
    return store;
}

/* page_size and options are the caller's. */
static inline void pool_fixture_init(struct pool_fixture *fixture)
{
    const struct store_format_options format = {.page_size = fixture->page_size, .label = "test"};

    fixture->fault = fault_file_create(NULL);
    assert_int_equal(store_format(fault_file_seam(fixture->fault), &format), 0);
    hook_file_init(&fixture->hook, fault_file_seam(fixture->fault), fixture);
    fixture->store = pool_fixture_open_store(&fixture->hook.file);
    assert_int_equal(pool_create(fixture->store, &fixture->options, &fixture->pool), 0);
}

static inline void pool_fixture_deinit(struct pool_fixture *fixture)
{
    pool_destroy(fixture->pool);
    store_close(fixture->store);
    os_file_close(fault_file_seam(fixture->fault));
}

static inline bool pool_fixture_reserve(struct pool_fixture *fixture, uint64_t pages)
{
    const struct store_need need = {.pages = pages};

    if (!pool_reserve(fixture->pool, pages)) {
        return false;
    }
    assert_int_equal(store_reserve(fixture->store, &need), 0);
    return true;
}

static inline void pool_fixture_unreserve(struct pool_fixture *fixture, uint64_t pages)
{
    pool_unreserve(fixture->pool, pages);
    store_unreserve(fixture->store, pages, 0);
}

/* Every eight bytes of a page: its number and a version. */
static inline void pool_fixture_fill(struct pool_fixture *fixture, uint8_t *bytes, uint64_t page, uint32_t version)
{
    for (uint32_t at = 0; at < fixture->page_size; at += 8) {
        base_put_le64(bytes + at, page << 32 | version);
    }
}

/* The version of a page filled so; checks all of it. */
static inline uint32_t pool_fixture_version(struct pool_fixture *fixture, const uint8_t *bytes, uint64_t page)
{
    uint64_t word = base_get_le64(bytes);

    for (uint32_t at = 8; at < fixture->page_size; at += 8) {
        assert_true(base_get_le64(bytes + at) == word);
    }
    assert_true(word >> 32 == page);
    return (uint32_t)word;
}

/* The writer changes a page to another version, with a reservation of its own. Returns what pool_change_begin did. */
static inline unsigned pool_fixture_change(struct pool_fixture *fixture, uint64_t page, uint32_t version)
{
    struct pool_frame *frame = NULL;

    assert_true(pool_fixture_reserve(fixture, 1));
    assert_int_equal(pool_pin(fixture->pool, page, POOL_EXCLUSIVE, &frame), 0);
    unsigned used = pool_change_begin(fixture->pool, frame);
    pool_fixture_fill(fixture, pool_frame_bytes(frame), page, version);
    pool_unpin(fixture->pool, frame, POOL_EXCLUSIVE);
    pool_fixture_unreserve(fixture, 1 - used);
    return used;
}

/* A new page of that version. */
static inline uint64_t pool_fixture_make(struct pool_fixture *fixture, uint32_t version)
{
    struct pool_frame *frame = NULL;

    assert_true(pool_fixture_reserve(fixture, 1));
    uint64_t page = store_page_number_allocate(fixture->store);
    assert_int_equal(pool_pin_new(fixture->pool, page, &frame), 0);
    pool_latch(frame, POOL_EXCLUSIVE);
    assert_int_equal(pool_change_begin(fixture->pool, frame), 1);
    pool_fixture_fill(fixture, pool_frame_bytes(frame), page, version);
    pool_unpin(fixture->pool, frame, POOL_EXCLUSIVE);
    return page;
}

/* The version that a reader sees. */
static inline uint32_t pool_fixture_read(struct pool_fixture *fixture, uint64_t page)
{
    struct pool_frame *frame = NULL;

    assert_int_equal(pool_pin(fixture->pool, page, POOL_SHARED, &frame), 0);
    uint32_t version = pool_fixture_version(fixture, pool_frame_bytes(frame), page);
    pool_unpin(fixture->pool, frame, POOL_SHARED);
    return version;
}

static inline void pool_fixture_free(struct pool_fixture *fixture, uint64_t page)
{
    struct pool_frame *frame = NULL;

    assert_int_equal(pool_pin(fixture->pool, page, POOL_PIN_ONLY, &frame), 0);
    pool_discard(fixture->pool, frame);
    store_page_free(fixture->store, page);
}

static inline void pool_fixture_freeze(struct pool_fixture *fixture)
{
    pool_freeze(fixture->pool);
    store_freeze(fixture->store);
}

static inline void pool_fixture_checkpoint(struct pool_fixture *fixture)
{
    pool_fixture_freeze(fixture);
    assert_int_equal(pool_write_frozen(fixture->pool), 0);
    assert_int_equal(store_checkpoint(fixture->store), 0);
}

/* The version of a page in what a power cut would leave now; 0 when it is not there. */
static inline uint32_t pool_fixture_durable(struct pool_fixture *fixture, uint64_t page)
{
    struct os_file *file = fault_file_crash(fixture->fault, NULL);
    struct store *store = pool_fixture_open_store(file);
    uint8_t bytes[STORE_PAGE_SIZE_MAX];
    uint64_t next = page - 1;
    uint32_t version = 0;

    if (store_page_next(store, &next) == 0 && next == page) {
        assert_int_equal(store_page_read(store, page, bytes), 0);
        version = pool_fixture_version(fixture, bytes, page);
    }
    store_close(store);
    os_file_close(file);
    return version;
}

static inline struct pool_statistics pool_fixture_statistics(struct pool_fixture *fixture)
{
    struct pool_statistics statistics;

    pool_get_statistics(fixture->pool, &statistics);
    return statistics;
}

#endif
