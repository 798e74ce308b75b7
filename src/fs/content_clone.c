/* Sharing blocks instead of copying bytes: chunks of the target get the blocks of the source, and table S (share.h)
 * counts the owners. Later writes to either go to fresh blocks, as all writes do, so the copies diverge safely.
 *
 * One transaction: the source's rows mark the blocks as shared, table S gets its rows, the target's rows name the
 * blocks. It ends at a chunk of the target where sharing would not be worth it, or not be possible: the caller copies
 * bytes there.
 *
 * Reserved blocks of the source are holes to a copy. */
#include "content.h"
#include "names.h"
#include "share.h"

#include "base/clock.h"

#include <errno.h>

#define CLONE_CHUNKS_MAX 16U

struct clone {
    const struct fs_copy_part *part;
    struct fs_change *source, *target;
    struct fs_inode_row row; /* of the target */
    uint64_t done;           /* bytes that the plan covers */
};

/* What becomes of one chunk of the target: bits per slot of the target and of the two chunks of the source that it is
 * made of. */
struct chunk_plan {
    struct fs_chunk_change *target;
    struct fs_chunk_change *sources[2];
    uint32_t first, end; /* slots of the target */
    uint32_t adopted, dropped;
    uint32_t marked[2];
};

/* The slot of the source that goes to a slot of the target, and which chunk it is of. */
static uint32_t source_slot(const struct clone *clone, const struct chunk_plan *plan, uint32_t slot,
                            unsigned *ret_source)
{
    uint64_t offset = plan->target->offset + (uint64_t)slot * STORE_BLOCK_SIZE;

    offset = offset - clone->part->to_offset + clone->part->from_offset;
    *ret_source = plan->sources[0]->offset == fs_round_down(offset, FS_CHUNK_SIZE) ? 0 : 1;
    BASE_ASSERT(plan->sources[*ret_source] != NULL);
    return (uint32_t)(offset % FS_CHUNK_SIZE / STORE_BLOCK_SIZE);
}

static void plan_slots(const struct clone *clone, struct chunk_plan *plan)
{
    for (uint32_t slot = plan->first; slot < plan->end; slot++) {
        unsigned which;
        uint32_t from = source_slot(clone, plan, slot, &which);
        const struct fs_chunk *chunk = &plan->sources[which]->chunk;

        if (chunk->blocks[from] != 0 && (chunk->unwritten >> from & 1U) == 0) {
            plan->adopted |= 1U << slot;
            plan->marked[which] |= 1U << from;
        } else if (plan->target->chunk.blocks[slot] != 0) {
            plan->dropped |= 1U << slot;
        }
    }
}

/* Whether the rows could say it: shared blocks in few groups only. */
static bool plan_fits(const struct clone *clone, const struct chunk_plan *plan)
{
    uint64_t blocks[FS_CHUNK_BLOCKS];
    uint32_t shared = plan->adopted;

    for (uint32_t slot = 0; slot < FS_CHUNK_BLOCKS; slot++) {
        unsigned which;

        blocks[slot] = plan->target->chunk.blocks[slot];
        if ((plan->adopted >> slot & 1U) != 0) {
            uint32_t from = source_slot(clone, plan, slot, &which);

            blocks[slot] = plan->sources[which]->chunk.blocks[from];
        } else if ((plan->dropped >> slot & 1U) == 0) {
            shared |= plan->target->chunk.shared & 1U << slot;
        }
    }
    if (fs_share_count_groups(blocks, shared) > FS_SHARE_GROUPS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct fs_chunk_change *source = plan->sources[i];

        if (source != NULL && fs_share_count_groups(source->chunk.blocks, source->chunk.shared | source->marked |
                                                                              plan->marked[i]) > FS_SHARE_GROUPS_MAX) {
            return false;
        }
    }
    return true;
}

static void plan_enter(const struct clone *clone, const struct chunk_plan *plan)
{
    for (uint32_t slot = plan->first; slot < plan->end; slot++) {
        if ((plan->adopted >> slot & 1U) != 0) {
            unsigned which;
            uint32_t from = source_slot(clone, plan, slot, &which);
            const struct fs_chunk *chunk = &plan->sources[which]->chunk;

            fs_change_adopt(plan->target, slot, chunk->blocks[from], chunk->checksums[from]);
        }
    }
    plan->target->dropped |= plan->dropped;
    for (unsigned i = 0; i < 2; i++) {
        if (plan->sources[i] != NULL) {
            plan->sources[i]->marked |= plan->marked[i];
        }
    }
}

/* Plans chunk after chunk of the target until one can't be shared. */
static void plan_chunks(struct clone *clone)
{
    const struct fs_copy_part *part = clone->part;
    uint64_t end = part->to_offset + part->size;

    for (uint32_t i = 0; i < clone->target->count; i++) {
        struct chunk_plan plan = {.target = &clone->target->chunks[i]};
        uint64_t from = plan.target->offset > part->to_offset ? plan.target->offset : part->to_offset;
        uint64_t to = plan.target->offset + FS_CHUNK_SIZE < end ? plan.target->offset + FS_CHUNK_SIZE : end;
        uint64_t source_from = from - part->to_offset + part->from_offset;
        uint64_t source_last = to - 1 - part->to_offset + part->from_offset;

        plan.first = (uint32_t)((from - plan.target->offset) / STORE_BLOCK_SIZE);
        plan.end = (uint32_t)((fs_round_up(to, STORE_BLOCK_SIZE) - plan.target->offset) / STORE_BLOCK_SIZE);
        plan.sources[0] = fs_change_find(clone->source, fs_round_down(source_from, FS_CHUNK_SIZE));
        if (source_last >= plan.sources[0]->offset + FS_CHUNK_SIZE) {
            plan.sources[1] = fs_change_find(clone->source, fs_round_down(source_last, FS_CHUNK_SIZE));
        }
        plan_slots(clone, &plan);
        if (!plan_fits(clone, &plan)) {
            clone->target->count = i;
            return;
        }
        plan_enter(clone, &plan);
        clone->done = to - part->to_offset;
    }
}

static int commit(struct clone *clone)
{
    struct fs *fs = clone->part->fs;
    uint64_t end = clone->part->to_offset + clone->done, source_blocks = 0;
    struct txn_need need = fs_change_need(clone->target, clone->source->count);
    struct fs_inode_row *row = &clone->row;
    struct txn *txn;
    int ret;

    /* No block is allocated, but rows may be where there were none. */
    need.frees_space = false;
    ret = fs_txn_begin(fs, &need, &txn);
    if (ret < 0) {
        return ret;
    }
    if (end > row->attributes.size) {
        row->attributes.size = end;
    }
    row->attributes.modification_time = row->attributes.change_time = base_clock_now();
    row->attributes.mode = fs_mode_without_set_id(clone->part->caller, row->attributes.mode);
    txn_lock(txn);
    ret = fs_change_apply(clone->source, txn, &source_blocks);
    if (ret == 0) {
        ret = fs_change_apply(clone->target, txn, &row->content_blocks);
    }
    if (ret == 0) {
        ret = fs_inode_row_write(fs, txn, clone->part->to, row, false, NULL);
    }
    if (ret < 0) {
        txn_abort(txn);
        return ret;
    }
    txn_commit(txn);
    return 0;
}

static int clone_chunks(struct clone *clone)
{
    const struct fs_copy_part *part = clone->part;
    int ret = fs_change_load(clone->target, part->to_offset, part->to_offset + part->size);

    if (ret == 0) {
        ret = fs_change_load(clone->source, part->from_offset, part->from_offset + part->size);
    }
    if (ret < 0) {
        return ret;
    }
    plan_chunks(clone);
    return clone->done > 0 ? commit(clone) : 0;
}

/* As much of the part as one transaction may take. Within one file no chunk may be source and target at once: rows are
 * read before the first is changed. */
static uint64_t part_size_max(const struct fs_copy_part *part)
{
    uint32_t chunks = fs_content_rows_max(part->fs, 4 * CLONE_CHUNKS_MAX) / 4;
    uint64_t size = (chunks > 0 ? chunks : 1) * (uint64_t)FS_CHUNK_SIZE - part->to_offset % FS_CHUNK_SIZE;

    return size < part->size ? size : part->size;
}

static bool chunks_overlap(const struct fs_copy_part *part)
{
    return part->from == part->to &&
           fs_round_down(part->from_offset, FS_CHUNK_SIZE) < fs_round_up(part->to_offset + part->size, FS_CHUNK_SIZE) &&
           fs_round_down(part->to_offset, FS_CHUNK_SIZE) < fs_round_up(part->from_offset + part->size, FS_CHUNK_SIZE);
}

int64_t fs_content_clone(const struct fs_copy_part *whole)
{
    struct fs_copy_part part = *whole;
    struct clone clone = {.part = &part};
    int ret;

    part.size = part_size_max(&part);
    if (chunks_overlap(&part)) {
        return 0;
    }
    ret = fs_inode_row_read(part.fs, NULL, part.to, &clone.row);
    if (ret == 0) {
        ret = fs_flags_check_write(&clone.row.attributes, part.to_offset);
    }
    if (ret == 0) {
        ret = fs_freeing_finish(part.fs, part.to, &clone.row, part.to_offset + part.size);
    }
    if (ret < 0) {
        return ret;
    }
    /* A last block that the copy covers in part is shared only where the target ends with it. */
    if (part.to_offset + part.size < clone.row.attributes.size) {
        part.size = fs_round_down(part.size, STORE_BLOCK_SIZE);
    }
    if (part.size == 0 || (clone.row.content_blocks == 0 && clone.row.attributes.size > 0 && clone.row.pieces != 1)) {
        return 0; /* in pieces: the bytes that are copied first make chunks of them */
    }
    ret = fs_share_begin(part.fs);
    if (ret == 0) {
        ret = fs_change_create(part.fs, part.to, clone.row.content_blocks > 0, CLONE_CHUNKS_MAX + 1, &clone.target);
    }
    if (ret < 0) {
        return ret;
    }
    ret = fs_change_create(part.fs, part.from, true, CLONE_CHUNKS_MAX + 2, &clone.source);
    if (ret == 0) {
        ret = clone_chunks(&clone);
        fs_change_destroy(clone.source);
    }
    fs_change_destroy(clone.target);
    /* Too many owners of a block, or too many rows for this pool: bytes can still be copied. */
    if (ret == -EMLINK || ret == -E2BIG) {
        return 0;
    }
    return ret < 0 ? ret : (int64_t)clone.done;
}
