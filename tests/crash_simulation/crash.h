/* The power-cut simulation: what its parts share.
 *
 *   main.c        options, workers, the report
 *   exhaustive.c  every workload of up to 3 of about 50 operations, every cut of each
 *   random.c      long seeded workloads, alone and several at once; cuts during recovery, two cuts in a row
 *   faults.c      the n-th call of each kind fails, then the power does
 *   scenario.c    workloads made for one mistake each (base/tooth.h)
 *   session.c     one run and its oracle        verify.c  what a crash image holds
 *   operation.c   one operation on both sides   digest.c  a whole tree in 128 bits
 *   threads.c     threads, clock and randomness that replay
 */
#ifndef BEEFTREE_TESTS_CRASH_CRASH_H
#define BEEFTREE_TESTS_CRASH_CRASH_H

#include "place.h"
#include "verify.h"

struct crash_run {
    uint64_t seed;
    uint64_t cuts_wanted; /* by this mode in all workers; UINT64_MAX: all there are */
    unsigned worker, worker_count;
    struct place tree;
};

/* Each mode runs in every worker and takes its share by worker and worker_count; ends when the cuts wanted are done or
 * another worker has found something. false: a difference was found (all that is reported counts). */
bool crash_exhaustive(struct crash_run *run);
bool crash_random(struct crash_run *run);
bool crash_faults(struct crash_run *run);
/* name: only that one; NULL: all. However many cuts they take. */
bool crash_scenarios(struct crash_run *run, const char *name);

/* Replays one case ("MODE:..." as a report names it); false when there is a difference. Exits for what is no case. */
bool crash_exhaustive_replay(struct crash_run *run, const char *text);
bool crash_random_replay(struct crash_run *run, const char *text);
bool crash_faults_replay(struct crash_run *run, const char *text);

/* Whether to go on: cuts are still wanted and nobody has found anything. */
bool crash_goes_on(const struct crash_run *run);
/* What the worker is at from now on, as a case to replay. */
void crash_note_case(const struct crash_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints a difference: what to replay and what is wrong. Always returns false. */
bool crash_report(const char *replay, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One cut: the image (of the session's record, cut in that window) is recovered and compared. The replay text is only
 * used in a report; which states came back is in ret_states (NULL: no matter). */
bool crash_check_cut(const struct session *session, uint64_t window, struct sim_image *image, enum verify_depth depth,
                     const char *replay, uint32_t *ret_states);

#endif
