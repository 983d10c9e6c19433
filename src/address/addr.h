/* SPDX-License-Identifier: MIT
 *
 * addr.h - what a krait_addr holds, for the rooms that use it.
 */
#ifndef KRAIT__ADDR_H
#define KRAIT__ADDR_H

#include <krait/address.h>

#include "engine/engine.h"

/* krait_addr.kind_ */
enum {
    KRAIT__NO_ADDR, /* all zero */
    KRAIT__SOCKADDR,
    KRAIT__HOSTNAME, /* u_.text and port_; "" is any address of this host */
    KRAIT__BAD_ADDR  /* error_, cause_; u_.text is what it was made from */
};

/* krait_addr.cause_ of a bad address: why, in words that an errno lacks. */
enum {
    KRAIT__BAD_ERRNO, /* the errno says it */
    KRAIT__BAD_TEXT,
    KRAIT__BAD_PORT,
    KRAIT__BAD_HOST,
    KRAIT__BAD_NO_PORT,
    KRAIT__BAD_BRACKETS,
    KRAIT__BAD_PATH_LONG,
    KRAIT__BAD_PATH_NUL,
    KRAIT__BAD_NAME_LONG,
    KRAIT__BAD_SCOPE,
    KRAIT__BAD_LEN
};

/* The longest path, abstract name with its NUL included, that every system
 * call takes: sun_path without a terminating NUL. */
enum { KRAIT__UNIX_MAX = 107 };

/* A bad address made from `text`. */
krait_addr krait__addr_bad(const char *text, int error, int cause);

/* The length of the printable character that `bytes` begin with; 0: none, a
 * control character (U+0080 to U+009F too), or no UTF-8 (RFC 3629). */
size_t krait__printable(const unsigned char *bytes, size_t len);

/* The cause of a bad address in words, or NULL: the errno says it. */
const char *krait__addr_reason(const krait_addr *addr);

/* krait__fail with an address as the subject; of a bad address, its own error
 * and reason. NULL: no subject. */
int krait__fail_at(const char *op, int code, const krait_addr *addr);

/* The same, with the reason in words (NULL: the code's own). */
int krait__fail_because(const char *op, int code, const char *reason,
                        const krait_addr *addr);

/* krait_addr_resolve from inside: `h`, which may be NULL, can be interrupted
 * by `bits`. `any` is what an empty host becomes: true, the wildcard address
 * (IPv6 first, for a dual-stack socket); false, the loopback. Returns how many
 * were stored or a negative code. */
int krait__resolve(const krait_addr *addr, int family, bool any,
                   struct krait__handle *h, unsigned bits, int64_t deadline,
                   krait_addr *out, int room);

#endif
