/* Short workloads in which the n-th read, write, sync, allocation of host space, truncation or allocation of memory
 * fails, once or from then on. The operation fails with an error or does without; the tree is what the model says; then
 * the power is cut, at a place drawn and at the end.
 *
 * With 'all' cuts: every workload of one and two operations, every n that is reached. Else cases are drawn. */
#include "crash.h"
#include "workload.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNTDOWN_BITS = 8 };

struct fault_case {
    uint64_t workload;
    unsigned fault; /* enum session_fault */
    uint64_t countdown;
    bool forever;
};

/* Everything that was written is there, or a part that is drawn. */
static bool cut_here(const struct session *session, const struct fault_case *this, struct sim_cutter *cutter,
                     uint64_t only_variant)
{
    uint64_t count = sim_cut_count(cutter);
    uint64_t all = (UINT64_C(1) << (cutter->pending_count < 4 ? cutter->pending_count : 4)) - 1;
    uint64_t variants[] = {all, (this->countdown * 31 + cutter->next * 7) % count};
    bool good = true;

    for (unsigned i = 0; good && i < 2; i++) {
        char replay[128];
        if (only_variant != UINT64_MAX && variants[i] != only_variant) {
            continue;
        }
        snprintf(replay, sizeof replay, "faults:%" PRIu64 ":%u:%" PRIu64 ":%u:%zu:%" PRIu64, this->workload,
                 this->fault, this->countdown, this->forever, cutter->next, variants[i]);
        size_t mark = sim_image_mark(cutter->image);
        sim_cut_apply(cutter, variants[i]);
        good = crash_check_cut(session, cutter->tag, cutter->image, VERIFY_SAMPLED, replay, NULL);
        sim_image_roll_back(cutter->image, mark);
    }
    return good;
}

static bool cut(struct session *session, const struct fault_case *this, uint64_t only_place, uint64_t only_variant)
{
    struct sim_cutter cutter;
    uint64_t event_count = session->disk.record.event_count;
    uint64_t drawn = event_count > 0 ? this->countdown * 7919 % event_count + 1 : 0;
    bool good = true;

    sim_cutter_init(&cutter, &session->start, &session->disk.record);
    while (good && sim_cutter_step(&cutter)) {
        bool is_place = cutter.next == event_count || cutter.next == drawn;
        if (only_place != UINT64_MAX ? cutter.next == only_place : is_place) {
            good = cut_here(session, this, &cutter, only_variant);
        }
    }
    sim_cutter_deinit(&cutter);
    return good;
}

/* *ret_is_hit: whether the fault was reached. */
static bool run_case(struct crash_run *run, const struct fault_case *this, uint64_t only_place, uint64_t only_variant,
                     bool traces, bool *ret_is_hit)
{
    struct workload workload = workload_of(this->workload);
    struct base_reason reason = {""};
    struct session session;
    char replay[96];
    size_t first;

    crash_note_case(run, "faults:%" PRIu64 ":%u:%" PRIu64 ":%u", this->workload, this->fault, this->countdown,
                    this->forever);
    session_init(&session, &run->tree.image, run->tree.model);
    session.traces = traces;
    if (traces) {
        session_keep_models(&session);
    }
    session_fail(&session, (enum session_fault)this->fault, this->countdown, this->forever);
    bool good = workload_perform(&session, &workload, &first, &reason);
    session_heal(&session);
    *ret_is_hit = session.disk.faults_hit > 0;
    if (!good) {
        snprintf(replay, sizeof replay, "faults:%" PRIu64 ":%u:%" PRIu64 ":%u", this->workload, this->fault,
                 this->countdown, this->forever);
        crash_report(replay, "without a cut: %s", reason.text);
    }
    if (good && *ret_is_hit) {
        good = cut(&session, this, only_place, only_variant);
    }
    session_deinit(&session);
    return good;
}

static bool run_workload(struct crash_run *run, uint64_t workload)
{
    for (unsigned fault = 0; fault < SESSION_FAULT_COUNT; fault++) {
        for (unsigned forever = 0; forever < (fault == SESSION_FAULT_MEMORY ? 1 : 2); forever++) {
            struct fault_case this = {.workload = workload, .fault = fault, .forever = forever};
            bool is_hit = true;
            for (this.countdown = 1; is_hit; this.countdown++) {
                if (!crash_goes_on(run)) {
                    return true;
                }
                if (!run_case(run, &this, UINT64_MAX, UINT64_MAX, false, &is_hit)) {
                    return false;
                }
            }
        }
    }
    return true;
}

static bool run_all(struct crash_run *run)
{
    const uint64_t base = WORKLOAD_OPERATION_COUNT + 1;
    const uint64_t count = WORKLOAD_OPERATION_COUNT * base;

    for (uint64_t i = run->worker; crash_goes_on(run) && i < count; i += run->worker_count) {
        uint64_t first = i / WORKLOAD_OPERATION_COUNT; /* 0: none */
        if (!run_workload(run, first * base + i % WORKLOAD_OPERATION_COUNT + 1)) {
            return false;
        }
    }
    return true;
}

static bool run_drawn(struct crash_run *run)
{
    const uint64_t base = WORKLOAD_OPERATION_COUNT + 1;

    for (uint64_t i = run->worker; crash_goes_on(run); i += run->worker_count) {
        struct base_random random;
        bool is_hit;
        base_random_seed(&random, run->seed * 1000003 + i);
        struct fault_case this = {.fault = (unsigned)base_random_below(&random, SESSION_FAULT_COUNT)};
        this.workload = base_random_below(&random, base);
        this.workload = this.workload * base + 1 + base_random_below(&random, WORKLOAD_OPERATION_COUNT);
        this.forever = this.fault != SESSION_FAULT_MEMORY && base_random_below(&random, 2) == 0;
        this.countdown = 1 + base_random_below(&random, UINT64_C(1) << base_random_below(&random, COUNTDOWN_BITS));
        if (!run_case(run, &this, UINT64_MAX, UINT64_MAX, false, &is_hit)) {
            return false;
        }
    }
    return true;
}

bool crash_faults(struct crash_run *run)
{
    verify_forget();
    return run->cuts_wanted == UINT64_MAX ? run_all(run) : run_drawn(run);
}

bool crash_faults_replay(struct crash_run *run, const char *text)
{
    struct fault_case this = {.workload = 0};
    uint64_t place = UINT64_MAX - 1;
    uint64_t variant = UINT64_MAX;
    unsigned forever = 0;
    bool is_hit;

    if (sscanf(text, "%" SCNu64 ":%u:%" SCNu64 ":%u:%" SCNu64 ":%" SCNu64, &this.workload, &this.fault, &this.countdown,
               &forever, &place, &variant) < 4 ||
        this.fault >= SESSION_FAULT_COUNT) {
        fprintf(stderr, "crash: no case: %s\n", text);
        exit(2);
    }
    this.forever = forever != 0;
    return run_case(run, &this, place, variant, true, &is_hit);
}
