/* Mutations of the inputs of target_map.c. */
#include "mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    static const struct mutate_layout layout = {.fixed_size = 8, .length_size = 1};

    return mutate_input(&layout, data, size, size_max, seed);
}
