/* A simulated disk behind the os/ seam: reads and writes an image in memory, records every write, allocation,
 * truncation and sync in order, and fails what it is told to fail.
 *
 * The record is what power cuts are made of afterwards (sim_cut.h): one run of a workload serves for all of them. Not
 * thread-safe: the simulation runs its threads one at a time. */
#ifndef BEEFTREE_TESTS_SUPPORT_SIM_DISK_H
#define BEEFTREE_TESTS_SUPPORT_SIM_DISK_H

#include "os/file.h"
#include "support/sim_image.h"

enum sim_event_kind {
    SIM_EVENT_WRITE,
    SIM_EVENT_ALLOCATE,
    SIM_EVENT_TRUNCATE,
    SIM_EVENT_SYNC,
    SIM_EVENT_SYNC_FAILED,
    SIM_EVENT_MARK, /* the caller's: something was acknowledged */
};

/* A part of a write: bytes [from, to) of one block. */
struct sim_piece {
    size_t index;
    uint32_t from, to;
    struct sim_block *block; /* NULL: zeros */
};

struct sim_event {
    enum sim_event_kind kind;
    bool is_lost;    /* a delayed allocation was refused: never on the disk */
    uint64_t offset; /* bytes, as is size: of allocations; the new size of truncations */
    uint64_t size;
    size_t piece_first, piece_count; /* of writes */
    uint64_t tag;                    /* what sim_disk_set_tag said last */
};

struct sim_record {
    struct sim_event *events;
    size_t event_count, event_capacity;
    struct sim_piece *pieces;
    size_t piece_count, piece_capacity;
};

enum sim_call { SIM_READ, SIM_WRITE, SIM_SYNC, SIM_ALLOCATE, SIM_TRUNCATE, SIM_CALL_COUNT };

struct sim_fault {
    uint64_t countdown; /* 1: the next call of that kind fails; 0: none */
    int error;          /* a positive errno */
    bool forever;       /* and all later ones */
};

struct sim_disk {
    struct os_file file;     /* first member: the seam */
    struct sim_image *image; /* borrowed; what reads see */
    struct sim_record record;
    bool is_recording;
    uint64_t tag;
    uint64_t counts[SIM_CALL_COUNT];
    struct sim_fault faults[SIM_CALL_COUNT];
    uint64_t faults_hit;
    uint64_t host_size;        /* bytes: writes and allocations beyond answer -ENOSPC */
    bool is_delayed;           /* ... but only at the next sync, and what was written there is lost */
    void (*before_call)(void); /* NULL, or called first by every write and sync: other threads' turn */
};

/* On an image of the caller's. The host has endless room, nothing fails. os_file_close does nothing. */
void sim_disk_init(struct sim_disk *disk, struct sim_image *image, bool is_recording);
void sim_disk_deinit(struct sim_disk *disk);
/* From now on what is recorded carries that tag. */
void sim_disk_set_tag(struct sim_disk *disk, uint64_t tag);
/* Notes that something was acknowledged: a place to cut at. */
void sim_disk_mark(struct sim_disk *disk);
/* Forgets counts and the record. */
void sim_disk_reset(struct sim_disk *disk);
void sim_disk_fail(struct sim_disk *disk, enum sim_call call, uint64_t countdown, int error, bool forever);
/* Calls that could have changed the file. */
uint64_t sim_disk_change_count(const struct sim_disk *disk);

#endif
