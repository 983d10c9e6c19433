/* SPDX-License-Identifier: MIT
 *
 * spawn.c - fibers made, joined, let go, cancelled.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/deadline.h"
#include "base/options.h"
#include "base/prefetch.h"
#include "fiber/runtime.h"

/* --- made, and gone ---------------------------------------------------- */

static void set_name(struct krait_fiber *f, const char *name)
{
    uint64_t words[KRAIT__NAME_WORDS] = {0};

    if (name)
        memcpy(words, name, strnlen(name, KRAIT_FIBER_NAME_MAX));
    for (int i = 0; i < KRAIT__NAME_WORDS; i++)
        atomic_store_explicit(&f->name[i], words[i], memory_order_relaxed);
}

const char *krait__fiber_name(struct krait_fiber *f, char *buf)
{
    for (int i = 0; i < KRAIT__NAME_WORDS; i++) {
        uint64_t word = atomic_load_explicit(&f->name[i], memory_order_relaxed);

        memcpy(buf + (size_t)i * sizeof word, &word, sizeof word);
    }
    buf[KRAIT_FIBER_NAME_MAX] = '\0';
    return buf;
}

/* The cache of the calling worker, where it is one of this run-time. */
static struct krait__stack_cache *cache_here(void)
{
    struct krait__worker *w = krait__worker_here();

    return w ? &w->stacks : NULL;
}

_Static_assert(offsetof(struct krait_fiber, context.low) <=
                   (size_t)2 * KRAIT__LINE,
               "what a turn needs of a fiber lies in two lines");

struct krait_fiber *krait__fiber_on(const struct krait__stack *stack)
{
    uintptr_t top = (uintptr_t)stack->high - sizeof(struct krait_fiber);

    return (struct krait_fiber *)(top - top % KRAIT__LINE);
}

/* All but the failure's text. By pieces that a compiler makes a few stores of:
 * for the whole, gcc's `rep stos` would take longer than the rest of a fiber's
 * making. */
static void clear(struct krait_fiber *f)
{
    enum { PIECE = 64, SIZE = offsetof(struct krait_fiber, failure.op) };
    enum { PIECES = SIZE / PIECE, REST = SIZE % PIECE };
    char *at = (char *)f;

    for (int i = 0; i < PIECES; i++, at += PIECE)
        memset(at, 0, PIECE);
    memset(at, 0, REST);
}

struct krait_fiber *krait__fiber_new(struct krait__runtime *rt,
                                     struct krait__worker *w,
                                     int (*fn)(void *arg), void *arg,
                                     const krait_spawn_options *options)
{
    struct krait__stack stack;
    struct krait_fiber *f;

    if (krait__stack_take(rt->stacks, cache_here(), options->stack_size,
                          &stack) < 0)
        return NULL;
    f = krait__fiber_on(&stack);
    clear(f);
    f->worker = w;
    f->timer.until = KRAIT__NEVER;
    f->flow.failure = &f->failure;
    f->flow.is_fiber = true;
    f->flow.parks = true;
    f->parker.fiber = f;
    f->fn = fn;
    f->arg = arg;
    f->stack = stack;
    atomic_init(&f->refs, 2);
    set_name(f, options->name);
    krait__context_make(&f->context, stack.low, f, krait__fiber_main, f);
    return f;
}

void krait__fiber_drop(struct krait_fiber *f)
{
    struct krait__stack stack;

    /* Whoever has the only reference need not take it off: nobody is there to
     * hand out another. */
    if (atomic_load_explicit(&f->refs, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    stack = f->stack;
    krait__stack_give(f->worker->runtime->stacks, cache_here(), &stack);
}

/* --- spawn ------------------------------------------------------------- */

/* Where to run it; NULL: there is no such worker. `own`: the caller's. */
static struct krait__worker *choose_worker(struct krait__runtime *rt,
                                           struct krait__worker *own,
                                           int number)
{
    if (number < 0 || number > rt->nworkers)
        return NULL;
    if (number > 0)
        return &rt->workers[number - 1];
    if (own)
        return own;
    return &rt->workers[atomic_fetch_add(&rt->next_worker, 1) %
                        (unsigned)rt->nworkers];
}

/* Counts one more fiber: false where the last may have gone already, which
 * can't be so in a fiber. */
static bool one_more(struct krait__runtime *rt)
{
    uint64_t alive = atomic_load(&rt->alive);

    while (alive > 0)
        if (atomic_compare_exchange_weak(&rt->alive, &alive, alive + 1))
            return true;
    return false;
}

static int start(struct krait__runtime *rt, int (*fn)(void *arg), void *arg,
                 const krait_spawn_options *options, struct krait_fiber **out)
{
    struct krait__worker *own = krait__worker_here();
    struct krait__worker *w = choose_worker(rt, own, options->worker);
    struct krait_fiber *f;

    if (!w || !fn)
        return -EINVAL;
    if (!own && atomic_load(&rt->ending))
        return -ECANCELED;
    f = krait__fiber_new(rt, w, fn, arg, options);
    if (!f)
        return -ENOMEM;
    if (!one_more(rt)) {
        krait__context_end(&f->context);
        krait__stack_give(rt->stacks, NULL,
                          &(struct krait__stack){f->stack.low, f->stack.high});
        return -ECANCELED;
    }
    *out = f;
    if (w == own) {
        krait__enroll(f);
    } else {
        f->fresh = true;
        krait__post(f);
    }
    return 0;
}

static const char *why_not(int code, bool has_fn)
{
    switch (code) {
    case -EINVAL:
        return has_fn ? "there is no such worker" : "no function (NULL)";
    case -E2BIG:
        return KRAIT__UNKNOWN_OPTION;
    case -ESRCH:
        return "no run-time runs: krait_run";
    case -ECANCELED:
        return "the run-time is ending";
    default:
        return NULL;
    }
}

krait_fiber *krait_spawn_sized(int (*fn)(void *arg), void *arg,
                               const krait_spawn_options *options, size_t size)
{
    struct krait__runtime *rt = krait__runtime_enter();
    krait_spawn_options o = {0};
    struct krait_fiber *f = NULL;
    int rc = rt ? krait__options(&o, sizeof o, options, size) : -ESRCH;

    if (rc == 0)
        rc = start(rt, fn, arg, &o, &f);
    if (rc < 0)
        krait__fail("spawn", rc, why_not(rc, fn), NULL, NULL, 0);
    if (rt)
        krait__runtime_leave();
    return f;
}

/* --- join, release, cancel --------------------------------------------- */

/* The one who joins is known to the fiber until it has ended or is given up:
 * 0, or a code. */
static int wait_for_end(struct krait_fiber *f)
{
    struct krait__parker *self = krait__parker();
    int rc = 0;

    krait__lock(&f->lock);
    if (f->joiner) {
        krait__unlock(&f->lock);
        return -EBUSY;
    }
    f->joiner = self;
    while (!f->ended && rc == 0) {
        krait__unlock(&f->lock);
        rc = krait__park(KRAIT_WAIT_JOIN, KRAIT__NEVER);
        krait__lock(&f->lock);
    }
    if (f->ended)
        rc = 0;
    else
        f->joiner = NULL;
    krait__unlock(&f->lock);
    return rc;
}

static int join(struct krait_fiber *f, int *result)
{
    int rc;

    if (f == krait_self())
        return -EDEADLK;
    rc = krait__stopped();
    if (rc == 0)
        rc = wait_for_end(f);
    if (rc < 0)
        return rc;
    if (result)
        *result = f->result;
    krait__fiber_drop(f);
    return 0;
}

int krait_join(krait_fiber *f, int *result)
{
    struct krait__runtime *rt;
    int rc = -ESRCH;

    if (!f)
        return krait__fail("join", -EINVAL, "no fiber (NULL)", NULL, NULL, 0);
    rt = krait__runtime_enter();
    if (rt) {
        rc = join(f, result);
        krait__runtime_leave();
    }
    if (rc == 0)
        return 0;
    return krait__fail("join", rc,
                       rc == -EDEADLK ? "a fiber can't join itself"
                       : rc == -EBUSY ? "somebody else is joining it"
                       : rc == -ESRCH ? "its run-time has ended"
                                      : NULL,
                       NULL, NULL, 0);
}

void krait_release(krait_fiber *f)
{
    int saved = errno;

    if (f && krait__runtime_enter()) {
        krait__fiber_drop(f);
        krait__runtime_leave();
    }
    errno = saved;
}

int krait_cancel(krait_fiber *f)
{
    if (!f)
        return krait__fail("cancel", -EINVAL, "no fiber (NULL)", NULL, NULL, 0);
    if (!krait__runtime_enter())
        return krait__fail("cancel", -ESRCH, "its run-time has ended", NULL,
                           NULL, 0);
    atomic_store(&f->cancelled, true);
    krait__unpark(&f->parker);
    krait__runtime_leave();
    return 0;
}

int krait_cancelled(void)
{
    struct krait_fiber *f = krait_self();

    return f && atomic_load(&f->cancelled);
}

enum krait_cancel_state krait_setcancelstate(enum krait_cancel_state state)
{
    struct krait_fiber *f = krait_self();
    bool was = f && f->no_cancel;

    if (f)
        f->no_cancel = state == KRAIT_CANCEL_DISABLE;
    return was ? KRAIT_CANCEL_DISABLE : KRAIT_CANCEL_ENABLE;
}

/* --- sleep ------------------------------------------------------------- */

int krait_sleep(double seconds)
{
    int64_t ns, until;
    int rc;

    if (!krait__timeout(seconds, &ns))
        return krait__fail("sleep", -EINVAL, "a time is 0 or more", NULL, NULL,
                           0);
    until = ns == 0 ? krait__now() : krait__deadline(ns);
    rc = krait__stopped();
    while (rc == 0)
        rc = krait__park(KRAIT_WAIT_SLEEP, until);
    /* The scope's time counts where it was the earlier. */
    if (rc == -KRAIT__ETIMEOUT && until <= krait__scope_deadline())
        return 0;
    return krait__fail("sleep", rc, NULL, NULL, NULL, 0);
}
