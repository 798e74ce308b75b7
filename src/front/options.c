/* The command line: DB MOUNTPOINT and options in any order. */
#include "internal.h"

#include "base/parse.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_PAGE_SIZE = 256, OPTION_LABEL };

static const struct option long_options[] = {
    {"page-size", required_argument, NULL, OPTION_PAGE_SIZE},
    {"label", required_argument, NULL, OPTION_LABEL},
    {"foreground", no_argument, NULL, 'f'},
    {"debug", no_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int usage(struct front_failure *failure, const char *what, const char *argument)
{
    front_failure_set(failure, FRONT_EXIT_USAGE, "%s%s", argument, what);
    return -EINVAL;
}

/* A list of words with commas between; "\," and "\\" stand for themselves. Takes the copy apart. */
static int take_word_list(struct front_options *options, char *list, struct front_failure *failure)
{
    char *from = list;

    while (*from) {
        char *word = from;
        char *to = from;
        while (*from && *from != ',') {
            if (*from == '\\' && from[1]) {
                from++;
            }
            *to++ = *from++;
        }
        if (*from == ',') {
            from++;
        }
        *to = '\0';
        int result = *word ? front_option_word(options, word, failure) : 0;
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

int front_options_take_words(struct front_options *options, const char *list, struct front_failure *failure)
{
    char *copy = strdup(list);
    char *words = NULL;

    if (!copy ||
        asprintf(&words, "%s%s%s", options->words ? options->words : "", options->words ? "," : "", list) < 0) {
        free(copy);
        return usage(failure, ": out of memory", "-o");
    }
    free(options->words);
    options->words = words;
    int result = take_word_list(options, copy, failure);
    free(copy);
    return result;
}

static int take_page_size(struct front_options *options, const char *value, struct front_failure *failure)
{
    uint64_t size = 0;
    bool is_good = base_parse_size(value, &size) == 0 && size >= STORE_PAGE_SIZE_MIN && size <= STORE_PAGE_SIZE_MAX &&
                   (size & (size - 1)) == 0;

    if (!is_good) {
        return usage(failure, ": a page has 4K, 8K, 16K, 32K or 64K", value);
    }
    options->page_size = (uint32_t)size;
    return 0;
}

static int take_label(struct front_options *options, const char *value, struct front_failure *failure)
{
    size_t length = strlen(value);

    if (length >= sizeof options->label) {
        return usage(failure, ": a label has at most 63 bytes", value);
    }
    memset(options->label, 0, sizeof options->label);
    memcpy(options->label, value, length);
    options->has_label = true;
    return 0;
}

static int take_option(struct front_options *options, int option, char **arguments, struct front_failure *failure)
{
    switch (option) {
    case 'o':
        return front_options_take_words(options, optarg, failure);
    case 'f':
        options->foreground = true;
        return 0;
    case 'd':
        options->foreground = true;
        options->debug = true;
        return 0;
    case 's':
        options->single_threaded = true;
        return 0;
    case 'h':
        options->show_help = true;
        return 0;
    case 'V':
        options->show_version = true;
        return 0;
    case OPTION_PAGE_SIZE:
        return take_page_size(options, optarg, failure);
    case OPTION_LABEL:
        return take_label(options, optarg, failure);
    case ':':
        return usage(failure, ": needs a value", arguments[optind - 1]);
    default:
        if (optopt > 0 && optopt < 256) {
            const char name[] = {'-', (char)optopt, '\0'};
            return usage(failure, ": unknown option", name);
        }
        return usage(failure, ": unknown option", arguments[optind - 1]);
    }
}

int front_options_take_paths(struct front_options *options, int count, char **paths, struct front_failure *failure)
{
    if (count < 2) {
        return usage(failure,
                     count == 0 ? "database and mount point are wanted (-h shows the options)"
                                : ": a mount point is wanted too (-h shows the options)",
                     count == 0 ? "" : paths[0]);
    }
    if (count > 2) {
        return usage(failure, ": too many arguments", paths[2]);
    }
    if (!paths[0][0] || !paths[1][0]) {
        return usage(failure, "an empty path", "");
    }
    options->database = strdup(paths[0]);
    options->mount_point = strdup(paths[1]);
    return options->database && options->mount_point ? 0 : usage(failure, ": out of memory", paths[0]);
}

static int parse(struct front_options *options, int argument_count, char **arguments, struct front_failure *failure)
{
    int option;
    int result = 0;

    opterr = 0;
    while (result == 0 && (option = getopt_long(argument_count, arguments, ":o:fdshV", long_options, NULL)) >= 0) {
        result = take_option(options, option, arguments, failure);
    }
    if (result == 0 && !options->show_help && !options->show_version) {
        result = front_options_take_paths(options, argument_count - optind, arguments + optind, failure);
    }
    return result;
}

int front_options_parse(int argument_count, char **arguments, struct front_options *ret_options,
                        struct front_failure *failure)
{
    struct front_options options = {
        .cache_size = (uint64_t)64 << 20,
        .threads_max = FRONT_THREADS_DEFAULT,
        .commit_s = FRONT_COMMIT_S_DEFAULT,
        .root_uid = getuid(),
        .root_gid = getgid(),
        .root_mode = 0755,
        .access_times = FS_ACCESS_TIMES_RELATIVE,
    };
    bool is_helper = argument_count > 0 && front_mount_helper_is(arguments[0]);
    int result = is_helper ? front_mount_helper_parse(&options, argument_count, arguments, failure)
                           : parse(&options, argument_count, arguments, failure);

    if (result < 0) {
        front_options_free(&options);
        return result;
    }
    options.asks_opens = options.asks_opens || options.access_times == FS_ACCESS_TIMES_EXACT;
    *ret_options = options;
    return 0;
}

void front_options_free(struct front_options *options)
{
    free(options->database);
    free(options->mount_point);
    free(options->words);
    free(options->mount_options);
    options->words = NULL;
    options->database = NULL;
    options->mount_point = NULL;
    options->mount_options = NULL;
}
