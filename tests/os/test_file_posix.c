/* What only the real file has: kinds of files, modes, locks between processes, hosts that can't allocate. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/clock.h"
#include "os/file.h"
#include "support/test_child.h"

static char directory[64];
static char path[80];

static int make_directory(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/test-posix-XXXXXX");
    if (!mkdtemp(directory)) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/db", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(directory);
}

static struct os_file *open_with(int flags)
{
    struct os_file *file = NULL;
    assert_int_equal(os_file_open(path, flags, &file), 0);
    return file;
}

static void test_creation_is_private_and_exclusive(void **state)
{
    struct os_file *file = NULL;
    struct stat status;
    mode_t old_mask = umask(0);
    (void)state;

    assert_int_equal(os_file_open(path, 0, &file), -ENOENT);
    file = open_with(OS_FILE_CREATE);
    (void)umask(old_mask);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
    struct os_file *second = NULL;
    assert_int_equal(os_file_open(path, OS_FILE_CREATE, &second), -EEXIST);
    assert_null(second);
    os_file_close(file);
}

static void test_read_only_does_not_write(void **state)
{
    char byte = 'x';
    (void)state;

    os_file_close(open_with(OS_FILE_CREATE));
    struct os_file *file = open_with(OS_FILE_READ_ONLY);
    assert_int_equal(os_file_write(file, &byte, 1, 0), -EBADF);
    assert_true(os_file_allocate(file, 0, 4096) < 0);
    assert_true(os_file_truncate(file, 10) < 0);
    assert_int_equal(os_file_sync(file), 0);
    os_file_close(file);
}

static void make_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(close(descriptor), 0);
}

static void test_other_kinds_are_refused(void **state)
{
    struct os_file *file = NULL;
    (void)state;

    assert_int_equal(os_file_open(directory, 0, &file), -EISDIR);
    assert_int_equal(os_file_open(directory, OS_FILE_READ_ONLY, &file), -EISDIR);
    assert_int_equal(os_file_open("/dev/null", 0, &file), -ENOTBLK);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(os_file_open(path, 0, &file), -ENOTBLK);
    assert_int_equal(os_file_open(path, OS_FILE_READ_ONLY, &file), -ENOTBLK);
    assert_int_equal(unlink(path), 0);
    make_socket();
    assert_int_equal(os_file_open(path, 0, &file), -ENOTBLK);
    assert_null(file);
}

static void test_symbolic_links_are_followed(void **state)
{
    char link_path[80];
    char byte = 'x';
    struct os_file *file = NULL;
    (void)state;

    (void)snprintf(link_path, sizeof link_path, "%s/link", directory);
    assert_int_equal(symlink("db", link_path), 0);
    os_file_close(open_with(OS_FILE_CREATE));
    assert_int_equal(os_file_open(link_path, 0, &file), 0);
    assert_int_equal(os_file_write(file, &byte, 1, 0), 0);
    os_file_close(file);
    assert_int_equal(unlink(link_path), 0);
}

/* Another process that holds locks until it is told to go. */
struct other {
    pid_t pid;
    int go; /* closed: it ends */
};

static struct other other_start(enum os_file_lock which, bool shared)
{
    int ready[2], go[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct os_file *file;
        (void)close(go[1]);
        BASE_ASSERT(os_file_open(path, shared ? OS_FILE_READ_ONLY : 0, &file) == 0);
        BASE_ASSERT(os_file_lock(file, which, shared, 0, NULL) == 0);
        BASE_ASSERT(write(ready[1], "r", 1) == 1);
        (void)!read(go[0], &byte, 1);
        os_file_close(file);
        _exit(0);
    }
    (void)close(ready[1]);
    (void)close(go[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return (struct other){.pid = pid, .go = go[1]};
}

static void other_end(struct other other)
{
    int status;

    (void)close(other.go);
    assert_int_equal(waitpid(other.pid, &status, 0), other.pid);
    assert_int_equal(status, 0);
}

static void test_locks_name_their_holder(void **state)
{
    pid_t holder = 0;
    (void)state;

    os_file_close(open_with(OS_FILE_CREATE));
    struct other other = other_start(OS_FILE_LOCK_MOUNTED, false);
    struct os_file *file = open_with(0);
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_MOUNTED, false, 0, &holder), -EBUSY);
    assert_int_equal(holder, other.pid);
    holder = 0;
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_MOUNTED, true, 0, &holder), -EBUSY);
    assert_int_equal(holder, other.pid);
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_OPEN, false, 0, &holder), 0);
    uint64_t start_ms = base_clock_monotonic_ms();
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_MOUNTED, false, 50, NULL), -EBUSY);
    assert_true(base_clock_monotonic_ms() - start_ms >= 50);
    other_end(other);
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_MOUNTED, false, 0, &holder), 0);
    os_file_close(file);
}

static void test_readers_share(void **state)
{
    pid_t holder = 0;
    (void)state;

    os_file_close(open_with(OS_FILE_CREATE));
    struct other other = other_start(OS_FILE_LOCK_OPEN, true);
    struct os_file *file = open_with(0);
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_OPEN, true, 0, &holder), 0);
    os_file_unlock(file, OS_FILE_LOCK_OPEN);
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_OPEN, false, 0, &holder), -EBUSY);
    assert_int_equal(holder, other.pid);
    other_end(other);
    os_file_close(file);
}

/* A lock that is let go while we wait is ours without an error, and a killed holder holds nothing. */
static void test_waiting_gets_the_lock(void **state)
{
    int status;
    (void)state;

    os_file_close(open_with(OS_FILE_CREATE));
    struct os_file *file = open_with(0);
    struct other other = other_start(OS_FILE_LOCK_OPEN, false);
    (void)close(other.go);
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_OPEN, false, 60000, NULL), 0);
    assert_int_equal(waitpid(other.pid, &status, 0), other.pid);
    os_file_unlock(file, OS_FILE_LOCK_OPEN);

    other = other_start(OS_FILE_LOCK_OPEN, false);
    assert_int_equal(kill(other.pid, SIGKILL), 0);
    assert_int_equal(os_file_lock(file, OS_FILE_LOCK_OPEN, false, 60000, NULL), 0);
    assert_int_equal(waitpid(other.pid, &status, 0), other.pid);
    (void)close(other.go);
    os_file_close(file);
}

/* From here, fallocate answers EOPNOTSUPP in this process, as on hosts that lack it. */
static void forbid_fallocate(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof rules / sizeof rules[0], .filter = rules};

    BASE_ASSERT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    BASE_ASSERT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void grow_without_fallocate(void *argument)
{
    const struct rlimit limit = {.rlim_cur = 2000000, .rlim_max = 2000000};
    struct os_file *file = argument;
    struct stat status;
    uint64_t size;
    char bytes[5], zeros[5] = {0};

    forbid_fallocate();
    BASE_ASSERT(os_file_write(file, "abc", 3, 0) == 0);
    BASE_ASSERT(os_file_allocate(file, 4096, 1000000) == 0);
    BASE_ASSERT(os_file_get_size(file, &size) == 0 && size == 1004096);
    BASE_ASSERT(os_file_read(file, bytes, 4, 0) == 0 && memcmp(bytes, "abc", 4) == 0);
    BASE_ASSERT(os_file_read(file, bytes, 5, 1004091) == 0 && memcmp(bytes, zeros, 5) == 0);
    BASE_ASSERT(stat(path, &status) == 0 && status.st_blocks >= 1000000 / 512);
    BASE_ASSERT(os_file_allocate(file, 0, 1000) == 0);
    BASE_ASSERT(os_file_read(file, bytes, 4, 0) == 0 && memcmp(bytes, "abc", 4) == 0);

    /* A growth that fails on its way gives back what it took. */
    BASE_ASSERT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    BASE_ASSERT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    BASE_ASSERT(os_file_allocate(file, 0, 4000000) == -EFBIG);
    BASE_ASSERT(os_file_get_size(file, &size) == 0 && size == 1004096);
}

static void test_hosts_without_fallocate(void **state)
{
    (void)state;

    struct os_file *file = open_with(OS_FILE_CREATE);
    assert_int_equal(test_child_run(grow_without_fallocate, file, NULL, 0), 0);
    os_file_close(file);
}

static void test_allocation_takes_space(void **state)
{
    struct stat status;
    (void)state;

    struct os_file *file = open_with(OS_FILE_CREATE);
    assert_int_equal(os_file_allocate(file, 0, 1000000), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_blocks >= 1000000 / 512);
    os_file_close(file);
}

int main(void)
{
#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(test_creation_is_private_and_exclusive),
        WITH_DIRECTORY(test_read_only_does_not_write),
        WITH_DIRECTORY(test_other_kinds_are_refused),
        WITH_DIRECTORY(test_symbolic_links_are_followed),
        WITH_DIRECTORY(test_locks_name_their_holder),
        WITH_DIRECTORY(test_readers_share),
        WITH_DIRECTORY(test_waiting_gets_the_lock),
        WITH_DIRECTORY(test_hosts_without_fallocate),
        WITH_DIRECTORY(test_allocation_takes_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
