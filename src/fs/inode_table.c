/* The table of inodes in use: one object per inode that the kernel knows or an operation is using.
 *
 * A hash of fixed shards, each with its own mutex and an array of buckets that doubles as it fills; a failed doubling
 * only makes chains longer. An object lives while lookup_count or references is not 0. When both reach 0 it leaves the
 * table: an orphan's object goes on to the reclaimer, any other is freed.
 *
 *      absent --acquire, add_lookup--> in use --last release or forget--> absent
 *                                        \--(orphan)--> the reclaimer's queue --> absent
 *
 * Locks: a shard's mutex (BASE_RANK_FS_TABLE) covers its chains, lookup_count, references and orphan; it is never held
 * together with another of that rank. The latch in the object is the inode lock, taken outside. */
#include "base/assert.h"
#include "names.h"

#include <errno.h>
#include <stdlib.h>

enum { SHARD_BITS = 6, SHARD_COUNT = 1 << SHARD_BITS, BUCKETS_MIN = 16, CACHE_LINE_SIZE = 64, MALLOC_OVERHEAD = 16 };

_Static_assert(sizeof(struct fs_inode) + MALLOC_OVERHEAD + 2 * sizeof(void *) <= 256, "memory of one inode in use");

struct shard {
    struct base_mutex mutex;
    struct fs_inode **buckets;
    size_t bucket_count; /* a power of two */
    size_t inode_count;
    uint64_t lookups; /* sum of the lookup counts */
} __attribute__((aligned(CACHE_LINE_SIZE)));

struct fs_inode_table {
    struct shard shards[SHARD_COUNT];
};

int fs_inode_table_create(struct fs_inode_table **ret_table)
{
    struct fs_inode_table *table = aligned_alloc(CACHE_LINE_SIZE, sizeof *table);
    if (!table)
        return -ENOMEM;
    for (int i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &table->shards[i];
        *shard = (struct shard){.bucket_count = BUCKETS_MIN, .buckets = calloc(BUCKETS_MIN, sizeof(struct fs_inode *))};
        base_mutex_init(&shard->mutex, BASE_RANK_FS_TABLE);
    }
    for (int i = 0; i < SHARD_COUNT; i++) {
        if (!table->shards[i].buckets) {
            fs_inode_table_destroy(table);
            return -ENOMEM;
        }
    }
    *ret_table = table;
    return 0;
}

static void object_free(struct fs_inode *inode)
{
    base_latch_deinit(&inode->latch);
    free(inode);
}

void fs_inode_table_destroy(struct fs_inode_table *table)
{
    for (int i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &table->shards[i];
        for (size_t bucket = 0; shard->buckets && bucket < shard->bucket_count; bucket++) {
            for (struct fs_inode *inode = shard->buckets[bucket], *next; inode; inode = next) {
                next = inode->next;
                object_free(inode);
            }
        }
        free(shard->buckets);
        base_mutex_deinit(&shard->mutex);
    }
    free(table);
}

static uint64_t hash_of(uint64_t number)
{
    uint64_t hash = number * 0x9E3779B97F4A7C15U;
    return hash ^ (hash >> 32);
}

static struct shard *shard_of(struct fs *fs, uint64_t number)
{
    return &fs->inodes->shards[hash_of(number) & (SHARD_COUNT - 1)];
}

static struct fs_inode **bucket_of(struct shard *shard, uint64_t number)
{
    return &shard->buckets[(hash_of(number) >> SHARD_BITS) & (shard->bucket_count - 1)];
}

static struct fs_inode *find_locked(struct shard *shard, uint64_t number)
{
    struct fs_inode *inode = *bucket_of(shard, number);
    while (inode && inode->number != number)
        inode = inode->next;
    return inode;
}

static void grow_locked(struct shard *shard)
{
    struct fs_inode **old = shard->buckets;
    size_t old_count = shard->bucket_count;
    struct fs_inode **buckets = calloc(2 * old_count, sizeof *buckets);
    if (!buckets)
        return;
    shard->buckets = buckets;
    shard->bucket_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        for (struct fs_inode *inode = old[i], *next; inode; inode = next) {
            next = inode->next;
            struct fs_inode **bucket = bucket_of(shard, inode->number);
            inode->next = *bucket;
            *bucket = inode;
        }
    }
    free(old);
}

static struct fs_inode *find_or_make_locked(struct shard *shard, uint64_t number)
{
    struct fs_inode *inode = find_locked(shard, number);
    if (inode)
        return inode;
    inode = malloc(sizeof *inode);
    if (!inode)
        return NULL;
    if (shard->inode_count >= shard->bucket_count)
        grow_locked(shard);
    struct fs_inode **bucket = bucket_of(shard, number);
    *inode = (struct fs_inode){.number = number, .next = *bucket};
    base_latch_init(&inode->latch, BASE_RANK_FS_INODE);
    *bucket = inode;
    shard->inode_count++;
    return inode;
}

/* Takes the object out of the table when nobody uses it any more; returns it then. */
static struct fs_inode *remove_unused_locked(struct shard *shard, struct fs_inode *inode)
{
    if (inode->references > 0 || inode->lookup_count > 0)
        return NULL;
    struct fs_inode **link = bucket_of(shard, inode->number);
    while (*link != inode)
        link = &(*link)->next;
    *link = inode->next;
    shard->inode_count--;
    return inode;
}

/* What becomes of an object that has left the table. */
static void end_object(struct fs *fs, struct fs_inode *inode)
{
    if (inode && inode->orphan)
        fs_reclaimer_add(fs->reclaimer, inode);
    else if (inode)
        object_free(inode);
}

int fs_inode_acquire(struct fs *fs, uint64_t number, struct fs_inode **ret_inode)
{
    struct shard *shard = shard_of(fs, number);
    base_mutex_lock(&shard->mutex);
    struct fs_inode *inode = find_or_make_locked(shard, number);
    if (inode)
        inode->references++;
    base_mutex_unlock(&shard->mutex);
    if (!inode)
        return -ENOMEM;
    *ret_inode = inode;
    return 0;
}

void fs_inode_release(struct fs *fs, struct fs_inode *inode)
{
    struct shard *shard = shard_of(fs, inode->number);
    base_mutex_lock(&shard->mutex);
    BASE_ASSERT(inode->references > 0);
    inode->references--;
    inode = remove_unused_locked(shard, inode);
    base_mutex_unlock(&shard->mutex);
    end_object(fs, inode);
}

int fs_inode_add_lookup(struct fs *fs, uint64_t number)
{
    struct shard *shard = shard_of(fs, number);
    base_mutex_lock(&shard->mutex);
    struct fs_inode *inode = find_or_make_locked(shard, number);
    if (inode) {
        inode->lookup_count++;
        shard->lookups++;
    }
    base_mutex_unlock(&shard->mutex);
    return inode ? 0 : -ENOMEM;
}

void fs_inode_reference_to_lookup(struct fs *fs, struct fs_inode *inode)
{
    struct shard *shard = shard_of(fs, inode->number);
    base_mutex_lock(&shard->mutex);
    BASE_ASSERT(inode->references > 0);
    inode->references--;
    inode->lookup_count++;
    shard->lookups++;
    base_mutex_unlock(&shard->mutex);
}

void fs_forget(struct fs *fs, uint64_t number, uint64_t count)
{
    struct shard *shard = shard_of(fs, number);
    base_mutex_lock(&shard->mutex);
    struct fs_inode *inode = find_locked(shard, number);
    if (inode) {
        /* The count comes from the kernel: believed only as far as it can be true. */
        if (count > inode->lookup_count)
            count = inode->lookup_count;
        inode->lookup_count -= count;
        shard->lookups -= count;
        inode = remove_unused_locked(shard, inode);
    }
    base_mutex_unlock(&shard->mutex);
    end_object(fs, inode);
}

void fs_inode_mark_orphan(struct fs *fs, struct fs_inode *inode)
{
    struct shard *shard = shard_of(fs, inode->number);
    base_mutex_lock(&shard->mutex);
    bool is_new = !inode->orphan;
    inode->orphan = true;
    base_mutex_unlock(&shard->mutex);
    if (is_new)
        fs_reclaimer_expect(fs->reclaimer);
}

bool fs_inode_mark_orphan_in_use(struct fs *fs, uint64_t number)
{
    struct shard *shard = shard_of(fs, number);
    base_mutex_lock(&shard->mutex);
    struct fs_inode *inode = find_locked(shard, number);
    if (inode)
        inode->references++;
    base_mutex_unlock(&shard->mutex);
    if (!inode)
        return false;
    fs_inode_mark_orphan(fs, inode);
    fs_inode_release(fs, inode);
    return true;
}

void fs_inode_table_count(struct fs *fs, uint64_t *ret_inodes, uint64_t *ret_lookups)
{
    uint64_t inodes = 0, lookups = 0;
    for (int i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &fs->inodes->shards[i];
        base_mutex_lock(&shard->mutex);
        inodes += shard->inode_count;
        lookups += shard->lookups;
        base_mutex_unlock(&shard->mutex);
    }
    *ret_inodes = inodes;
    *ret_lookups = lookups;
}

void fs_get_use(struct fs *fs, uint64_t *ret_inodes, uint64_t *ret_lookups)
{
    fs_inode_table_count(fs, ret_inodes, ret_lookups);
}

uint64_t fs_inode_bytes(void)
{
    return sizeof(struct fs_inode) + MALLOC_OVERHEAD + 2 * sizeof(struct fs_inode *);
}
