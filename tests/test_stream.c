/* SPDX-License-Identifier: MIT
 *
 * test_stream.c - what connections carry: recv, send, sendall and their flags
 * over every stream, and over SEQPACKET where that means the same.
 *
 * ctest: flows
 */
#include "support.h"

#define MEGABYTES  ((size_t)8 << 20)
#define SLOW_BYTES ((size_t)2 << 20) /* in pieces of a few kB */

/* Reads in odd pieces, now and then looking away, and checks every byte. */
struct reader {
    krait_sock *sock;
    size_t got;
    bool wrong, failed;
};

static void read_slowly(void *arg)
{
    struct reader *r = (struct reader *)arg;
    unsigned char buf[7919]; /* a prime: pieces never line up */
    ssize_t n;
    ssize_t i;

    while ((n = krait_recv(r->sock, buf, sizeof buf, 0)) > 0) {
        for (i = 0; i < n; i++)
            r->wrong |= buf[i] != pattern(r->got + (size_t)i);
        r->got += (size_t)n;
        if (r->got % 31 == 0)
            nap(0.0002); /* slow: no result depends on how long */
    }
    r->failed = n < 0;
}

static void test_what_is_sent_is_received(void **state)
{
    krait_sock *pair[2];
    char got[16];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[0], "hello", 5, 0), 5);
    assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 5);
    assert_memory_equal(got, "hello", 5);
    assert_works(krait_sendstr(pair[1], "server received you message."));
    assert_int_equal(krait_recv(pair[0], got, 6, 0), 6);
    assert_memory_equal(got, "server", 6);
}

static void test_recv_waits_for_what_comes_later(void **state)
{
    char got[8] = {0};
    struct call call = {.buf = got, .len = sizeof got};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    call.sock = pair[1];
    call_and_block(&call, do_recv);
    assert_int_equal(krait_send(pair[0], "late", 4, 0), 4);
    join(call.task);
    assert_int_equal(call.rc, 4);
    assert_memory_equal(got, "late", 4);
}

static void test_accept_waits_for_a_client(void **state)
{
    const struct transport *t = transport_of(state);
    struct call call = {.sock = listener(t)};
    krait_sock *client = bound(t);

    call_and_block(&call, do_accept);
    assert_works(krait_connect(client, krait_getsockname(call.sock)));
    join(call.task);
    own(call.accepted);
    assert_true(krait_addr_equal(call.addr, krait_getsockname(client)));
}

static void test_recv_gives_0_when_the_peer_has_finished(void **state)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_works(krait_shutdown(pair[0], SHUT_WR));
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 0);
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 0);
    /* Half is closed: the other way still works. */
    assert_works(krait_sendall(pair[1], "ok", 2, 0));
    assert_int_equal(krait_recv(pair[0], got, 4, 0), 2);
}

static void test_a_waiting_recv_sees_the_peer_leave(void **state)
{
    char got[4];
    struct call call = {.buf = got, .len = sizeof got};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    call.sock = pair[1];
    call_and_block(&call, do_recv);
    shut(pair[0]);
    join(call.task);
    assert_int_equal(call.rc, 0);
}

static void test_sendall_sends_megabytes_to_a_slow_reader(void **state)
{
    struct reader reader = {0};
    krait_sock *pair[2];
    unsigned char *data = patterned(SLOW_BYTES);
    struct task *task;

    connect_pair(transport_of(state), pair);
    assert_works(krait_setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, 4096));
    reader.sock = pair[1];
    task = start(read_slowly, &reader);
    assert_works(krait_sendall(pair[0], data, SLOW_BYTES, 0));
    assert_works(krait_shutdown(pair[0], SHUT_WR));
    join(task);
    assert_false(reader.failed);
    assert_int_equal(reader.got, SLOW_BYTES);
    assert_false(reader.wrong);
}

static void test_send_without_a_timeout_sends_all_of_it(void **state)
{
    struct reader reader = {0};
    krait_sock *pair[2];
    unsigned char *data = patterned(MEGABYTES);
    struct task *task;

    connect_pair(transport_of(state), pair);
    reader.sock = pair[1];
    task = start(read_slowly, &reader);
    assert_int_equal(krait_send(pair[0], data, MEGABYTES, 0), MEGABYTES);
    assert_works(krait_shutdown(pair[0], SHUT_WR));
    join(task);
    assert_int_equal(reader.got, MEGABYTES);
    assert_false(reader.wrong);
}

static void test_send_with_a_timeout_sends_what_fits(void **state)
{
    unsigned char *data = patterned(MEGABYTES * 4);
    krait_sock *pair[2];
    ssize_t n;

    connect_pair(transport_of(state), pair);
    assert_works(krait_settimeout(pair[0], PATIENCE));
    n = krait_send(pair[0], data, MEGABYTES * 4, 0);
    assert_true(n > 0 && (size_t)n < MEGABYTES * 4);
}

static void test_msg_dontwait_does_not_wait(void **state)
{
    krait_sock *pair[2];
    char byte;

    connect_pair(transport_of(state), pair);
    assert_fails(krait_recv(pair[1], &byte, 1, MSG_DONTWAIT), EAGAIN);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_OS);
    assert_true(fill(pair[0]) > 0); /* until it says EAGAIN */
    assert_true(krait_gettimeout(pair[0]) == KRAIT_FOREVER);
}

static void test_sendall_that_must_not_wait_stops_where_it_would(void **state)
{
    unsigned char *data = patterned(MEGABYTES * 4);
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_fails(krait_sendall(pair[0], data, MEGABYTES * 4, MSG_DONTWAIT),
                 EAGAIN);
    assert_works(krait_setblocking(pair[0], 0));
    assert_fails(krait_sendall(pair[0], data, MEGABYTES * 4, 0), EAGAIN);
}

static void test_msg_peek_leaves_the_data(void **state)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[0], "abcd", 4, 0), 4);
    assert_int_equal(krait_recv(pair[1], got, 2, MSG_PEEK), 2);
    assert_int_equal(krait_recv(pair[1], got, 4, MSG_PEEK), 4);
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 4);
    assert_memory_equal(got, "abcd", 4);
    assert_fails(krait_recv(pair[1], got, 4, MSG_DONTWAIT), EAGAIN);
}

static void test_msg_waitall_goes_on_until_the_buffer_is_full(void **state)
{
    char got[6] = {0};
    struct call call = {.buf = got, .len = 6, .flags = MSG_WAITALL};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "ab", 2, 0));
    call.sock = pair[1];
    call_and_block(&call, do_recv);
    assert_works(krait_sendall(pair[0], "cd", 2, 0));
    assert_works(krait_sendall(pair[0], "efgh", 4, 0));
    join(call.task);
    assert_int_equal(call.rc, 6);
    assert_memory_equal(got, "abcdef", 6);
    assert_int_equal(krait_recv(pair[1], got, 6, 0), 2);
    assert_memory_equal(got, "gh", 2);
}

static void test_msg_waitall_gives_what_came_before_the_end(void **state)
{
    char got[6];
    struct call call = {.buf = got, .len = 6, .flags = MSG_WAITALL};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    call.sock = pair[1];
    call_and_block(&call, do_recv);
    shut(pair[0]);
    join(call.task);
    assert_int_equal(call.rc, 3);
    assert_memory_equal(got, "abc", 3);
    assert_int_equal(krait_recv(pair[1], got, 6, MSG_WAITALL), 0);
}

static void test_msg_waitall_gives_what_came_before_the_timeout(void **state)
{
    krait_sock *pair[2];
    char got[6];
    double since;

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    assert_works(krait_settimeout(pair[1], 0.05));
    since = now();
    assert_int_equal(krait_recv(pair[1], got, 6, MSG_WAITALL), 3);
    assert_true(now() - since >= 0.05);
    assert_memory_equal(got, "abc", 3);

    /* And nothing is lost: the rest comes with a later call. */
    assert_works(krait_settimeout(pair[1], PATIENCE));
    assert_works(krait_sendall(pair[0], "def", 3, 0));
    assert_int_equal(krait_recv(pair[1], got, 3, MSG_WAITALL), 3);
    assert_memory_equal(got, "def", 3);
}

static void test_msg_waitall_with_nothing_at_all_times_out(void **state)
{
    krait_sock *pair[2];
    char got[6];

    connect_pair(transport_of(state), pair);
    assert_works(krait_settimeout(pair[1], 0.02));
    assert_fails(krait_recv(pair[1], got, 6, MSG_WAITALL), ETIMEDOUT);
}

static void test_msg_waitall_keeps_the_error_for_the_next_call(void **state)
{
    char got[6];
    struct call call = {.buf = got, .len = 6, .flags = MSG_WAITALL};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    call.sock = pair[1];
    call_and_block(&call, do_recv);
    reset_on_close(pair[0]);
    shut(pair[0]);
    join(call.task);
    assert_int_equal(call.rc, 3);
    assert_fails(krait_recv(pair[1], got, 6, MSG_WAITALL), ECONNRESET);
    assert_int_equal(krait_recv(pair[1], got, 6, MSG_WAITALL), 0);
}

static void test_msg_waitall_and_dontwait_together_take_what_is_there(
    void **state)
{
    krait_sock *pair[2];
    char got[6];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    assert_int_equal(krait_recv(pair[1], got, 6, MSG_WAITALL | MSG_DONTWAIT),
                     3);
    assert_fails(krait_recv(pair[1], got, 6, MSG_WAITALL | MSG_DONTWAIT),
                 EAGAIN);
    assert_works(krait_setblocking(pair[1], 0));
    assert_works(krait_sendall(pair[0], "de", 2, 0));
    assert_int_equal(krait_recv(pair[1], got, 6, MSG_WAITALL), 2);
}

/* Peeking for all of it must see each byte once. */
static void test_msg_peek_and_waitall_together_double_nothing(void **state)
{
    krait_sock *pair[2];
    char got[8] = {0};

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "ab", 2, 0));
    assert_works(krait_sendall(pair[0], "cd", 2, 0));
    assert_int_equal(krait_recv(pair[1], got, 4, MSG_PEEK | MSG_WAITALL), 4);
    assert_memory_equal(got, "abcd", 4);
    memset(got, 0, sizeof got);
    assert_int_equal(krait_recv(pair[1], got, 8, MSG_DONTWAIT), 4);
    assert_memory_equal(got, "abcd", 4);
}

static void test_msg_peek_and_waitall_give_up_at_the_timeout(void **state)
{
    krait_sock *pair[2];
    char got[8];
    ssize_t n;

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    assert_works(krait_settimeout(pair[1], 0.05));
    n = krait_recv(pair[1], got, 8, MSG_PEEK | MSG_WAITALL);
    assert_int_equal(n, 3);
    assert_int_equal(krait_recv(pair[1], got, 8, 0), 3);
}

static void test_empty_buffers_are_no_accident(void **state)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[0], NULL, 0, 0), 0);
    assert_works(krait_sendall(pair[0], NULL, 0, 0));
    assert_works(krait_sendstr(pair[0], ""));
    /* Nothing was sent, so nothing comes; and 0 bytes are there at once. */
    assert_fails(krait_recv(pair[1], got, 4, MSG_DONTWAIT), EAGAIN);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    assert_int_equal(krait_recv(pair[1], got, 0, 0), 0);
    assert_int_equal(krait_recv(pair[1], NULL, 0, 0), 0);
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 3);
}

static void test_sendstr_of_null_is_einval(void **state)
{
    krait_sock *pair[2];

    (void)state;
    any_pair(pair);
    assert_fails(krait_sendstr(pair[0], NULL), EINVAL);
}

static void test_shutdown_ends_each_way(void **state)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_works(krait_shutdown(pair[1], SHUT_RD));
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 0);
    assert_fails(krait_shutdown(pair[0], 99), EINVAL);
    assert_works(krait_shutdown(pair[0], SHUT_RDWR));
    assert_fails(krait_send(pair[0], "x", 1, 0), EPIPE);
}

static void test_a_call_on_an_unconnected_stream_is_refused(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *s = krait_socket(t->family, t->type, 0);
    char byte;
    int wanted =
        t->family == AF_UNIX && t->type == SOCK_STREAM ? EINVAL : ENOTCONN;

    if (!s && t->family == AF_INET6)
        skip_because("this kernel has no IPv6");
    own(s);
    assert_fails(krait_recv(s, &byte, 1, 0), wanted);
    assert_int_equal(krait_send(s, "x", 1, 0), -1);
    if (t->family != AF_UNIX) /* where shutdown(2) doesn't mind */
        assert_fails(krait_shutdown(s, SHUT_RDWR), ENOTCONN);
}

static void test_recvfrom_of_a_stream_tells_nobody(void **state)
{
    krait_sock *pair[2];
    char got[4];
    krait_addr from = krait_inet("1.2.3.4", 5);

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    assert_int_equal(krait_recvfrom(pair[1], got, 4, 0, &from), 3);
    /* unix(7) may name a bound peer; the internet's streams never do. */
    assert_int_equal(krait_addr_error(from), EDESTADDRREQ);
}

static void test_recvfrom_ignores_msg_waitall(void **state)
{
    krait_sock *pair[2];
    char got[8];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    assert_int_equal(krait_recvfrom(pair[1], got, 8, MSG_WAITALL, NULL), 3);
}

static void test_urgent_data_comes_out_of_band(void **state)
{
    krait_sock *pair[2];
    struct pollfd p = {.events = POLLPRI};
    char got[8] = {0};

    connect_pair(transport_of(state), pair);
    assert_fails(krait_recv(pair[1], got, 1, MSG_OOB), EINVAL);
    assert_works(krait_sendall(pair[0], "ab", 2, 0));
    assert_int_equal(krait_send(pair[0], "!", 1, MSG_OOB), 1);
    assert_works(krait_sendall(pair[0], "cd", 2, 0));
    p.fd = krait_fileno(pair[1]);
    assert_int_equal(poll(&p, 1, (int)(PATIENCE * 1000)), 1);
    assert_int_equal(krait_recv(pair[1], got, 1, MSG_OOB), 1);
    assert_int_equal(got[0], '!');
    /* recv(2) ends at the mark, and so does the WAITALL of several. */
    assert_int_equal(krait_recv(pair[1], got, 4, MSG_WAITALL), 2);
    assert_memory_equal(got, "ab", 2);
    assert_int_equal(krait_recv(pair[1], got, 2, MSG_WAITALL), 2);
    assert_memory_equal(got, "cd", 2);
}

static void test_the_error_queue_is_never_waited_for(void **state)
{
    krait_sock *pair[2];
    char got[8];

    connect_pair(transport_of(state), pair);
    assert_true(krait_gettimeout(pair[0]) == KRAIT_FOREVER);
    assert_fails(krait_recv(pair[0], got, 8, MSG_ERRQUEUE), EAGAIN);
    assert_works(krait_settimeout(pair[0], PATIENCE));
    assert_fails(krait_recv(pair[0], got, 8, MSG_ERRQUEUE), EAGAIN);
}

static void test_what_came_before_a_reset_is_still_received(void **state)
{
    krait_sock *pair[2];
    char got[16];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "last words", 10, 0));
    reset_on_close(pair[0]);
    shut(pair[0]);
    assert_int_equal(krait_recv(pair[1], got, 4, 0), 4);
    assert_int_equal(krait_recv(pair[1], got, 16, 0), 6);
    assert_fails(krait_recv(pair[1], got, 16, 0), ECONNRESET);
    assert_contains(krait_errmsg(), "recv");
}

/* AF_UNIX's way to reset: to close with something unread. */
static void test_closing_with_data_unread_resets_a_unix_stream(void **state)
{
    krait_sock *pair[2];
    char got[16];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "unread", 6, 0));
    assert_works(krait_sendall(pair[1], "answer", 6, 0));
    shut(pair[1]);
    assert_int_equal(krait_recv(pair[0], got, 16, 0), 6);
    assert_memory_equal(got, "answer", 6);
    assert_fails(krait_recv(pair[0], got, 16, 0), ECONNRESET);
}

static void test_a_reset_in_the_middle_of_sendall_is_said(void **state)
{
    krait_sock *pair[2];
    unsigned char *data = patterned(MEGABYTES * 4);
    struct call call = {.buf = data, .len = MEGABYTES * 4};

    connect_pair(transport_of(state), pair);
    call.sock = pair[0];
    send_and_block(&call, do_sendall, pair[1]);
    shut(pair[1]); /* with data unread: a reset, or a broken pipe */
    join(call.task);
    assert_int_equal(call.rc, -1);
    assert_true(call.err == ECONNRESET || call.err == EPIPE);
}

static void test_an_error_after_a_part_was_sent_is_kept(void **state)
{
    krait_sock *pair[2];
    unsigned char *data = patterned(MEGABYTES * 4);
    struct call call = {.buf = data, .len = MEGABYTES * 4};

    connect_pair(transport_of(state), pair);
    call.sock = pair[0];
    send_and_block(&call, do_send, pair[1]);
    shut(pair[1]);
    join(call.task);
    assert_true(call.rc > 0 && (size_t)call.rc < MEGABYTES * 4);
    assert_int_equal(krait_send(pair[0], "x", 1, 0), -1);
    assert_true(errno == ECONNRESET || errno == EPIPE);
}

/* As in recv(2): who reads over the mark destroys what is marked. */
static bool is_urgent(void *fd)
{
    struct pollfd p = {.fd = *(int *)fd, .events = POLLPRI};

    return poll(&p, 1, 0) == 1;
}

/* A receive that waits inside the kernel would read over it. */
static void test_an_urgent_byte_is_not_lost_on_who_waits(void **state)
{
    char got[4] = "", urgent = 0;
    struct call call = {.buf = got, .len = sizeof got};
    krait_sock *pair[2];
    int fd;

    connect_pair(transport_of(state), pair);
    call.sock = pair[1];
    fd = krait_fileno(pair[1]);
    call_and_block(&call, do_recv);
    assert_int_equal(krait_send(pair[0], "!", 1, MSG_OOB), 1);
    assert_true(wait_for(is_urgent, &fd));
    assert_int_equal(krait_recv(pair[1], &urgent, 1, MSG_OOB), 1);
    assert_int_equal(urgent, '!');
    assert_int_equal(krait_send(pair[0], "abc", 3, 0), 3);
    join(call.task);
    assert_int_equal(call.rc, 3);
    assert_memory_equal(got, "abc", 3);
}

/* Where urgent bytes are bytes like others, io_uring may wait inside. */
static void test_an_inline_urgent_byte_comes_with_the_others(void **state)
{
    char got[4] = "";
    struct call call = {.buf = got, .len = sizeof got};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    call.sock = pair[1];
    assert_works(krait_setsockopt(pair[1], SOL_SOCKET, SO_OOBINLINE, 1));
    call_and_block(&call, do_recv);
    assert_int_equal(krait_send(pair[0], "!", 1, MSG_OOB), 1);
    join(call.task);
    assert_int_equal(call.rc, 1);
    assert_int_equal(got[0], '!');
}

static void test_msg_waitall_stops_at_the_urgent_mark(void **state)
{
    krait_sock *pair[2];
    struct pollfd p = {.events = POLLPRI};
    char got[16] = {0};

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    assert_int_equal(krait_send(pair[0], "!", 1, MSG_OOB), 1);
    assert_works(krait_sendall(pair[0], "defghij", 7, 0));
    p.fd = krait_fileno(pair[1]);
    assert_int_equal(poll(&p, 1, (int)(PATIENCE * 1000)), 1);
    assert_int_equal(krait_recv(pair[1], got, 10, MSG_WAITALL), 3);
    assert_int_equal(krait_recv(pair[1], got, 1, MSG_OOB), 1);
    assert_int_equal(got[0], '!');
    assert_int_equal(krait_recv(pair[1], got, 7, MSG_WAITALL), 7);
    assert_memory_equal(got, "defghij", 7);
}

static void test_an_urgent_byte_ends_a_waitall_that_waits(void **state)
{
    char got[16] = {0};
    struct call call = {.buf = got, .len = 10, .flags = MSG_WAITALL};
    krait_sock *pair[2];
    char urgent = 0;

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    call.sock = pair[1];
    call_and_block(&call, do_recv);
    assert_int_equal(krait_send(pair[0], "!", 1, MSG_OOB), 1);
    assert_works(krait_sendall(pair[0], "defghij", 7, 0));
    join(call.task);
    assert_int_equal(call.rc, 3);
    assert_int_equal(krait_recv(pair[1], &urgent, 1, MSG_OOB), 1);
    assert_int_equal(urgent, '!');
}

/* AF_UNIX's peek never waits for more than there is (unix(7) is silent,
 * unix_stream_read_generic isn't). */
static void test_msg_peek_and_waitall_take_what_a_unix_stream_has(void **state)
{
    krait_sock *pair[2];
    char got[8];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendall(pair[0], "abc", 3, 0));
    assert_int_equal(krait_recv(pair[1], got, 8, MSG_PEEK | MSG_WAITALL), 3);
    assert_int_equal(krait_recv(pair[1], got, 8, 0), 3);
}

/* A socket has one error, whoever notices it: were it kept for the next send
 * alone, a reset would look to recv like a clean end. */
static void test_a_reset_that_send_has_noticed_is_told_to_recv(void **state)
{
    krait_sock *pair[2];
    unsigned char *data = patterned(MEGABYTES * 4);
    struct call call = {.buf = data, .len = MEGABYTES * 4};
    char got[4];

    connect_pair(transport_of(state), pair);
    call.sock = pair[0];
    send_and_block(&call, do_send, pair[1]);
    reset_on_close(pair[1]);
    shut(pair[1]);
    join(call.task);
    assert_true(call.rc > 0);
    assert_fails(krait_recv(pair[0], got, 4, 0), ECONNRESET);
    assert_int_equal(krait_recv(pair[0], got, 4, 0), 0);
}

static void test_a_shut_down_listener_accepts_no_more(void **state)
{
    const struct transport *t = transport_of(state);
    struct call call = {.sock = listener(t)};

    call_and_block(&call, do_accept);
    assert_works(krait_shutdown(call.sock, SHUT_RDWR));
    assert_call_fails(&call, EINVAL);
    assert_null_with(krait_accept(call.sock, NULL), EINVAL);
}

static void test_a_connect_under_way_can_be_waited_for(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = full_listener(t), *client = fresh(t);
    struct call call = {.sock = client};

    call.addr = krait_getsockname(server);
    assert_works(krait_setblocking(client, 0));
    assert_fails(krait_connect(client, call.addr), EINPROGRESS);
    assert_works(krait_setblocking(client, 1));
    call_and_block(&call, do_connect);
    own(krait_accept(server, NULL));
    join(call.task);
    if (call.rc < 0)
        fail_msg("errno %d", call.err);
}

static void test_connecting_twice_is_refused(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = listener(t), *client = fresh(t);
    krait_addr addr = krait_getsockname(server);

    assert_works(krait_connect(client, addr));
    assert_fails(krait_connect(client, addr), EISCONN);
    assert_int_equal(krait_connect_ex(client, addr), EISCONN);
}

static void test_connect_to_nobody_is_refused(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = bound(t), *client = fresh(t);
    krait_addr addr = krait_getsockname(server);
    char text[KRAIT_ADDR_TEXT_MAX];

    /* Bound, so that nobody else gets the port; but nobody listens. */
    assert_fails(krait_connect(client, addr), ECONNREFUSED);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_OS);
    assert_contains(krait_errmsg(), "connect");
    assert_contains(krait_errmsg(), krait_addr_text(addr, text, sizeof text));
    assert_contains(krait_errmsg(), "Connection refused");
    assert_int_equal(krait_connect_ex(client, addr), ECONNREFUSED);
}

static void test_connect_ex_gives_0_where_it_works(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = listener(t), *client = fresh(t);

    assert_int_equal(krait_connect_ex(client, krait_getsockname(server)), 0);
}

static bool has_a_peer(void *s)
{
    return krait_addr_error(krait_getpeername((krait_sock *)s)) == 0;
}

static void test_a_connect_without_waiting_is_under_way(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = listener(t), *client = fresh(t);
    krait_addr addr = krait_getsockname(server);
    int rc;

    assert_works(krait_setblocking(client, 0));
    rc = krait_connect_ex(client, addr);
    assert_true(rc == EINPROGRESS || rc == 0);
    assert_true(wait_for(has_a_peer, client));
    /* As the kernel has it: one more says 0 or that it is connected. */
    rc = krait_connect_ex(client, addr);
    assert_true(rc == 0 || rc == EISCONN);
}

static void test_a_full_backlog_refuses_a_connect_that_must_not_wait(
    void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = full_listener(t), *client = fresh(t);

    assert_works(krait_setblocking(client, 0));
    assert_fails(krait_connect(client, krait_getsockname(server)), EAGAIN);
}

static void test_a_full_backlog_makes_connect_wait_until_the_timeout(
    void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = full_listener(t), *client = fresh(t);
    double since = now(), cpu = cpu_time();

    assert_works(krait_settimeout(client, 0.3));
    assert_fails(krait_connect(client, krait_getsockname(server)), ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_true(now() - since >= 0.3);
    assert_true(cpu_time() - cpu < (now() - since) / 2); /* no busy loop */
}

static void test_a_full_backlog_makes_connect_wait_for_an_accept(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = full_listener(t);
    struct call call = {.sock = fresh(t)};

    call.addr = krait_getsockname(server);
    call_and_block(&call, do_connect);
    own(krait_accept(server, NULL)); /* makes room for the one that waits */
    join(call.task);
    if (call.rc < 0)
        fail_msg("errno %d", call.err);
    own(krait_accept(server, NULL));
}

static void test_many_readers_share_a_stream(void **state)
{
    check_each_reader_gets_one(transport_of(state));
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_what_is_sent_is_received), STREAMS},
        {TEST(test_recv_waits_for_what_comes_later), CONNECTIONS},
        {TEST(test_accept_waits_for_a_client), CONNECTIONS},
        {TEST(test_recv_gives_0_when_the_peer_has_finished), CONNECTIONS},
        {TEST(test_a_waiting_recv_sees_the_peer_leave), CONNECTIONS},
        {TEST(test_sendall_sends_megabytes_to_a_slow_reader), STREAMS},
        {TEST(test_send_without_a_timeout_sends_all_of_it), STREAMS},
        {TEST(test_send_with_a_timeout_sends_what_fits), STREAMS},
        {TEST(test_msg_dontwait_does_not_wait), CONNECTIONS},
        {TEST(test_sendall_that_must_not_wait_stops_where_it_would), STREAMS},
        {TEST(test_msg_peek_leaves_the_data), CONNECTIONS},
        {TEST(test_msg_waitall_goes_on_until_the_buffer_is_full), STREAMS},
        {TEST(test_msg_waitall_gives_what_came_before_the_end), STREAMS},
        {TEST(test_msg_waitall_gives_what_came_before_the_timeout), STREAMS},
        {TEST(test_msg_waitall_with_nothing_at_all_times_out), CONNECTIONS},
        {TEST(test_msg_waitall_keeps_the_error_for_the_next_call),
         INET_STREAM | INET6_STREAM},
        {TEST(test_msg_waitall_and_dontwait_together_take_what_is_there),
         STREAMS},
        {TEST(test_msg_peek_and_waitall_together_double_nothing), STREAMS},
        {TEST(test_msg_peek_and_waitall_give_up_at_the_timeout), STREAMS},
        {TEST(test_empty_buffers_are_no_accident), STREAMS},
        {TEST(test_sendstr_of_null_is_einval), ONCE},
        {TEST(test_shutdown_ends_each_way), CONNECTIONS},
        {TEST(test_a_call_on_an_unconnected_stream_is_refused), CONNECTIONS},
        {TEST(test_recvfrom_of_a_stream_tells_nobody),
         INET_STREAM | INET6_STREAM},
        {TEST(test_recvfrom_ignores_msg_waitall), STREAMS},
        {TEST(test_urgent_data_comes_out_of_band), INET_STREAM | INET6_STREAM},
        {TEST(test_the_error_queue_is_never_waited_for), INET_STREAM},
        {TEST(test_what_came_before_a_reset_is_still_received),
         INET_STREAM | INET6_STREAM},
        {TEST(test_closing_with_data_unread_resets_a_unix_stream),
         UNIX_STREAM | ABSTRACT_STREAM},
        {TEST(test_a_reset_in_the_middle_of_sendall_is_said), STREAMS},
        {TEST(test_an_error_after_a_part_was_sent_is_kept), STREAMS},
        {TEST(test_an_urgent_byte_is_not_lost_on_who_waits),
         INET_STREAM | INET6_STREAM},
        {TEST(test_an_inline_urgent_byte_comes_with_the_others),
         INET_STREAM | INET6_STREAM},
        {TEST(test_msg_waitall_stops_at_the_urgent_mark),
         INET_STREAM | INET6_STREAM},
        {TEST(test_an_urgent_byte_ends_a_waitall_that_waits),
         INET_STREAM | INET6_STREAM},
        {TEST(test_msg_peek_and_waitall_take_what_a_unix_stream_has),
         UNIX_STREAM | ABSTRACT_STREAM},
        {TEST(test_a_reset_that_send_has_noticed_is_told_to_recv),
         INET_STREAM | INET6_STREAM},
        {TEST(test_a_shut_down_listener_accepts_no_more), CONNECTIONS},
        {TEST(test_a_connect_under_way_can_be_waited_for), INET_STREAM},
        {TEST(test_connecting_twice_is_refused), CONNECTIONS},
        {TEST(test_connect_to_nobody_is_refused), CONNECTIONS},
        {TEST(test_connect_ex_gives_0_where_it_works), CONNECTIONS},
        {TEST(test_a_connect_without_waiting_is_under_way),
         INET_STREAM | INET6_STREAM},
        {TEST(test_a_full_backlog_refuses_a_connect_that_must_not_wait),
         UNIX_STREAM | ABSTRACT_STREAM | SEQPACKETS},
        {TEST(test_a_full_backlog_makes_connect_wait_until_the_timeout),
         CONNECTIONS},
        {TEST(test_a_full_backlog_makes_connect_wait_for_an_accept),
         CONNECTIONS},
        {TEST(test_many_readers_share_a_stream), CONNECTIONS},
    };

    return run_all(argc, argv, "stream", tests, COUNT(tests));
}
