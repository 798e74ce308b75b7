/* The table of mounts: lines taken apart with their escapes, and our own table. And the rule that takes a database:
 * a holder without a mount is waited for. */
#include "os/claim.h"
#include "os/mounts.h"

#include "base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void parses_a_line(void **state)
{
    char line[] =
        "36 35 98:7 / /mnt/a\\040b\\134c rw,noatime master:1 shared:2 - fuse.beeftreefs /srv/\\011x\\043.bt rw\n";
    struct os_mount mount;

    (void)state;
    assert_int_equal(os_mount_parse(line, &mount), 0);
    assert_string_equal(mount.mount_point, "/mnt/a b\\c");
    assert_string_equal(mount.type, "fuse.beeftreefs");
    assert_string_equal(mount.source, "/srv/\tx#.bt");
    assert_int_equal(mount.major, 98);
    assert_int_equal(mount.minor, 7);
}

static void refuses_other_lines(void **state)
{
    static const char *const lines[] = {
        "",
        "\n",
        "36 35 98:7 / /mnt",
        "36 35 98:7 / /mnt rw -",
        "36 35 98:7 / /mnt rw - ext4",
        "36 35 x / /mnt rw - ext4 a",
        "1 2 - a b",
    };

    (void)state;
    for (size_t index = 0; index < sizeof lines / sizeof lines[0]; index++) {
        char line[128];
        struct os_mount mount;
        (void)snprintf(line, sizeof line, "%s", lines[index]);
        assert_int_equal(os_mount_parse(line, &mount), -EINVAL);
    }
}

static bool is_proc(void *context, const struct os_mount *mount)
{
    unsigned *count = context;

    *count += 1;
    return strcmp(mount->mount_point, "/proc") == 0;
}

static void visits_our_table(void **state)
{
    unsigned count = 0;

    (void)state;
    assert_int_equal(os_mounts_visit(0, is_proc, &count), 1);
    assert_true(count > 0);
    assert_true(os_mounts_visit(getpid(), is_proc, &count) == 1);
    assert_true(os_mounts_visit(0x3fffffff, is_proc, &count) == -ENOENT);
}

/* A child that holds both locks until its stdin is closed. */
struct holder {
    pid_t pid;
    int input;
};

static struct holder start_holder(const char *path)
{
    struct holder holder;
    struct os_file *file = NULL;
    pid_t other = 0;
    int ready[2];
    int input[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(input), 0);
    holder.pid = fork();
    assert_true(holder.pid >= 0);
    if (holder.pid == 0) {
        (void)close(input[1]);
        bool is_held = os_file_open(path, 0, &file) == 0 && os_file_claim(file, path, false, 0, &other) == 0;
        (void)!write(ready[1], is_held ? "y" : "n", 1);
        (void)!read(input[0], &byte, 1);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    (void)close(ready[0]);
    (void)close(ready[1]);
    (void)close(input[0]);
    holder.input = input[1];
    return holder;
}

static void a_holder_without_mount_is_waited_for(void **state)
{
    char path[] = "/tmp/test-claim-XXXXXX";
    struct os_file *file = NULL;
    pid_t other = 0;

    (void)state;
    assert_true(close(mkstemp(path)) == 0);
    struct holder holder = start_holder(path);
    assert_int_equal(os_file_open(path, 0, &file), 0);
    uint64_t start_ms = base_clock_monotonic_ms();
    assert_int_equal(os_file_claim(file, path, false, 120, &other), -EBUSY);
    assert_true(base_clock_monotonic_ms() - start_ms >= 120);
    assert_int_equal(other, holder.pid);

    (void)close(holder.input);
    assert_int_equal(os_file_claim(file, path, false, 30000, &other), 0);
    assert_int_equal(waitpid(holder.pid, NULL, 0), holder.pid);
    os_file_close(file);
    (void)unlink(path);
}

static void readers_share(void **state)
{
    char path[] = "/tmp/test-claim-XXXXXX";
    struct os_file *file = NULL;
    pid_t other = 0;
    int status = 0;

    (void)state;
    assert_true(close(mkstemp(path)) == 0);
    assert_int_equal(os_file_open(path, OS_FILE_READ_ONLY, &file), 0);
    assert_int_equal(os_file_claim(file, path, true, 0, &other), 0);
    pid_t child = fork();
    if (child == 0) {
        struct os_file *second = NULL;
        bool is_good =
            os_file_open(path, OS_FILE_READ_ONLY, &second) == 0 && os_file_claim(second, path, true, 0, &other) == 0;
        _exit(is_good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    os_file_close(file);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_a_line),    cmocka_unit_test(refuses_other_lines),
        cmocka_unit_test(visits_our_table), cmocka_unit_test(a_holder_without_mount_is_waited_for),
        cmocka_unit_test(readers_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
