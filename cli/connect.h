/* SPDX-License-Identifier: MIT
 *
 * connect.h - the connection of `krait connect`, which `krait demo` makes too.
 */
#ifndef CONNECT_H
#define CONNECT_H

#include <krait.h>

/* A connection of the type that the address names, without a timeout. The
 * connecting takes at most `timeout` seconds (0: no limit). NULL: as
 * krait_create_connection. */
krait_sock *connect_to(krait_addr address, double timeout);

#endif
