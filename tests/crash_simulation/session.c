/* See session.h. */
#include "session.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    sim_disk_init(&session->disk, &session->image, true);
    session->actors[0] = (struct actor){.model = model_fs_clone(model), .directory = FS_ROOT_INODE};
    add_window(session);
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
}

int session_open(struct session *session, struct base_reason *ret_reason)
{
    int error = fs_open(&session->disk.file, &session->options, &session->fs, ret_reason);

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

int session_close(struct session *session)
{
    let_go(session);
    int error = fs_close(session->fs);
    session->fs = NULL;
    return error;
}

void session_abandon(struct session *session)
{
    (void)session_close(session);
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
    if (operation->kind != OPERATION_SYNC) {
        add_window(session)->upper[actor] = ended[actor] + 1;
    }
    enum outcome outcome = operation_perform(&session->actors[actor], operation, ret_reason);
    if (outcome == OUTCOME_CHANGED && operation->kind == OPERATION_SYNC) {
        note_sync(session, ended);
    } else if (outcome == OUTCOME_CHANGED) {
        add_state(session, actor, ended);
    } else if (operation->kind != OPERATION_SYNC) {
        add_window(session)->upper[actor] = ended[actor];
    }
    static const char *const outcomes[] = {"done", "no change", "FAILED", "WRONG"};
    trace(session, actor, operation, outcomes[outcome]);
    return outcome;
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

bool session_allows(const struct session *session, uint64_t window, const struct digest *digests,
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
    return true;
}
