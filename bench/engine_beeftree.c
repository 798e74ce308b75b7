/* Our tree over txn, pool and store as an engine of the comparison: no checkpoint while it runs (unless the pool fills
 * with dirty pages), batch_row_count rows in a transaction (1 is what a filesystem operation costs). */
#include "engine.h"

#include "btree/btree.h"
#include "os/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct engine {
    struct os_file *file;
    struct store *store;
    struct pool *pool;
    struct txn_engine *transactions;
    struct btree *tree;
    struct txn *txn;
    uint32_t batch_row_count, batch_used;
};

static void check(int result, const char *what)
{
    if (result < 0)
        engine_fail(what, strerror(-result));
}

static void begin_transaction(struct engine *engine, uint32_t pages)
{
    struct txn_need need = {.pages = pages};
    check(txn_begin(engine->transactions, &need, &engine->txn), "txn_begin");
    txn_lock(engine->txn);
}

static struct engine *beeftree_open(const struct engine_options *options)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        engine_fail("beeftree", "out of memory");
    struct base_reason reason;
    struct store_format_options format_options = {.page_size = options->page_size};
    struct store_open_options open_options = {.node_cache_size = 16U << 20};
    struct pool_options pool_options = {.size = options->cache_size, .check_page = btree_check_page};
    struct txn_engine_options engine_options = {.content_unsynced_max = 0};
    engine->batch_row_count = options->batch_row_count == 0 ? 1 : options->batch_row_count;
    check(os_file_open(options->path, OS_FILE_CREATE, &engine->file), "os_file_open");
    check(store_format(engine->file, &format_options), "store_format");
    check(store_open(engine->file, &open_options, &engine->store, &reason), "store_open");
    check(pool_create(engine->store, &pool_options, &engine->pool), "pool_create");
    check(txn_engine_open(engine->store, engine->pool, &engine_options, &engine->transactions), "txn_engine_open");
    begin_transaction(engine, 4);
    check(btree_format(engine->txn), "btree_format");
    txn_commit(engine->txn);
    check(btree_open(engine->transactions, &engine->tree), "btree_open");
    return engine;
}

static void beeftree_begin(struct engine *engine)
{
    engine->batch_used = 0;
}

/* A transaction with room for one more row. */
static void need_transaction(struct engine *engine)
{
    if (engine->batch_used == 0)
        begin_transaction(engine, engine->batch_row_count * btree_pages_per_change(engine->tree));
    engine->batch_used++;
}

static void finish_row(struct engine *engine)
{
    if (engine->batch_used < engine->batch_row_count)
        return;
    txn_commit(engine->txn);
    engine->batch_used = 0;
}

static void beeftree_end(struct engine *engine)
{
    if (engine->batch_used != 0)
        txn_commit(engine->txn);
    engine->batch_used = 0;
}

static void beeftree_insert(struct engine *engine, const void *key, size_t key_size, const void *value,
                            size_t value_size)
{
    need_transaction(engine);
    check(btree_insert(engine->tree, engine->txn, (struct btree_slice){key, key_size},
                       (struct btree_slice){value, value_size}),
          "btree_insert");
    finish_row(engine);
}

static void beeftree_remove(struct engine *engine, const void *key, size_t key_size)
{
    need_transaction(engine);
    check(btree_delete(engine->tree, engine->txn, (struct btree_slice){key, key_size}), "btree_delete");
    finish_row(engine);
}

static void beeftree_read_nothing(struct engine *engine)
{
    (void)engine;
}

static uint64_t beeftree_read(struct engine *engine, const void *key, size_t key_size)
{
    uint8_t buffer[1024];
    size_t size;
    check(btree_get(engine->tree, NULL, (struct btree_slice){key, key_size}, buffer, sizeof(buffer), &size),
          "btree_get");
    return engine_sum(buffer, size);
}

static uint64_t beeftree_scan(struct engine *engine, uint64_t *ret_sum)
{
    struct btree_cursor *cursor;
    uint64_t count = 0;
    check(btree_cursor_open(engine->tree, &cursor), "btree_cursor_open");
    int result = btree_cursor_first(cursor, NULL);
    for (; result == 0; result = btree_cursor_next(cursor, NULL)) {
        struct btree_slice key = btree_cursor_key(cursor), value = btree_cursor_value(cursor);
        *ret_sum += engine_sum(key.bytes, key.size) + engine_sum(value.bytes, value.size);
        count++;
    }
    if (result != -ENOENT)
        check(result, "btree_cursor_next");
    btree_cursor_close(cursor);
    return count;
}

static void beeftree_sync(struct engine *engine)
{
    check(txn_engine_sync(engine->transactions), "txn_engine_sync");
}

static void beeftree_close(struct engine *engine)
{
    btree_close(engine->tree);
    txn_engine_close(engine->transactions);
    pool_destroy(engine->pool);
    check(store_shrink(engine->store), "store_shrink");
    store_close(engine->store);
    os_file_close(engine->file);
    free(engine);
}

const struct engine_operations engine_beeftree = {
    .open = beeftree_open,
    .begin = beeftree_begin,
    .end = beeftree_end,
    .insert = beeftree_insert,
    .remove = beeftree_remove,
    .read_begin = beeftree_read_nothing,
    .read_end = beeftree_read_nothing,
    .read = beeftree_read,
    .scan = beeftree_scan,
    .sync = beeftree_sync,
    .close = beeftree_close,
};
