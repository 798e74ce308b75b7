/* Reading: rows are walked in order; what no row holds is zeros. Blocks that follow each other in the file and in the
 * database, also from one row to the next, make one extent, which is read at once, straight into the caller's buffer;
 * only a first or last block that the request cuts goes through a buffer of its own, since a checksum needs the whole
 * block. */
#include "content.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Blocks that one extent gathers: 1 MiB, and 2 KiB of checksums on the stack. */
#define EXTENT_BLOCKS_MAX 256U

struct reader {
    struct fs *fs;
    uint64_t inode;
    uint8_t *buffer;
    uint64_t offset;   /* in the file, of the buffer's first byte */
    uint64_t end;      /* of what is to be read */
    uint64_t capacity; /* of the buffer, as an offset in the file: a last block may be read whole up to here */
    uint64_t done;     /* up to here the buffer is filled, or will be by the extent */
    uint8_t kind;      /* of the rows met so far; 0: none */
    uint64_t extent_offset;
    struct store_run extent;
    uint64_t checksums[EXTENT_BLOCKS_MAX];
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void fill_zeros(struct reader *reader, uint64_t to)
{
    to = min_u64(to, reader->end);
    if (to <= reader->done) {
        return;
    }
    memset(reader->buffer + (reader->done - reader->offset), 0, to - reader->done);
    reader->done = to;
}

/* One block that the request or the buffer cuts. */
static int read_cut_block(struct reader *reader, uint32_t index)
{
    uint8_t block[STORE_BLOCK_SIZE];
    uint64_t start = reader->extent_offset + (uint64_t)index * STORE_BLOCK_SIZE;
    uint64_t from = max_u64(start, reader->offset), to = min_u64(start + STORE_BLOCK_SIZE, reader->end);
    struct store_run run = {reader->extent.block + index, 1};
    int ret = fs_content_read_run(reader->fs, reader->inode, start, run, block);

    if (ret < 0) {
        return ret;
    }
    ret = fs_content_verify(reader->inode, start, run.block, block, &reader->checksums[index], 1);
    if (ret < 0) {
        return ret;
    }
    memcpy(reader->buffer + (from - reader->offset), block + (from - start), to - from);
    return 0;
}

static int read_whole_blocks(struct reader *reader, uint32_t index, uint32_t count)
{
    uint64_t start = reader->extent_offset + (uint64_t)index * STORE_BLOCK_SIZE;
    struct store_run run = {reader->extent.block + index, count};
    uint8_t *to = reader->buffer + (start - reader->offset);
    int ret = fs_content_read_run(reader->fs, reader->inode, start, run, to);

    if (ret < 0) {
        return ret;
    }
    return fs_content_verify(reader->inode, start, run.block, to, &reader->checksums[index], count);
}

static int read_extent(struct reader *reader)
{
    uint32_t first = 0, count = reader->extent.count;
    int ret = 0;

    if (count == 0) {
        return 0;
    }
    if (reader->extent_offset < reader->offset) {
        ret = read_cut_block(reader, 0);
        if (ret < 0) {
            return ret;
        }
        first = 1;
    }
    if (count > first && reader->extent_offset + (uint64_t)count * STORE_BLOCK_SIZE > reader->capacity) {
        ret = read_cut_block(reader, count - 1);
        if (ret < 0) {
            return ret;
        }
        count--;
    }
    if (count > first) {
        ret = read_whole_blocks(reader, first, count - first);
    }
    reader->extent.count = 0;
    return ret;
}

static int add_block(struct reader *reader, uint64_t offset, uint64_t block, uint64_t checksum)
{
    struct store_run *extent = &reader->extent;

    if (extent->count == EXTENT_BLOCKS_MAX ||
        (extent->count > 0 && (block != extent->block + extent->count ||
                               offset != reader->extent_offset + (uint64_t)extent->count * STORE_BLOCK_SIZE))) {
        int ret = read_extent(reader);

        if (ret < 0) {
            return ret;
        }
    }
    if (extent->count == 0) {
        extent->block = block;
        reader->extent_offset = offset;
    }
    fill_zeros(reader, offset);
    reader->checksums[extent->count++] = checksum;
    reader->done = min_u64(offset + STORE_BLOCK_SIZE, reader->end);
    return 0;
}

static int read_chunk(struct reader *reader, const struct fs_content_row *row)
{
    struct fs_chunk chunk;
    uint64_t from = max_u64(row->offset, reader->offset), to = min_u64(row->offset + FS_CHUNK_SIZE, reader->end);
    int ret = fs_content_row_to_chunk(reader->fs, reader->inode, row, &chunk);

    if (ret < 0) {
        return ret;
    }
    for (uint64_t offset = fs_round_down(from, STORE_BLOCK_SIZE); offset < to; offset += STORE_BLOCK_SIZE) {
        uint32_t slot = (uint32_t)((offset - row->offset) / STORE_BLOCK_SIZE);

        if (chunk.blocks[slot] == 0 || (chunk.unwritten >> slot & 1U) != 0) {
            continue;
        }
        ret = add_block(reader, offset, chunk.blocks[slot], chunk.checksums[slot]);
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

static void read_piece(struct reader *reader, const struct fs_content_row *row)
{
    uint64_t from = max_u64(row->offset, reader->offset);
    uint64_t to = min_u64(row->offset + (row->value.size - 1), reader->end);
    const uint8_t *bytes = (const uint8_t *)row->value.bytes + 1;

    if (from >= to) {
        return;
    }
    fill_zeros(reader, from);
    memcpy(reader->buffer + (from - reader->offset), bytes + (from - row->offset), to - from);
    reader->done = to;
}

static int read_rows(struct reader *reader, struct fs_content_walk *walk)
{
    struct fs_content_row row;
    int ret;

    for (ret = fs_content_walk_seek(walk, fs_round_down(reader->offset, FS_CHUNK_SIZE), &row);
         ret == 0 && row.offset < reader->end; ret = fs_content_walk_next(walk, &row)) {
        if (reader->kind != 0 && row.kind != reader->kind) {
            ret = fs_content_damaged(reader->inode, row.offset, "pieces and chunks in one file");
            break;
        }
        reader->kind = row.kind;
        if (row.kind == FS_CONTENT_PIECE) {
            read_piece(reader, &row);
        } else {
            ret = read_chunk(reader, &row);
        }
        /* No step to a row that does not count. */
        if (ret < 0 || reader->done >= reader->end ||
            (row.kind == FS_CONTENT_CHUNK && row.offset + FS_CHUNK_SIZE >= reader->end)) {
            break;
        }
    }
    if (ret < 0 && ret != -ENOENT) {
        return ret;
    }
    ret = read_extent(reader);
    if (ret < 0) {
        return ret;
    }
    fill_zeros(reader, reader->end);
    return 0;
}

int64_t fs_content_read(struct fs *fs, uint64_t inode, uint64_t size, uint64_t offset, void *buffer, size_t buffer_size)
{
    struct reader reader;
    struct fs_content_walk walk;
    int ret;

    if (offset >= size || buffer_size == 0) {
        return 0;
    }
    reader.fs = fs;
    reader.inode = inode;
    reader.buffer = buffer;
    reader.offset = reader.done = offset;
    reader.end = offset + min_u64(buffer_size, size - offset);
    reader.capacity = offset + min_u64(buffer_size, UINT64_MAX - offset);
    reader.extent.count = 0;
    reader.kind = 0;
    ret = fs_content_walk_open(fs, NULL, inode, &walk);
    if (ret < 0) {
        return ret;
    }
    ret = read_rows(&reader, &walk);
    fs_content_walk_close(&walk);
    return ret < 0 ? ret : (int64_t)(reader.end - offset);
}

static int64_t read_file(struct fs *fs, uint64_t number, uint64_t offset, void *buffer, size_t size, bool is_noticed)
{
    struct fs_inode *inode;
    struct fs_inode_row row;
    bool is_due = false;
    int64_t result = fs_inode_acquire(fs, number, &inode);

    if (result < 0) {
        return result;
    }
    base_latch_lock_shared(&inode->latch);
    result = fs_inode_row_read(fs, NULL, number, &row);
    if (result == 0 && S_ISDIR(row.attributes.mode)) {
        result = -EISDIR;
    } else if (result == 0 && !S_ISREG(row.attributes.mode)) {
        result = -EINVAL;
    }
    if (result == 0) {
        result = fs_content_read(fs, number, row.attributes.size, offset, buffer, size);
        is_due = is_noticed && result >= 0 && fs_access_time_is_due(fs, &row.attributes);
    }
    base_latch_unlock_shared(&inode->latch);
    if (is_due) {
        fs_access_time_update(fs, inode);
    }
    fs_inode_release(fs, inode);
    return result;
}

int64_t fs_read(struct fs *fs, uint64_t inode, uint64_t offset, void *buffer, size_t size)
{
    return read_file(fs, inode, offset, buffer, size, true);
}

int64_t fs_read_unnoticed(struct fs *fs, uint64_t inode, uint64_t offset, void *buffer, size_t size)
{
    return read_file(fs, inode, offset, buffer, size, false);
}
