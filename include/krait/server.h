/* SPDX-License-Identifier: MIT
 *
 * krait/server.h - servers: Python's `socketserver`.
 *
 * A server is an address, a function that talks to one client in plain
 * blocking calls, and a mode that says how several clients are served:
 *
 *     krait_serve("127.0.0.1:8001", handle, NULL);
 *
 * is a whole program. The type of the address (a stream by default,
 * "udp:...", "seqpacket:...") decides what a request is: a connection, or a
 * datagram.
 */
#ifndef KRAIT_SERVER_H
#define KRAIT_SERVER_H

#include <stddef.h>
#include <krait/address.h>
#include <krait/socket.h>
#include <krait/version.h>

KRAIT_BEGIN_DECLS

/* Belongs to the process that made it: the child of a fork may use sockets,
 * but not its parent's servers. */
typedef struct krait_server krait_server;

enum krait_mode {
    KRAIT_MODE_DEFAULT, /* threads, for ever */
    KRAIT_SERIAL,       /* one request after another, in the serving thread */
    KRAIT_THREADS,      /* a thread for each request, a bounded number */
    KRAIT_FORK,         /* not built yet: ENOTSUP */
    KRAIT_FIBERS        /* not built yet: ENOTSUP */
};

/* Made by Krait for each request, and gone when the handler has returned; may
 * grow at its end. The peer's address: krait_request_peer. */
typedef struct krait_request {
    krait_sock *sock;     /* stream: the connection, which Krait closes (to
                           * close, detach or keep it: krait_request_take);
                           * datagram: the server's own, shared */
    krait_server *server; /* krait_server_shutdown is allowed here */
    void *user;           /* options.user */
    void *state;          /* the handler's own: set by setup, freed by
                           * finish */
    const void *packet;   /* datagram: what came (NULL for a stream) ... */
    size_t packet_len;    /* ... and how much of it, in bytes */
} krait_request;

/* Zero in a field means its default. May grow at its end. */
typedef struct krait_server_options {
    /* Where to serve. A name is resolved, IPv4 first, as Python does; the
     * empty host (":8001") is every address of this host, IPv6 and IPv4.
     * Port 0: one of the kernel's choice, krait_server_address tells it. */
    krait_addr address;

    /* Serves one request. 0 or more: all is well; less: handle_error is
     * called, with errno as the handler left it. The connection is shut down
     * and closed in either case. Needed. */
    int (*handle)(krait_request *req);

    /* Before handle, and after it (finish also when handle has failed; not
     * when setup has). Less than 0 from setup: handle_error, no handle. */
    int (*setup)(krait_request *req);
    void (*finish)(krait_request *req);

    /* Told of a failed setup or handle, errno and krait_errmsg() intact.
     * Default: one line through the log, none where the peer has reset or the
     * server is closing. */
    void (*handle_error)(krait_request *req);

    /* When a krait_handle_request has waited for `timeout` in vain. */
    void (*handle_timeout)(krait_server *server);

    void *user;             /* handed to the handler as it is */
    enum krait_mode mode;   /* default: KRAIT_THREADS */
    int type;               /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET;
                             * default: what the address's text named, else
                             * SOCK_STREAM */
    int backlog;            /* listen(2)'s; default KRAIT_BACKLOG */
    double timeout;         /* seconds that krait_handle_request waits for a
                             * request; default: for ever, as Python's None */
    double request_timeout; /* seconds: the timeout of the connections that
                             * handlers get; default: that of
                             * krait_setdefaulttimeout */
    int max_threads;        /* KRAIT_THREADS: requests served at once; while
                             * that many are, new ones wait in the kernel's
                             * queue. Default KRAIT_MAX_THREADS */
    size_t max_packet_size; /* bytes of a datagram; what is longer is cut.
                             * Default KRAIT_MAX_PACKET: nothing is */
    int no_reuse_address;   /* not 0: leave SO_REUSEADDR off. (Python's is off
                             * by default, and everybody turns it on, or can't
                             * restart a server for a minute.) */
    int unix_cleanup;       /* not 0, for a Unix path: remove a socket file
                             * there that nobody listens on before binding,
                             * and our own at close. Never a live one
                             * (EADDRINUSE) or what is no socket (EEXIST) */
} krait_server_options;

#define KRAIT_MAX_THREADS 1024
#define KRAIT_MAX_PACKET  65536 /* no UDP datagram is longer */

/* Makes a server and starts to listen (Python's bind_and_activate). The options
 * are copied. NULL and errno: EINVAL (no handle, a number below 0 or beyond
 * reason), E2BIG (set is what this older library does not know), ENOTSUP (mode,
 * type), ENOMEM, EMFILE, and krait_bind's. Waits only for name resolution.
 * (Other languages: krait_server_new_sized, where `size` is that of their
 * struct.) */
KRAIT_API krait_server *krait_server_new_sized(
    const krait_server_options *options, size_t size);

static inline krait_server *krait_server_new(
    const krait_server_options *options)
{
    return krait_server_new_sized(options, sizeof *options);
}

/* Serves until krait_server_shutdown: returns 0 then, with handlers perhaps
 * still running in threads (krait_server_close ends them). It may be called
 * again. -1 and errno where nothing can be served any more (EBADF: the fd was
 * closed underneath), EINTR (the signal hook), ECANCELED (the calling fiber was
 * cancelled) or ETIMEDOUT (a deadline scope). A NULL server fails with the
 * error of krait_server_new. What fails for one client (ECONNABORTED) or for
 * a while (EMFILE, ENFILE, ENOMEM, ENOBUFS) is ridden out: with a pause, and
 * said in the log once. */
KRAIT_API int krait_serve_forever(krait_server *server);

/* Serves at most one request: 1, or 0 when options.timeout has passed (after
 * handle_timeout) or the server was shut down. In KRAIT_THREADS the request
 * goes on in its thread. -1 and errno as krait_serve_forever, and what
 * krait_accept says. */
KRAIT_API int krait_handle_request(krait_server *server);

/* Makes krait_serve_forever return, now or when it is next called; returns at
 * once, without waiting for it. From any thread, a handler, or a signal
 * handler. Requests that are being served go on. EBADF: NULL (errno alone says
 * it). */
KRAIT_API int krait_server_shutdown(krait_server *server);

/* krait_server_shutdown, and interrupts the connections being served, so that
 * their handlers' calls fail with ECANCELED: for a server that must end now,
 * whatever its clients do. Once asked for it holds for the connections that
 * are still to come, too. From any thread, a handler, or a signal handler.
 * EBADF: NULL (errno alone says it). */
KRAIT_API int krait_server_cancel(krait_server *server);

/* Ends the server: stops listening, interrupts the connections still being
 * served (their handlers' calls fail with ECANCELED), joins every thread, and
 * frees. Not from a handler (EDEADLK), nor before krait_serve_forever has
 * returned (EBUSY). A handler that waits for something other than its socket is
 * waited for. NULL is fine; keeps errno. */
KRAIT_API int krait_server_close(krait_server *server);

/* Where it listens, with the port that 0 became; a bad address for NULL. */
KRAIT_API krait_addr krait_server_address(krait_server *server);

/* Its listening socket, still the server's: for options, fileno. Not once
 * krait_server_close has begun. */
KRAIT_API krait_sock *krait_server_socket(krait_server *server);

/* Who sent the request. */
KRAIT_API krait_addr krait_request_peer(krait_request *req);

/* Sends an answer to who sent the request: for a datagram, one datagram from
 * the server's socket; for a stream, krait_sendall. Errors: theirs. */
KRAIT_API int krait_reply(krait_request *req, const void *buf, size_t len);

/* Takes the connection from the server: the handler's to close from now on,
 * in its own time. NULL and errno: EINVAL (a datagram; taken already). */
KRAIT_API krait_sock *krait_request_take(krait_request *req);

/* The whole program in one call: a server on `address` (krait_addr_parse's
 * text) with every default, served until it is shut down (by a handler). 0;
 * -1 and errno: the errors of krait_server_new and krait_serve_forever. */
KRAIT_API int krait_serve(const char *address, int (*handle)(krait_request *),
                          void *user);

KRAIT_END_DECLS

#endif
