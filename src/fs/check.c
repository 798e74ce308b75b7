/* The check of a whole filesystem, from the superblocks up to the contents (check.h has the plan). */
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_SIZE = 512, PROGRESS_ROWS = 256 };

/* Names are bytes of the file: nothing in them may drive a terminal. */
static void make_harmless(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F) {
            *text = '?';
        }
    }
}

void check_problem(struct checker *checker, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    make_harmless(text);
    checker->report->problems++;
    if (checker->report->problem != NULL) {
        checker->report->problem(checker->report->context, text);
    }
}

int check_progress(struct checker *checker, enum fs_check_phase phase, uint64_t done, uint64_t total)
{
    struct fs_check_report *report = checker->report;

    if (report->progress == NULL || report->progress(report->context, phase, done < total ? done : total, total)) {
        return 0;
    }
    return -ECANCELED;
}

/* Lines of the layers below. */
static void pass_problem(void *context, const char *text)
{
    struct checker *checker = context;

    check_problem(checker, "%s", text);
}

static void pass_note(void *context, const char *text)
{
    struct checker *checker = context;

    checker->report->notes++;
    if (checker->report->note != NULL) {
        checker->report->note(checker->report->context, text);
    }
}

static bool pass_store_progress(void *context, uint64_t pages_done, uint64_t pages_total)
{
    return check_progress(context, FS_CHECK_PAGES, pages_done, pages_total) == 0;
}

static bool pass_tree_progress(void *context, uint64_t pages_done)
{
    struct checker *checker = context;

    return check_progress(checker, FS_CHECK_TREE, pages_done, checker->page_total) == 0;
}

int check_table(struct checker *checker, uint8_t table, check_row row, void *context)
{
    int ret = btree_cursor_seek(checker->cursor, NULL, (struct btree_slice){&table, 1});

    while (ret == 0) {
        struct btree_slice key = btree_cursor_key(checker->cursor);

        if (*(const uint8_t *)key.bytes != table) {
            return 0;
        }
        checker->report->rows++;
        ret = row(checker, key, btree_cursor_value(checker->cursor), context);
        if (ret == 0 && checker->report->rows % PROGRESS_ROWS == 0 && !(table == 'C' && checker->report->data)) {
            ret = check_progress(checker, FS_CHECK_ROWS, checker->report->rows, checker->row_total);
        }
        if (ret < 0) {
            return ret;
        }
        ret = btree_cursor_next(checker->cursor, NULL);
    }
    if (ret == -ENOENT) {
        return 0;
    }
    if (ret != -EUCLEAN && ret != -EIO) {
        return ret;
    }
    check_problem(checker, "table %c: rows can't all be read", table);
    checker->incomplete = true;
    return 0;
}

static int report_unknown(struct checker *checker, struct btree_slice key, struct btree_slice value, void *context)
{
    (void)key;
    (void)value;
    ++*(uint64_t *)context;
    (void)checker;
    return 0;
}

static bool is_known(uint8_t table)
{
    return table == 'I' || table == 'O' || table == 'D' || table == 'C' || table == 'X' || table == 'S';
}

/* Rows of tables that this format does not have. */
static int check_other_tables(struct checker *checker)
{
    uint8_t table = 0;

    for (;;) {
        uint64_t rows = 0;
        int ret = btree_cursor_seek(checker->cursor, NULL, (struct btree_slice){&table, 1});

        if (ret == -ENOENT) {
            return 0;
        }
        if (ret == -EUCLEAN || ret == -EIO) {
            /* Each table's own scan will say so. */
            checker->incomplete = true;
            return 0;
        }
        if (ret < 0) {
            return ret;
        }
        table = *(const uint8_t *)btree_cursor_key(checker->cursor).bytes;
        if (!is_known(table)) {
            ret = check_table(checker, table, report_unknown, &rows);
            if (ret < 0) {
                return ret;
            }
            check_problem(checker, "%llu rows of the unknown table %u", (unsigned long long)rows, table);
        }
        if (table == UINT8_MAX) {
            return 0;
        }
        table++;
    }
}

static int check_rows(struct checker *checker)
{
    int (*const steps[])(struct checker *) = {check_other_tables, check_inodes, check_orphans,
                                              check_entries,      check_xattrs, check_shares};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int ret = check_progress(checker, FS_CHECK_ROWS, checker->report->rows, checker->row_total);

        if (ret == 0) {
            ret = steps[i](checker);
        }
        if (ret < 0) {
            return ret;
        }
    }
    if (!checker->incomplete) {
        check_links(checker);
    }
    return check_contents(checker);
}

static int check_layers_below(struct checker *checker)
{
    struct fs_check_report *report = checker->report;
    struct store_check_report store_report = {
        .problem = pass_problem,
        .note = pass_note,
        .progress = pass_store_progress,
        .context = checker,
    };
    struct btree_verify_report tree_report = {
        .problem = pass_problem,
        .progress = pass_tree_progress,
        .context = checker,
    };
    struct store_statistics statistics;
    int ret;

    store_get_statistics(checker->fs->store, &statistics);
    ret = check_progress(checker, FS_CHECK_PAGES, 0, statistics.pages);
    if (ret == 0) {
        ret = store_check(checker->fs->store, &store_report);
    }
    report->pages = checker->page_total = store_report.pages_checked;
    if (ret == 0) {
        ret = check_progress(checker, FS_CHECK_TREE, 0, checker->page_total);
    }
    if (ret == 0) {
        ret = btree_verify(checker->fs->tree, &tree_report);
    }
    checker->row_total = tree_report.rows;
    return ret;
}

static int make_room(struct checker *checker)
{
    struct store_statistics statistics;

    store_get_statistics(checker->fs->store, &statistics);
    checker->block_count = statistics.file_blocks;
    checker->content_total = statistics.content_blocks;
    checker->named = calloc((size_t)(checker->block_count / 8 + 1), 1);
    if (checker->named == NULL) {
        return -ENOMEM;
    }
    if (checker->report->data) {
        checker->buffer = malloc(FS_CHUNK_SIZE);
        if (checker->buffer == NULL) {
            return -ENOMEM;
        }
    }
    return btree_cursor_open(checker->fs->tree, &checker->cursor);
}

int fs_check(struct fs *fs, struct fs_check_report *report)
{
    struct checker checker = {.fs = fs, .report = report};
    int ret;

    report->problems = report->notes = report->inodes = report->directories = report->entries = 0;
    report->content_blocks = report->pages = report->rows = report->orphans = report->freeing = 0;
    ret = check_layers_below(&checker);
    if (ret == 0) {
        ret = make_room(&checker);
    }
    if (ret == 0) {
        ret = check_rows(&checker);
    }
    if (checker.cursor != NULL) {
        btree_cursor_close(checker.cursor);
    }
    free(checker.buffer);
    free(checker.named);
    free(checker.shares);
    free(checker.records);
    return ret;
}
