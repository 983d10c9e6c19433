/* SPDX-License-Identifier: MIT
 *
 * server_support.h - what the tests of servers share: a server in a thread of
 * its own, clients for it, and a log to look into.
 */
#ifndef KRAIT_TESTS_SERVER_SUPPORT_H
#define KRAIT_TESTS_SERVER_SUPPORT_H

#include "support.h"

/* --- handlers ---------------------------------------------------------- */

/* Answers with what came: a datagram, or all that a connection brings. */
static inline int echo(krait_request *req)
{
    char buf[1024];
    ssize_t n;

    if (req->packet)
        return krait_reply(req, req->packet, req->packet_len);
    while ((n = krait_recv(req->sock, buf, sizeof buf, 0)) > 0)
        if (krait_reply(req, buf, (size_t)n) < 0)
            return -1;
    return (int)n;
}

/* The thread of a handler that says so before it waits. */
static atomic_int handler_tid;

static inline void handler_is_here(void)
{
    atomic_store(&handler_tid, (int)syscall(SYS_gettid));
}

static inline bool has_a_waiting_handler(void *unused)
{
    int tid = atomic_load(&handler_tid);
    long call = tid ? sleeping_call(tid) : -1;

    (void)unused;
    if (call == -2)
        return sleeps_somewhere(tid);
    return is_waiting_call(call);
}

/* --- the log ----------------------------------------------------------- */

struct log {
    atomic_int lines;
    char last[512];
};

static inline void keep_line(void *arg, const char *line)
{
    struct log *log = (struct log *)arg;

    /* Only the first is kept: several threads may have something to say. */
    if (atomic_fetch_add(&log->lines, 1) == 0)
        snprintf(log->last, sizeof log->last, "%s", line);
}

static inline void ignore_signal(int signo)
{
    (void)signo;
}

/* --- a server in a thread ---------------------------------------------- */

/* In a thread even where the tests run in fibers: then its clients are fibers,
 * and what crosses the socket must not care. */

struct serving {
    krait_server *server;
    struct task *task;
    int rc, err;
};

static inline void do_serve(void *arg)
{
    struct serving *s = (struct serving *)arg;

    s->rc = krait_serve_forever(s->server);
    s->err = errno;
}

static inline krait_server_options options_for(const struct transport *t,
                                               int (*handle)(krait_request *))
{
    krait_server_options o = {.handle = handle, .type = t->type};

    if (t->family == AF_INET6)
        shut(bound(t)); /* or skips, where there is no IPv6 */
    o.address = fresh_address(t);
    atomic_store(&handler_tid, 0);
    return o;
}

static inline void serve_again(struct serving *s)
{
    s->rc = -99;
    s->task = start_thread(do_serve, s);
}

static inline void serve(struct serving *s, const krait_server_options *o)
{
    s->server = own_server(krait_server_new(o));
    serve_again(s);
}

/* Ends serve_forever, which must have had no reason to complain. */
static inline void stop(struct serving *s)
{
    assert_works(krait_server_shutdown(s->server));
    join(s->task);
    assert_int_equal(s->rc, 0);
}

/* --- clients ----------------------------------------------------------- */

/* A client with a name of its own, connected, and not endlessly patient. */
static inline krait_sock *client_of(krait_server *server,
                                    const struct transport *t)
{
    krait_sock *s = bound(t);

    assert_works(krait_settimeout(s, PATIENCE));
    assert_works(krait_connect(s, krait_server_address(server)));
    return s;
}

static inline void expect_echo(krait_sock *client, const char *text)
{
    char got[256] = {0};
    size_t len = strlen(text);
    int flags = krait_type(client) == SOCK_STREAM ? MSG_WAITALL : 0;

    assert_works(krait_sendall(client, text, len, 0));
    assert_int_equal(assert_works(krait_recv(client, got, len, flags)), len);
    assert_string_equal(got, text);
}

/* For a server whose making can't be waited for: tries until it is there. */
static inline void connect_when_it_listens(void *arg)
{
    struct call *c = (struct call *)arg;
    double end = now() + PATIENCE;

    while ((c->rc = krait_connect(c->sock, c->addr)) < 0 &&
           errno == ECONNREFUSED && now() < end)
        nap(0.0005);
    c->err = errno;
}

#endif
