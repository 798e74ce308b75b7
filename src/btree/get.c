/* Looking up one row. */
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
