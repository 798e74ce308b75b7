/* Damaged and foreign files: each is refused with its own error and a reason, or served by the other superblock; damage
 * found later is -EUCLEAN on what it touches and nothing else; store_check names it. Hostile files (any byte changed,
 * checksums made right again) never crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/message.h"
#include "internal.h"
#include "support/store_model.h"
#include "support/test_seed.h"

enum {
    SLOT_B = 16 * 4096,
    GENERATION_AT = 120,
    BLOCK_COUNT_AT = 128,
    MAP_BLOCK_AT = 136,
    BITMAP_BLOCK_AT = 160,
    CHECKSUM_AT = 4088,
};

struct fixture {
    struct os_file *file;
    struct store_model *model; /* what is in it */
    struct base_random random;
};

static int open_store(struct os_file *file, bool read_only, struct store **ret_store, struct base_reason *ret_reason)
{
    const struct store_open_options options = {.read_only = read_only};

    *ret_reason = (struct base_reason){""};
    return store_open(file, &options, ret_store, ret_reason);
}

/* A store with some pages and contents, the last checkpoint durable. */
static int create(void **state)
{
    const struct store_format_options format = {.page_size = 8192, .label = "damage"};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct base_reason reason;
    struct store *store;

    assert_non_null(fixture);
    base_random_seed(&fixture->random, test_seed("store_damage", 1));
    assert_int_equal(os_memory_file_create(&fixture->file), 0);
    assert_int_equal(store_format(fixture->file, &format), 0);
    assert_int_equal(open_store(fixture->file, false, &store, &reason), 0);
    fixture->model = store_model_create(&fixture->random);
    store_model_attach(fixture->model, store, NULL);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(store_model_step(fixture->model), 0);
    }
    assert_int_equal(store_model_sync(fixture->model), 0);
    store_close(store);
    *state = fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;

    store_model_destroy(fixture->model);
    os_file_close(fixture->file);
    free(fixture);
    return 0;
}

static void flip(struct os_file *file, uint64_t offset)
{
    uint8_t byte;

    assert_int_equal(os_file_read(file, &byte, 1, offset), 0);
    byte ^= 0x20;
    assert_int_equal(os_file_write(file, &byte, 1, offset), 0);
}

/* Changes eight bytes of a superblock and makes its checksum right. */
static void set_field(struct os_file *file, uint64_t slot_offset, uint32_t at, uint64_t value, uint32_t size)
{
    uint8_t block[4096];
    uint8_t bytes[8];

    assert_int_equal(os_file_read(file, block, sizeof block, slot_offset), 0);
    base_put_le64(bytes, value);
    memcpy(block + at, bytes, size);
    base_put_le64(block + CHECKSUM_AT, base_checksum(block, CHECKSUM_AT, 0x5355504552424C4BULL));
    assert_int_equal(os_file_write(file, block, sizeof block, slot_offset), 0);
}

static uint64_t get_field(struct os_file *file, uint64_t at)
{
    uint8_t bytes[8];

    assert_int_equal(os_file_read(file, bytes, sizeof bytes, at), 0);
    return base_get_le64(bytes);
}

static void assert_refused(struct os_file *file, int error, const char *part_of_reason)
{
    struct base_reason reason;
    struct store *store;

    for (int read_only = 0; read_only < 2; read_only++) {
        assert_int_equal(open_store(file, read_only, &store, &reason), error);
        if (!strstr(reason.text, part_of_reason)) {
            print_error("reason: %s\n", reason.text);
        }
        assert_non_null(strstr(reason.text, part_of_reason));
    }
}

static void assert_opens(struct fixture *fixture)
{
    struct base_reason reason;
    struct store *store;

    assert_int_equal(open_store(fixture->file, true, &store, &reason), 0);
    assert_true(store_model_matches(fixture->model, store, &fixture->model->durable));
    store_close(store);
    assert_int_equal(open_store(fixture->file, false, &store, &reason), 0);
    assert_true(store_model_matches(fixture->model, store, &fixture->model->durable));
    store_model_check(fixture->model, store);
    store_close(store);
}

static void test_one_slot(void **state)
{
    struct fixture *fixture = *state;

    flip(fixture->file, 200);
    assert_opens(fixture); /* and the writable opening repaired the slot */
    flip(fixture->file, SLOT_B + 3000);
    assert_opens(fixture);
    flip(fixture->file, 2);
    assert_opens(fixture);
    flip(fixture->file, SLOT_B + 16); /* the version */
    assert_opens(fixture);
}

static void test_both_slots(void **state)
{
    struct fixture *fixture = *state;

    flip(fixture->file, 200);
    flip(fixture->file, SLOT_B + 200);
    assert_refused(fixture->file, -EUCLEAN, "checksum");
}

static void test_foreign(void **state)
{
    struct fixture *fixture = *state;
    uint8_t zeros[512] = {0};
    struct os_file *file;

    assert_int_equal(os_memory_file_create(&file), 0);
    assert_refused(file, -EMEDIUMTYPE, "not a beeftree");
    assert_int_equal(os_file_write(file, zeros, sizeof zeros, 0), 0);
    assert_refused(file, -EMEDIUMTYPE, "not a beeftree");
    assert_int_equal(os_file_allocate(file, 0, 1 << 20), 0);
    assert_refused(file, -EMEDIUMTYPE, "not a beeftree");
    os_file_close(file);
    flip(fixture->file, 1);
    flip(fixture->file, SLOT_B + 1);
    assert_refused(fixture->file, -EMEDIUMTYPE, "not a beeftree");
}

static void test_newer(void **state)
{
    struct fixture *fixture = *state;

    /* One slot with a version that is surely meant. */
    set_field(fixture->file, 0, 16, 2, 4);
    assert_refused(fixture->file, -EPROTONOSUPPORT, "newer");
    set_field(fixture->file, 0, 16, 1, 4);
    assert_opens(fixture);
    /* Both slots newer, with checksums that version 1 does not know. */
    flip(fixture->file, 16);
    flip(fixture->file, SLOT_B + 16);
    assert_refused(fixture->file, -EPROTONOSUPPORT, "newer");
    flip(fixture->file, 16);
    flip(fixture->file, SLOT_B + 16);
    assert_opens(fixture);
    /* Features. */
    set_field(fixture->file, 0, 24, 4, 8);
    set_field(fixture->file, SLOT_B, 24, 4, 8);
    assert_refused(fixture->file, -EPROTONOSUPPORT, "features");
}

/* A feature is there when both slots name it, and stays. */
static void test_known_feature(void **state)
{
    struct fixture *fixture = *state;
    struct base_reason reason;
    struct store *store;
    uint8_t bytes[8];

    assert_int_equal(open_store(fixture->file, false, &store, &reason), 0);
    assert_false(store_has_feature(store, STORE_FEATURE_SHARED_CONTENTS));
    store_want_feature(store, STORE_FEATURE_SHARED_CONTENTS);
    assert_false(store_has_feature(store, STORE_FEATURE_SHARED_CONTENTS));
    assert_true(store_is_dirty(store));
    store_freeze(store);
    assert_int_equal(store_checkpoint(store), 0);
    assert_true(store_has_feature(store, STORE_FEATURE_SHARED_CONTENTS));
    store_close(store);
    for (unsigned slot = 0; slot < 2; slot++) {
        assert_int_equal(os_file_read(fixture->file, bytes, sizeof bytes, slot * (uint64_t)SLOT_B + 24), 0);
        assert_int_equal(base_get_le64(bytes), STORE_FEATURE_SHARED_CONTENTS);
    }
    assert_int_equal(open_store(fixture->file, false, &store, &reason), 0);
    assert_true(store_has_feature(store, STORE_FEATURE_SHARED_CONTENTS));
    store_freeze(store);
    assert_int_equal(store_checkpoint(store), 0);
    store_close(store);
    assert_int_equal(open_store(fixture->file, true, &store, &reason), 0);
    assert_true(store_has_feature(store, STORE_FEATURE_SHARED_CONTENTS));
    store_close(store);
}

static void test_read_only_features(void **state)
{
    struct fixture *fixture = *state;
    struct base_reason reason;
    struct store *store;

    set_field(fixture->file, 0, 32, 1, 8);
    set_field(fixture->file, SLOT_B, 32, 1, 8);
    assert_int_equal(open_store(fixture->file, false, &store, &reason), -EPROTONOSUPPORT);
    assert_non_null(strstr(reason.text, "only read"));
    assert_int_equal(open_store(fixture->file, true, &store, &reason), 0);
    store_close(store);
}

static void test_fields(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        uint32_t at;
        uint32_t size;
        uint64_t value;
    } wrong[] = {
        {16, 4, 0},           {20, 4, 2048},        {20, 4, 131072},      {20, 4, 12288},       {56 + 63, 1, 'x'},
        {120, 8, 0},          {120, 8, UINT64_MAX}, {128, 8, 16},         {128, 8, 1007},       {128, 8, UINT64_MAX},
        {128, 8, 1ULL << 50}, {136, 8, 5},          {136, 8, 1ULL << 40}, {152, 4, 0},          {152, 4, 8},
        {156, 4, 8},          {156, 4, 0},          {160, 8, 0},          {176, 8, UINT64_MAX}, {184, 8, UINT64_MAX},
        {224, 4, 33},         {224, 4, 2},          {228, 4, 1},          {232, 8, 31},         {752, 1, 1},
        {4087, 1, 1},         {224, 4, UINT32_MAX}, {224, 4, 0},          {240, 8, 0},          {240, 8, 1 << 15},
        {208, 8, 100},        {208, 8, 1 << 20},    {200, 8, 1ULL << 63}, {216, 8, UINT64_MAX},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t a[4096], b[4096];
        assert_int_equal(os_file_read(fixture->file, a, sizeof a, 0), 0);
        assert_int_equal(os_file_read(fixture->file, b, sizeof b, SLOT_B), 0);
        if (wrong[i].at == 56 + 63) {
            memset(a + 56, 'x', 63);
            memset(b + 56, 'x', 63);
            assert_int_equal(os_file_write(fixture->file, a, sizeof a, 0), 0);
            assert_int_equal(os_file_write(fixture->file, b, sizeof b, SLOT_B), 0);
        }
        set_field(fixture->file, 0, wrong[i].at, wrong[i].value, wrong[i].size);
        set_field(fixture->file, SLOT_B, wrong[i].at, wrong[i].value, wrong[i].size);
        assert_refused(fixture->file, -EUCLEAN, "impossible value");
        if (wrong[i].at == 56 + 63) {
            memset(a + 56, 0, 63);
            memset(b + 56, 0, 63);
        }
        assert_int_equal(os_file_write(fixture->file, a, sizeof a, 0), 0);
        assert_int_equal(os_file_write(fixture->file, b, sizeof b, SLOT_B), 0);
        set_field(fixture->file, 0, 16, 1, 4);
        set_field(fixture->file, SLOT_B, 16, 1, 4);
    }
    assert_opens(fixture);
}

/* From there a writer could get to numbers that nobody reads any more. */
static void test_numbers_that_end(void **state)
{
    struct fixture *fixture = *state;
    static const uint32_t places[] = {120, 200, 216}; /* generation, LSN, sequence number */
    struct base_reason reason;
    struct store *store;

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint64_t before = get_field(fixture->file, places[i]);
        set_field(fixture->file, 0, places[i], INT64_MAX, 8);
        set_field(fixture->file, SLOT_B, places[i], INT64_MAX, 8);
        assert_int_equal(open_store(fixture->file, true, &store, &reason), 0);
        store_close(store);
        assert_int_equal(open_store(fixture->file, false, &store, &reason), -EUCLEAN);
        assert_non_null(strstr(reason.text, "too large"));
        set_field(fixture->file, 0, places[i], before, 8);
        set_field(fixture->file, SLOT_B, places[i], before, 8);
    }
    assert_opens(fixture);
}

static void test_counts(void **state)
{
    struct fixture *fixture = *state;
    uint64_t pages = get_field(fixture->file, 176);

    set_field(fixture->file, 0, 176, pages + 1, 8);
    set_field(fixture->file, SLOT_B, 176, pages + 1, 8);
    assert_refused(fixture->file, -EUCLEAN, "counts");
}

static void test_cut_short(void **state)
{
    struct fixture *fixture = *state;
    uint64_t size = get_field(fixture->file, BLOCK_COUNT_AT) * 4096;

    assert_int_equal(os_file_allocate(fixture->file, size, 100000), 0); /* longer is fine */
    assert_opens(fixture);
    assert_int_equal(os_file_truncate(fixture->file, size), 0);
    assert_opens(fixture);
    assert_int_equal(os_file_truncate(fixture->file, size - 1), 0);
    assert_refused(fixture->file, -EUCLEAN, "cut short");
    assert_int_equal(os_file_truncate(fixture->file, 5000), 0);
    assert_refused(fixture->file, -EUCLEAN, "cut short");
    assert_int_equal(os_file_truncate(fixture->file, 4095), 0);
    assert_refused(fixture->file, -EMEDIUMTYPE, "not a beeftree");
}

static void test_nodes(void **state)
{
    struct fixture *fixture = *state;
    uint64_t map = get_field(fixture->file, MAP_BLOCK_AT) * 4096;
    uint64_t bitmap = get_field(fixture->file, BITMAP_BLOCK_AT) * 4096;

    flip(fixture->file, map + 77);
    assert_refused(fixture->file, -EUCLEAN, "page map");
    flip(fixture->file, map + 77);
    flip(fixture->file, bitmap + 99);
    assert_refused(fixture->file, -EUCLEAN, "content bitmap");
    flip(fixture->file, bitmap + 99);
    assert_opens(fixture);
}

/* The newest state's tree is damaged; the slot that a crash left one behind serves. */
static void test_older_state(void **state)
{
    struct fixture *fixture = *state;
    struct model_state *older = malloc(sizeof *older);
    struct base_reason reason;
    uint8_t slot[4096];
    struct store *store;

    assert_non_null(older);
    *older = fixture->model->durable;
    assert_int_equal(os_file_read(fixture->file, slot, sizeof slot, 0), 0);
    assert_int_equal(open_store(fixture->file, false, &store, &reason), 0);
    store_model_attach(fixture->model, store, older);
    const struct store_need need = {.pages = 1};
    assert_int_equal(store_reserve(store, &need), 0);
    uint64_t page = store_page_number_allocate(store);
    uint8_t bytes[8192] = {1};
    assert_int_equal(store_page_write(store, page, bytes, false), 0);
    store_freeze(store);
    assert_int_equal(store_checkpoint(store), 0);
    store_close(store);
    uint64_t newest = get_field(fixture->file, GENERATION_AT);
    /* As if the power had gone before slot B was written. */
    assert_int_equal(os_file_write(fixture->file, slot, sizeof slot, SLOT_B), 0);
    flip(fixture->file, get_field(fixture->file, MAP_BLOCK_AT) * 4096 + 5);
    assert_opens(fixture);
    /* The writable opening made the slots alike. */
    assert_int_equal(get_field(fixture->file, GENERATION_AT), newest - 1);
    assert_int_equal(get_field(fixture->file, SLOT_B + GENERATION_AT), newest - 1);
    free(older);
}

struct problems {
    int count;
    char first[512];
};

static void note_problem(void *context, const char *text)
{
    struct problems *problems = context;

    if (problems->count++ == 0) {
        strncpy(problems->first, text, sizeof problems->first - 1);
    }
}

static void test_page(void **state)
{
    struct fixture *fixture = *state;
    struct problems problems = {0};
    struct store_check_report report = {.problem = note_problem, .context = &problems};
    struct store_statistics statistics;
    struct base_reason reason;
    struct node_ref ref;
    uint8_t bytes[8192];
    struct store *store;
    uint64_t page = 0;

    assert_int_equal(open_store(fixture->file, true, &store, &reason), 0);
    assert_int_equal(store_page_next(store, &page), 0);
    assert_int_equal(store_map_find(store, page, &ref, &reason), 0);
    flip(fixture->file, ref.block * 4096 + 4097);
    assert_int_equal(store_page_read(store, page, bytes), -EUCLEAN);
    assert_int_equal(store_get_failure(store, &reason), 0);
    store_get_statistics(store, &statistics);
    assert_int_equal(statistics.checksum_failures, 1);
    assert_int_equal(store_page_read(store, 1000000, bytes), -EUCLEAN);
    assert_int_equal(store_page_read(store, 0, bytes), -EUCLEAN);
    assert_int_equal(store_page_read(store, UINT64_MAX, bytes), -EUCLEAN);
    assert_int_equal(store_check(store, &report), 0);
    assert_int_equal(report.problems, 1);
    assert_int_equal(problems.count, 1);
    assert_non_null(strstr(problems.first, "wrong checksum"));
    /* Others are untouched. */
    while (store_page_next(store, &page) == 0) {
        assert_int_equal(store_page_read(store, page, bytes), 0);
    }
    store_close(store);
}

/* Contents named at impossible places, freed twice, pages freed twice: no crash, blocks are counted once. */
static void test_wrong_calls(void **state)
{
    struct fixture *fixture = *state;
    struct store_statistics before, after;
    struct base_reason reason;
    static uint8_t bytes[64 * 4096];
    struct store_run run;
    struct store *store;
    uint64_t page = 0;

    assert_int_equal(open_store(fixture->file, false, &store, &reason), 0);
    assert_int_equal(store_content_read(store, (struct store_run){0, 1}, bytes), -EUCLEAN);
    assert_int_equal(store_content_read(store, (struct store_run){1ULL << 47, 1}, bytes), -EUCLEAN);
    assert_int_equal(store_content_read(store, (struct store_run){UINT64_MAX, 2}, bytes), -EUCLEAN);
    assert_int_equal(store_content_next(store, 0, &run), 0);
    store_get_statistics(store, &before);
    assert_int_equal(store_content_prepare_free(store, run), 0);
    store_content_free(store, run);
    assert_int_equal(store_content_prepare_free(store, run), 0);
    store_content_free(store, run);
    assert_int_equal(store_content_prepare_free(store, (struct store_run){1ULL << 47, 5}), 0);
    store_content_free(store, (struct store_run){1ULL << 47, 5});
    assert_int_equal(store_page_next(store, &page), 0);
    store_page_free(store, page);
    store_page_free(store, page);
    store_freeze(store);
    assert_int_equal(store_checkpoint(store), 0);
    store_get_statistics(store, &after);
    assert_int_equal(after.content_blocks, before.content_blocks - run.count);
    assert_int_equal(after.pages, before.pages - 1);
    store_model_check(fixture->model, store);
    store_close(store);
}

/* Any change of any node, with all checksums above made right: opening refuses or opens, reads answer, nothing else. */
static void mutate_root(struct os_file *file, enum node_kind kind, uint32_t block_at, uint32_t height_at,
                        struct base_random *random)
{
    uint8_t node[4096];
    uint64_t block = get_field(file, block_at);
    uint32_t level = (uint32_t)get_field(file, height_at) - 1;
    uint32_t entry = (uint32_t)base_random_below(random, 256);
    static const uint64_t values[] = {0, 1, 31, 32, 33, 1 << 20, 1ULL << 47, UINT64_MAX};

    assert_int_equal(os_file_read(file, node, sizeof node, block * 4096), 0);
    for (uint64_t changes = 1 + base_random_below(random, 3); changes > 0; changes--) {
        switch (base_random_below(random, 4)) {
        case 0:
            node[base_random_below(random, 4096)] ^= (uint8_t)(1 << base_random_below(random, 8));
            break;
        case 1:
            base_put_le64(node + entry * 16, values[base_random_below(random, 8)]);
            break;
        case 2:
            base_put_le64(node + entry * 16, block);
            break;
        default:
            memcpy(node + entry * 16, node + 16, 16); /* a page twice */
            break;
        }
    }
    assert_int_equal(os_file_write(file, node, sizeof node, block * 4096), 0);
    uint64_t checksum = node_checksum((struct node_id){kind, level & 0xFF, 0}, node);
    set_field(file, 0, kind == NODE_MAP ? 144 : 168, checksum, 8);
    set_field(file, SLOT_B, kind == NODE_MAP ? 144 : 168, checksum, 8);
}

static void test_hostile(void **state)
{
    struct fixture *fixture = *state;
    int rounds = test_is_long() ? 3000 : 150;
    uint64_t size;
    int opened = 0;

    assert_int_equal(os_file_get_size(fixture->file, &size), 0);
    uint8_t *image = malloc(size);
    assert_non_null(image);
    assert_int_equal(os_file_read(fixture->file, image, size, 0), 0);
    for (int round = 0; round < rounds; round++) {
        struct base_reason reason;
        struct store *store;
        assert_int_equal(os_file_write(fixture->file, image, size, 0), 0);
        if (base_random_below(&fixture->random, 3)) {
            mutate_root(fixture->file, NODE_MAP, MAP_BLOCK_AT, 152, &fixture->random);
        } else {
            mutate_root(fixture->file, NODE_BITMAP, BITMAP_BLOCK_AT, 156, &fixture->random);
        }
        if (base_random_below(&fixture->random, 4) == 0) {
            uint32_t height = (uint32_t)base_random_below(&fixture->random, 8);
            set_field(fixture->file, 0, 152, height, 4);
            set_field(fixture->file, SLOT_B, 152, height, 4);
        }
        int result = open_store(fixture->file, true, &store, &reason);
        if (result == 0) {
            struct store_check_report report = {0};
            uint8_t bytes[8192];
            uint64_t page = 0;
            assert_int_equal(store_check(store, &report), 0);
            while (store_page_next(store, &page) == 0) {
                (void)store_page_read(store, page, bytes);
            }
            store_close(store);
            opened++;
        } else {
            assert_int_equal(result, -EUCLEAN);
            assert_true(strlen(reason.text) > 0);
        }
    }
    print_message("%d of %d hostile files opened\n", opened, rounds);
    free(image);
}

/* Nodes that name each other and themselves: height 7 with one node at every level, a graph with 256^6 paths. */
static void test_cycle(void **state)
{
    struct fixture *fixture = *state;
    uint64_t block = get_field(fixture->file, MAP_BLOCK_AT);
    uint64_t checksum = 0;
    uint8_t node[4096] = {0};

    for (uint32_t level = 0; level < 7; level++) {
        for (uint32_t i = 0; i < 256 && level > 0; i++) {
            /* Only the first path's checksums can be right, as each seed has the node's index in it. */
            base_put_le64(node + i * 16, block);
            base_put_le64(node + i * 16 + 8, checksum);
        }
        if (level == 0) {
            base_put_le64(node + 16, 64);
        }
        assert_int_equal(os_file_write(fixture->file, node, sizeof node, block * 4096), 0);
        checksum = node_checksum((struct node_id){NODE_MAP, level, 0}, node);
    }
    for (uint64_t slot = 0; slot <= SLOT_B; slot += SLOT_B) {
        set_field(fixture->file, slot, 144, checksum, 8);
        set_field(fixture->file, slot, 152, 7, 4);
    }
    assert_refused(fixture->file, -EUCLEAN, "used twice");
}

static void test_format(void **state)
{
    (void)state;
    struct store_format_options format = {.page_size = 4096, .label = "a label"};
    static const uint32_t wrong[] = {0, 1, 2048, 4095, 6144, 131072, 1U << 31};
    uint8_t identifier[STORE_IDENTIFIER_SIZE];
    char label[STORE_LABEL_SIZE];
    struct base_reason reason;
    struct os_file *file;
    struct store *store;

    assert_int_equal(os_memory_file_create(&file), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        format.page_size = wrong[i];
        assert_int_equal(store_format(file, &format), -EINVAL);
    }
    format.page_size = 32768;
    memset(format.label, 'x', sizeof format.label);
    assert_int_equal(store_format(file, &format), -EINVAL);
    strcpy(format.label, "a label");
    assert_int_equal(store_format(file, &format), 0);
    assert_int_equal(store_format(file, &format), -EEXIST);
    assert_int_equal(open_store(file, false, &store, &reason), 0);
    assert_int_equal(store_get_page_size(store), 32768);
    store_get_label(store, label);
    assert_string_equal(label, "a label");
    store_get_identifier(store, identifier);
    assert_int_equal(identifier[6] >> 4, 4);
    assert_int_equal(identifier[8] >> 6, 2);
    store_close(store);
    os_file_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_slot, create, end),
        cmocka_unit_test_setup_teardown(test_both_slots, create, end),
        cmocka_unit_test_setup_teardown(test_foreign, create, end),
        cmocka_unit_test_setup_teardown(test_newer, create, end),
        cmocka_unit_test_setup_teardown(test_known_feature, create, end),
        cmocka_unit_test_setup_teardown(test_read_only_features, create, end),
        cmocka_unit_test_setup_teardown(test_fields, create, end),
        cmocka_unit_test_setup_teardown(test_numbers_that_end, create, end),
        cmocka_unit_test_setup_teardown(test_counts, create, end),
        cmocka_unit_test_setup_teardown(test_cut_short, create, end),
        cmocka_unit_test_setup_teardown(test_nodes, create, end),
        cmocka_unit_test_setup_teardown(test_older_state, create, end),
        cmocka_unit_test_setup_teardown(test_page, create, end),
        cmocka_unit_test_setup_teardown(test_wrong_calls, create, end),
        cmocka_unit_test_setup_teardown(test_hostile, create, end),
        cmocka_unit_test_setup_teardown(test_cycle, create, end),
        cmocka_unit_test(test_format),
    };
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
