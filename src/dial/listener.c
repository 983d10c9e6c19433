/* SPDX-License-Identifier: MIT
 *
 * listener.c - sockets that listen; see listener.h.
 */
#include "dial/listener.h"

#include <errno.h>

#include "dial/each_address.h"

struct attempt {
    bool dual; /* an IPv6 socket takes IPv4 as well */
    const struct krait__listen_options *o;
    struct krait__socket_file *file;
};

/* Options that are set before bind, on a fresh socket. */
static int prepare(krait_sock *s, const struct attempt *a)
{
    if (s->h.family == AF_INET6 &&
        krait_setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, !a->dual) < 0)
        return -1;
    if (a->o->reuse_port &&
        krait_setsockopt(s, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
        return -1;
    if (a->o->reuse_address && s->h.type != SOCK_DGRAM &&
        s->h.family != AF_UNIX)
        return krait_setsockopt(s, SOL_SOCKET, SO_REUSEADDR, 1);
    return 0;
}

/* A file that was looked at is known to be live, not just there. */
static const char *in_use(int code)
{
    return code == -EADDRINUSE ? "Address already in use: another program "
                                 "listens there; `ss -xl` shows it"
                               : NULL;
}

/* 0, or -1 with the error set. */
static int bind_and_listen(krait_sock *s, const krait_addr *addr,
                           const struct attempt *a)
{
    struct krait__place place = {.lock = -1};
    krait_addr named = *addr;
    int rc = 0;

    named.type_ = s->h.type;
    if (a->o->unix_cleanup)
        rc = krait__place_take(addr, &place);
    if (rc < 0)
        krait__fail_because("bind", rc, in_use(rc), &named);
    else if (krait_bind(s, *addr) < 0 ||
             (s->h.type != SOCK_DGRAM && krait_listen(s, a->o->backlog) < 0))
        rc = -1;
    else if (a->o->unix_cleanup)
        krait__place_note(addr, a->file);
    krait__place_leave(&place);
    return rc < 0 ? -1 : 0;
}

static krait_sock *try_listen(const krait_addr *addr, void *arg)
{
    const struct attempt *a = arg;
    krait_sock *s = krait__sock_for(addr, a->o->type);

    if (!s)
        return NULL;
    if (prepare(s, a) == 0 && bind_and_listen(s, addr, a) == 0)
        return s;
    krait__sock_unuse(s); /* quietly: the error stays */
    return NULL;
}

static krait_sock *listen_in(int family, const krait_addr *addr,
                             struct attempt *a)
{
    return krait__each_address("bind", addr, family, true, KRAIT__NEVER,
                               try_listen, a);
}

/* The other family, where the first does not exist here or has no such name. An
 * address that is taken is an answer. */
static bool other_may_do(void)
{
    return krait_errdomain() == KRAIT_ERROR_NAME || errno == EAFNOSUPPORT ||
           errno == EADDRNOTAVAIL;
}

static krait_sock *listen_somewhere(const krait_addr *addr, struct attempt *a)
{
    struct krait__failure second = {0}, *first;
    bool everywhere;
    krait_sock *s;

    if (addr->kind_ != KRAIT__HOSTNAME)
        return listen_in(AF_UNSPEC, addr, a);
    everywhere = addr->len_ == 0; /* no host: every address of this one */
    if (a->dual && !everywhere)
        return listen_in(AF_INET6, addr, a);
    a->dual = everywhere;
    s = listen_in(everywhere ? AF_INET6 : AF_INET, addr, a);
    if (s || !other_may_do())
        return s;
    first = krait__failure_swap(&second);
    s = listen_in(everywhere ? AF_INET : AF_INET6, addr, a);
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
    struct attempt a = {.dual = o->dual, .o = o, .file = file};
    krait_sock *s;

    *file = (struct krait__socket_file){0};
    s = listen_somewhere(addr, &a);
    krait__failure_swap(mine);
    if (!s)
        krait__fail_as(&tried);
    return s;
}
