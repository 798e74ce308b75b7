/* What the fuzz targets share: the entry points that libFuzzer (or replay.c) calls, and a reader that takes an input
 * apart.
 *
 * A target is a file target_NAME.c with LLVMFuzzerTestOneInput. It answers 0 whatever the input; a crash, a failed
 * FUZZ_EXPECT or BASE_ASSERT, a leak, a sanitizer's report or a hang is the finding. It is linked twice: with libFuzzer
 * (fuzz_NAME), and with replay.c, which runs the corpus under any compiler (fuzz_replay_NAME). */
#ifndef BEEFTREE_TESTS_FUZZ_FUZZ_H
#define BEEFTREE_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* mutate_NAME.c, with libFuzzer only. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);

/* Prints what was expected, and aborts. */
_Noreturn void fuzz_failed(const char *expression, const char *file, int line);

#define FUZZ_EXPECT(expression) ((expression) ? (void)0 : fuzz_failed(#expression, __FILE__, __LINE__))

/* The layers' messages go nowhere, or to stderr with FUZZ_VERBOSE in the environment. */
void fuzz_set_messages(void);

/* What is left of an input. Behind its end everything reads as zeros. */
struct fuzz_reader {
    const uint8_t *data;
    size_t size;
};

uint8_t fuzz_take_8(struct fuzz_reader *reader);
uint16_t fuzz_take_16(struct fuzz_reader *reader);
uint64_t fuzz_take_64(struct fuzz_reader *reader);
/* At most size bytes: how many there were is the result. */
size_t fuzz_take_bytes(struct fuzz_reader *reader, size_t size, const uint8_t **ret_bytes);
/* A number in one byte, or two to nine: the small and the strange ones are short. */
uint64_t fuzz_take_number(struct fuzz_reader *reader);

#endif
