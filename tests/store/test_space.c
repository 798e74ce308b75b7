/* The allocator by itself: what is reserved can always be allocated, whatever came before and whatever the order; the
 * capacity computed for another file size is what that size then gives; runs are long and follow their goals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "space.h"
#include "superblock.h"
#include "support/fault_file.h"
#include "support/test_seed.h"

enum { PAGES_MAX = 20000, RUNS_MAX = 20000, NODES_MAX = 4096 };

struct bench {
    struct space space;
    struct os_file *file;
    struct base_random random;
    uint64_t *pages; /* blocks */
    size_t page_count;
    struct store_run *runs;
    size_t run_count;
    uint64_t nodes[NODES_MAX];
    size_t node_count;
    uint64_t reserved_pages, reserved_content;
    bool has_reserved; /* once at least: there is room for nodes since */
};

static void bench_init(struct bench *bench, uint32_t page_blocks, struct os_file *file, uint64_t seed)
{
    memset(bench, 0, sizeof *bench);
    base_random_seed(&bench->random, seed);
    bench->file = file;
    assert_int_equal(os_file_allocate(file, 0, STORE_HEADER_BLOCKS * STORE_BLOCK_SIZE), 0);
    assert_int_equal(space_init(&bench->space, page_blocks, STORE_HEADER_BLOCKS), 0);
    bench->pages = calloc(PAGES_MAX, sizeof *bench->pages);
    bench->runs = calloc(RUNS_MAX, sizeof *bench->runs);
    assert_non_null(bench->pages);
    assert_non_null(bench->runs);
}

static void bench_deinit(struct bench *bench)
{
    space_deinit(&bench->space);
    free(bench->pages);
    free(bench->runs);
    os_file_close(bench->file);
}

static void bench_write_page(struct bench *bench)
{
    uint64_t page;

    if (bench->reserved_pages == 0 || bench->page_count == PAGES_MAX) {
        return;
    }
    assert_int_equal(page_numbers_take_lowest(&bench->space.numbers, &page), 0);
    assert_int_equal(space_allocate_page(&bench->space, &bench->pages[bench->page_count]), 0);
    assert_int_equal(bench->pages[bench->page_count] % bench->space.page_blocks, 0);
    bench->page_count++;
    bench->reserved_pages--;
}

static void bench_free_page(struct bench *bench)
{
    if (bench->page_count == 0) {
        return;
    }
    size_t i = base_random_below(&bench->random, bench->page_count);
    space_free_page(&bench->space, bench->pages[i]);
    bench->pages[i] = bench->pages[--bench->page_count];
    uint64_t page = page_numbers_next(&bench->space.numbers, base_random_below(&bench->random, bench->page_count + 1));
    assert_true(page != 0 && page_numbers_remove(&bench->space.numbers, page));
}

static void bench_allocate_run(struct bench *bench)
{
    uint32_t wanted = (uint32_t)(1 + base_random_below(&bench->random, 300));
    uint64_t goal = base_random_below(&bench->random, bench->space.block_count);
    struct store_run *run = &bench->runs[bench->run_count];

    if (bench->reserved_content == 0 || bench->run_count == RUNS_MAX) {
        return;
    }
    assert_int_equal(space_allocate_content(&bench->space, wanted, goal, run), 0);
    assert_true(run->count >= 1 && run->count <= wanted);
    bench->reserved_content -= run->count;
    bench->run_count++;
}

static void bench_free_run(struct bench *bench)
{
    if (bench->run_count > 0) {
        size_t i = base_random_below(&bench->random, bench->run_count);
        space_cancel_content(&bench->space, bench->runs[i]);
        bench->runs[i] = bench->runs[--bench->run_count];
    }
}

/* The bound for the nodes of one map and bitmap, from what is kept back (see reserve.c). */
static uint64_t bench_node_bound(struct bench *bench)
{
    uint64_t kept = space_node_reserve(&bench->space, bench->space.block_count, 0);
    uint64_t used = bench->space.node_blocks;

    return kept > used ? (kept + used) / 2 : kept;
}

/* A checkpoint that writes as many nodes as there can be while the old ones stand. */
static void bench_checkpoint(struct bench *bench)
{
    size_t old_count = bench->node_count;
    uint64_t bound = bench_node_bound(bench);

    if (!bench->has_reserved) {
        return;
    }
    for (uint64_t i = 0; i < bound && bench->node_count < NODES_MAX; i++) {
        assert_int_equal(space_allocate_node(&bench->space, &bench->nodes[bench->node_count]), 0);
        bench->node_count++;
    }
    for (size_t i = 0; i < old_count; i++) {
        space_free_node(&bench->space, bench->nodes[i]);
    }
    bench->node_count -= old_count;
    memmove(bench->nodes, bench->nodes + old_count, bench->node_count * sizeof bench->nodes[0]);
}

static void bench_reserve(struct bench *bench)
{
    const struct store_need need = {
        .pages = base_random_below(&bench->random, 60),
        .content_blocks = base_random_below(&bench->random, 1000),
        .may_use_emergency = base_random_below(&bench->random, 4) == 0,
    };
    int result = space_reserve(&bench->space, bench->file, &need);

    assert_true(result == 0 || result == -ENOSPC);
    if (result == 0) {
        bench->has_reserved = true;
        bench->reserved_pages += need.pages;
        bench->reserved_content += need.content_blocks;
    }
}

static void compare_capacity(struct space_capacity a, struct space_capacity b)
{
    assert_int_equal(a.page_slots, b.page_slots);
    assert_int_equal(a.content_blocks, b.content_blocks);
    assert_int_equal(a.empty_zones, b.empty_zones);
    assert_int_equal(a.special_count, b.special_count);
    for (unsigned i = 0; i < a.special_count; i++) {
        assert_int_equal(a.special[i], b.special[i]);
    }
}

/* From the zones themselves. */
static struct space_capacity count_capacity(const struct space *space)
{
    struct space_capacity capacity = {0};

    for (uint64_t zone = 0; zone < space->zone_count; zone++) {
        const struct zone *z = &space->zones[zone];
        uint32_t usable = zone_usable(zone, space->block_count);
        if (z->kind == ZONE_PAGES) {
            capacity.page_slots += (usable - z->used_count) / space->page_blocks;
        } else if (z->kind == ZONE_CONTENTS) {
            capacity.content_blocks += usable - z->used_count;
        } else if (z->kind == ZONE_EMPTY && usable == STORE_ZONE_BLOCKS) {
            capacity.empty_zones++;
        } else if (z->kind == ZONE_EMPTY && usable > 0) {
            capacity.special[capacity.special_count++] = usable;
        }
    }
    return capacity;
}

/* What is said of other sizes is so when the file has them. */
static void bench_resize(struct bench *bench)
{
    struct space *space = &bench->space;
    uint64_t old_size = space->block_count;

    base_mutex_lock(&space->mutex);
    compare_capacity(space_get_capacity(space, old_size), count_capacity(space));
    uint64_t least_size = space_shrunk_size(space);
    uint64_t size = least_size + base_random_below(&bench->random, 3000);
    size -= size % STORE_SIZE_UNIT_BLOCKS;
    struct space_capacity expected = space_get_capacity(space, size);
    assert_int_equal(space_resize(space, size), 0);
    compare_capacity(expected, count_capacity(space));
    compare_capacity(space_get_capacity(space, size), count_capacity(space));
    expected = space_get_capacity(space, old_size);
    assert_int_equal(space_resize(space, old_size), 0);
    compare_capacity(expected, count_capacity(space));
    base_mutex_unlock(&space->mutex);
}

static void bench_step(struct bench *bench)
{
    switch (base_random_below(&bench->random, 32)) {
    case 0:
    case 1:
        bench_reserve(bench);
        break;
    case 2:
        if (base_random_below(&bench->random, 8) == 0) {
            space_unreserve(&bench->space, bench->reserved_pages, bench->reserved_content);
            bench->reserved_pages = bench->reserved_content = 0;
        }
        break;
    case 3:
        bench_checkpoint(bench);
        break;
    case 4:
        bench_resize(bench);
        break;
    case 5:
    case 6:
    case 7:
        bench_free_run(bench);
        break;
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
        bench_free_page(bench);
        break;
    case 16:
    case 17:
    case 18:
    case 19:
    case 20:
        bench_allocate_run(bench);
        break;
    default:
        bench_write_page(bench);
        break;
    }
}

/* A host that grants only so much: the promises hold at its edge, too. */
static void test_reserved_fits(void **state)
{
    const uint32_t page_blocks = *(const uint32_t *)*state;
    uint64_t seed = test_seed("store_space", 1);
    int steps = test_is_long() ? 400000 : 30000;

    for (uint64_t host_zones = 4; host_zones < 40; host_zones += 9) {
        struct fault_file *fault = fault_file_create(NULL);
        struct bench *bench = malloc(sizeof *bench);
        assert_non_null(bench);
        bench_init(bench, page_blocks, fault_file_seam(fault), seed + host_zones);
        /* An odd size, so that the last zone is partial. */
        fault_file_set_host_size(fault, (host_zones * STORE_ZONE_BLOCKS + 16 * (host_zones % 7)) * STORE_BLOCK_SIZE);
        for (int i = 0; i < steps / 4; i++) {
            bench_step(bench);
        }
        while (bench->page_count > 0) {
            bench_free_page(bench);
        }
        while (bench->run_count > 0) {
            bench_free_run(bench);
        }
        for (size_t i = 0; i < bench->node_count; i++) {
            space_free_node(&bench->space, bench->nodes[i]);
        }
        assert_int_equal(bench->space.used_blocks, STORE_HEADER_BLOCKS);
        bench_deinit(bench);
        free(bench);
    }
}

static void test_long_runs(void **state)
{
    (void)state;
    struct bench *bench = malloc(sizeof *bench);
    const struct store_need need = {.content_blocks = 8192};
    struct os_file *file;
    struct store_run run = {0, 0};
    uint64_t calls = 0;

    assert_non_null(bench);
    assert_int_equal(os_memory_file_create(&file), 0);
    bench_init(bench, 1, file, 1);
    assert_int_equal(space_reserve(&bench->space, file, &need), 0);
    /* A sequential writer of 1 MiB at a time: every run is whole and follows the one before, but for zone borders. */
    uint64_t breaks = 0;
    for (uint64_t left = 8192; left > 0; left -= run.count) {
        uint64_t goal = run.block + run.count;
        assert_int_equal(space_allocate_content(&bench->space, left < 256 ? (uint32_t)left : 256, goal, &run), 0);
        breaks += goal != 0 && run.block != goal;
        calls++;
    }
    assert_true(calls <= 32 + 9);
    assert_int_equal(breaks, 0);
    bench_deinit(bench);
    free(bench);
}

/* Two writers without goals, freed in part: goals are kept where they are free. */
static void test_goal(void **state)
{
    (void)state;
    struct bench *bench = malloc(sizeof *bench);
    const struct store_need need = {.content_blocks = 300};
    struct store_run first, second, third;
    struct os_file *file;

    assert_non_null(bench);
    assert_int_equal(os_memory_file_create(&file), 0);
    bench_init(bench, 4, file, 1);
    assert_int_equal(space_reserve(&bench->space, file, &need), 0);
    assert_int_equal(space_allocate_content(&bench->space, 64, 0, &first), 0);
    assert_int_equal(space_allocate_content(&bench->space, 64, 0, &second), 0);
    assert_int_equal(second.block, first.block + 64);
    space_cancel_content(&bench->space, first);
    /* The hole is the goal. */
    assert_int_equal(space_allocate_content(&bench->space, 40, first.block + 8, &third), 0);
    assert_int_equal(third.block, first.block + 8);
    assert_int_equal(third.count, 40);
    /* A taken goal is no goal. */
    assert_int_equal(space_allocate_content(&bench->space, 40, third.block, &first), 0);
    assert_int_equal(first.count, 40);
    assert_true(first.block >= second.block + 64);
    bench_deinit(bench);
    free(bench);
}

/* Blocks of pages, nodes and contents mixed in one zone, as another allocator may have left them. */
static void test_mixed_zone(void **state)
{
    (void)state;
    struct space space;

    assert_int_equal(space_init(&space, 2, 4096), 0);
    assert_int_equal(space_mark(&space, SPACE_PAGE, 1024, 2), 0);
    assert_int_equal(space_mark(&space, SPACE_CONTENT, 1030, 5), 0);
    assert_int_equal(space_mark(&space, SPACE_NODE, 1040, 1), 0);
    assert_int_equal(space_mark(&space, SPACE_PAGE, 1050, 2), 0);
    assert_int_equal(space.zones[1].kind, ZONE_MIXED);
    assert_int_equal(space_mark(&space, SPACE_CONTENT, 1051, 1), -EUCLEAN);
    assert_int_equal(space_mark(&space, SPACE_CONTENT, 31, 1), -EUCLEAN);
    assert_int_equal(space_mark(&space, SPACE_CONTENT, 4090, 7), -EUCLEAN);
    base_mutex_lock(&space.mutex);
    assert_true(space_is_content(&space, (struct store_run){1030, 5}));
    assert_false(space_is_content(&space, (struct store_run){1030, 6}));
    assert_false(space_is_content(&space, (struct store_run){1024, 1}));
    assert_false(space_is_content(&space, (struct store_run){1040, 1}));
    assert_false(space_is_content(&space, (struct store_run){0, 1}));
    assert_false(space_is_content(&space, (struct store_run){UINT64_MAX, 2}));
    compare_capacity(space_get_capacity(&space, 4096), count_capacity(&space));
    base_mutex_unlock(&space.mutex);
    space_free_page(&space, 1024);
    space_free_page(&space, 1050);
    space_free_node(&space, 1040);
    assert_int_equal(space.zones[1].kind, ZONE_MIXED);
    space_deinit(&space);
}

/* Pages and contents at one and the same edge: an empty zone is not taken from the kind that needs it. */
static void test_zones_are_not_stolen(void **state)
{
    (void)state;
    struct fault_file *fault = fault_file_create(NULL);
    struct os_file *file = fault_file_seam(fault);
    struct bench *bench = malloc(sizeof *bench);
    struct store_need need = {.pages = 1, .content_blocks = 1, .may_use_emergency = true};

    assert_non_null(bench);
    bench_init(bench, 16, file, 3);
    fault_file_set_host_size(fault, 8 * STORE_ZONE_BLOCKS * STORE_BLOCK_SIZE);
    while (space_reserve(&bench->space, file, &need) == 0) {
        bench->reserved_pages += need.pages;
        bench->reserved_content += need.content_blocks;
        need.pages = base_random_below(&bench->random, 3);
        need.content_blocks = base_random_below(&bench->random, 40);
    }
    /* Contents first, with goals at the begin of every zone. */
    for (uint64_t zone = 0; bench->reserved_content > 0; zone = (zone + 1) % 8) {
        struct store_run run;
        assert_int_equal(space_allocate_content(&bench->space, 7, zone * STORE_ZONE_BLOCKS, &run), 0);
        bench->reserved_content -= run.count;
    }
    while (bench->reserved_pages > 0) {
        bench_write_page(bench);
    }
    bench_deinit(bench);
    free(bench);
}

/* 16 TiB: tables stay small, what is far behind is found, sizes are 64 bits throughout. */
static void test_large(void **state)
{
    (void)state;
    const uint64_t block_count = UINT64_C(1) << 32;
    const struct store_need need = {100, 5000, false};
    struct os_file *file;
    struct store_run run;
    struct space space;
    uint64_t page;

    assert_int_equal(os_memory_file_create(&file), 0);
    assert_int_equal(space_init(&space, 4, block_count), 0);
    assert_int_equal(space_mark(&space, SPACE_CONTENT, 32, block_count / 1024), 0);
    assert_int_equal(space_mark(&space, SPACE_CONTENT, block_count - 1000, 1000), 0);
    assert_int_equal(space_mark(&space, SPACE_PAGE, block_count - 8192, 4), 0);
    assert_int_equal(space_mark(&space, SPACE_NODE, block_count - 1001, 1), 0);
    assert_int_equal(space_reserve(&space, file, &need), 0);
    assert_int_equal(space_allocate_page(&space, &page), 0);
    assert_true(page > block_count / 1024);
    space.content_cursor = block_count - 1000;
    assert_int_equal(space_allocate_content(&space, 20, block_count - 1024, &run), 0);
    assert_int_equal(run.block, block_count - 1024);
    assert_int_equal(run.count, 20);
    base_mutex_lock(&space.mutex);
    compare_capacity(space_get_capacity(&space, block_count), count_capacity(&space));
    assert_true(space_is_content(&space, (struct store_run){block_count - 1000, 1000}));
    assert_int_equal(space_shrunk_size(&space), block_count);
    base_mutex_unlock(&space.mutex);
    space_deinit(&space);
    os_file_close(file);
}

static void allocate_pages(struct bench *bench, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t block;
        assert_int_equal(space_allocate_page(&bench->space, &block), 0);
    }
}

/* Only one way to serve both kinds: pages in the smaller first zone, contents in the other. */
static void test_zones_of_two_sizes(void **state)
{
    (void)state;
    struct fault_file *fault = fault_file_create(NULL);
    struct bench *bench = malloc(sizeof *bench);

    assert_non_null(bench);
    bench_init(bench, 16, fault_file_seam(fault), 1);
    fault_file_set_host_size(fault, 2ULL * STORE_ZONE_BLOCKS * STORE_BLOCK_SIZE);
    uint64_t node_blocks = space_node_reserve(&bench->space, 2048, 62);
    const struct store_need need = {62, STORE_ZONE_BLOCKS - node_blocks, true};
    assert_int_equal(space_reserve(&bench->space, bench->file, &need), 0);
    for (uint64_t left = need.content_blocks; left > 0;) {
        struct store_run run;
        assert_int_equal(space_allocate_content(&bench->space, 100, 0, &run), 0);
        left -= run.count;
    }
    allocate_pages(bench, 62);
    bench_deinit(bench);
    free(bench);
}

/* Contents could have a longer run in the last empty zone, but it is promised to pages. goal, cursor: ways to take it.
 */
static void run_promised_zone(bool use_goal, bool use_cursor)
{
    struct fault_file *fault = fault_file_create(NULL);
    struct bench *bench = malloc(sizeof *bench);
    const struct store_need contents = {0, 992 + 1024 - 100, true};
    const struct store_need both = {64, 200, true};
    size_t run_count = 0;

    assert_non_null(bench);
    bench_init(bench, 16, fault_file_seam(fault), 1);
    fault_file_set_host_size(fault, 3ULL * STORE_ZONE_BLOCKS * STORE_BLOCK_SIZE);
    assert_int_equal(space_reserve(&bench->space, bench->file, &contents), 0);
    for (uint64_t left = contents.content_blocks; left > 0;) {
        assert_int_equal(space_allocate_content(&bench->space, 4, 0, &bench->runs[run_count]), 0);
        left -= bench->runs[run_count++].count;
    }
    for (size_t i = 0; i < run_count; i += 2) {
        space_cancel_content(&bench->space, bench->runs[i]);
    }
    assert_int_equal(space_reserve(&bench->space, bench->file, &both), 0);
    assert_int_equal(bench->space.zones[2].kind, ZONE_EMPTY);
    for (uint64_t left = both.content_blocks; left > 0;) {
        struct store_run run;
        if (use_cursor) {
            bench->space.content_cursor = 2 * STORE_ZONE_BLOCKS;
        }
        uint64_t goal = use_goal ? 2 * STORE_ZONE_BLOCKS : 0;
        assert_int_equal(space_allocate_content(&bench->space, 64, goal, &run), 0);
        assert_true(run.block < 2 * STORE_ZONE_BLOCKS);
        left -= run.count < left ? run.count : left;
    }
    allocate_pages(bench, 64);
    bench_deinit(bench);
    free(bench);
}

static void test_promised_zone(void **state)
{
    (void)state;
    run_promised_zone(false, false);
    run_promised_zone(true, false);
    run_promised_zone(false, true);
}

int main(void)
{
    static uint32_t blocks[] = {1, 2, 4, 8, 16};
    const struct CMUnitTest tests[] = {
        {"what is reserved fits, 1 block a page", test_reserved_fits, NULL, NULL, &blocks[0]},
        {"what is reserved fits, 2 blocks a page", test_reserved_fits, NULL, NULL, &blocks[1]},
        {"what is reserved fits, 4 blocks a page", test_reserved_fits, NULL, NULL, &blocks[2]},
        {"what is reserved fits, 8 blocks a page", test_reserved_fits, NULL, NULL, &blocks[3]},
        {"what is reserved fits, 16 blocks a page", test_reserved_fits, NULL, NULL, &blocks[4]},
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_goal),
        cmocka_unit_test(test_mixed_zone),
        cmocka_unit_test(test_zones_are_not_stolen),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_zones_of_two_sizes),
        cmocka_unit_test(test_promised_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
