/* Access times: what reading does to them. By the rule that kernels call relatime a read changes the access time only
 * where it is not later than the last change, or a day old; so most reads stay reads. It is a change like any other,
 * logged and in its place among the others, but a failure of it is nobody's business, and nothing waits for it to be
 * durable. */
#include "base/clock.h"
#include "names.h"

#include <sys/stat.h>

enum { OLD_S = 24 * 60 * 60 };

void fs_set_access_times(struct fs *fs, enum fs_access_times access_times, bool directory_access_times_kept)
{
    atomic_store(&fs->access_times, access_times);
    atomic_store(&fs->directory_access_times_kept, directory_access_times_kept);
}

static bool is_later(struct timespec left, struct timespec right)
{
    return left.tv_sec > right.tv_sec || (left.tv_sec == right.tv_sec && left.tv_nsec > right.tv_nsec);
}

static bool is_due(const struct fs *fs, const struct fs_attributes *attributes, struct timespec now)
{
    if (atomic_load(&fs->access_times) == FS_ACCESS_TIMES_EXACT) {
        return true;
    }
    return !is_later(attributes->access_time, attributes->modification_time) ||
           !is_later(attributes->access_time, attributes->change_time) ||
           now.tv_sec - OLD_S >= attributes->access_time.tv_sec;
}

bool fs_access_time_is_due(const struct fs *fs, const struct fs_attributes *attributes)
{
    if (fs->read_only || atomic_load(&fs->access_times) == FS_ACCESS_TIMES_KEPT ||
        (attributes->flags & FS_FLAG_NO_ACCESS_TIME) ||
        (atomic_load(&fs->directory_access_times_kept) && S_ISDIR(attributes->mode))) {
        return false;
    }
    return is_due(fs, attributes, base_clock_now());
}

void fs_access_time_update(struct fs *fs, struct fs_inode *inode)
{
    struct fs_inode_row row;
    struct txn *txn;
    base_latch_lock_exclusive(&inode->latch);
    int error = fs_inode_row_read(fs, NULL, inode->number, &row);
    /* Another reader may have been here. */
    if (!error && fs_access_time_is_due(fs, &row.attributes)) {
        row.attributes.access_time = base_clock_now();
        error = fs_row_changes_begin(fs, 1, 0, true, &txn);
        if (!error) {
            (void)fs_row_changes_end(txn, fs_inode_row_write(fs, txn, inode->number, &row, false, NULL));
        }
    }
    base_latch_unlock_exclusive(&inode->latch);
}
