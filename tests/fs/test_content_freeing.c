/* Large contents go in steps: nothing of them is seen meanwhile, whatever is done with the file next and wherever the
 * steps are interrupted. */
#include "base/bytes.h"
#include "content_fixture.h"

#include <linux/falloc.h>

#define CHUNKS 200U /* more than one step takes */

/* One block in each chunk, with its number in it. */
static uint64_t make_large(struct fs *fs, const char *name)
{
    uint64_t inode = make_file(fs, name);
    static uint8_t block[STORE_BLOCK_SIZE];

    for (uint32_t i = 0; i < CHUNKS; i++) {
        memset(block, (int)(i % 255 + 1), sizeof block);
        write_all(fs, inode, (uint64_t)i * FS_CHUNK_SIZE, block, sizeof block);
    }
    assert_int_equal(get_attributes(fs, inode).blocks, CHUNKS * 8);
    return inode;
}

/* Chunks [0, whole) have their block, what follows are zeros up to size. */
static void expect_chunks(struct fs *fs, uint64_t inode, uint32_t whole, uint64_t size)
{
    uint8_t byte;

    assert_int_equal(get_attributes(fs, inode).size, size);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint64_t offset = (uint64_t)i * FS_CHUNK_SIZE + 17;

        if (offset >= size)
            break;
        assert_int_equal(fs_read(fs, inode, offset, &byte, 1), 1);
        assert_int_equal(byte, i < whole ? i % 255 + 1 : 0);
    }
}

static void expect_no_freeing(struct fs *fs, uint64_t inode)
{
    uint64_t from;

    assert_int_equal(fs_freeing_find(fs, NULL, inode, &from), -ENOENT);
}

static void test_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGE_SIZE_COUNT; i++) {
        struct fixture fixture;
        uint64_t inode;

        fixture_init(&fixture, page_sizes[i], i % 2 == 0 ? 0 : 1);
        inode = make_large(fixture.fs, "file");
        set_size(fixture.fs, inode, 5000);
        expect_chunks(fixture.fs, inode, 1, 5000);
        expect_no_freeing(fixture.fs, inode);
        assert_int_equal(get_attributes(fixture.fs, inode).blocks, 8);
        assert_clean(fixture.fs);
        set_size(fixture.fs, inode, CHUNKS * (uint64_t)FS_CHUNK_SIZE);
        expect_chunks(fixture.fs, inode, 1, CHUNKS * (uint64_t)FS_CHUNK_SIZE);
        fixture_deinit(&fixture);
    }
}

/* Changes the size in the inode's row, and nothing else. */
static void put_size(struct fs *fs, uint64_t inode, uint64_t size)
{
    struct txn_need need = fs_content_need(fs, 1, 0, true);
    struct fs_inode_row row;
    struct txn *txn;

    assert_int_equal(fs_inode_row_read(fs, NULL, inode, &row), 0);
    row.attributes.size = size;
    assert_int_equal(txn_begin(fs->engine, &need, &txn), 0);
    txn_lock(txn);
    assert_int_equal(fs_inode_row_write(fs, txn, inode, &row, false, NULL), 0);
    txn_commit(txn);
}

/* What a stop right after the first transaction of a large truncate leaves. */
static void leave_freeing(struct fs *fs, uint64_t inode, uint32_t chunks)
{
    struct txn_need need = fs_content_need(fs, 2, 0, true);
    struct fs_inode_row row;
    uint8_t key[FS_KEY_SIZE_MAX], to[8];
    struct txn *txn;

    assert_int_equal(fs_inode_row_read(fs, NULL, inode, &row), 0);
    row.attributes.size = (uint64_t)chunks * FS_CHUNK_SIZE;
    base_put_le64(to, FS_FREEING_TO_END);
    assert_int_equal(txn_begin(fs->engine, &need, &txn), 0);
    txn_lock(txn);
    assert_int_equal(fs_inode_row_write(fs, txn, inode, &row, false, NULL), 0);
    assert_int_equal(btree_insert(fs->tree, txn,
                                  (struct btree_slice){key, fs_key_freeing(key, inode, row.attributes.size)},
                                  (struct btree_slice){to, sizeof to}),
                     0);
    txn_commit(txn);
}

/* Each of these meets contents that wait to be freed. */
static void test_interrupted(void **state)
{
    const uint64_t all = CHUNKS * (uint64_t)FS_CHUNK_SIZE;
    struct fixture fixture;
    uint64_t by_write, by_resize, by_allocate, by_zero, by_punch, same, shrunk, shrunk_little, removed, closed;

    (void)state;
    fixture_init(&fixture, 4096, 0);
    by_write = make_large(fixture.fs, "by write");
    by_resize = make_large(fixture.fs, "by resize");
    by_allocate = make_large(fixture.fs, "by allocate");
    by_zero = make_large(fixture.fs, "by zero");
    by_punch = make_large(fixture.fs, "by punch");
    same = make_large(fixture.fs, "same size");
    shrunk = make_large(fixture.fs, "shrunk");
    shrunk_little = make_large(fixture.fs, "shrunk a little");
    removed = make_large(fixture.fs, "removed");
    closed = make_large(fixture.fs, "closed");
    leave_freeing(fixture.fs, by_write, 3);
    leave_freeing(fixture.fs, by_resize, 0);
    leave_freeing(fixture.fs, by_allocate, 4);
    leave_freeing(fixture.fs, by_zero, 5);
    leave_freeing(fixture.fs, by_punch, 6);
    leave_freeing(fixture.fs, same, 12);
    leave_freeing(fixture.fs, shrunk, 150);
    leave_freeing(fixture.fs, shrunk_little, 190);
    leave_freeing(fixture.fs, removed, 7);
    leave_freeing(fixture.fs, closed, 9);
    assert_clean(fixture.fs);

    write_all(fixture.fs, by_write, all - 1, "", 1);
    expect_chunks(fixture.fs, by_write, 3, all);
    expect_no_freeing(fixture.fs, by_write);

    set_size(fixture.fs, by_resize, all);
    expect_chunks(fixture.fs, by_resize, 0, all);
    expect_no_freeing(fixture.fs, by_resize);

    assert_int_equal(fs_allocate(fixture.fs, &root_caller, by_allocate, FALLOC_FL_KEEP_SIZE, 5 * FS_CHUNK_SIZE, 1), 0);
    expect_no_freeing(fixture.fs, by_allocate);
    assert_int_equal(get_attributes(fixture.fs, by_allocate).blocks, 5 * 8);
    set_size(fixture.fs, by_allocate, all);
    expect_chunks(fixture.fs, by_allocate, 4, all);

    assert_int_equal(fs_allocate(fixture.fs, &root_caller, by_zero, FALLOC_FL_ZERO_RANGE, 5 * FS_CHUNK_SIZE, all), 0);
    expect_no_freeing(fixture.fs, by_zero);
    expect_chunks(fixture.fs, by_zero, 5, 5 * FS_CHUNK_SIZE + all);

    /* All blocks of the file itself, and none of those that wait. */
    assert_int_equal(fs_allocate(fixture.fs, &root_caller, by_punch, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                 6 * FS_CHUNK_SIZE),
                     0);
    assert_clean(fixture.fs);
    assert_int_equal(
        fs_allocate(fixture.fs, &root_caller, by_punch, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, all), 0);
    expect_no_freeing(fixture.fs, by_punch);
    assert_int_equal(get_attributes(fixture.fs, by_punch).blocks, 0);

    set_size(fixture.fs, same, 12 * FS_CHUNK_SIZE);
    expect_no_freeing(fixture.fs, same);
    expect_chunks(fixture.fs, same, 12, 12 * FS_CHUNK_SIZE);

    set_size(fixture.fs, shrunk, 10 * FS_CHUNK_SIZE + 100);
    expect_no_freeing(fixture.fs, shrunk);
    set_size(fixture.fs, shrunk, all);
    expect_chunks(fixture.fs, shrunk, 11, all);

    set_size(fixture.fs, shrunk_little, 188 * FS_CHUNK_SIZE);
    expect_no_freeing(fixture.fs, shrunk_little);
    expect_chunks(fixture.fs, shrunk_little, 188, 188 * FS_CHUNK_SIZE);

    assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "removed"), 0);
    fs_forget(fixture.fs, removed, 1);
    assert_clean(fixture.fs);

    fixture_reopen(&fixture);
    expect_no_freeing(fixture.fs, closed);
    expect_chunks(fixture.fs, closed, 9, 9 * FS_CHUNK_SIZE);
    assert_int_equal(get_attributes(fixture.fs, closed).blocks, 9 * 8);
    fixture_deinit(&fixture);
}

/* Within the chunk that the size is in, growth need not wait. */
static void test_growth_within_chunk(void **state)
{
    struct fixture fixture;
    uint64_t inode, from;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    inode = make_large(fixture.fs, "file");
    set_size(fixture.fs, inode, 150 * FS_CHUNK_SIZE - 1000);
    set_size(fixture.fs, inode, 150 * FS_CHUNK_SIZE);
    leave_freeing(fixture.fs, inode, 100);
    set_size(fixture.fs, inode, 99 * FS_CHUNK_SIZE + 1);
    expect_no_freeing(fixture.fs, inode);
    set_size(fixture.fs, inode, 100 * FS_CHUNK_SIZE);
    leave_freeing(fixture.fs, inode, 20);
    write_all(fixture.fs, inode, 5, "abc", 3);
    assert_int_equal(fs_freeing_find(fixture.fs, NULL, inode, &from), 0);
    assert_int_equal(from, 20 * FS_CHUNK_SIZE);
    write_all(fixture.fs, inode, 20 * FS_CHUNK_SIZE, "abc", 3);
    expect_no_freeing(fixture.fs, inode);
    fixture_deinit(&fixture);
}

static struct os_file *copy_file(struct os_file *from)
{
    struct os_file *to;
    uint64_t size;
    uint8_t *bytes;

    assert_int_equal(os_memory_file_create(&to), 0);
    assert_int_equal(os_file_get_size(from, &size), 0);
    bytes = malloc(size);
    assert_non_null(bytes);
    assert_int_equal(os_file_read(from, bytes, size, 0), 0);
    assert_int_equal(os_file_write(to, bytes, size, 0), 0);
    free(bytes);
    return to;
}

/* The power goes at the n-th call of a truncate that takes several transactions, each made durable. */
static bool cut_at(struct os_file *base, uint64_t inode, uint64_t n, struct base_random *random)
{
    const uint64_t all = (CHUNKS - 1) * (uint64_t)FS_CHUNK_SIZE + STORE_BLOCK_SIZE;
    struct fault_file *fault = fault_file_create(copy_file(base));
    struct fs_changes changes = {.set = FS_SET_SIZE, .size = 3 * FS_CHUNK_SIZE};
    struct fs_attributes attributes;
    struct os_file *crashed;
    struct fs *fs = open_file(fault_file_seam(fault), 0, false);
    bool cut;

    fault_file_cut_power(fault, n);
    (void)fs_set_attributes(fs, &root_caller, inode, &changes, &attributes);
    (void)fs_sync(fs);
    (void)fs_close(fs);
    cut = fault_file_is_cut(fault);
    crashed = fault_file_crash(fault, random);
    os_file_close(fault_file_seam(fault));

    fs = open_file(crashed, 0, true);
    assert_clean(fs);
    assert_int_equal(fs_close(fs), 0);
    fs = open_file(crashed, 0, false);
    if (get_attributes(fs, inode).size == all) {
        assert_true(cut);
        expect_chunks(fs, inode, CHUNKS, all);
    } else {
        expect_chunks(fs, inode, 3, changes.size);
        expect_no_freeing(fs, inode);
        set_size(fs, inode, all);
        expect_chunks(fs, inode, 3, all);
    }
    assert_int_equal(fs_sync(fs), 0);
    assert_clean(fs);
    assert_int_equal(fs_close(fs), 0);
    os_file_close(crashed);
    return cut;
}

static void test_power_cut(void **state)
{
    struct base_random random;
    struct fixture fixture;
    uint64_t inode, n = 1;

    (void)state;
    base_random_seed(&random, test_seed("test_content_freeing", 5));
    fixture_init(&fixture, 4096, 0);
    inode = make_large(fixture.fs, "file");
    assert_int_equal(fs_close(fixture.fs), 0);
    while (cut_at(fixture.file, inode, n, &random))
        n++;
    assert_true(n > 3);
    fixture_open(&fixture);
    fixture_deinit(&fixture);
}

/* A row that says that bytes of the file are being freed: nothing of them is lost, and the file can't grow over it. */
static void test_lying_row(void **state)
{
    const uint64_t all = (CHUNKS - 1) * (uint64_t)FS_CHUNK_SIZE + STORE_BLOCK_SIZE;
    struct fs_changes changes = {.set = FS_SET_SIZE, .size = CHUNKS * (uint64_t)FS_CHUNK_SIZE + 1};
    struct fs_attributes attributes;
    struct txn_need need;
    struct fixture fixture;
    uint8_t key[FS_KEY_SIZE_MAX];
    struct txn *txn;
    uint64_t inode;

    (void)state;
    fixture_init(&fixture, 16384, 0);
    inode = make_large(fixture.fs, "file");
    leave_freeing(fixture.fs, inode, 7);
    put_size(fixture.fs, inode, all);
    assert_int_equal(fs_content_free_steps(fixture.fs, inode, 7 * FS_CHUNK_SIZE), -EUCLEAN);
    assert_int_equal(fs_set_attributes(fixture.fs, &root_caller, inode, &changes, &attributes), -EUCLEAN);
    assert_int_equal(fs_write(fixture.fs, &root_caller, inode, changes.size, "x", 1), -EUCLEAN);
    fixture_reopen(&fixture);
    expect_chunks(fixture.fs, inode, CHUNKS, all);

    need = fs_content_need(fixture.fs, 1, 0, true);
    assert_int_equal(txn_begin(fixture.fs->engine, &need, &txn), 0);
    txn_lock(txn);
    assert_int_equal(
        btree_delete(fixture.fs->tree, txn, (struct btree_slice){key, fs_key_freeing(key, inode, 7 * FS_CHUNK_SIZE)}),
        0);
    txn_commit(txn);
    fixture_deinit(&fixture);
}

/* The next mount finishes. */
static void test_stop(void **state)
{
    struct fixture fixture;
    struct os_file *left;
    struct fs *fs;
    uint64_t inode;

    (void)state;
    fixture_init(&fixture, 8192, 0);
    inode = make_large(fixture.fs, "file");
    leave_freeing(fixture.fs, inode, 9);
    assert_int_equal(fs_sync(fixture.fs), 0);
    left = fault_file_crash(fixture.fault, NULL);
    fs = open_file(left, 0, true);
    assert_clean(fs);
    expect_chunks(fs, inode, 9, 9 * FS_CHUNK_SIZE);
    assert_int_equal(get_attributes(fs, inode).blocks, CHUNKS * 8);
    assert_int_equal(fs_close(fs), 0);
    fs = open_file(left, 0, false);
    expect_no_freeing(fs, inode);
    assert_int_equal(get_attributes(fs, inode).blocks, 9 * 8);
    assert_int_equal(fs_close(fs), 0);
    os_file_close(left);
    fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps), cmocka_unit_test(test_interrupted), cmocka_unit_test(test_growth_within_chunk),
        cmocka_unit_test(test_stop),  cmocka_unit_test(test_power_cut),   cmocka_unit_test(test_lying_row),
    };

    /* Failures are meant: their messages would only be in the way. */
    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
