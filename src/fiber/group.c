/* SPDX-License-Identifier: MIT
 *
 * group.c - waiting until all that was counted is done.
 */
#include <errno.h>
#include <stddef.h>
#include <krait/sync.h>

#include "base/failure.h"
#include "fiber/sync_call.h"
#include "fiber/wait_queue.h"

struct KRAIT__OVERLAY group {
    struct krait__wait_queue queue;
    struct krait__lock lock;
    int count; /* 0: nobody waits */
};

KRAIT__FITS(struct group, krait_group);

static struct group *in(krait_group *g)
{
    return (struct group *)(void *)g;
}

static int change(struct group *g, int n)
{
    int code = 0, sum;

    krait__lock(&g->lock);
    if (__builtin_add_overflow(g->count, n, &sum))
        code = -EOVERFLOW;
    else if (sum < 0)
        code = -EINVAL;
    else
        g->count = sum;
    while (g->count == 0 && krait__serve(&g->queue, 0))
        ;
    krait__unlock(&g->lock);
    return code;
}

static int add(const char *op, krait_group *g, int n)
{
    int code;

    if (!krait__sync_object(op, g))
        return -1;
    code = change(in(g), n);
    if (code == -EINVAL)
        return krait__fail(op, code, "the count would become negative", NULL,
                           NULL, 0);
    return krait__sync_end(op, code);
}

static int wait_done(struct group *g, int64_t timeout)
{
    krait__lock(&g->lock);
    if (g->count > 0)
        return krait__wait(&g->queue, &g->lock, NULL, KRAIT_WAIT_GROUP,
                           timeout);
    krait__unlock(&g->lock);
    return 0;
}

int krait_group_add(krait_group *g, int n)
{
    return add("group_add", g, n);
}

int krait_group_done(krait_group *g)
{
    return add("group_done", g, -1);
}

int krait_group_wait(krait_group *g, double timeout)
{
    int64_t ns;

    if (!krait__sync_begin("group_wait", g, timeout, &ns))
        return -1;
    return krait__sync_end("group_wait", wait_done(in(g), ns));
}
