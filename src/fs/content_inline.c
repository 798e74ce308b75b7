/* Small files and long symlink targets: the bytes themselves, in pieces that fit a row. All pieces but the last hold
 * fs_piece_size bytes; bytes of the file behind the last one (a file that was made longer by truncate) are zeros. */
#include "content.h"

#include <errno.h>
#include <string.h>

uint32_t fs_inline_pieces_max(const struct fs *fs)
{
    uint32_t size = FS_SYMLINK_SIZE_MAX > FS_INLINE_MAX ? FS_SYMLINK_SIZE_MAX : FS_INLINE_MAX;

    return (size + fs_piece_size(fs) - 1) / fs_piece_size(fs);
}

int fs_inline_load(struct fs *fs, uint64_t inode, uint8_t *buffer, uint32_t *ret_end)
{
    struct fs_content_walk walk;
    struct fs_content_row row;
    uint32_t end = 0;
    int ret = fs_content_walk_open(fs, NULL, inode, &walk);

    if (ret < 0) {
        return ret;
    }
    for (ret = fs_content_walk_seek(&walk, 0, &row); ret == 0; ret = fs_content_walk_next(&walk, &row)) {
        size_t size = row.value.size - 1;

        if (row.kind != FS_CONTENT_PIECE) {
            ret = fs_content_damaged(inode, row.offset, "a chunk that the inode does not count");
            break;
        }
        if (row.offset != end || end % fs_piece_size(fs) != 0 || row.offset + size > FS_INLINE_MAX) {
            ret = fs_content_damaged(inode, row.offset, "pieces don't follow each other");
            break;
        }
        memcpy(buffer + row.offset, (const uint8_t *)row.value.bytes + 1, size);
        end += (uint32_t)size;
    }
    fs_content_walk_close(&walk);
    if (ret < 0 && ret != -ENOENT) {
        return ret;
    }
    memset(buffer + end, 0, FS_INLINE_MAX - end);
    *ret_end = end;
    return 0;
}

static int put_piece(struct fs *fs, struct txn *txn, uint64_t inode, uint32_t offset, const uint8_t *bytes,
                     uint32_t size)
{
    uint8_t key[FS_CONTENT_KEY_SIZE], value[1 + STORE_BLOCK_SIZE];
    size_t key_size = fs_key_content(key, inode, offset);

    BASE_ASSERT(size > 0 && size < sizeof value);
    value[0] = FS_CONTENT_PIECE;
    memcpy(value + 1, bytes, size);
    return btree_put(fs->tree, txn, (struct btree_slice){key, key_size}, (struct btree_slice){value, 1 + size});
}

int fs_inline_store(struct fs *fs, struct txn *txn, uint64_t inode, const uint8_t *bytes, uint32_t keep,
                    uint32_t old_end, uint32_t end)
{
    uint32_t piece = fs_piece_size(fs), last = old_end > end ? old_end : end;

    for (uint32_t offset = keep / piece * piece; offset < last; offset += piece) {
        uint8_t key[FS_CONTENT_KEY_SIZE];
        int ret;

        if (offset < end) {
            ret = put_piece(fs, txn, inode, offset, bytes + offset, end - offset < piece ? end - offset : piece);
        } else {
            ret = btree_delete(fs->tree, txn, (struct btree_slice){key, fs_key_content(key, inode, offset)});
        }
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

uint32_t fs_content_target_pages(struct fs *fs, size_t target_size)
{
    uint32_t pieces = (uint32_t)((target_size + fs_piece_size(fs) - 1) / fs_piece_size(fs));

    return pieces * btree_pages_per_change(fs->tree);
}

int fs_content_write_target(struct fs *fs, struct txn *txn, uint64_t inode, const char *target, size_t target_size)
{
    BASE_ASSERT(target_size <= FS_SYMLINK_SIZE_MAX);
    return fs_inline_store(fs, txn, inode, (const uint8_t *)target, 0, 0, (uint32_t)target_size);
}
