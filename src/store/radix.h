/* The radix trees on disk (docs/format.md, section 3): page map and content bitmap. Immutable between checkpoints; an
 * update writes changed nodes to new blocks and yields a new root. */
#ifndef BEEFTREE_STORE_RADIX_H
#define BEEFTREE_STORE_RADIX_H

#include "base/message.h"
#include "node_cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RADIX_FANOUT          256U
#define RADIX_ENTRY_SIZE      16U
#define RADIX_HEIGHT_MAX      7U
#define RADIX_PAGES_PER_LEAF  256U
#define RADIX_BLOCKS_PER_LEAF 32768U
#define RADIX_PAGE_NUMBER_MAX ((UINT64_C(1) << 40) - 1)

struct radix_tree {
    enum node_kind kind;
    uint32_t height; /* 0: empty, 1: the root is a leaf node */
    struct node_ref root;
};

/* Number of leaf nodes that a tree of that height can have; 0 for height 0. */
uint64_t radix_leaf_count(uint32_t height);

/* Entry of a map leaf or inner node. */
struct node_ref radix_get_entry(const uint8_t *node, uint32_t index);
void radix_put_entry(uint8_t *node, uint32_t index, struct node_ref entry);

/* Looks one page up in a map; an absent page gives block 0. */
int radix_find_page(struct node_cache *cache, const struct radix_tree *tree, uint64_t page, struct node_ref *ret_entry,
                    struct base_reason *ret_reason);

/* Reads a whole leaf node; zeros when it is absent. */
int radix_read_leaf(struct node_cache *cache, const struct radix_tree *tree, uint64_t leaf, uint8_t *ret_node,
                    struct base_reason *ret_reason);

/* Visits the nodes of a tree from the root down, in ascending order. `node` comes before the node is read (so that it
 * can refuse a block); `leaf` gets the bytes of nodes of level 0. Either may be NULL. Both answer 0 or an error that
 * ends the walk, having set the reason. With `damaged`, -EUCLEAN only ends the walk of that node's part of the tree. */
struct radix_visitor {
    void *context;
    int (*node)(void *context, uint64_t block, struct base_reason *ret_reason);
    int (*leaf)(void *context, uint64_t leaf, const uint8_t *node, struct base_reason *ret_reason);
    void (*damaged)(void *context, const struct base_reason *reason);
};

int radix_walk(struct node_cache *cache, const struct radix_tree *tree, const struct radix_visitor *visitor,
               struct base_reason *ret_reason);

/* One change of a leaf node. Map: page `first` within the leaf gets `entry` (block 0: none). Bitmap: `count` bits from
 * `first` become `set`. */
struct radix_change {
    uint64_t leaf;
    uint64_t order; /* of two changes of one leaf the greater comes later */
    uint32_t first;
    uint32_t count;
    struct node_ref entry;
    bool set;
};

struct radix_update {
    struct node_cache *cache;
    struct os_file *file;
    void *context;
    /* Applies the changes of one leaf to its bytes; says whether they differ now. */
    int (*change_leaf)(void *context, uint8_t *node, const struct radix_change *changes, size_t count,
                       bool *ret_changed);
    int (*allocate)(void *context, uint64_t *ret_block); /* a block for a node */
    int (*release)(void *context, uint64_t block);       /* a node of the old tree that the new one lacks */
    uint64_t nodes_written;
};

/* Sorts the changes and makes the tree that they lead to. On failure blocks allocated so far stay allocated (the caller
 * gives the store up). */
int radix_apply(struct radix_update *update, const struct radix_tree *old_tree, struct radix_change *changes,
                size_t count, struct radix_tree *ret_tree, struct base_reason *ret_reason);

#endif
