/* Copies that share blocks: what they cost, that they diverge safely, that every block is freed exactly when its last
 * owner goes, and where bytes are copied instead. (test_content_copy.c compares copies of all kinds with a model.) */
#include "check_fixture.h"
#include "share.h"

#include <linux/falloc.h>

#define FILE_SIZE   (8U << 20)
#define FILE_BLOCKS (FILE_SIZE / STORE_BLOCK_SIZE)

static uint8_t bytes[FILE_SIZE], back[FILE_SIZE], expected[FILE_SIZE];

static uint64_t content_blocks(struct fs *fs)
{
    struct store_statistics statistics;

    store_get_statistics(fs->store, &statistics);
    return statistics.content_blocks;
}

static uint64_t content_blocks_written(struct fs *fs)
{
    struct store_statistics statistics;

    store_get_statistics(fs->store, &statistics);
    return statistics.content_blocks_written;
}

static void copy_all(struct fs *fs, uint64_t from, uint64_t to, uint64_t size)
{
    assert_int_equal(fs_copy_range(fs, &root_caller, from, 0, to, 0, size), size);
}

static void expect_bytes(struct fs *fs, uint64_t inode, const uint8_t *wanted, uint64_t size)
{
    assert_int_equal(get_attributes(fs, inode).size, size);
    assert_int_equal(fs_read(fs, inode, 0, back, FILE_SIZE), size);
    assert_memory_equal(back, wanted, size);
}

/* A file of random bytes, and a copy of it. */
static void make_pair(struct fs *fs, uint64_t size, uint64_t *ret_original, uint64_t *ret_copy)
{
    *ret_original = make_file(fs, "original");
    *ret_copy = make_file(fs, "copy");
    fill_pattern(bytes, FILE_SIZE, 1);
    write_all(fs, *ret_original, 0, bytes, size);
    copy_all(fs, *ret_original, *ret_copy, size);
}

static void test_cost(void **state)
{
    struct fixture fixture;
    uint64_t original, copy, written;
    struct fs *fs;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    fs = fixture.fs;
    assert_false(store_has_feature(fs->store, STORE_FEATURE_SHARED_CONTENTS));
    make_pair(fs, FILE_SIZE, &original, &copy);
    assert_true(store_has_feature(fs->store, STORE_FEATURE_SHARED_CONTENTS));
    written = content_blocks_written(fs);
    assert_int_equal(written, FILE_BLOCKS);
    assert_int_equal(content_blocks(fs), FILE_BLOCKS);
    assert_int_equal(get_attributes(fs, copy).blocks, FILE_SIZE / 512);
    expect_bytes(fs, copy, bytes, FILE_SIZE);
    assert_clean(fs);

    /* A copy of the copy, over an older one: nothing is written, and what was there is freed. */
    write_all(fs, make_file(fs, "third"), 0, bytes, 1U << 20);
    assert_int_equal(content_blocks(fs), FILE_BLOCKS + 256);
    written = content_blocks_written(fs);
    struct fs_entry entry;
    assert_int_equal(fs_lookup(fs, FS_ROOT_INODE, "third", &entry), 0);
    copy_all(fs, copy, entry.attributes.inode, FILE_SIZE);
    assert_int_equal(content_blocks_written(fs), written);
    assert_int_equal(content_blocks(fs), FILE_BLOCKS);

    /* Freed with the last owner. */
    assert_int_equal(fs_unlink(fs, FS_ROOT_INODE, "original"), 0);
    fs_forget(fs, original, 1);
    fixture_reopen(&fixture);
    fs = fixture.fs;
    assert_true(store_has_feature(fs->store, STORE_FEATURE_SHARED_CONTENTS));
    assert_int_equal(content_blocks(fs), FILE_BLOCKS);
    expect_bytes(fs, copy, bytes, FILE_SIZE);
    assert_int_equal(fs_unlink(fs, FS_ROOT_INODE, "copy"), 0);
    assert_int_equal(fs_unlink(fs, FS_ROOT_INODE, "third"), 0);
    fixture_reopen(&fixture);
    assert_int_equal(content_blocks(fixture.fs), 0);
    fixture_deinit(&fixture);
}

/* Each change of one of the two leaves the other as it is. */
static void test_divergence(void **state)
{
    struct fixture fixture;
    uint64_t original, copy;
    struct fs *fs;

    (void)state;
    fixture_init(&fixture, 4096, 1);
    fs = fixture.fs;
    make_pair(fs, 1U << 20, &original, &copy);
    memcpy(expected, bytes, 1U << 20);
    memset(expected + 5000, 'x', 100);
    write_all(fs, copy, 5000, expected + 5000, 100);
    expect_bytes(fs, original, bytes, 1U << 20);
    expect_bytes(fs, copy, expected, 1U << 20);
    assert_int_equal(content_blocks(fs), 256 + 1);

    /* The original's own change of that block takes none: it is the only owner now. */
    memset(bytes + 4096, 'y', 4096);
    write_all(fs, original, 4096, bytes + 4096, 4096);
    assert_int_equal(content_blocks(fs), 256 + 1);
    expect_bytes(fs, copy, expected, 1U << 20);

    memset(expected + 40000, 0, 300000);
    assert_int_equal(fs_allocate(fs, &root_caller, copy, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 40000, 300000), 0);
    memset(bytes + 400000, 0, 100000);
    assert_int_equal(fs_allocate(fs, &root_caller, original, FALLOC_FL_ZERO_RANGE, 400000, 100000), 0);
    expect_bytes(fs, original, bytes, 1U << 20);
    expect_bytes(fs, copy, expected, 1U << 20);
    set_size(fs, original, 700001);
    set_size(fs, original, 1U << 20);
    memset(bytes + 700001, 0, (1U << 20) - 700001);
    expect_bytes(fs, original, bytes, 1U << 20);
    expect_bytes(fs, copy, expected, 1U << 20);
    assert_clean(fs);
    set_size(fs, copy, 0);
    expect_bytes(fs, original, bytes, 1U << 20);
    assert_clean(fs);
    set_size(fs, original, 0);
    assert_int_equal(content_blocks(fs), 0);
    fixture_deinit(&fixture);
}

/* One file as source and target. */
static void test_within_a_file(void **state)
{
    struct fixture fixture;
    uint64_t inode;
    struct fs *fs;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    fs = fixture.fs;
    inode = make_file(fs, "file");
    fill_pattern(bytes, FILE_SIZE, 2);
    write_all(fs, inode, 0, bytes, 1U << 20);
    assert_int_equal(fs_copy_range(fs, &root_caller, inode, 0, inode, 1U << 20, 1U << 20), 1U << 20);
    assert_int_equal(content_blocks(fs), 256);
    memcpy(bytes + (1U << 20), bytes, 1U << 20);
    expect_bytes(fs, inode, bytes, 2U << 20);
    /* Into the chunk that it comes from: copied. */
    assert_int_equal(fs_copy_range(fs, &root_caller, inode, 0, inode, 65536, 32768), 32768);
    memcpy(bytes + 65536, bytes, 32768);
    expect_bytes(fs, inode, bytes, 2U << 20);
    assert_clean(fs);
    set_size(fs, inode, 1U << 20);
    expect_bytes(fs, inode, bytes, 1U << 20);
    assert_clean(fs);
    fixture_deinit(&fixture);
}

/* The last block, which the file's end cuts, is shared only where the copy ends with it. */
static void test_tail(void **state)
{
    struct fixture fixture;
    uint64_t original, copy, longer;
    struct fs *fs;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    fs = fixture.fs;
    make_pair(fs, 100001, &original, &copy);
    assert_int_equal(content_blocks(fs), 25);
    expect_bytes(fs, copy, bytes, 100001);
    longer = make_file(fs, "longer");
    fill_pattern(expected, FILE_SIZE, 3);
    write_all(fs, longer, 0, expected, 200000);
    copy_all(fs, original, longer, 100001);
    memcpy(expected, bytes, 100001);
    expect_bytes(fs, longer, expected, 200000);
    /* Longer or shorter, the other's bytes don't come to light. */
    write_all(fs, original, 100001, bytes + 100001, 2000);
    expect_bytes(fs, copy, bytes, 100001);
    expect_bytes(fs, original, bytes, 102001);
    set_size(fs, copy, 99000);
    set_size(fs, copy, 100001);
    expect_bytes(fs, original, bytes, 102001);
    fixture_deinit(&fixture);
}

/* A source whose blocks lie all over the place: rows name shared blocks in few groups only, so bytes are copied. */
static void test_scattered(void **state)
{
    struct fixture fixture;
    uint64_t inodes[3], target, blocks;
    struct fs *fs;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    fs = fixture.fs;
    fill_pattern(bytes, FILE_SIZE, 4);
    for (unsigned i = 0; i < 3; i++) {
        inodes[i] = make_file(fs, i == 0 ? "a" : i == 1 ? "b" : "c");
    }
    /* Blocks of one file come after 2 MiB of another. */
    for (unsigned slot = 0; slot < 16; slot++) {
        write_all(fs, inodes[0], slot * STORE_BLOCK_SIZE, bytes + slot * STORE_BLOCK_SIZE, STORE_BLOCK_SIZE);
        write_all(fs, inodes[1], (uint64_t)slot << 19, bytes, 1U << 19);
    }
    target = inodes[2];
    blocks = content_blocks(fs);
    copy_all(fs, inodes[0], target, 16 * STORE_BLOCK_SIZE);
    assert_int_equal(content_blocks(fs), blocks + 16);
    expect_bytes(fs, target, bytes, 16 * STORE_BLOCK_SIZE);
    assert_clean(fs);
    copy_all(fs, inodes[1], target, FILE_SIZE);
    assert_clean(fs);
    fixture_deinit(&fixture);
}

/* More owners than a row can count: bytes are copied. */
static void test_owners_limit(void **state)
{
    struct fixture fixture;
    uint64_t original, copy, another, blocks;
    uint8_t key[FS_KEY_SIZE_MAX], row[FS_SHARE_ROW_SIZE_MAX], chunk_row[8192];
    struct fs_chunk chunk;
    struct base_reason reason;
    struct fs *fs;
    size_t size, key_size;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    fs = fixture.fs;
    make_pair(fs, 65536, &original, &copy);
    size = get_content(fs, original, 0, chunk_row);
    assert_int_equal(fs_chunk_decode(fs->store, (struct btree_slice){chunk_row, size}, &chunk, &reason), 0);
    key_size = fs_key_share(key, chunk.blocks[0] / FS_SHARE_GROUP_BLOCKS * FS_SHARE_GROUP_BLOCKS);
    size = get_row(fs, key, key_size, row, sizeof row);
    assert_int_equal(base_get_le32(row + 4), 2);
    base_put_le32(row + 4, UINT32_MAX);
    put_row(fs, key, key_size, row, size);
    blocks = content_blocks(fs);
    another = make_file(fs, "another");
    copy_all(fs, original, another, 65536);
    expect_bytes(fs, another, bytes, 65536);
    assert_int_equal(content_blocks(fs), blocks + 16);
    base_put_le32(row + 4, 2);
    put_row(fs, key, key_size, row, size);
    fixture_deinit(&fixture);
}

/* Copies of copies and their ends, on the smallest cache, many files. */
static void test_many_owners(void **state)
{
    struct fixture fixture;
    uint64_t original, copy;
    struct fs *fs;
    char name[16];

    (void)state;
    fixture_init(&fixture, 4096, 1);
    fs = fixture.fs;
    make_pair(fs, 1000000, &original, &copy);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "copy-%u", i);
        copy_all(fs, i % 2 == 0 ? original : copy, make_file(fs, name), 1000000);
    }
    assert_int_equal(content_blocks(fs), 245);
    assert_clean(fs);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "copy-%u", (i * 37) % 100);
        assert_int_equal(fs_unlink(fs, FS_ROOT_INODE, name), 0);
    }
    fixture_reopen(&fixture);
    fs = fixture.fs;
    assert_int_equal(content_blocks(fs), 245);
    expect_bytes(fs, copy, bytes, 1000000);
    fixture_deinit(&fixture);
}

/* Of one chunk: what the reclaimer takes many of in one transaction when nothing is shared. */
static void test_small(void **state)
{
    struct fixture fixture;
    uint64_t original, copy;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    make_pair(fixture.fs, 50000, &original, &copy);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "original"), 0);
    fs_forget(fixture.fs, original, 1);
    fixture_reopen(&fixture);
    assert_int_equal(content_blocks(fixture.fs), 13);
    expect_bytes(fixture.fs, copy, bytes, 50000);
    assert_clean(fixture.fs);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "copy"), 0);
    fixture_reopen(&fixture);
    assert_int_equal(content_blocks(fixture.fs), 0);
    fixture_deinit(&fixture);
}

static void test_read_only(void **state)
{
    struct fixture fixture;
    uint64_t original, empty;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    original = make_file(fixture.fs, "original");
    empty = make_file(fixture.fs, "empty");
    write_all(fixture.fs, original, 0, bytes, 1U << 20);
    assert_int_equal(fs_close(fixture.fs), 0);
    fixture.fs = open_file(fixture.file, 0, true);
    assert_int_equal(fs_copy_range(fixture.fs, &root_caller, original, 0, empty, 0, 1U << 20), -EROFS);
    fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cost),        cmocka_unit_test(test_divergence), cmocka_unit_test(test_within_a_file),
        cmocka_unit_test(test_tail),        cmocka_unit_test(test_scattered),  cmocka_unit_test(test_owners_limit),
        cmocka_unit_test(test_many_owners), cmocka_unit_test(test_small),      cmocka_unit_test(test_read_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
