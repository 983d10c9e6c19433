/* SPDX-License-Identifier: MIT
 *
 * test_interrupt.c - taking a socket away from those who wait on it:
 * krait_interrupt and krait_close wake every call, lose no fd, and close none
 * that is somebody else's.
 *
 * ctest: flows
 */
#include "support.h"

#define WAITERS 16

static krait_sock *from_signal_handler; /* what the handler interrupts */

static void interrupt_in_handler(int signo)
{
    (void)signo;
    krait_interrupt(from_signal_handler);
}

/* --- each call that waits, on each transport --------------------------- */

/* Starts a call that waits on `call->sock`, of every kind there is. */
typedef void begin_waiting(const struct transport *t, struct call *call);

static char scrap[64]; /* where recv would put what never comes */

static void wait_in_recv(const struct transport *t, struct call *call)
{
    krait_sock *pair[2];

    connect_pair(t, pair);
    call->sock = pair[0];
    call->buf = scrap;
    call->len = sizeof scrap;
    call_and_block(call, do_recv);
}

static void wait_in_recvfrom(const struct transport *t, struct call *call)
{
    call->sock = bound(t);
    call->buf = scrap;
    call->len = sizeof scrap;
    call_and_block(call, do_recvfrom);
}

static void wait_in_waitall(const struct transport *t, struct call *call)
{
    call->flags = MSG_WAITALL;
    wait_in_recv(t, call);
}

/* How much to send so that it has to wait: of a stream more than the kernel
 * will ever hold, for what it holds moves on to the reader's side, and makes
 * room; of records one more than fit. */
static size_t stuffing(const struct transport *t, krait_sock *s)
{
    if (t->type == SOCK_STREAM)
        return (size_t)64 << 20;
    fill(s);
    return 4096;
}

static void wait_in_send(const struct transport *t, struct call *call)
{
    krait_sock *pair[2];

    connect_pair(t, pair);
    call->sock = pair[0];
    call->len = stuffing(t, pair[0]);
    call->buf = own_block(call->len);
    send_and_block(call, do_send, pair[1]);
}

static void wait_in_sendall(const struct transport *t, struct call *call)
{
    krait_sock *pair[2];

    connect_pair(t, pair);
    call->sock = pair[0];
    call->len = stuffing(t, pair[0]);
    call->buf = own_block(call->len);
    send_and_block(call, do_sendall, pair[1]);
}

static void wait_in_accept(const struct transport *t, struct call *call)
{
    call->sock = listener(t);
    call_and_block(call, do_accept);
}

static void wait_in_connect(const struct transport *t, struct call *call)
{
    call->addr = krait_getsockname(full_listener(t));
    call->sock = fresh(t);
    call_and_block(call, do_connect);
}

static void interrupts(const struct transport *t, begin_waiting *begin)
{
    struct call call = {0};

    begin(t, &call);
    assert_works(krait_interrupt(call.sock));
    assert_call_fails(&call, ECANCELED);
    assert_int_equal(call.domain, KRAIT_ERROR_OS);
}

static void closes(const struct transport *t, begin_waiting *begin)
{
    struct call call = {0};

    begin(t, &call);
    assert_int_equal(shut(call.sock), 0);
    assert_call_fails(&call, ECANCELED);
}

static void test_interrupt_wakes_recv(void **state)
{
    interrupts(transport_of(state), wait_in_recv);
}

static void test_interrupt_wakes_recvfrom(void **state)
{
    interrupts(transport_of(state), wait_in_recvfrom);
}

static void test_interrupt_wakes_waitall(void **state)
{
    interrupts(transport_of(state), wait_in_waitall);
}

/* Of a stream some was sent before: that counts, as in send(2), and the error
 * is kept for the next call. */
static void test_an_interrupted_send_tells_what_it_sent(void **state)
{
    struct call call = {0};

    wait_in_send(transport_of(state), &call);
    assert_works(krait_interrupt(call.sock));
    join(call.task);
    assert_true(call.rc > 0 && (size_t)call.rc < call.len);
    assert_fails(krait_send(call.sock, "x", 1, 0), ECANCELED);
}

static void test_a_send_under_close_tells_what_it_sent(void **state)
{
    struct call call = {0};

    wait_in_send(transport_of(state), &call);
    assert_int_equal(shut(call.sock), 0);
    join(call.task);
    assert_true(call.rc > 0 && (size_t)call.rc < call.len);
}

static void test_interrupt_wakes_send(void **state)
{
    interrupts(transport_of(state), wait_in_send);
}

static void test_interrupt_wakes_sendall(void **state)
{
    interrupts(transport_of(state), wait_in_sendall);
}

static void test_interrupt_wakes_accept(void **state)
{
    interrupts(transport_of(state), wait_in_accept);
}

static void test_interrupt_wakes_connect(void **state)
{
    interrupts(transport_of(state), wait_in_connect);
}

static void test_close_wakes_recv(void **state)
{
    closes(transport_of(state), wait_in_recv);
}

static void test_close_wakes_recvfrom(void **state)
{
    closes(transport_of(state), wait_in_recvfrom);
}

static void test_close_wakes_waitall(void **state)
{
    closes(transport_of(state), wait_in_waitall);
}

static void test_close_wakes_send(void **state)
{
    closes(transport_of(state), wait_in_send);
}

static void test_close_wakes_sendall(void **state)
{
    closes(transport_of(state), wait_in_sendall);
}

static void test_close_wakes_accept(void **state)
{
    closes(transport_of(state), wait_in_accept);
}

static void test_close_wakes_connect(void **state)
{
    closes(transport_of(state), wait_in_connect);
}

/* --- what interrupt means afterwards ----------------------------------- */

static void test_an_interrupted_socket_stays_interrupted(void **state)
{
    krait_sock *pair[2];
    char byte;

    connect_pair(transport_of(state), pair);
    assert_int_equal(krait_send(pair[1], "x", 1, 0), 1);
    assert_works(krait_interrupt(pair[0]));
    /* Even though data is there. */
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ECANCELED);
    assert_fails(krait_recv(pair[0], &byte, 1, 0), ECANCELED);
    assert_fails(krait_send(pair[0], "x", 1, 0), ECANCELED);
    assert_fails(krait_sendall(pair[0], "x", 1, 0), ECANCELED);
    assert_contains(krait_errmsg(), "send");
    assert_works(krait_interrupt(pair[0])); /* twice is fine */
}

static void test_an_interrupt_leaves_the_connection_alone(void **state)
{
    krait_sock *pair[2], *twin;
    char byte = 0;

    connect_pair(transport_of(state), pair);
    twin = own(krait_dup(pair[0]));
    assert_works(krait_interrupt(pair[0]));
    assert_int_equal(krait_send(pair[1], "x", 1, 0), 1);
    assert_int_equal(krait_recv(twin, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(krait_send(twin, "y", 1, 0), 1);
    assert_int_equal(krait_recv(pair[1], &byte, 1, 0), 1);
}

static void test_an_interrupted_listener_accepts_nothing(void **state)
{
    const struct transport *t = transport_of(state);
    krait_sock *server = listener(t), *client = fresh(t);

    assert_works(krait_connect(client, krait_getsockname(server)));
    assert_works(krait_interrupt(server));
    assert_null_with(krait_accept(server, NULL), ECANCELED);
}

static void test_calls_that_never_wait_work_after_an_interrupt(void **state)
{
    krait_sock *pair[2];
    int value;

    connect_pair(transport_of(state), pair);
    assert_works(krait_interrupt(pair[0]));
    assert_true(krait_fileno(pair[0]) >= 0);
    assert_works(krait_getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value));
    assert_works(krait_settimeout(pair[0], 1));
    assert_int_equal(krait_addr_error(krait_getsockname(pair[0])), 0);
    assert_works(krait_shutdown(pair[0], SHUT_RDWR));
}

static void test_a_signal_handler_may_interrupt(void **state)
{
    struct sigaction sa = {.sa_handler = interrupt_in_handler}, before;
    struct call call = {0};

    wait_in_recv(transport_of(state), &call);
    from_signal_handler = call.sock;
    sigaction(SIGUSR1, &sa, &before);
    /* To the thread that waits, so that its own wait is what is left. */
    signal_task(call.task, SIGUSR1);
    join(call.task);
    sigaction(SIGUSR1, &before, NULL);
    assert_call_fails(&call, ECANCELED);
}

static void test_a_signal_handler_may_interrupt_another_thread(void **state)
{
    struct sigaction sa = {.sa_handler = interrupt_in_handler}, before;
    struct call call = {0};

    wait_in_accept(transport_of(state), &call);
    from_signal_handler = call.sock;
    sigaction(SIGUSR1, &sa, &before);
    raise(SIGUSR1); /* in this thread */
    join(call.task);
    sigaction(SIGUSR1, &before, NULL);
    assert_call_fails(&call, ECANCELED);
}

static void test_an_interrupt_keeps_errno(void **state)
{
    krait_sock *pair[2];

    (void)state;
    any_pair(pair);
    errno = ENOTTY;
    assert_int_equal(krait_interrupt(pair[0]), 0);
    assert_int_equal(errno, ENOTTY);
}

/* --- many -------------------------------------------------------------- */

/* Readers, writers and one more kind of reader, all on pair[0]. */
static void crowd(const struct transport *t, krait_sock *pair[2],
                  struct call calls[WAITERS])
{
    static char buf[WAITERS][64];
    size_t much = stuffing(t, pair[0]);
    void *data = own_block(much);
    int i;

    memset(calls, 0, WAITERS * sizeof *calls);
    for (i = 0; i < WAITERS; i++) {
        calls[i].sock = pair[0];
        calls[i].buf = i % 3 == 1 ? data : buf[i];
        calls[i].len = i % 3 == 1 ? much : sizeof buf[i];
        call_and_block(&calls[i], i % 3 == 0   ? do_recv
                                  : i % 3 == 1 ? do_sendall
                                               : do_recvfrom);
    }
}

static void test_one_interrupt_wakes_all_who_wait(void **state)
{
    struct call calls[WAITERS];
    krait_sock *pair[2];
    int i;

    connect_pair(transport_of(state), pair);
    crowd(transport_of(state), pair, calls);
    assert_works(krait_interrupt(pair[0]));
    for (i = 0; i < WAITERS; i++)
        assert_call_fails(&calls[i], ECANCELED);
}

static void test_close_while_many_wait_leaves_no_fd(void **state)
{
    unsigned before = count_fds();
    struct call calls[WAITERS];
    krait_sock *pair[2];
    int i;

    connect_pair(transport_of(state), pair);
    crowd(transport_of(state), pair, calls);
    assert_int_equal(shut(pair[0]), 0);
    for (i = 0; i < WAITERS; i++)
        assert_call_fails(&calls[i], ECANCELED);
    shut(pair[1]);
    check_fds(before);
}

/* An fd's number must not be used for another file while somebody still waits
 * on it: the waiter would take what is not his. */
static void test_a_closed_fd_s_number_is_not_given_to_a_stranger(void **state)
{
    int round;

    (void)state;
    for (round = 0; round < (under_valgrind() ? 20 : 200); round++) {
        krait_sock *old[2], *young[2];
        char byte = 0, got = 0;
        struct call call = {.buf = &got, .len = 1};

        any_pair(old);
        call.sock = old[0];
        call_and_block(&call, do_recv);
        shut(old[0]);
        any_pair(young); /* the numbers are free, or are not: both is right */
        assert_works(krait_sendall(young[1], "y", 1, 0));
        assert_works(krait_sendall(young[0], "o", 1, 0));
        assert_call_fails(&call, ECANCELED);
        assert_int_equal(krait_recv(young[0], &byte, 1, 0), 1);
        assert_int_equal(byte, 'y');
        assert_int_equal(krait_recv(young[1], &byte, 1, 0), 1);
        assert_int_equal(byte, 'o');
        shut(old[1]);
        shut(young[0]);
        shut(young[1]);
    }
}

/* The fd closes with the last of those who waited, whoever that is; and then
 * the peer sees the end. */
static void test_the_peer_sees_the_end_after_a_close_under_waiters(void **state)
{
    struct call call = {0};
    krait_sock *pair[2];
    char byte;

    connect_pair(transport_of(state), pair);
    call.sock = pair[0];
    call.buf = scrap;
    call.len = sizeof scrap;
    call_and_block(&call, do_recv);
    shut(pair[0]);
    assert_call_fails(&call, ECANCELED);
    assert_works(krait_settimeout(pair[1], PATIENCE));
    assert_int_equal(krait_recv(pair[1], &byte, 1, 0), 0);
}

static void test_detach_wakes_those_who_wait(void **state)
{
    struct call call = {0};
    int fd;

    wait_in_recv(transport_of(state), &call);
    fd = own_fd(krait_detach(disown(call.sock)));
    assert_call_fails(&call, ECANCELED);
    assert_true(fcntl(fd, F_GETFD) >= 0);
}

/* Who interrupts may still be at it when who was woken closes: the woken one
 * is fast, and what it closes must outlive the call that woke it. */
static void do_interrupt(void *arg)
{
    struct call *call = (struct call *)arg;

    call->rc = krait_interrupt(call->sock);
}

static void test_who_is_woken_may_close_at_once(void **state)
{
    int round;

    for (round = 0; round < (under_valgrind() ? 20 : 300); round++) {
        struct call call = {0};
        krait_sock *pair[2];
        struct task *task;
        char byte;

        connect_pair(transport_of(state), pair);
        call.sock = pair[0];
        task = start(do_interrupt, &call);
        assert_fails(krait_recv(pair[0], &byte, 1, 0), ECANCELED);
        shut(pair[0]);
        shut(pair[1]);
        join_and_forget(task);
        assert_int_equal(call.rc, 0);
    }
}

/* --- stress ------------------------------------------------------------ */

/* Tasks that call while another, at a random moment, interrupts or closes.
 * A call may end in any way that is right; what counts is that each ends, and
 * that afterwards no fd and no thread is left (after_test looks). */
struct victim {
    krait_sock *sock;
    int kind;
    atomic_int *ready;
    int err;
    bool odd; /* it ended in a way that is not right */
};

static void suffer(void *arg)
{
    struct victim *v = (struct victim *)arg;
    char buf[256] = {0};
    ssize_t rc;

    atomic_fetch_add(v->ready, 1);
    if (v->kind == 0)
        rc = krait_recv(v->sock, buf, sizeof buf, 0);
    else if (v->kind == 1)
        rc = krait_recv(v->sock, buf, sizeof buf, MSG_WAITALL);
    else
        rc = krait_sendall(v->sock, buf, sizeof buf, 0);
    v->err = rc < 0 ? errno : 0;
    v->odd = rc < 0 && v->err != ECANCELED;
}

/* One xorshift generator for each test: its seed tells how to do it again. */
static unsigned next_random(unsigned *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static unsigned print_seed(void)
{
    const char *given = getenv("KRAIT_TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 0)
                          : (unsigned)(now() * 1e6) | 1u;

    print_message("KRAIT_TEST_SEED=%u\n", seed);
    return seed;
}

static bool all_ready(void *ready)
{
    return atomic_load((atomic_int *)ready) == 6;
}

static void stress_once(const struct transport *t, unsigned *seed, bool close)
{
    atomic_int ready = 0;
    struct victim victims[6];
    struct task *tasks[6];
    krait_sock *pair[2];
    unsigned pause = next_random(seed) % 2000;
    size_t i;

    connect_pair(t, pair);
    for (i = 0; i < 6; i++) {
        victims[i] = (struct victim){.sock = pair[0], .ready = &ready};
        victims[i].kind = (int)(next_random(seed) % 3);
        tasks[i] = start(suffer, &victims[i]);
    }
    /* Starting a call after close has begun is the caller's error: for close
     * all must be in theirs. For interrupt any moment will do. */
    if (close)
        for (i = 0; i < 6; i++)
            if (!wait_for(is_blocked, tasks[i]))
                fail_msg("a task doesn't wait");
    if (!close)
        assert_true(wait_for(all_ready, &ready));
    while (pause--)
        atomic_signal_fence(memory_order_seq_cst);
    if (next_random(seed) % 2)
        krait_send(pair[1], "x", 1, MSG_DONTWAIT);
    if (close)
        shut(pair[0]);
    else
        krait_interrupt(pair[0]);
    for (i = 0; i < 6; i++) {
        join_and_forget(tasks[i]);
        if (victims[i].odd)
            fail_msg("kind %d: errno %d", victims[i].kind, victims[i].err);
    }
    if (!close)
        shut(pair[0]);
    shut(pair[1]);
}

static void test_interrupts_at_random_moments_wake_everybody(void **state)
{
    unsigned seed = print_seed(), before = count_fds();
    int round;

    for (round = 0; round < (under_valgrind() ? 5 : 150); round++)
        stress_once(transport_of(state), &seed, false);
    check_fds(before);
}

static void test_closes_at_random_moments_wake_everybody(void **state)
{
    unsigned seed = print_seed(), before = count_fds();
    int round;

    for (round = 0; round < (under_valgrind() ? 5 : 150); round++)
        stress_once(transport_of(state), &seed, true);
    check_fds(before);
}

/* Tasks that take turns with a socket's calls while it is interrupted: each
 * goes round until it is told ECANCELED. */
static void ping(void *arg)
{
    struct victim *v = (struct victim *)arg;
    char byte = 'p';

    atomic_fetch_add(v->ready, 1);
    while (krait_sendall(v->sock, &byte, 1, 0) == 0 &&
           krait_recv(v->sock, &byte, 1, 0) == 1)
        ;
    v->err = errno;
}

static void test_busy_threads_are_interrupted_too(void **state)
{
    int round, i;

    for (round = 0; round < 30; round++) {
        atomic_int ready = 0;
        struct victim victims[4];
        struct task *tasks[4];
        krait_sock *pair[2];

        connect_pair(transport_of(state), pair);
        for (i = 0; i < 4; i++) {
            victims[i] = (struct victim){pair[i % 2], 0, &ready, 0, false};
            tasks[i] = start(ping, &victims[i]);
        }
        while (atomic_load(&ready) < 4)
            nap(0.0001);
        assert_works(krait_interrupt(pair[0]));
        assert_works(krait_interrupt(pair[1]));
        for (i = 0; i < 4; i++) {
            join_and_forget(tasks[i]);
            assert_int_equal(victims[i].err, ECANCELED);
        }
        shut(pair[0]);
        shut(pair[1]);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {TEST(test_interrupt_wakes_recv), EVERY},
        {TEST(test_interrupt_wakes_recvfrom), DGRAMS},
        {TEST(test_interrupt_wakes_waitall), CONNECTIONS},
        {TEST(test_interrupt_wakes_send), SEQPACKETS},
        {TEST(test_an_interrupted_send_tells_what_it_sent), STREAMS},
        {TEST(test_a_send_under_close_tells_what_it_sent), STREAMS},
        {TEST(test_interrupt_wakes_sendall), STREAMS},
        {TEST(test_interrupt_wakes_accept), CONNECTIONS},
        {TEST(test_interrupt_wakes_connect), CONNECTIONS},
        {TEST(test_close_wakes_recv), EVERY},
        {TEST(test_close_wakes_recvfrom), DGRAMS},
        {TEST(test_close_wakes_waitall), CONNECTIONS},
        {TEST(test_close_wakes_send), SEQPACKETS},
        {TEST(test_close_wakes_sendall), STREAMS},
        {TEST(test_close_wakes_accept), CONNECTIONS},
        {TEST(test_close_wakes_connect), CONNECTIONS},
        {TEST(test_an_interrupted_socket_stays_interrupted), EVERY},
        {TEST(test_an_interrupt_leaves_the_connection_alone), EVERY},
        {TEST(test_an_interrupted_listener_accepts_nothing), CONNECTIONS},
        {TEST(test_calls_that_never_wait_work_after_an_interrupt), EVERY},
        {TEST(test_a_signal_handler_may_interrupt), EVERY},
        {TEST(test_a_signal_handler_may_interrupt_another_thread), CONNECTIONS},
        {TEST(test_an_interrupt_keeps_errno), ONCE},
        {TEST(test_one_interrupt_wakes_all_who_wait), CONNECTIONS},
        {TEST(test_close_while_many_wait_leaves_no_fd), CONNECTIONS},
        {TEST(test_a_closed_fd_s_number_is_not_given_to_a_stranger), ONCE},
        {TEST(test_the_peer_sees_the_end_after_a_close_under_waiters),
         CONNECTIONS},
        {TEST(test_detach_wakes_those_who_wait), EVERY},
        {TEST(test_who_is_woken_may_close_at_once), UNIX_STREAM | UNIX_DGRAM},
        {TEST(test_interrupts_at_random_moments_wake_everybody),
         UNIX_STREAM | INET_STREAM},
        {TEST(test_closes_at_random_moments_wake_everybody),
         UNIX_STREAM | INET_STREAM},
        {TEST(test_busy_threads_are_interrupted_too),
         UNIX_STREAM | INET_STREAM | UNIX_SEQPACKET},
    };

    return run_all(argc, argv, "interrupt", tests, COUNT(tests));
}
