/* SPDX-License-Identifier: MIT
 *
 * krait/error.h - what went wrong.
 *
 * A call of Krait's that fails returns -1 or NULL and sets errno, as POSIX
 * does. This header says the rest: one line fit to print, and whose error it
 * was. What is kept belongs to the calling thread, or fiber; it describes the
 * last call of Krait's that failed there, and a call that succeeds leaves it
 * alone.
 *
 * The errors that Krait itself makes:
 *
 *   ETIMEDOUT     the socket's timeout, or a deadline scope's, passed (domain
 *                 KRAIT_ERROR_TIMEOUT), or the kernel gave up on the peer
 *                 (domain KRAIT_ERROR_OS)
 *   ECANCELED     krait_interrupt, krait_close, krait_cancel or a server's end
 *                 woke the call
 *   EAGAIN        the call would have to wait, and must not (timeout 0)
 *   EINTR         a signal came, and the signal hook asked to give up
 *   EHOSTUNREACH  a name could not be resolved (domain KRAIT_ERROR_NAME)
 *   EBADF         a NULL socket, or a socket without an fd
 *   EINVAL        an argument outside its range
 *   EPROTOTYPE    an address made for another type ("udp:...") than the socket
 */
#ifndef KRAIT_ERROR_H
#define KRAIT_ERROR_H

#include <krait/version.h>

KRAIT_BEGIN_DECLS

enum krait_error_domain {
    KRAIT_ERROR_NONE,    /* nothing has failed here yet */
    KRAIT_ERROR_OS,      /* the operating system refused; or a bad argument */
    KRAIT_ERROR_TIMEOUT, /* Krait's own timeout passed */
    KRAIT_ERROR_NAME,    /* name resolution; krait_erreai() has the code */
    KRAIT_ERROR_TLS      /* a TLS transport's (none exists yet) */
};

/* The caller's last failure in one line: the operation, the address,
 * the cause, and a hint where there is one:
 *
 *   connect [::1]:80: Connection refused: nothing listens there
 *
 * No newline at the end. Valid until the next Krait call that fails in this
 * thread, or until the next krait_errmsg. Formatted here and not before, so
 * that failing costs little. "no error" where nothing has failed. Keeps
 * errno. From any thread; not from a signal handler. */
KRAIT_API const char *krait_errmsg(void);

/* The errno of that failure, which later calls can't have changed; 0: none. */
KRAIT_API int krait_errno(void);

/* Whose error it was. */
KRAIT_API enum krait_error_domain krait_errdomain(void);

/* The EAI_ code (getaddrinfo(3)) behind a KRAIT_ERROR_NAME; else 0. */
KRAIT_API int krait_erreai(void);

/* perror(3) with krait_errmsg's line: "what: line\n" on stderr; just the line
 * where `what` is NULL or empty. Keeps errno. */
KRAIT_API void krait_perror(const char *what);

/* Where the library's own few lines go (the default handle_error's, the
 * watchdog's): `fn` gets each without its newline, in the thread that has
 * something to say, perhaps in several at once. NULL, the default: to stderr,
 * with "krait: " before it. The library prints nothing else, but for the line
 * that names a fiber whose stack has overflowed: that goes to stderr always.
 * Set it before threads are started. */
typedef void krait_log_fn(void *arg, const char *line);
KRAIT_API void krait_set_log(krait_log_fn *fn, void *arg);

KRAIT_END_DECLS

#endif
