/* Separators: what stands in inner nodes need not be a key of the tree, only tell left from right. */
#include "node.h"

struct btree_slice separator_between(struct btree_slice left, struct btree_slice right, uint8_t *buffer)
{
    BASE_ASSERT(key_compare(left, right) < 0);
    /* One byte of right more than what both begin with: greater than left, since right is, and not beyond right. */
    size_t size = key_common_size(left, right) + 1U;
    memcpy(buffer, right.bytes, size);
    return (struct btree_slice){buffer, size};
}
