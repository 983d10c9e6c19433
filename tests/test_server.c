/* SPDX-License-Identifier: MIT
 *
 * test_server.c - what a server does for its requests: each kind of address,
 * each mode, each hook, and every way to stop. What it does when something
 * runs short is in test_server_limits.c.
 *
 * In fibers the clients are: the servers stay in threads, with handlers in
 * threads, so that both kinds meet on a connection.
 *
 * ctest: flows
 */
#include "server_support.h"

static const enum krait_mode modes[] = {KRAIT_SERIAL, KRAIT_THREADS};

/* --- requests ---------------------------------------------------------- */

static void test_a_server_answers_its_clients(void **state)
{
    const struct transport *t = transport_of(state);
    size_t m;
    int i;

    for (m = 0; m < COUNT(modes); m++) {
        krait_server_options o = options_for(t, echo);
        struct serving s = {0};

        o.mode = modes[m];
        serve(&s, &o);
        for (i = 0; i < 3; i++) {
            krait_sock *client = client_of(s.server, t);

            expect_echo(client, "first");
            expect_echo(client, "second");
            shut(client);
        }
        stop(&s);
        shut_server(s.server);
    }
}

static void test_threads_serve_all_clients_at_once(void **state)
{
    enum { CLIENTS = 20 };
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    krait_sock *clients[CLIENTS];
    struct serving s = {0};
    int i;

    o.mode = KRAIT_THREADS;
    serve(&s, &o);
    for (i = 0; i < CLIENTS; i++) {
        clients[i] = client_of(s.server, t);
        expect_echo(clients[i], "all stay");
    }
    for (i = CLIENTS - 1; i >= 0; i--)
        expect_echo(clients[i], "connected");
    stop(&s);
}

static void test_a_serial_server_takes_one_after_another(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    krait_sock *first, *second;
    struct serving s = {0};
    char byte;

    o.mode = KRAIT_SERIAL;
    serve(&s, &o);
    first = client_of(s.server, t);
    expect_echo(first, "mine");
    second = client_of(s.server, t); /* in the kernel's queue */
    assert_int_equal(krait_send(second, "wait", 4, 0), 4);
    expect_echo(first, "still mine");
    assert_fails(krait_recv(second, &byte, 1, MSG_DONTWAIT), EAGAIN);
    shut(first);
    assert_works(krait_settimeout(second, PATIENCE));
    assert_int_equal(krait_recv(second, &byte, 1, 0), 1);
    shut(second);
    stop(&s);
}

/* What the handler saw, for the test to look at once it is over. */
struct seen {
    krait_addr peer;
    krait_server *server;
    krait_sock *sock;
    const void *packet;
    size_t len;
    void *state;
    double timeout;
    atomic_int setups, handled, finished, errors, timeouts;
    int err;
    char errmsg[256];
    char order[32]; /* which hooks ran, a letter each */
    int setup_rc, handle_rc;
};

static void note(struct seen *seen, char what)
{
    size_t n = strlen(seen->order);

    if (n + 1 < sizeof seen->order)
        seen->order[n] = what;
}

static int look(krait_request *req)
{
    struct seen *seen = (struct seen *)req->user;

    note(seen, 'h');
    seen->peer = krait_request_peer(req);
    seen->server = req->server;
    seen->sock = req->sock;
    seen->packet = req->packet;
    seen->len = req->packet_len;
    seen->state = req->state;
    seen->timeout = krait_gettimeout(req->sock);
    if (seen->handle_rc < 0)
        errno = EXDEV; /* an error of the handler's own */
    atomic_fetch_add(&seen->handled, 1);
    return seen->handle_rc;
}

static int set_up(krait_request *req)
{
    struct seen *seen = (struct seen *)req->user;

    note(seen, 's');
    req->state = seen; /* something of the handler's own */
    atomic_fetch_add(&seen->setups, 1);
    if (seen->setup_rc < 0)
        errno = EDOM;
    return seen->setup_rc;
}

static void finish(krait_request *req)
{
    struct seen *seen = (struct seen *)req->user;

    note(seen, 'f');
    atomic_fetch_add(&seen->finished, 1);
}

static void on_error(krait_request *req)
{
    struct seen *seen = (struct seen *)req->user;

    seen->err = errno;
    snprintf(seen->errmsg, sizeof seen->errmsg, "%s", krait_errmsg());
    note(seen, 'e');
    atomic_fetch_add(&seen->errors, 1);
}

static krait_server_options looking(const struct transport *t,
                                    struct seen *seen)
{
    krait_server_options o = options_for(t, look);

    o.user = seen;
    o.setup = set_up;
    o.finish = finish;
    o.handle_error = on_error;
    o.mode = KRAIT_SERIAL;
    return o;
}

/* One request through krait_handle_request, in this thread. */
static void one_request(krait_server *server, krait_sock *client)
{
    krait_send(client, "x", 1, 0);
    assert_int_equal(krait_handle_request(server), 1);
}

static void test_a_handler_is_told_all_about_its_request(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {0};
    krait_server_options o = looking(t, &seen);
    krait_server *server = own_server(krait_server_new(&o));
    krait_sock *client = client_of(server, t);

    one_request(server, client);
    assert_true(krait_addr_equal(seen.peer, krait_getsockname(client)));
    assert_ptr_equal(seen.server, server);
    assert_ptr_equal(seen.state, &seen);
    assert_non_null(seen.sock);
    assert_string_equal(seen.order, "shf");
    if (t->type == SOCK_DGRAM) {
        assert_non_null(seen.packet);
        assert_int_equal(seen.len, 1);
        assert_ptr_equal(seen.sock, krait_server_socket(server));
        return;
    }
    assert_null(seen.packet);
    assert_true(seen.timeout == KRAIT_FOREVER);
}

static void test_the_request_timeout_is_the_connection_s(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {0};
    krait_server_options o = looking(t, &seen);
    krait_server *server;

    o.request_timeout = 12.5;
    server = own_server(krait_server_new(&o));
    one_request(server, client_of(server, t));
    assert_true(seen.timeout == 12.5);
}

static void test_a_handler_that_fails_is_finished_and_told_of(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {.handle_rc = -1};
    krait_server_options o = looking(t, &seen);
    krait_server *server = own_server(krait_server_new(&o));

    one_request(server, client_of(server, t));
    assert_int_equal(seen.err, EXDEV);
    assert_int_equal(atomic_load(&seen.errors), 1);
    assert_int_equal(atomic_load(&seen.finished), 1);

    seen.handle_rc = 0; /* and the server goes on */
    one_request(server, client_of(server, t));
    assert_int_equal(atomic_load(&seen.handled), 2);
    assert_int_equal(atomic_load(&seen.errors), 1);
}

static void test_a_setup_that_fails_leaves_handle_and_finish_out(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {.setup_rc = -1};
    krait_server_options o = looking(t, &seen);
    krait_server *server = own_server(krait_server_new(&o));

    one_request(server, client_of(server, t));
    assert_string_equal(seen.order, "se");
    assert_int_equal(seen.err, EDOM);
}

static void test_more_than_0_from_a_handler_is_well_too(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {.handle_rc = 7};
    krait_server_options o = looking(t, &seen);
    krait_server *server = own_server(krait_server_new(&o));

    one_request(server, client_of(server, t));
    assert_int_equal(atomic_load(&seen.errors), 0);
}

static int fail_to_send(krait_request *req)
{
    return krait_sendstr(NULL, "nowhere") < 0 && req->sock ? -1 : 0;
}

static void test_the_error_s_line_is_intact_in_handle_error(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {0};
    krait_server_options o = looking(t, &seen);
    krait_server *server;

    o.handle = fail_to_send;
    server = own_server(krait_server_new(&o));
    one_request(server, client_of(server, t));
    assert_int_equal(seen.err, EBADF);
    assert_contains(seen.errmsg, "send");
}

/* --- the log ----------------------------------------------------------- */

static void test_by_default_a_failure_is_one_line_in_the_log(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {.handle_rc = -1};
    krait_server_options o = looking(t, &seen);
    krait_server *server;
    krait_sock *client;
    char peer[KRAIT_ADDR_TEXT_MAX];
    struct log log = {0};

    o.handle_error = NULL;
    server = own_server(krait_server_new(&o));
    client = client_of(server, t);
    krait_addr_text(krait_getsockname(client), peer, sizeof peer);
    krait_set_log(keep_line, &log);
    one_request(server, client);
    krait_set_log(NULL, NULL);
    assert_int_equal(atomic_load(&log.lines), 1);
    assert_contains(log.last, strerror(EXDEV));
    assert_null(strchr(log.last, '\n'));
    if (t->family != AF_UNIX)
        assert_contains(log.last, peer);
}

static int recv_until_it_fails(krait_request *req)
{
    char buf[64];

    while (krait_recv(req->sock, buf, sizeof buf, 0) > 0)
        ;
    return errno ? -1 : 0;
}

static void test_a_peer_s_reset_is_nothing_to_log(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, recv_until_it_fails);
    krait_server *server;
    krait_sock *client;
    struct log log = {0};

    o.mode = KRAIT_SERIAL;
    server = own_server(krait_server_new(&o));
    client = client_of(server, t);
    assert_works(krait_sendstr(client, "x"));
    reset_on_close(client);
    shut(client);
    krait_set_log(keep_line, &log);
    krait_handle_request(server);
    krait_set_log(NULL, NULL);
    assert_int_equal(atomic_load(&log.lines), 0);
}

static void test_a_handler_s_timeout_is_logged(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, recv_until_it_fails);
    krait_server *server;
    struct log log = {0};

    o.mode = KRAIT_SERIAL;
    o.request_timeout = 0.02;
    server = own_server(krait_server_new(&o));
    client_of(server, t);
    krait_set_log(keep_line, &log);
    assert_int_equal(krait_handle_request(server), 1);
    krait_set_log(NULL, NULL);
    assert_int_equal(atomic_load(&log.lines), 1);
    assert_contains(log.last, "timed out");
}

/* --- connections that end ---------------------------------------------- */

static krait_sock *kept_twin;

static int keep_a_twin(krait_request *req)
{
    kept_twin = krait_dup(req->sock);
    return kept_twin ? 0 : -1;
}

/* As Python's shutdown_request: the peer sees the end even where something
 * else still holds the connection. */
static void test_the_peer_sees_the_end_when_the_handler_has_returned(
    void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, keep_a_twin);
    krait_server *server;
    krait_sock *client;
    char byte;

    o.mode = KRAIT_SERIAL;
    server = own_server(krait_server_new(&o));
    client = client_of(server, t);
    assert_int_equal(krait_handle_request(server), 1);
    own(kept_twin);
    assert_works(krait_settimeout(client, PATIENCE));
    assert_int_equal(krait_recv(client, &byte, 1, 0), 0);
}

static krait_sock *taken;
static int taken_twice_errno;

static int take(krait_request *req)
{
    taken = krait_request_take(req);
    taken_twice_errno = krait_request_take(req) ? 0 : errno;
    return 0;
}

static void test_a_handler_may_take_its_connection(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, take);
    krait_server *server;
    krait_sock *client;
    char got[8];

    o.mode = KRAIT_SERIAL;
    server = own_server(krait_server_new(&o));
    client = client_of(server, t);
    assert_int_equal(krait_handle_request(server), 1);
    own(taken);
    assert_int_equal(taken_twice_errno, EINVAL);
    shut_server(server); /* it is none of the server's any more */
    assert_works(krait_sendstr(taken, "mine"));
    assert_int_equal(krait_recv(client, got, sizeof got, 0), 4);
    assert_int_equal(krait_send(client, "x", 1, 0), 1);
    assert_int_equal(krait_recv(taken, got, sizeof got, 0), 1);
}

static void test_a_datagram_cannot_be_taken(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, take);
    krait_server *server;

    o.mode = KRAIT_SERIAL;
    server = own_server(krait_server_new(&o));
    one_request(server, client_of(server, t));
    assert_null(taken);
    assert_int_equal(taken_twice_errno, EINVAL);
}

static void test_clients_that_vanish_do_no_harm(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    struct serving s = {0};
    struct log log = {0};
    krait_sock *last;
    int i;

    krait_set_log(keep_line, &log);
    serve(&s, &o);
    /* It has its port from the start: who got one of those that vanish would
     * get their answers, too. */
    last = client_of(s.server, t);
    for (i = 0; i < 50; i++) {
        krait_sock *client = client_of(s.server, t);

        if (i % 2)
            krait_send(client, "x", 1, 0);
        if (i % 3 && t->family != AF_UNIX)
            reset_on_close(client);
        shut(client);
    }
    expect_echo(last, "here");
    stop(&s);
    shut_server(s.server); /* joins all who may have something to say */
    krait_set_log(NULL, NULL);
}

/* --- datagrams --------------------------------------------------------- */

static void test_an_empty_datagram_is_a_request(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {.len = 99};
    krait_server_options o = looking(t, &seen);
    krait_server *server = own_server(krait_server_new(&o));
    krait_sock *client = client_of(server, t);

    assert_int_equal(krait_send(client, NULL, 0, 0), 0);
    assert_int_equal(krait_handle_request(server), 1);
    assert_int_equal(seen.len, 0);
    assert_non_null(seen.packet);
}

static void test_a_datagram_is_cut_to_the_packet_size(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {0};
    krait_server_options o = looking(t, &seen);
    krait_server *server;
    krait_sock *client;

    o.max_packet_size = 4;
    server = own_server(krait_server_new(&o));
    client = client_of(server, t);
    assert_int_equal(krait_send(client, "longer", 6, 0), 6);
    assert_int_equal(krait_handle_request(server), 1);
    assert_int_equal(seen.len, 4);
}

static void test_the_longest_datagram_comes_whole(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {0};
    krait_server_options o = looking(t, &seen);
    krait_server *server = own_server(krait_server_new(&o));
    krait_sock *client = client_of(server, t);
    size_t len = 65507; /* 65535 less the headers of IPv4 and UDP */

    assert_int_equal(krait_send(client, own_block(len), len, 0), len);
    assert_int_equal(krait_handle_request(server), 1);
    assert_int_equal(seen.len, len);
}

static int reply_fails_with;

static int reply_to_nobody(krait_request *req)
{
    reply_fails_with = krait_reply(req, "x", 1) < 0 ? errno : 0;
    return 0;
}

static void test_a_sender_without_an_address_gets_no_reply(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, reply_to_nobody);
    krait_server *server;
    krait_sock *client = fresh(t);

    o.mode = KRAIT_SERIAL;
    server = own_server(krait_server_new(&o));
    assert_int_equal(
        krait_sendto(client, "x", 1, 0, krait_server_address(server)), 1);
    assert_int_equal(krait_handle_request(server), 1);
    assert_int_not_equal(reply_fails_with, 0);
}

/* --- one at a time, and until when ------------------------------------- */

static struct seen *timeout_seen; /* handle_timeout gets no user pointer */

static void on_timeout(krait_server *server)
{
    struct seen *seen = timeout_seen;

    seen->server = server;
    atomic_fetch_add(&seen->timeouts, 1);
}

static void test_handle_request_waits_no_longer_than_its_timeout(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {0};
    krait_server_options o = looking(t, &seen);
    krait_server *server;
    double since;

    o.timeout = 0.05;
    o.handle_timeout = on_timeout;
    timeout_seen = &seen;
    server = own_server(krait_server_new(&o));
    since = now();
    assert_int_equal(krait_handle_request(server), 0);
    assert_true(now() - since >= 0.05);
    assert_int_equal(atomic_load(&seen.timeouts), 1);
    assert_ptr_equal(seen.server, server);
    assert_int_equal(atomic_load(&seen.handled), 0);

    one_request(server, client_of(server, t));
    assert_int_equal(atomic_load(&seen.timeouts), 1);
}

static void test_the_socket_s_timeout_bounds_handle_request_too(void **state)
{
    const struct transport *t = transport_of(state);
    struct seen seen = {0};
    krait_server_options o = looking(t, &seen);
    krait_server *server = own_server(krait_server_new(&o));
    double since = now();

    assert_works(krait_settimeout(krait_server_socket(server), 0.05));
    assert_int_equal(krait_handle_request(server), 0);
    assert_true(now() - since >= 0.05);
}

static void test_handle_request_in_threads_goes_on_in_its_thread(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    krait_server *server = own_server(krait_server_new(&o));
    krait_sock *client = client_of(server, t);

    assert_int_equal(krait_handle_request(server), 1);
    expect_echo(client, "served by a thread");
}

static void do_handle_request(void *arg)
{
    struct serving *s = (struct serving *)arg;

    s->rc = krait_handle_request(s->server);
    s->err = errno;
}

static void test_a_shutdown_ends_handle_request(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    struct serving s = {.server = own_server(krait_server_new(&o))};

    s.task = start_thread(do_handle_request, &s);
    wait_until_blocked(s.task);
    assert_works(krait_server_shutdown(s.server));
    join(s.task);
    assert_int_equal(s.rc, 0);
}

/* --- stopping ---------------------------------------------------------- */

static void test_a_shutdown_before_serving_counts(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    krait_server *server = own_server(krait_server_new(&o));

    assert_works(krait_server_shutdown(server));
    assert_int_equal(krait_serve_forever(server), 0);
}

static void test_a_shutdown_from_another_thread_and_again(void **state)
{
    const struct transport *t = transport_of(state);
    size_t m;
    int i;

    for (m = 0; m < COUNT(modes); m++) {
        krait_server_options o = options_for(t, echo);
        struct serving s = {0};

        o.mode = modes[m];
        serve(&s, &o);
        for (i = 0; i < 3; i++) {
            krait_sock *client = client_of(s.server, t);

            expect_echo(client, "served");
            shut(client);
            stop(&s);
            serve_again(&s);
        }
        stop(&s);
        shut_server(s.server);
    }
}

static int shut_down(krait_request *req)
{
    return krait_server_shutdown(req->server);
}

static void test_a_handler_may_shut_its_server_down(void **state)
{
    const struct transport *t = transport_of(state);
    size_t m;

    for (m = 0; m < COUNT(modes); m++) {
        krait_server_options o = options_for(t, shut_down);
        krait_server *server;
        krait_sock *client;

        o.mode = modes[m];
        server = own_server(krait_server_new(&o));
        client = client_of(server, t);
        assert_int_equal(krait_send(client, "x", 1, 0), 1);
        assert_int_equal(krait_serve_forever(server), 0);
        shut_server(server);
    }
}

static krait_server *signalled;

static void shut_down_in_signal(int signo)
{
    (void)signo;
    krait_server_shutdown(signalled);
}

static void cancel_in_signal(int signo)
{
    (void)signo;
    krait_server_cancel(signalled);
}

static void test_a_signal_handler_may_shut_a_server_down(void **state)
{
    struct sigaction sa = {.sa_handler = shut_down_in_signal}, before;
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    struct serving s = {0};

    serve(&s, &o);
    wait_until_blocked(s.task);
    signalled = s.server;
    sigaction(SIGUSR1, &sa, &before);
    signal_task(s.task, SIGUSR1);
    join(s.task);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(s.rc, 0);
}

static void test_a_shutdown_leaves_the_requests_alone(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    struct serving s = {0};
    krait_sock *client;

    serve(&s, &o);
    client = client_of(s.server, t);
    expect_echo(client, "before");
    stop(&s);
    expect_echo(client, "after");
}

static atomic_int handler_errno;

static int recv_and_note(krait_request *req)
{
    char byte;

    handler_is_here();
    if (krait_recv(req->sock, &byte, 1, 0) < 0)
        atomic_store(&handler_errno, errno);
    return 0;
}

static void test_cancel_interrupts_the_requests_too(void **state)
{
    const struct transport *t = transport_of(state);
    size_t m; /* each mode has its own server */

    for (m = 0; m < COUNT(modes); m++) {
        krait_server_options o = options_for(t, recv_and_note);
        struct serving s = {0};

        atomic_store(&handler_errno, 0);
        o.mode = modes[m];
        serve(&s, &o);
        client_of(s.server, t);
        assert_true(wait_for(has_a_waiting_handler, NULL));
        assert_works(krait_server_cancel(s.server));
        join(s.task);
        assert_int_equal(s.rc, 0);
        shut_server(s.server);
        assert_int_equal(atomic_load(&handler_errno), ECANCELED);
    }
}

static void test_a_signal_handler_may_cancel_a_server(void **state)
{
    struct sigaction sa = {.sa_handler = cancel_in_signal}, before;
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, recv_and_note);
    struct serving s = {0};

    o.mode = KRAIT_SERIAL;
    atomic_store(&handler_errno, 0);
    serve(&s, &o);
    client_of(s.server, t);
    assert_true(wait_for(has_a_waiting_handler, NULL));
    signalled = s.server;
    sigaction(SIGUSR1, &sa, &before);
    signal_task(s.task, SIGUSR1);
    join(s.task);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(s.rc, 0);
    assert_int_equal(atomic_load(&handler_errno), ECANCELED);
}

static int stop_everything(void *arg)
{
    return *(int *)arg;
}

static void test_the_signal_hook_can_end_serving(void **state)
{
    struct sigaction sa = {.sa_handler = ignore_signal}, before;
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    struct serving s = {0};
    int yes = 1;

    krait_set_signal_hook(stop_everything, &yes);
    sigaction(SIGUSR1, &sa, &before);
    serve(&s, &o);
    wait_until_blocked(s.task);
    hail_until_done(s.task, SIGUSR1);
    join(s.task);
    krait_set_signal_hook(NULL, NULL);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(s.rc, -1);
    assert_int_equal(s.err, EINTR);
}

static void test_the_whole_program_in_one_call(void **state)
{
    char text[64];
    struct call call = {.sock = own(krait_socket(AF_UNIX, SOCK_STREAM, 0))};
    bool served = false;
    krait_addr addr;

    (void)state;
    snprintf(text, sizeof text, "unix:@krait-test-serve-%d", (int)getpid());
    addr = krait_addr_parse(text);
    assert_fails(krait_serve("nonsense", shut_down, NULL), EINVAL);
    assert_contains(krait_errmsg(), "nonsense");
    assert_fails(krait_serve(text, NULL, NULL), EINVAL);

    call.addr = addr;
    call.task = start(connect_when_it_listens, &call);
    served = krait_serve(text, shut_down, NULL) == 0;
    join(call.task);
    assert_true(served);
    assert_int_equal(call.rc, 0);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_a_server_answers_its_clients), EVERY},
        {TEST(test_threads_serve_all_clients_at_once), EVERY},
        {TEST(test_a_serial_server_takes_one_after_another), CONNECTIONS},
        {TEST(test_a_handler_is_told_all_about_its_request), EVERY},
        {TEST(test_the_request_timeout_is_the_connection_s), CONNECTIONS},
        {TEST(test_a_handler_that_fails_is_finished_and_told_of), EVERY},
        {TEST(test_a_setup_that_fails_leaves_handle_and_finish_out), EVERY},
        {TEST(test_more_than_0_from_a_handler_is_well_too), EVERY},
        {TEST(test_the_error_s_line_is_intact_in_handle_error), EVERY},
        {TEST(test_by_default_a_failure_is_one_line_in_the_log), EVERY},
        {TEST(test_a_peer_s_reset_is_nothing_to_log),
         INET_STREAM | INET6_STREAM},
        {TEST(test_a_handler_s_timeout_is_logged), CONNECTIONS},
        {TEST(test_the_peer_sees_the_end_when_the_handler_has_returned),
         CONNECTIONS},
        {TEST(test_a_handler_may_take_its_connection), CONNECTIONS},
        {TEST(test_a_datagram_cannot_be_taken), DGRAMS},
        {TEST(test_clients_that_vanish_do_no_harm), EVERY},
        {TEST(test_an_empty_datagram_is_a_request), DGRAMS},
        {TEST(test_a_datagram_is_cut_to_the_packet_size), DGRAMS},
        {TEST(test_the_longest_datagram_comes_whole), INET_DGRAM},
        {TEST(test_a_sender_without_an_address_gets_no_reply),
         UNIX_DGRAM | ABSTRACT_DGRAM},
        {TEST(test_handle_request_waits_no_longer_than_its_timeout), EVERY},
        {TEST(test_the_socket_s_timeout_bounds_handle_request_too),
         INET_STREAM | INET_DGRAM},
        {TEST(test_handle_request_in_threads_goes_on_in_its_thread),
         CONNECTIONS},
        {TEST(test_a_shutdown_ends_handle_request), EVERY},
        {TEST(test_a_shutdown_before_serving_counts), EVERY},
        {TEST(test_a_shutdown_from_another_thread_and_again), EVERY},
        {TEST(test_a_handler_may_shut_its_server_down), EVERY},
        {TEST(test_a_signal_handler_may_shut_a_server_down), EVERY},
        {TEST(test_a_shutdown_leaves_the_requests_alone), CONNECTIONS},
        {TEST(test_cancel_interrupts_the_requests_too), CONNECTIONS},
        {TEST(test_a_signal_handler_may_cancel_a_server), CONNECTIONS},
        {TEST(test_the_signal_hook_can_end_serving), INET_STREAM | INET_DGRAM},
        {TEST(test_the_whole_program_in_one_call), ONCE},
    };

    return run_all(argc, argv, "server", tests, COUNT(tests));
}
