/* SPDX-License-Identifier: MIT
 *
 * each_address.h - one address of a name after another, until one will do.
 */
#ifndef KRAIT__EACH_ADDRESS_H
#define KRAIT__EACH_ADDRESS_H

#include "socket/sock.h"

/* NULL, with the error set, where the address won't do. */
typedef krait_sock *krait__try_fn(const krait_addr *addr, void *arg);

/* Resolves `addr` in `family` (see krait__resolve for `any`) and tries what
 * comes of it, until `deadline`. Ends early where going on would be against the
 * caller's word: its timeout has passed, or its signal hook gave up. NULL: the
 * last error, which is named `op` where the name itself was the trouble. */
krait_sock *krait__each_address(const char *op, const krait_addr *addr,
                                int family, bool any, int64_t deadline,
                                krait__try_fn *try_one, void *arg);

#endif
