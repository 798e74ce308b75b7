/* The restructuring pass of inserts, and what it shares with that of deletes: from the root down, every inner node that
 * could not take two longest separators is split before it is entered (so that one can be added or exchanged below it,
 * and room for one remains, as every inner node promises), its parent having room by the same rule. So no split ever
 * climbs back up.
 *
 * A split leaves the left part where it is and moves the right part to a new page. The root keeps its page: both parts
 * move out. Where to split: ascending runs at the right edge, so that full leaves stay behind; else near the middle of
 * the bytes, where the separator is short. */
#include "internal.h"

static void split_set(struct split *split, struct btree_slice separator)
{
    split->separator = separator;
    split->left.upper = separator;
    split->left.has_upper = true;
    split->right.lower = separator;
}

void split_init(struct split *split, const uint8_t *node, const struct node_sequence *sequence)
{
    split->left = split->right = plan_like(node, sequence);
    split->right.to = sequence->count;
}

/* --- Where to split ----------------------------------------------------------------------------------------------- */

/* Rows [0, at) to the left, the others to the right. */
static bool try_leaf_split(struct split *split, uint32_t page_size, uint32_t at)
{
    const struct node_sequence *sequence = split->left.sequence;
    uint8_t buffers[2][BTREE_KEY_SIZE_MAX];
    split_set(split, separator_between(sequence_copy_key(sequence, at - 1, buffers[0]),
                                       sequence_copy_key(sequence, at, buffers[1]), split->separator_bytes));
    split->left.to = split->right.from = at;
    return plan_fits(&split->left, page_size, 0) && plan_fits(&split->right, page_size, 0);
}

/* Row `at` goes up, the ones before it to the left, those behind it to the right. The part that covers key gets room
 * for two separators, the other one for one. */
static bool try_inner_split(struct split *split, uint32_t page_size, uint32_t at, struct btree_slice key)
{
    const struct node_sequence *sequence = split->left.sequence;
    split_set(split, sequence_copy_key(sequence, at, split->separator_bytes));
    split->left.to = at;
    split->right.from = at + 1;
    split->right.link = base_get_le64(sequence_value(sequence, at).bytes);
    bool goes_left = key_compare(key, split->separator) < 0;
    return plan_fits(&split->left, page_size, goes_left ? 2 : 1) &&
           plan_fits(&split->right, page_size, goes_left ? 1 : 2);
}

static bool try_split(struct split *split, uint32_t page_size, uint32_t at, struct btree_slice key)
{
    return split->left.level == 0 ? try_leaf_split(split, page_size, at) : try_inner_split(split, page_size, at, key);
}

static uint32_t separator_size_at(const struct node_sequence *sequence, unsigned level, uint32_t at)
{
    if (level > 0) {
        return sequence_key_size(sequence, at);
    }
    uint8_t buffers[2][BTREE_KEY_SIZE_MAX];
    return 1 + key_common_size(sequence_copy_key(sequence, at - 1, buffers[0]),
                               sequence_copy_key(sequence, at, buffers[1]));
}

uint32_t split_find_middle(const struct node_plan *plan, uint32_t low, uint32_t high)
{
    const struct node_sequence *sequence = plan->sequence;
    uint32_t prefix_size = plan_prefix_size(plan), total = 0, before = 0, best = low, best_size = UINT32_MAX;
    for (uint32_t i = 0; i < sequence->count; i++) {
        total += sequence_row_used(sequence, i, prefix_size);
    }
    uint32_t window = total / 16, best_distance = UINT32_MAX;
    for (uint32_t at = 0; at <= high; at++) {
        uint32_t distance = before < total / 2 ? total / 2 - before : before - total / 2;
        before += sequence_row_used(sequence, at, prefix_size);
        if (at < low) {
            continue;
        }
        uint32_t size = distance <= window ? separator_size_at(sequence, plan->level, at) : UINT32_MAX - 1;
        if (size < best_size || (size == best_size && distance < best_distance)) {
            best = at;
            best_size = size;
            best_distance = distance;
        }
    }
    return best;
}

bool split_choose(struct split *split, uint32_t page_size, uint32_t low, uint32_t high, uint32_t wanted,
                  struct btree_slice key)
{
    for (uint32_t distance = 0; distance <= high - low; distance++) {
        if (wanted >= low + distance && try_split(split, page_size, wanted - distance, key)) {
            return true;
        }
        if (distance > 0 && wanted + distance <= high && try_split(split, page_size, wanted + distance, key)) {
            return true;
        }
    }
    return false;
}

/* --- Doing it ----------------------------------------------------------------------------------------------------- */

/* The part of a split that stays: rows fall off its end if its prefix stays, else it is built anew. */
static void edit_left_part(struct btree *tree, struct txn *txn, struct pool_frame *frame, const struct node_plan *left)
{
    bool is_start_of_node = left->to > 0;
    for (uint32_t i = left->from; i < left->to; i++) {
        is_start_of_node = is_start_of_node && left->sequence->rows[i].node != NULL;
    }
    if (is_start_of_node && edit_truncate(txn, frame, left->to, left->upper, left->link)) {
        return;
    }
    plan_build(left, tree->page_size, tree->images[0]);
    txn_edit_image(txn, frame, tree->images[0]);
}

/* Under a parent that has room for the separator. The new right node comes back pinned. */
static int split_child(struct btree *tree, struct txn *txn, struct pool_frame *parent, uint32_t index,
                       struct pool_frame *child, struct split *split, struct pool_frame **ret_right)
{
    struct pool_frame *right;
    int error = txn_page_new(txn, &right);
    if (error) {
        return error;
    }
    uint8_t right_number[NODE_CHILD_SIZE];
    base_put_le64(right_number, pool_frame_page(right));
    if (split->left.level == 0) {
        split->left.link = pool_frame_page(right);
    }
    plan_build(&split->right, tree->page_size, tree->images[1]);
    txn_edit_begin(txn, parent);
    txn_edit_begin(txn, child);
    txn_edit_begin(txn, right);
    txn_edit_image(txn, right, tree->images[1]);
    edit_left_part(tree, txn, child, &split->left);
    edit_insert_row(tree, txn, parent, index, split->separator, (struct btree_slice){right_number, NODE_CHILD_SIZE});
    txn_edit_end(txn, right);
    txn_edit_end(txn, child);
    txn_edit_end(txn, parent);
    count_one(&tree->counters.splits);
    *ret_right = right;
    return 0;
}

/* The root becomes the parent of two new pages, which come back pinned. */
static int split_root(struct btree *tree, struct txn *txn, struct split *split, struct pool_frame *ret_parts[2])
{
    unsigned level = split->left.level + 1;
    if (level >= BTREE_HEIGHT_MAX) {
        return tree_damaged(STORE_ROOT_PAGE, "has no levels left to grow");
    }
    struct pool_frame *left, *right;
    int error = txn_page_new(txn, &left);
    if (error) {
        return error;
    }
    error = txn_page_new(txn, &right);
    if (error) {
        txn_page_unpin(txn, left);
        return error;
    }
    if (split->left.level == 0) {
        split->left.link = pool_frame_page(right);
    }
    uint8_t right_number[NODE_CHILD_SIZE];
    base_put_le64(right_number, pool_frame_page(right));
    struct node_row row = {NULL, 0};
    struct node_sequence separators = {
        &row, 1, 1, split->separator, {right_number, NODE_CHILD_SIZE},
    };
    struct node_plan root = {.level = level, .link = pool_frame_page(left), .sequence = &separators, .to = 1};
    plan_build(&split->left, tree->page_size, tree->images[0]);
    plan_build(&split->right, tree->page_size, tree->images[1]);
    plan_build(&root, tree->page_size, tree->images[2]);
    struct pool_frame *frames[3] = {left, right, tree->root};
    txn_edit_begin(txn, tree->root);
    txn_edit_begin(txn, left);
    txn_edit_begin(txn, right);
    for (int i = 0; i < 3; i++) {
        txn_edit_image(txn, frames[i], tree->images[i]);
        txn_edit_end(txn, frames[i]);
    }
    atomic_store_explicit(&tree->height, level + 1, memory_order_relaxed);
    count_one(&tree->counters.splits);
    count_one(&tree->counters.root_grows);
    ret_parts[0] = left;
    ret_parts[1] = right;
    return 0;
}

/* --- The way down ------------------------------------------------------------------------------------------------- */

static bool has_room_for_two(const uint8_t *node)
{
    return node_free(node) >= 2 * node_separator_room(node);
}

static void plan_inner_split(struct btree *tree, struct split *split, const uint8_t *node, struct btree_slice key,
                             bool at_right_edge)
{
    struct node_sequence *sequence = &tree->sequence;
    sequence_reset(sequence);
    sequence_add(sequence, node, 0, node_count(node));
    split_init(split, node, sequence);
    /* Both parts keep at least one separator. */
    uint32_t low = 1, high = sequence->count - 2;
    uint32_t wanted = at_right_edge ? high : split_find_middle(&split->left, low, high);
    bool is_split = split_choose(split, tree->page_size, low, high, wanted, key);
    BASE_ASSERT(is_split); /* separators are small against a page, so near the middle both parts fit */
}

int path_begin(struct tree_path *path, struct btree *tree, struct txn *txn, struct btree_slice key, uint64_t leaf,
               bool is_insert)
{
    *path = (struct tree_path){
        .tree = tree, .txn = txn, .key = key, .leaf = leaf, .is_insert = is_insert, .node = tree->root};
    const uint8_t *node = pool_frame_bytes(tree->root);
    if (node_level(node) == 0 || has_room_for_two(node)) {
        return 0;
    }
    struct split split;
    plan_inner_split(tree, &split, node, key, is_insert && node_child_index(node, key, false) == node_count(node));
    struct pool_frame *parts[2] = {NULL, NULL};
    int error = split_root(tree, txn, &split, parts);
    if (!error) {
        txn_page_unpin(txn, parts[0]);
        txn_page_unpin(txn, parts[1]);
    }
    return error;
}

void path_end(struct tree_path *path)
{
    if (path->node != path->tree->root) {
        txn_page_unpin(path->txn, path->node);
    }
}

void path_go_to(struct tree_path *path, struct pool_frame *child)
{
    path_end(path);
    path->node = child;
}

int path_check_leaf(const struct tree_path *path, struct pool_frame *leaf)
{
    uint64_t page = pool_frame_page(leaf);
    return page == path->leaf ? 0 : tree_damaged(page, "is not the leaf that was found by its fence keys");
}

int path_pin_child(struct tree_path *path, uint32_t *ret_index, struct pool_frame **ret_child)
{
    const uint8_t *node = pool_frame_bytes(path->node);
    uint32_t index = node_child_index(node, path->key, false);
    struct pool_frame *child, *right;
    int error = tree_pin_child(path->tree, path->txn, path->node, index, &child);
    if (error) {
        return error;
    }
    const uint8_t *child_node = pool_frame_bytes(child);
    path->has_split = false;
    if (node_level(child_node) > 0 && !has_room_for_two(child_node)) {
        struct split split;
        bool at_right_edge =
            path->is_insert && node_child_index(child_node, path->key, false) == node_count(child_node);
        plan_inner_split(path->tree, &split, child_node, path->key, at_right_edge);
        error = split_child(path->tree, path->txn, path->node, index, child, &split, &right);
        if (error) {
            txn_page_unpin(path->txn, child);
            return error;
        }
        bool goes_left = key_compare(path->key, split.separator) < 0;
        txn_page_unpin(path->txn, goes_left ? right : child);
        child = goes_left ? child : right;
        index += !goes_left;
        path->has_split = true;
    }
    *ret_index = index;
    *ret_child = child;
    return 0;
}

/* --- Leaves ------------------------------------------------------------------------------------------------------- */

/* The place of a leaf split: sequence is the leaf with the new row at slot. */
static uint32_t wanted_leaf_split(const struct node_plan *plan, uint32_t slot, bool is_insert, bool is_run)
{
    uint32_t last = plan->sequence->count - 1;
    if (is_insert && slot == last) {
        return last;
    }
    if (!is_insert || !is_run || slot == 0) {
        return split_find_middle(plan, 1, last);
    }
    /* A run inside the leaf: what is behind it goes right, and the new row with it unless that is a lot. */
    uint32_t prefix_size = plan_prefix_size(plan), before = 0, behind = 0;
    for (uint32_t i = 0; i <= last; i++) {
        *(i < slot ? &before : &behind) += sequence_row_used(plan->sequence, i, prefix_size);
    }
    return behind <= before ? slot : slot + 1;
}

static int split_leaf(struct tree_path *path, uint32_t index, struct pool_frame *leaf, struct btree_slice value,
                      bool is_run)
{
    struct btree *tree = path->tree;
    struct txn *txn = path->txn;
    const uint8_t *node = pool_frame_bytes(leaf);
    struct node_sequence *sequence = &tree->sequence;
    bool found;
    uint32_t slot = node_lower_bound(node, path->key, &found);
    sequence_reset(sequence);
    sequence_add(sequence, node, 0, slot);
    sequence_add_literal(sequence, path->key, value);
    sequence_add(sequence, node, slot + found, node_count(node));
    struct split split;
    split_init(&split, node, sequence);
    uint32_t last = sequence->count - 1;
    uint32_t wanted = wanted_leaf_split(&split.left, slot, !found, is_run);
    bool is_split = split_choose(&split, tree->page_size, 1, last, wanted, path->key);
    BASE_ASSERT(is_split); /* a part takes four largest rows besides the longest fence keys, so the middle does */
    struct pool_frame *parts[2] = {leaf, NULL};
    bool is_root = leaf == tree->root;
    int error = is_root ? split_root(tree, txn, &split, parts)
                        : split_child(tree, txn, path->node, index, leaf, &split, &parts[1]);
    if (error) {
        return error;
    }
    bool goes_left = slot < split.left.to;
    hint_inserted(tree, path->key, parts[!goes_left], goes_left ? slot : slot - split.left.to, is_run);
    if (is_root) {
        txn_page_unpin(txn, parts[0]);
    }
    txn_page_unpin(txn, parts[1]);
    return 0;
}

int split_and_insert(struct btree *tree, struct txn *txn, uint64_t leaf, struct btree_slice key,
                     struct btree_slice value, bool is_run)
{
    struct tree_path path;
    int error = path_begin(&path, tree, txn, key, leaf, true);
    if (error) {
        return error;
    }
    if (node_level(pool_frame_bytes(tree->root)) == 0) {
        error = path_check_leaf(&path, tree->root);
        return error ? error : split_leaf(&path, 0, tree->root, value, is_run);
    }
    for (;;) {
        uint32_t index;
        struct pool_frame *child;
        error = path_pin_child(&path, &index, &child);
        if (error) {
            break;
        }
        if (node_level(pool_frame_bytes(child)) == 0) {
            error = path_check_leaf(&path, child);
            if (!error) {
                error = split_leaf(&path, index, child, value, is_run);
            }
            txn_page_unpin(txn, child);
            break;
        }
        path_go_to(&path, child);
    }
    path_end(&path);
    return error;
}
