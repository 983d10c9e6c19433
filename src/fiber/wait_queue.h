/* SPDX-License-Identifier: MIT
 *
 * wait_queue.h - who waits for an object, in the order of arrival: the one
 * place where mutexes, channels and their kin wait.
 *
 * What they have in common. The object's lock guards all of it, its queues
 * included. What is given is handed over: whoever gives takes the first out of
 * the queue and does on its behalf whatever it came for (makes it the owner,
 * copies its item), so that nobody overtakes and no unit lies about for which
 * somebody waits. A waiter is therefore either in the queue or served, and
 * which of the two is decided under the lock: one that gives up at the moment
 * when it is served was served, and says so.
 *
 * Whoever was woken may free the object as soon as its call returns. So the
 * one who wakes is done with the object when it unlocks, and the one who was
 * woken locks once more, which makes it wait for that. (krait__unlock may still
 * name the address to futex(2) then, which looks at no memory to wake.)
 */
#ifndef KRAIT__WAIT_QUEUE_H
#define KRAIT__WAIT_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <krait/fiber.h>

#include "base/lock.h"
#include "fiber/park.h"

/* A private structure that lies in a public one's `private_`, or in one that
 * does: it may be looked at as either. */
#define KRAIT__OVERLAY __attribute__((may_alias))

#define KRAIT__FITS(own, public) \
    _Static_assert(sizeof(own) <= sizeof(public) && \
                       _Alignof(own) <= _Alignof(public), \
                   "a public structure has room for the private one")

/* Whoever waits, on the stack of its call. */
struct krait__place {
    struct krait__place *next, *prev;
    struct krait__parker *parker;
    void *item; /* a channel's: what it sends, or where it wants it */
    int answer; /* what its wait returns, once it is served */
    bool served;
};

/* Zero is an empty one. */
struct KRAIT__OVERLAY krait__wait_queue {
    struct krait__place *first, *last;
};

/* Waits in the queue until served: what krait__serve answered; or
 * -KRAIT__ETIMEOUT, -ECANCELED, -EINTR, and out of the queue; or at once
 * -EAGAIN, where `timeout` (ns) is 0. Called with `lock` held; returns without
 * it, and touches nothing of the object after that. */
int krait__wait(struct krait__wait_queue *queue, struct krait__lock *lock,
                void *item, enum krait_wait what, int64_t timeout);

/* As krait__wait, for one who can't give up: returns once it is served. */
void krait__wait_anyhow(struct krait__wait_queue *queue,
                        struct krait__lock *lock, enum krait_wait what);

/* Serves the first, if any: true. Under the lock. */
bool krait__serve(struct krait__wait_queue *queue, int answer);

#endif
