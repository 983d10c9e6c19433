/* SPDX-License-Identifier: MIT
 *
 * krait/stream.h - what everybody writes first over a stream: so many bytes,
 * bytes up to a delimiter, messages with a length before them.
 *
 * A stream has no messages: what was sent in one call may come in several, and
 * what was sent in several in one. The calls here that receive wait until there
 * is all of what is asked for. None takes a byte more than that from the
 * socket, so that they can be mixed with krait_recv and with each other; and
 * where one fails, what has come is not lost: the same call again goes on. (An
 * urgent byte is left out, unless SO_OOBINLINE makes it one like others; and
 * fds that come beside the bytes are closed, as by krait_recv.)
 *
 * Each is one call with one deadline, the socket's timeout, and returns
 *
 *    1   all of it is there;
 *    0   the peer has finished, and nothing had come;
 *   -1   and errno: ENODATA (the peer has finished in the middle), EMSGSIZE
 *        (more than there is room for), EOPNOTSUPP (no SOCK_STREAM), EINVAL
 *        (NULL where something must be), and krait_recv's errors.
 *
 * One flow of control at a time receives from a stream in this way, and one at
 * a time sends frames: with two, each would get parts of what is meant for the
 * other. A krait_mutex keeps them apart.
 */
#ifndef KRAIT_STREAM_H
#define KRAIT_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <krait/socket.h>
#include <krait/version.h>

KRAIT_BEGIN_DECLS

/* Receives `len` bytes. `*have` is how many of them are in `buf` already: 0 at
 * first, and after each 1; after a failure, what came before it did. NULL: from
 * the beginning, and what came before a failure is not told. A `len` of 0
 * returns 1 at once. */
KRAIT_API int krait_recv_exactly(krait_sock *s, void *buf, size_t len,
                                 size_t *have);

/* A piece of a stream: where it goes, and how far it has come. The caller sets
 * the first two, leaves the rest zero at first and alone later, and uses it for
 * one socket and one kind of piece. `buf` may be another for the next piece; in
 * the middle of one, only a larger one with the same bytes. */
typedef struct krait_piece {
    void *buf;   /* the caller's; NULL where size is 0 */
    size_t size; /* its bytes: the most that a piece may have */
    size_t len;  /* after a 1: the piece's; see below for failures */
    size_t have_;
    unsigned char head_[4];
} krait_piece;

/* Receives up to and with the first `delimiter`, of `dlen` bytes (1 or more).
 *
 *     krait_piece line = {.buf = buf, .size = sizeof buf};
 *
 *     while ((rc = krait_recv_until(s, &line, "\n", 1)) > 0)
 *         use(line.buf, line.len);            its delimiter included, no NUL
 *     if (rc < 0)
 *         krait_perror("lines");
 *
 * After a failure `len` is how many bytes are in `buf`. EMSGSIZE: `size` of
 * them, and none ends it; what is behind them is still the socket's. Behind
 * `len` the buffer may hold bytes of the next piece.
 *
 * Looks (MSG_PEEK) before it takes, so that a piece costs two system calls and
 * more: many small ones are faster through a FILE (krait_makefile). Not
 * together with SO_PEEK_OFF. */
KRAIT_API int krait_recv_until(krait_sock *s, krait_piece *piece,
                               const void *delimiter, size_t dlen);

/* --- frames ------------------------------------------------------------- */

/* A message on a stream: four bytes with its length in network order (Python:
 * struct.pack("!I", n)), then so many bytes. */

/* The most that the length can say. */
#define KRAIT_FRAME_MAX UINT32_MAX

/* Sends one, as krait_sendall does; `len` may be 0. EMSGSIZE: more than
 * KRAIT_FRAME_MAX. After a failure the peer may have some of it or all, and
 * nothing that is sent on this stream makes sense to it any more. */
KRAIT_API int krait_send_frame(krait_sock *s, const void *buf, size_t len);

/* Receives the next one into `frame->buf`; `frame->len` is its length.
 *
 * EMSGSIZE: the peer says that it has more than `size` bytes: `len`. Nothing of
 * it was taken but that. With a larger `buf` and `size` the same call again
 * goes on; to skip it, receive so many bytes and begin with a fresh
 * krait_piece. No memory is ever allocated for a length that a peer has
 * claimed. */
KRAIT_API int krait_recv_frame(krait_sock *s, krait_piece *frame);

KRAIT_END_DECLS

#endif
