/* SPDX-License-Identifier: MIT
 *
 * signal_hook.h - what the program wants done when a signal has interrupted a
 * wait (krait_set_signal_hook). Whoever waits asks.
 */
#ifndef KRAIT__SIGNAL_HOOK_H
#define KRAIT__SIGNAL_HOOK_H

#include <stdbool.h>

/* Runs the hook: 0, go on; or -EINTR. */
int krait__signal_hook(void);

/* False: nobody need be asked. */
bool krait__has_signal_hook(void);

void krait__signal_hook_set(int (*fn)(void *arg), void *arg);

#endif
