/* Copying ranges between files and within one, against arrays of bytes: sizes and offsets around every limit, holes,
 * reserved blocks, small files; and what is refused. */
#include "content_fixture.h"

#include <linux/falloc.h>
#include <unistd.h>

#define FILE_COUNT 3
#define MODEL_SIZE (3U << 20)
#define SMALL_SIZE 9000U
#define STEPS      300
#define STEPS_LONG 5000

struct model {
    uint8_t *bytes; /* zeros from size on */
    uint64_t size, size_max, inode;
};

static uint64_t pick(struct base_random *random, uint64_t max)
{
    static const uint64_t units[] = {1, 768, FS_INLINE_MAX, STORE_BLOCK_SIZE, FS_CHUNK_SIZE, 65536};
    uint64_t unit = units[base_random_below(random, 6)];
    uint64_t value = base_random_below(random, max / unit + 1) * unit + base_random_below(random, 2);

    return value > max ? base_random_below(random, max + 1) : value;
}

static void step_write(struct base_random *random, struct fs *fs, struct model *model)
{
    static uint8_t buffer[400000];
    uint64_t offset = pick(random, model->size_max - 1), size = 1 + base_random_below(random, sizeof buffer);

    if (size > model->size_max - offset)
        size = model->size_max - offset;
    fill_pattern(buffer, size, base_random_next(random));
    write_all(fs, model->inode, offset, buffer, size);
    memcpy(model->bytes + offset, buffer, size);
    if (offset + size > model->size)
        model->size = offset + size;
}

static void step_punch(struct base_random *random, struct fs *fs, struct model *model)
{
    uint64_t offset = pick(random, model->size_max - 1), size = 1 + base_random_below(random, model->size_max - offset);
    unsigned mode = base_random_below(random, 2) == 0 ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

    assert_int_equal(fs_allocate(fs, &root_caller, model->inode, mode | FALLOC_FL_KEEP_SIZE, offset, size), 0);
    memset(model->bytes + offset, 0, size);
}

static void step_copy(struct base_random *random, struct fs *fs, struct model *from, struct model *to)
{
    uint64_t from_offset = pick(random, from->size_max), to_offset = pick(random, to->size_max - 1);
    uint64_t size = pick(random, to->size_max - to_offset);
    uint64_t expected = from_offset >= from->size ? 0 : from->size - from_offset;
    bool overlap;
    int64_t result;

    if (expected > size)
        expected = size;
    overlap = from == to && expected > 0 && from_offset < to_offset + expected && to_offset < from_offset + expected;
    result = fs_copy_range(fs, &root_caller, from->inode, from_offset, to->inode, to_offset, size);
    if (overlap) {
        assert_int_equal(result, -EINVAL);
        return;
    }
    assert_int_equal(result, expected);
    memcpy(to->bytes + to_offset, from->bytes + from_offset, expected);
    if (expected > 0 && to_offset + expected > to->size)
        to->size = to_offset + expected;
}

static void compare(struct fs *fs, const struct model *model, uint8_t *buffer)
{
    assert_int_equal(get_attributes(fs, model->inode).size, model->size);
    assert_int_equal(fs_read(fs, model->inode, 0, buffer, MODEL_SIZE), model->size);
    assert_memory_equal(buffer, model->bytes, model->size);
}

static void run(uint32_t page_size, uint64_t seed)
{
    unsigned steps = test_is_long() ? STEPS_LONG : STEPS;
    struct model models[FILE_COUNT];
    struct base_random random;
    struct fixture fixture;
    uint8_t *buffer = malloc(MODEL_SIZE);

    assert_non_null(buffer);
    base_random_seed(&random, seed);
    fixture_init(&fixture, page_size, page_size == 8192 ? 1 : 4U << 20);
    for (unsigned i = 0; i < FILE_COUNT; i++) {
        char name[2] = {(char)('a' + i), '\0'};

        models[i] = (struct model){.bytes = calloc(MODEL_SIZE, 1), .size_max = i == 0 ? SMALL_SIZE : MODEL_SIZE};
        assert_non_null(models[i].bytes);
        models[i].inode = make_file(fixture.fs, name);
    }
    for (unsigned step = 1; step <= steps; step++) {
        struct model *model = &models[base_random_below(&random, FILE_COUNT)];
        struct model *other = &models[base_random_below(&random, FILE_COUNT)];

        switch (base_random_below(&random, 6)) {
        case 0:
        case 1:
            step_write(&random, fixture.fs, model);
            break;
        case 2:
            step_punch(&random, fixture.fs, model);
            break;
        default:
            step_copy(&random, fixture.fs, model, other);
            compare(fixture.fs, other, buffer);
            break;
        }
        if (step % 50 == 0) {
            fixture_reopen(&fixture);
            assert_clean(fixture.fs);
        }
    }
    for (unsigned i = 0; i < FILE_COUNT; i++) {
        compare(fixture.fs, &models[i], buffer);
        free(models[i].bytes);
    }
    fixture_deinit(&fixture);
    free(buffer);
}

static void test_model(void **state)
{
    uint64_t seed = test_seed("test_content_copy", 77);

    (void)state;
    for (size_t i = 0; i < PAGE_SIZE_COUNT; i++)
        run(page_sizes[i], seed + i);
}

static void test_limits(void **state)
{
    const uint64_t far = INT64_MAX - 100;
    struct fixture fixture;
    struct fs *fs;
    uint64_t from, to;
    uint8_t byte;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    fs = fixture.fs;
    from = make_file(fs, "from");
    to = make_file(fs, "to");
    write_all(fs, from, 0, "0123456789", 10);
    write_all(fs, from, far, "x", 1);
    assert_int_equal(fs_copy_range(fs, &root_caller, from, 0, to, INT64_MAX, 5), -EFBIG);
    assert_int_equal(fs_copy_range(fs, &root_caller, from, 0, to, INT64_MAX - 3, 5), 3); /* as much as there may be */
    assert_int_equal(get_attributes(fs, to).size, INT64_MAX);
    set_size(fs, to, 0);
    assert_int_equal(fs_copy_range(fs, &root_caller, from, 0, to, 0, UINT64_MAX), far + 1);
    assert_int_equal(get_attributes(fs, to).size, far + 1);
    assert_int_equal(get_attributes(fs, to).blocks, 16);
    assert_int_equal(fs_read(fs, to, far, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(fs_copy_range(fs, &root_caller, from, far + 1, to, 0, 1), 0);
    assert_int_equal(fs_copy_range(fs, &root_caller, FS_ROOT_INODE, 0, to, 0, 1), -EISDIR);
    assert_int_equal(fs_copy_range(fs, &root_caller, from, 0, FS_ROOT_INODE, 0, 1), -EISDIR);
    assert_int_equal(fs_copy_range(fs, &root_caller, from, 0, 12345, 0, 1), -ENOENT);
    assert_int_equal(fs_set_flags(fs, to, FS_FLAG_IMMUTABLE), 0);
    assert_int_equal(fs_copy_range(fs, &root_caller, from, 0, to, 0, 1), -EPERM);
    assert_int_equal(fs_copy_range(fs, &root_caller, from, 1U << 20, to, 0, 1U << 20), -EPERM);
    assert_int_equal(fs_set_flags(fs, to, 0), 0);
    fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model), cmocka_unit_test(test_limits)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
