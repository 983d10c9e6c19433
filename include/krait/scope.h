/* SPDX-License-Identifier: MIT
 *
 * krait/scope.h - one time limit over a stretch of code, whatever it calls:
 *
 *     krait_deadline d;
 *
 *     krait_deadline_begin(&d, 2.5);
 *     ...any calls of Krait's...
 *     if (krait_deadline_end(&d))
 *         ...the time was up...
 *
 * Once it has passed, every call that may wait fails with ETIMEDOUT, even where
 * it would not have had to: a peer that always has one more byte can't get
 * round it. Calls that must not wait (timeout 0, MSG_DONTWAIT) go on. Scopes
 * nest; the earliest holds. A scope belongs to the fiber or thread that began
 * it, which must end it, the innermost first; what it spawns is not inside.
 *
 * From threads and fibers; not from signal handlers.
 */
#ifndef KRAIT_SCOPE_H
#define KRAIT_SCOPE_H

#include <stdint.h>
#include <krait/version.h>

KRAIT_BEGIN_DECLS

/* A time that never passes, for all that take seconds: Python's None. */
#define KRAIT_FOREVER (__builtin_huge_val())

/* Lives where it is declared, until it has ended. */
typedef struct krait_deadline {
    int64_t at_;
    struct krait_deadline *outer_;
} krait_deadline;

/* `seconds` from now; KRAIT_FOREVER: no limit. -1 and EINVAL:
 * negative or not a number, where the scope has begun all the same, without a
 * limit; NULL. */
KRAIT_API int krait_deadline_begin(krait_deadline *d, double seconds);

/* Ends the scope: 1 where its time had passed, 0 where not. -1 and EINVAL: it
 * is not the innermost that the caller began. */
KRAIT_API int krait_deadline_end(krait_deadline *d);

/* Seconds that are left until the earliest of the scopes that the caller is in
 * has passed: 0 at least; KRAIT_FOREVER. */
KRAIT_API double krait_deadline_left(void);

KRAIT_END_DECLS

#endif
