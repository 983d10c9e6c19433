/* SPDX-License-Identifier: MIT
 *
 * cross_runtime.c - the whole of a run-time where cmocka isn't: two workers on
 * epoll, an echo server, clients that check what comes back, timeouts, a
 * cancellation, an interrupt, what fibers share things with, an overflow.
 *
 * io_uring is not looked at: qemu-user has none (ENOSYS), which is how the
 * fall-back to epoll is seen. Nor is the fault at a guard made by
 * MADV_GUARD_INSTALL, which qemu-user ignores: the pool must have noticed, and
 * have taken mprotect instead.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <krait.h>

enum { CLIENTS = 50, ROUNDS = 20, WORKERS = 2 };

static _Atomic int failures;

#define CHECK(what) check((what), #what, __LINE__)

static void check(bool ok, const char *what, int line)
{
    if (ok)
        return;
    fprintf(stderr, "cross_runtime.c:%d: not so: %s (%s)\n", line, what,
            krait_errmsg());
    failures++;
}

/* --- an echo server ---------------------------------------------------- */

static krait_sock *listener;
static krait_addr address;
static krait_sem finished;

static int echo(void *arg)
{
    krait_sock *s = arg;
    char buf[256];
    ssize_t n;

    while ((n = krait_recv(s, buf, sizeof buf, 0)) > 0)
        CHECK(krait_sendall(s, buf, (size_t)n, 0) == 0);
    CHECK(n == 0);
    return krait_close(s);
}

static int serve(void *unused)
{
    krait_spawn_options o = {.worker = 1};
    krait_sock *s;

    (void)unused;
    while ((s = krait_accept(listener, NULL))) {
        krait_release(krait_spawn(echo, s, &o));
        o.worker = o.worker % WORKERS + 1;
    }
    CHECK(errno == ECANCELED);
    return 42;
}

static int client(void *arg)
{
    krait_sock *s = krait_create_connection(address, 20);
    char sent[64], got[64];

    CHECK(s != NULL);
    for (int i = 0; s && i < ROUNDS; i++) {
        int len = snprintf(sent, sizeof sent, "%p says %d, %.3f", arg, i,
                           (double)i / 3);

        CHECK(krait_sendall(s, sent, (size_t)len, 0) == 0);
        CHECK(krait_recv(s, got, (size_t)len, MSG_WAITALL) == len);
        CHECK(memcmp(sent, got, (size_t)len) == 0);
    }
    krait_close(s);
    CHECK(krait_sem_post(&finished) == 0);
    return 0;
}

static void talk(void)
{
    krait_spawn_options o = {.worker = 1};
    krait_fiber *server;
    int result = 0;

    listener = krait_socket(AF_INET, SOCK_STREAM, 0);
    CHECK(krait_bind(listener, krait_inet("127.0.0.1", 0)) == 0);
    CHECK(krait_listen(listener, KRAIT_BACKLOG) == 0);
    address = krait_getsockname(listener);
    server = krait_spawn(serve, NULL, NULL);
    for (intptr_t i = 0; i < CLIENTS; i++) {
        krait_release(krait_spawn(client, (void *)i, &o));
        o.worker = o.worker % WORKERS + 1;
    }
    for (int i = 0; i < CLIENTS; i++)
        CHECK(krait_sem_wait(&finished, 30) == 0);
    CHECK(krait_interrupt(listener) == 0);
    CHECK(krait_join(server, &result) == 0 && result == 42);
    krait_close(listener);
}

/* --- what ends a wait ---------------------------------------------------- */

static int sleep_long(void *unused)
{
    (void)unused;
    CHECK(krait_sleep(1000) == -1 && errno == ECANCELED);
    return 7;
}

static void end_waits(void)
{
    krait_fiber *f = krait_spawn(sleep_long, NULL, NULL);
    krait_sock *pair[2];
    krait_deadline d;
    int result = 0;
    char byte;

    krait_yield();
    CHECK(krait_cancel(f) == 0);
    CHECK(krait_join(f, &result) == 0 && result == 7);
    CHECK(krait_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(krait_settimeout(pair[0], 0.02) == 0);
    CHECK(krait_recv(pair[0], &byte, 1, 0) == -1 && errno == ETIMEDOUT);
    CHECK(krait_deadline_begin(&d, 0.02) == 0);
    CHECK(krait_recv(pair[1], &byte, 1, 0) == -1 && errno == ETIMEDOUT);
    CHECK(krait_deadline_end(&d) == 1);
    krait_close(pair[0]);
    krait_close(pair[1]);
}

static int run(void *unused)
{
    krait_stats stats;

    (void)unused;
    CHECK(strcmp(krait_engine_name(), "epoll") == 0);
    CHECK(krait_runtime_stats(&stats) == 0);
    CHECK(strcmp(stats.guards, "MADV_GUARD_INSTALL") != 0);
    printf("%s: %s; guards by %s\n", krait_engine_name(), krait_engine_why(),
           stats.guards);
    talk();
    end_waits();
    return 5;
}

/* --- an overflow --------------------------------------------------------- */

static int (*volatile again)(void *arg);

static int deeper(void *arg)
{
    volatile char frame[4096];

    frame[0] = frame[sizeof frame - 1] = 1;
    return again(arg) + frame[0];
}

static int overflow(void *unused)
{
    krait_spawn_options o = {.name = "the deep one"};

    (void)unused;
    again = deeper;
    return krait_join(krait_spawn(deeper, NULL, &o), NULL);
}

static void see_an_overflow(void)
{
    char text[512] = "";
    int end[2], status = 0;
    pid_t child;

    CHECK(pipe(end) == 0);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        dup2(end[1], STDERR_FILENO);
        _exit(krait_run(overflow, NULL, NULL));
    }
    close(end[1]);
    CHECK(read(end[0], text, sizeof text - 1) > 0);
    close(end[0]);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(strstr(text, "the deep one") != NULL);
}

int main(void)
{
    krait_run_options o = {.workers = WORKERS};

    CHECK(krait_run(run, NULL, &o) == 5);
    see_an_overflow();
    return failures ? 1 : 0;
}
