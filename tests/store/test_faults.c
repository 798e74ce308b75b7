/* A failing host: the n-th write, sync, allocation or read fails. A failed write or sync is final: the store says so,
 * changes nothing more, frees nothing, and what is opened afterwards is the last durable checkpoint or the one in
 * flight. A failed allocation is one caller's -ENOSPC, a failed read one caller's -EIO. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/message.h"
#include "store/store.h"
#include "support/fault_file.h"
#include "support/store_model.h"
#include "support/test_seed.h"

enum { NODE_CACHE_SIZE = 65536, STEPS = 240 };

static const struct store_format_options format = {.page_size = 4096};

static int open_store(struct os_file *file, bool read_only, struct store **ret_store)
{
    const struct store_open_options options = {.read_only = read_only, .node_cache_size = NODE_CACHE_SIZE};
    struct base_reason reason;

    return store_open(file, &options, ret_store, &reason);
}

static void assert_failed(struct store *store)
{
    const struct store_need need = {.pages = 1, .content_blocks = 1, .may_use_emergency = true};
    const struct store_run run = {1000, 1};
    uint8_t bytes[4096] = {0};
    struct base_reason reason = {""};
    struct store_run allocated;

    assert_int_equal(store_get_failure(store, &reason), -EROFS);
    assert_true(strlen(reason.text) > 10);
    assert_int_equal(store_reserve(store, &need), -EROFS);
    assert_int_equal(store_page_write(store, 1, bytes, false), -EROFS);
    assert_int_equal(store_content_allocate(store, 1, 0, &allocated), -EROFS);
    assert_int_equal(store_content_write(store, run, bytes), -EROFS);
    store_freeze(store); /* allowed, does nothing */
    assert_int_equal(store_checkpoint(store), -EROFS);
    assert_int_equal(store_shrink(store), -EROFS);
}

/* A workload with checkpoints; returns the first error. */
static int work(struct store_model *model)
{
    int result = 0;

    for (int i = 0; i < STEPS && result == 0; i++) {
        result = store_model_step(model);
        if (result == 0 && i % 20 == 10) {
            result = store_model_freeze(model);
        }
        if (result == 0 && i % 20 == 19) {
            result = store_model_checkpoint(model);
        }
    }
    return result == 0 ? store_model_sync(model) : result;
}

static void assert_reopens(struct store_model *model, struct os_file *file)
{
    struct store *store;

    assert_int_equal(open_store(file, false, &store), 0);
    assert_true(store_model_matches(model, store, &model->durable) ||
                (model->is_frozen && store_model_matches(model, store, &model->frozen)));
    store_model_check(model, store);
    store_close(store);
}

/* One run with the n-th call failing; false when the workload made fewer calls. */
static bool run_failing(enum fault_call call, uint64_t n, int error)
{
    struct fault_file *fault = fault_file_create(NULL);
    struct os_file *file = fault_file_seam(fault);
    struct base_random random;
    struct store *store;

    base_random_seed(&random, 7);
    assert_int_equal(store_format(file, &format), 0);
    assert_int_equal(open_store(file, false, &store), 0);
    struct store_model *model = store_model_create(&random);
    store_model_attach(model, store, NULL);
    fault_file_reset_counts(fault);
    fault_file_fail(fault, call, n, error, false);
    int result = work(model);
    bool has_failed = fault_file_count(fault, call) >= n;
    assert_true(has_failed == (result < 0));
    if (has_failed) {
        assert_int_equal(result, -error);
        struct base_reason reason;
        /* Zeros for new space are nobody's bytes: without them there is no new space, and that is all. */
        if (call != FAULT_WRITE || store_get_failure(store, &reason) != 0) {
            assert_failed(store);
        }
        store_close(store);
        struct os_file *image = fault_file_crash(fault, &random);
        assert_reopens(model, image);
        os_file_close(image);
        assert_reopens(model, file);
    } else {
        store_close(store);
    }
    store_model_destroy(model);
    os_file_close(file);
    return has_failed;
}

static void test_writes(void **state)
{
    (void)state;
    uint64_t n = 1;
    uint64_t step = test_is_long() ? 1 : 3;

    while (run_failing(FAULT_WRITE, n, EIO)) {
        n += step;
    }
    assert_true(n > 50);
}

static void test_writes_no_space(void **state)
{
    (void)state;
    uint64_t n = 2;
    uint64_t step = test_is_long() ? 1 : 7;

    while (run_failing(FAULT_WRITE, n, ENOSPC)) {
        n += step;
    }
}

static void test_syncs(void **state)
{
    (void)state;
    uint64_t n = 1;

    while (run_failing(FAULT_SYNC, n, EIO)) {
        n++;
    }
    assert_true(n > 9);
}

static void test_allocation(void **state)
{
    (void)state;
    struct fault_file *fault = fault_file_create(NULL);
    const struct store_need need = {.pages = 10, .content_blocks = 10};
    struct base_reason reason;
    struct store *store;

    assert_int_equal(store_format(fault_file_seam(fault), &format), 0);
    assert_int_equal(open_store(fault_file_seam(fault), false, &store), 0);
    fault_file_fail(fault, FAULT_ALLOCATE, 1, ENOSPC, true);
    assert_int_equal(store_reserve(store, &need), -ENOSPC);
    fault_file_fail(fault, FAULT_ALLOCATE, 1, EDQUOT, true);
    assert_int_equal(store_reserve(store, &need), -ENOSPC);
    fault_file_fail(fault, FAULT_ALLOCATE, 1, EIO, true);
    assert_int_equal(store_reserve(store, &need), -EIO);
    /* Not final. */
    assert_int_equal(store_get_failure(store, &reason), 0);
    fault_file_fail(fault, FAULT_ALLOCATE, 0, 0, false);
    /* Once only: the smaller step succeeds. */
    fault_file_fail(fault, FAULT_ALLOCATE, 1, ENOSPC, false);
    assert_int_equal(store_reserve(store, &need), 0);
    store_unreserve(store, 10, 10);
    store_close(store);
    os_file_close(fault_file_seam(fault));
}

static void test_reads(void **state)
{
    (void)state;
    struct fault_file *fault = fault_file_create(NULL);
    const struct store_need need = {.pages = 1};
    struct base_reason reason;
    uint8_t bytes[4096] = {1};
    struct store *store;

    assert_int_equal(store_format(fault_file_seam(fault), &format), 0);
    assert_int_equal(open_store(fault_file_seam(fault), false, &store), 0);
    assert_int_equal(store_reserve(store, &need), 0);
    uint64_t page = store_page_number_allocate(store);
    assert_int_equal(store_page_write(store, page, bytes, false), 0);
    fault_file_fail(fault, FAULT_READ, 1, EIO, false);
    assert_int_equal(store_page_read(store, page, bytes), -EIO);
    assert_int_equal(store_page_read(store, page, bytes), 0);
    assert_int_equal(store_get_failure(store, &reason), 0);
    store_close(store);
    os_file_close(fault_file_seam(fault));
}

/* Faults while opening: refused, nothing leaked, and the next opening is good. */
static void test_opening(void **state)
{
    (void)state;
    static const enum fault_call calls[] = {FAULT_READ, FAULT_WRITE, FAULT_SYNC};
    struct fault_file *fault = fault_file_create(NULL);
    struct os_file *file = fault_file_seam(fault);
    struct base_random random;
    struct store *store;

    base_random_seed(&random, 8);
    assert_int_equal(store_format(file, &format), 0);
    assert_int_equal(open_store(file, false, &store), 0);
    struct store_model *model = store_model_create(&random);
    store_model_attach(model, store, NULL);
    assert_int_equal(work(model), 0);
    store_close(store);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        for (uint64_t n = 1;; n++) {
            fault_file_reset_counts(fault);
            fault_file_fail(fault, calls[i], n, EIO, false);
            int result = open_store(file, false, &store);
            bool has_failed = fault_file_count(fault, calls[i]) >= n;
            /* One slot that can't be read is served by the other. */
            assert_true(result == 0 || (result == -EIO && has_failed));
            fault_file_fail(fault, calls[i], 0, 0, false);
            if (result == 0) {
                assert_true(store_model_matches(model, store, &model->durable));
                store_close(store);
            }
            if (!has_failed) {
                break;
            }
        }
    }
    fault_file_fail(fault, FAULT_READ, 1, EIO, true);
    assert_int_equal(open_store(file, true, &store), -EIO);
    fault_file_fail(fault, FAULT_READ, 0, 0, false);
    assert_reopens(model, file);
    store_model_destroy(model);
    os_file_close(file);
}

static void test_read_only(void **state)
{
    (void)state;
    struct fault_file *fault = fault_file_create(NULL);
    struct os_file *file = fault_file_seam(fault);
    const struct store_need need = {.pages = 1, .may_use_emergency = true};
    struct store *store;

    assert_int_equal(store_format(file, &format), 0);
    fault_file_reset_counts(fault);
    assert_int_equal(open_store(file, true, &store), 0);
    assert_true(store_is_read_only(store));
    assert_int_equal(store_reserve(store, &need), -EROFS);
    store_freeze(store);
    assert_int_equal(store_checkpoint(store), 0);
    assert_int_equal(store_shrink(store), -EROFS);
    store_close(store);
    assert_int_equal(fault_file_count(fault, FAULT_WRITE) + fault_file_count(fault, FAULT_SYNC) +
                         fault_file_count(fault, FAULT_ALLOCATE) + fault_file_count(fault, FAULT_TRUNCATE),
                     0);
    os_file_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes),     cmocka_unit_test(test_writes_no_space), cmocka_unit_test(test_syncs),
        cmocka_unit_test(test_allocation), cmocka_unit_test(test_reads),           cmocka_unit_test(test_opening),
        cmocka_unit_test(test_read_only),
    };
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
