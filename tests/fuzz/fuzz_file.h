/* A file in memory that is cheap to make anew for every input: a fixed range of address space, of which only what was
 * touched is cleared. It has an end that it can't grow beyond (-ENOSPC), and may be read-only: a write is then a
 * finding. One at a time, one thread. */
#ifndef BEEFTREE_TESTS_FUZZ_FUZZ_FILE_H
#define BEEFTREE_TESTS_FUZZ_FUZZ_FILE_H

#include "os/file.h"

#define FUZZ_FILE_SIZE_MAX  (128U << 20)
#define FUZZ_FILE_UNIT_SIZE 65536U

/* Empty. Closing it does nothing. */
struct os_file *fuzz_file_reset(void);
/* As it is. */
struct os_file *fuzz_file_open(void);
/* What it holds now, for fuzz_file_restore; kept until the program ends. */
struct fuzz_file_copy *fuzz_file_keep(void);
struct os_file *fuzz_file_restore(const struct fuzz_file_copy *copy);
/* From now on nobody may change it (or, false, may). */
void fuzz_file_set_read_only(bool is_read_only);
/* The bytes, all FUZZ_FILE_SIZE_MAX of them, for harnesses that make a file by hand: who changes some says so with
 * fuzz_file_touch, and sets the size. */
uint8_t *fuzz_file_bytes(void);
void fuzz_file_touch(uint64_t offset, uint64_t size);
/* Whether anything in the FUZZ_FILE_UNIT_SIZE bytes there was touched: what was not is zeros. */
bool fuzz_file_is_touched(uint64_t offset);
void fuzz_file_set_size(uint64_t size);
uint64_t fuzz_file_get_size(void);

#endif
