/* SPDX-License-Identifier: MIT
 *
 * perform.c - attempt, wait, attempt again.
 *
 * Trying before waiting is what makes a call cheap when the bytes are there;
 * a caller can't tell it from CPython's poll-first.
 */
#include "io/perform.h"

#include <asm/sockios.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "base/inline.h"
#include "base/signal_hook.h"
#include "fiber/park.h"
#include "fiber/scheduler.h"

/* What the everyday way through this file does not need has frames of its own,
 * and the way itself has none (base/inline.h). */
#define APART __attribute__((noinline))

/* --- waiting for readiness --------------------------------------------- */

static enum krait_wait waits_for(const struct krait__op *op)
{
    switch (op->kind) {
    case KRAIT__RECV:
        return KRAIT_WAIT_RECV;
    case KRAIT__ACCEPT:
        return KRAIT_WAIT_ACCEPT;
    case KRAIT__CONNECT:
        return KRAIT_WAIT_CONNECT;
    default:
        return KRAIT_WAIT_SEND;
    }
}

/* The pauses where the kernel gives no event: from the first to the last,
 * doubling. Short enough for a full queue that empties at once, long enough
 * to cost nothing while it doesn't. */
#define PAUSE_FIRST (KRAIT__NS_PER_MS / 2)
#define PAUSE_LAST  (50 * KRAIT__NS_PER_MS)

/* What one operation has learned from its waits so far. */
struct patience {
    int events;    /* what the last wait for the fd reported */
    int64_t pause; /* the last one; 0: none yet */
    bool quick;    /* the last wait said "ready" at once */
    bool misled;   /* ... and so did the one before: pause instead */
};

static unsigned direction(const struct krait__op *op)
{
    return op->kind == KRAIT__RECV || op->kind == KRAIT__ACCEPT ? KRAIT__NO_IN
                                                                : KRAIT__NO_OUT;
}

/* A full backlog, or a datagram queue that others have filled: poll(2) looks
 * at this socket's own buffer only, and says that it is writable. */
static bool gives_no_event(const struct krait__op *op)
{
    return op->h->family == AF_UNIX &&
           (op->kind == KRAIT__CONNECT ||
            (op->kind == KRAIT__SEND && op->h->type == SOCK_DGRAM));
}

static int pause_for(struct krait__op *op, struct patience *p, int64_t deadline)
{
    p->pause = p->pause ? p->pause * 2 : PAUSE_FIRST;
    p->pause = krait__earlier(p->pause, PAUSE_LAST);
    return krait__pause(op->h, direction(op), p->pause, deadline);
}

/* After an attempt that would have had to wait: 0, try again. "Ready" at once,
 * twice running, is a condition that this call can't clear (POLLERR, say, while
 * an error queue waits to be read), or a race for the same bytes that others
 * win: between two such waits comes a pause. */
static int wait_ready(struct krait__op *op, struct patience *p,
                      int64_t deadline)
{
    short events = direction(op) == KRAIT__NO_IN ? POLLIN | POLLRDHUP : POLLOUT;
    int64_t begun;
    int rc;

    p->events = 0;
    if (p->misled) {
        p->misled = false;
        return pause_for(op, p, deadline);
    }
    begun = krait__now();
    rc = krait__await(waits_for(op), op->h, direction(op), op->h->fd, events,
                      deadline);
    if (rc < 0)
        return rc;
    if (krait__now() - begun < PAUSE_FIRST) {
        p->misled = p->quick || gives_no_event(op);
        p->quick = true;
    } else {
        *p = (struct patience){0};
    }
    p->events = rc;
    return 0;
}

/* --- an error that is kept ---------------------------------------------- */

/* A socket has one error, which the kernel gives to whichever call asks next.
 * An error that ends a transfer after some bytes has been asked for too early:
 * it is kept here, for the next call in either direction, so that a reset does
 * not turn into a clean end. What repeats by itself, or was the caller's own
 * doing, needs no keeping. */
static void keep(struct krait__op *op, ssize_t res)
{
    switch (res) {
    case -EAGAIN:
    case -ECANCELED:
    case -EFAULT:
    case -EINTR:
    case -ENOBUFS:
    case -ENOMEM:
    case -EPIPE:
    case -KRAIT__ETIMEOUT:
        return;
    default:
        if (res < 0)
            atomic_store(&op->h->kept, (int)res);
    }
}

/* Takes the kept error: 0, or a code. */
static int kept(struct krait__handle *h)
{
    if (atomic_load_explicit(&h->kept, memory_order_relaxed) == 0)
        return 0;
    return atomic_exchange(&h->kept, 0);
}

/* Whether the caller's engine performs the operation whole, waiting included:
 * on a stream, where flags or an address give it no meaning beyond the bytes,
 * and no kept error has to be seen before the wait. A Unix listener that was
 * shut down has to be told from one that nobody calls (not_yet). */
static bool goes_whole(const struct krait__op *op, int64_t deadline)
{
    if (deadline == KRAIT__AT_ONCE || op->h->type != SOCK_STREAM || op->flags)
        return false;
    switch (op->kind) {
    case KRAIT__RECV:
    case KRAIT__SEND:
        return !op->addr && op->len > 0 &&
               atomic_load_explicit(&op->h->kept, memory_order_relaxed) == 0;
    case KRAIT__ACCEPT:
        return op->h->family != AF_UNIX;
    default:
        return false;
    }
}

KRAIT__INLINE ssize_t perform_whole(struct krait__op *op, int64_t deadline)
{
    ssize_t res =
        krait__fiber_perform(op, waits_for(op), op->h, direction(op), deadline);
    int rc;

    /* Kept meanwhile, by a send. */
    if (op->kind == KRAIT__RECV && res == 0 && (rc = kept(op->h)) < 0)
        return rc;
    return res;
}

/* As the kernel has it: a send fails with the error at once, a receive after
 * what had come before. */
static ssize_t attempt_or_kept(struct krait__op *op, int64_t deadline)
{
    ssize_t res;
    int rc;

    if (op->kind == KRAIT__SEND && (rc = kept(op->h)) < 0)
        return rc;
    res = krait__attempt(op);
    if (res != -EAGAIN || deadline == KRAIT__AT_ONCE)
        krait__breathe(); /* it won't wait now, and may be called in a loop */
    if (op->kind == KRAIT__RECV && (res == 0 || res == -EAGAIN) &&
        !(op->flags & (MSG_OOB | MSG_ERRQUEUE)) && (rc = kept(op->h)) < 0)
        return rc;
    return res;
}

/* What an upper layer returns is its own (a record of TLS's, say); and below a
 * low-water mark there may be bytes of which no edge tells. */
static ssize_t set_option(struct krait__op *op)
{
    bool low_water = op->arg[0] == SOL_SOCKET && op->arg[1] == SO_RCVLOWAT;

    if (low_water)
        atomic_store(&op->h->low_water, true);
    if (low_water || (op->arg[0] == IPPROTO_TCP && op->arg[1] == TCP_ULP))
        atomic_store(&op->h->plain_tcp, false);
    return krait__attempt(op);
}

/* SO_ERROR asks for the socket's error too. */
APART static ssize_t get_option(struct krait__op *op)
{
    ssize_t res = krait__attempt(op);
    int *value = op->buf;

    if (res == 0 && op->arg[0] == SOL_SOCKET && op->arg[1] == SO_ERROR &&
        *op->alen == sizeof *value && *value == 0)
        *value = -kept(op->h);
    return res;
}

/* --- one operation ----------------------------------------------------- */

/* A connect that is under way is asked for again: that tells the result, and
 * unlike SO_ERROR leaves the socket in a state that can be used. */
static bool connect_goes_on(const struct krait__op *op, bool first,
                            ssize_t *res)
{
    if (*res == -EAGAIN)
        return op->h->family == AF_UNIX; /* its backlog is full */
    /* Unix sockets have nothing under way: theirs is connected elsewhere. */
    if (*res == -EISCONN && !first && op->h->family != AF_UNIX)
        *res = 0;
    return *res == -EINPROGRESS || *res == -EALREADY;
}

/* Whether an attempt's result means "not yet"; else *res is what is to be
 * reported. */
static bool not_yet(struct krait__op *op, const struct patience *p, bool first,
                    ssize_t *res)
{
    if (op->kind == KRAIT__CONNECT)
        return connect_goes_on(op, first, res);
    if (op->kind == KRAIT__SEND && *res == -EINPROGRESS) {
        op->flags &= ~MSG_FASTOPEN; /* which has begun to connect */
        return true;
    }
    /* Shut down, and nothing left: the kernel tells only a blocking call, but
     * for streams, where it is told by a result of 0. */
    if (*res == -EAGAIN && (p->events & POLLRDHUP) &&
        (op->kind == KRAIT__ACCEPT || op->h->type != SOCK_STREAM)) {
        *res = op->kind == KRAIT__RECV ? 0 : -EINVAL;
        if (op->alen)
            *op->alen = 0; /* from nobody */
        return false;
    }
    return *res == -EAGAIN;
}

/* Attempts and waits, until the kernel has an answer. */
APART static ssize_t attempt_until_done(struct krait__op *op, int64_t deadline)
{
    struct patience patience = {0};
    bool first = true;

    for (;;) {
        ssize_t res;
        int rc;

        if (krait__marked(op->h, direction(op) | KRAIT__CLOSING)) {
            krait__breathe(); /* for the sake of others, if it is retried */
            return -ECANCELED;
        }
        if (deadline != KRAIT__AT_ONCE && (rc = krait__stopped()) < 0)
            return rc;
        res = attempt_or_kept(op, deadline);
        if (res == -EINTR) {
            if ((rc = krait__signal_hook()) < 0)
                return rc;
            continue;
        }
        if (!not_yet(op, &patience, first, &res) || deadline == KRAIT__AT_ONCE)
            return res;
        first = false;
        if ((rc = wait_ready(op, &patience, deadline)) < 0)
            return rc;
    }
}

KRAIT__INLINE ssize_t until_done(struct krait__op *op, int64_t deadline)
{
    return krait__in_fiber() && goes_whole(op, deadline)
               ? perform_whole(op, deadline)
               : attempt_until_done(op, deadline);
}

/* --- what takes several ------------------------------------------------ */

/* At TCP's urgent mark, or that of a Unix stream: recv(2) ends there, and to
 * read on would lose the urgent byte. */
static bool at_mark(struct krait__handle *h)
{
    int yes = 0;
    struct krait__op op = {
        .kind = KRAIT__IOCTL,
        .h = h,
        .arg = {SIOCATMARK},
        .buf = &yes,
    };

    return krait__attempt(&op) == 0 && yes;
}

/* Before another part of a receive: waits, and looks whether the mark has been
 * reached meanwhile. An attempt without that look could read over it. Positive:
 * go on; 0: at the mark; or a code. */
APART static int next_part(struct krait__handle *h, int64_t deadline)
{
    int rc = krait__wait_fd(h, KRAIT__NO_IN, h->fd,
                            POLLIN | POLLPRI | POLLRDHUP, deadline);

    return rc > 0 && at_mark(h) ? 0 : rc;
}

/* Goes on until op->len bytes, and moves op on; *end is what stopped it early:
 * 0 (the end), or a code. Returns how many came or went. */
KRAIT__INLINE size_t transfer_all(struct krait__op *op, int64_t deadline,
                                  ssize_t *end)
{
    size_t done = 0;

    do {
        if (done && op->kind == KRAIT__RECV &&
            (*end = next_part(op->h, deadline)) <= 0)
            break;
        *end = until_done(op, deadline);
        if (*end <= 0)
            break;
        done += (size_t)*end;
        op->buf = (char *)op->buf + *end;
        op->len -= (size_t)*end;
        if (op->kind == KRAIT__SEND)
            *end = krait__signal_hook();
    } while (*end >= 0 && op->len > 0);
    return done;
}

APART static ssize_t all_or_what_came(struct krait__op *op, int64_t deadline)
{
    ssize_t end;
    size_t done = transfer_all(op, deadline, &end);

    if (done == 0)
        return end;
    keep(op, end);
    return (ssize_t)done;
}

/* The mark lies ahead of what is read next; not told any more once the urgent
 * byte was taken. */
static bool mark_ahead(struct krait__handle *h)
{
    struct krait__op op = {.kind = KRAIT__POLL, .arg = {h->fd, POLLPRI}};
    ssize_t events = krait__attempt(&op);

    return events > 0 && (events & POLLPRI) && !at_mark(h);
}

/* MSG_PEEK | MSG_WAITALL: peeking again and again, since poll(2) says "ready"
 * from the first byte on; only the end of the stream gives an event. Unix
 * streams don't wait for more (af_unix.c, unix_stream_read_generic). */
static ssize_t peek_all(struct krait__op *op, int64_t deadline)
{
    int64_t pause = PAUSE_FIRST;

    if (op->h->family == AF_UNIX)
        return attempt_until_done(op, deadline);
    for (;;) {
        ssize_t n = attempt_until_done(op, deadline);
        int64_t until = krait__now() + pause;
        int rc;

        if (n <= 0 || (size_t)n == op->len || krait__now() >= deadline ||
            mark_ahead(op->h))
            return n;
        rc = krait__wait_fd(op->h, KRAIT__NO_IN, op->h->fd, POLLRDHUP,
                            krait__earlier(until, deadline));
        if (rc >= 0)
            return attempt_until_done(op, deadline); /* the end; all of it */
        if (rc != -KRAIT__ETIMEOUT) { /* with what has come meanwhile */
            ssize_t last = krait__attempt(op);

            return last > n ? last : n;
        }
        pause = krait__earlier(pause * 2, PAUSE_LAST);
    }
}

/* --- flags ------------------------------------------------------------- */

/* Whether recv(2) answers at once, blocking or not. Datagrams know nothing
 * urgent: UDP takes no notice of MSG_OOB, and waits. */
static bool never_waits(const struct krait__op *op)
{
    return (op->flags & MSG_DONTWAIT) || (op->flags & MSG_ERRQUEUE) ||
           ((op->flags & MSG_OOB) && op->h->type == SOCK_STREAM);
}

APART static ssize_t receive(struct krait__op *op, int64_t deadline)
{
    bool all = (op->flags & MSG_WAITALL) && op->h->type == SOCK_STREAM;

    if (op->flags & MSG_OOB)
        atomic_store(&op->h->plain_tcp, false);
    if (op->h->family == AF_UNIX) /* which has no error queue */
        op->flags &= ~MSG_ERRQUEUE;
    if (never_waits(op))
        deadline = KRAIT__AT_ONCE;
    op->flags &= ~MSG_WAITALL;
    if (!all || (op->flags & (MSG_OOB | MSG_ERRQUEUE)))
        return attempt_until_done(op, deadline);
    return op->flags & MSG_PEEK ? peek_all(op, deadline)
                                : all_or_what_came(op, deadline);
}

static ssize_t transmit(struct krait__op *op, int64_t deadline)
{
    if (op->flags & MSG_DONTWAIT)
        deadline = KRAIT__AT_ONCE;
    if (op->h->type == SOCK_STREAM && deadline == KRAIT__NEVER)
        return all_or_what_came(op, deadline);
    return until_done(op, deadline);
}

ssize_t krait__perform(struct krait__op *op, int64_t deadline)
{
    switch (op->kind) {
    case KRAIT__RECV:
        return op->flags ? receive(op, deadline) : until_done(op, deadline);
    case KRAIT__SEND:
        return transmit(op, deadline);
    case KRAIT__CONNECT:
        atomic_store(&op->h->kept, 0); /* of an earlier connection */
        return until_done(op, deadline);
    case KRAIT__ACCEPT:
        return until_done(op, deadline);
    case KRAIT__GETOPT:
        return get_option(op);
    case KRAIT__SETOPT:
        return set_option(op);
    default:
        return krait__attempt(op);
    }
}

int krait__send_whole(struct krait__op *op, int64_t deadline)
{
    ssize_t end;

    if (op->flags & MSG_DONTWAIT)
        deadline = KRAIT__AT_ONCE;
    transfer_all(op, deadline, &end);
    if (end < 0)
        return (int)end;
    return op->len == 0 ? 0 : -EIO;
}
