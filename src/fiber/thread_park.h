/* SPDX-License-Identifier: MIT
 *
 * thread_park.h - the plain thread's half of park.h: it sleeps on a futex.
 */
#ifndef KRAIT__THREAD_PARK_H
#define KRAIT__THREAD_PARK_H

#include <stdint.h>

#include "fiber/park.h"

/* The calling thread's own, for as long as it lives. */
struct krait__parker *krait__thread_parker(void);

/* As krait__park, of the calling thread: 0, -KRAIT__ETIMEOUT or -EINTR. It
 * looks at `until` alone: the caller has worked the scopes into it. */
int krait__thread_park(int64_t until);

/* As krait__park_anyhow. The signal hook is not run: nobody could do what it
 * asks for. */
void krait__thread_park_anyhow(void);

void krait__thread_unpark(struct krait__parker *p);

#endif
