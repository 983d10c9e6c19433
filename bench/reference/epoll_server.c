/* SPDX-License-Identifier: MIT
 *
 * epoll_server.c - the hand-written server over epoll: one thread, one loop.
 *
 * A connection is registered once, edge-triggered, for reading and writing
 * alike. One buffer serves all of them, since what was received is sent back at
 * once; only what the kernel did not take is kept, beside the connection.
 *
 * A receive that brings less than was asked for has emptied the socket, so that
 * the one which would say EAGAIN is spared. What comes later is a new edge. The
 * end of the stream is one too, and where it came with the data, RDHUP says
 * so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench_server.h"

/* Events of one epoll_wait. */
#define EVENTS 256

/* What is left to send back to a connection: it receives no more before that
 * has gone. */
struct rest {
    char *data;
    size_t from, len;
};

static struct server_options options;
static int set;
static char *buffer;
static struct rest *rests; /* by fd */

static void end(int fd)
{
    free(rests[fd].data);
    rests[fd] = (struct rest){0};
    close(fd);
}

/* Keeps what the kernel has not taken. */
static bool keep(int fd, const char *data, size_t len)
{
    struct rest *rest = &rests[fd];

    rest->data = malloc(len);
    if (!rest->data)
        return false;
    memcpy(rest->data, data, len);
    rest->from = 0;
    rest->len = len;
    return true;
}

/* False: the connection is lost. */
static bool reply(int fd, size_t len)
{
    ssize_t n;

    server_work(options.work);
    n = send(fd, buffer, len, MSG_NOSIGNAL);
    if (n == (ssize_t)len)
        return true;
    if (n < 0 && errno != EAGAIN)
        return false;
    n = n < 0 ? 0 : n;
    return keep(fd, buffer + n, len - (size_t)n);
}

/* Sends what was kept: false where the connection is lost. */
static bool send_rest(int fd)
{
    struct rest *rest = &rests[fd];
    ssize_t n =
        send(fd, rest->data + rest->from, rest->len - rest->from, MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN;
    rest->from += (size_t)n;
    if (rest->from == rest->len) {
        free(rest->data);
        *rest = (struct rest){0};
    }
    return true;
}

static void serve(int fd, uint32_t events)
{
    const size_t size = (size_t)options.buffer;
    ssize_t n;

    if (rests[fd].data && !send_rest(fd)) {
        end(fd);
        return;
    }
    while (!rests[fd].data) {
        n = recv(fd, buffer, size, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0 || (!options.sink && !reply(fd, (size_t)n))) {
            end(fd);
            return;
        }
        if ((size_t)n < size && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            return;
    }
}

static void welcome(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
           0) {
        struct epoll_event event = {
            .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
            .data = {.fd = fd},
        };

        if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
            close(fd);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    int listener;

    options = server_parse(argc, argv, NULL);
    buffer = malloc((size_t)options.buffer);
    rests = calloc((size_t)sysconf(_SC_OPEN_MAX), sizeof *rests);
    set = epoll_create1(EPOLL_CLOEXEC);
    listener = server_listen(&options, SOCK_NONBLOCK);
    if (!buffer || !rests || set < 0 ||
        epoll_ctl(set, EPOLL_CTL_ADD, listener,
                  &(struct epoll_event){.events = EPOLLIN,
                                        .data = {.fd = listener}}) < 0) {
        perror("epoll");
        return 1;
    }
    for (;;) {
        int count = epoll_wait(set, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                welcome(listener);
            else
                serve(events[i].data.fd, events[i].events);
        }
    }
}
