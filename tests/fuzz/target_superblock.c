/* Superblocks: one decoded, two slots read, and a file opened that holds them and little else. (layer: store)
 *
 *      input: flags (1) | offset (2) size (2) bytes ... in slot A, ...
 *      flags: 1 magic, version and checksum are made right; 2 slot B is like A. Offsets from 0x8000 on lead to slot B
 */
#include "fuzz.h"
#include "fuzz_file.h"
#include "superblock.h"

#include "base/bytes.h"
#include "base/checksum.h"

#include <string.h>

enum {
    FLAG_FIX = 1,
    FLAG_ALIKE = 2,
    FILE_BLOCKS = 64,
    OFFSET_VERSION = 16,
    OFFSET_CHECKSUM = 4088,
};

#define SUPERBLOCK_SEED UINT64_C(0x5355504552424C4B)

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_set_messages();
    return 0;
}

static void fix(uint8_t *block)
{
    static const char magic[] = "beeftreefs db 1\n";

    memcpy(block, magic, sizeof magic - 1);
    base_put_le32(block + OFFSET_VERSION, SUPERBLOCK_VERSION);
    base_put_le64(block + OFFSET_CHECKSUM, base_checksum(block, OFFSET_CHECKSUM, SUPERBLOCK_SEED));
}

/* The pieces of the input in the two slots. */
static void fill(struct fuzz_reader *reader, uint8_t slots[2][STORE_BLOCK_SIZE])
{
    while (reader->size > 0) {
        unsigned place = fuzz_take_16(reader);
        size_t offset = place % STORE_BLOCK_SIZE, size = fuzz_take_8(reader);
        const uint8_t *bytes;
        size = fuzz_take_bytes(reader, size, &bytes);
        if (size > STORE_BLOCK_SIZE - offset) {
            size = STORE_BLOCK_SIZE - offset;
        }
        if (size > 0) {
            memcpy(slots[place >= 0x8000] + offset, bytes, size);
        }
    }
}

static void check_one(const uint8_t *block)
{
    struct superblock superblock;
    struct base_reason reason = {""};
    uint8_t again[STORE_BLOCK_SIZE];

    if (superblock_decode(block, &superblock, &reason) == SUPERBLOCK_VALID) {
        superblock_encode(&superblock, again);
        FUZZ_EXPECT(memcmp(block, again, STORE_BLOCK_SIZE) == 0);
    } else {
        FUZZ_EXPECT(reason.text[0] != '\0' && memchr(reason.text, '\0', sizeof reason.text));
    }
}

static int open_store(struct os_file *file, bool read_only)
{
    struct store_open_options options = {.read_only = read_only};
    struct base_reason reason = {""};
    struct store_check_report report = {0};
    struct store *store;

    fuzz_file_set_read_only(read_only);
    int result = store_open(file, &options, &store, &reason);
    FUZZ_EXPECT(result <= 0 && result > -4096);
    if (result == 0) {
        FUZZ_EXPECT(store_check(store, &report) == 0);
        store_close(store);
    } else {
        FUZZ_EXPECT(reason.text[0] != '\0');
    }
    fuzz_file_set_read_only(false);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t slots[SUPERBLOCK_SLOTS][STORE_BLOCK_SIZE];
    struct fuzz_reader reader = {data, size};
    unsigned flags = fuzz_take_8(&reader);
    struct os_file *file = fuzz_file_reset();

    memset(slots, 0, sizeof slots);
    fill(&reader, slots);
    if (flags & FLAG_ALIKE) {
        memcpy(slots[1], slots[0], STORE_BLOCK_SIZE);
    }
    fuzz_file_set_size(FILE_BLOCKS * STORE_BLOCK_SIZE);
    for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
        if (flags & FLAG_FIX) {
            fix(slots[slot]);
        }
        check_one(slots[slot]);
        FUZZ_EXPECT(os_file_write(file, slots[slot], STORE_BLOCK_SIZE, superblock_place(slot) * STORE_BLOCK_SIZE) == 0);
    }
    open_store(file, true);
    int result = open_store(file, false);
    FUZZ_EXPECT(open_store(file, true) == 0 || result < 0);
    return 0;
}
