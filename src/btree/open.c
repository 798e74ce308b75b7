/* The tree as a whole: format, open, sizes, counters. */
#include "internal.h"

#include "base/message.h"

#include <stdlib.h>

int tree_damaged(uint64_t page, const char *reason)
{
    base_message(BASE_MESSAGE_ERROR, "page %llu %s", (unsigned long long)page, reason);
    return -EUCLEAN;
}

int btree_format(struct txn *txn)
{
    struct pool_frame *frame;
    int error = txn_page_new(txn, &frame);
    if (error) {
        return error;
    }
    BASE_ASSERT(pool_frame_page(frame) == STORE_ROOT_PAGE);
    uint8_t header[NODE_HEADER_SIZE] = {0};
    uint32_t page_size = pool_get_page_size(txn_engine_pool(txn_get_engine(txn)));
    header[NODE_TYPE] = NODE_TYPE_LEAF;
    base_put_le16(header + NODE_UPPER_SIZE, NODE_NO_UPPER);
    base_put_le32(header + NODE_HEAP_START, page_size);
    txn_edit_begin(txn, frame);
    txn_edit_put(txn, frame, 0, header, sizeof header);
    txn_edit_end(txn, frame);
    txn_page_unpin(txn, frame);
    return 0;
}

static int allocate_buffers(struct btree *tree)
{
    for (int i = 0; i < 3; i++) {
        tree->images[i] = calloc(1, tree->page_size);
        if (!tree->images[i]) {
            return -ENOMEM;
        }
    }
    /* Two full nodes and one row more. */
    tree->sequence.capacity = 2 * ((tree->page_size - NODE_HEADER_SIZE) / SLOT_SIZE) + 1;
    tree->sequence.rows = calloc(tree->sequence.capacity, sizeof *tree->sequence.rows);
    return tree->sequence.rows ? 0 : -ENOMEM;
}

int btree_open(struct txn_engine *engine, struct btree **ret_tree)
{
    struct btree *tree = calloc(1, sizeof *tree);
    if (!tree) {
        return -ENOMEM;
    }
    tree->engine = engine;
    tree->pool = txn_engine_pool(engine);
    tree->page_size = pool_get_page_size(tree->pool);
    int error = allocate_buffers(tree);
    if (!error) {
        error = pool_pin(tree->pool, STORE_ROOT_PAGE, POOL_SHARED, &tree->root);
        if (error) {
            tree->root = NULL;
        }
    }
    if (error) {
        btree_close(tree);
        return error;
    }
    atomic_store_explicit(&tree->height, node_level(pool_frame_bytes(tree->root)) + 1, memory_order_relaxed);
    pool_unlatch(tree->root, POOL_SHARED);
    *ret_tree = tree;
    return 0;
}

void btree_close(struct btree *tree)
{
    if (!tree) {
        return;
    }
    if (tree->root) {
        pool_unpin(tree->pool, tree->root, POOL_PIN_ONLY);
    }
    for (int i = 0; i < 3; i++) {
        free(tree->images[i]);
    }
    free(tree->sequence.rows);
    free(tree);
}

size_t btree_row_size_max(uint32_t page_size)
{
    return node_row_size_max(page_size);
}

uint32_t btree_pages_per_change(const struct btree *tree)
{
    /* A restructuring pass changes the root and on each level below it at most two pages: a node and the part split
     * off, or a pair of siblings. A root that splits makes two pages where there was no level, and counts here as
     * grown. */
    uint32_t height = atomic_load_explicit(&tree->height, memory_order_relaxed) + 1;
    return 1 + 2 * height;
}

void btree_get_statistics(struct btree *tree, struct btree_statistics *ret_statistics)
{
    struct btree_counters *counters = &tree->counters;
    *ret_statistics = (struct btree_statistics){
        .height = atomic_load_explicit(&tree->height, memory_order_relaxed),
        .splits = atomic_load_explicit(&counters->splits, memory_order_relaxed),
        .merges = atomic_load_explicit(&counters->merges, memory_order_relaxed),
        .borrows = atomic_load_explicit(&counters->borrows, memory_order_relaxed),
        .root_grows = atomic_load_explicit(&counters->root_grows, memory_order_relaxed),
        .root_shrinks = atomic_load_explicit(&counters->root_shrinks, memory_order_relaxed),
        .descents = atomic_load_explicit(&counters->descents, memory_order_relaxed),
        .cursor_hops = atomic_load_explicit(&counters->cursor_hops, memory_order_relaxed),
    };
}
