/* SPDX-License-Identifier: MIT
 *
 * signal_hook.c - see signal_hook.h.
 */
#include "base/signal_hook.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

/* Atomic, for workers that a late signal wakes may look while it is set. */
static int (*_Atomic hook_fn)(void *arg);
static void *_Atomic hook_arg;

void krait__signal_hook_set(int (*fn)(void *arg), void *arg)
{
    hook_arg = arg;
    hook_fn = fn;
}

bool krait__has_signal_hook(void)
{
    return hook_fn != NULL;
}

int krait__signal_hook(void)
{
    int (*fn)(void *arg) = hook_fn;

    return fn && fn(hook_arg) != 0 ? -EINTR : 0;
}
