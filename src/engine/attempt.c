/* SPDX-License-Identifier: MIT
 *
 * attempt.c - an operation as one system call.
 *
 * The only file of the library in which the socket calls of the kernel are
 * named. MSG_DONTWAIT goes with every transfer although the fds are O_NONBLOCK
 * anyway: that flag belongs to the open file, which other processes may share
 * and clear.
 */
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/engine.h"

static int look(int fd, short events)
{
    struct pollfd pfd = {.fd = fd, .events = events};
    int rc = poll(&pfd, 1, 0);

    if (rc == 0)
        errno = EAGAIN;
    return rc > 0 ? pfd.revents : -1;
}

static ssize_t attempt(const struct krait__op *op, int fd)
{
    const int *arg = op->arg;
    socklen_t alen = op->alen ? *op->alen : 0;

    switch (op->kind) {
    case KRAIT__RECV:
        return recvfrom(fd, op->buf, op->len, op->flags | MSG_DONTWAIT,
                        op->addr, op->alen);
    case KRAIT__SEND:
        return sendto(fd, op->buf, op->len,
                      op->flags | MSG_DONTWAIT | MSG_NOSIGNAL, op->addr, alen);
    case KRAIT__ACCEPT:
        return accept4(fd, op->addr, op->alen, SOCK_NONBLOCK | SOCK_CLOEXEC);
    case KRAIT__CONNECT:
        return connect(fd, op->addr, alen);
    case KRAIT__POLL:
        return look(arg[0], (short)arg[1]);
    case KRAIT__SOCKET:
        return socket(arg[0], arg[1] | SOCK_NONBLOCK | SOCK_CLOEXEC, arg[2]);
    case KRAIT__PAIR:
        return socketpair(arg[0], arg[1] | SOCK_NONBLOCK | SOCK_CLOEXEC, arg[2],
                          op->buf);
    case KRAIT__BIND:
        return bind(fd, op->addr, alen);
    case KRAIT__LISTEN:
        return listen(fd, arg[0]);
    case KRAIT__SHUTDOWN:
        return shutdown(fd, arg[0]);
    case KRAIT__GETOPT:
        return getsockopt(fd, arg[0], arg[1], op->buf, op->alen);
    case KRAIT__SETOPT:
        return setsockopt(fd, arg[0], arg[1], op->buf, (socklen_t)op->len);
    case KRAIT__NAME:
        return getsockname(fd, op->addr, op->alen);
    case KRAIT__PEER:
        return getpeername(fd, op->addr, op->alen);
    case KRAIT__IOCTL:
        return ioctl(fd, (unsigned long)arg[0], op->buf);
    case KRAIT__CLOSE:
        return close(fd);
    }
    errno = ENOSYS;
    return -1;
}

ssize_t krait__attempt(const struct krait__op *op)
{
    ssize_t res = attempt(op, op->h ? op->h->fd : -1);

    return res < 0 ? -errno : res;
}
