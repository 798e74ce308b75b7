/* The real filesystem against the model. */
#include "support/model_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { READ_SIZE = 65536 };

static bool time_is_equal(struct timespec left, struct timespec right)
{
    return left.tv_sec == right.tv_sec && left.tv_nsec == right.tv_nsec;
}

static bool time_is_less(struct timespec left, struct timespec right)
{
    return left.tv_sec < right.tv_sec || (left.tv_sec == right.tv_sec && left.tv_nsec < right.tv_nsec);
}

/* What differs, or NULL. Times that the mask names are not compared. */
static const char *find_difference(const struct fs_attributes *model, const struct fs_attributes *real, unsigned mask)
{
    if (model->inode != real->inode)
        return "inode number";
    if (model->mode != real->mode)
        return "mode";
    if (model->link_count != real->link_count)
        return "link count";
    if (model->size != real->size)
        return "size";
    if (model->uid != real->uid || model->gid != real->gid)
        return "owner";
    if (model->device != real->device)
        return "device";
    if (!(mask & MODEL_TIME_ACCESS) && !time_is_equal(model->access_time, real->access_time))
        return "access time";
    if (!(mask & MODEL_TIME_MODIFICATION) && !time_is_equal(model->modification_time, real->modification_time))
        return "modification time";
    if (!(mask & MODEL_TIME_CHANGE) && !time_is_equal(model->change_time, real->change_time))
        return "change time";
    if (!(mask & MODEL_TIME_BIRTH) && !time_is_equal(model->birth_time, real->birth_time))
        return "birth time";
    return NULL;
}

static bool settle_time(struct timespec *time, struct timespec real, bool touched, struct timespec before,
                        struct timespec after)
{
    bool good = !touched || (!time_is_less(real, before) && !time_is_less(after, real));
    *time = real;
    return good;
}

bool model_fs_settle(struct model_fs *model, struct fs *fs, struct timespec before, struct timespec after,
                     struct base_reason *ret_reason)
{
    for (size_t i = 0; i < model->node_count; i++) {
        struct model_node *node = model->nodes[i];
        struct fs_attributes *attributes = &node->attributes, real;
        unsigned touched = node->touched;
        if (!touched)
            continue;
        node->touched = 0;
        int error = fs_get_attributes(fs, attributes->inode, &real);
        const char *difference = error ? "existence" : find_difference(attributes, &real, touched);
        if (!difference &&
            (!settle_time(&attributes->access_time, real.access_time, touched & MODEL_TIME_ACCESS, before, after) ||
             !settle_time(&attributes->modification_time, real.modification_time, touched & MODEL_TIME_MODIFICATION,
                          before, after) ||
             !settle_time(&attributes->change_time, real.change_time, touched & MODEL_TIME_CHANGE, before, after) ||
             !settle_time(&attributes->birth_time, real.birth_time, touched & MODEL_TIME_BIRTH, before, after)))
            difference = "the interval of times";
        if (difference) {
            base_reason_set(ret_reason, "inode %" PRIu64 " after an operation: %s differs", attributes->inode,
                            difference);
            return false;
        }
    }
    return true;
}

/* --- Everything --------------------------------------------------------------------------------------------------- */

struct comparison {
    struct model_fs *model;
    struct fs *fs;
    struct base_reason *reason;
    struct model_node *directory;
    size_t place; /* in the directory */
    size_t found; /* names of inodes in all */
    bool good;
    uint64_t cookie;
    uint8_t *real, *expected; /* READ_SIZE each */
};

static bool differ(struct comparison *comparison, uint64_t inode, const char *what)
{
    if (comparison->good)
        base_reason_set(comparison->reason, "inode %" PRIu64 ": %s differs", inode, what);
    comparison->good = false;
    return false;
}

/* One entry, in the order in which they must come. */
static bool compare_entry(void *context, const struct fs_directory_entry *entry)
{
    struct comparison *comparison = context;
    struct model_node *directory = comparison->directory;
    uint64_t inode = directory->attributes.inode;
    comparison->cookie = entry->cookie;
    if (comparison->place < 2) {
        bool is_dot = comparison->place == 0;
        if (strcmp(entry->name, is_dot ? "." : "..") != 0 || entry->inode != (is_dot ? inode : directory->parent))
            return differ(comparison, inode, "\".\" or \"..\"");
    } else {
        const struct model_entry *expected = &directory->entries[comparison->place - 2];
        if (comparison->place - 2 >= directory->attributes.size || strcmp(entry->name, expected->name) != 0)
            return differ(comparison, inode, "an entry's name");
        struct model_node *node = model_fs_find(comparison->model, expected->inode);
        const char *difference =
            entry->attributes ? find_difference(&node->attributes, entry->attributes, 0) : "existence";
        if (difference)
            return differ(comparison, expected->inode, difference);
        if (entry->inode != expected->inode || entry->type != (node->attributes.mode & S_IFMT))
            return differ(comparison, inode, "an entry's inode or type");
    }
    comparison->place++;
    return true;
}

static bool compare_directory(struct comparison *comparison, struct model_node *node)
{
    struct fs_directory *handle;
    uint64_t inode = node->attributes.inode;
    size_t before;
    comparison->directory = node;
    comparison->place = 0;
    comparison->cookie = 0;
    if (fs_directory_open(comparison->fs, inode, &handle))
        return differ(comparison, inode, "opening the directory");
    do {
        before = comparison->place;
        if (fs_directory_read(handle, comparison->cookie, true, compare_entry, comparison))
            differ(comparison, inode, "reading the directory");
        for (size_t i = before < 2 ? 2 : before; i < comparison->place; i++)
            fs_forget(comparison->fs, node->entries[i - 2].inode, 1);
    } while (comparison->good && comparison->place > before);
    fs_directory_close(handle);
    size_t expected = node->attributes.link_count > 0 ? node->attributes.size + 2 : 0;
    return comparison->place == expected || differ(comparison, inode, "the number of entries");
}

static bool compare_file(struct comparison *comparison, struct model_node *node)
{
    uint64_t inode = node->attributes.inode;
    for (uint64_t at = 0; at <= node->attributes.size; at += READ_SIZE) {
        int64_t expected = model_fs_read(comparison->model, inode, at, comparison->expected, READ_SIZE);
        int64_t real = fs_read(comparison->fs, inode, at, comparison->real, READ_SIZE);
        if (real != expected || memcmp(comparison->real, comparison->expected, (size_t)expected) != 0)
            return differ(comparison, inode, real < 0 ? "reading" : "contents");
    }
    return true;
}

static bool compare_symlink(struct comparison *comparison, struct model_node *node)
{
    char target[FS_SYMLINK_SIZE_MAX + 1];
    uint64_t inode = node->attributes.inode;
    bool good = fs_read_link(comparison->fs, inode, target, sizeof target) == 0 && strcmp(target, node->target) == 0;
    return good || differ(comparison, inode, "the symlink's target");
}

static bool compare_xattrs(struct comparison *comparison, struct model_node *node)
{
    const struct fs_caller root = {.uid = 0};
    uint64_t inode = node->attributes.inode;
    int64_t size = fs_list_xattrs(comparison->fs, &root, inode, (char *)comparison->real, READ_SIZE);
    size_t expected = 0;
    for (size_t i = 0; i < node->xattr_count; i++) {
        size_t name_size = strlen(node->xattrs[i].name) + 1;
        memcpy(comparison->expected + expected, node->xattrs[i].name, name_size);
        expected += name_size;
    }
    if (size != (int64_t)expected || memcmp(comparison->real, comparison->expected, expected) != 0)
        return differ(comparison, inode, "the list of extended attributes");
    for (size_t i = 0; i < node->xattr_count; i++) {
        const struct model_xattr *xattr = &node->xattrs[i];
        model_xattr_fill(xattr->seed, comparison->expected, xattr->size);
        size = fs_get_xattr(comparison->fs, inode, xattr->name, comparison->real, READ_SIZE);
        if (size != xattr->size || memcmp(comparison->real, comparison->expected, xattr->size) != 0)
            return differ(comparison, inode, xattr->name);
    }
    return true;
}

static bool compare_node(struct comparison *comparison, struct model_node *node)
{
    struct fs_attributes real;
    uint64_t inode = node->attributes.inode;
    int error = fs_get_attributes(comparison->fs, inode, &real);
    const char *difference = error ? "existence" : find_difference(&node->attributes, &real, 0);
    if (difference)
        return differ(comparison, inode, difference);
    if (!compare_xattrs(comparison, node))
        return false;
    switch (node->attributes.mode & S_IFMT) {
    case S_IFDIR:
        return compare_directory(comparison, node);
    case S_IFREG:
        return compare_file(comparison, node);
    case S_IFLNK:
        return compare_symlink(comparison, node);
    default:
        return true;
    }
}

bool model_fs_compare(struct model_fs *model, struct fs *fs, struct base_reason *ret_reason)
{
    struct comparison comparison = {.model = model,
                                    .fs = fs,
                                    .reason = ret_reason,
                                    .good = true,
                                    .real = model_allocate(NULL, READ_SIZE),
                                    .expected = model_allocate(NULL, READ_SIZE)};
    for (size_t i = 0; i < model->node_count && comparison.good; i++)
        compare_node(&comparison, model->nodes[i]);
    free(comparison.real);
    free(comparison.expected);
    return comparison.good;
}
