/* The check of shared contents (table S): the rows before table C is read, then every block that a chunk names against
 * them, and at the end whether each has as many owners as its row says. */
#include "check.h"
#include "share.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* Neighbouring blocks come neighbouring, since rows do. */
static int add_share(struct checker *checker, uint64_t block, uint32_t owners)
{
    if (checker->share_count == checker->share_capacity) {
        size_t capacity = checker->share_capacity == 0 ? 256 : checker->share_capacity * 2;
        struct check_share *shares = realloc(checker->shares, capacity * sizeof *shares);

        if (shares == NULL) {
            return -ENOMEM;
        }
        checker->shares = shares;
        checker->share_capacity = capacity;
    }
    checker->shares[checker->share_count++] = (struct check_share){.block = block, .owners = owners};
    return 0;
}

static int check_share_row(struct checker *checker, struct btree_slice key, struct btree_slice value, void *context)
{
    struct fs_share_group group;
    struct base_reason reason;

    (void)context;
    if (fs_share_decode(key, value, &group, &reason) < 0) {
        check_problem(checker, "table S: %s", reason.text);
        checker->shares_incomplete = true;
        return 0;
    }
    for (uint32_t i = 0; i < FS_SHARE_GROUP_BLOCKS; i++) {
        int ret = 0;

        if (group.owners[i] == 0) {
            continue;
        }
        if (!store_content_is_valid(checker->fs->store, (struct store_run){group.first + i, 1})) {
            check_problem(checker, "table S: block %" PRIu64 " is no contents", group.first + i);
            continue;
        }
        ret = add_share(checker, group.first + i, group.owners[i]);
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

int check_shares(struct checker *checker)
{
    int ret = check_table(checker, 'S', check_share_row, NULL);

    if (ret == 0 && checker->share_count > 0 && !store_has_feature(checker->fs->store, STORE_FEATURE_SHARED_CONTENTS)) {
        check_problem(checker, "table S has rows, but the superblock does not say that contents are shared");
    }
    return ret;
}

static int compare_share(const void *key, const void *element)
{
    uint64_t block = *(const uint64_t *)key;
    const struct check_share *share = element;

    return block < share->block ? -1 : block > share->block;
}

bool check_shares_note(struct checker *checker, uint64_t inode, uint64_t block, bool is_marked)
{
    struct check_share *share = NULL;

    if (checker->share_count > 0) {
        share = bsearch(&block, checker->shares, checker->share_count, sizeof *checker->shares, compare_share);
    }
    if (share == NULL) {
        return false;
    }
    if (!is_marked) {
        check_problem(checker, "inode %" PRIu64 ": block %" PRIu64 " is shared, but not marked so", inode, block);
    }
    share->seen++;
    return true;
}

void check_shares_end(struct checker *checker)
{
    for (size_t i = 0; i < checker->share_count; i++) {
        const struct check_share *share = &checker->shares[i];

        if (share->seen != share->owners) {
            check_problem(checker, "block %" PRIu64 " should be shared by %" PRIu32 " places, %" PRIu32 " name it",
                          share->block, share->owners, share->seen);
        }
    }
}
