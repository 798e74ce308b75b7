/* Ways into the tree: from the root to a leaf, from a leaf to the next, back to a leaf seen before. How readers move is
 * told in internal.h; the writer (with a transaction) only pins. */
#include "internal.h"

void tree_read_begin(struct btree *tree, struct txn *txn)
{
    if (!txn) {
        txn_read_begin(tree->engine);
    }
}

void tree_read_end(struct btree *tree, struct txn *txn)
{
    if (!txn) {
        txn_read_end(tree->engine);
    }
}

/* The root's pin is the tree's own. */
static void drop_pin(struct btree *tree, struct txn *txn, struct pool_frame *frame)
{
    if (frame == tree->root) {
        return;
    }
    if (txn) {
        txn_page_unpin(txn, frame);
    } else {
        pool_unpin(tree->pool, frame, POOL_PIN_ONLY);
    }
}

void tree_leave(struct btree *tree, struct txn *txn, struct pool_frame *frame)
{
    if (!txn) {
        pool_unlatch(frame, POOL_SHARED);
    }
    drop_pin(tree, txn, frame);
}

/* What a page says of another one. */
struct promise {
    unsigned level;
    enum { COVERS, COVERS_BEFORE, BEGINS_WITH } kind;
    struct btree_slice key;
};

static const char *broken_promise(const uint8_t *node, const struct promise *promise)
{
    if (node_type(node) != (promise->level == 0 ? NODE_TYPE_LEAF : NODE_TYPE_INNER) ||
        node_level(node) != promise->level) {
        return "has not the level that the page leading to it says";
    }
    bool kept = promise->kind == COVERS          ? node_covers(node, promise->key)
                : promise->kind == COVERS_BEFORE ? node_covers_before(node, promise->key)
                                                 : key_equal(node_lower(node), promise->key);
    return kept ? NULL : "has not the fence keys that the page leading to it says";
}

static int writer_step(struct btree *tree, struct txn *txn, struct pool_frame *from, uint64_t page,
                       const struct promise *promise, struct pool_frame **ret_to)
{
    struct pool_frame *to;
    int error = txn_page_pin(txn, page, &to);
    if (!error) {
        const char *reason = broken_promise(pool_frame_bytes(to), promise);
        if (reason) {
            txn_page_unpin(txn, to);
            error = tree_damaged(page, reason);
        }
    }
    drop_pin(tree, txn, from);
    if (!error) {
        *ret_to = to;
    }
    return error;
}

/* -EAGAIN: the writer has changed from meanwhile. */
static int reader_step(struct btree *tree, struct pool_frame *from, uint64_t page, const struct promise *promise,
                       struct pool_frame **ret_to)
{
    uint64_t change = pool_frame_change(from);
    struct pool_frame *to;
    int error = pool_pin(tree->pool, page, POOL_PIN_ONLY, &to);
    pool_unlatch(from, POOL_SHARED);
    if (error) {
        drop_pin(tree, NULL, from);
        return error;
    }
    pool_latch(to, POOL_SHARED);
    const char *reason = broken_promise(pool_frame_bytes(to), promise);
    if (!reason) {
        drop_pin(tree, NULL, from);
        *ret_to = to;
        return 0;
    }
    pool_unpin(tree->pool, to, POOL_SHARED); /* not tree_leave: a lying link may lead to the root */
    pool_latch(from, POOL_SHARED);
    bool is_unchanged = pool_frame_change(from) == change;
    tree_leave(tree, NULL, from);
    return is_unchanged ? tree_damaged(page, reason) : -EAGAIN;
}

/* Lets go of from in any case. */
static int step(struct btree *tree, struct txn *txn, struct pool_frame *from, uint64_t page,
                const struct promise *promise, struct pool_frame **ret_to)
{
    return txn ? writer_step(tree, txn, from, page, promise, ret_to) : reader_step(tree, from, page, promise, ret_to);
}

static int descend_once(struct btree *tree, struct txn *txn, struct btree_slice key, bool before,
                        struct pool_frame **ret_leaf)
{
    struct pool_frame *frame = tree->root;
    if (!txn) {
        pool_latch(frame, POOL_SHARED);
    } else {
        /* An abort may have undone a change of height. */
        atomic_store_explicit(&tree->height, node_level(pool_frame_bytes(frame)) + 1, memory_order_relaxed);
    }
    for (;;) {
        const uint8_t *node = pool_frame_bytes(frame);
        unsigned level = node_level(node);
        if (level == 0) {
            *ret_leaf = frame;
            return 0;
        }
        struct promise promise = {.level = level - 1, .kind = before ? COVERS_BEFORE : COVERS, .key = key};
        uint64_t page = node_child(node, node_child_index(node, key, before));
        int error = step(tree, txn, frame, page, &promise, &frame);
        if (error) {
            return error;
        }
    }
}

int tree_descend(struct btree *tree, struct txn *txn, struct btree_slice key, bool before, struct pool_frame **ret_leaf)
{
    count_one(&tree->counters.descents);
    int error;
    do {
        error = descend_once(tree, txn, key, before, ret_leaf);
    } while (error == -EAGAIN);
    return error;
}

int tree_next_leaf(struct btree *tree, struct txn *txn, struct pool_frame *leaf, struct btree_slice upper,
                   struct pool_frame **ret_leaf)
{
    struct promise promise = {.level = 0, .kind = BEGINS_WITH, .key = upper};
    int error = step(tree, txn, leaf, node_link(pool_frame_bytes(leaf)), &promise, ret_leaf);
    return error == -EAGAIN ? tree_descend(tree, txn, upper, false, ret_leaf) : error;
}

/* change: what the page's change number has to be; key: what it has to cover; NULL: no matter. */
static bool revisit(struct btree *tree, struct txn *txn, uint64_t page, const uint64_t *change,
                    const struct btree_slice *key, struct pool_frame **ret_leaf)
{
    enum pool_mode mode = txn ? POOL_PIN_ONLY : POOL_SHARED;
    struct pool_frame *frame;
    if (!pool_pin_resident(tree->pool, page, mode, &frame)) {
        return false;
    }
    const uint8_t *node = pool_frame_bytes(frame);
    bool serves = (!change || pool_frame_change(frame) == *change) &&
                  (!key || (node_type(node) == NODE_TYPE_LEAF && node_covers(node, *key)));
    if (!serves) {
        pool_unpin(tree->pool, frame, mode);
        return false;
    }
    if (page == STORE_ROOT_PAGE) {
        pool_unpin(tree->pool, frame, POOL_PIN_ONLY); /* the tree has one */
    }
    *ret_leaf = frame;
    return true;
}

bool tree_revisit(struct btree *tree, struct txn *txn, uint64_t page, uint64_t change, struct pool_frame **ret_leaf)
{
    return revisit(tree, txn, page, &change, NULL, ret_leaf);
}

bool tree_revisit_covering(struct btree *tree, struct txn *txn, uint64_t page, struct btree_slice key,
                           struct pool_frame **ret_leaf)
{
    return page != 0 && revisit(tree, txn, page, NULL, &key, ret_leaf);
}

int tree_pin_child(struct btree *tree, struct txn *txn, struct pool_frame *parent, uint32_t index,
                   struct pool_frame **ret_child)
{
    (void)tree;
    const uint8_t *node = pool_frame_bytes(parent);
    uint64_t page = node_child(node, index);
    struct pool_frame *child;
    int error = txn_page_pin(txn, page, &child);
    if (error) {
        return error;
    }
    const uint8_t *child_node = pool_frame_bytes(child);
    uint8_t buffer[BTREE_KEY_SIZE_MAX];
    struct btree_slice lower = index == 0 ? node_lower(node) : node_copy_key(node, index - 1, buffer);
    bool is_good = node_level(child_node) + 1 == node_level(node) && key_equal(node_lower(child_node), lower);
    if (is_good && index < node_count(node)) {
        is_good = node_has_upper(child_node) && key_equal(node_upper(child_node), node_copy_key(node, index, buffer));
    } else if (is_good) {
        is_good =
            node_has_upper(child_node) == node_has_upper(node) && key_equal(node_upper(child_node), node_upper(node));
    }
    if (!is_good) {
        txn_page_unpin(txn, child);
        return tree_damaged(page, "has not the level and fence keys that its parent says");
    }
    *ret_child = child;
    return 0;
}
