/* LMDB as an engine of the comparison: no sync while it runs, one transaction for all changes of a step. */
#include "engine.h"

#include <lmdb.h>
#include <stdlib.h>

#define MAP_SIZE ((size_t)16 << 30)

struct engine {
    MDB_env *environment;
    MDB_txn *transaction;
    MDB_dbi table;
};

static void check(int status, const char *what)
{
    if (status != MDB_SUCCESS)
        engine_fail(what, mdb_strerror(status));
}

static struct engine *lmdb_open(const struct engine_options *options)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        engine_fail("lmdb", "out of memory");
    check(mdb_env_create(&engine->environment), "mdb_env_create");
    check(mdb_env_set_mapsize(engine->environment, MAP_SIZE), "mdb_env_set_mapsize");
    check(mdb_env_open(engine->environment, options->path, MDB_NOSUBDIR | MDB_NOSYNC, 0600), "mdb_env_open");
    check(mdb_txn_begin(engine->environment, NULL, 0, &engine->transaction), "mdb_txn_begin");
    check(mdb_dbi_open(engine->transaction, NULL, 0, &engine->table), "mdb_dbi_open");
    check(mdb_txn_commit(engine->transaction), "mdb_txn_commit");
    return engine;
}

static void lmdb_begin(struct engine *engine)
{
    check(mdb_txn_begin(engine->environment, NULL, 0, &engine->transaction), "mdb_txn_begin");
}

static void lmdb_end(struct engine *engine)
{
    check(mdb_txn_commit(engine->transaction), "mdb_txn_commit");
}

static void lmdb_insert(struct engine *engine, const void *key, size_t key_size, const void *value, size_t value_size)
{
    MDB_val key_value = {key_size, (void *)(uintptr_t)key}, data = {value_size, (void *)(uintptr_t)value};
    check(mdb_put(engine->transaction, engine->table, &key_value, &data, MDB_NOOVERWRITE), "mdb_put");
}

static void lmdb_remove(struct engine *engine, const void *key, size_t key_size)
{
    MDB_val key_value = {key_size, (void *)(uintptr_t)key};
    check(mdb_del(engine->transaction, engine->table, &key_value, NULL), "mdb_del");
}

static void lmdb_read_begin(struct engine *engine)
{
    check(mdb_txn_begin(engine->environment, NULL, MDB_RDONLY, &engine->transaction), "mdb_txn_begin");
}

static void lmdb_read_end(struct engine *engine)
{
    mdb_txn_abort(engine->transaction);
}

static uint64_t lmdb_read(struct engine *engine, const void *key, size_t key_size)
{
    MDB_val key_value = {key_size, (void *)(uintptr_t)key}, data;
    check(mdb_get(engine->transaction, engine->table, &key_value, &data), "mdb_get");
    return engine_sum(data.mv_data, data.mv_size);
}

static uint64_t lmdb_scan(struct engine *engine, uint64_t *ret_sum)
{
    MDB_cursor *cursor;
    MDB_val key, data;
    uint64_t count = 0;
    check(mdb_cursor_open(engine->transaction, engine->table, &cursor), "mdb_cursor_open");
    int status = mdb_cursor_get(cursor, &key, &data, MDB_FIRST);
    for (; status == MDB_SUCCESS; status = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) {
        *ret_sum += engine_sum(key.mv_data, key.mv_size) + engine_sum(data.mv_data, data.mv_size);
        count++;
    }
    if (status != MDB_NOTFOUND)
        check(status, "mdb_cursor_get");
    mdb_cursor_close(cursor);
    return count;
}

static void lmdb_sync(struct engine *engine)
{
    check(mdb_env_sync(engine->environment, 1), "mdb_env_sync");
}

static void lmdb_close(struct engine *engine)
{
    mdb_env_close(engine->environment);
    free(engine);
}

const struct engine_operations engine_lmdb = {
    .open = lmdb_open,
    .begin = lmdb_begin,
    .end = lmdb_end,
    .insert = lmdb_insert,
    .remove = lmdb_remove,
    .read_begin = lmdb_read_begin,
    .read_end = lmdb_read_end,
    .read = lmdb_read,
    .scan = lmdb_scan,
    .sync = lmdb_sync,
    .close = lmdb_close,
};
