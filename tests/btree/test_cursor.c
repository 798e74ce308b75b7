/* Cursors: every move against the model, with changes of the tree between moves, in and outside transactions. */
#include "tree_fixture.h"

static struct base_random random_source;
static struct tree_fixture fixture;
static struct row_model model;
static enum key_kind kind;

static uint64_t below(uint64_t bound)
{
    return base_random_below(&random_source, bound);
}

static void change_one(void)
{
    uint8_t key[BTREE_KEY_SIZE_MAX], value[300];
    size_t key_size = key_make(&random_source, kind, key), value_size = below(300);
    bool found;
    struct txn *txn = fixture_begin(&fixture, 1);
    if (below(2) || model.count == 0) {
        memset(value, (int)below(256), sizeof value);
        assert_int_equal(btree_put(fixture.tree, txn, slice(key, key_size), slice(value, value_size)), 0);
        row_model_put(&model, key, key_size, value, value_size);
    } else {
        size_t index = row_model_find(&model, key, key_size, &found);
        index = index < model.count ? index : model.count - 1;
        const struct model_row *row = model.rows[index];
        assert_int_equal(btree_delete(fixture.tree, txn, slice(row->key, row->key_size)), 0);
        row_model_delete(&model, index, index + 1);
    }
    txn_commit(txn);
}

/* Where the cursor stands, kept as a key since rows come and go around it. */
struct place {
    bool is_standing;
    size_t key_size;
    uint8_t key[BTREE_KEY_SIZE_MAX];
};

static void check_place(const struct btree_cursor *cursor, int error, size_t expected, struct place *place)
{
    place->is_standing = expected < model.count;
    assert_int_equal(error, place->is_standing ? 0 : -ENOENT);
    if (place->is_standing) {
        const struct model_row *row = model.rows[expected];
        assert_slice_equal(btree_cursor_key(cursor), row->key, row->key_size);
        assert_slice_equal(btree_cursor_value(cursor), row->value, row->value_size);
        place->key_size = row->key_size;
        memcpy(place->key, row->key, row->key_size);
    }
}

static void move_once(struct btree_cursor *cursor, struct txn *txn, struct place *place)
{
    uint8_t key[BTREE_KEY_SIZE_MAX];
    size_t size = key_make(&random_source, kind, key), position;
    bool found;
    switch (below(12)) {
    case 0:
        position = row_model_find(&model, key, size, &found);
        check_place(cursor, btree_cursor_seek(cursor, txn, slice(key, size)), position, place);
        break;
    case 1:
        position = row_model_find(&model, key, size, &found); /* 0 wraps round to nowhere */
        check_place(cursor, btree_cursor_seek_before(cursor, txn, slice(key, size)), position - 1, place);
        break;
    case 2:
        check_place(cursor, below(2) ? btree_cursor_first(cursor, txn) : btree_cursor_seek(cursor, txn, slice("", 0)),
                    0, place);
        break;
    case 3:
        check_place(cursor, btree_cursor_last(cursor, txn), model.count - 1, place);
        break;
    default: {
        bool is_forwards = below(2);
        int error = is_forwards ? btree_cursor_next(cursor, txn) : btree_cursor_previous(cursor, txn);
        if (!place->is_standing) {
            assert_int_equal(error, -ENOENT);
            break;
        }
        position = row_model_find(&model, place->key, place->key_size, &found);
        check_place(cursor, error, is_forwards ? position + found : position - 1, place);
    }
    }
}

static void test_moves(void **state)
{
    (void)state;
    base_random_seed(&random_source, test_seed("btree cursor", 10));
    for (int round = 0; round < 8; round++) {
        fixture_create(&fixture, page_sizes[round % 2], round % 3 ? 0 : 16 << 20);
        row_model_init(&model);
        kind = (enum key_kind)(round % KEY_KIND_COUNT);
        for (int i = 0; i < 600; i++) {
            change_one();
        }
        struct place places[3] = {{.is_standing = false}};
        struct btree_cursor *cursors[3];
        for (int i = 0; i < 3; i++) {
            assert_int_equal(btree_cursor_open(fixture.tree, &cursors[i]), 0);
        }
        for (int i = 0; i < 6000; i++) {
            if (below(4) == 0) {
                change_one();
            }
            struct txn *txn = below(5) ? NULL : fixture_begin(&fixture, 1);
            int which = (int)below(3);
            move_once(cursors[which], txn, &places[which]);
            if (txn) {
                txn_abort(txn);
            }
        }
        for (int i = 0; i < 3; i++) {
            btree_cursor_close(cursors[i]);
        }
        row_model_deinit(&model);
        fixture_destroy(&fixture);
    }
}

/* A cursor sees its own transaction's changes, and after an abort not what was there in between. */
static void test_abort_behind_cursor(void **state)
{
    (void)state;
    struct btree_cursor *cursor;
    fixture_create(&fixture, 4096, 0);
    struct txn *txn = fixture_begin(&fixture, 2);
    assert_int_equal(btree_put(fixture.tree, txn, slice("a", 1), slice("1", 1)), 0);
    assert_int_equal(btree_put(fixture.tree, txn, slice("c", 1), slice("3", 1)), 0);
    txn_commit(txn);
    assert_int_equal(btree_cursor_open(fixture.tree, &cursor), 0);
    txn = fixture_begin(&fixture, 1);
    assert_int_equal(btree_put(fixture.tree, txn, slice("b", 1), slice("2", 1)), 0);
    assert_int_equal(btree_cursor_first(cursor, txn), 0);
    assert_int_equal(btree_cursor_next(cursor, txn), 0);
    assert_slice_equal(btree_cursor_key(cursor), "b", 1);
    txn_abort(txn);
    assert_int_equal(btree_cursor_next(cursor, NULL), 0);
    assert_slice_equal(btree_cursor_key(cursor), "c", 1);
    assert_int_equal(btree_cursor_previous(cursor, NULL), 0);
    assert_slice_equal(btree_cursor_key(cursor), "a", 1);
    assert_int_equal(btree_cursor_previous(cursor, NULL), -ENOENT);
    assert_int_equal(btree_cursor_next(cursor, NULL), -ENOENT);
    btree_cursor_close(cursor);
    fixture_destroy(&fixture);
}

/* While nothing changes, moving on costs no descent but the first. */
static void test_no_descents(void **state)
{
    (void)state;
    struct btree_cursor *cursor;
    struct btree_statistics before, after;
    fixture_create(&fixture, 4096, 16 << 20);
    for (uint64_t i = 0; i < 3000; i++) {
        uint8_t key[8];
        base_put_be64(key, i);
        struct txn *txn = fixture_begin(&fixture, 1);
        assert_int_equal(btree_insert(fixture.tree, txn, slice(key, 8), slice("value", 5)), 0);
        txn_commit(txn);
    }
    struct btree_verify_report report = fixture_verify(&fixture, 3000);
    assert_int_equal(btree_cursor_open(fixture.tree, &cursor), 0);
    btree_get_statistics(fixture.tree, &before);
    assert_int_equal(btree_cursor_first(cursor, NULL), 0);
    for (int i = 1; i < 3000; i++) {
        assert_int_equal(btree_cursor_next(cursor, NULL), 0);
    }
    btree_get_statistics(fixture.tree, &after);
    assert_int_equal(after.descents - before.descents, 1);
    assert_int_equal(after.cursor_hops - before.cursor_hops, 2999);
    for (int i = 1; i < 3000; i++) {
        assert_int_equal(btree_cursor_previous(cursor, NULL), 0);
    }
    btree_get_statistics(fixture.tree, &before);
    assert_int_equal(before.descents - after.descents, report.leaves - 1);
    btree_cursor_close(cursor);
    fixture_destroy(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_abort_behind_cursor),
        cmocka_unit_test(test_no_descents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
