/* Images as inputs, made in the file of fuzz_file.h: a list of runs of bytes (the rest is zeros), and the way back, for
 * seeds.
 *
 *      run: block (2 bytes) | offset in the block (2) | size (2) | bytes
 *
 * A run may reach into the blocks behind; later runs win. The file is as long as the superblock in slot A says, within
 * IMAGE_BLOCKS_MAX.
 *
 * image_fix makes damage get past the checksums: from the leaves up it recomputes those of tree nodes, map and bitmap
 * nodes, batches of the log and superblocks. It trusts nothing that it reads and visits a bounded number of nodes. */
#ifndef BEEFTREE_TESTS_FUZZ_IMAGE_H
#define BEEFTREE_TESTS_FUZZ_IMAGE_H

#include "fuzz.h"

#define IMAGE_BLOCKS_MAX 16384U
#define IMAGE_BLOCK_SIZE 4096U
#define IMAGE_SIZE_MAX   (IMAGE_BLOCKS_MAX * IMAGE_BLOCK_SIZE)

/* Where the superblock has what (docs/format.md, section 2). */
enum image_superblock_field {
    IMAGE_PAGE_SIZE = 20,
    IMAGE_IDENTIFIER = 40,
    IMAGE_BLOCK_COUNT = 128,
    IMAGE_MAP_BLOCK = 136,
    IMAGE_MAP_CHECKSUM = 144,
    IMAGE_MAP_HEIGHT = 152,
    IMAGE_BITMAP_HEIGHT = 156,
    IMAGE_BITMAP_BLOCK = 160,
    IMAGE_BITMAP_CHECKSUM = 168,
    IMAGE_PAGE_COUNT = 176,
    IMAGE_CONTENT_COUNT = 184,
    IMAGE_LOG_SALT = 192,
    IMAGE_LOG_POSITION = 208,
    IMAGE_LOG_RUN_COUNT = 224,
    IMAGE_LOG_RUNS = 232,
    IMAGE_FORMAT_TIME = 744,
    IMAGE_CHECKSUM = 4088,
};

/* The input's image becomes the (empty) fuzz file. */
void image_decode(struct fuzz_reader reader);
/* The runs of what the fuzz file holds; 0 when they don't fit into size_max bytes, or the file is too long. */
size_t image_encode(uint8_t *data, size_t size_max);

/* Of the fuzz file. */
void image_fix(void);

/* Makes the log's ring, if what it holds fits, as small as may be: reading it is most of the work of opening. is_used:
 * the log is needed, else it becomes zeros. image_fix has to follow. */
void image_shrink_ring(bool is_used);

/* Makes the sums within a tree node right: prefix size, dead bytes, zeros behind short key heads. */
void image_fix_tree_node(uint8_t *page, uint32_t page_size);

#endif
