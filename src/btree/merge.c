/* The restructuring pass of deletes: from the root down, every thin node is merged with a sibling or filled up from it
 * before it is entered, so that an inner node can lose a separator when the level below merges, and no merge ever
 * climbs back up. At the leaf the rows to delete are left out of what is distributed.
 *
 * Thin is less than a quarter of what any node holds. A merge leaves at most three quarters, otherwise both halves get
 * about as much, so neither is followed by a split or a merge soon. The pair is chosen under the parent: the right
 * sibling if there is one, else the left; the right one's page goes. The only two children of the root merge into the
 * root's page: the tree loses a level. */
#include "internal.h"

struct pair {
    struct pool_frame *left, *right;
    uint32_t index; /* of the left one in the parent; of their separator, too */
    bool is_left;   /* the thin one is the left one */
};

bool node_is_thin(uint32_t used, uint32_t page_size)
{
    return used < node_capacity_min(page_size) / 4;
}

static int pair_pin(struct tree_path *path, uint32_t index, struct pool_frame *child, struct pair *pair)
{
    pair->is_left = index < node_count(pool_frame_bytes(path->node));
    pair->index = pair->is_left ? index : index - 1;
    struct pool_frame *sibling;
    int error = tree_pin_child(path->tree, path->txn, path->node, pair->is_left ? index + 1 : index - 1, &sibling);
    if (error) {
        return error;
    }
    pair->left = pair->is_left ? child : sibling;
    pair->right = pair->is_left ? sibling : child;
    const uint8_t *left = pool_frame_bytes(pair->left);
    if (node_level(left) == 0 && node_link(left) != pool_frame_page(pair->right)) {
        txn_page_unpin(path->txn, sibling);
        return tree_damaged(pool_frame_page(pair->left), "has not the next leaf that its parent says");
    }
    return 0;
}

static void pair_unpin_sibling(struct tree_path *path, struct pair *pair)
{
    txn_page_unpin(path->txn, pair->is_left ? pair->right : pair->left);
}

/* All rows of both without those cut from the thin one; inner nodes: with the separator between them, whose child is
 * the right one's first. The buffers belong to the literal row. */
static void gather(struct tree_path *path, const struct pair *pair, struct node_cut cut, uint8_t *key_buffer,
                   uint8_t *child_buffer)
{
    struct node_sequence *sequence = &path->tree->sequence;
    const uint8_t *left = pool_frame_bytes(pair->left), *right = pool_frame_bytes(pair->right);
    struct node_cut left_cut = pair->is_left ? cut : (struct node_cut){0, 0};
    struct node_cut right_cut = pair->is_left ? (struct node_cut){0, 0} : cut;
    sequence_reset(sequence);
    sequence_add(sequence, left, 0, left_cut.from);
    sequence_add(sequence, left, left_cut.to, node_count(left));
    if (node_level(left) > 0) {
        base_put_le64(child_buffer, node_link(right));
        sequence_add_literal(sequence, node_copy_key(pool_frame_bytes(path->node), pair->index, key_buffer),
                             (struct btree_slice){child_buffer, NODE_CHILD_SIZE});
    }
    sequence_add(sequence, right, 0, right_cut.from);
    sequence_add(sequence, right, right_cut.to, node_count(right));
}

static struct node_plan plan_merge(struct btree *tree, const struct pair *pair)
{
    const uint8_t *left = pool_frame_bytes(pair->left), *right = pool_frame_bytes(pair->right);
    struct node_plan plan = plan_like(right, &tree->sequence);
    plan.lower = node_lower(left);
    plan.link = node_link(node_level(left) == 0 ? right : left);
    plan.to = tree->sequence.count;
    return plan;
}

/* So that a reader that is still on the way to this page sees that it has left the tree. */
static void edit_leave_tree(struct txn *txn, struct pool_frame *frame)
{
    uint8_t none = NODE_TYPE_NONE;
    txn_edit_put(txn, frame, NODE_TYPE, &none, 1);
}

static void merge_pair(struct tree_path *path, const struct pair *pair, const struct node_plan *plan)
{
    struct btree *tree = path->tree;
    struct txn *txn = path->txn;
    bool is_root = path->node == tree->root && node_count(pool_frame_bytes(path->node)) == 1;
    plan_build(plan, tree->page_size, tree->images[0]);
    txn_edit_begin(txn, path->node);
    txn_edit_begin(txn, pair->left);
    txn_edit_begin(txn, pair->right);
    if (is_root) {
        txn_edit_image(txn, path->node, tree->images[0]);
        edit_leave_tree(txn, pair->left);
    } else {
        txn_edit_image(txn, pair->left, tree->images[0]);
        /* The separator goes and the child to the right of it. */
        edit_remove_rows(txn, path->node, pair->index, pair->index + 1);
    }
    edit_leave_tree(txn, pair->right);
    txn_edit_end(txn, pair->right);
    txn_edit_end(txn, pair->left);
    txn_edit_end(txn, path->node);
    txn_page_free(txn, pair->right);
    if (is_root) {
        txn_page_free(txn, pair->left);
        atomic_store_explicit(&tree->height, plan->level + 1, memory_order_relaxed);
        count_one(&tree->counters.root_shrinks);
    }
    count_one(&tree->counters.merges);
}

/* Distributes the rows anew so that the thin one of the pair gets more than the row_count it has. False: no way of
 * doing so fits (prefixes differ, and keys that lose theirs grow). */
static bool balance_pair(struct tree_path *path, const struct pair *pair, const struct node_plan *merged,
                         uint32_t row_count)
{
    struct btree *tree = path->tree;
    uint32_t is_inner = merged->level > 0, count = tree->sequence.count;
    uint32_t low = pair->is_left ? row_count + 1 : 1;
    uint32_t high = count - 1 - is_inner;
    if (!pair->is_left) {
        high -= row_count < high ? row_count : high;
    }
    if (low > high) {
        return false;
    }
    struct split split;
    split_init(&split, pool_frame_bytes(pair->left), &tree->sequence);
    split.right.upper = merged->upper;
    split.right.has_upper = merged->has_upper;
    if (!is_inner) {
        split.right.link = merged->link;
    }
    if (!split_choose(&split, tree->page_size, low, high, split_find_middle(merged, low, high), path->key)) {
        return false;
    }
    plan_build(&split.left, tree->page_size, tree->images[1]);
    plan_build(&split.right, tree->page_size, tree->images[2]);
    txn_edit_begin(path->txn, path->node);
    txn_edit_begin(path->txn, pair->left);
    txn_edit_begin(path->txn, pair->right);
    txn_edit_image(path->txn, pair->left, tree->images[1]);
    txn_edit_image(path->txn, pair->right, tree->images[2]);
    edit_replace_separator(tree, path->txn, path->node, pair->index, split.separator);
    txn_edit_end(path->txn, pair->right);
    txn_edit_end(path->txn, pair->left);
    txn_edit_end(path->txn, path->node);
    count_one(&tree->counters.borrows);
    return true;
}

/* Merges or fills up a thin child of path->node, without the rows cut. *ret_done: false when neither was possible, and
 * nothing has changed. */
static int settle(struct tree_path *path, uint32_t index, struct pool_frame *child, struct node_cut cut, bool *ret_done)
{
    struct btree *tree = path->tree;
    struct pair pair;
    int error = pair_pin(path, index, child, &pair);
    if (error) {
        return error;
    }
    uint8_t key_buffer[BTREE_KEY_SIZE_MAX], child_buffer[NODE_CHILD_SIZE];
    uint32_t row_count = node_count(pool_frame_bytes(child)) - (cut.to - cut.from);
    gather(path, &pair, cut, key_buffer, child_buffer);
    struct node_plan merged = plan_merge(tree, &pair);
    /* Every inner node but the root keeps a separator. */
    bool may_lose_separator = path->node == tree->root || node_count(pool_frame_bytes(path->node)) > 1;
    if (may_lose_separator && plan_used(&merged) <= node_capacity_min(tree->page_size) / 4 * 3 &&
        plan_fits(&merged, tree->page_size, 2)) {
        merge_pair(path, &pair, &merged);
        *ret_done = true;
    } else {
        *ret_done = balance_pair(path, &pair, &merged, row_count);
    }
    pair_unpin_sibling(path, &pair);
    return 0;
}

static int settle_leaf(struct tree_path *path, uint32_t index, struct pool_frame *leaf, struct node_cut cut)
{
    bool is_done;
    int error = path_check_leaf(path, leaf);
    if (!error) {
        error = settle(path, index, leaf, cut, &is_done);
    }
    if (error || is_done) {
        return error;
    }
    /* An empty leaf always gets a row of its sibling: its page takes any four. */
    BASE_ASSERT(node_count(pool_frame_bytes(leaf)) > cut.to - cut.from);
    txn_edit_begin(path->txn, leaf);
    edit_remove_rows(path->txn, leaf, cut.from, cut.to);
    txn_edit_end(path->txn, leaf);
    return 0;
}

/* One level: the child that path goes on with, not thin if that was possible. *ret_shrunk: the root has taken over its
 * children instead, and there is no child. */
static int pin_settled_child(struct tree_path *path, uint32_t *ret_index, struct pool_frame **ret_child,
                             bool *ret_shrunk)
{
    struct btree *tree = path->tree;
    *ret_shrunk = false;
    int error = path_pin_child(path, ret_index, ret_child);
    if (error) {
        return error;
    }
    const uint8_t *node = pool_frame_bytes(*ret_child);
    if (node_level(node) == 0 || path->has_split || !node_is_thin(node_used(node, tree->page_size), tree->page_size)) {
        return 0;
    }
    bool is_done;
    uint32_t level = node_level(pool_frame_bytes(path->node));
    error = settle(path, *ret_index, *ret_child, (struct node_cut){0, 0}, &is_done);
    txn_page_unpin(path->txn, *ret_child);
    if (error) {
        return error;
    }
    *ret_shrunk = node_level(pool_frame_bytes(path->node)) < level;
    return *ret_shrunk ? 0 : path_pin_child(path, ret_index, ret_child);
}

int merge_and_remove(struct btree *tree, struct txn *txn, uint64_t leaf, struct btree_slice key, struct node_cut cut)
{
    struct tree_path path;
    int error = path_begin(&path, tree, txn, key, leaf, false);
    if (error) {
        return error;
    }
    for (;;) {
        uint32_t index;
        struct pool_frame *child;
        bool is_shrunk;
        error = pin_settled_child(&path, &index, &child, &is_shrunk);
        if (error) {
            break;
        }
        if (is_shrunk) {
            continue;
        }
        if (node_level(pool_frame_bytes(child)) == 0) {
            error = settle_leaf(&path, index, child, cut);
            txn_page_unpin(txn, child);
            break;
        }
        path_go_to(&path, child);
    }
    path_end(&path);
    return error;
}
