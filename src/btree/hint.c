/* The writer's memory of the leaves it last changed, one for each first byte of a key (tables of the layer above differ
 * in that byte): ascending inserts and repeated updates of hot rows need no descent. A hint holds only while the leaf's
 * change number does, and change numbers are never reused, so it can't go stale. Caller: the writer. */
#include "internal.h"

static struct btree_hint *hint_for(struct btree *tree, struct btree_slice key)
{
    return &tree->hints[*(const uint8_t *)key.bytes % BTREE_HINT_COUNT];
}

int tree_find_leaf(struct btree *tree, struct txn *txn, struct btree_slice key, struct pool_frame **ret_leaf)
{
    struct btree_hint *hint = hint_for(tree, key);
    struct pool_frame *leaf;
    if (hint->page != 0 && tree_revisit(tree, txn, hint->page, hint->change, &leaf)) {
        if (node_covers(pool_frame_bytes(leaf), key)) {
            *ret_leaf = leaf;
            return 0;
        }
        tree_leave(tree, txn, leaf);
    }
    return tree_descend(tree, txn, key, false, ret_leaf);
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
}

bool hint_is_run(const struct btree *tree, struct btree_slice key, struct pool_frame *leaf, uint32_t slot)
{
    const struct btree_hint *hint = &tree->hints[*(const uint8_t *)key.bytes % BTREE_HINT_COUNT];
    return hint->page == pool_frame_page(leaf) && hint->run >= 2 && hint->slot != UINT32_MAX && slot == hint->slot + 1;
}
