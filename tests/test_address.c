/* SPDX-License-Identifier: MIT
 *
 * test_address.c - krait_addr: made, parsed, printed, compared and handed to
 * foreign code. What a resolver is needed for is in test_resolve.c.
 */
#include "support.h"

#include <limits.h>
#include <net/if.h>

/* The size is in the ABI: it may never change. */
_Static_assert(sizeof(krait_addr) == 272, "krait_addr's size is fixed");

static const char *text_of(krait_addr addr)
{
    static char texts[4][KRAIT_ADDR_TEXT_MAX];
    static unsigned turn;

    return krait_addr_text(addr, texts[turn++ % 4], KRAIT_ADDR_TEXT_MAX);
}

static const char *host_of(krait_addr addr)
{
    static char host[KRAIT_ADDR_TEXT_MAX];

    return krait_addr_host(addr, host, sizeof host);
}

/* A name of `len` bytes that needs no resolver to be looked at. */
static char *letters(char *buf, size_t len)
{
    memset(buf, 'x', len);
    buf[len] = '\0';
    return buf;
}

static void test_an_ipv4_address_is_made_as_in_python(void **state)
{
    krait_addr a = krait_inet("192.168.1.100", 8001);

    (void)state;
    assert_int_equal(krait_addr_error(a), 0);
    assert_int_equal(krait_addr_family(a), AF_INET);
    assert_int_equal(krait_addr_port(a), 8001);
    assert_int_equal(krait_addr_type(a), 0);
    assert_string_equal(host_of(a), "192.168.1.100");
    assert_string_equal(text_of(a), "192.168.1.100:8001");
}

static void test_an_ipv6_address_is_printed_in_brackets(void **state)
{
    krait_addr a = krait_inet("2001:db8:0:0::1", 80);

    (void)state;
    assert_int_equal(krait_addr_family(a), AF_INET6);
    assert_string_equal(host_of(a), "2001:db8::1");
    assert_string_equal(text_of(a), "[2001:db8::1]:80");
}

static void test_a_host_name_is_kept_until_somebody_resolves_it(void **state)
{
    krait_addr a = krait_inet("example.org", 80);

    (void)state;
    assert_int_equal(krait_addr_error(a), 0);
    assert_int_equal(krait_addr_family(a), AF_UNSPEC);
    assert_int_equal(krait_addr_port(a), 80);
    assert_string_equal(host_of(a), "example.org");
    assert_string_equal(text_of(a), "example.org:80");
}

static void test_broadcast_is_written_as_in_python(void **state)
{
    (void)state;
    assert_string_equal(text_of(krait_inet("<broadcast>", 67)),
                        "255.255.255.255:67");
}

static void test_an_empty_host_is_any_address_of_the_family(void **state)
{
    krait_sock *four, *six;

    (void)state;
    assert_int_equal(krait_addr_error(krait_inet("", 1)), 0);
    assert_true(krait_addr_equal(krait_inet("", 1), krait_inet(NULL, 1)));
    assert_true(krait_addr_equal(krait_inet("", 1), krait_addr_parse(":1")));

    four = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    assert_works(krait_bind(four, krait_inet("", 0)));
    assert_string_equal(host_of(krait_getsockname(four)), "0.0.0.0");

    six = krait_socket(AF_INET6, SOCK_STREAM, 0);
    if (!six)
        skip_because("this kernel has no IPv6");
    own(six);
    assert_works(krait_bind(six, krait_inet(NULL, 0)));
    assert_string_equal(host_of(krait_getsockname(six)), "::");
}

static void test_ports_go_from_0_to_65535(void **state)
{
    static const int bad[] = {-1, 65536, INT_MAX, INT_MIN};
    size_t i;

    (void)state;
    assert_int_equal(krait_addr_port(krait_inet("127.0.0.1", 0)), 0);
    assert_int_equal(krait_addr_port(krait_inet("127.0.0.1", 65535)), 65535);
    assert_int_equal(krait_addr_port(krait_inet("example.org", 65535)), 65535);
    for (i = 0; i < COUNT(bad); i++) {
        assert_int_equal(krait_addr_error(krait_inet("127.0.0.1", bad[i])),
                         EINVAL);
        assert_int_equal(krait_addr_error(krait_inet("name", bad[i])), EINVAL);
        assert_int_equal(krait_addr_error(krait_inet("", bad[i])), EINVAL);
    }
}

static void test_a_host_name_has_at_most_253_bytes(void **state)
{
    char name[300];
    krait_addr a = krait_inet(letters(name, 253), 1);

    (void)state;
    assert_int_equal(krait_addr_error(a), 0);
    assert_string_equal(host_of(a), name);
    a = krait_inet(letters(name, 254), 1);
    assert_int_equal(krait_addr_error(a), ENAMETOOLONG);
}

static void test_a_scope_names_an_interface(void **state)
{
    krait_addr a = krait_inet("fe80::1%lo", 80), b;
    struct sockaddr_in6 six = {0};
    socklen_t len = sizeof six;

    (void)state;
    if (if_nametoindex("lo") == 0)
        skip_because("there is no interface lo");
    assert_int_equal(krait_addr_error(a), 0);
    assert_int_equal(krait_addr_sockaddr(a, (struct sockaddr *)&six, &len), 0);
    assert_int_equal(six.sin6_scope_id, if_nametoindex("lo"));
    assert_string_equal(text_of(a), "[fe80::1%lo]:80");

    b = krait_addr_parse("[fe80::1%lo]:80");
    assert_true(krait_addr_equal(a, b));
    assert_false(krait_addr_equal(a, krait_inet("fe80::1", 80)));

    a = krait_inet("fe80::1%no-such-interface", 80);
    assert_int_equal(krait_addr_error(a), ENODEV);
    a = krait_addr_parse("[fe80::1%nosuch0]:80");
    assert_int_equal(krait_addr_error(a), ENODEV);
}

static void test_a_unix_path_has_at_most_107_bytes(void **state)
{
    char path[200];
    krait_addr a = krait_unix(letters(path, 107));

    (void)state;
    assert_int_equal(krait_addr_error(a), 0);
    assert_int_equal(krait_addr_family(a), AF_UNIX);
    assert_int_equal(krait_addr_port(a), -1);
    assert_string_equal(host_of(a), path);

    a = krait_unix(letters(path, 108));
    assert_int_equal(krait_addr_error(a), ENAMETOOLONG);
    assert_int_equal(krait_addr_error(krait_unix(NULL)), EINVAL);
}

static void test_an_abstract_name_is_written_with_an_at_sign(void **state)
{
    krait_addr a = krait_unix("@name"), b = krait_unix("./@name");
    struct sockaddr_un un = {0};
    socklen_t len = sizeof un;

    (void)state;
    assert_string_equal(host_of(a), "@name");
    assert_string_equal(text_of(a), "unix:@name");
    assert_int_equal(krait_addr_sockaddr(a, (struct sockaddr *)&un, &len), 0);
    assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 5);
    assert_memory_equal(un.sun_path, "\0name", 5);

    assert_string_equal(host_of(b), "./@name");
    assert_false(krait_addr_equal(a, b));
}

static void test_an_abstract_name_may_be_any_107_bytes(void **state)
{
    char name[200];
    krait_addr a = krait_unix_abstract("a\0b\xff", 4), b;

    (void)state;
    assert_int_equal(krait_addr_error(a), 0);
    assert_false(krait_addr_equal(a, krait_unix("@a")));
    assert_true(krait_addr_equal(a, krait_unix_abstract("a\0b\xff", 4)));
    assert_contains(text_of(a), "\\x00");
    assert_contains(text_of(a), "\\xff");
    assert_true(
        krait_addr_equal(krait_unix_abstract("name", 4), krait_unix("@name")));

    a = krait_unix_abstract(letters(name, 107), 107);
    assert_int_equal(krait_addr_error(a), 0);
    b = krait_addr_parse(text_of(a));
    assert_true(krait_addr_equal(a, b));
    a = krait_unix_abstract(letters(name, 108), 108);
    assert_int_equal(krait_addr_error(a), ENAMETOOLONG);
    a = krait_unix_abstract(name, (size_t)-1);
    assert_int_equal(krait_addr_error(a), ENAMETOOLONG);
}

static void test_binding_the_unnamed_address_gives_an_abstract_name(
    void **state)
{
    krait_sock *s = own(krait_socket(AF_UNIX, SOCK_STREAM, 0));
    krait_addr a = krait_unix("");

    (void)state;
    assert_int_equal(krait_addr_error(a), 0);
    assert_string_equal(host_of(krait_getsockname(s)), "");
    assert_works(krait_bind(s, a));
    assert_int_equal(host_of(krait_getsockname(s))[0], '@');
    assert_true(strlen(host_of(krait_getsockname(s))) > 1);
}

static void test_bytes_that_do_not_print_are_shown_as_hex(void **state)
{
    (void)state;
    assert_contains(text_of(krait_unix("/tmp/a\nb\x1b[31m")),
                    "a\\x0ab\\x1b[31m");
}

struct form {
    const char *text, *host;
    int family, port, type;
};

static void test_every_form_of_text_is_parsed(void **state)
{
    static const struct form forms[] = {
        {"127.0.0.1:8001", "127.0.0.1", AF_INET, 8001, 0},
        {"0.0.0.0:0", "0.0.0.0", AF_INET, 0, 0},
        {"[::1]:8001", "::1", AF_INET6, 8001, 0},
        {"[::]:65535", "::", AF_INET6, 65535, 0},
        {"[::ffff:1.2.3.4]:1", "::ffff:1.2.3.4", AF_INET6, 1, 0},
        {"example.org:80", "example.org", AF_UNSPEC, 80, 0},
        {"localhost:80", "localhost", AF_UNSPEC, 80, 0},
        {"unix:/run/x", "/run/x", AF_UNIX, -1, 0},
        {"unix:relative", "relative", AF_UNIX, -1, 0},
        {"unix:/with:colon", "/with:colon", AF_UNIX, -1, 0},
        {"unix:@name", "@name", AF_UNIX, -1, 0},
        {"tcp:127.0.0.1:1", "127.0.0.1", AF_INET, 1, SOCK_STREAM},
        {"udp:127.0.0.1:1", "127.0.0.1", AF_INET, 1, SOCK_DGRAM},
        {"udp:[::1]:1", "::1", AF_INET6, 1, SOCK_DGRAM},
        {"udp:unix:/run/x", "/run/x", AF_UNIX, -1, SOCK_DGRAM},
        {"seqpacket:unix:/run/x", "/run/x", AF_UNIX, -1, SOCK_SEQPACKET},
        {"seqpacket:unix:@x", "@x", AF_UNIX, -1, SOCK_SEQPACKET},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(forms); i++) {
        krait_addr a = krait_addr_parse(forms[i].text);

        if (krait_addr_error(a) != 0)
            fail_msg("%s: %s", forms[i].text, strerror(krait_addr_error(a)));
        assert_string_equal(host_of(a), forms[i].host);
        assert_int_equal(krait_addr_family(a), forms[i].family);
        assert_int_equal(krait_addr_port(a), forms[i].port);
        assert_int_equal(krait_addr_type(a), forms[i].type);
        if (!krait_addr_equal(a, krait_addr_parse(text_of(a))))
            fail_msg("%s is not read back", text_of(a));
    }
}

static void test_text_in_no_form_is_a_bad_address(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        "nonsense",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        "127.0.0.1:1 ",
        "127.0.0.1:0x10",
        "127.0.0.1:65536",
        "127.0.0.1:99999999999999999999",
        "127.0.0.1:4294967297", /* 1, where 32 bits wrap */
        "127.0.0.1:8001x",
        "[::1]",
        "[::1",
        "[::1]8001",
        "[::1]:",
        "[::1]:x",
        "[]:80",
        "[nonsense]:80",
        "[::1]]:80",
        "::1:8001",
        "tcp:",
        "udp:",
        "udp:127.0.0.1",
        "tcp:udp:127.0.0.1:1",
        "seqpacket:",
        "unix",
        "http://example.org:80",
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad); i++) {
        krait_addr a = krait_addr_parse(bad[i]);

        if (krait_addr_error(a) != EINVAL)
            fail_msg("\"%s\": %d (%s)", bad[i], krait_addr_error(a),
                     text_of(a));
        assert_int_equal(krait_addr_family(a), AF_UNSPEC);
    }
    assert_int_equal(krait_addr_error(krait_addr_parse(NULL)), EINVAL);
}

static void test_a_bad_address_tells_the_text_it_was_made_from(void **state)
{
    (void)state;
    assert_contains(text_of(krait_addr_parse("127.0.0.1:65536")), "65536");
    assert_contains(text_of(krait_addr_parse("nonsense")), "nonsense");
    assert_contains(text_of(krait_inet("127.0.0.1", -7)), "-7");
}

static void test_text_of_any_length_and_bytes_is_survived(void **state)
{
    char text[2000], out[KRAIT_ADDR_TEXT_MAX];
    size_t len;
    int byte;

    (void)state;
    for (len = 0; len < sizeof text - 10; len += 13) {
        letters(text, len);
        memcpy(text + len, ":1", 3);
        (void)krait_addr_text(krait_addr_parse(text), out, sizeof out);
        memcpy(text, "unix:", len >= 5 ? 5 : 0);
        (void)krait_addr_text(krait_addr_parse(text), out, sizeof out);
        memcpy(text, "[", len >= 1 ? 1 : 0);
        (void)krait_addr_text(krait_addr_parse(text), out, sizeof out);
    }
    for (byte = 1; byte < 256; byte++) {
        memset(text, byte, 300);
        text[300] = '\0';
        (void)krait_addr_text(krait_addr_parse(text), out, sizeof out);
        assert_true(strlen(out) < sizeof out);
        (void)krait_addr_text(krait_unix_abstract(text, 107), out, sizeof out);
        assert_true(strlen(out) < sizeof out);
    }
}

static void test_an_over_long_text_says_so(void **state)
{
    char text[400];

    (void)state;
    letters(text, 254);
    memcpy(text + 254, ":80", 4);
    assert_int_equal(krait_addr_error(krait_addr_parse(text)), ENAMETOOLONG);
    letters(text, 5 + 108);
    memcpy(text, "unix:", 5);
    assert_int_equal(krait_addr_error(krait_addr_parse(text)), ENAMETOOLONG);
    letters(text, 5 + 107);
    memcpy(text, "unix:", 5);
    assert_int_equal(krait_addr_error(krait_addr_parse(text)), 0);
}

static void test_printing_is_cut_to_the_buffer(void **state)
{
    char buf[8] = "#######";
    krait_addr a = krait_inet("127.0.0.1", 8001);

    (void)state;
    assert_ptr_equal(krait_addr_host(a, buf, 4), buf);
    assert_string_equal(buf, "127");
    assert_int_equal(buf[4], '#');
    assert_string_equal(krait_addr_text(a, buf, 6), "127.0");
    assert_string_equal(krait_addr_text(a, buf, 1), "");
    buf[0] = '#';
    (void)krait_addr_text(a, buf, 0);
    (void)krait_addr_host(a, buf, 0);
    assert_int_equal(buf[0], '#');
}

static void test_no_address_is_a_value_too(void **state)
{
    krait_addr none = {0};
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    (void)state;
    assert_int_equal(krait_addr_error(none), EDESTADDRREQ);
    assert_int_equal(krait_addr_family(none), AF_UNSPEC);
    assert_int_equal(krait_addr_port(none), -1);
    assert_non_null(text_of(none));
    assert_non_null(host_of(none));
    assert_fails(krait_addr_sockaddr(none, (struct sockaddr *)&sa, &len),
                 EDESTADDRREQ);
    assert_false(krait_addr_equal(none, krait_inet("127.0.0.1", 1)));
}

static void test_equality_looks_at_all_that_makes_an_address(void **state)
{
    krait_addr v4 = krait_inet("1.2.3.4", 80);
    krait_addr name = krait_inet("Example.ORG", 80);

    (void)state;
    assert_true(krait_addr_equal(v4, krait_addr_parse("udp:1.2.3.4:80")));
    assert_false(krait_addr_equal(v4, krait_inet("1.2.3.4", 81)));
    assert_false(krait_addr_equal(v4, krait_inet("1.2.3.5", 80)));
    assert_false(krait_addr_equal(v4, krait_inet("::ffff:1.2.3.4", 80)));
    assert_true(krait_addr_equal(name, krait_inet("example.org", 80)));
    assert_false(krait_addr_equal(name, krait_inet("example.org", 81)));
    assert_false(krait_addr_equal(name, krait_inet("example.com", 80)));
    assert_false(krait_addr_equal(krait_unix("/x"), krait_unix("/X")));
    assert_true(krait_addr_equal(krait_unix("/x"), krait_unix("/x")));
}

static void test_a_socket_address_comes_back_as_it_was(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in back = {0};
    socklen_t len = sizeof back;
    krait_addr a;

    (void)state;
    in.sin_addr.s_addr = htonl(0x01020304);
    a = krait_addr_from((struct sockaddr *)&in, sizeof in);
    assert_string_equal(text_of(a), "1.2.3.4:80");
    assert_int_equal(krait_addr_sockaddr(a, (struct sockaddr *)&back, &len), 0);
    assert_int_equal(len, sizeof in);
    assert_memory_equal(&in, &back, sizeof in);

    len = 4; /* room for less than all of it */
    memset(&back, 0, sizeof back);
    assert_int_equal(krait_addr_sockaddr(a, (struct sockaddr *)&back, &len), 0);
    assert_int_equal(len, sizeof in);
    assert_memory_equal(&in, &back, 4);
    assert_int_equal(back.sin_addr.s_addr, 0);
}

static void test_a_socket_address_of_an_impossible_length_is_bad(void **state)
{
    struct sockaddr_storage big = {.ss_family = AF_INET};
    struct sockaddr *sa = (struct sockaddr *)&big;

    (void)state;
    assert_int_equal(krait_addr_error(krait_addr_from(sa, 4)), EINVAL);
    assert_int_equal(krait_addr_error(krait_addr_from(sa, 1)), EINVAL);
    assert_int_equal(krait_addr_error(krait_addr_from(sa, sizeof big + 1)),
                     EINVAL);
    assert_int_equal(krait_addr_error(krait_addr_from(sa, (socklen_t)-1)),
                     EINVAL);
    big.ss_family = AF_INET6;
    assert_int_equal(
        krait_addr_error(krait_addr_from(sa, sizeof(struct sockaddr_in))),
        EINVAL);
}

static void test_a_unix_socket_address_may_end_without_a_nul(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t head = offsetof(struct sockaddr_un, sun_path);
    struct sockaddr *sa = (struct sockaddr *)&un;

    (void)state;
    memcpy(un.sun_path, "/run/x", 7);
    /* The kernel counts the NUL; people who bind often don't. */
    assert_true(
        krait_addr_equal(krait_addr_from(sa, head + 6), krait_unix("/run/x")));
    assert_true(
        krait_addr_equal(krait_addr_from(sa, head + 7), krait_unix("/run/x")));
    assert_true(
        krait_addr_equal(krait_addr_from(sa, sizeof un), krait_unix("/run/x")));
    assert_true(krait_addr_equal(krait_addr_from(sa, head), krait_unix("")));

    memset(un.sun_path, 'y', sizeof un.sun_path); /* 108: Linux allows it */
    assert_int_equal(krait_addr_error(krait_addr_from(sa, sizeof un)), 0);
    assert_int_equal(strlen(host_of(krait_addr_from(sa, sizeof un))), 108);
}

static void test_an_unknown_family_is_kept_as_it_is(void **state)
{
    /* <linux/netlink.h> and its struct are not needed to carry the bytes. */
    struct sockaddr nl = {AF_NETLINK, {0, 0, 77, 1, 2, 3}}, back = {0};
    socklen_t len = sizeof back;
    krait_addr a = krait_addr_from(&nl, 12);

    (void)state;
    assert_int_equal(krait_addr_error(a), 0);
    assert_int_equal(krait_addr_family(a), AF_NETLINK);
    assert_int_equal(krait_addr_port(a), -1);
    assert_int_equal(krait_addr_sockaddr(a, &back, &len), 0);
    assert_int_equal(len, 12);
    assert_memory_equal(&nl, &back, 12);
    assert_true(strlen(text_of(a)) > 0);
}

static void test_a_name_has_no_socket_address(void **state)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    (void)state;
    assert_fails(krait_addr_sockaddr(krait_inet("example.org", 80),
                                     (struct sockaddr *)&sa, &len),
                 EINVAL);
    len = sizeof sa;
    assert_fails(krait_addr_sockaddr(krait_inet("fe80::1%nosuch0", 1),
                                     (struct sockaddr *)&sa, &len),
                 ENODEV);
}

/* What scopes differ in must not depend on which interfaces there are. */
static void test_addresses_with_different_scopes_are_different(void **state)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_scope_id = 1};
    struct sockaddr_in6 b = a;

    (void)state;
    a.sin6_addr.s6_addr[0] = b.sin6_addr.s6_addr[0] = 0xfe;
    a.sin6_addr.s6_addr[1] = b.sin6_addr.s6_addr[1] = 0x80;
    b.sin6_scope_id = 4000000000u; /* no such interface: a number is shown */
    assert_false(
        krait_addr_equal(krait_addr_from((struct sockaddr *)&a, sizeof a),
                         krait_addr_from((struct sockaddr *)&b, sizeof b)));
    assert_contains(text_of(krait_addr_from((struct sockaddr *)&b, sizeof b)),
                    "4000000000");
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_an_ipv4_address_is_made_as_in_python), ONCE},
        {TEST(test_an_ipv6_address_is_printed_in_brackets), ONCE},
        {TEST(test_a_host_name_is_kept_until_somebody_resolves_it), ONCE},
        {TEST(test_broadcast_is_written_as_in_python), ONCE},
        {TEST(test_an_empty_host_is_any_address_of_the_family), ONCE},
        {TEST(test_ports_go_from_0_to_65535), ONCE},
        {TEST(test_a_host_name_has_at_most_253_bytes), ONCE},
        {TEST(test_a_scope_names_an_interface), ONCE},
        {TEST(test_a_unix_path_has_at_most_107_bytes), ONCE},
        {TEST(test_an_abstract_name_is_written_with_an_at_sign), ONCE},
        {TEST(test_an_abstract_name_may_be_any_107_bytes), ONCE},
        {TEST(test_binding_the_unnamed_address_gives_an_abstract_name), ONCE},
        {TEST(test_bytes_that_do_not_print_are_shown_as_hex), ONCE},
        {TEST(test_every_form_of_text_is_parsed), ONCE},
        {TEST(test_text_in_no_form_is_a_bad_address), ONCE},
        {TEST(test_a_bad_address_tells_the_text_it_was_made_from), ONCE},
        {TEST(test_text_of_any_length_and_bytes_is_survived), ONCE},
        {TEST(test_an_over_long_text_says_so), ONCE},
        {TEST(test_printing_is_cut_to_the_buffer), ONCE},
        {TEST(test_no_address_is_a_value_too), ONCE},
        {TEST(test_equality_looks_at_all_that_makes_an_address), ONCE},
        {TEST(test_a_socket_address_comes_back_as_it_was), ONCE},
        {TEST(test_a_socket_address_of_an_impossible_length_is_bad), ONCE},
        {TEST(test_a_unix_socket_address_may_end_without_a_nul), ONCE},
        {TEST(test_an_unknown_family_is_kept_as_it_is), ONCE},
        {TEST(test_a_name_has_no_socket_address), ONCE},
        {TEST(test_addresses_with_different_scopes_are_different), ONCE},
    };

    return run_all(argc, argv, "address", tests, COUNT(tests));
}
