/* SPDX-License-Identifier: MIT
 *
 * micro_sockets.c - what Krait adds to send(2) and recv(2), over both ends of
 * a pair of Unix stream sockets, 64 bytes at a time.
 *
 * Where the bytes are there already nobody waits, and the difference to the
 * bare system calls, which are given the flags that Krait gives them, is the
 * price of the calls alone. (On io_uring a fiber's receive from a Unix socket
 * goes through the ring all the same: with MSG_DONTWAIT it does not.)
 */
#include <krait.h>
#include <sys/socket.h>

#include "micro.h"

enum { SIZE = 64 };

static krait_sock *pair[2];
static krait_fiber *partner;
static char buf[SIZE];

static void begin_pair(void)
{
    micro_check(krait_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0,
                "krait_socketpair");
}

static void begin_timed(void)
{
    begin_pair();
    krait_settimeout(pair[0], 30);
    krait_settimeout(pair[1], 30);
}

static void end_pair(void)
{
    krait_close(pair[0]);
    krait_close(pair[1]);
}

/* --- nobody waits ------------------------------------------------------ */

static void raw(long times)
{
    int from = krait_fileno(pair[0]), to = krait_fileno(pair[1]);

    while (times-- > 0)
        micro_check(send(from, buf, SIZE, MSG_NOSIGNAL | MSG_DONTWAIT) ==
                            SIZE &&
                        recv(to, buf, SIZE, MSG_DONTWAIT) == SIZE,
                    "send, recv");
}

static void with_krait(long times)
{
    while (times-- > 0)
        micro_check(krait_sendall(pair[0], buf, SIZE, 0) == 0 &&
                        krait_recv(pair[1], buf, SIZE, 0) == SIZE,
                    "krait_sendall, krait_recv");
}

static void with_krait_dontwait(long times)
{
    while (times-- > 0)
        micro_check(krait_sendall(pair[0], buf, SIZE, 0) == 0 &&
                        krait_recv(pair[1], buf, SIZE, MSG_DONTWAIT) == SIZE,
                    "krait_sendall, krait_recv");
}

/* --- two fibers, which wait for each other ----------------------------- */

static int answer(void *arg)
{
    char own[SIZE];
    ssize_t n;

    (void)arg;
    while ((n = krait_recv(pair[1], own, sizeof own, 0)) > 0)
        krait_sendall(pair[1], own, (size_t)n, 0);
    return 0;
}

static void begin_partner(void)
{
    begin_pair();
    partner = krait_spawn(answer, NULL, NULL);
    micro_check(partner, "krait_spawn");
}

static void begin_partner_timed(void)
{
    begin_timed();
    partner = krait_spawn(answer, NULL, NULL);
    micro_check(partner, "krait_spawn");
}

static void end_partner(void)
{
    krait_shutdown(pair[0], SHUT_WR);
    krait_join(partner, NULL);
    end_pair();
}

static void ask(long times)
{
    while (times-- > 0)
        micro_check(krait_sendall(pair[0], buf, SIZE, 0) == 0 &&
                        krait_recv(pair[0], buf, SIZE, 0) == SIZE,
                    "krait_sendall, krait_recv");
}

#define RAW  "send+recv, bytes there: system calls"
#define OURS "sendall+recv, bytes there: Krait's calls"
#define LESS "sendall+recv(DONTWAIT), bytes there: Krait's"

const struct micro_item micro_sockets[] = {
    {
        .name = RAW,
        .places = IN_THREAD | IN_FIBER,
        .run = raw,
        .begin = begin_pair,
        .end = end_pair,
        .yardstick = "getppid",
    },
    {
        .name = OURS,
        .places = IN_THREAD | IN_FIBER,
        .run = with_krait,
        .begin = begin_pair,
        .end = end_pair,
        .yardstick = RAW,
    },
    {
        .name = "what Krait's two calls add",
        .places = IN_THREAD | IN_FIBER,
        .more = OURS,
        .less = RAW,
        .yardstick = "getppid",
    },
    {
        .name = LESS,
        .places = IN_THREAD | IN_FIBER,
        .run = with_krait_dontwait,
        .begin = begin_pair,
        .end = end_pair,
        .yardstick = RAW,
    },
    {
        .name = "what Krait's two calls add, DONTWAIT",
        .places = IN_THREAD | IN_FIBER,
        .more = LESS,
        .less = RAW,
        .yardstick = "getppid",
    },
    {
        .name = "sendall+recv, bytes there, timeout 30 s",
        .places = IN_THREAD | IN_FIBER,
        .run = with_krait,
        .begin = begin_timed,
        .end = end_pair,
        .yardstick = RAW,
    },
    {
        .name = "ping-pong of two fibers, there and back",
        .places = IN_FIBER,
        .run = ask,
        .begin = begin_partner,
        .end = end_partner,
        .yardstick = RAW,
    },
    {
        .name = "ping-pong of two fibers, timeout 30 s",
        .places = IN_FIBER,
        .run = ask,
        .begin = begin_partner_timed,
        .end = end_partner,
        .yardstick = RAW,
    },
    {0},
};
