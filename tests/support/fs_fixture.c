/* See fs_fixture.h. */
#include "support/fs_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const struct fs_caller fs_fixture_user = {.uid = 1000, .gid = 1000};

static const struct fs_options small_options = {.cache_size = 8U << 20};

static void open_fs(struct fs_fixture *fixture)
{
    struct base_reason reason = {.text = ""};
    int error = fs_open(fixture->file, &fixture->options, &fixture->fs, &reason);
    if (error)
        fail_msg("fs_open: %s: %s", strerror(-error), reason.text);
}

void fs_fixture_init_with(struct fs_fixture *fixture, struct os_file *file, uint32_t page_size,
                          const struct fs_options *options)
{
    struct fs_format_options format = {.page_size = page_size, .root_mode = 0755, .label = "fixture"};
    struct base_reason reason = {.text = ""};
    *fixture = (struct fs_fixture){.options = *options, .host_size = UINT64_MAX};
    fixture->fault = fault_file_create(file);
    fixture->file = fault_file_seam(fixture->fault);
    int error = fs_format(fixture->file, &format, &reason);
    if (error)
        fail_msg("fs_format: %s: %s", strerror(-error), reason.text);
    open_fs(fixture);
}

void fs_fixture_init(struct fs_fixture *fixture, uint32_t page_size)
{
    fs_fixture_init_with(fixture, NULL, page_size, &small_options);
}

void fs_fixture_deinit(struct fs_fixture *fixture)
{
    assert_int_equal(fs_close(fixture->fs), 0);
    fs_fixture_check_file(fixture->file);
    os_file_close(fixture->file);
}

void fs_fixture_reopen(struct fs_fixture *fixture)
{
    assert_int_equal(fs_close(fixture->fs), 0);
    open_fs(fixture);
}

void fs_fixture_crash(struct fs_fixture *fixture, struct base_random *random)
{
    struct os_file *image = fault_file_crash(fixture->fault, random);
    fs_close(fixture->fs); /* only to release its memory */
    os_file_close(fixture->file);
    fixture->fault = fault_file_create(image);
    fixture->file = fault_file_seam(fixture->fault);
    fault_file_set_host_size(fixture->fault, fixture->host_size);
    open_fs(fixture);
}

void fs_fixture_set_host_size(struct fs_fixture *fixture, uint64_t host_size)
{
    uint64_t size;
    assert_int_equal(os_file_get_size(fixture->file, &size), 0);
    assert_true(size <= host_size); /* no host takes back what it gave */
    fixture->host_size = host_size;
    fault_file_set_host_size(fixture->fault, host_size);
}

static void print_problem(void *context, const char *text)
{
    (void)context;
    print_error("check: %s\n", text);
}

void fs_fixture_check_file(struct os_file *file)
{
    struct fs_options options = {.read_only = true, .cache_size = 8U << 20};
    struct fs_check_report report = {.problem = print_problem, .data = true};
    struct base_reason reason = {.text = ""};
    struct fs *fs;
    int error = fs_open(file, &options, &fs, &reason);
    if (error)
        fail_msg("fs_open for the check: %s: %s", strerror(-error), reason.text);
    assert_int_equal(fs_check(fs, &report), 0);
    assert_int_equal(report.problems, 0);
    assert_int_equal(fs_close(fs), 0);
}

void fs_fixture_check(struct fs_fixture *fixture)
{
    assert_int_equal(fs_sync(fixture->fs), 0);
    fs_fixture_check_file(fixture->file);
}

static uint64_t make(struct fs_fixture *fixture, uint64_t parent, const char *name, const struct fs_make *what)
{
    struct fs_entry entry;
    assert_int_equal(fs_make(fixture->fs, &fs_fixture_user, parent, name, what, &entry), 0);
    fs_forget(fixture->fs, entry.attributes.inode, 1);
    return entry.attributes.inode;
}

uint64_t fs_fixture_make(struct fs_fixture *fixture, uint64_t parent, const char *name, uint32_t mode)
{
    return make(fixture, parent, name, &(struct fs_make){.mode = mode});
}

uint64_t fs_fixture_make_symlink(struct fs_fixture *fixture, uint64_t parent, const char *name, const char *target)
{
    return make(fixture, parent, name, &(struct fs_make){.mode = S_IFLNK | 0777, .target = target});
}

void fs_fixture_link(struct fs_fixture *fixture, uint64_t inode, uint64_t parent, const char *name)
{
    struct fs_entry entry;
    assert_int_equal(fs_link(fixture->fs, inode, parent, name, &entry), 0);
    assert_int_equal(entry.attributes.inode, inode);
    fs_forget(fixture->fs, inode, 1);
}

void fs_fixture_write(struct fs_fixture *fixture, uint64_t inode, uint64_t offset, const void *bytes, size_t size)
{
    assert_int_equal(fs_write(fixture->fs, &fs_fixture_user, inode, offset, bytes, size), size);
}

struct fs_attributes fs_fixture_attributes(struct fs_fixture *fixture, uint64_t inode)
{
    struct fs_attributes attributes;
    assert_int_equal(fs_get_attributes(fixture->fs, inode, &attributes), 0);
    assert_int_equal(attributes.inode, inode);
    return attributes;
}

uint64_t fs_fixture_lookup(struct fs_fixture *fixture, uint64_t parent, const char *name)
{
    struct fs_entry entry;
    int error = fs_lookup(fixture->fs, parent, name, &entry);
    if (error == -ENOENT)
        return 0;
    assert_int_equal(error, 0);
    return entry.attributes.inode;
}

uint64_t fs_fixture_find(struct fs_fixture *fixture, uint64_t parent, const char *name)
{
    uint64_t inode = fs_fixture_lookup(fixture, parent, name);
    if (inode)
        fs_forget(fixture->fs, inode, 1);
    return inode;
}

static bool take_parent(void *context, const struct fs_directory_entry *entry)
{
    if (strcmp(entry->name, "..") == 0)
        *(uint64_t *)context = entry->inode;
    return entry->name[0] == '.';
}

uint64_t fs_fixture_parent(struct fs_fixture *fixture, uint64_t inode)
{
    struct fs_directory *directory;
    uint64_t parent = 0;
    assert_int_equal(fs_directory_open(fixture->fs, inode, &directory), 0);
    assert_int_equal(fs_directory_read(directory, 0, false, take_parent, &parent), 0);
    fs_directory_close(directory);
    return parent;
}

bool fs_fixture_time_is_equal(struct timespec left, struct timespec right)
{
    return left.tv_sec == right.tv_sec && left.tv_nsec == right.tv_nsec;
}

bool fs_fixture_time_is_between(struct timespec from, struct timespec time, struct timespec to)
{
    bool after = time.tv_sec > from.tv_sec || (time.tv_sec == from.tv_sec && time.tv_nsec >= from.tv_nsec);
    bool before = time.tv_sec < to.tv_sec || (time.tv_sec == to.tv_sec && time.tv_nsec <= to.tv_nsec);
    return after && before;
}

void fs_fixture_assert_equal(const struct fs_attributes *left, const struct fs_attributes *right)
{
    assert_int_equal(left->inode, right->inode);
    assert_int_equal(left->size, right->size);
    assert_int_equal(left->blocks, right->blocks);
    assert_int_equal(left->device, right->device);
    assert_true(fs_fixture_time_is_equal(left->access_time, right->access_time));
    assert_true(fs_fixture_time_is_equal(left->modification_time, right->modification_time));
    assert_true(fs_fixture_time_is_equal(left->change_time, right->change_time));
    assert_true(fs_fixture_time_is_equal(left->birth_time, right->birth_time));
    assert_int_equal(left->mode, right->mode);
    assert_int_equal(left->link_count, right->link_count);
    assert_int_equal(left->uid, right->uid);
    assert_int_equal(left->gid, right->gid);
    assert_int_equal(left->flags, right->flags);
}
