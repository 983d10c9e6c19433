/* SPDX-License-Identifier: MIT
 *
 * fiber_server.c - the server of server.c in fibers: the same plain calls and
 * the same words, and any number of clients at once.
 *
 * Read it beside server.c. What is new: each client has a fiber, which is put
 * on the workers in turn; and Ctrl-C ends the server cleanly, with status 0.
 * Another address may be given: `fiber_server 127.0.0.1:9001`.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <krait.h>

#define HOST "127.0.0.1"
#define PORT 8001

static krait_sock *listener;

/* The one call of Krait's that a signal handler may make to end a wait. */
static void stop(int sig)
{
    (void)sig;
    krait_interrupt(listener);
}

/* A client's fiber: answers it until it has finished. */
static int talk(void *arg)
{
    krait_sock *conn = arg;
    char data[1024];
    ssize_t n;

    while ((n = krait_recv(conn, data, sizeof data, 0)) > 0) {
        fwrite(data, 1, (size_t)n, stdout);
        if (krait_sendstr(conn, "server received you message.") < 0)
            break;
    }
    if (n != 0 && !krait_cancelled())
        krait_perror("client"); /* it is lost; the others go on */
    return krait_close(conn);
}

static void serve_one(krait_sock *conn, krait_addr peer, int worker)
{
    char name[KRAIT_ADDR_TEXT_MAX];
    krait_fiber *f;

    krait_addr_text(peer, name, sizeof name);
    printf("Connected by %s\n", name);
    f = krait_spawn(talk, conn,
                    &(krait_spawn_options){.name = name, .worker = worker});
    if (!f) {
        krait_perror(name);
        krait_close(conn);
    }
    krait_release(f); /* it goes on by itself */
}

/* The first fiber. When it returns, krait_run cancels those that are left: what
 * they wait in fails with ECANCELED, and each closes its connection. */
static int serve(void *unused)
{
    krait_stats stats;
    krait_sock *conn;
    krait_addr peer;

    (void)unused;
    if (krait_runtime_stats(&stats) < 0) {
        krait_perror("server");
        return 1;
    }
    for (int i = 0;; i = (i + 1) % stats.workers) {
        conn = krait_accept(listener, &peer);
        if (conn) {
            serve_one(conn, peer, i + 1);
            continue;
        }
        if (krait_errno() == ECANCELED) /* stop() */
            return 0;
        krait_perror("server"); /* EMFILE, say: it passes when a client goes */
        krait_sleep(0.1);
    }
}

/* Each client takes an fd: as many as we may have. */
static void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    krait_addr addr =
        argc > 1 ? krait_addr_parse(argv[1]) : krait_inet(HOST, PORT);
    char name[KRAIT_ADDR_TEXT_MAX];
    int rc;

    setvbuf(stdout, NULL, _IONBF, 0); /* what is printed appears at once */
    raise_fd_limit();

    listener = krait_socket(AF_INET, SOCK_STREAM, 0);
    if (!listener ||
        krait_setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
        krait_bind(listener, addr) < 0 ||
        krait_listen(listener, SOMAXCONN) < 0) { /* many may come at once */
        krait_perror("server");
        krait_close(listener);
        return 1;
    }
    /* For one signal only: a second Ctrl-C ends the program at once. */
    sigaction(
        SIGINT,
        &(struct sigaction){.sa_handler = stop, .sa_flags = (int)SA_RESETHAND},
        NULL);
    addr = krait_getsockname(listener);
    printf("Server start at: %s\n", krait_addr_text(addr, name, sizeof name));
    printf("wait for connection...\n");

    rc = krait_run(serve, NULL, NULL);
    if (rc < 0)
        krait_perror("server"); /* no run-time could be had */
    krait_close(listener);
    return rc != 0;
}
