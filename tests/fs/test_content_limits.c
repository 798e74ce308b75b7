/* Contents at their limits: what each call answers, what a file costs, what a change does to times and modes. */
#include "content_fixture.h"

#define LARGE (3U << 20)

static uint8_t large[LARGE];

static void expect_bytes(struct fs *fs, uint64_t inode, uint64_t offset, size_t size, uint8_t value)
{
    uint8_t *buffer = malloc(size);

    assert_non_null(buffer);
    assert_int_equal(fs_read(fs, inode, offset, buffer, size), size);
    for (size_t i = 0; i < size; i++)
        if (buffer[i] != value)
            fail_msg("byte %zu is %02x, expected %02x", i, buffer[i], value);
    free(buffer);
}

static void test_answers(void **state)
{
    struct fixture fixture;
    struct fs_make make = {.mode = S_IFLNK | 0777, .target = "target"};
    struct fs_entry link;
    uint8_t byte = 1;
    uint64_t inode;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    inode = make_file(fixture.fs, "file");
    assert_int_equal(fs_make(fixture.fs, &root_caller, FS_ROOT_INODE, "link", &make, &link), 0);
    assert_int_equal(fs_read(fixture.fs, FS_ROOT_INODE, 0, &byte, 1), -EISDIR);
    assert_int_equal(fs_write(fixture.fs, &root_caller, FS_ROOT_INODE, 0, &byte, 1), -EISDIR);
    assert_int_equal(fs_read(fixture.fs, link.attributes.inode, 0, &byte, 1), -EINVAL);
    assert_int_equal(fs_write(fixture.fs, &root_caller, link.attributes.inode, 0, &byte, 1), -EINVAL);
    assert_int_equal(fs_read(fixture.fs, 4711, 0, &byte, 1), -ENOENT);
    assert_int_equal(fs_write(fixture.fs, &root_caller, 4711, 0, &byte, 1), -ENOENT);
    assert_int_equal(fs_read(fixture.fs, inode, 0, &byte, 1), 0);
    assert_int_equal(fs_read(fixture.fs, inode, UINT64_MAX, &byte, 1), 0);
    assert_int_equal(fs_write(fixture.fs, &root_caller, inode, FS_FILE_SIZE_MAX, &byte, 1), -EFBIG);
    assert_int_equal(fs_write(fixture.fs, &root_caller, inode, UINT64_MAX, &byte, 1), -EFBIG);
    assert_int_equal(fs_write(fixture.fs, &root_caller, inode, FS_FILE_SIZE_MAX - 1ULL, &byte, 1), 1);
    assert_int_equal(get_attributes(fixture.fs, inode).size, FS_FILE_SIZE_MAX);
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 8);
    expect_bytes(fixture.fs, inode, FS_FILE_SIZE_MAX - 1ULL, 1, 1);
    expect_bytes(fixture.fs, inode, FS_FILE_SIZE_MAX - 100000ULL, 99999, 0);
    fixture_deinit(&fixture);
}

static void test_nothing_written(void **state)
{
    struct fixture fixture;
    struct fs_attributes before, after;
    uint64_t inode;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    inode = make_file(fixture.fs, "file");
    before = get_attributes(fixture.fs, inode);
    assert_int_equal(fs_write(fixture.fs, &root_caller, inode, 1U << 30, "", 0), 0);
    after = get_attributes(fixture.fs, inode);
    /* Up to the padding behind the last member. */
    assert_memory_equal(&before, &after, offsetof(struct fs_attributes, flags) + sizeof before.flags);
    fixture_deinit(&fixture);
}

static void test_times_and_mode(void **state)
{
    const struct fs_caller user = {.uid = 1000, .gid = 1000};
    struct fs_changes changes = {.set = FS_SET_MODE | FS_SET_MODIFICATION_TIME | FS_SET_CHANGE_TIME,
                                 .mode = S_IFREG | 06755};
    struct fs_attributes attributes;
    struct fixture fixture;
    uint64_t inode;

    (void)state;
    fixture_init(&fixture, 4096, 0);
    inode = make_file(fixture.fs, "file");
    assert_int_equal(fs_set_attributes(fixture.fs, &root_caller, inode, &changes, &attributes), 0);
    write_all(fixture.fs, inode, 0, "x", 1);
    attributes = get_attributes(fixture.fs, inode);
    assert_int_equal(attributes.mode, S_IFREG | 06755);
    assert_true(attributes.modification_time.tv_sec > 0);
    assert_int_equal(attributes.modification_time.tv_nsec, attributes.change_time.tv_nsec);
    assert_int_equal(fs_write(fixture.fs, &user, inode, 5000, "x", 1), 1);
    assert_int_equal(get_attributes(fixture.fs, inode).mode, S_IFREG | 0755);
    fixture_deinit(&fixture);
}

/* Small contents cost no blocks; one byte more costs one. */
static void test_costs(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGE_SIZE_COUNT; i++) {
        struct fixture fixture;
        uint64_t inode;

        fixture_init(&fixture, page_sizes[i], 0);
        inode = make_file(fixture.fs, "file");
        memset(large, 7, LARGE);
        for (uint32_t size = 0; size < FS_INLINE_MAX; size += 60)
            write_all(fixture.fs, inode, size, large, 60);
        assert_int_equal(get_attributes(fixture.fs, inode).blocks, 8);
        expect_bytes(fixture.fs, inode, 0, FS_INLINE_MAX, 7);
        write_all(fixture.fs, inode, FS_INLINE_MAX, large, 1);
        assert_int_equal(get_attributes(fixture.fs, inode).blocks, 8);
        expect_bytes(fixture.fs, inode, 0, FS_INLINE_MAX + 1, 7);
        write_all(fixture.fs, inode, 0, large, LARGE);
        assert_int_equal(get_attributes(fixture.fs, inode).blocks, LARGE / 512);
        set_size(fixture.fs, inode, 4097);
        assert_int_equal(get_attributes(fixture.fs, inode).blocks, 16);
        set_size(fixture.fs, inode, 0);
        assert_int_equal(get_attributes(fixture.fs, inode).blocks, 0);
        write_all(fixture.fs, inode, 0, large, 10);
        expect_bytes(fixture.fs, inode, 0, 10, 7);
        fixture_deinit(&fixture);
    }
}

/* Pieces under a size far beyond them; then a write far away, and one in the middle. */
static void test_sparse(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGE_SIZE_COUNT; i++) {
        const uint64_t far = 1ULL << 40;
        struct fixture fixture;
        uint64_t inode;

        fixture_init(&fixture, page_sizes[i], 0);
        inode = make_file(fixture.fs, "file");
        memset(large, 9, LARGE);
        write_all(fixture.fs, inode, 100, large, 2000);
        set_size(fixture.fs, inode, far);
        expect_bytes(fixture.fs, inode, 0, 100, 0);
        expect_bytes(fixture.fs, inode, 100, 2000, 9);
        expect_bytes(fixture.fs, inode, 2100, 1U << 20, 0);
        expect_bytes(fixture.fs, inode, far - 5000, 5000, 0);
        assert_clean(fixture.fs);
        write_all(fixture.fs, inode, far, large, 1);
        expect_bytes(fixture.fs, inode, 100, 2000, 9);
        expect_bytes(fixture.fs, inode, 2100, 100000, 0);
        expect_bytes(fixture.fs, inode, far, 1, 9);
        assert_int_equal(get_attributes(fixture.fs, inode).blocks, 16);
        write_all(fixture.fs, inode, far / 2 - 1, large, FS_CHUNK_SIZE + 2);
        expect_bytes(fixture.fs, inode, far / 2 - 1, FS_CHUNK_SIZE + 2, 9);
        expect_bytes(fixture.fs, inode, far / 2 - 100001, 100000, 0);
        expect_bytes(fixture.fs, inode, far / 2 + FS_CHUNK_SIZE + 1, 100000, 0);
        fixture_reopen(&fixture);
        expect_bytes(fixture.fs, inode, 100, 2000, 9);
        expect_bytes(fixture.fs, inode, far, 1, 9);
        fixture_deinit(&fixture);
    }
}

/* Bytes cut off by truncate never come back, whether the file grows by truncate or by a write behind its end. */
static void test_cut_bytes(void **state)
{
    const uint64_t sizes[] = {10, 959, 960, 961, 3839, 3840, 3841, 4096, 5000, 131071, 131072, 131073, 300000};

    (void)state;
    for (size_t i = 0; i < PAGE_SIZE_COUNT; i++) {
        struct fixture fixture;

        fixture_init(&fixture, page_sizes[i], 0);
        memset(large, 5, LARGE);
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
            for (size_t full = 0; full < 2; full++) {
                uint64_t inode, size = sizes[k], whole = full ? 400000 : size + 20;
                char name[32];

                snprintf(name, sizeof name, "%zu-%zu", k, full);
                inode = make_file(fixture.fs, name);
                write_all(fixture.fs, inode, 0, large, whole);
                set_size(fixture.fs, inode, size);
                if (k % 2 == 0)
                    set_size(fixture.fs, inode, whole + 9000);
                else
                    write_all(fixture.fs, inode, whole + 9000 - 1, "", 1);
                expect_bytes(fixture.fs, inode, 0, size, 5);
                expect_bytes(fixture.fs, inode, size, whole + 9000 - size, 0);
            }
        fixture_deinit(&fixture);
    }
}

/* One transaction can't take this: it is done in parts, and the answer is the whole size. */
static void test_large_request(void **state)
{
    const size_t size = 9U << 20;
    struct fixture fixture;
    uint8_t *bytes = malloc(size), *back = malloc(size);
    uint64_t inode;

    (void)state;
    assert_true(bytes != NULL && back != NULL);
    fixture_init(&fixture, 4096, 1);
    inode = make_file(fixture.fs, "file");
    fill_pattern(bytes, size, 1);
    write_all(fixture.fs, inode, 12345, bytes, size);
    assert_int_equal(fs_read(fixture.fs, inode, 12345, back, size), size);
    assert_memory_equal(bytes, back, size);
    fixture_deinit(&fixture);
    free(bytes);
    free(back);
}

static void test_long_targets(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGE_SIZE_COUNT; i++) {
        const size_t sizes[] = {1, 512, 513, 960, 961, 4000, 4095};
        struct fixture fixture;

        fixture_init(&fixture, page_sizes[i], 0);
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            char target[FS_SYMLINK_SIZE_MAX + 1], back[FS_SYMLINK_SIZE_MAX + 1], name[16];
            struct fs_make make = {.mode = S_IFLNK | 0777, .target = target};
            struct fs_entry entry;

            for (size_t c = 0; c < sizes[k]; c++)
                target[c] = (char)('a' + c % 26);
            target[sizes[k]] = '\0';
            snprintf(name, sizeof name, "link-%zu", k);
            assert_int_equal(fs_make(fixture.fs, &root_caller, FS_ROOT_INODE, name, &make, &entry), 0);
            assert_int_equal(fs_read_link(fixture.fs, entry.attributes.inode, back, sizeof back), 0);
            assert_string_equal(target, back);
        }
        fixture_deinit(&fixture);
    }
}

/* st_blocks of small files is what is kept, not what reads as zeros. */
static void test_blocks_of_pieces(void **state)
{
    static const struct {
        bool is_write;
        uint32_t at, size, blocks; /* a write at a byte, or a truncate to it */
    } steps[] = {
        {false, 3000, 0, 0}, {true, 0, 1, 1},     {true, 2900, 100, 6}, {false, 3500, 0, 6}, {false, 100, 0, 1},
        {false, 0, 0, 0},    {true, 0, 3840, 8},  {true, 3000, 10, 8},  {true, 3840, 1, 8},  {false, 3000, 0, 8},
        {false, 0, 0, 0},    {false, 2000, 0, 0}, {true, 600, 10, 2},
    };
    struct fixture fixture;
    uint8_t bytes[4096];

    (void)state;
    fixture_init(&fixture, 4096, 0);
    uint64_t inode = make_file(fixture.fs, "small");
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 0);
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].is_write) {
            assert_int_equal(fs_write(fixture.fs, &root_caller, inode, steps[i].at, bytes, steps[i].size),
                             steps[i].size);
        } else {
            set_size(fixture.fs, inode, steps[i].at);
        }
        assert_int_equal(get_attributes(fixture.fs, inode).blocks, steps[i].blocks);
        assert_clean(fixture.fs);
    }
    fixture_reopen(&fixture);
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 2);
    fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),          cmocka_unit_test(test_nothing_written),
        cmocka_unit_test(test_times_and_mode),   cmocka_unit_test(test_costs),
        cmocka_unit_test(test_sparse),           cmocka_unit_test(test_cut_bytes),
        cmocka_unit_test(test_large_request),    cmocka_unit_test(test_long_targets),
        cmocka_unit_test(test_blocks_of_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
