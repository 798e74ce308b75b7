/* Versions and epochs: what a checkpoint writes when pages change, go, or are stolen before, during and after it. A
 * change in the middle of a write is made by the file, which calls the test before it writes. */
#include "pool_fixture.h"

#include "base/assert.h"

#include <errno.h>

enum { PAGE_SIZE = 4096 };

static void set_up(struct pool_fixture *fixture)
{
    *fixture = (struct pool_fixture){.page_size = PAGE_SIZE};
    pool_fixture_init(fixture);
    assert_int_equal(pool_fixture_make(fixture, 10), 1);
    assert_int_equal(pool_fixture_make(fixture, 20), 2);
    pool_fixture_checkpoint(fixture);
}

static void write_frozen(struct pool_fixture *fixture)
{
    assert_int_equal(pool_write_frozen(fixture->pool), 0);
    assert_int_equal(store_checkpoint(fixture->store), 0);
}

/* Nothing dirty, frozen or reserved is left, neither here nor in the store. */
static void tear_down(struct pool_fixture *fixture)
{
    struct pool_statistics statistics;
    struct store_statistics store;

    pool_fixture_checkpoint(fixture);
    statistics = pool_fixture_statistics(fixture);
    assert_int_equal(statistics.frames_dirty, 0);
    assert_int_equal(statistics.frames_frozen, 0);
    assert_int_equal(statistics.frames_reserved, 0);
    assert_int_equal(pool_charged_count(fixture->pool), 0);
    store_get_statistics(fixture->store, &store);
    assert_int_equal(store.reserved_pages, 0);
    assert_int_equal(statistics.frames_used, store.pages); /* no frame is lost */
    pool_fixture_deinit(fixture);
}

static void a_change_uses_one_reservation_per_epoch(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture);
    assert_int_equal(pool_fixture_change(&fixture, 1, 11), 1);
    assert_int_equal(pool_fixture_change(&fixture, 1, 12), 0);
    assert_int_equal(pool_dirty_count(fixture.pool), 1);
    assert_int_equal(pool_charged_count(fixture.pool), 1);
    pool_fixture_checkpoint(&fixture);
    assert_int_equal(pool_fixture_durable(&fixture, 1), 12);
    assert_int_equal(pool_fixture_change(&fixture, 1, 13), 1);
    tear_down(&fixture);
}

static void change_numbers_are_never_reused(void **state)
{
    struct pool_fixture fixture;
    struct pool_frame *frame = NULL;
    uint64_t last = 0;

    (void)state;
    set_up(&fixture);
    for (uint32_t version = 100; version < 110; version++) {
        pool_fixture_change(&fixture, 1, version);
        assert_int_equal(pool_pin(fixture.pool, 1, POOL_SHARED, &frame), 0);
        assert_true(pool_frame_change(frame) > last);
        last = pool_frame_change(frame);
        pool_unpin(fixture.pool, frame, POOL_SHARED);
    }
    tear_down(&fixture);
}

static void a_frozen_page_is_copied_before_it_changes(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture);
    pool_fixture_change(&fixture, 1, 11);
    pool_fixture_freeze(&fixture);
    assert_int_equal(pool_fixture_change(&fixture, 1, 12), 1);
    assert_int_equal(pool_fixture_change(&fixture, 1, 13), 0);
    struct pool_statistics statistics = pool_fixture_statistics(&fixture);
    assert_int_equal(statistics.copies, 1);
    assert_int_equal(statistics.frames_dirty, 1);
    assert_int_equal(statistics.frames_frozen, 1);
    assert_int_equal(pool_fixture_read(&fixture, 1), 13);
    write_frozen(&fixture);
    assert_int_equal(pool_fixture_durable(&fixture, 1), 11);
    assert_int_equal(pool_fixture_read(&fixture, 1), 13);
    pool_fixture_checkpoint(&fixture);
    assert_int_equal(pool_fixture_durable(&fixture, 1), 13);
    tear_down(&fixture);
}

static void a_page_made_in_the_frozen_epoch_is_written(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture);
    assert_int_equal(pool_fixture_make(&fixture, 30), 3);
    pool_fixture_freeze(&fixture);
    assert_int_equal(pool_fixture_make(&fixture, 40), 4);
    write_frozen(&fixture);
    assert_int_equal(pool_fixture_durable(&fixture, 3), 30);
    assert_int_equal(pool_fixture_durable(&fixture, 4), 0);
    tear_down(&fixture);
}

static void a_freed_page_gives_its_reservation_back(void **state)
{
    struct pool_fixture fixture;
    struct store_statistics store;

    (void)state;
    set_up(&fixture);
    pool_fixture_change(&fixture, 1, 11);
    pool_fixture_free(&fixture, 1);
    assert_int_equal(pool_charged_count(fixture.pool), 0);
    store_get_statistics(fixture.store, &store);
    assert_int_equal(store.reserved_pages, 0);
    pool_fixture_checkpoint(&fixture);
    assert_int_equal(pool_fixture_durable(&fixture, 1), 0);
    tear_down(&fixture);
}

static void a_frozen_page_that_is_freed_still_reaches_the_checkpoint(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture);
    pool_fixture_change(&fixture, 1, 11);
    pool_fixture_change(&fixture, 2, 21);
    pool_fixture_freeze(&fixture);
    pool_fixture_free(&fixture, 1);
    pool_fixture_change(&fixture, 2, 22); /* copied, then freed */
    pool_fixture_free(&fixture, 2);
    assert_int_equal(pool_fixture_make(&fixture, 12), 1); /* the number again */
    write_frozen(&fixture);
    assert_int_equal(pool_fixture_durable(&fixture, 1), 11);
    assert_int_equal(pool_fixture_durable(&fixture, 2), 21);
    pool_fixture_checkpoint(&fixture);
    assert_int_equal(pool_fixture_durable(&fixture, 1), 12);
    assert_int_equal(pool_fixture_durable(&fixture, 2), 0);
    tear_down(&fixture);
}

static void who_pins_a_freed_page_keeps_its_bytes(void **state)
{
    struct pool_fixture fixture;
    struct pool_frame *old = NULL, *new = NULL;

    (void)state;
    set_up(&fixture);
    assert_int_equal(pool_pin(fixture.pool, 1, POOL_SHARED, &old), 0);
    pool_unlatch(old, POOL_SHARED);
    uint64_t change = pool_frame_change(old);
    pool_fixture_free(&fixture, 1);
    assert_int_equal(pool_fixture_make(&fixture, 11), 1);
    pool_latch(old, POOL_SHARED);
    assert_true(pool_frame_change(old) != change);
    assert_int_equal(pool_fixture_version(&fixture, pool_frame_bytes(old), 1), 10);
    assert_true(pool_pin_resident(fixture.pool, 1, POOL_PIN_ONLY, &new));
    assert_ptr_not_equal(old, new);
    pool_unpin(fixture.pool, new, POOL_PIN_ONLY);
    pool_unpin(fixture.pool, old, POOL_SHARED);
    tear_down(&fixture);
}

/* A reader with an old number may read a page again after the pool has let go of it and before the store has. */
static void a_new_page_replaces_what_a_late_reader_has_read(void **state)
{
    struct pool_fixture fixture;
    struct pool_frame *frame = NULL;

    (void)state;
    set_up(&fixture);
    assert_int_equal(pool_pin(fixture.pool, 1, POOL_PIN_ONLY, &frame), 0);
    pool_discard(fixture.pool, frame);
    assert_int_equal(pool_pin(fixture.pool, 1, POOL_SHARED, &frame), 0);
    store_page_free(fixture.store, 1);
    assert_int_equal(pool_fixture_make(&fixture, 11), 1);
    assert_int_equal(pool_fixture_version(&fixture, pool_frame_bytes(frame), 1), 10);
    pool_unpin(fixture.pool, frame, POOL_SHARED);
    assert_int_equal(pool_fixture_read(&fixture, 1), 11);
    tear_down(&fixture);
}

/* --- In the middle of a write ------------------------------------------------------------------------------------- */

static void change_page_1(void *context)
{
    BASE_ASSERT(pool_fixture_change(context, 1, 12) == 1);
}

static void free_page_1(void *context)
{
    pool_fixture_free(context, 1);
}

static void change_and_free_page_1(void *context)
{
    change_page_1(context);
    free_page_1(context);
}

static void free_and_make_page_1(void *context)
{
    free_page_1(context);
    BASE_ASSERT(pool_fixture_make(context, 12) == 1);
}

static void change_page_2(void *context)
{
    BASE_ASSERT(pool_fixture_change(context, 2, 22) == 1);
}

/* Changes page 1 and reads so much that it would be stolen, were it not being written: the checkpoint's pin keeps it.
 */
static void change_page_1_and_read_much(void *context)
{
    struct pool_fixture *fixture = context;
    struct pool_frame *frame = NULL;

    change_page_1(context);
    for (uint64_t read = 0; read < 2000; read++) {
        BASE_ASSERT(pool_fixture_read(fixture, 3 + read % 1000) == 1);
    }
    BASE_ASSERT(pool_pin_resident(fixture->pool, 1, POOL_PIN_ONLY, &frame));
    pool_unpin(fixture->pool, frame, POOL_PIN_ONLY);
}

/* Freezes a version 11 of page 1, does `during` while it is being written; checks that 11 is durable then, and
 * `expected` after the next checkpoint. */
static void write_with(struct pool_fixture *fixture, void (*during)(void *context), uint32_t expected)
{
    pool_fixture_change(fixture, 1, 11);
    pool_fixture_change(fixture, 2, 21);
    pool_fixture_freeze(fixture);
    fixture->hook.before_write = during;
    write_frozen(fixture);
    assert_int_equal(pool_fixture_durable(fixture, 1), 11);
    assert_int_equal(pool_fixture_durable(fixture, 2), 21);
    pool_fixture_checkpoint(fixture);
    assert_int_equal(pool_fixture_durable(fixture, 1), expected);
}

static void a_change_during_the_write_needs_no_copy(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture);
    write_with(&fixture, change_page_1, 12);
    assert_int_equal(pool_fixture_statistics(&fixture).copies, 0);
    assert_int_equal(pool_fixture_read(&fixture, 1), 12);
    tear_down(&fixture);
}

static void a_page_freed_during_its_write(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture);
    write_with(&fixture, free_page_1, 0);
    tear_down(&fixture);
}

static void a_page_changed_and_freed_during_its_write(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture);
    write_with(&fixture, change_and_free_page_1, 0);
    tear_down(&fixture);
}

static void a_number_freed_and_used_again_during_the_write(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture);
    write_with(&fixture, free_and_make_page_1, 12);
    assert_int_equal(pool_fixture_read(&fixture, 1), 12);
    tear_down(&fixture);
}

static void a_page_collected_and_copied_before_its_turn(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture);
    write_with(&fixture, change_page_2, 11);
    assert_int_equal(pool_fixture_statistics(&fixture).copies, 1);
    assert_int_equal(pool_fixture_durable(&fixture, 2), 22);
    tear_down(&fixture);
}

static void a_page_being_written_is_not_stolen(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    fixture = (struct pool_fixture){.page_size = PAGE_SIZE, .options = {.steal_after = 1}};
    pool_fixture_init(&fixture);
    for (uint64_t page = 1; page <= 1010; page++) {
        pool_fixture_make(&fixture, 1);
        if (page % 100 == 0) {
            pool_fixture_checkpoint(&fixture);
        }
    }
    pool_fixture_checkpoint(&fixture);
    write_with(&fixture, change_page_1_and_read_much, 12);
    assert_int_equal(pool_fixture_read(&fixture, 1), 12);
    assert_int_equal(pool_charged_count(fixture.pool), 0);
    pool_fixture_deinit(&fixture);
}

/* --- Failures ----------------------------------------------------------------------------------------------------- */

static void a_failed_write_keeps_the_page_readable(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    set_up(&fixture);
    pool_fixture_change(&fixture, 1, 11);
    pool_fixture_change(&fixture, 2, 21);
    pool_fixture_freeze(&fixture);
    fault_file_fail(fixture.fault, FAULT_WRITE, 1, EIO, true);
    assert_int_equal(pool_write_frozen(fixture.pool), -EIO);
    assert_int_equal(pool_write_frozen(fixture.pool), -EROFS);
    assert_int_equal(pool_fixture_read(&fixture, 1), 11);
    assert_int_equal(pool_fixture_read(&fixture, 2), 21);
    assert_int_equal(pool_fixture_statistics(&fixture).frames_frozen, 2);
    pool_fixture_deinit(&fixture);
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_uses_one_reservation_per_epoch),
        cmocka_unit_test(change_numbers_are_never_reused),
        cmocka_unit_test(a_frozen_page_is_copied_before_it_changes),
        cmocka_unit_test(a_page_made_in_the_frozen_epoch_is_written),
        cmocka_unit_test(a_freed_page_gives_its_reservation_back),
        cmocka_unit_test(a_frozen_page_that_is_freed_still_reaches_the_checkpoint),
        cmocka_unit_test(who_pins_a_freed_page_keeps_its_bytes),
        cmocka_unit_test(a_new_page_replaces_what_a_late_reader_has_read),
        cmocka_unit_test(a_change_during_the_write_needs_no_copy),
        cmocka_unit_test(a_page_freed_during_its_write),
        cmocka_unit_test(a_page_changed_and_freed_during_its_write),
        cmocka_unit_test(a_number_freed_and_used_again_during_the_write),
        cmocka_unit_test(a_page_collected_and_copied_before_its_turn),
        cmocka_unit_test(a_page_being_written_is_not_stolen),
        cmocka_unit_test(a_failed_write_keeps_the_page_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
