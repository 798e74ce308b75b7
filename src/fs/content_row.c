/* Rows of contents: bytes to slots and back, and the walk over the rows of one inode. What comes from the disk is
 * checked here, all of it, before anybody uses it. */
#include "content.h"
#include "share.h"

#include "base/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    KIND_OFFSET = 0,
    RUN_COUNT_OFFSET = 1,
    RUNS_OFFSET = 2,
    RUN_SIZE = 8,
    CHECKSUM_SIZE = 8,
};

#define RUN_BLOCK_MASK  ((1ULL << 48) - 1)
#define RUN_COUNT_SHIFT 48
#define RUN_UNWRITTEN   (1ULL << 56)
#define RUN_SHARED      (1ULL << 57)
#define RUN_KNOWN_SHIFT 58

_Static_assert(RUNS_OFFSET + FS_CHUNK_BLOCKS * (RUN_SIZE + CHECKSUM_SIZE) == FS_CHUNK_ROW_SIZE_MAX, "chunk row");

uint32_t fs_piece_size(const struct fs *fs)
{
    size_t row = btree_row_size_max(store_get_page_size(fs->store));

    return (uint32_t)((row - FS_CONTENT_KEY_SIZE - 1) / 64 * 64);
}

int fs_content_damaged(uint64_t inode, uint64_t offset, const char *why)
{
    if (fs_content_may_report()) {
        base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 ": row of contents at offset %" PRIu64 ": %s", inode, offset,
                     why);
    }
    return -EUCLEAN;
}

/* One run as the row has it. */
struct row_run {
    uint64_t block;
    uint32_t count;
    bool unwritten;
    bool shared;
};

static int decode_run(uint64_t bits, struct row_run *ret_run, struct base_reason *ret_reason)
{
    struct row_run run = {
        .block = bits & RUN_BLOCK_MASK,
        .count = (uint32_t)((bits >> RUN_COUNT_SHIFT) & 0xFF) + 1,
        .unwritten = (bits & RUN_UNWRITTEN) != 0,
        .shared = (bits & RUN_SHARED) != 0,
    };

    if ((bits >> RUN_KNOWN_SHIFT) != 0) {
        base_reason_set(ret_reason, "a run has unknown bits");
        return -EUCLEAN;
    }
    if (run.block == 0 && (run.unwritten || run.shared)) {
        base_reason_set(ret_reason, "a hole is marked %s", run.unwritten ? "unwritten" : "shared");
        return -EUCLEAN;
    }
    if (run.unwritten && run.shared) {
        base_reason_set(ret_reason, "an unwritten run is marked shared");
        return -EUCLEAN;
    }
    *ret_run = run;
    return 0;
}

/* Whether a run has a block of one before it; two shared ones may. */
static bool comes_twice(const struct row_run *runs, uint32_t index)
{
    const struct row_run *run = &runs[index];

    for (uint32_t i = 0; i < index; i++) {
        if (runs[i].block != 0 && run->block < runs[i].block + runs[i].count &&
            runs[i].block < run->block + run->count && !(run->shared && runs[i].shared)) {
            return true;
        }
    }
    return false;
}

/* Runs fit the chunk, the value has exactly the checksums they call for, and no block comes twice but a shared one. */
static int decode_runs(struct store *store, struct btree_slice value, struct row_run *ret_runs, uint32_t *ret_count,
                       struct base_reason *ret_reason)
{
    const uint8_t *bytes = value.bytes;
    uint32_t count, blocks = 0, checksums = 0;

    if (value.size < RUNS_OFFSET || bytes[KIND_OFFSET] != FS_CONTENT_CHUNK) {
        base_reason_set(ret_reason, "no chunk");
        return -EUCLEAN;
    }
    count = bytes[RUN_COUNT_OFFSET];
    if (count < 1 || count > FS_CHUNK_BLOCKS || value.size < RUNS_OFFSET + (size_t)count * RUN_SIZE) {
        base_reason_set(ret_reason, "%" PRIu32 " runs in %zu bytes", count, value.size);
        return -EUCLEAN;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct row_run *run = &ret_runs[i];

        if (decode_run(base_get_le64(bytes + RUNS_OFFSET + (size_t)i * RUN_SIZE), run, ret_reason) < 0) {
            return -EUCLEAN;
        }
        blocks += run->count;
        if (blocks > FS_CHUNK_BLOCKS) {
            base_reason_set(ret_reason, "the runs are longer than a chunk");
            return -EUCLEAN;
        }
        if (run->block == 0) {
            continue;
        }
        if (!run->unwritten) {
            checksums += run->count;
        }
        if (comes_twice(ret_runs, i)) {
            base_reason_set(ret_reason, "block %" PRIu64 " comes twice", run->block);
            return -EUCLEAN;
        }
        if (!store_content_is_valid(store, (struct store_run){run->block, run->count})) {
            base_reason_set(ret_reason, "blocks %" PRIu64 "+%" PRIu32 " are no contents", run->block, run->count);
            return -EUCLEAN;
        }
    }
    if (ret_runs[count - 1].block == 0) {
        base_reason_set(ret_reason, "a hole at the end");
        return -EUCLEAN;
    }
    if (value.size != RUNS_OFFSET + (size_t)count * RUN_SIZE + (size_t)checksums * CHECKSUM_SIZE) {
        base_reason_set(ret_reason, "%" PRIu32 " runs and %" PRIu32 " checksums in %zu bytes", count, checksums,
                        value.size);
        return -EUCLEAN;
    }
    *ret_count = count;
    return 0;
}

int fs_chunk_decode(struct store *store, struct btree_slice value, struct fs_chunk *ret_chunk,
                    struct base_reason *ret_reason)
{
    struct row_run runs[FS_CHUNK_BLOCKS];
    uint32_t count, slot = 0;
    const uint8_t *checksum;
    int ret = decode_runs(store, value, runs, &count, ret_reason);

    if (ret < 0) {
        return ret;
    }
    memset(ret_chunk, 0, sizeof *ret_chunk);
    checksum = (const uint8_t *)value.bytes + RUNS_OFFSET + (size_t)count * RUN_SIZE;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < runs[i].count; k++, slot++) {
            if (runs[i].block == 0) {
                continue;
            }
            ret_chunk->blocks[slot] = runs[i].block + k;
            ret_chunk->shared |= (uint32_t)runs[i].shared << slot;
            if (runs[i].unwritten) {
                ret_chunk->unwritten |= 1U << slot;
            } else {
                ret_chunk->checksums[slot] = base_get_le64(checksum);
                checksum += CHECKSUM_SIZE;
            }
        }
    }
    if (fs_share_count_groups(ret_chunk->blocks, ret_chunk->shared) > FS_SHARE_GROUPS_MAX) {
        base_reason_set(ret_reason, "shared blocks in too many places");
        return -EUCLEAN;
    }
    return 0;
}

static bool slot_is_unwritten(const struct fs_chunk *chunk, uint32_t slot)
{
    return (chunk->unwritten >> slot & 1U) != 0;
}

static bool slot_is_shared(const struct fs_chunk *chunk, uint32_t slot)
{
    return (chunk->shared >> slot & 1U) != 0;
}

/* How many slots from slot on make one run of the row. */
static uint32_t slots_of_run(const struct fs_chunk *chunk, uint32_t slot, uint32_t end)
{
    uint32_t count = 1;

    while (slot + count < end && slot_is_unwritten(chunk, slot + count) == slot_is_unwritten(chunk, slot) &&
           slot_is_shared(chunk, slot + count) == slot_is_shared(chunk, slot) &&
           chunk->blocks[slot + count] == (chunk->blocks[slot] == 0 ? 0 : chunk->blocks[slot] + count)) {
        count++;
    }
    return count;
}

size_t fs_chunk_encode(const struct fs_chunk *chunk, uint8_t *row)
{
    uint32_t end = FS_CHUNK_BLOCKS, run_count = 0;
    uint8_t *to = row + RUNS_OFFSET;

    while (end > 0 && chunk->blocks[end - 1] == 0) {
        end--;
    }
    if (end == 0) {
        return 0;
    }
    for (uint32_t slot = 0, count; slot < end; slot += count) {
        count = slots_of_run(chunk, slot, end);
        BASE_ASSERT(chunk->blocks[slot] <= RUN_BLOCK_MASK);
        base_put_le64(to, chunk->blocks[slot] | (uint64_t)(count - 1) << RUN_COUNT_SHIFT |
                              (slot_is_unwritten(chunk, slot) ? RUN_UNWRITTEN : 0) |
                              (slot_is_shared(chunk, slot) ? RUN_SHARED : 0));
        to += RUN_SIZE;
        run_count++;
    }
    for (uint32_t slot = 0; slot < end; slot++) {
        if (chunk->blocks[slot] != 0 && !slot_is_unwritten(chunk, slot)) {
            base_put_le64(to, chunk->checksums[slot]);
            to += CHECKSUM_SIZE;
        }
    }
    row[KIND_OFFSET] = FS_CONTENT_CHUNK;
    row[RUN_COUNT_OFFSET] = (uint8_t)run_count;
    return (size_t)(to - row);
}

uint32_t fs_chunk_count_blocks(const struct fs_chunk *chunk)
{
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
        count += chunk->blocks[slot] != 0;
    }
    return count;
}

struct store_run fs_chunk_run(const struct fs_chunk *chunk, uint32_t slot)
{
    struct store_run run = {.block = chunk->blocks[slot]};

    if (run.block == 0) {
        return run;
    }
    run.count = 1;
    while (slot + run.count < FS_CHUNK_BLOCKS && chunk->blocks[slot + run.count] == run.block + run.count &&
           slot_is_shared(chunk, slot + run.count) == slot_is_shared(chunk, slot)) {
        run.count++;
    }
    return run;
}

/* --- The walk ----------------------------------------------------------------------------------------------------- */

int fs_content_walk_open(struct fs *fs, struct txn *txn, uint64_t inode, struct fs_content_walk *ret_walk)
{
    struct fs_content_walk walk = {.fs = fs, .txn = txn, .inode = inode};
    int ret = btree_cursor_open(fs->tree, &walk.cursor);

    if (ret < 0) {
        return ret;
    }
    *ret_walk = walk;
    return 0;
}

void fs_content_walk_close(struct fs_content_walk *walk)
{
    btree_cursor_close(walk->cursor);
}

/* What the cursor stands on, if it is a row of this inode. */
static int walk_row(const struct fs_content_walk *walk, struct fs_content_row *ret_row)
{
    struct btree_slice key = btree_cursor_key(walk->cursor);
    uint8_t prefix[FS_CONTENT_KEY_SIZE];
    struct fs_content_row row = {.value = btree_cursor_value(walk->cursor)};

    fs_key_content(prefix, walk->inode, 0);
    if (key.size < 9 || memcmp(key.bytes, prefix, 9) != 0) {
        return -ENOENT;
    }
    if (key.size != FS_CONTENT_KEY_SIZE) {
        return fs_content_damaged(walk->inode, 0, "a key of the wrong size");
    }
    row.offset = base_get_be64((const uint8_t *)key.bytes + 9);
    row.kind = row.value.size > 0 ? *(const uint8_t *)row.value.bytes : 0;
    if (row.kind == FS_CONTENT_CHUNK && row.offset % FS_CHUNK_SIZE == 0 && row.offset <= FS_FILE_SIZE_MAX) {
        *ret_row = row;
    } else if (row.kind == FS_CONTENT_PIECE && row.offset % fs_piece_size(walk->fs) == 0 && row.value.size > 1 &&
               row.value.size - 1 <= fs_piece_size(walk->fs) && row.offset <= FS_SYMLINK_SIZE_MAX) {
        *ret_row = row;
    } else {
        return fs_content_damaged(walk->inode, row.offset, "neither a piece nor a chunk");
    }
    return 0;
}

int fs_content_walk_seek(struct fs_content_walk *walk, uint64_t offset, struct fs_content_row *ret_row)
{
    uint8_t key[FS_CONTENT_KEY_SIZE];
    size_t key_size = fs_key_content(key, walk->inode, offset);
    int ret = btree_cursor_seek(walk->cursor, walk->txn, (struct btree_slice){key, key_size});

    return ret < 0 ? ret : walk_row(walk, ret_row);
}

int fs_content_walk_next(struct fs_content_walk *walk, struct fs_content_row *ret_row)
{
    int ret = btree_cursor_next(walk->cursor, walk->txn);

    return ret < 0 ? ret : walk_row(walk, ret_row);
}

int fs_content_row_to_chunk(struct fs *fs, uint64_t inode, const struct fs_content_row *row, struct fs_chunk *ret_chunk)
{
    struct base_reason reason;
    int ret;

    if (row->kind != FS_CONTENT_CHUNK) {
        return fs_content_damaged(inode, row->offset, "a piece among chunks");
    }
    ret = fs_chunk_decode(fs->store, row->value, ret_chunk, &reason);
    return ret < 0 ? fs_content_damaged(inode, row->offset, reason.text) : 0;
}
