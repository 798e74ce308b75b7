/* The floor server's filesystem: directories, names, attributes and contents in memory, nothing durable.
 *
 * It is the least that a filesystem behind FUSE can do for each request (a hash probe or two), so that what the server
 * costs in a benchmark is what the kernel and libfuse cost. Correct enough for tar, rm, find, git and a compiler; it
 * checks no permissions (default_permissions does) and knows no extended attributes.
 *
 * Locks: one latch over names and inodes (shared for lookups and lists, exclusive for changes of names), then one latch
 * per inode for its attributes and contents. All functions are thread-safe. Errors are negative errno. */
#ifndef BEEFTREE_BENCH_FLOOR_TREE_H
#define BEEFTREE_BENCH_FLOOR_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define FLOOR_ROOT_INODE  1U
#define FLOOR_CHUNK_SIZE  131072U
#define FLOOR_IO_SIZE     65536U /* st_blksize, as src/front gives it */
#define FLOOR_IOVEC_COUNT 16U    /* enough for a 1 MiB read that starts inside a chunk, see floor_read */

struct floor_tree;
struct floor_node;

/* NULL when there is no memory. */
struct floor_tree *floor_create(void);

/* The mount is gone: every lookup count becomes zero, unlinked inodes go. Nothing else may run. */
void floor_forget_all(struct floor_tree *tree);

/* Adds one to the lookup count. -ENOENT, -ENAMETOOLONG. */
int floor_lookup(struct floor_tree *tree, uint64_t parent, const char *name, struct stat *ret_attributes);
void floor_forget(struct floor_tree *tree, uint64_t inode, uint64_t count);

int floor_get_attributes(struct floor_tree *tree, uint64_t inode, struct stat *ret_attributes);

/* Bits of floor_set_attributes, the values of libfuse's FUSE_SET_ATTR_*. */
enum floor_set {
    FLOOR_SET_MODE = 1 << 0,
    FLOOR_SET_UID = 1 << 1,
    FLOOR_SET_GID = 1 << 2,
    FLOOR_SET_SIZE = 1 << 3,
    FLOOR_SET_ACCESS_TIME = 1 << 4,
    FLOOR_SET_MODIFICATION_TIME = 1 << 5,
    FLOOR_SET_ACCESS_TIME_NOW = 1 << 7,
    FLOOR_SET_MODIFICATION_TIME_NOW = 1 << 8,
};

int floor_set_attributes(struct floor_tree *tree, uint64_t inode, int set, const struct stat *wanted,
                         struct stat *ret_attributes);

/* What a new inode is made from. */
struct floor_make {
    mode_t mode; /* type and permission bits */
    dev_t device;
    uid_t uid;
    gid_t gid;
    const char *target; /* of a symlink, else NULL */
};

/* Any type of inode. Adds one to the lookup count. */
int floor_make(struct floor_tree *tree, uint64_t parent, const char *name, const struct floor_make *make,
               struct stat *ret_attributes);
int floor_link(struct floor_tree *tree, uint64_t inode, uint64_t parent, const char *name, struct stat *ret_attributes);
int floor_unlink(struct floor_tree *tree, uint64_t parent, const char *name);
int floor_rmdir(struct floor_tree *tree, uint64_t parent, const char *name);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE. */
int floor_rename(struct floor_tree *tree, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                 unsigned flags);
/* The target stays valid while the inode has a name or a lookup. */
int floor_read_link(struct floor_tree *tree, uint64_t inode, const char **ret_target);

/* Hands the bytes in place to emit, under the inode's latch; iovecs of size zero in all at or after the end. */
int floor_read(struct floor_tree *tree, uint64_t inode, uint64_t offset, size_t size,
               void (*emit)(void *context, const struct iovec *iovecs, int count), void *context);
int floor_write(struct floor_tree *tree, uint64_t inode, uint64_t offset, const void *bytes, size_t size);

/* Calls emit for each entry from a position on (0: the start), next being the position after it, until emit returns
 * false. With attributes, each entry taken but "." and ".." adds one to its lookup count. */
typedef bool (*floor_emit)(void *context, const char *name, const struct stat *attributes, uint64_t next);
int floor_list(struct floor_tree *tree, uint64_t inode, uint64_t position, bool with_attributes, floor_emit emit,
               void *context);

void floor_count(struct floor_tree *tree, uint64_t *ret_inodes, uint64_t *ret_bytes);

#endif
