/* Which frame goes: second chances, scans, stealing; and what happens when none can. */
#include "pool_fixture.h"

#include "base/assert.h"
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

enum { PAGE_SIZE = 4096, FRAMES = POOL_FRAME_COUNT_MIN };

/* Pages 1..count, clean and durable; none in a frame. */
static void set_up(struct pool_fixture *fixture, uint64_t count)
{
    *fixture = (struct pool_fixture){.page_size = PAGE_SIZE};
    pool_fixture_init(fixture);
    for (uint64_t page = 1; page <= count; page++) {
        assert_int_equal(pool_fixture_make(fixture, 1), page);
        if (page % (FRAMES / 2) == 0) {
            pool_fixture_checkpoint(fixture);
        }
    }
    pool_fixture_checkpoint(fixture);
    pool_destroy(fixture->pool);
    assert_int_equal(pool_create(fixture->store, &fixture->options, &fixture->pool), 0);
}

static bool is_resident(struct pool_fixture *fixture, uint64_t page)
{
    struct pool_partition *partition = pool_partition_of(fixture->pool, page);

    base_mutex_lock(&partition->mutex);
    bool found = pool_hash_find(fixture->pool, page) != NULL;
    base_mutex_unlock(&partition->mutex);
    return found;
}

static void the_smallest_pool(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture, 1);
    assert_int_equal(pool_fixture_statistics(&fixture).frames, FRAMES);
    assert_int_equal(pool_reserve_max(fixture.pool), FRAMES / 2);
    assert_true(pool_reserve(fixture.pool, FRAMES / 2 - 1));
    assert_false(pool_reserve(fixture.pool, 2));
    assert_true(pool_reserve(fixture.pool, 1));
    assert_false(pool_reserve(fixture.pool, 1));
    assert_false(pool_reserve(fixture.pool, UINT64_MAX));
    assert_int_equal(pool_charged_count(fixture.pool), FRAMES / 2);
    pool_unreserve(fixture.pool, FRAMES / 2);
    pool_fixture_deinit(&fixture);
}

static void a_hit_reads_nothing(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture, 3);
    for (unsigned round = 0; round < 5; round++) {
        for (uint64_t page = 1; page <= 3; page++) {
            assert_int_equal(pool_fixture_read(&fixture, page), 1);
        }
    }
    struct pool_statistics statistics = pool_fixture_statistics(&fixture);
    assert_int_equal(statistics.misses, 3);
    assert_int_equal(statistics.reads, 3);
    assert_int_equal(statistics.hits, 12);
    assert_int_equal(statistics.frames_used, 3);
    assert_int_equal(statistics.evictions, 0);
    pool_fixture_deinit(&fixture);
}

static void eviction_is_in_order_and_spares_what_is_used(void **state)
{
    struct pool_fixture fixture;

    (void)state;
    set_up(&fixture, 2 * FRAMES);
    for (uint64_t page = 1; page <= FRAMES; page++) {
        pool_fixture_read(&fixture, page);
    }
    pool_fixture_read(&fixture, 2); /* again */
    struct pool_frame *pinned = NULL;
    assert_int_equal(pool_pin(fixture.pool, 4, POOL_PIN_ONLY, &pinned), 0);
    for (uint64_t page = 1; page <= 3; page++) {
        pool_fixture_read(&fixture, FRAMES + page);
    }
    /* The hand passed 2 (its second chance) and 4 (pinned). */
    assert_false(is_resident(&fixture, 1) || is_resident(&fixture, 3) || is_resident(&fixture, 5));
    assert_true(is_resident(&fixture, 2) && is_resident(&fixture, 4) && is_resident(&fixture, 6));
    assert_int_equal(pool_fixture_statistics(&fixture).evictions, 3);
    pool_unpin(fixture.pool, pinned, POOL_PIN_ONLY);
    pool_fixture_deinit(&fixture);
}

static void a_scan_leaves_what_is_used_again(void **state)
{
    struct pool_fixture fixture;
    enum { HOT = FRAMES / 4 };

    (void)state;
    set_up(&fixture, 4 * FRAMES);
    for (uint64_t page = HOT + 1; page <= 4 * FRAMES; page++) {
        if (page % HOT == 1) {
            for (uint64_t hot = 1; hot <= HOT; hot++) {
                pool_fixture_read(&fixture, hot);
            }
        }
        pool_fixture_read(&fixture, page);
    }
    /* The hot pages were read once each. */
    assert_int_equal(pool_fixture_statistics(&fixture).misses, 4 * FRAMES);
    pool_fixture_deinit(&fixture);
}

static void dirty_frames_are_stolen_only_when_clean_ones_are_short(void **state)
{
    struct pool_fixture fixture;
    struct pool_frame *pins[FRAMES / 2];

    (void)state;
    set_up(&fixture, 2 * FRAMES);
    for (uint64_t page = 1; page <= FRAMES / 2; page++) {
        pool_fixture_change(&fixture, page, 2);
    }
    /* Half of the frames are dirty, the others clean: the clean ones go, save one for each long row of dirty ones. */
    for (uint64_t page = FRAMES / 2 + 1; page <= 2 * FRAMES; page++) {
        pool_fixture_read(&fixture, page);
    }
    uint64_t before = pool_fixture_statistics(&fixture).evictions_dirty;
    assert_true(before <= pool_fixture_statistics(&fixture).evictions / 32);

    /* All clean ones are pinned: dirty ones go, and are read back as they were. */
    uint64_t first = 2 * FRAMES - FRAMES / 2 + 1;
    for (uint64_t index = 0; index < FRAMES / 2; index++) {
        assert_int_equal(pool_pin(fixture.pool, first + index, POOL_PIN_ONLY, &pins[index]), 0);
    }
    for (uint64_t page = FRAMES / 2 + 1; page <= FRAMES / 2 + 10; page++) {
        assert_int_equal(pool_fixture_read(&fixture, page), 1);
    }
    struct pool_statistics statistics = pool_fixture_statistics(&fixture);
    assert_true(statistics.evictions_dirty > before);
    assert_int_equal(statistics.frames_dirty, FRAMES / 2 - statistics.evictions_dirty);
    for (uint64_t page = 1; page <= FRAMES / 2; page++) {
        assert_int_equal(pool_fixture_read(&fixture, page), 2);
    }
    for (uint64_t index = 0; index < FRAMES / 2; index++) {
        pool_unpin(fixture.pool, pins[index], POOL_PIN_ONLY);
    }
    pool_fixture_checkpoint(&fixture);
    assert_int_equal(pool_fixture_durable(&fixture, 1), 2);
    assert_int_equal(pool_fixture_durable(&fixture, FRAMES / 2), 2);
    pool_fixture_deinit(&fixture);
}

/* A failed write keeps the page where it is; the pool goes on reading. */
static void a_steal_that_fails_loses_nothing(void **state)
{
    struct pool_fixture fixture;
    struct pool_frame *pins[FRAMES / 2];

    (void)state;
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    set_up(&fixture, 2 * FRAMES);
    for (uint64_t page = 1; page <= FRAMES / 2; page++) {
        pool_fixture_change(&fixture, page, 2);
    }
    for (uint64_t index = 0; index < FRAMES / 2 - 1; index++) {
        assert_int_equal(pool_pin(fixture.pool, FRAMES + index, POOL_PIN_ONLY, &pins[index]), 0);
    }
    fault_file_fail(fixture.fault, FAULT_WRITE, 1, EIO, true);
    for (uint64_t page = FRAMES / 2 + 1; page < FRAMES / 2 + 100; page++) {
        assert_int_equal(pool_fixture_read(&fixture, page), 1);
    }
    assert_int_equal(pool_fixture_statistics(&fixture).evictions_dirty, 0);
    for (uint64_t page = 1; page <= FRAMES / 2; page++) {
        assert_int_equal(pool_fixture_read(&fixture, page), 2);
    }
    /* What was promised to the page whose write failed is gone; freeing all of them must not give it back. */
    for (uint64_t page = 1; page <= FRAMES / 2; page++) {
        pool_fixture_free(&fixture, page);
    }
    struct store_statistics store;
    store_get_statistics(fixture.store, &store);
    assert_int_equal(store.reserved_pages, 0);
    for (uint64_t index = 0; index < FRAMES / 2 - 1; index++) {
        pool_unpin(fixture.pool, pins[index], POOL_PIN_ONLY);
    }
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
    pool_fixture_deinit(&fixture);
}

static void *read_page_1(void *argument)
{
    struct pool_fixture *fixture = argument;

    BASE_ASSERT(pool_fixture_read(fixture, 1) == 1);
    return NULL;
}

static void who_finds_no_frame_waits_for_one(void **state)
{
    struct pool_fixture fixture;
    struct pool_frame *pins[FRAMES];
    pthread_t reader;

    (void)state;
    set_up(&fixture, 2 * FRAMES);
    for (uint64_t index = 0; index < FRAMES; index++) {
        assert_int_equal(pool_pin(fixture.pool, 2 + index, POOL_PIN_ONLY, &pins[index]), 0);
    }
    assert_int_equal(pthread_create(&reader, NULL, read_page_1, &fixture), 0);
    while (atomic_load(&fixture.pool->frame_waiters) == 0) {
        sched_yield();
    }
    pool_unpin(fixture.pool, pins[77], POOL_PIN_ONLY);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_false(is_resident(&fixture, 2 + 77));
    for (uint64_t index = 0; index < FRAMES; index++) {
        if (index != 77) {
            pool_unpin(fixture.pool, pins[index], POOL_PIN_ONLY);
        }
    }
    pool_fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_pool),
        cmocka_unit_test(a_hit_reads_nothing),
        cmocka_unit_test(eviction_is_in_order_and_spares_what_is_used),
        cmocka_unit_test(a_scan_leaves_what_is_used_again),
        cmocka_unit_test(dirty_frames_are_stolen_only_when_clean_ones_are_short),
        cmocka_unit_test(a_steal_that_fails_loses_nothing),
        cmocka_unit_test(who_finds_no_frame_waits_for_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
