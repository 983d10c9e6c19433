/* SPDX-License-Identifier: MIT
 *
 * lock.c - the lock of lock.h, where it is held or somebody sleeps.
 */
#include "base/lock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A failed futex call only costs a turn of the caller's loop: EAGAIN and
 * EINTR are the ones that happen. */
static void futex(struct krait__lock *lock, int what, unsigned value)
{
    syscall(SYS_futex, &lock->word, what | FUTEX_PRIVATE_FLAG, value, NULL,
            NULL, 0);
}

void krait__lock_slowly(struct krait__lock *lock)
{
    unsigned seen = 0;
    unsigned mine = KRAIT__HELD;

    while (!atomic_compare_exchange_weak_explicit(
        &lock->word, &seen, seen | mine, memory_order_acquire,
        memory_order_relaxed)) {
        if (!(seen & KRAIT__HELD))
            continue;
        int saved = errno;

        if ((seen & KRAIT__SLEEPERS) ||
            atomic_compare_exchange_weak(&lock->word, &seen,
                                         seen | KRAIT__SLEEPERS))
            futex(lock, FUTEX_WAIT, seen | KRAIT__SLEEPERS);
        errno = saved;
        /* Others may sleep on: whoever has slept says so when it gets in. */
        mine = KRAIT__HELD | KRAIT__SLEEPERS;
        seen = 0;
    }
}

bool krait__lock_or_flag(struct krait__lock *lock)
{
    unsigned seen = atomic_load_explicit(&lock->word, memory_order_relaxed);

    for (;;) {
        bool held = seen & KRAIT__HELD;

        if (atomic_compare_exchange_weak_explicit(
                &lock->word, &seen,
                seen | (held ? KRAIT__FLAGGED : KRAIT__HELD),
                memory_order_acq_rel, memory_order_relaxed))
            return !held;
    }
}

void krait__lock_wake(struct krait__lock *lock)
{
    int saved = errno;

    futex(lock, FUTEX_WAKE, INT_MAX);
    errno = saved;
}
