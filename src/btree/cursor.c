/* Cursors: a copy of a row and the place it was copied from. While the leaf is in memory and its change number is the
 * same, the neighbour is one slot away; otherwise the cursor descends to the key that it stands on. Forwards beyond a
 * leaf's end by its link, backwards beyond its start by a descent to what is before its lower fence. */
#include "internal.h"

#include <stdlib.h>

struct btree_cursor {
    struct btree *tree;
    bool is_standing;
    uint64_t page, change;
    uint32_t slot;
    size_t key_size, value_size;
    uint8_t key[BTREE_KEY_SIZE_MAX];
    uint8_t bound[BTREE_KEY_SIZE_MAX]; /* a fence key on the way to a neighbour leaf */
    uint8_t value[];
};

int btree_cursor_open(struct btree *tree, struct btree_cursor **ret_cursor)
{
    struct btree_cursor *cursor = malloc(sizeof *cursor + node_row_size_max(tree->page_size));
    if (!cursor) {
        return -ENOMEM;
    }
    cursor->tree = tree;
    cursor->is_standing = false;
    cursor->key_size = cursor->value_size = 0;
    *ret_cursor = cursor;
    return 0;
}

void btree_cursor_close(struct btree_cursor *cursor)
{
    free(cursor);
}

struct btree_slice btree_cursor_key(const struct btree_cursor *cursor)
{
    return (struct btree_slice){cursor->key, cursor->key_size};
}

struct btree_slice btree_cursor_value(const struct btree_cursor *cursor)
{
    return (struct btree_slice){cursor->value, cursor->value_size};
}

static struct btree_slice keep_bound(struct btree_cursor *cursor, struct btree_slice bound)
{
    memcpy(cursor->bound, bound.bytes, bound.size);
    return (struct btree_slice){cursor->bound, bound.size};
}

/* Stands on a row of a leaf, and lets go of the leaf. */
static void stand_on(struct btree_cursor *cursor, struct txn *txn, struct pool_frame *leaf, uint32_t slot)
{
    const uint8_t *node = pool_frame_bytes(leaf);
    struct btree_slice value = node_value(node, slot);
    cursor->key_size = node_copy_key(node, slot, cursor->key).size;
    cursor->value_size = value.size;
    if (value.size > 0) {
        memcpy(cursor->value, value.bytes, value.size);
    }
    cursor->page = pool_frame_page(leaf);
    cursor->change = pool_frame_change(leaf);
    cursor->slot = slot;
    cursor->is_standing = true;
    tree_leave(cursor->tree, txn, leaf);
}

/* The row at slot, or the first one of the leaves behind. */
static int stand_at_or_behind(struct btree_cursor *cursor, struct txn *txn, struct pool_frame *leaf, uint32_t slot)
{
    while (slot >= node_count(pool_frame_bytes(leaf))) {
        const uint8_t *node = pool_frame_bytes(leaf);
        if (!node_has_upper(node)) {
            tree_leave(cursor->tree, txn, leaf);
            return -ENOENT;
        }
        struct btree_slice bound = keep_bound(cursor, node_upper(node));
        int error = tree_next_leaf(cursor->tree, txn, leaf, bound, &leaf);
        if (error) {
            return error;
        }
        bool found;
        slot = node_lower_bound(pool_frame_bytes(leaf), bound, &found);
    }
    stand_on(cursor, txn, leaf, slot);
    return 0;
}

/* The first row >= key, or (skip_equal) > key. */
static int seek_forwards(struct btree_cursor *cursor, struct txn *txn, struct btree_slice key, bool skip_equal)
{
    struct pool_frame *leaf;
    int error = tree_find_leaf(cursor->tree, txn, key, &leaf);
    if (error) {
        return error;
    }
    bool found;
    uint32_t slot = node_lower_bound(pool_frame_bytes(leaf), key, &found);
    return stand_at_or_behind(cursor, txn, leaf, slot + (found && skip_equal));
}

/* The last row < key. */
static int seek_backwards(struct btree_cursor *cursor, struct txn *txn, struct btree_slice key)
{
    while (key.size > 0) {
        struct pool_frame *leaf;
        int error = tree_descend(cursor->tree, txn, key, true, &leaf);
        if (error) {
            return error;
        }
        const uint8_t *node = pool_frame_bytes(leaf);
        bool found;
        uint32_t slot = node_lower_bound(node, key, &found);
        if (slot > 0) {
            stand_on(cursor, txn, leaf, slot - 1);
            return 0;
        }
        key = keep_bound(cursor, node_lower(node));
        tree_leave(cursor->tree, txn, leaf);
    }
    return -ENOENT;
}

int btree_cursor_seek(struct btree_cursor *cursor, struct txn *txn, struct btree_slice key)
{
    cursor->is_standing = false;
    tree_read_begin(cursor->tree, txn);
    int error = seek_forwards(cursor, txn, key, false);
    tree_read_end(cursor->tree, txn);
    return error;
}

int btree_cursor_seek_before(struct btree_cursor *cursor, struct txn *txn, struct btree_slice key)
{
    cursor->is_standing = false;
    tree_read_begin(cursor->tree, txn);
    int error = seek_backwards(cursor, txn, key);
    tree_read_end(cursor->tree, txn);
    return error;
}

int btree_cursor_first(struct btree_cursor *cursor, struct txn *txn)
{
    return btree_cursor_seek(cursor, txn, (struct btree_slice){cursor->bound, 0});
}

int btree_cursor_last(struct btree_cursor *cursor, struct txn *txn)
{
    /* Longer than any key and of the greatest byte: greater than all. */
    uint8_t beyond[BTREE_KEY_SIZE_MAX + 1];
    memset(beyond, 0xFF, sizeof beyond);
    return btree_cursor_seek_before(cursor, txn, (struct btree_slice){beyond, sizeof beyond});
}

static bool revisit(struct btree_cursor *cursor, struct txn *txn, struct pool_frame **ret_leaf)
{
    if (!tree_revisit(cursor->tree, txn, cursor->page, cursor->change, ret_leaf)) {
        return false;
    }
    count_one(&cursor->tree->counters.cursor_hops);
    return true;
}

int btree_cursor_next(struct btree_cursor *cursor, struct txn *txn)
{
    if (!cursor->is_standing) {
        return -ENOENT;
    }
    cursor->is_standing = false;
    tree_read_begin(cursor->tree, txn);
    struct pool_frame *leaf;
    int error = revisit(cursor, txn, &leaf) ? stand_at_or_behind(cursor, txn, leaf, cursor->slot + 1)
                                            : seek_forwards(cursor, txn, btree_cursor_key(cursor), true);
    tree_read_end(cursor->tree, txn);
    return error;
}

int btree_cursor_previous(struct btree_cursor *cursor, struct txn *txn)
{
    if (!cursor->is_standing) {
        return -ENOENT;
    }
    cursor->is_standing = false;
    tree_read_begin(cursor->tree, txn);
    struct pool_frame *leaf;
    int error = 0;
    if (cursor->slot > 0 && revisit(cursor, txn, &leaf)) {
        stand_on(cursor, txn, leaf, cursor->slot - 1);
    } else {
        error = seek_backwards(cursor, txn, btree_cursor_key(cursor));
    }
    tree_read_end(cursor->tree, txn);
    return error;
}
