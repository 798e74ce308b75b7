/* See page_numbers.h. A chunk is 32768 bits (4 KiB); a directory names 1024 chunks, that is 2^25 numbers. A missing
 * chunk holds only free numbers. Chunks are freed with the set only: numbers come back. */
#include "page_numbers.h"

#include "radix.h"

#include <errno.h>
#include <stdlib.h>

#define WORD_BITS      64U
#define CHUNK_BITS     32768U
#define CHUNK_WORDS    (CHUNK_BITS / WORD_BITS)
#define DIRECTORY_SIZE 1024U
#define DIRECTORY_BITS ((uint64_t)CHUNK_BITS * DIRECTORY_SIZE)

struct page_chunk {
    uint32_t used_count;
    uint64_t words[CHUNK_WORDS];
};

struct page_directory {
    uint64_t used_count;
    struct page_chunk *chunks[DIRECTORY_SIZE];
};

void page_numbers_init(struct page_numbers *numbers)
{
    *numbers = (struct page_numbers){.lowest_free = 1, .end = 1};
}

void page_numbers_deinit(struct page_numbers *numbers)
{
    for (size_t i = 0; i < numbers->directory_count; i++) {
        struct page_directory *directory = numbers->directories[i];
        for (size_t j = 0; directory && j < DIRECTORY_SIZE; j++) {
            free(directory->chunks[j]);
        }
        free(directory);
    }
    free(numbers->directories);
}

static struct page_chunk *page_chunk_get(const struct page_numbers *numbers, uint64_t page)
{
    uint64_t index = page / DIRECTORY_BITS;

    if (index >= numbers->directory_count || !numbers->directories[index]) {
        return NULL;
    }
    return numbers->directories[index]->chunks[page % DIRECTORY_BITS / CHUNK_BITS];
}

static int page_directory_make(struct page_numbers *numbers, uint64_t index)
{
    if (index >= numbers->directory_count) {
        size_t new_count = numbers->directory_count * 2 > index ? numbers->directory_count * 2 : index + 1;
        struct page_directory **directories = realloc(numbers->directories, new_count * sizeof *directories);
        if (!directories) {
            return -ENOMEM;
        }
        for (size_t i = numbers->directory_count; i < new_count; i++) {
            directories[i] = NULL;
        }
        numbers->directories = directories;
        numbers->directory_count = new_count;
    }
    if (!numbers->directories[index]) {
        numbers->directories[index] = calloc(1, sizeof *numbers->directories[index]);
    }
    return numbers->directories[index] ? 0 : -ENOMEM;
}

static int page_chunk_make(struct page_numbers *numbers, uint64_t page, struct page_chunk **ret_chunk)
{
    uint64_t index = page / DIRECTORY_BITS;
    int result = page_directory_make(numbers, index);

    if (result < 0) {
        return result;
    }
    struct page_chunk **chunk = &numbers->directories[index]->chunks[page % DIRECTORY_BITS / CHUNK_BITS];
    if (!*chunk) {
        *chunk = calloc(1, sizeof **chunk);
    }
    if (!*chunk) {
        return -ENOMEM;
    }
    *ret_chunk = *chunk;
    return 0;
}

static uint64_t page_bit(uint64_t page)
{
    return UINT64_C(1) << (page % WORD_BITS);
}

static uint64_t *page_word(struct page_chunk *chunk, uint64_t page)
{
    return &chunk->words[page % CHUNK_BITS / WORD_BITS];
}

int page_numbers_add(struct page_numbers *numbers, uint64_t page)
{
    struct page_chunk *chunk;

    if (page == 0 || page > RADIX_PAGE_NUMBER_MAX) {
        return -ERANGE;
    }
    int result = page_chunk_make(numbers, page, &chunk);
    if (result < 0) {
        return result;
    }
    if (*page_word(chunk, page) & page_bit(page)) {
        return -EEXIST;
    }
    *page_word(chunk, page) |= page_bit(page);
    chunk->used_count++;
    numbers->directories[page / DIRECTORY_BITS]->used_count++;
    numbers->count++;
    if (page >= numbers->end) {
        numbers->end = page + 1;
    }
    return 0;
}

bool page_numbers_remove(struct page_numbers *numbers, uint64_t page)
{
    if (!page_numbers_contain(numbers, page)) {
        return false;
    }
    struct page_chunk *chunk = page_chunk_get(numbers, page);
    *page_word(chunk, page) &= ~page_bit(page);
    chunk->used_count--;
    numbers->directories[page / DIRECTORY_BITS]->used_count--;
    numbers->count--;
    if (page < numbers->lowest_free) {
        numbers->lowest_free = page;
    }
    return true;
}

bool page_numbers_contain(const struct page_numbers *numbers, uint64_t page)
{
    struct page_chunk *chunk = page_chunk_get(numbers, page);

    return chunk && (*page_word(chunk, page) & page_bit(page)) != 0;
}

/* The lowest free number at or above `page`; 0 itself is never free. */
static uint64_t page_find_free(const struct page_numbers *numbers, uint64_t page)
{
    if (page == 0) {
        page = 1;
    }
    for (;;) {
        uint64_t index = page / DIRECTORY_BITS;
        if (index < numbers->directory_count && numbers->directories[index] &&
            numbers->directories[index]->used_count == DIRECTORY_BITS) {
            page = (index + 1) * DIRECTORY_BITS;
            continue;
        }
        struct page_chunk *chunk = page_chunk_get(numbers, page);
        if (!chunk) {
            return page;
        }
        if (chunk->used_count == CHUNK_BITS) {
            page = (page / CHUNK_BITS + 1) * CHUNK_BITS;
            continue;
        }
        uint64_t free_bits = ~*page_word(chunk, page) & ~(page_bit(page) - 1);
        if (free_bits != 0) {
            return page / WORD_BITS * WORD_BITS + (unsigned)__builtin_ctzll(free_bits);
        }
        page = (page / WORD_BITS + 1) * WORD_BITS;
    }
}

int page_numbers_take_lowest(struct page_numbers *numbers, uint64_t *ret_page)
{
    uint64_t page = page_find_free(numbers, numbers->lowest_free);

    int result = page_numbers_add(numbers, page);
    if (result < 0) {
        return result;
    }
    numbers->lowest_free = page + 1;
    *ret_page = page;
    return 0;
}

int page_numbers_prepare(struct page_numbers *numbers, uint64_t count)
{
    /* The lowest free numbers lie below the end, or right behind it: `count` free numbers are found before this. */
    uint64_t end = (numbers->count + count + 2 > numbers->end ? numbers->count + count + 2 : numbers->end);
    uint64_t page = numbers->lowest_free / CHUNK_BITS * CHUNK_BITS;

    for (uint64_t found = 0; page < end && found < count; page += CHUNK_BITS) {
        struct page_chunk *chunk;
        int result = page_chunk_make(numbers, page, &chunk);
        if (result < 0) {
            return result;
        }
        found += CHUNK_BITS - chunk->used_count;
        if (page == 0) {
            found--; /* number 0 is never handed out */
        }
    }
    return 0;
}

uint64_t page_numbers_next(const struct page_numbers *numbers, uint64_t page)
{
    page++;
    while (page < numbers->end) {
        struct page_chunk *chunk = page_chunk_get(numbers, page);
        if (!chunk || chunk->used_count == 0) {
            page = (page / CHUNK_BITS + 1) * CHUNK_BITS;
            continue;
        }
        uint64_t used_bits = *page_word(chunk, page) & ~(page_bit(page) - 1);
        if (used_bits != 0) {
            return page / WORD_BITS * WORD_BITS + (unsigned)__builtin_ctzll(used_bits);
        }
        page = (page / WORD_BITS + 1) * WORD_BITS;
    }
    return 0;
}
