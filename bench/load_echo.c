/* SPDX-License-Identifier: MIT
 *
 * load_echo.c - each active connection has one request in flight, and sends the
 * next when the answer is there.
 *
 * A receive is armed once for each connection, into buffers that the ring is
 * provided with; a send says nothing unless it fails. So a request costs one
 * entry and one completion. Both name the file by its place in the ring's own
 * table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "load.h"

enum { RECV, SEND };

/* A breath after so many connections, so that the server's backlog, which is
 * several times as long, never runs full: who comes then waits for a second.
 */
#define BREATH_AFTER 512
#define BREATH_NS    5000000

/* Buffers: two for each connection that may have an answer, at most. */
#define BUFFERS_MOST  32768
#define BUFFER_MEMORY (64L << 20)

static void receive(struct load *load, unsigned index)
{
    struct io_uring_sqe *sqe = ring_sqe(load, index, RECV);

    io_uring_prep_recv_multishot(sqe, (int)index, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE;
    sqe->buf_group = 0;
}

static void request(struct load *load, unsigned index)
{
    struct connection *c = &load->connection[index];
    struct io_uring_sqe *sqe = ring_sqe(load, index, SEND);

    c->number++;
    c->expected = bytes_of(index, c->number);
    c->got = 0;
    c->busy = true;
    c->wrong = false;
    c->since = load->now;
    load->in_flight++;
    io_uring_prep_send(sqe, (int)index, c->expected, (size_t)load->size,
                       MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
}

static bool open_connections(struct load *load)
{
    const unsigned wanted = (unsigned)load->connections;
    unsigned count = 64;
    int *fds = calloc(wanted, sizeof *fds);
    bool ok = fds;

    while (count < BUFFERS_MOST && count < 2 * load->active &&
           2 * (long)count * load->size <= BUFFER_MEMORY)
        count *= 2;
    ok = ok && ring_provide(load, count);
    for (unsigned i = 0; ok && i < wanted; i++) {
        fds[i] = load->connection[i].fd = dial(load);
        ok = fds[i] >= 0;
        if (i % BREATH_AFTER == BREATH_AFTER - 1)
            nanosleep(&(struct timespec){.tv_nsec = BREATH_NS}, NULL);
    }
    if (ok && io_uring_register_files(&load->ring, fds, wanted) < 0) {
        fprintf(stderr, "load: too many files for the ring\n");
        ok = false;
    }
    free(fds);
    for (unsigned i = 0; ok && i < wanted; i++)
        receive(load, i);
    if (ok)
        ring_submit(load);
    return ok;
}

/* Gives the connection up; what is wrong with it has been said. */
static void lose(struct load *load, unsigned index)
{
    struct connection *c = &load->connection[index];

    if (c->busy)
        load->in_flight--;
    c->busy = false;
    c->lost = true;
    shutdown(c->fd, SHUT_RDWR);
}

static void finish(struct load *load, unsigned index)
{
    struct connection *c = &load->connection[index];

    c->busy = false;
    load->in_flight--;
    if (!c->wrong)
        answered(load, c->since);
    if (!load->stopped)
        request(load, index);
}

static void take(struct load *load, unsigned index, const unsigned char *data,
                 size_t len)
{
    struct connection *c = &load->connection[index];
    const size_t left = c->busy ? (size_t)load->size - c->got : 0;

    if (c->lost)
        return;
    if (len > left) {
        mistake(load, "connection %u, request %u: %zu bytes too many", index,
                c->number, len - left);
        lose(load, index);
        return;
    }
    if (!c->wrong)
        c->wrong = !bytes_check(load, data, c->expected + c->got, len, index,
                                c->number, c->got);
    c->got += len;
    if (c->got == (size_t)load->size)
        finish(load, index);
}

static void received(struct load *load, unsigned index,
                     const struct io_uring_cqe *cqe)
{
    struct connection *c = &load->connection[index];
    const unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

    if (cqe->res > 0) {
        take(load, index, ring_buffer(load, id), (size_t)cqe->res);
        ring_return(load, id);
    } else if (cqe->res != -ENOBUFS && !c->lost) {
        mistake(load, "connection %u, request %u, byte %zu of %ld: %s", index,
                c->number, c->got, load->size,
                cqe->res ? strerror(-cqe->res) : "closed");
        lose(load, index);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE) && !c->lost)
        receive(load, index);
}

static void complete(struct load *load, unsigned index, unsigned what,
                     const struct io_uring_cqe *cqe)
{
    const struct connection *c = &load->connection[index];

    if (what == RECV) {
        received(load, index, cqe);
    } else if (!c->lost) {
        mistake(load, "connection %u, request %u: send: %s", index, c->number,
                cqe->res < 0 ? strerror(-cqe->res) : "not all of it");
        lose(load, index);
    }
}

/* Submits now and then, and takes the time anew, lest those who come last look
 * late. */
static void begin(struct load *load)
{
    for (long i = 0; i < load->active; i++) {
        const unsigned index = load->chosen[i];

        if (i % 32 == 0) {
            ring_submit(load);
            load->now = now_ns();
        }
        if (load->connection[index].lost)
            mistake(load, "connection %u is lost", index);
        else
            request(load, index);
    }
}

static void abandon(struct load *load)
{
    for (unsigned i = 0; i < (unsigned)load->connections; i++) {
        const struct connection *c = &load->connection[i];

        if (c->busy) {
            mistake(load, "connection %u, request %u, byte %zu of %ld: silence",
                    i, c->number, c->got, load->size);
            lose(load, i);
        }
    }
}

static uint64_t outstanding(const struct load *load)
{
    (void)load;
    return 0;
}

const struct mode echo_mode = {
    .name = "echo",
    .open = open_connections,
    .begin = begin,
    .complete = complete,
    .abandon = abandon,
    .outstanding = outstanding,
};
