/* Rows of chunks: what is encoded decodes to the same; no bytes whatever make the decoder accept blocks that are no
 * contents, or one block twice, or read past the row. */
#include "content_fixture.h"

#define ROUNDS    3000
#define FILE_SIZE (1U << 20)

/* Blocks that are contents, for rows to name. */
static struct store_run content_blocks(struct fixture *fixture)
{
    static uint8_t bytes[FILE_SIZE];
    struct store_run run;

    write_all(fixture->fs, make_file(fixture->fs, "blocks"), 0, bytes, sizeof bytes);
    assert_int_equal(store_content_next(fixture->fs->store, 0, &run), 0);
    assert_true(run.count >= 2 * FS_CHUNK_BLOCKS);
    return run;
}

static void make_chunk(struct base_random *random, struct store_run run, struct fs_chunk *ret_chunk)
{
    uint32_t density = (uint32_t)base_random_below(random, 5);
    uint64_t block = run.block + base_random_below(random, run.count - 2 * FS_CHUNK_BLOCKS + 1);

    memset(ret_chunk, 0, sizeof *ret_chunk);
    for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
        if (base_random_below(random, 4) > density)
            continue;
        if (base_random_below(random, 8) == 0 && block < run.block + run.count - FS_CHUNK_BLOCKS)
            block++; /* another run */
        ret_chunk->blocks[slot] = block++;
        if (base_random_below(random, 8) == 0) {
            ret_chunk->unwritten |= 1U << slot;
        } else {
            ret_chunk->checksums[slot] = base_random_next(random);
            ret_chunk->shared |= (uint32_t)(base_random_below(random, 8) == 0) << slot;
        }
    }
}

static void assert_same(const struct fs_chunk *a, const struct fs_chunk *b)
{
    assert_memory_equal(a->blocks, b->blocks, sizeof a->blocks);
    assert_memory_equal(a->checksums, b->checksums, sizeof a->checksums);
    assert_int_equal(a->unwritten, b->unwritten);
    assert_int_equal(a->shared, b->shared);
}

static void test_round_trip(void **state)
{
    struct fixture fixture;
    struct base_random random;
    struct store_run run;

    (void)state;
    base_random_seed(&random, test_seed("test_content_row round trip", 7));
    fixture_init(&fixture, 16384, 0);
    run = content_blocks(&fixture);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct fs_chunk chunk, decoded;
        struct base_reason reason;
        uint8_t row[FS_CHUNK_ROW_SIZE_MAX];
        size_t size;

        make_chunk(&random, run, &chunk);
        size = fs_chunk_encode(&chunk, row);
        assert_int_equal(size == 0, fs_chunk_count_blocks(&chunk) == 0);
        if (size == 0)
            continue;
        assert_int_equal(fs_chunk_decode(fixture.fs->store, (struct btree_slice){row, size}, &decoded, &reason), 0);
        assert_same(&chunk, &decoded);
    }
    fixture_deinit(&fixture);
}

/* What the decoder lets through must be as the rest of the code relies on it. */
static void assert_sound(struct store *store, const struct fs_chunk *chunk)
{
    uint8_t row[FS_CHUNK_ROW_SIZE_MAX];

    for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
        if (chunk->blocks[slot] == 0)
            continue;
        assert_true(store_content_is_valid(store, (struct store_run){chunk->blocks[slot], 1}));
        for (uint32_t other = 0; other < slot; other++) {
            if (chunk->blocks[slot] == chunk->blocks[other])
                assert_true((chunk->shared >> slot & chunk->shared >> other & 1U) != 0);
        }
    }
    assert_int_equal(chunk->shared & chunk->unwritten, 0);
    assert_true(fs_chunk_encode(chunk, row) > 0);
}

static void test_hostile(void **state)
{
    struct fixture fixture;
    struct base_random random;
    struct store_run run;
    unsigned accepted = 0;

    (void)state;
    base_random_seed(&random, test_seed("test_content_row hostile", 8));
    fixture_init(&fixture, 16384, 0);
    run = content_blocks(&fixture);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct fs_chunk chunk, decoded;
        struct base_reason reason = {""};
        uint8_t row[FS_CHUNK_ROW_SIZE_MAX];
        uint8_t *copy;
        size_t size;
        int ret;

        make_chunk(&random, run, &chunk);
        size = fs_chunk_encode(&chunk, row);
        if (size == 0)
            continue;
        for (uint64_t flips = 1 + base_random_below(&random, 3); flips > 0; flips--)
            row[base_random_below(&random, size < 40 ? size : 40)] ^= (uint8_t)(1U << base_random_below(&random, 8));
        if (base_random_below(&random, 4) == 0)
            size = base_random_below(&random, size + 1);
        /* Of exactly that size, so that the address sanitizer sees a read past it. */
        copy = malloc(size > 0 ? size : 1);
        assert_non_null(copy);
        memcpy(copy, row, size);
        ret = fs_chunk_decode(fixture.fs->store, (struct btree_slice){copy, size}, &decoded, &reason);
        if (ret == 0) {
            accepted++;
            assert_sound(fixture.fs->store, &decoded);
        } else {
            assert_int_equal(ret, -EUCLEAN);
            assert_true(reason.text[0] != '\0');
        }
        free(copy);
    }
    assert_true(accepted > 0 && accepted < ROUNDS);
    fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_hostile)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
