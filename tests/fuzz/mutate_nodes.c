/* Mutations of the inputs of target_nodes.c. */
#include "mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    static const struct mutate_layout layout = {.fixed_size = 2, .length_size = 2};

    return mutate_input(&layout, data, size, size_max, seed);
}
