/* Mutations of inputs that end in an image (image.h): of the script as bytes, of the image as what it is, nodes of a
 * map and of a tree with fields that refer to each other. With libFuzzer only. */
#ifndef BEEFTREE_TESTS_FUZZ_MUTATE_H
#define BEEFTREE_TESTS_FUZZ_MUTATE_H

#include "fuzz.h"

/* What an input is made of: fixed bytes, the script's size (length_size bytes, right before the script), the script,
 * the image. */
struct mutate_layout {
    size_t fixed_size;
    size_t length_size; /* 1 or 2 */
};

size_t mutate_input(const struct mutate_layout *layout, uint8_t *data, size_t size, size_t size_max, unsigned seed);

#endif
