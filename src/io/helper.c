/* SPDX-License-Identifier: MIT
 *
 * helper.c - the helper threads of helper.h: started when there is more to do
 * than idle helpers, up to a limit, and gone soon after there is nothing to do.
 *
 * Every signal is blocked in them, since the program's signals are not theirs
 * to take.
 *
 * Invariants, under the lock: a queued job has a helper that will come for it
 * (one that was started or rung for it, or one that is busy, and looks before
 * it rests); a job that has begun is touched by its caller no more than to look
 * whether it has run, or to leave it behind.
 */
#include "io/helper.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fiber/scheduler.h"
#include "io/perform.h"

/* KRAIT__HELPERS_MAX: what blocks mostly sleeps, so that more than there are
 * CPUs are useful; but each is a thread, of which a container may have a few
 * hundred. A resolver that hangs takes as many with it, for as long as it does:
 * those who come after wait in the queue, under their own deadlines. */

/* How long a helper waits for another job: longer than the pauses in a burst of
 * them, too short for anybody to wonder at threads that do nothing. */
#define IDLE (50 * KRAIT__NS_PER_MS)

enum { QUEUED, RUNS, LEFT_BEHIND, HAS_RUN };

/* The helpers of one kind. */
struct pool {
    pthread_mutex_t lock;
    pthread_cond_t bell;
    struct krait__node *queue, **end; /* the oldest first; where the next goes
                                       * while there are any */
    unsigned queued;
    unsigned helpers; /* threads; of these: */
    unsigned idle;    /* wait for the bell */
};

#define EMPTY \
    { \
        .lock = PTHREAD_MUTEX_INITIALIZER, .bell = PTHREAD_COND_INITIALIZER \
    }

static struct pool pools[KRAIT__HELPERS_KINDS] = {EMPTY, EMPTY};

/* --- forks ------------------------------------------------------------- */

/* The parent's helpers, and those who wait for them, are not here. */
static void in_child(void)
{
    for (int i = 0; i < KRAIT__HELPERS_KINDS; i++)
        pools[i] = (struct pool)EMPTY;
}

/* Without memory for it: see watch_forks in handle.c. */
__attribute__((constructor)) static void empty_after_forks(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

/* --- the queue --------------------------------------------------------- */

static void append(struct pool *p, struct krait__job *job)
{
    job->state = QUEUED;
    job->node.next = NULL;
    job->node.link = p->queue ? p->end : &p->queue;
    *job->node.link = &job->node;
    p->end = &job->node.next;
    p->queued++;
}

static void take(struct pool *p, struct krait__job *job)
{
    if (!job->node.next)
        p->end = job->node.link;
    krait__list_remove(&job->node);
    p->queued--;
}

/* --- the helper's side ------------------------------------------------- */

/* NULL: none has come for a while. */
static struct krait__job *next_job(struct pool *p)
{
    struct timespec end = krait__timespec(krait__now() + IDLE);
    struct krait__job *job;
    int rc = 0;

    p->idle++;
    while (!p->queue && rc == 0)
        rc = pthread_cond_clockwait(&p->bell, &p->lock, CLOCK_MONOTONIC, &end);
    p->idle--;
    if (!p->queue)
        return NULL;
    job = KRAIT__OF(p->queue, struct krait__job, node);
    take(p, job);
    job->state = RUNS;
    return job;
}

/* The caller can't leave before it has had the lock. */
static void tell(struct krait__job *job)
{
    job->state = HAS_RUN;
    if (job->parker)
        krait__unpark(job->parker);
    else
        eventfd_write(job->wake_fd, 1);
}

static void *helper(void *arg)
{
    unsigned born = krait__generation();
    struct pool *p = arg;
    struct krait__job *job;

    pthread_mutex_lock(&p->lock);
    while ((job = next_job(p))) {
        pthread_mutex_unlock(&p->lock);
        job->run(job);
        /* It has forked, and its caller is not in this process. */
        if (krait__generation() != born)
            return NULL;
        pthread_mutex_lock(&p->lock);
        if (job->state != LEFT_BEHIND) {
            tell(job);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        krait__job_drop(job);
        pthread_mutex_lock(&p->lock);
    }
    p->helpers--;
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static int start(struct pool *p)
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
    rc = pthread_create(&thread, &attr, helper, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    /* EAGAIN (no more threads) would read as "would have to wait". */
    return rc == 0 ? 0 : -ENOMEM;
}

/* --- the caller's side ------------------------------------------------- */

/* Sees to it that somebody comes for the queue. Where no thread can be had
 * those that are there have to do. */
static int call_helper(struct pool *p)
{
    if (p->queued <= p->idle) {
        pthread_cond_signal(&p->bell);
        return 0;
    }
    if (p->helpers < KRAIT__HELPERS_MAX && start(p) == 0)
        p->helpers++;
    return p->helpers ? 0 : -ENOMEM;
}

static int submit(struct pool *p, struct krait__job *job)
{
    int rc;

    pthread_mutex_lock(&p->lock);
    append(p, job);
    rc = call_helper(p);
    if (rc < 0)
        take(p, job);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

static bool has_run(struct pool *p, const struct krait__job *job)
{
    bool yes;

    pthread_mutex_lock(&p->lock);
    yes = job->state == HAS_RUN;
    pthread_mutex_unlock(&p->lock);
    return yes;
}

static int wait_in_fiber(struct pool *p, struct krait__job *job,
                         struct krait__handle *h, unsigned bits,
                         int64_t deadline)
{
    ssize_t rc = 0;

    while (rc >= 0 && !has_run(p, job))
        rc = krait__fiber_perform(NULL, KRAIT_WAIT_HELPER, h, bits, deadline);
    return rc < 0 ? (int)rc : 0;
}

static int wait_in_thread(struct pool *p, struct krait__job *job,
                          struct krait__handle *h, unsigned bits,
                          int64_t deadline)
{
    eventfd_t ignored;

    for (;;) {
        int rc = krait__wait_fd(h, bits, job->wake_fd, POLLIN, deadline);

        if (rc < 0)
            return rc;
        if (has_run(p, job))
            return 0;
        if (rc & POLLNVAL)
            return -EBADF; /* closed underneath */
        /* Written to by another process, which has inherited it. */
        eventfd_read(job->wake_fd, &ignored);
    }
}

/* The caller has waited, with the result `rc`, and leaves. */
static int leave(struct pool *p, struct krait__job *job, int rc)
{
    bool drop = false;

    pthread_mutex_lock(&p->lock);
    while (job->state == RUNS && !job->free) {
        pthread_mutex_unlock(&p->lock);
        krait__park_anyhow(KRAIT_WAIT_HELPER);
        pthread_mutex_lock(&p->lock);
    }
    if (job->state == HAS_RUN) {
        rc = 0;
    } else if (job->state == RUNS) {
        job->state = LEFT_BEHIND;
    } else {
        take(p, job);
        drop = true;
    }
    pthread_mutex_unlock(&p->lock);
    if (drop)
        krait__job_drop(job);
    return rc;
}

void krait__job_drop(struct krait__job *job)
{
    if (job->free)
        job->free(job);
}

/* Submits, waits and leaves: with what wakes the caller at hand. */
static int run(struct krait__job *job, struct krait__handle *h, unsigned bits,
               int64_t deadline)
{
    struct pool *p = &pools[job->kind];
    int rc = submit(p, job);

    if (rc < 0) {
        krait__job_drop(job);
        return rc;
    }
    rc = job->parker ? wait_in_fiber(p, job, h, bits, deadline)
                     : wait_in_thread(p, job, h, bits, deadline);
    return leave(p, job, rc);
}

int krait__job_run(struct krait__job *job, struct krait__handle *h,
                   unsigned bits, int64_t deadline)
{
    int rc = krait__stopped();
    int wake_fd;

    if (rc < 0)
        goto gone;
    if (krait__in_fiber()) {
        job->parker = krait__parker();
        return run(job, h, bits, deadline);
    }
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0) {
        rc = -errno;
        goto gone;
    }
    job->parker = NULL;
    job->wake_fd = wake_fd;
    rc = run(job, h, bits, deadline);
    close(wake_fd);
    return rc;
gone:
    krait__job_drop(job);
    return rc;
}
