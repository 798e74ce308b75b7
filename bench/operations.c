/* What one request costs in fs/ and below, without kernel and libfuse: the calls that the front end makes for the
 * workloads create, stat, readdir, rename, unlink and small writes, on a database file with the pool in memory.
 *
 *      operations FILE COUNT [PAGE_SIZE]
 *
 * prints JSON lines {"operation", "operations", "seconds"}. For counts that don't jitter:
 *
 *      valgrind --tool=callgrind --toggle-collect=measure_create operations FILE 20000 */
#include "fs/fs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct fs *fs;
static uint64_t directory, count, *inodes;
static const struct fs_caller caller = {.uid = 0};

static void check(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "operations: %s: %s\n", what, strerror(-result));
        exit(1);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void make_name(char *name, char kind, uint64_t number)
{
    snprintf(name, 32, "%c-%06" PRIu64, kind, number);
}

/* Not inlined, so that callgrind can be told to look at one of them. */
#define MEASURED __attribute__((noinline))

/* GETATTR of the parent, LOOKUP of the new name, CREATE. */
MEASURED static void measure_create(void)
{
    struct fs_make make = {.mode = S_IFREG | 0644};
    struct fs_attributes attributes;
    struct fs_entry entry;
    char name[32];
    for (uint64_t number = 0; number < count; number++) {
        make_name(name, 'f', number);
        check(fs_get_attributes(fs, directory, &attributes), "fs_get_attributes");
        check(fs_lookup(fs, directory, name, &entry) == -ENOENT ? 0 : -EEXIST, "fs_lookup");
        check(fs_make(fs, &caller, directory, name, &make, &entry), "fs_make");
        inodes[number] = entry.attributes.inode;
    }
}

/* LOOKUP, in an order that jumps about. */
MEASURED static void measure_stat(void)
{
    struct fs_entry entry;
    char name[32];
    for (uint64_t number = 0; number < count; number++) {
        make_name(name, 'f', number * 7919 % count);
        check(fs_lookup(fs, directory, name, &entry), "fs_lookup");
        fs_forget(fs, entry.attributes.inode, 1);
    }
}

static bool take_some(void *context, const struct fs_directory_entry *entry)
{
    uint64_t *place = context;
    if (place[0] == 200)
        return false;
    place[0]++;
    place[1] = entry->cookie;
    if (entry->attributes != NULL)
        place[2] = entry->inode;
    return true;
}

/* READDIRPLUS, 200 entries a reply. */
MEASURED static void measure_readdir(void)
{
    struct fs_directory *handle;
    uint64_t place[3] = {0}, total = 0;
    check(fs_directory_open(fs, directory, &handle), "fs_directory_open");
    do {
        place[0] = 0;
        check(fs_directory_read(handle, place[1], true, take_some, place), "fs_directory_read");
        total += place[0];
    } while (place[0] > 0);
    fs_directory_close(handle);
    check(total == count + 2 ? 0 : -EIO, "entries");
}

/* GETATTR of the parent, LOOKUP of the new name, RENAME. */
MEASURED static void measure_rename(void)
{
    struct fs_attributes attributes;
    struct fs_entry entry;
    char name[32], new_name[32];
    for (uint64_t number = 0; number < count; number++) {
        make_name(name, 'f', number);
        make_name(new_name, 'g', number);
        check(fs_get_attributes(fs, directory, &attributes), "fs_get_attributes");
        check(fs_lookup(fs, directory, new_name, &entry) == -ENOENT ? 0 : -EEXIST, "fs_lookup");
        check(fs_rename(fs, directory, name, directory, new_name, 0), "fs_rename");
    }
}

/* WRITE of 4 KiB into each file. */
MEASURED static void measure_write(void)
{
    static char bytes[4096];
    for (uint64_t number = 0; number < count; number++) {
        int64_t written = fs_write(fs, &caller, inodes[number], 0, bytes, sizeof(bytes));
        check(written < 0 ? (int)written : 0, "fs_write");
    }
}

MEASURED static void measure_read(void)
{
    static char bytes[4096];
    for (uint64_t number = 0; number < count; number++) {
        int64_t read = fs_read(fs, inodes[number], 0, bytes, sizeof(bytes));
        check(read == sizeof(bytes) ? 0 : -EIO, "fs_read");
    }
}

/* GETATTR of the parent, UNLINK, FORGET. */
MEASURED static void measure_unlink(void)
{
    struct fs_attributes attributes;
    char name[32];
    for (uint64_t number = 0; number < count; number++) {
        make_name(name, 'g', number);
        check(fs_get_attributes(fs, directory, &attributes), "fs_get_attributes");
        check(fs_unlink(fs, directory, name), "fs_unlink");
        fs_forget(fs, inodes[number], 1);
    }
}

static void report(const char *name, void (*measure)(void))
{
    double start = now();
    measure();
    printf("{\"operation\": \"%s\", \"operations\": %" PRIu64 ", \"seconds\": %.6f}\n", name, count, now() - start);
    fflush(stdout);
}

int main(int argument_count, char **arguments)
{
    struct base_reason reason;
    struct os_file *file;
    struct fs_format_options format = {.root_mode = 0755};
    struct fs_options options = {.cache_size = (size_t)256 << 20};
    struct fs_make make = {.mode = S_IFDIR | 0755};
    struct fs_entry entry;
    if (argument_count < 3 || (count = strtoull(arguments[2], NULL, 10)) == 0) {
        fprintf(stderr, "usage: operations FILE COUNT [PAGE_SIZE]\n");
        return 2;
    }
    if (argument_count > 3)
        format.page_size = (uint32_t)strtoul(arguments[3], NULL, 10);
    inodes = calloc(count, sizeof(*inodes));
    check(inodes != NULL ? 0 : -ENOMEM, "calloc");
    unlink(arguments[1]);
    check(os_file_open(arguments[1], OS_FILE_CREATE, &file), "os_file_open");
    check(fs_format(file, &format, &reason), "fs_format");
    check(fs_open(file, &options, &fs, &reason), "fs_open");
    check(fs_make(fs, &caller, FS_ROOT_INODE, "files", &make, &entry), "fs_make");
    directory = entry.attributes.inode;
    report("create", measure_create);
    report("stat", measure_stat);
    report("readdir", measure_readdir);
    report("rename", measure_rename);
    report("write 4K", measure_write);
    report("read 4K", measure_read);
    report("unlink", measure_unlink);
    check(fs_close(fs), "fs_close");
    os_file_close(file);
    unlink(arguments[1]);
    free(inodes);
    return 0;
}
