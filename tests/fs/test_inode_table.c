/* The table of inodes in use against an array of counts: dense numbers, far ones, many that come and go, so that slots
 * collide, move up and double. */
#include "names.h"
#include "support/test_seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"

enum { NUMBER_COUNT = 3000, STEP_COUNT = 400000, REFERENCES_MAX = 3 };

struct known {
    uint64_t number, lookups;
    unsigned references;
    struct fs_inode *inode; /* while it is referenced */
};

static struct known known[NUMBER_COUNT];

/* Dense runs, runs a power of two apart, and numbers from anywhere. */
static void choose_numbers(struct base_random *random)
{
    for (int i = 0; i < NUMBER_COUNT; i++) {
        uint64_t run = (uint64_t)(i / 500), place = (uint64_t)(i % 500);
        known[i] = (struct known){.number = run < 4 ? 1 + (run << 20) + place : base_random_next(random) | 1U << 30};
    }
}

static void step(struct fs *fs, struct base_random *random, uint64_t *in_use, uint64_t *lookups)
{
    struct known *one = &known[base_random_below(random, NUMBER_COUNT)];
    bool was_used = one->references > 0 || one->lookups > 0;
    struct fs_inode *inode;
    switch (base_random_below(random, 5)) {
    case 0:
        if (one->references == REFERENCES_MAX)
            return;
        assert_int_equal(fs_inode_acquire(fs, one->number, &inode), 0);
        assert_int_equal(inode->number, one->number);
        assert_true(one->references == 0 || inode == one->inode);
        one->inode = inode;
        one->references++;
        break;
    case 1:
        if (one->references == 0)
            return;
        fs_inode_release(fs, one->inode);
        one->references--;
        break;
    case 2:
        assert_int_equal(fs_inode_add_lookup(fs, one->number), 0);
        one->lookups++;
        ++*lookups;
        break;
    case 3:
        if (one->references == 0)
            return;
        fs_inode_reference_to_lookup(fs, one->inode);
        one->references--;
        one->lookups++;
        ++*lookups;
        break;
    default: {
        uint64_t count = one->lookups > 0 ? 1 + base_random_below(random, one->lookups) : 0;
        fs_forget(fs, one->number, count);
        one->lookups -= count;
        *lookups -= count;
    }
    }
    bool is_used = one->references > 0 || one->lookups > 0;
    *in_use += (uint64_t)is_used - (uint64_t)was_used;
}

static void test_against_counts(void **state)
{
    (void)state;
    struct fs fs = {.read_only = false};
    struct base_random random;
    uint64_t in_use = 0, lookups = 0, inodes, sum;
    base_random_seed(&random, test_seed("inode table", 1));
    choose_numbers(&random);
    assert_int_equal(fs_inode_table_create(&fs.inodes), 0);
    for (int i = 0; i < STEP_COUNT; i++) {
        step(&fs, &random, &in_use, &lookups);
        if (i % 1000 == 0) {
            fs_get_use(&fs, &inodes, &sum);
            assert_int_equal(inodes, in_use);
            assert_int_equal(sum, lookups);
        }
    }
    for (int i = 0; i < NUMBER_COUNT; i++) {
        while (known[i].references > 0) {
            fs_inode_release(&fs, known[i].inode);
            known[i].references--;
        }
        fs_forget(&fs, known[i].number, known[i].lookups + 7);
    }
    fs_get_use(&fs, &inodes, &sum);
    assert_int_equal(inodes, 0);
    assert_int_equal(sum, 0);
    fs_inode_table_destroy(fs.inodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
