/* Reservations and growth of the file (see space.h).
 *
 * Promise: at every moment the free blocks can hold everything reserved, in zones of the right kinds, and besides
 *   - nodes: a checkpoint writes new nodes while the old ones stand. With B a bound for the nodes of one whole map and
 *     bitmap, two trees at once take at most 2B blocks; U of them are used already, so 2B - U are kept back, and never
 *     less than B (the tree on disk may be larger than B when much was freed since).
 *   - emergency: EMERGENCY_* for operations that free space.
 * B grows only by what is reserved, and is computed with it. So neither a commit nor a checkpoint can run out.
 *
 * Growth: host space is allocated; while small things are synced often it is written with zeros too. A host with a
 * journal has to note the first write to a block that is only allocated, so a sync behind it takes two flushes of its
 * disk instead of one (measured: docs/design.md, section 11). The price is that those blocks are written twice.
 *
 * Zones: what does not fit into zones of its kind needs empty zones, and an empty zone serves one kind only. */
#include "space.h"

#include "base/assert.h"
#include "base/message.h"
#include "bits.h"
#include "superblock.h"

#include <errno.h>
#include <stdlib.h>

enum {
    EMERGENCY_PAGES_MIN = 256,
    EMERGENCY_CONTENT_BLOCKS = 64,
    NODE_RESERVE_SLACK = 16,
    SHRINK_PAGES = 64, /* a shrunk file still has room for an operation that frees space, even on a full host */
    SHRINK_CONTENT_BLOCKS = 32,
    GROWTH_FRACTION = 16,
    GROWTH_ZONES_MIN = 1,
    GROWTH_ZONES_MAX = 16, /* 64 MiB */
    ZERO_SIZE = 256 << 10,
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t divide_up(uint64_t dividend, uint64_t divisor)
{
    return dividend / divisor + (dividend % divisor != 0);
}

/* --- What is needed ----------------------------------------------------------------------------------------------- */

/* Nodes of a radix tree over that many leaf nodes, at most `item_count` of each level in use. */
static uint64_t count_nodes(uint64_t leaf_count, uint64_t item_count)
{
    uint64_t nodes = 0;
    uint64_t level_count = leaf_count > 0 ? leaf_count : 1;

    for (;;) {
        nodes += least(level_count, item_count + 1);
        if (level_count == 1) {
            return nodes;
        }
        level_count = divide_up(level_count, RADIX_FANOUT);
    }
}

uint64_t space_node_reserve(const struct space *space, uint64_t block_count, uint64_t more_pages)
{
    const struct page_numbers *numbers = &space->numbers;
    uint64_t pages = numbers->count > space->numbers_at_freeze ? numbers->count : space->numbers_at_freeze;
    uint64_t page_count = pages + space->reserved_pages + more_pages;
    uint64_t end = numbers->end > page_count + 1 ? numbers->end : page_count + 1;
    uint64_t bound = count_nodes(divide_up(end, RADIX_PAGES_PER_LEAF), page_count) +
                     count_nodes(divide_up(block_count, RADIX_BLOCKS_PER_LEAF), UINT64_MAX - 1) + NODE_RESERVE_SLACK;

    return space->node_blocks < bound ? 2 * bound - space->node_blocks : bound;
}

uint64_t space_emergency_pages(const struct space *space, uint64_t block_count)
{
    uint64_t pages = block_count / 100 / space->page_blocks;

    return pages > EMERGENCY_PAGES_MIN ? pages : EMERGENCY_PAGES_MIN;
}

uint64_t space_emergency_content(void)
{
    return EMERGENCY_CONTENT_BLOCKS;
}

/* --- What there is ------------------------------------------------------------------------------------------------ */

/* Adds what one zone of a file of that size can take. */
static void capacity_add_zone(struct space_capacity *capacity, const struct space *space, uint64_t zone,
                              uint64_t block_count)
{
    const struct zone *z = zone < space->zone_count ? &space->zones[zone] : NULL;
    uint32_t usable = zone_usable(zone, block_count);
    uint32_t used = z ? z->used_count : 0;
    uint32_t free_count = usable > used ? usable - used : 0;

    switch (z ? z->kind : ZONE_EMPTY) {
    case ZONE_EMPTY:
        if (usable == STORE_ZONE_BLOCKS) {
            capacity->empty_zones++;
        } else if (usable > 0) {
            capacity->special[capacity->special_count++] = usable;
        }
        break;
    case ZONE_PAGES:
        capacity->page_slots += free_count / space->page_blocks;
        break;
    case ZONE_CONTENTS:
        capacity->content_blocks += free_count;
        break;
    default:
        break;
    }
}

/* The counters of space->capacity hold zones 1 .. zone_count - 2. Here they are moved to another last zone; zones
 * behind the present last one are empty, as are (when the file is to shrink) the ones cut off. */
struct space_capacity space_get_capacity(const struct space *space, uint64_t block_count)
{
    struct space_capacity capacity = space->capacity;
    uint64_t old_last = space->zone_count - 1;
    uint64_t new_last = divide_up(block_count, STORE_ZONE_BLOCKS) - 1;

    if (new_last > old_last) {
        if (old_last > 0) {
            capacity_add_zone(&capacity, space, old_last, block_count);
        }
        capacity.empty_zones += new_last - old_last - 1;
    } else if (new_last < old_last && old_last - 1 > 0) {
        uint64_t cut = new_last > 0 ? old_last - 1 - new_last : old_last - 1; /* whole empty zones */
        capacity.empty_zones -= cut;
        if (new_last > 0) {
            struct space_capacity part = {0};
            capacity_add_zone(&part, space, new_last, space->block_count);
            capacity.page_slots -= part.page_slots;
            capacity.content_blocks -= part.content_blocks;
            capacity.empty_zones -= part.empty_zones;
        }
    }
    capacity_add_zone(&capacity, space, 0, block_count);
    if (new_last > 0) {
        capacity_add_zone(&capacity, space, new_last, block_count);
    }
    return capacity;
}

bool space_fits(const struct space *space, uint64_t block_count, uint64_t pages, uint64_t content_blocks)
{
    const struct space_capacity capacity = space_get_capacity(space, block_count);
    const uint64_t slots_per_zone = STORE_ZONE_BLOCKS / space->page_blocks;
    const uint64_t pages_short = pages - least(pages, capacity.page_slots);
    const uint64_t content_short = content_blocks - least(content_blocks, capacity.content_blocks);

    /* Bit i of `choice`: special zone i serves pages, else contents. */
    for (unsigned choice = 0; choice < 1U << capacity.special_count; choice++) {
        uint64_t slots = 0;
        uint64_t blocks = 0;
        for (unsigned i = 0; i < capacity.special_count; i++) {
            if (choice >> i & 1) {
                slots += capacity.special[i] / space->page_blocks;
            } else {
                blocks += capacity.special[i];
            }
        }
        uint64_t zones = divide_up(pages_short - least(pages_short, slots), slots_per_zone) +
                         divide_up(content_short - least(content_short, blocks), STORE_ZONE_BLOCKS);
        if (zones <= capacity.empty_zones) {
            return true;
        }
    }
    return false;
}

/* Whether the need fits in a file of that size, with all that was promised and is kept back. */
static bool space_need_fits(const struct space *space, uint64_t block_count, const struct store_need *need)
{
    uint64_t pages = space->reserved_pages + need->pages;
    uint64_t content_blocks =
        space->reserved_content + need->content_blocks + space_node_reserve(space, block_count, need->pages);

    if (!need->may_use_emergency) {
        pages += space_emergency_pages(space, block_count);
        content_blocks += space_emergency_content();
    }
    return space_fits(space, block_count, pages, content_blocks);
}

/* --- Growth ------------------------------------------------------------------------------------------------------- */

/* The least size at which the need fits; UINT64_MAX when none does. */
static uint64_t space_find_size(const struct space *space, const struct store_need *need)
{
    uint64_t too_small = space->block_count;
    uint64_t enough = space->block_count;
    uint64_t step = STORE_ZONE_BLOCKS;

    do {
        if (enough >= STORE_BLOCKS_MAX) {
            return UINT64_MAX;
        }
        enough = least(enough + step, STORE_BLOCKS_MAX);
        step *= 2;
    } while (!space_need_fits(space, enough, need));
    while (enough - too_small > STORE_SIZE_UNIT_BLOCKS) {
        uint64_t middle = too_small + (enough - too_small) / 2;
        middle -= middle % STORE_SIZE_UNIT_BLOCKS;
        if (middle == too_small) {
            middle += STORE_SIZE_UNIT_BLOCKS;
        }
        if (space_need_fits(space, middle, need)) {
            enough = middle;
        } else {
            too_small = middle;
        }
    }
    return enough;
}

static uint64_t space_choose_size(const struct space *space, uint64_t least_size)
{
    uint64_t zones = space->block_count / GROWTH_FRACTION / STORE_ZONE_BLOCKS;

    if (zones < GROWTH_ZONES_MIN || atomic_load(&space->zeroes_growth)) {
        zones = GROWTH_ZONES_MIN;
    } else if (zones > GROWTH_ZONES_MAX) {
        zones = GROWTH_ZONES_MAX;
    }
    uint64_t size = space->block_count + zones * STORE_ZONE_BLOCKS;
    if (size < least_size) {
        size = least_size;
    }
    return least(divide_up(size, STORE_ZONE_BLOCKS) * STORE_ZONE_BLOCKS, STORE_BLOCKS_MAX);
}

static bool is_no_space(int result)
{
    return result == -ENOSPC || result == -EFBIG || result == -EDQUOT;
}

static int space_write_zeros(struct space *space, struct os_file *file, uint64_t begin, uint64_t end)
{
    uint8_t *zeros = calloc(1, ZERO_SIZE);
    int result = 0;

    for (uint64_t offset = begin; zeros && offset < end && result == 0;) {
        uint64_t part = least(end - offset, ZERO_SIZE);
        result = os_file_write(file, zeros, part, offset);
        atomic_fetch_add(&space->zeroed_bytes, part);
        offset += part;
    }
    free(zeros);
    return result;
}

/* Grows the file so that the need fits. The mutex is held, but released while the host works. */
static int space_grow(struct space *space, struct os_file *file, const struct store_need *need)
{
    uint64_t old_size = space->block_count;
    uint64_t least_size = space_find_size(space, need);

    if (least_size == UINT64_MAX) {
        return -ENOSPC;
    }
    uint64_t size = space_choose_size(space, least_size);
    space->is_growing = true;
    base_mutex_unlock(&space->mutex);
    int result = os_file_allocate(file, old_size * STORE_BLOCK_SIZE, (size - old_size) * STORE_BLOCK_SIZE);
    if (is_no_space(result) && size > least_size) {
        size = least_size;
        result = os_file_allocate(file, old_size * STORE_BLOCK_SIZE, (size - old_size) * STORE_BLOCK_SIZE);
    }
    if (result == 0 && atomic_load(&space->zeroes_growth)) {
        result = space_write_zeros(space, file, old_size * STORE_BLOCK_SIZE, size * STORE_BLOCK_SIZE);
    }
    base_mutex_lock(&space->mutex);
    space->is_growing = false;
    base_condition_broadcast(&space->grown);
    if (result == 0) {
        result = space_resize(space, size);
    }
    return is_no_space(result) ? -ENOSPC : result;
}

int space_reserve(struct space *space, struct os_file *file, const struct store_need *need)
{
    int result = 0;

    base_mutex_lock(&space->mutex);
    while (result == 0 && !space_need_fits(space, space->block_count, need)) {
        if (space->is_growing) {
            base_condition_wait(&space->grown, &space->mutex);
        } else {
            result = space_grow(space, file, need);
        }
    }
    if (result == 0) {
        result = page_numbers_prepare(&space->numbers, space->reserved_pages + need->pages);
    }
    if (result == 0) {
        space->reserved_pages += need->pages;
        space->reserved_content += need->content_blocks;
    }
    base_mutex_unlock(&space->mutex);
    return result;
}

void space_unreserve(struct space *space, uint64_t pages, uint64_t content_blocks)
{
    base_mutex_lock(&space->mutex);
    BASE_ASSERT(space->reserved_pages >= pages && space->reserved_content >= content_blocks);
    space->reserved_pages -= pages;
    space->reserved_content -= content_blocks;
    base_mutex_unlock(&space->mutex);
}

/* --- Shrinking ---------------------------------------------------------------------------------------------------- */

uint64_t space_shrunk_size(const struct space *space)
{
    const struct store_need need = {SHRINK_PAGES, SHRINK_CONTENT_BLOCKS, true};
    uint64_t zone = space->zone_count;
    uint64_t size = STORE_HEADER_BLOCKS;

    while (zone > 0 && space->zones[zone - 1].used_count == 0) {
        zone--;
    }
    if (zone > 0) {
        uint64_t begin = (zone - 1) * STORE_ZONE_BLOCKS;
        uint64_t block =
            begin + STORE_ZONE_BLOCKS < space->block_count ? begin + STORE_ZONE_BLOCKS : space->block_count;
        while (block > begin && !bits_get(space->zones[zone - 1].used, block - 1 - begin)) {
            block--;
        }
        size = divide_up(block, STORE_SIZE_UNIT_BLOCKS) * STORE_SIZE_UNIT_BLOCKS;
    }
    if (!space_need_fits(space, space->block_count, &need)) {
        return space->block_count;
    }
    /* Here a file of block_count blocks is enough; the least one that is lies between. */
    uint64_t enough = space->block_count;
    while (size < enough) {
        uint64_t middle = size + (enough - size) / 2;
        middle -= middle % STORE_SIZE_UNIT_BLOCKS;
        if (space_need_fits(space, middle, &need)) {
            enough = middle;
        } else {
            size = middle + STORE_SIZE_UNIT_BLOCKS;
        }
    }
    return enough;
}
