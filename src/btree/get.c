/* Looking up one row, and whether that would need the disk. */
#include "internal.h"

int btree_get(struct btree *tree, struct txn *txn, struct btree_slice key, void *buffer, size_t buffer_size,
              size_t *ret_size)
{
    struct pool_frame *leaf;
    tree_read_begin(tree, txn);
    int error = tree_find_leaf(tree, txn, key, &leaf);
    if (!error) {
        const uint8_t *node = pool_frame_bytes(leaf);
        bool found;
        uint32_t slot = node_lower_bound(node, key, &found);
        if (found) {
            struct btree_slice value = node_value(node, slot);
            *ret_size = value.size;
            if (value.size > buffer_size) {
                error = -ERANGE;
            } else if (value.size > 0) {
                memcpy(buffer, value.bytes, value.size);
            }
        } else {
            error = -ENOENT;
        }
        tree_leave(tree, txn, leaf);
    }
    tree_read_end(tree, txn);
    return error;
}

bool btree_is_resident(struct btree *tree, struct btree_slice key)
{
    struct pool_frame *frame = tree->root;
    bool is_resident = true;
    tree_read_begin(tree, NULL);
    pool_latch(frame, POOL_SHARED);
    for (;;) {
        const uint8_t *node = pool_frame_bytes(frame);
        unsigned level = node_level(node);
        struct pool_frame *child = NULL;
        if (level > 0) {
            uint64_t page = node_child(node, node_child_index(node, key, false));
            is_resident = page != STORE_ROOT_PAGE && pool_pin_resident(tree->pool, page, POOL_PIN_ONLY, &child);
        }
        tree_leave(tree, NULL, frame);
        if (!child) {
            break;
        }
        frame = child;
        pool_latch(frame, POOL_SHARED);
        node = pool_frame_bytes(frame);
        if (node_level(node) + 1 != level || !node_covers(node, key)) { /* the writer was there, or damage */
            tree_leave(tree, NULL, frame);
            break;
        }
    }
    tree_read_end(tree, NULL);
    return is_resident;
}
