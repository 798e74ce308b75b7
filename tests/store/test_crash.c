/* Power cuts: after any of the store's calls the power goes, unsynced writes are kept, dropped, reordered and torn at
 * random; what is opened then is exactly the last durable checkpoint or the one in flight. The work goes on from there,
 * so that later cuts fall on files that earlier ones left. */
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

enum { ROUNDS = 30, CALLS_MAX = 120, NODE_CACHE_SIZE = 65536 };

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

/* Works until the power is cut. */
static void work_until_cut(struct store_model *model, struct base_random *random, struct fault_file *fault)
{
    int result = 0;

    fault_file_cut_power(fault, 1 + base_random_below(random, CALLS_MAX));
    while (result == 0 || !fault_file_is_cut(fault)) {
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
        assert_true(result == 0 || fault_file_is_cut(fault));
    }
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
        work_until_cut(model, &random, fault);
        store_close(model->store);
        fault = open_after_cut(fault, &random, &store);
        model->page_size = page_size;
        bool is_durable = store_model_matches(model, store, &model->durable);
        bool is_frozen = !is_durable && model->is_frozen && store_model_matches(model, store, &model->frozen);
        assert_true(is_durable || is_frozen);
        from_flight += is_frozen;
        *found = is_frozen ? model->frozen : model->durable;
        store_model_attach(model, store, found);
        store_model_check(model, store);
    }
    print_message("%d cuts, %llu of them left the checkpoint in flight\n", rounds, (unsigned long long)from_flight);
    store_close(model->store);
    store_model_destroy(model);
    os_file_close(fault_file_seam(fault));
    free(found);
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
    };
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
