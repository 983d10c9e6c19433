/* SPDX-License-Identifier: MIT
 *
 * scheduler.c - a worker's loop, and how its fibers park and are woken.
 *
 * The loop: what others asked for (the inbox), then the fibers that were ready
 * when the turn began, each until it parks, yields or ends; then the engine,
 * which sleeps only when nobody is ready, and then timers. While fibers are
 * ready and their turns are short, these two are left out for some turns. Every
 * part is bounded (a fiber by its slice, the engine by its budget), so that a
 * connection that is always busy can't keep others waiting for long.
 *
 * A fiber is woken by a token, not by an event: `woken` makes its park, this
 * one or the next, return, and then it looks for itself at what has happened.
 * So a wake may come for no reason, from anywhere, and none is lost.
 *
 * Falling asleep: the worker says so (`asleep`), then looks at the inbox once
 * more; whoever posts puts the fiber into the inbox, then looks at `asleep`.
 * Both in one total order, so that one of them sees the other. Whoever clears
 * the flag writes to the engine's eventfd: one write for a sleep, however many
 * post.
 */
#include "fiber/scheduler.h"

#include <errno.h>
#include <sched.h>

#include "base/deadline.h"
#include "base/inline.h"
#include "base/prefetch.h"
#include "base/signal_hook.h"
#include "fiber/runtime.h"
#include "fiber/thread_park.h"

/* Operations that a fiber may do in a row without parking. */
enum { SLICE = 64 };

/* Turns of fibers between two questions to the engine, at most. */
enum { UNASKED = 8 };

/* Operations that are ended in one turn of the loop: without a bound, cold
 * connections wait for hot ones. */
enum { BUDGET = 256 };

/* Of a fiber's stack, so many bytes are fetched before its turn: below where it
 * was left what its next calls will use, above it the frames of a parked
 * receive. */
enum { BELOW = 256, ABOVE = 512 };

/* How long a worker is idle before its free stacks count as cold. */
#define COLD KRAIT__NS_PER_SEC

static _Thread_local struct krait__worker *here;

struct krait__worker *krait__worker_here(void)
{
    return here;
}

void krait__worker_set(struct krait__worker *w)
{
    here = w;
}

static struct krait_fiber *current(struct krait__worker *w)
{
    return w ? atomic_load_explicit(&w->current, memory_order_relaxed) : NULL;
}

krait_fiber *krait_self(void)
{
    return current(here);
}

int krait_worker(void)
{
    return current(here) ? here->number : 0;
}

/* --- the ready queue ---------------------------------------------------- */

static void enqueue(struct krait__worker *w, struct krait_fiber *f)
{
    f->next = NULL;
    *w->ready_end = f;
    w->ready_end = &f->next;
}

/* On its worker's thread, and in no signal handler. */
static void wake_here(struct krait_fiber *f)
{
    f->woken = true;
    if (!f->parked)
        return;
    f->parked = false;
    enqueue(f->worker, f);
}

void krait__enroll(struct krait_fiber *f)
{
    struct krait__worker *w = f->worker;

    krait__list_add(&w->all, &f->all_node);
    krait__count(&w->counts.spawned, 1);
    /* Born cancelled, where everything else was told to end. */
    if (w->told)
        atomic_store(&f->cancelled, true);
    enqueue(w, f);
}

/* --- the inbox ---------------------------------------------------------- */

void krait__worker_wake(struct krait__worker *w)
{
    if (!atomic_exchange(&w->asleep, false))
        return;
    atomic_fetch_add_explicit(&w->wakes, 1, memory_order_relaxed);
    w->engine->wake(w->engine);
}

void krait__post(struct krait_fiber *f)
{
    struct krait__worker *w = f->worker;
    struct krait_fiber *first;

    if (atomic_exchange(&f->posted, true))
        return; /* it will look at what we did when it is taken out */
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    first = atomic_load_explicit(&w->inbox, memory_order_relaxed);
    do
        f->next_posted = first;
    while (!atomic_compare_exchange_weak(&w->inbox, &first, f));
    krait__worker_wake(w);
}

static void take_out(struct krait_fiber *f)
{
    /* From here on it can be posted again: what was done before that is seen
     * by what follows. */
    atomic_exchange(&f->posted, false);
    if (f->fresh) {
        f->fresh = false;
        krait__enroll(f);
    } else {
        wake_here(f);
    }
    krait__fiber_drop(f);
}

static void empty_inbox(struct krait__worker *w)
{
    struct krait_fiber *f, *next, *oldest = NULL;

    if (!atomic_load_explicit(&w->inbox, memory_order_relaxed))
        return;
    for (f = atomic_exchange(&w->inbox, NULL); f; f = next) {
        next = f->next_posted;
        f->next_posted = oldest;
        oldest = f;
    }
    for (f = oldest; f; f = next) {
        next = f->next_posted;
        take_out(f);
    }
}

/* --- looking around before sleeping -------------------------------------- */

/* What comes within microseconds is faster found than slept for: to be woken
 * takes longer. So a worker that has nothing to do looks around for a while
 * before it sleeps, as long as that has paid lately; one wait that was longer
 * takes a few short ones to be forgotten. And only where it mostly has a fiber
 * or two to run between two waits: more of them share the price of being
 * woken. */

/* How long it looks around; and what a wait that it has slept through counts
 * as, at most. */
#define SPIN     (50 * KRAIT__NS_PER_MS / 1000)
#define LONG_GAP (2 * SPIN)

/* Shorter is no wait: what came was there, or under way in the kernel. */
#define SHORT_GAP (KRAIT__NS_PER_MS / 250)

/* Fibers' turns between two waits: their moving average, in sixteenths. */
enum { FEW = 24, MANY = 64 * 16 };

static void begin_idle(struct krait__worker *w, int64_t now)
{
    uint64_t switches =
        atomic_load_explicit(&w->counts.switches, memory_order_relaxed);
    int64_t turns = (int64_t)(switches - w->turns_before) * 16;

    w->turns_before = switches;
    w->turns += ((turns < MANY ? turns : MANY) - w->turns) / 8;
    w->idle_since = now;
}

/* Whether the worker, which has nothing to do, is not to sleep yet. */
static bool looks_around(struct krait__worker *w)
{
    int64_t now;

    /* Who never sleeps is told of no signal. */
    if (!w->runtime->spins || krait__has_signal_hook())
        return false;
    now = krait__now();
    if (w->idle_since == 0)
        begin_idle(w, now);
    return w->turns <= FEW && w->gap < SPIN && now - w->idle_since < SPIN;
}

/* There is something to do again. */
static void end_idle(struct krait__worker *w)
{
    int64_t gap = krait__now() - w->idle_since;

    w->idle_since = 0;
    if (gap >= SPIN)
        w->gap = LONG_GAP;
    else if (gap >= SHORT_GAP)
        w->gap += (gap - w->gap) / 4;
}

/* --- running fibers ----------------------------------------------------- */

/* The fiber has left its stack for ever. */
static void bury(struct krait__worker *w, struct krait_fiber *f)
{
    struct krait__runtime *rt = w->runtime;
    bool last;

    krait__context_end(&f->context);
    krait__timer_remove(&w->timers, &f->timer);
    krait__list_remove(&f->all_node);
    krait__flow_end(&f->flow);
    /* Before anybody hears of it: who has joined a fiber finds it counted no
     * more. The run-time stays until this worker has left its loop. */
    last = atomic_fetch_sub(&rt->alive, 1) == 1 && atomic_load(&rt->ending);
    krait__lock(&f->lock);
    f->ended = true;
    if (f->joiner)
        krait__unpark(f->joiner);
    krait__unlock(&f->lock);
    krait__fiber_drop(f);
    if (!last)
        return;
    atomic_store(&rt->finished, true);
    for (int i = 0; i < rt->nworkers; i++)
        krait__worker_wake(&rt->workers[i]);
}

static void run(struct krait__worker *w, struct krait_fiber *f)
{
    /* In this order for the watchdog: one count is one fiber's turn. */
    krait__count(&w->counts.switches, 1);
    atomic_store_explicit(&w->current, f, memory_order_release);
    krait__flow_enter(&f->flow);
    w->slice = SLICE;
    krait__context_switch(&w->context, &f->context);
    krait__flow_enter(w->flow);
    atomic_store_explicit(&w->current, NULL, memory_order_release);
    if (!w->over)
        return;
    w->over = NULL;
    bury(w, f);
}

/* Among a thousand fibers each is cold when its turn comes, and a switch waits
 * for every load before it. While one fiber runs, the next one's frames and
 * socket are fetched, and of the one after it what tells where those are. */
static void fetch_ahead(const struct krait_fiber *f)
{
    if (!f)
        return;
    krait__prefetch((char *)f->context.sp - BELOW, BELOW + ABOVE);
    krait__prefetch(f->about, sizeof(struct krait__handle));
    if (f->next)
        krait__prefetch(f->next, offsetof(struct krait_fiber, context.low));
}

/* Those that are ready now, not those that become so meanwhile. */
static void run_ready(struct krait__worker *w)
{
    struct krait_fiber *f, *next = w->ready;

    if (next && w->idle_since)
        end_idle(w);
    *w->ready_end = NULL;
    w->ready = NULL;
    w->ready_end = &w->ready;
    while ((f = next)) {
        next = f->next;
        fetch_ahead(next);
        run(w, f);
    }
}

/* Back to the loop. errno is the fiber's: the library's own calls on other
 * stacks must not change it. */
static inline void leave(struct krait__worker *w, struct krait_fiber *f)
{
    int saved = errno;

    krait__context_switch(&f->context, &w->context);
    errno = saved;
}

void krait__fiber_main(void *fiber)
{
    struct krait_fiber *f = fiber;
    struct krait__worker *w;

    errno = 0;
    f->result = f->fn(f->arg);
    w = here;
    if (w) {
        w->over = f;
        krait__context_leave(&f->context, &w->context);
    }
    krait__leave_child(f->result);
}

void krait_yield(void)
{
    struct krait__worker *w = here;
    struct krait_fiber *f = current(w);

    if (!f) {
        sched_yield();
        return;
    }
    enqueue(w, f);
    leave(w, f);
}

static void breathe(struct krait__worker *w)
{
    if (w->slice > 0) {
        w->slice--;
        return;
    }
    w->long_turn = true;
    krait_yield();
}

void krait__breathe(void)
{
    if (krait__in_fiber())
        breathe(here);
}

/* --- the loop ----------------------------------------------------------- */

/* Those of the worker's fibers that are parked; `mark` tells them why. */
static void wake_all(struct krait__worker *w,
                     void (*mark)(struct krait_fiber *f))
{
    for (struct krait__node *n = w->all; n; n = n->next) {
        struct krait_fiber *f = KRAIT__OF(n, struct krait_fiber, all_node);

        mark(f);
        if (f->parked)
            wake_here(f);
    }
}

static void mark_cancelled(struct krait_fiber *f)
{
    atomic_store(&f->cancelled, true);
}

static void mark_signalled(struct krait_fiber *f)
{
    f->signalled |= f->parked;
}

static void run_timers(struct krait__worker *w)
{
    struct krait__timer *timer;
    int64_t now;

    if (krait__timers_next(&w->timers) == KRAIT__NEVER)
        return;
    now = krait__now();
    while ((timer = krait__timers_due(&w->timers, now)))
        wake_here(KRAIT__OF(timer, struct krait_fiber, timer));
}

static bool something_came(struct krait__worker *w)
{
    return atomic_load(&w->inbox) || atomic_load(&w->runtime->finished) ||
           (atomic_load(&w->runtime->ending) && !w->told);
}

/* Between two tries of an engine that can't ask the kernel: mostly because
 * there is no memory, and none is made by a worker that spins. */
static void give_it_time(void)
{
    krait__poll_wait(NULL, 0, -1, 0, krait__now() + KRAIT__NS_PER_MS);
}

/* When the worker's free stacks are cold, if nothing comes until then: nobody
 * has wanted one for so long, and their memory goes back. */
static int64_t when_cold(const struct krait__worker *w)
{
    return w->stacks.count > 0 ? krait__now() + COLD : KRAIT__NEVER;
}

/* To ask costs a system call: more than the turns of a fiber or two. While
 * fibers are ready it can wait, for a few turns that were short. The clock that
 * tells is one that ticks each few milliseconds, and costs next to nothing. */
static bool need_not_ask(struct krait__worker *w)
{
    uint64_t switches =
        atomic_load_explicit(&w->counts.switches, memory_order_relaxed);
    struct timespec tick;

    if (!w->ready || w->engine->queued || w->long_turn ||
        switches - w->asked_at >= UNASKED)
        goto ask;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &tick);
    if (tick.tv_nsec == w->asked_tick)
        return true;
    w->asked_tick = tick.tv_nsec;
ask:
    w->long_turn = false;
    w->asked_at = switches;
    return false;
}

/* A signal has come: its hook is asked by each fiber that waits, in its own
 * place, as a thread that waits would. */
static void ask_engine(struct krait__worker *w)
{
    int64_t until = KRAIT__AT_ONCE, cold = KRAIT__NEVER;
    int rc;

    if (!w->ready && !looks_around(w)) {
        atomic_store(&w->asleep, true);
        if (!something_came(w)) {
            cold = when_cold(w);
            until = krait__earlier(krait__timers_next(&w->timers), cold);
        }
    }
    rc = w->engine->wait(w->engine, until, BUDGET);
    if (atomic_load_explicit(&w->asleep, memory_order_relaxed))
        atomic_store(&w->asleep, false);
    if (rc == 0 && cold != KRAIT__NEVER && krait__now() >= cold)
        krait__stack_cache_flush(w->runtime->stacks, &w->stacks);
    if (rc == -EINTR && krait__has_signal_hook())
        wake_all(w, mark_signalled);
    if (rc < 0 && rc != -EINTR && !w->ready)
        give_it_time();
}

void krait__worker_loop(struct krait__worker *w)
{
    while (!atomic_load(&w->runtime->finished)) {
        empty_inbox(w);
        if (!w->told && atomic_load(&w->runtime->ending)) {
            w->told = true;
            wake_all(w, mark_cancelled);
        }
        run_ready(w);
        if (need_not_ask(w))
            continue;
        /* Timers after that: what came in time is seen before its time-out. */
        ask_engine(w);
        run_timers(w);
    }
    empty_inbox(w);
}

/* --- parking ------------------------------------------------------------ */

static bool stopped(const struct krait_fiber *f)
{
    return atomic_load_explicit(&f->cancelled, memory_order_acquire) &&
           !f->no_cancel;
}

static int why_woken(struct krait_fiber *f, bool late)
{
    if (stopped(f))
        return -ECANCELED;
    if (f->signalled) {
        f->signalled = false;
        if (krait__signal_hook() < 0)
            return -EINTR;
    }
    return late ? -KRAIT__ETIMEOUT : 0;
}

static bool has_passed(int64_t until)
{
    return until != KRAIT__NEVER && krait__now() >= until;
}

/* Switched away from until woken. */
KRAIT__INLINE void sleep_now(struct krait__worker *w, struct krait_fiber *f,
                             enum krait_wait what)
{
    _Atomic uint64_t *waiting = &w->counts.waiting_for[what];

    atomic_store_explicit(&f->waits, what, memory_order_relaxed);
    f->parked = true;
    krait__count(waiting, 1);
    leave(w, f);
    krait__count(waiting, (uint64_t)-1);
    atomic_store_explicit(&f->waits, KRAIT_WAIT_NONE, memory_order_relaxed);
}

KRAIT__INLINE int park_fiber(struct krait__worker *w, struct krait_fiber *f,
                             enum krait_wait what, int64_t until)
{
    bool late = false;
    int rc;

    if (!f->woken && !stopped(f) && !f->signalled) {
        rc = krait__timer_arm(&w->timers, &f->timer, until);
        if (rc < 0)
            return rc;
        sleep_now(w, f, what);
        /* Late is who was woken by the timer, not who had to wait for its turn
         * after something else. */
        late = until != KRAIT__NEVER && !krait__timer_is_armed(&f->timer);
        krait__timer_disarm(&f->timer);
    }
    f->woken = false;
    return why_woken(f, late);
}

int krait__park(enum krait_wait what, int64_t until)
{
    struct krait__worker *w = here;
    struct krait_fiber *f = current(w);

    until = krait__earlier(until, krait__scope_deadline());
    return f ? park_fiber(w, f, what, until) : krait__thread_park(until);
}

void krait__park_anyhow(enum krait_wait what)
{
    struct krait__worker *w = here;
    struct krait_fiber *f = current(w);

    if (!f) {
        krait__thread_park_anyhow();
        return;
    }
    if (!f->woken)
        sleep_now(w, f, what);
    f->woken = false;
}

struct krait__parker *krait__parker(void)
{
    struct krait_fiber *f = current(here);

    return f ? &f->parker : krait__thread_parker();
}

void krait__unpark(struct krait__parker *p)
{
    if (!p->fiber)
        krait__thread_unpark(p);
    else if (p->fiber->worker == here)
        wake_here(p->fiber);
    else
        krait__post(p->fiber);
}

/* Why a call that may wait can't begin; 0: it can. */
static inline int stop_of(const struct krait_fiber *f)
{
    int64_t until = krait__scope_deadline();

    if (f && stopped(f))
        return -ECANCELED;
    return has_passed(until) ? -KRAIT__ETIMEOUT : 0;
}

int krait__stopped(void)
{
    int rc = stop_of(current(here));

    /* Who tries again and again all the same leaves the others their turn. */
    if (rc < 0)
        krait__breathe();
    return rc;
}

/* --- operations -------------------------------------------------------- */

bool krait__fiber_waits(krait_fiber *f)
{
    return atomic_load(&f->waits) != KRAIT_WAIT_NONE;
}

/* Who waits for an operation, and for marks on its handle. */
struct op_wait {
    struct krait__waiter waiter; /* first */
    struct krait_fiber *fiber;
};

static void on_mark(struct krait__waiter *w)
{
    krait__post(((struct op_wait *)w)->fiber);
}

/* An operation that is over has no owner any more. */
static void on_done(struct krait__op *op)
{
    struct krait_fiber *f = op->owner;

    op->owner = NULL;
    wake_here(f);
}

static bool is_over(const struct krait__op *op)
{
    return !op->owner;
}

static bool marked(struct krait__handle *h, unsigned bits)
{
    return h && krait__marked(h, bits | KRAIT__CLOSING);
}

/* Until the operation is over, or there is a reason to end it. */
static int await(struct krait__worker *w, struct krait_fiber *f,
                 const struct krait__op *op, enum krait_wait what,
                 struct krait__handle *h, unsigned bits, int64_t until)
{
    int rc = 0;

    while (rc == 0 && !is_over(op)) {
        if (marked(h, bits))
            rc = -ECANCELED;
        else
            rc = park_fiber(w, f, what, until);
    }
    return rc;
}

/* A pending operation: to its end, or to where it is worth another try. */
static ssize_t finish(struct krait__worker *w, struct krait__op *op,
                      struct op_wait *wait, enum krait_wait what,
                      struct krait__handle *h, unsigned bits, int64_t until)
{
    int rc;

    if (h)
        krait__publish(h, &wait->waiter);
    wait->fiber->about = h;
    rc = await(w, wait->fiber, op, what, h, bits, until);
    if (!is_over(op))
        w->engine->cancel(w->engine, op);
    while (!is_over(op))
        krait__park_anyhow(what);
    if (h)
        krait__withdraw(h, &wait->waiter);
    /* Readiness may be thrown away, bytes may not; and a wait that was ended
     * leaves no time for another try. */
    if (op->res == -ECANCELED || (op->kind == KRAIT__POLL && marked(h, bits)) ||
        (op->res == -EAGAIN &&
         (marked(h, bits) || (rc < 0 && rc != -KRAIT__ETIMEOUT))))
        return rc < 0 ? rc : -ECANCELED;
    return op->res;
}

/* Until woken, for no operation's sake: once. */
__attribute__((noinline)) static int rest(struct op_wait *wait,
                                          enum krait_wait what,
                                          struct krait__handle *h,
                                          unsigned bits, int64_t until)
{
    int rc;

    if (h)
        krait__publish(h, &wait->waiter);
    rc = marked(h, bits) ? 0 : krait__park(what, until);
    if (h)
        krait__withdraw(h, &wait->waiter);
    return marked(h, bits) ? -ECANCELED : rc;
}

ssize_t krait__fiber_perform(struct krait__op *op, enum krait_wait what,
                             struct krait__handle *h, unsigned bits,
                             int64_t until)
{
    struct krait__worker *w = here;
    struct op_wait wait = {.waiter.wake = on_mark, .fiber = current(w)};
    ssize_t res;
    int rc;

    if (!op)
        return rest(&wait, what, h, bits, until);
    rc = marked(h, bits) ? -ECANCELED : stop_of(wait.fiber);
    until = krait__earlier(until, krait__scope_deadline());
    op->done = on_done;
    krait__count(&w->counts.operations, 1);
    for (res = -EAGAIN; res == -EAGAIN && rc == 0;) {
        op->owner = wait.fiber;
        rc = w->engine->submit(w->engine, op);
        if (rc == 0)
            res = finish(w, op, &wait, what, h, bits, until);
    }
    if (rc == 0)
        return res;
    breathe(w); /* it may be called in a loop */
    return rc == KRAIT__DONE ? op->res : rc;
}
