/* See space.h: runs of content blocks. A run lies in one zone.
 *
 * Where a run goes: behind its goal if enough is free there; else near the cursor, in the first free run that is long
 * enough (RUN_GOOD blocks are always enough: a row of contents names no longer ones); after a few zones without such a
 * run in an empty zone, if reservations allow; else the longest run seen. The cursor follows the allocations, and goes
 * back to the front with each checkpoint. */
#include "space.h"

#include "base/assert.h"
#include "base/tooth.h"
#include "bits.h"
#include "superblock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUN_GOOD = 32, /* blocks */
    ZONES_PROBED_MAX = 8,
};

struct found_run {
    uint64_t zone;
    uint32_t first;
    uint32_t count; /* 0: none */
};

/* The first free run of at least `good` blocks from `first` on, or the longest; at most `wanted` blocks of it. */
static void zone_find_run(const struct zone *zone, uint64_t zone_index, uint32_t first, uint32_t wanted, uint32_t good,
                          struct found_run *best)
{
    uint64_t position = first;

    while (position < STORE_ZONE_BLOCKS && best->count < good) {
        uint64_t begin = bits_next_clear(zone->used, position, STORE_ZONE_BLOCKS);
        uint64_t limit = begin + wanted < STORE_ZONE_BLOCKS ? begin + wanted : STORE_ZONE_BLOCKS;
        uint64_t end = bits_next_set(zone->used, begin, limit);
        if (end - begin > best->count && begin < STORE_ZONE_BLOCKS) {
            *best = (struct found_run){zone_index, (uint32_t)begin, (uint32_t)(end - begin)};
        }
        position = end > begin ? end : begin + 1;
    }
}

/* Whether the goal itself is free: then what is free from there on. */
static void space_find_at_goal(struct space *space, uint64_t goal, uint32_t wanted, uint32_t good,
                               struct found_run *best)
{
    uint64_t zone = goal / STORE_ZONE_BLOCKS;
    uint32_t first = (uint32_t)(goal % STORE_ZONE_BLOCKS);
    struct found_run found = {0};

    if (goal == 0 || goal >= space->block_count) {
        return;
    }
    if (space->zones[zone].kind == ZONE_EMPTY && first == 0 && zone_usable(zone, space->block_count) >= good &&
        !zone_is_kept_for_pages(space, zone) && zone_may_take(space, zone, ZONE_CONTENTS) &&
        zone_take(space, zone, ZONE_CONTENTS) < 0) {
        return;
    }
    if (space->zones[zone].kind != ZONE_CONTENTS || bits_get(space->zones[zone].used, first)) {
        return;
    }
    zone_find_run(&space->zones[zone], zone, first, wanted, 1, &found);
    if (found.count >= good && found.first == first) {
        *best = found;
    }
}

/* From the cursor on, round the file once at most. */
static void space_find_near_cursor(struct space *space, uint32_t wanted, uint32_t good, struct found_run *best)
{
    uint64_t cursor_zone = space->content_cursor / STORE_ZONE_BLOCKS;

    if (cursor_zone < space->zone_count && space->zones[cursor_zone].kind == ZONE_EMPTY &&
        zone_usable(cursor_zone, space->block_count) >= good && !zone_is_kept_for_pages(space, cursor_zone) &&
        zone_may_take(space, cursor_zone, ZONE_CONTENTS) && zone_take(space, cursor_zone, ZONE_CONTENTS) < 0) {
        return;
    }
    uint64_t zone = zone_next_available(space, ZONE_CONTENTS, cursor_zone);
    if (zone == cursor_zone && zone < space->zone_count) {
        uint32_t first = (uint32_t)(space->content_cursor % STORE_ZONE_BLOCKS);
        zone_find_run(&space->zones[zone], zone, first, wanted, good, best);
    }
    for (int i = 0; i < ZONES_PROBED_MAX && best->count < good; i++) {
        if (zone >= space->zone_count) {
            zone = zone_next_available(space, ZONE_CONTENTS, 0);
        }
        if (zone >= space->zone_count) {
            return;
        }
        zone_find_run(&space->zones[zone], zone, 0, wanted, good, best);
        zone = zone_next_available(space, ZONE_CONTENTS, zone + 1);
    }
}

static int space_find_in_empty(struct space *space, uint32_t wanted, struct found_run *best)
{
    uint64_t zone;
    int result = zone_choose_empty(space, ZONE_CONTENTS, &zone);

    if (result == 0 && best->count > 0 && !zone_may_take(space, zone, ZONE_CONTENTS)) {
        return 0;
    }
    if (result == 0) {
        result = zone_take(space, zone, ZONE_CONTENTS);
    }
    if (result < 0) {
        return best->count > 0 ? 0 : result;
    }
    best->count = 0;
    zone_find_run(&space->zones[zone], zone, 0, wanted, wanted, best);
    return 0;
}

int space_allocate_content(struct space *space, uint32_t block_count, uint64_t goal, struct store_run *ret_run)
{
    struct found_run best = {0};
    int result = 0;

    base_mutex_lock(&space->mutex);
    uint32_t wanted = block_count < STORE_ZONE_BLOCKS ? block_count : STORE_ZONE_BLOCKS;
    if (wanted > space->reserved_content) {
        wanted = (uint32_t)space->reserved_content;
    }
    if (wanted == 0) {
        result = -ENOSPC;
        goto out;
    }
    uint32_t good = wanted < RUN_GOOD ? wanted : RUN_GOOD;
    space_find_at_goal(space, goal, wanted, good, &best);
    if (best.count < good) {
        space_find_near_cursor(space, wanted, good, &best);
    }
    if (best.count < good) {
        result = space_find_in_empty(space, wanted, &best);
    }
    if (result == 0) {
        result = zone_make_marks(space, best.zone);
        if (result < 0) {
            zone_give_back(space, best.zone);
        }
    }
    if (result < 0) {
        goto out;
    }
    zone_use_blocks(space, best.zone, best.first, best.count);
    zone_set_other(space, best.zone, best.first, best.count, true);
    space->unpublished_blocks += best.count;
    space->reserved_content -= best.count;
    *ret_run = (struct store_run){best.zone * STORE_ZONE_BLOCKS + best.first, best.count};
    space->content_cursor = ret_run->block + best.count;
out:
    base_mutex_unlock(&space->mutex);
    return result;
}

void space_cancel_content(struct space *space, struct store_run run)
{
    uint64_t zone = run.block / STORE_ZONE_BLOCKS;
    uint32_t first = (uint32_t)(run.block % STORE_ZONE_BLOCKS);

    base_mutex_lock(&space->mutex);
    zone_set_other(space, zone, first, run.count, false);
    zone_free_blocks(space, zone, first, run.count);
    space->unpublished_blocks -= run.count;
    base_mutex_unlock(&space->mutex);
}

int space_allocate_log(struct space *space, uint32_t block_count, struct store_run *ret_run)
{
    int result = space_allocate_content(space, block_count, 0, ret_run);

    if (result == 0) {
        base_mutex_lock(&space->mutex);
        space->unpublished_blocks -= ret_run->count;
        base_mutex_unlock(&space->mutex);
    }
    return result;
}

void space_free_log(struct space *space, uint64_t block, uint64_t block_count)
{
    base_mutex_lock(&space->mutex);
    while (block_count > 0) {
        uint32_t first = (uint32_t)(block % STORE_ZONE_BLOCKS);
        uint32_t part = STORE_ZONE_BLOCKS - first < block_count ? STORE_ZONE_BLOCKS - first : (uint32_t)block_count;
        zone_set_other(space, block / STORE_ZONE_BLOCKS, first, part, false);
        zone_free_blocks(space, block / STORE_ZONE_BLOCKS, first, part);
        block += part;
        block_count -= part;
    }
    base_mutex_unlock(&space->mutex);
}

void space_publish_content(struct space *space, struct store_run run)
{
    uint64_t zone = run.block / STORE_ZONE_BLOCKS;
    uint32_t first = (uint32_t)(run.block % STORE_ZONE_BLOCKS);
    struct zone_marks *marks = space->zones[zone].marks;

    BASE_ASSERT(run.count > 0 && first + run.count <= STORE_ZONE_BLOCKS);
    zone_set_other(space, zone, first, run.count, false);
    if (marks->fresh_batch != space->batch) {
        bits_clear(marks->fresh, 0, STORE_ZONE_BLOCKS);
        marks->fresh_batch = space->batch;
    }
    bits_set(marks->fresh, first, run.count);
    space->content_blocks += run.count;
    space->unpublished_blocks -= run.count;
}

/* Whether one block is live contents. */
static bool space_block_is_content(const struct space *space, uint64_t block)
{
    const struct zone *zone = &space->zones[block / STORE_ZONE_BLOCKS];
    uint64_t position = block % STORE_ZONE_BLOCKS;

    return (zone->kind == ZONE_CONTENTS || zone->kind == ZONE_MIXED) && block >= STORE_HEADER_BLOCKS &&
           bits_get(zone->used, position) && !(zone->marks && bits_get(zone->marks->other, position));
}

bool space_is_content(const struct space *space, struct store_run run)
{
    if (run.count == 0 || run.block >= space->block_count || run.count > space->block_count - run.block) {
        return false;
    }
    for (uint32_t i = 0; i < run.count; i++) {
        if (!space_block_is_content(space, run.block + i)) {
            return false;
        }
    }
    return true;
}

/* --- Freeing ------------------------------------------------------------------------------------------------------ */

/* Room for so many more behind the end. */
static int deferred_make_room(struct deferred_queue *queue, size_t more)
{
    size_t count = queue->end - queue->begin;

    if (queue->capacity - queue->end >= more) {
        return 0;
    }
    if (queue->begin >= queue->capacity / 2 && queue->capacity - count >= more) {
        memmove(queue->items, queue->items + queue->begin, count * sizeof *queue->items);
    } else {
        size_t capacity = (queue->capacity + more) * 2;
        struct deferred_run *items = malloc(capacity * sizeof *items);
        if (!items) {
            return -ENOMEM;
        }
        if (count > 0) {
            memcpy(items, queue->items + queue->begin, count * sizeof *items);
        }
        free(queue->items);
        queue->items = items;
        queue->capacity = capacity;
    }
    queue->begin = 0;
    queue->end = count;
    return 0;
}

int space_prepare_free(struct space *space, struct store_run run)
{
    uint64_t last_zone = (run.block + run.count - 1) / STORE_ZONE_BLOCKS;
    int result;

    base_mutex_lock(&space->mutex);
    result = deferred_make_room(&space->deferred, space->frees_promised + run.count);
    for (uint64_t zone = run.block / STORE_ZONE_BLOCKS; zone <= last_zone && zone < space->zone_count && result == 0;
         zone++) {
        result = zone_make_marks(space, zone);
    }
    if (result == 0) {
        space->frees_promised += run.count;
    }
    base_mutex_unlock(&space->mutex);
    return result;
}

void space_unprepare_free(struct space *space, uint32_t block_count)
{
    base_mutex_lock(&space->mutex);
    BASE_ASSERT(space->frees_promised >= block_count);
    space->frees_promised -= block_count;
    base_mutex_unlock(&space->mutex);
}

static bool space_block_is_fresh(const struct space *space, uint64_t block)
{
    const struct zone_marks *marks = space->zones[block / STORE_ZONE_BLOCKS].marks;

    return marks && marks->fresh_batch == space->batch && bits_get(marks->fresh, block % STORE_ZONE_BLOCKS);
}

/* Frees blocks of one zone that are all live, and all fresh or all not. */
static void space_free_part(struct space *space, struct store_run part, bool fresh)
{
    struct deferred_queue *deferred = &space->deferred;
    uint64_t zone = part.block / STORE_ZONE_BLOCKS;
    uint32_t first = (uint32_t)(part.block % STORE_ZONE_BLOCKS);

    space->content_blocks -= part.count;
    if (fresh) {
        bits_clear(space->zones[zone].marks->fresh, first, part.count);
    }
    if (fresh || BASE_TOOTH(EARLY_REUSE)) {
        zone_free_blocks(space, zone, first, part.count);
        return;
    }
    BASE_ASSERT(deferred->end < deferred->capacity && space->zones[zone].marks);
    deferred->items[deferred->end++] = (struct deferred_run){part, space->batch};
    deferred->block_count += part.count;
    zone_set_other(space, zone, first, part.count, true);
}

int space_free_content(struct space *space, struct store_run run,
                       void (*freed)(void *context, struct store_run part, bool fresh), void *context)
{
    uint64_t end = run.block + run.count;
    int not_live = 0;

    for (uint64_t block = run.block; block < end;) {
        struct store_run part = {block, 1};
        uint64_t zone_end = (block / STORE_ZONE_BLOCKS + 1) * STORE_ZONE_BLOCKS;
        if (block >= space->block_count || !space_block_is_content(space, block)) {
            not_live++;
            block++;
            continue;
        }
        bool fresh = space_block_is_fresh(space, block);
        while (block + part.count < end && block + part.count < zone_end &&
               space_block_is_content(space, block + part.count) &&
               space_block_is_fresh(space, block + part.count) == fresh) {
            part.count++;
        }
        space_free_part(space, part, fresh);
        freed(context, part, fresh);
        block += part.count;
    }
    return not_live;
}

int space_next_content(struct space *space, uint64_t from_block, struct store_run *ret_run)
{
    uint64_t block = from_block;
    int result = -ENOENT;

    base_mutex_lock(&space->mutex);
    while (block < space->block_count) {
        uint8_t kind = space->zones[block / STORE_ZONE_BLOCKS].kind;
        if (kind != ZONE_CONTENTS && kind != ZONE_MIXED) {
            block = (block / STORE_ZONE_BLOCKS + 1) * STORE_ZONE_BLOCKS;
            continue;
        }
        if (space_block_is_content(space, block)) {
            break;
        }
        block++;
    }
    if (block < space->block_count) {
        struct store_run run = {block, 0};
        while (block < space->block_count && run.count < UINT32_MAX && space_block_is_content(space, block)) {
            run.count++;
            block++;
        }
        *ret_run = run;
        result = 0;
    }
    base_mutex_unlock(&space->mutex);
    return result;
}
