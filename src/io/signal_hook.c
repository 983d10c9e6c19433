/* SPDX-License-Identifier: MIT
 *
 * signal_hook.c - what the program wants done when a signal has come.
 */
#include <errno.h>
#include <stddef.h>
#include <krait/io.h>

#include "fiber/park.h"
#include "io/perform.h"

static int (*hook_fn)(void *arg);
static void *hook_arg;

void krait_set_signal_hook(int (*fn)(void *arg), void *arg)
{
    hook_fn = fn;
    hook_arg = arg;
    /* Without a hook fibers needn't be woken for a signal. */
    krait__park_interrupted = fn ? krait__signal_hook : NULL;
}

int krait__signal_hook(void)
{
    return hook_fn && hook_fn(hook_arg) != 0 ? -EINTR : 0;
}
