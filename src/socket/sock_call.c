/* SPDX-License-Identifier: MIT
 *
 * sock_call.c - how a call on a socket begins and ends, and what the socket is
 * called when it fails.
 */
#include <errno.h>
#include <string.h>

#include "socket/sock.h"

bool krait__refuse(krait_sock *s, const char *op)
{
    krait__fail(op, -EBADF, s ? "the socket was closed" : "no socket (NULL)",
                NULL, NULL, 0);
    return false;
}

void krait__sock_set_peer(krait_sock *s, const krait_addr *peer)
{
    int family = krait_addr_family(*peer);

    if (family != AF_INET && family != AF_INET6)
        return;
    krait__lock(&s->h.lock);
    memcpy(&s->peer, &peer->u_.sa, peer->len_);
    s->has_peer = true;
    krait__handle_unlock(&s->h);
}

bool krait__sock_peer(krait_sock *s, krait_addr *out)
{
    bool has_peer;

    krait__lock(&s->h.lock);
    has_peer = s->has_peer;
    if (has_peer)
        *out = krait_addr_from(&s->peer.sa, s->peer.sa.sa_family == AF_INET
                                                ? sizeof s->peer.in
                                                : sizeof s->peer.in6);
    krait__handle_unlock(&s->h);
    return has_peer;
}

int krait__sock_name(krait_sock *s, enum krait__kind which, krait_addr *out)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    struct krait__op op = {
        .kind = which,
        .h = &s->h,
        .addr = (struct sockaddr *)&sa,
        .alen = &len,
    };

    int rc = (int)krait__perform(&op, KRAIT__NEVER);

    if (rc < 0)
        return rc;
    *out = krait_addr_from((struct sockaddr *)&sa, len);
    return 0;
}

/* False where the kernel doesn't say, or says nothing: an unnamed Unix socket,
 * port 0. */
static bool telling_name(krait_sock *s, enum krait__kind which, krait_addr *out)
{
    char host[8];

    if (krait__sock_name(s, which, out) < 0)
        return false;
    return krait_addr_family(*out) == AF_UNIX
               ? *krait_addr_host(*out, host, sizeof host) != '\0'
               : krait_addr_port(*out) > 0;
}

/* What to call the socket in a message: its peer, or else its own end. The
 * kernel is not asked for that where failing is everyday (EAGAIN). */
static bool subject_of(krait_sock *s, int code, krait_addr *out)
{
    bool known = krait__sock_peer(s, out);

    if (!known && code != -EAGAIN && !atomic_load(&s->detached))
        known = telling_name(s, KRAIT__PEER, out) ||
                telling_name(s, KRAIT__NAME, out);
    return known;
}

int krait__finish_because(krait_sock *s, const char *op, int code,
                          const char *reason, const krait_addr *addr)
{
    krait_addr subject;

    if (addr)
        subject = *addr;
    if (addr || subject_of(s, code, &subject)) {
        if (subject.type_ == 0 && s->h.type != SOCK_RAW)
            subject.type_ = s->h.type;
        addr = &subject;
    }
    if (!reason && addr)
        reason = krait__addr_reason(addr);
    krait__fail_because(op, code, reason, addr);
    krait__leave(&s->h);
    return -1;
}

int krait__finish_failed(krait_sock *s, const char *op, int code,
                         const krait_addr *addr)
{
    return krait__finish_because(s, op, code, NULL, addr);
}
