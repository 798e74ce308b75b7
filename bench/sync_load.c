/* Load of bench/sync and bench/written: calls that end in a sync, by several writers at once.
 *
 *      sync_load NAME DIRECTORY WRITERS MILLISECONDS
 *
 * Each writer is a thread with files of its own (DIRECTORY/w-0, w-1, ...) and goes on for so many milliseconds, all
 * from the same moment: when their files are made it says "ready" and waits for a line of input. Prints one JSON line
 * {"workload", "writers", "operations", "bytes", "seconds", "p50_us", "p99_us", "max_us"}: one operation is one
 * acknowledged sync, with what it makes durable. Fails loudly on the first error.
 *
 *      create          a new file in the writer's directory, 4 KiB, fsync, close
 *      append          512 B at the end of the writer's file, fdatasync
 *      overwrite       4 KiB at a random place of the writer's file (16 MiB, written before), fdatasync
 *      place           4 KiB at the next place of a file that was written before, fdatasync: the least a durable write
 *                      costs on this disk, one write and one flush, no metadata
 *      fallocated      the same on a file that was only allocated: each write turns an extent into a written one
 *      growing         the same at the end of the file */
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOAD_PATH_SIZE   512U
#define LOAD_BLOCK_SIZE  4096U
#define LOAD_APPEND_SIZE 512U
#define LOAD_FILE_SIZE   (16U << 20)
#define LOAD_WRITERS_MAX 256U
#define LOAD_LATENCIES   (1U << 20) /* operations of one writer whose time is kept; beyond that none is measured */
#define LOAD_FILL_SIZE   (1U << 20)
#define LOAD_NS_PER_MS   UINT64_C(1000000)
#define LOAD_NS_PER_SEC  UINT64_C(1000000000)

struct load;

struct writer {
    const struct load *load;
    pthread_t thread;
    int file; /* < 0: none is kept open */
    char path[LOAD_PATH_SIZE];
    uint8_t *block;
    struct base_random random;
    uint64_t operations;
    uint64_t *latencies_ns;
};

struct load_kind {
    const char *name;
    uint64_t size; /* of one write */
    void (*prepare)(struct writer *writer);
    void (*step)(struct writer *writer);
};

struct load {
    const struct load_kind *kind;
    const char *directory;
    uint64_t duration_ns;
    pthread_barrier_t ready;
};

_Noreturn static void load_fail(const char *what, const char *path)
{
    fprintf(stderr, "sync_load: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static uint64_t load_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * LOAD_NS_PER_SEC + (uint64_t)now.tv_nsec;
}

/* --- What a writer does ------------------------------------------------------------------------------------------- */

static void writer_write(struct writer *writer, int file, uint64_t offset)
{
    size_t size = writer->load->kind->size;
    memcpy(writer->block, &writer->operations, sizeof(writer->operations));
    if (pwrite(file, writer->block, size, (off_t)offset) != (ssize_t)size)
        load_fail("pwrite", writer->path);
}

static void writer_sync(struct writer *writer, int file)
{
    if (fdatasync(file) != 0)
        load_fail("fdatasync", writer->path);
}

static void create_prepare(struct writer *writer)
{
    if (mkdir(writer->path, 0755) != 0)
        load_fail("mkdir", writer->path);
}

static void create_step(struct writer *writer)
{
    char path[LOAD_PATH_SIZE + 32];
    snprintf(path, sizeof(path), "%s/f-%08" PRIu64, writer->path, writer->operations);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0)
        load_fail("open", path);
    writer_write(writer, file, 0);
    if (fsync(file) != 0)
        load_fail("fsync", path);
    if (close(file) != 0)
        load_fail("close", path);
}

static void empty_prepare(struct writer *writer)
{
    writer->file = open(writer->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (writer->file < 0)
        load_fail("open", writer->path);
}

static void allocated_prepare(struct writer *writer)
{
    empty_prepare(writer);
    errno = posix_fallocate(writer->file, 0, LOAD_FILE_SIZE);
    if (errno != 0 || fsync(writer->file) != 0)
        load_fail("fallocate", writer->path);
}

static void written_prepare(struct writer *writer)
{
    empty_prepare(writer);
    uint8_t *fill = malloc(LOAD_FILL_SIZE);
    if (fill == NULL)
        load_fail("malloc", "");
    memset(fill, 0xa5, LOAD_FILL_SIZE);
    for (uint64_t done = 0; done < LOAD_FILE_SIZE; done += LOAD_FILL_SIZE) {
        if (pwrite(writer->file, fill, LOAD_FILL_SIZE, (off_t)done) != LOAD_FILL_SIZE)
            load_fail("pwrite", writer->path);
    }
    free(fill);
    if (fsync(writer->file) != 0)
        load_fail("fsync", writer->path);
}

static void append_step(struct writer *writer)
{
    writer_write(writer, writer->file, writer->operations * writer->load->kind->size);
    writer_sync(writer, writer->file);
}

static void place_step(struct writer *writer)
{
    writer_write(writer, writer->file, writer->operations * LOAD_BLOCK_SIZE % LOAD_FILE_SIZE);
    writer_sync(writer, writer->file);
}

static void overwrite_step(struct writer *writer)
{
    writer_write(writer, writer->file,
                 base_random_below(&writer->random, LOAD_FILE_SIZE / LOAD_BLOCK_SIZE) * LOAD_BLOCK_SIZE);
    writer_sync(writer, writer->file);
}

static const struct load_kind load_kinds[] = {
    {"create", LOAD_BLOCK_SIZE, create_prepare, create_step},
    {"append", LOAD_APPEND_SIZE, empty_prepare, append_step},
    {"overwrite", LOAD_BLOCK_SIZE, written_prepare, overwrite_step},
    {"place", LOAD_BLOCK_SIZE, written_prepare, place_step},
    {"fallocated", LOAD_BLOCK_SIZE, allocated_prepare, place_step},
    {"growing", LOAD_BLOCK_SIZE, empty_prepare, append_step},
};

/* --- All of them -------------------------------------------------------------------------------------------------- */

static void *writer_run(void *context)
{
    struct writer *writer = context;
    struct load *load = (struct load *)writer->load;
    load->kind->prepare(writer);
    pthread_barrier_wait(&load->ready); /* the clock starts */
    pthread_barrier_wait(&load->ready);
    uint64_t start_ns = load_now_ns(), before_ns = start_ns;
    while (before_ns - start_ns < load->duration_ns) {
        load->kind->step(writer);
        uint64_t after_ns = load_now_ns();
        if (writer->operations < LOAD_LATENCIES)
            writer->latencies_ns[writer->operations] = after_ns - before_ns;
        writer->operations++;
        before_ns = after_ns;
    }
    return NULL;
}

static int compare_numbers(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void load_report(const struct load *load, const struct writer *writers, unsigned count, uint64_t elapsed_ns)
{
    uint64_t operations = 0, measured = 0;
    for (unsigned index = 0; index < count; index++) {
        operations += writers[index].operations;
        measured += writers[index].operations < LOAD_LATENCIES ? writers[index].operations : LOAD_LATENCIES;
    }
    uint64_t *all = malloc(measured * sizeof(*all)), used = 0;
    if (all == NULL)
        load_fail("malloc", "");
    for (unsigned index = 0; index < count; index++) {
        uint64_t part = writers[index].operations < LOAD_LATENCIES ? writers[index].operations : LOAD_LATENCIES;
        memcpy(all + used, writers[index].latencies_ns, part * sizeof(*all));
        used += part;
    }
    qsort(all, measured, sizeof(*all), compare_numbers);
    const uint64_t median = measured / 2;
    const uint64_t percentile_99 = measured * 99 / 100;
    printf("{\"workload\": \"%s\", \"writers\": %u, \"operations\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
           load->kind->name, count, operations, operations * load->kind->size, (double)elapsed_ns / 1e9,
           (double)all[median] / 1e3, (double)all[percentile_99] / 1e3, (double)all[measured - 1] / 1e3);
    free(all);
}

static void load_run(struct load *load, unsigned count)
{
    struct writer *writers = calloc(count, sizeof(*writers));
    if (writers == NULL || pthread_barrier_init(&load->ready, NULL, count + 1) != 0)
        load_fail("start", "");
    for (unsigned index = 0; index < count; index++) {
        struct writer *writer = &writers[index];
        writer->load = load;
        writer->file = -1;
        writer->block = malloc(LOAD_BLOCK_SIZE);
        writer->latencies_ns = malloc(LOAD_LATENCIES * sizeof(*writer->latencies_ns));
        if (writer->block == NULL || writer->latencies_ns == NULL)
            load_fail("malloc", "");
        memset(writer->block, 'a' + (int)(index % 26), LOAD_BLOCK_SIZE);
        base_random_seed(&writer->random, index + 1);
        snprintf(writer->path, sizeof(writer->path), "%.400s/w-%u", load->directory, index);
        errno = pthread_create(&writer->thread, NULL, writer_run, writer);
        if (errno != 0)
            load_fail("pthread_create", "");
    }
    pthread_barrier_wait(&load->ready);
    printf("ready\n"); /* whoever reads counters does it now, and then says so */
    fflush(stdout);
    (void)getchar();
    uint64_t start_ns = load_now_ns();
    pthread_barrier_wait(&load->ready);
    for (unsigned index = 0; index < count; index++)
        pthread_join(writers[index].thread, NULL);
    load_report(load, writers, count, load_now_ns() - start_ns);
    for (unsigned index = 0; index < count; index++) {
        if (writers[index].file >= 0)
            close(writers[index].file);
        free(writers[index].block);
        free(writers[index].latencies_ns);
    }
    pthread_barrier_destroy(&load->ready);
    free(writers);
}

int main(int argument_count, char **arguments)
{
    if (argument_count == 5) {
        unsigned long writers = strtoul(arguments[3], NULL, 10), duration_ms = strtoul(arguments[4], NULL, 10);
        for (size_t index = 0; index < sizeof(load_kinds) / sizeof(load_kinds[0]); index++) {
            if (strcmp(load_kinds[index].name, arguments[1]) != 0 || writers == 0 || writers > LOAD_WRITERS_MAX)
                continue;
            struct load load = {
                .kind = &load_kinds[index], .directory = arguments[2], .duration_ns = duration_ms * LOAD_NS_PER_MS};
            load_run(&load, (unsigned)writers);
            return 0;
        }
    }
    fprintf(stderr,
            "usage: sync_load create|append|overwrite|place|fallocated|growing DIRECTORY WRITERS MILLISECONDS\n");
    return 2;
}
