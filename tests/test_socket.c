/* SPDX-License-Identifier: MIT
 *
 * test_socket.c - what a krait_sock is: how it comes and goes, what it says of
 * itself, its fd and the ways to hand that on.
 *
 * ctest: flows
 */
#include <sys/wait.h>

#include "support.h"

static int flags_of(krait_sock *s)
{
    return fcntl(krait_fileno(s), F_GETFL);
}

static bool fd_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_a_socket_knows_what_it_is(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *s = krait_socket(t->family, t->type, 0);

    if (!s && t->family == AF_INET6)
        skip_because("this kernel has no IPv6");
    own(s);
    assert_int_equal(krait_family(s), t->family);
    assert_int_equal(krait_type(s), t->type);
    assert_int_equal(krait_proto(s), 0);
    assert_true(krait_gettimeout(s) == KRAIT_FOREVER);
    assert_int_equal(krait_getblocking(s), 1);
}

static void test_fds_are_close_on_exec_and_never_block(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *pair[2], *twin;
    int i;

    connect_pair(t, pair);
    twin = own(krait_dup(pair[0]));
    for (i = 0; i < 2; i++) {
        assert_true(fcntl(krait_fileno(pair[i]), F_GETFD) & FD_CLOEXEC);
        assert_true(flags_of(pair[i]) & O_NONBLOCK);
    }
    assert_true(fcntl(krait_fileno(twin), F_GETFD) & FD_CLOEXEC);
    assert_true(flags_of(twin) & O_NONBLOCK);
}

static void test_a_socketpair_s_fds_are_close_on_exec_too(void **state)
{
    krait_sock *pair[2];
    int i;

    (void)state;
    assert_works(krait_socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    for (i = 0; i < 2; i++) {
        own(pair[i]);
        assert_true(fcntl(krait_fileno(pair[i]), F_GETFD) & FD_CLOEXEC);
        assert_true(flags_of(pair[i]) & O_NONBLOCK);
    }
}

/* What a program that this one becomes says: 0, the fd is open. */
static int seen_by_another(int fd)
{
    char path[64];
    int status = -1;
    pid_t pid;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    pid = fork();
    if (pid == 0) {
        execlp("test", "test", "-e", path, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_an_fd_is_inherited_where_that_is_asked_for(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    int fd = krait_fileno(s);

    (void)state;
    assert_int_equal(krait_get_inheritable(s), 0);
    assert_int_equal(seen_by_another(fd), 1);
    assert_works(krait_set_inheritable(s, 1));
    assert_int_equal(krait_get_inheritable(s), 1);
    assert_int_equal(seen_by_another(fd), 0);
    assert_works(krait_set_inheritable(s, 0));
    assert_int_equal(seen_by_another(fd), 1);
    assert_fails(krait_set_inheritable(NULL, 1), EBADF);
    assert_fails(krait_get_inheritable(NULL), EBADF);
}

/* O_NONBLOCK belongs to the open file, which another process may share. */
static void test_a_timeout_holds_where_others_have_made_the_fd_block(
    void **state)
{
    krait_sock *pair[2];
    char byte;

    connect_pair(transport_of(state), pair);
    assert_works(krait_settimeout(pair[0], 0.05));
    assert_int_equal(
        fcntl(krait_fileno(pair[0]), F_SETFL, flags_of(pair[0]) & ~O_NONBLOCK),
        0);
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
}

static void test_flags_in_the_type_are_not_the_type(void **state)
{
    krait_sock *s =
        own(krait_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));

    (void)state;
    assert_int_equal(krait_type(s), SOCK_STREAM);
    assert_int_equal(krait_proto(s), IPPROTO_TCP);
    assert_int_equal(krait_getblocking(s), 1);
    shut(s);

    s = own(krait_socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    assert_int_equal(krait_type(s), SOCK_DGRAM);
    assert_true(krait_gettimeout(s) == 0);
    assert_int_equal(krait_getblocking(s), 0);
}

static void test_a_kind_of_socket_that_does_not_exist_is_refused(void **state)
{
    (void)state;
    assert_null_with(krait_socket(9999, SOCK_STREAM, 0), EAFNOSUPPORT);
    assert_null_with(krait_socket(AF_INET, SOCK_STREAM, IPPROTO_UDP),
                     EPROTONOSUPPORT);
    assert_null_with(krait_socket(AF_INET, 7777, 0), EINVAL);
}

static void test_close_of_null_is_fine_and_keeps_errno(void **state)
{
    krait_sock *s = krait_socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    errno = ENOTTY;
    assert_int_equal(krait_close(NULL), 0);
    assert_int_equal(errno, ENOTTY);
    assert_non_null(s);
    errno = ENOTTY;
    assert_int_equal(krait_close(s), 0);
    assert_int_equal(errno, ENOTTY);
}

static void test_close_closes_the_fd(void **state)
{
    krait_sock *s = own(krait_socket(AF_UNIX, SOCK_STREAM, 0));
    int fd = krait_fileno(s);

    (void)state;
    assert_true(fd_is_open(fd));
    shut(s);
    assert_false(fd_is_open(fd));
}

static void test_a_socketpair_talks_both_ways(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(types); i++) {
        krait_sock *pair[2];
        char got[8] = {0};

        assert_works(krait_socketpair(AF_UNIX, types[i], 0, pair));
        own(pair[0]);
        own(pair[1]);
        assert_int_equal(krait_type(pair[0]), types[i]);
        assert_int_equal(krait_send(pair[0], "to", 2, 0), 2);
        assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 2);
        assert_int_equal(krait_send(pair[1], "fro", 3, 0), 3);
        assert_int_equal(krait_recv(pair[0], got, sizeof got, 0), 3);
        assert_memory_equal(got, "fro", 3);
    }
}

static void test_a_socketpair_of_internet_sockets_does_not_exist(void **state)
{
    krait_sock *pair[2];

    (void)state;
    assert_fails(krait_socketpair(AF_INET, SOCK_STREAM, 0, pair), EOPNOTSUPP);
    assert_fails(krait_socketpair(9999, SOCK_STREAM, 0, pair), EAFNOSUPPORT);
}

static void test_dup_is_a_second_socket_over_the_same_connection(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *pair[2], *twin;
    char got[4];

    connect_pair(t, pair);
    assert_works(krait_settimeout(pair[0], 12.5));
    twin = own(krait_dup(pair[0]));
    assert_true(krait_gettimeout(twin) == 12.5);
    assert_int_not_equal(krait_fileno(twin), krait_fileno(pair[0]));
    assert_int_equal(krait_family(twin), t->family);
    assert_int_equal(krait_type(twin), t->type);

    shut(pair[0]); /* the connection goes on in the twin */
    assert_int_equal(krait_send(twin, "abc", 3, 0), 3);
    assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 3);
}

static void test_interrupting_a_twin_leaves_the_other_alone(void **state)
{
    krait_sock *pair[2], *twin;
    char byte;

    (void)state;
    any_pair(pair);
    twin = own(krait_dup(pair[0]));
    assert_works(krait_interrupt(twin));
    assert_works(krait_sendstr(pair[1], "x"));
    assert_int_equal(krait_recv(pair[0], &byte, 1, 0), 1);
}

static void test_detach_hands_the_fd_back_open(void **state)
{
    krait_sock *pair[2];
    char byte = 0;
    int fd, same;

    (void)state;
    any_pair(pair);
    same = krait_fileno(pair[0]);
    fd = own_fd(krait_detach(disown(pair[0])));
    assert_int_equal(fd, same);
    assert_true(fd_is_open(fd));
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_works(krait_sendstr(pair[1], "x"));
    assert_int_equal(read(fd, &byte, 1), 1);
}

static void test_fromfd_works_on_a_duplicate(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *pair[2], *copy;
    char got[8];
    int fd;

    connect_pair(t, pair);
    fd = krait_fileno(pair[0]);
    copy = own(krait_fromfd(fd, -1, -1, -1));
    assert_int_not_equal(krait_fileno(copy), fd);
    assert_int_equal(krait_family(copy), t->family);
    assert_int_equal(krait_type(copy), t->type);
    assert_true(krait_gettimeout(copy) == KRAIT_FOREVER);
    assert_int_equal(krait_send(copy, "dup", 3, 0), 3);
    assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 3);
    shut(copy);
    assert_true(fd_is_open(fd));
}

static void test_fromfd_believes_what_it_is_told(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    krait_sock *copy =
        own(krait_fromfd(krait_fileno(s), AF_INET, SOCK_STREAM, IPPROTO_TCP));

    (void)state;
    assert_int_equal(krait_proto(copy), IPPROTO_TCP);
}

static void test_fromfd_detects_the_protocol(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_DGRAM, 0));
    krait_sock *copy = own(krait_fromfd(krait_fileno(s), -1, -1, -1));

    (void)state;
    assert_int_equal(krait_proto(copy), IPPROTO_UDP);
}

static void test_an_adopted_fd_becomes_the_socket_s_own(void **state)
{
    int fds[2];
    krait_sock *s;
    char byte;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    own_fd(fds[0]);
    own_fd(fds[1]);
    s = own(krait_fd_adopt(fds[0]));
    disown_fd(fds[0]);
    assert_int_equal(krait_fileno(s), fds[0]);
    assert_int_equal(krait_family(s), AF_UNIX);
    assert_int_equal(krait_type(s), SOCK_STREAM);
    assert_true(flags_of(s) & O_NONBLOCK);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(krait_recv(s, &byte, 1, 0), 1);
    shut(s);
    assert_false(fd_is_open(fds[0]));
}

static void test_what_is_no_socket_is_refused_and_left_alone(void **state)
{
    int fds[2], flags;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    own_fd(fds[0]);
    own_fd(fds[1]);
    flags = fcntl(fds[0], F_GETFL);
    assert_null_with(krait_fd_adopt(fds[0]), ENOTSOCK);
    assert_null_with(krait_fromfd(fds[0], -1, -1, -1), ENOTSOCK);
    assert_null_with(krait_fromfd(fds[0], AF_INET, SOCK_STREAM, 0), ENOTSOCK);
    assert_true(fd_is_open(fds[0]));
    assert_int_equal(fcntl(fds[0], F_GETFL), flags);

    assert_null_with(krait_fd_adopt(-1), EBADF);
    assert_null_with(krait_fromfd(-1, -1, -1, -1), EBADF);
    assert_null_with(krait_fd_adopt(1 << 20), EBADF);
}

/* Every function of socket.h that takes a socket. */
static void test_every_call_refuses_a_null_socket(void **state)
{
    krait_addr addr = krait_inet("127.0.0.1", 1), from;
    char buf[4] = {0};
    size_t len = sizeof buf;
    int value;

    (void)state;
    assert_fails(krait_bind(NULL, addr), EBADF);
    assert_fails(krait_listen(NULL, 1), EBADF);
    assert_null_with(krait_accept(NULL, NULL), EBADF);
    assert_fails(krait_connect(NULL, addr), EBADF);
    assert_int_equal(krait_connect_ex(NULL, addr), EBADF);
    assert_fails(krait_recv(NULL, buf, 4, 0), EBADF);
    assert_fails(krait_recv(NULL, buf, 0, 0), EBADF);
    assert_fails(krait_send(NULL, buf, 4, 0), EBADF);
    assert_fails(krait_sendall(NULL, buf, 4, 0), EBADF);
    assert_fails(krait_sendall(NULL, buf, 0, 0), EBADF);
    assert_fails(krait_sendstr(NULL, "x"), EBADF);
    assert_fails(krait_recvfrom(NULL, buf, 4, 0, &from), EBADF);
    assert_fails(krait_sendto(NULL, buf, 4, 0, addr), EBADF);
    assert_fails(krait_shutdown(NULL, SHUT_RDWR), EBADF);
    assert_fails(krait_detach(NULL), EBADF);
    assert_null_with(krait_dup(NULL), EBADF);
    assert_fails(krait_setsockopt(NULL, SOL_SOCKET, SO_REUSEADDR, 1), EBADF);
    assert_fails(krait_setsockopt_buf(NULL, SOL_SOCKET, SO_LINGER, buf, 4),
                 EBADF);
    assert_fails(krait_setsockopt_none(NULL, SOL_SOCKET, SO_LINGER, 4), EBADF);
    assert_fails(krait_getsockopt(NULL, SOL_SOCKET, SO_TYPE, &value), EBADF);
    assert_fails(krait_getsockopt_buf(NULL, SOL_SOCKET, SO_TYPE, buf, &len),
                 EBADF);
    assert_fails(krait_settimeout(NULL, 1), EBADF);
    assert_fails(krait_setblocking(NULL, 1), EBADF);
    assert_fails(krait_getblocking(NULL), EBADF);
    assert_fails(krait_fileno(NULL), EBADF);
    assert_fails(krait_family(NULL), EBADF);
    assert_fails(krait_type(NULL), EBADF);
    assert_fails(krait_proto(NULL), EBADF);
    assert_null_with(krait_makefile(NULL, "r"), EBADF);

    errno = 0;
    assert_true(krait_gettimeout(NULL) == -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(krait_addr_error(krait_getsockname(NULL)), EBADF);
    assert_int_equal(krait_addr_error(krait_getpeername(NULL)), EBADF);
    errno = 0;
    assert_int_equal(krait_interrupt(NULL), -1);
    assert_int_equal(errno, EBADF);
}

/* An fd that foreign code closed underneath: said, and never waited on. */
static void test_an_fd_closed_underneath_is_said(void **state)
{
    krait_sock *pair[2];
    char byte;
    int fd;

    (void)state;
    any_pair(pair);
    fd = krait_fileno(pair[0]);
    close(fd);
    assert_fails(krait_recv(pair[0], &byte, 1, 0), EBADF);
    assert_fails(krait_send(pair[0], "x", 1, 0), EBADF);
    assert_fails(krait_sendall(pair[0], "x", 1, 0), EBADF);
    assert_null_with(krait_accept(pair[0], NULL), EBADF);
    assert_fails(krait_bind(pair[0], krait_unix("@x")), EBADF);
    assert_fails(krait_listen(pair[0], 1), EBADF);
    assert_fails(krait_shutdown(pair[0], SHUT_WR), EBADF);
    assert_null_with(krait_dup(pair[0]), EBADF);
    assert_int_equal(krait_addr_error(krait_getsockname(pair[0])), EBADF);
    assert_contains(krait_errmsg(), "Bad file descriptor");
    shut(pair[0]); /* the number is free: nothing else may be closed */
}

static void test_getpeername_of_nobody_carries_the_error(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));

    (void)state;
    assert_int_equal(krait_addr_error(krait_getpeername(s)), ENOTCONN);
}

static void test_both_ends_know_their_names(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = t->type == SOCK_DGRAM ? bound(t) : listener(t);
    krait_sock *client, *conn;
    krait_addr addr = krait_getsockname(server), peer;

    assert_int_equal(krait_addr_error(addr), 0);
    assert_int_equal(krait_addr_family(addr), t->family);
    client = bound(t);
    assert_works(krait_connect(client, addr));
    assert_true(krait_addr_equal(krait_getpeername(client), addr));
    if (t->type == SOCK_DGRAM)
        return;
    conn = own(krait_accept(server, &peer));
    assert_true(krait_addr_equal(peer, krait_getsockname(client)));
    assert_true(krait_addr_equal(peer, krait_getpeername(conn)));
    assert_true(krait_addr_equal(krait_getsockname(conn), addr));
}

static void test_an_address_for_another_type_is_refused(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    krait_sock *d = own(krait_socket(AF_INET, SOCK_DGRAM, 0));

    (void)state;
    assert_fails(krait_bind(s, krait_addr_parse("udp:127.0.0.1:0")),
                 EPROTOTYPE);
    assert_fails(krait_connect(s, krait_addr_parse("udp:127.0.0.1:9")),
                 EPROTOTYPE);
    assert_fails(krait_sendto(d, "", 0, 0, krait_addr_parse("tcp:127.0.0.1:9")),
                 EPROTOTYPE);
    assert_works(krait_bind(d, krait_addr_parse("udp:127.0.0.1:0")));
}

static void test_a_bad_address_fails_where_it_is_given(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    krait_addr none = {0};
    char path[120];

    (void)state;
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_fails(krait_bind(s, krait_inet("127.0.0.1", 65536)), EINVAL);
    assert_contains(krait_errmsg(), "65536");
    assert_fails(krait_connect(s, krait_addr_parse("nonsense")), EINVAL);
    assert_contains(krait_errmsg(), "nonsense");
    assert_fails(krait_connect(s, krait_unix(path)), ENAMETOOLONG);
    assert_fails(krait_connect(s, none), EDESTADDRREQ);
    assert_int_equal(krait_connect_ex(s, none), EDESTADDRREQ);
    assert_fails(krait_sendto(s, "x", 1, 0, none), EDESTADDRREQ);
    assert_null_with(krait_create_connection(none, 1), EDESTADDRREQ);
}

static void test_a_negative_backlog_is_zero(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = bound(t), *client = fresh(t);

    assert_works(krait_listen(server, -5));
    assert_works(krait_connect(client, krait_getsockname(server)));
    own(krait_accept(server, NULL));
}

static void test_the_accepted_socket_does_not_inherit_the_timeout(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = listener(t), *client = fresh(t), *conn;

    assert_works(krait_settimeout(server, PATIENCE));
    assert_works(krait_connect(client, krait_getsockname(server)));
    conn = own(krait_accept(server, NULL));
    assert_true(krait_gettimeout(conn) == KRAIT_FOREVER);
    assert_int_equal(krait_family(conn), t->family);
    assert_int_equal(krait_type(conn), t->type);
}

static void test_accept_wants_a_listening_socket(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    krait_sock *d = own(krait_socket(AF_INET, SOCK_DGRAM, 0));

    (void)state;
    assert_null_with(krait_accept(s, NULL), EINVAL);
    assert_null_with(krait_accept(d, NULL), EOPNOTSUPP);
    assert_fails(krait_listen(d, 1), EOPNOTSUPP);
}

static void test_thousands_of_sockets_come_and_go(void **state)
{
    int i, first = -1;

    (void)state;
    for (i = 0; i < 2000; i++) {
        krait_sock *s = own(krait_socket(AF_UNIX, SOCK_DGRAM, 0));

        if (first < 0)
            first = krait_fileno(s);
        assert_int_equal(krait_fileno(s), first);
        shut(s);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_a_socket_knows_what_it_is), EVERY},
        {TEST(test_fds_are_close_on_exec_and_never_block), EVERY},
        {TEST(test_a_socketpair_s_fds_are_close_on_exec_too), ONCE},
        {TEST(test_an_fd_is_inherited_where_that_is_asked_for), ONCE},
        {TEST(test_a_timeout_holds_where_others_have_made_the_fd_block), EVERY},
        {TEST(test_flags_in_the_type_are_not_the_type), ONCE},
        {TEST(test_a_kind_of_socket_that_does_not_exist_is_refused), ONCE},
        {TEST(test_close_of_null_is_fine_and_keeps_errno), ONCE},
        {TEST(test_close_closes_the_fd), ONCE},
        {TEST(test_a_socketpair_talks_both_ways), ONCE},
        {TEST(test_a_socketpair_of_internet_sockets_does_not_exist), ONCE},
        {TEST(test_dup_is_a_second_socket_over_the_same_connection), EVERY},
        {TEST(test_interrupting_a_twin_leaves_the_other_alone), ONCE},
        {TEST(test_detach_hands_the_fd_back_open), ONCE},
        {TEST(test_fromfd_works_on_a_duplicate), EVERY},
        {TEST(test_fromfd_believes_what_it_is_told), ONCE},
        {TEST(test_fromfd_detects_the_protocol), ONCE},
        {TEST(test_an_adopted_fd_becomes_the_socket_s_own), ONCE},
        {TEST(test_what_is_no_socket_is_refused_and_left_alone), ONCE},
        {TEST(test_every_call_refuses_a_null_socket), ONCE},
        {TEST(test_an_fd_closed_underneath_is_said), ONCE},
        {TEST(test_getpeername_of_nobody_carries_the_error), ONCE},
        {TEST(test_both_ends_know_their_names), EVERY},
        {TEST(test_an_address_for_another_type_is_refused), ONCE},
        {TEST(test_a_bad_address_fails_where_it_is_given), ONCE},
        {TEST(test_a_negative_backlog_is_zero), CONNECTIONS},
        {TEST(test_the_accepted_socket_does_not_inherit_the_timeout),
         CONNECTIONS},
        {TEST(test_accept_wants_a_listening_socket), ONCE},
        {TEST(test_thousands_of_sockets_come_and_go), ONCE},
    };

    return run_all(argc, argv, "socket", tests, COUNT(tests));
}
