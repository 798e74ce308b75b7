/* The rule by which a program takes a database for itself: both locks of os/file.h, or a refusal that names who has
 * them. */
#ifndef BEEFTREE_OS_CLAIM_H
#define BEEFTREE_OS_CLAIM_H

#include "os/file.h"

#define OS_CLAIM_TIMEOUT_MS 30000U /* what a mount waits for a daemon that is still writing after its unmount */
#define OS_MOUNT_TYPE       "fuse.beeftreefs"

/* Takes MOUNTED, then OPEN. A holder whose mount still stands: -EBUSY at once. One whose mount is gone is about to end:
 * waits up to timeout_ms in all, then -EBUSY. ret_holder: its pid, 0 if unknown. path: the absolute path of the
 * database, by which a mount is known. Both locks go with os_file_close. */
int os_file_claim(struct os_file *file, const char *path, bool shared, uint64_t timeout_ms, pid_t *ret_holder);

#endif
