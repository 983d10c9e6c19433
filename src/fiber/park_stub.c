/* SPDX-License-Identifier: MIT
 *
 * park_stub.c - park.h while there are no fibers: every caller is a thread.
 */
#include "base/deadline.h"
#include "base/failure.h"
#include "base/flow.h"
#include "fiber/park.h"
#include "fiber/thread_park.h"

struct krait__parker *krait__parker(void)
{
    return krait__thread_parker();
}

int krait__park(enum krait_wait what, int64_t until)
{
    int64_t scope = krait__scope_deadline();

    (void)what;
    return krait__thread_park(scope < until ? scope : until);
}

void krait__park_anyhow(enum krait_wait what)
{
    (void)what;
    krait__thread_park_anyhow();
}

void krait__unpark(struct krait__parker *p)
{
    krait__thread_unpark(p);
}

int krait__stopped(void)
{
    int64_t scope = krait__scope_deadline();

    return scope != KRAIT__NEVER && krait__now() >= scope ? -KRAIT__ETIMEOUT
                                                          : 0;
}
