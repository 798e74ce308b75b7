/* The table of inodes in use: one object per inode that the kernel knows or an operation is using.
 *
 * A hash of fixed shards, each with its own mutex and an array of slots, open addressing, at most half full.
 * Neighbouring numbers share a cache line of slots, since what is made or listed together has neighbouring numbers. An
 * object lives while lookup_count or references is not 0. When both reach 0 it leaves the table: an orphan's object
 * goes on to the reclaimer, any other is freed.
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
#include <string.h>

enum { SHARD_BITS = 6, SHARD_COUNT = 1 << SHARD_BITS, CACHE_LINE_SIZE = 64, MALLOC_OVERHEAD = 16 };

/* The number stands here too, so that looking for one touches no object but its own. */
struct slot {
    uint64_t number;
    struct fs_inode *inode; /* NULL: free */
};

enum { GROUP_BITS = 2, SLOTS_MIN = 16, SLOTS_PER_INODE_MAX = 4 };

_Static_assert(sizeof(struct slot) << GROUP_BITS == CACHE_LINE_SIZE, "a group of numbers");
_Static_assert(sizeof(struct fs_inode) + MALLOC_OVERHEAD + SLOTS_PER_INODE_MAX * sizeof(struct slot) <= 256,
               "memory of one inode in use");

struct shard {
    struct base_mutex mutex;
    struct slot *slots;
    size_t slot_count; /* a power of two */
    size_t inode_count;
    uint64_t lookups; /* sum of the lookup counts */
} __attribute__((aligned(CACHE_LINE_SIZE)));

struct fs_inode_table {
    struct shard shards[SHARD_COUNT];
};

/* On a cache line, zeroed. */
static struct slot *slots_allocate(size_t count)
{
    struct slot *slots = aligned_alloc(CACHE_LINE_SIZE, count * sizeof *slots);
    if (slots) {
        memset(slots, 0, count * sizeof *slots);
    }
    return slots;
}

int fs_inode_table_create(struct fs_inode_table **ret_table)
{
    struct fs_inode_table *table = aligned_alloc(CACHE_LINE_SIZE, sizeof *table);
    if (!table) {
        return -ENOMEM;
    }
    for (int i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &table->shards[i];
        *shard = (struct shard){.slot_count = SLOTS_MIN, .slots = slots_allocate(SLOTS_MIN)};
        base_mutex_init(&shard->mutex, BASE_RANK_FS_TABLE);
    }
    for (int i = 0; i < SHARD_COUNT; i++) {
        if (!table->shards[i].slots) {
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
        for (size_t index = 0; shard->slots && index < shard->slot_count; index++) {
            if (shard->slots[index].inode) {
                object_free(shard->slots[index].inode);
            }
        }
        free(shard->slots);
        base_mutex_deinit(&shard->mutex);
    }
    free(table);
}

/* Of a number's group. */
static uint64_t hash_of(uint64_t number)
{
    uint64_t hash = (number >> GROUP_BITS) * 0x9E3779B97F4A7C15U;
    return hash ^ (hash >> 32);
}

static struct shard *shard_of(struct fs *fs, uint64_t number)
{
    return &fs->inodes->shards[hash_of(number) & (SHARD_COUNT - 1)];
}

/* Where looking for a number begins. */
static size_t home_of(const struct shard *shard, uint64_t number)
{
    uint64_t group = (hash_of(number) >> SHARD_BITS) << GROUP_BITS, place = number & ((1U << GROUP_BITS) - 1);
    return (size_t)(group | place) & (shard->slot_count - 1);
}

static size_t slot_after(const struct shard *shard, size_t index)
{
    return (index + 1) & (shard->slot_count - 1);
}

/* The number's slot, or the free one where it would be. */
static size_t find_slot_locked(const struct shard *shard, uint64_t number)
{
    size_t index = home_of(shard, number);
    while (shard->slots[index].inode && shard->slots[index].number != number) {
        index = slot_after(shard, index);
    }
    return index;
}

static struct fs_inode *find_locked(const struct shard *shard, uint64_t number)
{
    return shard->slots[find_slot_locked(shard, number)].inode;
}

static bool grow_locked(struct shard *shard)
{
    struct slot *old = shard->slots;
    size_t old_count = shard->slot_count;
    struct slot *slots = slots_allocate(2 * old_count);
    if (!slots) {
        return false;
    }
    shard->slots = slots;
    shard->slot_count = 2 * old_count;
    for (size_t index = 0; index < old_count; index++) {
        if (old[index].inode) {
            slots[find_slot_locked(shard, old[index].number)] = old[index];
        }
    }
    free(old);
    return true;
}

static struct fs_inode *find_or_make_locked(struct shard *shard, uint64_t number)
{
    struct fs_inode *inode = find_locked(shard, number);
    if (inode) {
        return inode;
    }
    if (2 * (shard->inode_count + 1) > shard->slot_count && !grow_locked(shard)) {
        return NULL;
    }
    inode = malloc(sizeof *inode);
    if (!inode) {
        return NULL;
    }
    *inode = (struct fs_inode){.number = number};
    base_latch_init(&inode->latch, BASE_RANK_FS_INODE);
    shard->slots[find_slot_locked(shard, number)] = (struct slot){number, inode};
    shard->inode_count++;
    return inode;
}

/* Frees a slot and moves up what stands behind it only because it was taken. */
static void free_slot_locked(struct shard *shard, size_t free_index)
{
    size_t mask = shard->slot_count - 1;
    for (size_t index = slot_after(shard, free_index); shard->slots[index].inode; index = slot_after(shard, index)) {
        size_t home = home_of(shard, shard->slots[index].number);
        if (((index - home) & mask) >= ((index - free_index) & mask)) {
            shard->slots[free_index] = shard->slots[index];
            free_index = index;
        }
    }
    shard->slots[free_index].inode = NULL;
}

/* Takes the object out of the table when nobody uses it any more; returns it then. */
static struct fs_inode *remove_unused_locked(struct shard *shard, struct fs_inode *inode)
{
    if (inode->references > 0 || inode->lookup_count > 0) {
        return NULL;
    }
    free_slot_locked(shard, find_slot_locked(shard, inode->number));
    shard->inode_count--;
    return inode;
}

/* What becomes of an object that has left the table. */
static void end_object(struct fs *fs, struct fs_inode *inode)
{
    if (inode && inode->orphan) {
        fs_reclaimer_add(fs->reclaimer, inode);
    } else if (inode) {
        object_free(inode);
    }
}

int fs_inode_acquire(struct fs *fs, uint64_t number, struct fs_inode **ret_inode)
{
    struct shard *shard = shard_of(fs, number);
    base_mutex_lock(&shard->mutex);
    struct fs_inode *inode = find_or_make_locked(shard, number);
    if (inode) {
        inode->references++;
    }
    base_mutex_unlock(&shard->mutex);
    if (!inode) {
        return -ENOMEM;
    }
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
        if (count > inode->lookup_count) {
            count = inode->lookup_count;
        }
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
    if (is_new) {
        fs_reclaimer_expect(fs->reclaimer);
    }
}

bool fs_inode_mark_orphan_in_use(struct fs *fs, uint64_t number)
{
    struct shard *shard = shard_of(fs, number);
    base_mutex_lock(&shard->mutex);
    struct fs_inode *inode = find_locked(shard, number);
    if (inode) {
        inode->references++;
    }
    base_mutex_unlock(&shard->mutex);
    if (!inode) {
        return false;
    }
    fs_inode_mark_orphan(fs, inode);
    fs_inode_release(fs, inode);
    return true;
}

void fs_inode_unmark_orphan(struct fs *fs, struct fs_inode *inode)
{
    struct shard *shard = shard_of(fs, inode->number);
    base_mutex_lock(&shard->mutex);
    bool was_orphan = inode->orphan;
    inode->orphan = false;
    base_mutex_unlock(&shard->mutex);
    if (was_orphan) {
        fs_reclaimer_expect_no_more(fs->reclaimer);
    }
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
    return sizeof(struct fs_inode) + MALLOC_OVERHEAD + SLOTS_PER_INODE_MAX * sizeof(struct slot);
}
