/* SPDX-License-Identifier: MIT
 *
 * scope.c - deadline scopes: a list through the callers' stacks, innermost
 * first. Each holds the earliest of its own time and all outer ones', so that
 * one look tells when to stop.
 */
#include <errno.h>
#include <krait/scope.h>

#include "base/deadline.h"
#include "base/failure.h"
#include "base/flow.h"

int krait_deadline_begin(krait_deadline *d, double seconds)
{
    int64_t outer = krait__scope_deadline();
    int64_t ns = KRAIT__NEVER;
    bool good = krait__timeout(seconds, &ns);

    if (!d)
        return krait__fail("deadline_begin", -EINVAL, "no scope (NULL)", NULL,
                           NULL, 0);
    /* Of 0 seconds too: a moment that has passed, not "does not wait". */
    d->at_ = ns == 0 ? krait__now() : krait__deadline(ns);
    if (outer < d->at_)
        d->at_ = outer;
    d->outer_ = krait__flow()->scope;
    krait__flow()->scope = d;
    if (good)
        return 0;
    return krait__fail("deadline_begin", -EINVAL,
                       "a time is 0, more, or KRAIT_FOREVER", NULL, NULL, 0);
}

int krait_deadline_end(krait_deadline *d)
{
    struct krait__flow *flow = krait__flow();

    if (!d || flow->scope != d)
        return krait__fail("deadline_end", -EINVAL,
                           "not the innermost scope of this flow of control",
                           NULL, NULL, 0);
    flow->scope = d->outer_;
    return d->at_ != KRAIT__NEVER && krait__now() >= d->at_;
}

double krait_deadline_left(void)
{
    int64_t at = krait__scope_deadline(), now;

    if (at == KRAIT__NEVER)
        return krait__seconds(at);
    now = krait__now();
    return now >= at ? 0 : krait__seconds(at - now);
}
