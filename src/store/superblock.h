/* The superblock (docs/format.md, section 2) as a struct, and its bytes. */
#ifndef BEEFTREE_STORE_SUPERBLOCK_H
#define BEEFTREE_STORE_SUPERBLOCK_H

#include "base/message.h"
#include "radix.h"
#include "store/store.h"

#include <stdint.h>

#define SUPERBLOCK_VERSION      1U
#define SUPERBLOCK_SLOTS        2U
#define SUPERBLOCK_LOG_RUNS     32U
#define SUPERBLOCK_LOG_SIZE_MAX (UINT64_C(64) << 20)      /* bytes of the log's ring */
#define SUPERBLOCK_NUMBER_MAX   ((UINT64_C(1) << 63) - 1) /* of generation, next LSN, next sequence number */
#define STORE_HEADER_BLOCKS     32U                       /* never allocated */
#define STORE_SIZE_UNIT_BLOCKS  16U                       /* the file's size is a multiple of the largest page */
#define STORE_BLOCKS_MAX        (UINT64_C(1) << 40)       /* 4 PiB */

/* Beyond it nobody writes: no honest file gets there, and from there none reaches SUPERBLOCK_NUMBER_MAX. */
#define SUPERBLOCK_NUMBER_MAX_WRITABLE (UINT64_C(1) << 62)

/* First block of a slot. */
static inline uint64_t superblock_place(unsigned slot)
{
    return slot == 0 ? 0 : 16;
}

struct superblock_log_run {
    uint64_t block;
    uint64_t block_count;
};

/* Where the log is. Nothing here looks into it. */
struct superblock_log {
    uint64_t salt;
    uint64_t next_lsn;
    uint64_t next_position; /* bytes in the ring */
    uint64_t next_sequence;
    uint32_t run_count;
    struct superblock_log_run runs[SUPERBLOCK_LOG_RUNS];
};

struct superblock {
    uint32_t page_size; /* bytes */
    uint64_t incompatible_features;
    uint64_t read_only_features;
    uint8_t identifier[STORE_IDENTIFIER_SIZE];
    char label[STORE_LABEL_SIZE];
    uint64_t generation;
    uint64_t block_count;
    struct radix_tree map;
    struct radix_tree bitmap;
    uint64_t page_count;
    uint64_t content_block_count;
    struct superblock_log log;
    uint64_t format_time_s;
};

enum superblock_state {
    SUPERBLOCK_ABSENT,  /* no magic */
    SUPERBLOCK_DAMAGED, /* magic, but checksum or a field is wrong */
    SUPERBLOCK_SUSPECT, /* says that it is newer, and its checksum is not version 1's: newer, or damaged */
    SUPERBLOCK_NEWER,   /* whole, of a newer version or with unknown incompatible features */
    SUPERBLOCK_VALID,
};

void superblock_encode(const struct superblock *superblock, uint8_t ret_block[STORE_BLOCK_SIZE]);

/* Fills ret_superblock when valid, else the reason. Every field's range is checked, but not against the file. */
enum superblock_state superblock_decode(const uint8_t block[STORE_BLOCK_SIZE], struct superblock *ret_superblock,
                                        struct base_reason *ret_reason);

/* Reads both slots and says which hold a superblock. newest is the index of the valid one with the greater generation.
 * 0 when at least one is valid, else the error that store_open documents. */
struct superblock_slots {
    enum superblock_state states[SUPERBLOCK_SLOTS];
    struct superblock superblocks[SUPERBLOCK_SLOTS];
    struct base_reason reasons[SUPERBLOCK_SLOTS];
    unsigned newest;
};

int superblock_read_slots(struct os_file *file, struct superblock_slots *ret_slots, struct base_reason *ret_reason);

/* Writes one slot; does not sync. */
int superblock_write_slot(struct os_file *file, unsigned slot, const struct superblock *superblock);

#endif
