/* Rows of table S; see share.h. */
#include "share.h"
#include "content.h"

#include "base/bytes.h"
#include "base/tooth.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    RUN_FIRST_OFFSET = 0,
    RUN_COUNT_OFFSET = 1,
    RUN_ZERO_OFFSET = 2,
    RUN_OWNERS_OFFSET = 4,
    RUN_SIZE = 8,
};

_Static_assert(FS_SHARE_GROUP_BLOCKS *RUN_SIZE == FS_SHARE_ROW_SIZE_MAX, "every block may be a run of its own");

int fs_share_decode(struct btree_slice key, struct btree_slice value, struct fs_share_group *ret_group,
                    struct base_reason *ret_reason)
{
    struct fs_share_group group = {.first = 0};
    uint32_t end = 0;

    if (key.size != FS_SHARE_KEY_SIZE || value.size == 0 || value.size > FS_SHARE_ROW_SIZE_MAX ||
        value.size % RUN_SIZE != 0) {
        base_reason_set(ret_reason, "a key of %zu and a value of %zu bytes", key.size, value.size);
        return -EUCLEAN;
    }
    group.first = base_get_be64((const uint8_t *)key.bytes + 1);
    if (group.first % FS_SHARE_GROUP_BLOCKS != 0) {
        base_reason_set(ret_reason, "block %" PRIu64 " begins no group", group.first);
        return -EUCLEAN;
    }
    for (size_t at = 0; at < value.size; at += RUN_SIZE) {
        const uint8_t *run = (const uint8_t *)value.bytes + at;
        uint32_t first = run[RUN_FIRST_OFFSET], count = run[RUN_COUNT_OFFSET];
        uint32_t owners = base_get_le32(run + RUN_OWNERS_OFFSET);

        if (first < end || count == 0 || first + count > FS_SHARE_GROUP_BLOCKS ||
            base_get_le16(run + RUN_ZERO_OFFSET) != 0 || owners < FS_SHARE_OWNERS_AT_LEAST) {
            base_reason_set(ret_reason, "group %" PRIu64 ": an impossible run", group.first);
            return -EUCLEAN;
        }
        end = first + count;
        for (uint32_t i = first; i < end; i++) {
            group.owners[i] = owners;
        }
    }
    *ret_group = group;
    return 0;
}

static size_t encode(const struct fs_share_group *group, uint8_t *value)
{
    size_t size = 0;

    for (uint32_t first = 0, count; first < FS_SHARE_GROUP_BLOCKS; first += count) {
        count = 1;
        while (first + count < FS_SHARE_GROUP_BLOCKS && group->owners[first + count] == group->owners[first]) {
            count++;
        }
        if (group->owners[first] == 0) {
            continue;
        }
        value[size + RUN_FIRST_OFFSET] = (uint8_t)first;
        value[size + RUN_COUNT_OFFSET] = (uint8_t)count;
        base_put_le16(value + size + RUN_ZERO_OFFSET, 0);
        base_put_le32(value + size + RUN_OWNERS_OFFSET, group->owners[first]);
        size += RUN_SIZE;
    }
    return size;
}

uint32_t fs_share_count_groups(const uint64_t *blocks, uint32_t mask)
{
    uint64_t groups[FS_SHARE_GROUPS_MAX + 1];
    uint32_t count = 0;

    for (uint32_t slot = 0; mask >> slot != 0 && count <= FS_SHARE_GROUPS_MAX; slot++) {
        uint64_t group = blocks[slot] / FS_SHARE_GROUP_BLOCKS;
        uint32_t i = 0;

        if ((mask >> slot & 1U) == 0) {
            continue;
        }
        while (i < count && groups[i] != group) {
            i++;
        }
        if (i == count) {
            groups[count++] = group;
        }
        if (slot == FS_CHUNK_BLOCKS - 1) {
            break;
        }
    }
    return count;
}

int fs_share_begin(struct fs *fs)
{
    if (fs->read_only) {
        return -EROFS;
    }
    while (!store_has_feature(fs->store, STORE_FEATURE_SHARED_CONTENTS)) {
        int ret;

        store_want_feature(fs->store, STORE_FEATURE_SHARED_CONTENTS);
        ret = txn_engine_checkpoint(fs->engine);
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

/* --- Changing a group --------------------------------------------------------------------------------------------- */

static int group_read(struct fs *fs, struct txn *txn, uint64_t first, struct fs_share_group *ret_group)
{
    uint8_t key[FS_SHARE_KEY_SIZE], value[FS_SHARE_ROW_SIZE_MAX];
    struct btree_slice key_slice = {key, fs_key_share(key, first)};
    struct base_reason reason;
    size_t size = 0;
    int ret = btree_get(fs->tree, txn, key_slice, value, sizeof value, &size);

    if (ret == -ENOENT) {
        *ret_group = (struct fs_share_group){.first = first};
        return 0;
    }
    if (ret == -ERANGE) {
        ret = -EUCLEAN;
        base_reason_set(&reason, "a value of %zu bytes", size);
    } else if (ret == 0) {
        ret = fs_share_decode(key_slice, (struct btree_slice){value, size}, ret_group, &reason);
    } else {
        return ret;
    }
    if (ret < 0 && fs_content_may_report()) {
        base_message(BASE_MESSAGE_ERROR, "owners of block %" PRIu64 " and its neighbours: %s", first, reason.text);
    }
    return ret;
}

/* The row is there, or gets its first owners. */
static int group_write(struct fs *fs, struct txn *txn, const struct fs_share_group *group)
{
    uint8_t key[FS_SHARE_KEY_SIZE], value[FS_SHARE_ROW_SIZE_MAX];
    struct btree_slice key_slice = {key, fs_key_share(key, group->first)};
    size_t size = encode(group, value);

    return size > 0 ? btree_put(fs->tree, txn, key_slice, (struct btree_slice){value, size})
                    : btree_delete(fs->tree, txn, key_slice);
}

/* What of the run lies in the group of its first block. */
static uint32_t count_in_group(struct store_run run)
{
    uint32_t left = FS_SHARE_GROUP_BLOCKS - (uint32_t)(run.block % FS_SHARE_GROUP_BLOCKS);

    return run.count < left ? run.count : left;
}

static int group_acquire(struct fs *fs, struct txn *txn, struct store_run run)
{
    uint32_t first = (uint32_t)(run.block % FS_SHARE_GROUP_BLOCKS);
    struct fs_share_group group;
    int ret = group_read(fs, txn, run.block - first, &group);

    if (ret != 0) {
        return ret;
    }
    for (uint32_t i = first; i < first + run.count; i++) {
        if (group.owners[i] == UINT32_MAX) {
            return -EMLINK;
        }
        group.owners[i] = group.owners[i] == 0 ? FS_SHARE_OWNERS_AT_LEAST : group.owners[i] + 1;
    }
    return group_write(fs, txn, &group);
}

/* Blocks first <= i < first + count of the group that only their releaser had, neighbours together. */
static int free_unowned(struct txn *txn, const struct fs_share_group *group, uint32_t first, uint32_t count)
{
    uint32_t end = first + count;

    for (uint32_t i = first; i < end;) {
        struct store_run run = {.block = group->first + i};

        while (i < end && group->owners[i] == 0) {
            run.count++;
            i++;
        }
        if (run.count > 0) {
            int ret = txn_content_free(txn, run);

            if (ret < 0) {
                return ret;
            }
        } else {
            i++;
        }
    }
    return 0;
}

static int group_release(struct fs *fs, struct txn *txn, struct store_run run)
{
    uint32_t first = (uint32_t)(run.block % FS_SHARE_GROUP_BLOCKS);
    struct fs_share_group group;
    bool changed = false;
    int ret = group_read(fs, txn, run.block - first, &group);

    if (ret == 0 && BASE_TOOTH(OWNER_FORGOTTEN)) {
        ret = txn_content_free(txn, run);
    } else if (ret == 0) {
        ret = free_unowned(txn, &group, first, run.count);
    }
    if (ret != 0) {
        return ret;
    }
    for (uint32_t i = first; i < first + run.count; i++) {
        changed = changed || group.owners[i] != 0;
        if (group.owners[i] == FS_SHARE_OWNERS_AT_LEAST) {
            group.owners[i] = 0; /* the last owner is not named */
        } else if (group.owners[i] > 0) {
            group.owners[i]--;
        }
    }
    return changed ? group_write(fs, txn, &group) : 0;
}

static int for_each_group(struct fs *fs, struct txn *txn, struct store_run run,
                          int (*change)(struct fs *fs, struct txn *txn, struct store_run run))
{
    while (run.count > 0) {
        uint32_t count = count_in_group(run);
        int ret = change(fs, txn, (struct store_run){run.block, count});

        if (ret < 0) {
            return ret;
        }
        run.block += count;
        run.count -= count;
    }
    return 0;
}

int fs_share_acquire(struct fs *fs, struct txn *txn, struct store_run run)
{
    return for_each_group(fs, txn, run, group_acquire);
}

int fs_share_release(struct fs *fs, struct txn *txn, struct store_run run)
{
    return for_each_group(fs, txn, run, group_release);
}
