/* See model_fs.h. Names, inodes, attributes; contents are in model_contents.c, extended attributes in model_xattr.c,
 * the comparison in model_compare.c. */
#include "support/model_internal.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void *model_allocate(void *old, size_t size)
{
    void *bytes = realloc(old, size ? size : 1);
    if (!bytes)
        abort();
    return bytes;
}

/* --- Nodes -------------------------------------------------------------------------------------------------------- */

static size_t place_of(const struct model_fs *model, uint64_t inode)
{
    size_t low = 0, high = model->node_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (model->nodes[middle]->attributes.inode < inode)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct model_node *model_fs_find(struct model_fs *model, uint64_t inode)
{
    size_t place = place_of(model, inode);
    bool found = place < model->node_count && model->nodes[place]->attributes.inode == inode;
    return found ? model->nodes[place] : NULL;
}

static struct model_node *add_node(struct model_fs *model, const struct fs_attributes *attributes)
{
    size_t place = place_of(model, attributes->inode);
    if (model->node_count == model->node_capacity) {
        model->node_capacity = model->node_capacity ? 2 * model->node_capacity : 64;
        model->nodes = model_allocate(model->nodes, model->node_capacity * sizeof *model->nodes);
    }
    memmove(model->nodes + place + 1, model->nodes + place, (model->node_count - place) * sizeof *model->nodes);
    model->node_count++;
    struct model_node *node = model_allocate(NULL, sizeof *node);
    *node = (struct model_node){.attributes = *attributes};
    model->nodes[place] = node;
    return node;
}

static void free_node(struct model_node *node)
{
    model_contents_truncate(node, 0);
    free(node->pages);
    model_xattrs_free(node);
    free(node->entries);
    free(node->target);
    free(node);
}

static void remove_if_unused(struct model_fs *model, struct model_node *node)
{
    if (node->attributes.link_count > 0 || node->lookup_count > 0)
        return;
    size_t place = place_of(model, node->attributes.inode);
    model->node_count--;
    memmove(model->nodes + place, model->nodes + place + 1, (model->node_count - place) * sizeof *model->nodes);
    free_node(node);
}

struct model_fs *model_fs_create(const struct fs_attributes *root)
{
    struct model_fs *model = model_allocate(NULL, sizeof *model);
    *model = (struct model_fs){.nodes = NULL};
    add_node(model, root)->parent = root->inode;
    return model;
}

void model_fs_destroy(struct model_fs *model)
{
    for (size_t i = 0; i < model->node_count; i++)
        free_node(model->nodes[i]);
    free(model->nodes);
    free(model);
}

struct model_fs *model_fs_clone(const struct model_fs *model)
{
    struct model_fs *clone = model_allocate(NULL, sizeof *clone);
    *clone = (struct model_fs){.nodes = model_allocate(NULL, model->node_count * sizeof *clone->nodes),
                               .node_count = model->node_count,
                               .node_capacity = model->node_count};
    for (size_t i = 0; i < model->node_count; i++) {
        const struct model_node *from = model->nodes[i];
        struct model_node *node = model_allocate(NULL, sizeof *node);
        *node = *from;
        if (from->entries) {
            node->entries = model_allocate(NULL, from->entry_capacity * sizeof *node->entries);
            memcpy(node->entries, from->entries, from->entry_capacity * sizeof *node->entries);
        }
        if (from->target)
            node->target = strdup(from->target);
        model_contents_share(node, from);
        model_xattrs_copy(node, from);
        clone->nodes[i] = node;
    }
    return clone;
}

void model_fs_restart(struct model_fs *model)
{
    for (size_t i = model->node_count; i > 0; i--) {
        model->nodes[i - 1]->lookup_count = 0;
        remove_if_unused(model, model->nodes[i - 1]);
    }
}

/* --- Entries ------------------------------------------------------------------------------------------------------ */

/* Where a name stands or would stand. */
static size_t entry_place(const struct model_node *directory, const char *name, bool *ret_found)
{
    size_t low = 0, high = directory->attributes.size;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(directory->entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < directory->attributes.size && strcmp(directory->entries[low].name, name) == 0;
    return low;
}

static void add_entry(struct model_node *directory, const char *name, uint64_t inode)
{
    bool found;
    size_t place = entry_place(directory, name, &found), count = directory->attributes.size;
    if (count == directory->entry_capacity) {
        directory->entry_capacity = count ? 2 * count : 8;
        directory->entries = model_allocate(directory->entries, directory->entry_capacity * sizeof *directory->entries);
        memset(directory->entries + count, 0, (directory->entry_capacity - count) * sizeof *directory->entries);
    }
    memmove(directory->entries + place + 1, directory->entries + place, (count - place) * sizeof *directory->entries);
    directory->entries[place] = (struct model_entry){.inode = inode};
    strcpy(directory->entries[place].name, name);
    directory->attributes.size++;
}

static void drop_entry(struct model_node *directory, const char *name)
{
    bool found;
    size_t place = entry_place(directory, name, &found), count = --directory->attributes.size;
    memmove(directory->entries + place, directory->entries + place + 1, (count - place) * sizeof *directory->entries);
}

uint64_t model_fs_find_entry(struct model_fs *model, uint64_t parent, const char *name)
{
    struct model_node *directory = model_fs_find(model, parent);
    bool found;
    if (!directory || !S_ISDIR(directory->attributes.mode))
        return 0;
    size_t place = entry_place(directory, name, &found);
    return found ? directory->entries[place].inode : 0;
}

static int check_directory(struct model_fs *model, uint64_t inode)
{
    struct model_node *node = model_fs_find(model, inode);
    if (!node)
        return -ENOENT;
    if (!S_ISDIR(node->attributes.mode))
        return -ENOTDIR;
    return node->attributes.link_count == 0 ? -ENOENT : 0;
}

static bool is_directory(const struct model_node *node)
{
    return node && S_ISDIR(node->attributes.mode);
}

static void touch_directory(struct model_node *directory)
{
    directory->touched |= MODEL_TIME_MODIFICATION | MODEL_TIME_CHANGE;
}

/* --- Operations --------------------------------------------------------------------------------------------------- */

int model_fs_lookup(struct model_fs *model, uint64_t parent, const char *name)
{
    uint64_t inode = model_fs_find_entry(model, parent, name);
    if (inode) {
        model_fs_find(model, inode)->lookup_count++;
        return 0;
    }
    int error = check_directory(model, parent);
    return error ? error : -ENOENT;
}

void model_fs_forget(struct model_fs *model, uint64_t inode, uint64_t count)
{
    struct model_node *node = model_fs_find(model, inode);
    node->lookup_count -= count;
    remove_if_unused(model, node);
}

int model_fs_check_make(struct model_fs *model, uint64_t parent, const char *name)
{
    int error = check_directory(model, parent);
    if (error)
        return error;
    return model_fs_find_entry(model, parent, name) ? -EEXIST : 0;
}

void model_fs_make(struct model_fs *model, const struct fs_caller *caller, uint64_t parent, const char *name,
                   const struct fs_make *make, uint64_t inode)
{
    struct model_node *directory = model_fs_find(model, parent);
    bool inherits = directory->attributes.mode & S_ISGID, makes_directory = S_ISDIR(make->mode);
    struct fs_attributes attributes = {
        .inode = inode,
        .mode = make->mode | (inherits && makes_directory ? (uint32_t)S_ISGID : 0),
        .uid = caller->uid,
        .gid = inherits ? directory->attributes.gid : caller->gid,
        .link_count = makes_directory ? 2 : 1,
        .device = S_ISCHR(make->mode) || S_ISBLK(make->mode) ? make->device : 0,
        .size = S_ISLNK(make->mode) ? strlen(make->target) : 0,
    };
    struct model_node *node = add_node(model, &attributes);
    node->parent = makes_directory ? parent : 0;
    node->target = S_ISLNK(make->mode) ? strdup(make->target) : NULL;
    node->lookup_count = 1;
    node->touched = MODEL_TIME_ACCESS | MODEL_TIME_MODIFICATION | MODEL_TIME_CHANGE | MODEL_TIME_BIRTH;
    add_entry(directory, name, inode);
    directory->attributes.link_count += makes_directory;
    touch_directory(directory);
}

int model_fs_link(struct model_fs *model, uint64_t inode, uint64_t parent, const char *name)
{
    struct model_node *node = model_fs_find(model, inode);
    if (!node)
        return -ENOENT;
    if (is_directory(node))
        return -EPERM;
    if (node->attributes.link_count == 0)
        return -ENOENT;
    int error = model_fs_check_make(model, parent, name);
    if (error)
        return error;
    node->attributes.link_count++;
    node->lookup_count++;
    node->touched |= MODEL_TIME_CHANGE;
    add_entry(model_fs_find(model, parent), name, inode);
    touch_directory(model_fs_find(model, parent));
    return 0;
}

/* One name of the node is gone already. */
static void lose_name(struct model_fs *model, struct model_node *node)
{
    node->touched |= MODEL_TIME_CHANGE;
    node->attributes.link_count = is_directory(node) ? 0 : node->attributes.link_count - 1;
    remove_if_unused(model, node);
}

int model_fs_remove(struct model_fs *model, uint64_t parent, const char *name, bool directory)
{
    uint64_t inode = model_fs_find_entry(model, parent, name);
    struct model_node *parent_node = model_fs_find(model, parent), *node = model_fs_find(model, inode);
    if (!inode) {
        int error = check_directory(model, parent);
        return error ? error : -ENOENT;
    }
    if (!directory && is_directory(node))
        return -EISDIR;
    if (directory && !is_directory(node))
        return -ENOTDIR;
    if (directory && node->attributes.size > 0)
        return -ENOTEMPTY;
    drop_entry(parent_node, name);
    parent_node->attributes.link_count -= directory;
    touch_directory(parent_node);
    lose_name(model, node);
    return 0;
}

static bool lies_below(struct model_fs *model, uint64_t inode, uint64_t ancestor)
{
    while (inode != ancestor && inode != FS_ROOT_INODE)
        inode = model_fs_find(model, inode)->parent;
    return inode == ancestor;
}

static int check_rename(struct model_fs *model, const struct model_node *source, const struct model_node *target,
                        uint64_t parent, uint64_t new_parent, unsigned flags)
{
    bool exchange = flags == RENAME_EXCHANGE;
    if (!source || (exchange && !target))
        return -ENOENT;
    if (flags == RENAME_NOREPLACE && target)
        return -EEXIST;
    if (source == target)
        return 0;
    if (is_directory(source) && lies_below(model, new_parent, source->attributes.inode))
        return -EINVAL;
    if (exchange && is_directory(target) && lies_below(model, parent, target->attributes.inode))
        return -EINVAL;
    if (exchange || !target)
        return 0;
    if (is_directory(source) != is_directory(target))
        return is_directory(source) ? -ENOTDIR : -EISDIR;
    return is_directory(target) && target->attributes.size > 0 ? -ENOTEMPTY : 0;
}

static void move_name(struct model_node *from, const char *name, struct model_node *to, const char *new_name,
                      struct model_node *node)
{
    drop_entry(from, name);
    add_entry(to, new_name, node->attributes.inode);
    if (is_directory(node)) {
        from->attributes.link_count--;
        to->attributes.link_count++;
        node->parent = to->attributes.inode;
    }
    node->touched |= MODEL_TIME_CHANGE;
}

int model_fs_rename(struct model_fs *model, uint64_t parent, const char *name, uint64_t new_parent,
                    const char *new_name, unsigned flags)
{
    int error = check_directory(model, parent);
    if (!error)
        error = check_directory(model, new_parent);
    if (error)
        return error;
    struct model_node *from = model_fs_find(model, parent), *to = model_fs_find(model, new_parent);
    struct model_node *source = model_fs_find(model, model_fs_find_entry(model, parent, name));
    struct model_node *target = model_fs_find(model, model_fs_find_entry(model, new_parent, new_name));
    error = check_rename(model, source, target, parent, new_parent, flags);
    if (error || source == target)
        return error;
    touch_directory(from);
    touch_directory(to);
    if (flags == RENAME_EXCHANGE) {
        /* By way of a name that no entry can have. */
        move_name(to, new_name, to, "/", target);
        move_name(from, name, to, new_name, source);
        move_name(to, "/", from, name, target);
        return 0;
    }
    if (target) {
        drop_entry(to, new_name);
        to->attributes.link_count -= is_directory(target);
        lose_name(model, target);
    }
    move_name(from, name, to, new_name, source);
    return 0;
}

static uint32_t without_set_id(uint32_t mode)
{
    uint32_t lost = mode & S_IXGRP ? S_ISUID | S_ISGID : S_ISUID;
    return mode & ~lost;
}

void model_clear_set_id(struct model_node *node, const struct fs_caller *caller)
{
    if (caller && caller->uid != 0)
        node->attributes.mode = without_set_id(node->attributes.mode);
}

static void set_times(struct fs_attributes *attributes, const struct fs_changes *changes, unsigned *touched)
{
    *touched |= MODEL_TIME_CHANGE;
    if (changes->set & FS_SET_CHANGE_TIME) {
        attributes->change_time = changes->change_time;
        *touched &= ~(unsigned)MODEL_TIME_CHANGE;
    }
    if (changes->set & FS_SET_ACCESS_TIME)
        attributes->access_time = changes->access_time;
    else if (changes->set & FS_SET_ACCESS_TIME_NOW)
        *touched |= MODEL_TIME_ACCESS;
    if (changes->set & FS_SET_MODIFICATION_TIME)
        attributes->modification_time = changes->modification_time;
    else if (changes->set & (FS_SET_MODIFICATION_TIME_NOW | FS_SET_SIZE))
        *touched |= MODEL_TIME_MODIFICATION;
}

int model_fs_set_attributes(struct model_fs *model, const struct fs_caller *caller, uint64_t inode,
                            const struct fs_changes *changes)
{
    struct model_node *node = model_fs_find(model, inode);
    uint32_t set = changes->set;
    if (!node)
        return -ENOENT;
    struct fs_attributes *attributes = &node->attributes;
    if ((set & FS_SET_SIZE) && !S_ISREG(attributes->mode))
        return S_ISDIR(attributes->mode) ? -EISDIR : -EINVAL;
    if (set == 0)
        return 0;
    if (set & FS_SET_MODE)
        attributes->mode = (attributes->mode & S_IFMT) | (changes->mode & 07777);
    else if ((set & (FS_SET_UID | FS_SET_GID)) && !S_ISDIR(attributes->mode))
        attributes->mode = without_set_id(attributes->mode);
    else if (set & FS_SET_SIZE)
        model_clear_set_id(node, caller);
    if (set & FS_SET_UID)
        attributes->uid = changes->uid;
    if (set & FS_SET_GID)
        attributes->gid = changes->gid;
    if (set & FS_SET_SIZE)
        model_contents_truncate(node, changes->size);
    set_times(attributes, changes, &node->touched);
    return 0;
}
