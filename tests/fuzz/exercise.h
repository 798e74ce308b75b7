/* Everything that can be asked of a filesystem, asked: of one that may be damaged anywhere. Each call has to answer
 * with a result that makes sense or with an errno; what was written has to be read back, or refused. */
#ifndef BEEFTREE_TESTS_FUZZ_EXERCISE_H
#define BEEFTREE_TESTS_FUZZ_EXERCISE_H

#include "fs/fs.h"
#include "fuzz.h"

struct os_file;

/* All sessions on a file: read-only (unless skipped), writable with the script, read-only. What the check calls whole
 * stays whole, and what was closed well opens again. */
void exercise_file(struct os_file *file, struct fuzz_reader *script, bool skip_first);

#endif
