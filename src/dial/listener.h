/* SPDX-License-Identifier: MIT
 *
 * listener.h - a socket bound to an address, and listening where its type
 * does: what a server begins with.
 */
#ifndef KRAIT__LISTENER_H
#define KRAIT__LISTENER_H

#include "dial/socket_file.h"
#include "socket/sock.h"

struct krait__listen_options {
    int type;           /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET */
    int backlog;        /* listen(2)'s */
    bool reuse_address; /* SO_REUSEADDR, for what has connections: for
                         * datagrams it would let others take them over */
    bool reuse_port;    /* SO_REUSEPORT */
    bool dual;          /* an IPv6 address takes IPv4 as well */
    bool unix_cleanup;  /* remove a stale socket file first */
};

/* A name is tried as IPv4 first, as Python's socketserver does; the empty host
 * is a dual-stack socket where the kernel has IPv6. *file is what unix_cleanup
 * made ours to remove; all zero: nothing. NULL, and the error set, named after
 * `addr`. */
krait_sock *krait__listener(const krait_addr *addr,
                            const struct krait__listen_options *options,
                            struct krait__socket_file *file);

#endif
