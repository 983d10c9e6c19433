/* SPDX-License-Identifier: MIT
 *
 * test_resolve.c - names: krait_addr_resolve, and the calls that are given a
 * name. What a name means is the machine's affair, so getaddrinfo(3) is asked
 * for the right answer, and a test whose name this machine doesn't know is
 * skipped.
 *
 * ctest: flows
 */
#include "support.h"

#include <math.h>

#define NO_SUCH_HOST "no-such-host.invalid" /* RFC 6761: never resolves */

/* The first address of a name in a family as getaddrinfo gives it. */
static krait_addr oracle(const char *host, int family)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    krait_addr first = {0};

    if (getaddrinfo(host, "80", &hints, &list) == 0)
        first = krait_addr_from(list->ai_addr, list->ai_addrlen);
    else
        list = NULL;
    if (list)
        freeaddrinfo(list);
    return first;
}

static void test_localhost_resolves_as_getaddrinfo_says(void **state)
{
    static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};
    krait_addr name = krait_inet("localhost", 80), got[8], right;
    size_t i;
    int n;

    (void)state;
    for (i = 0; i < COUNT(families); i++) {
        right = oracle("localhost", families[i]);
        n = krait_addr_resolve(name, families[i], KRAIT_FOREVER, got, 8);
        if (krait_addr_error(right)) {
            assert_int_equal(n, -1);
            continue;
        }
        assert_true(n >= 1 && n <= 8);
        assert_true(krait_addr_equal(got[0], right));
        assert_int_equal(krait_addr_port(got[0]), 80);
    }
}

static void test_no_more_addresses_are_stored_than_there_is_room(void **state)
{
    krait_addr got[2] = {0};
    int n = krait_addr_resolve(krait_inet("localhost", 1), AF_UNSPEC,
                               KRAIT_FOREVER, got, 1);

    (void)state;
    assert_int_equal(n, 1);
    assert_int_equal(krait_addr_error(got[0]), 0);
    assert_int_equal(krait_addr_error(got[1]), EDESTADDRREQ);
}

static void test_an_address_that_is_no_name_comes_back_as_it_is(void **state)
{
    static const char *const texts[] = {"127.0.0.1:1", "[::1]:2",
                                        "unix:/run/x"};
    krait_addr got;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(texts); i++) {
        krait_addr a = krait_addr_parse(texts[i]);

        assert_int_equal(krait_addr_resolve(a, AF_UNSPEC, 0, &got, 1), 1);
        assert_true(krait_addr_equal(a, got));
    }
}

static void test_a_name_that_does_not_exist_is_an_error_of_its_own(void **state)
{
    krait_addr got;
    krait_addr name = krait_inet(NO_SUCH_HOST, 80);

    (void)state;
    assert_fails(krait_addr_resolve(name, AF_UNSPEC, KRAIT_FOREVER, &got, 1),
                 EHOSTUNREACH);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_NAME);
    assert_int_not_equal(krait_erreai(), 0);
    assert_contains(krait_errmsg(), NO_SUCH_HOST);
}

static void test_a_name_without_an_address_in_the_family_is_that_too(
    void **state)
{
    krait_addr four = oracle("localhost", AF_INET);
    krait_addr six = oracle("localhost", AF_INET6), got;
    int missing = krait_addr_error(six) ? AF_INET6 : AF_INET;

    (void)state;
    if (!krait_addr_error(four) && !krait_addr_error(six))
        skip_because("localhost has addresses in both families here");
    assert_fails(krait_addr_resolve(krait_inet("localhost", 80), missing,
                                    KRAIT_FOREVER, &got, 1),
                 EHOSTUNREACH);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_NAME);
}

static void test_a_resolve_that_must_not_wait_says_eagain(void **state)
{
    krait_addr got;

    (void)state;
    assert_fails(
        krait_addr_resolve(krait_inet(NO_SUCH_HOST, 1), AF_UNSPEC, 0, &got, 1),
        EAGAIN);
}

static void test_a_resolve_refuses_bad_arguments(void **state)
{
    krait_addr got, name = krait_inet("localhost", 1), none = {0};

    (void)state;
    assert_fails(krait_addr_resolve(name, AF_UNSPEC, -1, &got, 1), EINVAL);
    assert_fails(krait_addr_resolve(name, AF_UNSPEC, (double)NAN, &got, 1),
                 EINVAL);
    assert_fails(krait_addr_resolve(name, AF_UNSPEC, 1, &got, 0), EINVAL);
    assert_fails(krait_addr_resolve(name, AF_UNSPEC, 1, &got, -1), EINVAL);
    assert_fails(krait_addr_resolve(none, AF_UNSPEC, 1, &got, 1), EDESTADDRREQ);
    assert_fails(
        krait_addr_resolve(krait_addr_parse("nonsense"), AF_UNSPEC, 1, &got, 1),
        EINVAL);
}

static void test_connect_and_bind_resolve_in_the_socket_s_family(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server, *client, *accepted;
    krait_addr addr = oracle("localhost", t->family);

    if (krait_addr_error(addr))
        skip_because("localhost has no address in this family");
    server = own(krait_socket(t->family, t->type, 0));
    assert_works(krait_bind(server, krait_inet("localhost", 0)));
    assert_works(krait_listen(server, 5));
    addr = krait_getsockname(server);
    assert_int_equal(krait_addr_family(addr), t->family);

    client = fresh(t);
    assert_works(krait_settimeout(client, PATIENCE));
    assert_works(
        krait_connect(client, krait_inet("localhost", krait_addr_port(addr))));
    accepted = own(krait_accept(server, NULL));
    assert_true(krait_addr_equal(krait_getpeername(client), addr));
    (void)accepted;
}

static void test_sendto_resolves_a_name(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *a, *b;
    char byte = 0;
    int port;

    if (krait_addr_error(oracle("localhost", t->family)))
        skip_because("localhost has no address in this family");
    a = bound(t);
    b = fresh(t);
    port = krait_addr_port(krait_getsockname(a));
    assert_int_equal(krait_sendto(b, "x", 1, 0, krait_inet("localhost", port)),
                     1);
    assert_int_equal(krait_recv(a, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
}

static void test_every_call_with_a_name_says_that_it_does_not_resolve(
    void **state)
{
    krait_addr name = krait_inet(NO_SUCH_HOST, 80);
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    krait_sock *d = own(krait_socket(AF_INET, SOCK_DGRAM, 0));

    (void)state;
    assert_fails(krait_connect(s, name), EHOSTUNREACH);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_NAME);
    assert_contains(krait_errmsg(), "connect");
    assert_contains(krait_errmsg(), NO_SUCH_HOST);
    assert_int_equal(krait_connect_ex(s, name), EHOSTUNREACH);

    assert_fails(krait_bind(s, name), EHOSTUNREACH);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_NAME);
    assert_fails(krait_sendto(d, "x", 1, 0, name), EHOSTUNREACH);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_NAME);
    assert_null_with(krait_create_connection(name, KRAIT_FOREVER),
                     EHOSTUNREACH);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_NAME);
}

/* An error of the system's after one of a name: nothing of that must stay. */
static void test_the_name_error_does_not_stick(void **state)
{
    krait_addr got;

    (void)state;
    assert_fails(krait_addr_resolve(krait_inet(NO_SUCH_HOST, 80), AF_INET,
                                    KRAIT_FOREVER, &got, 1),
                 EHOSTUNREACH);
    assert_fails(krait_listen(NULL, 1), EBADF);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_OS);
    assert_int_equal(krait_erreai(), 0);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_localhost_resolves_as_getaddrinfo_says), ONCE},
        {TEST(test_no_more_addresses_are_stored_than_there_is_room), ONCE},
        {TEST(test_an_address_that_is_no_name_comes_back_as_it_is), ONCE},
        {TEST(test_a_name_that_does_not_exist_is_an_error_of_its_own), ONCE},
        {TEST(test_a_name_without_an_address_in_the_family_is_that_too), ONCE},
        {TEST(test_a_resolve_that_must_not_wait_says_eagain), ONCE},
        {TEST(test_a_resolve_refuses_bad_arguments), ONCE},
        {TEST(test_connect_and_bind_resolve_in_the_socket_s_family),
         INET_STREAM | INET6_STREAM},
        {TEST(test_sendto_resolves_a_name), INET_DGRAM | INET6_DGRAM},
        {TEST(test_every_call_with_a_name_says_that_it_does_not_resolve), ONCE},
        {TEST(test_the_name_error_does_not_stick), ONCE},
    };

    return run_all(argc, argv, "resolve", tests, COUNT(tests));
}
