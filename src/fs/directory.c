/* Listing directories: entries stream from the leaf chain in bytewise name order, in memory that does not grow with the
 * directory.
 *
 * A handle resumes by name. The cookie that a caller comes back with names the entry after which to go on: the handle
 * remembers the names of the last cookies that it handed out (directory_cookie.c) and seeks to the first key above that
 * name. So whatever was created, removed or renamed meanwhile, the entry itself included, each entry that stays comes
 * exactly once. A cookie that is no longer remembered is looked for in the directory, comparing hashes from the start;
 * one that is nowhere (its entry is gone, or nobody handed it out) begins the listing anew: entries may then come
 * twice, but none is missing.
 *
 * Locks: the handle's mutex, then the directory's inode lock, shared, during one call. The children's rows are read
 * without their locks, which could not be taken in order here; one row read is atomic, and the lock on the directory
 * keeps each entry, and so its inode, in being until the lookup count is up. */
#include "directory.h"

#include "names.h"

#include "base/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct fs_directory {
    struct fs *fs;
    struct fs_inode *inode; /* referenced: a removed directory stays until the handle is closed */
    struct base_mutex mutex;
    struct btree_cursor *cursor;
    struct fs_cookie_table cookies;
};

/* Once so many pages were read from the disk for attributes, a call reads no more. Inodes lie in the order of their
 * creation: with names in another order each entry of a large directory may need another page, and a caller that wants
 * a few names would wait for hundreds. Entries beyond that come without attributes; who wants them asks for each, as
 * without readdirplus. */
#define FAR_PAGES_MAX 16U

/* One call of fs_directory_read. */
struct listing {
    struct fs_directory *directory;
    fs_directory_emit emit;
    void *context;
    bool with_attributes;
    bool ended;         /* an entry was not taken */
    bool access_is_due; /* the access time has to change */
    uint64_t count;     /* entries taken */
    uint64_t far_pages; /* read for rows of inodes (others' reads meanwhile count too: it is only a limit) */
    char name[FS_NAME_SIZE_MAX + 1]; /* the row that the cursor stands on */
    size_t name_size;
    struct fs_entry_row entry;
};

int fs_directory_open(struct fs *fs, uint64_t number, struct fs_directory **ret_directory)
{
    struct fs_inode_row row;
    struct fs_directory *directory = calloc(1, sizeof *directory);
    if (!directory) {
        return -ENOMEM;
    }
    directory->fs = fs;
    int error = fs_inode_acquire(fs, number, &directory->inode);
    if (error) {
        free(directory);
        return error;
    }
    base_mutex_init(&directory->mutex, BASE_RANK_FS_DIRECTORY_HANDLE);
    base_latch_lock_shared(&directory->inode->latch);
    error = fs_inode_row_read(fs, NULL, number, &row);
    base_latch_unlock_shared(&directory->inode->latch);
    if (!error && !S_ISDIR(row.attributes.mode)) {
        error = -ENOTDIR;
    }
    if (error) {
        fs_directory_close(directory);
    } else {
        *ret_directory = directory;
    }
    return error;
}

void fs_directory_close(struct fs_directory *directory)
{
    if (directory->cursor) {
        btree_cursor_close(directory->cursor);
    }
    fs_cookie_table_deinit(&directory->cookies);
    base_mutex_deinit(&directory->mutex);
    fs_inode_release(directory->fs, directory->inode);
    free(directory);
}

static int report_damage(const struct listing *listing, const char *fault)
{
    base_message(BASE_MESSAGE_ERROR, "directory %" PRIu64 ": %s", listing->directory->inode->number, fault);
    return -EUCLEAN;
}

/* Takes over the row that the cursor stands on. -ENOENT: it is no entry of this directory. */
static int take_row(struct listing *listing)
{
    struct fs_directory *directory = listing->directory;
    struct btree_slice key = btree_cursor_key(directory->cursor);
    const uint8_t *bytes = key.bytes;
    if (key.size < FS_ENTRY_PREFIX_SIZE || bytes[0] != 'D' || base_get_be64(bytes + 1) != directory->inode->number) {
        return -ENOENT;
    }
    size_t name_size = key.size - FS_ENTRY_PREFIX_SIZE;
    const uint8_t *name = bytes + FS_ENTRY_PREFIX_SIZE;
    if (name_size == 0 || name_size > FS_NAME_SIZE_MAX || memchr(name, '\0', name_size) ||
        memchr(name, '/', name_size)) {
        return report_damage(listing, "an entry has an impossible name");
    }
    memcpy(listing->name, name, name_size);
    listing->name[name_size] = '\0';
    listing->name_size = name_size;
    return fs_entry_decode(directory->inode->number, btree_cursor_value(directory->cursor), &listing->entry);
}

/* To the first entry whose name is greater than this (name_size 0: the first of all). */
static int seek_after(struct listing *listing, const char *name, size_t name_size)
{
    uint8_t key[FS_KEY_SIZE_MAX + 1];
    struct fs_directory *directory = listing->directory;
    size_t key_size = fs_key_entry(key, directory->inode->number, name, name_size);
    if (name_size > 0) {
        key[key_size++] = 0; /* the least key above: no name contains NUL */
    }
    int error = btree_cursor_seek(directory->cursor, NULL, (struct btree_slice){key, key_size});
    return error ? error : take_row(listing);
}

static int next(struct listing *listing)
{
    int error = btree_cursor_next(listing->directory->cursor, NULL);
    return error ? error : take_row(listing);
}

/* The entry with this hash, and on to the one after it; to the first of all when there is none. */
static int scan_for(struct listing *listing, uint64_t cookie)
{
    uint64_t seed = listing->directory->fs->cookie_seed;
    int error = seek_after(listing, "", 0);
    while (!error && fs_cookie_hash(seed, listing->name, listing->name_size) != cookie) {
        error = next(listing);
    }
    if (error == -ENOENT) {
        return seek_after(listing, "", 0);
    }
    return error ? error : next(listing);
}

static int seek_cookie(struct listing *listing, uint64_t cookie)
{
    size_t name_size;
    if (cookie <= FS_COOKIE_DOT_DOT) {
        return seek_after(listing, "", 0);
    }
    const char *name = fs_cookie_find(&listing->directory->cookies, cookie, &name_size);
    return name ? seek_after(listing, name, name_size) : scan_for(listing, cookie);
}

static bool emit(struct listing *listing, const struct fs_directory_entry *entry)
{
    if (!listing->emit(listing->context, entry)) {
        listing->ended = true;
        return false;
    }
    listing->count++;
    return true;
}

static void emit_dots(struct listing *listing, uint64_t cookie, uint64_t parent)
{
    struct fs_directory_entry dot = {.name = ".",
                                     .name_size = 1,
                                     .cookie = FS_COOKIE_DOT,
                                     .inode = listing->directory->inode->number,
                                     .type = S_IFDIR};
    struct fs_directory_entry dot_dot = {
        .name = "..", .name_size = 2, .cookie = FS_COOKIE_DOT_DOT, .inode = parent, .type = S_IFDIR};
    if (cookie < FS_COOKIE_DOT && !emit(listing, &dot)) {
        return;
    }
    if (cookie < FS_COOKIE_DOT_DOT) {
        emit(listing, &dot_dot);
    }
}

static void emit_row(struct listing *listing, const struct fs_attributes *attributes)
{
    struct fs_directory *directory = listing->directory;
    uint64_t hash = fs_cookie_hash(directory->fs->cookie_seed, listing->name, listing->name_size);
    struct fs_directory_entry entry = {
        .name = listing->name,
        .name_size = listing->name_size,
        .cookie = fs_cookie_choose(&directory->cookies, hash, listing->name, listing->name_size),
        .inode = listing->entry.inode,
        .type = listing->entry.type,
        .attributes = attributes,
    };
    if (emit(listing, &entry)) {
        fs_cookie_keep(&directory->cookies, entry.cookie, entry.name, entry.name_size);
    }
}

/* -EAGAIN: it is not in memory, and this reply has asked the disk often enough. */
static int read_child_row(struct listing *listing, struct fs_inode_row *ret_row)
{
    struct fs *fs = listing->directory->fs;
    uint64_t inode = listing->entry.inode;
    int error = fs_child_row_read_resident(fs, inode, listing->entry.type, ret_row);
    if (error != -EAGAIN || listing->far_pages >= FAR_PAGES_MAX) {
        return error;
    }
    uint64_t reads_before = pool_read_count(fs->pool);
    error = fs_child_row_read(fs, NULL, inode, listing->entry.type, ret_row);
    listing->far_pages += pool_read_count(fs->pool) - reads_before;
    return error;
}

/* An entry with its inode's attributes; taken, it adds to the inode's lookup count. An inode whose row can't be read
 * does not hide its name: the entry then comes without attributes, and without a lookup. */
static int emit_row_with_attributes(struct listing *listing)
{
    struct fs *fs = listing->directory->fs;
    struct fs_inode_row row;
    struct fs_inode *child;
    uint64_t count_before = listing->count;
    int error = read_child_row(listing, &row);
    if (error) {
        emit_row(listing, NULL);
        return 0;
    }
    error = fs_inode_acquire(fs, listing->entry.inode, &child);
    if (error) {
        return error;
    }
    emit_row(listing, &row.attributes);
    if (listing->count > count_before) {
        fs_inode_reference_to_lookup(fs, child);
    } else {
        fs_inode_release(fs, child); /* it has a name: never an orphan */
    }
    return 0;
}

static int emit_rows(struct listing *listing, uint64_t cookie)
{
    int error = seek_cookie(listing, cookie);
    while (!error && !listing->ended) {
        if (listing->with_attributes) {
            error = emit_row_with_attributes(listing);
        } else {
            emit_row(listing, NULL);
        }
        if (!error && !listing->ended) {
            error = next(listing);
        }
    }
    return error == -ENOENT ? 0 : error;
}

/* Handle's mutex and directory's inode lock held. */
static int read_locked(struct listing *listing, uint64_t cookie)
{
    struct fs_directory *directory = listing->directory;
    struct fs_inode_row row;
    int error = fs_inode_row_read(directory->fs, NULL, directory->inode->number, &row);
    if (error) {
        return error;
    }
    if (row.attributes.link_count == 0) {
        return 0;
    }
    listing->access_is_due = fs_access_time_is_due(directory->fs, &row.attributes);
    emit_dots(listing, cookie, row.parent);
    if (listing->ended) {
        return 0;
    }
    if (!directory->cursor) {
        error = btree_cursor_open(directory->fs->tree, &directory->cursor);
    }
    return error ? error : emit_rows(listing, cookie);
}

int fs_directory_read(struct fs_directory *directory, uint64_t cookie, bool with_attributes, fs_directory_emit emit_one,
                      void *context)
{
    struct listing listing = {
        .directory = directory, .emit = emit_one, .context = context, .with_attributes = with_attributes};
    base_mutex_lock(&directory->mutex);
    base_latch_lock_shared(&directory->inode->latch);
    int error = read_locked(&listing, cookie);
    base_latch_unlock_shared(&directory->inode->latch);
    if (listing.access_is_due) {
        fs_access_time_update(directory->fs, directory->inode);
    }
    base_mutex_unlock(&directory->mutex);
    /* What was taken before an error is a good answer; the error comes again with the next call. */
    return listing.count > 0 ? 0 : error;
}
