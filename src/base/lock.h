/* SPDX-License-Identifier: MIT
 *
 * lock.h - a lock for short lists, which a signal handler can work around.
 *
 * A signal handler must not wait for a lock: the thread that it interrupted
 * may hold it. So it asks with krait__lock_or_flag; where that fails, it has
 * left a flag, and whoever holds the lock is told by krait__unlock and does
 * the handler's work. Nothing is lost and nobody waits in a handler.
 *
 * One 32-bit word, 0 when free; waiters sleep in a futex.
 */
#ifndef KRAIT__LOCK_H
#define KRAIT__LOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

struct krait__lock {
    atomic_uint word;
};

/* Takes the lock, waiting for it. Not from a signal handler. */
void krait__lock(struct krait__lock *lock);

/* True: taken. False: somebody holds it, and will be told when it lets go.
 * Never waits; from a signal handler too. */
bool krait__lock_or_flag(struct krait__lock *lock);

/* Lets go. True: somebody left a flag meanwhile; what it asks for is now the
 * caller's to do (taking the lock again). From a signal handler too. */
bool krait__unlock(struct krait__lock *lock);

/* Visitors: who wakes the users of an object from outside holds no reference
 * to it, and the one that it wakes may end the object at once. So it says when
 * it comes and goes, and whoever frees the object waits for that: for a few
 * instructions, since a visitor waits for nothing. From signal handlers too,
 * but for the waiting. */
static inline void krait__visit(atomic_uint *visitors)
{
    atomic_fetch_add_explicit(visitors, 1, memory_order_acquire);
}

static inline void krait__visited(atomic_uint *visitors)
{
    atomic_fetch_sub_explicit(visitors, 1, memory_order_release);
}

static inline void krait__await_visitors(atomic_uint *visitors)
{
    while (atomic_load_explicit(visitors, memory_order_acquire))
        sched_yield();
}

#endif
