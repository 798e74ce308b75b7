/* Counters and state, for those who look inside. */
#include "names.h"

uint32_t fs_get_page_size(struct fs *fs)
{
    return store_get_page_size(fs->store);
}

void fs_shut_down(struct fs *fs)
{
    store_fail(fs->store, "it was shut down by an ioctl");
}

int fs_get_failure(struct fs *fs, struct base_reason *ret_reason)
{
    return store_get_failure(fs->store, ret_reason);
}

void fs_get_statistics(struct fs *fs, struct fs_statistics *ret_statistics)
{
    struct base_reason reason;
    struct fs_statistics statistics = {.inode_bytes = fs_inode_bytes(),
                                       .page_size = fs_get_page_size(fs),
                                       .read_only = fs->read_only || fs_get_failure(fs, &reason) != 0};
    store_get_statistics(fs->store, &statistics.store);
    pool_get_statistics(fs->pool, &statistics.pool);
    txn_get_statistics(fs->engine, &statistics.txn);
    btree_get_statistics(fs->tree, &statistics.btree);
    store_get_recovery(fs->store, &statistics.recovery);
    fs_inode_table_count(fs, &statistics.inodes_in_use, &statistics.lookups);
    statistics.orphans = fs_reclaimer_get_orphans(fs->reclaimer);
    store_get_label(fs->store, statistics.label);
    *ret_statistics = statistics;
}
