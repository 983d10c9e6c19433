/* SPDX-License-Identifier: MIT
 *
 * torture_fibers.c - scenarios in fibers, each on both engines and some with
 * two workers: the run-time begun and ended, fibers started and cancelled, and
 * everything that they can wait for.
 *
 * The first fiber starts the others, and joins them: it does nothing else that
 * could fail, so that it is left when all of them give up.
 */
#include "fiber/stack.h"

#include "torture.h"

#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

/* --- the run-time ------------------------------------------------------ */

static int workers;

static void run(int (*body)(void *), const krait_run_options *options)
{
    int rc;

    workers = options->workers;
    do
        rc = krait_run(body, NULL, options);
    while (rc < 0 && again("run"));
    require(rc == 0 || given_up(), "krait_run returns what main did not");
}

#define RUN(name, body, ...) \
    static void name(void) \
    { \
        run(body, &(krait_run_options){__VA_ARGS__}); \
    }

/* NAME_epoll, NAME_uring: with one worker; NAME_epoll2, NAME_uring2: two. */
#define ON_BOTH(body) \
    RUN(body##_epoll, body, .workers = 1, .engine = KRAIT_ENGINE_EPOLL) \
    RUN(body##_uring, body, .workers = 1, .engine = KRAIT_ENGINE_URING)
#define ON_BOTH_BY_TWO(body) \
    RUN(body##_epoll2, body, .workers = 2, .engine = KRAIT_ENGINE_EPOLL) \
    RUN(body##_uring2, body, .workers = 2, .engine = KRAIT_ENGINE_URING)

/* On the last worker. */
static krait_fiber *spawn_afar(int (*fn)(void *), void *arg)
{
    return t_spawn(fn, arg, &(krait_spawn_options){.worker = workers});
}

static int nothing(void *unused)
{
    (void)unused;
    return 0;
}

ON_BOTH(nothing)
ON_BOTH_BY_TWO(nothing)

/* As many workers as there are CPUs, on the engine that can be had. */
static int ask(void *unused)
{
    krait_stats stats;

    (void)unused;
    require(krait_runtime_stats(&stats) == 0, "krait_runtime_stats failed");
    require(stats.alive == 1 && stats.workers >= 1 && *stats.why,
            "the statistics are wrong");
    return 0;
}

RUN(defaults, ask, .workers = 0)

/* --- started, joined, cancelled ---------------------------------------- */

enum { SOME = 12 };

static int count_up(void *arg)
{
    krait_yield();
    return (int)(intptr_t)arg;
}

static int sleep_till_cancelled(void *unused)
{
    int rc;

    (void)unused;
    do
        rc = krait_sleep(1000);
    while (!refused(rc, "sleep", ECANCELED));
    return -7;
}

static int fill_a_stack(void *unused)
{
    volatile char much[600 << 10];

    (void)unused;
    for (size_t i = 0; i < sizeof much; i += 1024)
        much[i] = (char)i;
    krait_yield();
    return much[1024] == 0 ? 5 : -1;
}

static int family(void *unused)
{
    static const krait_spawn_options large = {.stack_size = 4 << 20,
                                              .name = "large"};
    krait_fiber *f[SOME], *big, *doomed;

    (void)unused;
    for (int i = 0; i < SOME; i++)
        f[i] = t_spawn(count_up, (void *)(intptr_t)i,
                       &(krait_spawn_options){.worker = i % workers + 1});
    big = t_spawn(fill_a_stack, NULL, &large);
    doomed = spawn_afar(sleep_till_cancelled, NULL);
    krait_release(t_spawn(count_up, NULL, NULL));
    for (int i = 0; i < SOME; i++)
        require(t_join(f[i]) == i || !f[i], "a fiber's result is wrong");
    require(t_join(big) == 5 || !big, "a large stack's result is wrong");
    if (doomed)
        require(krait_cancel(doomed) == 0, "krait_cancel failed");
    require(t_join(doomed) == -7 || !doomed, "a cancelled fiber's result");
    return 0;
}

ON_BOTH(family)
ON_BOTH_BY_TWO(family)

/* On a kernel older than 6.13. */
static void old_guards(void)
{
    krait__stack_test.no_guard_install = true;
    family_epoll();
}

/* Left to krait_run, which cancels them. */
static int orphans(void *unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++)
        krait_release(spawn_afar(sleep_till_cancelled, NULL));
    krait_yield();
    return 0;
}

ON_BOTH(orphans)
ON_BOTH_BY_TWO(orphans)

/* More than the heap of timers has at first. */
enum { SLEEPERS = 150 };

static int sleep_a_little(void *arg)
{
    double seconds = .002 + (double)((intptr_t)arg * 37 % SLEEPERS) / 20000;

    while (krait_sleep(seconds) < 0 && again("sleep"))
        ;
    return 0;
}

static int sleepers(void *unused)
{
    krait_fiber *f[SLEEPERS];

    (void)unused;
    for (int i = 0; i < SLEEPERS; i++)
        f[i] = t_spawn(sleep_a_little, (void *)(intptr_t)i, NULL);
    for (int i = 0; i < SLEEPERS; i++)
        t_join(f[i]);
    return 0;
}

ON_BOTH(sleepers)

/* --- conversations ----------------------------------------------------- */

enum { MESSAGE = 300, FLOOD = 30000 };

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
static int serve(void *arg)
{
    krait_sock *listener = arg;
    size_t sum = 0;

    while (sum == 0 && !given_up()) {
        krait_sock *conn = t_accept(listener);

        if (!conn)
            return -1;
        t_timeout(conn, patience());
        sum = echo(conn);
        t_close(conn);
    }
    require(sum == MESSAGE || given_up(), "the server got too little");
    return 0;
}

static void finish(krait_sock *s)
{
    int rc;

    do
        rc = krait_shutdown(s, SHUT_WR);
    while (rc < 0 && again("shutdown"));
}

static void talk_to(krait_sock *s)
{
    unsigned char out[MESSAGE], in[MESSAGE + 1];
    ssize_t n, got = 0;

    fill_pattern(out, 0, sizeof out);
    if (!t_send(s, out, sizeof out))
        return;
    while (got < MESSAGE) {
        n = t_recv(s, in + got, sizeof in - (size_t)got, 0);
        require(n > 0 || given_up(), "the answer ends early");
        if (n <= 0)
            return;
        got += n;
    }
    require(got == MESSAGE && is_pattern(in, 0, MESSAGE),
            "the answer is wrong");
    finish(s);
    require(t_recv(s, in, sizeof in, 0) <= 0, "more than the answer came");
}

struct place {
    int family;
    krait_addr at;
};

static int call(void *arg)
{
    const struct place *to = arg;
    krait_sock *s = t_connected(to->family, SOCK_STREAM, to->at);

    if (s) {
        t_timeout(s, patience());
        talk_to(s);
    }
    t_close(s);
    return 0;
}

static int meet(void *arg)
{
    struct place *place = arg;
    krait_sock *listener = t_listener(place->family, SOCK_STREAM, place->at);
    krait_fiber *server, *client;

    if (!listener)
        return 0;
    t_timeout(listener, patience());
    place->at = t_sockname(listener);
    server = spawn_afar(serve, listener);
    client = t_spawn(call, place, NULL);
    t_join(client);
    t_join(server);
    t_close(listener);
    return 0;
}

static int talk_tcp(void *unused)
{
    struct place place = {AF_INET, krait_inet("127.0.0.1", 0)};

    (void)unused;
    return meet(&place);
}

static int talk_unix(void *unused)
{
    struct place place = {AF_UNIX, krait_unix("")};

    (void)unused;
    return meet(&place);
}

ON_BOTH(talk_tcp)
ON_BOTH_BY_TWO(talk_tcp)
ON_BOTH(talk_unix)

/* More than the kernel holds: who sends has to wait. */
static int pour(void *arg)
{
    static unsigned char much[FLOOD];

    fill_pattern(much, 0, sizeof much);
    if (t_send(arg, much, sizeof much))
        finish(arg);
    return 0;
}

static int drink(void *arg)
{
    static unsigned char buf[FLOOD / 7];
    size_t sum = 0;
    ssize_t n;

    while ((n = t_recv(arg, buf, sizeof buf, 0)) > 0) {
        require(is_pattern(buf, sum, (size_t)n), "bytes lost or doubled");
        sum += (size_t)n;
        krait_yield();
    }
    require(sum == FLOOD || given_up(), "bytes lost at the end");
    return 0;
}

static int flood(void *unused)
{
    krait_sock *pair[2];
    krait_fiber *from, *to;
    int room = 4096;

    (void)unused;
    if (!t_pair(SOCK_STREAM, pair))
        return 0;
    t_timeout(pair[1], patience());
    require(__real_setsockopt(krait_fileno(pair[0]), SOL_SOCKET, SO_SNDBUF,
                              &room, sizeof room) == 0,
            "no SO_SNDBUF for the scenario");
    from = t_spawn(pour, pair[0], NULL);
    to = spawn_afar(drink, pair[1]);
    t_join(from);
    t_join(to);
    t_close(pair[0]);
    t_close(pair[1]);
    return 0;
}

ON_BOTH(flood)
ON_BOTH_BY_TWO(flood)

/* A receive that times out, or is cancelled, has lost nothing. */
static int receive_too_late(void *arg)
{
    char byte = 0;
    ssize_t n;

    t_timeout(arg, .003);
    do
        n = krait_recv(arg, &byte, 1, 0);
    while (!refused(n, "recv", ETIMEDOUT));
    return 0;
}

static int receive_till_cancelled(void *arg)
{
    char byte = 0;
    ssize_t n;

    t_timeout(arg, KRAIT_FOREVER);
    do
        n = krait_recv(arg, &byte, 1, 0);
    while (!refused(n, "recv", ECANCELED));
    return 0;
}

static int too_late(void *unused)
{
    krait_sock *pair[2];
    krait_fiber *f;
    char byte = 0;

    (void)unused;
    if (!t_pair(SOCK_STREAM, pair))
        return 0;
    t_join(spawn_afar(receive_too_late, pair[1]));
    f = spawn_afar(receive_till_cancelled, pair[1]);
    t_join(t_spawn(sleep_a_little, NULL, NULL));
    if (f)
        krait_cancel(f);
    t_join(f);
    if (t_send(pair[0], "x", 1) && t_recv(pair[1], &byte, 1, 0) >= 0)
        require(byte == 'x', "a byte got lost");
    t_close(pair[0]);
    t_close(pair[1]);
    return 0;
}

ON_BOTH(too_late)

/* --- FILEs, messages --------------------------------------------------- */

enum { LINES = 40 };

static int write_lines(void *arg)
{
    FILE *file;
    bool failed = false;

    do
        file = krait_makefile(arg, "w");
    while (!file && again("makefile"));
    for (int i = 0; file && i < LINES && !failed; i++) {
        failed = fprintf(file, "line %d\n", i) < 0 || fflush(file) != 0;
        krait_yield();
    }
    if (failed)
        stop("send");
    if (file && fclose(file) != 0 && !failed)
        stop("fclose");
    finish(arg);
    return 0;
}

/* A failed read loses nothing: after clearerr() it goes on. */
static int next_char(FILE *file)
{
    for (;;) {
        int c = getc(file);

        if (c != EOF || !ferror(file))
            return c;
        if (!again("recv"))
            return EOF;
        clearerr(file);
    }
}

static void expect_lines(FILE *file)
{
    char line[32];

    for (int i = 0; i < LINES && !given_up(); i++) {
        int len = snprintf(line, sizeof line, "line %d\n", i);

        for (int j = 0; j < len && !given_up(); j++)
            require(next_char(file) == line[j] || given_up(),
                    "a line is wrong");
    }
    if (!given_up())
        require(next_char(file) == EOF || given_up(),
                "more came than was written");
}

static int read_lines(void *arg)
{
    FILE *file;

    do
        file = krait_makefile(arg, "rb");
    while (!file && again("makefile"));
    if (!file)
        return -1;
    expect_lines(file);
    if (fclose(file) != 0)
        stop("fclose");
    return 0;
}

static int files(void *unused)
{
    krait_sock *pair[2];
    krait_fiber *writer, *reader;

    (void)unused;
    if (!t_pair(SOCK_STREAM, pair))
        return 0;
    writer = t_spawn(write_lines, pair[0], NULL);
    reader = spawn_afar(read_lines, pair[1]);
    t_join(writer);
    t_join(reader);
    t_close(pair[0]);
    t_close(pair[1]);
    return 0;
}

ON_BOTH(files)

/* Each has its own, even where there is no memory for its line. */
static int fail_and_tell(void *unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++) {
        require(krait_join(krait_self(), NULL) < 0 && errno == EDEADLK,
                "a fiber has joined itself");
        require(strstr(krait_errmsg(), "can't join itself"),
                "a fiber's message is wrong");
        krait_yield();
        require(krait_errno() == EDEADLK, "a fiber's failure is another's");
        require(krait_sleep(-1) < 0 && errno == EINVAL, "a negative time");
        require(strncmp(krait_errmsg(), "sleep: ", 7) == 0,
                "a fiber's message is wrong");
        krait_yield();
    }
    return 0;
}

static int messages(void *unused)
{
    krait_fiber *f[3];

    (void)unused;
    for (int i = 0; i < 3; i++)
        f[i] = t_spawn(fail_and_tell, NULL, NULL);
    for (int i = 0; i < 3; i++)
        t_join(f[i]);
    return 0;
}

ON_BOTH(messages)

/* --- what fibers share ------------------------------------------------- */

enum { ROUNDS = 8 };

static struct shared {
    krait_mutex lock;
    krait_cond turn_changed;
    krait_sem units;
    krait_group all;
    krait_chan *items;
    int turn;
} shared;

static bool locked(void)
{
    int rc;

    do
        rc = krait_mutex_lock(&shared.lock, patience());
    while (rc < 0 && again("mutex_lock"));
    return rc == 0;
}

/* The mutex is held however the wait ends. */
static void take_turns(int mine)
{
    for (int i = 0; i < ROUNDS && locked(); i++) {
        while (shared.turn % 2 != mine && !given_up())
            if (krait_cond_wait(&shared.turn_changed, &shared.lock,
                                patience()) < 0)
                again("cond_wait");
        shared.turn++;
        krait_cond_signal(&shared.turn_changed);
        require(krait_mutex_unlock(&shared.lock) == 0,
                "the mutex is not held after krait_cond_wait");
    }
}

static int give(void *unused)
{
    int rc = 0;

    (void)unused;
    take_turns(0);
    for (int i = 0; i < ROUNDS && rc == 0; i++) {
        do
            rc = krait_chan_send(shared.items, &i, patience());
        while (rc < 0 && again("chan_send"));
        krait_sem_post(&shared.units);
    }
    krait_chan_close(shared.items);
    krait_group_done(&shared.all);
    return 0;
}

static int get(void *unused)
{
    int item = -1, rc, n = 0;

    (void)unused;
    take_turns(1);
    for (;;) {
        do
            rc = krait_sem_wait(&shared.units, n < ROUNDS ? patience() : 0);
        while (rc < 0 && n < ROUNDS && again("sem_wait"));
        do
            rc = krait_chan_recv(shared.items, &item, patience());
        while (rc < 0 && again("chan_recv"));
        if (rc <= 0)
            break;
        require(item == n++, "an item got lost");
    }
    require(n == ROUNDS || given_up(), "items got lost");
    krait_group_done(&shared.all);
    return 0;
}

static int wait_for_all(void *unused)
{
    int rc;

    (void)unused;
    do
        rc = krait_group_wait(&shared.all, patience());
    while (rc < 0 && again("group_wait"));
    return rc;
}

static int sharing(void *unused)
{
    krait_fiber *f[3];

    (void)unused;
    shared = (struct shared){.turn = 0};
    do
        shared.items = krait_chan_new(sizeof(int), 2);
    while (!shared.items && again("chan_new"));
    if (!shared.items)
        return 0;
    krait_group_add(&shared.all, 2);
    f[0] = t_spawn(wait_for_all, NULL, NULL);
    f[1] = t_spawn(give, NULL, NULL);
    f[2] = spawn_afar(get, NULL);
    for (int i = 0; i < 3; i++)
        t_join(f[i]);
    krait_chan_free(shared.items);
    return 0;
}

ON_BOTH(sharing)
ON_BOTH_BY_TWO(sharing)

/* --- helpers ----------------------------------------------------------- */

static int block(void *arg)
{
    static const struct timespec moment = {0, 1000 * 1000};

    nanosleep(&moment, NULL);
    return (int)(intptr_t)arg;
}

static int call_blocking(void *arg)
{
    int rc;

    do
        rc = krait_blocking(block, arg);
    while (rc < 0 && again("blocking"));
    require(rc == (int)(intptr_t)arg || given_up(),
            "krait_blocking returns another result");
    return 0;
}

static int resolve(void *unused)
{
    krait_addr localhost = krait_inet("localhost", 80), found[4];
    int rc;

    (void)unused;
    do
        rc = krait_addr_resolve(localhost, AF_INET, patience(), found, 4);
    while (rc < 0 && again("resolve"));
    require(rc > 0 || given_up(), "localhost has no address");
    return 0;
}

static int helped(void *unused)
{
    krait_fiber *f[3];

    (void)unused;
    f[0] = t_spawn(call_blocking, (void *)(intptr_t)3, NULL);
    f[1] = spawn_afar(call_blocking, (void *)(intptr_t)4);
    f[2] = t_spawn(resolve, NULL, NULL);
    for (int i = 0; i < 3; i++)
        t_join(f[i]);
    return 0;
}

ON_BOTH(helped)

/* --- fds, children ----------------------------------------------------- */

/* With a number that asks for room. */
static void make_pipe(int fds[2])
{
    int far;

    require(pipe(fds) == 0, "no pipe for the scenario");
    far = __real_fcntl(fds[0], F_DUPFD_CLOEXEC, 200);
    require(far >= 0, "no fd for the scenario");
    __real_close(fds[0]);
    fds[0] = far;
    require(__real_fcntl(fds[1], F_SETFD, FD_CLOEXEC) == 0, "no FD_CLOEXEC");
}

static int wait_readable(void *arg)
{
    int rc;

    do
        rc = krait_wait_fd(*(int *)arg, POLLIN, patience());
    while (rc < 0 && again("wait_fd"));
    require(rc == POLLIN || given_up(), "the wrong events came");
    return 0;
}

/* With what only poll(2) knows: io_uring's word is looked at again. */
static int wait_urgent(void *arg)
{
    int rc;

    do
        rc = krait_wait_fd(*(int *)arg, POLLIN | POLLPRI, patience());
    while (rc < 0 && again("wait_fd"));
    require(rc == POLLIN || given_up(), "the wrong events came");
    return 0;
}

/* A plain file is never ready for that. */
static int wait_in_vain(void *unused)
{
    int fd = __real_open("/proc/self/exe", O_RDONLY | O_CLOEXEC), rc;

    (void)unused;
    require(fd >= 0, "no file for the scenario");
    do
        rc = krait_wait_fd(fd, POLLPRI, .002);
    while (!refused(rc, "wait_fd", ETIMEDOUT));
    __real_close(fd);
    return 0;
}

/* Ends when its stdin does. posix_spawn(3): no handler of forks has a part. */
static pid_t start_child(int in)
{
    char *const words[] = {"sh", "-c", "read x; exit 7", NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    require(posix_spawn(&pid, "/bin/sh", &actions, NULL, words, NULL) == 0,
            "no child for the scenario");
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static int wait_child(void *arg)
{
    pid_t pid = start_child(*(int *)arg);
    int status = 0, rc;

    do
        rc = krait_wait_child(pid, &status, patience());
    while (rc < 0 && again("wait_child"));
    if (rc == 0)
        require(WIFEXITED(status) && WEXITSTATUS(status) == 7,
                "the child's status is wrong");
    else if (kill(pid, SIGKILL) == 0)
        waitpid(pid, &status, 0);
    return 0;
}

/* The others wait by now. */
static int close_late(void *arg)
{
    sleep_a_little(NULL);
    require(write(*(int *)arg, "\n", 1) == 1, "a pipe is full");
    return 0;
}

static int fds_and_children(void *unused)
{
    int data[2], in[2];
    krait_fiber *f[6];

    (void)unused;
    make_pipe(data);
    make_pipe(in);
    f[0] = t_spawn(wait_readable, &data[0], NULL);
    f[1] = t_spawn(wait_urgent, &data[0], NULL);
    f[2] = t_spawn(wait_in_vain, NULL, NULL);
    f[3] = t_spawn(wait_child, &in[0], NULL);
    f[4] = t_spawn(close_late, &data[1], NULL);
    f[5] = t_spawn(close_late, &in[1], NULL);
    for (int i = 4; i < 6; i++)
        if (!f[i])
            close_late(i == 4 ? &data[1] : &in[1]);
    for (int i = 0; i < 6; i++)
        t_join(f[i]);
    for (int i = 0; i < 2; i++) {
        __real_close(data[i]);
        __real_close(in[i]);
    }
    return 0;
}

ON_BOTH(fds_and_children)

/* More for one fd, and at a time, than a ring has room for: half of them are
 * cancelled, the others see it become readable. */
enum { CROWD = 300 };

static int wait_till_cancelled(void *arg)
{
    int rc;

    do
        rc = krait_wait_fd(*(int *)arg, POLLIN, KRAIT_FOREVER);
    while (!refused(rc, "wait_fd", ECANCELED));
    return 0;
}

static int crowd(void *unused)
{
    krait_fiber *stays[CROWD / 10], *goes[CROWD];
    int data[2];

    (void)unused;
    make_pipe(data);
    for (int i = 0; i < CROWD; i++)
        goes[i] = t_spawn(wait_till_cancelled, &data[0], NULL);
    for (int i = 0; i < CROWD / 10; i++)
        stays[i] = t_spawn(wait_readable, &data[0], NULL);
    krait_yield();
    for (int i = 0; i < CROWD; i++)
        if (goes[i])
            krait_cancel(goes[i]);
    for (int i = 0; i < CROWD; i++)
        t_join(goes[i]);
    require(write(data[1], "\n", 1) == 1, "a pipe is full");
    for (int i = 0; i < CROWD / 10; i++)
        t_join(stays[i]);
    __real_close(data[0]);
    __real_close(data[1]);
    return 0;
}

ON_BOTH(crowd)

/* --- the watchdog ------------------------------------------------------ */

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int compute(void *unused)
{
    krait_stats stats = {0};
    double end = seconds() + 6;

    (void)unused;
    while (stats.stalls == 0 && seconds() < end)
        require(krait_runtime_stats(&stats) == 0, "krait_runtime_stats failed");
    require(stats.stalls > 0, "the watchdog has seen nothing");
    return 0;
}

static int watched(void *unused)
{
    (void)unused;
    t_join(t_spawn(compute, NULL,
                   &(krait_spawn_options){.name = "a fiber that computes"}));
    return 0;
}

RUN(watched_epoll, watched, .workers = 1, .engine = KRAIT_ENGINE_EPOLL,
    .watchdog = .002)
RUN(watched_uring, watched, .workers = 1, .engine = KRAIT_ENGINE_URING,
    .watchdog = .002)

/* ----------------------------------------------------------------------- */

#define BOTH(body) \
    {#body "_epoll", body##_epoll, FIBERS}, \
    { \
#body "_uring", body##_uring, FIBERS | NEEDS_URING \
    }
#define BOTH_BY_TWO(body) \
    {#body "_epoll2", body##_epoll2, FIBERS}, \
    { \
#body "_uring2", body##_uring2, FIBERS | NEEDS_URING \
    }

const struct scenario fiber_scenarios[] = {
    {"defaults", defaults, FIBERS},
    BOTH(nothing),
    BOTH_BY_TWO(nothing),
    BOTH(family),
    BOTH_BY_TWO(family),
    {"old_guards", old_guards, FIBERS},
    BOTH(orphans),
    BOTH_BY_TWO(orphans),
    BOTH(sleepers),
    BOTH(talk_tcp),
    BOTH_BY_TWO(talk_tcp),
    BOTH(talk_unix),
    BOTH(flood),
    BOTH_BY_TWO(flood),
    BOTH(too_late),
    BOTH(files),
    BOTH(messages),
    BOTH(sharing),
    BOTH_BY_TWO(sharing),
    BOTH(helped),
    BOTH(fds_and_children),
    BOTH(crowd),
    BOTH(watched),
};

const size_t fiber_count = sizeof fiber_scenarios / sizeof *fiber_scenarios;
