/* Small parts by themselves: bits, page numbers, overlay, superblock. */
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
#include "base/random.h"
#include "bits.h"
#include "overlay.h"
#include "page_numbers.h"
#include "superblock.h"
#include "support/test_seed.h"

static void test_bits(void **state)
{
    (void)state;
    uint64_t words[4];
    bool model[256];
    struct base_random random;

    base_random_seed(&random, test_seed("store_bits", 1));
    memset(words, 0, sizeof words);
    memset(model, 0, sizeof model);
    for (int round = 0; round < 3000; round++) {
        uint64_t begin = base_random_below(&random, 256);
        uint64_t count = base_random_below(&random, 257 - begin);
        bool set = base_random_below(&random, 2);
        if (set) {
            bits_set(words, begin, count);
        } else {
            bits_clear(words, begin, count);
        }
        for (uint64_t i = begin; i < begin + count; i++) {
            model[i] = set;
        }
        begin = base_random_below(&random, 256);
        count = base_random_below(&random, 257 - begin);
        uint64_t next_set = begin, next_clear = begin;
        while (next_set < begin + count && !model[next_set]) {
            next_set++;
        }
        while (next_clear < begin + count && model[next_clear]) {
            next_clear++;
        }
        assert_int_equal(bits_next_set(words, begin, begin + count), next_set);
        assert_int_equal(bits_next_clear(words, begin, begin + count), next_clear);
        assert_int_equal(bits_none(words, begin, count), next_set == begin + count);
        assert_int_equal(bits_all(words, begin, count), next_clear == begin + count);
        assert_int_equal(bits_get(words, begin), model[begin]);
    }
}

static void test_page_numbers(void **state)
{
    (void)state;
    enum { NUMBERS = 70000 };
    bool *model = calloc(NUMBERS + 2, sizeof *model);
    struct page_numbers numbers;
    struct base_random random;
    uint64_t count = 0;

    assert_non_null(model);
    base_random_seed(&random, test_seed("store_page_numbers", 1));
    page_numbers_init(&numbers);
    uint64_t lowest = 1;
    for (int round = 0; round < 200000; round++) {
        uint64_t page;
        bool takes = base_random_below(&random, 8) < (round < 120000 ? 6 : 2);
        if (takes && count < NUMBERS - 1) {
            if (round % 100 == 0) {
                assert_int_equal(page_numbers_prepare(&numbers, 100), 0);
            }
            assert_int_equal(page_numbers_take_lowest(&numbers, &page), 0);
            while (model[lowest]) {
                lowest++;
            }
            assert_int_equal(page, lowest);
            model[page] = true;
            count++;
        } else {
            page = base_random_below(&random, NUMBERS + 1);
            assert_int_equal(page_numbers_contain(&numbers, page), model[page]);
            assert_int_equal(page_numbers_remove(&numbers, page), model[page]);
            count -= model[page];
            lowest = model[page] && page < lowest ? page : lowest;
            model[page] = false;
        }
        assert_int_equal(numbers.count, count);
    }
    uint64_t seen = 0;
    for (uint64_t page = 1; page <= NUMBERS; page++) {
        if (model[page]) {
            assert_int_equal(page_numbers_next(&numbers, seen), page);
            seen = page;
        }
    }
    assert_int_equal(page_numbers_next(&numbers, seen), 0);
    page_numbers_deinit(&numbers);
    free(model);
}

/* Whatever numbers a file names, memory follows what exists. */
static void test_page_numbers_sparse(void **state)
{
    (void)state;
    struct page_numbers numbers;
    uint64_t page;

    page_numbers_init(&numbers);
    assert_int_equal(page_numbers_add(&numbers, 0), -ERANGE);
    assert_int_equal(page_numbers_add(&numbers, RADIX_PAGE_NUMBER_MAX + 1), -ERANGE);
    assert_int_equal(page_numbers_add(&numbers, RADIX_PAGE_NUMBER_MAX), 0);
    assert_int_equal(page_numbers_add(&numbers, RADIX_PAGE_NUMBER_MAX), -EEXIST);
    assert_int_equal(page_numbers_add(&numbers, 12345678901), 0);
    assert_false(page_numbers_contain(&numbers, UINT64_MAX));
    assert_int_equal(page_numbers_next(&numbers, 0), 12345678901);
    assert_int_equal(page_numbers_next(&numbers, 12345678901), RADIX_PAGE_NUMBER_MAX);
    assert_int_equal(page_numbers_prepare(&numbers, 100000), 0);
    assert_int_equal(page_numbers_take_lowest(&numbers, &page), 0);
    assert_int_equal(page, 1);
    page_numbers_deinit(&numbers);
}

static void test_overlay(void **state)
{
    (void)state;
    enum { PAGES = 5000 };
    struct node_ref *model = calloc(PAGES, sizeof *model);
    bool is_set[PAGES] = {false};
    struct overlay overlay = {0};
    struct base_random random;
    size_t count = 0;

    assert_non_null(model);
    base_random_seed(&random, test_seed("store_overlay", 1));
    assert_null(overlay_find(&overlay, 1));
    for (int round = 0; round < 30000; round++) {
        uint64_t page = 1 + base_random_below(&random, PAGES - 1);
        struct node_ref ref = {base_random_below(&random, 3) ? base_random_next(&random) : 0, 7};
        struct node_ref old;
        const struct overlay_entry *entry = overlay_find(&overlay, page);
        assert_int_equal(entry != NULL, is_set[page]);
        assert_true(!entry || entry->ref.block == model[page].block);
        assert_int_equal(overlay_set(&overlay, page, ref, &old), 0);
        assert_int_equal(old.block, model[page].block);
        count += !is_set[page];
        is_set[page] = true;
        model[page] = ref;
        assert_int_equal(overlay.count, count);
    }
    overlay_deinit(&overlay);
    free(model);
}

/* Every byte where docs/format.md says it is. */
static void test_superblock(void **state)
{
    (void)state;
    struct superblock superblock = {
        .page_size = 16384,
        .read_only_features = 0,
        .identifier = {1, 2, 3},
        .label = "a label",
        .generation = 77,
        .block_count = 4096,
        .map = {NODE_MAP, 2, {100, 0x1122334455667788}},
        .bitmap = {NODE_BITMAP, 1, {101, 0x99}},
        .page_count = 55,
        .content_block_count = 66,
        .log = {11, 12, 8192, 14, 2, {{200, 10}, {300, 20}}},
        .format_time_s = 1234567890,
    };
    struct superblock decoded;
    struct base_reason reason;
    uint8_t block[4096];
    uint8_t expected[4096] = {0};

    static const uint8_t magic[16] = {'b', 'e', 'e', 'f', 't', 'r', 'e', 'e', 'f', 's', ' ', 'd', 'b', ' ', '1', '\n'};
    memcpy(expected, magic, sizeof magic);
    base_put_le32(expected + 16, 1);
    base_put_le32(expected + 20, 16384);
    memcpy(expected + 40, superblock.identifier, 16);
    strcpy((char *)expected + 56, "a label");
    base_put_le64(expected + 120, 77);
    base_put_le64(expected + 128, 4096);
    base_put_le64(expected + 136, 100);
    base_put_le64(expected + 144, 0x1122334455667788);
    base_put_le32(expected + 152, 2);
    base_put_le32(expected + 156, 1);
    base_put_le64(expected + 160, 101);
    base_put_le64(expected + 168, 0x99);
    base_put_le64(expected + 176, 55);
    base_put_le64(expected + 184, 66);
    base_put_le64(expected + 192, 11);
    base_put_le64(expected + 200, 12);
    base_put_le64(expected + 208, 8192);
    base_put_le64(expected + 216, 14);
    base_put_le32(expected + 224, 2);
    base_put_le64(expected + 232, 200);
    base_put_le64(expected + 240, 10);
    base_put_le64(expected + 248, 300);
    base_put_le64(expected + 256, 20);
    base_put_le64(expected + 744, 1234567890);
    base_put_le64(expected + 4088, base_checksum(expected, 4088, 0x5355504552424C4B));
    superblock_encode(&superblock, block);
    assert_memory_equal(block, expected, sizeof block);
    assert_int_equal(superblock_decode(block, &decoded, &reason), SUPERBLOCK_VALID);
    superblock_encode(&decoded, expected);
    assert_memory_equal(block, expected, sizeof block);
    /* Any flipped bit is found. */
    for (size_t i = 0; i < 4096; i += 3) {
        block[i] ^= (uint8_t)(1 << (i % 8));
        assert_int_not_equal(superblock_decode(block, &decoded, &reason), SUPERBLOCK_VALID);
        block[i] ^= (uint8_t)(1 << (i % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),    cmocka_unit_test(test_page_numbers), cmocka_unit_test(test_page_numbers_sparse),
        cmocka_unit_test(test_overlay), cmocka_unit_test(test_superblock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
