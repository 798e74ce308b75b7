/* store_check finds each kind of damage in superblocks, header, page map and bitmap, and says so; what a power cut
 * leaves is a note. Damage that opening would refuse is made beneath an open store: nodes are written with checksums
 * made right, up to the store's own copy of the superblock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/message.h"
#include "internal.h"
#include "support/fault_file.h"

enum { PAGE_SIZE = 8192, PAGES = 20, CONTENT_BLOCKS = 30, SLOT_B = 16 * 4096 };

struct lines {
    unsigned count;
    char text[16][256];
};

struct world {
    struct fault_file *fault;
    struct os_file *file;
    struct store *store;
    struct lines problems, notes;
    bool cancels;
};

static void keep_line(struct lines *lines, const char *text)
{
    if (lines->count < 16) {
        snprintf(lines->text[lines->count], sizeof lines->text[0], "%s", text);
    }
    lines->count++;
}

static void keep_problem(void *context, const char *text)
{
    keep_line(&((struct world *)context)->problems, text);
}

static void keep_note(void *context, const char *text)
{
    keep_line(&((struct world *)context)->notes, text);
}

static bool has_line(const struct lines *lines, const char *part)
{
    for (unsigned i = 0; i < lines->count && i < 16; i++) {
        if (strstr(lines->text[i], part)) {
            return true;
        }
    }
    return false;
}

static bool watch_progress(void *context, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    return !((struct world *)context)->cancels;
}

static int run(struct world *world)
{
    struct store_check_report report = {
        .problem = keep_problem, .note = keep_note, .progress = watch_progress, .context = world};

    world->problems.count = world->notes.count = 0;
    int result = store_check(world->store, &report);
    assert_int_equal(report.problems, world->problems.count);
    assert_int_equal(report.notes, world->notes.count);
    return result;
}

static void write_page(struct store *store)
{
    const struct store_need need = {.pages = 1};
    uint8_t bytes[PAGE_SIZE];

    assert_int_equal(store_reserve(store, &need), 0);
    uint64_t page = store_page_number_allocate(store);
    memset(bytes, (int)page, sizeof bytes);
    assert_int_equal(store_page_write(store, page, bytes, false), 0);
}

static void write_contents(struct store *store, uint32_t count)
{
    const struct store_need need = {.content_blocks = count};
    static uint8_t bytes[CONTENT_BLOCKS * STORE_BLOCK_SIZE];

    assert_int_equal(store_reserve(store, &need), 0);
    while (count > 0) {
        struct store_run run;

        assert_int_equal(store_content_allocate(store, count, 0, &run), 0);
        assert_int_equal(store_content_write(store, run, bytes), 0);
        store_content_publish(store, run, NULL);
        count -= run.count;
    }
}

static void checkpoint(struct store *store)
{
    store_freeze(store);
    assert_int_equal(store_checkpoint(store), 0);
}

static void world_init(struct world *world)
{
    const struct store_format_options format = {.page_size = PAGE_SIZE, .label = "check"};
    const struct store_open_options options = {.read_only = false};
    struct base_reason reason;

    *world = (struct world){.fault = fault_file_create(NULL)};
    world->file = fault_file_seam(world->fault);
    assert_int_equal(store_format(world->file, &format), 0);
    assert_int_equal(store_open(world->file, &options, &world->store, &reason), 0);
    for (int i = 0; i < PAGES; i++) {
        write_page(world->store);
    }
    write_contents(world->store, CONTENT_BLOCKS);
    checkpoint(world->store);
    assert_int_equal(run(world), 0);
    for (unsigned i = 0; i < world->problems.count && i < 16; i++) {
        print_error("problem: %s\n", world->problems.text[i]);
    }
    assert_int_equal(world->problems.count, 0);
    assert_int_equal(world->notes.count, 0);
}

static void world_deinit(struct world *world)
{
    store_close(world->store);
    os_file_close(world->file);
}

/* --- Superblocks and header --------------------------------------------------------------------------------------- */

static void flip(struct world *world, uint64_t offset)
{
    uint8_t byte;

    assert_int_equal(os_file_read(world->file, &byte, 1, offset), 0);
    byte ^= 0x20;
    assert_int_equal(os_file_write(world->file, &byte, 1, offset), 0);
}

static void slot_torn(struct world *world)
{
    flip(world, 200);
}
static void slot_absent(struct world *world)
{
    static const uint8_t zeros[STORE_BLOCK_SIZE];

    assert_int_equal(os_file_write(world->file, zeros, sizeof zeros, SLOT_B), 0);
}
static void slot_older(struct world *world)
{
    struct superblock superblock = world->store->superblock;

    superblock.generation--;
    assert_int_equal(superblock_write_slot(world->file, 0, &superblock), 0);
}
static void slot_unreadable(struct world *world)
{
    fault_file_fail(world->fault, FAULT_READ, 1, EIO, true);
}
static void slot_foreign(struct world *world)
{
    struct superblock superblock = world->store->superblock;

    superblock.identifier[3] ^= 1;
    assert_int_equal(superblock_write_slot(world->file, 1, &superblock), 0);
}
static void slot_other_label(struct world *world)
{
    struct superblock superblock = world->store->superblock;

    superblock.label[0] = 'C';
    assert_int_equal(superblock_write_slot(world->file, 1, &superblock), 0);
}
static void slots_differ(struct world *world)
{
    struct superblock superblock = world->store->superblock;

    superblock.block_count += STORE_SIZE_UNIT_BLOCKS;
    assert_int_equal(superblock_write_slot(world->file, 1, &superblock), 0);
}
static void both_slots_torn(struct world *world)
{
    flip(world, 200);
    flip(world, SLOT_B + 200);
}
static void newest_unused(struct world *world)
{
    struct superblock superblock = world->store->superblock;

    superblock.generation++;
    assert_int_equal(superblock_write_slot(world->file, 1, &superblock), 0);
}
static void header_not_zero(struct world *world)
{
    flip(world, 20 * 4096 + 17);
}

/* --- Page map and bitmap ------------------------------------------------------------------------------------------ */

/* Changes the bytes of a tree's only node, and makes its checksum right. */
static void rewrite_root(struct world *world, struct radix_tree *tree, void (*change)(struct world *, uint8_t *))
{
    uint8_t node[STORE_BLOCK_SIZE];

    assert_int_equal(tree->height, 1);
    assert_int_equal(os_file_read(world->file, node, sizeof node, tree->root.block * STORE_BLOCK_SIZE), 0);
    change(world, node);
    assert_int_equal(os_file_write(world->file, node, sizeof node, tree->root.block * STORE_BLOCK_SIZE), 0);
    tree->root.checksum = node_checksum((struct node_id){tree->kind, 0, 0}, node);
}

static void name_twice(struct world *world, uint8_t *node)
{
    (void)world;
    radix_put_entry(node, 2, radix_get_entry(node, 1));
}
static void name_outside(struct world *world, uint8_t *node)
{
    struct node_ref entry = radix_get_entry(node, 2);

    entry.block = world->store->superblock.block_count;
    radix_put_entry(node, 2, entry);
}
static void name_free(struct world *world, uint8_t *node)
{
    struct node_ref entry = radix_get_entry(node, 2);

    entry.block = world->store->superblock.block_count - 2;
    radix_put_entry(node, 2, entry);
}
static void name_header(struct world *world, uint8_t *node)
{
    struct node_ref entry = radix_get_entry(node, 2);

    (void)world;
    entry.block = 2;
    radix_put_entry(node, 2, entry);
}
static void name_fewer(struct world *world, uint8_t *node)
{
    (void)world;
    radix_put_entry(node, 2, (struct node_ref){0, 0});
}
static void clear_node(struct world *world, uint8_t *node)
{
    (void)world;
    memset(node, 0, STORE_BLOCK_SIZE);
}
/* A page counts as contents too. */
static void mark_page(struct world *world, uint8_t *node)
{
    struct base_reason reason;
    struct node_ref ref;

    assert_int_equal(store_map_find(world->store, 1, &ref, &reason), 0);
    node[ref.block / 8] |= (uint8_t)(1U << (ref.block % 8));
}
static void mark_beyond(struct world *world, uint8_t *node)
{
    (void)world;
    node[STORE_BLOCK_SIZE - 1] |= 0x80;
}

static void map_names_twice(struct world *world)
{
    rewrite_root(world, &world->store->superblock.map, name_twice);
}
static void map_names_outside(struct world *world)
{
    rewrite_root(world, &world->store->superblock.map, name_outside);
}
static void map_names_free(struct world *world)
{
    rewrite_root(world, &world->store->superblock.map, name_free);
}
static void map_names_header(struct world *world)
{
    rewrite_root(world, &world->store->superblock.map, name_header);
}
static void map_names_fewer(struct world *world)
{
    rewrite_root(world, &world->store->superblock.map, name_fewer);
}
static void map_node_empty(struct world *world)
{
    rewrite_root(world, &world->store->superblock.map, clear_node);
}
static void bitmap_marks_page(struct world *world)
{
    rewrite_root(world, &world->store->superblock.bitmap, mark_page);
}
static void bitmap_marks_beyond(struct world *world)
{
    rewrite_root(world, &world->store->superblock.bitmap, mark_beyond);
}
static void bitmap_node_empty(struct world *world)
{
    rewrite_root(world, &world->store->superblock.bitmap, clear_node);
}
static void map_node_damaged(struct world *world)
{
    flip(world, world->store->superblock.map.root.block * STORE_BLOCK_SIZE + 4000);
}
static void page_damaged(struct world *world)
{
    struct base_reason reason;
    struct node_ref ref;

    assert_int_equal(store_map_find(world->store, 7, &ref, &reason), 0);
    flip(world, ref.block * STORE_BLOCK_SIZE + 5000);
}
static void log_over_page(struct world *world)
{
    struct base_reason reason;
    struct node_ref ref;

    assert_int_equal(store_map_find(world->store, 7, &ref, &reason), 0);
    world->store->superblock.log.run_count = 1;
    world->store->superblock.log.runs[0] = (struct superblock_log_run){ref.block, 1};
}

static const struct {
    const char *name;
    void (*damage)(struct world *world);
    bool is_note;
    const char *line;
} kinds[] = {
#define PROBLEM(damage, line)                                                                                          \
    {                                                                                                                  \
#damage, damage, false, line                                                                                   \
    }
#define NOTE(damage, line)                                                                                             \
    {                                                                                                                  \
#damage, damage, true, line                                                                                    \
    }
    NOTE(slot_torn, "superblock slot A is torn"),
    NOTE(slot_absent, "superblock slot B is torn"),
    NOTE(slot_older, "superblock slot A is older"),
    PROBLEM(slot_unreadable, "the superblock can't be read"),
    PROBLEM(slot_foreign, "superblock slot B belongs to another database"),
    PROBLEM(slot_other_label, "superblock slot B belongs to another database"),
    PROBLEM(slots_differ, "differ, but have the same generation"),
    PROBLEM(both_slots_torn, "superblocks: superblock: wrong checksum"),
    PROBLEM(newest_unused, "newest superblock's state"),
    PROBLEM(header_not_zero, "block 20 of the header is not zero"),
    PROBLEM(map_names_twice, "is used twice"),
    PROBLEM(map_names_outside, "is outside of the file"),
    PROBLEM(map_names_free, "is free for the allocator"),
    PROBLEM(map_names_header, "is outside of the file"),
    PROBLEM(map_names_fewer, "the superblock counts 20 pages and 30 content blocks, there are 19 and 30"),
    PROBLEM(map_names_fewer, "the allocator counts"),
    PROBLEM(map_node_empty, "page map: leaf node 0 has no pages"),
    PROBLEM(bitmap_marks_page, "is used twice"),
    PROBLEM(bitmap_marks_beyond, "is outside of the file"),
    PROBLEM(bitmap_node_empty, "content bitmap: leaf node 0 has no bits"),
    PROBLEM(map_node_damaged, "wrong checksum"),
    PROBLEM(page_damaged, "page 7"),
    PROBLEM(log_over_page, "is used twice"),
#undef PROBLEM
#undef NOTE
};

static void test_each_kind(void **state)
{
    static struct world world;

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const struct lines *lines = kinds[i].is_note ? &world.notes : &world.problems;

        world_init(&world);
        kinds[i].damage(&world);
        assert_int_equal(run(&world), 0);
        if (!has_line(lines, kinds[i].line)) {
            for (unsigned k = 0; k < world.problems.count && k < 16; k++) {
                print_error("problem: %s\n", world.problems.text[k]);
            }
            fail_msg("%s: no line with \"%s\"", kinds[i].name, kinds[i].line);
        }
        assert_true(kinds[i].is_note ? world.problems.count == 0 : world.problems.count > 0);
        world_deinit(&world);
    }
}

static void test_cancel(void **state)
{
    static struct world world;

    (void)state;
    world_init(&world);
    for (int i = 0; i < 200; i++) {
        write_page(world.store);
    }
    checkpoint(world.store);
    assert_int_equal(run(&world), 0);
    world.cancels = true;
    assert_int_equal(run(&world), -ECANCELED);
    assert_int_equal(world.problems.count, 0);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind),
        cmocka_unit_test(test_cancel),
    };

    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
