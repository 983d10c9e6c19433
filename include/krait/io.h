/* SPDX-License-Identifier: MIT
 *
 * krait/io.h - what all waiting calls have in common.
 *
 * A thread that has waited in one of them owns an eventfd from then on, through
 * which others wake it, until it ends. A program that closes fds which it did
 * not open (closefrom(2)) does so before its threads use Krait.
 */
#ifndef KRAIT_IO_H
#define KRAIT_IO_H

#include <krait/version.h>

KRAIT_BEGIN_DECLS

/* What to do when a signal has interrupted a call: `fn` runs in the calling
 * thread, outside the signal handler, and after each part of a krait_sendall,
 * as in Python, and of a krait_send without a timeout, which ends early then.
 * 0: go on, with what is left of the timeout. Anything else: the call fails
 * with EINTR. NULL, the default: go on. For the whole process; set it before
 * threads are started. (A signal that comes between two calls, or just before
 * a wait begins, interrupts neither: to stop a call for certain use
 * krait_interrupt, which a signal handler may call.) */
KRAIT_API void krait_set_signal_hook(int (*fn)(void *arg), void *arg);

KRAIT_END_DECLS

#endif
