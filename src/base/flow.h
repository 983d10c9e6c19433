/* SPDX-License-Identifier: MIT
 *
 * flow.h - what belongs to a flow of control: a plain thread, or a fiber.
 *
 * Each thread has one of its own; whoever switches between several flows in a
 * thread (the fibers' scheduler) makes the right one current, and then all of
 * Krait that asks "who calls?" gets the right answer without knowing fibers.
 */
#ifndef KRAIT__FLOW_H
#define KRAIT__FLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <krait/scope.h>

#include "base/deadline.h"

struct krait__failure;
struct krait__handler;

struct krait__flow {
    struct krait__failure *failure; /* the last failure's record; NULL: the
                                     * thread's own */
    char *line;                     /* krait_errmsg's, on the heap; NULL: none
                                     * yet, or the thread's own */
    krait_deadline *scope;          /* the innermost deadline scope */
    const struct krait__handler *handler; /* the server's: the innermost that
                                           * it is in */
    bool is_fiber;
    bool parks; /* a fiber that can: not in a fork's child, nor in exit(3) */
};

/* The thread's own flow; and the current one, NULL where that is its own. Every
 * call asks for it, so that it is asked for in place. */
extern _Thread_local struct krait__flow krait__flow_own;
extern _Thread_local struct krait__flow *krait__flow_current;

/* The caller's. */
static inline struct krait__flow *krait__flow(void)
{
    return krait__flow_current ? krait__flow_current : &krait__flow_own;
}

/* Makes `flow` the calling thread's current one; NULL: the thread's own. */
static inline void krait__flow_enter(struct krait__flow *flow)
{
    krait__flow_current = flow;
}

/* Frees what a flow that has ended kept: a line, which few ever have. */
void krait__flow_free_line(struct krait__flow *flow);

static inline void krait__flow_end(struct krait__flow *flow)
{
    if (flow->line)
        krait__flow_free_line(flow);
}

/* When the caller's scopes end: the earliest; KRAIT__NEVER where there is
 * none. */
static inline int64_t krait__scope_deadline(void)
{
    const krait_deadline *scope = krait__flow()->scope;

    return scope ? scope->at_ : KRAIT__NEVER;
}

#endif
