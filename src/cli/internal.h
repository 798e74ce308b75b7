/* What the files of cli/ share: the table of commands and how they speak. Each command parses its own arguments, which
 * begin with its name, and returns its exit status. */
#ifndef BEEFTREE_CLI_INTERNAL_H
#define BEEFTREE_CLI_INTERNAL_H

#include "os/file.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Exit statuses of all commands but check; docs/man/beeftree.1 says the same. */
enum cli_exit { CLI_EXIT_OK = 0, CLI_EXIT_FAILED = 1, CLI_EXIT_USAGE = 2 };

/* Of check, bits as fsck(8) has them. */
enum cli_check_exit {
    CLI_CHECK_CLEAN = 0,
    CLI_CHECK_DAMAGED = 4,
    CLI_CHECK_FAILED = 8,
    CLI_CHECK_USAGE = 16,
    CLI_CHECK_CANCELLED = 32,
    CLI_CHECK_LIBRARY = 128,
};

struct cli_command {
    const char *name;
    const char *usage;   /* of the arguments, one line */
    const char *summary; /* one line */
    const char *help;    /* the options, ending in a newline */
    int (*run)(const struct cli_command *command, int argument_count, char **arguments);
};

extern const struct cli_command cli_command_check;
extern const struct cli_command cli_command_mkfs;
extern const struct cli_command cli_command_status;
extern const struct cli_command cli_command_sync;
extern const struct cli_command cli_command_unmount;

void cli_print_help(const struct cli_command *command);

/* getopt_long for a command: the next option, or -1 at the end of the options. Explains what is wrong itself: '?' then,
 * and 'h' after printing the help. long_options has {"help", no_argument, NULL, 'h'}. */
int cli_next_option(const struct cli_command *command, int argument_count, char **arguments, const char *short_options,
                    const struct option *long_options);

/* Whether exactly one argument follows the options; says what is wanted if not. */
bool cli_has_one_argument(const struct cli_command *command, int argument_count, char **arguments);

/* The answer of a mount to the status ioctl, NUL-terminated in allocated memory. path: a file or directory in it;
 * -ENOTTY when it is in no mount of ours. */
int cli_ask_status(const char *path, char **ret_text);

/* Makes everything durable in the mount that an open file or directory is in (command_sync.c). -ENOTTY when it is none
 * of ours, -EPERM when it is somebody else's, -EBUSY when what was stored through mappings may not all be durable. */
int cli_sync_mount(int descriptor);

/* Opens a database and takes its locks; explains failures. The path is made absolute, links resolved, for the caller
 * to free. A negative errno, -EBUSY when it is in use. */
int cli_open_database(const char *path, bool read_only, struct os_file **ret_file, char **ret_absolute);

/* A bar on stderr, when that is a terminal and wanted says so (progress.c). Clear it before other output. */
struct cli_progress {
    bool is_on, is_visible;
    uint32_t shown_phase;
    uint64_t shown_ms;
};
void cli_progress_init(struct cli_progress *progress, bool wanted);
/* phase is an index, from 0; done is at most total. */
void cli_progress_show(struct cli_progress *progress, uint32_t phase, uint32_t phase_count, const char *name,
                       uint64_t done, uint64_t total);
void cli_progress_clear(struct cli_progress *progress);

/* The last words of a failed opening: the reason, or the error's name. */
void cli_explain(const char *path, int result, const char *reason);

#endif
