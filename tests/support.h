/* SPDX-License-Identifier: MIT
 *
 * support.h - what all of Krait's tests share: a runner that stamps a test for
 * several transports, things that are given back when a test ends however it
 * ends, tasks that can be watched until they wait, and checks of errors. A task
 * is a thread, or a fiber: flow_support.h tells which.
 *
 * Rules that hold in every test:
 *
 *   - What a test makes it hands to own_...() at once. When the test ends,
 *     failed assertions included (they longjmp), the sockets are interrupted,
 *     the tasks joined, and everything is closed. Then the number of fds and
 *     of threads must be what it was before: a leak fails the test.
 *   - Nobody sleeps until "it must have happened by now": wait_for() and
 *     wait_until_blocked() look until it has, and fail after a long while.
 *   - Assertions are made in the test's own flow only, for they longjmp. A task
 *     leaves what it saw in its struct, and the test looks at that.
 *   - A test that hangs is ended by SIGALRM, with its name.
 *
 * Header only, so that each test is one file and one executable.
 */
#ifndef KRAIT_TESTS_SUPPORT_H
#define KRAIT_TESTS_SUPPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* After the headers that it needs and doesn't include. */
#include <cmocka.h>

#include "flow_support.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A test may take this long before it counts as hanging: far above what the
 * slowest takes, and below the limit that ctest sets for its program, so that
 * its name is said. */
#define TEST_SECONDS 50

/* How long to look for something that is about to happen. */
#define PATIENCE 30.0

/* --- time -------------------------------------------------------------- */

static inline double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* CPU seconds that this process has used, all its threads together. */
static inline double cpu_time(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Looks until `seen(arg)`, for PATIENCE at most. */
static inline bool wait_for(bool (*seen)(void *arg), void *arg)
{
    double end = now() + PATIENCE;

    while (!seen(arg)) {
        if (now() > end)
            return false;
        nap(0.0005);
    }
    return true;
}

static inline bool fd_is_readable(void *fd)
{
    struct pollfd p = {.fd = *(int *)fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* --- checks ------------------------------------------------------------ */

/* -1 with this errno, which krait_errno() remembers and krait_errmsg() can
 * put into words. */
#define assert_fails(call, error) \
    check_fails((intmax_t)(call), (error), #call, __FILE__, __LINE__)

/* NULL with this errno, likewise. */
#define assert_null_with(call, error) \
    check_fails((call) ? 0 : -1, (error), #call, __FILE__, __LINE__)

/* 0 or more; says why where it isn't. */
#define assert_works(call) \
    check_works((intmax_t)(call), #call, __FILE__, __LINE__)

#define assert_contains(text, part) \
    check_contains((text), (part), __FILE__, __LINE__)

static inline void check_fails(intmax_t rc, int error, const char *call,
                               const char *file, int line)
{
    int seen = errno;

    if (rc != -1) {
        print_error("%s: %jd, not a failure\n", call, rc);
        _fail(file, line);
    }
    if (seen != error || krait_errno() != error) {
        print_error("%s: errno %d, krait_errno %d (%s), wanted %d (%s)\n", call,
                    seen, krait_errno(), krait_errmsg(), error,
                    strerror(error));
        _fail(file, line);
    }
    if (krait_errdomain() == KRAIT_ERROR_NONE || !*krait_errmsg()) {
        print_error("%s: nothing is said about the failure\n", call);
        _fail(file, line);
    }
}

static inline intmax_t check_works(intmax_t rc, const char *call,
                                   const char *file, int line)
{
    if (rc >= 0)
        return rc;
    print_error("%s: %jd: %s\n", call, rc, krait_errmsg());
    _fail(file, line);
    return rc;
}

static inline void check_contains(const char *text, const char *part,
                                  const char *file, int line)
{
    if (text && strstr(text, part))
        return;
    print_error("\"%s\" is not in \"%s\"\n", part, text ? text : "NULL");
    _fail(file, line);
}

/* --- skipping ---------------------------------------------------------- */

static unsigned skipped__; /* tests that the machine could not run */

/* Ends the test as skipped, saying what this machine lacks. Never returns. */
static inline void skip_because(const char *reason)
{
    skipped__++;
    print_message("skipped: %s\n", reason);
    skip();
}

/* TSan kills a forked child that starts a thread where its parent had some. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* Valgrind runs one thread at a time, and everything thirty times slower. */
static inline bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload && strstr(preload, "/vgpreload_");
}

static inline void needs_threads_after_fork(void)
{
    if (UNDER_TSAN)
        skip_because("ThreadSanitizer allows no thread in a forked child");
}

/* --- what a test owns -------------------------------------------------- */

#define OWN_MAX 2048

struct task;

static struct {
    pthread_mutex_t lock; /* threads of a test may own things too */
    krait_sock *socks[OWN_MAX];
    krait_server *servers[OWN_MAX];
    struct task *tasks[OWN_MAX];
    void *blocks[OWN_MAX];
    char *paths[OWN_MAX];
    int fds[OWN_MAX]; /* the fd and 1, so that 0 is free */
    unsigned fds_before, threads_before;
    char scratch[128]; /* a folder of this process */
} own__ = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void own_slot_is(bool found)
{
    if (!found) {
        fprintf(stderr, "support.h: OWN_MAX is too small\n");
        abort();
    }
}

static inline void own_put(void **slots, void *thing)
{
    size_t i;

    pthread_mutex_lock(&own__.lock);
    for (i = 0; i < OWN_MAX && slots[i]; i++)
        ;
    own_slot_is(i < OWN_MAX);
    slots[i] = thing;
    pthread_mutex_unlock(&own__.lock);
}

static inline void own_drop(void **slots, const void *thing)
{
    size_t i;

    pthread_mutex_lock(&own__.lock);
    for (i = 0; i < OWN_MAX; i++)
        if (slots[i] == thing)
            slots[i] = NULL;
    pthread_mutex_unlock(&own__.lock);
}

/* The test's own socket from now on. Fails the test where it is NULL. */
static inline krait_sock *own(krait_sock *s)
{
    if (!s) {
        print_error("no socket: %s\n", krait_errmsg());
        fail();
    }
    own_put((void **)own__.socks, s);
    return s;
}

/* Closes what own() was given. */
static inline int shut(krait_sock *s)
{
    own_drop((void **)own__.socks, s);
    return krait_close(s);
}

/* Somebody else closes it now. */
static inline krait_sock *disown(krait_sock *s)
{
    own_drop((void **)own__.socks, s);
    return s;
}

static inline krait_server *own_server(krait_server *server)
{
    if (!server) {
        print_error("no server: %s\n", krait_errmsg());
        fail();
    }
    own_put((void **)own__.servers, server);
    return server;
}

static inline int shut_server(krait_server *server)
{
    own_drop((void **)own__.servers, server);
    return krait_server_close(server);
}

static inline int own_fd(int fd)
{
    size_t i;

    assert_true(fd >= 0);
    for (i = 0; i < OWN_MAX && own__.fds[i]; i++)
        ;
    own_slot_is(i < OWN_MAX);
    own__.fds[i] = fd + 1;
    return fd;
}

/* Forgets an fd that somebody else has closed or will close. */
static inline int disown_fd(int fd)
{
    size_t i;

    for (i = 0; i < OWN_MAX; i++)
        if (own__.fds[i] == fd + 1)
            own__.fds[i] = 0;
    return fd;
}

/* Memory that is freed when the test ends; zeroed. */
static inline void *own_block(size_t size)
{
    void *block = calloc(1, size);

    assert_non_null(block);
    own_put(own__.blocks, block);
    return block;
}

/* A new path in this process's folder, removed when the test ends. */
static inline const char *own_path(const char *name)
{
    size_t size = sizeof own__.scratch + strlen(name) + 2;
    char *path = (char *)malloc(size);

    assert_non_null(path);
    snprintf(path, size, "%s/%s", own__.scratch, name);
    unlink(path);
    own_put((void **)own__.paths, path);
    return path;
}

/* --- tasks that can be watched ------------------------------------------ */

struct task {
    void (*run)(void *arg);
    void *arg;
    krait_fiber *fiber; /* NULL: a thread */
    pthread_t thread;
    atomic_int tid; /* of the thread that runs it */
    atomic_int done;
    bool joined;
};

static inline int run_task(void *arg)
{
    struct task *task = (struct task *)arg;

    atomic_store(&task->tid, (int)syscall(SYS_gettid));
    task->run(task->arg);
    atomic_store(&task->done, 1);
    return 0;
}

static inline void *task_main(void *arg)
{
    run_task(arg);
    return NULL;
}

static inline struct task *start_on(bool fiber, void (*run)(void *arg),
                                    void *arg)
{
    struct task *task = (struct task *)calloc(1, sizeof *task);
    bool started;

    assert_non_null(task);
    task->run = run;
    task->arg = arg;
    if (fiber)
        started = (task->fiber = spawn_by_turns(run_task, task)) != NULL;
    else
        started = pthread_create(&task->thread, NULL, task_main, task) == 0;
    if (!started) {
        free(task);
        fail_msg("no thread or fiber");
    }
    own_put((void **)own__.tasks, task);
    return task;
}

/* Runs `run(arg)` in a thread or fiber, as the flow has it, which is joined at
 * the end of the test. */
static inline struct task *start(void (*run)(void *arg), void *arg)
{
    return start_on(in_fibers(), run, arg);
}

/* In a thread, whatever the flow. */
static inline struct task *start_thread(void (*run)(void *arg), void *arg)
{
    return start_on(false, run, arg);
}

static inline bool is_done(void *task)
{
    return atomic_load(&((struct task *)task)->done);
}

static inline void join(struct task *task)
{
    if (task->joined)
        return;
    task->joined = true;
    if (task->fiber) {
        join_fiber(task->fiber);
        return;
    }
    /* The thread may wait for fibers of the caller's worker. */
    while (is_fiber() && !is_done(task))
        nap(0.0005);
    pthread_join(task->thread, NULL);
}

/* Whether the task itself is the caller. */
static inline bool runs_here(struct task *task)
{
    if (task->fiber)
        return krait_self() == task->fiber;
    return !is_fiber() && atomic_load(&task->tid) == (int)syscall(SYS_gettid);
}

/* Joins and forgets a task before the test ends, where it has very many. */
static inline void join_and_forget(struct task *task)
{
    join(task);
    own_drop((void **)own__.tasks, task);
    free(task);
}

/* To a thread, by its number; where it is 0, not yet known, to nobody. */
static inline void signal_thread(atomic_int *tid, int signo)
{
    int to = atomic_load(tid);

    if (to)
        syscall(SYS_tgkill, getpid(), to, signo);
}

/* To the thread that runs the task: a fiber's worker. */
static inline void signal_task(struct task *task, int signo)
{
    signal_thread(&task->tid, signo);
}

/* A hail of signals on a thread. It comes from a thread: a fiber could share
 * its thread with who waits, and would never find it waiting. */
struct hail {
    atomic_int *tid;
    int signo;
    atomic_int stop;
    struct task *task;
};

static inline void do_hail(void *arg)
{
    struct hail *hail = (struct hail *)arg;

    while (!atomic_load(&hail->stop)) {
        signal_thread(hail->tid, hail->signo);
        nap(0.0005);
    }
}

static inline void begin_hail(struct hail *hail, atomic_int *tid, int signo)
{
    hail->tid = tid;
    hail->signo = signo;
    atomic_store(&hail->stop, 0);
    hail->task = start_thread(do_hail, hail);
}

static inline void end_hail(struct hail *hail)
{
    atomic_store(&hail->stop, 1);
    join(hail->task);
}

/* Signals the task until it has ended. */
static inline void hail_until_done(struct task *task, int signo)
{
    struct hail *hail = (struct hail *)own_block(sizeof *hail);
    bool done;

    begin_hail(hail, &task->tid, signo);
    done = wait_for(is_done, task);
    end_hail(hail);
    if (!done)
        fail_msg("no signal ends the task");
}

static inline bool is_waiting_call(long number)
{
    static const long waiting[] = {
#ifdef SYS_poll
        SYS_poll,
#endif
#ifdef SYS_select
        SYS_select,
#endif
#ifdef SYS_epoll_wait
        SYS_epoll_wait,
#endif
#ifdef SYS_epoll_pwait2
        SYS_epoll_pwait2,
#endif
#ifdef SYS_io_uring_enter
        SYS_io_uring_enter,
#endif
        SYS_ppoll,          SYS_pselect6,        SYS_epoll_pwait,
        SYS_nanosleep,      SYS_clock_nanosleep,
    };
    size_t i;

    for (i = 0; i < COUNT(waiting); i++)
        if (waiting[i] == number)
            return true;
    return false;
}

/* What a thread does, from /proc: the system call that it sleeps in. Where
 * the kernel doesn't tell (-2), whether it sleeps at all. */
static inline long sleeping_call(int tid)
{
    char path[64], text[256];
    char *end;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -2;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return -2;
    text[n] = '\0';
    n = (ssize_t)strtol(text, &end, 10);
    return end == text ? -1 : (long)n; /* "running" */
}

static inline bool sleeps_somewhere(int tid)
{
    char path[64], text[256];
    const char *state;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    state = strrchr(text, ')');
    return state && state[1] && state[2] == 'S';
}

static inline bool is_blocked(void *arg)
{
    struct task *task = (struct task *)arg;
    int tid = atomic_load(&task->tid);
    long call;

    if (atomic_load(&task->done))
        return true; /* it never will be: let the test say what it got */
    if (task->fiber)
        return fiber_waits(task->fiber);
    if (!tid)
        return false;
    call = sleeping_call(tid);
    return call == -2 ? sleeps_somewhere(tid) : is_waiting_call(call);
}

/* Looks until the task waits for something other than a lock. */
static inline void wait_until_blocked(struct task *task)
{
    if (!wait_for(is_blocked, task))
        fail_msg("the task doesn't wait");
    if (is_done(task))
        fail_msg("the task has ended instead of waiting");
}

/* One call of Krait's, made in a task. */
struct call {
    krait_sock *sock;
    void *buf;
    size_t len;
    int flags;
    krait_addr addr;
    ssize_t rc;
    int err; /* errno, where it failed */
    int domain;
    double took;
    krait_sock *accepted;
    struct task *task;
};

static inline void call_ended(struct call *call, ssize_t rc, double since)
{
    call->err = rc < 0 ? errno : 0;
    call->rc = rc;
    call->domain = rc < 0 ? (int)krait_errdomain() : KRAIT_ERROR_NONE;
    call->took = now() - since;
}

static inline void do_recv(void *arg)
{
    struct call *c = (struct call *)arg;
    double since = now();

    call_ended(c, krait_recv(c->sock, c->buf, c->len, c->flags), since);
}

static inline void do_recv_exactly(void *arg)
{
    struct call *c = (struct call *)arg;
    double since = now();

    call_ended(c, krait_recv_exactly(c->sock, c->buf, c->len, NULL), since);
}

static inline void do_recvfrom(void *arg)
{
    struct call *c = (struct call *)arg;
    double since = now();

    call_ended(c, krait_recvfrom(c->sock, c->buf, c->len, c->flags, &c->addr),
               since);
}

static inline void do_send(void *arg)
{
    struct call *c = (struct call *)arg;
    double since = now();

    call_ended(c, krait_send(c->sock, c->buf, c->len, c->flags), since);
}

static inline void do_sendall(void *arg)
{
    struct call *c = (struct call *)arg;
    double since = now();

    call_ended(c, krait_sendall(c->sock, c->buf, c->len, c->flags), since);
}

static inline void do_sendto(void *arg)
{
    struct call *c = (struct call *)arg;
    double since = now();

    call_ended(c, krait_sendto(c->sock, c->buf, c->len, c->flags, c->addr),
               since);
}

static inline void do_connect(void *arg)
{
    struct call *c = (struct call *)arg;
    double since = now();

    call_ended(c, krait_connect(c->sock, c->addr), since);
}

static inline void do_accept(void *arg)
{
    struct call *c = (struct call *)arg;
    double since = now();

    c->accepted = krait_accept(c->sock, &c->addr);
    call_ended(c, c->accepted ? 0 : -1, since);
}

/* Starts the call in a task and waits until it waits. */
static inline void call_and_block(struct call *call, void (*run)(void *))
{
    call->task = start(run, call);
    wait_until_blocked(call->task);
}

/* The same for sending more than fits: waits until some of it is sent, too. A
 * fiber may wait before the kernel has been told what for. */
static inline void send_and_block(struct call *call, void (*run)(void *),
                                  krait_sock *peer)
{
    int fd = krait_fileno(peer);

    call_and_block(call, run);
    if (!wait_for(fd_is_readable, &fd))
        fail_msg("nothing is sent");
}

/* A call that has been started must have failed with `error`. */
#define assert_call_fails(call, error) \
    check_call_fails((call), (error), __FILE__, __LINE__)

static inline void check_call_fails(struct call *call, int error,
                                    const char *file, int line)
{
    join(call->task);
    if (call->rc == -1 && call->err == error)
        return;
    print_error("the call gave %zd, errno %d (%s), wanted errno %d\n", call->rc,
                call->err, strerror(call->err), error);
    _fail(file, line);
}

/* --- transports -------------------------------------------------------- */

struct transport {
    const char *name;
    unsigned bit;
    int family, type;
};

enum {
    ONCE = 0, /* a test that takes no transport */
    UNIX_STREAM = 1 << 0,
    ABSTRACT_STREAM = 1 << 1,
    INET_STREAM = 1 << 2,
    INET6_STREAM = 1 << 3,
    UNIX_DGRAM = 1 << 4,
    ABSTRACT_DGRAM = 1 << 5,
    INET_DGRAM = 1 << 6,
    INET6_DGRAM = 1 << 7,
    UNIX_SEQPACKET = 1 << 8,
    ABSTRACT_SEQPACKET = 1 << 9,

    STREAMS = UNIX_STREAM | ABSTRACT_STREAM | INET_STREAM | INET6_STREAM,
    DGRAMS = UNIX_DGRAM | ABSTRACT_DGRAM | INET_DGRAM | INET6_DGRAM,
    SEQPACKETS = UNIX_SEQPACKET | ABSTRACT_SEQPACKET,
    CONNECTIONS = STREAMS | SEQPACKETS,
    MESSAGES = DGRAMS | SEQPACKETS,
    EVERY = STREAMS | DGRAMS | SEQPACKETS,
};

/* Bits that are no transport: how a Unix name is made. */
#define ABSTRACT (ABSTRACT_STREAM | ABSTRACT_DGRAM | ABSTRACT_SEQPACKET)

static const struct transport transports[] = {
    {"unix stream", UNIX_STREAM, AF_UNIX, SOCK_STREAM},
    {"abstract stream", ABSTRACT_STREAM, AF_UNIX, SOCK_STREAM},
    {"inet stream", INET_STREAM, AF_INET, SOCK_STREAM},
    {"inet6 stream", INET6_STREAM, AF_INET6, SOCK_STREAM},
    {"unix dgram", UNIX_DGRAM, AF_UNIX, SOCK_DGRAM},
    {"abstract dgram", ABSTRACT_DGRAM, AF_UNIX, SOCK_DGRAM},
    {"inet dgram", INET_DGRAM, AF_INET, SOCK_DGRAM},
    {"inet6 dgram", INET6_DGRAM, AF_INET6, SOCK_DGRAM},
    {"unix seqpacket", UNIX_SEQPACKET, AF_UNIX, SOCK_SEQPACKET},
    {"abstract seqpacket", ABSTRACT_SEQPACKET, AF_UNIX, SOCK_SEQPACKET},
};

/* The transport that this run of a stamped test is for. */
static inline const struct transport *transport_of(void **state)
{
    return (const struct transport *)*state;
}

static inline const struct transport *transport_named(unsigned bit)
{
    size_t i;

    for (i = 0; i < COUNT(transports) - 1; i++)
        if (transports[i].bit == bit)
            break;
    return &transports[i];
}

/* An address to bind to that nobody else has. */
static inline krait_addr fresh_address(const struct transport *t)
{
    static unsigned number;
    char name[64];

    number++;
    if (t->family == AF_INET)
        return krait_inet("127.0.0.1", 0);
    if (t->family == AF_INET6)
        return krait_inet("::1", 0);
    if (t->bit & ABSTRACT) {
        snprintf(name, sizeof name, "@krait-test-%d-%u", (int)getpid(), number);
        return krait_unix(name);
    }
    snprintf(name, sizeof name, "s%u", number);
    return krait_unix(own_path(name));
}

/* A socket bound to an address of its own. Skips what the machine lacks. */
static inline krait_sock *bound(const struct transport *t)
{
    krait_sock *s = krait_socket(t->family, t->type, 0);

    if (!s && t->family == AF_INET6 && errno == EAFNOSUPPORT)
        skip_because("this kernel has no IPv6");
    own(s);
    if (krait_bind(s, fresh_address(t)) == 0)
        return s;
    if (t->family == AF_INET6 && errno == EADDRNOTAVAIL)
        skip_because("the loopback interface has no IPv6 address");
    fail_msg("%s", krait_errmsg());
    return s;
}

static inline krait_sock *listener(const struct transport *t)
{
    krait_sock *s = bound(t);

    assert_works(krait_listen(s, KRAIT_BACKLOG));
    return s;
}

/* A socket that isn't bound or connected. */
static inline krait_sock *fresh(const struct transport *t)
{
    return own(krait_socket(t->family, t->type, 0));
}

/* Two ends that talk to each other: pair[0] has connected, pair[1] was
 * accepted; of datagrams both are bound, and connected to each other. */
static inline void connect_pair(const struct transport *t, krait_sock *pair[2])
{
    krait_sock *first = t->type == SOCK_DGRAM ? bound(t) : listener(t);

    if (t->type == SOCK_DGRAM) {
        pair[0] = bound(t);
        pair[1] = first;
        assert_works(krait_connect(pair[0], krait_getsockname(pair[1])));
        assert_works(krait_connect(pair[1], krait_getsockname(pair[0])));
        return;
    }
    pair[0] = fresh(t);
    assert_works(krait_connect(pair[0], krait_getsockname(first)));
    pair[1] = own(krait_accept(first, NULL));
    shut(first);
}

/* Two ends of a socketpair: where the transport doesn't matter. */
static inline void any_pair(krait_sock *pair[2])
{
    assert_works(krait_socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    own(pair[0]);
    own(pair[1]);
}

/* A listener whose queue is full, so that the next connect has to wait: with
 * a backlog of 0 the kernel holds one connection. */
static inline krait_sock *full_listener(const struct transport *t)
{
    krait_sock *s = bound(t), *first = fresh(t);
    int fd = krait_fileno(s);

    assert_works(krait_listen(s, 0));
    assert_works(krait_connect(first, krait_getsockname(s)));
    assert_true(wait_for(fd_is_readable, &fd));
    return s;
}

/* Sends until the kernel takes no more; tells how many bytes it took. */
static inline size_t fill(krait_sock *s)
{
    char block[4096] = {0};
    size_t sum = 0;
    ssize_t n;

    while ((n = krait_send(s, block, sizeof block, MSG_DONTWAIT)) > 0)
        sum += (size_t)n;
    assert_int_equal(errno, EAGAIN);
    return sum;
}

/* Makes closing this TCP socket a reset instead of an orderly end. */
static inline void reset_on_close(krait_sock *s)
{
    struct linger now_and_hard = {.l_onoff = 1, .l_linger = 0};

    assert_works(krait_setsockopt_buf(s, SOL_SOCKET, SO_LINGER, &now_and_hard,
                                      sizeof now_and_hard));
}

/* Many wait on one end: each byte, a message of its own where it has edges,
 * goes to exactly one of them. */
static inline void check_each_reader_gets_one(const struct transport *t)
{
    enum { READERS = 8 };
    struct call calls[READERS];
    char bytes[READERS];
    krait_sock *pair[2];
    unsigned seen = 0;
    int i;

    connect_pair(t, pair);
    memset(calls, 0, sizeof calls);
    for (i = 0; i < READERS; i++) {
        calls[i].sock = pair[1];
        calls[i].buf = &bytes[i];
        calls[i].len = 1;
        call_and_block(&calls[i], do_recv);
    }
    for (i = 0; i < READERS; i++) {
        char byte = (char)i;

        assert_works(krait_sendall(pair[0], &byte, 1, 0));
    }
    for (i = 0; i < READERS; i++) {
        join(calls[i].task);
        assert_int_equal(calls[i].rc, 1);
        seen |= 1u << bytes[i];
    }
    assert_int_equal(seen, (1u << READERS) - 1);
}

/* Bytes that differ from place to place, to see that none is lost, doubled
 * or moved. */
static inline unsigned char pattern(size_t at)
{
    return (unsigned char)((at * 2654435761u) >> 16 ^ at);
}

static inline unsigned char *patterned(size_t len)
{
    unsigned char *block = (unsigned char *)own_block(len);
    size_t i;

    for (i = 0; i < len; i++)
        block[i] = pattern(i);
    return block;
}

/* --- running ----------------------------------------------------------- */

struct test {
    const char *name;
    CMUnitTestFunction body;
    unsigned stamps; /* the transports to run it for, or ONCE */
};

#define TEST(f) #f, f

static const char *running__ = "?"; /* what SIGALRM names */

/* Entries of a folder in /proc that count. */
static inline unsigned count_entries(const char *folder,
                                     bool (*counts)(const char *name))
{
    DIR *d = opendir(folder);
    unsigned n = 0;
    struct dirent *e;

    if (!d)
        return 0;
    while ((e = readdir(d)))
        n += e->d_name[0] != '.' && counts(e->d_name);
    closedir(d);
    return n;
}

static inline bool is_any(const char *name)
{
    (void)name;
    return true;
}

static inline unsigned count_fds(void)
{
    unsigned n = count_entries("/proc/self/fd", is_any);

    return n ? n - 1 : 0; /* the one that looks */
}

/* The kernel's own for io_uring ("iou-wrk-...") come and go as it likes. */
static inline bool is_a_program_s_thread(const char *tid)
{
    char path[288], name[4] = "";
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%s/comm", tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false; /* gone meanwhile */
    if (read(fd, name, sizeof name) < 0)
        name[0] = '\0';
    close(fd);
    return memcmp(name, "iou-", sizeof name) != 0;
}

static inline unsigned count_threads(void)
{
    return count_entries("/proc/self/task", is_a_program_s_thread);
}

static inline bool fds_are_back(void *before)
{
    return count_fds() <= *(unsigned *)before;
}

/* What the caller has closed is closed. Of an fd that others waited on as well
 * the last to leave closes it, and with fibers that may be another worker, a
 * moment later. */
static inline void check_fds(unsigned before)
{
    if (in_fibers())
        wait_for(fds_are_back, &before);
    assert_int_equal(count_fds(), before);
}

/* A joined thread stays in /proc for a moment. */
static inline bool nothing_is_left(void *unused)
{
    (void)unused;
    return count_fds() <= own__.fds_before &&
           count_threads() <= own__.threads_before;
}

static inline void count_before(void)
{
    own__.fds_before = count_fds();
    own__.threads_before = count_threads();
}

static inline bool leaks(void)
{
    if (wait_for(nothing_is_left, NULL))
        return false;
    print_error("a leak: %u fds (%u before), %u threads (%u before)\n",
                count_fds(), own__.fds_before, count_threads(),
                own__.threads_before);
    return true;
}

static inline void on_alarm(int signo)
{
    ssize_t ignored;

    (void)signo;
    ignored = write(STDERR_FILENO, "\nhangs: ", 8);
    ignored = write(STDERR_FILENO, running__, strlen(running__));
    ignored = write(STDERR_FILENO, "\n", 1);
    (void)ignored;
    _exit(1);
}

static inline int before_test(void **state)
{
    (void)state;
    count_before();
    alarm(TEST_SECONDS);
    return 0;
}

static inline void give_back_all(void)
{
    size_t i;

    krait__flow()->scope = NULL; /* a failed assertion jumped out of it */
    for (i = 0; i < OWN_MAX; i++) {
        if (own__.servers[i])
            krait_server_cancel(own__.servers[i]);
        if (own__.socks[i])
            krait_interrupt(own__.socks[i]);
    }
    for (i = 0; i < OWN_MAX; i++)
        if (own__.tasks[i])
            join(own__.tasks[i]);
    for (i = 0; i < OWN_MAX; i++) {
        krait_server_close(own__.servers[i]);
        krait_close(own__.socks[i]);
        if (own__.fds[i])
            close(own__.fds[i] - 1);
        if (own__.paths[i])
            unlink(own__.paths[i]);
        free(own__.paths[i]);
        free(own__.blocks[i]);
        free(own__.tasks[i]);
    }
    memset(own__.servers, 0, sizeof own__.servers);
    memset(own__.socks, 0, sizeof own__.socks);
    memset(own__.tasks, 0, sizeof own__.tasks);
    memset(own__.fds, 0, sizeof own__.fds);
    memset(own__.paths, 0, sizeof own__.paths);
    memset(own__.blocks, 0, sizeof own__.blocks);
}

static inline int after_test(void **state)
{
    (void)state;
    give_back_all();
    if (leaks())
        return -1;
    alarm(0);
    return 0;
}

static inline void *do_nothing(void *arg)
{
    return arg;
}

static inline int wait_once(void *unused)
{
    krait_sock *pair[2];
    char byte;

    (void)unused;
    if (krait_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return -1;
    krait_settimeout(pair[0], 0.001);
    (void)krait_recv(pair[0], &byte, 1, 0);
    krait_close(pair[0]);
    krait_close(pair[1]);
    return 0;
}

/* A wait in each thread, so that what the library keeps for it exists already
 * when the first test counts its fds; and a thread, with which TSan starts one
 * of its own. */
static inline void warm_up(void)
{
    pthread_t thread;
    int i;

    if (pthread_create(&thread, NULL, do_nothing, NULL) == 0)
        pthread_join(thread, NULL);
    wait_once(NULL);
    for (i = 1; is_fiber() && i <= workers__; i++) {
        krait_fiber *f = spawn_on(i, wait_once, NULL);

        if (f)
            join_fiber(f);
    }
}

static inline int before_all(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    if (!tmp || strlen(tmp) > 60)
        tmp = P_tmpdir; /* a Unix path must stay below 108 bytes */
    snprintf(own__.scratch, sizeof own__.scratch, "%s/krait-XXXXXX", tmp);
    if (!mkdtemp(own__.scratch))
        return -1;
    signal(SIGALRM, on_alarm);
    warm_up();
    if (in_fibers() && !is_right_engine())
        return -1;
    return 0;
}

static inline int after_all(void **state)
{
    (void)state;
    rmdir(own__.scratch);
    return 0;
}

/* Runs a test under its name, so that SIGALRM can tell which one hangs. */
struct stamp {
    const struct transport *transport;
    CMUnitTestFunction body;
    char name[160];
};

static inline void run_stamp(void **state)
{
    struct stamp *stamp = (struct stamp *)*state;
    void *transport = (void *)(uintptr_t)stamp->transport;

    running__ = stamp->name;
    stamp->body(&transport);
}

static inline void add_stamp(struct CMUnitTest *unit, struct stamp *stamp,
                             const struct test *test,
                             const struct transport *transport)
{
    stamp->transport = transport;
    stamp->body = test->body;
    snprintf(stamp->name, sizeof stamp->name, "%s%s%s%s", test->name,
             transport ? " (" : "", transport ? transport->name : "",
             transport ? ")" : "");
    unit->name = stamp->name;
    unit->test_func = run_stamp;
    unit->setup_func = before_test;
    unit->teardown_func = after_test;
    unit->initial_state = stamp;
}

struct group {
    const char *name;
    struct CMUnitTest *units;
    size_t count;
    int failed;
};

static inline int run_group(void *arg)
{
    struct group *g = (struct group *)arg;

    g->failed = _cmocka_run_group_tests(g->name, g->units, g->count, before_all,
                                        after_all);
    return 0;
}

/* All of it in one fiber, cmocka's own frames too: its longjmp stays on that
 * fiber's stack. Afterwards nothing may be left of the run-time. */
static inline int run_group_in_fiber(struct group *g)
{
    int rc;

    warm_up();
    count_before();
    rc = run_in_fiber(run_group, g);
    alarm(TEST_SECONDS);
    if (rc == 0 && leaks())
        rc = 1;
    alarm(0);
    return rc ? rc : g->failed;
}

/* Runs each test once for each of its transports. An argument runs only the
 * tests whose names hold it. Returns what main should: 77 where the machine
 * could run none of them. */
static inline int run_all(int argc, char **argv, const char *group,
                          const struct test *tests, size_t count)
{
    size_t room = count * COUNT(transports), n = 0, i, j;
    struct CMUnitTest *units = (struct CMUnitTest *)calloc(room, sizeof *units);
    struct stamp *stamps = (struct stamp *)calloc(room, sizeof *stamps);
    struct group all = {.name = group, .units = units};
    int failed = 1;

    if (!units || !stamps || !choose_flow())
        goto out;
    for (i = 0; i < count; i++) {
        if (argc > 1 && !strstr(tests[i].name, argv[1]))
            continue;
        if (tests[i].stamps == ONCE) {
            add_stamp(&units[n], &stamps[n], &tests[i], NULL);
            n++;
        }
        for (j = 0; j < COUNT(transports); j++) {
            if (!(tests[i].stamps & transports[j].bit))
                continue;
            add_stamp(&units[n], &stamps[n], &tests[i], &transports[j]);
            n++;
        }
    }
    all.count = n;
    if (in_fibers())
        failed = run_group_in_fiber(&all);
    else
        failed = run_group(&all) ? 1 : all.failed;
    if (!failed && n && skipped__ == n)
        failed = 77;
out:
    free(units);
    free(stamps);
    return failed;
}

#endif
