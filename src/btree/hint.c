/* The memory of leaves: most operations come back to where one was a moment ago (the parent directory's row, the next
 * inode's, the entry just looked for), and a leaf found again costs no descent. A memory holds only while the leaf's
 * change number does, and change numbers are never reused, so it can't go stale: in that state the page was a leaf of
 * the tree with these fence keys, and a page that leaves the tree leaves the pool.
 *
 * Hints are the writer's, one for each first byte of a key (tables of the layer above differ in that byte); they also
 * know ascending runs. Places are everybody's, one for a group of keys. */
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

static struct btree_place *place_of(struct btree *tree, uint64_t group)
{
    return &tree->places[(group * 0x9E3779B97F4A7C15U) >> 56];
}

static uint64_t place_load(const _Atomic uint64_t *field)
{
    return atomic_load_explicit(field, memory_order_relaxed);
}

static void place_store(_Atomic uint64_t *field, uint64_t number)
{
    atomic_store_explicit(field, number, memory_order_relaxed);
}

static void place_keep(struct btree *tree, struct btree_slice key, struct pool_frame *leaf)
{
    uint64_t group = key_word(key, 0), page = pool_frame_page(leaf);
    struct btree_place *place = place_of(tree, group);
    if (place_load(&place->page) != page || place_load(&place->group) != group) {
        const uint8_t *node = pool_frame_bytes(leaf);
        struct btree_slice lower = node_lower(node), upper = node_upper(node);
        bool ends_here = node_has_upper(node) && key_word(upper, 0) == group;
        place_store(&place->group, group);
        place_store(&place->low, key_word(lower, 0) == group ? key_word(lower, 8) : 0);
        place_store(&place->high, ends_here ? key_word(upper, 8) : UINT64_MAX);
        place_store(&place->page, page);
    }
    place_store(&place->change, pool_frame_change(leaf));
}

/* Forgets what the leaf covered: it may be another part now. */
static void place_keep_anew(struct btree *tree, struct btree_slice key, struct pool_frame *leaf)
{
    place_store(&place_of(tree, key_word(key, 0))->page, 0);
    place_keep(tree, key, leaf);
}

static bool revisit_covering(struct btree *tree, struct txn *txn, uint64_t page, uint64_t change,
                             struct btree_slice key, struct pool_frame **ret_leaf)
{
    struct pool_frame *leaf;
    if (page == 0 || !tree_revisit(tree, txn, page, change, &leaf)) {
        return false;
    }
    if (!node_covers(pool_frame_bytes(leaf), key)) {
        tree_leave(tree, txn, leaf);
        return false;
    }
    *ret_leaf = leaf;
    return true;
}

int tree_find_leaf(struct btree *tree, struct txn *txn, struct btree_slice key, struct pool_frame **ret_leaf)
{
    if (key.size == 0) {
        return tree_descend(tree, txn, key, false, ret_leaf);
    }
    uint64_t group = key_word(key, 0), word = key_word(key, 8), page = 0, change = 0;
    const struct btree_place *place = place_of(tree, group);
    if (place_load(&place->group) == group && place_load(&place->low) <= word && word <= place_load(&place->high)) {
        page = place_load(&place->page);
        change = place_load(&place->change);
        if (revisit_covering(tree, txn, page, change, key, ret_leaf)) {
            return 0;
        }
    }
    if (txn) {
        const struct btree_hint *hint = hint_for(tree, key);
        bool is_other = hint->page != page || hint->change != change;
        if (is_other && revisit_covering(tree, txn, hint->page, hint->change, key, ret_leaf)) {
            return 0;
        }
    }
    int error = tree_descend(tree, txn, key, false, ret_leaf);
    if (!error) {
        place_keep_anew(tree, key, *ret_leaf);
    }
    return error;
}

void hint_visited(struct btree *tree, struct btree_slice key, struct pool_frame *leaf)
{
    struct btree_hint *hint = hint_for(tree, key);
    if (hint->page != pool_frame_page(leaf)) {
        hint->page = pool_frame_page(leaf);
        hint->run = 0;
        hint->slot = UINT32_MAX;
    }
    hint->change = pool_frame_change(leaf);
    place_keep(tree, key, leaf);
}

void hint_inserted(struct btree *tree, struct btree_slice key, struct pool_frame *leaf, uint32_t slot, bool is_run)
{
    struct btree_hint *hint = hint_for(tree, key);
    uint64_t page = pool_frame_page(leaf);
    bool goes_on = is_run || (hint->page == page && hint->slot != UINT32_MAX && slot == hint->slot + 1);
    hint->run = goes_on ? hint->run + 1 : 0;
    hint->page = page;
    hint->slot = slot;
    hint->change = pool_frame_change(leaf);
    place_keep(tree, key, leaf);
}

bool hint_is_run(const struct btree *tree, struct btree_slice key, struct pool_frame *leaf, uint32_t slot)
{
    const struct btree_hint *hint = &tree->hints[*(const uint8_t *)key.bytes % BTREE_HINT_COUNT];
    return hint->page == pool_frame_page(leaf) && hint->run >= 2 && hint->slot != UINT32_MAX && slot == hint->slot + 1;
}
