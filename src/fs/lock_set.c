/* Lock sets: the inodes of one change, locked exclusively in ascending number, which is the one order everybody keeps.
 */
#include "base/assert.h"
#include "names.h"

static void insert_sorted(uint64_t *sorted, unsigned *count, uint64_t number)
{
    unsigned place = 0;
    while (place < *count && sorted[place] < number) {
        place++;
    }
    if (number == 0 || (place < *count && sorted[place] == number)) {
        return;
    }
    for (unsigned i = *count; i > place; i--) {
        sorted[i] = sorted[i - 1];
    }
    sorted[place] = number;
    (*count)++;
}

int fs_lock_set_lock(struct fs *fs, const uint64_t *numbers, unsigned count, struct fs_lock_set *ret_set)
{
    uint64_t sorted[FS_LOCK_SET_MAX];
    struct fs_lock_set set = {.count = 0};
    unsigned sorted_count = 0;
    BASE_ASSERT(count <= FS_LOCK_SET_MAX);
    for (unsigned i = 0; i < count; i++) {
        insert_sorted(sorted, &sorted_count, numbers[i]);
    }

    for (; set.count < sorted_count; set.count++) {
        int error = fs_inode_acquire(fs, sorted[set.count], &set.inodes[set.count]);
        if (error) {
            while (set.count > 0) {
                fs_inode_release(fs, set.inodes[--set.count]);
            }
            return error;
        }
    }
    for (unsigned i = 0; i < set.count; i++) {
        base_latch_lock_exclusive(&set.inodes[i]->latch);
    }
    *ret_set = set;
    return 0;
}

void fs_lock_set_unlock(struct fs *fs, struct fs_lock_set *set)
{
    /* All latches first: a release may reclaim. */
    for (unsigned i = set->count; i > 0; i--) {
        base_latch_unlock_exclusive(&set->inodes[i - 1]->latch);
    }
    for (unsigned i = 0; i < set->count; i++) {
        fs_inode_release(fs, set->inodes[i]);
    }
    set->count = 0;
}

struct fs_inode *fs_lock_set_find(const struct fs_lock_set *set, uint64_t number)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->inodes[i]->number == number) {
            return set->inodes[i];
        }
    }
    return NULL;
}
