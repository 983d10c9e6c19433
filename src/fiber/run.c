/* SPDX-License-Identifier: MIT
 *
 * run.c - the run-time begun and ended.
 *
 * One at a time in a process, so that a thread outside can start a fiber
 * without naming it. The caller's thread is worker 1. Every worker makes its
 * engine, and ends it, in its own thread (io_uring's rings want that); between
 * leaving the loop and ending the engine it waits until nobody can wake it any
 * more.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/options.h"
#include "fiber/instruments.h"
#include "fiber/runtime.h"

_Atomic(struct krait__runtime *) krait__runtime;

static atomic_bool running;
static atomic_uint visitors; /* threads outside, inside a call */

/* --- from outside ------------------------------------------------------ */

struct krait__runtime *krait__runtime_enter(void)
{
    struct krait__worker *w = krait__worker_here();
    struct krait__runtime *rt;

    if (w)
        return w->runtime;
    atomic_fetch_add(&visitors, 1);
    rt = atomic_load(&krait__runtime);
    if (!rt)
        atomic_fetch_sub(&visitors, 1);
    return rt;
}

void krait__runtime_leave(void)
{
    if (!krait__worker_here())
        atomic_fetch_sub(&visitors, 1);
}

/* --- forks and exits --------------------------------------------------- */

/* The child is a plain thread, on the stack of whichever fiber forked; what it
 * shares with its parent (epoll sets, rings) it gives up untouched. */
static void in_child(void)
{
    struct krait__runtime *rt = atomic_load(&krait__runtime);

    krait__worker_set(NULL);
    krait__flow()->parks = false;
    atomic_store(&krait__runtime, NULL);
    atomic_store(&running, false);
    atomic_store(&visitors, 0);
    for (int i = 0; rt && i < rt->nworkers; i++) {
        struct krait__worker *w = &rt->workers[i];

        /* Who wakes a fiber of the parent's, which waits for a semaphore here
         * too, finds its worker never asleep. */
        atomic_store(&w->asleep, false);
        if (w->engine && w->engine->abandon)
            w->engine->abandon(w->engine);
    }
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

void krait__leave_child(int result)
{
    _exit(result & 0xff);
}

static void on_exit_begin(void)
{
    krait__flow()->parks = false;
}

static void watch_exit(void)
{
    static atomic_bool watched;

    if (!atomic_exchange(&watched, true))
        atexit(on_exit_begin);
}

/* --- options ----------------------------------------------------------- */

/* Instrumented code has larger frames. */
enum { FRAMES = KRAIT__ASAN || KRAIT__TSAN ? 4 : 1 };

enum { WORKERS_MAX = 1024 };

static int count_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    return CPU_COUNT(&set);
}

/* The environment goes before the options. */
static int ask_environment(struct krait__runtime *rt)
{
    /* Before there is a second thread of ours. */
    const char *word = getenv("KRAIT_ENGINE"); /* NOLINT(concurrency-*) */

    rt->asked_by = "asked for by krait_run's options";
    if (!word || !*word)
        return 0;
    rt->asked_by = "asked for by KRAIT_ENGINE";
    if (strcmp(word, "epoll") == 0)
        rt->opt.engine = KRAIT_ENGINE_EPOLL;
    else if (strcmp(word, "uring") == 0)
        rt->opt.engine = KRAIT_ENGINE_URING;
    else
        return -EINVAL;
    return 0;
}

static int check_options(struct krait__runtime *rt, const char **why)
{
    krait_run_options *o = &rt->opt;
    int64_t ns;

    *why = "an option is out of its range";
    if (o->workers < 0 || o->workers > WORKERS_MAX ||
        (unsigned)o->engine > KRAIT_ENGINE_URING ||
        !krait__timeout(o->watchdog, &ns))
        return -EINVAL;
    if (o->workers == 0)
        o->workers = count_cpus();
    if (o->stack_size == 0)
        o->stack_size = KRAIT_STACK_SIZE * FRAMES;
    *why = "KRAIT_ENGINE is \"epoll\" or \"uring\"";
    if (ask_environment(rt) < 0)
        return -EINVAL;
    *why = NULL;
    /* Where others could run meanwhile. */
    rt->spins = o->workers <= count_cpus() && sysconf(_SC_NPROCESSORS_ONLN) > 1;
    return 0;
}

/* --- a worker made, and ended ------------------------------------------ */

static void say_why(struct krait__worker *w, const char *what, int code)
{
    char words[64];

    snprintf(w->why, sizeof w->why, "%s%s%s", what, code ? ": " : "",
             code ? krait__strerror(-code, words, sizeof words) : "");
}

/* By the kernel (none, io_uring_disabled), a filter of system calls,
 * SELinux. */
static bool is_refusal(int code)
{
    return code == -ENOSYS || code == -EPERM || code == -EACCES;
}

static int choose_engine(struct krait__worker *w)
{
    const struct krait__runtime *rt = w->runtime;
    enum krait_engine wanted = rt->opt.engine;
    int code = 0;

    say_why(w, rt->asked_by, 0);
    if (wanted == KRAIT_ENGINE_DEFAULT)
        say_why(w, "the kernel has it", 0);
    if (wanted != KRAIT_ENGINE_EPOLL)
        w->engine = krait__uring_new(&code);
    if (w->engine)
        return 0;
    if (wanted == KRAIT_ENGINE_URING)
        return is_refusal(code) ? -ENOTSUP : code;
    if (wanted == KRAIT_ENGINE_DEFAULT)
        say_why(w, "io_uring can't be had here", code);
    w->engine = krait__epoll_new(&code);
    return w->engine ? 0 : code;
}

static int begin_worker(struct krait__worker *w)
{
    int rc = krait__context_check();

    w->ready_end = &w->ready;
    if (rc == 0)
        rc = krait__signal_stack(w);
    if (rc == 0)
        rc = choose_engine(w);
    if (rc < 0)
        return rc;
    w->flow = krait__flow();
    krait__context_adopt(&w->context);
    krait__worker_set(w);
    return 0;
}

static void end_worker(struct krait__worker *w)
{
    krait__worker_set(NULL);
    if (w->engine)
        w->engine->destroy(w->engine);
    krait__timers_free(&w->timers);
    krait__signal_stack_end(w);
}

static void *worker_main(void *arg)
{
    struct krait__worker *w = arg;
    struct krait__runtime *rt = w->runtime;
    int rc = begin_worker(w);

    pthread_mutex_lock(&rt->lock);
    rt->ready++;
    if (rc < 0 && rt->code == 0)
        rt->code = rc;
    pthread_cond_broadcast(&rt->changed);
    pthread_mutex_unlock(&rt->lock);
    if (rc == 0)
        krait__worker_loop(w);
    pthread_mutex_lock(&rt->lock);
    rt->out++;
    pthread_cond_broadcast(&rt->changed);
    while (!rt->closing)
        pthread_cond_wait(&rt->changed, &rt->lock);
    pthread_mutex_unlock(&rt->lock);
    end_worker(w);
    return NULL;
}

/* --- the workers' threads ---------------------------------------------- */

static int start_threads(struct krait__runtime *rt)
{
    int rc = 0;

    for (int i = 1; i < rt->nworkers && rc == 0; i++) {
        struct krait__worker *w = &rt->workers[i];
        char name[16];

        rc = pthread_create(&w->thread, NULL, worker_main, w);
        if (rc != 0)
            break;
        rt->threads++;
        snprintf(name, sizeof name, "krait-%d", w->number);
        pthread_setname_np(w->thread, name);
    }
    pthread_mutex_lock(&rt->lock);
    while (rt->ready < rt->threads)
        pthread_cond_wait(&rt->changed, &rt->lock);
    if (rc == 0)
        rc = -rt->code;
    pthread_mutex_unlock(&rt->lock);
    return -rc;
}

/* With `finished` set. */
static void end_threads(struct krait__runtime *rt)
{
    for (int i = 1; i <= rt->threads; i++)
        if (rt->workers[i].engine)
            krait__worker_wake(&rt->workers[i]);
    pthread_mutex_lock(&rt->lock);
    while (rt->out < rt->threads)
        pthread_cond_wait(&rt->changed, &rt->lock);
    pthread_mutex_unlock(&rt->lock);
    atomic_store(&krait__runtime, NULL);
    krait__await_visitors(&visitors);
    pthread_mutex_lock(&rt->lock);
    rt->closing = true;
    pthread_cond_broadcast(&rt->changed);
    pthread_mutex_unlock(&rt->lock);
    for (int i = 1; i <= rt->threads; i++)
        pthread_join(rt->workers[i].thread, NULL);
}

/* --- the run-time ------------------------------------------------------ */

static int first_fiber(void *arg)
{
    struct krait__runtime *rt = arg;

    rt->result = rt->main(rt->arg);
    rt->error = errno;
    rt->failure = *krait__flow()->failure;
    if (!krait__worker_here())
        krait__leave_child(rt->result);
    atomic_store(&rt->ending, true);
    for (int i = 0; i < rt->nworkers; i++)
        krait__worker_wake(&rt->workers[i]);
    return 0;
}

static int make(struct krait__runtime *rt)
{
    rt->nworkers = rt->opt.workers;
    rt->stacks = krait__stacks_new(rt->opt.stack_size);
    rt->workers = aligned_alloc(_Alignof(struct krait__worker),
                                (size_t)rt->nworkers * sizeof *rt->workers);
    if (!rt->stacks || !rt->workers)
        return -ENOMEM;
    memset(rt->workers, 0, (size_t)rt->nworkers * sizeof *rt->workers);
    for (int i = 0; i < rt->nworkers; i++) {
        rt->workers[i].runtime = rt;
        rt->workers[i].number = i + 1;
    }
    return 0;
}

static int make_first(struct krait__runtime *rt)
{
    krait_spawn_options o = {.name = "main"};
    struct krait_fiber *f =
        krait__fiber_new(rt, &rt->workers[0], first_fiber, rt, &o);

    if (!f)
        return -ENOMEM;
    atomic_store(&rt->alive, 1);
    krait__fiber_drop(f); /* nobody joins it */
    krait__enroll(f);
    return 0;
}

/* Everything up to the first fiber; undone by end_threads and end_worker. */
static int begin(struct krait__runtime *rt)
{
    int rc = begin_worker(&rt->workers[0]);

    if (rc == 0)
        rc = start_threads(rt);
    if (rc == 0)
        rc = make_first(rt);
    return rc;
}

static int run(struct krait__runtime *rt)
{
    int rc = begin(rt);

    if (rc == 0 && rt->opt.watchdog > 0)
        rc = krait__watchdog_start(rt);
    if (rc == 0) {
        krait__overflow_watch(rt);
        atomic_store(&krait__runtime, rt);
        krait__worker_loop(&rt->workers[0]);
        krait__overflow_unwatch();
        if (rt->opt.watchdog > 0)
            krait__watchdog_stop();
    }
    atomic_store(&rt->finished, true);
    end_threads(rt);
    end_worker(&rt->workers[0]);
    return rc;
}

static int run_with(struct krait__runtime *rt)
{
    int rc = make(rt);

    pthread_mutex_init(&rt->lock, NULL);
    pthread_cond_init(&rt->changed, NULL);
    if (rc == 0)
        rc = run(rt);
    pthread_cond_destroy(&rt->changed);
    pthread_mutex_destroy(&rt->lock);
    krait__stacks_free(rt->stacks);
    free(rt->workers);
    return rc;
}

static const char *reason(int code, const char *why)
{
    switch (code) {
    case -EBUSY:
        return "a run-time runs in this process already";
    case -EAGAIN:
        return "no more threads can be had for its workers";
    case -E2BIG:
        return KRAIT__UNKNOWN_OPTION;
    case -ENOTSUP:
        return krait__context_check() < 0
                   ? "hardware shadow stacks are on, which fibers don't know"
                   : "io_uring was asked for, and can't be had here";
    default:
        return why;
    }
}

int krait_run_sized(int (*main)(void *arg), void *arg,
                    const krait_run_options *options, size_t size)
{
    struct krait__runtime rt = {.main = main, .arg = arg};
    const char *why = NULL;
    int rc = -EBUSY;

    if (atomic_exchange(&running, true))
        return krait__fail("run", rc, reason(rc, NULL), NULL, NULL, 0);
    watch_exit();
    rc = krait__options(&rt.opt, sizeof rt.opt, options, size);
    if (rc == 0 && !main) {
        why = "no function (NULL)";
        rc = -EINVAL;
    }
    if (rc == 0)
        rc = check_options(&rt, &why);
    if (rc == 0)
        rc = run_with(&rt);
    atomic_store(&running, false);
    if (rc < 0)
        return krait__fail("run", rc, reason(rc, why), NULL, NULL, 0);
    if (rt.result < 0) {
        /* What failed in main is told here, as if it had been called. */
        if (rt.failure.code)
            krait__fail_as(&rt.failure);
        errno = rt.error;
    }
    return rt.result;
}
