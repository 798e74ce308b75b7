/* Power cuts and failing hosts during writes, truncates and fallocates of one file: what is found afterwards is the
 * file as some operation left it, none older than the last one whose sync was acknowledged; never a mixture. */
#include "content_fixture.h"

#include <limits.h>
#include <linux/falloc.h>

#define OPERATIONS  14U
#define MODEL_SIZE  (600U << 10)
#define NO_MODE     UINT_MAX
#define ROUNDS      2U
#define ROUNDS_LONG 100U

/* The file after each operation; 0: before the first. */
struct history {
    uint8_t *bytes[OPERATIONS + 1];
    uint64_t sizes[OPERATIONS + 1];
    uint64_t offsets[OPERATIONS + 1]; /* of the write or fallocate; UINT64_MAX: a truncate */
    unsigned modes[OPERATIONS + 1];   /* of a fallocate; NO_MODE: a write */
    uint64_t lengths[OPERATIONS + 1];
};

static uint64_t pick(struct base_random *random)
{
    static const uint64_t limits[] = {1, 768, FS_INLINE_MAX, STORE_BLOCK_SIZE, FS_CHUNK_SIZE};

    return limits[base_random_below(random, 5)] * base_random_below(random, 4) + base_random_below(random, 3);
}

static void plan_allocate(struct history *history, struct base_random *random, unsigned i)
{
    static const unsigned modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    uint64_t offset = history->offsets[i], end = offset + history->lengths[i], size = history->sizes[i];
    unsigned mode = modes[base_random_below(random, 5)];

    history->modes[i] = mode;
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0 && offset < size)
        memset(history->bytes[i] + offset, 0, (end < size ? end : size) - offset);
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && end > size)
        history->sizes[i] = end;
}

static void plan_history(struct history *history, struct base_random *random)
{
    history->bytes[0] = calloc(MODEL_SIZE, 1);
    assert_non_null(history->bytes[0]);
    history->sizes[0] = 0;
    for (unsigned i = 1; i <= OPERATIONS; i++) {
        uint64_t offset = pick(random), length = 1 + base_random_below(random, 150000);

        history->bytes[i] = malloc(MODEL_SIZE);
        assert_non_null(history->bytes[i]);
        memcpy(history->bytes[i], history->bytes[i - 1], MODEL_SIZE);
        history->sizes[i] = history->sizes[i - 1];
        if (base_random_below(random, 4) == 0) {
            history->offsets[i] = UINT64_MAX;
            if (offset < history->sizes[i])
                memset(history->bytes[i] + offset, 0, history->sizes[i] - offset);
            history->sizes[i] = offset;
            continue;
        }
        history->offsets[i] = offset;
        history->lengths[i] = length;
        history->modes[i] = NO_MODE;
        if (base_random_below(random, 3) == 0) {
            plan_allocate(history, random, i);
            continue;
        }
        fill_pattern(history->bytes[i] + offset, length, base_random_next(random));
        if (offset + length > history->sizes[i])
            history->sizes[i] = offset + length;
    }
}

static void drop_history(struct history *history)
{
    for (unsigned i = 0; i <= OPERATIONS; i++)
        free(history->bytes[i]);
}

static int do_operation(struct fs *fs, uint64_t inode, const struct history *history, unsigned i)
{
    struct fs_changes changes = {.set = FS_SET_SIZE, .size = history->sizes[i]};
    struct fs_attributes attributes;
    int64_t result;

    if (history->offsets[i] == UINT64_MAX)
        return fs_set_attributes(fs, &root_caller, inode, &changes, &attributes);
    if (history->modes[i] != NO_MODE)
        return fs_allocate(fs, &root_caller, inode, history->modes[i], history->offsets[i], history->lengths[i]);
    result = fs_write(fs, &root_caller, inode, history->offsets[i], history->bytes[i] + history->offsets[i],
                      history->lengths[i]);
    return result < 0 ? (int)result : 0;
}

/* Which operation's state the file is in. */
static void expect_state(struct fs *fs, uint64_t inode, const struct history *history, unsigned first, unsigned last)
{
    uint64_t size = get_attributes(fs, inode).size;
    uint8_t *bytes = malloc(MODEL_SIZE);
    bool found = false;

    assert_non_null(bytes);
    assert_int_equal(fs_read(fs, inode, 0, bytes, MODEL_SIZE), size);
    for (unsigned i = first; i <= last && !found; i++)
        found = size == history->sizes[i] && memcmp(bytes, history->bytes[i], size) == 0;
    if (!found)
        fail_msg("the file is in none of the states %u to %u", first, last);
    free(bytes);
}

/* Runs the operations with a sync after every second one; *ret_acknowledged: the last that a sync covered; returns the
 * last that was accepted. */
static unsigned run_operations(struct fs *fs, uint64_t inode, const struct history *history, unsigned *ret_acknowledged)
{
    unsigned done = 0;

    *ret_acknowledged = 0;
    for (unsigned i = 1; i <= OPERATIONS; i++) {
        if (do_operation(fs, inode, history, i) < 0)
            break;
        done = i;
        if (i % 2 == 0 && fs_sync(fs) == 0)
            *ret_acknowledged = i;
    }
    return done;
}

static void expect_after_stop(struct fault_file *fault, uint64_t inode, const struct history *history, unsigned first,
                              unsigned last, struct base_random *random)
{
    struct os_file *left = fault_file_crash(fault, random);
    struct fs *fs = open_file(left, 1, false);

    expect_state(fs, inode, history, first, last);
    assert_int_equal(fs_sync(fs), 0);
    assert_clean(fs);
    assert_int_equal(fs_close(fs), 0);
    os_file_close(left);
}

static void begin(struct fixture *fixture, uint32_t page_size, uint64_t *ret_inode)
{
    fixture_init(fixture, page_size, 1);
    *ret_inode = make_file(fixture->fs, "file");
    assert_int_equal(fs_sync(fixture->fs), 0);
}

/* Cut at the n-th call; false when the run ended before. */
static bool cut_at(uint32_t page_size, const struct history *history, uint64_t n, struct base_random *random)
{
    struct fixture fixture;
    unsigned acknowledged, done;
    uint64_t inode;
    bool cut;

    begin(&fixture, page_size, &inode);
    fault_file_cut_power(fixture.fault, n);
    done = run_operations(fixture.fs, inode, history, &acknowledged);
    cut = fault_file_is_cut(fixture.fault);
    expect_after_stop(fixture.fault, inode, history, acknowledged, done, random);
    (void)fs_close(fixture.fs);
    os_file_close(fixture.file);
    return cut;
}

static void test_power_cuts(void **state)
{
    struct base_random random;
    unsigned rounds = test_is_long() ? ROUNDS_LONG : ROUNDS;

    (void)state;
    base_random_seed(&random, test_seed("test_content_power cuts", 21));
    for (unsigned round = 0; round < rounds; round++) {
        struct history history;
        uint64_t n = 1;

        plan_history(&history, &random);
        while (cut_at(page_sizes[round % PAGE_SIZE_COUNT], &history, n, &random))
            n++;
        assert_true(n > OPERATIONS);
        drop_history(&history);
    }
}

/* One call of the host fails. A write or sync that fails ends all writing; a read fails one operation only. What was
 * acknowledged stays readable, and the operation that failed left nothing. */
static void fail_at(enum fault_call call, uint64_t n, int error, const struct history *history,
                    struct base_random *random)
{
    struct fixture fixture;
    unsigned acknowledged, done;
    uint64_t inode;

    begin(&fixture, 4096, &inode);
    fault_file_fail(fixture.fault, call, n, error, false);
    done = run_operations(fixture.fs, inode, history, &acknowledged);
    fault_file_fail(fixture.fault, call, 0, 0, false);
    expect_state(fixture.fs, inode, history, done, done);
    expect_after_stop(fixture.fault, inode, history, acknowledged, done, random);
    (void)fs_close(fixture.fs);
    os_file_close(fixture.file);
}

static void test_failing_host(void **state)
{
    struct base_random random;
    struct history history;

    (void)state;
    base_random_seed(&random, test_seed("test_content_power failures", 22));
    plan_history(&history, &random);
    for (uint64_t n = 1; n <= 12; n++) {
        fail_at(FAULT_WRITE, n, EIO, &history, &random);
        fail_at(FAULT_WRITE, n, ENOSPC, &history, &random);
        fail_at(FAULT_READ, n, EIO, &history, &random);
        if (n <= 8) {
            fail_at(FAULT_SYNC, n, EIO, &history, &random);
            fail_at(FAULT_ALLOCATE, n, ENOSPC, &history, &random);
        }
    }
    drop_history(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_power_cuts), cmocka_unit_test(test_failing_host)};

    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
