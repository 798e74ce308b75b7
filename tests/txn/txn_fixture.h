/* A fault file with a store, a pool and an engine on it, for the tests of txn/. */
#ifndef BEEFTREE_TESTS_TXN_FIXTURE_H
#define BEEFTREE_TESTS_TXN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "support/fault_file.h"
#include "support/test_seed.h"
#include "txn/txn.h"

struct txn_fixture {
    uint32_t page_size;
    size_t pool_size;
    unsigned steal_after; /* as in pool_options */
    struct txn_engine_options options;
    struct fault_file *fault;
    struct store *store;
    struct pool *pool;
    struct txn_engine *engine;
};

static inline void txn_fixture_start(struct txn_fixture *fixture, struct fault_file *fault)
{
    const struct store_open_options open_options = {.node_cache_size = 1 << 20};
    const struct pool_options pool_options = {.size = fixture->pool_size, .steal_after = fixture->steal_after};
    struct base_reason reason;

    fixture->fault = fault;
    assert_int_equal(store_open(fault_file_seam(fault), &open_options, &fixture->store, &reason), 0);
    assert_int_equal(pool_create(fixture->store, &pool_options, &fixture->pool), 0);
    assert_int_equal(txn_engine_open(fixture->store, fixture->pool, &fixture->options, &fixture->engine), 0);
}

/* Without a sync: what a crash of the process leaves. The file stays. */
static inline void txn_fixture_stop(struct txn_fixture *fixture)
{
    txn_engine_close(fixture->engine);
    pool_destroy(fixture->pool);
    store_close(fixture->store);
}

/* page_size, pool_size, steal_after and options are the caller's. */
static inline void txn_fixture_init(struct txn_fixture *fixture)
{
    const struct store_format_options format = {.page_size = fixture->page_size, .label = "test"};
    struct fault_file *fault = fault_file_create(NULL);

    assert_int_equal(store_format(fault_file_seam(fault), &format), 0);
    txn_fixture_start(fixture, fault);
}

static inline void txn_fixture_deinit(struct txn_fixture *fixture)
{
    txn_fixture_stop(fixture);
    os_file_close(fault_file_seam(fixture->fault));
}

static inline struct txn *txn_fixture_begin(struct txn_fixture *fixture, uint32_t pages, uint64_t content_blocks)
{
    const struct txn_need need = {.pages = pages, .content_blocks = content_blocks};
    struct txn *txn = NULL;

    assert_int_equal(txn_begin(fixture->engine, &need, &txn), 0);
    txn_lock(txn);
    return txn;
}

/* A transaction of its own that makes one page, filled with `fill`. */
static inline uint64_t txn_fixture_make_page(struct txn_fixture *fixture, uint8_t fill)
{
    struct txn *txn = txn_fixture_begin(fixture, 1, 0);
    struct pool_frame *frame = NULL;
    uint8_t image[STORE_PAGE_SIZE_MAX];

    memset(image, fill, sizeof image);
    assert_int_equal(txn_page_new(txn, &frame), 0);
    uint64_t page = pool_frame_page(frame);
    txn_edit_begin(txn, frame);
    txn_edit_image(txn, frame, image);
    txn_edit_end(txn, frame);
    txn_page_unpin(txn, frame);
    txn_commit(txn);
    return page;
}

/* Puts into a page inside a transaction. */
static inline void txn_fixture_put(struct txn *txn, uint64_t page, uint32_t offset, const void *bytes, uint32_t size)
{
    struct pool_frame *frame = NULL;

    assert_int_equal(txn_page_pin(txn, page, &frame), 0);
    txn_edit_begin(txn, frame);
    txn_edit_put(txn, frame, offset, bytes, size);
    txn_edit_end(txn, frame);
    txn_page_unpin(txn, frame);
}

/* A byte of a page as a reader sees it. */
static inline uint8_t txn_fixture_byte(struct txn_fixture *fixture, uint64_t page, uint32_t offset)
{
    struct pool_frame *frame = NULL;

    txn_read_begin(fixture->engine);
    assert_int_equal(pool_pin(fixture->pool, page, POOL_SHARED, &frame), 0);
    uint8_t byte = pool_frame_bytes(frame)[offset];
    pool_unpin(fixture->pool, frame, POOL_SHARED);
    txn_read_end(fixture->engine);
    return byte;
}

#endif
