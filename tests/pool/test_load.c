/* Pages that can't be read: the error reaches everybody who wanted the page, and the next one tries again. */
#include "pool_fixture.h"

#include "base/assert.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

enum { PAGE_SIZE = 4096, WAITER_COUNT = 3 };

/* One durable page; an empty pool that checks pages with check_page. */
static void set_up(struct pool_fixture *fixture,
                   int (*check_page)(void *context, uint64_t page, const void *bytes, uint32_t page_size))
{
    *fixture = (struct pool_fixture){.page_size = PAGE_SIZE};
    pool_fixture_init(fixture);
    assert_int_equal(pool_fixture_make(fixture, 1), 1);
    pool_fixture_checkpoint(fixture);
    pool_destroy(fixture->pool);
    fixture->options.check_page = check_page;
    fixture->options.check_context = fixture;
    assert_int_equal(pool_create(fixture->store, &fixture->options, &fixture->pool), 0);
}

static void an_absent_page_is_damage(void **state)
{
    struct pool_fixture fixture;
    struct pool_frame *frame = NULL;
    const uint64_t absent[] = {0, 2, 1000, UINT64_MAX};

    (void)state;
    set_up(&fixture, NULL);
    for (size_t index = 0; index < sizeof absent / sizeof absent[0]; index++) {
        assert_int_equal(pool_pin(fixture.pool, absent[index], POOL_SHARED, &frame), -EUCLEAN);
        assert_int_equal(pool_pin(fixture.pool, absent[index], POOL_PIN_ONLY, &frame), -EUCLEAN);
        assert_int_equal(pool_pin(fixture.pool, absent[index], POOL_EXCLUSIVE, &frame), -EUCLEAN);
        assert_false(pool_pin_resident(fixture.pool, absent[index], POOL_SHARED, &frame));
    }
    assert_null(frame);
    assert_int_equal(pool_fixture_statistics(&fixture).frames_used, 0);
    pool_fixture_deinit(&fixture);
}

static void a_failed_read_is_tried_again(void **state)
{
    struct pool_fixture fixture;
    struct pool_frame *frame = NULL;

    (void)state;
    set_up(&fixture, NULL);
    fault_file_fail(fixture.fault, FAULT_READ, 1, EIO, false);
    assert_int_equal(pool_pin(fixture.pool, 1, POOL_EXCLUSIVE, &frame), -EIO);
    assert_null(frame);
    assert_int_equal(pool_fixture_read(&fixture, 1), 1);
    assert_int_equal(pool_fixture_statistics(&fixture).frames_used, 1);
    pool_fixture_deinit(&fixture);
}

static int checks_left;

static int check_fails_twice(void *context, uint64_t page, const void *bytes, uint32_t page_size)
{
    assert_int_equal(pool_fixture_version(context, bytes, page), 1);
    assert_int_equal(page_size, PAGE_SIZE);
    return checks_left-- > 0 ? -EUCLEAN : 0;
}

static void a_page_that_the_check_refuses_is_not_seen(void **state)
{
    struct pool_fixture fixture;
    struct pool_frame *frame = NULL;

    (void)state;
    set_up(&fixture, check_fails_twice);
    checks_left = 2;
    assert_int_equal(pool_pin(fixture.pool, 1, POOL_SHARED, &frame), -EUCLEAN);
    assert_int_equal(pool_pin(fixture.pool, 1, POOL_PIN_ONLY, &frame), -EUCLEAN);
    assert_int_equal(pool_fixture_read(&fixture, 1), 1);
    pool_fixture_deinit(&fixture);
}

/* --- Waiters ------------------------------------------------------------------------------------------------------ */

struct waiter {
    struct pool_fixture *fixture;
    enum pool_mode mode;
    int result;
};

static void *waiter_run(void *argument)
{
    struct waiter *waiter = argument;
    struct pool_frame *frame = NULL;

    waiter->result = pool_pin(waiter->fixture->pool, 1, waiter->mode, &frame);
    if (waiter->result == 0) {
        BASE_ASSERT(pool_fixture_version(waiter->fixture, pool_frame_bytes(frame), 1) == 1);
        pool_unpin(waiter->fixture->pool, frame, waiter->mode);
    }
    return NULL;
}

static struct waiter waiters[WAITER_COUNT];
static pthread_t waiter_threads[WAITER_COUNT];

/* While the page is being read: others come, find the frame and wait. */
static void start_waiters(void *context)
{
    struct pool_fixture *fixture = context;

    for (unsigned index = 0; index < WAITER_COUNT; index++) {
        waiters[index] = (struct waiter){.fixture = fixture, .mode = (enum pool_mode)index, .result = 1};
        BASE_ASSERT(pthread_create(&waiter_threads[index], NULL, waiter_run, &waiters[index]) == 0);
    }
    while (pool_fixture_statistics(fixture).hits < WAITER_COUNT) {
        sched_yield();
    }
}

static void read_with_waiters(int error, int expected)
{
    struct pool_fixture fixture;
    struct pool_frame *frame = NULL;

    set_up(&fixture, NULL);
    if (error) {
        fault_file_fail(fixture.fault, FAULT_READ, 1, error, false);
    }
    fixture.hook.before_read = start_waiters;
    assert_int_equal(pool_pin(fixture.pool, 1, POOL_SHARED, &frame), expected);
    if (expected == 0) {
        pool_unpin(fixture.pool, frame, POOL_SHARED);
    }
    for (unsigned index = 0; index < WAITER_COUNT; index++) {
        assert_int_equal(pthread_join(waiter_threads[index], NULL), 0);
        assert_int_equal(waiters[index].result, expected);
    }
    struct pool_statistics statistics = pool_fixture_statistics(&fixture);
    assert_int_equal(statistics.reads, 1);
    assert_int_equal(statistics.frames_used, expected == 0 ? 1 : 0);
    pool_fixture_deinit(&fixture);
}

static void one_reads_and_the_others_wait(void **state)
{
    (void)state;
    read_with_waiters(0, 0);
}

static void all_who_waited_get_the_error(void **state)
{
    (void)state;
    read_with_waiters(EIO, -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absent_page_is_damage),
        cmocka_unit_test(a_failed_read_is_tried_again),
        cmocka_unit_test(a_page_that_the_check_refuses_is_not_seen),
        cmocka_unit_test(one_reads_and_the_others_wait),
        cmocka_unit_test(all_who_waited_get_the_error),
    };

    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
