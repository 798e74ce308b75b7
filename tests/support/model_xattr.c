/* Extended attributes of the model's inodes. */
#include "support/model_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void model_xattr_fill(uint64_t seed, void *value, uint32_t size)
{
    uint8_t *bytes = value;
    uint64_t state = seed;
    for (uint32_t i = 0; i < size; i++) {
        if (i % 8 == 0)
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (uint8_t)(state >> (56 - i % 8 * 5));
    }
}

void model_xattrs_free(struct model_node *node)
{
    for (size_t i = 0; i < node->xattr_count; i++)
        free(node->xattrs[i].name);
    free(node->xattrs);
}

void model_xattrs_copy(struct model_node *clone, const struct model_node *from)
{
    if (from->xattr_count == 0) {
        clone->xattrs = NULL;
        return;
    }
    clone->xattrs = model_allocate(NULL, from->xattr_count * sizeof *clone->xattrs);
    for (size_t i = 0; i < from->xattr_count; i++) {
        clone->xattrs[i] = from->xattrs[i];
        clone->xattrs[i].name = strdup(from->xattrs[i].name);
    }
}

/* Where a name stands or would stand. */
static size_t place_of(const struct model_node *node, const char *name, bool *ret_found)
{
    size_t place = 0;
    while (place < node->xattr_count && strcmp(node->xattrs[place].name, name) < 0)
        place++;
    *ret_found = place < node->xattr_count && strcmp(node->xattrs[place].name, name) == 0;
    return place;
}

int model_fs_set_xattr(struct model_fs *model, uint64_t inode, const char *name, uint64_t seed, uint32_t size,
                       unsigned flags)
{
    struct model_node *node = model_fs_find(model, inode);
    bool found;
    if (!node)
        return -ENOENT;
    size_t place = place_of(node, name, &found), after = node->xattr_count - place;
    if (found && (flags & FS_XATTR_CREATE))
        return -EEXIST;
    if (!found && (flags & FS_XATTR_REPLACE))
        return -ENODATA;
    if (!found) {
        node->xattrs = model_allocate(node->xattrs, (node->xattr_count + 1) * sizeof *node->xattrs);
        memmove(node->xattrs + place + 1, node->xattrs + place, after * sizeof *node->xattrs);
        node->xattrs[place].name = strdup(name);
        node->xattr_count++;
    }
    node->xattrs[place].size = size;
    node->xattrs[place].seed = seed;
    node->touched |= MODEL_TIME_CHANGE;
    return 0;
}

int model_fs_remove_xattr(struct model_fs *model, uint64_t inode, const char *name)
{
    struct model_node *node = model_fs_find(model, inode);
    bool found;
    if (!node)
        return -ENOENT;
    size_t place = place_of(node, name, &found);
    if (!found)
        return -ENODATA;
    free(node->xattrs[place].name);
    node->xattr_count--;
    memmove(node->xattrs + place, node->xattrs + place + 1, (node->xattr_count - place) * sizeof *node->xattrs);
    node->touched |= MODEL_TIME_CHANGE;
    return 0;
}
