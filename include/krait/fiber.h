/* SPDX-License-Identifier: MIT
 *
 * krait/fiber.h - fibers: threads of control that cost little, a million at a
 * time.
 *
 * Code that runs in a fiber calls what it would call in a thread: krait_recv,
 * krait_accept, getline on a krait_makefile. Where the call has to wait, the
 * fiber is parked and its thread, a worker, runs others. Nothing else is
 * different: same results, same errnos.
 *
 *     static int chat(void *arg)              a fiber for each connection
 *     {
 *         krait_sock *s = arg;
 *         ...krait_recv(s, ...), krait_sendall(s, ...)...
 *         return krait_close(s);
 *     }
 *
 *     static int listen_here(void *unused)    the first fiber
 *     {
 *         ...
 *         while ((s = krait_accept(listener, NULL)))
 *             krait_release(krait_spawn(chat, s, NULL));
 *         return -1;
 *     }
 *
 *     int main(void)
 *     {
 *         return krait_run(listen_here, NULL, NULL) < 0;
 *     }
 *
 * A fiber stays on the worker that it was started on. It is never interrupted
 * there: other fibers of that worker run when it waits, yields or ends, so that
 * it must not compute for long, nor call what blocks the thread (krait_blocking
 * is for that). docs/fibers.md has the rules.
 *
 * Every call here may be made from fibers and from plain threads, unless said
 * otherwise, and from no signal handler. One that waits fails with ECANCELED
 * once its fiber is cancelled, ETIMEDOUT when its own or a deadline scope's
 * time has passed, EINTR when the signal hook says so (krait/io.h), ENOMEM
 * where a fiber's time-out finds no memory.
 */
#ifndef KRAIT_FIBER_H
#define KRAIT_FIBER_H

#include <stddef.h>
#include <stdint.h>
#include <krait/version.h>

KRAIT_BEGIN_DECLS

typedef struct krait_fiber krait_fiber;

/* --- the run-time ------------------------------------------------------ */

enum krait_engine {
    KRAIT_ENGINE_DEFAULT, /* io_uring where the kernel allows it, else epoll */
    KRAIT_ENGINE_EPOLL,
    KRAIT_ENGINE_URING /* fails where the kernel does not allow it */
};

/* Zero in a field means its default. May grow at its end. */
typedef struct krait_run_options {
    int workers;              /* threads that run fibers, the caller's among
                               * them, 1,024 at most; default: one for each CPU
                               * that this process may use */
    enum krait_engine engine; /* the environment's KRAIT_ENGINE=epoll|uring
                               * goes before it */
    size_t stack_size;        /* bytes of a fiber's stack, mapped as they are
                               * touched; default KRAIT_STACK_SIZE */
    double watchdog;          /* seconds that a fiber may run without waiting
                               * before the log names it, once; default: it is
                               * not looked for */
    int keep_sigsegv;         /* not 0: do not handle SIGSEGV. The run-time
                               * does, where the program does not, to say which
                               * fiber's stack has overflowed; the signal then
                               * takes its course */
} krait_run_options;

/* Default: room for printf, OpenSSL, SQLite; address space until touched. */
#define KRAIT_STACK_SIZE ((size_t)256 << 10)

/* Runs `main(arg)` as the first fiber, on the calling thread, which is worker
 * 1; starts the other workers, which have the caller's signal mask, as new
 * threads do. When main returns, the fibers that are left are cancelled and
 * waited for, as Python's asyncio.run does; then krait_run returns what main
 * did, where that is less than 0 with main's errno and krait_errmsg().
 * `options` may be NULL.
 *
 * -1 and errno, with main not called: EBUSY a run-time runs in this process
 * already (the caller may be its fiber); EINVAL no function, an option or
 * KRAIT_ENGINE is out of its range; E2BIG an option is set that this older
 * library does not know; ENOTSUP io_uring was asked for and can't be had, or
 * hardware shadow stacks are on, which fibers don't know; EMFILE, ENOMEM (also
 * a stack_size beyond any memory), EAGAIN (no more threads). krait_errmsg()
 * begins with "run" then. In the child of a fork there is no run-time. */
KRAIT_API int krait_run_sized(int (*main)(void *arg), void *arg,
                              const krait_run_options *options, size_t size);

static inline int krait_run(int (*main)(void *arg), void *arg,
                            const krait_run_options *options)
{
    return krait_run_sized(main, arg, options, sizeof *options);
}

/* --- fibers ------------------------------------------------------------ */

typedef struct krait_spawn_options {
    int worker;        /* 1, 2, ...: the worker to run on; default: the caller's
                        * own, or, from outside the run-time, each in turn */
    const char *name;  /* for the log, the statistics and the debugger; copied,
                        * at most KRAIT_FIBER_NAME_MAX bytes of it */
    size_t stack_size; /* bytes, at least; default, and the least: krait_run's
                        */
} krait_spawn_options;

#define KRAIT_FIBER_NAME_MAX 23

/* Starts a fiber that runs `fn(arg)`, soon: not before the caller waits, where
 * it is on the caller's worker. `options` may be NULL. Whoever started it must
 * krait_join or krait_release it, once. NULL and errno: ENOMEM; EINVAL no such
 * worker, no function; E2BIG as krait_run; ESRCH no run-time runs (from a
 * thread outside it); ECANCELED the run-time is ending (likewise). */
KRAIT_API krait_fiber *krait_spawn_sized(int (*fn)(void *arg), void *arg,
                                         const krait_spawn_options *options,
                                         size_t size);

static inline krait_fiber *krait_spawn(int (*fn)(void *arg), void *arg,
                                       const krait_spawn_options *options)
{
    return krait_spawn_sized(fn, arg, options, sizeof *options);
}

/* Waits until the fiber has ended, tells what its function returned in
 * `*result` (NULL: not wanted), and lets go of it: `f` is gone. On failure it
 * is still the caller's. -1 and errno: EDEADLK it is the caller itself; EBUSY
 * somebody else is joining it; EINVAL NULL; ESRCH no run-time runs. A caller
 * that is cancelled, or whose scope has passed, is told so even where the fiber
 * has ended already. */
KRAIT_API int krait_join(krait_fiber *f, int *result);

/* Lets go of the fiber, which goes on by itself: `f` is gone. NULL is fine;
 * keeps errno. Not while somebody joins it. */
KRAIT_API void krait_release(krait_fiber *f);

/* Asks the fiber to end: its call that waits now, and every later one that may
 * wait, fails with ECANCELED, for ever, and it unwinds through its own code.
 * The fiber must still be the caller's, or the caller itself. EINVAL: NULL;
 * ESRCH: no run-time runs. */
KRAIT_API int krait_cancel(krait_fiber *f);

/* 1: the calling fiber was cancelled; 0: not so, or a plain thread. */
KRAIT_API int krait_cancelled(void);

/* Like pthread_setcancelstate(3): while disabled, a cancellation is held back,
 * so that what cleans up may wait (for its own children, say). Returns the
 * state before. In a plain thread it has no effect. */
enum krait_cancel_state { KRAIT_CANCEL_ENABLE, KRAIT_CANCEL_DISABLE };
KRAIT_API enum krait_cancel_state krait_setcancelstate(
    enum krait_cancel_state state);

/* Lets the worker's other fibers run; in a plain thread, sched_yield(2). */
KRAIT_API void krait_yield(void);

/* Waits for so many seconds. 0; -1 and errno: EINVAL negative or not a number,
 * ECANCELED, ETIMEDOUT (a scope), EINTR. */
KRAIT_API int krait_sleep(double seconds);

/* The calling fiber; NULL in a plain thread. It is lent: not to be joined. */
KRAIT_API krait_fiber *krait_self(void);

/* The calling fiber's worker: 1, 2, ...; 0 in a plain thread. */
KRAIT_API int krait_worker(void);

/* --- asking ------------------------------------------------------------ */

/* What fibers wait for, as the statistics count it. */
enum krait_wait {
    KRAIT_WAIT_NONE, /* runs, or is ready to */
    KRAIT_WAIT_RECV,
    KRAIT_WAIT_SEND,
    KRAIT_WAIT_ACCEPT,
    KRAIT_WAIT_CONNECT,
    KRAIT_WAIT_FD,    /* krait_wait_fd, krait_wait_child */
    KRAIT_WAIT_SLEEP, /* krait_sleep; pauses between attempts */
    KRAIT_WAIT_JOIN,
    KRAIT_WAIT_MUTEX,
    KRAIT_WAIT_COND,
    KRAIT_WAIT_SEM,
    KRAIT_WAIT_CHAN,
    KRAIT_WAIT_GROUP,
    KRAIT_WAIT_HELPER, /* krait_blocking, names being resolved */
    KRAIT_WAIT_KINDS
};

/* "recv", "mutex", ...; never NULL. */
KRAIT_API const char *krait_wait_name(enum krait_wait what);

/* May grow at its end. Counts, unless a unit is given; read while the workers
 * run, so that numbers taken a moment apart may not add up. */
typedef struct krait_stats {
    const char *engine; /* as krait_engine_name */
    const char *why;    /* as krait_engine_why */
    int workers;
    uint64_t spawned;          /* fibers, ever */
    uint64_t alive;            /* started and not ended */
    uint64_t ready;            /* of these: run, or could */
    uint64_t waiting;          /* of these: wait */
    uint64_t waiting_for[16];  /* ... by enum krait_wait */
    uint64_t switches;         /* to a fiber, ever */
    uint64_t operations;       /* given to an engine, ever */
    uint64_t wakes;            /* writes that woke a sleeping worker, ever */
    uint64_t stalls;           /* seen by the watchdog, ever */
    uint64_t stacks;           /* mapped: in use, and kept for reuse */
    uint64_t stacks_unguarded; /* of these: without a guard, since the kernel
                                * gave none (vm.max_map_count) */
    uint64_t stack_bytes;      /* address space that they take */
    uint64_t stack_bytes_resident; /* memory that they take; the whole is
                                    * walked when asked for */
    const char *guards; /* "MADV_GUARD_INSTALL", "mprotect", "none" */
} krait_stats;

/* Fills in `*out`. -1 and ESRCH: no run-time runs; EINVAL: NULL. From any
 * thread. */
KRAIT_API int krait_runtime_stats_sized(krait_stats *out, size_t size);

static inline int krait_runtime_stats(krait_stats *out)
{
    return krait_runtime_stats_sized(out, sizeof *out);
}

/* What performs the caller's operations: "epoll" or "io_uring" in a fiber,
 * "poll" in a plain thread. Static. */
KRAIT_API const char *krait_engine_name(void);

/* Why it is that one, in a line: "asked for by KRAIT_ENGINE", "io_uring_setup:
 * Operation not permitted". Valid while the run-time runs. */
KRAIT_API const char *krait_engine_why(void);

KRAIT_END_DECLS

#endif
