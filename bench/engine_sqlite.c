/* SQLite as an engine of the comparison: a WITHOUT ROWID table, prepared statements, no journal, no sync while it runs,
 * one transaction for all changes of a step. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct engine {
    sqlite3 *database;
    sqlite3_stmt *insert, *remove, *read, *scan;
    char *path;
};

static void check(struct engine *engine, int status, const char *what)
{
    if (status != SQLITE_OK && status != SQLITE_DONE && status != SQLITE_ROW)
        engine_fail(what, sqlite3_errmsg(engine->database));
}

static void execute(struct engine *engine, const char *text)
{
    check(engine, sqlite3_exec(engine->database, text, NULL, NULL, NULL), text);
}

static sqlite3_stmt *prepare(struct engine *engine, const char *text)
{
    sqlite3_stmt *statement;
    check(engine, sqlite3_prepare_v2(engine->database, text, -1, &statement, NULL), text);
    return statement;
}

static struct engine *sqlite_open(const struct engine_options *options)
{
    char text[200];
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL || (engine->path = strdup(options->path)) == NULL)
        engine_fail("sqlite", "out of memory");
    check(engine, sqlite3_open(options->path, &engine->database), "sqlite3_open");
    snprintf(text, sizeof(text),
             "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
             "PRAGMA cache_size = -%zu;",
             options->cache_size / 1024);
    execute(engine, text);
    execute(engine, "CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID");
    engine->insert = prepare(engine, "INSERT INTO rows VALUES (?, ?)");
    engine->remove = prepare(engine, "DELETE FROM rows WHERE key = ?");
    engine->read = prepare(engine, "SELECT value FROM rows WHERE key = ?");
    engine->scan = prepare(engine, "SELECT key, value FROM rows ORDER BY key");
    return engine;
}

static void sqlite_begin(struct engine *engine)
{
    execute(engine, "BEGIN");
}

static void sqlite_end(struct engine *engine)
{
    execute(engine, "COMMIT");
}

static void bind(struct engine *engine, sqlite3_stmt *statement, int index, const void *bytes, size_t size)
{
    check(engine, sqlite3_bind_blob(statement, index, bytes, (int)size, SQLITE_STATIC), "bind");
}

static void sqlite_insert(struct engine *engine, const void *key, size_t key_size, const void *value, size_t value_size)
{
    bind(engine, engine->insert, 1, key, key_size);
    bind(engine, engine->insert, 2, value, value_size);
    check(engine, sqlite3_step(engine->insert), "insert");
    sqlite3_reset(engine->insert);
}

static void sqlite_remove(struct engine *engine, const void *key, size_t key_size)
{
    bind(engine, engine->remove, 1, key, key_size);
    check(engine, sqlite3_step(engine->remove), "delete");
    sqlite3_reset(engine->remove);
}

static uint64_t sqlite_read(struct engine *engine, const void *key, size_t key_size)
{
    bind(engine, engine->read, 1, key, key_size);
    if (sqlite3_step(engine->read) != SQLITE_ROW)
        engine_fail("select", "no such row");
    uint64_t sum = engine_sum(sqlite3_column_blob(engine->read, 0), (size_t)sqlite3_column_bytes(engine->read, 0));
    sqlite3_reset(engine->read);
    return sum;
}

static uint64_t sqlite_scan(struct engine *engine, uint64_t *ret_sum)
{
    uint64_t count = 0;
    int status;
    while ((status = sqlite3_step(engine->scan)) == SQLITE_ROW) {
        for (int column = 0; column < 2; column++)
            *ret_sum += engine_sum(sqlite3_column_blob(engine->scan, column),
                                   (size_t)sqlite3_column_bytes(engine->scan, column));
        count++;
    }
    check(engine, status, "scan");
    sqlite3_reset(engine->scan);
    return count;
}

static void sqlite_sync(struct engine *engine)
{
    int file = open(engine->path, O_RDWR | O_CLOEXEC);
    if (file < 0 || fdatasync(file) != 0)
        engine_fail("sync", strerror(errno));
    close(file);
}

static void sqlite_close(struct engine *engine)
{
    sqlite3_finalize(engine->insert);
    sqlite3_finalize(engine->remove);
    sqlite3_finalize(engine->read);
    sqlite3_finalize(engine->scan);
    check(engine, sqlite3_close(engine->database), "close");
    free(engine->path);
    free(engine);
}

const struct engine_operations engine_sqlite = {
    .open = sqlite_open,
    .begin = sqlite_begin,
    .end = sqlite_end,
    .insert = sqlite_insert,
    .remove = sqlite_remove,
    .read_begin = sqlite_begin,
    .read_end = sqlite_end,
    .read = sqlite_read,
    .scan = sqlite_scan,
    .sync = sqlite_sync,
    .close = sqlite_close,
};
