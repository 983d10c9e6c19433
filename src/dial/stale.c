/* SPDX-License-Identifier: MIT
 *
 * stale.c - telling a dead socket file from a live one, and removing only the
 * dead.
 *
 * A file is live if a connect to it is not refused. Between that look and the
 * unlink another server may have put its own file there; so the file is first
 * moved aside, which takes exactly one file, and looked at again: if it is
 * live after all it is put back.
 *
 * The look is a datagram socket's. That leaves no trace with a server of
 * connections (EPROTOTYPE tells that it is there), and finds one that has bound
 * and does not listen yet, which refuses connections like a dead one.
 */
#include "dial/stale.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "socket/sock.h"

enum state { FREE, STALE, LIVE, NO_SOCKET };

/* Any answer but a refusal is a sign of life. */
static enum state look(const char *path)
{
    struct stat st;
    krait_sock *probe;
    int error;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? FREE : LIVE;
    if (!S_ISSOCK(st.st_mode))
        return NO_SOCKET;
    probe = krait_socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (!probe)
        return LIVE;
    error = krait_connect_ex(probe, krait_unix(path));
    krait_close(probe);
    if (error == ENOENT)
        return FREE;
    return error == ECONNREFUSED ? STALE : LIVE;
}

/* Without replacing what may have come meanwhile, where the file system can. */
static void put_back(const char *aside, const char *path)
{
    if (renameat2(AT_FDCWD, aside, AT_FDCWD, path, RENAME_NOREPLACE) < 0 &&
        errno != EEXIST)
        rename(aside, path);
}

/* Moves it aside, looks again, and removes it. */
static int remove_it(const char *path)
{
    char aside[sizeof((struct sockaddr_un *)0)->sun_path];

    /* In the same folder, and no longer than the path may be. */
    snprintf(aside, sizeof aside, "%.*s.%x", (int)sizeof aside - 10, path,
             (unsigned)getpid());
    if (rename(path, aside) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (look(aside) != STALE) {
        put_back(aside, path);
        return -EADDRINUSE;
    }
    return unlink(aside) == 0 || errno == ENOENT ? 0 : -errno;
}

int krait__remove_stale(const krait_addr *addr, int type)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&addr->u_.sa;
    krait_addr named = *addr;
    int rc = 0;

    if (krait_addr_family(*addr) != AF_UNIX || !un->sun_path[0])
        return 0;
    named.type_ = (unsigned char)type;
    switch (look(un->sun_path)) {
    case FREE:
        break;
    case STALE:
        rc = remove_it(un->sun_path);
        break;
    case LIVE:
        rc = -EADDRINUSE;
        break;
    case NO_SOCKET:
        rc = -EEXIST;
        break;
    }
    return rc < 0 ? krait__fail_at("bind", rc, &named) : 0;
}
