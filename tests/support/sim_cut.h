/* What a power cut can leave of a recorded run: the durable image and any part of what was not synced yet.
 *
 * A cutter walks forward over a record. At each place the image is what the syncs so far made durable; sim_cut_apply
 * adds a variant of the unsynced events (in journaled changes that sim_image_roll_back takes back). Variants are
 * numbered, so that a number replays one; which there are:
 *
 *   every subset of the last 4 unsynced events, the older ones all there or all missing;
 *   all there but one of the older ones;
 *   one of the last 4 torn at 512 bytes (its first sector, first half, last half, every second sector, all but the last
 *   sector), the others all there or all missing.
 *
 * sim_cut_apply_random takes any subset, events torn at any sectors. */
#ifndef BEEFTREE_TESTS_SUPPORT_SIM_CUT_H
#define BEEFTREE_TESTS_SUPPORT_SIM_CUT_H

#include "base/random.h"
#include "support/sim_disk.h"

struct sim_cutter {
    struct sim_image *image; /* borrowed */
    const struct sim_record *record;
    size_t next;     /* the first event not reached */
    size_t *pending; /* unsynced events, oldest first */
    size_t pending_count, pending_capacity;
    uint64_t tag; /* of the last event reached */
};

/* The image is what was durable when the record began; NULL: only to count. */
void sim_cutter_init(struct sim_cutter *cutter, struct sim_image *image, const struct sim_record *record);
void sim_cutter_deinit(struct sim_cutter *cutter);
/* One event further; false at the end. */
bool sim_cutter_step(struct sim_cutter *cutter);
/* Whether what was reached last makes new states possible or old ones impossible. */
bool sim_cutter_is_place(const struct sim_cutter *cutter);

uint64_t sim_cut_count(const struct sim_cutter *cutter);
void sim_cut_apply(const struct sim_cutter *cutter, uint64_t variant);
void sim_cut_apply_random(const struct sim_cutter *cutter, struct base_random *random);

#endif
