/* Mounts that are there already: mount -o remount, and a second mount of a database for mount(8).
 *
 * mount -o remount, which mount(8) has its helper do. The kernel is told the flags that the mount is to have, like for
 * any filesystem: those that are not named go. The daemon is told what it does itself: access times; and asked whether
 * the mount can be writable. Everything else stays as it was mounted, whatever the words say. */
#include "internal.h"

#include "base/message.h"
#include "os/claim.h"
#include "os/mounts.h"
#include "os/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct search {
    const char *mount_point;
    bool is_ours;
    char *database; /* owned */
};

/* Of several mounts on one point the last is the one on top. */
static bool see_mount(void *context, const struct os_mount *mount)
{
    struct search *search = context;

    if (strcmp(mount->mount_point, search->mount_point) == 0) {
        search->is_ours = strcmp(mount->type, OS_MOUNT_TYPE) == 0;
        free(search->database);
        search->database = strdup(mount->source);
    }
    return false;
}

/* A descriptor of the root directory, or negative errno. */
static int open_mount(const char *mount_point, char **ret_database)
{
    struct search search = {.mount_point = mount_point};
    int result = os_mounts_visit(0, see_mount, &search);

    if (result >= 0) {
        result = search.is_ours && search.database ? open(mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EINVAL;
        result = result == -1 ? -errno : result;
    }
    if (result < 0) {
        free(search.database);
    } else {
        *ret_database = search.database;
    }
    return result;
}

static int ask_daemon(const struct front_options *options, int descriptor)
{
    const struct os_remount wanted = {
        .is_writable = (options->remount_flags & MS_RDONLY) == 0,
        .has_access_times = options->has_access_times,
        .access_times = options->access_times,
        .directory_access_times_kept = options->directory_access_times_kept,
    };

    return ioctl(descriptor, OS_REMOUNT_IOCTL, &wanted) < 0 ? -errno : 0;
}

/* Whatever was written before is durable when the mount is read-only, as on other filesystems. */
static int change(const struct front_options *options, const char *mount_point, int descriptor)
{
    unsigned long flags = options->remount_flags;
    int result = ask_daemon(options, descriptor);

    if (result == 0 && mount(NULL, mount_point, NULL, MS_REMOUNT | flags, NULL) < 0) {
        result = -errno;
    }
    if (result == 0 && (flags & MS_RDONLY)) {
        struct os_sync sync = {.is_durable = 1};
        result = ioctl(descriptor, OS_SYNC_IOCTL, &sync) < 0 && errno != EROFS ? -errno : 0;
    }
    return result;
}

/* Mounts with the words of the mount before, and then with those that were given (NULL: none). */
static int mount_with(char *database, char *mount_point, char *words, char *given)
{
    char *arguments[] = {"mount.beeftreefs", database, mount_point, "-o", words, "-o", given, NULL};
    struct front_options options = {0};
    struct front_failure failure;

    if (front_options_parse(given ? 7 : 5, arguments, &options, &failure) < 0) {
        base_message(BASE_MESSAGE_ERROR, "%s", failure.text);
        return (int)failure.status;
    }
    options.remount = false;
    int status = front_mount(&options);
    front_options_free(&options);
    return status;
}

/* A mount that began read-only has its database open for reading, along with others: to become writable it is unmounted
 * and mounted anew, which needs that nobody uses it. Closes the descriptor. */
static int mount_anew(const struct front_options *options, char *database, char *mount_point, int descriptor)
{
    struct os_words words;
    int result = ioctl(descriptor, OS_WORDS_IOCTL, &words) < 0 ? -errno : 0;

    (void)close(descriptor);
    if (result == 0 && umount2(mount_point, UMOUNT_NOFOLLOW) < 0) {
        result = -errno;
    }
    if (result < 0) {
        return result;
    }
    int status = mount_with(database, mount_point, words.text, options->words);
    if (status != FRONT_EXIT_OK && mount_with(database, mount_point, words.text, NULL) != FRONT_EXIT_OK) {
        base_message(BASE_MESSAGE_ERROR, "%s: is not mounted any more", mount_point);
    }
    return status;
}

static void explain(const char *mount_point, int result, bool is_writable)
{
    const char *reason = strerror(-result);

    if (result == -EINVAL) {
        reason = "is not the mount point of a beeftreefs";
    } else if (result == -EBUSY) {
        reason = is_writable ? "is busy: mounted read-only, it can become writable only while nobody uses it"
                             : "is busy: a program has a file open for writing";
    }
    base_message(BASE_MESSAGE_ERROR, "%s: %s", mount_point, reason);
}

/* Negative errno, or an exit status of which something has been printed. */
static int remount(const struct front_options *options, char *mount_point)
{
    char *database = NULL;
    int descriptor = open_mount(mount_point, &database);

    if (descriptor < 0 || options->is_rehearsal) {
        free(database);
        return descriptor < 0 ? descriptor : FRONT_EXIT_OK;
    }
    int result = change(options, mount_point, descriptor);
    if (result == -EROFS) {
        result = mount_anew(options, database, mount_point, descriptor);
    } else {
        (void)close(descriptor);
    }
    free(database);
    return result;
}

int front_remount(const struct front_options *options)
{
    char *mount_point = realpath(options->mount_point, NULL);
    int result = mount_point ? remount(options, mount_point) : -errno;

    if (result < 0) {
        explain(options->mount_point, result, (options->remount_flags & MS_RDONLY) == 0);
    }
    free(mount_point);
    return result < 0 ? FRONT_EXIT_MOUNT : result;
}

struct mounted_search {
    const char *database;
    bool is_writable;
    int clone; /* out: descriptor of a mount that is nowhere yet */
};

/* Of one that is hidden below another mount, dead, or not to be bound nothing can be made: there may be others. */
static bool clone_mounted(void *context, const struct os_mount *mount)
{
    struct mounted_search *search = context;
    struct stat status;
    struct statvfs flags;
    bool is_it = strcmp(mount->type, OS_MOUNT_TYPE) == 0 && strcmp(mount->source, search->database) == 0 &&
                 stat(mount->mount_point, &status) == 0 && status.st_dev == makedev(mount->major, mount->minor) &&
                 status.st_ino == FS_ROOT_INODE && statvfs(mount->mount_point, &flags) == 0 &&
                 ((flags.f_flag & ST_RDONLY) == 0) == search->is_writable;

    search->clone = is_it ? open_tree(AT_FDCWD, mount->mount_point, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC) : -1;
    return search->clone >= 0;
}

/* Like a new mount: flags as said, and nobody's peer. */
static bool set_flags_of_clone(const struct front_options *options, int clone)
{
    struct mount_attr wanted = {
        .attr_clr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
        .propagation = MS_PRIVATE,
    };
    wanted.attr_set |= options->remount_flags & MS_NOSUID ? MOUNT_ATTR_NOSUID : 0;
    wanted.attr_set |= options->remount_flags & MS_NODEV ? MOUNT_ATTR_NODEV : 0;
    wanted.attr_set |= options->remount_flags & MS_NOEXEC ? MOUNT_ATTR_NOEXEC : 0;
    return mount_setattr(clone, "", AT_EMPTY_PATH, &wanted, sizeof wanted) == 0;
}

bool front_mount_again(const struct front_options *options)
{
    struct mounted_search search = {.database = options->database, .is_writable = !options->read_only};

    if (geteuid() != 0 || os_mounts_visit(0, clone_mounted, &search) <= 0) {
        return false;
    }
    bool is_done = set_flags_of_clone(options, search.clone) &&
                   move_mount(search.clone, "", AT_FDCWD, options->mount_point, MOVE_MOUNT_F_EMPTY_PATH) == 0;
    (void)close(search.clone);
    if (is_done) {
        front_mount_flags_show(options);
    }
    return is_done;
}

void front_mount_flags_show(const struct front_options *options)
{
    struct mount_attr wanted = {.attr_clr = MOUNT_ATTR__ATIME};

    if (options->access_times == FS_ACCESS_TIMES_KEPT) {
        wanted.attr_set = MOUNT_ATTR_NOATIME;
    } else if (options->access_times == FS_ACCESS_TIMES_EXACT) {
        wanted.attr_set = MOUNT_ATTR_STRICTATIME;
    } else {
        wanted.attr_set = MOUNT_ATTR_RELATIME;
    }
    if (options->directory_access_times_kept) {
        wanted.attr_set |= MOUNT_ATTR_NODIRATIME;
    }
    if (geteuid() == 0 && options->has_access_times) {
        (void)mount_setattr(AT_FDCWD, options->mount_point, 0, &wanted, sizeof wanted);
    }
}
