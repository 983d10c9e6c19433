/* SPDX-License-Identifier: MIT
 *
 * lifecycle.c - sockets made, shared, closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "socket/sock.h"

/* --- a socket's memory ------------------------------------------------- */

/* close(2) is never repeated: the number is free even after EINTR. */
static int close_fd(struct krait__handle *h)
{
    struct krait__op op = {.kind = KRAIT__CLOSE, .h = h};
    int rc = h->fd < 0 ? 0 : (int)krait__perform(&op, KRAIT__NEVER);

    h->fd = -1;
    return rc == -ECONNRESET || rc == -EINTR ? 0 : rc;
}

void krait__sock_close_fd(krait_sock *s)
{
    close_fd(&s->h);
}

/* The last one out: closes the fd, unless it was handed back. */
static int end(struct krait__handle *h)
{
    krait_sock *s = (krait_sock *)h;
    int saved = errno;
    int rc = atomic_load(&s->detached) ? 0 : close_fd(h);

    free(s);
    errno = saved;
    return rc;
}

krait_sock *krait__sock_new(int fd, int family, int type, int proto)
{
    krait_sock *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    krait__handle_init(&s->h, fd, family,
                       type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), end);
    s->proto = proto;
    atomic_init(&s->h.plain_tcp, (family == AF_INET || family == AF_INET6) &&
                                     s->h.type == SOCK_STREAM &&
                                     (proto == 0 || proto == IPPROTO_TCP));
    atomic_init(&s->timeout,
                type & SOCK_NONBLOCK ? 0 : krait__default_timeout());
    atomic_init(&s->users, 1);
    atomic_init(&s->detached, false);
    return s;
}

void krait__sock_discard(krait_sock *s)
{
    int saved = errno;

    free(s);
    errno = saved;
}

/* --- made -------------------------------------------------------------- */

/* A new socket, or NULL and *code. */
static krait_sock *open_socket(int family, int type, int proto, int *code)
{
    krait_sock *s = krait__sock_new(-1, family, type, proto);
    struct krait__op op = {
        .kind = KRAIT__SOCKET,
        .arg = {family, type, proto},
    };

    *code = s ? (int)krait__perform(&op, KRAIT__NEVER) : -ENOMEM;
    if (*code < 0) {
        krait__sock_discard(s);
        return NULL;
    }
    s->h.fd = *code;
    return s;
}

krait_sock *krait_socket(int family, int type, int proto)
{
    int code;
    krait_sock *s = open_socket(family, type, proto, &code);

    if (!s)
        krait__fail_at("socket", code, NULL);
    return s;
}

krait_sock *krait__sock_for(const krait_addr *addr, int type)
{
    krait_addr named = *addr;
    int code;
    krait_sock *s = open_socket(krait_addr_family(*addr), type, 0, &code);

    named.type_ = (unsigned char)type;
    if (!s)
        krait__fail_at("socket", code, &named);
    return s;
}

int krait_socketpair(int family, int type, int proto, krait_sock *pair[2])
{
    krait_sock *a = krait__sock_new(-1, family, type, proto);
    krait_sock *b = krait__sock_new(-1, family, type, proto);
    int fd[2] = {-1, -1};
    struct krait__op op = {
        .kind = KRAIT__PAIR,
        .arg = {family, type, proto},
        .buf = fd,
    };
    int rc = a && b ? (int)krait__perform(&op, KRAIT__NEVER) : -ENOMEM;

    if (rc < 0) {
        krait__sock_discard(a);
        krait__sock_discard(b);
        return krait__fail_at("socketpair", rc, NULL);
    }
    a->h.fd = fd[0];
    b->h.fd = fd[1];
    pair[0] = a;
    pair[1] = b;
    return 0;
}

/* Asks the kernel what a socket is where *value is -1. */
static int detect(struct krait__handle *h, int option, int *value)
{
    int found = 0;
    socklen_t len = sizeof found;
    struct krait__op op = {
        .kind = KRAIT__GETOPT,
        .h = h,
        .arg = {SOL_SOCKET, option},
        .buf = &found,
        .alen = &len,
    };
    int rc = (int)krait__perform(&op, KRAIT__NEVER);

    if (rc >= 0 && *value == -1)
        *value = found;
    return rc;
}

/* A socket around an fd that exists: NULL, the error set, and the fd left
 * alone where that can't be. */
static krait_sock *around(const char *op, int fd, int family, int type,
                          int proto)
{
    krait_sock *s = krait__sock_new(fd, 0, 0, 0);
    int rc, flags;

    if (!s) {
        krait__fail_at(op, -ENOMEM, NULL);
        return NULL;
    }
    if ((rc = detect(&s->h, SO_TYPE, &type)) < 0 ||
        (rc = detect(&s->h, SO_DOMAIN, &family)) < 0 ||
        (rc = detect(&s->h, SO_PROTOCOL, &proto)) < 0)
        goto failed;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        rc = -errno;
        goto failed;
    }
    s->h.family = (uint8_t)family;
    s->h.type = (uint8_t)(type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC));
    s->proto = proto;
    if (type & SOCK_NONBLOCK)
        atomic_store(&s->timeout, KRAIT__AT_ONCE);
    return s;
failed:
    krait__sock_discard(s);
    krait__fail(op, rc, NULL, NULL, NULL, 0);
    return NULL;
}

krait_sock *krait_fd_adopt(int fd)
{
    return around("fd_adopt", fd, -1, -1, -1);
}

static krait_sock *around_copy(const char *op, int fd, int family, int type,
                               int proto)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    krait_sock *s;

    if (copy < 0) {
        krait__fail_at(op, -errno, NULL);
        return NULL;
    }
    s = around(op, copy, family, type, proto);
    if (!s) {
        int saved = errno;

        close(copy);
        errno = saved;
    }
    return s;
}

krait_sock *krait_fromfd(int fd, int family, int type, int proto)
{
    return around_copy("fromfd", fd, family, type, proto);
}

krait_sock *krait_dup(krait_sock *s)
{
    krait_sock *copy;
    krait_addr peer;

    if (!krait__begin(s, "dup"))
        return NULL;
    atomic_store(&s->h.plain_tcp, false);
    copy = around_copy("dup", s->h.fd, s->h.family, s->h.type, s->proto);
    if (copy) {
        atomic_init(&copy->timeout, atomic_load(&s->timeout));
        if (krait__sock_peer(s, &peer))
            krait__sock_set_peer(copy, &peer);
    }
    krait__leave(&s->h);
    return copy;
}

/* --- unmade ------------------------------------------------------------ */

void krait__sock_use(krait_sock *s)
{
    atomic_fetch_add(&s->users, 1);
}

int krait__sock_unuse(krait_sock *s)
{
    if (atomic_fetch_sub(&s->users, 1) != 1)
        return 0;
    krait__handle_mark(&s->h, KRAIT__CLOSING);
    return krait__leave(&s->h);
}

int krait_close(krait_sock *s)
{
    int rc = s ? krait__sock_unuse(s) : 0;

    return rc < 0 ? krait__fail_at("close", rc, NULL) : 0;
}

int krait_detach(krait_sock *s)
{
    int fd;

    if (!krait__begin(s, "detach"))
        return -1;
    fd = s->h.fd;
    atomic_store(&s->detached, true);
    krait__handle_mark(&s->h, KRAIT__CLOSING);
    krait__leave(&s->h);
    krait__sock_unuse(s);
    return fd;
}

int krait_interrupt(krait_sock *s)
{
    /* A signal handler may call this: no record is touched. */
    if (!s) {
        errno = EBADF;
        return -1;
    }
    krait__handle_mark(&s->h, KRAIT__NO_IN | KRAIT__NO_OUT);
    return 0;
}
