/* Tree nodes: pages of the input in a tiny tree, checked, searched, walked, changed. (layer: btree)
 *
 *      input: flags (1) | number of pages (1) | size of the script (2) | script | pages as blocks 0, 1, ... (image.h)
 *      flags: 1 the sums within the nodes are made right; 2 pages of 8 KiB, else of 4
 *
 * Page 1 of the tree is the input's first page, and so on. */
#include "fuzz.h"
#include "fuzz_file.h"
#include "image.h"
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FLAG_FIX = 1,
    FLAG_LARGE = 2,
    PAGES_MAX = 16,
    STEPS_MAX = 64,
    WALK_MAX = 100000, /* rows: more than all pages hold */
    POOL_SIZE = 1 << 20,
    CHANGES_PER_STEP = 8,
};

struct setup {
    struct os_file *file;
    struct store *store;
    struct pool *pool;
    struct txn_engine *engine;
    struct btree *tree;
    uint32_t page_size;
};

/* The next key to use. */
struct key {
    uint8_t bytes[BTREE_KEY_SIZE_MAX + 8];
    size_t size;
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_set_messages();
    return 0;
}

/* A store whose pages are these bytes. */
static int fill_store(struct setup *setup, uint8_t *pages, unsigned page_count, bool is_fixed)
{
    struct store_need need = {.pages = page_count};
    int result = store_reserve(setup->store, &need);

    for (unsigned i = 0; i < page_count && result == 0; i++) {
        uint8_t *page = pages + (size_t)i * setup->page_size;
        if (is_fixed) {
            image_fix_tree_node(page, setup->page_size);
        }
        result = store_page_write(setup->store, store_page_number_allocate(setup->store), page, false);
    }
    if (result == 0) {
        store_freeze(setup->store);
        result = store_checkpoint(setup->store);
    }
    return result;
}

static int open_setup(struct setup *setup, uint8_t *pages, unsigned page_count, bool is_fixed)
{
    struct store_format_options format_options = {.page_size = setup->page_size};
    struct store_open_options open_options = {.node_cache_size = 0};
    struct pool_options pool_options = {.size = POOL_SIZE, .check_page = btree_check_page};
    struct txn_engine_options engine_options = {0};
    struct base_reason reason;

    FUZZ_EXPECT(store_format(setup->file, &format_options) == 0);
    FUZZ_EXPECT(store_open(setup->file, &open_options, &setup->store, &reason) == 0);
    FUZZ_EXPECT(fill_store(setup, pages, page_count, is_fixed) == 0);
    FUZZ_EXPECT(pool_create(setup->store, &pool_options, &setup->pool) == 0);
    FUZZ_EXPECT(txn_engine_open(setup->store, setup->pool, &engine_options, &setup->engine) == 0);
    return btree_open(setup->engine, &setup->tree);
}

static void close_setup(struct setup *setup)
{
    btree_close(setup->tree);
    txn_engine_close(setup->engine);
    pool_destroy(setup->pool);
    store_close(setup->store);
}

/* Every key between the nodes' and around: the cursor's with a change, or the script's own. */
static void pick_key(struct fuzz_reader *script, const struct btree_cursor *cursor, bool is_standing, struct key *key)
{
    unsigned how = fuzz_take_8(script);
    const uint8_t *bytes;

    if (how < 128 && is_standing) {
        struct btree_slice found = btree_cursor_key(cursor);
        memcpy(key->bytes, found.bytes, found.size);
        key->size = found.size;
        if (how >= 96) {
            key->bytes[key->size++] = (uint8_t)how;
        } else if (how >= 64) {
            key->bytes[key->size - 1]++;
        } else if (how >= 48) {
            key->size--;
        }
        return;
    }
    key->size = fuzz_take_bytes(script, how % 24, &bytes);
    memcpy(key->bytes, bytes ? bytes : key->bytes, key->size);
    if (how >= 240) { /* long ones */
        size_t size = BTREE_KEY_SIZE_MAX - (how - 240);
        memset(key->bytes + key->size, 'k', size - key->size);
        key->size = size;
    }
}

static struct btree_slice slice_of(const struct key *key)
{
    return (struct btree_slice){key->bytes, key->size};
}

static int change(struct setup *setup, struct fuzz_reader *script, struct btree_cursor *cursor, bool is_standing)
{
    static uint8_t value[STORE_PAGE_SIZE_MAX];
    struct txn_need need = {.pages = CHANGES_PER_STEP * btree_pages_per_change(setup->tree)};
    unsigned count = 1 + fuzz_take_8(script) % CHANGES_PER_STEP;
    struct txn *txn;
    int error = txn_begin(setup->engine, &need, &txn);

    if (error) {
        return error;
    }
    txn_lock(txn);
    for (unsigned i = 0; i < count && !error; i++) {
        struct key key, to;
        uint32_t done = 0;
        pick_key(script, cursor, is_standing, &key);
        unsigned how = fuzz_take_8(script);
        size_t size = how % 5 == 0 ? btree_row_size_max(setup->page_size) - how / 5 : how;
        memset(value, (int)how, size);
        switch (fuzz_take_8(script) % 4) {
        case 0:
            error = btree_insert(setup->tree, txn, slice_of(&key), (struct btree_slice){value, size});
            break;
        case 1:
            error = key.size > 0 ? btree_put(setup->tree, txn, slice_of(&key), (struct btree_slice){value, size}) : 0;
            break;
        case 2:
            error = btree_delete(setup->tree, txn, slice_of(&key));
            break;
        default:
            pick_key(script, cursor, is_standing, &to);
            error = btree_delete_range(setup->tree, txn, slice_of(&key), slice_of(&to), 1, &done);
            FUZZ_EXPECT(error || done <= 1);
            break;
        }
        FUZZ_EXPECT(error <= 0 && error > -4096);
        if (error != -EUCLEAN && error != -EIO) {
            error = 0; /* the others leave everything as it was */
        }
    }
    if (error || fuzz_take_8(script) < 64) {
        txn_abort(txn);
    } else {
        txn_commit(txn);
    }
    return error;
}

/* From one end to the other; order and bounds on the way. */
static void walk(struct btree_cursor *cursor, bool is_forwards)
{
    struct key last = {.size = 0};
    bool has_last = false;
    unsigned rows = 0;
    int error = is_forwards ? btree_cursor_first(cursor, NULL) : btree_cursor_last(cursor, NULL);

    while (!error) {
        struct btree_slice key = btree_cursor_key(cursor);
        int order = has_last ? key_compare(slice_of(&last), key) : 0;
        FUZZ_EXPECT(!has_last || (is_forwards ? order < 0 : order > 0));
        memcpy(last.bytes, key.bytes, key.size);
        last.size = key.size;
        has_last = true;
        FUZZ_EXPECT(++rows < WALK_MAX);
        error = is_forwards ? btree_cursor_next(cursor, NULL) : btree_cursor_previous(cursor, NULL);
    }
    FUZZ_EXPECT(error == -ENOENT || error == -EUCLEAN);
}

static void run_script(struct setup *setup, struct fuzz_reader *script)
{
    static uint8_t buffer[STORE_PAGE_SIZE_MAX];
    struct btree_cursor *cursor;
    bool is_standing = false;

    FUZZ_EXPECT(btree_cursor_open(setup->tree, &cursor) == 0);
    walk(cursor, true);
    walk(cursor, false);
    for (unsigned i = 0; i < STEPS_MAX && script->size > 0; i++) {
        struct key key;
        size_t size;
        int error = 0;
        switch (fuzz_take_8(script) % 8) {
        case 0:
            pick_key(script, cursor, is_standing, &key);
            is_standing = (error = btree_cursor_seek(cursor, NULL, slice_of(&key))) == 0;
            break;
        case 1:
            pick_key(script, cursor, is_standing, &key);
            is_standing = (error = btree_cursor_seek_before(cursor, NULL, slice_of(&key))) == 0;
            break;
        case 2:
            is_standing = (error = btree_cursor_next(cursor, NULL)) == 0;
            break;
        case 3:
            is_standing = (error = btree_cursor_previous(cursor, NULL)) == 0;
            break;
        case 4:
            pick_key(script, cursor, is_standing, &key);
            error = btree_get(setup->tree, NULL, slice_of(&key), buffer, fuzz_take_8(script), &size);
            break;
        case 5:
            walk(cursor, true);
            is_standing = false;
            break;
        default:
            error = change(setup, script, cursor, is_standing);
            break;
        }
        FUZZ_EXPECT(error <= 0 && error > -4096);
    }
    btree_cursor_close(cursor);
}

static uint64_t verify(struct setup *setup)
{
    struct btree_verify_report report = {0};

    FUZZ_EXPECT(btree_verify(setup->tree, &report) == 0);
    return report.problems;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t pages[PAGES_MAX * 8192];
    struct fuzz_reader reader = {data, size}, script;
    unsigned flags = fuzz_take_8(&reader), page_count = 1 + fuzz_take_8(&reader) % PAGES_MAX;
    struct setup setup = {.page_size = flags & FLAG_LARGE ? 8192 : 4096};

    script.size = fuzz_take_bytes(&reader, fuzz_take_16(&reader), &script.data);
    fuzz_file_reset();
    image_decode(reader);
    memcpy(pages, fuzz_file_bytes(), (size_t)page_count * setup.page_size);
    setup.file = fuzz_file_reset();
    if (open_setup(&setup, pages, page_count, flags & FLAG_FIX) == 0) {
        uint64_t problems = verify(&setup);
        run_script(&setup, &script);
        FUZZ_EXPECT(verify(&setup) == 0 || problems > 0);
        FUZZ_EXPECT(txn_engine_sync(setup.engine) <= 0);
    }
    close_setup(&setup);
    return 0;
}
