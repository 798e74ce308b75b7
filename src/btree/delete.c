/* Deleting one row, or the rows of a range, runs of neighbours in one edit. */
#include "internal.h"

int tree_remove_rows(struct btree *tree, struct txn *txn, struct btree_slice key, struct pool_frame *leaf,
                     struct node_cut cut)
{
    const uint8_t *node = pool_frame_bytes(leaf);
    uint32_t used = node_used(node, tree->page_size);
    for (uint32_t i = cut.from; i < cut.to; i++) {
        used -= SLOT_SIZE + node_heap_size(node, i);
    }
    if (leaf != tree->root && node_is_thin(used, tree->page_size)) {
        uint64_t page = pool_frame_page(leaf);
        tree_leave(tree, txn, leaf);
        return merge_and_remove(tree, txn, page, key, cut);
    }
    txn_edit_begin(txn, leaf);
    edit_remove_rows(txn, leaf, cut.from, cut.to);
    txn_edit_end(txn, leaf);
    tree_leave(tree, txn, leaf);
    return 0;
}

int btree_delete(struct btree *tree, struct txn *txn, struct btree_slice key)
{
    if (key.size == 0) {
        return -ENOENT;
    }
    struct pool_frame *leaf;
    int error = tree_find_leaf(tree, txn, key, &leaf);
    if (error) {
        return error;
    }
    bool found;
    uint32_t slot = node_lower_bound(pool_frame_bytes(leaf), key, &found);
    if (!found) {
        tree_leave(tree, txn, leaf);
        return -ENOENT;
    }
    return tree_remove_rows(tree, txn, key, leaf, (struct node_cut){slot, slot + 1});
}

struct range {
    struct btree_slice key; /* every row from the range's start up to here is gone */
    struct btree_slice to;
    uint32_t left; /* rows that may still be deleted */
    bool is_over;  /* no rows are left in the range */
    uint8_t key_buffer[BTREE_KEY_SIZE_MAX];
};

/* What the leaf that covers range->key has of the range goes; if that is nothing, the range goes on behind the leaf. */
static int delete_leaf_range(struct btree *tree, struct txn *txn, struct range *range)
{
    struct pool_frame *leaf;
    int error = tree_descend(tree, txn, range->key, false, &leaf);
    if (error) {
        return error;
    }
    const uint8_t *node = pool_frame_bytes(leaf);
    bool found, ends_here = node_covers(node, range->to) || !node_has_upper(node);
    struct node_cut cut;
    cut.from = node_lower_bound(node, range->key, &found);
    cut.to = ends_here ? node_lower_bound(node, range->to, &found) : node_count(node);
    if (cut.to - cut.from > range->left) {
        cut.to = cut.from + range->left;
        ends_here = false;
    }
    range->is_over = ends_here;
    if (cut.from < cut.to) {
        range->left -= cut.to - cut.from;
        return tree_remove_rows(tree, txn, range->key, leaf, cut);
    }
    if (!ends_here) {
        struct btree_slice upper = node_upper(node);
        memcpy(range->key_buffer, upper.bytes, upper.size);
        range->key = (struct btree_slice){range->key_buffer, upper.size};
    }
    tree_leave(tree, txn, leaf);
    return 0;
}

int btree_delete_range(struct btree *tree, struct txn *txn, struct btree_slice from, struct btree_slice to,
                       uint32_t row_count_max, uint32_t *ret_done)
{
    struct range range = {.key = from, .to = to, .left = row_count_max, .is_over = key_compare(from, to) >= 0};
    while (!range.is_over && range.left > 0) {
        int error = delete_leaf_range(tree, txn, &range);
        if (error) {
            return error;
        }
    }
    *ret_done = row_count_max - range.left;
    return 0;
}
