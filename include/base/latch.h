/* Mutexes, reader-writer latches and conditions with a rank. A thread may take a lock only when its rank is higher than
 * every rank that the thread holds (equal ranks only where the list says so). Debug builds (BASE_LOCK_RANKS, set in all
 * presets but release) keep a per-thread record and assert the order; release builds compile to plain pthread calls. */
#ifndef BEEFTREE_BASE_LATCH_H
#define BEEFTREE_BASE_LATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Outermost first. The one place that states the lock order of the whole program. */
enum base_lock_rank {
    BASE_RANK_FS_DIRECTORY_HANDLE = 10, /* one open directory's resume state */
    BASE_RANK_FS_RENAME = 15,           /* one directory at a time moves to another directory */
    BASE_RANK_FS_INODE = 20,            /* several at once, in ascending inode number (checked by fs/) */
    BASE_RANK_CHECKPOINT = 30,          /* one checkpoint at a time; held by the checkpointer from freeze to durable */
    BASE_RANK_STORE_SYNC = 35,          /* one sync of the file at a time */
    BASE_RANK_ADMISSION = 40,           /* reservations and the wait for a checkpoint */
    BASE_RANK_LOG_LEADER = 45,          /* who writes the log */
    BASE_RANK_WRITER = 50,              /* the one writer of the tree */
    BASE_RANK_TREE_GATE = 60,           /* shared by readers of the tree, exclusive for rollback */
    BASE_RANK_PAGE_LATCH = 70,          /* several at once: top down, left to right */
    BASE_RANK_POOL = 80,                /* hash buckets, clock hand, dirty lists; never two at once */
    BASE_RANK_STORE_MAP = 90,           /* page map root and overlays */
    BASE_RANK_STORE_NODES = 100,        /* cache of map and bitmap nodes */
    BASE_RANK_STORE_SPACE = 110,        /* block allocation, reservations, deferred frees */
    BASE_RANK_FS_TABLE = 120,           /* buckets of the table of inodes in use, and other leaf locks of fs/ */
    BASE_RANK_LEAF = 130,               /* counters, message sink, simulated disk: nothing is taken under it */
};

struct base_mutex {
    pthread_mutex_t mutex;
    enum base_lock_rank rank;
};

/* Reader-writer; waiting writers go before new readers, so a thread must not take the same latch shared twice. */
struct base_latch {
    pthread_rwlock_t lock;
    enum base_lock_rank rank;
};

struct base_condition {
    pthread_cond_t condition; /* on CLOCK_MONOTONIC */
};

void base_mutex_init(struct base_mutex *mutex, enum base_lock_rank rank);
void base_mutex_deinit(struct base_mutex *mutex);
void base_mutex_lock(struct base_mutex *mutex);
void base_mutex_unlock(struct base_mutex *mutex);

void base_latch_init(struct base_latch *latch, enum base_lock_rank rank);
void base_latch_deinit(struct base_latch *latch);
void base_latch_lock_shared(struct base_latch *latch);
void base_latch_lock_exclusive(struct base_latch *latch);
bool base_latch_try_shared(struct base_latch *latch);    /* never waits, so it is exempt from the rank check */
bool base_latch_try_exclusive(struct base_latch *latch); /* likewise */
void base_latch_unlock_shared(struct base_latch *latch);
void base_latch_unlock_exclusive(struct base_latch *latch);

void base_condition_init(struct base_condition *condition);
void base_condition_deinit(struct base_condition *condition);
void base_condition_wait(struct base_condition *condition, struct base_mutex *mutex);
/* Returns false when timeout_ms passed without a signal. */
bool base_condition_wait_for(struct base_condition *condition, struct base_mutex *mutex, uint64_t timeout_ms);
void base_condition_signal(struct base_condition *condition);
void base_condition_broadcast(struct base_condition *condition);

#endif
