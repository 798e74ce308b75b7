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
    uint64_t cuts, images, read_only_opens;
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

#endif
