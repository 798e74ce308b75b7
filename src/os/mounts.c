/* Reads /proc/PID/mountinfo. A line: id, parent id, major:minor, root, mount point, options, optional fields, "-",
 * type, source, superblock options; blanks, tabs, newlines, '\' and '#' inside a field are written as \ooo. */
#include "os/mounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_MOUNT_POINT 4 /* counted from 0 */

/* Undoes \ooo in place. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        bool is_escape = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
                         from[3] >= '0' && from[3] <= '7';
        if (is_escape) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from;
            from++;
        }
    }
    *to = '\0';
}

int os_mount_parse(char *line, struct os_mount *ret_mount)
{
    struct os_mount mount = {0};
    char *state = NULL;
    char *mount_point = NULL;
    unsigned field_index = 0;
    char *field = strtok_r(line, " \n", &state);

    for (; field && strcmp(field, "-") != 0; field = strtok_r(NULL, " \n", &state), field_index++) {
        if (field_index == 2 && sscanf(field, "%u:%u", &mount.major, &mount.minor) != 2) {
            return -EINVAL;
        }
        if (field_index == FIELD_MOUNT_POINT) {
            mount_point = field;
        }
    }
    char *type = field ? strtok_r(NULL, " \n", &state) : NULL;
    char *source = type ? strtok_r(NULL, " \n", &state) : NULL;
    if (!mount_point || !source) {
        return -EINVAL;
    }
    unescape(mount_point);
    unescape(type);
    unescape(source);
    mount.mount_point = mount_point;
    mount.type = type;
    mount.source = source;
    *ret_mount = mount;
    return 0;
}

int os_mounts_visit(pid_t pid, bool (*visit)(void *context, const struct os_mount *mount), void *context)
{
    char path[64];
    char *line = NULL;
    size_t line_size = 0;
    int result = 0;

    if (pid == 0) {
        (void)snprintf(path, sizeof path, "/proc/self/mountinfo");
    } else {
        (void)snprintf(path, sizeof path, "/proc/%ld/mountinfo", (long)pid);
    }
    FILE *table = fopen(path, "re");
    if (!table) {
        return -errno;
    }
    while (result == 0 && getline(&line, &line_size, table) >= 0) {
        struct os_mount mount;
        if (os_mount_parse(line, &mount) == 0 && visit(context, &mount)) {
            result = 1;
        }
    }
    if (result == 0 && ferror(table)) {
        result = -EIO;
    }
    free(line);
    (void)fclose(table);
    return result;
}
