/* Checking a whole tree, in key order, without trusting any of it: every page is visited at most once (so damaged links
 * can't lead in circles), the way back to the root is a stack as high as a tree may be, and no page stays pinned on it.
 * What node_check says of one node is asked of every node again, since nodes in memory were made by this program. */
#include "internal.h"

#include "page_set.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { PROGRESS_PAGES = 64 };

/* What a parent says of a child; slices into the buffers. */
struct expectation {
    uint64_t page;
    int level; /* -1: any (the root) */
    struct btree_slice lower, upper;
    bool has_upper;
    uint8_t buffers[2][BTREE_KEY_SIZE_MAX];
};

struct verify {
    struct btree *tree;
    struct btree_verify_report *report;
    struct page_set *pages;
    struct {
        uint64_t page;
        uint32_t child;
    } stack[BTREE_HEIGHT_MAX];
    uint32_t depth;
    uint64_t leaf, next_leaf; /* the last leaf seen and its link */
    bool chain_is_known;      /* false behind a leaf that couldn't be read */
};

static void report_problem(struct verify *verify, uint64_t page, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void report_problem(struct verify *verify, uint64_t page, const char *format, ...)
{
    char text[200];
    int length = snprintf(text, sizeof text, "page %llu ", (unsigned long long)page);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, sizeof text - (size_t)length, format, arguments);
    va_end(arguments);
    verify->report->problems++;
    if (verify->report->problem) {
        verify->report->problem(verify->report->context, text);
    }
}

static void count_node(struct verify *verify, const uint8_t *node)
{
    struct btree_verify_report *report = verify->report;
    uint32_t page_size = verify->tree->page_size, used = node_used(node, page_size);
    report->page_bytes_used += page_size - node_free(node);
    report->underfull_nodes += verify->depth > 0 && node_is_thin(used, page_size);
    if (node_level(node) > 0) {
        report->inner_nodes++;
        return;
    }
    report->leaves++;
    report->rows += node_count(node);
    for (uint32_t i = 0; i < node_count(node); i++) {
        report->row_bytes += node_key_size(node, i) + node_value(node, i).size;
    }
}

static void check_chain(struct verify *verify, uint64_t page, const uint8_t *node)
{
    if (verify->chain_is_known && verify->next_leaf != page) {
        report_problem(verify, verify->leaf, "has the next leaf %llu, but page %llu follows",
                       (unsigned long long)verify->next_leaf, (unsigned long long)page);
    }
    verify->leaf = page;
    verify->next_leaf = node_link(node);
    verify->chain_is_known = true;
}

/* Whether the node may be descended into. */
static bool check_against_parent(struct verify *verify, const uint8_t *node, const struct expectation *expected)
{
    if (expected->level >= 0 && (int)node_level(node) != expected->level) {
        report_problem(verify, expected->page, "has level %u where its parent needs %d", node_level(node),
                       expected->level);
        return false;
    }
    if (!key_equal(node_lower(node), expected->lower) || node_has_upper(node) != expected->has_upper ||
        !key_equal(node_upper(node), expected->upper)) {
        report_problem(verify, expected->page, "has not the fence keys that its parent says");
    }
    return true;
}

/* -ECANCELED when the caller wants no more. */
static int tell_progress(struct verify *verify)
{
    struct btree_verify_report *report = verify->report;
    uint64_t pages = report->leaves + report->inner_nodes;
    bool goes_on = !report->progress || pages % PROGRESS_PAGES != 0 || report->progress(report->context, pages);
    return goes_on ? 0 : -ECANCELED;
}

/* An inner node goes on the stack. */
static int visit(struct verify *verify, const struct expectation *expected)
{
    uint64_t page = expected->page;
    enum page_set_answer answer = page_set_mark(verify->pages, page);
    if (answer != PAGE_SET_FIRST_TIME) {
        report_problem(verify, page,
                       answer == PAGE_SET_ABSENT ? "is named by a node, but not in use" : "is used more than once");
        verify->chain_is_known = false;
        return 0;
    }
    struct pool_frame *frame;
    int error = pool_pin(verify->tree->pool, page, POOL_SHARED, &frame);
    if (error == -EUCLEAN || error == -EIO) {
        report_problem(verify, page, "can't be read: %s", error == -EIO ? "error of the disk" : "damaged");
        verify->chain_is_known = false;
        return 0;
    }
    if (error) {
        return error;
    }
    const uint8_t *node = pool_frame_bytes(frame);
    const char *reason = node_check(page, node, verify->tree->page_size);
    if (reason) {
        report_problem(verify, page, "%s", reason);
        verify->chain_is_known = false;
    } else if (check_against_parent(verify, node, expected)) {
        count_node(verify, node);
        if (node_level(node) == 0) {
            check_chain(verify, page, node);
        } else {
            /* Levels fall on the way down, so the stack is high enough. */
            verify->stack[verify->depth].page = page;
            verify->stack[verify->depth++].child = 0;
        }
        if (page == STORE_ROOT_PAGE) {
            verify->report->height = node_level(node) + 1;
        }
    }
    pool_unpin(verify->tree->pool, frame, POOL_SHARED);
    return 0;
}

/* What the node on top of the stack says of its next child; *ret_more: false when it has no further one. */
static int expect_next(struct verify *verify, struct expectation *expected, bool *ret_more)
{
    struct pool_frame *frame;
    uint64_t page = verify->stack[verify->depth - 1].page;
    uint32_t index = verify->stack[verify->depth - 1].child++;
    int error = pool_pin(verify->tree->pool, page, POOL_SHARED, &frame);
    if (error) {
        return error;
    }
    const uint8_t *node = pool_frame_bytes(frame);
    uint32_t count = node_count(node);
    *ret_more = index <= count;
    if (*ret_more) {
        struct btree_slice lower = node_lower(node), upper = node_upper(node);
        expected->page = node_child(node, index);
        expected->level = (int)node_level(node) - 1;
        expected->has_upper = index < count || node_has_upper(node);
        if (index > 0) {
            expected->lower = node_copy_key(node, index - 1, expected->buffers[0]);
        } else {
            memcpy(expected->buffers[0], lower.bytes, lower.size);
            expected->lower = (struct btree_slice){expected->buffers[0], lower.size};
        }
        if (index < count) {
            expected->upper = node_copy_key(node, index, expected->buffers[1]);
        } else {
            memcpy(expected->buffers[1], upper.bytes, upper.size);
            expected->upper = (struct btree_slice){expected->buffers[1], upper.size};
        }
    }
    pool_unpin(verify->tree->pool, frame, POOL_SHARED);
    return 0;
}

static int walk(struct verify *verify)
{
    struct expectation expected = {.page = STORE_ROOT_PAGE, .level = -1};
    expected.lower.bytes = expected.upper.bytes = expected.buffers[0];
    int error = visit(verify, &expected);
    while (!error && verify->depth > 0) {
        bool more;
        error = expect_next(verify, &expected, &more);
        if (error == -EUCLEAN || error == -EIO) {
            report_problem(verify, verify->stack[--verify->depth].page, "could be read once, but not again");
            error = 0;
        } else if (!error && more) {
            error = visit(verify, &expected);
            error = error ? error : tell_progress(verify);
        } else {
            verify->depth--;
        }
    }
    return error;
}

int btree_verify(struct btree *tree, struct btree_verify_report *report)
{
    struct verify verify = {.tree = tree, .report = report};
    report->problems = report->rows = report->leaves = report->inner_nodes = 0;
    report->row_bytes = report->page_bytes_used = report->underfull_nodes = 0;
    report->height = 0;
    int error = page_set_create(txn_engine_store(tree->engine), &verify.pages);
    if (error) {
        return error;
    }
    txn_read_begin(tree->engine);
    error = walk(&verify);
    txn_read_end(tree->engine);
    if (!error) {
        if (verify.chain_is_known && verify.next_leaf != 0) {
            report_problem(&verify, verify.leaf, "is the last leaf and has a next one");
        }
        uint64_t page = 0;
        while (page_set_next_unmarked(verify.pages, &page)) {
            report_problem(&verify, page, "is in use, but not part of the tree");
        }
    }
    page_set_destroy(verify.pages);
    return error;
}
