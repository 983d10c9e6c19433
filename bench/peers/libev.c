/* SPDX-License-Identifier: MIT
 *
 * libev.c - the echo server with libev: one ev_io for each connection.
 *
 * All connections share one buffer, since what was received goes out at once;
 * only what a full socket doesn't take is copied, and until that is gone the
 * connection's watcher waits for writability, and for nothing else.
 *
 * Tried: libev's io_uring backend is a fifth slower than epoll, and its backend
 * for Linux AIO didn't start. A single receive for each event is slower by a
 * tenth where a stream is only received, and as fast elsewhere.
 */
#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench_server.h"

/* So often a connection is received from before the others have a turn. */
#define RECEIVES_MOST 16

struct connection {
    ev_io io;
    char *left; /* what is still to be sent, or NULL */
    size_t len, sent;
};

static struct server_options options;
static char *buffer;

static void drop(struct ev_loop *loop, struct connection *c)
{
    ev_io_stop(loop, &c->io);
    close(c->io.fd);
    free(c->left);
    free(c);
}

/* What the watcher waits for from now on. */
static void wait_for(struct ev_loop *loop, struct connection *c, int events,
                     void (*then)(struct ev_loop *, ev_io *, int))
{
    ev_io_stop(loop, &c->io);
    ev_io_set(&c->io, c->io.fd, events);
    ev_set_cb(&c->io, then);
    ev_io_start(loop, &c->io);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events);

static void on_writable(struct ev_loop *loop, ev_io *io, int events)
{
    struct connection *c = (struct connection *)io;
    ssize_t n = send(io->fd, c->left + c->sent, c->len - c->sent, MSG_NOSIGNAL);

    (void)events;
    if (n < 0) {
        if (errno != EAGAIN)
            drop(loop, c);
        return;
    }
    c->sent += (size_t)n;
    if (c->sent < c->len)
        return;
    free(c->left);
    c->left = NULL;
    wait_for(loop, c, EV_READ, on_readable);
}

static void send_later(struct ev_loop *loop, struct connection *c,
                       const char *data, size_t len)
{
    if (!(c->left = malloc(len))) {
        drop(loop, c);
        return;
    }
    memcpy(c->left, data, len);
    c->len = len;
    c->sent = 0;
    wait_for(loop, c, EV_WRITE, on_writable);
}

/* One receive, and its answer. Whether there may be more to receive. */
static bool answer(struct ev_loop *loop, struct connection *c)
{
    ssize_t n = recv(c->io.fd, buffer, (size_t)options.buffer, 0), sent;

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            drop(loop, c);
        return false;
    }
    if (options.sink)
        return n == options.buffer;
    server_work(options.work);
    sent = send(c->io.fd, buffer, (size_t)n, MSG_NOSIGNAL);
    if (sent == n)
        return n == options.buffer;
    if (sent < 0 && errno != EAGAIN) {
        drop(loop, c);
        return false;
    }
    if (sent < 0)
        sent = 0;
    send_later(loop, c, buffer + sent, (size_t)(n - sent));
    return false;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    int left = RECEIVES_MOST;

    (void)events;
    while (answer(loop, (struct connection *)io) && --left > 0)
        ;
}

static void on_connections(struct ev_loop *loop, ev_io *io, int events)
{
    struct connection *c;
    int fd;

    (void)events;
    while ((fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
           0) {
        if (!(c = calloc(1, sizeof *c))) {
            close(fd);
            continue;
        }
        ev_io_init(&c->io, on_readable, fd, EV_READ);
        ev_io_start(loop, &c->io);
    }
}

int main(int argc, char **argv)
{
    struct ev_loop *loop;
    ev_io listener;

    options = server_parse(argc, argv, NULL);
    loop = ev_default_loop(EVBACKEND_EPOLL);
    if (!loop || !(buffer = malloc((size_t)options.buffer)))
        return 1;
    ev_io_init(&listener, on_connections,
               server_listen(&options, SOCK_NONBLOCK), EV_READ);
    ev_io_start(loop, &listener);
    ev_run(loop, 0);
    return 0;
}
