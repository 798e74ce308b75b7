/* What several commands do alike: options, opening a database, asking a mount. */
#include "internal.h"

#include "base/message.h"
#include "os/claim.h"
#include "os/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void cli_print_help(const struct cli_command *command)
{
    (void)printf("Usage: beeftree %s %s\n%s\n\n%s", command->name, command->usage, command->summary, command->help);
}

int cli_next_option(const struct cli_command *command, int argument_count, char **arguments, const char *short_options,
                    const struct option *long_options)
{
    opterr = 0;
    int option = getopt_long(argument_count, arguments, short_options, long_options, NULL);

    if (option == 'h') {
        cli_print_help(command);
    } else if (option == ':') {
        base_message(BASE_MESSAGE_ERROR, "%s: %s needs a value", command->name, arguments[optind - 1]);
        option = '?';
    } else if (option == '?') {
        const char letter[] = {'-', (char)optopt, '\0'};
        base_message(BASE_MESSAGE_ERROR, "%s: %s: unknown option (\"beeftree help %s\" lists them)", command->name,
                     optopt > 0 && optopt < 256 ? letter : arguments[optind - 1], command->name);
    }
    return option;
}

bool cli_has_one_argument(const struct cli_command *command, int argument_count, char **arguments)
{
    if (argument_count - optind == 1 && arguments[optind][0]) {
        return true;
    }
    base_message(BASE_MESSAGE_ERROR, "usage: beeftree %s %s", command->name, command->usage);
    return false;
}

void cli_explain(const char *path, int result, const char *reason)
{
    base_message(BASE_MESSAGE_ERROR, "%s: %s", path, reason && reason[0] ? reason : strerror(-result));
}

int cli_ask_status(const char *path, char **ret_text)
{
    struct os_status *status = calloc(1, sizeof *status);
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int result = 0;

    if (descriptor < 0 || !status) {
        result = descriptor < 0 ? -errno : -ENOMEM;
        goto out;
    }
    if (ioctl(descriptor, OS_STATUS_IOCTL, status) < 0) {
        bool is_other = errno == ENOSYS || errno == EINVAL || errno == EOPNOTSUPP;
        result = is_other ? -ENOTTY : -errno;
        goto out;
    }
    status->text[sizeof status->text - 1] = '\0';
    *ret_text = strdup(status->text);
    result = *ret_text ? 0 : -ENOMEM;
out:
    if (descriptor >= 0) {
        (void)close(descriptor);
    }
    free(status);
    return result;
}

int cli_open_database(const char *path, bool read_only, struct os_file **ret_file, char **ret_absolute)
{
    struct os_file *file = NULL;
    pid_t holder = 0;
    char *absolute = realpath(path, NULL);
    int result = absolute ? os_file_open(absolute, read_only ? OS_FILE_READ_ONLY : 0, &file) : -errno;

    if (!file) {
        cli_explain(path, result, result == -ENOTBLK ? "is neither a file nor a block device" : NULL);
        free(absolute);
        return result;
    }
    result = os_file_claim(file, absolute, read_only, OS_CLAIM_TIMEOUT_MS, &holder);
    if (result == -EBUSY && holder > 0) {
        base_message(BASE_MESSAGE_ERROR, "%s: is in use by process %ld", path, (long)holder);
    } else if (result < 0) {
        cli_explain(path, result, result == -EBUSY ? "is in use by a process that cannot be seen from here" : NULL);
    }
    if (result < 0) {
        os_file_close(file);
        free(absolute);
        return result;
    }
    *ret_file = file;
    *ret_absolute = absolute;
    return 0;
}
