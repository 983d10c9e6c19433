/* SPDX-License-Identifier: MIT
 *
 * request.c - one request: taken, handled, ended; and what its handler may ask.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <krait/fiber.h>
#include <krait/io.h>

#include "base/flow.h"
#include "server/serving.h"

/* The handlers that the caller is in: one, but where a handler serves. */
struct krait__handler {
    const krait_server *server;
    const struct krait__handler *outer;
};

bool krait__in_handler(const krait_server *server)
{
    const struct krait__handler *h = krait__flow()->handler;

    while (h && h->server != server)
        h = h->outer;
    return h != NULL;
}

/* --- taken ------------------------------------------------------------- */

/* Waits until a thread may be started: while none may, new requests stay with
 * the kernel. */
static int take_slot(krait_server *server, int64_t deadline)
{
    eventfd_t one;
    int rc;

    if (server->slots < 0)
        return 0;
    while (eventfd_read(server->slots, &one) < 0) {
        if (errno != EAGAIN)
            return -errno; /* closed underneath */
        rc = krait__wait_fd(&server->sock->h, KRAIT__NO_IN, server->slots,
                            POLLIN, deadline);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void give_slot(krait_server *server)
{
    if (server->slots >= 0)
        eventfd_write(server->slots, 1);
}

static int receive(krait_server *server, int64_t deadline,
                   struct krait__request *req)
{
    struct sockaddr_storage sa = {0};
    socklen_t alen = sizeof sa;
    struct krait__op op = {
        .kind = KRAIT__RECV,
        .h = &server->sock->h,
        .buf = req->packet,
        .len = server->opt.max_packet_size,
        .addr = (struct sockaddr *)&sa,
        .alen = &alen,
    };
    ssize_t n = krait__perform(&op, deadline);

    if (n < 0)
        return (int)n;
    req->peer = krait_addr_from((struct sockaddr *)&sa, alen);
    req->pub.packet = req->packet;
    req->pub.packet_len = (size_t)n;
    req->pub.sock = server->sock;
    return 0;
}

static int accept_one(krait_server *server, int64_t deadline,
                      struct krait__request *req)
{
    int code;

    req->conn = krait__sock_accept(server->sock, deadline, &req->peer, &code);
    if (!req->conn)
        return code;
    if (server->opt.request_timeout != 0)
        krait_settimeout(req->conn, server->opt.request_timeout);
    req->pub.sock = req->conn;
    return 0;
}

int krait__request_next(krait_server *server, int64_t deadline,
                        struct krait__request **out)
{
    bool datagram = server->opt.type == SOCK_DGRAM;
    struct krait__request *req;
    int rc = take_slot(server, deadline);

    if (rc < 0)
        return rc;
    req = malloc(sizeof *req + (datagram ? server->opt.max_packet_size : 0));
    if (!req) {
        give_slot(server);
        return -ENOMEM;
    }
    memset(req, 0, sizeof *req);
    req->pub.server = server;
    req->pub.user = server->opt.user;
    rc = datagram ? receive(server, deadline, req)
                  : accept_one(server, deadline, req);
    if (rc < 0) {
        free(req);
        give_slot(server);
        return rc;
    }
    *out = req;
    return 0;
}

/* --- the lists --------------------------------------------------------- */

static struct krait__request *of(struct krait__node *node)
{
    return KRAIT__OF(node, struct krait__request, node);
}

void krait__server_unlock(krait_server *server)
{
    while (krait__unlock(&server->lock)) {
        if (!krait__lock_or_flag(&server->lock))
            return;
        if (!atomic_load(&server->cancelled))
            continue;
        for (struct krait__node *n = server->active; n; n = n->next)
            if (of(n)->conn)
                krait_interrupt(of(n)->conn);
    }
}

static void enlist(krait_server *server, struct krait__request *req)
{
    krait__lock(&server->lock);
    krait__list_add(&server->active, &req->node);
    if (atomic_load(&server->cancelled) && req->conn)
        krait_interrupt(req->conn);
    krait__server_unlock(server);
}

/* Nobody but the caller knows the connection any more. NULL: a datagram, or
 * taken. */
static krait_sock *take_conn(krait_server *server, struct krait__request *req)
{
    krait_sock *conn;

    krait__lock(&server->lock);
    conn = req->conn;
    req->conn = NULL;
    krait__server_unlock(server);
    return conn;
}

/* --- handled ----------------------------------------------------------- */

static void default_handle_error(krait_request *req)
{
    int error = errno;
    char peer[KRAIT_ADDR_TEXT_MAX], words[128];
    const char *why = krait__strerror(error, words, sizeof words);

    if (error == ECONNRESET || error == EPIPE ||
        (error == ECANCELED && atomic_load(&req->server->cancelled)))
        return;
    if (error == 0)
        why = "the handler said so";
    else if (error == krait_errno())
        why = krait_errmsg();
    krait__log("a request of %s failed: %s",
               krait_addr_text(krait_request_peer(req), peer, sizeof peer),
               why);
}

static void handle_error(krait_server *server, krait_request *req)
{
    if (server->opt.handle_error)
        server->opt.handle_error(req);
    else
        default_handle_error(req);
}

static void call_handler(krait_server *server, krait_request *req)
{
    struct krait__handler here = {server, krait__flow()->handler};
    struct krait__failure its = {0}, *mine = krait__failure_swap(&its);

    krait__flow()->handler = &here;
    errno = 0;
    if (server->opt.setup && server->opt.setup(req) < 0) {
        handle_error(server, req);
    } else {
        if (server->opt.handle(req) < 0)
            handle_error(server, req);
        if (server->opt.finish)
            server->opt.finish(req);
    }
    krait__flow()->handler = here.outer;
    krait__failure_swap(mine);
}

/* Python's shutdown_request: the peer sees the end at once, even where
 * something else still holds the connection open. */
static void end_connection(krait_sock *conn)
{
    struct krait__op op = {.kind = KRAIT__SHUTDOWN, .arg = {SHUT_WR}};

    if (!conn)
        return;
    op.h = &conn->h;
    krait__perform(&op, KRAIT__NEVER); /* gone already: all the better */
    krait_close(conn);
}

static void run(krait_server *server, struct krait__request *req)
{
    call_handler(server, &req->pub);
    end_connection(take_conn(server, req));
}

static void *thread_main(void *arg)
{
    struct krait__request *req = arg;
    krait_server *server = req->pub.server;

    run(server, req);
    krait__lock(&server->lock);
    krait__list_remove(&req->node);
    krait__list_add(&server->done, &req->node);
    krait__server_unlock(server);
    give_slot(server);
    return NULL;
}

/* Here and now, in the serving thread. */
static void run_here(krait_server *server, struct krait__request *req)
{
    run(server, req);
    krait__lock(&server->lock);
    krait__list_remove(&req->node);
    krait__server_unlock(server);
    free(req);
    give_slot(server);
}

void krait__request_start(krait_server *server, struct krait__request *req)
{
    pthread_t thread;
    int rc;

    enlist(server, req);
    if (server->opt.mode == KRAIT_SERIAL) {
        run_here(server, req);
        return;
    }
    /* Under the lock, so that the thread is known before it can be done. */
    krait__lock(&server->lock);
    rc = pthread_create(&thread, NULL, thread_main, req);
    if (rc == 0)
        req->thread = thread;
    krait__server_unlock(server);
    if (rc != 0) {
        /* Rather late than lost. */
        krait__complain(server, "pthread_create", -rc,
                        "requests are served one by one meanwhile");
        run_here(server, req);
    }
}

static int join_thread(void *thread)
{
    return pthread_join(*(pthread_t *)thread, NULL);
}

/* For as long as the handler takes. A fiber lets others of its worker run,
 * since the handler may wait for one of them; it waits even where it was
 * cancelled, or a scope has passed. */
static void await_thread(pthread_t thread)
{
    enum krait_cancel_state before = krait_setcancelstate(KRAIT_CANCEL_DISABLE);
    struct krait__flow *flow = krait__flow();
    struct krait_deadline *scope = flow->scope;

    flow->scope = NULL;
    if (krait_blocking(join_thread, &thread) < 0) /* no thread can be had */
        join_thread(&thread);
    flow->scope = scope;
    krait_setcancelstate(before);
}

void krait__requests_join(krait_server *server, bool all)
{
    struct krait__request *req;
    struct krait__node *node;
    bool is_done;

    for (;;) {
        krait__lock(&server->lock);
        node = server->done;
        is_done = node;
        if (!node && all)
            node = server->active;
        krait__server_unlock(server);
        if (!node)
            return;
        req = of(node);
        /* Only the serving thread, or the closer, takes them off `done`. */
        if (is_done)
            pthread_join(req->thread, NULL);
        else
            await_thread(req->thread);
        krait__lock(&server->lock);
        krait__list_remove(&req->node);
        krait__server_unlock(server);
        free(req);
    }
}

/* --- asked by handlers ------------------------------------------------- */

krait_addr krait_request_peer(krait_request *req)
{
    return ((struct krait__request *)req)->peer;
}

int krait_reply(krait_request *req, const void *buf, size_t len)
{
    krait_addr peer = krait_request_peer(req);

    if (!req->packet)
        return krait_sendall(req->sock, buf, len, 0);
    /* A Unix socket that was not bound: there is only a family. */
    if (peer.kind_ != KRAIT__SOCKADDR || peer.len_ <= sizeof(sa_family_t))
        return krait__fail("sendto", -EDESTADDRREQ,
                           "the sender's socket has no address to answer to",
                           NULL, NULL, 0);
    return krait_sendto(req->sock, buf, len, 0, peer) < 0 ? -1 : 0;
}

krait_sock *krait_request_take(krait_request *req)
{
    krait_sock *conn = take_conn(req->server, (struct krait__request *)req);

    if (!conn)
        krait__fail("request_take", -EINVAL,
                    "a datagram, or a connection that was taken already", NULL,
                    NULL, 0);
    return conn;
}
