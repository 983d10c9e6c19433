/* SPDX-License-Identifier: MIT
 *
 * socket_file.c - telling a dead socket file from a live one, and removing only
 * the dead.
 *
 * A file is live if a connect to it is not refused. The look is a datagram
 * socket's: it leaves no trace with a server of connections (EPROTOTYPE tells
 * that it is there), and finds one that has bound and does not listen yet,
 * which refuses connections like a dead one.
 *
 * Between the look and the bind another server could come. Krait's own are kept
 * apart by a lock of the folder, flock(2), from before the look until after the
 * bind; it goes with the process, and leaves no file of its own. Programs that
 * don't take that lock can still come between.
 */
#include "dial/socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fiber/park.h"
#include "socket/sock.h"

/* For how long others may hold the lock, and how often it is tried. */
#define LOCK_PATIENCE KRAIT__NS_PER_SEC
#define LOCK_PAUSE    (5 * KRAIT__NS_PER_MS)

enum state { FREE, STALE, LIVE, NO_SOCKET };

/* NULL: the address has no file. */
static const char *path_of(const krait_addr *addr)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&addr->u_.sa;

    return krait_addr_family(*addr) == AF_UNIX && un->sun_path[0] ? un->sun_path
                                                                  : NULL;
}

/* --- one server at a time ---------------------------------------------- */

static int open_folder(const char *path)
{
    char folder[sizeof((struct sockaddr_un *)0)->sun_path + 1];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) + 1 : 1;

    memcpy(folder, slash ? path : ".", len);
    folder[len] = '\0';
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Waits for the lock: 0, or a negative code. */
static int flock_until(int fd, int64_t deadline)
{
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int rc;

        if (errno != EINTR &&
            (errno != EWOULDBLOCK || krait__now() >= deadline))
            return -errno;
        rc = krait__pause(NULL, 0, LOCK_PAUSE, KRAIT__NEVER);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool is_callers(int code)
{
    switch (code) {
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ECANCELED:
    case -EINTR:
    case -KRAIT__ETIMEOUT:
        return true;
    default:
        return false;
    }
}

/* 0, with the locked fd; or with -1, where there is no lock to be had: then the
 * server starts without. The lock narrows a gap, and to insist on it would let
 * anybody who may open the folder keep servers from starting. A negative code
 * where the caller lacks fds or memory, or must not wait on. */
static int lock_folder(const char *path, int *fd)
{
    int rc;

    *fd = open_folder(path);
    rc = *fd < 0 ? -errno : flock_until(*fd, krait__deadline(LOCK_PATIENCE));
    if (rc < 0 && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return is_callers(rc) ? rc : 0;
}

/* --- dead or alive ----------------------------------------------------- */

/* Any answer but a refusal is a sign of life. What can't even be looked at is
 * bind's to judge, which says why. */
static enum state look(const char *path)
{
    struct krait__failure ignored = {0}, *mine;
    struct stat st;
    krait_sock *probe;
    int error = EIO;

    if (lstat(path, &st) < 0)
        return FREE;
    if (!S_ISSOCK(st.st_mode))
        return NO_SOCKET;
    mine = krait__failure_swap(&ignored);
    probe = krait_socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (probe) {
        error = krait_connect_ex(probe, krait_unix(path));
        krait__sock_unuse(probe);
    }
    krait__failure_swap(mine);
    if (error == ENOENT)
        return FREE;
    return error == ECONNREFUSED ? STALE : LIVE;
}

static int clear(const char *path)
{
    switch (look(path)) {
    case LIVE:
        return -EADDRINUSE;
    case NO_SOCKET:
        return -EEXIST;
    case STALE:
        return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
    default:
        return 0;
    }
}

/* --- a place, a file --------------------------------------------------- */

int krait__place_take(const krait_addr *addr, struct krait__place *place)
{
    const char *path = path_of(addr);
    int rc = 0;

    place->lock = -1;
    if (path)
        rc = lock_folder(path, &place->lock);
    return path && rc == 0 ? clear(path) : rc;
}

void krait__place_leave(struct krait__place *place)
{
    int saved = errno;

    if (place->lock >= 0)
        close(place->lock);
    errno = saved;
}

void krait__place_note(const krait_addr *addr, struct krait__socket_file *file)
{
    const char *path = path_of(addr);
    struct stat st;

    *file = (struct krait__socket_file){0};
    if (path && lstat(path, &st) == 0)
        *file = (struct krait__socket_file){st.st_dev, st.st_ino};
}

void krait__file_remove(const krait_addr *addr,
                        const struct krait__socket_file *file)
{
    const char *path = path_of(addr);
    struct stat st;

    if (path && file->ino && lstat(path, &st) == 0 && st.st_dev == file->dev &&
        st.st_ino == file->ino)
        unlink(path);
}
