/* SPDX-License-Identifier: MIT
 *
 * makefile.c - stdio over a socket, through fopencookie(3).
 *
 * The FILE holds the socket: krait_close leaves the fd to it, as in Python.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "socket/sock.h"

static ssize_t read_cookie(void *cookie, char *buf, size_t size)
{
    return krait_recv(cookie, buf, size, 0);
}

/* stdio wants the count of what was taken, and 0 for an error. */
static ssize_t write_cookie(void *cookie, const char *buf, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = krait_send(cookie, buf + done, size - done, 0);

        if (n < 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int close_cookie(void *cookie)
{
    int rc = krait__sock_unuse(cookie);

    return rc < 0 ? krait__fail_at("fclose", rc, NULL) : 0;
}

/* 'r' or 'w'; 0: what a FILE over a socket can't be. */
static char direction(const char *mode)
{
    if (!mode || (mode[0] != 'r' && mode[0] != 'w'))
        return '\0';
    return strcmp(mode + 1, "") == 0 || strcmp(mode + 1, "b") == 0 ? mode[0]
                                                                   : '\0';
}

FILE *krait_makefile(krait_sock *s, const char *mode)
{
    char way = direction(mode);
    cookie_io_functions_t io = {
        .read = way == 'r' ? read_cookie : NULL,
        .write = way == 'w' ? write_cookie : NULL,
        .close = close_cookie,
    };
    FILE *file = NULL;

    if (!krait__begin(s, "makefile"))
        return NULL;
    if (!way) {
        krait__fail("makefile", -EINVAL,
                    "the mode is \"r\" or \"w\"; for both make two FILEs", NULL,
                    NULL, 0);
        krait__leave(&s->h);
        return NULL;
    }
    krait__sock_use(s);
    file = fopencookie(s, mode, io);
    if (!file) {
        int rc = errno ? -errno : -ENOMEM;

        krait__sock_unuse(s);
        krait__finish(s, "makefile", rc, NULL);
        return NULL;
    }
    krait__finish(s, "makefile", 0, NULL);
    return file;
}
