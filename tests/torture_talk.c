/* SPDX-License-Identifier: MIT
 *
 * torture_talk.c - scenarios of two who talk: every family and type, streams
 * that don't fit the kernel's buffers, datagrams, names, timeouts, interrupts.
 * And the calls, made again where that is right, that all scenarios use.
 */
#include "torture.h"

#include <errno.h>

/* --- calls, made again where that is right ----------------------------- */

krait_sock *t_socket(int family, int type)
{
    krait_sock *s;

    do
        s = krait_socket(family, type, 0);
    while (!s && again("socket"));
    return watch(s);
}

krait_sock *t_listener(int family, int type, krait_addr at)
{
    krait_sock *s = t_socket(family, type);
    int rc;

    if (!s)
        return NULL;
    do
        rc = krait_bind(s, at);
    while (rc < 0 && again("bind"));
    while (rc == 0 && type != SOCK_DGRAM && krait_listen(s, 4) < 0)
        rc = again("listen") ? 0 : -1;
    if (rc == 0)
        return s;
    t_close(s);
    return NULL;
}

krait_sock *t_accept(krait_sock *listener)
{
    krait_sock *s;
    krait_addr peer;

    do
        s = krait_accept(listener, &peer);
    while (!s && again("accept"));
    if (s)
        require(krait_addr_family(peer) == krait_family(s),
                "an accepted peer is of another family");
    return watch(s);
}

/* A connect that failed half-way can't be repeated on the same socket, in
 * POSIX or here: the listener may see a connection that ends at once. */
krait_sock *t_connected(int family, int type, krait_addr to)
{
    bool more = true;

    while (more) {
        krait_sock *s = t_socket(family, type);

        if (!s || krait_connect(s, to) == 0)
            return s;
        more = again("connect");
        t_close(s);
    }
    return NULL;
}

bool t_pair(int type, krait_sock *pair[2])
{
    int rc;

    do
        rc = krait_socketpair(AF_UNIX, type, 0, pair);
    while (rc < 0 && again("socketpair"));
    if (rc < 0)
        return false;
    watch(pair[0]);
    watch(pair[1]);
    return true;
}

krait_addr t_sockname(krait_sock *s)
{
    krait_addr at;

    do
        at = krait_getsockname(s);
    while (krait_addr_error(at) && again("getsockname"));
    return at;
}

bool t_timeout(krait_sock *s, double seconds)
{
    require(krait_settimeout(s, seconds) == 0, "krait_settimeout failed");
    return true;
}

bool t_send(krait_sock *s, const void *buf, size_t len)
{
    const char *at = buf;

    while (len > 0) {
        ssize_t n = krait_send(s, at, len, 0);

        if (n < 0 && !again("send"))
            return false;
        if (n > 0) {
            require((size_t)n <= len, "krait_send sent more than it was given");
            at += n;
            len -= (size_t)n;
        }
    }
    return true;
}

ssize_t t_recv(krait_sock *s, void *buf, size_t len, int flags)
{
    ssize_t n;

    do
        n = krait_recv(s, buf, len, flags);
    while (n < 0 && again("recv"));
    require(n <= (ssize_t)len, "krait_recv received more than there was room");
    return n;
}

unsigned char pattern(size_t at)
{
    return (unsigned char)((at * 2654435761u) >> 16 ^ at);
}

void fill_pattern(unsigned char *buf, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = pattern(from + i);
}

bool is_pattern(const unsigned char *buf, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (buf[i] != pattern(from + i))
            return false;
    return true;
}

/* --- a conversation ---------------------------------------------------- */

/* One record, where there are records. */
enum { MESSAGE = 300 };

/* Echoes until the client has finished: how much that was. */
static size_t echo(krait_sock *conn)
{
    unsigned char buf[MESSAGE];
    size_t sum = 0;
    ssize_t n;

    while ((n = t_recv(conn, buf, sizeof buf, 0)) > 0) {
        require(is_pattern(buf, sum, (size_t)n), "the server got wrong bytes");
        sum += (size_t)n;
        if (!t_send(conn, buf, (size_t)n))
            break;
    }
    return sum;
}

/* The first connection that says something: others are those that the client
 * has given up half-way. */
static void serve_one(void *arg)
{
    krait_sock *listener = arg;
    size_t sum = 0;

    while (sum == 0 && !given_up()) {
        krait_sock *conn = t_accept(listener);

        if (!conn)
            return;
        sum = echo(conn);
        t_close(conn);
    }
    require(sum == MESSAGE || given_up(), "the server got too little");
}

static void check_names(krait_sock *s, krait_addr server)
{
    krait_addr peer;

    do
        peer = krait_getpeername(s);
    while (krait_addr_error(peer) && again("getpeername"));
    require(given_up() || krait_addr_equal(peer, server),
            "krait_getpeername tells another address");
}

static void talk_to(krait_sock *s)
{
    unsigned char out[MESSAGE], in[MESSAGE];
    ssize_t n, got = 0;
    int rc;

    fill_pattern(out, 0, sizeof out);
    if (!t_send(s, out, sizeof out))
        return;
    do {
        n = t_recv(s, in + got, sizeof in - (size_t)got, MSG_WAITALL);
        require(n >= 0 || given_up(), "the answer can't be read");
        got += n;
    } while (n > 0 && got < MESSAGE);
    require(given_up() || (got == MESSAGE && is_pattern(in, 0, MESSAGE)),
            "the answer is wrong");
    do
        rc = krait_shutdown(s, SHUT_WR);
    while (rc < 0 && again("shutdown"));
    if (rc == 0)
        require(t_recv(s, in, sizeof in, 0) <= 0, "more than the answer came");
}

static void converse(int family, int type, krait_addr at)
{
    krait_sock *listener = t_listener(family, type, at), *client;
    struct party server;
    krait_addr bound;

    if (!listener)
        return;
    bound = t_sockname(listener);
    start(&server, serve_one, listener);
    client = t_connected(family, type, bound);
    if (client) {
        check_names(client, bound);
        talk_to(client);
    }
    t_close(client);
    join(&server);
    t_close(listener);
}

static void conv_tcp(void)
{
    converse(AF_INET, SOCK_STREAM, krait_inet("127.0.0.1", 0));
}

static void conv_tcp6(void)
{
    converse(AF_INET6, SOCK_STREAM, krait_addr_parse("[::1]:0"));
}

static void conv_unix(void)
{
    converse(AF_UNIX, SOCK_STREAM, krait_unix("conversation"));
    __real_unlink("conversation");
}

/* An abstract name that the kernel chooses. */
static void conv_abstract(void)
{
    converse(AF_UNIX, SOCK_STREAM, krait_unix(""));
}

static void conv_seqpacket(void)
{
    converse(AF_UNIX, SOCK_SEQPACKET, krait_unix(""));
}

/* A signal's hook that asks to give up, once. */
static atomic_int asked;

static int hook(void *arg)
{
    (void)arg;
    return fault_fired() && atomic_fetch_add(&asked, 1) == 0;
}

static void conv_hook(void)
{
    krait_set_signal_hook(hook, NULL);
    conv_tcp();
}

/* --- more than the kernel holds ---------------------------------------- */

enum { BULK = 20000, PIECE = 3000, SIP = 700 };

struct bulk {
    krait_sock *pair[2];
    double timeout;
    int flags;
    bool all; /* sendall: what a failure has sent is not known */
};

static void pour(void *arg)
{
    struct bulk *bulk = arg;
    unsigned char buf[BULK];

    fill_pattern(buf, 0, sizeof buf);
    if (bulk->all) {
        if (krait_sendall(bulk->pair[0], buf, sizeof buf, 0) < 0)
            stop("sendall");
    } else {
        for (size_t at = 0; at < BULK; at += PIECE)
            if (!t_send(bulk->pair[0], buf + at,
                        BULK - at < PIECE ? BULK - at : PIECE))
                break;
    }
    if (krait_shutdown(bulk->pair[0], SHUT_WR) < 0 && again("shutdown"))
        krait_shutdown(bulk->pair[0], SHUT_WR);
}

static void drink(struct bulk *bulk)
{
    unsigned char buf[SIP];
    size_t sum = 0;
    ssize_t n;

    while ((n = t_recv(bulk->pair[1], buf, sizeof buf, bulk->flags)) > 0) {
        require(is_pattern(buf, sum, (size_t)n), "bytes lost or doubled");
        sum += (size_t)n;
    }
    require(given_up() || sum == BULK, "bytes lost at the end");
}

static void run_bulk(double timeout, int flags, bool all)
{
    struct bulk bulk = {.timeout = timeout, .flags = flags, .all = all};
    struct party sender;
    int rc;

    if (!t_pair(SOCK_STREAM, bulk.pair))
        return;
    do /* the kernel makes it its least, about 4 KiB */
        rc = krait_setsockopt(bulk.pair[0], SOL_SOCKET, SO_SNDBUF, 1);
    while (rc < 0 && again("setsockopt"));
    t_timeout(bulk.pair[0], timeout);
    t_timeout(bulk.pair[1], timeout);
    start(&sender, pour, &bulk);
    drink(&bulk);
    join(&sender);
    t_close(bulk.pair[0]);
    t_close(bulk.pair[1]);
}

static void bulk_blocking(void)
{
    run_bulk(KRAIT_FOREVER, 0, false);
}

static void bulk_timeout(void)
{
    run_bulk(10, MSG_WAITALL, false);
}

static void bulk_sendall(void)
{
    run_bulk(10, 0, true);
}

/* Looking without taking, at what comes in two parts: few bytes, for sent one
 * by one they must all fit the kernel's buffer. */
enum { PART = 60 };

static void look_on(void *arg)
{
    krait_sock *s = arg;
    unsigned char buf[2 * PART];
    ssize_t n = t_recv(s, buf, sizeof buf, MSG_PEEK | MSG_WAITALL);

    if (n >= 0)
        require(is_pattern(buf, 0, (size_t)n), "MSG_PEEK shows wrong bytes");
    for (size_t sum = 0; sum < sizeof buf; sum += (size_t)n) {
        n = t_recv(s, buf, sizeof buf, 0);
        if (n < 0)
            return;
        require(n > 0, "MSG_PEEK has eaten something");
        require(is_pattern(buf, sum, (size_t)n), "MSG_PEEK moved something");
    }
}

static void peek(void)
{
    unsigned char buf[2 * PART];
    struct party onlooker;
    krait_sock *pair[2];

    if (!t_pair(SOCK_STREAM, pair))
        return;
    fill_pattern(buf, 0, sizeof buf);
    if (t_send(pair[0], buf, PART)) {
        unsigned before = calls_of(S_PPOLL);

        start(&onlooker, look_on, pair[1]);
        wait_for_call(&onlooker, S_PPOLL, before);
        t_send(pair[0], buf + PART, PART);
        join(&onlooker);
    }
    t_close(pair[0]);
    t_close(pair[1]);
}

/* --- datagrams --------------------------------------------------------- */

static bool t_sendto(krait_sock *s, const void *buf, size_t len, krait_addr to)
{
    ssize_t n;

    do
        n = krait_sendto(s, buf, len, 0, to);
    while (n < 0 && again("sendto"));
    require(n < 0 || n == (ssize_t)len, "a datagram was cut");
    return n >= 0;
}

static ssize_t t_recvfrom(krait_sock *s, void *buf, size_t len, int flags,
                          krait_addr *from)
{
    ssize_t n;

    do
        n = krait_recvfrom(s, buf, len, flags, from);
    while (n < 0 && again("recvfrom"));
    return n;
}

/* There and back; cut but told; empty; none. */
static void exchange(krait_sock *a, krait_addr at_a, krait_sock *b,
                     krait_addr at_b)
{
    char buf[16] = "";
    krait_addr from;
    ssize_t n;

    if (!t_sendto(a, "question", 8, at_b))
        return;
    n = t_recvfrom(b, buf, sizeof buf, 0, &from);
    if (n < 0)
        return;
    require(n == 8 && memcmp(buf, "question", 8) == 0, "a datagram is wrong");
    require(krait_addr_equal(from, at_a), "a datagram's sender is wrong");
    if (!t_sendto(b, "an answer", 9, from) || !t_sendto(b, "", 0, from))
        return;
    n = t_recvfrom(a, buf, 2, MSG_TRUNC, &from);
    require(given_up() || (n == 9 && memcmp(buf, "an", 2) == 0),
            "MSG_TRUNC doesn't tell the length");
    n = t_recvfrom(a, buf, sizeof buf, 0, NULL);
    require(given_up() || n == 0, "an empty datagram got lost");
    do
        n = krait_recv(a, buf, sizeof buf, MSG_DONTWAIT);
    while (!refused(n, "recv", EAGAIN));
}

static void datagrams(int family, krait_addr first, krait_addr second)
{
    krait_sock *a = t_listener(family, SOCK_DGRAM, first);
    krait_sock *b = a ? t_listener(family, SOCK_DGRAM, second) : NULL;
    int rc;

    if (b) {
        krait_addr at_a = t_sockname(a), at_b = t_sockname(b);

        if (!given_up())
            exchange(a, at_a, b, at_b);
        do
            rc = given_up() ? -1 : krait_connect(a, at_b);
        while (rc < 0 && !given_up() && again("connect"));
        if (rc == 0 && t_send(a, "connected", 9)) {
            char buf[16];

            require(t_recv(b, buf, sizeof buf, 0) == 9 || given_up(),
                    "a datagram got lost");
        }
    }
    t_close(b);
    t_close(a);
}

static void datagrams_udp(void)
{
    datagrams(AF_INET, krait_inet("127.0.0.1", 0), krait_inet("127.0.0.1", 0));
}

static void datagrams_udp6(void)
{
    datagrams(AF_INET6, krait_inet("::1", 0), krait_inet("::1", 0));
}

static void datagrams_unix(void)
{
    datagrams(AF_UNIX, krait_unix("here"), krait_unix("there"));
    __real_unlink("here");
    __real_unlink("there");
}

/* A queue that is full, for which poll(2) gives no event. */
enum { CROWD = 40 };

static void send_crowd(void *arg)
{
    krait_sock *s = arg;

    for (int i = 0; i < CROWD; i++) {
        unsigned char number = (unsigned char)i;

        if (!t_send(s, &number, 1))
            return;
    }
}

static void datagrams_crowd(void)
{
    krait_sock *pair[2];
    struct party sender;
    unsigned before = calls_of(S_PPOLL);
    unsigned char got;

    if (!t_pair(SOCK_DGRAM, pair))
        return;
    start(&sender, send_crowd, pair[0]);
    wait_for_call(&sender, S_PPOLL, before);
    for (int i = 0; i < CROWD; i++) {
        if (t_recv(pair[1], &got, 1, 0) < 0)
            break;
        require(got == i, "a datagram was lost, doubled or moved");
    }
    join(&sender);
    t_close(pair[0]);
    t_close(pair[1]);
}

/* --- timeouts ---------------------------------------------------------- */

#define SHORTLY 0.01

static void accept_in_vain(void)
{
    krait_sock *s =
        t_listener(AF_INET, SOCK_STREAM, krait_inet("127.0.0.1", 0));
    krait_sock *conn;

    if (!s)
        return;
    t_timeout(s, SHORTLY);
    do
        conn = krait_accept(s, NULL);
    while (!refused(conn ? 0 : -1, "accept", ETIMEDOUT));
    require(given_up() || krait_errdomain() == KRAIT_ERROR_TIMEOUT,
            "a timeout is not told from the kernel's");
    krait_setblocking(s, 0);
    do
        conn = krait_accept(s, NULL);
    while (!refused(conn ? 0 : -1, "accept", EAGAIN));
    require(krait_getblocking(s) == 0, "krait_setblocking has no effect");
    t_close(s);
}

static void recv_in_vain(void)
{
    krait_sock *pair[2];
    char buf[8];
    ssize_t n;

    if (!t_pair(SOCK_STREAM, pair))
        return;
    t_timeout(pair[0], SHORTLY);
    do
        n = krait_recv(pair[0], buf, sizeof buf, 0);
    while (!refused(n, "recv", ETIMEDOUT));
    /* Nothing that comes after is lost, and a part that came before neither. */
    if (!given_up() && t_send(pair[1], "late", 4)) {
        n = t_recv(pair[0], buf, sizeof buf, MSG_WAITALL);
        require(given_up() || (n > 0 && memcmp(buf, "late", (size_t)n) == 0),
                "a timeout has lost what came");
    }
    t_close(pair[0]);
    t_close(pair[1]);
}

/* A queue that is full: with a backlog of 0 the kernel holds one. */
static void connect_in_vain(void)
{
    krait_sock *s = t_listener(AF_UNIX, SOCK_STREAM, krait_unix(""));
    krait_sock *first = NULL, *second = NULL;
    krait_addr at;
    int rc;

    if (!s)
        return;
    at = t_sockname(s);
    while (krait_listen(s, 0) < 0 && again("listen"))
        ;
    if (!given_up() && (first = t_connected(AF_UNIX, SOCK_STREAM, at)))
        second = t_socket(AF_UNIX, SOCK_STREAM);
    if (second) {
        t_timeout(second, SHORTLY);
        do
            rc = krait_connect(second, at);
        while (!refused(rc, "connect", ETIMEDOUT));
        krait_settimeout(second, 0);
        do
            rc = krait_connect_ex(second, at);
        while (rc != EAGAIN && !given_up() && (errno = rc, again("connect")));
    }
    t_close(second);
    t_close(first);
    t_close(s);
}

static void timeouts(void)
{
    accept_in_vain();
    if (!given_up())
        recv_in_vain();
    if (!given_up())
        connect_in_vain();
}

/* --- names ------------------------------------------------------------- */

/* Names in every call that takes one. */
static void names(void)
{
    krait_sock *s = t_socket(AF_INET, SOCK_DGRAM);
    krait_addr found[4], localhost = krait_inet("localhost", 0), at;
    int rc;

    if (!s)
        return;
    do
        rc = krait_addr_resolve(localhost, AF_INET, patience(), found, 4);
    while (rc < 0 && again("resolve"));
    do
        rc = given_up() ? -1 : krait_bind(s, localhost);
    while (rc < 0 && !given_up() && again("bind"));
    at = krait_inet("localhost", krait_addr_port(t_sockname(s)));
    if (!given_up() && t_sendto(s, "to myself", 9, at)) {
        do
            rc = krait_connect(s, at);
        while (rc < 0 && again("connect"));
    }
    t_close(s);
}

/* A name that takes longer than there is time: the thread that asks is left
 * behind, and ends by itself. */
static void names_in_vain(void)
{
    krait_addr found[4], localhost = krait_inet("localhost", 80);
    int rc;

    do
        rc = krait_addr_resolve(localhost, AF_UNSPEC, 0.02, found, 4);
    while (rc < 0 && errno != ETIMEDOUT && again("resolve"));
    do
        rc = krait_addr_resolve(localhost, AF_UNSPEC, 0, found, 4);
    while (!refused(rc, "resolve", EAGAIN));
}

static void first_byte(void *arg)
{
    krait_sock *listener = arg;
    char byte = 0;

    while (byte == 0) {
        krait_sock *conn = t_accept(listener);

        if (!conn)
            return;
        if (t_recv(conn, &byte, 1, 0) < 0)
            byte = 1;
        t_close(conn);
    }
}

/* The first address refuses, the second is the listener's. */
static void create_connection(void)
{
    krait_sock *listener =
        t_listener(AF_INET, SOCK_STREAM, krait_inet("127.0.0.1", 0));
    struct party server;
    krait_sock *s;
    int port;

    if (!listener)
        return;
    port = krait_addr_port(t_sockname(listener));
    start(&server, first_byte, listener);
    do
        s = given_up() ? NULL
                       : krait_create_connection(
                             krait_inet(TWO_ADDRESSES, port), patience());
    while (!s && !given_up() && again("connect|socket"));
    if (s) {
        watch(s);
        t_send(s, "!", 1);
    }
    t_close(s);
    join(&server);
    t_close(listener);
}

static void create_connection_in_vain(void)
{
    krait_sock *s;

    do
        s = krait_create_connection(krait_inet(TWO_ADDRESSES, 1), patience());
    while (!refused(s ? 0 : -1, "connect|socket", ECONNREFUSED));
    do
        s = krait_create_connection(krait_addr_parse("udp:127.0.0.1:1"),
                                    patience());
    while (!s && !given_up() && again("connect|socket"));
    t_close(watch(s));
}

/* Interfaces' names, into numbers and back. */
static void scopes(void)
{
    char text[KRAIT_ADDR_TEXT_MAX];
    krait_addr addr = krait_inet("fe80::1%lo", 80);
    bool fine = krait_addr_error(addr) == 0;

    require(fine || (fault_fired() && krait_addr_error(addr) == ENODEV),
            "the interface lo is unknown");
    krait_addr_text(addr, text, sizeof text);
    if (fine && !fault_fired())
        require(strcmp(text, "[fe80::1%lo]:80") == 0, "a scope is misprinted");
    else if (fine)
        require(krait_addr_equal(krait_addr_parse(text), addr),
                "a scope without a name can't be read back");
}

/* --- interrupts -------------------------------------------------------- */

struct wait {
    krait_sock *s;
    bool accepts;
};

/* One call, that waits: never repeated, for the socket may be gone. */
static void wait_in(void *arg)
{
    struct wait *wait = arg;
    char byte;
    bool failed = wait->accepts ? !krait_accept(wait->s, NULL)
                                : krait_recv(wait->s, &byte, 1, 0) < 0;

    require(failed, "a call that was to wait has succeeded");
    if (errno != ECANCELED)
        stop("accept|recv");
}

static void interrupt_recv(void)
{
    krait_sock *pair[2];
    struct wait wait = {0};
    struct party waiter;
    unsigned before = calls_of(S_PPOLL);
    ssize_t n;
    char byte;

    if (!t_pair(SOCK_STREAM, pair))
        return;
    wait.s = pair[0];
    start(&waiter, wait_in, &wait);
    wait_for_call(&waiter, S_PPOLL, before);
    krait_interrupt(pair[0]);
    join(&waiter);
    n = krait_recv(pair[0], &byte, 1, 0);
    require(n < 0 && errno == ECANCELED, "an interrupt doesn't last");
    t_close(pair[0]);
    t_close(pair[1]);
}

/* The call has begun when its accept4 has been made; then the socket may be
 * closed under it. */
static void interrupt_close(void)
{
    krait_sock *s = t_listener(AF_UNIX, SOCK_STREAM, krait_unix(""));
    struct wait wait = {.s = s, .accepts = true};
    struct party waiter;
    unsigned before = calls_of(S_ACCEPT4);

    if (!s)
        return;
    unwatch(s);
    start(&waiter, wait_in, &wait);
    wait_for_call(&waiter, S_ACCEPT4, before);
    t_close(s);
    join(&waiter);
}

/* Name resolution is a wait like any other. */
static void resolve_and_wait(void *arg)
{
    krait_sock *s = arg;

    if (krait_connect(s, krait_inet("localhost", 1)) < 0 && errno != ECANCELED)
        stop("connect");
}

static void interrupt_resolve(void)
{
    krait_sock *s = t_socket(AF_INET, SOCK_DGRAM);
    struct party waiter;
    unsigned before = calls_of(S_GETADDRINFO);

    if (!s)
        return;
    start(&waiter, resolve_and_wait, s);
    wait_for_call(&waiter, S_GETADDRINFO, before);
    krait_interrupt(s);
    join(&waiter);
    t_close(s);
}

const struct scenario talk_scenarios[] = {
    {"conv_tcp", conv_tcp, 0},
    {"conv_tcp6", conv_tcp6, NEEDS_IPV6},
    {"conv_unix", conv_unix, 0},
    {"conv_abstract", conv_abstract, 0},
    {"conv_seqpacket", conv_seqpacket, 0},
    {"conv_hook", conv_hook, HOOKED},
    {"bulk_blocking", bulk_blocking, 0},
    {"bulk_timeout", bulk_timeout, 0},
    {"bulk_sendall", bulk_sendall, 0},
    {"peek", peek, 0},
    {"datagrams_udp", datagrams_udp, 0},
    {"datagrams_udp6", datagrams_udp6, NEEDS_IPV6},
    {"datagrams_unix", datagrams_unix, 0},
    {"datagrams_crowd", datagrams_crowd, 0},
    {"timeouts", timeouts, 0},
    {"names", names, 0},
    {"names_in_vain", names_in_vain, 0},
    {"create_connection", create_connection, ANY_CAUSE},
    {"create_connection_in_vain", create_connection_in_vain, ANY_CAUSE},
    {"scopes", scopes, 0},
    {"interrupt_recv", interrupt_recv, 0},
    {"interrupt_close", interrupt_close, 0},
    {"interrupt_resolve", interrupt_resolve, 0},
};

const size_t talk_count = sizeof talk_scenarios / sizeof *talk_scenarios;
