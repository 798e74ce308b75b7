/* The file with faults, on which tests of the layers above rely. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/fault_file.h"

static struct fault_file *fault;
static struct os_file *file;

static int create(void **state)
{
    (void)state;
    fault = fault_file_create(NULL);
    file = fault_file_seam(fault);
    return 0;
}

static int end(void **state)
{
    (void)state;
    os_file_close(file);
    return 0;
}

static uint64_t size_of(struct os_file *of)
{
    uint64_t size = UINT64_MAX;
    assert_int_equal(os_file_get_size(of, &size), 0);
    return size;
}

static void write_letter(char letter, size_t size, uint64_t offset)
{
    char bytes[8192];
    memset(bytes, letter, sizeof bytes);
    assert_int_equal(os_file_write(file, bytes, size, offset), 0);
}

static char letter_at(struct os_file *of, uint64_t offset)
{
    char letter = '-';
    (void)os_file_read(of, &letter, 1, offset);
    return letter;
}

static void test_counts(void **state)
{
    (void)state;

    write_letter('a', 10, 0);
    write_letter('b', 10, 10);
    assert_int_equal(letter_at(file, 12), 'b');
    assert_int_equal(os_file_sync(file), 0);
    assert_int_equal(fault_file_count(fault, FAULT_WRITE), 2);
    assert_int_equal(fault_file_count(fault, FAULT_READ), 1);
    assert_int_equal(fault_file_count(fault, FAULT_SYNC), 1);
    assert_int_equal(fault_file_count(fault, FAULT_ALLOCATE), 0);
    fault_file_reset_counts(fault);
    assert_int_equal(fault_file_count(fault, FAULT_WRITE), 0);
}

static void test_the_nth_call_fails(void **state)
{
    char bytes[2048] = {0};
    (void)state;

    write_letter('a', 2048, 0);
    fault_file_fail(fault, FAULT_READ, 2, ETIMEDOUT, false);
    assert_int_equal(os_file_read(file, bytes, 1, 0), 0);
    assert_int_equal(os_file_read(file, bytes, 1, 0), -ETIMEDOUT);
    assert_int_equal(os_file_read(file, bytes, 1, 0), 0);
    fault_file_fail(fault, FAULT_ALLOCATE, 1, ENOSPC, true);
    assert_int_equal(os_file_allocate(file, 0, 10000), -ENOSPC);
    assert_int_equal(os_file_allocate(file, 0, 10000), -ENOSPC);
    fault_file_fail(fault, FAULT_ALLOCATE, 0, 0, false);
    assert_int_equal(os_file_allocate(file, 0, 10000), 0);
    fault_file_fail(fault, FAULT_WRITE, 1, EIO, false);
    memset(bytes, 'b', sizeof bytes);
    assert_int_equal(os_file_write(file, bytes, 2048, 0), -EIO);
    assert_int_equal(letter_at(file, 1023), 'b');
    assert_int_equal(letter_at(file, 1024), 'a');
    assert_int_equal(os_file_write(file, bytes, 2048, 0), 0);
    assert_int_equal(letter_at(file, 1024), 'b');
}

static void test_a_full_host(void **state)
{
    uint64_t free_size = 0;
    (void)state;

    fault_file_set_host_size(fault, 10000);
    write_letter('a', 8000, 0);
    assert_int_equal(os_file_get_host_free(file, &free_size), 0);
    assert_int_equal(free_size, 2000);
    assert_int_equal(os_file_allocate(file, 8000, 2001), -ENOSPC);
    assert_int_equal(os_file_write(file, "x", 1, 10000), -ENOSPC);
    assert_int_equal(os_file_allocate(file, 8000, 2000), 0);
    assert_int_equal(size_of(file), 10000);
}

static void test_a_crash_keeps_what_was_synced(void **state)
{
    (void)state;

    write_letter('a', 4096, 0);
    assert_int_equal(os_file_sync(file), 0);
    write_letter('b', 4096, 0);
    write_letter('c', 4096, 4096);
    struct os_file *left = fault_file_crash(fault, NULL);
    assert_int_equal(size_of(left), 4096);
    assert_int_equal(letter_at(left, 0), 'a');
    os_file_close(left);
    assert_int_equal(letter_at(file, 0), 'b');
    assert_int_equal(os_file_sync(file), 0);
    left = fault_file_crash(fault, NULL);
    assert_int_equal(size_of(left), 8192);
    assert_int_equal(letter_at(left, 0), 'b');
    assert_int_equal(letter_at(left, 8191), 'c');
    os_file_close(left);
}

/* Over many crashes, every unsynced call is sometimes kept, lost and torn, in every order. */
static void test_a_crash_keeps_any_part_of_the_rest(void **state)
{
    struct base_random random;
    unsigned both = 0, neither = 0, only_first = 0, only_second = 0, torn = 0;
    (void)state;

    base_random_seed(&random, 5);
    write_letter('a', 8192, 0);
    assert_int_equal(os_file_sync(file), 0);
    write_letter('b', 4096, 0);
    write_letter('c', 4096, 4096);
    for (int round = 0; round < 400; round++) {
        struct os_file *left = fault_file_crash(fault, &random);
        char first = letter_at(left, 0), second = letter_at(left, 4096);
        assert_int_equal(size_of(left), 8192);
        assert_true(first == 'a' || first == 'b');
        assert_true(second == 'a' || second == 'c');
        both += first == 'b' && second == 'c';
        neither += first == 'a' && second == 'a';
        only_first += first == 'b' && second == 'a';
        only_second += first == 'a' && second == 'c';
        for (uint64_t sector = 1; sector < 8; sector++) {
            assert_int_equal(letter_at(left, sector * 512), letter_at(left, sector * 512 + 511));
            torn += letter_at(left, sector * 512) != letter_at(left, sector * 512 - 512);
        }
        os_file_close(left);
    }
    assert_true(both > 10 && neither > 10 && only_first > 10 && only_second > 10 && torn > 10);
}

static void test_a_failed_sync_loses(void **state)
{
    struct base_random random;
    unsigned kept = 0;
    (void)state;

    base_random_seed(&random, 6);
    write_letter('a', 4096, 0);
    assert_int_equal(os_file_sync(file), 0);
    write_letter('b', 4096, 0);
    fault_file_fail(fault, FAULT_SYNC, 1, EIO, false);
    assert_int_equal(os_file_sync(file), -EIO);
    for (int round = 0; round < 100; round++) {
        struct os_file *left = fault_file_crash(fault, &random);
        kept += letter_at(left, 0) == 'b';
        os_file_close(left);
    }
    assert_in_range(kept, 10, 90);
    assert_int_equal(os_file_sync(file), 0);
    assert_int_equal(letter_at(file, 0), 'b');
    struct os_file *left = fault_file_crash(fault, &random);
    assert_int_equal(letter_at(left, 0), 'a');
    os_file_close(left);
}

static void test_a_cut_ends_everything(void **state)
{
    struct base_random random;
    char bytes[2048];
    unsigned reached = 0;
    (void)state;

    base_random_seed(&random, 7);
    write_letter('a', 4096, 0);
    fault_file_cut_power(fault, 2);
    assert_int_equal(os_file_sync(file), 0);
    assert_false(fault_file_is_cut(fault));
    memset(bytes, 'b', sizeof bytes);
    assert_int_equal(os_file_write(file, bytes, sizeof bytes, 0), -EIO);
    assert_true(fault_file_is_cut(fault));
    memset(bytes, 'c', sizeof bytes);
    assert_int_equal(os_file_write(file, bytes, sizeof bytes, 0), -EIO);
    assert_int_equal(os_file_sync(file), -EIO);
    assert_int_equal(os_file_truncate(file, 0), -EIO);
    assert_int_equal(os_file_read(file, bytes, 1, 0), -EIO);
    for (int round = 0; round < 100; round++) {
        struct os_file *left = fault_file_crash(fault, &random);
        char letter = letter_at(left, 0);
        assert_true(letter == 'a' || letter == 'b');
        reached += letter == 'b';
        os_file_close(left);
    }
    assert_in_range(reached, 10, 90);
}

static void test_what_is_below_counts_as_durable(void **state)
{
    struct os_file *below = NULL;
    (void)state;

    assert_int_equal(os_memory_file_create(&below), 0);
    assert_int_equal(os_file_write(below, "abc", 3, 0), 0);
    struct fault_file *second = fault_file_create(below);
    assert_int_equal(os_file_write(fault_file_seam(second), "x", 1, 0), 0);
    struct os_file *left = fault_file_crash(second, NULL);
    assert_int_equal(size_of(left), 3);
    assert_int_equal(letter_at(left, 0), 'a');
    os_file_close(left);
    os_file_close(fault_file_seam(second));
}

int main(void)
{
#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, create, end)
    const struct CMUnitTest tests[] = {
        WITH_FILE(test_counts),
        WITH_FILE(test_the_nth_call_fails),
        WITH_FILE(test_a_full_host),
        WITH_FILE(test_a_crash_keeps_what_was_synced),
        WITH_FILE(test_a_crash_keeps_any_part_of_the_rest),
        WITH_FILE(test_a_failed_sync_loses),
        WITH_FILE(test_a_cut_ends_everything),
        WITH_FILE(test_what_is_below_counts_as_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
