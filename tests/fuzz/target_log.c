/* The log: batches of the input in the ring of a small filesystem. Decoding and applying alone, recovery in memory and
 * to the disk, and the filesystem that comes out of it. (layer: store)
 *
 *      input: flags (1) | size of the script (2) | script | ring position in blocks (1) | first LSN | batches
 *      batch: flags (1) | size (2) | that many bytes: records by the grammar of put_edit, or as they are
 *             | number of content entries (1) | place (1) count (1) each
 *      flags: 1 only the store is asked; 2 the ring as it is made, else a very small one
 *      flags of a batch: 1 its bytes are records as they are; 2 a wrong checksum; 4 another salt; 8 the next sequence
 *             number is left out; 16 a wrong number of records; 32 its contents are not there
 *
 * What recovery makes of it in memory and what it writes has to be the same. */
#include "exercise.h"
#include "fuzz_file.h"
#include "log_format.h"
#include "superblock.h"

#include "base/bytes.h"
#include "base/checksum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FLAG_STORE_ONLY = 1,
    FLAG_LARGE_RING = 2,
    RING_BLOCKS_SMALL = 40,
    BATCH_RAW = 1,
    BATCH_WRONG_CHECKSUM = 2,
    BATCH_WRONG_SALT = 4,
    BATCH_SEQUENCE_GAP = 8,
    BATCH_WRONG_COUNT = 16,
    BATCH_NO_CONTENTS = 32,
    BATCHES_MAX = 32,
    BATCH_SIZE_MAX = 128 << 10,
    PAGE_SIZE = 4096,
    SALT = 12345,
};

/* The filesystem without the input's log. */
static struct {
    struct fuzz_file_copy *copy;
    struct superblock superblock;
    uint64_t free_block; /* the first of many that nothing uses */
} base;

/* --- The filesystem ----------------------------------------------------------------------------------------------- */

static void make_files(struct fs *fs)
{
    static const struct fs_caller caller = {.uid = 0};
    static const uint8_t bytes[40000] = {1};
    struct fs_make file = {.mode = S_IFREG | 0644}, directory = {.mode = S_IFDIR | 0755};
    char name[] = "a";
    struct fs_entry parent, entry;

    FUZZ_EXPECT(fs_make(fs, &caller, FS_ROOT_INODE, "d", &directory, &parent) == 0);
    for (; name[0] <= 'x'; name[0]++) {
        uint64_t where = name[0] % 2 ? FS_ROOT_INODE : parent.attributes.inode;
        FUZZ_EXPECT(fs_make(fs, &caller, where, name, &file, &entry) == 0 || name[0] == 'd');
        if (name[0] < 'f') {
            FUZZ_EXPECT(fs_write(fs, &caller, entry.attributes.inode, 0, bytes, sizeof bytes) > 0);
        }
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct fs_format_options format_options = {.page_size = PAGE_SIZE, .root_mode = 0755};
    struct fs_options options = {.cache_size = 1 << 20};
    struct os_file *file = fuzz_file_reset();
    struct base_reason reason;
    struct fs *fs;

    (void)argc, (void)argv;
    fuzz_set_messages();
    FUZZ_EXPECT(fs_format(file, &format_options, &reason) == 0);
    FUZZ_EXPECT(fs_open(file, &options, &fs, &reason) == 0);
    make_files(fs);
    FUZZ_EXPECT(fs_close(fs) == 0);
    FUZZ_EXPECT(superblock_decode(fuzz_file_bytes(), &base.superblock, &reason) == SUPERBLOCK_VALID);
    base.free_block = base.superblock.block_count - 16;
    base.copy = fuzz_file_keep();
    return 0;
}

/* --- Batches ------------------------------------------------------------------------------------------------------ */

/* One edit, or (0) the end of a record. */
static uint8_t *put_edit(struct fuzz_reader *reader, uint8_t *at, bool *ret_ends)
{
    enum log_edit_kind kind = (enum log_edit_kind)(fuzz_take_8(reader) % 8);
    struct store_run run;
    const uint8_t *bytes;
    uint32_t offset, from;
    size_t size;

    *ret_ends = false;
    switch (kind) {
    case LOG_EDIT_PAGE:
        return log_put_page(at, fuzz_take_number(reader));
    case LOG_EDIT_NEW:
    case LOG_EDIT_FREE:
        return log_put_mark(at, kind);
    case LOG_EDIT_PUT:
        offset = fuzz_take_16(reader);
        size = fuzz_take_bytes(reader, 1 + (size_t)fuzz_take_8(reader), &bytes);
        return size > 0 && offset + size <= STORE_PAGE_SIZE_MAX ? log_put_put(at, offset, bytes, (uint32_t)size) : at;
    case LOG_EDIT_MOVE:
        offset = fuzz_take_16(reader);
        from = fuzz_take_16(reader);
        size = 1 + (size_t)fuzz_take_16(reader);
        return offset + size <= STORE_PAGE_SIZE_MAX && from + size <= STORE_PAGE_SIZE_MAX
                   ? log_put_move(at, offset, from, (uint32_t)size)
                   : at;
    case LOG_EDIT_ADD:
    case LOG_EDIT_DROP:
        run.block = base.free_block - 128 + fuzz_take_number(reader);
        run.count = (uint32_t)fuzz_take_number(reader);
        at[0] = (uint8_t)kind; /* by hand: impossible ones, too */
        base_put_le64(at + 1, run.block);
        base_put_le32(at + 9, run.count);
        return at + LOG_EDIT_RUN_SIZE;
    default:
        *ret_ends = true;
        return at;
    }
}

/* Records into bytes of BATCH_SIZE_MAX; returns how many. An edit takes at most 261 bytes, of at least one of the
 * input's. */
static uint32_t put_records(struct fuzz_reader reader, uint8_t *bytes, uint32_t *ret_size)
{
    uint8_t *record = bytes, *at = bytes + LOG_RECORD_HEADER_SIZE;
    uint32_t count = 1;

    while (reader.size > 0 && at < bytes + BATCH_SIZE_MAX - 1024) {
        bool ends;
        at = put_edit(&reader, at, &ends);
        if (ends) {
            base_put_le32(record, (uint32_t)(at - record) - LOG_RECORD_HEADER_SIZE);
            record = at;
            at += LOG_RECORD_HEADER_SIZE;
            count++;
        }
    }
    base_put_le32(record, (uint32_t)(at - record) - LOG_RECORD_HEADER_SIZE);
    *ret_size = (uint32_t)(at - bytes);
    return count;
}

static void put_contents(struct fuzz_reader *reader, struct log_batch *batch, uint8_t *entry, bool is_missing)
{
    for (uint32_t i = 0; i < batch->content_count; i++) {
        struct log_content content;
        uint64_t checksums[256];
        content.run.block = base.free_block - 128 + fuzz_take_8(reader);
        content.run.count = fuzz_take_8(reader);
        for (uint32_t k = 0; k < content.run.count; k++) {
            checksums[k] = store_content_checksum(fuzz_file_bytes() + (content.run.block + k) * STORE_BLOCK_SIZE);
        }
        content.checksum = log_content_combine(checksums, content.run.count) + is_missing;
        log_content_encode(&content, entry + (size_t)i * LOG_CONTENT_ENTRY_SIZE);
    }
}

/* What the decoder says of a batch by itself, in memory of exactly its size. */
static void read_batch(const uint8_t *bytes, const struct log_batch *expected)
{
    static uint8_t page[PAGE_SIZE];
    uint8_t *copy = malloc(expected->size > STORE_BLOCK_SIZE ? expected->size : STORE_BLOCK_SIZE);
    struct log_batch batch;
    struct log_reader reader;
    struct log_edit edit;
    int result;

    FUZZ_EXPECT(copy);
    memcpy(copy, bytes, expected->size);
    if (log_batch_peek(copy, expected->salt, UINT64_MAX, &batch) && log_batch_decode(copy, expected->salt, &batch)) {
        log_reader_init(&reader, &batch, PAGE_SIZE);
        while ((result = log_reader_next(&reader, &edit)) == 0) {
            log_edit_apply(&edit, page, PAGE_SIZE);
        }
        FUZZ_EXPECT(result == -ENOENT || result == -EUCLEAN);
    }
    free(copy);
}

/* Writes a batch's blocks round the ring. Returns the position behind. */
static uint64_t put_into_ring(const struct superblock_log *log, const uint8_t *bytes, uint64_t size, uint64_t position)
{
    for (uint64_t done = 0; done < size; done += STORE_BLOCK_SIZE) {
        uint64_t index = position / STORE_BLOCK_SIZE;
        for (uint32_t i = 0; i < log->run_count; i++) {
            if (index < log->runs[i].block_count) {
                uint64_t offset = (log->runs[i].block + index) * STORE_BLOCK_SIZE;
                memcpy(fuzz_file_bytes() + offset, bytes + done, STORE_BLOCK_SIZE);
                fuzz_file_touch(offset, STORE_BLOCK_SIZE);
                position += STORE_BLOCK_SIZE;
                break;
            }
            index -= log->runs[i].block_count;
            if (i + 1 == log->run_count) {
                position = 0;
                done -= STORE_BLOCK_SIZE;
            }
        }
    }
    return position;
}

static uint64_t put_batch(const struct superblock_log *log, struct fuzz_reader *reader, struct log_batch *batch,
                          uint64_t position)
{
    static uint8_t bytes[BATCH_SIZE_MAX + 64 * 1024];
    unsigned flags = fuzz_take_8(reader);
    struct fuzz_reader records = {NULL, fuzz_take_16(reader)};

    records.size = fuzz_take_bytes(reader, records.size, &records.data);
    memset(bytes, 0, sizeof bytes);
    if (flags & BATCH_RAW) {
        batch->records_size = (uint32_t)records.size;
        batch->record_count = fuzz_take_8(reader);
        if (records.size > 0) {
            memcpy(bytes + LOG_HEADER_SIZE, records.data, records.size);
        }
    } else {
        batch->record_count = put_records(records, bytes + LOG_HEADER_SIZE, &batch->records_size);
    }
    batch->content_count = fuzz_take_8(reader) % 16;
    put_contents(reader, batch, bytes + LOG_HEADER_SIZE + batch->records_size, flags & BATCH_NO_CONTENTS);
    batch->size = LOG_HEADER_SIZE + batch->records_size + batch->content_count * LOG_CONTENT_ENTRY_SIZE;
    uint32_t record_count = batch->record_count;
    batch->record_count += flags & BATCH_WRONG_COUNT ? 1 : 0;
    batch->sequence += flags & BATCH_SEQUENCE_GAP ? 1 : 0;
    batch->salt = SALT + (flags & BATCH_WRONG_SALT ? 1 : 0);
    log_batch_encode(batch, bytes);
    read_batch(bytes, batch);
    bytes[56] ^= flags & BATCH_WRONG_CHECKSUM ? 1 : 0;
    batch->sequence++;
    batch->first_lsn += record_count;
    return put_into_ring(log, bytes, log_batch_space(batch->size), position);
}

static void put_log(struct fuzz_reader *reader, bool is_large)
{
    struct superblock superblock = base.superblock;
    uint64_t ring_blocks = 0, used = 0;

    if (!is_large && superblock.log.run_count == 1 && superblock.log.runs[0].block_count > RING_BLOCKS_SMALL) {
        superblock.log.runs[0].block_count = RING_BLOCKS_SMALL;
    }
    for (uint32_t i = 0; i < superblock.log.run_count; i++) {
        ring_blocks += superblock.log.runs[i].block_count;
    }
    superblock.log.salt = SALT;
    superblock.log.next_position = fuzz_take_8(reader) % ring_blocks * STORE_BLOCK_SIZE;
    superblock.log.next_lsn = fuzz_take_number(reader);
    superblock.log.next_sequence = fuzz_take_8(reader);
    for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
        superblock_encode(&superblock, fuzz_file_bytes() + superblock_place(slot) * STORE_BLOCK_SIZE);
    }
    struct log_batch batch = {.sequence = superblock.log.next_sequence, .first_lsn = superblock.log.next_lsn};
    uint64_t position = superblock.log.next_position;

    for (unsigned i = 0; i < BATCHES_MAX && reader->size > 0 && used + 38 < ring_blocks; i++) {
        position = put_batch(&superblock.log, reader, &batch, position);
        used += log_batch_space(batch.size) / STORE_BLOCK_SIZE;
    }
}

/* --- Stores ------------------------------------------------------------------------------------------------------- */

/* Of all pages that can be read. *ret_result: how opening ended. */
static uint64_t sum_pages(struct os_file *file, bool read_only, int *ret_result)
{
    static uint8_t bytes[PAGE_SIZE];
    struct store_open_options options = {.read_only = read_only};
    struct store_check_report report = {0};
    struct base_reason reason = {""};
    uint64_t page = 0, sum = 0;
    struct store *store;

    fuzz_file_set_read_only(read_only);
    *ret_result = store_open(file, &options, &store, &reason);
    FUZZ_EXPECT(*ret_result == 0 || (*ret_result > -4096 && *ret_result < 0 && reason.text[0] != '\0'));
    if (*ret_result == 0) {
        while (store_page_next(store, &page) == 0) {
            int result = store_page_read(store, page, bytes);
            FUZZ_EXPECT(result == 0 || result == -EUCLEAN);
            sum = base_checksum(result == 0 ? bytes : NULL, result == 0 ? PAGE_SIZE : 0, sum + page);
        }
        if (read_only) {
            FUZZ_EXPECT(store_check(store, &report) == 0);
        }
        store_close(store);
    }
    fuzz_file_set_read_only(false);
    return sum;
}

static void use_store(struct os_file *file)
{
    int first, second, third;
    uint64_t in_memory = sum_pages(file, true, &first);

    sum_pages(file, false, &second);
    uint64_t on_disk = sum_pages(file, true, &third);
    FUZZ_EXPECT(second != 0 || (first == 0 && third == 0 && in_memory == on_disk));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_reader reader = {data, size}, script;
    unsigned flags = fuzz_take_8(&reader);
    struct os_file *file = fuzz_file_restore(base.copy);

    script.size = fuzz_take_bytes(&reader, fuzz_take_16(&reader), &script.data);
    put_log(&reader, flags & FLAG_LARGE_RING);
    if (flags & FLAG_STORE_ONLY) {
        use_store(file);
        return 0;
    }
    exercise_file(file, &script, false);
    return 0;
}
