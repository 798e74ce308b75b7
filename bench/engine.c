/* Engines compared: our tree at several page sizes, LMDB, SQLite; the same rows in the same order for all.
 *
 *      engine DIRECTORY ROWS ROUNDS [ENGINE]
 *
 * Each round runs every engine (or the one named) on a fresh file and prints JSON lines {"engine", "step",
 * "operations", "seconds", "instructions"} and, as step "file", {"bytes"}. Nothing is synced during the steps; "sync"
 * at the end makes everything durable. Keys have 16 bytes, values 100: about a directory entry or an inode.
 * Instructions are those of this process in user mode, null where the machine does not count them.
 *
 * "beeftree-16K" has one row in a transaction, as an operation of the filesystem has; "beeftree-16K-batch" has 64. The
 * others have all rows of a step in one. */
#include "engine.h"

#include "base/random.h"

#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KEY_SIZE   16U
#define VALUE_SIZE 100U

struct contender {
    const char *name;
    const struct engine_operations *operations;
    uint32_t page_size, batch_row_count;
};

static const struct contender contenders[] = {
    {"beeftree-4K", &engine_beeftree, 4096, 1},
    {"beeftree-8K", &engine_beeftree, 8192, 1},
    {"beeftree-16K", &engine_beeftree, 16384, 1},
    {"beeftree-32K", &engine_beeftree, 32768, 1},
    {"beeftree-64K", &engine_beeftree, 65536, 1},
    {"beeftree-16K-batch", &engine_beeftree, 16384, 64},
    {"lmdb", &engine_lmdb, 0, 0},
    {"sqlite", &engine_sqlite, 0, 0},
};

struct run {
    const struct contender *contender;
    struct engine *engine;
    const char *path;
    uint64_t row_count;
    const uint8_t *keys;   /* row_count random ones */
    const uint32_t *order; /* the rows in another order */
    double start;
    uint64_t start_instructions;
};

static int instruction_counter = -1;

_Noreturn void engine_fail(const char *what, const char *why)
{
    fprintf(stderr, "engine: %s: %s\n", what, why);
    exit(1);
}

uint64_t engine_sum(const void *bytes, size_t size)
{
    uint64_t sum = 0, word;
    const char *place = bytes;
    for (; size >= sizeof(word); place += sizeof(word), size -= sizeof(word)) {
        memcpy(&word, place, sizeof(word));
        sum += word;
    }
    return sum;
}

/* --- Measuring ---------------------------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void open_instruction_counter(void)
{
    struct perf_event_attr attributes = {.type = PERF_TYPE_HARDWARE,
                                         .size = sizeof(attributes),
                                         .config = PERF_COUNT_HW_INSTRUCTIONS,
                                         .exclude_kernel = 1,
                                         .exclude_hv = 1,
                                         .inherit = 1};
    instruction_counter = (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0UL);
}

static bool count_instructions(uint64_t *ret_count)
{
    return instruction_counter >= 0 &&
           read(instruction_counter, ret_count, sizeof(*ret_count)) == (ssize_t)sizeof(*ret_count);
}

static void step_begin(struct run *run)
{
    count_instructions(&run->start_instructions);
    run->start = now();
}

static void step_end(const struct run *run, const char *step, uint64_t operations)
{
    double seconds = now() - run->start;
    uint64_t instructions;
    printf("{\"engine\": \"%s\", \"step\": \"%s\", \"operations\": %" PRIu64 ", \"seconds\": %.6f, \"instructions\": ",
           run->contender->name, step, operations, seconds);
    if (count_instructions(&instructions))
        printf("%" PRIu64 "}\n", instructions - run->start_instructions);
    else
        printf("null}\n");
    fflush(stdout);
}

static void report_file(const struct run *run, const char *step)
{
    struct stat attributes;
    if (stat(run->path, &attributes) != 0)
        engine_fail(run->path, "no file");
    printf("{\"engine\": \"%s\", \"step\": \"%s\", \"bytes\": %" PRIu64 "}\n", run->contender->name, step,
           (uint64_t)attributes.st_blocks * 512);
    fflush(stdout);
}

/* --- Steps -------------------------------------------------------------------------------------------------------- */

static void make_value(uint64_t index, uint8_t *ret_value)
{
    for (uint32_t place = 0; place < VALUE_SIZE; place += 4) {
        uint32_t word = (uint32_t)(index * 2654435761U + place);
        memcpy(ret_value + place, &word, sizeof(word));
    }
}

static void insert_sequential(struct run *run)
{
    const struct engine_operations *operations = run->contender->operations;
    uint8_t key[KEY_SIZE] = {0}, value[VALUE_SIZE];
    step_begin(run);
    operations->begin(run->engine);
    for (uint64_t index = 0; index < run->row_count; index++) {
        for (uint32_t place = 0; place < 8; place++)
            key[KEY_SIZE - 1 - place] = (uint8_t)(index >> (8 * place));
        make_value(index, value);
        operations->insert(run->engine, key, KEY_SIZE, value, VALUE_SIZE);
    }
    operations->end(run->engine);
    step_end(run, "insert sequential", run->row_count);
}

static void insert_random(struct run *run)
{
    const struct engine_operations *operations = run->contender->operations;
    uint8_t value[VALUE_SIZE];
    step_begin(run);
    operations->begin(run->engine);
    for (uint64_t index = 0; index < run->row_count; index++) {
        make_value(index, value);
        operations->insert(run->engine, run->keys + index * KEY_SIZE, KEY_SIZE, value, VALUE_SIZE);
    }
    operations->end(run->engine);
    step_end(run, "insert random", run->row_count);
}

static uint64_t read_random(struct run *run)
{
    const struct engine_operations *operations = run->contender->operations;
    uint64_t sum = 0;
    step_begin(run);
    operations->read_begin(run->engine);
    for (uint64_t index = 0; index < run->row_count; index++)
        sum += operations->read(run->engine, run->keys + run->order[index] * KEY_SIZE, KEY_SIZE);
    operations->read_end(run->engine);
    step_end(run, "read random", run->row_count);
    return sum;
}

static uint64_t scan(struct run *run)
{
    const struct engine_operations *operations = run->contender->operations;
    uint64_t sum = 0;
    step_begin(run);
    operations->read_begin(run->engine);
    uint64_t count = operations->scan(run->engine, &sum);
    operations->read_end(run->engine);
    step_end(run, "scan", count);
    if (count != 2 * run->row_count)
        engine_fail(run->contender->name, "the scan did not find every row");
    return sum;
}

static void delete_random(struct run *run)
{
    const struct engine_operations *operations = run->contender->operations;
    step_begin(run);
    operations->begin(run->engine);
    for (uint64_t index = 0; index < run->row_count; index++)
        operations->remove(run->engine, run->keys + run->order[index] * KEY_SIZE, KEY_SIZE);
    operations->end(run->engine);
    step_end(run, "delete random", run->row_count);
}

static void sync_all(struct run *run)
{
    step_begin(run);
    run->contender->operations->sync(run->engine);
    step_end(run, "sync", 1);
}

/* Returns what was read, so that engines can be compared. */
static uint64_t run_contender(struct run *run)
{
    struct engine_options options = {.path = run->path,
                                     .cache_size = (size_t)64 << 20,
                                     .page_size = run->contender->page_size,
                                     .batch_row_count = run->contender->batch_row_count};
    if (run->row_count * 2 * 400 > options.cache_size)
        options.cache_size = run->row_count * 2 * 400;
    unlink(run->path);
    run->engine = run->contender->operations->open(&options);
    insert_sequential(run);
    insert_random(run);
    uint64_t sum = read_random(run);
    sum += scan(run);
    sync_all(run);
    report_file(run, "file");
    delete_random(run);
    run->contender->operations->sync(run->engine);
    run->contender->operations->close(run->engine);
    report_file(run, "file after deletes");
    unlink(run->path);
    return sum;
}

static uint8_t *make_keys(uint64_t row_count)
{
    struct base_random random;
    base_random_seed(&random, 1);
    uint8_t *keys = malloc(row_count * KEY_SIZE);
    if (keys == NULL)
        engine_fail("malloc", "out of memory");
    for (uint64_t index = 0; index < row_count * KEY_SIZE; index += 8) {
        uint64_t word = base_random_next(&random);
        memcpy(keys + index, &word, sizeof(word));
    }
    return keys;
}

static uint32_t *make_order(uint64_t row_count)
{
    struct base_random random;
    base_random_seed(&random, 2);
    uint32_t *order = calloc(row_count, sizeof(*order));
    if (order == NULL)
        engine_fail("malloc", "out of memory");
    for (uint64_t index = 0; index < row_count; index++) {
        uint64_t other = base_random_below(&random, index + 1);
        order[index] = order[other];
        order[other] = (uint32_t)index;
    }
    return order;
}

int main(int argument_count, char **arguments)
{
    if (argument_count < 4 || argument_count > 5) {
        fprintf(stderr, "usage: engine DIRECTORY ROWS ROUNDS [ENGINE]\n");
        return 2;
    }
    uint64_t row_count = strtoull(arguments[2], NULL, 10), rounds = strtoull(arguments[3], NULL, 10);
    const char *only = argument_count == 5 ? arguments[4] : NULL;
    if (row_count == 0 || row_count > UINT32_MAX)
        engine_fail("rows", "a number from 1 to 2^32 - 1");
    char path[512];
    snprintf(path, sizeof(path), "%.400s/engine-data", arguments[1]);
    struct run run = {
        .path = path, .row_count = row_count, .keys = make_keys(row_count), .order = make_order(row_count)};
    open_instruction_counter();
    uint64_t expected = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        for (size_t index = 0; index < sizeof(contenders) / sizeof(contenders[0]); index++) {
            run.contender = &contenders[index];
            if (only != NULL && strcmp(only, run.contender->name) != 0)
                continue;
            uint64_t sum = run_contender(&run);
            if (expected != 0 && sum != expected)
                engine_fail(run.contender->name, "read something else than the others");
            expected = sum;
        }
    }
    free((void *)(uintptr_t)run.keys);
    free((void *)(uintptr_t)run.order);
    return 0;
}
