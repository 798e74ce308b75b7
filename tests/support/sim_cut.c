/* See sim_cut.h. */
#include "support/sim_cut.h"

#include "base/assert.h"

#include <stdlib.h>

enum { LAST_COUNT = 4, OLDER_MISSING_MAX = 16 };

enum tear { TEAR_FIRST_SECTOR, TEAR_FIRST_HALF, TEAR_LAST_HALF, TEAR_EVERY_SECOND, TEAR_ALL_BUT_LAST, TEAR_COUNT };

void sim_cutter_init(struct sim_cutter *cutter, struct sim_image *image, const struct sim_record *record)
{
    *cutter = (struct sim_cutter){.image = image, .record = record};
}

void sim_cutter_deinit(struct sim_cutter *cutter)
{
    free(cutter->pending);
}

/* --- Applying events ---------------------------------------------------------------------------------------------- */

static void put_sectors(struct sim_image *image, const struct sim_record *record, const struct sim_event *event,
                        uint64_t begin, uint64_t end)
{
    for (size_t i = 0; i < event->piece_count; i++) {
        const struct sim_piece *piece = &record->pieces[event->piece_first + i];
        uint64_t base = (uint64_t)piece->index * SIM_BLOCK_SIZE;
        uint64_t from = begin > base + piece->from ? begin - base : piece->from;
        uint64_t to = end < base + piece->to ? end - base : piece->to;
        if (base + piece->from < end && base + piece->to > begin && from < to) {
            sim_image_put(image, piece->index, piece->block, (uint32_t)from, (uint32_t)to);
        }
    }
}

static void apply(struct sim_image *image, const struct sim_record *record, const struct sim_event *event)
{
    if (event->is_lost) {
        return;
    }
    switch (event->kind) {
    case SIM_EVENT_WRITE:
        for (size_t i = 0; i < event->piece_count; i++) {
            const struct sim_piece *piece = &record->pieces[event->piece_first + i];
            sim_image_put(image, piece->index, piece->block, piece->from, piece->to);
        }
        break;
    case SIM_EVENT_ALLOCATE:
        if (event->offset + event->size > image->size) {
            sim_image_set_size(image, event->offset + event->size);
        }
        break;
    case SIM_EVENT_TRUNCATE:
        sim_image_set_size(image, event->size);
        break;
    default:
        break;
    }
}

static uint64_t sector_count(const struct sim_event *event)
{
    return (event->size + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE;
}

static bool tear_keeps(enum tear tear, uint64_t sector, uint64_t count)
{
    switch (tear) {
    case TEAR_FIRST_SECTOR:
        return sector == 0;
    case TEAR_FIRST_HALF:
        return sector < count / 2;
    case TEAR_LAST_HALF:
        return sector >= count / 2;
    case TEAR_EVERY_SECOND:
        return sector % 2 == 0;
    default:
        return sector != count - 1;
    }
}

static void apply_torn(struct sim_image *image, const struct sim_record *record, const struct sim_event *event,
                       enum tear tear)
{
    uint64_t count = sector_count(event);

    if (event->kind != SIM_EVENT_WRITE || event->is_lost) {
        return;
    }
    for (uint64_t sector = 0; sector < count; sector++) {
        uint64_t begin = event->offset + sector * SIM_SECTOR_SIZE;
        uint64_t end = begin + SIM_SECTOR_SIZE < event->offset + event->size ? begin + SIM_SECTOR_SIZE
                                                                             : event->offset + event->size;
        if (tear_keeps(tear, sector, count)) {
            put_sectors(image, record, event, begin, end);
        }
    }
}

/* --- Walking ------------------------------------------------------------------------------------------------------ */

static void pending_add(struct sim_cutter *cutter, size_t event)
{
    if (cutter->pending_count == cutter->pending_capacity) {
        cutter->pending_capacity = cutter->pending_capacity ? 2 * cutter->pending_capacity : 64;
        cutter->pending = realloc(cutter->pending, cutter->pending_capacity * sizeof *cutter->pending);
        BASE_ASSERT(cutter->pending);
    }
    cutter->pending[cutter->pending_count++] = event;
}

/* What a failed sync covered stays in doubt for ever: a later sync that succeeds says nothing about it. */
static void make_durable(struct sim_cutter *cutter)
{
    size_t in_doubt = 0;

    for (size_t i = cutter->pending_count; i > 0 && in_doubt == 0; i--) {
        if (cutter->record->events[cutter->pending[i - 1]].kind == SIM_EVENT_SYNC_FAILED) {
            in_doubt = i;
        }
    }
    for (size_t i = in_doubt; i < cutter->pending_count && cutter->image; i++) {
        apply(cutter->image, cutter->record, &cutter->record->events[cutter->pending[i]]);
    }
    cutter->pending_count = in_doubt;
}

bool sim_cutter_step(struct sim_cutter *cutter)
{
    if (cutter->next == cutter->record->event_count) {
        return false;
    }
    const struct sim_event *event = &cutter->record->events[cutter->next];
    cutter->tag = event->tag;
    if (event->kind == SIM_EVENT_SYNC) {
        make_durable(cutter);
    } else if (event->kind != SIM_EVENT_MARK) {
        pending_add(cutter, cutter->next);
    }
    cutter->next++;
    return true;
}

bool sim_cutter_is_place(const struct sim_cutter *cutter)
{
    return cutter->next > 0 && cutter->record->events[cutter->next - 1].kind != SIM_EVENT_SYNC_FAILED;
}

/* --- Variants ----------------------------------------------------------------------------------------------------- */

static uint64_t last_count(const struct sim_cutter *cutter)
{
    return cutter->pending_count < LAST_COUNT ? cutter->pending_count : LAST_COUNT;
}

static uint64_t subset_count(const struct sim_cutter *cutter)
{
    uint64_t last = last_count(cutter);
    return (UINT64_C(1) << last) * (cutter->pending_count > last ? 2 : 1);
}

static uint64_t older_missing_count(const struct sim_cutter *cutter)
{
    uint64_t older = cutter->pending_count - last_count(cutter);
    return older < OLDER_MISSING_MAX ? older : OLDER_MISSING_MAX;
}

uint64_t sim_cut_count(const struct sim_cutter *cutter)
{
    return subset_count(cutter) + older_missing_count(cutter) + last_count(cutter) * TEAR_COUNT * 2;
}

static const struct sim_event *pending_event(const struct sim_cutter *cutter, size_t i)
{
    return &cutter->record->events[cutter->pending[i]];
}

static void apply_subset(const struct sim_cutter *cutter, uint64_t variant)
{
    uint64_t last = last_count(cutter);
    size_t older = cutter->pending_count - last;
    bool keeps_older = variant >> last == 0;

    for (size_t i = 0; i < older && keeps_older; i++) {
        apply(cutter->image, cutter->record, pending_event(cutter, i));
    }
    for (size_t i = 0; i < last; i++) {
        if (variant >> i & 1) {
            apply(cutter->image, cutter->record, pending_event(cutter, older + i));
        }
    }
}

void sim_cut_apply(const struct sim_cutter *cutter, uint64_t variant)
{
    if (variant < subset_count(cutter)) {
        apply_subset(cutter, variant);
        return;
    }
    variant -= subset_count(cutter);
    if (variant < older_missing_count(cutter)) {
        for (size_t i = 0; i < cutter->pending_count; i++) {
            if (i != variant) {
                apply(cutter->image, cutter->record, pending_event(cutter, i));
            }
        }
        return;
    }
    variant -= older_missing_count(cutter);
    bool keeps_others = variant % 2 == 0;
    enum tear tear = (enum tear)(variant / 2 % TEAR_COUNT);
    size_t torn = cutter->pending_count - 1 - variant / 2 / TEAR_COUNT;
    for (size_t i = 0; i < cutter->pending_count; i++) {
        if (i == torn) {
            apply_torn(cutter->image, cutter->record, pending_event(cutter, i), tear);
        } else if (keeps_others) {
            apply(cutter->image, cutter->record, pending_event(cutter, i));
        }
    }
}

void sim_cut_apply_random(const struct sim_cutter *cutter, struct base_random *random)
{
    uint64_t keep_eighths = base_random_below(random, 9);

    for (size_t i = 0; i < cutter->pending_count; i++) {
        const struct sim_event *event = pending_event(cutter, i);
        if (event->kind == SIM_EVENT_WRITE && base_random_below(random, 8) == 0) {
            for (uint64_t sector = 0; sector < sector_count(event) && !event->is_lost; sector++) {
                uint64_t begin = event->offset + sector * SIM_SECTOR_SIZE;
                uint64_t end = begin + SIM_SECTOR_SIZE < event->offset + event->size ? begin + SIM_SECTOR_SIZE
                                                                                     : event->offset + event->size;
                if (base_random_below(random, 2) == 0) {
                    put_sectors(cutter->image, cutter->record, event, begin, end);
                }
            }
        } else if (base_random_below(random, 8) < keep_eighths) {
            apply(cutter->image, cutter->record, event);
        }
    }
}
