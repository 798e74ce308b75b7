/* What a check has found, for a reader or a program (check_report.c). */
#ifndef BEEFTREE_CLI_CHECK_REPORT_H
#define BEEFTREE_CLI_CHECK_REPORT_H

#include "fs/fs.h"

#include <cjson/cJSON.h>

#define CHECK_SHOWN_PER_KIND_MAX 20U
#define CHECK_KIND_MAX           64U
#define CHECK_SHAPE_SIZE         48U

/* Problems that differ only in their numbers and names are of one kind. */
struct check_kind {
    char shape[CHECK_SHAPE_SIZE];
    uint64_t count;
};

struct check_report {
    const char *path;
    bool as_json, quiet;
    struct check_kind kinds[CHECK_KIND_MAX];
    unsigned kind_count;
    cJSON *problems, *notes; /* texts, when as_json */
};

/* How a check ended. */
struct check_outcome {
    const struct fs_check_report *found;
    const char *error; /* why it could not be made or finished, or NULL */
    int exit_status;
    uint64_t duration_ms;
};

void check_report_init(struct check_report *report, const char *path, bool as_json, bool quiet);
void check_report_deinit(struct check_report *report);
/* One line each, printed or kept. */
void check_report_problem(struct check_report *report, const char *text);
void check_report_note(struct check_report *report, const char *text);
void check_report_print_text(const struct check_report *report, const struct check_outcome *outcome);
/* 0, or negative when memory is short (nothing is printed). */
int check_report_print_json(struct check_report *report, const struct check_outcome *outcome);

#endif
