/* SPDX-License-Identifier: MIT
 *
 * thread_park.c - how a plain thread sleeps until another wakes it.
 *
 * A word for each thread, in which a wake stays until it is used: so one that
 * comes before the sleep is not lost, and costs no system call. The deadline
 * goes to the kernel as it is, a point in time, so that a sleep that is
 * interrupted need not recompute what is left.
 */
#include "fiber/thread_park.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/failure.h"
#include "base/signal_hook.h"

enum { NOTHING = 0, WOKEN, SLEEPS };

static _Thread_local struct krait__parker own;

struct krait__parker *krait__thread_parker(void)
{
    return &own;
}

/* What SYS_futex takes, whatever width the C library's time_t has. */
struct futex_time {
    long sec, nsec;
};

static struct futex_time futex_time(int64_t at)
{
    int64_t sec = at / KRAIT__NS_PER_SEC;

    return (struct futex_time){
        .sec = sec > LONG_MAX ? LONG_MAX : (long)sec,
        .nsec = (long)(at % KRAIT__NS_PER_SEC),
    };
}

/* Sleeps while the word says SLEEPS: 0, or the errno of what ended it. */
static int sleep_until(int64_t until)
{
    struct futex_time at = futex_time(until);
    int saved = errno;
    int err = 0;

    /* WAIT_BITSET, since of a plain WAIT the time is relative. */
    if (syscall(SYS_futex, &own.word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
                SLEEPS, until == KRAIT__NEVER ? NULL : &at, NULL,
                FUTEX_BITSET_MATCH_ANY) < 0)
        err = errno;
    errno = saved;
    return err;
}

/* Sleeps once, unless it was woken already: 0 if it was woken; or why not. */
static int park_once(int64_t until)
{
    unsigned seen = NOTHING;
    int err = 0;

    if (atomic_compare_exchange_strong(&own.word, &seen, SLEEPS))
        err = sleep_until(until);
    return atomic_exchange(&own.word, NOTHING) == WOKEN ? 0 : err;
}

int krait__thread_park(int64_t until)
{
    int err = park_once(until);

    if (err == ETIMEDOUT)
        return -KRAIT__ETIMEOUT;
    /* The hook may park in its turn, and use up a wake that was meant for us:
     * after it our caller looks again, and we don't just go on sleeping. */
    if (err == EINTR && krait__signal_hook() < 0)
        return -EINTR;
    return 0;
}

void krait__thread_park_anyhow(void)
{
    park_once(KRAIT__NEVER);
}

void krait__thread_unpark(struct krait__parker *p)
{
    int saved = errno;

    if (atomic_exchange(&p->word, WOKEN) == SLEEPS)
        syscall(SYS_futex, &p->word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL,
                NULL, 0);
    errno = saved;
}
