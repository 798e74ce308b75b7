/* Workloads on a whole tree: unpack it as tar does, walk it as find does, remove it as rm -r does.
 *
 * The tree is generated: directories of 12 files and 3 sub-directories each (breadth first, so depth grows with the
 * logarithm of the count), file sizes spread like those of a source tree (median about 4 KiB, some of 100 KiB and
 * more). All contents lie in memory before the clock starts. */
#include "workload.h"

#include "base/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_FILES_PER_DIRECTORY 12U
#define TREE_CHILDREN            3U
#define TREE_CONTENT_SIZE        1048576U
#define TREE_WRITE_SIZE          10240U /* tar's record */
#define TREE_PATH_SIZE           512U

/* Directory numbers are those of a complete tree with TREE_CHILDREN children; 0 is the top. */
static void tree_directory_path(const char *top, uint64_t directory, char *ret_path)
{
    char tail[TREE_PATH_SIZE] = "", longer[TREE_PATH_SIZE];
    for (; directory != 0; directory = (directory - 1) / TREE_CHILDREN) {
        snprintf(longer, sizeof(longer), "/directory-%04u%.400s", (unsigned)directory, tail);
        memcpy(tail, longer, sizeof(tail));
    }
    snprintf(ret_path, TREE_PATH_SIZE, "%.80s/tree%.400s", top, tail);
}

static uint64_t tree_file_size(struct base_random *random)
{
    uint64_t kind = base_random_below(random, 100);
    if (kind < 25)
        return base_random_below(random, 1024);
    if (kind < 60)
        return 1024 + base_random_below(random, 5 * 1024);
    if (kind < 92)
        return 6 * 1024 + base_random_below(random, 24 * 1024);
    return 30 * 1024 + base_random_below(random, kind < 99 ? 70 * 1024 : 500 * 1024);
}

/* As tar: open O_EXCL, write by records, times, mode and owner, close. */
static uint64_t tree_unpack_file(const char *path, const char *contents, uint64_t size)
{
    static const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1700000000}};
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0600);
    if (file < 0)
        workload_fail("open", path);
    for (uint64_t done = 0; done < size;) {
        size_t part = size - done < TREE_WRITE_SIZE ? (size_t)(size - done) : TREE_WRITE_SIZE;
        ssize_t written = write(file, contents + done, part);
        if (written != (ssize_t)part)
            workload_fail("write", path);
        done += part;
    }
    if (futimens(file, times) != 0 || fchown(file, 0, 0) != 0 || fchmod(file, 0644) != 0)
        workload_fail("attributes", path);
    if (close(file) != 0)
        workload_fail("close", path);
    return size;
}

void workload_unpack(const struct workload_options *options)
{
    struct base_random random;
    base_random_seed(&random, options->seed);
    uint64_t file_count = options->count, directory_count = (file_count - 1) / TREE_FILES_PER_DIRECTORY + 1, bytes = 0;
    uint64_t *sizes = calloc(file_count, sizeof(*sizes));
    uint64_t *contents = malloc(TREE_CONTENT_SIZE);
    if (sizes == NULL || contents == NULL)
        workload_fail("malloc", "");
    for (size_t index = 0; index < TREE_CONTENT_SIZE / 8; index++)
        contents[index] = base_random_next(&random);
    for (uint64_t file = 0; file < file_count; file++)
        sizes[file] = tree_file_size(&random);

    static const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1700000000}};
    char directory_path[TREE_PATH_SIZE], path[TREE_PATH_SIZE + 32];
    double start = workload_now();
    for (uint64_t directory = 0; directory < directory_count; directory++) {
        tree_directory_path(options->directory, directory, directory_path);
        if (mkdir(directory_path, 0700) != 0)
            workload_fail("mkdir", directory_path);
        for (uint64_t index = 0; index < TREE_FILES_PER_DIRECTORY; index++) {
            uint64_t file = directory * TREE_FILES_PER_DIRECTORY + index;
            if (file >= file_count)
                break;
            snprintf(path, sizeof(path), "%s/file-%06u.c", directory_path, (unsigned)file);
            uint64_t skew = (file * 4099) % (TREE_CONTENT_SIZE / 4) & ~UINT64_C(7);
            bytes += tree_unpack_file(path, (const char *)contents + skew, sizes[file]);
        }
    }
    for (uint64_t directory = directory_count; directory-- > 0;) {
        tree_directory_path(options->directory, directory, directory_path);
        if (chmod(directory_path, 0755) != 0 || utimensat(AT_FDCWD, directory_path, times, 0) != 0)
            workload_fail("attributes", directory_path);
    }
    workload_report("unpack", file_count, bytes, start);
    free(contents);
    free(sizes);
}

/* One walk over a directory that is open; counts entries, and removes them if told to. */
static uint64_t tree_walk(int descriptor, bool remove)
{
    uint64_t count = 0;
    DIR *stream = fdopendir(descriptor);
    if (stream == NULL)
        workload_fail("fdopendir", "");
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL && errno != 0)
            workload_fail("readdir", "");
        if (entry == NULL)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        struct stat attributes;
        if (fstatat(dirfd(stream), entry->d_name, &attributes, AT_SYMLINK_NOFOLLOW) != 0)
            workload_fail("fstatat", entry->d_name);
        bool is_directory = S_ISDIR(attributes.st_mode);
        if (is_directory) {
            int child = openat(dirfd(stream), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (child < 0)
                workload_fail("openat", entry->d_name);
            count += tree_walk(child, remove);
        }
        if (remove && unlinkat(dirfd(stream), entry->d_name, is_directory ? AT_REMOVEDIR : 0) != 0)
            workload_fail("unlinkat", entry->d_name);
        count++;
    }
    closedir(stream);
    return count;
}

static int tree_open_top(const struct workload_options *options)
{
    char path[TREE_PATH_SIZE];
    tree_directory_path(options->directory, 0, path);
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        workload_fail("open", path);
    return descriptor;
}

void workload_find(const struct workload_options *options)
{
    double start = workload_now();
    uint64_t count = tree_walk(tree_open_top(options), false);
    workload_report("find", count, 0, start);
}

void workload_remove(const struct workload_options *options)
{
    char path[TREE_PATH_SIZE];
    double start = workload_now();
    uint64_t count = tree_walk(tree_open_top(options), true);
    tree_directory_path(options->directory, 0, path);
    if (rmdir(path) != 0)
        workload_fail("rmdir", path);
    workload_report("remove", count + 1, 0, start);
}
