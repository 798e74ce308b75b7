/* Edits and their undo: each kind alone, repeated on the same bytes, beyond the size of a page; pages made and freed.
 */
#include "txn_fixture.h"

#include "base/random.h"

#include <errno.h>
#include <stdlib.h>

enum { PAGE_SIZE_MAX = STORE_PAGE_SIZE_MAX };

static uint32_t page_size = 4096;

static void set_up(struct txn_fixture *fixture)
{
    *fixture = (struct txn_fixture){.page_size = page_size};
    txn_fixture_init(fixture);
}

static void read_page(struct txn_fixture *fixture, uint64_t page, uint8_t *ret_bytes)
{
    struct pool_frame *frame = NULL;

    assert_int_equal(pool_pin(fixture->pool, page, POOL_SHARED, &frame), 0);
    memcpy(ret_bytes, pool_frame_bytes(frame), page_size);
    pool_unpin(fixture->pool, frame, POOL_SHARED);
}

static void commit_keeps_and_abort_undoes(void **state)
{
    struct txn_fixture fixture;

    (void)state;
    set_up(&fixture);
    uint64_t page = txn_fixture_make_page(&fixture, 'a');
    assert_int_equal(page, STORE_ROOT_PAGE);

    struct txn *txn = txn_fixture_begin(&fixture, 1, 0);
    txn_fixture_put(txn, page, 10, "bcd", 3);
    txn_commit(txn);
    assert_int_equal(txn_fixture_byte(&fixture, page, 11), 'c');

    txn = txn_fixture_begin(&fixture, 1, 0);
    txn_fixture_put(txn, page, 9, "12345", 5);
    assert_int_equal(txn_fixture_byte(&fixture, page, 11), '3');
    txn_abort(txn);
    assert_int_equal(txn_fixture_byte(&fixture, page, 9), 'a');
    assert_int_equal(txn_fixture_byte(&fixture, page, 11), 'c');
    txn_fixture_deinit(&fixture);
}

/* One random edit of an open page, on a model of it too. */
static void edit_randomly(struct txn *txn, struct pool_frame *frame, uint8_t *model, struct base_random *random)
{
    uint32_t size = (uint32_t)base_random_below(random, base_random_below(random, 4) == 0 ? page_size : 40);
    uint32_t to = (uint32_t)base_random_below(random, page_size - size + 1);
    uint32_t from = (uint32_t)base_random_below(random, page_size - size + 1);
    uint8_t bytes[PAGE_SIZE_MAX];

    switch (base_random_below(random, 4)) {
    case 0:
        if (base_random_below(random, 2) == 0 && to > 8) {
            from = to - 1 - (uint32_t)base_random_below(random, 8);
        }
        txn_edit_move(txn, frame, to, from, size);
        memmove(model + to, model + from, size);
        break;
    case 1:
        memcpy(bytes, model, page_size);
        for (unsigned i = 0; i < base_random_below(random, 5); i++) {
            bytes[base_random_below(random, page_size)] = (uint8_t)base_random_next(random);
        }
        txn_edit_image(txn, frame, bytes);
        memcpy(model, bytes, page_size);
        break;
    default:
        for (uint32_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)base_random_next(random);
        }
        txn_edit_put(txn, frame, to, bytes, size);
        memcpy(model + to, bytes, size);
        break;
    }
}

static void edit_randomly_and_check(uint32_t size, unsigned rounds)
{
    enum { PAGES = 3 };
    struct txn_fixture fixture;
    struct base_random random;
    static uint8_t committed[PAGES][PAGE_SIZE_MAX], model[PAGES][PAGE_SIZE_MAX], seen[PAGE_SIZE_MAX];
    uint64_t pages[PAGES];

    page_size = size;
    base_random_seed(&random, test_seed("txn edits", 20));
    set_up(&fixture);
    for (unsigned i = 0; i < PAGES; i++) {
        pages[i] = txn_fixture_make_page(&fixture, (uint8_t)i);
        read_page(&fixture, pages[i], committed[i]);
    }
    for (unsigned round = 0; round < rounds; round++) {
        struct txn *txn = txn_fixture_begin(&fixture, PAGES, 0);
        memcpy(model, committed, sizeof model);
        for (uint64_t edits = base_random_below(&random, 30); edits > 0; edits--) {
            uint64_t i = base_random_below(&random, PAGES);
            struct pool_frame *frame = NULL;
            assert_int_equal(txn_page_pin(txn, pages[i], &frame), 0);
            txn_edit_begin(txn, frame);
            edit_randomly(txn, frame, model[i], &random);
            txn_edit_end(txn, frame);
            txn_page_unpin(txn, frame);
        }
        if (base_random_below(&random, 2) == 0) {
            txn_commit(txn);
            memcpy(committed, model, sizeof model);
        } else {
            txn_abort(txn);
        }
        for (unsigned i = 0; i < PAGES; i++) {
            read_page(&fixture, pages[i], seen);
            assert_memory_equal(seen, committed[i], page_size);
        }
    }
    txn_fixture_deinit(&fixture);
}

static void random_edits_end_in_the_model_or_the_start(void **state)
{
    (void)state;
    edit_randomly_and_check(65536, 200);
    edit_randomly_and_check(16384, 500);
    edit_randomly_and_check(4096, 2000);
}

/* Undo of one page is bounded, however often it is overwritten. */
static void endless_edits_of_one_page_are_undone(void **state)
{
    struct txn_fixture fixture;
    uint8_t bytes[PAGE_SIZE_MAX];

    (void)state;
    set_up(&fixture);
    uint64_t page = txn_fixture_make_page(&fixture, 'a');
    struct txn *txn = txn_fixture_begin(&fixture, 1, 0);
    for (unsigned i = 0; i < 20000; i++) {
        memset(bytes, (int)i, sizeof bytes);
        txn_fixture_put(txn, page, i % 100, bytes, page_size - 100);
    }
    txn_abort(txn);
    for (uint32_t offset = 0; offset < page_size; offset += 61) {
        assert_int_equal(txn_fixture_byte(&fixture, page, offset), 'a');
    }
    txn_fixture_deinit(&fixture);
}

static void abort_takes_new_pages_back(void **state)
{
    struct txn_fixture fixture;
    struct pool_frame *frame = NULL;
    struct pool_statistics before, after;
    struct store_statistics store_before, store_after;

    (void)state;
    set_up(&fixture);
    txn_fixture_make_page(&fixture, 'a');
    pool_get_statistics(fixture.pool, &before);
    store_get_statistics(fixture.store, &store_before);

    struct txn *txn = txn_fixture_begin(&fixture, 3, 0);
    assert_int_equal(txn_page_new(txn, &frame), 0);
    assert_int_equal(pool_frame_page(frame), 2);
    txn_page_unpin(txn, frame);
    assert_int_equal(txn_page_new(txn, &frame), 0);
    assert_int_equal(pool_frame_page(frame), 3);
    txn_page_free(txn, frame); /* made and freed in one transaction */
    txn_page_unpin(txn, frame);
    txn_abort(txn);

    pool_get_statistics(fixture.pool, &after);
    store_get_statistics(fixture.store, &store_after);
    assert_int_equal(after.frames_dirty, before.frames_dirty);
    assert_int_equal(after.frames_reserved, 0);
    assert_int_equal(after.frames_used, before.frames_used);
    assert_int_equal(store_after.pages, store_before.pages);
    assert_int_equal(store_after.reserved_pages, store_before.reserved_pages);
    assert_int_equal(txn_fixture_make_page(&fixture, 'b'), 2);
    txn_fixture_deinit(&fixture);
}

static void freed_pages_go_at_commit_only(void **state)
{
    struct txn_fixture fixture;
    struct pool_frame *frame = NULL;

    (void)state;
    set_up(&fixture);
    uint64_t page = txn_fixture_make_page(&fixture, 'a');
    uint64_t change;
    assert_int_equal(pool_pin(fixture.pool, page, POOL_SHARED, &frame), 0);
    change = pool_frame_change(frame);
    pool_unpin(fixture.pool, frame, POOL_SHARED);

    for (int committed = 0; committed < 2; committed++) {
        struct txn *txn = txn_fixture_begin(&fixture, 0, 0);
        assert_int_equal(txn_page_pin(txn, page, &frame), 0);
        txn_page_free(txn, frame);
        assert_int_not_equal(pool_frame_change(frame), change);
        txn_page_unpin(txn, frame);
        if (committed) {
            txn_commit(txn);
        } else {
            txn_abort(txn);
            assert_int_equal(txn_fixture_byte(&fixture, page, 0), 'a');
        }
    }
    assert_false(pool_pin_resident(fixture.pool, page, POOL_SHARED, &frame));
    assert_int_equal(txn_engine_sync(fixture.engine), 0);
    struct store_statistics statistics;
    store_get_statistics(fixture.store, &statistics);
    assert_int_equal(statistics.pages, 0);
    assert_int_equal(statistics.reserved_pages, 0);
    assert_int_equal(txn_fixture_make_page(&fixture, 'b'), page);
    txn_fixture_deinit(&fixture);
}

static void change_numbers_tell_of_edits_and_rollbacks(void **state)
{
    struct txn_fixture fixture;
    struct pool_frame *frame = NULL;

    (void)state;
    set_up(&fixture);
    uint64_t page = txn_fixture_make_page(&fixture, 'a');
    assert_int_equal(pool_pin(fixture.pool, page, POOL_PIN_ONLY, &frame), 0);
    uint64_t before = pool_frame_change(frame);
    struct txn *txn = txn_fixture_begin(&fixture, 1, 0);
    txn_fixture_put(txn, page, 0, "x", 1);
    uint64_t during = pool_frame_change(frame);
    txn_abort(txn);
    uint64_t after = pool_frame_change(frame);
    assert_true(before < during && during < after);
    pool_unpin(fixture.pool, frame, POOL_PIN_ONLY);
    txn_fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commit_keeps_and_abort_undoes),
        cmocka_unit_test(random_edits_end_in_the_model_or_the_start),
        cmocka_unit_test(endless_edits_of_one_page_are_undone),
        cmocka_unit_test(abort_takes_new_pages_back),
        cmocka_unit_test(freed_pages_go_at_commit_only),
        cmocka_unit_test(change_numbers_tell_of_edits_and_rollbacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
