/* SPDX-License-Identifier: MIT
 *
 * uring.c - the engine over io_uring: for what a ring does best, and for what
 * it doesn't an edge-triggered epoll set beside it (watch.h).
 *
 * TCP's sends go to the ring whole: one system call hands all of a loop's turn
 * to the kernel, and the peers are woken together. Receives don't. A receive
 * that waits in the ring is woken by an urgent byte of TCP's, and reads over
 * it: it is lost. The ring's polls can't tell such a byte from others, and have
 * to be armed anew for every wait, or else hold the file open. epoll(7) does
 * neither, and costs one system call a turn. A Unix stream's sends wait there
 * too: in the ring they are told ECONNRESET where a system call says EPIPE.
 * Whatever is not a stream socket is polled by the ring.
 *
 * What is submitted goes to the ring, and one system call a loop hands all of
 * it to the kernel and sleeps. Completions are copied out of the ring before
 * anybody is told, since whoever is told submits more.
 *
 * An operation in the kernel is known by its address, and is cancelled by it: a
 * search by fd goes through all that is pending. That address may be another
 * operation's as soon as done() was called, while a cancellation that came too
 * late still lies in the ring. It can't hit the newcomer: the kernel begins in
 * the order of submission, and looks for what to cancel at once. What was
 * cancelled is done when the kernel has ended it, never before: until then it
 * may write into the buffer.
 *
 * The ring is its thread's own (SINGLE_ISSUER), and the kernel does its part
 * of the work when that thread asks for completions (DEFER_TASKRUN), not at
 * any time by interrupting it. Kernels older than 6.1 lack these, and do
 * without. What no kernel here may lack: waiting with a time-out
 * (FEAT_EXT_ARG), completions that are kept when the ring is full
 * (FEAT_NODROP), and multishot polls (5.13, as FEAT_RSRC_TAGS is).
 */
#include <errno.h>
#include <stdlib.h>

#include "base/prefetch.h"
#include "base/valgrind.h"
#include "engine/engine.h"
#include "engine/watch.h"

#ifndef KRAIT_URING

struct krait__engine *krait__uring_new(int *code)
{
    *code = -ENOSYS;
    return NULL;
}

#else

#include <liburing.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Submissions that fit between two system calls; and completions, which come
 * in bursts: the kernel keeps what is beyond them, at a price. */
#define SQ_SIZE 256
#define CQ_SIZE 4096

/* Completions taken out of the ring at a time, at most. */
#define BATCH   256

/* What stands for the address of an operation where there is none. */
enum { NOBODY = 0, WAKE = 1, WATCH = 2 };

/* The bits of an operation's state. */
enum {
    STARTED = 1,   /* the kernel has it, or will have at the next call */
    CANCELLED = 2, /* somebody wants it to end */
    STAND_IN = 4,  /* it is a poll that the kernel has, and no transfer */
    PUT_OFF = 8,   /* it, or its cancellation, waits for room in the ring */
    ENDING = 16    /* the kernel was asked to cancel it */
};

struct uring_engine {
    struct krait__engine engine; /* first */
    struct io_uring ring;
    struct krait__watch watch;
    int wake_fd;
    bool armed;   /* a poll of wake_fd is in the kernel */
    bool watched; /* ... and one of the watch's epoll set */
    bool news;    /* which may have something to tell */
    bool skips;   /* the kernel can be silent about a success */
    bool missed;  /* a cancellation has not found its operation */
    struct krait__node *put_off, *ending;
};

struct completion {
    uint64_t user_data;
    int res;
    unsigned flags;
};

/* --- into the ring ------------------------------------------------------ */

/* NULL: the ring is full, and the kernel takes nothing now (it has no memory,
 * or too many completions that nobody has seen). */
static struct io_uring_sqe *room(struct uring_engine *e)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&e->ring);

    if (!sqe && io_uring_submit(&e->ring) > 0)
        sqe = io_uring_get_sqe(&e->ring);
    return sqe;
}

/* The events to ask the kernel for. A wake-up that says PRI is no wake-up to
 * io_uring (its IO_ASYNC_POLL_COMMON; seen in 6.18), and who waits for urgent
 * data alone would wait for ever. Sockets say RDBAND in the same breath, and it
 * never holds by itself where nothing urgent is there. */
static unsigned events_for(const struct krait__op *op)
{
    unsigned asked = (unsigned short)op->arg[1];

    return asked & POLLPRI ? asked | POLLRDBAND : asked;
}

static void fill_start(struct io_uring_sqe *sqe, struct krait__op *op)
{
    /* The most that one call transfers, as the kernel's own calls have it. */
    size_t len = op->len < INT_MAX ? op->len : INT_MAX;

    if (op->kind == KRAIT__POLL)
        io_uring_prep_poll_add(sqe, op->arg[0], events_for(op));
    else if (op->state & STAND_IN)
        io_uring_prep_poll_add(sqe, op->h->fd, POLLOUT);
    else
        io_uring_prep_send(sqe, op->h->fd, op->buf, len,
                           op->flags | MSG_NOSIGNAL);
    io_uring_sqe_set_data(sqe, op);
    op->state |= STARTED;
}

static void fill_cancel(struct uring_engine *e, struct io_uring_sqe *sqe,
                        struct krait__op *op)
{
    io_uring_prep_cancel(sqe, op, 0);
    io_uring_sqe_set_data64(sqe, NOBODY);
    if (e->skips)
        io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
}

static void fill(struct uring_engine *e, struct io_uring_sqe *sqe,
                 struct krait__op *op)
{
    if (!(op->state & STARTED)) {
        fill_start(sqe, op);
        return;
    }
    fill_cancel(e, sqe, op);
    op->state |= ENDING;
    krait__list_add(&e->ending, &op->node);
}

/* Starts the operation, or cancels it where it is started. */
static void push(struct uring_engine *e, struct krait__op *op)
{
    struct io_uring_sqe *sqe = room(e);

    e->engine.queued = true;
    if (sqe) {
        fill(e, sqe, op);
        return;
    }
    op->state |= PUT_OFF;
    krait__list_add(&e->put_off, &op->node);
}

/* It is on one of the two lists. */
static void take_off(struct krait__op *op)
{
    krait__list_remove(&op->node);
    op->state &= ~(unsigned)(PUT_OFF | ENDING);
}

static void push_put_off(struct uring_engine *e)
{
    struct io_uring_sqe *sqe;

    while (e->put_off && (sqe = room(e))) {
        struct krait__op *op = krait__op_of(e->put_off);

        take_off(op);
        fill(e, sqe, op);
    }
}

/* A request that is on its way to one of the kernel's own threads is not found
 * for a moment (Linux 6.18: a send whose socket has urgent data waiting goes
 * there, for io_uring's poll takes that for a reason to try again); later it
 * is. Which one it was is not told, so all are asked for again. */
static void cancel_again(struct uring_engine *e)
{
    struct krait__node *all = e->ending;

    e->missed = false;
    e->ending = NULL;
    if (all)
        all->link = &all;
    while (all) {
        struct krait__op *op = krait__op_of(all);

        take_off(op);
        push(e, op);
    }
}

static bool is_for_watch(const struct krait__op *op)
{
    return op->kind != KRAIT__POLL &&
           (op->kind != KRAIT__SEND || op->h->family == AF_UNIX);
}

static int uring_submit(struct krait__engine *engine, struct krait__op *op)
{
    struct uring_engine *e = (struct uring_engine *)engine;

    if (is_for_watch(op))
        return krait__watch_submit(&e->watch, op);
    if (op->kind == KRAIT__POLL && op->arg[0] < 0)
        return -EBADF;
    op->state = 0;
    push(e, op);
    return 0;
}

static void uring_cancel(struct krait__engine *engine, struct krait__op *op)
{
    if (is_for_watch(op)) {
        krait__watch_cancel(op);
        return;
    }
    if (op->state & CANCELLED)
        return;
    op->state |= CANCELLED;
    if (op->state & STARTED) {
        push((struct uring_engine *)engine, op);
        return;
    }
    take_off(op);
    op->res = -ECANCELED;
    op->done(op);
}

/* --- out of the ring ---------------------------------------------------- */

/* Of what a poll says that came, what was asked for; 0: nothing. */
static int what_came(const struct krait__op *op, int said)
{
    const int plain = POLLOUT | POLLRDHUP;
    int asked = (unsigned short)op->arg[1];
    int got;

    if (!(asked & ~plain))
        return said & (asked | POLLERR | POLLHUP | POLLNVAL);
    /* io_uring passes on what the wake-up said, without looking; and what wakes
     * a socket's readers says IN, PRI and RDBAND of whatever came. Who believes
     * that an urgent byte of TCP's is ordinary data, and receives, loses it. */
    got = (int)krait__attempt(op);
    return got == -EAGAIN || got == -EINTR ? 0 : got;
}

/* The kernel has no way to wait for `fd`, and says -EINVAL, whatever the
 * reason: mostly that nothing ever wakes who waits for such a file. epoll(7)
 * tells that from the few devices with more to wait for than io_uring takes,
 * for which the answer stays. */
static int why_refused(int fd)
{
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {0};
    int code = -EINVAL;

    if (set < 0)
        return -errno;
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
        code = -errno;
    close(set);
    return code;
}

/* True: what the kernel has ended was not yet the end of the operation, for
 * `*res` is nothing that a system call which waits would return. */
static bool must_go_on(struct krait__op *op, int *res)
{
    bool stand_in = op->state & STAND_IN;

    op->state &= ~(unsigned)(STARTED | STAND_IN);
    if (*res == -EINTR)
        return true;
    if (op->kind == KRAIT__POLL) {
        if (*res >= 0)
            *res = what_came(op, *res);
        else if (*res == -EINVAL)
            *res = why_refused(op->arg[0]);
        return *res == 0;
    }
    if (stand_in)
        return *res >= 0;
    /* Some kernels take O_NONBLOCK at its word, and don't wait. */
    if (*res == -EAGAIN)
        op->state |= STAND_IN;
    return *res == -EAGAIN;
}

/* NULL: it is of none. */
static struct krait__op *op_of(const struct completion *c)
{
    return c->user_data > WATCH ? (struct krait__op *)(uintptr_t)c->user_data
                                : NULL;
}

/* How many operations are done now: 0 or 1. */
static int take(struct uring_engine *e, const struct completion *c)
{
    struct krait__op *op;
    int res = c->res;

    switch (c->user_data) {
    case WAKE:
        e->armed = c->flags & IORING_CQE_F_MORE;
        return 0;
    case WATCH:
        e->watched = c->flags & IORING_CQE_F_MORE;
        e->news = true;
        return 0;
    case NOBODY:
        e->missed |= res == -ENOENT;
        return 0;
    }
    op = op_of(c);
    if (must_go_on(op, &res)) {
        if (!(op->state & CANCELLED)) {
            push(e, op);
            return 0;
        }
        res = -ECANCELED;
    }
    if (op->state & (PUT_OFF | ENDING))
        take_off(op);
    op->res = res;
    op->done(op);
    return 1;
}

/* Operations have become cold while the kernel had them, and so has who waits
 * for them. */
static void fetch_ahead(const struct completion *got, unsigned n)
{
    const struct krait__op *op;

    for (unsigned i = 0; i < n; i++)
        if ((op = op_of(&got[i])))
            krait__prefetch(op, sizeof *op);
    for (unsigned i = 0; i < n; i++)
        if ((op = op_of(&got[i])))
            krait__prefetch(op->owner, KRAIT__LINE);
}

static int tell(struct uring_engine *e, unsigned budget)
{
    struct io_uring_cqe *cqes[BATCH];
    struct completion got[BATCH];
    unsigned n = io_uring_peek_batch_cqe(&e->ring, cqes,
                                         budget < BATCH ? budget : BATCH);
    int told = 0;

    for (unsigned i = 0; i < n; i++)
        got[i] = (struct completion){
            .user_data = cqes[i]->user_data,
            .res = cqes[i]->res,
            .flags = cqes[i]->flags,
        };
    io_uring_cq_advance(&e->ring, n);
    fetch_ahead(got, n);
    for (unsigned i = 0; i < n; i++)
        told += take(e, &got[i]);
    return told;
}

/* --- waiting ------------------------------------------------------------ */

/* A poll that stays armed, and speaks whenever something comes: for the
 * eventfd at every write (nobody reads it, so that a wake is a write and no
 * more), for the epoll set at every event. */
static void arm(struct uring_engine *e, int fd, unsigned who, bool *armed)
{
    struct io_uring_sqe *sqe = *armed ? NULL : room(e);

    if (!sqe)
        return;
    io_uring_prep_poll_multishot(sqe, fd, POLLIN);
    io_uring_sqe_set_data64(sqe, who);
    *armed = true;
}

/* Submits, and sleeps for `left` at most. 0 or more; or a negative code. */
static int sleep_in_ring(struct uring_engine *e, int64_t until, int64_t left)
{
    struct __kernel_timespec ts = {
        .tv_sec = left / KRAIT__NS_PER_SEC,
        .tv_nsec = left % KRAIT__NS_PER_SEC,
    };
    struct io_uring_cqe *cqe = NULL;
    int code;

    /* Always with a time: without one liburing goes back to sleep where a
     * signal has woken a call that had submitted something. That call tells
     * how much it submitted, and no EINTR; so it is told by what is not there:
     * neither a completion nor the time. */
    code = io_uring_submit_and_wait_timeout(&e->ring, &cqe, 1, &ts, NULL);
    if (code >= 0 && !cqe && (until == KRAIT__NEVER || krait__now() < until))
        return -EINTR;
    return code;
}

static bool must_not_sleep(struct uring_engine *e)
{
    return e->put_off || !e->armed || !e->watched || e->news ||
           e->watch.ready || io_uring_cq_ready(&e->ring);
}

static int enter(struct uring_engine *e, int64_t until, unsigned budget)
{
    int64_t left = 0, now;

    if (io_uring_cq_ready(&e->ring) >= budget)
        return io_uring_submit(&e->ring);
    if (until == KRAIT__NEVER)
        left = KRAIT__NEVER;
    else if (until != KRAIT__AT_ONCE && until > (now = krait__now()))
        left = until - now;
    if (left == 0 || must_not_sleep(e))
        return io_uring_submit_and_get_events(&e->ring);
    return sleep_in_ring(e, until, left);
}

/* Where more has come than one look fetches, the poll says nothing of the
 * rest. */
static int ask_watch(struct uring_engine *e, unsigned budget)
{
    int own[KRAIT__WATCH_OWN], nown;
    int n;

    if (e->news && !e->watch.ready) {
        n = krait__watch_fetch(&e->watch, KRAIT__AT_ONCE, own, &nown);
        if (n != -EINTR)
            e->news = n == KRAIT__WATCH_BATCH;
    }
    return krait__watch_tell(&e->watch, budget);
}

/* How much of a budget is the ring's: the set gets a share where it may need
 * it, or sends that are done at once, turn after turn, would keep receives
 * waiting. */
static unsigned ring_share(const struct uring_engine *e, unsigned budget)
{
    bool shared = budget > 1 && (e->news || e->watch.ready);

    return shared ? budget - (budget + 3) / 4 : budget;
}

static int uring_wait(struct krait__engine *engine, int64_t until,
                      unsigned budget)
{
    struct uring_engine *e = (struct uring_engine *)engine;
    unsigned told = 0;
    int code;

    e->engine.queued = e->put_off;
    arm(e, e->wake_fd, WAKE, &e->armed);
    arm(e, e->watch.set, WATCH, &e->watched);
    push_put_off(e);
    if (e->missed)
        cancel_again(e);
    code = enter(e, until, budget);
    if (io_uring_cq_ready(&e->ring) > 0) {
        told = (unsigned)tell(e, ring_share(e, budget));
        code = 0;
    }
    if (told < budget)
        told += (unsigned)ask_watch(e, budget - told);
    return told == 0 && code < 0 && code != -ETIME ? code : (int)told;
}

static void uring_wake(struct krait__engine *engine)
{
    struct uring_engine *e = (struct uring_engine *)engine;
    int saved = errno;

    eventfd_write(e->wake_fd, 1);
    errno = saved;
}

/* --- the engine --------------------------------------------------------- */

static void uring_destroy(struct krait__engine *engine)
{
    struct uring_engine *e = (struct uring_engine *)engine;

    io_uring_queue_exit(&e->ring);
    close(e->wake_fd);
    krait__watch_free(&e->watch);
    free(e);
}

/* The ring's memory is not in the child (DONTFORK), and what is mapped in its
 * place is somebody else's: so it is not unmapped. But the ring lives, and with
 * it all files that it waits for, as long as anybody has its fd. */
static void uring_abandon(struct krait__engine *engine)
{
    struct uring_engine *e = (struct uring_engine *)engine;

    close(e->ring.ring_fd);
    close(e->wake_fd);
    krait__watch_abandon(&e->watch);
    free(e);
}

static const struct krait__engine uring_engine = {
    .name = "io_uring",
    .submit = uring_submit,
    .cancel = uring_cancel,
    .wait = uring_wait,
    .wake = uring_wake,
    .destroy = uring_destroy,
    .abandon = uring_abandon,
};

/* A ring with the best flags that the kernel knows: 0, or a negative code. */
static int make_ring(struct uring_engine *e)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
            IORING_SETUP_SUBMIT_ALL,                         /* 6.1 */
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL, /* 5.19 */
        0,
    };
    const unsigned needed =
        IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_RSRC_TAGS;
    struct io_uring_params params;
    int code = -EINVAL;

    for (size_t i = 0; code == -EINVAL && i < sizeof flags / sizeof *flags;
         i++) {
        params = (struct io_uring_params){
            .flags = flags[i] | IORING_SETUP_CQSIZE,
            .cq_entries = CQ_SIZE,
        };
        code = io_uring_queue_init_params(SQ_SIZE, &e->ring, &params);
    }
    if (code < 0)
        return code == -EINVAL ? -ENOSYS : code;
    e->skips = params.features & IORING_FEAT_CQE_SKIP;
    if ((params.features & needed) != needed)
        code = -ENOSYS;
    else
        code = io_uring_ring_dontfork(&e->ring);
    if (code < 0) {
        io_uring_queue_exit(&e->ring);
        return code;
    }
    /* Only saves the kernel a look-up. */
    io_uring_register_ring_fd(&e->ring);
    return 0;
}

struct krait__engine *krait__uring_new(int *code)
{
    struct uring_engine *e;

    /* Valgrind (3.19) takes io_uring_enter for a call that doesn't sleep, and
     * lets no other thread run before it returns. */
    if (krait__in_valgrind()) {
        *code = -ENOSYS;
        return NULL;
    }
    e = calloc(1, sizeof *e);
    if (!e) {
        *code = -ENOMEM;
        return NULL;
    }
    e->engine = uring_engine;
    *code = krait__watch_init(&e->watch);
    if (*code < 0)
        goto no_watch;
    e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *code = e->wake_fd < 0 ? -errno : make_ring(e);
    if (*code == 0)
        return &e->engine;
    if (e->wake_fd >= 0)
        close(e->wake_fd);
no_watch:
    krait__watch_free(&e->watch);
    free(e);
    return NULL;
}

#endif
