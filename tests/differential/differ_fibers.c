/* SPDX-License-Identifier: MIT
 *
 * differ_fibers.c - two flows of control, as fibers; and a run-time in which
 * many programs are run, several of them at a time: the strands.
 *
 * The partner is a fiber of the same worker or of another, as the program says.
 */
#include <errno.h>

#include "differ.h"

#include "fiber/scheduler.h"

enum { STRANDS = 4, WORKERS = 2 };

struct flows_state {
    krait_fiber *partner;
    void (*fn)(void *arg);
    void *arg;
};

static int partner(void *arg)
{
    struct flows_state *f = arg;

    f->fn(f->arg);
    return 0;
}

static void begin(struct world *w, void (*fn)(void *arg), void *arg)
{
    int worker = krait_worker();
    krait_spawn_options options = {
        .name = "partner",
        .worker = w->program->far_worker ? worker % WORKERS + 1 : worker,
    };

    w->state->fn = fn;
    w->state->arg = arg;
    w->state->partner = krait_spawn(partner, w->state, &options);
    if (!w->state->partner)
        fn(arg); /* no memory: let it be seen as what did not wait */
}

static bool blocked(struct world *w)
{
    return w->state->partner && krait__fiber_waits(w->state->partner);
}

static void cancel(struct world *w)
{
    if (w->state->partner)
        krait_cancel(w->state->partner);
}

static void join(struct world *w)
{
    if (w->state->partner)
        krait_join(w->state->partner, NULL);
    w->state->partner = NULL;
}

static void take_a_turn(unsigned turn)
{
    if (turn < 100)
        krait_yield();
    else
        krait_sleep(0.0001);
}

const struct flows fiber_flows = {
    .name = "fiber",
    .begin = begin,
    .blocked = blocked,
    .cancel = cancel,
    .join = join,
    .pause = take_a_turn,
};

/* --- strands ------------------------------------------------------------- */

struct strand {
    struct fiber_batch *batch;
    struct world world;
    struct flows_state state;
    unsigned first;
};

static int strand(void *arg)
{
    struct strand *s = arg;
    struct fiber_batch *b = s->batch;
    unsigned i;

    for (i = s->first; i < b->count; i += STRANDS) {
        b->now[s->first] = &s->world;
        run_program(&s->world, &b->programs[i], &b->lead[i], &b->records[i]);
        b->finished();
    }
    return 0;
}

static int strands(void *arg)
{
    struct fiber_batch *b = arg;
    krait_fiber *fiber[STRANDS];
    struct strand s[STRANDS];
    char where[48];
    int i;

    for (i = 0; i < STRANDS; i++) {
        snprintf(where, sizeof where, "%s%c", b->where, 'a' + i);
        s[i] = (struct strand){.batch = b, .first = (unsigned)i};
        world_init(&s[i].world, b->performer, &s[i].state, where);
        fiber[i] = krait_spawn(
            strand, &s[i], &(krait_spawn_options){.worker = i % WORKERS + 1});
    }
    for (i = 0; i < STRANDS; i++) {
        if (fiber[i])
            krait_join(fiber[i], NULL);
        world_free(&s[i].world);
    }
    return 0;
}

int run_in_fibers(struct fiber_batch *b)
{
    krait_run_options options = {.workers = WORKERS, .engine = b->engine};

    return krait_run(strands, b, &options);
}
