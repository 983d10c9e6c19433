/* SPDX-License-Identifier: MIT
 *
 * watchdog.c - finds fibers that never wait, and names them.
 *
 * A thread looks at every worker now and then. One that has not switched since
 * the last look, and is in a fiber, is kept by that fiber. Workers pay nothing
 * for being watched: the count of switches is there anyway.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/deadline.h"
#include "fiber/runtime.h"

/* What was seen of a worker, and whether it was told. */
struct seen {
    uint64_t switches;
    int64_t since;
    bool told;
};

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end;
    bool ends;
    struct krait__runtime *runtime;
    struct seen *seen;
} dog;

static void name_it(struct krait__worker *w, int64_t for_ns)
{
    struct krait_fiber *f = atomic_load(&w->current);
    char name[KRAIT_FIBER_NAME_MAX + 1];

    if (!f)
        return;
    krait__fiber_name(f, name);
    atomic_fetch_add(&w->runtime->stalls, 1);
    krait__log("fiber \"%s\" has kept worker %d for %.1f s without waiting; "
               "its other fibers stand still",
               *name ? name : "(no name)", w->number, krait__seconds(for_ns));
}

static void look_at(struct krait__worker *w, struct seen *seen, int64_t limit)
{
    /* Who is current has been counted: so the count is read after that. */
    bool in_fiber = atomic_load(&w->current);
    uint64_t switches =
        atomic_load_explicit(&w->counts.switches, memory_order_relaxed);
    int64_t now = krait__now();

    if (switches != seen->switches || !in_fiber) {
        *seen = (struct seen){.switches = switches, .since = now};
        return;
    }
    if (seen->told || now - seen->since < limit)
        return;
    seen->told = true;
    name_it(w, now - seen->since);
}

static void wait_until(int64_t when)
{
    struct timespec ts = krait__timespec(when);

    pthread_cond_clockwait(&dog.end, &dog.lock, CLOCK_MONOTONIC, &ts);
}

static void *watch(void *unused)
{
    struct krait__runtime *rt = dog.runtime;
    int64_t limit = KRAIT__NEVER;

    (void)unused;
    krait__timeout(rt->opt.watchdog, &limit);
    pthread_mutex_lock(&dog.lock);
    while (!dog.ends) {
        for (int i = 0; i < rt->nworkers; i++)
            look_at(&rt->workers[i], &dog.seen[i], limit);
        /* Four looks a limit: told after 1 to 1.25 of it. */
        wait_until(krait__now() + limit / 4 + 1);
    }
    pthread_mutex_unlock(&dog.lock);
    return NULL;
}

int krait__watchdog_start(struct krait__runtime *rt)
{
    sigset_t all, before;
    int rc;

    dog.seen = calloc((size_t)rt->nworkers, sizeof *dog.seen);
    if (!dog.seen)
        return -ENOMEM;
    /* Else the first look, should it come while the first fiber is entered,
     * would find it there since the machine was started. */
    for (int i = 0; i < rt->nworkers; i++)
        dog.seen[i].since = krait__now();
    dog.runtime = rt;
    dog.ends = false;
    pthread_mutex_init(&dog.lock, NULL);
    pthread_cond_init(&dog.end, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&dog.thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        free(dog.seen);
    return -rc;
}

void krait__watchdog_stop(void)
{
    pthread_mutex_lock(&dog.lock);
    dog.ends = true;
    pthread_cond_signal(&dog.end);
    pthread_mutex_unlock(&dog.lock);
    pthread_join(dog.thread, NULL);
    pthread_cond_destroy(&dog.end);
    pthread_mutex_destroy(&dog.lock);
    free(dog.seen);
}
