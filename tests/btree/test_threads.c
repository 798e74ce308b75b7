/* Readers while the writer inserts, deletes, aborts and checkpoints: every read sees rows in order and every stable row
 * exactly once, wherever splits, merges and evictions happen meanwhile. Meant for ThreadSanitizer, too. */
#include "tree_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { STABLE_EVERY = 8, KEY_COUNT = 16000, READER_COUNT = 3, VALUE_SIZE = 120 };

static struct tree_fixture fixture;
static _Atomic bool is_over;
static _Atomic uint64_t scans_forwards, scans_backwards, gets;

/* Numbers that are multiples of STABLE_EVERY are never touched. Keys vary in length and share long beginnings. */
static size_t make_key(uint64_t number, uint8_t *key)
{
    size_t size = number / 1000 % 3 * 50;
    base_put_be64(key, number / 1000);
    memset(key + 8, 'k', size);
    base_put_be64(key + 8 + size, number);
    return 16 + size;
}

static size_t make_value(uint64_t number, uint8_t *value)
{
    size_t size = number % VALUE_SIZE;
    memset(value, (int)(number % 251), size);
    return size;
}

/* Returns false on a wrong row: cmocka's asserts belong to the main thread. */
static bool check_row(const struct btree_cursor *cursor, uint64_t *ret_number)
{
    uint8_t key[BTREE_KEY_SIZE_MAX], value[VALUE_SIZE];
    struct btree_slice given = btree_cursor_key(cursor), given_value = btree_cursor_value(cursor);
    uint64_t number = base_get_be64((const uint8_t *)given.bytes + given.size - 8);
    size_t size = make_value(number, value);
    *ret_number = number;
    return key_equal(given, slice(key, make_key(number, key))) && key_equal(given_value, slice(value, size));
}

static bool scan(struct btree_cursor *cursor, bool is_forwards)
{
    uint64_t stable_seen = 0, last = is_forwards ? 0 : UINT64_MAX;
    int error = is_forwards ? btree_cursor_first(cursor, NULL) : btree_cursor_last(cursor, NULL);
    for (bool is_first = true; error == 0; is_first = false) {
        uint64_t number;
        if (!check_row(cursor, &number) || (!is_first && (is_forwards ? number <= last : number >= last))) {
            return false;
        }
        last = number;
        stable_seen += number % STABLE_EVERY == 0;
        error = is_forwards ? btree_cursor_next(cursor, NULL) : btree_cursor_previous(cursor, NULL);
    }
    return error == -ENOENT && stable_seen == KEY_COUNT / STABLE_EVERY;
}

static bool get_one(struct base_random *random)
{
    uint8_t key[BTREE_KEY_SIZE_MAX], value[VALUE_SIZE], expected[VALUE_SIZE];
    uint64_t number = base_random_below(random, KEY_COUNT);
    size_t size = 0;
    int error = btree_get(fixture.tree, NULL, slice(key, make_key(number, key)), value, sizeof value, &size);
    if (error == -ENOENT) {
        return number % STABLE_EVERY != 0;
    }
    return error == 0 && size == make_value(number, expected) && (size == 0 || memcmp(value, expected, size) == 0);
}

static void *read_all(void *argument)
{
    struct base_random random;
    struct btree_cursor *cursor;
    uint64_t index = (uintptr_t)argument;
    base_random_seed(&random, index);
    if (btree_cursor_open(fixture.tree, &cursor) != 0) {
        return "out of memory";
    }
    const char *wrong = NULL;
    while (!atomic_load(&is_over) && !wrong) {
        if (index == 0) {
            wrong = scan(cursor, true) ? NULL : "a scan forwards";
            atomic_fetch_add(&scans_forwards, 1);
        } else if (index == 1) {
            wrong = scan(cursor, false) ? NULL : "a scan backwards";
            atomic_fetch_add(&scans_backwards, 1);
        } else {
            wrong = get_one(&random) ? NULL : "a get";
            atomic_fetch_add(&gets, 1);
        }
    }
    btree_cursor_close(cursor);
    return (void *)(uintptr_t)wrong;
}

static void fill(uint64_t from, uint64_t step)
{
    uint8_t key[BTREE_KEY_SIZE_MAX], value[VALUE_SIZE];
    for (uint64_t number = from; number < KEY_COUNT; number += step) {
        struct txn *txn = fixture_begin(&fixture, 1);
        size_t key_size = make_key(number, key), value_size = make_value(number, value);
        assert_int_equal(btree_insert(fixture.tree, txn, slice(key, key_size), slice(value, value_size)), 0);
        txn_commit(txn);
    }
}

/* A stretch of volatile rows comes or goes: one transaction of ten rows after the other. */
static void change_stretch(struct base_random *random, uint8_t *present)
{
    uint8_t key[BTREE_KEY_SIZE_MAX], value[VALUE_SIZE];
    bool is_insert = base_random_below(random, 2) == 0;
    uint64_t number = base_random_below(random, KEY_COUNT), end = number + base_random_below(random, 400);
    end = end < KEY_COUNT ? end : KEY_COUNT;
    while (number < end) {
        uint64_t start = number;
        struct txn *txn = fixture_begin(&fixture, 10);
        for (unsigned i = 0; i < 10 && number < end; number++) {
            if (number % STABLE_EVERY == 0 || present[number] == is_insert) {
                continue;
            }
            struct btree_slice key_slice = slice(key, make_key(number, key));
            struct btree_slice value_slice = slice(value, make_value(number, value));
            int error = is_insert ? btree_insert(fixture.tree, txn, key_slice, value_slice)
                                  : btree_delete(fixture.tree, txn, key_slice);
            assert_int_equal(error, 0);
            i++;
        }
        if (base_random_below(random, 6) == 0) {
            txn_abort(txn);
            continue;
        }
        txn_commit(txn);
        for (; start < number; start++) {
            present[start] = start % STABLE_EVERY == 0 || is_insert;
        }
    }
}

static void test_readers_and_writer(void **state)
{
    (void)state;
    static uint8_t present[KEY_COUNT];
    struct base_random random;
    base_random_seed(&random, test_seed("btree threads", 7));
    fixture_create(&fixture, 4096, 0);
    fill(0, STABLE_EVERY);
    for (uint64_t number = 0; number < KEY_COUNT; number += STABLE_EVERY) {
        present[number] = 1;
    }
    pthread_t threads[READER_COUNT];
    for (uintptr_t i = 0; i < READER_COUNT; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, (void *)i), 0);
    }
    for (unsigned round = 0; round < (test_is_long() ? 4000 : 250); round++) {
        change_stretch(&random, present);
        if (round % 40 == 0) {
            assert_int_equal(txn_engine_sync(fixture.engine), 0);
        }
    }
    while (atomic_load(&scans_forwards) < 3 || atomic_load(&scans_backwards) < 3) {
        change_stretch(&random, present);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < READER_COUNT; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_string_equal(wrong ? wrong : "", "");
    }
    uint64_t expected = 0;
    for (int i = 0; i < KEY_COUNT; i++) {
        expected += present[i];
    }
    fixture_verify(&fixture, expected);
    struct btree_statistics statistics;
    btree_get_statistics(fixture.tree, &statistics);
    print_message("%llu+%llu scans, %llu gets; %llu splits, %llu merges, %llu borrows\n",
                  (unsigned long long)scans_forwards, (unsigned long long)scans_backwards, (unsigned long long)gets,
                  (unsigned long long)statistics.splits, (unsigned long long)statistics.merges,
                  (unsigned long long)statistics.borrows);
    assert_true(statistics.splits > 0 && statistics.merges > 0);
    fixture_destroy(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers_and_writer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
