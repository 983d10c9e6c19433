/* SPDX-License-Identifier: MIT
 *
 * options.c - what can be asked of a socket, and set.
 */
#include <errno.h>
#include <fcntl.h>

#include "socket/sock.h"

static int set(krait_sock *s, int level, int option, const void *value,
               size_t len)
{
    struct krait__op op = {
        .kind = KRAIT__SETOPT,
        .arg = {level, option},
        .buf = (void *)value,
        .len = len,
    };
    int rc;

    if (!krait__begin(s, "setsockopt"))
        return -1;
    op.h = &s->h;
    rc = len > INT32_MAX ? -EINVAL : (int)krait__perform(&op, KRAIT__NEVER);
    return (int)krait__finish(s, "setsockopt", rc, NULL);
}

int krait_setsockopt(krait_sock *s, int level, int option, int value)
{
    return set(s, level, option, &value, sizeof value);
}

int krait_setsockopt_buf(krait_sock *s, int level, int option,
                         const void *value, size_t len)
{
    return set(s, level, option, value, len);
}

int krait_setsockopt_none(krait_sock *s, int level, int option, size_t len)
{
    return set(s, level, option, NULL, len);
}

int krait_getsockopt_buf(krait_sock *s, int level, int option, void *value,
                         size_t *len)
{
    socklen_t room = *len < INT32_MAX ? (socklen_t)*len : INT32_MAX;
    struct krait__op op = {
        .kind = KRAIT__GETOPT,
        .arg = {level, option},
        .buf = value,
        .alen = &room,
    };
    int rc;

    if (!krait__begin(s, "getsockopt"))
        return -1;
    op.h = &s->h;
    rc = (int)krait__finish(s, "getsockopt", krait__perform(&op, KRAIT__NEVER),
                            NULL);
    if (rc == 0)
        *len = room;
    return rc;
}

int krait_getsockopt(krait_sock *s, int level, int option, int *value)
{
    size_t len = sizeof *value;

    *value = 0; /* an option of one byte leaves the others */
    return krait_getsockopt_buf(s, level, option, value, &len);
}

#define NOT_A_TIMEOUT "a timeout is 0, more, or KRAIT_FOREVER"

int krait_settimeout(krait_sock *s, double seconds)
{
    int64_t ns;

    if (!krait__begin(s, "settimeout"))
        return -1;
    if (!krait__timeout(seconds, &ns)) {
        krait__fail("settimeout", -EINVAL, NOT_A_TIMEOUT, NULL, NULL, 0);
        krait__leave(&s->h);
        return -1;
    }
    atomic_store_explicit(&s->timeout, ns, memory_order_relaxed);
    return (int)krait__finish(s, "settimeout", 0, NULL);
}

static _Atomic int64_t default_timeout = KRAIT__NEVER;

int64_t krait__default_timeout(void)
{
    return atomic_load_explicit(&default_timeout, memory_order_relaxed);
}

int krait_setdefaulttimeout(double seconds)
{
    int64_t ns;

    if (!krait__timeout(seconds, &ns))
        return krait__fail("setdefaulttimeout", -EINVAL, NOT_A_TIMEOUT, NULL,
                           NULL, 0);
    atomic_store_explicit(&default_timeout, ns, memory_order_relaxed);
    return 0;
}

double krait_getdefaulttimeout(void)
{
    return krait__seconds(krait__default_timeout());
}

double krait_gettimeout(krait_sock *s)
{
    double seconds;

    if (!krait__begin(s, "gettimeout"))
        return -1;
    seconds =
        krait__seconds(atomic_load_explicit(&s->timeout, memory_order_relaxed));
    krait__leave(&s->h);
    return seconds;
}

int krait_setblocking(krait_sock *s, int blocking)
{
    return krait_settimeout(s, blocking ? KRAIT_FOREVER : 0);
}

int krait_getblocking(krait_sock *s)
{
    double seconds = krait_gettimeout(s);

    return seconds < 0 ? -1 : seconds > 0;
}

int krait_set_inheritable(krait_sock *s, int inheritable)
{
    int rc;

    if (!krait__begin(s, "set_inheritable"))
        return -1;
    rc = fcntl(s->h.fd, F_SETFD, inheritable ? 0 : FD_CLOEXEC);
    return (int)krait__finish(s, "set_inheritable", rc < 0 ? -errno : 0, NULL);
}

int krait_get_inheritable(krait_sock *s)
{
    int rc;

    if (!krait__begin(s, "get_inheritable"))
        return -1;
    rc = fcntl(s->h.fd, F_GETFD);
    rc = rc < 0 ? -errno : !(rc & FD_CLOEXEC);
    return (int)krait__finish(s, "get_inheritable", rc, NULL);
}

/* What never changes while the caller holds the socket. */
static int constant(krait_sock *s, const char *what, int value)
{
    return krait__begin(s, what) ? (int)krait__finish(s, what, value, NULL)
                                 : -1;
}

int krait_fileno(krait_sock *s)
{
    if (s)
        atomic_store(&s->h.plain_tcp, false); /* for all that we know, now */
    return constant(s, "fileno", s && s->h.fd >= 0 ? s->h.fd : -EBADF);
}

int krait_family(krait_sock *s)
{
    return constant(s, "family", s ? s->h.family : -1);
}

int krait_type(krait_sock *s)
{
    return constant(s, "type", s ? s->h.type : -1);
}

int krait_proto(krait_sock *s)
{
    return constant(s, "proto", s ? s->proto : -1);
}
