/* SPDX-License-Identifier: MIT
 *
 * test_fork.c - a forked child is a plain thread: the sockets that it inherits
 * work, and what it does to them leaves its parent's alone. So is the child of
 * a fiber, on whose stack it goes on: without a run-time.
 *
 * ctest: flows
 */
#include "support.h"

#include <sys/wait.h>

/* Each answers 0, or the number of what went wrong. */
typedef int child_body(krait_sock *s);

static pid_t fork_child(child_body *body, krait_sock *s)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(TEST_SECONDS); /* a fork has no alarm of its own */
        _exit(body(s));
    }
    return pid;
}

static void expect_success(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int echo_once(krait_sock *s)
{
    char buf[64];
    ssize_t n = krait_recv(s, buf, sizeof buf, 0);

    return n <= 0 ? 1 : krait_sendall(s, buf, (size_t)n, 0) < 0 ? 2 : 0;
}

static void test_a_child_talks_on_an_inherited_socket(void **state)
{
    krait_sock *pair[2];
    char got[8];
    pid_t pid;

    connect_pair(transport_of(state), pair);
    pid = fork_child(echo_once, pair[1]);
    assert_int_equal(krait_send(pair[0], "ping", 4, 0), 4);
    assert_int_equal(krait_recv(pair[0], got, sizeof got, 0), 4);
    expect_success(pid);
    /* The parent's own copy works as before. */
    assert_int_equal(krait_send(pair[0], "x", 1, 0), 1);
    assert_int_equal(krait_recv(pair[1], got, sizeof got, 0), 1);
}

static int accept_and_greet(krait_sock *s)
{
    krait_sock *conn = krait_accept(s, NULL);
    int rc = krait_sendstr(conn, "hello");

    krait_close(conn);
    return rc < 0;
}

static void test_a_child_accepts_on_an_inherited_listener(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = listener(t), *client = fresh(t);
    char got[8];
    pid_t pid = fork_child(accept_and_greet, server);

    assert_works(krait_connect(client, krait_getsockname(server)));
    assert_int_equal(krait_recv(client, got, sizeof got, 0), 5);
    expect_success(pid);
}

static int interrupt_it(krait_sock *s)
{
    char byte;

    if (krait_interrupt(s) < 0)
        return 1;
    return krait_recv(s, &byte, 1, 0) == -1 && errno == ECANCELED ? 0 : 2;
}

static void test_an_interrupt_in_the_child_is_the_child_s(void **state)
{
    krait_sock *pair[2];
    char byte;

    connect_pair(transport_of(state), pair);
    expect_success(fork_child(interrupt_it, pair[0]));
    assert_int_equal(krait_send(pair[1], "x", 1, 0), 1);
    assert_int_equal(krait_recv(pair[0], &byte, 1, 0), 1);
}

static int close_it(krait_sock *s)
{
    return krait_close(s) < 0;
}

static void test_a_close_in_the_child_leaves_the_parent_connected(void **state)
{
    krait_sock *pair[2];
    char byte;

    connect_pair(transport_of(state), pair);
    expect_success(fork_child(close_it, pair[0]));
    assert_int_equal(krait_send(pair[0], "x", 1, 0), 1);
    assert_int_equal(krait_recv(pair[1], &byte, 1, 0), 1);
}

static int time_out(krait_sock *s)
{
    char byte;
    double since = now();

    krait_settimeout(s, 0.05);
    if (krait_recv(s, &byte, 1, 0) != -1 || errno != ETIMEDOUT)
        return 1;
    return now() - since < 0.05 ? 2 : 0;
}

static void test_timeouts_work_in_a_child(void **state)
{
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    expect_success(fork_child(time_out, pair[0]));
    assert_true(krait_gettimeout(pair[0]) == KRAIT_FOREVER);
}

/* Forked while another task waits on the socket: the child has no such
 * task, and must not wait for it when it closes. */
static int use_and_close(krait_sock *s)
{
    if (krait_sendstr(s, "child") < 0)
        return 1;
    return krait_close(s) < 0 ? 2 : 0;
}

static void test_a_child_forgets_who_waited_in_its_parent(void **state)
{
    char got[8], word[8];
    struct call call = {.buf = got, .len = sizeof got};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    call.sock = pair[0];
    call_and_block(&call, do_recv);
    expect_success(fork_child(use_and_close, pair[0]));
    assert_false(atomic_load(&call.task->done));
    assert_int_equal(krait_recv(pair[1], word, 5, 0), 5);
    assert_int_equal(krait_send(pair[1], "x", 1, 0), 1);
    join(call.task);
    assert_int_equal(call.rc, 1);
}

static bool is_alone(void *arg)
{
    (void)arg;
    return count_threads() == 1;
}

static int resolve_a_name(krait_sock *s)
{
    krait_addr found;

    (void)s;
    return krait_addr_resolve(krait_inet("localhost", 1), AF_UNSPEC, 30, &found,
                              1) < 1;
}

/* The same, in a child that leaves no thread in the middle of its end. */
static int resolve_and_leave(krait_sock *s)
{
    int rc = resolve_a_name(s);

    return rc == 0 && wait_for(is_alone, NULL) ? 0 : 1;
}

static void test_a_child_resolves_names(void **state)
{
    (void)state;
    needs_threads_after_fork(); /* the resolver's helper */
    assert_int_equal(resolve_a_name(NULL), 0);
    /* A child that inherits the stack of a thread in the middle of its end,
     * and gives it to a thread of its own, is more than ASan copes with. */
    assert_true(wait_for(nothing_is_left, NULL));
    expect_success(fork_child(resolve_and_leave, NULL));
}

/* What daemons do when they start: the library's own fds go, too. */
static int close_all_and_wait(krait_sock *s)
{
    krait_sock *pair[2];
    double cpu;
    char byte;

    (void)s;
    close_range(3, ~0u, 0);
    if (krait_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return 1;
    krait_settimeout(pair[0], 0.3);
    cpu = cpu_time();
    if (krait_recv(pair[0], &byte, 1, 0) != -1 || errno != ETIMEDOUT)
        return 2;
    cpu = cpu_time() - cpu;
    krait_close(pair[0]);
    krait_close(pair[1]);
    return cpu > 0.15 ? 3 : 0; /* no busy loop */
}

static void test_a_daemon_may_close_every_fd(void **state)
{
    (void)state;
    expect_success(fork_child(close_all_and_wait, NULL));
}

static int is_closed_after_exec(krait_sock *s)
{
    char fd[16];

    snprintf(fd, sizeof fd, "%d", krait_fileno(s));
    execl("/bin/sh", "sh", "-c", "test ! -e /proc/self/fd/$0", fd, (char *)0);
    return 77;
}

static void test_no_fd_goes_into_another_program(void **state)
{
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    expect_success(fork_child(is_closed_after_exec, pair[0]));
    expect_success(fork_child(is_closed_after_exec, pair[1]));
}

/* Whether one of our fds is the eventfd with that identity; or, with a `found`
 * of its own, the identity of one. */
static bool look_for_eventfd(int *id, bool any)
{
    char path[64], line[64];
    bool found = false;

    for (int fd = 0; fd < 64 && !found; fd++) {
        FILE *info;
        int seen;

        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        info = fopen(path, "r");
        while (info && !found && fgets(line, sizeof line, info))
            if (sscanf(line, "eventfd-id: %d", &seen) == 1 &&
                (any || seen == *id)) {
                *id = seen;
                found = true;
            }
        if (info)
            fclose(info);
    }
    return found;
}

static int parents_eventfd;

static int wait_and_look(krait_sock *s)
{
    int rc = time_out(s);

    return rc ? rc : look_for_eventfd(&parents_eventfd, false) ? 3 : 0;
}

/* It would steal the wakes that are meant for its parent. */
static void test_a_child_waits_on_an_eventfd_of_its_own(void **state)
{
    krait_sock *pair[2];

    (void)state;
    if (in_fibers())
        skip_because("only plain threads wait on an eventfd");
    connect_pair(transport_named(INET_STREAM), pair);
    assert_int_equal(time_out(pair[0]), 0);
    if (!look_for_eventfd(&parents_eventfd, true))
        skip_because("this kernel does not tell eventfds apart");
    expect_success(fork_child(wait_and_look, pair[0]));
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_a_child_talks_on_an_inherited_socket), EVERY},
        {TEST(test_a_child_accepts_on_an_inherited_listener), CONNECTIONS},
        {TEST(test_an_interrupt_in_the_child_is_the_child_s), EVERY},
        {TEST(test_a_close_in_the_child_leaves_the_parent_connected), EVERY},
        {TEST(test_timeouts_work_in_a_child), EVERY},
        {TEST(test_a_child_forgets_who_waited_in_its_parent), EVERY},
        {TEST(test_a_child_resolves_names), ONCE},
        {TEST(test_a_child_waits_on_an_eventfd_of_its_own), ONCE},
        {TEST(test_a_daemon_may_close_every_fd), ONCE},
        {TEST(test_no_fd_goes_into_another_program), EVERY},
    };

    return run_all(argc, argv, "fork", tests, COUNT(tests));
}
