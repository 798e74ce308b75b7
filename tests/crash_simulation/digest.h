/* Digests of whole trees: names, inode numbers, types, modes, owners, link counts, sizes, times, targets, contents
 * and extended attributes of everything below a directory, the directory's own attributes included. A filesystem and
 * the model of it have equal digests exactly when model_fs_compare finds no difference (but for chance, 2^-128). */
#ifndef BEEFTREE_TESTS_CRASH_DIGEST_H
#define BEEFTREE_TESTS_CRASH_DIGEST_H

#include "support/model_fs.h"

struct digest {
    uint64_t low, high;
};

static inline bool digest_is_equal(struct digest left, struct digest right)
{
    return left.low == right.low && left.high == right.high;
}

/* 0, or negative errno with what could not be read. Leaves lookup counts as they were. */
int digest_fs(struct fs *fs, uint64_t directory, struct digest *ret_digest, struct base_reason *ret_reason);
struct digest digest_model(struct model_fs *model, uint64_t directory);

#endif
