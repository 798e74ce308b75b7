/* Bytes, checksum, randomness and clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/random.h"

static void test_bytes_have_one_order(void **state)
{
    uint8_t buffer[9] = {0};
    (void)state;

    base_put_le64(buffer + 1, UINT64_C(0x0102030405060708));
    assert_memory_equal(buffer + 1, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    assert_true(base_get_le64(buffer + 1) == UINT64_C(0x0102030405060708));
    assert_int_equal(base_get_le32(buffer + 1), 0x05060708);
    assert_int_equal(base_get_le16(buffer + 1), 0x0708);
    base_put_be64(buffer + 1, UINT64_C(0x0102030405060708));
    assert_memory_equal(buffer + 1, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    assert_true(base_get_be64(buffer + 1) == UINT64_C(0x0102030405060708));
    assert_int_equal(base_get_be32(buffer + 1), 0x01020304);
    base_put_le32(buffer + 1, 0xfffefdfc);
    assert_memory_equal(buffer + 1, "\xfc\xfd\xfe\xff\x05", 5);
    base_put_le16(buffer + 1, 0xaabb);
    assert_memory_equal(buffer + 1, "\xbb\xaa\xfe\xff", 4);
    assert_int_equal(buffer[0], 0);
}

/* The checksum is part of the format: these values must never change. XXH3 of nothing with seed 0 is published. */
static void test_checksum_is_fixed(void **state)
{
    uint8_t block[4096];
    (void)state;

    assert_true(base_checksum("", 0, 0) == UINT64_C(0x2d06800538d394c2));
    for (size_t index = 0; index < sizeof block; index++) {
        block[index] = (uint8_t)(index * 7 + index / 256);
    }
    uint64_t sum = base_checksum(block, sizeof block, 42);
    assert_true(sum == base_checksum(block, sizeof block, 42));
    assert_true(sum != base_checksum(block, sizeof block, 43));
    assert_true(sum != base_checksum(block, sizeof block - 1, 42));
    block[2048] ^= 1;
    assert_true(sum != base_checksum(block, sizeof block, 42));
}

/* The first values of splitmix64 from state 1234567, as published with the generator. */
static void test_random_is_the_same_everywhere(void **state)
{
    static const uint64_t expected[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                        UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
                                        UINT64_C(16408922859458223821)};
    struct base_random random;
    (void)state;

    base_random_seed(&random, 1234567);
    for (size_t index = 0; index < sizeof expected / sizeof expected[0]; index++) {
        assert_true(base_random_next(&random) == expected[index]);
    }
}

static void test_random_below_covers_its_range(void **state)
{
    unsigned counts[7] = {0};
    struct base_random random;
    (void)state;

    base_random_seed(&random, 1);
    for (int round = 0; round < 70000; round++) {
        uint64_t value = base_random_below(&random, 7);
        assert_true(value < 7);
        counts[value]++;
    }
    for (int value = 0; value < 7; value++) {
        assert_in_range(counts[value], 9500, 10500);
    }
    assert_true(base_random_below(&random, 1) == 0);
    for (int round = 0; round < 1000; round++) {
        assert_true(base_random_below(&random, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    }
}

static void test_random_system_differs(void **state)
{
    uint8_t first[1000] = {0}, second[1000] = {0};
    (void)state;

    assert_int_equal(base_random_system(first, sizeof first), 0);
    assert_int_equal(base_random_system(second, sizeof second), 0);
    assert_memory_not_equal(first, second, sizeof first);
    assert_memory_not_equal(first + 984, second + 984, 16);
    assert_int_equal(base_random_system(first, 0), 0);
}

static void test_clocks_agree(void **state)
{
    (void)state;

    uint64_t first_ns = base_clock_monotonic_ns();
    uint64_t between_ms = base_clock_monotonic_ms();
    uint64_t second_ns = base_clock_monotonic_ns();
    assert_true(first_ns / 1000000 <= between_ms);
    assert_true(between_ms <= second_ns / 1000000);
    struct timespec now = base_clock_now();
    assert_true(now.tv_sec > 1600000000);
    assert_in_range(now.tv_nsec, 0, 999999999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_have_one_order),          cmocka_unit_test(test_checksum_is_fixed),
        cmocka_unit_test(test_random_is_the_same_everywhere), cmocka_unit_test(test_random_below_covers_its_range),
        cmocka_unit_test(test_random_system_differs),         cmocka_unit_test(test_clocks_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
