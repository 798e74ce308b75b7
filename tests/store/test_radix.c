/* The radix trees against models: sparse and dense changes, heights that grow, nodes that vanish; every node that a new
 * tree lacks is released exactly once, every block in use is reached exactly once, and old trees stay readable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/random.h"
#include "bits.h"
#include "radix.h"
#include "store/store.h"
#include "support/test_seed.h"

enum { BLOCKS_MAX = 60000, ITEMS_MAX = 4000, CHANGES_MAX = 300 };

struct bench {
    struct os_file *file;
    struct node_cache cache;
    struct radix_update update;
    bool is_used[BLOCKS_MAX];
    uint64_t used_count;
    uint64_t next_block;
    uint64_t keys[ITEMS_MAX]; /* page numbers */
    struct node_ref values[ITEMS_MAX];
    size_t item_count;
};

static int bench_allocate(void *context, uint64_t *ret_block)
{
    struct bench *bench = context;

    assert_true(bench->next_block < BLOCKS_MAX);
    *ret_block = bench->next_block++;
    bench->is_used[*ret_block] = true;
    bench->used_count++;
    return 0;
}

static int bench_release(void *context, uint64_t block)
{
    struct bench *bench = context;

    assert_true(bench->is_used[block]);
    bench->is_used[block] = false;
    bench->used_count--;
    node_cache_drop(&bench->cache, block);
    return 0;
}

static int change_map_leaf(void *context, uint8_t *node, const struct radix_change *changes, size_t count,
                           bool *ret_changed)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        if (radix_get_entry(node, changes[i].first).block != changes[i].entry.block) {
            radix_put_entry(node, changes[i].first, changes[i].entry);
            *ret_changed = true;
        }
    }
    return 0;
}

static int change_bitmap_leaf(void *context, uint8_t *node, const struct radix_change *changes, size_t count,
                              bool *ret_changed)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        for (uint32_t bit = changes[i].first; bit < changes[i].first + changes[i].count; bit++) {
            node[bit / 8] = (uint8_t)((node[bit / 8] & ~(1 << (bit % 8))) | changes[i].set << (bit % 8));
        }
        *ret_changed = true;
    }
    return 0;
}

static struct bench *bench_create(void)
{
    struct bench *bench = calloc(1, sizeof *bench);

    assert_non_null(bench);
    assert_int_equal(os_memory_file_create(&bench->file), 0);
    assert_int_equal(node_cache_init(&bench->cache, bench->file, 0), 0);
    bench->next_block = 32;
    bench->update = (struct radix_update){.cache = &bench->cache,
                                          .file = bench->file,
                                          .context = bench,
                                          .change_leaf = change_map_leaf,
                                          .allocate = bench_allocate,
                                          .release = bench_release};
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    node_cache_deinit(&bench->cache);
    os_file_close(bench->file);
    free(bench);
}

static size_t bench_find(struct bench *bench, uint64_t key)
{
    for (size_t i = 0; i < bench->item_count; i++) {
        if (bench->keys[i] == key) {
            return i;
        }
    }
    return bench->item_count;
}

/* Notes a change in the model. */
static void bench_set(struct bench *bench, uint64_t key, struct node_ref value)
{
    size_t i = bench_find(bench, key);

    if (value.block == 0) {
        if (i < bench->item_count) {
            bench->keys[i] = bench->keys[--bench->item_count];
            bench->values[i] = bench->values[bench->item_count];
        }
        return;
    }
    assert_true(i < ITEMS_MAX);
    bench->keys[i] = key;
    bench->values[i] = value;
    bench->item_count += i == bench->item_count;
}

struct walked {
    struct bench *bench;
    uint64_t nodes;
    uint64_t entries;
};

static int walk_node(void *context, uint64_t block, struct base_reason *ret_reason)
{
    struct walked *walked = context;

    (void)ret_reason;
    assert_true(walked->bench->is_used[block]);
    walked->nodes++;
    return 0;
}

static int walk_leaf(void *context, uint64_t leaf, const uint8_t *node, struct base_reason *ret_reason)
{
    struct walked *walked = context;

    (void)leaf, (void)ret_reason;
    for (uint32_t i = 0; i < 256; i++) {
        walked->entries += radix_get_entry(node, i).block != 0;
    }
    return 0;
}

static void bench_verify(struct bench *bench, const struct radix_tree *tree, bool everything)
{
    struct walked walked = {bench, 0, 0};
    const struct radix_visitor visitor = {&walked, walk_node, walk_leaf, NULL};
    struct base_reason reason;
    struct node_ref entry;

    assert_int_equal(radix_walk(&bench->cache, tree, &visitor, &reason), 0);
    assert_int_equal(walked.nodes, bench->used_count);
    assert_int_equal(walked.entries, bench->item_count);
    for (size_t i = 0; everything && i < bench->item_count; i++) {
        assert_int_equal(radix_find_page(&bench->cache, tree, bench->keys[i], &entry, &reason), 0);
        assert_int_equal(entry.block, bench->values[i].block);
        assert_int_equal(entry.checksum, bench->values[i].checksum);
    }
}

/* A page number of a random order of magnitude, so that all heights up to 5 occur. */
static uint64_t random_page(struct base_random *random)
{
    uint64_t bits = 4 + base_random_below(random, 36);

    return 1 + base_random_below(random, UINT64_C(1) << bits);
}

static size_t random_changes(struct bench *bench, struct base_random *random, struct radix_change *changes)
{
    size_t count = 1 + base_random_below(random, CHANGES_MAX);
    size_t used = 0;
    bool deletes = base_random_below(random, 3) == 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t page = random_page(random);
        struct node_ref value = {32 + base_random_below(random, 1 << 20), base_random_next(random)};
        if (deletes && bench->item_count > 0) {
            page = bench->keys[base_random_below(random, bench->item_count)];
            value = (struct node_ref){0, 0};
        } else if (bench->item_count + CHANGES_MAX >= ITEMS_MAX) {
            value = (struct node_ref){0, 0};
        }
        bool is_twice = false;
        for (size_t j = 0; j < used; j++) {
            is_twice = is_twice || changes[j].order == page;
        }
        if (!is_twice) {
            changes[used++] = (struct radix_change){
                .leaf = page / 256, .order = page, .first = (uint32_t)(page % 256), .entry = value};
            bench_set(bench, page, value);
        }
    }
    return used;
}

static void test_map(void **state)
{
    (void)state;
    struct radix_change *changes = malloc(CHANGES_MAX * sizeof *changes);
    struct bench *bench = bench_create();
    struct radix_tree tree = {.kind = NODE_MAP};
    struct base_reason reason;
    struct base_random random;
    uint32_t height = 0;

    base_random_seed(&random, test_seed("store_radix", 1));
    for (int round = 0; round < 40; round++) {
        size_t count = random_changes(bench, &random, changes);
        assert_int_equal(radix_apply(&bench->update, &tree, changes, count, &tree, &reason), 0);
        height = tree.height > height ? tree.height : height;
        bench_verify(bench, &tree, round % 8 == 7);
    }
    assert_true(height >= 4);
    while (bench->item_count > 0) {
        size_t count = 0;
        while (bench->item_count > 0 && count < CHANGES_MAX) {
            uint64_t page = bench->keys[0];
            changes[count++] =
                (struct radix_change){.leaf = page / 256, .order = page, .first = (uint32_t)(page % 256)};
            bench_set(bench, page, (struct node_ref){0, 0});
        }
        assert_int_equal(radix_apply(&bench->update, &tree, changes, count, &tree, &reason), 0);
    }
    assert_int_equal(tree.height, 0);
    assert_int_equal(tree.root.block, 0);
    assert_int_equal(bench->used_count, 0);
    free(changes);
    bench_destroy(bench);
}

/* One page at a time, each raising the height, then pages that change nothing. */
static void test_heights(void **state)
{
    (void)state;
    static const uint64_t pages[] = {1, 255, 256, 65535, 65536, 1 << 24, UINT64_C(1) << 32, RADIX_PAGE_NUMBER_MAX};
    static const uint32_t heights[] = {1, 1, 2, 2, 3, 4, 5, 5};
    struct bench *bench = bench_create();
    struct radix_tree tree = {.kind = NODE_MAP};
    struct base_reason reason;

    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        struct radix_change change = {
            .leaf = pages[i] / 256, .first = (uint32_t)(pages[i] % 256), .entry = {100 + i, 200 + i}};
        bench_set(bench, pages[i], change.entry);
        assert_int_equal(radix_apply(&bench->update, &tree, &change, 1, &tree, &reason), 0);
        assert_int_equal(tree.height, heights[i]);
        bench_verify(bench, &tree, true);
    }
    /* An absent page becomes absent: the tree and its blocks stay what they are. */
    struct radix_change nothing = {.leaf = 77, .first = 3};
    uint64_t root = tree.root.block;
    uint64_t next_block = bench->next_block;
    assert_int_equal(radix_apply(&bench->update, &tree, &nothing, 1, &tree, &reason), 0);
    assert_int_equal(tree.root.block, root);
    assert_int_equal(bench->next_block, next_block);
    assert_int_equal(radix_apply(&bench->update, &tree, NULL, 0, &tree, &reason), 0);
    /* Beyond what the height covers. */
    struct node_ref entry;
    assert_int_equal(radix_find_page(&bench->cache, &tree, UINT64_MAX, &entry, &reason), 0);
    assert_int_equal(entry.block, 0);
    bench_destroy(bench);
}

static void test_bitmap(void **state)
{
    (void)state;
    enum { BITS = 4 * 32768 };
    struct bench *bench = bench_create();
    struct radix_tree tree = {.kind = NODE_BITMAP};
    uint64_t *model = calloc(BITS / 64, 8);
    struct radix_change changes[50];
    uint8_t node[NODE_SIZE];
    struct base_reason reason;
    struct base_random random;

    assert_non_null(model);
    base_random_seed(&random, test_seed("store_radix_bitmap", 1));
    bench->update.change_leaf = change_bitmap_leaf;
    for (int round = 0; round < 50; round++) {
        for (uint64_t i = 0; i < 50; i++) {
            /* Changes that overlap: later ones win. */
            uint64_t begin = base_random_below(&random, BITS);
            uint64_t room = 32768 - begin % 32768;
            uint64_t count = 1 + base_random_below(&random, room < 3000 ? room : 3000);
            bool set = base_random_below(&random, 2) && round < 48;
            changes[i] = (struct radix_change){.leaf = begin / 32768,
                                               .order = i,
                                               .first = (uint32_t)(begin % 32768),
                                               .count = (uint32_t)count,
                                               .set = set};
            if (set) {
                bits_set(model, begin, count);
            } else {
                bits_clear(model, begin, count);
            }
        }
        assert_int_equal(radix_apply(&bench->update, &tree, changes, 50, &tree, &reason), 0);
        for (uint64_t leaf = 0; leaf < BITS / 32768; leaf++) {
            assert_int_equal(radix_read_leaf(&bench->cache, &tree, leaf, node, &reason), 0);
            for (uint64_t word = 0; word < 512; word++) {
                assert_int_equal(base_get_le64(node + word * 8), model[leaf * 512 + word]);
            }
        }
    }
    free(model);
    bench_destroy(bench);
}

static void flip_byte(struct os_file *file, uint64_t offset)
{
    uint8_t byte;

    assert_int_equal(os_file_read(file, &byte, 1, offset), 0);
    byte ^= 1;
    assert_int_equal(os_file_write(file, &byte, 1, offset), 0);
}

/* The cache gives a node only to who names it rightly, and finds damage when it reads. */
static void test_cache(void **state)
{
    (void)state;
    uint8_t node[NODE_SIZE], copy[NODE_SIZE];
    struct base_reason reason = {""};
    struct node_cache cache;
    struct node_ref entry;
    struct os_file *file;

    assert_int_equal(os_memory_file_create(&file), 0);
    assert_int_equal(node_cache_init(&cache, file, 0), 0);
    for (uint64_t i = 0; i < 200; i++) { /* many more than fit */
        memset(node, (int)i, sizeof node);
        assert_int_equal(os_file_write(file, node, sizeof node, (100 + i) * 4096), 0);
    }
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 200; i++) {
            struct node_id id = {NODE_MAP, 1, i};
            memset(node, (int)i, sizeof node);
            struct node_ref ref = {100 + i, node_checksum(id, node)};
            assert_int_equal(node_cache_read(&cache, id, ref, copy, &reason), 0);
            assert_memory_equal(node, copy, sizeof node);
            assert_int_equal(node_cache_read_entry(&cache, id, ref, 255, &entry, &reason), 0);
            assert_int_equal(entry.block, base_get_le64(node));
        }
    }
    assert_int_equal(atomic_load(&cache.hits), 600);
    struct node_id id = {NODE_MAP, 1, 199};
    struct node_ref ref = {299, node_checksum(id, node)};
    struct node_ref wrong = {299, ref.checksum ^ 1};
    assert_int_equal(node_cache_read(&cache, id, wrong, copy, &reason), -EUCLEAN);
    assert_int_equal(node_cache_read(&cache, (struct node_id){NODE_BITMAP, 1, 199}, ref, copy, &reason), -EUCLEAN);
    assert_int_equal(node_cache_read(&cache, (struct node_id){NODE_MAP, 0, 199}, ref, copy, &reason), -EUCLEAN);
    assert_int_equal(node_cache_read(&cache, (struct node_id){NODE_MAP, 1, 198}, ref, copy, &reason), -EUCLEAN);
    assert_true(strlen(reason.text) > 0);
    flip_byte(file, 299 * 4096 + 9);
    assert_int_equal(node_cache_read(&cache, id, ref, copy, &reason), 0); /* cached */
    node_cache_drop(&cache, 299);
    node_cache_drop(&cache, 299);
    assert_int_equal(node_cache_read(&cache, id, ref, copy, &reason), -EUCLEAN);
    assert_int_equal(node_cache_read(&cache, id, (struct node_ref){5000, 1}, copy, &reason), -EUCLEAN);
    node_cache_deinit(&cache);
    os_file_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_heights),
        cmocka_unit_test(test_bitmap),
        cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
