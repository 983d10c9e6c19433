/* SPDX-License-Identifier: MIT
 *
 * st.c - the echo server with State Threads: a thread of the library's for each
 * connection, as it would be written with threads of the kernel's.
 *
 * Tried: of its three event systems select(2) knows no more than 1,024 fds, and
 * epoll, which Debian's library is built without, registers each wait anew: it
 * was a tenth faster than poll(2) at one connection, but at 64 busy ones of 800
 * it cost an eighth more CPU, and at 1,000 busy ones it had two thirds of the
 * speed. To wait before a receive that would find nothing, which st_read would
 * try first, saves another twentieth.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <st.h>

#include "bench_server.h"

/* What recv, send and the library itself need, with room to spare. */
#define STACK_SIZE 16384

struct connection {
    st_netfd_t socket;
    char buffer[];
};

static struct server_options options;

/* Until something has come. A receive that filled the buffer may have left
 * something. */
static bool wait_for(struct connection *c, ssize_t last)
{
    return last == options.buffer ||
           st_netfd_poll(c->socket, POLLIN, ST_UTIME_NO_TIMEOUT) == 0;
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    size_t size = (size_t)options.buffer;
    ssize_t n = 0;

    while (wait_for(c, n) &&
           (n = st_read(c->socket, c->buffer, size, ST_UTIME_NO_TIMEOUT)) > 0) {
        if (options.sink)
            continue;
        server_work(options.work);
        if (st_write(c->socket, c->buffer, (size_t)n, ST_UTIME_NO_TIMEOUT) != n)
            break;
    }
    st_netfd_close(c->socket);
    free(c);
    return NULL;
}

static void start(st_netfd_t socket)
{
    struct connection *c = malloc(sizeof *c + (size_t)options.buffer);

    if (c) {
        c->socket = socket;
        if (st_thread_create(serve, c, 0, STACK_SIZE))
            return;
    }
    free(c);
    st_netfd_close(socket);
}

int main(int argc, char **argv)
{
    st_netfd_t listener, socket;

    options = server_parse(argc, argv, NULL);
    signal(SIGPIPE, SIG_IGN); /* the library writes by write */
    st_set_eventsys(ST_EVENTSYS_POLL);
    if (st_init() < 0)
        return 1;
    listener = st_netfd_open_socket(server_listen(&options, SOCK_NONBLOCK));
    if (!listener)
        return 1;
    for (;;) {
        if ((socket = st_accept(listener, NULL, NULL, ST_UTIME_NO_TIMEOUT)))
            start(socket);
    }
}
