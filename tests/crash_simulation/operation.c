/* See operation.h. */
#include "operation.h"

#include "base/assert.h"
#include "base/clock.h"
#include "content.h" /* of fs/: the engine, for checkpoints that nobody asked for; single steps of copies */

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { WRITE_SIZE_MAX = 1 << 20 };

void (*operation_before_call)(void);
void (*operation_after_call)(void);

static const struct fs_caller caller = {.uid = 1000, .gid = 1000};

/* --- Paths -------------------------------------------------------------------------------------------------------- */

/* The directory that a path's last name stands in, and that name; 0 when there is none. */
static uint64_t find_parent(struct actor *actor, const char *path, const char **ret_name)
{
    uint64_t inode = actor->directory;
    char name[FS_NAME_SIZE_MAX + 1];

    for (const char *slash = strchr(path, '/'); slash && inode; slash = strchr(path, '/')) {
        size_t size = (size_t)(slash - path);
        BASE_ASSERT(size < sizeof name);
        memcpy(name, path, size);
        name[size] = '\0';
        inode = model_fs_find_entry(actor->model, inode, name);
        path = slash + 1;
    }
    *ret_name = path;
    return inode;
}

uint64_t operation_find(struct actor *actor, const char *path)
{
    const char *name;
    uint64_t parent = find_parent(actor, path, &name);
    return parent ? model_fs_find_entry(actor->model, parent, name) : 0;
}

/* --- Results ------------------------------------------------------------------------------------------------------ */

static void begin_call(void)
{
    if (operation_before_call) {
        operation_before_call();
    }
}

static void end_call(void)
{
    if (operation_after_call) {
        operation_after_call();
    }
}

/* Whether the operation failed by an injected fault, so that the model must not do it. */
static bool has_failed(const struct actor *actor, int64_t result)
{
    if (actor->allows_no_space && result == -ENOSPC) {
        return true;
    }
    return actor->faults_hit && *actor->faults_hit > 0 &&
           (result == -EIO || result == -ENOSPC || result == -ENOMEM || result == -EROFS);
}

static enum outcome compare(int64_t result, int64_t expected, const char *what, struct base_reason *ret_reason)
{
    if (result != expected) {
        base_reason_set(ret_reason, "%s answered %lld and should answer %lld", what, (long long)result,
                        (long long)expected);
        return OUTCOME_WRONG;
    }
    return result >= 0 ? OUTCOME_CHANGED : OUTCOME_UNCHANGED;
}

/* --- Kinds -------------------------------------------------------------------------------------------------------- */

static enum outcome do_make(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    struct fs_make make = {.mode = operation->mode, .target = operation->other_path};
    struct fs_entry entry;
    const char *name;
    uint64_t parent = find_parent(actor, operation->path, &name);

    if (!parent) {
        return OUTCOME_UNCHANGED;
    }
    begin_call();
    int result = fs_make(actor->fs, &caller, parent, name, &make, &entry);
    end_call();
    if (has_failed(actor, result)) {
        return OUTCOME_FAILED;
    }
    enum outcome outcome = compare(result, model_fs_check_make(actor->model, parent, name), "make", ret_reason);
    if (outcome == OUTCOME_CHANGED) {
        model_fs_make(actor->model, &caller, parent, name, &make, entry.attributes.inode);
        fs_forget(actor->fs, entry.attributes.inode, 1);
        model_fs_forget(actor->model, entry.attributes.inode, 1);
    }
    return outcome;
}

static enum outcome do_write(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    static uint8_t buffer[WRITE_SIZE_MAX];
    uint64_t inode = operation_find(actor, operation->path);
    uint64_t offset = operation->offset;

    if (!inode) {
        return OUTCOME_UNCHANGED;
    }
    const struct model_node *node = model_fs_find(actor->model, inode);
    if (operation->kind == OPERATION_APPEND && S_ISREG(node->attributes.mode)) {
        offset = node->attributes.size;
    }
    BASE_ASSERT(operation->size <= WRITE_SIZE_MAX);
    uint8_t byte = (uint8_t)(++actor->write_count * 37 + inode);
    uint64_t word = UINT64_C(0x0101010101010101) * (byte | 1);
    for (size_t i = 0; i < operation->size; i += 8) { /* no block is like another, and none is zeros */
        uint64_t value = word ^ ((offset + i) / 8 * UINT64_C(0x9E3779B97F4A7C15) & UINT64_C(0xFFFEFFFEFFFEFFFE));
        memcpy(buffer + i, &value, operation->size - i < 8 ? operation->size - i : 8);
    }
    /* Others run while this one waits for the disk, so each has bytes of its own. */
    uint8_t *bytes = malloc(operation->size);
    BASE_ASSERT(bytes);
    memcpy(bytes, buffer, operation->size);
    begin_call();
    int64_t result = fs_write(actor->fs, &caller, inode, offset, bytes, operation->size);
    end_call();
    enum outcome outcome = OUTCOME_FAILED;
    if (!has_failed(actor, result)) {
        outcome = compare(result, model_fs_write(actor->model, &caller, inode, offset, bytes, operation->size), "write",
                          ret_reason);
    }
    free(bytes);
    return outcome;
}

static enum outcome do_allocate(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    uint64_t inode = operation_find(actor, operation->path);

    if (!inode) {
        return OUTCOME_UNCHANGED;
    }
    begin_call();
    int result = fs_allocate(actor->fs, &caller, inode, operation->mode, operation->offset, operation->size);
    end_call();
    if (has_failed(actor, result)) {
        return OUTCOME_FAILED;
    }
    return compare(result,
                   model_fs_allocate(actor->model, &caller, inode, operation->mode, operation->offset, operation->size),
                   "fallocate", ret_reason);
}

/* How far it came is the filesystem's choice, but not nowhere. */
static enum outcome do_copy(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    uint64_t from = operation_find(actor, operation->path), to = operation_find(actor, operation->other_path);
    struct fs_copy_part part = {.fs = actor->fs,
                                .caller = &caller,
                                .from = from,
                                .to = to,
                                .from_offset = operation->offset,
                                .to_offset = operation->offset,
                                .size = operation->size};

    if (!from || !to || from == to || !S_ISREG(model_fs_find(actor->model, from)->attributes.mode) ||
        !S_ISREG(model_fs_find(actor->model, to)->attributes.mode)) {
        return OUTCOME_UNCHANGED;
    }
    begin_call();
    int64_t result = fs_content_copy(&part, 1);
    end_call();
    if (has_failed(actor, result)) {
        return OUTCOME_FAILED;
    }
    uint8_t *bytes = malloc(operation->size);
    BASE_ASSERT(bytes);
    int64_t expected = model_fs_read(actor->model, from, operation->offset, bytes, operation->size);
    enum outcome outcome = OUTCOME_UNCHANGED;
    if (result > 0 && result <= expected) {
        outcome = compare(result, model_fs_write(actor->model, &caller, to, operation->offset, bytes, (size_t)result),
                          "copy", ret_reason);
    } else if (result != 0 || expected != 0) {
        outcome = compare(result, expected, "copy", ret_reason);
    }
    free(bytes);
    return outcome;
}

static enum outcome do_xattr(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    bool is_removal = operation->kind == OPERATION_REMOVE_XATTR;
    const char *name = operation->other_path;
    uint64_t inode = operation_find(actor, operation->path);
    uint64_t seed = ++actor->write_count * 37 + inode;
    int result;

    if (!inode) {
        return OUTCOME_UNCHANGED;
    }
    BASE_ASSERT(operation->size <= FS_XATTR_VALUE_SIZE_MAX);
    uint8_t *value = malloc(operation->size + 1);
    BASE_ASSERT(value);
    model_xattr_fill(seed, value, (uint32_t)operation->size);
    begin_call();
    if (is_removal) {
        result = fs_remove_xattr(actor->fs, inode, name);
    } else {
        result = fs_set_xattr(actor->fs, inode, name, value, operation->size, operation->mode);
    }
    end_call();
    free(value);
    if (has_failed(actor, result)) {
        return OUTCOME_FAILED;
    }
    if (is_removal) {
        return compare(result, model_fs_remove_xattr(actor->model, inode, name), "removexattr", ret_reason);
    }
    return compare(result,
                   model_fs_set_xattr(actor->model, inode, name, seed, (uint32_t)operation->size, operation->mode),
                   "setxattr", ret_reason);
}

static enum outcome do_rename(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    const char *name;
    const char *new_name;
    uint64_t parent = find_parent(actor, operation->path, &name);
    uint64_t new_parent = find_parent(actor, operation->other_path, &new_name);

    if (!parent || !new_parent) {
        return OUTCOME_UNCHANGED;
    }
    begin_call();
    int result = fs_rename(actor->fs, parent, name, new_parent, new_name, operation->mode);
    end_call();
    if (has_failed(actor, result)) {
        return OUTCOME_FAILED;
    }
    return compare(result, model_fs_rename(actor->model, parent, name, new_parent, new_name, operation->mode), "rename",
                   ret_reason);
}

static enum outcome do_link(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    struct fs_entry entry;
    const char *name;
    uint64_t inode = operation_find(actor, operation->path);
    uint64_t parent = find_parent(actor, operation->other_path, &name);

    if (!inode || !parent) {
        return OUTCOME_UNCHANGED;
    }
    begin_call();
    int result = fs_link(actor->fs, inode, parent, name, &entry);
    end_call();
    if (has_failed(actor, result)) {
        return OUTCOME_FAILED;
    }
    enum outcome outcome = compare(result, model_fs_link(actor->model, inode, parent, name), "link", ret_reason);
    if (outcome == OUTCOME_CHANGED) {
        fs_forget(actor->fs, inode, 1);
        model_fs_forget(actor->model, inode, 1);
    }
    return outcome;
}

static enum outcome do_remove(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    bool is_rmdir = operation->kind == OPERATION_RMDIR;
    const char *name;
    uint64_t parent = find_parent(actor, operation->path, &name);

    if (!parent) {
        return OUTCOME_UNCHANGED;
    }
    begin_call();
    int result = is_rmdir ? fs_rmdir(actor->fs, parent, name) : fs_unlink(actor->fs, parent, name);
    end_call();
    bool is_excused = actor->faults_hit && *actor->faults_hit > 0; /* a full disk is no excuse */
    if (is_excused && has_failed(actor, result)) {
        return OUTCOME_FAILED;
    }
    return compare(result, model_fs_remove(actor->model, parent, name, is_rmdir), is_rmdir ? "rmdir" : "unlink",
                   ret_reason);
}

static enum outcome do_set(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    struct fs_changes changes = {.size = operation->size,
                                 .mode = operation->mode,
                                 .uid = operation->mode,
                                 .gid = operation->mode + 1,
                                 .access_time = {.tv_sec = (time_t)operation->mode, .tv_nsec = 5},
                                 .modification_time = {.tv_sec = -(time_t)operation->mode, .tv_nsec = 999999999}};
    struct fs_attributes attributes;
    uint64_t inode = operation_find(actor, operation->path);

    if (!inode) {
        return OUTCOME_UNCHANGED;
    }
    switch (operation->kind) {
    case OPERATION_TRUNCATE:
        changes.set = FS_SET_SIZE;
        break;
    case OPERATION_SET_MODE:
        changes.set = FS_SET_MODE;
        break;
    case OPERATION_SET_OWNER:
        changes.set = FS_SET_UID | FS_SET_GID;
        break;
    default:
        changes.set = FS_SET_ACCESS_TIME | FS_SET_MODIFICATION_TIME;
        break;
    }
    begin_call();
    int result = fs_set_attributes(actor->fs, &caller, inode, &changes, &attributes);
    end_call();
    if (has_failed(actor, result)) {
        return OUTCOME_FAILED;
    }
    return compare(result, model_fs_set_attributes(actor->model, &caller, inode, &changes), "setattr", ret_reason);
}

static enum outcome do_sync(struct actor *actor, bool is_checkpoint, struct base_reason *ret_reason)
{
    begin_call();
    int result = is_checkpoint ? txn_engine_checkpoint(actor->fs->engine) : fs_sync(actor->fs);
    end_call();
    if (actor->faults_hit && *actor->faults_hit > 0 && has_failed(actor, result)) {
        return OUTCOME_FAILED;
    }
    return compare(result, 0, "sync", ret_reason);
}

static enum outcome do_hold(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    struct fs_entry entry;
    const char *name;
    uint64_t parent = find_parent(actor, operation->path, &name);

    if (!parent || actor->held_count == sizeof actor->held / sizeof actor->held[0]) {
        return OUTCOME_UNCHANGED;
    }
    begin_call();
    int result = fs_lookup(actor->fs, parent, name, &entry);
    end_call();
    if (has_failed(actor, result)) {
        return OUTCOME_FAILED;
    }
    enum outcome outcome = compare(result, model_fs_lookup(actor->model, parent, name), "lookup", ret_reason);
    if (outcome == OUTCOME_CHANGED) {
        actor->held[actor->held_count++] = entry.attributes.inode;
        outcome = OUTCOME_UNCHANGED;
    }
    return outcome;
}

static enum outcome do_release(struct actor *actor)
{
    if (actor->held_count > 0) {
        uint64_t inode = actor->held[--actor->held_count];
        begin_call();
        fs_forget(actor->fs, inode, 1);
        end_call();
        model_fs_forget(actor->model, inode, 1);
    }
    return OUTCOME_UNCHANGED;
}

static enum outcome do_read(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    uint64_t inode = operation_find(actor, operation->path);
    uint8_t *bytes = malloc(2 * operation->size + 1);
    enum outcome outcome = OUTCOME_UNCHANGED;

    BASE_ASSERT(bytes);
    if (inode) {
        begin_call();
        int64_t result = fs_read(actor->fs, inode, operation->offset, bytes, operation->size);
        end_call();
        int64_t expected =
            model_fs_read(actor->model, inode, operation->offset, bytes + operation->size, operation->size);
        if (has_failed(actor, result)) {
            outcome = OUTCOME_FAILED;
        } else if (compare(result, expected, "read", ret_reason) == OUTCOME_WRONG) {
            outcome = OUTCOME_WRONG;
        } else if (result > 0 && memcmp(bytes, bytes + operation->size, (size_t)result) != 0) {
            base_reason_set(ret_reason, "a read gave other bytes");
            outcome = OUTCOME_WRONG;
        }
    }
    free(bytes);
    return outcome;
}

static enum outcome dispatch(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    switch (operation->kind) {
    case OPERATION_MAKE:
        return do_make(actor, operation, ret_reason);
    case OPERATION_WRITE:
    case OPERATION_APPEND:
        return do_write(actor, operation, ret_reason);
    case OPERATION_ALLOCATE:
        return do_allocate(actor, operation, ret_reason);
    case OPERATION_COPY:
        return do_copy(actor, operation, ret_reason);
    case OPERATION_SET_XATTR:
    case OPERATION_REMOVE_XATTR:
        return do_xattr(actor, operation, ret_reason);
    case OPERATION_RENAME:
        return do_rename(actor, operation, ret_reason);
    case OPERATION_LINK:
        return do_link(actor, operation, ret_reason);
    case OPERATION_UNLINK:
    case OPERATION_RMDIR:
        return do_remove(actor, operation, ret_reason);
    case OPERATION_SYNC:
    case OPERATION_CHECKPOINT:
        return do_sync(actor, operation->kind == OPERATION_CHECKPOINT, ret_reason);
    case OPERATION_HOLD:
        return do_hold(actor, operation, ret_reason);
    case OPERATION_RELEASE:
        return do_release(actor);
    case OPERATION_READ:
        return do_read(actor, operation, ret_reason);
    default:
        return do_set(actor, operation, ret_reason);
    }
}

bool operation_is_sync(const struct operation *operation)
{
    return operation->kind == OPERATION_SYNC || operation->kind == OPERATION_CHECKPOINT;
}

enum outcome operation_perform(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason)
{
    struct timespec before = base_clock_now();
    enum outcome outcome = dispatch(actor, operation, ret_reason);
    struct timespec after = base_clock_now();

    if (outcome == OUTCOME_CHANGED && !operation_is_sync(operation) &&
        !model_fs_settle(actor->model, actor->fs, before, after, ret_reason)) {
        return OUTCOME_WRONG;
    }
    return outcome;
}

void operation_describe(const struct operation *operation, char *text, size_t size)
{
    static const char *const names[] = {
        [OPERATION_MAKE] = "make",
        [OPERATION_WRITE] = "write",
        [OPERATION_APPEND] = "append",
        [OPERATION_TRUNCATE] = "truncate",
        [OPERATION_RENAME] = "rename",
        [OPERATION_LINK] = "link",
        [OPERATION_UNLINK] = "unlink",
        [OPERATION_RMDIR] = "rmdir",
        [OPERATION_SET_MODE] = "chmod",
        [OPERATION_SET_OWNER] = "chown",
        [OPERATION_SET_TIMES] = "set times",
        [OPERATION_SYNC] = "sync",
        [OPERATION_CHECKPOINT] = "checkpoint",
        [OPERATION_HOLD] = "hold",
        [OPERATION_RELEASE] = "release",
        [OPERATION_READ] = "read",
        [OPERATION_ALLOCATE] = "fallocate",
        [OPERATION_COPY] = "copy",
        [OPERATION_SET_XATTR] = "setxattr",
        [OPERATION_REMOVE_XATTR] = "removexattr",
    };
    snprintf(text, size, "%s %s%s%s offset %llu size %llu mode %o", names[operation->kind],
             operation->path ? operation->path : "", operation->other_path ? " -> " : "",
             operation->other_path ? operation->other_path : "", (unsigned long long)operation->offset,
             (unsigned long long)operation->size, operation->mode);
}
