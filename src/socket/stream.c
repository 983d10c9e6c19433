/* SPDX-License-Identifier: MIT
 *
 * stream.c - so many bytes, bytes up to a delimiter, frames.
 *
 * Built of plain receives and of looks (MSG_PEEK), under one deadline a call;
 * and of no memory but the caller's. Not of MSG_WAITALL, which says nothing of
 * why it stopped early.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <krait/stream.h>

#include "socket/sock.h"

enum { HEAD = 4 };

_Static_assert(sizeof((krait_piece *)NULL)->head_ == HEAD, "a frame's head");

/* The first look at what comes, in bytes; each that finds nothing doubles it. A
 * look copies all that it sees, and who sends empty lines decides how often. */
enum { FIRST_LOOK = 512 };

/* What a receive came to: positive; 0: the peer has finished; or a code. */

static ssize_t receive(krait_sock *s, void *buf, size_t len, int flags,
                       int64_t deadline)
{
    struct krait__op op = {
        .kind = KRAIT__RECV,
        .h = &s->h,
        .buf = buf,
        .len = len,
        .flags = flags,
    };

    return krait__perform(&op, deadline);
}

/* Whose bytes are always there would never be late. */
static bool is_late(int64_t deadline)
{
    return deadline != KRAIT__AT_ONCE && deadline != KRAIT__NEVER &&
           krait__now() >= deadline;
}

/* *have becomes `len`: 1; or what there is instead. */
static ssize_t fill(krait_sock *s, void *buf, size_t len, size_t *have,
                    int64_t deadline)
{
    while (*have < len) {
        ssize_t n = receive(s, (char *)buf + *have, len - *have, 0, deadline);

        if (n <= 0)
            return n;
        *have += (size_t)n;
        if (*have < len && is_late(deadline))
            return -KRAIT__ETIMEOUT;
    }
    return 1;
}

/* How many of `n` bytes behind the `have` first belong to the piece: up to the
 * delimiter's end, whose beginning may have come before; all, if it isn't
 * there. */
static size_t belonging(const char *buf, size_t have, size_t n,
                        const void *delimiter, size_t dlen)
{
    size_t from = have < dlen ? 0 : have - dlen + 1;
    const char *at = memmem(buf + from, have + n - from, delimiter, dlen);

    return at ? (size_t)(at - buf) + dlen - have : n;
}

static bool ends_with(const char *buf, size_t have, const void *delimiter,
                      size_t dlen)
{
    return have >= dlen && memcmp(buf + have - dlen, delimiter, dlen) == 0;
}

/* Looks at what comes, takes what belongs to the piece, and believes what it
 * has taken. */
static ssize_t fill_until(krait_sock *s, krait_piece *p, const void *delimiter,
                          size_t dlen, int64_t deadline)
{
    char *buf = p->buf;
    size_t look = FIRST_LOOK;

    while (p->have_ < p->size) {
        size_t room = p->size - p->have_;
        ssize_t n = receive(s, buf + p->have_, look < room ? look : room,
                            MSG_PEEK, deadline);

        if (n > 0)
            n = receive(s, buf + p->have_,
                        belonging(buf, p->have_, (size_t)n, delimiter, dlen), 0,
                        deadline);
        if (n <= 0)
            return n;
        p->have_ += (size_t)n;
        if (ends_with(buf, p->have_, delimiter, dlen))
            return 1;
        if (is_late(deadline))
            return -KRAIT__ETIMEOUT;
        look *= 2;
    }
    return -EMSGSIZE;
}

static ssize_t fill_frame(krait_sock *s, krait_piece *f, int64_t deadline)
{
    size_t have = f->have_ < HEAD ? 0 : f->have_ - HEAD;
    ssize_t rc = fill(s, f->head_, HEAD, &f->have_, deadline);
    uint32_t len;

    if (rc <= 0)
        return rc;
    memcpy(&len, f->head_, sizeof len);
    f->len = ntohl(len);
    if (f->len > f->size)
        return -EMSGSIZE;
    rc = fill(s, f->buf, f->len, &have, deadline);
    f->have_ = HEAD + have;
    return rc;
}

/* --- the calls ---------------------------------------------------------- */

static const char *reason_of(int code)
{
    switch (code) {
    case -ENODATA:
        return "the peer has finished in the middle";
    case -EMSGSIZE:
        return "it is longer than there is room for";
    case -EOPNOTSUPP:
        return "only for streams";
    default:
        return NULL;
    }
}

/* `begun`: something of it had come, and is not the end of everything. */
static int finish(krait_sock *s, const char *op, ssize_t rc, bool begun)
{
    int code = rc == 0 && begun ? -ENODATA : (int)rc;

    if (code < 0)
        return krait__finish_because(s, op, code, reason_of(code), NULL);
    return (int)krait__finish(s, op, code, NULL);
}

/* 0, or why it can't be done. */
static int check(const krait_sock *s, bool complete)
{
    if (!complete)
        return -EINVAL;
    return s->h.type == SOCK_STREAM ? 0 : -EOPNOTSUPP;
}

int krait_recv_exactly(krait_sock *s, void *buf, size_t len, size_t *have)
{
    size_t none = 0;
    bool begun;
    ssize_t rc;

    if (!krait__begin(s, "recv_exactly"))
        return -1;
    if (!have)
        have = &none;
    rc = check(s, (buf || len == 0) && *have <= len);
    if (rc == 0)
        rc = fill(s, buf, len, have, krait__sock_deadline(s));
    begun = *have > 0;
    if (rc > 0)
        *have = 0;
    return finish(s, "recv_exactly", rc, begun);
}

static bool is_complete(const krait_piece *p)
{
    return p && (p->buf || p->size == 0);
}

int krait_recv_until(krait_sock *s, krait_piece *piece, const void *delimiter,
                     size_t dlen)
{
    bool begun = false;
    ssize_t rc;

    if (!krait__begin(s, "recv_until"))
        return -1;
    rc = check(s, is_complete(piece) && delimiter && dlen > 0);
    if (rc == 0) {
        rc = fill_until(s, piece, delimiter, dlen, krait__sock_deadline(s));
        piece->len = piece->have_;
        begun = piece->have_ > 0;
        if (rc > 0)
            piece->have_ = 0;
    }
    return finish(s, "recv_until", rc, begun);
}

/* A frame of less than this goes into one system call with its head. */
enum { SMALL = 1024 };

static int send_part(krait_sock *s, void *buf, size_t len, int flags,
                     int64_t deadline)
{
    struct krait__op op = {
        .kind = KRAIT__SEND,
        .h = &s->h,
        .buf = buf,
        .len = len,
        .flags = flags,
    };

    return krait__send_whole(&op, deadline);
}

static int send_frame(krait_sock *s, const void *buf, size_t len,
                      int64_t deadline)
{
    size_t with_head = len < SMALL ? len : 0;
    uint32_t head = htonl((uint32_t)len);
    char first[HEAD + SMALL];
    int rc;

    memcpy(first, &head, HEAD);
    if (with_head)
        memcpy(first + HEAD, buf, with_head);
    rc = send_part(s, first, HEAD + with_head, with_head < len ? MSG_MORE : 0,
                   deadline);
    if (rc < 0 || with_head == len)
        return rc;
    /* A send leaves it alone. */
    return send_part(s, (void *)buf, len, 0, deadline);
}

int krait_send_frame(krait_sock *s, const void *buf, size_t len)
{
    int rc;

    if (!krait__begin(s, "send_frame"))
        return -1;
    rc = check(s, buf || len == 0);
    if (rc == 0 && len > KRAIT_FRAME_MAX)
        rc = -EMSGSIZE;
    if (rc == 0)
        rc = send_frame(s, buf, len, krait__sock_deadline(s));
    if (rc == 0)
        return (int)krait__finish(s, "send_frame", 0, NULL);
    return krait__finish_because(s, "send_frame", rc, reason_of(rc), NULL);
}

int krait_recv_frame(krait_sock *s, krait_piece *frame)
{
    bool begun = false;
    ssize_t rc;

    if (!krait__begin(s, "recv_frame"))
        return -1;
    rc = check(s, is_complete(frame));
    if (rc == 0) {
        rc = fill_frame(s, frame, krait__sock_deadline(s));
        begun = frame->have_ > 0;
        if (rc > 0)
            frame->have_ = 0;
    }
    return finish(s, "recv_frame", rc, begun);
}
