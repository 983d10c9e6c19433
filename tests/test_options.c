/* SPDX-License-Identifier: MIT
 *
 * test_options.c - setsockopt in its three forms, getsockopt in its two.
 *
 * ctest: flows
 */
#include "support.h"

#include <linux/if_alg.h>
#include <netinet/tcp.h>

static void test_an_integer_option_is_set_and_read(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    int value = -1;

    (void)state;
    assert_works(krait_getsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &value));
    assert_int_equal(value, 0);
    assert_works(krait_setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, 1));
    assert_works(krait_getsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &value));
    assert_int_equal(value, 1);
    assert_works(krait_setsockopt(s, IPPROTO_TCP, TCP_NODELAY, 1));
    assert_works(krait_getsockopt(s, IPPROTO_TCP, TCP_NODELAY, &value));
    assert_int_not_equal(value, 0);
    assert_works(krait_getsockopt(s, SOL_SOCKET, SO_TYPE, &value));
    assert_int_equal(value, SOCK_STREAM);
}

static void test_a_struct_option_is_set_and_read(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    struct linger in = {1, 42}, out = {0, 0};
    size_t len = sizeof out;

    (void)state;
    assert_works(
        krait_setsockopt_buf(s, SOL_SOCKET, SO_LINGER, &in, sizeof in));
    assert_works(krait_getsockopt_buf(s, SOL_SOCKET, SO_LINGER, &out, &len));
    assert_int_equal(len, sizeof out);
    assert_int_equal(out.l_onoff, 1);
    assert_int_equal(out.l_linger, 42);
}

static void test_a_buffer_option_tells_how_much_it_wrote(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    char name[64] = {0};
    size_t len = sizeof name;

    (void)state;
    assert_works(
        krait_getsockopt_buf(s, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    assert_true(len > 0 && len <= sizeof name);
    assert_true(strlen(name) > 0);
    len = 2;
    assert_works(krait_getsockopt_buf(s, SOL_SOCKET, SO_TYPE, name, &len));
    assert_int_equal(len, 2);
}

static void test_an_option_of_one_byte_reads_as_an_integer(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_DGRAM, 0));
    unsigned char ttl = 7;
    int value = -1;

    (void)state;
    assert_works(krait_setsockopt_buf(s, IPPROTO_IP, IP_MULTICAST_TTL, &ttl,
                                      sizeof ttl));
    assert_works(krait_getsockopt(s, IPPROTO_IP, IP_MULTICAST_TTL, &value));
    assert_int_equal(value, 7);
}

/* AF_ALG's tag length travels as the length of no value at all. */
static void test_the_form_without_a_value_passes_the_length(void **state)
{
    struct sockaddr_alg alg = {.salg_family = AF_ALG};
    krait_sock *s = krait_socket(AF_ALG, SOCK_SEQPACKET, 0);

    (void)state;
    if (!s)
        skip_because("this kernel has no AF_ALG");
    own(s);
    memcpy(alg.salg_type, "aead", 5);
    memcpy(alg.salg_name, "gcm(aes)", 9);
    if (krait_bind(s, krait_addr_from((struct sockaddr *)&alg, sizeof alg)) < 0)
        skip_because("this kernel has no gcm(aes)");
    assert_works(krait_setsockopt_none(s, SOL_ALG, ALG_SET_AEAD_AUTHSIZE, 16));
    assert_fails(krait_setsockopt_none(s, SOL_ALG, ALG_SET_AEAD_AUTHSIZE, 99),
                 EINVAL);
}

static void test_what_the_kernel_refuses_is_said(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    int value;

    (void)state;
    assert_fails(krait_setsockopt(s, SOL_SOCKET, 9999, 1), ENOPROTOOPT);
    assert_fails(krait_getsockopt(s, SOL_SOCKET, 9999, &value), ENOPROTOOPT);
    assert_fails(krait_setsockopt_buf(s, SOL_SOCKET, SO_LINGER, "x", 1),
                 EINVAL);
    assert_fails(
        krait_setsockopt_buf(s, SOL_SOCKET, SO_LINGER, "x", (size_t)-1),
        EINVAL);
    assert_fails(krait_setsockopt_none(s, SOL_SOCKET, SO_LINGER, (size_t)-1),
                 EINVAL);
}

static void test_an_error_in_so_error_is_taken_once(void **state)
{
    const struct transport *t = transport_named(INET_STREAM);
    krait_sock *pair[2];
    struct pollfd p = {.events = POLLIN};
    int value = 0;

    (void)state;
    connect_pair(t, pair);
    reset_on_close(pair[0]);
    shut(pair[0]);
    p.fd = krait_fileno(pair[1]);
    assert_int_equal(poll(&p, 1, (int)(PATIENCE * 1000)), 1);
    assert_works(krait_getsockopt(pair[1], SOL_SOCKET, SO_ERROR, &value));
    assert_int_equal(value, ECONNRESET);
    assert_works(krait_getsockopt(pair[1], SOL_SOCKET, SO_ERROR, &value));
    assert_int_equal(value, 0);
}

/* They are not Krait's timeouts (socket.h). */
static void test_so_rcvtimeo_has_no_effect(void **state)
{
    krait_sock *pair[2];
    struct timeval soon = {0, 1000};
    char byte;
    struct call call = {.buf = &byte, .len = 1};

    (void)state;
    any_pair(pair);
    assert_works(krait_setsockopt_buf(pair[0], SOL_SOCKET, SO_RCVTIMEO, &soon,
                                      sizeof soon));
    assert_true(krait_gettimeout(pair[0]) == KRAIT_FOREVER);
    call.sock = pair[0];
    call_and_block(&call, do_recv);
    nap(0.05); /* long enough for it to pass; it must not end the call */
    assert_false(atomic_load(&call.task->done));
    assert_works(krait_sendstr(pair[1], "x"));
    join(call.task);
    assert_int_equal(call.rc, 1);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_an_integer_option_is_set_and_read), ONCE},
        {TEST(test_a_struct_option_is_set_and_read), ONCE},
        {TEST(test_a_buffer_option_tells_how_much_it_wrote), ONCE},
        {TEST(test_an_option_of_one_byte_reads_as_an_integer), ONCE},
        {TEST(test_the_form_without_a_value_passes_the_length), ONCE},
        {TEST(test_what_the_kernel_refuses_is_said), ONCE},
        {TEST(test_an_error_in_so_error_is_taken_once), ONCE},
        {TEST(test_so_rcvtimeo_has_no_effect), ONCE},
    };

    return run_all(argc, argv, "options", tests, COUNT(tests));
}
