/* The bytes of the log (docs/format.md, section "Log"): batches, records, edits.
 *
 *      batch:   header (64 bytes) | records | content entries | zeros to a multiple of 4096
 *      header:  salt (8) sequence (8) first LSN (8) record count (4) size of all records (4) content entries (4)
 *               size without the zeros at the end (4) zeros (16) checksum (8)
 *      record:  size of its edits (4) | edits
 *      edit:    kind (1) and
 *               PAGE   page (8)                            the page that the following edits change
 *               NEW                                        it is taken into use and is zeros
 *               FREE                                       it is no longer in use
 *               PUT    offset (2) size - 1 (2) bytes
 *               MOVE   to (2) from (2) size - 1 (2)        within the page, as memmove
 *               ADD    block (8) count (4)                 blocks become contents (at most LOG_RUN_BLOCKS_MAX)
 *               DROP   block (8) count (4)                 ... and are contents no more
 *      content entry: block (8) count (4) zero (4) checksum (8)
 *               The checksum is that of the blocks' checksums (8 bytes each, little-endian) one behind the other.
 *
 * The checksum of a batch covers header and rest, its own field taken as zeros, and is seeded with the salt; records
 * have consecutive LSNs. Everything here is checked as it is read; nothing is believed. */
#ifndef BEEFTREE_STORE_LOG_FORMAT_H
#define BEEFTREE_STORE_LOG_FORMAT_H

#include "base/message.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_HEADER_SIZE        64U
#define LOG_RECORD_HEADER_SIZE 4U
#define LOG_CONTENT_ENTRY_SIZE 24U
#define LOG_BATCH_SIZE_MAX     (64U << 20) /* bytes */
#define LOG_RUN_BLOCKS_MAX     32768U      /* blocks of one ADD or DROP */

/* The header of a batch, and where its parts are when it was decoded from bytes that outlive it. */
struct log_batch {
    uint64_t salt;
    uint64_t sequence;
    uint64_t first_lsn;
    uint32_t record_count;
    uint32_t records_size;  /* bytes */
    uint32_t content_count; /* entries */
    uint32_t size;          /* bytes, without the zeros at the end */
    const uint8_t *records;
    const uint8_t *contents;
};

/* What a batch takes in the ring: whole blocks. */
static inline uint64_t log_batch_space(uint64_t size)
{
    return (size + STORE_BLOCK_SIZE - 1) / STORE_BLOCK_SIZE * STORE_BLOCK_SIZE;
}

/* Fills in the header of a batch whose records and contents stand behind it already, with the checksum over all. */
void log_batch_encode(const struct log_batch *batch, uint8_t *bytes);

/* A look at a block that may begin a batch: whether salt is right and sizes are possible (and at most size_max); the
 * checksum is not looked at yet. records and contents are NULL. */
bool log_batch_peek(const uint8_t block[STORE_BLOCK_SIZE], uint64_t salt, uint64_t size_max,
                    struct log_batch *ret_batch);

/* bytes hold at least the size that log_batch_peek said. False when the checksum is wrong. */
bool log_batch_decode(const uint8_t *bytes, uint64_t salt, struct log_batch *ret_batch);

struct log_content {
    struct store_run run;
    uint64_t checksum;
};

void log_content_encode(const struct log_content *content, uint8_t entry[LOG_CONTENT_ENTRY_SIZE]);
/* False for an impossible entry (no blocks, a bad padding). */
bool log_content_decode(const struct log_batch *batch, uint32_t index, struct log_content *ret_content);
/* Of the checksums of a run's blocks. */
uint64_t log_content_combine(const uint64_t *block_checksums, uint32_t count);
/* The same one by one: `combined` begins with the count of blocks. */
uint64_t log_content_combine_next(uint64_t combined, uint64_t block_checksum);

enum log_edit_kind {
    LOG_EDIT_PAGE = 1,
    LOG_EDIT_NEW,
    LOG_EDIT_FREE,
    LOG_EDIT_PUT,
    LOG_EDIT_MOVE,
    LOG_EDIT_ADD,
    LOG_EDIT_DROP,
};

/* Sizes of edits: kind byte and the rest (PUT: without its bytes). */
enum {
    LOG_EDIT_PAGE_SIZE = 9,
    LOG_EDIT_MARK_SIZE = 1, /* NEW, FREE */
    LOG_EDIT_PUT_SIZE = 5,
    LOG_EDIT_MOVE_SIZE = 7,
    LOG_EDIT_RUN_SIZE = 13, /* ADD, DROP */
};

struct log_edit {
    enum log_edit_kind kind;
    uint64_t page;        /* of NEW, FREE, PUT, MOVE */
    uint32_t offset;      /* PUT, MOVE: where to */
    uint32_t from;        /* MOVE */
    uint32_t size;        /* PUT, MOVE */
    const uint8_t *bytes; /* PUT: in the batch */
    struct store_run run; /* ADD, DROP */
};

/* Reads the edits of a batch, record by record. */
struct log_reader {
    const uint8_t *at;
    const uint8_t *record_end;
    const uint8_t *end;
    uint32_t page_size;
    uint64_t page;
    uint64_t lsn; /* of the record being read */
};

void log_reader_init(struct log_reader *reader, const struct log_batch *batch, uint32_t page_size);

/* The next edit (never LOG_EDIT_PAGE), of this record or the next one. -ENOENT at the end; -EUCLEAN for what can't be:
 * an edit outside its page or record, an edit before any page, page 0, an empty or too long run, records that don't
 * fill their space. Bounds of page numbers and runs against the file are the caller's. */
int log_reader_next(struct log_reader *reader, struct log_edit *ret_edit);

/* Does a PUT or MOVE, or zeros for a NEW, on a page's bytes. */
void log_edit_apply(const struct log_edit *edit, uint8_t *page, uint32_t page_size);

/* Writing edits: each returns the byte behind. The caller has made room. */
uint8_t *log_put_page(uint8_t *at, uint64_t page);
uint8_t *log_put_mark(uint8_t *at, enum log_edit_kind kind);
uint8_t *log_put_put(uint8_t *at, uint32_t offset, const void *bytes, uint32_t size);
uint8_t *log_put_move(uint8_t *at, uint32_t to, uint32_t from, uint32_t size);
uint8_t *log_put_run(uint8_t *at, enum log_edit_kind kind, struct store_run run);

#endif
