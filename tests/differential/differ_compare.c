/* SPDX-License-Identifier: MIT
 *
 * differ_compare.c - what must be equal, what is known to differ, and how it
 * is all printed.
 *
 * Not compared, since no performer decides it:
 *
 *   - whether TCP's calls waited in the middle of a flood, and how often;
 *   - what of TCP's bytes have been acknowledged (SIOCOUTQ);
 *   - what a peek has seen that was put to an end, or waited for all;
 *   - a program with a full backlog that took so long that the kernel has tried
 *     again to connect;
 *   - addresses and ports as such: who they belong to is compared;
 *   - MSG_PEEK | MSG_WAITALL on TCP once MSG_OOB was asked for: the kernel's
 *     ends at the mark of an urgent byte that was taken, of which it tells
 *     nobody, so that Krait's goes on to the end (WAITALL is left out then);
 *   - MSG_PEEK for no bytes at a Unix stream's urgent byte: a call that may
 *     wait spins in the kernel (Linux 6.18; PEEK is left out then).
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "differ.h"

/* --- names --------------------------------------------------------------- */

static const char *const op_names[OPS] = {
    [OP_SOCKET] = "socket",       [OP_PAIR] = "socketpair",
    [OP_BIND] = "bind",           [OP_LISTEN] = "listen",
    [OP_ACCEPT] = "accept",       [OP_CONNECT] = "connect",
    [OP_RECV] = "recv",           [OP_RECVFROM] = "recvfrom",
    [OP_SEND] = "send",           [OP_SENDALL] = "sendall",
    [OP_SENDTO] = "sendto",       [OP_FDS] = "send fds",
    [OP_FILL] = "fill",           [OP_DRAIN] = "drain",
    [OP_FLOOD] = "flood",         [OP_SHUTDOWN] = "shutdown",
    [OP_CLOSE] = "close",         [OP_RESET] = "reset",
    [OP_INTERRUPT] = "interrupt", [OP_GETNAMES] = "names",
    [OP_GETOPT] = "getsockopt",   [OP_SETOPT] = "setsockopt",
    [OP_POLL] = "poll",
};

static const char *const place_names[PLACES] = {"path", "abstract", "inet",
                                                "inet6"};
static const char *const wait_names[WAITS] = {"at once", "2 ms", "60 s",
                                              "forever"};
static const char *const end_names[ENDS] = {"interrupt", "cancel", "close"};
static const char *const to_names[TOS] = {"", " dead", " nothing", " unspec"};

const char *op_name(unsigned op)
{
    return op < OPS ? op_names[op] : "?";
}

static const char *type_name(unsigned type)
{
    return type == SOCK_STREAM  ? "stream"
           : type == SOCK_DGRAM ? "datagram"
                                : "seqpacket";
}

const char *flags_text(int flags, char *buf, size_t size)
{
    static const struct {
        int flag;
        const char *name;
    } names[] = {{MSG_PEEK, "PEEK"},
                 {MSG_WAITALL, "WAITALL"},
                 {MSG_DONTWAIT, "DONTWAIT"},
                 {MSG_TRUNC, "TRUNC"},
                 {MSG_OOB, "OOB"},
                 {MSG_ERRQUEUE, "ERRQUEUE"},
                 {MSG_MORE, "MORE"},
                 {MSG_NOSIGNAL, "NOSIGNAL"},
                 {MSG_DONTROUTE, "DONTROUTE"},
                 {MSG_CTRUNC, "CTRUNC"},
                 {MSG_EOR, "EOR"},
                 {MSG_CONFIRM, "CONFIRM"},
                 {MSG_CMSG_CLOEXEC, "CLOEXEC"}};
    size_t used = 0, i;

    buf[0] = '\0';
    for (i = 0; i < COUNT(names); i++)
        if (flags & names[i].flag)
            used +=
                (size_t)snprintf(buf + used, size - used, "|%s", names[i].name);
    return buf[0] ? buf + 1 : "0";
}

static void transfer_text(const struct step *st, char *buf, size_t size)
{
    char flags[160];

    snprintf(buf, size, "(%u, %u, %s)", st->slot, st->len,
             flags_text(st->flags, flags, sizeof flags));
}

/* What stands in the brackets, for each kind. */
static void arguments_text(const struct step *st, char *buf, size_t size)
{
    switch (st->op) {
    case OP_SOCKET:
        snprintf(buf, size, "(%s, %s) -> %u", place_names[st->place],
                 type_name(st->type), st->slot);
        break;
    case OP_PAIR:
        snprintf(buf, size, "(%s) -> %u, %u", type_name(st->type), st->slot,
                 st->other);
        break;
    case OP_ACCEPT:
        snprintf(buf, size, "(%u) -> %u", st->slot, st->other);
        break;
    case OP_CONNECT:
        snprintf(buf, size, "(%u, to%s %u)", st->slot, to_names[st->to],
                 st->other);
        break;
    case OP_SENDTO:
        transfer_text(st, buf, size);
        snprintf(buf + strlen(buf), size - strlen(buf), " to %u", st->other);
        break;
    case OP_RECV:
    case OP_RECVFROM:
    case OP_SEND:
    case OP_SENDALL:
        transfer_text(st, buf, size);
        break;
    case OP_FDS:
    case OP_FILL:
    case OP_DRAIN:
    case OP_FLOOD:
        snprintf(buf, size, "(%u, %u, %d)", st->slot, st->len, st->value);
        break;
    case OP_GETOPT:
    case OP_SETOPT:
        snprintf(buf, size, "(%u, %s, %d)", st->slot, option_name(st->option),
                 st->value);
        break;
    case OP_LISTEN:
    case OP_SHUTDOWN:
        snprintf(buf, size, "(%u, %d)", st->slot, st->value);
        break;
    default:
        snprintf(buf, size, "(%u)", st->slot);
    }
}

static bool may_wait(unsigned op)
{
    return op == OP_ACCEPT || (op >= OP_CONNECT && op <= OP_SENDTO);
}

const char *step_text(const struct step *st, char *buf, size_t size)
{
    char arguments[256];
    size_t used;

    arguments_text(st, arguments, sizeof arguments);
    used = (size_t)snprintf(buf, size, "%s%s", op_name(st->op), arguments);
    if (may_wait(st->op))
        used += (size_t)snprintf(buf + used, size - used, ", %s",
                                 wait_names[st->wait]);
    if (st->partner)
        snprintf(buf + used, size - used, "; the partner's, %u acts, then %s",
                 st->acts, end_names[st->end]);
    return buf;
}

static const char *errno_text(int err, char *buf, size_t size)
{
    const char *name = strerrorname_np(err);

    if (name)
        return name;
    snprintf(buf, size, "%d", err);
    return buf;
}

static const char *outcome_text(const struct outcome *out, char *buf,
                                size_t size)
{
    char number[16];
    size_t used;

    if (!out->ran)
        return "-";
    used = (size_t)(out->res < 0
                        ? snprintf(buf, size, "%s",
                                   errno_text(out->err, number, sizeof number))
                        : snprintf(buf, size, "%lld", (long long)out->res));
    if (out->extra)
        used +=
            (size_t)snprintf(buf + used, size - used, " +%d", (int)out->extra);
    snprintf(buf + used, size - used, " #%08x%s%s%s%s", out->sum,
             out->blocked ? " waited" : "", out->ended ? " ended" : "",
             out->before.done ? ", the partner was done" : "",
             out->before.late || out->after.late ? " LATE" : "");
    return buf;
}

/* --- differences --------------------------------------------------------- */

/* The one place for what is known to differ:
 *
 *   - An error that came after some bytes: the kernel's blocking call leaves it
 *     in the socket, where poll(2) shows POLLERR; Krait has asked for it, and
 *     keeps it for the next call (docs/decisions.md). SO_ERROR, asked through
 *     Krait, tells it all the same, and is compared. */
static int known(int events)
{
    return events & KEPT_ERROR ? (events | POLLERR) & ~KEPT_ERROR : events;
}

static bool same_events(int a, int b)
{
    return known(a) == known(b);
}

/* A peek leaves no trace, so that nobody can tell whether it has looked since
 * the last act, and one with MSG_WAITALL looks often. */
static bool is_ended_peek(const struct step *st, const struct outcome *a,
                          const struct outcome *b)
{
    if (!(st->flags & MSG_PEEK) || !st->partner || !a->blocked || !b->blocked)
        return false;
    return (st->flags & MSG_WAITALL) || (a->ended && b->ended) ||
           a->err == ECANCELED || b->err == ECANCELED;
}

static bool same_step(const struct step *st, const struct outcome *a,
                      const struct outcome *b)
{
    if (is_ended_peek(st, a, b))
        return true;
    if (a->ran != b->ran || a->err != b->err || a->sum != b->sum ||
        a->extra != b->extra || a->ended != b->ended ||
        a->before.done != b->before.done ||
        (st->partner && a->after.done != b->after.done))
        return false;
    if (b->before.late || b->after.late)
        return false;
    if (st->op == OP_POLL && a->res >= 0)
        return same_events((int)a->res, (int)b->res);
    return a->res == b->res;
}

static bool same_left(const struct left *a, const struct left *b)
{
    return a->open == b->open && same_events(a->events, b->events) &&
           a->error == b->error && a->mark == b->mark && a->bytes == b->bytes &&
           a->sum == b->sum && a->err == b->err;
}

static void left_text(const struct left *left, char *buf, size_t size)
{
    snprintf(buf, size,
             "open %d, events %#x, SO_ERROR %d, mark %d, left %lld #%08x, then "
             "errno %d",
             left->open, (unsigned)left->events, left->error, left->mark,
             (long long)left->bytes, left->sum, left->err);
}

bool differs(const struct program *p, const struct record *lead,
             const struct record *rec, char *words, size_t size, unsigned *at)
{
    char a[256], b[256], st[400];
    unsigned i;

    if (lead->too_slow || rec->too_slow)
        return false;
    for (i = 0; i < p->count; i++) {
        if (same_step(&p->step[i], &lead->step[i], &rec->step[i]))
            continue;
        *at = i;
        snprintf(words, size, "step %u, %s: %s, but libc %s", i,
                 step_text(&p->step[i], st, sizeof st),
                 outcome_text(&rec->step[i], b, sizeof b),
                 outcome_text(&lead->step[i], a, sizeof a));
        return true;
    }
    *at = p->count;
    for (i = 0; i < SLOTS; i++) {
        if (same_left(&lead->left[i], &rec->left[i]))
            continue;
        left_text(&rec->left[i], b, sizeof b);
        left_text(&lead->left[i], a, sizeof a);
        snprintf(words, size, "at the end, socket %u: %s; but libc: %s", i, b,
                 a);
        return true;
    }
    words[0] = '\0';
    return false;
}

/* --- a program, printed -------------------------------------------------- */

static void show_left(FILE *out, const struct performer *performers,
                      unsigned count, const struct record *records)
{
    char text[256];
    unsigned i, k;

    for (i = 0; i < SLOTS; i++)
        for (k = 0; k < count; k++)
            if (records[k].left[i].open) {
                left_text(&records[k].left[i], text, sizeof text);
                fprintf(out, "     %u left, %-12s %s\n", i, performers[k].name,
                        text);
            }
}

void show_program(FILE *out, const struct program *p,
                  const struct performer *performers, unsigned count,
                  const struct record *records)
{
    char text[400], result[256];
    unsigned i, k, acts = 0;

    fprintf(out, "seed %llu\n", (unsigned long long)p->seed);
    for (i = 0; i < p->count; i++) {
        if (p->skip[i])
            continue;
        fprintf(out, "%3u  %s%s\n", i, i < acts ? "  > " : "",
                step_text(&p->step[i], text, sizeof text));
        if (p->step[i].partner)
            acts = i + 1 + p->step[i].acts;
        for (k = 0; k < count; k++)
            fprintf(out, "       %-12s %s\n", performers[k].name,
                    outcome_text(&records[k].step[i], result, sizeof result));
    }
    show_left(out, performers, count, records);
}
