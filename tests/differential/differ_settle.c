/* SPDX-License-Identifier: MIT
 *
 * differ_settle.c - until what was sent has arrived.
 *
 * Unix sockets deliver inside the call that sends (but see the end of a peer).
 * Loopback nearly always does, too, but leaves it to a kernel thread when the
 * machine is busy; then what the next call sees would be a matter of luck. So
 * after each step the kernel is asked, for each connection, whether the one end
 * has received what the other has sent. Nothing is read or changed by that, but
 * for MSG_MORE: what it holds back for up to 200 ms is pushed.
 *
 * The same for every performer, on the bare fds.
 */
#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "differ.h"

#define PATIENCE_NS INT64_C(2000000000)

atomic_uint unsettled;

/* linux/tcp.h has struct tcp_info whole, netinet/tcp.h has the states, and the
 * two can't be had together. */
enum {
    ESTABLISHED = 1,
    SYN_SENT,
    SYN_RECV,
    FIN_WAIT1,
    FIN_WAIT2,
    TIME_WAIT,
    CLOSED,
    CLOSE_WAIT,
    LAST_ACK,
    LISTEN,
    CLOSING
};

int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

bool is_inet(const struct slot *s)
{
    return s->place >= INET_4;
}

bool is_tcp(const struct slot *s)
{
    return is_inet(s) && s->type == SOCK_STREAM;
}

bool is_udp(const struct slot *s)
{
    return is_inet(s) && s->type == SOCK_DGRAM;
}

static bool ask(const struct slot *s, struct tcp_info *info)
{
    socklen_t len = sizeof *info;

    memset(info, 0, sizeof *info);
    return s->fd >= 0 && is_tcp(s) &&
           getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0;
}

/* No FIN has come yet, and nothing else has ended it. */
static bool is_open(unsigned state)
{
    return state == ESTABLISHED || state == FIN_WAIT1 || state == FIN_WAIT2;
}

/* A listener whose queue is full answers no SYN: there is nothing to wait
 * for. It has the two numbers in fields of other meanings. */
static bool queue_is_full(const struct world *w, int target)
{
    struct tcp_info info;

    if (target < 0 || !ask(&w->slot[target], &info))
        return false;
    return info.tcpi_state == LISTEN && info.tcpi_unacked > info.tcpi_sacked;
}

static bool arrived(const struct slot *from, const struct tcp_info *a,
                    const struct slot *to)
{
    struct tcp_info b;

    (void)from;
    if (!ask(to, &b) || b.tcpi_state == CLOSED)
        return true;
    if (b.tcpi_bytes_received + a->tcpi_bytes_retrans < a->tcpi_bytes_sent)
        return false;
    switch (a->tcpi_state) {
    case FIN_WAIT1:
    case FIN_WAIT2:
    case CLOSING:
    case LAST_ACK:
    case TIME_WAIT:
    case CLOSED:
        return !is_open(b.tcpi_state);
    default:
        return true;
    }
}

static bool tcp_is_settled(struct world *w, unsigned i)
{
    const struct slot *s = &w->slot[i], *peer;
    struct tcp_info a;

    if (!ask(s, &a) || s->listening)
        return true;
    if (a.tcpi_state == SYN_SENT)
        return queue_is_full(w, s->target) && (w->syn_waits = true);
    if (a.tcpi_state == LAST_ACK) /* which comes at once */
        return false;
    if (s->peer < 0)
        return true;
    peer = &w->slot[s->peer];
    if (peer->fd >= 0 && peer->peer == (int)i)
        return arrived(s, &a, peer);
    if (peer->fd >= 0 || !s->peer_closed)
        return true;
    return a.tcpi_bytes_sent > s->sent_at_close ? a.tcpi_state == CLOSED
                                                : !is_open(a.tcpi_state);
}

/* A Unix socket sees its peer's end when the last reference is gone; another
 * worker's epoll_wait(2), or poll(2), may hold one for a moment longer. */
static bool unix_is_settled(struct world *w, unsigned i)
{
    const struct slot *s = &w->slot[i];
    struct pollfd p = {.fd = s->fd};

    return !s->peer_closed || s->type == SOCK_DGRAM ||
           (poll(&p, 1, 0) > 0 && (p.revents & POLLHUP));
}

static void push(struct slot *s)
{
    int on = 1;

    if (!s->corked || s->fd < 0 || !is_tcp(s))
        return;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    s->corked = false;
}

static void give_up(struct world *w)
{
    w->impatient = true;
    if (atomic_fetch_add(&unsettled, 1) == 0)
        fprintf(stderr, "differ: seed %llu, step %u: loopback is slow\n",
                (unsigned long long)w->program->seed, atomic_load(&w->now));
}

static void wait_until(struct world *w,
                       bool (*settled)(struct world *w, unsigned i), unsigned i)
{
    int64_t until = now_ns() + (w->impatient ? PATIENCE_NS / 200 : PATIENCE_NS);
    unsigned turn = 0;

    while (!settled(w, i)) {
        if (now_ns() > until) {
            give_up(w);
            return;
        }
        w->performer->flows->pause(turn++);
    }
}

void settle(struct world *w)
{
    unsigned i;

    for (i = 0; i < SLOTS; i++)
        if (w->slot[i].fd >= 0 && is_tcp(&w->slot[i])) {
            push(&w->slot[i]);
            wait_until(w, tcp_is_settled, i);
        } else if (w->slot[i].fd >= 0 && !is_inet(&w->slot[i])) {
            wait_until(w, unix_is_settled, i);
        }
}

uint64_t tcp_sent(const struct slot *s)
{
    struct tcp_info info;

    return ask(s, &info) ? info.tcpi_bytes_sent : 0;
}

/* --- UDP ----------------------------------------------------------------- */

uint32_t udp_held(const struct slot *s)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof info;

    if (s->fd >= 0)
        getsockopt(s->fd, SOL_SOCKET, SO_MEMINFO, info, &len);
    return info[SK_MEMINFO_RMEM_ALLOC] + info[SK_MEMINFO_DROPS];
}

static bool has_error(const struct slot *s)
{
    struct pollfd p = {.fd = s->fd};

    return poll(&p, 1, 0) > 0 && (p.revents & POLLERR);
}

/* Whether a datagram of `from` gets to `to`, or else whether `from` is told
 * that it does not. */
static bool is_for(const struct world *w, const struct slot *from, int to)
{
    const struct slot *s = &w->slot[to];

    return s->fd >= 0 && is_udp(s) && s->place == from->place &&
           (s->peer == -1 || (s->peer >= 0 && &w->slot[s->peer] == from));
}

void settle_udp(struct world *w, struct slot *from, int to, uint32_t held)
{
    int64_t until = now_ns() + PATIENCE_NS / 100;
    unsigned turn = 0;

    /* The partner may take it, or the error, before anybody can look. */
    if (w->pending >= 0)
        return;
    for (;;) {
        if (to >= 0 && is_for(w, from, to)) {
            if (udp_held(&w->slot[to]) != held)
                return;
        } else if (from->peer != (to >= 0 ? to : PEER_UNKNOWN) ||
                   has_error(from)) {
            return;
        }
        if (now_ns() > until)
            break;
        w->performer->flows->pause(turn++);
    }
    give_up(w);
}
