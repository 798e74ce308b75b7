/* The reclaimer: ends orphans, that is inodes without a name, once nobody uses them any more, and goes on with contents
 * whose freeing was interrupted.
 *
 *      unlink: `O inode` row --last release or forget--> queue --> contents, inode row, O row go
 *      found by a scan of the O table (after a stop, or when the queue was full) --------^
 *
 * With a thread the queue is worked off in the background: when enough have gathered for a full transaction, or a short
 * while after the first. Without one (tools, tests) whoever gave up the orphan does it before it returns, or leaves it
 * to the thread that is at it already.
 *
 * The queue's links are the inode objects themselves, which have left the table. It is bounded: beyond that an object
 * is freed and the O table will be scanned.
 *
 * Locks: the reclaimer's mutex (BASE_RANK_FS_TABLE) covers its fields and is not held while anything is ended. One
 * thread at a time works. It never waits for an inode lock (an inode whose lock is taken is tried again later), so
 * a foreground operation may wait for it while holding inode locks. */
#include "names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUEUE_MAX = 65536,
    ENOUGH = 32,     /* orphans for which it is worth waking up */
    GATHER_MS = 50,  /* how long fewer wait */
    RETRY_MS = 1000, /* after a shortage that may pass */
    TAKE_MAX = 64,
};

struct fs_reclaimer {
    struct fs *fs;
    struct base_mutex mutex;
    struct base_condition wake, progress;
    struct fs_inode *first, *last; /* the queue */
    uint64_t waiting;              /* in the queue or being ended */
    uint64_t in_use;               /* orphans in the table */
    uint64_t added, done;          /* ever: for those who wait for what is queued now */
    bool scan, retry_later, working, urgent, stopping, has_thread;
    bool ignore_use; /* at the end: an orphan's users are gone */
    pthread_t thread;
};

int fs_reclaimer_create(struct fs *fs, struct fs_reclaimer **ret_reclaimer)
{
    struct fs_reclaimer *reclaimer = calloc(1, sizeof *reclaimer);
    if (!reclaimer) {
        return -ENOMEM;
    }
    reclaimer->fs = fs;
    base_mutex_init(&reclaimer->mutex, BASE_RANK_FS_TABLE);
    base_condition_init(&reclaimer->wake);
    base_condition_init(&reclaimer->progress);
    *ret_reclaimer = reclaimer;
    return 0;
}

/* Up to count numbers off the queue; their objects are freed. Returns how many. Mutex held. */
static unsigned take_locked(struct fs_reclaimer *reclaimer, uint64_t *inodes, unsigned count)
{
    unsigned taken = 0;
    while (taken < count && reclaimer->first) {
        struct fs_inode *inode = reclaimer->first;
        reclaimer->first = inode->next;
        if (!reclaimer->first) {
            reclaimer->last = NULL;
        }
        inodes[taken++] = inode->number;
        base_latch_deinit(&inode->latch);
        free(inode);
    }
    return taken;
}

/* A failure that may pass means: scan again later. */
static int end_orphans(struct fs_reclaimer *reclaimer, const uint64_t *inodes, unsigned count)
{
    unsigned done = 0;
    for (unsigned from = 0; from < count; from += done) {
        int error = fs_reclaim_orphans(reclaimer->fs, inodes + from, count - from, &done);
        if (error) {
            base_mutex_lock(&reclaimer->mutex);
            reclaimer->retry_later = true;
            base_mutex_unlock(&reclaimer->mutex);
            return error;
        }
    }
    return 0;
}

/* --- Scanning the O table ----------------------------------------------------------------------------------------- */

/* Goes on with the contents of a file that has a name. */
static int continue_freeing(struct fs_reclaimer *reclaimer, const struct fs_orphan_row *orphan)
{
    struct fs *fs = reclaimer->fs;
    struct fs_inode *inode;
    int error = fs_inode_acquire(fs, orphan->inode, &inode);
    if (error) {
        return error;
    }
    if (base_latch_try_exclusive(&inode->latch)) {
        error = fs_content_free_steps(fs, orphan->inode, orphan->from);
        base_latch_unlock_exclusive(&inode->latch);
    } else {
        error = -EAGAIN;
    }
    fs_inode_release(fs, inode);
    return error;
}

static bool is_reclaimable(struct fs_reclaimer *reclaimer, uint64_t inode)
{
    /* The unlink that made the O row holds a reference beyond its commit, so what is not in the table is not in use.
     * What is in the table may be there for somebody who only asks for its attributes: the last user hands it on. */
    return reclaimer->ignore_use || !fs_inode_mark_orphan_in_use(reclaimer->fs, inode);
}

static int scan_rows(struct fs_reclaimer *reclaimer, struct btree_cursor *cursor)
{
    struct fs_orphan_row row = {0};
    uint64_t inodes[TAKE_MAX], unlinked = 0;
    unsigned count = 0;
    int error;
    while ((error = fs_orphan_row_next(cursor, &row, &row)) == 0) {
        if (!row.is_freeing) {
            unlinked = row.inode;
            if (is_reclaimable(reclaimer, row.inode)) {
                inodes[count++] = row.inode;
            }
        } else if (row.inode != unlinked) {
            error = continue_freeing(reclaimer, &row);
        }
        if (!error && count == TAKE_MAX) {
            error = end_orphans(reclaimer, inodes, count);
            count = 0;
        }
        if (error == -EROFS) {
            return error;
        }
        if (error == -EAGAIN || error == -ENOSPC || error == -ENOMEM) {
            base_mutex_lock(&reclaimer->mutex);
            reclaimer->retry_later = true;
            base_mutex_unlock(&reclaimer->mutex);
        }
    }
    if (error == -ENOENT) {
        error = end_orphans(reclaimer, inodes, count);
    }
    return error;
}

static void scan(struct fs_reclaimer *reclaimer)
{
    struct btree_cursor *cursor;
    int error = btree_cursor_open(reclaimer->fs->tree, &cursor);
    if (!error) {
        error = scan_rows(reclaimer, cursor);
        btree_cursor_close(cursor);
    }
    if (error && error != -EROFS && error != -ENOSPC && error != -ENOMEM) {
        base_message(BASE_MESSAGE_ERROR, "the table of orphans could not be read to its end: %s", strerror(-error));
    }
}

/* --- Working the queue off ---------------------------------------------------------------------------------------- */

/* One round; false: nothing was to do. Mutex held, let go meanwhile. */
static bool work_locked(struct fs_reclaimer *reclaimer)
{
    uint64_t inodes[TAKE_MAX];
    unsigned count = take_locked(reclaimer, inodes, TAKE_MAX);
    bool do_scan = count == 0 && reclaimer->scan;
    if (count == 0 && !do_scan) {
        return false;
    }
    if (do_scan) {
        reclaimer->scan = false;
    }
    base_mutex_unlock(&reclaimer->mutex);
    if (do_scan) {
        scan(reclaimer);
    } else {
        end_orphans(reclaimer, inodes, count);
    }
    base_mutex_lock(&reclaimer->mutex);
    reclaimer->waiting -= count;
    reclaimer->done += count;
    base_condition_broadcast(&reclaimer->progress);
    return true;
}

/* Mutex held. */
static void drain_locked(struct fs_reclaimer *reclaimer)
{
    if (reclaimer->working) {
        return; /* that thread takes the rest too */
    }
    reclaimer->working = true;
    while (work_locked(reclaimer)) {
    }
    reclaimer->working = false;
    reclaimer->urgent = false;
}

/* Until there is something worth doing. Mutex held. */
static void gather_locked(struct fs_reclaimer *reclaimer)
{
    while (!reclaimer->stopping && !reclaimer->first && !reclaimer->scan) {
        if (!reclaimer->retry_later) {
            base_condition_wait(&reclaimer->wake, &reclaimer->mutex);
        } else if (!base_condition_wait_for(&reclaimer->wake, &reclaimer->mutex, RETRY_MS)) {
            reclaimer->retry_later = false;
            reclaimer->scan = true;
        }
    }
    bool in_time = true;
    while (in_time && !reclaimer->stopping && !reclaimer->scan && !reclaimer->urgent && reclaimer->waiting < ENOUGH) {
        in_time = base_condition_wait_for(&reclaimer->wake, &reclaimer->mutex, GATHER_MS);
    }
}

static void *run(void *context)
{
    struct fs_reclaimer *reclaimer = context;
    base_mutex_lock(&reclaimer->mutex);
    while (!reclaimer->stopping) {
        gather_locked(reclaimer);
        if (!reclaimer->stopping) {
            drain_locked(reclaimer);
        }
    }
    base_mutex_unlock(&reclaimer->mutex);
    return NULL;
}

int fs_reclaimer_start(struct fs_reclaimer *reclaimer, bool with_thread)
{
    int error = 0;
    base_mutex_lock(&reclaimer->mutex);
    reclaimer->scan = true;
    if (with_thread) {
        error = pthread_create(&reclaimer->thread, NULL, run, reclaimer);
        reclaimer->has_thread = error == 0;
    } else {
        drain_locked(reclaimer);
    }
    base_mutex_unlock(&reclaimer->mutex);
    return -error;
}

void fs_reclaimer_finish(struct fs_reclaimer *reclaimer)
{
    base_mutex_lock(&reclaimer->mutex);
    reclaimer->stopping = true;
    base_condition_signal(&reclaimer->wake);
    base_mutex_unlock(&reclaimer->mutex);
    if (reclaimer->has_thread) {
        pthread_join(reclaimer->thread, NULL);
    }
    reclaimer->has_thread = false;

    base_mutex_lock(&reclaimer->mutex);
    reclaimer->ignore_use = true;
    reclaimer->scan = true;
    drain_locked(reclaimer);
    base_mutex_unlock(&reclaimer->mutex);
}

void fs_reclaimer_destroy(struct fs_reclaimer *reclaimer)
{
    uint64_t inodes[TAKE_MAX];
    while (take_locked(reclaimer, inodes, TAKE_MAX) > 0) {
    }
    base_condition_deinit(&reclaimer->wake);
    base_condition_deinit(&reclaimer->progress);
    base_mutex_deinit(&reclaimer->mutex);
    free(reclaimer);
}

void fs_reclaimer_add(struct fs_reclaimer *reclaimer, struct fs_inode *inode)
{
    base_mutex_lock(&reclaimer->mutex);
    reclaimer->in_use--;
    if (reclaimer->waiting < QUEUE_MAX) {
        inode->next = NULL;
        *(reclaimer->last ? &reclaimer->last->next : &reclaimer->first) = inode;
        reclaimer->last = inode;
        reclaimer->waiting++;
        reclaimer->added++;
        inode = NULL;
    } else {
        reclaimer->scan = true;
    }
    if (!reclaimer->has_thread) {
        reclaimer->scan |= reclaimer->retry_later; /* nobody else would come back to it */
        reclaimer->retry_later = false;
        drain_locked(reclaimer);
    } else if (reclaimer->waiting == 1 || reclaimer->waiting == ENOUGH) {
        base_condition_signal(&reclaimer->wake);
    }
    base_mutex_unlock(&reclaimer->mutex);
    if (inode) {
        base_latch_deinit(&inode->latch);
        free(inode);
    }
}

void fs_reclaimer_expect(struct fs_reclaimer *reclaimer)
{
    base_mutex_lock(&reclaimer->mutex);
    reclaimer->in_use++;
    base_mutex_unlock(&reclaimer->mutex);
}

void fs_reclaimer_expect_no_more(struct fs_reclaimer *reclaimer)
{
    base_mutex_lock(&reclaimer->mutex);
    reclaimer->in_use--;
    base_mutex_unlock(&reclaimer->mutex);
}

bool fs_reclaimer_flush(struct fs_reclaimer *reclaimer)
{
    base_mutex_lock(&reclaimer->mutex);
    bool waited = reclaimer->done < reclaimer->added && reclaimer->has_thread &&
                  !pthread_equal(pthread_self(), reclaimer->thread);
    if (waited) {
        uint64_t goal = reclaimer->added;
        reclaimer->urgent = true;
        base_condition_signal(&reclaimer->wake);
        while (reclaimer->done < goal) {
            base_condition_wait(&reclaimer->progress, &reclaimer->mutex);
        }
    }
    base_mutex_unlock(&reclaimer->mutex);
    return waited;
}

uint64_t fs_reclaimer_get_orphans(struct fs_reclaimer *reclaimer)
{
    base_mutex_lock(&reclaimer->mutex);
    uint64_t orphans = reclaimer->in_use + reclaimer->waiting;
    base_mutex_unlock(&reclaimer->mutex);
    return orphans;
}
