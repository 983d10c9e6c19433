/* SPDX-License-Identifier: MIT
 *
 * test_dial.c - krait_create_connection: to whichever address of a name works;
 * and krait_create_server.
 *
 * ctest: flows
 */
#include "support.h"

static void test_a_connection_is_made_in_one_call(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = listener(t), *client, *conn;
    krait_addr addr = krait_getsockname(server);
    char text[KRAIT_ADDR_TEXT_MAX], typed[KRAIT_ADDR_TEXT_MAX + 16], byte;

    /* What is no stream has to say so. */
    krait_addr_text(addr, text, sizeof text);
    if (t->type == SOCK_SEQPACKET && strncmp(text, "seqpacket:", 10) != 0) {
        snprintf(typed, sizeof typed, "seqpacket:%s", text);
        addr = krait_addr_parse(typed);
    }
    client = own(krait_create_connection(addr, KRAIT_FOREVER));
    conn = own(krait_accept(server, NULL));
    assert_int_equal(krait_type(client), t->type);
    assert_int_equal(krait_family(client), t->family);
    assert_true(krait_addr_equal(krait_getpeername(client), addr));
    assert_int_equal(krait_send(client, "x", 1, 0), 1);
    assert_int_equal(krait_recv(conn, &byte, 1, 0), 1);
}

static void test_the_socket_keeps_the_timeout(void **state)
{
    krait_sock *server = listener(transport_named(INET_STREAM)), *client;
    krait_addr addr = krait_getsockname(server);

    (void)state;
    client = own(krait_create_connection(addr, 12.5));
    assert_true(krait_gettimeout(client) == 12.5);
    client = own(krait_create_connection(addr, KRAIT_FOREVER));
    assert_true(krait_gettimeout(client) == KRAIT_FOREVER);
}

static void test_a_timeout_that_is_none_is_refused(void **state)
{
    krait_addr addr = krait_inet("127.0.0.1", 9);

    (void)state;
    assert_null_with(krait_create_connection(addr, 0), EINVAL);
    assert_null_with(krait_create_connection(addr, -1), EINVAL);
    assert_null_with(krait_create_connection(addr, (double)__builtin_nan("")),
                     EINVAL);
}

static void test_a_datagram_socket_is_connected_too(void **state)
{
    krait_sock *server = bound(transport_named(INET_DGRAM)), *client;
    char text[64], byte;

    (void)state;
    snprintf(text, sizeof text, "udp:127.0.0.1:%d",
             krait_addr_port(krait_getsockname(server)));
    client = own(krait_create_connection(krait_addr_parse(text), 5));
    assert_int_equal(krait_type(client), SOCK_DGRAM);
    assert_int_equal(krait_send(client, "x", 1, 0), 1);
    assert_int_equal(krait_recv(server, &byte, 1, 0), 1);
}

static void test_a_name_is_tried_in_every_family(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = listener(t), *client;
    int port = krait_addr_port(krait_getsockname(server));
    krait_addr found[8];

    if (krait_addr_resolve(krait_inet("localhost", port), t->family,
                           KRAIT_FOREVER, found, 8) < 0)
        skip_because("localhost has no address in this family");
    /* On most machines the other family refuses first, or comes second. */
    client = own(krait_create_connection(krait_inet("localhost", port), 30));
    own(krait_accept(server, NULL));
    assert_int_equal(krait_addr_port(krait_getpeername(client)), port);
    assert_true(krait_gettimeout(client) == 30);
}

static void test_nobody_there_is_said(void **state)
{
    krait_sock *s = bound(transport_of(state));
    krait_addr addr = krait_getsockname(s);
    char text[KRAIT_ADDR_TEXT_MAX];

    /* Bound, but nobody listens. */
    assert_null_with(krait_create_connection(addr, KRAIT_FOREVER),
                     ECONNREFUSED);
    assert_contains(krait_errmsg(), "connect");
    assert_contains(krait_errmsg(), krait_addr_text(addr, text, sizeof text));
}

static void test_the_timeout_is_for_all_of_it(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = full_listener(t);
    double since = now();

    assert_null_with(krait_create_connection(krait_getsockname(server), 0.05),
                     ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_true(now() - since >= 0.05);
}

static int give_up(void *arg)
{
    (void)arg;
    return 1;
}

static void ignore_signal(int signo)
{
    (void)signo;
}

struct dialling {
    krait_addr addr;
    krait_sock *sock;
    int err;
};

static void do_dial(void *arg)
{
    struct dialling *d = (struct dialling *)arg;

    d->sock = krait_create_connection(d->addr, KRAIT_FOREVER);
    d->err = errno;
}

static void test_the_signal_hook_can_stop_it(void **state)
{
    struct sigaction sa = {.sa_handler = ignore_signal}, before;
    struct dialling d = {.err = 0};
    struct task *task;

    d.addr = krait_getsockname(full_listener(transport_of(state)));
    krait_set_signal_hook(give_up, NULL);
    sigaction(SIGUSR1, &sa, &before);
    task = start(do_dial, &d);
    hail_until_done(task, SIGUSR1);
    join(task);
    sigaction(SIGUSR1, &before, NULL);
    krait_set_signal_hook(NULL, NULL);
    assert_null(d.sock);
    assert_int_equal(d.err, EINTR);
}

/* --- listening ---------------------------------------------------------- */

static krait_sock *reached(krait_sock *server, const char *host)
{
    krait_addr addr =
        krait_inet(host, krait_addr_port(krait_getsockname(server)));
    krait_sock *client = krait_create_connection(addr, PATIENCE);

    if (client) {
        own(client);
        own(krait_accept(server, NULL));
    }
    return client;
}

static void test_a_server_is_made_in_one_call(void **state)
{
    krait_sock *server;

    (void)state;
    server = own(krait_create_server(krait_inet("127.0.0.1", 0), NULL));
    assert_int_equal(krait_type(server), SOCK_STREAM);
    assert_non_null(reached(server, "127.0.0.1"));
    server = own(krait_create_server(krait_inet("localhost", 0), NULL));
    assert_int_equal(krait_family(server), AF_INET);
    assert_non_null(reached(server, "127.0.0.1"));
    server =
        own(krait_create_server(krait_addr_parse("udp:127.0.0.1:0"), NULL));
    assert_int_equal(krait_type(server), SOCK_DGRAM);
}

static void test_one_socket_takes_both_families(void **state)
{
    krait_listen_options both = {.dualstack_ipv6 = 1};
    krait_sock *server;

    (void)state;
    if (!krait_has_dualstack_ipv6())
        skip_because("this kernel has no IPv6");
    server = own(krait_create_server(krait_inet("", 0), NULL));
    assert_non_null(reached(server, "127.0.0.1"));
    assert_non_null(reached(server, "::1"));
    server = own(krait_create_server(krait_inet("::", 0), &both));
    assert_non_null(reached(server, "127.0.0.1"));
    assert_non_null(reached(server, "::1"));
    server = own(krait_create_server(krait_inet("::", 0), NULL));
    assert_null(reached(server, "127.0.0.1"));
    assert_non_null(reached(server, "::1"));
    assert_null_with(krait_create_server(krait_inet("127.0.0.1", 0), &both),
                     EINVAL);
    assert_contains(krait_errmsg(), "dualstack_ipv6 is for an IPv6 address");
    /* A name never becomes an IPv4 socket then. */
    server = krait_create_server(krait_inet("localhost", 0), &both);
    assert_true(!server || krait_family(own(server)) == AF_INET6);
}

static void test_several_share_a_port(void **state)
{
    krait_listen_options shared = {.reuse_port = 1, .backlog = 1};
    krait_sock *server;
    krait_addr addr;

    (void)state;
    server = own(krait_create_server(krait_inet("127.0.0.1", 0), &shared));
    addr = krait_getsockname(server);
    own(krait_create_server(addr, &shared));
    assert_null_with(krait_create_server(addr, NULL), EADDRINUSE);
    assert_contains(krait_errmsg(), "127.0.0.1");
    assert_null_with(krait_create_server(krait_inet("127.0.0.1", 0),
                                         &(krait_listen_options){
                                             .backlog = -1,
                                         }),
                     EINVAL);
}

static void test_a_unix_server_wants_a_free_path(void **state)
{
    char path[64];
    krait_listen_options shared = {.reuse_port = 1};
    krait_addr addr;

    (void)state;
    snprintf(path, sizeof path, "@krait-test-dial-%d", getpid());
    addr = krait_unix_abstract(path, strlen(path));
    own(krait_create_server(addr, NULL));
    assert_null_with(krait_create_server(addr, NULL), EADDRINUSE);
    assert_null_with(krait_create_server(addr, &shared), EOPNOTSUPP);
    assert_contains(krait_errmsg(), "reuse_port is for IPv4 and IPv6");
}

static void test_has_dualstack_ipv6_fails_silently(void **state)
{
    (void)state;
    assert_fails(krait_setdefaulttimeout(-1), EINVAL);
    errno = ENOTTY;
    krait_has_dualstack_ipv6();
    assert_int_equal(errno, ENOTTY);
    assert_contains(krait_errmsg(), "setdefaulttimeout");
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_a_connection_is_made_in_one_call), CONNECTIONS},
        {TEST(test_the_socket_keeps_the_timeout), ONCE},
        {TEST(test_a_timeout_that_is_none_is_refused), ONCE},
        {TEST(test_a_datagram_socket_is_connected_too), ONCE},
        {TEST(test_a_name_is_tried_in_every_family),
         INET_STREAM | INET6_STREAM},
        {TEST(test_nobody_there_is_said), STREAMS},
        {TEST(test_the_timeout_is_for_all_of_it), STREAMS},
        {TEST(test_the_signal_hook_can_stop_it), STREAMS},
        {TEST(test_a_server_is_made_in_one_call), ONCE},
        {TEST(test_one_socket_takes_both_families), ONCE},
        {TEST(test_several_share_a_port), ONCE},
        {TEST(test_a_unix_server_wants_a_free_path), ONCE},
        {TEST(test_has_dualstack_ipv6_fails_silently), ONCE},
    };

    return run_all(argc, argv, "dial", tests, COUNT(tests));
}
