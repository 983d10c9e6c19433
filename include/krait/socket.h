/* SPDX-License-Identifier: MIT
 *
 * krait/socket.h - sockets: Python's `socket` objects.
 *
 * The calls are the same in plain threads and in fibers (krait/fiber.h): what
 * would make a thread wait parks a fiber, and nothing else is different.
 *
 * The signatures are POSIX's with the fd replaced by a krait_sock; what
 * differs from recv(2) and its kin is what Python fixed:
 *
 *   - A socket carries its timeout, krait_settimeout. One monotonic deadline
 *     for a call, set once, however often the call has to wait inside.
 *   - EINTR never shows: after a signal the call goes on (PEP 475), unless the
 *     hook of krait_set_signal_hook (krait/io.h) asks it to stop.
 *   - SIGPIPE never comes (MSG_NOSIGNAL).
 *   - fds are close-on-exec; and always O_NONBLOCK, since every wait must be
 *     interruptible, whatever the timeout: whoever takes krait_fileno for
 *     foreign code must know that, and must leave it so, since an accept or
 *     connect could not be ended otherwise. SO_RCVTIMEO and SO_SNDTIMEO are not
 *     Krait's timeouts, and have no effect; SO_RCVLOWAT can only prolong a
 *     wait.
 *   - Names are resolved by the call that is given one.
 *
 * Sharing. Any thread or fiber may use a socket while others do.
 * krait_interrupt wakes all who wait on it. krait_close does too, but starting
 * a call on a socket after krait_close of it has begun is the caller's error,
 * as with fclose: to take a socket away from others, interrupt it, join them,
 * then close it. A thread must not be cancelled (pthread_cancel) inside a call:
 * krait_interrupt is for that.
 *
 * Unless said otherwise a call returns 0, or -1 and errno, and krait_errmsg()
 * says the rest. Every call fails with EBADF where the socket is NULL, and
 * every one that takes an address fails with that address's error. Calls that
 * may wait also fail with ETIMEDOUT (the timeout, or a deadline scope's time,
 * has passed), EAGAIN (timeout 0 or MSG_DONTWAIT, and it would have to wait),
 * ECANCELED (krait_interrupt, krait_close, krait_cancel), EINTR (the signal
 * hook) and ENOMEM; what is listed with each call is what comes on top. Only
 * krait_interrupt may be called from signal handlers.
 */
#ifndef KRAIT_SOCKET_H
#define KRAIT_SOCKET_H

#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <krait/address.h>
#include <krait/scope.h> /* KRAIT_FOREVER */
#include <krait/version.h>

KRAIT_BEGIN_DECLS

typedef struct krait_sock krait_sock;

/* The backlog of a krait_listen that leaves it to Krait: 128, Python's
 * min(SOMAXCONN, 128). */
#define KRAIT_BACKLOG 128

/* --- made and unmade --------------------------------------------------- */

/* Python's socket(family, type, proto): AF_INET, AF_INET6, AF_UNIX, ... with
 * SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET. SOCK_NONBLOCK in `type`
 * sets the timeout to 0. The caller owns what it gets; krait_close ends it.
 * NULL and errno: EAFNOSUPPORT, EPROTONOSUPPORT, EMFILE, ENFILE, ENOMEM, EPERM
 * (SOCK_RAW wants CAP_NET_RAW): socket(2). */
KRAIT_API krait_sock *krait_socket(int family, int type, int proto);

/* Two connected sockets, Python's socketpair; family AF_UNIX, as a rule.
 * Errors: krait_socket's, EOPNOTSUPP. */
KRAIT_API int krait_socketpair(int family, int type, int proto,
                               krait_sock *pair[2]);

/* Python's fromfd: a socket over a duplicate of `fd`, which stays the
 * caller's. -1 for family, type or proto: ask the kernel. Note that O_NONBLOCK
 * belongs to what the two fds share. NULL and errno: EBADF, ENOTSOCK, EMFILE,
 * ENOMEM. */
KRAIT_API krait_sock *krait_fromfd(int fd, int family, int type, int proto);

/* Python's socket(fileno=fd): takes `fd` itself over, which krait_close will
 * close. On failure it stays the caller's. Errors: as krait_fromfd. */
KRAIT_API krait_sock *krait_fd_adopt(int fd);

/* Python's dup: a second socket over the same connection, with the same
 * timeout. NULL and errno: EMFILE, ENOMEM. */
KRAIT_API krait_sock *krait_dup(krait_sock *s);

/* Ends the socket: calls that wait on it fail with ECANCELED, and the fd is
 * closed when the last of them has left, with nothing waited for here. While
 * a FILE of krait_makefile is open the socket goes on under that, as in Python,
 * and nobody is woken; fclose is what ends it then. NULL
 * is fine; errno is kept where it succeeds. -1 and errno: EIO, ENOSPC, EDQUOT
 * (close(2); the socket is gone all the same; ECONNRESET and EINTR are not
 * reported). */
KRAIT_API int krait_close(krait_sock *s);

/* Ends the socket and hands its fd back, open and O_NONBLOCK. Calls that wait
 * fail with ECANCELED; FILEs of krait_makefile fail with EBADF from then on.
 * Join the other users of the socket first: one that is in the middle of a
 * system call may still use the number for a moment. */
KRAIT_API int krait_detach(krait_sock *s);

/* Whether programs that this one becomes (execve(2)) keep the fd: 1 or 0. They
 * don't, unless somebody asks for it; an fd that was adopted stays as it is.
 * Errors: EBADF. */
KRAIT_API int krait_set_inheritable(krait_sock *s, int inheritable);
KRAIT_API int krait_get_inheritable(krait_sock *s);

/* --- the calls --------------------------------------------------------- */

/* Errors: EADDRINUSE, EADDRNOTAVAIL, EACCES (a port below 1024; a directory),
 * EINVAL (bound already), ENOENT, EHOSTUNREACH (name resolution): bind(2). A
 * name is resolved in the socket's family and the first address taken. */
KRAIT_API int krait_bind(krait_sock *s, krait_addr addr);

/* A negative backlog is 0, as in Python. Errors: EADDRINUSE, EOPNOTSUPP. */
KRAIT_API int krait_listen(krait_sock *s, int backlog);

/* Waits for a connection. `*peer` is set where peer is not NULL. The new
 * socket has the default timeout, whatever the listener's is. NULL and errno:
 * EINVAL (not listening), ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM,
 * EOPNOTSUPP: accept(2). A connection is never taken and then lost: what can
 * fail is done before. */
KRAIT_API krait_sock *krait_accept(krait_sock *s, krait_addr *peer);

/* Connects; for datagrams, fixes the peer. A name is resolved under the same
 * deadline, and the first address taken (krait_create_connection tries all).
 * With timeout 0 the name is resolved first, which may take a while, as in
 * Python; then EINPROGRESS says that the connection is under way. After a
 * timeout the attempt goes on in the kernel, and connecting again waits for it.
 * Errors: ECONNREFUSED, ENETUNREACH, EHOSTUNREACH (which krait_errdomain tells
 * from name resolution), EADDRNOTAVAIL, EISCONN, EALREADY, ENOENT, EACCES:
 * connect(2). */
KRAIT_API int krait_connect(krait_sock *s, krait_addr addr);

/* Python's connect_ex: 0 or the errno, as a positive number. */
KRAIT_API int krait_connect_ex(krait_sock *s, krait_addr addr);

/* Receives at most `len` bytes. Returns how many; 0 when the peer has finished
 * (or sent an empty datagram or record, or len and flags are 0). Flags:
 * MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_ERRQUEUE as recv(2); MSG_DONTWAIT: this
 * call does not wait; MSG_WAITALL (streams): goes on until `len` bytes, the
 * end, the urgent mark, an error or the timeout, and returns what came until
 * then, if anything, keeping the error for the next call. Errors: ECONNRESET,
 * ENOTCONN, ECONNREFUSED (datagrams: the peer's ICMP), ENOMEM: recv(2). */
KRAIT_API ssize_t krait_recv(krait_sock *s, void *buf, size_t len, int flags);

/* Sends at most `len` bytes. Returns how many the kernel took. Without a
 * timeout a stream takes them all, as a blocking send(2) does; with one, what
 * fits at once after the wait, as Python does. Datagrams and records go whole
 * or not at all. An error after some bytes were taken is kept for the next call
 * (the signal hook's verdict and the timeout just end this one). Errors: EPIPE,
 * ECONNRESET, ENOTCONN, EDESTADDRREQ, EMSGSIZE, ENOBUFS: send(2). */
KRAIT_API ssize_t krait_send(krait_sock *s, const void *buf, size_t len,
                             int flags);

/* Sends all of it, under one deadline; an empty `len` sends once (an empty
 * datagram is real). When it returns 0 the kernel has every byte. On failure
 * some may have been sent; how many is not known, as in Python. MSG_DONTWAIT
 * makes it fail with EAGAIN as soon as it would wait. Errors: krait_send's. */
KRAIT_API int krait_sendall(krait_sock *s, const void *buf, size_t len,
                            int flags);

/* krait_sendall of a string, without its NUL. EINVAL: NULL. */
KRAIT_API int krait_sendstr(krait_sock *s, const char *text);

/* krait_recv, telling who sent it in `*from` (NULL: not wanted; zero where the
 * kernel doesn't say, as for a connected stream). MSG_TRUNC returns the full
 * length of a datagram that was cut. MSG_WAITALL has no effect. */
KRAIT_API ssize_t krait_recvfrom(krait_sock *s, void *buf, size_t len,
                                 int flags, krait_addr *from);

/* krait_send to `to`. A name is resolved under the same deadline; where the
 * call must not wait (timeout 0), as krait_connect does it. */
KRAIT_API ssize_t krait_sendto(krait_sock *s, const void *buf, size_t len,
                               int flags, krait_addr to);

/* SHUT_RD, SHUT_WR, SHUT_RDWR. Errors: ENOTCONN, EINVAL. */
KRAIT_API int krait_shutdown(krait_sock *s, int how);

/* Wakes all who wait on the socket: their calls, and all later ones that may
 * wait, fail with ECANCELED, even where they would not have had to. For ever.
 * The connection is left alone. From any thread and from a signal handler,
 * while the socket is open; whatever interrupts it must not jump out of it
 * (longjmp). EBADF: NULL (errno alone says it). */
KRAIT_API int krait_interrupt(krait_sock *s);

/* --- asking and setting ------------------------------------------------ */

/* The address of this end, of the other end. On failure an address that
 * carries the error (krait_addr_error: ENOTCONN, ...). */
KRAIT_API krait_addr krait_getsockname(krait_sock *s);
KRAIT_API krait_addr krait_getpeername(krait_sock *s);

/* setsockopt(2) in Python's three forms: an integer, a buffer, and none (a
 * NULL value of `len` bytes, which AF_ALG wants). Errors: ENOPROTOOPT, EINVAL,
 * EPERM, EDOM. */
KRAIT_API int krait_setsockopt(krait_sock *s, int level, int option, int value);
KRAIT_API int krait_setsockopt_buf(krait_sock *s, int level, int option,
                                   const void *value, size_t len);
KRAIT_API int krait_setsockopt_none(krait_sock *s, int level, int option,
                                    size_t len);

/* getsockopt(2) in two: an integer in `*value`; a buffer of `*len` bytes,
 * where *len becomes what the kernel wrote. */
KRAIT_API int krait_getsockopt(krait_sock *s, int level, int option,
                               int *value);
KRAIT_API int krait_getsockopt_buf(krait_sock *s, int level, int option,
                                   void *value, size_t *len);

/* Seconds that a call may wait: KRAIT_FOREVER (the default, where
 * krait_setdefaulttimeout has not set another), 0 (never waits: EAGAIN), or
 * more. Calls that wait already keep their deadline. EINVAL: negative, or not a
 * number. */
KRAIT_API int krait_settimeout(krait_sock *s, double seconds);

/* The timeout; -1 and EBADF where s is NULL. */
KRAIT_API double krait_gettimeout(krait_sock *s);

/* The timeout of the sockets that this process makes from now on, libraries'
 * too, by whatever call makes one without being told a timeout, krait_accept's
 * and a server's among them (with 0 they don't wait); those that there are keep
 * theirs. Values and errors: as krait_settimeout. */
KRAIT_API int krait_setdefaulttimeout(double seconds);
KRAIT_API double krait_getdefaulttimeout(void);

/* Python's setblocking: 0 is krait_settimeout(s, 0), else KRAIT_FOREVER. */
KRAIT_API int krait_setblocking(krait_sock *s, int blocking);

/* 1 where the timeout is not 0, 0 where it is; -1 and EBADF. */
KRAIT_API int krait_getblocking(krait_sock *s);

/* The fd, which stays the socket's: it is O_NONBLOCK, and not to be closed. */
KRAIT_API int krait_fileno(krait_sock *s);

/* What the socket is: AF_INET ..., SOCK_STREAM ... (without flags), the
 * protocol that it was made with. */
KRAIT_API int krait_family(krait_sock *s);
KRAIT_API int krait_type(krait_sock *s);
KRAIT_API int krait_proto(krait_sock *s);

/* --- stdio ------------------------------------------------------------- */

/* A FILE over the socket: "r" or "w" ("rb", "wb"); for both ways make two.
 * getline, fprintf and the rest then work under the socket's timeout; on
 * failure ferror() is set and errno tells which, and after clearerr() reading
 * goes on where it was (a timeout loses nothing that came). What a failed
 * write had buffered is lost: that is stdio's way. fclose() ends the FILE; the
 * socket goes on, unless it was closed meanwhile. NULL and errno: EINVAL
 * another mode ("r+", "rw": two FILEs), EMFILE, ENOMEM. */
KRAIT_API FILE *krait_makefile(krait_sock *s, const char *mode);

KRAIT_END_DECLS

#endif
