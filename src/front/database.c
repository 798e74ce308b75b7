/* The database file of a mount: locked, created if missing, opened; and closed. Nothing of a file is changed before its
 * locks are held and what opening reads has been checked. */
#include "internal.h"

#include "base/message.h"
#include "os/claim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void front_failure_set(struct front_failure *failure, enum front_exit status, const char *format, ...)
{
    va_list arguments;

    failure->status = status;
    va_start(arguments, format);
    (void)vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
}

/* The host's answer to opening or making the file. */
static void explain_open(const struct front_options *options, int result, struct front_failure *failure)
{
    const char *path = options->database;

    switch (-result) {
    case EISDIR:
        front_failure_set(failure, FRONT_EXIT_NOT_DATABASE, "%s: is a directory, not a beeftree database", path);
        break;
    case ENOTBLK:
        front_failure_set(failure, FRONT_EXIT_NOT_DATABASE, "%s: is neither a file nor a block device", path);
        break;
    case EACCES:
    case EPERM:
        front_failure_set(failure, FRONT_EXIT_PERMISSION, "%s: %s%s", path, strerror(-result),
                          access(path, R_OK) == 0 && !options->read_only ? " to write (-o ro mounts it read-only)"
                                                                         : "");
        break;
    case EROFS:
        front_failure_set(failure, FRONT_EXIT_DATABASE, "%s: %s%s", path, strerror(-result),
                          access(path, R_OK) == 0 && !options->read_only ? " (-o ro mounts it read-only)" : "");
        break;
    case ENOENT:
        front_failure_set(failure, FRONT_EXIT_DATABASE, "%s: %s%s", path, strerror(-result),
                          options->read_only ? " (a read-only mount makes no database)" : "");
        break;
    default:
        front_failure_set(failure, FRONT_EXIT_DATABASE, "%s: %s", path, strerror(-result));
        break;
    }
}

static int open_or_create_file(const struct front_options *options, struct front_database *database,
                               struct front_failure *failure)
{
    int result = os_file_open(options->database, options->read_only ? OS_FILE_READ_ONLY : 0, &database->file);

    if (result == -ENOENT && !options->read_only) {
        front_signals_block(); /* from here to its end a signal must not leave half a database */
        result = os_file_open(options->database, OS_FILE_CREATE, &database->file);
        database->is_new = result == 0;
        if (result == -EEXIST) {
            result = os_file_open(options->database, 0, &database->file);
        }
    }
    if (result < 0) {
        explain_open(options, result, failure);
    }
    return result;
}

static int claim(const struct front_options *options, struct front_database *database, struct front_failure *failure)
{
    pid_t holder = 0;
    int result = os_file_claim(database->file, options->database, options->read_only, OS_CLAIM_TIMEOUT_MS, &holder);

    if (result == -EBUSY && holder > 0) {
        front_failure_set(failure, FRONT_EXIT_IN_USE, "%s: is in use by process %ld", options->database, (long)holder);
    } else if (result == -EBUSY) {
        front_failure_set(failure, FRONT_EXIT_IN_USE, "%s: is in use by a process that cannot be seen from here",
                          options->database);
    } else if (result < 0) {
        front_failure_set(failure, FRONT_EXIT_DATABASE, "%s: cannot be locked: %s", options->database,
                          strerror(-result));
    }
    return result;
}

static int format(const struct front_options *options, struct front_database *database, struct front_failure *failure)
{
    struct fs_format_options format_options = {
        .page_size = options->page_size,
        .root_uid = options->root_uid,
        .root_gid = options->root_gid,
        .root_mode = options->root_mode,
    };
    struct base_reason reason = {""};

    memcpy(format_options.label, options->label, sizeof format_options.label);
    int result = fs_format(database->file, &format_options, &reason);
    if (result < 0) {
        front_failure_set(failure, FRONT_EXIT_DATABASE, "%s: cannot be created: %s", options->database,
                          reason.text[0] ? reason.text : strerror(-result));
    }
    return result;
}

/* A file without a byte in it is what a creation leaves that was killed; it is told apart because its remedy differs.
 */
static int refuse_empty(const struct front_options *options, struct front_database *database,
                        struct front_failure *failure)
{
    uint64_t size = 0;
    int result = os_file_get_size(database->file, &size);

    if (result < 0) {
        explain_open(options, result, failure);
    } else if (size == 0) {
        result = -EMEDIUMTYPE;
        front_failure_set(failure, FRONT_EXIT_NOT_DATABASE,
                          "%s: is empty, not a beeftree database (\"beeftree mkfs\" makes one of it)",
                          options->database);
    }
    return result;
}

static enum front_exit open_status(int result)
{
    switch (-result) {
    case EMEDIUMTYPE:
        return FRONT_EXIT_NOT_DATABASE;
    case EUCLEAN:
    case ENODATA:
        return FRONT_EXIT_DAMAGED;
    case EPROTONOSUPPORT:
        return FRONT_EXIT_NEWER;
    default:
        return FRONT_EXIT_DATABASE;
    }
}

static int open_filesystem(const struct front_options *options, bool read_only, struct front_database *database,
                           struct front_failure *failure)
{
    struct fs_options fs_options = {
        .read_only = read_only,
        .has_acls = options->has_acls && !options->no_xattrs,
        .access_times = options->access_times,
        .directory_access_times_kept = options->directory_access_times_kept,
        .cache_size = (size_t)options->cache_size,
        .commit_interval_ms = read_only ? 0 : (uint64_t)options->commit_s * 1000,
    };
    struct base_reason reason = {""};
    int result = fs_open(database->file, &fs_options, &database->fs, &reason);

    if (result < 0) {
        database->fs = NULL;
        front_failure_set(failure, open_status(result), "%s: %s", options->database,
                          reason.text[0] ? reason.text : strerror(-result));
    }
    return result;
}

/* What can only be chosen at creation may be repeated, but not changed. */
static int check_format_options(const struct front_options *options, struct front_database *database,
                                struct front_failure *failure)
{
    struct fs_statistics statistics;

    fs_get_statistics(database->fs, &statistics);
    if (options->page_size != 0 && options->page_size != statistics.page_size) {
        front_failure_set(failure, FRONT_EXIT_USAGE, "%s: has pages of %u bytes; --page-size counts only at creation",
                          options->database, statistics.page_size);
        return -EINVAL;
    }
    if (options->has_label && strncmp(options->label, statistics.label, sizeof options->label) != 0) {
        front_failure_set(failure, FRONT_EXIT_USAGE, "%s: has the label \"%.*s\"; --label counts only at creation",
                          options->database, (int)sizeof statistics.label, statistics.label);
        return -EINVAL;
    }
    return 0;
}

/* Opening for writing begins a new log; a mount that is refused must leave the file as it was. */
static int check_before_writing(const struct front_options *options, struct front_database *database,
                                struct front_failure *failure)
{
    bool is_wanted = options->page_size != 0 || options->has_label;

    if (!is_wanted || database->is_new || options->read_only) {
        return 0;
    }
    int result = open_filesystem(options, true, database, failure);
    if (result == 0) {
        result = check_format_options(options, database, failure);
        (void)fs_close(database->fs);
        database->fs = NULL;
    }
    return result;
}

int front_database_open(const struct front_options *options, struct front_database *ret_database,
                        struct front_failure *failure)
{
    struct front_database database = {0};
    bool is_claimed = false;
    int result = open_or_create_file(options, &database, failure);

    if (result < 0) {
        return result;
    }
    result = claim(options, &database, failure);
    if (result < 0) {
        goto out;
    }
    is_claimed = true;
    front_signals_block();
    result = database.is_new ? format(options, &database, failure) : refuse_empty(options, &database, failure);
    if (result < 0) {
        goto out;
    }
    result = check_before_writing(options, &database, failure);
    if (result < 0) {
        goto out;
    }
    result = open_filesystem(options, options->read_only, &database, failure);
    if (result < 0) {
        goto out;
    }
    result = check_format_options(options, &database, failure);
out:
    if (result < 0) {
        /* A file that somebody else claimed first is theirs now. */
        database.is_new = database.is_new && is_claimed;
        (void)front_database_close(options, &database, true);
        return result;
    }
    *ret_database = database;
    return 0;
}

int front_database_close(const struct front_options *options, struct front_database *database, bool discard)
{
    int result = 0;

    if (database->fs) {
        result = fs_close(database->fs);
        database->fs = NULL;
    }
    if (discard && database->is_new) {
        (void)unlink(options->database);
    }
    os_file_close(database->file);
    database->file = NULL;
    return result;
}
