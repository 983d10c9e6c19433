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

/* Takes the lock, waiting for it. Not from a signal handler. */
void krait__lock(struct krait__lock *lock);

/* True: taken. False: somebody holds it, and will be told when it lets go.
 * Never waits; from a signal handler too. */
bool krait__lock_or_flag(struct krait__lock *lock);

/* Lets go. True: somebody left a flag meanwhile; what it asks for is now the
 * caller's to do (taking the lock again). From a signal handler too. */
bool krait__unlock(struct krait__lock *lock);

#endif
