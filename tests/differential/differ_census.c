/* SPDX-License-Identifier: MIT
 *
 * differ_census.c - what the programs reach: how often each call was made, on
 * what, with which flags, and what came of it, as the leader saw it. A test
 * that never gets to the interesting places passes, too; so the table at the
 * end names them, and how often they must occur.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "differ.h"

enum { ERRNOS = 140, ZERO = 138, MORE_THAN_ZERO = 139, FLAG_BITS = 32 };

struct census {
    atomic_ulong programs, steps;
    atomic_ulong outcome[OPS][ERRNOS];
    atomic_ulong flag[OPS][FLAG_BITS];
    atomic_ulong wait[OPS][WAITS];
    atomic_ulong place[PLACES][3]; /* sockets made */
    atomic_ulong partner[OPS], blocked[OPS];
    atomic_ulong ended[OPS][ENDS];
    atomic_ulong woken[OPS][OPS]; /* the partner's, by the main flow's act */
};

struct census *census_new(void)
{
    void *c = mmap(NULL, sizeof(struct census), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return c == MAP_FAILED ? NULL : c;
}

static void count(atomic_ulong *n)
{
    atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

/* Which act ended the wait: the one after which it had ended. */
static void take_partner(struct census *c, const struct program *p,
                         const struct record *rec, unsigned i)
{
    const struct step *st = &p->step[i];
    const struct outcome *out = &rec->step[i];
    unsigned k;

    count(&c->partner[st->op]);
    if (!out->blocked)
        return;
    count(&c->blocked[st->op]);
    if (out->ended) {
        count(&c->ended[st->op][st->end]);
        return;
    }
    for (k = i + 1; k <= i + st->acts; k++)
        if (rec->step[k].before.done)
            break;
    count(&c->woken[st->op][p->step[k - 1].op]);
}

void census_take(struct census *c, const struct program *p,
                 const struct record *rec)
{
    unsigned i, bit;

    count(&c->programs);
    for (i = 0; i < p->count; i++) {
        const struct step *st = &p->step[i];
        const struct outcome *out = &rec->step[i];

        if (!out->ran)
            continue;
        count(&c->steps);
        if (out->res >= 0)
            count(&c->outcome[st->op][out->res ? MORE_THAN_ZERO : ZERO]);
        else
            count(&c->outcome[st->op][out->err < ZERO ? out->err : 0]);
        for (bit = 0; bit < FLAG_BITS; bit++)
            if ((unsigned)st->flags >> bit & 1)
                count(&c->flag[st->op][bit]);
        count(&c->wait[st->op][st->wait]);
        if (st->op == OP_SOCKET || st->op == OP_PAIR)
            count(&c->place[st->place][st->type == SOCK_STREAM  ? 0
                                       : st->type == SOCK_DGRAM ? 1
                                                                : 2]);
        if (st->partner)
            take_partner(c, p, rec, i);
    }
}

/* --- shown --------------------------------------------------------------- */

static void show_outcomes(FILE *out, const struct census *c, unsigned op)
{
    unsigned i;

    fprintf(out, "%-11s", op_name(op));
    if (c->outcome[op][MORE_THAN_ZERO])
        fprintf(out, " >0:%lu", c->outcome[op][MORE_THAN_ZERO]);
    if (c->outcome[op][ZERO])
        fprintf(out, " 0:%lu", c->outcome[op][ZERO]);
    for (i = 0; i < ZERO; i++)
        if (c->outcome[op][i])
            fprintf(out, " %s:%lu", strerrorname_np((int)i), c->outcome[op][i]);
    fprintf(out, "\n");
}

static void show_flags(FILE *out, const struct census *c, unsigned op)
{
    char name[64];
    bool any = false;
    unsigned i;

    for (i = 0; i < FLAG_BITS; i++)
        if (c->flag[op][i]) {
            fprintf(out, any ? " %s:%lu" : "  flags     %s:%lu",
                    flags_text((int)(1u << i), name, sizeof name),
                    c->flag[op][i]);
            any = true;
        }
    if (any)
        fprintf(out, "\n");
}

static void show_partner(FILE *out, const struct census *c, unsigned op)
{
    unsigned i;

    if (!c->partner[op])
        return;
    fprintf(out,
            "  partner   %lu, waited %lu; interrupted %lu, cancelled %lu, "
            "closed %lu; ended by",
            c->partner[op], c->blocked[op], c->ended[op][END_INTERRUPT],
            c->ended[op][END_CANCEL], c->ended[op][END_CLOSE]);
    for (i = 0; i < OPS; i++)
        if (c->woken[op][i])
            fprintf(out, " %s:%lu", op_name(i), c->woken[op][i]);
    fprintf(out, "\n");
}

void census_show(FILE *out, const struct census *c)
{
    static const char *const places[] = {"unix path", "unix abstract, pair",
                                         "inet", "inet6"};
    unsigned i;

    fprintf(out, "%lu programs, %lu steps\n", c->programs, c->steps);
    for (i = 0; i < PLACES; i++)
        fprintf(out, "%-20s stream:%lu datagram:%lu seqpacket:%lu\n", places[i],
                c->place[i][0], c->place[i][1], c->place[i][2]);
    for (i = 0; i < OPS; i++) {
        show_outcomes(out, c, i);
        show_flags(out, c, i);
        show_partner(out, c, i);
    }
}

/* --- what must be reached ------------------------------------------------ */

/* How often, in ten thousand programs, something must occur at least. */
static const struct {
    enum op op;
    int err;
    unsigned least;
} outcomes[] = {
    {OP_RECV, EAGAIN, 500},
    {OP_RECV, ETIMEDOUT, 100},
    {OP_RECV, ECANCELED, 300},
    {OP_RECV, ECONNRESET, 20},
    {OP_RECV, ECONNREFUSED, 5},
    {OP_RECV, ENOTCONN, 20},
    {OP_RECV, EINVAL, 50},
    {OP_RECV, EOPNOTSUPP, 20},
    {OP_RECV, 0, 1000},
    {OP_RECVFROM, 0, 300},
    {OP_RECVFROM, ECANCELED, 50},
    {OP_SEND, EAGAIN, 50},
    {OP_SEND, EPIPE, 100},
    {OP_SEND, ECONNRESET, 5},
    {OP_SEND, ETIMEDOUT, 5},
    {OP_SEND, ECANCELED, 50},
    {OP_SEND, ENOTCONN, 10},
    {OP_SEND, EMSGSIZE, 20},
    {OP_SEND, ECONNREFUSED, 10},
    {OP_SENDALL, 0, 300},
    {OP_SENDALL, ECANCELED, 50},
    {OP_SENDALL, EAGAIN, 20},
    {OP_SENDTO, 0, 50},
    {OP_SENDTO, EISCONN, 20},
    {OP_ACCEPT, 0, 1000},
    {OP_ACCEPT, EAGAIN, 50},
    {OP_ACCEPT, ECANCELED, 50},
    {OP_ACCEPT, EINVAL, 20},
    {OP_CONNECT, 0, 1000},
    {OP_CONNECT, ECONNREFUSED, 300},
    {OP_CONNECT, ENOENT, 50},
    {OP_CONNECT, EISCONN, 20},
    {OP_CONNECT, ECANCELED, 50},
    {OP_CONNECT, EAGAIN, 1},
    {OP_CONNECT, EINPROGRESS, 50},
    {OP_FDS, 0, 300},
    {OP_FLOOD, 0, 100},
    {OP_RESET, 0, 300},
};

/* The partner waited, and this act let it go on. */
static const struct {
    enum op op, act;
    unsigned least;
} wakes[] = {
    {OP_RECV, OP_SEND, 200},      {OP_RECV, OP_FDS, 20},
    {OP_RECV, OP_CLOSE, 50},      {OP_RECV, OP_RESET, 20},
    {OP_RECV, OP_SHUTDOWN, 30},   {OP_RECV, OP_INTERRUPT, 10},
    {OP_SEND, OP_DRAIN, 30},      {OP_SEND, OP_CLOSE, 10},
    {OP_SENDALL, OP_DRAIN, 30},   {OP_SENDTO, OP_DRAIN, 5},
    {OP_ACCEPT, OP_CONNECT, 100}, {OP_ACCEPT, OP_SHUTDOWN, 10},
    {OP_CONNECT, OP_ACCEPT, 10},
};

static bool enough(FILE *out, const struct census *c, unsigned long n,
                   unsigned least, const char *what, const char *how)
{
    if (n * 10000 >= (unsigned long)least * c->programs)
        return true;
    fprintf(out, "%s, %s: %lu in %lu programs; %u in 10000 are wanted\n", what,
            how, n, c->programs, least);
    return false;
}

bool census_enough(FILE *out, const struct census *c)
{
    bool all = true;
    unsigned i;

    for (i = 0; i < COUNT(outcomes); i++) {
        const atomic_ulong *of = c->outcome[outcomes[i].op];
        unsigned long n = outcomes[i].err ? of[outcomes[i].err]
                                          : of[ZERO] + of[MORE_THAN_ZERO];

        all &= enough(out, c, n, outcomes[i].least, op_name(outcomes[i].op),
                      outcomes[i].err ? strerrorname_np(outcomes[i].err)
                                      : "success");
    }
    for (i = 0; i < COUNT(wakes); i++)
        all &=
            enough(out, c, c->woken[wakes[i].op][wakes[i].act], wakes[i].least,
                   op_name(wakes[i].op), op_name(wakes[i].act));
    for (i = OP_RECV; i <= OP_SENDALL; i++)
        all &= enough(out, c,
                      c->ended[i][END_INTERRUPT] && c->ended[i][END_CANCEL] &&
                              c->ended[i][END_CLOSE]
                          ? c->programs
                          : 0,
                      1, op_name(i), "each way to end it");
    return all;
}
