/* SPDX-License-Identifier: MIT
 *
 * fan_out.c - a client that opens as many connections as it may, a fiber for
 * each, holds them all, and then has every one say a line and check the
 * answer, which is server.c's:
 *
 *     fiber_server 127.0.0.1:8001 &
 *     fan_out 127.0.0.1:8001 [COUNT]
 *
 * COUNT is what the limit of fds allows (ulimit -Hn) unless given, but not
 * more than 28,000: from one address to one other there are only so many ports
 * (net.ipv4.ip_local_port_range), past which connect says EADDRNOTAVAIL.
 * Status 0 only where every connection was made and got its answer.
 */
#define _GNU_SOURCE 1 /* clock_gettime */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <krait.h>

#define ANSWER "server received you message."

enum {
    RESERVE = 64,  /* fds that are not connections: the run-time's, stdio's */
    PORTS = 28000, /* the default range has 28,232 */
    AT_ONCE = 128, /* connections being made; as many as a backlog holds */
    PATIENCE = 30, /* seconds that a connection or an answer may take */
    ERRNO_MAX = 4096
};

enum stage { CONNECT, TALK, STAGES };

struct client {
    krait_fiber *fiber;
    enum stage stage; /* how far it came */
    int error;        /* why no further; 0: it was answered */
};

static krait_addr server;
static krait_sem slots = KRAIT_SEM_INIT(AT_ONCE);
static krait_group connecting, start; /* counts of what is still to happen */

static krait_sock *connect_one(void)
{
    krait_sock *s;

    if (krait_sem_wait(&slots, KRAIT_FOREVER) < 0)
        return NULL;
    s = krait_create_connection(server, PATIENCE); /* its timeout from now on */
    krait_sem_post(&slots);
    return s;
}

/* 0; -1 and errno: EBADMSG another answer came, or none. */
static int say_and_check(krait_sock *s)
{
    char answer[sizeof ANSWER - 1];
    ssize_t n;

    if (krait_sendstr(s, "hello from a fiber\n") < 0)
        return -1;
    n = krait_recv(s, answer, sizeof answer, MSG_WAITALL);
    if (n < 0)
        return -1;
    if (n == sizeof answer && memcmp(answer, ANSWER, sizeof answer) == 0)
        return 0;
    errno = EBADMSG;
    return -1;
}

/* A connection's fiber. */
static int run_one(void *arg)
{
    struct client *c = arg;
    krait_sock *s = connect_one();

    c->error = s ? 0 : errno;
    krait_group_done(&connecting);
    if (!s)
        return -1;
    c->stage = TALK;
    if (krait_group_wait(&start, KRAIT_FOREVER) < 0 || say_and_check(s) < 0)
        c->error = errno;
    krait_close(s);
    return c->error ? -1 : 0;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How many failed in this stage; says why. */
static int report(const struct client *c, int count, enum stage stage)
{
    static const char *const doing[STAGES] = {"to connect", "to be answered"};
    static int failed[STAGES][ERRNO_MAX];
    int sum = 0;

    for (int i = 0; i < count; i++)
        if (c[i].stage == stage && c[i].error > 0 && c[i].error < ERRNO_MAX)
            failed[stage][c[i].error]++;
    for (int e = 1; e < ERRNO_MAX; sum += failed[stage][e++])
        if (failed[stage][e] > 0)
            printf("%d failed %s: %s\n", failed[stage][e], doing[stage],
                   strerror(e));
    return sum;
}

struct fan {
    struct client *clients;
    int count;
};

/* The first fiber: connects all, lets all talk, tells what became of it. */
static int fan_out(void *arg)
{
    struct fan *fan = arg;
    double begun = now(), connected;
    int lost, unanswered;

    krait_group_add(&start, 1);
    for (int i = 0; i < fan->count; i++) {
        krait_group_add(&connecting, 1);
        fan->clients[i].fiber = krait_spawn(run_one, &fan->clients[i], NULL);
        if (!fan->clients[i].fiber) {
            fan->clients[i].error = errno;
            krait_group_done(&connecting);
        }
    }
    krait_group_wait(&connecting, KRAIT_FOREVER);
    connected = now();
    krait_group_done(&start);
    for (int i = 0; i < fan->count; i++)
        if (fan->clients[i].fiber)
            krait_join(fan->clients[i].fiber, NULL);

    lost = report(fan->clients, fan->count, CONNECT);
    unanswered = report(fan->clients, fan->count, TALK);
    printf("%d connected in %.2f s\n", fan->count - lost, connected - begun);
    printf("%d answered in %.2f s\n", fan->count - lost - unanswered,
           now() - connected);
    return lost + unanswered > 0;
}

/* Raises the limit of fds as far as it goes; how many connections that is. */
static int room(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max <= RESERVE)
        return 0;
    return limit.rlim_max - RESERVE < PORTS ? (int)limit.rlim_max - RESERVE
                                            : PORTS;
}

int main(int argc, char **argv)
{
    struct fan fan = {.count = room()};
    int rc;

    if (argc > 2)
        fan.count = (int)strtol(argv[2], NULL, 10); /* no number: 0 */
    if (argc < 2 || fan.count <= 0) {
        fprintf(stderr, "usage: fan_out ADDRESS [COUNT]\n");
        return 2;
    }
    server = krait_addr_parse(argv[1]);
    fan.clients = calloc((size_t)fan.count, sizeof *fan.clients);
    if (!fan.clients) {
        perror("fan_out");
        return 1;
    }
    rc = krait_run(fan_out, &fan, NULL);
    if (rc < 0)
        krait_perror("fan_out");
    free(fan.clients);
    return rc != 0;
}
