/* Disk images for the power-cut simulation: arrays of pointers to 4 KiB blocks that images and recorded writes share
 * (copied when written), so that an image costs its pointers and a changed one the few changed blocks.
 *
 * A block of zeros is NULL. Between sim_image_mark and sim_image_roll_back everything that changes is noted and put
 * back, so one image serves for any number of crash states in turn. The hash says what an image holds: equal images
 * have equal hashes, however they came about. Not thread-safe: the simulation runs its threads one at a time. Running
 * out of memory ends the program. */
#ifndef BEEFTREE_TESTS_SUPPORT_SIM_IMAGE_H
#define BEEFTREE_TESTS_SUPPORT_SIM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_BLOCK_SIZE = 4096, SIM_SECTOR_SIZE = 512 };

/* As reallocarray, and ends the program when there is no memory. */
void *sim_allocate(void *old, size_t count, size_t size);

struct sim_block {
    uint32_t references;
    bool has_hash;
    uint64_t hash;
    uint8_t bytes[SIM_BLOCK_SIZE];
};

/* Blocks from a list of unused ones; the new one's bytes are undefined. */
struct sim_block *sim_block_create(void);
struct sim_block *sim_block_share(struct sim_block *block); /* NULL stays NULL */
void sim_block_let_go(struct sim_block *block);

struct sim_hash {
    uint64_t low, high;
};

struct sim_change {
    size_t index;            /* of the block, or SIZE_MAX: the image's size changed */
    struct sim_block *block; /* before */
    uint64_t size;           /* before */
};

struct sim_image {
    uint64_t size; /* bytes */
    size_t capacity;
    struct sim_block **blocks;
    struct sim_hash sum; /* kept only while is_hashed */
    bool is_hashed;
    struct sim_change *changes;
    size_t change_count, change_capacity;
    unsigned marks;
};

void sim_image_init(struct sim_image *image, bool is_hashed);
void sim_image_init_copy(struct sim_image *image, const struct sim_image *from, bool is_hashed);
void sim_image_deinit(struct sim_image *image);

/* Bytes beyond the end read as zeros. */
void sim_image_read(const struct sim_image *image, void *buffer, size_t size, uint64_t offset);
/* Puts bytes [from, to) of the block at that index; a whole block is shared, not copied. NULL: zeros. Grows the image
 * as far as `to`. */
void sim_image_put(struct sim_image *image, size_t index, struct sim_block *block, uint32_t from, uint32_t to);
void sim_image_set_size(struct sim_image *image, uint64_t size);
struct sim_hash sim_image_hash(const struct sim_image *image);

size_t sim_image_mark(struct sim_image *image);
void sim_image_roll_back(struct sim_image *image, size_t mark);

#endif
