/* A change of chunks: which blocks of a file get new bytes, become holes, or are reserved without bytes, from reading
 * the old rows to the new rows in the tree. New bytes always go to fresh blocks, before the writer lock is taken; only
 * then rows change and the blocks replaced are freed. So the change is whole or absent, and the old state is never
 * touched. */
#include "content.h"
#include "share.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int fs_change_create(struct fs *fs, uint64_t inode, bool has_chunks, uint32_t capacity, struct fs_change **ret_change)
{
    struct fs_change *change = malloc(sizeof *change + capacity * sizeof change->chunks[0]);

    if (change == NULL) {
        return -ENOMEM;
    }
    change->fs = fs;
    change->inode = inode;
    change->has_chunks = has_chunks;
    change->goal = 0;
    change->written = 0;
    change->reserved = 0;
    change->takes_space = false;
    change->was_reserved = false;
    change->capacity = capacity;
    change->count = 0;
    change->edges_used = 0;
    *ret_change = change;
    return 0;
}

void fs_change_destroy(struct fs_change *change)
{
    free(change);
}

uint8_t *fs_change_edge(struct fs_change *change)
{
    BASE_ASSERT(change->edges_used < sizeof change->edges / sizeof change->edges[0]);
    return change->edges[change->edges_used++];
}

static struct fs_chunk_change *add_chunk(struct fs_change *change, uint64_t offset)
{
    struct fs_chunk_change *chunk = &change->chunks[change->count];

    BASE_ASSERT(change->count < change->capacity);
    BASE_ASSERT(change->count == 0 || change->chunks[change->count - 1].offset < offset);
    change->count++;
    memset(chunk, 0, sizeof *chunk);
    chunk->offset = offset;
    return chunk;
}

struct fs_chunk_change *fs_change_find(struct fs_change *change, uint64_t offset)
{
    uint32_t i = 0;

    while (i < change->count && change->chunks[i].offset != offset) {
        i++;
    }
    BASE_ASSERT(i < change->count);
    return &change->chunks[i];
}

/* Right behind the last block of the chunk before: where the file goes on. Only a wish: a damaged row there is no
 * matter of this change. */
static void note_goal(struct fs_change *change, const struct fs_content_row *row)
{
    struct fs_chunk chunk;
    struct base_reason reason;

    if (fs_chunk_decode(change->fs->store, row->value, &chunk, &reason) < 0) {
        return;
    }
    for (uint32_t slot = FS_CHUNK_BLOCKS; slot-- > 0;) {
        if (chunk.blocks[slot] != 0) {
            change->goal = chunk.blocks[slot] + 1;
            break;
        }
    }
}

int fs_change_load(struct fs_change *change, uint64_t from, uint64_t to)
{
    struct fs_content_walk walk;
    struct fs_content_row row;
    uint64_t first = fs_round_down(from, FS_CHUNK_SIZE);
    /* A change at the start of a chunk looks at the chunk before as well. */
    uint64_t look = first == from && first > 0 ? first - FS_CHUNK_SIZE : first;
    uint32_t next = change->count;
    int ret;

    for (uint64_t offset = first; offset < to; offset += FS_CHUNK_SIZE) {
        add_chunk(change, offset);
    }
    if (!change->has_chunks) {
        return 0;
    }
    ret = fs_content_walk_open(change->fs, NULL, change->inode, &walk);
    if (ret < 0) {
        return ret;
    }
    for (ret = fs_content_walk_seek(&walk, look, &row); ret == 0 && row.offset < to;
         ret = fs_content_walk_next(&walk, &row)) {
        if (row.offset < first) {
            note_goal(change, &row);
        } else {
            while (next < change->count && change->chunks[next].offset < row.offset) {
                next++;
            }
            ret = fs_content_row_to_chunk(change->fs, change->inode, &row, &change->chunks[next].chunk);
        }
        if (ret < 0 || row.offset + FS_CHUNK_SIZE >= to) {
            break;
        }
    }
    fs_content_walk_close(&walk);
    return ret == -ENOENT ? 0 : ret;
}

int fs_change_load_rows(struct fs_change *change, uint64_t from, uint64_t to, uint64_t *ret_next)
{
    struct fs_content_walk walk;
    struct fs_content_row row;
    int ret = fs_content_walk_open(change->fs, NULL, change->inode, &walk);

    if (ret < 0) {
        return ret;
    }
    *ret_next = UINT64_MAX;
    for (ret = fs_content_walk_seek(&walk, fs_round_down(from, FS_CHUNK_SIZE), &row); ret == 0 && row.offset < to;
         ret = fs_content_walk_next(&walk, &row)) {
        if (change->count == change->capacity) {
            *ret_next = row.offset;
            break;
        }
        ret = fs_content_row_to_chunk(change->fs, change->inode, &row, &add_chunk(change, row.offset)->chunk);
        if (ret < 0) {
            break;
        }
    }
    fs_content_walk_close(&walk);
    return ret == -ENOENT ? 0 : ret;
}

/* The first new block had best stand behind the one before it. */
static void note_slot_goal(struct fs_change *change, const struct fs_chunk_change *chunk, uint32_t slot)
{
    if (slot > 0 && chunk->chunk.blocks[slot - 1] != 0) {
        change->goal = chunk->chunk.blocks[slot - 1] + 1;
    }
}

/* A new block for the slot is one more in use: a shared one may stay. */
static bool takes_space(const struct fs_chunk_change *chunk, uint32_t slot)
{
    return chunk->chunk.blocks[slot] == 0 || (chunk->chunk.shared >> slot & 1U) != 0;
}

void fs_change_set(struct fs_change *change, struct fs_chunk_change *chunk, uint32_t slot, const uint8_t *source)
{
    BASE_ASSERT(slot < FS_CHUNK_BLOCKS && source != NULL && chunk->sources[slot] == NULL);
    chunk->sources[slot] = source;
    change->takes_space = change->takes_space || takes_space(chunk, slot);
    change->was_reserved = change->was_reserved || (chunk->chunk.unwritten >> slot & 1U) != 0;
    if (change->written++ + change->reserved == 0) {
        note_slot_goal(change, chunk, slot);
    }
}

void fs_change_reserve(struct fs_change *change, struct fs_chunk_change *chunk, uint32_t slot)
{
    BASE_ASSERT(slot < FS_CHUNK_BLOCKS && takes_space(chunk, slot) && chunk->sources[slot] == NULL);
    chunk->reserved |= 1U << slot;
    change->takes_space = true;
    if (change->written + change->reserved++ == 0) {
        note_slot_goal(change, chunk, slot);
    }
}

void fs_change_adopt(struct fs_chunk_change *chunk, uint32_t slot, uint64_t block, uint64_t checksum)
{
    BASE_ASSERT(slot < FS_CHUNK_BLOCKS && block != 0 && chunk->sources[slot] == NULL);
    chunk->adopted |= 1U << slot;
    chunk->fresh[slot] = block;
    chunk->fresh_checksums[slot] = checksum;
}

/* Slots that lose the block they have, and those that get another. */
static uint32_t slots_with_new_blocks(const struct fs_chunk_change *chunk)
{
    uint32_t mask = chunk->reserved | chunk->adopted;

    for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
        mask |= (uint32_t)(chunk->sources[slot] != NULL) << slot;
    }
    return mask;
}

uint32_t fs_change_count_share_rows(const struct fs_change *change)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < change->count; i++) {
        const struct fs_chunk_change *chunk = &change->chunks[i];

        count += fs_share_count_groups(chunk->chunk.blocks,
                                       chunk->chunk.shared & (chunk->dropped | slots_with_new_blocks(chunk)));
        count += fs_share_count_groups(chunk->fresh, chunk->adopted);
    }
    return count;
}

struct txn_need fs_change_need(const struct fs_change *change, uint32_t rows_beside)
{
    struct txn_need need = fs_content_need(change->fs, change->count + fs_change_count_share_rows(change) + rows_beside,
                                           (uint64_t)change->written + change->reserved, !change->takes_space);

    need.content_reserved = change->reserved;
    return need;
}

/* --- Writing blocks ----------------------------------------------------------------------------------------------- */

/* Blocks whose bytes follow each other in memory and whose places follow each other in the database: one write. */
struct pending_write {
    const uint8_t *bytes;
    struct store_run run;
};

static int flush_write(struct fs *fs, struct pending_write *pending)
{
    int ret = 0;

    if (pending->run.count > 0) {
        ret = store_content_write(fs->store, pending->run, pending->bytes);
    }
    pending->run.count = 0;
    return ret;
}

static int add_write(struct fs *fs, struct pending_write *pending, uint64_t block, const uint8_t *bytes)
{
    if (pending->run.count > 0 && (block != pending->run.block + pending->run.count ||
                                   bytes != pending->bytes + (size_t)pending->run.count * STORE_BLOCK_SIZE)) {
        int ret = flush_write(fs, pending);

        if (ret < 0) {
            return ret;
        }
    }
    if (pending->run.count == 0) {
        pending->run.block = block;
        pending->bytes = bytes;
    }
    pending->run.count++;
    return 0;
}

int fs_change_write_blocks(struct fs_change *change, struct txn *txn)
{
    struct pending_write pending = {.run = {0, 0}};
    struct store_run run = {0, 0};
    uint32_t left = change->written + change->reserved;
    uint64_t goal = change->goal;
    int ret;

    for (uint32_t i = 0; i < change->count; i++) {
        struct fs_chunk_change *chunk = &change->chunks[i];

        for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
            const uint8_t *source = chunk->sources[slot];

            if (source == NULL && (chunk->reserved >> slot & 1U) == 0) {
                continue;
            }
            if (run.count == 0) {
                ret = txn_content_allocate(txn, left, goal, &run);
                if (ret < 0) {
                    return ret;
                }
                BASE_ASSERT(run.count > 0 && run.count <= left);
                left -= run.count;
                goal = run.block + run.count;
            }
            chunk->fresh[slot] = run.block;
            chunk->fresh_checksums[slot] = source != NULL ? store_content_checksum(source) : 0;
            txn_content_note_checksum(txn, chunk->fresh_checksums[slot]);
            ret = source != NULL ? add_write(change->fs, &pending, run.block, source) : 0;
            if (ret < 0) {
                return ret;
            }
            run.block++;
            run.count--;
        }
    }
    return flush_write(change->fs, &pending);
}

/* --- Changing rows ------------------------------------------------------------------------------------------------ */

int fs_content_count(uint64_t inode, uint64_t *content_blocks, uint64_t added, uint64_t removed)
{
    if (removed > *content_blocks + added) {
        base_message(BASE_MESSAGE_ERROR,
                     "inode %" PRIu64 ": counts %" PRIu64 " blocks of contents, but its rows name more", inode,
                     *content_blocks);
        return -EUCLEAN;
    }
    *content_blocks += added - removed;
    return 0;
}

/* Gives back the blocks of the slots in mask, neighbours together. */
static int free_slots(struct fs *fs, struct txn *txn, const struct fs_chunk *chunk, uint32_t mask, uint32_t *freed)
{
    for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS;) {
        struct store_run run = fs_chunk_run(chunk, slot);
        uint32_t count = 0;
        int ret;

        while (count < run.count && (mask >> (slot + count) & 1U) != 0) {
            count++;
        }
        if (count == 0) {
            slot++;
            continue;
        }
        run.count = count;
        ret = (chunk->shared >> slot & 1U) != 0 ? fs_share_release(fs, txn, run) : txn_content_free(txn, run);
        if (ret < 0) {
            return ret;
        }
        slot += count;
        *freed += count;
    }
    return 0;
}

/* The blocks that the chunk adopts have one owner more. */
static int acquire_adopted(struct fs *fs, struct txn *txn, const struct fs_chunk_change *chunk)
{
    for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS;) {
        struct store_run run = {.block = chunk->fresh[slot]};
        int ret;

        while (slot < FS_CHUNK_BLOCKS && (chunk->adopted >> slot & 1U) != 0 &&
               chunk->fresh[slot] == run.block + run.count) {
            run.count++;
            slot++;
        }
        if (run.count == 0) {
            slot++;
            continue;
        }
        ret = fs_share_acquire(fs, txn, run);
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

static int apply_chunk(struct fs_change *change, struct txn *txn, struct fs_chunk_change *chunk,
                       uint64_t *content_blocks)
{
    uint8_t key[FS_CONTENT_KEY_SIZE], row[FS_CHUNK_ROW_SIZE_MAX];
    size_t key_size = fs_key_content(key, change->inode, chunk->offset), row_size;
    bool existed = fs_chunk_count_blocks(&chunk->chunk) > 0;
    uint32_t fresh = slots_with_new_blocks(chunk), replaced = chunk->dropped | fresh, freed = 0;
    int ret;

    if ((replaced | chunk->unwritten | (chunk->marked & ~chunk->chunk.shared)) == 0) {
        return 0;
    }
    /* In this order: a slot may adopt the block that it has. */
    ret = acquire_adopted(change->fs, txn, chunk);
    if (ret == 0) {
        ret = free_slots(change->fs, txn, &chunk->chunk, replaced, &freed);
    }
    if (ret < 0) {
        return ret;
    }
    for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
        if ((replaced >> slot & 1U) != 0) {
            chunk->chunk.blocks[slot] = (fresh >> slot & 1U) != 0 ? chunk->fresh[slot] : 0;
            chunk->chunk.checksums[slot] = chunk->fresh_checksums[slot];
        }
    }
    chunk->chunk.unwritten = (chunk->chunk.unwritten & ~replaced) | chunk->reserved | chunk->unwritten;
    chunk->chunk.shared = (chunk->chunk.shared & ~replaced) | chunk->adopted | chunk->marked;
    ret = fs_content_count(change->inode, content_blocks, (uint32_t)__builtin_popcount(fresh), freed);
    if (ret < 0) {
        return ret;
    }
    row_size = fs_chunk_encode(&chunk->chunk, row);
    if (row_size > 0) {
        return btree_put(change->fs->tree, txn, (struct btree_slice){key, key_size},
                         (struct btree_slice){row, row_size});
    }
    return existed ? btree_delete(change->fs->tree, txn, (struct btree_slice){key, key_size}) : 0;
}

int fs_change_apply(struct fs_change *change, struct txn *txn, uint64_t *content_blocks)
{
    for (uint32_t i = 0; i < change->count; i++) {
        int ret = apply_chunk(change, txn, &change->chunks[i], content_blocks);

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

/* --- Needs -------------------------------------------------------------------------------------------------------- */

/* Rows beside the contents: the inode's, and one of contents being freed. */
#define OTHER_ROWS 2U

uint32_t fs_content_rows_max(struct fs *fs, uint32_t wanted)
{
    /* Half of what one operation may have, so that others need not wait for this one alone. */
    uint64_t rows = pool_reserve_max(fs->pool) / 2 / btree_pages_per_change(fs->tree);

    if (rows <= OTHER_ROWS + 1) {
        return 1;
    }
    return rows - OTHER_ROWS < wanted ? (uint32_t)(rows - OTHER_ROWS) : wanted;
}

struct txn_need fs_content_need(struct fs *fs, uint32_t rows, uint64_t content_blocks, bool frees_space)
{
    return (struct txn_need){.pages = (rows + OTHER_ROWS) * btree_pages_per_change(fs->tree),
                             .content_blocks = content_blocks,
                             .frees_space = frees_space};
}
