/* SPDX-License-Identifier: MIT
 *
 * bench_server.h - what the servers of the benchmark have in common: their
 * command line, their listener, and the work that each request costs.
 *
 * Every one of them is called
 *
 *     NAME [--port N] [--work NS] [--buffer BYTES] [--sink]
 *
 * listens on 127.0.0.1, says `port N` on stdout, and serves until SIGTERM ends
 * it: what one receive brings is, after NS nanoseconds of work, sent back; with
 * --sink it is thrown away.
 */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define LISTEN_BACKLOG 4096

struct server_options {
    long port;   /* 0: any */
    long work;   /* ns of CPU for each receive; 0: none at all */
    long buffer; /* bytes that one receive may bring */
    long sink;   /* not 0: nothing is sent back */
};

/* One more option, of one server only. Without an argument it sets 1. */
struct server_extra {
    const char *name;
    long *value;
    bool has_argument;
};

/* Reads the command line; `extra` ends with a name of NULL, or is NULL. Leaves
 * with a usage if it is wrong. Raises the limit of fds to what is allowed, and
 * lets SIGTERM end the process as a success. */
struct server_options server_parse(int argc, char **argv,
                                   const struct server_extra *extra);

/* A listener, which has said its port. `flags` are socket(2)'s, such as
 * SOCK_NONBLOCK. Its connections have TCP_NODELAY, since on Linux they inherit
 * it. Leaves with a complaint where there can be none. */
int server_listen(const struct server_options *options, int flags);

static inline int64_t server_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The handler's own work. */
static inline void server_work(long ns)
{
    if (ns > 0) {
        const int64_t end = server_clock() + ns;

        while (server_clock() < end)
            ;
    }
}

#endif
