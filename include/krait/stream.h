/* SPDX-License-Identifier: MIT
 *
 * krait/stream.h - what everybody writes first over a stream: so many bytes,
 * bytes up to a delimiter, messages with a length before them.
 *
 * A stream has no messages: what was sent in one call may come in several, and
 * what was sent in several in one. The calls here wait until there is all of
 * what is asked for. None takes a byte more than that from the socket, so that
 * they can be mixed with krait_recv and with each other; and where one fails,
 * nothing that has come is lost: the same call again goes on.
 *
 * Each is one call with one deadline, the socket's timeout. Those that receive
 * return
 *
 *    1   all of it is there;
 *    0   the peer has finished, and nothing had come;
 *   -1   and errno: ENODATA (the peer has finished in the middle), EMSGSIZE
 *        (more than there is room for), EOPNOTSUPP (no SOCK_STREAM), EINVAL
 *        (NULL where something must be), and krait_recv's errors.
 *
 * One flow of control at a time receives from a stream, as far as these calls
 * go; with two, each would get parts of what is meant for the other.
 */
#ifndef KRAIT_STREAM_H
#define KRAIT_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <krait/socket.h>
#include <krait/version.h>

KRAIT_BEGIN_DECLS

/* Receives `len` bytes. `*have` is how many of them are in `buf` already: 0 at
 * first; after a call that has failed, what came before it did. NULL: from the
 * beginning, and what came before a failure is not told. A `len` of 0 returns 1
 * at once. */
KRAIT_API int krait_recv_exactly(krait_sock *s, void *buf, size_t len,
                                 size_t *have);

/* Receives up to and with the first `delimiter`, of `dlen` bytes (1 or more).
 * `*have` is how many bytes are in `buf`: to be 0 where a new piece begins;
 * after a 1, the piece's length, its delimiter included. No NUL is added.
 *
 *     size_t have = 0;
 *
 *     while (krait_recv_until(s, line, sizeof line, "\n", 1, &have) > 0) {
 *         use(line, have);
 *         have = 0;
 *     }
 *
 * EMSGSIZE: `size` bytes are in `buf`, none of them ends it. The bytes behind
 * them are still the socket's. Looks (MSG_PEEK) before it takes, and so costs
 * two system calls where krait_recv costs one: for large amounts of small
 * pieces a FILE (krait_makefile) is faster. */
KRAIT_API int krait_recv_until(krait_sock *s, void *buf, size_t size,
                               const void *delimiter, size_t dlen,
                               size_t *have);

/* --- frames ------------------------------------------------------------- */

/* A message on a stream: four bytes with its length in network order (Python:
 * struct.pack("!I", n)), then so many bytes. */

/* The most that the length can say. */
#define KRAIT_FRAME_MAX UINT32_MAX

/* Sends one, as krait_sendall does; `len` may be 0. EMSGSIZE: more than
 * KRAIT_FRAME_MAX. After a failure the peer may have a part of it, and nothing
 * that is sent on this stream makes sense to it any more. */
KRAIT_API int krait_send_frame(krait_sock *s, const void *buf, size_t len);

/* Where to receive one, and how far that has come. The caller sets the first
 * two, and leaves the rest zero at first and alone later. */
typedef struct krait_frame {
    void *buf;   /* the caller's; NULL where size is 0 */
    size_t size; /* its bytes: the most that a frame may have */
    size_t len;  /* after a 1: the frame's */
    size_t have_;
    unsigned char head_[4];
} krait_frame;

/* Receives the next one.
 *
 *     krait_frame frame = {.buf = buf, .size = sizeof buf};
 *
 *     while (krait_recv_frame(s, &frame) > 0)
 *         use(frame.buf, frame.len);
 *
 * EMSGSIZE: the peer says that it has more than `size` bytes, and nothing of it
 * was taken but the length, which is in `len`. With a larger `buf` and `size`
 * the same call again goes on. Nothing is ever allocated for a length that a
 * peer has claimed. */
KRAIT_API int krait_recv_frame(krait_sock *s, krait_frame *frame);

KRAIT_END_DECLS

#endif
