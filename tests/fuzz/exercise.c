/* See exercise.h. */
#include "exercise.h"

#include "fuzz_file.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    DIRECTORIES_MAX = 64, /* listed in one look */
    ENTRIES_MAX = 200000, /* of one listing: more than any input can hold */
    PLACES_MAX = 64,
    STEPS_MAX = 48,
    READ_SIZE_MAX = 140000,
    WRITE_SIZE_MAX = 140000,
    CACHE_SIZE = 1 << 20,
};

_Static_assert(READ_SIZE_MAX >= FS_XATTR_LIST_SIZE_MAX + FS_XATTR_VALUE_SIZE_MAX, "a list and a value fit");

/* Where a name was seen. */
struct place {
    uint64_t parent, inode;
    char name[FS_NAME_SIZE_MAX + 1];
};

struct look {
    struct fs *fs;
    bool is_whole; /* nothing is damaged: rows are the same along the leaves and from the root */
    uint64_t directories[DIRECTORIES_MAX];
    unsigned directory_count;
    unsigned place_count;
    struct place places[PLACES_MAX];
    /* The listing under way. */
    uint64_t parent, cookie;
    bool with_attributes;
    unsigned reply, reply_max;
    unsigned entry_count;
    char last_name[FS_NAME_SIZE_MAX + 1];
};

static const struct fs_caller callers[] = {{.uid = 0, .gid = 0}, {.uid = 1000, .gid = 100}};

static void expect_error(int64_t result)
{
    FUZZ_EXPECT(result <= 0 && result > -4096);
}

/* --- Looking ------------------------------------------------------------------------------------------------------ */

static void look_keep(struct look *look, const struct fs_directory_entry *entry)
{
    bool is_known = false;

    for (unsigned i = 0; i < look->directory_count; i++) {
        is_known = is_known || look->directories[i] == entry->inode;
    }
    if (S_ISDIR(entry->type) && !is_known && look->directory_count < DIRECTORIES_MAX) {
        look->directories[look->directory_count++] = entry->inode;
    }
    if (look->place_count < PLACES_MAX) {
        struct place *place = &look->places[look->place_count++];
        place->parent = look->parent;
        place->inode = entry->inode;
        memcpy(place->name, entry->name, entry->name_size + 1);
    }
}

static bool look_emit(void *context, const struct fs_directory_entry *entry)
{
    struct look *look = context;
    bool is_dots = entry->name[0] == '.' && (entry->name_size == 1 || (entry->name_size == 2 && entry->name[1] == '.'));

    if (look->reply == look->reply_max) {
        return false;
    }
    FUZZ_EXPECT(entry->cookie != 0 && entry->name_size > 0 && strlen(entry->name) == entry->name_size);
    FUZZ_EXPECT(!memchr(entry->name, '/', entry->name_size));
    if (!is_dots || look->entry_count >= 2) {
        FUZZ_EXPECT(strcmp(look->last_name, entry->name) < 0);
        memcpy(look->last_name, entry->name, entry->name_size + 1);
        look_keep(look, entry);
    }
    look->cookie = entry->cookie;
    look->reply++;
    look->entry_count++;
    FUZZ_EXPECT(look->entry_count < ENTRIES_MAX);
    return true;
}

static void look_list(struct look *look, uint64_t inode)
{
    struct fs_directory *directory;
    int result = fs_directory_open(look->fs, inode, &directory);

    expect_error(result);
    if (result < 0) {
        return;
    }
    look->parent = inode;
    look->cookie = 0;
    look->entry_count = 0;
    look->last_name[0] = '\0';
    do {
        look->reply = 0;
        result = fs_directory_read(directory, look->cookie, look->with_attributes, look_emit, look);
        expect_error(result);
        look->with_attributes = !look->with_attributes;
    } while (look->reply > 0 && result == 0);
    fs_directory_close(directory);
}

static void look_at_contents(struct fs *fs, const struct fs_attributes *attributes, uint8_t *buffer)
{
    static const uint64_t back[] = {1, 4096, 131072 + 4096, READ_SIZE_MAX};
    uint64_t size = attributes->size;
    int64_t result = fs_read(fs, attributes->inode, 0, buffer, READ_SIZE_MAX);

    FUZZ_EXPECT(result > -4096 && result <= READ_SIZE_MAX);
    for (size_t i = 0; i < sizeof back / sizeof back[0]; i++) {
        if (size > back[i]) {
            result = fs_read(fs, attributes->inode, size - back[i], buffer, READ_SIZE_MAX);
            FUZZ_EXPECT(result > -4096 && result <= READ_SIZE_MAX);
        }
    }
}

/* Every name of the list is read, as long as it is. */
static void look_at_xattrs(struct fs *fs, uint64_t inode, uint8_t *buffer)
{
    static const struct fs_caller root = {.uid = 0};
    char *names = (char *)buffer;
    uint8_t *value = buffer + FS_XATTR_LIST_SIZE_MAX;
    int64_t list_size = fs_list_xattrs(fs, &root, inode, names, FS_XATTR_LIST_SIZE_MAX);

    FUZZ_EXPECT(list_size > -4096 && list_size <= (int64_t)FS_XATTR_LIST_SIZE_MAX);
    FUZZ_EXPECT(list_size <= 0 || names[list_size - 1] == '\0');
    for (const char *name = names; name < names + list_size; name += strlen(name) + 1) {
        int64_t size = fs_get_xattr(fs, inode, name, value, FS_XATTR_VALUE_SIZE_MAX);
        FUZZ_EXPECT(size > -4096 && size <= (int64_t)FS_XATTR_VALUE_SIZE_MAX);
    }
}

static void look_at_inode(struct fs *fs, uint64_t inode, uint8_t *buffer)
{
    struct fs_attributes attributes;
    int result = fs_get_attributes(fs, inode, &attributes);

    expect_error(result);
    if (result < 0) {
        return;
    }
    look_at_xattrs(fs, inode, buffer);
    if (S_ISLNK(attributes.mode)) {
        result = fs_read_link(fs, inode, (char *)buffer, FS_SYMLINK_SIZE_MAX + 1);
        expect_error(result);
        FUZZ_EXPECT(result < 0 || memchr(buffer, '\0', FS_SYMLINK_SIZE_MAX + 1));
    } else if (S_ISREG(attributes.mode)) {
        look_at_contents(fs, &attributes, buffer);
    }
}

static void look_all(struct look *look, uint8_t *buffer)
{
    look->directories[0] = FS_ROOT_INODE;
    look->directory_count = 1;
    look->place_count = 0;
    look->reply_max = 3;
    for (unsigned i = 0; i < look->directory_count; i++) {
        look_list(look, look->directories[i]);
        look->reply_max = look->reply_max * 3 + 1;
    }
    for (unsigned i = 0; i < look->place_count; i++) {
        struct place *place = &look->places[i];
        struct fs_entry entry;
        int result = fs_lookup(look->fs, place->parent, place->name, &entry);
        expect_error(result);
        look_at_inode(look->fs, place->inode, buffer);
        if (result == 0) {
            FUZZ_EXPECT(entry.attributes.inode == place->inode || !look->is_whole);
            fs_forget(look->fs, entry.attributes.inode, 1);
        }
    }
}

/* Lists everything that is reached from the root, reads all of it (bounded), looks every name up. */
static void exercise_look(struct fs *fs, bool is_whole)
{
    struct look *look = calloc(1, sizeof *look);
    uint8_t *buffer = malloc(READ_SIZE_MAX);

    FUZZ_EXPECT(look && buffer);
    look->fs = fs;
    look->is_whole = is_whole;
    look_all(look, buffer);
    free(buffer);
    free(look);
}

/* --- Changing ----------------------------------------------------------------------------------------------------- */

struct run {
    struct look look; /* first member: what there is to choose from */
    struct fs *fs;
    struct fuzz_reader *script;
    uint8_t *buffer, *other;
    const struct fs_caller *caller;
};

static uint64_t pick_inode(struct run *run)
{
    unsigned choice = fuzz_take_8(run->script);

    if (choice < 16 || run->look.place_count == 0) {
        return choice;
    }
    return run->look.places[choice % run->look.place_count].inode;
}

static uint64_t pick_directory(struct run *run)
{
    unsigned choice = fuzz_take_8(run->script);

    return choice == 255 ? pick_inode(run) : run->look.directories[choice % run->look.directory_count];
}

/* Into a buffer of FS_NAME_SIZE_MAX + 1 bytes. */
static void pick_name(struct run *run, char *name)
{
    unsigned choice = fuzz_take_8(run->script);

    if (choice < 128 && run->look.place_count > 0) {
        memcpy(name, run->look.places[choice % run->look.place_count].name, FS_NAME_SIZE_MAX + 1);
        return;
    }
    size_t size = choice < 250 ? 1 + choice % 4 : FS_NAME_SIZE_MAX - choice % 3;
    memset(name, 'a' + (int)(choice % 7), size);
    name[0] = (char)('a' + choice % 26);
    name[size] = '\0';
}

/* A name that is there, with its parent. */
static uint64_t pick_place(struct run *run, char *name)
{
    unsigned choice = fuzz_take_8(run->script);

    if (choice >= 240 || run->look.place_count == 0) {
        pick_name(run, name);
        return pick_directory(run);
    }
    const struct place *place = &run->look.places[choice % run->look.place_count];
    memcpy(name, place->name, sizeof place->name);
    return place->parent;
}

/* A lookup count that an answer brought goes back, now or (sometimes) at the end. */
static void give_back(struct run *run, int result, const struct fs_entry *entry)
{
    expect_error(result);
    if (result == 0 && fuzz_take_8(run->script) < 200) {
        fs_forget(run->fs, entry->attributes.inode, 1);
    }
}

static void step_make(struct run *run)
{
    static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFIFO};
    struct fs_make make = {.mode = types[fuzz_take_8(run->script) % 6] | 0644U};
    char name[FS_NAME_SIZE_MAX + 1];
    struct fs_entry entry;
    uint64_t parent = pick_directory(run);

    pick_name(run, name);
    if (S_ISLNK(make.mode)) {
        size_t size = 1 + (size_t)fuzz_take_8(run->script) * 16;
        memset(run->buffer, 't', size);
        run->buffer[size] = '\0';
        make.target = (const char *)run->buffer;
    }
    give_back(run, fs_make(run->fs, run->caller, parent, name, &make, &entry), &entry);
}

static void step_link(struct run *run)
{
    uint64_t inode = pick_inode(run), parent = pick_directory(run);
    char name[FS_NAME_SIZE_MAX + 1];
    struct fs_entry entry;

    pick_name(run, name);
    give_back(run, fs_link(run->fs, inode, parent, name, &entry), &entry);
}

static void step_lookup(struct run *run)
{
    char name[FS_NAME_SIZE_MAX + 1];
    uint64_t parent = pick_place(run, name);
    struct fs_entry entry;

    give_back(run, fs_lookup(run->fs, parent, name, &entry), &entry);
}

static void step_remove(struct run *run)
{
    bool is_directory = fuzz_take_8(run->script) % 2;
    char name[FS_NAME_SIZE_MAX + 1];
    uint64_t parent = pick_place(run, name);

    expect_error((is_directory ? fs_rmdir : fs_unlink)(run->fs, parent, name));
}

static void step_rename(struct run *run)
{
    static const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    char name[FS_NAME_SIZE_MAX + 1], new_name[FS_NAME_SIZE_MAX + 1];
    uint64_t parent = pick_place(run, name), new_parent;

    if (fuzz_take_8(run->script) % 2) {
        new_parent = pick_place(run, new_name);
    } else {
        new_parent = pick_directory(run);
        pick_name(run, new_name);
    }
    expect_error(fs_rename(run->fs, parent, name, new_parent, new_name, flags[fuzz_take_8(run->script) % 4]));
}

static void step_read(struct run *run)
{
    uint64_t inode = pick_inode(run), offset = fuzz_take_number(run->script);
    int64_t result = fs_read(run->fs, inode, offset, run->buffer, READ_SIZE_MAX);

    FUZZ_EXPECT(result > -4096 && result <= READ_SIZE_MAX);
}

/* What was written is read, or an error is. */
static void step_write(struct run *run)
{
    uint64_t inode = pick_inode(run), offset = fuzz_take_number(run->script);
    size_t size = (size_t)(fuzz_take_number(run->script) % WRITE_SIZE_MAX);

    memset(run->buffer, fuzz_take_8(run->script), size);
    for (size_t i = 0; i < size; i += 509) {
        run->buffer[i] = (uint8_t)i;
    }
    int64_t result = fs_write(run->fs, run->caller, inode, offset, run->buffer, size);
    FUZZ_EXPECT(result > -4096 && result <= (int64_t)size);
    if (result > 0) {
        int64_t read_size = fs_read(run->fs, inode, offset, run->other, (size_t)result);
        FUZZ_EXPECT(read_size < 0 || (read_size == result && memcmp(run->buffer, run->other, (size_t)result) == 0));
    }
}

static void step_set_attributes(struct run *run)
{
    struct fs_changes changes = {.set = fuzz_take_16(run->script), .uid = 5, .gid = 6, .mode = 07777};
    struct fs_attributes attributes;
    uint64_t inode = pick_inode(run);

    if (fuzz_take_8(run->script) < 128) {
        changes.set = FS_SET_SIZE;
    }
    changes.size = fuzz_take_number(run->script);
    expect_error(fs_set_attributes(run->fs, run->caller, inode, &changes, &attributes));
}

/* What was set is read, or an error is. */
static void step_xattr(struct run *run)
{
    static const char *const names[] = {"user.a", "user.b", "trusted.a", "system.posix_acl_access",
                                        "system.posix_acl_default"};
    uint64_t inode = pick_inode(run);
    const char *name = names[fuzz_take_8(run->script) % 5];
    unsigned what = fuzz_take_8(run->script);
    size_t size = (size_t)(fuzz_take_number(run->script) % FS_XATTR_VALUE_SIZE_MAX);

    if (what < 64) {
        expect_error(fs_remove_xattr(run->fs, inode, name));
        return;
    }
    memset(run->buffer, (int)what, size);
    if (what < 128) {
        const uint8_t *bytes;
        size = fuzz_take_bytes(run->script, size % 64, &bytes);
        memcpy(run->buffer, bytes ? (const void *)bytes : "", size);
    }
    int result = fs_set_xattr(run->fs, inode, name, run->buffer, size, what % 4);
    expect_error(result);
    int64_t read_size = fs_get_xattr(run->fs, inode, name, run->other, FS_XATTR_VALUE_SIZE_MAX);
    FUZZ_EXPECT(read_size > -4096 && read_size <= (int64_t)FS_XATTR_VALUE_SIZE_MAX);
    if (result == 0 && read_size >= 0) {
        FUZZ_EXPECT((size_t)read_size == size && memcmp(run->buffer, run->other, size) == 0);
    }
    int64_t list_size = fs_list_xattrs(run->fs, run->caller, inode, (char *)run->other, FS_XATTR_LIST_SIZE_MAX);
    FUZZ_EXPECT(list_size > -4096 && list_size <= (int64_t)FS_XATTR_LIST_SIZE_MAX);
}

/* A place of a file: a number, or whole blocks. */
static uint64_t pick_offset(struct run *run)
{
    uint64_t number = fuzz_take_number(run->script);

    return number % 2 ? number : number * (STORE_BLOCK_SIZE / 2);
}

/* What was copied is the same in both files, or an error is read. */
static void step_copy(struct run *run)
{
    uint64_t from = pick_inode(run), to = pick_inode(run);
    uint64_t from_offset = pick_offset(run), to_offset = fuzz_take_8(run->script) % 2 ? pick_offset(run) : from_offset;
    uint64_t size = pick_offset(run);
    int64_t result = fs_copy_range(run->fs, run->caller, from, from_offset, to, to_offset, size);

    FUZZ_EXPECT(result > -4096 && (result < 0 || (uint64_t)result <= size));
    if (result > 0) {
        size = (uint64_t)result < READ_SIZE_MAX ? (uint64_t)result : READ_SIZE_MAX;
        result = fs_read(run->fs, from, from_offset, run->buffer, size);
        int64_t copied = fs_read(run->fs, to, to_offset, run->other, size);
        FUZZ_EXPECT(result < 0 || copied < 0 ||
                    (result == copied && memcmp(run->buffer, run->other, (size_t)copied) == 0));
    }
}

static void step_allocate(struct run *run)
{
    static const unsigned modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_ZERO_RANGE};
    uint64_t inode = pick_inode(run), offset = pick_offset(run), size = pick_offset(run) % WRITE_SIZE_MAX;

    expect_error(fs_allocate(run->fs, run->caller, inode, modes[fuzz_take_8(run->script) % 4], offset, size));
}

static void step_space(struct run *run)
{
    (fuzz_take_8(run->script) < 160 ? step_copy : step_allocate)(run);
}

static void step_look(struct run *run)
{
    look_list(&run->look, pick_directory(run));
    look_at_inode(run->fs, pick_inode(run), run->buffer);
}

static void step_sync(struct run *run)
{
    struct fs_statistics statistics;
    struct base_reason reason;
    struct fs_space space;

    expect_error(fs_sync(run->fs));
    expect_error(fs_get_space(run->fs, &space));
    fs_get_statistics(run->fs, &statistics);
    (void)fs_get_failure(run->fs, &reason);
}

/* A script of changes, and looks in between. */
static void exercise_script(struct fs *fs, struct fuzz_reader *script)
{
    static void (*const steps[])(struct run *) = {
        step_make,   step_link, step_lookup, step_remove, step_remove,         step_rename,
        step_rename, step_read, step_write,  step_write,  step_set_attributes, step_set_attributes,
        step_look,   step_sync, step_xattr,  step_space,
    };
    struct run *run = calloc(1, sizeof *run);

    FUZZ_EXPECT(run);
    run->buffer = malloc(READ_SIZE_MAX);
    run->other = malloc(READ_SIZE_MAX);
    FUZZ_EXPECT(run->buffer && run->other);
    run->fs = run->look.fs = fs;
    run->script = script;
    look_all(&run->look, run->buffer);
    for (unsigned i = 0; i < STEPS_MAX && script->size > 0; i++) {
        unsigned step = fuzz_take_8(script);
        run->caller = &callers[step / 128];
        steps[step % 16](run);
    }
    free(run->buffer);
    free(run->other);
    free(run);
}

/* --- Whole sessions ----------------------------------------------------------------------------------------------- */

static const struct fs_options writable_options = {.cache_size = CACHE_SIZE, .has_acls = true};
static const struct fs_options read_only_options = {.cache_size = CACHE_SIZE, .read_only = true};

/* Looks, checks. Returns how opening ended; *ret_is_clean: the check found nothing. */
static int exercise_read_only(struct os_file *file, bool *ret_is_clean)
{
    struct base_reason reason = {""};
    struct fs_check_report report = {.data = true};
    struct fs *fs;

    *ret_is_clean = false;
    fuzz_file_set_read_only(true);
    int opened = fs_open(file, &read_only_options, &fs, &reason);
    expect_error(opened);
    if (opened == 0) {
        int result = fs_check(fs, &report);
        expect_error(result);
        *ret_is_clean = result == 0 && report.problems == 0;
        exercise_look(fs, *ret_is_clean);
        fs_close(fs);
    } else {
        FUZZ_EXPECT(memchr(reason.text, '\0', sizeof reason.text) && reason.text[0] != '\0');
    }
    fuzz_file_set_read_only(false);
    return opened;
}

/* Runs the script. Returns how opening or closing ended. */
static int exercise_writable(struct os_file *file, struct fuzz_reader *script)
{
    struct base_reason reason = {""};
    struct fs *fs;
    int result = fs_open(file, &writable_options, &fs, &reason);

    if (result == 0) {
        exercise_script(fs, script);
        result = fs_close(fs);
    }
    expect_error(result);
    return result;
}

void exercise_file(struct os_file *file, struct fuzz_reader *script, bool skip_first)
{
    bool was_clean = false, is_clean;

    if (!skip_first) {
        exercise_read_only(file, &was_clean);
    }
    int closed = exercise_writable(file, script);
    int opened = exercise_read_only(file, &is_clean);
    FUZZ_EXPECT(is_clean || !was_clean);
    FUZZ_EXPECT(opened == 0 || closed < 0);
}
