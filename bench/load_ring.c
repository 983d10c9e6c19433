/* SPDX-License-Identifier: MIT
 *
 * load_ring.c - the load generator's ring.
 *
 * Completions are looked at in handfuls, and what follows from them is
 * submitted at once: with all of a thousand at a time, the server would sit
 * idle while they are looked at here, and the generator while they are
 * answered there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "load.h"

#define SQ_ENTRIES   256
#define CQ_ENTRIES   65536
#define HANDFUL      32
#define BUFFER_GROUP 0

bool ring_open(struct load *load)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                 IORING_SETUP_TASKRUN_FLAG,
        .cq_entries = CQ_ENTRIES,
    };
    int rc = io_uring_queue_init_params(SQ_ENTRIES, &load->ring, &params);

    if (rc < 0) {
        fprintf(stderr, "load: io_uring_setup: %s\n", strerror(-rc));
        return false;
    }
    io_uring_register_ring_fd(&load->ring);
    return true;
}

static unsigned char *buffer_bytes;
static unsigned buffer_count;

bool ring_provide(struct load *load, unsigned count)
{
    struct io_uring_buf_reg reg = {.bgid = BUFFER_GROUP, .ring_entries = count};
    void *entries =
        mmap(NULL, count * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
             MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);

    buffer_bytes = malloc(count * (size_t)load->size);
    reg.ring_addr = (uintptr_t)entries;
    if (entries == MAP_FAILED || !buffer_bytes ||
        io_uring_register_buf_ring(&load->ring, &reg, 0) < 0) {
        fprintf(stderr, "load: no buffers\n");
        return false;
    }
    load->buffers = entries;
    buffer_count = count;
    for (unsigned id = 0; id < count; id++)
        ring_return(load, id);
    return true;
}

const unsigned char *ring_buffer(const struct load *load, unsigned id)
{
    return buffer_bytes + id * (size_t)load->size;
}

void ring_return(struct load *load, unsigned id)
{
    io_uring_buf_ring_add(load->buffers, buffer_bytes + id * (size_t)load->size,
                          (unsigned)load->size, (unsigned short)id,
                          (int)buffer_count - 1, 0);
    io_uring_buf_ring_advance(load->buffers, 1);
}

void ring_submit(struct load *load)
{
    io_uring_submit(&load->ring);
}

struct io_uring_sqe *ring_sqe(struct load *load, unsigned index, unsigned what)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&load->ring);

    while (!sqe) {
        ring_submit(load);
        sqe = io_uring_get_sqe(&load->ring);
    }
    io_uring_sqe_set_data64(sqe, (uint64_t)what << 32 | index);
    return sqe;
}

/* Looks for completions without ever sleeping: the kernel says by a flag that
 * it has some to deliver. */
static void spin(struct load *load, uint64_t deadline)
{
    ring_submit(load);
    while (io_uring_cq_ready(&load->ring) == 0 &&
           (!deadline || now_ns() < deadline))
        if (IO_URING_READ_ONCE(*load->ring.sq.kflags) & IORING_SQ_TASKRUN)
            io_uring_get_events(&load->ring);
}

static void wait_until(struct load *load, uint64_t deadline)
{
    const uint64_t now = now_ns();
    const uint64_t left = deadline > now ? deadline - now : 0;
    struct __kernel_timespec ts = {
        .tv_sec = (int64_t)(left / 1000000000),
        .tv_nsec = (long long)(left % 1000000000),
    };
    struct io_uring_cqe *cqe;

    io_uring_submit_and_wait_timeout(&load->ring, &cqe, 1, &ts, NULL);
}

void ring_turn(struct load *load, uint64_t deadline)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    if (load->spin)
        spin(load, deadline);
    else if (deadline)
        wait_until(load, deadline);
    else
        io_uring_submit_and_wait(&load->ring, 1);

    load->now = now_ns();
    io_uring_for_each_cqe(&load->ring, head, cqe)
    {
        const unsigned what = (unsigned)(cqe->user_data >> 32);

        if (what == RING_TIMER)
            load->stopped = true;
        else
            load->mode->complete(load, (unsigned)cqe->user_data, what, cqe);
        if (++count == HANDFUL)
            break;
    }
    io_uring_cq_advance(&load->ring, count);
}

void ring_timer(struct load *load, uint64_t ns)
{
    static struct __kernel_timespec ts;

    ts.tv_sec = (int64_t)(ns / 1000000000);
    ts.tv_nsec = (long long)(ns % 1000000000);
    io_uring_prep_timeout(ring_sqe(load, 0, RING_TIMER), &ts, 0, 0);
    ring_submit(load);
}
