/* Copying within the filesystem: bytes go from blocks to blocks in steps, each a write (content_write.c) of its own,
 * and holes stay holes. A request copies at most COPY_MAX of data and answers how far it came: whoever wants more asks
 * again.
 *
 * Both inodes are locked, in ascending number, for the whole request. */
#include "content.h"
#include "names.h"

#include "base/clock.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_MAX  (64U << 20) /* bytes of data in one request */
#define STEP_SIZE (1U << 20)
#define HOLE_MIN  65536U /* shorter holes are copied as zeros */

struct copy {
    struct fs *fs;
    const struct fs_caller *caller;
    uint64_t from, to; /* inodes */
    uint64_t from_offset, to_offset;
    uint64_t size;      /* what is asked for, within the source */
    uint64_t from_size; /* of the source file */
    uint8_t *buffer;    /* STEP_SIZE */
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
    struct fs_inode_row from, to;
    int ret = read_file_row(copy->fs, copy->from, &from);

    if (ret == 0) {
        ret = read_file_row(copy->fs, copy->to, &to);
    }
    if (ret < 0) {
        return ret;
    }
    *ret_from = from.attributes;
    copy->from_size = from.attributes.size;
    copy->size = copy->from_offset < copy->from_size ? min_u64(copy->size, copy->from_size - copy->from_offset) : 0;
    if (copy->size > 0 && copy->to_offset >= (uint64_t)FS_FILE_SIZE_MAX) {
        return -EFBIG;
    }
    copy->size = min_u64(copy->size, (uint64_t)FS_FILE_SIZE_MAX - min_u64(copy->to_offset, FS_FILE_SIZE_MAX));
    if (copy->from == copy->to && copy->from_offset < copy->to_offset + copy->size &&
        copy->to_offset < copy->from_offset + copy->size) {
        return -EINVAL;
    }
    return 0;
}

/* The target gets a hole of that size at that place. */
static int copy_hole(struct copy *copy, struct fs_inode *target, uint64_t offset, uint64_t size)
{
    struct fs_inode_row old, new;
    int ret = fs_inode_row_read(copy->fs, NULL, copy->to, &old);

    if (ret == 0) {
        ret = fs_flags_check_write(&old.attributes, offset);
    }
    if (ret == 0 && offset < old.attributes.size) {
        ret = fs_content_allocate(copy->fs, copy->caller, copy->to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                                  min_u64(size, old.attributes.size - offset));
        if (ret == 0) {
            ret = fs_inode_row_read(copy->fs, NULL, copy->to, &old);
        }
    }
    if (ret < 0 || offset + size <= old.attributes.size) {
        return ret;
    }
    new = old;
    new.attributes.size = offset + size;
    new.attributes.modification_time = new.attributes.change_time = base_clock_now();
    new.attributes.mode = fs_mode_without_set_id(copy->caller, new.attributes.mode);
    return fs_content_resize(copy->fs, target, &old, &new);
}

static int64_t copy_data(struct copy *copy, uint64_t done, uint64_t size)
{
    int64_t result =
        fs_content_read(copy->fs, copy->from, copy->from_size, copy->from_offset + done, copy->buffer, size);

    if (result <= 0) {
        return result;
    }
    return fs_content_write(copy->fs, copy->caller, copy->to, copy->to_offset + done, copy->buffer, (size_t)result);
}

/* What lies at `done` of the request: a hole of *ret_size bytes (returns true) or data, with a short hole before it
 * perhaps. */
static int look(const struct copy *copy, uint64_t done, bool *ret_is_hole, uint64_t *ret_size)
{
    uint64_t at = copy->from_offset + done, left = copy->size - done;
    int64_t data = fs_content_seek(copy->fs, copy->from, at, SEEK_DATA), hole;
    uint64_t before;

    if (data < 0 && data != -ENXIO) {
        return (int)data;
    }
    before = data < 0 ? left : min_u64((uint64_t)data - at, left);
    *ret_is_hole = before == left || before >= HOLE_MIN;
    *ret_size = before;
    if (*ret_is_hole) {
        return 0;
    }
    hole = fs_content_seek(copy->fs, copy->from, (uint64_t)data, SEEK_HOLE);
    if (hole < 0) {
        return (int)hole;
    }
    *ret_size = min_u64(min_u64((uint64_t)hole - at, left), STEP_SIZE);
    return 0;
}

/* Returns how far it came; an error only when that is nowhere. */
static int64_t copy_steps(struct copy *copy, struct fs_inode *target)
{
    uint64_t done = 0, data = 0;
    int64_t result = 0;

    while (done < copy->size && data < COPY_MAX) {
        bool is_hole = false;
        uint64_t size = 0;

        result = look(copy, done, &is_hole, &size);
        if (result == 0 && is_hole) {
            result = copy_hole(copy, target, copy->to_offset + done, size);
            done += result == 0 ? size : 0;
        } else if (result == 0) {
            result = copy_data(copy, done, size);
            done += result > 0 ? (uint64_t)result : 0;
            data += size;
        }
        if (result < 0) {
            break;
        }
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

int64_t fs_copy_range(struct fs *fs, const struct fs_caller *caller, uint64_t from, uint64_t from_offset, uint64_t to,
                      uint64_t to_offset, uint64_t size)
{
    const uint64_t numbers[] = {from, to};
    struct copy copy = {.fs = fs,
                        .caller = caller,
                        .from = from,
                        .to = to,
                        .from_offset = from_offset,
                        .to_offset = to_offset,
                        .size = size};
    struct fs_attributes attributes;
    struct fs_lock_set set;
    int64_t result = fs_lock_set_lock(fs, numbers, 2, &set);

    if (result < 0) {
        return result;
    }
    result = prepare(&copy, &attributes);
    if (result == 0 && copy.size > 0) {
        copy.buffer = malloc(STEP_SIZE);
        result = copy.buffer != NULL ? copy_steps(&copy, fs_lock_set_find(&set, to)) : -ENOMEM;
        free(copy.buffer);
    }
    fs_lock_set_unlock(fs, &set);
    if (result > 0 && fs_access_time_is_due(fs, &attributes)) {
        note_access(fs, from);
    }
    return result;
}
