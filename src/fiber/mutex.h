/* SPDX-License-Identifier: MIT
 *
 * mutex.h - what conditions need of mutexes.
 */
#ifndef KRAIT__MUTEX_H
#define KRAIT__MUTEX_H

#include <stdbool.h>
#include <krait/sync.h>

/* True where the caller holds it. */
bool krait__mutex_held(krait_mutex *m);

/* Lets go of it: 0, or -EPERM. */
int krait__mutex_leave(krait_mutex *m);

/* Locks it, which the caller does not hold, however long it takes. */
void krait__mutex_regain(krait_mutex *m);

#endif
