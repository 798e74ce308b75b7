/* One run of a filesystem on a recorded disk: who does operations, which states these made, and which of them a power
 * cut at any moment of the record may leave (the oracle).
 *
 * States of an actor are numbered: 0 is where the session began, k is after its k-th operation that changed something.
 * At any moment a power cut may leave state k of an actor when lower <= k <= upper: not older than what the last
 * acknowledged sync covered, not newer than the last operation begun. Between actors: an operation that had ended
 * before another began is there if that other one is. */
#ifndef BEEFTREE_TESTS_CRASH_SESSION_H
#define BEEFTREE_TESTS_CRASH_SESSION_H

#include "operation.h"
#include "support/sim_disk.h"

enum { ACTORS_MAX = 4 };

struct state {
    struct digest digest;
    struct model_fs *model;     /* only while models are kept */
    uint32_t ended[ACTORS_MAX]; /* states of each actor when the operation that made this one began */
};

struct history {
    struct state *states;
    uint32_t count, capacity;
};

/* What a cut may leave; an event's tag is the index of its window. */
struct window {
    uint32_t lower[ACTORS_MAX], upper[ACTORS_MAX];
};

/* What fails in a session: the countdown-th call of a kind. */
enum session_fault {
    SESSION_FAULT_READ,
    SESSION_FAULT_WRITE,
    SESSION_FAULT_SYNC,
    SESSION_FAULT_ALLOCATE,
    SESSION_FAULT_TRUNCATE,
    SESSION_FAULT_GROWTH, /* host space for more than countdown - 1 blocks beyond now, refused late: at the sync */
    SESSION_FAULT_MEMORY, /* for one actor only */
    SESSION_FAULT_COUNT,
};

struct session {
    struct sim_image image; /* as the host sees it */
    struct sim_image start; /* what was durable where the record begins: for a cutter, which goes on with it */
    struct sim_disk disk;
    struct fs *fs;
    struct fs_options options;
    struct actor actors[ACTORS_MAX];
    struct history histories[ACTORS_MAX];
    unsigned actor_count;
    struct window *windows;
    uint64_t window_count, window_capacity;
    bool keeps_models; /* session_keep_models */
    bool traces;       /* says what it does on stderr */
};

/* On a copy of the image; the model is cloned for the only actor. The filesystem is not open yet. */
void session_init(struct session *session, const struct sim_image *image, const struct model_fs *model);
/* As above, where another session stood: actor i in its state states[i] (models were kept). */
void session_init_behind(struct session *session, const struct sim_image *image, const struct session *before,
                         const uint32_t *states);
void session_deinit(struct session *session);
/* Before anything else: keeps a model of each state, for session_init_behind and to say what differs. */
void session_keep_models(struct session *session);

/* Gives each of that many actors a directory "0", "1", ... of its own, made now and synced. The filesystem is open and
 * the only actor has done nothing. */
bool session_split(struct session *session, unsigned actor_count, struct base_reason *ret_reason);

/* Before session_open. */
void session_fail(struct session *session, enum session_fault fault, uint64_t countdown, bool forever);
/* Nothing fails from now on. Whether something has is in disk.faults_hit. */
void session_heal(struct session *session);

int session_open(struct session *session, struct base_reason *ret_reason);
/* Unmounts; false when that fails and no fault excuses it. */
bool session_close(struct session *session, struct base_reason *ret_reason);
/* Whether the open filesystem shows what it should, each actor's newest state. */
bool session_looks_right(struct session *session, struct base_reason *ret_reason);

/* As operation_perform, and notes what became possible. */
enum outcome session_perform(struct session *session, unsigned actor, const struct operation *operation,
                             struct base_reason *ret_reason);

/* Whether a recovered tree (a digest for each actor's directory) is one that the window allows; which states these are
 * in ret_states (NULL: no matter). */
bool session_allows(const struct session *session, uint64_t window, const struct digest *digests, uint32_t *ret_states,
                    struct base_reason *ret_reason);

#endif
