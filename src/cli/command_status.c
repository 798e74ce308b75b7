/* beeftree status: the counters of a mount, as JSON or as text with a section for each part. */
#include "internal.h"

#include "base/message.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void print_value(const cJSON *value)
{
    if (cJSON_IsString(value)) {
        (void)printf("%s\n", value->valuestring);
    } else if (cJSON_IsNumber(value)) {
        (void)printf("%.0f\n", value->valuedouble);
    } else if (cJSON_IsBool(value)) {
        (void)printf("%s\n", cJSON_IsTrue(value) ? "yes" : "no");
    } else {
        (void)printf("none\n");
    }
}

static int print_text(const char *text)
{
    cJSON *root = cJSON_Parse(text);
    const cJSON *section;
    const cJSON *value;

    if (!root) {
        return -EINVAL;
    }
    cJSON_ArrayForEach(section, root)
    {
        if (!cJSON_IsObject(section)) {
            continue;
        }
        (void)printf("%s\n", section->string);
        cJSON_ArrayForEach(value, section)
        {
            (void)printf("  %-24s ", value->string);
            print_value(value);
        }
    }
    cJSON_Delete(root);
    return 0;
}

static int run_status(const struct cli_command *command, int argument_count, char **arguments)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    bool json = false;
    char *text = NULL;
    int option;
    int result = 0;

    while ((option = cli_next_option(command, argument_count, arguments, ":jh", options)) >= 0) {
        if (option == 'h') {
            return CLI_EXIT_OK;
        }
        if (option == '?') {
            return CLI_EXIT_USAGE;
        }
        json = true;
    }
    if (!cli_has_one_argument(command, argument_count, arguments)) {
        return CLI_EXIT_USAGE;
    }
    result = cli_ask_status(arguments[optind], &text);
    if (result < 0) {
        cli_explain(arguments[optind], result, result == -ENOTTY ? "is not in a mounted beeftreefs" : NULL);
        return CLI_EXIT_FAILED;
    }
    if (json) {
        (void)printf("%s\n", text);
    } else {
        result = print_text(text);
    }
    free(text);
    if (result < 0) {
        cli_explain(arguments[optind], result, "the mount's answer is no JSON");
        return CLI_EXIT_FAILED;
    }
    return CLI_EXIT_OK;
}

const struct cli_command cli_command_status = {
    .name = "status",
    .usage = "[--json] PATH",
    .summary = "print the counters of the mount that PATH is in",
    .help = "  -j, --json  print one JSON object\n",
    .run = run_status,
};
