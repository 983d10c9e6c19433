/* SPDX-License-Identifier: MIT
 *
 * sock.h - what a krait_sock is, and how every call on one begins and ends.
 *
 *     if (!krait__begin(s, "recv"))
 *         return -1;
 *     ...
 *     return krait__finish(s, "recv", res, NULL);
 *
 * Between the two the call holds a reference: the socket may be closed
 * meanwhile, and is freed by whoever leaves last. finish turns the negative
 * code into errno and the record for krait_errmsg, in this one place.
 */
#ifndef KRAIT__SOCK_H
#define KRAIT__SOCK_H

#include <netinet/in.h>
#include <krait/socket.h>

#include "address/addr.h"
#include "engine/engine.h"
#include "io/perform.h"

struct krait_sock {
    struct krait__handle h;  /* first: the handle is the socket */
    _Atomic int64_t timeout; /* ns; KRAIT__NEVER, 0 */
    int proto;
    atomic_uint users;    /* the owner and the FILEs */
    atomic_bool detached; /* the fd is somebody else's now */
    bool has_peer;        /* with peer: under h.lock */
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer; /* who was connected to, for messages: after a reset the kernel
             * can't tell any more. Unix sockets' is asked for */
};

/* Why the call can't begin: false, with the error set. */
bool krait__refuse(krait_sock *s, const char *op);

/* False, with the error set, where the call can't begin. */
static inline bool krait__begin(krait_sock *s, const char *op)
{
    return s && krait__enter(&s->h) ? true : krait__refuse(s, op);
}

/* Ends a call that has failed: -1 and errno. */
int krait__finish_failed(krait_sock *s, const char *op, int code,
                         const krait_addr *addr);

/* Likewise, for a `reason` that says it better than the code does; NULL: none
 * does. */
int krait__finish_because(krait_sock *s, const char *op, int code,
                          const char *reason, const krait_addr *addr);

/* Ends a call: its result, or -1 and errno. `addr` names what the call was
 * about; NULL: the peer, or this end. */
static inline ssize_t krait__finish(krait_sock *s, const char *op, ssize_t res,
                                    const krait_addr *addr)
{
    if (res < 0)
        return krait__finish_failed(s, op, (int)res, addr);
    krait__leave(&s->h);
    return res;
}

/* krait_setdefaulttimeout's, in ns. */
int64_t krait__default_timeout(void);

/* The deadline of a call on `s` that begins now. */
static inline int64_t krait__sock_deadline(krait_sock *s)
{
    return krait__deadline(
        atomic_load_explicit(&s->timeout, memory_order_relaxed));
}

/* A name into an address that the socket can use, under `deadline` (AT_ONCE:
 * without one); checks that family and type go together. 0 or a negative
 * code. */
int krait__sock_address(krait_sock *s, const krait_addr *addr, bool any,
                        int64_t deadline, krait_addr *out);

/* krait_connect of a call that has begun: 0 or a negative code. */
int krait__sock_connect(krait_sock *s, const krait_addr *addr,
                        int64_t deadline);

/* krait_accept until `deadline`, whatever the socket's timeout; interrupted by
 * an interrupt of what comes in. NULL: *code is why, and no error is set. */
krait_sock *krait__sock_accept(krait_sock *s, int64_t deadline,
                               krait_addr *peer, int *code);

/* Remembers the peer, for messages. */
void krait__sock_set_peer(krait_sock *s, const krait_addr *peer);

/* Asks the kernel for the name of an end, KRAIT__NAME or KRAIT__PEER, in a call
 * that has begun: 0 or a negative code. */
int krait__sock_name(krait_sock *s, enum krait__kind which, krait_addr *out);

/* The peer that is remembered; false: none is. */
bool krait__sock_peer(krait_sock *s, krait_addr *out);

/* krait_socket for an address: its family, and its name in the error. */
krait_sock *krait__sock_for(const krait_addr *addr, int type);

/* A socket around an fd; -1: one that is about to come. NULL: no memory. */
krait_sock *krait__sock_new(int fd, int family, int type, int proto);

/* Frees what krait__sock_new made and nobody has seen yet; its fd is left
 * alone. */
void krait__sock_discard(krait_sock *s);

/* Closes the fd now and keeps the socket, which can only be closed then. Nobody
 * else may be inside a call, or begin one, but for marks. */
void krait__sock_close_fd(krait_sock *s);

/* A FILE holds the socket; lets go of it. */
void krait__sock_use(krait_sock *s);
int krait__sock_unuse(krait_sock *s);

#endif
