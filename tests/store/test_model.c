/* Random work on the store against a model, at all page sizes: pages and contents read right at every moment, a
 * reopened store holds exactly the last checkpoint, store_check is content each time, and in the end every block comes
 * back. A guard in front of the file refuses writes to blocks that the last durable checkpoint uses. Work goes on
 * between freeze and checkpoint, and in the middle of the checkpoint too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "internal.h"
#include "support/store_model.h"
#include "support/test_seed.h"

enum { STEPS = 6000, NODE_CACHE_SIZE = 65536 };

/* --- A file that watches over the durable state ------------------------------------------------------------------- */

struct guard_file {
    struct os_file file; /* first member */
    struct os_file *below;
    bool *is_protected; /* by block */
    uint64_t block_count;
    struct store_model *model; /* works on during the checkpoint's syncs, as other threads would; may be NULL */
    bool is_working;
    struct store *store_to_freeze; /* at the next write */
};

static int guard_read(struct os_file *file, void *buffer, size_t size, uint64_t offset)
{
    return os_file_read(((struct guard_file *)file)->below, buffer, size, offset);
}

static int guard_write(struct os_file *file, const void *buffer, size_t size, uint64_t offset)
{
    struct guard_file *guard = (struct guard_file *)file;

    for (uint64_t block = offset / STORE_BLOCK_SIZE; block < (offset + size) / STORE_BLOCK_SIZE; block++) {
        BASE_ASSERT(block >= guard->block_count || !guard->is_protected[block]);
    }
    if (guard->store_to_freeze) {
        store_freeze(guard->store_to_freeze);
        guard->store_to_freeze = NULL;
    }
    return os_file_write(guard->below, buffer, size, offset);
}

static int guard_sync(struct os_file *file)
{
    struct guard_file *guard = (struct guard_file *)file;

    if (guard->model && !guard->is_working) {
        guard->is_working = true;
        for (int i = 0; i < 20; i++) {
            assert_int_equal(store_model_step(guard->model), 0);
        }
        guard->is_working = false;
    }
    return os_file_sync(guard->below);
}

static int guard_start_writeback(struct os_file *file, uint64_t offset, uint64_t size)
{
    return os_file_start_writeback(((struct guard_file *)file)->below, offset, size);
}

static int guard_allocate(struct os_file *file, uint64_t offset, uint64_t size)
{
    return os_file_allocate(((struct guard_file *)file)->below, offset, size);
}

static int guard_truncate(struct os_file *file, uint64_t size)
{
    return os_file_truncate(((struct guard_file *)file)->below, size);
}

static int guard_get_size(struct os_file *file, uint64_t *ret_size)
{
    return os_file_get_size(((struct guard_file *)file)->below, ret_size);
}

static int guard_get_host_free(struct os_file *file, uint64_t *ret_size)
{
    return os_file_get_host_free(((struct guard_file *)file)->below, ret_size);
}

static int guard_drop_cache(struct os_file *file)
{
    return os_file_drop_cache(((struct guard_file *)file)->below);
}

static const struct os_file_operations guard_operations = {
    .read = guard_read,
    .write = guard_write,
    .sync = guard_sync,
    .start_writeback = guard_start_writeback,
    .allocate = guard_allocate,
    .truncate = guard_truncate,
    .get_size = guard_get_size,
    .get_host_free = guard_get_host_free,
    .drop_cache = guard_drop_cache,
};

/* Opens what is on the disk and protects the blocks that it uses. */
static void guard_protect(struct guard_file *guard)
{
    const struct store_open_options options = {.read_only = true};
    struct base_reason reason;
    struct store *store;

    assert_int_equal(store_open(guard->below, &options, &store, &reason), 0);
    free(guard->is_protected);
    guard->block_count = store->superblock.block_count;
    guard->is_protected = calloc(guard->block_count, sizeof *guard->is_protected);
    assert_non_null(guard->is_protected);
    for (uint64_t block = STORE_HEADER_BLOCKS; block < guard->block_count; block++) {
        guard->is_protected[block] = space_is_used(&store->space, block);
    }
    store_close(store);
}

/* --- The test ----------------------------------------------------------------------------------------------------- */

static struct store *open_store(struct os_file *file)
{
    const struct store_open_options options = {.node_cache_size = NODE_CACHE_SIZE};
    struct base_reason reason;
    struct store *store;
    int result = store_open(file, &options, &store, &reason);

    if (result < 0) {
        print_error("%s\n", reason.text);
    }
    assert_int_equal(result, 0);
    return store;
}

/* Everything durable, by way of a checkpoint in flight if there is one. */
static void sync_all(struct store_model *model, struct guard_file *guard)
{
    assert_int_equal(store_model_checkpoint(model), 0);
    guard_protect(guard);
    assert_int_equal(store_model_freeze(model), 0);
    assert_int_equal(store_model_checkpoint(model), 0);
    guard_protect(guard);
}

static void reopen(struct store_model *model, struct guard_file *guard)
{
    struct model_state *state = malloc(sizeof *state);

    assert_non_null(state);
    *state = model->durable;
    store_close(model->store);
    struct store *store = open_store(&guard->file);
    assert_true(store_model_matches(model, store, state));
    store_model_attach(model, store, state);
    store_model_check(model, store);
    free(state);
}

static int checkpoint(struct store_model *model, struct guard_file *guard)
{
    guard->model = model;
    int result = store_model_checkpoint(model);
    guard->model = NULL;
    guard_protect(guard);
    return result;
}

static void run_steps(struct store_model *model, struct guard_file *guard, struct base_random *random, int steps)
{
    for (int i = 0; i < steps; i++) {
        assert_int_equal(store_model_step(model), 0);
        uint64_t choice = base_random_below(random, 400);
        if (choice < 4) {
            assert_int_equal(store_model_freeze(model), 0);
        } else if (choice < 8) {
            assert_int_equal(checkpoint(model, guard), 0);
        } else if (choice == 8) {
            sync_all(model, guard);
            store_model_verify(model);
            store_model_check(model, model->store);
        } else if (choice == 9) {
            reopen(model, guard);
        } else if (choice == 10) {
            int result = store_shrink(model->store);
            assert_true(result == 0 || (result == -EBUSY && model->is_frozen));
            guard_protect(guard);
        }
    }
}

static void test_model(void **state)
{
    const uint32_t page_size = *(const uint32_t *)*state;
    struct guard_file guard = {.file = {&guard_operations}};
    struct store_format_options format = {.page_size = page_size};
    struct store_statistics statistics;
    struct base_random random;

    base_random_seed(&random, test_seed("store_model", 1) + page_size);
    assert_int_equal(os_memory_file_create(&guard.below), 0);
    assert_int_equal(store_format(&guard.file, &format), 0);
    struct store_model *model = store_model_create(&random);
    store_model_attach(model, open_store(&guard.file), NULL);
    run_steps(model, &guard, &random, test_is_long() ? STEPS * 20 : STEPS);
    sync_all(model, &guard);
    reopen(model, &guard);

    /* With everything freed and two checkpoints nothing is used but header and log. */
    store_model_free_all(model);
    sync_all(model, &guard);
    store_model_check(model, model->store);
    store_get_statistics(model->store, &statistics);
    assert_int_equal(statistics.pages, 0);
    assert_int_equal(statistics.content_blocks, 0);
    assert_int_equal(statistics.used_blocks,
                     STORE_HEADER_BLOCKS + store_log_ring_size(model->store) / STORE_BLOCK_SIZE);
    assert_int_equal(statistics.reserved_pages, 0);
    assert_int_equal(statistics.reserved_content_blocks, 0);
    assert_int_equal(store_shrink(model->store), 0);
    store_close(model->store);
    store_model_destroy(model);
    free(guard.is_protected);
    os_file_close(guard.below);
}

/* A page whose bytes are on their way when the freeze comes belongs to the epoch that it ends. */
static void test_overtaken_write(void **state)
{
    (void)state;
    struct guard_file guard = {.file = {&guard_operations}};
    const struct store_format_options format = {.page_size = 4096};
    const struct store_need need = {.pages = 2};
    uint8_t bytes[4096] = {1}, read[4096];

    assert_int_equal(os_memory_file_create(&guard.below), 0);
    assert_int_equal(store_format(&guard.file, &format), 0);
    struct store *store = open_store(&guard.file);
    assert_int_equal(store_reserve(store, &need), 0);
    uint64_t page = store_page_number_allocate(store);
    guard.store_to_freeze = store;
    assert_int_equal(store_page_write(store, page, bytes, false), 0);
    assert_false(store_is_dirty(store));
    assert_int_equal(store_checkpoint(store), 0);
    /* The live version of a page hides its frozen one, whichever is written first. */
    store_freeze(store);
    bytes[0] = 2;
    assert_int_equal(store_page_write(store, page, bytes, false), 0);
    store_close(store);
    store = open_store(&guard.file);
    assert_int_equal(store_page_read(store, page, read), 0);
    assert_int_equal(read[0], 1);
    assert_int_equal(store_reserve(store, &need), 0);
    store_freeze(store);
    bytes[0] = 4;
    assert_int_equal(store_page_write(store, page, bytes, false), 0);
    bytes[0] = 3;
    assert_int_equal(store_page_write(store, page, bytes, true), 0);
    assert_int_equal(store_page_read(store, page, read), 0);
    assert_int_equal(read[0], 4);
    assert_int_equal(store_checkpoint(store), 0);
    assert_int_equal(store_page_read(store, page, read), 0);
    assert_int_equal(read[0], 4);
    store_close(store);
    store = open_store(&guard.file);
    assert_int_equal(store_page_read(store, page, read), 0);
    assert_int_equal(read[0], 3);
    store_close(store);
    os_file_close(guard.below);
}

int main(void)
{
    static uint32_t sizes[] = {4096, 8192, 16384, 32768, 65536};
    const struct CMUnitTest tests[] = {
        {"model, pages of 4 KiB", test_model, NULL, NULL, &sizes[0]},
        {"model, pages of 8 KiB", test_model, NULL, NULL, &sizes[1]},
        {"model, pages of 16 KiB", test_model, NULL, NULL, &sizes[2]},
        {"model, pages of 32 KiB", test_model, NULL, NULL, &sizes[3]},
        {"model, pages of 64 KiB", test_model, NULL, NULL, &sizes[4]},
        cmocka_unit_test(test_overtaken_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
