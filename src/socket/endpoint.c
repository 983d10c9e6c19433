/* SPDX-License-Identifier: MIT
 *
 * endpoint.c - the calls with addresses: bind, listen, accept, connect, and
 * the names of both ends.
 */
#include <errno.h>

#include "socket/sock.h"

/* --- addresses that fit ------------------------------------------------ */

int krait__sock_address(krait_sock *s, const krait_addr *addr, bool any,
                        int64_t deadline, krait_addr *out)
{
    int family, rc;

    if (addr->type_ && addr->type_ != s->h.type && s->h.type != SOCK_RAW)
        return -EPROTOTYPE;
    /* A socket that must not wait asks for names all the same, as Python's
     * does: there is no way to ask and come back later. */
    if (deadline == KRAIT__AT_ONCE)
        deadline = KRAIT__NEVER;
    rc = krait__resolve(addr, s->h.family, any, &s->h,
                        KRAIT__NO_IN | KRAIT__NO_OUT, deadline, out, 1);
    if (rc < 0)
        return rc;
    /* AF_UNSPEC dissolves the connection of a datagram socket. */
    family = krait_addr_family(*out);
    return family == s->h.family || family == AF_UNSPEC ? 0 : -EAFNOSUPPORT;
}

/* --- this end ---------------------------------------------------------- */

int krait_bind(krait_sock *s, krait_addr addr)
{
    krait_addr real;
    struct krait__op op = {.kind = KRAIT__BIND};
    int rc;

    if (!krait__begin(s, "bind"))
        return -1;
    rc = krait__sock_address(s, &addr, true, krait__sock_deadline(s), &real);
    if (rc == 0) {
        op.h = &s->h;
        op.addr = (struct sockaddr *)&real.u_.sa;
        op.alen = &real.len_;
        rc = (int)krait__perform(&op, KRAIT__NEVER);
    }
    return (int)krait__finish(s, "bind", rc, &addr);
}

int krait_listen(krait_sock *s, int backlog)
{
    struct krait__op op = {
        .kind = KRAIT__LISTEN,
        .arg = {backlog > 0 ? backlog : 0},
    };

    if (!krait__begin(s, "listen"))
        return -1;
    op.h = &s->h;
    return (int)krait__finish(s, "listen", krait__perform(&op, KRAIT__NEVER),
                              NULL);
}

krait_sock *krait__sock_accept(krait_sock *s, int64_t deadline,
                               krait_addr *peer, int *code)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    struct krait__op op = {
        .kind = KRAIT__ACCEPT,
        .h = &s->h,
        .addr = (struct sockaddr *)&sa,
        .alen = &len,
    };
    /* Before the connection is taken, so that it can't be lost after. */
    krait_sock *conn = krait__sock_new(-1, s->h.family, s->h.type, s->proto);

    *code = conn ? (int)krait__perform(&op, deadline) : -ENOMEM;
    if (*code < 0) {
        krait__sock_discard(conn);
        return NULL;
    }
    conn->h.fd = *code;
    *peer = krait_addr_from((struct sockaddr *)&sa, len);
    krait__sock_set_peer(conn, peer);
    return conn;
}

krait_sock *krait_accept(krait_sock *s, krait_addr *peer)
{
    krait_sock *conn;
    krait_addr from;
    int code;

    if (!krait__begin(s, "accept"))
        return NULL;
    conn = krait__sock_accept(s, krait__sock_deadline(s), &from, &code);
    krait__finish(s, "accept", code, NULL);
    if (conn && peer)
        *peer = from;
    return conn;
}

/* --- the other end ----------------------------------------------------- */

int krait__sock_connect(krait_sock *s, const krait_addr *addr, int64_t deadline)
{
    krait_addr real;
    struct krait__op op = {
        .kind = KRAIT__CONNECT,
        .h = &s->h,
        .addr = (struct sockaddr *)&real.u_.sa,
        .alen = &real.len_,
    };
    int rc = krait__sock_address(s, addr, false, deadline, &real);

    if (rc < 0)
        return rc;
    rc = (int)krait__perform(&op, deadline);
    if (rc == 0)
        krait__sock_set_peer(s, &real);
    return rc;
}

static int connect_once(krait_sock *s, const krait_addr *addr)
{
    int rc;

    if (!krait__begin(s, "connect"))
        return -1;
    rc = krait__sock_connect(s, addr, krait__sock_deadline(s));
    return (int)krait__finish(s, "connect", rc, addr);
}

int krait_connect(krait_sock *s, krait_addr addr)
{
    return connect_once(s, &addr);
}

int krait_connect_ex(krait_sock *s, krait_addr addr)
{
    int saved = errno, rc = 0;

    if (connect_once(s, &addr) < 0)
        rc = errno;
    errno = saved;
    return rc;
}

/* --- names ------------------------------------------------------------- */

static krait_addr name_of(krait_sock *s, const char *what,
                          enum krait__kind which)
{
    krait_addr name;

    if (krait__begin(s, what) &&
        krait__finish(s, what, krait__sock_name(s, which, &name), NULL) == 0)
        return name;
    return krait__addr_bad("", errno, KRAIT__BAD_ERRNO);
}

krait_addr krait_getsockname(krait_sock *s)
{
    return name_of(s, "getsockname", KRAIT__NAME);
}

krait_addr krait_getpeername(krait_sock *s)
{
    return name_of(s, "getpeername", KRAIT__PEER);
}
