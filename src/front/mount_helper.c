/* The program as a helper of mount(8), which looks for /sbin/mount.TYPE and starts it as
 *
 *      mount.TYPE FILE DIRECTORY [-sfnv] [-N NAMESPACE] [-o WORD,...] [-t TYPE]
 *
 * so some letters mean other things than on our own command line. Under such a name the program behaves as users of
 * mount(8) know it from other filesystems: root's mounts have devices and set-id programs, a mount point need not be
 * empty, "remount" changes a mount. */
#include "internal.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

/* Of mount(8). */
#define MOUNT_EXIT_USAGE  1
#define MOUNT_EXIT_SYSTEM 2
#define MOUNT_EXIT_FAILED 32

bool front_mount_helper_is(const char *program)
{
    const char *slash = strrchr(program, '/');

    return strncmp(slash ? slash + 1 : program, "mount.", 6) == 0;
}

static int usage(const char *what, int letter, struct front_failure *failure)
{
    front_failure_set(failure, FRONT_EXIT_USAGE, "-%c: %s", letter, what);
    return -EINVAL;
}

static int take_option(struct front_options *options, int option, struct front_failure *failure)
{
    switch (option) {
    case 's':
        options->takes_any_word = true;
        return 0;
    case 'f':
        options->is_rehearsal = true;
        return 0;
    case 'o': /* after -s, wherever that stands */
    case 'n':
    case 'v':
    case 't':
        return 0;
    case 'h':
        options->show_help = true;
        return 0;
    case 'V':
        options->show_version = true;
        return 0;
    case 'N':
        return usage("mounting into another namespace is not supported", option, failure);
    case ':':
        return usage("needs a value", optopt, failure);
    default:
        return usage("unknown option", optopt, failure);
    }
}

static int take_all(struct front_options *options, int argument_count, char **arguments, bool is_words,
                    struct front_failure *failure)
{
    int result = 0, option;

    opterr = 0;
    optind = 1;
    while (result == 0 && (option = getopt(argument_count, arguments, ":sfnvhVN:o:t:")) >= 0) {
        if (is_words) {
            result = option == 'o' ? front_options_take_words(options, optarg, failure) : 0;
        } else {
            result = take_option(options, option, failure);
        }
    }
    return result;
}

int front_mount_helper_parse(struct front_options *options, int argument_count, char **arguments,
                             struct front_failure *failure)
{
    options->is_helper = true;
    options->nonempty = true;
    int result = take_all(options, argument_count, arguments, false, failure);
    if (result == 0 && getuid() == 0) {
        result = front_options_take_words(options, "suid,dev", failure);
    }
    if (result == 0) {
        result = take_all(options, argument_count, arguments, true, failure);
    }
    if (result == 0 && !options->show_help && !options->show_version) {
        result = front_options_take_paths(options, argument_count - optind, arguments + optind, failure);
    }
    return result;
}

int front_mount_helper_status(int status)
{
    switch (status) {
    case FRONT_EXIT_OK:
        return 0;
    case FRONT_EXIT_USAGE:
        return MOUNT_EXIT_USAGE;
    case FRONT_EXIT_INTERNAL:
        return MOUNT_EXIT_SYSTEM;
    default:
        return MOUNT_EXIT_FAILED;
    }
}
