/* SPDX-License-Identifier: MIT
 *
 * echo.c - Krait's server in the benchmark: a fiber for each connection, whose
 * handler is what anybody would write. KRAIT_ENGINE=epoll|uring chooses the
 * engine.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <krait.h>
#include "bench_server.h"

/* Buffers up to these sizes are on the fiber's stack. */
#define USUAL_BUFFER 1024
#define STACK_BUFFER 4096

static struct server_options options;

static void talk(krait_sock *conn, char *buf, size_t size)
{
    ssize_t n;

    while ((n = krait_recv(conn, buf, size, 0)) > 0) {
        if (options.sink)
            continue;
        server_work(options.work);
        if (krait_sendall(conn, buf, (size_t)n, 0) < 0)
            break;
    }
}

static int talk_usual(void *conn)
{
    char buf[USUAL_BUFFER];

    talk(conn, buf, (size_t)options.buffer);
    return krait_close(conn);
}

static int talk_stack(void *conn)
{
    char buf[STACK_BUFFER];

    talk(conn, buf, (size_t)options.buffer);
    return krait_close(conn);
}

static int talk_heap(void *conn)
{
    char *buf = malloc((size_t)options.buffer);

    if (buf)
        talk(conn, buf, (size_t)options.buffer);
    free(buf);
    return krait_close(conn);
}

static int serve(void *listener)
{
    int (*handler)(void *) = options.buffer <= USUAL_BUFFER   ? talk_usual
                             : options.buffer <= STACK_BUFFER ? talk_stack
                                                              : talk_heap;

    for (;;) {
        krait_sock *conn = krait_accept(listener, NULL);
        krait_fiber *f = conn ? krait_spawn(handler, conn, NULL) : NULL;

        if (f) {
            krait_release(f);
            continue;
        }
        krait_perror("krait_echo");
        krait_close(conn);
        if (krait_sleep(0.1) < 0) /* too many fds, say: it passes */
            return -1;
    }
}

int main(int argc, char **argv)
{
    krait_sock *listener;
    int rc = -1;

    options = server_parse(argc, argv, NULL);
    listener = krait_fd_adopt(server_listen(&options, 0));
    if (listener)
        rc = krait_run(serve, listener, &(krait_run_options){.workers = 1});
    if (rc < 0)
        krait_perror("krait_echo");
    krait_close(listener);
    return rc != 0;
}
