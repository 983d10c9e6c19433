/* SPDX-License-Identifier: MIT
 *
 * runtime.h - what a fiber, a worker and the run-time are inside. Private to
 * the room.
 *
 * A worker is a thread with an engine. Everything that a worker has is its own
 * thread's alone, but for the inbox, through which others (threads, workers,
 * signal handlers) ask it to wake a fiber, and counters. A fiber belongs to one
 * worker for life; only its `posted`, `cancelled`, `refs`, its name and what
 * its lock protects are touched by others.
 *
 * A fiber's memory is the top of its stack: one page holds an idle fiber. It
 * goes with the last reference: the fiber's run, its owner's handle
 * (krait_join, krait_release), a message in the inbox.
 */
#ifndef KRAIT__RUNTIME_H
#define KRAIT__RUNTIME_H

#include <pthread.h>
#include <stdatomic.h>
#include <krait/fiber.h>

#include "base/failure.h"
#include "base/flow.h"
#include "base/list.h"
#include "base/lock.h"
#include "engine/engine.h"
#include "fiber/context.h"
#include "fiber/park.h"
#include "fiber/stack.h"
#include "fiber/timers.h"

/* --- the fiber ---------------------------------------------------------- */

enum { KRAIT__NAME_WORDS = (KRAIT_FIBER_NAME_MAX + 1) / 8 };

struct krait_fiber {
    /* What each turn needs lies together, up to the context's first word. */
    struct krait__worker *worker;
    struct krait_fiber *next; /* on the ready queue */
    bool woken;        /* since it last parked: the next park returns at once */
    bool parked;       /* switched away from, and on no queue */
    bool signalled;    /* a signal has come: the hook is to be asked */
    bool fresh;        /* in the inbox for the first time */
    bool no_cancel;    /* krait_setcancelstate */
    atomic_uint waits; /* enum krait_wait */
    atomic_bool cancelled;
    struct krait__timer timer;
    struct krait__flow flow;
    const void *about; /* the handle of its last operation, which may be gone:
                        * only for fetching it ahead */
    struct krait__context context;

    struct krait__node all_node; /* of its worker's fibers */
    struct krait__parker parker;
    atomic_bool posted; /* in its worker's inbox */
    struct krait_fiber *next_posted;

    int (*fn)(void *arg);
    void *arg;
    int result;

    atomic_uint refs;
    struct krait__lock lock; /* of: */
    bool ended;
    struct krait__parker *joiner;

    struct krait__stack stack;                /* that all this lies on */
    _Atomic uint64_t name[KRAIT__NAME_WORDS]; /* the watchdog reads along */
    struct krait__failure failure;
};

/* --- the worker --------------------------------------------------------- */

/* Written by the worker alone, read by anybody. */
struct krait__counts {
    _Atomic uint64_t spawned, switches, operations;
    _Atomic uint64_t waiting_for[KRAIT_WAIT_KINDS];
};

/* What others write has a cache line of its own. */
/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct krait__worker {
    struct krait__runtime *runtime;
    int number; /* 1, 2, ... */
    struct krait__engine *engine;
    char why[96];                  /* that engine */
    struct krait__context context; /* the scheduler's */
    struct krait__flow *flow;      /* and what was current before it */
    _Atomic(struct krait_fiber *) current;
    struct krait_fiber *ready, **ready_end; /* first come, first served */
    struct krait_fiber *over; /* has just ended: its stack is still warm */
    struct krait__timers timers;
    struct krait__stack_cache stacks;
    struct krait__node *all;
    /* Since when there is nothing to do (0: there is), how long that lasts
     * lately; of how many turns of fibers it is the end, and counts.switches
     * when it began. See looks_around. */
    int64_t idle_since, gap, turns;
    uint64_t turns_before;
    /* When the engine was asked: counts.switches, and the coarse clock's ns;
     * and whether a slice was used up since. See need_not_ask. */
    uint64_t asked_at;
    long asked_tick;
    bool long_turn;
    unsigned slice; /* what `current` may still do without parking */
    bool told;      /* that the run-time is ending */
    struct krait__counts counts;

    _Alignas(64) _Atomic(struct krait_fiber *) inbox; /* latest first */
    atomic_bool asleep; /* in its engine; whoever clears it wakes it */
    _Atomic uint64_t wakes;

    pthread_t thread;
    void *signal_stack;
};

/* --- the run-time ------------------------------------------------------- */

struct krait__runtime {
    int nworkers;
    struct krait__worker *workers;
    struct krait__stacks *stacks;
    krait_run_options opt; /* with the defaults filled in */
    bool spins;            /* a worker may look around before it sleeps */
    const char *asked_by;  /* who chose the engine, where somebody did */
    int (*main)(void *arg);
    void *arg;
    int result, error;             /* main's, and its errno */
    struct krait__failure failure; /* main's last */
    atomic_bool ending;            /* main has returned */
    atomic_bool finished;          /* and all other fibers have, too */
    _Atomic uint64_t alive;        /* fibers */
    _Atomic uint64_t stalls;
    atomic_uint next_worker; /* for those who spawn from outside */

    /* How the workers' threads start and end together; under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int threads;  /* that were started, but for the caller's */
    int ready;    /* of these: have an engine, or failed */
    int out;      /* of these: have left their loops */
    int code;     /* the first failure; 0 */
    bool closing; /* nobody wakes a worker any more */
};

/* The one that runs; debuggers know it by this name. */
extern _Atomic(struct krait__runtime *) krait__runtime;

/* For threads outside the run-time: keeps it from going until
 * krait__runtime_leave; NULL: none runs. In a fiber, its own. */
struct krait__runtime *krait__runtime_enter(void);
void krait__runtime_leave(void);

/* --- inside ------------------------------------------------------------- */

/* The calling thread's worker; NULL: it is none (or forked off one). */
struct krait__worker *krait__worker_here(void);
void krait__worker_set(struct krait__worker *w);

/* Runs fibers until the run-time has finished. */
void krait__worker_loop(struct krait__worker *w);

/* Wakes the worker if it sleeps. From signal handlers too. */
void krait__worker_wake(struct krait__worker *w);

/* Wakes a fiber, through the inbox: from any thread, signal handlers too. */
void krait__post(struct krait_fiber *f);

/* A new fiber onto its worker's queue; on that worker. */
void krait__enroll(struct krait_fiber *f);

/* Drops a reference. */
void krait__fiber_drop(struct krait_fiber *f);

/* Where a new fiber begins. */
void krait__fiber_main(void *fiber);

/* Makes a fiber with two references, its run's and its owner's; not enrolled.
 * NULL: no memory. */
struct krait_fiber *krait__fiber_new(struct krait__runtime *rt,
                                     struct krait__worker *w,
                                     int (*fn)(void *arg), void *arg,
                                     const krait_spawn_options *options);

/* The fiber that lies at the top of a stack. */
struct krait_fiber *krait__fiber_on(const struct krait__stack *stack);

/* The name, or ""; `buf` has KRAIT_FIBER_NAME_MAX + 1 bytes. From any thread
 * while the stack pool lives. */
const char *krait__fiber_name(struct krait_fiber *f, char *buf);

/* A fiber's function has returned in the child of a fork. */
_Noreturn void krait__leave_child(int result);

/* Counts up what only the worker itself writes. */
static inline void krait__count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
        memory_order_relaxed);
}

/* The watchdog: 0 or a negative code; told to end, waits for it. */
int krait__watchdog_start(struct krait__runtime *rt);
void krait__watchdog_stop(void);

/* SIGSEGV: names the fiber whose stack has overflowed. A worker's signal stack
 * is made and freed by its thread. */
void krait__overflow_watch(struct krait__runtime *rt);
void krait__overflow_unwatch(void);
int krait__signal_stack(struct krait__worker *w);
void krait__signal_stack_end(struct krait__worker *w);

#endif
