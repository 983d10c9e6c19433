/* SPDX-License-Identifier: MIT
 *
 * test_listen_fds.c - sockets that another program has opened for this one, as
 * systemd does. Each case is a child of its own, with fds and an environment of
 * its own.
 */
#include <sys/wait.h>

#include "support.h"

static void set(const char *pid, const char *fds, const char *names)
{
    char own[16];

    snprintf(own, sizeof own, "%d", getpid());
    setenv("LISTEN_PID", pid ? pid : own, 1);
    setenv("LISTEN_FDS", fds, 1);
    unsetenv("LISTEN_FDNAMES");
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
}

/* A stream that listens becomes fd 3, a datagram socket fd 4, a pipe's end fd
 * 5: false, and no more to test, where that fails. */
static bool hand_over(krait_addr *addr)
{
    int stream = socket(AF_INET, SOCK_STREAM, 0);
    int dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_in in = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t len = sizeof in;
    int ends[2];

    if (stream < 0 || dgram < 0 || pipe(ends) < 0 ||
        bind(stream, (struct sockaddr *)&in, len) < 0 ||
        listen(stream, 1) < 0 ||
        getsockname(stream, (struct sockaddr *)&in, &len) < 0)
        return false;
    *addr = krait_addr_from((struct sockaddr *)&in, len);
    stream = fcntl(stream, F_DUPFD, 10);
    dgram = fcntl(dgram, F_DUPFD, 10);
    ends[0] = fcntl(ends[0], F_DUPFD, 10);
    return dup2(stream, 3) == 3 && dup2(dgram, 4) == 4 && dup2(ends[0], 5) == 5;
}

/* The line of the first that isn't so, as the child's status. */
#define see(what) \
    do { \
        if (!(what)) \
            return __LINE__; \
    } while (0)

static int takes_by_number(krait_addr addr)
{
    krait_sock *s, *client, *conn;
    char byte = 0;

    set(NULL, "2", NULL);
    see(krait_listen_fds() == 2);
    see((s = krait_listen_fd(0)));
    see(krait_fileno(s) == 3 && krait_type(s) == SOCK_STREAM);
    see(krait_get_inheritable(s) == 0);
    see(krait_addr_equal(krait_getsockname(s), addr));
    see((client = krait_create_connection(addr, PATIENCE)));
    see((conn = krait_accept(s, NULL)));
    see(krait_send(client, "x", 1, 0) == 1);
    see(krait_recv(conn, &byte, 1, 0) == 1 && byte == 'x');
    see(krait_close(client) == 0 && krait_close(conn) == 0);
    see(krait_close(s) == 0);
    see(!krait_listen_fd(0) && errno == ENOENT);
    see(strstr(krait_errmsg(), "taken before"));
    see(!krait_listen_fd(2) && errno == ENOENT);
    see(!krait_listen_fd(-1) && errno == ENOENT);
    return 0;
}

static int takes_by_name(krait_addr addr)
{
    krait_sock *s;

    set(NULL, "3", "web:log:web");
    see((s = krait_listen_fd_named("log")));
    see(krait_type(s) == SOCK_DGRAM && krait_family(s) == AF_UNIX);
    see(krait_close(s) == 0);
    see((s = krait_listen_fd_named("web")));
    see(krait_addr_equal(krait_getsockname(s), addr));
    see(krait_close(s) == 0);
    /* The second of the name is no socket, and stays where it is. */
    see(!krait_listen_fd_named("web") && errno == ENOTSOCK);
    see(!krait_listen_fd_named("web") && errno == ENOTSOCK);
    see(!krait_listen_fd_named("log") && errno == ENOENT);
    see(!krait_listen_fd_named("we") && errno == ENOENT);
    see(!krait_listen_fd_named("") && errno == ENOENT);
    see(!krait_listen_fd_named(NULL) && errno == ENOENT);
    return 0;
}

static int takes_nobody_elses(krait_addr addr)
{
    static const char *const nonsense[] = {"", "-1", "2x", "x", "1e1"};

    (void)addr;
    see(krait_listen_fds() == 0);
    set("1", "2", "web:log");
    see(krait_listen_fds() == 0);
    see(!krait_listen_fd(0) && errno == ENOENT);
    see(!krait_listen_fd_named("web") && errno == ENOENT);
    for (size_t i = 0; i < COUNT(nonsense); i++) {
        set(NULL, nonsense[i], NULL);
        see(krait_listen_fds() == 0);
        set(nonsense[i], "2", NULL);
        see(krait_listen_fds() == 0);
    }
    /* More than there can be. */
    set(NULL, "1000000000", "web");
    see(!krait_listen_fd(900) && errno == EBADF);
    see(!krait_listen_fd(999999999) && errno == ENOENT);
    return 0;
}

static void run_in_a_child(int (*fn)(krait_addr addr))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        krait_addr addr;

        unsetenv("LISTEN_PID");
        unsetenv("LISTEN_FDS");
        status = hand_over(&addr) ? fn(addr) : 1;
        if (status)
            fprintf(stderr, "line %d: %s\n", status, krait_errmsg());
        _exit(status != 0);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

static void test_they_are_taken_by_number(void **state)
{
    (void)state;
    run_in_a_child(takes_by_number);
}

static void test_they_are_taken_by_name(void **state)
{
    (void)state;
    run_in_a_child(takes_by_name);
}

static void test_those_of_others_are_left_alone(void **state)
{
    (void)state;
    run_in_a_child(takes_nobody_elses);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_they_are_taken_by_number), ONCE},
        {TEST(test_they_are_taken_by_name), ONCE},
        {TEST(test_those_of_others_are_left_alone), ONCE},
    };

    return run_all(argc, argv, "listen_fds", tests, COUNT(tests));
}
