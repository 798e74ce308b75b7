/* Checks the state on the disk: both superblock slots, the blocks around them, the log, every node of both trees (read
 * anew, not from the cache), that no block is used twice, that counts agree, every page's checksum, and that the
 * allocator's view in memory is the same.
 *
 * What a power cut may leave is a note: one slot torn, absent (a cut while formatting) or older, a log that is not
 * empty, its last batch without contents. Everything else that is not as docs/format.md has it is a problem.
 *
 * For a store that nobody changes meanwhile. What is not yet in a checkpoint is not looked at. */
#include "internal.h"

#include "base/assert.h"
#include "bits.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECK_CACHE_SIZE = 256 << 10, PROGRESS_PAGES = 64 };

static const char *const slot_names[SUPERBLOCK_SLOTS] = {"A", "B"};

struct check {
    struct store *store;
    struct store_check_report *report;
    uint64_t *used; /* a bit per block */
    uint64_t block_count;
    uint8_t *page_buffer;
    uint64_t pages;
    uint64_t content_blocks;
    uint64_t used_blocks;
    bool is_cancelled;
};

static void check_problem(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void check_note(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void check_problem(struct check *check, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    check->report->problems++;
    if (check->report->problem) {
        check->report->problem(check->report->context, text);
    }
}

static void check_note(struct check *check, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    check->report->notes++;
    if (check->report->note) {
        check->report->note(check->report->context, text);
    }
}

static void check_damaged(void *context, const struct base_reason *reason)
{
    check_problem(context, "%s", reason->text);
}

/* Takes blocks for a user; false, with a problem, when that is impossible. */
static bool check_use(struct check *check, uint64_t block, uint64_t count, const char *what, uint64_t number)
{
    unsigned long long shown_block = block;
    unsigned long long shown_number = number;

    if (block < STORE_HEADER_BLOCKS || block >= check->block_count || count > check->block_count - block) {
        check_problem(check, "%s %llu: block %llu is outside of the file", what, shown_number, shown_block);
        return false;
    }
    if (!bits_none(check->used, block, count)) {
        check_problem(check, "%s %llu: block %llu is used twice", what, shown_number, shown_block);
        return false;
    }
    bits_set(check->used, block, count);
    check->used_blocks += count;
    if (!space_is_used(&check->store->space, block)) {
        check_problem(check, "%s %llu: block %llu is free for the allocator", what, shown_number, shown_block);
    }
    return true;
}

static int check_node(void *context, uint64_t block, struct base_reason *ret_reason)
{
    struct check *check = context;

    if (!check_use(check, block, 1, "node at block", block)) {
        base_reason_set(ret_reason, "what the node at block %llu leads to is not checked", (unsigned long long)block);
        return -EUCLEAN;
    }
    check->report->nodes_checked++;
    return 0;
}

static int check_map_leaf(void *context, uint64_t leaf, const uint8_t *node, struct base_reason *ret_reason)
{
    struct check *check = context;
    const uint64_t pages_before = check->pages;

    (void)ret_reason;
    for (uint32_t i = 0; i < RADIX_PAGES_PER_LEAF; i++) {
        struct node_ref entry = radix_get_entry(node, i);
        uint64_t page = leaf * RADIX_PAGES_PER_LEAF + i;
        struct base_reason reason;
        if (entry.block == 0) {
            continue;
        }
        check->pages++;
        if (!check_use(check, entry.block, check->store->page_blocks, "page", page)) {
            continue;
        }
        if (store_page_read_at(check->store, page, entry, check->page_buffer, &reason) < 0) {
            check_problem(check, "%s", reason.text);
        }
        check->report->pages_checked++;
        if (check->report->progress && check->report->pages_checked % PROGRESS_PAGES == 0 &&
            !check->report->progress(check->report->context, check->pages, check->store->superblock.page_count)) {
            check->is_cancelled = true;
            return -ECANCELED;
        }
    }
    if (check->pages == pages_before) {
        check_problem(check, "page map: leaf node %llu has no pages and should be absent", (unsigned long long)leaf);
    }
    return 0;
}

static int check_bitmap_leaf(void *context, uint64_t leaf, const uint8_t *node, struct base_reason *ret_reason)
{
    struct check *check = context;
    const uint64_t blocks_before = check->content_blocks;

    (void)ret_reason;
    for (uint32_t bit = 0; bit < RADIX_BLOCKS_PER_LEAF; bit++) {
        uint64_t block = leaf * RADIX_BLOCKS_PER_LEAF + bit;
        if (node[bit / 8] == 0) {
            bit |= 7;
        } else if (node[bit / 8] >> (bit % 8) & 1) {
            check->content_blocks++;
            check_use(check, block, 1, "contents at block", block);
        }
    }
    if (check->content_blocks == blocks_before) {
        check_problem(check, "content bitmap: leaf node %llu has no bits and should be absent",
                      (unsigned long long)leaf);
    }
    return 0;
}

/* A slot that serves nobody. An error of the disk is not what a power cut leaves. */
static void check_bad_slot(struct check *check, unsigned slot, const struct base_reason *reason)
{
    uint8_t block[STORE_BLOCK_SIZE];
    int result = os_file_read(check->store->file, block, sizeof block, superblock_place(slot) * STORE_BLOCK_SIZE);

    if (result < 0) {
        check_problem(check, "superblock slot %s: %s", slot_names[slot], reason->text);
    } else {
        check_note(check, "superblock slot %s is torn (%s): the next writable mount repairs it", slot_names[slot],
                   reason->text);
    }
}

/* What is alike in both slots whatever their generations. */
static bool slots_are_relatives(const struct superblock *a, const struct superblock *b)
{
    return a->page_size == b->page_size && a->format_time_s == b->format_time_s &&
           memcmp(a->identifier, b->identifier, STORE_IDENTIFIER_SIZE) == 0 &&
           memcmp(a->label, b->label, STORE_LABEL_SIZE) == 0;
}

/* Two valid slots. */
static void check_slot_pair(struct check *check, const struct superblock_slots *slots)
{
    const struct superblock *newest = &slots->superblocks[slots->newest];
    const struct superblock *other = &slots->superblocks[1 - slots->newest];
    const char *other_name = slot_names[1 - slots->newest];
    uint8_t blocks[SUPERBLOCK_SLOTS][STORE_BLOCK_SIZE];

    if (!slots_are_relatives(newest, other)) {
        check_problem(check, "superblock slot %s belongs to another database", other_name);
    } else if (other->generation < newest->generation) {
        check_note(check, "superblock slot %s is older (generation %llu, not %llu): the next writable mount repairs it",
                   other_name, (unsigned long long)other->generation, (unsigned long long)newest->generation);
    } else {
        superblock_encode(newest, blocks[0]);
        superblock_encode(other, blocks[1]);
        if (memcmp(blocks[0], blocks[1], STORE_BLOCK_SIZE) != 0) {
            check_problem(check, "the superblock slots differ, but have the same generation %llu",
                          (unsigned long long)newest->generation);
        }
    }
}

static int check_superblocks(struct check *check)
{
    struct superblock_slots *slots = malloc(sizeof *slots);
    struct base_reason reason;

    if (!slots) {
        return -ENOMEM;
    }
    int result = superblock_read_slots(check->store->file, slots, &reason);
    if (result < 0) {
        check_problem(check, "superblocks: %s", reason.text);
        free(slots);
        return 0;
    }
    for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
        if (slots->states[slot] != SUPERBLOCK_VALID) {
            check_bad_slot(check, slot, &slots->reasons[slot]);
        }
    }
    if (slots->states[1 - slots->newest] == SUPERBLOCK_VALID) {
        check_slot_pair(check, slots);
    }
    if (slots->superblocks[slots->newest].generation != check->store->superblock.generation) {
        check_problem(check, "the newest superblock's state (generation %llu) is damaged",
                      (unsigned long long)slots->superblocks[slots->newest].generation);
    }
    free(slots);
    return 0;
}

/* The blocks beside the slots are kept for later formats: zeros. */
static void check_header(struct check *check)
{
    for (uint64_t block = 0; block < STORE_HEADER_BLOCKS; block++) {
        uint8_t bytes[STORE_BLOCK_SIZE];
        if (block == superblock_place(0) || block == superblock_place(1)) {
            continue;
        }
        int result = os_file_read(check->store->file, bytes, sizeof bytes, block * STORE_BLOCK_SIZE);
        if (result < 0) {
            check_problem(check, "block %llu of the header can't be read: %s", (unsigned long long)block,
                          strerror(-result));
        } else if (bytes[0] != 0 || memcmp(bytes, bytes + 1, sizeof bytes - 1) != 0) {
            check_problem(check, "block %llu of the header is not zero", (unsigned long long)block);
        }
    }
}

static int check_trees(struct check *check)
{
    const struct radix_visitor map_visitor = {check, check_node, check_map_leaf, check_damaged};
    const struct radix_visitor bitmap_visitor = {check, check_node, check_bitmap_leaf, check_damaged};
    const struct superblock *superblock = &check->store->superblock;
    struct node_cache *cache = malloc(sizeof *cache);
    struct base_reason reason;

    int result = cache ? node_cache_init(cache, check->store->file, CHECK_CACHE_SIZE) : -ENOMEM;
    if (result < 0) {
        free(cache);
        return result;
    }
    for (uint32_t i = 0; i < superblock->log.run_count; i++) {
        const struct superblock_log_run *run = &superblock->log.runs[i];
        check_use(check, run->block, run->block_count, "log run", i);
    }
    result = radix_walk(cache, &superblock->map, &map_visitor, &reason);
    if (result == 0) {
        result = radix_walk(cache, &superblock->bitmap, &bitmap_visitor, &reason);
    }
    node_cache_deinit(cache);
    free(cache);
    if (check->is_cancelled) {
        return -ECANCELED;
    }
    if (result < 0 && result != -ENOMEM) {
        check_problem(check, "%s", reason.text);
        return 0;
    }
    return result;
}

/* A log that was not empty when a read-only store was opened: the state that is checked is the one after recovery. The
 * log of a writable one is new, or in use. */
static int check_log(struct check *check)
{
    struct store *store = check->store;
    struct recover_log log;
    struct base_reason reason;

    if (!store->read_only) {
        return 0;
    }
    int result = recover_scan(store, &log, &reason);
    if (result == -ENOMEM) {
        return result;
    }
    if (result < 0) {
        check_problem(check, "log: %s", reason.text);
        return 0;
    }
    if (log.is_damaged) {
        check_problem(check, "%s", log.damage.text);
    } else if (log.count > 0) {
        check_note(check, "the log holds %llu batches with %llu operations: checked as after the next writable mount",
                   (unsigned long long)store->recovery.batches, (unsigned long long)store->recovery.records);
    }
    if (log.dropped_batches > 0) {
        check_note(check, "the last batch of the log lacks contents: the next writable mount drops it");
    }
    recover_log_deinit(&log);
    return 0;
}

/* With nothing pending the allocator must know exactly the blocks that the trees name. */
static void check_counts(struct check *check)
{
    struct store *store = check->store;
    const struct superblock *superblock = &store->superblock;
    struct space *space = &store->space;

    if (check->pages != superblock->page_count || check->content_blocks != superblock->content_block_count) {
        check_problem(check, "the superblock counts %llu pages and %llu content blocks, there are %llu and %llu",
                      (unsigned long long)superblock->page_count, (unsigned long long)superblock->content_block_count,
                      (unsigned long long)check->pages, (unsigned long long)check->content_blocks);
    }
    base_mutex_lock(&space->mutex);
    uint64_t used_blocks = space->used_blocks - STORE_HEADER_BLOCKS - space->unpublished_blocks;
    base_mutex_unlock(&space->mutex);
    uint64_t expected_blocks = check->used_blocks + (store->redo ? store->redo->added_blocks : 0);
    if (!atomic_load(&store->live_dirty) && !atomic_load(&store->is_frozen) && used_blocks != expected_blocks) {
        check_problem(check, "the allocator counts %llu used blocks, the trees name %llu",
                      (unsigned long long)used_blocks, (unsigned long long)check->used_blocks);
    }
}

int store_check(struct store *store, struct store_check_report *report)
{
    struct check check = {.store = store, .report = report};

    check.block_count = store->superblock.block_count;
    check.used = calloc(check.block_count / 64 + 1, sizeof *check.used);
    check.page_buffer = malloc(store->page_size);
    int result = check.used && check.page_buffer ? check_superblocks(&check) : -ENOMEM;
    if (result == 0) {
        check_header(&check);
        result = check_log(&check);
    }
    if (result == 0) {
        result = check_trees(&check);
    }
    if (result == 0) {
        check_counts(&check);
    }
    free(check.used);
    free(check.page_buffer);
    return result;
}
