/* SPDX-License-Identifier: MIT
 *
 * waiter.h - a thread that waits inside a call, as seen by who wakes it.
 * Private to the engine.
 */
#ifndef KRAIT__WAITER_H
#define KRAIT__WAITER_H

#include "engine/engine.h"

/* On the stack of the waiting call, and on its handle's list; both under the
 * handle's lock. */
struct krait__waiter {
    struct krait__node node; /* first */
    int wake_fd;             /* the thread's eventfd; -1: it has none,
                              * and looks up by itself */
    bool woken;              /* wake_fd was written to, and may still be
                              * readable */
};

/* Wakes every thread that waits inside a call on `h`. From signal handlers
 * too. */
void krait__wake_waiters(struct krait__handle *h);

#endif
