/* The store's page numbers as a set with a mark on each: verify's memory of what it has seen. A bit or two a page where
 * numbers are dense, and never more than pages exist, however far apart a damaged file spreads their numbers. */
#ifndef BEEFTREE_BTREE_PAGE_SET_H
#define BEEFTREE_BTREE_PAGE_SET_H

#include "store/store.h"

struct page_set;

/* Collects the numbers of all pages in use. */
int page_set_create(struct store *store, struct page_set **ret_set);
void page_set_destroy(struct page_set *set);

enum page_set_answer { PAGE_SET_ABSENT, PAGE_SET_FIRST_TIME, PAGE_SET_AGAIN };

enum page_set_answer page_set_mark(struct page_set *set, uint64_t page);

/* The next page without a mark above *page (0 to start); false at the end. */
bool page_set_next_unmarked(const struct page_set *set, uint64_t *page);

#endif
