/* SPDX-License-Identifier: MIT
 *
 * threads.c - the echo server with a C thread for each connection, which
 * blocks in recv(2) and send(2). Its stack is as small as may be; the buffer is
 * beside it.
 *
 * Tried: larger stacks, and none of the guard pages, make no difference.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench_server.h"

struct connection {
    int fd;
    char buffer[];
};

static struct server_options options;

/* A blocking send(2) takes all, but a signal may come between. */
static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    ssize_t n;

    while ((n = recv(c->fd, c->buffer, (size_t)options.buffer, 0)) > 0 ||
           (n < 0 && errno == EINTR)) {
        if (n < 0 || options.sink)
            continue;
        server_work(options.work);
        if (!send_all(c->fd, c->buffer, (size_t)n))
            break;
    }
    close(c->fd);
    free(c);
    return NULL;
}

static void start(int fd, const pthread_attr_t *attributes)
{
    struct connection *c = malloc(sizeof *c + (size_t)options.buffer);
    pthread_t thread;

    if (c) {
        c->fd = fd;
        if (pthread_create(&thread, attributes, serve, c) == 0)
            return;
    }
    free(c);
    close(fd);
}

int main(int argc, char **argv)
{
    pthread_attr_t attributes;
    int listener, fd;

    options = server_parse(argc, argv, NULL);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN);
    listener = server_listen(&options, 0);
    for (;;) {
        if ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
            start(fd, &attributes);
    }
}
