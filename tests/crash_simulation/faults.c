/* Short workloads in which the n-th read, write, sync, allocation of host space, truncation or allocation of memory
 * fails, for every n that is reached, once or from then on. The operation fails with an error or does without; the tree
 * is what the model says; then the power is cut, at places all over the run and at its end. */
#include "crash.h"
#include "workload.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CUTS = 12 };

struct fault_case {
    uint64_t workload;
    unsigned fault; /* enum session_fault */
    uint64_t countdown;
    bool forever;
};

static bool cut(struct session *session, const struct fault_case *this, uint64_t only_place, uint64_t only_variant)
{
    struct sim_cutter cutter;
    uint64_t event_count = session->disk.record.event_count;
    uint64_t every = event_count / CUTS + 1;
    bool good = true;

    sim_cutter_init(&cutter, &session->start, &session->disk.record);
    while (good && sim_cutter_step(&cutter)) {
        uint64_t count = sim_cut_count(&cutter);
        uint64_t variants[] = {0, count - 1, (this->countdown * 31 + cutter.next * 7) % count};
        bool is_place = cutter.next == event_count || (cutter.next + this->countdown) % every == 0;
        for (unsigned i = 0; good && i < 3; i++) {
            char replay[128];
            if (only_place != UINT64_MAX ? cutter.next != only_place || variants[i] != only_variant : !is_place) {
                continue;
            }
            snprintf(replay, sizeof replay, "faults:%" PRIu64 ":%u:%" PRIu64 ":%u:%zu:%" PRIu64, this->workload,
                     this->fault, this->countdown, this->forever, cutter.next, variants[i]);
            size_t mark = sim_image_mark(cutter.image);
            sim_cut_apply(&cutter, variants[i]);
            good = crash_check_cut(session, cutter.tag, cutter.image, VERIFY_SAMPLED, replay, NULL);
            sim_image_roll_back(cutter.image, mark);
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
    good = good && cut(&session, this, only_place, only_variant);
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
                if (!run_case(run, &this, UINT64_MAX, 0, false, &is_hit)) {
                    return false;
                }
            }
        }
    }
    return true;
}

bool crash_faults(struct crash_run *run)
{
    const uint64_t base = WORKLOAD_OPERATION_COUNT + 1;

    verify_forget();
    for (uint64_t i = run->worker; crash_goes_on(run) && i < WORKLOAD_OPERATION_COUNT * base; i += run->worker_count) {
        uint64_t drawn = (i * 1009 + run->seed * 17) % (WORKLOAD_OPERATION_COUNT * base);
        uint64_t first = drawn / WORKLOAD_OPERATION_COUNT;
        if (!run_workload(run, first * base + drawn % WORKLOAD_OPERATION_COUNT + 1)) {
            return false;
        }
    }
    return true;
}

bool crash_faults_replay(struct crash_run *run, const char *text)
{
    struct fault_case this = {.workload = 0};
    uint64_t place = UINT64_MAX - 1;
    uint64_t variant = 0;
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
