/* SPDX-License-Identifier: MIT
 *
 * million.h - what the processes of the million connections know of each other.
 *
 * No process may have a million fds where the limit is less, so there are many
 * of them: servers, which share one port (SO_REUSEPORT), as many clients, and
 * the parent, which starts them and gives the clients their orders. Each has a
 * socket to the parent, and a tally in memory that all share.
 */
#ifndef MILLION_H
#define MILLION_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes of a message, and of its answer. */
#define MESSAGE_SIZE 64

/* What a client does next; it says so when it has. */
enum order_kind {
    OPEN,  /* count: so many more connections */
    SWEEP, /* count: the sweep's number */
    CLOSE
};

struct order {
    enum order_kind kind;
    unsigned count;
};

enum counted {
    HELD,     /* connections, ever */
    ENDED,    /* of these: are over, and their fibers too */
    ANSWERED, /* messages that came back as they were sent */
    WRONG,    /* ... that came back changed */
    FAILED,   /* ... and what the kernel refused */
    COUNTED
};

/* Written by its process alone. */
struct tally {
    _Alignas(64) _Atomic uint64_t counts[COUNTED];
};

struct member {
    pid_t pid; /* 0: has been waited for */
    int control;
    struct tally *tally;
};

/* What a process is told when it begins. */
struct role {
    unsigned number;         /* 0, 1, ... of its kind */
    int control;             /* its end of the socket to the parent */
    unsigned limit;          /* connections that it may have */
    struct sockaddr_in addr; /* the servers' */
    char *engine;            /* where a server puts its engine's name */
    struct tally *tally;
};

#define ENGINE_NAME_SIZE 16

/* The two kinds of process: exit statuses. */
int million_server(const struct role *role);
int million_client(const struct role *role);

static inline void count(struct tally *tally, enum counted which)
{
    _Atomic uint64_t *counter = &tally->counts[which];

    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
        memory_order_relaxed);
}

/* --- the processes, as the parent sees them ----------------------------- */

struct family {
    unsigned size; /* so many servers, and so many clients */
    struct member *servers, *clients;
    char *engine;
    double deadline; /* of everything: million_now's clock */
};

/* Seconds, of a clock that only goes forward. */
double million_now(void);

/* Prepares for `size` servers and clients; false: no memory. */
bool million_family_init(struct family *f, unsigned size);

/* Starts them at one end; false: it has said why. */
bool million_start(struct family *f, struct member *members,
                   int (*main)(const struct role *role), unsigned limit,
                   const struct sockaddr_in *addr);

bool million_order(const struct member *m, struct order order);

/* Waits until all members of one end have said that they are done. While it
 * does, calls `progress` now and then. False: it may not go on. */
bool million_await(struct family *f, const struct member *members,
                   void (*progress)(void *arg), void *arg);

/* The sum of one count. */
uint64_t million_sum(const struct family *f, const struct member *members,
                     enum counted which);

/* Whether all processes live and there is time and memory; says so where
 * not. */
bool million_may_go_on(const struct family *f);

/* Tells the processes to end and waits; those that don't are killed. False: one
 * had something to complain of. */
bool million_end(struct family *f);

/* Ends all of them at once. */
void million_kill(struct family *f);

/* --- memory, in bytes ---------------------------------------------------- */

/* Left alone, whatever happens: the machine has other work. */
#define MEMORY_RESERVE ((uint64_t)1 << 30)

/* What can still be had without anybody being hurt: of the machine, or of the
 * control group, where that has a limit. */
uint64_t million_available(void);

/* A line of /proc/meminfo, "Slab:"; of a process's status, "VmRSS:". 0: there
 * is none. */
uint64_t million_meminfo(const char *name);
uint64_t million_status(pid_t pid, const char *name);

#endif
