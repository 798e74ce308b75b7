/* The text that `beeftree status` prints: all counters as one JSON object. Numbers above 2^53 would lose digits; no
 * counter here gets there in the life of a mount. */
#include "internal.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "os/status.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add_number(cJSON *object, const char *name, uint64_t number)
{
    (void)cJSON_AddNumberToObject(object, name, (double)number);
}

/* JSON is UTF-8, paths and labels are bytes. */
static void add_text(cJSON *object, const char *name, const char *text)
{
    char *copy = strdup(text);

    if (copy) {
        base_utf8_repair(copy);
    }
    (void)cJSON_AddStringToObject(object, name, copy ? copy : "");
    free(copy);
}

static void add_state(cJSON *root, struct front *front, const struct fs_statistics *statistics, bool with_paths)
{
    cJSON *state = cJSON_AddObjectToObject(root, "state");
    struct base_reason reason = {""};
    int failure = fs_get_failure(front->fs, &reason);
    char label[STORE_LABEL_SIZE + 1] = "";

    memcpy(label, statistics->label, STORE_LABEL_SIZE);
    if (with_paths) {
        add_text(state, "database", front->options->database);
        add_text(state, "mount_point", front->options->mount_point);
    }
    add_text(state, "label", label);
    add_number(state, "pid", (uint64_t)getpid());
    add_number(state, "uptime_ms", base_clock_monotonic_ms() - front->start_ms);
    (void)cJSON_AddBoolToObject(state, "read_only", statistics->read_only || failure < 0);
    if (failure < 0 && !front->options->read_only) {
        add_text(state, "failure", reason.text[0] ? reason.text : strerror(-failure));
    } else {
        (void)cJSON_AddNullToObject(state, "failure");
    }
    add_number(state, "cache_size", front->options->cache_size);
    add_number(state, "page_size", statistics->page_size);
    (void)cJSON_AddBoolToObject(state, "sync", front->options->sync);
    (void)cJSON_AddBoolToObject(state, "dirsync", front->options->dirsync);
    add_number(state, "commit_s", front->options->commit_s);
    add_number(state, "threads_max", front->options->single_threaded ? 1 : front->options->threads_max);
    add_number(state, "inodes_in_use", statistics->inodes_in_use);
    add_number(state, "inode_bytes", statistics->inode_bytes);
    add_number(state, "lookups", statistics->lookups);
    add_number(state, "orphans", statistics->orphans);
}

#define ADD(object, from, member) add_number(object, #member, (from)->member)

static void add_store(cJSON *root, const struct store_statistics *store)
{
    cJSON *object = cJSON_AddObjectToObject(root, "store");

    ADD(object, store, file_blocks);
    ADD(object, store, used_blocks);
    ADD(object, store, available_blocks);
    ADD(object, store, reserved_pages);
    ADD(object, store, reserved_content_blocks);
    ADD(object, store, pages);
    ADD(object, store, content_blocks);
    ADD(object, store, generation);
    ADD(object, store, page_reads);
    ADD(object, store, page_writes);
    ADD(object, store, content_blocks_read);
    ADD(object, store, content_blocks_written);
    ADD(object, store, node_reads);
    ADD(object, store, node_writes);
    ADD(object, store, node_hits);
    ADD(object, store, node_misses);
    ADD(object, store, syncs);
    ADD(object, store, bytes_written);
    ADD(object, store, checkpoints);
    ADD(object, store, checkpoint_ms_last);
    ADD(object, store, checkpoint_ms_max);
    ADD(object, store, content_bytes_unsynced);
    ADD(object, store, checksum_failures);
}

static void add_log(cJSON *root, const struct store_statistics *store)
{
    cJSON *object = cJSON_AddObjectToObject(root, "log");

    add_number(object, "size", store->log_size);
    add_number(object, "used", store->log_used);
    add_number(object, "batches", store->log_batches);
    add_number(object, "operations", store->log_records);
    add_number(object, "bytes", store->log_bytes);
}

static void add_recovery(cJSON *root, const struct store_recovery *recovery)
{
    cJSON *object = cJSON_AddObjectToObject(root, "recovery");

    ADD(object, recovery, batches);
    add_number(object, "operations", recovery->records);
    ADD(object, recovery, dropped_batches);
    ADD(object, recovery, pages);
    ADD(object, recovery, duration_ms);
}

static void add_pool(cJSON *root, const struct pool_statistics *pool)
{
    cJSON *object = cJSON_AddObjectToObject(root, "pool");

    ADD(object, pool, frames);
    ADD(object, pool, frames_used);
    ADD(object, pool, frames_dirty);
    ADD(object, pool, frames_frozen);
    ADD(object, pool, frames_reserved);
    ADD(object, pool, hits);
    ADD(object, pool, misses);
    ADD(object, pool, evictions);
    ADD(object, pool, evictions_dirty);
    ADD(object, pool, reads);
    ADD(object, pool, writes);
    ADD(object, pool, copies);
}

static void add_transactions(cJSON *root, const struct txn_statistics *txn)
{
    cJSON *object = cJSON_AddObjectToObject(root, "transactions");

    ADD(object, txn, commits);
    ADD(object, txn, aborts);
    ADD(object, txn, waits_for_frames);
    ADD(object, txn, waits_for_space);
    ADD(object, txn, waits_for_contents);
    ADD(object, txn, waits_for_log);
    ADD(object, txn, log_syncs);
    ADD(object, txn, checkpoints_periodic);
    ADD(object, txn, checkpoints_pressure);
    ADD(object, txn, checkpoints_sync);
    ADD(object, txn, pages_changed);
    ADD(object, txn, edit_bytes);
}

static void add_tree(cJSON *root, const struct btree_statistics *tree)
{
    cJSON *object = cJSON_AddObjectToObject(root, "tree");

    ADD(object, tree, height);
    ADD(object, tree, splits);
    ADD(object, tree, merges);
    ADD(object, tree, borrows);
    ADD(object, tree, root_grows);
    ADD(object, tree, root_shrinks);
    ADD(object, tree, descents);
    ADD(object, tree, cursor_hops);
}

static void add_requests(cJSON *root, struct front *front)
{
    cJSON *object = cJSON_AddObjectToObject(root, "requests");
    uint64_t total = 0;

    for (unsigned opcode = 0; opcode < FRONT_OPCODE_MAX; opcode++) {
        uint64_t count = atomic_load_explicit(&front->requests[opcode], memory_order_relaxed);
        const char *name = front_opcode_name(opcode);
        total += count;
        if (count > 0) {
            add_number(object, name ? name : "UNKNOWN", count);
        }
    }
    add_number(object, "total", total);
}

static int print(struct front *front, bool with_paths, char *text, size_t text_size)
{
    struct fs_statistics statistics;
    cJSON *root = cJSON_CreateObject();
    int result = -ENOMEM;

    if (!root) {
        return result;
    }
    fs_get_statistics(front->fs, &statistics);
    add_number(root, "version", OS_STATUS_VERSION);
    (void)cJSON_AddStringToObject(root, "program", "beeftreefs " BEEFTREE_VERSION);
    add_state(root, front, &statistics, with_paths);
    add_store(root, &statistics.store);
    add_log(root, &statistics.store);
    add_recovery(root, &statistics.recovery);
    add_pool(root, &statistics.pool);
    add_transactions(root, &statistics.txn);
    add_tree(root, &statistics.btree);
    add_requests(root, front);
    result = cJSON_PrintPreallocated(root, text, (int)text_size, false) ? 0 : -ERANGE;
    cJSON_Delete(root);
    return result;
}

int front_status_print(struct front *front, char *text, size_t text_size)
{
    int result = print(front, true, text, text_size);

    /* Only paths can be so long. */
    return result == -ERANGE ? print(front, false, text, text_size) : result;
}
