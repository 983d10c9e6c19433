/* SPDX-License-Identifier: MIT
 *
 * stale.h - socket files that outlived their server.
 */
#ifndef KRAIT__STALE_H
#define KRAIT__STALE_H

#include <krait/address.h>

/* Removes the socket file at a Unix address if nobody listens on it: 0 when
 * nothing is in the way any more. -1, the error set as a bind's: EADDRINUSE
 * somebody listens, EEXIST it is no socket, and unlink(2)'s. Addresses without
 * a file are always free. */
int krait__remove_stale(const krait_addr *addr, int type);

#endif
