/* The world that the workloads start from, made once: an empty filesystem and one with a small tree, unmounted. */
#ifndef BEEFTREE_TESTS_CRASH_PLACE_H
#define BEEFTREE_TESTS_CRASH_PLACE_H

#include "session.h"

struct place {
    struct sim_image image;
    struct model_fs *model;
};

/* Ends the program when the filesystem can't be made. */
void place_make_empty(struct place *place, uint32_t page_size, uint64_t log_size);
void place_make_tree(struct place *place, uint64_t log_size);
/* Takes over what a session has unmounted. */
void place_take(struct place *place, const struct session *session);
void place_deinit(struct place *place);

#endif
