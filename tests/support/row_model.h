/* What a sorted map of byte strings should do, done naively: the model that trees are compared with. */
#ifndef BEEFTREE_TESTS_SUPPORT_ROW_MODEL_H
#define BEEFTREE_TESTS_SUPPORT_ROW_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model_row {
    size_t key_size, value_size;
    uint8_t *value;
    uint8_t key[];
};

struct row_model {
    struct model_row **rows; /* in key order */
    size_t count, capacity;
};

void row_model_init(struct row_model *model);
void row_model_deinit(struct row_model *model);

/* The position of the first row >= key, and whether it is key. */
size_t row_model_find(const struct row_model *model, const void *key, size_t key_size, bool *ret_found);
/* Inserts or replaces. */
void row_model_put(struct row_model *model, const void *key, size_t key_size, const void *value, size_t value_size);
void row_model_delete(struct row_model *model, size_t from, size_t to);

/* Like memcmp, shorter first. */
int row_model_compare(const void *left, size_t left_size, const void *right, size_t right_size);

#endif
