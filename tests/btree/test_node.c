/* Nodes by themselves: building, search, separators, and the check against bytes that are no node. */
#include "tree_fixture.h"

static struct base_random random_source;

static uint64_t below(uint64_t bound)
{
    return base_random_below(&random_source, bound);
}

/* --- Separators --------------------------------------------------------------------------------------------------- */

static void check_separator(struct btree_slice left, struct btree_slice right)
{
    uint8_t buffer[BTREE_KEY_SIZE_MAX];
    struct btree_slice separator = separator_between(left, right, buffer);
    assert_true(key_compare(left, separator) < 0);
    assert_true(key_compare(separator, right) <= 0);
    /* The shortest: one byte less is not greater than left. */
    assert_true(key_compare(left, slice(buffer, separator.size - 1)) >= 0);
}

static void test_separator(void **state)
{
    (void)state;
    base_random_seed(&random_source, test_seed("btree separator", 4));
    check_separator(slice("a", 1), slice("b", 1));
    check_separator(slice("a", 1), slice("a\0", 2));
    check_separator(slice("abc", 3), slice("abcd", 4));
    check_separator(slice("abc", 3), slice("abd", 3));
    check_separator(slice("", 0), slice("z", 1));
    for (int i = 0; i < 20000; i++) {
        uint8_t keys[2][BTREE_KEY_SIZE_MAX];
        enum key_kind kind = (enum key_kind)below(KEY_KIND_COUNT);
        struct btree_slice left = slice(keys[0], key_make(&random_source, kind, keys[0]));
        struct btree_slice right = slice(keys[1], key_make(&random_source, kind, keys[1]));
        int order = key_compare(left, right);
        if (order != 0) {
            check_separator(order < 0 ? left : right, order < 0 ? right : left);
        }
    }
}

/* --- A node built from a model ------------------------------------------------------------------------------------ */

struct sample {
    struct row_model model;
    uint32_t page_size, from, to; /* rows of the model in the node */
    uint8_t *node;
    uint8_t fences[2][BTREE_KEY_SIZE_MAX];
};

/* Builds one row after the other from images: each build uses rows of a node with another prefix. */
static void sample_build(struct sample *sample, unsigned level)
{
    const struct row_model *model = &sample->model;
    uint8_t *other = calloc(1, sample->page_size);
    struct node_row *rows = calloc(sample->page_size, sizeof *rows);
    struct node_sequence sequence = {.rows = rows, .capacity = sample->page_size};
    struct node_plan plan = {.level = level, .link = 99, .sequence = &sequence};
    struct model_row **range = model->rows + sample->from;
    uint32_t count = sample->to - sample->from;
    if (sample->from > 0 && level > 0) {
        plan.lower = slice(range[-1]->key, range[-1]->key_size); /* a separator is not its node's lower fence */
    } else if (sample->from > 0) {
        plan.lower = separator_between(slice(range[-1]->key, range[-1]->key_size),
                                       slice(range[0]->key, range[0]->key_size), sample->fences[0]);
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *before = i % 2 ? other : sample->node;
        uint8_t *image = i % 2 ? sample->node : other;
        plan.has_upper = i + 1 < count || sample->to < model->count;
        if (plan.has_upper) {
            plan.upper = separator_between(slice(range[i]->key, range[i]->key_size),
                                           slice(range[i + 1]->key, range[i + 1]->key_size), sample->fences[1]);
        }
        sequence_reset(&sequence);
        sequence_add(&sequence, before, 0, i);
        sequence_add_literal(&sequence, slice(range[i]->key, range[i]->key_size),
                             slice(range[i]->value, range[i]->value_size));
        plan.to = sequence.count;
        assert_true(plan_free(&plan, sample->page_size) >= 0);
        plan_build(&plan, sample->page_size, image);
        assert_int_equal(node_free(image), plan_free(&plan, sample->page_size));
        assert_int_equal(node_used(image, sample->page_size), plan_used(&plan));
    }
    if (count % 2) {
        memcpy(sample->node, other, sample->page_size);
    }
    if (!plan.has_upper && level == 0) {
        base_put_le64(sample->node + NODE_LINK, 0);
    }
    free(rows);
    free(other);
}

/* As many random rows as a node may hold at least, and some before and behind it. */
static void sample_create(struct sample *sample, uint32_t page_size, enum key_kind kind, unsigned level)
{
    *sample = (struct sample){.page_size = page_size, .node = calloc(1, page_size)};
    row_model_init(&sample->model);
    uint8_t key[BTREE_KEY_SIZE_MAX], value[1000];
    for (int i = 0; i < 300; i++) {
        size_t key_size = key_make(&random_source, kind, key);
        size_t limit = btree_row_size_max(page_size) - key_size;
        size_t value_size = below(limit < 200 ? limit : 200);
        memset(value, 1 + (int)below(255), sizeof value);
        row_model_put(&sample->model, key, key_size, value, level > 0 ? NODE_CHILD_SIZE : value_size);
    }
    sample->from = (uint32_t)below(sample->model.count / 2);
    uint32_t used = 0;
    for (sample->to = sample->from; sample->to < sample->model.count; sample->to++) {
        const struct model_row *row = sample->model.rows[sample->to];
        used += SLOT_SIZE + (uint32_t)(row->key_size + row->value_size);
        if (used > node_capacity_min(page_size) - NODE_FANOUT_ROOM) {
            break;
        }
    }
    sample_build(sample, level);
}

static void sample_destroy(struct sample *sample)
{
    row_model_deinit(&sample->model);
    free(sample->node);
}

static void check_rows(const struct sample *sample)
{
    assert_int_equal(node_count(sample->node), sample->to - sample->from);
    for (uint32_t i = 0; i < node_count(sample->node); i++) {
        const struct model_row *row = sample->model.rows[sample->from + i];
        uint8_t buffer[BTREE_KEY_SIZE_MAX];
        assert_slice_equal(node_copy_key(sample->node, i, buffer), row->key, row->key_size);
        assert_slice_equal(node_value(sample->node, i), row->value, row->value_size);
    }
}

/* Every key of the model, and keys close to them, against what the model says. */
static void check_search(const struct sample *sample)
{
    for (size_t i = 0; i < sample->model.count; i++) {
        uint8_t key[BTREE_KEY_SIZE_MAX + 1];
        const struct model_row *row = sample->model.rows[i];
        for (int variant = 0; variant < 4; variant++) {
            size_t size = row->key_size;
            memcpy(key, row->key, size);
            if (variant == 1) {
                key[size++] = 0;
            } else if (variant == 2) {
                size--;
            } else if (variant == 3) {
                key[size - 1]++;
            }
            bool expected_found, found;
            size_t expected = row_model_find(&sample->model, key, size, &expected_found);
            if (expected_found && expected + 1 == sample->from && node_covers(sample->node, slice(key, size))) {
                expected++; /* an inner node's lower fence is a separator one level up */
                expected_found = false;
            }
            if (!node_covers(sample->node, slice(key, size))) {
                assert_true(!expected_found || expected < sample->from || expected >= sample->to);
                continue;
            }
            uint32_t slot = node_lower_bound(sample->node, slice(key, size), &found);
            assert_int_equal(slot + sample->from, expected);
            assert_int_equal(found, expected_found && expected < sample->to);
            assert_int_equal(node_child_index(sample->node, slice(key, size), false), slot + found);
            assert_int_equal(node_child_index(sample->node, slice(key, size), true), slot);
        }
    }
}

static void test_build_and_search(void **state)
{
    (void)state;
    base_random_seed(&random_source, test_seed("btree node", 5));
    for (int round = 0; round < 60; round++) {
        struct sample sample;
        unsigned level = (unsigned)below(3);
        sample_create(&sample, page_sizes[round % PAGE_SIZE_COUNT], (enum key_kind)below(KEY_KIND_COUNT + 1), level);
        const char *reason = node_check(7, sample.node, sample.page_size);
        assert_string_equal(reason ? reason : "", "");
        check_rows(&sample);
        check_search(&sample);
        sample_destroy(&sample);
    }
}

/* --- Damage ------------------------------------------------------------------------------------------------------- */

/* Touches everything that the functions of this layer may touch in a node that was found good. */
static uint64_t use_node(const uint8_t *node, uint32_t page_size)
{
    uint64_t sum = node_used(node, page_size);
    uint8_t buffer[BTREE_KEY_SIZE_MAX];
    for (uint32_t i = 0; i < node_count(node); i++) {
        bool found;
        struct btree_slice key = node_copy_key(node, i, buffer), value = node_value(node, i);
        assert_int_equal(node_lower_bound(node, key, &found), i);
        assert_true(found && node_covers(node, key));
        for (size_t k = 0; k < value.size; k++) {
            sum += ((const uint8_t *)value.bytes)[k];
        }
    }
    return sum;
}

static void test_flipped_bytes(void **state)
{
    (void)state;
    base_random_seed(&random_source, test_seed("btree flipped bytes", 6));
    unsigned found_good = 0, found_bad = 0, round_count = test_is_long() ? 2000 : 60;
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    for (unsigned round = 0; round < round_count; round++) {
        struct sample sample;
        sample_create(&sample, page_sizes[round % 3], (enum key_kind)below(KEY_KIND_COUNT + 1), (unsigned)below(2));
        uint8_t *damaged = malloc(sample.page_size);
        for (int i = 0; i < 2000; i++) {
            memcpy(damaged, sample.node, sample.page_size);
            for (uint64_t flips = 1 + below(3); flips > 0; flips--) {
                /* Mostly in header and slots, where it hurts. */
                uint64_t limit = below(4) ? slot_offset(node_count(sample.node)) : sample.page_size;
                damaged[below(below(3) ? limit : NODE_HEADER_SIZE)] = (uint8_t)base_random_next(&random_source);
            }
            if (btree_check_page(NULL, 1 + below(2), damaged, sample.page_size) == 0) {
                use_node(damaged, sample.page_size);
                found_good++;
            } else {
                found_bad++;
            }
        }
        free(damaged);
        sample_destroy(&sample);
    }
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
    assert_true(found_good > 0 && found_bad > found_good / 4);
}

/* Each rule by itself. */
static void expect_reason(const struct sample *sample, const uint8_t *node, const char *reason)
{
    const char *given = node_check(7, node, sample->page_size);
    assert_non_null(given);
    assert_string_equal(given, reason);
}

static void test_rules(void **state)
{
    (void)state;
    struct sample sample;
    base_random_seed(&random_source, 1);
    sample = (struct sample){.page_size = 4096, .node = calloc(1, 4096)};
    row_model_init(&sample.model);
    const char *keys[] = {"aa", "abcdefgh1", "abcdefgh2", "abcdefgh3", "b"};
    for (int i = 0; i < 5; i++) {
        row_model_put(&sample.model, keys[i], strlen(keys[i]), "12345678", 8);
    }
    sample.from = 1;
    sample.to = 4;
    sample_build(&sample, 0);
    assert_null(node_check(7, sample.node, 4096));
    uint8_t node[4096];
    struct {
        uint32_t offset, size;
        uint64_t value;
        const char *reason;
    } cases[] = {
        {NODE_TYPE, 1, 3, "is no tree node (type)"},
        {NODE_TYPE, 1, 2, "has an impossible level"},
        {NODE_LEVEL, 1, 1, "has an impossible level"},
        {NODE_ROW_COUNT, 4, 500, "has an impossible row count or heap start"},
        {NODE_ROW_COUNT, 4, UINT32_MAX, "has an impossible row count or heap start"},
        {NODE_HEAP_START, 4, 4097, "has an impossible row count or heap start"},
        {NODE_HEAP_START, 4, 40, "has an impossible row count or heap start"},
        {NODE_DEAD_SIZE, 4, 4000, "has more dead bytes than heap"},
        {NODE_DEAD_SIZE, 4, 1, "has a heap whose parts don't add up"},
        {NODE_ROW_COUNT, 4, 0, "is an empty node"},
        {NODE_LINK, 8, 0, "has a next leaf and no upper fence, or the reverse"},
        {NODE_UPPER_SIZE, 2, NODE_NO_UPPER, "has a next leaf and no upper fence, or the reverse"},
        {NODE_UPPER_SIZE, 2, 321, "has a fence key of impossible size"},
        {NODE_LOWER_SIZE, 2, 321, "has a fence key of impossible size"},
        {NODE_LOWER_OFFSET, 2, 4095, "has a fence key outside the heap"},
        {NODE_UPPER_OFFSET, 2, 33, "has a fence key outside the heap"},
        {NODE_PREFIX_SIZE, 2, 1, "has a prefix that is not what its fences share"},
        {NODE_HEADER_SIZE + SLOT_OFFSET, 2, 40, "has a row outside the heap"},
        {NODE_HEADER_SIZE + SLOT_SUFFIX_SIZE, 2, 400, "has a key of impossible size"},
        {NODE_HEADER_SIZE + SLOT_VALUE_SIZE, 2, 840, "has a value of impossible size"},
        {NODE_HEADER_SIZE + SLOT_VALUE_SIZE, 2, 7, "has a heap whose parts don't add up"},
        {NODE_HEADER_SIZE + SLOT_HEAD, 1, 'z', "has keys out of order"},
        {NODE_HEADER_SIZE + 2 * SLOT_SIZE + SLOT_HEAD, 1, 'z', "has a key beyond its upper fence"},
        {NODE_HEADER_SIZE + SLOT_HEAD, 1, 0, "has keys out of order"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(node, sample.node, sizeof node);
        for (uint32_t k = 0; k < cases[i].size; k++) {
            node[cases[i].offset + k] = (uint8_t)(cases[i].value >> 8 * k);
        }
        expect_reason(&sample, node, cases[i].reason);
    }
    sample_destroy(&sample);
}

static void test_sizes(void **state)
{
    (void)state;
    static const uint32_t limits[PAGE_SIZE_COUNT] = {846, 1870, 3918, 8014, 16206};
    for (int i = 0; i < PAGE_SIZE_COUNT; i++) {
        assert_int_equal(btree_row_size_max(page_sizes[i]), limits[i]);
        assert_true(4 * (limits[i] + SLOT_SIZE) + NODE_FENCES_MAX + NODE_HEADER_SIZE <= page_sizes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_separator),     cmocka_unit_test(test_build_and_search),
        cmocka_unit_test(test_flipped_bytes), cmocka_unit_test(test_rules),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
