/* SPDX-License-Identifier: MIT
 *
 * krait/dial.h - connections to whatever address of a name works.
 */
#ifndef KRAIT_DIAL_H
#define KRAIT_DIAL_H

#include <krait/address.h>
#include <krait/socket.h>
#include <krait/version.h>

KRAIT_BEGIN_DECLS

/* Python's create_connection: resolves a name in every family, tries the
 * addresses one after another, and returns the first connection that was made.
 * The socket is of the type that the address's text named, or SOCK_STREAM.
 * `timeout`: seconds for all of it together, name resolution included
 * (KRAIT_FOREVER: no limit; 0 is EINVAL); the socket keeps it, as in Python.
 * The caller owns the socket. NULL and errno: the last attempt's error, as
 * krait_connect. Waits. */
KRAIT_API krait_sock *krait_create_connection(krait_addr addr, double timeout);

KRAIT_END_DECLS

#endif
