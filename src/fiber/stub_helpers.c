/* SPDX-License-Identifier: MIT
 *
 * stub_helpers.c - stands in for the scheduler until there is one: nobody is a
 * fiber.
 */
#include <errno.h>
#include <stddef.h>

#include "fiber/park.h"
#include "fiber/scheduler.h"

#define WEAK __attribute__((weak))

WEAK bool krait__in_fiber(void)
{
    return false;
}

WEAK ssize_t krait__fiber_perform(struct krait__op *op, enum krait_wait what,
                                  struct krait__handle *h, unsigned bits,
                                  int64_t until)
{
    (void)op;
    (void)what;
    (void)h;
    (void)bits;
    (void)until;
    return -ENOSYS;
}

WEAK void krait__breathe(void)
{
}

WEAK struct krait__parker *krait__parker(void)
{
    return NULL;
}

WEAK void krait__park_anyhow(enum krait_wait what)
{
    (void)what;
}

WEAK void krait__unpark(struct krait__parker *p)
{
    (void)p;
}

WEAK int krait__stopped(void)
{
    return 0;
}
