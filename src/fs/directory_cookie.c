/* Cookies of directory places, and the bounded memory of those last handed out.
 *
 * The table has two generations of up to FS_COOKIE_GENERATION_SIZE places. A generation is an array of slots, chained
 * by cookie from an array of heads, and the names one after the other. All three double as they fill, and are kept for
 * the generation after the next: there is no allocation per entry.
 *
 * Two names with one hash: while the table remembers the one, the other gets the next free number, so each of the last
 * places is resumed exactly. Such a number is no hash: once forgotten, a scan does not find it and the listing begins
 * anew. */
#include "directory.h"

#include "base/assert.h"
#include "base/checksum.h"

#include <stdlib.h>
#include <string.h>

enum { COOKIE_MIN = 16, SLOTS_MIN = 32, NAME_BYTES_MIN = 512 };

_Static_assert((FS_COOKIE_GENERATION_SIZE & (FS_COOKIE_GENERATION_SIZE - 1)) == 0, "heads are found by a mask");
_Static_assert(FS_COOKIE_GENERATION_SIZE < UINT16_MAX, "a slot's number + 1 must fit");

uint64_t fs_cookie_hash(uint64_t seed, const char *name, size_t name_size)
{
    uint64_t hash = base_checksum(name, name_size, seed) >> 1;
    return hash < COOKIE_MIN ? hash + COOKIE_MIN : hash;
}

static uint16_t *head_of(const struct fs_cookie_generation *generation, uint64_t cookie)
{
    return &generation->heads[cookie & (generation->slot_capacity - 1)];
}

static const struct fs_cookie_slot *find_in(const struct fs_cookie_generation *generation, uint64_t cookie)
{
    if (generation->slot_count == 0) {
        return NULL;
    }
    for (uint16_t number = *head_of(generation, cookie); number != 0;) {
        const struct fs_cookie_slot *slot = &generation->slots[number - 1];
        if (slot->cookie == cookie) {
            return slot;
        }
        number = slot->next;
    }
    return NULL;
}

const char *fs_cookie_find(const struct fs_cookie_table *table, uint64_t cookie, size_t *ret_name_size)
{
    const struct fs_cookie_generation *generation = &table->current;
    const struct fs_cookie_slot *slot = find_in(generation, cookie);
    if (!slot) {
        generation = &table->previous;
        slot = find_in(generation, cookie);
    }
    if (!slot) {
        return NULL;
    }
    *ret_name_size = slot->name_size;
    return generation->names + slot->name_offset;
}

uint64_t fs_cookie_choose(const struct fs_cookie_table *table, uint64_t hash, const char *name, size_t name_size)
{
    for (uint64_t cookie = hash;; cookie = cookie == INT64_MAX ? COOKIE_MIN : cookie + 1) {
        size_t other_size;
        const char *other = fs_cookie_find(table, cookie, &other_size);
        if (!other || (other_size == name_size && memcmp(other, name, name_size) == 0)) {
            return cookie;
        }
    }
}

static void chain(struct fs_cookie_generation *generation, uint32_t index)
{
    struct fs_cookie_slot *slot = &generation->slots[index];
    uint16_t *head = head_of(generation, slot->cookie);
    slot->next = *head;
    *head = (uint16_t)(index + 1);
}

static bool grow_slots(struct fs_cookie_generation *generation)
{
    uint32_t capacity = generation->slot_capacity ? 2 * generation->slot_capacity : SLOTS_MIN;
    uint16_t *heads = calloc(capacity, sizeof *heads);
    struct fs_cookie_slot *slots = heads ? realloc(generation->slots, capacity * sizeof *slots) : NULL;
    if (!slots) {
        free(heads);
        return false;
    }
    free(generation->heads);
    generation->heads = heads;
    generation->slots = slots;
    generation->slot_capacity = capacity;
    for (uint32_t i = 0; i < generation->slot_count; i++) {
        chain(generation, i);
    }
    return true;
}

static bool grow_names(struct fs_cookie_generation *generation)
{
    uint32_t capacity = generation->name_capacity ? 2 * generation->name_capacity : NAME_BYTES_MIN;
    char *names = realloc(generation->names, capacity);
    if (!names) {
        return false;
    }
    generation->names = names;
    generation->name_capacity = capacity;
    return true;
}

static void start_generation(struct fs_cookie_table *table)
{
    struct fs_cookie_generation recycled = table->previous;
    table->previous = table->current;
    recycled.slot_count = 0;
    recycled.name_used = 0;
    if (recycled.heads) {
        memset(recycled.heads, 0, recycled.slot_capacity * sizeof *recycled.heads);
    }
    table->current = recycled;
}

void fs_cookie_keep(struct fs_cookie_table *table, uint64_t cookie, const char *name, size_t name_size)
{
    struct fs_cookie_generation *generation = &table->current;
    BASE_ASSERT(name_size <= FS_NAME_SIZE_MAX);
    if (find_in(generation, cookie)) {
        return; /* the same name: fs_cookie_choose sees to that */
    }
    if (generation->slot_count == FS_COOKIE_GENERATION_SIZE) {
        start_generation(table);
    }
    if (generation->slot_count == generation->slot_capacity && !grow_slots(generation)) {
        return;
    }
    if (generation->name_capacity - generation->name_used < name_size && !grow_names(generation)) {
        return;
    }
    generation->slots[generation->slot_count] = (struct fs_cookie_slot){
        .cookie = cookie, .name_offset = generation->name_used, .name_size = (uint16_t)name_size};
    memcpy(generation->names + generation->name_used, name, name_size);
    generation->name_used += (uint32_t)name_size;
    chain(generation, generation->slot_count++);
}

static void generation_deinit(struct fs_cookie_generation *generation)
{
    free(generation->slots);
    free(generation->heads);
    free(generation->names);
}

void fs_cookie_table_deinit(struct fs_cookie_table *table)
{
    generation_deinit(&table->current);
    generation_deinit(&table->previous);
}
