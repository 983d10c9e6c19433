/* SPDX-License-Identifier: MIT
 *
 * await.c - the one place that asks who waits: a thread polls, a fiber parks.
 *
 * Here too is what may cut any wait short: the caller's deadline scopes, and
 * the signal hook. (A fiber's are looked at where it parks.)
 */
#include <errno.h>
#include <krait/io.h>

#include "base/flow.h"
#include "base/signal_hook.h"
#include "fiber/park.h"
#include "fiber/scheduler.h"
#include "io/perform.h"

void krait_set_signal_hook(int (*fn)(void *arg), void *arg)
{
    krait__signal_hook_set(fn, arg);
}

static int wait_in_thread(struct krait__handle *h, unsigned bits, int fd,
                          short events, int64_t deadline)
{
    int got;

    deadline = krait__earlier(deadline, krait__scope_deadline());
    do
        got = krait__poll_wait(h, bits, fd, events, deadline);
    while (got == -EINTR && krait__signal_hook() == 0);
    return got;
}

static int wait_in_fiber(enum krait_wait what, struct krait__handle *h,
                         unsigned bits, int fd, short events, int64_t deadline)
{
    struct krait__op op = {.kind = KRAIT__POLL, .arg = {fd, events}};
    int got, seen;

    if (fd >= 0) {
        got = (int)krait__fiber_perform(&op, what, h, bits, deadline);
        /* Where the time had passed already nobody has looked; ppoll(2)
         * does. */
        if (got == -KRAIT__ETIMEOUT && (seen = (int)krait__attempt(&op)) > 0)
            got = seen;
        return got;
    }
    do
        got = (int)krait__fiber_perform(NULL, what, h, bits, deadline);
    while (got == 0);
    return got;
}

int krait__await(enum krait_wait what, struct krait__handle *h, unsigned bits,
                 int fd, short events, int64_t deadline)
{
    return krait__in_fiber()
               ? wait_in_fiber(what, h, bits, fd, events, deadline)
               : wait_in_thread(h, bits, fd, events, deadline);
}

int krait__wait_fd(struct krait__handle *h, unsigned bits, int fd, short events,
                   int64_t deadline)
{
    return krait__await(fd < 0 ? KRAIT_WAIT_SLEEP : KRAIT_WAIT_FD, h, bits, fd,
                        events, deadline);
}

int krait__pause(struct krait__handle *h, unsigned bits, int64_t ns,
                 int64_t deadline)
{
    int64_t until = krait__now() + ns;
    int rc = krait__wait_fd(h, bits, -1, 0, krait__earlier(until, deadline));

    if (rc != -KRAIT__ETIMEOUT || until >= deadline)
        return rc;
    return krait__stopped(); /* it may have been a scope's time */
}
