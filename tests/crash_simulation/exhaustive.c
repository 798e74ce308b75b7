/* Every workload of up to 3 operations out of a fixed list, over a small tree; each with a sync and an unmount behind
 * it; each cut at every event of the disk from the beginning of its last operation on (what lies before is a shorter
 * workload's), in all variants of sim_cut.h.
 *
 * Where not all are wanted: of every workload of one and two operations the same number, spread by the seed; with more
 * cuts wanted than these have, workloads of three, group after group in an order drawn from the seed. */
#include "crash.h"
#include "workload.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* --- Running one -------------------------------------------------------------------------------------------------- */

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

static bool cut(const struct session *session, const struct workload *workload, struct sim_cutter *cutter,
                uint64_t variant)
{
    char replay[96];
    size_t mark = sim_image_mark(cutter->image);

    snprintf(replay, sizeof replay, "exhaustive:%" PRIu64 ":%zu:%" PRIu64, workload->number, cutter->next, variant);
    sim_cut_apply(cutter, variant);
    bool good = crash_check_cut(session, cutter->tag, cutter->image, VERIFY_SAMPLED, replay, NULL);
    sim_image_roll_back(cutter->image, mark);
    return good;
}

/* Of the workload's cuts every `every`-th, from the first chosen by `offset`. */
static bool cut_some(struct session *session, const struct workload *workload, size_t first, uint64_t every,
                     uint64_t offset)
{
    struct sim_cutter cutter;
    uint64_t next = offset % every;
    bool good = true;

    sim_cutter_init(&cutter, &session->start, &session->disk.record);
    while (good && sim_cutter_step(&cutter)) {
        if (cutter.next <= first || !sim_cutter_is_place(&cutter)) {
            continue;
        }
        uint64_t count = sim_cut_count(&cutter);
        for (; good && next < count; next += every) {
            good = cut(session, workload, &cutter, next);
        }
        next -= good ? count : 0;
    }
    sim_cutter_deinit(&cutter);
    return good;
}

static bool run_workload(struct crash_run *run, uint64_t number, uint64_t wanted)
{
    struct workload workload = workload_of(number);
    struct base_reason reason = {""};
    struct session session;
    size_t first = 0;
    char replay[64];

    crash_note_case(run, "exhaustive:%" PRIu64, number);
    session_init(&session, &run->tree.image, run->tree.model);
    bool good = workload_perform(&session, &workload, &first, &reason);
    if (!good) {
        snprintf(replay, sizeof replay, "exhaustive:%" PRIu64, number);
        crash_report(replay, "without a cut: %s", reason.text);
    } else {
        uint64_t count = count_cuts(&session, first);
        uint64_t every = wanted < count ? count / wanted : 1;
        struct base_random random;
        base_random_seed(&random, run->seed ^ number << 20);
        good = cut_some(&session, &workload, first, every, base_random_next(&random));
    }
    session_deinit(&session);
    return good;
}

/* --- Running all -------------------------------------------------------------------------------------------------- */

/* All continuations of a prefix by one operation: they share what lies before. */
static bool run_group(struct crash_run *run, uint64_t prefix, uint64_t wanted)
{
    for (uint64_t i = 1; i <= WORKLOAD_OPERATION_COUNT; i++) {
        if (!crash_goes_on(run)) {
            return true;
        }
        if (!run_workload(run, prefix * (WORKLOAD_OPERATION_COUNT + 1) + i, wanted)) {
            return false;
        }
    }
    return true;
}

bool crash_exhaustive(struct crash_run *run)
{
    const uint64_t groups_short = WORKLOAD_OPERATION_COUNT + 1;
    const uint64_t groups_long = WORKLOAD_OPERATION_COUNT * WORKLOAD_OPERATION_COUNT;
    const uint64_t stride = 1000003; /* prime, and larger than the groups */
    uint64_t wanted = run->cuts_wanted / (WORKLOAD_OPERATION_COUNT * groups_short) + 1;

    verify_forget();
    for (uint64_t i = run->worker; i < groups_short; i += run->worker_count) {
        if (!run_group(run, i, wanted)) {
            return false;
        }
    }
    for (uint64_t i = run->worker; i < groups_long && crash_goes_on(run); i += run->worker_count) {
        uint64_t group = (i * stride + run->seed) % groups_long;
        uint64_t prefix = (group / WORKLOAD_OPERATION_COUNT + 1) * (WORKLOAD_OPERATION_COUNT + 1) +
                          group % WORKLOAD_OPERATION_COUNT + 1;
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
    session_keep_models(&session);
    session.traces = true;
    good = workload_perform(&session, &workload, &first, &reason);
    if (!good) {
        crash_report("this one", "without a cut: %s", reason.text);
    }
    sim_cutter_init(&cutter, &session.start, &session.disk.record);
    while (good && cutter.next < place && sim_cutter_step(&cutter)) {
    }
    if (good && place != SIZE_MAX) {
        good = cut(&session, &workload, &cutter, variant);
    }
    sim_cutter_deinit(&cutter);
    session_deinit(&session);
    return good;
}
