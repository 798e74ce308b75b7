/* The power-cut simulation: options, workers, the report. See crash.h. */
#include "crash.h"
#include "threads.h"

#include "base/message.h"
#include "base/tooth.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS_MAX = 64, TREE_LOG_SIZE = 32 << 10 }; /* a small ring: short workloads go round it */

static void usage(FILE *to)
{
    fputs(
        "usage: crash [--cuts N] [--seed S] [--jobs J] [--mode MODE] [--scenario NAME] [--replay CASE]\n"
        "\n"
        "Cuts the power of a simulated disk under the filesystem, recovers, checks, and compares the whole tree with\n"
        "the states that the promises allow.\n"
        "\n"
        "  --cuts N         how many (20000), shared between the modes; 'all' for the whole enumeration of the mode "
        "exhaustive\n"
        "  --seed S         what is drawn (1)\n"
        "  --jobs J         processes (as many as there are processors)\n"
        "  --mode MODE      exhaustive, random, faults, scenario or all (all)\n"
        "  --scenario NAME  only that scenario\n"
        "  --replay CASE    one case, as a report names it, with what was done on stderr\n",
        to);
}

/* In memory that all workers share. */
struct shared {
    struct verify_counts counts;
    uint64_t cuts_before; /* of the modes before */
    _Atomic bool is_found;
    char cases[WORKERS_MAX][96]; /* what each worker is at, should it die */
};

static struct shared *shared;

bool crash_goes_on(const struct crash_run *run)
{
    uint64_t cuts = __atomic_load_n(&shared->counts.cuts, __ATOMIC_RELAXED) - shared->cuts_before;
    return !shared->is_found && cuts < run->cuts_wanted;
}

void crash_note_case(const struct crash_run *run, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(shared->cases[run->worker], sizeof shared->cases[run->worker], format, arguments);
    va_end(arguments);
}

bool crash_report(const char *replay, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    shared->is_found = true;
    printf("crash: DIFFERENCE: %s; replay with --replay %s\n", text, replay);
    fflush(stdout);
    return false;
}

/* What differs from the newest state that was allowed, in words. */
static void explain(const struct session *session, uint64_t window, struct sim_image *image)
{
    const struct fs_options options = {.read_only = true, .cache_size = 1};
    struct base_reason reason = {""};
    struct sim_disk disk;
    struct fs *fs;

    sim_disk_init(&disk, image, false);
    if (fs_open(&disk.file, &options, &fs, &reason)) {
        return;
    }
    for (unsigned i = 0; i < session->actor_count && session->actor_count == 1; i++) {
        const struct history *history = &session->histories[i];
        for (uint32_t k = session->windows[window].lower[i];
             k <= session->windows[window].upper[i] && k < history->count; k++) {
            if (!model_fs_compare(history->states[k].model, fs, &reason)) {
                fprintf(stderr, "  not state %u: %s\n", k, reason.text);
            }
        }
    }
    fs_close(fs);
    sim_disk_deinit(&disk);
}

bool crash_check_cut(const struct session *session, uint64_t window, struct sim_image *image, enum verify_depth depth,
                     const char *replay, uint32_t *ret_states)
{
    uint64_t directories[ACTORS_MAX];
    struct base_reason reason = {""};
    struct verdict verdict;

    for (unsigned i = 0; i < session->actor_count; i++) {
        directories[i] = session->actors[i].directory;
    }
    __atomic_fetch_add(&verify_counts->cuts, 1, __ATOMIC_RELAXED);
    verify_image(image, directories, session->actor_count, depth, &verdict);
    if (!verdict.is_good) {
        return crash_report(replay, "%s", verdict.reason.text);
    }
    if (session_allows(session, window, verdict.digests, ret_states, &reason)) {
        return true;
    }
    if (session->keeps_models) {
        explain(session, window, image);
    }
    return crash_report(replay, "%s", reason.text);
}

/* --- Modes -------------------------------------------------------------------------------------------------------- */

enum mode { MODE_SCENARIO, MODE_EXHAUSTIVE, MODE_RANDOM, MODE_FAULTS, MODE_COUNT };

static const char *const mode_names[] = {"scenario", "exhaustive", "random", "faults"};

static const unsigned mode_percents[] = {0, 40, 40, 20}; /* of the cuts wanted; a scenario takes what it takes */

static bool run_mode(struct crash_run *run, enum mode mode, const char *scenario)
{
    switch (mode) {
    case MODE_SCENARIO:
        return crash_scenarios(run, scenario);
    case MODE_EXHAUSTIVE:
        return crash_exhaustive(run);
    case MODE_RANDOM:
        return crash_random(run);
    case MODE_FAULTS:
        return crash_faults(run);
    default:
        return true;
    }
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* All workers of one mode. */
static bool run_workers(struct crash_run *run, enum mode mode, const char *scenario)
{
    pid_t workers[WORKERS_MAX];
    bool good = true;
    struct verify_counts before = shared->counts;
    double start_s = now_s();

    shared->cuts_before = before.cuts;
    fflush(NULL);
    for (unsigned i = 0; i < run->worker_count; i++) {
        run->worker = i;
        workers[i] = fork();
        if (workers[i] == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not without who waits for it */
            good = run_mode(run, mode, scenario);
            place_deinit(&run->tree); /* what is left at the end is a leak */
            exit(good ? 0 : 1);
        }
        if (workers[i] < 0) {
            fprintf(stderr, "crash: fork: %s\n", strerror(errno));
            exit(2);
        }
    }
    for (unsigned i = 0; i < run->worker_count; i++) {
        int status;
        if (waitpid(workers[i], &status, 0) != workers[i] || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            good = false;
            if (!WIFEXITED(status)) {
                printf("crash: DIFFERENCE: a worker died of signal %d; replay with --replay %s\n", WTERMSIG(status),
                       shared->cases[i]);
                shared->is_found = true;
            }
        }
    }
    good = good && !shared->is_found;
    uint64_t cuts = shared->counts.cuts - before.cuts;
    double taken_s = now_s() - start_s;
    printf("crash: %s: %" PRIu64 " cuts, %" PRIu64 " distinct images, %.1f s, %.0f cuts/s%s\n", mode_names[mode], cuts,
           shared->counts.images - before.images, taken_s, (double)cuts / taken_s, good ? "" : ", FAILED");
    return good;
}

static bool replay(struct crash_run *run, const char *text)
{
    if (strncmp(text, "exhaustive:", 11) == 0) {
        return crash_exhaustive_replay(run, text + 11);
    }
    if (strncmp(text, "scenario:", 9) == 0) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(text + 9, ":"), text + 9);
        run->worker_count = 1;
        return crash_scenarios(run, name);
    }
    if (strncmp(text, "random:", 7) == 0) {
        return crash_random_replay(run, text + 7);
    }
    if (strncmp(text, "faults:", 7) == 0) {
        return crash_faults_replay(run, text + 7);
    }
    fprintf(stderr, "crash: no case: %s\n", text);
    exit(2);
}

#ifdef BEEFTREE_TEETH
/* In the order of enum base_tooth. */
static const char *const tooth_names[] = {
    "NONE",
    "NO_SYNC",
    "NO_BATCH_CHECKSUM",
    "NO_SALT",
    "EARLY_SUPERBLOCK",
    "NO_CONTENT_CHECK",
    "EARLY_REUSE",
    "LISTS_OVERWRITTEN",
    "STEAL_OVER_CONTENTS",
    "REUSES_FROZEN",
    "FREEZE_IN_BATCH",
    "DAMAGE_IS_END",
    "FOLLOWER_LET_GO",
    "TRUNCATED_BYTES_RETURN",
    "OWNER_FORGOTTEN",
};
_Static_assert(sizeof tooth_names / sizeof tooth_names[0] == BASE_TOOTH_COUNT, "each tooth has a name");

/* BEEFTREE_TOOTH: the mistake to make, by name. */
static void choose_tooth(void)
{
    const char *text = getenv("BEEFTREE_TOOTH");

    for (unsigned i = 0; text && i < BASE_TOOTH_COUNT; i++) {
        if (strcmp(text, tooth_names[i]) == 0) {
            base_tooth_active = (enum base_tooth)i;
            return;
        }
    }
    if (text) {
        fprintf(stderr, "crash: no such tooth: %s\n", text);
        exit(2);
    }
}
#endif

int main(int argument_count, char **arguments)
{
    static const struct option options[] = {
        {"cuts", required_argument, NULL, 'c'},     {"seed", required_argument, NULL, 's'},
        {"jobs", required_argument, NULL, 'j'},     {"mode", required_argument, NULL, 'm'},
        {"scenario", required_argument, NULL, 'n'}, {"replay", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    struct crash_run run = {.seed = 1, .cuts_wanted = 20000};
    const char *mode = "all";
    const char *scenario = NULL;
    const char *case_text = NULL;
    long jobs = sysconf(_SC_NPROCESSORS_ONLN);
    bool good = true;

    for (int option; (option = getopt_long(argument_count, arguments, "", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            run.cuts_wanted = strcmp(optarg, "all") == 0 ? UINT64_MAX : strtoull(optarg, NULL, 0);
            break;
        case 's':
            run.seed = strtoull(optarg, NULL, 0);
            break;
        case 'j':
            jobs = strtol(optarg, NULL, 0);
            break;
        case 'm':
            mode = optarg;
            break;
        case 'n':
            scenario = optarg;
            mode = "scenario";
            break;
        case 'r':
            case_text = optarg;
            break;
        default:
            usage(option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    run.worker_count = jobs < 1 ? 1 : jobs > WORKERS_MAX ? WORKERS_MAX : (unsigned)jobs;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        fprintf(stderr, "crash: no memory\n");
        return 2;
    }
    verify_counts = &shared->counts;
    base_message_configure("crash", BASE_MESSAGE_TO_NOWHERE, 0);
#ifdef BEEFTREE_TEETH
    choose_tooth();
#endif
    place_make_tree(&run.tree, TREE_LOG_SIZE);
    if (case_text) {
        base_message_configure("crash", BASE_MESSAGE_TO_STDERR, 0);
        good = replay(&run, case_text);
        place_deinit(&run.tree);
        printf("crash: %s\n", good ? "no difference" : "FAILED");
        return good ? 0 : 1;
    }
    printf("crash: seed %" PRIu64 "\n", run.seed);
    bool is_known = false;
    for (enum mode i = 0; i < MODE_COUNT && good; i++) {
        if (strcmp(mode, "all") == 0 || strcmp(mode, mode_names[i]) == 0) {
            struct crash_run part = run;
            if (strcmp(mode, "all") == 0 && run.cuts_wanted != UINT64_MAX) {
                part.cuts_wanted = run.cuts_wanted * mode_percents[i] / 100;
            }
            is_known = true;
            good = run_workers(&part, i, scenario);
        }
    }
    if (!is_known) {
        usage(stderr);
        return 2;
    }
    place_deinit(&run.tree);
    printf("crash: %" PRIu64 " cuts, %" PRIu64 " distinct images: %s\n", shared->counts.cuts, shared->counts.images,
           good ? "no difference" : "FAILED");
    return good ? 0 : 1;
}
