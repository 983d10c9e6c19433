/* SPDX-License-Identifier: MIT
 *
 * serve_loop.c - taking requests until told to stop, whatever goes wrong with
 * a single one.
 */
#include <errno.h>
#include <string.h>

#include "server/serving.h"

/* How long a server without fds or memory waits before it tries again: a few
 * tries while somebody closes something, and no CPU to speak of. */
#define PAUSE (50 * KRAIT__NS_PER_MS)

/* So many clients in a row don't fail for reasons of their own (a filter that
 * refuses every accept): from here on it is paused for. */
enum { FAILURES = 16 };

/* A trouble that comes again after this long is a new one. */
#define COMPLAINT_AGE (60 * KRAIT__NS_PER_SEC)

/* What is over with the one client that it happened to: accept(2) passes on
 * what the network said of a connection, recv(2) what an ICMP said of an
 * earlier answer. */
static bool concerns_one_client(int error)
{
    switch (error) {
    case ECONNABORTED:
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EPERM: /* a firewall's */
    case EPROTO:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

static bool may_pass(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM ||
           error == ENOBUFS;
}

void krait__complain(krait_server *server, const char *op, int code,
                     const char *consequence)
{
    int64_t now = krait__now();
    bool news =
        server->complained != -code || now - server->troubled > COMPLAINT_AGE;

    server->complained = -code;
    server->troubled = now;
    if (!news)
        return;
    krait__fail(op, code, NULL, NULL, NULL, 0);
    krait__log("%s; %s", krait_errmsg(), consequence);
}

/* After a request could not be taken: 0 where the server goes on. What may
 * pass is waited for, and said once; the waiting client is still there. */
static int ride_out(krait_server *server, int code)
{
    int error = -code;

    if (concerns_one_client(error) && ++server->failures < FAILURES)
        return 0;
    if (!concerns_one_client(error) && !may_pass(error))
        return code;
    krait__complain(server, "accept", code, "new clients wait until it passes");
    return krait__pause(&server->sock->h, KRAIT__NO_IN, PAUSE, KRAIT__NEVER);
}

/* Into the loop; false, with the error set, where that can't be. */
static bool enter(krait_server *server)
{
    if (!server) {
        krait__fail_again();
        return false;
    }
    if (atomic_exchange(&server->serving, true)) {
        krait__fail("serve", -EBUSY, "another thread serves already", NULL,
                    NULL, 0);
        return false;
    }
    return true;
}

/* Out of the loop with a code. -ECANCELED is a shutdown, now carried out; or
 * the calling fiber was cancelled. */
static int leave(krait_server *server, int code)
{
    struct krait__handle *h = &server->sock->h;

    if (code == -ECANCELED && krait__marked(h, KRAIT__NO_IN)) {
        krait__handle_unmark(h, KRAIT__NO_IN);
        code = 0;
    }
    atomic_store(&server->serving, false);
    if (code >= 0)
        return 0;
    return krait__fail_at("serve", code, &server->address);
}

int krait_serve_forever(krait_server *server)
{
    struct krait__request *req;
    int rc;

    if (!enter(server))
        return -1;
    do {
        krait__requests_join(server, false);
        rc = krait__request_next(server, KRAIT__NEVER, &req);
        if (rc == 0) {
            server->failures = 0;
            krait__request_start(server, req);
        } else {
            rc = ride_out(server, rc);
        }
    } while (rc == 0);
    return leave(server, rc);
}

int krait_handle_request(krait_server *server)
{
    struct krait__request *req;
    int64_t deadline = KRAIT__NEVER, own;
    int rc;

    if (!enter(server))
        return -1;
    krait__requests_join(server, false);
    krait__timeout(server->opt.timeout, &deadline);
    deadline = krait__deadline(deadline);
    own = krait__sock_deadline(server->sock);
    if (own < deadline)
        deadline = own;
    rc = krait__request_next(server, deadline, &req);
    if (rc == 0)
        krait__request_start(server, req);
    if (rc != -KRAIT__ETIMEOUT && rc != -EAGAIN)
        return leave(server, rc) < 0 ? -1 : rc == 0;
    if (server->opt.handle_timeout)
        server->opt.handle_timeout(server);
    return leave(server, 0);
}

int krait_serve(const char *address, int (*handle)(krait_request *), void *user)
{
    krait_server *server = krait_server_new(&(krait_server_options){
        .address = krait_addr_parse(address),
        .handle = handle,
        .user = user,
    });
    int rc = krait_serve_forever(server);

    krait_server_close(server);
    return rc;
}
