/* beeftree check: opens a database read-only and reports whatever is wrong with it. Nothing is ever written. */
#include "internal.h"

#include "base/clock.h"
#include "base/message.h"
#include "check_report.h"
#include "fs/fs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    const char *path;
    bool data, as_json, quiet;
    struct check_report report;
    struct cli_progress progress;
};

/* --- Cancelling --------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t is_cancelled;

static void cancel(int signal_number)
{
    (void)signal_number;
    is_cancelled = 1;
}

/* From here on SIGINT and SIGTERM end the check, not the program. Who started us may have blocked them; ignored ones
 * (a shell's background job) stay ignored. */
static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction action = {.sa_handler = cancel};
        struct sigaction before;
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
            (void)sigaction(numbers[i], &action, NULL);
            (void)sigaddset(&set, numbers[i]);
        }
    }
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* --- What fs_check says ------------------------------------------------------------------------------------------- */

static void take_problem(void *context, const char *text)
{
    struct check *check = context;

    cli_progress_clear(&check->progress);
    check_report_problem(&check->report, text);
}

static void take_note(void *context, const char *text)
{
    struct check *check = context;

    cli_progress_clear(&check->progress);
    check_report_note(&check->report, text);
}

static bool take_progress(void *context, enum fs_check_phase phase, uint64_t done, uint64_t total)
{
    static const char *const names[FS_CHECK_PHASE_COUNT] = {"pages", "tree", "rows", "contents"};
    struct check *check = context;
    uint32_t phase_count = check->data ? FS_CHECK_PHASE_COUNT : FS_CHECK_PHASE_COUNT - 1U;

    cli_progress_show(&check->progress, (uint32_t)phase, phase_count, names[phase], done, total);
    return !is_cancelled;
}

/* --- The check ---------------------------------------------------------------------------------------------------- */

/* What refuses to be opened is as damaged as can be; what can't be read says nothing about its state. */
static int find_exit_status(int result, const struct fs_check_report *found)
{
    int status = found->problems > 0 ? CLI_CHECK_DAMAGED : CLI_CHECK_CLEAN;

    if (result == -EUCLEAN || result == -ENODATA || result == -EMEDIUMTYPE) {
        status |= CLI_CHECK_DAMAGED;
    } else if (result == -ECANCELED) {
        status |= CLI_CHECK_CANCELLED;
    } else if (result < 0) {
        status |= CLI_CHECK_FAILED;
    }
    return status;
}

static int open_and_check(struct check *check, struct fs_check_report *found, struct base_reason *ret_reason)
{
    const struct fs_options options = {.read_only = true};
    struct os_file *file = NULL;
    struct fs *fs = NULL;
    char *absolute = NULL;
    int result = cli_open_database(check->path, true, &file, &absolute);

    if (result < 0) {
        base_reason_set(ret_reason, "cannot be opened: %s", strerror(-result));
        return result == -EMEDIUMTYPE || result == -ENODATA ? -EIO : result;
    }
    free(absolute);
    catch_signals();
    base_message_set_least(BASE_MESSAGE_ERROR); /* what is less comes as a problem or a note */
    result = fs_open(file, &options, &fs, ret_reason);
    if (result == 0) {
        *ret_reason = (struct base_reason){""}; /* opening may try one state and then another */
        result = fs_check(fs, found);
        (void)fs_close(fs);
    }
    cli_progress_clear(&check->progress);
    if (result < 0 && ret_reason->text[0] == '\0') {
        base_reason_set(ret_reason, "%s", result == -ECANCELED ? "the check was cancelled" : strerror(-result));
    }
    if (result < 0) {
        cli_explain(check->path, result, ret_reason->text);
    }
    os_file_close(file);
    return result;
}

static int check_database(struct check *check)
{
    struct fs_check_report found = {
        .problem = take_problem, .note = take_note, .progress = take_progress, .context = check, .data = check->data};
    struct check_outcome outcome = {.found = &found};
    struct base_reason reason = {""};
    uint64_t start_ms = base_clock_monotonic_ms();

    check_report_init(&check->report, check->path, check->as_json, check->quiet);
    cli_progress_init(&check->progress, !check->quiet);
    int result = open_and_check(check, &found, &reason);
    outcome.error = result < 0 ? reason.text : NULL;
    outcome.exit_status = find_exit_status(result, &found);
    outcome.duration_ms = base_clock_monotonic_ms() - start_ms;
    if (!check->as_json) {
        check_report_print_text(&check->report, &outcome);
    } else if (check_report_print_json(&check->report, &outcome) < 0) {
        base_message(BASE_MESSAGE_ERROR, "%s: the answer can't be made: out of memory", check->path);
        outcome.exit_status |= CLI_CHECK_LIBRARY;
    }
    check_report_deinit(&check->report);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        base_message(BASE_MESSAGE_ERROR, "%s: the answer can't be written: %s", check->path, strerror(errno));
        outcome.exit_status |= CLI_CHECK_FAILED;
    }
    return outcome.exit_status;
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
            return CLI_CHECK_CLEAN;
        }
        if (option == '?') {
            return CLI_CHECK_USAGE;
        }
        check.data = check.data || option == 'd';
        check.as_json = check.as_json || option == 'j';
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
            "  -q, --quiet  print only problems, show no progress\n"
            "\n"
            "Exit status, a sum: 0 clean, 4 damaged, 8 the check could not be made, 16 wrong usage,\n"
            "32 cancelled by SIGINT or SIGTERM, 128 out of memory for the answer.\n",
    .run = run_check,
};
