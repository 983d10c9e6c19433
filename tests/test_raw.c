/* SPDX-License-Identifier: MIT
 *
 * test_raw.c - SOCK_RAW over the loopback interface, headers of one's own
 * (IP_HDRINCL) included. Needs CAP_NET_RAW, and is skipped without it.
 *
 * ctest: flows
 */
#include "support.h"

#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>

#define ID 0x4b52 /* what our echo requests are known by */

static uint16_t checksum(const void *data, size_t len)
{
    const unsigned char *p = (const unsigned char *)data;
    uint32_t sum = 0;
    size_t i;

    for (i = 0; i < len; i++)
        sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static krait_sock *raw(int proto)
{
    krait_sock *s = krait_socket(AF_INET, SOCK_RAW, proto);

    if (!s && errno == EPERM)
        skip_because("raw sockets want CAP_NET_RAW");
    own(s);
    assert_works(krait_settimeout(s, PATIENCE));
    assert_int_equal(krait_type(s), SOCK_RAW);
    assert_int_equal(krait_proto(s), proto);
    return s;
}

static struct icmphdr echo_request(uint16_t sequence)
{
    struct icmphdr icmp = {.type = ICMP_ECHO};

    icmp.un.echo.id = htons(ID);
    icmp.un.echo.sequence = htons(sequence);
    icmp.checksum = checksum(&icmp, sizeof icmp);
    return icmp;
}

/* Reads until the answer to our echo request comes; others share the wire. */
static void expect_echo_reply(krait_sock *s, uint16_t sequence)
{
    unsigned char packet[1500];
    struct iphdr ip;
    struct icmphdr icmp;
    krait_addr from;
    char host[64];
    ssize_t n;

    for (;;) {
        n = krait_recvfrom(s, packet, sizeof packet, 0, &from);
        assert_works(n);
        memcpy(&ip, packet, sizeof ip);
        assert_true((size_t)n >= ip.ihl * 4 + sizeof icmp);
        memcpy(&icmp, packet + ip.ihl * 4, sizeof icmp);
        if (icmp.type == ICMP_ECHOREPLY && ntohs(icmp.un.echo.id) == ID &&
            ntohs(icmp.un.echo.sequence) == sequence)
            break;
    }
    assert_string_equal(krait_addr_host(from, host, sizeof host), "127.0.0.1");
}

static void test_an_echo_request_is_answered(void **state)
{
    krait_sock *s = raw(IPPROTO_ICMP);
    struct icmphdr icmp = echo_request(1);

    (void)state;
    assert_int_equal(
        krait_sendto(s, &icmp, sizeof icmp, 0, krait_inet("127.0.0.1", 0)),
        sizeof icmp);
    expect_echo_reply(s, 1);
}

static void test_an_ip_header_of_one_s_own_is_sent(void **state)
{
    krait_sock *s = raw(IPPROTO_ICMP);
    struct {
        struct iphdr ip;
        struct icmphdr icmp;
    } packet = {.ip = {.version = 4, .ihl = 5, .ttl = 64}};

    (void)state;
    packet.ip.protocol = IPPROTO_ICMP;
    packet.ip.tot_len = htons(sizeof packet);
    packet.ip.saddr = packet.ip.daddr = htonl(INADDR_LOOPBACK);
    packet.icmp = echo_request(2);
    assert_works(krait_setsockopt(s, IPPROTO_IP, IP_HDRINCL, 1));
    assert_int_equal(
        krait_sendto(s, &packet, sizeof packet, 0, krait_inet("127.0.0.1", 0)),
        sizeof packet);
    expect_echo_reply(s, 2);
}

/* IPPROTO_RAW only sends, and has IP_HDRINCL on from the start. */
static void test_a_hand_made_datagram_reaches_a_udp_socket(void **state)
{
    krait_sock *s = raw(IPPROTO_RAW);
    krait_sock *udp = bound(transport_named(INET_DGRAM));
    struct {
        struct iphdr ip;
        struct udphdr udp;
        char text[4];
    } packet = {.ip = {.version = 4, .ihl = 5, .ttl = 64}};
    krait_addr from;
    char got[8] = {0};
    int on = 0;

    (void)state;
    assert_works(krait_getsockopt(s, IPPROTO_IP, IP_HDRINCL, &on));
    assert_int_equal(on, 1);
    packet.ip.protocol = IPPROTO_UDP;
    packet.ip.tot_len = htons(sizeof packet);
    packet.ip.saddr = packet.ip.daddr = htonl(INADDR_LOOPBACK);
    packet.udp.source = htons(7777); /* no socket has or needs this port */
    packet.udp.dest = htons((uint16_t)krait_addr_port(krait_getsockname(udp)));
    packet.udp.len = htons(sizeof packet.udp + sizeof packet.text);
    memcpy(packet.text, "hand", 4);

    assert_int_equal(
        krait_sendto(s, &packet, sizeof packet, 0, krait_inet("127.0.0.1", 0)),
        sizeof packet);
    assert_works(krait_settimeout(udp, PATIENCE));
    assert_int_equal(krait_recvfrom(udp, got, sizeof got, 0, &from), 4);
    assert_memory_equal(got, "hand", 4);
    assert_true(krait_addr_equal(from, krait_inet("127.0.0.1", 7777)));
}

static void test_a_raw_socket_can_be_bound_and_connected(void **state)
{
    krait_sock *s = raw(IPPROTO_ICMP);
    struct icmphdr icmp = echo_request(3);

    (void)state;
    assert_works(krait_bind(s, krait_inet("127.0.0.1", 0)));
    assert_works(krait_connect(s, krait_inet("127.0.0.1", 0)));
    assert_int_equal(krait_send(s, &icmp, sizeof icmp, 0), sizeof icmp);
    expect_echo_reply(s, 3);
}

static void test_a_raw_recv_times_out_and_is_interrupted(void **state)
{
    /* A protocol that nobody speaks (RFC 3692: for experiments). */
    krait_sock *s = raw(253);
    char got[64];
    struct call call = {.sock = s, .buf = got, .len = sizeof got};

    (void)state;
    assert_works(krait_settimeout(s, 0.02));
    assert_fails(krait_recv(s, got, sizeof got, 0), ETIMEDOUT);
    assert_works(krait_settimeout(s, KRAIT_FOREVER));
    call_and_block(&call, do_recv);
    assert_works(krait_interrupt(s));
    assert_call_fails(&call, ECANCELED);
}

static void test_a_raw_ipv6_socket_talks_to_itself(void **state)
{
    krait_sock *s = krait_socket(AF_INET6, SOCK_RAW, 253);
    krait_addr from;
    char got[64];

    (void)state;
    if (!s && errno == EPERM)
        skip_because("raw sockets want CAP_NET_RAW");
    if (!s && errno == EAFNOSUPPORT)
        skip_because("this kernel has no IPv6");
    own(s);
    if (krait_bind(s, krait_inet("::1", 0)) < 0)
        skip_because("the loopback interface has no IPv6 address");
    assert_works(krait_settimeout(s, PATIENCE));
    assert_int_equal(krait_sendto(s, "six", 3, 0, krait_inet("::1", 0)), 3);
    assert_int_equal(krait_recvfrom(s, got, sizeof got, 0, &from), 3);
    assert_memory_equal(got, "six", 3);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_an_echo_request_is_answered), ONCE},
        {TEST(test_an_ip_header_of_one_s_own_is_sent), ONCE},
        {TEST(test_a_hand_made_datagram_reaches_a_udp_socket), ONCE},
        {TEST(test_a_raw_socket_can_be_bound_and_connected), ONCE},
        {TEST(test_a_raw_recv_times_out_and_is_interrupted), ONCE},
        {TEST(test_a_raw_ipv6_socket_talks_to_itself), ONCE},
    };

    return run_all(argc, argv, "raw", tests, COUNT(tests));
}
