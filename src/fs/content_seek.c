/* Where the next data or the next hole of a file is: exact to the block. Reserved blocks without bytes are holes; the
 * pieces of a small file are data up to the end of the block they would take. */
#include "content.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The first block at or after offset that holds data; UINT64_MAX when there is none below size. */
static int find_data(struct fs_content_walk *walk, uint64_t offset, uint64_t size, uint64_t *ret_offset)
{
    struct fs_content_row row;
    struct fs_chunk chunk;
    int ret;

    for (ret = fs_content_walk_seek(walk, fs_round_down(offset, FS_CHUNK_SIZE), &row); ret == 0 && row.offset < size;
         ret = fs_content_walk_next(walk, &row)) {
        ret = fs_content_row_to_chunk(walk->fs, walk->inode, &row, &chunk);
        if (ret < 0) {
            return ret;
        }
        for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
            uint64_t start = row.offset + (uint64_t)slot * STORE_BLOCK_SIZE;

            if (chunk.blocks[slot] != 0 && (chunk.unwritten >> slot & 1U) == 0 && start + STORE_BLOCK_SIZE > offset &&
                start < size) {
                *ret_offset = start > offset ? start : offset;
                return 0;
            }
        }
    }
    *ret_offset = UINT64_MAX;
    return ret == -ENOENT ? 0 : ret;
}

/* The first block at or after offset that holds none; at most size. */
static int find_hole(struct fs_content_walk *walk, uint64_t offset, uint64_t size, uint64_t *ret_offset)
{
    struct fs_content_row row;
    struct fs_chunk chunk;
    uint64_t at = offset;
    int ret;

    for (ret = fs_content_walk_seek(walk, fs_round_down(offset, FS_CHUNK_SIZE), &row);
         ret == 0 && row.offset <= at && at < size; ret = fs_content_walk_next(walk, &row)) {
        uint32_t slot = (uint32_t)((at - row.offset) / STORE_BLOCK_SIZE);

        ret = fs_content_row_to_chunk(walk->fs, walk->inode, &row, &chunk);
        if (ret < 0) {
            return ret;
        }
        while (slot < FS_CHUNK_BLOCKS && chunk.blocks[slot] != 0 && (chunk.unwritten >> slot & 1U) == 0) {
            slot++;
            at = row.offset + (uint64_t)slot * STORE_BLOCK_SIZE;
        }
        if (slot < FS_CHUNK_BLOCKS) {
            break;
        }
    }
    *ret_offset = min_u64(at, size);
    return ret == -ENOENT ? 0 : ret;
}

static int64_t seek_pieces(struct fs *fs, uint64_t inode, uint64_t size, uint64_t offset, int whence)
{
    uint8_t bytes[FS_INLINE_MAX];
    uint32_t pieces_end;
    uint64_t end;
    int ret = fs_inline_load(fs, inode, bytes, &pieces_end);

    if (ret < 0) {
        return ret;
    }
    end = min_u64(fs_round_up(pieces_end, STORE_BLOCK_SIZE), size);
    if (whence == SEEK_HOLE) {
        return (int64_t)(offset < end ? end : offset);
    }
    return offset < end ? (int64_t)offset : -ENXIO;
}

int64_t fs_content_seek(struct fs *fs, uint64_t inode, uint64_t offset, int whence)
{
    struct fs_content_walk walk;
    struct fs_inode_row row;
    uint64_t found = 0;
    int ret = fs_inode_row_read(fs, NULL, inode, &row);

    if (ret < 0) {
        return ret;
    }
    if (!S_ISREG(row.attributes.mode)) {
        return -EINVAL;
    }
    if (offset >= row.attributes.size) {
        return -ENXIO;
    }
    if (row.content_blocks == 0) {
        return seek_pieces(fs, inode, row.attributes.size, offset, whence);
    }
    ret = fs_content_walk_open(fs, NULL, inode, &walk);
    if (ret < 0) {
        return ret;
    }
    if (whence == SEEK_DATA) {
        ret = find_data(&walk, offset, row.attributes.size, &found);
    } else {
        ret = find_hole(&walk, offset, row.attributes.size, &found);
    }
    fs_content_walk_close(&walk);
    if (ret < 0) {
        return ret;
    }
    return found == UINT64_MAX ? -ENXIO : (int64_t)found;
}

int64_t fs_seek(struct fs *fs, uint64_t number, uint64_t offset, int whence)
{
    struct fs_inode *inode;
    int64_t result;

    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        return -EINVAL;
    }
    result = fs_inode_acquire(fs, number, &inode);
    if (result < 0) {
        return result;
    }
    base_latch_lock_shared(&inode->latch);
    result = fs_content_seek(fs, number, offset, whence);
    base_latch_unlock_shared(&inode->latch);
    fs_inode_release(fs, inode);
    return result;
}
