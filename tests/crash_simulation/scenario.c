/* Workloads made for one mistake each: what short and random ones meet seldom or never. Each says which tooth of
 * base/tooth.h needs it. A report names the scenario; it is short enough to be replayed as a whole. */
#include "crash.h"
#include "threads.h"
#include "workload.h"

#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct operation sync_operation = {.kind = OPERATION_SYNC};

/* Opens and does that many operations; the filesystem stays open. */
static bool perform_list(struct session *session, const struct operation *operations, size_t count, const char *name)
{
    struct base_reason reason = {""};
    bool good = session_open(session, &reason) == 0;

    for (size_t i = 0; good && i < count; i++) {
        good = session_perform(session, 0, &operations[i], &reason) != OUTCOME_WRONG;
    }
    if (!good) {
        char replay[64];
        snprintf(replay, sizeof replay, "scenario:%s", name);
        crash_report(replay, "without a cut: %s", reason.text);
    }
    return good;
}

static void end(struct session *session)
{
    struct base_reason ignored;

    if (session->fs) {
        (void)session_close(session, &ignored);
    }
    session_deinit(session);
}

/* What is done with each cut of a session; NULL: it is only checked. */
typedef bool (*after_cut)(struct crash_run *run, const struct session *session, struct sim_image *image,
                          const uint32_t *states, const char *name);

/* Every cut up to that event, in all variants. */
static bool cut_all(struct crash_run *run, struct session *session, size_t event_count, const char *name,
                    after_cut after)
{
    struct sim_cutter cutter;
    bool good = true;

    sim_cutter_init(&cutter, &session->start, &session->disk.record);
    while (good && cutter.next < event_count && sim_cutter_step(&cutter)) {
        uint64_t count = sim_cutter_is_place(&cutter) ? sim_cut_count(&cutter) : 0;
        for (uint64_t variant = 0; good && variant < count; variant++) {
            uint32_t states[ACTORS_MAX];
            char replay[96];
            snprintf(replay, sizeof replay, "scenario:%s:%zu:%llu", name, cutter.next, (unsigned long long)variant);
            size_t mark = sim_image_mark(cutter.image);
            sim_cut_apply(&cutter, variant);
            good = crash_check_cut(session, cutter.tag, cutter.image, VERIFY_SAMPLED, replay, states);
            if (good && after) {
                good = after(run, session, cutter.image, states, name);
            }
            sim_image_roll_back(cutter.image, mark);
        }
    }
    sim_cutter_deinit(&cutter);
    return good;
}

/* --- salt: a batch whose contents were missing lies where the log goes on; the next mount writes the same contents to
 * the same blocks, and the power is cut before it writes a batch of its own (NO_SALT) ---------------------------------
 */

static bool write_again(struct crash_run *run, const struct session *before, struct sim_image *image,
                        const uint32_t *states, const char *name)
{
    static const struct operation operations[] = {{.kind = OPERATION_WRITE, .path = "g", .offset = 4096, .size = 4096}};
    struct session session;

    if (states[0] != 0) {
        return true;
    }
    session_init_behind(&session, image, before, states);
    session.actors[0].write_count = 0;
    simulation_reset_environment(6);
    bool good = perform_list(&session, operations, 1, name);
    size_t event_count = session.disk.record.event_count;
    good = good && cut_all(run, &session, event_count, name, NULL);
    end(&session);
    return good;
}

static bool run_salt(struct crash_run *run, const char *name)
{
    static const struct operation operations[] = {
        {.kind = OPERATION_WRITE, .path = "g", .offset = 4096, .size = 4096},
        {.kind = OPERATION_MAKE, .path = "n", .mode = S_IFREG | 0600},
        {.kind = OPERATION_SYNC},
    };
    struct session session;

    session_init(&session, &run->tree.image, run->tree.model);
    session_keep_models(&session);
    simulation_reset_environment(5);
    bool good = perform_list(&session, operations, 3, name);
    size_t event_count = session.disk.record.event_count;
    good = good && cut_all(run, &session, event_count, name, write_again);
    end(&session);
    return good;
}

/* --- freeze: records before and after a checkpoint that finds the log's batch open (FREEZE_IN_BATCH)
 * ------------------ */

static bool run_freeze(struct crash_run *run, const char *name)
{
    static const struct operation operations[] = {
        {.kind = OPERATION_WRITE, .path = "g", .offset = 0, .size = 9000},
        {.kind = OPERATION_MAKE, .path = "n", .mode = S_IFREG | 0600},
        {.kind = OPERATION_CHECKPOINT},
        {.kind = OPERATION_WRITE, .path = "h", .offset = 5000, .size = 9000},
        {.kind = OPERATION_SYNC},
        {.kind = OPERATION_UNLINK, .path = "g"},
        {.kind = OPERATION_CHECKPOINT},
        {.kind = OPERATION_SYNC},
        {.kind = OPERATION_APPEND, .path = "h", .size = 100},
        {.kind = OPERATION_SYNC},
    };
    struct session session;

    session_init(&session, &run->tree.image, run->tree.model);
    simulation_reset_environment(7);
    bool good = perform_list(&session, operations, sizeof operations / sizeof operations[0], name);
    good = good && cut_all(run, &session, session.disk.record.event_count, name, NULL);
    end(&session);
    return good;
}

/* --- damage: one block of the disk is not what was written; nothing that was acknowledged before the last sync may be
 * missing without a word (DAMAGE_IS_END) -----------------------------------------------------------------------------
 */

/* The last batch can't be told from one that was under way. */
static uint64_t window_without_last_sync(struct session *session)
{
    uint64_t last = session->window_count - 1;
    uint32_t lower = session->windows[last].lower[0];

    for (uint64_t i = 0; i < session->window_count; i++) {
        if (session->windows[i].lower[0] < lower) {
            session->windows[last].lower[0] = session->windows[i].lower[0];
        }
    }
    return last;
}

/* Refused, or an error for what is damaged, or the right tree. */
static bool open_damaged(const struct session *session, uint64_t window, struct sim_image *image, size_t block,
                         const char *name)
{
    const struct fs_options options = {.cache_size = 1};
    struct base_reason reason = {""};
    struct digest digest;
    struct sim_disk disk;
    struct fs *fs;
    char replay[64];
    bool good = true;

    __atomic_fetch_add(&verify_counts->cuts, 1, __ATOMIC_RELAXED);
    simulation_reset_environment(8);
    sim_disk_init(&disk, image, false);
    if (fs_open(&disk.file, &options, &fs, &reason)) {
        return true;
    }
    if (digest_fs(fs, FS_ROOT_INODE, &digest, &reason) == 0 &&
        !session_allows(session, window, &digest, NULL, &reason)) {
        snprintf(replay, sizeof replay, "scenario:%s", name);
        good = crash_report(replay, "block %zu damaged: %s", block, reason.text);
    }
    (void)fs_close(fs);
    return good;
}

static bool damage_each_block(struct session *session, const char *name)
{
    uint64_t window = window_without_last_sync(session);
    struct sim_image image;
    bool good = true;

    sim_image_init_copy(&image, &session->image, true);
    for (size_t i = 0; good && i < image.size / SIM_BLOCK_SIZE; i++) {
        for (unsigned kind = 0; good && image.blocks[i] && kind < 2; kind++) {
            struct sim_block *damaged = sim_block_create();
            memcpy(damaged->bytes, image.blocks[i]->bytes, SIM_BLOCK_SIZE);
            damaged->bytes[100] ^= 0x10;
            size_t mark = sim_image_mark(&image);
            sim_image_put(&image, i, kind == 0 ? damaged : NULL, 0, SIM_BLOCK_SIZE);
            good = open_damaged(session, window, &image, i, name);
            sim_image_roll_back(&image, mark);
            sim_block_let_go(damaged);
        }
    }
    sim_image_deinit(&image);
    return good;
}

static bool run_damage(struct crash_run *run, const char *name)
{
    static const struct operation operations[] = {
        {.kind = OPERATION_WRITE, .path = "g", .offset = 0, .size = 5000},
        {.kind = OPERATION_SYNC},
        {.kind = OPERATION_MAKE, .path = "n", .mode = S_IFREG | 0600},
        {.kind = OPERATION_SYNC},
        {.kind = OPERATION_UNLINK, .path = "d/f"},
        {.kind = OPERATION_SYNC},
        {.kind = OPERATION_APPEND, .path = "n", .size = 5000},
        {.kind = OPERATION_SYNC},
    };
    struct session session;

    session_init(&session, &run->tree.image, run->tree.model);
    simulation_reset_environment(9);
    bool good = perform_list(&session, operations, sizeof operations / sizeof operations[0], name);
    good = good && damage_each_block(&session, name);
    end(&session);
    return good;
}

/* An unmounted filesystem of that many files, each of which takes most of 4 KiB in the tree. */
static bool make_files(struct place *place, unsigned count, uint32_t page_size, uint64_t log_size)
{
    struct base_reason reason = {""};
    struct session session;
    struct place empty;
    char path[16];

    place_make_empty(&empty, page_size, log_size);
    session_init(&session, &empty.image, empty.model);
    simulation_reset_environment(10);
    bool good = session_open(&session, &reason) == 0;
    for (unsigned i = 0; good && i < count; i++) {
        const struct operation operations[] = {
            {.kind = OPERATION_MAKE, .path = path, .mode = S_IFREG | 0600},
            {.kind = OPERATION_WRITE, .path = path, .size = 3700},
        };
        snprintf(path, sizeof path, "%u", i);
        for (unsigned k = 0; good && k < 2; k++) { /* not of interest to the oracle */
            good = operation_perform(&session.actors[0], &operations[k], &reason) == OUTCOME_CHANGED;
        }
    }
    if (!(session_close(&session, &reason) && good)) {
        good = crash_report("scenario", "making files: %s", reason.text);
    }
    place_take(place, &session);
    session_deinit(&session);
    place_deinit(&empty);
    return good;
}

/* --- steal: recovery has more pages to write than the zones of pages have room for, and the lowest zone that looks
 * empty holds contents that only the log names (STEAL_OVER_CONTENTS). One empty zone is left to pages, so it takes
 * nearly two zones of them.
 * --------------------------------------------------- */

enum { STEAL_PAGE_SIZE = 65536, STEAL_FILES_MIN = 1500, STEAL_FILES_MAX = 2000, STEAL_LOG_SIZE = 1 << 20 };

static bool run_steal_with(const struct place *place, unsigned file_count)
{
    struct base_reason reason = {""};
    struct session session;
    struct sim_cutter cutter;
    char path[16];
    bool good = true;

    session_init(&session, &place->image, place->model);
    simulation_reset_environment(11);
    good = session_open(&session, &reason) == 0;
    const struct operation make = {.kind = OPERATION_MAKE, .path = "c", .mode = S_IFREG | 0600};
    good = good && session_perform(&session, 0, &make, &reason) == OUTCOME_CHANGED;
    for (unsigned i = 0; good && i < 5; i++) {
        const struct operation append = {.kind = OPERATION_APPEND, .path = "c", .size = 1 << 20};
        good = session_perform(&session, 0, &append, &reason) == OUTCOME_CHANGED;
    }
    for (unsigned i = 0; good && i < file_count; i += 12) {
        const struct operation write = {.kind = OPERATION_WRITE, .path = path, .size = 100};
        snprintf(path, sizeof path, "%u", i);
        good = session_perform(&session, 0, &write, &reason) == OUTCOME_CHANGED;
    }
    good = good && session_perform(&session, 0, &sync_operation, &reason) == OUTCOME_CHANGED;
    if (!good) {
        crash_report("scenario:steal", "without a cut: %s", reason.text);
    }
    sim_cutter_init(&cutter, &session.start, &session.disk.record);
    while (good && cutter.next < session.disk.record.event_count && sim_cutter_step(&cutter)) {
    }
    good = good && crash_check_cut(&session, cutter.tag, cutter.image, VERIFY_FULLY, "scenario:steal", NULL);
    sim_cutter_deinit(&cutter);
    end(&session);
    return good;
}

/* Trees of so many pages that a zone of them is more or less full. */
static bool run_steal(struct crash_run *run, const char *name)
{
    bool good = true;

    (void)run, (void)name;
    for (unsigned file_count = STEAL_FILES_MIN; good && file_count <= STEAL_FILES_MAX; file_count += 100) {
        struct place place;
        good = make_files(&place, file_count, STEAL_PAGE_SIZE, STEAL_LOG_SIZE) && run_steal_with(&place, file_count);
        place_deinit(&place);
    }
    return good;
}

/* --- stolen: more pages than the pool has frames, all of them changed in turn, so that dirty pages are written before
 * a checkpoint asks for them
 * ------------------------------------------------------------------------------------------- */

enum { STOLEN_FILES = 900, STOLEN_CHANGES = 110, STOLEN_LOG_SIZE = 4 << 20, STOLEN_CUTS = 120 };

static bool cut_some(struct session *session, const char *name)
{
    struct sim_cutter cutter;
    struct base_random random;
    size_t every = session->disk.record.event_count / STOLEN_CUTS + 1;
    char replay[96];
    bool good = true;

    base_random_seed(&random, 12);
    snprintf(replay, sizeof replay, "scenario:%s", name);
    sim_cutter_init(&cutter, &session->start, &session->disk.record);
    while (good && sim_cutter_step(&cutter)) {
        if (cutter.next % every == 0 || cutter.next == session->disk.record.event_count) {
            size_t mark = sim_image_mark(cutter.image);
            sim_cut_apply_random(&cutter, &random);
            good = crash_check_cut(session, cutter.tag, cutter.image, VERIFY_SAMPLED, replay, NULL);
            sim_image_roll_back(cutter.image, mark);
        }
    }
    sim_cutter_deinit(&cutter);
    return good;
}

static bool run_stolen(struct crash_run *run, const char *name)
{
    struct fs_statistics statistics = {.pool = {.evictions_dirty = 0}};
    struct base_reason reason = {""};
    struct session session;
    struct place place;
    char path[16];

    (void)run;
    bool good = make_files(&place, STOLEN_FILES, STORE_PAGE_SIZE_MIN, STOLEN_LOG_SIZE);
    session_init(&session, &place.image, place.model);
    simulation_reset_environment(13);
    good = good && session_open(&session, &reason) == 0;
    for (unsigned i = 0; good && i < STOLEN_CHANGES; i++) { /* pages of the tree, one after the other */
        const struct operation write = {.kind = OPERATION_WRITE, .path = path, .size = 100};
        snprintf(path, sizeof path, "%u", i);
        good = session_perform(&session, 0, &write, &reason) == OUTCOME_CHANGED;
    }
    for (unsigned i = 0; good && i < 3 * STOLEN_FILES; i++) { /* and others, till the clock has come round to those */
        const struct operation read = {.kind = OPERATION_READ, .path = path, .size = 3700};
        snprintf(path, sizeof path, "%u", STOLEN_CHANGES + i % (STOLEN_FILES - STOLEN_CHANGES));
        good = session_perform(&session, 0, &read, &reason) == OUTCOME_UNCHANGED;
    }
    for (unsigned i = 0; good && i < STOLEN_CHANGES / 4; i++) {
        const struct operation write = {.kind = i == 20      ? OPERATION_CHECKPOINT
                                                : i % 8 == 7 ? OPERATION_SYNC
                                                             : OPERATION_APPEND,
                                        .path = path,
                                        .size = 100};
        snprintf(path, sizeof path, "%u", 3 * i);
        good = session_perform(&session, 0, &write, &reason) == OUTCOME_CHANGED;
    }
    if (session.fs) {
        fs_get_statistics(session.fs, &statistics);
    }
    if (!good || statistics.pool.evictions_dirty == 0) {
        good = crash_report("scenario:stolen", "without a cut: %s", good ? "no dirty page was stolen" : reason.text);
    }
    good = good && cut_some(&session, name);
    end(&session);
    place_deinit(&place);
    return good;
}

/* --- steps: files of so many rows that freeing them takes several transactions --------------------------------------
 */

enum { STEPS_ROWS = 150, STEPS_ROW_SPAN = 128 << 10 };

static bool run_steps(struct crash_run *run, const char *name)
{
    static const struct operation operations[] = {
        {.kind = OPERATION_TRUNCATE, .path = "b", .size = 100000},
        {.kind = OPERATION_WRITE, .path = "b", .offset = 80 * STEPS_ROW_SPAN + 5000, .size = 3000},
        {.kind = OPERATION_SYNC},
        {.kind = OPERATION_TRUNCATE, .path = "b", .size = 0},
        {.kind = OPERATION_HOLD, .path = "c"},
        {.kind = OPERATION_UNLINK, .path = "c"},
        {.kind = OPERATION_CHECKPOINT},
        {.kind = OPERATION_RELEASE},
        {.kind = OPERATION_MAKE, .path = "n", .mode = S_IFREG | 0600},
        {.kind = OPERATION_SYNC},
    };
    static const char *const paths[] = {"b", "c"};
    struct base_reason reason = {""};
    struct session making;
    struct session session;
    struct place place;
    bool good;

    session_init(&making, &run->tree.image, run->tree.model);
    simulation_reset_environment(14);
    good = session_open(&making, &reason) == 0;
    for (unsigned i = 0; good && i < 2 * (1 + STEPS_ROWS); i++) {
        uint64_t row = i / 2;
        const struct operation make = {.kind = OPERATION_MAKE, .path = paths[i % 2], .mode = S_IFREG | 0600};
        const struct operation write = {
            .kind = OPERATION_WRITE, .path = paths[i % 2], .offset = row * STEPS_ROW_SPAN, .size = 4096};
        good = operation_perform(&making.actors[0], row == 0 ? &make : &write, &reason) == OUTCOME_CHANGED;
    }
    good = session_close(&making, &reason) && good;
    place_take(&place, &making);
    session_deinit(&making);
    if (!good) {
        crash_report("scenario:steps", "making files: %s", reason.text);
    }
    session_init(&session, &place.image, place.model);
    simulation_reset_environment(15);
    good = good && perform_list(&session, operations, sizeof operations / sizeof operations[0], name);
    good = good && cut_all(run, &session, session.disk.record.event_count, name, NULL);
    end(&session);
    place_deinit(&place);
    return good;
}

/* --- ring: batches that fill the log's ring to its very end, and checkpoints then
 * ------------------------------------- */

static bool run_ring(struct crash_run *run, const char *name)
{
    static const struct operation chmod = {.kind = OPERATION_SET_MODE, .path = "g", .mode = 0640};
    static const struct operation checkpoint = {.kind = OPERATION_CHECKPOINT};
    enum { RING_BATCHES = 8 };
    bool good = true;

    (void)run;
    for (unsigned before = 0; good && before <= RING_BATCHES; before++) {
        struct operation operations[2 * RING_BATCHES + 4];
        struct session session;
        struct place place;
        size_t count = 0;
        for (unsigned i = 0; i < before; i++) {
            operations[count++] = chmod;
            operations[count++] = sync_operation;
        }
        operations[count++] = checkpoint;
        operations[count++] = chmod;
        operations[count++] = sync_operation;
        place_make_tree(&place, STORE_BLOCK_SIZE * RING_BATCHES / 2);
        session_init(&session, &place.image, place.model);
        simulation_reset_environment(16);
        good = perform_list(&session, operations, count, name);
        good = good && cut_all(run, &session, session.disk.record.event_count, name, NULL);
        end(&session);
        place_deinit(&place);
    }
    return good;
}

/* --- between: operations that come and go while a checkpoint is under way, at each of its calls
 * ----------------------- */

static struct {
    struct session *session;
    unsigned countdown; /* calls until then; 0: not any more */
    bool is_wrong;
} between;

static void perform_between(void)
{
    static const struct operation operations[] = {
        {.kind = OPERATION_WRITE, .path = "g", .offset = 4096, .size = 4096},
        {.kind = OPERATION_MAKE, .path = "n", .mode = S_IFREG | 0600},
        {.kind = OPERATION_WRITE, .path = "n", .size = 4096}, /* in the lowest free block, that a node takes next */
        {.kind = OPERATION_UNLINK, .path = "n"},
    };
    struct base_reason reason = {""};

    if (between.countdown == 0 || --between.countdown > 0) {
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (session_perform(between.session, 0, &operations[i], &reason) != OUTCOME_CHANGED && !between.is_wrong) {
            between.is_wrong = true;
            crash_report("scenario:between", "without a cut: %s", reason.text);
        }
    }
}

static bool run_between(struct crash_run *run, const char *name)
{
    static const struct operation operations[] = {
        {.kind = OPERATION_WRITE, .path = "g", .size = 5000},
        {.kind = OPERATION_CHECKPOINT},
        {.kind = OPERATION_UNLINK, .path = "d/f"},
    };
    static const struct operation checkpoint = {.kind = OPERATION_CHECKPOINT};
    enum { CALLS_MAX = 12 };
    bool good = true;

    for (unsigned call = 1; good && call <= CALLS_MAX; call++) {
        struct base_reason reason = {""};
        struct session session;
        session_init(&session, &run->tree.image, run->tree.model);
        simulation_reset_environment(17);
        good = perform_list(&session, operations, 3, name);
        between.session = &session;
        between.countdown = call;
        session.disk.before_call = perform_between;
        good = good && session_perform(&session, 0, &checkpoint, &reason) == OUTCOME_CHANGED && !between.is_wrong;
        between.countdown = 0;
        good = good && session_perform(&session, 0, &sync_operation, &reason) == OUTCOME_CHANGED;
        good = good && cut_all(run, &session, session.disk.record.event_count, name, NULL);
        end(&session);
    }
    return good;
}

/* --- All ---------------------------------------------------------------------------------------------------------- */

struct scenario {
    const char *name;
    bool (*run)(struct crash_run *run, const char *name);
};

static const struct scenario scenarios[] = {
    {"salt", run_salt},     {"freeze", run_freeze}, {"damage", run_damage}, {"steal", run_steal},
    {"stolen", run_stolen}, {"steps", run_steps},   {"ring", run_ring},     {"between", run_between},
};

bool crash_scenarios(struct crash_run *run, const char *name)
{
    bool is_known = false;

    for (unsigned i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (name && strcmp(name, scenarios[i].name) != 0) {
            continue;
        }
        is_known = true;
        if (name ? run->worker != 0 : i % run->worker_count != run->worker) {
            continue;
        }
        crash_note_case(run, "scenario:%s", scenarios[i].name);
        verify_forget();
        if (!scenarios[i].run(run, scenarios[i].name)) {
            return false;
        }
    }
    if (!is_known) {
        fprintf(stderr, "crash: no such scenario: %s\n", name);
    }
    return is_known;
}
