/* SPDX-License-Identifier: MIT
 *
 * test_datagram.c - messages with edges: datagrams, and the records of
 * SEQPACKET, which go whole or not at all.
 *
 * ctest: flows
 */
#include "support.h"

#include <linux/errqueue.h>

static void test_sendto_and_recvfrom_name_the_other_end(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *a = bound(t), *b = bound(t);
    krait_addr from;
    char got[8];

    assert_int_equal(krait_sendto(a, "ping", 4, 0, krait_getsockname(b)), 4);
    assert_int_equal(krait_recvfrom(b, got, sizeof got, 0, &from), 4);
    assert_memory_equal(got, "ping", 4);
    assert_true(krait_addr_equal(from, krait_getsockname(a)));
    assert_int_equal(krait_sendto(b, "pong!", 5, 0, from), 5);
    assert_int_equal(krait_recvfrom(a, got, sizeof got, 0, NULL), 5);
}

static void test_an_unnamed_sender_is_no_address(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *a = bound(t), *b = fresh(t);
    krait_addr from = krait_inet("1.2.3.4", 5);
    char got[4];

    assert_int_equal(krait_sendto(b, "x", 1, 0, krait_getsockname(a)), 1);
    assert_int_equal(krait_recvfrom(a, got, 4, 0, &from), 1);
    assert_false(krait_addr_equal(from, krait_inet("1.2.3.4", 5)));
}

static void test_a_message_keeps_its_edges(void **state)
{
    krait_sock *pair[2];
    char got[16];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[0], "one", 3, 0), 3);
    assert_works(krait_sendall(pair[0], "three", 5, 0));
    assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 3);
    assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 5);
}

static void test_msg_waitall_does_not_join_messages(void **state)
{
    krait_sock *pair[2];
    char got[16];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[0], "one", 3, 0), 3);
    assert_int_equal(krait_send(pair[0], "three", 5, 0), 5);
    assert_int_equal(krait_recv(pair[1], got, sizeof got, MSG_WAITALL), 3);
    assert_int_equal(krait_recv(pair[1], got, sizeof got, MSG_WAITALL), 5);
    assert_memory_equal(got, "three", 5);
}

static void test_a_message_that_is_too_long_for_the_buffer_is_cut(void **state)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[0], "longer", 6, 0), 6);
    assert_int_equal(krait_send(pair[0], "next", 4, 0), 4);
    assert_int_equal(krait_recv(pair[1], got, 2, 0), 2);
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 4);
    assert_memory_equal(got, "next", 4);
}

static void test_msg_trunc_tells_how_long_a_cut_message_was(void **state)
{
    krait_sock *pair[2];
    char got[8] = "########";

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[0], "longer", 6, 0), 6);
    assert_int_equal(krait_recv(pair[1], got, 2, MSG_TRUNC | MSG_PEEK), 6);
    assert_int_equal(
        krait_recvfrom(pair[1], NULL, 0, MSG_TRUNC | MSG_PEEK, NULL), 6);
    assert_int_equal(krait_recvfrom(pair[1], got, 2, MSG_TRUNC, NULL), 6);
    assert_memory_equal(got, "lo######", 8);
}

static void test_an_empty_message_is_real(void **state)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[0], NULL, 0, 0), 0);
    assert_works(krait_sendall(pair[0], NULL, 0, 0));
    assert_works(krait_sendstr(pair[0], "x"));
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 0);
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 0);
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 1);
}

/* As in CPython: recv(0) asks for nothing and does nothing, but recvfrom(0)
 * takes a datagram out of the queue, as recv(2) does. */
static void test_only_recvfrom_takes_a_message_into_nothing(void **state)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[0], "a", 1, 0), 1);
    assert_int_equal(krait_send(pair[0], "b", 1, 0), 1);
    assert_int_equal(krait_recv(pair[1], got, 0, 0), 0);
    assert_int_equal(krait_recvfrom(pair[1], NULL, 0, 0, NULL), 0);
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 1);
    assert_int_equal(got[0], 'b');
}

static void test_msg_peek_leaves_the_message(void **state)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[0], "abc", 3, 0), 3);
    assert_int_equal(krait_recv(pair[1], got, 4, MSG_PEEK), 3);
    assert_int_equal(krait_recv(pair[1], got, 4, MSG_PEEK | MSG_WAITALL), 3);
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 3);
    assert_fails(krait_recv(pair[1], got, 4, MSG_DONTWAIT), EAGAIN);
}

static void test_a_message_that_is_too_long_to_send_is_refused(void **state)
{
    krait_sock *pair[2];
    unsigned char *data = patterned((size_t)16 << 20);

    connect_pair(transport_of(state), pair);
    assert_fails(krait_send(pair[0], data, (size_t)16 << 20, 0), EMSGSIZE);
    assert_fails(krait_sendall(pair[0], data, (size_t)16 << 20, 0), EMSGSIZE);
}

static void test_a_datagram_to_nowhere_wants_an_address(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *s = bound(t);
    int wanted = t->family == AF_UNIX ? ENOTCONN : EDESTADDRREQ;

    assert_fails(krait_send(s, "x", 1, 0), wanted);
    assert_fails(krait_sendall(s, "x", 1, 0), wanted);
}

static void test_a_datagram_to_nobody_is_refused(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *s = bound(t);
    krait_addr nobody = fresh_address(t);
    int wanted = t->bit == UNIX_DGRAM ? ENOENT : ECONNREFUSED;

    assert_fails(krait_sendto(s, "x", 1, 0, nobody), wanted);
    assert_fails(krait_connect(s, nobody), wanted);
    assert_contains(krait_errmsg(), "connect udp:unix:");
}

/* The peer's ICMP comes back as an error of a later call. */
static void test_a_closed_udp_port_refuses_the_next_call(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *pair[2];
    char got[4];

    connect_pair(t, pair);
    assert_works(krait_settimeout(pair[0], PATIENCE));
    shut(pair[1]);
    assert_int_equal(krait_send(pair[0], "x", 1, 0), 1);
    assert_fails(krait_recv(pair[0], got, 4, 0), ECONNREFUSED);
}

static void test_a_full_queue_makes_sendto_wait(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = bound(t), *full = fresh(t);
    struct call call = {.buf = "last", .len = 4};
    size_t queued = 0, i;
    char got[8];

    call.sock = fresh(t); /* the queue is filled by somebody else */
    call.addr = krait_getsockname(server);
    while (krait_sendto(full, "x", 1, MSG_DONTWAIT, call.addr) == 1)
        queued++;
    assert_int_equal(errno, EAGAIN);
    call_and_block(&call, do_sendto);
    for (i = 0; i < queued; i++)
        assert_int_equal(krait_recv(server, got, sizeof got, 0), 1);
    join(call.task);
    assert_int_equal(call.rc, 4);
    assert_int_equal(krait_recv(server, got, sizeof got, 0), 4);
}

static void test_a_full_queue_makes_sendto_time_out(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = bound(t), *full = fresh(t), *s = fresh(t);
    krait_addr addr = krait_getsockname(server);
    double since, cpu;

    while (krait_sendto(full, "x", 1, MSG_DONTWAIT, addr) == 1)
        ;
    assert_int_equal(errno, EAGAIN);
    assert_works(krait_settimeout(s, 0.3));
    since = now();
    cpu = cpu_time();
    assert_fails(krait_sendto(s, "x", 1, 0, addr), ETIMEDOUT);
    assert_true(now() - since >= 0.3);
    assert_true(cpu_time() - cpu < (now() - since) / 2); /* no busy loop */
}

static void test_a_full_connection_makes_send_wait(void **state)
{
    struct call call = {.buf = "last", .len = 4};
    krait_sock *pair[2];
    char got[4096];
    ssize_t n;

    connect_pair(transport_of(state), pair);
    assert_true(fill(pair[0]) > 0);
    call.sock = pair[0];
    call_and_block(&call, do_send);
    while ((n = krait_recv(pair[1], got, sizeof got, 0)) == sizeof got)
        ;
    join(call.task);
    assert_int_equal(call.rc, 4);
    assert_int_equal(n, 4);
}

static void test_recvfrom_waits_for_a_datagram(void **state)
{
    const struct transport *t = transport_of(state);
    char got[8];
    struct call call = {.sock = bound(t), .buf = got, .len = sizeof got};
    krait_sock *s = bound(t);

    call_and_block(&call, do_recvfrom);
    assert_int_equal(
        krait_sendto(s, "late", 4, 0, krait_getsockname(call.sock)), 4);
    join(call.task);
    assert_int_equal(call.rc, 4);
    assert_true(krait_addr_equal(call.addr, krait_getsockname(s)));
}

/* With IP_RECVERR an error stays in a queue of its own, and poll(2) calls the
 * socket ready as long as it does: waiting must neither spin nor give up. */
static krait_sock *socket_with_a_queued_error(const struct transport *t)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(t, pair);
    if (t->family == AF_INET)
        assert_works(krait_setsockopt(pair[0], IPPROTO_IP, IP_RECVERR, 1));
    else
        assert_works(krait_setsockopt(pair[0], IPPROTO_IPV6, IPV6_RECVERR, 1));
    assert_works(krait_settimeout(pair[0], PATIENCE));
    shut(pair[1]);
    assert_int_equal(krait_send(pair[0], "x", 1, 0), 1);
    assert_fails(krait_recv(pair[0], got, 4, 0), ECONNREFUSED);
    return pair[0];
}

static void test_a_queued_error_does_not_make_recv_spin(void **state)
{
    krait_sock *s = socket_with_a_queued_error(transport_of(state));
    double since = now(), cpu = cpu_time();
    char got[4];

    assert_works(krait_settimeout(s, 0.4));
    assert_fails(krait_recv(s, got, 4, 0), ETIMEDOUT);
    assert_true(now() - since >= 0.4);
    assert_true(cpu_time() - cpu < (now() - since) / 2);
    /* It is still there for who asks. */
    assert_true(krait_recv(s, got, 4, MSG_ERRQUEUE) >= 0);
    assert_fails(krait_recv(s, got, 4, MSG_ERRQUEUE), EAGAIN);
}

static void test_a_queued_error_does_not_keep_data_away(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *s = socket_with_a_queued_error(t), *peer = fresh(t);
    char got[4];
    struct call call = {.sock = s, .buf = got, .len = sizeof got};

    call_and_block(&call, do_recv);
    /* The only one that the connected socket listens to: who has the port. */
    assert_works(krait_bind(peer, krait_getpeername(s)));
    assert_int_equal(krait_sendto(peer, "data", 4, 0, krait_getsockname(s)), 4);
    join(call.task);
    assert_int_equal(call.rc, 4);
}

static void test_an_error_that_comes_during_the_wait_ends_it(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *pair[2];
    char got[4];
    struct call call = {.buf = got, .len = sizeof got};

    connect_pair(t, pair);
    shut(pair[1]);
    call.sock = pair[0];
    call_and_block(&call, do_recv);
    assert_int_equal(krait_send(pair[0], "x", 1, 0), 1);
    assert_call_fails(&call, ECONNREFUSED);
}

/* The old way to wake who waits for a datagram; and without a waiter. */
static void test_a_shutdown_is_the_end_of_datagrams(void **state)
{
    krait_sock *pair[2];
    char got[4];
    struct call call = {.buf = got, .len = sizeof got};

    connect_pair(transport_of(state), pair);
    call.sock = pair[0];
    call_and_block(&call, do_recv);
    assert_works(krait_shutdown(pair[0], SHUT_RD));
    join(call.task);
    assert_int_equal(call.rc, 0);
    assert_int_equal(krait_recv(pair[0], got, 4, 0), 0);
}

static void test_a_datagram_from_before_the_shutdown_is_not_lost(void **state)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[1], "abc", 3, 0), 3);
    assert_works(krait_shutdown(pair[0], SHUT_RD));
    assert_int_equal(krait_recv(pair[0], got, 4, 0), 3);
    assert_int_equal(krait_recv(pair[0], got, 4, 0), 0);
}

/* The usual way to ask how much room the next message needs. */
static void test_a_peek_without_room_tells_the_length(void **state)
{
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[1], "abcdef", 6, 0), 6);
    assert_int_equal(krait_recv(pair[0], NULL, 0, MSG_PEEK | MSG_TRUNC), 6);
}

static void test_many_readers_get_one_datagram_each(void **state)
{
    check_each_reader_gets_one(transport_of(state));
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_sendto_and_recvfrom_name_the_other_end), DGRAMS},
        {TEST(test_an_unnamed_sender_is_no_address),
         UNIX_DGRAM | ABSTRACT_DGRAM},
        {TEST(test_a_message_keeps_its_edges), MESSAGES},
        {TEST(test_msg_waitall_does_not_join_messages), MESSAGES},
        {TEST(test_a_message_that_is_too_long_for_the_buffer_is_cut), MESSAGES},
        {TEST(test_msg_trunc_tells_how_long_a_cut_message_was), MESSAGES},
        {TEST(test_an_empty_message_is_real), MESSAGES},
        {TEST(test_only_recvfrom_takes_a_message_into_nothing), MESSAGES},
        {TEST(test_msg_peek_leaves_the_message), MESSAGES},
        {TEST(test_a_message_that_is_too_long_to_send_is_refused), MESSAGES},
        {TEST(test_a_datagram_to_nowhere_wants_an_address), DGRAMS},
        {TEST(test_a_datagram_to_nobody_is_refused),
         UNIX_DGRAM | ABSTRACT_DGRAM},
        {TEST(test_a_closed_udp_port_refuses_the_next_call),
         INET_DGRAM | INET6_DGRAM},
        {TEST(test_a_full_queue_makes_sendto_wait),
         UNIX_DGRAM | ABSTRACT_DGRAM},
        {TEST(test_a_full_queue_makes_sendto_time_out),
         UNIX_DGRAM | ABSTRACT_DGRAM},
        {TEST(test_a_full_connection_makes_send_wait), SEQPACKETS},
        {TEST(test_recvfrom_waits_for_a_datagram), DGRAMS},
        {TEST(test_a_queued_error_does_not_make_recv_spin),
         INET_DGRAM | INET6_DGRAM},
        {TEST(test_a_queued_error_does_not_keep_data_away),
         INET_DGRAM | INET6_DGRAM},
        {TEST(test_an_error_that_comes_during_the_wait_ends_it),
         INET_DGRAM | INET6_DGRAM},
        {TEST(test_a_shutdown_is_the_end_of_datagrams), DGRAMS},
        {TEST(test_a_datagram_from_before_the_shutdown_is_not_lost), DGRAMS},
        {TEST(test_a_peek_without_room_tells_the_length), MESSAGES},
        {TEST(test_many_readers_get_one_datagram_each), MESSAGES},
    };

    return run_all(argc, argv, "datagram", tests, COUNT(tests));
}
