/* SPDX-License-Identifier: MIT
 *
 * libuv.c - the echo server with libuv: one uv_tcp_t for each connection.
 *
 * All connections share one buffer, since what was received goes out at once
 * by uv_try_write; only what a full socket doesn't take is copied and left to
 * uv_write, and until that has gone nothing more is read.
 *
 * Tried: uv_write for everything is up to a tenth slower.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "bench_server.h"

struct connection {
    uv_tcp_t tcp;
    uv_write_t request;
    char *left; /* what uv_write sends, or NULL */
};

static struct server_options options;
static char *buffer;

static void on_closed(uv_handle_t *handle)
{
    struct connection *c = (struct connection *)handle;

    free(c->left);
    free(c);
}

static void drop(struct connection *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *lent)
{
    (void)handle;
    (void)suggested;
    *lent = uv_buf_init(buffer, (unsigned)options.buffer);
}

static void on_received(uv_stream_t *stream, ssize_t n, const uv_buf_t *lent);

static void on_sent(uv_write_t *request, int status)
{
    struct connection *c = (struct connection *)request->handle;

    free(c->left);
    c->left = NULL;
    if (status < 0 || uv_read_start(request->handle, lend, on_received) < 0)
        drop(c);
}

static void send_later(struct connection *c, const char *data, size_t len)
{
    uv_stream_t *stream = (uv_stream_t *)&c->tcp;
    uv_buf_t buf;

    if (!(c->left = malloc(len))) {
        drop(c);
        return;
    }
    memcpy(c->left, data, len);
    buf = uv_buf_init(c->left, (unsigned)len);
    uv_read_stop(stream);
    if (uv_write(&c->request, stream, &buf, 1, on_sent) < 0)
        drop(c);
}

static void on_received(uv_stream_t *stream, ssize_t n, const uv_buf_t *lent)
{
    struct connection *c = (struct connection *)stream;
    uv_buf_t buf;
    int sent;

    if (n < 0)
        drop(c);
    if (n <= 0 || options.sink)
        return;
    server_work(options.work);
    buf = uv_buf_init(lent->base, (unsigned)n);
    sent = uv_try_write(stream, &buf, 1);
    if (sent == n)
        return;
    if (sent < 0 && sent != UV_EAGAIN) {
        drop(c);
        return;
    }
    if (sent < 0)
        sent = 0;
    send_later(c, lent->base + sent, (size_t)(n - sent));
}

/* Is called for each connection: libuv itself accepts until EAGAIN. */
static void on_connection(uv_stream_t *listener, int status)
{
    struct connection *c;

    if (status < 0 || !(c = calloc(1, sizeof *c)))
        return;
    uv_tcp_init(listener->loop, &c->tcp);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, lend, on_received) < 0)
        drop(c);
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;

    options = server_parse(argc, argv, NULL);
    signal(SIGPIPE, SIG_IGN); /* libuv writes by write */
    if (!(buffer = malloc((size_t)options.buffer)))
        return 1;
    uv_tcp_init(loop, &listener);
    if (uv_tcp_open(&listener, server_listen(&options, SOCK_NONBLOCK)) < 0 ||
        uv_listen((uv_stream_t *)&listener, LISTEN_BACKLOG, on_connection) < 0)
        return 1;
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}
