/* Looking up one row; or only if that needs no disk. */
#include "internal.h"

/* Lets go of the leaf. */
static int copy_value(struct btree *tree, struct txn *txn, struct pool_frame *leaf, struct btree_slice key,
                      void *buffer, size_t buffer_size, size_t *ret_size)
{
    const uint8_t *node = pool_frame_bytes(leaf);
    int error = -ENOENT;
    bool found;
    uint32_t slot = node_lower_bound(node, key, &found);
    if (found) {
        struct btree_slice value = node_value(node, slot);
        *ret_size = value.size;
        error = value.size > buffer_size ? -ERANGE : 0;
        if (!error && value.size > 0) {
            memcpy(buffer, value.bytes, value.size);
        }
    }
    tree_leave(tree, txn, leaf);
    return error;
}

int btree_get(struct btree *tree, struct txn *txn, struct btree_slice key, void *buffer, size_t buffer_size,
              size_t *ret_size)
{
    struct pool_frame *leaf;
    tree_read_begin(tree, txn);
    int error = tree_find_leaf(tree, txn, key, &leaf);
    if (!error) {
        error = copy_value(tree, txn, leaf, key, buffer, buffer_size, ret_size);
    }
    tree_read_end(tree, txn);
    return error;
}

/* The way down through pages in the pool. -EAGAIN: one is not; *ret_leaf NULL: the writer was there, or damage. */
static int descend_resident(struct btree *tree, struct btree_slice key, struct pool_frame **ret_leaf)
{
    struct pool_frame *frame = tree->root;
    pool_latch(frame, POOL_SHARED);
    for (;;) {
        const uint8_t *node = pool_frame_bytes(frame);
        unsigned level = node_level(node);
        struct pool_frame *child;
        if (level == 0) {
            *ret_leaf = frame;
            return 0;
        }
        uint64_t page = node_child(node, node_child_index(node, key, false));
        bool is_resident = page != STORE_ROOT_PAGE && pool_pin_resident(tree->pool, page, POOL_PIN_ONLY, &child);
        tree_leave(tree, NULL, frame);
        if (!is_resident) {
            return -EAGAIN;
        }
        frame = child;
        pool_latch(frame, POOL_SHARED);
        node = pool_frame_bytes(frame);
        if (node_level(node) + 1 != level || !node_covers(node, key)) {
            tree_leave(tree, NULL, frame);
            *ret_leaf = NULL;
            return 0;
        }
    }
}

static int find_leaf_resident(struct btree *tree, struct btree_slice key, struct pool_frame **ret_leaf)
{
    if (tree_find_place(tree, NULL, key, ret_leaf)) {
        return 0;
    }
    int error = descend_resident(tree, key, ret_leaf);
    if (!error && !*ret_leaf) {
        error = tree_descend(tree, NULL, key, false, ret_leaf);
    }
    if (!error) {
        tree_keep_place(tree, key, *ret_leaf);
    }
    return error;
}

int btree_get_resident(struct btree *tree, struct btree_slice key, void *buffer, size_t buffer_size, size_t *ret_size)
{
    struct pool_frame *leaf;
    tree_read_begin(tree, NULL);
    int error = find_leaf_resident(tree, key, &leaf);
    if (!error) {
        error = copy_value(tree, NULL, leaf, key, buffer, buffer_size, ret_size);
    }
    tree_read_end(tree, NULL);
    return error;
}
