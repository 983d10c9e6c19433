/* SPDX-License-Identifier: MIT
 *
 * differ_mutants.c - apis that are wrong on purpose: Krait's, with one fault
 * each, of the kinds that this test is for. One that is not found means that
 * the test has become blind.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "differ.h"

static struct api mutant;

static ssize_t loses_a_byte(struct slot *s, enum wait wait, void *buf,
                            size_t len, int flags)
{
    char byte;

    if (s->s && s->type == SOCK_STREAM && len > 5000)
        recv(s->fd, &byte, 1, MSG_DONTWAIT);
    return krait_api.recv(s, wait, buf, len, flags);
}

static ssize_t times_out_as_again(struct slot *s, enum wait wait, void *buf,
                                  size_t len, int flags)
{
    ssize_t n = krait_api.recv(s, wait, buf, len, flags);

    return n == -ETIMEDOUT ? -EAGAIN : n;
}

static ssize_t is_cancelled_as_interrupted(struct slot *s, enum wait wait,
                                           const void *buf, size_t len,
                                           int flags)
{
    ssize_t n = krait_api.send(s, wait, buf, len, flags);

    return n == -ECANCELED ? -EINTR : n;
}

static ssize_t takes_what_it_peeks(struct slot *s, enum wait wait, void *buf,
                                   size_t len, int flags)
{
    return krait_api.recv(s, wait, buf, len, flags & ~MSG_PEEK);
}

static ssize_t forgets_waitall(struct slot *s, enum wait wait, void *buf,
                               size_t len, int flags)
{
    return krait_api.recv(s, wait, buf, len, flags & ~MSG_WAITALL);
}

static ssize_t forgets_a_kept_error(struct slot *s, enum wait wait, void *buf,
                                    size_t len, int flags)
{
    ssize_t n = krait_api.recv(s, wait, buf, len, flags);
    int error;

    if (krait_api.kept(s))
        krait_getsockopt(s->s, SOL_SOCKET, SO_ERROR, &error);
    return n;
}

static ssize_t eats_what_it_may_not_have(struct slot *s, enum wait wait,
                                         void *buf, size_t len, int flags)
{
    ssize_t n = krait_api.recv(s, wait, buf, len, flags);
    char byte;

    if (n == -ECANCELED && s->s)
        recv(s->fd, &byte, 1, MSG_DONTWAIT);
    return n;
}

static ssize_t waits_with_dontwait(struct slot *s, enum wait wait, void *buf,
                                   size_t len, int flags)
{
    return krait_api.recv(s, wait, buf, len, flags & ~MSG_DONTWAIT);
}

static ssize_t does_not_wait(struct slot *s, enum wait wait, void *buf,
                             size_t len, int flags)
{
    return krait_api.recv(s, wait == FOREVER ? AT_ONCE : wait, buf, len, flags);
}

static ssize_t tells_what_fits(struct slot *s, enum wait wait, void *buf,
                               size_t len, int flags)
{
    ssize_t n = krait_api.recv(s, wait, buf, len, flags);

    return n > (ssize_t)len ? (ssize_t)len : n;
}

static ssize_t forgets_who(struct slot *s, enum wait wait, void *buf,
                           size_t len, int flags, struct sockaddr_storage *sa,
                           socklen_t *alen)
{
    ssize_t n = krait_api.recvfrom(s, wait, buf, len, flags, sa, alen);

    *alen = 0;
    return n;
}

static int sends_once(struct slot *s, enum wait wait, const void *buf,
                      size_t len, int flags)
{
    ssize_t n =
        krait_api.send(s, wait == FOREVER ? FAR : wait, buf, len, flags);

    return n < 0 ? (int)n : 0;
}

static int asks_so_error(struct slot *s, enum wait wait,
                         const struct sockaddr *sa, socklen_t len)
{
    int rc = krait_api.connect(s, wait, sa, len);
    int error = 0;

    if (rc == 0 && s->s)
        krait_getsockopt(s->s, SOL_SOCKET, SO_ERROR, &error);
    return rc == -ECONNREFUSED ? -EHOSTUNREACH : rc;
}

static int leaves_an_fd(struct slot *s, int how)
{
    if (s->fd >= 0)
        fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    return krait_api.shutdown(s, how);
}

/* A mutant that receives differently, named after what it does. */
#define RECV(fn) \
    { \
        .name = #fn, .api.recv = (fn) \
    }

/* What is NULL is Krait's own. */
static const struct {
    const char *name;
    struct api api;
} mutants[] = {
    RECV(loses_a_byte),
    RECV(times_out_as_again),
    RECV(takes_what_it_peeks),
    RECV(forgets_waitall),
    RECV(forgets_a_kept_error),
    RECV(eats_what_it_may_not_have),
    RECV(waits_with_dontwait),
    RECV(does_not_wait),
    RECV(tells_what_fits),
    {"is_cancelled_as_interrupted", {.send = is_cancelled_as_interrupted}},
    {"forgets_who", {.recvfrom = forgets_who}},
    {"sends_once", {.sendall = sends_once}},
    {"asks_so_error", {.connect = asks_so_error}},
    {"leaves_an_fd", {.shutdown = leaves_an_fd}},
};

const struct api *mutant_api(unsigned number, const char **what)
{
    const struct api *m;

    if (number >= COUNT(mutants))
        return NULL;
    m = &mutants[number].api;
    *what = mutants[number].name;
    mutant = krait_api;
    if (m->recv)
        mutant.recv = m->recv;
    if (m->recvfrom)
        mutant.recvfrom = m->recvfrom;
    if (m->send)
        mutant.send = m->send;
    if (m->sendall)
        mutant.sendall = m->sendall;
    if (m->connect)
        mutant.connect = m->connect;
    if (m->shutdown)
        mutant.shutdown = m->shutdown;
    return &mutant;
}
