/* SPDX-License-Identifier: MIT
 *
 * krait/sync.h - what flows of control share things with: mutex, condition,
 * semaphore, channel, wait group.
 *
 * Each may be used by fibers of one worker or of several and by plain threads,
 * all at the same time: a fiber that waits is parked, a thread sleeps. They are
 * fair: who has waited longest is served first, and what is given is handed
 * over, so that nobody overtakes.
 *
 * All but the channel are values: zero is a good one (KRAIT_MUTEX_INIT and so
 * on, or static memory, or calloc), nothing is allocated, and one that nobody
 * waits on may just be forgotten. They must not be copied or moved once in use,
 * nor shared between processes.
 *
 * `timeout` is in seconds: KRAIT_FOREVER, or 0, which does not wait (EAGAIN).
 * Every call that takes one fails, beside what stands with it, with EAGAIN or
 * ETIMEDOUT (its timeout, or a deadline scope's), ECANCELED (its fiber was
 * cancelled), EINTR (the signal hook), EINVAL (NULL; a timeout that is negative
 * or not a number). On failure nothing was taken. Calls return 0, or -1 and
 * errno, unless said otherwise. None may be made from a signal handler.
 */
#ifndef KRAIT_SYNC_H
#define KRAIT_SYNC_H

#include <stddef.h>
#include <stdint.h>
#include <krait/version.h>

KRAIT_BEGIN_DECLS

/* --- mutex ------------------------------------------------------------- */

/* Owned by the fiber, or thread, that locked it. */
typedef struct krait_mutex {
    uintptr_t private_[6];
} krait_mutex;

#define KRAIT_MUTEX_INIT \
    {                    \
        {                \
            0            \
        }                \
    }

/* EDEADLK: the caller holds it. */
KRAIT_API int krait_mutex_lock(krait_mutex *m, double timeout);

/* EPERM: the caller does not hold it. Never waits. */
KRAIT_API int krait_mutex_unlock(krait_mutex *m);

/* --- condition --------------------------------------------------------- */

typedef struct krait_cond {
    uintptr_t private_[6];
} krait_cond;

#define KRAIT_COND_INIT KRAIT_MUTEX_INIT

/* Unlocks the mutex and waits until signalled; has the mutex locked again when
 * it returns, however it returns, waiting for that without limit. It may also
 * return for no reason (a loop looks at the condition again). EPERM: the caller
 * does not hold the mutex. */
KRAIT_API int krait_cond_wait(krait_cond *c, krait_mutex *m, double timeout);

/* Wakes one who waits; all of them. Never wait; the mutex need not be held. */
KRAIT_API int krait_cond_signal(krait_cond *c);
KRAIT_API int krait_cond_broadcast(krait_cond *c);

/* --- semaphore --------------------------------------------------------- */

typedef struct krait_sem {
    uintptr_t private_[6];
} krait_sem;

/* One that starts with `n` units. */
#define KRAIT_SEM_INIT(n) \
    {                     \
        {                 \
            (n)           \
        }                 \
    }

/* Takes a unit, waiting for one. */
KRAIT_API int krait_sem_wait(krait_sem *s, double timeout);

/* Gives a unit. EOVERFLOW: there are UINT_MAX / 2 already. Never waits. */
KRAIT_API int krait_sem_post(krait_sem *s);

/* --- wait group -------------------------------------------------------- */

/* Counts what is still to be done. */
typedef struct krait_group {
    uintptr_t private_[6];
} krait_group;

#define KRAIT_GROUP_INIT KRAIT_MUTEX_INIT

/* Adds `n` to the count, which wakes those who wait where it becomes 0;
 * krait_group_add(g, -1) is "one is done". EINVAL: it would become negative;
 * EOVERFLOW. Nothing is changed then. Never waits. */
KRAIT_API int krait_group_add(krait_group *g, int n);
KRAIT_API int krait_group_done(krait_group *g);

/* Waits until the count is 0. */
KRAIT_API int krait_group_wait(krait_group *g, double timeout);

/* --- channel ----------------------------------------------------------- */

/* A queue of items of one size, bounded: a sender waits while it is full, a
 * receiver while it is empty. With a capacity of 0 each sender waits for its
 * receiver. */
typedef struct krait_chan krait_chan;

/* The caller's, until krait_chan_free. Items are copied, `item_size` bytes
 * each (0: a channel of bare events). NULL and errno: ENOMEM, EOVERFLOW the two
 * sizes together are beyond reason. */
KRAIT_API krait_chan *krait_chan_new(size_t item_size, size_t capacity);

/* EPIPE: the channel was closed. */
KRAIT_API int krait_chan_send(krait_chan *ch, const void *item, double timeout);

/* 1: an item; 0: the channel was closed and is empty, now and for ever. */
KRAIT_API int krait_chan_recv(krait_chan *ch, void *item, double timeout);

/* Nothing more will be sent: those who wait to send fail with EPIPE (their
 * items were not sent), receivers get what is left and then 0. Closing again
 * does nothing. */
KRAIT_API int krait_chan_close(krait_chan *ch);

/* Frees it; with nobody inside a call. NULL is fine; keeps errno. */
KRAIT_API void krait_chan_free(krait_chan *ch);

KRAIT_END_DECLS

#endif
