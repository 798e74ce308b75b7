/* The workloads of bench/run, one sub-command each, timed around system calls only:
 *
 *      workload NAME DIRECTORY [COUNT [SIZE [SEED]]]
 *
 * Each prints JSON lines {"workload", "operations", "bytes", "seconds"} and fails loudly on the first error. A
 * workload that needs files says which one makes them:
 *
 *      create COUNT            DIRECTORY/files/f-000000 ... empty files
 *      stat, rename, unlink    of the same files (rename: to g-...; unlink takes them by that name)
 *      mkdir, rmdir            DIRECTORY/files/d-000000 ...
 *      write-small             create and write 4 KiB; read-small, unlink-small: the same files
 *      write-sized COUNT SIZE  create and write SIZE bytes (at most 128 KiB), by the same names
 *      readdir                 lists DIRECTORY/files
 *      write-sequential SIZE   DIRECTORY/large, in writes of 128 KiB, then fsync (reported apart)
 *      read-sequential         the same file
 *      write-random COUNT      4 KiB each at random places of it, then fsync (reported apart)
 *      write-random-synced     the same with an fsync after each 100 of them
 *      read-random COUNT
 *      fsync-mix COUNT         create, write 4 KiB, fsync, rename over the old: what editors and databases do
 *      unpack, find, remove    a tree of COUNT files, see workload_tree.c
 *      touch                   opens a file once, so that the kernel has seen ENOSYS to open and flush */
#include "workload.h"

#include "base/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SMALL_SIZE      4096U
#define SEQUENTIAL_SIZE 131072U
#define PATH_SIZE       512U
#define WRITES_PER_SYNC 100U

static char workload_buffer[SEQUENTIAL_SIZE];

_Noreturn void workload_fail(const char *what, const char *path)
{
    fprintf(stderr, "workload: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

double workload_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void workload_report(const char *name, uint64_t operations, uint64_t bytes, double start)
{
    printf("{\"workload\": \"%s\", \"operations\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f}\n", name,
           operations, bytes, workload_now() - start);
    fflush(stdout);
}

static void workload_path(const struct workload_options *options, char kind, uint64_t index, char *ret_path)
{
    snprintf(ret_path, PATH_SIZE, "%.400s/files/%c-%06u", options->directory, kind, (unsigned)index);
}

/* The numbers below count in a random order. */
static uint64_t *workload_order(const struct workload_options *options)
{
    struct base_random random;
    base_random_seed(&random, options->seed);
    uint64_t *order = calloc(options->count, sizeof(*order));
    if (order == NULL)
        workload_fail("malloc", "");
    for (uint64_t index = 0; index < options->count; index++) {
        uint64_t other = base_random_below(&random, index + 1);
        order[index] = order[other];
        order[other] = index;
    }
    return order;
}

static void workload_make_directory(const struct workload_options *options)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%.400s/files", options->directory);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        workload_fail("mkdir", path);
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

static void workload_create_file(const char *path, size_t size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0)
        workload_fail("open", path);
    if (size > 0 && write(file, workload_buffer, size) != (ssize_t)size)
        workload_fail("write", path);
    if (close(file) != 0)
        workload_fail("close", path);
}

static void workload_create(const struct workload_options *options)
{
    char path[PATH_SIZE];
    workload_make_directory(options);
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        workload_path(options, 'f', index, path);
        workload_create_file(path, 0);
    }
    workload_report("create", options->count, 0, start);
}

static void workload_stat(const struct workload_options *options)
{
    char path[PATH_SIZE];
    struct stat attributes;
    uint64_t *order = workload_order(options);
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        workload_path(options, 'f', order[index], path);
        if (lstat(path, &attributes) != 0)
            workload_fail("lstat", path);
    }
    workload_report("stat", options->count, 0, start);
    free(order);
}

static void workload_rename(const struct workload_options *options)
{
    char path[PATH_SIZE], new_path[PATH_SIZE];
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        workload_path(options, 'f', index, path);
        workload_path(options, 'g', index, new_path);
        if (rename(path, new_path) != 0)
            workload_fail("rename", path);
    }
    workload_report("rename", options->count, 0, start);
}

static void workload_unlink_kind(const struct workload_options *options, const char *name, char kind)
{
    char path[PATH_SIZE];
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        workload_path(options, kind, index, path);
        if (unlink(path) != 0)
            workload_fail("unlink", path);
    }
    workload_report(name, options->count, 0, start);
}

static void workload_unlink(const struct workload_options *options)
{
    workload_unlink_kind(options, "unlink", 'g');
}

static void workload_unlink_small(const struct workload_options *options)
{
    workload_unlink_kind(options, "unlink-small", 's');
}

static void workload_mkdir(const struct workload_options *options)
{
    char path[PATH_SIZE];
    workload_make_directory(options);
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        workload_path(options, 'd', index, path);
        if (mkdir(path, 0755) != 0)
            workload_fail("mkdir", path);
    }
    workload_report("mkdir", options->count, 0, start);
}

static void workload_rmdir(const struct workload_options *options)
{
    char path[PATH_SIZE];
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        workload_path(options, 'd', index, path);
        if (rmdir(path) != 0)
            workload_fail("rmdir", path);
    }
    workload_report("rmdir", options->count, 0, start);
}

static void workload_readdir(const struct workload_options *options)
{
    char path[PATH_SIZE];
    uint64_t count = 0;
    snprintf(path, sizeof(path), "%.400s/files", options->directory);
    double start = workload_now();
    DIR *stream = opendir(path);
    if (stream == NULL)
        workload_fail("opendir", path);
    while (readdir(stream) != NULL)
        count++;
    closedir(stream);
    workload_report("readdir", count, 0, start);
    if (count != options->count + 2) {
        fprintf(stderr, "workload: %s: %" PRIu64 " entries listed, %" PRIu64 " expected\n", path, count,
                options->count + 2);
        exit(1);
    }
}

/* --- Contents ----------------------------------------------------------------------------------------------------- */

static void workload_write_small(const struct workload_options *options)
{
    char path[PATH_SIZE];
    workload_make_directory(options);
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        workload_path(options, 's', index, path);
        workload_create_file(path, SMALL_SIZE);
    }
    workload_report("write-small", options->count, options->count * SMALL_SIZE, start);
}

static void workload_write_sized(const struct workload_options *options)
{
    char path[PATH_SIZE];
    size_t size = options->size < SEQUENTIAL_SIZE ? (size_t)options->size : SEQUENTIAL_SIZE;
    workload_make_directory(options);
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        workload_path(options, 's', index, path);
        workload_create_file(path, size);
    }
    workload_report("write-sized", options->count, options->count * size, start);
}

static void workload_read_small(const struct workload_options *options)
{
    char path[PATH_SIZE];
    uint64_t *order = workload_order(options);
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        workload_path(options, 's', order[index], path);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0)
            workload_fail("open", path);
        if (read(file, workload_buffer, sizeof(workload_buffer)) != SMALL_SIZE)
            workload_fail("read", path);
        close(file);
    }
    workload_report("read-small", options->count, options->count * SMALL_SIZE, start);
    free(order);
}

static int workload_open_large(const struct workload_options *options, int flags)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%.400s/large", options->directory);
    int file = open(path, flags | O_CLOEXEC, 0644);
    if (file < 0)
        workload_fail("open", path);
    return file;
}

static void workload_sync(int file, const char *name, uint64_t operations, uint64_t bytes, double start)
{
    if (fsync(file) != 0)
        workload_fail("fsync", "large");
    workload_report(name, operations, bytes, start);
    close(file);
}

static void workload_write_sequential(const struct workload_options *options)
{
    uint64_t count = options->size / SEQUENTIAL_SIZE;
    int file = workload_open_large(options, O_WRONLY | O_CREAT | O_EXCL);
    double start = workload_now();
    for (uint64_t index = 0; index < count; index++) {
        memcpy(workload_buffer, &index, sizeof(index));
        if (write(file, workload_buffer, SEQUENTIAL_SIZE) != SEQUENTIAL_SIZE)
            workload_fail("write", "large");
    }
    workload_report("write-sequential", count, count * SEQUENTIAL_SIZE, start);
    workload_sync(file, "write-sequential+fsync", count, count * SEQUENTIAL_SIZE, start);
}

static void workload_read_sequential(const struct workload_options *options)
{
    int file = workload_open_large(options, O_RDONLY);
    uint64_t bytes = 0, count = 0;
    double start = workload_now();
    for (;;) {
        ssize_t part = read(file, workload_buffer, SEQUENTIAL_SIZE);
        if (part < 0)
            workload_fail("read", "large");
        if (part == 0)
            break;
        bytes += (uint64_t)part;
        count++;
    }
    workload_report("read-sequential", count, bytes, start);
    close(file);
}

static uint64_t workload_small_count(int file)
{
    struct stat attributes;
    if (fstat(file, &attributes) != 0 || attributes.st_size < (off_t)SMALL_SIZE)
        workload_fail("fstat", "large");
    return (uint64_t)attributes.st_size / SMALL_SIZE;
}

/* With sync_every > 0 an fsync after so many writes; at the end in any case. */
static void workload_write_randomly(const struct workload_options *options, const char *name, const char *name_synced,
                                    uint64_t sync_every)
{
    struct base_random random;
    base_random_seed(&random, options->seed);
    int file = workload_open_large(options, O_WRONLY);
    uint64_t places = workload_small_count(file);
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        off_t offset = (off_t)(base_random_below(&random, places) * SMALL_SIZE);
        if (pwrite(file, workload_buffer, SMALL_SIZE, offset) != SMALL_SIZE)
            workload_fail("pwrite", "large");
        if (sync_every > 0 && (index + 1) % sync_every == 0 && fsync(file) != 0)
            workload_fail("fsync", "large");
    }
    workload_report(name, options->count, options->count * SMALL_SIZE, start);
    workload_sync(file, name_synced, options->count, options->count * SMALL_SIZE, start);
}

static void workload_write_random(const struct workload_options *options)
{
    workload_write_randomly(options, "write-random", "write-random+fsync", 0);
}

static void workload_write_random_synced(const struct workload_options *options)
{
    workload_write_randomly(options, "write-random-synced", "write-random-synced+fsync", WRITES_PER_SYNC);
}

static void workload_read_random(const struct workload_options *options)
{
    struct base_random random;
    base_random_seed(&random, options->seed);
    int file = workload_open_large(options, O_RDONLY);
    uint64_t places = workload_small_count(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        off_t offset = (off_t)(base_random_below(&random, places) * SMALL_SIZE);
        if (pread(file, workload_buffer, SMALL_SIZE, offset) != SMALL_SIZE)
            workload_fail("pread", "large");
    }
    workload_report("read-random", options->count, options->count * SMALL_SIZE, start);
    close(file);
}

static void workload_fsync_mix(const struct workload_options *options)
{
    char path[PATH_SIZE], new_path[PATH_SIZE];
    workload_make_directory(options);
    double start = workload_now();
    for (uint64_t index = 0; index < options->count; index++) {
        workload_path(options, 't', index, path);
        workload_path(options, 'm', index % 16, new_path);
        int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (file < 0)
            workload_fail("open", path);
        if (write(file, workload_buffer, SMALL_SIZE) != SMALL_SIZE || fsync(file) != 0 || close(file) != 0)
            workload_fail("write and fsync", path);
        if (rename(path, new_path) != 0)
            workload_fail("rename", path);
    }
    workload_report("fsync-mix", options->count, options->count * SMALL_SIZE, start);
}

static void workload_touch(const struct workload_options *options)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%.400s/touched", options->directory);
    for (int round = 0; round < 2; round++) {
        int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (file < 0 || close(file) != 0)
            workload_fail("open", path);
    }
}

/* --- Which -------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(const struct workload_options *options);
} workloads[] = {
    {"create", workload_create},
    {"stat", workload_stat},
    {"rename", workload_rename},
    {"unlink", workload_unlink},
    {"mkdir", workload_mkdir},
    {"rmdir", workload_rmdir},
    {"readdir", workload_readdir},
    {"write-small", workload_write_small},
    {"write-sized", workload_write_sized},
    {"read-small", workload_read_small},
    {"unlink-small", workload_unlink_small},
    {"write-sequential", workload_write_sequential},
    {"read-sequential", workload_read_sequential},
    {"write-random", workload_write_random},
    {"write-random-synced", workload_write_random_synced},
    {"read-random", workload_read_random},
    {"fsync-mix", workload_fsync_mix},
    {"unpack", workload_unpack},
    {"find", workload_find},
    {"remove", workload_remove},
    {"touch", workload_touch},
};

static uint64_t workload_number(const char *text)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    if (*end != '\0' || number == 0) {
        fprintf(stderr, "workload: not a positive number: %s\n", text);
        exit(2);
    }
    return number;
}

int main(int argument_count, char **arguments)
{
    struct workload_options options = {.count = 1000, .size = 64U << 20, .seed = 1};
    if (argument_count >= 3 && argument_count <= 6) {
        options.directory = arguments[2];
        options.count = argument_count > 3 ? workload_number(arguments[3]) : options.count;
        options.size = argument_count > 4 ? workload_number(arguments[4]) : options.size;
        options.seed = argument_count > 5 ? workload_number(arguments[5]) : options.seed;
        struct base_random random;
        base_random_seed(&random, options.seed);
        for (size_t index = 0; index < sizeof(workload_buffer); index++)
            workload_buffer[index] = (char)(base_random_next(&random) & 0x7F);
        for (size_t index = 0; index < sizeof(workloads) / sizeof(workloads[0]); index++) {
            if (strcmp(workloads[index].name, arguments[1]) == 0) {
                workloads[index].run(&options);
                return 0;
            }
        }
    }
    fprintf(stderr, "usage: workload NAME DIRECTORY [COUNT [SIZE [SEED]]], NAME one of:");
    for (size_t index = 0; index < sizeof(workloads) / sizeof(workloads[0]); index++)
        fprintf(stderr, " %s", workloads[index].name);
    fprintf(stderr, "\n");
    return 2;
}
