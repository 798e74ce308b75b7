/* Inserting and replacing rows: at once in the leaf where it has room, else by the restructuring pass. */
#include "internal.h"

static int check_sizes(const struct btree *tree, struct btree_slice key, struct btree_slice value)
{
    if (key.size == 0) {
        return -EINVAL;
    }
    if (key.size > BTREE_KEY_SIZE_MAX || value.size > UINT16_MAX ||
        key.size + value.size > node_row_size_max(tree->page_size)) {
        return -E2BIG;
    }
    return 0;
}

static int put_row(struct btree *tree, struct txn *txn, struct btree_slice key, struct btree_slice value,
                   bool may_replace)
{
    struct pool_frame *leaf;
    int error = check_sizes(tree, key, value);
    if (!error) {
        error = tree_find_leaf(tree, txn, key, &leaf);
    }
    if (error) {
        return error;
    }
    const uint8_t *node = pool_frame_bytes(leaf);
    bool found;
    uint32_t slot = node_lower_bound(node, key, &found);
    if (found && !may_replace) {
        tree_leave(tree, txn, leaf);
        return -EEXIST;
    }
    if (!leaf_takes(node, key, value, found, slot)) {
        bool is_run = !found && hint_is_run(tree, key, leaf, slot);
        uint64_t page = pool_frame_page(leaf);
        tree_leave(tree, txn, leaf);
        return split_and_insert(tree, txn, page, key, value, is_run);
    }
    txn_edit_begin(txn, leaf);
    if (found) {
        edit_replace_value(tree, txn, leaf, slot, value);
        txn_edit_end(txn, leaf);
    } else {
        edit_insert_row(tree, txn, leaf, slot, key, value);
        txn_edit_end(txn, leaf);
        hint_inserted(tree, key, leaf, slot, false);
    }
    tree_leave(tree, txn, leaf);
    return 0;
}

int btree_insert(struct btree *tree, struct txn *txn, struct btree_slice key, struct btree_slice value)
{
    return put_row(tree, txn, key, value, false);
}

int btree_put(struct btree *tree, struct txn *txn, struct btree_slice key, struct btree_slice value)
{
    return put_row(tree, txn, key, value, true);
}
