/* SPDX-License-Identifier: MIT
 *
 * park.h - how a flow of control, fiber or plain thread, waits for another to
 * wake it: what mutexes, channels and joins are made of.
 *
 *     waiter: under the object's lock, puts itself on the object's list;
 *             unlocks; parks until it finds, under the lock, that it got what
 *             it wants, or until it gives up and takes itself off the list.
 *     waker:  under the same lock takes the waiter off the list, says in it
 *             what it got, and unparks it before unlocking.
 *
 * The waiter can't leave, and its parker not go, before it has had the lock:
 * which is why the waker unparks under it. A wake that comes before the park
 * is not lost: the park returns at once. A park may also return for no reason.
 */
#ifndef KRAIT__PARK_H
#define KRAIT__PARK_H

#include <stdatomic.h>
#include <stdint.h>
#include <krait/fiber.h>

/* Zeroed by its owner before its first use. */
struct krait__parker {
    krait_fiber *fiber; /* NULL: a plain thread, which sleeps on `word` */
    atomic_uint word;
};

/* The caller's own, and the same for as long as the caller lives: a mutex knows
 * its owner by it. */
struct krait__parker *krait__parker(void);

/* Waits until unparked, or `until`. `what` is for the statistics. 0: perhaps
 * unparked; or why to give up: -KRAIT__ETIMEOUT (`until`, or the caller's
 * scopes, have passed), -ECANCELED (the fiber was cancelled), -EINTR (the
 * signal hook). Whoever gives up must look, under the object's lock, whether it
 * was given something at the last moment. */
int krait__park(enum krait_wait what, int64_t until);

/* As krait__park, for those who can't give up (a condition's waiter must get
 * its mutex back): only returns 0. */
void krait__park_anyhow(enum krait_wait what);

/* Wakes `p` from its park, this one or its next. From any thread or fiber; not
 * from signal handlers. */
void krait__unpark(struct krait__parker *p);

/* Before a call that may wait begins: 0; -ECANCELED or -KRAIT__ETIMEOUT where
 * the calling fiber is cancelled, or the caller's scopes have passed. */
int krait__stopped(void);

#endif
