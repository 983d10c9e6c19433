/* SPDX-License-Identifier: MIT
 *
 * cli.h - what the parts of the program `krait` share: the exit statuses, how
 * something is said to the user, and how bytes reach a file descriptor.
 *
 * The program uses Krait's public headers, libc and libedit, and nothing of
 * src/: whatever it does, another program can do.
 */
#ifndef CLI_H
#define CLI_H

#include <stddef.h>
#include <krait.h>

/* Part of the program's face: krait(1) and --help list them. */
enum status {
    STATUS_OK = 0,
    STATUS_FAILED = 1, /* anything that has no number of its own */
    STATUS_USAGE = 2,
    STATUS_NAME = 3, /* a host name that doesn't resolve */
    STATUS_TIMEOUT = 4,
    STATUS_REFUSED = 5,      /* nobody there, or out of reach */
    STATUS_CANT_SERVE = 6,   /* the address is taken, denied, or not ours */
    STATUS_STDIO = 7,        /* our own stdin or stdout failed */
    STATUS_INTERRUPTED = 130 /* Ctrl-C: 128 + SIGINT, as shells count */
};

/* Big enough for every datagram (KRAIT_MAX_PACKET) and for what a stream has
 * ready, so that a record is never cut. */
#define PIECE_SIZE 65536

/* Writes "krait: MESSAGE" and a newline to stderr, in one piece. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* While a prompt is on the screen its owner writes the lines of say(), so that
 * they don't tear it; NULL: stderr again. */
void say_through(void (*write_line)(const char *line, size_t len));

/* Says krait_errmsg() and returns the status for it: of an attempt to connect
 * or to talk, and of an attempt to serve. */
int say_failure(void);
int say_serve_failure(void);

/* The status of a failed call of Krait's. */
int failure_status(void);

/* Says that stdin or stdout failed, with errno's reason: STATUS_STDIO. EINTR:
 * it was blocked, and a signal has asked the program to end. */
#define NOBODY_READS "nobody reads it, and what was still to be written is lost"
int say_stdio_failure(const char *which);

/* Writes all of it, however often that takes. 0; -1 and errno, with EINTR
 * where give_up() says that a signal has asked the program to end. */
int write_all(int fd, const void *data, size_t len);

/* Set by signal handlers that want a blocked write_all to end. */
void give_up(void);

/* The monotonic clock, in seconds. */
double now(void);

/* The commands: each gets its own name as argv[0]. */
int cmd_serve(int argc, char **argv);
int cmd_connect(int argc, char **argv);
int cmd_demo(int argc, char **argv);

#endif
