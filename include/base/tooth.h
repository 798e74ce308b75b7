/* Teeth: mistakes that the power-cut simulation must catch (tests/crash). One test build (BEEFTREE_TEETH) can make each
 * of them on purpose, one at a time; in every other build BASE_TOOTH is the constant false and its branch is gone.
 *
 * A tooth stands where the code would be wrong without the line beside it, so that a reader sees what the line is for.
 */
#ifndef BEEFTREE_BASE_TOOTH_H
#define BEEFTREE_BASE_TOOTH_H

#include <stdbool.h>

enum base_tooth {
    BASE_TOOTH_NONE,
    BASE_TOOTH_NO_SYNC,                /* a batch is called durable without a sync */
    BASE_TOOTH_NO_BATCH_CHECKSUM,      /* recovery believes a batch whose checksum is wrong */
    BASE_TOOTH_NO_SALT,                /* ... or one that an earlier mount wrote, and the next left out, but not void */
    BASE_TOOTH_EARLY_SUPERBLOCK,       /* the superblock is written before its pages are durable */
    BASE_TOOTH_NO_CONTENT_CHECK,       /* recovery does not look at the contents of the last batch */
    BASE_TOOTH_EARLY_REUSE,            /* a content block is reused before the record that freed it is durable */
    BASE_TOOTH_LISTS_OVERWRITTEN,      /* a batch lists blocks that were freed again within it */
    BASE_TOOTH_STEAL_OVER_CONTENTS,    /* recovery writes pages over contents that only the log names */
    BASE_TOOTH_REUSES_FROZEN,          /* a page block of the state on disk is reused before the next one is durable */
    BASE_TOOTH_FREEZE_IN_BATCH,        /* a freeze does not seal: the superblock's LSN lies within a batch */
    BASE_TOOTH_DAMAGE_IS_END,          /* a valid batch behind a damaged one is not looked for */
    BASE_TOOTH_FOLLOWER_LET_GO,        /* a follower is let go by a sync that began before its record */
    BASE_TOOTH_TRUNCATED_BYTES_RETURN, /* growing a file does not clear what a truncation left behind the end */
    BASE_TOOTH_OWNER_FORGOTTEN,        /* a shared block is freed with its first owner */
    BASE_TOOTH_COUNT,
};

#ifdef BEEFTREE_TEETH
extern enum base_tooth base_tooth_active; /* set before anything else runs */
#define BASE_TOOTH(name) (base_tooth_active == BASE_TOOTH_##name)
#else
#define BASE_TOOTH(name) false
#endif

#endif
