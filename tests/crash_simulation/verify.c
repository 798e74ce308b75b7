/* See verify.h. */
#include "verify.h"

#include "base/assert.h"
#include "threads.h"

#include <stdlib.h>
#include <string.h>

enum { MEMO_SLOTS = 1 << 18 };

struct memo {
    struct sim_hash hash;
    struct digest digests[ACTORS_MAX];
};

static struct verify_counts own_counts;
struct verify_counts *verify_counts = &own_counts;

static struct memo *memos;

void verify_forget(void)
{
    if (memos) {
        memset(memos, 0, MEMO_SLOTS * sizeof *memos);
    }
}

static struct memo *memo_slot(struct sim_hash hash)
{
    if (!memos) {
        memos = calloc(MEMO_SLOTS, sizeof *memos);
        BASE_ASSERT(memos);
    }
    return &memos[hash.low % MEMO_SLOTS];
}

/* --- One image ---------------------------------------------------------------------------------------------------- */

struct verification {
    struct sim_image *image;
    const uint64_t *directories;
    unsigned directory_count;
    struct verdict *verdict;
};

static bool fail(struct verification *verification, const char *format, const char *detail)
{
    base_reason_set(&verification->verdict->reason, format, detail);
    return false;
}

static bool take_digests(struct verification *verification, struct fs *fs, const char *when, struct digest *digests)
{
    struct base_reason reason = {""};

    for (unsigned i = 0; i < verification->directory_count; i++) {
        if (digest_fs(fs, verification->directories[i], &digests[i], &reason)) {
            base_reason_set(&verification->verdict->reason, "%s: %s", when, reason.text);
            return false;
        }
    }
    return true;
}

static bool is_equal(struct verification *verification, const struct digest *left, const struct digest *right)
{
    return memcmp(left, right, verification->directory_count * sizeof *left) == 0;
}

static void keep_first_problem(void *context, const char *text)
{
    struct base_reason *reason = context;
    if (reason->text[0] == '\0') {
        base_reason_set(reason, "%s", text);
    }
}

/* Opens read-only; nothing may be written. With a check the structure must be clean. */
static bool look(struct verification *verification, bool checks, struct digest *digests)
{
    const struct fs_options options = {.read_only = true, .cache_size = 1};
    struct base_reason reason = {""};
    struct base_reason problem = {""};
    struct sim_disk disk;
    struct fs *fs;
    bool good = true;

    sim_disk_init(&disk, verification->image, false);
    int error = fs_open(&disk.file, &options, &fs, &reason);
    if (error) {
        return fail(verification, "opening read-only: %s", reason.text);
    }
    if (checks) {
        struct fs_check_report report = {.problem = keep_first_problem, .context = &problem, .data = true};
        error = fs_check(fs, &report);
        if (error || report.problems > 0) {
            good = fail(verification, "check: %s", error ? strerror(-error) : problem.text);
        }
    }
    good = good && take_digests(verification, fs, "read-only", digests);
    error = fs_close(fs);
    if (good && (error || sim_disk_change_count(&disk) > 0 || disk.counts[SIM_SYNC] > 0)) {
        good = fail(verification, "%s", "a read-only open wrote");
    }
    sim_disk_deinit(&disk);
    return good;
}

static bool recover(struct verification *verification, struct digest *digests)
{
    const struct fs_options options = {.cache_size = 1};
    struct base_reason reason = {""};
    struct sim_disk disk;
    struct fs *fs;

    sim_disk_init(&disk, verification->image, false);
    if (fs_open(&disk.file, &options, &fs, &reason)) {
        return fail(verification, "opening: %s", reason.text);
    }
    bool good = take_digests(verification, fs, "after recovery", digests);
    int error = fs_close(fs);
    if (good && error) {
        good = fail(verification, "unmounting: %s", strerror(-error));
    }
    sim_disk_deinit(&disk);
    return good;
}

static bool verify(struct verification *verification, bool looks_first)
{
    struct digest first[ACTORS_MAX];
    struct digest last[ACTORS_MAX];
    struct digest *digests = verification->verdict->digests;

    if (looks_first && !look(verification, true, first)) {
        return false;
    }
    if (!recover(verification, digests)) {
        return false;
    }
    if (looks_first && !is_equal(verification, first, digests)) {
        return fail(verification, "%s", "read-only shows another tree than recovery");
    }
    if (!look(verification, true, last)) {
        return false;
    }
    return is_equal(verification, last, digests) || fail(verification, "%s", "the unmount changed the tree");
}

void verify_image(struct sim_image *image, const uint64_t *directories, unsigned directory_count,
                  enum verify_depth depth, struct verdict *ret_verdict)
{
    struct verification verification = {
        .image = image, .directories = directories, .directory_count = directory_count, .verdict = ret_verdict};
    struct sim_hash hash = sim_image_hash(image);
    struct memo *memo = memo_slot(hash);

    *ret_verdict = (struct verdict){.is_good = true};
    if (memo->hash.low == hash.low && memo->hash.high == hash.high) {
        memcpy(ret_verdict->digests, memo->digests, sizeof memo->digests);
        return;
    }
    bool looks_first = depth == VERIFY_FULLY || hash.high % 4 == 0;
    size_t mark = sim_image_mark(image);
    simulation_reset_environment(hash.low);
    ret_verdict->is_good = verify(&verification, looks_first);
    sim_image_roll_back(image, mark);
    verify_counts->images++;
    verify_counts->read_only_opens += looks_first;
    if (ret_verdict->is_good) {
        memo->hash = hash;
        memcpy(memo->digests, ret_verdict->digests, sizeof memo->digests);
    }
}
