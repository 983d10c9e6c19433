/* SPDX-License-Identifier: MIT
 *
 * resolve.c - names into socket addresses: getaddrinfo(3) on a helper thread,
 * since it can only block, and has no timeout of its own.
 */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "address/addr.h"
#include "io/helper.h"
#include "io/perform.h"

struct lookup {
    struct krait__job job; /* first: the job is the lookup */
    int family, error, sys_errno;
    unsigned short port;
    struct addrinfo *found;
    char host[256];
};

static void look_up(struct krait__job *job)
{
    struct lookup *l = (struct lookup *)job;
    struct addrinfo hints = {
        .ai_family = l->family,
        /* One row for each address, not one for each type of socket. */
        .ai_socktype = SOCK_STREAM,
    };

    l->error = getaddrinfo(l->host, NULL, &hints, &l->found);
    l->sys_errno = errno;
}

static void free_lookup(struct krait__job *job)
{
    struct lookup *l = (struct lookup *)job;

    if (l->found)
        freeaddrinfo(l->found);
    free(l);
}

static krait_addr with_port(const struct addrinfo *ai, unsigned short port)
{
    krait_addr addr = krait_addr_from(ai->ai_addr, ai->ai_addrlen);

    if (ai->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)&addr.u_.sa)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&addr.u_.sa)->sin_port = htons(port);
    return addr;
}

/* Stores what was found; the count, or the code of what went wrong. */
static int harvest(const struct lookup *l, krait_addr *out, int room)
{
    int count = 0;

    if (l->error == EAI_SYSTEM)
        return l->sys_errno ? -l->sys_errno : -EIO;
    if (l->error == EAI_MEMORY)
        return -ENOMEM;
    if (l->error)
        return -(KRAIT__ENAME - l->error);
    for (const struct addrinfo *ai = l->found; ai && count < room;
         ai = ai->ai_next)
        if (ai->ai_family == AF_INET || ai->ai_family == AF_INET6)
            out[count++] = with_port(ai, l->port);
    return count ? count : -(KRAIT__ENAME - EAI_NONAME);
}

/* An empty host: every address of this host, or this host. */
static int this_host(int port, int family, bool any, krait_addr *out, int room)
{
    int count = 0;

    if (family != AF_INET && count < room)
        out[count++] = krait_inet(any ? "::" : "::1", port);
    if (family != AF_INET6 && count < room)
        out[count++] = krait_inet(any ? "0.0.0.0" : "127.0.0.1", port);
    return count;
}

static int ask(const krait_addr *name, int family, struct krait__handle *h,
               unsigned bits, int64_t deadline, krait_addr *out, int room)
{
    struct lookup *l;
    int rc;

    if (deadline == KRAIT__AT_ONCE)
        return -EAGAIN;
    l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    l->job.run = look_up;
    l->job.free = free_lookup;
    l->family = family;
    l->port = name->port_;
    memcpy(l->host, name->u_.text, name->len_ + 1);
    rc = krait__job_run(&l->job, h, bits, deadline);
    if (rc < 0)
        return rc;
    rc = harvest(l, out, room);
    krait__job_drop(&l->job);
    return rc;
}

int krait__resolve(const krait_addr *addr, int family, bool any,
                   struct krait__handle *h, unsigned bits, int64_t deadline,
                   krait_addr *out, int room)
{
    int error = krait_addr_error(*addr);
    int count = 1;

    if (error)
        return -error;
    if (room < 1)
        return -EINVAL;
    if (addr->kind_ == KRAIT__SOCKADDR)
        *out = *addr;
    else if (family != AF_UNSPEC && family != AF_INET && family != AF_INET6)
        return -EAFNOSUPPORT;
    else if (addr->len_ == 0)
        count = this_host(addr->port_, family, any, out, room);
    else
        count = ask(addr, family, h, bits, deadline, out, room);
    for (int i = 0; i < count; i++)
        out[i].type_ = addr->type_;
    return count;
}

int krait_addr_resolve(krait_addr addr, int family, double timeout,
                       krait_addr *out, int room)
{
    int64_t ns;
    int count;

    if (!krait__timeout(timeout, &ns))
        return krait__fail_at("resolve", -EINVAL, &addr);
    count = krait__resolve(&addr, family, true, NULL, 0, krait__deadline(ns),
                           out, room);
    return count < 0 ? krait__fail_at("resolve", count, &addr) : count;
}
