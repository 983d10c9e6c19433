/* SPDX-License-Identifier: MIT
 *
 * libevent.c - the echo server with libevent: one struct event for each
 * connection, and with --bufferevent one bufferevent.
 *
 * With events all connections share one buffer, since what was received goes
 * out at once; only what a full socket doesn't take is copied, and until that
 * is gone the connection's event waits for writability, and for nothing else.
 *
 * Tried: level-triggered events are as fast, but their p99 is up to half as
 * high again; epoll's changelist and an uncached clock make no difference. A
 * bufferevent that leaves all writing to the loop is a sixth slower than one
 * that writes at once what it can.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench_server.h"

/* Edge-triggered. The end of the stream is told apart, since it may come with
 * bytes, and then has no edge of its own. */
#define RECEIVABLE (EV_READ | EV_CLOSED | EV_ET | EV_PERSIST)

/* So often a connection is received from before the others have a turn. */
#define RECEIVES_MOST 16

struct connection {
    struct event event;
    char *left; /* what is still to be sent, or NULL */
    size_t len, sent;
};

static struct server_options options;
static long buffered; /* bufferevents */
static char *buffer;
static struct event_base *base;

/* --- with events ---------------------------------------------------- */

static void drop(struct connection *c)
{
    event_del(&c->event);
    close(event_get_fd(&c->event));
    free(c->left);
    free(c);
}

/* What the event waits for from now on. */
static void wait_for(struct connection *c, short events, event_callback_fn then)
{
    int fd = event_get_fd(&c->event);

    event_del(&c->event);
    event_assign(&c->event, base, fd, events, then, c);
    event_add(&c->event, NULL);
}

static void on_readable(int fd, short events, void *arg);

static void on_writable(int fd, short events, void *arg)
{
    struct connection *c = arg;
    ssize_t n = send(fd, c->left + c->sent, c->len - c->sent, MSG_NOSIGNAL);

    (void)events;
    if (n < 0) {
        if (errno != EAGAIN)
            drop(c);
        return;
    }
    c->sent += (size_t)n;
    if (c->sent < c->len)
        return;
    free(c->left);
    c->left = NULL;
    wait_for(c, RECEIVABLE, on_readable);
}

static void send_later(struct connection *c, const char *data, size_t len)
{
    if (!(c->left = malloc(len))) {
        drop(c);
        return;
    }
    memcpy(c->left, data, len);
    c->len = len;
    c->sent = 0;
    wait_for(c, EV_WRITE | EV_PERSIST, on_writable);
}

/* One receive, and its answer. Whether there is to be another: there may be
 * more than the buffer held, and an end that has come is yet to be received. */
static bool answer(struct connection *c, int fd, bool ended)
{
    ssize_t n = recv(fd, buffer, (size_t)options.buffer, 0), sent;

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            drop(c);
        return false;
    }
    if (options.sink)
        return ended || n == options.buffer;
    server_work(options.work);
    sent = send(fd, buffer, (size_t)n, MSG_NOSIGNAL);
    if (sent == n)
        return ended || n == options.buffer;
    if (sent < 0 && errno != EAGAIN) {
        drop(c);
        return false;
    }
    if (sent < 0)
        sent = 0;
    send_later(c, buffer + sent, (size_t)(n - sent));
    return false;
}

/* The event doesn't come again for what has come, so all is received; but a
 * connection that has much goes to the end of the queue now and then. */
static void on_readable(int fd, short events, void *arg)
{
    struct connection *c = arg;
    int left = RECEIVES_MOST;

    while (answer(c, fd, events & EV_CLOSED)) {
        if (--left == 0) {
            event_active(&c->event, events, 0);
            return;
        }
    }
}

static void start(int fd)
{
    struct connection *c = calloc(1, sizeof *c);

    if (!c) {
        close(fd);
        return;
    }
    event_assign(&c->event, base, fd, RECEIVABLE, on_readable, c);
    event_add(&c->event, NULL);
}

/* --- with bufferevents ---------------------------------------------------- */

/* A peer that sends and doesn't receive gets no more than this kept. */
#define KEPT_MOST (1 << 20)

static void on_sent(struct bufferevent *b, void *ended)
{
    if (ended)
        bufferevent_free(b);
    else
        bufferevent_enable(b, EV_READ);
}

static void on_received(struct bufferevent *b, void *unused)
{
    struct evbuffer *in = bufferevent_get_input(b);

    (void)unused;
    if (options.sink) {
        evbuffer_drain(in, evbuffer_get_length(in));
        return;
    }
    server_work(options.work);
    if (evbuffer_get_length(bufferevent_get_output(b)) == 0)
        evbuffer_write(in, bufferevent_getfd(b));
    if (evbuffer_get_length(in) == 0)
        return;
    bufferevent_write_buffer(b, in);
    if (evbuffer_get_length(bufferevent_get_output(b)) > KEPT_MOST)
        bufferevent_disable(b, EV_READ);
}

static void on_event(struct bufferevent *b, short events, void *unused)
{
    (void)unused;
    if ((events & BEV_EVENT_EOF) &&
        evbuffer_get_length(bufferevent_get_output(b)) > 0) {
        bufferevent_setcb(b, NULL, on_sent, on_event, b);
        return;
    }
    bufferevent_free(b);
}

static void start_buffered(int fd)
{
    struct bufferevent *b =
        bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    if (!b) {
        close(fd);
        return;
    }
    bufferevent_set_max_single_read(b, (size_t)options.buffer);
    bufferevent_setcb(b, on_received, on_sent, on_event, NULL);
    bufferevent_enable(b, EV_READ);
}

/* --- both ---------------------------------------------------- */

static void on_connection(struct evconnlistener *listener, int fd,
                          struct sockaddr *addr, int len, void *unused)
{
    (void)listener;
    (void)addr;
    (void)len;
    (void)unused;
    if (buffered)
        start_buffered(fd);
    else
        start(fd);
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();

    if (!config)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    return event_base_new_with_config(config);
}

int main(int argc, char **argv)
{
    const struct server_extra extra[] = {{"bufferevent", &buffered, false},
                                         {NULL, NULL, false}};

    options = server_parse(argc, argv, extra);
    signal(SIGPIPE, SIG_IGN); /* a bufferevent writes by writev */
    if (!(base = new_base()) || !(buffer = malloc((size_t)options.buffer)))
        return 1;
    if (!evconnlistener_new(base, on_connection, NULL, LEV_OPT_CLOSE_ON_EXEC, 0,
                            server_listen(&options, SOCK_NONBLOCK)))
        return 1;
    event_base_dispatch(base);
    return 0;
}
