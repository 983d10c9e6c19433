/* SPDX-License-Identifier: MIT
 *
 * test_timeout.c - the timeout that a socket carries: which values it takes,
 * and one deadline for each call. Only lower bounds decide: how much longer a
 * call takes is the machine's affair.
 *
 * ctest: flows
 */
#include "support.h"

#include <float.h>
#include <math.h>

#define SHORT 0.05

static void test_a_timeout_is_kept_as_it_was_set(void **state)
{
    static const double good[] = {0, 1e-9, 0.001, 1.5, 3600, 1e9};
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(good); i++) {
        assert_works(krait_settimeout(s, good[i]));
        assert_true(krait_gettimeout(s) == good[i]);
        assert_int_equal(krait_getblocking(s), good[i] != 0);
    }
    /* Less than a nanosecond is a nanosecond, and never 0; longer than the
     * clock can count is for ever. */
    assert_works(krait_settimeout(s, DBL_MIN));
    assert_true(krait_gettimeout(s) > 0 && krait_gettimeout(s) < 1e-8);
    assert_works(krait_settimeout(s, DBL_MAX));
    assert_true(krait_gettimeout(s) > 1e9);
    assert_works(krait_settimeout(s, KRAIT_FOREVER));
    assert_true(isinf(krait_gettimeout(s)));
    assert_works(krait_settimeout(s, -0.0)); /* zero with a sign is zero */
    assert_int_equal(krait_getblocking(s), 0);
}

static void test_a_timeout_that_is_none_is_refused(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));

    (void)state;
    assert_works(krait_settimeout(s, 7));
    assert_fails(krait_settimeout(s, -1), EINVAL);
    assert_fails(krait_settimeout(s, -1e-300), EINVAL);
    assert_fails(krait_settimeout(s, -KRAIT_FOREVER), EINVAL);
    assert_fails(krait_settimeout(s, (double)NAN), EINVAL);
    assert_contains(krait_errmsg(), "timeout");
    assert_true(krait_gettimeout(s) == 7); /* a refusal changes nothing */
}

static void test_setblocking_is_a_timeout_too(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));

    (void)state;
    assert_works(krait_setblocking(s, 0));
    assert_true(krait_gettimeout(s) == 0);
    assert_works(krait_setblocking(s, 1));
    assert_true(krait_gettimeout(s) == KRAIT_FOREVER);
    assert_works(krait_setblocking(s, -3));
    assert_int_equal(krait_getblocking(s), 1);
}

static void test_the_default_is_for_those_made_later(void **state)
{
    const struct transport *t = transport_named(INET_STREAM);
    krait_sock *before = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    krait_sock *server = listener(t), *client = bound(t), *pair[2];

    (void)state;
    assert_true(krait_getdefaulttimeout() == KRAIT_FOREVER);
    assert_works(krait_setdefaulttimeout(12.5));
    assert_true(krait_getdefaulttimeout() == 12.5);
    assert_fails(krait_setdefaulttimeout(-1), EINVAL);
    assert_true(krait_gettimeout(before) == KRAIT_FOREVER);
    any_pair(pair);
    assert_true(krait_gettimeout(pair[1]) == 12.5);
    assert_true(krait_gettimeout(own(krait_socket(
                    AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0))) == 0);
    assert_true(krait_gettimeout(own(krait_dup(before))) == KRAIT_FOREVER);
    assert_true(krait_gettimeout(own(
                    krait_fromfd(krait_fileno(before), -1, -1, -1))) == 12.5);
    assert_works(krait_connect(client, krait_getsockname(server)));
    assert_true(krait_gettimeout(own(krait_accept(server, NULL))) == 12.5);
    assert_works(krait_setdefaulttimeout(KRAIT_FOREVER));
}

static void test_recv_times_out(void **state)
{
    krait_sock *pair[2];
    char byte;
    double since;

    connect_pair(transport_of(state), pair);
    assert_works(krait_settimeout(pair[0], SHORT));
    since = now();
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_contains(krait_errmsg(), "recv");
    assert_contains(krait_errmsg(), "timed out");

    /* The socket is none the worse for it. */
    assert_int_equal(krait_send(pair[1], "x", 1, 0), 1);
    assert_int_equal(krait_recv(pair[0], &byte, 1, 0), 1);
}

static void test_recvfrom_times_out(void **state)
{
    krait_sock *s = bound(transport_of(state));
    char byte;
    double since = now();

    assert_works(krait_settimeout(s, SHORT));
    assert_fails(krait_recvfrom(s, &byte, 1, 0, NULL), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
}

static void test_accept_times_out(void **state)
{
    krait_sock *s = listener(transport_of(state));
    double since = now();

    assert_works(krait_settimeout(s, SHORT));
    assert_null_with(krait_accept(s, NULL), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
}

static void test_send_times_out_when_nobody_reads(void **state)
{
    krait_sock *pair[2];
    double since;

    connect_pair(transport_of(state), pair);
    fill(pair[0]);
    assert_works(krait_settimeout(pair[0], SHORT));
    /* What TCP holds moves on to the reader's side, and makes room. */
    do
        since = now();
    while (krait_send(pair[0], "x", 1, 0) == 1);
    assert_int_equal(krait_errno(), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
}

static void test_sendall_has_one_deadline_for_all_of_it(void **state)
{
    size_t len = (size_t)32 << 20;
    unsigned char *data = patterned(len);
    krait_sock *pair[2];
    double since;

    connect_pair(transport_of(state), pair);
    assert_works(krait_settimeout(pair[0], SHORT));
    since = now();
    assert_fails(krait_sendall(pair[0], data, len, 0), ETIMEDOUT);
    assert_true(now() - since >= SHORT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_contains(krait_errmsg(), "send");
}

/* A reader that takes a little, again and again, makes progress for ever: the
 * deadline is the call's and must not start anew with each piece. */
struct sipper {
    krait_sock *sock;
    atomic_int stop;
};

static void sip(void *arg)
{
    struct sipper *sipper = (struct sipper *)arg;
    char buf[65536];

    while (!atomic_load(&sipper->stop) &&
           krait_recv(sipper->sock, buf, sizeof buf, 0) > 0)
        nap(0.005);
}

static void test_progress_does_not_extend_sendall_s_deadline(void **state)
{
    size_t len = (size_t)256 << 20; /* 20 s of sips at the least */
    unsigned char *data = own_block(len);
    struct sipper sipper = {0};
    krait_sock *pair[2];
    struct task *task;

    connect_pair(transport_of(state), pair);
    assert_works(krait_settimeout(pair[0], 0.3));
    sipper.sock = pair[1];
    task = start(sip, &sipper);
    assert_fails(krait_sendall(pair[0], data, len, 0), ETIMEDOUT);
    atomic_store(&sipper.stop, 1);
    shut(pair[0]);
    join(task);
}

static void test_timeout_0_never_waits(void **state)
{
    krait_sock *pair[2], *server;
    char byte;

    connect_pair(transport_of(state), pair);
    assert_works(krait_settimeout(pair[0], 0));
    assert_fails(krait_recv(pair[0], &byte, 1, 0), EAGAIN);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_OS);
    assert_int_equal(krait_send(pair[0], "x", 1, 0), 1);
    assert_int_equal(krait_recv(pair[1], &byte, 1, 0), 1);
    if (transport_of(state)->type == SOCK_DGRAM)
        return;
    server = listener(transport_of(state));
    assert_works(krait_settimeout(server, 0));
    assert_null_with(krait_accept(server, NULL), EAGAIN);
}

static void test_the_smallest_timeout_is_still_a_timeout(void **state)
{
    krait_sock *pair[2];
    char byte;

    (void)state;
    any_pair(pair);
    assert_works(krait_settimeout(pair[0], DBL_MIN));
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
    assert_works(krait_settimeout(pair[0], 1e-9));
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
    /* What is there comes, however short the timeout. */
    assert_works(krait_sendstr(pair[1], "x"));
    assert_int_equal(krait_recv(pair[0], &byte, 1, 0), 1);
}

static void test_a_huge_timeout_does_not_wrap(void **state)
{
    static const double huge[] = {1e9, 9.3e9, 1e10, 1e18, 1e19, 1e300, DBL_MAX};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(huge); i++) {
        char byte;
        struct call call = {.buf = &byte, .len = 1};
        krait_sock *pair[2];

        any_pair(pair);
        assert_works(krait_settimeout(pair[0], huge[i]));
        call.sock = pair[0];
        call_and_block(&call, do_recv);
        assert_works(krait_sendstr(pair[1], "x"));
        join(call.task);
        assert_int_equal(call.rc, 1);
    }
}

static void test_a_waiting_call_keeps_its_deadline(void **state)
{
    char byte;
    struct call call = {.buf = &byte, .len = 1};
    krait_sock *pair[2];

    (void)state;
    any_pair(pair);
    call.sock = pair[0];
    call_and_block(&call, do_recv);
    assert_works(krait_settimeout(pair[0], 0)); /* for later calls only */
    assert_works(krait_sendstr(pair[1], "x"));
    join(call.task);
    assert_int_equal(call.rc, 1);
    assert_fails(krait_recv(pair[0], &byte, 1, 0), EAGAIN);
}

static void test_a_connection_may_time_out_and_be_closed(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = full_listener(t), *client = fresh(t);

    assert_works(krait_settimeout(client, SHORT));
    assert_int_equal(krait_connect_ex(client, krait_getsockname(server)),
                     ETIMEDOUT);
    assert_int_equal(shut(client), 0);
}

static void test_data_that_waits_is_received_whatever_the_timeout(void **state)
{
    krait_sock *pair[2];
    char got[4];

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[1], "abcd", 4, 0), 4);
    assert_works(krait_settimeout(pair[0], PATIENCE));
    assert_int_equal(krait_recv(pair[0], got, 4, 0), 4);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_a_timeout_is_kept_as_it_was_set), ONCE},
        {TEST(test_a_timeout_that_is_none_is_refused), ONCE},
        {TEST(test_setblocking_is_a_timeout_too), ONCE},
        {TEST(test_the_default_is_for_those_made_later), ONCE},
        {TEST(test_recv_times_out), EVERY},
        {TEST(test_recvfrom_times_out), DGRAMS},
        {TEST(test_accept_times_out), CONNECTIONS},
        {TEST(test_send_times_out_when_nobody_reads), CONNECTIONS},
        {TEST(test_sendall_has_one_deadline_for_all_of_it), STREAMS},
        {TEST(test_progress_does_not_extend_sendall_s_deadline),
         UNIX_STREAM | INET_STREAM},
        {TEST(test_timeout_0_never_waits), EVERY},
        {TEST(test_the_smallest_timeout_is_still_a_timeout), ONCE},
        {TEST(test_a_huge_timeout_does_not_wrap), ONCE},
        {TEST(test_a_waiting_call_keeps_its_deadline), ONCE},
        {TEST(test_a_connection_may_time_out_and_be_closed), CONNECTIONS},
        {TEST(test_data_that_waits_is_received_whatever_the_timeout), EVERY},
    };

    return run_all(argc, argv, "timeout", tests, COUNT(tests));
}
