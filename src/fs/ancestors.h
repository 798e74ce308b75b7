/* The chain of parents above a directory. */
#ifndef BEEFTREE_FS_ANCESTORS_H
#define BEEFTREE_FS_ANCESTORS_H

#include "internal.h"

/* Whether the inode is directory itself or lies above it. Caller holds what keeps the chain as it is (rename.c).
 * -EUCLEAN when the chain does not lead to the root. */
int fs_is_ancestor(struct fs *fs, uint64_t inode, const struct fs_inode_row *directory, bool *ret_is_ancestor);

#endif
