/* SPDX-License-Identifier: MIT
 *
 * blocking.c - krait_blocking: a function that blocks, kept from blocking a
 * worker's fibers.
 */
#include <errno.h>
#include <krait/io.h>

#include "fiber/scheduler.h"
#include "io/helper.h"
#include "io/perform.h"

/* On the caller's stack: it does not leave before the call has ended. */
struct call {
    struct krait__job job; /* first: the job is the call */
    int (*fn)(void *arg);
    void *arg;
    int result;
    int error;                     /* errno, before and after */
    struct krait__failure failure; /* the last of its calls of Krait's to fail,
                                    * if any */
};

static void make_call(struct krait__job *job)
{
    struct call *c = (struct call *)job;
    struct krait__failure *mine = krait__failure_swap(&c->failure);

    errno = c->error;
    c->result = c->fn(c->arg);
    c->error = errno;
    krait__failure_swap(mine);
}

/* The caller is left as if it had called the function itself, and where that
 * has failed without Krait, krait_errmsg says so too. */
static int tell(const struct call *c)
{
    bool noted = c->failure.code != 0;

    if (noted)
        krait__fail_as(&c->failure);
    if (c->result == -1 && c->error > 0 &&
        !(noted && krait_errno() == c->error))
        krait__fail("blocking", -c->error, NULL, NULL, NULL, 0);
    errno = c->error;
    return c->result;
}

int krait_blocking(int (*fn)(void *arg), void *arg)
{
    struct call c = {
        .job = {.run = make_call, .kind = KRAIT__CALLS},
        .fn = fn,
        .arg = arg,
        .error = errno,
    };
    int rc = fn ? 0 : -EINVAL;

    if (rc == 0 && krait__in_fiber())
        rc = krait__job_run(&c.job, NULL, 0, KRAIT__NEVER);
    else if (rc == 0 && (rc = krait__stopped()) == 0)
        make_call(&c.job);
    if (rc < 0)
        return krait__fail("blocking", rc, fn ? NULL : "no function (NULL)",
                           NULL, NULL, 0);
    return tell(&c);
}
