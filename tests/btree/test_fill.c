/* How well nodes are filled and how much is touched: ascending inserts, runs inside the tree, deletes, range deletes,
 * and that alternating inserts and deletes don't split and merge all the time. */
#include "tree_fixture.h"

static struct tree_fixture fixture;

static size_t make_key(uint8_t *key, char table, uint64_t group, uint64_t number)
{
    key[0] = (uint8_t)table;
    base_put_be64(key + 1, group);
    base_put_be64(key + 9, number);
    return 17;
}

static void put(char table, uint64_t group, uint64_t number, size_t value_size)
{
    uint8_t key[32], value[2000];
    memset(value, 'v', sizeof value);
    struct txn *txn = fixture_begin(&fixture, 1);
    size_t key_size = make_key(key, table, group, number);
    assert_int_equal(btree_insert(fixture.tree, txn, slice(key, key_size), slice(value, value_size)), 0);
    txn_commit(txn);
}

static void delete_one(char table, uint64_t group, uint64_t number)
{
    uint8_t key[32];
    struct txn *txn = fixture_begin(&fixture, 1);
    assert_int_equal(btree_delete(fixture.tree, txn, slice(key, make_key(key, table, group, number))), 0);
    txn_commit(txn);
}

static double fill_of(uint64_t row_count)
{
    struct btree_verify_report report = fixture_verify(&fixture, row_count);
    uint64_t pages = report.leaves + report.inner_nodes;
    return (double)report.page_bytes_used / (double)(pages * fixture.page_size);
}

/* Not quite full: the last leaf has no prefix, so its rows become shorter when it is split off. */
static void test_ascending(void **state)
{
    (void)state;
    for (int i = 0; i < PAGE_SIZE_COUNT; i++) {
        fixture_create(&fixture, page_sizes[i], 64 << 20);
        for (uint64_t number = 0; number < 20000; number++) {
            put('I', 0, number, 100);
        }
        double fill = fill_of(20000);
        print_message("page size %u: ascending inserts fill %.1f %%\n", page_sizes[i], 100 * fill);
        assert_true(fill > 0.85);
        fixture_destroy(&fixture);
    }
}

/* A directory that grows between two others; files written one after the other. */
static void test_runs_inside(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        fixture_create(&fixture, page_sizes[i], 64 << 20);
        for (uint64_t number = 0; number < 40; number++) {
            put('D', 1, number, 20);
            put('D', 9, number, 20);
            put('I', 0, number, 112);
        }
        for (uint64_t number = 0; number < 10000; number++) {
            put('D', 5, number, 20);
            put('I', 0, 100 + number, 112);
            put('C', 100 + number, 0, 60);
        }
        double fill = fill_of(30120);
        print_message("page size %u: runs inside fill %.1f %%\n", page_sizes[i], 100 * fill);
        assert_true(fill > 0.8);
        fixture_destroy(&fixture);
    }
}

static void test_random(void **state)
{
    (void)state;
    struct base_random random;
    base_random_seed(&random, test_seed("btree fill", 11));
    fixture_create(&fixture, 16384, 64 << 20);
    for (uint64_t number = 0; number < 20000; number++) {
        put('D', base_random_next(&random), number, 20 + base_random_below(&random, 100));
    }
    double fill = fill_of(20000);
    print_message("random inserts fill %.1f %%\n", 100 * fill);
    assert_true(fill > 0.62);
    fixture_destroy(&fixture);
}

/* The most pages of one change are the most that btree_pages_per_change says: asserted by txn. Here: the typical ones.
 */
static void test_range_delete_touches_little(void **state)
{
    (void)state;
    uint8_t keys[2][32];
    fixture_create(&fixture, 4096, 64 << 20);
    for (uint64_t number = 0; number < 20000; number++) {
        put('C', 5, number, 60);
    }
    put('A', 1, 1, 10);
    put('E', 1, 1, 10);
    struct btree_verify_report before = fixture_verify(&fixture, 20002);
    struct btree_statistics first, last;
    btree_get_statistics(fixture.tree, &first);
    make_key(keys[0], 'C', 5, 0);
    make_key(keys[1], 'C', 6, 0);
    uint32_t done = 0;
    uint64_t total = 0;
    do {
        struct txn *txn = fixture_begin(&fixture, 64);
        assert_int_equal(btree_delete_range(fixture.tree, txn, slice(keys[0], 17), slice(keys[1], 17), 64, &done), 0);
        txn_commit(txn);
        total += done;
    } while (done == 64);
    assert_int_equal(total, 20000);
    btree_get_statistics(fixture.tree, &last);
    struct btree_verify_report after = fixture_verify(&fixture, 2);
    assert_true(after.leaves <= 2);
    print_message("range delete of %llu leaves: %llu descents\n", (unsigned long long)before.leaves,
                  (unsigned long long)(last.descents - first.descents));
    assert_true(last.descents - first.descents < 20000 / 64 + 4 * before.leaves);
    fixture_destroy(&fixture);
}

/* At whatever fill, an insert and a delete of the same row again and again restructure at most a few times. */
static void test_no_thrash(void **state)
{
    (void)state;
    fixture_create(&fixture, 4096, 16 << 20);
    for (uint64_t number = 0; number < 600; number++) {
        put('A', 0, number, 100 + number % 200);
        struct btree_statistics first, last;
        btree_get_statistics(fixture.tree, &first);
        for (int i = 0; i < 20; i++) {
            put('A', 0, number + 1, 150);
            delete_one('A', 0, number + 1);
        }
        btree_get_statistics(fixture.tree, &last);
        uint64_t count = last.splits + last.merges + last.borrows - first.splits - first.merges - first.borrows;
        assert_in_range(count, 0, 4);
    }
    for (uint64_t number = 0; number < 599; number++) {
        struct btree_statistics first, last;
        delete_one('A', 0, number);
        btree_get_statistics(fixture.tree, &first);
        for (int i = 0; i < 20; i++) {
            delete_one('A', 0, number + 1);
            put('A', 0, number + 1, 100 + (number + 1) % 200);
        }
        btree_get_statistics(fixture.tree, &last);
        uint64_t count = last.splits + last.merges + last.borrows - first.splits - first.merges - first.borrows;
        assert_in_range(count, 0, 4);
    }
    fixture_destroy(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ascending), cmocka_unit_test(test_runs_inside),
        cmocka_unit_test(test_random),    cmocka_unit_test(test_range_delete_touches_little),
        cmocka_unit_test(test_no_thrash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
