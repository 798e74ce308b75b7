/* Recovery of whole logs: the state after the last record, read-only without a byte written and writable into a new
 * checkpoint, round the end of the ring, over several runs, in a file that has grown; a last batch without its
 * contents; cuts at every call of a recovery. What is damaged is in test_recover_damage.c. */
#include "recover_craft.h"
#include "store/log.h"

enum { PAGE_SIZE = 8192 };

/* --- Random logs -------------------------------------------------------------------------------------------------- */

/* Opens read-only: the state is there and nothing was written. */
static void expect_read_only(struct craft *craft, const struct craft_state *state)
{
    fault_file_reset_counts(craft->fault);
    struct store *store = craft_open(craft, true);
    craft_expect(craft, store, state);
    store_close(store);
    for (int call = FAULT_WRITE; call < FAULT_CALL_COUNT; call++) {
        assert_int_equal(fault_file_count(craft->fault, (enum fault_call)call), 0);
    }
}

/* Opens writable: the state is there, and with the next opening nothing is left to do. */
static void expect_recovers(struct craft *craft, const struct craft_state *state)
{
    struct store_recovery recovery;
    uint64_t salt = craft->superblock.log.salt;
    struct store *store = craft_open(craft, false);

    craft_expect(craft, store, state);
    store_close(store);
    craft_attach(craft);
    assert_int_not_equal(craft->superblock.log.salt, salt);
    assert_int_equal(craft->superblock.log.next_position, 0);
    store = craft_open(craft, false);
    craft_expect(craft, store, state);
    store_get_recovery(store, &recovery);
    assert_int_equal(recovery.batches + recovery.dropped_batches, 0);
    store_close(store);
    craft_attach(craft);
}

static void test_random(void **state)
{
    (void)state;
    static const uint32_t page_sizes[] = {4096, 8192, 16384, 65536};
    const uint64_t seed = test_seed("store_recover", 1);
    const int rounds = test_is_long() ? 200 : 12;

    for (int round = 0; round < rounds; round++) {
        struct craft *craft = craft_create(page_sizes[round % 4], 256 << 10, seed + (uint64_t)round);
        for (int i = 0; i < 4; i++) {
            uint64_t blocks = craft->ring_size / STORE_BLOCK_SIZE;
            uint64_t begin = craft_below(craft, blocks) * STORE_BLOCK_SIZE;
            uint64_t batches = craft_below(craft, 12);
            uint64_t lsn = craft->lsn;
            struct store_recovery recovery;
            craft_move_log(craft, begin, craft->sequence + 5, lsn);
            for (uint64_t k = 0; k < batches && craft_has_room(craft, begin); k++) {
                craft_random_batch(craft);
            }
            struct store *store = craft_open(craft, true);
            store_get_recovery(store, &recovery);
            assert_int_equal(recovery.batches, craft->sequence - craft->superblock.log.next_sequence);
            assert_int_equal(recovery.records, craft->lsn - lsn);
            store_close(store);
            expect_read_only(craft, &craft->state);
            expect_recovers(craft, &craft->state);
        }
        craft_destroy(craft);
    }
}

/* A ring of several runs, of which the log begins in the middle of one; batches that go over every border. */
static void test_runs(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 256 << 10, 7);

    const uint64_t block = craft->superblock.log.runs[0].block;
    craft->superblock.log.run_count = 4;
    craft->superblock.log.runs[0] = (struct superblock_log_run){block + 40, 24};
    craft->superblock.log.runs[1] = (struct superblock_log_run){block, 1};
    craft->superblock.log.runs[2] = (struct superblock_log_run){block + 20, 20};
    craft->superblock.log.runs[3] = (struct superblock_log_run){block + 1, 19};
    for (uint64_t begin = 0; begin < 64; begin += 3) {
        craft_move_log(craft, begin * STORE_BLOCK_SIZE, craft->sequence, craft->lsn);
        while (craft_has_room(craft, begin * STORE_BLOCK_SIZE)) {
            craft_random_batch(craft);
        }
        expect_read_only(craft, &craft->state);
        expect_recovers(craft, &craft->state);
    }
    craft_destroy(craft);
}

/* The ring full to its last block. */
static void test_full_ring(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 16 << 10, 8);

    craft_move_log(craft, 8192, 100, 100);
    for (uint32_t i = 0; i < 4; i++) {
        craft_begin(craft);
        craft_begin_record(craft);
        craft_put(craft, 1, i * 100, "full ring", 9);
        craft_end_record(craft);
        craft_end(craft);
    }
    assert_int_equal(craft->position, 8192);
    expect_read_only(craft, &craft->state);
    expect_recovers(craft, &craft->state);
    craft_destroy(craft);
}

/* Records without edits change nothing, but count. */
static void test_empty_records(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 64 << 10, 9);
    uint64_t lsn;

    craft_begin(craft);
    for (int i = 0; i < 3; i++) {
        craft_begin_record(craft);
        craft_end_record(craft);
    }
    craft_end(craft);
    lsn = craft->lsn;
    expect_read_only(craft, &craft->state);
    expect_recovers(craft, &craft->state);
    assert_int_equal(craft->superblock.log.next_lsn, lsn);
    craft_destroy(craft);
}

/* --- Where the log ends ------------------------------------------------------------------------------------------- */

/* A last batch that is torn anywhere is not there. */
static void test_torn(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 256 << 10, 10);
    struct craft_state before;

    craft_random_batch(craft);
    craft_random_batch(craft);
    craft_state_copy(craft, &before);
    craft_begin(craft);
    craft_begin_record(craft);
    craft_put(craft, craft_pick_page(craft, true), 10, "torn", 4);
    craft_add(craft, CRAFT_BLOCKS - 8, 4);
    craft_end_record(craft);
    craft_end(craft);
    expect_read_only(craft, &craft->state);
    for (uint32_t offset = 0; offset < craft->last_size; offset++) {
        craft_flip(craft, offset);
        struct store *store = craft_open(craft, true);
        if (offset % 7 == 0) {
            craft_expect(craft, store, &before);
        } else {
            assert_int_equal(store->recovery.batches, 2);
        }
        store_close(store);
    }
    craft_flip(craft, 20);
    expect_recovers(craft, &before);
    craft_state_free(&before);
    craft_destroy(craft);
}

/* Batches of an earlier mount, at the right place with the right numbers, are none. */
static void test_salt(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 64 << 10, 11);
    struct craft_state before;

    craft_state_copy(craft, &before);
    craft->superblock.log.salt ^= 1;
    for (int i = 0; i < 3; i++) {
        craft_begin(craft);
        craft_begin_record(craft);
        craft_put(craft, 3, 0, "earlier", 7);
        craft_end_record(craft);
        craft_end(craft);
    }
    expect_read_only(craft, &before);
    expect_recovers(craft, &before);
    craft_state_free(&before);
    craft_destroy(craft);
}

/* --- Contents of the last batch ----------------------------------------------------------------------------------- */

static void begin_last_batch(struct craft *craft, struct craft_state *before)
{
    craft_begin(craft);
    craft_begin_record(craft);
    craft_put(craft, 1, 0, "first", 5);
    craft_add(craft, CRAFT_BLOCKS / 2, 3);
    craft_end_record(craft);
    craft_end(craft);
    craft_state_copy(craft, before);
    craft_begin(craft);
    craft_begin_record(craft);
    craft_put(craft, 1, 0, "last", 4);
}

static void expect_dropped(struct craft *craft, const struct craft_state *before)
{
    struct store *store = craft_open(craft, true);

    assert_int_equal(store->recovery.batches, 1);
    assert_int_equal(store->recovery.dropped_batches, 1);
    store_close(store);
    expect_read_only(craft, before);
    expect_recovers(craft, before);
}

static void test_contents_missing(void **state)
{
    (void)state;

    for (uint32_t missing = 0; missing < 7; missing++) {
        struct craft *craft = craft_create(PAGE_SIZE, 64 << 10, 12);
        const uint8_t zeros[STORE_BLOCK_SIZE] = {0};
        uint32_t first = CRAFT_BLOCKS / 2 + 10 + missing + (missing >= 5 ? 20 : 0);
        struct craft_state before;
        begin_last_batch(craft, &before);
        craft_add(craft, CRAFT_BLOCKS / 2 + 10, 5);
        craft_add(craft, CRAFT_BLOCKS / 2 + 35, 2);
        craft_end_record(craft);
        craft_end(craft);
        expect_read_only(craft, &craft->state);
        assert_int_equal(
            os_file_write(craft->file, zeros, sizeof zeros, (craft->contents_begin + first) * STORE_BLOCK_SIZE), 0);
        assert_int_equal(os_file_sync(craft->file), 0);
        expect_dropped(craft, &before);
        craft_state_free(&before);
        craft_destroy(craft);
    }
}

/* What recovery leaves out stays left out: also when it is interrupted and what it lacked comes to stand there. */
static void test_left_out_for_good(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 64 << 10, 12);
    const uint8_t zeros[STORE_BLOCK_SIZE] = {0};
    uint64_t offset = (craft->contents_begin + CRAFT_BLOCKS / 2 + 10) * STORE_BLOCK_SIZE;
    uint8_t bytes[STORE_BLOCK_SIZE];
    struct base_reason reason;
    struct craft_state before;
    struct store *store;

    begin_last_batch(craft, &before);
    craft_add(craft, CRAFT_BLOCKS / 2 + 10, 5);
    craft_end_record(craft);
    craft_end(craft);
    assert_int_equal(os_file_read(craft->file, bytes, sizeof bytes, offset), 0);
    assert_int_equal(os_file_write(craft->file, zeros, sizeof zeros, offset), 0);
    assert_int_equal(os_file_sync(craft->file), 0);
    fault_file_reset_counts(craft->fault);
    fault_file_fail(craft->fault, FAULT_WRITE, 2, EIO, false);
    assert_int_equal(craft_open_file(craft->file, false, &store, &reason), -EIO);
    assert_int_equal(os_file_write(craft->file, bytes, sizeof bytes, offset), 0);
    assert_int_equal(os_file_sync(craft->file), 0);
    expect_read_only(craft, &before);
    expect_recovers(craft, &before);
    craft_state_free(&before);
    craft_destroy(craft);
}

/* Contents of a batch before the last were durable; what stands there now is somebody else's business. */
static void test_contents_of_earlier_batch(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 64 << 10, 13);
    const uint8_t zeros[STORE_BLOCK_SIZE] = {0};
    struct craft_state before;

    begin_last_batch(craft, &before);
    craft_end_record(craft);
    craft_end(craft);
    uint64_t offset = (craft->contents_begin + CRAFT_BLOCKS / 2) * STORE_BLOCK_SIZE;
    assert_int_equal(os_file_write(craft->file, zeros, sizeof zeros, offset), 0);
    assert_int_equal(os_file_sync(craft->file), 0);
    expect_read_only(craft, &craft->state);
    expect_recovers(craft, &craft->state);
    craft_state_free(&before);
    craft_destroy(craft);
}

/* Recovery writes pages, and not over contents that only the log names: here where the next page would go. */
static void test_contents_stay(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 64 << 10, 17);
    uint8_t expected[STORE_BLOCK_SIZE];
    uint8_t found[STORE_BLOCK_SIZE];
    struct base_reason reason;
    struct node_ref ref;

    struct store *store = craft_open(craft, true);
    assert_int_equal(store_map_find(store, 1, &ref, &reason), 0);
    struct store_run run = {ref.block / STORE_ZONE_BLOCKS * STORE_ZONE_BLOCKS, 1};
    while (space_is_used(&store->space, run.block)) {
        run.block++;
    }
    store_close(store);
    craft_fill(craft, expected, sizeof expected);
    assert_int_equal(os_file_write(craft->file, expected, sizeof expected, run.block * STORE_BLOCK_SIZE), 0);
    craft_begin(craft);
    craft_begin_record(craft);
    craft->at = log_put_run(craft->at, LOG_EDIT_ADD, run);
    craft->listed[craft->listed_count++] = run;
    for (uint64_t page = 1; page < 12; page++) {
        craft_put(craft, page, 0, "changed", 7);
    }
    craft_end_record(craft);
    craft_end(craft);
    for (int read_only = 1; read_only >= 0; read_only--) {
        store = craft_open(craft, read_only != 0);
        assert_true(store_content_is_valid(store, run));
        assert_int_equal(store_content_read(store, run, found), 0);
        assert_memory_equal(found, expected, sizeof found);
        store_close(store);
    }
    craft_destroy(craft);
}

/* --- A file that has grown ---------------------------------------------------------------------------------------- */

static uint64_t grow_file(struct craft *craft, uint64_t blocks)
{
    uint64_t size;

    assert_int_equal(os_file_get_size(craft->file, &size), 0);
    assert_int_equal(os_file_allocate(craft->file, size, blocks * STORE_BLOCK_SIZE), 0);
    assert_int_equal(os_file_sync(craft->file), 0);
    return size / STORE_BLOCK_SIZE;
}

/* Adds a block anywhere, outside of the model. */
static void add_block(struct craft *craft, uint64_t block)
{
    const struct store_run run = {block, 1};
    uint8_t bytes[STORE_BLOCK_SIZE];

    craft_fill(craft, bytes, sizeof bytes);
    if (block < craft->superblock.block_count * 4) {
        assert_int_equal(os_file_write(craft->file, bytes, sizeof bytes, block * STORE_BLOCK_SIZE), 0);
    }
    craft->at = log_put_run(craft->at, LOG_EDIT_ADD, run);
    craft->listed[craft->listed_count++] = run;
}

static void test_grown_file(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 64 << 10, 14);
    uint64_t old_end = grow_file(craft, 2048);
    const struct store_run run = {old_end + 1999, 1};

    craft_begin(craft);
    craft_begin_record(craft);
    craft_put(craft, 1, 0, "grown", 5);
    add_block(craft, run.block);
    craft_end_record(craft);
    craft_end(craft);
    for (int read_only = 1; read_only >= 0; read_only--) {
        struct store_check_report report = {.problem = craft_problem};
        struct store *store = craft_open(craft, read_only != 0);
        assert_true(store_content_is_valid(store, run));
        assert_int_equal(store_check(store, &report), 0);
        assert_int_equal(report.problems, 0);
        store_close(store);
    }
    craft_attach(craft);
    assert_true(craft->superblock.block_count > run.block && craft->superblock.block_count % 16 == 0);
    craft_destroy(craft);
}

/* The growth did not become durable, and so neither did the batch. */
static void test_growth_lost(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 64 << 10, 15);
    struct craft_state before;
    uint64_t size;

    assert_int_equal(os_file_get_size(craft->file, &size), 0);
    begin_last_batch(craft, &before);
    add_block(craft, size / STORE_BLOCK_SIZE + 100);
    assert_int_equal(os_file_truncate(craft->file, size), 0);
    craft_end_record(craft);
    craft_end(craft);
    expect_dropped(craft, &before);
    craft_state_free(&before);
    craft_destroy(craft);

    /* The same with blocks that no list names (contents that were never written). */
    craft = craft_create(PAGE_SIZE, 64 << 10, 15);
    begin_last_batch(craft, &before);
    add_block(craft, size / STORE_BLOCK_SIZE * 5);
    craft->listed_count = 0;
    craft_end_record(craft);
    craft_end(craft);
    expect_dropped(craft, &before);
    craft_state_free(&before);
    craft_destroy(craft);
}

/* Contents freed while a checkpoint is on its way are contents in its bitmap: although the batch that freed them is
 * durable, the checkpoint must not write its own nodes and pages there. */
static void test_freed_during_checkpoint(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 64 << 10, 30);
    const struct store_run run = {craft->contents_begin, 1}; /* the lowest place for a node, once it is free */
    const struct store_need need = {.pages = 1};

    struct store *store = craft_open(craft, false);
    assert_int_equal(store_reserve(store, &need), 0);
    craft_fill(craft, craft->state.pages[1], PAGE_SIZE);
    assert_int_equal(store_page_write(store, 1, craft->state.pages[1], false), 0);
    store_freeze(store);
    assert_int_equal(store_log_write(store), 0);
    store_log_begin(store);
    assert_int_equal(store_content_prepare_free(store, run), 0);
    store_content_free(store, run);
    craft->state.contents[0] = false;
    store_log_end(store);
    assert_true(store_log_can_write(store));
    store_log_seal(store);
    assert_int_equal(store_log_write(store), 0);
    assert_int_equal(store_checkpoint(store), 0);
    assert_false(space_is_used(&store->space, run.block)); /* now it may */
    store_close(store);
    craft_attach(craft);
    expect_read_only(craft, &craft->state);
    expect_recovers(craft, &craft->state);
    craft_destroy(craft);
}

/* --- Trouble while recovering ------------------------------------------------------------------------------------- */

static struct craft *create_with_log(uint64_t seed)
{
    struct craft *craft = craft_create(4096, 256 << 10, seed);

    for (int i = 0; i < 6 && craft_has_room(craft, 0); i++) {
        craft_random_batch(craft);
    }
    return craft;
}

/* Whatever a cut in the middle of a recovery left is recovered to the same, cut again or not. */
static void expect_images_recover(struct craft *craft, const struct craft_state *state, int image_count)
{
    for (int i = 0; i < image_count; i++) {
        struct base_reason reason;
        struct store *store;
        struct fault_file *image = fault_file_create(fault_file_crash(craft->fault, i == 0 ? NULL : &craft->random));
        if (i % 2 == 1) {
            fault_file_cut_power(image, 1 + craft_below(craft, 20));
            if (craft_open_file(fault_file_seam(image), false, &store, &reason) == 0) {
                store_close(store);
            }
            struct os_file *again = fault_file_crash(image, &craft->random);
            os_file_close(fault_file_seam(image));
            image = fault_file_create(again);
        }
        assert_int_equal(craft_open_file(fault_file_seam(image), i % 3 == 2, &store, &reason), 0);
        craft_expect(craft, store, state);
        store_close(store);
        os_file_close(fault_file_seam(image));
    }
}

static void test_cuts(void **state)
{
    (void)state;
    const uint64_t seed = test_seed("store_recover_cuts", 1);
    const int images = test_is_long() ? 100 : 8;
    bool is_cut = true;
    uint64_t n;

    for (n = 1; is_cut; n++) {
        struct craft *craft = create_with_log(seed);
        struct base_reason reason;
        struct store *store;
        fault_file_cut_power(craft->fault, n);
        int result = craft_open_file(craft->file, false, &store, &reason);
        is_cut = fault_file_is_cut(craft->fault);
        assert_true(is_cut == (result < 0));
        if (result == 0) {
            store_close(store);
        } else {
            assert_true(reason.text[0] != '\0');
        }
        expect_images_recover(craft, &craft->state, images);
        craft_destroy(craft);
    }
    assert_true(n > 10);
}

/* A process that dies while it recovers leaves the file to the next one. */
static void test_errors(void **state)
{
    (void)state;
    static const enum fault_call calls[] = {FAULT_READ, FAULT_WRITE, FAULT_SYNC};
    const uint64_t seed = test_seed("store_recover_errors", 1);

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            struct craft *craft = create_with_log(seed);
            struct base_reason reason;
            struct store *store;
            fault_file_fail(craft->fault, calls[i], n, EIO, false);
            int result = craft_open_file(craft->file, false, &store, &reason);
            failed = result < 0;
            assert_true(result == 0 || result == -EIO);
            if (result == 0) {
                store_close(store);
            }
            fault_file_fail(craft->fault, calls[i], 0, 0, false);
            store = craft_open(craft, false);
            craft_expect(craft, store, &craft->state);
            store_close(store);
            craft_destroy(craft);
            /* One slot that can't be read is no reason to give up. */
            failed = failed || (calls[i] == FAULT_READ && n < 3);
        }
    }
}

/* No room on the host: refused with a number, nothing lost. */
static void test_no_space(void **state)
{
    (void)state;
    struct craft *craft = craft_create(65536, 256 << 10, 16);

    craft_begin(craft);
    craft_begin_record(craft);
    for (uint64_t page = 13; page < CRAFT_PAGES; page++) {
        craft_new(craft, page);
        craft_put(craft, page, 100, "page", 4);
    }
    craft_end_record(craft);
    craft_end(craft);
    struct store *store = craft_open(craft, true);
    uint64_t blocks = craft->superblock.block_count;
    while (!space_is_used(&store->space, blocks - 1)) {
        blocks--;
    }
    store_close(store);
    blocks = (blocks + STORE_SIZE_UNIT_BLOCKS - 1) / STORE_SIZE_UNIT_BLOCKS * STORE_SIZE_UNIT_BLOCKS;
    craft->superblock.block_count = blocks;
    craft_write_superblocks(craft);
    assert_int_equal(os_file_truncate(craft->file, blocks * STORE_BLOCK_SIZE), 0);
    assert_int_equal(os_file_sync(craft->file), 0);
    fault_file_set_host_size(craft->fault, blocks * STORE_BLOCK_SIZE);
    craft_refuses(craft, false, -ENOSPC, "MiB of free space");
    expect_read_only(craft, &craft->state);
    fault_file_set_host_size(craft->fault, UINT64_MAX);
    expect_recovers(craft, &craft->state);
    craft_destroy(craft);
}

/* --- The ring as formatted ---------------------------------------------------------------------------------------- */

static void test_format(void **state)
{
    (void)state;
    static const struct {
        uint64_t log_size;
        int result;
        uint64_t blocks;
    } cases[] = {
        {0, 0, 288},
        {16 << 10, 0, 48},
        {1 << 20, 0, 288},
        {20 << 10, 0, 48},
        {64 << 20, 0, 16416},
        {12 << 10, -EINVAL, 0},
        {(64 << 20) + 4096, -EINVAL, 0},
        {65537, -EINVAL, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct store_format_options format = {.page_size = 4096, .log_size = cases[i].log_size};
        uint64_t log_size = cases[i].log_size ? cases[i].log_size : 1 << 20;
        struct craft craft = {.fault = fault_file_create(NULL)};
        craft.file = fault_file_seam(craft.fault);
        assert_int_equal(store_format(craft.file, &format), cases[i].result);
        if (cases[i].result == 0) {
            uint64_t size;
            assert_true(fault_file_count(craft.fault, FAULT_WRITE) >= 3); /* zeros are written */
            craft_attach(&craft);
            assert_int_equal(craft.ring_size, log_size);
            assert_int_equal(craft.superblock.log.salt, 0);
            assert_int_equal(craft.superblock.log.next_lsn, 1);
            assert_int_equal(craft.superblock.log.next_sequence, 1);
            assert_int_equal(os_file_get_size(craft.file, &size), 0);
            assert_int_equal(size, cases[i].blocks * STORE_BLOCK_SIZE);
            store_close(craft_open(&craft, true));
            store_close(craft_open(&craft, false));
            craft_attach(&craft);
            assert_int_not_equal(craft.superblock.log.salt, 0);
        }
        os_file_close(craft.file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_full_ring),
        cmocka_unit_test(test_empty_records),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_salt),
        cmocka_unit_test(test_contents_missing),
        cmocka_unit_test(test_left_out_for_good),
        cmocka_unit_test(test_contents_of_earlier_batch),
        cmocka_unit_test(test_contents_stay),
        cmocka_unit_test(test_grown_file),
        cmocka_unit_test(test_growth_lost),
        cmocka_unit_test(test_freed_during_checkpoint),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_no_space),
        cmocka_unit_test(test_format),
    };
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
