/* SPDX-License-Identifier: MIT
 *
 * serving.h - what a server and a request are inside.
 *
 * The serving thread takes requests and either handles each itself (serial) or
 * gives it a thread. A request is on exactly one of the server's two lists
 * from the moment it is handled: `active`, or `done`, where its thread waits to
 * be joined. The lists are under `lock`, which a signal handler can work around
 * (krait_server_cancel).
 *
 * The one flag that stops the loop is the interruption of what comes in on the
 * listening socket; answers still go out of it, which matters for datagrams.
 */
#ifndef KRAIT__SERVING_H
#define KRAIT__SERVING_H

#include <krait/server.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/list.h"
#include "base/lock.h"
#include "dial/socket_file.h"
#include "socket/sock.h"

struct krait__request {
    krait_request pub; /* first: the handler's pointer is ours */
    krait_sock *conn;  /* NULL: a datagram, or taken */
    krait_addr peer;
    struct krait__node node; /* of the list it is on */
    pthread_t thread;
    char packet[]; /* max_packet_size, for datagrams */
};

struct krait_server {
    krait_server_options opt; /* with the defaults filled in */
    krait_sock *sock;
    krait_addr address;             /* where, with the port that 0 became */
    struct krait__socket_file file; /* ours to remove */
    atomic_bool serving;            /* somebody is in the loop */
    atomic_bool cancelled;
    atomic_uint visitors; /* in shutdown and cancel */
    struct krait__lock lock;
    struct krait__node *active, *done;
    int slots;        /* an eventfd that counts the threads that
                       * may still be started; -1: serial */
    int complained;   /* the errno that was last logged */
    int failures;     /* to take a request, one after another */
    int64_t troubled; /* when it last came */
};

/* Takes the next request, waiting until `deadline`: 0, or a negative code:
 * -ECANCELED the server is to stop, -KRAIT__ETIMEOUT, and accept's. */
int krait__request_next(krait_server *server, int64_t deadline,
                        struct krait__request **out);

/* Has the request handled, in the way of the server's mode. */
void krait__request_start(krait_server *server, struct krait__request *req);

/* Joins the threads that are done; `all`: every one, waiting for it. */
void krait__requests_join(krait_server *server, bool all);

/* Lets go of server->lock, interrupting for whoever could not get in. */
void krait__server_unlock(krait_server *server);

/* Logs a trouble that lasts, with a negative code: once, and again only when
 * there was none for a minute. */
void krait__complain(krait_server *server, const char *op, int code,
                     const char *consequence);

/* True in a handler of this server. */
bool krait__in_handler(const krait_server *server);

#endif
