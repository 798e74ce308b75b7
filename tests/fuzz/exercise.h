/* Everything that can be asked of a filesystem, asked: of one that may be damaged anywhere. Each call has to answer
 * with a result that makes sense or with an errno; what was written has to be read back, or refused. */
#ifndef BEEFTREE_TESTS_FUZZ_EXERCISE_H
#define BEEFTREE_TESTS_FUZZ_EXERCISE_H

#include "fs/fs.h"
#include "fuzz.h"

struct os_file;

/* Lists everything that is reached from the root, reads all of it (bounded), looks every name up. */
void exercise_look(struct fs *fs);

/* A script of changes, and looks in between. */
void exercise_script(struct fs *fs, struct fuzz_reader *script);

/* Opens read-only, looks, checks, closes. *ret_is_clean: it opened and the check found nothing. */
void exercise_read_only(struct os_file *file, bool *ret_is_clean);

/* Opens writable, runs the script, closes. */
void exercise_writable(struct os_file *file, struct fuzz_reader *script);

#endif
