/* The check finds each kind of damage that rows can have, and says so in a line that names it. */
#include "check_fixture.h"

/* --- Kinds of damage ---------------------------------------------------------------------------------------------- */

static void entry_to_nothing(struct world *world)
{
    put_entry(world->fs, world->directory, "lost", 4, 4711, S_IFREG >> 12);
}
static void entry_wrong_type(struct world *world)
{
    put_entry(world->fs, FS_ROOT_INODE, "small", 5, world->small, S_IFIFO >> 12);
}
static void entry_bad_name(struct world *world)
{
    put_entry(world->fs, FS_ROOT_INODE, "a/b", 3, world->small, S_IFREG >> 12);
}
static void entry_dot(struct world *world)
{
    put_entry(world->fs, FS_ROOT_INODE, "..", 2, world->small, S_IFREG >> 12);
}
static void entry_short_value(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    put_row(world->fs, key, fs_key_entry(key, FS_ROOT_INODE, "small", 5), "x", 1);
}
static void entry_in_file(struct world *world)
{
    put_entry(world->fs, world->small, "x", 1, world->chunked, S_IFREG >> 12);
}
static void entry_in_nothing(struct world *world)
{
    put_entry(world->fs, 4711, "x", 1, world->chunked, S_IFREG >> 12);
}
static void entry_short_key(struct world *world)
{
    put_row(world->fs, "D123", 4, "x", 1);
}
static void entry_removed(struct world *world)
{
    delete_entry(world->fs, FS_ROOT_INODE, "small");
}
static void file_link_count(struct world *world)
{
    set_link_count(world->fs, world->small, 2);
}
static void directory_link_count(struct world *world)
{
    set_link_count(world->fs, world->directory, 2);
}
static void directory_wrong_parent(struct world *world)
{
    set_field(world->fs, world->subdirectory, PARENT, 8, FS_ROOT_INODE);
}
static void directory_twice(struct world *world)
{
    put_entry(world->fs, FS_ROOT_INODE, "again", 5, world->directory, S_IFDIR >> 12);
}
static void directory_ring(struct world *world)
{
    delete_entry(world->fs, FS_ROOT_INODE, "directory");
    put_entry(world->fs, world->subdirectory, "ring", 4, world->directory, S_IFDIR >> 12);
    set_field(world->fs, world->directory, PARENT, 8, world->subdirectory);
    set_field(world->fs, world->subdirectory, SIZE, 8, 1);
    set_link_count(world->fs, world->subdirectory, 3);
    set_link_count(world->fs, FS_ROOT_INODE, 2);
    set_field(world->fs, FS_ROOT_INODE, SIZE, 8, get_attributes(world->fs, FS_ROOT_INODE).size - 1);
}
static void directory_size(struct world *world)
{
    set_field(world->fs, FS_ROOT_INODE, SIZE, 8, 77);
}
static void empty_directory_size(struct world *world)
{
    set_field(world->fs, world->subdirectory, SIZE, 8, 1);
}
static void root_gone(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    delete_row(world->fs, key, fs_key_inode(key, FS_ROOT_INODE));
}
static void root_parent(struct world *world)
{
    set_field(world->fs, FS_ROOT_INODE, PARENT, 8, world->directory);
}
static void no_orphan_row(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    delete_row(world->fs, key, fs_key_orphan(key, world->orphan));
}
static void orphan_with_links(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    put_row(world->fs, key, fs_key_orphan(key, world->small), "", 0);
}
static void orphan_of_nothing(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    put_row(world->fs, key, fs_key_orphan(key, 4711), "", 0);
}
static void orphan_short_key(struct world *world)
{
    put_row(world->fs, "O12", 3, "", 0);
}
static void freeing_malformed(struct world *world)
{
    put_freeing(world->fs, world->chunked, 4096, FS_FREEING_TO_END);
}
static void freeing_visible(struct world *world)
{
    put_freeing(world->fs, world->chunked, FS_CHUNK_SIZE, FS_FREEING_TO_END);
}
static void freeing_nothing(struct world *world)
{
    put_freeing(world->fs, world->small, FS_CHUNK_SIZE, FS_FREEING_TO_END);
}
static void freeing_twice(struct world *world)
{
    put_freeing(world->fs, world->chunked, 8 * FS_CHUNK_SIZE, FS_FREEING_TO_END);
    put_freeing(world->fs, world->chunked, 9 * FS_CHUNK_SIZE, FS_FREEING_TO_END);
}
static void contents_of_nothing(struct world *world)
{
    put_content(world->fs, 4711, 0, (const uint8_t *)"\1abc", 4);
}
static void contents_of_directory(struct world *world)
{
    put_content(world->fs, world->directory, 0, (const uint8_t *)"\1abc", 4);
}
static void contents_unknown_kind(struct world *world)
{
    put_content(world->fs, world->chunked, 8 * FS_CHUNK_SIZE, (const uint8_t *)"\7abc", 4);
}
static void contents_short_key(struct world *world)
{
    put_row(world->fs, "C1234567", 8, "\1a", 2);
}
static void contents_mixed(struct world *world)
{
    put_content(world->fs, world->chunked, 0, (const uint8_t *)"\1abc", 4);
}
static void piece_beyond_size(struct world *world)
{
    set_field(world->fs, world->small, SIZE, 8, 1000);
}
static void piece_gone(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    delete_row(world->fs, key, fs_key_content(key, world->symlink, 0));
}
static void piece_apart(struct world *world)
{
    put_content(world->fs, world->small, 3 * fs_piece_size(world->fs), (const uint8_t *)"\1abc", 4);
}
static void chunk_beyond_size(struct world *world)
{
    set_field(world->fs, world->chunked, SIZE, 8, 100000);
}
static void chunk_tail(struct world *world)
{
    set_field(world->fs, world->chunked, SIZE, 8, CHUNKED_SIZE - 10);
}
static void chunk_count(struct world *world)
{
    set_field(world->fs, world->chunked, BLOCKS, 8, 5);
}
static void chunks_uncounted(struct world *world)
{
    set_field(world->fs, world->chunked, BLOCKS, 8, 0);
}
static void chunk_cut_short(struct world *world)
{
    uint8_t row[8192];
    size_t size = get_content(world->fs, world->chunked, FS_CHUNK_SIZE, row);

    put_content(world->fs, world->chunked, FS_CHUNK_SIZE, row, size - 1);
}
static void chunk_wrong_checksum(struct world *world)
{
    uint8_t row[8192];
    size_t size = get_content(world->fs, world->chunked, FS_CHUNK_SIZE, row);

    row[size - 1] ^= 1;
    put_content(world->fs, world->chunked, FS_CHUNK_SIZE, row, size);
}
static void chunk_twice(struct world *world)
{
    uint8_t row[8192];
    size_t size = get_content(world->fs, world->chunked, 0, row);

    put_content(world->fs, world->other, 0, row, size);
}
static void chunk_unmarked(struct world *world)
{
    uint8_t row[8192];
    size_t size = get_content(world->fs, world->chunked, 0, row);

    base_put_le64(row + 2, base_get_le64(row + 2) + 100000);
    put_content(world->fs, world->chunked, 0, row, size);
}
/* Where table S has the shared file's first block. */
static size_t share_key(struct world *world, uint8_t *key)
{
    uint8_t row[8192];

    get_content(world->fs, world->shared, 0, row);
    return fs_key_share(key, (base_get_le64(row + 2) & ((1ULL << 48) - 1)) / 64 * 64);
}
static void change_share(struct world *world, size_t offset, uint8_t value)
{
    uint8_t key[FS_KEY_SIZE_MAX], row[512];
    size_t key_size = share_key(world, key), size = get_row(world->fs, key, key_size, row, sizeof row);

    row[offset] = value;
    put_row(world->fs, key, key_size, row, size);
}
static void share_gone(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    delete_row(world->fs, key, share_key(world, key));
}
static void share_owners(struct world *world)
{
    change_share(world, 4, 3);
}
static void share_one_owner(struct world *world)
{
    change_share(world, 4, 1);
}
static void share_elsewhere(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    put_row(world->fs, key, fs_key_share(key, 64000), "\0\1\0\0\2\0\0\0", 8);
}
static void share_short_key(struct world *world)
{
    put_row(world->fs, "S1234567", 8, "\0\1\0\0\2\0\0\0", 8);
}
static void share_unmarked(struct world *world)
{
    uint8_t row[8192];
    size_t size = get_content(world->fs, world->clone, 0, row);

    base_put_le64(row + 2, base_get_le64(row + 2) & ~(1ULL << 57));
    put_content(world->fs, world->clone, 0, row, size);
}
static void hole_shared(struct world *world)
{
    uint8_t row[8192];
    size_t size = get_content(world->fs, world->clone, 0, row);

    base_put_le64(row + 2, base_get_le64(row + 2) & ~((1ULL << 48) - 1));
    put_content(world->fs, world->clone, 0, row, size);
}
static void chunk_gone(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    delete_row(world->fs, key, fs_key_content(key, world->chunked, 0));
    set_field(world->fs, world->chunked, BLOCKS, 8, get_attributes(world->fs, world->chunked).blocks / 8 - 32);
}
static void all_chunks_gone(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    delete_row(world->fs, key, fs_key_content(key, world->other, 0));
}
static void number_limit(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX], row[32] = {2};

    put_row(world->fs, key, fs_key_inode(key, 0), row, sizeof row);
}
static void no_superinode(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    delete_row(world->fs, key, fs_key_inode(key, 0));
}
static void superinode_malformed(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX], row[32];

    memset(row, 1, sizeof row);
    put_row(world->fs, key, fs_key_inode(key, 0), row, sizeof row);
}
static void inode_short(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    put_row(world->fs, key, fs_key_inode(key, world->small), "x", 1);
}
static void inode_no_type(struct world *world)
{
    set_field(world->fs, world->small, MODE, 4, 0644);
}
static void inode_long_key(struct world *world)
{
    put_row(world->fs, "I1234567890", 11, "x", 1);
}
static void inode_gone(struct world *world)
{
    uint8_t key[FS_KEY_SIZE_MAX];

    delete_row(world->fs, key, fs_key_inode(key, world->chunked));
}
static void device_number(struct world *world)
{
    set_field(world->fs, world->small, DEVICE, 8, 5);
}
static void fifo_with_size(struct world *world)
{
    set_field(world->fs, world->small, PIECES, 4, 0);
    set_field(world->fs, world->small, MODE, 4, S_IFIFO | 0644);
}
static void pieces_uncounted(struct world *world)
{
    set_field(world->fs, world->small, PIECES, 4, 1);
}
static void pieces_gone(struct world *world)
{
    set_field(world->fs, world->chunked, PIECES, 4, 2);
}
static void zero_byte_in_inline_target(struct world *world)
{
    set_field(world->fs, world->short_symlink, TARGET, 4, 'a');
}
static void zero_byte_in_target(struct world *world)
{
    uint8_t row[8192];
    size_t size = get_content(world->fs, world->symlink, 0, row);

    row[5] = 0;
    put_content(world->fs, world->symlink, 0, row, size);
}
static void target_twice(struct world *world)
{
    put_content(world->fs, world->short_symlink, 0, (const uint8_t *)"\1short target", 13);
}
static void put_xattr(struct world *world, uint64_t inode, const char *name, size_t name_size, const void *value,
                      size_t value_size)
{
    uint8_t key[9 + 300];

    key[0] = 'X';
    base_put_be64(key + 1, inode);
    memcpy(key + 9, name, name_size);
    put_row(world->fs, key, 9 + name_size, value, value_size);
}
static void xattr_of_nothing(struct world *world)
{
    put_xattr(world, 4711, "user.a", 6, "\0\0\0\0", 4);
}
static void xattr_short_key(struct world *world)
{
    put_row(world->fs, "X12345678", 9, "\0\0\0\0", 4);
}
static void xattr_piece_zero(struct world *world)
{
    put_xattr(world, world->small, "user.large\0\0\0", 13, "x", 1);
}
static void xattr_uncounted(struct world *world)
{
    put_xattr(world, world->small, "user.more", 9, "\0\0\0\0", 4);
}
static void xattr_unknown_to_inode(struct world *world)
{
    put_xattr(world, world->chunked, "user.more", 9, "\0\0\0\0", 4);
}
static void xattrs_gone(struct world *world)
{
    set_field(world->fs, world->chunked, 20, 4, 5);
}
static void xattr_bad_name(struct world *world)
{
    put_xattr(world, world->small, "other.x", 7, "\0\0\0\0", 4);
}
static void xattr_short(struct world *world)
{
    put_xattr(world, world->small, "user.short", 10, "\0\0\0", 3);
}
static void xattr_size(struct world *world)
{
    put_xattr(world, world->small, "user.short", 10, "\6\0\0\0short", 9);
}
static void xattr_piece_apart(struct world *world)
{
    put_xattr(world, world->small, "user.large\0\0\11", 13, "x", 1);
}
static void xattr_piece_alone(struct world *world)
{
    put_xattr(world, world->small, "user.short\0\0\1", 13, "x", 1);
}
static void xattr_no_acl(struct world *world)
{
    put_xattr(world, world->small, "system.posix_acl_access", 23, "\4\0\0\0\2\0\0\0", 8);
}
static void xattr_default_acl(struct world *world)
{
    put_xattr(world, world->small, "system.posix_acl_default", 24, "\4\0\0\0\2\0\0\0", 8);
}
static void unknown_table(struct world *world)
{
    put_row(world->fs, "Zebra", 5, "x", 1);
}

static const struct {
    const char *name;
    void (*plant)(struct world *world);
    const char *line; /* what one of the lines must contain */
} kinds[] = {
#define KIND(plant, line)                                                                                              \
    {                                                                                                                  \
#plant, plant, line                                                                                            \
    }
    KIND(entry_to_nothing, "\"lost\" leads to inode 4711, which does not exist"),
    KIND(entry_wrong_type, "\"small\": type"),
    KIND(entry_bad_name, "impossible name"),
    KIND(entry_dot, "impossible name"),
    KIND(entry_short_value, "a value of 1 bytes"),
    KIND(entry_in_file, "has entries, but is no directory"),
    KIND(entry_in_nothing, "directory 4711 has entries, but does not exist"),
    KIND(entry_short_key, "table D: a key of 4 bytes"),
    KIND(entry_removed, "link count 1, but 0 entries"),
    KIND(file_link_count, "link count 2, but 1 entries"),
    KIND(directory_link_count, "link count 2, but 1 subdirectories"),
    KIND(directory_wrong_parent, "has 1 as its parent"),
    KIND(directory_twice, "2 entries lead to it"),
    KIND(directory_ring, "lead round in a ring"),
    KIND(directory_size, "counts 77 entries"),
    KIND(empty_directory_size, "counts entries, but has none"),
    KIND(root_gone, "no root directory"),
    KIND(root_parent, "the root directory's parent"),
    KIND(no_orphan_row, "no links and no orphan row"),
    KIND(orphan_with_links, "an orphan row, but link count 1"),
    KIND(orphan_of_nothing, "table O: inode 4711 does not exist"),
    KIND(orphan_short_key, "table O: a key of 3 bytes"),
    KIND(freeing_malformed, "contents being freed is malformed"),
    KIND(freeing_visible, "are being freed, but its size is"),
    KIND(freeing_nothing, "being freed, but no blocks counted"),
    KIND(freeing_twice, "two rows of contents being freed"),
    KIND(contents_of_nothing, "inode 4711 has contents, but does not exist"),
    KIND(contents_of_directory, "has contents, but is no file"),
    KIND(contents_unknown_kind, "unknown kind 7"),
    KIND(contents_short_key, "table C: a key of 8 bytes"),
    KIND(contents_mixed, "has pieces and chunks"),
    KIND(piece_beyond_size, "pieces up to 1234, but its size is 1000"),
    KIND(piece_gone, "should have rows of contents"),
    KIND(piece_apart, "does not follow"),
    KIND(chunk_beyond_size, "contents up to 131072, but its size is 100000"),
    KIND(chunk_tail, "bytes beyond its size"),
    KIND(chunk_count, "counts 5 content blocks, its rows name 74"),
    KIND(chunks_uncounted, "counts 0 content blocks, its rows name 74"),
    KIND(chunk_cut_short, "checksums in"),
    KIND(chunk_wrong_checksum, "wrong checksum"),
    KIND(chunk_twice, "is named twice"),
    KIND(chunk_unmarked, "are no contents"),
    KIND(share_gone, "is named twice"),
    KIND(share_owners, "should be shared by 3 places, 2 name it"),
    KIND(share_one_owner, "an impossible run"),
    KIND(share_elsewhere, "table S: block 64000 is no contents"),
    KIND(share_short_key, "table S: a key of 8 and a value of 8 bytes"),
    KIND(share_unmarked, "is shared, but not marked so"),
    KIND(hole_shared, "a hole is marked shared"),
    KIND(chunk_gone, "are marked as contents, but no row names them"),
    KIND(all_chunks_gone, "should have rows of contents, but has none"),
    KIND(number_limit, "is beyond the next inode number"),
    KIND(no_superinode, "there is no superinode"),
    KIND(superinode_malformed, "superinode's row is malformed"),
    KIND(inode_short, "its row is damaged"),
    KIND(inode_no_type, "its row is damaged"),
    KIND(inode_long_key, "table I: a key of 11 bytes"),
    KIND(inode_gone, "does not exist"),
    KIND(device_number, "has a device number, but is no device"),
    KIND(fifo_with_size, "has a size of 1234, but a type without contents"),
    KIND(pieces_uncounted, "counts 0 bytes in pieces, there are"),
    KIND(pieces_gone, "counts 1 bytes in pieces, there are 0"),
    KIND(zero_byte_in_inline_target, "a zero byte in its target"),
    KIND(zero_byte_in_target, "a zero byte in its target"),
    KIND(target_twice, "its target stands in its inode and in a piece"),
    KIND(xattr_of_nothing, "table X: inode 4711 does not exist"),
    KIND(xattr_short_key, "table X: a malformed key of 9 bytes"),
    KIND(xattr_piece_zero, "table X: a malformed key of 22 bytes"),
    KIND(xattr_uncounted, "its summary of extended attributes is"),
    KIND(xattr_unknown_to_inode, "its summary of extended attributes is 00000000, not 0000000a"),
    KIND(xattrs_gone, "counts extended attributes, but has none"),
    KIND(xattr_bad_name, "no extended attribute is named other.x"),
    KIND(xattr_short, "an extended attribute's row is malformed"),
    KIND(xattr_size, "an extended attribute's row is malformed"),
    KIND(xattr_piece_apart, "does not follow"),
    KIND(xattr_piece_alone, "does not follow"),
    KIND(xattr_no_acl, "is no ACL"),
    KIND(xattr_default_acl, "a default ACL, but no directory"),
    KIND(unknown_table, "unknown table 90"),
#undef KIND
};

static bool has_line(const struct problems *problems, const char *line)
{
    for (unsigned i = 0; i < problems->count && i < 32; i++)
        if (strstr(problems->text[i], line) != NULL)
            return true;
    return false;
}

static void test_each_kind(void **state)
{
    static struct problems problems;

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct world world;

        world_init(&world, page_sizes[i % PAGE_SIZE_COUNT]);
        kinds[i].plant(&world);
        run_check(world.fs, &problems, NULL);
        if (!has_line(&problems, kinds[i].line)) {
            for (unsigned k = 0; k < problems.count && k < 32; k++)
                print_error("problem: %s\n", problems.text[k]);
            fail_msg("%s: no line with \"%s\"", kinds[i].name, kinds[i].line);
        }
        world_drop(&world);
    }
}

static void test_report(void **state)
{
    static struct problems problems;
    struct fs_check_report report;
    struct world world;

    (void)state;
    world_init(&world, 16384);
    run_check(world.fs, &problems, &report);
    assert_int_equal(report.inodes, 11);
    assert_int_equal(report.directories, 3);
    assert_int_equal(report.entries, 9);
    assert_int_equal(report.orphans, 1);
    assert_int_equal(report.freeing, 0);
    assert_int_equal(report.notes, 0);
    assert_int_equal(report.content_blocks, 74 + 13 + 13 + 13); /* shared ones once */
    assert_true(report.pages > 0 && report.rows > 19);
    fixture_deinit(&world.fixture);
}

/* --- Notes, progress, cancelling ---------------------------------------------------------------------------------- */

static void flip_in_slot(struct world *world, uint64_t offset)
{
    uint8_t byte;

    assert_int_equal(os_file_read(world->fixture.file, &byte, 1, offset), 0);
    byte ^= 1;
    assert_int_equal(os_file_write(world->fixture.file, &byte, 1, offset), 0);
}

static void keep_note(void *context, const char *text)
{
    snprintf(context, 256, "%s", text);
}

/* What a power cut leaves is no problem. */
static void test_torn_slot(void **state)
{
    char note[256] = "";
    struct fs_check_report report = {.note = keep_note, .context = note};
    struct world world;

    (void)state;
    world_init(&world, 16384);
    assert_int_equal(fs_sync(world.fs), 0);
    flip_in_slot(&world, 65536 + 300);
    assert_int_equal(fs_check(world.fs, &report), 0);
    assert_int_equal(report.problems, 0);
    assert_int_equal(report.notes, 1);
    assert_non_null(strstr(note, "slot B is torn"));
    fixture_deinit(&world.fixture);
}

/* Contents whose freeing was under way are counted, and no problem. */
static void test_freeing(void **state)
{
    static struct problems problems;
    struct fs_check_report report;
    struct world world;

    (void)state;
    world_init(&world, 16384);
    put_freeing(world.fs, world.chunked, 8 * FS_CHUNK_SIZE, FS_FREEING_TO_END);
    run_check(world.fs, &problems, &report);
    assert_int_equal(report.problems, 0);
    assert_int_equal(report.freeing, 1);
    world_drop(&world);
}

struct progress {
    enum fs_check_phase phase, cancel_in;
    uint64_t done;
    unsigned calls[FS_CHECK_PHASE_COUNT];
};

static bool watch_progress(void *context, enum fs_check_phase phase, uint64_t done, uint64_t total)
{
    struct progress *progress = context;

    assert_true(phase >= progress->phase);
    assert_true(done <= total);
    if (phase == progress->phase)
        assert_true(done >= progress->done);
    progress->phase = phase;
    progress->done = done;
    progress->calls[phase]++;
    return phase != progress->cancel_in;
}

static void test_progress(void **state)
{
    struct world world;

    (void)state;
    world_init(&world, 4096);
    for (unsigned i = 0; i < 20000; i++) {
        char name[16];

        snprintf(name, sizeof name, "%u", i);
        make_file(world.fs, name);
    }
    assert_int_equal(fs_sync(world.fs), 0);
    /* The last round cancels in no phase. */
    for (unsigned cancel_in = 0; cancel_in <= FS_CHECK_PHASE_COUNT; cancel_in++) {
        struct progress progress = {.cancel_in = cancel_in};
        struct fs_check_report report = {.progress = watch_progress, .context = &progress, .data = true};

        assert_int_equal(fs_check(world.fs, &report), cancel_in < FS_CHECK_PHASE_COUNT ? -ECANCELED : 0);
        assert_int_equal(report.problems, 0);
        for (unsigned phase = 0; phase < FS_CHECK_PHASE_COUNT; phase++)
            assert_true(phase <= cancel_in ? progress.calls[phase] > 0 : progress.calls[phase] == 0);
    }
    fixture_deinit(&world.fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind), cmocka_unit_test(test_report),   cmocka_unit_test(test_torn_slot),
        cmocka_unit_test(test_freeing),   cmocka_unit_test(test_progress),
    };

    base_message_configure("test", BASE_MESSAGE_TO_NOWHERE, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
