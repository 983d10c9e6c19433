/* SPDX-License-Identifier: MIT
 *
 * test_signals.c - signals never show (PEP 475): calls go on with what is left
 * of their deadline, unless the hook asks to stop; and SIGPIPE never comes. In
 * fibers a signal interrupts the wait of a worker, and so all that wait there.
 *
 * ctest: flows
 */
#include "support.h"

#include <sys/resource.h>

static atomic_int signals_seen, hook_calls, hook_answer, hook_thread;

static void count_signal(int signo)
{
    (void)signo;
    atomic_fetch_add(&signals_seen, 1);
}

static int count_hook(void *arg)
{
    atomic_store(&hook_thread, (int)syscall(SYS_gettid));
    atomic_fetch_add(&hook_calls, 1);
    return *(int *)arg + atomic_load(&hook_answer);
}

/* Without SA_RESTART, so that every wait is interrupted. */
static void watch_signals(void)
{
    struct sigaction sa = {.sa_handler = count_signal};

    sigaction(SIGUSR1, &sa, NULL);
    atomic_store(&signals_seen, 0);
    atomic_store(&hook_calls, 0);
    atomic_store(&hook_answer, 0);
}

static int zero; /* what the hook's argument points at */

static void test_the_deadline_holds_under_a_hail_of_signals(void **state)
{
    atomic_int me = (int)syscall(SYS_gettid);
    struct hail hail = {0};
    krait_sock *pair[2];
    char byte;
    double since;
    int rc, err;

    connect_pair(transport_of(state), pair);
    watch_signals();
    assert_works(krait_settimeout(pair[0], 0.3));
    begin_hail(&hail, &me, SIGUSR1);
    since = now();
    rc = (int)krait_recv(pair[0], &byte, 1, 0);
    err = errno;
    since = now() - since;
    end_hail(&hail);
    assert_int_equal(rc, -1);
    assert_int_equal(err, ETIMEDOUT);
    assert_true(since >= 0.3);
    assert_true(atomic_load(&signals_seen) > 0);
}

static void test_data_arrives_under_a_hail_of_signals(void **state)
{
    size_t len = (size_t)4 << 20;
    unsigned char *data = patterned(len), *got = own_block(len);
    struct call call = {.buf = data, .len = len};
    atomic_int me = (int)syscall(SYS_gettid);
    struct hail here = {0}, there = {0};
    krait_sock *pair[2];
    ssize_t n;

    connect_pair(transport_of(state), pair);
    watch_signals();
    call.sock = pair[0];
    call.task = start(do_sendall, &call);
    begin_hail(&here, &me, SIGUSR1);
    begin_hail(&there, &call.task->tid, SIGUSR1);
    n = krait_recv(pair[1], got, len, MSG_WAITALL);
    end_hail(&here);
    end_hail(&there);
    join(call.task);
    assert_int_equal(n, len);
    assert_int_equal(call.rc, 0);
    assert_memory_equal(got, data, len);
}

static void test_accept_and_connect_go_on_after_signals(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = full_listener(t);
    struct call call = {.sock = fresh(t)};
    int i;

    watch_signals();
    call.addr = krait_getsockname(server);
    call_and_block(&call, do_connect);
    for (i = 0; i < 20; i++) {
        signal_task(call.task, SIGUSR1);
        wait_until_blocked(call.task);
    }
    own(krait_accept(server, NULL));
    join(call.task);
    if (call.rc < 0)
        fail_msg("errno %d", call.err);
    own(krait_accept(server, NULL)); /* the connection that waited is real */
}

static bool hook_is_asked(void *unused)
{
    (void)unused;
    return atomic_load(&hook_calls) > 0;
}

static void test_the_hook_is_asked_after_a_signal(void **state)
{
    char byte;
    struct call call = {.buf = &byte, .len = 1};
    struct hail hail = {0};
    krait_sock *pair[2];
    bool asked;
    int thread;

    connect_pair(transport_of(state), pair);
    watch_signals();
    krait_set_signal_hook(count_hook, &zero);
    call.sock = pair[0];
    call_and_block(&call, do_recv);
    /* One that comes just before the wait begins interrupts nothing. */
    begin_hail(&hail, &call.task->tid, SIGUSR1);
    asked = wait_for(hook_is_asked, NULL);
    end_hail(&hail);
    thread = atomic_load(&hook_thread);
    assert_int_equal(krait_send(pair[1], "x", 1, 0), 1);
    join(call.task);
    krait_set_signal_hook(NULL, NULL);
    assert_true(asked);
    assert_int_equal(call.rc, 1); /* it said 0: go on */
    assert_int_equal(thread, atomic_load(&call.task->tid));
}

static void test_the_hook_can_stop_a_call(void **state)
{
    char byte;
    struct call call = {.buf = &byte, .len = 1};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    watch_signals();
    atomic_store(&hook_answer, 1);
    krait_set_signal_hook(count_hook, &zero);
    call.sock = pair[0];
    call_and_block(&call, do_recv);
    hail_until_done(call.task, SIGUSR1);
    join(call.task);
    krait_set_signal_hook(NULL, NULL);
    assert_int_equal(call.rc, -1);
    assert_int_equal(call.err, EINTR);
    /* The socket is as good as before. */
    assert_int_equal(krait_send(pair[1], "x", 1, 0), 1);
    assert_int_equal(krait_recv(pair[0], &byte, 1, 0), 1);
}

static void test_the_hook_can_stop_a_call_that_has_a_part(void **state)
{
    char got[5];
    struct call call = {.buf = got, .len = sizeof got};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    assert_works(krait_sendstr(pair[1], "ab"));
    watch_signals();
    atomic_store(&hook_answer, 1);
    krait_set_signal_hook(count_hook, &zero);
    call.sock = pair[0];
    call_and_block(&call, do_recv_exactly);
    hail_until_done(call.task, SIGUSR1);
    join(call.task);
    krait_set_signal_hook(NULL, NULL);
    assert_int_equal(call.rc, -1);
    assert_int_equal(call.err, EINTR);
}

static void test_the_hook_can_stop_accept_and_connect(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = full_listener(t);
    struct call connecting = {.sock = fresh(t)};
    struct call accepting = {.sock = listener(t)};

    watch_signals();
    atomic_store(&hook_answer, 1);
    krait_set_signal_hook(count_hook, &zero);
    connecting.addr = krait_getsockname(server);
    call_and_block(&connecting, do_connect);
    call_and_block(&accepting, do_accept);
    hail_until_done(connecting.task, SIGUSR1);
    hail_until_done(accepting.task, SIGUSR1);
    krait_set_signal_hook(NULL, NULL);
    assert_call_fails(&connecting, EINTR);
    assert_call_fails(&accepting, EINTR);
}

static void test_sendall_asks_the_hook_after_each_part(void **state)
{
    size_t len = (size_t)8 << 20;
    unsigned char *data = own_block(len), *sink = own_block(len);
    struct call call = {.buf = sink, .len = len, .flags = MSG_WAITALL};
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    watch_signals();
    krait_set_signal_hook(count_hook, &zero);
    call.sock = pair[1];
    call.task = start(do_recv, &call);
    assert_works(krait_sendall(pair[0], data, len, 0));
    krait_set_signal_hook(NULL, NULL);
    join(call.task);
    assert_int_equal(call.rc, len);
    assert_true(atomic_load(&hook_calls) > 0); /* without any signal */
    assert_int_equal(atomic_load(&signals_seen), 0);
}

static void test_the_hook_can_stop_sendall(void **state)
{
    size_t len = (size_t)64 << 20;
    unsigned char *data = own_block(len);
    krait_sock *pair[2];

    connect_pair(transport_of(state), pair);
    watch_signals();
    atomic_store(&hook_answer, 1);
    krait_set_signal_hook(count_hook, &zero);
    errno = 0;
    assert_int_equal(krait_sendall(pair[0], data, len, 0), -1);
    krait_set_signal_hook(NULL, NULL);
    assert_int_equal(krait_errno(), EINTR);
}

/* SIGPIPE at its default would kill this process. */
static void test_sigpipe_never_comes(void **state)
{
    struct sigaction before, dfl = {.sa_handler = SIG_DFL};
    krait_sock *pair[2];
    FILE *out;
    int i;

    connect_pair(transport_of(state), pair);
    sigaction(SIGPIPE, &dfl, &before);
    shut(pair[1]);
    for (i = 0; i < 5; i++)
        krait_send(pair[0], "x", 1, 0); /* TCP: the first is still taken */
    assert_int_equal(krait_send(pair[0], "x", 1, 0), -1);
    assert_int_equal(krait_sendall(pair[0], "x", 1, 0), -1);
    assert_int_equal(krait_sendstr(pair[0], "x"), -1);
    out = krait_makefile(pair[0], "w");
    assert_non_null(out);
    fputs("x", out);
    assert_int_equal(fflush(out), EOF);
    fclose(out);
    sigaction(SIGPIPE, &before, NULL);
}

static void test_no_signal_disposition_is_changed(void **state)
{
    struct sigaction sa;
    krait_sock *pair[2];
    int signo;

    (void)state;
    any_pair(pair);
    for (signo = 1; signo < 32; signo++) {
        /* Ours, cmocka's, and what can't be asked. */
        if (signo == SIGALRM || signo == SIGUSR1 || signo == SIGKILL ||
            signo == SIGSTOP || signo == SIGSEGV || signo == SIGILL ||
            signo == SIGFPE || signo == SIGBUS || signo == SIGSYS)
            continue;
        assert_int_equal(sigaction(signo, NULL, &sa), 0);
        assert_true(sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_the_deadline_holds_under_a_hail_of_signals), EVERY},
        {TEST(test_data_arrives_under_a_hail_of_signals), STREAMS},
        {TEST(test_accept_and_connect_go_on_after_signals),
         UNIX_STREAM | INET_STREAM | UNIX_SEQPACKET},
        {TEST(test_the_hook_is_asked_after_a_signal), EVERY},
        {TEST(test_the_hook_can_stop_a_call), EVERY},
        {TEST(test_the_hook_can_stop_a_call_that_has_a_part), STREAMS},
        {TEST(test_the_hook_can_stop_accept_and_connect),
         UNIX_STREAM | INET_STREAM | UNIX_SEQPACKET},
        {TEST(test_sendall_asks_the_hook_after_each_part), STREAMS},
        {TEST(test_the_hook_can_stop_sendall), STREAMS},
        {TEST(test_sigpipe_never_comes), CONNECTIONS},
        {TEST(test_no_signal_disposition_is_changed), ONCE},
    };

    return run_all(argc, argv, "signals", tests, COUNT(tests));
}
