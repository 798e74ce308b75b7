/* The check of directory entries (D): keys, names, types, and the counts that link counts are compared with. */
#include "base/bytes.h"
#include "check.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum { PREFIX_SIZE = 9, ENTRY_SIZE = 9, TYPE_OFFSET = 8, TYPE_SHIFT = 12 };

/* The directory whose entries are being read. */
struct directory {
    uint64_t inode; /* 0: none yet */
    uint64_t entries;
};

static void end_directory(struct checker *checker, const struct directory *directory)
{
    struct check_record *record = check_find(checker, directory->inode);
    struct fs_inode_row row;

    if (directory->inode == 0 || checker->incomplete) {
        return;
    }
    if (record == NULL) {
        check_problem(checker, "directory %" PRIu64 " has entries, but does not exist", directory->inode);
        return;
    }
    record->flags &= (uint16_t)~CHECK_ENTRIES;
    if (!S_ISDIR(record->type)) {
        check_problem(checker, "inode %" PRIu64 " has entries, but is no directory", directory->inode);
    } else if (record->link_count == 0) {
        check_problem(checker, "directory %" PRIu64 " is removed, but has entries", directory->inode);
    } else if (fs_inode_row_read(checker->fs, NULL, directory->inode, &row) == 0 &&
               row.attributes.size != directory->entries) {
        check_problem(checker, "directory %" PRIu64 ": counts %" PRIu64 " entries, but has %" PRIu64, directory->inode,
                      row.attributes.size, directory->entries);
    }
}

static bool name_is_valid(const char *name, size_t size)
{
    if (size == 0 || size > FS_NAME_SIZE_MAX || memchr(name, '/', size) != NULL || memchr(name, '\0', size) != NULL) {
        return false;
    }
    return name[0] != '.' || (size != 1 && !(size == 2 && name[1] == '.'));
}

/* What the entry leads to. */
static void check_child(struct checker *checker, uint64_t parent, const char *name, int name_size,
                        struct btree_slice value)
{
    uint64_t child = base_get_le64(value.bytes);
    uint32_t type = (uint32_t)((const uint8_t *)value.bytes)[TYPE_OFFSET] << TYPE_SHIFT;
    struct check_record *record = check_find(checker, child), *parent_record;

    if (record == NULL) {
        if (!checker->incomplete) {
            check_problem(checker,
                          "directory %" PRIu64 ": entry \"%.*s\" leads to inode %" PRIu64 ", which does not exist",
                          parent, name_size, name, child);
        }
        return;
    }
    if (record->names < UINT32_MAX) {
        record->names++;
    }
    if (record->type != 0 && record->type != type) {
        check_problem(checker, "directory %" PRIu64 ": entry \"%.*s\": type %o, but inode %" PRIu64 " has %o", parent,
                      name_size, name, type, child, (unsigned)record->type);
    }
    if (!S_ISDIR(record->type)) {
        return;
    }
    parent_record = check_find(checker, parent);
    if (parent_record != NULL) {
        parent_record->subdirectories++;
    }
    if (record->parent != parent) {
        check_problem(checker,
                      "directory %" PRIu64 ": entry \"%.*s\": directory %" PRIu64 " has %" PRIu64 " as its parent",
                      parent, name_size, name, child, record->parent);
    }
}

static int check_entry(struct checker *checker, struct btree_slice key, struct btree_slice value, void *context)
{
    struct directory *directory = context;
    const char *name = (const char *)key.bytes + PREFIX_SIZE;
    uint64_t parent;

    if (key.size < PREFIX_SIZE) {
        check_problem(checker, "table D: a key of %zu bytes", key.size);
        return 0;
    }
    parent = base_get_be64((const uint8_t *)key.bytes + 1);
    if (parent != directory->inode) {
        end_directory(checker, directory);
        *directory = (struct directory){.inode = parent};
        if (parent == 0) {
            check_problem(checker, "table D: entries of inode 0");
        }
    }
    directory->entries++;
    checker->report->entries++;
    if (!name_is_valid(name, key.size - PREFIX_SIZE)) {
        check_problem(checker, "directory %" PRIu64 ": an impossible name of %zu bytes", parent,
                      key.size - PREFIX_SIZE);
    } else if (value.size != ENTRY_SIZE) {
        check_problem(checker, "directory %" PRIu64 ": entry \"%.*s\": a value of %zu bytes", parent,
                      (int)(key.size - PREFIX_SIZE), name, value.size);
    } else {
        check_child(checker, parent, name, (int)(key.size - PREFIX_SIZE), value);
    }
    return 0;
}

int check_entries(struct checker *checker)
{
    struct directory directory = {.inode = 0};
    int ret = check_table(checker, 'D', check_entry, &directory);

    if (ret == 0) {
        end_directory(checker, &directory);
    }
    return ret;
}
