/* SPDX-License-Identifier: MIT
 *
 * each_address.c - one address after another; see each_address.h.
 */
#include "dial/each_address.h"

#include <errno.h>
#include <stdlib.h>

/* More than any honest name has; a hostile one must not keep us for ever. */
enum { ADDRESSES_MAX = 32 };

/* What ended one attempt would end all others, too: the time, the signal hook,
 * the calling fiber's cancellation. */
static bool over(void)
{
    return krait_errdomain() == KRAIT_ERROR_TIMEOUT || krait_errno() == EINTR ||
           krait_errno() == ECANCELED;
}

krait_sock *krait__each_address(const char *op, const krait_addr *addr,
                                int family, bool any, int64_t deadline,
                                krait__try_fn *try_one, void *arg)
{
    krait_addr *found = malloc(ADDRESSES_MAX * sizeof *found);
    krait_sock *s = NULL;
    int count = found ? krait__resolve(addr, family, any, NULL, 0, deadline,
                                       found, ADDRESSES_MAX)
                      : -ENOMEM;

    if (count < 0)
        krait__fail_at(op, count, addr);
    for (int i = 0; i < count && !s && (i == 0 || !over()); i++)
        s = try_one(&found[i], arg);
    free(found);
    return s;
}
