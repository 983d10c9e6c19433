/* SPDX-License-Identifier: MIT
 *
 * load_stream.c - each active connection sends and sends, and nothing comes
 * back.
 *
 * One write is under way at a time: it is complete when the kernel has all of
 * it, and the next then finds the socket's queue nearly full still, so that the
 * receiver never waits.
 */
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "load.h"

static bool open_connections(struct load *load)
{
    for (long i = 0; i < load->connections; i++)
        if ((load->connection[i].fd = dial(load)) < 0)
            return false;
    return true;
}

static void request(struct load *load, unsigned index)
{
    struct connection *c = &load->connection[index];

    c->number++;
    c->busy = true;
    c->since = load->now;
    load->in_flight++;
    io_uring_prep_send(ring_sqe(load, index, 0), c->fd,
                       bytes_of(index, c->number), (size_t)load->size,
                       MSG_NOSIGNAL | MSG_WAITALL);
}

static void begin(struct load *load)
{
    load->now = now_ns();
    for (long i = 0; i < load->active; i++) {
        const unsigned index = load->chosen[i];

        if (load->connection[index].lost)
            mistake(load, "connection %u is lost", index);
        else
            request(load, index);
    }
}

static void complete(struct load *load, unsigned index, unsigned what,
                     const struct io_uring_cqe *cqe)
{
    struct connection *c = &load->connection[index];

    (void)what;
    if (!c->busy) /* it was abandoned */
        return;
    c->busy = false;
    load->in_flight--;
    if (cqe->res != load->size) {
        mistake(load, "connection %u, write %u: %s", index, c->number,
                cqe->res < 0 ? strerror(-cqe->res) : "not all of it");
        c->lost = true;
        return;
    }
    answered(load, c->since);
    if (!load->stopped)
        request(load, index);
}

static void abandon(struct load *load)
{
    for (unsigned i = 0; i < (unsigned)load->connections; i++) {
        struct connection *c = &load->connection[i];

        if (c->busy) {
            mistake(load, "connection %u, write %u: nobody reads", i,
                    c->number);
            c->busy = false;
            c->lost = true;
            load->in_flight--;
            shutdown(c->fd, SHUT_RDWR);
        }
    }
}

static uint64_t outstanding(const struct load *load)
{
    uint64_t sum = 0;

    for (long i = 0; i < load->connections; i++) {
        const struct connection *c = &load->connection[i];
        int queued;

        if (!c->lost && ioctl(c->fd, SIOCOUTQ, &queued) == 0)
            sum += (uint64_t)queued;
    }
    return sum;
}

const struct mode stream_mode = {
    .name = "stream",
    .open = open_connections,
    .begin = begin,
    .complete = complete,
    .abandon = abandon,
    .outstanding = outstanding,
};
