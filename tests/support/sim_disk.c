/* See sim_disk.h. */
#include "support/sim_disk.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct sim_disk *disk_of(struct os_file *file)
{
    return (struct sim_disk *)file;
}

/* --- The record --------------------------------------------------------------------------------------------------- */

static struct sim_event *record_event(struct sim_disk *disk, enum sim_event_kind kind)
{
    struct sim_record *record = &disk->record;

    if (record->event_count == record->event_capacity) {
        record->event_capacity = record->event_capacity ? 2 * record->event_capacity : 256;
        record->events = sim_allocate(record->events, record->event_capacity, sizeof *record->events);
    }
    struct sim_event *event = &record->events[record->event_count++];
    *event = (struct sim_event){.kind = kind, .piece_first = record->piece_count, .tag = disk->tag};
    return event;
}

static struct sim_piece *record_piece(struct sim_disk *disk)
{
    struct sim_record *record = &disk->record;

    if (record->piece_count == record->piece_capacity) {
        record->piece_capacity = record->piece_capacity ? 2 * record->piece_capacity : 1024;
        record->pieces = sim_allocate(record->pieces, record->piece_capacity, sizeof *record->pieces);
    }
    record->events[record->event_count - 1].piece_count++;
    return &record->pieces[record->piece_count++];
}

static void record_clear(struct sim_record *record)
{
    for (size_t i = 0; i < record->piece_count; i++) {
        sim_block_let_go(record->pieces[i].block);
    }
    record->event_count = record->piece_count = 0;
}

/* --- Faults ------------------------------------------------------------------------------------------------------- */

static int begin(struct sim_disk *disk, enum sim_call call)
{
    struct sim_fault *fault = &disk->faults[call];

    if (disk->before_call && (call == SIM_WRITE || call == SIM_SYNC)) {
        disk->before_call();
    }
    disk->counts[call]++;
    if (fault->countdown == 0) {
        return 0;
    }
    if (fault->countdown > 1) {
        fault->countdown--;
        return 0;
    }
    if (!fault->forever) {
        fault->countdown = 0;
    }
    disk->faults_hit++;
    return -fault->error;
}

/* --- Calls -------------------------------------------------------------------------------------------------------- */

static int disk_read(struct os_file *file, void *buffer, size_t size, uint64_t offset)
{
    struct sim_disk *disk = disk_of(file);
    int result = begin(disk, SIM_READ);

    if (result < 0) {
        return result;
    }
    if (offset > disk->image->size || size > disk->image->size - offset) {
        return -ENODATA;
    }
    sim_image_read(disk->image, buffer, size, offset);
    return 0;
}

static bool is_zeros(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static void write_pieces(struct sim_disk *disk, const uint8_t *bytes, size_t size, uint64_t offset)
{
    if (disk->is_recording) {
        struct sim_event *event = record_event(disk, SIM_EVENT_WRITE);
        event->offset = offset;
        event->size = size;
    }
    while (size > 0) {
        struct sim_piece piece = {.index = (size_t)(offset / SIM_BLOCK_SIZE),
                                  .from = (uint32_t)(offset % SIM_BLOCK_SIZE)};
        size_t part = SIM_BLOCK_SIZE - piece.from < size ? SIM_BLOCK_SIZE - piece.from : size;
        piece.to = piece.from + (uint32_t)part;
        if (!is_zeros(bytes, part)) {
            piece.block = sim_block_create();
            memcpy(piece.block->bytes + piece.from, bytes, part);
        }
        sim_image_put(disk->image, piece.index, piece.block, piece.from, piece.to);
        if (disk->is_recording) {
            *record_piece(disk) = piece;
        } else {
            sim_block_let_go(piece.block);
        }
        bytes += part;
        offset += part;
        size -= part;
    }
}

static int disk_write(struct os_file *file, const void *buffer, size_t size, uint64_t offset)
{
    struct sim_disk *disk = disk_of(file);
    int result = begin(disk, SIM_WRITE);

    if (result == 0 && !disk->is_delayed && offset + size > disk->host_size) {
        return -ENOSPC;
    }
    if (result < 0) {
        size = size / SIM_SECTOR_SIZE / 2 * SIM_SECTOR_SIZE; /* a part may have got there */
    }
    if (size > 0) {
        write_pieces(disk, buffer, size, offset);
    }
    return result;
}

/* The host finds out that it has no room for what it promised. */
static int sync_delayed(struct sim_disk *disk)
{
    if (!disk->is_delayed || disk->image->size <= disk->host_size) {
        return 0;
    }
    for (size_t i = 0; i < disk->record.event_count; i++) {
        struct sim_event *event = &disk->record.events[i];
        if ((event->kind == SIM_EVENT_WRITE || event->kind == SIM_EVENT_ALLOCATE) &&
            event->offset + event->size > disk->host_size) {
            event->is_lost = true;
        }
    }
    disk->faults_hit++;
    return -ENOSPC;
}

static int disk_sync(struct os_file *file)
{
    struct sim_disk *disk = disk_of(file);
    int result = begin(disk, SIM_SYNC);

    if (result == 0) {
        result = sync_delayed(disk);
    }
    if (disk->is_recording) {
        record_event(disk, result < 0 ? SIM_EVENT_SYNC_FAILED : SIM_EVENT_SYNC);
    }
    return result;
}

static int disk_start_writeback(struct os_file *file, uint64_t offset, uint64_t size)
{
    (void)file, (void)offset, (void)size;
    return 0;
}

static int disk_allocate(struct os_file *file, uint64_t offset, uint64_t size)
{
    struct sim_disk *disk = disk_of(file);
    int result = begin(disk, SIM_ALLOCATE);

    if (result == 0 && !disk->is_delayed && offset + size > disk->host_size) {
        result = -ENOSPC;
    }
    if (result < 0) {
        return result;
    }
    if (disk->is_recording) {
        struct sim_event *event = record_event(disk, SIM_EVENT_ALLOCATE);
        event->offset = offset;
        event->size = size;
    }
    if (offset + size > disk->image->size) {
        sim_image_set_size(disk->image, offset + size);
    }
    return 0;
}

static int disk_truncate(struct os_file *file, uint64_t size)
{
    struct sim_disk *disk = disk_of(file);
    int result = begin(disk, SIM_TRUNCATE);

    if (result < 0) {
        return result;
    }
    if (disk->is_recording) {
        record_event(disk, SIM_EVENT_TRUNCATE)->size = size;
    }
    sim_image_set_size(disk->image, size);
    return 0;
}

static int disk_get_size(struct os_file *file, uint64_t *ret_size)
{
    *ret_size = disk_of(file)->image->size;
    return 0;
}

static int disk_get_host_free(struct os_file *file, uint64_t *ret_size)
{
    const struct sim_disk *disk = disk_of(file);

    if (disk->host_size == UINT64_MAX || disk->is_delayed) {
        *ret_size = (uint64_t)1 << 40;
    } else {
        *ret_size = disk->image->size < disk->host_size ? disk->host_size - disk->image->size : 0;
    }
    return 0;
}

static int disk_drop_cache(struct os_file *file)
{
    (void)file;
    return 0;
}

static int disk_lock(struct os_file *file, enum os_file_lock which, bool shared, uint64_t timeout_ms, pid_t *ret_holder)
{
    (void)file, (void)which, (void)shared, (void)timeout_ms, (void)ret_holder;
    return 0;
}

static void disk_unlock(struct os_file *file, enum os_file_lock which)
{
    (void)file, (void)which;
}

static void disk_close(struct os_file *file)
{
    (void)file;
}

static const struct os_file_operations disk_operations = {
    .read = disk_read,
    .write = disk_write,
    .sync = disk_sync,
    .start_writeback = disk_start_writeback,
    .allocate = disk_allocate,
    .truncate = disk_truncate,
    .get_size = disk_get_size,
    .get_host_free = disk_get_host_free,
    .drop_cache = disk_drop_cache,
    .lock = disk_lock,
    .unlock = disk_unlock,
    .close = disk_close,
};

void sim_disk_init(struct sim_disk *disk, struct sim_image *image, bool is_recording)
{
    *disk = (struct sim_disk){
        .file.operations = &disk_operations, .image = image, .is_recording = is_recording, .host_size = UINT64_MAX};
}

void sim_disk_deinit(struct sim_disk *disk)
{
    record_clear(&disk->record);
    free(disk->record.events);
    free(disk->record.pieces);
}

void sim_disk_set_tag(struct sim_disk *disk, uint64_t tag)
{
    disk->tag = tag;
}

void sim_disk_mark(struct sim_disk *disk)
{
    if (disk->is_recording) {
        record_event(disk, SIM_EVENT_MARK);
    }
}

void sim_disk_reset(struct sim_disk *disk)
{
    record_clear(&disk->record);
    memset(disk->counts, 0, sizeof disk->counts);
}

void sim_disk_fail(struct sim_disk *disk, enum sim_call call, uint64_t countdown, int error, bool forever)
{
    disk->faults[call] = (struct sim_fault){.countdown = countdown, .error = error, .forever = forever};
}

uint64_t sim_disk_change_count(const struct sim_disk *disk)
{
    return disk->counts[SIM_WRITE] + disk->counts[SIM_ALLOCATE] + disk->counts[SIM_TRUNCATE];
}
