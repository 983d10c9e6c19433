/* SPDX-License-Identifier: MIT
 *
 * micro_switching.c - from one fiber to another, and a fiber's whole life.
 *
 * The bare switch is no public call: that item goes to the library's own
 * fiber/context.h. All others use what a user has.
 */
#include <stdlib.h>
#include <krait.h>

#include "fiber/context.h"
#include "micro.h"

/* --- the bare switch --------------------------------------------------- */

static struct krait__context here, there;

static void go_back(void *arg)
{
    (void)arg;
    for (;;)
        krait__context_switch(&there, &here);
}

static void begin_contexts(void)
{
    static _Alignas(64) char stack[65536];

    krait__context_adopt(&here);
    krait__context_make(&there, stack, stack + sizeof stack, go_back, NULL);
}

static void end_contexts(void)
{
    krait__context_end(&there);
}

static void switch_contexts(long times)
{
    while (times-- > 0)
        krait__context_switch(&here, &there);
}

/* --- yielding ---------------------------------------------------------- */

static void yield(long times)
{
    while (times-- > 0)
        krait_yield();
}

static bool enough;
static krait_fiber *others[64];
static int other_count;

static int keep_yielding(void *arg)
{
    (void)arg;
    while (!enough)
        krait_yield();
    return 0;
}

static void begin_others(int count)
{
    enough = false;
    for (other_count = 0; other_count < count; other_count++) {
        others[other_count] = krait_spawn(keep_yielding, NULL, NULL);
        micro_check(others[other_count], "krait_spawn");
    }
}

static void begin_one(void)
{
    begin_others(1);
}

static void begin_many(void)
{
    begin_others(63);
}

static void end_others(void)
{
    enough = true;
    while (other_count > 0)
        micro_check(krait_join(others[--other_count], NULL) == 0, "krait_join");
}

/* --- a fiber's life ---------------------------------------------------- */

enum { MANY = 32 };

static int live(void *arg)
{
    (void)arg;
    return 0;
}

static krait_fiber *spawn(void)
{
    krait_fiber *f = krait_spawn(live, NULL, NULL);

    micro_check(f, "krait_spawn");
    return f;
}

static void spawn_and_join(long times)
{
    while (times-- > 0)
        krait_join(spawn(), NULL);
}

static void spawn_and_join_many(long times)
{
    krait_fiber *fibers[MANY];

    while (times-- > 0) {
        for (int i = 0; i < MANY; i++)
            fibers[i] = spawn();
        for (int i = 0; i < MANY; i++)
            krait_join(fibers[i], NULL);
    }
}

/* It runs while its parent yields. */
static void spawn_and_release(long times)
{
    while (times-- > 0) {
        krait_release(spawn());
        krait_yield();
    }
}

static void spawn_and_release_many(long times)
{
    while (times-- > 0) {
        for (int i = 0; i < MANY; i++)
            krait_release(spawn());
        krait_yield();
    }
}

const struct micro_item micro_switching[] = {
    {
        .name = "context switch",
        .run = switch_contexts,
        .begin = begin_contexts,
        .end = end_contexts,
        .each = 2,
        .yardstick = "swapcontext",
        .target = 5,
    },
    {
        .name = "krait_yield, two fibers, there and back",
        .places = IN_FIBER,
        .run = yield,
        .begin = begin_one,
        .end = end_others,
        .yardstick = "getppid",
    },
    {
        .name = "krait_yield, one of 64 fibers",
        .places = IN_FIBER,
        .run = yield,
        .begin = begin_many,
        .end = end_others,
        .each = 64,
        .yardstick = "swapcontext",
    },
    {
        .name = "spawn, run, end: joined, one at a time",
        .places = IN_FIBER,
        .run = spawn_and_join,
        .yardstick = "malloc+free",
        .target = 150,
    },
    {
        .name = "spawn, run, end: joined, 32 at a time",
        .places = IN_FIBER,
        .run = spawn_and_join_many,
        .each = MANY,
        .yardstick = "malloc+free",
        .target = 150,
    },
    {
        .name = "spawn, run, end: released, one at a time",
        .places = IN_FIBER,
        .run = spawn_and_release,
        .yardstick = "malloc+free",
        .target = 150,
    },
    {
        .name = "spawn, run, end: released, 32 at a time",
        .places = IN_FIBER,
        .run = spawn_and_release_many,
        .each = MANY,
        .yardstick = "malloc+free",
        .target = 150,
    },
    {0},
};
