/* SPDX-License-Identifier: MIT
 *
 * stack.h - fibers' stacks: mapped in large pieces, touched lazily, guarded,
 * used again, their memory given back when they lie cold.
 *
 * A stack is a slot of an arena: below its usable bytes lies a guard, which
 * faults. The guard is made by MADV_GUARD_INSTALL (Linux 6.13: no mapping of
 * its own), if it is seen to work; by mprotect(2) elsewhere, as far as
 * vm.max_map_count allows (a quarter is left for everything else); past that
 * stacks have no guard, and are counted.
 *
 * A pool belongs to a run-time: any thread may take from it and give to it, and
 * each worker keeps a cache of hot stacks in front of it, for itself alone.
 */
#ifndef KRAIT__STACK_H
#define KRAIT__STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct krait__stacks; /* the pool */

/* A stack in use. `high` is coloured: not always at the same offset in its
 * page, so that a thousand fibers don't fight for the same cache lines. Both
 * are aligned to 64 bytes. */
struct krait__stack {
    char *low, *high;
};

/* How many free stacks a worker keeps as they are, touched pages and all. */
enum { KRAIT__HOT_STACKS = 256 };

/* A worker's: zero is an empty one. Holds stacks of the pool's default size. */
struct krait__stack_cache {
    struct krait__stack hot[KRAIT__HOT_STACKS]; /* as they were handed out */
    unsigned count;
};

/* A pool whose stacks have `size` usable bytes at least, unless more is asked
 * for. NULL: no memory. */
struct krait__stacks *krait__stacks_new(size_t size);

/* With no stack in use; caches are forgotten. Unmaps everything. */
void krait__stacks_free(struct krait__stacks *pool);

/* A stack of at least `size` bytes, and of the pool's default size where that
 * is more, through `cache` (NULL: none). What a stack holds when it is taken is
 * what the one before left, or zeros. 0 or -ENOMEM. */
int krait__stack_take(struct krait__stacks *pool,
                      struct krait__stack_cache *cache, size_t size,
                      struct krait__stack *out);

/* Gives it back, as it was handed out. Nothing on it may be used any more. */
void krait__stack_give(struct krait__stacks *pool,
                       struct krait__stack_cache *cache,
                       struct krait__stack *stack);

/* Moves what a cache holds to the pool, its memory given back. */
void krait__stack_cache_flush(struct krait__stacks *pool,
                              struct krait__stack_cache *cache);

/* The stack whose guard holds `addr`: true, and `*out` (high included, as it
 * was handed out). Takes no lock: for a SIGSEGV handler. */
bool krait__stack_guarding(struct krait__stacks *pool, const void *addr,
                           struct krait__stack *out);

struct krait__stack_counts {
    uint64_t mapped, unguarded, bytes, resident;
    const char *guards; /* "MADV_GUARD_INSTALL", "mprotect", "none" */
};

/* `resident` walks the whole (mincore(2)); the rest costs nothing. Any
 * thread. */
void krait__stacks_count(struct krait__stacks *pool,
                         struct krait__stack_counts *out);

/* For tests: how pools that are made from now on see their kernel. */
extern struct krait__stack_test {
    bool no_guard_install; /* as before Linux 6.13 */
    size_t mprotect_max;   /* guards by mprotect, at most; SIZE_MAX: as the
                            * kernel says */
} krait__stack_test;

#endif
