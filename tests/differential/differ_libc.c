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
 *   6. A Unix stream's MSG_WAITALL that gets some bytes and then ECONNRESET
 *      returns the bytes, and the kernel forgets the error. Krait keeps it for
 *      the next call, as TCP does it (docs/decisions.md).
 *   7. MSG_NOSIGNAL always. SO_RCVTIMEO and SO_SNDTIMEO have no effect: they
 *      are set anew for each call here.
 *   8. An address of another family than the socket's is EAFNOSUPPORT; the
 *      kernel has a different answer for each kind of socket, or sends to the
 *      peer.
 *   9. Sends on Unix sockets wait by poll(2) here, as CPython's with a timeout
 *      do (but not in a flood). One that waits in the kernel
 *      - is told ECONNRESET where the peer goes and leaves bytes unread, and
 *        the socket has forgotten it then. One that waits outside is told
 *        EPIPE, and the ECONNRESET is for the next call that receives, and not
 *        lost;
 *      - may succeed when it is interrupted, since it looks for room once more,
 *        and poll(2) wants more room than it does.
 *   10. A receive on TCP that waits in the kernel reads over an urgent byte
 *      that comes, and loses it. One that waits outside is not woken by it, so
 *      here TCP waits for its first byte by poll(2), too.
 *   11. TCP's receive of no bytes says 0 when a signal wakes it; it is
 *      ECANCELED, as that of one byte is.
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
    return wait == SHORT ? 2 * NS_PER_MS
           : wait == FAR ? 60000 * NS_PER_MS
                         : 100000000 * NS_PER_MS;
}

static int result(int rc)
{
    return rc < 0 ? -errno : rc;
}

static bool timed(enum wait wait)
{
    return wait == SHORT || wait == FAR;
}

/* --- how the fd waits ---------------------------------------------------- */

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

/* 9 */
static bool polls_to_send(const struct slot *s, enum wait wait)
{
    return timed(wait) ||
           (wait == FOREVER && s->place < INET_4 && !s->in_flood);
}

static int prepare_out(struct slot *s, enum wait wait)
{
    if (wait != FOREVER || polls_to_send(s, wait))
        return MSG_DONTWAIT | MSG_NOSIGNAL;
    set_timeo(s, SO_SNDTIMEO, &s->sndtimeo, FOREVER);
    set_nonblock(s, false);
    return MSG_NOSIGNAL;
}

/* EINTR comes from stop() only. The flags: calls that the kernel answers at
 * once. */
static int code_of(struct slot *s, enum wait wait, int flags, int err)
{
    bool must_not = (flags & MSG_DONTWAIT) ||
                    ((flags & MSG_OOB) && s->type == SOCK_STREAM) ||
                    ((flags & MSG_ERRQUEUE) && is_inet(s));

    if (err == EINTR && atomic_load(&s->stop))
        return -ECANCELED;
    if (timed(wait) && !must_not &&
        (err == EAGAIN || err == EINPROGRESS || err == EALREADY))
        return -ETIMEDOUT;
    return -err;
}

/* A signal that is not ours: the end of an io_uring interrupts, too. */
static bool again(const struct slot *s)
{
    return errno == EINTR && !atomic_load(&s->stop);
}

static void nap(struct slot *s)
{
    struct timespec ts = {0, 200000};

    atomic_fetch_add(&s->attempts, 1);
    atomic_store(&s->naps, true);
    nanosleep(&ts, NULL);
    atomic_store(&s->naps, false);
}

static ssize_t recv_call(struct slot *s, void *buf, size_t len, int flags,
                         struct sockaddr_storage *sa, socklen_t *alen)
{
    ssize_t n;

    do
        n = recvfrom(s->fd, buf, len, flags, (struct sockaddr *)sa, alen);
    while (n < 0 && again(s));
    return n;
}

/* --- made and unmade ----------------------------------------------------- */

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

/* --- names --------------------------------------------------------------- */

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
    if (s->fd < 0)
        return -EBADF;
    if (s->interrupted)
        return -ECANCELED;
    set_nonblock(s, wait == AT_ONCE);
    set_timeo(s, SO_RCVTIMEO, &s->rcvtimeo, wait);
    do
        conn->fd = accept4(s->fd, (struct sockaddr *)sa, len, SOCK_CLOEXEC);
    while (conn->fd < 0 && again(s));
    return conn->fd < 0 ? code_of(s, wait, 0, errno) : 0;
}

static int libc_connect(struct slot *s, enum wait wait,
                        const struct sockaddr *sa, socklen_t len)
{
    int rc;

    if (s->fd < 0)
        return -EBADF;
    if (is_foreign(s, sa))
        return -EAFNOSUPPORT;
    s->kept = 0;
    if (s->interrupted)
        return -ECANCELED;
    set_nonblock(s, wait == AT_ONCE);
    set_timeo(s, SO_SNDTIMEO, &s->sndtimeo, wait);
    do
        rc = connect(s->fd, sa, len);
    while (rc < 0 && again(s));
    return rc < 0 ? code_of(s, wait, 0, errno) : 0;
}

static int libc_name(struct slot *s, bool peer, struct sockaddr_storage *sa,
                     socklen_t *len)
{
    return result(peer ? getpeername(s->fd, (struct sockaddr *)sa, len)
                       : getsockname(s->fd, (struct sockaddr *)sa, len));
}

/* --- in ------------------------------------------------------------------ */

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

/* Before another part: waits for it, or for the mark, where it ends. */
static bool more_comes(struct slot *s, int64_t until)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN | POLLPRI | POLLRDHUP};
    int64_t left = until - now_ns();
    struct timespec ts = {0, 0};
    int mark = 0;

    if (left > 0) {
        ts.tv_sec = (time_t)(left / 1000000000);
        ts.tv_nsec = left % 1000000000;
    }
    while (ppoll(&p, 1, &ts, NULL) < 0)
        if (atomic_load(&s->stop))
            return false;
    ioctl(s->fd, SIOCATMARK, &mark);
    return !mark;
}

static ssize_t recv_parts(struct slot *s, enum wait wait, char *buf, size_t len,
                          int flags)
{
    int64_t until = now_ns() + timeout_ns(wait);
    size_t done = 0;

    for (;;) {
        ssize_t n = recv_call(s, buf + done, len - done, flags, NULL, NULL);
        bool timeout = timed(wait) && now_ns() >= until;

        if (n <= 0)
            return done || n == 0 ? (ssize_t)done
                                  : code_of(s, wait, flags, errno);
        done += (size_t)n;
        if (done == len ||
            !ended_by_fds(s, flags & MSG_DONTWAIT ? AT_ONCE : wait, timeout) ||
            !more_comes(s, flags & MSG_DONTWAIT ? 0 : until))
            return (ssize_t)done;
    }
}

/* 6: an error that was there, or has come, and is there no more. */
static bool has_error(const struct slot *s)
{
    struct pollfd p = {.fd = s->fd};

    return poll(&p, 1, 0) > 0 && (p.revents & POLLERR);
}

static ssize_t recv_all_of_unix(struct slot *s, enum wait wait, char *buf,
                                size_t len, int flags)
{
    unsigned resets = atomic_load(&s->resets);
    bool error = has_error(s);
    ssize_t n = recv_parts(s, wait, buf, len, flags);

    if (n > 0 && (error || atomic_load(&s->resets) != resets) && !has_error(s))
        atomic_store(&s->kept, -ECONNRESET);
    return n;
}

/* Until poll(2) says that there is something to receive; 0 or a code. */
static int poll_in(struct slot *s, int64_t until)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN | POLLRDHUP};
    int64_t left = until - now_ns();
    struct timespec ts = {(time_t)(left / 1000000000), left % 1000000000};
    int rc;

    if (left <= 0)
        return -ETIMEDOUT;
    rc = ppoll(&p, 1, &ts, NULL);
    if (atomic_load(&s->stop))
        return -ECANCELED;
    return rc < 0 ? -EINTR : rc == 0 ? -ETIMEDOUT : 0;
}

/* 10: until there is a first byte, after an attempt; what that gave, or
 * -EAGAIN: go on. */
static ssize_t wait_in(struct slot *s, enum wait wait, void *buf, size_t len,
                       int flags)
{
    int64_t until = now_ns() + timeout_ns(wait);
    struct pollfd p = {.fd = s->fd, .events = POLLIN | POLLRDHUP};
    ssize_t n;
    int rc;

    if (!is_tcp(s) || wait == AT_ONCE || poll(&p, 1, 0) != 0 ||
        code_of(s, FAR, flags, EAGAIN) == -EAGAIN)
        return -EAGAIN;
    n = recv(s->fd, buf, len, (flags & ~MSG_WAITALL) | MSG_DONTWAIT);
    if (n >= 0 || errno != EAGAIN)
        return n < 0 ? -errno : n;
    do
        rc = poll_in(s, until);
    while (rc == -EINTR);
    return rc < 0 ? rc : -EAGAIN;
}

/* The kept error: 0, or a code. */
static int take_kept(struct slot *s)
{
    return atomic_exchange(&s->kept, 0);
}

static ssize_t libc_recv(struct slot *s, enum wait wait, void *buf, size_t len,
                         int flags)
{
    const int alone = MSG_PEEK | MSG_OOB;
    ssize_t n;

    if (s->fd < 0)
        return -EBADF;
    if (len == 0 && flags == 0)
        return 0;
    if (s->interrupted)
        return -ECANCELED;
    if ((n = wait_in(s, wait, buf, len, flags)) != -EAGAIN)
        return n;
    flags |= prepare_in(s, wait);
    if (atomic_load(&s->kept))
        flags |= MSG_DONTWAIT;
    if ((flags & MSG_WAITALL) && !(flags & alone) && s->type == SOCK_STREAM &&
        !is_inet(s))
        n = recv_all_of_unix(s, wait, buf, len, flags);
    else if ((n = recv_call(s, buf, len, flags, NULL, NULL)) < 0)
        n = code_of(s, wait, flags, errno);
    if ((n == 0 || n == -EAGAIN) && !(flags & MSG_OOB) && s->kept)
        return take_kept(s);
    if (n == 0 && len == 0 && atomic_load(&s->stop)) /* 11 */
        return -ECANCELED;
    return n;
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
    if ((n = wait_in(s, wait, buf, len, flags)) != -EAGAIN) {
        *alen = 0;
        return n;
    }
    flags |= prepare_in(s, wait);
    if (atomic_load(&s->kept))
        flags |= MSG_DONTWAIT;
    n = recv_call(s, buf, len, flags & ~MSG_WAITALL, sa, alen);
    if ((n == 0 || (n < 0 && errno == EAGAIN)) && !(flags & MSG_OOB) && s->kept)
        return take_kept(s);
    if (n == 0 && len == 0 && atomic_load(&s->stop)) /* 11 */
        return -ECANCELED;
    return n < 0 ? code_of(s, wait, flags, errno) : n;
}

/* --- out ----------------------------------------------------------------- */

/* Until the fd is writable; where it is said to be and is not (a Unix datagram
 * socket whose receiver is full), a little later. */
static int wait_out(struct slot *s, int64_t until)
{
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    struct timespec ts = {0, 200000};
    int64_t left = until - now_ns();

    if (left <= 0)
        return -ETIMEDOUT;
    if (s->place < INET_4 && s->type == SOCK_DGRAM && poll(&p, 1, 0) == 1) {
        nap(s);
        return atomic_load(&s->stop) ? -ECANCELED : 0;
    }
    ts.tv_sec = (time_t)(left / 1000000000);
    ts.tv_nsec = (long)(left % 1000000000);
    return ppoll(&p, 1, &ts, NULL) < 0 && atomic_load(&s->stop) ? -ECANCELED
                                                                : 0;
}

static ssize_t send_until(struct slot *s, enum wait wait, const void *buf,
                          size_t len, int flags, const struct sockaddr *sa,
                          socklen_t alen, int64_t until)
{
    bool waits = polls_to_send(s, wait) && !(flags & MSG_DONTWAIT);

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
    int64_t until = now_ns() + timeout_ns(wait);
    size_t done = 0;
    ssize_t n;

    if (s->fd < 0)
        return -EBADF;
    if (is_foreign(s, sa))
        return -EAFNOSUPPORT;
    if (s->interrupted)
        return -ECANCELED;
    if (s->kept)
        return take_kept(s);
    do {
        n = send_until(s, wait, (const char *)buf + done, len - done, flags, sa,
                       alen, until);
        done += n > 0 ? (size_t)n : 0;
    } while (n > 0 && done < len && wait == FOREVER && s->type == SOCK_STREAM &&
             !(flags & MSG_DONTWAIT) && !atomic_load(&s->stop));
    return n < 0 && !done ? n : (ssize_t)done;
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
    if (s->kept)
        return take_kept(s);
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

/* --- options ------------------------------------------------------------- */

static int libc_getopt(struct slot *s, int level, int option, int *value)
{
    socklen_t len = sizeof *value;

    int rc = result(getsockopt(s->fd, level, option, value, &len));

    if (rc == 0 && option == SO_ERROR && *value == 0)
        *value = -take_kept(s);
    return rc;
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
    return s->kept;
}

/* --- stopping what waits ------------------------------------------------- */

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
