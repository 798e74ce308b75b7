/* Power cuts: after any of the store's calls the power goes, unsynced writes are kept, dropped, reordered and torn at
 * random; what is opened then is exactly the last durable checkpoint or the one in flight. The work goes on from there,
 * so that later cuts fall on files that earlier ones left. Some rounds end with the death of the process instead: then
 * nothing is lost, but what it had written is not durable either, and a cut in a later round may still take it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/message.h"
#include "store/store.h"
#include "support/fault_file.h"
#include "support/store_model.h"
#include "support/test_seed.h"

enum { ROUNDS = 20, CALLS_MAX = 120, NODE_CACHE_SIZE = 65536 };

static int open_store(struct os_file *file, struct store **ret_store)
{
    const struct store_open_options options = {.node_cache_size = NODE_CACHE_SIZE};
    struct base_reason reason;
    int result = store_open(file, &options, ret_store, &reason);

    if (result < 0 && result != -EIO) {
        print_error("%s\n", reason.text);
    }
    return result;
}

/* Works until the power is cut, or until a call that the process does not survive. */
static void work_until_end(struct store_model *model, struct base_random *random, struct fault_file *fault, bool is_cut)
{
    uint64_t calls = 1 + base_random_below(random, CALLS_MAX);
    int result = 0;

    if (is_cut) {
        fault_file_cut_power(fault, calls);
    } else {
        fault_file_fail(fault, FAULT_WRITE, calls, EIO, true);
    }
    while (result == 0) {
        uint64_t choice = base_random_below(random, 24);
        if (choice == 0) {
            result = store_model_freeze(model);
        } else if (choice == 1) {
            result = store_model_checkpoint(model);
        } else if (choice == 2 && !model->is_frozen) {
            result = store_shrink(model->store);
        } else {
            result = store_model_step(model);
        }
        assert_true(result == 0 || !is_cut || fault_file_is_cut(fault));
    }
    fault_file_fail(fault, FAULT_WRITE, 0, 0, false);
}

/* Opens what a cut left, perhaps with cuts while opening. */
static struct fault_file *open_after_cut(struct fault_file *fault, struct base_random *random, struct store **ret_store)
{
    for (;;) {
        struct os_file *image = fault_file_crash(fault, base_random_below(random, 4) ? random : NULL);
        os_file_close(fault_file_seam(fault));
        fault = fault_file_create(image);
        fault_file_cut_power(fault, base_random_below(random, 3) == 0 ? 1 + base_random_below(random, 3) : 0);
        int result = open_store(fault_file_seam(fault), ret_store);
        bool was_cut = fault_file_is_cut(fault);
        assert_true(result == 0 || was_cut);
        if (result == 0 && !was_cut) {
            fault_file_cut_power(fault, 0);
            return fault;
        }
        if (result == 0) {
            store_close(*ret_store);
        }
    }
}

static void test_crash(void **state)
{
    const uint32_t page_size = *(const uint32_t *)*state;
    const struct store_format_options format = {.page_size = page_size};
    struct fault_file *fault = fault_file_create(NULL);
    struct model_state *found = malloc(sizeof *found);
    int rounds = test_is_long() ? ROUNDS * 30 : ROUNDS;
    uint64_t from_flight = 0;
    struct base_random random;
    struct store *store;

    assert_non_null(found);
    base_random_seed(&random, test_seed("store_crash", 1) + page_size);
    assert_int_equal(store_format(fault_file_seam(fault), &format), 0);
    struct store_model *model = store_model_create(&random);
    assert_int_equal(open_store(fault_file_seam(fault), &store), 0);
    store_model_attach(model, store, NULL);
    for (int round = 0; round < rounds; round++) {
        bool is_cut = base_random_below(&random, 4) != 0;
        work_until_end(model, &random, fault, is_cut);
        store_close(model->store);
        if (is_cut) {
            fault = open_after_cut(fault, &random, &store);
        } else {
            assert_int_equal(open_store(fault_file_seam(fault), &store), 0);
        }
        model->page_size = page_size;
        bool is_durable = store_model_matches(model, store, &model->durable);
        bool is_frozen = !is_durable && model->is_frozen && store_model_matches(model, store, &model->frozen);
        assert_true(is_durable || is_frozen);
        from_flight += is_frozen;
        *found = is_frozen ? model->frozen : model->durable;
        store_model_attach(model, store, found);
        store_model_check(model, store);
    }
    print_message("%d ends, %llu of them left the checkpoint in flight\n", rounds, (unsigned long long)from_flight);
    store_close(model->store);
    store_model_destroy(model);
    os_file_close(fault_file_seam(fault));
    free(found);
}

/* --- One checkpoint, cut at every call ---------------------------------------------------------------------------- */

struct cut_bench {
    struct fault_file *fault;
    struct store_model *model;
    struct base_random random;
};

/* A store with a durable state and changes since. Always the same for one seed. */
static void cut_bench_init(struct cut_bench *bench, uint64_t seed)
{
    const struct store_format_options format = {.page_size = 4096};
    struct store *store;

    base_random_seed(&bench->random, seed);
    bench->fault = fault_file_create(NULL);
    assert_int_equal(store_format(fault_file_seam(bench->fault), &format), 0);
    assert_int_equal(open_store(fault_file_seam(bench->fault), &store), 0);
    bench->model = store_model_create(&bench->random);
    store_model_attach(bench->model, store, NULL);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(store_model_step(bench->model), 0);
    }
    assert_int_equal(store_model_sync(bench->model), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(store_model_step(bench->model), 0);
    }
}

static void cut_bench_deinit(struct cut_bench *bench)
{
    store_model_destroy(bench->model);
    os_file_close(fault_file_seam(bench->fault));
}

/* Whatever is left of the unsynced calls, it opens in one of the two states. */
static void assert_images_open(struct cut_bench *bench, int image_count)
{
    for (int i = 0; i < image_count; i++) {
        struct os_file *image = fault_file_crash(bench->fault, i == 0 ? NULL : &bench->random);
        struct store *store;
        assert_int_equal(open_store(image, &store), 0);
        assert_true(store_model_matches(bench->model, store, &bench->model->durable) ||
                    (bench->model->is_frozen && store_model_matches(bench->model, store, &bench->model->frozen)));
        store_model_check(bench->model, store);
        store_close(store);
        os_file_close(image);
    }
}

static void test_every_call(void **state)
{
    (void)state;
    const int images = test_is_long() ? 200 : 10;
    const uint64_t seed = test_seed("store_crash_every_call", 1);
    bool is_cut = true;
    uint64_t n;

    for (n = 1; is_cut; n++) {
        struct cut_bench bench;
        cut_bench_init(&bench, seed);
        fault_file_cut_power(bench.fault, n);
        int result = store_model_freeze(bench.model);
        if (result == 0) {
            result = store_model_checkpoint(bench.model);
        }
        is_cut = fault_file_is_cut(bench.fault);
        assert_true(is_cut == (result < 0));
        store_close(bench.model->store);
        assert_images_open(&bench, images);
        cut_bench_deinit(&bench);
    }
    assert_true(n > 8);
}

/* The process dies in the n-th call of a checkpoint, and the next one goes on in the same file. */
static void die_and_go_on(struct cut_bench *bench, int image_count)
{
    struct model_state *found = malloc(sizeof *found);
    struct store *store;

    assert_non_null(found);
    fault_file_cut_power(bench->fault, 0); /* another process has no such trouble */
    store_close(bench->model->store);
    assert_int_equal(open_store(fault_file_seam(bench->fault), &store), 0);
    bool is_new = store_model_matches(bench->model, store, &bench->model->frozen);
    assert_true(is_new || store_model_matches(bench->model, store, &bench->model->durable));
    *found = is_new ? bench->model->frozen : bench->model->durable;
    store_model_attach(bench->model, store, found);
    free(found);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(store_model_step(bench->model), 0);
    }
    store_close(store);
    assert_images_open(bench, image_count);
}

/* What a process finds written by one that died is not durable yet. It must make it so before it reuses blocks that
 * only an older state needs. */
static void test_death_then_cut(void **state)
{
    (void)state;
    const uint64_t seed = test_seed("store_crash_death", 1);
    const int images = test_is_long() ? 200 : 16;
    uint64_t sync_count = 0;
    int deaths = 0;
    bool is_cut = true;

    for (uint64_t n = 1; is_cut; n++) {
        struct cut_bench bench;
        cut_bench_init(&bench, seed);
        fault_file_reset_counts(bench.fault);
        fault_file_cut_power(bench.fault, n);
        int result = store_model_freeze(bench.model);
        if (result == 0) {
            result = store_model_checkpoint(bench.model);
        }
        is_cut = fault_file_is_cut(bench.fault);
        assert_true(is_cut == (result < 0));
        if (is_cut && fault_file_count(bench.fault, FAULT_SYNC) > sync_count) {
            sync_count++;
            deaths++;
            die_and_go_on(&bench, images);
        } else {
            store_close(bench.model->store);
        }
        cut_bench_deinit(&bench);
    }
    assert_int_equal(deaths, 3);
}

int main(void)
{
    static uint32_t sizes[] = {4096, 8192, 16384, 32768, 65536};
    const struct CMUnitTest tests[] = {
        {"power cuts, pages of 4 KiB", test_crash, NULL, NULL, &sizes[0]},
        {"power cuts, pages of 8 KiB", test_crash, NULL, NULL, &sizes[1]},
        {"power cuts, pages of 16 KiB", test_crash, NULL, NULL, &sizes[2]},
        {"power cuts, pages of 32 KiB", test_crash, NULL, NULL, &sizes[3]},
        {"power cuts, pages of 64 KiB", test_crash, NULL, NULL, &sizes[4]},
        cmocka_unit_test(test_every_call),
        cmocka_unit_test(test_death_then_cut),
    };
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
