/* See superblock.h. The two slots are written one after the other with a sync after each, so that at every moment at
 * least one of them is whole on the disk. */
#include "superblock.h"

#include "base/bytes.h"
#include "base/checksum.h"

#include <errno.h>
#include <string.h>

#define SUPERBLOCK_MAGIC "beeftreefs db 1\n"
#define SUPERBLOCK_SEED  UINT64_C(0x5355504552424C4B)

enum superblock_offset {
    OFFSET_MAGIC = 0,
    OFFSET_VERSION = 16,
    OFFSET_PAGE_SIZE = 20,
    OFFSET_INCOMPATIBLE = 24,
    OFFSET_READ_ONLY = 32,
    OFFSET_IDENTIFIER = 40,
    OFFSET_LABEL = 56,
    OFFSET_GENERATION = 120,
    OFFSET_BLOCK_COUNT = 128,
    OFFSET_MAP_BLOCK = 136,
    OFFSET_MAP_CHECKSUM = 144,
    OFFSET_MAP_HEIGHT = 152,
    OFFSET_BITMAP_HEIGHT = 156,
    OFFSET_BITMAP_BLOCK = 160,
    OFFSET_BITMAP_CHECKSUM = 168,
    OFFSET_PAGE_COUNT = 176,
    OFFSET_CONTENT_COUNT = 184,
    OFFSET_LOG_SALT = 192,
    OFFSET_LOG_LSN = 200,
    OFFSET_LOG_POSITION = 208,
    OFFSET_LOG_SEQUENCE = 216,
    OFFSET_LOG_RUN_COUNT = 224,
    OFFSET_ZERO = 228,
    OFFSET_LOG_RUNS = 232,
    OFFSET_FORMAT_TIME = 744,
    OFFSET_PADDING = 752,
    OFFSET_CHECKSUM = 4088,
};

enum { MAGIC_SIZE = 16, LOG_RUN_SIZE = 16 };

_Static_assert(sizeof SUPERBLOCK_MAGIC - 1 == MAGIC_SIZE, "the magic is 16 bytes");
_Static_assert(OFFSET_LABEL + STORE_LABEL_SIZE == OFFSET_GENERATION, "label");
_Static_assert(OFFSET_LOG_RUNS + SUPERBLOCK_LOG_RUNS * LOG_RUN_SIZE == OFFSET_FORMAT_TIME, "runs of the ring");
_Static_assert(OFFSET_CHECKSUM + 8 == STORE_BLOCK_SIZE, "the checksum ends the block");

void superblock_encode(const struct superblock *superblock, uint8_t ret_block[STORE_BLOCK_SIZE])
{
    uint8_t *block = ret_block;

    memset(block, 0, STORE_BLOCK_SIZE);
    memcpy(block + OFFSET_MAGIC, SUPERBLOCK_MAGIC, MAGIC_SIZE);
    base_put_le32(block + OFFSET_VERSION, SUPERBLOCK_VERSION);
    base_put_le32(block + OFFSET_PAGE_SIZE, superblock->page_size);
    base_put_le64(block + OFFSET_INCOMPATIBLE, superblock->incompatible_features);
    base_put_le64(block + OFFSET_READ_ONLY, superblock->read_only_features);
    memcpy(block + OFFSET_IDENTIFIER, superblock->identifier, STORE_IDENTIFIER_SIZE);
    memcpy(block + OFFSET_LABEL, superblock->label, STORE_LABEL_SIZE);
    base_put_le64(block + OFFSET_GENERATION, superblock->generation);
    base_put_le64(block + OFFSET_BLOCK_COUNT, superblock->block_count);
    base_put_le64(block + OFFSET_MAP_BLOCK, superblock->map.root.block);
    base_put_le64(block + OFFSET_MAP_CHECKSUM, superblock->map.root.checksum);
    base_put_le32(block + OFFSET_MAP_HEIGHT, superblock->map.height);
    base_put_le32(block + OFFSET_BITMAP_HEIGHT, superblock->bitmap.height);
    base_put_le64(block + OFFSET_BITMAP_BLOCK, superblock->bitmap.root.block);
    base_put_le64(block + OFFSET_BITMAP_CHECKSUM, superblock->bitmap.root.checksum);
    base_put_le64(block + OFFSET_PAGE_COUNT, superblock->page_count);
    base_put_le64(block + OFFSET_CONTENT_COUNT, superblock->content_block_count);
    base_put_le64(block + OFFSET_LOG_SALT, superblock->log.salt);
    base_put_le64(block + OFFSET_LOG_LSN, superblock->log.next_lsn);
    base_put_le64(block + OFFSET_LOG_POSITION, superblock->log.next_position);
    base_put_le64(block + OFFSET_LOG_SEQUENCE, superblock->log.next_sequence);
    base_put_le32(block + OFFSET_LOG_RUN_COUNT, superblock->log.run_count);
    for (uint32_t i = 0; i < superblock->log.run_count; i++) {
        uint8_t *run = block + OFFSET_LOG_RUNS + i * LOG_RUN_SIZE;
        base_put_le64(run, superblock->log.runs[i].block);
        base_put_le64(run + 8, superblock->log.runs[i].block_count);
    }
    base_put_le64(block + OFFSET_FORMAT_TIME, superblock->format_time_s);
    base_put_le64(block + OFFSET_CHECKSUM, base_checksum(block, OFFSET_CHECKSUM, SUPERBLOCK_SEED));
}

static void superblock_get_fields(const uint8_t *block, struct superblock *ret_superblock)
{
    *ret_superblock = (struct superblock){
        .page_size = base_get_le32(block + OFFSET_PAGE_SIZE),
        .incompatible_features = base_get_le64(block + OFFSET_INCOMPATIBLE),
        .read_only_features = base_get_le64(block + OFFSET_READ_ONLY),
        .generation = base_get_le64(block + OFFSET_GENERATION),
        .block_count = base_get_le64(block + OFFSET_BLOCK_COUNT),
        .map = {.kind = NODE_MAP,
                .height = base_get_le32(block + OFFSET_MAP_HEIGHT),
                .root = {base_get_le64(block + OFFSET_MAP_BLOCK), base_get_le64(block + OFFSET_MAP_CHECKSUM)}},
        .bitmap = {.kind = NODE_BITMAP,
                   .height = base_get_le32(block + OFFSET_BITMAP_HEIGHT),
                   .root = {base_get_le64(block + OFFSET_BITMAP_BLOCK), base_get_le64(block + OFFSET_BITMAP_CHECKSUM)}},
        .page_count = base_get_le64(block + OFFSET_PAGE_COUNT),
        .content_block_count = base_get_le64(block + OFFSET_CONTENT_COUNT),
        .log = {.salt = base_get_le64(block + OFFSET_LOG_SALT),
                .next_lsn = base_get_le64(block + OFFSET_LOG_LSN),
                .next_position = base_get_le64(block + OFFSET_LOG_POSITION),
                .next_sequence = base_get_le64(block + OFFSET_LOG_SEQUENCE),
                .run_count = base_get_le32(block + OFFSET_LOG_RUN_COUNT)},
        .format_time_s = base_get_le64(block + OFFSET_FORMAT_TIME),
    };
    memcpy(ret_superblock->identifier, block + OFFSET_IDENTIFIER, STORE_IDENTIFIER_SIZE);
    memcpy(ret_superblock->label, block + OFFSET_LABEL, STORE_LABEL_SIZE);
    for (uint32_t i = 0; i < SUPERBLOCK_LOG_RUNS; i++) {
        const uint8_t *run = block + OFFSET_LOG_RUNS + i * LOG_RUN_SIZE;
        ret_superblock->log.runs[i] = (struct superblock_log_run){base_get_le64(run), base_get_le64(run + 8)};
    }
}

static bool superblock_is_zero(const uint8_t *block, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (block[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool superblock_tree_is_valid(const struct radix_tree *tree, uint64_t block_count)
{
    if (tree->height == 0) {
        return tree->root.block == 0 && tree->root.checksum == 0;
    }
    return tree->height <= RADIX_HEIGHT_MAX && tree->root.block >= STORE_HEADER_BLOCKS &&
           tree->root.block < block_count;
}

static bool superblock_log_is_valid(const struct superblock_log *log, uint64_t block_count)
{
    uint64_t size = 0; /* bytes */

    if (log->run_count > SUPERBLOCK_LOG_RUNS) {
        return false;
    }
    for (uint32_t i = 0; i < SUPERBLOCK_LOG_RUNS; i++) {
        const struct superblock_log_run *run = &log->runs[i];
        if (i >= log->run_count) {
            if (run->block != 0 || run->block_count != 0) {
                return false;
            }
        } else if (run->block < STORE_HEADER_BLOCKS || run->block >= block_count || run->block_count == 0 ||
                   run->block_count > block_count - run->block ||
                   run->block_count > SUPERBLOCK_LOG_SIZE_MAX / STORE_BLOCK_SIZE) {
            return false;
        }
        size += run->block_count * STORE_BLOCK_SIZE;
    }
    return size <= SUPERBLOCK_LOG_SIZE_MAX && log->next_position % STORE_BLOCK_SIZE == 0 &&
           (log->next_position < size || log->next_position == 0) && log->next_lsn <= SUPERBLOCK_NUMBER_MAX &&
           log->next_sequence <= SUPERBLOCK_NUMBER_MAX;
}

/* The name of the first field out of its range, or NULL. */
static const char *superblock_find_fault(const struct superblock *superblock, const uint8_t *block)
{
    const uint32_t page_size = superblock->page_size;
    const uint64_t block_count = superblock->block_count;

    if (page_size < STORE_PAGE_SIZE_MIN || page_size > STORE_PAGE_SIZE_MAX || (page_size & (page_size - 1)) != 0) {
        return "page size";
    }
    if (!memchr(superblock->label, 0, STORE_LABEL_SIZE)) {
        return "label";
    }
    if (superblock->generation == 0 || superblock->generation > SUPERBLOCK_NUMBER_MAX) {
        return "generation";
    }
    if (block_count < STORE_HEADER_BLOCKS || block_count > STORE_BLOCKS_MAX ||
        block_count % STORE_SIZE_UNIT_BLOCKS != 0) {
        return "file size";
    }
    if (!superblock_tree_is_valid(&superblock->map, block_count)) {
        return "page map";
    }
    if (!superblock_tree_is_valid(&superblock->bitmap, block_count)) {
        return "content bitmap";
    }
    if (superblock->page_count > block_count || superblock->content_block_count > block_count) {
        return "count of pages or content blocks";
    }
    if (!superblock_log_is_valid(&superblock->log, block_count)) {
        return "log";
    }
    if (!superblock_is_zero(block, OFFSET_ZERO, OFFSET_LOG_RUNS) ||
        !superblock_is_zero(block, OFFSET_PADDING, OFFSET_CHECKSUM)) {
        return "reserved bytes";
    }
    return NULL;
}

enum superblock_state superblock_decode(const uint8_t block[STORE_BLOCK_SIZE], struct superblock *ret_superblock,
                                        struct base_reason *ret_reason)
{
    struct superblock superblock;

    if (memcmp(block + OFFSET_MAGIC, SUPERBLOCK_MAGIC, MAGIC_SIZE) != 0) {
        base_reason_set(ret_reason, "not a beeftree database");
        return SUPERBLOCK_ABSENT;
    }
    uint32_t version = base_get_le32(block + OFFSET_VERSION);
    bool is_whole = base_get_le64(block + OFFSET_CHECKSUM) == base_checksum(block, OFFSET_CHECKSUM, SUPERBLOCK_SEED);
    if (version > SUPERBLOCK_VERSION) {
        base_reason_set(ret_reason, "the format is version %u, newer than this program knows (%u)", version,
                        SUPERBLOCK_VERSION);
        return is_whole ? SUPERBLOCK_NEWER : SUPERBLOCK_SUSPECT;
    }
    if (!is_whole) {
        base_reason_set(ret_reason, "superblock: wrong checksum");
        return SUPERBLOCK_DAMAGED;
    }
    superblock_get_fields(block, &superblock);
    if ((superblock.incompatible_features & ~STORE_FEATURES_KNOWN) != 0) {
        base_reason_set(ret_reason, "the database uses features that this program does not know (0x%llx)",
                        (unsigned long long)(superblock.incompatible_features & ~STORE_FEATURES_KNOWN));
        return SUPERBLOCK_NEWER;
    }
    const char *fault = version == 0 ? "version" : superblock_find_fault(&superblock, block);
    if (fault) {
        base_reason_set(ret_reason, "superblock: impossible value in field: %s", fault);
        return SUPERBLOCK_DAMAGED;
    }
    *ret_superblock = superblock;
    return SUPERBLOCK_VALID;
}

/* What both slots together mean when neither is valid, or one of them is surely newer. */
static int superblock_refuse(const struct superblock_slots *slots, struct base_reason *ret_reason)
{
    static const struct {
        enum superblock_state state;
        int result;
    } order[] = {
        {SUPERBLOCK_NEWER, -EPROTONOSUPPORT},
        {SUPERBLOCK_SUSPECT, -EPROTONOSUPPORT},
        {SUPERBLOCK_DAMAGED, -EUCLEAN},
        {SUPERBLOCK_ABSENT, -EMEDIUMTYPE},
    };

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
            if (slots->states[slot] == order[i].state) {
                *ret_reason = slots->reasons[slot];
                return order[i].result;
            }
        }
    }
    return -EMEDIUMTYPE;
}

int superblock_read_slots(struct os_file *file, struct superblock_slots *ret_slots, struct base_reason *ret_reason)
{
    uint8_t block[STORE_BLOCK_SIZE];
    int newest = -1;
    int read_error = 0;

    *ret_slots = (struct superblock_slots){.newest = 0};
    for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
        int result = os_file_read(file, block, sizeof block, superblock_place(slot) * STORE_BLOCK_SIZE);
        if (result == -ENODATA) {
            ret_slots->states[slot] = SUPERBLOCK_ABSENT;
            base_reason_set(&ret_slots->reasons[slot], "not a beeftree database");
            continue;
        }
        if (result < 0) {
            read_error = result;
            ret_slots->states[slot] = SUPERBLOCK_DAMAGED;
            base_reason_set(&ret_slots->reasons[slot], "the superblock can't be read: %s", strerror(-result));
            continue;
        }
        ret_slots->states[slot] = superblock_decode(block, &ret_slots->superblocks[slot], &ret_slots->reasons[slot]);
        if (ret_slots->states[slot] == SUPERBLOCK_NEWER) {
            return superblock_refuse(ret_slots, ret_reason);
        }
        if (ret_slots->states[slot] == SUPERBLOCK_VALID &&
            (newest < 0 || ret_slots->superblocks[slot].generation > ret_slots->superblocks[newest].generation)) {
            newest = (int)slot;
        }
    }
    if (newest < 0) {
        int result = superblock_refuse(ret_slots, ret_reason);
        return result == -EUCLEAN && read_error < 0 ? read_error : result;
    }
    ret_slots->newest = (unsigned)newest;
    return 0;
}

int superblock_write_slot(struct os_file *file, unsigned slot, const struct superblock *superblock)
{
    uint8_t block[STORE_BLOCK_SIZE];

    superblock_encode(superblock, block);
    return os_file_write(file, block, sizeof block, superblock_place(slot) * STORE_BLOCK_SIZE);
}
