/* SPDX-License-Identifier: MIT
 *
 * condition.c - waiting for something to become true that a mutex guards.
 *
 * A waiter lets go of the mutex under the condition's lock and is in the queue
 * before it lets go of that: no signal fits between. Locks are taken in this
 * order, and mutexes know no conditions.
 */
#include <errno.h>
#include <stddef.h>

#include "base/deadline.h"
#include "fiber/mutex.h"
#include "fiber/sync_call.h"
#include "fiber/wait_queue.h"

struct KRAIT__OVERLAY cond {
    struct krait__wait_queue queue;
    struct krait__lock lock;
};

KRAIT__FITS(struct cond, krait_cond);

static struct cond *in(krait_cond *c)
{
    return (struct cond *)(void *)c;
}

static int wait_signal(struct cond *c, krait_mutex *m, int64_t timeout)
{
    int code;

    if (!krait__mutex_held(m))
        return -EPERM;
    /* Even to let go of the mutex and take it back could mean to wait. */
    if (timeout == KRAIT__AT_ONCE)
        return -EAGAIN;
    krait__lock(&c->lock);
    krait__mutex_leave(m);
    code = krait__wait(&c->queue, &c->lock, NULL, KRAIT_WAIT_COND, timeout);
    krait__mutex_regain(m);
    return code;
}

int krait_cond_wait(krait_cond *c, krait_mutex *m, double timeout)
{
    int64_t ns;

    if (!krait__sync_object("cond_wait", m) ||
        !krait__sync_begin("cond_wait", c, timeout, &ns))
        return -1;
    return krait__sync_end("cond_wait", wait_signal(in(c), m, ns));
}

int krait_cond_signal(krait_cond *c)
{
    if (!krait__sync_object("cond_signal", c))
        return -1;
    krait__lock(&in(c)->lock);
    krait__serve(&in(c)->queue, 0);
    krait__unlock(&in(c)->lock);
    return 0;
}

int krait_cond_broadcast(krait_cond *c)
{
    if (!krait__sync_object("cond_broadcast", c))
        return -1;
    krait__lock(&in(c)->lock);
    while (krait__serve(&in(c)->queue, 0))
        ;
    krait__unlock(&in(c)->lock);
    return 0;
}
