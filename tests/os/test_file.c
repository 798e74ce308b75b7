/* The promises of include/os/file.h, for each form of the file: the real one, the one in memory, the one with faults.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "os/file.h"
#include "support/fault_file.h"
#include "support/test_seed.h"

enum { MODEL_SIZE = 64 * 1024, STEP_COUNT = 3000 };

/* The real file's name is gone at once: nothing is left behind, however a test ends. */
static int open_real(struct os_file **ret_file)
{
    char directory[] = "/tmp/test-file-XXXXXX";
    char path[64];
    int result;

    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof path, "%s/db", directory);
    result = os_file_open(path, OS_FILE_CREATE, ret_file);
    (void)unlink(path);
    (void)rmdir(directory);
    return result;
}

static int open_fault(struct os_file **ret_file)
{
    *ret_file = fault_file_seam(fault_file_create(NULL));
    return 0;
}

static struct os_file *open_form(void **state)
{
    int (*const *open)(struct os_file **) = *state;
    struct os_file *file = NULL;

    assert_int_equal((*open)(&file), 0);
    return file;
}

static uint64_t size_of(struct os_file *file)
{
    uint64_t size = UINT64_MAX;
    assert_int_equal(os_file_get_size(file, &size), 0);
    return size;
}

static void test_starts_empty(void **state)
{
    struct os_file *file = open_form(state);
    uint8_t byte = 7;

    assert_int_equal(size_of(file), 0);
    assert_int_equal(os_file_read(file, &byte, 1, 0), -ENODATA);
    assert_int_equal(os_file_read(file, &byte, 0, 0), 0);
    assert_int_equal(os_file_write(file, &byte, 0, 100), 0);
    assert_int_equal(size_of(file), 0);
    os_file_close(file);
}

static void test_reads_are_whole_or_fail(void **state)
{
    struct os_file *file = open_form(state);
    char text[8] = "";

    assert_int_equal(os_file_write(file, "abcdef", 6, 2), 0);
    assert_int_equal(size_of(file), 8);
    assert_int_equal(os_file_read(file, text, 8, 0), 0);
    assert_memory_equal(text, "\0\0abcdef", 8);
    assert_int_equal(os_file_read(file, text, 8, 1), -ENODATA);
    assert_int_equal(os_file_read(file, text, 1, 8), -ENODATA);
    assert_int_equal(os_file_read(file, text, 1, UINT64_C(1) << 61), -ENODATA);
    os_file_close(file);
}

static void test_absurd_offsets(void **state)
{
    struct os_file *file = open_form(state);
    char byte = 'x';

    assert_int_equal(os_file_write(file, &byte, 1, UINT64_MAX), -EFBIG);
    assert_int_equal(os_file_allocate(file, UINT64_MAX - 10, 100), -EFBIG);
    assert_int_equal(os_file_truncate(file, UINT64_MAX), -EFBIG);
    assert_true(os_file_read(file, &byte, 1, UINT64_MAX) < 0);
    assert_int_equal(size_of(file), 0);
    os_file_close(file);
}

static void test_allocation_gives_zeros(void **state)
{
    struct os_file *file = open_form(state);
    char bytes[5000], zeros[5000] = {0};

    assert_int_equal(os_file_write(file, "abc", 3, 0), 0);
    assert_int_equal(os_file_allocate(file, 4096, 8192), 0);
    assert_int_equal(size_of(file), 12288);
    assert_int_equal(os_file_read(file, bytes, sizeof bytes, 7000), 0);
    assert_memory_equal(bytes, zeros, sizeof bytes);
    assert_int_equal(os_file_allocate(file, 0, 4096), 0);
    assert_int_equal(size_of(file), 12288);
    assert_int_equal(os_file_read(file, bytes, 4, 0), 0);
    assert_memory_equal(bytes, "abc", 4);
    assert_int_equal(os_file_allocate(file, 0, 0), 0);
    os_file_close(file);
}

static void test_truncation_forgets(void **state)
{
    struct os_file *file = open_form(state);
    char bytes[4];

    assert_int_equal(os_file_write(file, "abcd", 4, 0), 0);
    assert_int_equal(os_file_truncate(file, 2), 0);
    assert_int_equal(size_of(file), 2);
    assert_int_equal(os_file_truncate(file, 4), 0);
    assert_int_equal(os_file_read(file, bytes, 4, 0), 0);
    assert_memory_equal(bytes, "ab\0\0", 4);
    os_file_close(file);
}

static void test_the_rest_answers(void **state)
{
    struct os_file *file = open_form(state);
    uint64_t free_size = 0;
    pid_t holder = 0;

    assert_int_equal(os_file_write(file, "abcd", 4, 0), 0);
    assert_int_equal(os_file_start_writeback(file, 0, 4), 0);
    assert_int_equal(os_file_start_writeback(file, 0, 0), 0);
    assert_int_equal(os_file_sync(file), 0);
    assert_int_equal(os_file_drop_cache(file), 0);
    assert_int_equal(os_file_get_host_free(file, &free_size), 0);
    assert_true(free_size > 0);
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_OPEN, false, 0, &holder), 0);
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_MOUNTED, true, 0, NULL), 0);
    os_file_unlock(file, OS_FILE_LOCK_MOUNTED);
    os_file_close(file);
}

struct model {
    uint8_t bytes[MODEL_SIZE];
    uint64_t size;
};

static void model_step(struct os_file *file, struct model *model, struct base_random *random)
{
    uint8_t buffer[9000];
    uint64_t size = base_random_below(random, sizeof buffer);
    uint64_t offset = base_random_below(random, MODEL_SIZE - size);
    uint64_t end = offset + size;

    switch (base_random_below(random, 8)) {
    case 0:
        assert_int_equal(os_file_truncate(file, offset), 0);
        if (offset < model->size) {
            memset(model->bytes + offset, 0, model->size - offset);
        }
        model->size = offset;
        break;
    case 1:
        assert_int_equal(os_file_allocate(file, offset, size), 0);
        model->size = size > 0 && end > model->size ? end : model->size;
        break;
    case 2:
        assert_int_equal(os_file_sync(file), 0);
        break;
    case 3:
    case 4:
        for (size_t index = 0; index < size; index++) {
            buffer[index] = (uint8_t)base_random_next(random);
        }
        assert_int_equal(os_file_write(file, buffer, size, offset), 0);
        memcpy(model->bytes + offset, buffer, size);
        model->size = size > 0 && end > model->size ? end : model->size;
        break;
    default:
        if (size > 0 && end > model->size) {
            assert_int_equal(os_file_read(file, buffer, size, offset), -ENODATA);
        } else {
            assert_int_equal(os_file_read(file, buffer, size, offset), 0);
            assert_memory_equal(buffer, model->bytes + offset, size);
        }
        break;
    }
    assert_int_equal(size_of(file), model->size);
}

static void test_against_a_model(void **state)
{
    struct os_file *file = open_form(state);
    struct model *model = calloc(1, sizeof *model);
    struct base_random random;

    assert_non_null(model);
    base_random_seed(&random, test_seed("test_against_a_model", 20240501));
    for (int step = 0; step < STEP_COUNT; step++) {
        model_step(file, model, &random);
    }
    free(model);
    os_file_close(file);
}

typedef int (*open_function)(struct os_file **);
static open_function real_form = open_real;
static open_function memory_form = os_memory_file_create;
static open_function fault_form = open_fault;

#define EACH_FORM(test)                                                                                                \
    {#test " (real)", test, NULL, NULL, &real_form}, {#test " (memory)", test, NULL, NULL, &memory_form},              \
    {                                                                                                                  \
#test " (fault)", test, NULL, NULL, &fault_form                                                                \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_FORM(test_starts_empty),       EACH_FORM(test_reads_are_whole_or_fail),
        EACH_FORM(test_absurd_offsets),     EACH_FORM(test_allocation_gives_zeros),
        EACH_FORM(test_truncation_forgets), EACH_FORM(test_the_rest_answers),
        EACH_FORM(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
