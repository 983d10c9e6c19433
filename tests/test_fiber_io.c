/* SPDX-License-Identifier: MIT
 *
 * test_fiber_io.c - what fibers do to sockets together, and what happens to
 * them meanwhile: closed, interrupted and cancelled from everywhere, and no
 * byte is lost; nobody starves; signals.
 *
 * ctest: timeout=180
 */
#include "fiber_support.h"

/* --- one call, in a fiber ------------------------------------------------ */

struct reader {
    krait_sock *s;
    ssize_t rc;
    int err;
    char byte;
    atomic_bool over;
};

static int read_one(void *arg)
{
    struct reader *r = arg;

    r->rc = krait_recv(r->s, &r->byte, 1, 0);
    r->err = errno;
    atomic_store(&r->over, true);
    return 0;
}

static int write_one(void *arg)
{
    struct reader *r = arg;

    r->rc = krait_send(r->s, "w", 1, 0);
    r->err = errno;
    atomic_store(&r->over, true);
    return 0;
}

static void read_in_a_thread(void *arg)
{
    read_one(arg);
}

static bool make_pair(krait_sock *pair[2])
{
    return see(krait_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
}

static void close_pair(krait_sock *pair[2])
{
    see(krait_close(pair[0]) == 0);
    see(krait_close(pair[1]) == 0);
}

static void fill_up(krait_sock *s)
{
    static const char block[4096];

    while (krait_send(s, block, sizeof block, MSG_DONTWAIT) > 0)
        ;
    see(errno == EAGAIN);
}

/* Reads all that is there, past an interruption too. */
static size_t drain(krait_sock *s)
{
    static _Thread_local char block[65536];
    size_t sum = 0;
    ssize_t n;

    while ((n = recv(krait_fileno(s), block, sizeof block, MSG_DONTWAIT)) > 0)
        sum += (size_t)n;
    return sum;
}

/* --- two in one socket --------------------------------------------------- */

static int wait_both_ways(void *unused)
{
    (void)unused;
    for (int worker = 1; worker <= 2; worker++) {
        krait_sock *pair[2];
        struct reader in = {0}, out = {0};
        krait_fiber *f[2];

        if (!make_pair(pair))
            return 0;
        in.s = out.s = pair[0];
        fill_up(pair[0]);
        f[0] = spawn_at(worker, read_one, &in);
        f[1] = spawn_at(3, write_one, &out);
        see(until_parked(f[0]) && until_parked(f[1]));
        see(krait_sendall(pair[1], "r", 1, 0) == 0);
        joined(f[0]);
        see(in.rc == 1 && in.byte == 'r');
        see(!atomic_load(&out.over)); /* what was for one is for one */
        see(drain(pair[1]) > 0);
        joined(f[1]);
        see(out.rc == 1);
        close_pair(pair);
    }
    return 0;
}

static void test_one_receives_while_another_sends(void **state)
{
    assert_works(run_fibers(state, wait_both_ways, NULL));
}

enum { READERS = 6 };

static void start_readers(struct reader *r, krait_fiber **f, krait_sock *s)
{
    for (int i = 0; i < READERS; i++) {
        r[i] = (struct reader){.s = s};
        f[i] = spawn_at(1 + i % 3, read_one, &r[i]);
    }
    for (int i = 0; i < READERS; i++)
        see(until_parked(f[i]));
}

static int count_over(struct reader *r)
{
    int n = 0;

    for (int i = 0; i < READERS; i++)
        n += atomic_load(&r[i].over);
    return n;
}

struct count {
    struct reader *r;
    int n;
};

static bool so_many_are_over(void *arg)
{
    struct count *c = arg;

    return count_over(c->r) >= c->n;
}

static int read_together(void *unused)
{
    struct reader r[READERS];
    krait_fiber *f[READERS];
    krait_sock *pair[2];
    unsigned seen = 0;

    (void)unused;
    if (!make_pair(pair))
        return 0;
    start_readers(r, f, pair[0]);
    for (int i = 0; i < READERS; i++) {
        struct count c = {r, i + 1};
        char byte = (char)i;

        see(krait_sendall(pair[1], &byte, 1, 0) == 0);
        see(wait_for(so_many_are_over, &c));
        see(count_over(r) == i + 1);
    }
    for (int i = 0; i < READERS; i++) {
        joined(f[i]);
        see(r[i].rc == 1);
        seen |= 1u << r[i].byte;
    }
    see(seen == (1u << READERS) - 1);
    close_pair(pair);
    return 0;
}

static void test_many_receive_and_each_byte_goes_to_one(void **state)
{
    assert_works(run_fibers(state, read_together, NULL));
}

static int read_beside_a_thread(void *unused)
{
    (void)unused;
    for (int worker = 1; worker <= 2; worker++) {
        krait_sock *pair[2];
        struct reader r = {0}, thread = {0};
        struct task *task;
        krait_fiber *f;

        if (!make_pair(pair))
            return 0;
        r.s = thread.s = pair[0];
        f = spawn_at(worker, read_one, &r);
        task = start_thread(read_in_a_thread, &thread);
        see(until_parked(f) && wait_for(is_blocked, task));
        see(krait_sendall(pair[1], "a", 1, 0) == 0);
        see(krait_sendall(pair[1], "b", 1, 0) == 0);
        joined(f);
        join(task);
        see(r.rc == 1 && thread.rc == 1);
        see(r.byte + thread.byte == 'a' + 'b');
        close_pair(pair);
    }
    return 0;
}

static void test_a_thread_and_a_fiber_share_a_socket(void **state)
{
    assert_works(run_fibers(state, read_beside_a_thread, NULL));
}

/* --- closed and interrupted, while somebody waits ------------------------ */

static int end_them_all(void *unused)
{
    (void)unused;
    for (int close_it = 0; close_it < 2; close_it++) {
        struct reader r[READERS], out = {0};
        krait_fiber *f[READERS], *writer;
        krait_sock *pair[2];

        if (!make_pair(pair))
            return 0;
        fill_up(pair[0]);
        out.s = pair[0];
        writer = spawn_at(2, write_one, &out);
        start_readers(r, f, pair[0]);
        see(until_parked(writer));
        if (close_it)
            see(krait_close(pair[0]) == 0);
        else
            see(krait_interrupt(pair[0]) == 0);
        for (int i = 0; i < READERS; i++) {
            joined(f[i]);
            see(r[i].rc == -1 && r[i].err == ECANCELED);
        }
        joined(writer);
        see(out.rc == -1 && out.err == ECANCELED);
        if (!close_it)
            see(krait_close(pair[0]) == 0);
        see(krait_close(pair[1]) == 0);
    }
    return 0;
}

static void test_close_and_interrupt_wake_all_who_wait(void **state)
{
    assert_works(run_fibers(state, end_them_all, NULL));
}

/* Who ends the wait of a fiber whose worker computes, and must not have to wait
 * for that. */
struct ender {
    krait_sock *s;
    bool closes;
    atomic_bool go, returned;
    int fd, other_fds[4];
};

static void end_it(struct ender *e)
{
    see(until_set(&e->go));
    if (e->closes)
        see(krait_close(e->s) == 0);
    else
        see(krait_interrupt(e->s) == 0);
    /* The number is not free before the last has left. */
    for (size_t i = 0; i < COUNT(e->other_fds); i++) {
        e->other_fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        see(e->other_fds[i] >= 0 && e->other_fds[i] != e->fd);
    }
    see(fcntl(e->fd, F_GETFD) >= 0);
    atomic_store(&e->returned, true);
}

static void end_in_a_thread(void *arg)
{
    end_it(arg);
}

static int end_in_a_fiber(void *arg)
{
    end_it(arg);
    return 0;
}

static bool is_closed(void *fd)
{
    return fcntl(*(int *)fd, F_GETFD) < 0;
}

static void end_while_computing(bool closes, bool by_thread)
{
    struct ender e = {.closes = closes};
    struct reader r = {0};
    krait_fiber *reader, *ender = NULL;
    krait_sock *pair[2];

    if (!make_pair(pair))
        return;
    e.s = r.s = pair[0];
    e.fd = krait_fileno(pair[0]);
    reader = spawn_at(1, read_one, &r);
    see(until_parked(reader));
    if (by_thread)
        start_thread(end_in_a_thread, &e);
    else
        ender = spawn_at(2, end_in_a_fiber, &e);
    atomic_store(&e.go, true);
    see(compute_until(&e.returned));
    see(!atomic_load(&r.over));
    joined(reader);
    see(r.rc == -1 && r.err == ECANCELED);
    if (closes)
        see(wait_for(is_closed, &e.fd));
    else
        see(krait_close(pair[0]) == 0);
    see(krait_close(pair[1]) == 0);
    if (ender)
        joined(ender);
    for (size_t i = 0; i < COUNT(e.other_fds); i++)
        close(e.other_fds[i]);
}

static int end_others_waits(void *workers)
{
    for (int closes = 0; closes < 2; closes++) {
        end_while_computing(closes, true);
        if (*(int *)workers > 1)
            end_while_computing(closes, false);
    }
    return 0;
}

static void test_close_and_interrupt_do_not_wait_for_a_busy_worker(void **state)
{
    int workers = setting_of(state)->workers;

    assert_works(run_fibers(state, end_others_waits, &workers));
}

static krait_sock *_Atomic to_interrupt;
static atomic_bool handled;

static void interrupt_it(int signo)
{
    (void)signo;
    krait_interrupt(to_interrupt);
    atomic_store(&handled, true);
}

static int interrupt_from_a_handler(void *unused)
{
    (void)unused;
    for (int worker = 1; worker <= 3; worker++) {
        struct reader r = {0};
        krait_sock *pair[2];
        krait_fiber *f;

        if (!make_pair(pair))
            return 0;
        to_interrupt = r.s = pair[0];
        atomic_store(&handled, false);
        f = spawn_at(worker, read_one, &r);
        see(until_parked(f));
        raise(SIGUSR1); /* worker 1 is in this fiber */
        see(atomic_load(&handled));
        joined(f);
        see(r.rc == -1 && r.err == ECANCELED);
        close_pair(pair);
    }
    return 0;
}

static void test_a_signal_handler_interrupts(void **state)
{
    struct sigaction sa = {.sa_handler = interrupt_it}, before;

    sigaction(SIGUSR1, &sa, &before);
    assert_works(run_fibers(state, interrupt_from_a_handler, NULL));
    sigaction(SIGUSR1, &before, NULL);
}

struct hailed {
    atomic_int tid;
    struct hail hail;
    int rounds;
};

/* The handler comes at any moment: while the worker sleeps, posts, switches. */
static int interrupt_at_any_moment(void *arg)
{
    struct hailed *h = arg;

    atomic_store(&h->tid, (int)syscall(SYS_gettid));
    begin_hail(&h->hail, &h->tid, SIGUSR1);
    for (int i = 0; i < h->rounds; i++) {
        struct reader r[2] = {{0}};
        krait_sock *pair[2], *before = to_interrupt;
        krait_fiber *f[2];

        if (!make_pair(pair))
            break;
        r[0].s = r[1].s = pair[0];
        to_interrupt = pair[0];
        f[0] = spawn_at(1, read_one, &r[0]);
        f[1] = spawn_at(2, read_one, &r[1]);
        for (int j = 0; j < 2; j++) {
            joined(f[j]);
            see(r[j].rc == -1 && r[j].err == ECANCELED);
        }
        to_interrupt = before;
        close_pair(pair);
    }
    end_hail(&h->hail);
    return 0;
}

static void test_signal_handlers_interrupt_at_any_moment(void **state)
{
    struct sigaction sa = {.sa_handler = interrupt_it}, before;
    struct hailed *h = own_block(sizeof *h);
    krait_sock *idle[2];

    any_pair(idle);
    to_interrupt = idle[0];
    h->rounds = fewer(300);
    sigaction(SIGUSR1, &sa, &before);
    assert_works(run_fibers(state, interrupt_at_any_moment, h));
    sigaction(SIGUSR1, &before, NULL);
}

/* --- no byte is lost ----------------------------------------------------- */

enum how { TIMES_OUT, IS_CANCELLED, IS_INTERRUPTED, WAYS };

struct duel {
    krait_sock *pair[2];
    enum how how;
    unsigned delay; /* turns before the byte is sent */
    ssize_t rc;
    int err;
    atomic_bool sent;
};

static const int ends_with[WAYS] = {ETIMEDOUT, ECANCELED, ECANCELED};

static bool is_all(const char *buf, char c, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (buf[i] != c)
            return false;
    return true;
}

static int read_in_a_duel(void *arg)
{
    struct duel *d = arg;
    char buf[64];

    memset(buf, 'p', sizeof buf);
    d->rc = krait_recv(d->pair[0], buf, sizeof buf, 0);
    d->err = errno;
    if (d->rc > 0) {
        see(d->rc == 1 && buf[0] == 'b' && is_all(buf + 1, 'p', 63));
        return 0;
    }
    see(d->rc == -1 && d->err == ends_with[d->how]);
    /* The buffer is ours again, whatever comes now. */
    memset(buf, 'q', sizeof buf);
    for (int i = 0; i < 3 || !atomic_load(&d->sent); i++) {
        krait_yield();
        if (i > 100)
            sched_yield(); /* the sender may need this CPU */
    }
    for (int i = 0; i < 3; i++)
        krait_yield();
    see(is_all(buf, 'q', sizeof buf));
    return 0;
}

static int send_in_a_duel(void *arg)
{
    struct duel *d = arg;

    for (unsigned i = 0; i < d->delay; i++)
        krait_yield();
    see(krait_sendall(d->pair[1], "b", 1, 0) == 0);
    atomic_store(&d->sent, true);
    return 0;
}

static void fight(struct duel *d, int worker, unsigned *seed)
{
    krait_fiber *reader, *sender;
    unsigned delay = (unsigned)rand_r(seed) % 4;
    size_t left;

    if (!make_pair(d->pair))
        return;
    if (d->how == TIMES_OUT)
        see(krait_settimeout(d->pair[0], (rand_r(seed) % 100) / 1e6 + 1e-6) ==
            0);
    d->delay = (unsigned)rand_r(seed) % 4;
    reader = spawn_at(1, read_in_a_duel, d);
    sender = spawn_at(worker, send_in_a_duel, d);
    for (unsigned i = 0; i < delay; i++)
        krait_yield();
    if (d->how == IS_CANCELLED)
        see(krait_cancel(reader) == 0);
    if (d->how == IS_INTERRUPTED)
        see(krait_interrupt(d->pair[0]) == 0);
    joined(sender);
    joined(reader);
    left = drain(d->pair[0]);
    see(left + (size_t)(d->rc > 0 ? d->rc : 0) == 1);
    close_pair(d->pair);
}

static int fight_often(void *arg)
{
    int *outcomes = arg;
    unsigned seed = 12345;

    for (int i = 0; i < fewer(3000); i++) {
        struct duel d = {.how = (enum how)(i % WAYS)};

        fight(&d, 1 + i / WAYS % 2, &seed);
        outcomes[d.rc > 0]++;
    }
    return 0;
}

static void test_a_receive_that_ends_early_loses_no_byte(void **state)
{
    int outcomes[2] = {0};

    assert_works(run_fibers(state, fight_often, outcomes));
    /* Both must have happened, or nothing was tested. */
    assert_true(under_valgrind() || (outcomes[0] && outcomes[1]));
}

struct bulk {
    krait_sock *s;
    const unsigned char *data;
    size_t len;
    ssize_t rc;
    int err;
};

static int send_in_bulk(void *arg)
{
    struct bulk *b = arg;

    b->rc = krait_send(b->s, b->data, b->len, 0);
    b->err = errno;
    return 0;
}

static void end_a_bulk(struct bulk *b, int worker, int how, unsigned *seed)
{
    static unsigned char got[1 << 20];
    size_t sum = 0, wanted = (size_t)rand_r(seed) % (512 << 10);
    krait_sock *pair[2];
    krait_fiber *f;
    ssize_t n;

    if (!make_pair(pair))
        return;
    b->s = pair[0];
    f = spawn_at(worker, send_in_bulk, b);
    while (sum < wanted) {
        n = krait_recv(pair[1], got + sum, wanted - sum, 0);
        if (!see(n > 0))
            break;
        sum += (size_t)n;
    }
    if (how == 0)
        see(krait_cancel(f) == 0);
    else
        see(krait_interrupt(pair[0]) == 0);
    joined(f);
    see(krait_close(pair[0]) == 0);
    while ((n = krait_recv(pair[1], got + sum, sizeof got - sum, 0)) > 0)
        sum += (size_t)n;
    see(krait_close(pair[1]) == 0);
    /* What it says was sent was sent, and no more. */
    see(b->rc == -1 ? sum == 0 && b->err == ECANCELED
                    : sum == (size_t)b->rc && sum >= wanted);
    see(memcmp(got, b->data, sum) == 0);
}

static int end_bulks(void *arg)
{
    struct bulk *b = arg;
    unsigned seed = 77;

    for (int i = 0; i < fewer(100); i++)
        end_a_bulk(b, 1 + i % 2, i / 2 % 2, &seed);
    return 0;
}

static void test_a_send_that_ends_early_tells_what_was_sent(void **state)
{
    struct bulk b = {.len = (1 << 20) - 4096};

    b.data = patterned(b.len);
    assert_works(run_fibers(state, end_bulks, &b));
}

/* --- everything at once -------------------------------------------------- */

struct chaos {
    unsigned seed;
    int rounds;
};

static int read_until_it_ends(void *arg)
{
    krait_sock *s = arg;
    char buf[16];
    ssize_t n;

    while ((n = krait_recv(s, buf, sizeof buf, 0)) > 0)
        ;
    see(n == 0 || errno == ECANCELED);
    return 0;
}

static int write_until_it_ends(void *arg)
{
    char block[512] = {0};

    while (krait_send(arg, block, sizeof block, 0) > 0)
        ;
    see(errno == ECANCELED || errno == EPIPE || errno == ECONNRESET);
    return 0;
}

static void make_trouble(unsigned *seed)
{
    krait_sock *pair[2];
    krait_fiber *f[4];
    int i;

    if (!make_pair(pair))
        return;
    for (i = 0; i < 4; i++)
        f[i] = spawn_at(1 + rand_r(seed) % 3,
                        i % 2 ? read_until_it_ends : write_until_it_ends,
                        pair[i / 2]);
    for (i = rand_r(seed) % 4; i > 0; i--)
        krait_yield();
    switch (rand_r(seed) % 4) {
    case 0:
        for (i = 0; i < 4; i++)
            see(krait_cancel(f[i]) == 0);
        break;
    case 1: /* the one end's own two, and then the other's */
        see(krait_cancel(f[0]) == 0 && krait_cancel(f[1]) == 0);
        joined(f[1]);
        f[1] = NULL;
        see(krait_interrupt(pair[1]) == 0);
        see(krait_interrupt(pair[0]) == 0);
        break;
    case 2:
        see(krait_shutdown(pair[0], SHUT_RDWR) == 0);
        break;
    default:
        see(krait_interrupt(pair[0]) == 0);
        see(krait_interrupt(pair[1]) == 0);
    }
    for (i = 0; i < 4; i++)
        if (f[i])
            joined(f[i]);
    close_pair(pair);
}

/* Closes under those who wait, which they must do already. */
static void close_under_them(unsigned *seed)
{
    struct reader r[3] = {{0}};
    krait_sock *pair[2];
    krait_fiber *f[3];

    if (!make_pair(pair))
        return;
    fill_up(pair[0]);
    for (int i = 0; i < 3; i++) {
        r[i].s = pair[0];
        f[i] = spawn_at(1 + rand_r(seed) % 3, i ? read_one : write_one, &r[i]);
    }
    for (int i = 0; i < 3; i++)
        see(until_parked(f[i]));
    see(krait_close(pair[0]) == 0);
    for (int i = 0; i < 3; i++) {
        joined(f[i]);
        see(r[i].rc == -1 && r[i].err == ECANCELED);
    }
    see(krait_close(pair[1]) == 0);
}

static int be_chaotic(void *arg)
{
    struct chaos *c = arg;

    for (int i = 0; i < c->rounds; i++) {
        if (rand_r(&c->seed) % 8)
            make_trouble(&c->seed);
        else
            close_under_them(&c->seed);
    }
    return 0;
}

static int chaos_everywhere(void *unused)
{
    struct chaos c[6];
    krait_fiber *f[6];

    (void)unused;
    for (int i = 0; i < 6; i++) {
        c[i] = (struct chaos){.seed = 100u + (unsigned)i, .rounds = fewer(150)};
        f[i] = spawn_at(1 + i % 3, be_chaotic, &c[i]);
    }
    for (int i = 0; i < 6; i++)
        joined(f[i]);
    return 0;
}

static void test_everything_at_once(void **state)
{
    assert_works(run_fibers(state, chaos_everywhere, NULL));
}

/* --- nobody starves ------------------------------------------------------ */

struct busy {
    krait_sock *s;
    int flags;
    bool timeout_0;
    atomic_bool stop;
    long calls;
};

enum { ENOUGH = 200, TOO_MANY = 1000000 };

/* There is always something to receive. */
static int receive_for_ever(void *arg)
{
    struct busy *b = arg;
    char byte;

    while (!atomic_load(&b->stop) && see(b->calls < TOO_MANY)) {
        b->calls++;
        if (!see(krait_recv(b->s, &byte, 1, b->flags | MSG_PEEK) == 1))
            break;
    }
    return 0;
}

/* There never is, and it does not wait. */
static int ask_for_ever(void *arg)
{
    struct busy *b = arg;
    char byte;

    while (!atomic_load(&b->stop) && see(b->calls < TOO_MANY)) {
        b->calls++;
        if (!see(krait_recv(b->s, &byte, 1, MSG_DONTWAIT) == -1 &&
                 errno == EAGAIN))
            break;
    }
    return 0;
}

static int echo_to_oneself(void *arg)
{
    struct busy *b = arg;
    char byte = 'x';

    while (!atomic_load(&b->stop) && see(b->calls < TOO_MANY)) {
        b->calls++;
        if (!see(krait_send(b->s, &byte, 1, 0) == 1 &&
                 krait_recv(b->s, &byte, 1, 0) == 1))
            break;
    }
    return 0;
}

static int look_at_a_ready_fd(void *arg)
{
    struct busy *b = arg;

    while (!atomic_load(&b->stop) && see(b->calls < TOO_MANY)) {
        b->calls++;
        if (!see(krait_wait_fd(krait_fileno(b->s), POLLOUT, KRAIT_FOREVER) ==
                 POLLOUT))
            break;
    }
    return 0;
}

static int look_without_waiting(void *arg)
{
    struct busy *b = arg;

    while (!atomic_load(&b->stop) && see(b->calls < TOO_MANY)) {
        b->calls++;
        if (!see(krait_wait_fd(krait_fileno(b->s), POLLIN, 0) == -1 &&
                 errno == EAGAIN && krait_wait_child(getpid(), NULL, 0) == -1 &&
                 errno == ECHILD))
            break;
    }
    return 0;
}

/* One that will not hear of it. */
static int try_though_cancelled(void *arg)
{
    struct busy *b = arg;
    char byte;

    krait_cancel(krait_self());
    while (!atomic_load(&b->stop) && see(b->calls < TOO_MANY)) {
        b->calls++;
        if (!see(krait_recv(b->s, &byte, 1, 0) == -1 && errno == ECANCELED))
            break;
    }
    return 0;
}

static int try_though_time_is_up(void *arg)
{
    struct busy *b = arg;
    krait_deadline d;

    krait_deadline_begin(&d, 0);
    while (!atomic_load(&b->stop) && see(b->calls < TOO_MANY)) {
        b->calls++;
        if (!see(krait_sleep(1) == -1 && errno == ETIMEDOUT))
            break;
    }
    krait_deadline_end(&d);
    return 0;
}

static int make_progress(void *stop)
{
    for (int i = 0; i < ENOUGH / 2; i++)
        krait_yield();
    for (int i = 0; i < ENOUGH / 2; i++)
        see(krait_sleep(0) == 0);
    atomic_store((atomic_bool *)stop, true);
    return 0;
}

struct ready {
    krait_sock *with_a_byte, *to_itself, *empty;
};

static int progress_beside_busy_ones(void *arg)
{
    struct ready *r = arg;
    const struct {
        int (*fn)(void *);
        krait_sock *s;
    } busy[] = {
        {receive_for_ever, r->with_a_byte}, {ask_for_ever, r->empty},
        {echo_to_oneself, r->to_itself},    {look_at_a_ready_fd, r->to_itself},
        {look_without_waiting, r->empty},   {try_though_cancelled, r->empty},
        {try_though_time_is_up, r->empty},
    };

    for (size_t i = 0; i < COUNT(busy); i++) {
        struct busy b = {.s = busy[i].s};
        krait_fiber *hot = krait_spawn(busy[i].fn, &b, NULL);
        krait_fiber *cold = krait_spawn(make_progress, &b.stop, NULL);

        joined(cold);
        joined(hot);
        /* So many calls a turn, and no more. */
        see(b.calls < ENOUGH * 200);
    }
    return 0;
}

static void test_a_busy_connection_does_not_starve_others(void **state)
{
    krait_sock *a[2], *b[2], *udp = bound(transport_named(INET_DGRAM));
    struct ready r = {.to_itself = udp};

    any_pair(a);
    any_pair(b);
    assert_works(krait_sendall(a[1], "x", 1, 0));
    r.with_a_byte = a[0];
    r.empty = b[0];
    assert_works(krait_connect(udp, krait_getsockname(udp)));
    assert_works(run_fibers(state, progress_beside_busy_ones, &r));
}

/* --- signals ------------------------------------------------------------- */

static atomic_int signals_seen, hook_calls, hook_thread, hook_answer;

static void count_signal(int signo)
{
    (void)signo;
    atomic_fetch_add(&signals_seen, 1);
}

static int tell_what_waits(void *arg)
{
    see(arg == &hook_answer);
    atomic_store(&hook_thread, (int)syscall(SYS_gettid));
    atomic_fetch_add(&hook_calls, 1);
    return atomic_load(&hook_answer);
}

static void watch_signals(struct sigaction *before)
{
    struct sigaction sa = {.sa_handler = count_signal};

    krait_set_signal_hook(NULL, NULL); /* a test that was skipped leaves it */
    sigaction(SIGUSR1, &sa, before);
    atomic_store(&signals_seen, 0);
    atomic_store(&hook_calls, 0);
    atomic_store(&hook_thread, 0);
}

struct signalled {
    struct hailed h;
    int workers;
    bool hooked;
};

static bool many_were_seen(void *unused)
{
    (void)unused;
    return atomic_load(&signals_seen) > 20;
}

static bool both_are_over(void *arg)
{
    struct reader *r = arg;

    return atomic_load(&r[0].over) && atomic_load(&r[1].over);
}

static int wait_under_signals(void *arg)
{
    struct signalled *s = arg;
    struct reader r[3] = {{0}};
    krait_sock *pair[3][2];
    krait_fiber *f[3];

    atomic_store(&s->h.tid, (int)syscall(SYS_gettid));
    for (int i = 0; i < 3; i++) {
        if (!make_pair(pair[i]))
            return 0;
        r[i].s = pair[i][0];
        f[i] = spawn_at(i < 2 ? 1 : 2, read_one, &r[i]);
        see(until_parked(f[i]));
    }
    begin_hail(&s->h.hail, &s->h.tid, SIGUSR1);
    if (s->hooked)
        see(wait_for(both_are_over, r));
    else
        see(wait_for(many_were_seen, NULL));
    end_hail(&s->h.hail);
    atomic_store(&hook_answer, 0); /* a sendall would ask it, too */
    for (int i = 0; i < 3; i++) {
        bool ends = s->hooked && (i < 2 || s->workers == 1);

        if (!ends) {
            see(!atomic_load(&r[i].over));
            see(krait_sendall(pair[i][1], "x", 1, 0) == 0);
        }
        joined(f[i]);
        close_pair(pair[i]);
        see(ends ? r[i].rc == -1 && r[i].err == EINTR : r[i].rc == 1);
        if (ends)
            see(atomic_load(&hook_thread) == atomic_load(&s->h.tid));
    }
    return 0;
}

static void test_the_signal_hook_ends_what_waits_on_worker_1(void **state)
{
    struct signalled *s = own_block(sizeof *s);
    struct sigaction before;

    s->workers = setting_of(state)->workers;
    s->hooked = true;
    watch_signals(&before);
    atomic_store(&hook_answer, 1);
    krait_set_signal_hook(tell_what_waits, &hook_answer);
    assert_works(run_fibers(state, wait_under_signals, s));
    krait_set_signal_hook(NULL, NULL);
    sigaction(SIGUSR1, &before, NULL);
    assert_true(atomic_load(&hook_calls) >= 2);
}

static void test_a_hook_that_says_0_changes_nothing(void **state)
{
    struct signalled *s = own_block(sizeof *s);
    struct sigaction before;

    watch_signals(&before);
    atomic_store(&hook_answer, 0);
    krait_set_signal_hook(tell_what_waits, &hook_answer);
    assert_works(run_fibers(state, wait_under_signals, s));
    krait_set_signal_hook(NULL, NULL);
    sigaction(SIGUSR1, &before, NULL);
    assert_true(atomic_load(&hook_calls) > 0);
}

static void test_without_a_hook_signals_change_nothing(void **state)
{
    struct signalled *s = own_block(sizeof *s);
    struct sigaction before;

    watch_signals(&before);
    assert_works(run_fibers(state, wait_under_signals, s));
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(atomic_load(&hook_calls), 0);
}

static int note_my_mask(void *out)
{
    pthread_sigmask(SIG_SETMASK, NULL, out);
    return 0;
}

static int compare_masks(void *workers)
{
    sigset_t masks[2], mine;

    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    see(!sigismember(&mine, SIGUSR1) && sigismember(&mine, SIGUSR2));
    if (*(int *)workers == 1)
        return 0;
    joined(spawn_at(2, note_my_mask, &masks[0]));
    joined(spawn_at(3, note_my_mask, &masks[1]));
    for (int i = 0; i < 2; i++)
        see(!sigismember(&masks[i], SIGUSR1) &&
            sigismember(&masks[i], SIGUSR2));
    return 0;
}

static void test_workers_have_the_caller_s_signal_mask(void **state)
{
    int workers = setting_of(state)->workers;
    sigset_t set, before;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    assert_works(run_fibers(state, compare_masks, &workers));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int main(int argc, char **argv)
{
    static const struct fiber_test tests[] = {
        {TEST(test_one_receives_while_another_sends), false},
        {TEST(test_many_receive_and_each_byte_goes_to_one), false},
        {TEST(test_a_thread_and_a_fiber_share_a_socket), false},
        {TEST(test_close_and_interrupt_wake_all_who_wait), false},
        {TEST(test_close_and_interrupt_do_not_wait_for_a_busy_worker), false},
        {TEST(test_a_signal_handler_interrupts), false},
        {TEST(test_signal_handlers_interrupt_at_any_moment), false},
        {TEST(test_a_receive_that_ends_early_loses_no_byte), false},
        {TEST(test_a_send_that_ends_early_tells_what_was_sent), false},
        {TEST(test_everything_at_once), false},
        {TEST(test_a_busy_connection_does_not_starve_others), false},
        {TEST(test_the_signal_hook_ends_what_waits_on_worker_1), false},
        {TEST(test_a_hook_that_says_0_changes_nothing), false},
        {TEST(test_without_a_hook_signals_change_nothing), false},
        {TEST(test_workers_have_the_caller_s_signal_mask), false},
    };

    return run_fiber_tests(argc, argv, "fiber_io", tests, COUNT(tests));
}
