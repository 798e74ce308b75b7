/* What a check has found, as lines or as one JSON object. Of problems that differ only in numbers and names the first
 * ones are shown, the others counted: a damaged page can make thousands of one kind. */
#include "check_report.h"

#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text with each number and each quoted name reduced to '#'. */
static void find_shape(const char *text, char shape[CHECK_SHAPE_SIZE])
{
    size_t used = 0;

    while (*text && used + 1 < CHECK_SHAPE_SIZE) {
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
static uint64_t count_problem(struct check_report *report, const char *text)
{
    char shape[CHECK_SHAPE_SIZE];
    unsigned index = 0;

    find_shape(text, shape);
    while (index < report->kind_count && strcmp(report->kinds[index].shape, shape) != 0) {
        index++;
    }
    if (index == CHECK_KIND_MAX) {
        index--;
    } else if (index == report->kind_count) {
        memcpy(report->kinds[index].shape, shape, sizeof shape);
        report->kind_count++;
    }
    return report->kinds[index].count++;
}

static void add_text_to(cJSON *array, const char *text)
{
    char *copy = strdup(text);

    if (copy) {
        base_utf8_repair(copy);
    }
    (void)cJSON_AddItemToArray(array, cJSON_CreateString(copy ? copy : ""));
    free(copy);
}

void check_report_init(struct check_report *report, const char *path, bool as_json, bool quiet)
{
    *report = (struct check_report){.path = path, .as_json = as_json, .quiet = quiet};
    if (as_json) {
        report->problems = cJSON_CreateArray();
        report->notes = cJSON_CreateArray();
    }
}

void check_report_deinit(struct check_report *report)
{
    cJSON_Delete(report->problems);
    cJSON_Delete(report->notes);
}

void check_report_problem(struct check_report *report, const char *text)
{
    if (count_problem(report, text) >= CHECK_SHOWN_PER_KIND_MAX) {
        return;
    }
    if (report->as_json) {
        add_text_to(report->problems, text);
    } else {
        (void)printf("%s: %s\n", report->path, text);
    }
}

void check_report_note(struct check_report *report, const char *text)
{
    if (report->as_json) {
        add_text_to(report->notes, text);
    } else if (!report->quiet) {
        (void)printf("%s: note: %s\n", report->path, text);
    }
}

/* --- Text --------------------------------------------------------------------------------------------------------- */

static void print_left_out(const struct check_report *report)
{
    for (unsigned index = 0; index < report->kind_count; index++) {
        const struct check_kind *kind = &report->kinds[index];
        if (kind->count > CHECK_SHOWN_PER_KIND_MAX) {
            (void)printf("%s: ... and %llu more like: %s\n", report->path,
                         (unsigned long long)(kind->count - CHECK_SHOWN_PER_KIND_MAX), kind->shape);
        }
    }
}

void check_report_print_text(const struct check_report *report, const struct check_outcome *outcome)
{
    const struct fs_check_report *found = outcome->found;

    print_left_out(report);
    if (outcome->error || (report->quiet && found->problems == 0)) {
        return;
    }
    (void)printf("%s: %s: %llu pages, %llu rows, %llu inodes, %llu directories, %llu entries, %llu content blocks%s",
                 report->path, found->problems == 0 ? "clean" : "damaged", (unsigned long long)found->pages,
                 (unsigned long long)found->rows, (unsigned long long)found->inodes,
                 (unsigned long long)found->directories, (unsigned long long)found->entries,
                 (unsigned long long)found->content_blocks, found->data ? " (read)" : "");
    if (found->orphans > 0) {
        (void)printf(", %llu unlinked inodes to be freed at the next mount", (unsigned long long)found->orphans);
    }
    if (found->freeing > 0) {
        (void)printf(", contents of %llu inodes to be freed at the next mount", (unsigned long long)found->freeing);
    }
    if (found->problems > 0) {
        (void)printf(", %llu problems", (unsigned long long)found->problems);
    }
    (void)printf("\n");
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void add_number(cJSON *object, const char *name, uint64_t number)
{
    (void)cJSON_AddNumberToObject(object, name, (double)number);
}

static void add_text(cJSON *object, const char *name, const char *text)
{
    char *copy = text ? strdup(text) : NULL;

    if (!text) {
        (void)cJSON_AddNullToObject(object, name);
        return;
    }
    if (copy) {
        base_utf8_repair(copy);
    }
    (void)cJSON_AddStringToObject(object, name, copy ? copy : "");
    free(copy);
}

static void add_left_out(cJSON *root, const struct check_report *report)
{
    cJSON *array = cJSON_AddArrayToObject(root, "problems_left_out");

    for (unsigned index = 0; index < report->kind_count; index++) {
        const struct check_kind *kind = &report->kinds[index];
        if (kind->count > CHECK_SHOWN_PER_KIND_MAX) {
            cJSON *object = cJSON_CreateObject();
            add_text(object, "like", kind->shape);
            add_number(object, "count", kind->count - CHECK_SHOWN_PER_KIND_MAX);
            (void)cJSON_AddItemToArray(array, object);
        }
    }
}

int check_report_print_json(struct check_report *report, const struct check_outcome *outcome)
{
    const struct fs_check_report *found = outcome->found;
    cJSON *root = cJSON_CreateObject();

    add_number(root, "version", 1);
    add_text(root, "database", report->path);
    (void)cJSON_AddBoolToObject(root, "clean", !outcome->error && found->problems == 0);
    add_text(root, "error", outcome->error);
    add_number(root, "exit_status", (uint64_t)outcome->exit_status);
    add_number(root, "problem_count", found->problems);
    (void)cJSON_AddItemToObject(root, "problems", report->problems);
    report->problems = NULL;
    add_left_out(root, report);
    add_number(root, "note_count", found->notes);
    (void)cJSON_AddItemToObject(root, "notes", report->notes);
    report->notes = NULL;
    add_number(root, "pages", found->pages);
    add_number(root, "rows", found->rows);
    add_number(root, "inodes", found->inodes);
    add_number(root, "directories", found->directories);
    add_number(root, "entries", found->entries);
    add_number(root, "orphans", found->orphans);
    add_number(root, "freeing", found->freeing);
    add_number(root, "content_blocks", found->content_blocks);
    (void)cJSON_AddBoolToObject(root, "data_read", found->data);
    add_number(root, "duration_ms", outcome->duration_ms);
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (!text) {
        return -1;
    }
    (void)printf("%s\n", text);
    cJSON_free(text);
    return 0;
}
