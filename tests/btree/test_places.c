/* Places (src/btree/hint.c): rows in leaves that were found a moment ago cost no descent, whatever changed in those
 * leaves since; and a leaf that has left the tree is not found again. */
#include "tree_fixture.h"

static struct tree_fixture fixture;

/* A table byte and two numbers, as the filesystem's keys have. */
static size_t make_key(uint8_t *key, char table, uint64_t group, uint64_t number)
{
    key[0] = (uint8_t)table;
    base_put_be64(key + 1, group);
    base_put_be64(key + 9, number);
    return 17;
}

static void put(char table, uint64_t group, uint64_t number)
{
    uint8_t key[17];
    struct txn *txn = fixture_begin(&fixture, 1);
    size_t size = make_key(key, table, group, number);
    assert_int_equal(btree_put(fixture.tree, txn, slice(key, size), slice(key, size)), 0);
    txn_commit(txn);
}

static void delete (char table, uint64_t group, uint64_t number)
{
    uint8_t key[17];
    struct txn *txn = fixture_begin(&fixture, 1);
    assert_int_equal(btree_delete(fixture.tree, txn, slice(key, make_key(key, table, group, number))), 0);
    txn_commit(txn);
}

static int get(char table, uint64_t group, uint64_t number)
{
    uint8_t key[17], value[17];
    size_t size;
    return btree_get(fixture.tree, NULL, slice(key, make_key(key, table, group, number)), value, sizeof value, &size);
}

/* What creating files does: a name looked for, made, an inode appended, the directory's inode changed. The last names
 * and the first inodes share a leaf, so each change is between two uses of the other group's place. */
static void test_alternating_tables(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct btree_statistics before, after;
    fixture_create(&fixture, 4096, 16 << 20);
    put('I', 1, 0);
    btree_get_statistics(fixture.tree, &before);
    for (uint64_t i = 2; i < COUNT; i++) {
        assert_int_equal(get('D', 1, i), -ENOENT);
        put('D', 1, i);
        put('I', i, 0);
        put('I', 1, 0);
        assert_int_equal(get('I', 1, 0), 0);
    }
    btree_get_statistics(fixture.tree, &after);
    /* At most the restructuring, and the first use of a place after it. */
    uint64_t splits = after.splits - before.splits;
    assert_true(splits > 50);
    assert_true(after.descents - before.descents < 5 * splits + COUNT / 256 + 10);
    fixture_verify(&fixture, 2 * COUNT - 3);
    fixture_destroy(&fixture);
}

/* Each key is looked for before the leaves around it merge away, and used again after that. */
static void test_merged_leaves(void **state)
{
    (void)state;
    enum { COUNT = 4000, GROUP = 256 };
    struct btree_statistics statistics;
    fixture_create(&fixture, 4096, 16 << 20);
    for (uint64_t i = 0; i < COUNT; i++) {
        put('I', i, 0);
    }
    for (uint64_t first = 0; first < COUNT; first += GROUP) {
        uint64_t end = first + GROUP < COUNT ? first + GROUP : COUNT;
        for (uint64_t i = end; i-- > first;) {
            assert_int_equal(get('I', i, 0), 0);
            if (i % 16 != 0) {
                delete ('I', i, 0);
                assert_int_equal(get('I', i, 0), -ENOENT);
            }
        }
        for (uint64_t i = first; i < end; i++) {
            assert_int_equal(get('I', i, 0), i % 16 == 0 ? 0 : -ENOENT);
        }
        put('I', end - 1, 0);
        assert_int_equal(get('I', end - 1, 0), 0);
    }
    btree_get_statistics(fixture.tree, &statistics);
    assert_true(statistics.merges > 20);
    for (uint64_t i = 0; i < COUNT; i++) {
        put('I', i, 0);
    }
    fixture_verify(&fixture, COUNT);
    fixture_destroy(&fixture);
}

static bool is_resident(const uint8_t *key)
{
    uint8_t value[17];
    size_t size;
    int error = btree_get_resident(fixture.tree, slice(key, 17), value, sizeof value, &size);
    assert_true(error == -EAGAIN || (error == 0 && size == 17 && memcmp(key, value, 17) == 0));
    return error == 0;
}

/* After opening only the root is in memory; a get brings in its leaf, and nobody else's. */
static void test_resident(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    uint8_t near[17], far[17];
    fixture_create(&fixture, 4096, 16 << 20);
    for (uint64_t i = 0; i < COUNT; i++) {
        put('I', i, 0);
    }
    make_key(near, 'I', 1, 0);
    make_key(far, 'I', COUNT - 1, 0);
    assert_true(is_resident(near));
    fixture_reopen(&fixture);
    assert_false(is_resident(near));
    assert_int_equal(get('I', 1, 0), 0);
    assert_true(is_resident(near));
    assert_false(is_resident(far));
    fixture_destroy(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alternating_tables),
        cmocka_unit_test(test_merged_leaves),
        cmocka_unit_test(test_resident),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
