/* See radix.h. Node `index` of level L covers the leaf nodes index << 8L and on; entry i of an inner node leads to the
 * node index * 256 + i one level below. Heights are bounded by RADIX_HEIGHT_MAX, which bounds every recursion here.
 *
 * An update descends only where something changes. It may raise the height: levels above the old root are made of nodes
 * that exist nowhere yet and whose first entry leads down to the old root. */
#include "radix.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RADIX_BITS 8U

_Static_assert(RADIX_FANOUT *RADIX_ENTRY_SIZE == NODE_SIZE, "entries fill a node");
_Static_assert(RADIX_BLOCKS_PER_LEAF == NODE_SIZE * 8, "bits fill a node");

uint64_t radix_leaf_count(uint32_t height)
{
    return height == 0 ? 0 : UINT64_C(1) << (RADIX_BITS * (height - 1));
}

struct node_ref radix_get_entry(const uint8_t *node, uint32_t index)
{
    const uint8_t *entry = node + (size_t)index * RADIX_ENTRY_SIZE;

    return (struct node_ref){base_get_le64(entry), base_get_le64(entry + 8)};
}

void radix_put_entry(uint8_t *node, uint32_t index, struct node_ref entry)
{
    uint8_t *bytes = node + (size_t)index * RADIX_ENTRY_SIZE;

    base_put_le64(bytes, entry.block);
    base_put_le64(bytes + 8, entry.checksum);
}

/* Descends to the reference of a leaf node. */
static int radix_find_leaf(struct node_cache *cache, const struct radix_tree *tree, uint64_t leaf,
                           struct node_ref *ret_ref, struct base_reason *ret_reason)
{
    struct node_ref ref = tree->root;

    if (leaf >= radix_leaf_count(tree->height)) {
        *ret_ref = (struct node_ref){0, 0};
        return 0;
    }
    for (uint32_t level = tree->height - 1; level > 0 && ref.block != 0; level--) {
        struct node_id id = {tree->kind, level, leaf >> (RADIX_BITS * level)};
        uint32_t index = (uint32_t)(leaf >> (RADIX_BITS * (level - 1))) % RADIX_FANOUT;
        int result = node_cache_read_entry(cache, id, ref, index, &ref, ret_reason);
        if (result < 0) {
            return result;
        }
    }
    *ret_ref = ref;
    return 0;
}

int radix_find_page(struct node_cache *cache, const struct radix_tree *tree, uint64_t page, struct node_ref *ret_entry,
                    struct base_reason *ret_reason)
{
    uint64_t leaf = page / RADIX_PAGES_PER_LEAF;
    struct node_ref ref;
    int result = radix_find_leaf(cache, tree, leaf, &ref, ret_reason);

    if (result < 0) {
        return result;
    }
    if (ref.block == 0) {
        *ret_entry = ref;
        return 0;
    }
    return node_cache_read_entry(cache, (struct node_id){tree->kind, 0, leaf}, ref,
                                 (uint32_t)(page % RADIX_PAGES_PER_LEAF), ret_entry, ret_reason);
}

int radix_read_leaf(struct node_cache *cache, const struct radix_tree *tree, uint64_t leaf, uint8_t *ret_node,
                    struct base_reason *ret_reason)
{
    struct node_ref ref;
    int result = radix_find_leaf(cache, tree, leaf, &ref, ret_reason);

    if (result < 0) {
        return result;
    }
    if (ref.block == 0) {
        memset(ret_node, 0, NODE_SIZE);
        return 0;
    }
    return node_cache_read(cache, (struct node_id){tree->kind, 0, leaf}, ref, ret_node, ret_reason);
}

/* --- Walk --------------------------------------------------------------------------------------------------------- */

struct radix_walker {
    struct node_cache *cache;
    const struct radix_tree *tree;
    const struct radix_visitor *visitor;
    struct base_reason *reason;
    uint8_t (*nodes)[NODE_SIZE]; /* one per level */
};

static int radix_walk_node(struct radix_walker *walker, uint32_t level, uint64_t index, struct node_ref ref);

static int radix_walk_children(struct radix_walker *walker, uint32_t level, uint64_t index, struct node_ref ref)
{
    const uint8_t *node = walker->nodes[level];
    int result = 0;

    for (uint32_t i = 0; i < RADIX_FANOUT && result == 0; i++) {
        struct node_ref child = radix_get_entry(node, i);
        if (child.block != 0) {
            result = radix_walk_node(walker, level - 1, index * RADIX_FANOUT + i, child);
        } else if (child.checksum != 0) {
            base_reason_set(walker->reason, "node of level %u at block %llu: absent entry %u has a checksum", level,
                            (unsigned long long)ref.block, i);
            result = -EUCLEAN;
        }
    }
    return result;
}

static int radix_walk_node(struct radix_walker *walker, uint32_t level, uint64_t index, struct node_ref ref)
{
    const struct radix_visitor *visitor = walker->visitor;
    uint8_t *node = walker->nodes[level];
    int result = 0;

    if (visitor->node) {
        result = visitor->node(visitor->context, ref.block, walker->reason);
    }
    if (result == 0) {
        result = node_cache_read(walker->cache, (struct node_id){walker->tree->kind, level, index}, ref, node,
                                 walker->reason);
    }
    if (result == 0 && level == 0) {
        result = visitor->leaf ? visitor->leaf(visitor->context, index, node, walker->reason) : 0;
    } else if (result == 0) {
        result = radix_walk_children(walker, level, index, ref);
    }
    if (result == -EUCLEAN && visitor->damaged) {
        visitor->damaged(visitor->context, walker->reason);
        result = 0;
    }
    return result;
}

int radix_walk(struct node_cache *cache, const struct radix_tree *tree, const struct radix_visitor *visitor,
               struct base_reason *ret_reason)
{
    struct radix_walker walker = {cache, tree, visitor, ret_reason, NULL};

    if (tree->height == 0) {
        return 0;
    }
    BASE_ASSERT(tree->height <= RADIX_HEIGHT_MAX);
    walker.nodes = malloc((size_t)tree->height * NODE_SIZE);
    if (!walker.nodes) {
        base_reason_set(ret_reason, "out of memory");
        return -ENOMEM;
    }
    int result = radix_walk_node(&walker, tree->height - 1, 0, tree->root);
    free(walker.nodes);
    return result;
}

/* --- Update ------------------------------------------------------------------------------------------------------- */

struct radix_builder {
    struct radix_update *update;
    const struct radix_tree *old_tree;
    struct base_reason *reason;
    uint8_t (*nodes)[NODE_SIZE]; /* one per level */
};

static int radix_compare_changes(const void *left, const void *right)
{
    const struct radix_change *a = left;
    const struct radix_change *b = right;

    if (a->leaf != b->leaf) {
        return a->leaf < b->leaf ? -1 : 1;
    }
    return a->order < b->order ? -1 : a->order > b->order;
}

static bool radix_is_zero(const uint8_t *node)
{
    return node[0] == 0 && memcmp(node, node + 1, NODE_SIZE - 1) == 0;
}

/* Puts a changed node on a new block, or nowhere when nothing is left in it. */
static int radix_write_node(struct radix_builder *builder, struct node_id id, const uint8_t *node,
                            struct node_ref *ret_ref)
{
    struct radix_update *update = builder->update;
    struct node_ref ref = {0, 0};

    if (radix_is_zero(node)) {
        *ret_ref = ref;
        return 0;
    }
    int result = update->allocate(update->context, &ref.block);
    if (result < 0) {
        base_reason_set(builder->reason, "no block for a node: %s", strerror(-result));
        return result;
    }
    ref.checksum = node_checksum(id, node);
    result = os_file_write(update->file, node, NODE_SIZE, ref.block * STORE_BLOCK_SIZE);
    if (result < 0) {
        base_reason_set(builder->reason, "a node can't be written to block %llu: %s", (unsigned long long)ref.block,
                        strerror(-result));
        return result;
    }
    update->nodes_written++;
    node_cache_put(update->cache, id, ref, node);
    *ret_ref = ref;
    return 0;
}

static int radix_apply_node(struct radix_builder *builder, struct node_id id, struct node_ref old,
                            const struct radix_change *changes, size_t count, struct node_ref *ret_ref);

/* Applies changes to the children of an inner node whose bytes are in builder->nodes. */
static int radix_apply_children(struct radix_builder *builder, struct node_id id, bool first_child_is_new,
                                const struct radix_change *changes, size_t count, bool *changed)
{
    uint8_t *node = builder->nodes[id.level];
    const uint32_t shift = RADIX_BITS * (id.level - 1);
    size_t begin = 0;

    while (begin < count || first_child_is_new) {
        uint64_t child = first_child_is_new ? 0 : changes[begin].leaf >> shift;
        uint32_t index = (uint32_t)(child % RADIX_FANOUT);
        struct node_ref old = radix_get_entry(node, index);
        struct node_ref new;
        size_t end = begin;
        while (end < count && changes[end].leaf >> shift == child) {
            end++;
        }
        int result = radix_apply_node(builder, (struct node_id){id.kind, id.level - 1, child}, old, changes + begin,
                                      end - begin, &new);
        if (result < 0) {
            return result;
        }
        if (new.block != old.block) {
            radix_put_entry(node, index, new);
            *changed = true;
        }
        first_child_is_new = false;
        begin = end;
    }
    return 0;
}

static int radix_apply_node(struct radix_builder *builder, struct node_id id, struct node_ref old,
                            const struct radix_change *changes, size_t count, struct node_ref *ret_ref)
{
    struct radix_update *update = builder->update;
    const uint32_t old_height = builder->old_tree->height;
    bool above_old_root = old_height > 0 && id.index == 0 && id.level >= old_height;
    uint8_t *node = builder->nodes[id.level];
    bool changed = above_old_root;
    int result = 0;

    if (count == 0 && !above_old_root) {
        *ret_ref = old;
        return 0;
    }
    if (old.block != 0) {
        result = node_cache_read(update->cache, id, old, node, builder->reason);
    } else {
        memset(node, 0, NODE_SIZE);
        if (above_old_root && id.level == old_height) {
            radix_put_entry(node, 0, builder->old_tree->root);
        }
    }
    if (result == 0) {
        result = id.level == 0 ? update->change_leaf(update->context, node, changes, count, &changed)
                               : radix_apply_children(builder, id, above_old_root && id.level > old_height, changes,
                                                      count, &changed);
    }
    if (result < 0) {
        return result;
    }
    if (!changed) {
        *ret_ref = old;
        return 0;
    }
    result = radix_write_node(builder, id, node, ret_ref);
    if (result == 0 && old.block != 0) {
        result = update->release(update->context, old.block);
    }
    return result;
}

int radix_apply(struct radix_update *update, const struct radix_tree *old_tree, struct radix_change *changes,
                size_t count, struct radix_tree *ret_tree, struct base_reason *ret_reason)
{
    struct radix_builder builder = {update, old_tree, ret_reason, NULL};
    struct radix_tree new_tree = *old_tree;

    if (count == 0) {
        *ret_tree = new_tree;
        return 0;
    }
    qsort(changes, count, sizeof *changes, radix_compare_changes);
    if (new_tree.height == 0) {
        new_tree.height = 1;
    }
    while (changes[count - 1].leaf >= radix_leaf_count(new_tree.height)) {
        new_tree.height++;
    }
    BASE_ASSERT(new_tree.height <= RADIX_HEIGHT_MAX);
    builder.nodes = malloc((size_t)new_tree.height * NODE_SIZE);
    if (!builder.nodes) {
        base_reason_set(ret_reason, "out of memory");
        return -ENOMEM;
    }
    struct node_ref old_root = new_tree.height == old_tree->height ? old_tree->root : (struct node_ref){0, 0};
    int result = radix_apply_node(&builder, (struct node_id){new_tree.kind, new_tree.height - 1, 0}, old_root, changes,
                                  count, &new_tree.root);
    free(builder.nodes);
    if (result < 0) {
        return result;
    }
    if (new_tree.root.block == 0) {
        new_tree.height = 0;
    }
    *ret_tree = new_tree;
    return 0;
}
