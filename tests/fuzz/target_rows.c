/* Rows: a whole tree under a filesystem whose rows are the input's. Every table's decoding, and everything that trusts
 * one row because another one said so. (layer: fs)
 *
 *      input: flags (1) | how many content blocks (1: none, 8, 32, 96) | size of the script (2) | script | rows
 *      row:   what (1) | ...
 *      flags: 1 the filesystem is checked before (and then has to stay whole); 2 pages of 16 KiB, else of 4 */
#include "exercise.h"
#include "fuzz_file.h"
#include "image.h"
#include "internal.h"
#include "share.h"
#include "xattr.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FLAG_CHECK = 1,
    FLAG_LARGE = 2,
    ROWS_MAX = 400,
    CONTENT_BLOCKS_MAX = 96,
    BASE_CHOICES = 4,
    VALUE_SIZE_MAX = 4000,
    CACHE_SIZE = 1 << 20,
};

struct row {
    uint8_t key[FS_KEY_SIZE_MAX + 16];
    size_t key_size;
    uint8_t value[VALUE_SIZE_MAX];
    size_t value_size;
};

struct setup {
    struct os_file *file;
    struct store *store;
    struct pool *pool;
    struct txn_engine *engine;
    struct btree *tree;
    uint64_t first_content; /* of the blocks that rows may name */
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_set_messages();
    return 0;
}

/* --- Rows out of the input ---------------------------------------------------------------------------------------- */

static void put_rest(struct fuzz_reader *reader, struct row *row, size_t size)
{
    const uint8_t *bytes;
    size_t room = sizeof row->value - row->value_size;

    size = fuzz_take_bytes(reader, size < room ? size : room, &bytes);
    if (size > 0) {
        memcpy(row->value + row->value_size, bytes, size);
    }
    row->value_size += size;
}

static void take_inode_row(struct fuzz_reader *reader, struct row *row, bool has_xattrs)
{
    static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, 0};
    uint32_t type = types[fuzz_take_8(reader) % 8];

    row->key_size = fs_key_inode(row->key, fuzz_take_number(reader));
    row->value_size = FS_INODE_ROW_SIZE;
    base_put_le32(row->value, type | 0644U);
    base_put_le32(row->value + 4, (uint32_t)fuzz_take_number(reader));
    if (has_xattrs) {
        base_put_le32(row->value + 20, (uint32_t)fuzz_take_number(reader) | (uint32_t)fuzz_take_8(reader) << 30);
    }
    base_put_le64(row->value + 24, fuzz_take_number(reader));
    base_put_le64(row->value + 32, fuzz_take_number(reader));
    if (type == S_IFDIR) {
        base_put_le64(row->value + 96, fuzz_take_number(reader));
    }
    if (type == S_IFLNK) {
        put_rest(reader, row, fuzz_take_8(reader));
    }
}

static void take_entry_row(struct fuzz_reader *reader, struct row *row)
{
    const uint8_t *name;
    uint64_t parent = fuzz_take_number(reader);
    size_t size = fuzz_take_bytes(reader, fuzz_take_8(reader), &name);

    row->key_size = fs_key_entry(row->key, parent, size > 0 ? (const char *)name : "", size);
    row->value_size = 9;
    base_put_le64(row->value, fuzz_take_number(reader));
    row->value[8] = fuzz_take_8(reader);
}

static void take_piece_row(struct fuzz_reader *reader, struct row *row)
{
    uint64_t inode = fuzz_take_number(reader), offset = fuzz_take_8(reader) * UINT64_C(768);

    row->key_size = fs_key_content(row->key, inode, offset);
    row->value[0] = 1;
    size_t size = fuzz_take_8(reader) * 3U;
    memset(row->value + 1, 'p', size);
    row->value_size = 1 + size;
}

static void take_chunk_row(const struct setup *setup, struct fuzz_reader *reader, struct row *row)
{
    uint64_t inode = fuzz_take_number(reader), chunk = fuzz_take_number(reader);
    unsigned count = fuzz_take_8(reader) % 33;
    uint32_t checksums = 0;

    row->key_size = fs_key_content(row->key, inode, chunk * FS_CHUNK_SIZE);
    row->value[0] = 2;
    row->value[1] = (uint8_t)count;
    row->value_size = 2;
    for (unsigned i = 0; i < count; i++) {
        unsigned place = fuzz_take_8(reader), blocks = fuzz_take_8(reader), how = blocks / 32;
        uint64_t run = (uint64_t)(blocks % 32) << 48;
        if (place < 200) {
            run |= setup->first_content + place;
        }
        if (how == 7) {
            run |= UINT64_C(1) << 56;
        } else if (place < 200) {
            run |= (uint64_t)(how == 6) << 57;
            checksums += blocks % 32 + 1;
        }
        base_put_le64(row->value + row->value_size, run);
        row->value_size += 8;
    }
    for (uint32_t i = 0; i < checksums && row->value_size + 8 <= sizeof row->value; i++) {
        static const uint8_t zeros[STORE_BLOCK_SIZE];
        base_put_le64(row->value + row->value_size, store_content_checksum(zeros));
        row->value_size += 8;
    }
}

/* The first row of a value, or a piece of it; an ACL has entries where its name says so. */
static void take_xattr_row(struct fuzz_reader *reader, struct row *row)
{
    static const char *const names[] = {"user.a",
                                        "user.ab",
                                        "user.b",
                                        "trusted.a",
                                        "security.a",
                                        "security.capability",
                                        FS_XATTR_ACCESS_ACL_NAME,
                                        FS_XATTR_DEFAULT_ACL_NAME};
    uint64_t inode = fuzz_take_number(reader);
    const char *name = names[fuzz_take_8(reader) % 8];
    unsigned piece = fuzz_take_8(reader), size = fuzz_take_8(reader);

    row->key[0] = 'X';
    base_put_be64(row->key + 1, inode);
    row->key_size = 9 + strlen(name);
    memcpy(row->key + 9, name, strlen(name));
    if (piece > 0) { /* behind a zero byte */
        row->key[row->key_size + 1] = (uint8_t)(piece >> 4);
        row->key[row->key_size + 2] = (uint8_t)piece;
        row->key_size += 3;
    } else {
        base_put_le32(row->value, (uint32_t)fuzz_take_number(reader));
        row->value_size = 4;
    }
    if (size >= 0x80) { /* of its own bytes, else of one */
        put_rest(reader, row, size & 0x7F);
    } else {
        memset(row->value + row->value_size, 'x', size * 8U);
        row->value_size += size * 8U;
    }
}

/* Owners of blocks near the first that rows may name. */
static void take_share_row(const struct setup *setup, struct fuzz_reader *reader, struct row *row)
{
    uint64_t group = setup->first_content / FS_SHARE_GROUP_BLOCKS + fuzz_take_8(reader) % 4;
    unsigned count = fuzz_take_8(reader) % 9;

    row->key_size = fs_key_share(row->key, group * FS_SHARE_GROUP_BLOCKS);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *run = row->value + row->value_size;
        run[0] = fuzz_take_8(reader);
        run[1] = fuzz_take_8(reader);
        base_put_le32(run + 4, (uint32_t)fuzz_take_number(reader));
        row->value_size += 8;
    }
}

/* Any bytes; the table is the first of them. */
static void take_raw_row(struct fuzz_reader *reader, struct row *row)
{
    const uint8_t *bytes;
    size_t size = fuzz_take_bytes(reader, fuzz_take_8(reader), &bytes);

    if (size > 0) {
        memcpy(row->key, bytes, size);
    }
    row->key_size = size;
    put_rest(reader, row, fuzz_take_8(reader));
}

static void take_row(const struct setup *setup, struct fuzz_reader *reader, struct row *row)
{
    unsigned what = fuzz_take_8(reader);

    memset(row, 0, sizeof *row);
    switch (what % 8) {
    case 0:
        take_inode_row(reader, row, what & 0x40);
        break;
    case 1:
        take_entry_row(reader, row);
        break;
    case 2:
        take_piece_row(reader, row);
        break;
    case 3:
        take_chunk_row(setup, reader, row);
        break;
    case 4:
        if (what & 0x40) {
            take_share_row(setup, reader, row);
            break;
        }
        row->key_size = fs_key_orphan(row->key, fuzz_take_number(reader));
        break;
    case 5:
        row->key_size = fs_key_freeing(row->key, fuzz_take_number(reader), 0);
        base_put_be64(row->key + 9, fuzz_take_number(reader) * FS_CHUNK_SIZE);
        base_put_le64(row->value, UINT64_C(1) << 63);
        row->value_size = 8;
        break;
    case 6:
        if (what & 0x40) {
            take_xattr_row(reader, row);
            break;
        }
        row->key_size = fs_key_inode(row->key, 0);
        base_put_le64(row->value, fuzz_take_number(reader));
        row->value_size = 32;
        break;
    default:
        take_raw_row(reader, row);
        break;
    }
    if (what >= 0xC0) { /* a byte of it is another */
        unsigned place = fuzz_take_8(reader);
        row->value[place] ^= fuzz_take_8(reader);
    }
    if (what >= 0xE0 && row->value_size > 0) {
        row->value_size--;
    }
}

/* --- The tree under the filesystem -------------------------------------------------------------------------------- */

static void open_setup(struct setup *setup)
{
    struct store_open_options open_options = {.node_cache_size = 0};
    struct pool_options pool_options = {.size = CACHE_SIZE, .check_page = btree_check_page};
    struct txn_engine_options engine_options = {0};
    struct base_reason reason;

    FUZZ_EXPECT(store_open(setup->file, &open_options, &setup->store, &reason) == 0);
    FUZZ_EXPECT(pool_create(setup->store, &pool_options, &setup->pool) == 0);
    FUZZ_EXPECT(txn_engine_open(setup->store, setup->pool, &engine_options, &setup->engine) == 0);
    FUZZ_EXPECT(btree_open(setup->engine, &setup->tree) == 0);
}

static void close_setup(struct setup *setup)
{
    FUZZ_EXPECT(txn_engine_sync(setup->engine) == 0);
    btree_close(setup->tree);
    txn_engine_close(setup->engine);
    pool_destroy(setup->pool);
    store_close(setup->store);
}

/* Blocks of zeros, marked as contents. */
static void make_contents(struct setup *setup, uint32_t block_count)
{
    struct txn_need need = {.content_blocks = block_count};
    struct store_run run;
    struct txn *txn;

    if (block_count == 0) {
        return;
    }
    FUZZ_EXPECT(txn_begin(setup->engine, &need, &txn) == 0);
    FUZZ_EXPECT(txn_content_allocate(txn, block_count, 0, &run) == 0);
    setup->first_content = run.block;
    txn_lock(txn);
    txn_commit(txn);
}

static void put_rows(struct setup *setup, struct fuzz_reader *reader)
{
    static struct row row;

    for (unsigned i = 0; i < ROWS_MAX && reader->size > 0; i++) {
        struct txn_need need = {.pages = btree_pages_per_change(setup->tree)};
        struct txn *txn;
        take_row(setup, reader, &row);
        if (row.key_size == 0 || row.key_size > BTREE_KEY_SIZE_MAX) {
            continue;
        }
        FUZZ_EXPECT(txn_begin(setup->engine, &need, &txn) == 0);
        txn_lock(txn);
        struct btree_slice key = {row.key, row.key_size}, value = {row.value, row.value_size};
        int error = btree_put(setup->tree, txn, key, value);
        FUZZ_EXPECT(error == 0 || error == -E2BIG);
        txn_commit(txn);
    }
}

/* An empty filesystem with that many blocks of contents, made once. */
static void restore_base(struct setup *setup, unsigned flags, unsigned choice)
{
    static const uint32_t content_blocks[BASE_CHOICES] = {0, 8, 32, CONTENT_BLOCKS_MAX};
    static struct base {
        struct fuzz_file_copy *copy;
        uint64_t first_content;
    } bases[2][BASE_CHOICES];
    struct base *base = &bases[flags & FLAG_LARGE ? 1 : 0][choice];
    struct fs_format_options format_options = {.page_size = flags & FLAG_LARGE ? 16384 : 4096, .root_mode = 0755};
    struct base_reason reason;

    if (!base->copy) {
        setup->file = fuzz_file_reset();
        FUZZ_EXPECT(fs_format(setup->file, &format_options, &reason) == 0);
        open_setup(setup);
        make_contents(setup, content_blocks[choice]);
        base->first_content = setup->first_content;
        close_setup(setup);
        image_shrink_ring(true);
        image_fix();
        base->copy = fuzz_file_keep();
    }
    setup->first_content = base->first_content;
    setup->file = fuzz_file_restore(base->copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_reader reader = {data, size}, script;
    unsigned flags = fuzz_take_8(&reader);
    struct setup setup = {.file = NULL};

    restore_base(&setup, flags, fuzz_take_8(&reader) % BASE_CHOICES);
    script.size = fuzz_take_bytes(&reader, fuzz_take_16(&reader), &script.data);
    open_setup(&setup);
    put_rows(&setup, &reader);
    close_setup(&setup);
    exercise_file(setup.file, &script, !(flags & FLAG_CHECK));
    return 0;
}
