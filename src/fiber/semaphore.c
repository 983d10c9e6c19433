/* SPDX-License-Identifier: MIT
 *
 * semaphore.c - so many units, taken and given.
 *
 * A unit that is given while somebody waits is theirs, and is never counted: so
 * there are units or waiters, never both.
 */
#include <errno.h>
#include <stddef.h>
#include <krait/sync.h>

#include "fiber/sync_call.h"
#include "fiber/wait_queue.h"

struct KRAIT__OVERLAY sem {
    uintptr_t units; /* first: KRAIT_SEM_INIT sets it */
    struct krait__wait_queue queue;
    struct krait__lock lock;
};

KRAIT__FITS(struct sem, krait_sem);

static struct sem *in(krait_sem *s)
{
    return (struct sem *)(void *)s;
}

static int take_unit(struct sem *s, int64_t timeout)
{
    krait__lock(&s->lock);
    if (s->units == 0)
        return krait__wait(&s->queue, &s->lock, NULL, KRAIT_WAIT_SEM, timeout);
    s->units--;
    krait__unlock(&s->lock);
    return 0;
}

static int give_unit(struct sem *s)
{
    int code = 0;

    krait__lock(&s->lock);
    if (s->units >= KRAIT_SEM_MAX)
        code = -EOVERFLOW;
    else if (!krait__serve(&s->queue, 0))
        s->units++;
    krait__unlock(&s->lock);
    return code;
}

int krait_sem_wait(krait_sem *s, double timeout)
{
    int64_t ns;

    if (!krait__sync_begin("sem_wait", s, timeout, &ns))
        return -1;
    return krait__sync_end("sem_wait", take_unit(in(s), ns));
}

int krait_sem_post(krait_sem *s)
{
    if (!krait__sync_object("sem_post", s))
        return -1;
    return krait__sync_end("sem_post", give_unit(in(s)));
}
