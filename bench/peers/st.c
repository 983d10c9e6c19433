/* SPDX-License-Identifier: MIT
 *
 * st.c - the echo server with State Threads: a thread of the library's for each
 * connection, as it would be written with threads of the kernel's.
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

static void *serve(void *arg)
{
    struct connection *c = arg;
    size_t size = (size_t)options.buffer;
    ssize_t n;

    while ((n = st_read(c->socket, c->buffer, size, ST_UTIME_NO_TIMEOUT)) > 0) {
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

/* A library that was built without epoll takes its name and has none. */
static void choose_epoll(void)
{
    st_set_eventsys(ST_EVENTSYS_ALT);
    if (!st_get_eventsys_name()) {
        fputs("peer_st: libst has no epoll; it will be poll\n", stderr);
        st_set_eventsys(ST_EVENTSYS_POLL);
    }
}

int main(int argc, char **argv)
{
    st_netfd_t listener, socket;

    options = server_parse(argc, argv, NULL);
    signal(SIGPIPE, SIG_IGN); /* the library writes by write */
    choose_epoll();
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
