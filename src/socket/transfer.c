/* SPDX-License-Identifier: MIT
 *
 * transfer.c - bytes in and out.
 *
 * Each call is an operation and the socket's deadline; what flags mean, and
 * the loops that they need, are io's.
 */
#include <errno.h>
#include <string.h>

#include "socket/sock.h"

static inline ssize_t run(krait_sock *s, const char *what, struct krait__op *op,
                          const krait_addr *addr)
{
    op->h = &s->h;
    return krait__finish(s, what, krait__perform(op, krait__sock_deadline(s)),
                         addr);
}

ssize_t krait_recv(krait_sock *s, void *buf, size_t len, int flags)
{
    struct krait__op op = {
        .kind = KRAIT__RECV,
        .buf = buf,
        .len = len,
        .flags = flags,
    };

    if (!krait__begin(s, "recv"))
        return -1;
    /* As CPython: nothing is asked for, nothing is done. Flags may ask for a
     * datagram's length all the same. */
    if (len == 0 && flags == 0)
        return krait__finish(s, "recv", 0, NULL);
    return run(s, "recv", &op, NULL);
}

ssize_t krait_recvfrom(krait_sock *s, void *buf, size_t len, int flags,
                       krait_addr *from)
{
    struct sockaddr_storage sa = {0};
    socklen_t alen = sizeof sa;
    struct krait__op op = {
        .kind = KRAIT__RECV,
        .buf = buf,
        .len = len,
        .flags = flags & ~MSG_WAITALL,
        .addr = (struct sockaddr *)&sa,
        .alen = &alen,
    };
    ssize_t n;

    if (!krait__begin(s, "recvfrom"))
        return -1;
    n = run(s, "recvfrom", &op, NULL);
    if (n >= 0 && from)
        *from = alen ? krait_addr_from((struct sockaddr *)&sa, alen)
                     : (krait_addr){0};
    return n;
}

ssize_t krait_send(krait_sock *s, const void *buf, size_t len, int flags)
{
    struct krait__op op = {
        .kind = KRAIT__SEND,
        .buf = (void *)buf, /* which a send leaves alone */
        .len = len,
        .flags = flags,
    };

    if (!krait__begin(s, "send"))
        return -1;
    return run(s, "send", &op, NULL);
}

ssize_t krait_sendto(krait_sock *s, const void *buf, size_t len, int flags,
                     krait_addr to)
{
    krait_addr real;
    struct krait__op op = {
        .kind = KRAIT__SEND,
        .buf = (void *)buf,
        .len = len,
        .flags = flags,
        .addr = (struct sockaddr *)&real.u_.sa,
        .alen = &real.len_,
    };
    int64_t deadline;
    ssize_t rc;

    if (!krait__begin(s, "sendto"))
        return -1;
    deadline = krait__sock_deadline(s);
    rc = krait__sock_address(s, &to, false, deadline, &real);
    if (rc == 0) {
        op.h = &s->h;
        rc = krait__perform(&op, deadline);
    }
    return krait__finish(s, "sendto", rc, &to);
}

int krait_sendall(krait_sock *s, const void *buf, size_t len, int flags)
{
    struct krait__op op = {
        .kind = KRAIT__SEND,
        .buf = (void *)buf,
        .len = len,
        .flags = flags,
    };
    int rc;

    if (!krait__begin(s, "sendall"))
        return -1;
    op.h = &s->h;
    rc = krait__send_whole(&op, krait__sock_deadline(s));
    return (int)krait__finish(s, "sendall", rc, NULL);
}

int krait_sendstr(krait_sock *s, const char *text)
{
    if (!text)
        return krait__fail("sendall", -EINVAL, "no text (NULL)", NULL, NULL, 0);
    return krait_sendall(s, text, strlen(text), 0);
}

int krait_shutdown(krait_sock *s, int how)
{
    struct krait__op op = {.kind = KRAIT__SHUTDOWN, .arg = {how}};

    if (!krait__begin(s, "shutdown"))
        return -1;
    return (int)run(s, "shutdown", &op, NULL);
}
