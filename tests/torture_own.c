/* SPDX-License-Identifier: MIT
 *
 * torture_own.c - scenarios of who owns what: fds duplicated, adopted, handed
 * back; FILEs over sockets; options.
 */
#include "torture.h"

#include <errno.h>

/* --- fds --------------------------------------------------------------- */

/* That two sockets are the ends of one connection. */
static void check_pair(krait_sock *a, krait_sock *b)
{
    char byte = 0;

    if (t_send(a, "x", 1) && t_recv(b, &byte, 1, 0) >= 0)
        require(byte == 'x', "a byte got lost");
}

static void duplicates(void)
{
    krait_sock *pair[2], *copy;

    if (!t_pair(SOCK_STREAM, pair))
        return;
    t_timeout(pair[0], 5);
    do
        copy = krait_dup(pair[0]);
    while (!copy && again("dup"));
    if (watch(copy)) {
        require(krait_gettimeout(copy) == 5, "a copy has another timeout");
        require(krait_type(copy) == SOCK_STREAM && krait_proto(copy) == 0 &&
                    krait_family(copy) == AF_UNIX,
                "a copy is of another type");
        t_close(pair[0]);
        check_pair(copy, pair[1]);
    } else {
        t_close(pair[0]);
    }
    t_close(copy);
    t_close(pair[1]);
}

/* A copy of a connection remembers who is at the other end. */
static void duplicate_tcp(void)
{
    krait_sock *listener =
        t_listener(AF_INET, SOCK_STREAM, krait_inet("127.0.0.1", 0));
    krait_sock *s = NULL, *copy = NULL;

    if (!listener)
        return;
    s = t_connected(AF_INET, SOCK_STREAM, t_sockname(listener));
    if (s) {
        do
            copy = krait_dup(s);
        while (!copy && again("dup"));
    }
    t_close(watch(copy));
    t_close(s);
    t_close(listener);
}

/* On failure the fd is still the caller's, and still open. */
static krait_sock *adopted(int fd)
{
    krait_sock *s;

    do {
        s = krait_fd_adopt(fd);
        if (!s)
            require(__real_fcntl(fd, F_GETFD, 0) >= 0,
                    "krait_fd_adopt failed, and closed the fd");
    } while (!s && again("fd_adopt"));
    if (!s)
        __real_close(fd);
    return watch(s);
}

static krait_sock *from(int fd)
{
    krait_sock *s;

    do
        s = krait_fromfd(fd, -1, -1, -1);
    while (!s && again("fromfd"));
    __real_close(fd);
    return watch(s);
}

static void foreign_fds(void)
{
    int fd[2];
    krait_sock *a, *b;

    require(__real_socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0,
            "no socketpair for the scenario");
    a = adopted(fd[0]);
    b = from(fd[1]);
    if (a && b)
        check_pair(a, b);
    t_close(a);
    t_close(b);
}

static void detached(void)
{
    krait_sock *pair[2];
    int fd;

    if (!t_pair(SOCK_STREAM, pair))
        return;
    unwatch(pair[0]);
    fd = krait_fileno(pair[0]);
    require(krait_detach(pair[0]) == fd, "krait_detach gives another fd");
    require(__real_fcntl(fd, F_GETFD, 0) >= 0, "krait_detach closed the fd");
    __real_close(fd);
    t_close(pair[1]);
}

/* --- options ----------------------------------------------------------- */

static void options(void)
{
    krait_sock *s = t_socket(AF_INET, SOCK_STREAM);
    struct linger linger = {1, 2}, got = {0};
    size_t len = sizeof got;
    int rc, value;

    if (!s)
        return;
    do
        rc = krait_setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, 1);
    while (rc < 0 && again("setsockopt"));
    do
        rc = krait_setsockopt_buf(s, SOL_SOCKET, SO_LINGER, &linger,
                                  sizeof linger);
    while (rc < 0 && again("setsockopt"));
    do
        rc = krait_getsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &value);
    while (rc < 0 && again("getsockopt"));
    require(given_up() || value == 1, "an option is not what it was set to");
    do
        rc = krait_getsockopt_buf(s, SOL_SOCKET, SO_LINGER, &got, &len);
    while (rc < 0 && again("getsockopt"));
    require(given_up() || (len == sizeof got && got.l_linger == 2),
            "a buffer's option is not what it was set to");
    /* A call that fails by itself: its message asks for names. */
    do
        rc = krait_setsockopt_none(s, SOL_SOCKET, SO_KEEPALIVE, 4);
    while (!refused(rc, "setsockopt", EFAULT));
    t_close(s);
}

/* --- FILEs ------------------------------------------------------------- */

static FILE *file_over(krait_sock *s, const char *mode)
{
    FILE *file;

    do
        file = krait_makefile(s, mode);
    while (!file && again("makefile"));
    return file;
}

enum { LINES = 200 };

/* stdio drops what it could not write: nothing is tried again. */
static void write_lines(void *arg)
{
    krait_sock *s = arg;
    FILE *file = file_over(s, "w");
    bool failed = false;

    for (int i = 0; file && i < LINES && !failed; i++)
        failed = fprintf(file, "line %d\n", i) < 0 || fflush(file) != 0;
    if (failed)
        stop("send");
    /* Which frees the FILE however it ends. */
    if (file && fclose(file) != 0 && !failed)
        stop("fclose");
    while (krait_shutdown(s, SHUT_WR) < 0 && again("shutdown"))
        ;
}

/* A failed read loses nothing: after clearerr() it goes on. */
static int next_char(FILE *file)
{
    for (;;) {
        int c = getc(file);

        if (c != EOF || !ferror(file))
            return c;
        if (!again("recv"))
            return EOF;
        clearerr(file);
    }
}

static void read_lines(krait_sock *s)
{
    FILE *file = file_over(s, "rb");
    char line[32];

    if (!file)
        return;
    for (int i = 0; i < LINES && !given_up(); i++) {
        int len = snprintf(line, sizeof line, "line %d\n", i);

        for (int j = 0; j < len; j++) {
            int c = next_char(file);

            require(c == line[j] || (c == EOF && given_up()),
                    "a line is wrong");
            if (c == EOF)
                break;
        }
    }
    if (!given_up())
        require(next_char(file) == EOF, "more came than was written");
    if (fclose(file) != 0)
        stop("fclose");
}

static void files(void)
{
    krait_sock *pair[2];
    struct party writer;

    if (!t_pair(SOCK_STREAM, pair))
        return;
    start(&writer, write_lines, pair[0]);
    read_lines(pair[1]);
    if (given_up())
        krait_interrupt(pair[0]);
    join(&writer);
    t_close(pair[0]);
    t_close(pair[1]);
}

/* The fd stays with the FILE when the socket is closed. */
static void file_outlives_socket(void)
{
    krait_sock *pair[2];
    FILE *file;
    char byte = 0;

    if (!t_pair(SOCK_STREAM, pair))
        return;
    file = file_over(pair[0], "wb");
    t_close(pair[0]);
    if (file) {
        fputc('f', file);
        if (fclose(file) != 0)
            stop("send|fclose");
        else if (t_recv(pair[1], &byte, 1, 0) >= 0)
            require(byte == 'f', "a FILE's byte got lost");
    }
    t_close(pair[1]);
}

const struct scenario own_scenarios[] = {
    {"duplicates", duplicates, 0},
    {"duplicate_tcp", duplicate_tcp, 0},
    {"foreign_fds", foreign_fds, 0},
    {"detached", detached, 0},
    {"options", options, 0},
    {"files", files, 0},
    {"file_outlives_socket", file_outlives_socket, 0},
};

const size_t own_count = sizeof own_scenarios / sizeof *own_scenarios;
