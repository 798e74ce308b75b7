/* Whether bytes that came from the disk are a node: after this every access of node.h stays inside the page, and what
 * the split and merge code counts on (row sizes, room in inner nodes, no empty nodes) holds. */
#include "node.h"

#include "base/message.h"

#include <errno.h>

/* The heap part of something: inside the heap, and 0 when there is nothing. */
static bool is_in_heap(uint32_t offset, uint32_t size, uint32_t heap_start, uint32_t page_size)
{
    return size == 0 ? offset == 0 : offset >= heap_start && offset + size <= page_size;
}

static const char *check_header(uint64_t page, const uint8_t *node, uint32_t page_size)
{
    unsigned type = node_type(node), level = node_level(node);
    if (type != NODE_TYPE_LEAF && type != NODE_TYPE_INNER) {
        return "is no tree node (type)";
    }
    if ((type == NODE_TYPE_LEAF) != (level == 0) || level >= BTREE_HEIGHT_MAX) {
        return "has an impossible level";
    }
    uint32_t count = node_count(node), heap_start = node_heap_start(node);
    if (count > (page_size - NODE_HEADER_SIZE) / SLOT_SIZE || heap_start > page_size ||
        heap_start < slot_offset(count)) {
        return "has an impossible row count or heap start";
    }
    if (node_dead_size(node) > page_size - heap_start) {
        return "has more dead bytes than heap";
    }
    if (count == 0 && (type == NODE_TYPE_INNER || page != STORE_ROOT_PAGE)) {
        return "is an empty node";
    }
    if (type == NODE_TYPE_INNER && node_link(node) == 0) {
        return "has no first child";
    }
    if (type == NODE_TYPE_LEAF && (node_link(node) == 0) != !node_has_upper(node)) {
        return "has a next leaf and no upper fence, or the reverse";
    }
    return NULL;
}

static const char *check_fences(uint64_t page, const uint8_t *node, uint32_t page_size)
{
    uint32_t heap_start = node_heap_start(node);
    uint32_t lower_size = base_get_le16(node + NODE_LOWER_SIZE), upper_size = base_get_le16(node + NODE_UPPER_SIZE);
    bool has_upper = node_has_upper(node);
    if (lower_size > BTREE_KEY_SIZE_MAX || (has_upper && (upper_size > BTREE_KEY_SIZE_MAX || upper_size == 0))) {
        return "has a fence key of impossible size";
    }
    if (!is_in_heap(base_get_le16(node + NODE_LOWER_OFFSET), lower_size, heap_start, page_size) ||
        !is_in_heap(base_get_le16(node + NODE_UPPER_OFFSET), has_upper ? upper_size : 0, heap_start, page_size)) {
        return "has a fence key outside the heap";
    }
    struct btree_slice lower = node_lower(node), upper = node_upper(node);
    if (has_upper && key_compare(lower, upper) >= 0) {
        return "has fence keys out of order";
    }
    if (node_prefix_size(node) != key_prefix_size(lower, has_upper, upper)) {
        return "has a prefix that is not what its fences share";
    }
    if (page == STORE_ROOT_PAGE && (lower.size != 0 || has_upper)) {
        return "is the root and has fences";
    }
    return NULL;
}

static const char *check_slot(const uint8_t *node, uint32_t index, uint32_t page_size)
{
    const uint8_t *slot = node_slot(node, index);
    uint32_t suffix_size = node_suffix_size(node, index), value_size = base_get_le16(slot + SLOT_VALUE_SIZE);
    uint32_t key_size = node_prefix_size(node) + suffix_size;
    if (key_size == 0 || key_size > BTREE_KEY_SIZE_MAX) {
        return "has a key of impossible size";
    }
    if (node_type(node) == NODE_TYPE_INNER ? value_size != NODE_CHILD_SIZE
                                           : key_size + value_size > node_row_size_max(page_size)) {
        return "has a value of impossible size";
    }
    if (!is_in_heap(base_get_le16(slot + SLOT_OFFSET), suffix_rest_size(suffix_size) + value_size,
                    node_heap_start(node), page_size)) {
        return "has a row outside the heap";
    }
    for (uint32_t i = suffix_size; i < NODE_HEAD_SIZE; i++) {
        if (slot[SLOT_HEAD + i] != 0) {
            return "has a key head with bytes behind the key";
        }
    }
    return NULL;
}

static const char *check_rows(const uint8_t *node, uint32_t page_size)
{
    uint32_t count = node_count(node), total = 0;
    bool is_inner = node_type(node) == NODE_TYPE_INNER;
    for (uint32_t i = 0; i < count; i++) {
        const char *reason = check_slot(node, i, page_size);
        if (reason) {
            return reason;
        }
        if (is_inner && node_child(node, i + 1) == 0) {
            return "has no page number for a child";
        }
        total += node_heap_size(node, i); /* below 2^32: at most 6,550 rows of 16 KiB */
    }
    uint32_t fences = (uint32_t)(node_lower(node).size + node_upper(node).size);
    if (total + fences + node_dead_size(node) != page_size - node_heap_start(node)) {
        return "has a heap whose parts don't add up";
    }
    if (is_inner && node_free(node) < node_separator_room(node)) {
        return "is an inner node without room for a separator";
    }
    return NULL;
}

/* Ascending, and between the fences. All keys share the prefix, so suffixes decide. */
static const char *check_order(const uint8_t *node)
{
    uint8_t key_buffers[2][BTREE_KEY_SIZE_MAX];
    uint32_t count = node_count(node);
    struct btree_slice before = node_lower(node);
    bool may_equal = node_type(node) == NODE_TYPE_LEAF; /* a leaf may have its lower fence as a key */
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && base_get_be32(node_slot(node, i - 1)) < base_get_be32(node_slot(node, i))) {
            before.size = 0;
            continue;
        }
        if (i > 0 && before.size == 0) {
            before = node_copy_key(node, i - 1, key_buffers[(i - 1) % 2]);
        }
        struct btree_slice key = node_copy_key(node, i, key_buffers[i % 2]);
        int order = key_compare(before, key);
        if (order > 0 || (order == 0 && !may_equal)) {
            return "has keys out of order";
        }
        may_equal = false;
        before = key;
    }
    if (count > 0 && node_has_upper(node) &&
        key_compare(node_copy_key(node, count - 1, key_buffers[0]), node_upper(node)) >= 0) {
        return "has a key beyond its upper fence";
    }
    return NULL;
}

const char *node_check(uint64_t page, const uint8_t *node, uint32_t page_size)
{
    const char *reason = check_header(page, node, page_size);
    if (!reason) {
        reason = check_fences(page, node, page_size);
    }
    if (!reason) {
        reason = check_rows(node, page_size);
    }
    return reason ? reason : check_order(node);
}

int btree_check_page(void *context, uint64_t page, const void *bytes, uint32_t page_size)
{
    (void)context;
    const char *reason = node_check(page, bytes, page_size);
    if (!reason) {
        return 0;
    }
    base_message(BASE_MESSAGE_ERROR, "page %llu %s", (unsigned long long)page, reason);
    return -EUCLEAN;
}
