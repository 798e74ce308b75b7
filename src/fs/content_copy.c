/* Copying within the filesystem, in steps that are transactions of their own: whole blocks are shared where they can be
 * (content_clone.c), other bytes are read and written (content_write.c), and holes stay holes. A request copies at most
 * COPY_MAX of bytes and answers how far it came: whoever wants more asks again.
 *
 * Both inodes are locked, in ascending number, for the whole request. */
#include "content.h"
#include "names.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_MAX  (64U << 20) /* bytes read and written in one request */
#define STEP_SIZE (1U << 20)
#define HOLE_MIN  65536U /* shorter holes are copied as zeros */
#define SHARE_MIN 16384U /* less is copied: three rows would change, and later another one when either file does */

/* What lies at a place of the request. */
struct extent {
    bool is_hole;
    uint64_t end; /* where it ends, in bytes of the request */
};

struct copy {
    struct fs_copy_part all; /* the request, clipped to what there is */
    uint64_t from_size;      /* of the source file */
    uint64_t copied;         /* bytes read and written so far */
    uint8_t *buffer;         /* STEP_SIZE; made when needed */
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int read_file_row(struct fs *fs, uint64_t inode, struct fs_inode_row *ret_row)
{
    int ret = fs_inode_row_read(fs, NULL, inode, ret_row);

    if (ret == 0 && !S_ISREG(ret_row->attributes.mode)) {
        ret = S_ISDIR(ret_row->attributes.mode) ? -EISDIR : -EINVAL;
    }
    return ret;
}

/* Clips the request to what there is and what there may be. */
static int prepare(struct copy *copy, struct fs_attributes *ret_from)
{
    struct fs_copy_part *all = &copy->all;
    struct fs_inode_row from, to;
    int ret = read_file_row(all->fs, all->from, &from);

    if (ret == 0) {
        ret = read_file_row(all->fs, all->to, &to);
    }
    if (ret < 0) {
        return ret;
    }
    *ret_from = from.attributes;
    copy->from_size = from.attributes.size;
    all->size = all->from_offset < copy->from_size ? min_u64(all->size, copy->from_size - all->from_offset) : 0;
    if (all->size > 0 && all->to_offset >= (uint64_t)FS_FILE_SIZE_MAX) {
        return -EFBIG;
    }
    all->size = min_u64(all->size, (uint64_t)FS_FILE_SIZE_MAX - min_u64(all->to_offset, FS_FILE_SIZE_MAX));
    if (all->from == all->to && all->from_offset < all->to_offset + all->size &&
        all->to_offset < all->from_offset + all->size) {
        return -EINVAL;
    }
    return 0;
}

/* The target gets a hole of that size at that place: within what it has, or at its end. Returns how much is done. */
static int64_t copy_hole(const struct fs_copy_part *part, struct fs_inode *target)
{
    uint64_t offset = part->to_offset, size = part->size;
    struct fs_inode_row old, new;
    int ret = fs_inode_row_read(part->fs, NULL, part->to, &old);

    if (ret == 0) {
        ret = fs_flags_check_write(&old.attributes, offset);
    }
    if (ret < 0) {
        return ret;
    }
    if (offset < old.attributes.size) {
        size = min_u64(size, old.attributes.size - offset);
        ret = fs_content_allocate(part->fs, part->caller, part->to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                                  size);
    } else {
        new = old;
        new.attributes.size = offset + size;
        new.attributes.modification_time = new.attributes.change_time = base_clock_now();
        new.attributes.mode = fs_mode_without_set_id(part->caller, new.attributes.mode);
        ret = fs_content_resize(part->fs, target, &old, &new);
    }
    return ret < 0 ? ret : (int64_t)size;
}

static int64_t copy_bytes(struct copy *copy, const struct fs_copy_part *part)
{
    int64_t result;

    if (copy->buffer == NULL) {
        copy->buffer = malloc(STEP_SIZE);
    }
    if (copy->buffer == NULL) {
        return -ENOMEM;
    }
    result = fs_content_read(part->fs, part->from, copy->from_size, part->from_offset, copy->buffer,
                             min_u64(part->size, STEP_SIZE));
    if (result <= 0) {
        return result;
    }
    copy->copied += (uint64_t)result;
    return fs_content_write(part->fs, part->caller, part->to, part->to_offset, copy->buffer, (size_t)result);
}

/* A part of data: shared, or if that can't be, copied as far as the next place where it could be. */
static int64_t copy_data(struct copy *copy, const struct fs_copy_part *data)
{
    struct fs_copy_part part = *data;
    uint64_t in_block = part.to_offset % STORE_BLOCK_SIZE;
    uint64_t before = in_block > 0 ? STORE_BLOCK_SIZE - in_block : 0;
    int64_t result;

    if (in_block != part.from_offset % STORE_BLOCK_SIZE || part.size < before + SHARE_MIN) {
        return copy_bytes(copy, &part);
    }
    if (before > 0) {
        part.size = before;
        return copy_bytes(copy, &part);
    }
    if (part.from_offset + part.size < copy->from_size) {
        part.size = fs_round_down(part.size, STORE_BLOCK_SIZE);
    }
    result = fs_content_clone(&part);
    if (result == 0) {
        part.size = min_u64(data->size, FS_CHUNK_SIZE - part.to_offset % FS_CHUNK_SIZE);
        result = copy_bytes(copy, &part);
    }
    return result;
}

/* What lies at `done` of the request: a hole, or data with a short hole before it perhaps. */
static int look(const struct copy *copy, uint64_t done, struct extent *ret_extent)
{
    const struct fs_copy_part *all = &copy->all;
    uint64_t at = all->from_offset + done, end = all->from_offset + all->size, data_start;
    int64_t data = fs_content_seek(all->fs, all->from, at, SEEK_DATA), hole;

    if (data < 0 && data != -ENXIO) {
        return (int)data;
    }
    data_start = data < 0 ? end : min_u64((uint64_t)data, end);
    if (data_start == end || data_start - at >= HOLE_MIN) {
        *ret_extent = (struct extent){.is_hole = true, .end = data_start - all->from_offset};
        return 0;
    }
    hole = fs_content_seek(all->fs, all->from, data_start, SEEK_HOLE);
    if (hole < 0) {
        return (int)hole;
    }
    *ret_extent = (struct extent){.is_hole = false, .end = min_u64((uint64_t)hole, end) - all->from_offset};
    return 0;
}

/* Returns how far it came; an error only when that is nowhere. */
static int64_t copy_steps(struct copy *copy, struct fs_inode *target, unsigned steps_max)
{
    struct extent extent = {.end = 0};
    uint64_t done = 0;
    int64_t result = 0;

    for (unsigned step = 0; step < steps_max && done < copy->all.size && copy->copied < COPY_MAX; step++) {
        struct fs_copy_part part = copy->all;

        if (done == extent.end) {
            result = look(copy, done, &extent);
            if (result < 0) {
                break;
            }
        }
        part.from_offset += done;
        part.to_offset += done;
        part.size = extent.end - done;
        result = extent.is_hole ? copy_hole(&part, target) : copy_data(copy, &part);
        if (result <= 0) {
            break;
        }
        done += (uint64_t)result;
    }
    return done > 0 ? (int64_t)done : result < 0 ? result : 0;
}

static void note_access(struct fs *fs, uint64_t number)
{
    struct fs_inode *inode;

    if (fs_inode_acquire(fs, number, &inode) == 0) {
        fs_access_time_update(fs, inode);
        fs_inode_release(fs, inode);
    }
}

int64_t fs_content_copy(const struct fs_copy_part *part, unsigned steps_max)
{
    const uint64_t numbers[] = {part->from, part->to};
    struct copy copy = {.all = *part};
    struct fs *fs = part->fs;
    struct fs_attributes attributes;
    struct fs_lock_set set;
    int64_t result = fs_lock_set_lock(fs, numbers, 2, &set);

    if (result < 0) {
        return result;
    }
    result = prepare(&copy, &attributes);
    if (result == 0 && copy.all.size > 0) {
        result = copy_steps(&copy, fs_lock_set_find(&set, part->to), steps_max);
        free(copy.buffer);
    }
    fs_lock_set_unlock(fs, &set);
    if (result > 0 && fs_access_time_is_due(fs, &attributes)) {
        note_access(fs, part->from);
    }
    return result;
}

int64_t fs_copy_range(struct fs *fs, const struct fs_caller *caller, uint64_t from, uint64_t from_offset, uint64_t to,
                      uint64_t to_offset, uint64_t size)
{
    struct fs_copy_part part = {.fs = fs,
                                .caller = caller,
                                .from = from,
                                .to = to,
                                .from_offset = from_offset,
                                .to_offset = to_offset,
                                .size = size};

    return fs_content_copy(&part, UINT_MAX);
}
