/* See mutate.h. Nothing here has to be right: an input that makes no sense is an input, too. */
#include "mutate.h"

#include "fuzz_file.h"
#include "image.h"

#include "base/bytes.h"
#include "base/random.h"

#include <string.h>

enum {
    BLOCKS_MAX = 4096, /* of an image that mutations look at */
    SCRIPT_SIZE_MAX = 512,
    HEAD_SIZE_MAX = 64,
    HEADER_BLOCKS = 32,
    FANOUT = 256,
    TREE_SLOTS = 32,
    TREE_SLOT_SIZE = 10,
    TREE_LINK = 24,
};

struct mutation {
    struct base_random random;
    uint8_t *image;
    uint64_t block_count;
    uint32_t blocks[BLOCKS_MAX]; /* those that hold anything but zeros */
    unsigned used_count;
};

static uint64_t below(struct mutation *mutation, uint64_t bound)
{
    return base_random_below(&mutation->random, bound);
}

static void find_blocks(struct mutation *mutation)
{
    static const uint8_t zeros[IMAGE_BLOCK_SIZE];

    mutation->used_count = 0;
    for (uint64_t block = 0; block < mutation->block_count && mutation->used_count < BLOCKS_MAX; block++) {
        if (!fuzz_file_is_touched(block * IMAGE_BLOCK_SIZE)) {
            block |= FUZZ_FILE_UNIT_SIZE / IMAGE_BLOCK_SIZE - 1;
        } else if (memcmp(mutation->image + block * IMAGE_BLOCK_SIZE, zeros, IMAGE_BLOCK_SIZE) != 0) {
            mutation->blocks[mutation->used_count++] = (uint32_t)block;
        }
    }
}

static uint32_t pick_block(struct mutation *mutation)
{
    return mutation->used_count == 0 ? 0 : mutation->blocks[below(mutation, mutation->used_count)];
}

static uint8_t *block_bytes(struct mutation *mutation, uint64_t block)
{
    fuzz_file_touch(block * IMAGE_BLOCK_SIZE, IMAGE_BLOCK_SIZE);
    return mutation->image + block * IMAGE_BLOCK_SIZE;
}

/* A place in a block, most often one that is not zero or next to one. */
static uint32_t pick_offset(struct mutation *mutation, const uint8_t *bytes)
{
    uint32_t offset = (uint32_t)below(mutation, IMAGE_BLOCK_SIZE);

    for (unsigned i = 0; i < IMAGE_BLOCK_SIZE && bytes[offset] == 0; i++) {
        offset = (offset + 1) % IMAGE_BLOCK_SIZE;
    }
    return (offset + (uint32_t)below(mutation, 4)) % IMAGE_BLOCK_SIZE;
}

/* A number that may mean something. */
static uint64_t pick_number(struct mutation *mutation, const uint8_t *bytes)
{
    switch (below(mutation, 8)) {
    case 0:
        return below(mutation, 64);
    case 1:
        return (UINT64_C(1) << below(mutation, 64)) - below(mutation, 3);
    case 2:
        return pick_block(mutation);
    case 3:
        return UINT64_MAX - below(mutation, 4);
    case 4:
        return below(mutation, IMAGE_BLOCK_SIZE);
    case 5:
        return base_get_le64(bytes + below(mutation, IMAGE_BLOCK_SIZE - 8));
    case 6:
        return mutation->block_count - below(mutation, 3);
    default:
        return base_random_next(&mutation->random);
    }
}

/* Changes an integer of that many bytes a little, or much. */
static void change_integer(struct mutation *mutation, const uint8_t *block, uint8_t *at, size_t size)
{
    uint8_t bytes[8] = {0};
    bool is_big_endian = below(mutation, 4) == 0;

    memcpy(bytes, at, size);
    uint64_t value = base_get_le64(bytes);
    if (is_big_endian) {
        value = __builtin_bswap64(value) >> (8 * (8 - size));
    }
    value = below(mutation, 2) ? value + below(mutation, 9) - 4 : pick_number(mutation, block);
    if (is_big_endian) {
        value = __builtin_bswap64(value) >> (8 * (8 - size));
    }
    base_put_le64(bytes, value);
    memcpy(at, bytes, size);
}

static void change_somewhere(struct mutation *mutation)
{
    uint8_t *bytes = block_bytes(mutation, pick_block(mutation));
    size_t size = (size_t)1 << below(mutation, 4);
    size_t offset = pick_offset(mutation, bytes) / size * size;

    change_integer(mutation, bytes, bytes + offset, size);
}

static void copy_bytes(struct mutation *mutation)
{
    uint8_t *to = block_bytes(mutation, pick_block(mutation));
    const uint8_t *from = block_bytes(mutation, below(mutation, 2) ? pick_block(mutation) : 0);
    size_t size = 1 + (size_t)below(mutation, 64), to_offset, from_offset;

    from = below(mutation, 2) ? to : from;
    to_offset = pick_offset(mutation, to) % (IMAGE_BLOCK_SIZE - size);
    from_offset = pick_offset(mutation, from) % (IMAGE_BLOCK_SIZE - size);
    memmove(to + to_offset, from + from_offset, size);
}

static void copy_block(struct mutation *mutation)
{
    uint8_t *from = block_bytes(mutation, pick_block(mutation)), *to = block_bytes(mutation, pick_block(mutation));
    uint8_t kept[IMAGE_BLOCK_SIZE];

    memcpy(kept, to, sizeof kept);
    memmove(to, from, IMAGE_BLOCK_SIZE);
    if (below(mutation, 2)) {
        memcpy(from, kept, sizeof kept);
    }
}

/* --- Nodes of the tree -------------------------------------------------------------------------------------------- */

static bool is_tree_node(const uint8_t *bytes)
{
    return (bytes[0] == 1 || bytes[0] == 2) && bytes[1] < 24 && base_get_le32(bytes + 16) <= 65536 &&
           base_get_le32(bytes + 12) <= 6550;
}

static uint8_t *pick_tree_node(struct mutation *mutation)
{
    for (unsigned tries = 0; tries < 16; tries++) {
        uint8_t *bytes = block_bytes(mutation, pick_block(mutation));
        if (is_tree_node(bytes)) {
            return bytes;
        }
    }
    return NULL;
}

static void change_tree_header(struct mutation *mutation, uint8_t *node)
{
    static const uint8_t fields[][2] = {{0, 1}, {1, 1},  {2, 2},  {4, 2},  {6, 2},
                                        {8, 2}, {10, 2}, {12, 4}, {16, 4}, {24, 8}};
    const uint8_t *field = fields[below(mutation, 10)];

    change_integer(mutation, node, node + field[0], field[1]);
}

static void change_slots(struct mutation *mutation, uint8_t *node)
{
    static const uint8_t fields[][2] = {{0, 4}, {4, 2}, {6, 2}, {8, 2}};
    uint32_t count = base_get_le32(node + 12), count_max = (IMAGE_BLOCK_SIZE - TREE_SLOTS) / TREE_SLOT_SIZE;
    const uint8_t *field = fields[below(mutation, 4)];
    uint8_t kept[TREE_SLOT_SIZE];

    count = count < count_max ? count : count_max;
    if (count == 0) {
        return;
    }
    uint8_t *slot = node + TREE_SLOTS + below(mutation, count) * TREE_SLOT_SIZE;
    uint8_t *other = node + TREE_SLOTS + below(mutation, count) * TREE_SLOT_SIZE;
    uint8_t *last = node + TREE_SLOTS + (size_t)(count - 1) * TREE_SLOT_SIZE;
    switch (below(mutation, 4)) {
    case 0:
        change_integer(mutation, node, slot + field[0], field[1]);
        break;
    case 1: /* two change places */
        memcpy(kept, slot, sizeof kept);
        memmove(slot, other, TREE_SLOT_SIZE);
        memcpy(other, kept, sizeof kept);
        break;
    case 2: /* one goes */
        memmove(slot, slot + TREE_SLOT_SIZE, (size_t)(last - slot));
        base_put_le32(node + 12, count - 1);
        break;
    default: /* one is there twice */
        if (count < count_max) {
            memmove(slot + TREE_SLOT_SIZE, slot, (size_t)(last + TREE_SLOT_SIZE - slot));
            base_put_le32(node + 12, count + 1);
        }
        break;
    }
}

/* What a row holds: keys and values stand in the heap. */
static void change_heap(struct mutation *mutation, uint8_t *node)
{
    uint32_t heap_start = base_get_le32(node + 16);

    if (heap_start < IMAGE_BLOCK_SIZE) {
        size_t size = (size_t)1 << below(mutation, 4);
        size_t offset = heap_start + (size_t)below(mutation, IMAGE_BLOCK_SIZE - heap_start);
        if (offset + size <= IMAGE_BLOCK_SIZE) {
            change_integer(mutation, node, node + offset, size);
        }
    }
}

static void change_tree_node(struct mutation *mutation)
{
    static void (*const changes[])(struct mutation *, uint8_t *) = {change_tree_header, change_slots, change_heap,
                                                                    change_heap};
    uint8_t *node = pick_tree_node(mutation);

    if (node) {
        changes[below(mutation, 4)](mutation, node);
    }
}

/* --- Map and bitmap ----------------------------------------------------------------------------------------------- */

/* The block of a root, or 0. */
static uint64_t find_root(struct mutation *mutation, enum image_superblock_field field)
{
    uint64_t block = base_get_le64(mutation->image + field);

    return block >= HEADER_BLOCKS && block < mutation->block_count ? block : 0;
}

static void change_map(struct mutation *mutation)
{
    uint64_t root = find_root(mutation, below(mutation, 4) ? IMAGE_MAP_BLOCK : IMAGE_BITMAP_BLOCK);

    if (root == 0) {
        return;
    }
    uint8_t *node = block_bytes(mutation, root), kept[16];
    uint8_t *entry = node + below(mutation, 12) * 16, *other = node + below(mutation, 12) * 16;
    switch (below(mutation, 4)) {
    case 0:
        change_integer(mutation, node, entry, 8);
        break;
    case 1:
        memcpy(kept, entry, sizeof kept);
        memmove(entry, other, 16);
        memcpy(other, kept, sizeof kept);
        break;
    case 2:
        memset(entry, 0, 16);
        break;
    default:
        node[below(mutation, IMAGE_BLOCK_SIZE)] = (uint8_t)below(mutation, 256);
        break;
    }
}

/* A page is there once more, under a number of its own, and perhaps something leads to it. */
static void clone_page(struct mutation *mutation)
{
    uint64_t root = find_root(mutation, IMAGE_MAP_BLOCK), page_size = base_get_le32(mutation->image + IMAGE_PAGE_SIZE);

    if (root == 0 || base_get_le32(mutation->image + IMAGE_MAP_HEIGHT) != 1 || page_size > 65536 ||
        page_size < IMAGE_BLOCK_SIZE) {
        return;
    }
    uint8_t *map = block_bytes(mutation, root), *entry, *empty;
    uint32_t from = 0, page = 1;
    for (unsigned tries = 0; tries < 64 && base_get_le64(map + (size_t)from * 16) == 0; tries++) {
        from = 1 + (uint32_t)below(mutation, 16);
    }
    while (page < FANOUT && base_get_le64(map + (size_t)page * 16) != 0) {
        page++;
    }
    entry = map + (size_t)from * 16;
    empty = map + (size_t)(page % FANOUT) * 16;
    uint64_t block = base_get_le64(entry), blocks = page_size / IMAGE_BLOCK_SIZE;
    uint64_t to = (HEADER_BLOCKS + below(mutation, mutation->block_count)) / blocks * blocks;
    if (page == FANOUT || block == 0 || block >= mutation->block_count || blocks > mutation->block_count - block ||
        to + blocks > mutation->block_count) {
        return;
    }
    fuzz_file_touch(to * IMAGE_BLOCK_SIZE, page_size);
    memmove(mutation->image + to * IMAGE_BLOCK_SIZE, mutation->image + block * IMAGE_BLOCK_SIZE, page_size);
    base_put_le64(empty, to);
    uint8_t *node = pick_tree_node(mutation);
    if (node && below(mutation, 2)) {
        base_put_le64(node + TREE_LINK, page);
    } else if (node) { /* as a link of the page before it, or a child's number, if one is there */
        for (uint32_t offset = TREE_LINK; offset + 8 <= IMAGE_BLOCK_SIZE; offset++) {
            if (base_get_le64(node + offset) == from) {
                base_put_le64(node + offset, page);
                break;
            }
        }
    }
}

static size_t mutate_image(struct mutation *mutation, uint8_t *data, size_t size, size_t size_max)
{
    static void (*const changes[])(struct mutation *) = {change_somewhere, copy_bytes,       copy_block,
                                                         change_tree_node, change_tree_node, change_tree_node,
                                                         change_map,       clone_page};

    fuzz_file_reset();
    image_decode((struct fuzz_reader){data, size});
    mutation->image = fuzz_file_bytes();
    mutation->block_count = fuzz_file_get_size() / IMAGE_BLOCK_SIZE;
    find_blocks(mutation);
    for (uint64_t i = 1 + below(mutation, 4); i > 0; i--) {
        changes[below(mutation, 8)](mutation);
    }
    return image_encode(data, size_max);
}

/* --- Whole inputs ------------------------------------------------------------------------------------------------- */

size_t mutate_input(const struct mutate_layout *layout, uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    static struct mutation mutation;
    static uint8_t result[1 << 20];
    size_t head_size = layout->fixed_size + layout->length_size;
    uint64_t choice;

    base_random_seed(&mutation.random, seed);
    choice = below(&mutation, 16);
    if (choice == 0 || size < head_size || size_max > sizeof result) {
        return LLVMFuzzerMutate(data, size, size_max);
    }
    size_t script_size = layout->length_size == 1 ? data[head_size - 1] : base_get_le16(data + head_size - 2);
    size_t script_max = layout->length_size == 1 ? 255 : SCRIPT_SIZE_MAX;
    script_size = script_size < size - head_size ? script_size : size - head_size;
    size_t image_size = size - head_size - script_size, used = head_size;
    memcpy(result, data, head_size);
    if (choice == 1) {
        result[below(&mutation, layout->fixed_size)] ^= (uint8_t)(1U << below(&mutation, 8));
    }
    memcpy(result + head_size, data + head_size, script_size < script_max ? script_size : script_max);
    script_size = script_size < script_max ? script_size : script_max;
    if (choice < 6) {
        script_size = LLVMFuzzerMutate(result + head_size, script_size, script_max);
    }
    result[head_size - layout->length_size] = (uint8_t)script_size;
    if (layout->length_size == 2) {
        result[head_size - 1] = (uint8_t)(script_size >> 8);
    }
    used += script_size;
    if (image_size > size_max || used > size_max - image_size) {
        return LLVMFuzzerMutate(data, size, size_max);
    }
    memcpy(result + used, data + size - image_size, image_size);
    size_t new_size = image_size;
    if (choice >= 6) {
        new_size = mutate_image(&mutation, result + used, image_size, size_max - used);
    }
    memcpy(data, result, used + new_size);
    return used + new_size;
}
