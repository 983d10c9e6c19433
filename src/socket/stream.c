/* SPDX-License-Identifier: MIT
 *
 * stream.c - so many bytes, bytes up to a delimiter, frames.
 *
 * Built of receives that wait for all they ask for (MSG_WAITALL) and of looks
 * (MSG_PEEK), under one deadline a call; and of no memory but the caller's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <krait/stream.h>

#include "socket/sock.h"

enum { HEAD = 4 };

_Static_assert(sizeof((krait_frame *)NULL)->head_ == HEAD, "a frame's head");

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

/* *have becomes `len`: 1; or what there is instead. */
static ssize_t fill(krait_sock *s, void *buf, size_t len, size_t *have,
                    int64_t deadline)
{
    while (*have < len) {
        ssize_t n =
            receive(s, (char *)buf + *have, len - *have, MSG_WAITALL, deadline);

        if (n <= 0)
            return n;
        *have += (size_t)n;
    }
    return 1;
}

/* Where the delimiter ends that begins at `from` or later; 0: there is none. */
static size_t end_of(const char *buf, size_t len, size_t from,
                     const void *delimiter, size_t dlen)
{
    const char *at = memmem(buf + from, len - from, delimiter, dlen);

    return at ? (size_t)(at - buf) + dlen : 0;
}

/* Looks at what comes, and takes what belongs to the piece. */
static ssize_t fill_until(krait_sock *s, char *buf, size_t size,
                          const void *delimiter, size_t dlen, size_t *have,
                          int64_t deadline)
{
    while (*have < size) {
        /* What came before may hold the delimiter's beginning. */
        size_t from = *have < dlen ? 0 : *have - dlen + 1;
        size_t came, end;
        ssize_t n = receive(s, buf + *have, size - *have, MSG_PEEK, deadline);

        if (n <= 0)
            return n;
        came = *have + (size_t)n;
        end = end_of(buf, came, from, delimiter, dlen);
        n = fill(s, buf, end ? end : came, have, deadline);
        if (n <= 0 || end)
            return n;
    }
    return -EMSGSIZE;
}

static ssize_t fill_frame(krait_sock *s, krait_frame *f, int64_t deadline)
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
    f->have_ = rc > 0 ? 0 : HEAD + have;
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
    ssize_t rc;

    if (!krait__begin(s, "recv_exactly"))
        return -1;
    if (!have)
        have = &none;
    rc = check(s, (buf || len == 0) && *have <= len);
    if (rc == 0)
        rc = fill(s, buf, len, have, krait__sock_deadline(s));
    return finish(s, "recv_exactly", rc, *have > 0);
}

int krait_recv_until(krait_sock *s, void *buf, size_t size,
                     const void *delimiter, size_t dlen, size_t *have)
{
    bool complete = buf && delimiter && dlen > 0 && have && *have <= size;
    ssize_t rc;

    if (!krait__begin(s, "recv_until"))
        return -1;
    rc = check(s, complete);
    if (rc == 0)
        rc = fill_until(s, buf, size, delimiter, dlen, have,
                        krait__sock_deadline(s));
    return finish(s, "recv_until", rc, complete && *have > 0);
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

int krait_recv_frame(krait_sock *s, krait_frame *frame)
{
    ssize_t rc;

    if (!krait__begin(s, "recv_frame"))
        return -1;
    rc = check(s, frame && (frame->buf || frame->size == 0));
    if (rc == 0)
        rc = fill_frame(s, frame, krait__sock_deadline(s));
    return finish(s, "recv_frame", rc, frame && frame->have_ > 0);
}
