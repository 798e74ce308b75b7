/* fallocate at its limits: what was reserved is there on a full disk, large ranges are done in steps of which a power
 * cut leaves a prefix, what beyond the end is reserved, and what is refused. */
#include "content_fixture.h"

#include <linux/falloc.h>
#include <unistd.h>

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO  FALLOC_FL_ZERO_RANGE
#define KEEP  FALLOC_FL_KEEP_SIZE

#define RESERVED_SIZE (6U << 20)
#define LARGE_SIZE    (40U << 20) /* several steps */

static uint8_t bytes[RESERVED_SIZE], back[RESERVED_SIZE];

static void allocate(struct fs *fs, uint64_t inode, unsigned mode, uint64_t offset, uint64_t size)
{
    assert_int_equal(fs_allocate(fs, &root_caller, inode, mode, offset, size), 0);
}

/* Appends until not even one block is left. */
static void fill(struct fs *fs, uint64_t inode)
{
    uint64_t offset = get_attributes(fs, inode).size;

    for (size_t size = 1U << 20; size >= STORE_BLOCK_SIZE; size /= 4) {
        int64_t result;

        while ((result = fs_write(fs, &root_caller, inode, offset, bytes, size)) == (int64_t)size)
            offset += size;
        assert_int_equal(result, -ENOSPC);
    }
}

static void expect_bytes(struct fs *fs, uint64_t inode)
{
    assert_int_equal(fs_read(fs, inode, 0, back, RESERVED_SIZE), RESERVED_SIZE);
    assert_memory_equal(back, bytes, RESERVED_SIZE);
}

/* Writes everything in pieces of this size, at random when they are small. */
static void write_pieces(struct fs *fs, uint64_t inode, size_t piece, struct base_random *random)
{
    fill_pattern(bytes, RESERVED_SIZE, piece);
    for (size_t at = 0; at < RESERVED_SIZE; at += piece) {
        size_t size = RESERVED_SIZE - at < piece ? RESERVED_SIZE - at : piece;

        write_all(fs, inode, at, bytes + at, size);
    }
    for (unsigned i = 0; i < 100; i++) {
        size_t at = base_random_below(random, RESERVED_SIZE - 10000);

        fill_pattern(bytes + at, 10000, i);
        write_all(fs, inode, at, bytes + at, 10000);
    }
    expect_bytes(fs, inode);
}

static void test_full(uint32_t page_size, size_t cache_size, struct base_random *random)
{
    struct fixture fixture;
    uint64_t inode, filler;

    fixture_init(&fixture, page_size, cache_size);
    fault_file_set_host_size(fixture.fault, (page_size == 65536 ? 48U : 24U) << 20); /* pages in reserve are many */
    inode = make_file(fixture.fs, "reserved");
    filler = make_file(fixture.fs, "filler");
    allocate(fixture.fs, inode, 0, 0, RESERVED_SIZE);
    fill(fixture.fs, filler);
    assert_int_equal(fs_allocate(fixture.fs, &root_caller, filler, 0, 0, 1U << 30), -ENOSPC);
    write_pieces(fixture.fs, inode, 3U << 20, random);
    assert_int_equal(txn_engine_checkpoint(fixture.fs->engine), 0); /* the check looks at nothing later */
    assert_clean(fixture.fs);
    write_pieces(fixture.fs, inode, 50000, random); /* over what is there now */
    allocate(fixture.fs, inode, ZERO, 0, RESERVED_SIZE);
    fixture_reopen(&fixture);
    fill(fixture.fs, filler);
    write_pieces(fixture.fs, inode, 7 * STORE_BLOCK_SIZE, random);
    /* Punching takes room for the blocks at its ends, and gives room. */
    allocate(fixture.fs, inode, PUNCH, 5, RESERVED_SIZE - 10);
    memset(bytes + 5, 0, RESERVED_SIZE - 10);
    expect_bytes(fixture.fs, inode);
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 16);
    write_all(fixture.fs, filler, get_attributes(fixture.fs, filler).size, bytes, 1U << 20);
    fixture_deinit(&fixture);
}

static void test_full_disk(void **state)
{
    struct base_random random;

    (void)state;
    base_random_seed(&random, test_seed("test_content_allocate full", 5));
    test_full(4096, 0, &random);
    test_full(4096, 1, &random);
    test_full(16384, 0, &random);
    test_full(65536, 0, &random);
}

/* The state after a cut: everything before `done` as the operation leaves it, everything behind as it was. */
static void expect_prefix(struct fs *fs, uint64_t inode, unsigned mode, struct base_random *random)
{
    uint64_t size = get_attributes(fs, inode).size, blocks = get_attributes(fs, inode).blocks;
    int64_t data;

    if (mode == 0) {
        assert_int_equal(blocks, (size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE * 8);
        return;
    }
    data = fs_seek(fs, inode, 0, SEEK_DATA);
    if (data < 0) {
        assert_int_equal(data, -ENXIO);
        return;
    }
    assert_int_equal(data % FS_CHUNK_SIZE, 0);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t offset = base_random_below(random, LARGE_SIZE / FS_CHUNK_SIZE) * FS_CHUNK_SIZE;
        uint8_t byte;

        assert_int_equal(fs_read(fs, inode, offset, &byte, 1), 1);
        assert_int_equal(byte, offset < (uint64_t)data ? 0 : 0xE7);
    }
}

/* One block in each chunk, all durable. */
static void prepare_large(struct fs *fs, uint64_t inode)
{
    static uint8_t block[STORE_BLOCK_SIZE];

    memset(block, 0xE7, sizeof block);
    for (uint64_t offset = 0; offset < LARGE_SIZE; offset += FS_CHUNK_SIZE)
        write_all(fs, inode, offset, block, sizeof block);
    set_size(fs, inode, LARGE_SIZE);
}

static bool cut_at(unsigned mode, uint64_t n, struct base_random *random)
{
    struct fixture fixture;
    struct os_file *left;
    struct fs *fs;
    uint64_t inode;
    bool cut;

    fixture_init(&fixture, 4096, 1);
    inode = make_file(fixture.fs, "file");
    if (mode != 0)
        prepare_large(fixture.fs, inode);
    assert_int_equal(fs_sync(fixture.fs), 0);
    fault_file_cut_power(fixture.fault, n);
    if (fs_allocate(fixture.fs, &root_caller, inode, mode, 0, LARGE_SIZE) == 0)
        (void)fs_sync(fixture.fs);
    cut = fault_file_is_cut(fixture.fault);
    left = fault_file_crash(fixture.fault, random);
    fs = open_file(left, 1, false);
    expect_prefix(fs, inode, mode, random);
    assert_clean(fs);
    assert_int_equal(fs_close(fs), 0);
    os_file_close(left);
    (void)fs_close(fixture.fs);
    os_file_close(fixture.file);
    return cut;
}

static void test_steps(void **state)
{
    static const unsigned modes[] = {0, ZERO, PUNCH};
    struct base_random random;

    (void)state;
    base_random_seed(&random, test_seed("test_content_allocate steps", 6));
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t n = 1, step = test_is_long() ? 1 : 11;

        while (cut_at(modes[i], n, &random))
            n += 1 + base_random_below(&random, step);
    }
    base_message_configure("test", BASE_MESSAGE_TO_STDERR, 0);
}

static void test_beyond_end(void **state)
{
    struct fixture fixture;
    uint64_t inode;
    uint8_t byte = 1;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    inode = make_file(fixture.fs, "file");
    allocate(fixture.fs, inode, KEEP, 1U << 20, 1U << 20);
    assert_int_equal(get_attributes(fixture.fs, inode).size, 0);
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 2048);
    assert_clean(fixture.fs);
    fixture_reopen(&fixture);
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 2048);
    write_all(fixture.fs, inode, 10, "abc", 3); /* chunks already: no pieces beside them */
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 2056);
    write_all(fixture.fs, inode, (2U << 20) - 3, "xyz", 3);
    assert_int_equal(fs_read(fixture.fs, inode, 1U << 20, &byte, 1), 1);
    assert_int_equal(byte, 0);
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 2056);
    allocate(fixture.fs, inode, KEEP, 0, 3U << 20);
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 6144);
    allocate(fixture.fs, inode, PUNCH, (2U << 20) + 1, 1U << 20); /* the block that the range cuts stays reserved */
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 4096 + 8);
    set_size(fixture.fs, inode, 2U << 20); /* as large as it is */
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 4096);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
    fixture_deinit(&fixture);
}

static void test_refused(void **state)
{
    const unsigned unknown[] = {FALLOC_FL_PUNCH_HOLE, 0x08, 0x20, 0x40, 0x80, ZERO | PUNCH};
    struct fixture fixture;
    struct fs *fs;
    uint64_t inode;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    fs = fixture.fs;
    inode = make_file(fs, "file");
    write_all(fs, inode, 0, "abc", 3);
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(fs_allocate(fs, &root_caller, inode, unknown[i], 0, 1), -EOPNOTSUPP);
    assert_int_equal(fs_allocate(fs, &root_caller, inode, 0, 0, 0), -EINVAL);
    assert_int_equal(fs_allocate(fs, &root_caller, inode, 0, INT64_MAX, 1), -EFBIG);
    assert_int_equal(fs_allocate(fs, &root_caller, inode, 0, 1, INT64_MAX), -EFBIG);
    assert_int_equal(fs_allocate(fs, &root_caller, inode, 0, UINT64_MAX, UINT64_MAX), -EFBIG);
    assert_int_equal(fs_allocate(fs, &root_caller, inode, 0, 0, INT64_MAX), -ENOSPC);
    assert_int_equal(fs_allocate(fs, &root_caller, FS_ROOT_INODE, 0, 0, 1), -EISDIR);
    assert_int_equal(fs_allocate(fs, &root_caller, 12345, 0, 0, 1), -ENOENT);
    assert_int_equal(fs_seek(fs, inode, 0, SEEK_SET), -EINVAL);
    assert_int_equal(fs_seek(fs, FS_ROOT_INODE, 0, SEEK_DATA), -EINVAL);
    assert_int_equal(fs_seek(fs, inode, 3, SEEK_HOLE), -ENXIO);
    assert_int_equal(get_attributes(fs, inode).size, 3);
    assert_int_equal(fs_set_flags(fs, inode, FS_FLAG_APPEND), 0);
    assert_int_equal(fs_allocate(fs, &root_caller, inode, ZERO, 0, 1), -EPERM);
    assert_int_equal(fs_allocate(fs, &root_caller, inode, PUNCH, 0, 1), -EPERM);
    allocate(fs, inode, KEEP, 0, 10000);
    assert_int_equal(fs_set_flags(fs, inode, FS_FLAG_IMMUTABLE), 0);
    assert_int_equal(fs_allocate(fs, &root_caller, inode, KEEP, 0, 20000), -EPERM);
    fixture_deinit(&fixture);
}

/* The largest offsets there are. */
static void test_far_away(void **state)
{
    const uint64_t end = INT64_MAX;
    struct fixture fixture;
    uint64_t inode;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    inode = make_file(fixture.fs, "file");
    allocate(fixture.fs, inode, 0, end - 100000, 100000);
    assert_int_equal(get_attributes(fixture.fs, inode).size, end);
    write_all(fixture.fs, inode, end - 5, "abcde", 5);
    assert_int_equal(fs_seek(fixture.fs, inode, 0, SEEK_DATA), end / STORE_BLOCK_SIZE * STORE_BLOCK_SIZE);
    assert_int_equal(fs_seek(fixture.fs, inode, end - 1, SEEK_HOLE), end);
    assert_int_equal(fs_seek(fixture.fs, inode, 77, SEEK_HOLE), 77);
    assert_clean(fixture.fs);
    allocate(fixture.fs, inode, PUNCH, 0, end);
    assert_int_equal(get_attributes(fixture.fs, inode).blocks, 0);
    assert_int_equal(fs_seek(fixture.fs, inode, 0, SEEK_DATA), -ENXIO);
    fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_steps),    cmocka_unit_test(test_beyond_end),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_far_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
