/* Operations as the simulation does them: each on the filesystem and on the model of it, with the results compared.
 *
 * An operation names what it concerns by path, so that a list of operations makes sense (or does nothing, on both sides
 * alike) after any others. */
#ifndef BEEFTREE_TESTS_CRASH_OPERATION_H
#define BEEFTREE_TESTS_CRASH_OPERATION_H

#include "digest.h"

enum operation_kind {
    OPERATION_MAKE,
    OPERATION_WRITE,
    OPERATION_APPEND,
    OPERATION_TRUNCATE,
    OPERATION_RENAME,
    OPERATION_LINK,
    OPERATION_UNLINK,
    OPERATION_RMDIR,
    OPERATION_SET_MODE,
    OPERATION_SET_OWNER,
    OPERATION_SET_TIMES,
    OPERATION_SYNC,
    OPERATION_CHECKPOINT, /* as the background thread takes it; makes durable what came before, like a sync */
    OPERATION_HOLD,       /* looks a name up and keeps the inode in use until OPERATION_RELEASE */
    OPERATION_RELEASE,
    OPERATION_READ,
    OPERATION_ALLOCATE, /* fallocate */
    OPERATION_COPY,     /* the first step of a copy_file_range, from path to other_path */
    OPERATION_SET_XATTR,
    OPERATION_REMOVE_XATTR,
};

struct operation {
    enum operation_kind kind;
    const char *path, *other_path; /* from the actor's directory; other_path: rename, link, copy, target of symlinks;
                                      name of extended attributes */
    uint64_t offset;               /* of a copy: in both files */
    uint64_t size;                 /* bytes: of writes, ranges and values; the new one of truncations */
    uint32_t mode; /* of what is made, with its type; rename, fallocate or setxattr flags; the mode, owner or time */
};

/* Who does operations: alone over the whole tree, or one of several, each in a directory of its own. */
struct actor {
    struct fs *fs;
    struct model_fs *model;
    uint64_t directory; /* inode */
    uint64_t write_count;
    uint64_t held[4]; /* inodes, one lookup count each */
    unsigned held_count;
    /* Errors that the model does not expect are answers, too: */
    const uint64_t *faults_hit; /* any, once this is not 0; NULL: never */
    bool allows_no_space;       /* -ENOSPC of what takes space */
};

/* What came of an operation. */
enum outcome {
    OUTCOME_CHANGED,
    OUTCOME_UNCHANGED, /* refused as it should be, or nothing to do */
    OUTCOME_FAILED,    /* by an injected fault: nothing may have changed */
    OUTCOME_WRONG,     /* not what the model says: the reason tells */
};

enum outcome operation_perform(struct actor *actor, const struct operation *operation, struct base_reason *ret_reason);
/* Makes durable and changes nothing. */
bool operation_is_sync(const struct operation *operation);
/* The inode that a path leads to in the model; 0: none. */
uint64_t operation_find(struct actor *actor, const char *path);
/* One line, for people. */
void operation_describe(const struct operation *operation, char *text, size_t size);

/* Hooks around every call of the filesystem (for memory faults); NULL: none. */
extern void (*operation_before_call)(void);
extern void (*operation_after_call)(void);

#endif
