/* SPDX-License-Identifier: MIT
 *
 * million_client.c - the other end of some thousand connections: plain blocking
 * calls, so that a connection costs this process an int, and the kernel a
 * socket.
 *
 * A window of messages is under way at a time. They are sent first, and their
 * answers looked at after that, so that the servers have something to do while
 * this process sleeps.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "million.h"

/* Messages on the way. */
#define WINDOW 64

/* Connections from one source address: a third of the ports that the kernel
 * may choose from, so that it need not search. */
#define PER_ADDRESS 8192

/* Seconds that a connection, or an answer, may take. The machine is busy. */
#define PATIENCE 60

/* After so many refusals there is no point in going on. */
#define MOST_FAILED 16

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24 /* Linux 4.2 */
#endif

static const struct role *me;
static int *fds;
static unsigned held;

/* --- messages ------------------------------------------------------------ */

/* A step of splitmix64. */
static uint64_t mixed(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* What connection `i` says in this sweep, and nobody else ever. */
static void compose(uint64_t message[MESSAGE_SIZE / 8], unsigned i,
                    unsigned sweep)
{
    uint64_t state = (uint64_t)me->number << 40 | (uint64_t)i << 8 | sweep;

    message[0] = state;
    for (int w = 1; w < MESSAGE_SIZE / 8; w++)
        message[w] = mixed(&state);
}

static void ask(unsigned i, unsigned sweep)
{
    uint64_t message[MESSAGE_SIZE / 8];

    compose(message, i, sweep);
    if (send(fds[i], message, sizeof message, MSG_NOSIGNAL) !=
        (ssize_t)sizeof message)
        count(me->tally, FAILED);
}

static void check(unsigned i, unsigned sweep)
{
    uint64_t expected[MESSAGE_SIZE / 8], message[MESSAGE_SIZE / 8];

    compose(expected, i, sweep);
    if (recv(fds[i], message, sizeof message, MSG_WAITALL) !=
        (ssize_t)sizeof message)
        count(me->tally, FAILED);
    else if (memcmp(message, expected, sizeof message) != 0)
        count(me->tally, WRONG);
    else
        count(me->tally, ANSWERED);
}

static void sweep_all(unsigned sweep)
{
    for (unsigned first = 0; first < held; first += WINDOW) {
        unsigned end = held - first > WINDOW ? first + WINDOW : held;

        for (unsigned i = first; i < end; i++)
            ask(i, sweep);
        for (unsigned i = first; i < end; i++)
            check(i, sweep);
        if (atomic_load(&me->tally->counts[FAILED]) > MOST_FAILED)
            return;
    }
}

/* --- connections ---------------------------------------------------------- */

/* An address of its own has as many ports as any; the loopback network has
 * 16 million of them. */
static struct sockaddr_in source(unsigned i)
{
    unsigned each = me->limit / PER_ADDRESS + 1;
    unsigned n = me->number * each + i / PER_ADDRESS;

    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl((127U << 24 | 1U << 16) + 1 + n),
    };
}

/* The port is chosen by connect, which knows what the other end is. And the
 * end of a connection is a reset: a million that wait for late segments
 * (TIME_WAIT) would be in the way of everybody. */
static bool prepare(int fd, unsigned i)
{
    struct sockaddr_in from = source(i);
    struct linger reset = {.l_onoff = 1};
    struct timeval patience = {.tv_sec = PATIENCE};
    int on = 1;

    return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
                      sizeof on) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
                      sizeof patience) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
                      sizeof patience) == 0 &&
           bind(fd, (struct sockaddr *)&from, sizeof from) == 0;
}

static bool open_one(void)
{
    const struct sockaddr_in *to = &me->addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    if (!prepare(fd, held) ||
        connect(fd, (const struct sockaddr *)to, sizeof *to) < 0) {
        int saved = errno;

        close(fd);
        errno = saved;
        return false;
    }
    fds[held++] = fd;
    count(me->tally, HELD);
    return true;
}

static void open_more(unsigned more)
{
    while (more > 0 && held < me->limit && open_one())
        more--;
    if (more == 0)
        return;
    fprintf(stderr, "million: client %u: connection %u: %s\n", me->number, held,
            strerror(errno));
    count(me->tally, FAILED);
}

static void close_all(void)
{
    while (held > 0) {
        close(fds[--held]);
        count(me->tally, ENDED);
    }
}

/* --- orders ------------------------------------------------------------ */

static void obey(struct order order)
{
    switch (order.kind) {
    case OPEN:
        open_more(order.count);
        break;
    case SWEEP:
        sweep_all(order.count);
        break;
    case CLOSE:
        close_all();
        break;
    }
}

int million_client(const struct role *role)
{
    struct order order;

    me = role;
    fds = calloc(me->limit, sizeof *fds);
    if (!fds || write(me->control, "", 1) != 1)
        return 1;
    while (read(me->control, &order, sizeof order) == (ssize_t)sizeof order) {
        obey(order);
        if (write(me->control, "", 1) != 1)
            break;
    }
    free(fds);
    return 0;
}
