/* SPDX-License-Identifier: MIT
 *
 * create_connection.c - one address of a name after another, under one
 * deadline.
 */
#include <errno.h>
#include <krait/dial.h>

#include "dial/each_address.h"

struct attempt {
    int type;
    int64_t timeout, deadline;
};

static krait_sock *try_connect(const krait_addr *addr, void *arg)
{
    const struct attempt *a = arg;
    krait_sock *s = krait__sock_for(addr, a->type);

    if (!s || !krait__begin(s, "connect"))
        return NULL;
    atomic_store(&s->timeout, a->timeout);
    if (krait__finish(s, "connect", krait__sock_connect(s, addr, a->deadline),
                      addr) == 0)
        return s;
    krait__sock_unuse(s); /* quietly: the error is the connect's */
    return NULL;
}

krait_sock *krait_create_connection(krait_addr addr, double timeout)
{
    struct attempt a = {.type = addr.type_ ? addr.type_ : SOCK_STREAM};
    struct krait__failure tried = {0}, *mine;
    krait_sock *s;

    if (!krait__timeout(timeout, &a.timeout) || a.timeout == KRAIT__AT_ONCE) {
        krait__fail("connect", -EINVAL,
                    "a timeout is more than 0, or KRAIT_FOREVER", NULL, NULL,
                    0);
        return NULL;
    }
    a.deadline = krait__deadline(a.timeout);
    /* A success leaves no trace of the addresses that would not do. */
    mine = krait__failure_swap(&tried);
    s = krait__each_address("connect", &addr, AF_UNSPEC, false, a.deadline,
                            try_connect, &a);
    krait__failure_swap(mine);
    if (!s)
        krait__fail_as(&tried);
    return s;
}
