/* Trees whose pages were changed behind our back, with checksums that are right: whatever they hold, every function
 * ends with a result or -EUCLEAN; no crash, no endless loop, no broken assertion; and verify reports structural lies.
 */
#include "tree_fixture.h"

#include "base/message.h"

static struct base_random random_source;

static uint64_t below(uint64_t bound)
{
    return base_random_below(&random_source, bound);
}

struct damaged_tree {
    struct tree_fixture fixture;
    struct row_model model;
    uint64_t pages[4096];
    size_t page_count;
};

/* A tree of some levels, all on disk; what is open is the store. */
static void damaged_tree_create(struct damaged_tree *tree, uint32_t page_size, unsigned row_count)
{
    fixture_create(&tree->fixture, page_size, 16 << 20);
    row_model_init(&tree->model);
    enum key_kind kind = below(2) ? KEYS_TALL : (enum key_kind)below(KEY_KIND_COUNT);
    for (unsigned i = 0; i < row_count; i++) {
        uint8_t key[BTREE_KEY_SIZE_MAX], value[500];
        size_t key_size = key_make(&random_source, kind, key), value_size = below(500);
        memset(value, (int)below(256), sizeof value);
        struct txn *txn = fixture_begin(&tree->fixture, 1);
        assert_int_equal(btree_put(tree->fixture.tree, txn, slice(key, key_size), slice(value, value_size)), 0);
        txn_commit(txn);
        row_model_put(&tree->model, key, key_size, value, value_size);
    }
    uint64_t page = 0;
    for (tree->page_count = 0; store_page_next(tree->fixture.store, &page) == 0; tree->page_count++) {
        tree->pages[tree->page_count] = page;
    }
    fixture_verify(&tree->fixture, tree->model.count);
    assert_int_equal(txn_engine_checkpoint(tree->fixture.engine), 0);
    fixture_close(&tree->fixture);
    struct store_open_options options = {.node_cache_size = 1 << 18};
    struct base_reason reason;
    assert_int_equal(store_open(tree->fixture.file, &options, &tree->fixture.store, &reason), 0);
}

static void rewrite_page(struct damaged_tree *tree, uint64_t page, const void *bytes)
{
    struct store_need need = {.pages = 1};
    assert_int_equal(store_reserve(tree->fixture.store, &need), 0);
    assert_int_equal(store_page_write(tree->fixture.store, page, bytes, false), 0);
}

static uint64_t some_page(const struct damaged_tree *tree)
{
    return below(12) ? tree->pages[below(tree->page_count)] : below(tree->page_count + 5);
}

static void put_number(uint8_t *node, uint32_t offset, uint64_t page)
{
    base_put_le64(node + offset, page);
}

/* Lies that no single node gives away. */
static void lie(const struct damaged_tree *tree, uint8_t *node, uint8_t *other)
{
    uint32_t count = node_count(node);
    uint32_t index = count > 0 ? (uint32_t)below(count) : 0;
    switch (below(6)) {
    case 0:
        put_number(node, NODE_LINK, some_page(tree));
        break;
    case 1:
        if (node_level(node) > 0) {
            put_number(node, (uint32_t)((const uint8_t *)node_value(node, index).bytes - node), some_page(tree));
        }
        break;
    case 2:
        memcpy(node, other, tree->fixture.page_size);
        break;
    case 3:
        node[NODE_LEVEL] = (uint8_t)(node_level(node) > 0 ? 1 + below(23) : 0);
        break;
    case 4:
        /* The last row vanishes. */
        if (count > 1) {
            uint32_t dead_size = node_dead_size(node) + node_heap_size(node, count - 1);
            base_put_le32(node + NODE_DEAD_SIZE, dead_size);
            base_put_le32(node + NODE_ROW_COUNT, count - 1);
        }
        break;
    default:
        /* Another byte somewhere behind the prefix: order and fences may break, or not. */
        node[slot_offset(index) + SLOT_HEAD] ^= (uint8_t)below(256);
    }
}

static void flip(const struct damaged_tree *tree, uint8_t *node)
{
    uint32_t slots_end = slot_offset(node_count(node));
    for (uint64_t count = 1 + below(4); count > 0; count--) {
        node[below(below(2) ? tree->fixture.page_size : slots_end)] = (uint8_t)base_random_next(&random_source);
    }
}

static void damage_some_pages(struct damaged_tree *tree, bool only_lies)
{
    uint8_t *nodes[2] = {malloc(tree->fixture.page_size), malloc(tree->fixture.page_size)};
    for (uint64_t count = 1 + below(5); count > 0; count--) {
        uint64_t pages[2];
        for (int i = 0; i < 2; i++) {
            /* Half of the time near the root. */
            pages[i] = below(2) ? tree->pages[below(tree->page_count)] : tree->pages[below(1 + tree->page_count / 8)];
            assert_int_equal(store_page_read(tree->fixture.store, pages[i], nodes[i]), 0);
        }
        if (node_check(pages[0], nodes[0], tree->fixture.page_size)) {
            continue; /* damaged already: not to be looked into */
        }
        if (only_lies || below(2)) {
            lie(tree, nodes[0], nodes[1]);
        } else {
            flip(tree, nodes[0]);
        }
        rewrite_page(tree, pages[0], nodes[0]);
    }
    free(nodes[0]);
    free(nodes[1]);
    store_freeze(tree->fixture.store);
    assert_int_equal(store_checkpoint(tree->fixture.store), 0);
}

static bool is_allowed(int error)
{
    return error == 0 || error == -ENOENT || error == -EEXIST || error == -EUCLEAN;
}

static void read_everything(struct damaged_tree *tree)
{
    struct btree *btree = tree->fixture.tree;
    struct btree_cursor *cursor;
    uint8_t value[1000];
    uint64_t steps = 0;
    assert_int_equal(btree_cursor_open(btree, &cursor), 0);
    int error = btree_cursor_first(cursor, NULL);
    for (; error == 0; error = btree_cursor_next(cursor, NULL)) {
        assert_true(steps++ < 1000000);
    }
    assert_true(is_allowed(error));
    error = btree_cursor_last(cursor, NULL);
    for (; error == 0; error = btree_cursor_previous(cursor, NULL)) {
        assert_true(steps++ < 2000000);
    }
    assert_true(is_allowed(error));
    for (size_t i = 0; i < tree->model.count; i++) {
        const struct model_row *row = tree->model.rows[i];
        size_t size;
        assert_true(is_allowed(btree_get(btree, NULL, slice(row->key, row->key_size), value, sizeof value, &size)));
        error = btree_cursor_seek_before(cursor, NULL, slice(row->key, row->key_size));
        assert_true(is_allowed(error));
        error = btree_get_resident(btree, slice(row->key, below(row->key_size + 1)), value, sizeof value, &size);
        assert_true(error == -EAGAIN || is_allowed(error));
    }
    btree_cursor_close(cursor);
}

static void change_a_lot(struct damaged_tree *tree)
{
    uint8_t value[700] = {0};
    bool is_deleting = below(2);
    for (unsigned i = 0; i < 400; i++) {
        const struct model_row *row = tree->model.rows[below(tree->model.count)];
        struct btree_slice key = slice(row->key, row->key_size);
        uint32_t done;
        struct txn *txn = fixture_begin(&tree->fixture, 10);
        int error;
        if (below(10) < (is_deleting ? 2 : 8)) {
            error = btree_put(tree->fixture.tree, txn, key, slice(value, below(500)));
        } else if (below(4)) {
            error = btree_delete(tree->fixture.tree, txn, key);
        } else {
            const struct model_row *to = tree->model.rows[below(tree->model.count)];
            error = btree_delete_range(tree->fixture.tree, txn, key, slice(to->key, to->key_size), 10, &done);
        }
        assert_true(is_allowed(error));
        (error ? txn_abort : txn_commit)(txn);
    }
}

static void count_problem(void *context, const char *text)
{
    assert_true(strlen(text) > 0);
    ++*(uint64_t *)context;
}

static uint64_t verify_damaged(struct damaged_tree *tree)
{
    uint64_t lines = 0;
    struct btree_verify_report report = {.problem = count_problem, .context = &lines};
    assert_int_equal(btree_verify(tree->fixture.tree, &report), 0);
    assert_int_equal(report.problems, lines);
    return lines;
}

static void open_damaged(struct damaged_tree *tree)
{
    store_close(tree->fixture.store);
    fixture_open_below(&tree->fixture);
    int error = btree_open(tree->fixture.engine, &tree->fixture.tree);
    assert_true(error == 0 || error == -EUCLEAN);
}

static void run_round(uint32_t page_size, bool only_lies, unsigned *ret_problems)
{
    static struct damaged_tree tree;
    tree.fixture.tree = NULL;
    damaged_tree_create(&tree, page_size, 250 + (unsigned)below(600));
    damage_some_pages(&tree, only_lies);
    open_damaged(&tree);
    if (tree.fixture.tree) {
        *ret_problems += verify_damaged(&tree) > 0;
        read_everything(&tree);
        change_a_lot(&tree);
        read_everything(&tree);
        verify_damaged(&tree);
    }
    row_model_deinit(&tree.model);
    fixture_destroy(&tree.fixture);
}

static void run_rounds(const char *name, uint64_t seed, bool only_lies)
{
    unsigned problems = 0, round_count = test_is_long() ? 1500 : 60;
    base_random_seed(&random_source, test_seed(name, seed));
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    for (unsigned round = 0; round < round_count; round++) {
        run_round(page_sizes[below(8) ? 0 : 1], only_lies, &problems);
    }
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
    print_message("verify found problems in %u of %u trees\n", problems, round_count);
    assert_true(problems > round_count / 4);
}

static void test_flipped_bytes(void **state)
{
    (void)state;
    run_rounds("btree damage", 8, false);
}

static void test_lies(void **state)
{
    (void)state;
    run_rounds("btree lies", 9, true);
}

/* A node that is good by itself, but stands where keys lead that do not even begin with its prefix, and are shorter. */
static void test_short_keys_in_wrong_node(void **state)
{
    (void)state;
    static struct damaged_tree tree;
    struct tree_fixture *fixture = &tree.fixture;
    uint8_t key[304], value[400] = {0}, *node = malloc(4096);
    fixture_create(fixture, 4096, 16 << 20);
    memset(key, 'k', sizeof key);
    for (uint32_t i = 0; i < 6000; i++) {
        base_put_be64(key + 296, i * 7919 % 6000);
        struct txn *txn = fixture_begin(fixture, 1);
        assert_int_equal(btree_put(fixture->tree, txn, slice(key, sizeof key), slice(value, sizeof value)), 0);
        txn_commit(txn);
    }
    uint64_t page = 0, first = 0;
    bool found = false;
    while (store_page_next(fixture->store, &page) == 0) {
        struct pool_frame *frame;
        assert_int_equal(pool_pin(fixture->pool, page, POOL_SHARED, &frame), 0);
        const uint8_t *bytes = pool_frame_bytes(frame);
        if (node_level(bytes) == 1 && node_lower(bytes).size == 0) {
            first = page;
        } else if (node_level(bytes) == 1 && node_prefix_size(bytes) > 290) {
            memcpy(node, bytes, 4096);
            found = true;
        }
        pool_unpin(fixture->pool, frame, POOL_SHARED);
    }
    assert_true(first != 0 && found);
    assert_int_equal(txn_engine_checkpoint(fixture->engine), 0);
    rewrite_page(&tree, first, node);
    store_freeze(fixture->store);
    assert_int_equal(store_checkpoint(fixture->store), 0);
    fixture_close(fixture);
    fixture_open_below(fixture);
    assert_int_equal(btree_open(fixture->engine, &fixture->tree), 0);
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    size_t size;
    assert_int_equal(verify_damaged(&tree) > 0, true); /* and every page is in the pool now */
    assert_int_equal(btree_get(fixture->tree, NULL, slice("k", 1), value, sizeof value, &size), -EUCLEAN);
    assert_int_equal(btree_get_resident(fixture->tree, slice("k", 1), value, sizeof value, &size), -EUCLEAN);
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
    fixture_destroy(fixture);
    free(node);
}

/* A leaf that claims more than its parent gives it: rows of its neighbour can be found in it and put there, but when it
 * is full (or empty) the way down from the root ends at the neighbour, which is not to be split (or emptied) for it. */
static void test_greedy_leaf(void **state)
{
    (void)state;
    static struct damaged_tree tree;
    struct tree_fixture *fixture = &tree.fixture;
    uint8_t key[16] = "together", value[800] = {0}, *node = calloc(1, 4096);
    fixture_create(fixture, 4096, 16 << 20);
    uint64_t last = 0;
    for (; node_level(pool_frame_bytes(fixture->tree->root)) == 0; last++) {
        base_put_be64(key + 8, last);
        struct txn *txn = fixture_begin(fixture, 1);
        assert_int_equal(btree_put(fixture->tree, txn, slice(key, 16), slice(value, 300)), 0);
        txn_commit(txn);
    }
    last--; /* alone in the right leaf */
    uint64_t left = node_child(pool_frame_bytes(fixture->tree->root), 0);
    assert_int_equal(txn_engine_checkpoint(fixture->engine), 0);
    struct node_row row = {NULL, 0};
    struct node_sequence sequence = {.rows = &row, .capacity = 1};
    base_put_be64(key + 8, 0);
    sequence_add_literal(&sequence, slice(key, 16), slice(value, 300));
    struct node_plan everything = {.sequence = &sequence, .to = 1};
    plan_build(&everything, 4096, node);
    rewrite_page(&tree, left, node);
    store_freeze(fixture->store);
    assert_int_equal(store_checkpoint(fixture->store), 0);
    fixture_close(fixture);
    fixture_open_below(fixture);
    assert_int_equal(btree_open(fixture->engine, &fixture->tree), 0);
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    size_t size;
    assert_int_equal(btree_get(fixture->tree, NULL, slice(key, 16), value, sizeof value, &size), 0);
    int error = 0;
    for (uint64_t number = last; error == 0; number++) {
        base_put_be64(key + 8, number);
        struct txn *txn = fixture_begin(fixture, 1);
        error = btree_put(fixture->tree, txn, slice(key, 16), slice(value, 300));
        (error ? txn_abort : txn_commit)(txn);
    }
    assert_int_equal(error, -EUCLEAN);
    base_put_be64(key + 8, last);
    struct txn *txn = fixture_begin(fixture, 1);
    assert_int_equal(btree_put(fixture->tree, txn, slice(key, 16), slice(value, 800)), -EUCLEAN);
    txn_abort(txn);
    for (error = 0; error == 0; last++) {
        base_put_be64(key + 8, last);
        txn = fixture_begin(fixture, 1);
        error = btree_delete(fixture->tree, txn, slice(key, 16));
        (error ? txn_abort : txn_commit)(txn);
    }
    assert_int_equal(error, -EUCLEAN);
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
    fixture_destroy(fixture);
    free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_flipped_bytes), cmocka_unit_test(test_lies),
                                       cmocka_unit_test(test_short_keys_in_wrong_node),
                                       cmocka_unit_test(test_greedy_leaf)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
