/* beeftreefs: mounts a database. */
#include "internal.h"

#include "base/message.h"

#include <fuse_opt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void print_help(void)
{
    (void)printf("Usage: beeftreefs DB MOUNTPOINT [options]\n"
                 "Mounts the filesystem in the file DB on the directory MOUNTPOINT; makes DB if it does not exist.\n"
                 "\n"
                 "  -o WORD[,WORD...]   mount options:\n"
                 "     ro               read-only; several such mounts may share DB\n"
                 "     commit=SECONDS   save at least so often, 1 to 3600 (default 2)\n"
                 "     sync             save every change before the call returns\n"
                 "     dirsync          the same for changes of names only\n"
                 "     cache=SIZE       memory for pages, 1M to 1024G (default 64M)\n"
                 "     allow_other      other users may use the mount (as may root with allow_root)\n"
                 "     acl              POSIX access control lists\n"
                 "     strict_open      ask about every open: chattr +i and +a are enforced by it\n"
                 "     auto_unmount     unmount when the daemon dies\n"
                 "     nonempty         mount over a directory with entries\n"
                 "     max_threads=N    1 to 64 threads (default 10)\n"
                 "     uid=N, gid=N, umask=N\n"
                 "                      owner and mode of the root directory of a new DB\n"
                 "                      and the generic options of mount(8)\n"
                 "  --page-size=SIZE    of a new DB: 4K, 8K, 16K, 32K or 64K\n"
                 "  --label=TEXT        of a new DB\n"
                 "  -f                  stay in the foreground\n"
                 "  -d                  like -f, and print every request\n"
                 "  -s                  one thread\n"
                 "  -h                  this help\n"
                 "  -V                  version\n"
                 "\n"
                 "To unmount and wait until everything is saved: beeftree unmount MOUNTPOINT\n");
}

/* The daemon promises a bound on its memory: few arenas, and what is freed goes back. */
static void bound_memory(void)
{
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

/* What every mount of ours has. */
static int add_fixed_options(struct front_options *options, struct front_failure *failure)
{
    char *source = NULL;
    int result = asprintf(&source, "fsname=%s", options->database) < 0 ? -1 : 0;

    if (result == 0) {
        result = fuse_opt_add_opt(&options->mount_options, "default_permissions,subtype=beeftreefs");
    }
    if (result == 0) {
        result = fuse_opt_add_opt_escaped(&options->mount_options, source);
    }
    if (result < 0) {
        front_failure_set(failure, FRONT_EXIT_INTERNAL, "%s: out of memory", options->database);
    }
    free(source);
    return result;
}

int front_mount(struct front_options *options)
{
    struct front_failure failure;

    if (front_mount_point_check(options, &failure) < 0 || add_fixed_options(options, &failure) < 0) {
        base_message(BASE_MESSAGE_ERROR, "%s", failure.text);
        return (int)failure.status;
    }
    if (options->is_rehearsal) {
        return FRONT_EXIT_OK;
    }
    if (options->is_helper && front_mount_again(options)) {
        return FRONT_EXIT_OK;
    }
    return options->foreground ? front_startup_foreground(options) : front_startup_background(options);
}

int main(int argument_count, char **arguments)
{
    struct front_options options = {0};
    struct front_failure failure;
    int status = FRONT_EXIT_OK;

    bound_memory();
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error like a full disk, not our end */
    base_message_configure("beeftreefs", BASE_MESSAGE_TO_STDERR, 0);
    if (front_options_parse(argument_count, arguments, &options, &failure) < 0) {
        base_message(BASE_MESSAGE_ERROR, "%s", failure.text);
        return (int)failure.status; /* wrong usage: 1 for mount(8) too */
    }
    if (options.show_help) {
        print_help();
    } else if (options.show_version) {
        (void)printf("beeftreefs %s (libfuse %s)\n", BEEFTREE_VERSION, fuse_pkgversion());
    } else {
        status = options.remount ? front_remount(&options) : front_mount(&options);
    }
    status = options.is_helper ? front_mount_helper_status(status) : status;
    front_options_free(&options);
    return status;
}
