/* Looking at a node: keys, fences, search. Layout: node.h. No locks: the caller has the page latched or is the writer.
 */
#include "node.h"

struct btree_slice node_copy_key(const uint8_t *node, uint32_t index, uint8_t *buffer)
{
    uint32_t prefix_size = node_prefix_size(node), suffix_size = node_suffix_size(node, index);
    uint32_t rest_size = suffix_rest_size(suffix_size);
    memcpy(buffer, node_lower(node).bytes, prefix_size);
    memcpy(buffer + prefix_size, node_slot(node, index) + SLOT_HEAD, suffix_size - rest_size);
    memcpy(buffer + prefix_size + (suffix_size - rest_size), node_rest(node, index), rest_size);
    return (struct btree_slice){buffer, prefix_size + suffix_size};
}

bool node_covers(const uint8_t *node, struct btree_slice key)
{
    return key_compare(node_lower(node), key) <= 0 && (!node_has_upper(node) || key_compare(key, node_upper(node)) < 0);
}

bool node_covers_before(const uint8_t *node, struct btree_slice key)
{
    return key_compare(node_lower(node), key) < 0 && (!node_has_upper(node) || key_compare(key, node_upper(node)) <= 0);
}

/* Row index against a suffix with the same head. */
static int compare_rest(const uint8_t *node, uint32_t index, const uint8_t *suffix, uint32_t size)
{
    uint32_t row_size = node_suffix_size(node, index);
    uint32_t row_rest_size = suffix_rest_size(row_size), rest_size = suffix_rest_size(size);
    uint32_t common_size = row_rest_size < rest_size ? row_rest_size : rest_size;
    int order = bytes_compare(node_rest(node, index), suffix + NODE_HEAD_SIZE, common_size);
    if (order != 0) {
        return order;
    }
    return row_size < size ? -1 : row_size > size;
}

static inline uint32_t head_at(const uint8_t *node, uint32_t index)
{
    return base_get_be32(node_slot(node, index) + SLOT_HEAD);
}

/* First row from low to high whose head is not less; without branches on what is compared. */
static uint32_t head_lower_bound(const uint8_t *node, uint32_t low, uint32_t high, uint32_t head)
{
    uint32_t base = low, left = high - low;
    while (left > 1) {
        uint32_t half = left / 2;
        base += head_at(node, base + half - 1) < head ? half : 0;
        left -= half;
    }
    return base + (left == 1 && head_at(node, base) < head);
}

/* Behind the rows that have the same head as row low, which are few. */
static uint32_t end_of_head(const uint8_t *node, uint32_t low, uint32_t count, uint32_t head)
{
    uint32_t step = 1;
    while (low + step < count && head_at(node, low + step) == head) {
        low += step;
        step *= 2;
    }
    uint32_t high = low + step < count ? low + step : count;
    return head == UINT32_MAX ? high : head_lower_bound(node, low + 1, high, head + 1);
}

uint32_t node_lower_bound(const uint8_t *node, struct btree_slice key, bool *ret_found)
{
    uint32_t prefix_size = node_prefix_size(node), count = node_count(node);
    BASE_ASSERT(key.size >= prefix_size);
    const uint8_t *suffix = (const uint8_t *)key.bytes + prefix_size;
    uint32_t size = (uint32_t)key.size - prefix_size;
    uint32_t head = key_head(suffix, size);
    uint32_t low = head_lower_bound(node, 0, count, head), high = low, middle = low;
    if (low < count && head_at(node, low) == head) {
        high = end_of_head(node, low, count, head);
        middle = high - 1; /* first the last one: rows that come in order go behind it */
    }
    *ret_found = false;
    while (low < high) {
        int order = compare_rest(node, middle, suffix, size);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
        middle = low + (high - low) / 2;
    }
    return low;
}

uint32_t node_child_index(const uint8_t *node, struct btree_slice key, bool before)
{
    bool found;
    uint32_t index = node_lower_bound(node, key, &found);
    return found && !before ? index + 1 : index;
}
