/* beeftree mkfs: makes an empty filesystem in a new or empty file; with --force over whatever a file or device holds.
 */
#include "internal.h"

#include "base/message.h"
#include "base/parse.h"
#include "fs/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_SIZE 131072U /* bytes: what comes before the first zone's pages (docs/format.md, section 1) */

struct mkfs {
    struct fs_format_options format;
    const char *path;
    bool force;
};

static int take_option(struct mkfs *mkfs, int option)
{
    uint64_t number = 0;

    switch (option) {
    case 'p':
        if (base_parse_size(optarg, &number) < 0 || number < STORE_PAGE_SIZE_MIN || number > STORE_PAGE_SIZE_MAX ||
            (number & (number - 1)) != 0) {
            base_message(BASE_MESSAGE_ERROR, "mkfs: %s: a page has 4K, 8K, 16K, 32K or 64K", optarg);
            return -EINVAL;
        }
        mkfs->format.page_size = (uint32_t)number;
        return 0;
    case 'L':
        if (strlen(optarg) >= sizeof mkfs->format.label) {
            base_message(BASE_MESSAGE_ERROR, "mkfs: %s: a label has at most 63 bytes", optarg);
            return -EINVAL;
        }
        memcpy(mkfs->format.label, optarg, strlen(optarg) + 1);
        return 0;
    case 'f':
        mkfs->force = true;
        return 0;
    default:
        return -EINVAL;
    }
}

/* Opens what is to become the database, locked; *ret_is_new says whether it was made. */
static int open_target(const struct mkfs *mkfs, struct os_file **ret_file, bool *ret_is_new)
{
    char *absolute = NULL;

    if (access(mkfs->path, F_OK) == 0 || errno != ENOENT) {
        int result = cli_open_database(mkfs->path, false, ret_file, &absolute);
        free(absolute);
        return result;
    }
    int result = os_file_open(mkfs->path, OS_FILE_CREATE, ret_file);
    if (result < 0) {
        cli_explain(mkfs->path, result, NULL);
        return result;
    }
    *ret_is_new = true;
    pid_t holder = 0;
    result = os_file_lock(*ret_file, OS_FILE_LOCK_MOUNTED, false, 0, &holder);
    if (result == 0) {
        result = os_file_lock(*ret_file, OS_FILE_LOCK_OPEN, false, 0, &holder);
    }
    if (result < 0) {
        base_message(BASE_MESSAGE_ERROR, "%s: another process (%ld) has taken the new file", mkfs->path, (long)holder);
        os_file_close(*ret_file);
    }
    return result;
}

/* A device keeps its size: what counts as empty there is a header of zeros. */
static int clear_header(struct os_file *file, uint64_t size)
{
    static const uint8_t zeros[HEADER_SIZE];

    return os_file_write(file, zeros, size < sizeof zeros ? (size_t)size : sizeof zeros, 0);
}

static int make_empty(const struct mkfs *mkfs, struct os_file *file)
{
    struct stat status;
    uint64_t size = 0;
    int result = stat(mkfs->path, &status) < 0 ? -errno : os_file_get_size(file, &size);
    bool is_device = result == 0 && S_ISBLK(status.st_mode);

    if (result == 0 && mkfs->force && size > 0) {
        result = is_device ? clear_header(file, size) : os_file_truncate(file, 0);
    } else if (result == 0 && !is_device && size > 0) {
        result = -EEXIST;
    }
    return result;
}

static int make_filesystem(const struct mkfs *mkfs)
{
    struct os_file *file = NULL;
    struct base_reason reason = {""};
    bool is_new = false;
    int result = open_target(mkfs, &file, &is_new);

    if (result < 0) {
        return result;
    }
    result = make_empty(mkfs, file);
    if (result == 0) {
        result = fs_format(file, &mkfs->format, &reason);
    }
    if (result < 0) {
        cli_explain(mkfs->path, result,
                    result == -EEXIST ? "is not empty (--force destroys what is in it)" : reason.text);
    }
    if (result < 0 && is_new) {
        (void)unlink(mkfs->path);
    }
    os_file_close(file);
    return result;
}

static int run_mkfs(const struct cli_command *command, int argument_count, char **arguments)
{
    static const struct option options[] = {
        {"page-size", required_argument, NULL, 'p'},
        {"label", required_argument, NULL, 'L'},
        {"force", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct mkfs mkfs = {.format = {.root_uid = getuid(), .root_gid = getgid(), .root_mode = 0755}};
    int option;

    while ((option = cli_next_option(command, argument_count, arguments, ":p:L:fh", options)) >= 0) {
        if (option == 'h') {
            return CLI_EXIT_OK;
        }
        if (option == '?' || take_option(&mkfs, option) < 0) {
            return CLI_EXIT_USAGE;
        }
    }
    if (!cli_has_one_argument(command, argument_count, arguments)) {
        return CLI_EXIT_USAGE;
    }
    mkfs.path = arguments[optind];
    return make_filesystem(&mkfs) < 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
}

const struct cli_command cli_command_mkfs = {
    .name = "mkfs",
    .usage = "[options] DB",
    .summary = "make an empty filesystem in the file DB",
    .help = "  -p, --page-size=SIZE  4K, 8K, 16K, 32K or 64K\n"
            "  -L, --label=TEXT      at most 63 bytes\n"
            "  -f, --force           even if DB has contents, which are lost\n",
    .run = run_mkfs,
};
