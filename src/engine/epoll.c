/* SPDX-License-Identifier: MIT
 *
 * epoll.c - the engine for every Linux: waits for readiness, by two epoll sets.
 *
 * Stream sockets are in the edge-triggered set of watch.h, registered once.
 * For any other fd, which may be anything (a datagram socket, a terminal,
 * another library's), every waiting operation arms it anew, level-triggered
 * and one-shot: the kernel looks at the file in that moment, as poll(2) would,
 * reports once, and is silent until the next arming. So nothing is remembered
 * from one wait to the next that could be stale, and what others do to the file
 * in between (read it, drain it, hand it to another process) is never missed.
 * It costs one epoll_ctl(2) a wait. That set is in the first one as an fd like
 * others.
 *
 * Nobody tells the engine that an fd was closed, and it need not know. The
 * kernel forgets the fd with the file. Where the file lives on (a dup, a
 * forked child) while its number names another, what is registered under that
 * number can speak once more; but each arming has a tag of its own, and only
 * the last one is believed.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/slots.h"
#include "engine/watch.h"

/* Events fetched by one system call, at most. */
#define BATCH KRAIT__WATCH_BATCH

_Static_assert(POLLIN == EPOLLIN && POLLPRI == EPOLLPRI &&
                   POLLOUT == EPOLLOUT && POLLERR == EPOLLERR &&
                   POLLHUP == EPOLLHUP && POLLRDHUP == EPOLLRDHUP &&
                   POLLRDNORM == EPOLLRDNORM && POLLRDBAND == EPOLLRDBAND &&
                   POLLWRNORM == EPOLLWRNORM && POLLWRBAND == EPOLLWRBAND,
               "poll's events go to epoll, and back, as they are");

struct epoll_engine {
    struct krait__engine engine; /* first */
    struct krait__watch watch;
    int set, wake_fd;          /* which the watch looks at, too */
    struct krait__slots slots; /* the second set's; a tag counts armings */
    struct krait__node *ready; /* operations with a result, to be told */
};

static uint32_t events_of(const struct krait__op *op)
{
    return (unsigned short)op->arg[1];
}

/* --- what waits for an fd ---------------------------------------------- */

/* Makes the kernel look for what all that wait in the fd's slot want. 0, or a
 * negative code, and nothing has changed. */
static int arm(struct epoll_engine *e, int fd)
{
    struct krait__slot *slot = &e->slots.at[fd];
    struct epoll_event event = {
        .events = EPOLLONESHOT,
        .data.u64 = krait__slot_event(fd, slot->tag + 1),
    };

    for (struct krait__node *n = slot->waiting; n; n = n->next)
        event.events |= events_of(krait__op_of(n));
    /* Only the kernel knows whether this number still means the file that was
     * registered. Mostly it does. */
    if (epoll_ctl(e->set, EPOLL_CTL_MOD, fd, &event) < 0 &&
        (errno != ENOENT || epoll_ctl(e->set, EPOLL_CTL_ADD, fd, &event) < 0))
        return -errno;
    slot->tag++;
    return 0;
}

__attribute__((noinline)) static int submit_poll(struct epoll_engine *e,
                                                 struct krait__op *op)
{
    int fd = op->arg[0];
    int code;

    if (fd < 0)
        return -EBADF;
    code = krait__slots_reach(&e->slots, fd);
    if (code < 0)
        return code;
    krait__list_add(&e->slots.at[fd].waiting, &op->node);
    code = arm(e, fd);
    if (code < 0)
        krait__list_remove(&op->node);
    return code;
}

static int epoll_submit(struct krait__engine *engine, struct krait__op *op)
{
    struct epoll_engine *e = (struct epoll_engine *)engine;

    return op->kind == KRAIT__POLL ? submit_poll(e, op)
                                   : krait__watch_submit(&e->watch, op);
}

/* The fd stays armed for it: at worst that is one event for nobody. */
static void epoll_cancel(struct krait__engine *engine, struct krait__op *op)
{
    (void)engine;
    krait__watch_cancel(op);
}

/* --- what came --------------------------------------------------------- */

static void make_ready(struct epoll_engine *e, struct krait__op *op,
                       ssize_t res)
{
    krait__list_remove(&op->node);
    op->res = res;
    krait__list_add(&e->ready, &op->node);
}

/* Whom `came` is for becomes ready; the others go on waiting. */
static void sort_out(struct epoll_engine *e, int fd, uint32_t came)
{
    struct krait__slot *slot = &e->slots.at[fd];
    struct krait__node *next;
    int code;

    for (struct krait__node *n = slot->waiting; n; n = next) {
        uint32_t wanted = events_of(krait__op_of(n)) | EPOLLERR | EPOLLHUP;

        next = n->next;
        if (came & wanted)
            make_ready(e, krait__op_of(n), came & wanted);
    }
    if (!slot->waiting)
        return;
    code = arm(e, fd);
    /* The fd is gone, or there is no memory: all would wait for ever. */
    while (code < 0 && slot->waiting)
        make_ready(e, krait__op_of(slot->waiting), code);
}

/* What has come for the fds in the second set. */
static void fetch(struct epoll_engine *e)
{
    struct epoll_event events[BATCH];
    int n = epoll_wait(e->set, events, BATCH, 0);

    /* Every list here grows at its front; twice backwards is forwards. */
    for (; n > 0; n--) {
        const struct epoll_event *event = &events[n - 1];
        int fd = krait__slot_fd(event->data.u64);

        if (e->slots.at[fd].tag == krait__slot_tag(event->data.u64))
            sort_out(e, fd, event->events);
    }
}

/* Tells at most `budget` of those that are ready. A done() may cancel others
 * of them, and submit more. */
static int tell(struct epoll_engine *e, unsigned budget)
{
    int told = 0;

    for (; budget > 0 && e->ready; budget--, told++) {
        struct krait__op *op = krait__op_of(e->ready);

        krait__list_remove(&op->node);
        op->done(op);
    }
    return told;
}

static int tell_all(struct epoll_engine *e, unsigned budget)
{
    unsigned told = (unsigned)krait__watch_tell(&e->watch, budget);

    return (int)told + tell(e, budget - told);
}

static int epoll_wait_tell(struct krait__engine *engine, int64_t until,
                           unsigned budget)
{
    struct epoll_engine *e = (struct epoll_engine *)engine;
    int own[KRAIT__WATCH_OWN], nown, n;
    eventfd_t ignored;

    /* Left by the last wait: a fetch takes no notice of the budget. */
    if (e->ready || e->watch.ready)
        return tell_all(e, budget);
    n = krait__watch_fetch(&e->watch, until, own, &nown);
    if (n < 0)
        return n;
    for (int i = 0; i < nown; i++) {
        if (own[i] == e->wake_fd)
            eventfd_read(e->wake_fd, &ignored);
        else
            fetch(e);
    }
    return tell_all(e, budget);
}

/* --- the engine -------------------------------------------------------- */

static void epoll_wake(struct krait__engine *engine)
{
    struct epoll_engine *e = (struct epoll_engine *)engine;
    int saved = errno;

    eventfd_write(e->wake_fd, 1);
    errno = saved;
}

static void epoll_destroy(struct krait__engine *engine)
{
    struct epoll_engine *e = (struct epoll_engine *)engine;

    if (e->wake_fd >= 0)
        close(e->wake_fd);
    if (e->set >= 0)
        close(e->set);
    krait__watch_free(&e->watch);
    krait__slots_free(&e->slots);
    free(e);
}

/* Closing the child's own copies of the fds changes nothing for the parent, as
 * EPOLL_CTL_DEL would. The memory is left as it is: the owner may have been in
 * the middle of making it larger. */
static void epoll_abandon(struct krait__engine *engine)
{
    struct epoll_engine *e = (struct epoll_engine *)engine;

    close(e->wake_fd);
    close(e->set);
    krait__watch_abandon(&e->watch);
}

static const struct krait__engine epoll_engine = {
    .name = "epoll",
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .wait = epoll_wait_tell,
    .wake = epoll_wake,
    .destroy = epoll_destroy,
    .abandon = epoll_abandon,
};

/* An fd that is open from here on: 0, or a negative code. */
static int look_at(struct epoll_engine *e, int *fd, int opened)
{
    *fd = opened;
    return opened < 0 ? -errno : krait__watch_own(&e->watch, opened);
}

struct krait__engine *krait__epoll_new(int *code)
{
    struct epoll_engine *e = calloc(1, sizeof *e);

    if (!e) {
        *code = -ENOMEM;
        return NULL;
    }
    e->engine = epoll_engine;
    e->wake_fd = e->set = -1;
    *code = krait__watch_init(&e->watch);
    if (*code == 0)
        *code = look_at(e, &e->set, epoll_create1(EPOLL_CLOEXEC));
    if (*code == 0)
        *code = look_at(e, &e->wake_fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (*code == 0)
        return &e->engine;
    epoll_destroy(&e->engine);
    return NULL;
}
