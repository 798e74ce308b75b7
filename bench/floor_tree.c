/* The floor server's filesystem in memory: see floor_tree.h.
 *
 * Names are found through one hash table of (parent, name); a directory also keeps its entries in an array of slots, in
 * the order of creation, and a position in a listing is a slot number plus one. A removed entry leaves an empty slot
 * (so positions stay valid) until the directory is empty. Inodes are found through a table of blocks of pointers,
 * indexed by number; numbers are not used again. */
#include "floor_tree.h"

#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#define FLOOR_NODE_BLOCK  4096U /* inodes in one block of the inode table */
#define FLOOR_NODE_BLOCKS 65536U
#define FLOOR_NAME_MAX    255U

struct floor_entry {
    struct floor_entry *next; /* in the bucket */
    struct floor_node *parent, *child;
    uint64_t hash;
    size_t slot;
    size_t name_size;
    char name[];
};

struct floor_node {
    pthread_rwlock_t latch; /* attributes and contents */
    struct stat attributes;
    uint64_t lookups; /* atomic */
    /* of a directory */
    struct floor_node *parent;
    struct floor_entry **slots;
    size_t slot_count, slot_capacity, entry_count;
    /* of a file: chunks of FLOOR_CHUNK_SIZE, except that the only chunk of a small file may be shorter */
    uint8_t **chunks;
    size_t chunk_count, first_chunk_capacity;
    char *target; /* of a symlink */
};

struct floor_tree {
    pthread_rwlock_t latch; /* names, the inode table, slots of directories */
    struct floor_entry **buckets;
    size_t bucket_count, entry_count;
    struct floor_node **node_blocks[FLOOR_NODE_BLOCKS];
    uint64_t next_inode, node_count;
};

static const uint8_t floor_zeros[FLOOR_CHUNK_SIZE];

/* --- Inodes ------------------------------------------------------------------------------------------------------- */

static struct timespec floor_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now;
}

static struct floor_node *floor_find(struct floor_tree *tree, uint64_t inode)
{
    if (inode / FLOOR_NODE_BLOCK >= FLOOR_NODE_BLOCKS || tree->node_blocks[inode / FLOOR_NODE_BLOCK] == NULL)
        return NULL;
    return tree->node_blocks[inode / FLOOR_NODE_BLOCK][inode % FLOOR_NODE_BLOCK];
}

static struct floor_node *floor_node_create(struct floor_tree *tree, const struct floor_make *make)
{
    uint64_t inode = tree->next_inode;
    struct floor_node ***block = &tree->node_blocks[inode / FLOOR_NODE_BLOCK];
    if (*block == NULL && (*block = calloc(FLOOR_NODE_BLOCK, sizeof(**block))) == NULL)
        return NULL;
    struct floor_node *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return NULL;
    if (make->target != NULL && (node->target = strdup(make->target)) == NULL) {
        free(node);
        return NULL;
    }
    pthread_rwlock_init(&node->latch, NULL);
    struct stat *attributes = &node->attributes;
    attributes->st_ino = inode;
    attributes->st_mode = make->mode;
    attributes->st_rdev = make->device;
    attributes->st_uid = make->uid;
    attributes->st_gid = make->gid;
    attributes->st_nlink = S_ISDIR(make->mode) ? 2 : 1;
    attributes->st_size = make->target != NULL ? (off_t)strlen(make->target) : 0;
    attributes->st_blksize = FLOOR_IO_SIZE;
    attributes->st_atim = attributes->st_mtim = attributes->st_ctim = floor_now();
    (*block)[inode % FLOOR_NODE_BLOCK] = node;
    tree->next_inode++;
    tree->node_count++;
    return node;
}

/* Takes an inode away that has neither name nor lookup. Tree latch held exclusively. */
static void floor_node_drop_unused(struct floor_tree *tree, struct floor_node *node)
{
    if (node->attributes.st_nlink != 0 || __atomic_load_n(&node->lookups, __ATOMIC_RELAXED) != 0)
        return;
    uint64_t inode = node->attributes.st_ino;
    tree->node_blocks[inode / FLOOR_NODE_BLOCK][inode % FLOOR_NODE_BLOCK] = NULL;
    tree->node_count--;
    for (size_t index = 0; index < node->chunk_count; index++)
        free(node->chunks[index]);
    free(node->chunks);
    free(node->slots);
    free(node->target);
    pthread_rwlock_destroy(&node->latch);
    free(node);
}

static void floor_copy_attributes(struct floor_node *node, struct stat *ret_attributes)
{
    pthread_rwlock_rdlock(&node->latch);
    *ret_attributes = node->attributes;
    pthread_rwlock_unlock(&node->latch);
}

static void floor_add_lookup(struct floor_node *node)
{
    __atomic_fetch_add(&node->lookups, 1, __ATOMIC_RELAXED);
}

struct floor_tree *floor_create(void)
{
    struct floor_tree *tree = calloc(1, sizeof(*tree));
    if (tree == NULL)
        return NULL;
    tree->bucket_count = 65536;
    tree->next_inode = FLOOR_ROOT_INODE;
    tree->buckets = calloc(tree->bucket_count, sizeof(struct floor_entry *));
    pthread_rwlock_init(&tree->latch, NULL);
    struct floor_make make = {.mode = S_IFDIR | 0755};
    struct floor_node *root = tree->buckets != NULL ? floor_node_create(tree, &make) : NULL;
    if (root == NULL) {
        free(tree->buckets);
        free(tree);
        return NULL;
    }
    root->parent = root;
    return tree;
}

void floor_forget_all(struct floor_tree *tree)
{
    for (uint64_t inode = FLOOR_ROOT_INODE; inode < tree->next_inode; inode++) {
        struct floor_node *node = floor_find(tree, inode);
        if (node == NULL)
            continue;
        node->lookups = 0;
        floor_node_drop_unused(tree, node);
    }
}

void floor_forget(struct floor_tree *tree, uint64_t inode, uint64_t count)
{
    pthread_rwlock_rdlock(&tree->latch);
    struct floor_node *node = floor_find(tree, inode);
    bool last = false;
    if (node != NULL)
        last = __atomic_sub_fetch(&node->lookups, count, __ATOMIC_RELAXED) == 0 && node->attributes.st_nlink == 0;
    pthread_rwlock_unlock(&tree->latch);
    if (!last)
        return;
    pthread_rwlock_wrlock(&tree->latch);
    node = floor_find(tree, inode);
    if (node != NULL)
        floor_node_drop_unused(tree, node);
    pthread_rwlock_unlock(&tree->latch);
}

void floor_count(struct floor_tree *tree, uint64_t *ret_inodes, uint64_t *ret_bytes)
{
    uint64_t bytes = 0;
    pthread_rwlock_rdlock(&tree->latch);
    for (uint64_t inode = FLOOR_ROOT_INODE; inode < tree->next_inode; inode++) {
        const struct floor_node *node = floor_find(tree, inode);
        if (node != NULL)
            bytes += (uint64_t)node->attributes.st_size;
    }
    *ret_inodes = tree->node_count;
    *ret_bytes = bytes;
    pthread_rwlock_unlock(&tree->latch);
}

/* --- Entries: tree latch held ------------------------------------------------------------------------------------- */

static struct floor_entry **floor_entry_place(struct floor_tree *tree, const struct floor_node *parent,
                                              const char *name, size_t name_size, uint64_t hash)
{
    struct floor_entry **place = &tree->buckets[hash & (tree->bucket_count - 1)];
    while (*place != NULL && ((*place)->hash != hash || (*place)->parent != parent ||
                              (*place)->name_size != name_size || memcmp((*place)->name, name, name_size) != 0))
        place = &(*place)->next;
    return place;
}

static uint64_t floor_hash(const struct floor_node *parent, const char *name, size_t name_size)
{
    return XXH3_64bits_withSeed(name, name_size, parent->attributes.st_ino);
}

/* The directory and the entry of that name in it (NULL: none). */
static int floor_resolve(struct floor_tree *tree, uint64_t parent, const char *name, struct floor_node **ret_directory,
                         struct floor_entry **ret_entry)
{
    struct floor_node *directory = floor_find(tree, parent);
    if (directory == NULL || directory->attributes.st_nlink == 0)
        return -ENOENT;
    if (!S_ISDIR(directory->attributes.st_mode))
        return -ENOTDIR;
    size_t name_size = strlen(name);
    if (name_size > FLOOR_NAME_MAX)
        return -ENAMETOOLONG;
    *ret_directory = directory;
    *ret_entry = *floor_entry_place(tree, directory, name, name_size, floor_hash(directory, name, name_size));
    return 0;
}

static void floor_grow_buckets(struct floor_tree *tree)
{
    size_t count = tree->bucket_count * 4;
    struct floor_entry **buckets = calloc(count, sizeof(struct floor_entry *));
    if (buckets == NULL)
        return;
    for (size_t index = 0; index < tree->bucket_count; index++) {
        struct floor_entry *entry = tree->buckets[index];
        while (entry != NULL) {
            struct floor_entry *next = entry->next;
            entry->next = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
            entry = next;
        }
    }
    free(tree->buckets);
    tree->buckets = buckets;
    tree->bucket_count = count;
}

static void floor_touch(struct floor_node *node, bool modified)
{
    pthread_rwlock_wrlock(&node->latch);
    node->attributes.st_ctim = floor_now();
    if (modified)
        node->attributes.st_mtim = node->attributes.st_ctim;
    pthread_rwlock_unlock(&node->latch);
}

static int floor_entry_add(struct floor_tree *tree, struct floor_node *directory, const char *name,
                           struct floor_node *child)
{
    size_t name_size = strlen(name);
    struct floor_entry *entry = malloc(sizeof(*entry) + name_size + 1);
    if (entry == NULL)
        return -ENOMEM;
    if (directory->slot_count == directory->slot_capacity) {
        size_t capacity = directory->slot_capacity == 0 ? 8 : directory->slot_capacity * 2;
        struct floor_entry **slots = realloc(directory->slots, capacity * sizeof(struct floor_entry *));
        if (slots == NULL) {
            free(entry);
            return -ENOMEM;
        }
        directory->slots = slots;
        directory->slot_capacity = capacity;
    }
    if (tree->entry_count >= tree->bucket_count)
        floor_grow_buckets(tree);
    memcpy(entry->name, name, name_size + 1);
    entry->name_size = name_size;
    entry->parent = directory;
    entry->child = child;
    entry->hash = floor_hash(directory, name, name_size);
    entry->slot = directory->slot_count;
    entry->next = tree->buckets[entry->hash & (tree->bucket_count - 1)];
    tree->buckets[entry->hash & (tree->bucket_count - 1)] = entry;
    tree->entry_count++;
    directory->slots[directory->slot_count++] = entry;
    directory->entry_count++;
    if (S_ISDIR(child->attributes.st_mode)) {
        child->parent = directory;
        directory->attributes.st_nlink++;
    }
    floor_touch(directory, true);
    return 0;
}

/* The name goes; the child's link count is the caller's business. */
static void floor_entry_remove(struct floor_tree *tree, struct floor_entry *entry)
{
    struct floor_node *directory = entry->parent;
    *floor_entry_place(tree, directory, entry->name, entry->name_size, entry->hash) = entry->next;
    tree->entry_count--;
    directory->slots[entry->slot] = NULL;
    if (--directory->entry_count == 0)
        directory->slot_count = 0;
    if (S_ISDIR(entry->child->attributes.st_mode))
        directory->attributes.st_nlink--;
    floor_touch(directory, true);
    free(entry);
}

/* One name of the inode is gone. */
static void floor_node_unlinked(struct floor_tree *tree, struct floor_node *node)
{
    node->attributes.st_nlink = S_ISDIR(node->attributes.st_mode) ? 0 : node->attributes.st_nlink - 1;
    floor_touch(node, false);
    floor_node_drop_unused(tree, node);
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

int floor_lookup(struct floor_tree *tree, uint64_t parent, const char *name, struct stat *ret_attributes)
{
    struct floor_node *directory;
    struct floor_entry *entry = NULL;
    pthread_rwlock_rdlock(&tree->latch);
    int result = floor_resolve(tree, parent, name, &directory, &entry);
    if (result == 0 && entry == NULL)
        result = -ENOENT;
    if (result == 0) {
        floor_add_lookup(entry->child);
        floor_copy_attributes(entry->child, ret_attributes);
    }
    pthread_rwlock_unlock(&tree->latch);
    return result;
}

int floor_make(struct floor_tree *tree, uint64_t parent, const char *name, const struct floor_make *make,
               struct stat *ret_attributes)
{
    struct floor_node *directory;
    struct floor_entry *entry = NULL;
    pthread_rwlock_wrlock(&tree->latch);
    int result = floor_resolve(tree, parent, name, &directory, &entry);
    if (result == 0 && entry != NULL)
        result = -EEXIST;
    if (result != 0)
        goto out;
    struct floor_node *node = floor_node_create(tree, make);
    result = node != NULL ? floor_entry_add(tree, directory, name, node) : -ENOMEM;
    if (result == 0) {
        floor_add_lookup(node);
        *ret_attributes = node->attributes;
    } else if (node != NULL) {
        node->attributes.st_nlink = 0;
        floor_node_drop_unused(tree, node);
    }
out:
    pthread_rwlock_unlock(&tree->latch);
    return result;
}

int floor_link(struct floor_tree *tree, uint64_t inode, uint64_t parent, const char *name, struct stat *ret_attributes)
{
    struct floor_node *directory;
    struct floor_entry *entry = NULL;
    pthread_rwlock_wrlock(&tree->latch);
    struct floor_node *node = floor_find(tree, inode);
    int result = node != NULL ? floor_resolve(tree, parent, name, &directory, &entry) : -ENOENT;
    if (result == 0 && entry != NULL)
        result = -EEXIST;
    if (result == 0)
        result = floor_entry_add(tree, directory, name, node);
    if (result == 0) {
        node->attributes.st_nlink++;
        floor_touch(node, false);
        floor_add_lookup(node);
        *ret_attributes = node->attributes;
    }
    pthread_rwlock_unlock(&tree->latch);
    return result;
}

static int floor_remove(struct floor_tree *tree, uint64_t parent, const char *name, bool is_directory)
{
    struct floor_node *directory;
    struct floor_entry *entry = NULL;
    pthread_rwlock_wrlock(&tree->latch);
    int result = floor_resolve(tree, parent, name, &directory, &entry);
    if (result == 0 && entry == NULL)
        result = -ENOENT;
    if (result == 0 && is_directory != S_ISDIR(entry->child->attributes.st_mode))
        result = is_directory ? -ENOTDIR : -EISDIR;
    if (result == 0 && is_directory && entry->child->entry_count != 0)
        result = -ENOTEMPTY;
    if (result == 0) {
        struct floor_node *node = entry->child;
        floor_entry_remove(tree, entry);
        floor_node_unlinked(tree, node);
    }
    pthread_rwlock_unlock(&tree->latch);
    return result;
}

int floor_unlink(struct floor_tree *tree, uint64_t parent, const char *name)
{
    return floor_remove(tree, parent, name, false);
}

int floor_rmdir(struct floor_tree *tree, uint64_t parent, const char *name)
{
    return floor_remove(tree, parent, name, true);
}

/* Two names trade their inodes. */
static void floor_exchange(struct floor_entry *from, struct floor_entry *to)
{
    struct floor_node *child = from->child;
    from->child = to->child;
    to->child = child;
    if (S_ISDIR(from->child->attributes.st_mode) != S_ISDIR(to->child->attributes.st_mode)) {
        int change = S_ISDIR(from->child->attributes.st_mode) ? 1 : -1;
        from->parent->attributes.st_nlink += (nlink_t)change;
        to->parent->attributes.st_nlink -= (nlink_t)change;
    }
    from->child->parent = from->parent;
    to->child->parent = to->parent;
    floor_touch(from->parent, true);
    floor_touch(to->parent, true);
    floor_touch(from->child, false);
    floor_touch(to->child, false);
}

static int floor_check_replaced(const struct floor_node *moved, const struct floor_node *replaced)
{
    if (S_ISDIR(replaced->attributes.st_mode) && !S_ISDIR(moved->attributes.st_mode))
        return -EISDIR;
    if (!S_ISDIR(replaced->attributes.st_mode) && S_ISDIR(moved->attributes.st_mode))
        return -ENOTDIR;
    return replaced->entry_count != 0 ? -ENOTEMPTY : 0;
}

int floor_rename(struct floor_tree *tree, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                 unsigned flags)
{
    struct floor_node *directory, *new_directory;
    struct floor_entry *entry = NULL, *replaced = NULL;
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0)
        return -EINVAL;
    pthread_rwlock_wrlock(&tree->latch);
    int result = floor_resolve(tree, parent, name, &directory, &entry);
    if (result == 0)
        result = floor_resolve(tree, new_parent, new_name, &new_directory, &replaced);
    if (result == 0 && (entry == NULL || (replaced == NULL && (flags & RENAME_EXCHANGE) != 0)))
        result = -ENOENT;
    if (result == 0 && replaced != NULL && (flags & RENAME_NOREPLACE) != 0)
        result = -EEXIST;
    if (result != 0 || (replaced != NULL && replaced->child == entry->child))
        goto out;
    if ((flags & RENAME_EXCHANGE) != 0) {
        floor_exchange(entry, replaced);
        goto out;
    }
    struct floor_node *node = entry->child, *victim = replaced != NULL ? replaced->child : NULL;
    if (victim != NULL && (result = floor_check_replaced(node, victim)) != 0)
        goto out;
    if (victim != NULL)
        floor_entry_remove(tree, replaced);
    floor_entry_remove(tree, entry);
    result = floor_entry_add(tree, new_directory, new_name, node);
    floor_touch(node, false);
    if (victim != NULL)
        floor_node_unlinked(tree, victim);
out:
    pthread_rwlock_unlock(&tree->latch);
    return result;
}

int floor_read_link(struct floor_tree *tree, uint64_t inode, const char **ret_target)
{
    pthread_rwlock_rdlock(&tree->latch);
    struct floor_node *node = floor_find(tree, inode);
    int result = node == NULL ? -ENOENT : node->target == NULL ? -EINVAL : 0;
    if (result == 0)
        *ret_target = node->target;
    pthread_rwlock_unlock(&tree->latch);
    return result;
}

/* --- Lists -------------------------------------------------------------------------------------------------------- */

static bool floor_list_dots(struct floor_node *node, uint64_t *position, floor_emit emit, void *context)
{
    struct stat attributes;
    if (*position == 0) {
        floor_copy_attributes(node, &attributes);
        if (!emit(context, ".", &attributes, 1))
            return false;
        *position = 1;
    }
    if (*position == 1) {
        floor_copy_attributes(node->parent, &attributes);
        if (!emit(context, "..", &attributes, 2))
            return false;
        *position = 2;
    }
    return true;
}

int floor_list(struct floor_tree *tree, uint64_t inode, uint64_t position, bool with_attributes, floor_emit emit,
               void *context)
{
    pthread_rwlock_rdlock(&tree->latch);
    struct floor_node *node = floor_find(tree, inode);
    int result = node == NULL ? -ENOENT : S_ISDIR(node->attributes.st_mode) ? 0 : -ENOTDIR;
    if (result != 0 || !floor_list_dots(node, &position, emit, context))
        goto out;
    for (size_t slot = position - 2; slot < node->slot_count; slot++) {
        struct floor_entry *entry = node->slots[slot];
        struct stat attributes;
        if (entry == NULL)
            continue;
        floor_copy_attributes(entry->child, &attributes);
        if (!emit(context, entry->name, &attributes, slot + 3))
            break;
        if (with_attributes)
            floor_add_lookup(entry->child);
    }
out:
    pthread_rwlock_unlock(&tree->latch);
    return result;
}

/* --- Attributes and contents: tree latch shared, then the inode's ------------------------------------------------- */

int floor_get_attributes(struct floor_tree *tree, uint64_t inode, struct stat *ret_attributes)
{
    pthread_rwlock_rdlock(&tree->latch);
    struct floor_node *node = floor_find(tree, inode);
    if (node != NULL)
        floor_copy_attributes(node, ret_attributes);
    pthread_rwlock_unlock(&tree->latch);
    return node != NULL ? 0 : -ENOENT;
}

static int floor_set_capacity(struct floor_node *node, uint64_t size)
{
    if (size <= FLOOR_CHUNK_SIZE && node->chunk_count <= 1) {
        if (node->chunks == NULL && (node->chunks = calloc(1, sizeof(uint8_t *))) == NULL)
            return -ENOMEM;
        size_t capacity = node->first_chunk_capacity == 0 ? 512 : node->first_chunk_capacity;
        while (capacity < size)
            capacity *= 2;
        if (capacity == node->first_chunk_capacity)
            return 0;
        uint8_t *chunk = realloc(node->chunks[0], capacity);
        if (chunk == NULL)
            return -ENOMEM;
        memset(chunk + node->first_chunk_capacity, 0, capacity - node->first_chunk_capacity);
        node->chunks[0] = chunk;
        node->chunk_count = 1;
        node->first_chunk_capacity = capacity;
        return 0;
    }
    if (node->chunk_count == 1 && node->first_chunk_capacity < FLOOR_CHUNK_SIZE) {
        int result = floor_set_capacity(node, FLOOR_CHUNK_SIZE);
        if (result != 0)
            return result;
    }
    size_t count = (size_t)((size + FLOOR_CHUNK_SIZE - 1) / FLOOR_CHUNK_SIZE);
    if (count <= node->chunk_count)
        return 0;
    uint8_t **chunks = realloc(node->chunks, count * sizeof(uint8_t *));
    if (chunks == NULL)
        return -ENOMEM;
    memset(chunks + node->chunk_count, 0, (count - node->chunk_count) * sizeof(uint8_t *));
    if (node->chunk_count == 0)
        node->first_chunk_capacity = FLOOR_CHUNK_SIZE;
    node->chunks = chunks;
    node->chunk_count = count;
    return 0;
}

/* Where a byte of the file is, or NULL in a hole; ret_size: how many follow it in its chunk. */
static uint8_t *floor_locate(const struct floor_node *node, uint64_t offset, size_t *ret_size)
{
    size_t index = (size_t)(offset / FLOOR_CHUNK_SIZE), inside = (size_t)(offset % FLOOR_CHUNK_SIZE);
    size_t capacity = index == 0 && node->chunk_count != 0 ? node->first_chunk_capacity : FLOOR_CHUNK_SIZE;
    *ret_size = capacity > inside ? capacity - inside : FLOOR_CHUNK_SIZE - inside;
    if (index >= node->chunk_count || node->chunks[index] == NULL || capacity <= inside)
        return NULL;
    return node->chunks[index] + inside;
}

static void floor_truncate(struct floor_node *node, uint64_t size)
{
    for (size_t index = node->chunk_count; index-- > 0;) {
        uint64_t start = (uint64_t)index * FLOOR_CHUNK_SIZE;
        size_t capacity = index == 0 ? node->first_chunk_capacity : FLOOR_CHUNK_SIZE;
        if (start >= size) {
            free(node->chunks[index]);
            node->chunk_count = index;
        } else if (size - start < capacity && node->chunks[index] != NULL) {
            memset(node->chunks[index] + (size - start), 0, capacity - (size_t)(size - start));
        }
    }
    if (node->chunk_count == 0)
        node->first_chunk_capacity = 0;
    if (node->chunk_count == 0) {
        free(node->chunks);
        node->chunks = NULL;
    }
}

static void floor_set_times(struct stat *attributes, int set, const struct stat *wanted)
{
    attributes->st_ctim = floor_now();
    if ((set & FLOOR_SET_ACCESS_TIME) != 0)
        attributes->st_atim = (set & FLOOR_SET_ACCESS_TIME_NOW) != 0 ? attributes->st_ctim : wanted->st_atim;
    if ((set & FLOOR_SET_MODIFICATION_TIME) != 0)
        attributes->st_mtim = (set & FLOOR_SET_MODIFICATION_TIME_NOW) != 0 ? attributes->st_ctim : wanted->st_mtim;
}

int floor_set_attributes(struct floor_tree *tree, uint64_t inode, int set, const struct stat *wanted,
                         struct stat *ret_attributes)
{
    pthread_rwlock_rdlock(&tree->latch);
    struct floor_node *node = floor_find(tree, inode);
    if (node == NULL) {
        pthread_rwlock_unlock(&tree->latch);
        return -ENOENT;
    }
    pthread_rwlock_wrlock(&node->latch);
    struct stat *attributes = &node->attributes;
    floor_set_times(attributes, set, wanted);
    if ((set & FLOOR_SET_MODE) != 0)
        attributes->st_mode = (attributes->st_mode & S_IFMT) | (wanted->st_mode & ~(mode_t)S_IFMT);
    if ((set & FLOOR_SET_UID) != 0)
        attributes->st_uid = wanted->st_uid;
    if ((set & FLOOR_SET_GID) != 0)
        attributes->st_gid = wanted->st_gid;
    if ((set & FLOOR_SET_SIZE) != 0) {
        floor_truncate(node, (uint64_t)wanted->st_size);
        attributes->st_size = wanted->st_size;
        attributes->st_blocks = (wanted->st_size + 511) / 512;
        attributes->st_mtim = attributes->st_ctim;
    }
    *ret_attributes = *attributes;
    pthread_rwlock_unlock(&node->latch);
    pthread_rwlock_unlock(&tree->latch);
    return 0;
}

int floor_read(struct floor_tree *tree, uint64_t inode, uint64_t offset, size_t size,
               void (*emit)(void *context, const struct iovec *iovecs, int count), void *context)
{
    struct iovec iovecs[FLOOR_IOVEC_COUNT];
    int count = 0;
    pthread_rwlock_rdlock(&tree->latch);
    struct floor_node *node = floor_find(tree, inode);
    if (node == NULL) {
        pthread_rwlock_unlock(&tree->latch);
        return -ENOENT;
    }
    pthread_rwlock_rdlock(&node->latch);
    uint64_t file_size = (uint64_t)node->attributes.st_size;
    size = offset >= file_size ? 0 : size < file_size - offset ? size : (size_t)(file_size - offset);
    while (size > 0 && count < (int)FLOOR_IOVEC_COUNT) {
        size_t inside;
        uint8_t *bytes = floor_locate(node, offset, &inside);
        inside = inside < size ? inside : size;
        iovecs[count].iov_base = bytes != NULL ? bytes : (void *)(uintptr_t)floor_zeros;
        iovecs[count++].iov_len = inside;
        offset += inside;
        size -= inside;
    }
    emit(context, iovecs, count);
    pthread_rwlock_unlock(&node->latch);
    pthread_rwlock_unlock(&tree->latch);
    return 0;
}

static int floor_store(struct floor_node *node, uint64_t offset, const uint8_t *bytes, size_t size)
{
    int result = floor_set_capacity(node, offset + size);
    while (result == 0 && size > 0) {
        size_t inside;
        uint8_t *place = floor_locate(node, offset, &inside);
        if (place == NULL) {
            uint8_t *chunk = calloc(1, FLOOR_CHUNK_SIZE);
            if (chunk == NULL)
                return -ENOMEM;
            node->chunks[offset / FLOOR_CHUNK_SIZE] = chunk;
            continue;
        }
        inside = inside < size ? inside : size;
        memcpy(place, bytes, inside);
        bytes += inside;
        offset += inside;
        size -= inside;
    }
    return result;
}

int floor_write(struct floor_tree *tree, uint64_t inode, uint64_t offset, const void *bytes, size_t size)
{
    pthread_rwlock_rdlock(&tree->latch);
    struct floor_node *node = floor_find(tree, inode);
    if (node == NULL) {
        pthread_rwlock_unlock(&tree->latch);
        return -ENOENT;
    }
    pthread_rwlock_wrlock(&node->latch);
    int result = floor_store(node, offset, bytes, size);
    if (result == 0) {
        struct stat *attributes = &node->attributes;
        if (offset + size > (uint64_t)attributes->st_size) {
            attributes->st_size = (off_t)(offset + size);
            attributes->st_blocks = (attributes->st_size + 511) / 512;
        }
        attributes->st_mtim = attributes->st_ctim = floor_now();
    }
    pthread_rwlock_unlock(&node->latch);
    pthread_rwlock_unlock(&tree->latch);
    return result;
}
