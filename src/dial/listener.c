/* SPDX-License-Identifier: MIT
 *
 * listener.c - sockets that listen; see listener.h.
 */
#include "dial/listener.h"

#include <errno.h>
#include <stdlib.h>

enum { ADDRESSES_MAX = 32 };

/* Options that are set before bind, on a fresh socket. */
static int prepare(krait_sock *s, bool dual,
                   const struct krait__listen_options *o)
{
    if (s->h.family == AF_INET6 &&
        krait_setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, !dual) < 0)
        return -1;
    if (o->reuse_address && o->type != SOCK_DGRAM && s->h.family != AF_UNIX)
        return krait_setsockopt(s, SOL_SOCKET, SO_REUSEADDR, 1);
    return 0;
}

bool krait__dial_over(void)
{
    return krait_errdomain() == KRAIT_ERROR_TIMEOUT || krait_errno() == EINTR;
}

/* 0, or -1 with the error set. */
static int bind_and_listen(krait_sock *s, const krait_addr *addr,
                           const struct krait__listen_options *o,
                           struct krait__socket_file *file)
{
    struct krait__place place = {.lock = -1};
    krait_addr named = *addr;
    int rc = 0;

    named.type_ = s->h.type;
    if (o->unix_cleanup)
        rc = krait__place_take(addr, &place);
    if (rc < 0)
        krait__fail_at("bind", rc, &named);
    else if (krait_bind(s, *addr) < 0 ||
             (o->type != SOCK_DGRAM && krait_listen(s, o->backlog) < 0))
        rc = -1;
    else if (o->unix_cleanup)
        krait__place_note(addr, file);
    krait__place_leave(&place);
    return rc < 0 ? -1 : 0;
}

static krait_sock *try_one(const krait_addr *addr, bool dual,
                           const struct krait__listen_options *o,
                           struct krait__socket_file *file)
{
    krait_sock *s = krait_socket(krait_addr_family(*addr), o->type, 0);

    if (!s)
        return NULL;
    if (prepare(s, dual, o) == 0 && bind_and_listen(s, addr, o, file) == 0)
        return s;
    krait__sock_unuse(s); /* quietly: the error stays */
    return NULL;
}

static krait_sock *try_family(const krait_addr *addr, int family, bool dual,
                              const struct krait__listen_options *o,
                              struct krait__socket_file *file)
{
    krait_addr found[ADDRESSES_MAX];
    krait_sock *s = NULL;
    int count = krait__resolve(addr, family, true, NULL, 0, KRAIT__NEVER, found,
                               ADDRESSES_MAX);

    if (count < 0)
        krait__fail_at("bind", count, addr);
    for (int i = 0; i < count && !s && (i == 0 || !krait__dial_over()); i++)
        s = try_one(&found[i], dual, o, file);
    return s;
}

/* The other family, where the first does not exist here or has no such name. An
 * address that is taken is an answer. */
static bool other_may_do(void)
{
    return krait_errdomain() == KRAIT_ERROR_NAME || errno == EAFNOSUPPORT ||
           errno == EADDRNOTAVAIL;
}

static krait_sock *try_families(const krait_addr *addr,
                                const struct krait__listen_options *o,
                                struct krait__socket_file *file)
{
    bool any = addr->kind_ == KRAIT__HOSTNAME && addr->len_ == 0;
    struct krait__failure second = {0}, *first;
    krait_sock *s;

    if (addr->kind_ != KRAIT__HOSTNAME)
        return try_family(addr, AF_UNSPEC, false, o, file);
    s = try_family(addr, any ? AF_INET6 : AF_INET, any, o, file);
    if (s || !other_may_do())
        return s;
    first = krait__failure_swap(&second);
    s = try_family(addr, any ? AF_INET : AF_INET6, any, o, file);
    krait__failure_swap(first);
    /* That the second family lacks the name explains nothing. */
    if (!s && second.code < KRAIT__ENAME)
        krait__fail_as(&second);
    return s;
}

krait_sock *krait__listener(const krait_addr *addr,
                            const struct krait__listen_options *o,
                            struct krait__socket_file *file)
{
    struct krait__failure tried = {0}, *mine = krait__failure_swap(&tried);
    krait_sock *s;

    *file = (struct krait__socket_file){0};
    s = try_families(addr, o, file);
    krait__failure_swap(mine);
    if (!s)
        krait__fail_as(&tried);
    return s;
}
