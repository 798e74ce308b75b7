/* Formatting, opening and closing.
 *
 * Opening reads the slots, then the whole of both trees of the newest state, checking every node and marking every
 * block that they name; a block named twice is damage. When the newest state is damaged and the other slot holds an
 * older one, that one is tried.
 *
 * A writable open first syncs and drops what the host has cached: what is read is then what is on the disk, and is
 * durable. When all has been read, the log included (recover.h), it makes both slots alike, so that nothing names a
 * state whose blocks may now be overwritten, and only then goes on to a new checkpoint. */
#include "internal.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FORMAT_LOG_SIZE = 1 << 20, /* bytes */
    FORMAT_LOG_SIZE_MIN = 16 << 10,
    FORMAT_WRITE_SIZE = 256 << 10,
};

/* --- Format ------------------------------------------------------------------------------------------------------- */

/* A file that holds something other than zeros where the header goes is not empty. */
static int format_check_empty(struct os_file *file)
{
    uint64_t size;
    int result = os_file_get_size(file, &size);

    for (uint64_t i = 0; result == 0 && i < STORE_HEADER_BLOCKS && (i + 1) * STORE_BLOCK_SIZE <= size; i++) {
        uint8_t block[STORE_BLOCK_SIZE];
        result = os_file_read(file, block, sizeof block, i * STORE_BLOCK_SIZE);
        if (result == 0 && (block[0] != 0 || memcmp(block, block + 1, sizeof block - 1) != 0)) {
            result = -EEXIST;
        }
    }
    return result;
}

/* The ring stands behind the header. */
static void format_place_log(struct superblock *superblock, uint64_t block_count)
{
    uint64_t end = STORE_HEADER_BLOCKS + block_count;

    superblock->log = (struct superblock_log){
        .next_lsn = 1, .next_sequence = 1, .run_count = 1, .runs = {{STORE_HEADER_BLOCKS, block_count}}};
    superblock->block_count = (end + STORE_SIZE_UNIT_BLOCKS - 1) / STORE_SIZE_UNIT_BLOCKS * STORE_SIZE_UNIT_BLOCKS;
}

/* Zeros, written and not only allocated: then a sync of the log has no metadata of the host to bring up to date. */
static int format_write_log(struct os_file *file, uint64_t size)
{
    uint8_t *zeros = calloc(1, FORMAT_WRITE_SIZE);
    int result = zeros ? 0 : -ENOMEM;

    for (uint64_t done = 0; done < size && result == 0;) {
        uint64_t part = size - done < FORMAT_WRITE_SIZE ? size - done : FORMAT_WRITE_SIZE;
        result = os_file_write(file, zeros, part, STORE_HEADER_BLOCKS * STORE_BLOCK_SIZE + done);
        done += part;
    }
    free(zeros);
    return result;
}

int store_format(struct os_file *file, const struct store_format_options *options)
{
    struct superblock superblock = {
        .page_size = options->page_size,
        .generation = 1,
        .map = {.kind = NODE_MAP},
        .bitmap = {.kind = NODE_BITMAP},
        .format_time_s = (uint64_t)base_clock_now().tv_sec,
    };
    const uint32_t page_size = options->page_size;
    const uint64_t log_size = options->log_size ? options->log_size : FORMAT_LOG_SIZE;

    if (page_size < STORE_PAGE_SIZE_MIN || page_size > STORE_PAGE_SIZE_MAX || (page_size & (page_size - 1)) != 0) {
        return -EINVAL;
    }
    if (!memchr(options->label, 0, STORE_LABEL_SIZE)) {
        return -EINVAL;
    }
    if (log_size < FORMAT_LOG_SIZE_MIN || log_size > SUPERBLOCK_LOG_SIZE_MAX || log_size % STORE_BLOCK_SIZE != 0) {
        return -EINVAL;
    }
    format_place_log(&superblock, log_size / STORE_BLOCK_SIZE);
    memcpy(superblock.label, options->label, strlen(options->label) + 1);
    int result = format_check_empty(file);
    if (result == 0) {
        result = base_random_system(superblock.identifier, STORE_IDENTIFIER_SIZE);
    }
    if (result == 0) {
        result = os_file_allocate(file, 0, superblock.block_count * STORE_BLOCK_SIZE);
    }
    if (result == 0) {
        result = format_write_log(file, log_size);
    }
    superblock.identifier[6] = (uint8_t)((superblock.identifier[6] & 0x0F) | 0x40); /* a UUID of version 4 */
    superblock.identifier[8] = (uint8_t)((superblock.identifier[8] & 0x3F) | 0x80);
    for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS && result == 0; slot++) {
        result = superblock_write_slot(file, slot, &superblock);
    }
    return result == 0 ? os_file_sync(file) : result;
}

/* --- Loading one state -------------------------------------------------------------------------------------------- */

struct load {
    struct store *store;
    uint64_t page_count;
    uint64_t content_count;
};

static int load_mark(struct load *load, enum space_use use, uint64_t block, uint64_t count, const char *what,
                     uint64_t number, struct base_reason *ret_reason)
{
    int result = space_mark(&load->store->space, use, block, count);

    if (result == -EUCLEAN) {
        base_reason_set(ret_reason, "%s %llu: block %llu is beyond the end or used twice", what,
                        (unsigned long long)number, (unsigned long long)block);
    } else if (result < 0) {
        base_reason_set(ret_reason, "%s", strerror(-result));
    }
    return result;
}

static int load_node(void *context, uint64_t block, struct base_reason *ret_reason)
{
    return load_mark(context, SPACE_NODE, block, 1, "node at block", block, ret_reason);
}

static int load_map_leaf(void *context, uint64_t leaf, const uint8_t *node, struct base_reason *ret_reason)
{
    struct load *load = context;
    struct store *store = load->store;

    for (uint32_t i = 0; i < RADIX_PAGES_PER_LEAF; i++) {
        uint64_t page = leaf * RADIX_PAGES_PER_LEAF + i;
        struct node_ref entry = radix_get_entry(node, i);
        if (entry.block == 0) {
            if (entry.checksum != 0) {
                base_reason_set(ret_reason, "page map: absent page %llu has a checksum", (unsigned long long)page);
                return -EUCLEAN;
            }
            continue;
        }
        if (entry.block % store->page_blocks != 0) {
            base_reason_set(ret_reason, "page map: page %llu at block %llu is not aligned", (unsigned long long)page,
                            (unsigned long long)entry.block);
            return -EUCLEAN;
        }
        int result = load_mark(load, SPACE_PAGE, entry.block, store->page_blocks, "page", page, ret_reason);
        if (result == 0) {
            result = page_numbers_add(&store->space.numbers, page);
            if (result == -ERANGE) {
                base_reason_set(ret_reason, "page map: impossible page number %llu", (unsigned long long)page);
                result = -EUCLEAN;
            } else if (result < 0) {
                base_reason_set(ret_reason, "%s", strerror(-result));
            }
        }
        if (result < 0) {
            return result;
        }
        load->page_count++;
    }
    return 0;
}

static int load_bitmap_leaf(void *context, uint64_t leaf, const uint8_t *node, struct base_reason *ret_reason)
{
    struct load *load = context;
    uint32_t bit = 0;

    while (bit < RADIX_BLOCKS_PER_LEAF) {
        if (bit % 64 == 0 && base_get_le64(node + bit / 8) == 0) {
            bit += 64;
            continue;
        }
        uint32_t first = bit;
        while (bit < RADIX_BLOCKS_PER_LEAF && (node[bit / 8] >> (bit % 8) & 1)) {
            bit++;
        }
        if (bit == first) {
            bit++;
            continue;
        }
        uint64_t block = leaf * RADIX_BLOCKS_PER_LEAF + first;
        int result = load_mark(load, SPACE_CONTENT, block, bit - first, "contents at block", block, ret_reason);
        if (result < 0) {
            return result;
        }
        load->content_count += bit - first;
    }
    return 0;
}

static int load_log(struct load *load, const struct superblock_log *log, struct base_reason *ret_reason)
{
    int result = 0;

    for (uint32_t i = 0; i < log->run_count && result == 0; i++) {
        result = load_mark(load, SPACE_LOG, log->runs[i].block, log->runs[i].block_count, "log run", i, ret_reason);
    }
    return result;
}

/* Before anything is sized by what the superblock says. */
static int load_check_size(struct os_file *file, const struct superblock *superblock, struct base_reason *ret_reason)
{
    uint64_t size;
    int result = os_file_get_size(file, &size);

    if (result < 0) {
        base_reason_set(ret_reason, "%s", strerror(-result));
        return result;
    }
    if (size / STORE_BLOCK_SIZE < superblock->block_count) {
        unsigned long long expected_size = superblock->block_count * STORE_BLOCK_SIZE;
        base_reason_set(ret_reason, "cut short: the file has %llu bytes and should have %llu", (unsigned long long)size,
                        expected_size);
        return -EUCLEAN;
    }
    return 0;
}

/* Reads both trees of a superblock and fills space and page numbers. */
static int store_load(struct store *store, const struct superblock *superblock, struct base_reason *ret_reason)
{
    struct load load = {.store = store};
    const struct radix_visitor map_visitor = {&load, load_node, load_map_leaf, NULL};
    const struct radix_visitor bitmap_visitor = {&load, load_node, load_bitmap_leaf, NULL};
    int result = load_log(&load, &superblock->log, ret_reason);
    if (result == 0) {
        result = radix_walk(&store->nodes, &superblock->map, &map_visitor, ret_reason);
    }
    if (result == 0) {
        result = radix_walk(&store->nodes, &superblock->bitmap, &bitmap_visitor, ret_reason);
    }
    if (result == 0 &&
        (load.page_count != superblock->page_count || load.content_count != superblock->content_block_count)) {
        base_reason_set(ret_reason, "the superblock counts %llu pages and %llu content blocks, there are %llu and %llu",
                        (unsigned long long)superblock->page_count, (unsigned long long)superblock->content_block_count,
                        (unsigned long long)load.page_count, (unsigned long long)load.content_count);
        result = -EUCLEAN;
    }
    return result;
}

/* --- Open and close ----------------------------------------------------------------------------------------------- */

static void store_destroy(struct store *store)
{
    recover_contents_destroy(store->redo_contents);
    redo_destroy(store->redo);
    overlay_deinit(&store->live);
    overlay_deinit(&store->frozen);
    free(store->changes_live.items);
    free(store->changes_frozen.items);
    free(store->changes_spare.items);
    log_deinit(store);
    node_cache_deinit(&store->nodes);
    space_deinit(&store->space);
    base_latch_deinit(&store->map_latch);
    base_mutex_deinit(&store->failure_mutex);
    base_mutex_deinit(&store->sync_mutex);
    base_mutex_deinit(&store->writeback_mutex);
    free(store);
}

/* Makes a store for the state that a superblock names. */
static int store_create(struct os_file *file, const struct store_open_options *options,
                        const struct superblock *superblock, struct store **ret_store, struct base_reason *ret_reason)
{
    int result = load_check_size(file, superblock, ret_reason);

    if (result < 0) {
        return result;
    }
    struct store *store = calloc(1, sizeof *store);
    result = -ENOMEM;
    base_reason_set(ret_reason, "out of memory");
    if (!store) {
        return result;
    }
    store->file = file;
    store->read_only = options->read_only;
    store->page_size = superblock->page_size;
    store->page_blocks = superblock->page_size / STORE_BLOCK_SIZE;
    memcpy(store->label, superblock->label, STORE_LABEL_SIZE);
    memcpy(store->identifier, superblock->identifier, STORE_IDENTIFIER_SIZE);
    store->superblock = *superblock;
    store->map = superblock->map;
    store->bitmap = superblock->bitmap;
    atomic_init(&store->generation, superblock->generation);
    atomic_init(&store->features, superblock->incompatible_features);
    atomic_init(&store->features_wanted, 0);
    if (node_cache_init(&store->nodes, file, options->node_cache_size) < 0) {
        free(store);
        return result;
    }
    if (space_init(&store->space, store->page_blocks, superblock->block_count) < 0) {
        node_cache_deinit(&store->nodes);
        free(store);
        return result;
    }
    base_latch_init(&store->map_latch, BASE_RANK_STORE_MAP);
    base_mutex_init(&store->failure_mutex, BASE_RANK_LEAF);
    base_mutex_init(&store->sync_mutex, BASE_RANK_STORE_SYNC);
    base_mutex_init(&store->writeback_mutex, BASE_RANK_LEAF);
    result = store_load(store, superblock, ret_reason);
    if (result < 0) {
        store_destroy(store);
        return result;
    }
    *ret_store = store;
    return 0;
}

/* The newest state that is whole. *ret_slot says which slot named it. */
static int open_newest(struct os_file *file, const struct store_open_options *options,
                       const struct superblock_slots *slots, struct store **ret_store, unsigned *ret_slot,
                       struct base_reason *ret_reason)
{
    const unsigned newest = slots->newest;
    const unsigned other = 1 - newest;
    const struct superblock *superblock = &slots->superblocks[newest];
    struct base_reason other_reason;

    if (!options->read_only && superblock->read_only_features != 0) {
        base_reason_set(ret_reason, "the database uses features that this program can only read (0x%llx)",
                        (unsigned long long)superblock->read_only_features);
        return -EPROTONOSUPPORT;
    }
    if (!options->read_only && (superblock->generation > SUPERBLOCK_NUMBER_MAX_WRITABLE ||
                                superblock->log.next_lsn > SUPERBLOCK_NUMBER_MAX_WRITABLE ||
                                superblock->log.next_sequence > SUPERBLOCK_NUMBER_MAX_WRITABLE)) {
        base_reason_set(ret_reason, "superblock: generation or numbers of the log are too large to be true (it can be "
                                    "mounted read-only)");
        return -EUCLEAN;
    }
    *ret_slot = newest;
    int result = store_create(file, options, superblock, ret_store, ret_reason);
    if (result != -EUCLEAN || slots->states[other] != SUPERBLOCK_VALID ||
        slots->superblocks[other].generation >= superblock->generation) {
        return result;
    }
    *ret_slot = other;
    if (store_create(file, options, &slots->superblocks[other], ret_store, &other_reason) < 0) {
        return result; /* the reason stays the newest state's */
    }
    base_message(BASE_MESSAGE_WARNING, "the newest state (generation %llu) is damaged, using the one before: %s",
                 (unsigned long long)superblock->generation, ret_reason->text);
    return 0;
}

/* Makes both slots alike if they are not. */
static int open_repair(struct store *store, const struct superblock_slots *slots, unsigned slot)
{
    uint8_t own[STORE_BLOCK_SIZE];
    uint8_t other[STORE_BLOCK_SIZE];

    superblock_encode(&slots->superblocks[slot], own);
    if (slots->states[1 - slot] == SUPERBLOCK_VALID) {
        superblock_encode(&slots->superblocks[1 - slot], other);
        if (memcmp(own, other, STORE_BLOCK_SIZE) == 0) {
            return 0;
        }
    }
    int result = superblock_write_slot(store->file, 1 - slot, &slots->superblocks[slot]);
    return result == 0 ? os_file_sync(store->file) : result;
}

/* The newest state is loaded: now the log. */
static int open_recover(struct store *store, const struct superblock_slots *slots, unsigned slot,
                        struct base_reason *ret_reason)
{
    int result = recover_replay(store, ret_reason);

    if (result == 0 && !store->read_only) {
        result = open_repair(store, slots, slot);
        if (result < 0) {
            base_reason_set(ret_reason, "the superblock can't be written: %s", strerror(-result));
        } else {
            result = recover_finish(store, ret_reason);
        }
    }
    return result;
}

int store_open(struct os_file *file, const struct store_open_options *options, struct store **ret_store,
               struct base_reason *ret_reason)
{
    struct superblock_slots *slots = malloc(sizeof *slots);
    struct store *store = NULL;
    unsigned slot;
    int result;

    if (!slots) {
        base_reason_set(ret_reason, "out of memory");
        return -ENOMEM;
    }
    if (!options->read_only) {
        result = os_file_sync(file);
        if (result < 0) {
            base_reason_set(ret_reason, "the file can't be synced: %s", strerror(-result));
            goto out;
        }
        (void)os_file_drop_cache(file); /* advice: a host that can't has nothing to drop */
    }
    result = superblock_read_slots(file, slots, ret_reason);
    if (result == 0) {
        result = open_newest(file, options, slots, &store, &slot, ret_reason);
    }
    if (result == 0) {
        result = open_recover(store, slots, slot, ret_reason);
        if (result < 0) {
            store_destroy(store);
        } else {
            *ret_store = store;
        }
    }
out:
    free(slots);
    return result;
}

void store_close(struct store *store)
{
    store_destroy(store);
}
