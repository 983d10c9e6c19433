/* SPDX-License-Identifier: MIT
 *
 * uring_server.c - the hand-written server over io_uring: one thread, one ring.
 *
 *     reference_uring                 a RECV into the connection's own buffer,
 *                                     then a SEND of it
 *     reference_uring --multishot     one RECV for ever, into buffers that the
 *                                     ring is provided with
 */
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench_server.h"

#define SQ_ENTRIES 1024
#define CQ_ENTRIES 32768
/* Provided buffers: so many bytes of them, within the bounds of their number.
 */
#define BUFFER_BYTES  (4L << 20)
#define BUFFERS_MOST  4096
#define BUFFERS_LEAST 64
#define BUFFER_GROUP  0
#define NO_BUFFER     (-1)

enum what { ACCEPT, RECV, SEND, CLOSE };

struct connection {
    char *buffer;          /* one-shot: its own */
    size_t len;            /* ... and what is being sent of it */
    int first, last;       /* multishot: the buffers to send, the first of them
                            * being sent; or NO_BUFFER */
    bool receiving, ended; /* a RECV is armed; there is no more to come */
};

static struct server_options options;
static long multishot, link_recv, poll_first, direct_send, budget = 64;
static long files, coop, ring_close;
static unsigned char file_flag;

static struct io_uring ring;
static struct connection *connections; /* by fd */

/* The provided buffers: where, how long each one's contents are, and which one
 * is to be sent after it. */
static struct io_uring_buf_ring *provided;
static char *provided_bytes;
static int provided_count;
static int provided_held; /* of these: hold what is yet to be sent */
static struct {
    size_t len;
    int next;
} * provided_of;
/* Connections whose RECV found no buffer, and so ended. */
static int *starving;
static int starving_count;

static void __attribute__((noreturn)) fail(const char *what, int error)
{
    fprintf(stderr, "reference_uring: %s: %s\n", what, strerror(error));
    exit(1);
}

static struct io_uring_sqe *next_sqe(enum what what, int fd)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    while (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    io_uring_sqe_set_data64(sqe, (uint64_t)what << 32 | (unsigned)fd);
    return sqe;
}

static void accept_all(int listener)
{
    if (files)
        io_uring_prep_multishot_accept_direct(next_sqe(ACCEPT, listener),
                                              listener, NULL, NULL, 0);
    else
        io_uring_prep_multishot_accept(next_sqe(ACCEPT, listener), listener,
                                       NULL, NULL, SOCK_CLOEXEC);
}

static void end(int fd)
{
    struct io_uring_sqe *sqe;

    if (!files && !ring_close) {
        close(fd);
        return;
    }
    sqe = next_sqe(CLOSE, fd);
    if (files)
        io_uring_prep_close_direct(sqe, (unsigned)fd);
    else
        io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* --- one-shot --- */

static void receive(int fd, bool empty)
{
    struct io_uring_sqe *sqe = next_sqe(RECV, fd);

    io_uring_prep_recv(sqe, fd, connections[fd].buffer, (size_t)options.buffer,
                       0);
    sqe->flags |= file_flag;
    if (empty && poll_first)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

static void send_back(int fd, size_t len)
{
    struct connection *c = &connections[fd];
    struct io_uring_sqe *sqe;

    if (direct_send &&
        send(fd, c->buffer, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len) {
        receive(fd, true);
        return;
    }
    sqe = next_sqe(SEND, fd);
    io_uring_prep_send(sqe, fd, c->buffer, len, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= file_flag;
    c->len = len;
    if (link_recv) {
        sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
        receive(fd, true);
    }
}

static void received(int fd, int res)
{
    if (res <= 0) {
        end(fd);
        return;
    }
    if (options.sink) {
        receive(fd, false);
        return;
    }
    server_work(options.work);
    send_back(fd, (size_t)res);
}

static void sent(int fd, int res)
{
    /* Where a RECV was linked, only what failed says so. */
    if (!link_recv && res == (int)connections[fd].len)
        receive(fd, true);
    else
        end(fd);
}

/* --- multishot --- */

static void receive_all(int fd)
{
    struct io_uring_sqe *sqe = next_sqe(RECV, fd);

    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT | file_flag;
    sqe->buf_group = BUFFER_GROUP;
    connections[fd].receiving = true;
}

static char *provided_buffer(int id)
{
    return provided_bytes + (size_t)id * (size_t)options.buffer;
}

static void give_back(int id)
{
    io_uring_buf_ring_add(provided, provided_buffer(id),
                          (unsigned)options.buffer, (unsigned short)id,
                          provided_count - 1, 0);
    io_uring_buf_ring_advance(provided, 1);
    provided_held--;
    while (starving_count > 0)
        receive_all(starving[--starving_count]);
}

static void send_first(int fd)
{
    const int id = connections[fd].first;

    struct io_uring_sqe *sqe = next_sqe(SEND, fd);

    io_uring_prep_send(sqe, fd, provided_buffer(id), provided_of[id].len,
                       MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= file_flag;
}

/* Closes it, if nothing is under way any more. */
static void perhaps_close(int fd)
{
    const struct connection *c = &connections[fd];

    if (c->ended && !c->receiving && c->first == NO_BUFFER)
        end(fd);
}

static void received_one(int fd, int res, unsigned flags)
{
    struct connection *c = &connections[fd];
    const int id = (int)(flags >> IORING_CQE_BUFFER_SHIFT);

    c->receiving = flags & IORING_CQE_F_MORE;
    if (res > 0)
        provided_held++;
    if (res <= 0 && res != -ENOBUFS)
        c->ended = true;
    if (!c->receiving && !c->ended) {
        /* If nobody holds a buffer, nobody will give one back. */
        if (res == -ENOBUFS && provided_held > 0)
            starving[starving_count++] = fd;
        else
            receive_all(fd);
    }
    if (res > 0 && options.sink) {
        give_back(id);
    } else if (res > 0) {
        server_work(options.work);
        provided_of[id].len = (size_t)res;
        provided_of[id].next = NO_BUFFER;
        if (c->first == NO_BUFFER) {
            c->first = c->last = id;
            send_first(fd);
        } else {
            provided_of[c->last].next = id;
            c->last = id;
        }
    }
    perhaps_close(fd);
}

static void sent_first(int fd, int res)
{
    struct connection *c = &connections[fd];
    const int id = c->first;

    c->first = provided_of[id].next;
    if (res != (int)provided_of[id].len) {
        c->ended = true;
        shutdown(fd, SHUT_RDWR); /* which ends the RECV */
        for (int next; c->first != NO_BUFFER; c->first = next) {
            next = provided_of[c->first].next;
            give_back(c->first);
        }
    }
    give_back(id);
    if (c->first != NO_BUFFER)
        send_first(fd);
    perhaps_close(fd);
}

static bool provide_buffers(void)
{
    struct io_uring_buf_reg reg = {.bgid = BUFFER_GROUP};
    const size_t most = (size_t)sysconf(_SC_OPEN_MAX);
    size_t count = BUFFERS_MOST;

    while (count > BUFFERS_LEAST &&
           count * (size_t)options.buffer > BUFFER_BYTES)
        count /= 2;
    provided = mmap(NULL, count * sizeof(struct io_uring_buf),
                    PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    provided_bytes = malloc(count * (size_t)options.buffer);
    provided_of = calloc(count, sizeof *provided_of);
    starving = calloc(most, sizeof *starving);
    if (provided == MAP_FAILED || !provided_bytes || !provided_of || !starving)
        return false;
    provided_count = provided_held = (int)count;
    reg.ring_addr = (uintptr_t)provided;
    reg.ring_entries = (unsigned)count;
    if (io_uring_register_buf_ring(&ring, &reg, 0) < 0)
        return false;
    for (int id = 0; id < provided_count; id++)
        give_back(id);
    return true;
}

/* --- both --- */

static void accepted(int listener, int fd, unsigned flags)
{
    struct connection *c;

    if (!(flags & IORING_CQE_F_MORE))
        accept_all(listener);
    if (fd < 0)
        return;
    c = &connections[fd];
    c->first = NO_BUFFER;
    c->ended = false;
    if (multishot) {
        receive_all(fd);
        return;
    }
    if (!c->buffer)
        c->buffer = malloc((size_t)options.buffer);
    if (c->buffer)
        receive(fd, false);
    else
        end(fd);
}

static void complete(const struct io_uring_cqe *cqe)
{
    const int fd = (int)(cqe->user_data & 0xffffffff);

    switch ((enum what)(cqe->user_data >> 32)) {
    case ACCEPT:
        accepted(fd, cqe->res, cqe->flags);
        break;
    case RECV:
        if (multishot)
            received_one(fd, cqe->res, cqe->flags);
        else
            received(fd, cqe->res);
        break;
    case SEND:
        if (multishot)
            sent_first(fd, cqe->res);
        else
            sent(fd, cqe->res);
        break;
    case CLOSE:
        break;
    }
}

static void start(void)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = CQ_ENTRIES,
    };
    int rc;

    if (coop)
        params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
                       IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
    rc = io_uring_queue_init_params(SQ_ENTRIES, &ring, &params);

    if (rc < 0)
        fail("io_uring_setup", -rc);
    io_uring_register_ring_fd(&ring);
    if (files) {
        rc = io_uring_register_files_sparse(&ring,
                                            (unsigned)sysconf(_SC_OPEN_MAX));
        if (rc < 0)
            fail("files", -rc);
        file_flag = IOSQE_FIXED_FILE;
    }
    connections = calloc((size_t)sysconf(_SC_OPEN_MAX), sizeof *connections);
    if (!connections || (multishot && !provide_buffers()))
        fail("buffers", ENOMEM);
}

int main(int argc, char **argv)
{
    const struct server_extra extra[] = {
        {"multishot", &multishot, false},
        {"link", &link_recv, false},
        {"poll-first", &poll_first, false},
        {"direct-send", &direct_send, false},
        {"budget", &budget, true},
        {"files", &files, false},
        {"coop", &coop, false},
        {"ring-close", &ring_close, false},
        {0},
    };
    struct io_uring_cqe *cqe;
    unsigned head;

    options = server_parse(argc, argv, extra);
    start();
    accept_all(server_listen(&options, 0));
    for (;;) {
        unsigned count = 0;

        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            complete(cqe);
            if (++count == (unsigned)budget)
                break;
        }
        io_uring_cq_advance(&ring, count);
    }
}
