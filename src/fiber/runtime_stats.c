/* SPDX-License-Identifier: MIT
 *
 * runtime_stats.c - what can be asked of a run-time that runs.
 */
#include <errno.h>
#include <string.h>

#include "fiber/runtime.h"

const char *krait_wait_name(enum krait_wait what)
{
    static const char *const names[KRAIT_WAIT_KINDS] = {
        [KRAIT_WAIT_NONE] = "nothing",    [KRAIT_WAIT_RECV] = "recv",
        [KRAIT_WAIT_SEND] = "send",       [KRAIT_WAIT_ACCEPT] = "accept",
        [KRAIT_WAIT_CONNECT] = "connect", [KRAIT_WAIT_FD] = "fd",
        [KRAIT_WAIT_SLEEP] = "sleep",     [KRAIT_WAIT_JOIN] = "join",
        [KRAIT_WAIT_MUTEX] = "mutex",     [KRAIT_WAIT_COND] = "condition",
        [KRAIT_WAIT_SEM] = "semaphore",   [KRAIT_WAIT_CHAN] = "channel",
        [KRAIT_WAIT_GROUP] = "group",     [KRAIT_WAIT_HELPER] = "helper",
    };

    return (unsigned)what < KRAIT_WAIT_KINDS ? names[what] : "?";
}

static uint64_t get(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_worker(krait_stats *s, struct krait__worker *w)
{
    s->spawned += get(&w->counts.spawned);
    s->switches += get(&w->counts.switches);
    s->operations += get(&w->counts.operations);
    s->wakes += get(&w->wakes);
    for (int i = 1; i < KRAIT_WAIT_KINDS; i++) {
        uint64_t n = get(&w->counts.waiting_for[i]);

        s->waiting_for[i] += n;
        s->waiting += n;
    }
}

static void fill(krait_stats *s, struct krait__runtime *rt)
{
    struct krait__stack_counts stacks;

    _Static_assert(KRAIT_WAIT_KINDS <=
                       sizeof s->waiting_for / sizeof *s->waiting_for,
                   "room for every kind of wait");
    s->engine = rt->workers[0].engine->name;
    s->why = rt->workers[0].why;
    s->workers = rt->nworkers;
    for (int i = 0; i < rt->nworkers; i++)
        add_worker(s, &rt->workers[i]);
    s->alive = get(&rt->alive);
    s->ready = s->alive > s->waiting ? s->alive - s->waiting : 0;
    s->stalls = get(&rt->stalls);
    krait__stacks_count(rt->stacks, &stacks);
    s->stacks = stacks.mapped;
    s->stacks_unguarded = stacks.unguarded;
    s->stack_bytes = stacks.bytes;
    s->stack_bytes_resident = stacks.resident;
    s->guards = stacks.guards;
}

int krait_runtime_stats_sized(krait_stats *out, size_t size)
{
    struct krait__runtime *rt = krait__runtime_enter();
    krait_stats s = {0};
    int rc = out ? rt ? 0 : -ESRCH : -EINVAL;

    if (rc == 0)
        fill(&s, rt);
    if (rt)
        krait__runtime_leave();
    if (rc < 0)
        return krait__fail("runtime_stats", rc,
                           rc == -ESRCH ? "no run-time runs"
                                        : "nowhere to put them (NULL)",
                           NULL, NULL, 0);
    memcpy(out, &s, size < sizeof s ? size : sizeof s);
    if (size > sizeof s)
        memset((char *)out + sizeof s, 0, size - sizeof s);
    return 0;
}

const char *krait_engine_name(void)
{
    struct krait__worker *w = krait__worker_here();

    return w ? w->engine->name : "poll";
}

const char *krait_engine_why(void)
{
    struct krait__worker *w = krait__worker_here();

    return w ? w->why : "a plain thread";
}
