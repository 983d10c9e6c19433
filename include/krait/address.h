/* SPDX-License-Identifier: MIT
 *
 * krait/address.h - addresses, as values.
 *
 * A krait_addr is passed and returned by value, so that
 *
 *     krait_bind(s, krait_inet("0.0.0.0", 8001));
 *
 * is one line, as in Python. It holds a socket address, or a host name and a
 * port: the call that is given a name resolves it, in the socket's family and
 * under the socket's timeout, as Python does. An address that could not be
 * made holds its error instead, and the call that is given it fails with that
 * error, naming the text; nothing needs checking in between.
 *
 * As text, everywhere in Krait:
 *
 *     127.0.0.1:8001  [::1]:8001  [fe80::1%eth0]:8001  example.org:80
 *     :8001                any address of this host
 *     unix:/run/x          a path                     unix:@name  abstract
 *     tcp:... udp:... seqpacket:...                   with a socket type
 *
 * All functions here may be called from any thread, and allocate nothing.
 * None but krait_addr_resolve waits.
 */
#ifndef KRAIT_ADDRESS_H
#define KRAIT_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>
#include <krait/version.h>

KRAIT_BEGIN_DECLS

/* Its fields are Krait's own: use the functions. Its size is fixed for ever.
 * All zero is a valid value: no address. */
typedef struct krait_addr {
    unsigned char kind_;  /* what `u_` holds */
    unsigned char type_;  /* SOCK_STREAM ... where the text said; else 0 */
    unsigned short port_; /* of a name; host byte order */
    unsigned int len_;    /* of the socket address, the name or the text */
    int error_;           /* why it could not be made: an errno */
    int cause_;           /* the same, in more detail */
    union {
        struct sockaddr_storage sa;
        char text[256]; /* a host name: at most 253 bytes */
    } u_;
} krait_addr;

/* Enough for every good address as text, its NUL included. */
#define KRAIT_ADDR_TEXT_MAX 512

/* --- making ------------------------------------------------------------ */

/* ("192.168.1.100", 8001), ("::1", 8001), ("example.org", 80). An empty host
 * or NULL is any address of this host (INADDR_ANY, in6addr_any), as in Python;
 * "<broadcast>" is INADDR_BROADCAST. A scope may follow: "fe80::1%eth0".
 * A bad address: EINVAL a port outside 0-65535 or a host that can't be one;
 * ENAMETOOLONG a host of more than 253 bytes; ENODEV a scope that names no
 * interface. */
KRAIT_API krait_addr krait_inet(const char *host, int port);

/* A path, or "@name" for an abstract name; "" is the unnamed address, which a
 * bind turns into an abstract name of the kernel's choice (unix(7), autobind).
 * A bad address: ENAMETOOLONG more than 107 bytes; EINVAL NULL. A file whose
 * name begins with @ is "./@file". */
KRAIT_API krait_addr krait_unix(const char *path);

/* An abstract name of any bytes, NULs included; at most 107 of them. */
KRAIT_API krait_addr krait_unix_abstract(const void *name, size_t len);

/* From text, in the forms above. A bad address: as krait_inet and krait_unix,
 * and EINVAL for text in none of the forms. */
KRAIT_API krait_addr krait_addr_parse(const char *text);

/* From what the system uses. EINVAL: `len` is impossible. An address of a
 * family that Krait has no text for is kept as it is. */
KRAIT_API krait_addr krait_addr_from(const struct sockaddr *sa, socklen_t len);

/* --- asking ------------------------------------------------------------ */

/* 0, or the errno for which the address could not be made (an address that is
 * all zero: EDESTADDRREQ). */
KRAIT_API int krait_addr_error(krait_addr addr);

/* AF_INET, AF_INET6, AF_UNIX, ...; AF_UNSPEC for a name or a bad address. */
KRAIT_API int krait_addr_family(krait_addr addr);

/* SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET where the text that it was parsed
 * from said so; else 0. */
KRAIT_API int krait_addr_type(krait_addr addr);

/* The port, in host byte order; -1 where the address has none. */
KRAIT_API int krait_addr_port(krait_addr addr);

/* The host without the port ("::1"), the Unix path ("/run/x", "@name"), in
 * `buf`, always with a NUL, cut to `size`. Returns buf. */
KRAIT_API char *krait_addr_host(krait_addr addr, char *buf, size_t size);

/* The whole as text, which krait_addr_parse reads back (but for bytes that
 * don't print, shown as \xNN, the unnamed Unix address, and hosts that are
 * called "unix", "tcp", "udp" or "seqpacket"). As krait_addr_host. A bad
 * address gives the text that it was made from. */
KRAIT_API char *krait_addr_text(krait_addr addr, char *buf, size_t size);

/* For foreign code: copies the socket address, at most `*len` bytes, and sets
 * `*len` to its full length. 0; -1 and EINVAL for a name, or the address's own
 * error. */
KRAIT_API int krait_addr_sockaddr(krait_addr addr, struct sockaddr *sa,
                                  socklen_t *len);

/* 1: the same address (family, bytes and scope; of a name: host, in any case,
 * and port); else 0. The type that the text named plays no part. */
KRAIT_API int krait_addr_equal(krait_addr a, krait_addr b);

/* --- resolving --------------------------------------------------------- */

/* Turns a name into socket addresses, at most `room`, in the order in which
 * they should be tried (RFC 6724, as getaddrinfo(3) sorts). An address that is
 * no name comes back as it is. `family`: AF_UNSPEC, AF_INET or AF_INET6.
 * `timeout`: as krait_settimeout's. Returns how many were stored, at least 1.
 * -1 and errno: EHOSTUNREACH no such name, or none in this family (domain
 * KRAIT_ERROR_NAME); ETIMEDOUT; ECANCELED (the fiber was cancelled); EINTR
 * (the signal hook); EAGAIN `timeout` is 0 and it would have to ask; EINVAL;
 * ENOMEM; EAFNOSUPPORT. Waits; a helper thread asks, so that the timeout
 * holds. */
KRAIT_API int krait_addr_resolve(krait_addr addr, int family, double timeout,
                                 krait_addr *out, int room);

KRAIT_END_DECLS

#endif
