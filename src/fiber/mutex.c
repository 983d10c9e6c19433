/* SPDX-License-Identifier: MIT
 *
 * mutex.c - mutual exclusion of fibers and threads.
 *
 * The owner is known by its parker, which every flow of control has one of. An
 * unlock makes the first in the queue the owner, before that one even runs: so
 * a mutex with a queue is never free, and who comes late can't take it first.
 *
 * Where nobody waits, locking and unlocking are one atomic each. QUEUED in the
 * owner's word says that somebody may be in the queue: it is set under the
 * queue's lock, before joining, and sends the owner there to unlock. It may
 * also be left from one who has given up.
 */
#include "fiber/mutex.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/deadline.h"
#include "fiber/sync_call.h"
#include "fiber/wait_queue.h"

enum { QUEUED = 1 };

struct KRAIT__OVERLAY mutex {
    struct krait__wait_queue queue;
    atomic_uintptr_t owner;  /* its parker | QUEUED; 0: it is free */
    struct krait__lock lock; /* of the queue */
};

KRAIT__FITS(struct mutex, krait_mutex);

static struct mutex *in(krait_mutex *m)
{
    return (struct mutex *)(void *)m;
}

static uintptr_t self(void)
{
    return (uintptr_t)krait__parker();
}

/* From one value to another; else false, and *seen is what it is. */
/* NOLINTNEXTLINE(readability-non-const-parameter) */
static bool change(struct mutex *m, uintptr_t *seen, uintptr_t to)
{
    return atomic_compare_exchange_strong_explicit(
        &m->owner, seen, to, memory_order_acq_rel, memory_order_acquire);
}

/* Under the queue's lock: true if the mutex was free, and is the caller's now;
 * else its owner knows that somebody is about to wait. */
static bool take_or_announce(struct mutex *m, uintptr_t me)
{
    uintptr_t seen = 0;

    for (;;) {
        if (change(m, &seen, seen ? seen | QUEUED : me))
            return !seen;
    }
}

static int lock_mutex(struct mutex *m, int64_t timeout)
{
    uintptr_t me = self(), seen = 0;

    if (change(m, &seen, me))
        return 0;
    if ((seen & ~(uintptr_t)QUEUED) == me)
        return -EDEADLK;
    if (timeout == KRAIT__AT_ONCE)
        return -EAGAIN;
    krait__lock(&m->lock);
    if (!take_or_announce(m, me))
        return krait__wait(&m->queue, &m->lock, NULL, KRAIT_WAIT_MUTEX,
                           timeout);
    krait__unlock(&m->lock);
    return 0;
}

void krait__mutex_regain(krait_mutex *mutex)
{
    struct mutex *m = in(mutex);
    uintptr_t me = self(), seen = 0;

    if (change(m, &seen, me))
        return;
    krait__lock(&m->lock);
    if (take_or_announce(m, me))
        krait__unlock(&m->lock);
    else
        krait__wait_anyhow(&m->queue, &m->lock, KRAIT_WAIT_MUTEX);
}

bool krait__mutex_held(krait_mutex *mutex)
{
    uintptr_t owner =
        atomic_load_explicit(&in(mutex)->owner, memory_order_relaxed);

    return (owner & ~(uintptr_t)QUEUED) == self();
}

/* Hands it to the first who waits: true. Else whoever had waited has given up,
 * and it is still the caller's, with nobody announced: it is not let go of
 * here, since the next owner may free it while its lock is still in use. */
static bool hand_over(struct mutex *m, uintptr_t me)
{
    struct krait__place *first;
    uintptr_t next = me;

    krait__lock(&m->lock);
    first = m->queue.first;
    if (first)
        next = (uintptr_t)first->parker | (first->next ? QUEUED : 0);
    atomic_store_explicit(&m->owner, next, memory_order_release);
    krait__serve(&m->queue, 0);
    krait__unlock(&m->lock);
    return first;
}

int krait__mutex_leave(krait_mutex *mutex)
{
    struct mutex *m = in(mutex);
    uintptr_t me = self(), seen = me;

    while (!change(m, &seen, 0)) {
        if (seen != (me | QUEUED))
            return -EPERM;
        if (hand_over(m, me))
            return 0;
        seen = me;
    }
    return 0;
}

int krait_mutex_lock(krait_mutex *m, double timeout)
{
    int64_t ns;

    if (!krait__sync_begin("mutex_lock", m, timeout, &ns))
        return -1;
    return krait__sync_end("mutex_lock", lock_mutex(in(m), ns));
}

int krait_mutex_unlock(krait_mutex *m)
{
    if (!krait__sync_object("mutex_unlock", m))
        return -1;
    return krait__sync_end("mutex_unlock", krait__mutex_leave(m));
}
