/* SPDX-License-Identifier: MIT
 *
 * scheduler.h - what io needs of the fibers: is the caller one, and how does it
 * wait for an engine.
 */
#ifndef KRAIT__SCHEDULER_H
#define KRAIT__SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <krait/fiber.h>

#include "base/flow.h"
#include "engine/engine.h"

/* True where the caller is a fiber that can be parked: not in a plain thread,
 * not in the child of a fork, and not in exit(3): stdio flushes its FILEs then,
 * and what waits must wait where it is. */
static inline bool krait__in_fiber(void)
{
    return krait__flow()->parks;
}

/* Gives `op` to the worker's engine and parks until it is done: its result. Or
 * why it ended early, nothing having happened: -ECANCELED (one of `bits`, or
 * KRAIT__CLOSING, was marked on `h`; the fiber was cancelled),
 * -KRAIT__ETIMEOUT (`until`, or a scope), -EINTR (the signal hook). `h` may be
 * NULL; the caller holds a reference. `op` NULL: only waits for one of these.
 * In a fiber only. */
ssize_t krait__fiber_perform(struct krait__op *op, enum krait_wait what,
                             struct krait__handle *h, unsigned bits,
                             int64_t until);

/* In a call that does not have to wait: a fiber that has done many in a row
 * lets the others of its worker run. Nothing in a plain thread. */
void krait__breathe(void);

/* Whether `f` waits, as a test wants to see it; a moment's truth. From any
 * thread or fiber. */
bool krait__fiber_waits(krait_fiber *f);

#endif
