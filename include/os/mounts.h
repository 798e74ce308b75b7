/* The table of mounts as the kernel shows it in /proc/PID/mountinfo. */
#ifndef BEEFTREE_OS_MOUNTS_H
#define BEEFTREE_OS_MOUNTS_H

#include <stdbool.h>
#include <sys/types.h>

/* One line of the table, its escapes undone; the strings live in the line that was parsed. */
struct os_mount {
    const char *mount_point;
    const char *type;   /* "fuse.beeftreefs" */
    const char *source; /* what the filesystem calls itself: for us the absolute path of the database */
    unsigned major, minor;
};

/* Takes a line apart in place. -EINVAL for what is no line of mountinfo. */
int os_mount_parse(char *line, struct os_mount *ret_mount);

/* Calls visit for each mount that the process sees (0: this one), in the order in which they were made, until it
 * returns true. Returns 1 when it did, 0 at the end, negative errno when the table can't be read. */
int os_mounts_visit(pid_t pid, bool (*visit)(void *context, const struct os_mount *mount), void *context);

#endif
