/* SPDX-License-Identifier: MIT
 *
 * timers.c - the lazy heap of timers.h. Four children a node: half the levels
 * of a binary heap, and the children of a node share a cache line.
 */
#include "fiber/timers.h"

#include <errno.h>
#include <stdlib.h>

enum { CHILDREN = 4, FIRST_ROOM = 64 };

struct krait__timers_entry {
    int64_t when; /* a copy, so that sifting touches no timer that stays */
    struct krait__timer *timer;
};

static void put(struct krait__timers *t, size_t i, struct krait__timers_entry e)
{
    t->heap[i] = e;
    e.timer->at = i + 1;
}

static void sift_up(struct krait__timers *t, size_t i)
{
    struct krait__timers_entry e = t->heap[i];

    while (i > 0 && e.when < t->heap[(i - 1) / CHILDREN].when) {
        put(t, i, t->heap[(i - 1) / CHILDREN]);
        i = (i - 1) / CHILDREN;
    }
    put(t, i, e);
}

static size_t earliest_child(const struct krait__timers *t, size_t i)
{
    size_t first = i * CHILDREN + 1, best = first;

    for (size_t c = first + 1; c < first + CHILDREN && c < t->count; c++)
        if (t->heap[c].when < t->heap[best].when)
            best = c;
    return best;
}

static void sift_down(struct krait__timers *t, size_t i)
{
    struct krait__timers_entry e = t->heap[i];

    while (i * CHILDREN + 1 < t->count) {
        size_t c = earliest_child(t, i);

        if (t->heap[c].when >= e.when)
            break;
        put(t, i, t->heap[c]);
        i = c;
    }
    put(t, i, e);
}

static int make_room(struct krait__timers *t)
{
    size_t room = t->room ? t->room * 2 : FIRST_ROOM;
    void *heap;

    if (t->count < t->room)
        return 0;
    heap = realloc(t->heap, room * sizeof *t->heap);
    if (!heap)
        return -ENOMEM;
    t->heap = heap;
    t->room = room;
    return 0;
}

int krait__timer_arm(struct krait__timers *t, struct krait__timer *timer,
                     int64_t until)
{
    if (until == KRAIT__NEVER) {
        krait__timer_disarm(timer);
        return 0;
    }
    if (timer->at == 0) {
        if (make_room(t) < 0)
            return -ENOMEM;
        t->heap[t->count] = (struct krait__timers_entry){until, timer};
        t->count++;
        sift_up(t, t->count - 1);
    } else if (until < t->heap[timer->at - 1].when) {
        t->heap[timer->at - 1].when = until;
        sift_up(t, timer->at - 1);
    }
    timer->until = until;
    return 0;
}

void krait__timer_take_out(struct krait__timers *t, struct krait__timer *timer)
{
    size_t i = timer->at;
    struct krait__timers_entry last;

    timer->at = 0;
    last = t->heap[--t->count];
    if (last.timer == timer)
        return;
    put(t, i - 1, last);
    sift_up(t, last.timer->at - 1);
    sift_down(t, last.timer->at - 1);
}

int64_t krait__timers_next(const struct krait__timers *t)
{
    return t->count ? t->heap[0].when : KRAIT__NEVER;
}

struct krait__timer *krait__timers_due(struct krait__timers *t, int64_t now)
{
    while (t->count && t->heap[0].when <= now) {
        struct krait__timer *timer = t->heap[0].timer;

        /* Also where that has come too: others may have to go before it. */
        if (timer->until > t->heap[0].when && timer->until != KRAIT__NEVER) {
            t->heap[0].when = timer->until;
            sift_down(t, 0);
            continue;
        }
        if (timer->until == KRAIT__NEVER) {
            krait__timer_remove(t, timer);
            continue;
        }
        krait__timer_remove(t, timer);
        return timer;
    }
    return NULL;
}

void krait__timers_free(struct krait__timers *t)
{
    free(t->heap);
    *t = (struct krait__timers){0};
}
