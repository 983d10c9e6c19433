/* SPDX-License-Identifier: MIT
 *
 * helper.h - helper threads, for what can only block (getaddrinfo).
 *
 * The job runs in a helper thread, while its caller waits, under its deadline,
 * interruptible. Helpers are few: a job that comes when all are busy waits its
 * turn, the oldest first. A caller that gives up takes back a job that has not
 * begun. One that has is left behind: it runs to its end and is freed then,
 * without anybody waiting for it.
 */
#ifndef KRAIT__HELPER_H
#define KRAIT__HELPER_H

#include <stdbool.h>

#include "engine/engine.h"
#include "fiber/park.h"

/* Whose helpers run the job. Each kind has its own, so that calls that wait for
 * names, which are looked up by jobs in turn, can't keep those from running. A
 * job must not wait for others of its kind. */
enum krait__helpers { KRAIT__LOOKUPS, KRAIT__CALLS, KRAIT__HELPERS_KINDS };

/* How many helpers of a kind there are at most; see helper.c. */
enum { KRAIT__HELPERS_MAX = 64 };

/* Embedded at the beginning of what a job needs. */
struct krait__job {
    void (*run)(struct krait__job *job);  /* in the helper thread */
    void (*free)(struct krait__job *job); /* by whoever leaves last. NULL: the
                                           * job is on its caller's stack, who
                                           * waits for it, once it has begun,
                                           * whatever happens; in fibers only */
    enum krait__helpers kind;

    /* helper.c's, under the lock of its helpers: */
    struct krait__node node;
    int state;
    int wake_fd;                  /* what wakes its caller: an eventfd, or */
    struct krait__parker *parker; /* in a fiber */
};

/* Runs the job: 0 when it has run, and it is the caller's until
 * krait__job_drop. Or it did not run to its end before the caller had to give
 * up, and is gone: a code as krait__wait_fd's; -EMFILE; -ENOMEM, which is also
 * said where no thread can be had. */
int krait__job_run(struct krait__job *job, struct krait__handle *h,
                   unsigned bits, int64_t deadline);

void krait__job_drop(struct krait__job *job);

#endif
