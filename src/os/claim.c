/* MOUNTED is let go a moment after the mount went, since the daemon learns of an unmount only by reading its device. So
 * a lock on MOUNTED that is held without a mount in the holder's table means "about to end", not "mounted". Programs
 * that hold the locks without mounting (mkfs, check) are waited for too: they are short. */
#include "os/claim.h"

#include "base/clock.h"
#include "os/mounts.h"

#include <errno.h>
#include <string.h>

#define CLAIM_STEP_MS 50U

static bool is_our_mount(void *context, const struct os_mount *mount)
{
    const char *path = context;

    return strcmp(mount->source, path) == 0 && strcmp(mount->type, OS_MOUNT_TYPE) == 0;
}

/* Whether the holder has the database mounted, as far as we can see; what can't be seen counts as mounted. */
static bool holder_has_mount(pid_t holder, const char *path)
{
    int result = os_mounts_visit(holder, is_our_mount, (void *)path);

    if (result == -ENOENT || result == -ESRCH || result == -EINVAL) {
        return false; /* it has ended meanwhile (the table of a dying process answers EINVAL) */
    }
    return result != 0;
}

int os_file_claim(struct os_file *file, const char *path, bool shared, uint64_t timeout_ms, pid_t *ret_holder)
{
    uint64_t end_ms = base_clock_monotonic_ms() + timeout_ms;
    pid_t holder = 0;
    int result = 0;

    /* The lock can go between the refusal and the question who holds it: no holder means ask again. */
    while ((result = os_file_lock(file, OS_FILE_LOCK_MOUNTED, shared, CLAIM_STEP_MS, &holder)) == -EBUSY) {
        bool is_late = base_clock_monotonic_ms() >= end_ms;
        if (is_late || (holder != 0 && holder_has_mount(holder, path))) {
            break;
        }
    }
    if (result < 0) {
        *ret_holder = holder;
        return result;
    }
    uint64_t now_ms = base_clock_monotonic_ms();
    result = os_file_lock(file, OS_FILE_LOCK_OPEN, shared, now_ms < end_ms ? end_ms - now_ms : 0, &holder);
    if (result < 0) {
        os_file_unlock(file, OS_FILE_LOCK_MOUNTED);
        *ret_holder = holder;
    }
    return result;
}
