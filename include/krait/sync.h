/* SPDX-License-Identifier: MIT
 *
 * krait/sync.h - what flows of control share things with: mutex, condition,
 * semaphore, wait group, channel.
 *
 * Each may be used by fibers of one worker or of several and by plain threads,
 * all at the same time: a fiber that waits is parked, a thread sleeps. They are
 * fair: who has waited longest is served first, and is given what it waited
 * for, so that nobody overtakes.
 *
 *     static krait_mutex lock;           all zero: ready for use
 *
 *     krait_mutex_lock(&lock, KRAIT_FOREVER);
 *     total++;
 *     krait_mutex_unlock(&lock);
 *
 * All but the channel are values: zero is a good one (KRAIT_MUTEX_INIT and so
 * on, or static memory, or calloc). Nothing is allocated, and one that nobody
 * waits on may just be forgotten; its memory may be freed as soon as the call
 * has returned after which nobody will use it, though the one who woke that
 * call may still be on its way out. None may be copied or moved once in use,
 * nor shared between processes; in the child of a fork one that another thread
 * held stays held.
 *
 * `timeout` is in seconds: KRAIT_FOREVER, or 0, which does not wait (EAGAIN).
 *
 * Calls return 0, or -1 and errno, unless said otherwise; krait_errmsg() says
 * the rest. Every call fails with EINVAL where the object is NULL, and one that
 * takes a timeout also fails with
 *
 *     EAGAIN     the timeout is 0, and it would have to wait
 *     ETIMEDOUT  the timeout passed; or a deadline scope's (krait/scope.h)
 *     ECANCELED  the fiber was cancelled (krait/fiber.h)
 *     EINTR      the signal hook said so (krait/io.h)
 *     ENOMEM     no memory to remember a fiber's timeout
 *     EINVAL     the timeout is negative, or not a number
 *
 * and has then taken, given and changed nothing. A scope that has passed and a
 * cancellation make it fail even where it would not have had to wait, but for
 * timeout 0. What was given at the last moment counts as a success. Calls
 * without a timeout never wait. None may be made from a signal handler.
 */
#ifndef KRAIT_SYNC_H
#define KRAIT_SYNC_H

#include <stddef.h>
#include <stdint.h>
#include <krait/scope.h> /* KRAIT_FOREVER */
#include <krait/version.h>

KRAIT_BEGIN_DECLS

/* --- mutex ------------------------------------------------------------- */

/* Owned by the fiber, or thread, that locked it, which must unlock it. */
typedef struct krait_mutex {
    uintptr_t private_[6];
} krait_mutex;

/* clang-format off */
#define KRAIT_MUTEX_INIT {{0}}
/* clang-format on */

/* EDEADLK: the caller holds it already. */
KRAIT_API int krait_mutex_lock(krait_mutex *m, double timeout);

/* Where others wait, it is the first's from now on. EPERM: the caller does not
 * hold it. */
KRAIT_API int krait_mutex_unlock(krait_mutex *m);

/* --- condition --------------------------------------------------------- */

/* Used with a mutex that guards what is waited for:
 *
 *     krait_mutex_lock(&m, KRAIT_FOREVER);
 *     while (!ready)
 *         if (krait_cond_wait(&c, &m, KRAIT_FOREVER) < 0)
 *             break;                  the mutex is held all the same
 *     ...
 *     krait_mutex_unlock(&m);
 */
typedef struct krait_cond {
    uintptr_t private_[6];
} krait_cond;

#define KRAIT_COND_INIT KRAIT_MUTEX_INIT

/* Unlocks the mutex, waits until signalled, and has the mutex locked again when
 * it returns, however it returns: for that it waits without limit. Others may
 * have had the mutex in between, so a loop looks again. EPERM: the caller does
 * not hold the mutex. With a timeout of 0 it always fails, with EAGAIN. */
KRAIT_API int krait_cond_wait(krait_cond *c, krait_mutex *m, double timeout);

/* Wakes who has waited longest, if anybody waits; wakes all. The mutex need not
 * be held. */
KRAIT_API int krait_cond_signal(krait_cond *c);
KRAIT_API int krait_cond_broadcast(krait_cond *c);

/* --- semaphore --------------------------------------------------------- */

/* Counts units, which anybody may take and give. */
typedef struct krait_sem {
    uintptr_t private_[6];
} krait_sem;

/* clang-format off */
/* With `n` units, KRAIT_SEM_MAX at most; of zeroed memory: with none. */
#define KRAIT_SEM_INIT(n) {{(uintptr_t)(n)}}
/* clang-format on */

#define KRAIT_SEM_MAX 2147483647 /* INT_MAX, POSIX's SEM_VALUE_MAX */

/* Takes a unit, waiting for one. */
KRAIT_API int krait_sem_wait(krait_sem *s, double timeout);

/* Gives a unit. EOVERFLOW: there are KRAIT_SEM_MAX already. */
KRAIT_API int krait_sem_post(krait_sem *s);

/* --- wait group -------------------------------------------------------- */

/* Counts what is still to be done. */
typedef struct krait_group {
    uintptr_t private_[6];
} krait_group;

#define KRAIT_GROUP_INIT KRAIT_MUTEX_INIT

/* Adds `n`, which may be negative, to the count; where that becomes 0, all who
 * wait are woken. EINVAL: it would become negative; EOVERFLOW: more than
 * INT_MAX. */
KRAIT_API int krait_group_add(krait_group *g, int n);

/* One is done: krait_group_add(g, -1). */
KRAIT_API int krait_group_done(krait_group *g);

/* Waits until the count is 0, if it isn't. */
KRAIT_API int krait_group_wait(krait_group *g, double timeout);

/* --- channel ----------------------------------------------------------- */

/* A queue of items of one size, bounded: a sender waits while it is full, a
 * receiver while it is empty. With a capacity of 0 each sender waits for its
 * receiver. Items arrive in the order in which they were sent, each once. */
typedef struct krait_chan krait_chan;

/* The caller's, until krait_chan_free. Items are copied, `item_size` bytes
 * each (0: bare events, and every item may be NULL). NULL and errno: ENOMEM;
 * EOVERFLOW the two sizes together are beyond any memory. */
KRAIT_API krait_chan *krait_chan_new(size_t item_size, size_t capacity);

/* EPIPE: the channel was closed, perhaps while it waited; EINVAL: no item. */
KRAIT_API int krait_chan_send(krait_chan *ch, const void *item, double timeout);

/* 1: an item; 0: the channel was closed and is empty, now and for ever; -1 and
 * errno. EINVAL: no room for the item. */
KRAIT_API int krait_chan_recv(krait_chan *ch, void *item, double timeout);

/* Nothing more will be sent: those who wait to send fail with EPIPE (their
 * items were not sent), receivers get what is left and then 0. Closing again
 * does nothing. */
KRAIT_API int krait_chan_close(krait_chan *ch);

/* Frees it, items that are left included; with nobody inside a call, or about
 * to make one. NULL is fine; keeps errno. */
KRAIT_API void krait_chan_free(krait_chan *ch);

KRAIT_END_DECLS

#endif
