/* SPDX-License-Identifier: MIT
 *
 * load.h - what the parts of the load generator know of each other.
 *
 * load.c reads the command line and runs the slices; load_echo.c, load_stream.c
 * and load_connect.c are what happens in them, a mode each; load_ring.c is
 * io_uring, load_bytes.c what is sent and whether it came back, load_latency.c
 * the histogram.
 */
#ifndef LOAD_H
#define LOAD_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* --- what is measured --- */

/* Log-linear: each power of two has so many buckets, so that a value is known
 * within 1 %. Up to 2^LATENCY_BITS ns, which is over a minute. */
#define LATENCY_SUB_BITS 7
#define LATENCY_BITS     36
#define LATENCY_BUCKETS \
    ((LATENCY_BITS - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS)

struct latency {
    uint64_t count, most;
    uint32_t buckets[LATENCY_BUCKETS];
};

void latency_clear(struct latency *l);
void latency_add(struct latency *l, uint64_t ns);

/* The value that a `share` of them, 0 to 1, do not exceed, in ns. */
uint64_t latency_quantile(const struct latency *l, double share);

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* --- a run --- */

struct load;

/* What happens in a slice. */
struct mode {
    const char *name;
    bool one_way; /* nothing comes back */

    /* Makes the connections; complains and returns false if it can't. */
    bool (*open)(struct load *load);

    /* Makes the first requests of a slice. */
    void (*begin)(struct load *load);

    /* One completion; load->stopped tells whether to go on with another
     * request. */
    void (*complete)(struct load *load, unsigned index, unsigned what,
                     const struct io_uring_cqe *cqe);

    /* Gives up what is still in flight, an error each. */
    void (*abandon)(struct load *load);

    /* Bytes that have been counted and that the other end has not got. */
    uint64_t (*outstanding)(const struct load *load);
};

/* One of them, or, in connect's mode, one loop that makes them. */
struct connection {
    int fd;          /* -1: none */
    unsigned number; /* of the request that is in flight, or was */
    bool busy;       /* it is in flight */
    bool wrong;      /* ... and its answer is wrong already */
    bool lost;       /* no further use */
    size_t got;      /* bytes of the answer, so far */
    uint64_t since;  /* when it was sent */
    const unsigned char *expected;
    unsigned char *buffer; /* connect: where the answer goes */
};

extern const struct mode echo_mode, stream_mode, connect_mode;

struct load {
    long port, connections, active, size, pid, spin;
    const struct mode *mode;
    struct io_uring ring;
    struct io_uring_buf_ring *buffers; /* NULL: the mode has none */
    struct connection *connection;
    unsigned *chosen; /* the indices of the active ones first */
    uint64_t random;

    /* The slice. */
    uint64_t now; /* when its completions were looked at */
    bool stopped;
    long in_flight;
    uint64_t requests, bytes, errors;
    struct latency latency;
};

/* An answer that is as it should be. */
static inline void answered(struct load *load, uint64_t since)
{
    load->requests++;
    load->bytes += (uint64_t)load->size;
    latency_add(&load->latency, load->now - since);
}

/* Counts an error, and says the first one on stderr. */
void __attribute__((format(printf, 2, 3)))
mistake(struct load *load, const char *format, ...);

uint64_t random_next(struct load *load);

/* --- the ring --- */

bool ring_open(struct load *load);

/* Buffers of load->size bytes, for receives. */
bool ring_provide(struct load *load, unsigned count);
const unsigned char *ring_buffer(const struct load *load, unsigned id);
void ring_return(struct load *load, unsigned id);

/* An entry to fill, tagged with what mode.complete will be told. */
struct io_uring_sqe *ring_sqe(struct load *load, unsigned index, unsigned what);

/* Submits, waits for something and has the mode complete it: a handful at a
 * time, so that the server has what to do meanwhile. Waits no longer than
 * until `deadline`, 0 being never. */
void ring_turn(struct load *load, uint64_t deadline);

/* Submits what there is. */
void ring_submit(struct load *load);

/* Sets load->stopped when so much time has passed. */
void ring_timer(struct load *load, uint64_t ns);

/* The tag of that; a mode's own are below it. */
#define RING_TIMER 255U

/* --- what is sent --- */

/* The bytes of a connection's request of that number: load->size of them, for
 * ever. No two requests that could be taken for each other have the same. */
const unsigned char *bytes_of(unsigned index, unsigned number);

bool bytes_make(size_t size);

/* Are they what is expected? If not, that is a mistake: `what` and `number` say
 * whose, `at` how many bytes of it came before. */
bool bytes_check(struct load *load, const unsigned char *got,
                 const unsigned char *expected, size_t len, unsigned index,
                 unsigned number, size_t at);

/* --- sockets --- */

/* Connected to the server, without delay; -1 after a complaint. */
int dial(const struct load *load);

#endif
