/* See sim_image.h. The sum over all blocks of a mixed (index, hash of the bytes) makes the hash, so a change of one
 * block costs the hash of that block, and that only once for all images that share it. */
#include "support/sim_image.h"

#include "base/assert.h"
#include "base/checksum.h"

#include <stdlib.h>
#include <string.h>

/* Not malloc, calloc or realloc: the simulation makes those fail for the code under test. */
void *sim_allocate(void *old, size_t count, size_t size)
{
    void *memory = reallocarray(old, count, size);
    BASE_ASSERT(memory);
    return memory;
}

static struct sim_block *unused_blocks; /* linked through their bytes */

static struct sim_block **next_unused(struct sim_block *block)
{
    return (struct sim_block **)(void *)block->bytes;
}

struct sim_block *sim_block_create(void)
{
    struct sim_block *block = unused_blocks;

    if (block) {
        unused_blocks = *next_unused(block);
    } else {
        block = sim_allocate(NULL, 1, sizeof *block);
    }
    block->references = 1;
    block->has_hash = false;
    return block;
}

struct sim_block *sim_block_share(struct sim_block *block)
{
    if (block) {
        block->references++;
    }
    return block;
}

void sim_block_let_go(struct sim_block *block)
{
    if (block && --block->references == 0) {
        *next_unused(block) = unused_blocks;
        unused_blocks = block;
    }
}

/* --- Hash --------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static void sum_add(struct sim_image *image, size_t index, struct sim_block *block, uint64_t sign)
{
    if (!block || !image->is_hashed) {
        return;
    }
    if (!block->has_hash) {
        block->hash = base_checksum(block->bytes, SIM_BLOCK_SIZE, 0);
        block->has_hash = true;
    }
    uint64_t low = mix(block->hash ^ mix(index + 1));
    image->sum.low += sign * low;
    image->sum.high += sign * mix(low ^ (block->hash + index));
}

struct sim_hash sim_image_hash(const struct sim_image *image)
{
    return (struct sim_hash){.low = image->sum.low ^ mix(image->size), .high = image->sum.high + image->size};
}

/* --- Images ------------------------------------------------------------------------------------------------------- */

static void reserve(struct sim_image *image, size_t count)
{
    if (count <= image->capacity) {
        return;
    }
    size_t capacity = image->capacity ? image->capacity : 1024;
    while (capacity < count) {
        capacity *= 2;
    }
    image->blocks = sim_allocate(image->blocks, capacity, sizeof(struct sim_block *));
    memset(image->blocks + image->capacity, 0, (capacity - image->capacity) * sizeof *image->blocks);
    image->capacity = capacity;
}

static size_t block_count(const struct sim_image *image)
{
    return (size_t)((image->size + SIM_BLOCK_SIZE - 1) / SIM_BLOCK_SIZE);
}

void sim_image_init(struct sim_image *image, bool is_hashed)
{
    *image = (struct sim_image){.is_hashed = is_hashed};
}

void sim_image_init_copy(struct sim_image *image, const struct sim_image *from, bool is_hashed)
{
    sim_image_init(image, is_hashed);
    reserve(image, block_count(from));
    image->size = from->size;
    for (size_t i = 0; i < block_count(from); i++) {
        image->blocks[i] = sim_block_share(from->blocks[i]);
        if (!from->is_hashed) {
            sum_add(image, i, image->blocks[i], 1);
        }
    }
    if (from->is_hashed) {
        image->sum = from->sum;
    }
}

void sim_image_deinit(struct sim_image *image)
{
    sim_image_roll_back(image, 0);
    for (size_t i = 0; i < block_count(image); i++) {
        sim_block_let_go(image->blocks[i]);
    }
    free(image->blocks);
    free(image->changes);
}

static void note(struct sim_image *image, size_t index, struct sim_block *block)
{
    if (image->change_count == image->change_capacity) {
        image->change_capacity = image->change_capacity ? 2 * image->change_capacity : 256;
        image->changes = sim_allocate(image->changes, image->change_capacity, sizeof *image->changes);
    }
    image->changes[image->change_count++] = (struct sim_change){.index = index, .block = block, .size = image->size};
}

/* Takes the reference over. */
static void replace(struct sim_image *image, size_t index, struct sim_block *block)
{
    struct sim_block *old = image->blocks[index];

    sum_add(image, index, old, UINT64_MAX);
    sum_add(image, index, block, 1);
    image->blocks[index] = block;
    if (image->marks > 0) {
        note(image, index, old);
    } else {
        sim_block_let_go(old);
    }
}

static void change_size(struct sim_image *image, uint64_t size)
{
    if (size != image->size && image->marks > 0) {
        note(image, SIZE_MAX, NULL);
    }
    image->size = size;
}

void sim_image_set_size(struct sim_image *image, uint64_t size)
{
    size_t count = (size_t)((size + SIM_BLOCK_SIZE - 1) / SIM_BLOCK_SIZE);

    reserve(image, count);
    for (size_t i = count; i < block_count(image); i++) {
        if (image->blocks[i]) {
            replace(image, i, NULL);
        }
    }
    if (size < image->size && size % SIM_BLOCK_SIZE != 0) {
        sim_image_put(image, count - 1, NULL, (uint32_t)(size % SIM_BLOCK_SIZE), SIM_BLOCK_SIZE);
    }
    change_size(image, size);
}

void sim_image_read(const struct sim_image *image, void *buffer, size_t size, uint64_t offset)
{
    uint8_t *to = buffer;

    while (size > 0) {
        size_t index = (size_t)(offset / SIM_BLOCK_SIZE);
        size_t from = (size_t)(offset % SIM_BLOCK_SIZE);
        size_t part = SIM_BLOCK_SIZE - from < size ? SIM_BLOCK_SIZE - from : size;
        const struct sim_block *block = index < block_count(image) ? image->blocks[index] : NULL;
        if (block) {
            memcpy(to, block->bytes + from, part);
        } else {
            memset(to, 0, part);
        }
        to += part;
        offset += part;
        size -= part;
    }
}

void sim_image_put(struct sim_image *image, size_t index, struct sim_block *block, uint32_t from, uint32_t to)
{
    uint64_t end = (uint64_t)index * SIM_BLOCK_SIZE + to;

    reserve(image, index + 1);
    if (end > image->size) {
        change_size(image, end);
    }
    if (from == 0 && to == SIM_BLOCK_SIZE) {
        replace(image, index, sim_block_share(block));
        return;
    }
    struct sim_block *copy = sim_block_create();
    if (image->blocks[index]) {
        memcpy(copy->bytes, image->blocks[index]->bytes, SIM_BLOCK_SIZE);
    } else {
        memset(copy->bytes, 0, SIM_BLOCK_SIZE);
    }
    if (block) {
        memcpy(copy->bytes + from, block->bytes + from, to - from);
    } else {
        memset(copy->bytes + from, 0, to - from);
    }
    replace(image, index, copy);
}

/* --- Marks -------------------------------------------------------------------------------------------------------- */

size_t sim_image_mark(struct sim_image *image)
{
    image->marks++;
    return image->change_count;
}

void sim_image_roll_back(struct sim_image *image, size_t mark)
{
    while (image->change_count > mark) {
        const struct sim_change *change = &image->changes[--image->change_count];
        if (change->index == SIZE_MAX) {
            image->size = change->size;
            continue;
        }
        sum_add(image, change->index, image->blocks[change->index], UINT64_MAX);
        sum_add(image, change->index, change->block, 1);
        sim_block_let_go(image->blocks[change->index]);
        image->blocks[change->index] = change->block;
    }
    if (image->marks > 0) {
        image->marks--;
    }
}
