/* Readers go on while one thread writes and another takes checkpoints. Made for ThreadSanitizer; without it, it still
 * checks that every page reads as its last version and that the file is clean afterwards.
 *
 * A lock per page stands for the frame's latch: nobody reads a page that is being written. Pages up to FROZEN_PAGES are
 * written only as frozen ones, by the checkpointer. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/random.h"
#include "store/store.h"
#include "support/test_seed.h"

enum { PAGES = 5000, FROZEN_PAGES = 16, READERS = 3, CHECKPOINTS = 40, PAGE_SIZE = 4096 };

struct shared {
    struct store *store;
    uint64_t seed;
    pthread_mutex_t writer;
    pthread_rwlock_t page_locks[PAGES];
    uint64_t versions[PAGES]; /* under the page's lock; 0: absent */
    atomic_bool stop;
    atomic_uint_fast64_t reads;
};

static void fill(uint8_t *bytes, uint64_t page, uint64_t version)
{
    for (size_t i = 0; i < PAGE_SIZE; i += 8) {
        base_put_le64(bytes + i, page * 0x9E3779B97F4A7C15ULL + version * 1000003 + i);
    }
}

static void *read_pages(void *argument)
{
    struct shared *shared = argument;
    uint8_t bytes[PAGE_SIZE], expected[PAGE_SIZE];
    struct store_statistics statistics;
    struct base_random random;

    base_random_seed(&random, shared->seed + (uintptr_t)&random);
    while (!atomic_load(&shared->stop)) {
        uint64_t page = 1 + base_random_below(&random, PAGES - 1);
        pthread_rwlock_rdlock(&shared->page_locks[page]);
        uint64_t version = shared->versions[page];
        if (version != 0) {
            BASE_ASSERT(store_page_read(shared->store, page, bytes) == 0);
            fill(expected, page, version);
            BASE_ASSERT(memcmp(bytes, expected, PAGE_SIZE) == 0);
            atomic_fetch_add(&shared->reads, 1);
        }
        pthread_rwlock_unlock(&shared->page_locks[page]);
        if (base_random_below(&random, 64) == 0) {
            store_get_statistics(shared->store, &statistics);
            BASE_ASSERT(statistics.used_blocks <= statistics.file_blocks);
        }
    }
    return NULL;
}

static void write_page(struct shared *shared, uint64_t page, bool frozen)
{
    uint8_t bytes[PAGE_SIZE];

    pthread_rwlock_wrlock(&shared->page_locks[page]);
    fill(bytes, page, ++shared->versions[page]);
    BASE_ASSERT(store_page_write(shared->store, page, bytes, frozen) == 0);
    pthread_rwlock_unlock(&shared->page_locks[page]);
}

/* Allocates contents before the writer lock, as an operation does; publishes or cancels, and frees older ones. */
static void change_contents(struct shared *shared, struct base_random *random, struct store_run *held)
{
    static uint8_t bytes[8 * STORE_BLOCK_SIZE];
    struct store_run run;

    BASE_ASSERT(store_content_allocate(shared->store, 8, 0, &run) == 0);
    store_unreserve(shared->store, 0, 8 - run.count);
    BASE_ASSERT(store_content_write(shared->store, run, bytes) == 0);
    pthread_mutex_lock(&shared->writer);
    if (base_random_below(random, 4) == 0) {
        store_content_cancel(shared->store, run);
    } else {
        if (held->count > 0) {
            BASE_ASSERT(store_content_is_valid(shared->store, *held));
            BASE_ASSERT(store_content_prepare_free(shared->store, *held) == 0);
            store_content_free(shared->store, *held);
        }
        store_content_publish(shared->store, run, NULL);
        *held = run;
    }
    pthread_mutex_unlock(&shared->writer);
}

static void *write_pages(void *argument)
{
    struct shared *shared = argument;
    const struct store_need need = {.pages = 1, .content_blocks = 8};
    struct store_run held[16] = {{0}};
    struct base_random random;

    base_random_seed(&random, shared->seed);
    while (!atomic_load(&shared->stop)) {
        BASE_ASSERT(store_reserve(shared->store, &need) == 0);
        change_contents(shared, &random, &held[base_random_below(&random, 16)]);
        pthread_mutex_lock(&shared->writer);
        uint64_t page = FROZEN_PAGES + 1 + base_random_below(&random, PAGES - FROZEN_PAGES - 1);
        if (shared->versions[page] == 0) {
            page = store_page_number_allocate(shared->store);
            BASE_ASSERT(page > FROZEN_PAGES && page < PAGES && shared->versions[page] == 0);
        } else if (base_random_below(&random, 8) == 0) {
            pthread_rwlock_wrlock(&shared->page_locks[page]);
            store_page_free(shared->store, page);
            shared->versions[page] = 0;
            pthread_rwlock_unlock(&shared->page_locks[page]);
            store_unreserve(shared->store, 1, 0);
            page = 0;
        }
        if (page != 0) {
            write_page(shared, page, false);
        }
        pthread_mutex_unlock(&shared->writer);
    }
    return NULL;
}

static void take_checkpoint(struct shared *shared)
{
    const struct store_need need = {.pages = FROZEN_PAGES};

    BASE_ASSERT(store_reserve(shared->store, &need) == 0);
    pthread_mutex_lock(&shared->writer);
    store_freeze(shared->store);
    pthread_mutex_unlock(&shared->writer);
    for (uint64_t page = 1; page <= FROZEN_PAGES; page++) {
        write_page(shared, page, true);
    }
    BASE_ASSERT(store_checkpoint(shared->store) == 0);
}

static void fill_store(struct shared *shared)
{
    const struct store_need need = {.pages = PAGES - 1};

    assert_int_equal(store_reserve(shared->store, &need), 0);
    for (uint64_t page = 1; page < PAGES; page++) {
        assert_int_equal(store_page_number_allocate(shared->store), page);
        write_page(shared, page, false);
    }
}

static void test_threads(void **state)
{
    (void)state;
    const struct store_format_options format = {.page_size = PAGE_SIZE};
    const struct store_open_options options = {.node_cache_size = 0};
    struct shared *shared = calloc(1, sizeof *shared);
    struct store_check_report report = {0};
    pthread_t readers[READERS], writer;
    struct base_reason reason;
    struct os_file *file;

    assert_non_null(shared);
    shared->seed = test_seed("store_threads", 1);
    assert_int_equal(os_memory_file_create(&file), 0);
    assert_int_equal(store_format(file, &format), 0);
    assert_int_equal(store_open(file, &options, &shared->store, &reason), 0);
    pthread_mutex_init(&shared->writer, NULL);
    for (size_t page = 0; page < PAGES; page++) {
        pthread_rwlock_init(&shared->page_locks[page], NULL);
    }
    fill_store(shared);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_pages, shared), 0);
    }
    assert_int_equal(pthread_create(&writer, NULL, write_pages, shared), 0);
    for (int i = 0; i < (test_is_long() ? CHECKPOINTS * 20 : CHECKPOINTS); i++) {
        take_checkpoint(shared);
    }
    atomic_store(&shared->stop, true);
    pthread_join(writer, NULL);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    print_message("%llu reads\n", (unsigned long long)atomic_load(&shared->reads));
    take_checkpoint(shared);
    assert_int_equal(store_check(shared->store, &report), 0);
    assert_int_equal(report.problems, 0);
    for (size_t page = 0; page < PAGES; page++) {
        pthread_rwlock_destroy(&shared->page_locks[page]);
    }
    pthread_mutex_destroy(&shared->writer);
    store_close(shared->store);
    os_file_close(file);
    free(shared);
}

struct grower {
    struct store *store;
    uint64_t pages;
};

static void *grow(void *argument)
{
    struct grower *grower = argument;
    const struct store_need need = {.pages = 7, .content_blocks = 500};

    for (int i = 0; i < 200; i++) {
        if (store_reserve(grower->store, &need) == 0) {
            grower->pages += need.pages;
        }
    }
    return NULL;
}

/* Several growers at once: each gets what it was promised. */
static void test_growers(void **state)
{
    (void)state;
    const struct store_format_options format = {.page_size = PAGE_SIZE};
    const struct store_open_options options = {.node_cache_size = 0};
    struct grower growers[READERS] = {{0}};
    struct store_statistics statistics;
    pthread_t threads[READERS];
    struct base_reason reason;
    struct os_file *file;
    struct store *store;
    uint64_t pages = 0;

    assert_int_equal(os_memory_file_create(&file), 0);
    assert_int_equal(store_format(file, &format), 0);
    assert_int_equal(store_open(file, &options, &store, &reason), 0);
    for (int i = 0; i < READERS; i++) {
        growers[i].store = store;
        assert_int_equal(pthread_create(&threads[i], NULL, grow, &growers[i]), 0);
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        pages += growers[i].pages;
    }
    store_get_statistics(store, &statistics);
    assert_int_equal(statistics.reserved_pages, pages);
    assert_int_equal(pages, READERS * 200 * 7);
    assert_true(statistics.file_blocks >= READERS * 200 * 507);
    store_close(store);
    os_file_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads), cmocka_unit_test(test_growers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
