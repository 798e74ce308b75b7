/* Recovery of logs that no crash leaves: a batch damaged in the middle, batches that are whole and say what can't be,
 * pages damaged underneath, hostile bytes. */
#include "recover_craft.h"

enum { PAGE_SIZE = 8192, LOG_SIZE = 256 << 10 };

static struct craft *create(uint64_t seed)
{
    return craft_create(PAGE_SIZE, LOG_SIZE, seed);
}

static void put_batch(struct craft *craft, uint64_t page, const char *text)
{
    craft_begin(craft);
    craft_begin_record(craft);
    craft_put(craft, page, 0, text, (uint32_t)strlen(text) + 1);
    craft_end_record(craft);
    craft_end(craft);
}

/* --- In the middle ------------------------------------------------------------------------------------------------ */

/* Of five batches the third is not whole. */
static void test_middle(void **state)
{
    (void)state;
    static const uint32_t offsets[] = {0, 8, 16, 24, 36, 56, LOG_HEADER_SIZE + 5};

    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        struct craft *craft = create(20);
        struct craft_state before;
        craft_move_log(craft, LOG_SIZE - 3 * STORE_BLOCK_SIZE, 10, 1000);
        put_batch(craft, 1, "one");
        put_batch(craft, 1, "two");
        craft_state_copy(craft, &before);
        put_batch(craft, 1, "three");
        craft_flip(craft, offsets[i]);
        put_batch(craft, 1, "four");
        put_batch(craft, 2, "five");
        craft->is_damaged = true;

        fault_file_reset_counts(craft->fault);
        craft_refuses(craft, false, -EUCLEAN, "batch 12 can't be read");
        assert_int_equal(fault_file_count(craft->fault, FAULT_WRITE), 0);
        struct store *store = craft_open(craft, true);
        craft_expect(craft, store, &before);
        store_close(store);
        assert_int_equal(fault_file_count(craft->fault, FAULT_WRITE), 0);
        craft_state_free(&before);
        craft_destroy(craft);
    }
}

/* The batch before the damage is not the last: what its blocks hold now is not its business. */
static void test_middle_contents(void **state)
{
    (void)state;
    struct craft *craft = create(21);
    const uint8_t zeros[STORE_BLOCK_SIZE] = {0};
    struct craft_state before;

    craft_begin(craft);
    craft_begin_record(craft);
    craft_add(craft, CRAFT_BLOCKS / 2, 2);
    craft_end_record(craft);
    craft_end(craft);
    craft_state_copy(craft, &before);
    put_batch(craft, 1, "two");
    craft_flip(craft, 70);
    put_batch(craft, 1, "three");
    craft->is_damaged = true;
    uint64_t offset = (craft->contents_begin + CRAFT_BLOCKS / 2) * STORE_BLOCK_SIZE;
    assert_int_equal(os_file_write(craft->file, zeros, sizeof zeros, offset), 0);
    struct store *store = craft_open(craft, true);
    craft_expect(craft, store, &before);
    store_close(store);
    craft_refuses(craft, false, -EUCLEAN, "log is damaged");
    craft_state_free(&before);
    craft_destroy(craft);
}

/* Old batches, of lower numbers, stand behind the end of every log that has gone round: that is no damage. */
static void test_old_batches(void **state)
{
    (void)state;
    struct craft *craft = create(22);

    for (int i = 0; i < 20; i++) {
        put_batch(craft, 1, "old");
    }
    craft_move_log(craft, 5 * STORE_BLOCK_SIZE, craft->sequence, craft->lsn);
    for (int i = 0; i < 3; i++) {
        put_batch(craft, 2, "new");
    }
    struct store *store = craft_open(craft, true);
    assert_int_equal(store->recovery.batches, 3);
    store_close(store);
    store = craft_open(craft, false);
    assert_int_equal(store->recovery.batches, 3);
    store_close(store);
    craft_destroy(craft);
}

/* --- What can't be ------------------------------------------------------------------------------------------------ */

struct impossible {
    const char *name;
    void (*make)(struct craft *craft);
    const char *reason;
};

static void make_new_twice(struct craft *craft)
{
    craft->at = log_put_mark(log_put_page(craft->at, 1), LOG_EDIT_NEW);
}

static void make_free_unused(struct craft *craft)
{
    craft->at = log_put_mark(log_put_page(craft->at, 40), LOG_EDIT_FREE);
}

static void make_put_unused(struct craft *craft)
{
    craft->at = log_put_put(log_put_page(craft->at, 40), 0, "x", 1);
}

static void make_move_freed(struct craft *craft)
{
    craft->at = log_put_mark(log_put_page(craft->at, 1), LOG_EDIT_FREE);
    craft->at = log_put_move(craft->at, 0, 1, 2);
}

static void make_page_zero(struct craft *craft)
{
    craft->at = log_put_mark(log_put_page(craft->at, 0), LOG_EDIT_NEW);
}

static void make_no_page(struct craft *craft)
{
    craft->at = log_put_mark(craft->at, LOG_EDIT_NEW);
}

static void make_far_page(struct craft *craft)
{
    craft->at = log_put_mark(log_put_page(craft->at, RADIX_PAGE_NUMBER_MAX), LOG_EDIT_NEW);
}

static void make_beyond_far_page(struct craft *craft)
{
    craft->at = log_put_mark(log_put_page(craft->at, UINT64_MAX), LOG_EDIT_NEW);
}

static void make_put_outside(struct craft *craft)
{
    craft->at = log_put_put(log_put_page(craft->at, 1), PAGE_SIZE - 1, "xy", 2);
}

static void make_move_outside(struct craft *craft)
{
    craft->at = log_put_move(log_put_page(craft->at, 1), 0, PAGE_SIZE - 1, 2);
}

static void make_add_live(struct craft *craft)
{
    craft->at = log_put_run(craft->at, LOG_EDIT_ADD, (struct store_run){craft->contents_begin, 1});
}

static void make_add_twice(struct craft *craft)
{
    const struct store_run run = {craft->contents_begin + CRAFT_BLOCKS / 2, 3};

    craft->at = log_put_run(craft->at, LOG_EDIT_ADD, run);
    craft->at = log_put_run(craft->at, LOG_EDIT_ADD, (struct store_run){run.block + 2, 1});
}

/* Over a page of the checkpoint. */
static void make_add_page(struct craft *craft)
{
    struct store *store = craft_open(craft, true);
    struct base_reason reason;
    struct node_ref ref;

    assert_int_equal(store_map_find(store, 1, &ref, &reason), 0);
    store_close(store);
    craft->at = log_put_run(craft->at, LOG_EDIT_ADD, (struct store_run){ref.block, 1});
}

static void make_add_log(struct craft *craft)
{
    craft->at = log_put_run(craft->at, LOG_EDIT_ADD, (struct store_run){craft->superblock.log.runs[0].block, 1});
}

static void make_add_header(struct craft *craft)
{
    craft->at = log_put_run(craft->at, LOG_EDIT_ADD, (struct store_run){STORE_HEADER_BLOCKS - 1, 2});
}

static void make_drop_free(struct craft *craft)
{
    craft->at = log_put_run(craft->at, LOG_EDIT_DROP, (struct store_run){craft->contents_begin, 2});
}

static void make_drop_outside(struct craft *craft)
{
    craft->at = log_put_run(craft->at, LOG_EDIT_DROP, (struct store_run){craft->superblock.block_count - 1, 2});
}

static void make_long_run(struct craft *craft)
{
    craft->at = log_put_run(craft->at, LOG_EDIT_DROP, (struct store_run){craft->contents_begin, 1});
    craft->at[-1] = 0x7F; /* the count's highest byte */
}

static void make_unknown_edit(struct craft *craft)
{
    *craft->at++ = 99;
}

static void make_half_edit(struct craft *craft)
{
    *craft->at++ = LOG_EDIT_PUT;
}

static void make_record_more(struct craft *craft)
{
    craft_put(craft, 1, 0, "only one", 8);
    craft->record_count++;
}

static void make_list_header(struct craft *craft)
{
    craft->listed[craft->listed_count++] = (struct store_run){3, 1};
}

static const struct impossible impossible[] = {
    {"NEW of a page in use", make_new_twice, "page 1 is taken into use twice"},
    {"FREE of a page not in use", make_free_unused, "page 40 is freed, but not in use"},
    {"PUT in a page not in use", make_put_unused, "page 40 is changed, but not in use"},
    {"MOVE in a page freed before", make_move_freed, "page 1 is changed, but not in use"},
    {"page 0", make_page_zero, "impossible edit"},
    {"an edit before any page", make_no_page, "impossible edit"},
    {"a page number far away", make_far_page, "impossible page number"},
    {"a page number that is none", make_beyond_far_page, "impossible page number"},
    {"PUT over the end of a page", make_put_outside, "impossible edit"},
    {"MOVE from over the end of a page", make_move_outside, "impossible edit"},
    {"ADD of contents", make_add_live, "become contents, but are in use"},
    {"ADD twice", make_add_twice, "become contents, but are in use"},
    {"ADD of a page's block", make_add_page, "become contents, but are in use"},
    {"ADD of the log", make_add_log, "become contents, but are in use"},
    {"ADD in the header", make_add_header, "outside of the file"},
    {"DROP of a free block", make_drop_free, "are freed, but are no contents"},
    {"DROP outside", make_drop_outside, "outside of the file"},
    {"a run too long", make_long_run, "impossible edit"},
    {"an unknown kind", make_unknown_edit, "impossible edit"},
    {"half an edit", make_half_edit, "impossible edit"},
    {"fewer records than the header counts", make_record_more, "should have"},
    {"contents in the header", make_list_header, "impossible list of contents"},
};

static void test_impossible(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
        struct craft *craft = create(23);
        put_batch(craft, 1, "before");
        craft_begin(craft);
        craft_begin_record(craft);
        impossible[i].make(craft);
        craft_end_record(craft);
        craft_end(craft);
        fault_file_reset_counts(craft->fault);
        craft_refuses(craft, false, -EUCLEAN, impossible[i].reason);
        craft_refuses(craft, true, -EUCLEAN, impossible[i].reason);
        assert_int_equal(fault_file_count(craft->fault, FAULT_WRITE), 0);
        craft_destroy(craft);
    }
}

/* A batch that is whole and in its place, but whose records have other numbers. */
static void test_wrong_lsn(void **state)
{
    (void)state;
    struct craft *craft = create(24);
    struct craft_state before;

    put_batch(craft, 1, "before");
    craft_state_copy(craft, &before);
    craft->lsn += 3;
    put_batch(craft, 1, "after");
    craft->is_damaged = true;
    craft_refuses(craft, false, -EUCLEAN, "log is damaged");
    struct store *store = craft_open(craft, true);
    craft_expect(craft, store, &before);
    store_close(store);
    craft_state_free(&before);
    craft_destroy(craft);
}

/* --- Underneath --------------------------------------------------------------------------------------------------- */

/* The checkpoint's page is damaged, and the log changes it. */
static void test_damaged_page(void **state)
{
    (void)state;
    struct craft *craft = create(25);
    struct base_reason reason;
    struct node_ref ref;
    uint8_t byte;
    uint8_t *buffer = malloc(PAGE_SIZE);

    assert_non_null(buffer);
    put_batch(craft, 5, "five");
    put_batch(craft, 6, "six");
    struct store *store = craft_open(craft, true);
    assert_int_equal(store_map_find(store, 5, &ref, &reason), 0);
    store_close(store);
    uint64_t offset = ref.block * STORE_BLOCK_SIZE + 5000;
    assert_int_equal(os_file_read(craft->file, &byte, 1, offset), 0);
    byte ^= 1;
    assert_int_equal(os_file_write(craft->file, &byte, 1, offset), 0);

    craft_refuses(craft, false, -EUCLEAN, "page 5 at block");
    craft_refuses(craft, false, -EUCLEAN, "mount read-only");
    store = craft_open(craft, true);
    assert_int_equal(store_page_read(store, 5, buffer), -EUCLEAN);
    assert_int_equal(store_page_read(store, 6, buffer), 0);
    assert_memory_equal(buffer, craft->state.pages[6], PAGE_SIZE);
    store_close(store);

    /* Nobody needs it any more once the log says that it is new or gone. */
    craft_begin(craft);
    craft_begin_record(craft);
    craft_free(craft, 5);
    craft_new(craft, 5);
    craft_put(craft, 5, 7, "anew", 4);
    craft_end_record(craft);
    craft_end(craft);
    store = craft_open(craft, true);
    assert_int_equal(store_page_read(store, 5, buffer), 0);
    assert_memory_equal(buffer, craft->state.pages[5], PAGE_SIZE);
    store_close(store);
    store = craft_open(craft, false);
    craft_expect(craft, store, &craft->state);
    store_close(store);
    free(buffer);
    craft_destroy(craft);
}

/* --- Hostile bytes ------------------------------------------------------------------------------------------------ */

/* Any bytes of a batch changed, its checksum right: served or refused, nothing else. */
static void test_hostile(void **state)
{
    (void)state;
    const uint64_t seed = test_seed("store_recover_hostile", 1);
    const int rounds = test_is_long() ? 20000 : 400;
    struct craft *craft = create(seed);
    int opened = 0;

    craft_random_batch(craft);
    craft_random_batch(craft);
    for (int round = 0; round < rounds; round++) {
        struct os_file *image = fault_file_crash(craft->fault, NULL);
        uint8_t *bytes = malloc(CRAFT_BATCH_SIZE);
        struct log_batch batch;
        struct base_reason reason;
        struct store *store;
        assert_non_null(bytes);
        memcpy(bytes, craft->bytes, log_batch_space(craft->last_size));
        assert_true(log_batch_decode(bytes, craft->superblock.log.salt, &batch));
        for (uint64_t i = 1 + craft_below(craft, 3); i > 0; i--) {
            uint64_t at = LOG_HEADER_SIZE + craft_below(craft, craft->last_size - LOG_HEADER_SIZE);
            bytes[at] = craft_below(craft, 2) ? (uint8_t)craft_below(craft, 8) : (uint8_t)craft_below(craft, 256);
        }
        log_batch_encode(&batch, bytes);
        struct craft other = *craft;
        other.file = image;
        craft_write_ring(&other, craft->last_position, bytes, log_batch_space(craft->last_size));
        for (int read_only = 1; read_only >= 0; read_only--) {
            struct store_check_report report = {.problem = craft_problem};
            int result = craft_open_file(image, read_only != 0, &store, &reason);
            assert_true(result == 0 || result == -EUCLEAN);
            if (result == 0) {
                assert_int_equal(store_check(store, &report), 0);
                assert_int_equal(report.problems, 0);
                store_close(store);
                opened++;
            }
        }
        free(bytes);
        os_file_close(image);
    }
    print_message("%d of %d hostile logs opened\n", opened, 2 * rounds);
    craft_destroy(craft);
}

/* A ring full of headers that promise large batches of later numbers: opening must not sum them all. */
static void test_many_headers(void **state)
{
    (void)state;
    struct craft *craft = craft_create(PAGE_SIZE, 16 << 20, 26);
    uint8_t block[STORE_BLOCK_SIZE] = {0};

    for (uint64_t at = STORE_BLOCK_SIZE; at < craft->ring_size; at += STORE_BLOCK_SIZE) {
        const uint32_t records_size = (uint32_t)(craft->ring_size - at - LOG_HEADER_SIZE);
        const struct log_batch batch = {
            .salt = craft->superblock.log.salt,
            .sequence = craft->sequence + 1000,
            .first_lsn = 5,
            .record_count = 1,
            .records_size = records_size,
            .size = records_size + LOG_HEADER_SIZE,
        };
        const struct log_batch header = {.salt = batch.salt,
                                         .sequence = batch.sequence,
                                         .first_lsn = 5,
                                         .record_count = 1,
                                         .records_size = records_size,
                                         .size = LOG_HEADER_SIZE};
        log_batch_encode(&header, block);
        block[36] = (uint8_t)batch.size; /* the size that the records make */
        block[37] = (uint8_t)(batch.size >> 8);
        block[38] = (uint8_t)(batch.size >> 16);
        block[39] = (uint8_t)(batch.size >> 24);
        craft_write_ring(craft, at, block, sizeof block);
    }
    assert_int_equal(os_file_sync(craft->file), 0);
    craft_refuses(craft, false, -EUCLEAN, "log is damaged");
    craft_destroy(craft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_middle),     cmocka_unit_test(test_middle_contents), cmocka_unit_test(test_old_batches),
        cmocka_unit_test(test_impossible), cmocka_unit_test(test_wrong_lsn),       cmocka_unit_test(test_damaged_page),
        cmocka_unit_test(test_hostile),    cmocka_unit_test(test_many_headers),
    };
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
