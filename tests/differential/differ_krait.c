/* SPDX-License-Identifier: MIT
 *
 * differ_krait.c - the same calls of Krait's: in threads and in fibers this is
 * one and the same code.
 *
 * errno and krait_errno() must agree after each failure; where they don't, the
 * result is one that no performer can have.
 */
#include <errno.h>

#include "engine/engine.h"

#include "differ.h"

static ssize_t result(ssize_t rc)
{
    int err = errno;

    if (rc >= 0)
        return rc;
    return err != krait_errno() || err == 0 ? -9999 : -err;
}

static int code(int rc)
{
    return (int)result(rc);
}

static void set_wait(struct slot *s, enum wait wait)
{
    static const double seconds[] = {0, 0.002, 60, KRAIT_FOREVER};

    if (s->s)
        krait_settimeout(s->s, seconds[wait]);
}

static krait_addr address(const struct sockaddr *sa, socklen_t len)
{
    return krait_addr_from(sa, len);
}

static void from_address(krait_addr addr, struct sockaddr_storage *sa,
                         socklen_t *len)
{
    if (krait_addr_sockaddr(addr, (struct sockaddr *)sa, len) < 0)
        *len = 0;
}

static int took(struct slot *s, krait_sock *sock)
{
    int rc = sock ? 0 : code(-1);

    s->s = sock;
    s->fd = sock ? krait_fileno(sock) : -1;
    return rc;
}

static int k_socket(struct slot *s, int family, int type)
{
    return took(s, krait_socket(family, type, 0));
}

static int k_pair(struct slot *a, struct slot *b, int type)
{
    krait_sock *pair[2];

    if (krait_socketpair(AF_UNIX, type, 0, pair) < 0)
        return code(-1);
    took(a, pair[0]);
    took(b, pair[1]);
    return 0;
}

static int k_close(struct slot *s)
{
    int rc = code(krait_close(s->s));

    s->s = NULL;
    s->fd = -1;
    return rc;
}

static int k_bind(struct slot *s, const struct sockaddr *sa, socklen_t len)
{
    return code(krait_bind(s->s, address(sa, len)));
}

static int k_listen(struct slot *s, int backlog)
{
    return code(krait_listen(s->s, backlog));
}

static int k_accept(struct slot *s, enum wait wait, struct slot *conn,
                    struct sockaddr_storage *sa, socklen_t *len)
{
    krait_addr peer;
    krait_sock *sock;
    int rc;

    set_wait(s, wait);
    sock = krait_accept(s->s, &peer);
    rc = took(conn, sock);
    if (sock)
        from_address(peer, sa, len);
    return rc;
}

static int k_connect(struct slot *s, enum wait wait, const struct sockaddr *sa,
                     socklen_t len)
{
    set_wait(s, wait);
    return code(krait_connect(s->s, address(sa, len)));
}

static int k_name(struct slot *s, bool peer, struct sockaddr_storage *sa,
                  socklen_t *len)
{
    krait_addr name = peer ? krait_getpeername(s->s) : krait_getsockname(s->s);
    int rc = krait_addr_error(name);

    if (rc == 0)
        from_address(name, sa, len);
    return -rc;
}

static ssize_t k_recv(struct slot *s, enum wait wait, void *buf, size_t len,
                      int flags)
{
    set_wait(s, wait);
    return result(krait_recv(s->s, buf, len, flags));
}

static ssize_t k_recvfrom(struct slot *s, enum wait wait, void *buf, size_t len,
                          int flags, struct sockaddr_storage *sa,
                          socklen_t *alen)
{
    krait_addr from;
    ssize_t n;

    set_wait(s, wait);
    n = result(krait_recvfrom(s->s, buf, len, flags, &from));
    if (n >= 0)
        from_address(from, sa, alen);
    return n;
}

static ssize_t k_send(struct slot *s, enum wait wait, const void *buf,
                      size_t len, int flags)
{
    set_wait(s, wait);
    return result(krait_send(s->s, buf, len, flags));
}

static int k_sendall(struct slot *s, enum wait wait, const void *buf,
                     size_t len, int flags)
{
    set_wait(s, wait);
    return code(krait_sendall(s->s, buf, len, flags));
}

static ssize_t k_sendto(struct slot *s, enum wait wait, const void *buf,
                        size_t len, int flags, const struct sockaddr *sa,
                        socklen_t alen)
{
    set_wait(s, wait);
    return result(krait_sendto(s->s, buf, len, flags, address(sa, alen)));
}

static int k_shutdown(struct slot *s, int how)
{
    return code(krait_shutdown(s->s, how));
}

static int k_getopt(struct slot *s, int level, int option, int *value)
{
    return code(krait_getsockopt(s->s, level, option, value));
}

static int k_setopt(struct slot *s, int level, int option, const void *value,
                    socklen_t len)
{
    return code(krait_setsockopt_buf(s->s, level, option, value, len));
}

/* The library's inside is asked for what poll(2) can't see any more. */
static struct krait__handle *handle(struct slot *s)
{
    return (struct krait__handle *)s->s;
}

static int k_kept(struct slot *s)
{
    return s->s ? atomic_load(&handle(s)->kept) : 0;
}

static void k_stop(struct world *w, struct slot *s)
{
    (void)w;
    krait_interrupt(s->s);
}

/* A thread can't be cancelled without its socket: an interrupt that is taken
 * back stands for it. */
static void k_unstop(struct slot *s)
{
    if (s->s && !s->interrupted)
        krait__handle_unmark(handle(s), KRAIT__NO_IN | KRAIT__NO_OUT);
}

static int k_interrupt(struct slot *s)
{
    return krait_interrupt(s->s) < 0 ? -errno : 0;
}

const struct api krait_api = {
    .name = "krait",
    .socket = k_socket,
    .pair = k_pair,
    .bind = k_bind,
    .listen = k_listen,
    .accept = k_accept,
    .connect = k_connect,
    .recv = k_recv,
    .recvfrom = k_recvfrom,
    .send = k_send,
    .sendall = k_sendall,
    .sendto = k_sendto,
    .shutdown = k_shutdown,
    .close = k_close,
    .ask_name = k_name,
    .getopt = k_getopt,
    .setopt = k_setopt,
    .kept = k_kept,
    .stop = k_stop,
    .unstop = k_unstop,
    .interrupt = k_interrupt,
};
