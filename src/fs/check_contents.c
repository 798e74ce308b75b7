/* The check of contents (C): rows against the inode's kind, size and count of blocks, blocks against the bitmap (each
 * named by exactly one run), and, when asked for, bytes against checksums. */
#include "base/bytes.h"
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* The inode whose rows are being read. */
struct contents {
    uint64_t inode; /* 0: none yet */
    struct check_record *record;
    bool known;   /* row was read: the rows can be compared with it */
    bool counted; /* every row so far could be decoded */
    struct fs_inode_row row;
    uint64_t freeing_from; /* UINT64_MAX: nothing is being freed */
    uint64_t blocks;       /* that the rows name */
    uint64_t pieces_end;   /* where the next piece must begin */
    bool has_pieces, has_chunks;
};

static bool is_orphan(const struct contents *contents)
{
    return contents->row.attributes.link_count == 0;
}

static void end_contents(struct checker *checker, const struct contents *contents)
{
    const struct fs_attributes *attributes = &contents->row.attributes;

    if (contents->inode == 0 || !contents->known) {
        return;
    }
    contents->record->flags &= (uint16_t)~CHECK_CONTENTS;
    if (contents->has_pieces && contents->has_chunks) {
        check_problem(checker, "inode %" PRIu64 ": has pieces and chunks", contents->inode);
    }
    if (contents->counted && contents->blocks != contents->row.content_blocks) {
        check_problem(checker, "inode %" PRIu64 ": counts %" PRIu64 " content blocks, its rows name %" PRIu64,
                      contents->inode, contents->row.content_blocks, contents->blocks);
    }
    if (contents->row.pieces > 0 && !is_orphan(contents) && contents->pieces_end != contents->row.pieces - 1) {
        check_problem(checker, "inode %" PRIu64 ": counts %u bytes in pieces, there are %" PRIu64, contents->inode,
                      contents->row.pieces - 1, contents->pieces_end);
    }
    if (S_ISLNK(attributes->mode) && !is_orphan(contents) && contents->pieces_end != attributes->size) {
        check_problem(checker, "symlink %" PRIu64 ": a target of %" PRIu64 " bytes, %" PRIu64 " are there",
                      contents->inode, attributes->size, contents->pieces_end);
    }
}

static void begin_contents(struct checker *checker, uint64_t inode, struct contents *ret_contents)
{
    struct contents contents = {.inode = inode, .counted = true, .freeing_from = UINT64_MAX};

    contents.record = check_find(checker, inode);
    if (contents.record == NULL) {
        if (!checker->incomplete) {
            check_problem(checker, "inode %" PRIu64 " has contents, but does not exist", inode);
        }
    } else if (fs_inode_row_read(checker->fs, NULL, inode, &contents.row) == 0) {
        contents.known = true;
        if (!S_ISREG(contents.row.attributes.mode) && !S_ISLNK(contents.row.attributes.mode)) {
            check_problem(checker, "inode %" PRIu64 " has contents, but is no file", inode);
        }
        if ((contents.record->flags & CHECK_FREEING) != 0) {
            (void)fs_freeing_find(checker->fs, NULL, inode, &contents.freeing_from);
        }
    }
    *ret_contents = contents;
}

/* --- Pieces ------------------------------------------------------------------------------------------------------- */

static void check_target_piece(struct checker *checker, const struct contents *contents, struct btree_slice value)
{
    if (contents->row.attributes.size <= FS_SYMLINK_INLINE_MAX && contents->pieces_end == value.size - 1) {
        check_problem(checker, "symlink %" PRIu64 ": its target stands in its inode and in a piece", contents->inode);
    }
    if (memchr((const uint8_t *)value.bytes + 1, '\0', value.size - 1) != NULL) {
        check_problem(checker, "symlink %" PRIu64 ": a zero byte in its target", contents->inode);
    }
}

static void check_piece(struct checker *checker, struct contents *contents, uint64_t offset, struct btree_slice value)
{
    uint32_t piece = fs_piece_size(checker->fs);
    size_t size = value.size - 1;
    uint64_t limit = FS_INLINE_MAX;

    contents->has_pieces = true;
    if (size == 0 || size > piece || offset != contents->pieces_end || offset % piece != 0) {
        check_problem(checker, "inode %" PRIu64 ": a piece of %zu bytes at offset %" PRIu64 " does not follow",
                      contents->inode, size, offset);
        return;
    }
    contents->pieces_end = offset + size;
    if (!contents->known) {
        return;
    }
    if (S_ISLNK(contents->row.attributes.mode)) {
        limit = FS_SYMLINK_SIZE_MAX;
        check_target_piece(checker, contents, value);
    }
    if (contents->pieces_end > limit || contents->pieces_end > contents->row.attributes.size) {
        check_problem(checker, "inode %" PRIu64 ": pieces up to %" PRIu64 ", but its size is %" PRIu64, contents->inode,
                      contents->pieces_end, contents->row.attributes.size);
    }
}

/* --- Chunks ------------------------------------------------------------------------------------------------------- */

static bool is_named(const struct checker *checker, uint64_t block)
{
    return (checker->named[block / 8] & (uint8_t)(1U << (block % 8))) != 0;
}

static void note_block(struct checker *checker, const struct contents *contents, uint64_t offset, uint64_t block,
                       bool is_shared)
{
    uint8_t bit = (uint8_t)(1U << (block % 8));
    bool has_owners, was_named;

    if (block >= checker->block_count) {
        return; /* the decoder has compared it with the bitmap */
    }
    has_owners = check_shares_note(checker, contents->inode, block, is_shared);
    was_named = is_named(checker, block);
    if (has_owners && was_named) {
        return;
    }
    if (was_named && !checker->shares_incomplete) {
        check_problem(checker, "inode %" PRIu64 ": block %" PRIu64 " at offset %" PRIu64 " is named twice",
                      contents->inode, block, offset);
    }
    checker->named[block / 8] |= bit;
    checker->report->content_blocks++;
}

/* Whether a chunk may be where it is. Beyond the end there is nothing but what fallocate reserved. */
static void check_place(struct checker *checker, const struct contents *contents, uint64_t offset,
                        const struct fs_chunk *chunk)
{
    uint64_t size = contents->row.attributes.size, end = 0;

    for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
        if (chunk->blocks[slot] != 0 && (chunk->unwritten >> slot & 1U) == 0) {
            end = offset + (uint64_t)(slot + 1) * STORE_BLOCK_SIZE;
        }
    }
    if (!contents->known || offset >= contents->freeing_from) {
        return;
    }
    if (!S_ISREG(contents->row.attributes.mode)) {
        check_problem(checker, "symlink %" PRIu64 " has a chunk", contents->inode);
    } else if (end > fs_round_up(size, STORE_BLOCK_SIZE)) {
        check_problem(checker, "inode %" PRIu64 ": contents up to %" PRIu64 ", but its size is %" PRIu64,
                      contents->inode, end, size);
    }
}

static bool tail_is_zero(const struct contents *contents, uint64_t offset, const uint8_t *bytes)
{
    uint64_t size = contents->row.attributes.size;

    if (!contents->known || is_orphan(contents) || size <= offset || size - offset >= STORE_BLOCK_SIZE) {
        return true;
    }
    for (uint64_t i = size - offset; i < STORE_BLOCK_SIZE; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static void check_bytes(struct checker *checker, const struct contents *contents, uint64_t offset,
                        const struct fs_chunk *chunk, uint32_t slot, struct store_run run)
{
    if (store_content_read(checker->fs->store, run, checker->buffer) < 0) {
        check_problem(checker, "inode %" PRIu64 ": blocks %" PRIu64 "+%" PRIu32 " can't be read", contents->inode,
                      run.block, run.count);
        return;
    }
    for (uint32_t i = 0; i < run.count; i++) {
        const uint8_t *bytes = checker->buffer + (size_t)i * STORE_BLOCK_SIZE;
        uint64_t at = offset + (uint64_t)(slot + i) * STORE_BLOCK_SIZE;

        if (store_content_checksum(bytes) != chunk->checksums[slot + i]) {
            check_problem(checker,
                          "inode %" PRIu64 ": contents at offset %" PRIu64 " (block %" PRIu64 "): wrong checksum",
                          contents->inode, at, run.block + i);
        } else if (!tail_is_zero(contents, at, bytes)) {
            check_problem(checker, "inode %" PRIu64 ": bytes beyond its size in block %" PRIu64 " are not zero",
                          contents->inode, run.block + i);
        }
    }
}

/* The parts of a run that hold data: what is only reserved need not even be readable. */
static void check_written(struct checker *checker, const struct contents *contents, uint64_t offset,
                          const struct fs_chunk *chunk, uint32_t slot, struct store_run run)
{
    for (uint32_t i = 0, count; i < run.count; i += count) {
        bool is_unwritten = (chunk->unwritten >> (slot + i) & 1U) != 0;

        count = 1;
        while (i + count < run.count && ((chunk->unwritten >> (slot + i + count) & 1U) != 0) == is_unwritten) {
            count++;
        }
        if (!is_unwritten) {
            check_bytes(checker, contents, offset, chunk, slot + i, (struct store_run){run.block + i, count});
        }
    }
}

static int check_chunk(struct checker *checker, struct contents *contents, uint64_t offset, struct btree_slice value)
{
    struct fs_chunk chunk;
    struct base_reason reason;

    contents->has_chunks = true;
    if (offset % FS_CHUNK_SIZE != 0 || offset > FS_FILE_SIZE_MAX ||
        fs_chunk_decode(checker->fs->store, value, &chunk, &reason) < 0) {
        if (offset % FS_CHUNK_SIZE != 0 || offset > FS_FILE_SIZE_MAX) {
            base_reason_set(&reason, "an impossible offset");
        }
        check_problem(checker, "inode %" PRIu64 ": chunk at offset %" PRIu64 ": %s", contents->inode, offset,
                      reason.text);
        contents->counted = false;
        checker->incomplete = true; /* whose blocks are leaked is unknown now */
        return 0;
    }
    check_place(checker, contents, offset, &chunk);
    contents->blocks += fs_chunk_count_blocks(&chunk);
    for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS;) {
        struct store_run run = fs_chunk_run(&chunk, slot);

        for (uint32_t i = 0; i < run.count; i++) {
            note_block(checker, contents, offset + (uint64_t)(slot + i) * STORE_BLOCK_SIZE, run.block + i,
                       (chunk.shared >> (slot + i) & 1U) != 0);
        }
        if (run.count > 0 && checker->report->data) {
            check_written(checker, contents, offset, &chunk, slot, run);
        }
        slot += run.count > 0 ? run.count : 1;
    }
    return checker->report->data
               ? check_progress(checker, FS_CHECK_CONTENTS, checker->report->content_blocks, checker->content_total)
               : 0;
}

/* --- The table ---------------------------------------------------------------------------------------------------- */

static int check_content_row(struct checker *checker, struct btree_slice key, struct btree_slice value, void *context)
{
    struct contents *contents = context;
    uint64_t inode, offset;
    uint8_t kind;

    if (key.size != FS_CONTENT_KEY_SIZE) {
        check_problem(checker, "table C: a key of %zu bytes", key.size);
        return 0;
    }
    inode = base_get_be64((const uint8_t *)key.bytes + 1);
    offset = base_get_be64((const uint8_t *)key.bytes + 9);
    if (inode == 0) {
        check_problem(checker, "table C: contents of inode 0");
    }
    if (inode != contents->inode) {
        end_contents(checker, contents);
        begin_contents(checker, inode, contents);
    }
    kind = value.size > 0 ? *(const uint8_t *)value.bytes : 0;
    if (kind == FS_CONTENT_PIECE) {
        check_piece(checker, contents, offset, value);
    } else if (kind == FS_CONTENT_CHUNK) {
        return check_chunk(checker, contents, offset, value);
    } else {
        check_problem(checker, "inode %" PRIu64 ": contents at offset %" PRIu64 ": unknown kind %u", inode, offset,
                      (unsigned)kind);
    }
    return 0;
}

/* Blocks that the bitmap marks and no row names. */
static int check_leaks(struct checker *checker)
{
    struct store_run run;
    uint64_t from = 0;
    int ret;

    while ((ret = store_content_next(checker->fs->store, from, &run)) == 0) {
        uint64_t end = run.block + run.count;

        for (uint64_t block = run.block; block < end;) {
            uint64_t first = block;

            while (block < end && block < checker->block_count && !is_named(checker, block)) {
                block++;
            }
            if (block > first) {
                check_problem(checker, "blocks %" PRIu64 "+%" PRIu64 " are marked as contents, but no row names them",
                              first, block - first);
            } else {
                block++;
            }
        }
        from = end;
    }
    return ret == -ENOENT ? 0 : ret;
}

int check_contents(struct checker *checker)
{
    struct contents contents = {.inode = 0};
    int ret = check_table(checker, 'C', check_content_row, &contents);

    if (ret < 0) {
        return ret;
    }
    end_contents(checker, &contents);
    for (size_t i = 0; i < checker->record_count && !checker->incomplete; i++) {
        if ((checker->records[i].flags & CHECK_CONTENTS) != 0) {
            check_problem(checker, "inode %" PRIu64 ": should have rows of contents, but has none",
                          checker->records[i].inode);
        }
    }
    if (checker->incomplete) {
        return 0;
    }
    check_shares_end(checker);
    return check_leaks(checker);
}
