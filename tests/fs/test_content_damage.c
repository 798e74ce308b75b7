/* Damaged contents: -EIO on what is damaged, on nothing else; whoever replaces the block heals it. */
#include "content_fixture.h"

#define BLOCKS 96U /* three chunks */
#define SIZE   (BLOCKS * STORE_BLOCK_SIZE)

static uint8_t bytes[SIZE], back[SIZE];

/* Where a block of the file stands in the database. */
static uint64_t place_of(struct fs *fs, uint64_t inode, uint32_t index)
{
    struct fs_content_walk walk;
    struct fs_content_row row;
    struct fs_chunk chunk;
    uint64_t offset = (uint64_t)index * STORE_BLOCK_SIZE;

    assert_int_equal(fs_content_walk_open(fs, NULL, inode, &walk), 0);
    assert_int_equal(fs_content_walk_seek(&walk, fs_round_down(offset, FS_CHUNK_SIZE), &row), 0);
    assert_int_equal(fs_content_row_to_chunk(fs, inode, &row, &chunk), 0);
    fs_content_walk_close(&walk);
    return chunk.blocks[index % FS_CHUNK_BLOCKS];
}

static void flip_bit(struct fixture *fixture, uint64_t block, struct base_random *random)
{
    uint64_t at = block * STORE_BLOCK_SIZE + base_random_below(random, STORE_BLOCK_SIZE);
    uint8_t byte;

    assert_int_equal(os_file_read(fixture->file, &byte, 1, at), 0);
    byte ^= (uint8_t)(1U << base_random_below(random, 8));
    assert_int_equal(os_file_write(fixture->file, &byte, 1, at), 0);
}

static void expect_block(struct fs *fs, uint64_t inode, uint32_t index, bool damaged)
{
    uint64_t offset = (uint64_t)index * STORE_BLOCK_SIZE;

    assert_int_equal(fs_read(fs, inode, offset, back, STORE_BLOCK_SIZE), damaged ? -EIO : (int)STORE_BLOCK_SIZE);
    if (!damaged)
        assert_memory_equal(back, bytes + offset, STORE_BLOCK_SIZE);
    assert_int_equal(fs_read(fs, inode, offset + 100, back, 1), damaged ? -EIO : 1);
}

static void test_flipped_bits(void **state)
{
    struct problems problems;
    struct fixture fixture;
    struct base_random random;
    uint64_t inode;

    (void)state;
    base_random_seed(&random, test_seed("test_content_damage", 3));
    for (unsigned round = 0; round < 8; round++) {
        uint32_t bad = (uint32_t)base_random_below(&random, BLOCKS);
        uint64_t at = (uint64_t)bad * STORE_BLOCK_SIZE;

        fixture_init(&fixture, 16384, 0);
        inode = make_file(fixture.fs, "file");
        fill_pattern(bytes, SIZE, round);
        write_all(fixture.fs, inode, 0, bytes, SIZE);
        assert_int_equal(fs_sync(fixture.fs), 0);
        flip_bit(&fixture, place_of(fixture.fs, inode, bad), &random);
        for (uint32_t i = 0; i < BLOCKS; i++)
            expect_block(fixture.fs, inode, i, i == bad);
        assert_int_equal(fs_read(fixture.fs, inode, 0, back, SIZE), -EIO);
        run_check(fixture.fs, &problems, NULL);
        assert_int_equal(problems.count, 1);
        assert_non_null(strstr(problems.text[0], "wrong checksum"));

        /* A change of a part needs the rest; a change of the whole does not. */
        assert_int_equal(fs_write(fixture.fs, &root_caller, inode, at + 5, "x", 1), -EIO);
        expect_block(fixture.fs, inode, bad, true);
        write_all(fixture.fs, inode, at, bytes + at, STORE_BLOCK_SIZE);
        expect_block(fixture.fs, inode, bad, false);
        assert_int_equal(fs_read(fixture.fs, inode, 0, back, SIZE), SIZE);
        assert_memory_equal(back, bytes, SIZE);
        fixture_deinit(&fixture);
    }
}

/* Damage does not keep a file from going, or from being cut before the damage. */
static void test_damaged_goes(void **state)
{
    struct fixture fixture;
    struct base_random random;
    struct fs_changes changes = {.set = FS_SET_SIZE, .size = 10 * STORE_BLOCK_SIZE + 1};
    struct fs_attributes attributes;
    uint64_t inode;

    (void)state;
    base_random_seed(&random, 4);
    fixture_init(&fixture, 4096, 0);
    inode = make_file(fixture.fs, "file");
    fill_pattern(bytes, SIZE, 1);
    write_all(fixture.fs, inode, 0, bytes, SIZE);
    assert_int_equal(fs_sync(fixture.fs), 0);
    flip_bit(&fixture, place_of(fixture.fs, inode, 10), &random);
    flip_bit(&fixture, place_of(fixture.fs, inode, 40), &random);
    /* Cuts right through damage: what is to stay of the block can't be vouched for. */
    assert_int_equal(fs_set_attributes(fixture.fs, &root_caller, inode, &changes, &attributes), -EIO);
    set_size(fixture.fs, inode, 35 * STORE_BLOCK_SIZE + 1);
    set_size(fixture.fs, inode, SIZE);
    expect_block(fixture.fs, inode, 34, false);
    expect_block(fixture.fs, inode, 10, true);
    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
    fs_forget(fixture.fs, inode, 1);
    fixture_deinit(&fixture);
}

/* A disk that fails a read. */
static void test_read_error(void **state)
{
    struct fixture fixture;
    uint64_t inode;

    (void)state;
    fixture_init(&fixture, 4096, 0);
    inode = make_file(fixture.fs, "file");
    fill_pattern(bytes, SIZE, 1);
    write_all(fixture.fs, inode, 0, bytes, SIZE);
    assert_int_equal(fs_read(fixture.fs, inode, 0, back, SIZE), SIZE);
    fault_file_fail(fixture.fault, FAULT_READ, 1, EIO, false);
    assert_int_equal(fs_read(fixture.fs, inode, 0, back, SIZE), -EIO);
    assert_int_equal(fs_read(fixture.fs, inode, 0, back, SIZE), SIZE);
    assert_memory_equal(back, bytes, SIZE);
    fixture_deinit(&fixture);
}

/* A row that no file with chunks has: what is read over it is refused, not made up. */
static void test_piece_among_chunks(void **state)
{
    struct fixture fixture;
    struct txn_need need;
    struct txn *txn;
    uint8_t key[FS_CONTENT_KEY_SIZE], piece[] = {FS_CONTENT_PIECE, 'p', 'p'};
    uint64_t inode;

    (void)state;
    fixture_init(&fixture, 4096, 0);
    inode = make_file(fixture.fs, "file");
    fill_pattern(bytes, SIZE, 1);
    write_all(fixture.fs, inode, 0, bytes, SIZE);
    need = (struct txn_need){.pages = btree_pages_per_change(fixture.fs->tree)};
    assert_int_equal(txn_begin(fixture.fs->engine, &need, &txn), 0);
    txn_lock(txn);
    struct btree_slice key_slice = {key, fs_key_content(key, inode, fs_piece_size(fixture.fs))};
    assert_int_equal(btree_insert(fixture.fs->tree, txn, key_slice, (struct btree_slice){piece, sizeof piece}), 0);
    txn_commit(txn);
    assert_int_equal(fs_read(fixture.fs, inode, 0, back, SIZE), -EUCLEAN);
    assert_int_equal(fs_read(fixture.fs, inode, FS_CHUNK_SIZE, back, SIZE), SIZE - FS_CHUNK_SIZE);
    assert_memory_equal(back, bytes + FS_CHUNK_SIZE, SIZE - FS_CHUNK_SIZE);
    assert_int_equal(fs_close(fixture.fs), 0); /* what is left is damaged: no check */
    os_file_close(fixture.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_damaged_goes),
        cmocka_unit_test(test_read_error),
        cmocka_unit_test(test_piece_among_chunks),
    };

    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
