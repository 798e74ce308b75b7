/* Memory of where rows were: most operations come back to where one was a moment ago (the parent directory's row, the
 * next inode's, the entry just looked for), and a leaf found again costs no descent.
 *
 * Places are everybody's: where descents ended, one for a group of keys. A place proposes a page; a page in the pool
 * that is a leaf and whose fence keys cover the key is the leaf that a descent would find, whatever happened to it
 * since: what leaves the tree stops being a leaf (NODE_TYPE_NONE) in the same breath.
 *
 * Hints are the writer's, one for each first byte of a key (tables of the layer above differ in that byte): they know
 * ascending runs, so that leaves behind a run stay full. */
#include "internal.h"

static struct btree_hint *hint_for(struct btree *tree, struct btree_slice key)
{
    return &tree->hints[*(const uint8_t *)key.bytes % BTREE_HINT_COUNT];
}

/* Bytes [from, from + 8) of a key as a number, zeros behind its end: orders as the keys do. Group: from 0; a table byte
 * and all but the last byte of a big-endian number, say. */
static uint64_t key_word(struct btree_slice key, size_t from)
{
    if (key.size >= from + 8) {
        return base_get_be64((const uint8_t *)key.bytes + from);
    }
    uint8_t bytes[8] = {0};
    if (key.size > from) {
        size_t size = key.size - from;
        memcpy(bytes, (const uint8_t *)key.bytes + from, size);
    }
    return base_get_be64(bytes);
}

static struct btree_place_set *set_of(struct btree *tree, uint64_t group)
{
    return &tree->places[(group * 0x9E3779B97F4A7C15U) >> 57];
}

_Static_assert(BTREE_PLACE_SET_COUNT == 1U << (64 - 57), "a set for every hash");

static uint64_t place_load(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_relaxed);
}

static void place_store(_Atomic uint64_t *field, uint64_t number)
{
    atomic_store_explicit(field, number, memory_order_relaxed);
}

void tree_keep_place(struct btree *tree, struct btree_slice key, struct pool_frame *leaf)
{
    uint64_t group = key_word(key, 0);
    struct btree_place_set *set = set_of(tree, group);
    uint32_t way = (atomic_load_explicit(&set->last, memory_order_relaxed) + 1) % BTREE_PLACE_WAYS;
    atomic_store_explicit(&set->last, way, memory_order_relaxed);
    struct btree_place *place = &set->places[way];
    const uint8_t *node = pool_frame_bytes(leaf);
    struct btree_slice lower = node_lower(node), upper = node_upper(node);
    bool ends_here = node_has_upper(node) && key_word(upper, 0) == group;
    place_store(&place->group, group);
    place_store(&place->low, key_word(lower, 0) == group ? key_word(lower, 8) : 0);
    place_store(&place->high, ends_here ? key_word(upper, 8) : UINT64_MAX);
    place_store(&place->page, pool_frame_page(leaf));
}

bool tree_find_place(struct btree *tree, struct txn *txn, struct btree_slice key, struct pool_frame **ret_leaf)
{
    uint64_t group = key_word(key, 0), word = key_word(key, 8);
    const struct btree_place_set *set = set_of(tree, group);
    for (uint32_t way = 0; way < BTREE_PLACE_WAYS; way++) {
        const struct btree_place *place = &set->places[way];
        bool is_likely =
            place_load(&place->group) == group && place_load(&place->low) <= word && word <= place_load(&place->high);
        if (is_likely && tree_revisit_covering(tree, txn, place_load(&place->page), key, ret_leaf)) {
            return true;
        }
    }
    return false;
}

int tree_find_leaf(struct btree *tree, struct txn *txn, struct btree_slice key, struct pool_frame **ret_leaf)
{
    if (tree_find_place(tree, txn, key, ret_leaf)) {
        return 0;
    }
    int error = tree_descend(tree, txn, key, false, ret_leaf);
    if (!error) {
        tree_keep_place(tree, key, *ret_leaf);
    }
    return error;
}

void hint_inserted(struct btree *tree, struct btree_slice key, struct pool_frame *leaf, uint32_t slot, bool is_run)
{
    struct btree_hint *hint = hint_for(tree, key);
    uint64_t page = pool_frame_page(leaf);
    bool goes_on = is_run || (hint->page == page && slot == hint->slot + 1);
    hint->run = goes_on ? hint->run + 1 : 0;
    hint->page = page;
    hint->slot = slot;
}

bool hint_is_run(const struct btree *tree, struct btree_slice key, struct pool_frame *leaf, uint32_t slot)
{
    const struct btree_hint *hint = &tree->hints[*(const uint8_t *)key.bytes % BTREE_HINT_COUNT];
    return hint->page == pool_frame_page(leaf) && hint->run >= 2 && slot == hint->slot + 1;
}
