/* Every workload of up to 3 operations out of a fixed list, over a small tree; each with a sync and an unmount behind
 * it; each cut at every event of the disk from the beginning of its last operation on (what lies before is a shorter
 * workload's), in all variants of sim_cut.h.
 *
 * Where not all are wanted: of every workload of one and two operations the same number, spread by the seed; with more
 * cuts wanted than these have, workloads of three, group after group in an order drawn from the seed. */
#include "crash.h"
#include "threads.h"

#include "base/assert.h"

#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const struct operation operations[] = {
    {OPERATION_MAKE, "n", NULL, 0, 0, S_IFREG | 0644},
    {OPERATION_MAKE, "d/n", NULL, 0, 0, S_IFREG | 0600},
    {OPERATION_MAKE, "m", NULL, 0, 0, S_IFDIR | 0755},
    {OPERATION_MAKE, "d/m", NULL, 0, 0, S_IFDIR | 0700},
    {OPERATION_MAKE, "y", "a target", 0, 0, S_IFLNK | 0777},
    {OPERATION_MAKE, "p", NULL, 0, 0, S_IFIFO | 0600},
    {OPERATION_WRITE, "n", NULL, 0, 200, 0},
    {OPERATION_WRITE, "n", NULL, 0, 4096, 0},
    {OPERATION_WRITE, "d/f", NULL, 20, 50, 0},   /* overwrites inline bytes */
    {OPERATION_APPEND, "d/f", NULL, 0, 60, 0},   /* stays inline */
    {OPERATION_APPEND, "s", NULL, 0, 100, 0},    /* across the inline limit */
    {OPERATION_WRITE, "g", NULL, 4096, 4096, 0}, /* a whole block */
    {OPERATION_WRITE, "g", NULL, 5000, 100, 0},  /* within a block */
    {OPERATION_APPEND, "g", NULL, 0, 5000, 0},
    {OPERATION_WRITE, "g", NULL, 40000, 10, 0},   /* beyond the end */
    {OPERATION_WRITE, "h", NULL, 130972, 200, 0}, /* across two chunks */
    {OPERATION_TRUNCATE, "g", NULL, 0, 5000, 0},
    {OPERATION_TRUNCATE, "g", NULL, 0, 0, 0},
    {OPERATION_TRUNCATE, "g", NULL, 0, 20000, 0},
    {OPERATION_TRUNCATE, "d/f", NULL, 0, 30, 0},
    {OPERATION_TRUNCATE, "d/f", NULL, 0, 200, 0},
    {OPERATION_TRUNCATE, "s", NULL, 0, 4000, 0},
    {OPERATION_TRUNCATE, "h", NULL, 0, 4097, 0},
    {OPERATION_RENAME, "g", "g2", 0, 0, 0},
    {OPERATION_RENAME, "g", "d/f", 0, 0, 0},
    {OPERATION_RENAME, "d/f", "n", 0, 0, 0},
    {OPERATION_RENAME, "e", "d/m", 0, 0, 0},
    {OPERATION_RENAME, "d", "e", 0, 0, 0},
    {OPERATION_RENAME, "g", "d/f", 0, 0, RENAME_EXCHANGE},
    {OPERATION_RENAME, "d", "e", 0, 0, RENAME_EXCHANGE},
    {OPERATION_LINK, "g", "d/g3", 0, 0, 0},
    {OPERATION_LINK, "d/f", "f2", 0, 0, 0},
    {OPERATION_UNLINK, "n", NULL, 0, 0, 0},
    {OPERATION_UNLINK, "d/f", NULL, 0, 0, 0},
    {OPERATION_UNLINK, "g", NULL, 0, 0, 0},
    {OPERATION_UNLINK, "h", NULL, 0, 0, 0},
    {OPERATION_UNLINK, "l", NULL, 0, 0, 0},
    {OPERATION_RMDIR, "e", NULL, 0, 0, 0},
    {OPERATION_RMDIR, "m", NULL, 0, 0, 0},
    {OPERATION_SET_MODE, "g", NULL, 0, 0, 0751},
    {OPERATION_SET_OWNER, "h", NULL, 0, 0, 77},
    {OPERATION_SET_TIMES, "d/f", NULL, 0, 0, 1234},
    {OPERATION_SYNC, NULL, NULL, 0, 0, 0},
};

enum { OPERATION_COUNT = sizeof operations / sizeof operations[0], LENGTH_MAX = 3 };

struct workload {
    uint64_t number; /* what a replay names: base OPERATION_COUNT + 1, no digit is 0, first operation highest */
    unsigned length;
    unsigned chosen[LENGTH_MAX];
};

static struct workload workload_of(uint64_t number)
{
    struct workload workload = {.number = number};
    unsigned digits[LENGTH_MAX];

    for (; number > 0 && workload.length < LENGTH_MAX; number /= OPERATION_COUNT + 1) {
        digits[workload.length++] = (unsigned)(number % (OPERATION_COUNT + 1));
    }
    for (unsigned i = 0; i < workload.length; i++) {
        workload.chosen[i] = digits[workload.length - 1 - i] - 1;
    }
    return workload;
}

/* --- Running one -------------------------------------------------------------------------------------------------- */

/* Does it and unmounts; *ret_first is the first event of its last operation. */
static bool perform(struct session *session, const struct workload *workload, size_t *ret_first,
                    struct base_reason *ret_reason)
{
    static const struct operation sync = {.kind = OPERATION_SYNC};

    simulation_reset_environment(2);
    if (session_open(session, ret_reason)) {
        return false;
    }
    *ret_first = 0;
    for (unsigned i = 0; i < workload->length; i++) {
        if (i > 0) {
            *ret_first = session->disk.record.event_count;
        }
        if (session_perform(session, 0, &operations[workload->chosen[i]], ret_reason) == OUTCOME_WRONG) {
            session_abandon(session);
            return false;
        }
    }
    if (session_perform(session, 0, &sync, ret_reason) == OUTCOME_WRONG) {
        session_abandon(session);
        return false;
    }
    int error = session_close(session);
    if (error) {
        base_reason_set(ret_reason, "the unmount answered %d", error);
    }
    return !error;
}

static uint64_t count_cuts(const struct session *session, size_t first)
{
    struct sim_cutter cutter;
    uint64_t count = 0;

    sim_cutter_init(&cutter, NULL, &session->disk.record);
    while (sim_cutter_step(&cutter)) {
        if (cutter.next > first && sim_cutter_is_place(&cutter)) {
            count += sim_cut_count(&cutter);
        }
    }
    sim_cutter_deinit(&cutter);
    return count;
}

static bool cut(struct crash_run *run, const struct session *session, const struct workload *workload,
                struct sim_cutter *cutter, uint64_t variant)
{
    char replay[96];
    size_t mark = sim_image_mark(cutter->image);

    (void)run;
    snprintf(replay, sizeof replay, "exhaustive:%" PRIu64 ":%zu:%" PRIu64, workload->number, cutter->next, variant);
    sim_cut_apply(cutter, variant);
    bool good = crash_check_cut(session, cutter->tag, cutter->image, VERIFY_SAMPLED, replay);
    sim_image_roll_back(cutter->image, mark);
    return good;
}

/* Of the workload's cuts every `every`-th, from the first chosen by `offset`. */
static bool cut_some(struct crash_run *run, const struct session *session, const struct workload *workload,
                     size_t first, uint64_t every, uint64_t offset)
{
    struct sim_image image;
    struct sim_cutter cutter;
    uint64_t next = offset % every;
    bool good = true;

    sim_image_init_copy(&image, &run->tree.image, true);
    sim_cutter_init(&cutter, &image, &session->disk.record);
    while (good && sim_cutter_step(&cutter)) {
        if (cutter.next <= first || !sim_cutter_is_place(&cutter)) {
            continue;
        }
        uint64_t count = sim_cut_count(&cutter);
        for (; good && next < count; next += every) {
            good = cut(run, session, workload, &cutter, next);
        }
        next -= good ? count : 0;
    }
    sim_cutter_deinit(&cutter);
    sim_image_deinit(&image);
    return good;
}

static bool run_workload(struct crash_run *run, uint64_t number, uint64_t wanted)
{
    struct workload workload = workload_of(number);
    struct base_reason reason = {""};
    struct session session;
    size_t first = 0;
    char replay[64];

    session_init(&session, &run->tree.image, run->tree.model);
    bool good = perform(&session, &workload, &first, &reason);
    if (!good) {
        snprintf(replay, sizeof replay, "exhaustive:%" PRIu64, number);
        crash_report(replay, "without a cut: %s", reason.text);
    } else {
        uint64_t count = count_cuts(&session, first);
        uint64_t every = wanted < count ? count / wanted : 1;
        struct base_random random;
        base_random_seed(&random, run->seed ^ number << 20);
        good = cut_some(run, &session, &workload, first, every, base_random_next(&random));
    }
    session_deinit(&session);
    return good;
}

/* --- Running all -------------------------------------------------------------------------------------------------- */

/* All continuations of a prefix by one operation: they share what lies before. */
static bool run_group(struct crash_run *run, uint64_t prefix, uint64_t wanted)
{
    for (uint64_t i = 1; i <= OPERATION_COUNT; i++) {
        if (!crash_goes_on(run)) {
            return true;
        }
        if (!run_workload(run, prefix * (OPERATION_COUNT + 1) + i, wanted)) {
            return false;
        }
    }
    return true;
}

bool crash_exhaustive(struct crash_run *run)
{
    const uint64_t groups_short = OPERATION_COUNT + 1;
    const uint64_t groups_long = OPERATION_COUNT * OPERATION_COUNT;
    const uint64_t stride = 1000003; /* prime, and larger than the groups */
    uint64_t wanted = run->cuts_wanted / (OPERATION_COUNT * groups_short) + 1;

    verify_forget();
    for (uint64_t i = run->worker; i < groups_short; i += run->worker_count) {
        if (!run_group(run, i, wanted)) {
            return false;
        }
    }
    for (uint64_t i = run->worker; i < groups_long && crash_goes_on(run); i += run->worker_count) {
        uint64_t group = (i * stride + run->seed) % groups_long;
        uint64_t prefix = (group / OPERATION_COUNT + 1) * (OPERATION_COUNT + 1) + group % OPERATION_COUNT + 1;
        if (!run_group(run, prefix, UINT64_MAX)) {
            return false;
        }
    }
    return true;
}

bool crash_exhaustive_replay(struct crash_run *run, const char *text)
{
    struct base_reason reason = {""};
    struct session session;
    struct sim_image image;
    struct sim_cutter cutter;
    uint64_t number;
    uint64_t variant = 0;
    size_t place = SIZE_MAX;
    size_t first;
    bool good;

    if (sscanf(text, "%" SCNu64 ":%zu:%" SCNu64, &number, &place, &variant) < 1) {
        fprintf(stderr, "crash: no case: %s\n", text);
        exit(2);
    }
    struct workload workload = workload_of(number);
    session_init(&session, &run->tree.image, run->tree.model);
    session.keeps_models = session.traces = true;
    good = perform(&session, &workload, &first, &reason);
    if (!good) {
        crash_report("this one", "without a cut: %s", reason.text);
    }
    sim_image_init_copy(&image, &run->tree.image, true);
    sim_cutter_init(&cutter, &image, &session.disk.record);
    while (good && cutter.next < place && sim_cutter_step(&cutter)) {
    }
    if (good && place != SIZE_MAX) {
        good = cut(run, &session, &workload, &cutter, variant);
    }
    sim_cutter_deinit(&cutter);
    sim_image_deinit(&image);
    session_deinit(&session);
    return good;
}
