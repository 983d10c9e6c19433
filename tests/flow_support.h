/* SPDX-License-Identifier: MIT
 *
 * flow_support.h - what a test runs in: plain threads, or fibers on one of the
 * engines. Chosen by the environment, so that one program is three tests:
 *
 *     KRAIT_TEST_FLOW=thread|epoll|uring      default: thread
 *     KRAIT_TEST_WORKERS=2                    threads that run the fibers
 *
 * With fibers all of a program's tests run in one of them, and so does what
 * start() starts: by turns on another worker and on the test's own, since a
 * wake crosses threads on the one and not on the other. start_thread() starts a
 * thread all the same: that both may share a socket is part of the promise.
 */
#ifndef KRAIT_TESTS_FLOW_SUPPORT_H
#define KRAIT_TESTS_FLOW_SUPPORT_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <krait.h>
#include <krait/fiber.h>

#include "base/flow.h"
#include "fiber/scheduler.h"

enum flow { IN_THREADS, ON_EPOLL, ON_URING };

static enum flow flow__;
static int workers__ = 2;

static inline bool in_fibers(void)
{
    return flow__ != IN_THREADS;
}

/* False, and said so, where the environment asks for what there is not. */
static inline bool choose_flow(void)
{
    static const char *const names[] = {"thread", "epoll", "uring"};
    const char *flow = getenv("KRAIT_TEST_FLOW");
    const char *workers = getenv("KRAIT_TEST_WORKERS");
    int i = 0;

    while (flow && i < 3 && strcmp(flow, names[i]) != 0)
        i++;
    flow__ = (enum flow)i;
    if (workers)
        workers__ = atoi(workers);
    if (i < 3 && workers__ > 0)
        return true;
    fprintf(stderr, "KRAIT_TEST_FLOW or KRAIT_TEST_WORKERS makes no sense\n");
    return false;
}

/* cmocka's frames, a test's, and what a sanitizer puts around them. */
#define FIBER_STACK ((size_t)1 << 20)

static inline bool is_fiber(void)
{
    return krait_self() != NULL;
}

/* What cuts a sleep short, an expired scope for one, would cut the next one
 * short, too: the others must get their turn all the same. */
static inline void nap_in_fiber(double seconds)
{
    if (krait_sleep(seconds) < 0)
        krait_yield();
}

static inline krait_fiber *spawn_on(int worker, int (*fn)(void *), void *arg)
{
    krait_spawn_options o = {.worker = worker};

    return krait_spawn(fn, arg, &o);
}

static inline krait_fiber *spawn_by_turns(int (*fn)(void *), void *arg)
{
    static atomic_uint turn;
    int here = krait_worker();

    if (here && atomic_fetch_add(&turn, 1) % 2)
        return spawn_on(here, fn, arg);
    return spawn_on(here % workers__ + 1, fn, arg);
}

/* Whatever cuts the wait short: the fiber is joined when this returns. */
static inline void join_fiber(krait_fiber *f)
{
    while (krait_join(f, NULL) < 0)
        krait_yield();
}

static inline bool fiber_waits(krait_fiber *f)
{
    return krait__fiber_waits(f);
}

/* Whether the fibers run on what was asked for. */
static inline bool is_right_engine(void)
{
    const char *wanted = flow__ == ON_URING ? "io_uring" : "epoll";

    return strcmp(krait_engine_name(), wanted) == 0;
}

/* Runs `body(arg)` in a fiber. 0: it ran; 77: this machine can't, and why is
 * printed. */
static inline int run_in_fiber(int (*body)(void *), void *arg)
{
    krait_run_options o = {.workers = workers__, .stack_size = FIBER_STACK};

    o.engine = flow__ == ON_URING ? KRAIT_ENGINE_URING : KRAIT_ENGINE_EPOLL;
    unsetenv("KRAIT_ENGINE"); /* it would go before the flow */
    if (krait_run(body, arg, &o) >= 0)
        return 0;
    fprintf(stderr, "%s%s\n", errno == ENOTSUP ? "skipped: " : "",
            krait_errmsg());
    return errno == ENOTSUP ? 77 : 1;
}

/* Only between two looks at something, never instead of looking. */
static inline void nap(double seconds)
{
    struct timespec ts = {(time_t)seconds, 0};

    if (is_fiber()) {
        nap_in_fiber(seconds);
        return;
    }
    ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
    nanosleep(&ts, NULL);
}

#endif
