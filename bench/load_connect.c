/* SPDX-License-Identifier: MIT
 *
 * load_connect.c - loops, each of which connects, sends a request, receives
 * the answer, and closes.
 *
 * The client closes first, as clients do, and so keeps the port in TIME_WAIT
 * for a minute. Some ten thousand connections a second would soon use up the
 * 28,000 that an address has, hence they come from many addresses of
 * 127.0.0.0/8. (SO_LINGER of 0 would avoid TIME_WAIT too: but then the server
 * is told of a reset instead of the end, and does what nobody's server does.)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "load.h"

/* From 127.0.0.2 on: together they have 7 million ports a minute. */
#define ADDRESSES 250

enum { CONNECT, SEND, RECV };

static struct sockaddr_in server;

static bool open_loops(struct load *load)
{
    server = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)load->port),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    for (long i = 0; i < load->connections; i++) {
        load->connection[i].fd = -1;
        load->connection[i].buffer = malloc((size_t)load->size);
        if (!load->connection[i].buffer)
            return false;
    }
    return true;
}

/* A socket at one of the addresses; its port is found when it connects, since
 * it need only be free for that one destination. */
static int client_socket(unsigned address)
{
    const struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_addr = {htonl(INADDR_LOOPBACK + 1 + address % ADDRESSES)},
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 &&
        (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1},
                    sizeof(int)) < 0 ||
         setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0 ||
         bind(fd, (const struct sockaddr *)&addr, sizeof addr) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One connection's whole life, in one chain: what succeeds says nothing but for
 * the last. */
static void request(struct load *load, unsigned index)
{
    static unsigned address;
    struct connection *c = &load->connection[index];
    const size_t size = (size_t)load->size;
    struct io_uring_sqe *sqe;

    c->since = load->now;
    c->number++;
    c->expected = bytes_of(index, c->number);
    c->fd = client_socket(address++);
    if (c->fd < 0) {
        mistake(load, "connection %u, request %u: socket: %s", index, c->number,
                strerror(errno));
        return;
    }
    c->busy = true;
    load->in_flight++;
    if (io_uring_sq_space_left(&load->ring) < 3)
        ring_submit(load); /* a chain is submitted as a whole */

    sqe = ring_sqe(load, index, CONNECT);
    io_uring_prep_connect(sqe, c->fd, (struct sockaddr *)&server,
                          sizeof server);
    sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    sqe = ring_sqe(load, index, SEND);
    io_uring_prep_send(sqe, c->fd, c->expected, size,
                       MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    io_uring_prep_recv(ring_sqe(load, index, RECV), c->fd, c->buffer, size,
                       MSG_WAITALL);
}

static void begin(struct load *load)
{
    load->now = now_ns();
    for (long i = 0; i < load->active; i++)
        request(load, load->chosen[i]);
}

/* The answer is there, or part of it, or the reason why not. */
static void finish(struct load *load, unsigned index, int res)
{
    struct connection *c = &load->connection[index];
    const size_t got = res > 0 ? (size_t)res : 0;
    bool ok = false;

    if (got < (size_t)load->size)
        mistake(load, "connection %u, request %u, byte %zu of %ld: %s", index,
                c->number, got, load->size,
                res < 0 ? strerror(-res) : "closed");
    else
        ok =
            bytes_check(load, c->buffer, c->expected, got, index, c->number, 0);
    close(c->fd);
    c->busy = false;
    load->in_flight--;
    if (ok)
        answered(load, c->since);
    /* A loop that fails rests until the next slice. */
    if (ok && !load->stopped)
        request(load, index);
}

/* Each chain ends with one completion: its last, or that of what failed, which
 * silences those behind it (since Linux 5.17). */
static void complete(struct load *load, unsigned index, unsigned what,
                     const struct io_uring_cqe *cqe)
{
    if (what == RECV || cqe->res < 0)
        finish(load, index, cqe->res);
    else
        finish(load, index, -EPIPE); /* a send that was cut short */
}

static void abandon(struct load *load)
{
    for (unsigned i = 0; i < (unsigned)load->connections; i++) {
        struct connection *c = &load->connection[i];

        if (c->busy) {
            mistake(load, "connection %u, request %u: silence", i, c->number);
            shutdown(c->fd, SHUT_RDWR);
        }
    }
    while (load->in_flight > 0)
        ring_turn(load, 0);
}

static uint64_t outstanding(const struct load *load)
{
    (void)load;
    return 0;
}

const struct mode connect_mode = {
    .name = "connect",
    .open = open_loops,
    .begin = begin,
    .complete = complete,
    .abandon = abandon,
    .outstanding = outstanding,
};
