/* SPDX-License-Identifier: MIT
 *
 * diagnostics.c - what the program says, and the status it ends with.
 *
 * Diagnostics go to stderr only, one line each, in one write(2), so that lines
 * of several threads and processes don't mix.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cli.h"

/* The longest line of Krait's is an address of KRAIT_ADDR_TEXT_MAX bytes and
 * its explanation. */
#define LINE_MAX_BYTES 2048

static void (*line_writer)(const char *line, size_t len);

void say_through(void (*write_line)(const char *line, size_t len))
{
    line_writer = write_line;
}

void say(const char *format, ...)
{
    char line[LINE_MAX_BYTES] = "krait: ";
    size_t start = strlen(line);
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line + start, sizeof line - start - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    start = strlen(line);
    line[start++] = '\n';
    if (line_writer)
        line_writer(line, start);
    else if (write_all(STDERR_FILENO, line, start) < 0)
        return; /* there is nobody left to tell */
}

int failure_status(void)
{
    if (krait_errdomain() == KRAIT_ERROR_NAME)
        return STATUS_NAME;
    switch (krait_errno()) {
    case ETIMEDOUT:
        return STATUS_TIMEOUT;
    case ECONNREFUSED:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETUNREACH:
    case ENOENT: /* of a Unix path: nobody has made that socket */
    case EACCES:
    case EPERM:
        return STATUS_REFUSED;
    case EINTR:
    case ECANCELED:
        return STATUS_INTERRUPTED;
    default:
        return STATUS_FAILED;
    }
}

int say_failure(void)
{
    int status = failure_status();

    say("%s", krait_errmsg());
    return status;
}

int say_serve_failure(void)
{
    int error = krait_errno();
    int status = failure_status();

    say("%s", krait_errmsg());
    if (status == STATUS_NAME || status == STATUS_TIMEOUT)
        return status;
    if (error == ENOMEM || error == EMFILE || error == ENFILE)
        return STATUS_FAILED;
    return STATUS_CANT_SERVE;
}

int say_stdio_failure(const char *which)
{
    const char *hint = "";

    if (errno == EPIPE)
        hint = ": whoever was reading it has gone";
    if (errno == EINTR)
        say("%s: " NOBODY_READS, which);
    else
        say("%s: %s%s", which, strerror(errno), hint);
    return STATUS_STDIO;
}

static atomic_int giving_up;

void give_up(void)
{
    giving_up = 1;
}

int write_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n >= 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            /* Somebody who shares this pipe or terminal with us has made it
             * non-blocking, which is no reason to lose what was received. */
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
            if (giving_up)
                return -1;
        } else if (errno != EINTR || giving_up) {
            return -1;
        }
    }
    return 0;
}

double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
