/* Random writes, reads, changes of size and all forms of fallocate on a few files against arrays of bytes, with offsets
 * and sizes around every limit: inline, piece, block, chunk, transaction. All page sizes, with reopening in between. */
#include "content_fixture.h"

#include <linux/falloc.h>
#include <unistd.h>

#define FILE_COUNT   3
#define MODEL_SIZE   (5U << 20)
#define SIZE_SMALL   12000U
#define WRITE_MAX    (5U << 20)
#define STEPS        400
#define STEPS_LONG   6000
#define REOPEN_EVERY 97
#define CHECK_EVERY  61

struct model {
    uint8_t *bytes; /* zeros from size on */
    uint64_t size;
    uint64_t inode;
    uint64_t size_max; /* some files stay small, so that they stay around the inline limit */
};

/* Near a limit, often exactly on it. */
static uint64_t pick_near(struct base_random *random, const struct fs *fs, uint64_t max)
{
    const uint64_t units[] = {fs_piece_size(fs), FS_INLINE_MAX, STORE_BLOCK_SIZE, FS_CHUNK_SIZE, 1, 1U << 20};
    uint64_t unit = units[base_random_below(random, sizeof units / sizeof units[0])];
    uint64_t value = base_random_below(random, max / unit + 1) * unit;

    switch (base_random_below(random, 4)) {
    case 0:
        value += base_random_below(random, 3) - 1; /* one less, the same, one more */
        break;
    case 1:
        value += base_random_below(random, STORE_BLOCK_SIZE);
        break;
    default:
        break;
    }
    return value > max ? base_random_below(random, max + 1) : value;
}

static void step_write(struct base_random *random, struct fs *fs, struct model *model, uint8_t *buffer)
{
    uint64_t offset = pick_near(random, fs, model->size_max - 1);
    uint64_t size_max = model->size_max - offset < WRITE_MAX ? model->size_max - offset : WRITE_MAX;
    uint64_t size = pick_near(random, fs, base_random_below(random, 8) == 0 ? size_max : size_max / 16 + 1);

    if (size > size_max)
        size = size_max;
    fill_pattern(buffer, size, base_random_next(random));
    assert_int_equal(fs_write(fs, &root_caller, model->inode, offset, buffer, size), size);
    memcpy(model->bytes + offset, buffer, size);
    if (size > 0 && offset + size > model->size)
        model->size = offset + size;
}

static void step_allocate(struct base_random *random, struct fs *fs, struct model *model)
{
    static const unsigned modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    unsigned mode = modes[base_random_below(random, 5)];
    uint64_t offset = pick_near(random, fs, model->size_max - 1);
    uint64_t size = pick_near(random, fs, base_random_below(random, 2) == 0 ? model->size_max - offset : 1);
    uint64_t end, blocks = get_attributes(fs, model->inode).blocks, after;

    if (size == 0 || size > model->size_max - offset)
        size = 1;
    end = offset + size;
    assert_int_equal(fs_allocate(fs, &root_caller, model->inode, mode, offset, size), 0);
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0 && offset < model->size)
        memset(model->bytes + offset, 0, (end < model->size ? end : model->size) - offset);
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && end > model->size)
        model->size = end;
    after = get_attributes(fs, model->inode).blocks;
    if ((mode & FALLOC_FL_PUNCH_HOLE) == 0) {
        assert_true(after >= blocks);
        if (after * 512 > FS_INLINE_MAX + 512)
            assert_true(after * 512 >= fs_round_up(end, 4096) - fs_round_down(offset, 4096));
    } else if (blocks * 512 > FS_INLINE_MAX + 512) {
        assert_true(after <= blocks || after * 512 <= FS_INLINE_MAX + 512);
    }
}

/* Holes read as zeros, data is found by hopping from one to the next, and what is not data is hole. */
static void step_seek(struct base_random *random, struct fs *fs, struct model *model)
{
    uint64_t at = base_random_below(random, 2) == 0 ? 0 : pick_near(random, fs, model->size_max);
    bool first = true;

    for (unsigned hops = 0; hops < 100 && at < model->size; hops++) {
        int64_t data = fs_seek(fs, model->inode, at, SEEK_DATA), hole;
        uint64_t end = data < 0 ? model->size : (uint64_t)data;

        assert_true(data >= (int64_t)at || data == -ENXIO);
        assert_true(first || data < 0 || data > (int64_t)at);
        for (uint64_t i = at; i < end; i++)
            if (model->bytes[i] != 0)
                fail_msg("byte %llu is in a hole, and not zero", (unsigned long long)i);
        if (end > at)
            assert_int_equal(fs_seek(fs, model->inode, at, SEEK_HOLE), at);
        if (data < 0)
            return;
        hole = fs_seek(fs, model->inode, end, SEEK_HOLE);
        assert_true(hole > data && hole <= (int64_t)model->size);
        assert_true(hole % STORE_BLOCK_SIZE == 0 || hole == (int64_t)model->size);
        at = (uint64_t)hole;
        first = false;
    }
    assert_int_equal(fs_seek(fs, model->inode, model->size, SEEK_DATA), -ENXIO);
    assert_int_equal(fs_seek(fs, model->inode, model->size, SEEK_HOLE), -ENXIO);
}

static void step_resize(struct base_random *random, struct fs *fs, struct model *model)
{
    uint64_t size = base_random_below(random, 6) == 0 ? 0 : pick_near(random, fs, model->size_max);

    set_size(fs, model->inode, size);
    if (size < model->size)
        memset(model->bytes + size, 0, model->size - size);
    model->size = size;
}

static void compare(struct fs *fs, struct model *model, uint64_t offset, uint64_t size, uint8_t *buffer)
{
    uint64_t expected = offset >= model->size ? 0 : model->size - offset < size ? model->size - offset : size;

    memset(buffer, 0xA5, size);
    assert_int_equal(fs_read(fs, model->inode, offset, buffer, size), expected);
    if (memcmp(buffer, model->bytes + offset, expected) != 0)
        for (uint64_t i = 0; i < expected; i++)
            if (buffer[i] != model->bytes[offset + i])
                fail_msg("byte %llu: %02x, expected %02x", (unsigned long long)(offset + i), buffer[i],
                         model->bytes[offset + i]);
}

static void step_read(struct base_random *random, struct fs *fs, struct model *model, uint8_t *buffer)
{
    uint64_t offset = pick_near(random, fs, model->size_max - 1);

    compare(fs, model, offset, pick_near(random, fs, model->size_max - offset), buffer);
}

static void compare_all(struct fs *fs, struct model *models, uint8_t *buffer)
{
    for (unsigned i = 0; i < FILE_COUNT; i++) {
        compare(fs, &models[i], 0, models[i].size_max, buffer);
        assert_int_equal(get_attributes(fs, models[i].inode).size, models[i].size);
    }
}

static void run(struct fixture *fixture, struct base_random *random, struct model *models, uint8_t *buffer)
{
    unsigned steps = test_is_long() ? STEPS_LONG : STEPS;

    for (unsigned step = 1; step <= steps; step++) {
        struct model *model = &models[base_random_below(random, FILE_COUNT)];

        switch (base_random_below(random, 11)) {
        case 0:
            step_resize(random, fixture->fs, model);
            break;
        case 8:
        case 9:
            step_allocate(random, fixture->fs, model);
            break;
        case 10:
            step_seek(random, fixture->fs, model);
            break;
        case 1:
        case 2:
        case 3:
            step_read(random, fixture->fs, model, buffer);
            break;
        default:
            step_write(random, fixture->fs, model, buffer);
            break;
        }
        if (step % CHECK_EVERY == 0)
            assert_clean(fixture->fs);
        if (step % REOPEN_EVERY == 0) {
            fixture_reopen(fixture);
            compare_all(fixture->fs, models, buffer);
        }
    }
    compare_all(fixture->fs, models, buffer);
}

static void test_page_size(uint32_t page_size, uint64_t seed)
{
    struct base_random random;
    struct model models[FILE_COUNT];
    struct fixture fixture;
    uint8_t *buffer = malloc(MODEL_SIZE);

    assert_non_null(buffer);
    base_random_seed(&random, seed);
    /* Every other page size with the smallest pool, where requests are split. */
    fixture_init(&fixture, page_size, page_size == 8192 || page_size == 32768 ? 1 : 4U << 20);
    for (unsigned i = 0; i < FILE_COUNT; i++) {
        char name[2] = {(char)('a' + i), '\0'};

        models[i] = (struct model){.bytes = calloc(MODEL_SIZE, 1), .size_max = i == 0 ? SIZE_SMALL : MODEL_SIZE};
        assert_non_null(models[i].bytes);
        models[i].inode = make_file(fixture.fs, name);
    }
    run(&fixture, &random, models, buffer);
    fixture_deinit(&fixture);
    for (unsigned i = 0; i < FILE_COUNT; i++)
        free(models[i].bytes);
    free(buffer);
}

static void test_model(void **state)
{
    uint64_t seed = test_seed("test_content_model", 20240611);

    (void)state;
    for (size_t i = 0; i < PAGE_SIZE_COUNT; i++)
        test_page_size(page_sizes[i], seed + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
