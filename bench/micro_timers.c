/* SPDX-License-Identifier: MIT
 *
 * micro_timers.c - what a deadline costs that does not come.
 *
 * The library's own fiber/timers.h is measured by itself, since no public call
 * is a timer and nothing else. What a user pays is the difference between two
 * fibers that hand each other something with a timeout and without, while a
 * thousand others sleep.
 */
#include <krait.h>

#include "fiber/timers.h"
#include "micro.h"

enum { ARMED = 1000, HOUR = 3600 };

/* --- the heap ---------------------------------------------------------- */

static struct krait__timers heap;
static struct krait__timer armed[ARMED], own;
static int64_t now;

/* Scattered over an hour, by Knuth's multiplier. */
static int64_t some_time(uint32_t i)
{
    return now + (int64_t)(i * UINT32_C(2654435761)) * HOUR / 4;
}

static void arm(struct krait__timer *timer, int64_t until)
{
    micro_check(krait__timer_arm(&heap, timer, until) == 0, "timer_arm");
}

static void begin_heap(void)
{
    now = krait__now();
    for (uint32_t i = 0; i < ARMED; i++) {
        armed[i] = (struct krait__timer){.until = KRAIT__NEVER};
        arm(&armed[i], some_time(i));
    }
    own = (struct krait__timer){.until = KRAIT__NEVER};
}

static void end_heap(void)
{
    krait__timers_free(&heap);
}

/* As call after call on a socket with a timeout of 30 s. */
static void set_and_cancel(long times)
{
    while (times-- > 0) {
        arm(&own, now + 30 * KRAIT__NS_PER_SEC + times % 1024);
        krait__timer_disarm(&own);
    }
}

/* As fibers that wait once, and end. */
static void set_and_remove(long times)
{
    while (times-- > 0) {
        arm(&own, some_time((uint32_t)times));
        krait__timer_remove(&heap, &own);
    }
}

/* --- in fibers --------------------------------------------------------- */

static krait_fiber *sleepers[ARMED], *partner;
static krait_chan *there, *back;
static double timeout;

static int sleep_long(void *arg)
{
    (void)arg;
    return krait_sleep(HOUR);
}

static int answer(void *arg)
{
    char item;

    (void)arg;
    while (krait_chan_recv(there, &item, timeout) > 0)
        krait_chan_send(back, &item, timeout);
    return 0;
}

static void begin_fibers(void)
{
    for (int i = 0; i < ARMED; i++) {
        sleepers[i] = krait_spawn(sleep_long, NULL, NULL);
        micro_check(sleepers[i], "krait_spawn");
    }
    there = krait_chan_new(1, 1);
    back = krait_chan_new(1, 1);
    partner = krait_spawn(answer, NULL, NULL);
    micro_check(there && back && partner, "channels");
}

static void end_fibers(void)
{
    krait_chan_close(there);
    krait_join(partner, NULL);
    krait_chan_free(there);
    krait_chan_free(back);
    for (int i = 0; i < ARMED; i++) {
        krait_cancel(sleepers[i]);
        krait_join(sleepers[i], NULL);
    }
}

static void begin_timed(void)
{
    timeout = 30;
    begin_fibers();
}

static void begin_untimed(void)
{
    timeout = KRAIT_FOREVER;
    begin_fibers();
}

/* Both wait once, for each other. */
static void go_there_and_back(long times)
{
    char item = 0;

    while (times-- > 0) {
        krait_chan_send(there, &item, timeout);
        micro_check(krait_chan_recv(back, &item, timeout) == 1, "chan_recv");
    }
}

const struct micro_item micro_timers[] = {
    {
        .name = "timer set and cancelled, 1,000 armed",
        .run = set_and_cancel,
        .begin = begin_heap,
        .end = end_heap,
        .yardstick = "clock_gettime",
        .target = 50,
    },
    {
        .name = "timer set and taken out, 1,000 armed",
        .run = set_and_remove,
        .begin = begin_heap,
        .end = end_heap,
        .yardstick = "clock_gettime",
        .target = 50,
    },
    {
        .name = "a wait, 1,000 asleep, timeout 30 s",
        .places = IN_FIBER,
        .run = go_there_and_back,
        .begin = begin_timed,
        .end = end_fibers,
        .each = 2,
        .yardstick = "clock_gettime",
    },
    {
        .name = "a wait, 1,000 asleep, KRAIT_FOREVER",
        .places = IN_FIBER,
        .run = go_there_and_back,
        .begin = begin_untimed,
        .end = end_fibers,
        .each = 2,
        .yardstick = "clock_gettime",
    },
    {
        .name = "a wait's timeout, all in all",
        .places = IN_FIBER,
        .more = "a wait, 1,000 asleep, timeout 30 s",
        .less = "a wait, 1,000 asleep, KRAIT_FOREVER",
        .yardstick = "clock_gettime",
        .target = 50,
    },
    {0},
};
