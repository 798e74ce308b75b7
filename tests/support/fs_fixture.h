/* A filesystem in a file in memory, for the tests of fs/: made, opened, closed, reopened, crashed and checked. Failures
 * of the fixture itself fail the running cmocka test. */
#ifndef BEEFTREE_TESTS_SUPPORT_FS_FIXTURE_H
#define BEEFTREE_TESTS_SUPPORT_FS_FIXTURE_H

#include "fs/fs.h"
#include "support/fault_file.h"

#include <sys/stat.h>

struct fs_fixture {
    struct fault_file *fault;
    struct os_file *file;
    struct fs *fs;
    struct fs_options options;
    uint64_t host_size; /* what fs_fixture_set_host_size said, else UINT64_MAX */
};

/* What the kernel would say of an ordinary user. */
extern const struct fs_caller fs_fixture_user;

/* A new filesystem, opened without background threads and with a small cache. page_size 0: the default. */
void fs_fixture_init(struct fs_fixture *fixture, uint32_t page_size);
/* As above with a file of the caller's (taken over) and options. */
void fs_fixture_init_with(struct fs_fixture *fixture, struct os_file *file, uint32_t page_size,
                          const struct fs_options *options);
/* Closes (and so expects) a good filesystem, checks what is in the file, releases all. */
void fs_fixture_deinit(struct fs_fixture *fixture);
/* Unmounts and mounts again. */
void fs_fixture_reopen(struct fs_fixture *fixture);
/* The power goes; mounts what the disk has: the last synced image (random NULL) or that and a random part of what was
 * written since. */
void fs_fixture_crash(struct fs_fixture *fixture, struct base_random *random);
/* From now on, over crashes too, the host has room for so much. */
void fs_fixture_set_host_size(struct fs_fixture *fixture, uint64_t host_size);
/* fs_check over what is synced now finds no problem; calls fs_sync first. */
void fs_fixture_check(struct fs_fixture *fixture);
/* The same over a closed filesystem's file. */
void fs_fixture_check_file(struct os_file *file);

/* Operations that must succeed. Each leaves no lookup count behind. */
uint64_t fs_fixture_make(struct fs_fixture *fixture, uint64_t parent, const char *name, uint32_t mode);
uint64_t fs_fixture_make_symlink(struct fs_fixture *fixture, uint64_t parent, const char *name, const char *target);
void fs_fixture_link(struct fs_fixture *fixture, uint64_t inode, uint64_t parent, const char *name);
void fs_fixture_write(struct fs_fixture *fixture, uint64_t inode, uint64_t offset, const void *bytes, size_t size);
struct fs_attributes fs_fixture_attributes(struct fs_fixture *fixture, uint64_t inode);
/* The inode that a name leads to, or 0 when there is no such name. */
uint64_t fs_fixture_find(struct fs_fixture *fixture, uint64_t parent, const char *name);
/* Like find, but keeps the lookup count. */
uint64_t fs_fixture_lookup(struct fs_fixture *fixture, uint64_t parent, const char *name);
void fs_fixture_assert_equal(const struct fs_attributes *left, const struct fs_attributes *right);
bool fs_fixture_time_is_equal(struct timespec left, struct timespec right);
bool fs_fixture_time_is_between(struct timespec from, struct timespec time, struct timespec to);
/* The parent that a directory's ".." leads to. */
uint64_t fs_fixture_parent(struct fs_fixture *fixture, uint64_t directory);

#endif
