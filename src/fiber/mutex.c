/* SPDX-License-Identifier: MIT
 *
 * mutex.c - mutual exclusion of fibers and threads.
 *
 * The owner is known by its parker, which every flow of control has one of. An
 * unlock makes the first in the queue the owner, before that one even runs: so
 * a mutex with a queue is never free, and who comes late can't take it first.
 */
#include "fiber/mutex.h"

#include <errno.h>
#include <stddef.h>

#include "fiber/sync_call.h"
#include "fiber/wait_queue.h"

struct KRAIT__OVERLAY mutex {
    struct krait__wait_queue queue;
    struct krait__parker *owner; /* NULL: it is free, and nobody waits */
    struct krait__lock lock;
};

KRAIT__FITS(struct mutex, krait_mutex);

static struct mutex *in(krait_mutex *m)
{
    return (struct mutex *)(void *)m;
}

/* With the lock, which it lets go of: true if the mutex was free, and is the
 * caller's now. */
static bool take_free(struct mutex *m)
{
    if (m->owner)
        return false;
    m->owner = krait__parker();
    krait__unlock(&m->lock);
    return true;
}

static int lock_mutex(struct mutex *m, int64_t timeout)
{
    krait__lock(&m->lock);
    if (take_free(m))
        return 0;
    if (m->owner != krait__parker())
        return krait__wait(&m->queue, &m->lock, NULL, KRAIT_WAIT_MUTEX,
                           timeout);
    krait__unlock(&m->lock);
    return -EDEADLK;
}

void krait__mutex_regain(krait_mutex *mutex)
{
    struct mutex *m = in(mutex);

    krait__lock(&m->lock);
    if (!take_free(m))
        krait__wait_anyhow(&m->queue, &m->lock, KRAIT_WAIT_MUTEX);
}

bool krait__mutex_held(krait_mutex *mutex)
{
    struct mutex *m = in(mutex);
    bool held;

    krait__lock(&m->lock);
    held = m->owner == krait__parker();
    krait__unlock(&m->lock);
    return held;
}

int krait__mutex_leave(krait_mutex *mutex)
{
    struct mutex *m = in(mutex);
    int code = 0;

    krait__lock(&m->lock);
    if (m->owner == krait__parker()) {
        m->owner = m->queue.first ? m->queue.first->parker : NULL;
        krait__serve(&m->queue, 0);
    } else {
        code = -EPERM;
    }
    krait__unlock(&m->lock);
    return code;
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
