/* SPDX-License-Identifier: MIT
 *
 * create_connection.c - one address of a name after another, under one
 * deadline.
 */
#include <errno.h>
#include <krait/dial.h>

#include "dial/listener.h"
#include "socket/sock.h"

/* More than any honest name has; a hostile one must not keep us for ever. */
enum { ADDRESSES_MAX = 32 };

static krait_sock *try_one(const krait_addr *addr, int type, int64_t timeout,
                           int64_t deadline)
{
    krait_sock *s = krait_socket(krait_addr_family(*addr), type, 0);

    if (!s || !krait__begin(s, "connect"))
        return NULL;
    atomic_store(&s->timeout, timeout);
    if (krait__finish(s, "connect", krait__sock_connect(s, addr, deadline),
                      addr) == 0)
        return s;
    krait__sock_unuse(s); /* quietly: the error is the connect's */
    return NULL;
}

static krait_sock *try_all(const krait_addr *addr, int64_t timeout)
{
    int type = addr->type_ ? addr->type_ : SOCK_STREAM;
    int64_t deadline = krait__deadline(timeout);
    krait_addr found[ADDRESSES_MAX];
    krait_sock *s = NULL;
    int count = krait__resolve(addr, AF_UNSPEC, false, NULL, 0, deadline, found,
                               ADDRESSES_MAX);

    if (count < 0)
        krait__fail_at("connect", count, addr);
    for (int i = 0; i < count && !s && (i == 0 || !krait__dial_over()); i++)
        s = try_one(&found[i], type, timeout, deadline);
    return s;
}

krait_sock *krait_create_connection(krait_addr addr, double timeout)
{
    struct krait__failure tried = {0}, *mine;
    krait_sock *s;
    int64_t ns;

    if (!krait__timeout(timeout, &ns) || ns == 0) {
        krait__fail("connect", -EINVAL,
                    "a timeout is more than 0, or KRAIT_FOREVER", NULL, NULL,
                    0);
        return NULL;
    }
    mine = krait__failure_swap(&tried);
    s = try_all(&addr, ns);
    krait__failure_swap(mine);
    if (!s)
        krait__fail_as(&tried);
    return s;
}
