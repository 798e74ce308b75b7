/* Makes a database for test-reader: random operations through fs/, and beside it a listing of what must be in it, from
 * what was asked for rather than from what the filesystem says, in the form that read_image.py prints.
 *
 * usage: make_image IMAGE LISTING PAGE-SIZE SEED [crash]
 *
 * crash: ends after a last fsync without closing, so that the end of the story stands in the log only. */
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/random.h"
#include "fs/fs.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NODES_MAX   700U
#define ENTRIES_MAX 2000U
#define STEPS       4000U
#define SIZE_MAX_   (400U << 10)
#define XATTRS      6U

/* In bytewise order. */
static char xattr_names[XATTRS][256] = {"security.label", "trusted.t", "user.a", "user.a\1b", "user.b", "user."};

struct xattr {
    uint8_t *value; /* NULL: there is none */
    uint32_t size;
};

struct node {
    uint64_t inode, size, device;
    uint32_t mode, links, uid, gid;
    struct timespec modification_time;
    uint8_t *bytes; /* SIZE_MAX_, of files and symlinks */
    unsigned entry; /* of a directory: the one that leads to it */
    struct xattr xattrs[XATTRS];
};

struct entry {
    unsigned parent, node;
    char name[256];
    bool used;
};

static struct node nodes[NODES_MAX]; /* 0: the root */
static struct entry entries[ENTRIES_MAX];
static unsigned node_count, entry_count;
static struct fs *fs;
static struct base_random generator;
static const struct fs_caller root_caller = {.uid = 0};

static uint64_t below(uint64_t bound)
{
    return base_random_below(&generator, bound);
}

static void expect(bool is_true, const char *what)
{
    if (!is_true) {
        fprintf(stderr, "make_image: %s\n", what);
        exit(1);
    }
}

static unsigned pick_node(uint32_t type)
{
    for (unsigned tries = 0; tries < 1000; tries++) {
        unsigned node = (unsigned)below(node_count);

        if ((nodes[node].mode & S_IFMT) == type && nodes[node].links > 0)
            return node;
    }
    return NODES_MAX;
}

static unsigned pick_entry(void)
{
    unsigned entry = (unsigned)below(entry_count);

    while (!entries[entry].used)
        entry = (entry + 1) % entry_count;
    return entry;
}

/* Names of all lengths and of all bytes that a line of the listing can hold. */
static void make_name(char *name)
{
    size_t size = below(5) == 0 ? 1 + below(240) : 1 + below(20);

    for (size_t i = 0; i < size; i++) {
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 +-_.,\"'~";

        name[i] = below(40) == 0 ? (char)(0x80 + below(0x80)) : letters[below(sizeof letters - 1)];
    }
    snprintf(name + size, 256 - size, ".%u", entry_count);
}

static unsigned add_entry(unsigned parent, unsigned node, const char *name)
{
    struct entry *entry = &entries[entry_count];

    *entry = (struct entry){.parent = parent, .node = node, .used = true};
    memcpy(entry->name, name, strlen(name) + 1);
    nodes[parent].size++;
    return entry_count++;
}

static void step_make(void)
{
    static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
    struct node *node = &nodes[node_count];
    uint32_t type = types[below(sizeof types / sizeof types[0])];
    struct fs_make make = {.mode = type | (uint32_t)below(07777 + 1)};
    const struct fs_caller caller = {.uid = (uid_t)below(2000), .gid = (gid_t)below(2000)};
    unsigned parent = pick_node(S_IFDIR);
    struct fs_entry entry;
    char name[256], target[FS_SYMLINK_SIZE_MAX + 1];

    if (node_count == NODES_MAX || entry_count == ENTRIES_MAX)
        return;
    *node = (struct node){.mode = make.mode, .links = type == S_IFDIR ? 2 : 1, .uid = caller.uid, .gid = caller.gid};
    if (type == S_IFREG || type == S_IFLNK) {
        node->bytes = calloc(SIZE_MAX_, 1);
        expect(node->bytes != NULL, "memory");
    }
    if (type == S_IFLNK) {
        node->size = 1 + below(below(2) == 0 ? 60 : FS_SYMLINK_SIZE_MAX);
        for (uint64_t i = 0; i < node->size; i++)
            target[i] = (char)('a' + below(26));
        target[node->size] = '\0';
        memcpy(node->bytes, target, node->size);
        make.target = target;
    }
    if (type == S_IFCHR || type == S_IFBLK)
        node->device = make.device = below(1U << 20) << 32 | below(1U << 20);
    if ((nodes[parent].mode & S_ISGID) != 0) {
        node->gid = nodes[parent].gid;
        if (type == S_IFDIR)
            node->mode |= S_ISGID;
    }
    make_name(name);
    expect(fs_make(fs, &caller, nodes[parent].inode, name, &make, &entry) == 0, "fs_make");
    node->inode = entry.attributes.inode;
    node->entry = add_entry(parent, node_count++, name);
    if (type == S_IFDIR)
        nodes[parent].links++;
}

static uint64_t pick_size(void)
{
    static const uint64_t limits[] = {768, 3840, 4096, 131072};
    uint64_t size = limits[below(4)] * below(4) + below(3) - 1;

    if (below(3) == 0 || size > SIZE_MAX_)
        size = below(SIZE_MAX_);
    return below(2) == 0 ? size % 10000 : size;
}

static void step_write(void)
{
    static uint8_t bytes[SIZE_MAX_];
    unsigned index = pick_node(S_IFREG);
    uint64_t offset = pick_size(), size = pick_size();
    struct node *node = &nodes[index];

    if (index == NODES_MAX)
        return;
    if (offset + size > SIZE_MAX_)
        size = SIZE_MAX_ - offset;
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)base_random_next(&generator);
    expect(fs_write(fs, &root_caller, node->inode, offset, bytes, size) == (int64_t)size, "fs_write");
    memcpy(node->bytes + offset, bytes, size);
    if (size > 0 && offset + size > node->size)
        node->size = offset + size;
}

static void step_resize(void)
{
    unsigned index = pick_node(S_IFREG);
    struct fs_changes changes = {.set = FS_SET_SIZE, .size = pick_size()};
    struct fs_attributes attributes;
    struct node *node = &nodes[index];

    if (index == NODES_MAX)
        return;
    expect(fs_set_attributes(fs, &root_caller, node->inode, &changes, &attributes) == 0, "resize");
    if (changes.size < node->size)
        memset(node->bytes + changes.size, 0, node->size - changes.size);
    node->size = changes.size;
}

/* Reserved blocks, beyond the end too, and holes. */
static void step_allocate(void)
{
    static const unsigned modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    unsigned index = pick_node(S_IFREG), mode = modes[below(5)];
    uint64_t offset = pick_size() % SIZE_MAX_, end = offset + 1 + pick_size();
    struct node *node = &nodes[index];

    if (index == NODES_MAX)
        return;
    if (end > SIZE_MAX_)
        end = SIZE_MAX_;
    expect(fs_allocate(fs, &root_caller, node->inode, mode, offset, end - offset) == 0, "fs_allocate");
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0)
        memset(node->bytes + offset, 0, end - offset);
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && end > node->size)
        node->size = end;
}

/* Shared blocks, and bytes where they can't be shared. */
static void step_copy(void)
{
    static const uint64_t units[] = {1, 4096, 131072};
    unsigned from = pick_node(S_IFREG), to = pick_node(S_IFREG);
    uint64_t unit = units[below(3)], size, from_offset, to_offset;

    if (from == NODES_MAX || to == NODES_MAX || from == to || nodes[from].size == 0)
        return;
    from_offset = below(nodes[from].size) / unit * unit;
    to_offset = below(SIZE_MAX_ / 2) / unit * unit;
    size = nodes[from].size - from_offset;
    if (size > SIZE_MAX_ - to_offset)
        size = SIZE_MAX_ - to_offset;
    expect(fs_copy_range(fs, &root_caller, nodes[from].inode, from_offset, nodes[to].inode, to_offset, size) ==
               (int64_t)size,
           "fs_copy_range");
    memcpy(nodes[to].bytes + to_offset, nodes[from].bytes + from_offset, size);
    if (to_offset + size > nodes[to].size)
        nodes[to].size = to_offset + size;
}

static void step_link(void)
{
    unsigned parent = pick_node(S_IFDIR), index = pick_node(S_IFREG);
    struct fs_entry entry;
    char name[256];

    if (index == NODES_MAX || entry_count == ENTRIES_MAX)
        return;
    make_name(name);
    expect(fs_link(fs, nodes[index].inode, nodes[parent].inode, name, &entry) == 0, "fs_link");
    nodes[index].links++;
    add_entry(parent, index, name);
}

static void step_remove(void)
{
    struct entry *entry = &entries[pick_entry()];
    struct node *node = &nodes[entry->node], *parent = &nodes[entry->parent];
    bool is_directory = S_ISDIR(node->mode);

    if (is_directory && node->size > 0)
        return;
    expect((is_directory ? fs_rmdir : fs_unlink)(fs, parent->inode, entry->name) == 0, "remove");
    entry->used = false;
    parent->size--;
    node->links = is_directory ? 0 : node->links - 1;
    if (is_directory)
        parent->links--;
}

/* Directories keep their parent here: the ways a rename can fail are the business of other tests. */
static void step_rename(void)
{
    struct entry *entry = &entries[pick_entry()];
    bool is_directory = S_ISDIR(nodes[entry->node].mode);
    unsigned parent = is_directory ? entry->parent : pick_node(S_IFDIR);
    char name[256];

    make_name(name);
    expect(fs_rename(fs, nodes[entry->parent].inode, entry->name, nodes[parent].inode, name, 0) == 0, "fs_rename");
    nodes[entry->parent].size--;
    nodes[parent].size++;
    entry->parent = parent;
    memcpy(entry->name, name, sizeof name);
}

/* Values of up to two rows and a half, whatever the page size: the cache is small. */
static void step_xattr(void)
{
    static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR};
    unsigned index = pick_node(types[below(sizeof types / sizeof types[0])]), slot = (unsigned)below(XATTRS);
    struct xattr *xattr = index < NODES_MAX ? &nodes[index].xattrs[slot] : NULL;
    uint32_t size = (uint32_t)below(below(2) == 0 ? 20 : fs_get_page_size(fs) / 2);

    if (!xattr)
        return;
    if (xattr->value && below(4) == 0) {
        expect(fs_remove_xattr(fs, nodes[index].inode, xattr_names[slot]) == 0, "fs_remove_xattr");
        free(xattr->value);
        xattr->value = NULL;
        return;
    }
    free(xattr->value);
    xattr->size = size;
    xattr->value = malloc(size + 1);
    expect(xattr->value != NULL, "memory");
    for (uint32_t i = 0; i < size; i++)
        xattr->value[i] = (uint8_t)base_random_next(&generator);
    expect(fs_set_xattr(fs, nodes[index].inode, xattr_names[slot], xattr->value, size, 0) == 0, "fs_set_xattr");
}

/* Small changes with many syncs at the end of a story that crashes: they stand in the log, in batches. */
static void set_times(bool crashes)
{
    for (unsigned i = 0; i < node_count; i++) {
        struct fs_changes changes = {.set = FS_SET_MODIFICATION_TIME};
        struct fs_attributes attributes;

        changes.modification_time.tv_sec = (time_t)below(4000000000) - 1000000000;
        changes.modification_time.tv_nsec = (long)below(1000000000);
        nodes[i].modification_time = changes.modification_time;
        if (nodes[i].links > 0)
            expect(fs_set_attributes(fs, &root_caller, nodes[i].inode, &changes, &attributes) == 0, "set times");
        if (crashes && i % 50 == 0)
            expect(fs_sync(fs) == 0, "fs_sync");
    }
}

static void run_steps(bool crashes)
{
    nodes[0] = (struct node){.inode = FS_ROOT_INODE, .mode = S_IFDIR | 0755, .links = 2};
    node_count = 1;
    memset(xattr_names[XATTRS - 1] + 5, 'x', FS_XATTR_NAME_SIZE_MAX - 5);
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t choice = below(26);

        if (choice < 5 || entry_count < 20)
            step_make();
        else if (choice < 13)
            step_write();
        else if (choice < 15)
            step_resize();
        else if (choice < 17)
            step_link();
        else if (choice < 18)
            step_remove();
        else if (choice < 20)
            step_rename();
        else if (choice < 22)
            step_xattr();
        else if (choice < 24)
            step_allocate();
        else
            step_copy();
        if (step % 500 == 250)
            expect(fs_sync(fs) == 0, "fs_sync");
    }
    set_times(crashes);
}

/* --- The listing -------------------------------------------------------------------------------------------------- */

static void print_path(FILE *listing, unsigned node)
{
    if (node == 0)
        return;
    print_path(listing, entries[nodes[node].entry].parent);
    fprintf(listing, "/%s", entries[nodes[node].entry].name);
}

static void print_xattrs(FILE *listing, const struct node *node)
{
    static uint8_t all[XATTRS * (256 + 4 + 65536)];
    size_t size = 0;

    for (unsigned i = 0; i < XATTRS; i++) {
        const struct xattr *xattr = &node->xattrs[i];

        if (!xattr->value)
            continue;
        memcpy(all + size, xattr_names[i], strlen(xattr_names[i]) + 1);
        size += strlen(xattr_names[i]) + 1;
        base_put_le32(all + size, xattr->size);
        memcpy(all + size + 4, xattr->value, xattr->size);
        size += 4 + xattr->size;
    }
    if (size > 0)
        fprintf(listing, "%016" PRIx64 " ", base_checksum(all, size, 0));
    else
        fputs("- ", listing);
}

static void print_node(FILE *listing, const struct node *node)
{
    fprintf(listing, "%" PRIu64 " %o %o %u %u %u %" PRIu64 " %" PRIu64 " %lld.%09ld ", node->inode, node->mode >> 12,
            node->mode & 07777, node->links, node->uid, node->gid, node->size, node->device,
            (long long)node->modification_time.tv_sec, node->modification_time.tv_nsec);
    print_xattrs(listing, node);
    if (S_ISREG(node->mode))
        fprintf(listing, "%016" PRIx64 " ", base_checksum(node->bytes, node->size, 0));
    else if (S_ISLNK(node->mode))
        fprintf(listing, "%.*s ", (int)node->size, (const char *)node->bytes);
    else
        fputs("- ", listing);
}

static void print_listing(const char *path)
{
    FILE *listing = fopen(path, "w");

    expect(listing != NULL, "the listing can't be made");
    print_node(listing, &nodes[0]);
    fputs("/\n", listing);
    for (unsigned i = 0; i < entry_count; i++) {
        if (!entries[i].used)
            continue;
        print_node(listing, &nodes[entries[i].node]);
        print_path(listing, entries[i].parent);
        fprintf(listing, "/%s\n", entries[i].name);
    }
    expect(fclose(listing) == 0, "the listing can't be written");
}

int main(int argc, char **argv)
{
    struct fs_format_options format_options = {.root_mode = 0755, .label = "reader test"};
    struct fs_options options = {.cache_size = 4U << 20};
    struct base_reason reason = {""};
    struct os_file *file;

    bool crashes = argc == 6 && strcmp(argv[5], "crash") == 0;

    expect(argc == 5 || crashes, "usage: make_image IMAGE LISTING PAGE-SIZE SEED [crash]");
    format_options.page_size = (uint32_t)strtoul(argv[3], NULL, 10);
    base_random_seed(&generator, strtoull(argv[4], NULL, 10));
    expect(os_file_open(argv[1], OS_FILE_CREATE, &file) == 0, "the image can't be made");
    expect(fs_format(file, &format_options, &reason) == 0, "fs_format");
    expect(fs_open(file, &options, &fs, &reason) == 0, "fs_open");
    run_steps(crashes);
    print_listing(argv[2]);
    if (crashes) {
        expect(fs_sync(fs) == 0, "fs_sync");
        _exit(0);
    }
    expect(fs_close(fs) == 0, "fs_close");
    os_file_close(file);
    for (unsigned i = 0; i < node_count; i++) {
        free(nodes[i].bytes);
        for (unsigned k = 0; k < XATTRS; k++)
            free(nodes[i].xattrs[k].value);
    }
    return 0;
}
