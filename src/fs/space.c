/* How much room there is, for statfs. */
#include "names.h"

/* The least that a file takes in the tree: its entry, its row, their places in the node. */
enum { BYTES_PER_INODE_MIN = 256, INODES_PER_BLOCK = STORE_BLOCK_SIZE / BYTES_PER_INODE_MIN };

/* Blocks are the store's own account, reserves subtracted. There is no table of inodes that could fill up: how many
 * more fit follows from the space. How many there are is not counted on disk; what is told is the most there can be. */
int fs_get_space(struct fs *fs, struct fs_space *ret_space)
{
    struct store_statistics store;
    store_get_statistics(fs->store, &store);
    base_mutex_lock(&fs->number_mutex);
    uint64_t made = fs->next_number - 1;
    base_mutex_unlock(&fs->number_mutex);
    uint64_t fitting = store.used_blocks * INODES_PER_BLOCK;
    uint64_t inodes_free = store.available_blocks * INODES_PER_BLOCK;
    *ret_space = (struct fs_space){
        .block_size = STORE_BLOCK_SIZE,
        .blocks = store.used_blocks + store.available_blocks,
        .blocks_free = store.available_blocks,
        .blocks_available = store.available_blocks,
        .inodes = inodes_free + (made < fitting ? made : fitting),
        .inodes_free = inodes_free,
    };
    return 0;
}
