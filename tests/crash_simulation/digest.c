/* See digest.h. Both walks feed the same bytes in the same order: a directory's attributes and extended attributes,
 * then for each entry in name order its name and, for what is no directory, its attributes, extended attributes and
 * contents; then the subdirectories one after the other. */
#include "digest.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

enum { PIECE_SIZE = 65536, ENTRIES_MAX = 4096, DEPTH_MAX = 64, XATTR_NAMES_SIZE = 4096 };

struct entry {
    uint64_t inode;
    bool is_directory;
    bool is_counted; /* the listing added a lookup */
};

struct walk {
    XXH3_state_t state;
    struct fs *fs;
    struct model_fs *model;
    struct entry *entries; /* of all directories on the way down, as a stack */
    size_t count;
    uint64_t cookie;
    unsigned depth;
    struct base_reason *reason;
    uint8_t piece[PIECE_SIZE];
};

/* One at a time, and too large for a small stack. */
static struct walk walk;
static struct entry entries[ENTRIES_MAX];

static void add(const void *bytes, size_t size)
{
    XXH3_128bits_update(&walk.state, bytes, size);
}

static void add_attributes(const struct fs_attributes *attributes)
{
    const uint64_t values[] = {
        attributes->inode,
        attributes->size,
        attributes->device,
        (uint64_t)attributes->access_time.tv_sec,
        (uint64_t)attributes->access_time.tv_nsec,
        (uint64_t)attributes->modification_time.tv_sec,
        (uint64_t)attributes->modification_time.tv_nsec,
        (uint64_t)attributes->change_time.tv_sec,
        (uint64_t)attributes->change_time.tv_nsec,
        (uint64_t)attributes->birth_time.tv_sec,
        (uint64_t)attributes->birth_time.tv_nsec,
        (uint64_t)attributes->mode << 32 | attributes->link_count,
        (uint64_t)attributes->uid << 32 | attributes->gid,
        attributes->flags,
    };
    add(values, sizeof values);
}

static void begin(struct fs *fs, struct model_fs *model, struct base_reason *reason)
{
    XXH3_128bits_reset(&walk.state);
    walk.fs = fs;
    walk.model = model;
    walk.entries = entries;
    walk.count = 0;
    walk.depth = 0;
    walk.reason = reason;
}

static struct digest end(void)
{
    XXH128_hash_t hash = XXH3_128bits_digest(&walk.state);
    return (struct digest){.low = hash.low64, .high = hash.high64};
}

static void push(const struct entry *entry)
{
    BASE_ASSERT(walk.count < ENTRIES_MAX);
    walk.entries[walk.count++] = *entry;
}

/* --- A filesystem ------------------------------------------------------------------------------------------------- */

static int fail(int error, uint64_t inode, const char *what)
{
    base_reason_set(walk.reason, "inode %llu: %s: %s", (unsigned long long)inode, what, strerror(-error));
    return error;
}

static int add_contents(const struct fs_attributes *attributes)
{
    for (uint64_t at = 0; at < attributes->size; at += PIECE_SIZE) {
        uint64_t expected = attributes->size - at < PIECE_SIZE ? attributes->size - at : PIECE_SIZE;
        int64_t size = fs_read(walk.fs, attributes->inode, at, walk.piece, PIECE_SIZE);
        if (size < 0) {
            return fail((int)size, attributes->inode, "its contents can't be read");
        }
        if ((uint64_t)size != expected) {
            return fail(-EIO, attributes->inode, "its contents are short");
        }
        add(walk.piece, (size_t)size);
    }
    return 0;
}

/* Names and values; a zero byte ends them. */
static int add_xattrs(uint64_t inode)
{
    static const struct fs_caller root = {.uid = 0};
    char names[XATTR_NAMES_SIZE];
    int64_t list_size = fs_list_xattrs(walk.fs, &root, inode, names, sizeof names);

    if (list_size < 0) {
        return fail((int)list_size, inode, "its extended attributes can't be listed");
    }
    for (const char *name = names; name < names + list_size; name += strlen(name) + 1) {
        int64_t size = fs_get_xattr(walk.fs, inode, name, walk.piece, PIECE_SIZE);
        if (size < 0) {
            return fail((int)size, inode, "an extended attribute can't be read");
        }
        add(name, strlen(name) + 1);
        add(&size, sizeof size);
        add(walk.piece, (size_t)size);
    }
    add("", 1);
    return 0;
}

static int add_leaf(const struct fs_attributes *attributes)
{
    char target[FS_SYMLINK_SIZE_MAX + 1];
    int error = add_xattrs(attributes->inode);

    if (error) {
        return error;
    }
    if (S_ISREG(attributes->mode)) {
        return add_contents(attributes);
    }
    if (S_ISLNK(attributes->mode)) {
        error = fs_read_link(walk.fs, attributes->inode, target, sizeof target);
        if (error) {
            return fail(error, attributes->inode, "its target can't be read");
        }
        add(target, strlen(target) + 1);
    }
    return 0;
}

static bool take_entry(void *context, const struct fs_directory_entry *entry)
{
    int *error = context;

    walk.cookie = entry->cookie;
    if (strcmp(entry->name, ".") == 0) {
        return true;
    }
    add(entry->name, entry->name_size + 1);
    if (strcmp(entry->name, "..") == 0) {
        add(&entry->inode, sizeof entry->inode);
        return true;
    }
    struct fs_attributes attributes;
    if (entry->attributes) {
        attributes = *entry->attributes;
    } else { /* too many from the disk for one listing */
        *error = fs_get_attributes(walk.fs, entry->inode, &attributes);
        if (*error) {
            fail(*error, entry->inode, "its attributes can't be read");
            return false;
        }
    }
    if (attributes.inode != entry->inode || (attributes.mode & S_IFMT) != entry->type) {
        *error = fail(-EIO, entry->inode, "its entry says something else");
        return false;
    }
    push(&(struct entry){
        .inode = entry->inode, .is_directory = S_ISDIR(entry->type), .is_counted = entry->attributes != NULL});
    if (!S_ISDIR(entry->type)) {
        add_attributes(&attributes);
    }
    return true;
}

static int add_listing(uint64_t directory)
{
    struct fs_directory *handle;
    size_t before;
    int taken = 0;
    int error = fs_directory_open(walk.fs, directory, &handle);

    if (error) {
        return fail(error, directory, "it can't be listed");
    }
    walk.cookie = 0;
    do {
        before = walk.count;
        uint64_t cookie = walk.cookie;
        error = fs_directory_read(handle, cookie, true, take_entry, &taken);
        for (size_t i = before; i < walk.count; i++) {
            fs_forget(walk.fs, walk.entries[i].inode, walk.entries[i].is_counted);
        }
        error = error ? fail(error, directory, "it can't be listed") : taken;
        if (walk.cookie == cookie) {
            break;
        }
    } while (!error);
    fs_directory_close(handle);
    return error;
}

/* Contents and targets of the entries; then its subdirectories. */
static int add_directory(uint64_t directory)
{
    struct fs_attributes attributes;
    size_t first = walk.count;
    int error = fs_get_attributes(walk.fs, directory, &attributes);

    if (error) {
        return fail(error, directory, "its attributes can't be read");
    }
    if (++walk.depth > DEPTH_MAX) {
        return fail(-ELOOP, directory, "directories lie too deep");
    }
    add_attributes(&attributes);
    error = add_xattrs(directory);
    error = error ? error : add_listing(directory);
    size_t last = walk.count;
    for (size_t i = first; i < last && !error; i++) {
        struct entry entry = walk.entries[i];
        if (entry.is_directory) {
            error = add_directory(entry.inode);
        } else {
            error = fs_get_attributes(walk.fs, entry.inode, &attributes);
            error = error ? fail(error, entry.inode, "its attributes can't be read") : add_leaf(&attributes);
        }
    }
    walk.count = first;
    walk.depth--;
    return error;
}

int digest_fs(struct fs *fs, uint64_t directory, struct digest *ret_digest, struct base_reason *ret_reason)
{
    begin(fs, NULL, ret_reason);
    int error = add_directory(directory);
    if (!error) {
        *ret_digest = end();
    }
    return error;
}

/* --- The model ---------------------------------------------------------------------------------------------------- */

static void add_model_xattrs(const struct model_node *node)
{
    for (size_t i = 0; i < node->xattr_count; i++) {
        const struct model_xattr *xattr = &node->xattrs[i];
        int64_t size = xattr->size;
        add(xattr->name, strlen(xattr->name) + 1);
        add(&size, sizeof size);
        model_xattr_fill(xattr->seed, walk.piece, xattr->size);
        add(walk.piece, xattr->size);
    }
    add("", 1);
}

static void add_model_leaf(const struct model_node *node)
{
    const struct fs_attributes *attributes = &node->attributes;

    add_model_xattrs(node);
    if (S_ISREG(attributes->mode)) {
        for (uint64_t at = 0; at < attributes->size; at += PIECE_SIZE) {
            int64_t size = model_fs_read(walk.model, attributes->inode, at, walk.piece, PIECE_SIZE);
            add(walk.piece, (size_t)size);
        }
    } else if (S_ISLNK(attributes->mode)) {
        add(node->target, strlen(node->target) + 1);
    }
}

static void add_model_directory(const struct model_node *node)
{
    add_attributes(&node->attributes);
    add_model_xattrs(node);
    add("..", 3);
    add(&node->parent, sizeof node->parent);
    for (size_t i = 0; i < node->attributes.size; i++) {
        const struct model_entry *entry = &node->entries[i];
        const struct model_node *child = model_fs_find(walk.model, entry->inode);
        add(entry->name, strlen(entry->name) + 1);
        if (!S_ISDIR(child->attributes.mode)) {
            add_attributes(&child->attributes);
        }
    }
    for (size_t i = 0; i < node->attributes.size; i++) {
        const struct model_node *child = model_fs_find(walk.model, node->entries[i].inode);
        if (S_ISDIR(child->attributes.mode)) {
            add_model_directory(child);
        } else {
            add_model_leaf(child);
        }
    }
}

struct digest digest_model(struct model_fs *model, uint64_t directory)
{
    begin(NULL, model, NULL);
    add_model_directory(model_fs_find(model, directory));
    return end();
}
