/* SPDX-License-Identifier: MIT
 *
 * differ_run.c - runs a program with one performer, and records what it sees.
 *
 * perform() is a step as one call of the api's, for both flows alike.
 * with_acts() is the meeting of the two flows. What is left of each socket at
 * the end is looked at with bare system calls, for every performer alike.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "differ.h"

/* TCP may have so many bytes sent on a connection in a program, which its
 * buffers hold in any case: what fits in beyond that depends on the timing of
 * acknowledgements. */
#define TCP_BUFFER 100000 /* which the kernel doubles */
#define TCP_BUDGET 60000  /* the first window that is offered has 64 KiB */
#define TCP_PIECE  20000

/* --- bytes and addresses ------------------------------------------------- */

/* What a step sends: told apart from what others send. */
static void fill(char *buf, size_t len, const struct program *p, unsigned step)
{
    uint32_t x = (uint32_t)p->seed * 2654435761u + step * 40503u + 1;
    size_t i;

    for (i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        buf[i] = (char)(x >> 24);
    }
}

/* FNV-1a */
static uint32_t sum_of(const void *buf, size_t len, uint32_t sum)
{
    const unsigned char *c = buf;
    size_t i;

    for (i = 0; i < len; i++)
        sum = (sum ^ c[i]) * 16777619u;
    return sum;
}

#define SUM_START 2166136261u

unsigned family_of(unsigned place)
{
    return place < INET_4 ? AF_UNIX : place == INET_4 ? AF_INET : AF_INET6;
}

static socklen_t loopback(unsigned place, struct sockaddr_storage *sa)
{
    struct sockaddr_in *in = (struct sockaddr_in *)sa;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)sa;

    memset(sa, 0, sizeof *sa);
    sa->ss_family = (sa_family_t)family_of(place);
    if (place == INET_4) {
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof *in;
    }
    in6->sin6_addr = in6addr_loopback;
    return sizeof *in6;
}

static socklen_t unix_name(unsigned place, const char *prefix, unsigned n,
                           struct sockaddr_storage *sa)
{
    struct sockaddr_un *un = (struct sockaddr_un *)sa;
    size_t at = place == UNIX_NAME;
    int len;

    memset(sa, 0, sizeof *sa);
    un->sun_family = AF_UNIX;
    len = snprintf(un->sun_path + at, sizeof un->sun_path - at, "%s-%u", prefix,
                   n);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len +
                       1);
}

/* A slot's name: of a socket that is open what the kernel says, of one that was
 * closed what it had been. */
static bool has_name(const struct slot *s, bool open,
                     const struct sockaddr_storage *sa, socklen_t len)
{
    struct sockaddr_storage name = {0};
    socklen_t name_len = sizeof name;

    if ((s->fd >= 0) != open)
        return false;
    if (!open || getsockname(s->fd, (struct sockaddr *)&name, &name_len) < 0) {
        name = s->name;
        name_len = s->name_len;
    }
    return len == name_len && memcmp(&name, sa, len) == 0;
}

/* Which slot's name it is: a number that is the same for every performer. The
 * kernel may give a port again that a closed socket had. */
static uint32_t who_is(struct world *w, const struct sockaddr_storage *sa,
                       socklen_t len)
{
    unsigned i;

    if (len == 0)
        return 1;
    if (len <= sizeof(sa_family_t))
        return 2; /* unnamed */
    for (i = 0; i < 2 * SLOTS; i++)
        if (has_name(&w->slot[i % SLOTS], i < SLOTS, sa, len))
            return 100 + i % SLOTS;
    return 3;
}

/* --- addresses that nobody answers at ------------------------------------ */

static struct {
    struct sockaddr_storage sa;
    socklen_t len;
} dead[PLACES][2];

static void make_dead(unsigned place, unsigned type, const char *where)
{
    struct sockaddr_storage *sa = &dead[place][type == SOCK_DGRAM].sa;
    socklen_t len = place < INET_4
                        ? unix_name(place, where, UINT_MAX - type, sa)
                        : loopback(place, sa);
    int fd = socket((int)family_of(place), (int)type | SOCK_CLOEXEC, 0);

    (void)bind(fd, (struct sockaddr *)sa, len);
    if (place >= INET_4) {
        /* Stays bound, so that nobody else gets the port; connected to itself,
         * a datagram socket hears nobody else. */
        getsockname(fd, (struct sockaddr *)sa, &len);
        if (type == SOCK_DGRAM)
            (void)connect(fd, (struct sockaddr *)sa, len);
    } else {
        close(fd);
    }
    dead[place][type == SOCK_DGRAM].len = len;
}

void make_dead_addresses(const char *where)
{
    unsigned place;

    for (place = 0; place < PLACES; place++) {
        make_dead(place, SOCK_STREAM, where);
        make_dead(place, SOCK_DGRAM, where);
    }
}

void dead_address(unsigned place, unsigned type, struct sockaddr_storage *sa,
                  socklen_t *len)
{
    *sa = dead[place][type == SOCK_DGRAM].sa;
    *len = dead[place][type == SOCK_DGRAM].len;
}

/* --- sockets that are made ----------------------------------------------- */

static void slot_is(struct slot *s, unsigned place, unsigned type)
{
    s->place = (uint8_t)place;
    s->type = (uint8_t)type;
    s->peer = s->target = -1;
    atomic_store(&s->interrupted, false);
    s->listening = false;
    s->fds_came = false;
    s->corked = false;
    s->urgent = false;
    s->peer_closed = s->rcvpeek = s->in_flood = false;
    s->urgent_taken = false;
    s->budget = TCP_BUDGET;
    s->name_len = 0;
    atomic_store(&s->stop, false);
    s->kept = 0;
    s->naps = false;
    s->nonblock = s->rcvtimeo = s->sndtimeo = -1;
}

static void slot_empty(struct slot *s)
{
    memset(s, 0, sizeof *s);
    slot_is(s, UNIX_NAME, SOCK_STREAM);
    s->fd = -1;
    s->s = NULL;
}

/* Room for the budget, and no Nagle, whose timing is not ours. */
static void tune(struct slot *s)
{
    int size = TCP_BUFFER, on = 1;

    if (s->fd < 0 || !is_tcp(s))
        return;
    setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void note_name(struct slot *s)
{
    s->name_len = sizeof s->name;
    memset(&s->name, 0, sizeof s->name);
    if (s->fd < 0 ||
        getsockname(s->fd, (struct sockaddr *)&s->name, &s->name_len) < 0)
        s->name_len = 0;
}

static void is_gone(struct world *w, const struct slot *s)
{
    unsigned i, k;

    for (i = 0; i < SLOTS; i++)
        for (k = 0; k < w->slot[i].queued; k++)
            if (w->slot[i].queue[k] == s - w->slot)
                w->slot[i].queue[k] = -1;
}

static int events_of(int fd, int events)
{
    struct pollfd p = {.fd = fd, .events = (short)events};

    return poll(&p, 1, 0) < 0 ? -errno : p.revents;
}

/* Before a socket goes: notes what its peer is about to see. */
static void note_going(struct world *w, struct slot *s)
{
    struct slot *peer = s->peer < 0 ? s : &w->slot[s->peer];
    char byte;

    is_gone(w, s);
    if (peer == s || peer->peer != (int)(s - w->slot))
        return;
    peer->peer_closed = true;
    peer->sent_at_close = tcp_sent(peer);
    /* SIOCINQ counts an urgent byte that is gone. */
    if (!is_inet(s) && (recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0 ||
                        events_of(s->fd, POLLPRI) & POLLPRI))
        peer->resets++;
}

static void unlink_name(const struct slot *s)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&s->name;

    if (s->name_len && s->place == UNIX_PATH && un->sun_path[0])
        unlink(un->sun_path);
}

/* Whatever was in a slot goes when another socket is made there. */
static void vacate(struct world *w, struct slot *s)
{
    unlink_name(s);
    if (s->fd >= 0) {
        note_going(w, s);
        w->performer->api->close(s);
    }
    slot_empty(s);
}

static int do_socket(struct world *w, struct slot *s, const struct step *st)
{
    int rc;

    vacate(w, s);
    slot_is(s, st->place, st->type);
    rc = w->performer->api->socket(s, (int)family_of(st->place), st->type);
    tune(s);
    return rc;
}

static int do_pair(struct world *w, const struct step *st)
{
    struct slot *a = &w->slot[st->slot], *b = &w->slot[st->other];
    int rc;

    if (a == b)
        return -EINVAL;
    vacate(w, a);
    vacate(w, b);
    slot_is(a, UNIX_NAME, st->type);
    slot_is(b, UNIX_NAME, st->type);
    rc = w->performer->api->pair(a, b, st->type);
    a->peer = st->other;
    b->peer = st->slot;
    return rc;
}

/* Made so far, by all worlds of this process: none gets a name that another
 * has left behind. */
static atomic_uint paths;

static int do_bind(struct world *w, struct slot *s)
{
    struct sockaddr_storage sa;
    socklen_t len =
        s->place < INET_4
            ? unix_name(s->place, w->where, atomic_fetch_add(&paths, 1), &sa)
            : loopback(s->place, &sa);
    int rc = w->performer->api->bind(s, (struct sockaddr *)&sa, len);

    if (rc == 0)
        note_name(s);
    return rc;
}

static int do_listen(struct world *w, struct slot *s, int backlog)
{
    int rc = w->performer->api->listen(s, backlog);

    if (rc == 0)
        s->listening = true;
    return rc;
}

/* Unix clients have no name: who comes out of a listener's queue is known by
 * who went in. */
static void goes_in(struct world *w, const struct step *st,
                    const struct outcome *out)
{
    struct slot *l = &w->slot[st->other];

    if (st->op != OP_CONNECT || out->res != 0 || st->to != TO_SLOT ||
        is_inet(l) || !l->listening || l->queued == COUNT(l->queue))
        return;
    l->queue[l->queued++] = (int8_t)st->slot;
}

static int comes_out(struct slot *l)
{
    int who = l->queued ? l->queue[0] : -1;

    if (l->queued)
        memmove(l->queue, l->queue + 1, --l->queued);
    return who;
}

static void connected(struct world *w, unsigned conn)
{
    struct slot *s = &w->slot[conn];

    if (s->peer < 0)
        return;
    w->slot[s->peer].peer = (int)conn;
    w->slot[s->peer].peer_closed = false;
}

/* Leaves the client's name in `conn`. */
static int do_accept(struct world *w, struct slot *s, const struct step *st,
                     struct slot *conn)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    int rc = w->performer->api->accept(s, st->wait, conn, &sa, &len);

    if (rc < 0)
        return rc;
    slot_is(conn, s->place, s->type);
    tune(conn);
    conn->name = sa;
    conn->name_len = len;
    return 0;
}

/* The main flow's business, also when it was the partner that accepted. */
static void place_accepted(struct world *w, const struct step *st,
                           struct slot *conn, struct outcome *out)
{
    struct slot *s = &w->slot[st->other];

    out->extra = who_is(w, &conn->name, conn->name_len);
    if (!is_inet(conn))
        conn->peer = comes_out(&w->slot[st->slot]);
    else
        conn->peer = out->extra >= 100 ? (int)out->extra - 100 : -1;
    vacate(w, s);
    if (conn->peer == st->other) /* which has just gone */
        conn->peer = -1;
    *s = *conn;
    s->name_len = 0;
    slot_empty(conn);
    connected(w, st->other);
}

/* --- where to ----------------------------------------------------------- */

/* False: there is nowhere to go. */
static bool target_of(struct world *w, const struct step *st,
                      struct sockaddr_storage *sa, socklen_t *len)
{
    const struct slot *s = &w->slot[st->slot], *to = &w->slot[st->other];

    memset(sa, 0, sizeof *sa);
    switch (st->to) {
    case TO_UNSPEC:
        sa->ss_family = AF_UNSPEC;
        *len = sizeof(struct sockaddr);
        return true;
    case TO_DEAD:
        dead_address(s->place, s->type, sa, len);
        return true;
    case TO_NOTHING:
        if (s->place < INET_4)
            *len = unix_name(s->place, "/nowhere/at/all", 0, sa);
        else
            dead_address(s->place, s->type, sa, len);
        return true;
    default:
        *sa = to->name;
        *len = to->name_len;
        return to->name_len > 0;
    }
}

static int do_connect(struct world *w, struct slot *s, const struct step *st)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int rc, before, error;
    bool gone; /* interrupted already: nothing will be attempted */

    if (!target_of(w, st, &sa, &len))
        return -EDESTADDRREQ;
    /* Krait's kept error is of the earlier connection, and goes with it; the
     * kernel's stays. */
    if (is_tcp(s) && s->peer >= 0)
        w->performer->api->getopt(s, SOL_SOCKET, SO_ERROR, &error);
    before = s->target;
    gone = s->interrupted;
    s->target = st->to == TO_SLOT ? st->other : -1;
    rc = w->performer->api->connect(s, st->wait, (struct sockaddr *)&sa, len);
    if (rc == -EALREADY || gone) /* it goes on where it went */
        s->target = before;
    /* UDP, dissolved, has lost its port: nobody finds it. */
    if (rc == 0 && s->type == SOCK_DGRAM)
        s->peer = st->to == TO_SLOT     ? st->other
                  : st->to != TO_UNSPEC ? PEER_UNKNOWN
                  : is_inet(s)          ? PEER_LOST
                                        : -1;
    if (is_inet(s) && rc != -ECANCELED) /* or it may be closed already */
        note_name(s);
    return rc;
}

/* --- transfers ----------------------------------------------------------- */

#define UNTOUCHED 0xa5

static bool partner_sends(const struct world *w)
{
    unsigned op = w->pending < 0 ? OPS : w->program->step[w->pending].op;

    return op == OP_SEND || op == OP_SENDALL || op == OP_SENDTO;
}

/* Whether the partner sends to this socket: then how much it can send, and when
 * it goes on, depends on every byte that is taken, and at which moment. */
static bool is_sent_to(const struct world *w, const struct slot *s)
{
    const struct step *st;
    int to;

    if (!partner_sends(w))
        return false;
    st = &w->program->step[w->pending];
    to = st->op == OP_SENDTO && w->slot[st->slot].type == SOCK_DGRAM
             ? st->other
             : w->slot[st->slot].peer;
    return to >= 0 && &w->slot[to] == s;
}

static ssize_t do_recv(struct world *w, struct slot *s, const struct step *st,
                       char *buf, struct outcome *out)
{
    struct sockaddr_storage sa = {0};
    socklen_t alen = sizeof sa;
    size_t len = st->len;
    int flags = st->flags;
    ssize_t n;

    if ((flags & MSG_OOB) && is_tcp(s))
        s->urgent_taken = true;
    if ((flags & MSG_PEEK) && s->urgent_taken)
        flags &= ~MSG_WAITALL;
    if (!st->partner && is_sent_to(w, s))
        flags |= MSG_PEEK;
    if (len == 0 && (flags & MSG_PEEK) && !is_inet(s))
        flags &= ~MSG_PEEK;
    memset(buf, UNTOUCHED, st->len);
    if (st->op == OP_RECV)
        n = w->performer->api->recv(s, st->wait, buf, len, flags);
    else
        n = w->performer->api->recvfrom(s, st->wait, buf, len, flags, &sa,
                                        &alen);
    out->sum = sum_of(buf, st->len, SUM_START);
    if (n >= 0 && st->op == OP_RECVFROM)
        out->extra = who_is(w, &sa, alen);
    return n;
}

static ssize_t send_by(struct world *w, struct slot *s, const struct step *st,
                       const char *buf, size_t len)
{
    int flags = st->flags;
    const struct api *api = w->performer->api;
    struct sockaddr_storage sa;
    socklen_t alen;

    if (st->op == OP_SEND)
        return api->send(s, st->wait, buf, len, flags);
    if (st->op == OP_SENDALL)
        return api->sendall(s, st->wait, buf, len, flags);
    if (!target_of(w, st, &sa, &alen))
        return -EDESTADDRREQ;
    return api->sendto(s, st->wait, buf, len, flags, (struct sockaddr *)&sa,
                       alen);
}

/* One piece of a Unix stream, which the smallest buffer takes whole or not at
 * all. What more fits, while the other flow empties the buffer, is luck: for an
 * act while the partner receives, and for a partner with a timeout, which sends
 * what fits at once. */
#define UNIX_PIECE 2000

static bool takes_a_piece(const struct world *w, const struct slot *s,
                          const struct step *st)
{
    if (is_inet(s) || s->type != SOCK_STREAM || w->pending < 0)
        return false;
    return !st->partner || (st->op != OP_SENDALL && st->wait != FOREVER);
}

static size_t within_budget(const struct world *w, struct slot *s,
                            const struct step *st)
{
    size_t len = st->len;

    if (takes_a_piece(w, s, st))
        return len < UNIX_PIECE ? len : UNIX_PIECE;
    if (!is_tcp(s))
        return len;
    len = len < TCP_PIECE ? len : TCP_PIECE;
    len = len < s->budget ? len : s->budget;
    s->budget -= (uint32_t)len;
    return len;
}

static void note_urgent(struct world *w, struct slot *s, int flags)
{
    if (flags & MSG_OOB) {
        s->urgent = true;
        if (s->peer >= 0)
            w->slot[s->peer].urgent = true;
    }
}

static ssize_t do_send(struct world *w, struct slot *s, const struct step *st,
                       unsigned index, char *buf)
{
    size_t len = within_budget(w, s, st);
    int to =
        st->op == OP_SENDTO ? (st->to == TO_SLOT ? st->other : -1) : s->peer;
    uint32_t held = 0;
    ssize_t n;

    /* An empty message that comes late would look like the end to a drain. */
    if (st->partner && len == 0 && s->type != SOCK_STREAM)
        len = 1;
    note_urgent(w, s, st->flags);
    if (is_udp(s) && to >= 0)
        held = udp_held(&w->slot[to]);
    fill(buf, len, w->program, index);
    n = send_by(w, s, st, buf, len);
    if (n >= 0 && (st->flags & MSG_MORE))
        s->corked = true;
    else if (n >= 0 && is_udp(s))
        settle_udp(w, s, to, held);
    return n;
}

static ssize_t do_fds(struct world *w, struct slot *s, const struct step *st,
                      unsigned index, char *buf)
{
    union {
        char space[CMSG_SPACE(sizeof(int) * 4)];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {buf, st->len};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)st->value),
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    int fds[4] = {2, 2, 2, 2};
    ssize_t n;

    if (is_inet(s))
        return -EOPNOTSUPP;
    fill(buf, st->len, w->program, index);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)st->value);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)st->value);
    n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0 && s->peer >= 0)
        w->slot[s->peer].fds_came = true;
    return n < 0 ? -errno : n;
}

/* --- many at a time ------------------------------------------------------ */

/* Unix sockets only: how much goes into TCP's buffers is a matter of timing,
 * and UDP's never say that they are full. */
static ssize_t do_fill(struct world *w, struct slot *s, const struct step *st,
                       unsigned index, char *buf)
{
    ssize_t sum = 0, n;
    unsigned turns = 0;

    if (is_inet(s))
        return -EOPNOTSUPP;
    fill(buf, st->len, w->program, index);
    do {
        n = w->performer->api->send(s, AT_ONCE, buf, st->len, 0);
        sum += n > 0 ? n : 0;
    } while (n > 0 && turns++ < 2000);
    return n == -EAGAIN || n > 0 ? sum : n;
}

struct drain {
    uint32_t sum;
    ssize_t bytes;
};

/* Receives until it would have to wait, at most `most` bytes; what ended it: 0
 * or a negative code. Records are counted whole, though they may be cut. */
static ssize_t drain(struct world *w, struct slot *s, const struct step *st,
                     char *buf, ssize_t most, struct drain *d)
{
    bool stream = s->type == SOCK_STREAM;
    ssize_t n;

    do {
        size_t len = st->len;

        if (stream && (size_t)(most - d->bytes) < len)
            len = (size_t)(most - d->bytes);
        n = w->performer->api->recv(s, AT_ONCE, buf, len,
                                    stream ? 0 : MSG_TRUNC);
        if (n > 0)
            d->sum = sum_of(buf, (size_t)n < len ? (size_t)n : len, d->sum);
        d->bytes += n > 0 ? n : 0;
    } while (n > 0 && d->bytes < most);
    return n > 0 ? 0 : n;
}

static void begin_to_look(struct world *w);
static bool rests(struct world *w, struct rest *rest, const struct rest *lead);

/* Takes everything until the partner, which sends it, is done or can't go on
 * for another reason. */
static ssize_t drain_partner(struct world *w, struct slot *s,
                             const struct step *st, char *buf,
                             struct outcome *out, struct drain *d)
{
    unsigned index = (unsigned)(st - w->program->step);
    const struct rest *lead = w->lead ? &w->lead->step[index].after : NULL;
    int64_t until = now_ns() + rest_ns;
    unsigned turn = 0;
    ssize_t end;

    begin_to_look(w);
    for (;;) {
        ssize_t before = d->bytes;
        bool rest = rests(w, &out->after, lead);

        end = drain(w, s, st, buf, SSIZE_MAX, d);
        if (end != -EAGAIN || (rest && d->bytes == before))
            return end;
        if (d->bytes != before)
            begin_to_look(w);
        if (now_ns() > until)
            break;
        w->performer->flows->pause(turn++);
    }
    out->after.late = true;
    return end;
}

static ssize_t do_drain(struct world *w, struct slot *s, const struct step *st,
                        char *buf, struct outcome *out)
{
    struct drain d = {.sum = SUM_START};
    ssize_t end = is_sent_to(w, s) ? drain_partner(w, s, st, buf, out, &d)
                                   : drain(w, s, st, buf, st->value, &d);

    out->sum = d.sum;
    out->extra = (uint32_t)end;
    return d.bytes;
}

struct flood {
    struct world *w;
    struct slot *s;
    uint32_t len;
    int rc;
};

static void flood_sends(void *arg)
{
    struct flood *f = arg;

    f->rc = f->w->performer->api->sendall(f->s, FOREVER, f->w->partner_buf,
                                          f->len, 0);
    atomic_store(&f->w->done, true);
}

static bool can_flood(struct world *w, struct slot *s)
{
    struct slot *to = s->peer < 0 ? s : &w->slot[s->peer];
    int waiting = 0;

    if (to == s || s->fd < 0 || to->fd < 0 || s->type != SOCK_STREAM ||
        s->urgent || to->urgent || s->interrupted || to->interrupted ||
        to->peer != (int)(s - w->slot) || to->rcvpeek)
        return false;
    ioctl(to->fd, SIOCINQ, &waiting);
    return waiting == 0 &&
           events_of(s->fd, POLLIN | POLLOUT | POLLRDHUP) == POLLOUT &&
           !(events_of(to->fd, POLLIN | POLLRDHUP) & ~POLLOUT);
}

/* More than fits into the buffers, in both flows at once. Who waits for whom,
 * and how often, is a matter of timing and not compared; what arrives is. */
static ssize_t do_flood(struct world *w, struct slot *s, const struct step *st,
                        unsigned index, char *buf, struct outcome *out)
{
    struct flood f = {.w = w, .s = s, .len = st->len};
    uint32_t check = SUM_START;
    size_t got = 0;
    ssize_t n = 0;

    if (!can_flood(w, s))
        return -EOPNOTSUPP;
    fill(w->partner_buf, st->len, w->program, index);
    atomic_store(&w->done, false);
    s->in_flood = true;
    w->performer->flows->begin(w, flood_sends, &f);
    while (got < st->len) {
        n = w->performer->api->recv(&w->slot[s->peer], FAR, buf, st->len - got,
                                    0);
        if (n <= 0)
            break;
        check = sum_of(buf, (size_t)n, check);
        got += (size_t)n;
    }
    w->performer->flows->join(w);
    s->in_flood = false;
    out->sum = check;
    out->extra = (uint32_t)f.rc;
    return n < 0 ? n : (ssize_t)got;
}

/* --- options ------------------------------------------------------------- */

static const struct {
    const char *name;
    int level, option;
} options[OPTIONS] = {
    [OPT_ERROR] = {"SO_ERROR", SOL_SOCKET, SO_ERROR},
    [OPT_TYPE] = {"SO_TYPE", SOL_SOCKET, SO_TYPE},
    [OPT_ACCEPTCONN] = {"SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN},
    [OPT_SNDBUF] = {"SO_SNDBUF", SOL_SOCKET, SO_SNDBUF},
    [OPT_OOBINLINE] = {"SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE},
    [OPT_RCVTIMEO] = {"SO_RCVTIMEO", SOL_SOCKET, SO_RCVTIMEO},
    [OPT_SNDTIMEO] = {"SO_SNDTIMEO", SOL_SOCKET, SO_SNDTIMEO},
    [OPT_RECVERR] = {"IP_RECVERR", IPPROTO_IP, IP_RECVERR},
    [OPT_PASSCRED] = {"SO_PASSCRED", SOL_SOCKET, SO_PASSCRED},
    [OPT_PEEK_OFF] = {"SO_PEEK_OFF", SOL_SOCKET, SO_PEEK_OFF},
};

const char *option_name(unsigned option)
{
    return option < OPTIONS ? options[option].name : "?";
}

static int do_getopt(struct world *w, struct slot *s, const struct step *st,
                     struct outcome *out)
{
    int value = -1;
    int rc = w->performer->api->getopt(s, options[st->option].level,
                                       options[st->option].option, &value);

    out->extra = rc < 0 ? 0 : (uint32_t)value;
    return rc;
}

static int do_setopt(struct world *w, struct slot *s, const struct step *st)
{
    int level = options[st->option].level, option = options[st->option].option;
    struct timeval tv = {.tv_usec = 1000 * st->value};
    int value = st->value;

    if (st->option == OPT_RECVERR && s->place == INET_6) {
        level = IPPROTO_IPV6;
        option = IPV6_RECVERR;
    }
    if (st->option == OPT_PEEK_OFF) {
        s->rcvpeek = true;
        value -= 1; /* off, or from the start */
    }
    if (st->option == OPT_RCVTIMEO || st->option == OPT_SNDTIMEO)
        return w->performer->api->setopt(s, level, option, &tv, sizeof tv);
    return w->performer->api->setopt(s, level, option, &value, sizeof value);
}

static int do_names(struct world *w, struct slot *s, struct outcome *out)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_len = sizeof own, peer_len = sizeof peer;
    int rc = w->performer->api->ask_name(s, false, &own, &own_len);
    int rc2 = w->performer->api->ask_name(s, true, &peer, &peer_len);

    out->extra = rc == 0 ? own.ss_family : 0;
    out->sum = rc2 < 0 ? (uint32_t)rc2 : who_is(w, &peer, peer_len);
    return rc;
}

static int do_poll(struct world *w, struct slot *s)
{
    int events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDBAND;

    if (s->fd < 0)
        return -EBADF;
    events = events_of(s->fd, events);
    /* What is kept is no longer in the kernel: see known(). */
    if (w->performer->api->kept(s))
        events |= KEPT_ERROR;
    return events;
}

/* --- ends ---------------------------------------------------------------- */

static void end_pending(struct world *w, enum end end);

/* An end that is put to the partner's socket ends its call first. */
static bool ends_pending(struct world *w, const struct slot *s, enum end end)
{
    if (w->pending < 0 || &w->slot[w->program->step[w->pending].slot] != s)
        return false;
    end_pending(w, end);
    return true;
}

static int do_close(struct world *w, struct slot *s, bool reset)
{
    struct linger hard = {.l_onoff = 1};
    int rc;

    if (s->fd < 0)
        return 0;
    if (reset)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    note_going(w, s);
    s->interrupted = true; /* who waits does not wait again */
    if (ends_pending(w, s, END_CLOSE))
        return 0;
    rc = w->performer->api->close(s);
    atomic_store(&s->interrupted, false);
    return rc;
}

/* A Unix socket that can't send any more is not reported by poll(2) while its
 * buffer is full, so that only who waits in the kernel hears of it: libc's
 * send(2), and io_uring. Shut down both ways it is, for all. */
static int do_shutdown(struct world *w, struct slot *s, int how)
{
    bool concerns =
        partner_sends(w) && !is_inet(s) &&
        (is_sent_to(w, s) || &w->slot[w->program->step[w->pending].slot] == s);

    /* Who sends datagrams to it is not woken at all, but by chance. */
    if (concerns && s->type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    return w->performer->api->shutdown(
        s, concerns && how <= SHUT_RDWR ? SHUT_RDWR : how);
}

static int do_interrupt(struct world *w, struct slot *s)
{
    if (s->fd >= 0)
        s->interrupted = true;
    if (ends_pending(w, s, END_INTERRUPT))
        return 0;
    return w->performer->api->interrupt(s);
}

/* --- one step ------------------------------------------------------------ */

static int64_t perform(struct world *w, unsigned index, char *buf,
                       struct outcome *out, struct slot *conn)
{
    const struct step *st = &w->program->step[index];
    struct slot *s = &w->slot[st->slot];

    switch (st->op) {
    case OP_SOCKET:
        return do_socket(w, s, st);
    case OP_PAIR:
        return do_pair(w, st);
    case OP_BIND:
        return do_bind(w, s);
    case OP_LISTEN:
        return do_listen(w, s, st->value);
    case OP_ACCEPT:
        return do_accept(w, s, st, conn);
    case OP_CONNECT:
        return do_connect(w, s, st);
    case OP_RECV:
    case OP_RECVFROM:
        return do_recv(w, s, st, buf, out);
    case OP_SEND:
    case OP_SENDALL:
    case OP_SENDTO:
        return do_send(w, s, st, index, buf);
    case OP_FDS:
        return do_fds(w, s, st, index, buf);
    case OP_FILL:
        return do_fill(w, s, st, index, buf);
    case OP_DRAIN:
        return do_drain(w, s, st, buf, out);
    case OP_FLOOD:
        return w->pending < 0 ? do_flood(w, s, st, index, buf, out)
                              : -EOPNOTSUPP;
    case OP_SHUTDOWN:
        return do_shutdown(w, s, st->value);
    case OP_CLOSE:
    case OP_RESET:
        return do_close(w, s, st->op == OP_RESET);
    case OP_INTERRUPT:
        return do_interrupt(w, s);
    case OP_GETNAMES:
        return do_names(w, s, out);
    case OP_GETOPT:
        return do_getopt(w, s, st, out);
    case OP_SETOPT:
        return do_setopt(w, s, st);
    case OP_POLL:
        return do_poll(w, s);
    default:
        return -ENOSYS;
    }
}

static void finish(struct outcome *out, int64_t res)
{
    out->ran = true;
    out->res = res < 0 ? -1 : res;
    out->err = res < 0 ? (int)-res : 0;
}

static void step_of_main(struct world *w, unsigned index)
{
    struct outcome *out = &w->record->step[index];
    struct slot conn;

    atomic_store(&w->now, index);
    slot_empty(&conn);
    finish(out, perform(w, index, w->buf, out, &conn));
    goes_in(w, &w->program->step[index], out);
    if (conn.fd >= 0)
        place_accepted(w, &w->program->step[index], &conn, out);
    settle(w);
}

/* --- the partner --------------------------------------------------------- */

static void partner_main(void *arg)
{
    struct world *w = arg;
    struct outcome *out = &w->record->step[w->pending];
    int64_t res =
        perform(w, (unsigned)w->pending, w->partner_buf, out, &w->conn);

    finish(out, res);
    atomic_store(&w->done, true);
}

static void look_at(struct world *w, struct rest *rest)
{
    const struct slot *s = &w->slot[w->program->step[w->pending].slot];

    rest->done = atomic_load(&w->done);
    rest->inq = rest->outq = -1;
    rest->urgent = false;
    if (s->fd < 0 || s->listening)
        return;
    rest->urgent = events_of(s->fd, POLLPRI) & POLLPRI;
    if (ioctl(s->fd, SIOCINQ, &rest->inq) < 0)
        rest->inq = -1;
    /* What TCP has sent and not heard of is a matter of timing; a datagram that
     * waits in the kernel counts as sent. */
    if (is_inet(s) || s->type != SOCK_STREAM ||
        ioctl(s->fd, SIOCOUTQ, &rest->outq) < 0)
        rest->outq = -1;
}

/* libc's partner that sleeps between two attempts waits only if it has made
 * some since the last act. */
static bool has_tried(struct world *w)
{
    const struct slot *s = &w->slot[w->program->step[w->pending].slot];

    return !atomic_load(&s->naps) ||
           atomic_load(&s->attempts) - w->attempts_before >= 2;
}

static void begin_to_look(struct world *w)
{
    w->attempts_before = w->slot[w->program->step[w->pending].slot].attempts;
}

/* Whether the partner has come to rest: for the leader where it does not move
 * any more, for the others where the leader's was. */
static bool rests(struct world *w, struct rest *rest, const struct rest *lead)
{
    bool blocked = w->performer->flows->blocked(w);

    look_at(w, rest);
    if (!lead)
        return rest->done || (blocked && has_tried(w));
    if (lead->done || rest->done)
        return rest->done;
    return blocked && rest->inq == lead->inq && rest->outq == lead->outq &&
           rest->urgent == lead->urgent;
}

int64_t rest_ns = INT64_C(5000000000);

static void come_to_rest(struct world *w, struct rest *rest,
                         const struct rest *lead)
{
    int64_t until = now_ns() + rest_ns;
    unsigned turn = 0;

    begin_to_look(w);
    while (!rests(w, rest, lead)) {
        if (now_ns() > until) {
            rest->late = true;
            return;
        }
        w->performer->flows->pause(turn++);
    }
}

static void join_pending(struct world *w)
{
    const struct step *st = &w->program->step[w->pending];
    struct outcome *out = &w->record->step[w->pending];

    w->performer->flows->join(w);
    w->performer->api->unstop(&w->slot[st->slot]);
    w->pending = -1;
    goes_in(w, st, out);
    if (w->conn.fd >= 0)
        place_accepted(w, st, &w->conn, out);
}

/* Makes the partner's call give up, and waits until it has. */
static void end_pending(struct world *w, enum end end)
{
    const struct performer *by = w->performer;
    struct slot *s = &w->slot[w->program->step[w->pending].slot];

    if (end != END_CANCEL)
        s->interrupted = true;
    if (end == END_CANCEL && by->flows->cancel) {
        by->flows->cancel(w);
    } else if (end == END_CLOSE && s->s) {
        by->api->close(s);
    } else {
        by->api->stop(w, s);
    }
    join_pending(w);
    if (end == END_CLOSE) {
        by->api->close(s);
        atomic_store(&s->interrupted, false);
    }
}

/* A partner's step and its acts; returns the index after them. */
static unsigned with_acts(struct world *w, unsigned index)
{
    const struct program *p = w->program;
    const struct step *st = &p->step[index];
    const struct outcome *lead = w->lead ? w->lead->step : NULL;
    struct outcome *out = w->record->step;
    unsigned i;

    atomic_store(&w->now, index);
    w->pending = (int)index;
    atomic_store(&w->done, false);
    slot_empty(&w->conn);
    w->performer->flows->begin(w, partner_main, w);
    for (i = index + 1; i <= index + st->acts && w->pending >= 0; i++) {
        if (p->skip[i])
            continue;
        come_to_rest(w, &out[i].before, lead ? &lead[i].before : NULL);
        out[index].blocked |= !out[i].before.done;
        step_of_main(w, i);
    }
    if (w->pending >= 0) {
        come_to_rest(w, &out[index].after, lead ? &lead[index].after : NULL);
        out[index].ended = !out[index].after.done;
        out[index].blocked |= out[index].ended;
        if (out[index].ended)
            end_pending(w, st->end);
        else
            join_pending(w);
        settle(w);
    }
    return i;
}

/* --- what is left -------------------------------------------------------- */

static void count_connections(struct slot *s, struct left *left)
{
    int fd;

    fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK);
    while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        left->bytes++;
        close(fd);
    }
    left->err = errno;
}

static void read_what_is_left(struct world *w, struct slot *s,
                              struct left *left)
{
    ssize_t n;
    unsigned turns = 0;

    left->sum = SUM_START;
    do {
        n = recv(s->fd, w->buf, BYTES_MAX, MSG_DONTWAIT);
        if (n > 0)
            left->sum = sum_of(w->buf, (size_t)n, left->sum);
        left->bytes += n > 0 ? n : 0;
        left->sum = sum_of(&n, sizeof n, left->sum);
        /* An empty datagram is not the end. */
    } while (n > 0 || (n == 0 && s->type == SOCK_DGRAM && turns++ < 20));
    left->err = n < 0 ? errno : 0;
}

static void look_at_what_is_left(struct world *w, struct slot *s,
                                 struct left *left)
{
    int off = -1;

    left->open = s->fd >= 0;
    if (!left->open)
        return;
    left->events = do_poll(w, s);
    left->kept = w->performer->api->kept(s);
    if (w->performer->api->getopt(s, SOL_SOCKET, SO_ERROR, &left->error) < 0)
        left->error = -1;
    setsockopt(s->fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off);
    if (s->type == SOCK_STREAM && !s->listening)
        ioctl(s->fd, SIOCATMARK, &left->mark);
    if (s->listening)
        count_connections(s, left);
    else
        read_what_is_left(w, s, left);
}

static void end_slot(struct world *w, struct slot *s)
{
    struct linger hard = {.l_onoff = 1};

    if (s->fd >= 0) {
        /* TIME_WAIT would use up the ports. */
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        w->performer->api->close(s);
    }
    unlink_name(s);
}

/* --- a program ----------------------------------------------------------- */

/* A second after it was dropped a SYN is sent again (tcp(7)); some less. */
#define SYN_AGAIN_NS INT64_C(800000000)

void run_program(struct world *w, const struct program *p,
                 const struct record *lead, struct record *record)
{
    int64_t begun = now_ns();
    unsigned i;

    memset(record, 0, sizeof *record);
    w->program = p;
    w->lead = lead;
    w->record = record;
    w->pending = -1;
    w->impatient = w->syn_waits = false;
    for (i = 0; i < SLOTS; i++)
        slot_empty(&w->slot[i]);
    for (i = 0; i < p->count;) {
        if (p->skip[i])
            i++;
        else if (p->step[i].partner)
            i = with_acts(w, i);
        else
            step_of_main(w, i++);
    }
    atomic_store(&w->now, p->count);
    for (i = 0; i < SLOTS; i++)
        look_at_what_is_left(w, &w->slot[i], &record->left[i]);
    for (i = 0; i < SLOTS; i++)
        end_slot(w, &w->slot[i]);
    record->too_slow = w->syn_waits && now_ns() - begun > SYN_AGAIN_NS;
    w->program = NULL;
}

void world_init(struct world *w, const struct performer *performer,
                struct flows_state *state, const char *where)
{
    memset(w, 0, sizeof *w);
    w->performer = performer;
    w->state = state;
    snprintf(w->where, sizeof w->where, "%s", where);
    w->buf = calloc(2, BYTES_MAX);
    if (!w->buf)
        abort();
    w->partner_buf = w->buf + BYTES_MAX;
}

void world_free(struct world *w)
{
    free(w->buf);
}
