/* Runs inputs through a target without libFuzzer: the corpus as a regression test, under any compiler, and single cases
 * in a debugger.
 *
 * usage: fuzz_replay_NAME FILE-OR-DIRECTORY... */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static unsigned input_count;

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;
    int result = 1;

    if (file && fseek(file, 0, SEEK_END) == 0) {
        size = ftell(file);
        rewind(file);
    }
    if (size >= 0) {
        data = malloc(size > 0 ? (size_t)size : 1); /* of this size exactly, so that a read behind the end is seen */
    }
    if (data && fread(data, 1, (size_t)size, file) == (size_t)size) {
        if (getenv("FUZZ_VERBOSE")) {
            fprintf(stderr, "%s\n", path);
        }
        LLVMFuzzerTestOneInput(data, (size_t)size);
        input_count++;
        result = 0;
    } else {
        perror(path);
    }
    free(data);
    if (file) {
        fclose(file);
    }
    return result;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int run_directory(const char *path)
{
    struct dirent **names;
    int result = 0, count = scandir(path, &names, is_visible, alphasort);

    if (count < 0) {
        perror(path);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char *name;
        if (asprintf(&name, "%s/%s", path, names[i]->d_name) < 0) {
            abort();
        }
        result |= run_file(name);
        free(name);
        free(names[i]);
    }
    free(names);
    return result;
}

int main(int argc, char **argv)
{
    int result = 0;

    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        struct stat status;
        bool is_directory = stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode);
        result |= is_directory ? run_directory(argv[i]) : run_file(argv[i]);
    }
    printf("%u inputs\n", input_count);
    return input_count == 0 ? 1 : result;
}
