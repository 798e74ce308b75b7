/* What the files of extended attributes (xattr*.c, acl.c) and those that meet them share. docs/format.md section 5 has
 * the bytes.
 *
 *      X inode name            [total size: 4][bytes of the value ...]     its first piece
 *      X inode name 00 piece   [bytes ...]                                 pieces 1, 2, ... of a long value
 *
 * A name has no zero byte, so the pieces of a value stand right behind its first row, before the next name, and a name
 * that is not there is one row that is not there. All pieces but the last are full.
 *
 * The inode's row has a summary (fs_inode_row.xattrs): 0 means that it has none, which is kept with the inode in use
 * too, so that asking such an inode costs no way through the tree.
 *
 * Locks: the inode's lock, shared to read, exclusive to change. */
#ifndef BEEFTREE_FS_XATTR_H
#define BEEFTREE_FS_XATTR_H

#include "internal.h"

/* The summary: bytes of the list of names (each with a zero byte), and which ACLs there are. */
#define FS_XATTRS_LIST_SIZE_MASK 0x0001FFFFU
#define FS_XATTRS_ACCESS_ACL     (1U << 30)
#define FS_XATTRS_DEFAULT_ACL    (1U << 31)
#define FS_XATTRS_MASK           (FS_XATTRS_LIST_SIZE_MASK | FS_XATTRS_ACCESS_ACL | FS_XATTRS_DEFAULT_ACL)

#define FS_XATTR_ACCESS_ACL_NAME  "system.posix_acl_access"
#define FS_XATTR_DEFAULT_ACL_NAME "system.posix_acl_default"

#define FS_XATTR_KEY_SIZE_MAX (1U + 8U + FS_XATTR_NAME_SIZE_MAX + 3U)
/* Of a first row, at every page size. */
#define FS_XATTR_ROW_SIZE_MAX (4U + 16384U)

/* --- Rows (xattr_row.c) ------------------------------------------------------------------------------------------- */

struct fs_xattr_key {
    uint64_t inode;
    const char *name; /* not terminated */
    size_t name_size;
    uint32_t piece;
};

/* A key of table X apart; false: it is none. */
bool fs_xattr_key_decode(struct btree_slice key, struct fs_xattr_key *ret_key);
/* Bytes of a value that one row takes. */
uint32_t fs_xattr_piece_size(const struct fs *fs);
/* Rows that a value of this size takes: at least one. */
uint32_t fs_xattr_rows(const struct fs *fs, uint32_t value_size);

/* The size of the value. -ENODATA when there is no such name. */
int fs_xattr_find(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, uint32_t *ret_value_size);
/* The value. -ENODATA; -ERANGE when it is longer than the buffer (buffer_size 0: only the size is wanted). */
int fs_xattr_read(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, void *buffer, size_t buffer_size,
                  uint32_t *ret_value_size);
/* Writer: makes the value this; old_rows: of the value before, 0 when there was none. Changes at most the greater of
 * old and new rows. -EAGAIN: the transaction may take fewer pages than that and might not do; so much is left then as
 * one row change takes. */
int fs_xattr_write(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, const void *value, uint32_t size,
                   uint32_t old_rows);
/* Writer. -EAGAIN as above. */
int fs_xattr_delete(struct fs *fs, struct txn *txn, uint64_t inode, const char *name, uint32_t old_rows);

/* The list of names, each with a zero byte: *ret_size bytes. -ERANGE when it is longer than the buffer (buffer_size 0:
 * only the size is wanted). */
int fs_xattr_list(struct fs *fs, uint64_t inode,
                  bool (*is_wanted)(const struct fs *fs, const char *name, void *context), void *context, char *buffer,
                  size_t buffer_size, size_t *ret_size);

/* Writer: rows of an inode that nobody can reach any more, at most row_count_max; fewer went: none are left. */
int fs_xattr_free(struct fs *fs, struct txn *txn, uint64_t inode, uint32_t row_count_max, uint32_t *ret_done);
/* All of them, in transactions of bounded size. */
int fs_xattr_free_steps(struct fs *fs, uint64_t inode);

/* The summary once a name was added to or removed from the list; an impossible one when that can't be. */
uint32_t fs_xattrs_with(uint32_t xattrs, const char *name);
uint32_t fs_xattrs_without(uint32_t xattrs, const char *name);
/* Whether there can be such a summary. */
bool fs_xattrs_are_possible(uint32_t xattrs);
/* Of an ACL's name. */
bool fs_xattrs_have_acl(uint32_t xattrs, const char *name);

/* Whether it is a name that can be set, ACLs in force. */
bool fs_xattr_name_is_kept(const char *name);

/* --- ACLs (acl.c) ------------------------------------------------------------------------------------------------- */

/* As the kernel hands them over: version 2, then entries of 8 bytes. */
#define FS_ACL_SIZE_MAX 4096U

/* Version, tags, order, entries that must be there: -EINVAL; *ret_empty: it has no entries, which means none. */
int fs_acl_check(const void *acl, size_t size, bool *ret_empty);
/* Puts the permissions that the ACL gives owner, group class and others into the mode; true: the ACL says no more than
 * the mode does. */
bool fs_acl_to_mode(const uint8_t *acl, size_t size, uint32_t *mode);
/* Rows that one ACL takes at most. */
uint32_t fs_acl_rows_max(const struct fs *fs);
/* Whether a change of mode changes the access ACL too. */
bool fs_acl_follows_mode(const struct fs *fs, const struct fs_inode_row *row);
/* Writer, fs_acl_rows_max row changes: chmod's half. */
int fs_acl_set_mode(struct fs *fs, struct txn *txn, uint64_t inode, uint32_t mode);

/* What a new inode gets from its directory's default ACL. */
struct fs_acl_inherited {
    uint8_t access_acl[FS_ACL_SIZE_MAX], default_acl[FS_ACL_SIZE_MAX];
    uint32_t access_size, default_size; /* 0: none */
};

/* Directory's lock held. *mode: as asked for, then as it becomes. *ret_inherited is malloced; NULL: the directory has
 * no default ACL (or they are off), then the umask has its say instead. */
int fs_acl_inherit(struct fs *fs, const struct fs_inode_row *directory, uint32_t *mode,
                   struct fs_acl_inherited **ret_inherited);
uint32_t fs_acl_inherited_rows(const struct fs *fs, const struct fs_acl_inherited *inherited);
/* The summary of an inode that gets them. */
uint32_t fs_acl_inherited_xattrs(const struct fs_acl_inherited *inherited);
/* Writer. */
int fs_acl_inherited_write(struct fs *fs, struct txn *txn, uint64_t inode, const struct fs_acl_inherited *inherited);

#endif
