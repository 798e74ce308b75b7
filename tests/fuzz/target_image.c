/* Whole images, opened, listed, read, changed and checked through fs/. (layer: fs)
 *
 *      input: flags (1) | size of the script (2) | script | image (image.h)
 *      flags: 1 the checksums are recomputed, so that damage gets past them; 2 no read-only session before */
#include "exercise.h"
#include "fuzz_file.h"
#include "image.h"

enum { FLAG_FIX = 1, FLAG_WRITE_ONLY = 2 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_set_messages();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_reader reader = {data, size};
    unsigned flags = fuzz_take_8(&reader);
    struct fuzz_reader script = {NULL, fuzz_take_16(&reader)};
    struct os_file *file = fuzz_file_reset();

    script.size = fuzz_take_bytes(&reader, script.size, &script.data);
    image_decode(reader);
    if (flags & FLAG_FIX) {
        image_fix();
    }
    exercise_file(file, &script, flags & FLAG_WRITE_ONLY);
    return 0;
}
