/* What the files of this layer share: the tree, the ways into it, the building of nodes, the two restructuring passes.
 *
 * Readers hold at most one page latch at a time. To go from a page to one that it names, a reader pins the other page
 * while it holds the first one's latch (so that it can't be freed before), lets the latch go, latches the other and
 * looks whether it is what the first page promised: level and fence keys. If not, either the writer has been there (the
 * first page's change number tells, and the reader starts again from the root) or the file is damaged. So links that
 * lie can neither deadlock readers with the writer nor lead in circles: levels fall, fence keys rise.
 *
 * The writer pins without latches and latches exclusively only what it changes: parent, left, right, all open at once
 * while rows move between them. */
#ifndef BEEFTREE_BTREE_INTERNAL_H
#define BEEFTREE_BTREE_INTERNAL_H

#include "node.h"

#include <errno.h>
#include <stdatomic.h>

#define BTREE_HINT_COUNT 32U

/* Where the writer last inserted, by the first byte of the key: ascending runs. */
struct btree_hint {
    uint64_t page; /* 0: none */
    uint32_t slot; /* of the last insert */
    uint32_t run;  /* inserts in a row that each came right behind the one before */
};

/* Where a descent last found keys of a group (alike in their first 8 bytes), and which part of the group that leaf
 * covered, by the 8 bytes that follow: low to high, roughly. The fields are written one after the other without a lock;
 * what they say is only a proposal (hint.c). */
#define BTREE_PLACE_SET_COUNT 128U
#define BTREE_PLACE_WAYS      2U /* a rename in one directory goes back and forth between two */

struct btree_place {
    _Atomic uint64_t group, low, high, page; /* page 0: none */
};

struct btree_place_set {
    struct btree_place places[BTREE_PLACE_WAYS];
    _Atomic uint32_t last; /* the one that was kept last */
};

struct btree_counters {
    _Atomic uint64_t splits, merges, borrows, root_grows, root_shrinks, descents, cursor_hops;
};

struct node_row {
    const uint8_t *node; /* NULL: the sequence's literal row */
    uint32_t slot;
};

/* Rows in key order, out of one or two nodes and one row from elsewhere: what a split or merge distributes anew. */
struct node_sequence {
    struct node_row *rows;
    uint32_t count, capacity;
    struct btree_slice literal_key, literal_value;
};

struct btree {
    struct txn_engine *engine;
    struct pool *pool;
    uint32_t page_size;
    struct pool_frame *root; /* pinned while the tree is open */
    _Atomic uint32_t height;
    struct btree_counters counters;
    struct btree_place_set places[BTREE_PLACE_SET_COUNT];
    /* The writer's, under the writer lock. */
    struct btree_hint hints[BTREE_HINT_COUNT];
    uint8_t *images[3]; /* a page each: new left, right and root; also whole rows on their way into the heap */
    struct node_sequence sequence;
};

/* A node that is yet to be built. The slices may point into pages and buffers, not into the image. */
struct node_plan {
    unsigned level;
    struct btree_slice lower, upper;
    bool has_upper;
    uint64_t link;
    const struct node_sequence *sequence;
    uint32_t from, to; /* rows [from, to) of the sequence */
};

/* --- open.c ------------------------------------------------------------------------------------------------------- */

/* Sends the message and returns -EUCLEAN. */
int tree_damaged(uint64_t page, const char *reason);
static inline void count_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- descend.c ---------------------------------------------------------------------------------------------------- */

/* Read scope for callers without a transaction. */
void tree_read_begin(struct btree *tree, struct txn *txn);
void tree_read_end(struct btree *tree, struct txn *txn);

/* The leaf that covers a key, or (before) the keys just before it; pinned and, without a transaction, latched shared.
 */
int tree_descend(struct btree *tree, struct txn *txn, struct btree_slice key, bool before,
                 struct pool_frame **ret_leaf);
/* The leaf behind leaf, whose upper fence the caller has copied. Lets go of leaf in any case. */
int tree_next_leaf(struct btree *tree, struct txn *txn, struct pool_frame *leaf, struct btree_slice upper,
                   struct pool_frame **ret_leaf);
void tree_leave(struct btree *tree, struct txn *txn, struct pool_frame *frame);
/* A leaf seen before, if it is still in memory and unchanged since; pinned, and latched without a transaction. */
bool tree_revisit(struct btree *tree, struct txn *txn, uint64_t page, uint64_t change, struct pool_frame **ret_leaf);
/* The same for a leaf seen before that, changed or not, covers a key. */
bool tree_revisit_covering(struct btree *tree, struct txn *txn, uint64_t page, struct btree_slice key,
                           struct pool_frame **ret_leaf);

/* For the writer: pins a child of parent and checks that it is what parent says. */
int tree_pin_child(struct btree *tree, struct txn *txn, struct pool_frame *parent, uint32_t index,
                   struct pool_frame **ret_child);

/* --- hint.c ------------------------------------------------------------------------------------------------------- */

/* Like tree_descend to the leaf that covers a key, but without a descent if the memory of the last ones serves. */
int tree_find_leaf(struct btree *tree, struct txn *txn, struct btree_slice key, struct pool_frame **ret_leaf);
/* Its parts: by memory alone; and what to remember after a descent. */
bool tree_find_place(struct btree *tree, struct txn *txn, struct btree_slice key, struct pool_frame **ret_leaf);
void tree_keep_place(struct btree *tree, struct btree_slice key, struct pool_frame *leaf);
/* The writer has inserted a row. */
void hint_inserted(struct btree *tree, struct btree_slice key, struct pool_frame *leaf, uint32_t slot, bool is_run);
/* Whether an insert at slot of leaf goes on with an ascending run. */
bool hint_is_run(const struct btree *tree, struct btree_slice key, struct pool_frame *leaf, uint32_t slot);

/* --- node_build.c ------------------------------------------------------------------------------------------------- */

void sequence_reset(struct node_sequence *sequence);
void sequence_add(struct node_sequence *sequence, const uint8_t *node, uint32_t from, uint32_t to);
void sequence_add_literal(struct node_sequence *sequence, struct btree_slice key, struct btree_slice value);
struct btree_slice sequence_copy_key(const struct node_sequence *sequence, uint32_t index, uint8_t *buffer);
uint32_t sequence_key_size(const struct node_sequence *sequence, uint32_t index);
struct btree_slice sequence_value(const struct node_sequence *sequence, uint32_t index);
/* Slot and heap bytes that a row takes in a node with this prefix. */
uint32_t sequence_row_used(const struct node_sequence *sequence, uint32_t index, uint32_t prefix_size);

/* A plan with the level, fences and link of a node; rows none yet. */
struct node_plan plan_like(const uint8_t *node, const struct node_sequence *sequence);
uint32_t plan_prefix_size(const struct node_plan *plan);
/* Slots and heap bytes of its rows. */
uint32_t plan_used(const struct node_plan *plan);
/* Bytes that stay free; negative: it does not fit. */
int64_t plan_free(const struct node_plan *plan, uint32_t page_size);
/* Free bytes beyond what such a node must keep free: an inner node room for `separators` separators. */
bool plan_fits(const struct node_plan *plan, uint32_t page_size, uint32_t separators);
void plan_build(const struct node_plan *plan, uint32_t page_size, uint8_t *image);

/* --- node_edit.c: the frame is open for edits --------------------------------------------------------------------- */

/* Whether a leaf takes the row; replace: instead of row slot. */
bool leaf_takes(const uint8_t *node, struct btree_slice key, struct btree_slice value, bool replace, uint32_t slot);
void edit_insert_row(struct btree *tree, struct txn *txn, struct pool_frame *frame, uint32_t slot,
                     struct btree_slice key, struct btree_slice value);
void edit_replace_value(struct btree *tree, struct txn *txn, struct pool_frame *frame, uint32_t slot,
                        struct btree_slice value);
void edit_remove_rows(struct txn *txn, struct pool_frame *frame, uint32_t from, uint32_t to);
/* Keeps the first count rows, with a new upper fence and (a leaf) next leaf. False, and nothing done, when the prefix
 * would change or the heap has no room. */
bool edit_truncate(struct txn *txn, struct pool_frame *frame, uint32_t count, struct btree_slice upper, uint64_t link);
/* Another separator in place of row slot, with the same child. The node has room. */
void edit_replace_separator(struct btree *tree, struct txn *txn, struct pool_frame *frame, uint32_t slot,
                            struct btree_slice separator);

/* --- split.c ------------------------------------------------------------------------------------------------------ */

/* Two neighbours that a sequence of rows is to be distributed to. Before a place is chosen: level, the left one's lower
 * fence, the right one's upper fence, the links. */
struct split {
    struct node_plan left, right;
    struct btree_slice separator; /* in separator_bytes */
    uint8_t separator_bytes[BTREE_KEY_SIZE_MAX];
};

/* Both parts between the fences of one node, and with its link. */
void split_init(struct split *split, const uint8_t *node, const struct node_sequence *sequence);
/* The place from low to high of the shortest separator within an eighth of the bytes around the middle, the nearest of
 * equals. A place: of a leaf the first row that goes right, of an inner node the row that goes up. */
uint32_t split_find_middle(const struct node_plan *plan, uint32_t low, uint32_t high);
/* Takes the wanted place if both parts fit then, else the nearest from low to high where they do. False: there is none.
 * An inner part that covers key gets room for two more separators, the other one for one. */
bool split_choose(struct split *split, uint32_t page_size, uint32_t low, uint32_t high, uint32_t wanted,
                  struct btree_slice key);

/* The writer's way down while it restructures. */
struct tree_path {
    struct btree *tree;
    struct txn *txn;
    struct btree_slice key;
    uint64_t leaf;           /* page that the key was found to belong to: where the pass has to end */
    bool is_insert;          /* splits at the right edge where the key is there */
    bool has_split;          /* path_pin_child has just split what it returned */
    struct pool_frame *node; /* an inner node with room for two separators, pinned (the root's pin is the tree's) */
};

/* Stands on the root, splitting it first if it is an inner node without room. On failure there is nothing to end. */
int path_begin(struct tree_path *path, struct btree *tree, struct txn *txn, struct btree_slice key, uint64_t leaf,
               bool is_insert);
void path_end(struct tree_path *path);
/* The child that covers the key, pinned; an inner one without room has been split. */
int path_pin_child(struct tree_path *path, uint32_t *ret_index, struct pool_frame **ret_child);
/* Goes on to a child (takes over its pin). */
void path_go_to(struct tree_path *path, struct pool_frame *child);
/* -EUCLEAN unless the leaf at the end is the one that was found before: leaves are also found without their parents,
 * and only these say with certainty what a leaf covers. */
int path_check_leaf(const struct tree_path *path, struct pool_frame *leaf);

/* Inserts a row (or puts a longer value) that its leaf has no room for; is_run: it goes on with an ascending run. */
int split_and_insert(struct btree *tree, struct txn *txn, uint64_t leaf, struct btree_slice key,
                     struct btree_slice value, bool is_run);

/* --- merge.c ------------------------------------------------------------------------------------------------------ */

/* Whether a node with so many bytes in use should be merged or filled up. */
bool node_is_thin(uint32_t used, uint32_t page_size);

struct node_cut {
    uint32_t from, to; /* rows of the leaf that go */
};

/* Removes rows of the leaf that covers key, merging or filling up thin nodes on the way down. */
int merge_and_remove(struct btree *tree, struct txn *txn, uint64_t leaf, struct btree_slice key, struct node_cut cut);

/* --- delete.c ----------------------------------------------------------------------------------------------------- */

/* Removes rows of a leaf that the writer has pinned for key; lets go of the leaf. */
int tree_remove_rows(struct btree *tree, struct txn *txn, struct btree_slice key, struct pool_frame *leaf,
                     struct node_cut cut);

#endif
