/* SPDX-License-Identifier: MIT
 *
 * deadline.h - points in time, in nanoseconds of CLOCK_MONOTONIC.
 *
 * A timeout is turned into a deadline once, at the edge of a call; everything
 * inside waits until a point in time and need not recompute what is left.
 */
#ifndef KRAIT__DEADLINE_H
#define KRAIT__DEADLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* A deadline that never comes, and one that has always passed: no waiting. As
 * timeouts they mean the same. */
#define KRAIT__NEVER      INT64_MAX
#define KRAIT__AT_ONCE    INT64_C(0)
#define KRAIT__NS_PER_SEC INT64_C(1000000000)
#define KRAIT__NS_PER_MS  INT64_C(1000000)

static inline int64_t krait__now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * KRAIT__NS_PER_SEC + ts.tv_nsec;
}

/* `timeout` ns from now; NEVER where that is past the end of the clock. */
static inline int64_t krait__deadline(int64_t timeout)
{
    int64_t now, until;

    if (timeout == KRAIT__NEVER || timeout == KRAIT__AT_ONCE)
        return timeout;
    now = krait__now();
    return __builtin_add_overflow(now, timeout, &until) ? KRAIT__NEVER : until;
}

static inline int64_t krait__earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* As system calls want a time, or a point in time. */
static inline struct timespec krait__timespec(int64_t ns)
{
    return (struct timespec){
        .tv_sec = (time_t)(ns / KRAIT__NS_PER_SEC),
        .tv_nsec = (long)(ns % KRAIT__NS_PER_SEC),
    };
}

/* Seconds, as the public calls have them, to ns, rounded up so that a timeout
 * above 0 never becomes 0. False: negative or not a number. */
static inline bool krait__timeout(double seconds, int64_t *ns)
{
    double exact = seconds * 1e9;

    if (!(seconds >= 0)) /* a NaN compares with nothing */
        return false;
    /* 2^63: the first double that doesn't fit. */
    *ns = exact >= 0x1p63 ? KRAIT__NEVER : (int64_t)exact;
    if (*ns != KRAIT__NEVER && (double)*ns < exact)
        (*ns)++;
    return true;
}

static inline double krait__seconds(int64_t timeout)
{
    return timeout == KRAIT__NEVER ? __builtin_huge_val()
                                   : (double)timeout / 1e9;
}

#endif
