/* The words of -o lists: our own, those that libfuse and the kernel understand, and those of mount(8) and fstab that
 * mean nothing to a filesystem. Anything else is refused by name: a misspelt option must not be taken for a setting. */
#include "internal.h"

#include "base/parse.h"

#include <errno.h>
#include <fuse_opt.h>
#include <string.h>
#include <sys/mount.h>

#define CACHE_SIZE_MIN ((uint64_t)1 << 20)
#define CACHE_SIZE_MAX ((uint64_t)1 << 40)

/* Handed on. */
static const char *const passed_words[] = {
    "rw",     "ro",    "suid",    "nosuid",      "dev",        "nodev",        "exec",
    "noexec", "atime", "noatime", "allow_other", "allow_root", "auto_unmount",
};
static const char *const passed_prefixes[] = {"context=", "fscontext=", "defcontext=", "rootcontext="};

/* The same as flags of mount(2), for a remount: the kernel is told all that are to be set. */
static const struct {
    const char *word;
    unsigned long flag;
    bool is_set;
} flag_words[] = {
    {"rw", MS_RDONLY, false},
    {"ro", MS_RDONLY, true},
    {"suid", MS_NOSUID, false},
    {"nosuid", MS_NOSUID, true},
    {"dev", MS_NODEV, false},
    {"nodev", MS_NODEV, true},
    {"exec", MS_NOEXEC, false},
    {"noexec", MS_NOEXEC, true},
    {"atime", MS_NOATIME, false},
    {"noatime", MS_NOATIME, true},
    {"relatime", MS_RELATIME, true},
    {"norelatime", MS_RELATIME, false},
    {"strictatime", MS_STRICTATIME, true},
    {"nostrictatime", MS_STRICTATIME, false},
    {"diratime", MS_NODIRATIME, false},
    {"nodiratime", MS_NODIRATIME, true},
};

/* What the mount table shows of a FUSE mount: mount(8) repeats it in a remount. */
static const char *const shown_prefixes[] = {"user_id=", "group_id=", "rootmode=", "max_read=", "blksize="};

/* Known to mount(8), and without meaning here. */
static const char *const ignored_words[] = {
    "defaults", "auto",  "noauto",  "user",   "nouser",   "users",      "owner",
    "noowner",  "group", "nogroup", "nofail", "_netdev",  "lazytime",   "nolazytime",
    "silent",   "loud",  "mand",    "nomand", "iversion", "noiversion", "default_permissions",
};
static const char *const ignored_prefixes[] = {"x-", "X-", "comment=", "user=", "uhelper=", "helper="};

static bool is_listed(const char *word, const char *const *words, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        if (strcmp(word, words[index]) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_listed_prefix(const char *word, const char *const *prefixes, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        if (strncmp(word, prefixes[index], strlen(prefixes[index])) == 0) {
            return true;
        }
    }
    return false;
}

static int refuse(const char *word, const char *wanted, struct front_failure *failure)
{
    front_failure_set(failure, FRONT_EXIT_USAGE, "-o %s: %s", word, wanted);
    return -EINVAL;
}

static int pass_on(struct front_options *options, const char *word, struct front_failure *failure)
{
    if (fuse_opt_add_opt_escaped(&options->mount_options, word) < 0) {
        front_failure_set(failure, FRONT_EXIT_INTERNAL, "-o %s: out of memory", word);
        return -ENOMEM;
    }
    return 0;
}

/* uid=, gid= */
static int take_identity(const char *word, const char *value, uint32_t *ret_identity, struct front_failure *failure)
{
    uint64_t number = 0;

    if (base_parse_number(value, &number) < 0 || number >= UINT32_MAX) {
        return refuse(word, "a number from 0 to 4294967294 is wanted", failure);
    }
    *ret_identity = (uint32_t)number;
    return 0;
}

static int take_umask(struct front_options *options, const char *word, const char *value, struct front_failure *failure)
{
    uint64_t number = 0;

    if (base_parse_octal(value, &number) < 0 || number > 0777) {
        return refuse(word, "an octal number from 0 to 777 is wanted", failure);
    }
    options->root_mode = 0777 & ~(mode_t)number;
    return 0;
}

static int take_cache(struct front_options *options, const char *word, const char *value, struct front_failure *failure)
{
    uint64_t size = 0;

    if (base_parse_size(value, &size) < 0 || size < CACHE_SIZE_MIN || size > CACHE_SIZE_MAX) {
        return refuse(word, "a size from 1M to 1024G is wanted, with K, M or G", failure);
    }
    options->cache_size = size;
    return 0;
}

static int take_commit(struct front_options *options, const char *word, const char *value,
                       struct front_failure *failure)
{
    uint64_t number = 0;

    if (base_parse_number(value, &number) < 0 || number < 1 || number > FRONT_COMMIT_S_MAX) {
        return refuse(word, "a number of seconds from 1 to 3600 is wanted", failure);
    }
    options->commit_s = (uint32_t)number;
    return 0;
}

static int take_threads(struct front_options *options, const char *word, const char *value,
                        struct front_failure *failure)
{
    uint64_t number = 0;

    if (base_parse_number(value, &number) < 0 || number < 1 || number > FRONT_THREADS_MAX) {
        return refuse(word, "a number from 1 to 64 is wanted", failure);
    }
    options->threads_max = (unsigned)number;
    return 0;
}

/* What follows "name=" in the word, or NULL. */
static const char *value_of(const char *word, const char *name)
{
    size_t length = strlen(name);

    return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

/* Our own words with a value; 1: the word is none of them. */
static int take_value(struct front_options *options, const char *word, struct front_failure *failure)
{
    const char *value;

    if ((value = value_of(word, "cache"))) {
        return take_cache(options, word, value, failure);
    }
    if ((value = value_of(word, "commit"))) {
        return take_commit(options, word, value, failure);
    }
    if ((value = value_of(word, "max_threads"))) {
        return take_threads(options, word, value, failure);
    }
    if ((value = value_of(word, "uid"))) {
        return take_identity(word, value, &options->root_uid, failure);
    }
    if ((value = value_of(word, "gid"))) {
        return take_identity(word, value, &options->root_gid, failure);
    }
    if ((value = value_of(word, "umask"))) {
        return take_umask(options, word, value, failure);
    }
    return 1;
}

/* Not handed on: for each write(2) the kernel would send an FSYNC after WRITEs that have been synced already. */
static bool take_sync(struct front_options *options, const char *word)
{
    if (strcmp(word, "sync") == 0 || strcmp(word, "async") == 0) {
        options->sync = word[0] == 's';
        return true;
    }
    if (strcmp(word, "dirsync") == 0) {
        options->dirsync = true;
        return true;
    }
    return false;
}

/* Not handed on: INIT says it. */
static bool take_attributes(struct front_options *options, const char *word)
{
    if (strcmp(word, "acl") == 0 || strcmp(word, "noacl") == 0) {
        options->has_acls = word[0] == 'a';
        return true;
    }
    if (strcmp(word, "xattr") == 0 || strcmp(word, "user_xattr") == 0 || strcmp(word, "noxattr") == 0) {
        options->no_xattrs = word[0] == 'n';
        return true;
    }
    if (strcmp(word, "strict_open") == 0) {
        options->asks_opens = true;
        return true;
    }
    return false;
}

/* The kernel leaves access times to us, and libfuse knows only two of the words. */
static bool take_access_times(struct front_options *options, const char *word)
{
    static const struct {
        const char *word;
        enum fs_access_times access_times;
    } words[] = {
        {"noatime", FS_ACCESS_TIMES_KEPT},      {"atime", FS_ACCESS_TIMES_RELATIVE},
        {"relatime", FS_ACCESS_TIMES_RELATIVE}, {"norelatime", FS_ACCESS_TIMES_RELATIVE},
        {"strictatime", FS_ACCESS_TIMES_EXACT}, {"nostrictatime", FS_ACCESS_TIMES_RELATIVE},
    };

    if (strcmp(word, "diratime") == 0 || strcmp(word, "nodiratime") == 0) {
        options->directory_access_times_kept = word[0] == 'n';
        options->has_access_times = true;
        return true;
    }
    for (size_t index = 0; index < sizeof words / sizeof words[0]; index++) {
        if (strcmp(word, words[index].word) == 0) {
            options->access_times = words[index].access_times;
            options->has_access_times = true;
            return true;
        }
    }
    return false;
}

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

#define ACCESS_TIME_FLAGS (MS_NOATIME | MS_RELATIME | MS_STRICTATIME) /* one of them */

static void note_flag(struct front_options *options, const char *word)
{
    for (size_t index = 0; index < COUNT(flag_words); index++) {
        if (strcmp(word, flag_words[index].word) == 0) {
            unsigned long replaced = flag_words[index].flag;
            if (flag_words[index].is_set && (replaced & ACCESS_TIME_FLAGS)) {
                replaced = ACCESS_TIME_FLAGS;
            }
            options->remount_flags &= ~replaced;
            options->remount_flags |= flag_words[index].is_set ? flag_words[index].flag : 0;
        }
    }
}

static bool is_without_meaning(const struct front_options *options, const char *word)
{
    return options->takes_any_word || is_listed(word, ignored_words, COUNT(ignored_words)) ||
           has_listed_prefix(word, ignored_prefixes, COUNT(ignored_prefixes)) ||
           (options->is_helper && has_listed_prefix(word, shown_prefixes, COUNT(shown_prefixes)));
}

int front_option_word(struct front_options *options, const char *word, struct front_failure *failure)
{
    int result = take_value(options, word, failure);

    if (result <= 0) {
        return result;
    }
    note_flag(options, word);
    bool is_ours = take_sync(options, word) || take_attributes(options, word) || take_access_times(options, word);
    if (is_ours && !is_listed(word, passed_words, COUNT(passed_words))) {
        return 0;
    }
    if (strcmp(word, "nonempty") == 0) {
        options->nonempty = true;
        return 0;
    }
    if (strcmp(word, "remount") == 0) {
        if (options->is_helper) {
            options->remount = true;
            return 0;
        }
        return refuse(word, "a mount is changed with \"mount -o remount,...\"", failure);
    }
    if (strncmp(word, "fsname=", 7) == 0 || strncmp(word, "subtype=", 8) == 0) {
        return refuse(word, "is always the path of the database and \"beeftreefs\"", failure);
    }
    if (is_listed(word, passed_words, COUNT(passed_words)) ||
        has_listed_prefix(word, passed_prefixes, COUNT(passed_prefixes))) {
        if (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0) {
            options->read_only = word[1] == 'o';
        }
        return pass_on(options, word, failure);
    }
    return is_without_meaning(options, word) ? 0 : refuse(word, "unknown option", failure);
}
