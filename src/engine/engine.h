/* SPDX-License-Identifier: MIT
 *
 * engine.h - what an operation is, what it is done to, and what an engine must
 * do. Knows base/ only: no fibers, no sockets.
 *
 * An operation is a value. Whoever wants something of the kernel's sockets
 * fills one in and hands it to io/, which decides who performs it. Today that
 * is poll.c, for plain threads: attempt, and where the kernel says that it
 * would have to wait, wait. An engine that takes whole operations (a ring)
 * gets the same value.
 *
 * Results are >= 0 or a negative code (base/failure.h). Times are deadlines
 * (base/deadline.h).
 */
#ifndef KRAIT__ENGINE_H
#define KRAIT__ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/lock.h"

/* --- the handle -------------------------------------------------------- */

/* The bits of a handle's state; above them it counts references. */
enum {
    KRAIT__CLOSING = 1, /* no call may begin; the last to leave ends it */
    KRAIT__NO_IN = 2,   /* interrupted: what receives, or accepts */
    KRAIT__NO_OUT = 4,  /* interrupted: what sends, or connects */
    KRAIT__ONE_REF = 8
};

/* One for each open socket. An operation names its handle, not an fd: a
 * number can be reused, a handle can't while somebody is inside.
 *
 * Invariant: whoever brings the state to "closing, no references" ends the
 * handle, exactly once, when the last visitor has gone; nobody else touches it
 * after leaving. */
struct krait__handle {
    int fd;
    uint8_t family, type; /* AF_, SOCK_ */
    atomic_uint state;
    atomic_uint visitors;   /* who wakes others from outside: see below */
    atomic_uint generation; /* of the process that used it last */
    atomic_int kept; /* io's: an error that came after part of the bytes, for
                      * the next call to report; 0: none */
    struct krait__lock lock;     /* of `waiters`, and its owner's */
    struct krait__node *waiters; /* plain threads that wait inside a call */
    int (*end)(struct krait__handle *h); /* closes, frees; close's result */
};

/* Open, with one reference, its owner's. */
void krait__handle_init(struct krait__handle *h, int fd, int family, int type,
                        int (*end)(struct krait__handle *h));

/* Counts the forks from the first process to this one: 1, 2, ... In a child the
 * other threads are gone, with whatever they held. */
unsigned krait__generation(void);

/* A call begins: false, and nothing held, where the handle is closing. In the
 * child of a fork the first call drops what the parent's threads held. */
bool krait__enter(struct krait__handle *h);

/* A call ends, or the owner lets go. The last one out of a closing handle waits
 * for visitors, ends it, and gets the result of that; else 0. */
int krait__leave(struct krait__handle *h);

/* Sets bits of the state and wakes who waits. From anywhere while the handle is
 * not closed, a signal handler too. */
void krait__handle_mark(struct krait__handle *h, unsigned bits);

/* Lets go of h->lock, waking for whoever could not get in meanwhile (see
 * base/lock.h). Every holder of that lock lets go of it in this way. */
void krait__handle_unlock(struct krait__handle *h);

/* Visitors: who wakes the users of an object from outside holds no reference
 * to it, and the one that it wakes may end the object at once. So it says when
 * it comes and goes, and whoever frees the object waits for that: for a few
 * instructions, since a visitor waits for nothing. From signal handlers too,
 * but for the waiting. */
static inline void krait__visit(atomic_uint *visitors)
{
    atomic_fetch_add_explicit(visitors, 1, memory_order_acquire);
}

static inline void krait__visited(atomic_uint *visitors)
{
    atomic_fetch_sub_explicit(visitors, 1, memory_order_release);
}

void krait__await_visitors(atomic_uint *visitors);

/* Takes NO_IN or NO_OUT back. */
void krait__handle_unmark(struct krait__handle *h, unsigned bits);

/* True where one of `bits` is set. */
static inline bool krait__marked(struct krait__handle *h, unsigned bits)
{
    return atomic_load_explicit(&h->state, memory_order_acquire) & bits;
}

/* --- the operation ----------------------------------------------------- */

enum krait__kind {
    /* may wait */
    KRAIT__RECV,    /* buf, len, flags; addr, alen in and out, or NULL */
    KRAIT__SEND,    /* buf, len, flags; addr, alen in, or NULL */
    KRAIT__ACCEPT,  /* addr, alen; res is the fd */
    KRAIT__CONNECT, /* addr, alen */
    /* never wait */
    KRAIT__SOCKET,   /* arg: family, type, protocol; res is the fd */
    KRAIT__PAIR,     /* arg likewise; buf: int[2] */
    KRAIT__BIND,     /* addr, alen */
    KRAIT__LISTEN,   /* arg[0]: backlog */
    KRAIT__SHUTDOWN, /* arg[0]: how */
    KRAIT__GETOPT,   /* arg: level, name; buf, alen in and out */
    KRAIT__SETOPT,   /* arg: level, name; buf, len */
    KRAIT__NAME,     /* addr, alen in and out */
    KRAIT__PEER,     /* addr, alen in and out */
    KRAIT__IOCTL,    /* arg[0]: request; buf */
    KRAIT__CLOSE     /* h->fd */
};

struct krait__op {
    enum krait__kind kind;
    int flags;               /* MSG_* */
    struct krait__handle *h; /* NULL for SOCKET and PAIR */
    void *buf;
    size_t len;
    struct sockaddr *addr;
    socklen_t *alen;
    int arg[3];
};

/* --- engines ----------------------------------------------------------- */

/* One system call for the operation; never waits. -EAGAIN: it would have to;
 * a connect says -EINPROGRESS or -EALREADY. -EINTR: a signal. Flags go to the
 * kernel as they are but for NOSIGNAL and DONTWAIT, which are added. */
ssize_t krait__attempt(const struct krait__op *op);

/* In a plain thread: waits until `fd` is ready for `events` (poll(2)'s; fd -1:
 * for nothing), `until` comes, one of `bits` is marked on `h` (NULL: none can
 * be), or a signal. Returns the events that came, -KRAIT__ETIMEOUT, -ECANCELED,
 * or -EINTR. The caller holds a reference to h. "Ready" is the kernel's word,
 * and can turn out wrong: attempt again. */
int krait__poll_wait(struct krait__handle *h, unsigned bits, int fd,
                     short events, int64_t until);

#endif
