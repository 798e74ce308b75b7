/* Building whole nodes: a sequence names rows of existing nodes (and one from elsewhere) without copying them, a plan
 * says which of them become a node between which fences, and plan_build writes its image: compact, rows from the end of
 * the page downwards behind the fences, zeros in the free space. The writer only. */
#include "internal.h"

void sequence_reset(struct node_sequence *sequence)
{
    sequence->count = 0;
}

void sequence_add(struct node_sequence *sequence, const uint8_t *node, uint32_t from, uint32_t to)
{
    BASE_ASSERT(sequence->count + (to - from) <= sequence->capacity);
    for (uint32_t i = from; i < to; i++) {
        sequence->rows[sequence->count++] = (struct node_row){node, i};
    }
}

void sequence_add_literal(struct node_sequence *sequence, struct btree_slice key, struct btree_slice value)
{
    BASE_ASSERT(sequence->count < sequence->capacity);
    sequence->literal_key = key;
    sequence->literal_value = value;
    sequence->rows[sequence->count++] = (struct node_row){NULL, 0};
}

struct btree_slice sequence_copy_key(const struct node_sequence *sequence, uint32_t index, uint8_t *buffer)
{
    struct node_row row = sequence->rows[index];
    if (row.node) {
        return node_copy_key(row.node, row.slot, buffer);
    }
    memcpy(buffer, sequence->literal_key.bytes, sequence->literal_key.size);
    return (struct btree_slice){buffer, sequence->literal_key.size};
}

uint32_t sequence_key_size(const struct node_sequence *sequence, uint32_t index)
{
    struct node_row row = sequence->rows[index];
    return row.node ? node_key_size(row.node, row.slot) : (uint32_t)sequence->literal_key.size;
}

struct btree_slice sequence_value(const struct node_sequence *sequence, uint32_t index)
{
    struct node_row row = sequence->rows[index];
    return row.node ? node_value(row.node, row.slot) : sequence->literal_value;
}

uint32_t sequence_row_used(const struct node_sequence *sequence, uint32_t index, uint32_t prefix_size)
{
    return SLOT_SIZE + suffix_rest_size(sequence_key_size(sequence, index) - prefix_size) +
           (uint32_t)sequence_value(sequence, index).size;
}

struct node_plan plan_like(const uint8_t *node, const struct node_sequence *sequence)
{
    return (struct node_plan){
        .level = node_level(node),
        .lower = node_lower(node),
        .upper = node_upper(node),
        .has_upper = node_has_upper(node),
        .link = node_link(node),
        .sequence = sequence,
    };
}

uint32_t plan_prefix_size(const struct node_plan *plan)
{
    return key_prefix_size(plan->lower, plan->has_upper, plan->upper);
}

uint32_t plan_used(const struct node_plan *plan)
{
    uint32_t prefix_size = plan_prefix_size(plan), used = 0;
    for (uint32_t i = plan->from; i < plan->to; i++) {
        used += sequence_row_used(plan->sequence, i, prefix_size);
    }
    return used;
}

int64_t plan_free(const struct node_plan *plan, uint32_t page_size)
{
    size_t fences = plan->lower.size + (plan->has_upper ? plan->upper.size : 0);
    return (int64_t)page_size - NODE_HEADER_SIZE - (int64_t)fences - plan_used(plan);
}

bool plan_fits(const struct node_plan *plan, uint32_t page_size, uint32_t separators)
{
    int64_t room = (int64_t)separators * (NODE_FANOUT_ROOM - plan_prefix_size(plan));
    return plan_free(plan, page_size) >= (plan->level > 0 ? room : 0);
}

static uint32_t put_fence(uint8_t *image, uint32_t heap_start, int field_offset, int field_size,
                          struct btree_slice fence)
{
    heap_start -= (uint32_t)fence.size;
    if (fence.size > 0) {
        memcpy(image + heap_start, fence.bytes, fence.size);
    }
    base_put_le16(image + field_offset, (uint16_t)(fence.size > 0 ? heap_start : 0));
    base_put_le16(image + field_size, (uint16_t)fence.size);
    return heap_start;
}

/* One row into slot index of an image whose prefix is set; returns the new heap start. */
static uint32_t put_row(uint8_t *image, uint32_t heap_start, uint32_t index, const struct node_sequence *sequence,
                        uint32_t row_index, uint32_t prefix_size)
{
    struct node_row row = sequence->rows[row_index];
    uint8_t *slot = image + slot_offset(index);
    if (row.node && node_prefix_size(row.node) == prefix_size) {
        uint32_t heap_size = node_heap_size(row.node, row.slot);
        heap_start -= heap_size;
        memcpy(image + heap_start, node_rest(row.node, row.slot), heap_size);
        memcpy(slot, node_slot(row.node, row.slot), SLOT_SIZE);
        base_put_le16(slot + SLOT_OFFSET, (uint16_t)(heap_size > 0 ? heap_start : 0));
        return heap_start;
    }
    uint8_t buffer[BTREE_KEY_SIZE_MAX];
    struct btree_slice key = sequence_copy_key(sequence, row_index, buffer);
    struct btree_slice value = sequence_value(sequence, row_index);
    uint32_t suffix_size = (uint32_t)key.size - prefix_size, rest_size = suffix_rest_size(suffix_size);
    uint32_t head_size = suffix_size - rest_size;
    heap_start -= rest_size + (uint32_t)value.size;
    memset(slot, 0, SLOT_SIZE);
    memcpy(slot + SLOT_HEAD, buffer + prefix_size, head_size);
    base_put_le16(slot + SLOT_OFFSET, (uint16_t)(rest_size + value.size > 0 ? heap_start : 0));
    base_put_le16(slot + SLOT_SUFFIX_SIZE, (uint16_t)suffix_size);
    base_put_le16(slot + SLOT_VALUE_SIZE, (uint16_t)value.size);
    memcpy(image + heap_start, buffer + prefix_size + head_size, rest_size);
    if (value.size > 0) {
        memcpy(image + heap_start + rest_size, value.bytes, value.size);
    }
    return heap_start;
}

void plan_build(const struct node_plan *plan, uint32_t page_size, uint8_t *image)
{
    BASE_ASSERT(plan_free(plan, page_size) >= 0);
    uint32_t prefix_size = plan_prefix_size(plan), count = plan->to - plan->from, heap_start = page_size;
    image[NODE_TYPE] = plan->level == 0 ? NODE_TYPE_LEAF : NODE_TYPE_INNER;
    image[NODE_LEVEL] = (uint8_t)plan->level;
    base_put_le16(image + NODE_PREFIX_SIZE, (uint16_t)prefix_size);
    heap_start = put_fence(image, heap_start, NODE_LOWER_OFFSET, NODE_LOWER_SIZE, plan->lower);
    heap_start = put_fence(image, heap_start, NODE_UPPER_OFFSET, NODE_UPPER_SIZE,
                           plan->has_upper ? plan->upper : (struct btree_slice){NULL, 0});
    if (!plan->has_upper) {
        base_put_le16(image + NODE_UPPER_SIZE, NODE_NO_UPPER);
    }
    for (uint32_t i = 0; i < count; i++) {
        heap_start = put_row(image, heap_start, i, plan->sequence, plan->from + i, prefix_size);
    }
    base_put_le32(image + NODE_ROW_COUNT, count);
    base_put_le32(image + NODE_HEAP_START, heap_start);
    base_put_le32(image + NODE_DEAD_SIZE, 0);
    base_put_le64(image + NODE_LINK, plan->link);
    memset(image + slot_offset(count), 0, heap_start - slot_offset(count));
}
