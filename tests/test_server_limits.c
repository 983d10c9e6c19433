/* SPDX-License-Identifier: MIT
 *
 * test_server_limits.c - servers at their limits: too many clients, no fds
 * left, an address that is taken, options that make no sense, and an end with
 * work still going on.
 *
 * Not stamped for fibers: the limits are the process's, fds and threads, and a
 * run-time's own would count among them; what the servers do at them is in
 * plain threads anyway.
 */
#include "server_support.h"

#include <sys/resource.h>
#include <sys/wait.h>

/* --- options ----------------------------------------------------------- */

static void test_options_that_make_no_sense_are_refused(void **state)
{
    const struct transport *t = transport_named(INET_STREAM);
    krait_server_options good = options_for(t, echo), o;

    (void)state;
    assert_null_with(krait_server_new(NULL), EINVAL);
    o = good, o.handle = NULL;
    assert_null_with(krait_server_new(&o), EINVAL);
    o = good, o.backlog = -1;
    assert_null_with(krait_server_new(&o), EINVAL);
    o = good, o.max_threads = -1;
    assert_null_with(krait_server_new(&o), EINVAL);
    o = good, o.timeout = -1;
    assert_null_with(krait_server_new(&o), EINVAL);
    o = good, o.request_timeout = (double)__builtin_nan("");
    assert_null_with(krait_server_new(&o), EINVAL);
    o = good, o.mode = KRAIT_FORK;
    assert_null_with(krait_server_new(&o), ENOTSUP);
    o = good, o.mode = KRAIT_FIBERS;
    assert_null_with(krait_server_new(&o), ENOTSUP);
    o = good, o.mode = (enum krait_mode)99;
    assert_null_with(krait_server_new(&o), ENOTSUP);
    o = good, o.max_packet_size = (size_t)-1;
    assert_null_with(krait_server_new(&o), EINVAL);
    o = good, o.type = SOCK_RAW;
    assert_null_with(krait_server_new(&o), ENOTSUP);
}

static void test_a_server_with_a_bad_address_says_which(void **state)
{
    krait_server_options o = {.handle = echo};

    (void)state;
    assert_null_with(krait_server_new(&o), EDESTADDRREQ);
    o.address = krait_addr_parse("nonsense");
    assert_null_with(krait_server_new(&o), EINVAL);
    assert_contains(krait_errmsg(), "nonsense");
    o.address = krait_inet("no-such-host.invalid", 80);
    assert_null_with(krait_server_new(&o), EHOSTUNREACH);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_NAME);
    o.address = krait_unix("/no/such/folder/socket");
    assert_null_with(krait_server_new(&o), ENOENT);
    assert_contains(krait_errmsg(), "/no/such/folder/socket");
}

static void test_serving_no_server_says_why_there_is_none(void **state)
{
    krait_server_options o = {.handle = echo};

    (void)state;
    o.address = krait_addr_parse("nonsense");
    assert_fails(krait_serve_forever(krait_server_new(&o)), EINVAL);
    assert_contains(krait_errmsg(), "nonsense");
    assert_fails(krait_handle_request(krait_server_new(&o)), EINVAL);
    /* What a signal handler may call leaves no record. */
    errno = 0;
    assert_int_equal(krait_server_shutdown(NULL), -1);
    assert_int_equal(errno, EBADF);
    errno = 0;
    assert_int_equal(krait_server_cancel(NULL), -1);
    assert_int_equal(errno, EBADF);
    assert_contains(krait_errmsg(), "nonsense");
    assert_null_with(krait_server_socket(NULL), EBADF);
    assert_int_not_equal(krait_addr_error(krait_server_address(NULL)), 0);
    errno = ENOTTY;
    assert_int_equal(krait_server_close(NULL), 0);
    assert_int_equal(errno, ENOTTY);
}

static void test_an_older_caller_s_struct_is_shorter(void **state)
{
    const struct transport *t = transport_named(INET_STREAM);
    krait_server_options o = options_for(t, echo);
    krait_server *server;
    struct serving s = {0};

    (void)state;
    o.unix_cleanup = 77; /* beyond what the old caller knew: not read */
    o.max_threads = -1;
    server = own_server(krait_server_new_sized(
        &o, offsetof(krait_server_options, max_threads)));
    s.server = server;
    serve_again(&s);
    expect_echo(client_of(server, t), "old");
    stop(&s);
    /* So short that the handler isn't there. */
    assert_null_with(
        krait_server_new_sized(&o, offsetof(krait_server_options, handle)),
        EINVAL);
    assert_null_with(krait_server_new_sized(&o, 0), EINVAL);
}

static void test_a_newer_caller_s_struct_is_longer(void **state)
{
    const struct transport *t = transport_named(INET_STREAM);
    struct {
        krait_server_options known;
        long unknown[4];
    } o = {.known = options_for(t, echo)};
    struct serving s = {0};

    (void)state;
    s.server = own_server(krait_server_new_sized(&o.known, sizeof o));
    serve_again(&s);
    expect_echo(client_of(s.server, t), "new");
    stop(&s);
    /* What this library doesn't know, it can't do: it says so. */
    o.unknown[3] = 1;
    assert_null_with(krait_server_new_sized(&o.known, sizeof o), E2BIG);
}

/* --- addresses --------------------------------------------------------- */

static void test_port_0_becomes_a_real_one(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    krait_server *server = own_server(krait_server_new(&o));

    assert_true(krait_addr_port(krait_server_address(server)) > 0);
    assert_true(
        krait_addr_equal(krait_server_address(server),
                         krait_getsockname(krait_server_socket(server))));
}

static void test_an_address_in_use_is_said(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    krait_server *server = own_server(krait_server_new(&o));
    char text[KRAIT_ADDR_TEXT_MAX];

    o.address = krait_server_address(server);
    assert_null_with(krait_server_new(&o), EADDRINUSE);
    assert_contains(krait_errmsg(),
                    krait_addr_text(o.address, text, sizeof text));
    assert_contains(krait_errmsg(), "`ss -"); /* what would show it */
}

static void test_any_address_is_ipv6_and_ipv4(void **state)
{
    krait_server_options o = {.handle = echo,
                              .address = krait_addr_parse(":0")};
    krait_sock *four = own(krait_socket(AF_INET, SOCK_STREAM, 0)), *six;
    struct serving s = {0};
    int port;

    (void)state;
    serve(&s, &o);
    port = krait_addr_port(krait_server_address(s.server));
    assert_works(krait_connect(four, krait_inet("127.0.0.1", port)));
    expect_echo(four, "four");
    six = krait_socket(AF_INET6, SOCK_STREAM, 0);
    if (six && krait_connect(own(six), krait_inet("::1", port)) == 0)
        expect_echo(six, "six");
    stop(&s);
}

static void test_addresses_are_reused_unless_told_not_to(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    krait_server *server = own_server(krait_server_new(&o));
    int on = -1;

    assert_works(krait_getsockopt(krait_server_socket(server), SOL_SOCKET,
                                  SO_REUSEADDR, &on));
    assert_int_equal(on, 1);
    o.address = fresh_address(t);
    o.no_reuse_address = 1;
    server = own_server(krait_server_new(&o));
    assert_works(krait_getsockopt(krait_server_socket(server), SOL_SOCKET,
                                  SO_REUSEADDR, &on));
    assert_int_equal(on, 0);
}

static int close_at_once(krait_request *req)
{
    (void)req;
    return 0;
}

/* The server's side closes first, so that its port stays in TIME_WAIT. */
static void test_a_server_restarts_on_the_same_port(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, close_at_once);
    krait_server *server;
    krait_sock *client;
    char byte;

    o.mode = KRAIT_SERIAL;
    server = own_server(krait_server_new(&o));
    o.address = krait_server_address(server);
    client = client_of(server, t);
    assert_int_equal(krait_handle_request(server), 1);
    assert_int_equal(krait_recv(client, &byte, 1, 0), 0);
    shut(client);
    shut_server(server);
    own_server(krait_server_new(&o));
}

/* --- socket files ------------------------------------------------------ */

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static krait_server_options cleaning(const char *path, int type)
{
    krait_server_options o = {.handle = echo, .type = type};

    o.address = krait_unix(path);
    o.unix_cleanup = 1;
    return o;
}

static void test_a_stale_socket_file_is_removed(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(types); i++) {
        const char *path = own_path("stale");
        krait_server_options o = cleaning(path, types[i]);
        krait_sock *dead = own(krait_socket(AF_UNIX, types[i], 0));

        assert_works(krait_bind(dead, krait_unix(path)));
        shut(dead); /* leaves its file behind */
        assert_true(exists(path));
        o.unix_cleanup = 0;
        assert_null_with(krait_server_new(&o), EADDRINUSE);
        o.unix_cleanup = 1;
        own_server(krait_server_new(&o));
        assert_true(exists(path));
    }
}

static void test_a_live_socket_file_is_never_removed(void **state)
{
    const struct transport *t = transport_of(state);
    const char *path = own_path("live");
    krait_server_options o = cleaning(path, t->type);
    struct serving s = {0};

    serve(&s, &o);
    assert_null_with(krait_server_new(&o), EADDRINUSE);
    assert_contains(krait_errmsg(), path);
    assert_true(exists(path));
    expect_echo(client_of(s.server, t), "still there");
    stop(&s);
}

/* One whose queue is full is live all the same. */
static void test_a_busy_socket_file_is_never_removed(void **state)
{
    const char *path = own_path("busy");
    krait_server_options o = cleaning(path, SOCK_STREAM);
    krait_sock *server = own(krait_socket(AF_UNIX, SOCK_STREAM, 0));
    krait_sock *client = own(krait_socket(AF_UNIX, SOCK_STREAM, 0));

    (void)state;
    assert_works(krait_bind(server, krait_unix(path)));
    assert_works(krait_listen(server, 0));
    assert_works(krait_connect(client, krait_unix(path)));
    assert_null_with(krait_server_new(&o), EADDRINUSE);
    assert_true(exists(path));
}

static void test_a_file_that_is_no_socket_is_never_removed(void **state)
{
    const char *path = own_path("file"), *link;
    krait_server_options o = cleaning(path, SOCK_STREAM);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    (void)state;
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    assert_null_with(krait_server_new(&o), EEXIST);
    assert_contains(krait_errmsg(), path);
    assert_true(exists(path));

    /* Nor is what a link leads to. */
    link = own_path("link");
    o = cleaning(link, SOCK_STREAM);
    assert_int_equal(symlink(path, link), 0);
    assert_null_with(krait_server_new(&o), EEXIST);
    assert_true(exists(path));
}

static void test_a_server_s_own_file_goes_with_it(void **state)
{
    const char *path = own_path("own");
    krait_server_options o = cleaning(path, SOCK_STREAM);
    krait_server *server = own_server(krait_server_new(&o));

    (void)state;
    assert_true(exists(path));
    shut_server(server);
    assert_false(exists(path));

    o.unix_cleanup = 0;
    server = own_server(krait_server_new(&o));
    shut_server(server);
    assert_true(exists(path)); /* nobody asked */
}

static void test_another_s_file_stays(void **state)
{
    const char *path = own_path("replaced");
    krait_server_options o = cleaning(path, SOCK_STREAM);
    krait_server *old = own_server(krait_server_new(&o));

    (void)state;
    /* Somebody removed the file, and a successor made its own. */
    assert_int_equal(unlink(path), 0);
    own_server(krait_server_new(&o));
    shut_server(old);
    assert_true(exists(path));
}

/* --- many clients ------------------------------------------------------ */

static atomic_int inside, most_inside, served;

/* A handler that stays until its client says so, and counts its like. */
static int stay(krait_request *req)
{
    int here = atomic_fetch_add(&inside, 1) + 1, most, rc;
    char byte;

    most = atomic_load(&most_inside);
    while (here > most &&
           !atomic_compare_exchange_weak(&most_inside, &most, here))
        ;
    handler_is_here();
    rc = krait_recv(req->sock, &byte, 1, 0) == 1 &&
                 krait_reply(req, &byte, 1) == 0
             ? 0
             : -1;
    atomic_fetch_sub(&inside, 1);
    atomic_fetch_add(&served, 1);
    return rc;
}

static void reset_counts(void)
{
    atomic_store(&inside, 0);
    atomic_store(&most_inside, 0);
    atomic_store(&served, 0);
}

static bool three_inside(void *unused)
{
    (void)unused;
    return atomic_load(&inside) == 3;
}

static void test_no_more_handlers_run_than_there_may(void **state)
{
    enum { CLIENTS = 24 };
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, stay);
    krait_sock *clients[CLIENTS];
    struct serving s = {0};
    char byte;
    int i;

    reset_counts();
    o.max_threads = 3;
    serve(&s, &o);
    for (i = 0; i < CLIENTS; i++)
        clients[i] = client_of(s.server, t);
    assert_true(wait_for(three_inside, NULL));
    /* Those who wait are served in their turn. */
    for (i = 0; i < CLIENTS; i++) {
        assert_int_equal(krait_send(clients[i], "x", 1, 0), 1);
        assert_int_equal(krait_recv(clients[i], &byte, 1, 0), 1);
    }
    stop(&s);
    assert_int_equal(atomic_load(&most_inside), 3);
}

static bool one_inside(void *unused)
{
    (void)unused;
    return atomic_load(&inside) == 1;
}

static void test_a_shutdown_is_immediate_when_all_threads_are_busy(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, stay);
    krait_sock *first, *second;
    struct serving s = {0};
    char byte;

    reset_counts();
    o.max_threads = 1;
    serve(&s, &o);
    first = client_of(s.server, t);
    second = client_of(s.server, t);
    assert_true(wait_for(one_inside, NULL));
    stop(&s); /* doesn't wait for the handler: it is still in there */
    assert_int_equal(atomic_load(&inside), 1);
    assert_int_equal(krait_send(first, "x", 1, 0), 1);
    assert_int_equal(krait_recv(first, &byte, 1, 0), 1);

    serve_again(&s); /* who waited has not been lost */
    assert_int_equal(krait_send(second, "y", 1, 0), 1);
    assert_int_equal(krait_recv(second, &byte, 1, 0), 1);
    stop(&s);
}

static bool all_inside(void *wanted)
{
    return atomic_load(&inside) == *(int *)wanted;
}

static void test_close_ends_idle_connections_and_joins_all(void **state)
{
    enum { CLIENTS = 16 };
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, stay);
    krait_sock *clients[CLIENTS];
    struct serving s = {0};
    struct log log = {0};
    int i, wanted = CLIENTS;
    char byte;

    reset_counts();
    krait_set_log(keep_line, &log);
    serve(&s, &o);
    for (i = 0; i < CLIENTS; i++)
        clients[i] = client_of(s.server, t);
    assert_true(wait_for(all_inside, &wanted));
    stop(&s);
    assert_int_equal(atomic_load(&inside), CLIENTS);
    assert_int_equal(shut_server(s.server), 0);
    assert_int_equal(atomic_load(&inside), 0);
    assert_int_equal(atomic_load(&served), CLIENTS);
    krait_set_log(NULL, NULL);
    assert_int_equal(atomic_load(&log.lines), 0); /* an end is no failure */
    for (i = 0; i < CLIENTS; i++)
        assert_int_equal(krait_recv(clients[i], &byte, 1, 0), 0);
}

/* A handler that waits for something other than its socket. */
static krait_sock *gate[2];

static int wait_at_the_gate(krait_request *req)
{
    char byte;

    (void)req;
    atomic_fetch_add(&inside, 1);
    krait_recv(gate[1], &byte, 1, 0);
    atomic_fetch_add(&served, 1);
    return 0;
}

static void do_close_server(void *arg)
{
    struct serving *s = (struct serving *)arg;

    s->rc = krait_server_close(s->server);
}

struct refusal {
    const struct transport *t;
    krait_addr addr;
};

static bool is_refused(void *arg)
{
    struct refusal *r = (struct refusal *)arg;
    krait_sock *s = krait_socket(r->t->family, r->t->type, 0);
    int rc;

    krait_settimeout(s, PATIENCE);
    rc = krait_connect_ex(s, r->addr);
    krait_close(s);
    return rc == ECONNREFUSED;
}

static void test_close_waits_for_a_handler_that_waits_elsewhere(void **state)
{
    struct refusal refused;
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, wait_at_the_gate);
    struct serving s = {0};
    struct task *closer;

    reset_counts();
    any_pair(gate);
    serve(&s, &o);
    assert_int_equal(krait_send(client_of(s.server, t), "x", 1, 0), 1);
    assert_true(wait_for(one_inside, NULL));
    stop(&s);
    refused.addr = krait_server_address(s.server);
    own_drop((void **)own__.servers, s.server);
    closer = start(do_close_server, &s);
    /* It has stopped listening by then, so that nobody comes in vain. */
    refused.t = t;
    if (t->type != SOCK_DGRAM)
        assert_true(wait_for(is_refused, &refused));
    assert_false(atomic_load(&closer->done));
    assert_works(krait_sendstr(gate[0], "x"));
    join(closer);
    assert_int_equal(s.rc, 0);
    assert_int_equal(atomic_load(&served), 1);
}

static int close_my_server(krait_request *req)
{
    atomic_store(&served, krait_server_close(req->server) < 0 ? errno : -1);
    return 0;
}

static void test_a_handler_cannot_close_its_server(void **state)
{
    const struct transport *t = transport_of(state);
    static const enum krait_mode modes[] = {KRAIT_SERIAL, KRAIT_THREADS};
    size_t m;

    for (m = 0; m < COUNT(modes); m++) {
        krait_server_options o = options_for(t, close_my_server);
        krait_server *server;

        reset_counts();
        o.mode = modes[m];
        server = own_server(krait_server_new(&o));
        assert_int_equal(krait_send(client_of(server, t), "x", 1, 0), 1);
        assert_int_equal(krait_handle_request(server), 1);
        shut_server(server); /* joins the thread of the handler */
        assert_int_equal(atomic_load(&served), EDEADLK);
    }
}

static void test_a_server_that_serves_cannot_be_closed(void **state)
{
    krait_server_options o = options_for(transport_of(state), echo);
    struct serving s = {0};

    serve(&s, &o);
    wait_until_blocked(s.task);
    assert_fails(krait_server_close(s.server), EBUSY);
    assert_fails(krait_serve_forever(s.server), EBUSY);
    stop(&s);
}

static int say_a_word(krait_request *req)
{
    if (req->packet)
        return krait_reply(req, "word", 4);
    return krait_sendstr(req->sock, "word");
}

struct crowd {
    const struct transport *t;
    krait_addr addr;
    atomic_int answers;
};

/* Comes, gets its word and goes, many times. No assertions: not the main
 * thread. */
static void come_and_go(void *arg)
{
    struct crowd *crowd = (struct crowd *)arg;
    int i;

    for (i = 0; i < 25; i++) {
        krait_sock *s = krait_socket(crowd->t->family, crowd->t->type, 0);
        char got[8];

        krait_settimeout(s, PATIENCE);
        if (krait_connect(s, crowd->addr) == 0 &&
            krait_recv(s, got, sizeof got, 0) == 4)
            atomic_fetch_add(&crowd->answers, 1);
        krait_close(s);
    }
}

static void test_a_crowd_is_served_by_few_threads(void **state)
{
    enum { THREADS = 8 };
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, say_a_word);
    struct crowd crowd = {.t = t};
    struct task *tasks[THREADS];
    struct serving s = {0};
    int i;

    o.max_threads = 4;
    /* Where the kernel makes clients wait for a place in the queue. TCP drops
     * what doesn't fit, and takes half a minute to notice. */
    if (t->family == AF_UNIX)
        o.backlog = 2;
    serve(&s, &o);
    crowd.addr = krait_server_address(s.server);
    for (i = 0; i < THREADS; i++)
        tasks[i] = start(come_and_go, &crowd);
    for (i = 0; i < THREADS; i++)
        join(tasks[i]);
    stop(&s);
    assert_int_equal(atomic_load(&crowd.answers), THREADS * 25);
}

/* Servers that begin and end while clients come. */
static void test_servers_end_at_any_moment(void **state)
{
    const struct transport *t = transport_of(state);
    int round, i;

    for (round = 0; round < 40; round++) {
        krait_server_options o = options_for(t, stay);
        krait_sock *clients[4];
        struct serving s = {0};

        reset_counts();
        o.mode = round % 2 ? KRAIT_THREADS : KRAIT_SERIAL;
        o.max_threads = 1 + round % 3;
        serve(&s, &o);
        for (i = 0; i < 4; i++)
            clients[i] = client_of(s.server, t);
        for (i = 0; i < round % 4; i++)
            krait_send(clients[i], "x", 1, 0);
        assert_works(krait_server_cancel(s.server));
        join(s.task);
        assert_int_equal(s.rc, 0);
        assert_int_equal(shut_server(s.server), 0);
        assert_int_equal(atomic_load(&inside), 0);
        for (i = 0; i < 4; i++)
            shut(clients[i]);
    }
}

/* Who cancels may still be at it when the serving thread has returned and
 * closes: what is closed must outlive the call. */
static void do_cancel(void *arg)
{
    struct serving *s = (struct serving *)arg;

    s->err = krait_server_cancel(s->server);
}

static void do_shutdown(void *arg)
{
    struct serving *s = (struct serving *)arg;

    s->err = krait_server_shutdown(s->server);
}

static void test_a_server_may_be_closed_once_serving_has_returned(void **state)
{
    const struct transport *t = transport_of(state);
    int round;

    for (round = 0; round < (under_valgrind() ? 20 : 300); round++) {
        krait_server_options o = options_for(t, echo);
        struct serving s = {.server = own_server(krait_server_new(&o))};
        struct task *task;

        task = start(round % 2 ? do_cancel : do_shutdown, &s);
        assert_int_equal(krait_serve_forever(s.server), 0);
        assert_int_equal(shut_server(s.server), 0);
        join_and_forget(task);
        assert_int_equal(s.err, 0);
    }
}

/* A server's way to look whether there is something, and go on. */
static void test_handle_request_need_not_wait(void **state)
{
    const struct transport *t = transport_of(state);
    krait_server_options o = options_for(t, echo);
    krait_server *server;

    server = own_server(krait_server_new(&o));
    assert_works(krait_settimeout(krait_server_socket(server), 0));
    assert_int_equal(krait_handle_request(server), 0);
    assert_works(krait_sendall(client_of(server, t), "now", 3, 0));
    while (krait_handle_request(server) == 0)
        nap(0.001); /* TCP's handshake may still be on its way */
}

/* Processes that start at once over a stale file: one of them serves, and its
 * file is there. */
static int start_a_rival(const char *path, int ready, int go)
{
    krait_server_options o = cleaning(path, SOCK_STREAM);
    krait_server *server;
    char byte = 'n';

    alarm(TEST_SECONDS);
    if (read(go, &byte, 1) != 0) /* the end: everybody at once */
        return 1;
    server = krait_server_new(&o);
    byte = server ? 'y' : errno == EADDRINUSE ? 'n' : '?';
    if (write(ready, &byte, 1) != 1)
        return 2;
    if (server)
        pause(); /* ended by the test */
    return 0;
}

static void end_rivals(const pid_t *pids, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
}

/* How many of `count` processes serve; -1 where one failed otherwise. */
static int race_for(const char *path, pid_t *pids, int count)
{
    int ready[2], go[2], serving = 0, i;

    if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
        return -1;
    for (i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            close(go[1]);
            _exit(start_a_rival(path, ready[1], go[0]));
        }
    }
    close(go[0]);
    close(go[1]);
    close(ready[1]);
    for (i = 0; i < count; i++) {
        char byte = '?';

        if (read(ready[0], &byte, 1) != 1 || byte == '?')
            serving = -count;
        serving += byte == 'y';
    }
    close(ready[0]);
    return serving;
}

static void test_of_rivals_over_a_stale_file_one_serves(void **state)
{
    enum { RIVALS = 4 };
    const char *path = own_path("rivals");
    int round;

    (void)state;
    for (round = 0; round < (under_valgrind() ? 3 : 50); round++) {
        krait_sock *dead = own(krait_socket(AF_UNIX, SOCK_STREAM, 0));
        krait_sock *client = own(krait_socket(AF_UNIX, SOCK_STREAM, 0));
        pid_t pids[RIVALS];
        int serving, reached;

        assert_works(krait_bind(dead, krait_unix(path)));
        shut(dead);
        serving = race_for(path, pids, RIVALS);
        reached = krait_connect_ex(client, krait_unix(path));
        end_rivals(pids, RIVALS);
        assert_int_equal(serving, 1);
        assert_int_equal(reached, 0);
        shut(client);
        unlink(path);
    }
}

/* --- nothing left ------------------------------------------------------ */

static void test_an_fd_closed_underneath_ends_serving(void **state)
{
    krait_server_options o = options_for(transport_of(state), echo);
    krait_server *server = own_server(krait_server_new(&o));

    close(krait_fileno(krait_server_socket(server)));
    assert_fails(krait_serve_forever(server), EBADF);
    assert_fails(krait_handle_request(server), EBADF);
    shut_server(server);
}

static struct log emfile_log;

static bool has_complained(void *unused)
{
    (void)unused;
    return atomic_load(&emfile_log.lines) > 0;
}

/* In a child, which may be left without fds. Says what went wrong. */
static const char *live_without_fds(void)
{
    krait_server_options o = {.handle = echo, .address = krait_unix("")};
    struct serving s = {0};
    krait_sock *client = krait_socket(AF_UNIX, SOCK_STREAM, 0);
    struct rlimit limit = {64, 64};
    double since, cpu;
    char byte = 0;
    int fds[64], n = 0;
    struct task task = {.run = do_serve, .arg = &s};

    krait_set_log(keep_line, &emfile_log);
    s.server = krait_server_new(&o);
    if (!s.server || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return "no server";
    while (n < 64 && (fds[n] = dup(0)) >= 0)
        n++;
    if (pthread_create(&task.thread, NULL, task_main, &task) != 0)
        return "no thread";
    krait_settimeout(client, PATIENCE);
    if (krait_connect(client, krait_server_address(s.server)) < 0)
        return "no connection";
    if (!wait_for(has_complained, NULL))
        return "nothing is said";
    since = now();
    cpu = cpu_time();
    nap(0.5); /* while nothing can be accepted, nothing is to be done */
    if (cpu_time() - cpu > (now() - since) / 2)
        return "a busy loop";
    if (atomic_load(&emfile_log.lines) != 1)
        return "said more than once";
    while (n > 0)
        close(fds[--n]);
    if (krait_sendstr(client, "x") < 0 || krait_recv(client, &byte, 1, 0) != 1)
        return "the client was lost";
    krait_server_shutdown(s.server);
    pthread_join(task.thread, NULL);
    krait_close(client);
    if (s.rc != 0)
        return "serve_forever gave up";
    return krait_server_close(s.server) < 0 ? "not closed" : NULL;
}

static void test_running_out_of_fds_is_ridden_out(void **state)
{
    int status = -1;
    pid_t pid;

    (void)state;
    needs_threads_after_fork();
    if (under_valgrind())
        skip_because("Valgrind itself accepts before it says EMFILE");
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const char *wrong;

        alarm(TEST_SECONDS);
        wrong = live_without_fds();
        if (wrong)
            fprintf(stderr, "%s; the log: %s\n", wrong, emfile_log.last);
        _exit(wrong != NULL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_options_that_make_no_sense_are_refused), ONCE},
        {TEST(test_a_server_with_a_bad_address_says_which), ONCE},
        {TEST(test_serving_no_server_says_why_there_is_none), ONCE},
        {TEST(test_an_older_caller_s_struct_is_shorter), ONCE},
        {TEST(test_a_newer_caller_s_struct_is_longer), ONCE},
        {TEST(test_port_0_becomes_a_real_one),
         INET_STREAM | INET6_STREAM | INET_DGRAM | INET6_DGRAM},
        {TEST(test_an_address_in_use_is_said), STREAMS | SEQPACKETS},
        {TEST(test_any_address_is_ipv6_and_ipv4), ONCE},
        {TEST(test_addresses_are_reused_unless_told_not_to),
         INET_STREAM | INET6_STREAM},
        {TEST(test_a_server_restarts_on_the_same_port),
         INET_STREAM | INET6_STREAM},
        {TEST(test_a_stale_socket_file_is_removed), ONCE},
        {TEST(test_a_live_socket_file_is_never_removed),
         UNIX_STREAM | UNIX_DGRAM | UNIX_SEQPACKET},
        {TEST(test_a_busy_socket_file_is_never_removed), ONCE},
        {TEST(test_a_file_that_is_no_socket_is_never_removed), ONCE},
        {TEST(test_a_server_s_own_file_goes_with_it), ONCE},
        {TEST(test_another_s_file_stays), ONCE},
        {TEST(test_no_more_handlers_run_than_there_may), CONNECTIONS},
        {TEST(test_a_shutdown_is_immediate_when_all_threads_are_busy),
         CONNECTIONS},
        {TEST(test_close_ends_idle_connections_and_joins_all), CONNECTIONS},
        {TEST(test_close_waits_for_a_handler_that_waits_elsewhere), EVERY},
        {TEST(test_a_handler_cannot_close_its_server), EVERY},
        {TEST(test_a_server_that_serves_cannot_be_closed), EVERY},
        {TEST(test_a_crowd_is_served_by_few_threads), CONNECTIONS},
        {TEST(test_servers_end_at_any_moment), CONNECTIONS},
        {TEST(test_a_server_may_be_closed_once_serving_has_returned),
         UNIX_STREAM | INET_STREAM | INET_DGRAM},
        {TEST(test_handle_request_need_not_wait), STREAMS | INET_DGRAM},
        {TEST(test_of_rivals_over_a_stale_file_one_serves), ONCE},
        {TEST(test_an_fd_closed_underneath_ends_serving), EVERY},
        {TEST(test_running_out_of_fds_is_ridden_out), ONCE},
    };

    return run_all(argc, argv, "server_limits", tests, COUNT(tests));
}
