/* See recover.h: which edits make a page, and the page numbers in use.
 *
 * The edits stay where they are, in the bytes of the ring. A segment names consecutive edits of one page in one record;
 * sorted by page and order they are the index. A page is rebuilt from the last segment that takes it into use, or from
 * the checkpoint's bytes and all of its segments. Memory: 32 bytes a segment, which has at least 10 in the log. */
#include "recover.h"

#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Segments ----------------------------------------------------------------------------------------------------- */

static uint32_t index_edit_size(const struct log_edit *edit)
{
    switch (edit->kind) {
    case LOG_EDIT_PUT:
        return LOG_EDIT_PUT_SIZE + edit->size;
    case LOG_EDIT_MOVE:
        return LOG_EDIT_MOVE_SIZE;
    default:
        return LOG_EDIT_MARK_SIZE;
    }
}

static struct redo_segment *index_add_segment(struct redo *redo)
{
    if (redo->segment_count == redo->segment_capacity) {
        size_t capacity = redo->segment_capacity ? redo->segment_capacity * 2 : 256;
        struct redo_segment *segments = realloc(redo->segments, capacity * sizeof *segments);
        if (!segments) {
            return NULL;
        }
        redo->segments = segments;
        redo->segment_capacity = capacity;
    }
    return &redo->segments[redo->segment_count++];
}

/* --- Edits, in the order of the log ------------------------------------------------------------------------------- */

struct index {
    struct store *store;
    struct redo *redo;
    uint64_t file_blocks;
    uint64_t page_end; /* no page number from there on can have been given out */
    uint64_t lsn;      /* that the last segment belongs to */
    struct base_reason *ret_reason;
};

/* Numbers are given out lowest first, so the highest one grows by one at most with each edit that takes a page into
 * use. */
static uint64_t index_page_end(const struct store *store, const struct recover_log *log)
{
    uint64_t end = store->space.numbers.end + log->used;

    return end <= RADIX_PAGE_NUMBER_MAX ? end : RADIX_PAGE_NUMBER_MAX + 1;
}

/* Whether the page's state allows the edit; brings it up to date. */
static int index_follow_page(struct index *index, const struct log_edit *edit, uint64_t lsn)
{
    struct page_numbers *numbers = &index->store->space.numbers;
    unsigned long long page = edit->page;
    int result = 0;

    if (edit->page >= index->page_end) {
        return recover_damaged(index->ret_reason, lsn, "impossible page number %llu", page);
    }
    if (edit->kind == LOG_EDIT_NEW) {
        result = page_numbers_add(numbers, edit->page);
        if (result == -EEXIST) {
            return recover_damaged(index->ret_reason, lsn, "page %llu is taken into use twice", page);
        }
    } else if (edit->kind == LOG_EDIT_FREE) {
        if (!page_numbers_remove(numbers, edit->page)) {
            return recover_damaged(index->ret_reason, lsn, "page %llu is freed, but not in use", page);
        }
    } else if (!page_numbers_contain(numbers, edit->page)) {
        return recover_damaged(index->ret_reason, lsn, "page %llu is changed, but not in use", page);
    }
    if (result < 0) {
        base_reason_set(index->ret_reason, "out of memory");
    }
    return result;
}

static int index_add_edit(struct index *index, const struct log_edit *edit, const struct log_reader *reader)
{
    struct redo *redo = index->redo;
    bool goes_on = redo->segment_count > 0 && index->lsn == reader->lsn;
    struct redo_segment *segment = goes_on ? &redo->segments[redo->segment_count - 1] : NULL;
    int result = index_follow_page(index, edit, reader->lsn);

    if (result < 0) {
        return result;
    }
    if (!segment || segment->page != edit->page) {
        segment = index_add_segment(redo);
        if (!segment) {
            base_reason_set(index->ret_reason, "out of memory");
            return -ENOMEM;
        }
        *segment = (struct redo_segment){
            .page = edit->page,
            .begin = reader->at - index_edit_size(edit),
            .order = (uint32_t)(redo->segment_count - 1),
        };
        index->lsn = reader->lsn;
    }
    segment->size = (uint32_t)(reader->at - segment->begin);
    if (edit->kind == LOG_EDIT_NEW || edit->kind == LOG_EDIT_FREE) {
        segment->last_mark = edit->kind;
    }
    return 0;
}

static int index_follow_run(struct index *index, const struct log_edit *edit, uint64_t lsn)
{
    struct store_run run = edit->run;

    if (run.block < STORE_HEADER_BLOCKS || run.block >= index->file_blocks ||
        run.count > index->file_blocks - run.block) {
        return recover_damaged(index->ret_reason, lsn, "contents of %u blocks at block %llu are outside of the file",
                               run.count, (unsigned long long)run.block);
    }
    if (run.block + run.count > index->redo->content_end) {
        index->redo->content_end = run.block + run.count;
    }
    return 0;
}

static int index_batch(struct index *index, const struct log_batch *batch)
{
    struct log_reader reader;
    struct log_edit edit;
    int result;

    log_reader_init(&reader, batch, index->store->page_size);
    while ((result = log_reader_next(&reader, &edit)) == 0) {
        bool is_run = edit.kind == LOG_EDIT_ADD || edit.kind == LOG_EDIT_DROP;
        result = is_run ? index_follow_run(index, &edit, reader.lsn) : index_add_edit(index, &edit, &reader);
        if (result < 0) {
            return result;
        }
    }
    if (result == -EUCLEAN) {
        return recover_damaged(index->ret_reason, reader.lsn, "impossible edit");
    }
    if (reader.lsn - batch->first_lsn != (uint64_t)batch->record_count - 1) {
        return recover_damaged(index->ret_reason, reader.lsn, "the last of its batch, which should have %u records",
                               batch->record_count);
    }
    return 0;
}

/* --- The index ---------------------------------------------------------------------------------------------------- */

static int segment_compare(const void *a, const void *b)
{
    const struct redo_segment *first = a;
    const struct redo_segment *second = b;

    if (first->page != second->page) {
        return first->page < second->page ? -1 : 1;
    }
    return first->order < second->order ? -1 : first->order > second->order;
}

/* From the segments of one page, [first, first + count). */
static struct redo_page index_make_page(const struct redo_segment *segments, uint32_t first, uint32_t count)
{
    struct redo_page page = {.page = segments[first].page, .first = first, .count = count};

    for (uint32_t i = first + count; i-- > first;) {
        if (segments[i].last_mark != 0) {
            page.is_freed = segments[i].last_mark == LOG_EDIT_FREE;
            page.is_new = !page.is_freed;
            page.count -= i - first;
            page.first = i;
            break;
        }
    }
    return page;
}

static int index_make_pages(struct redo *redo)
{
    const struct redo_segment *segments = redo->segments;
    uint32_t segment_count = (uint32_t)redo->segment_count;
    size_t count = 0;

    if (segment_count == 0) {
        return 0;
    }
    qsort(redo->segments, segment_count, sizeof *segments, segment_compare);
    for (uint32_t i = 0; i < segment_count; i++) {
        count += i == 0 || segments[i].page != segments[i - 1].page;
    }
    redo->pages = malloc(count * sizeof *redo->pages);
    if (!redo->pages) {
        return -ENOMEM;
    }
    for (uint32_t first = 0, next; first < segment_count; first = next) {
        for (next = first + 1; next < segment_count && segments[next].page == segments[first].page;) {
            next++;
        }
        redo->pages[redo->page_count++] = index_make_page(segments, first, next - first);
    }
    return 0;
}

int redo_create(struct store *store, struct recover_log *log, struct redo **ret_redo, struct base_reason *ret_reason)
{
    struct redo *redo = calloc(1, sizeof *redo);
    struct index index = {.store = store,
                          .redo = redo,
                          .file_blocks = log->file_blocks,
                          .page_end = index_page_end(store, log),
                          .ret_reason = ret_reason};
    int result = 0;

    if (!redo) {
        base_reason_set(ret_reason, "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < log->count && result == 0; i++) {
        result = index_batch(&index, &log->batches[i]);
    }
    if (result == 0) {
        result = index_make_pages(redo);
        if (result < 0) {
            base_reason_set(ret_reason, "out of memory");
        }
    }
    if (result < 0) {
        redo_destroy(redo);
        return result;
    }
    redo->bytes = log->bytes;
    log->bytes = NULL;
    *ret_redo = redo;
    return 0;
}

void redo_destroy(struct redo *redo)
{
    if (redo) {
        free(redo->bytes);
        free(redo->segments);
        free(redo->pages);
        free(redo);
    }
}

/* --- Pages -------------------------------------------------------------------------------------------------------- */

const struct redo_page *redo_find(const struct redo *redo, uint64_t page)
{
    size_t low = 0;
    size_t high = redo->page_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (redo->pages[middle].page < page) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < redo->page_count && redo->pages[low].page == page ? &redo->pages[low] : NULL;
}

static int redo_read_base(struct store *store, const struct redo_page *page, void *buffer,
                          struct base_reason *ret_reason)
{
    struct node_ref ref;

    if (page->is_new) {
        memset(buffer, 0, store->page_size);
        return 0;
    }
    int result = store_map_find(store, page->page, &ref, ret_reason);
    if (result == 0 && ref.block == 0) {
        base_reason_set(ret_reason, "page %llu is not in the page map", (unsigned long long)page->page);
        result = -EUCLEAN;
    }
    return result < 0 ? result : store_page_read_at(store, page->page, ref, buffer, ret_reason);
}

int redo_rebuild(struct store *store, const struct redo *redo, const struct redo_page *page, void *buffer,
                 struct base_reason *ret_reason)
{
    int result = redo_read_base(store, page, buffer, ret_reason);

    for (uint32_t i = 0; i < page->count && result == 0; i++) {
        const struct redo_segment *segment = &redo->segments[page->first + i];
        struct log_reader reader = {
            .at = segment->begin,
            .record_end = segment->begin + segment->size,
            .end = segment->begin + segment->size,
            .page_size = store->page_size,
            .page = segment->page,
        };
        struct log_edit edit;
        while (log_reader_next(&reader, &edit) == 0) {
            log_edit_apply(&edit, buffer, store->page_size);
        }
    }
    return result;
}
