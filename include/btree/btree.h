/* One B+tree: an ordered map from byte strings to byte strings, in bytewise key order (memcmp, shorter first).
 *
 * The root has a fixed page number (STORE_ROOT_PAGE) whatever the height. Leaves are linked forwards. Splits and merges
 * happen on the way down, so no change climbs back up. Any number of readers and one writer at a time.
 *
 * Functions that take a txn are the writer's (txn_lock held). Functions that read take the tree, and a txn or NULL:
 * with a txn they run inside it; with NULL they open a read scope of their own, so a thread that holds the writer lock
 * passes its txn. Results through ret_x are untouched on failure. Every function that touches pages may return -EUCLEAN
 * (damage; message sent) or -EIO; a transaction that has met one of these is to be aborted (the tree is whole either
 * way, but the change may be there in part). Other errors leave the tree and the transaction as they were. */
#ifndef BEEFTREE_BTREE_BTREE_H
#define BEEFTREE_BTREE_BTREE_H

#include "txn/txn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BTREE_KEY_SIZE_MAX 320U /* bytes, at every page size */
#define BTREE_HEIGHT_MAX   24U

struct btree;

struct btree_slice {
    const void *bytes;
    size_t size;
};

/* For pool_options.check_page: every bound inside a node, so that no later access can leave the page. */
int btree_check_page(void *context, uint64_t page, const void *bytes, uint32_t page_size);

/* Formats the root as an empty leaf in a new store (the transaction's first page must get number STORE_ROOT_PAGE). */
int btree_format(struct txn *txn);

/* Reads the root, and keeps it pinned until btree_close. Borrows the engine. One open tree to an engine. */
int btree_open(struct txn_engine *engine, struct btree **ret_tree);
void btree_close(struct btree *tree);

/* Largest key size + value size of one row for a page size: about a quarter page. */
size_t btree_row_size_max(uint32_t page_size);

/* Worst case of pages that one insert, put or delete changes or makes, with margin for the tree growing one level
 * meanwhile: for txn_need. Any thread, without locks. */
uint32_t btree_pages_per_change(const struct btree *tree);

/* The value, copied out. -ENOENT; -ERANGE if it is longer than buffer_size (ret_size is then set to its size). */
int btree_get(struct btree *tree, struct txn *txn, struct btree_slice key, void *buffer, size_t buffer_size,
              size_t *ret_size);

/* The same outside a transaction, but -EAGAIN when a page on the way is not in the pool: for reads that are only worth
 * while when they are cheap. (When the writer or damage is in the way it may read the disk nevertheless.) */
int btree_get_resident(struct btree *tree, struct btree_slice key, void *buffer, size_t buffer_size, size_t *ret_size);

/* -EEXIST when the key is there (nothing is changed); -E2BIG when key or row is too long; -EINVAL for an empty key. */
int btree_insert(struct btree *tree, struct txn *txn, struct btree_slice key, struct btree_slice value);
/* Inserts or replaces. */
int btree_put(struct btree *tree, struct txn *txn, struct btree_slice key, struct btree_slice value);
/* -ENOENT. */
int btree_delete(struct btree *tree, struct txn *txn, struct btree_slice key);
/* Deletes at most row_count_max rows with from <= key < to, lowest first; *ret_done says how many. Fewer than the
 * maximum: none are left. Neighbours in a leaf go in one edit. Worst-case pages: row_count_max *
 * btree_pages_per_change, in practice far fewer. */
int btree_delete_range(struct btree *tree, struct txn *txn, struct btree_slice from, struct btree_slice to,
                       uint32_t row_count_max, uint32_t *ret_done);

/* --- Cursors ------------------------------------------------------------------------------------------------------ */

/* A cursor stands on a row and owns a copy of it; between calls it holds no pin and no latch. It keeps page, change
 * number and slot: while they agree a neighbour costs no descent, otherwise it descends again to the key it stood on.
 * Used by one thread at a time. */
struct btree_cursor;

/* Outside transactions txn is NULL. */
int btree_cursor_open(struct btree *tree, struct btree_cursor **ret_cursor);
void btree_cursor_close(struct btree_cursor *cursor);

/* Each: 0 standing on a row, -ENOENT when there is none (the cursor then stands nowhere). */
int btree_cursor_seek(struct btree_cursor *cursor, struct txn *txn, struct btree_slice key); /* first row >= key */
int btree_cursor_seek_before(struct btree_cursor *cursor, struct txn *txn, struct btree_slice key); /* last row < key */
int btree_cursor_first(struct btree_cursor *cursor, struct txn *txn);
int btree_cursor_last(struct btree_cursor *cursor, struct txn *txn);
int btree_cursor_next(struct btree_cursor *cursor, struct txn *txn);
int btree_cursor_previous(struct btree_cursor *cursor, struct txn *txn);

/* Valid until the cursor moves. */
struct btree_slice btree_cursor_key(const struct btree_cursor *cursor);
struct btree_slice btree_cursor_value(const struct btree_cursor *cursor);

/* --- Looking inside ----------------------------------------------------------------------------------------------- */

struct btree_verify_report {
    void (*problem)(void *context, const char *text);     /* one line each; may be NULL */
    bool (*progress)(void *context, uint64_t pages_done); /* now and then; false: -ECANCELED. May be NULL */
    void *context;
    uint64_t problems;
    uint32_t height;
    uint64_t rows, leaves, inner_nodes, row_bytes, page_bytes_used, underfull_nodes;
};

/* Checks order, fences, separators, prefixes, fill, links, heights, and that every page of the store is used exactly
 * once. Nobody may write meanwhile. 0 also when problems were reported. */
int btree_verify(struct btree *tree, struct btree_verify_report *report);

struct btree_statistics {
    uint32_t height;
    uint64_t splits, merges, borrows, root_grows, root_shrinks, descents, cursor_hops;
};

void btree_get_statistics(struct btree *tree, struct btree_statistics *ret_statistics);

#endif
