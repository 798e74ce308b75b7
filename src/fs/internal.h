/* What the files of fs/ share: the filesystem object, inodes in use and their locks, rows of inodes, and the seam
 * between names and contents. Nothing here is seen outside fs/. */
#ifndef BEEFTREE_FS_INTERNAL_H
#define BEEFTREE_FS_INTERNAL_H

#include "base/latch.h"
#include "fs/fs.h"

#include <stdatomic.h>

/* --- Inodes in use (inode_table.c) -------------------------------------------------------------------------------- */

/* One per inode that the kernel knows or an operation is using. At most 256 bytes with malloc's overhead. */
struct fs_inode {
    struct fs_inode *next; /* in the queue of the reclaimer */
    uint64_t number;
    uint64_t lookup_count;   /* under the bucket's mutex */
    uint32_t references;     /* operations at work with it; under the bucket's mutex */
    bool temporary;          /* made without a name: fs_link may give it one; under the latch */
    bool orphan;             /* link count is 0: goes when lookup_count and references are 0 */
    _Atomic uint32_t xattrs; /* the row's summary once it is known, with FS_INODE_XATTRS_KNOWN; under the latch */
    struct base_latch latch; /* BASE_RANK_FS_INODE; several in ascending number */
};

#define FS_INODE_XATTRS_KNOWN (1U << 29)

/* Finds or makes the object and takes a reference: whether the inode exists is for its row to say. -ENOMEM. */
int fs_inode_acquire(struct fs *fs, uint64_t number, struct fs_inode **ret_inode);
/* Caller holds no lock: the last release of an unlinked inode may end it there and then (reclaim.c). */
void fs_inode_release(struct fs *fs, struct fs_inode *inode);

/* Acquires and locks in one go: 1 to 4 different inodes, exclusively, in ascending order whatever the order given;
 * duplicates and zeros are allowed and locked once. */
#define FS_LOCK_SET_MAX 4
struct fs_lock_set {
    struct fs_inode *inodes[FS_LOCK_SET_MAX];
    unsigned count;
};
int fs_lock_set_lock(struct fs *fs, const uint64_t *numbers, unsigned count, struct fs_lock_set *ret_set);
void fs_lock_set_unlock(struct fs *fs, struct fs_lock_set *set);

/* --- Rows of inodes (inode_row.c) --------------------------------------------------------------------------------- */

#define FS_INODE_ROW_SIZE     112U
#define FS_SYMLINK_INLINE_MAX 512U
#define FS_CHUNK_SIZE         131072U
#define FS_INLINE_MAX         3840U

struct fs_inode_row {
    struct fs_attributes attributes; /* attributes.blocks is derived when decoding: content_blocks * 8, or the 512-byte
                                        units of inline contents */
    uint64_t content_blocks;
    uint64_t parent; /* of directories */
    uint32_t xattrs; /* summary of the extended attributes (xattr.h); 0: there are none */
    uint32_t pieces; /* of regular files: one more than bytes that are kept in pieces; 0: not known */
};

/* txn may be NULL (a read). -ENOENT when there is no such inode; -EUCLEAN when the row is malformed (message sent). */
int fs_inode_row_read(struct fs *fs, struct txn *txn, uint64_t inode, struct fs_inode_row *ret_row);
/* Replaces the row's attributes (a symlink's inline target stays: target NULL) or makes it (target as given, for
 * symlinks). Writer. */
int fs_inode_row_write(struct fs *fs, struct txn *txn, uint64_t inode, const struct fs_inode_row *row, bool is_new,
                       const char *target);

/* --- Keys (keys.c) ------------------------------------------------------------------------------------------------ */

#define FS_KEY_SIZE_MAX (1U + 8U + FS_NAME_SIZE_MAX)
/* Each returns the key's size. */
size_t fs_key_inode(uint8_t *key, uint64_t inode);
size_t fs_key_entry(uint8_t *key, uint64_t parent, const char *name, size_t name_size);
size_t fs_key_content(uint8_t *key, uint64_t inode, uint64_t offset);
size_t fs_key_share(uint8_t *key, uint64_t block);
size_t fs_key_orphan(uint8_t *key, uint64_t inode);
size_t fs_key_freeing(uint8_t *key, uint64_t inode, uint64_t from);

/* --- Contents (content_*.c): the seam between names and contents -------------------------------------------------- */

/* Reads clipped at size; inode lock held (shared or exclusive). Serves symlink targets too. */
int64_t fs_content_read(struct fs *fs, uint64_t inode, uint64_t size, uint64_t offset, void *buffer,
                        size_t buffer_size);

/* fs_write, fs_allocate and fs_seek of an inode whose lock is held (exclusive; for seek shared suffices), with no txn
 * open. Arguments are checked already: the ranges are not empty and end below FS_FILE_SIZE_MAX. */
int64_t fs_content_write(struct fs *fs, const struct fs_caller *caller, uint64_t inode, uint64_t offset,
                         const void *bytes, size_t size);
int fs_content_allocate(struct fs *fs, const struct fs_caller *caller, uint64_t inode, unsigned mode, uint64_t offset,
                        uint64_t size);
int64_t fs_content_seek(struct fs *fs, uint64_t inode, uint64_t offset, int whence);

/* Sets the size and all other attributes in one transaction: old is the row as it is, new what it becomes
 * (new->attributes.size is the new size; content_blocks and blocks are filled in here). Exclusive inode lock held, no
 * txn open. Large contents that go are marked with an `O inode from` row in that transaction and freed in further ones
 * before it returns (their failure is not the operation's: the rest is freed later). */
int fs_content_resize(struct fs *fs, struct fs_inode *inode, const struct fs_inode_row *old, struct fs_inode_row *new);

/* Within a transaction of the caller's that needs fs_content_small_pages() more pages: frees the contents if they are
 * small enough for one step (inline, or at most one chunk), *ret_done says whether. For reclaiming many small files in
 * one go. */
uint32_t fs_content_small_pages(struct fs *fs);
int fs_content_free_small(struct fs *fs, struct txn *txn, uint64_t inode, const struct fs_inode_row *row,
                          bool *ret_done);

/* Frees contents from <= byte in steps, each its own transaction; ends with the `O inode from` row gone. Exclusive
 * inode lock held, or nobody can reach the inode. */
int fs_content_free_steps(struct fs *fs, uint64_t inode, uint64_t from);

/* Writes a long symlink target (more than FS_SYMLINK_INLINE_MAX) as inline pieces in the caller's transaction, which
 * needs this many pages. */
uint32_t fs_content_target_pages(struct fs *fs, size_t target_size);
int fs_content_write_target(struct fs *fs, struct txn *txn, uint64_t inode, const char *target, size_t target_size);

/* Whether a read of an inode with these attributes is to be noticed, and noticing it: no inode lock held
 * (access_time.c). */
bool fs_access_time_is_due(const struct fs *fs, const struct fs_attributes *attributes);
void fs_access_time_update(struct fs *fs, struct fs_inode *inode);

/* What immutable and append-only inodes refuse (flags.c), 0 or -EPERM: writing from an offset on; any other change of
 * contents, of extended attributes, of the number of links. */
int fs_flags_check_write(const struct fs_attributes *attributes, uint64_t offset);
int fs_flags_check_change(const struct fs_attributes *attributes);

/* Whether writes and truncates by this caller clear set-id bits, and the mode afterwards (attributes.c). */
uint32_t fs_mode_without_set_id(const struct fs_caller *caller, uint32_t mode);

/* --- The filesystem ----------------------------------------------------------------------------------------------- */

struct fs_inode_table;
struct fs_reclaimer; /* the background thread that ends orphans (reclaim.c) */

struct fs {
    struct os_file *file;
    struct store *store;
    struct pool *pool;
    struct txn_engine *engine;
    struct btree *tree;
    struct fs_inode_table *inodes;
    struct fs_reclaimer *reclaimer;
    struct base_mutex number_mutex; /* BASE_RANK_FS_TABLE: the next two */
    uint64_t next_number;           /* next inode number to hand out */
    uint64_t number_limit;          /* what the superinode row says: numbers below it need no row change */
    struct base_mutex rename_mutex; /* BASE_RANK_FS_RENAME: a directory's parent changes only under it (rename.c) */
    uint64_t cookie_seed;           /* of directory cookies; constant */
    bool read_only;
    bool has_acls;                              /* POSIX ACLs are in force */
    _Atomic(enum fs_access_times) access_times; /* changed by a remount */
    atomic_bool directory_access_times_kept;
};

#endif
