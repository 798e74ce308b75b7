/* Random changes of mixed sizes against a sorted array, for all page sizes: results, both scans, verify; with pools as
 * small as they get, aborts in between, reopening. */
#include "tree_fixture.h"

static struct base_random random_source;

static uint64_t below(uint64_t bound)
{
    return base_random_below(&random_source, bound);
}

struct workload {
    struct tree_fixture fixture;
    struct row_model model;
    enum key_kind kind;
    unsigned delete_percent;
    uint8_t value[65536];
};

static size_t value_size_make(const struct workload *workload, size_t key_size)
{
    size_t limit = btree_row_size_max(workload->fixture.page_size) - key_size;
    if (workload->kind == KEYS_TALL) {
        return limit;
    }
    switch (below(20)) {
    case 0:
        return limit;
    case 1:
        return 0;
    case 2:
    case 3:
        return below(limit + 1);
    default:
        return below(limit < 100 ? limit + 1 : 100);
    }
}

/* Every page's bytes, summed up. */
static uint64_t sum_pages(struct tree_fixture *fixture)
{
    uint64_t sum = 0, page = 0;
    while (store_page_next(fixture->store, &page) == 0) {
        struct pool_frame *frame;
        assert_int_equal(pool_pin(fixture->pool, page, POOL_SHARED, &frame), 0);
        sum += base_checksum(pool_frame_bytes(frame), fixture->page_size, page);
        pool_unpin(fixture->pool, frame, POOL_SHARED);
    }
    return sum;
}

/* Commits, and then changes the model; or aborts, and then the pages are what they were. */
static bool finish(struct workload *workload, struct txn *txn, uint64_t sum_before)
{
    if (below(8) != 0) {
        txn_commit(txn);
        return true;
    }
    txn_abort(txn);
    if (sum_before) {
        assert_int_equal(sum_pages(&workload->fixture), sum_before);
    }
    return false;
}

static void step_put(struct workload *workload, uint64_t sum_before)
{
    uint8_t key[BTREE_KEY_SIZE_MAX];
    size_t key_size = key_make(&random_source, workload->kind, key);
    if (workload->model.count > 0 && below(5) == 0) {
        const struct model_row *row = workload->model.rows[below(workload->model.count)];
        key_size = row->key_size;
        memcpy(key, row->key, key_size);
    }
    size_t value_size = value_size_make(workload, key_size);
    memset(workload->value, (int)below(256), value_size);
    bool found, is_insert = below(2) == 0;
    row_model_find(&workload->model, key, key_size, &found);
    struct txn *txn = fixture_begin(&workload->fixture, 1);
    int error = (is_insert ? btree_insert : btree_put)(workload->fixture.tree, txn, slice(key, key_size),
                                                       slice(workload->value, value_size));
    assert_int_equal(error, found && is_insert ? -EEXIST : 0);
    if (finish(workload, txn, sum_before) && !error) {
        row_model_put(&workload->model, key, key_size, workload->value, value_size);
    }
}

static void step_delete(struct workload *workload, uint64_t sum_before)
{
    uint8_t key[BTREE_KEY_SIZE_MAX];
    size_t key_size = key_make(&random_source, workload->kind, key);
    if (workload->model.count > 0 && below(10) != 0) {
        const struct model_row *row = workload->model.rows[below(workload->model.count)];
        key_size = row->key_size;
        memcpy(key, row->key, key_size);
    }
    bool found;
    size_t index = row_model_find(&workload->model, key, key_size, &found);
    struct txn *txn = fixture_begin(&workload->fixture, 1);
    assert_int_equal(btree_delete(workload->fixture.tree, txn, slice(key, key_size)), found ? 0 : -ENOENT);
    if (finish(workload, txn, sum_before) && found) {
        row_model_delete(&workload->model, index, index + 1);
    }
}

static void step_delete_range(struct workload *workload, uint64_t sum_before)
{
    uint8_t keys[2][BTREE_KEY_SIZE_MAX];
    size_t sizes[2], positions[2];
    for (int i = 0; i < 2; i++) {
        bool found;
        sizes[i] = key_make(&random_source, workload->kind, keys[i]);
        positions[i] = row_model_find(&workload->model, keys[i], sizes[i], &found);
    }
    if (positions[0] < workload->model.count && below(2) == 0) {
        /* Near each other, so that ranges inside a leaf come up. */
        positions[1] = positions[0] + below(20);
        positions[1] = positions[1] < workload->model.count ? positions[1] : workload->model.count - 1;
        const struct model_row *row = workload->model.rows[positions[1]];
        sizes[1] = row->key_size;
        memcpy(keys[1], row->key, sizes[1]);
    }
    uint32_t done = 77, limit = (uint32_t)below(12);
    struct txn *txn = fixture_begin(&workload->fixture, limit + 1);
    assert_int_equal(btree_delete_range(workload->fixture.tree, txn, slice(keys[0], sizes[0]), slice(keys[1], sizes[1]),
                                        limit, &done),
                     0);
    size_t expected = positions[1] > positions[0] ? positions[1] - positions[0] : 0;
    expected = expected < limit ? expected : limit;
    assert_int_equal(done, expected);
    if (finish(workload, txn, sum_before)) {
        row_model_delete(&workload->model, positions[0], positions[0] + done);
    }
}

static void check_get(struct workload *workload)
{
    uint8_t key[BTREE_KEY_SIZE_MAX];
    size_t key_size = key_make(&random_source, workload->kind, key), size = 0;
    bool found;
    size_t index = row_model_find(&workload->model, key, key_size, &found);
    if (index < workload->model.count && below(4) != 0) {
        found = true;
        key_size = workload->model.rows[index]->key_size;
        memcpy(key, workload->model.rows[index]->key, key_size);
    }
    int error =
        btree_get(workload->fixture.tree, NULL, slice(key, key_size), workload->value, sizeof workload->value, &size);
    assert_int_equal(error, found ? 0 : -ENOENT);
    if (found) {
        const struct model_row *row = workload->model.rows[index];
        assert_slice_equal(slice(workload->value, size), row->value, row->value_size);
        if (size > 0) {
            size_t needed = 0;
            error = btree_get(workload->fixture.tree, NULL, slice(key, key_size), workload->value, size - 1, &needed);
            assert_int_equal(error, -ERANGE);
            assert_int_equal(needed, size);
        }
    }
}

static void run(uint32_t page_size, size_t pool_size, unsigned step_count)
{
    static struct workload workload;
    fixture_create(&workload.fixture, page_size, pool_size);
    row_model_init(&workload.model);
    for (unsigned step = 0; step < step_count; step++) {
        bool is_checked = workload.model.count < 200 ? step % 4 == 0 : step % 101 == 0;
        if (step % 300 == 0) {
            workload.kind = (enum key_kind)below(KEY_KIND_COUNT);
            workload.delete_percent = below(5) == 0 ? 80 : (unsigned)below(25);
        }
        uint64_t sum_before = is_checked ? sum_pages(&workload.fixture) : 0;
        if (below(100) >= workload.delete_percent) {
            step_put(&workload, sum_before);
        } else if (below(10) == 0) {
            step_delete_range(&workload, sum_before);
        } else {
            step_delete(&workload, sum_before);
        }
        if (is_checked) {
            fixture_verify(&workload.fixture, workload.model.count);
            fixture_compare(&workload.fixture, NULL, &workload.model);
            check_get(&workload);
        }
        if (below(700) == 0) {
            fixture_reopen(&workload.fixture);
        }
    }
    struct btree_verify_report report = fixture_verify(&workload.fixture, workload.model.count);
    print_message("page size %u: %zu rows, height %u, %llu leaves\n", page_size, workload.model.count, report.height,
                  (unsigned long long)report.leaves);
    fixture_compare(&workload.fixture, NULL, &workload.model);
    fixture_reopen(&workload.fixture);
    fixture_compare(&workload.fixture, NULL, &workload.model);
    row_model_deinit(&workload.model);
    fixture_destroy(&workload.fixture);
}

static void test_page_size(void **state)
{
    uint32_t page_size = *(const uint32_t *)*state;
    unsigned factor = test_is_long() ? 20 : 1;
    base_random_seed(&random_source, test_seed("btree model", 1) + page_size);
    run(page_size, 0, 6000 * factor);
    run(page_size, 64 << 20, 3000 * factor);
}

/* Long keys that differ late have long separators, so few children: many levels, that grow and shrink again. */
static void test_tall(void **state)
{
    (void)state;
    static struct workload workload;
    base_random_seed(&random_source, test_seed("btree tall", 3));
    fixture_create(&workload.fixture, 4096, 0);
    row_model_init(&workload.model);
    uint32_t tallest = 0, smallest = UINT32_MAX;
    unsigned step_count = test_is_long() ? 80000 : 40000;
    for (unsigned step = 0; step < step_count; step++) {
        bool is_growing = step < step_count / 2;
        workload.kind = KEYS_TALL;
        if (below(10) < (is_growing ? 9 : 1) || workload.model.count == 0) {
            step_put(&workload, 0);
        } else {
            step_delete(&workload, 0);
        }
        if (step % 499 == 0) {
            struct btree_verify_report report = fixture_verify(&workload.fixture, workload.model.count);
            tallest = report.height > tallest ? report.height : tallest;
            smallest = is_growing ? UINT32_MAX : report.height < smallest ? report.height : smallest;
        }
    }
    fixture_compare(&workload.fixture, NULL, &workload.model);
    print_message("heights up to %u, then down to %u\n", tallest, smallest);
    assert_true(tallest >= 4 && smallest < tallest);
    row_model_deinit(&workload.model);
    fixture_destroy(&workload.fixture);
}

/* Groups of keys come and go: a thin node beside one with another long prefix can neither be merged with it nor take
 * its rows, since its own would grow; it stays thin until that changes. */
static void test_grouped(void **state)
{
    (void)state;
    static struct workload workload;
    base_random_seed(&random_source, test_seed("btree grouped", 12));
    fixture_create(&workload.fixture, 4096, 0);
    row_model_init(&workload.model);
    workload.kind = KEYS_GROUPED;
    for (unsigned step = 0; step < (test_is_long() ? 200000 : 20000); step++) {
        /* Whole groups are thinned out, then filled again. */
        uint8_t letter = (uint8_t)('a' + step / 500 % 5), key[BTREE_KEY_SIZE_MAX];
        size_t key_size = key_make(&random_source, KEYS_GROUPED, key);
        if (below(10) == 0 || step / 2500 % 3 == 0) {
            step_put(&workload, 0);
            continue;
        }
        memset(key, letter, 300);
        bool found;
        size_t index = row_model_find(&workload.model, key, key_size, &found);
        if (index == workload.model.count) {
            continue;
        }
        struct txn *txn = fixture_begin(&workload.fixture, 1);
        const struct model_row *row = workload.model.rows[index];
        assert_int_equal(btree_delete(workload.fixture.tree, txn, slice(row->key, row->key_size)), 0);
        txn_commit(txn);
        row_model_delete(&workload.model, index, index + 1);
        if (step % 199 == 0) {
            fixture_verify(&workload.fixture, workload.model.count);
        }
    }
    fixture_verify(&workload.fixture, workload.model.count);
    fixture_compare(&workload.fixture, NULL, &workload.model);
    row_model_deinit(&workload.model);
    fixture_destroy(&workload.fixture);
}

/* Several changes in one transaction, seen by reads inside it, then gone or there as a whole. */
static void test_long_transactions(void **state)
{
    (void)state;
    static struct workload workload;
    struct row_model before;
    base_random_seed(&random_source, test_seed("btree transactions", 2));
    fixture_create(&workload.fixture, 4096, 16 << 20);
    row_model_init(&workload.model);
    for (unsigned round = 0; round < 150; round++) {
        struct txn *txn = fixture_begin(&workload.fixture, 60);
        row_model_init(&before);
        for (size_t i = 0; i < workload.model.count; i++) {
            const struct model_row *row = workload.model.rows[i];
            row_model_put(&before, row->key, row->key_size, row->value, row->value_size);
        }
        enum key_kind kind = (enum key_kind)below(KEY_KIND_COUNT);
        bool is_deleting = below(3) == 0;
        for (unsigned i = 0; i < 60; i++) {
            uint8_t key[BTREE_KEY_SIZE_MAX], value[600];
            size_t key_size = key_make(&random_source, kind, key), value_size = below(2) ? below(500) : below(30);
            memset(value, (int)below(256), value_size);
            if (is_deleting && workload.model.count > 0) {
                size_t index = below(workload.model.count);
                const struct model_row *row = workload.model.rows[index];
                assert_int_equal(btree_delete(workload.fixture.tree, txn, slice(row->key, row->key_size)), 0);
                row_model_delete(&workload.model, index, index + 1);
            } else {
                struct btree_slice row_key = slice(key, key_size), row_value = slice(value, value_size);
                assert_int_equal(btree_put(workload.fixture.tree, txn, row_key, row_value), 0);
                row_model_put(&workload.model, key, key_size, value, value_size);
            }
        }
        if (round % 8 == 0) {
            fixture_compare(&workload.fixture, txn, &workload.model);
        }
        bool is_kept = below(2) == 0;
        (is_kept ? txn_commit : txn_abort)(txn);
        if (is_kept) {
            row_model_deinit(&before);
        } else {
            row_model_deinit(&workload.model);
            workload.model = before;
        }
        fixture_verify(&workload.fixture, workload.model.count);
        if (round % 8 == 0) {
            fixture_compare(&workload.fixture, NULL, &workload.model);
        }
    }
    row_model_deinit(&workload.model);
    fixture_destroy(&workload.fixture);
}

static void test_refused_sizes(void **state)
{
    (void)state;
    static uint8_t bytes[70000];
    struct tree_fixture fixture;
    size_t size;
    fixture_create(&fixture, 4096, 0);
    size_t limit = btree_row_size_max(4096);
    struct txn *txn = fixture_begin(&fixture, 1);
    assert_int_equal(btree_insert(fixture.tree, txn, slice("", 0), slice("", 0)), -EINVAL);
    assert_int_equal(btree_insert(fixture.tree, txn, slice(bytes, BTREE_KEY_SIZE_MAX + 1), slice("", 0)), -E2BIG);
    assert_int_equal(btree_put(fixture.tree, txn, slice(bytes, 10), slice(bytes, limit - 9)), -E2BIG);
    assert_int_equal(btree_put(fixture.tree, txn, slice(bytes, 10), slice(bytes, 65536)), -E2BIG);
    assert_int_equal(btree_put(fixture.tree, txn, slice(bytes, 10), slice(bytes, limit - 10)), 0);
    assert_int_equal(btree_delete(fixture.tree, txn, slice("", 0)), -ENOENT);
    assert_int_equal(btree_delete(fixture.tree, txn, slice(bytes, BTREE_KEY_SIZE_MAX + 1)), -ENOENT);
    assert_int_equal(btree_get(fixture.tree, txn, slice("", 0), bytes, 1, &size), -ENOENT);
    txn_commit(txn);
    fixture_verify(&fixture, 1);
    /* What rows of the filesystem need at the smallest page size: a chunk, an inode with its symlink target. */
    assert_true(limit >= 17 + 514 && limit >= 9 + 112 + 512);
    fixture_destroy(&fixture);
}

int main(void)
{
    struct CMUnitTest tests[PAGE_SIZE_COUNT + 4];
    for (int i = 0; i < PAGE_SIZE_COUNT; i++) {
        tests[i] = (struct CMUnitTest){.name = "random changes against a model, one page size",
                                       .test_func = test_page_size,
                                       .initial_state = (void *)(uintptr_t)&page_sizes[i]};
    }
    tests[PAGE_SIZE_COUNT] = (struct CMUnitTest)cmocka_unit_test(test_long_transactions);
    tests[PAGE_SIZE_COUNT + 1] = (struct CMUnitTest)cmocka_unit_test(test_refused_sizes);
    tests[PAGE_SIZE_COUNT + 2] = (struct CMUnitTest)cmocka_unit_test(test_tall);
    tests[PAGE_SIZE_COUNT + 3] = (struct CMUnitTest)cmocka_unit_test(test_grouped);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
