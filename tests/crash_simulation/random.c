/* Long seeded workloads, one case after another. What a case is like is drawn from its number: one actor over the whole
 * tree or several at once in directories of their own, with the filesystem's own threads or without; a small ring of
 * the log, which goes round many times; the smallest pool, and now and then so many files that dirty pages are stolen;
 * a host that is nearly full; a call that fails.
 *
 * A case is a chain of sessions. Each is cut at random places; one of the cut images is where the next begins. So a
 * session's first cuts fall into the recovery from the cut before. */
#include "crash.h"
#include "threads.h"

#include "base/assert.h"

#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    SESSIONS_MAX = 3,
    CUTS_MAX = 96,
    PATH_SIZE = 512,
    NAME_SIZE_MAX = 120,
    NODES_MAX = 64,
    FEW_NODES = 20,
};

struct shape {
    uint64_t seed;
    unsigned actor_count, session_count;
    unsigned operation_count; /* of each actor, in a session */
    unsigned cut_count;       /* in a session */
    unsigned sync_in;         /* one operation in so many is a sync */
    unsigned name_count;      /* of different names for what is made, in each directory */
    unsigned name_size;       /* bytes */
    bool is_crowded;          /* many files within the tree: more pages than the pool has frames */
    bool has_background;      /* the filesystem's own threads: they sync and take checkpoints as they like */
    bool is_nearly_full, is_delayed;
    bool has_fault;
};

/* What is replayed: one cut, or all (session UINT_MAX). */
struct selection {
    unsigned session, cut;
};

struct random_case {
    struct shape shape;
    struct selection only;
    struct place place;
    struct base_random random;
    bool traces;
};

static uint64_t below(struct base_random *random, uint64_t bound)
{
    return base_random_below(random, bound);
}

static bool one_in(struct base_random *random, uint64_t bound)
{
    return base_random_below(random, bound) == 0;
}

static struct shape shape_of(uint64_t seed)
{
    struct base_random random;
    struct shape shape = {.seed = seed};

    base_random_seed(&random, seed);
    shape.actor_count = one_in(&random, 3) ? 2 + (unsigned)below(&random, ACTORS_MAX - 1) : 1;
    shape.session_count = 2 + (unsigned)below(&random, SESSIONS_MAX - 1);
    shape.operation_count = (unsigned)(20 + below(&random, 150)) / shape.actor_count;
    shape.cut_count = 32 + (unsigned)below(&random, CUTS_MAX - 32);
    shape.sync_in = 2 + (unsigned)below(&random, 30);
    shape.name_count = one_in(&random, 2) ? 5 : 26;
    shape.name_size = one_in(&random, 3) ? 100 : 1;
    shape.is_crowded = one_in(&random, 24);
    if (shape.is_crowded) {
        shape.operation_count = 1400 / shape.actor_count;
        shape.sync_in = 300;
        shape.cut_count = 24;
        shape.session_count = 1;
    }
    shape.has_background = one_in(&random, 3);
    shape.is_nearly_full = one_in(&random, 6);
    shape.is_delayed = shape.is_nearly_full && one_in(&random, 4);
    shape.has_fault = !shape.is_nearly_full && one_in(&random, 4);
    return shape;
}

/* --- Operations --------------------------------------------------------------------------------------------------- */

/* A path: with luck to something that is there, by a random walk through the model. */
static void draw_path(struct base_random *random, const struct shape *shape, struct actor *actor, bool is_there,
                      char *path)
{
    uint64_t inode = actor->directory;
    size_t size = 0;

    for (unsigned depth = 0; depth < 3; depth++) {
        struct model_node *node = model_fs_find(actor->model, inode);
        const char *name = NULL;
        char fresh[NAME_SIZE_MAX + 1];
        memset(fresh, 'a' + (int)below(random, shape->name_count), shape->name_size);
        fresh[shape->name_size] = '\0';
        if (!node || !S_ISDIR(node->attributes.mode)) {
            break;
        }
        if (node->attributes.size > 0 && (is_there || depth < 2) && !one_in(random, 8)) {
            name = node->entries[below(random, node->attributes.size)].name;
        }
        uint64_t next = name ? model_fs_find_entry(actor->model, inode, name) : 0;
        bool is_directory = next && S_ISDIR(model_fs_find(actor->model, next)->attributes.mode);
        bool goes_on = is_directory && one_in(random, 2);
        if (!name || (!is_there && !goes_on)) {
            name = fresh;
            goes_on = false;
        }
        if (size + strlen(name) + 2 > PATH_SIZE) {
            break;
        }
        if (size > 0) {
            path[size++] = '/';
        }
        strcpy(path + size, name);
        size += strlen(name);
        if (!goes_on) {
            break;
        }
        inode = next;
    }
    path[size] = '\0';
    if (size == 0) {
        strcpy(path, "a");
    }
}

/* A path, rather to a file. */
static void draw_file(struct base_random *random, const struct shape *shape, struct actor *actor, char *path)
{
    bool is_file = false;

    for (unsigned attempt = 0; attempt < 5 && !is_file; attempt++) {
        draw_path(random, shape, actor, true, path);
        uint64_t inode = operation_find(actor, path);
        is_file = inode && S_ISREG(model_fs_find(actor->model, inode)->attributes.mode);
    }
}

static uint64_t draw_size(struct base_random *random)
{
    switch (below(random, 8)) {
    case 0:
        return below(random, 40000);
    case 1:
        return one_in(random, 4) ? below(random, 200000) : below(random, 20000);
    case 2:
        return 4096 * below(random, 6);
    default:
        return below(random, 5000);
    }
}

static void draw_make(struct base_random *random, const struct shape *shape, struct actor *actor,
                      struct operation *operation, char *path, char *target)
{
    static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO};

    operation->kind = OPERATION_MAKE;
    operation->mode = types[below(random, 8)] | (uint32_t)below(random, 010000);
    draw_path(random, shape, actor, false, path);
    if (shape->is_crowded) {
        operation->mode = S_IFREG | 0644;
        snprintf(path, PATH_SIZE, "%" PRIu64, below(random, 700));
    }
    if (S_ISLNK(operation->mode)) {
        snprintf(target, PATH_SIZE, "%0*" PRIu64, (int)(1 + below(random, 100)), below(random, 100000));
        operation->other_path = target;
    }
}

static void draw_xattr(struct base_random *random, struct operation *operation)
{
    static const char *const names[] = {"user.a",    "user.ab",    "user.another name",
                                        "trusted.a", "security.a", "security.capability"};

    operation->kind = one_in(random, 3) ? OPERATION_REMOVE_XATTR : OPERATION_SET_XATTR;
    operation->other_path = names[below(random, sizeof names / sizeof names[0])];
    operation->mode = one_in(random, 4) ? (uint32_t)below(random, 3) : 0;
    operation->size = one_in(random, 3) ? below(random, 2200) : below(random, 80);
    if (one_in(random,
               40)) { /* more rows than the smallest pool takes at the worst case of each, more than a small ring */
        operation->size = FS_XATTR_VALUE_SIZE_MAX - below(random, 1000);
    }
}

static struct operation draw_operation(struct base_random *random, const struct shape *shape, struct actor *actor,
                                       char *path, char *other)
{
    struct operation operation = {.path = path, .kind = OPERATION_SYNC};
    bool is_full = actor->model->node_count > NODES_MAX && !shape->is_crowded;

    if (one_in(random, shape->sync_in)) {
        operation.path = NULL;
        operation.kind = one_in(random, 6) ? OPERATION_CHECKPOINT : OPERATION_SYNC;
        return operation;
    }
    draw_path(random, shape, actor, true, path);
    if (shape->is_crowded && one_in(random, 2)) { /* a file that takes a page of the tree */
        operation.kind = OPERATION_WRITE;
        operation.size = 3700;
        return operation;
    }
    bool is_empty = actor->model->node_count < FEW_NODES && one_in(random, 3);
    switch ((shape->is_crowded && !one_in(random, 8)) || is_empty ? 0 : below(random, 25)) {
    case 0:
    case 1:
    case 2:
    case 3:
        if (!is_full) {
            draw_make(random, shape, actor, &operation, path, other);
            break;
        }
        __attribute__((fallthrough));
    case 4:
    case 5:
    case 6: {
        uint64_t inode = operation_find(actor, path);
        bool is_directory = inode && S_ISDIR(model_fs_find(actor->model, inode)->attributes.mode);
        operation.kind = is_directory ? OPERATION_RMDIR : OPERATION_UNLINK;
        break;
    }
    case 7:
    case 8:
        operation.kind = OPERATION_RENAME;
        operation.other_path = other;
        operation.mode = one_in(random, 4) ? RENAME_EXCHANGE : one_in(random, 6) ? RENAME_NOREPLACE : 0;
        draw_path(random, shape, actor, one_in(random, 2), other);
        break;
    case 9:
        operation.kind = OPERATION_LINK;
        operation.other_path = other;
        draw_path(random, shape, actor, false, other);
        break;
    case 10:
    case 11:
    case 12:
        draw_file(random, shape, actor, path);
        operation.kind = OPERATION_TRUNCATE;
        operation.size = one_in(random, 3) ? 0 : draw_size(random);
        if (one_in(random, 3)) {
            static const uint32_t modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                             FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
            operation.kind = OPERATION_ALLOCATE;
            operation.mode = modes[below(random, sizeof modes / sizeof modes[0])];
            operation.offset = draw_size(random);
            operation.size++;
        } else if (one_in(random, 2)) {
            operation.kind = OPERATION_COPY;
            operation.other_path = other;
            draw_file(random, shape, actor, other);
            operation.offset = one_in(random, 2) ? 0 : draw_size(random) / 4096 * 4096;
            operation.size = one_in(random, 2) ? 200000 : 1 + draw_size(random);
        }
        break;
    case 13:
        operation.kind = OPERATION_SET_MODE + (enum operation_kind)below(random, 3);
        operation.mode = (uint32_t)below(random, 010000);
        break;
    case 14:
        operation.kind = one_in(random, 2) ? OPERATION_HOLD : OPERATION_RELEASE;
        break;
    case 15:
        draw_file(random, shape, actor, path);
        operation.kind = OPERATION_READ;
        operation.offset = draw_size(random);
        operation.size = 1 + draw_size(random);
        break;
    case 16:
    case 17:
        draw_xattr(random, &operation);
        break;
    case 18:
    case 19:
        draw_file(random, shape, actor, path);
        operation.kind = OPERATION_APPEND;
        operation.size = 1 + draw_size(random);
        break;
    default:
        draw_file(random, shape, actor, path);
        operation.kind = OPERATION_WRITE;
        operation.offset = one_in(random, 3) ? 0 : draw_size(random);
        operation.size = 1 + draw_size(random);
        break;
    }
    return operation;
}

/* --- Sessions ----------------------------------------------------------------------------------------------------- */

/* One actor's thread, or the only one. */
struct turn {
    struct session *session;
    const struct shape *shape;
    struct base_random random;
    unsigned actor;
    struct base_reason *reason;
    bool *is_wrong;
};

static void perform_operations(void *context)
{
    struct turn *turn = context;
    char path[PATH_SIZE];
    char other[PATH_SIZE];

    for (unsigned i = 0; i < turn->shape->operation_count && !*turn->is_wrong; i++) {
        struct actor *actor = &turn->session->actors[turn->actor];
        struct operation operation = draw_operation(&turn->random, turn->shape, actor, path, other);
        struct base_reason reason = {""};
        if (session_perform(turn->session, turn->actor, &operation, &reason) == OUTCOME_WRONG && !*turn->is_wrong) {
            *turn->reason = reason;
            *turn->is_wrong = true;
        }
        simulation_yield();
    }
}

static bool perform_all(struct session *session, const struct random_case *this, unsigned number,
                        struct base_reason *ret_reason)
{
    struct turn turns[ACTORS_MAX];
    bool is_wrong = false;

    for (unsigned i = 0; i < session->actor_count; i++) {
        turns[i] = (struct turn){
            .session = session, .shape = &this->shape, .actor = i, .reason = ret_reason, .is_wrong = &is_wrong};
        base_random_seed(&turns[i].random, this->shape.seed * 1000003 + number * 101 + i);
    }
    if (session->actor_count == 1) {
        perform_operations(&turns[0]);
    } else {
        unsigned threads[ACTORS_MAX];
        for (unsigned i = 0; i < session->actor_count; i++) {
            threads[i] = simulation_spawn(perform_operations, &turns[i]);
        }
        for (unsigned i = 0; i < session->actor_count; i++) {
            simulation_join(threads[i]);
        }
    }
    return !is_wrong;
}

static void draw_trouble(struct random_case *this, struct session *session)
{
    struct base_random *random = &this->random;

    if (this->shape.is_nearly_full) {
        session->disk.host_size = session->image.size + 4096 * below(random, 600);
        session->disk.is_delayed = this->shape.is_delayed;
        for (unsigned i = 0; i < session->actor_count; i++) {
            session->actors[i].allows_no_space = true;
        }
    }
    if (this->shape.has_fault) {
        uint64_t fault = below(random, session->actor_count == 1 ? SESSION_FAULT_COUNT : SESSION_FAULT_MEMORY);
        uint64_t most = fault == SESSION_FAULT_MEMORY || fault == SESSION_FAULT_WRITE ? 300 : 40;
        session_fail(session, (enum session_fault)fault, 1 + below(random, most), one_in(random, 2));
    }
}

static bool work_in_thread(struct random_case *this, struct session *session, unsigned number,
                           struct base_reason *ret_reason)
{
    struct base_reason ignored;

    simulation_reset_environment(this->shape.seed * 31 + number);
    if (number > 0) {
        draw_trouble(this, session);
    }
    if (session_open(session, ret_reason)) {
        session_heal(session);
        return session->disk.faults_hit > 0 || this->shape.is_nearly_full;
    }
    ret_reason->text[0] = '\0';
    if (number == 0) {
        if (this->shape.actor_count > 1 && !session_split(session, this->shape.actor_count, ret_reason)) {
            (void)session_close(session, &ignored);
            return false;
        }
        draw_trouble(this, session);
    }
    bool good = perform_all(session, this, number, ret_reason);
    session_heal(session);
    good = good && session_looks_right(session, ret_reason);
    if (one_in(&this->random, 2)) {
        return session_close(session, good ? ret_reason : &ignored) && good;
    }
    (void)session_close(session, &ignored); /* what it does is never reached by a cut */
    return good;
}

struct work {
    struct random_case *this;
    struct session *session;
    unsigned number;
    struct base_reason *reason;
    bool good;
};

static void run_work(void *context)
{
    struct work *work = context;
    work->good = work_in_thread(work->this, work->session, work->number, work->reason);
}

/* Does a session's work, as the first thread of its simulation: false when something is wrong. */
static bool work(struct random_case *this, struct session *session, unsigned number, struct base_reason *ret_reason)
{
    struct work work = {.this = this, .session = session, .number = number, .reason = ret_reason};

    simulation_run(this->shape.seed + number, run_work, &work);
    return work.good;
}

/* --- Cuts --------------------------------------------------------------------------------------------------------- */

struct planned_cut {
    size_t place;
    unsigned number;
    uint64_t seed;
};

static int compare_cuts(const void *left, const void *right)
{
    const struct planned_cut *a = left;
    const struct planned_cut *b = right;
    return a->place != b->place ? (a->place > b->place) - (a->place < b->place)
                                : (a->number > b->number) - (a->number < b->number);
}

/* In the order of their places; some of them near the start, where recovery is. */
static unsigned plan_cuts(const struct random_case *this, unsigned session, size_t event_count,
                          struct planned_cut *plan)
{
    for (unsigned i = 0; i < this->shape.cut_count; i++) {
        struct base_random random;
        base_random_seed(&random, this->shape.seed ^ (uint64_t)session << 56 ^ (uint64_t)i << 40);
        uint64_t range = one_in(&random, 4) && event_count > 24 ? 24 : event_count;
        plan[i] = (struct planned_cut){.place = 1 + (size_t)below(&random, range), .number = i};
        plan[i].seed = base_random_next(&random);
    }
    qsort(plan, this->shape.cut_count, sizeof *plan, compare_cuts);
    return this->shape.cut_count;
}

static void apply_planned(const struct sim_cutter *cutter, uint64_t seed)
{
    struct base_random random;

    base_random_seed(&random, seed);
    if (one_in(&random, 2)) {
        sim_cut_apply(cutter, below(&random, sim_cut_count(cutter)));
    } else {
        sim_cut_apply_random(cutter, &random);
    }
}

/* Where the next session begins. */
struct successor {
    struct sim_image image;
    uint32_t states[ACTORS_MAX];
    bool is_set;
};

static bool cut_session(struct crash_run *run, const struct random_case *this, struct session *session, unsigned number,
                        struct successor *ret_successor)
{
    struct planned_cut plan[CUTS_MAX];
    struct sim_cutter cutter;
    bool good = true;

    if (session->disk.record.event_count == 0) {
        return true;
    }
    unsigned count = plan_cuts(this, number, session->disk.record.event_count, plan);
    unsigned chosen = (unsigned)(this->shape.seed % count);
    sim_cutter_init(&cutter, &session->start, &session->disk.record);
    for (unsigned i = 0; i < count && good; i++) {
        char replay[96];
        uint32_t states[ACTORS_MAX];
        bool is_chosen = plan[i].number == chosen;
        while (cutter.next < plan[i].place && sim_cutter_step(&cutter)) {
        }
        if (this->only.session != UINT32_MAX && !is_chosen &&
            (this->only.session != number || this->only.cut != plan[i].number)) {
            continue;
        }
        snprintf(replay, sizeof replay, "random:%" PRIu64 ":%u:%u", this->shape.seed, number, plan[i].number);
        size_t mark = sim_image_mark(cutter.image);
        apply_planned(&cutter, plan[i].seed);
        good = crash_check_cut(session, cutter.tag, cutter.image, VERIFY_FULLY, replay, states);
        if (good && is_chosen) {
            sim_image_init_copy(&ret_successor->image, cutter.image, true);
            memcpy(ret_successor->states, states, sizeof states);
            ret_successor->is_set = true;
        }
        sim_image_roll_back(cutter.image, mark);
    }
    sim_cutter_deinit(&cutter);
    return good && (this->only.session != UINT32_MAX || crash_goes_on(run));
}

/* --- Cases -------------------------------------------------------------------------------------------------------- */

/* false: a difference, or no more cuts are wanted. */
static bool run_sessions(struct crash_run *run, struct random_case *this, struct session *session)
{
    for (unsigned number = 0;; number++) {
        struct successor successor = {.is_set = false};
        struct base_reason reason = {""};
        char replay[64];
        if (this->traces) {
            fprintf(stderr, "session %u%s\n", number, this->shape.is_crowded ? ", crowded" : "");
        }
        bool good = work(this, session, number, &reason);
        if (!good) {
            snprintf(replay, sizeof replay, "random:%" PRIu64, this->shape.seed);
            crash_report(replay, "session %u, without a cut: %s", number, reason.text);
        }
        good = good && cut_session(run, this, session, number, &successor);
        bool goes_on = good && successor.is_set && number + 1 < this->shape.session_count;
        if (goes_on) {
            struct session next;
            session_init_behind(&next, &successor.image, session, successor.states);
            session_deinit(session);
            *session = next;
            /* It moved. */
            session->disk.image = &session->image;
            for (unsigned i = 0; i < session->actor_count; i++) {
                session->actors[i].faults_hit = &session->disk.faults_hit;
            }
        }
        if (successor.is_set) {
            sim_image_deinit(&successor.image);
        }
        if (!goes_on) {
            return good;
        }
    }
}

static bool run_case(struct crash_run *run, uint64_t seed, struct selection only, bool traces)
{
    struct random_case this = {.shape = shape_of(seed), .only = only, .traces = traces};
    struct session session;

    crash_note_case(run, "random:%" PRIu64, seed);
    base_random_seed(&this.random, ~seed);
    uint32_t page_size = one_in(&this.random, 5) ? FS_PAGE_SIZE_DEFAULT : STORE_PAGE_SIZE_MIN;
    uint64_t log_size = one_in(&this.random, 4) ? 256 << 10 : (uint64_t)16384 << below(&this.random, 3);
    if (this.shape.is_crowded) {
        page_size = STORE_PAGE_SIZE_MIN;
        log_size = 4 << 20;
    }
    place_make_empty(&this.place, page_size, log_size);
    session_init(&session, &this.place.image, this.place.model);
    if (this.shape.session_count > 1 || traces) {
        session_keep_models(&session);
    }
    session.traces = traces;
    session.options.commit_interval_ms = this.shape.has_background ? 2000 : 0;
    session.disk.before_call = simulation_yield;
    verify_forget();
    bool good = run_sessions(run, &this, &session);
    session_deinit(&session);
    place_deinit(&this.place);
    return good;
}

bool crash_random(struct crash_run *run)
{
    const struct selection all = {.session = UINT32_MAX};

    for (uint64_t i = run->worker; crash_goes_on(run); i += run->worker_count) {
        if (!run_case(run, run->seed * 1000000 + i, all, false)) {
            break; /* found something, or there are enough */
        }
    }
    return true;
}

bool crash_random_replay(struct crash_run *run, const char *text)
{
    struct selection only = {.session = UINT32_MAX - 1};
    uint64_t seed;

    if (sscanf(text, "%" SCNu64 ":%u:%u", &seed, &only.session, &only.cut) < 1) {
        fprintf(stderr, "crash: no case: %s\n", text);
        exit(2);
    }
    return run_case(run, seed, only, true);
}
