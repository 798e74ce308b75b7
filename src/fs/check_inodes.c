/* The check of inodes: their rows (I), orphans (O), and, once the entries are counted, links and reachability. */
#include "base/bytes.h"
#include "check.h"
#include "names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INODE_KEY_SIZE = 9, FREEING_KEY_SIZE = 17, SUPER_ROW_SIZE = 32 };

struct check_record *check_find(struct checker *checker, uint64_t inode)
{
    size_t low = 0, high = checker->record_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (checker->records[middle].inode < inode) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < checker->record_count && checker->records[low].inode == inode ? &checker->records[low] : NULL;
}

static struct check_record *add_record(struct checker *checker, uint64_t inode)
{
    struct check_record *record;

    if (checker->record_count == checker->record_capacity) {
        size_t capacity = checker->record_capacity + checker->record_capacity / 2 + 1024;
        struct check_record *records = realloc(checker->records, capacity * sizeof *records);

        if (records == NULL) {
            return NULL;
        }
        checker->records = records;
        checker->record_capacity = capacity;
    }
    record = &checker->records[checker->record_count++];
    *record = (struct check_record){.inode = inode};
    return record;
}

/* --- Table I ------------------------------------------------------------------------------------------------------ */

static void check_super_row(struct checker *checker, struct btree_slice value)
{
    static const uint8_t zeros[SUPER_ROW_SIZE - 8];

    if (value.size != SUPER_ROW_SIZE || memcmp((const uint8_t *)value.bytes + 8, zeros, sizeof zeros) != 0) {
        check_problem(checker, "the superinode's row is malformed");
        return;
    }
    checker->next_number = base_get_le64(value.bytes);
}

static void check_content_count(struct checker *checker, const struct fs_inode_row *row, struct check_record *record)
{
    bool is_long_symlink = S_ISLNK(record->type) && row->attributes.size > FS_SYMLINK_INLINE_MAX;

    if (row->content_blocks > 0 && !S_ISREG(record->type)) {
        check_problem(checker, "inode %" PRIu64 ": counts content blocks, but is no regular file", record->inode);
    } else if (row->content_blocks > 0) {
        record->flags |= CHECK_CONTENTS | CHECK_BLOCKS;
    } else if ((is_long_symlink || row->pieces > 1) && record->link_count > 0) {
        record->flags |= CHECK_CONTENTS;
    }
}

/* What fs_inode_row_find_fault leaves open: nothing that reads the row depends on it. */
static void check_kind(struct checker *checker, const struct fs_inode_row *row, struct btree_slice value)
{
    const struct fs_attributes *attributes = &row->attributes;
    bool is_device = S_ISCHR(attributes->mode) || S_ISBLK(attributes->mode);
    bool has_size = S_ISREG(attributes->mode) || S_ISDIR(attributes->mode) || S_ISLNK(attributes->mode);
    const uint8_t *target = (const uint8_t *)value.bytes + FS_INODE_ROW_SIZE;

    if (attributes->device != 0 && !is_device) {
        check_problem(checker, "inode %" PRIu64 ": has a device number, but is no device", attributes->inode);
    }
    if (attributes->size != 0 && !has_size) {
        check_problem(checker, "inode %" PRIu64 ": has a size of %" PRIu64 ", but a type without contents",
                      attributes->inode, attributes->size);
    }
    if (value.size > FS_INODE_ROW_SIZE && memchr(target, '\0', value.size - FS_INODE_ROW_SIZE) != NULL) {
        check_problem(checker, "symlink %" PRIu64 ": a zero byte in its target", attributes->inode);
    }
}

static int check_inode(struct checker *checker, struct btree_slice key, struct btree_slice value, void *context)
{
    struct fs_inode_row row;
    struct check_record *record;
    const char *fault;
    uint64_t inode;

    (void)context;
    if (key.size != INODE_KEY_SIZE) {
        check_problem(checker, "table I: a key of %zu bytes", key.size);
        return 0;
    }
    inode = base_get_be64((const uint8_t *)key.bytes + 1);
    if (inode == 0) {
        check_super_row(checker, value);
        return 0;
    }
    checker->report->inodes++;
    record = add_record(checker, inode);
    if (record == NULL) {
        return -ENOMEM;
    }
    fault = fs_inode_row_find_fault(value.bytes, value.size);
    if (fault != NULL) {
        check_problem(checker, "inode %" PRIu64 ": its row is damaged: %s", inode, fault);
        /* Whatever depends on it would only be reported on top. */
        checker->incomplete = true;
        return 0;
    }
    if (fs_inode_row_decode(inode, value.bytes, value.size, &row) < 0) {
        return -EUCLEAN;
    }
    record->type = (uint16_t)(row.attributes.mode & S_IFMT);
    record->link_count = row.attributes.link_count;
    record->parent = row.parent;
    check_kind(checker, &row, value);
    check_content_count(checker, &row, record);
    if (row.xattrs != 0 && record->link_count > 0) {
        record->flags |= CHECK_XATTRS;
    }
    if (S_ISDIR(record->type)) {
        checker->report->directories++;
        if (row.attributes.size > 0) {
            record->flags |= CHECK_ENTRIES;
        }
    }
    return 0;
}

int check_inodes(struct checker *checker)
{
    const struct check_record *root;
    int ret = check_table(checker, 'I', check_inode, NULL);

    if (ret < 0) {
        return ret;
    }
    if (checker->incomplete) {
        return 0;
    }
    if (checker->next_number == 0) {
        check_problem(checker, "there is no superinode");
    } else if (checker->record_count > 0 && checker->records[checker->record_count - 1].inode >= checker->next_number) {
        check_problem(checker, "inode %" PRIu64 " is beyond the next inode number, %" PRIu64,
                      checker->records[checker->record_count - 1].inode, checker->next_number);
    }
    root = check_find(checker, FS_ROOT_INODE);
    if (root == NULL || !S_ISDIR(root->type)) {
        check_problem(checker, "there is no root directory");
    } else if (root->parent != FS_ROOT_INODE) {
        check_problem(checker, "the root directory's parent is inode %" PRIu64, root->parent);
    }
    return 0;
}

/* --- Table O ------------------------------------------------------------------------------------------------------ */

static void check_freeing(struct checker *checker, struct btree_slice key, struct btree_slice value,
                          struct check_record *record)
{
    uint64_t inode, from;
    struct fs_inode_row row;

    if (fs_freeing_decode(key, value, &inode, &from) < 0) {
        check_problem(checker, "inode %" PRIu64 ": its row of contents being freed is malformed", record->inode);
        return;
    }
    if ((record->flags & CHECK_FREEING) != 0) {
        check_problem(checker, "inode %" PRIu64 ": two rows of contents being freed", record->inode);
    }
    record->flags |= CHECK_FREEING;
    checker->report->freeing++;
    if ((record->flags & CHECK_BLOCKS) == 0) {
        check_problem(checker, "inode %" PRIu64 ": contents being freed, but no blocks counted", record->inode);
    } else if (fs_inode_row_read(checker->fs, NULL, inode, &row) == 0 && row.attributes.link_count > 0 &&
               from < row.attributes.size) {
        check_problem(checker,
                      "inode %" PRIu64 ": contents from %" PRIu64 " on are being freed, but its size is %" PRIu64,
                      inode, from, row.attributes.size);
    }
}

static int check_orphan(struct checker *checker, struct btree_slice key, struct btree_slice value, void *context)
{
    struct check_record *record;
    uint64_t inode;

    (void)context;
    if (key.size != INODE_KEY_SIZE && key.size != FREEING_KEY_SIZE) {
        check_problem(checker, "table O: a key of %zu bytes", key.size);
        return 0;
    }
    inode = base_get_be64((const uint8_t *)key.bytes + 1);
    record = check_find(checker, inode);
    if (record == NULL) {
        if (!checker->incomplete) {
            check_problem(checker, "table O: inode %" PRIu64 " does not exist", inode);
        }
        return 0;
    }
    if (key.size == FREEING_KEY_SIZE) {
        check_freeing(checker, key, value, record);
        return 0;
    }
    checker->report->orphans++;
    record->flags |= CHECK_ORPHAN;
    if (value.size != 0) {
        check_problem(checker, "inode %" PRIu64 ": its orphan row is not empty", inode);
    }
    return 0;
}

int check_orphans(struct checker *checker)
{
    return check_table(checker, 'O', check_orphan, NULL);
}

/* --- Verdicts ----------------------------------------------------------------------------------------------------- */

static void check_directory_links(struct checker *checker, const struct check_record *record)
{
    uint64_t inode = record->inode;
    bool removed = record->link_count == 0;

    if (inode == FS_ROOT_INODE ? record->names > 0 : record->names != (removed ? 0U : 1U)) {
        check_problem(checker, "directory %" PRIu64 ": %" PRIu32 " entries lead to it", inode, record->names);
    }
    if ((uint64_t)record->link_count != (removed ? 0 : 2 + (uint64_t)record->subdirectories)) {
        check_problem(checker, "directory %" PRIu64 ": link count %" PRIu32 ", but %" PRIu32 " subdirectories", inode,
                      record->link_count, record->subdirectories);
    }
    if (inode == FS_ROOT_INODE && removed) {
        check_problem(checker, "the root directory is removed");
    }
}

static void check_record_links(struct checker *checker, const struct check_record *record)
{
    bool orphan = (record->flags & CHECK_ORPHAN) != 0;

    if (S_ISDIR(record->type)) {
        check_directory_links(checker, record);
    } else if (record->link_count != record->names) {
        check_problem(checker, "inode %" PRIu64 ": link count %" PRIu32 ", but %" PRIu32 " entries", record->inode,
                      record->link_count, record->names);
    }
    if (record->link_count == 0 && !orphan) {
        check_problem(checker, "inode %" PRIu64 ": no links and no orphan row", record->inode);
    }
    if (record->link_count > 0 && orphan) {
        check_problem(checker, "inode %" PRIu64 ": an orphan row, but link count %" PRIu32, record->inode,
                      record->link_count);
    }
    if ((record->flags & CHECK_ENTRIES) != 0) {
        check_problem(checker, "directory %" PRIu64 ": counts entries, but has none", record->inode);
    }
    if ((record->flags & CHECK_XATTRS) != 0) {
        check_problem(checker, "inode %" PRIu64 ": counts extended attributes, but has none", record->inode);
    }
}

/* From a directory up to the root, or to a directory whose way is known. A way that meets itself is a ring that nobody
 * reaches; missing parents have been reported with the entries. */
static void check_way_up(struct checker *checker, struct check_record *start)
{
    struct check_record *record = start;

    while (record != NULL && record->inode != FS_ROOT_INODE &&
           (record->flags & (CHECK_VISITING | CHECK_VISITED)) == 0) {
        record->flags |= CHECK_VISITING;
        record = check_find(checker, record->parent);
    }
    if (record != NULL && (record->flags & CHECK_VISITING) != 0) {
        check_problem(checker, "directory %" PRIu64 ": its parents lead round in a ring", record->inode);
    }
    for (record = start; record != NULL && (record->flags & CHECK_VISITING) != 0;
         record = check_find(checker, record->parent)) {
        record->flags &= (uint16_t)~CHECK_VISITING;
        record->flags |= CHECK_VISITED;
    }
}

void check_links(struct checker *checker)
{
    for (size_t i = 0; i < checker->record_count; i++) {
        struct check_record *record = &checker->records[i];

        check_record_links(checker, record);
        if (S_ISDIR(record->type) && record->link_count > 0) {
            check_way_up(checker, record);
        }
    }
}
