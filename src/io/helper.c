/* SPDX-License-Identifier: MIT
 *
 * helper.c - the helper threads of helper.h: one for each job, with every
 * signal blocked, since the program's signals are not theirs to take.
 */
#include "io/helper.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/perform.h"

void krait__job_drop(struct krait__job *job)
{
    if (atomic_fetch_sub_explicit(&job->users, 1, memory_order_acq_rel) != 1)
        return;
    if (job->done_fd >= 0)
        close(job->done_fd);
    job->free(job);
}

static void *helper(void *arg)
{
    struct krait__job *job = arg;

    job->run(job);
    atomic_store_explicit(&job->ran, true, memory_order_release);
    eventfd_write(job->done_fd, 1);
    krait__job_drop(job);
    return NULL;
}

static int start(struct krait__job *job)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    int rc;

    if (pthread_attr_init(&attr) != 0)
        return -ENOMEM;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread, &attr, helper, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    /* EAGAIN (no more threads) would read as "would have to wait". */
    return rc == 0 ? 0 : -ENOMEM;
}

int krait__job_run(struct krait__job *job, struct krait__handle *h,
                   unsigned bits, int64_t deadline)
{
    int rc;

    atomic_init(&job->users, 1);
    atomic_init(&job->ran, false);
    job->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (job->done_fd < 0) {
        rc = -errno;
        goto gone;
    }
    atomic_fetch_add(&job->users, 1);
    rc = start(job);
    if (rc < 0) {
        atomic_fetch_sub(&job->users, 1);
        goto gone;
    }
    rc = krait__wait_fd(h, bits, job->done_fd, POLLIN, deadline);
    /* The eventfd says that it has run; the atomic hands over what it did. */
    if (rc >= 0 && atomic_load_explicit(&job->ran, memory_order_acquire))
        return 0;
    if (rc >= 0)
        rc = -EBADF; /* closed underneath */
gone:
    krait__job_drop(job);
    return rc;
}
