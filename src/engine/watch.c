/* SPDX-License-Identifier: MIT
 *
 * watch.c - the edge-triggered set of watch.h.
 *
 * A slot is an fd's. Nobody tells that an fd was closed: the kernel forgets it
 * with the file, and here the next handle with its number takes the slot. Where
 * the file lives on (a dup, a forked child), what is registered under the old
 * number goes on to speak; but an event carries the serial number of the handle
 * that it is for, and one that isn't the slot's is nobody's.
 */
#include "engine/watch.h"

#include <errno.h>
#include <limits.h>
#include <linux/time_types.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/prefetch.h"
#include "base/valgrind.h"

/* All that can happen. ERR and HUP come unasked. */
#define EVERYTHING \
    (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | (uint32_t)EPOLLET)

/* What makes an attempt worth while. Not PRI: a receive would read over the
 * urgent byte. */
#define FOR_IN  (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)
#define FOR_OUT (EPOLLOUT | EPOLLERR | EPOLLHUP)

/* The most that one receive can return, for certain. */
#define MOST ((size_t)1 << 30)

/* No handle's serial number. */
enum { NOBODY = 0 };

static void make_ready(struct krait__watch *w, struct krait__node *n)
{
    krait__prefetch(krait__op_of(n)->owner, KRAIT__LINE);
    krait__list_remove(n);
    krait__list_add(&w->ready, n);
}

/* --- registering --------------------------------------------------------- */

static int add(struct krait__watch *w, int fd, uint32_t events, uint32_t serial)
{
    struct epoll_event event = {
        .events = events,
        .data.u64 = krait__slot_event(fd, serial),
    };

    if (epoll_ctl(w->set, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    /* Handed back and adopted again: another handle, the same file. */
    if (errno == EEXIST && epoll_ctl(w->set, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    return -errno;
}

int krait__watch_own(struct krait__watch *w, int fd)
{
    return add(w, fd, EPOLLIN, NOBODY);
}

/* NULL: the handle is not registered. */
static struct krait__slot *slot_for(const struct krait__watch *w,
                                    const struct krait__handle *h)
{
    struct krait__slot *slot =
        (size_t)h->fd < w->slots.room ? &w->slots.at[h->fd] : NULL;

    return slot && slot->tag == h->serial ? slot : NULL;
}

/* Of those that waited for the handle before none is left. */
__attribute__((noinline)) static int enlist(struct krait__watch *w,
                                            const struct krait__handle *h)
{
    int code = krait__slots_reach(&w->slots, h->fd);
    struct krait__slot *slot;

    if (code == 0)
        code = add(w, h->fd, EVERYTHING, h->serial);
    if (code < 0)
        return code;
    slot = &w->slots.at[h->fd];
    /* Whoever waited for a handle that has handed its fd back is about to
     * leave. */
    while (slot->waiting)
        make_ready(w, slot->waiting);
    *slot = (struct krait__slot){.tag = h->serial};
    return 0;
}

/* --- operations ---------------------------------------------------------- */

static void note_receive(struct krait__slot *slot, const struct krait__op *op)
{
    size_t n = op->res > 0 ? (size_t)op->res : MOST;

    slot->quiet = n < MOST && n < op->len && !slot->careful;
}

/* Where a receive need not be tried. */
static bool is_empty(const struct krait__slot *slot, const struct krait__op *op)
{
    return slot->quiet &&
           atomic_load_explicit(&op->h->plain_tcp, memory_order_relaxed);
}

int krait__watch_submit(struct krait__watch *w, struct krait__op *op)
{
    struct krait__slot *slot = slot_for(w, op->h);
    bool receives = op->kind == KRAIT__RECV;
    int code;

    if (!slot || !receives || !is_empty(slot, op)) {
        do
            op->res = krait__attempt(op);
        while (op->res == -EINTR);
        if (slot && receives)
            note_receive(slot, op);
        if (op->res != -EAGAIN)
            return KRAIT__DONE;
    }
    if (!slot) {
        if ((code = enlist(w, op->h)) < 0)
            return code;
        slot = slot_for(w, op->h);
    }
    krait__list_add(&slot->waiting, &op->node);
    return 0;
}

void krait__watch_cancel(struct krait__op *op)
{
    krait__list_remove(&op->node);
    op->res = -ECANCELED;
    op->done(op);
}

/* --- what came ----------------------------------------------------------- */

static void sort_out(struct krait__watch *w, struct krait__slot *slot,
                     uint32_t came)
{
    struct krait__node *next;

    slot->quiet = false;
    if (came & (EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
        slot->careful = true;
    for (struct krait__node *n = slot->waiting; n; n = next) {
        next = n->next;
        if (came & (krait__op_of(n)->kind == KRAIT__SEND ? FOR_OUT : FOR_IN))
            make_ready(w, n);
    }
}

/* As epoll_wait(2), until a deadline: to the nanosecond where epoll_pwait2(2)
 * is to be had, which *coarse remembers. */
static int wait_until(int set, struct epoll_event *events, int max,
                      int64_t until, bool *coarse)
{
    int64_t left = 0, now;
    int ms, n;

    if (until == KRAIT__NEVER)
        left = KRAIT__NEVER;
    else if (until != KRAIT__AT_ONCE && until > (now = krait__now()))
        left = until - now;
#ifdef SYS_epoll_pwait2 /* Linux 5.11; in glibc since 2.35 */
    if (!*coarse && left != 0 && left != KRAIT__NEVER) {
        struct __kernel_timespec ts = {
            .tv_sec = left / KRAIT__NS_PER_SEC,
            .tv_nsec = left % KRAIT__NS_PER_SEC,
        };

        n = (int)syscall(SYS_epoll_pwait2, set, events, max, &ts, NULL, 0);
        /* Some filters of system calls say EPERM to all that they don't
         * know. */
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        *coarse = true;
    }
#endif
    if (left == KRAIT__NEVER)
        ms = -1;
    else if (left > (INT_MAX - 1) * KRAIT__NS_PER_MS)
        ms = INT_MAX;
    else
        ms = (int)((left + KRAIT__NS_PER_MS - 1) / KRAIT__NS_PER_MS);
    return epoll_wait(set, events, max, ms);
}

/* NULL: of an fd of the engine's own. */
static struct krait__slot *slot_of(const struct krait__watch *w,
                                   const struct epoll_event *event)
{
    return krait__slot_tag(event->data.u64) == NOBODY
               ? NULL
               : &w->slots.at[krait__slot_fd(event->data.u64)];
}

/* Of thousands of slots each is cold, and so is what waits in it. */
static void fetch_ahead(const struct krait__watch *w,
                        const struct epoll_event *events, int n)
{
    const struct krait__slot *slot;

    for (int i = 0; i < n; i++)
        if ((slot = slot_of(w, &events[i])))
            krait__prefetch(slot, sizeof *slot);
    for (int i = 0; i < n; i++)
        if ((slot = slot_of(w, &events[i])) && slot->waiting)
            krait__prefetch(krait__op_of(slot->waiting),
                            sizeof(struct krait__op));
}

int krait__watch_fetch(struct krait__watch *w, int64_t until,
                       int own[KRAIT__WATCH_OWN], int *nown)
{
    struct epoll_event events[KRAIT__WATCH_BATCH];
    int n = wait_until(w->set, events, KRAIT__WATCH_BATCH, until, &w->coarse);

    *nown = 0;
    if (n < 0)
        return -errno;
    fetch_ahead(w, events, n);
    /* Every list here grows at its front; twice backwards is forwards. */
    for (int i = n; i > 0; i--) {
        const struct epoll_event *event = &events[i - 1];
        struct krait__slot *slot = slot_of(w, event);

        if (!slot)
            own[(*nown)++] = krait__slot_fd(event->data.u64);
        else if (slot->tag == krait__slot_tag(event->data.u64))
            sort_out(w, slot, event->events);
    }
    return n;
}

int krait__watch_tell(struct krait__watch *w, unsigned budget)
{
    int told = 0;

    for (; budget > 0 && w->ready; budget--, told++) {
        struct krait__op *op = krait__op_of(w->ready);

        krait__list_remove(&op->node);
        op->res = -EAGAIN;
        op->done(op);
    }
    return told;
}

/* --- life ---------------------------------------------------------------- */

int krait__watch_init(struct krait__watch *w)
{
    /* Valgrind (3.19) lacks it too, and says so on stderr. */
    *w = (struct krait__watch){.coarse = krait__in_valgrind()};
    w->set = epoll_create1(EPOLL_CLOEXEC);
    return w->set < 0 ? -errno : 0;
}

void krait__watch_free(struct krait__watch *w)
{
    if (w->set >= 0)
        close(w->set);
    krait__slots_free(&w->slots);
}

/* The memory is left as it is: the owner may have been in the middle of making
 * it larger. */
void krait__watch_abandon(struct krait__watch *w)
{
    close(w->set);
}
