/* beeftree check: opens a database read-only and reports whatever is wrong with it. Nothing is ever written. */
#include "internal.h"

#include "base/message.h"
#include "fs/fs.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRINTED_PER_KIND_MAX 20U
#define KIND_MAX             64U
#define KIND_SIZE            48U

/* Problems that differ only in their numbers are of one kind. */
struct problem_kind {
    char shape[KIND_SIZE];
    uint64_t count;
};

struct check {
    const char *path;
    bool data, json, quiet;
    struct problem_kind kinds[KIND_MAX];
    unsigned kind_count;
    uint64_t suppressed;
    cJSON *problems; /* when json */
};

/* The text with each run of digits and each quoted name reduced to '#'. */
static void find_shape(const char *text, char shape[KIND_SIZE])
{
    size_t used = 0;

    while (*text && used + 1 < KIND_SIZE) {
        if (*text >= '0' && *text <= '9') {
            text += strspn(text, "0123456789abcdefx");
            shape[used++] = '#';
        } else if (*text == '"') {
            const char *end = strchr(text + 1, '"');
            text = end ? end + 1 : text + strlen(text);
            shape[used++] = '#';
        } else {
            shape[used++] = *text++;
        }
    }
    shape[used] = '\0';
}

/* How many of its kind came before; kinds beyond the table share the last place. */
static uint64_t count_problem(struct check *check, const char *text)
{
    char shape[KIND_SIZE];
    unsigned index = 0;

    find_shape(text, shape);
    while (index < check->kind_count && strcmp(check->kinds[index].shape, shape) != 0) {
        index++;
    }
    if (index == KIND_MAX) {
        index--;
    } else if (index == check->kind_count) {
        memcpy(check->kinds[index].shape, shape, sizeof shape);
        check->kind_count++;
    }
    return check->kinds[index].count++;
}

static void take_problem(void *context, const char *text)
{
    struct check *check = context;

    if (count_problem(check, text) >= PRINTED_PER_KIND_MAX) {
        check->suppressed++;
    } else if (check->json) {
        (void)cJSON_AddItemToArray(check->problems, cJSON_CreateString(text));
    } else {
        (void)printf("%s: %s\n", check->path, text);
    }
}

static void print_suppressed(const struct check *check)
{
    for (unsigned index = 0; index < check->kind_count; index++) {
        const struct problem_kind *kind = &check->kinds[index];
        if (kind->count > PRINTED_PER_KIND_MAX) {
            (void)printf("%s: ... and %llu more like: %s\n", check->path,
                         (unsigned long long)(kind->count - PRINTED_PER_KIND_MAX), kind->shape);
        }
    }
}

static void print_summary(struct check *check, const struct fs_check_report *report)
{
    if (check->suppressed > 0) {
        print_suppressed(check);
    }
    if (check->quiet && report->problems == 0) {
        return;
    }
    (void)printf("%s: %s: %llu pages, %llu rows, %llu inodes, %llu directories, %llu entries, %llu content blocks%s",
                 check->path, report->problems == 0 ? "clean" : "damaged", (unsigned long long)report->pages,
                 (unsigned long long)report->rows, (unsigned long long)report->inodes,
                 (unsigned long long)report->directories, (unsigned long long)report->entries,
                 (unsigned long long)report->content_blocks, check->data ? " (read)" : "");
    if (report->orphans > 0) {
        (void)printf(", %llu unlinked inodes to be freed at the next mount", (unsigned long long)report->orphans);
    }
    if (report->problems > 0) {
        (void)printf(", %llu problems", (unsigned long long)report->problems);
    }
    (void)printf("\n");
}

static void add_number(cJSON *object, const char *name, uint64_t number)
{
    (void)cJSON_AddNumberToObject(object, name, (double)number);
}

static void print_json(struct check *check, const struct fs_check_report *report, int result, const char *reason)
{
    cJSON *root = cJSON_CreateObject();

    add_number(root, "version", 1);
    (void)cJSON_AddStringToObject(root, "database", check->path);
    (void)cJSON_AddBoolToObject(root, "clean", result == 0 && report->problems == 0);
    if (result < 0) {
        (void)cJSON_AddStringToObject(root, "error", reason);
    } else {
        (void)cJSON_AddNullToObject(root, "error");
    }
    add_number(root, "problem_count", report->problems);
    (void)cJSON_AddItemToObject(root, "problems", check->problems);
    check->problems = NULL;
    add_number(root, "pages", report->pages);
    add_number(root, "rows", report->rows);
    add_number(root, "inodes", report->inodes);
    add_number(root, "directories", report->directories);
    add_number(root, "entries", report->entries);
    add_number(root, "orphans", report->orphans);
    add_number(root, "content_blocks", report->content_blocks);
    (void)cJSON_AddBoolToObject(root, "data_read", check->data);
    char *text = cJSON_PrintUnformatted(root);
    (void)printf("%s\n", text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

/* What refuses to be opened is as damaged as can be; what can't be read says nothing about its state. */
static int exit_status(int result, const struct fs_check_report *report)
{
    if (result == -EUCLEAN || result == -ENODATA || result == -EMEDIUMTYPE) {
        return CLI_CHECK_DAMAGED;
    }
    if (result < 0) {
        return CLI_CHECK_FAILED;
    }
    return report->problems > 0 ? CLI_CHECK_DAMAGED : CLI_EXIT_OK;
}

static int check_database(struct check *check)
{
    struct fs_check_report report = {.problem = take_problem, .context = check, .data = check->data};
    const struct fs_options options = {.read_only = true};
    struct base_reason reason = {""};
    struct os_file *file = NULL;
    struct fs *fs = NULL;
    char *absolute = NULL;

    if (cli_open_database(check->path, true, &file, &absolute) < 0) {
        return CLI_CHECK_FAILED;
    }
    free(absolute);
    check->problems = cJSON_CreateArray();
    int result = fs_open(file, &options, &fs, &reason);
    if (result == 0) {
        result = fs_check(fs, &report);
        (void)fs_close(fs);
    }
    const char *why = reason.text[0] ? reason.text : strerror(result < 0 ? -result : 0);
    if (result < 0) {
        cli_explain(check->path, result, why);
    }
    if (check->json) {
        print_json(check, &report, result, why);
    } else if (result == 0) {
        print_summary(check, &report);
    }
    cJSON_Delete(check->problems);
    os_file_close(file);
    return exit_status(result, &report);
}

static int run_check(const struct cli_command *command, int argument_count, char **arguments)
{
    static const struct option options[] = {
        {"data", no_argument, NULL, 'd'},
        {"json", no_argument, NULL, 'j'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct check check = {0};
    int option;

    while ((option = cli_next_option(command, argument_count, arguments, ":djqh", options)) >= 0) {
        if (option == 'h') {
            return CLI_EXIT_OK;
        }
        if (option == '?') {
            return CLI_CHECK_USAGE;
        }
        check.data = check.data || option == 'd';
        check.json = check.json || option == 'j';
        check.quiet = check.quiet || option == 'q';
    }
    if (!cli_has_one_argument(command, argument_count, arguments)) {
        return CLI_CHECK_USAGE;
    }
    check.path = arguments[optind];
    return check_database(&check);
}

const struct cli_command cli_command_check = {
    .name = "check",
    .usage = "[options] DB",
    .summary = "check a database that is not mounted; change nothing",
    .help = "  -d, --data   also read all contents of files and compare their checksums\n"
            "  -j, --json   print one JSON object\n"
            "  -q, --quiet  print only problems\n"
            "\n"
            "Exit status: 0 clean, 4 damaged, 8 the check could not be made, 16 wrong usage.\n",
    .run = run_check,
};
