/* SPDX-License-Identifier: MIT
 *
 * timers.h - when to wake whom: a worker's heap of deadlines, lazy.
 *
 * Most waits end before their deadline. So a timer that is disarmed stays in
 * the heap, at the time that it was put there for, and one that is armed again
 * for later just notes the new time: setting and cancelling cost nothing then.
 * A timer whose time in the heap comes is looked at: due, put back for later,
 * or taken out. Everything else is O(log n).
 */
#ifndef KRAIT__TIMERS_H
#define KRAIT__TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/deadline.h"

/* Embedded in what waits; zero but for `until` is one that is not in use. */
struct krait__timer {
    int64_t until; /* KRAIT__NEVER: disarmed */
    size_t at;     /* its place in the heap, from 1; 0: not in it */
};

struct krait__timers {
    struct krait__timers_entry *heap; /* from 0 */
    size_t count, room;
};

/* 0 or -ENOMEM. */
int krait__timer_arm(struct krait__timers *t, struct krait__timer *timer,
                     int64_t until);

static inline bool krait__timer_is_armed(const struct krait__timer *timer)
{
    return timer->until != KRAIT__NEVER;
}

static inline void krait__timer_disarm(struct krait__timer *timer)
{
    timer->until = KRAIT__NEVER;
}

/* Out of the heap, which it is in. */
void krait__timer_take_out(struct krait__timers *t, struct krait__timer *timer);

/* Disarmed and out of the heap, before its memory goes. */
static inline void krait__timer_remove(struct krait__timers *t,
                                       struct krait__timer *timer)
{
    krait__timer_disarm(timer);
    if (timer->at)
        krait__timer_take_out(t, timer);
}

/* When to look again; KRAIT__NEVER: nothing is armed. May be too early. */
int64_t krait__timers_next(const struct krait__timers *t);

/* A timer that is due at `now`, disarmed and taken out; NULL: no more. */
struct krait__timer *krait__timers_due(struct krait__timers *t, int64_t now);

void krait__timers_free(struct krait__timers *t);

#endif
