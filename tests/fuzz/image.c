/* See image.h. What it knows of the format it has from docs/format.md. */
#include "image.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "fuzz_file.h"

#include <string.h>

enum {
    RUN_HEADER_SIZE = 6,
    RUN_GAP_MIN = 8, /* zeros that are worth ending a run */
    SLOT_B_BLOCK = 16,
    HEADER_BLOCKS = 32,
    NODE_VISITS_MAX = 4096,
    FANOUT = 256,
    MAP_KIND = 0x4D,
    BITMAP_KIND = 0x42,
    HEIGHT_MAX = 7,
    LOG_RUNS_MAX = 32,
    RING_BLOCKS_SMALL = 40,
};

#define SUPERBLOCK_SEED UINT64_C(0x5355504552424C4B)

void image_decode(struct fuzz_reader reader)
{
    uint8_t *image = fuzz_file_bytes();

    while (reader.size > 0) {
        size_t block = fuzz_take_16(&reader) % IMAGE_BLOCKS_MAX;
        size_t offset = fuzz_take_16(&reader) % IMAGE_BLOCK_SIZE;
        size_t size = fuzz_take_16(&reader);
        const uint8_t *bytes;
        size = fuzz_take_bytes(&reader, size, &bytes);
        size_t begin = block * IMAGE_BLOCK_SIZE + offset;
        if (size > IMAGE_SIZE_MAX - begin) {
            size = IMAGE_SIZE_MAX - begin;
        }
        if (size > 0) {
            memcpy(image + begin, bytes, size);
            fuzz_file_touch(begin, size);
        }
    }
    uint64_t block_count = base_get_le64(image + IMAGE_BLOCK_COUNT);
    block_count = block_count < HEADER_BLOCKS      ? HEADER_BLOCKS
                  : block_count > IMAGE_BLOCKS_MAX ? IMAGE_BLOCKS_MAX
                                                   : block_count;
    fuzz_file_set_size(block_count * IMAGE_BLOCK_SIZE);
}

/* The end of the run of bytes from begin on: before the next RUN_GAP_MIN zeros. */
static size_t find_run_end(const uint8_t *image, size_t begin, size_t end)
{
    size_t zeros = 0, at = begin;

    while (at < end && at - begin < UINT16_MAX && zeros < RUN_GAP_MIN) {
        zeros = image[at++] == 0 ? zeros + 1 : 0;
    }
    return at - zeros;
}

size_t image_encode(uint8_t *data, size_t size_max)
{
    const uint8_t *image = fuzz_file_bytes();
    size_t used = 0;
    uint64_t end = fuzz_file_get_size();

    if (end > IMAGE_SIZE_MAX) {
        return 0;
    }
    for (size_t at = 0; at < end;) {
        if (!fuzz_file_is_touched(at)) {
            at = (at / FUZZ_FILE_UNIT_SIZE + 1) * FUZZ_FILE_UNIT_SIZE;
            continue;
        }
        if (image[at] == 0) {
            at++;
            continue;
        }
        size_t size = find_run_end(image, at, end) - at;
        if (used + size + RUN_HEADER_SIZE > size_max) {
            return 0;
        }
        base_put_le16(data + used, (uint16_t)(at / IMAGE_BLOCK_SIZE));
        base_put_le16(data + used + 2, (uint16_t)(at % IMAGE_BLOCK_SIZE));
        base_put_le16(data + used + 4, (uint16_t)size);
        memcpy(data + used + RUN_HEADER_SIZE, image + at, size);
        used += RUN_HEADER_SIZE + size;
        at += size;
    }
    return used;
}

/* --- Tree nodes (section 4) --------------------------------------------------------------------------------------- */

enum tree_field {
    TREE_PREFIX_SIZE = 2,
    TREE_LOWER_OFFSET = 4,
    TREE_LOWER_SIZE = 6,
    TREE_UPPER_OFFSET = 8,
    TREE_UPPER_SIZE = 10,
    TREE_ROW_COUNT = 12,
    TREE_HEAP_START = 16,
    TREE_DEAD_SIZE = 20,
    TREE_SLOTS = 32,
    TREE_SLOT_SIZE = 10,
    TREE_SLOT_SUFFIX_SIZE = 6,
    TREE_SLOT_VALUE_SIZE = 8,
    TREE_NO_UPPER = 0xFFFF,
};

static void fix_prefix(uint8_t *page, uint32_t page_size)
{
    uint32_t lower = base_get_le16(page + TREE_LOWER_OFFSET), lower_size = base_get_le16(page + TREE_LOWER_SIZE);
    uint32_t upper = base_get_le16(page + TREE_UPPER_OFFSET), upper_size = base_get_le16(page + TREE_UPPER_SIZE);
    uint32_t prefix_size = 0;

    if (upper_size == TREE_NO_UPPER) {
        upper_size = 0;
    }
    if (lower + lower_size > page_size || upper + upper_size > page_size) {
        return;
    }
    while (prefix_size < lower_size && prefix_size < upper_size &&
           page[lower + prefix_size] == page[upper + prefix_size]) {
        prefix_size++;
    }
    base_put_le16(page + TREE_PREFIX_SIZE, (uint16_t)prefix_size);
}

void image_fix_tree_node(uint8_t *page, uint32_t page_size)
{
    uint32_t count = base_get_le32(page + TREE_ROW_COUNT), heap_start = base_get_le32(page + TREE_HEAP_START);
    uint32_t upper_size = base_get_le16(page + TREE_UPPER_SIZE);
    uint64_t total = base_get_le16(page + TREE_LOWER_SIZE) + (upper_size == TREE_NO_UPPER ? 0U : upper_size);

    fix_prefix(page, page_size);
    if (count > (page_size - TREE_SLOTS) / TREE_SLOT_SIZE || heap_start > page_size) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *slot = page + TREE_SLOTS + (size_t)i * TREE_SLOT_SIZE;
        uint32_t suffix_size = base_get_le16(slot + TREE_SLOT_SUFFIX_SIZE);
        total += (suffix_size > 4 ? suffix_size - 4 : 0) + (uint32_t)base_get_le16(slot + TREE_SLOT_VALUE_SIZE);
        for (uint32_t k = suffix_size; k < 4; k++) {
            slot[k] = 0;
        }
    }
    if (total <= page_size - heap_start) {
        base_put_le32(page + TREE_DEAD_SIZE, page_size - heap_start - (uint32_t)total);
    }
}

/* --- Checksums ---------------------------------------------------------------------------------------------------- */

struct fixer {
    uint8_t *image;
    uint64_t block_count;
    uint32_t page_size;
    uint32_t kind;
    uint32_t visits;
    uint64_t count; /* of pages, or content blocks */
};

static bool is_inside(const struct fixer *fixer, uint64_t block, uint64_t count)
{
    return block >= HEADER_BLOCKS && block < fixer->block_count && count <= fixer->block_count - block;
}

static void fix_page_entry(struct fixer *fixer, uint8_t *entry, uint64_t page)
{
    uint64_t block = base_get_le64(entry);

    if (is_inside(fixer, block, fixer->page_size / IMAGE_BLOCK_SIZE)) {
        uint8_t *bytes = fixer->image + block * IMAGE_BLOCK_SIZE;
        fuzz_file_touch(block * IMAGE_BLOCK_SIZE, fixer->page_size);
        image_fix_tree_node(bytes, fixer->page_size);
        base_put_le64(entry + 8, base_checksum(bytes, fixer->page_size, page));
        fixer->count++;
    }
}

/* Below a node, then its own checksum, which stands in its parent. */
static void fix_node(struct fixer *fixer, uint64_t block, uint32_t level, uint64_t index, uint8_t *ret_checksum)
{
    if (!is_inside(fixer, block, 1) || fixer->visits == NODE_VISITS_MAX) {
        return;
    }
    fixer->visits++;
    fuzz_file_touch(block * IMAGE_BLOCK_SIZE, IMAGE_BLOCK_SIZE);
    uint8_t *node = fixer->image + block * IMAGE_BLOCK_SIZE;
    for (uint32_t i = 0; i < FANOUT && (level > 0 || fixer->kind == MAP_KIND); i++) {
        uint8_t *entry = node + (size_t)i * 16;
        if (base_get_le64(entry) != 0 && level > 0) {
            fix_node(fixer, base_get_le64(entry), level - 1, index * FANOUT + i, entry + 8);
        } else if (base_get_le64(entry) != 0) {
            fix_page_entry(fixer, entry, index * FANOUT + i);
        }
    }
    for (uint32_t i = 0; i < IMAGE_BLOCK_SIZE && level == 0 && fixer->kind == BITMAP_KIND; i++) {
        fixer->count += (unsigned)__builtin_popcount(node[i]);
    }
    uint64_t seed = (uint64_t)fixer->kind << 56 | (uint64_t)level << 48 | (index & 0xFFFFFFFFFFFF);
    base_put_le64(ret_checksum, base_checksum(node, IMAGE_BLOCK_SIZE, seed));
}

static void fix_tree(struct fixer *fixer, uint8_t *superblock, uint32_t kind)
{
    bool is_map = kind == MAP_KIND;
    uint32_t height = base_get_le32(superblock + (is_map ? IMAGE_MAP_HEIGHT : IMAGE_BITMAP_HEIGHT));

    fixer->kind = kind;
    fixer->visits = 0;
    fixer->count = 0;
    if (height > 0 && height <= HEIGHT_MAX) {
        fix_node(fixer, base_get_le64(superblock + (is_map ? IMAGE_MAP_BLOCK : IMAGE_BITMAP_BLOCK)), height - 1, 0,
                 superblock + (is_map ? IMAGE_MAP_CHECKSUM : IMAGE_BITMAP_CHECKSUM));
    }
    base_put_le64(superblock + (is_map ? IMAGE_PAGE_COUNT : IMAGE_CONTENT_COUNT), fixer->count);
}

/* --- The log ------------------------------------------------------------------------------------------------------ */

enum batch_field {
    BATCH_SALT = 0,
    BATCH_RECORDS_SIZE = 28,
    BATCH_CONTENT_COUNT = 32,
    BATCH_SIZE = 36,
    BATCH_CHECKSUM = 56,
    BATCH_HEADER_SIZE = 64,
    BATCH_CONTENT_SIZE = 24,
    BATCH_SIZE_MAX = 1 << 20,
};

/* Where block number index of the ring stands in the file; 0: nowhere. */
static uint64_t find_ring_block(const uint8_t *superblock, uint64_t index, uint64_t block_count)
{
    uint32_t run_count = base_get_le32(superblock + IMAGE_LOG_RUN_COUNT);

    for (uint32_t i = 0; i < run_count && i < LOG_RUNS_MAX; i++) {
        uint64_t block = base_get_le64(superblock + IMAGE_LOG_RUNS + (size_t)i * 16);
        uint64_t count = base_get_le64(superblock + IMAGE_LOG_RUNS + (size_t)i * 16 + 8);
        if (index < count) {
            return block >= HEADER_BLOCKS && block < block_count && index < block_count - block ? block + index : 0;
        }
        index -= count;
    }
    return 0;
}

/* Size and checksum of the batch that begins there. Its blocks are one behind the other in the file, most often. */
static void fix_batch(uint8_t *image, uint64_t block, uint64_t block_count)
{
    uint8_t *bytes = image + block * IMAGE_BLOCK_SIZE;
    uint64_t size = BATCH_HEADER_SIZE + (uint64_t)base_get_le32(bytes + BATCH_RECORDS_SIZE) +
                    (uint64_t)base_get_le32(bytes + BATCH_CONTENT_COUNT) * BATCH_CONTENT_SIZE;

    if (size > BATCH_SIZE_MAX || size > (block_count - block) * IMAGE_BLOCK_SIZE) {
        return;
    }
    base_put_le32(bytes + BATCH_SIZE, (uint32_t)size);
    uint64_t checksum = base_checksum(bytes, BATCH_CHECKSUM, base_get_le64(bytes + BATCH_SALT));
    base_put_le64(bytes + BATCH_CHECKSUM, base_checksum(bytes + BATCH_HEADER_SIZE, size - BATCH_HEADER_SIZE, checksum));
}

static void fix_log(uint8_t *superblock, uint64_t block_count)
{
    uint64_t salt = base_get_le64(superblock + IMAGE_LOG_SALT), block;

    for (uint64_t index = 0; (block = find_ring_block(superblock, index, block_count)) != 0 && salt != 0; index++) {
        uint8_t *image = fuzz_file_bytes();
        if (!fuzz_file_is_touched(block * IMAGE_BLOCK_SIZE)) {
            continue;
        }
        if (base_get_le64(image + block * IMAGE_BLOCK_SIZE + BATCH_SALT) == salt) {
            fix_batch(image, block, block_count);
        }
    }
}

static void shrink_ring(uint8_t *superblock, bool is_used)
{
    uint8_t *run = superblock + IMAGE_LOG_RUNS;
    uint8_t *ring = fuzz_file_bytes() + base_get_le64(run) * IMAGE_BLOCK_SIZE;
    uint64_t count = base_get_le64(run + 8);

    if (base_get_le32(superblock + IMAGE_LOG_RUN_COUNT) != 1 || count <= RING_BLOCKS_SMALL) {
        return;
    }
    if (!is_used) {
        memset(ring, 0, count * IMAGE_BLOCK_SIZE);
        base_put_le64(superblock + IMAGE_LOG_POSITION, 0);
    }
    bool fits = base_get_le64(superblock + IMAGE_LOG_POSITION) < RING_BLOCKS_SMALL * IMAGE_BLOCK_SIZE;
    for (uint64_t i = RING_BLOCKS_SMALL; i < count; i++) {
        fits = fits && base_get_le64(ring + i * IMAGE_BLOCK_SIZE) != base_get_le64(superblock + IMAGE_LOG_SALT);
    }
    if (fits) {
        base_put_le64(run + 8, RING_BLOCKS_SMALL);
    }
}

void image_shrink_ring(bool is_used)
{
    shrink_ring(fuzz_file_bytes() + (size_t)SLOT_B_BLOCK * IMAGE_BLOCK_SIZE, is_used);
    shrink_ring(fuzz_file_bytes(), is_used);
}

static void fix_superblock(uint32_t block)
{
    struct fixer fixer = {.image = fuzz_file_bytes(), .block_count = fuzz_file_get_size() / IMAGE_BLOCK_SIZE};
    uint8_t *superblock = fixer.image + (size_t)block * IMAGE_BLOCK_SIZE;

    fixer.page_size = base_get_le32(superblock + IMAGE_PAGE_SIZE);
    if (fixer.page_size >= 4096 && fixer.page_size <= 65536 && (fixer.page_size & (fixer.page_size - 1)) == 0) {
        fix_tree(&fixer, superblock, MAP_KIND);
        fix_tree(&fixer, superblock, BITMAP_KIND);
    }
    fix_log(superblock, fixer.block_count);
    base_put_le64(superblock + IMAGE_CHECKSUM, base_checksum(superblock, IMAGE_CHECKSUM, SUPERBLOCK_SEED));
    fuzz_file_touch((uint64_t)block * IMAGE_BLOCK_SIZE, IMAGE_BLOCK_SIZE);
}

void image_fix(void)
{
    /* A the later: where both name the same nodes, its state is the one that is right. */
    fix_superblock(SLOT_B_BLOCK);
    fix_superblock(0);
}
