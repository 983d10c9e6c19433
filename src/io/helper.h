/* SPDX-License-Identifier: MIT
 *
 * helper.h - helper threads, for what can only block (getaddrinfo).
 *
 * The job runs in a thread of its own, while its caller waits, under its
 * deadline, interruptible. A caller that gives up leaves the job behind: it
 * runs to its end and is freed then, without anybody waiting for it.
 */
#ifndef KRAIT__HELPER_H
#define KRAIT__HELPER_H

#include <stdatomic.h>

#include "engine/engine.h"

/* Embedded at the beginning of what a job needs, on the heap. */
struct krait__job {
    void (*run)(struct krait__job *job);  /* in the helper thread */
    void (*free)(struct krait__job *job); /* by whoever leaves last */
    atomic_bool ran;                      /* the helper's business: */
    atomic_int users;
    int done_fd;
};

/* Runs the job: 0 when it has run, and it is the caller's until
 * krait__job_drop; or a negative code (krait__wait_fd's, -EMFILE, -ENOMEM), and
 * it is gone. */
int krait__job_run(struct krait__job *job, struct krait__handle *h,
                   unsigned bits, int64_t deadline);

void krait__job_drop(struct krait__job *job);

#endif
