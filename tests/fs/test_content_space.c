/* A full disk: -ENOSPC, nothing changed by the request that met it, and what is deleted can be written again. */
#include "content_fixture.h"

#define WRITE_SIZE (300U << 10)
#define ROUNDS     3U

static uint8_t bytes[WRITE_SIZE], back[WRITE_SIZE];

/* Appends until the disk is full; returns how many requests went through. */
static unsigned fill(struct fs *fs, uint64_t inode)
{
    unsigned count = 0;

    for (;;) {
        int64_t result;

        fill_pattern(bytes, sizeof bytes, count);
        result = fs_write(fs, &root_caller, inode, (uint64_t)count * WRITE_SIZE, bytes, WRITE_SIZE);
        if (result == -ENOSPC)
            return count;
        assert_int_equal(result, WRITE_SIZE);
        count++;
    }
}

static void expect_filled(struct fs *fs, uint64_t inode, unsigned count)
{
    struct fs_attributes attributes = get_attributes(fs, inode);

    assert_int_equal(attributes.size, (uint64_t)count * WRITE_SIZE);
    assert_int_equal(attributes.blocks, attributes.size / 512);
    for (unsigned i = 0; i < count; i++) {
        fill_pattern(bytes, sizeof bytes, i);
        assert_int_equal(fs_read(fs, inode, (uint64_t)i * WRITE_SIZE, back, WRITE_SIZE), WRITE_SIZE);
        assert_memory_equal(back, bytes, WRITE_SIZE);
    }
}

static void test_full(uint32_t page_size)
{
    struct fixture fixture;
    unsigned first = 0;

    fixture_init(&fixture, page_size, 0);
    fault_file_set_host_size(fixture.fault, 24U << 20);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t inode = make_file(fixture.fs, "file");
        unsigned count = fill(fixture.fs, inode);

        assert_true(count > 0);
        if (round == 0)
            first = count;
        assert_true(count + count / 4 + 1 >= first); /* the space came back */
        expect_filled(fixture.fs, inode, count);
        assert_int_equal(fs_write(fixture.fs, &root_caller, inode, (uint64_t)count * WRITE_SIZE, bytes, WRITE_SIZE),
                         -ENOSPC);
        expect_filled(fixture.fs, inode, count);
        assert_clean(fixture.fs);
        fixture_reopen(&fixture);
        expect_filled(fixture.fs, inode, count);
        if (round == 0)
            set_size(fixture.fs, inode, 12345); /* needs a block itself */
        assert_int_equal(fs_unlink(fixture.fs, FS_ROOT_INODE, "file"), 0);
        fixture_reopen(&fixture);
    }
    fixture_deinit(&fixture);
}

static void test_full_disk(void **state)
{
    (void)state;
    test_full(4096);
    test_full(16384);
    test_full(65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full_disk)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
