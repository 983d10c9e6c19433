/* SPDX-License-Identifier: MIT
 *
 * differ_libc.c - the reference: what plain system calls do.
 *
 * It waits in the kernel: blocking fds, SO_RCVTIMEO and SO_SNDTIMEO for
 * timeouts, and a signal for what has to be interrupted, so that it shares no
 * way of waiting with Krait. Only a send with a timeout is a loop over a
 * non-blocking fd and poll(2), since CPython's is, and the kernel's would send
 * everything.
 *
 * Krait's documented differences from blocking calls are modelled here, and
 * nowhere else (but see known() in differ_compare.c, for what poll(2) says):
 *
 *   1. A timeout that has passed is ETIMEDOUT, not EAGAIN (krait/error.h).
 *   2. A call that was interrupted, cancelled, or whose socket was closed under
 *      it, is ECANCELED, and so is each call that may wait after an interrupt.
 *   3. A recv of nothing without flags is not made, as in CPython.
 *   4. MSG_WAITALL has no effect on recvfrom (krait/socket.h).
 *   5. MSG_WAITALL goes on past a message with fds; the kernel's ends there
 *      (af_unix.c, unix_stream_read_generic).
 *   6. MSG_NOSIGNAL always.
 *   7. SO_RCVTIMEO and SO_SNDTIMEO have no effect: they are set anew for each
 *      call here.
 *   8. An address of another family than the socket's is EAFNOSUPPORT; the
 *      kernel has a different answer for each kind of socket, or sends to the
 *      peer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "differ.h"

/* What the timeouts mean, here and in differ_krait.c. */
#define NS_PER_MS INT64_C(1000000)

static int64_t timeout_ns(enum wait wait)
{
    return wait == SHORT ? 2 * NS_PER_MS : 60000 * NS_PER_MS;
}

static int result(int rc)
{
    return rc < 0 ? -errno : rc;
}

/* --- how the fd waits ----------------------------------------------------- */

static void set_nonblock(struct slot *s, bool on)
{
    int flags;

    if (s->fd < 0 || s->nonblock == on)
        return;
    flags = fcntl(s->fd, F_GETFL);
    fcntl(s->fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
    s->nonblock = on;
}

static void set_timeo(struct slot *s, int option, atomic_int *set,
                      enum wait wait)
{
    int64_t ns = wait == FOREVER ? 0 : timeout_ns(wait);
    struct timeval tv = {
        .tv_sec = (time_t)(ns / 1000000000),
        .tv_usec = (suseconds_t)(ns % 1000000000 / 1000),
    };

    if (s->fd < 0 || wait == AT_ONCE || *set == (int)wait)
        return;
    setsockopt(s->fd, SOL_SOCKET, option, &tv, sizeof tv);
    *set = (int)wait;
}

/* Transfers don't wait by MSG_DONTWAIT, accept and connect by O_NONBLOCK: the
 * other flow may be in the middle of a transfer on the same fd. */
static int prepare_in(struct slot *s, enum wait wait)
{
    set_timeo(s, SO_RCVTIMEO, &s->rcvtimeo, wait);
    if (wait == AT_ONCE)
        return MSG_DONTWAIT;
    set_nonblock(s, false);
    return 0;
}

static int prepare_out(struct slot *s, enum wait wait)
{
    if (wait != FOREVER)
        return MSG_DONTWAIT | MSG_NOSIGNAL;
    set_timeo(s, SO_SNDTIMEO, &s->sndtimeo, FOREVER);
    set_nonblock(s, false);
    return MSG_NOSIGNAL;
}

static bool timed(enum wait wait)
{
    return wait == SHORT || wait == FAR;
}

/* EINTR comes from stop() only. */
static int code_of(struct slot *s, enum wait wait, int flags, int err)
{
    bool must_not = flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE);

    if (err == EINTR && atomic_load(&s->stop))
        return -ECANCELED;
    if (timed(wait) && !must_not && (err == EAGAIN || err == EINPROGRESS))
        return -ETIMEDOUT;
    return -err;
}

/* --- made and unmade ------------------------------------------------------- */

static int libc_socket(struct slot *s, int family, int type)
{
    s->fd = socket(family, type | SOCK_CLOEXEC, 0);
    return s->fd < 0 ? -errno : 0;
}

static int libc_pair(struct slot *a, struct slot *b, int type)
{
    int fd[2];

    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fd) < 0)
        return -errno;
    a->fd = fd[0];
    b->fd = fd[1];
    return 0;
}

static int libc_close(struct slot *s)
{
    int rc = s->fd < 0 ? 0 : result(close(s->fd));

    s->fd = -1;
    return rc;
}

/* 8 */
static bool is_foreign(const struct slot *s, const struct sockaddr *sa)
{
    return sa && sa->sa_family != AF_UNSPEC &&
           sa->sa_family != family_of(s->place);
}

/* --- names ----------------------------------------------------------------- */

static int libc_bind(struct slot *s, const struct sockaddr *sa, socklen_t len)
{
    return result(bind(s->fd, sa, len));
}

static int libc_listen(struct slot *s, int backlog)
{
    return result(listen(s->fd, backlog < 0 ? 0 : backlog));
}

static int libc_accept(struct slot *s, enum wait wait, struct slot *conn,
                       struct sockaddr_storage *sa, socklen_t *len)
{
    if (s->interrupted)
        return -ECANCELED;
    set_nonblock(s, wait == AT_ONCE);
    set_timeo(s, SO_RCVTIMEO, &s->rcvtimeo, wait);
    conn->fd = accept4(s->fd, (struct sockaddr *)sa, len, SOCK_CLOEXEC);
    return conn->fd < 0 ? code_of(s, wait, 0, errno) : 0;
}

static int libc_connect(struct slot *s, enum wait wait,
                        const struct sockaddr *sa, socklen_t len)
{
    if (s->fd < 0)
        return -EBADF;
    if (is_foreign(s, sa))
        return -EAFNOSUPPORT;
    if (s->interrupted)
        return -ECANCELED;
    set_nonblock(s, wait == AT_ONCE);
    set_timeo(s, SO_SNDTIMEO, &s->sndtimeo, wait);
    return connect(s->fd, sa, len) < 0 ? code_of(s, wait, 0, errno) : 0;
}

static int libc_name(struct slot *s, bool peer, struct sockaddr_storage *sa,
                     socklen_t *len)
{
    return result(peer ? getpeername(s->fd, (struct sockaddr *)sa, len)
                       : getsockname(s->fd, (struct sockaddr *)sa, len));
}

/* --- in ------------------------------------------------------------------- */

/* 5: whether a receive that ended early did so because of fds only. Asks the
 * socket for nothing that asking would take away. */
static bool ended_by_fds(struct slot *s, enum wait wait, bool timeout)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN | POLLRDHUP};
    int waiting = 0, mark = 0;

    ioctl(s->fd, SIOCINQ, &waiting);
    ioctl(s->fd, SIOCATMARK, &mark);
    if (mark || atomic_load(&s->stop))
        return false;
    if (waiting > 0)
        return true;
    poll(&p, 1, 0);
    return !timeout && wait != AT_ONCE &&
           !(p.revents & (POLLIN | POLLRDHUP | POLLHUP | POLLERR));
}

static ssize_t recv_past_fds(struct slot *s, enum wait wait, char *buf,
                             size_t len, int flags)
{
    int64_t until = now_ns() + timeout_ns(wait);
    size_t done = 0;

    for (;;) {
        ssize_t n = recv(s->fd, buf + done, len - done, flags);
        bool timeout = timed(wait) && now_ns() >= until;

        if (n <= 0)
            return done || n == 0 ? (ssize_t)done
                                  : code_of(s, wait, flags, errno);
        done += (size_t)n;
        if (done == len || (flags & MSG_DONTWAIT) ||
            !ended_by_fds(s, wait, timeout))
            return (ssize_t)done;
    }
}

static ssize_t libc_recv(struct slot *s, enum wait wait, void *buf, size_t len,
                         int flags)
{
    const int alone = MSG_PEEK | MSG_OOB | MSG_ERRQUEUE;
    ssize_t n;

    if (s->fd < 0)
        return -EBADF;
    if (len == 0 && flags == 0)
        return 0;
    if (s->interrupted)
        return -ECANCELED;
    flags |= prepare_in(s, wait);
    if (s->fds_came && (flags & MSG_WAITALL) && !(flags & alone) &&
        s->type == SOCK_STREAM)
        return recv_past_fds(s, wait, buf, len, flags);
    n = recv(s->fd, buf, len, flags);
    return n < 0 ? code_of(s, wait, flags, errno) : n;
}

static ssize_t libc_recvfrom(struct slot *s, enum wait wait, void *buf,
                             size_t len, int flags, struct sockaddr_storage *sa,
                             socklen_t *alen)
{
    ssize_t n;

    if (s->fd < 0)
        return -EBADF;
    if (s->interrupted)
        return -ECANCELED;
    flags |= prepare_in(s, wait);
    n = recvfrom(s->fd, buf, len, flags & ~MSG_WAITALL, (struct sockaddr *)sa,
                 alen);
    return n < 0 ? code_of(s, wait, flags, errno) : n;
}

/* --- out ------------------------------------------------------------------ */

/* Until the fd is writable, or a little later where poll(2) is known to lie (a
 * Unix datagram socket whose receiver is full). */
static int wait_out(struct slot *s, int64_t until)
{
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    int64_t left = until - now_ns();
    struct timespec ts = {0, 200000};

    if (left <= 0)
        return -ETIMEDOUT;
    if (s->type == SOCK_DGRAM && s->place < INET_4) {
        if (nanosleep(&ts, NULL) < 0 && atomic_load(&s->stop))
            return -ECANCELED;
        return 0;
    }
    ts.tv_sec = (time_t)(left / 1000000000);
    ts.tv_nsec = (long)(left % 1000000000);
    if (ppoll(&p, 1, &ts, NULL) < 0 && atomic_load(&s->stop))
        return -ECANCELED;
    return 0;
}

static ssize_t send_until(struct slot *s, enum wait wait, const void *buf,
                          size_t len, int flags, const struct sockaddr *sa,
                          socklen_t alen, int64_t until)
{
    bool waits = timed(wait) && !(flags & MSG_DONTWAIT);

    for (;;) {
        ssize_t n =
            sendto(s->fd, buf, len, flags | prepare_out(s, wait), sa, alen);
        int rc;

        if (n >= 0)
            return n;
        if (errno != EAGAIN || !waits)
            return code_of(s, waits ? FOREVER : wait, MSG_DONTWAIT, errno);
        if ((rc = wait_out(s, until)) < 0)
            return rc;
    }
}

static ssize_t libc_sendto(struct slot *s, enum wait wait, const void *buf,
                           size_t len, int flags, const struct sockaddr *sa,
                           socklen_t alen)
{
    if (s->fd < 0)
        return -EBADF;
    if (is_foreign(s, sa))
        return -EAFNOSUPPORT;
    if (s->interrupted)
        return -ECANCELED;
    return send_until(s, wait, buf, len, flags, sa, alen,
                      now_ns() + timeout_ns(wait));
}

static ssize_t libc_send(struct slot *s, enum wait wait, const void *buf,
                         size_t len, int flags)
{
    return libc_sendto(s, wait, buf, len, flags, NULL, 0);
}

static int libc_sendall(struct slot *s, enum wait wait, const void *buf,
                        size_t len, int flags)
{
    int64_t until = now_ns() + timeout_ns(wait);
    size_t done = 0;

    if (s->fd < 0)
        return -EBADF;
    if (s->interrupted)
        return -ECANCELED;
    do {
        ssize_t n = send_until(s, wait, (const char *)buf + done, len - done,
                               flags, NULL, 0, until);

        if (n < 0)
            return (int)n;
        done += (size_t)n;
        if (atomic_load(&s->stop) && done < len)
            return -ECANCELED;
    } while (done < len);
    return 0;
}

static int libc_shutdown(struct slot *s, int how)
{
    return result(shutdown(s->fd, how));
}

/* --- options --------------------------------------------------------------- */

static int libc_getopt(struct slot *s, int level, int option, int *value)
{
    socklen_t len = sizeof *value;

    return result(getsockopt(s->fd, level, option, value, &len));
}

static int libc_setopt(struct slot *s, int level, int option, const void *value,
                       socklen_t len)
{
    int rc = result(setsockopt(s->fd, level, option, value, len));

    if (option == SO_RCVTIMEO)
        s->rcvtimeo = -1;
    if (option == SO_SNDTIMEO)
        s->sndtimeo = -1;
    return rc;
}

static int libc_kept(struct slot *s)
{
    (void)s;
    return 0;
}

/* --- stopping what waits --------------------------------------------------- */

static void libc_stop(struct world *w, struct slot *s)
{
    atomic_store(&s->stop, true);
    w->performer->flows->poke(w);
}

static void libc_unstop(struct slot *s)
{
    atomic_store(&s->stop, false);
}

static int libc_interrupt(struct slot *s)
{
    return s->fd < 0 ? -EBADF : 0; /* `interrupted` says the rest */
}

const struct api libc_api = {
    .name = "libc",
    .socket = libc_socket,
    .pair = libc_pair,
    .bind = libc_bind,
    .listen = libc_listen,
    .accept = libc_accept,
    .connect = libc_connect,
    .recv = libc_recv,
    .recvfrom = libc_recvfrom,
    .send = libc_send,
    .sendall = libc_sendall,
    .sendto = libc_sendto,
    .shutdown = libc_shutdown,
    .close = libc_close,
    .ask_name = libc_name,
    .getopt = libc_getopt,
    .setopt = libc_setopt,
    .kept = libc_kept,
    .stop = libc_stop,
    .unstop = libc_unstop,
    .interrupt = libc_interrupt,
};
