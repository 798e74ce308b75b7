/* The set of page numbers in use, in memory: two levels of directories over chunks of bits, so that memory follows the
 * pages that exist, whatever numbers a file names. Hands out the lowest free number. The caller serializes. */
#ifndef BEEFTREE_STORE_PAGE_NUMBERS_H
#define BEEFTREE_STORE_PAGE_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct page_directory;

struct page_numbers {
    struct page_directory **directories;
    size_t directory_count;
    uint64_t count;       /* numbers in use */
    uint64_t end;         /* one more than the highest number ever in use */
    uint64_t lowest_free; /* no number below it is free */
};

void page_numbers_init(struct page_numbers *numbers);
void page_numbers_deinit(struct page_numbers *numbers);

/* 0, -EEXIST when it is in use already, -ENOMEM, -ERANGE beyond RADIX_PAGE_NUMBER_MAX or for 0. */
int page_numbers_add(struct page_numbers *numbers, uint64_t page);

/* False when it was not in use. */
bool page_numbers_remove(struct page_numbers *numbers, uint64_t page);

bool page_numbers_contain(const struct page_numbers *numbers, uint64_t page);

/* Takes the lowest free number. -ENOMEM, -ERANGE. */
int page_numbers_take_lowest(struct page_numbers *numbers, uint64_t *ret_page);

/* Makes sure that the next `count` calls of page_numbers_take_lowest need no memory. -ENOMEM. */
int page_numbers_prepare(struct page_numbers *numbers, uint64_t count);

/* The lowest number in use above `page`; 0 when there is none. */
uint64_t page_numbers_next(const struct page_numbers *numbers, uint64_t page);

#endif
