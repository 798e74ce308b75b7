/* How an operation that changes only rows begins and ends its transaction. */
#include "names.h"

#include <errno.h>

int fs_txn_begin(struct fs *fs, const struct txn_need *need, struct txn **ret_txn)
{
    int error = txn_begin(fs->engine, need, ret_txn);
    if (error == -ENOSPC && fs->reclaimer && fs_reclaimer_flush(fs->reclaimer)) {
        error = txn_begin(fs->engine, need, ret_txn);
    }
    return error;
}

int fs_row_changes_begin(struct fs *fs, uint32_t row_changes, uint32_t extra_pages, bool frees_space,
                         struct txn **ret_txn)
{
    struct txn_need need = {.pages = row_changes * btree_pages_per_change(fs->tree) + extra_pages,
                            .frees_space = frees_space};
    struct txn *txn;
    int error = fs_txn_begin(fs, &need, &txn);
    if (error) {
        return error;
    }
    txn_lock(txn);
    *ret_txn = txn;
    return 0;
}

int fs_row_changes_end(struct txn *txn, int error)
{
    if (error) {
        txn_abort(txn);
    } else {
        txn_commit(txn);
    }
    return error;
}
