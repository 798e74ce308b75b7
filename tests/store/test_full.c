/* Full hosts and small files: what is refused is -ENOSPC, what was promised is kept, deleting works and gives
 * everything back; also after a clean end and a new start on a host that is still full. And growing and shrinking. */
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

enum { PAGES_MAX = 40000, RUNS_MAX = 40000, MIB_BLOCKS = 256 };

/* Pages and runs that exist; contents are not looked at here. */
struct user {
    struct store *store;
    uint8_t page[STORE_PAGE_SIZE_MAX];
    uint64_t pages[PAGES_MAX];
    size_t page_count;
    struct store_run runs[RUNS_MAX];
    size_t run_count;
};

static struct store *open_store(struct os_file *file)
{
    const struct store_open_options options = {.node_cache_size = 1 << 20};
    struct base_reason reason;
    struct store *store;
    int result = store_open(file, &options, &store, &reason);

    if (result < 0) {
        print_error("%s\n", reason.text);
    }
    assert_int_equal(result, 0);
    return store;
}

static void sync_all(struct user *user)
{
    store_freeze(user->store);
    assert_int_equal(store_checkpoint(user->store), 0);
}

/* As txn_begin: -ENOSPC only after a checkpoint did not help. */
static int reserve(struct user *user, uint64_t pages, uint64_t content_blocks, bool emergency)
{
    const struct store_need need = {pages, content_blocks, emergency};
    int result = store_reserve(user->store, &need);

    if (result == -ENOSPC) {
        sync_all(user);
        result = store_reserve(user->store, &need);
    }
    assert_true(result == 0 || result == -ENOSPC);
    return result;
}

/* Rewrites a page, as any change of the tree does. */
static void touch(struct user *user, size_t i)
{
    assert_int_equal(store_page_write(user->store, user->pages[i], user->page, false), 0);
}

/* One operation that adds a page and a run, changing some pages on the way. */
static int add(struct user *user, uint32_t content_blocks)
{
    int result = reserve(user, 9, content_blocks, false);
    uint64_t used_pages = 1;

    if (result < 0) {
        return result;
    }
    for (size_t i = 0; i < 4 && i < user->page_count; i++, used_pages++) {
        touch(user, user->page_count / 4 * i);
    }
    user->pages[user->page_count] = store_page_number_allocate(user->store);
    assert_int_equal(store_page_write(user->store, user->pages[user->page_count++], user->page, false), 0);
    while (content_blocks > 0) {
        struct store_run *run = &user->runs[user->run_count++];
        assert_int_equal(store_content_allocate(user->store, content_blocks, 0, run), 0);
        store_content_publish(user->store, *run, NULL);
        content_blocks -= run->count;
    }
    store_unreserve(user->store, 9 - used_pages, 0);
    return 0;
}

/* One operation that frees a run, and a page, changing others on the way. It must never be refused. */
static void delete_one(struct user *user)
{
    uint64_t used_pages = 0;

    assert_int_equal(reserve(user, 9, 0, true), 0);
    if (user->run_count > 0) {
        assert_int_equal(store_content_prepare_free(user->store, user->runs[user->run_count - 1]), 0);
        store_content_free(user->store, user->runs[--user->run_count]);
    }
    if (user->page_count > 0) {
        store_page_free(user->store, user->pages[--user->page_count]);
    }
    for (size_t i = 0; i < 6 && i < user->page_count; i++, used_pages++) {
        touch(user, user->page_count / 6 * i);
    }
    store_unreserve(user->store, 9 - used_pages, 0);
}

static void assert_clean(struct store *store)
{
    struct store_check_report report = {0};

    assert_int_equal(store_check(store, &report), 0);
    assert_int_equal(report.problems, 0);
}

/* Fills, deletes everything. content_blocks: of each addition. */
static void run_full(uint32_t page_size, uint64_t host_blocks, uint32_t content_blocks, bool restart)
{
    const struct store_format_options format = {.page_size = page_size};
    struct fault_file *fault = fault_file_create(NULL);
    struct os_file *file = fault_file_seam(fault);
    struct user *user = calloc(1, sizeof *user);
    struct store_statistics empty, full, freed;

    assert_non_null(user);
    assert_int_equal(store_format(file, &format), 0);
    user->store = open_store(file);
    fault_file_set_host_size(fault, host_blocks * STORE_BLOCK_SIZE);
    store_get_statistics(user->store, &empty);
    while (user->run_count + 64 < RUNS_MAX && user->page_count < PAGES_MAX && add(user, content_blocks) == 0) {
    }
    assert_int_equal(reserve(user, 9, content_blocks, false), -ENOSPC);
    store_get_statistics(user->store, &full);
    assert_true(full.available_blocks < empty.available_blocks);
    sync_all(user);
    if (restart) {
        assert_int_equal(store_shrink(user->store), 0);
        store_close(user->store);
        user->store = open_store(file);
        /* What shrinking gave to the host is somebody else's now. */
        uint64_t size;
        assert_int_equal(os_file_get_size(file, &size), 0);
        fault_file_set_host_size(fault, size);
    }
    while (user->page_count > 0 || user->run_count > 0) {
        delete_one(user);
    }
    sync_all(user);
    assert_clean(user->store);
    store_get_statistics(user->store, &freed);
    assert_int_equal(freed.used_blocks, empty.used_blocks);
    assert_int_equal(freed.reserved_pages, 0);
    if (!restart) {
        /* As before, but for the rounding of the file to whole steps. */
        assert_true(freed.available_blocks + 64 >= empty.available_blocks);
    }
    store_close(user->store);
    os_file_close(file);
    free(user);
}

static void test_full_of_both(void **state)
{
    (void)state;
    for (uint32_t page_size = 4096; page_size <= 65536; page_size *= 2) {
        run_full(page_size, 40 * MIB_BLOCKS, 24, false);
        run_full(page_size, 40 * MIB_BLOCKS + 48, 24, true);
    }
}

static void test_full_of_pages(void **state)
{
    (void)state;
    for (uint32_t page_size = 4096; page_size <= 65536; page_size *= 4) {
        run_full(page_size, 48 * MIB_BLOCKS + 16, 0, false);
        run_full(page_size, 48 * MIB_BLOCKS, 0, true);
    }
}

static void test_full_of_contents(void **state)
{
    (void)state;
    for (uint32_t page_size = 4096; page_size <= 65536; page_size *= 4) {
        run_full(page_size, 64 * MIB_BLOCKS, 1000, false);
        run_full(page_size, 64 * MIB_BLOCKS + 32, 1000, true);
    }
}

/* On a host with next to nothing every need is refused, and nothing breaks. */
static void test_tiny_host(void **state)
{
    (void)state;
    const struct store_format_options format = {.page_size = 16384};
    struct fault_file *fault = fault_file_create(NULL);
    struct os_file *file = fault_file_seam(fault);
    struct user *user = calloc(1, sizeof *user);
    struct store_statistics statistics;

    assert_non_null(user);
    assert_int_equal(store_format(file, &format), 0);
    user->store = open_store(file);
    for (uint64_t blocks = 32; blocks < 4 * MIB_BLOCKS; blocks += 100) {
        fault_file_set_host_size(fault, blocks * STORE_BLOCK_SIZE);
        assert_int_equal(reserve(user, 1, 1, false), -ENOSPC);
        store_get_statistics(user->store, &statistics);
        assert_int_equal(statistics.available_blocks, 0);
    }
    assert_clean(user->store);
    store_close(user->store);
    os_file_close(file);
    free(user);
}

/* The file grows with what is in it, and a clean end cuts off what is free at its end, but for a little. */
static void test_grow_and_shrink(void **state)
{
    (void)state;
    const struct store_format_options format = {.page_size = 4096};
    struct user *user = calloc(1, sizeof *user);
    struct store_statistics statistics;
    struct os_file *file;
    uint64_t size;

    assert_non_null(user);
    assert_int_equal(os_memory_file_create(&file), 0);
    assert_int_equal(store_format(file, &format), 0);
    user->store = open_store(file);
    for (int i = 0; i < 600; i++) {
        assert_int_equal(add(user, 256), 0);
    }
    sync_all(user);
    store_get_statistics(user->store, &statistics);
    assert_true(statistics.used_blocks >= 600 * 257);
    /* No more than one step of a sixteenth ahead, and what is kept in reserve. */
    assert_true(statistics.file_blocks < statistics.used_blocks * 18 / 16 + 8 * MIB_BLOCKS);
    while (user->run_count > 20) {
        delete_one(user);
    }
    sync_all(user);
    /* The nodes of that checkpoint had to go behind what it freed; the next ones find room in front. */
    assert_int_equal(add(user, 1), 0);
    sync_all(user);
    store_get_statistics(user->store, &statistics);
    uint64_t generation = statistics.generation;
    assert_int_equal(store_shrink(user->store), 0);
    store_get_statistics(user->store, &statistics);
    assert_int_equal(statistics.generation, generation + 1);
    assert_true(statistics.file_blocks < 64 * MIB_BLOCKS);
    assert_int_equal(os_file_get_size(file, &size), 0);
    assert_int_equal(size, statistics.file_blocks * STORE_BLOCK_SIZE);
    /* Nothing more to gain. */
    assert_int_equal(store_shrink(user->store), 0);
    store_get_statistics(user->store, &statistics);
    assert_int_equal(statistics.generation, generation + 1);
    assert_clean(user->store);
    store_close(user->store);
    user->store = open_store(file);
    assert_clean(user->store);
    assert_int_equal(add(user, 256), 0);
    sync_all(user);
    assert_clean(user->store);
    store_close(user->store);
    os_file_close(file);
    free(user);
}

/* A checkpoint without a change costs no write; one after a change costs three syncs. */
static void test_cheap_checkpoint(void **state)
{
    (void)state;
    const struct store_format_options format = {.page_size = 4096};
    struct fault_file *fault = fault_file_create(NULL);
    struct os_file *file = fault_file_seam(fault);
    struct user *user = calloc(1, sizeof *user);

    assert_non_null(user);
    assert_int_equal(store_format(file, &format), 0);
    user->store = open_store(file);
    fault_file_reset_counts(fault);
    assert_false(store_is_dirty(user->store));
    sync_all(user);
    assert_int_equal(fault_file_count(fault, FAULT_WRITE) + fault_file_count(fault, FAULT_SYNC), 0);
    assert_int_equal(add(user, 1), 0);
    assert_true(store_is_dirty(user->store));
    fault_file_reset_counts(fault);
    sync_all(user);
    assert_false(store_is_dirty(user->store));
    assert_int_equal(fault_file_count(fault, FAULT_SYNC), 3);
    assert_int_equal(fault_file_count(fault, FAULT_WRITE), 4); /* map leaf, bitmap leaf, two superblocks */
    store_close(user->store);
    os_file_close(file);
    free(user);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_of_both),     cmocka_unit_test(test_full_of_pages),
        cmocka_unit_test(test_full_of_contents), cmocka_unit_test(test_tiny_host),
        cmocka_unit_test(test_grow_and_shrink),  cmocka_unit_test(test_cheap_checkpoint),
    };
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
