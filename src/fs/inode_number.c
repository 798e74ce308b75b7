/* Inode numbers: handed out from memory, never twice.
 *
 * The superinode row says a number that was never handed out so far, nor any above it. The row is raised by a batch in
 * the transaction of the operation that first passes it; a clean close writes the exact next number; after a crash what
 * was left of the batch is skipped. An operation that fails skips its number. */
#include "names.h"

enum { NUMBER_BATCH = 1024 };

uint64_t fs_number_take(struct fs *fs, bool *ret_raise)
{
    base_mutex_lock(&fs->number_mutex);
    uint64_t number = fs->next_number++;
    *ret_raise = number >= fs->number_limit;
    base_mutex_unlock(&fs->number_mutex);
    return number;
}

int fs_number_raise(struct fs *fs, struct txn *txn, uint64_t number)
{
    /* Another operation may have raised it since; only the writer changes the limit. */
    base_mutex_lock(&fs->number_mutex);
    bool covered = number < fs->number_limit;
    base_mutex_unlock(&fs->number_mutex);
    return covered ? 0 : fs_super_row_write(fs, txn, number + NUMBER_BATCH);
}

void fs_number_raised(struct fs *fs, uint64_t number)
{
    base_mutex_lock(&fs->number_mutex);
    if (number >= fs->number_limit) {
        fs->number_limit = number + NUMBER_BATCH;
    }
    base_mutex_unlock(&fs->number_mutex);
}
