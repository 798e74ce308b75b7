/* Listings: order, resuming at any entry, stability under changes, seekdir, lookup counts, removed directories. */
#include "support/fs_fixture.h"

#include "base/random.h"
#include "directory.h"
#include "support/test_seed.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fs_fixture fixture;

static int setup(void **state)
{
    (void)state;
    fs_fixture_init(&fixture, 4096);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    uint64_t inodes, lookups;
    fs_get_use(fixture.fs, &inodes, &lookups);
    assert_int_equal(inodes, 0);
    fs_fixture_deinit(&fixture);
    return 0;
}

/* --- A reply that takes so many entries --------------------------------------------------------------------------- */

struct seen {
    char name[FS_NAME_SIZE_MAX + 1];
    uint64_t cookie, inode;
    uint32_t type;
    bool has_attributes;
};

struct reply {
    struct seen *entries;
    size_t count, count_max;
    size_t refused;
};

static bool take(void *context, const struct fs_directory_entry *entry)
{
    struct reply *reply = context;
    assert_int_equal(strlen(entry->name), entry->name_size);
    assert_true(entry->cookie != 0 && entry->cookie <= INT64_MAX);
    if (reply->count == reply->count_max) {
        reply->refused++;
        return false;
    }
    struct seen *seen = &reply->entries[reply->count++];
    memcpy(seen->name, entry->name, entry->name_size + 1);
    seen->cookie = entry->cookie;
    seen->inode = entry->inode;
    seen->type = entry->type;
    seen->has_attributes = entry->attributes != NULL;
    if (entry->attributes) {
        assert_int_equal(entry->attributes->inode, entry->inode);
        assert_int_equal(entry->attributes->mode & S_IFMT, entry->type);
    }
    return true;
}

/* Reads at most count entries from the place of cookie; returns how many. */
static size_t read_some(struct fs_directory *directory, uint64_t cookie, size_t count, struct seen *entries)
{
    struct reply reply = {.entries = entries, .count_max = count};
    assert_int_equal(fs_directory_read(directory, cookie, false, take, &reply), 0);
    assert_in_range(reply.refused, 0, 1);
    return reply.count;
}

/* The whole rest, count entries at a time, appended to entries. */
static size_t read_rest(struct fs_directory *directory, uint64_t cookie, size_t chunk, struct seen *entries)
{
    size_t total = 0, got;
    while ((got = read_some(directory, cookie, chunk, entries + total)) > 0) {
        total += got;
        cookie = entries[total - 1].cookie;
    }
    return total;
}

static struct fs_directory *open_directory(uint64_t inode)
{
    struct fs_directory *directory;
    assert_int_equal(fs_directory_open(fixture.fs, inode, &directory), 0);
    return directory;
}

static uint64_t make_directory(const char *name, unsigned count)
{
    uint64_t directory = fs_fixture_make(&fixture, FS_ROOT_INODE, name, S_IFDIR | 0755);
    for (unsigned i = 0; i < count; i++) {
        char entry[16];
        snprintf(entry, sizeof entry, "f%05u", i * 7919 % count);
        fs_fixture_make(&fixture, directory, entry, S_IFREG | 0644);
    }
    return directory;
}

static struct seen *entries_create(size_t count)
{
    struct seen *entries = calloc(count, sizeof *entries);
    assert_non_null(entries);
    return entries;
}

/* --- Tests -------------------------------------------------------------------------------------------------------- */

static void empty_directories(void **state)
{
    (void)state;
    struct seen entries[4];
    uint64_t sub = fs_fixture_make(&fixture, FS_ROOT_INODE, "sub", S_IFDIR | 0755);
    struct fs_directory *directory = open_directory(sub);
    assert_int_equal(read_some(directory, 0, 4, entries), 2);
    assert_string_equal(entries[0].name, ".");
    assert_int_equal(entries[0].inode, sub);
    assert_string_equal(entries[1].name, "..");
    assert_int_equal(entries[1].inode, FS_ROOT_INODE);
    assert_int_equal(entries[1].type, S_IFDIR);
    assert_int_equal(read_some(directory, entries[1].cookie, 4, entries), 0);
    assert_int_equal(read_rest(directory, 0, 1, entries), 2);
    fs_directory_close(directory);

    directory = open_directory(FS_ROOT_INODE);
    assert_int_equal(read_some(directory, 0, 4, entries), 3);
    assert_int_equal(entries[1].inode, FS_ROOT_INODE); /* the root is its own parent */
    assert_string_equal(entries[2].name, "sub");
    assert_int_equal(entries[2].type, S_IFDIR);
    fs_directory_close(directory);
    assert_int_equal(fs_directory_open(fixture.fs, 4711, &directory), -ENOENT);
    uint64_t file = fs_fixture_make(&fixture, FS_ROOT_INODE, "file", S_IFREG | 0644);
    assert_int_equal(fs_directory_open(fixture.fs, file, &directory), -ENOTDIR);
}

static void bytewise_order(void **state)
{
    (void)state;
    static const char *const sorted[] = {"\x01", " ", "!",    "-",    "0",        "10",   "2",
                                         "A",    "Z", "a",    "a\n",  "a ",       "aa",   "b",
                                         "z",    "~", "\x7f", "\x80", "\xc3\xa9", "\xff", "\xff\xff"};
    enum { COUNT = sizeof sorted / sizeof sorted[0] };
    struct seen entries[COUNT + 3];
    uint64_t sub = fs_fixture_make(&fixture, FS_ROOT_INODE, "sub", S_IFDIR | 0755);
    for (unsigned i = 0; i < COUNT; i++)
        fs_fixture_make(&fixture, sub, sorted[i * 8 % COUNT], S_IFREG | 0644);
    for (size_t chunk = 1; chunk < COUNT + 3; chunk++) {
        struct fs_directory *directory = open_directory(sub);
        assert_int_equal(read_rest(directory, 0, chunk, entries), COUNT + 2);
        for (unsigned i = 0; i < COUNT; i++)
            assert_string_equal(entries[i + 2].name, sorted[i]);
        fs_directory_close(directory);
    }
}

static void resume_after_any_entry(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct seen *all = entries_create(COUNT + 3), *rest = entries_create(COUNT + 3);
    uint64_t sub = make_directory("sub", COUNT);
    struct fs_directory *directory = open_directory(sub);
    assert_int_equal(read_rest(directory, 0, COUNT + 3, all), COUNT + 2);
    for (size_t place = 0; place < COUNT + 2; place++) {
        size_t got = read_rest(directory, all[place].cookie, 50, rest);
        assert_int_equal(got, COUNT + 1 - place);
        assert_memory_equal(rest, all + place + 1, got * sizeof *rest);
    }
    fs_directory_close(directory);
    /* Another handle never gave these out: it finds them by a scan. */
    for (size_t place = 0; place < COUNT + 2; place += 13) {
        directory = open_directory(sub);
        assert_int_equal(read_rest(directory, all[place].cookie, 50, rest), COUNT + 1 - place);
        fs_directory_close(directory);
    }
    directory = open_directory(sub);
    assert_int_equal(read_some(directory, 0x7123456789abcdef, 5, rest), 5); /* no place of this directory */
    assert_string_equal(rest[0].name, all[2].name);
    fs_directory_close(directory);
    free(all);
    free(rest);
}

/* More places than a handle remembers: those forgotten are found by a scan while their entry is there. */
static void seek_beyond_memory(void **state)
{
    (void)state;
    enum { COUNT = 3 * FS_COOKIE_GENERATION_SIZE };
    struct seen *all = entries_create(COUNT + 3), *rest = entries_create(COUNT + 3);
    uint64_t sub = make_directory("sub", COUNT);
    struct fs_directory *directory = open_directory(sub);
    assert_int_equal(read_rest(directory, 0, 200, all), COUNT + 2);
    static const size_t places[] = {0, 1, 2, 3, 100, COUNT / 2, COUNT - 1, COUNT, COUNT + 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        size_t got = read_rest(directory, all[places[i]].cookie, 200, rest);
        assert_int_equal(got, COUNT + 1 - places[i]);
        assert_memory_equal(rest, all + places[i] + 1, got * sizeof *rest);
    }
    /* Remembered and removed: goes on behind it. */
    size_t place = COUNT - 10;
    assert_int_equal(read_rest(directory, all[place - 1].cookie, 3, rest), COUNT + 2 - place);
    assert_int_equal(fs_unlink(fixture.fs, sub, all[place].name), 0);
    assert_int_equal(read_some(directory, all[place].cookie, 3, rest), 3);
    assert_string_equal(rest[0].name, all[place + 1].name);
    fs_directory_close(directory);
    /* Forgotten and removed, or never given: the listing begins anew, so that nothing is missing. The dots are those of
     * places before the first entry. */
    directory = open_directory(sub);
    assert_int_equal(read_some(directory, all[place].cookie, 3, rest), 3);
    assert_string_equal(rest[0].name, all[2].name);
    /* Its last place is remembered still, and is the end. */
    assert_int_equal(read_rest(directory, all[2].cookie, 200, rest), COUNT - 2);
    assert_int_equal(read_some(directory, all[COUNT + 1].cookie, 3, rest), 0);
    assert_int_equal(read_some(directory, (uint64_t)INT64_MAX - 1, 3, rest), 3);
    assert_string_equal(rest[0].name, all[2].name);
    fs_directory_close(directory);
    free(all);
    free(rest);
}

static void handles_of_removed_directories(void **state)
{
    (void)state;
    struct seen entries[4];
    struct fs_attributes attributes;
    uint64_t sub = fs_fixture_make(&fixture, FS_ROOT_INODE, "sub", S_IFDIR | 0755);
    struct fs_directory *directory = open_directory(sub);
    assert_int_equal(fs_rmdir(fixture.fs, FS_ROOT_INODE, "sub"), 0);
    assert_int_equal(read_some(directory, 0, 4, entries), 0);
    assert_int_equal(fs_fixture_attributes(&fixture, sub).link_count, 0); /* the handle keeps it */
    fs_directory_close(directory);
    assert_int_equal(fs_get_attributes(fixture.fs, sub, &attributes), -ENOENT);
}

static void dot_dot_follows_a_move(void **state)
{
    (void)state;
    uint64_t left = fs_fixture_make(&fixture, FS_ROOT_INODE, "left", S_IFDIR | 0755);
    uint64_t right = fs_fixture_make(&fixture, FS_ROOT_INODE, "right", S_IFDIR | 0755);
    uint64_t sub = fs_fixture_make(&fixture, left, "sub", S_IFDIR | 0755);
    struct fs_directory *directory = open_directory(sub);
    struct seen entries[2];
    assert_int_equal(fs_rename(fixture.fs, left, "sub", right, "sub", 0), 0);
    assert_int_equal(read_some(directory, 0, 2, entries), 2);
    assert_int_equal(entries[1].inode, right);
    fs_directory_close(directory);
}

static void lookups_of_readdirplus(void **state)
{
    (void)state;
    struct seen entries[8];
    uint64_t inodes, lookups, sub = make_directory("sub", 10);
    struct fs_directory *directory = open_directory(sub);
    struct reply reply = {.entries = entries, .count_max = 6};
    assert_int_equal(fs_directory_read(directory, 0, true, take, &reply), 0);
    assert_int_equal(reply.count, 6);
    assert_int_equal(reply.refused, 1);
    assert_false(entries[0].has_attributes);
    assert_false(entries[1].has_attributes);
    fs_get_use(fixture.fs, &inodes, &lookups);
    assert_int_equal(lookups, 4); /* "." and ".." and what was refused count nothing */
    assert_int_equal(inodes, 5);  /* the handle's own */
    for (int i = 2; i < 6; i++) {
        assert_true(entries[i].has_attributes);
        fs_forget(fixture.fs, entries[i].inode, 1);
    }
    fs_directory_close(directory);
}

/* A table of whether stable names have come, and a directory in which all other names change all the time. */
enum { STABLE_COUNT = 500, CHANGING_COUNT = 500, CHANGES_PER_READ = 20 };

static void name_of(char *name, size_t size, bool stable, uint64_t number)
{
    /* Hashed, so that the two kinds lie between each other. */
    snprintf(name, size, "%04x%c%03u", (unsigned)(number * 40503 % 65536), stable ? 's' : 'c', (unsigned)number);
}

static bool is_stable(const char *name)
{
    return name[0] != '.' && name[4] == 's';
}

static void change_something(struct base_random *random, uint64_t sub)
{
    char name[32], other[32];
    struct fs_entry entry;
    name_of(name, sizeof name, false, base_random_below(random, CHANGING_COUNT));
    name_of(other, sizeof other, false, base_random_below(random, CHANGING_COUNT));
    switch (base_random_below(random, 4)) {
    case 0:
        fs_unlink(fixture.fs, sub, name);
        break;
    case 1:
        fs_rename(fixture.fs, sub, name, sub, other, 0);
        break;
    default:
        if (fs_make(fixture.fs, &fs_fixture_user, sub, name, &(struct fs_make){.mode = S_IFREG | 0644}, &entry) == 0)
            fs_forget(fixture.fs, entry.attributes.inode, 1);
    }
}

static void stable_entries_come_exactly_once(void **state)
{
    (void)state;
    struct base_random random;
    base_random_seed(&random, test_seed("test_directory", 20240607));
    uint64_t sub = fs_fixture_make(&fixture, FS_ROOT_INODE, "sub", S_IFDIR | 0755);
    for (unsigned i = 0; i < STABLE_COUNT; i++) {
        char name[32];
        name_of(name, sizeof name, true, i);
        fs_fixture_make(&fixture, sub, name, S_IFREG | 0644);
    }
    for (int round = 0; round < 20; round++) {
        struct fs_directory *directory = open_directory(sub);
        struct seen entries[64], last = {.name = ""};
        unsigned stable_seen = 0;
        uint64_t cookie = 0;
        size_t got;
        while ((got = read_some(directory, cookie, 1 + base_random_below(&random, 63), entries)) > 0) {
            for (size_t i = 0; i < got; i++) {
                /* Rising order: nothing comes twice. */
                assert_true(entries[i].name[0] == '.' || strcmp(last.name, entries[i].name) < 0);
                if (entries[i].name[0] != '.')
                    last = entries[i];
                stable_seen += is_stable(entries[i].name);
            }
            /* The kernel may come back with any place of the last reply. */
            size_t resume = base_random_below(&random, 4) == 0 ? base_random_below(&random, got) : got - 1;
            for (size_t i = resume + 1; i < got; i++)
                stable_seen -= is_stable(entries[i].name);
            if (resume < got - 1)
                last = entries[resume];
            if (last.name[0] == '.')
                last.name[0] = '\0';
            cookie = entries[resume].cookie;
            /* The place's own entry goes as often as it can. */
            if (entries[resume].name[0] != '.' && !is_stable(entries[resume].name))
                fs_unlink(fixture.fs, sub, entries[resume].name);
            for (int i = 0; i < CHANGES_PER_READ; i++)
                change_something(&random, sub);
        }
        assert_int_equal(stable_seen, STABLE_COUNT);
        fs_directory_close(directory);
    }
}

/* Streamed in order from many leaves, and no slower at the end than at the start. */
static void many_entries(void **state)
{
    (void)state;
    unsigned count = test_is_long() ? 1000000 : 60000, seen = 0;
    struct seen entries[200];
    uint64_t sub = fs_fixture_make(&fixture, FS_ROOT_INODE, "sub", S_IFDIR | 0755), cookie = 0;
    struct fs_entry entry;
    struct fs_make make = {.mode = S_IFREG | 0644};
    struct fs_statistics before, after;
    char name[16], last[FS_NAME_SIZE_MAX + 1] = "";
    for (uint64_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "f%08u", (unsigned)(i * 1000003 % count));
        assert_int_equal(fs_make(fixture.fs, &fs_fixture_user, sub, name, &make, &entry), 0);
        fs_forget(fixture.fs, entry.attributes.inode, 1);
    }
    struct fs_directory *directory = open_directory(sub);
    fs_get_statistics(fixture.fs, &before);
    for (size_t got; (got = read_some(directory, cookie, 200, entries)) > 0; cookie = entries[got - 1].cookie) {
        for (size_t i = 0; i < got; i++) {
            if (entries[i].name[0] == '.')
                continue;
            assert_true(strcmp(last, entries[i].name) < 0);
            strcpy(last, entries[i].name);
            seen++;
        }
    }
    fs_get_statistics(fixture.fs, &after);
    assert_int_equal(seen, count);
    /* One row read and one seek a call; entries are steps, not descents. */
    assert_in_range(after.btree.descents - before.btree.descents, 1, 4 * (count / 200 + 2));
    fs_directory_close(directory);
}

static void equal_hashes_are_told_apart(void **state)
{
    (void)state;
    struct fs_cookie_table table = {0};
    size_t size;
    assert_int_equal(fs_cookie_choose(&table, 100, "a", 1), 100);
    fs_cookie_keep(&table, 100, "a", 1);
    assert_int_equal(fs_cookie_choose(&table, 100, "a", 1), 100);
    assert_int_equal(fs_cookie_choose(&table, 100, "b", 1), 101);
    fs_cookie_keep(&table, 101, "b", 1);
    assert_int_equal(fs_cookie_choose(&table, 100, "ab", 2), 102);
    assert_memory_equal(fs_cookie_find(&table, 101, &size), "b", 1);
    assert_int_equal(size, 1);
    assert_null(fs_cookie_find(&table, 102, &size));
    fs_cookie_keep(&table, INT64_MAX, "z", 1);
    assert_true(fs_cookie_choose(&table, INT64_MAX, "y", 1) < 100);
    /* The last ones are remembered, the table stays bounded. */
    for (unsigned i = 0; i < 10 * FS_COOKIE_GENERATION_SIZE; i++) {
        char name[16];
        int name_size = snprintf(name, sizeof name, "n%u", i);
        fs_cookie_keep(&table, 1000 + i, name, (size_t)name_size);
        if (i >= FS_COOKIE_GENERATION_SIZE) {
            snprintf(name, sizeof name, "n%u", i - FS_COOKIE_GENERATION_SIZE);
            const char *found = fs_cookie_find(&table, 1000 + i - FS_COOKIE_GENERATION_SIZE, &size);
            assert_non_null(found);
            assert_int_equal(size, strlen(name));
            assert_memory_equal(found, name, size);
        }
    }
    assert_null(fs_cookie_find(&table, 100, &size));
    assert_in_range(table.current.slot_capacity, 1, FS_COOKIE_GENERATION_SIZE);
    fs_cookie_table_deinit(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(bytewise_order, setup, teardown),
        cmocka_unit_test_setup_teardown(resume_after_any_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(seek_beyond_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(handles_of_removed_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(dot_dot_follows_a_move, setup, teardown),
        cmocka_unit_test_setup_teardown(lookups_of_readdirplus, setup, teardown),
        cmocka_unit_test_setup_teardown(stable_entries_come_exactly_once, setup, teardown),
        cmocka_unit_test_setup_teardown(many_entries, setup, teardown),
        cmocka_unit_test(equal_hashes_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
