/* See row_model.h. */
#include "support/row_model.h"

#include <stdlib.h>
#include <string.h>

void row_model_init(struct row_model *model)
{
    memset(model, 0, sizeof *model);
}

void row_model_deinit(struct row_model *model)
{
    row_model_delete(model, 0, model->count);
    free(model->rows);
}

int row_model_compare(const void *left, size_t left_size, const void *right, size_t right_size)
{
    size_t size = left_size < right_size ? left_size : right_size;
    int order = size ? memcmp(left, right, size) : 0;
    return order ? order : (left_size > right_size) - (left_size < right_size);
}

size_t row_model_find(const struct row_model *model, const void *key, size_t key_size, bool *ret_found)
{
    size_t low = 0, high = model->count;
    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct model_row *row = model->rows[middle];
        int order = row_model_compare(row->key, row->key_size, key, key_size);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void set_value(struct model_row *row, const void *value, size_t value_size)
{
    free(row->value);
    row->value = malloc(value_size + 1);
    if (value_size > 0) {
        memcpy(row->value, value, value_size);
    }
    row->value_size = value_size;
}

void row_model_put(struct row_model *model, const void *key, size_t key_size, const void *value, size_t value_size)
{
    bool found;
    size_t index = row_model_find(model, key, key_size, &found);
    if (!found) {
        if (model->count == model->capacity) {
            model->capacity = model->capacity ? model->capacity * 2 : 64;
            model->rows = realloc(model->rows, model->capacity * sizeof *model->rows);
        }
        struct model_row *row = calloc(1, sizeof *row + key_size);
        memcpy(row->key, key, key_size);
        row->key_size = key_size;
        memmove(model->rows + index + 1, model->rows + index, (model->count - index) * sizeof *model->rows);
        model->rows[index] = row;
        model->count++;
    }
    set_value(model->rows[index], value, value_size);
}

void row_model_delete(struct row_model *model, size_t from, size_t to)
{
    if (from >= to) {
        return;
    }
    for (size_t i = from; i < to; i++) {
        free(model->rows[i]->value);
        free(model->rows[i]);
    }
    memmove(model->rows + from, model->rows + to, (model->count - to) * sizeof *model->rows);
    model->count -= to - from;
}
