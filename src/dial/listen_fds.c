/* SPDX-License-Identifier: MIT
 *
 * listen_fds.c - sockets that systemd opened: the protocol of sd_listen_fds(3).
 *
 * LISTEN_PID is whom they are for, LISTEN_FDS how many, LISTEN_FDNAMES what
 * they are called, with colons between; and the fds begin at 3.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <krait/dial.h>

#include "base/failure.h"

enum { FIRST_FD = 3, MOST = 1024 };

/* Each can be had once: its number may be another file's later. */
static atomic_bool taken[MOST];

/* A number that is nothing else; -1: it isn't one. */
static long number(const char *text)
{
    char *end;
    long n;

    if (!text || !*text)
        return -1;
    errno = 0;
    n = strtol(text, &end, 10);
    return errno || *end || n < 0 ? -1 : n;
}

/* Whoever changes the environment meanwhile breaks every program. */
static const char *variable(const char *name)
{
    return getenv(name); /* NOLINT(concurrency-mt-unsafe) */
}

/* How many there are; 0: none, or they are somebody else's. */
static int count(void)
{
    long pid = number(variable("LISTEN_PID"));
    long n = number(variable("LISTEN_FDS"));

    if (pid != (long)getpid() || n < 0)
        return 0;
    return n < MOST ? (int)n : MOST;
}

int krait_listen_fds(void)
{
    int saved = errno, n = count();

    errno = saved;
    return n;
}

/* The place of `name` among the first `n` that nobody has taken; -1: it isn't
 * there. */
static int place_of(const char *name, int n)
{
    const char *at = variable("LISTEN_FDNAMES");
    size_t len = strlen(name);

    for (int i = 0; at && i < n; i++) {
        size_t here = strcspn(at, ":");

        if (here == len && memcmp(at, name, len) == 0 &&
            !atomic_load(&taken[i]))
            return i;
        at = at[here] ? at + here + 1 : NULL;
    }
    return -1;
}

static krait_sock *refuse(const char *why)
{
    krait__fail("listen_fd", -ENOENT, why, NULL, NULL, 0);
    return NULL;
}

krait_sock *krait_listen_fd(int n)
{
    krait_sock *s;

    if (n < 0 || n >= count())
        return refuse("no such socket was handed over");
    if (atomic_exchange(&taken[n], true))
        return refuse("that socket was taken before");
    s = krait_fd_adopt(FIRST_FD + n);
    if (s)
        krait_set_inheritable(s, 0); /* whatever else this program starts */
    else
        atomic_store(&taken[n], false);
    return s;
}

krait_sock *krait_listen_fd_named(const char *name)
{
    int n = name ? place_of(name, count()) : -1;

    return n < 0 ? refuse("no socket of that name was handed over, or it was "
                          "taken before")
                 : krait_listen_fd(n);
}
