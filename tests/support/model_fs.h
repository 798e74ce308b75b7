/* A filesystem as it ought to be: a tree in memory with the semantics of include/fs/fs.h and nothing else of it. Tests
 * do each operation on both, compare the results, and now and then everything.
 *
 * Inode numbers are the real filesystem's: model_fs_make is told which it gave. Times are the real one's too, but
 * checked: an operation notes which times of which inodes it sets ("touched"), and the comparison insists that exactly
 * those moved, into the interval that the operation took. A clone is a snapshot; contents are shared between clones. */
#ifndef BEEFTREE_TESTS_SUPPORT_MODEL_FS_H
#define BEEFTREE_TESTS_SUPPORT_MODEL_FS_H

#include "fs/fs.h"

enum model_time {
    MODEL_TIME_ACCESS = 1 << 0,
    MODEL_TIME_MODIFICATION = 1 << 1,
    MODEL_TIME_CHANGE = 1 << 2,
    MODEL_TIME_BIRTH = 1 << 3,
};

struct model_page; /* 4 KiB of contents, shared between clones */

/* Values are patterns: the first `size` bytes that model_xattr_fill makes of the seed. */
struct model_xattr {
    char *name;
    uint32_t size;
    uint64_t seed;
};

struct model_entry {
    char name[FS_NAME_SIZE_MAX + 1];
    uint64_t inode;
};

struct model_node {
    struct fs_attributes attributes; /* blocks is not modelled */
    uint64_t parent;                 /* of directories */
    struct model_entry *entries;     /* of directories, in bytewise name order; attributes.size says how many */
    size_t entry_capacity;
    struct model_page **pages; /* of files: NULL is a page of zeros */
    size_t page_count;
    char *target;               /* of symlinks */
    struct model_xattr *xattrs; /* in bytewise order of the names */
    size_t xattr_count;
    uint64_t lookup_count;
    unsigned touched; /* enum model_time: set by the operation just done */
};

struct model_fs {
    struct model_node **nodes; /* in rising inode number */
    size_t node_count, node_capacity;
};

/* With the root directory. */
struct model_fs *model_fs_create(const struct fs_attributes *root);
void model_fs_destroy(struct model_fs *model);
struct model_fs *model_fs_clone(const struct model_fs *model);

struct model_node *model_fs_find(struct model_fs *model, uint64_t inode);
/* The inode of a directory's entry, or 0. */
uint64_t model_fs_find_entry(struct model_fs *model, uint64_t parent, const char *name);

/* Operations: what the real one must answer; on 0 the model has changed. */
int model_fs_lookup(struct model_fs *model, uint64_t parent, const char *name);
void model_fs_forget(struct model_fs *model, uint64_t inode, uint64_t count);
/* What fs_make will answer; then, told the number it gave, the change. Adds the lookup. */
int model_fs_check_make(struct model_fs *model, uint64_t parent, const char *name);
void model_fs_make(struct model_fs *model, const struct fs_caller *caller, uint64_t parent, const char *name,
                   const struct fs_make *make, uint64_t inode);
int model_fs_link(struct model_fs *model, uint64_t inode, uint64_t parent, const char *name);
int model_fs_remove(struct model_fs *model, uint64_t parent, const char *name, bool directory);
int model_fs_rename(struct model_fs *model, uint64_t parent, const char *name, uint64_t new_parent,
                    const char *new_name, unsigned flags);
int model_fs_set_attributes(struct model_fs *model, const struct fs_caller *caller, uint64_t inode,
                            const struct fs_changes *changes);
int64_t model_fs_write(struct model_fs *model, const struct fs_caller *caller, uint64_t inode, uint64_t offset,
                       const void *bytes, size_t size);
int model_fs_allocate(struct model_fs *model, const struct fs_caller *caller, uint64_t inode, unsigned mode,
                      uint64_t offset, uint64_t size);
int64_t model_fs_read(struct model_fs *model, uint64_t inode, uint64_t offset, void *buffer, size_t size);
/* Extended attributes without ACLs; flags: enum fs_xattr_flags. */
int model_fs_set_xattr(struct model_fs *model, uint64_t inode, const char *name, uint64_t seed, uint32_t size,
                       unsigned flags);
int model_fs_remove_xattr(struct model_fs *model, uint64_t inode, const char *name);
void model_xattr_fill(uint64_t seed, void *value, uint32_t size);
/* Nobody uses anything any more: unlinked inodes go. */
void model_fs_restart(struct model_fs *model);

/* After each operation: takes over the times of touched inodes, that must lie between the two. Returns false with a
 * reason when something is wrong. */
bool model_fs_settle(struct model_fs *model, struct fs *fs, struct timespec before, struct timespec after,
                     struct base_reason *ret_reason);
/* Whether the real filesystem shows exactly this tree: names in order, attributes, contents. Leaves its lookup counts
 * as they were. */
bool model_fs_compare(struct model_fs *model, struct fs *fs, struct base_reason *ret_reason);

#endif
