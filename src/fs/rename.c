/* Rename: plain, over what is there, NOREPLACE, EXCHANGE, leaving a whiteout.
 *
 * As in unlink.c the two names are read without a lock, their inodes and both parents locked in ascending order, and
 * the names read again.
 *
 * A directory must not move into itself or below. A directory's parent field changes only here, only under
 * rename_mutex, which is taken outside the inode locks whenever a directory may change its parent. So under it the
 * chain of parents above any directory stands still, and is walked without locking the inodes on it. A directory on the
 * chain can't be removed meanwhile: it is not empty, or it is one of the locked parents.
 *
 * Rows: both entries, both inodes, both parents, and the orphan's row of what is replaced; a whiteout's row and now and
 * then the superinode's. */
#include "ancestors.h"
#include "base/clock.h"
#include "names.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/stat.h>

struct renaming {
    struct fs *fs;
    uint64_t parent, new_parent;
    const char *name, *new_name;
    size_t name_size, new_name_size;
    unsigned flags;
    const struct fs_caller *whiteout_owner; /* NULL: the old name goes */
    struct fs_inode_row whiteout_row;
    bool raise;                         /* the superinode row must be raised for the whiteout */
    struct fs_entry_row source, target; /* what the names lead to; inode 0: nothing */
    struct fs_inode_row source_row, target_row, parent_row, other_parent_row;
    struct fs_inode_row *new_parent_row; /* parent_row when both are one directory */
    struct timespec now;
};

static bool is_directory(const struct fs_entry_row *entry)
{
    return entry->inode != 0 && S_ISDIR(entry->type);
}

static bool is_exchange(const struct renaming *renaming)
{
    return renaming->flags & RENAME_EXCHANGE;
}

static bool moves_directory(const struct renaming *renaming)
{
    return renaming->parent != renaming->new_parent &&
           (is_directory(&renaming->source) || (is_exchange(renaming) && is_directory(&renaming->target)));
}

static int read_entry(struct fs *fs, uint64_t parent, const char *name, size_t name_size,
                      struct fs_entry_row *ret_entry)
{
    int error = fs_entry_read(fs, NULL, parent, name, name_size, ret_entry);
    if (error == -ENOENT) {
        *ret_entry = (struct fs_entry_row){0};
        error = 0;
    }
    return error;
}

static int read_names(struct renaming *renaming, struct fs_entry_row *ret_source, struct fs_entry_row *ret_target)
{
    int error = read_entry(renaming->fs, renaming->parent, renaming->name, renaming->name_size, ret_source);
    if (!error) {
        error = read_entry(renaming->fs, renaming->new_parent, renaming->new_name, renaming->new_name_size, ret_target);
    }
    return error;
}

static int read_parents(struct renaming *renaming)
{
    int error = fs_directory_row_read(renaming->fs, NULL, renaming->parent, &renaming->parent_row);
    renaming->new_parent_row = &renaming->parent_row;
    if (!error && renaming->parent != renaming->new_parent) {
        renaming->new_parent_row = &renaming->other_parent_row;
        error = fs_directory_row_read(renaming->fs, NULL, renaming->new_parent, &renaming->other_parent_row);
    }
    return error;
}

/* Neither directory may come to lie below itself. rename_mutex held. */
static int check_ancestors(struct renaming *renaming)
{
    bool is_ancestor = false;
    int error = 0;
    if (is_directory(&renaming->source)) {
        error = fs_is_ancestor(renaming->fs, renaming->source.inode, renaming->new_parent_row, &is_ancestor);
    }
    if (!error && !is_ancestor && is_exchange(renaming) && is_directory(&renaming->target)) {
        error = fs_is_ancestor(renaming->fs, renaming->target.inode, &renaming->parent_row, &is_ancestor);
    }
    if (error) {
        return error;
    }
    return is_ancestor ? -EINVAL : 0;
}

/* What stands in the way of replacing target by source. */
static int check_replace(const struct renaming *renaming)
{
    if (renaming->target.inode == 0 || is_exchange(renaming)) {
        return 0;
    }
    if (is_directory(&renaming->source) && !is_directory(&renaming->target)) {
        return -ENOTDIR;
    }
    if (!is_directory(&renaming->source) && is_directory(&renaming->target)) {
        return -EISDIR;
    }
    return is_directory(&renaming->target) && renaming->target_row.attributes.size > 0 ? -ENOTEMPTY : 0;
}

static int check_flags(const struct renaming *renaming)
{
    int error = fs_flags_check_remove(&renaming->parent_row.attributes, &renaming->source_row.attributes);
    if (error) {
        return error;
    }
    return renaming->target.inode == 0
               ? fs_flags_check_add(&renaming->new_parent_row->attributes)
               : fs_flags_check_remove(&renaming->new_parent_row->attributes, &renaming->target_row.attributes);
}

/* Reads and checks everything. *ret_nothing: both names lead to one inode, so there is nothing to do. */
static int prepare(struct renaming *renaming, bool *ret_nothing)
{
    int error = read_parents(renaming);
    if (error) {
        return error;
    }
    bool has_target = renaming->target.inode != 0;
    if (renaming->source.inode == 0 || (is_exchange(renaming) && !has_target)) {
        return -ENOENT;
    }
    if ((renaming->flags & RENAME_NOREPLACE) && has_target) {
        return -EEXIST;
    }
    *ret_nothing = renaming->source.inode == renaming->target.inode;
    if (*ret_nothing) {
        return 0;
    }
    if (moves_directory(renaming)) {
        error = check_ancestors(renaming);
    }
    if (!error) {
        error =
            fs_child_row_read(renaming->fs, NULL, renaming->source.inode, renaming->source.type, &renaming->source_row);
    }
    if (!error && has_target) {
        error =
            fs_child_row_read(renaming->fs, NULL, renaming->target.inode, renaming->target.type, &renaming->target_row);
    }
    if (!error) {
        error = check_flags(renaming);
    }
    return error ? error : check_replace(renaming);
}

/* The rows as they will be. */
static int change_rows(struct renaming *renaming)
{
    bool exchange = is_exchange(renaming), has_target = renaming->target.inode != 0;
    int source_directories = is_directory(&renaming->source), target_directories = is_directory(&renaming->target);
    struct fs_attributes *target = &renaming->target_row.attributes;

    /* What leaves the new parent, and whether it comes to the old one. */
    int entries_lost = has_target, entries_back = exchange || renaming->whiteout_owner;
    int directories_back = exchange ? target_directories : 0;
    int error;
    if (renaming->new_parent_row == &renaming->parent_row) {
        error = fs_directory_row_add(&renaming->parent_row, entries_back - entries_lost,
                                     directories_back - target_directories, renaming->now);
    } else {
        error = fs_directory_row_add(renaming->new_parent_row, 1 - entries_lost,
                                     source_directories - target_directories, renaming->now);
        if (!error) {
            error = fs_directory_row_add(&renaming->parent_row, entries_back - 1, directories_back - source_directories,
                                         renaming->now);
        }
    }
    if (error) {
        return error;
    }

    renaming->source_row.attributes.change_time = renaming->now;
    if (source_directories) {
        renaming->source_row.parent = renaming->new_parent;
    }
    if (has_target) {
        target->change_time = renaming->now;
    }
    if (has_target && !exchange) {
        target->link_count = target_directories ? 0 : target->link_count - 1;
    } else if (exchange && target_directories) {
        renaming->target_row.parent = renaming->parent;
    }
    return 0;
}

static void fill_whiteout(struct renaming *renaming)
{
    renaming->whiteout_row.attributes = (struct fs_attributes){
        .inode = fs_number_take(renaming->fs, &renaming->raise),
        .access_time = renaming->now,
        .modification_time = renaming->now,
        .change_time = renaming->now,
        .birth_time = renaming->now,
        .mode = S_IFCHR,
        .link_count = 1,
        .uid = renaming->whiteout_owner->uid,
        .gid = renaming->whiteout_owner->gid,
    };
}

static int write_whiteout(struct renaming *renaming, struct txn *txn)
{
    struct fs *fs = renaming->fs;
    uint64_t inode = renaming->whiteout_row.attributes.inode;
    struct fs_entry_row entry = {.inode = inode, .type = S_IFCHR};
    int error = renaming->raise ? fs_number_raise(fs, txn, inode) : 0;
    if (!error) {
        error = fs_inode_row_write(fs, txn, inode, &renaming->whiteout_row, true, NULL);
    }
    if (!error) {
        error = fs_entry_put(fs, txn, renaming->parent, renaming->name, renaming->name_size, &entry);
    }
    return error;
}

static int write_entries(struct renaming *renaming, struct txn *txn)
{
    struct fs *fs = renaming->fs;
    int error;
    if (is_exchange(renaming)) {
        error = fs_entry_put(fs, txn, renaming->parent, renaming->name, renaming->name_size, &renaming->target);
    } else if (renaming->whiteout_owner) {
        error = write_whiteout(renaming, txn);
    } else {
        error = fs_entry_delete(fs, txn, renaming->parent, renaming->name, renaming->name_size);
    }
    if (!error) {
        error =
            fs_entry_put(fs, txn, renaming->new_parent, renaming->new_name, renaming->new_name_size, &renaming->source);
    }
    return error;
}

static int write_inodes(struct renaming *renaming, struct txn *txn, bool target_is_orphan)
{
    struct fs *fs = renaming->fs;
    bool two_parents = renaming->parent != renaming->new_parent, has_target = renaming->target.inode != 0;
    int error = fs_inode_row_write(fs, txn, renaming->source.inode, &renaming->source_row, false, NULL);
    if (!error) {
        error = fs_inode_row_write(fs, txn, renaming->parent, &renaming->parent_row, false, NULL);
    }
    if (!error && two_parents) {
        error = fs_inode_row_write(fs, txn, renaming->new_parent, renaming->new_parent_row, false, NULL);
    }
    if (!error && has_target) {
        error = fs_inode_row_write(fs, txn, renaming->target.inode, &renaming->target_row, false, NULL);
    }
    if (!error && target_is_orphan) {
        error = fs_orphan_row_insert(fs, txn, renaming->target.inode);
    }
    return error;
}

/* All inodes locked exclusively, both names as read. */
static int rename_locked(struct renaming *renaming, const struct fs_lock_set *set)
{
    struct txn *txn;
    bool nothing;
    int error = prepare(renaming, &nothing);
    if (error || nothing) {
        return error;
    }
    renaming->now = base_clock_now();
    error = change_rows(renaming);
    if (error) {
        return error;
    }

    bool two_parents = renaming->parent != renaming->new_parent, has_target = renaming->target.inode != 0;
    bool target_is_orphan = has_target && renaming->target_row.attributes.link_count == 0;
    uint32_t row_changes = 4U + two_parents + has_target + target_is_orphan;
    if (renaming->whiteout_owner) {
        fill_whiteout(renaming);
        row_changes += 1U + renaming->raise;
    }
    error = fs_row_changes_begin(renaming->fs, row_changes, 0, false, &txn);
    if (error) {
        return error;
    }
    error = write_entries(renaming, txn);
    if (!error) {
        error = write_inodes(renaming, txn, target_is_orphan);
    }
    if (!error && renaming->raise) {
        fs_number_raised(renaming->fs, renaming->whiteout_row.attributes.inode);
    }
    error = fs_row_changes_end(txn, error);
    if (!error && target_is_orphan) {
        fs_inode_mark_orphan(renaming->fs, fs_lock_set_find(set, renaming->target.inode));
    }
    return error;
}

/* -EAGAIN: a name leads elsewhere by now. */
static int rename_if_unchanged(struct renaming *renaming)
{
    struct fs *fs = renaming->fs;
    struct fs_lock_set set;
    struct fs_entry_row source, target;
    uint64_t numbers[FS_LOCK_SET_MAX] = {renaming->parent, renaming->new_parent, renaming->source.inode,
                                         renaming->target.inode};
    bool with_mutex = moves_directory(renaming);
    if (with_mutex) {
        base_mutex_lock(&fs->rename_mutex);
    }
    int error = fs_lock_set_lock(fs, numbers, FS_LOCK_SET_MAX, &set);
    if (error) {
        if (with_mutex) {
            base_mutex_unlock(&fs->rename_mutex);
        }
        return error;
    }
    error = read_names(renaming, &source, &target);
    if (!error && (source.inode != renaming->source.inode || target.inode != renaming->target.inode)) {
        error = -EAGAIN;
    }
    if (!error) {
        error = rename_locked(renaming, &set);
    }
    if (with_mutex) {
        base_mutex_unlock(&fs->rename_mutex);
    }
    fs_lock_set_unlock(fs, &set);
    return error;
}

static int rename_names(struct renaming *renaming)
{
    int error = fs_name_check(renaming->name, &renaming->name_size);
    if (!error) {
        error = fs_name_check(renaming->new_name, &renaming->new_name_size);
    }
    if (error) {
        return error;
    }
    do {
        error = read_names(renaming, &renaming->source, &renaming->target);
        if (!error) {
            error = rename_if_unchanged(renaming);
        }
    } while (error == -EAGAIN);
    return error;
}

int fs_rename(struct fs *fs, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
              unsigned flags)
{
    struct renaming renaming = {
        .fs = fs, .parent = parent, .new_parent = new_parent, .name = name, .new_name = new_name, .flags = flags};
    bool is_known = flags == 0 || flags == RENAME_NOREPLACE || flags == RENAME_EXCHANGE;
    return is_known ? rename_names(&renaming) : -EINVAL;
}

int fs_rename_leaving_whiteout(struct fs *fs, const struct fs_caller *caller, uint64_t parent, const char *name,
                               uint64_t new_parent, const char *new_name, unsigned flags)
{
    struct renaming renaming = {.fs = fs,
                                .parent = parent,
                                .new_parent = new_parent,
                                .name = name,
                                .new_name = new_name,
                                .flags = flags,
                                .whiteout_owner = caller};
    return flags == 0 || flags == RENAME_NOREPLACE ? rename_names(&renaming) : -EINVAL;
}
