/* SPDX-License-Identifier: MIT
 *
 * test_wait.c - waiting for what is no socket of Krait's: krait_wait_fd says
 * what poll(2) says, krait_wait_child what waitpid(2) does.
 *
 * ctest: flows
 */
#include "support.h"

#include <math.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* --- a plain fd -------------------------------------------------------- */

/* One wait, made by a task. */
struct wait {
    int fd;
    short events;
    double timeout;
    int rc, err, domain;
    struct task *task;
};

static void do_wait(void *arg)
{
    struct wait *w = (struct wait *)arg;

    w->rc = krait_wait_fd(w->fd, w->events, w->timeout);
    w->err = w->rc < 0 ? errno : 0;
    w->domain = w->rc < 0 ? (int)krait_errdomain() : KRAIT_ERROR_NONE;
}

static void wait_and_block(struct wait *w, int fd, short events)
{
    w->fd = fd;
    w->events = events;
    w->timeout = KRAIT_FOREVER;
    w->task = start(do_wait, w);
    wait_until_blocked(w->task);
}

static void assert_wait_ends(struct wait *w, int events)
{
    join(w->task);
    if (w->rc < 0)
        print_error("the wait gave %s\n", strerror(w->err));
    assert_int_equal(w->rc, events);
}

static void own_pipe(int ends[2])
{
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    own_fd(ends[0]);
    own_fd(ends[1]);
}

static void put_byte(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void shut_fd(int fd)
{
    close(disown_fd(fd));
}

/* What poll(2) says at this moment krait_wait_fd says too, whether it may wait
 * or not. */
static void agrees_with_poll(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    int ready = poll(&p, 1, 0);

    assert_true(ready >= 0);
    if (!ready) {
        assert_fails(krait_wait_fd(fd, events, 0), EAGAIN);
        assert_fails(krait_wait_fd(fd, events, 0.001), ETIMEDOUT);
        return;
    }
    assert_int_equal(krait_wait_fd(fd, events, 0), p.revents);
    assert_int_equal(krait_wait_fd(fd, events, PATIENCE), p.revents);
    assert_int_equal(krait_wait_fd(fd, events, KRAIT_FOREVER), p.revents);
}

static void agrees_for_all_events(int fd)
{
    static const short events[] = {
        0,
        POLLIN,
        POLLOUT,
        POLLPRI,
        POLLRDHUP,
        POLLIN | POLLOUT,
        POLLIN | POLLRDHUP,
        POLLIN | POLLPRI | POLLOUT | POLLRDHUP,
        POLLRDNORM | POLLWRNORM,
    };

    for (size_t i = 0; i < COUNT(events); i++)
        agrees_with_poll(fd, events[i]);
}

static void test_a_pipe_has_poll_s_events(void **state)
{
    int ends[2];

    (void)state;
    own_pipe(ends);
    agrees_for_all_events(ends[0]);
    agrees_for_all_events(ends[1]);
    put_byte(ends[1]);
    agrees_for_all_events(ends[0]);
}

static void test_a_pipe_without_writers_has_poll_s_events(void **state)
{
    int ends[2];
    char byte;

    (void)state;
    own_pipe(ends);
    put_byte(ends[1]);
    shut_fd(ends[1]);
    assert_int_equal(krait_wait_fd(ends[0], POLLIN, 0), POLLIN | POLLHUP);
    agrees_for_all_events(ends[0]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(krait_wait_fd(ends[0], POLLIN, 0), POLLHUP);
    agrees_for_all_events(ends[0]);
}

static void test_a_pipe_without_readers_has_poll_s_events(void **state)
{
    int ends[2];

    (void)state;
    own_pipe(ends);
    shut_fd(ends[0]);
    assert_int_equal(krait_wait_fd(ends[1], POLLOUT, 0), POLLOUT | POLLERR);
    agrees_for_all_events(ends[1]);
}

static void test_an_eventfd_has_poll_s_events(void **state)
{
    int fd = own_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

    (void)state;
    agrees_for_all_events(fd);
    eventfd_write(fd, 1);
    agrees_for_all_events(fd);
    eventfd_write(fd, UINT64_MAX - 2); /* full: not writable */
    agrees_for_all_events(fd);
}

static void test_a_socket_has_poll_s_events(void **state)
{
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    agrees_for_all_events(krait_fileno(pair[0]));
    assert_works(krait_sendstr(pair[1], "x"));
    assert_int_equal(krait_wait_fd(krait_fileno(pair[0]), POLLIN, PATIENCE),
                     POLLIN);
    agrees_for_all_events(krait_fileno(pair[0]));
    shut(pair[1]);
    assert_true(krait_wait_fd(krait_fileno(pair[0]), POLLRDHUP, PATIENCE) &
                POLLRDHUP);
    agrees_for_all_events(krait_fileno(pair[0]));
}

/* epoll(7) takes none of these. */
static void test_a_regular_file_is_always_ready(void **state)
{
    const char *path = own_path("file");
    int fd = own_fd(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    int folder = own_fd(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    (void)state;
    assert_int_equal(krait_wait_fd(fd, POLLIN | POLLOUT, KRAIT_FOREVER),
                     POLLIN | POLLOUT);
    assert_int_equal(krait_wait_fd(folder, POLLIN, KRAIT_FOREVER), POLLIN);
    agrees_for_all_events(fd);
    agrees_for_all_events(folder);
}

static void test_a_device_has_poll_s_events(void **state)
{
    (void)state;
    agrees_for_all_events(own_fd(open("/dev/null", O_RDWR | O_CLOEXEC)));
}

static void test_a_wait_ends_when_a_byte_comes(void **state)
{
    struct wait w = {0};
    int ends[2];

    (void)state;
    own_pipe(ends);
    wait_and_block(&w, ends[0], POLLIN);
    put_byte(ends[1]);
    assert_wait_ends(&w, POLLIN);
}

static void test_a_wait_ends_when_there_is_room(void **state)
{
    char block[65536] = {0};
    struct wait w = {0};
    int ends[2];

    (void)state;
    own_pipe(ends);
    while (write(ends[1], block, sizeof block) > 0)
        continue;
    wait_and_block(&w, ends[1], POLLOUT);
    while (read(ends[0], block, sizeof block) > 0)
        continue;
    assert_wait_ends(&w, POLLOUT);
}

static void test_a_hangup_ends_a_wait_for_anything(void **state)
{
    static const short events[] = {0, POLLIN, POLLPRI};

    (void)state;
    for (size_t i = 0; i < COUNT(events); i++) {
        struct wait w = {0};
        int ends[2];

        own_pipe(ends);
        wait_and_block(&w, ends[0], events[i]);
        shut_fd(ends[1]);
        assert_wait_ends(&w, POLLHUP);
    }
}

static void test_an_error_ends_a_wait_for_anything(void **state)
{
    char block[65536] = {0};
    struct wait w = {0};
    int ends[2];

    (void)state;
    own_pipe(ends);
    while (write(ends[1], block, sizeof block) > 0)
        continue;
    wait_and_block(&w, ends[1], 0);
    shut_fd(ends[0]);
    assert_wait_ends(&w, POLLERR);
}

/* Ordinary bytes wake nobody who waits for the urgent one. */
static void test_urgent_data_is_waited_for(void **state)
{
    krait_sock *pair[2];
    struct wait w = {0};
    int fd;

    connect_pair(transport_of(state), pair);
    fd = krait_fileno(pair[0]);
    wait_and_block(&w, fd, POLLPRI);
    assert_works(krait_sendstr(pair[1], "ordinary"));
    assert_true(wait_for(fd_is_readable, &fd));
    wait_until_blocked(w.task);
    assert_int_equal(krait_send(pair[1], "!", 1, MSG_OOB), 1);
    assert_wait_ends(&w, POLLPRI);
}

static void test_several_may_wait_for_one_fd(void **state)
{
    struct wait waits[8] = {{0}};
    int ends[2];

    (void)state;
    own_pipe(ends);
    for (size_t i = 0; i < COUNT(waits); i++)
        wait_and_block(&waits[i], ends[0], POLLIN);
    put_byte(ends[1]);
    for (size_t i = 0; i < COUNT(waits); i++)
        assert_wait_ends(&waits[i], POLLIN);
}

static void test_each_gets_what_it_waits_for(void **state)
{
    struct wait in = {0}, out = {0}, hup = {0};
    krait_sock *pair[2];
    char block[4096];
    int fd;

    (void)state;
    any_pair(pair);
    fd = krait_fileno(pair[0]);
    fill(pair[0]);
    wait_and_block(&in, fd, POLLIN);
    wait_and_block(&out, fd, POLLOUT);
    wait_and_block(&hup, fd, POLLRDHUP);
    assert_works(krait_sendstr(pair[1], "x"));
    assert_wait_ends(&in, POLLIN);
    wait_until_blocked(out.task);
    wait_until_blocked(hup.task);
    while (krait_recv(pair[1], block, sizeof block, MSG_DONTWAIT) > 0)
        continue;
    assert_wait_ends(&out, POLLOUT);
    wait_until_blocked(hup.task);
    assert_works(krait_shutdown(pair[1], SHUT_WR));
    assert_wait_ends(&hup, POLLRDHUP);
}

static void test_a_wait_times_out(void **state)
{
    char said[64];
    double since;
    int ends[2];

    (void)state;
    own_pipe(ends);
    since = now();
    assert_fails(krait_wait_fd(ends[0], POLLIN, 0.05), ETIMEDOUT);
    assert_true(now() - since >= 0.05);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    snprintf(said, sizeof said, "wait_fd %d: timed out", ends[0]);
    assert_string_equal(krait_errmsg(), said);
    put_byte(ends[1]);
    assert_int_equal(krait_wait_fd(ends[0], POLLIN, 0.05), POLLIN);
}

static void test_a_timeout_of_0_only_looks(void **state)
{
    int ends[2];

    (void)state;
    own_pipe(ends);
    assert_fails(krait_wait_fd(ends[0], POLLIN, 0), EAGAIN);
    put_byte(ends[1]);
    assert_int_equal(krait_wait_fd(ends[0], POLLIN, 0), POLLIN);
}

static void test_an_fd_that_is_not_open_is_refused(void **state)
{
    static const double timeouts[] = {0, 0.01, HUGE_VAL};
    int ends[2];

    (void)state;
    own_pipe(ends);
    shut_fd(ends[0]);
    for (size_t i = 0; i < COUNT(timeouts); i++) {
        assert_fails(krait_wait_fd(ends[0], POLLIN, timeouts[i]), EBADF);
        assert_fails(krait_wait_fd(-1, POLLIN, timeouts[i]), EBADF);
        assert_fails(krait_wait_fd(1 << 30, POLLIN, timeouts[i]), EBADF);
    }
}

static void test_a_timeout_out_of_range_is_refused(void **state)
{
    int ends[2];

    (void)state;
    own_pipe(ends);
    assert_fails(krait_wait_fd(ends[0], POLLIN, -1), EINVAL);
    assert_fails(krait_wait_fd(ends[0], POLLIN, NAN), EINVAL);
    assert_contains(krait_errmsg(), "a timeout is");
    assert_fails(krait_wait_child(1, NULL, -1), EINVAL);
    assert_fails(krait_wait_child(1, NULL, NAN), EINVAL);
}

/* --- children ---------------------------------------------------------- */

/* A child that ends with `status` when `gate` is closed, and so at the latest
 * when the test ends. */
struct child {
    pid_t pid;
    int gate;
};

static struct child fork_child(int status)
{
    int ends[2];
    struct child c;
    char byte;

    own_pipe(ends);
    c.gate = ends[1];
    c.pid = fork();
    assert_true(c.pid >= 0);
    if (c.pid == 0) {
        /* Other children's gates too. */
        for (size_t i = 0; i < OWN_MAX; i++)
            if (own__.fds[i] && own__.fds[i] - 1 != ends[0])
                close(own__.fds[i] - 1);
        fcntl(ends[0], F_SETFL, 0);
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
            continue;
        _exit(status);
    }
    shut_fd(ends[0]);
    return c;
}

static void let_go(struct child *c)
{
    shut_fd(c->gate);
}

/* Looks until the child has changed so, without reaping it. */
static void see(pid_t pid, int change)
{
    siginfo_t info;

    assert_int_equal(waitid(P_PID, (id_t)pid, &info, change | WNOWAIT), 0);
}

static void needs_pidfds(void)
{
#ifdef SYS_pidfd_open
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (fd >= 0) {
        close(fd);
        return;
    }
#endif
    skip_because("no pidfd_open(2)");
}

/* One wait for a child, made by a task. */
struct child_wait {
    pid_t pid;
    int status, rc, err;
    struct task *task;
};

static void do_wait_child(void *arg)
{
    struct child_wait *w = (struct child_wait *)arg;

    w->rc = krait_wait_child(w->pid, &w->status, KRAIT_FOREVER);
    w->err = w->rc < 0 ? errno : 0;
}

static void wait_child_and_block(struct child_wait *w, pid_t pid)
{
    w->pid = pid;
    w->task = start(do_wait_child, w);
    wait_until_blocked(w->task);
}

static void test_a_child_s_end_is_waited_for(void **state)
{
    struct child_wait w = {0};
    struct child c;

    (void)state;
    c = fork_child(7);
    wait_child_and_block(&w, c.pid);
    let_go(&c);
    join(w.task);
    assert_int_equal(w.rc, 0);
    assert_true(WIFEXITED(w.status));
    assert_int_equal(WEXITSTATUS(w.status), 7);
    assert_int_equal(waitpid(c.pid, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void test_a_child_that_is_killed_is_waited_for(void **state)
{
    struct child_wait w = {0};
    struct child c;

    (void)state;
    c = fork_child(0);
    wait_child_and_block(&w, c.pid);
    kill(c.pid, SIGKILL);
    join(w.task);
    assert_int_equal(w.rc, 0);
    assert_true(WIFSIGNALED(w.status));
    assert_int_equal(WTERMSIG(w.status), SIGKILL);
}

static void test_a_child_that_has_ended_is_reaped_at_once(void **state)
{
    static const double timeouts[] = {0, 0.01, HUGE_VAL};

    (void)state;
    for (size_t i = 0; i < COUNT(timeouts); i++) {
        struct child c = fork_child(3);
        int status = 0;

        let_go(&c);
        see(c.pid, WEXITED);
        assert_int_equal(krait_wait_child(c.pid, &status, timeouts[i]), 0);
        assert_int_equal(WEXITSTATUS(status), 3);
        assert_fails(krait_wait_child(c.pid, &status, timeouts[i]), ECHILD);
    }
}

static void test_a_child_s_status_need_not_be_wanted(void **state)
{
    struct child c = fork_child(1);

    (void)state;
    let_go(&c);
    see(c.pid, WEXITED);
    assert_works(krait_wait_child(c.pid, NULL, 0));
}

static void test_a_wait_for_a_child_times_out_and_is_tried_again(void **state)
{
    int status = 4711;
    struct child c;
    char said[64];
    double since;

    (void)state;
    c = fork_child(5);
    assert_fails(krait_wait_child(c.pid, &status, 0), EAGAIN);
    since = now();
    assert_fails(krait_wait_child(c.pid, &status, 0.05), ETIMEDOUT);
    assert_true(now() - since >= 0.05);
    assert_int_equal(krait_errdomain(), KRAIT_ERROR_TIMEOUT);
    snprintf(said, sizeof said, "wait_child %d: timed out", (int)c.pid);
    assert_string_equal(krait_errmsg(), said);
    assert_int_equal(status, 4711);
    let_go(&c);
    assert_works(krait_wait_child(c.pid, &status, KRAIT_FOREVER));
    assert_int_equal(WEXITSTATUS(status), 5);
}

static void test_a_child_that_is_stopped_has_not_ended(void **state)
{
    int status = 0;
    struct child c;

    (void)state;
    c = fork_child(6);
    kill(c.pid, SIGSTOP);
    see(c.pid, WSTOPPED);
    assert_fails(krait_wait_child(c.pid, &status, 0), EAGAIN);
    assert_fails(krait_wait_child(c.pid, &status, 0.02), ETIMEDOUT);
    kill(c.pid, SIGCONT);
    see(c.pid, WCONTINUED);
    assert_fails(krait_wait_child(c.pid, &status, 0.02), ETIMEDOUT);
    let_go(&c);
    assert_works(krait_wait_child(c.pid, &status, KRAIT_FOREVER));
    assert_int_equal(WEXITSTATUS(status), 6);
}

static void test_only_an_own_child_is_waited_for(void **state)
{
    static const double timeouts[] = {0, 0.01, HUGE_VAL};

    (void)state;
    for (size_t i = 0; i < COUNT(timeouts); i++) {
        assert_fails(krait_wait_child(getppid(), NULL, timeouts[i]), ECHILD);
        assert_fails(krait_wait_child(getpid(), NULL, timeouts[i]), ECHILD);
        assert_fails(krait_wait_child(INT32_MAX, NULL, timeouts[i]), ECHILD);
        assert_fails(krait_wait_child(0, NULL, timeouts[i]), EINVAL);
        assert_fails(krait_wait_child(-1, NULL, timeouts[i]), EINVAL);
        assert_fails(krait_wait_child(-getpid(), NULL, timeouts[i]), EINVAL);
    }
}

static void test_other_children_are_left_alone(void **state)
{
    struct child other = fork_child(1), c = fork_child(2);
    int status = 0;

    (void)state;
    let_go(&other);
    see(other.pid, WEXITED);
    let_go(&c);
    see(c.pid, WEXITED);
    assert_works(krait_wait_child(c.pid, &status, PATIENCE));
    assert_int_equal(WEXITSTATUS(status), 2);
    assert_works(krait_wait_child(other.pid, &status, 0));
    assert_int_equal(WEXITSTATUS(status), 1);
}

static void test_a_child_has_one_who_reaps_it(void **state)
{
    struct child_wait waits[4] = {{0}};
    int reaped = 0;
    struct child c;

    (void)state;
    c = fork_child(9);
    for (size_t i = 0; i < COUNT(waits); i++)
        wait_child_and_block(&waits[i], c.pid);
    let_go(&c);
    for (size_t i = 0; i < COUNT(waits); i++) {
        join(waits[i].task);
        reaped += waits[i].rc == 0;
        if (waits[i].rc == 0)
            assert_int_equal(WEXITSTATUS(waits[i].status), 9);
        else
            assert_int_equal(waits[i].err, ECHILD);
    }
    assert_int_equal(reaped, 1);
}

static void test_many_children_are_waited_for_at_a_time(void **state)
{
    struct child_wait waits[16] = {{0}};
    struct child children[16];

    (void)state;
    for (size_t i = 0; i < COUNT(waits); i++) {
        children[i] = fork_child((int)i);
        wait_child_and_block(&waits[i], children[i].pid);
    }
    for (size_t i = 0; i < COUNT(waits); i++)
        let_go(&children[i]);
    for (size_t i = 0; i < COUNT(waits); i++) {
        join(waits[i].task);
        assert_int_equal(waits[i].rc, 0);
        assert_int_equal(WEXITSTATUS(waits[i].status), i);
    }
}

static void test_a_child_without_a_status_is_said(void **state)
{
    struct child_wait w = {0};
    struct child c;

    (void)state;
    c = fork_child(0);
    wait_child_and_block(&w, c.pid);
    signal(SIGCHLD, SIG_IGN);
    let_go(&c);
    join(w.task);
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(w.rc, -1);
    assert_int_equal(w.err, ECHILD);
}

static void test_a_lack_of_fds_is_said_and_loses_no_child(void **state)
{
    struct rlimit before, few;
    int rc, error, status = 0;
    struct child c;

    (void)state;
    needs_pidfds();
    c = fork_child(8);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    rc = krait_wait_child(c.pid, &status, PATIENCE);
    error = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rc, -1);
    assert_int_equal(error, EMFILE);
    let_go(&c);
    assert_works(krait_wait_child(c.pid, &status, KRAIT_FOREVER));
    assert_int_equal(WEXITSTATUS(status), 8);
}

/* --- signals ----------------------------------------------------------- */

static void ignore_signal(int signo)
{
    (void)signo;
}

/* The hook's answer to whom it is about, and how often that one asked: in
 * fibers all ask that wait on the same worker. */
static _Atomic(struct wait *) waits;
static atomic_int answer, asked;

static int hook(void *unused)
{
    struct wait *w = atomic_load(&waits);

    (void)unused;
    if (!w || !runs_here(w->task))
        return 0;
    atomic_fetch_add(&asked, 1);
    return atomic_load(&answer);
}

static bool was_asked(void *unused)
{
    (void)unused;
    return atomic_load(&asked) > 0;
}

static void test_a_signal_ends_a_wait_where_the_hook_says_so(void **state)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    struct hail hail = {0};
    struct wait w = {0};
    int ends[2];
    bool seen;

    (void)state;
    sigaction(SIGUSR1, &action, NULL);
    own_pipe(ends);
    krait_set_signal_hook(hook, NULL);
    wait_and_block(&w, ends[0], POLLIN);
    atomic_store(&waits, &w);
    /* One that comes while a fiber's worker does not sleep interrupts none. */
    begin_hail(&hail, &w.task->tid, SIGUSR1);
    seen = wait_for(was_asked, NULL);
    end_hail(&hail);
    assert_true(seen);
    wait_until_blocked(w.task);
    atomic_store(&answer, 1);
    hail_until_done(w.task, SIGUSR1);
    join(w.task);
    krait_set_signal_hook(NULL, NULL);
    assert_int_equal(w.rc, -1);
    assert_int_equal(w.err, EINTR);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_a_pipe_has_poll_s_events), ONCE},
        {TEST(test_a_pipe_without_writers_has_poll_s_events), ONCE},
        {TEST(test_a_pipe_without_readers_has_poll_s_events), ONCE},
        {TEST(test_an_eventfd_has_poll_s_events), ONCE},
        {TEST(test_a_socket_has_poll_s_events), STREAMS},
        {TEST(test_a_regular_file_is_always_ready), ONCE},
        {TEST(test_a_device_has_poll_s_events), ONCE},
        {TEST(test_a_wait_ends_when_a_byte_comes), ONCE},
        {TEST(test_a_wait_ends_when_there_is_room), ONCE},
        {TEST(test_a_hangup_ends_a_wait_for_anything), ONCE},
        {TEST(test_an_error_ends_a_wait_for_anything), ONCE},
        {TEST(test_urgent_data_is_waited_for), INET_STREAM},
        {TEST(test_several_may_wait_for_one_fd), ONCE},
        {TEST(test_each_gets_what_it_waits_for), ONCE},
        {TEST(test_a_wait_times_out), ONCE},
        {TEST(test_a_timeout_of_0_only_looks), ONCE},
        {TEST(test_an_fd_that_is_not_open_is_refused), ONCE},
        {TEST(test_a_timeout_out_of_range_is_refused), ONCE},
        {TEST(test_a_child_s_end_is_waited_for), ONCE},
        {TEST(test_a_child_that_is_killed_is_waited_for), ONCE},
        {TEST(test_a_child_that_has_ended_is_reaped_at_once), ONCE},
        {TEST(test_a_child_s_status_need_not_be_wanted), ONCE},
        {TEST(test_a_wait_for_a_child_times_out_and_is_tried_again), ONCE},
        {TEST(test_a_child_that_is_stopped_has_not_ended), ONCE},
        {TEST(test_only_an_own_child_is_waited_for), ONCE},
        {TEST(test_other_children_are_left_alone), ONCE},
        {TEST(test_a_child_has_one_who_reaps_it), ONCE},
        {TEST(test_many_children_are_waited_for_at_a_time), ONCE},
        {TEST(test_a_child_without_a_status_is_said), ONCE},
        {TEST(test_a_lack_of_fds_is_said_and_loses_no_child), ONCE},
        {TEST(test_a_signal_ends_a_wait_where_the_hook_says_so), ONCE},
    };

    return run_all(argc, argv, "wait", tests, COUNT(tests));
}
