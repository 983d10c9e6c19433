/* SPDX-License-Identifier: MIT
 *
 * krait/dial.h - connections to whatever address of a name works, and sockets
 * that wait for them.
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

/* How a socket listens. Zero means the default. */
typedef struct krait_listen_options {
    int backlog;          /* listen(2)'s; default KRAIT_BACKLOG */
    int reuse_port;       /* 1: others that ask for it too may listen on the
                           * same port, and the kernel shares connections out
                           * among them (SO_REUSEPORT) */
    int dualstack_ipv6;   /* 1: an IPv6 address takes IPv4 as well. Always so
                           * for the empty host, where the kernel can */
    int no_reuse_address; /* 1: without SO_REUSEADDR */
} krait_listen_options;

/* Python's create_server: a socket that is bound to `addr` and listens. Its
 * type is the one that the address's text named, or SOCK_STREAM; SOCK_DGRAM is
 * bound and listens to nothing. A name is tried as IPv4 first; the empty host
 * is every address of this one, IPv6 and IPv4 in one socket where the kernel
 * has both. A Unix path must not be there yet. `options` may be NULL. The
 * caller owns the socket. NULL and errno: as krait_bind and krait_listen;
 * EINVAL a negative backlog, or dualstack_ipv6 with an address that is not
 * IPv6; EOPNOTSUPP reuse_port with a Unix address; E2BIG as krait_spawn. */
KRAIT_API krait_sock *krait_create_server_sized(
    krait_addr addr, const krait_listen_options *options, size_t size);

static inline krait_sock *krait_create_server(
    krait_addr addr, const krait_listen_options *options)
{
    return krait_create_server_sized(addr, options, sizeof *options);
}

/* Python's has_dualstack_ipv6: 1 where one socket can take both; else 0. */
KRAIT_API int krait_has_dualstack_ipv6(void);

KRAIT_END_DECLS

#endif
