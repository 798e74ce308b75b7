/* For the tests of recovery: a store with a checkpoint, and batches written into its ring without the running log, from
 * records that follow a model of pages and contents. */
#ifndef BEEFTREE_TESTS_STORE_RECOVER_CRAFT_H
#define BEEFTREE_TESTS_STORE_RECOVER_CRAFT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/message.h"
#include "base/random.h"
#include "internal.h"
#include "support/fault_file.h"
#include "support/test_seed.h"

enum {
    CRAFT_PAGES = 48,   /* page numbers of the model: 1 to below this */
    CRAFT_BLOCKS = 256, /* blocks of the model's contents, from contents_begin on */
    CRAFT_BATCH_SIZE = 1 << 20,
    CRAFT_LISTED = 512,
};

/* What must be there. */
struct craft_state {
    uint8_t *pages[CRAFT_PAGES]; /* NULL: not in use */
    bool contents[CRAFT_BLOCKS];
};

struct craft {
    struct fault_file *fault;
    struct os_file *file;
    struct base_random random;
    uint32_t page_size;
    uint64_t contents_begin; /* first block of the contents */
    struct craft_state state;
    bool taken[CRAFT_BLOCKS]; /* by nodes of the checkpoint */
    bool is_damaged;          /* a check finds something */

    /* The log being made. */
    struct superblock superblock;
    uint64_t ring_size, position, sequence, lsn;
    uint8_t *bytes; /* of the batch */
    uint8_t *at;
    uint8_t *record;
    uint64_t first_lsn;
    uint32_t record_count;
    struct store_run listed[CRAFT_LISTED];
    uint32_t listed_count;
    uint64_t last_position; /* where the last batch begins */
    uint32_t last_size;
};

static inline uint64_t craft_below(struct craft *craft, uint64_t bound)
{
    return base_random_below(&craft->random, bound);
}

static inline int craft_open_file(struct os_file *file, bool read_only, struct store **ret_store,
                                  struct base_reason *ret_reason)
{
    const struct store_open_options options = {.read_only = read_only};

    *ret_reason = (struct base_reason){""};
    return store_open(file, &options, ret_store, ret_reason);
}

static inline struct store *craft_open(struct craft *craft, bool read_only)
{
    struct base_reason reason;
    struct store *store = NULL;
    int result = craft_open_file(craft->file, read_only, &store, &reason);

    if (result < 0) {
        print_error("store_open: %d: %s\n", result, reason.text);
    }
    assert_int_equal(result, 0);
    return store;
}

static inline void craft_refuses(struct craft *craft, bool read_only, int error, const char *part_of_reason)
{
    struct base_reason reason;
    struct store *store;
    int result = craft_open_file(craft->file, read_only, &store, &reason);

    if (result != error || !strstr(reason.text, part_of_reason)) {
        print_error("store_open: %d: \"%s\" instead of %d: \"%s\"\n", result, reason.text, error, part_of_reason);
    }
    assert_int_equal(result, error);
    assert_non_null(strstr(reason.text, part_of_reason));
}

/* --- The state ---------------------------------------------------------------------------------------------------- */

static inline void craft_fill(struct craft *craft, void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)bytes)[i] = (uint8_t)base_random_next(&craft->random);
    }
}

static inline void craft_state_copy(const struct craft *craft, struct craft_state *to)
{
    memcpy(to->contents, craft->state.contents, sizeof to->contents);
    for (int i = 0; i < CRAFT_PAGES; i++) {
        to->pages[i] = craft->state.pages[i] ? malloc(craft->page_size) : NULL;
        if (to->pages[i]) {
            memcpy(to->pages[i], craft->state.pages[i], craft->page_size);
        }
    }
}

static inline void craft_state_free(struct craft_state *state)
{
    for (int i = 0; i < CRAFT_PAGES; i++) {
        free(state->pages[i]);
        state->pages[i] = NULL;
    }
}

static inline void craft_problem(void *context, const char *text)
{
    const struct craft *craft = context;

    if (!craft || !craft->is_damaged) {
        print_error("store_check: %s\n", text);
    }
}

/* The store has exactly that state, and a check finds nothing (unless the log is damaged). */
static inline void craft_expect(const struct craft *craft, struct store *store, const struct craft_state *state)
{
    struct store_check_report report = {.problem = craft_problem, .context = (void *)craft};
    struct store_statistics statistics;
    uint8_t *buffer = malloc(craft->page_size);
    uint64_t pages = 0;
    uint64_t blocks = 0;

    assert_non_null(buffer);
    for (uint64_t page = 0; store_page_next(store, &page) == 0; pages++) {
        assert_true(page < CRAFT_PAGES && state->pages[page]);
        assert_int_equal(store_page_read(store, page, buffer), 0);
        assert_memory_equal(buffer, state->pages[page], craft->page_size);
    }
    for (int i = 1; i < CRAFT_PAGES; i++) {
        pages -= state->pages[i] != NULL;
        if (!state->pages[i]) {
            assert_int_equal(store_page_read(store, (uint64_t)i, buffer), -EUCLEAN);
        }
    }
    assert_int_equal(pages, 0);
    for (uint64_t i = 0; i < CRAFT_BLOCKS; i++) {
        const struct store_run run = {craft->contents_begin + i, 1};
        assert_int_equal(store_content_is_valid(store, run), state->contents[i]);
        blocks += state->contents[i];
    }
    store_get_statistics(store, &statistics);
    assert_int_equal(statistics.content_blocks, blocks);
    assert_int_equal(store_check(store, &report), 0);
    assert_true(report.problems == 0 || craft->is_damaged);
    free(buffer);
}

/* --- A checkpoint to begin with ----------------------------------------------------------------------------------- */

static inline void craft_make_page(struct craft *craft, struct store *store)
{
    const struct store_need need = {.pages = 1};

    assert_int_equal(store_reserve(store, &need), 0);
    uint64_t page = store_page_number_allocate(store);
    assert_true(page < CRAFT_PAGES);
    craft->state.pages[page] = malloc(craft->page_size);
    assert_non_null(craft->state.pages[page]);
    craft_fill(craft, craft->state.pages[page], craft->page_size);
    assert_int_equal(store_page_write(store, page, craft->state.pages[page], false), 0);
}

/* A quarter of the model's blocks become contents. */
static inline void craft_make_contents(struct craft *craft, struct store *store)
{
    const struct store_need need = {.content_blocks = CRAFT_BLOCKS};
    struct store_run runs[CRAFT_BLOCKS];
    uint8_t bytes[STORE_BLOCK_SIZE];

    assert_int_equal(store_reserve(store, &need), 0);
    for (uint32_t i = 0; i < CRAFT_BLOCKS; i++) {
        uint64_t goal = i > 0 ? runs[i - 1].block + 1 : STORE_ZONE_BLOCKS;
        assert_int_equal(store_content_allocate(store, 1, goal, &runs[i]), 0);
        assert_true(i == 0 || runs[i].block == runs[i - 1].block + 1);
    }
    craft->contents_begin = runs[0].block;
    for (uint32_t i = 0; i < CRAFT_BLOCKS; i++) {
        if (i % 2 == 1 || i >= CRAFT_BLOCKS / 2) {
            store_content_cancel(store, runs[i]);
            continue;
        }
        craft_fill(craft, bytes, sizeof bytes);
        assert_int_equal(store_content_write(store, runs[i], bytes), 0);
        store_content_publish(store, runs[i], NULL);
        craft->state.contents[i] = true;
    }
}

static inline void craft_write_superblocks(struct craft *craft)
{
    for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
        assert_int_equal(superblock_write_slot(craft->file, slot, &craft->superblock), 0);
    }
    assert_int_equal(os_file_sync(craft->file), 0);
}

/* What the model can't use for contents. */
static inline void craft_find_taken(struct craft *craft)
{
    struct store *store = craft_open(craft, true);

    for (uint64_t i = 0; i < CRAFT_BLOCKS; i++) {
        const struct store_run run = {craft->contents_begin + i, 1};
        craft->taken[i] = space_is_used(&store->space, run.block) && !store_content_is_valid(store, run);
    }
    store_close(store);
}

/* Where the log goes on, as the superblock says. */
static inline void craft_attach(struct craft *craft)
{
    struct superblock_slots *slots = malloc(sizeof *slots);
    struct base_reason reason;

    assert_non_null(slots);
    assert_int_equal(superblock_read_slots(craft->file, slots, &reason), 0);
    craft->superblock = slots->superblocks[slots->newest];
    free(slots);
    craft->ring_size = 0;
    for (uint32_t i = 0; i < craft->superblock.log.run_count; i++) {
        craft->ring_size += craft->superblock.log.runs[i].block_count * STORE_BLOCK_SIZE;
    }
    craft->position = craft->superblock.log.next_position;
    craft->sequence = craft->superblock.log.next_sequence;
    craft->lsn = craft->superblock.log.next_lsn;
    if (craft->contents_begin > 0) {
        craft_find_taken(craft);
    }
}

/* Moves the begin of the log, so that batches go round the end of the ring. */
static inline void craft_move_log(struct craft *craft, uint64_t position, uint64_t sequence, uint64_t lsn)
{
    craft->superblock.log.next_position = craft->position = position;
    craft->superblock.log.next_sequence = craft->sequence = sequence;
    craft->superblock.log.next_lsn = craft->lsn = lsn;
    craft_write_superblocks(craft);
}

static inline struct craft *craft_create(uint32_t page_size, uint64_t log_size, uint64_t seed)
{
    const struct store_format_options format = {.page_size = page_size, .log_size = log_size};
    struct craft *craft = calloc(1, sizeof *craft);

    assert_non_null(craft);
    base_random_seed(&craft->random, seed);
    craft->page_size = page_size;
    craft->fault = fault_file_create(NULL);
    craft->file = fault_file_seam(craft->fault);
    craft->bytes = malloc(CRAFT_BATCH_SIZE);
    assert_non_null(craft->bytes);
    assert_int_equal(store_format(craft->file, &format), 0);
    struct store *store = craft_open(craft, false);
    for (int i = 0; i < 12; i++) {
        craft_make_page(craft, store);
    }
    craft_make_contents(craft, store);
    store_freeze(store);
    assert_int_equal(store_checkpoint(store), 0);
    craft_expect(craft, store, &craft->state);
    store_close(store);
    craft_attach(craft);
    return craft;
}

static inline void craft_destroy(struct craft *craft)
{
    craft_state_free(&craft->state);
    os_file_close(craft->file);
    free(craft->bytes);
    free(craft);
}

/* --- Batches ------------------------------------------------------------------------------------------------------ */

static inline void craft_begin(struct craft *craft)
{
    craft->at = craft->bytes + LOG_HEADER_SIZE;
    craft->first_lsn = craft->lsn;
    craft->record_count = 0;
    craft->listed_count = 0;
}

static inline void craft_begin_record(struct craft *craft)
{
    craft->record = craft->at;
    craft->at += LOG_RECORD_HEADER_SIZE;
}

static inline void craft_end_record(struct craft *craft)
{
    uint32_t size = (uint32_t)(craft->at - craft->record - LOG_RECORD_HEADER_SIZE);

    for (int i = 0; i < 4; i++) {
        craft->record[i] = (uint8_t)(size >> (8 * i));
    }
    craft->record_count++;
    craft->lsn++;
}

/* Bytes into the ring, round its end and over its runs. */
static inline void craft_write_ring(struct craft *craft, uint64_t position, const uint8_t *bytes, uint64_t size)
{
    for (uint64_t done = 0; done < size; done += STORE_BLOCK_SIZE) {
        uint64_t at = (position + done) % craft->ring_size / STORE_BLOCK_SIZE;
        const struct superblock_log_run *run = craft->superblock.log.runs;
        while (at >= run->block_count) {
            at -= run->block_count;
            run++;
        }
        assert_int_equal(
            os_file_write(craft->file, bytes + done, STORE_BLOCK_SIZE, (run->block + at) * STORE_BLOCK_SIZE), 0);
    }
}

static inline uint8_t *craft_put_contents(struct craft *craft, uint8_t *at)
{
    uint8_t bytes[STORE_BLOCK_SIZE];

    for (uint32_t i = 0; i < craft->listed_count; i++) {
        struct log_content content = {.run = craft->listed[i]};
        uint64_t checksums[CRAFT_BLOCKS] = {0};
        assert_true(content.run.count <= CRAFT_BLOCKS);
        for (uint32_t k = 0; k < content.run.count; k++) {
            if (os_file_read(craft->file, bytes, sizeof bytes, (content.run.block + k) * STORE_BLOCK_SIZE) == 0) {
                checksums[k] = store_content_checksum(bytes);
            }
        }
        content.checksum = log_content_combine(checksums, content.run.count);
        log_content_encode(&content, at);
        at += LOG_CONTENT_ENTRY_SIZE;
    }
    return at;
}

/* Writes the batch behind the one before, and syncs. */
static inline void craft_end(struct craft *craft)
{
    struct log_batch batch = {
        .salt = craft->superblock.log.salt,
        .sequence = craft->sequence++,
        .first_lsn = craft->first_lsn,
        .record_count = craft->record_count,
        .records_size = (uint32_t)(craft->at - craft->bytes) - LOG_HEADER_SIZE,
        .content_count = craft->listed_count,
    };

    uint8_t *end = craft_put_contents(craft, craft->at);
    batch.size = (uint32_t)(end - craft->bytes);
    uint64_t space = log_batch_space(batch.size);
    assert_true(space <= CRAFT_BATCH_SIZE && space <= craft->ring_size);
    memset(end, 0, space - batch.size);
    log_batch_encode(&batch, craft->bytes);
    craft_write_ring(craft, craft->position, craft->bytes, space);
    assert_int_equal(os_file_sync(craft->file), 0);
    craft->last_position = craft->position;
    craft->last_size = batch.size;
    craft->position = (craft->position + space) % craft->ring_size;
}

/* Flips a bit of the last batch. */
static inline void craft_flip(struct craft *craft, uint64_t offset)
{
    craft->bytes[offset] ^= 0x10;
    craft_write_ring(craft, craft->last_position, craft->bytes, log_batch_space(craft->last_size));
    craft->bytes[offset] ^= 0x10;
    assert_int_equal(os_file_sync(craft->file), 0);
}

/* --- Edits, which the state follows ------------------------------------------------------------------------------- */

static inline void craft_new(struct craft *craft, uint64_t page)
{
    craft->at = log_put_mark(log_put_page(craft->at, page), LOG_EDIT_NEW);
    free(craft->state.pages[page]);
    craft->state.pages[page] = calloc(1, craft->page_size);
    assert_non_null(craft->state.pages[page]);
}

static inline void craft_free(struct craft *craft, uint64_t page)
{
    craft->at = log_put_mark(log_put_page(craft->at, page), LOG_EDIT_FREE);
    free(craft->state.pages[page]);
    craft->state.pages[page] = NULL;
}

static inline void craft_put(struct craft *craft, uint64_t page, uint32_t offset, const void *bytes, uint32_t size)
{
    craft->at = log_put_put(log_put_page(craft->at, page), offset, bytes, size);
    memcpy(craft->state.pages[page] + offset, bytes, size);
}

static inline void craft_move(struct craft *craft, uint64_t page, uint32_t to, uint32_t from, uint32_t size)
{
    craft->at = log_put_move(log_put_page(craft->at, page), to, from, size);
    memmove(craft->state.pages[page] + to, craft->state.pages[page] + from, size);
}

/* Contents of `count` blocks from the model's block `first` on: written, added and listed. */
static inline void craft_add(struct craft *craft, uint32_t first, uint32_t count)
{
    const struct store_run run = {craft->contents_begin + first, count};
    uint8_t bytes[STORE_BLOCK_SIZE];

    for (uint32_t i = 0; i < count; i++) {
        assert_false(craft->taken[first + i]);
        craft_fill(craft, bytes, 64);
        memset(bytes + 64, (int)i, sizeof bytes - 64);
        assert_int_equal(os_file_write(craft->file, bytes, sizeof bytes, (run.block + i) * STORE_BLOCK_SIZE), 0);
        craft->state.contents[first + i] = true;
    }
    craft->at = log_put_run(craft->at, LOG_EDIT_ADD, run);
    craft->listed[craft->listed_count++] = run;
}

static inline void craft_drop(struct craft *craft, uint32_t first, uint32_t count)
{
    const struct store_run run = {craft->contents_begin + first, count};

    craft->at = log_put_run(craft->at, LOG_EDIT_DROP, run);
    for (uint32_t i = 0; i < count; i++) {
        craft->state.contents[first + i] = false;
        for (uint32_t k = 0; k < craft->listed_count; k++) { /* lists name what is still live */
            struct store_run *listed = &craft->listed[k];
            if (run.block + i >= listed->block && run.block + i < listed->block + listed->count) {
                *listed = craft->listed[--craft->listed_count];
                k--;
            }
        }
    }
}

/* --- Random records ----------------------------------------------------------------------------------------------- */

static inline uint64_t craft_pick_page(struct craft *craft, bool in_use)
{
    for (int i = 0; i < 1000; i++) {
        uint64_t page = 1 + craft_below(craft, CRAFT_PAGES - 1);
        if ((craft->state.pages[page] != NULL) == in_use) {
            return page;
        }
    }
    return 0;
}

static inline void craft_random_page_edit(struct craft *craft)
{
    uint8_t bytes[700];
    uint64_t choice = craft_below(craft, 10);
    uint64_t page = craft_pick_page(craft, choice != 0);
    uint32_t size = 1 + (uint32_t)craft_below(craft, sizeof bytes - 1);
    uint32_t to = (uint32_t)craft_below(craft, craft->page_size - size + 1);
    uint32_t from = (uint32_t)craft_below(craft, craft->page_size - size + 1);

    if (page == 0) {
        return;
    }
    if (choice == 0) {
        craft_new(craft, page);
    } else if (choice == 1) {
        craft_free(craft, page);
    } else if (choice < 4) {
        craft_move(craft, page, to, from, size);
    } else {
        craft_fill(craft, bytes, size);
        craft_put(craft, page, to, bytes, size);
    }
}

static inline void craft_random_run(struct craft *craft)
{
    uint32_t first = (uint32_t)craft_below(craft, CRAFT_BLOCKS);
    uint32_t count = 0;
    uint32_t limit = 1 + (uint32_t)craft_below(craft, 20);
    bool was_live = craft->state.contents[first];

    while (first + count < CRAFT_BLOCKS && count < limit && craft->state.contents[first + count] == was_live &&
           !craft->taken[first + count]) {
        count++;
    }
    if (count == 0) {
        return;
    }
    if (was_live) {
        craft_drop(craft, first, count);
    } else if (craft->listed_count < CRAFT_LISTED) {
        craft_add(craft, first, count);
    }
}

static inline void craft_random_batch(struct craft *craft)
{
    uint64_t records = 1 + craft_below(craft, 8);

    craft_begin(craft);
    for (uint64_t i = 0; i < records; i++) {
        uint64_t edits = craft_below(craft, 8);
        craft_begin_record(craft);
        for (uint64_t k = 0; k < edits; k++) {
            if (craft_below(craft, 4) == 0) {
                craft_random_run(craft);
            } else {
                craft_random_page_edit(craft);
            }
        }
        craft_end_record(craft);
    }
    craft_end(craft);
}

/* What a batch of that many records can take at most, so that a ring is not overrun. */
static inline bool craft_has_room(const struct craft *craft, uint64_t begin)
{
    uint64_t used = (craft->position + craft->ring_size - begin) % craft->ring_size;

    return used + 80 * 1024 < craft->ring_size;
}

#endif
