/* Page map and content bitmap: radix trees whose nodes are the input's, walked, asked, changed; then a store opened
 * over them and used. (layer: store)
 *
 *      input: flags (1) | page size (1) | map: height (1) block (2) | bitmap: height (1) block (2)
 *             | size of the script (1) | script | blocks (image.h)
 *      flags: 1 checksums and counts are made right */
#include "fuzz.h"
#include "fuzz_file.h"
#include "image.h"
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FLAG_FIX = 1,
    FILE_BLOCKS = 4096, /* four zones */
    CHANGES_MAX = 16,
    STEPS_MAX = 32,
    PAGES_READ_MAX = 256,
    CACHE_SIZE = 64 << 10,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_set_messages();
    return 0;
}

static void put_superblocks(struct fuzz_reader *reader, struct superblock *ret_superblock)
{
    struct superblock superblock = {
        .page_size = STORE_PAGE_SIZE_MIN << (fuzz_take_8(reader) % 5),
        .generation = 1,
        .block_count = FILE_BLOCKS,
        .map = {.kind = NODE_MAP},
        .bitmap = {.kind = NODE_BITMAP},
    };
    superblock.map.height = fuzz_take_8(reader) % (RADIX_HEIGHT_MAX + 1);
    superblock.map.root.block = fuzz_take_16(reader);
    superblock.bitmap.height = fuzz_take_8(reader) % (RADIX_HEIGHT_MAX + 1);
    superblock.bitmap.root.block = fuzz_take_16(reader);
    for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
        superblock_encode(&superblock, fuzz_file_bytes() + superblock_place(slot) * STORE_BLOCK_SIZE);
        fuzz_file_touch(superblock_place(slot) * STORE_BLOCK_SIZE, STORE_BLOCK_SIZE);
    }
    *ret_superblock = superblock;
}

/* --- The trees alone ---------------------------------------------------------------------------------------------- */

struct walk {
    unsigned nodes, leaves, damaged;
};

static int visit_node(void *context, uint64_t block, struct base_reason *ret_reason)
{
    struct walk *walk = context;

    if (++walk->nodes > FILE_BLOCKS || block >= FILE_BLOCKS) { /* as each user does: it bounds the walk */
        base_reason_set(ret_reason, "too many nodes");
        return -ERANGE;
    }
    return 0;
}

static int visit_leaf(void *context, uint64_t leaf, const uint8_t *node, struct base_reason *ret_reason)
{
    struct walk *walk = context;

    (void)leaf, (void)node, (void)ret_reason;
    walk->leaves++;
    return 0;
}

static void visit_damaged(void *context, const struct base_reason *reason)
{
    struct walk *walk = context;

    FUZZ_EXPECT(reason->text[0] != '\0');
    walk->damaged++;
}

static int change_leaf(void *context, uint8_t *node, const struct radix_change *changes, size_t count,
                       bool *ret_changed)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        radix_put_entry(node, changes[i].first, changes[i].entry);
    }
    *ret_changed = count > 0;
    return 0;
}

static int allocate_node(void *context, uint64_t *ret_block)
{
    uint64_t *next = context;

    *ret_block = (*next)++;
    return 0;
}

static int release_node(void *context, uint64_t block)
{
    (void)context;
    return block == 0 ? -EINVAL : 0;
}

static void change_tree(struct node_cache *cache, struct os_file *file, const struct radix_tree *tree,
                        struct fuzz_reader *script)
{
    struct radix_change changes[CHANGES_MAX];
    uint64_t next_block = FILE_BLOCKS;
    struct radix_update update = {.cache = cache,
                                  .file = file,
                                  .context = &next_block,
                                  .change_leaf = change_leaf,
                                  .allocate = allocate_node,
                                  .release = release_node};
    struct base_reason reason = {""};
    struct radix_tree new_tree;
    size_t count = fuzz_take_8(script) % CHANGES_MAX;

    for (size_t i = 0; i < count; i++) {
        uint64_t page = fuzz_take_number(script) & RADIX_PAGE_NUMBER_MAX;
        changes[i] = (struct radix_change){.leaf = page / RADIX_PAGES_PER_LEAF,
                                           .order = i,
                                           .first = (uint32_t)(page % RADIX_PAGES_PER_LEAF),
                                           .entry = {fuzz_take_8(script), 7}};
    }
    if (radix_apply(&update, tree, changes, count, &new_tree, &reason) < 0 || tree->kind != NODE_MAP) {
        return;
    }
    struct node_ref entry; /* the last of the changes is the greatest page's: it is there */
    for (size_t i = 0; i < count; i++) {
        uint64_t page = changes[i].leaf * RADIX_PAGES_PER_LEAF + changes[i].first;
        FUZZ_EXPECT(radix_find_page(cache, &new_tree, page, &entry, &reason) == 0);
        bool is_last = i + 1 == count || changes[i + 1].leaf != changes[i].leaf;
        FUZZ_EXPECT(!is_last || entry.block == changes[i].entry.block);
    }
}

static void use_tree(struct os_file *file, const struct radix_tree *tree, struct fuzz_reader *script)
{
    static uint8_t node[NODE_SIZE];
    struct node_cache cache;
    struct walk walk = {0};
    struct radix_visitor visitor = {&walk, visit_node, visit_leaf, fuzz_take_8(script) % 2 ? visit_damaged : NULL};
    struct base_reason reason = {""};
    struct node_ref entry;

    FUZZ_EXPECT(node_cache_init(&cache, file, CACHE_SIZE) == 0);
    int result = radix_walk(&cache, tree, &visitor, &reason);
    FUZZ_EXPECT(result == 0 || reason.text[0] != '\0');
    for (unsigned i = fuzz_take_8(script) % 8; i > 0; i--) {
        uint64_t page = fuzz_take_number(script) & RADIX_PAGE_NUMBER_MAX;
        result = radix_find_page(&cache, tree, page, &entry, &reason);
        FUZZ_EXPECT(result <= 0);
        result = radix_read_leaf(&cache, tree, page / RADIX_PAGES_PER_LEAF, node, &reason);
        FUZZ_EXPECT(result <= 0);
    }
    change_tree(&cache, file, tree, script);
    node_cache_deinit(&cache);
}

/* --- A store over them -------------------------------------------------------------------------------------------- */

static void read_pages(struct store *store, uint8_t *buffer)
{
    uint64_t page = 0;

    for (unsigned i = 0; i < PAGES_READ_MAX && store_page_next(store, &page) == 0; i++) {
        int result = store_page_read(store, page, buffer);
        FUZZ_EXPECT(result == 0 || result == -EUCLEAN);
    }
}

static void checkpoint(struct store *store)
{
    store_freeze(store);
    int result = store_checkpoint(store);
    FUZZ_EXPECT(result <= 0);
}

static void step_write_page(struct store *store, struct fuzz_reader *script, uint8_t *buffer)
{
    struct store_need need = {.pages = 1};
    uint64_t page = 0;

    if (store_reserve(store, &need) < 0) {
        return;
    }
    if (fuzz_take_8(script) % 2) {
        page = store_page_number_allocate(store);
    } else if (store_page_next(store, &page) < 0) {
        store_unreserve(store, 1, 0);
        return;
    }
    memset(buffer, fuzz_take_8(script), store_get_page_size(store));
    FUZZ_EXPECT(store_page_write(store, page, buffer, false) <= 0);
}

static void step_contents(struct store *store, struct fuzz_reader *script)
{
    struct store_run run = {fuzz_take_number(script), 1 + (uint32_t)fuzz_take_8(script)};
    uint32_t count = 1 + (uint32_t)fuzz_take_8(script);
    struct store_need need = {.content_blocks = count};

    if (fuzz_take_8(script) % 2) {
        (void)store_content_next(store, run.block, &run);
    }
    if (store_content_is_valid(store, run) && store_content_prepare_free(store, run) == 0) {
        store_content_free(store, run);
    }
    if (store_reserve(store, &need) == 0) {
        FUZZ_EXPECT(store_content_allocate(store, count, 0, &run) == 0);
        FUZZ_EXPECT(run.count >= 1 && run.count <= count);
        if (fuzz_take_8(script) % 4) {
            store_content_publish(store, run, NULL);
        } else {
            store_content_cancel(store, run);
        }
        store_unreserve(store, 0, count - run.count);
    }
}

static void run_steps(struct store *store, struct fuzz_reader *script, uint8_t *buffer)
{
    for (unsigned i = 0; i < STEPS_MAX && script->size > 0; i++) {
        uint64_t page = 0;
        switch (fuzz_take_8(script) % 5) {
        case 0:
            step_write_page(store, script, buffer);
            break;
        case 1:
            if (store_page_next(store, &page) == 0) {
                store_page_free(store, page);
            }
            break;
        case 2:
            step_contents(store, script);
            break;
        case 3:
            checkpoint(store);
            break;
        default:
            read_pages(store, buffer);
            break;
        }
    }
    checkpoint(store);
    FUZZ_EXPECT(store_shrink(store) <= 0);
}

static void use_store(struct os_file *file, bool read_only, struct fuzz_reader *script, uint64_t *ret_problems)
{
    struct store_open_options options = {.read_only = read_only};
    struct store_check_report report = {0};
    struct base_reason reason = {""};
    struct store *store;

    *ret_problems = UINT64_MAX;
    fuzz_file_set_read_only(read_only);
    int result = store_open(file, &options, &store, &reason);
    FUZZ_EXPECT(result == 0 || (result > -4096 && reason.text[0] != '\0'));
    if (result == 0) {
        uint8_t *buffer = malloc(store_get_page_size(store));
        FUZZ_EXPECT(buffer);
        FUZZ_EXPECT(store_check(store, &report) == 0);
        *ret_problems = report.problems;
        read_pages(store, buffer);
        if (!read_only) {
            run_steps(store, script, buffer);
        }
        free(buffer);
        store_close(store);
    }
    fuzz_file_set_read_only(false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_reader reader = {data, size}, script;
    struct os_file *file = fuzz_file_reset();
    unsigned flags = fuzz_take_8(&reader);
    struct fuzz_reader header = reader;
    struct superblock superblock;
    const uint8_t *skipped;
    uint64_t before, after;

    fuzz_take_bytes(&reader, 7, &skipped);
    script.size = fuzz_take_bytes(&reader, fuzz_take_8(&reader), &script.data);
    image_decode(reader);
    fuzz_file_set_size((uint64_t)FILE_BLOCKS * STORE_BLOCK_SIZE);
    put_superblocks(&header, &superblock);
    if (flags & FLAG_FIX) {
        struct base_reason reason;
        image_fix();
        if (superblock_decode(fuzz_file_bytes(), &superblock, &reason) != SUPERBLOCK_VALID) {
            return 0;
        }
    }
    use_store(file, true, &script, &before);
    use_tree(file, &superblock.map, &script);
    use_tree(file, &superblock.bitmap, &script);
    if (script.size > 0) {
        use_store(file, false, &script, &after);
        use_store(file, true, &script, &after);
        FUZZ_EXPECT(before != 0 || after == 0);
    }
    return 0;
}
