/* See ancestors.h. A damaged filesystem may have a chain that runs in a circle: Brent's method notices, in constant
 * memory. */
#include "ancestors.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

static int report(uint64_t inode, const char *fault)
{
    base_message(BASE_MESSAGE_ERROR, "directory %" PRIu64 ": its chain of parents %s", inode, fault);
    return -EUCLEAN;
}

int fs_is_ancestor(struct fs *fs, uint64_t inode, const struct fs_inode_row *directory, bool *ret_is_ancestor)
{
    struct fs_inode_row row = *directory;
    uint64_t first = row.attributes.inode, place = first, mark = first, steps = 0, steps_max = 1;
    while (place != inode && place != FS_ROOT_INODE) {
        place = row.parent;
        if (place == mark) {
            return report(first, "runs in a circle");
        }
        if (++steps == steps_max) {
            mark = place;
            steps = 0;
            steps_max *= 2;
        }
        int error = fs_inode_row_read(fs, NULL, place, &row);
        if (error == -ENOENT) {
            return report(first, "leads nowhere");
        }
        if (error) {
            return error;
        }
        if (!S_ISDIR(row.attributes.mode)) {
            return report(first, "leads through what is no directory");
        }
    }
    *ret_is_ancestor = place == inode;
    return 0;
}
