/* See recover.h: reads the ring and finds the batches that count.
 *
 *      position of the superblock                                            (round the end of the ring)
 *      | batch n | batch n + 1 | ... | last | not a batch: the log's end, or damage | old batches, zeros |
 *
 * A batch is written once the one before is durable. So behind the first that is not whole nothing of this log can be
 * whole: if there is such a batch all the same, the one that is not has been damaged. And only the last can lack some
 * of its contents: then it never became durable, nobody was told that it is, and it goes whole. */
#include "recover.h"

#include "base/bytes.h"
#include "base/tooth.h"
#include "internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    READ_BLOCKS = 64, /* contents read at once */
    LOOK_FACTOR = 8,  /* bytes summed at most when looking for more, in sizes of the ring */
};

int recover_damaged(struct base_reason *ret_reason, uint64_t lsn, const char *format, ...)
{
    char text[160];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    base_reason_set(ret_reason, "log: record %llu: %s", (unsigned long long)lsn, text);
    return -EUCLEAN;
}

void recover_log_deinit(struct recover_log *log)
{
    free(log->bytes);
    free(log->batches);
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

/* The file may have grown since the checkpoint, and the log may name blocks there. */
static int scan_get_file_size(struct store *store, struct recover_log *log, struct base_reason *ret_reason)
{
    uint64_t size;
    int result = os_file_get_size(store->file, &size);

    if (result < 0) {
        base_reason_set(ret_reason, "%s", strerror(-result));
        return result;
    }
    log->file_blocks = size / STORE_BLOCK_SIZE;
    log->file_blocks -= log->file_blocks % STORE_SIZE_UNIT_BLOCKS;
    if (log->file_blocks > STORE_BLOCKS_MAX) {
        log->file_blocks = STORE_BLOCKS_MAX;
    }
    if (log->file_blocks < store->superblock.block_count) {
        log->file_blocks = store->superblock.block_count;
    }
    return 0;
}

static int scan_read_part(struct store *store, uint64_t offset, uint8_t *bytes, uint64_t size,
                          struct base_reason *ret_reason)
{
    int result = size > 0 ? os_file_read(store->file, bytes, size, offset) : 0;

    if (result < 0) {
        base_reason_set(ret_reason, "log: %llu bytes at block %llu can't be read: %s", (unsigned long long)size,
                        (unsigned long long)(offset / STORE_BLOCK_SIZE), strerror(-result));
    }
    return result == -ENODATA ? -EUCLEAN : result;
}

/* The ring into memory, turned so that it begins with the superblock's position. */
static int scan_read_ring(struct store *store, struct recover_log *log, struct base_reason *ret_reason)
{
    const struct superblock_log *place = &store->superblock.log;
    uint64_t begin = 0; /* of a run, in the ring */
    int result = 0;

    log->bytes = malloc(log->size);
    if (!log->bytes) {
        base_reason_set(ret_reason, "out of memory: the log has %llu bytes", (unsigned long long)log->size);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < place->run_count && result == 0; i++) {
        uint64_t offset = place->runs[i].block * STORE_BLOCK_SIZE;
        uint64_t size = place->runs[i].block_count * STORE_BLOCK_SIZE;
        uint64_t end = begin + size;
        uint64_t turn = place->next_position <= begin ? begin : place->next_position < end ? place->next_position : end;
        uint8_t *front = log->bytes + (begin + log->size - place->next_position) % log->size;
        uint8_t *back = log->bytes + (turn + log->size - place->next_position) % log->size;
        result = scan_read_part(store, offset, front, turn - begin, ret_reason);
        if (result == 0) {
            result = scan_read_part(store, offset + (turn - begin), back, end - turn, ret_reason);
        }
        begin = end;
    }
    return result;
}

/* --- Batches ------------------------------------------------------------------------------------------------------ */

/* Whether a batch of this log may begin there. */
static bool scan_peek(const struct store *store, const struct recover_log *log, uint64_t at,
                      struct log_batch *ret_batch)
{
    const uint8_t *block = log->bytes + at;
    uint64_t salt = BASE_TOOTH(NO_SALT) ? base_get_le64(block) : store->superblock.log.salt;

    return log_batch_peek(block, salt, log->size - at, ret_batch);
}

/* Whether the batch that was peeked at is whole; fills in where its parts are. */
static bool scan_decode(const struct recover_log *log, uint64_t at, struct log_batch *batch)
{
    const uint8_t *bytes = log->bytes + at;

    if (BASE_TOOTH(NO_BATCH_CHECKSUM)) {
        batch->records = bytes + LOG_HEADER_SIZE;
        batch->contents = batch->records + batch->records_size;
        return true;
    }
    return log_batch_decode(bytes, batch->salt, batch);
}

static int scan_add_batch(struct recover_log *log, const struct log_batch *batch, struct base_reason *ret_reason)
{
    if (log->count == log->capacity) {
        size_t capacity = log->capacity ? log->capacity * 2 : 64;
        struct log_batch *batches = realloc(log->batches, capacity * sizeof *batches);
        if (!batches) {
            base_reason_set(ret_reason, "out of memory");
            return -ENOMEM;
        }
        log->batches = batches;
        log->capacity = capacity;
    }
    log->batches[log->count++] = *batch;
    log->used += log_batch_space(batch->size);
    log->records += batch->record_count;
    log->next_lsn += batch->record_count;
    log->next_sequence++;
    return 0;
}

static void scan_set_damage(struct recover_log *log, uint64_t sequence)
{
    log->is_damaged = true;
    base_reason_set(&log->damage,
                    "the log is damaged: batch %llu can't be read, but there is batch %llu behind it; what came "
                    "after operation %llu is lost",
                    (unsigned long long)log->next_sequence, (unsigned long long)sequence,
                    (unsigned long long)(log->next_lsn - 1));
}

static int scan_walk(struct store *store, struct recover_log *log, struct base_reason *ret_reason)
{
    struct log_batch batch;
    int result = 0;

    while (result == 0 && log->used < log->size && scan_peek(store, log, log->used, &batch) &&
           batch.sequence == log->next_sequence && scan_decode(log, log->used, &batch)) {
        if (batch.first_lsn != log->next_lsn) {
            scan_set_damage(log, batch.sequence);
            break;
        }
        result = scan_add_batch(log, &batch, ret_reason);
    }
    return result;
}

/* Looks for a later batch behind the one that did not come. */
static void scan_look_behind(struct store *store, struct recover_log *log)
{
    uint64_t summed = 0;

    if (BASE_TOOTH(DAMAGE_IS_END)) {
        return;
    }
    for (uint64_t at = log->used; at < log->size && !log->is_damaged; at += STORE_BLOCK_SIZE) {
        struct log_batch batch;
        if (!scan_peek(store, log, at, &batch) || batch.sequence <= log->next_sequence) {
            continue;
        }
        /* Few blocks look like a later batch and are none; a file full of them was made to keep us busy. */
        summed += batch.size;
        if (summed > LOOK_FACTOR * log->size || scan_decode(log, at, &batch)) {
            scan_set_damage(log, batch.sequence);
        }
    }
}

/* --- Contents of the last batch ----------------------------------------------------------------------------------- */

static bool scan_run_is_in_file(const struct recover_log *log, struct store_run run)
{
    return run.block < log->file_blocks && run.count <= log->file_blocks - run.block;
}

/* Reads a listed run. *ret_whole is left alone when it is as the list says. */
static int scan_check_content(struct store *store, const struct log_content *content, uint8_t *buffer, bool *ret_whole,
                              struct base_reason *ret_reason)
{
    uint64_t combined = content->run.count;

    for (uint32_t done = 0; done < content->run.count;) {
        uint32_t left = content->run.count - done;
        uint32_t part = left < READ_BLOCKS ? left : READ_BLOCKS;
        uint64_t block = content->run.block + done;
        int result = os_file_read(store->file, buffer, (size_t)part * STORE_BLOCK_SIZE, block * STORE_BLOCK_SIZE);
        if (result == -ENODATA) {
            *ret_whole = false;
            return 0;
        }
        if (result < 0) {
            base_reason_set(ret_reason, "log: contents at block %llu can't be read: %s", (unsigned long long)block,
                            strerror(-result));
            return result;
        }
        for (uint32_t i = 0; i < part; i++) {
            uint64_t checksum = store_content_checksum(buffer + (size_t)i * STORE_BLOCK_SIZE);
            combined = log_content_combine_next(combined, checksum);
        }
        done += part;
    }
    if (combined != content->checksum) {
        *ret_whole = false;
    }
    return 0;
}

static int scan_check_list(struct store *store, const struct recover_log *log, const struct log_batch *batch,
                           bool *ret_whole, struct base_reason *ret_reason)
{
    uint8_t *buffer = malloc((size_t)READ_BLOCKS * STORE_BLOCK_SIZE);
    uint64_t block_count = 0;
    int result = 0;

    if (!buffer) {
        base_reason_set(ret_reason, "out of memory");
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < batch->content_count && result == 0 && *ret_whole; i++) {
        struct log_content content;
        bool is_possible = log_content_decode(batch, i, &content) && content.run.block >= STORE_HEADER_BLOCKS;
        block_count += is_possible ? content.run.count : 0;
        if (!is_possible || block_count > log->file_blocks) {
            base_reason_set(ret_reason, "log: batch %llu: impossible list of contents",
                            (unsigned long long)batch->sequence);
            result = -EUCLEAN;
        } else if (!scan_run_is_in_file(log, content.run)) {
            *ret_whole = false;
        } else {
            result = scan_check_content(store, &content, buffer, ret_whole, ret_reason);
        }
    }
    free(buffer);
    return result;
}

/* Blocks beyond the end of the file: their growth was as little durable as contents can be. */
static void scan_check_runs(struct store *store, const struct recover_log *log, const struct log_batch *batch,
                            bool *ret_whole)
{
    struct log_reader reader;
    struct log_edit edit;

    log_reader_init(&reader, batch, store->page_size);
    while (*ret_whole && log_reader_next(&reader, &edit) == 0) {
        if (edit.kind == LOG_EDIT_ADD && !scan_run_is_in_file(log, edit.run)) {
            *ret_whole = false;
        }
    }
}

/* Whether all that the last of the batches names is there; so it is where there is none. */
static int scan_check_last(struct store *store, struct recover_log *log, bool *ret_whole,
                           struct base_reason *ret_reason)
{
    const struct log_batch *last = log->count > 0 ? &log->batches[log->count - 1] : NULL;
    int result;

    *ret_whole = true;
    if (!last) {
        return 0;
    }
    result = scan_check_list(store, log, last, ret_whole, ret_reason);
    if (result == 0) {
        scan_check_runs(store, log, last, ret_whole);
    }
    return result;
}

static int scan_drop_last(struct store *store, struct recover_log *log, struct base_reason *ret_reason)
{
    const struct log_batch *last = log->count > 0 ? &log->batches[log->count - 1] : NULL;
    bool is_whole;

    if (log->is_damaged || BASE_TOOTH(NO_CONTENT_CHECK)) {
        return 0;
    }
    int result = scan_check_last(store, log, &is_whole, ret_reason);
    if (result < 0 || is_whole) {
        return result;
    }
    log->count--;
    log->dropped_batches++;
    log->used -= log_batch_space(last->size);
    log->records -= last->record_count;
    log->next_lsn = last->first_lsn;
    log->next_sequence = last->sequence;
    return scan_check_last(store, log, &log->can_void, ret_reason);
}

/* Keeps only the bytes of the batches: a read-only store has them as long as it is open. */
static void scan_shrink(struct recover_log *log)
{
    uint64_t at = 0;

    if (log->used == 0) {
        free(log->bytes);
        log->bytes = NULL;
        return;
    }
    uint8_t *bytes = realloc(log->bytes, log->used);
    log->bytes = bytes ? bytes : log->bytes;
    for (size_t i = 0; i < log->count; i++) {
        struct log_batch *batch = &log->batches[i];
        batch->records = log->bytes + at + LOG_HEADER_SIZE;
        batch->contents = batch->records + batch->records_size;
        at += log_batch_space(batch->size);
    }
}

int recover_scan(struct store *store, struct recover_log *ret_log, struct base_reason *ret_reason)
{
    const struct superblock_log *place = &store->superblock.log;
    struct recover_log log = {.next_lsn = place->next_lsn, .next_sequence = place->next_sequence};
    int result = scan_get_file_size(store, &log, ret_reason);

    for (uint32_t i = 0; i < place->run_count; i++) {
        log.size += place->runs[i].block_count * STORE_BLOCK_SIZE;
    }
    if (place->salt == 0 || log.size == 0) {
        log.size = 0; /* no log was written yet */
    } else if (result == 0) {
        result = scan_read_ring(store, &log, ret_reason);
    }
    if (result == 0) {
        result = scan_walk(store, &log, ret_reason);
    }
    if (result == 0) {
        scan_look_behind(store, &log);
        result = scan_drop_last(store, &log, ret_reason);
    }
    if (result < 0) {
        recover_log_deinit(&log);
        return result;
    }
    scan_shrink(&log);
    *ret_log = log;
    return 0;
}
