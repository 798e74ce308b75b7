/* Changes inside one node, in place where there is room between slots and heap, else by a compact new image. The frame
 * is open for edits (exclusively latched); every byte goes through txn_edit_*. */
#include "internal.h"

/* Bytes of the heap that a row takes in this node. */
static uint32_t heap_size_of(const uint8_t *node, struct btree_slice key, struct btree_slice value)
{
    return suffix_rest_size((uint32_t)key.size - node_prefix_size(node)) + (uint32_t)value.size;
}

bool leaf_takes(const uint8_t *node, struct btree_slice key, struct btree_slice value, bool replace, uint32_t slot)
{
    uint32_t need = heap_size_of(node, key, value);
    return replace ? need <= node_free(node) + node_heap_size(node, slot) : need + SLOT_SIZE <= node_free(node);
}

/* Row count, heap start and dead bytes stand side by side: one edit. */
static void put_counts(struct txn *txn, struct pool_frame *frame, uint32_t count, uint32_t heap_start,
                       uint32_t dead_size)
{
    uint8_t fields[NODE_LINK - NODE_ROW_COUNT];
    base_put_le32(fields, count);
    base_put_le32(fields + (NODE_HEAP_START - NODE_ROW_COUNT), heap_start);
    base_put_le32(fields + (NODE_DEAD_SIZE - NODE_ROW_COUNT), dead_size);
    txn_edit_put(txn, frame, NODE_ROW_COUNT, fields, sizeof fields);
}

/* A compact image with the literal row before row slot (remove: instead of it). */
static void rebuild_with(struct btree *tree, struct txn *txn, struct pool_frame *frame, uint32_t slot, uint32_t remove,
                         struct btree_slice key, struct btree_slice value)
{
    const uint8_t *node = pool_frame_bytes(frame);
    struct node_sequence *sequence = &tree->sequence;
    sequence_reset(sequence);
    sequence_add(sequence, node, 0, slot);
    sequence_add_literal(sequence, key, value);
    sequence_add(sequence, node, slot + remove, node_count(node));
    struct node_plan plan = plan_like(node, sequence);
    plan.to = sequence->count;
    plan_build(&plan, tree->page_size, tree->images[0]);
    txn_edit_image(txn, frame, tree->images[0]);
}

void edit_insert_row(struct btree *tree, struct txn *txn, struct pool_frame *frame, uint32_t slot,
                     struct btree_slice key, struct btree_slice value)
{
    const uint8_t *node = pool_frame_bytes(frame);
    uint32_t prefix_size = node_prefix_size(node), count = node_count(node);
    uint32_t suffix_size = (uint32_t)key.size - prefix_size, rest_size = suffix_rest_size(suffix_size);
    uint32_t heap_size = rest_size + (uint32_t)value.size;
    if (node_gap(node) < SLOT_SIZE + heap_size) {
        rebuild_with(tree, txn, frame, slot, 0, key, value);
        return;
    }
    const uint8_t *suffix = (const uint8_t *)key.bytes + prefix_size;
    uint32_t heap_start = node_heap_start(node) - heap_size;
    if (heap_size > 0) {
        uint8_t *row = tree->images[0];
        memcpy(row, suffix + (suffix_size - rest_size), rest_size);
        if (value.size > 0) {
            memcpy(row + rest_size, value.bytes, value.size);
        }
        txn_edit_put(txn, frame, heap_start, row, heap_size);
    }
    if (slot < count) {
        txn_edit_move(txn, frame, slot_offset(slot + 1), slot_offset(slot), SLOT_SIZE * (count - slot));
    }
    uint8_t bytes[SLOT_SIZE] = {0};
    memcpy(bytes + SLOT_HEAD, suffix, suffix_size - rest_size);
    base_put_le16(bytes + SLOT_OFFSET, (uint16_t)(heap_size > 0 ? heap_start : 0));
    base_put_le16(bytes + SLOT_SUFFIX_SIZE, (uint16_t)suffix_size);
    base_put_le16(bytes + SLOT_VALUE_SIZE, (uint16_t)value.size);
    txn_edit_put(txn, frame, slot_offset(slot), bytes, SLOT_SIZE);
    put_counts(txn, frame, count + 1, heap_start, node_dead_size(node));
}

/* A longer value: rest and value move to new heap bytes. */
static void replace_longer(struct btree *tree, struct txn *txn, struct pool_frame *frame, uint32_t slot,
                           struct btree_slice value)
{
    const uint8_t *node = pool_frame_bytes(frame);
    uint32_t rest_size = suffix_rest_size(node_suffix_size(node, slot)), old_size = node_heap_size(node, slot);
    uint32_t heap_size = rest_size + (uint32_t)value.size;
    if (node_gap(node) < heap_size) {
        uint8_t key_buffer[BTREE_KEY_SIZE_MAX];
        rebuild_with(tree, txn, frame, slot, 1, node_copy_key(node, slot, key_buffer), value);
        return;
    }
    uint32_t heap_start = node_heap_start(node) - heap_size;
    uint8_t *row = tree->images[0];
    memcpy(row, node_rest(node, slot), rest_size);
    memcpy(row + rest_size, value.bytes, value.size);
    txn_edit_put(txn, frame, heap_start, row, heap_size);
    uint8_t bytes[SLOT_SIZE];
    memcpy(bytes, node_slot(node, slot), SLOT_SIZE);
    base_put_le16(bytes + SLOT_OFFSET, (uint16_t)heap_start);
    base_put_le16(bytes + SLOT_VALUE_SIZE, (uint16_t)value.size);
    txn_edit_put(txn, frame, slot_offset(slot), bytes, SLOT_SIZE);
    put_counts(txn, frame, node_count(node), heap_start, node_dead_size(node) + old_size);
}

/* A value no longer than before stays where it is; what is left over is dead. */
static void replace_shorter(struct txn *txn, struct pool_frame *frame, uint32_t slot, struct btree_slice value)
{
    const uint8_t *node = pool_frame_bytes(frame);
    struct btree_slice old = node_value(node, slot);
    uint32_t offset = (uint32_t)((const uint8_t *)old.bytes - node);
    uint32_t saved = (uint32_t)(old.size - value.size);
    if (value.size > 0) {
        txn_edit_put(txn, frame, offset, value.bytes, (uint32_t)value.size);
    }
    if (saved == 0) {
        return;
    }
    uint8_t bytes[SLOT_SIZE];
    memcpy(bytes, node_slot(node, slot), SLOT_SIZE);
    base_put_le16(bytes + SLOT_VALUE_SIZE, (uint16_t)value.size);
    if (node_heap_size(node, slot) == saved) {
        base_put_le16(bytes + SLOT_OFFSET, 0);
    }
    txn_edit_put(txn, frame, slot_offset(slot), bytes, SLOT_SIZE);
    put_counts(txn, frame, node_count(node), node_heap_start(node), node_dead_size(node) + saved);
}

void edit_replace_value(struct btree *tree, struct txn *txn, struct pool_frame *frame, uint32_t slot,
                        struct btree_slice value)
{
    if (value.size > node_value(pool_frame_bytes(frame), slot).size) {
        replace_longer(tree, txn, frame, slot, value);
    } else {
        replace_shorter(txn, frame, slot, value);
    }
}

void edit_remove_rows(struct txn *txn, struct pool_frame *frame, uint32_t from, uint32_t to)
{
    const uint8_t *node = pool_frame_bytes(frame);
    uint32_t count = node_count(node), heap_start = node_heap_start(node), dead_size = node_dead_size(node);
    for (uint32_t i = from; i < to; i++) {
        uint32_t heap_size = node_heap_size(node, i);
        if (heap_size > 0 && node_rest(node, i) == node + heap_start) {
            heap_start += heap_size; /* the youngest row of the heap: its bytes are free at once */
        } else {
            dead_size += heap_size;
        }
    }
    if (to < count) {
        txn_edit_move(txn, frame, slot_offset(from), slot_offset(to), SLOT_SIZE * (count - to));
    }
    put_counts(txn, frame, count - (to - from), heap_start, dead_size);
}

bool edit_truncate(struct txn *txn, struct pool_frame *frame, uint32_t count, struct btree_slice upper, uint64_t link)
{
    const uint8_t *node = pool_frame_bytes(frame);
    uint32_t heap_start = node_heap_start(node);
    if (key_common_size(node_lower(node), upper) != node_prefix_size(node) ||
        heap_start - slot_offset(count) < upper.size) {
        return false;
    }
    uint32_t dead_size = node_dead_size(node) + (uint32_t)node_upper(node).size;
    for (uint32_t i = count; i < node_count(node); i++) {
        dead_size += node_heap_size(node, i);
    }
    heap_start -= (uint32_t)upper.size;
    txn_edit_put(txn, frame, heap_start, upper.bytes, (uint32_t)upper.size);
    uint8_t fields[NODE_HEADER_SIZE - NODE_UPPER_OFFSET];
    base_put_le16(fields, (uint16_t)heap_start);
    base_put_le16(fields + (NODE_UPPER_SIZE - NODE_UPPER_OFFSET), (uint16_t)upper.size);
    base_put_le32(fields + (NODE_ROW_COUNT - NODE_UPPER_OFFSET), count);
    base_put_le32(fields + (NODE_HEAP_START - NODE_UPPER_OFFSET), heap_start);
    base_put_le32(fields + (NODE_DEAD_SIZE - NODE_UPPER_OFFSET), dead_size);
    base_put_le64(fields + (NODE_LINK - NODE_UPPER_OFFSET), link);
    txn_edit_put(txn, frame, NODE_UPPER_OFFSET, fields, sizeof fields);
    return true;
}

void edit_replace_separator(struct btree *tree, struct txn *txn, struct pool_frame *frame, uint32_t slot,
                            struct btree_slice separator)
{
    uint8_t child[NODE_CHILD_SIZE];
    memcpy(child, node_value(pool_frame_bytes(frame), slot).bytes, sizeof child);
    edit_remove_rows(txn, frame, slot, slot + 1);
    edit_insert_row(tree, txn, frame, slot, separator, (struct btree_slice){child, sizeof child});
}
