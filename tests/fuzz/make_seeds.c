/* Writes the first inputs of the targets into a corpus: what real stores, trees and filesystems look like, in each
 * target's form.
 *
 * usage: fuzz_make_seeds CORPUS */
#include "fs/fs.h"
#include "fuzz.h"
#include "fuzz_file.h"
#include "image.h"

#include "base/bytes.h"
#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_SIZE_MAX = 1 << 20, INPUT_SIZE_SMALL = 16000, SCRIPT_SIZE = 160, PAGES_MAX = 16 };

static const char *corpus;
static struct base_random generator;
static const struct fs_caller caller = {.uid = 0};

/* An input being put together. */
static uint8_t input[INPUT_SIZE_MAX];
static size_t input_size;

static void put(const void *bytes, size_t size)
{
    FUZZ_EXPECT(size <= INPUT_SIZE_MAX - input_size);
    memcpy(input + input_size, bytes, size);
    input_size += size;
}

static void put_8(unsigned value)
{
    uint8_t byte = (uint8_t)value;
    put(&byte, 1);
}

static void put_16(unsigned value)
{
    put_8(value & 0xFF);
    put_8(value >> 8);
}

static void put_script(size_t size)
{
    for (size_t i = 0; i < size; i++) {
        put_8((unsigned)base_random_below(&generator, 256));
    }
}

static void put_image(void)
{
    size_t size = image_encode(input + input_size, INPUT_SIZE_MAX - input_size);
    FUZZ_EXPECT(size > 0);
    input_size += size;
}

static void save(const char *target, const char *name)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", corpus, target);
    (void)mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/seed-%s", corpus, target, name);
    file = fopen(path, "wb");
    FUZZ_EXPECT(file && fwrite(input, 1, input_size, file) == input_size && fclose(file) == 0);
    input_size = 0;
}

/* --- Filesystems -------------------------------------------------------------------------------------------------- */

static uint64_t make(struct fs *fs, uint64_t parent, const char *name, uint32_t mode, const char *target)
{
    struct fs_make what = {.mode = mode, .target = target};
    struct fs_entry entry;

    FUZZ_EXPECT(fs_make(fs, &caller, parent, name, &what, &entry) == 0);
    fs_forget(fs, entry.attributes.inode, 1);
    return entry.attributes.inode;
}

static void write_bytes(struct fs *fs, uint64_t inode, uint64_t offset, size_t size)
{
    uint8_t *bytes = calloc(1, size);

    FUZZ_EXPECT(bytes);
    bytes[0] = bytes[size - 1] = 'x';
    FUZZ_EXPECT(fs_write(fs, &caller, inode, offset, bytes, size) == (int64_t)size);
    free(bytes);
}

static void resize(struct fs *fs, uint64_t inode, uint64_t size)
{
    struct fs_changes changes = {.set = FS_SET_SIZE, .size = size};
    struct fs_attributes attributes;

    FUZZ_EXPECT(fs_set_attributes(fs, &caller, inode, &changes, &attributes) == 0);
}

/* A little of everything. */
static void fill_small(struct fs *fs)
{
    char target[2000];
    struct fs_entry entry;
    uint64_t directory = make(fs, FS_ROOT_INODE, "directory", S_IFDIR | 0755, NULL);
    uint64_t inner = make(fs, directory, "inner", S_IFDIR | 02755, NULL);
    uint64_t piece = make(fs, directory, "piece", S_IFREG | 0644, NULL);
    uint64_t chunks = make(fs, inner, "chunks", S_IFREG | 04755, NULL);
    uint64_t sparse = make(fs, FS_ROOT_INODE, "sparse", S_IFREG | 0600, NULL);

    write_bytes(fs, piece, 0, 1500);
    write_bytes(fs, chunks, 0, 150000);
    write_bytes(fs, chunks, 50000, 5000);
    write_bytes(fs, sparse, 1 << 20, 5000);
    write_bytes(fs, sparse, UINT64_C(1) << 40, 1);
    resize(fs, chunks, 140000);
    make(fs, inner, "link", S_IFLNK | 0777, "../piece");
    memset(target, 't', sizeof target - 1);
    target[sizeof target - 1] = '\0';
    make(fs, inner, "long link", S_IFLNK | 0777, target);
    make(fs, FS_ROOT_INODE, "fifo", S_IFIFO | 0644, NULL);
    FUZZ_EXPECT(fs_link(fs, piece, FS_ROOT_INODE, "hard", &entry) == 0);
    fs_forget(fs, piece, 1);
}

/* Enough rows for a tree of two or three levels. */
static void fill_many(struct fs *fs, unsigned count, size_t name_size)
{
    char name[FS_NAME_SIZE_MAX + 1];

    for (unsigned i = 0; i < count; i++) {
        memset(name, 'n', sizeof name);
        snprintf(name + name_size - 8, 9, "%08u", i * 7919 % 100000);
        make(fs, FS_ROOT_INODE, name, i % 8 ? S_IFREG | 0644 : S_IFDIR | 0755, NULL);
    }
}

static void open_fs(struct os_file *file, struct fs **ret_fs)
{
    struct fs_options options = {.cache_size = 1 << 20};
    struct base_reason reason;

    FUZZ_EXPECT(fs_open(file, &options, ret_fs, &reason) == 0);
}

/* Operations that only the log has when it stops. */
static void fill_logged(struct fs *fs)
{
    fill_small(fs);
    FUZZ_EXPECT(fs_sync(fs) == 0);
    make(fs, FS_ROOT_INODE, "later", S_IFDIR | 0755, NULL);
    FUZZ_EXPECT(fs_unlink(fs, FS_ROOT_INODE, "hard") == 0);
    FUZZ_EXPECT(fs_sync(fs) == 0);
    write_bytes(fs, make(fs, FS_ROOT_INODE, "last", S_IFREG | 0644, NULL), 0, 9000);
}

/* Identifier and time of making are nobody's: an image with them is compressed worse. */
static void anonymize(bool is_log_used)
{
    uint8_t *image = fuzz_file_bytes();

    for (unsigned block = 0; block <= 16; block += 16) {
        memset(image + (size_t)block * IMAGE_BLOCK_SIZE + IMAGE_IDENTIFIER, 0, 16);
        memset(image + (size_t)block * IMAGE_BLOCK_SIZE + IMAGE_FORMAT_TIME, 0, 8);
    }
    image_shrink_ring(is_log_used);
    image_fix();
}

static void make_fs(uint32_t page_size, void (*fill)(struct fs *fs), bool is_closed)
{
    struct fs_format_options format_options = {.page_size = page_size, .root_mode = 0755, .label = "seed"};
    struct os_file *file = fuzz_file_reset();
    struct base_reason reason;
    struct fs *fs;

    FUZZ_EXPECT(fs_format(file, &format_options, &reason) == 0);
    open_fs(file, &fs);
    fill(fs);
    if (!is_closed) { /* as if it had been stopped here */
        FUZZ_EXPECT(fs_sync(fs) == 0);
        static uint8_t copy[IMAGE_SIZE_MAX];
        uint64_t size = fuzz_file_get_size();
        FUZZ_EXPECT(size <= sizeof copy);
        memcpy(copy, fuzz_file_bytes(), size);
        FUZZ_EXPECT(fs_close(fs) == 0);
        file = fuzz_file_reset();
        FUZZ_EXPECT(os_file_write(file, copy, size, 0) == 0);
    } else {
        FUZZ_EXPECT(fs_close(fs) == 0);
    }
    anonymize(!is_closed);
}

static void fill_nothing(struct fs *fs)
{
    (void)fs;
}

static void fill_two_levels(struct fs *fs)
{
    fill_many(fs, 40, 20);
}

static void fill_long_names(struct fs *fs)
{
    fill_many(fs, 36, 250);
}

/* A file whose rows fill several leaves. */
static void fill_chunks(struct fs *fs)
{
    uint64_t inode = make(fs, FS_ROOT_INODE, "chunks", S_IFREG | 0644, NULL);

    for (uint64_t i = 0; i < 250; i++) {
        write_bytes(fs, inode, i << 17, 1);
    }
}

/* Unlinked and still in use: their rows are there when it stops. */
static void fill_orphans(struct fs *fs)
{
    struct fs_entry entry;
    struct fs_make what = {.mode = S_IFREG | 0644};

    fill_small(fs);
    FUZZ_EXPECT(fs_make(fs, &caller, FS_ROOT_INODE, "orphan", &what, &entry) == 0);
    write_bytes(fs, entry.attributes.inode, 0, 20000);
    FUZZ_EXPECT(fs_unlink(fs, FS_ROOT_INODE, "orphan") == 0);
    FUZZ_EXPECT(fs_make(fs, &caller, FS_ROOT_INODE, "orphan", &what, &entry) == 0);
    FUZZ_EXPECT(fs_unlink(fs, FS_ROOT_INODE, "orphan") == 0);
}

static void set_xattr(struct fs *fs, uint64_t inode, const char *name, size_t size)
{
    static uint8_t value[FS_XATTR_VALUE_SIZE_MAX];

    memset(value, 'v', sizeof value);
    FUZZ_EXPECT(fs_set_xattr(fs, inode, name, value, size, 0) == 0);
}

/* Of every size, on every type, several of an inode. */
static void fill_xattrs(struct fs *fs)
{
    uint64_t file = make(fs, FS_ROOT_INODE, "file", S_IFREG | 0755, NULL);
    uint64_t directory = make(fs, FS_ROOT_INODE, "directory", S_IFDIR | 0755, NULL);
    uint64_t link = make(fs, directory, "link", S_IFLNK | 0777, "../file");

    write_bytes(fs, file, 0, 100);
    set_xattr(fs, file, "user.a", 10);
    set_xattr(fs, file, "user.ab", 0);
    set_xattr(fs, file, "user.long", 2500);
    set_xattr(fs, file, "security.capability", 20);
    set_xattr(fs, directory, "user.a", 200);
    set_xattr(fs, directory, "trusted.a", 5000);
    set_xattr(fs, link, "trusted.a", 1);
}

/* Unlinked and still in use, with many. */
static void fill_xattr_orphans(struct fs *fs)
{
    struct fs_make what = {.mode = S_IFREG | 0644};
    struct fs_entry entry;
    char name[32];

    fill_xattrs(fs);
    FUZZ_EXPECT(fs_make(fs, &caller, FS_ROOT_INODE, "orphan", &what, &entry) == 0);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "user.%u", i);
        set_xattr(fs, entry.attributes.inode, name, i * 40);
    }
    FUZZ_EXPECT(fs_unlink(fs, FS_ROOT_INODE, "orphan") == 0);
}

/* Copies that share blocks, one of them changed. */
static void fill_shares(struct fs *fs)
{
    uint64_t file = make(fs, FS_ROOT_INODE, "file", S_IFREG | 0644, NULL);
    uint64_t copy = make(fs, FS_ROOT_INODE, "copy", S_IFREG | 0644, NULL);
    uint64_t third = make(fs, FS_ROOT_INODE, "third", S_IFREG | 0644, NULL);

    write_bytes(fs, file, 0, 200000);
    FUZZ_EXPECT(fs_copy_range(fs, &caller, file, 0, copy, 0, 200000) == 200000);
    FUZZ_EXPECT(fs_copy_range(fs, &caller, copy, 65536, third, 0, 100000) == 100000);
    write_bytes(fs, copy, 70000, 5000);
}

/* --- The targets -------------------------------------------------------------------------------------------------- */

static const struct kind {
    const char *name;
    uint32_t page_size;
    void (*fill)(struct fs *fs);
    bool is_closed;
} kinds[] = {
    {"empty", 4096, fill_nothing, true},         {"small", 4096, fill_small, true},
    {"small-16k", 16384, fill_small, true},      {"many", 4096, fill_two_levels, true},
    {"long-names", 4096, fill_long_names, true}, {"long-names-8k", 8192, fill_long_names, true},
    {"orphans", 4096, fill_orphans, false},      {"orphans-16k", 16384, fill_orphans, false},
    {"chunks", 4096, fill_chunks, true},         {"logged", 4096, fill_logged, false},
};

#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

/* After all others: what is drawn for those stays the same. */
static const struct kind xattr_kinds[] = {
    {"xattrs", 4096, fill_xattrs, true},
    {"xattrs-16k", 16384, fill_xattrs, true},
    {"xattr-orphans", 4096, fill_xattr_orphans, false},
};

#define XATTR_KIND_COUNT (sizeof xattr_kinds / sizeof xattr_kinds[0])

static const struct kind share_kinds[] = {
    {"shares", 4096, fill_shares, true},
    {"shares-16k", 16384, fill_shares, false},
};

#define SHARE_KIND_COUNT (sizeof share_kinds / sizeof share_kinds[0])

static void seed_image(const char *name)
{
    for (unsigned flags = 0; flags < 2; flags++) {
        char full_name[64];
        put_8(flags);
        put_16(SCRIPT_SIZE);
        put_script(SCRIPT_SIZE);
        put_image();
        if (flags == 0 && input_size > INPUT_SIZE_SMALL) {
            input_size = 0;
            continue;
        }
        snprintf(full_name, sizeof full_name, "%s-%u", name, flags);
        save("image", full_name);
    }
}

static void seed_superblock(const char *name)
{
    const uint8_t *image = fuzz_file_bytes();

    put_8(1);
    for (unsigned slot = 0; slot < 2; slot++) {
        for (unsigned at = 16; at < 800; at += 56) {
            put_16(slot << 15 | at);
            put_8(56);
            put(image + (size_t)slot * 16 * IMAGE_BLOCK_SIZE + at, 56);
        }
    }
    save("superblock", name);
}

static unsigned log_2(uint32_t page_size)
{
    return (unsigned)__builtin_ctz(page_size / 4096);
}

static void seed_map(const char *name, uint32_t page_size)
{
    const uint8_t *image = fuzz_file_bytes();

    put_8(1);
    put_8(log_2(page_size));
    put_8(base_get_le32(image + IMAGE_MAP_HEIGHT));
    put_16((unsigned)base_get_le64(image + IMAGE_MAP_BLOCK));
    put_8(base_get_le32(image + IMAGE_BITMAP_HEIGHT));
    put_16((unsigned)base_get_le64(image + IMAGE_BITMAP_BLOCK));
    put_8(SCRIPT_SIZE);
    put_script(SCRIPT_SIZE);
    put_image();
    save("map", name);
}

/* Pages of the file's tree, as the first blocks of an image. */
static void seed_nodes(const char *name, struct os_file *file, uint32_t page_size)
{
    static uint8_t pages[PAGES_MAX * 8192];
    struct store_open_options options = {.read_only = true};
    struct base_reason reason;
    struct store *store;
    unsigned count = 0;

    if (page_size > 8192) {
        return;
    }
    FUZZ_EXPECT(store_open(file, &options, &store, &reason) == 0);
    while (count < PAGES_MAX && store_page_read(store, count + 1, pages + (size_t)count * page_size) == 0) {
        count++;
    }
    store_close(store);
    put_8(page_size == 8192 ? 2 : 0);
    put_8(count - 1);
    put_16(SCRIPT_SIZE);
    put_script(SCRIPT_SIZE);
    file = fuzz_file_reset();
    FUZZ_EXPECT(os_file_write(file, pages, (size_t)count * page_size, 0) == 0);
    put_image();
    save("nodes", name);
}

/* Every row of a filesystem as a raw one. */
static void seed_rows(const char *name, struct os_file *file, uint32_t page_size)
{
    struct store_open_options options = {.read_only = true};
    struct pool_options pool_options = {.size = 1 << 20};
    struct txn_engine_options engine_options = {0};
    struct base_reason reason;
    struct store *store;
    struct pool *pool;
    struct txn_engine *engine;
    struct btree *tree;
    struct btree_cursor *cursor;

    FUZZ_EXPECT(store_open(file, &options, &store, &reason) == 0);
    FUZZ_EXPECT(pool_create(store, &pool_options, &pool) == 0);
    FUZZ_EXPECT(txn_engine_open(store, pool, &engine_options, &engine) == 0);
    FUZZ_EXPECT(btree_open(engine, &tree) == 0 && btree_cursor_open(tree, &cursor) == 0);
    put_8(page_size == 16384 ? 2 : 0);
    put_8(3);
    put_16(SCRIPT_SIZE);
    put_script(SCRIPT_SIZE);
    for (int error = btree_cursor_first(cursor, NULL); !error; error = btree_cursor_next(cursor, NULL)) {
        struct btree_slice key = btree_cursor_key(cursor), value = btree_cursor_value(cursor);
        if (key.size < 256 && value.size < 256) {
            put_8(7);
            put_8((unsigned)key.size);
            put(key.bytes, key.size);
            put_8((unsigned)value.size);
            put(value.bytes, value.size);
        }
    }
    save("rows", name);
    btree_cursor_close(cursor);
    btree_close(tree);
    txn_engine_close(engine);
    pool_destroy(pool);
    store_close(store);
}

/* In the rows' own grammar: a directory, a file in pieces, one in chunks, a symlink, an orphan, contents being freed.
 */
static void seed_rows_grammar(void)
{
    static const uint8_t rows[] = {
        0, 1,  1, 4,   4,   0,  1,                                    /* root: 4 links, 4 entries, parent 1 */
        6, 50,                                                        /* the superinode */
        0, 1,  2, 2,   1,   0,  1,                                    /* directory 2 */
        1, 1,  1, 'd', 2,   4,  1,   2, 1, 'f', 3,    8,              /* its entry; f in it */
        0, 0,  3, 1,   200, 0,  2,   3, 0, 66,                        /* file 3, a piece of 198 bytes */
        1, 1,  1, 'c', 4,   8,  0,   0, 4, 1,   0xE0, 0, 0,  2,   40, /* file 4 */
        3, 4,  0, 2,   0,   31, 200, 3, 3, 4,   1,    1, 40, 7,       /* two chunks of it */
        1, 1,  1, 's', 5,   10, 0,   2, 5, 1,   3,    0, 3,  'a', 'b', 'c', 0, 0, 6, 0, 100, 0,
        4, 6, /* a symlink, an orphan */
        0, 0,  7, 1,   5,   0,  8,   1, 1, 1,   't',  7, 8,  5,   7,   1,   3, 7, 1, 1, 80,  7, /* being freed */
    };

    for (unsigned flags = 0; flags < 4; flags++) {
        char name[64];
        put_8(flags);
        put_8(3);
        put_16(SCRIPT_SIZE);
        put_script(SCRIPT_SIZE);
        put(rows, sizeof rows);
        snprintf(name, sizeof name, "grammar-%u", flags);
        save("rows", name);
    }
}

/* As above: a file with a short value, a long one and one with a wrong summary; a directory with ACLs. */
static void seed_rows_xattrs(void)
{
    static const uint8_t rows[] = {
        0,    1,  1, 3,   2,    0,    1,               /* root */
        6,    50,                                      /* the superinode */
        0x40, 0,  2, 1,   14,   0,    100,  0,         /* file 2: two names, 14 bytes */
        1,    1,  1, 'f', 2,    8,                     /* its entry */
        0x46, 2,  0, 0,   0x83, 3,    'a',  'b',  'c', /* user.a: 3 bytes */
        0x46, 2,  2, 0,   70,   0xF1, 0xE8, 0x03,      /* user.b: 1,000 bytes, first piece */
        0x46, 2,  2, 1,   55,                          /* and its second */
        0x40, 1,  3, 2,   24,   1,    0,    0,    1,   /* directory 3, access ACL */
        1,    1,  1, 'd', 3,    4,                     /* its entry */
        0x46, 3,  6, 0,   0x9C, 28,   2,    0,    0,   0, 1, 0, 7,   0,   255, 255, 255, 255, /* the ACL */
        4,    0,  5, 0,   255,  255,  255,  255,  32,  0, 5, 0, 255, 255, 255, 255,           /* */
        0x40, 0,  4, 1,   7,    0,    0,    0,                                                /* file 4: no such row */
        1,    1,  1, 'w', 4,    8,                                                            /* its entry */
    };

    for (unsigned flags = 0; flags < 4; flags++) {
        char name[64];
        put_8(flags);
        put_8(0);
        put_16(SCRIPT_SIZE);
        put_script(SCRIPT_SIZE);
        put(rows, sizeof rows);
        snprintf(name, sizeof name, "grammar-xattrs-%u", flags);
        save("rows", name);
    }
}

/* Batches for target_log: records by its grammar, and what comes of the flags. */
static void seed_log(void)
{
    static const uint8_t record[] = {1, 1, 4, 0, 1, 3, 'a', 'b', 'c', 'd', 5, 0, 2, 0, 3, 40, 0}; /* PAGE PUT MOVE */
    static const uint8_t pages[] = {1, 30, 2, 4, 0, 0, 0, 1, 0, 1, 31, 2, 3}; /* NEW PUT, NEW FREE */
    static const uint8_t runs[] = {6, 64, 4, 6, 80, 2, 7, 65, 1};             /* ADD ADD DROP */

    for (unsigned kind = 0; kind < 8; kind++) {
        char name[64];
        put_8(kind % 4);
        put_16(SCRIPT_SIZE / 2);
        put_script(SCRIPT_SIZE / 2);
        put_8(kind < 4 ? 0 : 250);
        put_8(kind + 1);
        for (unsigned batch = 0; batch < 4; batch++) {
            put_8(kind == 2 && batch == 3 ? 32 : kind == 3 ? 1U << batch : 0);
            put_16(sizeof record + sizeof pages + sizeof runs);
            put(batch % 2 ? pages : record, batch % 2 ? sizeof pages : sizeof record);
            put(batch % 2 ? record : pages, batch % 2 ? sizeof record : sizeof pages);
            put(runs, sizeof runs);
            put_8(2);
            put_16(64 | 4 << 8);
            put_16(80 | 2 << 8);
        }
        snprintf(name, sizeof name, "%u", kind);
        save("log", name);
    }
}

static void seed_kind(const struct kind *kind)
{
    make_fs(kind->page_size, kind->fill, kind->is_closed);
    struct os_file *file = fuzz_file_open();
    seed_superblock(kind->name);
    seed_map(kind->name, kind->page_size);
    seed_image(kind->name);
    seed_rows(kind->name, file, kind->page_size);
    seed_nodes(kind->name, file, kind->page_size);
}

int main(int argc, char **argv)
{
    FUZZ_EXPECT(argc == 2);
    corpus = argv[1];
    (void)mkdir(corpus, 0777);
    fuzz_set_messages();
    base_random_seed(&generator, 1);
    for (size_t i = 0; i < KIND_COUNT; i++) {
        seed_kind(&kinds[i]);
    }
    seed_rows_grammar();
    seed_log();
    for (size_t i = 0; i < XATTR_KIND_COUNT; i++) {
        seed_kind(&xattr_kinds[i]);
    }
    seed_rows_xattrs();
    for (size_t i = 0; i < SHARE_KIND_COUNT; i++) {
        seed_kind(&share_kinds[i]);
    }
    return 0;
}
