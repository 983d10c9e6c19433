/* SPDX-License-Identifier: MIT
 *
 * engine.h - what an operation is, what it is done to, and what an engine must
 * do. Knows base/ only: no fibers, no sockets.
 *
 * An operation is a value. Whoever wants something of the kernel's sockets
 * fills one in and hands it to io/, which decides who performs it. In a plain
 * thread that is attempt.c, and where the kernel says that it would have to
 * wait, poll.c. In a fiber the waiting is an engine's: epoll.c, uring.c. An
 * engine that takes whole operations (a ring) gets the same value.
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

#include "base/deadline.h"
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
    uint32_t serial;        /* another for each handle, never 0 */
    atomic_int kept; /* io's: an error that came after part of the bytes, for
                      * the next call to report; 0: none */
    atomic_bool plain_tcp;       /* TCP, and nobody can have made more of it, or
                                  * taken its urgent byte: see watch.h */
    atomic_bool low_water;       /* io's: SO_RCVLOWAT was set, which the kernel
                                  * hands down to what is accepted */
    struct krait__lock lock;     /* of `waiters`, and its owner's */
    struct krait__node *waiters; /* who waits inside a call */
    int (*end)(struct krait__handle *h); /* closes, frees; close's result */
};

/* Open, with one reference, its owner's. */
void krait__handle_init(struct krait__handle *h, int fd, int family, int type,
                        int (*end)(struct krait__handle *h));

/* Counts the forks from the first process to this one: 1, 2, ... In a child the
 * other threads are gone, with whatever they held. */
extern atomic_uint krait__generations;

static inline unsigned krait__generation(void)
{
    return atomic_load_explicit(&krait__generations, memory_order_relaxed);
}

/* Where another generation has used the handle last: drops what the parent's
 * threads held. */
void krait__handle_adopt(struct krait__handle *h);

/* What the last one out of a closing handle does. */
int krait__handle_end(struct krait__handle *h);

/* A call ends, or the owner lets go. The last one out of a closing handle waits
 * for visitors, ends it, and gets the result of that; else 0. */
static inline int krait__leave(struct krait__handle *h)
{
    /* Release what this call did to whoever ends the handle, and acquire what
     * all the others did where that is us. */
    unsigned now = atomic_fetch_sub_explicit(&h->state, KRAIT__ONE_REF,
                                             memory_order_acq_rel) -
                   KRAIT__ONE_REF;

    if (now >= KRAIT__ONE_REF || !(now & KRAIT__CLOSING))
        return 0;
    return krait__handle_end(h);
}

/* A call begins: false, and nothing held, where the handle is closing. */
static inline bool krait__enter(struct krait__handle *h)
{
    unsigned was;

    if (atomic_load_explicit(&h->generation, memory_order_acquire) !=
        krait__generation())
        krait__handle_adopt(h);
    was = atomic_fetch_add_explicit(&h->state, KRAIT__ONE_REF,
                                    memory_order_acquire);
    if (!(was & KRAIT__CLOSING))
        return true;
    krait__leave(h);
    return false;
}

/* Wakes all who wait. From signal handlers too. */
void krait__handle_wake(struct krait__handle *h);

/* Sets bits of the state and wakes who waits. From anywhere while the handle is
 * not closed, a signal handler too. */
void krait__handle_mark(struct krait__handle *h, unsigned bits);

/* Lets go of h->lock, waking for whoever could not get in meanwhile (see
 * base/lock.h). Every holder of that lock lets go of it in this way. */
static inline void krait__handle_unlock(struct krait__handle *h)
{
    if (krait__unlock(&h->lock))
        krait__handle_wake(h);
}

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

/* Who waits inside a call, as seen by who marks the handle. On the stack of the
 * waiting call, and on its handle's list; both under the handle's lock.
 *
 * `wake` is called under that lock, perhaps in a signal handler, by any thread,
 * and more than once; what it wakes looks at the marks again. */
struct krait__waiter {
    struct krait__node node; /* first */
    void (*wake)(struct krait__waiter *w);
};

/* Onto the handle's list; the marks are looked at after that, not before. */
static inline void krait__publish(struct krait__handle *h,
                                  struct krait__waiter *w)
{
    krait__lock(&h->lock);
    krait__list_add(&h->waiters, &w->node);
    krait__handle_unlock(h);
}

/* Off it: nobody wakes `w` any more when this returns. */
static inline void krait__withdraw(struct krait__handle *h,
                                   struct krait__waiter *w)
{
    krait__lock(&h->lock);
    krait__list_remove(&w->node);
    krait__handle_unlock(h);
}

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
    KRAIT__POLL,    /* arg: a plain fd, events (poll(2)'s); res is the events
                     * that came. A thread waits by krait__poll_wait */
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

    /* The engine's: */
    ssize_t res; /* at the end */
    void (*done)(struct krait__op *op);
    void *owner;             /* the caller's: a fiber. Engines fetch its first
                              * bytes ahead, and never look at them */
    struct krait__node node; /* the engine's own, like the rest */
    unsigned state;
};

/* --- in threads --------------------------------------------------------- */

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

static inline struct krait__op *krait__op_of(struct krait__node *node)
{
    return KRAIT__OF(node, struct krait__op, node);
}

/* What submit() returns, of an operation that is over. */
enum { KRAIT__DONE = 1 };

/* --- engines ------------------------------------------------------------ */

/* What waits for many operations at a time, for one thread: its owner, who made
 * it and makes all calls here but `wake`.
 *
 * An operation that was submitted stays where it is, with all that it points
 * at, until it is done. `done` is called exactly once, with `res` set, from
 * inside wait() or cancel(), and may submit and cancel others; it must not
 * call wait(). The caller of a socket operation holds a reference to its handle
 * until then.
 *
 * Engines know no deadlines, no marks and no fibers: who wants an operation to
 * end early cancels it. Flags reach them only where they mean what they mean
 * in one system call. */
struct krait__engine {
    const char *name; /* "epoll", "io_uring" */
    bool queued;      /* the kernel hears of something with the next wait() */

    /* Tries, or begins, and in the end has the result that a system call has
     * which may wait. Every engine takes POLL of any fd, with poll(2)'s
     * meaning (a condition that holds already is reported), and of stream
     * sockets RECV and SEND without flags or address, ACCEPT, and of no other
     * sockets anything.
     *
     * 0: it is pending, and done() will be called; with -EAGAIN where it is
     * worth another try, which is to be submitted anew. KRAIT__DONE: it is
     * done, and won't be. A negative code: it was not begun (-ENOMEM, -ENOSPC;
     * POLL: -EBADF, -EPERM where the fd can't be waited for, being a plain
     * file: it is always ready). An engine that learns of it later calls done()
     * with the code, or with what is ready. */
    int (*submit)(struct krait__engine *engine, struct krait__op *op);

    /* Asks a pending operation to end soon: with -ECANCELED, nothing having
     * happened to the socket, or with its real result where that won. It may be
     * done when this returns, or later; while it isn't, more than once is
     * fine. */
    void (*cancel)(struct krait__engine *engine, struct krait__op *op);

    /* Begins what was submitted, sleeps until something is done or `until`
     * comes (AT_ONCE: doesn't sleep) or wake() was called, and calls done()
     * for at most `budget` operations (1 or more). Returns how many, without
     * those that a done() ended by cancel(); -EINTR where a signal came;
     * another code where the kernel could not be asked (it lacks memory, say):
     * it has not slept, and all that was pending is. May return 0 at any
     * time. */
    int (*wait)(struct krait__engine *engine, int64_t until, unsigned budget);

    /* Ends a wait() that sleeps, or else the next one, at once. From any thread
     * and from signal handlers; one write(2). */
    void (*wake)(struct krait__engine *engine);

    /* With nothing pending. */
    void (*destroy)(struct krait__engine *engine);

    /* In the child of a fork, of which the owner is the only thread: gives up
     * what is shared with the parent, and touches none of it. NULL: nothing to
     * do. The engine is not used again. */
    void (*abandon)(struct krait__engine *engine);
};

/* The engines: NULL, and *code why not (-ENOSYS, -EPERM: the kernel or its
 * policy has none; -EMFILE, -ENOMEM). For the calling thread. */
struct krait__engine *krait__epoll_new(int *code);
struct krait__engine *krait__uring_new(int *code);

#endif
