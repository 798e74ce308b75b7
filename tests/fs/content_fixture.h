/* What the tests of contents and check share: a filesystem in a file of its own, opened and closed, with one check at
 * the end of everything. Included once by each test program. */
#ifndef BEEFTREE_TESTS_FS_CONTENT_FIXTURE_H
#define BEEFTREE_TESTS_FS_CONTENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "content.h"
#include "support/fault_file.h"
#include "support/test_seed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const uint32_t page_sizes[] = {4096, 8192, 16384, 32768, 65536};
#define PAGE_SIZE_COUNT (sizeof page_sizes / sizeof page_sizes[0])

static const struct fs_caller root_caller = {.uid = 0};

struct fixture {
    struct fault_file *fault;
    struct os_file *file;
    struct fs *fs;
    size_t cache_size;
};

static struct fs *open_file(struct os_file *file, size_t cache_size, bool read_only)
{
    struct fs_options options = {.read_only = read_only, .cache_size = cache_size};
    struct base_reason reason = {""};
    struct fs *fs = NULL;
    int ret = fs_open(file, &options, &fs, &reason);

    if (ret < 0)
        fail_msg("fs_open: %s (%s)", strerror(-ret), reason.text);
    return fs;
}

static inline void fixture_open(struct fixture *fixture)
{
    fixture->fs = open_file(fixture->file, fixture->cache_size, false);
}

static inline void fixture_init(struct fixture *fixture, uint32_t page_size, size_t cache_size)
{
    struct fs_format_options options = {.page_size = page_size, .root_mode = 0755};
    struct base_reason reason = {""};

    fixture->fault = fault_file_create(NULL);
    fixture->file = fault_file_seam(fixture->fault);
    fixture->cache_size = cache_size;
    assert_int_equal(fs_format(fixture->file, &options, &reason), 0);
    fixture_open(fixture);
}

static inline void fixture_reopen(struct fixture *fixture)
{
    assert_int_equal(fs_close(fixture->fs), 0);
    fixture_open(fixture);
}

/* --- The check ---------------------------------------------------------------------------------------------------- */

struct problems {
    unsigned count;
    char text[32][256];
};

static void keep_problem(void *context, const char *text)
{
    struct problems *problems = context;

    if (problems->count < 32)
        snprintf(problems->text[problems->count], sizeof problems->text[0], "%s", text);
    problems->count++;
}

static inline void run_check(struct fs *fs, struct problems *ret_problems, struct fs_check_report *ret_report)
{
    struct fs_check_report report = {.problem = keep_problem, .context = ret_problems, .data = true};

    ret_problems->count = 0;
    assert_int_equal(fs_check(fs, &report), 0);
    assert_int_equal(report.problems, ret_problems->count);
    if (ret_report != NULL)
        *ret_report = report;
}

static inline void assert_clean(struct fs *fs)
{
    static struct problems problems;

    run_check(fs, &problems, NULL);
    for (unsigned i = 0; i < problems.count && i < 32; i++)
        print_error("problem: %s\n", problems.text[i]);
    assert_int_equal(problems.count, 0);
}

/* Closes, and checks what is left as a reader who opens it would. */
static inline void fixture_deinit(struct fixture *fixture)
{
    assert_int_equal(fs_close(fixture->fs), 0);
    fixture->fs = open_file(fixture->file, fixture->cache_size, true);
    assert_clean(fixture->fs);
    assert_int_equal(fs_close(fixture->fs), 0);
    os_file_close(fixture->file);
}

/* --- Files -------------------------------------------------------------------------------------------------------- */

static inline uint64_t make_file(struct fs *fs, const char *name)
{
    struct fs_make make = {.mode = S_IFREG | 0644};
    struct fs_entry entry;

    assert_int_equal(fs_make(fs, &root_caller, FS_ROOT_INODE, name, &make, &entry), 0);
    return entry.attributes.inode;
}

static inline void set_size(struct fs *fs, uint64_t inode, uint64_t size)
{
    struct fs_changes changes = {.set = FS_SET_SIZE, .size = size};
    struct fs_attributes attributes;

    assert_int_equal(fs_set_attributes(fs, &root_caller, inode, &changes, &attributes), 0);
    assert_int_equal(attributes.size, size);
}

static inline struct fs_attributes get_attributes(struct fs *fs, uint64_t inode)
{
    struct fs_attributes attributes;

    assert_int_equal(fs_get_attributes(fs, inode, &attributes), 0);
    return attributes;
}

static inline void write_all(struct fs *fs, uint64_t inode, uint64_t offset, const void *bytes, size_t size)
{
    assert_int_equal(fs_write(fs, &root_caller, inode, offset, bytes, size), size);
}

/* Bytes that tell where they belong. */
static inline void fill_pattern(uint8_t *bytes, size_t size, uint64_t seed)
{
    struct base_random random;

    base_random_seed(&random, seed);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t value = base_random_next(&random);

        memcpy(bytes + i, &value, size - i < 8 ? size - i : 8);
    }
}

#endif
