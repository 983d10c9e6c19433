/* SPDX-License-Identifier: MIT
 *
 * test_engine.c - one contract, engine.h's, and each engine held to it: every
 * test runs on epoll and on io_uring; then what only one of them does.
 *
 * It calls the engines themselves, with bare fds: no fibers, no sockets of
 * Krait's.
 */
#include "support.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "engine/engine.h"

#define MS KRAIT__NS_PER_MS

/* As many as the scheduler asks for. */
#define BUDGET 64

static struct krait__engine *(*make_engine)(int *code);
static struct krait__engine *engine; /* the test's */

/* --- operations --------------------------------------------------------- */

struct job {
    struct krait__op op;         /* first */
    unsigned done;               /* ends of it; must end as 1 */
    void (*then)(struct job *j); /* called by done(), or NULL */
    void *arg;                   /* for `then` */
};

static unsigned told; /* calls of done() in this test */

/* One for each fd: as many operations as wait for it name it. */
static struct krait__handle handles[1024];

static void submit_again(struct job *j);

static void on_done(struct krait__op *op)
{
    struct job *j = (struct job *)op;

    told++;
    if (op->kind != KRAIT__POLL && op->res == -EAGAIN) {
        submit_again(j);
        return;
    }
    j->done++;
    if (j->then)
        j->then(j);
}

static int submit_poll(struct job *j, int fd, short events)
{
    j->op.kind = KRAIT__POLL;
    j->op.arg[0] = fd;
    j->op.arg[1] = events;
    j->op.done = on_done;
    j->op.res = -EIO;
    j->done = 0;
    return engine->submit(engine, &j->op);
}

static int submit(struct job *j)
{
    int rc;

    j->op.res = -EIO;
    rc = engine->submit(engine, &j->op);
    if (rc != KRAIT__DONE)
        return rc;
    j->done++;
    return 0;
}

static void submit_again(struct job *j)
{
    if (submit(j) != 0)
        fail_msg("what had waited can't wait again");
}

static int submit_transfer(struct job *j, enum krait__kind kind, int fd,
                           void *buf, size_t len)
{
    j->op.kind = kind;
    assert_in_range(fd, 0, COUNT(handles) - 1);
    j->op.h = &handles[fd];
    j->op.buf = buf;
    j->op.len = len;
    j->op.done = on_done;
    j->done = 0;
    return submit(j);
}

static void cancel(struct job *j)
{
    engine->cancel(engine, &j->op);
}

/* --- waiting ------------------------------------------------------------ */

static int wait_until(int64_t until, unsigned budget)
{
    unsigned before = told;
    int n = engine->wait(engine, until, budget);

    if (n != -EINTR) {
        assert_in_range(n, 0, budget);
        /* More where one done() cancelled another operation. */
        assert_true(told - before >= (unsigned)n);
    }
    return n;
}

/* SIGALRM ends what never comes. */
static ssize_t result_of(struct job *j)
{
    while (!j->done)
        wait_until(KRAIT__NEVER, BUDGET);
    assert_int_equal(j->done, 1);
    return j->op.res;
}

/* All that can be done without sleeping is done: everything that could be
 * ready here became so before this is called, by loopback or within the kernel.
 * Ten, since a wait may return 0 for any reason of its own. */
static void run_what_is_ready(void)
{
    for (int i = 0; i < 10; i++)
        while (wait_until(KRAIT__AT_ONCE, BUDGET) != 0)
            ;
}

#define assert_pending(j) \
    do { \
        run_what_is_ready(); \
        assert_int_equal((j)->done, 0); \
    } while (0)

/* --- what the tests begin and end with ---------------------------------- */

static bool is_epoll(void)
{
    return make_engine == krait__epoll_new;
}

static void begin(void)
{
    int code = 0;

    engine = make_engine(&code);
    told = 0;
    if (!engine && !is_epoll() && (code == -ENOSYS || code == -EPERM))
        skip_because(under_valgrind() ? "Valgrind can't sleep in io_uring"
                                      : "there is no io_uring here, or not "
                                        "for us");
    if (!engine)
        fail_msg("no engine: %d", code);
}

/* A handle on the fd of a stream, as sockets have one. */
static void handle_on(int fd, int family)
{
    assert_in_range(fd, 0, COUNT(handles) - 1);
    krait__handle_init(&handles[fd], fd, family, SOCK_STREAM, NULL);
    atomic_store(&handles[fd].plain_tcp, family == AF_INET);
}

static void end(void)
{
    engine->destroy(engine);
}

static void raw_pair(int fd[2])
{
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd),
        0);
    for (int i = 0; i < 2; i++)
        handle_on(own_fd(fd[i]), AF_UNIX);
}

static void tcp_pair(int fd[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listening = own_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    assert_int_equal(bind(listening, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&at, &len), 0);
    fd[0] = own_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(connect(fd[0], (struct sockaddr *)&at, sizeof at), 0);
    fd[1] = own_fd(accept4(listening, NULL, NULL, SOCK_CLOEXEC));
    for (int i = 0; i < 2; i++)
        assert_int_equal(fcntl(fd[i], F_SETFL, O_NONBLOCK), 0);
    for (int i = 0; i < 2; i++)
        handle_on(fd[i], AF_INET);
}

static void put_byte(int fd)
{
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
}

static void close_now(int fd)
{
    assert_int_equal(close(disown_fd(fd)), 0);
}

/* A thread that does something to the main thread, or for it, when that one
 * sleeps. */
struct watcher {
    struct task main;
    void (*act)(struct watcher *w);
    int fd;
    pthread_t target;
    atomic_bool gave_up;
};

static void watch(void *arg)
{
    struct watcher *w = (struct watcher *)arg;

    atomic_store(&w->gave_up, !wait_for(is_blocked, &w->main));
    w->act(w);
}

static struct watcher *when_asleep(void (*act)(struct watcher *w), int fd)
{
    struct watcher *w = (struct watcher *)own_block(sizeof *w);

    w->act = act;
    w->fd = fd;
    w->target = pthread_self();
    atomic_store(&w->main.tid, (int)syscall(SYS_gettid));
    start(watch, w);
    return w;
}

static void act_send(struct watcher *w)
{
    (void)!send(w->fd, "x", 1, MSG_NOSIGNAL);
}

static void act_wake(struct watcher *w)
{
    (void)w;
    engine->wake(engine);
}

static void act_signal(struct watcher *w)
{
    pthread_kill(w->target, SIGUSR1);
}

/* --- poll --------------------------------------------------------------- */

static void test_what_is_ready_is_done_at_once(void **state)
{
    struct job j = {0};
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_poll(&j, fd[0], POLLOUT), 0);
    assert_int_equal(j.done, 0);
    assert_int_equal(result_of(&j), POLLOUT);
    put_byte(fd[1]);
    assert_int_equal(submit_poll(&j, fd[0], POLLIN | POLLOUT), 0);
    assert_int_equal(result_of(&j), POLLIN | POLLOUT);
    /* It is a condition, and no event: it still holds. */
    assert_int_equal(submit_poll(&j, fd[0], POLLIN), 0);
    assert_int_equal(result_of(&j), POLLIN);
    end();
}

static void test_what_becomes_ready_is_done_then(void **state)
{
    struct job j = {0};
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_poll(&j, fd[0], POLLIN), 0);
    assert_pending(&j);
    put_byte(fd[1]);
    assert_int_equal(result_of(&j), POLLIN);
    /* Once: nothing more comes of it. */
    put_byte(fd[1]);
    run_what_is_ready();
    assert_int_equal(j.done, 1);
    end();
}

static void test_a_sleeping_wait_ends_with_what_comes(void **state)
{
    struct watcher *w;
    struct job j = {0};
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_poll(&j, fd[0], POLLIN), 0);
    w = when_asleep(act_send, fd[1]);
    assert_int_equal(result_of(&j), POLLIN);
    assert_false(atomic_load(&w->gave_up));
    end();
}

static void test_several_wait_for_one_fd(void **state)
{
    struct job in[3] = {0}, out = {0};
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    for (size_t i = 0; i < COUNT(in); i++)
        assert_int_equal(submit_poll(&in[i], fd[0], POLLIN), 0);
    assert_int_equal(submit_poll(&out, fd[0], POLLOUT), 0);
    assert_int_equal(result_of(&out), POLLOUT);
    for (size_t i = 0; i < COUNT(in); i++)
        assert_pending(&in[i]);
    cancel(&in[1]);
    assert_int_equal(result_of(&in[1]), -ECANCELED);
    put_byte(fd[1]);
    assert_int_equal(result_of(&in[0]), POLLIN);
    assert_int_equal(result_of(&in[2]), POLLIN);
    assert_int_equal(in[1].done, 1);
    end();
}

static void test_both_directions_wait_apart(void **state)
{
    struct job in = {0}, out = {0};
    char block[4096] = {0};
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    while (send(fd[0], block, sizeof block, MSG_NOSIGNAL) > 0)
        ;
    assert_int_equal(submit_poll(&in, fd[0], POLLIN), 0);
    assert_int_equal(submit_poll(&out, fd[0], POLLOUT), 0);
    assert_pending(&in);
    assert_pending(&out);
    put_byte(fd[1]);
    assert_int_equal(result_of(&in), POLLIN);
    assert_pending(&out);
    while (recv(fd[1], block, sizeof block, 0) > 0)
        ;
    assert_int_equal(result_of(&out), POLLOUT);
    end();
}

static void test_the_end_is_told_to_whoever_waits(void **state)
{
    struct job in = {0}, nothing = {0}, half = {0};
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_poll(&in, fd[0], POLLIN), 0);
    assert_int_equal(submit_poll(&nothing, fd[0], 0), 0);
    assert_int_equal(submit_poll(&half, fd[0], POLLRDHUP), 0);
    assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
    assert_int_equal(result_of(&in), POLLIN);
    assert_int_equal(result_of(&half), POLLRDHUP);
    assert_pending(&nothing);
    close_now(fd[1]);
    assert_int_equal(result_of(&nothing), POLLHUP);
    assert_int_equal(submit_poll(&in, fd[0], POLLIN), 0);
    assert_int_equal(result_of(&in), POLLIN | POLLHUP);
    end();
}

static void test_urgent_data_is_told_from_ordinary(void **state)
{
    struct job j = {0};
    int fd[2];

    (void)state;
    begin();
    tcp_pair(fd);
    assert_int_equal(submit_poll(&j, fd[0], POLLPRI), 0);
    assert_pending(&j);
    put_byte(fd[1]);
    assert_true(wait_for(fd_is_readable, &fd[0]));
    assert_pending(&j);
    assert_int_equal(send(fd[1], "!", 1, MSG_OOB), 1);
    assert_int_equal(result_of(&j), POLLPRI);
    end();
}

/* Of an fd that can't be waited for: by submit, or in the end. */
static ssize_t outcome(int fd, short events)
{
    struct job j = {0};
    int code = submit_poll(&j, fd, events);

    return code < 0 ? code : result_of(&j);
}

static void test_a_bad_fd_is_refused(void **state)
{
    int fd[2];

    (void)state;
    begin();
    assert_int_equal(outcome(-1, POLLIN), -EBADF);
    raw_pair(fd);
    close_now(fd[0]);
    assert_int_equal(outcome(fd[0], POLLIN), -EBADF);
    end();
}

static void test_a_file_is_ready_or_refused(void **state)
{
    static const char *const paths[] = {"/proc/self/exe", "/", "/dev/null"};

    (void)state;
    begin();
    for (size_t i = 0; i < COUNT(paths); i++) {
        int fd = own_fd(open(paths[i], O_RDONLY | O_CLOEXEC));

        assert_int_equal(outcome(fd, POLLIN), is_epoll() ? -EPERM : POLLIN);
        /* Never so, and nothing would tell. */
        assert_int_equal(outcome(fd, POLLPRI), -EPERM);
        assert_int_equal(outcome(fd, 0), -EPERM);
    }
    end();
}

/* --- done() ------------------------------------------------------------- */

static void again(struct job *j)
{
    unsigned *left = (unsigned *)j->arg;

    if (--*left > 0)
        submit_poll(j, j->op.arg[0], (short)j->op.arg[1]);
}

static void test_done_may_submit_again(void **state)
{
    unsigned left = 1000;
    struct job j = {.then = again, .arg = &left};
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_poll(&j, fd[0], POLLOUT), 0);
    while (left > 0)
        wait_until(KRAIT__NEVER, BUDGET);
    assert_int_equal(told, 1000);
    end();
}

static void cancel_the_other(struct job *j)
{
    struct job *other = (struct job *)j->arg;
    unsigned before = told;

    if (!other->done)
        cancel(other);
    /* Twice, where that did not end it at once. */
    if (!other->done && told == before)
        cancel(other);
}

static void test_done_may_cancel_one_of_its_batch(void **state)
{
    int fd[2][2];

    (void)state;
    begin();
    raw_pair(fd[0]);
    raw_pair(fd[1]);
    /* On two fds, and on one. */
    for (int i = 0; i < 2; i++) {
        struct job a = {.then = cancel_the_other};
        struct job b = {.then = cancel_the_other, .arg = &a};

        a.arg = &b;
        assert_int_equal(submit_poll(&a, fd[0][0], POLLOUT), 0);
        assert_int_equal(submit_poll(&b, fd[i][0], POLLOUT), 0);
        (void)result_of(&a);
        (void)result_of(&b);
        run_what_is_ready();
        assert_int_equal(a.done + b.done, 2);
        assert_true(a.op.res == POLLOUT || b.op.res == POLLOUT);
        assert_true(a.op.res == POLLOUT || a.op.res == -ECANCELED);
        assert_true(b.op.res == POLLOUT || b.op.res == -ECANCELED);
    }
    end();
}

/* Waits, in the same struct, for what never comes. */
static void wait_for_another(struct job *j)
{
    j->then = NULL;
    submit_poll(j, *(int *)j->arg, POLLIN);
}

static void test_a_late_cancel_hits_nobody_else(void **state)
{
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    for (int i = 0; i < 50; i++) {
        struct job b = {.then = wait_for_another, .arg = &fd[0]};
        struct job a = {.then = cancel_the_other, .arg = &b};
        char byte;

        assert_int_equal(submit_poll(&a, fd[0], POLLOUT), 0);
        assert_int_equal(submit_poll(&b, fd[1], POLLOUT), 0);
        (void)result_of(&a);
        while (b.then)
            wait_until(KRAIT__NEVER, BUDGET);
        assert_pending(&b);
        put_byte(fd[1]);
        assert_int_equal(result_of(&b), POLLIN);
        assert_int_equal(recv(fd[0], &byte, 1, 0), 1);
    }
    end();
}

static void submit_and_cancel(struct job *j)
{
    struct job *other = (struct job *)j->arg;

    submit_poll(other, j->op.arg[0], POLLIN);
    cancel(other);
}

static void test_done_may_submit_and_cancel(void **state)
{
    struct job b = {0}, a = {.then = submit_and_cancel, .arg = &b};
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_poll(&a, fd[0], POLLOUT), 0);
    (void)result_of(&a);
    assert_int_equal(result_of(&b), -ECANCELED);
    end();
}

/* --- cancel ------------------------------------------------------------- */

static void test_a_cancelled_operation_ends_once(void **state)
{
    struct job j = {0};
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_poll(&j, fd[0], POLLIN), 0);
    cancel(&j); /* before any wait */
    assert_int_equal(result_of(&j), -ECANCELED);
    assert_int_equal(submit_poll(&j, fd[0], POLLIN), 0);
    assert_pending(&j);
    cancel(&j);
    if (!j.done)
        cancel(&j);
    assert_int_equal(result_of(&j), -ECANCELED);
    put_byte(fd[1]);
    run_what_is_ready();
    assert_int_equal(j.done, 1);
    assert_int_equal(submit_poll(&j, fd[0], POLLIN), 0);
    assert_int_equal(result_of(&j), POLLIN);
    end();
}

/* --- wait, and what ends it --------------------------------------------- */

static void test_a_wake_ends_the_next_wait(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 3; i++) {
        engine->wake(engine);
        engine->wake(engine);
        assert_int_equal(wait_until(KRAIT__NEVER, BUDGET), 0);
    }
    end();
}

static void test_a_thread_wakes_a_sleeping_wait(void **state)
{
    struct watcher *w;

    (void)state;
    begin();
    run_what_is_ready();
    for (int i = 0; i < 3; i++) {
        w = when_asleep(act_wake, -1);
        assert_int_equal(wait_until(KRAIT__NEVER, BUDGET), 0);
        /* The wait may have ended for no reason: not so when the thread has
         * seen it asleep. */
        while (!atomic_load(&own__.tasks[i]->done))
            wait_until(krait__deadline(MS), BUDGET);
        assert_false(atomic_load(&w->gave_up));
    }
    end();
}

static void test_a_wake_is_spent(void **state)
{
    int64_t until;
    int waits = 0;

    (void)state;
    begin();
    for (int i = 0; i < 3; i++)
        engine->wake(engine);
    run_what_is_ready();
    until = krait__deadline(50 * MS);
    for (; krait__now() < until; waits++)
        wait_until(until, BUDGET);
    assert_in_range(waits, 1, 10);
    end();
}

static atomic_int signals;

static void count_signal(int signo)
{
    (void)signo;
    atomic_fetch_add(&signals, 1);
}

static void wake_in_handler(int signo)
{
    count_signal(signo);
    engine->wake(engine);
}

static void handle(void (*handler)(int))
{
    struct sigaction how = {.sa_handler = handler};

    atomic_store(&signals, 0);
    assert_int_equal(sigaction(SIGUSR1, &how, NULL), 0);
}

static bool second_signal_came(void *unused)
{
    (void)unused;
    return atomic_load(&signals) == 2;
}

static void test_a_signal_handler_wakes(void **state)
{
    int n;

    (void)state;
    begin();
    handle(wake_in_handler);
    raise(SIGUSR1);
    assert_int_equal(wait_until(KRAIT__NEVER, BUDGET), 0);
    when_asleep(act_signal, -1);
    n = wait_until(KRAIT__NEVER, BUDGET);
    /* ThreadSanitizer runs the handler late, in some call that it knows. */
    assert_true(wait_for(second_signal_came, NULL));
    /* The wake is not lost where the signal was the first to end the wait. */
    if (n == -EINTR)
        assert_int_equal(wait_until(KRAIT__NEVER, BUDGET), 0);
    handle(SIG_DFL);
    end();
}

static void test_a_signal_ends_a_wait(void **state)
{
    struct job j = {0};
    int fd[2];

    (void)state;
    begin();
    handle(count_signal);
    raw_pair(fd);
    run_what_is_ready();
    for (int i = 0; i < 4; i++) {
        /* Both with something to begin, and without; with and without a
         * deadline. */
        if (i == 0)
            assert_int_equal(submit_poll(&j, fd[0], POLLIN), 0);
        when_asleep(act_signal, -1);
        assert_int_equal(
            wait_until(i % 2 ? krait__deadline(3600 * KRAIT__NS_PER_SEC)
                             : KRAIT__NEVER,
                       BUDGET),
            -EINTR);
    }
    assert_int_equal(j.done, 0);
    put_byte(fd[1]);
    assert_int_equal(result_of(&j), POLLIN);
    handle(SIG_DFL);
    end();
}

static void test_a_deadline_ends_a_wait(void **state)
{
    struct job j = {0};
    int64_t since, until;
    int fd[2], waits = 0;

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_poll(&j, fd[0], POLLIN), 0);
    since = krait__now();
    until = since + 30 * MS;
    for (; krait__now() < until; waits++)
        assert_int_equal(wait_until(until, BUDGET), 0);
    /* It sleeps, and no longer than a busy machine explains. */
    assert_in_range(waits, 1, 10);
    assert_true(krait__now() - since < 20 * KRAIT__NS_PER_SEC);
    /* One that has passed is no reason to sleep, nor to say anything else. */
    assert_int_equal(wait_until(since, BUDGET), 0);
    cancel(&j);
    assert_int_equal(result_of(&j), -ECANCELED);
    end();
}

static void test_a_budget_bounds_what_is_done(void **state)
{
    static struct job jobs[100];
    int fd[4][2], waits = 0;

    (void)state;
    begin();
    memset(jobs, 0, sizeof jobs);
    for (size_t i = 0; i < COUNT(fd); i++)
        raw_pair(fd[i]);
    for (size_t i = 0; i < COUNT(jobs); i++)
        assert_int_equal(submit_poll(&jobs[i], fd[i % 4][0], POLLOUT), 0);
    for (; told < COUNT(jobs); waits++)
        wait_until(KRAIT__NEVER, 7);
    assert_true(waits >= 15);
    for (size_t i = 0; i < COUNT(jobs); i++)
        assert_int_equal(jobs[i].done, 1);
    end();
}

/* What was fetched is told by and by, and can be cancelled meanwhile. */
static void test_a_small_budget_loses_no_receive(void **state)
{
    static struct job jobs[20];
    char buf[COUNT(jobs)];
    int fd[COUNT(jobs)][2];
    size_t cancelled = COUNT(jobs), all = 0;

    (void)state;
    begin();
    memset(jobs, 0, sizeof jobs);
    for (size_t i = 0; i < COUNT(jobs); i++) {
        raw_pair(fd[i]);
        assert_int_equal(
            submit_transfer(&jobs[i], KRAIT__RECV, fd[i][0], &buf[i], 1), 0);
        assert_pending(&jobs[i]);
    }
    for (size_t i = 0; i < COUNT(jobs); i++)
        put_byte(fd[i][1]);
    while (wait_until(KRAIT__NEVER, 3) <= 0)
        ;
    while (jobs[--cancelled].done)
        ;
    cancel(&jobs[cancelled]);
    assert_int_equal(result_of(&jobs[cancelled]), -ECANCELED);
    engine->wake(engine);
    while (all < COUNT(jobs)) {
        wait_until(KRAIT__NEVER, 3);
        for (all = 0; all < COUNT(jobs) && jobs[all].done; all++)
            assert_int_equal(jobs[all].done, 1);
    }
    assert_int_equal(submit_transfer(&jobs[cancelled], KRAIT__RECV,
                                     fd[cancelled][0], buf, 1),
                     0);
    assert_int_equal(result_of(&jobs[cancelled]), 1);
    end();
}

static bool all_are_done(const struct job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!jobs[i].done)
            return false;
    return true;
}

static void test_sends_that_never_end_leave_receives_their_turn(void **state)
{
    static struct job sends[16], receives[8];
    int tcp[2], fd[COUNT(receives)][2];
    char byte = 'x', got[COUNT(receives)], sink[64];

    (void)state;
    begin();
    memset(sends, 0, sizeof sends);
    memset(receives, 0, sizeof receives);
    tcp_pair(tcp);
    for (size_t i = 0; i < COUNT(receives); i++) {
        raw_pair(fd[i]);
        assert_int_equal(
            submit_transfer(&receives[i], KRAIT__RECV, fd[i][0], &got[i], 1),
            0);
    }
    assert_pending(&receives[0]);
    for (size_t i = 0; i < COUNT(receives); i++)
        put_byte(fd[i][1]);
    for (size_t i = 0; i < COUNT(sends); i++)
        sends[i].done = 1;
    for (int turn = 0; turn < 100; turn++) {
        for (size_t i = 0; i < COUNT(sends); i++)
            if (sends[i].done)
                assert_int_equal(
                    submit_transfer(&sends[i], KRAIT__SEND, tcp[0], &byte, 1),
                    0);
        wait_until(KRAIT__AT_ONCE, COUNT(sends) / 2);
        while (recv(tcp[1], sink, sizeof sink, 0) > 0)
            ;
    }
    assert_true(all_are_done(receives, COUNT(receives)));
    for (size_t i = 0; i < COUNT(sends); i++)
        assert_int_equal(result_of(&sends[i]), 1);
    end();
}

/* --- fds come and go ---------------------------------------------------- */

static void test_a_reused_number_is_another_fd(void **state)
{
    struct job j = {0};
    int old[2], new[2], number, kept;

    (void)state;
    begin();
    raw_pair(old);
    raw_pair(new);
    number = old[0];
    assert_int_equal(submit_poll(&j, number, POLLIN), 0);
    assert_pending(&j);
    cancel(&j);
    assert_int_equal(result_of(&j), -ECANCELED);
    /* The file lives on, and with it what epoll has registered. */
    kept = own_fd(dup(number));
    assert_int_equal(dup2(new[0], number), number);
    assert_int_equal(submit_poll(&j, number, POLLIN), 0);
    put_byte(old[1]);
    assert_true(wait_for(fd_is_readable, &kept));
    assert_pending(&j);
    put_byte(new[1]);
    assert_int_equal(result_of(&j), POLLIN);
    end();
}

static void test_a_closed_fd_leaves_nothing(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 100; i++) {
        struct job j = {0};
        int fd[2];

        raw_pair(fd);
        assert_int_equal(submit_poll(&j, fd[i % 2], POLLIN), 0);
        if (i % 3)
            assert_pending(&j);
        cancel(&j);
        assert_int_equal(result_of(&j), -ECANCELED);
        close_now(fd[0]);
        close_now(fd[1]);
    }
    end();
}

static void test_thousands_wait(void **state)
{
    enum { PAIRS = 50, EACH = 100, ALL = PAIRS * EACH };
    struct job *jobs;
    int fd[PAIRS][2];

    (void)state;
    begin();
    jobs = (struct job *)own_block(ALL * sizeof *jobs);
    for (size_t i = 0; i < PAIRS; i++)
        raw_pair(fd[i]);
    /* No wait in between: more than any queue of an engine holds. */
    for (size_t i = 0; i < ALL; i++)
        assert_int_equal(submit_poll(&jobs[i], fd[i % PAIRS][0], POLLIN), 0);
    run_what_is_ready();
    assert_int_equal(told, 0);
    for (size_t i = 0; i < ALL; i += 2)
        cancel(&jobs[i]);
    for (size_t i = 0; i < PAIRS; i++)
        put_byte(fd[i][1]);
    while (told < ALL)
        wait_until(KRAIT__NEVER, BUDGET);
    run_what_is_ready();
    for (size_t i = 0; i < ALL; i++) {
        assert_int_equal(jobs[i].done, 1);
        if (i % 2)
            assert_int_equal(jobs[i].op.res, POLLIN);
        else
            assert_true(jobs[i].op.res == -ECANCELED ||
                        jobs[i].op.res == POLLIN);
    }
    end();
}

static void test_thousands_are_ready_at_once(void **state)
{
    enum { ALL = 10000 };
    struct job *jobs;
    int fd[2];

    (void)state;
    begin();
    run_what_is_ready();
    raw_pair(fd);
    jobs = (struct job *)own_block(ALL * sizeof *jobs);
    /* More than a ring holds of completions. */
    for (size_t i = 0; i < ALL; i++)
        assert_int_equal(submit_poll(&jobs[i], fd[0], POLLOUT), 0);
    engine->wake(engine);
    while (told < ALL)
        wait_until(KRAIT__NEVER, BUDGET);
    for (size_t i = 0; i < ALL; i++) {
        assert_int_equal(jobs[i].done, 1);
        assert_int_equal(jobs[i].op.res, POLLOUT);
    }
    run_what_is_ready();
    engine->wake(engine);
    assert_int_equal(wait_until(KRAIT__NEVER, BUDGET), 0);
    end();
}

/* --- forks, and what the system refuses --------------------------------- */

static void expect_exit(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip_because("this system lets nobody filter system calls");
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_child_abandons_and_the_parent_goes_on(void **state)
{
    struct job j = {0};
    int fd[2];
    pid_t pid;

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_poll(&j, fd[0], POLLIN), 0);
    assert_pending(&j);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        unsigned before = count_fds();

        engine->abandon(engine);
        _exit(before - count_fds() != 3); /* two sets, or a ring and a set;
                                           * and the eventfd */
    }
    expect_exit(pid);
    assert_pending(&j);
    put_byte(fd[1]);
    assert_int_equal(result_of(&j), POLLIN);
    engine->wake(engine);
    assert_int_equal(wait_until(KRAIT__NEVER, BUDGET), 0);
    end();
}

/* From now on this process gets `error` from system call `number`. */
static bool refuse(long number, int error)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {COUNT(program), program};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static void test_a_refused_io_uring_says_so(void **state)
{
#ifdef SYS_io_uring_setup
    static const int errors[] = {EPERM, ENOSYS};

    (void)state;
    begin();
    end();
    for (size_t i = 0; i < COUNT(errors); i++) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            unsigned before = count_fds();
            int code = 0;

            if (!refuse(SYS_io_uring_setup, errors[i]))
                _exit(77);
            if (krait__uring_new(&code))
                _exit(1);
            _exit(code != -errors[i] ? 2 : count_fds() != before ? 3 : 0);
        }
        expect_exit(pid);
    }
#else
    (void)state;
    skip_because("these headers know no io_uring");
#endif
}

#ifdef SYS_epoll_pwait2
/* 0, or where it went wrong. */
static int wait_coarsely(int error)
{
    int64_t until = krait__deadline(5 * MS + 1);
    int code = 0;

    engine = krait__epoll_new(&code);
    if (!engine)
        return 1;
    if (!refuse(SYS_epoll_pwait2, error))
        return 77;
    while (krait__now() < until)
        if (engine->wait(engine, until, BUDGET) != 0)
            return 2;
    engine->wake(engine);
    return engine->wait(engine, KRAIT__NEVER, BUDGET) != 0 ? 3 : 0;
}
#endif

static void test_epoll_waits_on_old_kernels(void **state)
{
    (void)state;
#ifdef SYS_epoll_pwait2
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
            _exit(wait_coarsely(i ? EPERM : ENOSYS));
        expect_exit(pid);
    }
#endif
}

/* --- whole transfers ---------------------------------------------------- */

static void test_bytes_come_into_the_callers_buffer(void **state)
{
    struct job j = {0};
    char buf[16] = {0};
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_transfer(&j, KRAIT__RECV, fd[0], buf, sizeof buf),
                     0);
    assert_pending(&j);
    assert_int_equal(send(fd[1], "hello", 5, 0), 5);
    assert_int_equal(result_of(&j), 5);
    assert_memory_equal(buf, "hello", 5);
    close_now(fd[1]);
    assert_int_equal(submit_transfer(&j, KRAIT__RECV, fd[0], buf, sizeof buf),
                     0);
    assert_int_equal(result_of(&j), 0);
    /* And no SIGPIPE. */
    assert_int_equal(submit_transfer(&j, KRAIT__SEND, fd[0], buf, 1), 0);
    assert_int_equal(result_of(&j), -EPIPE);
    end();
}

static void test_a_reset_is_the_receivers_error(void **state)
{
    struct linger hard = {.l_onoff = 1};
    struct job j = {0};
    char buf[16];
    int fd[2];

    (void)state;
    begin();
    tcp_pair(fd);
    assert_int_equal(submit_transfer(&j, KRAIT__RECV, fd[0], buf, sizeof buf),
                     0);
    assert_pending(&j);
    setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close_now(fd[1]);
    assert_int_equal(result_of(&j), -ECONNRESET);
    end();
}

static void drain_pattern(int fd, size_t *at, size_t len)
{
    unsigned char block[8192];
    ssize_t n;

    while (*at < len && (n = recv(fd, block, sizeof block, 0)) > 0)
        for (ssize_t i = 0; i < n; i++, ++*at)
            if (block[i] != pattern(*at))
                fail_msg("byte %zu is another", *at);
}

/* `flags`: none; or MSG_DONTWAIT, which stands for kernels that take the
 * fd's O_NONBLOCK at its word. */
static void send_all(int fd[2], int flags)
{
    const size_t len = 4 << 20;
    unsigned char *block = patterned(len);
    struct job j = {.op.flags = flags};
    size_t sent = 0, got = 0;

    while (sent < len) {
        ssize_t n;

        assert_int_equal(
            submit_transfer(&j, KRAIT__SEND, fd[0], block + sent, len - sent),
            0);
        while (!j.done) {
            wait_until(krait__deadline(MS), BUDGET);
            drain_pattern(fd[1], &got, len);
        }
        n = j.op.res;
        assert_true(n > 0);
        sent += (size_t)n;
    }
    while (got < len)
        drain_pattern(fd[1], &got, len);
}

static void test_a_send_waits_for_room(void **state)
{
    int fd[2], tcp[2];

    (void)state;
    begin();
    raw_pair(fd);
    send_all(fd, 0);
    send_all(fd, MSG_DONTWAIT);
    tcp_pair(tcp);
    send_all(tcp, 0);
    send_all(tcp, MSG_DONTWAIT);
    end();
}

static void test_nothing_ends_with_eagain(void **state)
{
    struct job j = {.op.flags = MSG_DONTWAIT};
    char buf[8];
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    assert_int_equal(submit_transfer(&j, KRAIT__RECV, fd[0], buf, sizeof buf),
                     0);
    assert_pending(&j);
    put_byte(fd[1]);
    assert_int_equal(result_of(&j), 1);
    assert_int_equal(submit_transfer(&j, KRAIT__RECV, fd[0], buf, sizeof buf),
                     0);
    cancel(&j);
    assert_int_equal(result_of(&j), -ECANCELED);
    assert_int_equal(submit_transfer(&j, KRAIT__RECV, fd[0], buf, sizeof buf),
                     0);
    assert_pending(&j);
    cancel(&j);
    assert_int_equal(result_of(&j), -ECANCELED);
    assert_int_equal(submit_transfer(&j, KRAIT__RECV, fd[0], buf, sizeof buf),
                     0);
    close_now(fd[1]);
    assert_int_equal(result_of(&j), 0);
    end();
}

static void test_thousands_receive(void **state)
{
    enum { ALL = 1000 };
    struct job *jobs;
    unsigned char *block, *bytes;
    unsigned sum = 0, wanted = 0;
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    jobs = (struct job *)own_block(ALL * sizeof *jobs);
    block = patterned(ALL);
    bytes = (unsigned char *)own_block(ALL);
    for (size_t i = 0; i < ALL; i++)
        assert_int_equal(
            submit_transfer(&jobs[i], KRAIT__RECV, fd[0], &bytes[i], 1), 0);
    for (size_t i = 0; i < ALL; i++)
        while (send(fd[1], &block[i], 1, MSG_NOSIGNAL) != 1)
            wait_until(krait__deadline(MS), BUDGET);
    for (size_t i = 0; i < ALL; i++) {
        assert_int_equal(result_of(&jobs[i]), 1);
        sum += bytes[i];
        wanted += block[i];
    }
    assert_int_equal(sum, wanted);
    end();
}

struct sender {
    int fd;
    size_t len;
    const unsigned char *block;
};

/* A little at a time, as fast as the receiver lets it. */
static void send_pieces(void *arg)
{
    struct sender *s = (struct sender *)arg;
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    size_t at = 0;

    while (at < s->len) {
        size_t len = 1 + at % 7;
        ssize_t n = send(s->fd, s->block + at,
                         len < s->len - at ? len : s->len - at, MSG_NOSIGNAL);

        if (n > 0)
            at += (size_t)n;
        else if (errno != EAGAIN || poll(&p, 1, -1) < 0)
            break;
    }
    shutdown(s->fd, SHUT_WR);
}

static void cancels_lose_nothing(int fd[2], int flags)
{
    struct sender *s = (struct sender *)own_block(sizeof *s);
    size_t at = 0;

    s->fd = fd[1];
    s->len = 60000;
    s->block = patterned(s->len);
    start(send_pieces, s);
    for (unsigned turn = 0;; turn++) {
        unsigned char buf[5];
        struct job j = {.op.flags = flags};
        ssize_t n;

        assert_int_equal(
            submit_transfer(&j, KRAIT__RECV, fd[0], buf, sizeof buf), 0);
        if (turn % 3 == 1)
            wait_until(KRAIT__AT_ONCE, BUDGET);
        if (turn % 3 && !j.done)
            cancel(&j);
        n = result_of(&j);
        if (n == 0)
            break;
        assert_true(n > 0 || n == -ECANCELED);
        for (ssize_t i = 0; i < n; i++, at++)
            assert_int_equal(buf[i], pattern(at));
    }
    assert_int_equal(at, s->len);
}

static void test_a_cancelled_receive_loses_no_byte(void **state)
{
    int fd[2];

    (void)state;
    begin();
    raw_pair(fd);
    cancels_lose_nothing(fd, 0);
    raw_pair(fd);
    cancels_lose_nothing(fd, MSG_DONTWAIT);
    tcp_pair(fd);
    cancels_lose_nothing(fd, 0);
    end();
}

/* ------------------------------------------------------------------------ */

static const struct test contract[] = {
    {TEST(test_what_is_ready_is_done_at_once), ONCE},
    {TEST(test_what_becomes_ready_is_done_then), ONCE},
    {TEST(test_a_sleeping_wait_ends_with_what_comes), ONCE},
    {TEST(test_several_wait_for_one_fd), ONCE},
    {TEST(test_both_directions_wait_apart), ONCE},
    {TEST(test_the_end_is_told_to_whoever_waits), ONCE},
    {TEST(test_urgent_data_is_told_from_ordinary), ONCE},
    {TEST(test_a_bad_fd_is_refused), ONCE},
    {TEST(test_a_file_is_ready_or_refused), ONCE},
    {TEST(test_done_may_submit_again), ONCE},
    {TEST(test_done_may_cancel_one_of_its_batch), ONCE},
    {TEST(test_a_late_cancel_hits_nobody_else), ONCE},
    {TEST(test_done_may_submit_and_cancel), ONCE},
    {TEST(test_a_cancelled_operation_ends_once), ONCE},
    {TEST(test_a_wake_ends_the_next_wait), ONCE},
    {TEST(test_a_thread_wakes_a_sleeping_wait), ONCE},
    {TEST(test_a_wake_is_spent), ONCE},
    {TEST(test_a_signal_handler_wakes), ONCE},
    {TEST(test_a_signal_ends_a_wait), ONCE},
    {TEST(test_a_deadline_ends_a_wait), ONCE},
    {TEST(test_a_budget_bounds_what_is_done), ONCE},
    {TEST(test_a_small_budget_loses_no_receive), ONCE},
    {TEST(test_sends_that_never_end_leave_receives_their_turn), ONCE},
    {TEST(test_a_reused_number_is_another_fd), ONCE},
    {TEST(test_a_closed_fd_leaves_nothing), ONCE},
    {TEST(test_thousands_wait), ONCE},
    {TEST(test_thousands_are_ready_at_once), ONCE},
    {TEST(test_a_child_abandons_and_the_parent_goes_on), ONCE},
    {TEST(test_bytes_come_into_the_callers_buffer), ONCE},
    {TEST(test_a_reset_is_the_receivers_error), ONCE},
    {TEST(test_a_send_waits_for_room), ONCE},
    {TEST(test_nothing_ends_with_eagain), ONCE},
    {TEST(test_thousands_receive), ONCE},
    {TEST(test_a_cancelled_receive_loses_no_byte), ONCE},
};

static const struct test of_epoll[] = {
    {TEST(test_epoll_waits_on_old_kernels), ONCE},
};

static const struct test of_uring[] = {
    {TEST(test_a_refused_io_uring_says_so), ONCE},
};

/* One group of tests on one engine. True: some have failed. */
static bool failed(int argc, char **argv, const char *name,
                   const struct test *tests, size_t count)
{
    int rc;

    make_engine = strstr(name, "epoll") ? krait__epoll_new : krait__uring_new;
    skipped__ = 0;
    rc = run_all(argc, argv, name, tests, count);
    return rc != 0 && rc != 77;
}

int main(int argc, char **argv)
{
    bool bad = false;

    bad |= failed(argc, argv, "epoll", contract, COUNT(contract));
    bad |= failed(argc, argv, "epoll alone", of_epoll, COUNT(of_epoll));
    bad |= failed(argc, argv, "io_uring", contract, COUNT(contract));
    bad |= failed(argc, argv, "io_uring alone", of_uring, COUNT(of_uring));
    return bad;
}
