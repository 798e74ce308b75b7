/* See store_model.h. */
#include "support/store_model.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_SIZE = 1 << 20 };

/* Bytes that tell which version of which thing they are, in every 512. */
static void model_fill(uint8_t *bytes, size_t size, uint64_t what, uint64_t version)
{
    for (size_t i = 0; i < size; i += 8) {
        base_put_le64(bytes + i, what * UINT64_C(0x9E3779B97F4A7C15) + version * 1000003 + i);
    }
}

struct store_model *store_model_create(struct base_random *random)
{
    struct store_model *model = calloc(1, sizeof *model);

    BASE_ASSERT(model);
    model->random = random;
    model->next_version = 1;
    model->buffer = malloc(BUFFER_SIZE);
    model->expected = malloc(BUFFER_SIZE);
    BASE_ASSERT(model->buffer && model->expected);
    return model;
}

void store_model_destroy(struct store_model *model)
{
    free(model->buffer);
    free(model->expected);
    free(model);
}

void store_model_attach(struct store_model *model, struct store *store, const struct model_state *state)
{
    struct model_state copy = {0};

    if (state) {
        copy = *state;
    }
    model->store = store;
    model->page_size = store_get_page_size(store);
    model->live = copy;
    model->durable = copy;
    model->frozen = copy;
    model->is_frozen = false;
    memset(model->is_dirty, 0, sizeof model->is_dirty);
    memset(model->frozen_pending, 0, sizeof model->frozen_pending);
}

/* --- Steps -------------------------------------------------------------------------------------------------------- */

static int model_page_create(struct store_model *model)
{
    const struct store_need need = {.pages = 1};
    int result = store_reserve(model->store, &need);

    if (result < 0) {
        return result;
    }
    uint64_t page = store_page_number_allocate(model->store);
    if (page >= MODEL_PAGES_MAX) {
        store_page_number_release(model->store, page);
        store_unreserve(model->store, 1, 0);
        return 0;
    }
    for (uint64_t i = 1; i < page; i++) {
        BASE_ASSERT(model->live.page_versions[i] != 0); /* lowest first */
    }
    BASE_ASSERT(model->live.page_versions[page] == 0);
    model->live.page_versions[page] = model->next_version++;
    model->is_dirty[page] = true;
    return 0;
}

/* A random page that is there; 0 when none was found. */
static uint64_t model_pick_page(struct store_model *model)
{
    for (int i = 0; i < 20; i++) {
        uint64_t page = 1 + base_random_below(model->random, MODEL_PAGES_MAX - 1);
        if (i > 10) {
            page = page % 64 + 1;
        }
        if (model->live.page_versions[page] != 0) {
            return page;
        }
    }
    return 0;
}

static int model_page_change(struct store_model *model, uint64_t page)
{
    const struct store_need need = {.pages = 1};

    if (!model->is_dirty[page]) {
        int result = store_reserve(model->store, &need);
        if (result < 0) {
            return result;
        }
        model->is_dirty[page] = true;
    }
    model->live.page_versions[page] = model->next_version++;
    return 0;
}

static int model_page_write(struct store_model *model, uint64_t page, uint64_t version, bool frozen)
{
    model_fill(model->buffer, model->page_size, page, version);
    return store_page_write(model->store, page, model->buffer, frozen);
}

static int model_page_steal(struct store_model *model, uint64_t page)
{
    if (!model->is_dirty[page]) {
        return 0;
    }
    int result = model_page_write(model, page, model->live.page_versions[page], false);
    if (result == 0) {
        model->is_dirty[page] = false;
    }
    return result;
}

static void model_page_free(struct store_model *model, uint64_t page)
{
    if (model->is_dirty[page]) {
        store_unreserve(model->store, 1, 0);
        model->is_dirty[page] = false;
    }
    store_page_free(model->store, page);
    model->live.page_versions[page] = 0;
}

static void model_page_verify(struct store_model *model, struct store *store, uint64_t page, uint64_t version)
{
    int result = store_page_read(store, page, model->buffer);

    BASE_ASSERT(result == 0);
    model_fill(model->expected, model->page_size, page, version);
    BASE_ASSERT(memcmp(model->buffer, model->expected, model->page_size) == 0);
}

static void model_page_read(struct store_model *model, uint64_t page)
{
    /* A dirty or still frozen page is in the pool, which would not ask. */
    if (!model->is_dirty[page] && model->frozen_pending[page] == 0) {
        model_page_verify(model, model->store, page, model->live.page_versions[page]);
    }
}

static int model_run_add(struct store_model *model)
{
    uint32_t block_count =
        (uint32_t)(1 + base_random_below(model->random, base_random_below(model->random, 2) ? 4 : 96));
    const struct store_need need = {.content_blocks = block_count};
    uint64_t goal = 0;
    struct store_run run;

    if (model->live.run_count == MODEL_RUNS_MAX) {
        return 0;
    }
    if (model->live.run_count > 0 && base_random_below(model->random, 2)) {
        struct store_run other = model->live.runs[base_random_below(model->random, model->live.run_count)].run;
        goal = other.block + other.count;
    }
    int result = store_reserve(model->store, &need);
    if (result < 0) {
        return result;
    }
    result = store_content_allocate(model->store, block_count, goal, &run);
    BASE_ASSERT(result == 0 || result == -EROFS);
    if (result < 0) {
        store_unreserve(model->store, 0, block_count);
        return result;
    }
    BASE_ASSERT(run.count >= 1 && run.count <= block_count);
    store_unreserve(model->store, 0, block_count - run.count);
    model_fill(model->buffer, (size_t)run.count * STORE_BLOCK_SIZE, run.block, model->next_version);
    result = store_content_write(model->store, run, model->buffer);
    if (result < 0 || base_random_below(model->random, 8) == 0) {
        store_content_cancel(model->store, run);
        return result;
    }
    BASE_ASSERT(!store_content_is_valid(model->store, run));
    store_content_publish(model->store, run, NULL);
    BASE_ASSERT(store_content_is_valid(model->store, run));
    model->live.runs[model->live.run_count++] = (struct model_run){run, model->next_version++};
    return 0;
}

/* Frees a run or an end of it. */
static void model_run_free(struct store_model *model)
{
    if (model->live.run_count == 0) {
        return;
    }
    struct model_run *run = &model->live.runs[base_random_below(model->random, model->live.run_count)];
    struct store_run part = run->run;
    if (part.count > 1 && base_random_below(model->random, 3) == 0) {
        uint32_t kept = (uint32_t)(1 + base_random_below(model->random, part.count - 1));
        part.block += kept;
        part.count -= kept;
        run->run.count = kept;
    } else {
        *run = model->live.runs[--model->live.run_count];
    }
    BASE_ASSERT(store_content_is_valid(model->store, part));
    BASE_ASSERT(store_content_prepare_free(model->store, part) == 0);
    store_content_free(model->store, part);
    BASE_ASSERT(!store_content_is_valid(model->store, part));
}

static void model_run_verify(struct store_model *model, struct store *store, const struct model_run *run)
{
    size_t size = (size_t)run->run.count * STORE_BLOCK_SIZE;

    BASE_ASSERT(store_content_is_valid(store, run->run));
    BASE_ASSERT(store_content_read(store, run->run, model->buffer) == 0);
    model_fill(model->expected, size, run->run.block, run->version);
    BASE_ASSERT(memcmp(model->buffer, model->expected, size) == 0);
}

int store_model_step(struct store_model *model)
{
    uint64_t page = model_pick_page(model);

    switch (base_random_below(model->random, 16)) {
    case 0:
    case 1:
    case 2:
        return model_page_create(model);
    case 3:
    case 4:
    case 5:
        return page ? model_page_change(model, page) : 0;
    case 6:
    case 7:
        return page ? model_page_steal(model, page) : 0;
    case 8:
        if (page) {
            model_page_free(model, page);
        }
        return 0;
    case 9:
    case 10:
        if (page) {
            model_page_read(model, page);
        }
        return 0;
    case 11:
    case 12:
        return model_run_add(model);
    case 13:
        model_run_free(model);
        return 0;
    case 14:
        if (model->live.run_count > 0) {
            model_run_verify(model, model->store,
                             &model->live.runs[base_random_below(model->random, model->live.run_count)]);
        }
        return 0;
    default:
        return store_model_write_frozen(model, 3);
    }
}

/* --- Checkpoints -------------------------------------------------------------------------------------------------- */

int store_model_freeze(struct store_model *model)
{
    if (model->is_frozen) {
        return 0;
    }
    store_freeze(model->store);
    model->is_frozen = true;
    model->frozen = model->live;
    for (uint64_t page = 1; page < MODEL_PAGES_MAX; page++) {
        model->frozen_pending[page] = model->is_dirty[page] ? model->live.page_versions[page] : 0;
        model->is_dirty[page] = false;
    }
    return 0;
}

int store_model_write_frozen(struct store_model *model, uint32_t count)
{
    for (uint64_t page = 1; page < MODEL_PAGES_MAX && count > 0; page++) {
        if (model->frozen_pending[page] != 0) {
            int result = model_page_write(model, page, model->frozen_pending[page], true);
            if (result < 0) {
                return result;
            }
            model->frozen_pending[page] = 0;
            count--;
        }
    }
    return 0;
}

int store_model_checkpoint(struct store_model *model)
{
    if (!model->is_frozen) {
        return 0;
    }
    int result = store_model_write_frozen(model, UINT32_MAX);
    if (result == 0) {
        result = store_checkpoint(model->store);
    }
    if (result == 0) {
        model->is_frozen = false;
        model->durable = model->frozen;
    }
    return result;
}

int store_model_sync(struct store_model *model)
{
    int result = store_model_checkpoint(model);

    if (result == 0) {
        result = store_model_freeze(model);
    }
    return result == 0 ? store_model_checkpoint(model) : result;
}

/* --- Comparing ---------------------------------------------------------------------------------------------------- */

void store_model_verify(struct store_model *model)
{
    for (uint64_t page = 1; page < MODEL_PAGES_MAX; page++) {
        if (model->live.page_versions[page] != 0) {
            model_page_read(model, page);
        }
    }
    for (uint32_t i = 0; i < model->live.run_count; i++) {
        model_run_verify(model, model->store, &model->live.runs[i]);
    }
}

static bool model_page_matches(struct store_model *model, struct store *store, uint64_t page, uint64_t version)
{
    if (store_page_read(store, page, model->buffer) < 0) {
        return false;
    }
    model_fill(model->expected, model->page_size, page, version);
    return memcmp(model->buffer, model->expected, model->page_size) == 0;
}

static bool model_runs_match(struct store_model *model, struct store *store, const struct model_state *state)
{
    uint64_t expected_blocks = 0;
    uint64_t blocks = 0;
    struct store_run run = {0, 0};

    for (uint32_t i = 0; i < state->run_count; i++) {
        const struct model_run *expected = &state->runs[i];
        size_t size = (size_t)expected->run.count * STORE_BLOCK_SIZE;
        expected_blocks += expected->run.count;
        if (!store_content_is_valid(store, expected->run) ||
            store_content_read(store, expected->run, model->buffer) < 0) {
            return false;
        }
        model_fill(model->expected, size, expected->run.block, expected->version);
        if (memcmp(model->buffer, model->expected, size) != 0) {
            return false;
        }
    }
    while (store_content_next(store, run.block + run.count, &run) == 0) {
        blocks += run.count;
    }
    return blocks == expected_blocks;
}

bool store_model_matches(struct store_model *model, struct store *store, const struct model_state *state)
{
    uint64_t seen = 0;

    for (uint64_t page = 1; page < MODEL_PAGES_MAX; page++) {
        if (state->page_versions[page] == 0) {
            continue;
        }
        if (store_page_next(store, &seen) < 0 || seen != page ||
            !model_page_matches(model, store, page, state->page_versions[page])) {
            return false;
        }
    }
    return store_page_next(store, &seen) == -ENOENT && model_runs_match(model, store, state);
}

static void model_print_problem(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "store_check: %s\n", text);
}

void store_model_check(struct store_model *model, struct store *store)
{
    struct store_check_report report = {.problem = model_print_problem};

    (void)model;
    BASE_ASSERT(store_check(store, &report) == 0);
    BASE_ASSERT(report.problems == 0);
}

void store_model_free_all(struct store_model *model)
{
    for (uint64_t page = 1; page < MODEL_PAGES_MAX; page++) {
        if (model->live.page_versions[page] != 0) {
            model_page_free(model, page);
        }
    }
    while (model->live.run_count > 0) {
        BASE_ASSERT(store_content_prepare_free(model->store, model->live.runs[model->live.run_count - 1].run) == 0);
        store_content_free(model->store, model->live.runs[--model->live.run_count].run);
    }
}
