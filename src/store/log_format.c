/* See log_format.h. */
#include "log_format.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/checksum.h"

#include <errno.h>
#include <string.h>

enum header_offset {
    OFFSET_SALT = 0,
    OFFSET_SEQUENCE = 8,
    OFFSET_FIRST_LSN = 16,
    OFFSET_RECORD_COUNT = 24,
    OFFSET_RECORDS_SIZE = 28,
    OFFSET_CONTENT_COUNT = 32,
    OFFSET_SIZE = 36,
    OFFSET_ZERO = 40,
    OFFSET_CHECKSUM = 56,
};

_Static_assert(OFFSET_CHECKSUM + 8 == LOG_HEADER_SIZE, "the checksum ends the header");

enum { CONTENT_OFFSET_COUNT = 8, CONTENT_OFFSET_ZERO = 12, CONTENT_OFFSET_CHECKSUM = 16 };

_Static_assert(CONTENT_OFFSET_CHECKSUM + 8 == LOG_CONTENT_ENTRY_SIZE, "content entry");

/* --- Batches ------------------------------------------------------------------------------------------------------ */

/* The header's checksum is the seed of the rest's, so that the rest is summed where it stands. */
static uint64_t batch_checksum(const uint8_t *bytes, uint32_t size, uint64_t salt)
{
    uint64_t header = base_checksum(bytes, OFFSET_CHECKSUM, salt);

    return base_checksum(bytes + LOG_HEADER_SIZE, size - LOG_HEADER_SIZE, header);
}

void log_batch_encode(const struct log_batch *batch, uint8_t *bytes)
{
    memset(bytes, 0, LOG_HEADER_SIZE);
    base_put_le64(bytes + OFFSET_SALT, batch->salt);
    base_put_le64(bytes + OFFSET_SEQUENCE, batch->sequence);
    base_put_le64(bytes + OFFSET_FIRST_LSN, batch->first_lsn);
    base_put_le32(bytes + OFFSET_RECORD_COUNT, batch->record_count);
    base_put_le32(bytes + OFFSET_RECORDS_SIZE, batch->records_size);
    base_put_le32(bytes + OFFSET_CONTENT_COUNT, batch->content_count);
    base_put_le32(bytes + OFFSET_SIZE, batch->size);
    base_put_le64(bytes + OFFSET_CHECKSUM, batch_checksum(bytes, batch->size, batch->salt));
}

bool log_batch_peek(const uint8_t block[STORE_BLOCK_SIZE], uint64_t salt, uint64_t size_max,
                    struct log_batch *ret_batch)
{
    struct log_batch batch = {
        .salt = base_get_le64(block + OFFSET_SALT),
        .sequence = base_get_le64(block + OFFSET_SEQUENCE),
        .first_lsn = base_get_le64(block + OFFSET_FIRST_LSN),
        .record_count = base_get_le32(block + OFFSET_RECORD_COUNT),
        .records_size = base_get_le32(block + OFFSET_RECORDS_SIZE),
        .content_count = base_get_le32(block + OFFSET_CONTENT_COUNT),
        .size = base_get_le32(block + OFFSET_SIZE),
    };
    uint64_t size =
        LOG_HEADER_SIZE + (uint64_t)batch.records_size + (uint64_t)batch.content_count * LOG_CONTENT_ENTRY_SIZE;

    if (batch.salt != salt || batch.size != size || size > LOG_BATCH_SIZE_MAX || log_batch_space(size) > size_max ||
        batch.record_count == 0 || (uint64_t)batch.record_count * LOG_RECORD_HEADER_SIZE > batch.records_size) {
        return false;
    }
    *ret_batch = batch;
    return true;
}

bool log_batch_decode(const uint8_t *bytes, uint64_t salt, struct log_batch *ret_batch)
{
    struct log_batch batch;

    if (!log_batch_peek(bytes, salt, UINT64_MAX, &batch) ||
        base_get_le64(bytes + OFFSET_CHECKSUM) != batch_checksum(bytes, batch.size, salt)) {
        return false;
    }
    batch.records = bytes + LOG_HEADER_SIZE;
    batch.contents = batch.records + batch.records_size;
    *ret_batch = batch;
    return true;
}

/* --- Content entries ---------------------------------------------------------------------------------------------- */

void log_content_encode(const struct log_content *content, uint8_t entry[LOG_CONTENT_ENTRY_SIZE])
{
    base_put_le64(entry, content->run.block);
    base_put_le32(entry + CONTENT_OFFSET_COUNT, content->run.count);
    base_put_le32(entry + CONTENT_OFFSET_ZERO, 0);
    base_put_le64(entry + CONTENT_OFFSET_CHECKSUM, content->checksum);
}

bool log_content_decode(const struct log_batch *batch, uint32_t index, struct log_content *ret_content)
{
    const uint8_t *entry = batch->contents + (size_t)index * LOG_CONTENT_ENTRY_SIZE;
    struct log_content content = {
        .run = {base_get_le64(entry), base_get_le32(entry + CONTENT_OFFSET_COUNT)},
        .checksum = base_get_le64(entry + CONTENT_OFFSET_CHECKSUM),
    };

    BASE_ASSERT(index < batch->content_count);
    if (content.run.count == 0 || base_get_le32(entry + CONTENT_OFFSET_ZERO) != 0) {
        return false;
    }
    *ret_content = content;
    return true;
}

uint64_t log_content_combine(const uint64_t *block_checksums, uint32_t count)
{
    uint64_t combined = count;

    for (uint32_t i = 0; i < count; i++) {
        combined = log_content_combine_next(combined, block_checksums[i]);
    }
    return combined;
}

uint64_t log_content_combine_next(uint64_t combined, uint64_t block_checksum)
{
    uint8_t bytes[8];

    base_put_le64(bytes, block_checksum);
    return base_checksum(bytes, sizeof bytes, combined);
}

/* --- Reading edits ------------------------------------------------------------------------------------------------ */

void log_reader_init(struct log_reader *reader, const struct log_batch *batch, uint32_t page_size)
{
    *reader = (struct log_reader){
        .at = batch->records,
        .record_end = batch->records,
        .end = batch->records + batch->records_size,
        .page_size = page_size,
        .lsn = batch->first_lsn - 1,
    };
}

/* Steps to the next record. */
static int reader_begin_record(struct log_reader *reader)
{
    size_t left = (size_t)(reader->end - reader->at);

    if (left < LOG_RECORD_HEADER_SIZE) {
        return left == 0 ? -ENOENT : -EUCLEAN;
    }
    uint32_t size = base_get_le32(reader->at);
    if (size > left - LOG_RECORD_HEADER_SIZE) {
        return -EUCLEAN;
    }
    reader->at += LOG_RECORD_HEADER_SIZE;
    reader->record_end = reader->at + size;
    reader->page = 0;
    reader->lsn++;
    return 0;
}

static size_t edit_size(enum log_edit_kind kind)
{
    switch (kind) {
    case LOG_EDIT_PAGE:
        return LOG_EDIT_PAGE_SIZE;
    case LOG_EDIT_NEW:
    case LOG_EDIT_FREE:
        return LOG_EDIT_MARK_SIZE;
    case LOG_EDIT_PUT:
        return LOG_EDIT_PUT_SIZE;
    case LOG_EDIT_MOVE:
        return LOG_EDIT_MOVE_SIZE;
    case LOG_EDIT_ADD:
    case LOG_EDIT_DROP:
        return LOG_EDIT_RUN_SIZE;
    default:
        return 0;
    }
}

static bool range_is_in_page(const struct log_reader *reader, uint32_t offset, uint32_t size)
{
    return offset <= reader->page_size && size <= reader->page_size - offset;
}

/* One edit, PAGE included; its fixed part lies in the record. */
static int reader_read_edit(struct log_reader *reader, struct log_edit *ret_edit)
{
    const uint8_t *at = reader->at;
    struct log_edit edit = {.kind = (enum log_edit_kind)at[0], .page = reader->page};
    size_t size = edit_size(edit.kind);

    if (size == 0 || size > (size_t)(reader->record_end - at)) {
        return -EUCLEAN;
    }
    reader->at += size;
    switch (edit.kind) {
    case LOG_EDIT_PAGE:
        edit.page = base_get_le64(at + 1);
        break;
    case LOG_EDIT_PUT:
        edit.offset = base_get_le16(at + 1);
        edit.size = base_get_le16(at + 3) + 1U;
        edit.bytes = reader->at;
        if (edit.size > (size_t)(reader->record_end - reader->at)) {
            return -EUCLEAN;
        }
        reader->at += edit.size;
        break;
    case LOG_EDIT_MOVE:
        edit.offset = base_get_le16(at + 1);
        edit.from = base_get_le16(at + 3);
        edit.size = base_get_le16(at + 5) + 1U;
        break;
    case LOG_EDIT_ADD:
    case LOG_EDIT_DROP:
        edit.run = (struct store_run){base_get_le64(at + 1), base_get_le32(at + 9)};
        *ret_edit = edit;
        return edit.run.count == 0 || edit.run.count > LOG_RUN_BLOCKS_MAX || edit.run.block == 0 ? -EUCLEAN : 0;
    default:
        break;
    }
    *ret_edit = edit;
    return edit.page != 0 && range_is_in_page(reader, edit.offset, edit.size) &&
                   range_is_in_page(reader, edit.from, edit.kind == LOG_EDIT_MOVE ? edit.size : 0)
               ? 0
               : -EUCLEAN;
}

int log_reader_next(struct log_reader *reader, struct log_edit *ret_edit)
{
    struct log_edit edit;
    int result;

    do {
        while (reader->at == reader->record_end) {
            result = reader_begin_record(reader);
            if (result < 0) {
                return result;
            }
        }
        result = reader_read_edit(reader, &edit);
        if (result < 0) {
            return result;
        }
        if (edit.kind == LOG_EDIT_PAGE) {
            reader->page = edit.page;
        }
    } while (edit.kind == LOG_EDIT_PAGE);
    *ret_edit = edit;
    return 0;
}

void log_edit_apply(const struct log_edit *edit, uint8_t *page, uint32_t page_size)
{
    if (edit->kind == LOG_EDIT_NEW) {
        memset(page, 0, page_size);
    } else if (edit->kind == LOG_EDIT_PUT) {
        memcpy(page + edit->offset, edit->bytes, edit->size);
    } else if (edit->kind == LOG_EDIT_MOVE) {
        memmove(page + edit->offset, page + edit->from, edit->size);
    }
}

/* --- Writing edits ------------------------------------------------------------------------------------------------ */

uint8_t *log_put_page(uint8_t *at, uint64_t page)
{
    at[0] = LOG_EDIT_PAGE;
    base_put_le64(at + 1, page);
    return at + LOG_EDIT_PAGE_SIZE;
}

uint8_t *log_put_mark(uint8_t *at, enum log_edit_kind kind)
{
    at[0] = (uint8_t)kind;
    return at + LOG_EDIT_MARK_SIZE;
}

uint8_t *log_put_put(uint8_t *at, uint32_t offset, const void *bytes, uint32_t size)
{
    BASE_ASSERT(size > 0 && offset + size <= STORE_PAGE_SIZE_MAX);
    at[0] = LOG_EDIT_PUT;
    base_put_le16(at + 1, (uint16_t)offset);
    base_put_le16(at + 3, (uint16_t)(size - 1));
    memcpy(at + LOG_EDIT_PUT_SIZE, bytes, size);
    return at + LOG_EDIT_PUT_SIZE + size;
}

uint8_t *log_put_move(uint8_t *at, uint32_t to, uint32_t from, uint32_t size)
{
    BASE_ASSERT(size > 0 && to + size <= STORE_PAGE_SIZE_MAX && from + size <= STORE_PAGE_SIZE_MAX);
    at[0] = LOG_EDIT_MOVE;
    base_put_le16(at + 1, (uint16_t)to);
    base_put_le16(at + 3, (uint16_t)from);
    base_put_le16(at + 5, (uint16_t)(size - 1));
    return at + LOG_EDIT_MOVE_SIZE;
}

uint8_t *log_put_run(uint8_t *at, enum log_edit_kind kind, struct store_run run)
{
    BASE_ASSERT(run.count > 0 && run.count <= LOG_RUN_BLOCKS_MAX);
    at[0] = (uint8_t)kind;
    base_put_le64(at + 1, run.block);
    base_put_le32(at + 9, run.count);
    return at + LOG_EDIT_RUN_SIZE;
}
