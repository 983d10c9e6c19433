/* SPDX-License-Identifier: MIT
 *
 * wait.c - waiting for what is no socket of Krait's: a plain fd, a child.
 *
 * Readiness is what poll(2) says of the fd without waiting, and the wait below
 * only says when to look: so the events are the same whatever waits, and a wake
 * that somebody else has answered already goes unseen.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <krait/io.h>

#include "base/signal_hook.h"
#include "fiber/park.h"
#include "fiber/scheduler.h"
#include "io/perform.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* Linux 5.3, on every architecture but alpha */
#endif

static void describe(const void *subject, char *buf, size_t size)
{
    snprintf(buf, size, "%d", *(const int *)subject);
}

/* What the errno means here, where its own text says something else. */
static const char *reason(int code, bool bad_number)
{
    switch (code) {
    case -EAGAIN:
        return "would have to wait, and the timeout is 0";
    case -EINVAL:
        return bad_number ? "not the number of one process"
                          : "a timeout is 0, more, or KRAIT_FOREVER";
    default:
        return NULL;
    }
}

static int failed(const char *op, int code, int number, bool bad_number)
{
    return krait__fail(op, code, reason(code, bad_number), describe, &number,
                       sizeof number);
}

/* --- a plain fd -------------------------------------------------------- */

/* The events that are there, or -EAGAIN. */
static int look(int fd, short events)
{
    struct krait__op op = {.kind = KRAIT__POLL, .arg = {fd, events}};
    ssize_t got;

    do
        got = krait__attempt(&op);
    while (got == -EINTR && krait__signal_hook() == 0);
    return got > 0 && (got & POLLNVAL) ? -EBADF : (int)got;
}

static int until_ready(int fd, short events, int64_t deadline)
{
    int got = look(fd, events);

    while (got == -EAGAIN && deadline != KRAIT__AT_ONCE) {
        got = krait__wait_fd(NULL, 0, fd, events, deadline);
        /* epoll(7) refuses files whose readiness never changes: these are not
         * ready for what was asked for, and won't be. */
        if (got == -EPERM)
            got = krait__wait_fd(NULL, 0, -1, 0, deadline);
        if (got >= 0)
            got = look(fd, events);
    }
    return got;
}

static int wait_fd(int fd, short events, double timeout)
{
    int64_t ns;
    int rc;

    if (!krait__timeout(timeout, &ns))
        return -EINVAL;
    if (fd < 0)
        return -EBADF; /* poll(2) would just wait */
    if (ns != KRAIT__AT_ONCE && (rc = krait__stopped()) < 0)
        return rc;
    rc = until_ready(fd, events, krait__deadline(ns));
    if (rc > 0 || ns == KRAIT__AT_ONCE)
        krait__breathe(); /* it may be called in a loop */
    return rc;
}

int krait_wait_fd(int fd, short events, double timeout)
{
    int rc = wait_fd(fd, events, timeout);

    return rc < 0 ? failed("wait_fd", rc, fd, false) : rc;
}

/* --- a child ----------------------------------------------------------- */

/* Between two looks at a child of which nothing says when it can be reaped. */
#define PAUSE (10 * KRAIT__NS_PER_MS)

/* 0: it has ended, and is reaped; -EAGAIN: it has not. */
static int reap(pid_t pid, int *status)
{
    pid_t got = waitpid(pid, status, WNOHANG);

    if (got < 0)
        return -errno;
    return got == pid ? 0 : -EAGAIN;
}

/* Once, or after a pause: 0, -EAGAIN, or why not to go on. */
static int reap_soon(pid_t pid, int *status, int64_t deadline)
{
    int rc = reap(pid, status);

    if (rc != -EAGAIN)
        return rc;
    rc = krait__pause(NULL, 0, PAUSE, deadline);
    return rc < 0 ? rc : -EAGAIN;
}

static int until_ended(pid_t pid, int pidfd, int *status, int64_t deadline)
{
    /* Once more with the pidfd at hand: had somebody else reaped the child
     * meanwhile, it could be a stranger's who was given its number. */
    int rc = reap(pid, status);

    while (rc == -EAGAIN) {
        /* Even where its pidfd says that it has ended: who traces it
         * (ptrace(2)) reaps it first, and no event says when that was. */
        rc = pidfd < 0 ? 1 : until_ready(pidfd, POLLIN, deadline);
        if (rc > 0)
            rc = reap_soon(pid, status, deadline);
    }
    return rc;
}

static int wait_child(pid_t pid, int *status, double timeout)
{
    int64_t ns, deadline;
    int pidfd, rc;

    if (pid <= 0 || !krait__timeout(timeout, &ns))
        return -EINVAL;
    if (ns != KRAIT__AT_ONCE && (rc = krait__stopped()) < 0)
        return rc;
    deadline = krait__deadline(ns);
    rc = reap(pid, status);
    if (ns == KRAIT__AT_ONCE)
        krait__breathe();
    if (rc != -EAGAIN || ns == KRAIT__AT_ONCE)
        return rc;
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 && errno == ESRCH)
        return -ECHILD;
    /* Before Linux 5.3, in Valgrind, and behind those filters of system calls
     * that say EPERM to all that they don't know, it has to be looked at by
     * turns. */
    if (pidfd < 0 && errno != ENOSYS && errno != EPERM)
        return -errno;
    rc = until_ended(pid, pidfd, status, deadline);
    if (pidfd >= 0)
        close(pidfd);
    return rc;
}

int krait_wait_child(pid_t pid, int *status, double timeout)
{
    int rc = wait_child(pid, status, timeout);

    return rc < 0 ? failed("wait_child", rc, pid, pid <= 0) : rc;
}
