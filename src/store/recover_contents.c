/* See recover.h: follows the content runs that records added and dropped, zone by zone, beside `space`; the difference
 * at the end goes into `space` and into the next checkpoint's bitmap. Memory: three bits a block of the zones that the
 * log names. */
#include "recover.h"

#include "base/tooth.h"
#include "bits.h"
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct content_zone {
    uint64_t initial[ZONE_WORDS]; /* contents in the checkpoint */
    uint64_t live[ZONE_WORDS];    /* contents now */
    uint64_t taken[ZONE_WORDS];   /* used by something else */
};

struct recover_contents {
    struct content_zone **zones; /* NULL: the log says nothing about it */
    uint64_t zone_count;
};

/* --- Following ---------------------------------------------------------------------------------------------------- */

/* A zone as the checkpoint has it. */
static struct content_zone *content_zone_create(const struct space *space, uint64_t zone)
{
    const struct zone *z = &space->zones[zone];
    struct content_zone *content = calloc(1, sizeof *content);
    uint64_t begin = zone * STORE_ZONE_BLOCKS;

    if (!content) {
        return NULL;
    }
    for (uint32_t i = 0; i < ZONE_WORDS && z->used; i++) {
        uint64_t other = z->marks ? z->marks->other[i] : 0;
        content->taken[i] = z->kind == ZONE_PAGES ? z->used[i] : other & z->used[i];
        content->live[i] = z->used[i] & ~content->taken[i];
    }
    if (begin < STORE_HEADER_BLOCKS) {
        bits_set(content->taken, 0, STORE_HEADER_BLOCKS - begin);
        bits_clear(content->live, 0, STORE_HEADER_BLOCKS - begin);
    }
    if (begin + STORE_ZONE_BLOCKS > space->block_count) {
        uint64_t size = space->block_count - begin;
        bits_set(content->taken, size, STORE_ZONE_BLOCKS - size);
        bits_clear(content->live, size, STORE_ZONE_BLOCKS - size);
    }
    memcpy(content->initial, content->live, sizeof content->live);
    return content;
}

/* One part of a run, in one zone. False when that is impossible.
 *
 * What is contents for a while may lie where something else stands by now: contents that came and went after the freeze
 * of a checkpoint make room for the nodes and pages that it still has to write. Only at the end must both be apart. */
static bool content_zone_follow(struct content_zone *content, enum log_edit_kind kind, uint64_t first, uint64_t count)
{
    if (kind == LOG_EDIT_DROP) {
        if (!bits_all(content->live, first, count)) {
            return false;
        }
        bits_clear(content->live, first, count);
        return true;
    }
    if (!bits_none(content->live, first, count)) {
        return false;
    }
    bits_set(content->live, first, count);
    return true;
}

/* Contents at the end of the log that something else uses too. */
static int contents_find_taken(const struct recover_contents *contents, uint64_t last_lsn,
                               struct base_reason *ret_reason)
{
    for (uint64_t zone = 0; zone < contents->zone_count; zone++) {
        const struct content_zone *content = contents->zones[zone];
        for (uint32_t i = 0; content && i < ZONE_WORDS; i++) {
            uint64_t both = content->live[i] & content->taken[i];
            if (both != 0) {
                uint64_t block = zone * STORE_ZONE_BLOCKS + i * 64 + (uint64_t)__builtin_ctzll(both);
                return recover_damaged(ret_reason, last_lsn,
                                       "%d blocks from block %llu become contents, but are in use",
                                       __builtin_popcountll(both), (unsigned long long)block);
            }
        }
    }
    return 0;
}

static int contents_follow(struct store *store, struct recover_contents *contents, const struct log_edit *edit,
                           uint64_t lsn, struct base_reason *ret_reason)
{
    uint64_t block = edit->run.block;
    uint64_t left = edit->run.count;

    while (left > 0) {
        uint64_t zone = block / STORE_ZONE_BLOCKS;
        uint64_t first = block % STORE_ZONE_BLOCKS;
        uint64_t count = left < STORE_ZONE_BLOCKS - first ? left : STORE_ZONE_BLOCKS - first;
        if (!contents->zones[zone]) {
            contents->zones[zone] = content_zone_create(&store->space, zone);
        }
        if (!contents->zones[zone]) {
            base_reason_set(ret_reason, "out of memory");
            return -ENOMEM;
        }
        if (!content_zone_follow(contents->zones[zone], edit->kind, first, count)) {
            return recover_damaged(
                ret_reason, lsn, "%u blocks at block %llu %s", edit->run.count, (unsigned long long)edit->run.block,
                edit->kind == LOG_EDIT_ADD ? "become contents, but are in use" : "are freed, but are no contents");
        }
        block += count;
        left -= count;
    }
    return 0;
}

int recover_contents_create(struct store *store, const struct recover_log *log, struct recover_contents **ret_contents,
                            struct base_reason *ret_reason)
{
    struct recover_contents *contents = calloc(1, sizeof *contents);
    int result = 0;

    if (contents) {
        contents->zone_count = store->space.zone_count;
        contents->zones = calloc(contents->zone_count, sizeof(struct content_zone *));
    }
    if (!contents || !contents->zones) {
        free(contents);
        base_reason_set(ret_reason, "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < log->count && result == 0; i++) {
        struct log_reader reader;
        struct log_edit edit;
        log_reader_init(&reader, &log->batches[i], store->page_size);
        while (result == 0 && log_reader_next(&reader, &edit) == 0) {
            if (edit.kind == LOG_EDIT_ADD || edit.kind == LOG_EDIT_DROP) {
                result = contents_follow(store, contents, &edit, reader.lsn, ret_reason);
            }
        }
    }
    if (result == 0) {
        result = contents_find_taken(contents, log->next_lsn - 1, ret_reason);
    }
    if (result < 0) {
        recover_contents_destroy(contents);
        return result;
    }
    *ret_contents = contents;
    return 0;
}

void recover_contents_destroy(struct recover_contents *contents)
{
    if (contents) {
        for (uint64_t i = 0; i < contents->zone_count; i++) {
            free(contents->zones[i]);
        }
        free(contents->zones);
        free(contents);
    }
}

/* --- The difference ----------------------------------------------------------------------------------------------- */

static void contents_freed(void *context, struct store_run part, bool fresh)
{
    (void)context;
    (void)part;
    (void)fresh;
}

/* Contents of the checkpoint that are none any more. */
static int contents_free_run(struct store *store, struct store_run run)
{
    int result = space_prepare_free(&store->space, run);

    if (result == 0) {
        base_mutex_lock(&store->space.mutex);
        (void)space_free_content(&store->space, run, contents_freed, NULL);
        base_mutex_unlock(&store->space.mutex);
        space_unprepare_free(&store->space, run.count);
    }
    return result;
}

static int contents_apply_run(struct store *store, struct store_run run, bool is_added, struct base_reason *ret_reason)
{
    int result =
        is_added ? space_mark(&store->space, SPACE_CONTENT, run.block, run.count) : contents_free_run(store, run);

    if (result == -EUCLEAN && BASE_TOOTH(STEAL_OVER_CONTENTS)) {
        result = 0; /* a page stands there by now */
    }
    if (result == 0 && !store->read_only) {
        result = content_changes_add(&store->changes_live, run, is_added);
        atomic_store(&store->live_dirty, true);
    }
    if (result < 0) {
        base_reason_set(ret_reason, "log: contents at block %llu can't be noted: %s", (unsigned long long)run.block,
                        strerror(-result));
    }
    return result;
}

/* The runs of `bits`, which are on one side only. */
static int contents_apply_bits(struct store *store, uint64_t zone, const uint64_t *bits, bool is_added,
                               uint64_t *ret_blocks, struct base_reason *ret_reason)
{
    uint64_t position = 0;
    int result = 0;

    while (result == 0 && (position = bits_next_set(bits, position, STORE_ZONE_BLOCKS)) < STORE_ZONE_BLOCKS) {
        uint64_t end = bits_next_clear(bits, position, STORE_ZONE_BLOCKS);
        struct store_run run = {zone * STORE_ZONE_BLOCKS + position, (uint32_t)(end - position)};
        result = contents_apply_run(store, run, is_added, ret_reason);
        *ret_blocks += run.count;
        position = end;
    }
    return result;
}

int recover_contents_apply(struct store *store, struct recover_contents *contents, uint64_t *ret_added_blocks,
                           struct base_reason *ret_reason)
{
    uint64_t added_blocks = 0;
    uint64_t dropped_blocks = 0;
    int result = 0;

    for (uint64_t zone = 0; zone < contents->zone_count && result == 0; zone++) {
        const struct content_zone *content = contents->zones[zone];
        uint64_t added[ZONE_WORDS];
        uint64_t dropped[ZONE_WORDS];
        if (!content) {
            continue;
        }
        for (uint32_t i = 0; i < ZONE_WORDS; i++) {
            added[i] = content->live[i] & ~content->initial[i];
            dropped[i] = content->initial[i] & ~content->live[i];
        }
        result = contents_apply_bits(store, zone, dropped, false, &dropped_blocks, ret_reason);
        if (result == 0) {
            result = contents_apply_bits(store, zone, added, true, &added_blocks, ret_reason);
        }
    }
    if (result == 0) {
        *ret_added_blocks = added_blocks;
    }
    return result;
}
