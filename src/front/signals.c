/* SIGTERM, SIGINT and SIGHUP end the daemon cleanly. libfuse's own handlers can lose one that comes just before its
 * main thread goes to sleep; so the signals are blocked everywhere and one thread waits for them: it has the kernel
 * hand over what programs have stored through mappings, marks the session as ended, and then wakes the main thread
 * until that has noticed. */
#include "internal.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define WAKE_SIGNAL              SIGUSR2
#define QUEUED_WRITES_TIMEOUT_MS 10000U /* others may go on storing all the time */
#define FINISH_TIMEOUT_MS        60000U /* of a disk that hangs */

static void do_nothing(int signal_number)
{
    (void)signal_number;
}

static void fill_ending_signals(sigset_t *ret_set)
{
    (void)sigemptyset(ret_set);
    (void)sigaddset(ret_set, SIGTERM);
    (void)sigaddset(ret_set, SIGINT);
    (void)sigaddset(ret_set, SIGHUP);
}

void front_signals_block(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction wake = {.sa_handler = do_nothing}; /* no SA_RESTART: it is there to interrupt */
    sigset_t ending;

    fill_ending_signals(&ending);
    (void)pthread_sigmask(SIG_BLOCK, &ending, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(WAKE_SIGNAL, &wake, NULL);
}

uint64_t front_wait_for_mapped_writes(struct front *front)
{
    const struct timespec pause = {.tv_nsec = 1000 * 1000};
    uint64_t received = atomic_load(&front->mapped_writes_received);
    uint64_t end_ms = base_clock_monotonic_ms() + FINISH_TIMEOUT_MS;

    while (atomic_load(&front->mapped_writes_finished) < received && !atomic_load(&front->is_shut_down) &&
           base_clock_monotonic_ms() < end_ms) {
        (void)nanosleep(&pause, NULL);
    }
    return received;
}

/* syncfs only hands the writes to the queue of the device. Behind them a request of ours can't be answered before they
 * have been received. More than max_background of them come in portions: as long as more are waiting, those between two
 * of our requests are many. What was received must also be finished: libfuse drops a request that a thread has read
 * but not begun when the session ends. */
static void wait_for_queued_writes(struct front *front, int descriptor)
{
    const struct timespec pause = {.tv_nsec = 1000 * 1000};
    uint64_t end_ms = base_clock_monotonic_ms() + QUEUED_WRITES_TIMEOUT_MS;
    unsigned quiet_rounds = 0; /* a few: a thread may have received a request and not yet counted it */
    struct statfs answer;

    while (quiet_rounds < 3 && base_clock_monotonic_ms() < end_ms) {
        uint64_t before = atomic_load(&front->mapped_writes_received);
        if (fstatfs(descriptor, &answer) < 0) {
            return;
        }
        quiet_rounds = front_wait_for_mapped_writes(front) == before ? quiet_rounds + 1 : 0;
        (void)nanosleep(&pause, NULL);
    }
}

/* Stores through mappings are in the kernel only; when the session ends they are lost. The requests that this makes are
 * answered by the other threads, which still serve. */
static void collect_mapped_stores(struct front *front)
{
    struct statfs answer;

    if (front->options->read_only || !atomic_load(&front->is_answering)) {
        return;
    }
    int descriptor = open(front->options->mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        return;
    }
    if (fstatfs(descriptor, &answer) == 0 && answer.f_type == FUSE_SUPER_MAGIC && syncfs(descriptor) == 0) {
        wait_for_queued_writes(front, descriptor);
    }
    (void)close(descriptor);
}

static void *wait_for_signal(void *context)
{
    struct front_signals *signals = context;
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    sigset_t ending;
    int received = 0;

    fill_ending_signals(&ending);
    while (sigwait(&ending, &received) == EINTR) {
    }
    if (!atomic_load(&signals->is_over)) {
        collect_mapped_stores(signals->front);
        fuse_session_exit(signals->front->session);
    }
    while (!atomic_load(&signals->is_over)) {
        (void)pthread_kill(signals->main_thread, WAKE_SIGNAL);
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

int front_signals_start(struct front_signals *signals, struct front *front)
{
    signals->front = front;
    signals->main_thread = pthread_self();
    atomic_init(&signals->is_over, false);
    return -pthread_create(&signals->thread, NULL, wait_for_signal, signals);
}

void front_signals_stop(struct front_signals *signals)
{
    atomic_store(&signals->is_over, true);
    (void)pthread_kill(signals->thread, SIGTERM);
    (void)pthread_join(signals->thread, NULL);
}
