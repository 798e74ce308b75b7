/* Contents of the model's files: pages of 4 KiB, shared between clones and copied when written. */
#include "support/model_internal.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PAGE_SIZE = 4096 };

struct model_page {
    unsigned references;
    uint8_t bytes[PAGE_SIZE];
};

static void let_go(struct model_page *page)
{
    if (page && --page->references == 0)
        free(page);
}

/* The page, for writing. */
static uint8_t *own_page(struct model_node *node, size_t index)
{
    struct model_page *page = node->pages[index];
    if (!page || page->references > 1) {
        struct model_page *copy = model_allocate(NULL, sizeof *copy);
        copy->references = 1;
        if (page)
            memcpy(copy->bytes, page->bytes, PAGE_SIZE);
        else
            memset(copy->bytes, 0, PAGE_SIZE);
        let_go(page);
        node->pages[index] = copy;
    }
    return node->pages[index]->bytes;
}

void model_contents_truncate(struct model_node *node, uint64_t size)
{
    if (!S_ISREG(node->attributes.mode))
        return;
    size_t count = (size_t)((size + PAGE_SIZE - 1) / PAGE_SIZE);
    for (size_t i = count; i < node->page_count; i++)
        let_go(node->pages[i]);
    if (count > node->page_count) {
        node->pages = model_allocate(node->pages, count * sizeof *node->pages);
        memset(node->pages + node->page_count, 0, (count - node->page_count) * sizeof *node->pages);
    }
    node->page_count = count;
    size_t tail = size % PAGE_SIZE;
    if (size < node->attributes.size && tail > 0 && node->pages[count - 1])
        memset(own_page(node, count - 1) + tail, 0, PAGE_SIZE - tail);
    node->attributes.size = size;
}

void model_contents_share(struct model_node *clone, const struct model_node *from)
{
    if (from->page_count == 0) {
        clone->pages = NULL;
        return;
    }
    clone->pages = model_allocate(NULL, from->page_count * sizeof *clone->pages);
    for (size_t i = 0; i < from->page_count; i++) {
        clone->pages[i] = from->pages[i];
        if (clone->pages[i])
            clone->pages[i]->references++;
    }
}

int64_t model_fs_write(struct model_fs *model, const struct fs_caller *caller, uint64_t inode, uint64_t offset,
                       const void *bytes, size_t size)
{
    struct model_node *node = model_fs_find(model, inode);
    if (!node)
        return -ENOENT;
    if (!S_ISREG(node->attributes.mode))
        return S_ISDIR(node->attributes.mode) ? -EISDIR : -EINVAL;
    if (offset + size > node->attributes.size)
        model_contents_truncate(node, offset + size);
    for (size_t done = 0, part; done < size; done += part) {
        uint64_t at = offset + done;
        part = PAGE_SIZE - at % PAGE_SIZE;
        if (part > size - done)
            part = size - done;
        memcpy(own_page(node, at / PAGE_SIZE) + at % PAGE_SIZE, (const uint8_t *)bytes + done, part);
    }
    model_clear_set_id(node, caller);
    node->touched |= MODEL_TIME_MODIFICATION | MODEL_TIME_CHANGE;
    return (int64_t)size;
}

static void make_zero(struct model_node *node, uint64_t from, uint64_t to)
{
    for (uint64_t at = from, part; at < to; at += part) {
        part = PAGE_SIZE - at % PAGE_SIZE;
        if (part > to - at)
            part = to - at;
        if (node->pages[at / PAGE_SIZE])
            memset(own_page(node, at / PAGE_SIZE) + at % PAGE_SIZE, 0, part);
    }
}

int model_fs_allocate(struct model_fs *model, const struct fs_caller *caller, uint64_t inode, unsigned mode,
                      uint64_t offset, uint64_t size)
{
    struct model_node *node = model_fs_find(model, inode);
    uint64_t end = offset + size;
    if (!node)
        return -ENOENT;
    if (!S_ISREG(node->attributes.mode))
        return S_ISDIR(node->attributes.mode) ? -EISDIR : -ENODEV;
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        make_zero(node, offset, end < node->attributes.size ? end : node->attributes.size);
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > node->attributes.size)
        model_contents_truncate(node, end);
    model_clear_set_id(node, caller);
    node->touched |= MODEL_TIME_MODIFICATION | MODEL_TIME_CHANGE;
    return 0;
}

int64_t model_fs_read(struct model_fs *model, uint64_t inode, uint64_t offset, void *buffer, size_t size)
{
    struct model_node *node = model_fs_find(model, inode);
    if (!node)
        return -ENOENT;
    if (!S_ISREG(node->attributes.mode))
        return S_ISDIR(node->attributes.mode) ? -EISDIR : -EINVAL;
    if (offset >= node->attributes.size)
        return 0;
    if (size > node->attributes.size - offset)
        size = node->attributes.size - offset;
    for (size_t done = 0, part; done < size; done += part) {
        uint64_t at = offset + done;
        struct model_page *page = node->pages[at / PAGE_SIZE];
        part = PAGE_SIZE - at % PAGE_SIZE;
        if (part > size - done)
            part = size - done;
        if (page)
            memcpy((uint8_t *)buffer + done, page->bytes + at % PAGE_SIZE, part);
        else
            memset((uint8_t *)buffer + done, 0, part);
    }
    return (int64_t)size;
}
