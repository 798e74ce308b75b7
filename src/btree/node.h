/* The layout of one node and how to look at it; docs/format.md section 4 is the same in words.
 *
 *      +--------+-----------------------+-- free --+---------------------------------------------+
 *      | header | slots, growing up ->  |          | <- heap, growing down: fences, rests, values |
 *      +--------+-----------------------+----------+---------------------------------------------+
 *      0        32                                 heap start                            page size
 *
 * A node covers the keys lower <= key < upper (its fence keys; no upper fence on the right edge of the tree). What both
 * fences begin with, all of its keys begin with: that prefix is not stored in the rows. What remains of a key is its
 * suffix: the first four bytes, the head, stand in the slot, the rest in the heap, followed there by the value.
 *
 * In an inner node a row is a separator and, as its value, the child to the right of it; the child to the left of the
 * first separator is the header's link. In a leaf the link is the next leaf.
 *
 * Functions here trust the node: node_check has seen it, or this program built it. */
#ifndef BEEFTREE_BTREE_NODE_H
#define BEEFTREE_BTREE_NODE_H

#include "base/assert.h"
#include "base/bytes.h"
#include "btree/btree.h"

enum node_type {
    NODE_TYPE_NONE = 0, /* also what a page gets that has just left the tree, so that a late reader sees it */
    NODE_TYPE_LEAF = 1,
    NODE_TYPE_INNER = 2,
};

enum node_field {
    NODE_TYPE = 0,         /* 1 byte */
    NODE_LEVEL = 1,        /* 1 byte: 0 for a leaf */
    NODE_PREFIX_SIZE = 2,  /* 2 bytes */
    NODE_LOWER_OFFSET = 4, /* 2 bytes each, of the fence keys in the heap */
    NODE_LOWER_SIZE = 6,
    NODE_UPPER_OFFSET = 8,
    NODE_UPPER_SIZE = 10,
    NODE_ROW_COUNT = 12,  /* 4 bytes */
    NODE_HEAP_START = 16, /* 4 bytes */
    NODE_DEAD_SIZE = 20,  /* 4 bytes: bytes of the heap that nothing uses any more */
    NODE_LINK = 24,       /* 8 bytes: a leaf's next leaf, an inner node's first child */
    NODE_HEADER_SIZE = 32,
};

enum node_slot_field {
    SLOT_HEAD = 0,        /* 4 bytes of key, zeros behind a shorter suffix */
    SLOT_OFFSET = 4,      /* 2 bytes: where rest and value are; 0 when both are empty */
    SLOT_SUFFIX_SIZE = 6, /* 2 bytes, the head's bytes included */
    SLOT_VALUE_SIZE = 8,  /* 2 bytes */
    SLOT_SIZE = 10,
};

_Static_assert(NODE_LINK + 8 == NODE_HEADER_SIZE, "the link ends the header");
_Static_assert(SLOT_VALUE_SIZE + 2 == SLOT_SIZE, "the value size ends the slot");

#define NODE_NO_UPPER   0xFFFFU /* upper size of a node on the right edge */
#define NODE_HEAD_SIZE  4U
#define NODE_CHILD_SIZE 8U
#define NODE_FENCES_MAX (2U * BTREE_KEY_SIZE_MAX)
#define NODE_FANOUT_ROOM                                                                                               \
    (SLOT_SIZE + BTREE_KEY_SIZE_MAX + NODE_CHILD_SIZE) /* one longest separator, prefix unknown                        \
                                                        */

/* What is left for rows and their slots, at least, whatever the fences are. */
static inline uint32_t node_capacity_min(uint32_t page_size)
{
    return page_size - NODE_HEADER_SIZE - NODE_FENCES_MAX;
}

static inline uint32_t node_row_size_max(uint32_t page_size)
{
    return node_capacity_min(page_size) / 4 - SLOT_SIZE;
}

static inline unsigned node_type(const uint8_t *node)
{
    return node[NODE_TYPE];
}

static inline unsigned node_level(const uint8_t *node)
{
    return node[NODE_LEVEL];
}

static inline uint32_t node_prefix_size(const uint8_t *node)
{
    return base_get_le16(node + NODE_PREFIX_SIZE);
}

static inline struct btree_slice node_lower(const uint8_t *node)
{
    return (struct btree_slice){node + base_get_le16(node + NODE_LOWER_OFFSET), base_get_le16(node + NODE_LOWER_SIZE)};
}

static inline bool node_has_upper(const uint8_t *node)
{
    return base_get_le16(node + NODE_UPPER_SIZE) != NODE_NO_UPPER;
}

/* Empty when there is none: no upper fence is ever an empty key. */
static inline struct btree_slice node_upper(const uint8_t *node)
{
    if (!node_has_upper(node)) {
        return (struct btree_slice){node, 0};
    }
    return (struct btree_slice){node + base_get_le16(node + NODE_UPPER_OFFSET), base_get_le16(node + NODE_UPPER_SIZE)};
}

static inline uint32_t node_count(const uint8_t *node)
{
    return base_get_le32(node + NODE_ROW_COUNT);
}

static inline uint32_t node_heap_start(const uint8_t *node)
{
    return base_get_le32(node + NODE_HEAP_START);
}

static inline uint32_t node_dead_size(const uint8_t *node)
{
    return base_get_le32(node + NODE_DEAD_SIZE);
}

static inline uint64_t node_link(const uint8_t *node)
{
    return base_get_le64(node + NODE_LINK);
}

static inline uint32_t slot_offset(uint32_t index)
{
    return NODE_HEADER_SIZE + SLOT_SIZE * index;
}

static inline const uint8_t *node_slot(const uint8_t *node, uint32_t index)
{
    return node + slot_offset(index);
}

static inline uint32_t node_suffix_size(const uint8_t *node, uint32_t index)
{
    return base_get_le16(node_slot(node, index) + SLOT_SUFFIX_SIZE);
}

static inline uint32_t node_key_size(const uint8_t *node, uint32_t index)
{
    return node_prefix_size(node) + node_suffix_size(node, index);
}

static inline uint32_t suffix_rest_size(uint32_t suffix_size)
{
    return suffix_size > NODE_HEAD_SIZE ? suffix_size - NODE_HEAD_SIZE : 0;
}

static inline const uint8_t *node_rest(const uint8_t *node, uint32_t index)
{
    return node + base_get_le16(node_slot(node, index) + SLOT_OFFSET);
}

static inline struct btree_slice node_value(const uint8_t *node, uint32_t index)
{
    return (struct btree_slice){node_rest(node, index) + suffix_rest_size(node_suffix_size(node, index)),
                                base_get_le16(node_slot(node, index) + SLOT_VALUE_SIZE)};
}

/* Bytes of the heap that a row takes. */
static inline uint32_t node_heap_size(const uint8_t *node, uint32_t index)
{
    return suffix_rest_size(node_suffix_size(node, index)) + base_get_le16(node_slot(node, index) + SLOT_VALUE_SIZE);
}

/* Between slots and heap. */
static inline uint32_t node_gap(const uint8_t *node)
{
    return node_heap_start(node) - slot_offset(node_count(node));
}

/* What compaction would leave free. */
static inline uint32_t node_free(const uint8_t *node)
{
    return node_gap(node) + node_dead_size(node);
}

/* Slots and heap bytes of all rows. */
static inline uint32_t node_used(const uint8_t *node, uint32_t page_size)
{
    uint32_t fences = (uint32_t)node_lower(node).size + (uint32_t)node_upper(node).size;
    return page_size - NODE_HEADER_SIZE - fences - node_free(node);
}

/* Room for one longest separator between these fences: what every inner node keeps free. */
static inline uint32_t node_separator_room(const uint8_t *node)
{
    return NODE_FANOUT_ROOM - node_prefix_size(node);
}

/* Child number index of node_count + 1. */
static inline uint64_t node_child(const uint8_t *node, uint32_t index)
{
    return index == 0 ? node_link(node) : base_get_le64(node_value(node, index - 1).bytes);
}

static inline uint32_t key_head(const uint8_t *suffix, size_t size)
{
    if (size >= NODE_HEAD_SIZE) {
        return base_get_be32(suffix);
    }
    uint8_t padded[NODE_HEAD_SIZE] = {0};
    for (size_t i = 0; i < size; i++) {
        padded[i] = suffix[i];
    }
    return base_get_be32(padded);
}

/* Like memcmp, but by words and in line. Keys are short and have mostly just been put together byte by byte: a vector
 * load then has to wait until all those stores are done, which took a sixth of the time of a listing. */
static inline int bytes_compare(const uint8_t *left, const uint8_t *right, size_t size)
{
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t left_word = base_get_be64(left + i), right_word = base_get_be64(right + i);
        if (left_word != right_word) {
            return left_word < right_word ? -1 : 1;
        }
    }
    if (i + 4 <= size) {
        uint32_t left_word = base_get_be32(left + i), right_word = base_get_be32(right + i);
        if (left_word != right_word) {
            return left_word < right_word ? -1 : 1;
        }
        i += 4;
    }
    for (; i < size; i++) {
        if (left[i] != right[i]) {
            return left[i] < right[i] ? -1 : 1;
        }
    }
    return 0;
}

/* A key before its own extensions. */
static inline int key_compare(struct btree_slice left, struct btree_slice right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = bytes_compare(left.bytes, right.bytes, size);
    if (order != 0) {
        return order;
    }
    return left.size < right.size ? -1 : left.size > right.size;
}

static inline bool key_equal(struct btree_slice left, struct btree_slice right)
{
    return left.size == right.size && bytes_compare(left.bytes, right.bytes, left.size) == 0;
}

static inline uint32_t key_common_size(struct btree_slice left, struct btree_slice right)
{
    const uint8_t *left_bytes = left.bytes, *right_bytes = right.bytes;
    size_t limit = left.size < right.size ? left.size : right.size, size = 0;
    while (size < limit && left_bytes[size] == right_bytes[size]) {
        size++;
    }
    return (uint32_t)size;
}

/* Prefix of every key between two fences. */
static inline uint32_t key_prefix_size(struct btree_slice lower, bool has_upper, struct btree_slice upper)
{
    return has_upper ? key_common_size(lower, upper) : 0;
}

/* Copies row index's whole key; the buffer takes BTREE_KEY_SIZE_MAX bytes. */
struct btree_slice node_copy_key(const uint8_t *node, uint32_t index, uint8_t *buffer);

/* lower <= key < upper. */
bool node_covers(const uint8_t *node, struct btree_slice key);
/* lower < key <= upper: where the rows just before a key are. */
bool node_covers_before(const uint8_t *node, struct btree_slice key);

/* First row >= key (row count: none), and whether it is that key. The key begins with the node's prefix. */
uint32_t node_lower_bound(const uint8_t *node, struct btree_slice key, bool *ret_found);

/* Which child of an inner node covers a key, or (before) the keys just before it. */
uint32_t node_child_index(const uint8_t *node, struct btree_slice key, bool before);

/* NULL, or why these bytes are no node that the functions of this layer may touch. */
const char *node_check(uint64_t page, const uint8_t *node, uint32_t page_size);

/* The shortest key s with left < s <= right. The buffer takes BTREE_KEY_SIZE_MAX bytes. */
struct btree_slice separator_between(struct btree_slice left, struct btree_slice right, uint8_t *buffer);

#endif
