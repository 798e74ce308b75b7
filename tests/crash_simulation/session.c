/* See session.h. */
#include "session.h"

#include "base/assert.h"
#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void add_state(struct session *session, unsigned actor, const uint32_t *ended)
{
    struct history *history = &session->histories[actor];
    struct actor *who = &session->actors[actor];

    if (history->count == history->capacity) {
        history->capacity = history->capacity ? 2 * history->capacity : 8;
        history->states = realloc(history->states, history->capacity * sizeof *history->states);
        BASE_ASSERT(history->states);
    }
    struct state *state = &history->states[history->count++];
    *state = (struct state){.digest = digest_model(who->model, who->directory)};
    memcpy(state->ended, ended, sizeof state->ended);
    if (session->keeps_models) {
        state->model = model_fs_clone(who->model);
        model_fs_restart(state->model);
    }
}

/* From here on cuts have a new window, a copy of the last. */
static struct window *add_window(struct session *session)
{
    if (session->window_count == session->window_capacity) {
        session->window_capacity = session->window_capacity ? 2 * session->window_capacity : 16;
        session->windows = realloc(session->windows, session->window_capacity * sizeof *session->windows);
        BASE_ASSERT(session->windows);
    }
    struct window *window = &session->windows[session->window_count++];
    *window = session->window_count > 1 ? session->windows[session->window_count - 2] : (struct window){.lower = {0}};
    sim_disk_set_tag(&session->disk, session->window_count - 1);
    return window;
}

void session_init(struct session *session, const struct sim_image *image, const struct model_fs *model)
{
    const uint32_t none[ACTORS_MAX] = {0};

    *session = (struct session){.options = {.cache_size = 1}, .actor_count = 1};
    sim_image_init_copy(&session->image, image, false);
    sim_image_init_copy(&session->start, image, true);
    sim_disk_init(&session->disk, &session->image, true);
    session->actors[0] = (struct actor){.model = model_fs_clone(model), .directory = FS_ROOT_INODE};
    session->actors[0].faults_hit = &session->disk.faults_hit;
    add_window(session);
    add_state(session, 0, none);
}

void session_init_behind(struct session *session, const struct sim_image *image, const struct session *before,
                         const uint32_t *states)
{
    const uint32_t none[ACTORS_MAX] = {0};

    *session = (struct session){.options = before->options,
                                .actor_count = before->actor_count,
                                .keeps_models = before->keeps_models,
                                .traces = before->traces};
    sim_image_init_copy(&session->image, image, false);
    sim_image_init_copy(&session->start, image, true);
    sim_disk_init(&session->disk, &session->image, true);
    session->disk.before_call = before->disk.before_call;
    add_window(session);
    for (unsigned i = 0; i < session->actor_count; i++) {
        session->actors[i] = (struct actor){
            .model = model_fs_clone(before->histories[i].states[states[i]].model),
            .directory = before->actors[i].directory,
            .write_count = before->actors[i].write_count,
            .faults_hit = &session->disk.faults_hit,
        };
        add_state(session, i, none);
    }
}

void session_keep_models(struct session *session)
{
    const uint32_t none[ACTORS_MAX] = {0};

    BASE_ASSERT(session->actor_count == 1 && session->histories[0].count == 1);
    session->keeps_models = true;
    session->histories[0].count = 0;
    add_state(session, 0, none);
}

void session_deinit(struct session *session)
{
    BASE_ASSERT(!session->fs);
    for (unsigned i = 0; i < session->actor_count; i++) {
        for (uint32_t k = 0; k < session->histories[i].count; k++) {
            if (session->histories[i].states[k].model) {
                model_fs_destroy(session->histories[i].states[k].model);
            }
        }
        free(session->histories[i].states);
        model_fs_destroy(session->actors[i].model);
    }
    free(session->windows);
    sim_disk_deinit(&session->disk);
    sim_image_deinit(&session->image);
    sim_image_deinit(&session->start);
}

int session_open(struct session *session, struct base_reason *ret_reason)
{
    memory_arm();
    int error = fs_open(&session->disk.file, &session->options, &session->fs, ret_reason);
    memory_disarm();

    for (unsigned i = 0; i < session->actor_count; i++) {
        session->actors[i].fs = session->fs;
    }
    if (error) {
        session->fs = NULL;
    }
    return error;
}

static void let_go(struct session *session)
{
    for (unsigned i = 0; i < session->actor_count; i++) {
        struct actor *actor = &session->actors[i];
        while (actor->held_count > 0) {
            fs_forget(session->fs, actor->held[--actor->held_count], 1);
        }
    }
}

static void trace_statistics(struct session *session)
{
    struct fs_statistics statistics;

    fs_get_statistics(session->fs, &statistics); /* takes locks, so a replay must not be alone in this */
    if (session->traces) {
        fprintf(stderr,
                "  %llu checkpoints, %llu log batches, %llu bytes of log, %llu pages, %llu dirty pages stolen, %llu "
                "copies\n",
                (unsigned long long)statistics.store.checkpoints, (unsigned long long)statistics.store.log_batches,
                (unsigned long long)statistics.store.log_bytes, (unsigned long long)statistics.store.pages,
                (unsigned long long)statistics.pool.evictions_dirty, (unsigned long long)statistics.pool.copies);
    }
}

bool session_close(struct session *session, struct base_reason *ret_reason)
{
    trace_statistics(session);
    let_go(session);
    memory_arm();
    int error = fs_close(session->fs);
    memory_disarm();
    session->fs = NULL;
    if (error && session->disk.faults_hit == 0 && !session->actors[0].allows_no_space) {
        base_reason_set(ret_reason, "the unmount: %s", strerror(-error));
        return false;
    }
    return true;
}

bool session_looks_right(struct session *session, struct base_reason *ret_reason)
{
    for (unsigned i = 0; i < session->actor_count; i++) {
        const struct history *history = &session->histories[i];
        struct digest digest;
        int error = digest_fs(session->fs, session->actors[i].directory, &digest, ret_reason);
        if (error) {
            return false;
        }
        if (!digest_is_equal(digest, history->states[history->count - 1].digest)) {
            struct base_reason difference = {""};
            if (session->actor_count == 1) {
                model_fs_compare(session->actors[i].model, session->fs, &difference);
            }
            base_reason_set(ret_reason, "actor %u sees another tree than it made: %s", i, difference.text);
            return false;
        }
    }
    return true;
}

/* --- Faults ------------------------------------------------------------------------------------------------------- */

void session_fail(struct session *session, enum session_fault fault, uint64_t countdown, bool forever)
{
    static const enum sim_call calls[] = {SIM_READ, SIM_WRITE, SIM_SYNC, SIM_ALLOCATE, SIM_TRUNCATE};

    if (fault == SESSION_FAULT_MEMORY) {
        BASE_ASSERT(session->actor_count == 1);
        memory_fail(countdown, &session->disk.faults_hit);
    } else if (fault == SESSION_FAULT_GROWTH) {
        session->disk.host_size = session->image.size + (countdown - 1) * SIM_BLOCK_SIZE;
        session->disk.is_delayed = true;
    } else {
        int error = fault == SESSION_FAULT_ALLOCATE ? ENOSPC : EIO;
        sim_disk_fail(&session->disk, calls[fault], countdown, error, forever);
    }
}

void session_heal(struct session *session)
{
    memory_fail(0, NULL);
    if (session->disk.is_delayed) {
        session->disk.host_size = UINT64_MAX;
    }
    for (enum sim_call call = 0; call < SIM_CALL_COUNT; call++) {
        sim_disk_fail(&session->disk, call, 0, 0, false);
    }
}

/* --- Operations --------------------------------------------------------------------------------------------------- */

static void trace(const struct session *session, unsigned actor, const struct operation *operation, const char *what)
{
    char text[512];

    if (session->traces) {
        operation_describe(operation, text, sizeof text);
        fprintf(stderr, "  event %zu, actor %u, %s: %s (state %u)\n", session->disk.record.event_count, actor, what,
                text, session->histories[actor].count - 1);
    }
}

static void note_sync(struct session *session, const uint32_t *covered)
{
    struct window *window = add_window(session);

    for (unsigned i = 0; i < session->actor_count; i++) {
        if (window->lower[i] < covered[i]) {
            window->lower[i] = covered[i];
        }
    }
    sim_disk_mark(&session->disk);
}

enum outcome session_perform(struct session *session, unsigned actor, const struct operation *operation,
                             struct base_reason *ret_reason)
{
    uint32_t ended[ACTORS_MAX] = {0};

    for (unsigned i = 0; i < session->actor_count; i++) {
        ended[i] = session->histories[i].count - 1;
    }
    trace(session, actor, operation, "begins");
    if (!operation_is_sync(operation)) {
        add_window(session)->upper[actor] = ended[actor] + 1;
    }
    enum outcome outcome = operation_perform(&session->actors[actor], operation, ret_reason);
    if (outcome == OUTCOME_CHANGED && operation_is_sync(operation)) {
        note_sync(session, ended);
    } else if (outcome == OUTCOME_CHANGED) {
        add_state(session, actor, ended);
    } else if (!operation_is_sync(operation)) {
        add_window(session)->upper[actor] = ended[actor];
    }
    static const char *const outcomes[] = {"done", "no change", "FAILED", "WRONG"};
    trace(session, actor, operation, outcomes[outcome]);
    return outcome;
}

bool session_split(struct session *session, unsigned actor_count, struct base_reason *ret_reason)
{
    static const char *const names[ACTORS_MAX] = {"0", "1", "2", "3"};
    const struct operation sync = {.kind = OPERATION_SYNC};
    const uint32_t none[ACTORS_MAX] = {0};

    for (unsigned i = 0; i < actor_count; i++) {
        const struct operation make = {.kind = OPERATION_MAKE, .path = names[i], .mode = S_IFDIR | 0755};
        if (operation_perform(&session->actors[0], &make, ret_reason) != OUTCOME_CHANGED) {
            return false;
        }
    }
    if (operation_perform(&session->actors[0], &sync, ret_reason) != OUTCOME_CHANGED) {
        return false;
    }
    BASE_ASSERT(session->histories[0].count == 1);
    session->histories[0].count = 0;
    if (session->histories[0].states[0].model) {
        model_fs_destroy(session->histories[0].states[0].model);
    }
    for (unsigned i = 1; i < actor_count; i++) {
        session->actors[i] = session->actors[0];
        session->actors[i].model = model_fs_clone(session->actors[0].model);
    }
    session->actor_count = actor_count;
    for (unsigned i = 0; i < actor_count; i++) {
        struct actor *actor = &session->actors[i];
        actor->directory = model_fs_find_entry(actor->model, FS_ROOT_INODE, names[i]);
        add_state(session, i, none);
    }
    /* What came before is not cut: the directories must be there. */
    sim_disk_reset(&session->disk);
    sim_image_deinit(&session->start);
    sim_image_init_copy(&session->start, &session->image, true);
    return true;
}

/* --- The oracle --------------------------------------------------------------------------------------------------- */

/* The first state from `from` up to the window's end that looks so; UINT32_MAX when there is none. */
static uint32_t find_state(const struct session *session, uint64_t window, unsigned actor, uint32_t from,
                           struct digest digest)
{
    const struct history *history = &session->histories[actor];
    uint32_t upper = session->windows[window].upper[actor];

    for (uint32_t k = from; k <= upper && k < history->count; k++) {
        if (digest_is_equal(history->states[k].digest, digest)) {
            return k;
        }
    }
    return UINT32_MAX;
}

static void explain_miss(const struct session *session, uint64_t window, unsigned actor, struct digest digest,
                         struct base_reason *ret_reason)
{
    const struct history *history = &session->histories[actor];
    uint32_t lower = session->windows[window].lower[actor];
    uint32_t upper = session->windows[window].upper[actor];

    for (uint32_t k = 0; k < history->count; k++) {
        if (digest_is_equal(history->states[k].digest, digest)) {
            base_reason_set(ret_reason, "actor %u: state %u came back, allowed are %u to %u", actor, k, lower, upper);
            return;
        }
    }
    base_reason_set(ret_reason, "actor %u: a state came back that never was, allowed are %u to %u", actor, lower,
                    upper);
}

bool session_allows(const struct session *session, uint64_t window, const struct digest *digests, uint32_t *ret_states,
                    struct base_reason *ret_reason)
{
    uint32_t found[ACTORS_MAX];
    bool is_settled = false;

    for (unsigned i = 0; i < session->actor_count; i++) {
        found[i] = find_state(session, window, i, session->windows[window].lower[i], digests[i]);
        if (found[i] == UINT32_MAX) {
            explain_miss(session, window, i, digests[i], ret_reason);
            return false;
        }
    }
    /* The least states that look so; raised as far as those of others ask. */
    while (!is_settled) {
        is_settled = true;
        for (unsigned i = 0; i < session->actor_count; i++) {
            for (unsigned j = 0; j < session->actor_count; j++) {
                uint32_t asked = session->histories[i].states[found[i]].ended[j];
                if (j == i || found[j] >= asked) {
                    continue;
                }
                uint32_t raised = find_state(session, window, j, asked, digests[j]);
                if (raised == UINT32_MAX) {
                    base_reason_set(
                        ret_reason,
                        "actor %u is at state %u, which began after state %u of actor %u, which is lost (%u)", i,
                        found[i], asked, j, found[j]);
                    return false;
                }
                found[j] = raised;
                is_settled = false;
            }
        }
    }
    for (unsigned i = 0; i < session->actor_count && ret_states; i++) {
        ret_states[i] = found[i];
    }
    return true;
}
