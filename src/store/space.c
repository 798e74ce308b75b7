/* See space.h: zones, page slots and node blocks, epochs. Contents are in space_content.c, reservations in reserve.c.
 *
 * Every change of a zone stands between zone_uncount and zone_count, which take its share out of the counters and the
 * availability bits and put it back in; so those always follow from the zones. */
#include "space.h"

#include "base/assert.h"
#include "bits.h"
#include "superblock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RELEASE_BATCH = 512, SMALL_FILE_ZONES = 4 };

uint32_t zone_usable(uint64_t zone, uint64_t block_count)
{
    uint64_t begin = zone * STORE_ZONE_BLOCKS;
    uint64_t end = begin + STORE_ZONE_BLOCKS;

    if (begin < STORE_HEADER_BLOCKS) {
        begin = STORE_HEADER_BLOCKS;
    }
    if (end > block_count) {
        end = block_count;
    }
    return end > begin ? (uint32_t)(end - begin) : 0;
}

static uint32_t zone_free(const struct space *space, uint64_t zone)
{
    return zone_usable(zone, space->block_count) - space->zones[zone].used_count;
}

/* Zone 0 and the last one are counted when asked (space_get_capacity): their sizes are special. */
static bool zone_is_counted(const struct space *space, uint64_t zone)
{
    return zone != 0 && zone != space->zone_count - 1;
}

static void zone_add_capacity(struct space *space, uint64_t zone, uint64_t sign)
{
    struct space_capacity *capacity = &space->capacity;
    uint64_t free_count = zone_free(space, zone);

    BASE_ASSERT(space->page_blocks > 0);
    if (!zone_is_counted(space, zone)) {
        return;
    }
    switch (space->zones[zone].kind) {
    case ZONE_EMPTY:
        capacity->empty_zones += sign;
        break;
    case ZONE_PAGES:
        capacity->page_slots += sign * (free_count / space->page_blocks);
        break;
    case ZONE_CONTENTS:
        capacity->content_blocks += sign * free_count;
        break;
    default:
        break;
    }
}

void zone_uncount(struct space *space, uint64_t zone)
{
    uint8_t kind = space->zones[zone].kind;

    zone_add_capacity(space, zone, UINT64_MAX); /* that is: -1 */
    if (kind < ZONE_KINDS_ALLOCATABLE) {
        bits_clear(space->available[kind], zone, 1);
    }
}

void zone_count(struct space *space, uint64_t zone)
{
    uint8_t kind = space->zones[zone].kind;
    uint32_t needed = kind == ZONE_PAGES ? space->page_blocks : 1;

    zone_add_capacity(space, zone, 1);
    if (kind < ZONE_KINDS_ALLOCATABLE && zone_free(space, zone) >= needed) {
        bits_set(space->available[kind], zone, 1);
        if (zone < space->lowest[kind]) {
            space->lowest[kind] = zone;
        }
    }
}

/* The next available zone of that kind at or after `from`; zone_count when there is none. */
uint64_t zone_next_available(const struct space *space, enum zone_kind kind, uint64_t from)
{
    return bits_next_set(space->available[kind], from, space->zone_count);
}

static uint64_t zone_lowest_available(struct space *space, enum zone_kind kind)
{
    space->lowest[kind] = zone_next_available(space, kind, space->lowest[kind]);
    return space->lowest[kind];
}

/* --- Making and ending ------------------------------------------------------------------------------------------- */

int space_init(struct space *space, uint32_t page_blocks, uint64_t block_count)
{
    *space = (struct space){.page_blocks = page_blocks, .batch = 1, .used_blocks = STORE_HEADER_BLOCKS};
    page_numbers_init(&space->numbers);
    base_mutex_init(&space->mutex, BASE_RANK_STORE_SPACE);
    base_condition_init(&space->grown);
    /* Small beginnings, until much is written at once. */
    space->zeroes_growth = block_count < SMALL_FILE_ZONES * STORE_ZONE_BLOCKS;
    int result = space_resize(space, block_count);
    if (result < 0) {
        space_deinit(space);
    }
    return result;
}

void space_deinit(struct space *space)
{
    for (uint64_t i = 0; i < space->zone_count; i++) {
        free(space->zones[i].used);
        free(space->zones[i].marks);
    }
    free(space->zones);
    for (int kind = 0; kind < ZONE_KINDS_ALLOCATABLE; kind++) {
        free(space->available[kind]);
    }
    free(space->deferred.items);
    free(space->marked_zones);
    page_numbers_deinit(&space->numbers);
    base_condition_deinit(&space->grown);
    base_mutex_deinit(&space->mutex);
}

static int space_grow_tables(struct space *space, uint64_t zone_count)
{
    uint64_t capacity = space->zone_capacity ? space->zone_capacity : 64;

    while (capacity < zone_count) {
        capacity *= 2;
    }
    if (capacity == space->zone_capacity) {
        return 0;
    }
    struct zone *zones = calloc(capacity, sizeof *zones);
    uint64_t *available[ZONE_KINDS_ALLOCATABLE];
    bool is_short = !zones;
    for (int kind = 0; kind < ZONE_KINDS_ALLOCATABLE; kind++) {
        available[kind] = calloc(capacity / 64, sizeof(uint64_t));
        is_short = is_short || !available[kind];
    }
    if (!is_short && space->zone_count > 0) {
        memcpy(zones, space->zones, space->zone_count * sizeof *zones);
    }
    free(is_short ? zones : space->zones);
    for (int kind = 0; kind < ZONE_KINDS_ALLOCATABLE; kind++) {
        if (!is_short && space->zone_capacity > 0) {
            memcpy(available[kind], space->available[kind], space->zone_capacity / 64 * sizeof(uint64_t));
        }
        free(is_short ? available[kind] : space->available[kind]);
        if (!is_short) {
            space->available[kind] = available[kind];
        }
    }
    if (is_short) {
        return -ENOMEM;
    }
    space->zones = zones;
    space->zone_capacity = capacity;
    return 0;
}

/* What is beyond the file's end or in its header counts as used, so that no search finds it. */
static void zone_mark_borders(uint64_t zone, uint64_t *used, uint64_t block_count)
{
    uint64_t begin = zone * STORE_ZONE_BLOCKS;

    if (begin < STORE_HEADER_BLOCKS) {
        bits_set(used, 0, STORE_HEADER_BLOCKS);
    }
    if (begin + STORE_ZONE_BLOCKS > block_count) {
        bits_set(used, block_count - begin, STORE_ZONE_BLOCKS - (block_count - begin));
    }
}

int space_resize(struct space *space, uint64_t block_count)
{
    uint64_t new_count = (block_count + STORE_ZONE_BLOCKS - 1) / STORE_ZONE_BLOCKS;
    uint64_t old_count = space->zone_count;
    uint64_t old_block_count = space->block_count;
    int result = space_grow_tables(space, new_count);

    if (result < 0) {
        return result;
    }
    uint64_t first = old_count < new_count ? old_count : new_count;
    first = first > 0 ? first - 1 : 0; /* the zone that was or becomes the last one, and all behind it */
    for (uint64_t zone = first; zone < old_count; zone++) {
        zone_uncount(space, zone);
    }
    for (uint64_t zone = new_count; zone < old_count; zone++) {
        BASE_ASSERT(space->zones[zone].used_count == 0);
    }
    space->block_count = block_count;
    atomic_store(&space->block_count_seen, block_count);
    space->zone_count = new_count;
    uint64_t *last_used = first < old_count ? space->zones[first].used : NULL;
    if (last_used && old_block_count < (first + 1) * STORE_ZONE_BLOCKS) {
        uint64_t begin = first * STORE_ZONE_BLOCKS;
        bits_clear(last_used, old_block_count - begin, STORE_ZONE_BLOCKS - (old_block_count - begin));
    }
    if (last_used) {
        zone_mark_borders(first, last_used, block_count);
        BASE_ASSERT(space->zones[first].used_count <= zone_usable(first, block_count));
    }
    for (uint64_t zone = first; zone < new_count; zone++) {
        zone_count(space, zone);
    }
    for (uint64_t zone = new_count; zone < old_count; zone++) {
        free(space->zones[zone].used);
        free(space->zones[zone].marks);
        space->zones[zone] = (struct zone){.used = NULL};
    }
    for (size_t i = 0; i < space->marked_count;) {
        if (space->marked_zones[i] >= new_count) {
            space->marked_zones[i] = space->marked_zones[--space->marked_count];
        } else {
            i++;
        }
    }
    if (space->content_cursor > block_count) {
        space->content_cursor = 0;
    }
    return 0;
}

/* --- Zones -------------------------------------------------------------------------------------------------------- */

/* Gives an empty zone a kind. */
int zone_take(struct space *space, uint64_t zone, enum zone_kind kind)
{
    BASE_ASSERT(space->zones[zone].kind == ZONE_EMPTY);
    uint64_t *used = calloc(ZONE_WORDS, sizeof(uint64_t));

    if (!used) {
        return -ENOMEM;
    }
    zone_uncount(space, zone);
    zone_mark_borders(zone, used, space->block_count);
    space->zones[zone].used = used;
    space->zones[zone].kind = (uint8_t)kind;
    zone_count(space, zone);
    return 0;
}

/* A zone that holds nothing is empty. */
void zone_give_back(struct space *space, uint64_t zone)
{
    struct zone *z = &space->zones[zone];

    if (z->kind == ZONE_EMPTY || z->used_count > 0) {
        return;
    }
    zone_uncount(space, zone);
    free(z->used);
    z->used = NULL;
    z->kind = ZONE_EMPTY;
    zone_count(space, zone);
}

/* Whether everything reserved, and that many nodes, would still fit if that empty zone became one of that kind. */
static bool zone_leaves_room(struct space *space, uint64_t zone, enum zone_kind kind, uint64_t node_blocks)
{
    zone_uncount(space, zone);
    space->zones[zone].kind = (uint8_t)kind;
    zone_count(space, zone);
    bool fits = space_fits(space, space->block_count, space->reserved_pages, space->reserved_content + node_blocks);
    zone_uncount(space, zone);
    space->zones[zone].kind = ZONE_EMPTY;
    zone_count(space, zone);
    return fits;
}

bool zone_may_take(struct space *space, uint64_t zone, enum zone_kind kind)
{
    return zone_leaves_room(space, zone, kind, space_node_reserve(space, space->block_count, 0));
}

/* While page zones have room for less than half a zone of pages, the lowest empty zone is left to them: contents that
 * run through a new file would else push the pages behind themselves, where they keep the file from getting shorter
 * when the contents are gone. */
bool zone_is_kept_for_pages(struct space *space, uint64_t zone)
{
    return zone == zone_lowest_available(space, ZONE_EMPTY) &&
           zone_next_available(space, ZONE_EMPTY, zone + 1) < space->zone_count &&
           space_get_capacity(space, space->block_count).page_slots < STORE_ZONE_BLOCKS / space->page_blocks / 2;
}

/* The empty zone to take next for a kind that has nothing left: the lowest that leaves room for the other kind. Where
 * zones differ (the first and the last are smaller) that is not always the lowest. */
int zone_choose_empty(struct space *space, enum zone_kind kind, uint64_t *ret_zone)
{
    uint64_t lowest = zone_lowest_available(space, ZONE_EMPTY);
    uint64_t last = space->zone_count - 1;

    if (lowest >= space->zone_count) {
        return -ENOSPC;
    }
    uint64_t second = zone_next_available(space, ZONE_EMPTY, lowest + 1);
    if (kind == ZONE_CONTENTS && zone_is_kept_for_pages(space, lowest)) {
        lowest = second;
        second = zone_next_available(space, ZONE_EMPTY, lowest + 1);
    }
    uint64_t candidates[] = {lowest, second, bits_get(space->available[ZONE_EMPTY], last) ? last : lowest};
    uint64_t node_blocks = space_node_reserve(space, space->block_count, 0);
    *ret_zone = lowest;
    /* A page that has its number but is not written yet counts twice for nodes: at the very edge less may be asked. */
    for (uint64_t asked = node_blocks; asked > 0; asked /= 2) {
        for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
            if (candidates[i] < space->zone_count && zone_leaves_room(space, candidates[i], kind, asked)) {
                *ret_zone = candidates[i];
                return 0;
            }
        }
    }
    return 0;
}

void zone_use_blocks(struct space *space, uint64_t zone, uint32_t first, uint32_t count)
{
    zone_uncount(space, zone);
    bits_set(space->zones[zone].used, first, count);
    space->zones[zone].used_count = (uint16_t)(space->zones[zone].used_count + count);
    space->used_blocks += count;
    zone_count(space, zone);
}

void zone_free_blocks(struct space *space, uint64_t zone, uint32_t first, uint32_t count)
{
    struct zone *z = &space->zones[zone];

    BASE_ASSERT(z->used && z->used_count >= count && bits_all(z->used, first, count));
    zone_uncount(space, zone);
    bits_clear(z->used, first, count);
    z->used_count = (uint16_t)(z->used_count - count);
    space->used_blocks -= count;
    zone_count(space, zone);
    zone_give_back(space, zone);
}

/* Makes sure that the zone can carry marks. */
int zone_make_marks(struct space *space, uint64_t zone)
{
    if (space->zones[zone].marks) {
        return 0;
    }
    if (space->marked_count == space->marked_capacity) {
        size_t capacity = space->marked_capacity ? space->marked_capacity * 2 : 64;
        uint64_t *marked = realloc(space->marked_zones, capacity * sizeof *marked);
        if (!marked) {
            return -ENOMEM;
        }
        space->marked_zones = marked;
        space->marked_capacity = capacity;
    }
    space->zones[zone].marks = calloc(1, sizeof(struct zone_marks));
    if (!space->zones[zone].marks) {
        return -ENOMEM;
    }
    space->marked_zones[space->marked_count++] = zone;
    return 0;
}

void zone_set_other(struct space *space, uint64_t zone, uint32_t first, uint32_t count, bool other)
{
    struct zone_marks *marks = space->zones[zone].marks;

    BASE_ASSERT(marks);
    if (other) {
        BASE_ASSERT(bits_none(marks->other, first, count));
        bits_set(marks->other, first, count);
        marks->other_count += count;
    } else {
        BASE_ASSERT(bits_all(marks->other, first, count));
        bits_clear(marks->other, first, count);
        marks->other_count -= count;
    }
}

/* Drops the marks of zones that need none. */
static void space_drop_marks(struct space *space)
{
    if (space->frees_promised > 0) {
        return; /* marks were made for them */
    }
    for (size_t i = 0; i < space->marked_count;) {
        struct zone *zone = &space->zones[space->marked_zones[i]];
        if (zone->marks->other_count == 0 && zone->marks->fresh_batch != space->batch) {
            free(zone->marks);
            zone->marks = NULL;
            space->marked_zones[i] = space->marked_zones[--space->marked_count];
        } else {
            i++;
        }
    }
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

/* A zone that holds pages and something else: the pages get marks, as all that is not contents has there. */
static int zone_mix(struct space *space, uint64_t zone)
{
    struct zone *z = &space->zones[zone];
    int result = zone_make_marks(space, zone);

    if (result < 0) {
        return result;
    }
    for (uint64_t block = 0; z->kind == ZONE_PAGES && block < STORE_ZONE_BLOCKS; block++) {
        uint64_t place = zone * STORE_ZONE_BLOCKS + block;
        if (bits_get(z->used, block) && place >= STORE_HEADER_BLOCKS && place < space->block_count) {
            zone_set_other(space, zone, (uint32_t)block, 1, true);
        }
    }
    zone_uncount(space, zone);
    z->kind = ZONE_MIXED;
    zone_count(space, zone);
    return 0;
}

/* Marks blocks of one zone. */
static int space_mark_in_zone(struct space *space, enum space_use use, uint64_t zone, uint32_t first, uint32_t count)
{
    enum zone_kind kind = use == SPACE_PAGE ? ZONE_PAGES : ZONE_CONTENTS;
    struct zone *z = &space->zones[zone];
    int result = 0;

    if (z->kind == ZONE_EMPTY) {
        result = zone_take(space, zone, kind);
    } else if (z->kind != kind && z->kind != ZONE_MIXED) {
        result = zone_mix(space, zone);
    }
    bool is_other = use != SPACE_CONTENT && z->kind != ZONE_PAGES;
    if (result == 0 && is_other) {
        result = zone_make_marks(space, zone);
    }
    if (result < 0) {
        return result;
    }
    if (!bits_none(z->used, first, count)) {
        return -EUCLEAN;
    }
    zone_use_blocks(space, zone, first, count);
    if (is_other) {
        zone_set_other(space, zone, first, count, true);
    }
    return 0;
}

int space_mark(struct space *space, enum space_use use, uint64_t block, uint64_t count)
{
    if (block < STORE_HEADER_BLOCKS || block >= space->block_count || count > space->block_count - block) {
        return -EUCLEAN;
    }
    if (use == SPACE_NODE) {
        space->node_blocks += count;
    } else if (use == SPACE_CONTENT) {
        space->content_blocks += count;
    }
    while (count > 0) {
        uint32_t first = (uint32_t)(block % STORE_ZONE_BLOCKS);
        uint32_t part = STORE_ZONE_BLOCKS - first < count ? STORE_ZONE_BLOCKS - first : (uint32_t)count;
        int result = space_mark_in_zone(space, use, block / STORE_ZONE_BLOCKS, first, part);
        if (result < 0) {
            return result;
        }
        block += part;
        count -= part;
    }
    return 0;
}

/* --- Pages and nodes ---------------------------------------------------------------------------------------------- */

/* The first free slot of a page zone, in blocks from its begin. */
static uint32_t zone_find_slot(const struct zone *zone, uint32_t page_blocks)
{
    uint32_t first = 0;

    while (first < STORE_ZONE_BLOCKS) {
        first = (uint32_t)bits_next_clear(zone->used, first, STORE_ZONE_BLOCKS) / page_blocks * page_blocks;
        if (first < STORE_ZONE_BLOCKS && bits_none(zone->used, first, page_blocks)) {
            return first;
        }
        first += page_blocks;
    }
    return STORE_ZONE_BLOCKS;
}

/* The lowest zone of a kind with something free. An empty zone still lower goes first, if it can be spared: pages and
 * nodes move whenever they change, so the end of the file gets free and can be cut off. */
static int space_find_zone(struct space *space, enum zone_kind kind, uint64_t *ret_zone)
{
    uint64_t zone = zone_lowest_available(space, kind);
    uint64_t empty = zone_lowest_available(space, ZONE_EMPTY);
    int result = 0;

    if (zone >= space->zone_count) {
        result = zone_choose_empty(space, kind, &zone);
    } else if (empty < zone && zone_may_take(space, empty, kind)) {
        zone = empty;
    }
    if (result == 0 && space->zones[zone].kind == ZONE_EMPTY) {
        result = zone_take(space, zone, kind);
    }
    if (result == 0) {
        *ret_zone = zone;
    }
    return result;
}

int space_allocate_page(struct space *space, uint64_t *ret_block)
{
    uint64_t zone;

    base_mutex_lock(&space->mutex);
    BASE_ASSERT(space->reserved_pages > 0);
    int result = space_find_zone(space, ZONE_PAGES, &zone);
    if (result == 0) {
        uint32_t first = zone_find_slot(&space->zones[zone], space->page_blocks);
        BASE_ASSERT(first < STORE_ZONE_BLOCKS);
        zone_use_blocks(space, zone, first, space->page_blocks);
        space->reserved_pages--;
        *ret_block = zone * STORE_ZONE_BLOCKS + first;
    }
    base_mutex_unlock(&space->mutex);
    return result;
}

void space_free_page(struct space *space, uint64_t block)
{
    uint64_t zone = block / STORE_ZONE_BLOCKS;
    uint32_t first = (uint32_t)(block % STORE_ZONE_BLOCKS);

    base_mutex_lock(&space->mutex);
    if (space->zones[zone].kind == ZONE_MIXED) {
        zone_set_other(space, zone, first, space->page_blocks, false);
    }
    zone_free_blocks(space, zone, first, space->page_blocks);
    base_mutex_unlock(&space->mutex);
}

int space_allocate_node(struct space *space, uint64_t *ret_block)
{
    uint64_t zone;

    base_mutex_lock(&space->mutex);
    int result = space_find_zone(space, ZONE_CONTENTS, &zone);
    if (result == 0) {
        result = zone_make_marks(space, zone);
        if (result < 0) {
            zone_give_back(space, zone);
        }
    }
    if (result == 0) {
        uint32_t first = (uint32_t)bits_next_clear(space->zones[zone].used, 0, STORE_ZONE_BLOCKS);
        zone_use_blocks(space, zone, first, 1);
        zone_set_other(space, zone, first, 1, true);
        space->node_blocks++;
        *ret_block = zone * STORE_ZONE_BLOCKS + first;
    }
    base_mutex_unlock(&space->mutex);
    return result;
}

void space_free_node(struct space *space, uint64_t block)
{
    uint64_t zone = block / STORE_ZONE_BLOCKS;
    uint32_t first = (uint32_t)(block % STORE_ZONE_BLOCKS);

    base_mutex_lock(&space->mutex);
    zone_set_other(space, zone, first, 1, false);
    zone_free_blocks(space, zone, first, 1);
    space->node_blocks--;
    base_mutex_unlock(&space->mutex);
}

bool space_is_used(struct space *space, uint64_t block)
{
    uint64_t zone = block / STORE_ZONE_BLOCKS;

    base_mutex_lock(&space->mutex);
    bool used = block < STORE_HEADER_BLOCKS || (zone < space->zone_count && space->zones[zone].used &&
                                                bits_get(space->zones[zone].used, block % STORE_ZONE_BLOCKS));
    base_mutex_unlock(&space->mutex);
    return used;
}

/* --- Epochs and batches ------------------------------------------------------------------------------------------- */

void space_freeze(struct space *space)
{
    space->numbers_at_freeze = space->numbers.count;
}

uint64_t space_seal(struct space *space)
{
    base_mutex_lock(&space->mutex);
    uint64_t sealed = space->batch++;
    base_mutex_unlock(&space->mutex);
    return sealed;
}

void space_release(struct space *space, uint64_t batch)
{
    struct deferred_queue *deferred = &space->deferred;
    bool more = true;

    base_mutex_lock(&space->mutex);
    while (more) {
        for (int i = 0; i < RELEASE_BATCH && more; i++) {
            more = deferred->begin < deferred->end && deferred->items[deferred->begin].batch <= batch;
            if (more) {
                struct store_run run = deferred->items[deferred->begin++].run;
                uint32_t first = (uint32_t)(run.block % STORE_ZONE_BLOCKS);
                zone_set_other(space, run.block / STORE_ZONE_BLOCKS, first, run.count, false);
                zone_free_blocks(space, run.block / STORE_ZONE_BLOCKS, first, run.count);
                deferred->block_count -= run.count;
            }
        }
        base_mutex_unlock(&space->mutex);
        base_mutex_lock(&space->mutex);
    }
    base_mutex_unlock(&space->mutex);
}

void space_tidy(struct space *space)
{
    base_mutex_lock(&space->mutex);
    space_drop_marks(space);
    uint64_t lowest = zone_lowest_available(space, ZONE_CONTENTS);
    uint64_t empty = zone_lowest_available(space, ZONE_EMPTY);
    space->content_cursor = (empty < lowest ? empty : lowest) * STORE_ZONE_BLOCKS;
    base_mutex_unlock(&space->mutex);
}
