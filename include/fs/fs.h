/* The filesystem: inodes, directory entries, contents, over one tree. It runs without FUSE: the front end translates
 * requests into these calls and turns their negative errno into replies; tests call them directly.
 *
 * Locks: every operation takes the inode locks it needs (ascending inode number), then admission, then writes contents,
 * then the writer lock. A read holds its inode lock shared until its answer is in the caller's buffer; a change holds
 * it exclusively up to commit. So nobody sees half an operation, and freed blocks have no readers. All functions are
 * thread-safe.
 *
 * Lookup counts: an inode that the kernel knows (struct fs_entry handed out by lookup, make, link and readdirplus: one
 * count each) stays in the table of inodes in use until fs_forget; an unlinked inode lives until then. Each takes at
 * most 256 bytes.
 *
 * Names are byte strings of 1 to 255 bytes without '/' and NUL; longer: -ENAMETOOLONG. "." and ".." are the kernel's.
 * Permission checks are the kernel's (default_permissions) save those that depend on more than it sees (sticky
 * directories are the kernel's, set-id clearing is ours). Immutable and append-only inodes are ours: what they refuse
 * is -EPERM, for every caller. */
#ifndef BEEFTREE_FS_FS_H
#define BEEFTREE_FS_FS_H

#include "base/message.h"
#include "btree/btree.h"
#include "os/file.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define FS_ROOT_INODE       1U
#define FS_NAME_SIZE_MAX    255U
#define FS_SYMLINK_SIZE_MAX 4095U
#define FS_LINK_COUNT_MAX   2147483647U
#define FS_FILE_SIZE_MAX    INT64_MAX

struct fs;

/* --- Whole filesystems -------------------------------------------------------------------------------------------- */

struct fs_format_options {
    uint32_t page_size; /* 0: the default, FS_PAGE_SIZE_DEFAULT */
    uint64_t log_size;  /* bytes of the log's ring; see struct store_format_options */
    char label[STORE_LABEL_SIZE];
    uid_t root_uid;
    gid_t root_gid;
    mode_t root_mode; /* permission bits; 0755 is usual */
};

#define FS_PAGE_SIZE_DEFAULT 16384U

/* Makes an empty filesystem in an empty file, durable on return. */
int fs_format(struct os_file *file, const struct fs_format_options *options, struct base_reason *ret_reason);

/* What reads do to access times (access_time.c). */
enum fs_access_times {
    FS_ACCESS_TIMES_KEPT,     /* nothing */
    FS_ACCESS_TIMES_RELATIVE, /* they change where they are older than the last change, or a day old */
    FS_ACCESS_TIMES_EXACT,    /* always */
};

struct fs_options {
    bool read_only;
    enum fs_access_times access_times;
    bool directory_access_times_kept; /* of directories whatever the above says */
    size_t cache_size;                /* bytes: the memory budget of pool and node cache (cache=); 0: 64 MiB */
    uint64_t commit_interval_ms;      /* 0: no background threads (tests, tools) */
    uint64_t content_unsynced_max;    /* see struct txn_engine_options */
    bool has_acls;                    /* POSIX ACLs are in force: kept, inherited, in step with the mode */
};

/* Opens store, pool, engine and tree, checks what opening reads (errors as store_open), and, when writable, ends
 * orphans: unlinked inodes go, contents being freed are freed in the background. Borrows the file until fs_close. */
int fs_open(struct os_file *file, const struct fs_options *options, struct fs **ret_fs, struct base_reason *ret_reason);

/* Instead of what the options of opening said; at any time. */
void fs_set_access_times(struct fs *fs, enum fs_access_times access_times, bool directory_access_times_kept);

/* Ends background work, gives up every unlinked inode, makes everything durable, shrinks the file, releases all memory.
 * Returns what the last sync returned (the memory is released all the same). No operation may be running. */
int fs_close(struct fs *fs);

/* Everything committed so far durable: fsync, fsyncdir, syncfs. */
int fs_sync(struct fs *fs);

uint32_t fs_get_page_size(struct fs *fs);
/* As if the machine stopped: nothing is written from here on, fs_close neither; what is durable is what the next
 * opening finds. Changes fail with -EROFS, and so do syncs. */
void fs_shut_down(struct fs *fs);
/* 0, or -EROFS and why the filesystem turned read-only. */
int fs_get_failure(struct fs *fs, struct base_reason *ret_reason);

/* --- Attributes --------------------------------------------------------------------------------------------------- */

struct fs_attributes {
    uint64_t inode;
    uint64_t size;   /* bytes; of a directory: the number of its entries; of a symlink: of its target */
    uint64_t blocks; /* 512-byte units that the contents take */
    uint64_t device; /* of device nodes: major << 32 | minor */
    struct timespec access_time, modification_time, change_time, birth_time;
    uint32_t mode; /* type and permission bits */
    uint32_t link_count;
    uint32_t uid, gid;
    uint32_t flags; /* enum fs_flag */
};

/* chattr flags, with the numbers of FS_IOC_GETFLAGS. flags.c has what they forbid; new inodes inherit the last two. */
enum fs_flag {
    FS_FLAG_IMMUTABLE = 0x10,
    FS_FLAG_APPEND = 0x20,
    FS_FLAG_NO_DUMP = 0x40, /* kept for backup programs */
    FS_FLAG_NO_ACCESS_TIME = 0x80,
    FS_FLAGS_ALL = 0xF0,
};

struct fs_entry {
    struct fs_attributes attributes;
};

/* What becomes of set-id bits when contents change. */
enum fs_set_id {
    FS_SET_ID_BY_UID,       /* nothing better is known: cleared, but kept for root */
    FS_SET_ID_KEPT,         /* the caller has CAP_FSETID */
    FS_SET_ID_CLEARED,      /* S_ISUID, and S_ISGID where the group may execute */
    FS_SET_ID_CLEARED_BOTH, /* S_ISGID always: the caller is not in the file's group */
};

/* Who asks. */
struct fs_caller {
    uid_t uid;
    gid_t gid;
    enum fs_set_id set_id;
};

/* -ENOENT when there is no such inode; an unlinked one keeps its attributes (link_count 0) until its last forget. */
int fs_get_attributes(struct fs *fs, uint64_t inode, struct fs_attributes *ret_attributes);

enum fs_set {
    FS_SET_MODE = 1 << 0,
    FS_SET_UID = 1 << 1,
    FS_SET_GID = 1 << 2,
    FS_SET_SIZE = 1 << 3,
    FS_SET_ACCESS_TIME = 1 << 4,
    FS_SET_MODIFICATION_TIME = 1 << 5,
    FS_SET_ACCESS_TIME_NOW = 1 << 6,
    FS_SET_MODIFICATION_TIME_NOW = 1 << 7,
    FS_SET_CHANGE_TIME = 1 << 8,
    FS_SET_NO_SET_ID = 1 << 9, /* set-id bits go as in a write; alone */
};

struct fs_changes {
    uint32_t set; /* enum fs_set */
    uint32_t mode;
    uid_t uid;
    gid_t gid;
    uint64_t size;
    struct timespec access_time, modification_time, change_time;
};

/* All or nothing. Changing the size of a directory: -EISDIR; of what is no regular file: -EINVAL; past
 * FS_FILE_SIZE_MAX: -EFBIG. truncate clears set-id bits as the caller's set_id says; chown of anything but a directory
 * always, KEPT or not. */
int fs_set_attributes(struct fs *fs, const struct fs_caller *caller, uint64_t inode, const struct fs_changes *changes,
                      struct fs_attributes *ret_attributes);

/* What open(2) with these flags (O_ACCMODE, O_APPEND, O_TRUNC) is answered: -EPERM by the inode's flags, 0. The kernel
 * has checked the rest. */
int fs_check_open(struct fs *fs, uint64_t inode, int open_flags);
/* Replaces the flags. -EOPNOTSUPP: others than FS_FLAGS_ALL. Whether the caller may is checked by the kernel. */
int fs_set_flags(struct fs *fs, uint64_t inode, uint32_t flags);

/* --- Extended attributes ------------------------------------------------------------------------------------------ */

/* Names begin with user., trusted. or security. (-EINVAL: with nothing behind it), or are system.posix_acl_access and
 * system.posix_acl_default where ACLs are in force; others: -EOPNOTSUPP. Who may is the kernel's to say, but for flags
 * of chattr: -EPERM for the immutable and append-only. Every change sets the change time, and is one operation. */
#define FS_XATTR_NAME_SIZE_MAX  255U   /* bytes; longer: -ERANGE */
#define FS_XATTR_VALUE_SIZE_MAX 65536U /* bytes; longer: -E2BIG */
#define FS_XATTR_LIST_SIZE_MAX  65536U /* bytes of all names of an inode, each with its zero byte; beyond: -ENOSPC */

enum fs_xattr_flags {
    FS_XATTR_CREATE = 1 << 0,        /* as XATTR_CREATE: -EEXIST */
    FS_XATTR_REPLACE = 1 << 1,       /* as XATTR_REPLACE: -ENODATA */
    FS_XATTR_CLEAR_SET_GID = 1 << 2, /* with an access ACL: the caller may not keep S_ISGID */
};

/* The value's size; buffer_size 0: only that is wanted. -ENODATA, -ERANGE (the buffer is too small). */
int64_t fs_get_xattr(struct fs *fs, uint64_t inode, const char *name, void *buffer, size_t buffer_size);
/* An access ACL sets the mode, and is not kept when it says no more than that; an empty one removes. -EINVAL: no ACL;
 * -EACCES: a default ACL for what is no directory. A change that dirties more pages than the pool takes is -E2BIG; on a
 * whole tree values of 64 KiB are far below that in the smallest one. */
int fs_set_xattr(struct fs *fs, uint64_t inode, const char *name, const void *value, size_t size, unsigned flags);
/* -ENODATA; never for ACLs. */
int fs_remove_xattr(struct fs *fs, uint64_t inode, const char *name);
/* The names, each with a zero byte; those that begin with trusted. are for root only. The size of the list;
 * buffer_size 0: only that is wanted. -ERANGE. */
int64_t fs_list_xattrs(struct fs *fs, const struct fs_caller *caller, uint64_t inode, char *buffer, size_t buffer_size);

/* --- Names -------------------------------------------------------------------------------------------------------- */

/* Adds one to the inode's lookup count. -ENOENT. */
int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct fs_entry *ret_entry);
/* The inode itself, or its parent if it is a directory, by number alone (file handles). Adds one to the lookup count.
 * -ENOENT: it has no name any more, or never was; -ENOTDIR: only directories know their parents. */
int fs_lookup_number(struct fs *fs, uint64_t inode, bool parent, struct fs_entry *ret_entry);
void fs_forget(struct fs *fs, uint64_t inode, uint64_t count);
/* Lookup counts held, for tests of balance: inodes in use and the sum of counts. */
void fs_get_use(struct fs *fs, uint64_t *ret_inodes, uint64_t *ret_lookups);

struct fs_make {
    /* Without a name (O_TMPFILE; S_IFREG only; the name is not looked at): it goes at the last forget, unless fs_link
     * gives it a name before. */
    bool temporary;
    uint32_t
        mode; /* type and permission bits, umask already applied; S_IFREG, S_IFDIR, S_IFLNK, devices, fifos, sockets */
    uint64_t device;    /* of device nodes: major << 32 | minor */
    const char *target; /* symlinks */
    uint32_t umask;     /* taken from the mode unless the directory has a default ACL, which then counts instead */
};

/* create, mknod, mkdir, symlink. In a set-gid directory the group is the directory's and new directories inherit the
 * bit. -EEXIST, -ENOENT (parent removed), -ENOTDIR, -EMLINK. Adds one to the lookup count. */
int fs_make(struct fs *fs, const struct fs_caller *caller, uint64_t parent, const char *name,
            const struct fs_make *make, struct fs_entry *ret_entry);
int fs_link(struct fs *fs, uint64_t inode, uint64_t parent, const char *name, struct fs_entry *ret_entry);
int fs_unlink(struct fs *fs, uint64_t parent, const char *name); /* -EISDIR for a directory */
int fs_rmdir(struct fs *fs, uint64_t parent, const char *name);  /* -ENOTDIR, -ENOTEMPTY */
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE (linux/fs.h); others: -EINVAL. */
int fs_rename(struct fs *fs, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
              unsigned flags);
/* The same, and in the place of the old name comes a whiteout, as overlayfs has them: a character device 0, 0 without
 * permissions, owned by the caller. flags: 0 or RENAME_NOREPLACE. */
int fs_rename_leaving_whiteout(struct fs *fs, const struct fs_caller *caller, uint64_t parent, const char *name,
                               uint64_t new_parent, const char *new_name, unsigned flags);
/* NUL-terminated; -EINVAL for what is no symlink. */
int fs_read_link(struct fs *fs, uint64_t inode, char *buffer, size_t buffer_size);

/* --- Contents ----------------------------------------------------------------------------------------------------- */

/* Returns the count of bytes read (short only at the end of the file), or negative errno: -EIO when any block of the
 * range is damaged (a short answer would look like the end of the file). What the buffer holds behind the count is
 * undefined. */
int64_t fs_read(struct fs *fs, uint64_t inode, uint64_t offset, void *buffer, size_t size);
/* The same, but the access time stays (O_NOATIME). */
int64_t fs_read_unnoticed(struct fs *fs, uint64_t inode, uint64_t offset, void *buffer, size_t size);

/* One operation, whole or absent: returns size, or negative errno. -EFBIG past FS_FILE_SIZE_MAX. Clears set-id bits
 * when caller is not root; caller NULL: no one in particular (a late mmap write). A request of more than 4 MiB, or more
 * than a very small pool can take at once, is done as several operations in ascending order; when one of them fails
 * that is not the first, the count of bytes written until then is returned. The same holds for what goes into blocks
 * reserved by fs_allocate when the disk is full. */
int64_t fs_write(struct fs *fs, const struct fs_caller *caller, uint64_t inode, uint64_t offset, const void *bytes,
                 size_t size);

/* fallocate. mode: FALLOC_FL_* (linux/falloc.h): 0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE with or without
 * KEEP_SIZE; others: -EOPNOTSUPP. Blocks so reserved count in attributes.blocks and read as zeros; what is written
 * there later does not fail for want of space. -EINVAL for size 0, -EFBIG past FS_FILE_SIZE_MAX, -EISDIR, -ENODEV for
 * what is no regular file. A range of more than 8 MiB, or more than a very small pool can take at once, is done in
 * several operations in ascending order: when one fails, or the power goes, the range is done up to there (and the size
 * with it). -ENOSPC at once, with nothing done, when the free space is less than what the range needs. */
int fs_allocate(struct fs *fs, const struct fs_caller *caller, uint64_t inode, unsigned mode, uint64_t offset,
                uint64_t size);

/* Where the next data (whence SEEK_DATA) or the next hole (SEEK_HOLE; the end of the file is one) begins, at or after
 * offset. Exact to the block of 4 KiB; blocks reserved and not written are holes. -ENXIO when there is none, and from
 * the end of the file on. */
int64_t fs_seek(struct fs *fs, uint64_t inode, uint64_t offset, int whence);

/* copy_file_range: like reading and writing it, with holes kept, in several operations in ascending order. Returns how
 * many bytes were copied: less than size at the end of the source, when a later operation failed, and after 64 MiB of
 * data. The same inode twice is allowed, an overlap is -EINVAL; -EISDIR, -EINVAL for what is no regular file; -EFBIG
 * where the target would begin at FS_FILE_SIZE_MAX. */
int64_t fs_copy_range(struct fs *fs, const struct fs_caller *caller, uint64_t from, uint64_t from_offset, uint64_t to,
                      uint64_t to_offset, uint64_t size);

/* --- Directories -------------------------------------------------------------------------------------------------- */

struct fs_directory;

int fs_directory_open(struct fs *fs, uint64_t inode, struct fs_directory **ret_directory);
void fs_directory_close(struct fs_directory *directory);

struct fs_directory_entry {
    const char *name; /* NUL-terminated */
    size_t name_size;
    uint64_t cookie; /* of the place after this entry: what seekdir or the next request hands back; never 0 */
    uint64_t inode;
    uint32_t type; /* mode's type bits */
    /* When asked for. NULL for "." and "..", for an entry whose inode's row can't be read, and where too many rows
     * would have to come from the disk for one call: no lookup is counted. */
    const struct fs_attributes *attributes;
};

/* Returns true when the entry was taken; false ends the reply (the entry will come first in the next). */
typedef bool (*fs_directory_emit)(void *context, const struct fs_directory_entry *entry);

/* "." and "..", then the entries in bytewise name order, from the place that cookie names (0: the start).
 * with_attributes: readdirplus, where each taken entry that comes with attributes adds one to its inode's lookup count
 * (after emit returned: nothing may be forgotten within emit). 0 also at the end (nothing emitted), and in a removed
 * directory; an error after the first entry comes with the next call.
 *
 * Any cookie of the last few thousand that this handle gave out resumes exactly, whatever has happened to its entry.
 * Any other resumes while its entry is there (a scan from the start); otherwise the listing begins anew. */
int fs_directory_read(struct fs_directory *directory, uint64_t cookie, bool with_attributes, fs_directory_emit emit,
                      void *context);

/* --- Space -------------------------------------------------------------------------------------------------------- */

struct fs_space {
    uint64_t block_size; /* bytes: the unit of the next three */
    uint64_t blocks, blocks_free, blocks_available;
    uint64_t inodes_free; /* as many as the free space holds at least of the smallest */
    uint64_t inodes;      /* those and an upper bound of those that exist */
};

int fs_get_space(struct fs *fs, struct fs_space *ret_space);

/* --- Looking inside ----------------------------------------------------------------------------------------------- */

struct fs_statistics {
    struct store_statistics store;
    struct pool_statistics pool;
    struct txn_statistics txn;
    struct btree_statistics btree;
    struct store_recovery recovery; /* what opening found in the log */
    uint64_t inodes_in_use, lookups;
    uint64_t orphans;     /* unlinked inodes in use or about to be removed */
    uint64_t inode_bytes; /* memory of one inode in use */
    uint32_t page_size;
    bool read_only;
    char label[STORE_LABEL_SIZE];
};

void fs_get_statistics(struct fs *fs, struct fs_statistics *ret_statistics);

/* What a check does first, second, ...: superblocks, map, bitmap and the checksum of every page; the tree; rows of
 * inodes and entries (and of contents, unless they are read too); contents with their bytes, when asked for. */
enum fs_check_phase { FS_CHECK_PAGES, FS_CHECK_TREE, FS_CHECK_ROWS, FS_CHECK_CONTENTS, FS_CHECK_PHASE_COUNT };

struct fs_check_report {
    void (*problem)(void *context, const char *text); /* one line each; may be NULL */
    /* What is no problem, but worth knowing: what a power cut left and the next writable mount puts right. May be NULL.
     */
    void (*note)(void *context, const char *text);
    /* Called often; done is at most total. false ends the check with -ECANCELED. May be NULL. */
    bool (*progress)(void *context, enum fs_check_phase phase, uint64_t done, uint64_t total);
    void *context;
    bool data; /* also read all contents and compare checksums */
    uint64_t problems, notes;
    uint64_t inodes, directories, entries, content_blocks, pages, rows;
    uint64_t orphans; /* unlinked inodes: the next writable mount frees them */
    uint64_t freeing; /* O rows with `from`: contents whose freeing the next writable mount finishes */
};

/* Checks everything: store (superblocks, map, bitmap, page checksums), tree (btree_verify), rows (keys and values
 * well-formed), inodes against entries and link counts, contents rows against sizes, block counts and the bitmap. On a
 * filesystem opened read-only by this call's owner, nobody writing. Takes 32 bytes an inode, a bit or two a block of
 * the file, and the cache. 0 also when problems were reported; negative errno when the check itself could not go on
 * (-ECANCELED: progress said so), with what was found until then in the report. */
int fs_check(struct fs *fs, struct fs_check_report *report);

#endif
