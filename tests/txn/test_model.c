/* Random transactions on raw pages and content blocks against a model in memory: commits, aborts, syncs, crashes with
 * and without a power cut in the middle of a checkpoint, failing writes. After each reopening the state is exactly that
 * of the last durable freeze; of the one that was being made durable when the power went, either. */
#include "txn_fixture.h"

#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PAGE_SIZE = 4096,
    PAGE_MAX = 1400,       /* page numbers; more than the pool has frames */
    BLOCK_MAX = 64 * 1024, /* blocks of the file that the model can follow */
    PAGES_PER_TXN = 12,
    RUNS_PER_TXN = 4,
    RUN_BLOCKS_MAX = 20,
    PIN_COUNT = 220,
};

struct model {
    bool present[PAGE_MAX + 1];
    uint8_t bytes[PAGE_MAX + 1][PAGE_SIZE];
    uint32_t blocks[BLOCK_MAX]; /* stamp of the contents; 0: none */
    uint32_t page_count;
};

struct test {
    struct txn_fixture fixture;
    struct base_random random;
    struct model *committed; /* what readers see */
    struct model *scratch;   /* the running transaction's; between transactions the same */
    struct model *durable;   /* the last freeze known to be durable */
    struct model *doubtful;  /* a freeze whose checkpoint failed */
    bool is_doubtful;
    uint32_t stamp;
    unsigned crashes, failures, pressed, page_steps;
    uint64_t steals;
    /* A reader's pins: they make clean frames short, so that dirty ones are stolen, and outlive pages that are freed.
     */
    struct pool_frame *pins[PIN_COUNT];
    /* Where scratch may differ from committed. */
    uint64_t touched_pages[PAGES_PER_TXN];
    struct store_run touched_runs[2 * RUNS_PER_TXN];
    unsigned touched_page_count, touched_run_count;
};

static uint64_t below(struct test *test, uint64_t bound)
{
    return base_random_below(&test->random, bound);
}

static void block_fill(uint8_t *bytes, uint64_t block, uint32_t stamp)
{
    for (uint32_t at = 0; at < STORE_BLOCK_SIZE; at += 8) {
        base_put_le64(bytes + at, block << 32 | stamp);
    }
}

static bool is_cut(struct test *test)
{
    return fault_file_is_cut(test->fixture.fault);
}

/* After the power cut nothing needs to work; before it, everything must. */
static bool worked(struct test *test, int error)
{
    assert_true(error == 0 || is_cut(test));
    return error == 0;
}

/* --- Comparing ---------------------------------------------------------------------------------------------------- */

static bool pages_equal(struct test *test, const struct model *model)
{
    uint64_t page = 0;
    uint32_t count = 0;

    while (store_page_next(test->fixture.store, &page) == 0) {
        struct pool_frame *frame = NULL;
        if (page > PAGE_MAX || !model->present[page]) {
            return false;
        }
        if (!worked(test, pool_pin(test->fixture.pool, page, POOL_SHARED, &frame))) {
            return true; /* reading evicts, which may write, which may find the power gone */
        }
        bool equal = memcmp(pool_frame_bytes(frame), model->bytes[page], PAGE_SIZE) == 0;
        pool_unpin(test->fixture.pool, frame, POOL_SHARED);
        if (!equal) {
            return false;
        }
        count++;
    }
    return count == model->page_count;
}

static bool contents_equal(struct test *test, const struct model *model)
{
    uint64_t next = 0;
    struct store_run run = {0};

    for (;;) {
        int error = store_content_next(test->fixture.store, next, &run);
        uint64_t end = error == 0 ? run.block : BLOCK_MAX;
        for (; next < end; next++) {
            if (model->blocks[next] != 0) {
                return false;
            }
        }
        if (error) {
            return true;
        }
        for (; next < run.block + run.count; next++) {
            uint8_t bytes[STORE_BLOCK_SIZE], expected[STORE_BLOCK_SIZE];
            const struct store_run one = {next, 1};
            if (model->blocks[next] == 0) {
                return false;
            }
            if (!worked(test, store_content_read(test->fixture.store, one, bytes))) {
                return true;
            }
            block_fill(expected, next, model->blocks[next]);
            assert_memory_equal(bytes, expected, STORE_BLOCK_SIZE);
        }
    }
}

/* --- Transactions ------------------------------------------------------------------------------------------------- */

static void model_copy_touched(struct test *test, struct model *to, const struct model *from)
{
    for (unsigned index = 0; index < test->touched_page_count; index++) {
        uint64_t page = test->touched_pages[index];
        to->present[page] = from->present[page];
        memcpy(to->bytes[page], from->bytes[page], PAGE_SIZE);
    }
    for (unsigned index = 0; index < test->touched_run_count; index++) {
        struct store_run run = test->touched_runs[index];
        memcpy(&to->blocks[run.block], &from->blocks[run.block], run.count * sizeof to->blocks[0]);
    }
    to->page_count = from->page_count;
    test->touched_page_count = 0;
    test->touched_run_count = 0;
}

static uint64_t page_choose(struct test *test, const struct model *model)
{
    uint64_t page = 1 + below(test, PAGE_MAX);

    for (unsigned tries = 0; tries < PAGE_MAX && !model->present[page]; tries++) {
        page = page % PAGE_MAX + 1;
    }
    return page;
}

static bool step_new(struct test *test, struct txn *txn)
{
    struct pool_frame *frame = NULL;
    uint8_t fill = (uint8_t)base_random_next(&test->random);

    assert_int_equal(txn_page_new(txn, &frame), 0);
    uint64_t page = pool_frame_page(frame);
    assert_true(page <= PAGE_MAX && !test->scratch->present[page]);
    test->touched_pages[test->touched_page_count++] = page;
    test->scratch->present[page] = true;
    test->scratch->page_count++;
    memset(test->scratch->bytes[page], fill, PAGE_SIZE);
    txn_edit_begin(txn, frame);
    txn_edit_image(txn, frame, test->scratch->bytes[page]);
    txn_edit_end(txn, frame);
    txn_page_unpin(txn, frame);
    return true;
}

static bool step_edit(struct test *test, struct txn *txn, uint64_t page)
{
    struct pool_frame *frame = NULL;
    uint8_t *model = test->scratch->bytes[page];
    uint32_t size = (uint32_t)below(test, 200);
    uint32_t to = (uint32_t)below(test, PAGE_SIZE - 200);
    uint32_t from = (uint32_t)below(test, PAGE_SIZE - 200);
    uint8_t bytes[200];

    if (!worked(test, txn_page_pin(txn, page, &frame))) {
        return false;
    }
    test->touched_pages[test->touched_page_count++] = page;
    txn_edit_begin(txn, frame);
    memset(bytes, (int)below(test, 256), sizeof bytes);
    txn_edit_put(txn, frame, to, bytes, size);
    memcpy(model + to, bytes, size);
    txn_edit_move(txn, frame, from, to, size);
    memmove(model + from, model + to, size);
    txn_edit_end(txn, frame);
    txn_page_unpin(txn, frame);
    return true;
}

static bool step_free(struct test *test, struct txn *txn, uint64_t page)
{
    struct pool_frame *frame = NULL;

    if (!worked(test, txn_page_pin(txn, page, &frame))) {
        return false;
    }
    txn_page_free(txn, frame);
    txn_page_unpin(txn, frame);
    test->touched_pages[test->touched_page_count++] = page;
    test->scratch->present[page] = false;
    test->scratch->page_count--;
    return true;
}

/* Before the writer lock; the model learns of it only if the transaction commits, which scratch takes care of. */
static bool step_contents_make(struct test *test, struct txn *txn)
{
    static uint8_t bytes[RUN_BLOCKS_MAX * STORE_BLOCK_SIZE];
    struct store_run run;
    uint32_t wanted = 1 + (uint32_t)below(test, RUN_BLOCKS_MAX);

    if (!worked(test, txn_content_allocate(txn, wanted, below(test, BLOCK_MAX), &run))) {
        return false;
    }
    test->touched_runs[test->touched_run_count++] = run;
    assert_true(run.count >= 1 && run.count <= wanted && run.block + run.count <= BLOCK_MAX);
    for (uint32_t index = 0; index < run.count; index++) {
        uint64_t block = run.block + index;
        assert_int_equal(test->scratch->blocks[block], 0);
        test->scratch->blocks[block] = ++test->stamp;
        block_fill(bytes + index * STORE_BLOCK_SIZE, block, test->stamp);
        txn_content_note_checksum(txn, store_content_checksum(bytes + index * STORE_BLOCK_SIZE));
    }
    return worked(test, store_content_write(test->fixture.store, run, bytes));
}

/* A piece of contents that was there before this transaction. */
static void step_contents_free(struct test *test, struct txn *txn)
{
    uint64_t block = below(test, BLOCK_MAX);
    struct store_run run = {.count = 0};

    if (store_content_next(test->fixture.store, block, &run) < 0) {
        return;
    }
    if (run.count > RUN_BLOCKS_MAX) {
        run.count = 1 + (uint32_t)below(test, RUN_BLOCKS_MAX);
    }
    if (test->scratch->blocks[run.block] == 0) {
        assert_int_equal(txn_content_free(txn, run), -EUCLEAN); /* freed by this transaction already */
        return;
    }
    for (uint32_t index = 0; index < run.count; index++) {
        if (test->scratch->blocks[run.block + index] == 0) {
            run.count = index;
        }
    }
    assert_int_equal(txn_content_free(txn, run), 0);
    test->touched_runs[test->touched_run_count++] = run;
    memset(&test->scratch->blocks[run.block], 0, run.count * sizeof test->scratch->blocks[0]);
}

/* The population swings between few and all. */
static bool step_page(struct test *test, struct txn *txn, bool *freed)
{
    uint64_t page = page_choose(test, test->scratch);
    uint64_t what = below(test, 100);
    bool grows = test->page_steps++ / 8000 % 2 == 0;

    if (what < (grows ? 40 : 10)) {
        return test->scratch->page_count >= PAGE_MAX - PAGES_PER_TXN || step_new(test, txn);
    }
    if (!test->scratch->present[page] || freed[page]) {
        return true;
    }
    if (what < (grows ? 90 : 60)) {
        return step_edit(test, txn, page);
    }
    freed[page] = true;
    return step_free(test, txn, page);
}

static bool steps(struct test *test, struct txn *txn)
{
    bool freed[PAGE_MAX + 1] = {false};
    bool good = true;

    for (uint64_t count = below(test, 3) == 0 ? below(test, RUNS_PER_TXN + 1) : 0; count > 0 && good; count--) {
        good = step_contents_make(test, txn);
    }
    txn_lock(txn);
    for (uint64_t count = below(test, PAGES_PER_TXN + 1); count > 0 && good; count--) {
        good = step_page(test, txn, freed);
    }
    for (uint64_t count = below(test, RUNS_PER_TXN + 1); count > 0 && good; count--) {
        step_contents_free(test, txn);
    }
    return good;
}

/* A checkpoint of the committed state: was it made durable? */
static void note_checkpoint(struct test *test, bool is_durable)
{
    if (is_durable) {
        memcpy(test->durable, test->committed, sizeof *test->durable);
    } else if (!test->is_doubtful) {
        /* Of the first that fails, the superblock may be on the disk or not. Later ones do nothing. */
        test->is_doubtful = true;
        memcpy(test->doubtful, test->committed, sizeof *test->doubtful);
    }
}

static uint64_t count_pressure(struct test *test)
{
    struct txn_statistics statistics;

    txn_get_statistics(test->fixture.engine, &statistics);
    return statistics.checkpoints_pressure;
}

/* Admission, which may take a checkpoint when frames or space are short. */
static struct txn *begin(struct test *test)
{
    const struct txn_need need = {.pages = PAGES_PER_TXN, .content_blocks = RUNS_PER_TXN * RUN_BLOCKS_MAX};
    uint64_t before = count_pressure(test);
    struct txn *txn = NULL;
    bool good = worked(test, txn_begin(test->fixture.engine, &need, &txn));

    if (!good || count_pressure(test) != before) {
        note_checkpoint(test, good);
        test->pressed++;
    }
    return txn;
}

static void transact(struct test *test)
{
    struct txn *txn = begin(test);

    if (!txn) {
        return;
    }
    if (steps(test, txn) && below(test, 4) > 0) {
        txn_commit(txn);
        model_copy_touched(test, test->committed, test->scratch);
    } else {
        txn_abort(txn);
        model_copy_touched(test, test->scratch, test->committed);
    }
}

/* --- Pins --------------------------------------------------------------------------------------------------------- */

static void pin_drop(struct test *test, unsigned index)
{
    if (test->pins[index]) {
        pool_unpin(test->fixture.pool, test->pins[index], POOL_PIN_ONLY);
        test->pins[index] = NULL;
    }
}

static void pins_drop_all(struct test *test)
{
    for (unsigned index = 0; index < PIN_COUNT; index++) {
        pin_drop(test, index);
    }
}

static void pin_another(struct test *test)
{
    unsigned index = (unsigned)below(test, PIN_COUNT);
    uint64_t page = page_choose(test, test->committed);

    pin_drop(test, index);
    if (test->committed->present[page]) {
        worked(test, pool_pin(test->fixture.pool, page, POOL_PIN_ONLY, &test->pins[index]));
    }
}

/* --- Syncs and crashes -------------------------------------------------------------------------------------------- */

static void sync_now(struct test *test)
{
    bool good = worked(test, txn_engine_sync(test->fixture.engine));

    note_checkpoint(test, good);
    test->failures += !good;
}

static void check_structure(struct test *test)
{
    struct store_check_report report = {0};

    assert_int_equal(store_check(test->fixture.store, &report), 0);
    assert_int_equal(report.problems, 0);
}

static void crash(struct test *test)
{
    struct pool_statistics pool;
    pool_get_statistics(test->fixture.pool, &pool);
    test->steals += pool.evictions_dirty;
    struct os_file *image = fault_file_crash(test->fixture.fault, below(test, 3) == 0 ? NULL : &test->random);

    pins_drop_all(test);
    txn_fixture_deinit(&test->fixture);
    txn_fixture_start(&test->fixture, fault_file_create(image));
    bool is_durable = pages_equal(test, test->durable) && contents_equal(test, test->durable);
    if (!is_durable) {
        assert_true(test->is_doubtful);
        assert_true(pages_equal(test, test->doubtful) && contents_equal(test, test->doubtful));
        memcpy(test->durable, test->doubtful, sizeof *test->durable);
    }
    memcpy(test->committed, test->durable, sizeof *test->committed);
    memcpy(test->scratch, test->durable, sizeof *test->scratch);
    test->is_doubtful = false;
    test->crashes++;
    check_structure(test);
}

static void run(struct test *test, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t what = below(test, 400);
        if (what < 9) {
            sync_now(test);
        } else if (what == 10) {
            bool during_sync = below(test, 2) == 0;
            fault_file_cut_power(test->fixture.fault, 1 + below(test, during_sync ? 3 : 60));
            if (during_sync) {
                sync_now(test);
            }
        } else if (what == 11 || (is_cut(test) && what < 100)) {
            crash(test);
        } else if (what == 12 && !is_cut(test)) {
            assert_true(pages_equal(test, test->committed) && contents_equal(test, test->committed));
        } else {
            pin_another(test);
            pin_another(test);
            transact(test);
        }
    }
    pins_drop_all(test);
}

static struct model *model_create(void)
{
    struct model *model = calloc(1, sizeof *model);

    assert_non_null(model);
    return model;
}

static void random_transactions_survive_crashes(void **state)
{
    struct test test = {
        .fixture = {.page_size = PAGE_SIZE, .steal_after = 1}, /* the smallest pool */
        .committed = model_create(),
        .scratch = model_create(),
        .durable = model_create(),
        .doubtful = model_create(),
    };

    (void)state;
    base_random_seed(&test.random, test_seed("txn model", 7));
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    txn_fixture_init(&test.fixture);
    while (test.committed->page_count < PAGE_MAX - PAGES_PER_TXN) { /* to the brim: numbers freed return at commit */
        transact(&test);
    }
    sync_now(&test);
    run(&test, test_is_long() ? 60000 : 5000);
    printf("crashes %u, failed syncs %u, admission took a checkpoint %u times, pages stolen %llu\n", test.crashes,
           test.failures, test.pressed, (unsigned long long)test.steals);
    assert_true(test.crashes > 10 && test.failures > 0 && test.pressed > 0 && test.steals > 0);
    txn_fixture_deinit(&test.fixture);
    free(test.committed);
    free(test.scratch);
    free(test.durable);
    free(test.doubtful);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_transactions_survive_crashes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
