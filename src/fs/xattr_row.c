/* Rows of extended attributes (X): keys, values in pieces, lists, and removing them with their inode. */
#include "xattr.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "names.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    KEY_INODE = 1,
    KEY_NAME = 9,
    KEY_PIECE_SIZE = 3, /* the zero byte and the number */
    VALUE_TOTAL_SIZE = 4,
    ROW_OVERHEAD = KEY_NAME + FS_XATTR_NAME_SIZE_MAX + KEY_PIECE_SIZE + VALUE_TOTAL_SIZE,
    PIECE_UNIT = 16,
    FREE_ROWS_MAX = 64,
};

#define IMPOSSIBLE (~FS_XATTRS_MASK)

_Static_assert(FS_XATTR_KEY_SIZE_MAX <= BTREE_KEY_SIZE_MAX, "every key must fit the tree");

/* --- Keys --------------------------------------------------------------------------------------------------------- */

static size_t put_prefix(uint8_t *key, uint64_t inode)
{
    key[0] = 'X';
    base_put_be64(key + KEY_INODE, inode);
    return KEY_NAME;
}

static size_t put_name(uint8_t *key, uint64_t inode, const char *name)
{
    size_t name_size = strnlen(name, FS_XATTR_NAME_SIZE_MAX + 1);
    BASE_ASSERT(name_size > 0 && name_size <= FS_XATTR_NAME_SIZE_MAX);
    put_prefix(key, inode);
    memcpy(key + KEY_NAME, name, name_size);
    return KEY_NAME + name_size;
}

static size_t put_key(uint8_t *key, uint64_t inode, const char *name, uint32_t piece)
{
    size_t size = put_name(key, inode, name);
    if (piece > 0) {
        key[size] = 0;
        key[size + 1] = (uint8_t)(piece >> 8);
        key[size + 2] = (uint8_t)piece;
        size += KEY_PIECE_SIZE;
    }
    return size;
}

/* The least key above all pieces of a name, and not above any other name. */
static size_t put_end(uint8_t *key, uint64_t inode, const char *name)
{
    size_t size = put_name(key, inode, name);
    key[size] = 1;
    return size + 1;
}

bool fs_xattr_key_decode(struct btree_slice key, struct fs_xattr_key *ret_key)
{
    const uint8_t *bytes = key.bytes;
    if (key.size <= KEY_NAME) {
        return false;
    }
    const uint8_t *name = bytes + KEY_NAME, *zero = memchr(name, 0, key.size - KEY_NAME);
    size_t name_size = zero ? (size_t)(zero - name) : key.size - KEY_NAME;
    uint32_t piece = 0;
    if (name_size == 0 || name_size > FS_XATTR_NAME_SIZE_MAX) {
        return false;
    }
    if (zero) {
        if (key.size != KEY_NAME + name_size + KEY_PIECE_SIZE) {
            return false;
        }
        piece = (uint32_t)zero[1] << 8 | zero[2];
        if (piece == 0) {
            return false;
        }
    }
    *ret_key = (struct fs_xattr_key){base_get_be64(bytes + KEY_INODE), (const char *)name, name_size, piece};
    return true;
}

/* --- Values ------------------------------------------------------------------------------------------------------- */

uint32_t fs_xattr_piece_size(const struct fs *fs)
{
    size_t room = btree_row_size_max(store_get_page_size(fs->store)) - ROW_OVERHEAD;
    return (uint32_t)(room / PIECE_UNIT * PIECE_UNIT);
}

uint32_t fs_xattr_rows(const struct fs *fs, uint32_t value_size)
{
    uint32_t piece = fs_xattr_piece_size(fs);
    return value_size == 0 ? 1 : (value_size + piece - 1) / piece;
}

static int damaged(uint64_t inode, const char *name, const char *why)
{
    base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 ": extended attribute %s: %s", inode, name, why);
    return -EUCLEAN;
}

/* -ENODATA is ours to say: that no such name exists, never what a layer below means by it. */
static int own_error(int error)
{
    return error == -ENODATA ? -EIO : error == -ENOENT ? -ENODATA : error;
}

/* The first row; *ret_size bytes of it are the value's. */
static int read_first(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, uint8_t *row,
                      uint32_t *ret_value_size, uint32_t *ret_size)
{
    uint8_t key[FS_XATTR_KEY_SIZE_MAX];
    size_t size;
    uint32_t piece = fs_xattr_piece_size(fs);
    struct btree_slice slice = {key, put_key(key, inode, name, 0)};
    int error = btree_get(fs->tree, txn, slice, row, FS_XATTR_ROW_SIZE_MAX, &size);
    if (error == -ERANGE) {
        return damaged(inode, name, "its row is too long");
    }
    if (error) {
        return own_error(error);
    }
    uint32_t total = size >= VALUE_TOTAL_SIZE ? base_get_le32(row) : UINT32_MAX;
    if (total > FS_XATTR_VALUE_SIZE_MAX || size - VALUE_TOTAL_SIZE != (total < piece ? total : piece)) {
        return damaged(inode, name, "its row is malformed");
    }
    *ret_value_size = total;
    *ret_size = (uint32_t)size - VALUE_TOTAL_SIZE;
    return 0;
}

int fs_xattr_find(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, uint32_t *ret_value_size)
{
    uint8_t row[FS_XATTR_ROW_SIZE_MAX];
    uint32_t size;
    return read_first(fs, txn, inode, name, row, ret_value_size, &size);
}

static int read_rest(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, uint8_t *value, uint32_t total)
{
    uint8_t key[FS_XATTR_KEY_SIZE_MAX];
    uint32_t piece = fs_xattr_piece_size(fs);
    for (uint32_t offset = piece; offset < total; offset += piece) {
        size_t size, wanted = total - offset < piece ? total - offset : piece;
        struct btree_slice slice = {key, put_key(key, inode, name, offset / piece)};
        int error = btree_get(fs->tree, txn, slice, value + offset, wanted, &size);
        if (error == -ENOENT || error == -ERANGE || (!error && size != wanted)) {
            return damaged(inode, name, "a piece of its value is missing or of another size");
        }
        if (error) {
            return own_error(error);
        }
    }
    return 0;
}

int fs_xattr_read(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, void *buffer, size_t buffer_size,
                  uint32_t *ret_value_size)
{
    uint8_t row[FS_XATTR_ROW_SIZE_MAX];
    uint32_t total, size;
    int error = read_first(fs, txn, inode, name, row, &total, &size);
    if (error) {
        return error;
    }
    if (buffer_size > 0) {
        if (total > buffer_size) {
            return -ERANGE;
        }
        memcpy(buffer, row + VALUE_TOTAL_SIZE, size);
        error = read_rest(fs, txn, inode, name, buffer, total);
    }
    if (!error) {
        *ret_value_size = total;
    }
    return error;
}

/* How many of so many row changes the transaction can surely take, and the inode's row besides; all of them when it
 * began with their worst case. */
static uint32_t changes_fitting(struct fs *fs, struct txn *txn, uint32_t wanted, bool is_enough)
{
    uint32_t changes = txn_pages_left(txn) / btree_pages_per_change(fs->tree);
    return is_enough || wanted < changes ? wanted : changes > 0 ? changes - 1 : 0;
}

static bool has_worst_case(struct fs *fs, struct txn *txn, uint32_t changes)
{
    return txn_pages_left(txn) / btree_pages_per_change(fs->tree) >= changes;
}

/* Deletes the rows from a piece on: that it is another number of rows than the value has is damage. */
static int delete_rows(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, uint32_t first_piece,
                       uint32_t rows, bool is_enough)
{
    uint8_t from[FS_XATTR_KEY_SIZE_MAX], to[FS_XATTR_KEY_SIZE_MAX];
    struct btree_slice first = {from, put_key(from, inode, name, first_piece)}, end = {to, put_end(to, inode, name)};
    while (rows > 0) {
        uint32_t part = changes_fitting(fs, txn, rows, is_enough), done;
        if (part == 0) {
            return -EAGAIN;
        }
        int error = btree_delete_range(fs->tree, txn, first, end, part, &done);
        if (error) {
            return own_error(error);
        }
        if (done < part) {
            return damaged(inode, name, "pieces of its value are missing");
        }
        rows -= part;
    }
    return 0;
}

int fs_xattr_write(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, const void *value, uint32_t size,
                   uint32_t old_rows)
{
    uint8_t key[FS_XATTR_KEY_SIZE_MAX], row[FS_XATTR_ROW_SIZE_MAX];
    const uint8_t *bytes = value;
    uint32_t piece = fs_xattr_piece_size(fs), rows = fs_xattr_rows(fs, size), first = size < piece ? size : piece;
    BASE_ASSERT(size <= FS_XATTR_VALUE_SIZE_MAX && VALUE_TOTAL_SIZE + piece <= sizeof row);
    base_put_le32(row, size);
    if (first > 0) {
        memcpy(row + VALUE_TOTAL_SIZE, bytes, first);
    }
    bool is_enough = has_worst_case(fs, txn, rows > old_rows ? rows : old_rows);
    if (changes_fitting(fs, txn, 1, is_enough) == 0) {
        return -EAGAIN;
    }
    int error = btree_put(fs->tree, txn, (struct btree_slice){key, put_key(key, inode, name, 0)},
                          (struct btree_slice){row, VALUE_TOTAL_SIZE + first});
    for (uint32_t i = 1; i < rows && !error; i++) {
        uint32_t offset = i * piece, length = size - offset < piece ? size - offset : piece;
        if (changes_fitting(fs, txn, 1, is_enough) == 0) {
            return -EAGAIN;
        }
        error = btree_put(fs->tree, txn, (struct btree_slice){key, put_key(key, inode, name, i)},
                          (struct btree_slice){bytes + offset, length});
    }
    if (!error && old_rows > rows) {
        return delete_rows(fs, txn, inode, name, rows, old_rows - rows, is_enough);
    }
    return own_error(error);
}

int fs_xattr_delete(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, uint32_t old_rows)
{
    return delete_rows(fs, txn, inode, name, 0, old_rows, has_worst_case(fs, txn, old_rows));
}

/* --- Lists -------------------------------------------------------------------------------------------------------- */

struct listing {
    struct fs *fs;
    bool (*is_wanted)(const struct fs *fs, const char *name, void *context);
    void *context;
    char *buffer;
    size_t buffer_size, size;
};

static int list_name(struct listing *listing, const char *name, size_t name_size)
{
    if (!listing->is_wanted(listing->fs, name, listing->context)) {
        return 0;
    }
    if (listing->buffer_size > 0) {
        if (listing->size + name_size + 1 > listing->buffer_size) {
            return -ERANGE;
        }
        memcpy(listing->buffer + listing->size, name, name_size + 1);
    }
    listing->size += name_size + 1;
    return 0;
}

/* From the cursor's first row on: each name once, its pieces are passed over. */
static int list_rows(struct listing *listing, struct btree_cursor *cursor, uint64_t inode)
{
    uint8_t key[FS_XATTR_KEY_SIZE_MAX];
    char name[FS_XATTR_NAME_SIZE_MAX + 1];
    int error = btree_cursor_seek(cursor, NULL, (struct btree_slice){key, put_prefix(key, inode)});
    while (!error) {
        struct btree_slice found = btree_cursor_key(cursor);
        struct fs_xattr_key decoded;
        if (found.size < KEY_NAME || memcmp(found.bytes, key, KEY_NAME) != 0) {
            return 0;
        }
        if (!fs_xattr_key_decode(found, &decoded)) {
            base_message(BASE_MESSAGE_ERROR, "inode %" PRIu64 ": a row of its extended attributes is damaged", inode);
            return -EUCLEAN;
        }
        memcpy(name, decoded.name, decoded.name_size);
        name[decoded.name_size] = '\0';
        if (decoded.piece == 0) {
            error = list_name(listing, name, decoded.name_size);
        }
        if (error) {
            return error;
        }
        if (decoded.piece > 0) {
            uint8_t end[FS_XATTR_KEY_SIZE_MAX];
            error = btree_cursor_seek(cursor, NULL, (struct btree_slice){end, put_end(end, inode, name)});
        } else {
            error = btree_cursor_next(cursor, NULL);
        }
    }
    return error == -ENOENT ? 0 : own_error(error);
}

int fs_xattr_list(struct fs *fs, uint64_t inode,
                  bool (*is_wanted)(const struct fs *fs, const char *name, void *context), void *context, char *buffer,
                  size_t buffer_size, size_t *ret_size)
{
    struct listing listing = {fs, is_wanted, context, buffer, buffer_size, 0};
    struct btree_cursor *cursor;
    int error = btree_cursor_open(fs->tree, &cursor);
    if (error) {
        return error;
    }
    error = list_rows(&listing, cursor, inode);
    btree_cursor_close(cursor);
    if (!error) {
        *ret_size = listing.size;
    }
    return error;
}

/* --- Going with the inode ----------------------------------------------------------------------------------------- */

int fs_xattr_free(struct fs *fs, struct txn *txn, uint64_t inode, uint32_t row_count_max, uint32_t *ret_done)
{
    uint8_t from[KEY_NAME], to[KEY_NAME];
    put_prefix(from, inode);
    put_prefix(to, inode + 1); /* numbers end far below the greatest */
    return btree_delete_range(fs->tree, txn, (struct btree_slice){from, KEY_NAME}, (struct btree_slice){to, KEY_NAME},
                              row_count_max, ret_done);
}

/* On a full disk what is kept for operations that free space may be enough for a single row only. */
static int free_step(struct fs *fs, uint64_t inode, uint32_t *row_count_max, uint32_t *ret_done)
{
    struct txn *txn;
    int error = fs_row_changes_begin(fs, *row_count_max, 0, true, &txn);
    if (error == -ENOSPC && *row_count_max > 1) {
        *row_count_max = 1;
        error = fs_row_changes_begin(fs, 1, 0, true, &txn);
    }
    return error ? error : fs_row_changes_end(txn, fs_xattr_free(fs, txn, inode, *row_count_max, ret_done));
}

int fs_xattr_free_steps(struct fs *fs, uint64_t inode)
{
    uint64_t fitting = pool_reserve_max(fs->pool) / 4 / btree_pages_per_change(fs->tree);
    uint32_t rows_max = fitting < 1 ? 1 : fitting > FREE_ROWS_MAX ? FREE_ROWS_MAX : (uint32_t)fitting, done;
    int error;
    do {
        done = 0;
        error = free_step(fs, inode, &rows_max, &done);
    } while (!error && done == rows_max);
    return error;
}

/* --- The summary -------------------------------------------------------------------------------------------------- */

static uint32_t bit_of(const char *name)
{
    if (strcmp(name, FS_XATTR_ACCESS_ACL_NAME) == 0) {
        return FS_XATTRS_ACCESS_ACL;
    }
    return strcmp(name, FS_XATTR_DEFAULT_ACL_NAME) == 0 ? FS_XATTRS_DEFAULT_ACL : 0;
}

uint32_t fs_xattrs_with(uint32_t xattrs, const char *name)
{
    uint32_t bit = bit_of(name);
    return bit != 0 && (xattrs & bit) != 0 ? IMPOSSIBLE : (xattrs + (uint32_t)strlen(name) + 1) | bit;
}

uint32_t fs_xattrs_without(uint32_t xattrs, const char *name)
{
    uint32_t bit = bit_of(name), size = (uint32_t)strlen(name) + 1;
    return (xattrs & FS_XATTRS_LIST_SIZE_MASK) < size || (xattrs & bit) != bit ? IMPOSSIBLE : (xattrs - size) & ~bit;
}

bool fs_xattrs_are_possible(uint32_t xattrs)
{
    uint32_t list_size = xattrs & FS_XATTRS_LIST_SIZE_MASK;
    return (xattrs & ~FS_XATTRS_MASK) == 0 && list_size <= FS_XATTR_LIST_SIZE_MAX && (xattrs == 0 || list_size > 0);
}

bool fs_xattrs_have_acl(uint32_t xattrs, const char *name)
{
    return (xattrs & bit_of(name)) != 0;
}
