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

#include <stdatomic.h>
#include <stdbool.h>

struct krait__lock {
    atomic_uint word;
};

/* The word's bits. SLEEPERS stays set while anybody may sleep, so that the
 * uncontended way in and out is one atomic each and no system call. */
enum { KRAIT__HELD = 1, KRAIT__SLEEPERS = 2, KRAIT__FLAGGED = 4 };

/* What follows where the word is not what it mostly is. */
void krait__lock_slowly(struct krait__lock *lock);
void krait__lock_wake(struct krait__lock *lock);

/* Takes the lock, waiting for it. Not from a signal handler. */
static inline void krait__lock(struct krait__lock *lock)
{
    unsigned seen = 0;

    if (!atomic_compare_exchange_strong_explicit(
            &lock->word, &seen, KRAIT__HELD, memory_order_acquire,
            memory_order_relaxed))
        krait__lock_slowly(lock);
}

/* True: taken. False: somebody holds it, and will be told when it lets go.
 * Never waits; from a signal handler too. */
bool krait__lock_or_flag(struct krait__lock *lock);

/* Lets go. True: somebody left a flag meanwhile; what it asks for is now the
 * caller's to do (taking the lock again). From a signal handler too. */
static inline bool krait__unlock(struct krait__lock *lock)
{
    unsigned was =
        atomic_exchange_explicit(&lock->word, 0, memory_order_acq_rel);

    if (was & KRAIT__SLEEPERS)
        krait__lock_wake(lock);
    return was & KRAIT__FLAGGED;
}

#endif
