/* SPDX-License-Identifier: MIT
 *
 * test_errors.c - what Krait says when something fails: the line, the hint,
 * the domain, and whose the record is: a fiber has one of its own.
 *
 * ctest: flows
 */
#include "support.h"

#include <sys/resource.h>
#include <sys/wait.h>

static char *text_of(krait_addr addr)
{
    static char text[KRAIT_ADDR_TEXT_MAX];

    return krait_addr_text(addr, text, sizeof text);
}

struct virgin {
    char msg[64];
    int err, domain, eai;
};

static void look_in_a_new_thread(void *arg)
{
    struct virgin *v = (struct virgin *)arg;

    snprintf(v->msg, sizeof v->msg, "%s", krait_errmsg());
    v->err = krait_errno();
    v->domain = (int)krait_errdomain();
    v->eai = krait_erreai();
}

static void test_nothing_has_failed_in_a_new_thread(void **state)
{
    struct virgin v = {.err = -1};

    (void)state;
    krait_listen(NULL, 1); /* this thread's failure is no other's */
    join(start(look_in_a_new_thread, &v));
    assert_string_equal(v.msg, "no error");
    assert_int_equal(v.err, 0);
    assert_int_equal(v.domain, KRAIT_ERROR_NONE);
    assert_int_equal(v.eai, 0);
}

static void test_a_call_that_works_leaves_the_record_alone(void **state)
{
    char before[256];
    krait_sock *pair[2];

    (void)state;
    any_pair(pair);
    assert_fails(krait_connect(pair[0], krait_unix("/no/such/socket")), ENOENT);
    snprintf(before, sizeof before, "%s", krait_errmsg());
    assert_works(krait_sendstr(pair[0], "x"));
    errno = ENOTTY;
    assert_int_equal(krait_errno(), ENOENT);
    assert_string_equal(krait_errmsg(), before);
    assert_int_equal(errno, ENOTTY);
}

static void test_the_line_is_one_line_without_a_newline(void **state)
{
    krait_sock *s = own(krait_socket(AF_UNIX, SOCK_STREAM, 0));

    (void)state;
    assert_fails(krait_connect(s, krait_unix("/no/such\nsocket\x1b[31m")),
                 ENOENT);
    assert_null(strchr(krait_errmsg(), '\n'));
    assert_null(strchr(krait_errmsg(), '\x1b'));
    assert_contains(krait_errmsg(), "\\x0a");
}

static void test_an_address_in_use_tells_who_to_ask(void **state)
{
    krait_sock *first = listener(transport_named(INET_STREAM));
    krait_sock *second = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    krait_addr addr = krait_getsockname(first);

    (void)state;
    assert_fails(krait_bind(second, addr), EADDRINUSE);
    assert_contains(krait_errmsg(), "bind");
    assert_contains(krait_errmsg(), text_of(addr));
    assert_contains(krait_errmsg(), "Address already in use");
    assert_contains(krait_errmsg(), "ss -ltnp");
}

static void test_a_udp_port_in_use_tells_who_to_ask(void **state)
{
    krait_sock *first = bound(transport_named(INET_DGRAM));
    krait_sock *second = own(krait_socket(AF_INET, SOCK_DGRAM, 0));

    (void)state;
    assert_fails(krait_bind(second, krait_getsockname(first)), EADDRINUSE);
    assert_contains(krait_errmsg(), "bind udp:127.0.0.1:");
    assert_contains(krait_errmsg(), "ss -lunp");
}

static void test_a_unix_name_in_use_is_said(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *first = bound(t), *second = fresh(t);
    krait_addr addr = krait_getsockname(first);

    assert_fails(krait_bind(second, addr), EADDRINUSE);
    assert_contains(krait_errmsg(), "bind");
    assert_contains(krait_errmsg(), text_of(addr));
}

static void test_an_address_that_is_not_ours_is_said(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));
    /* RFC 5737: for documentation, nobody's. */
    krait_addr addr = krait_inet("192.0.2.1", 0);

    (void)state;
    assert_fails(krait_bind(s, addr), EADDRNOTAVAIL);
    assert_contains(krait_errmsg(), "192.0.2.1");
}

static void test_binding_twice_is_said(void **state)
{
    krait_sock *s = bound(transport_of(state));

    assert_fails(krait_bind(s, fresh_address(transport_of(state))), EINVAL);
    assert_contains(krait_errmsg(), "bind");
}

static void test_a_folder_that_is_missing_is_said(void **state)
{
    krait_sock *s = own(krait_socket(AF_UNIX, SOCK_STREAM, 0));

    (void)state;
    assert_fails(krait_bind(s, krait_unix("/no/such/folder/socket")), ENOENT);
    assert_contains(krait_errmsg(), "unix:/no/such/folder/socket");
    assert_fails(krait_connect(s, krait_unix("/no/such/folder/socket")),
                 ENOENT);
    assert_contains(krait_errmsg(), "connect unix:/no/such/folder/socket");
}

static void test_an_address_of_another_family_is_said(void **state)
{
    krait_sock *s = own(krait_socket(AF_INET, SOCK_STREAM, 0));

    (void)state;
    assert_fails(krait_connect(s, krait_inet("::1", 80)), EAFNOSUPPORT);
    assert_contains(krait_errmsg(), "[::1]:80");
    assert_fails(krait_bind(s, krait_unix("/x")), EAFNOSUPPORT);
    assert_contains(krait_errmsg(), "unix:/x");
}

static void test_sendto_names_where_it_was_going(void **state)
{
    krait_sock *s = own(krait_socket(AF_UNIX, SOCK_DGRAM, 0));

    (void)state;
    assert_fails(krait_sendto(s, "x", 1, 0, krait_unix("/no/such/socket")),
                 ENOENT);
    assert_contains(krait_errmsg(), "sendto");
    assert_contains(krait_errmsg(), "/no/such/socket");
}

static void test_a_reset_connection_is_named(void **state)
{
    krait_sock *pair[2];
    char byte;
    krait_addr peer;

    connect_pair(transport_of(state), pair);
    peer = krait_getpeername(pair[0]);
    reset_on_close(pair[1]);
    shut(pair[1]);
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ECONNRESET);
    assert_contains(krait_errmsg(), "recv");
    assert_contains(krait_errmsg(), "Connection reset by peer");
    assert_contains(krait_errmsg(), text_of(peer));
}

static void test_a_timeout_is_an_error_of_its_own(void **state)
{
    krait_sock *pair[2];
    char byte;

    (void)state;
    any_pair(pair);
    assert_works(krait_settimeout(pair[0], 0.001));
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ETIMEDOUT);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    assert_contains(krait_errmsg(), "timed out");
    assert_int_equal(krait_erreai(), 0);
}

/* Runs a body in a child, for what must not be done to this process. Its
 * status: 0 where all is well, 77 to skip, else the line that failed. */
static int in_a_child(int (*body)(void))
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Gives root's privileges up, where there are any. */
static bool become_nobody(void)
{
    return geteuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0);
}

static int bind_a_low_port_as_nobody(void)
{
    krait_sock *s;

    if (!become_nobody())
        return 77;
    s = krait_socket(AF_INET, SOCK_STREAM, 0);
    if (krait_bind(s, krait_inet("127.0.0.1", 1)) == 0)
        return 77; /* ip_unprivileged_port_start allows it */
    if (errno != EACCES)
        return 1;
    if (!strstr(krait_errmsg(), "127.0.0.1:1") ||
        !strstr(krait_errmsg(), "1024"))
        return 2;
    krait_close(s);
    return 0;
}

static void test_a_low_port_wants_privileges(void **state)
{
    int status = in_a_child(bind_a_low_port_as_nobody);

    (void)state;
    if (status == 77)
        skip_because("any user may bind low ports here, or we can't be one");
    assert_int_equal(status, 0);
}

static int make_raw_as_nobody(void)
{
    if (!become_nobody())
        return 77;
    if (krait_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP))
        return 77;
    return errno == EPERM && strstr(krait_errmsg(), "CAP_NET_RAW") ? 0 : 1;
}

static void test_a_raw_socket_wants_privileges(void **state)
{
    int status = in_a_child(make_raw_as_nobody);

    (void)state;
    if (status == 77)
        skip_because("any user may make raw sockets here, or we can't be one");
    assert_int_equal(status, 0);
}

/* With no fd left: each call says so, and an accept takes no connection that
 * it couldn't give. Returns the number of what went wrong. */
static int run_out_of_fds(void)
{
    krait_sock *server = krait_socket(AF_UNIX, SOCK_STREAM, 0), *client, *conn;
    krait_sock *hoard[64];
    struct rlimit limit = {40, 40};
    size_t n = 0;
    char byte = 0;

    client = krait_socket(AF_UNIX, SOCK_STREAM, 0);
    if (krait_bind(server, krait_unix("")) < 0 || krait_listen(server, 5) < 0 ||
        krait_connect(client, krait_getsockname(server)) < 0 ||
        krait_sendstr(client, "x") < 0 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    while (n < COUNT(hoard) &&
           (hoard[n] = krait_socket(AF_UNIX, SOCK_DGRAM, 0)))
        n++;
    if (n == COUNT(hoard) || errno != EMFILE)
        return 2;
    if (!strstr(krait_errmsg(), "ulimit -n"))
        return 3;
    if (krait_accept(server, NULL) || errno != EMFILE)
        return 4;
    if (krait_dup(client) || errno != EMFILE)
        return 5;
    krait_close(hoard[--n]);
    conn = krait_accept(server, NULL);
    if (!conn || krait_recv(conn, &byte, 1, 0) != 1 || byte != 'x')
        return 6; /* the connection was lost */
    while (n > 0)
        krait_close(hoard[--n]);
    krait_close(conn);
    krait_close(client);
    krait_close(server);
    return 0;
}

static void test_running_out_of_fds_is_said_and_loses_no_connection(
    void **state)
{
    (void)state;
    if (under_valgrind())
        skip_because("Valgrind itself accepts before it says EMFILE");
    assert_int_equal(in_a_child(run_out_of_fds), 0);
}

/* stderr into a pipe while `what` is printed; what came. */
static const char *perror_says(const char *what)
{
    static char text[1024];
    int ends[2], keep = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    errno = ENOTTY;
    krait_perror(what);
    n = errno == ENOTTY;
    dup2(keep, STDERR_FILENO);
    close(keep);
    close(ends[1]);
    assert_true(n); /* errno was kept */
    n = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_perror_prints_the_line(void **state)
{
    char wanted[512];

    (void)state;
    assert_fails(krait_listen(NULL, 1), EBADF);
    snprintf(wanted, sizeof wanted, "server: %s\n", krait_errmsg());
    assert_string_equal(perror_says("server"), wanted);
    assert_string_equal(perror_says(""), wanted + 8);
    assert_string_equal(perror_says(NULL), wanted + 8);
}

static void test_free_functions_take_null_and_keep_errno(void **state)
{
    (void)state;
    errno = ENOTTY;
    assert_int_equal(krait_close(NULL), 0);
    assert_int_equal(krait_server_close(NULL), 0);
    assert_int_equal(errno, ENOTTY);
}

static void test_the_version_is_that_of_the_headers(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof text, "%d.%d.%d", KRAIT_VERSION_MAJOR,
             KRAIT_VERSION_MINOR, KRAIT_VERSION_PATCH);
    assert_string_equal(krait_version(), text);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_nothing_has_failed_in_a_new_thread), ONCE},
        {TEST(test_a_call_that_works_leaves_the_record_alone), ONCE},
        {TEST(test_the_line_is_one_line_without_a_newline), ONCE},
        {TEST(test_an_address_in_use_tells_who_to_ask), ONCE},
        {TEST(test_a_udp_port_in_use_tells_who_to_ask), ONCE},
        {TEST(test_a_unix_name_in_use_is_said),
         UNIX_STREAM | ABSTRACT_STREAM | UNIX_DGRAM | UNIX_SEQPACKET},
        {TEST(test_an_address_that_is_not_ours_is_said), ONCE},
        {TEST(test_binding_twice_is_said), EVERY},
        {TEST(test_a_folder_that_is_missing_is_said), ONCE},
        {TEST(test_an_address_of_another_family_is_said), ONCE},
        {TEST(test_sendto_names_where_it_was_going), ONCE},
        {TEST(test_a_reset_connection_is_named), INET_STREAM | INET6_STREAM},
        {TEST(test_a_timeout_is_an_error_of_its_own), ONCE},
        {TEST(test_a_low_port_wants_privileges), ONCE},
        {TEST(test_a_raw_socket_wants_privileges), ONCE},
        {TEST(test_running_out_of_fds_is_said_and_loses_no_connection), ONCE},
        {TEST(test_perror_prints_the_line), ONCE},
        {TEST(test_free_functions_take_null_and_keep_errno), ONCE},
        {TEST(test_the_version_is_that_of_the_headers), ONCE},
    };

    return run_all(argc, argv, "errors", tests, COUNT(tests));
}
