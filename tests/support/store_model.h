/* A model of the store for randomized tests: what pages and contents must read as, now, in the epoch that was frozen,
 * and in the last durable checkpoint. It plays the part of pool and transactions: pages stay dirty in its memory until
 * they are stolen (written in the live epoch) or, after a freeze, written as frozen.
 *
 * Every function aborts the test (BASE_ASSERT) where the store and the model differ. */
#ifndef BEEFTREE_TESTS_SUPPORT_STORE_MODEL_H
#define BEEFTREE_TESTS_SUPPORT_STORE_MODEL_H

#include "base/random.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

enum { MODEL_PAGES_MAX = 1024, MODEL_RUNS_MAX = 1024 };

struct model_run {
    struct store_run run;
    uint64_t version;
};

struct model_state {
    uint64_t page_versions[MODEL_PAGES_MAX]; /* 0: absent */
    struct model_run runs[MODEL_RUNS_MAX];
    uint32_t run_count;
};

struct store_model {
    struct store *store;
    struct base_random *random;
    uint32_t page_size;
    uint64_t next_version;
    struct model_state live, frozen, durable;
    bool is_frozen;
    bool is_dirty[MODEL_PAGES_MAX];           /* live version in memory only; holds one reserved page */
    uint64_t frozen_pending[MODEL_PAGES_MAX]; /* version still to be written as frozen; 0: none */
    uint8_t *buffer, *expected;               /* 1 MiB each */
};

struct store_model *store_model_create(struct base_random *random);
void store_model_destroy(struct store_model *model);

/* The store was just opened: live becomes what it must hold. */
void store_model_attach(struct store_model *model, struct store *store, const struct model_state *state);

/* One random change or read; 0, or the error that the store answered (then the model's live state is as before). */
int store_model_step(struct store_model *model);

int store_model_freeze(struct store_model *model);
/* Writes up to `count` of the frozen pages. */
int store_model_write_frozen(struct store_model *model, uint32_t count);
/* Writes the rest, takes the checkpoint. */
int store_model_checkpoint(struct store_model *model);
/* Freeze and checkpoint. */
int store_model_sync(struct store_model *model);

/* Reads everything that can be read. */
void store_model_verify(struct store_model *model);
/* Whether a freshly opened store holds exactly that state. */
bool store_model_matches(struct store_model *model, struct store *store, const struct model_state *state);
/* store_check finds nothing. */
void store_model_check(struct store_model *model, struct store *store);
/* Frees every page and run. */
void store_model_free_all(struct store_model *model);

#endif
