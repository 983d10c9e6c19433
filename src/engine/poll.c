/* SPDX-License-Identifier: MIT
 *
 * poll.c - how a plain thread waits: ppoll(2) on the fd and on an eventfd of
 * the thread's own, through which others wake it.
 *
 * The eventfd is made when a thread waits for the first time, and closed when
 * the thread ends. Where none can be had (EMFILE) the thread still waits,
 * blind: it looks up now and then to see whether it was interrupted, and
 * whether there is an eventfd now. To fail would turn a lack of fds into lost
 * connections.
 *
 * Waking by a signal would spare the eventfd, but no signal is a library's to
 * take; shutdown(2) would hit every process that shares the socket.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/failure.h"
#include "engine/engine.h"

/* How long a thread without an eventfd waits before it looks up: from the first
 * to the last, doubling. What an interrupt may come late, against what a
 * thousand such threads cost. */
#define BLIND_FIRST (20 * KRAIT__NS_PER_MS)
#define BLIND_LAST  (320 * KRAIT__NS_PER_MS)

/* --- the thread's eventfd ---------------------------------------------- */

static _Thread_local int own_fd = -1;
static _Thread_local unsigned own_generation;
static pthread_key_t at_exit;
static bool have_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void drop_fd(void *unused)
{
    (void)unused;
    if (own_fd >= 0)
        close(own_fd);
    own_fd = -1;
}

static void set_up(void)
{
    have_key = pthread_key_create(&at_exit, drop_fd) == 0;
}

/* -1: there is none to be had. */
static int thread_fd(void)
{
    /* The child of a fork shares its parent's eventfd, and would steal its
     * wakes: it makes one of its own. */
    if (own_generation != krait__generation())
        drop_fd(NULL);
    if (own_fd >= 0)
        return own_fd;
    pthread_once(&once, set_up);
    if (!have_key)
        return -1;
    own_generation = krait__generation();
    own_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Any value but NULL makes the destructor run. */
    if (own_fd >= 0 && pthread_setspecific(at_exit, &once) != 0)
        drop_fd(NULL);
    return own_fd;
}

/* --- waking, and being woken ------------------------------------------- */

/* A thread on a handle's list. */
struct sleeper {
    struct krait__waiter waiter; /* first */
    int wake_fd;                 /* the thread's eventfd; -1: it has none, and
                                  * looks up by itself */
    bool woken;                  /* wake_fd was written to, and may still be
                                  * readable */
};

static void wake(struct krait__waiter *w)
{
    struct sleeper *s = (struct sleeper *)w;

    if (s->wake_fd >= 0)
        s->woken = eventfd_write(s->wake_fd, 1) == 0;
}

/* A wake that was meant for an earlier wait, or came from another process
 * that shares the eventfd, must not make this one spin. */
static void drain(int wake_fd)
{
    eventfd_t ignored;

    eventfd_read(wake_fd, &ignored);
}

/* --- waiting ----------------------------------------------------------- */

/* One ppoll: the events on `fd`, 0, or a negative code. */
static int wait_once(int fd, short events, int wake_fd, int64_t until)
{
    struct pollfd pfd[2] = {
        {.fd = fd, .events = events},
        {.fd = wake_fd, .events = POLLIN},
    };
    struct timespec left = {0, 0};
    int64_t now;

    if (until != KRAIT__NEVER && until > (now = krait__now()))
        left = krait__timespec(until - now);
    if (ppoll(pfd, 2, until == KRAIT__NEVER ? NULL : &left, NULL) < 0)
        return -errno;
    if (pfd[1].revents & POLLIN)
        drain(wake_fd);
    else if (pfd[1].revents)
        own_fd = -1; /* closed underneath: another is needed */
    return pfd[0].revents;
}

/* Until something came or `until` has. -EAGAIN: the eventfd is gone. */
static int wait_until(struct krait__handle *h, unsigned bits, int fd,
                      short events, int wake_fd, int64_t until)
{
    for (;;) {
        int got;

        if (h && krait__marked(h, bits | KRAIT__CLOSING))
            return -ECANCELED;
        got = wait_once(fd, events, wake_fd, until);
        if (got != 0)
            return got;
        if (until != KRAIT__NEVER && krait__now() >= until)
            return h && krait__marked(h, bits | KRAIT__CLOSING)
                       ? -ECANCELED
                       : -KRAIT__ETIMEOUT;
        if (wake_fd >= 0 && own_fd != wake_fd)
            return -EAGAIN;
    }
}

/* On the handle's list while it waits. */
static int wait_listed(struct krait__handle *h, unsigned bits, int fd,
                       short events, int wake_fd, int64_t until)
{
    struct sleeper s = {.waiter.wake = wake, .wake_fd = wake_fd};
    int got;

    krait__publish(h, &s.waiter);
    got = wait_until(h, bits, fd, events, wake_fd, until);
    krait__withdraw(h, &s.waiter);
    if (s.woken)
        drain(wake_fd);
    return got;
}

int krait__poll_wait(struct krait__handle *h, unsigned bits, int fd,
                     short events, int64_t until)
{
    int64_t blind = BLIND_FIRST;

    if (!h)
        return wait_until(NULL, 0, fd, events, -1, until);
    for (;;) {
        int wake_fd = thread_fd();
        int64_t next = until;
        int got;

        if (wake_fd < 0) {
            next = krait__now() + blind;
            blind = blind < BLIND_LAST ? blind * 2 : blind;
        }
        got = wait_listed(h, bits, fd, events, wake_fd,
                          krait__earlier(next, until));
        if (got != -EAGAIN && (got != -KRAIT__ETIMEOUT || next >= until))
            return got;
    }
}
