/* Reads that fail in the middle of anything: the answer is -EIO, an abort brings back what was, no pin is lost (the
 * pool asserts that at its end), and what is asked again later is answered. */
#include "tree_fixture.h"

#include "base/message.h"
#include "support/fault_file.h"

static struct base_random random_source;
static struct tree_fixture fixture;
static struct fault_file *fault;
static struct row_model model;

static uint64_t below(uint64_t bound)
{
    return base_random_below(&random_source, bound);
}

static void fail_soon(void)
{
    if (below(3) == 0) {
        fault_file_fail(fault, FAULT_READ, 1 + below(6), EIO, below(2));
    }
}

static void no_more_faults(void)
{
    fault_file_fail(fault, FAULT_READ, 0, 0, false);
}

/* Returns whether it was done. */
static bool finish(struct txn *txn, int error, unsigned *failed)
{
    no_more_faults();
    assert_true(error == 0 || error == -ENOENT || error == -EIO);
    *failed += error == -EIO;
    (error ? txn_abort : txn_commit)(txn);
    return error == 0;
}

static void put_one(unsigned *failed)
{
    uint8_t key[BTREE_KEY_SIZE_MAX], value[700];
    size_t key_size = key_make(&random_source, KEYS_TALL, key), value_size = below(500);
    memset(value, (int)below(256), sizeof value);
    struct txn *txn = fixture_begin(&fixture, 1);
    fail_soon();
    int error = btree_put(fixture.tree, txn, slice(key, key_size), slice(value, value_size));
    if (finish(txn, error, failed)) {
        row_model_put(&model, key, key_size, value, value_size);
    }
}

static void delete_some(unsigned *failed)
{
    size_t from = below(model.count), to = from + below(8);
    to = to < model.count ? to : model.count - 1;
    const struct model_row *rows[2] = {model.rows[from], model.rows[to]};
    struct txn *txn = fixture_begin(&fixture, 8);
    uint32_t done = 1;
    fail_soon();
    int error = to == from ? btree_delete(fixture.tree, txn, slice(rows[0]->key, rows[0]->key_size))
                           : btree_delete_range(fixture.tree, txn, slice(rows[0]->key, rows[0]->key_size),
                                                slice(rows[1]->key, rows[1]->key_size), 8, &done);
    if (finish(txn, error, failed)) {
        row_model_delete(&model, from, from + done);
    }
}

static void read_some(struct btree_cursor *cursor, unsigned *failed)
{
    size_t index = below(model.count), size = 0;
    uint8_t value[1000];
    const struct model_row *row = model.rows[index];
    fail_soon();
    int error = btree_get(fixture.tree, NULL, slice(row->key, row->key_size), value, sizeof value, &size);
    assert_true(error == -EIO || (error == 0 && size == row->value_size));
    *failed += error == -EIO;
    error = btree_cursor_seek(cursor, NULL, slice(row->key, row->key_size));
    for (size_t i = index; error == 0; i++) {
        row = model.rows[i];
        assert_slice_equal(btree_cursor_key(cursor), row->key, row->key_size);
        error = i < index + 30 ? btree_cursor_next(cursor, NULL) : -ENOENT;
    }
    assert_true(error == -ENOENT || error == -EIO);
    *failed += error == -EIO;
    error = btree_cursor_seek_before(cursor, NULL, slice(row->key, row->key_size));
    for (int i = 0; error == 0 && i < 30; i++) {
        error = btree_cursor_previous(cursor, NULL);
    }
    assert_true(error == 0 || error == -ENOENT || error == -EIO);
    *failed += error == -EIO;
    no_more_faults();
}

static void verify_with_faults(void)
{
    struct btree_verify_report report = {.problem = NULL};
    uint64_t nth = 1 + below(400);
    fault_file_reset_counts(fault);
    fault_file_fail(fault, FAULT_READ, nth, EIO, below(2));
    assert_int_equal(btree_verify(fixture.tree, &report), 0);
    no_more_faults();
    assert_int_equal(report.problems > 0, fault_file_count(fault, FAULT_READ) >= nth);
}

static void test_failing_reads(void **state)
{
    (void)state;
    unsigned failed[3] = {0};
    struct btree_cursor *cursor;
    base_random_seed(&random_source, test_seed("btree faults", 13));
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    fault = fault_file_create(NULL);
    fixture_create_on(&fixture, fault_file_seam(fault), 4096, 0);
    row_model_init(&model);
    assert_int_equal(btree_cursor_open(fixture.tree, &cursor), 0);
    unsigned step_count = test_is_long() ? 100000 : 12000;
    for (unsigned step = 0; step < step_count; step++) {
        if (model.count < 3000 || below(2)) {
            put_one(&failed[0]);
        } else {
            delete_some(&failed[1]);
        }
        if (step % 8 == 0 && model.count > 0) {
            read_some(cursor, &failed[2]);
        }
        if (step % 3000 == 2999) {
            verify_with_faults();
            fixture_verify(&fixture, model.count);
        }
    }
    fixture_compare(&fixture, NULL, &model);
    btree_cursor_close(cursor);
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
    print_message("failed: %u puts, %u deletes, %u reads\n", failed[0], failed[1], failed[2]);
    assert_true(failed[0] > 20 && failed[1] > 20 && failed[2] > 20);
    row_model_deinit(&model);
    fixture_destroy(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failing_reads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
