/* The check of extended attributes (X): names, values whole and in order, ACLs well-formed, and each inode's summary
 * against its rows. What an unlinked inode has lost already is no problem. */
#include "base/bytes.h"
#include "check.h"
#include "xattr.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum { VALUE_TOTAL_SIZE = 4 };

/* Where the scan is: rows come by inode, name, piece. */
struct xattrs {
    uint64_t inode; /* 0: before the first */
    bool is_known;  /* the inode exists and has a name, so its rows must be whole */
    uint16_t type;  /* mode's type bits */
    uint32_t summary;
    char name[FS_XATTR_NAME_SIZE_MAX + 1];
    uint32_t total, seen; /* bytes of the value */
    uint32_t pieces;
    uint8_t acl[FS_ACL_SIZE_MAX]; /* the value of a name that is an ACL's */
};

static bool is_acl(const struct xattrs *xattrs)
{
    return fs_xattrs_with(0, xattrs->name) & ~FS_XATTRS_LIST_SIZE_MASK;
}

static void end_name(struct checker *checker, struct xattrs *xattrs)
{
    bool is_empty = false;

    if (xattrs->name[0] == '\0' || !xattrs->is_known) {
        return;
    }
    if (xattrs->seen != xattrs->total) {
        check_problem(checker,
                      "inode %" PRIu64 ": extended attribute %s has %" PRIu32 " bytes, but %" PRIu32 " are there",
                      xattrs->inode, xattrs->name, xattrs->total, xattrs->seen);
    } else if (is_acl(xattrs) && (xattrs->total > FS_ACL_SIZE_MAX ||
                                  fs_acl_check(xattrs->acl, xattrs->total, &is_empty) < 0 || is_empty)) {
        check_problem(checker, "inode %" PRIu64 ": %s is no ACL", xattrs->inode, xattrs->name);
    }
    xattrs->name[0] = '\0';
}

static void end_inode(struct checker *checker, struct xattrs *xattrs)
{
    struct fs_inode_row row;

    end_name(checker, xattrs);
    if (xattrs->inode == 0 || !xattrs->is_known) {
        return;
    }
    if (fs_inode_row_read(checker->fs, NULL, xattrs->inode, &row) == 0 && row.xattrs != xattrs->summary) {
        check_problem(checker, "inode %" PRIu64 ": its summary of extended attributes is %08" PRIx32 ", not %08" PRIx32,
                      xattrs->inode, row.xattrs, xattrs->summary);
    }
}

static void begin_inode(struct checker *checker, struct xattrs *xattrs, uint64_t inode)
{
    struct check_record *record;

    end_inode(checker, xattrs);
    record = check_find(checker, inode);
    xattrs->inode = inode;
    xattrs->summary = 0;
    xattrs->name[0] = '\0';
    xattrs->type = record != NULL ? record->type : 0;
    xattrs->is_known = record != NULL && record->type != 0 && record->link_count > 0;
    if (record != NULL) {
        record->flags &= (uint16_t)~CHECK_XATTRS;
    } else if (!checker->incomplete) {
        check_problem(checker, "table X: inode %" PRIu64 " does not exist", inode);
    }
}

static void take_bytes(struct xattrs *xattrs, const uint8_t *bytes, size_t size)
{
    if (size > 0 && xattrs->seen + size <= sizeof xattrs->acl) {
        memcpy(xattrs->acl + xattrs->seen, bytes, size);
    }
    xattrs->seen += (uint32_t)size;
}

static void begin_name(struct checker *checker, struct xattrs *xattrs, const struct fs_xattr_key *key,
                       struct btree_slice value)
{
    uint32_t piece_size = fs_xattr_piece_size(checker->fs);
    uint32_t total = value.size < VALUE_TOTAL_SIZE ? UINT32_MAX : base_get_le32(value.bytes);

    end_name(checker, xattrs);
    if (total > FS_XATTR_VALUE_SIZE_MAX || value.size - VALUE_TOTAL_SIZE != (total < piece_size ? total : piece_size)) {
        check_problem(checker, "inode %" PRIu64 ": an extended attribute's row is malformed", key->inode);
        xattrs->is_known = false;
        return;
    }
    memcpy(xattrs->name, key->name, key->name_size);
    xattrs->name[key->name_size] = '\0';
    if (xattrs->is_known &&
        (xattrs->summary & FS_XATTRS_LIST_SIZE_MASK) + key->name_size + 1 > FS_XATTR_LIST_SIZE_MAX) {
        check_problem(checker, "inode %" PRIu64 ": more names of extended attributes than fit a list", key->inode);
        xattrs->is_known = false;
        return;
    }
    if (!fs_xattr_name_is_kept(xattrs->name)) {
        check_problem(checker, "inode %" PRIu64 ": no extended attribute is named %s", key->inode, xattrs->name);
    }
    if (strcmp(xattrs->name, FS_XATTR_DEFAULT_ACL_NAME) == 0 && !S_ISDIR(xattrs->type)) {
        check_problem(checker, "inode %" PRIu64 ": a default ACL, but no directory", key->inode);
    }
    xattrs->summary = fs_xattrs_with(xattrs->summary, xattrs->name);
    xattrs->total = total;
    xattrs->seen = 0;
    xattrs->pieces = 1;
    take_bytes(xattrs, (const uint8_t *)value.bytes + VALUE_TOTAL_SIZE, value.size - VALUE_TOTAL_SIZE);
}

static void take_piece(struct checker *checker, struct xattrs *xattrs, const struct fs_xattr_key *key,
                       struct btree_slice value)
{
    uint32_t piece_size = fs_xattr_piece_size(checker->fs);
    bool follows = strlen(xattrs->name) == key->name_size && memcmp(xattrs->name, key->name, key->name_size) == 0 &&
                   key->piece == xattrs->pieces && xattrs->seen == key->piece * piece_size &&
                   xattrs->seen < xattrs->total && value.size <= piece_size;

    if (!xattrs->is_known) {
        return;
    }
    if (!follows) {
        check_problem(checker, "inode %" PRIu64 ": a piece of an extended attribute that does not follow another",
                      key->inode);
        return;
    }
    xattrs->pieces++;
    take_bytes(xattrs, value.bytes, value.size);
}

static int check_xattr(struct checker *checker, struct btree_slice key, struct btree_slice value, void *context)
{
    struct xattrs *xattrs = context;
    struct fs_xattr_key decoded;

    if (!fs_xattr_key_decode(key, &decoded)) {
        check_problem(checker, "table X: a malformed key of %zu bytes", key.size);
        return 0;
    }
    if (decoded.inode != xattrs->inode || xattrs->inode == 0) {
        begin_inode(checker, xattrs, decoded.inode);
    }
    if (decoded.piece == 0) {
        begin_name(checker, xattrs, &decoded, value);
    } else {
        take_piece(checker, xattrs, &decoded, value);
    }
    return 0;
}

int check_xattrs(struct checker *checker)
{
    struct xattrs xattrs = {.inode = 0};
    int ret = check_table(checker, 'X', check_xattr, &xattrs);

    if (ret == 0 && !checker->incomplete) {
        end_inode(checker, &xattrs);
    }
    return ret;
}
