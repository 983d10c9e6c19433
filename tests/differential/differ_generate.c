/* SPDX-License-Identifier: MIT
 *
 * differ_generate.c - what a seed means: a program.
 *
 * The generator keeps a rough model of the sockets (who is connected to whom),
 * so that most of what it makes gets somewhere: a model that is wrong costs
 * nothing but a step that fails in the same way everywhere. What it must get
 * right is only that a step of the main flow never waits for ever: those that
 * could are the partner's.
 *
 * A seed means the same program on every machine and for every performer; a
 * change here changes what all seeds mean.
 */
#include <string.h>

#include "differ.h"

/* --- chance -------------------------------------------------------------- */

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

enum role { NONE, FRESH, BOUND, LISTENING, CONNECTED, ENDED };

struct model {
    enum role role;
    uint8_t place, type;
    int peer;
    bool small; /* its buffers are small: it can be filled */
};

struct maker {
    uint64_t chance;
    struct program *p;
    struct model slot[SLOTS];
    unsigned room; /* steps that may still be made */
};

static unsigned pick(struct maker *m, unsigned n)
{
    return (unsigned)(next(&m->chance) >> 33) % n;
}

static bool percent(struct maker *m, unsigned p)
{
    return pick(m, 100) < p;
}

/* An index into `weights`, which end with 0. */
static unsigned weighted(struct maker *m, const unsigned char *weights)
{
    unsigned sum = 0, i, n;

    for (i = 0; weights[i]; i++)
        sum += weights[i];
    n = pick(m, sum);
    for (i = 0; n >= weights[i]; i++)
        n -= weights[i];
    return i;
}

/* --- steps --------------------------------------------------------------- */

static struct step *add(struct maker *m, enum op op, unsigned slot)
{
    static struct step nowhere;
    struct step *st = &nowhere;

    if (m->p->count < STEPS_MAX)
        st = &m->p->step[m->p->count++];
    *st = (struct step){.op = (uint8_t)op, .slot = (uint8_t)slot};
    return st;
}

static int free_slot(struct maker *m)
{
    int i;

    for (i = 0; i < SLOTS; i++)
        if (m->slot[i].role == NONE)
            return i;
    return -1;
}

/* A slot that holds a socket, most often one that is in use. */
static int some_slot(struct maker *m)
{
    unsigned tries;

    for (tries = 0; tries < 30; tries++) {
        unsigned i = pick(m, SLOTS);

        if (m->slot[i].role == NONE)
            continue;
        if (m->slot[i].role == ENDED && tries < 20 && !percent(m, 5))
            continue;
        return (int)i;
    }
    return 0;
}

static uint32_t some_length(struct maker *m)
{
    static const unsigned char weights[] = {4, 8, 40, 25, 15, 6, 2, 0};

    switch (weighted(m, weights)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return 2 + pick(m, 60);
    case 3:
        return 64 + pick(m, 1000);
    case 4:
        return 1000 + pick(m, 8000);
    case 5:
        return 9000 + pick(m, 20000);
    default:
        return 65000 + pick(m, 1000); /* around a datagram's limit */
    }
}

/* Each flag has a meaning for some calls and none for others. */
static const int any_flags[] = {
    MSG_PEEK,     MSG_WAITALL, MSG_DONTWAIT,     MSG_TRUNC,     MSG_OOB,
    MSG_ERRQUEUE, MSG_MORE,    MSG_NOSIGNAL,     MSG_DONTROUTE, MSG_CTRUNC,
    MSG_EOR,      MSG_CONFIRM, MSG_CMSG_CLOEXEC,
};

static int some_flags(struct maker *m, const int *likely, unsigned count)
{
    int flags = 0;

    if (percent(m, 50))
        return 0;
    do
        flags |= percent(m, 80) ? likely[pick(m, count)]
                                : any_flags[pick(m, COUNT(any_flags))];
    while (percent(m, 40));
    return flags;
}

static int recv_flags(struct maker *m)
{
    static const int likely[] = {MSG_PEEK,
                                 MSG_WAITALL,
                                 MSG_WAITALL,
                                 MSG_TRUNC,
                                 MSG_OOB,
                                 MSG_DONTWAIT,
                                 MSG_PEEK | MSG_WAITALL,
                                 MSG_ERRQUEUE};

    return some_flags(m, likely, COUNT(likely));
}

static int send_flags(struct maker *m)
{
    static const int likely[] = {MSG_OOB, MSG_MORE, MSG_DONTWAIT, MSG_NOSIGNAL,
                                 MSG_EOR};

    return some_flags(m, likely, COUNT(likely));
}

static uint8_t some_wait(struct maker *m, bool partner)
{
    if (partner)
        return percent(m, 55) ? FOREVER : FAR;
    return percent(m, 90) ? AT_ONCE : SHORT;
}

/* --- making sockets ------------------------------------------------------ */

static void made(struct maker *m, unsigned slot, enum role role, unsigned place,
                 unsigned type)
{
    m->slot[slot] = (struct model){
        .role = role,
        .place = (uint8_t)place,
        .type = (uint8_t)type,
        .peer = -1,
    };
}

static int add_socket(struct maker *m, unsigned place, unsigned type)
{
    int i = free_slot(m);
    struct step *st;

    if (i < 0)
        return -1;
    st = add(m, OP_SOCKET, (unsigned)i);
    st->place = (uint8_t)place;
    st->type = (uint8_t)type;
    made(m, (unsigned)i, FRESH, place, type);
    return i;
}

static void joined(struct maker *m, int a, int b)
{
    m->slot[a].role = m->slot[b].role = CONNECTED;
    m->slot[a].peer = b;
    m->slot[b].peer = a;
}

static int bound_socket(struct maker *m, unsigned place, unsigned type)
{
    int i = add_socket(m, place, type);

    if (i >= 0) {
        add(m, OP_BIND, (unsigned)i);
        m->slot[i].role = BOUND;
    }
    return i;
}

static int listener(struct maker *m, unsigned place, unsigned type, int backlog)
{
    int i = bound_socket(m, place, type);

    if (i >= 0) {
        add(m, OP_LISTEN, (unsigned)i)->value = backlog;
        m->slot[i].role = LISTENING;
    }
    return i;
}

static struct step *add_connect(struct maker *m, int slot, int other,
                                enum wait wait)
{
    struct step *st = add(m, OP_CONNECT, (unsigned)slot);

    st->other = (uint8_t)other;
    st->wait = (uint8_t)wait;
    return st;
}

/* Of a connect that is not expected to wait. */
static enum wait brief(struct maker *m)
{
    static const enum wait waits[] = {AT_ONCE, AT_ONCE, FAR, FOREVER};

    return waits[pick(m, COUNT(waits))];
}

static unsigned stream_type(struct maker *m, unsigned place)
{
    if (place >= INET_4)
        return SOCK_STREAM;
    return percent(m, 70) ? SOCK_STREAM : SOCK_SEQPACKET;
}

/* Small buffers, so that they can be filled. */
static void shrink_buffers(struct maker *m, int slot)
{
    static const int sizes[] = {1, 5000, 10000, 30000};
    struct step *st;

    if (slot < 0 || m->slot[slot].place >= INET_4)
        return;
    st = add(m, OP_SETOPT, (unsigned)slot);
    st->option = OPT_SNDBUF;
    st->value = sizes[pick(m, COUNT(sizes))];
    m->slot[slot].small = true;
}

static void make_pair(struct maker *m)
{
    static const unsigned types[] = {SOCK_STREAM, SOCK_STREAM, SOCK_DGRAM,
                                     SOCK_SEQPACKET};
    unsigned type = types[pick(m, COUNT(types))];
    int a = free_slot(m), b;
    struct step *st;

    if (a < 0)
        return;
    made(m, (unsigned)a, FRESH, UNIX_NAME, type);
    b = free_slot(m);
    if (b < 0)
        return;
    made(m, (unsigned)b, FRESH, UNIX_NAME, type);
    st = add(m, OP_PAIR, (unsigned)a);
    st->other = (uint8_t)b;
    st->type = (uint8_t)type;
    joined(m, a, b);
    shrink_buffers(m, a);
    if (percent(m, 50))
        shrink_buffers(m, b);
}

static void make_connection(struct maker *m)
{
    unsigned place = pick(m, PLACES), type = stream_type(m, place);
    int l = listener(m, place, type, (int)pick(m, 4));
    int c = l < 0 ? -1 : add_socket(m, place, type);
    int a;

    if (c < 0)
        return;
    add_connect(m, c, l, brief(m));
    if (percent(m, 10)) /* bytes that come before the accept */
        add(m, OP_SEND, (unsigned)c)->len = some_length(m);
    a = free_slot(m);
    if (a < 0)
        return;
    made(m, (unsigned)a, FRESH, place, type);
    add(m, OP_ACCEPT, (unsigned)l)->other = (uint8_t)a;
    joined(m, a, c);
    if (percent(m, 40))
        shrink_buffers(m, a);
    if (percent(m, 40))
        shrink_buffers(m, c);
    if (percent(m, 70)) {
        add(m, OP_CLOSE, (unsigned)l);
        m->slot[l].role = NONE;
    }
}

static void make_datagrams(struct maker *m)
{
    unsigned place = pick(m, PLACES);
    int a = bound_socket(m, place, SOCK_DGRAM);
    int b = percent(m, 80) ? bound_socket(m, place, SOCK_DGRAM)
                           : add_socket(m, place, SOCK_DGRAM);

    if (a < 0 || b < 0)
        return;
    if (percent(m, 70)) {
        add_connect(m, b, a, brief(m));
        m->slot[b].role = CONNECTED;
        m->slot[b].peer = a;
    }
    if (percent(m, 40)) {
        add_connect(m, a, b, brief(m));
        m->slot[a].role = CONNECTED;
    }
    m->slot[a].peer = b;
    m->slot[b].peer = a;
    if (percent(m, 30))
        shrink_buffers(m, b);
    if (place >= INET_4 && percent(m, 20))
        *add(m, OP_SETOPT, (unsigned)b) = (struct step){.op = OP_SETOPT,
                                                        .slot = (uint8_t)b,
                                                        .option = OPT_RECVERR,
                                                        .value = 1};
}

/* Refused, once or twice, and then connected after all. */
static void make_refused(struct maker *m)
{
    unsigned place = pick(m, PLACES), type = stream_type(m, place);
    int l = bound_socket(m, place, type);
    int c = l < 0 ? -1 : add_socket(m, place, type);
    int a;

    if (c < 0)
        return;
    add_connect(m, c, l, brief(m));
    if (percent(m, 50)) {
        struct step *st = add_connect(m, c, l, brief(m));

        st->to = percent(m, 50) ? TO_DEAD : TO_NOTHING;
    }
    if (percent(m, 20))
        add(m, OP_GETOPT, (unsigned)c)->option = OPT_ERROR;
    add(m, OP_LISTEN, (unsigned)l)->value = 1;
    add_connect(m, c, l, brief(m));
    m->slot[l].role = LISTENING;
    a = free_slot(m);
    if (a < 0)
        return;
    made(m, (unsigned)a, FRESH, place, type);
    add(m, OP_ACCEPT, (unsigned)l)->other = (uint8_t)a;
    joined(m, a, c);
}

/* A backlog that is full, and one who would still like to connect. */
static void make_full_backlog(struct maker *m)
{
    unsigned place = pick(m, PLACES), type = stream_type(m, place);
    int backlog = (int)pick(m, 2);
    int l = listener(m, place, type, backlog), c, i;

    for (i = 0; l >= 0 && i < backlog + 1; i++) {
        c = add_socket(m, place, type);
        if (c < 0)
            return;
        add_connect(m, c, l, brief(m));
        m->slot[c].role = CONNECTED;
    }
    c = add_socket(m, place, type);
    if (c >= 0 && percent(m, 30))
        add_connect(m, c, l, percent(m, 80) ? AT_ONCE : SHORT);
}

static void make_some(struct maker *m)
{
    static const unsigned char weights[] = {32, 32, 20, 9, 7, 0};
    static void (*const make[])(struct maker *) = {make_pair, make_connection,
                                                   make_datagrams, make_refused,
                                                   make_full_backlog};

    make[weighted(m, weights)](m);
}

/* --- what is done with them --------------------------------------------- */

static struct step *add_transfer(struct maker *m, enum op op, int slot)
{
    struct step *st = add(m, op, (unsigned)slot);
    bool in = op == OP_RECV || op == OP_RECVFROM;

    st->len = some_length(m);
    st->flags = in ? recv_flags(m) : send_flags(m);
    st->wait = some_wait(m, false);
    st->other = (uint8_t)(m->slot[slot].peer >= 0 ? m->slot[slot].peer : 0);
    if (op == OP_SENDTO && percent(m, 30))
        st->to = (uint8_t)pick(m, TOS);
    return st;
}

static void add_fds(struct maker *m, int slot)
{
    struct step *st = add(m, OP_FDS, (unsigned)slot);

    st->len = 1 + pick(m, 200);
    st->value = 1 + (int)pick(m, 3);
}

static void add_urgent(struct maker *m, int slot)
{
    struct step *st = add(m, OP_SEND, (unsigned)slot);

    st->len = percent(m, 60) ? 1 : 1 + pick(m, 50);
    st->flags = MSG_OOB;
}

static void add_option(struct maker *m, int slot)
{
    static const uint8_t ask[] = {OPT_ERROR, OPT_ERROR, OPT_ERROR, OPT_TYPE,
                                  OPT_ACCEPTCONN};
    static const uint8_t set[] = {OPT_OOBINLINE, OPT_OOBINLINE, OPT_RCVTIMEO,
                                  OPT_SNDTIMEO,  OPT_RECVERR,   OPT_PASSCRED,
                                  OPT_PEEK_OFF};
    bool asks = percent(m, 60);
    struct step *st = add(m, asks ? OP_GETOPT : OP_SETOPT, (unsigned)slot);

    st->option = asks ? ask[pick(m, COUNT(ask))] : set[pick(m, COUNT(set))];
    st->value = percent(m, 80);
}

static void add_end(struct maker *m, int slot, enum op op)
{
    add(m, op, (unsigned)slot);
    m->slot[slot].role = op == OP_INTERRUPT ? m->slot[slot].role : ENDED;
}

static void add_drain(struct maker *m, int slot)
{
    struct step *st = add(m, OP_DRAIN, (unsigned)slot);

    st->len = 1 + pick(m, 5000);
    st->value = percent(m, 70) ? BYTES_MAX : (int)(1 + pick(m, 20000));
}

static void add_shutdown(struct maker *m, int slot)
{
    static const int hows[] = {SHUT_WR, SHUT_WR, SHUT_RD, SHUT_RDWR, 7};

    add(m, OP_SHUTDOWN, (unsigned)slot)->value = hows[pick(m, COUNT(hows))];
}

static void add_fill(struct maker *m, int slot)
{
    add(m, OP_FILL, (unsigned)slot)->len = 1 + pick(m, 4000);
}

static void add_odd_connect(struct maker *m, int slot)
{
    struct step *st = add(m, OP_CONNECT, (unsigned)slot);

    st->other = (uint8_t)pick(m, SLOTS);
    st->to = (uint8_t)pick(m, TOS);
    st->wait = percent(m, 90) ? AT_ONCE : SHORT;
}

/* Something of the main flow's, which never waits for ever. */
static void add_something(struct maker *m, int slot)
{
    static const unsigned char weights[] = {22, 24, 6, 5, 4, 6, 5, 4, 4, 3, 2,
                                            5,  5,  4, 6, 4, 2, 1, 1, 1, 2, 0};
    unsigned what = weighted(m, weights);

    switch (what) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4: {
        static const enum op ops[] = {OP_SEND, OP_RECV, OP_SENDALL, OP_RECVFROM,
                                      OP_SENDTO};

        add_transfer(m, ops[what], slot);
        break;
    }
    case 5:
        add_urgent(m, slot);
        break;
    case 6:
        add_fds(m, slot);
        break;
    case 7:
        add_shutdown(m, slot);
        break;
    case 8:
        add_end(m, slot, OP_CLOSE);
        break;
    case 9:
        add_end(m, slot, OP_RESET);
        break;
    case 10:
        add_end(m, slot, OP_INTERRUPT);
        break;
    case 11:
        add_fill(m, slot);
        break;
    case 12:
        add_drain(m, slot);
        break;
    case 13:
        add(m, OP_GETNAMES, (unsigned)slot);
        break;
    case 14:
        add_option(m, slot);
        break;
    case 15:
        add(m, OP_POLL, (unsigned)slot);
        break;
    case 16:
        add_odd_connect(m, slot);
        break;
    case 17: {
        struct step *st = add(m, OP_ACCEPT, (unsigned)slot);

        st->other = SLOTS - 1;
        st->wait = some_wait(m, false);
        break;
    }
    case 18:
        add(m, OP_LISTEN, (unsigned)slot)->value = (int)pick(m, 3) - 1;
        break;
    case 19:
        add(m, OP_BIND, (unsigned)slot);
        break;
    default:
        add(m, OP_FLOOD, (unsigned)slot)->len =
            1 + pick(m, percent(m, 20) ? BYTES_MAX : 40000);
    }
}

/* --- the partner --------------------------------------------------------- */

/* What wakes one who receives on `slot`, or should not. */
static void act_on_receiver(struct maker *m, int slot, int peer)
{
    static const unsigned char weights[] = {50, 8, 8, 6, 10, 5, 4, 3, 3, 2, 0};
    struct step *st;

    switch (weighted(m, weights)) {
    case 0:
        st = add(m, m->slot[peer].role == CONNECTED ? OP_SEND : OP_SENDTO,
                 (unsigned)peer);
        st->other = (uint8_t)slot;
        st->len = some_length(m);
        break;
    case 1:
        add_urgent(m, peer);
        break;
    case 2:
        add_fds(m, peer);
        break;
    case 3:
        add(m, OP_SHUTDOWN, (unsigned)peer)->value = SHUT_WR;
        break;
    case 4:
        add_end(m, peer, OP_CLOSE);
        break;
    case 5:
        add_end(m, peer, OP_RESET);
        break;
    case 6:
        add(m, OP_SHUTDOWN, (unsigned)slot)->value = SHUT_RD;
        break;
    case 7:
        add_end(m, slot, OP_INTERRUPT);
        break;
    case 8:
        add_end(m, slot, OP_CLOSE);
        break;
    default:
        add(m, OP_POLL, (unsigned)slot);
    }
}

static void act_on_sender(struct maker *m, int slot, int peer)
{
    static const unsigned char weights[] = {45, 15, 10, 5, 5, 5, 5, 3, 0};
    struct step *st;

    switch (weighted(m, weights)) {
    case 0:
        add_drain(m, peer);
        break;
    case 1:
        st = add(m, OP_RECV, (unsigned)peer);
        st->len = some_length(m);
        break;
    case 2:
        add_end(m, peer, OP_CLOSE);
        break;
    case 3:
        add_end(m, peer, OP_RESET);
        break;
    case 4:
        add(m, OP_SHUTDOWN, (unsigned)peer)->value = SHUT_RD;
        break;
    case 5:
        add(m, OP_SHUTDOWN, (unsigned)slot)->value = SHUT_WR;
        break;
    case 6:
        add_end(m, slot, percent(m, 50) ? OP_INTERRUPT : OP_CLOSE);
        break;
    default:
        add(m, OP_POLL, (unsigned)slot);
    }
}

static struct step *add_partner(struct maker *m, enum op op, int slot)
{
    struct step *st = add(m, op, (unsigned)slot);

    st->partner = 1;
    st->wait = some_wait(m, true);
    st->end = (uint8_t)pick(m, ENDS);
    return st;
}

/* `count` acts were made since. */
static void acts_since(struct maker *m, struct step *st)
{
    st->acts = (uint8_t)(&m->p->step[m->p->count] - st - 1);
    if (st->end == END_CLOSE)
        m->slot[st->slot].role = ENDED; /* perhaps */
}

static void partner_receives(struct maker *m, int slot)
{
    int peer = m->slot[slot].peer < 0 ? slot : m->slot[slot].peer;
    struct step *st =
        add_partner(m, percent(m, 80) ? OP_RECV : OP_RECVFROM, slot);
    unsigned acts = pick(m, 4);

    st->len = some_length(m);
    st->flags = recv_flags(m);
    if (percent(m, 70))
        st->flags &= ~(MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE);
    while (acts--)
        act_on_receiver(m, slot, peer);
    acts_since(m, st);
}

static void partner_sends(struct maker *m, int slot)
{
    static const enum op ops[] = {OP_SEND, OP_SENDALL, OP_SENDTO};
    bool stream = m->slot[slot].type != SOCK_DGRAM;
    int peer = m->slot[slot].peer < 0 ? slot : m->slot[slot].peer;
    unsigned acts = pick(m, 4);
    struct step *st;

    if (m->slot[slot].place < INET_4 && percent(m, 70))
        add_fill(m, slot);
    st = add_partner(m, ops[pick(m, stream ? 2 : 3)], slot);
    st->other = (uint8_t)peer;
    st->len = percent(m, 50) ? some_length(m) : pick(m, 200000);
    st->flags = percent(m, 70) ? 0 : send_flags(m);
    while (acts--)
        act_on_sender(m, slot, peer);
    acts_since(m, st);
}

static void partner_accepts(struct maker *m, int slot)
{
    int a = free_slot(m), c = -1;
    struct step *st;

    if (a >= 0)
        made(m, (unsigned)a, FRESH, m->slot[slot].place, m->slot[slot].type);
    if (percent(m, 80))
        c = add_socket(m, m->slot[slot].place, m->slot[slot].type);
    st = add_partner(m, OP_ACCEPT, slot);
    st->other = (uint8_t)(a < 0 ? SLOTS - 1 : a);
    if (percent(m, 15))
        add(m, OP_SHUTDOWN, (unsigned)slot)->value = SHUT_RDWR;
    if (c >= 0) {
        add_connect(m, c, slot, AT_ONCE);
        if (a >= 0)
            joined(m, a, c);
    }
    acts_since(m, st);
}

static void partner_connects(struct maker *m, int slot, int other)
{
    int a = free_slot(m);
    struct step *st = add_partner(m, OP_CONNECT, slot);

    st->other = (uint8_t)other;
    if (m->slot[other].place < INET_4 && percent(m, 60) && a >= 0) {
        add(m, OP_ACCEPT, (unsigned)other)->other = (uint8_t)a;
        made(m, (unsigned)a, CONNECTED, m->slot[other].place,
             m->slot[other].type);
    } else if (percent(m, 30) && m->slot[other].place < INET_4) {
        add_end(m, other, OP_CLOSE);
    } else if (percent(m, 20)) {
        add_end(m, slot, OP_INTERRUPT);
    }
    acts_since(m, st);
    m->slot[slot].role = CONNECTED;
}

static void add_partners(struct maker *m, int slot)
{
    const struct model *s = &m->slot[slot];
    int i;

    if (s->role == LISTENING) {
        partner_accepts(m, slot);
    } else if (s->role == FRESH && s->type != SOCK_DGRAM) {
        for (i = 0; i < SLOTS - 1; i++)
            if (m->slot[i].role == LISTENING && m->slot[i].place == s->place)
                break;
        partner_connects(m, slot, i);
    } else if (percent(m, s->small ? 50 : 75)) {
        partner_receives(m, slot);
    } else {
        partner_sends(m, slot);
    }
}

/* --- a program ---------------------------------------------------------- */

void generate(struct program *p, uint64_t seed)
{
    static const unsigned char links[] = {60, 28, 12, 0};
    struct maker m = {.chance = seed * 0x2545f4914f6cdd1du + 1, .p = p};
    unsigned i, n;

    memset(p, 0, sizeof *p);
    p->seed = seed;
    p->far_worker = percent(&m, 50);
    n = 1 + weighted(&m, links);
    for (i = 0; i < n; i++)
        make_some(&m);
    n = 3 + pick(&m, 15);
    for (i = 0; i < n && p->count < STEPS_MAX - 12; i++) {
        int slot = some_slot(&m);

        if (percent(&m, 22))
            add_partners(&m, slot);
        else
            add_something(&m, slot);
        if (percent(&m, 3))
            make_some(&m);
    }
}
