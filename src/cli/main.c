/* beeftree: makes, checks, watches, syncs and unmounts databases. The commands stand in a table. */
#include "internal.h"

#include "base/message.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct cli_command *const commands[] = {
    &cli_command_mkfs, &cli_command_check, &cli_command_status, &cli_command_sync, &cli_command_unmount,
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static const struct cli_command *find_command(const char *name)
{
    for (size_t index = 0; index < COMMAND_COUNT; index++) {
        if (strcmp(commands[index]->name, name) == 0) {
            return commands[index];
        }
    }
    return NULL;
}

static void print_overview(void)
{
    (void)printf("Usage: beeftree COMMAND [arguments]\n\n");
    for (size_t index = 0; index < COMMAND_COUNT; index++) {
        (void)printf("  %-8s %-26s %s\n", commands[index]->name, commands[index]->usage, commands[index]->summary);
    }
    (void)printf("  %-8s %-26s %s\n\n", "help", "[COMMAND]", "say what a command does, as COMMAND --help does");
    (void)printf("  --version, -V  version\n");
}

static int help(int argument_count, char **arguments)
{
    const struct cli_command *command = argument_count > 1 ? find_command(arguments[1]) : NULL;

    if (argument_count > 1 && !command) {
        base_message(BASE_MESSAGE_ERROR, "%s: unknown command (\"beeftree help\" lists them)", arguments[1]);
        return CLI_EXIT_USAGE;
    }
    if (command) {
        cli_print_help(command);
    } else {
        print_overview();
    }
    return CLI_EXIT_OK;
}

int main(int argument_count, char **arguments)
{
    base_message_configure("beeftree", BASE_MESSAGE_TO_STDERR, 0);
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error like a full disk, not our end */
    if (argument_count < 2) {
        base_message(BASE_MESSAGE_ERROR, "a command is wanted (\"beeftree help\" lists them)");
        return CLI_EXIT_USAGE;
    }
    const char *name = arguments[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return help(argument_count - 1, arguments + 1);
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        (void)printf("beeftree %s\n", BEEFTREE_VERSION);
        return CLI_EXIT_OK;
    }
    const struct cli_command *command = find_command(name);
    if (!command) {
        base_message(BASE_MESSAGE_ERROR, "%s: unknown command (\"beeftree help\" lists them)", name);
        return CLI_EXIT_USAGE;
    }
    return command->run(command, argument_count - 1, arguments + 1);
}
