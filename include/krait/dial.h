/* SPDX-License-Identifier: MIT
 *
 * krait/dial.h - connections to whatever address of a name works, and sockets
 * that wait for them: our own, and those that systemd opened.
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
    int dualstack_ipv6;   /* 1: an IPv6 address takes IPv4 as well, and a name
                           * is one in IPv6. Always so for the empty host,
                           * where the kernel can */
    int no_reuse_address; /* 1: without SO_REUSEADDR */
} krait_listen_options;

/* Python's create_server: a socket that is bound to `addr` and listens. Its
 * type is the one that the address's text named, or SOCK_STREAM; SOCK_DGRAM is
 * bound and listens to nothing. A name is resolved, for as long as that takes,
 * and tried as IPv4 first; the empty host is every address of this one, IPv6
 * and IPv4 in one socket where the kernel has both (in Python: IPv4 alone). A
 * Unix path must not be there yet. `options` may be NULL. The caller owns the
 * socket. NULL and errno: as krait_bind and krait_listen; ECANCELED and EINTR
 * as all that wait; EINVAL a negative backlog, or dualstack_ipv6 with an
 * address that is not IPv6; EOPNOTSUPP reuse_port with a Unix address; E2BIG as
 * krait_spawn. */
KRAIT_API krait_sock *krait_create_server_sized(
    krait_addr addr, const krait_listen_options *options, size_t size);

static inline krait_sock *krait_create_server(
    krait_addr addr, const krait_listen_options *options)
{
    return krait_create_server_sized(addr, options, sizeof *options);
}

/* Python's has_dualstack_ipv6: 1 where one socket can take both; else 0. */
KRAIT_API int krait_has_dualstack_ipv6(void);

/* --- sockets that systemd opened ---------------------------------------- */

/* How many sockets another program has opened for this one, as systemd does for
 * a .socket unit and systemd-socket-activate(1) by hand: sd_listen_fds(3). 0:
 * none, or they are for another process (a parent, say). */
KRAIT_API int krait_listen_fds(void);

/* The one with this number, from 0 on; or the first that has this name (a
 * unit's FileDescriptorName=) and was not taken before. It listens already,
 * where its type does. The caller owns it; it will not be inherited. NULL and
 * errno: ENOENT there is none, or it was taken before; ENOTSOCK it is none;
 * EBADF it was closed; ENOMEM. Not while another thread changes the
 * environment. */
KRAIT_API krait_sock *krait_listen_fd(int number);
KRAIT_API krait_sock *krait_listen_fd_named(const char *name);

KRAIT_END_DECLS

#endif
