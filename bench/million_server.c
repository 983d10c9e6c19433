/* SPDX-License-Identifier: MIT
 *
 * million_server.c - a server like any other: it accepts, and each connection
 * has a fiber that sends back what it receives.
 *
 * Nothing here knows how many there will be. That there are several such
 * processes, on one port, is only because one may not have so many fds.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <krait.h>

#include "million.h"

/* What connections wait in, if they come faster than they are accepted; the
 * kernel's own limit, net.core.somaxconn, is as high. */
#define BACKLOG 4096

/* Seconds until accept is tried again where the kernel lacks something. */
#define PAUSE 0.1

static struct tally *tally;
static krait_sock *listener;

/* A connection's fiber. */
static int answer(void *arg)
{
    krait_sock *s = arg;
    char buf[1024];
    ssize_t n;

    while ((n = krait_recv(s, buf, sizeof buf, 0)) > 0) {
        if (krait_sendall(s, buf, (size_t)n, 0) < 0)
            break;
        count(tally, ANSWERED);
    }
    count(tally, ENDED);
    return krait_close(s);
}

static void take(krait_sock *s)
{
    krait_fiber *f = krait_spawn(answer, s, NULL);

    if (f) {
        count(tally, HELD);
        krait_release(f);
        return;
    }
    count(tally, FAILED);
    krait_close(s);
}

static int accept_all(void *unused)
{
    krait_sock *s;

    (void)unused;
    while (!krait_cancelled()) {
        if ((s = krait_accept(listener, NULL))) {
            take(s);
            continue;
        }
        if (krait_errno() == ECANCELED)
            break;
        count(tally, FAILED);
        krait_sleep(PAUSE);
    }
    return 0;
}

static bool listen_at(const struct sockaddr_in *addr)
{
    listener = krait_socket(AF_INET, SOCK_STREAM, 0);
    return listener &&
           krait_setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, 1) == 0 &&
           krait_setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, 1) == 0 &&
           krait_bind(listener,
                      krait_inet("127.0.0.1", ntohs(addr->sin_port))) == 0 &&
           krait_listen(listener, BACKLOG) == 0;
}

/* The first fiber: when the parent lets go of the socket to it, it returns, and
 * krait_run ends all others. */
static int serve(void *arg)
{
    const struct role *role = arg;
    krait_fiber *f = NULL;

    snprintf(role->engine, ENGINE_NAME_SIZE, "%s", krait_engine_name());
    if (listen_at(&role->addr))
        f = krait_spawn(accept_all, NULL, NULL);
    if (!f) {
        krait_perror("million: server");
        krait_close(listener);
        return -1;
    }
    krait_release(f);
    if (write(role->control, "", 1) == 1)
        krait_wait_fd(role->control, POLLIN, KRAIT_FOREVER);
    krait_interrupt(listener);
    return 0;
}

int million_server(const struct role *role)
{
    int rc;

    tally = role->tally;
    rc = krait_run(serve, (void *)role, &(krait_run_options){.workers = 1});
    krait_close(listener);
    return rc != 0;
}
