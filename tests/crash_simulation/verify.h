/* What a crash image holds: opened read-only, opened for writing (recovered), unmounted, checked.
 *
 * The same image always gives the same verdict (clock and randomness are seeded from it), so verdicts are remembered by
 * the image's hash. */
#ifndef BEEFTREE_TESTS_CRASH_VERIFY_H
#define BEEFTREE_TESTS_CRASH_VERIFY_H

#include "session.h"
#include "support/sim_cut.h"

struct verdict {
    bool is_good;
    struct digest digests[ACTORS_MAX]; /* of the actors' directories after recovery, when good */
    struct base_reason reason;         /* when not */
};

struct verify_counts {
    uint64_t cuts, images, read_only_opens, recovery_cuts;
};

/* Shared by all workers. */
extern struct verify_counts *verify_counts;

/* Forgets what is remembered; called whenever the actors' directories change. */
void verify_forget(void);

enum verify_depth {
    VERIFY_SAMPLED, /* read-only first for a quarter of the images */
    VERIFY_FULLY,
};

/* The image is as it was afterwards. */
void verify_image(struct sim_image *image, const uint64_t *directories, unsigned directory_count,
                  enum verify_depth depth, struct verdict *ret_verdict);

/* Recovers the image for good and records what that wrote: the start of cuts during recovery. */
int verify_record_recovery(struct sim_image *image, struct sim_disk *disk, struct base_reason *ret_reason);

#endif
